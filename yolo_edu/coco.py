"""The COCO tools (pycocotools), fed from memory: what the mean average precision of a report comes from."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolo_edu.boxes import area
from yolo_edu.data import Sample
from yolo_edu.metrics import Floats
from yolo_edu.nms import Detections

MAX_DETECTIONS = 300  # an image; the COCO tools' own default is 100


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


def _coco(images: Sequence[Sample] | Sequence[Detections], classes: int) -> COCO:
    """Boxes of all images → the tools' own data structure, without a file."""
    boxes = torch.cat([image.boxes for image in images]).double()
    corner_and_size = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)
    counts = torch.tensor([len(image.labels) for image in images])
    scores = [image.scores if isinstance(image, Detections) else image.labels for image in images]
    columns = zip(
        torch.arange(len(images)).repeat_interleave(counts).tolist(),
        torch.cat([image.labels for image in images]).tolist(),
        corner_and_size.tolist(),
        area(boxes).tolist(),
        torch.cat(scores).tolist(),
        strict=True,
    )
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i} for i in range(len(images))],
        "categories": [{"id": k} for k in range(classes)],
        "annotations": [
            # Numbered from 1: the tools take a match with number 0 for no match.
            {
                "id": i,
                "image_id": image,
                "category_id": k,
                "bbox": box,
                "area": size,
                "score": score,
                "iscrowd": 0,
            }
            for i, (image, k, box, size, score) in enumerate(columns, start=1)
        ],
    }
    coco.createIndex()
    return coco
