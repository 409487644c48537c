"""Exercise 7.3 of lesson 07: the best possible recall."""

from collections.abc import Callable

import torch
from torch import Tensor

from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function

__all__ = ["best_possible_recall"]


def _recall(sizes: Tensor, anchors: Tensor, threshold: float = 4.0) -> Tensor:
    ratio = sizes[:, None] / anchors
    return (torch.maximum(ratio, 1 / ratio).amax(dim=2) < threshold).any(dim=1).float().mean()


def best_possible_recall(
    function: Callable[[Tensor, Tensor, float], float],
) -> Callable[[Tensor, Tensor, float], float]:
    """Exercise 7.3: sizes (N, 2), anchors (A, 2) of the same unit, threshold → share of labels an anchor fits."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        threshold = (2.0, 4.0)[index % 2]
        anchors = 2.0 ** torch.randint(3, 7, (3, 2), generator=generator)  # powers of two: ratios of exactly 4 occur
        sizes = 2.0 ** (1 + 7 * torch.rand(25, 2, generator=generator))
        edge = anchors[:2] * torch.tensor([[threshold, 1.0], [1.0, 1 / threshold]])
        cases.append((torch.cat([sizes, edge]), anchors, threshold))

    def of(judge: Callable[[Tensor, float], Tensor]) -> Function:
        """A share of labels with another idea of fitting: judge(ratio (N, A, 2), threshold) → (N,) bool."""
        return lambda sizes, anchors, t: judge(sizes[:, None] / anchors, t).float().mean()

    def one_side(side: int) -> Function:
        return of(lambda r, t: (torch.maximum(r, 1 / r)[..., side] < t).any(dim=1))

    def worst(r: Tensor) -> Tensor:
        return torch.maximum(r, 1 / r).amax(dim=2)

    mistakes = [
        Mistake(
            of(lambda r, t: (r.amax(dim=2) < t).any(dim=1)),
            "a label may be too small for an anchor as well as too large: the ratio and its inverse count.",
        ),
        Mistake(
            of(lambda r, t: (r.amin(dim=2) > 1 / t).any(dim=1)),
            "a label may be too large for an anchor as well as too small: the ratio and its inverse count.",
        ),
        *(
            Mistake(
                one_side(side),
                f"you look at the {name} only. An anchor fits if neither side is off: the worse of the two decides.",
            )
            for side, name in enumerate(("widths", "heights"))
        ),
        Mistake(
            of(lambda r, t: (torch.maximum(r, 1 / r).mean(dim=2) < t).any(dim=1)),
            "you average width and height. One side that is far off cannot be made good by the other: take the worse.",
        ),
        Mistake(
            of(lambda r, t: (torch.maximum(r, 1 / r).amin(dim=2) < t).any(dim=1)),
            "one fitting side is not enough: the worse of width and height decides.",
        ),
        Mistake(
            of(lambda r, t: (worst(r) <= t).any(dim=1)),
            "off by exactly the threshold does not fit any more: use `<`, as the assignment does.",
        ),
        Mistake(
            of(lambda r, t: (worst(r) < t).all(dim=1)),
            "one anchor that fits is enough. You ask that all of them fit: `any` over the anchors.",
        ),
        Mistake(
            of(lambda r, t: worst(r).mean(dim=1) < t),
            "you average over the anchors. A label needs one that fits, so the best anchor decides.",
        ),
        Mistake(
            lambda s, a, t: (worst(s[:, None] / a) < t).sum(dim=1).float().mean(),
            "this is the mean number of anchors that fit a label. Asked for: the share of labels with at least one.",
        ),
        Mistake(
            lambda s, a, t: _recall(s, a, t) * len(s),
            "this is the number of labels. Asked for: their share, between 0 and 1.",
        ),
        Mistake(
            of(lambda r, t: (torch.maximum(r.prod(dim=2), 1 / r.prod(dim=2)) < t).any(dim=1)),
            "you compare areas. A long thin label can have an anchor's area and nothing of its shape: compare sides.",
        ),
    ]
    return judge_function(
        "7.3",
        function,
        _recall,
        "yolo_edu's own count",
        cases=cases,
        mistakes=mistakes,
        describe=lambda sizes, a, t: f"{len(sizes)} labels, {len(a)} anchors and the threshold {t:g}",
    )
