"""Matching and curves: golden numbers of release R7, pycocotools, and loops that are obviously right."""

import math

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from yolo_edu.boxes import pairwise_iou
from yolo_edu.coco import coco_precision
from yolo_edu.data import Sample
from yolo_edu.metrics import (
    CONFIDENCES,
    IOU_THRESHOLDS,
    RECALLS,
    BestF1,
    average_precision,
    best_f1,
    confidence_curves,
    confusion_matrix,
    match,
    precision_recall,
)
from yolo_edu.nms import Detections

PIXELS = torch.empty(3, 0, 0, dtype=torch.uint8)
seeds = st.integers(0, 10_000)


def random_image(seed: int, objects: int = 6, guesses: int = 25, classes: int = 3) -> tuple[Sample, Detections]:
    """Objects, and detections that are shaken copies of them or anything."""
    g = torch.Generator().manual_seed(seed)

    def boxes(n: int) -> Tensor:
        corner = 100 * torch.rand(n, 2, generator=g)
        return torch.cat([corner, corner + 10 + 40 * torch.rand(n, 2, generator=g)], dim=1)

    truth, labels = boxes(objects), torch.randint(classes, (objects,), generator=g)
    found, said = boxes(guesses), torch.randint(classes, (guesses,), generator=g)
    if objects:
        copied = torch.randint(objects, (guesses * 4 // 5,), generator=g)
        n = len(copied)
        found[:n] = truth[copied] + 3 * torch.randn(n, 4, generator=g)
        said[:n] = torch.where(torch.rand(n, generator=g) < 0.8, labels[copied], said[:n])
    mixed = torch.randperm(guesses, generator=g)
    scores = torch.rand(guesses, generator=g).sort(descending=True).values
    return Sample(PIXELS, truth, labels), Detections(found[mixed], scores, said[mixed])


# --- matching -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", range(4))
def test_match_equals_golden(case: int) -> None:
    with np.load(GOLDEN / "matching_v7.npz") as golden:
        found, truth, expected = (
            torch.from_numpy(golden[f"c{case}_{name}"]) for name in ("detections", "labels", "correct")
        )
    detections = Detections(found[:, :4], found[:, 4], found[:, 5].long())
    assert torch.equal(match(detections, truth[:, 1:], truth[:, 0].long()), expected)


def slow_match(found: Detections, boxes: Tensor, labels: Tensor, threshold: float) -> list[bool]:
    overlap = pairwise_iou(found.boxes, boxes).tolist()
    taken: set[int] = set()
    right = []
    for i, row in enumerate(overlap):
        rivals = [(iou, j) for j, iou in enumerate(row) if labels[j] == found.labels[i] and iou >= threshold]
        choice = max(rivals)[1] if rivals else None
        right.append(choice is not None and choice not in taken)
        if choice is not None:
            taken.add(choice)
    return right


@given(seed=seeds, objects=st.integers(0, 8), guesses=st.integers(0, 30))
def test_match_equals_slow_loop(seed: int, objects: int, guesses: int) -> None:
    (_, boxes, labels), found = random_image(seed, objects, guesses)
    expected = [slow_match(found, boxes, labels, t) for t in IOU_THRESHOLDS.tolist()]
    assert match(found, boxes, labels).T.tolist() == expected


@given(seed=seeds)
def test_match_counts_every_object_once(seed: int) -> None:
    (_, boxes, labels), found = random_image(seed)
    correct = match(found, boxes, labels)
    assert correct.sum(dim=0).max() <= len(labels)
    # Raising the bar can hand an object to a later detection, but never finds more of them.
    assert (correct.sum(dim=0).diff() <= 0).all()


# --- average precision ----------------------------------------------------------------------------------


def slow_coco_match(found: Detections, boxes: Tensor, labels: Tensor, threshold: float) -> list[bool]:
    """The COCO tools' rule: a detection takes the best object of its class that is still free."""
    overlap = pairwise_iou(found.boxes.double(), boxes.double(), eps=0).tolist()
    free = set(range(len(labels)))
    right = []
    for i, row in enumerate(overlap):
        rivals = [(row[j], j) for j in free if labels[j] == found.labels[i] and row[j] >= threshold]
        right.append(bool(rivals))
        free -= {max(rivals)[1]} if rivals else set()
    return right


@given(seed=seeds, objects=st.integers(0, 8), guesses=st.integers(0, 40))
def test_average_precision_equals_pycocotools(seed: int, objects: int, guesses: int) -> None:
    images = [random_image(seed + i, objects, guesses) for i in range(3)]
    truth, found = [sample for sample, _ in images], [detections for _, detections in images]
    thresholds = np.linspace(0.5, 0.95, 10)
    correct = np.concatenate(
        [[slow_coco_match(f, t.boxes, t.labels, iou) for iou in thresholds] for t, f in images], axis=1
    ).T  # (N, 10)
    scores = torch.cat([f.scores for f in found]).numpy()
    said, there = torch.cat([f.labels for f in found]).numpy(), torch.cat([t.labels for t in truth]).numpy()
    order = np.argsort(-scores, kind="stable")
    ours = [average_precision(correct[order][said[order] == k], int((there == k).sum())) for k in range(3)]
    # The tools add 2e-16 to each denominator; that is all the difference there is.
    tools = coco_precision(truth, found, 3).mean(axis=1)
    np.testing.assert_allclose(np.array(ours).T, tools, rtol=1e-12, atol=0)


def golden_ap(case: int) -> dict[str, NDArray]:
    names = ("tp", "conf", "pred_cls", "target_cls", "p", "r", "f1", "ap", "classes", "ap_v1")
    with np.load(GOLDEN / "ap.npz") as golden:
        return {name: golden[f"c{case}_{name}"] for name in names}


def by_class(golden: dict[str, NDArray]) -> list[tuple[NDArray, int]]:
    """For every class what is right, best score first, and the number of objects."""
    order = np.argsort(-golden["conf"], kind="stable")
    right, said = golden["tp"][order], golden["pred_cls"][order]
    return [(right[said == k], int((golden["target_cls"] == k).sum())) for k in golden["classes"]]


def area_under_lines(right: NDArray, truths: int, start: float, end: float | None) -> float:
    """AP of the releases: straight lines between the points, where COCO has steps."""
    precision, recall = precision_recall(right, truths)
    end = min(recall[-1] + 0.001, 1) if end is None else end
    x, y = [0, *recall, end], np.array([start, *precision, 0])
    envelope = np.maximum.accumulate(y[::-1])[::-1]
    return float(np.trapezoid(np.interp(RECALLS, x, envelope), RECALLS))


@pytest.mark.parametrize("case", range(4))
def test_what_separates_coco_from_the_releases(case: int) -> None:
    """Same hits, three areas. R7 draws a line from the last point to (1, 0), so recall that was never
    reached still earns something; R1 and COCO give nothing for it.
    """
    golden = golden_ap(case)
    for c, (right, truths) in enumerate(by_class(golden)):
        ours = average_precision(right, truths)
        for t in range(10):
            r7 = area_under_lines(right[:, t], truths, start=1, end=1)
            r1 = area_under_lines(right[:, t], truths, start=0, end=None)
            assert r7 == pytest.approx(golden["ap"][c, t], abs=1e-9)
            assert r1 == pytest.approx(golden["ap_v1"][c, t], abs=1e-9)
            assert ours[t] == pytest.approx(r1, abs=0.01)
            assert ours[t] == pytest.approx(r7, abs=0.1)


def test_half_of_the_objects_found_without_error() -> None:
    right = np.ones((5, 1), dtype=bool)
    assert average_precision(right, 10) == pytest.approx(51 / 101)  # recalls 0 … 0.5 at precision 1
    assert area_under_lines(right[:, 0], 10, start=1, end=1) == pytest.approx(0.75)


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 10))
def test_average_precision_by_definition(right: list[bool], missed: int) -> None:
    truths = sum(right) + missed
    (ap,) = average_precision(np.array(right, dtype=bool)[:, None], truths)
    if truths == 0:
        assert math.isnan(ap)
        return
    points = [(sum(right[: i + 1]) / truths, sum(right[: i + 1]) / (i + 1)) for i in range(len(right))]
    best = [max((p for r, p in points if r >= recall), default=0.0) for recall in RECALLS]
    assert ap == pytest.approx(sum(best) / 101)
    assert 0 <= ap <= 1
    assert (ap == 1) == (missed == 0 and all(right[:truths]))


