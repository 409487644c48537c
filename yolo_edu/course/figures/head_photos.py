"""Figures of lesson 07 that are made of photos and labels: grids, anchors, the way of a prediction, label sizes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from torch import Tensor

from yolo_edu.course.figures.diagram import DIM, INK, LEVEL_COLORS, WORK_COLORS, hex_color
from yolo_edu.draw import draw_grid, show_image

__all__ = ["Prediction", "anchors_on_photo", "grids_on_photo", "prediction_traces", "size_cloud"]


class Prediction(NamedTuple):
    """One row of the decoded output, and where it comes from."""

    level: str  # P3, P4 or P5
    stride: int
    row: int
    column: int
    anchor: tuple[float, float]  # width, height in pixels
    box: tuple[float, float, float, float]  # cx, cy, w, h in pixels
    text: str


def _box(ax: Axes, center: tuple[float, float], size: tuple[float, float], color: str, **style: object) -> None:
    """A rectangle around a center, with a dark rim that shows on any photo."""
    (x, y), (w, h) = center, size
    patch = Rectangle((x - w / 2, y - h / 2), w, h, **{"fill": False, "edgecolor": color, "linewidth": 1.8} | style)  # type: ignore[arg-type]
    if patch.get_fill() is False:
        patch.set_path_effects([Stroke(linewidth=patch.get_linewidth() + 1.6, foreground="black"), Normal()])
    ax.add_patch(patch)


def grids_on_photo(image: Tensor, boxes: Tensor, strides: Sequence[int]) -> Figure:
    """One photo under the grid of every level, with the cells that hold the centers of its objects.

    Args:
        image: (3, H, W), the network's input.
        boxes: (N, 4) cxcywh in its pixels.
        strides: of the levels.
    """
    height, width = image.shape[1:]
    figure, axes = plt.subplots(1, len(strides), figsize=(10, 3.75), layout="constrained")
    for ax, stride, (level, color) in zip(axes, strides, LEVEL_COLORS.items(), strict=True):
        show_image(ax, image)
        draw_grid(ax, width, height, stride)
        for x, y, w, h in boxes.tolist():
            corner = x // stride * stride, y // stride * stride
            ax.add_patch(Rectangle(corner, stride, stride, facecolor=color, edgecolor="black", alpha=0.75, zorder=3))
            _box(ax, (x, y), (w, h), "white", linewidth=1.2, linestyle=(0, (4, 2)), zorder=4)
            ax.plot(x, y, marker="o", markersize=3, color="white", markeredgecolor="black", zorder=5)
        ax.set_title(f"{level}: stride {stride}, {height // stride} × {width // stride} cells", fontsize=12)
    plt.close(figure)
    return figure


def anchors_on_photo(images: Sequence[Tensor], anchors: Tensor) -> Figure:
    """The same anchors, to scale, in the middle of one photo at several sizes of the network's input.

    Args:
        images: (3, S, S) each.
        anchors: (L, A, 2) width, height in pixels of the network's input.
    """
    figure, axes = plt.subplots(1, len(images), figsize=(4.0 * len(images), 4.4), layout="constrained")
    for ax, image in zip(axes, images, strict=True):
        size = image.shape[-1]
        show_image(ax, image)
        for (level, color), shapes, line in zip(LEVEL_COLORS.items(), anchors, ("-", "--", "-."), strict=True):
            for number, (w, h) in enumerate(shapes.tolist()):
                _box(ax, (size / 2, size / 2), (w, h), color, linestyle=line, label=None if number else level)
        ax.set(xlim=(0, size), ylim=(size, 0))
        ax.set_title(f"input of {size} × {size} pixels", fontsize=12)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=12)
    plt.close(figure)
    return figure


def prediction_traces(image: Tensor, predictions: Sequence[Prediction]) -> Figure:
    """For each prediction: its cell, how far its center may go, its anchor, and the box that came out.

    Args:
        image: (3, S, S), the network's input.
        predictions: one a panel.
    """
    height, width = image.shape[1:]
    figure, axes = plt.subplots(1, len(predictions), figsize=(10, 4.0), layout="constrained")
    for ax, found in zip(axes, predictions, strict=True):
        show_image(ax, image)
        draw_grid(ax, width, height, found.stride)
        s = found.stride
        middle = (found.column + 0.5) * s, (found.row + 0.5) * s
        fill = {"fill": True, "facecolor": WORK_COLORS["marked"], "edgecolor": "black", "alpha": 0.8}
        _box(ax, middle, (s, s), "black", **fill, linewidth=1, zorder=3, label="cell")
        _box(ax, middle, (2 * s, 2 * s), "white", linestyle=":", zorder=4, label="where the center may lie")
        _box(ax, middle, found.anchor, hex_color(3), linestyle=(0, (4, 2)), zorder=4, label="anchor")
        color = LEVEL_COLORS[found.level]
        _box(ax, found.box[:2], found.box[2:], color, linewidth=2.4, zorder=5, label="box")
        ax.plot(*found.box[:2], marker="o", markersize=6, color=color, markeredgecolor="white", zorder=6)
        ax.set(xlim=(0, width), ylim=(height, 0))
        ax.set_title(found.text, fontsize=11)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=11)
    plt.close(figure)
    return figure


def size_cloud(panels: Mapping[str, tuple[Tensor, Mapping[str, Tensor]]], *, reach: float = 4.0) -> Figure:
    """Sizes of labels and sets of anchors on logarithmic axes, where equal ratios are equal distances.

    Args:
        panels: title → (N, 2) label width, height in pixels, and name → (L, A, 2) anchors in pixels; around the
            first anchor of P4 in the first set stands the square of what it reaches.
        reach: the factor that an anchor may be off.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(8.6, 4.6), layout="constrained", sharex=True, sharey=True)
    markers = ((hex_color(5), "s"), (hex_color(4), "^"))
    for ax, (title, (sizes, sets)) in zip(axes, panels.items(), strict=True):
        ax.scatter(*sizes.T.tolist(), s=7, color=DIM, alpha=0.35, linewidths=0, label="labels")
        for (name, anchors), (color, marker) in zip(sets.items(), markers, strict=False):
            points = anchors.reshape(-1, 2).T.tolist()
            ax.scatter(*points, s=60, color=color, marker=marker, edgecolors=INK, label=name, zorder=3)
        w, h = next(iter(sets.values()))[1, 0].tolist()
        square = Rectangle((w / reach, h / reach), w * (reach - 1 / reach), h * (reach - 1 / reach), fill=False)
        square.set(edgecolor=INK, linestyle="--", linewidth=1.2, label=f"reach of {w:.0f} × {h:.0f}")
        ax.add_patch(square)
        ax.set(xscale="log", yscale="log", xlabel="width, pixels", xlim=(0.8, 600), ylim=(0.8, 600), aspect="equal")
        ax.set_title(title, fontsize=12)
        ax.spines[["top", "right"]].set_visible(False)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
    axes[0].set_ylabel("height, pixels")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=11)
    plt.close(figure)
    return figure
