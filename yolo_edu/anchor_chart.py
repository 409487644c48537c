"""Labels and anchors as a picture: which boxes an anchor takes, and what each anchor has to do.

On logarithmic axes a factor is a distance: the sizes that an anchor takes are a square around it, as large for a
small anchor as for a big one, and a label outside of all squares is never learned.
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.patheffects as outline
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor

from yolo_edu.anchors import closeness, fit, shares
from yolo_edu.chart_style import closed_figure, ink, tidy

LEVEL_MARKERS = "^sDPXv*"  # P3, P4, P5 …: told apart by shape, the color says nothing
DRAWN = 20_000  # dots; more only make the picture slower
REACH = "0.92"  # gray of what an anchor takes
TAKEN, MISSED, NEAREST = ink(4), ink(5), ink(4)
FAINT = (0.75, 0.85, 0.93)
SMALLEST_SIDE = 0.5  # pixels; a label without a width has no place on a logarithmic axis, it is drawn here


class Candidate(NamedTuple):
    """One set of anchors to look at."""

    title: str
    anchors: Tensor  # (L, A, 2) width, height in pixels of the network input


def anchor_chart(
    sizes: Tensor, candidates: Sequence[Candidate], threshold: float = 4.0, *, level_names: Sequence[str] = ()
) -> Figure:
    """Sets of anchors side by side. Above, the labels by width and height: dots where an anchor takes them, crosses
    where none does, gray what the anchors reach; below, which share of the labels each anchor takes, and of which
    it is the nearest.

    Args:
        sizes: (N, 2) label width, height in pixels of the network input.
        candidates: one or more sets of anchors.
        threshold: an anchor takes a label if neither side is off by this factor or more.
        level_names: of the L levels; default P3, P4, P5 …

    Raises:
        ValueError: as `yolo_edu.anchors.fit`.
    """
    rows = max(candidate.anchors[..., 0].numel() for candidate in candidates)
    with closed_figure(6 * len(candidates), 6.3 + 0.26 * rows) as figure:
        grid = figure.subplots(2, len(candidates), squeeze=False, sharex="row", height_ratios=[4.8, 0.8 + 0.26 * rows])
        limits = _limits(sizes, candidates)
        for column, candidate in enumerate(candidates):
            levels, per_level, _ = candidate.anchors.shape
            names = level_names or [f"P{3 + level}" for level in range(levels)]
            _scatter(grid[0, column], sizes, candidate, threshold, names, limits)
            owners = [name for name in names for _ in range(per_level)]
            _bars(grid[1, column], sizes, candidate.anchors, threshold, owners)
    return figure


def _limits(sizes: Tensor, candidates: Sequence[Candidate]) -> tuple[float, float]:
    """The same for both axes, so that a square looks like one."""
    every = np.concatenate([sizes.numpy().ravel(), *[c.anchors.numpy().ravel() for c in candidates]])
    return max(every.min(), SMALLEST_SIDE) / 1.5, every.max() * 1.5


def _scatter(
    ax: Axes, sizes: Tensor, candidate: Candidate, threshold: float, names: Sequence[str], limits: tuple[float, float]
) -> None:
    quality = fit(sizes, candidate.anchors, threshold)
    near = closeness(sizes.double(), candidate.anchors.reshape(-1, 2).double())
    taken = (near > 1 / threshold).any(dim=1).numpy()
    every = max(len(sizes) // DRAWN, 1)
    points = sizes.numpy().clip(SMALLEST_SIDE)
    dots, crosses = points[taken][::every], points[~taken]
    for width, height in candidate.anchors.reshape(-1, 2).tolist():
        corner, side = (width / threshold, height / threshold), threshold - 1 / threshold
        ax.add_patch(Rectangle(corner, width * side, height * side, color=REACH, linewidth=0, zorder=0.5))
    ax.scatter(dots[:, 0], dots[:, 1], s=9, color=TAKEN, alpha=0.35, linewidths=0, zorder=2)
    ax.scatter(crosses[:, 0], crosses[:, 1], s=38, color=MISSED, marker="x", linewidths=1.4, zorder=3)
    keys = [
        Line2D([], [], color=TAKEN, marker="o", ms=4, linestyle="", label=f"{taken.sum():,} labels an anchor takes"),
        Line2D([], [], color=MISSED, marker="x", ms=6, linestyle="", label=f"{len(crosses):,} labels none takes"),
        Patch(color=REACH, label=f"less than {threshold:g} times off an anchor"),
    ]
    for level, marker, name in zip(candidate.anchors.tolist(), LEVEL_MARKERS, names, strict=False):
        mark = Line2D(
            *zip(*level, strict=True), marker=marker, ms=9, linestyle="", label=f"anchors of {name}", zorder=4
        )
        mark.set(markerfacecolor="white", markeredgecolor="black")
        mark.set_path_effects([outline.withStroke(linewidth=2.5, foreground="white")])
        ax.add_line(mark)
        keys.append(mark)
    ax.set(xscale="log", yscale="log", xlim=limits, ylim=limits, aspect="equal")
    ax.set(xlabel="width, pixels of the network input", ylabel="height, pixels of the network input")
    score = f"{100 * quality.best_possible_recall:.1f} % of the labels taken, "
    score += f"{quality.anchors_above_threshold:.2f} anchors a label, fitness {quality.fitness:.3f}"
    ax.set_title(f"{candidate.title}\n{score}", fontsize=11)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
        axis.set_tick_params(which="minor", length=0)
    ax.legend(handles=keys, loc="upper left", fontsize=8, framealpha=0.9)
    tidy(ax)


def _bars(ax: Axes, sizes: Tensor, anchors: Tensor, threshold: float, owners: Sequence[str]) -> None:
    takes, nearest = ((100 * share).numpy() for share in shares(sizes, anchors, threshold))
    places = range(len(takes))
    ax.barh(places, takes, color=FAINT, edgecolor=TAKEN, linewidth=0.8, height=0.72)
    ax.barh(places, nearest, color=NEAREST, height=0.36)
    for place, (share, part) in enumerate(zip(takes, nearest, strict=True)):
        text = f"{share:.0f} %, nearest for {part:.0f} %"
        ax.annotate(text, (max(share, part), place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    shapes = [f"{w:g} × {h:g}" for w, h in np.round(anchors.reshape(-1, 2).numpy().astype(float), 1)]
    ax.set_yticks(places, [f"{owner}  {shape}" for owner, shape in zip(owners, shapes, strict=True)], fontsize=8)
    ax.set(
        xlim=(0, 132),
        ylim=(len(takes) - 0.4, -0.6),
        xlabel="labels that the anchor takes (thin bar: is the nearest for), %",
    )
    ax.set_xticks(range(0, 101, 20))
    ax.tick_params(axis="y", length=0)
    tidy(ax)
    ax.grid(visible=False, axis="y")
