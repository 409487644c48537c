"""Exercises of lesson 13: one step of SGD, one step of the average; `training_groups` has the third."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from yolo_edu.course.checks.compare import Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function
from yolo_edu.course.checks.training_groups import parameter_groups

__all__ = ["ema_update", "nesterov_step", "parameter_groups"]

Step = Callable[[Tensor, Tensor, Tensor, float, float, float], tuple[Tensor, Tensor]]
State = Mapping[str, Tensor]
Update = Callable[[State, State, int, float, float], State]


# --- 13.1 -----------------------------------------------------------------------------------------------


def _nesterov_step(
    p: Tensor, grad: Tensor, buffer: Tensor, lr: float, momentum: float, decay: float
) -> tuple[Tensor, Tensor]:
    direction = grad + decay * p
    buffer = momentum * buffer + direction
    return p - lr * (direction + momentum * buffer), buffer


def nesterov_step(function: Step) -> Step:
    """Exercise 13.1: p, grad, buffer of one shape, lr, momentum, decay → new p, new buffer."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        shape = (3,) if index % 2 else (2, 3)
        p, grad, buffer = (torch.randn(shape, generator=generator) for _ in range(3))
        lr, momentum, decay = (0.05, 0.5, 0.05) + torch.rand(3, generator=generator).double().numpy() * (0.2, 0.4, 0.2)
        cases.append((p, grad, buffer, round(float(lr), 3), round(float(momentum), 3), round(float(decay), 3)))

    def late_decay(p: Tensor, g: Tensor, b: Tensor, lr: float, m: float, d: float) -> tuple[Tensor, Tensor]:
        new = m * b + g
        return p - lr * (g + m * new + d * p), new

    def dampened(p: Tensor, g: Tensor, b: Tensor, lr: float, m: float, d: float) -> tuple[Tensor, Tensor]:
        direction = g + d * p
        new = m * b + (1 - m) * direction
        return p - lr * (direction + m * new), new

    def average(p: Tensor, g: Tensor, b: Tensor, lr: float, m: float, d: float) -> tuple[Tensor, Tensor]:
        new = m * b + (1 - m) * (g + d * p)
        return p - lr * new, new

    def classical(p: Tensor, g: Tensor, b: Tensor, lr: float, m: float, d: float) -> tuple[Tensor, Tensor]:
        new = m * b + g + d * p
        return p - lr * new, new

    def twice(p: Tensor, g: Tensor, b: Tensor, lr: float, m: float, d: float) -> tuple[Tensor, Tensor]:
        new = m * b + g + d * p
        return p - lr * (new + m * new), new

    def rate_inside(p: Tensor, g: Tensor, b: Tensor, lr: float, m: float, d: float) -> tuple[Tensor, Tensor]:
        direction = lr * (g + d * p)
        new = m * b + direction
        return p - (direction + m * new), new

    def right(p: Tensor, g: Tensor, b: Tensor, lr: float, m: float, d: float) -> tuple[Tensor, Tensor]:
        return _nesterov_step(p, g, b, lr, m, d)

    mistakes = [
        Mistake(
            late_decay,
            "the weight decay comes after the momentum, so the buffer knows nothing of it. In SGD it is part of the "
            "gradient: add decay · p to grad first. (Outside of the buffer is where AdamW puts it.)",
        ),
        Mistake(
            classical,
            "this is classical momentum. Nesterov looks one step further: the step is the direction plus momentum "
            "times the NEW buffer.",
        ),
        Mistake(
            dampened, "you multiply the new direction by 1 − momentum (dampening). Here it enters the buffer whole."
        ),
        Mistake(
            average,
            "you average the gradients, (1 − momentum) times the new one. SGD's buffer is a sum: the new direction "
            "enters whole. And Nesterov's step is the direction plus momentum times the new buffer.",
        ),
        Mistake(twice, "you step along buffer + momentum · buffer. Nesterov: direction + momentum · buffer."),
        Mistake(
            rate_inside, "the learning rate is inside the buffer. Here it multiplies the whole step at the very end."
        ),
        Mistake(
            lambda p, g, b, lr, m, d: right(p, g, b, -lr, m, d),
            "the sign: a step goes against the direction, p − lr · …",
        ),
        Mistake(
            lambda p, g, b, lr, m, d: right(p, g, b, lr, m, -d),
            "the sign of the weight decay: it is added to the gradient.",
        ),
        Mistake(lambda p, g, b, lr, m, d: right(p, g, b, lr, m, 0.0), "you forgot the weight decay: grad + decay · p."),
        Mistake(lambda p, g, b, lr, m, d: right(p, g, b, 1.0, m, d), "you forgot the learning rate."),
        Mistake(
            lambda p, g, b, lr, m, d: (right(p, g, b, lr, m, d)[0], b),
            "the step is right, but you return the old buffer: the next step would have no memory.",
        ),
        Mistake(
            lambda p, g, b, lr, m, d: right(p, g, b, lr, m, d)[::-1],
            "both are right, in the wrong order: p, then buffer.",
        ),
        Mistake(
            lambda p, g, b, lr, m, d: right(p, g, b, lr, m, d)[0],
            "the step is right. Return the new buffer too: p, buffer.",
        ),
    ]
    return judge_function(
        "13.1",
        function,
        _nesterov_step,
        "yolo_edu's own step",
        cases=cases,
        mistakes=mistakes,
        describe=lambda p, g, b, lr, m, d: f"{p.numel()} weights, lr {lr}, momentum {m}, decay {d}",
    )


