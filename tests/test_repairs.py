"""Detectors with one type of mistake: only its repair helps. And on any scene no repair lowers mAP50."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import PIXELS, random_image, seeds
from test_mistakes import NAMES, scene

from yolo_edu.data import Sample
from yolo_edu.errors import UserError
from yolo_edu.mistakes import KINDS, find_mistakes, judge
from yolo_edu.nms import Detections
from yolo_edu.oracle import AS_IT_IS, measure_gains
from yolo_edu.repairs import repair_each, repaired

TRUTH = Sample(PIXELS, torch.tensor([[0.0, 0, 10, 10], [50, 0, 60, 10]]), torch.tensor([0, 1]))
RIGHT = ([0.0, 0, 10, 10], 0, 0.5), ([50.0, 0, 60, 10], 1, 0.5)

# Type → a detector all of whose mistakes are of it, and its mAP50.
FAULTY = {
    "localization": (scene(([0, 0, 10, 4], 0, 0.5), ([50, 0, 54, 10], 1, 0.5)), 0),
    "confusion": (scene((RIGHT[0][0], 1, 0.5), (RIGHT[1][0], 0, 0.5)), 0),
    "duplicate": (scene(*RIGHT, ([0, 0, 10, 9], 0, 0.4)), 1),  # costs nothing: it comes after the last object
    "background": (scene(*RIGHT, ([20, 0, 30, 10], 0, 0.9), ([20, 0, 30, 10], 1, 0.9)), 0.5),
    "both": (scene(*RIGHT, ([50, 0, 60, 4], 0, 0.9), ([0, 0, 10, 4], 1, 0.9)), 0.5),
    "missed": (scene(), 0),
}


@pytest.mark.parametrize("fault", KINDS)
def test_only_the_right_repair_helps(fault: str) -> None:
    found, start = FAULTY[fault]
    assert {m.kind for m in find_mistakes([TRUTH], [found], NAMES, 0.1).mistakes} == {fault}
    gains = measure_gains([TRUTH], repair_each([TRUTH], [found]), NAMES)
    assert [gain.name for gain in gains] == [AS_IT_IS, *KINDS]
    for gain in gains:
        assert gain.map50 == pytest.approx(1 if gain.name == fault else start)
        assert gain.gain50 == pytest.approx(gain.map50 - start)
    assert {gain.name: gain for gain in gains}[fault].map == pytest.approx(1)


def test_a_duplicate_before_another_object_costs() -> None:
    truth = Sample(PIXELS, TRUTH.boxes, torch.tensor([0, 0]))
    found = scene(([0, 0, 10, 10], 0, 0.9), ([0, 0, 10, 9], 0, 0.8), ([50, 0, 60, 10], 0, 0.7))
    gains = {gain.name: gain for gain in measure_gains([truth], repair_each([truth], [found]), NAMES)}
    assert gains[AS_IT_IS].map50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert gains["duplicate"].map50 == pytest.approx(1)


def test_of_several_repaired_the_surest_stays() -> None:
    found = scene(([0, 0, 10, 4], 0, 0.6), ([0, 0, 10, 10], 0, 0.5), ([0, 5, 10, 9], 0, 0.7), ([80, 0, 90, 10], 0, 0.1))
    boxes, scores, labels = repaired("localization", found, TRUTH.boxes, TRUTH.labels)
    assert scores.tolist() == pytest.approx([0.7, 0.1])
    assert boxes.tolist() == [[0, 0, 10, 10], [80, 0, 90, 10]]
    assert labels.tolist() == [0, 0]


def test_the_better_box_of_a_duplicate_is_lost() -> None:
    """Why a repair may lower mAP50-95: at IoU 0.75 the duplicate is the find."""
    found = scene(([0, 0, 10, 6], 0, 0.9), ([0, 0, 10, 10], 0, 0.8), RIGHT[1])
    gains = {gain.name: gain for gain in measure_gains([TRUTH], repair_each([TRUTH], [found]), NAMES)}
    assert gains["duplicate"].gain50 == pytest.approx(0)
    assert gains["duplicate"].gain < -0.1


@given(seed=seeds, objects=st.integers(1, 8), guesses=st.integers(0, 30))
@settings(max_examples=60)
def test_no_repair_lowers_map50(seed: int, objects: int, guesses: int) -> None:
    images = [random_image(seed + i, objects, guesses) for i in range(2)]
    truth, found = (list(column) for column in zip(*images, strict=True))
    for gain in measure_gains(truth, repair_each(truth, found), NAMES):
        assert gain.gain50 >= -1e-9


@given(seed=seeds, objects=st.integers(0, 8), guesses=st.integers(0, 30), kind=st.sampled_from(list(KINDS)))
def test_repaired_leaves_the_rest(seed: int, objects: int, guesses: int, kind: str) -> None:
    (_, boxes, labels), found = random_image(seed, objects, guesses)
    before = Detections(*(part.clone() for part in found))
    after = repaired(kind, found, boxes, labels)
    assert all(torch.equal(a, b) for a, b in zip(found, before, strict=True))
    assert torch.equal(after.scores, after.scores.sort(descending=True).values)
    kinds, missed = judge(found, boxes, labels)[3:]
    if kind == "missed":
        assert len(after.labels) == guesses + int(missed.sum())
        assert (after.scores == 1).sum() == missed.sum()
    elif kind in ("localization", "confusion"):
        assert len(after.labels) <= guesses
    else:
        assert len(after.labels) == guesses - kinds.count(kind)
        assert kind not in judge(after, boxes, labels).kinds


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UserError, match=r"'colour': no such type .* localization, confusion"):
        repaired("colour", scene(), TRUTH.boxes, TRUTH.labels)
    with pytest.raises(UserError, match="1 images, but detections of 0"):
        repair_each([TRUTH], [])
