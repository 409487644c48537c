"""What all charts have in common: lines that differ without color, axes without clutter, figures that are closed."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from yolo_edu.caption import class_color, luminance

DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
MARKERS = "osD^v"


@contextmanager
def closed_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches, closed afterwards."""
    figure = plt.figure(figsize=(width, height), layout="constrained")
    try:
        yield figure
    finally:
        plt.close(figure)


def tidy(ax: Axes) -> None:
    """No frame above and on the right, a faint grid behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)


def ink(k: int) -> tuple[float, float, float]:
    """The color of class `k`, darkened until a thin line of it has contrast 3 on white (WCAG 2.2)."""
    color = class_color(k)
    while luminance(color) > 1.05 / 3 - 0.05:
        red, green, blue = (int(0.95 * c) for c in color)
        color = red, green, blue
    return color[0] / 255, color[1] / 255, color[2] / 255
