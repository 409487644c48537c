"""Figures of lesson 02: the dense block and the DenseNet made of them; the table and the curves have files beside."""

from collections.abc import Callable
from itertools import pairwise

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path
from torch import Tensor, nn

from yolo_edu.course.figures.dense_curves import gradient_curves, reuse_grid, stored_curves
from yolo_edu.course.figures.dense_table import densenet_stages, densenet_table, in_tiles, names_of
from yolo_edu.course.figures.diagram import (
    INK,
    PLAIN,
    WORK_COLORS,
    arrow,
    canvas,
    feature_map,
    label,
    tile,
)
from yolo_edu.model.dense import DenseBlock, DenseNet

__all__ = [
    "age_color",
    "block_reads",
    "dense_block_diagram",
    "densenet_diagram",
    "densenet_stages",
    "densenet_table",
    "gradient_curves",
    "reuse_grid",
    "stored_curves",
]

SMALL = 12.0  # points, on pages of 12 inches


def age_color(source: int, sources: int) -> str:
    """Color of x_source of x₀ … x_(sources−1): the older, the darker, on a scale that color-blind eyes can order."""
    return to_hex(colormaps["cividis"](0.08 + 0.84 * source / max(sources - 1, 1)))


@torch.no_grad()
def block_reads(block: DenseBlock) -> list[list[tuple[int, int]]]:
    """What each layer of a block, and last what stands behind it, finds in its input: (source, channels) in order.

    Nothing is looked up: a random x₀ goes through, and each layer's input is cut into the pieces that equal x₀
    (source 0) or an earlier layer's output (source 1, 2, …).
    """
    inputs: list[Tensor] = []
    made: list[Tensor] = []

    def keep(_: nn.Module, args: tuple[Tensor], output: Tensor) -> None:
        inputs.append(args[0])
        made.append(output)

    handles = [layer.register_forward_hook(keep) for layer in block.layers]
    x = torch.randn(1, block.channels - sum(_new_channels(block)), 3, 3)
    training = block.training
    try:
        end = block.eval()(x)
    finally:
        block.train(training)
        for handle in handles:
            handle.remove()
    sources = [x, *made]
    return [_pieces(given, sources) for given in (*inputs, end)]


def _new_channels(block: DenseBlock) -> list[int]:
    """Channels each layer adds: those its last convolution puts out."""
    return [[m for m in layer.modules() if isinstance(m, nn.Conv2d)][-1].out_channels for layer in block.layers]


def _pieces(given: Tensor, sources: list[Tensor]) -> list[tuple[int, int]]:
    """Cut a tensor's channels, from the first on, into those of the sources."""
    pieces, at = [], 0
    while at < given.shape[1]:
        for index, source in enumerate(sources):
            if torch.equal(given[:, at : at + source.shape[1]], source):
                pieces.append((index, source.shape[1]))
                at += source.shape[1]
                break
        else:
            raise ValueError(f"channel {at} of an input is no earlier output")
    return pieces


# Inches of the first figure.
SIDE, SHEET, TILE, TALL, GAP, LEFT = 0.52, 0.045, 1.0, 1.16, 0.3, 0.22


def dense_block_diagram(block: DenseBlock | None = None) -> Figure:
    """The paper's figure 1 from a live block: every layer, what it reads from where, and how many maps.

    Args:
        block: of at least one layer; None: the article's, four layers that add four maps each, here to six.
    """
    block = block or DenseBlock(6, 4, 4, bottleneck=False)
    reads = block_reads(block)
    counts = dict(reads[-1])  # source → its channels
    sources = len(counts)
    widths = [SIDE + SHEET * (counts[s] - 1) for s in range(sources)]
    page = 2 * LEFT + sum(widths) + (len(reads) - 1) * TILE + 1.22 + (2 * sources - 1) * GAP
    rise = 0.55 + 0.29 * (sources - 1)  # of the highest arc
    base = rise + 0.3 + TALL / 2  # the line on which everything stands
    figure, ax = canvas(page, base + TALL / 2 + 1.42)
    size = max(SMALL, 1.0 * page)
    stacks, tiles = [], []
    x = LEFT
    for index, read in enumerate(reads):
        width = widths[index]
        feature_map(ax, x, base - SIDE / 2, SIDE, color=age_color(index, sources), channels=counts[index], step=SHEET)
        text = f"x{_low(index)}\n{counts[index]} maps"
        label(ax, x + width / 2, base + TALL / 2 + 0.1, text, va="top", fontsize=size)
        stacks.append((x, width))
        x += width + GAP
        last = index == len(reads) - 1
        wide = 1.22 if last else TILE
        words = "next:\ntransition" if last else f"H{_low(index + 1)}\n" + "\n".join(names_of(block.layers[index]))
        tile(ax, x, base - TALL / 2, wide, TALL, words, color=PLAIN if last else WORK_COLORS["convolution"], size=size)
        total = sum(n for _, n in read)
        text = f"reads {total}\n= " + _sum([n for _, n in read])
        label(ax, x + wide / 2, base + TALL / 2 + 0.1, text, va="top", fontsize=size)
        arrow(ax, [(x - GAP + 0.02, base), (x, base)])
        if not last:
            arrow(ax, [(x + wide, base), (x + wide + GAP, base)])
        tiles.append((x, wide))
        x += wide + GAP
    for index, read in enumerate(reads):
        far = [source for source, _ in read if source != index]  # the newest comes along the line
        for slot, source in enumerate(far):
            left, wide = tiles[index]
            # An outer bow starts farther left and ends farther right than the ones below it: none cross there.
            start = stacks[source][0] + stacks[source][1] * (0.9 - 0.55 * (index - source) / len(reads))
            end = left + wide * (len(far) - slot) / (len(far) + 1)
            height = rise * (index - source) / (sources - 1) + 0.1 * source
            top = base - SIDE / 2 - SHEET * (counts[source] - 1)
            _arc(ax, (start, top), (end, base - TALL / 2), height, age_color(source, sources))
    links = sum(len(read) for read in reads[:-1])
    rest = len(reads[-1]) - 1
    text = (
        f"{links} connections into {len(reads) - 1} layers: {len(reads) - 1} straight, {links - len(reads) + 1} bows. "
        f"The other {rest} bow{'s lead' if rest > 1 else ' leads'} to the transition.\n"
        f"Behind the block: {_sum(list(counts.values()))} = {block.channels} maps side by side, nothing is added up. "
        "The darker, the older."
    )
    label(ax, page / 2, base + TALL / 2 + 1.02, text, fontsize=size)
    return figure


