"""Figures of lesson 05: pooling in bins, and pooling around every cell."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from yolo_edu.course.figures.diagram import (
    FADED,
    INK,
    LEVEL_COLORS,
    PLAIN,
    WORK_COLORS,
    arrow,
    canvas,
    feature_map,
    label,
    node,
    tile,
)
from yolo_edu.course.figures.spp_photos import influence_maps, mark_cells, windows_on_photo
from yolo_edu.model import Detector, YOLOv5, YOLOv5v6
from yolo_edu.model.blocks import SPP, SPPF
from yolo_edu.model.pyramid import SpatialBins
from yolo_edu.summary import layer_rows

__all__ = [
    "PooledTensor",
    "block_flow",
    "influence_maps",
    "mark_cells",
    "spp_bins",
    "spp_in_yolo",
    "sppf_in_yolo",
    "windows_on_photo",
]

# --- bins -----------------------------------------------------------------------------------------------

CELLS = 12  # rows and columns of the small map that the figure of the bins is drawn from


def spp_bins(module: SpatialBins | None = None, channels: int = 256) -> Figure:
    """The article's figure 9: bins over a map, each bin's maximum, and the vector that they make.

    Args:
        module: whose bins; None: 1, 2, 4.
        channels: of the map.
    """
    module = SpatialBins() if module is None else module
    values = torch.rand(1, 1, CELLS, CELLS, generator=torch.Generator().manual_seed(5))
    any_map = torch.zeros(1, channels, CELLS, CELLS, device="meta")
    lengths = [SpatialBins((m,))(any_map).shape[1] for m in module.bins]
    total = module(any_map).shape[1]

    side, pitch = 1.45, 1.85  # of a square, from one to the next; inches
    height = pitch * len(module.bins) + 0.15
    figure, ax = canvas(11.0, height)
    middle = height / 2
    feature_map(ax, 0.3, middle - 0.75, 1.2, color=LEVEL_COLORS["P5"], channels=4)
    label(ax, 1.0, middle + 0.85, f"{channels} channels\nH × W cells,\nany H and W")
    left, words, vector = 3.0, 4.6, 8.4  # left of the squares, of what is said of them, of the vector
    tall, filled = height - 0.75, 0.5
    for row, (m, length) in enumerate(zip(module.bins, lengths, strict=True)):
        top = 0.25 + row * pitch
        center = top + side / 2
        arrow(ax, [(1.9, middle), (2.3, middle), (2.3, center), (left - 0.08, center)])
        _binned(ax, left, top, side, values, m)
        maxima = f"{m * m} maxima" if m > 1 else "1 maximum"
        label(ax, words, center, f"{m} × {m} bins\n{maxima} × {channels}\n= {length:,} numbers", ha="left")
        share = tall * length / total
        ax.add_patch(Rectangle((vector, filled), 0.5, share, facecolor=WORK_COLORS["pool"], edgecolor=INK))
        into = filled + share / 2
        arrow(ax, [(words + 1.85, center), (words + 2.15, center), (vector - 0.4, into), (vector, into)])
        filled += share
    label(ax, vector + 0.25, 0.25, "one vector")
    label(ax, vector + 0.7, middle, f"{total:,} numbers,\nwhatever the\nmap's size", ha="left")
    return figure


def _binned(ax: Axes, x: float, y: float, side: float, values: Tensor, m: int) -> None:
    """A map of cells cut into m × m bins, the greatest cell of every bin filled."""
    cells = values.shape[-1]
    cell = side / cells
    ax.add_patch(Rectangle((x, y), side, side, facecolor=PLAIN, edgecolor=INK, linewidth=1.4))
    for i in range(1, cells):
        ax.plot([x, x + side], [y + i * cell] * 2, color=FADED, linewidth=0.5)
        ax.plot([x + i * cell] * 2, [y, y + side], color=FADED, linewidth=0.5)
    _, winners = F.adaptive_max_pool2d(values, m, return_indices=True)
    for place in winners.flatten().tolist():
        corner = x + place % cells * cell, y + place // cells * cell
        ax.add_patch(Rectangle(corner, cell, cell, facecolor=WORK_COLORS["marked"], edgecolor=INK, linewidth=0.6))
    for i in range(1, m):  # 12 cells: the borders of 1, 2, 3, 4 and 6 bins fall between cells
        ax.plot([x, x + side], [y + i * side / m] * 2, color=INK, linewidth=1.8)
        ax.plot([x + i * side / m] * 2, [y, y + side], color=INK, linewidth=1.8)


# --- SPP and SPPF in YOLO -------------------------------------------------------------------------------


class PooledTensor(NamedTuple):
    """A tensor that reaches the concatenation: what made it, and from which of them (−1: from cv1)."""

    kernel: int  # of the pool; 0: no pool, cv1 itself
    stride: int
    source: int
    shape: tuple[int, ...]


class Flow(NamedTuple):
    """What was seen in one forward pass of an SPP or SPPF."""

    lanes: list[PooledTensor]
    joined: tuple[int, ...]  # shape of what cv2 reads
    output: tuple[int, ...]


def block_flow(block: SPP | SPPF, shape: tuple[int, ...]) -> Flow:
    """Watch a block: which pool reads which tensor, and every shape.

    Args:
        block: left as it was; a weightless copy runs.
        shape: (B, c_in, H, W) of its input.
    """
    watched = copy.deepcopy(block).to("meta").eval()
    lanes: list[PooledTensor] = []
    made: list[Tensor] = []
    ends: list[tuple[int, ...]] = []

    def first(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        lanes.append(PooledTensor(0, 1, -1, tuple(output.shape)))
        made.append(output)

    def pooled(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.MaxPool2d)
        source = next(i for i, x in enumerate(made) if x is inputs[0])
        lanes.append(PooledTensor(_side(module.kernel_size), _side(module.stride), source, tuple(output.shape)))
        made.append(output)

    def last(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ends.extend((tuple(inputs[0].shape), tuple(output.shape)))

    watched.cv1.register_forward_hook(first)
    watched.cv2.register_forward_hook(last)
    for module in watched.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(pooled)
    with torch.no_grad():
        watched(torch.zeros(shape, device="meta"))
    return Flow(lanes, *ends)


def _side(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


PITCH = 1.12  # inches from one lane to the next
X = {"input": 0.3, "cv1": 1.5, "pool": 4.45, "map": 6.75, "join": 8.55, "cv2": 9.1, "output": 10.95}
TILE = 1.3
MAP = 0.5


def spp_in_yolo(model: Detector | None = None, size: int = 640) -> Figure:
    """The article's figure 10: the pooling block of a detector, every number read off one forward pass.

    Args:
        model: with an SPP or SPPF among its rows; None: the article's network, YOLOv5 s.
        size: side of the image, pixels.
    """
    if model is None:
        with torch.device("meta"):
            model = YOLOv5("s", 5)
    number, block = next((i, m) for i, m in enumerate(model.model) if isinstance(m, (SPP, SPPF)))
    shape = layer_rows(model, size)[number - 1].outputs[0].shape
    flow = block_flow(block, shape)
    lanes = len(flow.lanes)
    figure, ax = canvas(11.9, PITCH * lanes + 0.5)
    heights = [0.95 + PITCH * i for i in range(lanes)]
    middle = heights[0] + PITCH * (lanes - 1) / 2

    title = f"row {number}: {type(block).__name__}"
    label(ax, 0.3, 0.3, title, ha="left", weight="bold")
    _tensor(ax, X["input"], middle, shape)
    arrow(ax, [(X["input"] + MAP + 0.2, middle), (X["cv1"], middle)])
    _convolution(ax, X["cv1"], middle, "cv1", block.cv1)
    right = X["cv1"] + TILE
    splits = right + 0.55  # where cv1's output goes into the lanes
    ax.plot([right, splits], [middle, middle], color=INK, linewidth=1.4)
    for lane, y in zip(flow.lanes, heights, strict=True):
        if lane.kernel == 0:
            arrow(ax, [(splits, middle), (splits, y), (X["map"] - 0.06, y)])
            label(ax, X["pool"] + 0.75, y - 0.2, "as it is")
        else:
            _pool(ax, y, lane)
            if lane.source == 0 and any(other.source for other in flow.lanes[1:]):  # a chain: from the lane above
                _down(ax, heights[0], y)
            elif lane.source == 0:
                arrow(ax, [(splits, middle), (splits, y), (X["pool"], y)])
            else:
                _down(ax, heights[lane.source], y)
            arrow(ax, [(X["pool"] + 1.5, y), (X["map"] - 0.06, y)])
        _tensor(ax, X["map"], y, lane.shape, beside=True)
        ax.plot([X["map"] + MAP + 0.24, X["join"], X["join"]], [y, y, middle], color=INK, linewidth=1.4)
    node(ax, X["join"], middle, "C")
    label(ax, X["join"] + 0.3, heights[-1], "C: concatenate\non channels", ha="left")
    arrow(ax, [(X["join"] + 0.17, middle), (X["cv2"], middle)])
    _convolution(ax, X["cv2"], middle, "cv2", block.cv2)
    arrow(ax, [(X["cv2"] + TILE, middle), (X["output"] - 0.06, middle)])
    _tensor(ax, X["output"], middle, flow.output)
    return figure


def sppf_in_yolo() -> Figure:
    """The younger block in the network of release 7.0: three chained pools."""
    with torch.device("meta"):
        return spp_in_yolo(YOLOv5v6("s", 5))


def _tensor(ax: Axes, x: float, y: float, shape: tuple[int, ...], *, beside: bool = False) -> None:
    """A tensor around the height y, its channels and its grid written below or beside it."""
    feature_map(ax, x, y - MAP / 2 + 0.07, MAP, color=LEVEL_COLORS["P5"])
    words = f"{shape[1]}\n{shape[2]} × {shape[3]}"
    if beside:
        label(ax, x + MAP + 0.2, y + 0.3, words, ha="left", va="center", linespacing=1.1)
    else:
        label(ax, x + MAP / 2 + 0.07, y + 0.62, words)


def _convolution(ax: Axes, x: float, y: float, name: str, block: nn.Module) -> None:
    """A Conv with its channels; how many parameters that makes is the reader's exercise."""
    conv = next(m for m in block.modules() if isinstance(m, nn.Conv2d))
    kernel = " × ".join(map(str, conv.kernel_size))
    text = f"{name}: Conv\n{kernel}\n{conv.in_channels:,} → {conv.out_channels:,}"
    tile(ax, x, y - 0.45, TILE, 0.9, text, color=WORK_COLORS["convolution"])


