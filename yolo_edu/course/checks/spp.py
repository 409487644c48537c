"""Exercises of lesson 05: the SPP block; `spp_pools` has its numbers and its pools chained."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo_edu.course.checks.compare import Mistake
from yolo_edu.course.checks.modules import Builder, ModuleCase, judge_module
from yolo_edu.course.checks.spp_pools import chained_pools, spp_counts
from yolo_edu.model.blocks import SPP, Conv

__all__ = ["chained_pools", "spp_block", "spp_counts"]

Join = Callable[["WrongSPP", Tensor], Sequence[Tensor]]


class WrongSPP(nn.Module):
    """An SPP block with one thing wrong: how the tensors for cv2 come about, or how wide the convolutions are."""

    def __init__(
        self,
        join: Join,
        c_in: int,
        c_out: int,
        kernels: Sequence[int],
        *,
        hidden: int | None = None,
        reads: int | None = None,
        conv: Builder = Conv,
    ) -> None:
        super().__init__()
        hidden = c_in // 2 if hidden is None else hidden
        self.cv1 = conv(c_in, hidden, 1)
        self.cv2 = conv(hidden * (len(kernels) + 1) if reads is None else reads, c_out, 1)
        self.join, self.kernels = join, tuple(kernels)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv2(torch.cat(list(self.join(self, x)), dim=1))


def _pool(x: Tensor, kernel: int) -> Tensor:
    return F.max_pool2d(x, kernel, 1, kernel // 2)


def _right(block: WrongSPP, x: Tensor) -> list[Tensor]:
    y = block.cv1(x)
    return [y, *(_pool(y, k) for k in block.kernels)]


def _without_identity(block: WrongSPP, x: Tensor) -> list[Tensor]:
    return _right(block, x)[1:]


def _of_x_then_cv1(block: WrongSPP, x: Tensor) -> list[Tensor]:
    return [block.cv1(x), *(block.cv1(_pool(x, k)) for k in block.kernels)]


def _chained(block: WrongSPP, x: Tensor) -> list[Tensor]:
    maps = [block.cv1(x)]
    for k in block.kernels:
        maps.append(_pool(maps[-1], k))
    return maps


def _zero_padded(block: WrongSPP, x: Tensor) -> list[Tensor]:
    y = block.cv1(x)
    return [y, *(F.max_pool2d(F.pad(y, [k // 2] * 4), k, 1) for k in block.kernels)]


def _averaged(block: WrongSPP, x: Tensor) -> list[Tensor]:
    y = block.cv1(x)
    return [y, *(F.avg_pool2d(y, k, 1, k // 2) for k in block.kernels)]


def _default_stride(block: WrongSPP, x: Tensor) -> list[Tensor]:
    y = block.cv1(x)
    return [y, *(F.max_pool2d(y, k, padding=k // 2) for k in block.kernels)]


def _pooled_input(block: WrongSPP, x: Tensor) -> list[Tensor]:
    return [block.cv1(x), *(_pool(x, k) for k in block.kernels)]


class _Unmixed(WrongSPP):
    """Ends with the concatenation: cv2 is made and not used."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(_right(self, x), dim=1)


def _plain(c_in: int, c_out: int, kernel: int) -> nn.Module:
    return nn.Conv2d(c_in, c_out, kernel)


def _wide(c_in: int, c_out: int, _kernel: int) -> nn.Module:
    return Conv(c_in, c_out, 3)


