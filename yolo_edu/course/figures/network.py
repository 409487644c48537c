"""Figures of lesson 08: where parameters and work sit, the deviations that theory and the article give, the table."""

import math
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, NullLocator
from torch import nn

from yolo_edu.course.article import PrintedRow, read_parameter_table
from yolo_edu.course.figures.diagram import GRAY, INK, LEVEL_COLORS, hex_color
from yolo_edu.course.figures.network_map import Row, map_rows
from yolo_edu.course.figures.network_table import parameter_comparison
from yolo_edu.model import Detector, YOLOv5
from yolo_edu.summary import layer_rows, parameter_rows

__all__ = ["parameter_bars", "parameter_comparison", "sigma_against_fan_in"]

GAP = 1.6  # rows between two parts, for their headings


def parameter_bars(model: Detector | None = None, *, size: int = 640) -> Figure:
    """Parameters and FLOPs of every row, the rows grouped by part and colored by level.

    Args:
        model: None: the article's network, YOLOv5 s with 80 classes.
        size: side of the image, pixels.
    """
    if model is None:
        with torch.device("meta"):
            model = YOLOv5("s", 80)
    rows, lines = map_rows(model, size), layer_rows(model, size)
    levels = dict(zip(model.strides, LEVEL_COLORS, strict=True))
    groups: dict[str, list[Row]] = {"backbone": [], "neck": [], "head": []}
    for row in rows:
        groups[row.part if row.part in groups else "neck"].append(row)

    height = 0.245 * (len(rows) + 3 * GAP) + 0.9
    figure, axes = plt.subplots(1, 2, figsize=(10, height), sharey=True, layout="constrained")
    ticks: dict[float, str] = {}
    measures: list[list[float]] = [[line.parameters for line in lines], [line.flops / 1e9 for line in lines]]
    y = 0.0
    for part, members in groups.items():
        y += GAP
        for ax, values, unit in zip(axes, measures, ("parameters", "GFLOPs"), strict=True):
            own, total = sum(values[row.number] for row in members), sum(values)
            amount = f"{own:,}" if unit == "parameters" else f"{own:.2f}"
            words = f"{part}: {amount} {unit}, {own / total:.0%}"
            ax.text(0, y - 1.0, words, fontsize=11, weight="bold", color=INK, va="center")
        for row in members:
            for ax, values, form in zip(axes, measures, ("{:,}", "{:.2f}"), strict=True):
                color = LEVEL_COLORS[levels[row.stride]] if row.stride in levels else GRAY
                _bar(ax, y, values[row.number], max(values), color, form)
            ticks[y] = f"{row.number}  {row.name}"
            y += 1
    for ax, title in zip(axes, ("parameters", f"GFLOPs at {size} × {size}"), strict=True):
        ax.set(xlim=(0, 1.28 * _widest(ax)), xticks=[], ylim=(y - 0.3, 0), yticks=list(ticks))
        ax.set_yticklabels(ticks.values(), fontsize=10)
        ax.set_title(title, fontsize=12, loc="left")
        ax.tick_params(length=0)
        ax.spines[["top", "right", "bottom"]].set_visible(False)
    key = [Patch(facecolor=GRAY, edgecolor=INK, label="finer than P3")]
    key += [
        Patch(facecolor=LEVEL_COLORS[name], edgecolor=INK, label=f"{name}, stride {s}") for s, name in levels.items()
    ]
    figure.legend(handles=key, ncols=4, loc="outside lower center", fontsize=10.5, frameon=False)
    return figure


def _bar(ax: Axes, y: float, value: float, most: float, color: str, form: str) -> None:
    ax.barh(y, value, height=0.72, color=color, edgecolor=INK, linewidth=0.6)
    ax.text(value + 0.012 * most, y, form.format(value) if value else "0", fontsize=9.5, color=INK, va="center")


def _widest(ax: Axes) -> float:
    return max(bar.get_width() for bar in ax.patches)  # type: ignore[attr-defined]


def sigma_against_fan_in(model: nn.Module | None = None, printed: Sequence[PrintedRow] | None = None) -> Figure:
    """Deviation of every convolution's fresh weights against its fan-in: a live model, the article, and theory.

    Args:
        model: freshly built; None: YOLOv5 s with 80 classes.
        printed: rows of a printed table; None: the article's.
    """
    if model is None:
        torch.manual_seed(8)
        model = YOLOv5("s", 80)
    figure, ax = plt.subplots(figsize=(8.5, 4.4), layout="constrained")
    points = (
        ("the article's table", read_parameter_table() if printed is None else printed, "o", 8, "none", hex_color(5)),
        ("this network, built now", parameter_rows(model), "x", 5, hex_color(4), hex_color(4)),
    )
    fans: set[int] = set()
    for label, rows, marker, side, face, color in points:
        weights = [row for row in rows if len(row.shape) == 4]
        x = [math.prod(row.shape[1:]) for row in weights]
        fans.update(x)
        ax.plot(x, [row.std for row in weights], marker, ms=side, mfc=face, color=color, label=label, zorder=3)
    ends = [min(fans) / 1.25, max(fans) * 1.25]
    ax.plot(ends, [1 / math.sqrt(3 * x) for x in ends], color=INK, lw=1.2, label="theory: 1/√(3 · fan-in)")
    ax.plot(ends, [math.sqrt(2 / x) for x in ends], "--", color=hex_color(2), lw=1.4, label="He's rule: √(2 / fan-in)")
    ax.set(xscale="log", yscale="log", xlim=ends)
    ax.set_xlabel("fan-in: input channels × kernel area", fontsize=11)
    ax.set_ylabel("sigma of the weights", fontsize=11)
    shown = [x for x in sorted(fans) if x in (32, 64, 128, 256, 512, 1024, 2304)]
    ax.set_xticks(shown, [f"{x:,}" for x in shown], fontsize=10)
    heights = [0.01, 0.02, 0.05, 0.1, 0.2]
    ax.set_yticks(heights, [f"{h:g}" for h in heights], fontsize=10)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=10.5, loc="lower left")
    return figure


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L08_parameters": (
        parameter_bars,
        "Bars for every row of YOLOv5 s: parameters on the left, where the coarse rows 7, 9 and 25 are the longest, "
        "and FLOPs on the right, where the fine rows 4 and 6 are.",
    ),
    "L08_sigma": (
        sigma_against_fan_in,
        "Deviation of the weights against the fan-in on logarithmic axes: the article's 70 convolutions and those of a "
        "network built now lie on the line 1 over the root of 3 fan-in, well below He's rule.",
    ),
}
