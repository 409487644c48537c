"""Exercises of lesson 11: stable cross-entropy, the objectness target, focal loss."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from yolo_edu.assign import Assignment
from yolo_edu.course.checks.compare import Function, Mistake, copied
from yolo_edu.course.checks.functions import ROUNDS, judge_function
from yolo_edu.loss import binary_loss, objectness_target

__all__ = ["focal_loss", "objectness_map", "stable_bce"]

HUGE = 200.0  # a logit whose exponential and whose 1 − σ leave float32
CLIPPED = 1e-7  # what is usually added to a probability before its logarithm
SUMMED = "you return the sum. Asked for: the mean over all numbers."

Entries = tuple[Tensor, Tensor, Tensor, Tensor]  # image, anchor, row, column, each (E,)


def _pairs(huge: bool) -> list[tuple[Tensor, Tensor]]:
    """Logits and wanted answers: hard and soft ones; with `huge` some logits of ±200."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        shape = (2 + index % 3, 3 + index % 4)
        logits = 3 * torch.randn(shape, generator=generator)
        wanted = torch.rand(shape, generator=generator)
        if index % 2:
            wanted = (wanted > 0.6).float()
        if huge and index % 4 == 2:  # soft answers: what overflows shows as inf, and not now and then as NaN
            logits[0, 0], logits[1, 1] = HUGE, -HUGE
        cases.append((logits, wanted))
    return cases


# --- 11.1 -----------------------------------------------------------------------------------------------


