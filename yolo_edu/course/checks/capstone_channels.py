"""Exercises of lesson 16 about channels: which ones are dead, and which ones network slimming would take away."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from yolo_edu.course.checks.compare import Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function

__all__ = ["dead_channels", "slimming_masks"]


def _chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- 16.3 -----------------------------------------------------------------------------------------------


def _dead_channels(batches: Sequence[Tensor], threshold: float) -> Tensor:
    low = torch.stack([maps.amin(dim=(0, 2, 3)) for maps in batches]).amin(dim=0)
    high = torch.stack([maps.amax(dim=(0, 2, 3)) for maps in batches]).amax(dim=0)
    return high - low <= threshold


def _span(maps: Tensor) -> Tensor:
    return maps.amax(dim=(0, 2, 3)) - maps.amin(dim=(0, 2, 3))


_DEAD = [
    Mistake(lambda b, t: ~_dead_channels(b, t), "it is the other way round: True for a channel that does *not* vary."),
    Mistake(
        lambda b, t: torch.stack([_span(maps) <= t for maps in b]).all(dim=0),
        "you look at each batch for itself. A channel can be constant within every batch and yet differ from one to "
        "the next: take the lowest and highest value over *all* batches.",
    ),
    Mistake(
        lambda b, t: torch.stack([_span(maps) <= t for maps in b]).any(dim=0),
        "one quiet batch makes no dead channel: take the lowest and highest value over *all* batches.",
    ),
    Mistake(lambda b, t: _span(b[-1]) <= t, "you look at one batch only; every batch counts."),
    Mistake(lambda b, t: _span(b[0]) <= t, "you look at one batch only; every batch counts."),
    Mistake(
        lambda b, t: torch.cat(list(b)).abs().amax(dim=(0, 2, 3)) <= t,
        "you ask whether the channel is small. A channel that says −0.28 everywhere is as dead as one that says 0, "
        "because the next convolution can have both as a constant: ask how far it varies.",
    ),
    Mistake(
        lambda b, t: torch.cat(list(b)).amax(dim=(0, 2, 3)) <= t,
        "you ask whether the channel is ever high. After SiLU a living channel may lie below zero: ask how far it "
        "varies.",
    ),
    Mistake(
        lambda b, t: torch.cat(list(b)).std(dim=(0, 2, 3)) <= t,
        "you compare the standard deviation. A channel that wakes up in one cell of a thousand has a small one, and "
        "that cell may be the object: highest minus lowest value.",
    ),
    Mistake(
        lambda b, t: (
            torch.cat(list(b)).mean(dim=(2, 3)).amax(dim=0) - torch.cat(list(b)).mean(dim=(2, 3)).amin(dim=0) <= t
        ),
        "you average over the places of a photo first. What varies inside a photo is lost then.",
    ),
]


def _case_of_maps(seed: int) -> tuple[list[Tensor], float]:
    """Channels of every kind: alive, small, constant, constant by batch, awake in one cell."""
    chance = _chance(seed)
    batches = [torch.randn(2, 7, 5, 5, generator=chance) for _ in range(3)]
    for number, maps in enumerate(batches):
        maps[:, 1] = -0.28 + 1e-3 * maps[:, 1]
        maps[:, 2] = 1e-3 * maps[:, 2]
        maps[:, 3] = 1.0 * (number - 1)  # constant in each batch
        maps[:, 4] = -0.2 + 1e-3 * maps[:, 4]
        if number != 1:
            maps[:, 5] = 0.1
        maps[:, 6] = -0.15 - 0.1 * torch.rand(maps[:, 6].shape, generator=chance)
    batches[0][0, 4, 1, 1] = -0.1  # one cell of all
    order = torch.randperm(7, generator=chance)
    return [maps[:, order] for maps in batches], 0.02


def dead_channels(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Exercise 16.3: batches of maps (B, C, h, w), threshold → (C,) bool, True where nothing varies by more."""
    return judge_function(
        "16.3",
        function,
        _dead_channels,
        "yolo_edu's own search",
        cases=[_case_of_maps(seed) for seed in range(ROUNDS)],
        mistakes=_DEAD,
        describe=lambda batches, threshold: (
            f"{len(batches)} batches of shape {tuple(batches[0].shape)} and the threshold {threshold}"
        ),
    )


# --- 16.4 -----------------------------------------------------------------------------------------------


def _slimming_masks(gammas: Sequence[Tensor], share: float) -> list[Tensor]:
    sizes = [len(gamma) for gamma in gammas]
    size = torch.cat([gamma.abs() for gamma in gammas])
    keep = torch.ones(len(size), dtype=torch.bool)
    keep[size.argsort()[: int(share * len(size))]] = False
    return list(keep.split(sizes))


def _by_layer(gammas: Sequence[Tensor], share: float) -> list[Tensor]:
    return [_slimming_masks([gamma], share)[0] for gamma in gammas]


def _by_value(gammas: Sequence[Tensor], share: float) -> list[Tensor]:
    order = torch.cat(list(gammas)).argsort()
    keep = torch.ones(len(order), dtype=torch.bool)
    keep[order[: int(share * len(order))]] = False
    return list(keep.split([len(gamma) for gamma in gammas]))


def _without_largest(gammas: Sequence[Tensor], share: float) -> list[Tensor]:
    order = torch.cat([gamma.abs() for gamma in gammas]).argsort(descending=True)
    keep = torch.ones(len(order), dtype=torch.bool)
    keep[order[: int(share * len(order))]] = False
    return list(keep.split([len(gamma) for gamma in gammas]))


_SLIM = [
    Mistake(lambda g, s: [~mask for mask in _slimming_masks(g, s)], "the masks are inverted: True is what stays."),
    Mistake(
        _by_layer,
        "you take the share out of every layer. Network slimming puts all layers in one order, so that a layer full of "
        "small γ loses more than others.",
    ),
    Mistake(
        _by_value,
        "you order γ with its sign. A γ of −1 scales as strongly as one of 1: order by the absolute value.",
    ),
    Mistake(
        _without_largest,
        "you take away the *largest* |γ|. The smallest are the candidates.",
    ),
    Mistake(
        lambda g, s: torch.cat(_slimming_masks(g, s)),
        "one mask a layer is expected, as a list: split the long one at the sizes of the layers.",
    ),
    Mistake(
        lambda g, s: [x.abs() >= s * torch.cat([y.abs() for y in g]).max() for x in g],
        "`share` is a share of the channels, not of the largest γ.",
    ),
    Mistake(
        lambda g, s: [x.abs() >= s for x in g],
        "`share` is a share of the channels, not a threshold for |γ|.",
    ),
]


def _case_of_gammas(seed: int) -> tuple[list[Tensor], float]:
    chance = _chance(seed)
    gammas = [(1 + layer) * torch.randn(count, generator=chance) for layer, count in enumerate((7, 12, 5))]
    return gammas, (0.1, 0.25, 0.3, 0.6)[seed % 4]


def slimming_masks(function: Callable[..., Sequence[Tensor]]) -> Callable[..., Sequence[Tensor]]:
    """Exercise 16.4: γ of every layer, a share → a bool mask a layer, False for that share of the smallest |γ|."""
    return judge_function(
        "16.4",
        function,
        _slimming_masks,
        "yolo_edu's own masks",
        cases=[_case_of_gammas(seed) for seed in range(ROUNDS)],
        mistakes=_SLIM,
        describe=lambda gammas, share: f"layers of {', '.join(str(len(x)) for x in gammas)} channels, share {share}",
    )
