"""Figures of lesson 01: the block with its numbers, six activations, windows that grow, where gradients come from."""

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from yolo_edu.course.figures.diagram import (
    DIM,
    FADED,
    INK,
    PLAIN,
    WORK_COLORS,
    arrow,
    canvas,
    feature_map,
    hex_color,
    label,
    tile,
)
from yolo_edu.course.figures.maps import COLORS
from yolo_edu.model import YOLOv5
from yolo_edu.model.blocks import Conv, leaky_relu
from yolo_edu.summary import layer_rows

__all__ = [
    "ACTIVATIONS",
    "activation_curves",
    "conv_block",
    "effective_field",
    "field_cascade",
    "sliding_window",
    "slope",
    "smooth_parts",
]

LEAK = leaky_relu().negative_slope
# The activations that a reader of detectors meets. None of these calls changes its input.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "ReLU": F.relu,
    f"LeakyReLU({LEAK:g})": lambda x: F.leaky_relu(x, LEAK),  # type: ignore[arg-type]
    "SiLU": F.silu,
    "Mish": F.mish,
    "Hardswish": F.hardswish,
}


def slope(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Derivative of an elementwise function at each element of x, as PyTorch's backward pass computes it."""
    leaf = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return gradient


def smooth_parts(ys: Tensor, jump: float = 0.05) -> list[slice]:
    """The stretches of a sampled curve between jumps: where it is drawn as one line."""
    ends = [0, *((ys.diff().abs() > jump).nonzero().flatten() + 1).tolist(), len(ys)]
    return [slice(*pair) for pair in pairwise(ends)]


def activation_curves(reach: float = 5.0) -> Figure:
    """Each activation and its derivative between −reach and reach, one panel each."""
    x = torch.linspace(-reach, reach, 501)
    wide = torch.linspace(-20, 20, 8001)  # where the least and the greatest derivative are looked for
    layout = ConstrainedLayoutEngine(h_pad=0.14)  # inches: room between the rows
    figure, axes = plt.subplots(2, 3, figsize=(10, 6.4), sharex=True, sharey=True, layout=layout)
    for ax, (name, function) in zip(axes.flat, ACTIVATIONS.items(), strict=True):
        derivative = slope(function, x)
        ax.axhline(0, color=FADED, linewidth=0.8)
        ax.axvline(0, color=FADED, linewidth=0.8)
        ax.plot(x, function(x), color=hex_color(4), linewidth=2.2, label="value")
        for part in smooth_parts(derivative):
            ax.plot(x[part], derivative[part], color=hex_color(5), linewidth=2, linestyle="--", label="derivative")
        ax.set_title(name, fontsize=13)
        low, high = (round(d.item(), 2) + 0.0 for d in slope(function, wide).aminmax())
        words = f"derivative\n{low:.2f} to {high:.2f}".replace("-", "−")
        ax.text(-0.95 * reach, 3.1, words, fontsize=11, color=INK, va="top", linespacing=1.3)
        ax.set(xlim=(-reach, reach), ylim=(-0.8, 3.3))
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=10, labelbottom=True)
    axes[0, 0].legend(frameon=False, loc="upper right", fontsize=11)
    plt.close(figure)
    return figure


def conv_block(block: Conv | None = None, size: int = 320) -> Figure:
    """A Conv block with the shapes, parameters and multiply-adds of each part, read while a map runs through it.

    Args:
        block: None: row 1 of the article's network, YOLOv5 s.
        size: side of the map that enters; 320 is what row 1 gets from a 640 pixel image.
    """
    if block is None:
        with torch.device("meta"):
            row = YOLOv5("s", 5).model[1]
        assert isinstance(row, Conv)
        block = row
    convolution, norm, activation = block.conv, block.bn, block.act
    out = copy.deepcopy(convolution).to("meta")(torch.empty(1, convolution.in_channels, size, size, device="meta"))
    channels, side = out.shape[1], out.shape[-1]
    work = 2 * out[0].numel() * convolution.weight[0].numel()
    kernel, stride = convolution.kernel_size, convolution.stride
    parts = [
        (
            f"Conv2d\n{kernel[0]} × {kernel[1]}, stride {stride[0]}\npadding {convolution.padding[0]}",
            f"{_parameters(convolution):,}\nparameters\n\n{work / 1e6:,.1f}\nMFLOPs",
            WORK_COLORS["convolution"],
        ),
        (
            f"{type(norm).__name__}\neps {norm.eps:g}\nmomentum {norm.momentum:g}",
            f"{_parameters(norm):,}\nparameters\n\nscale γ, shift β\nof each channel",
            WORK_COLORS["convolution"],
        ),
        (
            f"{type(activation).__name__}\n{_words(activation)}".strip(),
            f"{_parameters(activation):,}\nparameters\n\neach number\non its own",
            PLAIN,
        ),
    ]
    figure, ax = canvas(10, 3.6)
    top, tall, wide, gap = 0.75, 1.25, 1.86, 0.38
    for x, count, pixels, name in ((0.35, convolution.in_channels, size, "in"), (8.5, channels, side, "out")):
        feature_map(ax, x, 0.98, 0.85, color=PLAIN)
        label(ax, x + 0.5, 2.52, f"{name}\n{count} channels\n{pixels} × {pixels}")
    x = 1.78
    arrow(ax, [(1.4, 1.38), (x, 1.38)])
    for words, below, color in parts:
        tile(ax, x, top, wide, tall, words, color=color)
        label(ax, x + wide / 2, 2.82, below, color=INK)
        arrow(ax, [(x + wide, 1.38), (x + wide + gap - 0.04, 1.38)])
        x += wide + gap
    label(ax, 5, 0.36, f"{type(block).__name__}: {_parameters(block):,} parameters", weight="bold")
    return figure


