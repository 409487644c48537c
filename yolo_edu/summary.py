"""A network on paper: the article's printout, its parameter table, and a table of layers, of any nn.Module.

Shapes, strides, receptive fields, FLOPs and who reads from whom are not looked up: one forward pass of a
weightless copy is watched, operation by operation.
"""

import copy
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from yolo_edu.errors import UserError
from yolo_edu.receptive import IMAGE, Trace, Track, tensors, union

try:
    import torchinfo
except ImportError:  # an optional extra
    torchinfo = None  # type: ignore[assignment]


def printout(modules: Iterable[nn.Module]) -> str:
    """The modules one after another, as the article prints them and as its PyTorch printed them.

    Two spellings that came later are taken back: BatchNorm's `bias=True`, the quotes around Upsample's mode.
    """
    text = ", ".join(map(repr, modules))
    text = re.sub(r"(BatchNorm\dd\([^()]*affine=True), bias=True", r"\1", text)
    return re.sub(r"(Upsample\([^()]*mode=)'(\w+)'", r"\1\2", text)


class ParameterRow(NamedTuple):
    """One parameter tensor; `std` is the sample standard deviation (n − 1), 0 for a single number."""

    layer: int
    name: str
    gradient: bool
    parameters: int
    shape: tuple[int, ...]
    mean: float
    std: float


def parameter_rows(model: nn.Module) -> list[ParameterRow]:
    """Every parameter tensor in the order the modules were made, counted from 0."""
    rows = []
    for layer, (name, parameter) in enumerate(model.named_parameters()):
        values = parameter.detach().float()
        std = values.std().item() if values.numel() > 1 else 0.0
        shape = tuple(parameter.shape)
        mean = values.mean().item()
        rows.append(ParameterRow(layer, name, parameter.requires_grad, parameter.numel(), shape, mean, std))
    return rows


def parameter_table(model: nn.Module) -> str:
    """`parameter_rows` in the article's columns: counts with six digits, mean and deviation with three."""
    head = ("layer", "name", "gradient", "parameters", "shape", "mu", "sigma")
    lines = ["{:>5} {:>40} {:>9} {:>12} {:>20} {:>10} {:>10}".format(*head)]
    for row in parameter_rows(model):
        lines.append(
            f"{row.layer:5} {row.name:>40} {row.gradient!s:>9} {row.parameters:12g} "
            f"{list(row.shape)!s:>20} {row.mean:10.3g} {row.std:10.3g}"
        )
    return "\n".join(lines)


class Output(NamedTuple):
    """One tensor that a row returns.

    `stride` (input pixels between neighboring positions) and `receptive_field` (input pixels one position
    reads at most, on an endless image) are measured along the width. Both are None behind an operation that
    is no window: a linear layer, a global mean, attention. A flattened map has no stride either.
    """

    shape: tuple[int, ...]
    stride: float | None
    receptive_field: int | None


class LayerRow(NamedTuple):
    """One row of a network's table.

    `sources`: the rows it reads, in the order it gets them; −1 is the image. `repeats`: modules in `.m` where
    that is an nn.Sequential, else 1. `flops`: see `layer_rows`.
    """

    row: int
    sources: tuple[int, ...]
    repeats: int
    parameters: int
    block: str
    arguments: str
    outputs: tuple[Output, ...]
    flops: int


def layer_rows(model: nn.Module, image_size: int = 640) -> list[LayerRow]:
    """The rows of a network that reads one (1, 3, image_size, image_size) image, in evaluation mode.

    Rows are the modules of the list `model.model` if there is one, else the model's children. FLOPs are
    2 × multiply-adds of convolutions and matrix products; biases, BatchNorm, activations, pooling are free.
    The model is not touched: what runs is a copy on PyTorch's meta device, shapes without numbers.

    Raises:
        UserError: the model cannot run at this size, or a row does not run exactly once.
    """
    network = _without_weights(model).eval()
    rows, seen = _table(network), list[LayerRow]()
    trace, counter = Trace(), FlopCounterMode(display=False)
    started: dict[int, tuple[list[Tensor], tuple[int, ...], int]] = {}

    def enter(index: int, args: tuple, kwargs: dict) -> None:
        inputs = list(tensors((args, kwargs)))
        sources = union(track.origins for x in inputs if (track := trace[x]))
        started[index] = inputs, sources, counter.get_total_flops()  # now: in-place work may follow

    def leave(index: int, row: nn.Module, result: Any) -> None:
        (inputs, sources, before), outputs = started[index], list(tensors(result))
        seen.append(
            LayerRow(
                row=index,
                sources=sources,
                repeats=_repeats(row),
                parameters=sum(parameter.numel() for parameter in row.parameters()),
                block=type(row).__name__,
                arguments=_arguments(row, inputs, outputs),
                outputs=tuple(_output(x, trace[x]) for x in outputs),
                flops=counter.get_total_flops() - before,
            )
        )
        for x in outputs:
            trace[x] = (trace[x] or Track((), None, 0))._replace(origins=(index,))

    for i, row in enumerate(rows):
        row.register_forward_pre_hook(lambda _, a, k, i=i: enter(i, a, k), with_kwargs=True)
        row.register_forward_hook(lambda module, _, result, i=i: leave(i, module, result))
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    with torch.no_grad(), counter, trace:
        try:
            network(trace.start(torch.zeros(1, 3, image_size, image_size, dtype=dtype, device="meta")))
        except RuntimeError as error:
            raise UserError(
                f"{type(model).__name__} cannot run on a 3 x {image_size} x {image_size} image; "
                f"try another image size. PyTorch says: {str(error).splitlines()[0]}"
            ) from error
    for i, row in enumerate(rows):
        if (runs := sum(line.row == i for line in seen)) != 1:
            raise UserError(
                f"row {i} ({type(row).__name__}) runs {runs} times in a forward pass; "
                "the table has one line a row: give each use its own module"
            )
    return sorted(seen, key=lambda line: line.row)


