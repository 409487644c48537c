"""Exercises of lesson 09: the overlap of pairs, suppression; `boxes_curve` has the third."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import nms

from yolo_edu.boxes import area, cxcywh_to_xyxy, iou, pairwise_iou
from yolo_edu.course.checks.boxes_curve import average_precision
from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function

__all__ = ["average_precision", "iou_pairs", "suppress"]


# --- 9.1 ------------------------------------------------------------------------------------------------


def _box_pairs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A few pairs in pixels, some overlapping, some apart in one direction, some in both."""
    n = int(torch.randint(5, 9, (), generator=generator))
    size = 20 + 40 * torch.rand(2, n, 2, generator=generator)
    corner = 100 * torch.rand(2, n, 2, generator=generator)
    corner[1, ::2] = corner[0, ::2] + 30 * torch.rand(len(corner[0, ::2]), 2, generator=generator) - 10
    corner[1, 1] = corner[0, 1] + 70  # apart in both directions: two negative sides make a positive product
    boxes = torch.cat([corner, corner + size], dim=2)
    return boxes[0], boxes[1]


def _sides(a: Tensor, b: Tensor) -> Tensor:
    """(N, 2) width and height of the overlap, negative where there is none."""
    return torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])


def _areas(a: Tensor, b: Tensor) -> Tensor:
    return area(a) + area(b)