def _low(number: int) -> str:
    """A number as a subscript."""
    return "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(number))


def _sum(parts: list[int]) -> str:
    return "+".join(map(str, parts))


def _arc(ax: Axes, start: tuple[float, float], end: tuple[float, float], height: float, color: str) -> None:
    """A bow from one top to another, its highest point `height` above the higher of the two; y grows downwards."""
    top = min(start[1], end[1]) - 4 / 3 * height
    path = Path([start, (start[0], top), (end[0], top), end], [Path.MOVETO, *[Path.CURVE4] * 3])
    for width, ink, style in ((3.2, INK, "-"), (2.2, color, "-|>")):  # a thin dark edge keeps yellow visible
        ax.add_patch(
            FancyArrowPatch(
                path=path, arrowstyle=style, mutation_scale=13, color=ink, linewidth=width, shrinkA=0, zorder=0.9
            )
        )


def densenet_diagram(model: DenseNet | None = None, *, size: int = 224) -> Figure:
    """A DenseNet from image to answer: every part and the map that leaves it, sizes as measured.

    Args:
        model: None: DenseNet-121.
        size: side of the image, pixels.
    """
    if model is None:
        with torch.device("meta"):
            model = DenseNet(121)
    stages = in_tiles(densenet_stages(model, size))
    pitch = 1.19
    page = 0.06 + pitch * len(stages)
    figure, ax = canvas(page, 4.1)
    widest = max(stage.side for stage in stages[1:])
    sheet = max(max(stage.channels for stage in stages[:-1]) // 16, 1)  # channels that a drawn sheet stands for
    floor, font = 1.5, max(SMALL, 0.98 * page)
    for index, stage in enumerate(stages):
        left = 0.06 + index * pitch
        color = {"block": WORK_COLORS["convolution"], "transition": WORK_COLORS["pool"]}.get(stage.kind, PLAIN)
        tile(ax, left, floor + 0.2, pitch - 0.1, 1.12, stage.words, color=color, size=font)
        if stage.side > 1 and stage.kind != "image":
            side = max(stage.side / widest, 0.1)
            sheets = max(round(stage.channels / sheet), 1)
            start = left + (pitch - 0.1 - side - 0.025 * (sheets - 1)) / 2
            paint = WORK_COLORS["join"] if stage.kind == "block" else "#d9d9d9"
            feature_map(ax, start, floor - side, side, color=paint, channels=sheets, step=0.025)
        text = f"{stage.channels:,}\n" + (f"{stage.side} × {stage.side}" if stage.side > 1 else "numbers")
        label(ax, left + (pitch - 0.1) / 2, floor + 1.41, text, va="top", fontsize=font)
        if index:
            arrow(ax, [(left - 0.1, floor + 0.76), (left, floor + 0.76)])
    blocks = [m for m in model.stages if isinstance(m, DenseBlock)]
    pairs = [(a, b) for a, b in pairwise(stages) if b.kind == "transition"]
    halving = all((a.channels, a.side) == (2 * b.channels, 2 * b.side) for a, b in pairs)
    halves = ", each halves channels and grid" if halving else ""
    text = (
        f"below a part: channels and grid of what leaves it. A drawn sheet stands for {sheet} channels.\n"
        f"{len(blocks)} blocks with {sum(len(b.layers) for b in blocks)} dense layers, "
        f"{len(pairs)} transitions between them{halves}"
    )
    label(ax, page / 2, floor + 2.26, text, fontsize=font)
    return figure


# Name in img/ → how it is drawn, and what it shows. These three numbers are the article's.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "01_dense_block": (
        dense_block_diagram,
        "A dense block of four layers with growth rate 4. Arcs lead from the input x0 and from every layer's four maps "
        "to every later layer, which therefore reads 6, 10, 14 and 18 maps; 22 leave the block.",
    ),
    "02_densenet": (
        densenet_diagram,
        "DenseNet-121 from image to answer: a stem, four dense blocks with a transition between each two, then mean "
        "and linear layer. The blocks widen the stack of maps, each transition halves its channels and its grid.",
    ),
    "03_densenet_table": (
        densenet_table,
        "Table of DenseNet-121, 169, 201 and 264 at 224 pixels, a row for each part: size of its output, dense layers "
        "in each block, channels that leave it; below, layers with weights, parameters and GFLOPs of each network.",
    ),
}
