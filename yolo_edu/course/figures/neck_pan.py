"""PAN with its long and its short way, and YOLOv5's neck: both drawn and counted from live modules."""

import itertools
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
from torchvision.models import resnet101

from yolo_edu.course.figures.diagram import (
    DIM,
    GRAY,
    LEVEL_COLORS,
    WORK_COLORS,
    arrow,
    canvas,
    feature_map,
    hex_color,
    label,
    rounded,
    tile,
)
from yolo_edu.course.figures.neck_ways import convolutions_between, level_rows, trunk_maps
from yolo_edu.course.figures.network_map import Row, map_rows
from yolo_edu.model import Detector, YOLOv5
from yolo_edu.model.pyramid import FPN, PAN

LONG, SHORT = hex_color(5), hex_color(2)  # vermilion, dashed; green, solid
SIDES = (1.0, 0.82, 0.66, 0.52)  # of the maps C2 … C5, inches


def counted_ways(trunk: nn.Module) -> dict[str, tuple[int, int]]:
    """Fewest and most convolutions from C2, and from the image, to the top of FPN + PAN over a torchvision ResNet.

    "long": to P5 through the backbone, all that an FPN has. "short": to N5 over P2 and the bottom-up path.
    """
    image, *maps = trunk_maps(trunk)
    with torch.device("meta"):
        fpn, pan = FPN([x.shape[1] for x in maps]), PAN(levels=len(maps))
    top = fpn(maps)[-1]
    only_c2 = pan(fpn([maps[0], *(x.detach() for x in maps[1:])]))[-1]
    ends = {
        "long": (maps[0], top),
        "short": (maps[0], only_c2),
        "long, image": (image, top),
        "short, image": (image, only_c2),
    }
    return {name: ways for name, (a, b) in ends.items() if (ways := convolutions_between(a, b))}


