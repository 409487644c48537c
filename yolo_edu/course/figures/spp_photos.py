"""What lesson 05 draws over photos and maps: windows around a cell, pixels that change it, cells to look at."""

import copy
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from yolo_edu.course.figures.diagram import WORK_COLORS
from yolo_edu.course.figures.maps import COLORS
from yolo_edu.model import Detector
from yolo_edu.model.blocks import SPP
from yolo_edu.model.detect import ANCHORS
from yolo_edu.receptive import Trace

FAINTEST = 1e-6  # shares of the strongest pixel's influence below it are drawn alike


def cell_window(model: Detector, row: int, cell: int, size: int) -> tuple[int, int]:
    """First and last pixel that a cell behind a row of the backbone reads, along one side; pixels of the square.

    Args:
        model: a plain chain up to this row.
        row: of its table.
        cell: its place along the side.
        size: of the square, pixels.
    """
    chain = nn.Sequential(*copy.deepcopy(model.model[: row + 1])).to("meta").eval()
    with Trace() as trace:
        track = trace[chain(trace.start(torch.zeros(1, 3, size, size, device="meta")))]
    assert track is not None
    assert track.reach is not None
    return track.reach.at(cell)


def windows_on_photo(photo: Tensor, model: Detector, *, cell: int = 9) -> Figure:
    """Left: a cell, the window that it reads before the pools, an anchor; right: the cells of the pools around it.

    Args:
        photo: (3, S, S) uint8, pixels of the network's square input.
        model: with an SPP in a backbone that is a plain chain; the anchor is its largest.
        cell: row and column.
    """
    number, block = next((i, m) for i, m in enumerate(model.model) if isinstance(m, SPP))
    size, stride = photo.shape[-1], model.strides[-1]
    first, last = cell_window(model, number - 1, cell, size)
    field, anchor = last + 1 - first, ANCHORS[-1][-1]
    kernels = [pool.kernel_size for pool in block.m if isinstance(pool, nn.MaxPool2d)]
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 4.85))
    figure.subplots_adjust(0.004, 0.004, 0.996, 0.93, 0.02)
    middle, window = (cell + 0.5) * stride, (first + last + 1) / 2
    for ax, title in zip(axes, ("a cell, and what it reads", "what is around it"), strict=True):
        ax.imshow(photo.permute(1, 2, 0).numpy(), extent=(0, size, size, 0))
        ax.set_axis_off()
        ax.set_title(title, fontsize=12, pad=5)
        _box(ax, middle, stride, stride, fill=True)
    _box(axes[0], window, field, field, f"window {field} × {field}")
    _box(axes[0], middle, *anchor, f"largest anchor {anchor[0]:g} × {anchor[1]:g}", dashed=True)
    for step in range(0, size, stride):
        axes[1].axvline(step, color="white", linewidth=0.4, alpha=0.5)
        axes[1].axhline(step, color="white", linewidth=0.4, alpha=0.5)
    for kernel in kernels:
        assert isinstance(kernel, int)
        side = kernel * stride
        _box(axes[1], middle, side, side, f"{kernel} × {kernel} cells")
    plt.close(figure)
    return figure


def _box(
    ax: Axes, middle: float, width: float, height: float, text: str = "", *, dashed: bool = False, fill: bool = False
) -> None:
    """A box around the point (middle, middle), visible on dark and on light; its name stands on its upper edge."""
    corner = middle - width / 2, middle - height / 2
    color = WORK_COLORS["marked"]
    ax.add_patch(Rectangle(corner, width, height, fill=fill, facecolor=color, edgecolor="white", linewidth=4.5))
    style = (0, (4, 2)) if dashed else "solid"
    ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=color, linewidth=2, linestyle=style))
    if text:
        plate = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        ax.text(middle, corner[1], text, ha="center", va="center", fontsize=11, bbox=plate, zorder=5)


def influence_maps(photo: Tensor, influences: Sequence[Tensor], titles: Sequence[str]) -> Figure:
    """A photo (3, H, W), and for every (H, W) of influences how they spread, as shares of their strongest pixel."""
    count = len(influences)
    figure, axes = plt.subplots(1, 1 + count, figsize=(3.1 * (1 + count) + 1, 3.4), layout="constrained")
    axes[0].imshow(photo.permute(1, 2, 0).numpy())
    axes[0].set_title("the photo", fontsize=11)
    colors = plt.get_cmap(COLORS)
    colors = colors.with_extremes(bad=colors(0))  # zero has no logarithm
    norm = LogNorm(FAINTEST, 1, clip=False)
    for ax, values, title in zip(axes[1:], influences, titles, strict=True):
        image = ax.imshow((values / values.max()).numpy(), cmap=colors, norm=norm)
        ax.set_title(title, fontsize=11)
    for ax in axes:
        ax.set_axis_off()
    figure.colorbar(image, ax=axes, label="influence (1: the strongest pixel)", fraction=0.03, pad=0.01)
    plt.close(figure)
    return figure


def mark_cells(figure: Figure, panel: int, where: Tensor) -> Figure:
    """Frame the cells of a `map_grid`'s panel at which `where`, (h, w) bool, is true."""
    for row, column in where.nonzero().tolist():
        corner = column - 0.44, row - 0.44  # a cell's middle is at whole numbers
        frame = Rectangle(corner, 0.88, 0.88, fill=False, edgecolor=WORK_COLORS["marked"], linewidth=2.5)
        figure.axes[panel].add_patch(frame)
    return figure
