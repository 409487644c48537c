"""Things to play with in lesson 02: how wide a dense block grows, and what that costs."""

from functools import lru_cache
from typing import NamedTuple

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from yolo_edu.course.figures.diagram import DIM, INK
from yolo_edu.course.figures.display import html_image
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.model.dense import DenseLayer

__all__ = ["DenseCost", "dense_block_cost", "growth_explorer"]

PROBE = 8  # side of the map that a layer is measured on


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

    def page(layers: int, growth: int, bottleneck: bool) -> str:
        cost, other = (dense_block_cost(c_in, layers, growth, bottleneck=b) for b in (bottleneck, not bottleneck))
        out = c_in + layers * growth
        reads = [c_in + i * growth for i in range(layers)]
        alt = (
            f"A staircase of {layers} rows: layer 1 reads {reads[0]} channels, the last layer {reads[-1]}; "
            f"each row repeats all the channels of the row above and adds {growth}."
        )
        without = "without" if bottleneck else "with"
        return (
            html_image(_staircase(c_in, layers, growth), alt, dpi=80)
            + f"<p><b>{out}</b> channels leave the block. <b>{cost.parameters:,}</b> parameters, "
            f"<b>{cost.flops * positions / 1e6:,.0f}</b> MFLOPs on a {side} × {side} map "
            f"({without} the bottleneck: {other.parameters:,} and {other.flops * positions / 1e6:,.0f}).<br>"
            f"Stored for the backward pass: <b>{cost.stored:,}</b> channels, "
            f"{cost.stored * positions * 4 / 2**20:.1f} MiB for one image in float32: "
            f"<b>{cost.stored / out:.1f}</b> times what leaves the block.</p>"
        )

    style = {"description_width": "initial"}
    controls = {
        "growth": ipywidgets.IntSlider(value=growth, min=4, max=48, step=4, description="growth rate", style=style),
        "layers": ipywidgets.IntSlider(value=layers, min=1, max=16, description="layers", style=style),
        "bottleneck": ipywidgets.Checkbox(value=True, description="1×1 bottleneck before each 3×3", indent=False),
    }
    return explore(controls, page)


def _staircase(c_in: int, layers: int, growth: int) -> Figure:
    """One row for each layer, as long as what it reads, in the colors of what it is made of."""
    out = c_in + layers * growth
    ages = np.full((layers + 1, out), np.nan)
    for row in range(layers + 1):
        ages[row, :c_in] = 0
        for source in range(row):
            ages[row, c_in + source * growth : c_in + (source + 1) * growth] = source + 1
    figure, ax = plt.subplots(figsize=(7, 3.3))
    figure.subplots_adjust(0.13, 0.16, 0.97, 0.97)
    extent = (0, out, layers + 1.5, 0.5)
    ax.imshow(
        ages,
        cmap="cividis",
        vmin=-0.08 * layers,
        vmax=1.08 * layers,
        aspect="auto",
        extent=extent,
        interpolation="nearest",
    )
    ax.hlines(np.arange(1.5, layers + 1), 0, out, color="white", linewidth=2)
    limit = 2 ** int(np.ceil(np.log2(out * 1.1)))  # doubles as the block grows: bars can be compared
    for row in {0, layers // 2, layers - 1, layers}:
        words = f"{c_in + row * growth} leave" if row == layers else f"reads {c_in + row * growth}"
        ax.text(c_in + row * growth + 0.01 * limit, row + 1, words, va="center", fontsize=10, color=INK)
    ax.set(xlim=(0, limit * 1.02), ylim=(layers + 1.5, 0.5), xlabel="channels; the darker, the older")
    ticks = sorted({1, *range(4, layers + 1, 4), layers})
    ax.set_yticks([*ticks, layers + 1], [*(f"layer {i}" for i in ticks), "behind"])
    ax.tick_params(length=0, colors=INK)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(DIM)
    return figure
