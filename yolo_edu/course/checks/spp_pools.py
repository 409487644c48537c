"""Exercises of lesson 05: the parameters of SPP, and chained max-pools."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.counts import count_parameters
from yolo_edu.course.checks.functions import judge_function
from yolo_edu.model.blocks import SPP


def spp_counts(answers: Mapping[str, int | None]) -> dict[str, float]:
    """Exercise 5.2: the parameters of cv1, cv2 and the pools "m" of SPP(512, 512)."""
    compares = "A max-pool compares. There is no weight in its window that could be trained."
    words = {
        512 * 512 + 2 * 512: "That is a 1 × 1 Conv from 512 to 512: cv1 ends with 256 channels, cv2 reads 4 · 256.",
        # cv1 with the norm of cv2, or with running statistics; cv2 without the concatenation
        256 * 512 + 2 * 512: "cv1 has γ and β for the 256 channels that leave it; cv2 reads 4 · 256 channels.",
        3 * 256 * 512 + 2 * 512: "Four tensors reach cv2: the unpooled one counts too.",
        5 * 5 + 9 * 9 + 13 * 13: compares,
        256 * (5 * 5 + 9 * 9 + 13 * 13): compares,
    }
    return count_parameters("5.2", answers, SPP(512, 512), words=words)


def _pool(x: Tensor, kernel: int) -> Tensor:
    return F.max_pool2d(x, kernel, 1, kernel // 2)


def _chained(x: Tensor, kernel: int = 5, times: int = 3) -> list[Tensor]:
    """x and its pools, each of the one before: `times` + 1 tensors of x's shape."""
    maps = [x]
    for _ in range(times):
        maps.append(_pool(maps[-1], kernel))
    return maps


def chained_pools(function: Function) -> Function:
    """Exercise 5.3: x (B, C, H, W), kernel, times → (B, (1 + times) · C, H, W)."""
    generator = torch.Generator().manual_seed(5)

    def features(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) - 1  # mostly negative: a padding with zeros must show

    cases: list[tuple[Any, ...]] = [
        (features(2, 3, 20, 20), 5, 3),
        (features(1, 2, 20, 20), 5, 3),
        (features(1, 4, 9, 14), 3, 2),
        (features(2, 1, 7, 5), 7, 1),
        (features(1, 2, 16, 16), 3, 4),
        (features(1, 1, 2, 3), 5, 3),
    ]

    def joined(maps: Callable[[Tensor, int, int], Sequence[Tensor]]) -> Function:
        return lambda x, kernel=5, times=3: torch.cat(list(maps(x, kernel, times)), dim=1)

    def chain(pool: Callable[[Tensor, int], Tensor]) -> Function:
        def build(x: Tensor, kernel: int, times: int) -> list[Tensor]:
            maps = [x]
            for _ in range(times):
                maps.append(pool(maps[-1], kernel))
            return maps

        return joined(build)

    mistakes = [
        Mistake(
            joined(lambda x, k, n: [x, *[_pool(x, k)] * n]),
            "every one of your pools reads x, so all of them are equal. Each must read the one before it.",
        ),
        Mistake(
            joined(lambda x, k, n: _chained(x, k, n)[1:]),
            "the pools are right, but x itself is missing: it stands first.",
        ),
        Mistake(
            joined(lambda x, k, n: _chained(x, k, n)[::-1]),
            "the order is reversed: x first, the most pooled one last.",
        ),
        Mistake(
            joined(lambda x, k, n: [*_chained(x, k, n)[1:], x]),
            "x stands last. It comes first, then the pools.",
        ),
        Mistake(
            lambda x, kernel=5, times=3: _chained(x, kernel, times)[-1],
            "you return only the last pool. All of them are wanted, side by side on channels.",
        ),
        Mistake(
            lambda x, kernel=5, times=3: _chained(x, kernel, times),
            "you return a list. Put its tensors side by side on channels: torch.cat(…, dim=1).",
        ),
        Mistake(
            lambda x, kernel=5, times=3: torch.stack(_chained(x, kernel, times), dim=1),
            "torch.stack makes a new axis. Side by side on an axis that is there: torch.cat.",
        ),
        Mistake(
            lambda x, kernel=5, times=3: torch.cat(_chained(x, kernel, times)),
            "without dim=1 the tensors stand behind each other as further images. Channels are axis 1.",
        ),
        Mistake(
            joined(lambda x, k, n: _chained(x, 5, n)),
            "your windows are always 5 wide. Is `kernel` used, for the window and for the padding?",
        ),
        Mistake(joined(lambda x, k, n: _chained(x, k, 3)), "you always chain three pools. Is `times` used?"),
        Mistake(joined(lambda x, k, n: _chained(x, 5, 3)), "always three pools of 5. Are `kernel` and `times` used?"),
        Mistake(
            joined(lambda x, k, n: _chained(x, k, n + 1)),
            "one pool too many: `times` pools beside x.",
        ),
        Mistake(
            chain(lambda x, k: F.max_pool2d(x, k, padding=k // 2)),
            "the grid shrinks: a max-pool that is given no stride steps by its kernel. Say stride=1.",
        ),
        Mistake(
            chain(lambda x, k: F.max_pool2d(x, k, 1)),
            "the grid shrinks by kernel − 1 cells: padding kernel // 2 keeps it.",
        ),
        Mistake(
            chain(lambda x, k: F.max_pool2d(F.pad(x, [k // 2] * 4), k, 1)),
            "right in the middle, wrong at the border: a padding with zeros beats negative values. Use the pool's own.",
        ),
        Mistake(
            chain(lambda x, k: F.avg_pool2d(x, k, 1, k // 2)),
            "these are averages; max-pools are wanted.",
        ),
    ]
    return judge_function(
        "5.3",
        function,
        lambda x, kernel=5, times=3: torch.cat(_chained(x, kernel, times), dim=1),
        "yolo_edu's chained pools",
        cases=cases,
        mistakes=mistakes,
        describe=lambda x, kernel, times: f"an input of shape {tuple(x.shape)}, kernel {kernel} and {times} pools",
        gradient=True,
    )
