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


def kernel_places(focus: Focus | None = None) -> Tensor:
    """Where the weights of Focus's 3 × 3 kernels go in the 6 × 6 kernel: (4, 3, 3), each value 6 · row + column.

    The slicing tells: weight (r, c) of a phase meets the pixel that stands at (r, c) in that phase.
    """
    return phase_table(focus, size=6)[::3] % 36  # one color: the places are the same for all


def focus_kernel(focus: Focus | None = None) -> Figure:
    """The four 3 × 3 kernels of Focus, one a phase, and the 6 × 6 kernel that holds the same 36 weights.

    Args:
        focus: whose slicing is run; None: a fresh one.
    """
    places = kernel_places(focus)
    cell, gap, left, top = 0.46, 0.85, 0.75, 0.95
    pitch = 3 * cell + gap
    start = left + 2 * pitch + 0.95  # of the large kernel
    figure, ax = canvas(start + 6 * cell + 0.3, top + 2 * pitch - gap + 0.1)
    label(ax, left + pitch - gap / 2, 0.25, "3 × 3 convolution of the four phases", weight="bold")
    label(ax, start + 3 * cell, 0.25, "6 × 6 convolution of the image", weight="bold")
    for phase, own in enumerate(places):
        row, column = divmod(int(own[0, 0]), 6)
        x, y = left + column * pitch, top + row * pitch
        for r, name in enumerate(("i − 1", "i", "i + 1")):
            label(ax, x - 0.08, y + (r + 0.5) * cell, name, ha="right", va="center_baseline")
        label(ax, x + 1.5 * cell, y - 0.2, f"{_parity(row)} rows, {_parity(column)} columns", fontsize=11)
        for r, c in torch.cartesian_prod(torch.arange(3), torch.arange(3)).tolist():
            _weight(ax, x + c * cell, y + r * cell, cell, phase, 3 * r + c)
    middle = top + pitch - gap / 2
    arrow(ax, [(left + 2 * pitch - gap + 0.25, middle), (start - 0.85, middle)])
    y = middle - 3 * cell
    for row, name in enumerate(("2i − 2", "2i − 1", "2i", "2i + 1", "2i + 2", "2i + 3")):
        label(ax, start - 0.1, y + (row + 0.5) * cell, name, ha="right", va="center_baseline")
    for phase, own in enumerate(places):
        for number, place in enumerate(own.flatten().tolist()):
            row, column = divmod(place, 6)
            _weight(ax, start + column * cell, y + row * cell, cell, phase, number)
    label(ax, start + 3 * cell, y + 6 * cell + 0.25, "rows of the image, stride 2")
    return figure


def _weight(ax: Axes, x: float, y: float, cell: float, phase: int, number: int) -> None:
    color = PHASE_COLORS[phase]
    ax.add_patch(Rectangle((x, y), cell, cell, facecolor=color, edgecolor=INK, linewidth=0.8))
    text = f"{'abcd'[phase]}{number}"
    ax.text(x + cell / 2, y + cell / 2, text, ha="center", va="center_baseline", fontsize=12, color=ink_on(color))


def _parity(index: int) -> str:
    return ("even", "odd")[index % 2]
