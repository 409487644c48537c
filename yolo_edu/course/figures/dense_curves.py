"""What lesson 02 measures, as curves and as a table of shades."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from yolo_edu.course.figures.diagram import DIM, hex_color
from yolo_edu.course.figures.maps import COLORS

STYLES = ((5, "v", "-"), (0, "s", "--"), (2, "^", "-."), (4, "o", "-"))  # color number, marker, dashes


def gradient_curves(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Gradient norm at every layer's output, as a multiple of the last layer's, one curve a network."""
    figure, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
    for (name, values), (k, marker, dashes) in zip(curves.items(), STYLES, strict=False):
        layers = range(1, len(values) + 1)
        ax.plot(layers, values, dashes, color=hex_color(k), marker=marker, markersize=5, label=name)
    ax.axhline(1, color=DIM, linewidth=0.8, linestyle=":")
    ax.set(xlabel="layer; 1 is the farthest from the loss", ylabel="gradient / that of the last layer", yscale="log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.28), ncols=2)
    plt.close(figure)
    return figure


def stored_curves(depths: Sequence[int], curves: Mapping[str, Sequence[int]]) -> Figure:
    """Channels kept for the backward pass over the number of layers, one curve a way of computing a block."""
    figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for (name, values), (k, marker, dashes) in zip(curves.items(), (STYLES[0], STYLES[3]), strict=False):
        ax.plot(depths, values, dashes, color=hex_color(k), marker=marker, markersize=5, label=name)
    ax.set(xlabel="layers in the block", ylabel="channels stored", xlim=(0, None), ylim=(0, None))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper left")
    plt.close(figure)
    return figure


def reuse_grid(tables: Mapping[str, Sequence[Sequence[float]]], readers: Sequence[str]) -> Figure:
    """How much each reader (a row) misses each source (a column: x₀, x₁, …) when it is blanked.

    Args:
        tables: title → a row for each reader, as long as the number of sources it reads; all on one scale of shades.
        readers: names of the rows.
    """
    sources = max(len(row) for effects in tables.values() for row in effects)
    top = max(max(row) for effects in tables.values() for row in effects)
    size = (1.2 + 3.6 * len(tables), 0.5 * len(readers) + 1.0)
    figure, axes = plt.subplots(1, len(tables), figsize=size, layout="constrained", squeeze=False)
    for ax, (title, effects) in zip(axes[0], tables.items(), strict=True):
        table = np.full((len(effects), sources), np.nan)
        for row, values in enumerate(effects):
            table[row, : len(values)] = values
        ax.imshow(table, cmap=COLORS, vmin=0, vmax=top, aspect="auto")
        for row, values in enumerate(effects):
            for column, value in enumerate(values):
                ink = "black" if value > top / 2 else "white"
                ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=12)
        ax.set_title(f"{title}; blanked:", fontsize=12)
        ax.set_xticks(range(sources), [f"$x_{j}$" for j in range(sources)], fontsize=12)
        ax.set_yticks(range(len(effects)), readers if ax is axes[0, 0] else [""] * len(effects), fontsize=12)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    plt.close(figure)
    return figure
