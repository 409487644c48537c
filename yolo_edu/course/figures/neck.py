"""Figures of lesson 06: FPN and one of its steps, PAN with its two ways, YOLOv5's neck, object sizes."""

import copy
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from yolo_edu.course.figures.diagram import (
    DIM,
    INK,
    LEVEL_COLORS,
    PLAIN,
    WORK_COLORS,
    arrow,
    canvas,
    feature_map,
    hex_color,
    ink_on,
    label,
    node,
    tile,
)
from yolo_edu.course.figures.neck_pan import neck_design, pan_ways
from yolo_edu.course.figures.neck_ways import RowGraph, Way, convolutions_between, level_rows, row_graph, trunk_maps
from yolo_edu.model import YOLOv5
from yolo_edu.model.pyramid import FPN

__all__ = [
    "RowGraph",
    "Way",
    "convolutions_between",
    "fpn_pyramid",
    "level_rows",
    "merge_by_numbers",
    "neck_design",
    "pan_ways",
    "row_graph",
    "size_shares",
    "trunk_maps",
]


def fpn_pyramid(fpn: FPN | None = None, maps: Sequence[Tensor] | None = None) -> Figure:
    """An FPN over three maps, coarsest on top, with what its live convolutions take in and give back.

    Args:
        fpn: None: the paper's 256 channels over the maps of YOLOv5 s.
        maps: three, finest first; None: those of YOLOv5 s for a 640 pixel image.
    """
    if maps is None:
        with torch.device("meta"):
            maps = YOLOv5("s", 5).backbone(torch.empty(1, 3, 640, 640))
    net = copy.deepcopy(fpn or FPN([x.shape[1] for x in maps])).to("meta")
    outputs = net(list(x.to("meta") for x in maps))
    figure, ax = canvas(10.6, 5.55)
    rise, sides = 1.72, (1.2, 0.92, 0.68)  # the finest map is drawn largest
    middles = [4.72 - rise * level for level in range(3)]
    for level, (given, out, y) in enumerate(zip(maps, outputs, middles, strict=True)):
        number, color, side = level + 3, list(LEVEL_COLORS.values())[level], sides[level]
        lateral, smooth = net.lateral[level], net.smooth[level]
        feature_map(ax, 1.47 - side / 2, y - side / 2, side, color=color)
        label(ax, 0.04, y, _shape(f"C{number}", given), ha="left", fontsize=12)
        arrow(ax, [(1.47 + side / 2 + 0.17, y), (2.75, y)])
        tile(ax, 2.75, y - 0.34, 1.5, 0.68, _kernel(lateral), color=WORK_COLORS["convolution"])
        label(ax, 3.5, y + 0.52, f"{given.shape[1]} → {_of(lateral).out_channels}", fontsize=12)
        arrow(ax, [(4.25, y), (5.02 if level < 2 else 6.6, y)])
        if level < 2:  # the sum of this level: its lateral and the enlarged coarser sum
            node(ax, 5.19, y, "+")
            factor = given.shape[-1] // maps[level + 1].shape[-1]
            tile(ax, 4.44, y - 1.1, 1.5, 0.48, f"× {factor}, nearest", color=WORK_COLORS["pool"])
            arrow(ax, [(5.19, y - rise), (5.19, y - 1.1)], color=INK)
            arrow(ax, [(5.19, y - 0.62), (5.19, y - 0.17)], color=INK)
            arrow(ax, [(5.36, y), (6.6, y)])
        tile(ax, 6.6, y - 0.34, 1.4, 0.68, _kernel(smooth), color=WORK_COLORS["convolution"])
        arrow(ax, [(8.0, y), (8.93 - side / 2, y)])
        feature_map(ax, 8.93 - side / 2, y - side / 2, side, color=color)
        label(ax, 9.78, y, _shape(f"P{number}", out), ha="left", fontsize=12)
        if level < 2:  # the backbone itself
            arrow(ax, [(1.47, y - side / 2 - 0.16), (1.47, y - rise + sides[level + 1] / 2 + 0.06)], color=DIM)
    for x, text in ((1.47, "bottom-up ↑\nthe backbone"), (3.5, "lateral"), (5.19, "top-down ↓"), (7.3, "smooth")):
        label(ax, x, 0.42, text, weight="bold")
    label(ax, 9.3, 0.42, "to the head", weight="bold")
    plt.close(figure)
    return figure


def _shape(name: str, x: Tensor) -> str:
    return f"{name}\n{x.shape[1]}\n{x.shape[2]} × {x.shape[3]}"


def _of(convolution: nn.Module) -> nn.Conv2d:
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def _kernel(convolution: nn.Module) -> str:
    height, width = _of(convolution).kernel_size
    return f"{height} × {width}\nconvolution"


