"""Every wrong detection and every missed object has one name: known cases, a slow oracle, and sums that must agree."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import PIXELS, random_image, seeds
from torch import Tensor

from yolo_edu.boxes import iou
from yolo_edu.coco import coco_precision
from yolo_edu.data import Sample
from yolo_edu.errors import UserError
from yolo_edu.metrics import average_precision
from yolo_edu.mistakes import HIT, KINDS, NEAR, find_mistakes, judge, take
from yolo_edu.nms import Detections
from yolo_edu.report import measure

NAMES = ("cat", "dog", "owl")


def scene(*said: tuple[list[float], int, float]) -> Detections:
    """(box, class, score) each."""
    boxes = torch.tensor([box for box, _, _ in said], dtype=torch.float32).reshape(-1, 4)
    return Detections(
        boxes, torch.tensor([s for _, _, s in said]), torch.tensor([k for _, k, _ in said], dtype=torch.int64)
    )


# Objects 10 × 10 in a row, far apart: cat, dog, cat, dog.
TRUTH = Sample(PIXELS, torch.tensor([[50.0 * i, 0, 50 * i + 10, 10] for i in range(4)]), torch.tensor([0, 1, 0, 1]))
SAID = scene(
    ([0, 0, 10, 10], 0, 0.9),  # the first cat
    ([0, 0, 10, 9], 0, 0.8),  # it again
    ([50, 0, 60, 10], 2, 0.7),  # the dog is called an owl
    ([100, 0, 104, 10], 0, 0.6),  # less than half of the second cat: IoU 0.4
    ([106, 0, 110, 10], 2, 0.5),  # its other part, as an owl
    ([20, 20, 30, 30], 1, 0.4),  # a dog where nothing is
    ([150, 0, 160, 10], 1, 0.1),  # the last dog, below the threshold
)


def test_every_type_by_hand() -> None:
    account = find_mistakes([TRUTH], [SAID], NAMES, 0.25)
    assert [(m.kind, m.label, m.detection, m.truth, m.better) for m in account.mistakes] == [
        ("duplicate", 0, 1, 0, 0),
        ("confusion", 2, 2, 1, None),
        ("localization", 0, 3, 2, None),
        ("both", 2, 4, 2, None),
        ("background", 1, 5, None, None),
        ("missed", 1, None, 3, None),
    ]
    assert [m.iou for m in account.mistakes] == pytest.approx([0.9, 1, 0.4, 0.4, 0, 0], abs=1e-5)
    assert [m.score for m in account.mistakes[:-1]] == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4])
    assert math.isnan(account.mistakes[-1].score)
    assert (account.right, account.explained) == ((1, 0, 0), (1, 1, 0))
    assert (account.objects, account.detections) == ((2, 2, 0), (3, 1, 2))
    assert account.totals() == dict.fromkeys(KINDS, 1)
    assert account.counts()["both"] == [0, 0, 1]
    table = account.table()
    assert table.splitlines()[1].split() == ["all", "4", "6", "1", *"111111"]
    assert "0.250" in table


def test_lower_threshold_finds_the_last_dog() -> None:
    assert find_mistakes([TRUTH], [SAID], NAMES, 0.05).totals() == {**dict.fromkeys(KINDS, 1), "missed": 0}


@pytest.mark.parametrize(
    ("height", "kind", "other"),
    [
        (50, "", "confusion"),
        (49, "localization", "both"),
        (10, "localization", "both"),
        (9, "background", "background"),
    ],
)
def test_thresholds_belong_to_the_better_type(height: float, kind: str, other: str) -> None:
    boxes, labels = torch.tensor([[0.0, 0, 10, 100]]), torch.tensor([0])
    for label, expected in ((0, kind), (1, other)):
        judgment = judge(scene(([0, 0, 10, height], label, 0.9)), boxes, labels)
        assert judgment.kinds == [expected]
        assert judgment.missed.tolist() == [expected in ("both", "background")]


def test_a_mistake_is_about_the_object_it_overlaps_most() -> None:
    """A cat said on top of a dog, though a true cat is near too: it is the dog that was mistaken."""
    boxes, labels = torch.tensor([[0.0, 0, 10, 10], [6, 0, 16, 10]]), torch.tensor([1, 0])
    judgment = judge(scene(([0, 0, 11, 10], 0, 0.9)), boxes, labels)
    assert judgment.kinds == ["confusion"]
    assert judgment.about.tolist() == [0]
    assert judgment.missed.tolist() == [False, True]


# --- matching -------------------------------------------------------------------------------------------


def slow_take(found: Detections, boxes: Tensor, labels: Tensor) -> list[int]:
    taken: dict[int, int] = {}
    for i in sorted(range(len(found.labels)), key=lambda i: -float(found.scores[i])):
        best, choice = HIT, None
        for j in range(len(labels)):
            overlap = float(iou(found.boxes[i], boxes[j]))
            if labels[j] == found.labels[i] and j not in taken.values() and overlap >= best:
                best, choice = overlap, j
        if choice is not None:
            taken[i] = choice
    return [taken.get(i, -1) for i in range(len(found.labels))]


@given(seed=seeds, objects=st.integers(0, 12), guesses=st.integers(0, 40))
def test_take_equals_slow_loop(seed: int, objects: int, guesses: int) -> None:
    (_, boxes, labels), found = random_image(seed, objects, guesses)
    mixed = torch.randperm(guesses, generator=torch.Generator().manual_seed(seed))
    found = Detections(*(part[mixed] for part in found))
    assert take(found, boxes, labels).tolist() == slow_take(found, boxes, labels)


@given(seed=seeds)
@settings(max_examples=30)
def test_take_is_the_matching_of_the_coco_tools(seed: int) -> None:
    """Our hits, turned into AP, give the AP of pycocotools."""
    images = [random_image(seed + i, objects=5, guesses=20, classes=2) for i in range(3)]
    truth, found = zip(*images, strict=True)
    expected = coco_precision(truth, found, 2)[0].mean(axis=0)
    hits = torch.cat([take(f, s.boxes, s.labels) >= 0 for s, f in images])
    said, scores = (torch.cat([getattr(f, part) for f in found]) for part in ("labels", "scores"))
    labels = torch.cat([s.labels for s in truth])
    for k in range(2):
        own = (said == k).nonzero()[:, 0]
        own = own[scores[own].argsort(descending=True, stable=True)]
        ours = average_precision(hits[own, None], int((labels == k).sum()))
        assert ours[0] == pytest.approx(expected[k], nan_ok=True)


# --- the account ----------------------------------------------------------------------------------------


def slow_kind(i: int, found: Detections, boxes: Tensor, labels: Tensor) -> str:
    overlaps = [float(iou(found.boxes[i], box)) for box in boxes]
    if not overlaps or max(overlaps) < NEAR:
        return "background"
    same = labels[overlaps.index(max(overlaps))] == found.labels[i]
    if max(overlaps) >= HIT:
        return "duplicate" if same else "confusion"
    return "localization" if same else "both"


@given(seed=seeds, objects=st.integers(0, 8), guesses=st.integers(0, 30), confidence=st.floats(0, 1))
def test_sums_agree(seed: int, objects: int, guesses: int, confidence: float) -> None:
    images = [random_image(seed + i, objects, guesses) for i in range(2)]
    truth, found = zip(*images, strict=True)
    mixed = torch.randperm(guesses, generator=torch.Generator().manual_seed(seed))
    found = [Detections(*(part[mixed] for part in f)) for f in found]  # the order says nothing
    account = find_mistakes(truth, found, NAMES, confidence)
    counts = account.counts()
    said = torch.cat([f.labels[f.scores > account.confidence] for f in found])
    assert account.detections == tuple(torch.bincount(said, minlength=3).tolist())
    assert account.objects == tuple(torch.bincount(torch.cat([s.labels for s in truth]), minlength=3).tolist())
    for k in range(3):
        wrong = sum(counts[kind][k] for kind in KINDS if kind != "missed")
        assert account.right[k] + wrong == account.detections[k]
        assert account.right[k] + account.explained[k] + counts["missed"][k] == account.objects[k]
    wrong_ones = [(m.image, m.detection) for m in account.mistakes if m.kind != "missed"]
    assert len(set(wrong_ones)) == len(wrong_ones)  # one name each
    explained = {(m.image, m.truth) for m in account.mistakes if m.kind in ("localization", "confusion")}
    for m in account.mistakes:
        _, boxes, labels = truth[m.image]
        if m.kind == "missed":
            assert (m.image, m.truth) not in explained
            assert labels[m.truth] == m.label
            continue
        assert m.kind == slow_kind(m.detection, found[m.image], boxes, labels)
        assert found[m.image].labels[m.detection] == m.label
        assert found[m.image].scores[m.detection] == pytest.approx(m.score)
        if m.kind == "duplicate":
            assert found[m.image].scores[m.better] >= m.score
            assert found[m.image].labels[m.better] == m.label


@given(seed=seeds)
@settings(max_examples=10)
def test_no_confidence_means_that_of_the_best_f1(seed: int) -> None:
    truth, found = zip(*(random_image(seed + i) for i in range(2)), strict=True)
    best = measure(truth, found, NAMES).confidence
    assert find_mistakes(truth, found, NAMES) == find_mistakes(truth, found, NAMES, best)


def test_examples_come_from_many_images_and_the_surest_first() -> None:
    nothing = Sample(PIXELS, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    wrong = [scene(([0, 0, 9, 9], 0, 0.9), ([50, 0, 59, 9], 0, 0.8)), scene(([0, 0, 9, 9], 0, 0.7))]
    account = find_mistakes([nothing] * 2, wrong, NAMES)
    assert account.confidence == 0.25
    assert [(m.image, m.detection) for m in account.examples("background", 5)] == [(0, 0), (1, 0), (0, 1)]
    assert len(account.examples("background", 2)) == 2
    assert account.examples("missed", 2) == []


def test_empty() -> None:
    nothing = Sample(PIXELS, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert find_mistakes([], [], NAMES).mistakes == ()
    account = find_mistakes([nothing, TRUTH], [scene(), scene()], NAMES)
    assert account.totals() == {**dict.fromkeys(KINDS, 0), "missed": 4}
    assert [m.iou for m in account.mistakes] == [0] * 4


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UserError, match="1 images, but detections of 2"):
        find_mistakes([TRUTH], [SAID, SAID], NAMES)
    with pytest.raises(UserError, match=r"image 0: class 2, .* 0 to 1 only"):
        find_mistakes([TRUTH], [SAID], NAMES[:2])
    for confidence in (-0.1, 1.5, math.nan):
        with pytest.raises(UserError, match="between 0 and 1"):
            find_mistakes([TRUTH], [SAID], NAMES, confidence)
