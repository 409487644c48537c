"""Figures of lesson 04: the table of Darknet-53, its stage beside the CSP stage, Focus, a map laid over its photo."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from yolo_edu.course.figures.darknet_focus import focus_kernel, focus_phases
from yolo_edu.course.figures.darknet_probe import (
    cells_inside,
    highest_in_boxes,
    highest_places,
    strongest_channels,
    strongest_maps,
)
from yolo_edu.course.figures.darknet_stages import stages_side_by_side
from yolo_edu.course.figures.diagram import GRAY, INK, LEVEL_COLORS, PLAIN, canvas, label, rounded
from yolo_edu.model.blocks import Bottleneck, Conv
from yolo_edu.model.darknet import Classifier, Darknet53

__all__ = [
    "cells_inside",
    "darknet53_table",
    "focus_kernel",
    "focus_phases",
    "highest_in_boxes",
    "highest_places",
    "spotlight",
    "stages_side_by_side",
    "strongest_channels",
    "strongest_maps",
]

SHADE = 0.3  # of a photo's brightness that is left where a map is lowest


class Line(NamedTuple):
    """A line of the table: what it is, its filters, kernel and output; the last three may be empty."""

    kind: str
    filters: str
    kernel: str
    output: str


class Part(NamedTuple):
    """Lines that belong together: the stem, or a stage, whose lines from the second on are repeated."""

    lines: list[Line]
    repeats: int
    convolutions: int
    stride: int


def _darknet_parts(backbone: Darknet53, size: int) -> list[Part]:
    """The stem and the stages as an image of `size` pixels goes through; all numbers are the live modules'."""
    backbone = copy.deepcopy(backbone).to("meta").eval()
    shapes: dict[int, torch.Size] = {}
    for module in backbone.modules():
        if isinstance(module, (Conv, Bottleneck)):
            module.register_forward_hook(lambda m, _, y: shapes.__setitem__(id(m), y.shape))
    backbone(torch.zeros(1, 3, size, size, device="meta"))

    def line(conv: Conv) -> Line:
        (kernel, _), (step, _) = conv.conv.kernel_size, conv.conv.stride
        text = f"{kernel} × {kernel}" + (f" / {step}" if step > 1 else "")
        return Line("convolution", str(conv.conv.out_channels), text, _map_size(shapes[id(conv)]))

    parts = [Part([line(backbone.stem)], 0, 1, size // shapes[id(backbone.stem)][-1])]
    for stage in backbone.stages:
        assert isinstance(stage, nn.Sequential)
        down, *blocks = stage
        assert isinstance(down, Conv)
        lines = [line(down)]
        if blocks:
            block = blocks[0]
            assert isinstance(block, Bottleneck)
            shape = shapes[id(block)]
            kind = "residual sum" if block.add else "no sum"
            lines += [line(block.cv1), line(block.cv2), Line(kind, "", "", _map_size(shape))]
        convolutions = sum(isinstance(m, nn.Conv2d) for m in stage.modules())
        parts.append(Part(lines, len(blocks), convolutions, size // shapes[id(down)][-1]))
    return parts


def _map_size(shape: torch.Size) -> str:
    return f"{shape[2]} × {shape[3]}"


# Inches: left edges of the columns, height of a line.
REPEAT, KIND, FILTERS, KERNEL, OUTPUT, NOTE = 0.42, 0.86, 2.72, 3.72, 4.98, 6.45
LINE, GAP, PAGE = 0.3, 0.12, 9.5


def darknet53_table(backbone: Darknet53 | None = None, *, size: int = 256, classes: int = 1000) -> Figure:
    """The layers of Darknet-53 as a table, after table 1 of Redmon and Farhadi 2018 (arXiv:1804.02767).

    Args:
        backbone: whose layers and output sizes are read; None: a fresh one.
        size: side of the image, pixels.
        classes: of the classifier that it was trained with.
    """
    with torch.device("meta"):
        model = Classifier(Darknet53() if backbone is None else backbone, classes)
    parts = _darknet_parts(model.backbone, size)  # type: ignore[arg-type]
    levels = {part.stride: name for part, name in zip(parts[-3:], LEVEL_COLORS, strict=True)}
    height = 0.5 + sum(len(part.lines) * LINE + GAP for part in parts) + 3 * LINE + 0.25
    figure, ax = canvas(PAGE, height)
    for x, text in ((KIND, "layer"), (FILTERS, "filters"), (KERNEL, "kernel"), (OUTPUT, "output")):
        label(ax, x, 0.26, text, ha="left", va="center_baseline", weight="bold")
    label(ax, NOTE, 0.26, "convolutions", ha="left", va="center_baseline", weight="bold")
    y = 0.5
    for index, part in enumerate(parts):
        tall = len(part.lines) * LINE
        level = levels.get(part.stride)
        color = LEVEL_COLORS[level] if level else GRAY
        rounded(ax, 0.1, y, PAGE - 0.2, tall, facecolor=color, alpha=0.17, edgecolor="none")
        if part.repeats:
            rounded(ax, KIND - 0.1, y + LINE, NOTE - KIND - 0.2, tall - LINE, facecolor="none", edgecolor=INK)
            label(ax, REPEAT, y + LINE + (tall - LINE) / 2, f"{part.repeats} ×", weight="bold")
        for row, line in enumerate(part.lines):
            _line(ax, line, y + (row + 0.5) * LINE)
        _note(ax, part, index, level, y, tall)
        y += tall + GAP
    linear = model.linear
    _line(ax, Line("mean over the map", "", "", "1 × 1"), y + 0.5 * LINE)
    _line(ax, Line("linear layer", str(linear.out_features), "", "1 × 1"), y + 1.5 * LINE)
    counts = [part.convolutions for part in parts]
    total = f"{' + '.join(map(str, counts))} = {sum(counts)} convolutions, and 1 linear layer: {sum(counts) + 1} layers"
    rounded(ax, 0.1, y + 2 * LINE + 0.06, PAGE - 0.2, LINE + 0.06, facecolor=PLAIN, edgecolor="none")
    label(ax, KIND, y + 2.5 * LINE + 0.09, total, ha="left", weight="bold")
    return figure


def _line(ax: Axes, line: Line, y: float) -> None:
    for x, text in zip((KIND, FILTERS, KERNEL, OUTPUT), line, strict=True):
        if text:
            label(ax, x, y - 0.02, text, ha="left", va="center_baseline")


def _note(ax: Axes, part: Part, index: int, level: str | None, y: float, tall: float) -> None:
    """To the right of a part: its name, its stride, and how many convolutions it counts."""
    if not index:
        label(
            ax, NOTE, y + tall / 2, f"{part.convolutions}   stem, stride {part.stride}", ha="left", va="center_baseline"
        )
        return
    each = (part.convolutions - 1) // part.repeats if part.repeats else 0
    name = f"stage {index}, stride {part.stride}" + (f": {level}" if level else "")
    text = f"1 + {each} · {part.repeats} = {part.convolutions}\n{name}"
    label(ax, NOTE, y + tall / 2, text, ha="left", linespacing=1.5)


def spotlight(photo: Tensor, values: Tensor) -> Tensor:
    """A photo in the light of a feature map: as it is where the map is highest, dark where it is lowest.

    Args:
        photo: (3, H, W), 0 to 1 or uint8.
        values: (h, w), H and W multiples of it; each value lights the pixels that its cell spans.

    Returns:
        (3, H, W) uint8.
    """
    pixels = photo.detach().cpu()
    pixels = pixels.float() if pixels.dtype == torch.uint8 else pixels.float() * 255
    light = values.detach().cpu().float()
    span = (light.max() - light.min()).clamp(min=1e-9)  # a flat map leaves everything dark
    light = SHADE + (1 - SHADE) * (light - light.min()) / span
    tall, wide = pixels.shape[1] // light.shape[0], pixels.shape[2] // light.shape[1]
    light = light.repeat_interleave(tall, 0).repeat_interleave(wide, 1)
    return (pixels * light).round().to(torch.uint8)


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "06_darknet53": (
        darknet53_table,
        "Table of Darknet-53 for a 256 pixel image: a stem and five stages. Each stage halves the map with a strided "
        "convolution and goes on with 1, 2, 8, 8 or 4 residual blocks of two convolutions. With the classifier's "
        "linear layer there are 53 layers with weights.",
    ),
    "L04_focus": (
        focus_phases,
        "A picture of 6 by 6 numbered pixels, and the four pictures of 3 by 3 that Focus makes of it: even rows and "
        "even columns, odd rows and even columns, even rows and odd columns, odd rows and odd columns, each in three "
        "colors, so that 3 channels become 12.",
    ),
    "L04_focus_kernel": (
        focus_kernel,
        "Four kernels of 3 by 3 weights, one a phase, and the kernel of 6 by 6 that they make: each weight moves to "
        "the row and the column of the image that its phase was taken from. The six rows are the image rows 2i minus "
        "2 to 2i plus 3.",
    ),
    "L04_stages": (
        stages_side_by_side,
        "The third stage of Darknet-53, a strided convolution and eight residual blocks, beside the same stage of "
        "CSPDarknet53: there one path of half as many channels goes through the eight blocks, another goes round "
        "them, and the two meet in a concatenation.",
    ),
}
