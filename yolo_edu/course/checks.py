"""Exercise checks: the learner's function against an oracle on random inputs, and plain words when they differ.

Every check takes the learner's function and returns the function that the lesson goes on with: the learner's
if it is right, otherwise the reference.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from yolo_edu.boxes import scale_boxes, xyxy_to_cxcywh

ROUNDS = 20  # random inputs a check tries
Function = Callable[..., Any]


class Mistake(NamedTuple):
    """A wrong function that learners write, and what to say when an answer equals its result."""

    function: Function
    hint: str


def _tensor(value: object) -> Tensor | None:
    """What the learner returned, as a float tensor; None if it is not made of numbers."""
    try:
        return torch.as_tensor(value, dtype=torch.float32).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        return None


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def _numbers(value: Tensor) -> str:
    return "(" + ", ".join(f"{x:.4g}" for x in value.flatten().tolist()) + ")"


def _problem(
    function: Function,
    oracle: Function,
    cases: Sequence[tuple[Any, ...]],
    mistakes: Sequence[Mistake],
    describe: Callable[..., str],
) -> str | None:
    """What is wrong with `function`, in plain words; None if it agrees with the oracle on every case.

    Raises:
        NotImplementedError: the stub was left as it is.
    """
    answers = []
    for case in cases:
        given = [x.clone() if isinstance(x, Tensor) else x for x in case]
        try:
            value = function(*given)
        except NotImplementedError:
            raise
        except Exception as error:  # whatever the learner's code raises, the lesson goes on
            return f"for {describe(*case)} your code stopped with {type(error).__name__}: {error}"
        if value is None or value is Ellipsis:
            return f"you returned {value}. Is there a `return` with your result at the end?"
        for before, after in zip(case, given, strict=True):
            if isinstance(before, Tensor) and not torch.equal(before, after):
                return (
                    "the numbers are changed in the caller's tensor too. Compute new values instead of writing "
                    "into the argument: `box[0] = …` and `box /= …` change it in place."
                )
        answers.append(value)
    wanted = [torch.as_tensor(oracle(*case), dtype=torch.float32) for case in cases]
    pairs: list[tuple[tuple[Any, ...], Tensor, Tensor]] = []
    for case, answer, right in zip(cases, answers, wanted, strict=True):
        mine = _tensor(answer)
        if mine is None:
            return f"you returned {answer!r} of type {type(answer).__name__}; {len(right)} numbers were expected."
        if mine.shape != right.shape:
            return f"for {describe(*case)} the expected shape was {tuple(right.shape)}, yours is {tuple(mine.shape)}."
        pairs.append((case, mine, right))
    wrong = [pair for pair in pairs if not _same(pair[1], pair[2])]
    if not wrong:
        return None
    case, mine, right = wrong[0]
    example = f"For {describe(*case)} you returned {_numbers(mine)}; {_numbers(right)} is right."
    for mistake in mistakes:
        if all(_same(g, torch.as_tensor(mistake.function(*c), dtype=torch.float32)) for c, g, _ in pairs):
            return f"{mistake.hint} {example}"
    return f"{len(wrong)} of {len(pairs)} random inputs come out wrong. {example}"


def _judge(number: str, function: Function, oracle: Function, reference: str, **settings: Any) -> Function:
    """Print the verdict of one exercise and return the function to go on with."""
    try:
        problem = _problem(function, oracle, **settings)
    except NotImplementedError:
        print(f"{number} not attempted yet: the lesson goes on with {reference}.")
        return oracle
    if problem is not None:
        print(f"{number}: {problem}\nUntil it is right, the lesson goes on with {reference}.")
        return oracle
    print(f"{number} is right: {len(settings['cases'])} random inputs, the same numbers as {reference}.")
    return function


# --- lesson 00 ------------------------------------------------------------------------------------------


def _label_row(box: Tensor, width: float, height: float) -> Tensor:
    return scale_boxes(xyxy_to_cxcywh(box), 1 / width, 1 / height)


def label_row(function: Callable[[Tensor, int, int], Any]) -> Callable[[Tensor, int, int], Any]:
    """Exercise 0.1: (4,) xyxy pixels, image width, height → (4,) cx, cy, w, h normalized to the image."""
    random_ = random.Random(0)
    cases = []
    for _ in range(ROUNDS):
        width, height = random_.sample(range(200, 1000), 2)  # two different numbers: a swap must show
        x1, y1 = random_.uniform(0, width / 2), random_.uniform(0, height / 2)
        x2, y2 = random_.uniform(x1 + 9, width), random_.uniform(y1 + 9, height)
        cases.append((torch.tensor([x1, y1, x2, y2]), width, height))

    def corners(box: Tensor, w: int, h: int) -> Tensor:
        return scale_boxes(box, 1 / w, 1 / h)

    mistakes = [
        Mistake(
            lambda box, w, h: xyxy_to_cxcywh(box), "center and size are right, in pixels: you forgot to normalize."
        ),
        Mistake(corners, "you normalized, but these are still two corners, not a center and a size."),
        Mistake(
            lambda box, w, h: torch.cat([corners(box, w, h)[:2], _label_row(box, w, h)[2:]]),
            "the size is right, but x and y are the top-left corner. The format wants the center.",
        ),
        Mistake(
            lambda box, w, h: _label_row(box, w, h)[[2, 3, 0, 1]],
            "the numbers are right, in the wrong order: the center comes first, then the size.",
        ),
        Mistake(
            lambda box, w, h: _label_row(box, w, h)[[1, 0, 3, 2]],
            "the numbers are right, in the wrong order: x before y, width before height.",
        ),
        Mistake(
            lambda box, w, h: _label_row(box, h, w),
            "width and height are swapped: x and w are divided by the image's width, y and h by its height.",
        ),
        Mistake(
            lambda box, w, h: _label_row(box, w, h) * torch.tensor([1, 1, 0.5, 0.5]),
            "the center is right, but you give half the size. The format wants the whole width and height.",
        ),
    ]
    return _judge(
        "0.1",
        function,
        _label_row,
        "yolo_edu's own conversion",
        cases=cases,
        mistakes=mistakes,
        describe=lambda box, w, h: f"the box {_numbers(box)} in a photo of {w} × {h} pixels",
    )


def _precision_recall(scores: Tensor, correct: Tensor, objects: int, threshold: float) -> tuple[float, float]:
    kept = scores > threshold
    right = int((kept & correct).sum())
    return right / max(int(kept.sum()), 1), right / objects


def precision_recall(function: Function) -> Function:
    """Exercise 0.2: scores (N,), correct (N,) bool, number of objects, threshold → precision, recall."""
    generator = torch.Generator().manual_seed(0)
    cases: list[tuple[Any, ...]] = []
    for _ in range(ROUNDS):
        n = int(torch.randint(6, 30, (), generator=generator))
        scores = torch.rand(n, generator=generator).sort(descending=True).values
        correct = torch.rand(n, generator=generator) < 0.6
        objects = int(correct.sum()) + int(torch.randint(1, 9, (), generator=generator))
        cases.append((scores, correct, objects, float(scores[n // 2])))  # a score equal to the threshold goes
    cases.append((torch.tensor([0.3, 0.2]), torch.tensor([True, False]), 2, 0.9))  # nothing is kept

    def at_least(scores: Tensor, correct: Tensor, objects: int, threshold: float) -> tuple[float, float]:
        return _precision_recall(scores, correct, objects, threshold - 1e-6)

    def of_all(scores: Tensor, correct: Tensor, objects: int, threshold: float) -> tuple[float, float]:
        right = float(((scores > threshold) & correct).sum())
        return right / len(scores), right / objects

    def of_reported(scores: Tensor, correct: Tensor, objects: int, threshold: float) -> tuple[float, float]:
        kept = scores > threshold
        right = float((kept & correct).sum())
        return right / max(int(kept.sum()), 1), right / max(int(correct.sum()), 1)

    mistakes = [
        Mistake(
            lambda s, c, n, t: _precision_recall(s, c, n, t)[::-1],
            "both numbers are right, in the wrong order: precision first, then recall.",
        ),
        Mistake(
            lambda s, c, n, t: _precision_recall(s, c, n, -1.0),
            "the threshold is ignored: count only boxes with a score above it.",
        ),
        Mistake(at_least, "a score equal to the threshold is not above it: use `>`, as yolo_edu does."),
        Mistake(of_all, "precision is a share of the boxes that were kept, not of all boxes."),
        Mistake(of_reported, "recall is a share of the objects in the photo, also of those that no box ever found."),
    ]
    return _judge(
        "0.2",
        function,
        _precision_recall,
        "yolo_edu's own count",
        cases=cases,
        mistakes=mistakes,
        describe=lambda s, c, n, t: f"{len(s)} boxes, {n} objects and the threshold {t:.2f}",
    )
