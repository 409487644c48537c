"""The COCO tools (pycocotools), fed from memory: what the mean average precision of a report comes from.

And the files that they read, for whoever wants to measure again with tools of their own."""

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolo_edu.boxes import area, scale_boxes
from yolo_edu.checkpoint import write_atomically
from yolo_edu.data import Sample
from yolo_edu.metrics import Floats
from yolo_edu.nms import Detections

MAX_DETECTIONS = 300  # an image; the COCO tools' own default is 100
COCO_IDS = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]  # its gaps: unused classes


def coco_precision(truth: Sequence[Sample], found: Sequence[Detections], classes: int) -> Floats:
    """Precision of every class where COCO reads its curve; the mean over the recalls is AP.

    Args:
        truth: a Sample an image; only boxes and labels are read.
        found: what was detected in the same images, in their pixels.
        classes: K.

    Returns:
        (10, 101, K): at IoU 0.50, 0.55 … 0.95 and recall 0, 0.01 … 1; nan for classes without objects.
    """
    with redirect_stdout(io.StringIO()):  # the tools report every step
        tool = COCOeval(_coco(truth, classes), _coco(found, classes), "bbox")
        # Not summarize(), whose numbers are for 100 detections; objects of all sizes only, as that is
        # what we report, and each further range would take as long again.
        tool.params.maxDets = [MAX_DETECTIONS]
        tool.params.areaRng, tool.params.areaRngLbl = [[0, 1e10]], ["all"]
        tool.evaluate()
        tool.accumulate()
    precision = tool.eval["precision"][:, :, :, 0, 0]  # -1: no objects
    return np.where(precision < 0, np.nan, precision)


def write_coco(
    folder: Path,
    truth: Sequence[Sample],
    found: Sequence[Detections],
    photos: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
    names: Sequence[str],
) -> tuple[Path, Path]:
    """Write truth and detections as the COCO tools read them, in pixels of the photos as they lie on disk.

    `image_id` is the number a photo is named by, where all have such names, as COCO's have; else photos are
    counted from 1. `category_id` is the class as label files number it, and for the 80 classes of COCO the
    number that COCO gives it. Numbers are rounded as the releases do: boxes to 3 decimals, scores to 5.

    Args:
        folder: where the files go.
        truth: a Sample an image; of its image only height and width are read.
        found: what was detected in the same images, in their pixels.
        photos: the files the images were read from, resized or not.
        sizes: width and height of each photo.
        names: of the K classes.

    Returns:
        `coco_instances.json`, the truth: {"images", "annotations", "categories"}; and `coco_results.json`, a list of
        {"image_id", "category_id", "bbox": [left, top, width, height], "score"}.
    """
    ids = _photo_ids(photos)
    # Both sides of a photo were rounded when it was resized: each has a scale of its own.
    scales = [
        (width / sample.image.shape[2], height / sample.image.shape[1])
        for sample, (width, height) in zip(truth, sizes, strict=True)
    ]
    true = [s._replace(boxes=scale_boxes(s.boxes.double(), *scale)) for s, scale in zip(truth, scales, strict=True)]
    said = [d._replace(boxes=scale_boxes(d.boxes.double(), *scale)) for d, scale in zip(found, scales, strict=True)]
    classes = COCO_IDS if [*names[:1], *names[-1:], len(names)] == ["person", "toothbrush", 80] else range(len(names))
    instances = {
        "images": [
            {"id": i, "file_name": str(photo), "width": width, "height": height}
            for i, photo, (width, height) in zip(ids, photos, sizes, strict=True)
        ],
        "categories": [{"id": i, "name": name} for i, name in zip(classes, names, strict=True)],
        "annotations": [
            {key: row[key] for key in ("id", "image_id", "category_id", "bbox", "area", "iscrowd")}
            for row in _rows(true, ids, classes, 3)
        ],
    }
    results = [
        {key: row[key] for key in ("image_id", "category_id", "bbox", "score")} for row in _rows(said, ids, classes, 3)
    ]
    paths = folder / "coco_instances.json", folder / "coco_results.json"
    _write(paths[0], instances)
    _write(paths[1], results)
    return paths


def _write(path: Path, content: object) -> None:
    write_atomically(path, lambda file: file.write_text(json.dumps(content), encoding="utf-8"))


def _photo_ids(photos: Sequence[Path]) -> list[int]:
    stems = [photo.stem for photo in photos]
    if all(stem.isascii() and stem.isdecimal() for stem in stems) and len(set(map(int, stems))) == len(stems):
        return [int(stem) for stem in stems]
    return list(range(1, len(photos) + 1))


def _coco(images: Sequence[Sample] | Sequence[Detections], classes: int) -> COCO:
    """Boxes of all images → the tools' own data structure, without a file."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i} for i in range(len(images))],
        "categories": [{"id": k} for k in range(classes)],
        "annotations": _rows(images, range(len(images)), range(classes)),
    }
    coco.createIndex()
    return coco


def _rows(
    images: Sequence[Sample] | Sequence[Detections],
    ids: Sequence[int],
    classes: Sequence[int],
    digits: int | None = None,
) -> list[dict[str, Any]]:
    """A row a box, as the tools want it; rounded to so many digits, None: not at all."""
    boxes = torch.cat([image.boxes for image in images]).double()
    corner_and_size = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)
    scores = torch.cat([image.scores if isinstance(image, Detections) else image.labels for image in images]).double()
    if digits is not None:
        corner_and_size, scores = corner_and_size.round(decimals=digits), scores.round(decimals=digits + 2)
    columns = zip(
        torch.tensor(ids).repeat_interleave(torch.tensor([len(image.labels) for image in images])).tolist(),
        torch.cat([image.labels for image in images]).tolist(),
        corner_and_size.tolist(),
        area(boxes).tolist(),
        scores.tolist(),
        strict=True,
    )
    return [
        # Numbered from 1: the tools take a match with number 0 for no match.
        {
            "id": i,
            "image_id": image,
            "category_id": classes[k],
            "bbox": box,
            "area": size,
            "score": score,
            "iscrowd": 0,
        }
        for i, (image, k, box, size, score) in enumerate(columns, start=1)
    ]
