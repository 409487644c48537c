"""Exercises of lesson 12: letterbox numbers, mirrored boxes, and which warped boxes stay labels."""

from collections.abc import Callable

import torch
from torch import Tensor

from yolo_edu.boxes import area, xyxy_to_cxcywh
from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function
from yolo_edu.warp import worth_keeping

__all__ = ["flip_boxes", "keep_boxes", "letterbox_numbers"]

# --- 12.1 -----------------------------------------------------------------------------------------------

Place = tuple[float, int, int]


def _placed(
    scale: Callable[[int, int, int], float] = lambda w, h, size: min(size / w, size / h),
    side: Callable[[float], float] = round,
    pad: Callable[[float], int] = lambda gap: round(gap / 2 - 0.1),
) -> Callable[[int, int, int], Place]:
    """A letterbox with other rules in it."""

    def place(width: int, height: int, size: int) -> Place:
        s = scale(width, height, size)
        return s, pad(size - side(width * s)), pad(size - side(height * s))

    return place


def letterbox_numbers(function: Callable[[int, int, int], Place]) -> Callable[[int, int, int], Place]:
    """Exercise 12.1: width, height, size → scale, left, top."""
    generator = torch.Generator().manual_seed(0)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    cases = [(451, 300, 256), (300, 451, 256), (13, 7, 64), (600, 400, 640)]
    cases += [(number(100, 900), number(100, 900), (256, 416, 640)[i % 3]) for i in range(ROUNDS - len(cases))]
    right = _placed()

    def stretched(width: int, height: int, size: int) -> Place:
        return size / width, 0, 0

    def of_rounded(width: int, height: int, size: int) -> Place:
        s, left, top = right(width, height, size)
        return (round(height * s) / height if width > height else round(width * s) / width), left, top

    mistakes = [
        Mistake(
            _placed(scale=lambda w, h, size: max(size / w, size / h)),
            "that is the larger of the two scales: the photo sticks out of the square (your pads are negative or 0). "
            "`min` fits the long side.",
        ),
        Mistake(
            lambda w, h, size: (right(w, h, size)[0], *right(w, h, size)[:0:-1]),
            "left and top are exchanged: left follows from the width, top from the height.",
        ),
        Mistake(
            stretched,
            "a width of its own for each side stretches the photo, and one number cannot say it. There is one scale, "
            "for x and y alike; what is missing becomes gray.",
        ),
        Mistake(
            _placed(pad=lambda gap: round(gap / 2)),
            "nearly: at a half, Python's round goes to the even neighbor, so the odd gray pixel is now on one side, "
            "now on the other. Subtract 0.1 before you round.",
        ),
        Mistake(
            _placed(pad=lambda gap: round(gap / 2 + 0.1)),
            "the odd gray pixel is on the left and above. It goes right and below: subtract 0.1, do not add it.",
        ),
        Mistake(
            _placed(pad=round),
            "your pad is all of the gray. Half of it goes to the left (or above), the other half to the other side.",
        ),
        Mistake(
            _placed(side=float),
            "you measured the gray before rounding the photo. Its width and height become whole pixels first.",
        ),
        Mistake(_placed(side=int), "the photo's new sides are rounded to the nearest pixel; `int` cuts them off."),
        Mistake(
            _placed(scale=lambda w, h, size: min(size / w, size / h, 1)),
            "photos that are larger than the square come out right. Smaller ones are enlarged here too.",
        ),
        Mistake(
            lambda w, h, size: (1 / right(w, h, size)[0], *right(w, h, size)[1:]),
            "your scale is upside down: it multiplies pixels of the photo, so it is new over old.",
        ),
        Mistake(
            of_rounded,
            "your scale is that of the rounded side. The scale for boxes is the exact one, size over the long side.",
        ),
    ]
    return judge_function(
        "12.1",
        function,
        right,
        "yolo_edu's own numbers",
        cases=cases,
        mistakes=mistakes,
        describe=lambda w, h, size: f"a photo of {w} × {h} pixels in a square of {size}",
    )


# --- 12.2 -----------------------------------------------------------------------------------------------


