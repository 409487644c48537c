"""The map of the network: every row of its table, placed and joined as an image goes through the live model."""

import copy
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from yolo_edu.course.figures.diagram import (
    DIM,
    FADED,
    FONT,
    GRAY,
    INK,
    LEVEL_COLORS,
    PLAIN,
    arrow,
    canvas,
    ink_on,
    rounded,
)
from yolo_edu.model import Detector, YOLOv5
from yolo_edu.summary import layer_rows

MAP_ALT = (
    "Map of YOLOv5: the backbone takes the image down to strides 8, 16 and 32, the neck carries meaning up to "
    "the fine grid and place down to the coarse grid, and the head predicts boxes at the levels P3, P4 and P5."
)


class Row(NamedTuple):
    """One row of a network's table, as the map shows it."""

    number: int
    name: str  # of the block
    part: str  # backbone, top-down, bottom-up, head
    sources: tuple[int, ...]  # rows whose outputs it took; -1: the image
    channels: int  # of its output
    stride: int  # pixels of the image a cell of its output spans


def map_rows(model: Detector, size: int = 640) -> list[Row]:
    """The table of a detector and the part each row belongs to, both observed while an image goes through."""
    parts = _parts(model)
    rows = []
    for line in layer_rows(model, size):
        shape = line.outputs[0].shape  # Detect: (B, A, h, w, 5 + K) a level
        channels = shape[1] if len(shape) == 4 else shape[1] * shape[4]
        stride = size // shape[-1] if len(shape) == 4 else 0
        rows.append(Row(line.row, line.block, parts[line.row], line.sources, channels, stride))
    # Up to its finest map the neck goes top-down, from there bottom-up.
    neck = [row for row in rows if row.part == "neck"]
    finest = min(row.stride for row in neck)
    turn = max(row.number for row in neck if row.stride == finest)
    halves = {row.number: "top-down" if row.number <= turn else "bottom-up" for row in neck}
    return [row._replace(part=halves.get(row.number, row.part)) for row in rows]


def _parts(model: Detector) -> dict[int, str]:
    """Row → which of the model's three walks it ran in."""
    model = copy.deepcopy(model).eval()  # so that no running statistics change
    parts: dict[int, str] = {}
    walk = ""

    def note(row: int) -> None:
        parts[row] = walk

    for index, module in enumerate(model.model):
        module.register_forward_hook(lambda *_, row=index: note(row))
    with torch.no_grad():
        walk = "backbone"
        maps = model.backbone(torch.zeros(1, 3, 64, 64, device=next(model.parameters()).device))
        walk = "neck"
        maps = model.neck(*maps)
        walk = "head"
        model.head(*maps)
    return parts


# Inches. A cell, from one cell to the next, the left of every column of cells.
WIDTH, HEIGHT, PITCH, BAND_GAP = 2.28, 0.35, 0.47, 0.3
LEFT = {"backbone": 1.24, "top-down": 3.86, "bottom-up": 6.48, "head": 9.1}
NARROW = 1.52  # a cell of the head
DETECT, DETECT_WIDTH = 11.0, 0.88
PAGE = 12.02
TITLES = {
    "backbone": "Backbone ↓\nwhat is there?",
    "top-down": "Neck ↑\nmeaning to fine grids",
    "bottom-up": "Neck ↓\nplace to coarse grids",
    "head": "Head\nthree boxes a cell",
}


def _lights(row: Row, lit: str | None) -> bool:
    """Whether a row is part of what `lit` names: a class of block, or one of the three parts."""
    part = "neck" if row.part in ("top-down", "bottom-up") else row.part
    return lit is None or lit.lower() in (row.name.lower(), part)


def network_map(lit: str | None = None, model: Detector | None = None, *, size: int = 640) -> Figure:
    """The map of the network: every row of its table, and where each row takes its input from.

    Args:
        lit: a block ("spp", "bottleneckcsp" …) or a part ("backbone", "neck", "head") to light; None: all.
        model: what to draw; None: the article's network, YOLOv5 s with 5 classes.
        size: side of the image, pixels.

    Raises:
        ValueError: `lit` names nothing in this network.
    """
    if model is None:
        with torch.device("meta"):
            model = YOLOv5("s", 5)
    rows = map_rows(model, size)
    if not any(_lights(row, lit) for row in rows):
        known = sorted({row.name.lower() for row in rows} | {"backbone", "neck", "head"})
        raise ValueError(f"lit={lit!r} names nothing in this network; it has {', '.join(known)}")
    levels = dict(zip(model.strides, LEVEL_COLORS, strict=True))
    bands, place = _layout(rows)
    bottom = max(end for _, end in bands.values())

    figure, ax = canvas(PAGE, bottom + 0.8, top=-0.76)
    for part, title in TITLES.items():
        middle = LEFT[part] + (WIDTH if part != "head" else NARROW) / 2
        ax.text(middle, -0.38, title, ha="center", va="center", fontsize=FONT, weight="bold", color=INK)
    for stride, (top, end) in bands.items():
        level = levels.get(stride)
        color = LEVEL_COLORS[level] if level else GRAY
        rounded(ax, 0.06, top, PAGE - 0.12, end - top - 0.08, facecolor=color, alpha=0.17, edgecolor="none")
        text = f"{level or ''}\nstride {stride}\n{size // stride} × {size // stride}".strip()
        ax.text(0.62, (top + end - 0.08) / 2, text, ha="center", va="center", fontsize=FONT, color=INK)
    key = "a tile: row · block · channels of its output\nan arrow: what a row takes in"
    ax.text(LEFT["top-down"], sum(bands[4]) / 2 - 0.04, key, va="center", fontsize=FONT, color=INK, linespacing=1.5)
    _cell(ax, (*place[-1], WIDTH), ("", "image", "3"), PLAIN, lit is None)
    for row in rows[:-1]:
        width = WIDTH if row.part != "head" else NARROW
        color = LEVEL_COLORS[levels[row.stride]] if row.stride in levels else GRAY
        words = (str(row.number), row.name, str(row.channels))
        _cell(ax, (*place[row.number], width), words, color, _lights(row, lit))
    lights = {row.number: _lights(row, lit) for row in rows} | {-1: lit is None}
    for row in rows:
        for source in row.sources:
            color = INK if lights[row.number] or lights[source] else FADED
            _arrow(ax, place[source], place[row.number], color, into_detect=row is rows[-1])
    _detect(ax, rows[-1], [place[source][1] for source in rows[-1].sources], lights[rows[-1].number])
    return figure


