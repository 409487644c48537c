"""A stage of Darknet-53 beside the same stage of CSPDarknet53, with the shapes that go through the live modules."""

import copy
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from yolo_edu.course.figures.diagram import INK, PLAIN, WORK_COLORS, arrow, canvas, label, node, rounded, tile
from yolo_edu.model.blocks import Bottleneck, Conv
from yolo_edu.model.darknet import CSPDarknet53, CSPStage, Darknet53

WIDTH, HEIGHT = 2.3, 0.4  # of a tile, inches
Shapes = dict[int, torch.Size]
STAGE = 3  # drawn unless a caller brings stages


class Observed(NamedTuple):
    """A weightless copy of a stage, what went through it, and its numbers in words."""

    stage: nn.Module
    outputs: Shapes  # id of a module → shape
    inputs: Shapes
    given: torch.Size  # the stage's input
    words: str


def stages_side_by_side(plain: nn.Sequential | None = None, csp: CSPStage | None = None, *, side: int = 64) -> Figure:
    """What an input of `side` × `side` cells meets in either stage.

    Args:
        plain: a stage of Darknet-53; None: the third.
        csp: a stage of CSPDarknet53; None: the third.
        side: cells of the input.
    """
    titles = [
        f"{name}, {'a stage' if own else f'stage {STAGE}'}"
        for name, own in (("Darknet-53", plain), ("CSPDarknet53", csp))
    ]
    with torch.device("meta"):
        plain = plain or Darknet53().stages[STAGE - 1]  # type: ignore[assignment]
        csp = csp or CSPDarknet53().stages[STAGE - 1]  # type: ignore[assignment]
    assert plain is not None
    assert csp is not None
    figure, ax = canvas(10.6, 7.7)
    _plain(ax, titles[0], _observed(plain, side))
    _csp(ax, titles[1], _observed(csp, side))
    return figure


def _observed(stage: nn.Module, side: int) -> Observed:
    stage = copy.deepcopy(stage).to("meta").eval()
    outputs: Shapes = {}
    inputs: Shapes = {}

    def note(module: nn.Module, given: tuple[Tensor], result: Tensor) -> None:
        inputs[id(module)], outputs[id(module)] = given[0].shape, result.shape

    for module in stage.modules():
        module.register_forward_hook(note)
    first = next(m for m in stage.modules() if isinstance(m, nn.Conv2d))
    counter = FlopCounterMode(display=False)
    image = torch.zeros(1, first.in_channels, side, side, device="meta")
    with torch.no_grad(), counter:
        stage(image)
    parameters = sum(p.numel() for p in stage.parameters())
    words = f"{parameters:,} parameters\n{counter.get_total_flops() / 1e6:,.0f} MFLOPs"
    return Observed(stage, outputs, inputs, image.shape, words)


def _plain(ax: Axes, title: str, seen: Observed) -> None:
    assert isinstance(seen.stage, nn.Sequential)
    down, *blocks = seen.stage
    assert isinstance(down, Conv)
    x = 2.2
    label(ax, x, 0.25, title, weight="bold")
    _conv(ax, x, 1.15, down)
    _step(ax, x, 0.75, 1.15, _shape(seen.given), above=True)
    _step(ax, x, 1.15 + HEIGHT, 2.65, _shape(seen.outputs[id(down)]))
    bottom = _blocks(ax, x, 2.65, blocks)
    _step(ax, x, bottom, 6.7, _shape(seen.outputs[id(seen.stage)]))
    label(ax, x, 7.2, seen.words)


