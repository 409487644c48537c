"""What lesson 04 asks of feature maps: which vary most, which cells lie in a box, where in a box one is highest.

Boxes are x1, y1, x2, y2 in pixels of the square image; a map's cell (row, column) counts from 0.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from yolo_edu.course.figures.diagram import FADED, INK, WORK_COLORS
from yolo_edu.course.figures.maps import COLORS

MARGIN = 12  # pixels of the photo that a crop leaves around the boxes


def strongest_channels(maps: Tensor, count: int) -> list[int]:
    """The channels that vary most over a photo, the most varied first.

    maps (C, h, w) → `count` channel numbers, by the standard deviation of their h · w values.
    """
    return maps.flatten(1).std(dim=1).topk(count).indices.tolist()


def cells_inside(boxes: Sequence[Tensor], side: int, size: int) -> Tensor:
    """Which cells have their middle in a box.

    Args:
        boxes: an (N, 4) a photo.
        side: cells of the map.
        size: pixels of the square.

    Returns:
        (photos, side, side) bool.
    """
    middle = (torch.arange(side) + 0.5) * size / side
    inside = torch.zeros(len(boxes), side, side, dtype=torch.bool)
    for mask, own in zip(inside, boxes, strict=True):
        for x1, y1, x2, y2 in own.tolist():
            mask |= ((middle > y1) & (middle < y2))[:, None] & ((middle > x1) & (middle < x2))
    return inside


def highest_places(maps: Tensor, boxes: Sequence[Tensor], size: int) -> Tensor:
    """Where in every box each channel is highest, among the cells that have their middle in it.

    Args:
        maps: (photos, C, h, w), h = w.
        boxes: an (N, 4) a photo; each holds the middle of a cell.
        size: pixels of the square.

    Returns:
        (all boxes, C, 2): x and y of that cell's middle as shares of the box, 0 left and top, 1 right and bottom.
    """
    middle, found = (torch.arange(maps.shape[-1]) + 0.5) * size / maps.shape[-1], []
    for own, corners in zip(maps, boxes, strict=True):
        for x1, y1, x2, y2 in corners.tolist():
            across, down = (middle > x1) & (middle < x2), (middle > y1) & (middle < y2)
            part = own[:, down][:, :, across]  # (C, rows, columns)
            y, x = torch.unravel_index(part.flatten(1).argmax(dim=1), part.shape[1:])
            xs, ys = (middle[across][x] - x1) / (x2 - x1), (middle[down][y] - y1) / (y2 - y1)
            found.append(torch.stack([xs, ys], dim=1))
    return torch.stack(found)


def strongest_maps(maps: Sequence[Tensor], rows: Sequence[int], *, count: int = 5, width: float = 10.4) -> Figure:
    """For every row of a network the maps that vary most, one row of tiles each.

    Args:
        maps: row by row (C, h, w), of one photo.
        rows: which to show.
        count: tiles a row.
        width: of the page, inches.
    """
    left, title, key, side = 0.75, 0.3, 0.45, (width - 0.75) / count
    height = len(rows) * (side + title - 0.08) + key
    figure = plt.figure(figsize=(width, height))
    for line, row in enumerate(rows):
        top = height - line * (side + title - 0.08) - title
        figure.text(0.05 / width, (top - side / 2) / height, f"row {row}", va="center", fontsize=12, weight="bold")
        for column, channel in enumerate(strongest_channels(maps[row], count)):
            x, y, inner = left + column * side, top - side + 0.08, side - 0.08
            ax = figure.add_axes((x / width, y / height, inner / width, inner / height))
            ax.imshow(maps[row][channel].detach().cpu().float().numpy(), cmap=COLORS, interpolation="nearest")
            ax.set_title(f"channel {channel}", fontsize=11, pad=3)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_color(FADED)
    bar = figure.add_axes(((width / 2 - 1) / width, 0.12 / height, 2 / width, 0.16 / height))
    bar.imshow(torch.linspace(0, 1, 256)[None].numpy(), cmap=COLORS, aspect="auto")
    bar.set_axis_off()
    for x, text, side_of in ((-1.1, "each map's lowest value", "right"), (1.1, "its highest", "left")):
        figure.text((width / 2 + x) / width, 0.2 / height, text, ha=side_of, va="center", fontsize=11)
    plt.close(figure)
    return figure


def highest_in_boxes(photo: Tensor, maps: Sequence[Tensor], titles: Sequence[str], boxes: Tensor) -> Figure:
    """A photo cropped to its boxes, once for every map, with each box's highest cell of that map marked.

    Args:
        photo: (3, S, S).
        maps: one (h, w) each.
        titles: one a map.
        boxes: (N, 4).
    """
    size, side = photo.shape[-1], 2.5
    (left, top), (right, bottom) = boxes[:, :2].amin(0).tolist(), boxes[:, 2:].amax(0).tolist()
    left, top, right, bottom = left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN
    tall = side * (bottom - top) / (right - left)
    figure, axes = plt.subplots(1, len(maps), figsize=(len(maps) * side, tall + 0.4), squeeze=False)
    figure.subplots_adjust(0.004, 0.004, 0.996, 1 - 0.4 / (tall + 0.4), 0.03)
    for ax, values, title in zip(axes.flat, maps, titles, strict=True):
        ax.imshow(photo.detach().cpu().permute(1, 2, 0).numpy(), interpolation="bilinear")
        cell = size / values.shape[-1]
        places = highest_places(values[None, None], [boxes], size)[:, 0]  # (N, 2)
        for (x1, y1, x2, y2), (x, y) in zip(boxes.tolist(), places.tolist(), strict=True):
            ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="#ffffff", linewidth=1.2))
            corner = x1 + x * (x2 - x1) - cell / 2, y1 + y * (y2 - y1) - cell / 2
            color = WORK_COLORS["marked"]
            ax.add_patch(Rectangle(corner, cell, cell, facecolor=color, alpha=0.75, edgecolor=INK, linewidth=1.5))
        ax.set(xlim=(left, right), ylim=(bottom, top))
        ax.set_axis_off()
        ax.set_title(title, fontsize=12, pad=4)
    plt.close(figure)
    return figure