# --- 13.2 -----------------------------------------------------------------------------------------------

NAMES = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked")
BUFFERS = NAMES[3:]


def _share(updates: int, decay: float, ramp: float) -> float:
    return decay * (1 - math.exp(-updates / ramp))


def _mixed(average: State, weights: State, keep: float) -> dict[str, Tensor]:
    return {
        name: keep * old + (1 - keep) * weights[name] if old.is_floating_point() else old
        for name, old in average.items()
    }


def _ema_update(
    average: State, weights: State, updates: int, decay: float = 0.9999, ramp: float = 2000.0
) -> dict[str, Tensor]:
    return _mixed(average, weights, _share(updates, decay, ramp))


def _without_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """Takes and returns lists of tensors in the order of `NAMES`, where `function` takes and returns states."""

    def listed(average: Sequence[Tensor], weights: Sequence[Tensor], updates: int, decay: float, ramp: float) -> Any:
        answer = function(
            dict(zip(NAMES, average, strict=True)), dict(zip(NAMES, weights, strict=True)), updates, decay, ramp
        )
        if not isinstance(answer, Mapping):
            return answer
        return [torch.atleast_1d(torch.as_tensor(answer[name])) for name in NAMES if name in answer]

    return listed


def ema_update(function: Update) -> Update:
    """Exercise 13.2: average, weights (name → tensor), number of the update from 1, decay, ramp → new average."""
    generator = torch.Generator().manual_seed(0)

    def state(counter: int) -> list[Tensor]:
        tensors = [torch.randn(shape, generator=generator) for shape in ((2, 3), (2,), (2,), (2,), (2,))]
        return [*tensors, torch.tensor([counter])]

    cases = []
    for index in range(ROUNDS):
        updates = 1 + 3 * index
        cases.append((state(0), state(updates), updates, (0.9, 0.995)[index % 2], (5.0, 40.0)[index // 2 % 2]))

    def variant(keep: Callable[[int, float, float], float]) -> Callable[..., Any]:
        return _without_names(lambda a, w, u, d, r: _mixed(a, w, keep(u, d, r)))

    def everything(a: State, w: State, u: int, d: float, r: float) -> dict[str, Tensor]:
        keep = _share(u, d, r)
        return {name: keep * a[name] + (1 - keep) * w[name] for name in a}

    def some(rest: Callable[[str, State, State], Tensor]) -> Callable[..., Any]:
        """Averages the parameters only; `rest` says what becomes of a buffer."""

        def update(a: State, w: State, u: int, d: float, r: float) -> dict[str, Tensor]:
            return {n: rest(n, a, w) if n in BUFFERS else x for n, x in _ema_update(a, w, u, d, r).items()}

        return _without_names(update)

    def parameters_only(a: State, w: State, u: int, d: float, r: float) -> dict[str, Tensor]:
        return {n: x for n, x in _ema_update(a, w, u, d, r).items() if n not in BUFFERS}

    def floats_only(a: State, w: State, u: int, d: float, r: float) -> dict[str, Tensor]:
        return {n: x for n, x in _ema_update(a, w, u, d, r).items() if x.is_floating_point()}

    def counters_taken(a: State, w: State, u: int, d: float, r: float) -> dict[str, Tensor]:
        return {n: x if x.is_floating_point() else w[n] for n, x in _ema_update(a, w, u, d, r).items()}

    forgotten = (
        "you average the parameters and forget the buffers. BatchNorm's running mean and variance belong to the "
        "weights that they were measured with: average every floating tensor of the state."
    )
    mistakes = [
        Mistake(
            variant(lambda u, d, r: 1 - _share(u, d, r)),
            "the two shares are swapped: d is the share of the old average, 1 − d that of the new weights.",
        ),
        Mistake(
            variant(lambda u, d, r: d),
            "the decay is the same at every update: you forgot the ramp, decay · (1 − exp(−updates / ramp)). Without "
            "it the random start stays in the average for as long as anything.",
        ),
        Mistake(
            variant(lambda u, d, r: 1 - math.exp(-u / r)), "the ramp is right, but it must lead to `decay`: multiply."
        ),
        Mistake(
            variant(lambda u, d, r: d * math.exp(-u / r)),
            "your ramp falls. The decay must grow from 0 to `decay`: 1 − exp(−updates / ramp).",
        ),
        Mistake(
            variant(lambda u, d, r: _share(u - 1, d, r)),
            "the ramp is one update late: `updates` is the number of this update and starts at 1.",
        ),
        Mistake(some(lambda n, a, w: a[n]), forgotten),
        Mistake(some(lambda n, a, w: w[n]), forgotten),
        Mistake(_without_names(parameters_only), forgotten),
        Mistake(
            _without_names(everything),
            "you average the counter `num_batches_tracked` too. Whole numbers stay as the average has them.",
        ),
        Mistake(
            _without_names(counters_taken),
            "the counter `num_batches_tracked` comes from the weights. Whole numbers stay as the average has them, as "
            "in release 7.0.",
        ),
        Mistake(_without_names(floats_only), "the whole numbers are missing: keep them as the average has them."),
    ]
    listed = _without_names(function)
    chosen = judge_function(
        "13.2",
        listed,
        _without_names(_ema_update),
        "yolo_edu's own average",
        cases=cases,
        mistakes=mistakes,
        describe=lambda a, w, u, d, r: f"update {u} with decay {d} and ramp {r:g}",
    )
    return function if chosen is listed else _ema_update