def pan_ways(make: Callable[[], nn.Module] = resnet101) -> Figure:
    """FPN and PAN over a ResNet, coarsest level on top, with the long and the short way from C2 to the top.

    Args:
        make: builds the trunk; torchvision's ResNets, here without a single number in them.
    """
    with torch.device("meta"):
        trunk = make()
    ways = counted_ways(trunk)
    name = getattr(make, "__name__", "the backbone").replace("resnet", "ResNet-")
    figure, ax = canvas(10.6, 6.7)
    rise, columns = 1.28, (1.75, 5.2, 8.3)
    middles = [5.1 - rise * i for i in range(4)]
    colors = [GRAY, *LEVEL_COLORS.values()]
    for column, letter in zip(columns, "CPN", strict=True):
        for i, (y, side, color) in enumerate(zip(middles, SIDES, colors, strict=True)):
            feature_map(ax, column - side / 2, y - side / 2, side, color=color)
            label(ax, column - side / 2 - 0.28, y, f"{letter}{i + 2}", weight="bold")
    titles = [f"bottom-up ↑\nbackbone, {name}", "top-down ↓\nFPN", "bottom-up ↑\nPAN"]
    for column, text in zip(columns, titles, strict=True):
        label(ax, column, 0.38, text, weight="bold")
    for i, y in enumerate(middles):
        for left, right in itertools.pairwise(columns):
            arrow(ax, [(left + SIDES[i] / 2 + 0.17, y), (right - SIDES[i] / 2 - 0.52, y)], color=DIM)
    for i, (below, above) in enumerate(itertools.pairwise(middles)):
        for column, up in zip(columns, (True, False, True), strict=True):
            ends = [(column, below - SIDES[i] / 2 - 0.16), (column, above + SIDES[i + 1] / 2 + 0.05)]
            arrow(ax, ends if up else ends[::-1], color=DIM)
    left, middle, right = columns
    bottom, top = middles[0] + 0.22, middles[-1] - 0.2
    long = [(left + 0.16, bottom), (left + 0.16, top), (middle - SIDES[-1] / 2, top)]
    short = [(left + 0.16, bottom), (right + 0.16, bottom), (right + 0.16, middles[-1] + SIDES[-1] / 2)]
    words = [
        (long, LONG, "--", f"long way, dashed: up to {ways['long'][1]} convolutions from C2 to P5, "
                           f"{ways['long, image'][1]} from the image"),
        (short, SHORT, "-", f"short way, solid: {ways['short'][1]} convolutions from C2 to N5, "
                            f"{ways['short, image'][1]} from the image"),
    ]  # fmt: skip
    for (points, color, dash, text), y in zip(words, (6.12, 6.46), strict=True):
        ax.plot(*zip(*points, strict=True), color=color, linestyle=dash, linewidth=3.2, zorder=5)
        head = {"arrowstyle": "-|>", "color": color, "mutation_scale": 24, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", points[-1], points[-2], arrowprops=head, zorder=6)
        ax.plot([0.6, 1.5], [y, y], color=color, linestyle=dash, linewidth=3.2)
        label(ax, 1.7, y, text, ha="left")
    for x, y, count, color in ((2.75, 3.18, ways["long"][1], LONG), (9.35, 3.18, ways["short"][1], SHORT)):
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": color, "linewidth": 2.4}
        label(ax, x, y, f"{count}", weight="bold", fontsize=16, bbox=box)
    plt.close(figure)
    return figure


# Inches of the neck's drawing: the left of each column, a cell, from one cell to the next, free space in a band.
LEFT = {"backbone": 1.5, "top-down": 4.15, "bottom-up": 7.45}
CELL, TALL, PITCH, FREE = (2.0, 2.5), 0.36, 0.47, 0.24
PAGE = 11.6


def neck_design(model: Detector | None = None, size: int = 640) -> Figure:
    """The neck of a detector, row by row as an image goes through it, coarsest level on top.

    Args:
        model: None: the article's network, YOLOv5 s.
        size: side of the image, pixels.
    """
    if model is None:
        with torch.device("meta"):
            model = YOLOv5("s", 5)
    rows = {row.number: row for row in map_rows(model, size)}
    neck = [row for row in rows.values() if row.part in ("top-down", "bottom-up")]
    levels = dict(zip(model.strides, LEVEL_COLORS, strict=True))
    bands, place = _neck_layout(rows, neck)
    names = {row: name for name, row in level_rows(list(rows.values())).items()}
    bottom = max(end for _, end in bands.values())
    figure, ax = canvas(PAGE, bottom + 0.1)
    for stride, (top, end) in bands.items():
        color = LEVEL_COLORS[levels[stride]]
        rounded(ax, 0.05, top, PAGE - 0.1, end - top - 0.08, facecolor=color, alpha=0.17, edgecolor="none")
        label(ax, 0.72, (top + end) / 2, f"{levels[stride]}\nstride {stride}\n{size // stride} × {size // stride}")
    for number, (x, y) in place.items():
        row = rows[number]
        color = WORK_COLORS[{"Concat": "join", "Upsample": "pool"}.get(row.name, "convolution")]
        if row.part == "backbone":
            color = LEVEL_COLORS[levels[row.stride]]
        width = CELL[row.part != "backbone"]
        name = levels[row.stride] if row.part == "backbone" else row.name
        tile(ax, x, y, width, TALL, f"{number}   {name}   {row.channels}", color=color, size=12)
        if names.get(number, "")[:1] == "L":
            label(ax, x + width + 0.06, y - 0.1, names[number], ha="left", weight="bold")
    for row in neck:
        for source in row.sources:
            _wire(ax, place[source], place[row.number], same_part=rows[source].part == row.part)
    entries = [n for n, row in rows.items() if row.part == "backbone" and n in place]
    for fine, coarse in itertools.pairwise(entries):
        x = place[fine][0] + CELL[0] / 2
        arrow(ax, [(x, place[fine][1]), (x, place[coarse][1] + TALL)], color=DIM, linestyle=":")
    for number, name in names.items():
        if name[0] != "N":
            continue
        x, y = place[number]
        right = LEFT["bottom-up"] + CELL[1]
        arrow(ax, [(x + CELL[1], y + TALL / 2), (right + 0.35, y + TALL / 2)])
        label(ax, right + 0.42, y + TALL / 2, f"{name}   {rows[number].channels}", ha="left", weight="bold")
    for part, text in (("backbone", "backbone ↑"), ("top-down", "top-down ↓"), ("bottom-up", "bottom-up ↑")):
        label(ax, LEFT[part] + CELL[part != "backbone"] / 2, 0.3, text, weight="bold")
    label(ax, 0.72, 0.3, "row  block\nchannels", fontsize=11.5, color=DIM)
    label(ax, 10.75, 0.3, "to the head", weight="bold")
    plt.close(figure)
    return figure


def _neck_layout(
    rows: dict[int, Row], neck: list[Row]
) -> tuple[dict[int, tuple[float, float]], dict[int, tuple[float, float]]]:
    """Top and bottom of every level's band, coarsest on top; left and top of the neck's rows and of what enters."""
    strides = sorted({row.stride for row in neck}, reverse=True)
    bands: dict[int, tuple[float, float]] = {}
    place: dict[int, tuple[float, float]] = {}
    top = 0.62
    for stride in strides:
        chains = {
            part: [r.number for r in neck if (r.part, r.stride) == (part, stride)] for part in ("top-down", "bottom-up")
        }
        chains["bottom-up"].reverse()  # this path is read upwards
        for part, chain in chains.items():
            for slot, number in enumerate(chain):
                place[number] = LEFT[part], top + FREE / 2 + slot * PITCH
        bands[stride] = top, top + max(map(len, chains.values())) * PITCH + FREE
        # The backbone's map stands level with the row that reads it.
        for number in chains["top-down"]:
            for source in rows[number].sources:
                if rows[source].part == "backbone":
                    place[source] = LEFT["backbone"], place[number][1]
        top = bands[stride][1]
    return bands, place


def _wire(ax: Axes, start: tuple[float, float], end: tuple[float, float], *, same_part: bool) -> None:
    """From a cell to one that reads it: straight within a column, else from side to side."""
    (x1, y1), (x2, y2) = start, end
    if same_part:
        down = y2 > y1
        middle = x1 + CELL[1] / 2
        arrow(ax, [(middle, y1 + TALL * down), (middle, y2 + TALL * (not down))])
        return
    right = x1 + CELL[x1 != LEFT["backbone"]]
    y1, y2 = y1 + TALL / 2, y2 + TALL / 2
    gutter = x2 - (0.2 if abs(y2 - y1) > 2.2 * PITCH else 0.42)  # a long way near its end: so they do not cross
    arrow(ax, [(right, y1), (x2, y2)] if y1 == y2 else [(right, y1), (gutter, y1), (gutter, y2), (x2, y2)])
