"""Lesson 09: what its prose says about the shipped network, where no cell computes it."""

import re
from typing import Any, NamedTuple

import pytest
import torch

from yolo_edu import metrics
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.boxes import clip_boxes
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import widgets
from yolo_edu.course.widgets import frame
from yolo_edu.data import DetectionData, Letterbox, Sample, letterbox, read_spec
from yolo_edu.nms import Detections
from yolo_edu.nms import nms as suppression


class Cards(NamedTuple):
    """The validation photos, and what the shipped network says about them before suppression."""

    truth: list[Sample]
    places: list[Letterbox]
    decoded: torch.Tensor
    names: list[str]

    def found(self, **options: Any) -> list[Detections]:
        """What is left of it, in pixels of the photos."""
        return [
            f._replace(boxes=clip_boxes(p.undo(f.boxes), s.image.shape[2], s.image.shape[1]))
            for s, p, f in zip(self.truth, self.places, suppression(self.decoded, **options), strict=True)
        ]


@pytest.fixture(scope="module")
def network() -> Cards:
    model = load_checkpoint(shipped_weights("cards_n")).eval()
    cards = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=416, cache=False)
    photos = [cards[i] for i in range(len(cards))]
    squares, places = zip(*(letterbox(photo.image, 256) for photo in photos), strict=True)
    with torch.no_grad():
        decoded = model.decode(model(torch.stack(squares) / 255))
    return Cards(photos, list(places), decoded, list(model.names))


def test_what_there_is_to_find_with_suppression(network: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "show", lambda *_: None)
    truth = network.truth
    numbers = {"four cards": 31, "newspaper": 13, "ace and king": 36}
    candidates = network.found(confidence=0.05, iou=1.0)
    explorer = widgets.suppression_explorer(
        {name: truth[i] for name, i in numbers.items()},
        {name: candidates[i] for name, i in numbers.items()},
        network.names,
    )
    controls, view = explorer.controls, explorer.view

    def said() -> list[str]:
        return re.findall(r"<td>\d+ (\w+)</td><td>([\d.]+)</td><td>\d+</td><td>(\w+)</td>", view.value)

    duplicates = {}
    for step in range(9, 17):
        controls["iou"].value = step / 20
        duplicates[step / 20] = [row[0] for row in said()]
    assert {t for t, cards in duplicates.items() if len(cards) > 5} == {0.75, 0.8}
    assert duplicates[0.7] == ["jack", "ten", "queen", "jack", "jack"]
    assert duplicates[0.75] == [*duplicates[0.7], "jack"]
    controls["photo"].value = "newspaper"
    controls["iou"].value = 0.1
    low = said()
    controls["iou"].value = 0.75
    assert said() == low
    assert [row[2] for row in low] == ["right", "wrong", "wrong", "wrong", "wrong"]
    controls["photo"].value, controls["agnostic"].value, controls["iou"].value = "ace and king", True, 0.1
    assert said() == [("ace", "0.92", "right"), ("king", "0.85", "right")]
    controls["iou"].value = 0.05
    assert said() == [("ace", "0.92", "right"), ("king", "0.45", "right")]


def test_five_of_the_eight_surest_jacks_miss_the_bar_of_90(network: Cards) -> None:
    truth, found = network.truth, network.found(confidence=0.001, iou=0.6, multi_label=True)
    correct = torch.cat([metrics.match(f, s.boxes, s.labels) for f, s in zip(found, truth, strict=True)])
    scores, labels = torch.cat([f.scores for f in found]), torch.cat([f.labels for f in found])
    own = labels == network.names.index("jack")
    surest = correct[own][scores[own].argsort(descending=True)[:8]]
    assert surest[:, 0].all()
    assert surest[:, 8].sum() == 3
