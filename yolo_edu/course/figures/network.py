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

__all__ = ["parameter_bars", "parameter_comparison", "sigma_over_theory"]

GAP = 1.75  # rows between two parts, for their headings


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
            ax.text(0.02 * max(values), y - 1.05, words, fontsize=11, weight="bold", color=INK, va="center")
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
    moved = [str(row.number) for row in groups["head"][:-1]]
    if moved:
        figure.suptitle(
            f"Rows by part: {', '.join(moved)} predict, so they stand with the head.", fontsize=11, color=INK
        )
    return figure


def _bar(ax: Axes, y: float, value: float, most: float, color: str, form: str) -> None:
    ax.barh(y, value, height=0.72, color=color, edgecolor=INK, linewidth=0.6)
    ax.text(value + 0.012 * most, y, form.format(value) if value else "0", fontsize=9.5, color=INK, va="center")


def _widest(ax: Axes) -> float:
    return max(bar.get_width() for bar in ax.patches)  # type: ignore[attr-defined]


def sigma_over_theory(model: nn.Module | None = None, printed: Sequence[PrintedRow] | None = None) -> Figure:
    """Deviation of every convolution's weights as a share of 1/√(3 · fan-in), against how many weights it has.

    The funnel: two standard errors of the deviation of n uniform numbers, 2 · √(0.2/n).

    Args:
        model: freshly built; None: YOLOv5 s with 80 classes.
        printed: rows of a table printed with three digits; None: the article's.
    """
    if model is None:
        torch.manual_seed(8)
        model = YOLOv5("s", 80)
    article = read_parameter_table() if printed is None else printed
    figure, ax = plt.subplots(figsize=(8.5, 4.4), layout="constrained")
    counts: set[int] = set()
    for label, rows, marker, side, color in (
        ("this network, built now", parameter_rows(model), "x", 5.5, hex_color(4)),
        ("the article's table; bar: half a printed digit", article, "o", 6.5, hex_color(5)),
    ):
        weights = [row for row in rows if len(row.shape) == 4]
        theory = [1 / math.sqrt(3 * math.prod(row.shape[1:])) for row in weights]
        n = [math.prod(row.shape) for row in weights]
        counts.update(n)
        share = [row.std / sigma for row, sigma in zip(weights, theory, strict=True)]
        if rows is article:
            halves = [_half_digit(row.std) / sigma for row, sigma in zip(weights, theory, strict=True)]
            ax.errorbar(n, share, halves, fmt="none", ecolor=color, elinewidth=1.3, zorder=2)
        ax.plot(n, share, marker, ms=side, mfc="none", mew=1.3, color=color, label=label, zorder=3)
    ends = [min(counts) / 1.4, max(counts) * 1.4]
    steps = [ends[0] * (ends[1] / ends[0]) ** (i / 60) for i in range(61)]
    error = [math.sqrt(0.2 / n) for n in steps]
    funnel = [1 - 2 * e for e in error], [1 + 2 * e for e in error]
    ax.fill_between(steps, *funnel, color=GRAY, alpha=0.35, lw=0, label="theory ± 2 standard errors")
    ax.axhline(1, color=INK, lw=1)
    ax.set(xscale="log", xlim=ends)
    ax.set_xlabel("n, weights in the tensor", fontsize=11)
    ax.set_ylabel("sigma / theory", fontsize=11)
    shown = [n for n in (1_000, 10_000, 100_000, 1_000_000) if ends[0] <= n <= ends[1]]
    ax.set_xticks(shown, [f"{n:,}" for n in shown], fontsize=10)
    ax.tick_params(axis="y", labelsize=10)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=10.5, loc="upper right")
    return figure


def _half_digit(value: float) -> float:
    """Half of the last digit that "%.3g" prints of a number: how far the number may be from what is printed."""
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - 2) if value else 0.0


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L08_parameters": (
        parameter_bars,
        "Bars for every row of YOLOv5 s: parameters on the left, where rows 7, 9 and 25 of stride 32 are the longest, "
        "and FLOPs on the right, where rows 4 and 6 of strides 8 and 16 are.",
    ),
    "L08_sigma": (
        sigma_over_theory,
        "Measured sigma divided by 1 over the root of 3 fan-in, against the number of weights: the article's 70 "
        "convolutions and those of a network built now scatter around 1, nearly all within a funnel of two standard "
        "errors that narrows as tensors grow.",
    ),
}
