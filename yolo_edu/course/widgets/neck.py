"""Things to play with in lesson 06: ways through the map, and what each level says before and after suppression."""

from collections.abc import Sequence

import cv2
import ipywidgets
import numpy as np
import torch
from torch import Tensor

from yolo_edu.caption import class_color, text_color
from yolo_edu.course.figures.display import img_tag, pixels_url, svg_image
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.course.widgets.neck_map import WayMap
from yolo_edu.model import Detector, YOLOv5
from yolo_edu.nms import Detections

__all__ = ["level_explorer", "path_tracer"]

LEVELS = {"grid 8": 4, "grid 16": 0, "grid 32": 2}  # predictions of levels 3, 4, 5: the course's color numbers


def path_tracer(model: Detector | None = None, *, start: int | None = None, end: int | None = None) -> Explorer:
    """Two rows to choose: the ways between them with the fewest and the most convolutions, lit on the map.

    Args:
        model: None: the article's network, YOLOv5 s.
        start, end: rows at first; None: P3 of the backbone, and N5.

    Returns:
        The controls "start", "end" and "closed", already shown with the map. "closed" shuts a part of the network.
    """
    if model is None:
        with torch.device("meta"):
            model = YOLOv5("s", 5)
    drawn = WayMap(model)
    names = {number: drawn.name(number) for number in drawn.numbers}
    closable = {
        "nothing": (),
        "the backbone behind the start": None,
        f"the way down the pyramid ({_rows(drawn.graph.down_rows())})": tuple(drawn.graph.down_rows()),
        f"the way up the pyramid ({_rows(drawn.graph.up_rows())})": tuple(drawn.graph.up_rows()),
    }

    def page(start: int, end: int, closed: tuple[int, ...] | None) -> str:
        behind = tuple(r.number for r in drawn.graph.rows if r.part == "backbone" and r.number > start)
        shut = behind if closed is None else closed
        fewest, most = (drawn.graph.way(start, end, most=most, closed=shut) for most in (False, True))
        if fewest is None or most is None:
            words = f"No way leads from {names[start]} to {names[end]}: arrows only lead onwards, and closed rows stop."
        else:
            words = (
                f"From {names[start]} to {names[end]}: the fewest convolutions are <b>{fewest.convolutions}</b> "
                f"(green, solid; rows {_arrows(fewest.rows)}), the most <b>{most.convolutions}</b> "
                f"(vermilion, dashed; rows {_arrows(most.rows)})."
            )
        alt = f"Map of the network. {words}".replace("<b>", "").replace("</b>", "")
        picture = svg_image(drawn.svg(fewest, most, shut), alt, "width:100%;max-width:820px")
        return f"{picture}<p>{words}</p>"

    style = {"description_width": "initial"}
    wide = ipywidgets.Layout(width="270px")
    rows = [(name, number) for number, name in names.items()]
    first = drawn.levels["P3"] if start is None else start
    last = drawn.levels["N5"] if end is None else end
    controls = {
        "start": ipywidgets.Dropdown(options=rows, value=first, description="from", style=style, layout=wide),
        "end": ipywidgets.Dropdown(options=rows[1:], value=last, description="to", style=style, layout=wide),
        "closed": ipywidgets.Dropdown(
            options=list(closable.items()),
            value=(),
            description="closed",
            style=style,
            layout=ipywidgets.Layout(width="360px"),
        ),
    }
    return explore(controls, page)


def _rows(numbers: Sequence[int]) -> str:
    return f"rows {', '.join(map(str, numbers))}"


def _arrows(rows: Sequence[int]) -> str:
    return " → ".join("image" if row < 0 else str(row) for row in rows)


