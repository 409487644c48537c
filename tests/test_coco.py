"""The files for the COCO tools, read by those tools: the same numbers must come out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolo_edu.coco import COCO_IDS, MAX_DETECTIONS, coco_precision, write_coco
from yolo_edu.data import Sample
from yolo_edu.nms import Detections


def boxes_in(width: int, height: int, count: int, generator: torch.Generator) -> torch.Tensor:
    low = torch.rand(count, 2, generator=generator) * 0.6
    high = low + torch.rand(count, 2, generator=generator) * 0.4
    return torch.cat([low, high], dim=1) * torch.tensor([width, height, width, height])


def some(seed: int = 0) -> tuple[list[Sample], list[Detections], list[tuple[int, int]]]:
    """Images resized from photos of other shapes; detections near the truth, some wrong ones, one image of nothing."""
    generator = torch.Generator().manual_seed(seed)
    truth, found = [], []
    sizes = [(1000, 333), (77, 501), (640, 480), (50, 50)]
    for index, (width, height) in enumerate(sizes):
        scale = 128 / max(width, height)
        w, h = round(width * scale), round(height * scale)
        count = 6 if index < 3 else 0
        boxes, labels = boxes_in(w, h, count, generator), torch.randint(0, 3, (count,), generator=generator)
        truth.append(Sample(torch.empty(0, h, w, dtype=torch.uint8), boxes, labels))
        near = boxes + torch.rand(boxes.shape, generator=generator) * torch.tensor([-2.0, -2, 4, 4])
        guesses = torch.cat([near, boxes_in(w, h, 5, generator)])
        scores = torch.rand(len(guesses), generator=generator)
        scores[:count] += 0.3
        classes = torch.cat([labels, torch.randint(0, 3, (5,), generator=generator)])
        found.append(Detections(guesses, scores, classes))
    return truth, found, sizes


def measure_files(truth: Path, found: Path) -> np.ndarray:
    """(10, 101, K) precision by the tools alone."""
    coco = COCO(str(truth))
    tool = COCOeval(coco, coco.loadRes(str(found)), "bbox")
    tool.params.maxDets = [MAX_DETECTIONS]
    tool.evaluate()
    tool.accumulate()
    return tool.eval["precision"][:, :, :, 0, -1]


@pytest.mark.parametrize("seed", range(5))
def test_files_say_the_same(tmp_path: Path, seed: int) -> None:
    truth, found, sizes = some(seed)
    photos = [Path(f"photos/{name}.jpg") for name in ("a", "7", "b", "c")]
    files = write_coco(tmp_path, truth, found, photos, sizes, ["x", "y", "z"])
    expected = coco_precision(truth, found, 3)
    assert 0.02 < expected.mean() < 0.95
    assert measure_files(*files) == pytest.approx(expected)


def test_pixels_of_the_photo(tmp_path: Path) -> None:
    """The photo was 1000 × 333, the image 128 × 43: each side has a scale of its own."""
    boxes = torch.tensor([[64.0, 0.0, 128.0, 43.0]])
    truth = [Sample(torch.empty(0, 43, 128), boxes, torch.tensor([1]))]
    found = [Detections(boxes / 2, torch.tensor([0.1234567]), torch.tensor([0]))]
    paths = write_coco(tmp_path, truth, found, [Path("0042.jpg")], [(1000, 333)], ["x", "y"])
    assert [path.name for path in paths] == ["coco_instances.json", "coco_results.json"]
    instances, results = (json.loads(path.read_text()) for path in paths)
    assert instances["images"] == [{"id": 42, "file_name": "0042.jpg", "width": 1000, "height": 333}]
    assert instances["categories"] == [{"id": 0, "name": "x"}, {"id": 1, "name": "y"}]
    (annotation,) = instances["annotations"]
    assert annotation == {
        "id": 1,
        "image_id": 42,
        "category_id": 1,
        "bbox": [500, 0, 500, 333],
        "area": pytest.approx(500 * 333),
        "iscrowd": 0,
    }
    assert results == [{"image_id": 42, "category_id": 0, "bbox": [250, 0, 250, 166.5], "score": 0.12346}]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["000000000139.jpg", "000000000285.jpg"], [139, 285]),
        (["a/1.jpg", "b/1.jpg"], [1, 2]),  # one number twice: counted
        (["5.jpg", "05.jpg"], [1, 2]),
        (["5.jpg", "five.jpg"], [1, 2]),
        (["5.jpg", "²³.jpg"], [1, 2]),
    ],
)
def test_image_ids(tmp_path: Path, names: list[str], ids: list[int]) -> None:
    truth, found, sizes = some()
    photos = [Path(name) for name in names]
    instances, results = write_coco(tmp_path, truth[:2], found[:2], photos, sizes[:2], ["x", "y", "z"])
    assert [image["id"] for image in json.loads(instances.read_text())["images"]] == ids
    assert {row["image_id"] for row in json.loads(results.read_text())} == set(ids)


def test_the_numbers_of_coco_itself(tmp_path: Path) -> None:
    """80 classes numbered 1 to 90: traffic light 10, stop sign 13, toothbrush 90."""
    assert (len(COCO_IDS), COCO_IDS[9], COCO_IDS[11], COCO_IDS[79]) == (80, 10, 13, 90)
    truth = [Sample(torch.empty(0, 9, 9), torch.tensor([[1.0, 1, 2, 2]]), torch.tensor([11]))]
    found = [Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))]
    names = ["person", *map(str, range(78)), "toothbrush"]
    instances, results = write_coco(tmp_path, truth, found, [Path("a.jpg")], [(9, 9)], names)
    assert json.loads(instances.read_text())["annotations"][0]["category_id"] == 13
    assert json.loads(results.read_text()) == []
