"""Exercises of lesson 03: a cross-stage dense block, BottleneckCSP, and its parameters."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from yolo_edu.course.checks.compare import Mistake
from yolo_edu.course.checks.counts import judge_counts
from yolo_edu.course.checks.modules import Builder, ModuleCase, judge_module
from yolo_edu.model.blocks import Bottleneck, BottleneckCSP, Conv
from yolo_edu.model.dense import CSPDenseBlock, DenseBlock, Transition

__all__ = ["bottleneck_csp", "bottleneck_csp_counts", "csp_dense_block"]


def _csp_dense(c_in: int, layers: int, growth: int, bypass: float = 0.5) -> CSPDenseBlock:
    return CSPDenseBlock(c_in, layers, growth, bypass=bypass)


class _WrongDense(CSPDenseBlock):
    """yolo_edu's block with one thing done wrong; `slip` says which."""

    def __init__(self, slip: str, c_in: int, layers: int, growth: int, bypass: float) -> None:
        super().__init__(c_in, layers, growth, bypass=bypass)
        around, through = self.split
        grown = layers * growth
        if slip == "all through":
            self.block = DenseBlock(c_in, layers, growth)
            self.partial = Transition(c_in + grown, (c_in + grown) // 2, pool=False)
            self.transition = Transition(around + (c_in + grown) // 2, self.channels)
        elif slip == "swapped":
            mixed = (around + grown) // 2
            self.block = DenseBlock(around, layers, growth)
            self.partial = Transition(around + grown, mixed, pool=False)
            self.transition = Transition(through + mixed, self.channels)
        elif slip == "kept":
            self.partial = Transition(through + grown, through + grown, pool=False)
            self.transition = Transition(c_in + grown, self.channels)
        elif slip == "wide":
            joint = around + (through + grown) // 2
            self.transition = Transition(joint, joint // 2)
        elif slip == "one transition":
            del self.partial
            self.transition = Transition(c_in + grown, self.channels)
        self.slip = slip

    def forward(self, x: Tensor) -> Tensor:
        slip = self.slip
        around, through = x.split(self.split, dim=1)
        if slip == "last round":
            through, around = x.split(self.split[::-1], dim=1)
        if slip == "all through":
            through = x
        deep = self.block(through)
        if slip != "one transition":
            deep = self.partial(deep)
        if slip == "misfit":
            deep = deep[..., ::2, ::2]
        parts = [deep, around] if slip == "order" else [around, deep]
        joint = torch.cat(parts, dim=1)
        if slip == "not halved":
            norm, relu, mix, _ = self.transition
            return mix(relu(norm(joint)))
        return self.transition(joint)


def csp_dense_block(module: type[nn.Module]) -> Builder:
    """Exercise 3.1: (c_in, layers, growth, bypass) → a module with block, partial, transition."""
    cases = [
        ModuleCase((8, 2, 4, 0.5), ((2, 8, 6, 4),)),
        ModuleCase((12, 3, 2, 0.25), ((1, 12, 4, 8),)),
        ModuleCase((16, 1, 6, 0.75), ((3, 16, 2, 6),)),
        ModuleCase((6, 4, 4, 0.5), ((2, 6, 8, 8),)),
    ]
    hints = {
        "misfit": "two tensors do not fit together. Two usual reasons: the first transition halves the grid (it needs "
        "`pool=False`), or the parts are swapped: the first channels, x₀′, go round.",
        "all through": "your dense block reads all channels. It gets x₀″ alone, the channels that do not go round.",
        "swapped": "the parts are swapped: `bypass` is the share that goes round, the rest goes through the block.",
        "last round": "the parts are swapped: the first channels, x₀′, go round; the last ones, x₀″, go through.",
        "order": "the two parts meet in the wrong order: first x₀′, then what has passed the first transition.",
        "kept": "the first transition keeps all channels; it must keep half of them.",
        "wide": "your output is half of what the joint holds. It must be what the dense stage without a split puts "
        "out: half of c_in + layers · growth.",
        "one transition": "there is only one transition. The dense block's output passes one of its own, `partial`, "
        "before it meets x₀′.",
        "not halved": "the grid is not halved: the second transition ends with the mean of 2 × 2 cells (`pool=True`).",
    }
    mistakes = [
        Mistake(lambda *arguments, slip=slip: _WrongDense(slip, *arguments), hint) for slip, hint in hints.items()
    ]
    return judge_module("3.1", module, _csp_dense, "yolo_edu's CSPDenseBlock", cases=cases, mistakes=mistakes)


class _WrongCSP(BottleneckCSP):
    """yolo_edu's BottleneckCSP with one thing done wrong; `slip` says which."""

    def __init__(self, slip: str, c_in: int, c_out: int, n: int = 1, shortcut: bool = True) -> None:
        super().__init__(c_in, c_out, n, shortcut if slip != "always add" else True)
        hidden = {"wide": c_out, "input half": c_in // 2}.get(slip, c_out // 2)
        if slip in ("wide", "input half"):
            self.cv1, self.cv2 = Conv(c_in, hidden), nn.Conv2d(c_in, hidden, 1, bias=False)
            self.cv3, self.cv4 = nn.Conv2d(hidden, hidden, 1, bias=False), Conv(2 * hidden, c_out)
            self.bn = nn.BatchNorm2d(2 * hidden)
            self.m = nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, 1.0) for _ in range(n)))
        elif slip == "narrow":
            self.m = nn.Sequential(*(Bottleneck(hidden, hidden, shortcut) for _ in range(n)))
        elif slip == "one bottleneck":
            self.m = nn.Sequential(Bottleneck(hidden, hidden, shortcut, 1.0))
        elif slip in ("full cv2", "full cv2, cv3"):
            self.register_module("cv2", Conv(c_in, hidden))
            if "cv3" in slip:
                self.register_module("cv3", Conv(hidden, hidden))
        elif slip == "bias":
            self.cv2, self.cv3 = nn.Conv2d(c_in, hidden, 1), nn.Conv2d(hidden, hidden, 1)
        elif slip == "cv2 behind cv1":
            self.cv2 = nn.Conv2d(hidden, hidden, 1, bias=False)
        elif slip == "no cv3":
            del self.cv3
        elif slip in ("no bn", "one bn"):
            del self.bn
            if slip == "one bn":
                self.bn = nn.BatchNorm2d(hidden)
        self.slip = slip

    def forward(self, x: Tensor) -> Tensor:
        slip = self.slip
        deep, direct = self.m(self.cv1(x)), self.cv2(x)
        deep = (
            self.m(self.cv3(self.cv1(x))) if slip == "cv3 first" else deep if slip == "unused cv3" else self.cv3(deep)
        )
        joint = torch.cat([direct, deep] if slip == "order" else [deep, direct], dim=1)
        if slip.startswith("late bn"):
            mixed = self.cv4(self.act(joint) if slip == "late bn, early act" else joint)
            return self.bn(mixed) if slip == "late bn, early act" else self.act(self.bn(mixed))
        if slip != "unused bn":
            joint = self.bn(joint)
        if slip == "silu":
            return self.cv4(nn.functional.silu(joint))
        if slip == "slope":
            return self.cv4(nn.functional.leaky_relu(joint))
        return self.cv4(joint if slip == "unused act" else self.act(joint))


def bottleneck_csp(module: type[nn.Module]) -> Builder:
    """Exercise 3.2: (c_in, c_out, n, shortcut) → a module with cv1, cv2, cv3, cv4, bn, act, m."""
    cases = [
        ModuleCase((8, 16, 2, True), ((2, 8, 5, 7),)),
        ModuleCase((16, 8, 1, False), ((1, 16, 6, 4),)),
        ModuleCase((12, 12, 3, False), ((2, 12, 3, 5),)),
        ModuleCase((10, 20, 1, True), ((3, 10, 4, 4),)),
    ]
    hints = {
        "wide": "your paths have c_out channels each. Each gets half: hidden = c_out // 2.",
        "input half": "your paths have c_in // 2 channels; hidden is half of the output, c_out // 2.",
        "narrow": "your bottlenecks squeeze to half of `hidden`. Inside this stage they keep the width: expansion 1.0.",
        "one bottleneck": "there is only one bottleneck. `m` is a row of n of them.",
        "full cv2": "your cv2 is a full Conv. Here it is a bare convolution without bias: `bn` at the joint serves "
        "both paths.",
        "full cv2, cv3": "your cv2 and cv3 are full Convs. Here both are bare convolutions without bias: `bn` at the "
        "joint serves both paths.",
        "bias": "your bare convolutions have a bias. BatchNorm follows at the joint and has one: `bias=False`.",
        "cv2 behind cv1": "your cv2 reads what cv1 puts out. The direct path starts at x: cv2 has c_in channels.",
        "no cv3": "there is no cv3. Behind the bottlenecks stands a bare 1 × 1 convolution; only C3 does without it.",
        "no bn": "there is no bn. BatchNorm stands at the joint, over both paths.",
        "one bn": "your bn is as wide as one path. It stands behind the concatenation: 2 · hidden channels.",
        "late bn": "your bn follows cv4. It stands at the joint: cat, bn, act, then cv4.",
        "late bn, early act": "your bn follows cv4. It stands at the joint: cat, bn, act, then cv4.",
        "order": "the paths meet in the wrong order: the deep one first, then the direct one. Trained weights of `bn` "
        "and cv4 depend on it.",
        "always add": "`shortcut` is ignored: hand it on to every Bottleneck.",
        "unused cv3": "cv3 is built, and `forward` does not use it: it follows the bottlenecks.",
        "cv3 first": "your cv3 stands before the bottlenecks; it follows them.",
        "unused bn": "bn is built, and `forward` does not use it: it follows the concatenation.",
        "unused act": "the activation at the joint is missing: cat, bn, act, then cv4.",
        "silu": "the activation at the joint is SiLU. This release has LeakyReLU with slope 0.1.",
        "slope": "the slope of your LeakyReLU at the joint is 0.01, PyTorch's default. This release has 0.1.",
    }
    mistakes = [
        Mistake(lambda *arguments, slip=slip: _WrongCSP(slip, *arguments), hint) for slip, hint in hints.items()
    ]
    return judge_module("3.2", module, BottleneckCSP, "yolo_edu's BottleneckCSP", cases=cases, mistakes=mistakes)


def bottleneck_csp_counts(answers: Mapping[str, int | None]) -> dict[str, float]:
    """Exercise 3.3: parameters of the parts of BottleneckCSP(64, 64, 1), which is row 2 of the article's network."""
    with torch.device("meta"):
        block = BottleneckCSP(64, 64, 1)
        squeezed = Bottleneck(32, 32)
    right = {name: _count(part) for name, part in block.named_children() if name != "act"}
    norm = 2 * block.cv1.conv.out_channels  # of one path
    forgot = "You forgot BatchNorm: γ and β, two numbers a channel."
    bare = "This is a bare convolution: no BatchNorm of its own, and no bias."
    flat = sum(m.out_channels * m.in_channels for m in block.m.modules() if isinstance(m, nn.Conv2d)) + 2 * norm
    slips: dict[str, dict[Any, str]] = {
        "cv1": {right["cv1"] - norm: forgot, 2 * right["cv1"]: "cv1 puts out c_out // 2 channels."},
        "cv2": {right["cv2"] + norm: bare, right["cv2"] + norm // 2: bare, 2 * right["cv2"]: "hidden is c_out // 2."},
        "cv3": {
            right["cv3"] + norm: bare,
            right["cv3"] + norm // 2: bare,
            right["cv2"]: "cv3 reads the bottlenecks' output, which has c_out // 2 channels, not x.",
        },
        "cv4": {right["cv4"] - 2 * norm: forgot, right["cv1"]: "cv4 reads both paths: 2 · hidden channels."},
        "bn": {
            right["bn"] // 2: "It spans both paths, and trains two numbers a channel, γ and β.",
            2 * right["bn"]: "The running mean and variance are measured, not trained.",
        },
        "m": {
            right["m"] - 2 * norm: forgot,
            flat: "You forgot the kernel's area: 3 × 3 has nine weights for each pair of channels.",
            _count(squeezed): "Inside this stage the bottleneck keeps its width: expansion 1.0.",
        },
    }
    return judge_counts("3.3", answers, right, slips=slips)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
