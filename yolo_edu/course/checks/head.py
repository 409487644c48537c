"""Exercises of lesson 07: the layout of the raw maps, the box formula; `head_anchors` has the third."""

from collections.abc import Callable

import torch
from torch import Tensor

from yolo_edu.boxes import cxcywh_to_xyxy
from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function
from yolo_edu.course.checks.head_anchors import best_possible_recall
from yolo_edu.model.detect import decode_box

__all__ = ["best_possible_recall", "decode_level", "numbers_last"]


# --- 7.1 ------------------------------------------------------------------------------------------------


def _numbers_last(x: Tensor, anchors: int) -> Tensor:
    b, c, h, w = x.shape
    return x.view(b, anchors, c // anchors, h, w).permute(0, 1, 3, 4, 2).contiguous()


def numbers_last(function: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """Exercise 7.1: x (B, A · (5 + K), h, w), A → (B, A, h, w, 5 + K)."""
    generator = torch.Generator().manual_seed(0)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    cases = []
    for _ in range(ROUNDS):
        a, k, h = number(2, 4), number(1, 4), number(2, 5)
        cases.append((torch.randn(number(1, 3), a * (5 + k), h, h + number(1, 3), generator=generator), a))

    def outputs_first(x: Tensor, a: int) -> Tensor:
        b, c, h, w = x.shape
        return x.view(b, c // a, a, h, w).permute(0, 2, 3, 4, 1)

    def only_viewed(x: Tensor, a: int) -> Tensor:
        b, c, h, w = x.shape
        return x.reshape(b, a, h, w, c // a)

    def not_moved(x: Tensor, a: int) -> Tensor:
        b, c, h, w = x.shape
        return x.view(b, a, c // a, h, w)

    def channels_split_last(x: Tensor, a: int) -> Tensor:
        b, c, h, w = x.shape
        return x.permute(0, 2, 3, 1).reshape(b, h, w, a, c // a)

    def cells_viewed(x: Tensor, a: int) -> Tensor:
        b, c, h, w = x.shape
        return x.permute(0, 2, 3, 1).reshape(b, a, h, w, c // a)

    mistakes = [
        Mistake(
            outputs_first,
            "the shape is right, but you cut the channels into (5 + K, A). The channels are ordered by anchor: all "
            "5 + K numbers of the first anchor, then those of the second.",
        ),
        Mistake(
            only_viewed,
            "the shape is right, but `view` and `reshape` only cut the same row of numbers anew; they move nothing. "
            "The 5 + K numbers of a cell stand h · w places apart: `permute` has to bring them together.",
        ),
        Mistake(
            cells_viewed,
            "the shape is right, but after the permute the order in memory is row, column, channel. Cut the channels "
            "into (A, 5 + K) before you move any axis.",
        ),
        Mistake(not_moved, "the channels are cut rightly. Now the 5 + K numbers must become the last axis: permute."),
        Mistake(
            lambda x, a: _numbers_last(x, a).transpose(2, 3),
            "rows and columns are exchanged: h comes before w, as in the map that came in.",
        ),
        Mistake(
            channels_split_last, "the numbers are right, but the anchors come before the rows: (B, A, h, w, 5 + K)."
        ),
    ]
    return judge_function(
        "7.1",
        function,
        _numbers_last,
        "yolo_edu's own order",
        cases=cases,
        mistakes=mistakes,
        describe=lambda x, a: f"a map of shape {tuple(x.shape)} and {a} anchors",
        gradient=True,
    )


# --- 7.2 ------------------------------------------------------------------------------------------------


def _cells(raw: Tensor) -> Tensor:
    """(h, w, 2) column, row of every cell."""
    h, w = raw.shape[2:4]
    return torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")[::-1], dim=-1)


def _decode_level(raw: Tensor, anchors: Tensor, stride: int) -> Tensor:
    box = decode_box(raw, anchors[:, None, None])
    return torch.cat([(box[..., :2] + _cells(raw)) * stride, box[..., 2:] * stride], dim=-1)


def decode_level(function: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor, int], Tensor]:
    """Exercise 7.2: raw (B, A, h, w, 4), anchors (A, 2) in cells, stride → cx, cy, w, h in pixels, same shape."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        a, h = 2 + index % 2, 4 + index % 3  # more rows and columns than anchors: a wrong broadcast stops
        w = h + 2 + index % 3
        raw = 2 * torch.randn(1 + index % 2, a, h, w, 4, generator=generator)
        cases.append((raw, 1 + 6 * torch.rand(a, 2, generator=generator), (8, 16, 32)[index % 3]))

    def variant(center: Function, size: Function) -> Function:
        """A decoding with other formulas: center(raw xy, cells, stride), size(raw wh, anchors in cells, stride)."""

        def decode(raw: Tensor, anchors: Tensor, stride: int) -> Tensor:
            xy = center(raw[..., :2], _cells(raw), stride)
            return torch.cat([xy, size(raw[..., 2:], anchors[:, None, None], stride)], dim=-1)

        return decode

    def center(t: Tensor, cell: Tensor, s: int) -> Tensor:
        return (2 * t.sigmoid() - 0.5 + cell) * s

    def size(t: Tensor, a: Tensor, s: int) -> Tensor:
        return (2 * t.sigmoid()) ** 2 * a * s

    def transposed(raw: Tensor, anchors: Tensor, stride: int) -> Tensor:
        h, w = raw.shape[2:4]
        grid = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="ij"), dim=-1)
        return (2 * raw[..., :2].sigmoid() - 0.5 + grid) * stride

    def unaligned(raw: Tensor, anchors: Tensor, stride: int) -> Tensor:
        return (2 * raw[..., 2:].sigmoid()) ** 2 * anchors * stride

    mistakes = [
        Mistake(
            variant(lambda t, c, s: center(t, c.flip(-1), s), size),
            "row and column are swapped: x goes with the column, y with the row. On a square grid nothing stops, and "
            "every box lands mirrored on the diagonal.",
        ),
        Mistake(
            variant(center, lambda t, a, s: t.exp() * a * s),
            "exp(t) · anchor is YOLOv3's size. YOLOv5 uses (2σ(t))², which ends at four anchors.",
        ),
        Mistake(
            variant(lambda t, c, s: (2 * t.sigmoid() + c) * s, size),
            "the center is half a cell too far right and down: you forgot to subtract 0.5.",
        ),
        Mistake(
            variant(lambda t, c, s: (t.sigmoid() + c) * s, size),
            "σ(t) alone is YOLOv3's offset, which never leaves its cell. YOLOv5 stretches it: 2σ(t) − 0.5.",
        ),
        Mistake(
            variant(lambda t, c, s: (2 * t - 0.5 + c) * s, lambda t, a, s: (2 * t) ** 2 * a * s),
            "you forgot the sigmoid: raw numbers are logits.",
        ),
        Mistake(
            variant(center, lambda t, a, s: 2 * t.sigmoid() * a * s),
            "you forgot the square: the size is (2σ(t))² anchors.",
        ),
        Mistake(
            variant(center, lambda t, a, s: 2 * t.sigmoid() ** 2 * a * s),
            "the square covers the 2 as well: (2σ)², not 2σ². At t = 0 the box must be as large as its anchor.",
        ),
        Mistake(
            variant(center, lambda t, a, s: size(t, a, 1)),
            "the center is right, but width and height are still in cells: these anchors are in cells, so the size "
            "needs the stride too.",
        ),
        Mistake(
            variant(lambda t, c, s: center(t, c, 1), size),
            "the size is right, but the center is still in cells: multiply by the stride.",
        ),
        Mistake(
            variant(lambda t, c, s: center(t, c, 1), lambda t, a, s: size(t, a, 1)),
            "the right boxes in the wrong unit: these are grid cells. Pixels are cells times the stride.",
        ),
        Mistake(
            variant(lambda t, c, s: (2 * t.sigmoid() - 0.5) * s + c, size),
            "the cell is added after multiplying by the stride. Row and column count cells: add first.",
        ),
        Mistake(
            variant(lambda t, c, s: (2 * t.sigmoid() - 0.5) * s + 0 * c, size),
            "every box sits at the image's top left corner: you forgot to add column and row.",
        ),
        Mistake(
            lambda r, a, s: cxcywh_to_xyxy(_decode_level(r, a, s)),
            "the boxes are right, but you return two corners. Asked for: center and size.",
        ),
        Mistake(
            transposed,
            "your grid of cells is laid out (w, h). The maps are (h, w): "
            '`torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")` gives row and column in this order.',
        ),
        Mistake(
            unaligned,
            "anchors (A, 2) do not line up with raw (B, A, h, w, 2): `anchors[:, None, None]` is (A, 1, 1, 2).",
        ),
    ]
    return judge_function(
        "7.2",
        function,
        _decode_level,
        "yolo_edu's own decoding",
        cases=cases,
        mistakes=mistakes,
        describe=lambda raw, a, s: f"raw numbers of shape {tuple(raw.shape)} at stride {s}",
        gradient=True,
    )
