"""Feature maps as pictures: the numbers of a live tensor, one tile a map."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from yolo_edu.course.figures.diagram import FADED

COLORS = "cividis"  # dark blue to yellow: equal steps look equal, also to color-blind eyes


def map_grid(
    maps: Sequence[Tensor],
    titles: Sequence[str] = (),
    *,
    columns: int = 4,
    side: float = 2.0,
    limits: tuple[float, float] | None = None,
    numbers: str = "",
) -> Figure:
    """Feature maps side by side, dark for the least value and yellow for the greatest.

    Args:
        maps: one (h, w) each; an image (3, h, w), 0 to 1 or uint8, is shown as what it is.
        titles: one a map, or none.
        columns: maps a row.
        side: inches of a tile.
        limits: values of the two ends of the color scale; None: each map's own.
        numbers: a format like ".1f" writes each value into its cell, for maps of a few cells.
    """
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    title = 0.32 if titles else 0.0
    height, width = maps[0].shape[-2:]
    tall = side * height / width
    figure, axes = plt.subplots(rows, columns, figsize=(columns * side, rows * (tall + title)), squeeze=False)
    figure.subplots_adjust(0.004, 0.004, 0.996, 1 - title / (rows * (tall + title)), 0.03, title / tall + 0.03)
    for ax in axes.flat:
        ax.set_axis_off()
    for index, (ax, values) in enumerate(zip(axes.flat, maps, strict=False)):
        picture = values.detach().cpu()
        if picture.ndim == 3:
            ax.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest")
        else:
            low, high = limits or (picture.min().item(), picture.max().item())
            ax.imshow(picture.float().numpy(), cmap=COLORS, vmin=low, vmax=high, interpolation="nearest")
            ax.add_patch(plt.Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, edgecolor=FADED))
            for (row, column), value in _cells(picture) if numbers else ():
                ink = "black" if value > (low + high) / 2 else "white"
                ax.text(column, row, format(value, numbers), ha="center", va="center", color=ink, fontsize=10)
        if titles:
            ax.set_title(titles[index], fontsize=11, pad=4)
    plt.close(figure)  # a notebook shows a figure that is returned; an open one it would show twice
    return figure


def _cells(values: Tensor) -> list[tuple[tuple[int, int], float]]:
    rows, columns = values.shape
    return [((r, c), float(values[r, c])) for r in range(rows) for c in range(columns)]
