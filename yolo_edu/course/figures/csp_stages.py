"""BottleneckCSP beside C3, read off live modules."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from yolo_edu.course.figures.diagram import DIM, PLAIN, WORK_COLORS, arrow, canvas, label, node, tile
from yolo_edu.model.blocks import C3, Bottleneck, BottleneckCSP, Conv

FULL, BARE = WORK_COLORS["convolution"], PLAIN
WIDTH, HEIGHT = 2.35, 0.62  # of a tile, inches


def widths(module: nn.Module) -> tuple[int, int]:
    """Channels into and out of a module, as its first and last convolution have them."""
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    return convolutions[0].in_channels, convolutions[-1].out_channels


def bottleneck_csp_beside_c3(csp: BottleneckCSP | None = None, c3: C3 | None = None) -> Figure:
    """The stage of the June 2020 release beside the one of release 7.0.

    Args:
        csp, c3: whose channels are drawn; None: 64 channels in and out, one bottleneck.
    """
    with torch.device("meta"):
        csp, c3 = csp or BottleneckCSP(64, 64, 1), c3 or C3(64, 64, 1)
    figure, ax = canvas(11.4, 6.9)
    _head(ax, 0.3, "BottleneckCSP", "June 2020")
    _head(ax, 6.1, "C3", "release 7.0")

    deep, direct = 0.3, 3.0  # left edges of the two paths
    _fork(ax, deep, direct, csp)
    y = _tile(ax, deep, 1.65, "cv1", csp.cv1)
    y = _bottlenecks(ax, deep, y, csp.m, last=False)
    y = _tile(ax, deep, y, "cv3", csp.cv3, into=y + HEIGHT)
    y = _join(ax, (deep, y), (direct, _tile(ax, direct, 1.65, "cv2", csp.cv2, into=1.65 + HEIGHT)))
    channels = csp.bn.num_features
    tile(ax, 1.65, y, WIDTH, 0.4, f"bn, act   {channels}", color=BARE)
    arrow(ax, [(1.65 + WIDTH / 2, y + 0.4), (1.65 + WIDTH / 2, y + 0.64)])
    y = _tile(ax, 1.65, y + 0.64, "cv4", csp.cv4)
    label(ax, 1.65 + WIDTH / 2, y + 0.12, str(widths(csp.cv4)[1]), weight="bold")

    deep, direct = 6.1, 8.8
    _fork(ax, deep, direct, c3)
    y = _tile(ax, deep, 1.65, "cv1", c3.cv1)
    y = _bottlenecks(ax, deep, y, c3.m, last=True)
    y = _join(ax, (deep, y), (direct, _tile(ax, direct, 1.65, "cv2", c3.cv2, into=1.65 + HEIGHT)))
    y = _tile(ax, 7.45, y, "cv3", c3.cv3)
    label(ax, 7.45 + WIDTH / 2, y + 0.12, str(widths(c3.cv3)[1]), weight="bold")
    note = "blue: Conv, that is\nconvolution, BN, activation\nwhite: bare\nC: concatenation"
    label(ax, 7.0, 6.1, note, ha="left", color=DIM)
    return figure


def _head(ax: Axes, x: float, name: str, release: str) -> None:
    label(ax, x, 0.25, name, ha="left", weight="bold", fontsize=16)
    label(ax, x, 0.62, release, ha="left", va="baseline", color=DIM)


def _fork(ax: Axes, deep: float, direct: float, block: BottleneckCSP | C3) -> None:
    """The input goes whole into both paths."""
    middle = (deep + direct + WIDTH) / 2
    label(ax, middle, 0.93, f"x: {widths(block.cv1)[0]}", weight="bold")
    for x in (deep, direct):
        arrow(ax, [(middle, 1.1), (middle, 1.32), (x + WIDTH / 2, 1.32), (x + WIDTH / 2, 1.65)])


def _tile(ax: Axes, x: float, y: float, name: str, module: nn.Module, *, into: float | None = None) -> float:
    """One Conv or bare convolution; returns where its arrow down ends, or `into` without an arrow."""
    convolution = module.conv if isinstance(module, Conv) else module
    assert isinstance(convolution, nn.Conv2d)
    kernel = f"{convolution.kernel_size[0]} × {convolution.kernel_size[1]}"
    kind = type(module).__name__
    text = f"{name}   {kind} {kernel}\n{convolution.in_channels} → {convolution.out_channels}"
    tile(ax, x, y, WIDTH, HEIGHT, text, color=FULL if isinstance(module, Conv) else BARE)
    end = y + HEIGHT + 0.27 if into is None else into
    if into is None:
        arrow(ax, [(x + WIDTH / 2, y + HEIGHT), (x + WIDTH / 2, end)])
    return end


def _bottlenecks(ax: Axes, x: float, y: float, m: nn.Sequential, *, last: bool) -> float:
    first = m[0]
    assert isinstance(first, Bottleneck)
    text = f"m   {len(m)} × Bottleneck\n1 × 1, 3 × 3" + (", + input" if first.add else "")
    tile(ax, x, y, WIDTH, HEIGHT, text, color=FULL)
    if last:
        return y + HEIGHT
    arrow(ax, [(x + WIDTH / 2, y + HEIGHT), (x + WIDTH / 2, y + HEIGHT + 0.27)])
    return y + HEIGHT + 0.27


def _join(ax: Axes, deep: tuple[float, float], direct: tuple[float, float]) -> float:
    """Two paths, each the left edge and the bottom of its last tile, are concatenated; returns the arrow's end."""
    middle, level = (deep[0] + direct[0] + WIDTH) / 2, max(deep[1], direct[1]) + 0.3
    for (x, y), side in ((deep, -1), (direct, 1)):
        arrow(ax, [(x + WIDTH / 2, y), (x + WIDTH / 2, level), (middle + side * 0.17, level)])
    node(ax, middle, level, "C")
    arrow(ax, [(middle, level + 0.17), (middle, level + 0.42)])
    return level + 0.42
