"""Figures of lesson 07: the head, its box formula, its anchors."""

import copy
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from yolo_edu.course.figures.diagram import (
    DIM,
    FADED,
    INK,
    LEVEL_COLORS,
    PLAIN,
    WORK_COLORS,
    arrow,
    canvas,
    feature_map,
    hex_color,
    label,
    tile,
)
from yolo_edu.course.figures.head_photos import (
    Prediction,
    anchors_on_photo,
    grids_on_photo,
    objectness_maps,
    prediction_traces,
    size_cloud,
    surest_predictions,
)
from yolo_edu.model import Detector, YOLOv5
from yolo_edu.model.detect import Detect, decode_box

__all__ = [
    "Prediction",
    "anchor_sheet",
    "anchors_on_photo",
    "decode_curves",
    "grids_on_photo",
    "head_diagram",
    "objectness_maps",
    "prediction_traces",
    "size_cloud",
    "surest_predictions",
]

LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.2)))  # the three anchors of a level: solid, dashed, dotted


# --- the head -------------------------------------------------------------------------------------------


def _shapes(model: Detector, size: int) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Shapes of N3, N4, N5 and of the raw predictions for a square image; nothing is computed."""
    ghost = copy.deepcopy(model).to("meta").eval()
    maps = ghost.neck(*ghost.backbone(torch.zeros(1, 3, size, size, device="meta")))
    return [tuple(x.shape) for x in maps], [tuple(x.shape) for x in ghost.head(*maps)]


def head_diagram(model: Detector | None = None, *, size: int = 640) -> Figure:
    """The head: three maps, a 1×1 convolution each, and the numbers that stand in one cell.

    Args:
        model: whose head; None: the article's network, YOLOv5 s with 5 classes.
        size: side of the image, pixels.
    """
    model = model or YOLOv5("s", 5)
    maps, raw = _shapes(model, size)
    anchors = model.anchors.detach()  # (L, A, 2) pixels
    per_cell, outputs = raw[0][1], raw[0][4]
    figure, ax = canvas(12.0, 6.5)
    for x, text in ((0.95, "from the neck"), (3.15, "convolution"), (5.45, "grid over the image")):
        label(ax, x, 0.3, text, weight="bold")
    pitch, first, side = 1.98, 0.68, 1.36
    for index, (level, color) in enumerate(LEVEL_COLORS.items()):
        top = first + index * pitch
        middle, cells, channels = top + side / 2, raw[index][3], maps[index][1]
        sheet = (1.0, 0.72, 0.5)[index]
        feature_map(ax, 0.85 - sheet / 2, middle - sheet / 2, sheet, color=color)
        label(ax, 0.95, top + side + 0.2, f"{channels} × {cells} × {cells}")
        arrow(ax, [(1.72, middle), (2.3, middle)])
        words = f"1 × 1\n{channels} → {per_cell * outputs}"
        tile(ax, 2.3, middle - 0.4, 1.7, 0.8, words, color=WORK_COLORS["convolution"])
        arrow(ax, [(4.0, middle), (4.7, middle)])
        marked = _grid(ax, 4.77, top, side, size, model.strides[index], color)
        label(ax, 5.45, top + side + 0.2, f"{level}: {cells} × {cells} cells")
        if index == 1:
            cell = marked
    left, top, height = 7.3, 1.1, 0.62
    end = top + height * per_cell
    for start, corner in ((cell[1], top), (cell[1] + cell[2], end)):
        line = [cell[0] + cell[2], left - 0.05], [start, corner]
        ax.plot(*line, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=4)
    label(ax, left, 0.3, "one cell, three anchors", ha="left", weight="bold")
    label(ax, left, 0.8, f"A · (5 + K) = {per_cell} · {outputs} = {per_cell * outputs} numbers", ha="left")
    _numbers(ax, left, top, height, anchors[1], outputs, model.strides[1])
    rules = (
        "center x = (2σ(x) − 0.5 + column) · stride",
        "center y = (2σ(y) − 0.5 + row) · stride",
        "width = (2σ(w))² · anchor's width",
        "height = (2σ(h))² · anchor's height",
        "σ(o): is there an object?",
        f"σ(1) … σ({outputs - 5}): of which class?",
    )
    for line_number, rule in enumerate(rules):
        label(ax, left, end + 0.38 + 0.34 * line_number, rule, ha="left")
    total = per_cell * sum(shape[2] * shape[3] for shape in raw)
    words = f"{total:,} boxes of {outputs} numbers\nfor an image of {size} × {size} pixels"
    tile(ax, left, 5.4, 4.4, 0.8, words)
    return figure


def _grid(ax: Axes, x: float, y: float, side: float, size: int, stride: int, color: str) -> tuple[float, float, float]:
    """The cells of one level, to scale, one of them filled; left, top and side of that cell."""
    ax.add_patch(Rectangle((x, y), side, side, facecolor=color, alpha=0.3, edgecolor="none"))
    cells, unit = size // stride, side / size
    for i in range(cells + 1):
        at = i * stride * unit
        for line in (([x + at, x + at], [y, y + side]), ([x, x + side], [y + at, y + at])):
            ax.plot(*line, color=DIM, linewidth=min(9 / cells, 0.45), zorder=2)
    cell = x + cells // 2 * stride * unit, y + cells // 2 * stride * unit, stride * unit
    ax.add_patch(Rectangle(cell[:2], cell[2], cell[2], facecolor=WORK_COLORS["marked"], edgecolor="none", zorder=3))
    if cell[2] < 0.05:  # inches: too small to be found without a ring around it
        middle = cell[0] + cell[2] / 2, cell[1] + cell[2] / 2
        ax.add_patch(Circle(middle, 0.1, fill=False, edgecolor=WORK_COLORS["marked"], linewidth=1.6, zorder=3))
    return cell


def _numbers(ax: Axes, x: float, y: float, height: float, anchors: Tensor, outputs: int, stride: int) -> None:
    """The numbers of one cell: for each anchor x y w h, objectness, classes, and its shape around the cell."""
    classes = outputs - 5
    shown = [str(k + 1) for k in range(classes)] if classes <= 5 else ["1", "2", "3", "…", str(classes)]
    names = ["x", "y", "w", "h", "o", *shown]
    kinds = [WORK_COLORS["pool"]] * 4 + [WORK_COLORS["marked"]] + [FADED] * len(shown)
    width, unit = 0.32, 0.88 * height / anchors.max().item()  # the largest side of an anchor fills its line
    middle = x + width * len(names) + 0.12 + anchors[:, 0].max().item() * unit / 2
    for row, (w, h) in enumerate(anchors.tolist()):
        for column, (name, color) in enumerate(zip(names, kinds, strict=True)):
            place = x + column * width, y + row * height
            ax.add_patch(Rectangle(place, width, height, facecolor=color, edgecolor=INK, linewidth=0.8))
            label(ax, place[0] + width / 2, place[1] + height / 2, name, va="center_baseline")
        level = y + (row + 0.5) * height
        for sides, style in (
            ((stride, stride), {"facecolor": WORK_COLORS["marked"], "edgecolor": "none"}),
            ((w, h), {"fill": False, "edgecolor": INK, "linewidth": 1.3, "linestyle": LINES[row % len(LINES)]}),
        ):
            w_shown, h_shown = (side * unit for side in sides)
            ax.add_patch(Rectangle((middle - w_shown / 2, level - h_shown / 2), w_shown, h_shown, **style))
        label(ax, middle + anchors[:, 0].max().item() * unit / 2 + 0.15, level, f"{w:.0f} × {h:.0f}", ha="left")


# --- the box formula ------------------------------------------------------------------------------------


def decode_curves() -> Figure:
    """What a raw number becomes: the formula of `decode_box` beside YOLOv3's, and both slopes."""
    t = torch.linspace(-6, 6, 241, requires_grad=True)
    box = decode_box(torch.stack([t] * 4, dim=-1), torch.ones(2))  # an anchor of one cell
    offset, size = box[:, 0], box[:, 2]
    ways = {  # name → (offset, size), line
        "YOLOv5: 2σ − 0.5 and (2σ)²": (offset, size, hex_color(4), "-"),
        "YOLOv3: σ and exp": (t.sigmoid(), t.exp(), hex_color(5), (0, (5, 2))),
    }
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.9), layout="constrained")
    x = t.detach()
    for name, (place, factor, color, line) in ways.items():
        (slope,) = torch.autograd.grad(factor.sum(), t, retain_graph=True)
        for ax, values in zip(axes, (place, factor, slope), strict=True):
            ax.plot(x, values.detach(), color=color, linestyle=line, linewidth=2, label=name)
    titles = ("center, in cells\nfrom the cell's left edge", "width, in anchors", "slope of the width")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=12)
        ax.set_xlabel("raw number t")
        ax.spines[["top", "right"]].set_visible(False)
        ax.axvline(0, color=FADED, linewidth=0.8, zorder=0)
    axes[0].axhspan(0, 1, color=PLAIN, zorder=0)
    axes[0].set(ylim=(-0.7, 1.7), yticks=(-0.5, 0, 0.5, 1, 1.5))
    axes[1].set(ylim=(0, 8))
    axes[2].set(ylim=(0, 8))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=12)
    plt.close(figure)
    return figure


