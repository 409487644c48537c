"""Suppression: the golden settings exactly, a loop that is obviously right, and the cases at the edge."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from yolo_edu import nms as module
from yolo_edu.errors import UserError
from yolo_edu.nms import Detections, nms

SETTINGS: dict[str, dict[str, Any]] = {
    "detect": {},
    "val": {"confidence": 0.001, "iou": 0.6, "multi_label": True},
    "agnostic": {"agnostic": True},
    "few": {"confidence": 0.1, "iou": 0.5, "max_detections": 20},
    "classes": {"classes": (1, 3)},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_equals_golden(name: str) -> None:
    with np.load(GOLDEN / "nms_v7.npz") as golden:
        found = nms(torch.from_numpy(golden["prediction"]), **SETTINGS[name])
        assert len(found) == 2
        for i, (boxes, scores, labels) in enumerate(found):
            expected = torch.from_numpy(golden[f"{name}_{i}"])
            assert torch.equal(torch.cat([boxes, scores[:, None], labels[:, None]], dim=1), expected)


def random_rows(count: int, classes: int, seed: int) -> Tensor:
    """(1, N, 5 + K) rows that crowd each other. In eighths of a pixel, so that no class offset rounds them."""
    generator = torch.Generator().manual_seed(seed)
    xy = torch.randint(200, 500, (count, 2), generator=generator) / 4
    wh = torch.randint(40, 200, (count, 2), generator=generator) / 4
    return torch.cat([xy, wh, torch.rand(count, 1 + classes, generator=generator)], dim=1)[None]


def one_iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def slow_nms(
    rows: Tensor, confidence: float, iou: float, multi_label: bool, agnostic: bool, limit: int
) -> list[tuple[list[float], float, int]]:
    """One image, (N, 5 + K), as a person would do it."""
    candidates = []
    for row in rows:
        x, y, w, h = row[:4].tolist()
        box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        scores = [(float(row[4] * p), k) for k, p in enumerate(row[5:])]
        candidates += [(box, *pair) for pair in (scores if multi_label else [max(scores)])]
    candidates = sorted((c for c in candidates if c[1] > confidence), key=lambda c: -c[1])
    kept: list[tuple[list[float], float, int]] = []
    for box, score, label in candidates:
        rivals = [k for k in kept if agnostic or k[2] == label]
        if all(one_iou(box, rival[0]) <= iou for rival in rivals):
            kept.append((box, score, label))
    return kept[:limit]


@given(
    count=st.integers(0, 40),
    classes=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    confidence=st.sampled_from([0.0, 0.05, 0.3]),
    iou=st.sampled_from([0.2003, 0.4507, 0.7001]),  # no fraction that float32 could round across
    multi_label=st.booleans(),
    agnostic=st.booleans(),
    limit=st.sampled_from([3, 300]),
)
def test_equals_slow_loop(
    count: int,
    classes: int,
    seed: int,
    confidence: float,
    iou: float,
    multi_label: bool,
    agnostic: bool,
    limit: int,
) -> None:
    rows = random_rows(count, classes, seed)
    (found,) = nms(
        rows,
        confidence=confidence,
        iou=iou,
        multi_label=multi_label,
        agnostic=agnostic,
        max_detections=limit,
    )
    expected = slow_nms(rows[0], confidence, iou, multi_label, agnostic, limit)
    assert found.boxes.tolist() == [box for box, _, _ in expected]
    assert found.scores.tolist() == [score for _, score, _ in expected]
    assert found.labels.tolist() == [label for _, _, label in expected]


@given(seed=st.integers(0, 10_000), multi_label=st.booleans())
def test_order_of_rows_does_not_matter(seed: int, multi_label: bool) -> None:
    rows = random_rows(30, 3, seed)
    mixed = rows[:, torch.randperm(30, generator=torch.Generator().manual_seed(seed))]
    for a, b in zip(nms(rows, multi_label=multi_label), nms(mixed, multi_label=multi_label), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_batch_equals_single_images() -> None:
    batch = torch.cat([random_rows(50, 3, seed) for seed in range(4)])
    for i, found in enumerate(nms(batch)):
        (alone,) = nms(batch[i : i + 1])
        assert all(torch.equal(x, y) for x, y in zip(found, alone, strict=True))


def test_thresholds_are_strict() -> None:
    rows = torch.tensor([[[50, 50, 20, 20, 0.5, 1.0], [50, 60, 20, 20, 1.0, 0.75]]])
    assert nms(rows, confidence=0.5)[0].scores.tolist() == [0.75]
    for multi_label in (False, True):
        assert len(nms(rows[:, 1:], confidence=0.75, multi_label=multi_label)[0].scores) == 0
    third = 200 / 600  # half of each box is shared: 200 of 400 + 400 − 200 pixels
    assert len(nms(rows, iou=third + 1e-4)[0].scores) == 2
    assert len(nms(rows, iou=third - 1e-4)[0].scores) == 1


def test_objectness_alone_does_not_suffice() -> None:
    rows = torch.tensor([[[50, 50, 20, 20, 0.9, 0.2, 0.25]]])  # products 0.18 and 0.225
    assert len(nms(rows, confidence=0.2)[0].labels) == 1
    assert len(nms(rows, confidence=0.23)[0].labels) == 0


def test_multi_label_gives_a_candidate_for_each_class() -> None:
    rows = torch.tensor([[[50, 50, 20, 20, 1.0, 0.8, 0.1, 0.9]]])
    assert nms(rows)[0].labels.tolist() == [2]
    assert nms(rows, multi_label=True)[0].labels.tolist() == [2, 0]
    assert nms(rows, multi_label=True, agnostic=True)[0].labels.tolist() == [2]


def test_class_filter() -> None:
    rows = random_rows(60, 4, seed=0)
    everything, some = nms(rows, multi_label=True)[0], nms(rows, multi_label=True, classes=[0, 2])[0]
    assert set(some.labels.tolist()) == {0, 2}
    # Classes do not suppress each other, so filtering before and after is the same.
    mask = torch.isin(everything.labels, torch.tensor([0, 2]))
    assert torch.equal(everything.boxes[mask], some.boxes)
    assert len(nms(rows, classes=[])[0].labels) == 0


def test_only_the_best_candidates_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows(60, 1, seed=1)
    everything = nms(rows, confidence=0.0, iou=1.0)[0]
    monkeypatch.setattr(module, "MAX_CANDIDATES", 7)
    few = nms(rows, confidence=0.0, iou=1.0)[0]
    assert len(everything.scores) == 60
    assert torch.equal(few.scores, everything.scores[:7])


@pytest.mark.parametrize("shape", [(2, 0, 8), (2, 5, 8), (0, 5, 8)])
@pytest.mark.parametrize("multi_label", [False, True])
def test_nothing_to_find(shape: tuple[int, int, int], multi_label: bool) -> None:
    found = nms(torch.zeros(shape), multi_label=multi_label, classes=[1])
    assert len(found) == shape[0]
    for detections in found:
        assert isinstance(detections, Detections)
        assert detections.boxes.shape == (0, 4)
        assert detections.scores.shape == (0,)
        assert detections.labels.shape == (0,)
        assert detections.labels.dtype == torch.int64


def test_input_stays_as_it_was() -> None:
    rows = random_rows(20, 2, seed=2)
    before = rows.clone()
    nms(rows, confidence=0.0, multi_label=True)
    assert torch.equal(rows, before)


@pytest.mark.parametrize("wrong", [{"confidence": 25.0}, {"iou": -0.1}, {"confidence": float("nan")}])
def test_thresholds_outside_the_unit_interval(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        nms(torch.zeros(1, 3, 7), **wrong)  # type: ignore[arg-type]
