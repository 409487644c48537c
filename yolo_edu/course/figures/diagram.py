"""The drawing kit: one visual language for every diagram of the course.

A page is measured in inches from its top left corner, y downwards. Colors mean the same everywhere: the three
levels have one each, and so has each kind of work; what is told by color is also told by words or by position.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from yolo_edu.caption import class_color, text_color


def hex_color(k: int) -> str:
    """The course's color number k, as matplotlib and HTML write it."""
    return "#{:02x}{:02x}{:02x}".format(*class_color(k))


# Okabe and Ito's colors, like the classes of yolo_edu.draw.
LEVEL_COLORS = {"P3": hex_color(4), "P4": hex_color(0), "P5": hex_color(2)}
WORK_COLORS = {
    "convolution": hex_color(1),  # sky blue: what has weights
    "pool": hex_color(3),  # yellow: pooling and resizing
    "join": hex_color(6),  # purple: where tensors meet
    "marked": hex_color(5),  # vermilion: what the text is about
}
INK, DIM, FADED, PLAIN, GRAY = "#1c1c1c", "#6e6e6e", "#c4c4c4", "#f6f6f6", "#9a9a9a"
FONT = 13  # points: still 7 pixels high when a page of 12 inches is shown 500 pixels wide
SMALLEST = 0.94  # points for each inch of a page's width: below it, text is too small at 500 pixels


def canvas(width: float, height: float, *, top: float = 0.0) -> tuple[Figure, Axes]:
    """An empty page of width × height inches; y runs from `top` at the upper edge downwards."""
    figure = plt.figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(top + height, top))
    ax.set_axis_off()
    return figure, ax


def ink_on(background: str) -> tuple[float, float, float]:
    """Black or white, whichever is easier to read on this color."""
    red, green, blue = (round(255 * c) for c in to_rgb(background))
    r, g, b = text_color((red, green, blue))
    return r / 255, g / 255, b / 255


def rounded(ax: Axes, x: float, y: float, width: float, height: float, **style: Any) -> None:
    """A rectangle with round corners, left and top at x, y."""
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06", **style))


def tile(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str,
    *,
    color: str = PLAIN,
    size: float = FONT,
    lit: bool = True,
    **style: Any,
) -> None:
    """A layer or a block: a rounded rectangle, left and top at x, y, with text in its middle."""
    background = color if lit else PLAIN
    rounded(ax, x, y, width, height, facecolor=background, edgecolor=INK if lit else FADED, linewidth=1, **style)
    ink = ink_on(background) if lit else DIM
    place = x + width / 2, y + height / 2
    ax.text(*place, text, ha="center", va="center", fontsize=size, color=ink, linespacing=1.3)


def feature_map(
    ax: Axes, x: float, y: float, side: float, *, color: str, channels: int = 3, step: float = 0.07
) -> None:
    """A tensor seen as a stack of square sheets, the front one with left and top at x, y; `channels` are drawn."""
    for depth in reversed(range(channels)):
        corner = x + depth * step, y - depth * step
        ax.add_patch(Rectangle(corner, side, side, facecolor=color, edgecolor=INK, linewidth=0.8))


def node(ax: Axes, x: float, y: float, text: str, *, radius: float = 0.17, color: str | None = None) -> None:
    """Where tensors meet: a circle around x, y with a sign in it, "+" for a sum, "C" for a concatenation."""
    background = color or WORK_COLORS["join"]
    ax.add_patch(Circle((x, y), radius, facecolor=background, edgecolor=INK, linewidth=1, zorder=3))
    ink = ink_on(background)
    ax.text(x, y, text, ha="center", va="center_baseline", fontsize=FONT, color=ink, weight="bold", zorder=4)


def label(ax: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text without a frame, its middle at x, y unless `ha` and `va` say otherwise."""
    settings: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "fontsize": FONT,
        "color": INK,
        "linespacing": 1.3,
    } | style
    ax.text(x, y, text, **settings)


def arrow(ax: Axes, points: Sequence[tuple[float, float]], color: str = INK, **style: Any) -> None:
    """A line through the points with a head at its end."""
    settings: dict[str, Any] = {"color": color, "linewidth": 1.4, "solid_joinstyle": "miter"} | style
    ax.plot(*zip(*points, strict=True), **settings)
    head = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", points[-1], points[-2], arrowprops=head)
