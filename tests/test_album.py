"""What lies in a run's folder after training: pictures that can be opened, numbers that are the report's."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from small_data import make_data, noise

from yolo_edu import album
from yolo_edu.data import Batch, DetectionData, Sample, collate, read_spec
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Report, measure
from yolo_edu.nms import Detections
from yolo_edu.page import write_page

NAMES = ["cat", "dog", "owl"]


@pytest.fixture
def data(tmp_path: Path) -> DetectionData:
    labels = {"a": "0 0.5 0.5 0.4 0.4\n1 0.2 0.2 0.1 0.1\n", "b": "", "c": "1 0.5 0.5 1 1\n"}
    return DetectionData(read_spec(make_data(tmp_path / "set", labels)), "train", 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def measured(truth: int = 3, guesses: int = 8) -> tuple[Report, list[Sample], list[Detections]]:
    """Two images, boxes of cats and dogs only."""
    g = torch.Generator().manual_seed(0)
    samples, found = [], []
    for seed in range(2):
        corner = 20 * torch.rand(truth, 2, generator=g)
        boxes = torch.cat([corner, corner + 5 + 5 * torch.rand(truth, 2, generator=g)], dim=1)
        labels = torch.arange(truth) % 2
        samples.append(Sample(torch.from_numpy(noise(32, 40, seed)).permute(2, 0, 1), boxes, labels))
        copied = torch.arange(guesses) % max(truth, 1)
        shaken = boxes[copied] + torch.randn(guesses, 4, generator=g) if truth else torch.rand(guesses, 4)
        shaken[:, 2:] = shaken[:, 2:].maximum(shaken[:, :2] + 1)
        scores = torch.rand(guesses, generator=g).sort(descending=True).values
        found.append(Detections(shaken, scores, torch.arange(guesses) % 2))
    return measure(samples, found, NAMES), samples, found


def assert_opens(path: Path, kind: str) -> None:
    with Image.open(path) as image:
        assert image.format == kind
        image.load()
        assert min(image.size) > 100
        assert np.asarray(image.convert("L")).std() > 1  # something is on it


def test_everything_a_run_shows(folder: Path, data: DetectionData) -> None:
    opened = plt.get_fignums()
    album.show_data(folder, data)
    for number in range(2):
        album.show_batch(folder, number, collate(data, 32), data.names)
    album.show_training(folder, [{"epoch": 1, "box": 0.1, "lr": 0.1}])
    report, samples, found = measured()
    album.show_report(folder, report, NAMES, samples, found)
    write_page(folder)
    pictures = {"labels", "results", "pr_curve", "f1_curve", "confusion"}
    photos = {"train_batch0.jpg", "train_batch1.jpg", "detections.jpg"}
    names = {f"{name}.png" for name in pictures} | photos | {"metrics.json", "report.html"}
    assert {path.name for path in folder.iterdir()} == names  # no temporary file is left
    for name in pictures:
        assert_opens(folder / f"{name}.png", "PNG")
    for name in photos:
        assert_opens(folder / name, "JPEG")
    assert "(yet)" not in (folder / "report.html").read_text(encoding="utf-8")
    assert plt.get_fignums() == opened


def test_metrics_are_the_reports(folder: Path) -> None:
    report, samples, found = measured()
    album.show_report(folder, report, NAMES, samples, found)
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert 0 < report.map < 1
    for key in ("images", "boxes", "map50", "map", "precision", "recall", "f1", "confidence"):
        assert content[key] == getattr(report, key)
    cat, dog, owl = content["classes"]
    assert [row["name"] for row in content["classes"]] == NAMES
    assert [row["boxes"] for row in content["classes"]] == [4, 2, 0]
    assert (cat["ap50"], cat["ap"], dog["ap"]) == (report.ap50["cat"], report.ap["cat"], report.ap["dog"])
    for key in ("precision", "recall", "f1"):
        assert (cat[key] + dog[key]) / 2 == pytest.approx(content[key])
        assert owl[key] is None
    assert owl["ap50"] is owl["ap"] is None


@pytest.mark.parametrize(("truth", "guesses"), [(0, 0), (0, 5), (3, 0)])
def test_nothing_there_or_nothing_found(folder: Path, truth: int, guesses: int) -> None:
    report, samples, found = measured(truth, guesses)
    album.show_report(folder, report, NAMES, samples, found)
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert content["map"] == (0 if truth else None)
    assert (content["confidence"] is None) == (truth == 0)
    page = write_page(folder).read_text(encoding="utf-8")
    assert page.count("<img") == 4
    assert "nan" not in page.split("<main>")[1].split("base64")[0]


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        album.show_training(tmp_path / "nowhere", [])


def test_a_batch_of_half_precision(folder: Path) -> None:
    batch = Batch(torch.rand(2, 3, 32, 32).half(), torch.tensor([[0, 0, 0.5, 0.5, 0.5, 0.5]]).half())
    album.show_batch(folder, 0, batch, NAMES)
    assert_opens(folder / "train_batch0.jpg", "JPEG")


@pytest.mark.parametrize(("length", "count"), [(1, 8), (8, 8), (48, 8), (5, 2), (0, 8)])
def test_spread(length: int, count: int) -> None:
    indices = album.spread(length, count)
    assert len(indices) == min(length, count) == len(set(indices))
    assert all(0 <= i < length for i in indices)