def stable_bce(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Exercise 11.1: logits, wanted in [0, 1], of one shape → their mean binary cross-entropy, a scalar."""

    def by_the_book(x: Tensor, y: Tensor) -> Tensor:
        p = x.sigmoid()
        return -(y * p.log() + (1 - y) * (1 - p).log()).mean()

    def clipped(x: Tensor, y: Tensor) -> Tensor:
        p = x.sigmoid().clamp(CLIPPED, 1 - CLIPPED)
        return -(y * p.log() + (1 - y) * (1 - p).log()).mean()

    def padded(x: Tensor, y: Tensor) -> Tensor:
        p = x.sigmoid()
        return -(y * (p + CLIPPED).log() + (1 - y) * (1 - p + CLIPPED).log()).mean()

    overflow = (
        "right for small logits, but infinite for large ones: a σ that is rounded to 0 or 1 leaves the logarithm of "
        "0, or exp of a large number overflows. Only exp(−|x|) is safe, whatever the sign of x."
    )
    clip = (
        "right for small logits, but large ones are cut off: with an epsilon inside, the loss stops rising at about "
        "16, and there the gradient is 0. The stable formula needs no epsilon."
    )
    mistakes = [
        Mistake(lambda x, y: binary_loss(x.sigmoid(), y), "σ is applied twice: the formula takes the raw logits."),
        Mistake(by_the_book, overflow),
        Mistake(lambda x, y: ((1 + (-x).exp()).log() + x * (1 - y)).mean(), overflow),
        Mistake(lambda x, y: ((1 + x.exp()).log() - x * y).mean(), overflow),
        Mistake(clipped, clip),
        Mistake(padded, clip),
        Mistake(lambda x, y: binary_loss(x, y) * x.numel(), SUMMED),
        Mistake(
            lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="none"),
            "you return one loss a number. Asked for: their mean.",
        ),
        Mistake(
            lambda x, y: binary_loss(x, 1 - y),
            "the targets are swapped: a wanted 1 must pull the logit up. Look at the sign of the term with x · y.",
        ),
        Mistake(lambda x, y: -binary_loss(x, y), "the sign is wrong: a loss is positive here, and 0 at best."),
        Mistake(
            lambda x, y: (x.clamp(min=0) - x * y).mean(),
            "the term log(1 + exp(−|x|)) is missing: without it there is no loss at the right side of 0.",
        ),
        Mistake(
            lambda x, y: (F.softplus(-x) * y).mean(),
            "only the wanted 1s cost something in your code. A wanted 0 costs −log(1 − σ(x)).",
        ),
        Mistake(
            lambda x, y: (x.clamp(min=0) - x * y + x.abs().exp().log1p()).mean(),
            "exp(|x|) grows without bound; the formula has exp(−|x|), which stays between 0 and 1.",
        ),
    ]
    return judge_function(
        "11.1",
        function,
        binary_loss,
        "yolo_edu's own cross-entropy",
        cases=_pairs(huge=True),
        mistakes=mistakes,
        describe=lambda x, y: f"{x.numel()} logits between {x.min():.0f} and {x.max():.0f}",
        gradient=True,
        also=_corner,
    )


def _corner(function: Function) -> str | None:
    """At a logit of exactly 0, where max(x, 0) has a corner, the gradient must be σ(0) − y."""
    x, y = torch.zeros(1, 3, requires_grad=True), torch.tensor([[0.0, 0.5, 1.0]])
    (slope,) = torch.autograd.grad(function(x, y), x)
    hint = (
        "right, except for the gradient at a logit of exactly 0: it must be σ(0) − y = ½ − y. max(x, 0) has a corner "
        "there, and clamp and relu take a slope of 0; torch.maximum(x, torch.zeros_like(x)) takes ½."
    )
    return None if torch.allclose(x.numel() * slope, 0.5 - y) else hint


# --- 11.2 -----------------------------------------------------------------------------------------------


def _objectness_map(shape: tuple[int, int, int, int], entries: Entries, overlap: Tensor) -> Tensor:
    image, anchor, row, column = entries
    unused = torch.zeros_like(image)
    level = Assignment(image, anchor, row, column, unused, overlap.new_zeros(len(image), 4), unused)
    return objectness_target(torch.zeros(shape), level, overlap)


Target = Callable[[tuple[int, int, int, int], Entries, Tensor], Tensor]


def objectness_map(function: Target) -> Target:
    """Exercise 11.2: (B, A, h, w), four (E,) indices, overlap (E,) → the objectness target (B, A, h, w)."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        shape = (1 + index % 3, 2 + index % 2, 3 + index % 2, 4 + index % 3)
        count = 12 + index  # several entries in some cells
        where = tuple(torch.randint(n, (count,), generator=generator) for n in shape)
        where[2].clamp_(max=shape[2] - 1)
        cases.append((shape, where, 2 * torch.rand(count, generator=generator) - 0.7))

    def loop(write: Function) -> Function:
        """A target written entry by entry: write(what stands there, overlap) → what stands there then."""

        def target(shape: tuple[int, ...], entries: Entries, overlap: Tensor) -> Tensor:
            result = torch.zeros(shape)
            for *place, value in zip(*(x.tolist() for x in entries), overlap.tolist(), strict=True):
                result[tuple(place)] = write(result[tuple(place)].item(), value)
            return result

        return target

    def turned(shape: tuple[int, ...], entries: Entries, overlap: Tensor) -> Tensor:
        image, anchor, row, column = entries
        return _objectness_map(shape, (image, anchor, column, row), overlap)  # type: ignore[arg-type]

    def backwards(shape: tuple[int, ...], entries: Entries, overlap: Tensor) -> Tensor:
        return _objectness_map(shape, tuple(x.flip(0) for x in entries), overlap.flip(0))  # type: ignore[arg-type]

    def stops_turned(shape: tuple[int, ...], entries: Entries, overlap: Tensor) -> Tensor:
        image, anchor, row, column = entries
        return torch.zeros(shape).index_put((image, anchor, column, row), overlap)

    mistakes = [
        Mistake(
            loop(lambda _, value: 1.0),
            "you wrote 1. The target is how well the cell predicts its box at present: the overlap.",
        ),
        Mistake(
            loop(lambda _, value: value),
            "some targets are negative. GIoU and CIoU reach below 0, a probability does not: clamp at 0.",
        ),
        Mistake(loop(lambda old, value: old + max(value, 0)), "entries of one cell add up. The last one stands alone."),
        Mistake(
            loop(lambda old, value: max(old, value, 0)), "the largest entry of a cell stands. It must be the last."
        ),
        Mistake(backwards, "of several entries in one cell the first one stands. It must be the last."),
        Mistake(
            loop(lambda _, value: abs(value)),
            "a negative overlap counts as 0, not as its absolute value: clamp(min=0).",
        ),
        Mistake(turned, "row and column are swapped: the axes are (image, anchor, row, column)."),
        Mistake(
            stops_turned,
            "row and column are swapped: the axes are (image, anchor, row, column); here a column leaves the map.",
        ),
    ]
    return judge_function(
        "11.2",
        function,
        _objectness_map,
        "yolo_edu's own target",
        cases=cases,
        mistakes=mistakes,
        describe=lambda shape, entries, overlap: f"{len(overlap)} entries on a map of shape {shape}",
        also=lambda mine: _leak(mine, cases[0]),
    )


def _leak(function: Target, case: tuple) -> str | None:
    """The target is what the network must reach; it must not be able to move it."""
    shape, entries, overlap = copied(case)
    try:
        result = function(shape, entries, overlap.requires_grad_())
    except Exception as error:
        return (
            f"right, until the overlap carries a gradient: then your code stopped with {type(error).__name__}: {error}"
        )
    if isinstance(result, Tensor) and result.requires_grad:
        return (
            "the values are right, but a gradient flows through the target into the boxes: the network could lower "
            "its loss by making boxes worse. Cut it off: `overlap.detach()`."
        )
    return None


# --- 11.3 -----------------------------------------------------------------------------------------------


def focal_loss(function: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Exercise 11.3: logits, wanted in [0, 1], γ → the mean focal loss with α = 0.25, a scalar."""
    cases = [(x, y, (1.5, 2.0, 0.5)[index % 3]) for index, (x, y) in enumerate(_pairs(huge=False))]

    def parts(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = x.sigmoid()
        right = y * p + (1 - y) * (1 - p)
        return F.binary_cross_entropy_with_logits(x, y, reduction="none"), right, 0.25 * y + 0.75 * (1 - y)

    def variant(value: Function) -> Function:
        return lambda x, y, gamma: value(*parts(x, y), gamma).mean()

    def swapped(x: Tensor, y: Tensor, gamma: float) -> Tensor:
        bce, right, alpha = parts(x, y)
        return (bce * (1 - alpha) * (1 - right) ** gamma).mean()

    def only_p(x: Tensor, y: Tensor, gamma: float) -> Tensor:
        bce, _, alpha = parts(x, y)
        return (bce * alpha * (1 - x.sigmoid()) ** gamma).mean()

    def of_the_mean(x: Tensor, y: Tensor, gamma: float) -> Tensor:
        bce, right, alpha = parts(x, y)
        return bce.mean() * (alpha * (1 - right) ** gamma).mean()

    def from_mean(x: Tensor, y: Tensor, gamma: float) -> Tensor:
        loss = binary_loss(x, y)
        right = (-loss).exp()
        alpha = (0.25 * y + 0.75 * (1 - y)).mean()
        return loss * alpha * (1 - right) ** gamma

    def from_bce(x: Tensor, y: Tensor, gamma: float) -> Tensor:
        bce, _, alpha = parts(x, y)
        return (bce * alpha * (1 - (-bce).exp()) ** gamma).mean()

    averaged = (
        "you weigh the mean. Each number has its own weight: multiply every single loss first, take the mean last."
    )
    mistakes = [
        Mistake(swapped, "α is swapped: 0.25 belongs to the wanted 1s, 0.75 to the wanted 0s."),
        Mistake(
            variant(lambda bce, right, alpha, gamma: bce * alpha * right**gamma),
            "the power is on the wrong side: p_t^γ silences what is hard. (1 − p_t)^γ silences what is easy.",
        ),
        Mistake(
            variant(lambda bce, right, alpha, gamma: bce * (1 - right) ** gamma),
            "α is missing: 0.25 for a wanted 1, 0.75 for a wanted 0.",
        ),
        Mistake(
            variant(lambda bce, right, alpha, gamma: bce * 0.25 * (1 - right) ** gamma),
            "α is 0.25 for the wanted 1s only; a wanted 0 gets 1 − 0.25.",
        ),
        Mistake(
            variant(lambda bce, right, alpha, gamma: bce * 0.25 * (1 - right) ** gamma / 0.25 * 0.75),
            "α is 0.75 for the wanted 0s only; a wanted 1 gets 0.25.",
        ),
        Mistake(only_p, "you use p where p_t stands: for a wanted 0 the probability of the right answer is 1 − p."),
        Mistake(of_the_mean, averaged),
        Mistake(from_mean, averaged),
        Mistake(
            from_bce,
            "p_t = exp(−BCE) holds for wanted 0s and 1s only. Objectness targets lie between: "
            "p_t = y · p + (1 − y) · (1 − p).",
        ),
        Mistake(
            variant(lambda bce, right, alpha, gamma: bce * alpha * gamma * (1 - right)),
            "γ is a power, not a factor: (1 − p_t) ** gamma.",
        ),
        Mistake(variant(lambda bce, right, alpha, gamma: bce * alpha), "the factor (1 − p_t) ** gamma is missing."),
        Mistake(lambda x, y, gamma: binary_loss(x, y, gamma=gamma) * x.numel(), SUMMED),
    ]
    return judge_function(
        "11.3",
        function,
        lambda x, y, gamma: binary_loss(x, y, gamma=gamma),
        "yolo_edu's own focal loss",
        cases=cases,
        mistakes=mistakes,
        describe=lambda x, y, gamma: f"logits of shape {tuple(x.shape)} and γ = {gamma}",
        gradient=True,
    )
