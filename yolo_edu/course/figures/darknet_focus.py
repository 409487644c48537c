"""Which pixel goes where in Focus: its own slicing, run on numbers that tell where each pixel was."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from yolo_edu.course.figures.diagram import DIM, INK, arrow, canvas, hex_color, ink_on, label
from yolo_edu.model.blocks import Focus

# Four pixels of a 2 × 2 square. The numbers say it too.
PHASE_COLORS = (hex_color(1), hex_color(3), hex_color(6), "#ffffff")
COLORS = ("red", "green", "blue")


def phase_table(focus: Focus | None = None, *, size: int = 6) -> Tensor:
    """Where every pixel of a (3, size, size) image goes: (12, size/2, size/2), each value the place it came from.

    A place is color · size² + row · size + column.
    """
    focus = Focus(3, 1) if focus is None else focus
    kept, focus.conv = focus.conv, nn.Identity()  # type: ignore[assignment]
    try:
        places = torch.arange(3.0 * size * size).view(1, 3, size, size)
        return focus(places)[0].long()
    finally:
        focus.conv = kept


def focus_phases(focus: Focus | None = None, *, size: int = 6) -> Figure:
    """Space to depth: a picture of size × size pixels and the four pictures that Focus makes of it.

    Args:
        focus: whose slicing is run; None: a fresh one.
        size: pixels a side, even.
    """
    table = phase_table(focus, size=size)
    area, half = size * size, size // 2
    cell, left, top, step, pitch = 0.42, 0.35, 0.95, 0.09, 1.98
    side = half * cell
    figure, ax = canvas(left + size * cell + 0.62 + 4 * pitch, top + size * cell + 0.15)
    phase_of = {place % area: k // 3 for k in range(12) for place in table[k].flatten().tolist()}
    rows = torch.arange(area).view(size, size)
    _sheets(ax, left, top, cell, rows, phase_of, step)
    label(ax, left + size * cell / 2, 0.3, f"image: 3 channels,\n{size} × {size} pixels")
    start, middle = left + size * cell + 2 * step, top + size * cell / 2
    arrow(ax, [(start + 0.08, middle), (start + 0.42, middle)])
    for phase in range(4):
        x, y = start + 0.55 + phase * pitch, middle - side / 2
        channels = range(3 * phase, 3 * phase + 3)
        _sheets(ax, x, y, cell, table[channels[0]] % area, phase_of, step)
        label(ax, x + side / 2, y - 0.55, f"channels {channels[0]} to {channels[-1]}\n{_colors(table, channels, area)}")
        places = table[channels[0]] % area
        label(ax, x + side / 2, y + side + 0.42, f"{_which(places // size)} rows,\n{_which(places % size)} columns")
    return figure


def _sheets(ax: Axes, x: float, y: float, cell: float, places: Tensor, phase_of: dict[int, int], step: float) -> None:
    """Three sheets of cells, one a color; the front one carries the pixels' numbers."""
    rows, columns = places.shape
    for depth in (2, 1):
        corner = x + depth * step, y - depth * step
        ax.add_patch(Rectangle(corner, columns * cell, rows * cell, facecolor="#e6e6e6", edgecolor=DIM, linewidth=0.8))
    for (row, column), place in zip(
        torch.cartesian_prod(*map(torch.arange, (rows, columns))).tolist(), places.flatten().tolist(), strict=True
    ):
        color = PHASE_COLORS[phase_of[place]]
        corner = x + column * cell, y + row * cell
        ax.add_patch(Rectangle(corner, cell, cell, facecolor=color, edgecolor=INK, linewidth=0.8))
        middle = corner[0] + cell / 2, corner[1] + cell / 2
        ax.text(*middle, str(place), ha="center", va="center_baseline", fontsize=12, color=ink_on(color))


def _which(indices: Tensor) -> str:
    """ "even" or "odd", if all of them are."""
    parities = set((indices % 2).flatten().tolist())
    return {(0,): "even", (1,): "odd"}.get(tuple(parities), "mixed")


def _colors(table: Tensor, channels: range, area: int) -> str:
    """The color that each of these channels came from."""
    return ", ".join(COLORS[int(table[k].flatten()[0]) // area] for k in channels)
