"""Are the columns really `class cx cy w h`? Numbers alone cannot say it of one box, but of many.

The boxes of a right file lie inside the image, most of them anyway. So each way to read the four numbers is
tried: if read as center and size many boxes reach over the border, and in another reading (nearly) none does,
the file was written in that one. An exchange of x and y everywhere (cy cx h w) cannot be found so: it turns
boxes inside the image into boxes inside the image.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolo_edu.files import Fault
from yolo_edu.lint.reading import Seen

Floats = NDArray[np.float64]
SLACK = 0.002  # how far, as a part of the image, rounding may move a corner over the border
DOUBTED, SURE = 0.05, 0.2  # share of a split's boxes that reach over the border


def _corners(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    return np.stack([a, b, c, d], axis=1)


def _centered(x: Floats, y: Floats, w: Floats, h: Floats) -> Floats:
    return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)


# What the four columns could be → how x1 y1 x2 y2 follow from them. The first that fits is named.
READINGS: Mapping[str, Callable[[Floats, Floats, Floats, Floats], Floats]] = {
    "x1 y1 x2 y2": lambda a, b, c, d: _corners(a, b, c, d),
    "x1 y1 w h": lambda a, b, c, d: _corners(a, b, a + c, b + d),
    "x1 x2 y1 y2": lambda a, b, c, d: _corners(a, c, b, d),
    "w h cx cy": lambda a, b, c, d: _centered(c, d, a, b),
    "cx cy h w": lambda a, b, c, d: _centered(a, b, d, c),
}


def _inside(corners: Floats) -> float:
    """The share of (N, 4) boxes xyxy that have an area and lie inside the image."""
    low, high = corners[:, :2], corners[:, 2:]
    good = (low >= -SLACK) & (high <= 1 + SLACK) & (high > low)
    return float(good.all(axis=1).mean())


def better_order(boxes: Floats, *, at_least: int, over: float) -> tuple[str, float] | None:
    """The order that the columns of (N, 4) rows seem to have, and the share that fits cx cy w h.

    Args:
        boxes: the four numbers of every row, as written.
        at_least: fewer rows say nothing.
        over: the share of boxes over the border from which the written order is doubted.
    """
    if len(boxes) < at_least:
        return None
    columns = boxes.T
    as_written = _inside(_centered(*columns))
    if as_written > 1 - over:
        return None
    for order, corners in READINGS.items():
        if _inside(corners(*columns)) >= 0.995:
            return order, as_written
    return None


def order_faults(path: Path, seen: Mapping[str, Sequence[Seen]]) -> Iterator[Fault]:
    """A split, or else single files, whose columns seem to be in another order.

    Args:
        path: of the YAML, where a fault of a whole split is reported.
        seen: the images of every split.
    """
    for split, images in seen.items():
        boxes = np.concatenate([np.empty((0, 4)), *(one.boxes() for one in images)])
        whole = better_order(boxes, at_least=20, over=DOUBTED)
        if whole is not None:
            order, share = whole
            message = f"{split}: the labels seem to be 'class {order}': read so, nearly all of {len(boxes)} boxes lie "
            message += f"inside their images, as 'class cx cy w h' {share:.0%} do"
            # Objects cut off by one border, drawn by a sloppy tool, could look so too: then it is a few of them.
            severity = "error" if share < 1 - SURE else "warning"
            yield Fault(path, 0, severity, message, f"Convert them: {_recipe(order)}", "column-order")
            continue
        for one in images:
            found = better_order(one.boxes(), at_least=4, over=0.5)
            if found is not None:
                message = f"the {len(one.rows)} rows seem to be 'class {found[0]}': read so, all boxes lie inside the "
                message += f"image, as 'class cx cy w h' {found[1]:.0%} do"
                yield Fault(one.labels, 0, "warning", message, f"Convert them: {_recipe(found[0])}", "column-order")


def _recipe(order: str) -> str:
    return {
        "x1 y1 x2 y2": "cx = (x1 + x2) / 2, cy = (y1 + y2) / 2, w = x2 − x1, h = y2 − y1",
        "x1 x2 y1 y2": "cx = (x1 + x2) / 2, cy = (y1 + y2) / 2, w = x2 − x1, h = y2 − y1",
        "x1 y1 w h": "cx = x1 + w / 2, cy = y1 + h / 2",
    }.get(order, "put the columns into the order class cx cy w h")
