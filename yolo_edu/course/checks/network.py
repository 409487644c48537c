"""Exercises of lesson 08: the two scale rules, a deviation from a shape, parameters with five classes."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.counts import judge_counts
from yolo_edu.course.checks.functions import ROUNDS, judge_function
from yolo_edu.model import YOLOv5
from yolo_edu.model.detect import SIZES, Scale

__all__ = ["five_class_counts", "scale_rules", "sigma_of"]

Rule = Callable[[int, float], int]


def _repeats(n: int, depth: float) -> int:
    return Scale(depth, 1.0).repeats(n)


def _channels(c: int, width: float) -> int:
    return Scale(1.0, width).channels(c)


def _is_open(rule: Rule) -> bool:
    """Whether a rule is still a stub."""
    try:
        rule(3, 0.33)
    except NotImplementedError:
        return True
    except Exception:  # the learner's code: the judge will say what stopped it
        return False
    return False


def _tried(rule: Rule, full: int, multiple: float) -> Any:
    """What a learner's rule returns, or what equals no answer where it stops."""
    try:
        return rule(full, multiple)
    except Exception:
        return math.nan


def _whole(rule: Rule) -> Rule:
    """A right rule may return 64.0; a layer wants 64."""
    return lambda full, multiple: int(rule(full, multiple))


# Every case holds both rules: (n, depth, c, width). All sizes, then cases in which one wrong rule alone shows:
# n · depth below one half, at one half, a block that stands alone, channels that fill no eight.
_SCALES = [(n, s.depth, c, s.width) for s in SIZES.values() for n, c in ((1, 64), (3, 128), (9, 1024))]
_EDGES = [(3, 0.1, 64, 0.3), (3, 0.5, 64, 0.2), (9, 0.5, 128, 0.35), (1, 2.0, 64, 0.1), (6, 0.4, 256, 0.33)]
_RANDOM = random.Random(0)
_CASES = [
    *_SCALES,
    *_EDGES,
    *((_RANDOM.choice((1, 3, 6, 9)), _RANDOM.uniform(0.05, 2), 64 * _RANDOM.randint(1, 16), _RANDOM.uniform(0.05, 1.5))
      for _ in range(ROUNDS)),
]  # fmt: skip

_DEPTH_MISTAKES: list[tuple[Callable[[int, float], Any], str]] = [
    (
        lambda n, d: max(int(n * d), 1) if n > 1 else n,
        "`repeats`: int() cuts off, so 3 · 0.67 = 2.01 gives 2 but 9 · 0.33 = 2.97 gives 2 as well. The rule rounds.",
    ),
    (
        lambda n, d: max(math.ceil(n * d), 1) if n > 1 else n,
        "`repeats`: the rule rounds to the nearest, not up.",
    ),
    (
        lambda n, d: round(n * d) if n > 1 else n,
        "`repeats`: a stage must keep at least one bottleneck; with a small depth your rule leaves none.",
    ),
    (
        lambda n, d: max(round(n * d), 1),
        "`repeats`: only n > 1 is scaled. A block that stands once in the full size stands once in every size.",
    ),
    (
        lambda n, d: round(n * d),
        "`repeats`: two conditions are missing: at least 1 must be left, and a block with n = 1 is never scaled.",
    ),
    (
        lambda n, d: max(int(n * d + 0.5), 1) if n > 1 else n,
        "`repeats`: you round halves up; Python's round, which the rule uses, takes 4.5 to the even neighbor, 4.",
    ),
    (lambda n, d: n, "`repeats`: you do not use the depth multiple."),
    (lambda n, d: n * d, "`repeats`: a number of bottlenecks is a whole number."),
]
_WIDTH_MISTAKES: list[tuple[Callable[[int, float], Any], str]] = [
    (lambda c, w: int(c * w / 8) * 8, "`channels`: you round down to a multiple of 8. The rule rounds up."),
    (lambda c, w: round(c * w / 8) * 8, "`channels`: you round to the nearest multiple of 8. The rule rounds up."),
    (lambda c, w: math.ceil(c * w / 8), "`channels`: this counts eights. Multiply by 8 again."),
    (lambda c, w: math.ceil(c * w), "`channels`: the result must be a multiple of 8: round up to the next one."),
    (lambda c, w: int(c * w), "`channels`: the result must be a multiple of 8: round up to the next one."),
    (lambda c, w: c * w, "`channels`: the result must be a multiple of 8: round up to the next one."),
    (
        lambda c, w: (int(c * w / 8) + 1) * 8,
        "`channels`: a number that is a multiple of 8 already must stay: 128 · 0.5 is 64, not 72.",
    ),
    (lambda c, w: c, "`channels`: you do not use the width multiple."),
]


def scale_rules(repeats: Rule, channels: Rule) -> tuple[Rule, Rule]:
    """Exercise 8.1: (n, depth) → bottlenecks of a stage, and (c, width) → channels of a row."""
    still_open = [name for name, rule in (("repeats", repeats), ("channels", channels)) if _is_open(rule)]
    if len(still_open) == 1:  # judge the one that is written beside the right other one
        repeats, channels = (_repeats, channels) if still_open == ["repeats"] else (repeats, _channels)

    def both(n: int, depth: float, c: int, width: float) -> tuple[Any, Any]:
        return repeats(n, depth), channels(c, width)

    def oracle(n: int, depth: float, c: int, width: float) -> tuple[int, int]:
        return _repeats(n, depth), _channels(c, width)

    # A mistake in one rule is named whatever the other one does.
    mistakes = [
        Mistake(lambda n, d, c, w, f=f: (f(n, d), _tried(channels, c, w)), hint) for f, hint in _DEPTH_MISTAKES
    ] + [Mistake(lambda n, d, c, w, f=f: (_tried(repeats, n, d), f(c, w)), hint) for f, hint in _WIDTH_MISTAKES]
    kept = judge_function(
        "8.1",
        both,
        oracle,
        "yolo_edu's own rules",
        cases=_CASES,
        mistakes=mistakes,
        describe=lambda n, d, c, w: f"n = {n}, depth {d:.3g}, c = {c}, width {w:.3g}",
    )
    if len(still_open) == 1 and kept is both:
        print(f"That was one of the two. Still open: {still_open[0]}.")
    return (_whole(repeats), _whole(channels)) if kept is both else (_repeats, _channels)