def spp_block(module: type[nn.Module]) -> Builder:
    """Exercise 5.1: a class built as (c_in, c_out, kernels=(5, 9, 13)), with parameters in cv1 and cv2."""

    def wrong(join: Join, **options: Any) -> Builder:
        return lambda c_in, c_out, kernels=(5, 9, 13): WrongSPP(join, c_in, c_out, kernels, **options)

    def sized(join: Join, hidden: Callable[[int, int], int], reads: Callable[[int, int, int], int]) -> Builder:
        """`hidden` from c_in, c_out; `reads` (channels into cv2) from c_in, hidden and the number of pools."""

        def build(c_in: int, c_out: int, kernels: Sequence[int] = (5, 9, 13)) -> nn.Module:
            h = hidden(c_in, c_out)
            return WrongSPP(join, c_in, c_out, kernels, hidden=h, reads=reads(c_in, h, len(kernels)))

        return build

    def half(c_in: int, _c_out: int) -> int:
        return c_in // 2

    def all_four(_c_in: int, hidden: int, pools: int) -> int:
        return hidden * (pools + 1)

    enters = "What enters the pools? In the figure it is the output of cv1, not the block's input x."
    mistakes = [
        Mistake(
            wrong(_default_stride),
            "the four tensors do not fit together. All need the same height and width: a pool keeps them at stride 1 "
            "with padding kernel // 2, and a MaxPool2d that is given no stride steps by its kernel. And they stand "
            "side by side on channels, dim=1.",
        ),
        Mistake(wrong(_of_x_then_cv1), f"shape right, but your pools come before cv1. {enters}"),
        Mistake(
            wrong(lambda b, x: [_right(b, x)[0], *_right(b, x)[:0:-1]]),
            "the pools stand in the reverse order. Keep input, 5, 9, 13: every weight of cv2 belongs to one place.",
        ),
        Mistake(
            wrong(lambda b, x: [*_right(b, x)[1:], _right(b, x)[0]]),
            "the unpooled tensor stands last. It comes first, then 5, 9, 13: every weight of cv2 belongs to one place.",
        ),
        Mistake(
            wrong(lambda b, x: _right(b, x)[::-1]),
            "the order is 13, 9, 5, input. Keep input, 5, 9, 13: every weight of cv2 belongs to one place.",
        ),
        Mistake(
            wrong(_chained),
            "each of your pools reads the one before it, so their windows add up. Here all three read cv1's output.",
        ),
        Mistake(
            wrong(_zero_padded),
            "right in the middle, wrong at the border: you padded with zeros, and a zero beats every negative value. "
            "MaxPool2d's own padding never wins.",
        ),
        Mistake(wrong(_averaged), "these are averages. Max-pools pass on the strongest response: nn.MaxPool2d."),
        Mistake(
            lambda c_in, c_out, kernels=(5, 9, 13): _Unmixed(_right, c_in, c_out, kernels),
            "you return the concatenation. cv2 has to mix it.",
        ),
        Mistake(
            sized(_without_identity, half, lambda c_in, h, pools: h * pools),
            "cv2 reads the three pools only. Beside them stands cv1's output as it is, so count one tensor more.",
        ),
        Mistake(sized(_pooled_input, half, lambda c_in, h, pools: h + c_in * pools), f"your cv2 is too wide. {enters}"),
        Mistake(
            sized(_right, half, lambda c_in, h, pools: c_in + h * pools),
            "your cv2 expects x itself beside the pools. It is cv1's output that stands there.",
        ),
        Mistake(
            sized(_right, half, lambda c_in, h, pools: 4 * h),
            "your cv2 always reads four tensors. It is one more than there are kernels, and kernels may be others.",
        ),
        Mistake(sized(_right, half, lambda c_in, h, pools: h), "cv2 reads the concatenation: four tensors, not one."),
        Mistake(
            sized(_right, lambda c_in, c_out: c_out // 2, all_four),
            "cv1 halves the channels that come in, c_in // 2; yours takes half of c_out.",
        ),
        Mistake(sized(_right, lambda c_in, c_out: c_in, all_four), "cv1 halves the channels: c_in // 2."),
        Mistake(sized(_right, lambda c_in, c_out: c_out, all_four), "cv1 halves the channels that come in: c_in // 2."),
        Mistake(
            wrong(_right, conv=_plain),
            "cv1 and cv2 are the course's Conv (convolution, BatchNorm, activation), not nn.Conv2d.",
        ),
        Mistake(
            wrong(_right, conv=_wide), "cv1 and cv2 are 1 × 1: they mix channels and leave looking around to pools."
        ),
    ]
    return judge_module(
        "5.1",
        module,
        SPP,
        "yolo_edu's SPP",
        cases=[
            ModuleCase((8, 16), ((2, 8, 20, 20),)),
            ModuleCase((6, 4), ((1, 6, 9, 14),)),
            ModuleCase((10, 12, (3, 7)), ((3, 10, 5, 8),)),
            ModuleCase((4, 4), ((2, 4, 3, 2),)),  # a map that is smaller than every window
        ],
        mistakes=mistakes,
    )