def _words(activation: nn.Module) -> str:
    """What distinguishes it: `slope 0.1` of a LeakyReLU, nothing of most others."""
    return activation.extra_repr().split(",")[0].replace("negative_", "").replace("inplace=True", "").replace("=", " ")


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def field_cascade(stack: nn.Sequential | None = None, pixels: int = 17) -> Figure:
    """What the middle unit of the last map reads in every map below it, one row of cells a map.

    Args:
        stack: convolutions of 3 channels; None: kernel 3 three times, the second with stride 2.
        pixels: of the image's row at the bottom.
    """
    if stack is None:
        stack = nn.Sequential(nn.Conv2d(3, 3, 3, 1, 1), nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 3, 3, 1, 1))
    maps = [torch.ones(1, 3, pixels, pixels, requires_grad=True)]
    for layer in stack:
        assert isinstance(layer, nn.Conv2d)
        weight = torch.ones_like(layer.weight)  # nothing cancels: whatever is read has a gradient
        maps.append(F.conv2d(maps[-1], weight, stride=layer.stride, padding=layer.padding))
    middle = maps[-1].shape[-1] // 2
    gradients = torch.autograd.grad(maps[-1][0, :, middle, middle].sum(), maps)
    read = [g.abs().sum(dim=(0, 1, 2)).nonzero().flatten().tolist() for g in gradients]
    outputs = [row.outputs[0] for row in layer_rows(stack, pixels)]
    names = ["image"] + [f"kernel {m.kernel_size[0]}, stride {m.stride[0]}" for m in stack]  # type: ignore[index]
    strides = [1.0] + [float(o.stride or 0) for o in outputs]
    fields = [1] + [o.receptive_field for o in outputs]

    cell, left, rise = 0.38, 3.55, 1.0
    figure, ax = canvas(left + pixels * cell + 0.15, rise * len(maps) + 0.15)
    places = []
    for index, (x, stride) in enumerate(zip(maps, strides, strict=True)):
        y = (len(maps) - 1 - index) * rise + 0.4
        places.append((y, stride))
        for o in range(x.shape[-1]):
            lit = o in read[index]
            box = (left + o * stride * cell, y), cell * 0.9, cell * 0.9
            color = WORK_COLORS["marked" if index == len(maps) - 1 else "convolution"] if lit else PLAIN
            ax.add_patch(Rectangle(*box, facecolor=color, edgecolor=INK if lit else FADED, linewidth=1, zorder=2))
        counted = f"reads {fields[index]} pixels, steps of {stride:g}" if index else f"{pixels} pixels of a row"
        label(ax, 0.1, y + cell * 0.45, f"{names[index]}\n{counted}", ha="left")
    for index in range(1, len(maps)):
        (y, stride), (below, step) = places[index], places[index - 1]
        for o in read[index]:
            layer = stack[index - 1]
            first = o * layer.stride[0] - layer.padding[0]  # type: ignore[index]
            for end in (first, first + layer.kernel_size[0] - 1):  # type: ignore[index]
                ends = [left + p * cell + cell * 0.45 for p in (o * stride, end * step)]
                ax.plot(ends, [y + cell * 0.9, below], color=DIM, linewidth=0.9, zorder=1)
    return figure