def level_explorer(
    image: Tensor,
    found: Detections,
    levels: Tensor,
    kept: Tensor,
    names: Sequence[str],
    *,
    side: int = 520,
) -> Explorer:
    """What the three grids predict on one photo, seen around its boxes, before and after non-maximum suppression.

    Args:
        image: (3, H, W) uint8, what the network saw.
        found: every box above the confidence threshold, in pixels of `image`, best first; nothing suppressed yet.
        levels: (N,) 3, 4 or 5 for each of them.
        kept: (M,) places of those that suppression leaves.
        names: of the classes.
        side: pixels of the picture, which is square.

    Returns:
        The controls "level" (0: all) and "after" (bool), already shown with the photo.
    """
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    x, y, seen = _window(found.boxes, pixels.shape[:2])
    zoom = side / seen
    big = cv2.resize(pixels[y : y + seen, x : x + seen], (side, side), interpolation=cv2.INTER_LINEAR)
    corner = torch.tensor([x, y, x, y])
    stays = torch.zeros(len(levels), dtype=torch.bool)
    stays[kept] = True

    def page(level: int, after: bool) -> str:
        shown = stays.clone() if after else torch.ones_like(stays)
        if level:
            shown &= levels == level
        places = shown.nonzero().flatten()
        picture = _boxes(
            big,
            Detections((found.boxes[places] - corner) * zoom, found.scores[places], found.labels[places]),
            levels[places],
        )
        count = {name: int((levels[places] == number).sum()) for number, name in enumerate(LEVELS, start=3)}
        parts = ", ".join(f"{name}: <b>{n}</b>" for name, n in count.items())
        said = sorted({names[k] for k in found.labels[places].tolist()})
        words = f"{'After' if after else 'Before'} suppression, boxes: {parts}. Names: {', '.join(said) or 'none'}."
        words += " Thick, with its score: the best box of each grid." if len(places) else ""
        alt = f"The photo around its objects, boxes in one color a grid. {words}".replace("<b>", "").replace("</b>", "")
        return f"{img_tag(pixels_url(picture), alt)}<p>{words}</p>"

    choices = [("all grids", 0), *((f"{name} only", number) for number, name in enumerate(LEVELS, start=3))]
    controls = {
        "level": ipywidgets.Dropdown(options=choices, value=0, description="boxes of"),
        "after": ipywidgets.ToggleButtons(
            options=[("before NMS", False), ("after NMS", True)], value=False, description=" "
        ),
    }
    return explore(controls, page)


def _window(boxes: Tensor, shape: Sequence[int]) -> tuple[int, int, int]:
    """Left, top and side of a square of the photo (height, width) with all boxes and some of what is around."""
    if not len(boxes):
        return 0, 0, min(shape)
    low, high = boxes[:, :2].amin(0), boxes[:, 2:].amax(0)
    side = min(int(1.4 * (high - low).max()), *shape)
    left, top = ((low + high - side) / 2).int().tolist()
    return min(max(left, 0), shape[1] - side), min(max(top, 0), shape[0] - side), side


def _boxes(photo: np.ndarray, found: Detections, levels: Tensor) -> np.ndarray:
    """A copy with every box in its level's color; the surest of each level is thick and says its grid and score."""
    canvas = photo.copy()
    names = list(LEVELS)
    first = [int((levels == level).nonzero()[0]) for level in levels.unique().tolist()]
    boxes = found.boxes.round().int().tolist()
    rest = [i for i in range(len(boxes)) if i not in first]
    for i in (*rest, *first):
        color = class_color(LEVELS[names[int(levels[i]) - 3]])
        if i in first:  # a dark edge; the others lie too close together for one
            cv2.rectangle(canvas, boxes[i][:2], boxes[i][2:], (0, 0, 0), 5)
        cv2.rectangle(canvas, boxes[i][:2], boxes[i][2:], color, 3 if i in first else 1)
    for place, i in enumerate(first):  # captions: a key in the corner, where they cover no box
        name = names[int(levels[i]) - 3]
        text = f"{name}: {found.scores[i]:.2f}"
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.55, 1)
        x, y = 8, 8 + place * (height + 16)
        cv2.rectangle(canvas, (x, y), (x + width + 12, y + height + 12), class_color(LEVELS[name]), -1)
        ink = text_color(class_color(LEVELS[name]))
        cv2.putText(canvas, text, (x + 6, y + height + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.55, ink, 1, cv2.LINE_AA)
    return canvas