def _csp(ax: Axes, title: str, seen: Observed) -> None:
    stage = seen.stage
    assert isinstance(stage, CSPStage)
    first, *blocks, last = stage.through
    x, side, middle = 6.1, 9.2, 7.65
    label(ax, middle, 0.25, title, weight="bold")
    _step(ax, middle, 0.75, 1.15, _shape(seen.given), above=True)
    _conv(ax, middle, 1.15, stage.down, name="down")
    ax.plot([middle, middle], [1.15 + HEIGHT, 1.75], color=INK, linewidth=1.4)
    arrow(ax, [(middle, 1.75), (x, 1.75), (x, 2.0)])
    arrow(ax, [(middle, 1.75), (side, 1.75), (side, 2.0)])
    label(ax, middle + 1.52, 1.35, _shape(seen.outputs[id(stage.down)]), ha="left")
    _conv(ax, x, 2.0, first)
    _conv(ax, side, 2.0, stage.around)
    label(ax, x - 0.15, 1.87, "through", ha="right", style="italic")
    label(ax, side + 0.15, 1.87, "around", ha="left", style="italic")
    _step(ax, x, 2.0 + HEIGHT, 2.65, "")
    bottom = _blocks(ax, x, 2.65, blocks)
    _step(ax, x, bottom, 4.95, "")
    _conv(ax, x, 4.95, last)
    joined = 5.72
    arrow(ax, [(x, 4.95 + HEIGHT), (x, joined), (middle - 0.17, joined)])
    arrow(ax, [(side, 2.0 + HEIGHT), (side, joined), (middle + 0.17, joined)])
    label(ax, x - 0.12, 5.55, _shape(seen.outputs[id(stage.through)]), ha="right")
    label(ax, side + 0.06, 3.7, _shape(seen.outputs[id(stage.around)]), ha="left", rotation=90)
    node(ax, middle, joined, "C")
    _step(ax, middle, joined + 0.17, 6.28, _shape(seen.inputs[id(stage.transition)]))
    _conv(ax, middle, 6.28, stage.transition, name="transition")
    label(ax, middle + WIDTH / 2 + 0.1, 6.48, _shape(seen.outputs[id(stage)]), ha="left", va="center")
    label(ax, middle, 7.2, seen.words)


def _blocks(ax: Axes, x: float, y: float, blocks: list[nn.Module]) -> float:
    """Residual blocks, drawn once and counted; returns where the drawing ends."""
    block = blocks[0]
    assert isinstance(block, Bottleneck)
    tall = 2.02
    rounded(ax, x - 1.75, y, 3.2, tall, facecolor=PLAIN, edgecolor=INK, linewidth=1)
    label(ax, x - 1.47, y + tall / 2, f"{len(blocks)} ×", weight="bold")
    ax.plot([x, x], [y, y + 0.28], color=INK, linewidth=1.4)
    _conv(ax, x, y + 0.28, block.cv1)
    _conv(ax, x, y + 0.94, block.cv2)
    arrow(ax, [(x, y + 0.28 + HEIGHT), (x, y + 0.94)])
    if block.add:
        arrow(ax, [(x, y + 0.94 + HEIGHT), (x, y + 1.5)])
        arrow(ax, [(x, y + 0.13), (x + 1.3, y + 0.13), (x + 1.3, y + 1.67), (x + 0.17, y + 1.67)])
        node(ax, x, y + 1.67, "+")
        ax.plot([x, x], [y + 1.84, y + tall], color=INK, linewidth=1.4)
    else:
        ax.plot([x, x], [y + 0.94 + HEIGHT, y + tall], color=INK, linewidth=1.4)
    return y + tall


def _conv(ax: Axes, x: float, y: float, module: nn.Module, *, name: str = "") -> None:
    """A tile with its kernel, stride and channels, left of it its name; x is its middle."""
    assert isinstance(module, Conv)
    conv = module.conv
    stride = f", stride {conv.stride[0]}" if conv.stride[0] > 1 else ""
    text = f"Conv {conv.kernel_size[0]} × {conv.kernel_size[1]}{stride} → {conv.out_channels}"
    wide = WIDTH + (0.5 if stride else 0.0)
    tile(ax, x - wide / 2, y, wide, HEIGHT, text, color=WORK_COLORS["convolution"])
    if name:
        label(ax, x - wide / 2 - 0.1, y + HEIGHT / 2, name, ha="right", style="italic")


def _step(ax: Axes, x: float, y: float, end: float, text: str, *, above: bool = False) -> None:
    """An arrow down, with a shape beside its middle or above its start."""
    arrow(ax, [(x, y), (x, end)])
    if text and above:
        label(ax, x, y - 0.16, text)
    elif text:
        label(ax, x + 0.12, (y + end) / 2, text, ha="left")


def _shape(shape: torch.Size) -> str:
    return f"({', '.join(map(str, shape[1:]))})"