def _pool(ax: Axes, y: float, lane: PooledTensor) -> None:
    text = f"max {lane.kernel} × {lane.kernel}\nstride {lane.stride}"
    tile(ax, X["pool"], y - 0.3, 1.5, 0.6, text, color=WORK_COLORS["pool"])


def _down(ax: Axes, above: float, y: float) -> None:
    """From a lane's tensor to the pool of a lane below."""
    between = y - 0.46
    start, turn = X["map"] + MAP / 2, X["pool"] - 0.3
    arrow(ax, [(start, above + MAP / 2 + 0.07), (start, between), (turn, between), (turn, y), (X["pool"], y)])


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "09_spp_bins": (
        spp_bins,
        "Classic spatial pyramid pooling: a map of any size is cut into 1, 2 × 2 and 4 × 4 bins, and the maxima of "
        "all bins and channels make one vector whose length does not depend on the map's size.",
    ),
    "10_spp_yolo": (
        spp_in_yolo,
        "SPP in YOLOv5: a 1 × 1 Conv halves the channels; its output and three max-pools of it, 5, 9 and 13 cells "
        "wide at stride 1, stand side by side, and a second 1 × 1 Conv mixes them. The grid of 20 × 20 cells stays.",
    ),
    "L05_sppf": (
        sppf_in_yolo,
        "SPPF in release 7.0: the same two convolutions, and between them three chained max-pools 5 cells wide, "
        "each reading what the one before it gave; all four tensors are concatenated.",
    ),
}
