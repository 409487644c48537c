"""YOLOv5 (release 7.0) with one part taken out or exchanged.

Each network first is the whole one, so with the same random numbers everything that stays starts from the very same
weights. Arguments, inputs (B, 3, H, W) and outputs are those of `YOLOv5v6`, and the Detect rows are never touched.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from yolo_edu.model import YOLOv5v6
from yolo_edu.model.blocks import C3, Bottleneck, Conv, Focus, leaky_relu, silu

STEP = 8  # channels: every width in the network is a multiple, so a width that is cut should be one too


class NoPan(YOLOv5v6):
    """Without the bottom-up path, rows 18 to 23.

    The head reads what the top-down path has at each level: N3 as ever (row 17), N4 from the C3 on P4 (row 13, in the
    whole network the input of lateral L4), and N5 is the top itself, P5 (row 9). By the design of the table these have
    the channels that the head expects.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.model = nn.ModuleList([*self.model[:18], self.detect])

    def neck(self, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Top-down only; shapes as P3, P4, P5."""
        m = self.model
        n4 = m[13](m[12]([m[11](m[10](p5)), p4]))
        n3 = m[17](m[16]([m[15](m[14](n4)), p3]))
        return n3, n4, p5

    def head(self, n3: Tensor, n4: Tensor, n5: Tensor) -> list[Tensor]:
        """As ever, from another row of the list."""
        return self.detect([n3, n4, n5])


class NoNeck(YOLOv5v6):
    """Without rows 10 to 23: the head reads the backbone's P3, P4, P5 (rows 4, 6, 9), each level on its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.model = nn.ModuleList([*self.model[:10], self.detect])

    def neck(self, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Nothing happens."""
        return p3, p4, p5

    def head(self, n3: Tensor, n4: Tensor, n5: Tensor) -> list[Tensor]:
        """As ever, from another row of the list."""
        return self.detect([n3, n4, n5])


class Leaky(YOLOv5v6):
    """LeakyReLU(0.1), release 1.0's activation, in every Conv instead of SiLU."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for module in self.modules():
            if isinstance(module, Conv):
                module.act = leaky_relu()


class FocusStem(YOLOv5v6):
    """Focus and a 3×3 Conv, release 1.0's stem, instead of the 6×6 one; its weights are the same, sorted otherwise.

    Every step of the optimizer treats each weight alone, so this network learns what the whole one learns, but for
    rounding: `focus_from_stem`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        stem = self.model[0]
        assert isinstance(stem, Conv)
        assert isinstance(stem.bn, nn.BatchNorm2d)
        focus = focus_from_stem(stem)
        self.model[0] = focus
        self._set_batchnorm(stem.bn.eps, stem.bn.momentum)  # type: ignore[arg-type]


def focus_from_stem(stem: Conv) -> Focus:
    """The Focus that gives the same output as this Conv(c_in, c_out, 6, 2, 2), BatchNorm and all.

    Pixel (2i + row, 2j + column) of the 6×6 window is pixel (i, j) of phase (row, column) in a 3×3 one. Focus lays the
    phases side by side on channels, columns outside, rows inside.
    """
    c_out, c_in = stem.conv.weight.shape[:2]
    focus = Focus(c_in, c_out, 3, activation=silu)
    with torch.no_grad():
        split = stem.conv.weight.reshape(c_out, c_in, 3, 2, 3, 2)  # out, in, i, row, j, column
        focus.conv.conv.weight.copy_(split.permute(0, 5, 3, 1, 2, 4).reshape(c_out, 4 * c_in, 3, 3))
    focus.conv.bn.load_state_dict(stem.bn.state_dict())
    return focus


class PlainStage(nn.Sequential):
    """What C3 replaced: the same number of Bottlenecks on all channels, one after another, no second path.

    (B, c_in, H, W) → (B, c_out, H, W). These are Darknet-53's blocks (Redmon, Farhadi 2018, arXiv:1804.02767), what
    the CSP paper starts from.

    Args:
        c_in, c_out, repeats, shortcut: as of C3.
        hidden: channels between a Bottleneck's 1×1 and its 3×3 convolution; c_out // 2 is Darknet's, and the width at
            which C3's own Bottlenecks work.
    """

    def __init__(self, c_in: int, c_out: int, repeats: int, shortcut: bool, hidden: int) -> None:
        inputs = [c_in] + [c_out] * (repeats - 1)
        expansion = (hidden + 0.5) / c_out  # the half: Bottleneck cuts off what is behind the point
        super().__init__(*(Bottleneck(c, c_out, shortcut, expansion, activation=silu) for c in inputs))


class Plain(YOLOv5v6):
    """Every C3 exchanged for a PlainStage at full width; more parameters than the whole network."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        norm = next(module for module in self.modules() if isinstance(module, nn.BatchNorm2d))
        stages = {i: row for i, row in enumerate(self.model) if isinstance(row, C3)}
        for (i, stage), hidden in zip(stages.items(), self.widths(list(stages.values())), strict=True):
            self.model[i] = PlainStage(*_arguments(stage), hidden=hidden)
        self._set_batchnorm(norm.eps, norm.momentum)  # type: ignore[arg-type]

    def widths(self, stages: Sequence[C3]) -> list[int]:
        """Channels inside the Bottlenecks of each stage."""
        return [stage.cv3.conv.out_channels // 2 for stage in stages]


class PlainCut(Plain):
    """Plain, but the Bottlenecks are narrower inside: about as many parameters as the whole network.

    Of all ways to round every stage's width down or up to a multiple of 8, the one whose total is nearest.
    """

    def widths(self, stages: Sequence[C3]) -> list[int]:
        """Channels inside the Bottlenecks of each stage."""
        wanted = sum(map(_count, stages))
        choices = []
        for stage in stages:
            c_in, c_out, repeats, _ = _arguments(stage)
            # a Bottleneck has c_in·h + 9·h·c_out weights and 2·h + 2·c_out numbers of its two BatchNorms
            each_channel = c_in + (repeats - 1) * c_out + repeats * (9 * c_out + 2)
            hidden = (_count(stage) - 2 * repeats * c_out) / each_channel
            below = max(int(hidden) // STEP * STEP, STEP)
            choices.append([(h, h * each_channel + 2 * repeats * c_out) for h in (below, below + STEP)])
        nearest = min(itertools.product(*choices), key=lambda pick: abs(sum(count for _, count in pick) - wanted))
        return [hidden for hidden, _ in nearest]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _arguments(stage: C3) -> tuple[int, int, int, bool]:
    """c_in, c_out, repeats and shortcut that a C3 was made with."""
    chain = stage.m
    assert isinstance(chain, nn.Sequential)
    first = chain[0]
    assert isinstance(first, Bottleneck)
    return stage.cv1.conv.in_channels, stage.cv3.conv.out_channels, len(chain), first.add
