"""The judge of functions: a learner's function against an oracle on random inputs.

It looks in the order in which a learner can repair: does it run, is there a result, the shape, the values, the
gradient. Where the answer equals what a known mistake would give, the mistake is named.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from yolo_edu.course.checks.compare import (
    CUT,
    IN_PLACE,
    Function,
    Mistake,
    changed,
    copied,
    difference,
    error_words,
    expected_words,
    flat,
    gradients_of,
    or_zero,
    outcome,
    results_of,
    same,
    shapes,
    verdict,
    weighted_sum,
)

F = TypeVar("F", bound=Function)
ROUNDS = 20  # random inputs a check of a function tries


def judge_function(
    number: str,
    function: F,
    oracle: Function,
    reference: str,
    *,
    cases: Sequence[tuple[Any, ...]],
    mistakes: Sequence[Mistake] = (),
    describe: Callable[..., str],
    gradient: bool = False,
    also: Callable[[F], str | None] = lambda _: None,
) -> F | Function:
    """Compare a function with the oracle on every case.

    Args:
        number: of the exercise.
        function, oracle: arguments → a number, numbers, a tensor, or a list of tensors.
        reference: what the lesson goes on with until then, as a noun: "yolo_edu's own conversion".
        cases: the arguments of each call.
        mistakes: tried in order.
        describe: a case in words.
        gradient: compare the gradients with respect to the floating-point tensors among the arguments too.
        also: a last look at a function whose results are right: what is still wrong with it, or None.
    """
    try:
        problem = _function_problem(function, oracle, cases, mistakes, describe)
        if problem is None and gradient:
            problem = _function_gradient(function, oracle, cases, describe)
        problem = problem or also(function)
    except NotImplementedError:
        return verdict(number, None, reference, function, oracle)
    return verdict(number, problem or "", reference, function, oracle, tried=f"{len(cases)} random inputs")


def _function_problem(
    function: Function,
    oracle: Function,
    cases: Sequence[tuple[Any, ...]],
    mistakes: Sequence[Mistake],
    describe: Callable[..., str],
) -> str | None:
    answers = []
    for case in cases:
        given = copied(case)
        try:
            with torch.no_grad():
                value = function(*given)
        except NotImplementedError:
            raise
        except Exception as error:  # whatever the learner's code raises, the lesson goes on
            hint = _same_error(mistakes, cases, error)
            return f"{hint}for {describe(*case)} your code stopped with {error_words(error)}"
        if value is None or value is Ellipsis:
            return f"you returned {value}. Is there a `return` with your result at the end?"
        if changed(case, given):
            return IN_PLACE
        answers.append(value)
    pairs = []
    for case, answer in zip(cases, answers, strict=True):
        right = results_of(oracle(*copied(case)))
        assert right is not None
        mine = results_of(answer)
        if mine is None:
            return f"you returned {answer!r} of type {type(answer).__name__}; {expected_words(right)} expected."
        pairs.append((case, mine, right))
    wrong = [pair for pair in pairs if not same(pair[1], pair[2])]
    if not wrong:
        return None
    case, mine, right = wrong[0]
    example = difference(f"for {describe(*case)}", mine, right)
    for mistake in mistakes:
        if all(same(m, outcome(mistake.function, c)) for c, m, _ in pairs):
            return f"{mistake.hint} {example[0].upper()}{example[1:]}"
    if shapes(mine) == shapes(right):
        return f"{len(wrong)} of {len(pairs)} random inputs come out wrong. {example[0].upper()}{example[1:]}"
    return example


def _function_gradient(
    function: Function, oracle: Function, cases: Sequence[tuple[Any, ...]], describe: Callable[..., str]
) -> str | None:
    for case in cases:
        mine, theirs = (_input_gradients(f, case) for f in (function, oracle))
        if isinstance(mine, str):
            return mine
        assert not isinstance(theirs, str)
        if not same(mine, theirs):
            return f"the values are right, but for {describe(*case)} the gradient is not. {CUT}"
    return None


def _input_gradients(function: Function, case: tuple[Any, ...]) -> list[Tensor] | str:
    """d(weighted sum of the result)/d(argument) for every floating-point argument; a string says what went wrong."""
    given = copied(case)
    leaves = [x.requires_grad_() for x in flat(given) if x.is_floating_point()]
    try:
        results = results_of(function(*given), keep_graph=True) or []
        total = weighted_sum(results)
        if not total.requires_grad:
            return f"the values are right, but no gradient flows back to the input. {CUT}"
        return [or_zero(g, x) for g, x in zip(gradients_of(total, leaves), leaves, strict=True)]
    except Exception as error:  # the learner's backward pass too
        return f"the values are right, but computing gradients stopped with {error_words(error)}"


def _same_error(mistakes: Sequence[Mistake], cases: Sequence[tuple[Any, ...]], error: Exception) -> str:
    """The hint of a mistake that stops in the same way."""
    for mistake in mistakes:
        for case in cases:
            theirs = outcome(mistake.function, case)
            if isinstance(theirs, Exception) and error_words(theirs) == error_words(error):
                return f"{mistake.hint} In detail: "
    return ""
