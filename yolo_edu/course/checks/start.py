"""Exercises of lesson 00: a label row from a box, precision and recall from scores."""

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from yolo_edu.boxes import scale_boxes, xyxy_to_cxcywh
from yolo_edu.course.checks.compare import Function, Mistake, numbers
from yolo_edu.course.checks.functions import ROUNDS, judge_function

__all__ = ["label_row", "precision_recall"]


def _label_row(box: Tensor, width: float, height: float) -> Tensor:
    return scale_boxes(xyxy_to_cxcywh(box), 1 / width, 1 / height)


def label_row(function: Callable[[Tensor, int, int], Any]) -> Callable[[Tensor, int, int], Any]:
    """Exercise 0.1: (4,) xyxy pixels, image width, height → (4,) cx, cy, w, h normalized to the image."""
    random_ = random.Random(0)
    cases = []
    for _ in range(ROUNDS):
        width, height = random_.sample(range(200, 1000), 2)  # two different numbers: a swap must show
        x1, y1 = random_.uniform(0, width / 2), random_.uniform(0, height / 2)
        x2, y2 = random_.uniform(x1 + 9, width), random_.uniform(y1 + 9, height)
        cases.append((torch.tensor([x1, y1, x2, y2]), width, height))

    def corners(box: Tensor, w: int, h: int) -> Tensor:
        return scale_boxes(box, 1 / w, 1 / h)

    mistakes = [
        Mistake(
            lambda box, w, h: xyxy_to_cxcywh(box), "center and size are right, in pixels: you forgot to normalize."
        ),
        Mistake(corners, "you normalized, but these are still two corners, not a center and a size."),
        Mistake(
            lambda box, w, h: torch.cat([corners(box, w, h)[:2], _label_row(box, w, h)[2:]]),
            "the size is right, but x and y are the top-left corner. The format wants the center.",
        ),
        Mistake(
            lambda box, w, h: _label_row(box, w, h)[[2, 3, 0, 1]],
            "the numbers are right, in the wrong order: the center comes first, then the size.",
        ),
        Mistake(
            lambda box, w, h: _label_row(box, w, h)[[1, 0, 3, 2]],
            "the numbers are right, in the wrong order: x before y, width before height.",
        ),
        Mistake(
            lambda box, w, h: _label_row(box, h, w),
            "width and height are swapped: x and w are divided by the image's width, y and h by its height.",
        ),
        Mistake(
            lambda box, w, h: _label_row(box, w, h) * torch.tensor([1, 1, 0.5, 0.5]),
            "the center is right, but you give half the size. The format wants the whole width and height.",
        ),
    ]
    return judge_function(
        "0.1",
        function,
        _label_row,
        "yolo_edu's own conversion",
        cases=cases,
        mistakes=mistakes,
        describe=lambda box, w, h: f"the box {numbers(box)} in a photo of {w} × {h} pixels",
    )


def _precision_recall(scores: Tensor, correct: Tensor, objects: int, threshold: float) -> tuple[float, float]:
    kept = scores > threshold
    right = int((kept & correct).sum())
    return right / max(int(kept.sum()), 1), right / objects


def precision_recall(function: Function) -> Function:
    """Exercise 0.2: scores (N,), correct (N,) bool, number of objects, threshold → precision, recall."""
    generator = torch.Generator().manual_seed(0)
    cases: list[tuple[Any, ...]] = []
    for _ in range(ROUNDS):
        n = int(torch.randint(6, 30, (), generator=generator))
        scores = torch.rand(n, generator=generator).sort(descending=True).values
        correct = torch.rand(n, generator=generator) < 0.6
        objects = int(correct.sum()) + int(torch.randint(1, 9, (), generator=generator))
        cases.append((scores, correct, objects, float(scores[n // 2])))  # a score equal to the threshold goes
    cases.append((torch.tensor([0.3, 0.2]), torch.tensor([True, False]), 2, 0.9))  # nothing is kept

    def at_least(scores: Tensor, correct: Tensor, objects: int, threshold: float) -> tuple[float, float]:
        return _precision_recall(scores, correct, objects, threshold - 1e-6)

    def of_all(scores: Tensor, correct: Tensor, objects: int, threshold: float) -> tuple[float, float]:
        right = float(((scores > threshold) & correct).sum())
        return right / len(scores), right / objects

    def of_reported(scores: Tensor, correct: Tensor, objects: int, threshold: float) -> tuple[float, float]:
        kept = scores > threshold
        right = float((kept & correct).sum())
        return right / max(int(kept.sum()), 1), right / max(int(correct.sum()), 1)

    mistakes = [
        Mistake(
            lambda s, c, n, t: _precision_recall(s, c, n, t)[::-1],
            "both numbers are right, in the wrong order: precision first, then recall.",
        ),
        Mistake(
            lambda s, c, n, t: _precision_recall(s, c, n, -1.0),
            "the threshold is ignored: count only boxes with a score above it.",
        ),
        Mistake(at_least, "a score equal to the threshold is not above it: use `>`, as yolo_edu does."),
        Mistake(of_all, "precision is a share of the boxes that were kept, not of all boxes."),
        Mistake(of_reported, "recall is a share of the objects in the photo, also of those that no box ever found."),
    ]
    return judge_function(
        "0.2",
        function,
        _precision_recall,
        "yolo_edu's own count",
        cases=cases,
        mistakes=mistakes,
        describe=lambda s, c, n, t: f"{len(s)} boxes, {n} objects and the threshold {t:.2f}",
    )
