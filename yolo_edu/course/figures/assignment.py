"""Figures of lesson 10: the rule of the neighbors, and the sizes that an anchor takes."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from yolo_edu.assign import chosen_cells, fitting_anchors
from yolo_edu.course.figures.assignment_photos import box_frames, entry_cells, lit_cells, shared_cell
from yolo_edu.course.figures.diagram import DIM, INK, LEVEL_COLORS, PLAIN, WORK_COLORS, canvas, hex_color, label
from yolo_edu.model.detect import Detect, encode_box

__all__ = ["box_frames", "entry_cells", "lit_cells", "neighbor_rule", "ratio_regions", "shared_cell"]

NEIGHBORS = {"left": (-1, 0), "up": (0, -1), "right": (1, 0), "down": (0, 1)}  # column, row beside the center cell
LINES = ("-", (0, (5, 2)), (0, (1.2, 1.2)))  # the three anchors of a level
LOOKS: Sequence[tuple[str, str]] = ((hex_color(5), "o"), (hex_color(6), "^"))  # of the points of two data sets
FAINT = "#5a5a5a"  # text that is read all the same
BISECTIONS = 40


# --- the neighbors --------------------------------------------------------------------------------------


def _patch(ax: Axes, x: float, y: float, side: float, center: tuple[float, float]) -> list[str]:
    """A grid of 3 × 3 cells with the chosen ones lit, and the center's dot; the neighbors' names."""
    chosen = chosen_cells(torch.tensor([center]), 3, 3, "r7")[1:, 0].tolist()
    names = [name for name, is_chosen in zip(NEIGHBORS, chosen, strict=True) if is_chosen]
    lit = {(1 + NEIGHBORS[name][0], 1 + NEIGHBORS[name][1]) for name in names}
    for row in range(3):
        for column in range(3):
            style = {"facecolor": PLAIN}
            if (column, row) == (1, 1):
                style = {"facecolor": WORK_COLORS["pool"]}
            elif (column, row) in lit:
                style = {"facecolor": "#d8eaf6", "hatch": "///"}
            corner = x + column * side, y + row * side
            ax.add_patch(Rectangle(corner, side, side, edgecolor=DIM, linewidth=0.8, **style))  # type: ignore[arg-type]
    dot = x + center[0] * side, y + center[1] * side
    ax.add_patch(Circle(dot, 0.075, facecolor=WORK_COLORS["marked"], edgecolor=INK, zorder=5))
    return names


def neighbor_rule(center: tuple[float, float] = (0.31, 0.62)) -> Figure:
    """Which neighbors join: what each cell around a center would have to say, and the four quadrants of a cell.

    Args:
        center: x, y of the example, in cells from the corner of its cell; neither may be 0.5.
    """
    figure, ax = canvas(11.0, 5.5)
    side, left, top = 1.45, 0.3, 0.85
    label(ax, left, 0.3, "what each cell would have to predict", ha="left", weight="bold")
    _patch(ax, left, top, side, (1 + center[0], 1 + center[1]))
    for row in range(3):
        for column in range(3):
            offset = torch.tensor([1 + center[0] - column, 1 + center[1] - row])
            reached = encode_box(torch.cat([offset, torch.ones(2)]), torch.ones(2)).isfinite().all()
            words = f"x {offset[0]:.2f}\ny {offset[1]:.2f}\n{'in reach' if reached else 'out of reach'}".replace(
                "-", "−"
            )
            style = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85}}
            y = top + (row + (0.36 if (row, column) == (1, 1) and center[1] > 0.5 else 0.5)) * side
            x = left + (column + (0.62 if (row, column) == (1, 1) and center[0] < 0.5 else 0.5)) * side
            label(ax, x, y, words, fontsize=11, color=INK if reached else FAINT, **style)
    small, first = 0.52, 5.9
    label(ax, first, 0.3, "the four quadrants of a cell", ha="left", weight="bold")
    for index, (fx, fy) in enumerate([(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]):
        x, y = first + index % 2 * 2.6, 1.1 + index // 2 * 2.25
        names = _patch(ax, x, y, small, (1 + fx, 1 + fy))
        label(
            ax,
            x + 1.5 * small,
            y - 0.22,
            f"{' and '.join(sorted(names, key=('up', 'down').__contains__))}",
            fontsize=12,
        )
    label(ax, first + 2.6, 5.25, "filled: the center's cell; hatched: its chosen neighbors", fontsize=11)
    return figure


# --- the ratio test -------------------------------------------------------------------------------------


def _bounds(anchor: Tensor, side: int, threshold: float) -> tuple[float, float]:
    """The least and the largest width (side 0) or height (1) that the anchor takes, the other side being its own."""

    def takes(factor: float) -> bool:
        size = anchor.double().clone()
        size[side] *= factor
        return bool(fitting_anchors(size[None], anchor[None].double(), threshold)[0, 0])

    ends = []
    for outside in (1e-3, 1e3):
        bad, good = outside, 1.0
        for _ in range(BISECTIONS):
            middle = (bad * good) ** 0.5
            bad, good = (bad, middle) if takes(middle) else (middle, good)
        ends.append(good * anchor[side].item())
    return ends[0], ends[1]


def ratio_regions(
    anchors: Tensor | None = None, sizes: Mapping[str, Tensor] | None = None, *, threshold: float = 4.0
) -> Figure:
    """The widths and heights that each anchor takes, level by level, on logarithmic axes.

    Args:
        anchors: (L, A, 2) pixels of the network's input; None: those of `Detect`.
        sizes: name → (N, 2) object sizes in the same pixels, drawn as points.
        threshold: of the ratio test.
    """
    if anchors is None:
        detect = Detect(1)
        anchors = detect.anchors * detect.stride[:, None, None]
    figure, axes = plt.subplots(1, len(anchors), figsize=(11, 4.3), layout="constrained", sharex=True, sharey=True)
    for ax, (level, color), shapes in zip(axes, LEVEL_COLORS.items(), anchors, strict=True):
        _points(ax, sizes or {})
        for shape, line in zip(shapes, LINES, strict=False):
            (x1, x2), (y1, y2) = (_bounds(shape, side, threshold) for side in (0, 1))
            w, h = shape.tolist()
            ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor=color, alpha=0.17, edgecolor="none"))
            name = f"{w:.0f} × {h:.0f}"
            ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=INK, linestyle=line, label=name))
            ax.plot(w, h, marker="s", markersize=7, color="white", markeredgecolor=INK, markeredgewidth=1.5, zorder=5)
        ax.set(
            xscale="log", yscale="log", xlim=(1.5, 8000), ylim=(1.5, 2000), aspect="equal"
        )  # wide: room for the legend
        ax.set_xlabel("width, pixels", fontsize=12)
        ax.set_title(level, fontsize=13)
        ax.tick_params(labelsize=11)
        ax.spines[["top", "right"]].set_visible(False)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:g}")
        ax.legend(handles=ax.patches[1::2], loc="lower right", frameon=False, fontsize=11)
    axes[0].set_ylabel("height, pixels", fontsize=12)
    marks = [Line2D([], [], linestyle="", marker="s", color="white", markeredgecolor=INK, markersize=7, label="anchor")]
    for name, (color, marker) in zip(sizes or {}, LOOKS, strict=False):
        marks.append(Line2D([], [], linestyle="", marker=marker, color=color, label=f"objects: {name}"))
    figure.legend(handles=marks, loc="outside upper center", ncols=len(marks), frameon=False, fontsize=11)
    plt.close(figure)
    return figure


def _points(ax: Axes, sizes: Mapping[str, Tensor]) -> None:
    for values, (color, marker) in zip(sizes.values(), LOOKS, strict=False):
        style = {"s": 12, "marker": marker, "linewidths": 0, "alpha": 0.45, "zorder": 3}
        ax.scatter(*values.T.tolist(), color=color, **style)  # type: ignore[arg-type]


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L10_neighbors": (
        neighbor_rule,
        "Left: a center and the nine cells around it, with the offset that each would have to predict and whether "
        "2σ − 0.5 reaches it; right: in each quadrant of a cell the two nearest neighbors are chosen.",
    ),
    "L10_ratio": (
        ratio_regions,
        "Widths and heights on logarithmic axes, one panel a level: each anchor takes a square region around itself, "
        "from a quarter to four times its width and height; the regions of a level overlap.",
    ),
}
