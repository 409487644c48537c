"""Figures of lesson 03: the cross-stage split, a dense block with and without it, BottleneckCSP beside C3."""

from collections.abc import Callable, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from yolo_edu.course.figures.csp_gradients import GradientLedger, gradient_terms
from yolo_edu.course.figures.csp_paths import outlined_maps
from yolo_edu.course.figures.csp_stages import bottleneck_csp_beside_c3, widths
from yolo_edu.course.figures.diagram import (
    DIM,
    FONT,
    GRAY,
    INK,
    PLAIN,
    WORK_COLORS,
    arrow,
    canvas,
    ink_on,
    label,
    node,
    tile,
)
from yolo_edu.model.dense import CSPDenseBlock, DenseBlock, DenseLayer, Transition

__all__ = [
    "GradientLedger",
    "bottleneck_csp_beside_c3",
    "csp_split",
    "dense_beside_csp",
    "gradient_terms",
    "outlined_maps",
]

AROUND, THROUGH, NEW = WORK_COLORS["marked"], GRAY, WORK_COLORS["convolution"]
EXAMPLE = (16, 4, 8)  # channels of x₀, dense layers, growth rate: small, and every tensor has its own width

MIXED = r"$\mathregular{x_T}$"
THICK, STEP = 0.34, 0.94  # inches: of a bar, from one bar down to the next

Segment = tuple[int, str, str]  # channels, color, what is written into it


def _bar(ax: Axes, x: float, y: float, segments: Sequence[Segment], unit: float, *, upright: bool = True) -> float:
    """A tensor as a bar: `unit` inches of length for each channel, left and top at x, y. Returns its length."""
    at = 0.0
    for channels, color, text in segments:
        long = channels * unit
        size = (THICK, long) if upright else (long, THICK)
        corner = (x, y + at) if upright else (x + at, y)
        ax.add_patch(Rectangle(corner, *size, facecolor=color, edgecolor=INK, linewidth=0.9))
        label(ax, corner[0] + size[0] / 2, corner[1] + size[1] / 2, text, color=ink_on(color), fontsize=FONT - 1)
        at += long
    return at


def csp_split(block: CSPDenseBlock | None = None) -> Figure:
    """The article's figure 4: a part of the channels goes round the dense block. Bars are as long as channels are many.

    Args:
        block: whose channels are drawn; None: the lesson's example.
    """
    with torch.device("meta"):
        block = block or CSPDenseBlock(*EXAMPLE)
    around, through = block.split
    wide, mixed = widths(block.partial)
    joint, out = widths(block.transition)
    layers = [(widths(layer)[1], NEW, f"x{_sub(i)}") for i, layer in enumerate(block.block.layers, 1)]
    unit = 2.4 / max(wide, joint, out, around + through)
    figure, ax = canvas(11.6, 4.6)
    middle, lane = 2.45, 0.75  # of the way through, of the way round

    def tensor(x: float, segments: Sequence[Segment]) -> None:
        long = sum(channels for channels, _, _ in segments) * unit
        _bar(ax, x, middle - long / 2, segments, unit)
        text = str(sum(channels for channels, _, _ in segments))
        label(ax, x + 0.18, middle + long / 2 + 0.2, text, weight="bold")

    def module(x: float, width: float, text: str) -> None:
        arrow(ax, [(x - 0.4, middle), (x, middle)])
        tile(ax, x, middle - 0.68, width, 1.36, text, color=PLAIN)
        arrow(ax, [(x + width, middle), (x + width + 0.4, middle)])

    top = middle - (around + through / 2) * unit
    _bar(ax, 0.75, top, [(around, AROUND, "x₀′"), (through, THROUGH, "x₀″")], unit)
    label(ax, 0.93, middle + through * unit / 2 + 0.2, f"x₀: {around + through}", weight="bold")
    label(ax, 0.62, top + around * unit / 2, str(around), ha="right", weight="bold")
    label(ax, 0.62, middle, str(through), ha="right", weight="bold")
    start = top + around * unit / 2
    arrow(ax, [(1.11, start), (1.31, start), (1.31, lane), (7.6, lane), (7.6, middle - 0.17)], AROUND, linewidth=2.4)
    label(ax, 4.45, lane - 0.22, f"x₀′ goes round: {around} channels, nothing is computed")

    module(1.51, 1.75, f"dense block\n{len(layers)} layers,\n+{layers[0][0]} each")
    tensor(3.66, [(through, THROUGH, "x₀″"), *layers])
    module(4.42, 1.7, "transition 1\nBN, ReLU,\n1 × 1")
    tensor(6.52, [(mixed, NEW, MIXED)])
    arrow(ax, [(6.88, middle), (7.43, middle)])
    node(ax, 7.6, middle, "C")
    arrow(ax, [(7.77, middle), (8.15, middle)])
    tensor(8.15, [(around, AROUND, "x₀′"), (mixed, NEW, MIXED)])
    pooled = any(isinstance(m, nn.AvgPool2d) for m in block.transition)
    module(8.91, 1.7, "transition 2\nBN, ReLU, 1 × 1" + ("\nmean of 2 × 2" if pooled else ""))
    tensor(11.01, [(out, NEW, "")])
    key = "a bar: a tensor, its length and the number: channels   ·   C: concatenation"
    label(ax, 0.3, 4.32, key, ha="left", color=DIM)
    return figure