def test_precision_and_recall_step_by_step() -> None:
    precision, recall = precision_recall(np.array([True, False, True, False]), 4)
    assert precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert recall.tolist() == [0.25, 0.25, 0.5, 0.5]


# --- curves over the confidence -------------------------------------------------------------------------


def slow_point(right: list[bool], scores: list[float], truths: int, threshold: float) -> tuple[float, float]:
    """Precision and recall of one class at a threshold, straight between one score and the next."""

    def at(score: float) -> tuple[float, float]:
        kept = [hit for hit, other in zip(right, scores, strict=True) if other >= score]
        return sum(kept) / len(kept), sum(kept) / truths

    if not scores:
        return 0, 0
    above, below = [s for s in scores if s >= threshold], [s for s in scores if s < threshold]
    if not above:
        return 1, 0
    high = at(min(above))
    if not below:
        return high
    low, part = at(max(below)), (threshold - max(below)) / (min(above) - max(below))
    return low[0] + part * (high[0] - low[0]), low[1] + part * (high[1] - low[1])


@given(seed=seeds, count=st.integers(0, 20))
@settings(max_examples=10)
def test_curves_equal_slow_loop(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    right, scores, labels = rng.random(count) < 0.6, rng.random(count), rng.integers(0, 3, count)
    truths = [*(np.bincount(labels[right], minlength=3)[:2] + [1, 0]).tolist(), 0]
    curves = confidence_curves(right, scores, labels, truths)
    assert [curve.shape for curve in curves] == [(3, 1000)] * 3
    for k, objects in enumerate(truths):
        own = labels == k
        for i in range(0, 1000, 37):
            if not objects:
                assert all(math.isnan(curve[k, i]) for curve in curves)
                continue
            p, r = slow_point(right[own].tolist(), scores[own].tolist(), objects, float(CONFIDENCES[i]))
            f1 = 2 * p * r / (p + r) if p + r else 0
            assert [curve[k, i] for curve in curves] == pytest.approx([p, r, f1], abs=1e-12)


# --- best F1 --------------------------------------------------------------------------------------------


def best_of(correct: ArrayLike, scores: ArrayLike, labels: ArrayLike, truths: ArrayLike) -> BestF1:
    return best_f1(confidence_curves(correct, scores, labels, truths))


@pytest.mark.parametrize("case", range(4))
def test_best_f1_equals_golden(case: int) -> None:
    golden = golden_ap(case)
    counts = np.bincount(golden["target_cls"], minlength=6)
    best = best_of(golden["tp"][:, 0], golden["conf"], golden["pred_cls"], counts)
    for ours, name in ((best.precision, "p"), (best.recall, "r"), (best.f1, "f1")):
        np.testing.assert_allclose(ours[golden["classes"]], golden[name], rtol=1e-12)
        assert np.isnan(np.delete(ours, golden["classes"])).all()


def test_best_f1_finds_the_gap() -> None:
    """All right above 0.7, all wrong below 0.3: the threshold lies between, at precision and recall 1."""
    scores = np.concatenate([np.linspace(0.7, 1, 50), np.linspace(0, 0.3, 50)])
    best = best_of(scores > 0.5, scores, np.zeros(100, dtype=int), [50])
    assert 0.3 < best.confidence < 0.7
    assert best.f1[0] > 0.98


def test_best_f1_at_the_end_of_the_range() -> None:
    """All right at every score: the lower the threshold, the better."""
    best = best_of(np.ones(50), np.linspace(0, 1, 50), np.zeros(50, dtype=int), [50])
    assert best.confidence == 0
    assert best.f1[0] == pytest.approx(1)


def test_best_f1_above_every_score_of_a_class() -> None:
    """The common threshold suits class 0; class 1, always less sure, then says nothing and nothing wrong."""
    right = [True] * 20 + [False] * 200 + [True]
    scores = [0.9] * 20 + [0.3] * 200 + [0.1]
    best = best_of(right, scores, [0] * 220 + [1], [20, 10])
    assert 0.3 < best.confidence < 0.9
    assert best.precision[1] == 1
    assert best.recall[1] == best.f1[1] == 0


def test_best_f1_without_detections_or_objects() -> None:
    nothing = np.zeros(0)
    best = best_of(nothing, nothing, nothing, [3, 0])
    for values in best[1:]:
        assert values[0] == 0
        assert math.isnan(values[1])
    assert math.isnan(best_of([False], [0.5], [0], [0]).confidence)


# --- confusion ------------------------------------------------------------------------------------------


def slow_confusion(found: Detections, boxes: Tensor, labels: Tensor, classes: int) -> Tensor:
    matrix = torch.zeros(classes + 1, classes + 1, dtype=torch.int64)
    overlap = pairwise_iou(found.boxes, boxes)
    pairs = [
        (float(overlap[i].max()), i, int(overlap[i].argmax()))
        for i in range(len(found.labels))
        if found.scores[i] > 0.25 and len(labels) and overlap[i].max() > 0.45
    ]
    partner: dict[int, int] = {}
    for _, i, j in sorted(pairs, reverse=True):
        partner.setdefault(j, i)
    for j, label in enumerate(labels.tolist()):
        matrix[found.labels[partner[j]] if j in partner else classes, label] += 1
    for i, label in enumerate(found.labels.tolist()):
        if found.scores[i] > 0.25 and i not in partner.values():
            matrix[label, classes] += 1
    return matrix


@given(seed=seeds, objects=st.integers(0, 8), guesses=st.integers(0, 30))
def test_confusion_equals_slow_loop(seed: int, objects: int, guesses: int) -> None:
    (_, boxes, labels), found = random_image(seed, objects, guesses)
    matrix = confusion_matrix(found, boxes, labels, 3)
    assert torch.equal(matrix, slow_confusion(found, boxes, labels, 3))
    assert torch.equal(matrix.sum(dim=0)[:3], torch.bincount(labels, minlength=3))
    said = found.labels[found.scores > 0.25]
    assert torch.equal(matrix.sum(dim=1)[:3], torch.bincount(said, minlength=3))


def test_confusion_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    found = Detections(
        torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 9], [0, 1, 10, 10], [80, 80, 90, 90]]),
        torch.tensor([0.9, 0.8, 0.7, 0.6]),
        torch.tensor([0, 1, 0, 1]),
    )
    matrix = confusion_matrix(found, boxes, torch.tensor([0, 0, 1]), 2)
    assert matrix.tolist() == [
        [1, 0, 1],  # right; the duplicate found nothing new
        [1, 0, 1],  # a 0 taken for a 1; something where nothing is
        [0, 1, 0],  # the last object was missed
    ]