def merge_by_numbers(fpn: FPN | None = None, fine: Tensor | None = None, coarse: Tensor | None = None) -> Figure:
    """One step of an FPN of one channel, with its numbers, all computed by the live module.

    Args:
        fpn: of two levels and one channel; None: laterals that leave a map as it is, smoothing by the mean of 3 × 3.
        fine: (1, 1, 4, 4) from the backbone; None: a vertical edge.
        coarse: (1, 1, 2, 2) from the backbone.
    """
    if fpn is None:
        fpn = FPN([1, 1], 1)
        with torch.no_grad():
            for convolution, weight in ((fpn.lateral, 1.0), (fpn.smooth, 1 / 9)):
                for layer in convolution:
                    _of(layer).weight.fill_(weight)
                    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    fine = torch.tensor([[[[0.0, 9, 0, 0]] * 4]]) if fine is None else fine
    coarse = torch.tensor([[[[9.0, 0], [18, 9]]]]) if coarse is None else coarse
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _m, given, out, n=name: seen.update({f"{n} in": given[0], n: out}))
        for name, module in (("lateral", fpn.lateral[0]), ("coarse", fpn.lateral[1]), ("smooth", fpn.smooth[0]))
    ]
    with torch.no_grad():
        fpn([fine, coarse])
    for handle in handles:
        handle.remove()
    total = seen["smooth in"]
    enlarged = total - seen["lateral"]  # what the step has added
    figure, ax = canvas(10.6, 4.75)
    cell = 0.4
    orange, green = LEVEL_COLORS["P4"], LEVEL_COLORS["P5"]
    places = [
        (0.45, 0.85, seen["coarse"], green, "the coarser sum"),
        (3.1, 0.45, enlarged, green, "enlarged, nearest"),
        (0.15, 2.75, fine, orange, "from the backbone"),
        (3.1, 2.75, seen["lateral"], orange, "lateral 1 × 1"),
        (6.0, 1.6, total, PLAIN, "the sum"),
        (8.75, 1.6, seen["smooth"], PLAIN, f"3 × 3: P{4}"),
    ]
    for x, y, values, color, text in places:
        _numbers(ax, x, y, cell, values[0, 0], color)
        label(ax, x + values.shape[-1] * cell / 2, y - 0.2, text)
    arrow(ax, [(1.35, 1.25), (3.0, 1.25)])
    label(ax, 2.13, 1.02, "each cell\n4 times", fontsize=11.5, va="bottom")
    arrow(ax, [(1.85, 3.55), (3.0, 3.55)])
    node(ax, 5.35, 2.4, "+")
    arrow(ax, [(4.75, 1.25), (5.35, 1.25), (5.35, 2.23)])
    arrow(ax, [(4.75, 3.55), (5.35, 3.55), (5.35, 2.57)])
    arrow(ax, [(5.52, 2.4), (5.95, 2.4)])
    arrow(ax, [(7.65, 2.4), (8.7, 2.4)])
    label(ax, 9.55, 3.45, "to the head", fontsize=11.5)
    arrow(ax, [(6.8, 3.25), (6.8, 4.0)])
    label(ax, 6.8, 4.22, "on to the next finer level", fontsize=11.5)
    plt.close(figure)
    return figure


def _numbers(ax: Axes, x: float, y: float, cell: float, values: Tensor, color: str) -> None:
    """A map (h, w) as a grid of cells with its numbers, left and top at x, y."""
    for row, line in enumerate(values.tolist()):
        for column, value in enumerate(line):
            place = x + column * cell, y + row * cell
            ax.add_patch(plt.Rectangle(place, cell, cell, facecolor=color, edgecolor=INK, linewidth=0.8))
            where = place[0] + cell / 2, place[1] + cell / 2
            ax.text(*where, f"{value:.0f}", ha="center", va="center", fontsize=12, color=ink_on(color))


def size_shares(sizes: Mapping[str, Tensor], strides: Sequence[int] = (8, 16, 32)) -> Figure:
    """For every size in pixels, the share of objects that are smaller; one curve a data set, a line at every stride.

    Args:
        sizes: data set → (N,) sides of its objects in pixels of the network input.
        strides: of the levels, finest first.
    """
    figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for (name, sides), k, dash in zip(sizes.items(), (4, 5, 2), ("-", "--", ":"), strict=False):
        ordered = sides.sort().values
        share = torch.arange(1, len(ordered) + 1) / len(ordered)
        ax.plot(ordered, share, color=hex_color(k), linestyle=dash, linewidth=2.2, label=name)
    for (level, color), stride in zip(LEVEL_COLORS.items(), strides, strict=True):
        ax.axvline(stride, color=color, linewidth=1.6)
        ax.text(stride * 1.04, 1.04, f"a cell of {level}: {stride}", fontsize=10.5, color=INK, va="bottom", ha="center")
    ticks = [4 * 2**i for i in range(7)]
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.set(xlim=(4, 256), ylim=(0, 1.03), xlabel="side of an object, pixels of the network input (√ of width × height)")
    ax.set_ylabel("share of objects below")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.04))
    plt.close(figure)
    return figure


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "08_fpn": (
        fpn_pyramid,
        "Feature pyramid network, coarsest level on top. Each backbone map C3, C4, C5 passes a 1 × 1 convolution; from "
        "C5 downwards the sum is enlarged twice and added to the next finer one; a 3 × 3 convolution gives P3, P4, P5.",
    ),
    "08b_fpn_step": (
        merge_by_numbers,
        "One step of the top-down path in numbers: a 2 × 2 map is enlarged to 4 × 4 by repeating each cell, the "
        "lateral map is added, the sum goes on to the next level, and its softer 3 × 3 mean to the head.",
    ),
    "11_pan": (
        pan_ways,
        "Path aggregation network over ResNet-101, coarsest level on top: a dashed vermilion line runs from C2 through "
        "the whole backbone to P5, a solid green one over P2 and the bottom-up path to N5, with their convolutions.",
    ),
    "12_neck": (
        neck_design,
        "The neck of YOLOv5, coarsest level on top: from P5 a top-down path of upsampling, concatenation and CSP "
        "blocks to N3, then a bottom-up path of strided convolutions to N4 and N5, which takes in L4 and L5 again.",
    ),
}
