"""Figures of lesson 10 that are made of photos: one box in every frame, the cells and anchors of an object."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from torch import Tensor

from yolo_edu.assign import Assignment, Rule, assign
from yolo_edu.boxes import cxcywh_to_xyxy, scale_boxes, xyxy_to_cxcywh
from yolo_edu.course.figures.diagram import INK, LEVEL_COLORS, hex_color
from yolo_edu.data import letterbox
from yolo_edu.draw import draw_grid, show_image
from yolo_edu.model.detect import STRIDES, encode_box

__all__ = ["box_frames", "entry_cells", "lit_cells", "shared_cell"]

LETTERS = {(0, 0): "C", (0, -1): "L", (-1, 0): "U", (0, 1): "R", (1, 0): "D"}  # row, column beside the center cell
LINES: Sequence[Any] = ("-", (0, (5, 2)), (0, (1.2, 1.2)))  # the three anchors of a level


def lit_cells(level: Assignment) -> dict[tuple[int, int], str]:
    """Row, column of the cells that one object was given on one level → what they are.

    C: the center's cell; L, U, R, D: its left, upper, right, lower neighbor. "C×2": the cell stands there twice.

    Args:
        level: entries of a single target.
    """
    places = [(int(r), int(c)) for r, c in zip(level.row, level.column, strict=True)]
    anchors = len(level.anchor.unique())
    named = {}
    for (row, column), count in Counter(places).items():
        letter = LETTERS[row - places[0][0], column - places[0][1]]  # the first entry is the center's
        named[row, column] = letter if count == anchors else f"{letter}×{count // anchors}"
    return named


def _outline(ax: Axes, corners: Sequence[float], color: str, **style: object) -> None:
    """A rectangle with a dark rim that shows on any photo."""
    x1, y1, x2, y2 = corners
    patch = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, **{"linewidth": 1.8} | style)  # type: ignore[arg-type]
    patch.set_path_effects([Stroke(linewidth=patch.get_linewidth() + 1.6, foreground="black"), Normal()])
    ax.add_patch(patch)


def _dot(ax: Axes, x: float, y: float) -> None:
    ax.plot(x, y, marker="o", markersize=6, color=hex_color(1), markeredgecolor="black", zorder=6)


# --- one box in every frame -----------------------------------------------------------------------------


def box_frames(photo: Tensor, box: Tensor, size: int, level: int, anchor: Tensor) -> Figure:
    """One box in the six frames between a label and the network's raw numbers.

    Args:
        photo: uint8 (3, H, W).
        box: (4,) xyxy in its pixels.
        size: side of the network's square input, pixels.
        level: 0, 1, 2 for P3, P4, P5: whose grid.
        anchor: (2,) width, height in cells of that level.
    """
    square, placed = letterbox(photo, size)
    stride, name = STRIDES[level], list(LEVEL_COLORS)[level]
    pixels = placed.apply(box)
    cells = xyxy_to_cxcywh(pixels) / stride
    column, row = (int(v) for v in cells[:2].tolist())
    relative = torch.cat([cells[:2] - torch.tensor([column, row]), cells[2:]])
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 7.4), layout="constrained")
    height, width = photo.shape[1:]
    frames = (
        ("1 pixels of the photo", photo, (width, height), box),
        ("2 pixels of the square", square, (size, size), pixels),
        ("3 normalized to the square", square, (1, 1), pixels / size),
        (f"4 cells of {name}", square, (size / stride, size / stride), pixels / stride),
        ("5 cells, from the cell's corner", square, (size / stride, size / stride), pixels / stride),
    )
    for ax, (title, image, (right, bottom), corners) in zip(axes.flat, frames, strict=False):
        shift = torch.tensor([column, row] * 2) if title.startswith("5") else torch.zeros(4)
        x1, y1, x2, y2 = (corners - shift).tolist()
        left, top = -shift[0].item(), -shift[1].item()
        ax.imshow(image.permute(1, 2, 0).numpy(), extent=(left, right + left, bottom + top, top), aspect="equal")
        _outline(ax, (x1, y1, x2, y2), "white")
        _dot(ax, (x1 + x2) / 2, (y1 + y2) / 2)
        ax.set_title(title, fontsize=12)
        ax.tick_params(labelsize=11)
    for ax, (left, top) in ((axes[1, 0], (column, row)), (axes[1, 1], (0, 0))):
        style = {"facecolor": LEVEL_COLORS[name], "edgecolor": "black", "alpha": 0.6}
        ax.add_patch(Rectangle((left, top), 1, 1, **style))  # type: ignore[arg-type]
    half_width, half_height = (cells[2:] / 2 + 1).tolist()
    middle = relative[:2].tolist()
    axes[1, 1].set_xlim(middle[0] - half_width, middle[0] + half_width)
    axes[1, 1].set_ylim(middle[1] + half_height, middle[1] - half_height)
    raw = encode_box(relative, anchor).tolist()
    ax = axes[1, 2]
    bars = ax.barh(["raw x", "raw y", "raw w", "raw h"], raw, color=hex_color(1), edgecolor=INK)
    ax.bar_label(bars, [f"{v:.2f}" for v in raw], padding=4, fontsize=11)
    ax.invert_yaxis()
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.margins(x=0.3)
    ax.set_title("6 what the convolution must say", fontsize=12)
    ax.set_xlabel("raw number, no unit", fontsize=11)
    ax.tick_params(labelsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    plt.close(figure)
    return figure


# --- the microscope -------------------------------------------------------------------------------------


def entry_cells(image: Tensor, target: Tensor, anchors: Tensor, *, rule: Rule = "r7") -> Figure:
    """One object on the three grids: its chosen cells and the anchors that fit; each panel is a crop of its own.

    Args:
        image: (3, S, S), the network's input.
        target: (6,) image index, class, cx, cy, w, h, normalized.
        anchors: (L, A, 2) in cells of their level.
        rule: the release.
    """
    size = image.shape[-1]
    levels = assign(target[None], [(size // s, size // s) for s in STRIDES], anchors, rule=rule)
    box = scale_boxes(target[2:], size, size)
    x, y = box[:2].tolist()
    figure, axes = plt.subplots(1, len(STRIDES), figsize=(10.5, 4.1), layout="constrained")
    for ax, entries, shapes, stride, (name, color) in zip(
        axes, levels, anchors, STRIDES, LEVEL_COLORS.items(), strict=True
    ):
        show_image(ax, image)
        draw_grid(ax, size, size, stride)
        for (row, column), letter in lit_cells(entries).items():
            hatch = None if letter[0] == "C" else "///"
            corner = column * stride, row * stride
            ax.add_patch(
                Rectangle(corner, stride, stride, facecolor=color, edgecolor="black", alpha=0.4, hatch=hatch, zorder=3)
            )
            middle = corner[0] + stride / 2, corner[1] + stride / 2
            words = ax.text(
                *middle, letter, ha="center", va="center", fontsize=12, color="white", weight="bold", zorder=7
            )
            words.set_path_effects([Stroke(linewidth=2.2, foreground="black"), Normal()])
        _outline(ax, cxcywh_to_xyxy(box).tolist(), "white", zorder=4)
        used = entries.anchor.unique().tolist()
        for a in used:
            w, h = (shapes[a] * stride).tolist()
            corners = x - w / 2, y - h / 2, x + w / 2, y + h / 2
            _outline(ax, corners, color, linestyle=LINES[a], linewidth=1.5, zorder=5)
        reach = [box[2:].max().item() * 0.75, 2.3 * stride, *(shapes[used].flatten() * stride * 0.55).tolist()]
        half = min(max(reach), size / 2)
        shown = [min(max(v, half), size - half) for v in (x, y)]  # the crop's middle; it stays inside the square
        (left, right), (top, bottom) = ((v - half, v + half) for v in shown)
        ax.set(xlim=(left, right), ylim=(bottom, top))
        ax.set_title(f"{name}: {len(used)} of {len(shapes)} anchors fit,\n{len(entries.row)} entries", fontsize=12)
        lines = [Line2D([], [], color=color, linestyle=LINES[a], label=_shape(shapes[a] * stride)) for a in used]
        style = {"ncols": 3, "handlelength": 1.8, "columnspacing": 1.0, "handletextpad": 0.5, "frameon": False}
        ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, 0.0), fontsize=11, **style)
    plt.close(figure)
    return figure


def _shape(size: Tensor) -> str:
    return " × ".join(f"{v:.0f}" for v in size.tolist())


def shared_cell(image: Tensor, targets: Tensor, names: Sequence[str], stride: int, cell: tuple[int, int]) -> Figure:
    """Objects that claim one cell of one level: their boxes and centers, the grid, the cell filled.

    Args:
        image: (3, S, S), the network's input.
        targets: (N, 6), the boxes normalized.
        names: one an object.
        stride: of the level, pixels.
        cell: row, column.
    """
    size = image.shape[-1]
    figure, ax = plt.subplots(figsize=(8.0, 4.8), layout="constrained")
    show_image(ax, image)
    draw_grid(ax, size, size, stride)
    corner = cell[1] * stride, cell[0] * stride
    ax.add_patch(
        Rectangle(corner, stride, stride, facecolor="white", edgecolor="black", linewidth=1.5, alpha=0.75, zorder=5)
    )
    boxes = scale_boxes(targets[:, 2:], size, size)
    for number, (name, box) in enumerate(zip(names, boxes, strict=True)):
        color, line = (hex_color(3), hex_color(1))[number % 2], LINES[number % 2]
        x1, y1, x2, y2 = cxcywh_to_xyxy(box).tolist()
        _outline(ax, (x1, y1, x2, y2), color, linestyle=line, zorder=4)
        ax.plot(*box[:2].tolist(), marker="os"[number % 2], markersize=7, color=color, markeredgecolor=INK, zorder=6)
        words = ax.text((x1 + x2) / 2, y1 - 4, name, ha="center", fontsize=12, color="white", weight="bold", zorder=7)
        words.set_path_effects([Stroke(linewidth=2.2, foreground="black"), Normal()])
    claims = []
    for name, (x, y) in zip(names, (boxes[:, :2] / stride).tolist(), strict=True):
        beside = cell[0] - int(y), cell[1] - int(x)  # rows, columns from the object's own cell
        claims.append(f"{LETTERS[beside]} of\n{name}")
    middle = corner[0] + stride / 2, corner[1] + stride / 2
    ax.text(*middle, "\n".join(claims), ha="center", va="center", fontsize=10.5, color=INK, zorder=7)
    highest, lowest = (boxes[:, 1] - boxes[:, 3]).min().item(), (boxes[:, 1] + boxes[:, 3]).max().item()
    ax.set(xlim=(0, size), ylim=(min(size, lowest), max(0, highest)))
    plt.close(figure)
    return figure