def _sub(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def dense_beside_csp(plain: nn.Sequential | None = None, block: CSPDenseBlock | None = None) -> Figure:
    """The paper's figure 2: a dense block with its transition, and the same with the cross-stage split.

    Args:
        plain: DenseBlock, Transition; None: the lesson's example.
        block: beside it; None: the lesson's example.
    """
    with torch.device("meta"):
        c_in, layers, growth = EXAMPLE
        plain = plain or nn.Sequential(
            DenseBlock(*EXAMPLE), Transition(c_in + layers * growth, (c_in + layers * growth) // 2)
        )
        block = block or CSPDenseBlock(*EXAMPLE)
    dense, transition = plain
    assert isinstance(dense, DenseBlock)
    steps = max(len(dense.layers), len(block.block.layers)) + 3
    figure, ax = canvas(11.4, steps * STEP + 1.15)
    unit = 3.2 / max(dense.channels, block.block.channels)
    left, right = 0.35, 6.75  # of the two columns of bars
    label(ax, left, 0.24, "DenseNet: everything goes through", ha="left", weight="bold")
    label(ax, right - 0.55, 0.24, "CSPDenseNet: a part goes round", ha="left", weight="bold")

    y = 0.5
    _flow_bar(ax, left, y, [(widths(dense.layers[0])[0], THROUGH, "x₀")], unit)
    y = _layers(ax, left, y, list(dense.layers), unit, "x₀")
    y = _step(ax, left, y, "transition", transition)
    _flow_bar(ax, left, y, [(widths(transition)[1], NEW, "")], unit)
    key = "a bar: a tensor, its length\nand the number: channels\nC: concatenation"
    label(ax, left, y + 1.2, key, ha="left", color=DIM)

    around, through = block.split
    mixed, out = widths(block.partial)[1], widths(block.transition)[1]
    wide, lane = around * unit, right - around * unit / 2
    y = 0.5
    _flow_bar(ax, right - wide, y, [(around, AROUND, "x₀′"), (through, THROUGH, "x₀″")], unit)
    y = _layers(ax, right, y, list(block.block.layers), unit, "x₀″")
    y = _step(ax, right, y, "transition 1", block.partial)
    _flow_bar(ax, right, y, [(mixed, NEW, MIXED)], unit)
    joint = y + STEP / 2 + 0.2
    arrow(ax, [(lane, 0.5 + THICK), (lane, joint), (right + 0.28, joint)], AROUND, linewidth=2.4)
    arrow(ax, [(right + 0.45, y + THICK), (right + 0.45, joint - 0.17)])
    node(ax, right + 0.45, joint, "C")
    y += STEP + 0.08
    arrow(ax, [(right + 0.45, joint + 0.17), (right + 0.45, y)])
    _flow_bar(ax, right, y, [(around, AROUND, "x₀′"), (mixed, NEW, MIXED)], unit)
    y = _step(ax, right, y, "transition 2", block.transition)
    _flow_bar(ax, right, y, [(out, NEW, "")], unit)
    return figure


def _flow_bar(ax: Axes, x: float, y: float, segments: Sequence[Segment], unit: float) -> None:
    """A lying bar with the number of its channels behind it."""
    end = _bar(ax, x, y, segments, unit, upright=False)
    label(
        ax, x + end + 0.12, y + THICK / 2, str(sum(channels for channels, _, _ in segments)), ha="left", weight="bold"
    )


def _layers(ax: Axes, x: float, y: float, layers: Sequence[nn.Module], unit: float, name: str) -> float:
    """Dense layer, what there is then, dense layer …; returns the top of the last bar."""
    segments: list[Segment] = [(widths(layers[0])[0], THROUGH, name)]
    for index, layer in enumerate(layers, 1):
        assert isinstance(layer, DenseLayer)
        y = _step(ax, x, y, f"dense layer {index}", layer)
        segments.append((widths(layer)[1], NEW, f"x{_sub(index)}"))
        _flow_bar(ax, x, y, segments, unit)
    return y


def _step(ax: Axes, x: float, y: float, name: str, module: nn.Module) -> float:
    """From the bar at x, y down through a tile; returns the top of the next bar."""
    reads, gives = widths(module)
    above, below = y + THICK + 0.13, y + STEP - 0.15
    arrow(ax, [(x + 0.45, y + THICK), (x + 0.45, above)])
    tile(ax, x + 0.08, above, 2.75, below - above, f"{name}: {reads} → {gives}", color=PLAIN)
    arrow(ax, [(x + 0.45, below), (x + 0.45, y + STEP)])
    return y + STEP


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "04_csp": (
        csp_split,
        "A tensor splits by channels: x0 prime goes round, x0 double prime goes through the dense block and a first "
        "transition; both are concatenated and a second transition mixes them",
    ),
    "05_csp_dense": (
        dense_beside_csp,
        "Left a dense block of four layers and its transition, every layer reading all channels so far; right the same "
        "with the cross-stage split: half of the channels go round, and there are two transitions",
    ),
    "L03_bottleneck_csp_c3": (
        bottleneck_csp_beside_c3,
        "BottleneckCSP and C3 side by side: both have a deep path through bottlenecks and a direct path of one 1 by 1 "
        "convolution; C3 lacks the convolution behind the bottlenecks, and its direct path is a full Conv",
    ),
}
