"""Exercises of lesson 16: a forecast of the time, how far a row moved; `capstone_channels` has the others."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from yolo_edu.course.checks.capstone_channels import dead_channels, slimming_masks
from yolo_edu.course.checks.compare import Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function

__all__ = ["dead_channels", "relative_change", "slimming_masks", "training_seconds"]

Forecast = Callable[[int, int, Sequence[int], Mapping[int, float], int, float], float]


def _chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- 16.1 -----------------------------------------------------------------------------------------------


def _training_seconds(
    photos: int, batch: int, sizes: Sequence[int], step: Mapping[int, float], every: int, evaluation: float
) -> float:
    steps = math.ceil(photos / batch)
    total = 0.0
    for epoch, size in enumerate(sizes, start=1):
        total += steps * step[size]
        if epoch % every == 0 or epoch == len(sizes):
            total += evaluation
    return total


def _forecast(
    *, floor: bool = False, last: bool = True, once: bool = False, none: bool = False, start: int = 1
) -> Forecast:
    """`_training_seconds` with something overlooked."""

    def wrong(
        photos: int, batch: int, sizes: Sequence[int], step: Mapping[int, float], every: int, evaluation: float
    ) -> float:
        steps = photos // batch if floor else math.ceil(photos / batch)
        total = evaluation if once else 0.0
        for epoch, size in enumerate(sizes, start=start):
            total += steps * step[size]
            end = epoch == len(sizes) + start - 1
            if not none and not once and (epoch % every == 0 or (last and end)):
                total += evaluation
        return total

    return wrong


def _all_at_largest(
    photos: int, batch: int, sizes: Sequence[int], step: Mapping[int, float], every: int, evaluation: float
) -> float:
    return _training_seconds(photos, batch, [max(sizes)] * len(sizes), step, every, evaluation)


def _twice(
    photos: int, batch: int, sizes: Sequence[int], step: Mapping[int, float], every: int, evaluation: float
) -> float:
    """An evaluation for the multiple and another one for the end, where the end is a multiple."""
    right = _training_seconds(photos, batch, sizes, step, every, evaluation)
    return right + (evaluation if len(sizes) % every == 0 else 0.0)


def _photo_steps(
    photos: int, batch: int, sizes: Sequence[int], step: Mapping[int, float], every: int, evaluation: float
) -> float:
    return _training_seconds(photos, 1, sizes, step, every, evaluation)


_TIME = [
    Mistake(
        _forecast(floor=True), "the last batch of an epoch is smaller, but it is a step like the others: round up."
    ),
    Mistake(
        _forecast(last=False),
        "the last epoch is evaluated too, even where it is no multiple of `every`: the end of a run always is.",
    ),
    Mistake(_twice, "the last epoch is evaluated once, also where it is a multiple of `every`."),
    Mistake(_forecast(none=True), "you forgot the evaluations. They take time, too."),
    Mistake(_forecast(once=True), "there is an evaluation every `every` epochs, not one in the whole run."),
    Mistake(_forecast(start=0), "count the epochs from 1 here: the first evaluation follows epoch `every`."),
    Mistake(_all_at_largest, "small photos are quick: each epoch has a size of its own, `step[size]` belongs to it."),
    Mistake(_photo_steps, "a step works on a whole batch: photos / batch steps, rounded up."),
]


def _case_of_a_run(seed: int) -> tuple[int, int, list[int], dict[int, float], int, float]:
    chance = _chance(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=chance))

    photos, batch, epochs, every = draw(20, 300), draw(2, 16), draw(5, 30), draw(2, 4)
    photos += photos % batch == 0  # the last batch is never full
    small = draw(1, epochs - 1)
    return photos, batch, [96] * small + [128] * (epochs - small), {96: 0.2, 128: 0.5}, every, 1.5


def training_seconds(function: Forecast) -> Forecast:
    """Exercise 16.1: photos, batch, size of every epoch, seconds of a step by size, every, evaluation → seconds."""
    return judge_function(
        "16.1",
        function,
        _training_seconds,
        "yolo_edu's own forecast",
        cases=[_case_of_a_run(seed) for seed in range(ROUNDS)],
        mistakes=_TIME,
        describe=lambda photos, batch, sizes, step, every, evaluation: (
            f"{photos} photos, batches of {batch}, {len(sizes)} epochs, an evaluation every {every}"
        ),
    )


# --- 16.2 -----------------------------------------------------------------------------------------------


def _relative_change(before: Tensor, after: Tensor) -> float:
    start = before.norm().item()
    return (after - before).norm().item() / start if start else math.inf


def _or_inf(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], float]:
    return lambda before, after: change(before, after).item() if before.norm() else math.inf


_CHANGE = [
    Mistake(
        _or_inf(lambda b, a: (a.norm() - b.norm()).abs() / b.norm()),
        "you compare the lengths. A row that has turned may be as long as before: take the norm of the difference.",
    ),
    Mistake(
        _or_inf(lambda b, a: (a.norm() - b.norm()) / b.norm()),
        "you compare the lengths. A row that has turned may be as long as before: take the norm of the difference.",
    ),
    Mistake(_or_inf(lambda b, a: (a - b).norm() / a.norm()), "divide by the norm of the start, not of the end."),
    Mistake(_or_inf(lambda b, a: (a - b).norm()), "divide by the norm of the start: the change is to be relative."),
    Mistake(
        _or_inf(lambda b, a: ((a - b).norm() / b.norm()) ** 2), "these are squares: a norm has a root over the sum."
    ),
    Mistake(
        _or_inf(lambda b, a: ((a - b) / b).abs().mean()),
        "you average the change of each number. A number near 0 then counts for the whole row; take norms first, then "
        "divide.",
    ),
    Mistake(
        _or_inf(lambda b, a: (a - b).abs().sum() / b.abs().sum()),
        "you add up absolute values. The norm is the root of the sum of squares: `.norm()`.",
    ),
    Mistake(
        lambda b, a: (a - b).norm().item() / b.norm().item(),
        "a row that started at zero has no relative change, and plain numbers cannot be divided by zero: return "
        "`math.inf` there.",
    ),
    Mistake(
        lambda b, a: (a - b).norm().item() / b.norm().item() if b.norm() else 0.0,
        "a row that started at zero and moved did not stay the same: return `math.inf` there.",
    ),
]


def _case_of_a_row(seed: int) -> tuple[Tensor, Tensor]:
    chance = _chance(seed)
    shape = [(4, 3, 3, 3), (6, 2, 1, 1), (5,), (7,)][seed % 4]
    before = torch.randn(shape, generator=chance)
    if seed % 4 == 3:
        before = torch.zeros(shape)  # a β
    return before, before + 0.3 * torch.randn(shape, generator=chance)


def relative_change(function: Callable[[Tensor, Tensor], float]) -> Callable[[Tensor, Tensor], float]:
    """Exercise 16.2: a parameter before and after → ‖after − before‖ / ‖before‖, infinite where `before` is zero."""

    def still(own: Callable[[Tensor, Tensor], float]) -> str | None:
        value = own(torch.zeros(3), torch.zeros(3))
        if value == math.inf:
            return None
        return (
            f"right, but for a row that started at zero and stayed there you returned {float(value):g}. It has no "
            "relative change either: return `math.inf` there, also where it stayed at zero."
        )

    return judge_function(
        "16.2",
        function,
        _relative_change,
        "yolo_edu's own change",
        cases=[_case_of_a_row(seed) for seed in range(ROUNDS)],
        mistakes=_CHANGE,
        describe=lambda before, after: (
            f"a row of shape {tuple(before.shape)}" + ("" if before.any() else " that started at zero")
        ),
        also=still,
    )