# --- the anchors ----------------------------------------------------------------------------------------


def anchor_sheet(detect: Detect | None = None) -> Figure:
    """The anchors of the three levels, each level in cells of its own grid.

    Args:
        detect: whose buffer; None: a Detect with the default anchors.
    """
    detect = detect or Detect(1)
    cells = detect.anchors.detach()  # (L, A, 2)
    across = int(cells.max().ceil().item()) + 1
    side = 3.3
    figure, ax = canvas(11, 5.4)
    for index, ((level, color), anchors) in enumerate(zip(LEVEL_COLORS.items(), cells, strict=True)):
        x, y, unit = 0.15 + index * 3.56, 0.55, side / across
        stride = int(detect.stride[index].item())
        label(ax, x + side / 2, 0.3, f"{level}: a cell is {stride} × {stride} pixels", weight="bold")
        ax.add_patch(Rectangle((x, y), side, side, facecolor=color, alpha=0.17, edgecolor="none"))
        for i in range(across + 1):
            ax.plot([x + i * unit] * 2, [y, y + side], color=FADED, linewidth=0.7, zorder=1)
            ax.plot([x, x + side], [y + i * unit] * 2, color=FADED, linewidth=0.7, zorder=1)
        middle = x + (across // 2 + 0.5) * unit, y + (across // 2 + 0.5) * unit
        corner = middle[0] - unit / 2, middle[1] - unit / 2
        ax.add_patch(Rectangle(corner, unit, unit, facecolor=WORK_COLORS["marked"], edgecolor="none", zorder=2))
        for number, ((w, h), line) in enumerate(zip(anchors.tolist(), LINES, strict=False)):
            corner = middle[0] - w * unit / 2, middle[1] - h * unit / 2
            box = Rectangle(corner, w * unit, h * unit, fill=False, edgecolor=INK, linewidth=1.6, zorder=3)
            box.set_linestyle(line)
            ax.add_patch(box)
            below = y + side + 0.27 + 0.3 * number
            ax.plot([x, x + 0.45], [below, below], color=INK, linewidth=1.6, linestyle=line)
            text = f"{w * stride:.0f} × {h * stride:.0f} px = {w:.1f} × {h:.1f} cells"
            label(ax, x + 0.58, below, text, ha="left", fontsize=12)
    text = f"Each panel is {across} cells wide; its pixels differ with the stride. Filled: one cell."
    label(ax, 5.5, 5.17, text, fontsize=12, color=DIM)
    return figure


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "13_head": (
        head_diagram,
        "The head of YOLOv5: a 1×1 convolution on each of three maps, a grid of cells over the image for each, and in "
        "one cell three anchors, drawn to scale around it, with five numbers and the classes each: x, y, w, h, "
        "objectness o, classes.",
    ),
    "L07_decode": (
        decode_curves,
        "Three curves over the raw number: the center offset of YOLOv5 spans −0.5 to 1.5 cells, that of YOLOv3 0 to 1; "
        "the size factor of YOLOv5 ends at 4, YOLOv3's exponential has no end, and neither has its slope.",
    ),
    "L07_anchors": (
        anchor_sheet,
        "The three anchors of each level drawn to scale in cells of their grid: P3 with 8, P4 with 16, P5 with 32 "
        "pixels a cell; measured in cells their sizes differ far less than in pixels.",
    ),
}
