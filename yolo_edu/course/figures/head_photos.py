"""Figures of lesson 07 that are made of photos and labels: grids, anchors, the way of a prediction, label sizes."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from torch import Tensor

from yolo_edu.boxes import cxcywh_to_xyxy, iou
from yolo_edu.course.figures.diagram import DIM, INK, LEVEL_COLORS, WORK_COLORS, hex_color
from yolo_edu.course.figures.maps import COLORS
from yolo_edu.draw import draw_grid, show_image
from yolo_edu.model import Detector

__all__ = [
    "Prediction",
    "anchors_on_photo",
    "grids_on_photo",
    "objectness_maps",
    "prediction_traces",
    "size_cloud",
    "surest_predictions",
]


class Prediction(NamedTuple):
    """One box of the decoded output, and where it comes from."""

    level: str  # P3, P4 or P5
    stride: int
    row: int
    column: int
    anchor: tuple[float, float]  # width, height in pixels
    box: tuple[float, float, float, float]  # cx, cy, w, h in pixels of the network's input
    text: str
    number: int = 0  # of the box in the decoded output
    anchor_place: tuple[int, int] = (0, 0)  # level and number of the anchor
    raw: tuple[float, ...] = ()  # x, y, w, h as the head gave them


def _box(ax: Axes, center: tuple[float, float], size: tuple[float, float], color: str, **style: object) -> None:
    """A rectangle around a center, with a rim that shows on any photo: dark, or white around black."""
    (x, y), (w, h) = center, size
    patch = Rectangle((x - w / 2, y - h / 2), w, h, **{"fill": False, "edgecolor": color, "linewidth": 1.8} | style)  # type: ignore[arg-type]
    if patch.get_fill() is False:
        rim = "white" if color == "black" else "black"
        patch.set_path_effects([Stroke(linewidth=patch.get_linewidth() + 1.6, foreground=rim), Normal()])
    ax.add_patch(patch)


def objectness_maps(image: Tensor, maps: Sequence[Tensor], *, limit: float = 0.5) -> Figure:
    """A photo beside the objectness of every level; cells above the limit are framed, the limit is on the scale.

    Args:
        image: (3, H, W), the network's input.
        maps: (h, w) a level, between 0 and 1.
        limit: from here on a cell is framed.
    """
    figure, axes = plt.subplots(1, 1 + len(maps), figsize=(10, 2.75), layout="constrained")
    show_image(axes[0], image)
    axes[0].set_title("photo", fontsize=12)
    for ax, values, level in zip(axes[1:], maps, LEVEL_COLORS, strict=True):
        height, width = values.shape
        shades = ax.imshow(
            values.numpy(), cmap=COLORS, vmin=0, vmax=1, extent=(0, width, height, 0), interpolation="nearest"
        )
        for row, column in (values > limit).nonzero().tolist():
            frame = Rectangle((column, row), 1, 1, fill=False, edgecolor=WORK_COLORS["marked"], linewidth=1.4)
            ax.add_patch(frame)
        ax.set_title(f"{level}: {height} × {width} cells", fontsize=12)
        ax.set_axis_off()
    scale = figure.colorbar(shades, ax=axes, shrink=0.85, ticks=(0, limit, 1))
    scale.ax.axhline(limit, color=WORK_COLORS["marked"], linewidth=2)
    scale.set_label("objectness")
    plt.close(figure)
    return figure


def grids_on_photo(image: Tensor, boxes: Tensor, strides: Sequence[int], closer: int | None = None) -> Figure:
    """One photo under the grid of every level, with the cells that hold the centers of its objects.

    Args:
        image: (3, H, W), the network's input.
        boxes: (N, 4) cxcywh in its pixels.
        strides: of the levels.
        closer: index of a box whose center is shown once more, enlarged, on the coarsest grid; None: of none.
    """
    height, width = image.shape[1:]
    levels = list(zip(strides, LEVEL_COLORS.items(), strict=True))
    panels = levels if closer is None else [*levels, levels[-1]]
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(8, 4.25 * rows), layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (stride, (level, color)) in zip(axes.flat, panels, strict=False):
        show_image(ax, image)
        draw_grid(ax, width, height, stride)
        for x, y, w, h in boxes.tolist():
            corner = x // stride * stride, y // stride * stride
            ax.add_patch(Rectangle(corner, stride, stride, facecolor=color, edgecolor="black", alpha=0.75, zorder=3))
            _box(ax, (x, y), (w, h), "white", linewidth=1.2, linestyle=(0, (4, 2)), zorder=4)
            ax.plot(x, y, marker="o", markersize=4, color="white", markeredgecolor="black", zorder=5)
        ax.set_title(f"{level}: stride {stride}, {height // stride} × {width // stride} cells", fontsize=12)
    if closer is not None:
        (x, y), stride = boxes[closer, :2].tolist(), strides[-1]
        ax = axes.flat[len(panels) - 1]
        ax.set(xlim=(x - 1.25 * stride, x + 1.25 * stride), ylim=(y + 1.25 * stride, y - 1.25 * stride))
        ax.set_title(f"{level}, one center enlarged", fontsize=12)
    plt.close(figure)
    return figure


def anchors_on_photo(images: Sequence[Tensor], anchors: Tensor) -> Figure:
    """The same anchors around the middle of one photo at several sizes of the network's input, all in one scale.

    Args:
        images: (3, S, S) each.
        anchors: (L, A, 2) width, height in pixels of the network's input.
    """
    sides = [max(1.04 * anchors.max().item(), image.shape[-1]) for image in images]  # of the panels, in pixels
    inches = 8.6 / sum(sides)
    figure, axes = plt.subplots(
        1,
        len(images),
        figsize=(8.6, max(sides) * inches + 0.75),
        width_ratios=sides,
        layout="constrained",
    )
    for ax, image, side in zip(axes, images, sides, strict=True):
        size = image.shape[-1]
        show_image(ax, image)
        for (level, color), shapes, line in zip(LEVEL_COLORS.items(), anchors, ("-", "--", "-."), strict=True):
            for number, (w, h) in enumerate(shapes.tolist()):
                _box(ax, (size / 2, size / 2), (w, h), color, linestyle=line, label=None if number else level)
        ax.set(xlim=((size - side) / 2, (size + side) / 2), ylim=((size + max(sides)) / 2, (size - max(sides)) / 2))
        ax.set_title(f"input of {size} × {size} pixels", fontsize=12)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=12)
    plt.close(figure)
    return figure


def surest_predictions(
    rows: Tensor, raw: Sequence[Tensor], model: Detector, target: Tensor, *, count: int = 3, overlap: float = 0.5
) -> list[Prediction]:
    """The surest boxes on one object, at most one a cell, and where each comes from.

    Args:
        rows: (N, 5 + K) decoded boxes of one image.
        raw: (B, A, h, w, 5 + K) a level; `rows` are of its first image.
        model: whose anchors, strides and names.
        target: (4,) the object's box, xyxy in pixels of the network's input.
        count: boxes asked for.
        overlap: least IoU with `target`.
    """
    score, best = (rows[:, 4:5] * rows[:, 5:]).max(dim=1)  # objectness · best class
    on_it = iou(cxcywh_to_xyxy(rows[:, :4]), target) > overlap
    places = [(level, *place) for level, x in enumerate(raw) for place in product(*map(range, x.shape[1:4]))]
    found: dict[tuple[int, int, int], Prediction] = {}
    for i in (score * on_it).argsort(descending=True).tolist():
        level, a, row, column = places[i]
        if (level, row, column) in found:
            continue
        name = list(LEVEL_COLORS)[level]
        found[level, row, column] = Prediction(
            name,
            model.strides[level],
            row,
            column,
            tuple(model.anchors[level, a].tolist()),
            tuple(rows[i, :4].tolist()),
            f"{name}, row {row}, column {column}: {model.names[int(best[i])]} {score[i]:.2f}",
            i,
            (level, a),
            tuple(raw[level][0, a, row, column, :4].tolist()),
        )
        if len(found) == count:
            break
    return list(found.values())


def prediction_traces(image: Tensor, predictions: Sequence[Prediction]) -> Figure:
    """For each prediction: its cell, how far its center may go, its anchor, and the box that came out.

    Args:
        image: (3, S, S), the network's input; what is around the predictions is cut out of it.
        predictions: one a panel.
    """
    height, width = image.shape[1:]
    figure, axes = plt.subplots(1, len(predictions), figsize=(10, 4.0), layout="constrained")
    ends = []  # left, right, top, bottom of all that is drawn
    for ax, found in zip(axes, predictions, strict=True):
        show_image(ax, image)
        draw_grid(ax, width, height, found.stride)
        s = found.stride
        middle = (found.column + 0.5) * s, (found.row + 0.5) * s
        fill = {"fill": True, "facecolor": WORK_COLORS["marked"], "edgecolor": "black", "alpha": 0.8}
        _box(ax, middle, (s, s), "black", **fill, linewidth=1, zorder=3, label="cell")
        _box(ax, middle, (2 * s, 2 * s), "black", linestyle=":", zorder=4, label="where the center may lie")
        _box(ax, middle, found.anchor, hex_color(3), linestyle=(0, (4, 2)), zorder=4, label="anchor")
        _box(ax, found.box[:2], found.box[2:], hex_color(4), linewidth=2.4, zorder=5, label="box")
        ax.plot(*found.box[:2], marker="o", markersize=7, color=hex_color(4), markeredgecolor="white", zorder=6)
        ax.set_title(found.text, fontsize=11)
        ends += [p.get_bbox().extents for p in ax.patches]
    lefts, tops, rights, bottoms = zip(*ends, strict=True)
    side = max(max(rights) - min(lefts), max(bottoms) - min(tops)) + 8
    x, y = (max(rights) + min(lefts)) / 2, (max(bottoms) + min(tops)) / 2
    for ax in axes:
        ax.set(xlim=(x - side / 2, x + side / 2), ylim=(y + side / 2, y - side / 2))
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
    handles, names = axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=11)
    dots = legend.legend_handles[0]  # as drawn among thousands, one of them is too faint to see
    assert dots is not None
    dots.set(sizes=[36], alpha=1)
    plt.close(figure)
    return figure
