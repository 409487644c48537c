"""The third exercise of lesson 09: average precision."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from yolo_edu import metrics
from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function

__all__ = ["average_precision"]

# No multiple of 0.01 is a recall here, except 0 and 1: the result does not hang on rounding.
OBJECTS = (7, 11, 13, 17, 19, 23)


def _average_precision(scores: Tensor, correct: Tensor, objects: int) -> float:
    order = scores.argsort(descending=True, stable=True)
    return float(metrics.average_precision(correct[order][:, None].numpy(), objects)[0])


def _curve(scores: Tensor, correct: Tensor, objects: int) -> tuple[np.ndarray, np.ndarray]:
    return metrics.precision_recall(correct[scores.argsort(descending=True)].numpy(), objects)


def _read(precision: np.ndarray, recall: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The precision of the first row that reaches each recall; 0 where none does."""
    return np.append(precision, 0.0)[np.searchsorted(recall, at)]


def _envelope(precision: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(precision[::-1])[::-1]


def average_precision(function: Callable[[Tensor, Tensor, int], float]) -> Callable[[Tensor, Tensor, int], float]:
    """Exercise 9.3: scores (N,), correct (N,) bool, number of objects → average precision, one number."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        objects = OBJECTS[index % len(OBJECTS)]
        hits = max(objects - index % 4, 1)
        wrong = int(torch.randint(3, 15, (), generator=generator))
        mixed = torch.randperm(hits + wrong, generator=generator)
        scores = (torch.randperm(hits + wrong, generator=generator) + 1) / (hits + wrong + 2)
        cases.append((scores, (torch.arange(hits + wrong) < hits)[mixed], objects))

    def sampled(shape: Callable[[np.ndarray], np.ndarray], recalls: int = 101) -> Function:
        def ap(scores: Tensor, correct: Tensor, objects: int) -> float:
            precision, recall = _curve(scores, correct, objects)
            return float(_read(shape(precision), recall, np.linspace(0, 1, recalls)).mean())

        return ap

    def reached_only(scores: Tensor, correct: Tensor, objects: int) -> float:
        precision, recall = _curve(scores, correct, objects)
        return float(_read(_envelope(precision), recall, metrics.RECALLS[recall[-1] >= metrics.RECALLS]).mean())

    def exact(shape: Callable[[np.ndarray], np.ndarray]) -> Function:
        def ap(scores: Tensor, correct: Tensor, objects: int) -> float:
            precision, recall = _curve(scores, correct, objects)
            return float((np.diff(recall, prepend=0) * shape(precision)).sum())

        return ap

    def trapezoid(shape: Callable[[np.ndarray], np.ndarray]) -> Function:
        def ap(scores: Tensor, correct: Tensor, objects: int) -> float:
            precision, recall = _curve(scores, correct, objects)
            return float(np.trapezoid(shape(precision), recall))

        return ap

    def plain(precision: np.ndarray) -> np.ndarray:
        return precision

    mistakes = [
        Mistake(
            sampled(plain),
            "you read the zigzag itself. The envelope is missing: at each recall count the best precision at that "
            "recall or a higher one.",
        ),
        Mistake(
            sampled(np.maximum.accumulate),
            "your running maximum goes from left to right, so it never falls. The envelope looks ahead: the best "
            "precision at this recall or a higher one. Turn the row round, accumulate, turn it back.",
        ),
        Mistake(
            lambda s, c, n: float(_curve(s, c, n)[0].mean()),
            "this is the mean of the precisions over the detections. It is to be averaged over recalls.",
        ),
        Mistake(
            lambda s, c, n: _average_precision(s, c, max(int(c.sum()), 1)),
            "your recall ends at 1 although objects were missed: divide by the number of objects, not by the number of "
            "right detections.",
        ),
        Mistake(
            lambda s, c, n: _average_precision(s, c, len(c)),
            "you divide by the number of detections to get the recall. Recall is right detections over objects.",
        ),
        Mistake(
            lambda s, c, n: _average_precision(torch.arange(len(s), 0, -1).float(), c, n),
            "the detections are taken in the order in which they came. Sort them by score first, the surest first.",
        ),
        Mistake(
            lambda s, c, n: _average_precision(-s, c, n),
            "you sort by score, but ascending: the surest detection comes first.",
        ),
        Mistake(
            trapezoid(plain),
            "the trapezoids begin at the first detection's recall, not at 0, and follow the zigzag. Read the envelope "
            "at 101 recalls instead.",
        ),
        Mistake(
            trapezoid(_envelope),
            "the trapezoids begin at the first detection's recall, not at 0, so the curve's start is missing. Read the "
            "envelope at 101 recalls instead.",
        ),
        Mistake(
            reached_only,
            "you average only over recalls that were reached. A recall that is never reached counts as 0.",
        ),
        Mistake(
            sampled(_envelope, 11),
            "you read at 11 recalls, as the VOC challenge did before 2010. COCO reads at 101: 0, 0.01 … 1.",
        ),
        Mistake(sampled(_envelope, 100), "you read at 100 recalls. From 0 to 1 in steps of 0.01 there are 101."),
        Mistake(
            exact(_envelope),
            "this is the exact area under the envelope, the rule of VOC since 2010: very near, but COCO takes the mean "
            "of 101 readings.",
        ),
        Mistake(
            exact(plain),
            "this averages the precision at each right detection, without an envelope and without the 101 readings.",
        ),
        Mistake(
            lambda s, c, n: float(_curve(s, c, n)[0][-1]),
            "this is the precision of all detections together: one point of the curve.",
        ),
    ]
    return judge_function(
        "9.3",
        function,
        _average_precision,
        "yolo_edu's own average precision",
        cases=cases,
        mistakes=mistakes,
        describe=lambda s, c, n: f"{len(s)} detections, {int(c.sum())} of them right, and {n} objects",
    )