def iou_pairs(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Exercise 9.1: a, b (N, 4) xyxy → (N,) IoU of each row with the row beside it."""
    generator = torch.Generator().manual_seed(0)
    cases = [_box_pairs(generator) for _ in range(ROUNDS)]

    def shared(a: Tensor, b: Tensor) -> Tensor:
        return _sides(a, b).clamp(min=0).prod(dim=1)

    def one_pixel_more(a: Tensor, b: Tensor) -> Tensor:
        inside = (_sides(a, b) + 1).clamp(min=0).prod(dim=1)
        return inside / ((a[:, 2:] - a[:, :2] + 1).prod(dim=1) + (b[:, 2:] - b[:, :2] + 1).prod(dim=1) - inside)

    def unclamped(a: Tensor, b: Tensor) -> Tensor:
        inside = _sides(a, b).prod(dim=1)
        return inside / (_areas(a, b) - inside)

    def clamped_late(a: Tensor, b: Tensor) -> Tensor:
        inside = _sides(a, b).prod(dim=1).clamp(min=0)
        return inside / (_areas(a, b) - inside)

    def as_centers(a: Tensor, b: Tensor) -> Tensor:
        return iou(cxcywh_to_xyxy(a), cxcywh_to_xyxy(b))

    def sizes_from_corners(a: Tensor, b: Tensor) -> Tensor:
        inside = shared(a, b)
        return inside / (a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - inside)

    def hull_for_union(a: Tensor, b: Tensor) -> Tensor:
        hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
        return shared(a, b) / hull.prod(dim=1)

    def swapped(a: Tensor, b: Tensor) -> Tensor:
        hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
        return hull / (_areas(a, b) - hull)

    mistakes = [
        Mistake(
            unclamped,
            "boxes that do not meet have an overlap of 0, and yours is not: a negative side must become 0 "
            "(`clamp(min=0)`). Two negative sides even make a positive area.",
        ),
        Mistake(
            clamped_late,
            "clamp the two sides, not their product: boxes apart in both directions have two negative sides, and "
            "minus times minus is plus.",
        ),
        Mistake(
            lambda a, b: shared(a, b) / _areas(a, b),
            "your union counts the overlap twice: subtract the intersection from the sum of the two areas.",
        ),
        Mistake(
            lambda a, b: 2 * shared(a, b) / _areas(a, b),
            "this is the Dice coefficient, twice the overlap over the sum of the areas. IoU divides by the union.",
        ),
        Mistake(
            one_pixel_more,
            "you count a pixel more on each side (x2 − x1 + 1), as old code with whole pixels did. Here coordinates "
            "are lines between pixels: the width is x2 − x1.",
        ),
        Mistake(
            as_centers, "you read the boxes as cx, cy, w, h. They are xyxy: left, top, right, bottom. Do not convert."
        ),
        Mistake(
            sizes_from_corners,
            "the third and fourth numbers are right and bottom, not width and height: the area is (x2 − x1)(y2 − y1).",
        ),
        Mistake(shared, "this is the area of the intersection. Divide it by the area of the union."),
        Mistake(
            lambda a, b: _areas(a, b) - shared(a, b), "this is the area of the union. The intersection goes over it."
        ),
        Mistake(
            lambda a, b: shared(a, b) / torch.minimum(area(a), area(b)),
            "you divide by the smaller box. Then a small box inside a large one would be a perfect match.",
        ),
        Mistake(lambda a, b: shared(a, b) / area(a), "you divide by the area of the first box, not by the union."),
        Mistake(lambda a, b: shared(a, b) / area(b), "you divide by the area of the second box, not by the union."),
        Mistake(
            hull_for_union,
            "you divide by the box around both, the hull. The union is smaller: the sum of the areas minus the "
            "overlap.",
        ),
        Mistake(
            swapped,
            "maximum and minimum are exchanged: the overlap begins at the larger of the two lefts (and tops) and ends "
            "at the smaller of the two rights (and bottoms). Yours is the hull.",
        ),
        Mistake(lambda a, b: 1 - iou(a, b), "this is the loss, 1 − IoU. Return the IoU."),
        Mistake(
            pairwise_iou,
            "you compare every box of a with every box of b, (N, N). Asked for: row i with row i, N numbers.",
        ),
        Mistake(lambda a, b: iou(a, b).mean(), "you return the mean. Return one number for each pair."),
        Mistake(lambda a, b: iou(a, b)[:, None], "the numbers are right, but (N, 1): drop the last axis."),
    ]
    return judge_function(
        "9.1",
        function,
        iou,
        "yolo_edu's own iou",
        cases=cases,
        mistakes=mistakes,
        describe=lambda a, b: f"{len(a)} pairs of boxes",
        gradient=True,
    )


# --- 9.2 ------------------------------------------------------------------------------------------------


def _candidates(generator: torch.Generator, index: int) -> tuple[Tensor, Tensor, float]:
    """Clusters of boxes in any order; every fourth case has an overlap of exactly the threshold."""
    centers = 120 * torch.rand(3, 1, 2, generator=generator)
    corner = (centers + 24 * torch.rand(3, 5, 2, generator=generator)).view(-1, 2)
    boxes = torch.cat([corner, corner + 25 + 20 * torch.rand(15, 2, generator=generator)], dim=1)
    scores = torch.randperm(15, generator=generator) / 16 + 0.03
    if index % 4:
        return boxes, scores, (0.3, 0.45, 0.6)[index % 3]
    boxes[:2] = torch.tensor([[300.0, 300, 340, 320], [300, 300, 320, 320]])  # IoU exactly one half
    return boxes, scores, 0.5


def _suppress(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return nms(boxes, scores, threshold)


def _greedy(
    boxes: Tensor,
    order: Tensor,
    gone: Function,
) -> Tensor:
    """Walk through the boxes in this order; keep one unless gone(its IoUs with kept boxes)."""
    overlap, kept = pairwise_iou(boxes, boxes), list[int]()
    for i in order.tolist():
        if not kept or not gone(overlap[i, kept]):
            kept.append(i)
    return torch.tensor(kept)


def suppress(function: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Exercise 9.2: boxes (N, 4) xyxy, scores (N,), threshold → indices of the kept boxes, best score first."""
    generator = torch.Generator().manual_seed(0)
    cases = [_candidates(generator, index) for index in range(ROUNDS)]

    def order(scores: Tensor) -> Tensor:
        return scores.argsort(descending=True)

    def by_dead_boxes(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
        first = order(scores)
        close = (pairwise_iou(boxes[first], boxes[first]) > threshold).tril(-1)
        return first[~close.any(dim=1)]

    def ranks(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
        first = order(scores)
        return nms(boxes[first], scores[first], threshold)

    def others(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
        first, kept = order(scores), nms(boxes, scores, threshold)
        return first[~torch.isin(first, kept)]

    def mask(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
        return torch.isin(torch.arange(len(boxes)), nms(boxes, scores, threshold))

    mistakes = [
        Mistake(
            lambda b, s, t: _greedy(b, order(s), lambda x: bool((x >= t).any())),
            "a box goes when its IoU is greater than the threshold; yours also goes when it is equal. Use `>`.",
        ),
        Mistake(
            lambda b, s, t: _greedy(b, torch.arange(len(b)), lambda x: bool((x > t).any())),
            "you take the boxes in the order in which they came. The surest goes first: sort by score.",
        ),
        Mistake(
            lambda b, s, t: _greedy(b, s.argsort(), lambda x: bool((x > t).any())),
            "you start with the least sure box: `argsort` is ascending unless you say `descending=True`.",
        ),
        Mistake(
            lambda b, s, t: _greedy(b, order(s), lambda x: bool(x[-1] > t)),
            "you compare each box only with the last one you kept. It must be compared with every kept box.",
        ),
        Mistake(
            by_dead_boxes,
            "your suppressed boxes still suppress others. Only a box that was kept may remove another: A removes B, "
            "and then B no longer counts against C.",
        ),
        Mistake(
            lambda b, s, t: _greedy(b, order(s), lambda x: bool((x <= t).any())),
            "you drop boxes that overlap little and keep those that overlap much: the comparison is turned round.",
        ),
        Mistake(mask, "you return a mask, true for kept boxes. Return their indices, the best score first."),
        Mistake(
            lambda b, s, t: nms(b, s, t).sort().values,
            "the right boxes, but sorted by index. Return them in order of their score, the best first.",
        ),
        Mistake(
            lambda b, s, t: nms(b, s, t).flip(0), "the right boxes, but the least sure first: turn the order round."
        ),
        Mistake(
            ranks,
            "your indices count in the sorted list. Translate them back to places in `boxes`: `order[i]`.",
        ),
        Mistake(lambda b, s, t: b[nms(b, s, t)], "the right boxes, but as boxes. Return their indices."),
        Mistake(lambda b, s, t: s[nms(b, s, t)], "the right boxes, but you return their scores. Return their indices."),
        Mistake(others, "these are the suppressed boxes. Return the kept ones."),
        Mistake(lambda b, s, t: order(s), "nothing is suppressed: these are all boxes, sorted."),
    ]
    return judge_function(
        "9.2",
        function,
        _suppress,
        "torchvision's nms",
        cases=cases,
        mistakes=mistakes,
        describe=lambda b, s, t: f"{len(b)} boxes and threshold {t}",
    )
