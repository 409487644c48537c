"""Exercises of lesson 01: the Conv block, BatchNorm folded into a convolution, the receptive field of a stack."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function
from yolo_edu.course.checks.modules import Builder, ModuleCase, judge_module
from yolo_edu.model.blocks import Conv, leaky_relu, silu
from yolo_edu.receptive import Reach

__all__ = ["conv_module", "fold_batchnorm", "receptive_field"]


class _Parts(nn.Module):
    """A Conv block with one thing wrong; called conv, bn, act as in the right one."""

    def __init__(
        self,
        convolution: nn.Module,
        norm: nn.Module | None,
        order: str = "conv bn act",
        activation: Callable[[], nn.Module] = leaky_relu,
    ) -> None:
        super().__init__()
        self.conv = convolution
        if norm is not None:
            self.bn = norm
        self.act = activation()
        self.order = order.split()

    def forward(self, x: Tensor) -> Tensor:
        for name in self.order:
            x = getattr(self, name)(x)
        return x


def _wrong(order: str = "conv bn act", activation: Callable[[], nn.Module] = leaky_relu, **changed: Any) -> Builder:
    """Builds the block with other settings of the convolution, another order, or another activation."""

    def build(c_in: int, c_out: int, kernel: int = 1, stride: int = 1) -> nn.Module:
        settings = {"stride": stride, "padding": kernel // 2, "bias": False} | changed
        norm = nn.BatchNorm2d(c_out) if "bn" in order or "unused" in order else None
        convolution = nn.Conv2d(c_in, c_out, kernel, **settings)
        return _Parts(convolution, norm, order.replace("unused", ""), activation)

    return build


def _norm_first(c_in: int, c_out: int, kernel: int = 1, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
    return _Parts(convolution, nn.BatchNorm2d(c_in), "bn conv act")


def conv_module(module: type[nn.Module]) -> Builder:
    """Exercise 1.1: (c_in, c_out, kernel, stride) → Conv with parts conv, bn, act and LeakyReLU(0.1)."""
    cases = [
        ModuleCase((3, 8, 3, 2), ((2, 3, 12, 16),)),
        ModuleCase((4, 6, 1, 1), ((3, 4, 7, 5),)),
        ModuleCase((5, 5, 3, 1), ((2, 5, 8, 9),)),
        ModuleCase((2, 4, 5, 2), ((2, 2, 11, 13),)),
        ModuleCase((6, 3), ((2, 6, 6, 6),)),  # kernel and stride left out
    ]
    no_bias = "the convolution has a bias. BatchNorm subtracts it again and has its own, β: pass `bias=False`."
    mistakes = [
        Mistake(_wrong("conv act"), "BatchNorm is missing: a block is convolution, BatchNorm, activation."),
        Mistake(
            _wrong("conv act", bias=True),
            "BatchNorm is missing, and the convolution has a bias: with BatchNorm behind it it needs none.",
        ),
        Mistake(_wrong(bias=True), no_bias),
        Mistake(_norm_first, "BatchNorm counts the channels that enter; it stands behind the convolution: c_out."),
        Mistake(_wrong(padding=0), "the padding is missing: `kernel // 2` on each side keeps the size at stride 1."),
        Mistake(_wrong(padding=1), "the padding is 1 for every kernel. It must grow with the kernel: `kernel // 2`."),
        Mistake(_wrong(stride=1), "the stride is ignored: hand it to the convolution."),
        Mistake(_wrong("conv act bn"), "the activation stands before BatchNorm: first `conv`, then `bn`, then `act`."),
        Mistake(_wrong("conv act unused"), "`bn` is built and never used in `forward`."),
        Mistake(_wrong("conv bn"), "the activation is missing in `forward`."),
        Mistake(
            _wrong(activation=lambda: nn.LeakyReLU()),
            "the slope of your LeakyReLU is PyTorch's default, 0.01. The network's is 0.1.",
        ),
        Mistake(_wrong(activation=nn.ReLU), "this is ReLU. LeakyReLU(0.1) lets a tenth of a negative number pass."),
        Mistake(_wrong(activation=silu), "this is SiLU, release 7.0's choice. The block asked for has LeakyReLU(0.1)."),
    ]
    return judge_module("1.1", module, Conv, "yolo_edu's Conv", cases=cases, mistakes=mistakes)


def _fold(weight: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    scale = gamma / (var + eps).sqrt()
    return weight * scale[:, None, None, None], beta - mean * scale


def fold_batchnorm(function: Function) -> Function:
    """Exercise 1.2: weight (C_out, C_in, k, k), γ, β, mean, var (C_out,), eps → weight and bias of one convolution."""
    generator = torch.Generator().manual_seed(0)
    random_ = random.Random(0)
    cases: list[tuple[Any, ...]] = []
    for index in range(ROUNDS):
        c_out, k = random_.randint(2, 6), random_.choice([1, 3, 3, 5])
        c_in = c_out if index % 2 else random_.randint(1, 6)
        weight = torch.randn(c_out, c_in, k, k, generator=generator)
        gamma, beta, mean = (torch.randn(c_out, generator=generator) for _ in range(3))
        var = torch.rand(c_out, generator=generator) ** 3 + 0.002  # some so small that eps counts
        cases.append((weight, gamma, beta, mean, var, random_.choice([1e-3, 1e-4])))

    def with_scale(scale: Function) -> Function:
        def wrong(w: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> tuple:
            factor = scale(gamma, var, eps)
            return w * factor[:, None, None, None], beta - mean * factor

        return wrong

    def with_bias(bias: Function) -> Function:
        def wrong(w: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> tuple:
            return _fold(w, gamma, beta, mean, var, eps)[0], bias(beta, mean, gamma / (var + eps).sqrt())

        return wrong

    def along_inputs(w: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> tuple:
        return w * (gamma / (var + eps).sqrt())[None, :, None, None], _fold(w, gamma, beta, mean, var, eps)[1]

    def along_columns(w: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> tuple:
        return w * (gamma / (var + eps).sqrt()), _fold(w, gamma, beta, mean, var, eps)[1]

    axis = (
        "γ/√(var + ε) has one number for each output channel, the first axis of weight: index it [:, None, None, None]."
    )
    mistakes = [
        Mistake(
            with_scale(lambda g, v, e: g / (v + e)),
            "you divide by the variance. BatchNorm divides by its square root, the standard deviation.",
        ),
        Mistake(with_scale(lambda g, v, e: g / v.sqrt()), "you forgot ε: it is added to the variance, below the root."),
        Mistake(
            with_scale(lambda g, v, e: g / (v.sqrt() + e)), "ε stands outside the root. It is added to var inside."
        ),
        Mistake(with_scale(lambda g, v, e: 1 / (v + e).sqrt()), "you forgot γ."),
        Mistake(with_scale(lambda g, v, e: g), "the variance is not used: γ is divided by √(var + ε)."),
        Mistake(
            with_scale(lambda g, v, e: g * (v + e).sqrt()), "you multiply by the deviation; BatchNorm divides by it."
        ),
        Mistake(with_bias(lambda b, m, s: b), "weight is right; in the bias the mean is not subtracted."),
        Mistake(
            with_bias(lambda b, m, s: b + m * s), "weight is right; the sign of the mean's part in the bias is not."
        ),
        Mistake(with_bias(lambda b, m, s: b - m), "weight is right; the mean in the bias is scaled too."),
        Mistake(with_bias(lambda b, m, s: -m * s), "weight is right; the bias lacks β."),
        Mistake(with_bias(lambda b, m, s: m * s - b), "weight is right; the bias has the wrong sign."),
        Mistake(with_bias(lambda b, m, s: (b - m) * s), "weight is right; β is not scaled, only the mean is."),
        Mistake(along_inputs, f"the scale lies along the input channels. {axis}"),
        Mistake(along_columns, f"the scale lies along the kernel's columns. {axis}"),
        Mistake(lambda *case: _fold(*case)[::-1], "both are right, in the wrong order: weight first, then bias."),
    ]
    return judge_function(
        "1.2",
        function,
        _fold,
        "yolo_edu's own folding",
        cases=cases,
        mistakes=mistakes,
        describe=lambda w, *rest: f"a weight of shape {tuple(w.shape)} and eps {rest[-1]:g}",
    )


def _field(layers: Sequence[tuple[int, int]]) -> tuple[int, int]:
    reach = Reach(1, ((0, 0),))
    for kernel, stride in layers:
        reach = reach.window(kernel, stride)
    return reach.size, int(reach.stride)


def receptive_field(function: Function) -> Function:
    """Exercise 1.3: (kernel, stride) of each layer, first to last → field and step in pixels."""
    random_ = random.Random(0)
    cases: list[tuple[Any, ...]] = [([(3, 2), (3, 1), (3, 2)],), ([(3, 1)],)]
    for _ in range(ROUNDS - 3):
        count = random_.randint(2, 6)
        cases.append(([(random_.choice([1, 2, 3, 5, 6]), random_.choice([1, 1, 2, 3])) for _ in range(count)],))
    cases.append(([],))  # no layer: a pixel sees itself

    def recurrence(step: Callable[[int, int, int, int], tuple[int, int]], start: int = 1) -> Function:
        def wrong(layers: Sequence[tuple[int, int]]) -> tuple[int, int]:
            field, jump = start, 1
            for kernel, stride in layers:
                field, jump = step(field, jump, kernel, stride)
            return field, jump

        return wrong

    def backwards(layers: Sequence[tuple[int, int]]) -> tuple[int, int]:
        return _field(layers[::-1])

    mistakes = [
        Mistake(
            recurrence(lambda r, j, k, s: (r + k - 1, j * s)),
            "you add k − 1 pixels in every layer. Behind a stride units stand `step` pixels apart: add (k − 1) · step.",
        ),
        Mistake(
            recurrence(lambda r, j, k, s: (r + (k - 1) * j * s, j * s)),
            "a layer's own stride widens nothing yet: use the step of its input, and multiply the step afterwards.",
        ),
        Mistake(
            recurrence(lambda r, j, k, s: (r + (k - 1) * j, s)),
            "the step is the product of all strides so far, not the last layer's stride.",
        ),
        Mistake(
            recurrence(lambda r, j, k, s: (r + (k - 1) * s, j * s)),
            "you multiply k − 1 by this layer's own stride. Take its input's step, the product of the strides before.",
        ),
        Mistake(
            recurrence(lambda r, j, k, s: (r + k * j, j * s)),
            "a kernel of k adds k − 1 steps, not k: the first position is there already.",
        ),
        Mistake(recurrence(lambda r, j, k, s: (r * k, j * s)), "kernels do not multiply: each adds (k − 1) · step."),
        Mistake(
            recurrence(lambda r, j, k, s: (r + (k - 1) * j, j * s), start=0),
            "start with 1: without any layer, a pixel sees itself.",
        ),
        Mistake(backwards, "you go from the last layer to the first; the list is in the order of the network."),
        Mistake(
            lambda layers: _field(layers)[::-1], "both are right, in the wrong order: first the field, then the step."
        ),
        Mistake(
            lambda layers: _field(layers)[0], "the field is right; return the step beside it: `return field, step`."
        ),
    ]
    return judge_function(
        "1.3",
        function,
        _field,
        "yolo_edu's own count",
        cases=cases,
        mistakes=mistakes,
        describe=lambda layers: f"the layers {layers}",
    )