def layer_table(model: nn.Module, image_size: int = 640) -> str:
    """`layer_rows` as text, with totals.

    Column "from": −1 is the previous row (for row 0 the image), other numbers are rows. "n": repeats.
    "field": receptive field. A row with several outputs goes on below itself.
    """
    lines = layer_rows(model, image_size)
    head = ("row", "from", "n", "parameters", "block", "arguments", "output", "stride", "field", "MFLOPs")
    cells: list[Sequence[str]] = [head]
    for line in lines:
        source = ", ".join("image" if s == IMAGE else str(s) for s in line.sources)
        if line.sources == (line.row - 1,):
            source = "-1"
        left = [str(line.row), source, str(line.repeats), f"{line.parameters:,}", line.block, line.arguments]
        right = f"{line.flops / 1e6:,.2f}"
        for output in line.outputs:
            numbers = (output.stride, output.receptive_field)
            middle = (str(list(output.shape)), *("-" if n is None else f"{n:g}" for n in numbers))
            cells.append((*left, *middle, right))
            left, right = [""] * len(left), ""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    to_left = {4, 5, 6}  # words; numbers stand to the right
    text = [
        "  ".join(
            f"{cell:<{width}}" if i in to_left else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    parameters, work = sum(line.parameters for line in lines), sum(line.flops for line in lines)
    text.append(
        f"{len(lines)} rows, {parameters:,} parameters, {work / 1e9:.4g} GFLOPs (2 x multiply-adds) "
        f"for a {image_size} x {image_size} image"
    )
    return "\n".join(text)


def torchinfo_summary(model: nn.Module, image_size: int = 640) -> str:
    """What the torchinfo package says about the model and one (1, 3, image_size, image_size) image.

    Raises:
        UserError: torchinfo is not installed.
    """
    if torchinfo is None:
        raise UserError("the package torchinfo is not installed: pip install torchinfo")
    size = (1, 3, image_size, image_size)
    return str(torchinfo.summary(_without_weights(model), input_size=size, device="meta", verbose=0))


def _without_weights(model: nn.Module) -> nn.Module:
    """A copy on the meta device, without hooks; the weights themselves are never copied."""
    empty: dict[int, Any] = {id(buffer): buffer.to("meta") for buffer in model.buffers()}
    for parameter in model.parameters():
        empty[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
    empty_model = copy.deepcopy(model, empty)
    for module in empty_model.modules():  # the owner's hooks expect numbers
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return empty_model


def _table(model: nn.Module) -> list[nn.Module]:
    table = getattr(model, "model", None)
    flat = table if isinstance(table, (nn.ModuleList, nn.Sequential)) else model
    return list(flat.children()) or [model]


def _output(x: Tensor, track: Track | None) -> Output:
    if track is None or track.reach is None:
        return Output(tuple(x.shape), None, None)
    stride = float(track.reach.stride) if track.width in x.shape else None  # flattened: no axis to step along
    return Output(tuple(x.shape), stride, track.reach.size)


def _repeats(row: nn.Module) -> int:
    inner = getattr(row, "m", None)
    return len(inner) if isinstance(inner, nn.Sequential) else 1


def _arguments(row: nn.Module, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> str:
    """Channels in -> out; kernel and stride where the row has one convolution; the pools' kernels."""
    convolutions = [module for module in row.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions and not any(row.children()) and row.extra_repr():
        return row.extra_repr()  # PyTorch's own modules describe themselves
    text = ", ".join(str(x.shape[1]) for x in inputs if x.ndim > 1)
    if len(outputs) == 1 and outputs[0].ndim == 4:
        text += f" -> {outputs[0].shape[1]}"
    if len(convolutions) == 1:
        kernel, stride = convolutions[0].kernel_size, convolutions[0].stride
        text += f", kernel {_side(kernel)}" + (f", stride {_side(stride)}" if set(stride) != {1} else "")
    if pools := [str(_side(m.kernel_size)) for m in row.modules() if isinstance(m, nn.MaxPool2d)]:
        text += f", pool {' '.join(pools)}"
    return text


def _side(size: int | Sequence[int]) -> str:
    sides = [size] if isinstance(size, int) else list(size)
    return "x".join(map(str, sides if len(set(sides)) > 1 else sides[:1]))