def _flip_boxes(boxes: Tensor, width: float) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def flip_boxes(function: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """Exercise 12.2: boxes (N, 4) xyxy in pixels, width of the image → boxes of the mirrored image."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        width = 40 + 20 * (index % 5)
        corner = torch.rand(index % 6, 2, generator=generator) * width / 2  # none in some: a photo without objects
        side = 1 + torch.rand(len(corner), 2, generator=generator) * width / 2
        cases.append((torch.cat([corner, corner + side], dim=1), width))

    def variant(function: Function) -> Function:
        """A mirror given by what it makes of the four columns."""
        return lambda boxes, width: torch.stack(function(*boxes.unbind(-1), width), dim=-1)

    mistakes = [
        Mistake(
            variant(lambda x1, y1, x2, y2, w: (w - x1, y1, w - x2, y2)),
            "each x is mirrored, but the boxes are inside out: x1 > x2. What was the right edge is the left one now, "
            "so new x1 = width − old x2.",
        ),
        Mistake(
            variant(lambda x1, y1, x2, y2, w: (w - 1 - x2, y1, w - 1 - x1, y2)),
            "one pixel off. width − 1 − x mirrors the number of a pixel; x here is a place on the axis, and pixel i "
            "covers i to i + 1. The axis from 0 to width is mirrored by width − x.",
        ),
        Mistake(
            variant(lambda x1, y1, x2, y2, w: (x1, w - y2, x2, w - y1)),
            "you mirrored y: that stands the image on its head. Left-right changes x.",
        ),
        Mistake(
            variant(lambda x1, y1, x2, y2, w: (w - x2, w - y2, w - x1, w - y1)),
            "you mirrored x and y: that turns the image by 180 degrees. Left-right leaves y alone.",
        ),
        Mistake(
            variant(lambda x1, y1, x2, y2, w: (1 - x2, y1, 1 - x1, y2)),
            "1 − x is the mirror for numbers between 0 and 1. These boxes are in pixels.",
        ),
        Mistake(
            variant(lambda x1, y1, x2, y2, w: (x2, y1, x1, y2)),
            "you exchanged x1 and x2 without mirroring them.",
        ),
        Mistake(
            variant(lambda x1, y1, x2, y2, w: (w - x1, y1, x2, y2)),
            "you treated the box as center and size. It is xyxy: both x1 and x2 move.",
        ),
        Mistake(
            lambda boxes, width: xyxy_to_cxcywh(_flip_boxes(boxes, width)),
            "the boxes are mirrored rightly, but you return center and size. Asked for: x1, y1, x2, y2.",
        ),
    ]
    return judge_function(
        "12.2",
        function,
        _flip_boxes,
        "yolo_edu's own mirror",
        cases=cases,
        mistakes=mistakes,
        describe=lambda boxes, width: f"boxes {tuple(boxes.shape)} in an image {width} pixels wide",
        gradient=True,
    )


# --- 12.3 -----------------------------------------------------------------------------------------------


def _keep_boxes(
    before: Tensor,
    after: Tensor,
    zoom: Tensor,
    min_side: float = 2,
    min_area: float = 0.1,
    max_aspect: float = 100,
) -> Tensor:
    return worth_keeping(before, after, zoom, min_side=min_side, min_area=min_area, max_aspect=max_aspect)


def _sized(sizes: Tensor) -> Tensor:
    """(N, 2) width, height → (N, 4) xyxy somewhere."""
    return torch.cat([torch.full_like(sizes, 5.0), 5 + sizes], dim=1)


def _keep_cases() -> list[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for _ in range(ROUNDS):
        zoom = 0.25 + 2 * torch.rand(16, generator=generator)
        sizes = 10 + 70 * torch.rand(16, 2, generator=generator)
        visible = 0.02 + 0.5 * torch.rand(16, 2, generator=generator)  # of the width, of the height
        visible[::2, 0], visible[1::4, 1] = 1, 1  # cut by one border, by two, by none
        cut = sizes * zoom[:, None].sqrt() * visible
        # The rules one by one: just 2 pixels wide, or high; 100 times as wide as high, and as high as wide.
        cut[:4] = torch.tensor([[2.0, 30], [30, 2], [300, 3], [3, 300]])
        sizes[:4], zoom[:4] = 20, 1
        cut[4:6] = torch.tensor([[310.0, 3], [3, 310]])
        sizes[4:6], zoom[4:6] = 40, 1
        cases.append((_sized(sizes), _sized(cut), zoom))
    return cases


def keep_boxes(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Exercise 12.3: boxes before and after a warp (N, 4), zoom (N,) → (N,) bool, which stay labels."""

    def ruled(
        big: Function = lambda w, h: (w > 2) & (h > 2),
        kept: Function = lambda new, old, zoom: new / (old * zoom) > 0.1,
        thin: Function = lambda w, h: torch.maximum(w / h, h / w) < 100,
    ) -> Function:
        """The rule with other parts in it."""

        def keep(before: Tensor, after: Tensor, zoom: Tensor) -> Tensor:
            w, h = (after[:, 2:] - after[:, :2]).unbind(-1)
            return big(w, h) & kept(area(after), area(before), zoom) & thin(w, h)

        return keep

    mistakes = [
        Mistake(
            ruled(kept=lambda new, old, zoom: new / old > 0.1),
            "you compare areas before and after as they are. The warp itself changes areas: zoomed out to half the "
            "side, a box that is wholly visible has a quarter of its area. Divide by `zoom` too.",
        ),
        Mistake(
            ruled(kept=lambda new, old, zoom: new * zoom / old > 0.1),
            "zoom is on the wrong side: without a border the new area would be old area · zoom. Divide by that.",
        ),
        Mistake(
            ruled(kept=lambda new, old, zoom: new / (old * zoom**2) > 0.1),
            "`zoom` is already the factor of areas, not of sides: do not square it.",
        ),
        Mistake(
            ruled(kept=lambda new, old, zoom: new / (old * zoom) < 0.1),
            "upside down: a box stays if *more* than a tenth of it is left.",
        ),
        Mistake(
            ruled(big=lambda w, h: (w > 2) | (h > 2)),
            "one side over 2 pixels is not enough: a box 1 pixel wide and 50 high stays with `or`. Both sides: `&`.",
        ),
        Mistake(ruled(big=lambda w, h: w > 2), "you looked at the width only. The height must be over 2 pixels too."),
        Mistake(ruled(big=lambda w, h: h > 2), "you looked at the height only. The width must be over 2 pixels too."),
        Mistake(ruled(big=lambda w, h: (w >= 2) & (h >= 2)), "a side of exactly 2 pixels is too small: `>`, not `>=`."),
        Mistake(
            ruled(thin=lambda w, h: torch.maximum(w / h, h / w) <= 100),
            "an aspect of exactly 100 is too much: `<`, not `<=`.",
        ),
        Mistake(
            ruled(thin=lambda w, h: w / h < 100),
            "you stop boxes that are too wide, but not those that are too high: divide the longer side by the shorter.",
        ),
        Mistake(
            ruled(thin=lambda w, h: h / w < 100),
            "you stop boxes that are too high, but not those that are too wide: divide the longer side by the shorter.",
        ),
        Mistake(ruled(thin=lambda w, h: w > 0), "the third rule is missing: longer side over shorter below 100."),
        Mistake(
            ruled(kept=lambda new, old, zoom: new > 0), "the second rule is missing: how much of the area must be left?"
        ),
        Mistake(
            lambda before, after, zoom: _keep_boxes(after, before, zoom),
            "before and after are exchanged: it is the box after the warp that must be large enough.",
        ),
        Mistake(
            lambda before, after, zoom: after[_keep_boxes(before, after, zoom)],
            "these are the boxes that stay. Asked for: True or False for each box, so that its class can follow.",
        ),
        Mistake(
            lambda before, after, zoom: _keep_boxes(before, after, zoom).nonzero().flatten(),
            "these are the numbers of the boxes that stay. Asked for: True or False for each box.",
        ),
        Mistake(lambda before, after, zoom: ~_keep_boxes(before, after, zoom), "True must mean: stays a label."),
    ]
    return judge_function(
        "12.3",
        function,
        _keep_boxes,
        "yolo_edu's own rule",
        cases=_keep_cases(),
        mistakes=mistakes,
        describe=lambda before, after, zoom: f"{len(before)} boxes",
    )