def _sigma_of(shape: Sequence[int]) -> float:
    """PyTorch draws a convolution's weights uniformly from ±1/√fan-in; a uniform ±b has deviation b/√3."""
    return 1 / math.sqrt(3 * math.prod(shape[1:]))


def sigma_of(function: Function) -> Function:
    """Exercise 8.2: shape (out, in, height, width) of a convolution's weight → deviation of its fresh numbers."""
    random_ = random.Random(1)
    cases = [((32, 12, 3, 3),), ((255, 128, 1, 1),)]
    for _ in range(ROUNDS - len(cases)):
        c_out, c_in = random_.sample(range(3, 600), 2)  # two different numbers: a swap must show
        cases.append(((c_out, c_in, random_.choice((3, 5, 7)), random_.choice((1, 2, 6))),))
    mistakes = [
        Mistake(
            lambda s: 1 / math.sqrt(math.prod(s[1:])),
            "this is the bound of the interval, b = 1/√fan-in. The deviation of a uniform ±b is b/√3.",
        ),
        Mistake(
            lambda s: 1 / math.sqrt(3 * s[0] * s[2] * s[3]),
            "you took the fan-out. What one output adds up is the fan-in: the *second* number of the shape, times "
            "the kernel's area.",
        ),
        Mistake(
            lambda s: 1 / math.sqrt(3 * s[1]),
            "you forgot the kernel's area: a 3 × 3 kernel reads nine positions of every input channel.",
        ),
        Mistake(
            lambda s: 1 / math.sqrt(3 * s[1] * s[2]),
            "you forgot one side of the kernel: its area is height times width.",
        ),
        Mistake(
            lambda s: 1 / math.sqrt(3 * math.prod(s)),
            "you multiplied all four numbers. The output channels do not belong to the fan-in: each output has its "
            "own filter.",
        ),
        Mistake(lambda s: 1 / (3 * math.prod(s[1:])), "this is the variance, 1/(3 · fan-in). Take the root."),
        Mistake(
            lambda s: math.sqrt(2 / math.prod(s[1:])),
            "this is He's rule for ReLU, √(2/fan-in). PyTorch's default is smaller: 1/√(3 · fan-in).",
        ),
    ]
    return judge_function(
        "8.2",
        function,
        _sigma_of,
        "yolo_edu's own formula",
        cases=cases,
        mistakes=mistakes,
        describe=lambda shape: f"the shape {list(shape)}",
    )


def five_class_counts(answers: Mapping[str, int | None]) -> dict[str, float]:
    """Exercise 8.3: parameters of YOLOv5 s (June 2020) with 5 classes: rows 22 and 26, and the whole."""
    with torch.device("meta"):
        ours, theirs = YOLOv5("s", 5), YOLOv5("s", 80)

    def count(model: YOLOv5, rows: Sequence[int] | None = None) -> int:
        modules = [model] if rows is None else [model.model[i] for i in rows]
        return sum(p.numel() for module in modules for p in module.parameters())

    right = {"row 22": count(ours, [22]), "row 26": count(ours, [26]), "all": count(ours)}
    shapes = {name: tuple(p.shape) for name, p in ours.named_parameters()}
    inputs = {i: shapes[f"model.{i}.weight"][1] for i in (18, 22, 26)}
    outputs = shapes["model.18.bias"][0]  # 3 · (5 + K)
    slips: dict[str, dict[float, str]] = {
        "all": {
            count(theirs): "That is the count for 80 classes.",
            count(theirs) - 3 * 75 * sum(inputs.values()): "The biases shrink too: one for each output.",
            count(theirs) - 75 * sum(c + 1 for c in inputs.values()): "Each cell predicts three boxes, so each class "
            "costs three outputs.",
            count(theirs) - 3 * 75 * (inputs[22] + inputs[26] + 2): "Three rows predict: 18, 22 and 26.",
            count(theirs) - 3 * 80 * sum(c + 1 for c in inputs.values()): "Five classes stay: 80 − 5 = 75 go.",
        },
    }
    for i in (22, 26):
        slips[f"row {i}"] = {
            count(theirs, [i]): "That is the count for 80 classes.",
            outputs * inputs[i]: "Here the convolution has a bias, one number an output: no BatchNorm follows.",
            outputs * inputs[i] + 2 * outputs: "No BatchNorm follows this convolution; it has a bias instead.",
            outputs * (9 * inputs[i] + 1): "The kernel is 1 × 1 here, not 3 × 3.",
            (outputs // 3) * (inputs[i] + 1): "Each cell predicts three boxes: three times as many outputs.",
            3 * 9 * (inputs[i] + 1): "You forgot objectness: 4 + 1 + K numbers a box.",
            3 * 6 * (inputs[i] + 1): "You forgot the four numbers of the box: 4 + 1 + K numbers a box.",
            3 * 5 * (inputs[i] + 1): "You counted the classes alone: 4 + 1 + K numbers a box.",
            outputs * (2 * inputs[i] + 1): "That is size l. The width multiple of s halves the channels that enter.",
        }
    slips = {
        name: {number: text for number, text in known.items() if number != right[name]} for name, known in slips.items()
    }
    return judge_counts("8.3", answers, right, slips=slips)
