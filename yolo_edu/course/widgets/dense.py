"""Things to play with in lesson 02: how wide a dense block grows, and what that costs."""

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import ipywidgets
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from yolo_edu.course.figures.dense import age_color
from yolo_edu.course.figures.diagram import DIM, INK
from yolo_edu.course.figures.display import svg_image
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.model.dense import DenseLayer

__all__ = ["DenseCost", "dense_block_cost", "growth_explorer"]

PROBE = 8  # side of the map that a layer is measured on
GROWTHS = range(4, 49, 4)  # the slider's
WIDTH, HEIGHT, LEFT, RIGHT = 640, 330, 66, 80  # pixels of the picture; RIGHT is room for words beside a full bar


class DenseCost(NamedTuple):
    """What a dense block costs for one image."""

    parameters: int
    flops: int  # for each position of the map; a multiplication and an addition are two
    stored: int  # channels that automatic differentiation keeps for the backward pass


@lru_cache(maxsize=4096)
def _layer_cost(c_in: int, growth: int, bottleneck: bool) -> DenseCost:
    """Of one dense layer, measured on a live one that holds no numbers."""
    with torch.device("meta"):
        layer, x = DenseLayer(c_in, growth, bottleneck=bottleneck), torch.empty(1, c_in, PROBE, PROBE)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.shape[-2:] == x.shape[-2:]:  # a map; not a weight, nor BatchNorm's statistics
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    counter = FlopCounterMode(display=False)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), counter:
        layer(x)
    parameters = sum(p.numel() for p in layer.parameters())
    return DenseCost(parameters, counter.get_total_flops() // PROBE**2, sum(t.shape[1] for t in kept.values()))


def dense_block_cost(c_in: int, layers: int, growth: int, *, bottleneck: bool = True) -> DenseCost:
    """Of a block: the sum over its layers. Every layer keeps a concatenation of its own.

    What a layer costs grows linearly with the channels it reads, so the first two are measured and tell the others.
    """
    first, second = (_layer_cost(c, growth, bottleneck) for c in (c_in, c_in + growth))
    steps = layers * (layers - 1) // 2  # 0 + 1 + … + (layers − 1)
    return DenseCost(*(layers * a + steps * (b - a) for a, b in zip(first, second, strict=True)))


def growth_explorer(*, c_in: int = 64, side: int = 56, layers: int = 6, growth: int = 32) -> Explorer:
    """Layers and growth rate of a dense block → what each layer reads, parameters, FLOPs, stored activations.

    Args:
        c_in: channels of the block's input.
        side: of its square map. The defaults are those of DenseNet-121's first block.
        layers: where the slider starts, 1 to 16.
        growth: where the other starts, a multiple of 4 up to 48.

    Returns:
        The controls "layers", "growth", "bottleneck" and their page.
    """
    positions = side * side
    for k, b in itertools.product(GROWTHS, (True, False)):  # now, so that no move waits for it
        dense_block_cost(c_in, 1, k, bottleneck=b)

    def page(layers: int, growth: int, bottleneck: bool) -> str:
        cost, other = (dense_block_cost(c_in, layers, growth, bottleneck=b) for b in (bottleneck, not bottleneck))
        out = c_in + layers * growth
        reads = [c_in + i * growth for i in range(layers)]
        alt = (
            f"A staircase of {layers} rows: layer 1 reads {reads[0]} channels, the last layer {reads[-1]}; "
            f"each row repeats all the channels of the row above and adds {growth}."
        )
        without = "without" if bottleneck else "with"
        area = f"2 · {sum(reads):,}" + (f" + {layers} · {8 * growth}" if bottleneck else "")
        return (
            svg_image(_staircase(c_in, layers, growth), alt)
            + f"<p><b>{out}</b> channels leave the block. <b>{cost.parameters:,}</b> parameters, "
            f"<b>{cost.flops * positions / 1e6:,.0f}</b> MFLOPs on a {side} × {side} map "
            f"({without} the bottleneck: {other.parameters:,} and {other.flops * positions / 1e6:,.0f}).<br>"
            f"Stored for the backward pass: <b>{cost.stored:,}</b> = {area} channels, "
            f"{cost.stored * positions * 4 / 2**20:.1f} MiB for one image in float32: "
            f"<b>{cost.stored / out:.1f}</b> times what leaves the block.</p>"
        )

    style = {"description_width": "initial"}
    controls = {
        "growth": ipywidgets.IntSlider(
            value=growth, min=GROWTHS[0], max=GROWTHS[-1], step=GROWTHS.step, description="growth rate", style=style
        ),
        "layers": ipywidgets.IntSlider(value=layers, min=1, max=16, description="layers", style=style),
        "bottleneck": ipywidgets.Checkbox(value=True, description="1×1 bottleneck before each 3×3", indent=False),
    }
    return explore(controls, page)


def _staircase(c_in: int, layers: int, growth: int) -> str:
    """One row for each layer, as long as what it reads, in the colors of what it is made of; SVG."""
    reads = [c_in + row * growth for row in range(layers + 1)]
    limit = 2 ** math.ceil(math.log2(reads[-1] * 1.1))  # doubles as the block grows: bars can be compared
    scale, pitch = (WIDTH - LEFT - RIGHT) / limit, (HEIGHT - 46) / (layers + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]

    def text(x: float, y: float, words: str, anchor: str) -> None:
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>')

    colors = [age_color(source, layers + 1) for source in range(layers + 1)]
    ends = {0, layers // 2, layers - 1, layers}
    for row, total in enumerate(reads):
        y = 6 + row * pitch
        edges = [0, *reads[: row + 1]]  # source by source: x₀, then a growth for each layer before this one
        for color, start, end in zip(colors, edges[:-1], edges[1:], strict=False):
            parts.append(
                f'<rect x="{LEFT + start * scale:.1f}" y="{y:.1f}" width="{(end - start) * scale:.1f}" '
                f'height="{pitch - 2:.1f}" fill="{color}"/>'
            )
        behind = row == layers
        if behind or row in ends or (row + 1) % 4 == 0:
            text(LEFT - 8, y + pitch / 2 + 4, "behind" if behind else f"layer {row + 1}", "end")
        if row in ends:
            words = f"{total} leave" if behind else f"reads {total}"
            text(LEFT + total * scale + 7, y + pitch / 2 + 4, words, "start")
    floor = HEIGHT - 38
    parts.append(f'<path d="M{LEFT} {floor}H{LEFT + limit * scale:.1f}" stroke="{DIM}"/>')
    for tick in range(5):
        text(LEFT + tick * limit / 4 * scale, floor + 15, f"{tick * limit / 4:g}", "middle")
    text(LEFT + limit * scale / 2, HEIGHT - 6, "channels; the darker, the older", "middle")
    return "".join(parts) + "</svg>"