def _layout(rows: list[Row]) -> tuple[dict[int, tuple[float, float]], dict[int, tuple[float, float]]]:
    """Top and bottom of a band for every stride, and left and top of every row's cell; y grows downwards."""
    strides = sorted({row.stride for row in rows[:-1]})
    stacks = {(part, stride): [r for r in rows[:-1] if (r.part, r.stride) == (part, stride)]
              for part in LEFT for stride in strides}  # fmt: skip
    bands: dict[int, tuple[float, float]] = {}
    place = {-1: (LEFT["backbone"], 0.0)}
    top = 0.5
    for stride in strides:
        tallest = max(len(stacks[part, stride]) for part in LEFT)
        bands[stride] = (top, top + tallest * PITCH + BAND_GAP)
        for part in LEFT:
            stack = stacks[part, stride]
            if part == "top-down":
                stack = stack[::-1]  # this path is read upwards
            for slot, row in enumerate(stack, start=tallest - len(stack)):
                place[row.number] = (LEFT[part], top + 0.17 + slot * PITCH)
        top = bands[stride][1]
    for row in rows:
        if row.part == "head":  # a prediction stands level with the map it is made from
            place[row.number] = (LEFT["head"], place[row.sources[0]][1])
    place[rows[-1].number] = (DETECT, place[rows[-1].sources[0]][1])
    return bands, place


def _cell(ax: Axes, box: tuple[float, float, float], words: tuple[str, str, str], color: str, lit: bool) -> None:
    """One row of the table at `box` (left, top, width): number, name, channels."""
    x, y, width = box
    background = color if lit else PLAIN
    rounded(ax, x, y, width, HEIGHT, facecolor=background, edgecolor=INK if lit else FADED, linewidth=1)
    ink = ink_on(background) if lit else DIM
    middle = y + HEIGHT / 2
    for where, text, side in ((0.07, words[0], "left"), (width - 0.07, words[2], "right")):
        ax.text(x + where, middle, text, ha=side, va="center_baseline", fontsize=FONT - 1, color=ink)
    ax.text(x + 0.36, middle, words[1], va="center_baseline", fontsize=FONT, color=ink)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], color: str, *, into_detect: bool) -> None:
    """From one cell to another: straight up or down in a column, else through the gutter before the target."""
    (x1, y1), (x2, y2) = start, end
    if x1 == x2:
        down = y2 > y1
        points = [(x1 + 0.5 * WIDTH, y1 + HEIGHT * down), (x2 + 0.5 * WIDTH, y2 + HEIGHT * (not down))]
    else:
        right = x1 + (NARROW if x1 == LEFT["head"] else WIDTH)
        y1, y2 = y1 + HEIGHT / 2, (y1 if into_detect else y2) + HEIGHT / 2
        # A long way down runs near its target, a short one near its source: so they do not cross.
        gutter = x2 - (0.15 if abs(y2 - y1) > 2.5 * PITCH else 0.31)
        points = [(right, y1), (x2, y2)] if y1 == y2 else [(right, y1), (gutter, y1), (gutter, y2), (x2, y2)]
    arrow(ax, points, color)


def _detect(ax: Axes, row: Row, heights: list[float], lit: bool) -> None:
    """The last row: as tall as the three levels that it takes in."""
    top, end = min(heights), max(heights) + HEIGHT
    background = "#ffffff" if lit else PLAIN
    rounded(ax, DETECT, top, DETECT_WIDTH, end - top, facecolor=background, edgecolor=INK if lit else FADED)
    text = f"{row.number}\n{row.name}\n{row.channels}\na cell"
    middle = DETECT + DETECT_WIDTH / 2, (top + end) / 2
    ax.text(*middle, text, ha="center", va="center", fontsize=FONT, color=INK if lit else DIM, linespacing=1.5)