def sliding_window(patch: Tensor, kernel: Tensor, response: Tensor, at: tuple[int, int]) -> Figure:
    """Numbers of a patch (h, w), a kernel (k, k) and what sliding it gives; the window of one output is framed."""
    sizes = [v.shape[-1] for v in (patch, kernel, response)]
    gap = 0.8  # cells between the panels; all cells have one size
    figure, axes = plt.subplots(1, 3, figsize=(9, 4.3), width_ratios=sizes)
    figure.subplots_adjust(0.002, 0, 0.998, 0.93, wspace=gap * 3 / sum(sizes))
    for sign, x in (("∗", -0.5 - gap / 2), ("=", sizes[1] - 0.5 + gap / 2)):
        axes[1].text(x, (sizes[1] - 1) / 2, sign, ha="center", va="center", fontsize=20, color=INK)
    # Kernel and result have zero in the middle of a light scale, which suits black numbers; the photo keeps its grays.
    kernel_bound, bound = kernel.abs().max().item(), response.abs().max().item()
    limits = [(0.0, 1.0), (-3 * kernel_bound, kernel_bound), (-3 * bound, bound)]
    titles = ("the photo, 0 to 1", "the kernel", "what sliding it gives")
    for ax, values, (low, high), title in zip(axes, (patch, kernel, response), limits, titles, strict=True):
        ax.imshow(values.numpy(), cmap="gray", vmin=low, vmax=high)
        for row in range(values.shape[0]):
            for column in range(values.shape[1]):
                value = values[row, column].item()
                ink = "black" if value > low + 0.43 * (high - low) else "white"
                text = f"{value:.2f}" if values is not kernel else f"{value:g}"
                ax.text(column, row, text.replace("-", "−"), ha="center", va="center", color=ink, fontsize=11)
        ax.set_title(title, fontsize=12)
        ax.set_axis_off()
    row, column = at
    frames = ((axes[0], kernel.shape[-1]), (axes[2], 1))
    for ax, side in frames:
        ax.add_patch(_frame(column - 0.5, row - 0.5, side, side, linewidth=3.5))
    plt.close(figure)
    return figure


def _frame(x: float, y: float, width: float, height: float, **style: object) -> Rectangle:
    return Rectangle((x, y), width, height, fill=False, edgecolor=hex_color(5), **style)  # type: ignore[arg-type]


def effective_field(photo: Tensor, gradients: Sequence[Tensor], titles: Sequence[str], field: int) -> Figure:
    """A photo, and beside it how much each of its pixels moves one unit; the theoretical window is framed.

    Args:
        photo: (3, H, W), 0 to 1.
        gradients: (H, W) each, the size of the gradient; the frame is where the last of them is not zero.
        titles: of the photo and of each gradient.
        field: side of the window in pixels, said below the photo's title.
    """
    rows, columns = (gradients[-1].sum(dim).nonzero().flatten() for dim in (1, 0))
    top, left = rows[0].item(), columns[0].item()
    tall, wide = rows[-1].item() - top + 1, columns[-1].item() - left + 1
    count = 1 + len(gradients)
    figure, axes = plt.subplots(1, count, figsize=(3 * count, 3.4), layout="constrained")
    axes[0].imshow(photo.permute(1, 2, 0).numpy())
    for ax, values in zip(axes[1:], gradients, strict=True):
        # the root makes small values visible: a quarter of the largest gradient is half as bright
        ax.imshow(values.numpy(), cmap=COLORS, norm=PowerNorm(0.5, vmin=0, vmax=values.max().item()))
    for ax, title in zip(axes, titles, strict=True):
        _title(ax, title)
        ax.add_patch(_frame(left - 0.5, top - 0.5, wide, tall, linewidth=2.5))
        ax.set_axis_off()
    axes[0].text(left + wide / 2, top - 4, f"{field} × {field} pixels", **CAPTION)
    plt.close(figure)
    return figure


CAPTION = {
    "ha": "center",
    "va": "bottom",
    "fontsize": 11,
    "color": "black",
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5},
}


def _title(ax: Axes, text: str) -> None:
    ax.set_title(text, fontsize=11.5)


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L01_conv_block": (
        conv_block,
        "The Conv block of row 1: a 3 × 3 convolution with stride 2, then BatchNorm, then LeakyReLU. A map of 32 "
        "channels enters, one of 64 channels and half the side leaves; nearly all parameters are the convolution's.",
    ),
    "L01_activations": (
        activation_curves,
        "Six activations and, dashed, their derivatives: sigmoid is flat at both ends and its derivative never "
        "exceeds a quarter; ReLU and LeakyReLU have a kink at zero; SiLU, Mish and Hardswish dip below zero and rise.",
    ),
    "L01_receptive_field": (
        field_cascade,
        "Four rows of cells: one unit of the last map reads three cells of the map below, those read seven in the "
        "next, and these nine pixels of the image. After a layer of stride 2 the cells stand two pixels apart.",
    ),
}
