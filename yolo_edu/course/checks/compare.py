"""What the judges of the exercises share: comparing results, and saying in plain words how they differ."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

Function = Callable[..., Any]
SHOWN = 6  # numbers of a tensor that a message shows


class Mistake(NamedTuple):
    """A wrong answer that learners give, and what to say when theirs equals it.

    `function` takes what the oracle takes; in a check of a module it is built with the module's own arguments.
    """

    function: Function
    hint: str


IN_PLACE = (
    "your code changes its input: the numbers are changed in the caller's tensor too. Compute new values instead of "
    "writing into the argument: `x[0] = …`, `x += …`, `x.relu_()` and `inplace=True` on the input change it in place."
)
CUT = "Work with tensors from input to result: `.detach()`, `.data`, `.item()`, `torch.no_grad()` and NumPy cut it off."


def verdict(number: str, problem: str | None, reference: str, mine: Any, oracle: Any, *, tried: str = "") -> Any:
    """Print it; None: not attempted, "": right."""
    if problem is None:
        print(f"{number} not attempted yet: the lesson goes on with {reference}.")
        return oracle
    if problem:
        print(f"{number}: {problem}\nUntil it is right, the lesson goes on with {reference}.")
        return oracle
    print(f"{number} is right: {tried}, the same numbers as {reference}.")
    return mine


def error_words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def outcome(function: Function, case: tuple[Any, ...]) -> list[Tensor] | Exception | None:
    try:
        with torch.no_grad():
            return results_of(function(*copied(case)))
    except Exception as error:
        return error


def copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, (list, tuple)):
        return type(value)(copied(item) for item in value)
    return value


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [x for item in value for x in flat(item)] if isinstance(value, (list, tuple)) else []


def changed(before: Any, after: Any) -> bool:
    pairs = list(zip(flat(before), flat(after), strict=False))
    return any(a.shape != b.shape or not torch.equal(a, b) for a, b in pairs)


def results_of(value: Any, *, keep_graph: bool = False) -> list[Tensor] | None:
    """What was returned as a list of float tensors: one, or one for each map; None if it is not made of numbers."""
    if isinstance(value, (list, tuple)) and any(isinstance(x, Tensor) and x.ndim for x in value):
        parts = [results_of(x, keep_graph=keep_graph) for x in value]
        return None if any(part is None for part in parts) else [x for part in parts for x in part or []]
    if keep_graph and isinstance(value, (list, tuple)) and all(isinstance(x, Tensor) for x in value):
        return [torch.stack(list(value)).float()] if value else []
    try:
        tensor = torch.as_tensor(value).to(torch.float32)
    except (TypeError, ValueError, RuntimeError):
        return None
    return [tensor if keep_graph else tensor.detach().cpu()]


def same(mine: Any, right: Any) -> bool:
    if not isinstance(mine, list) or not isinstance(right, list) or shapes(mine) != shapes(right):
        return False
    pairs = [(a.detach(), b.detach()) for a, b in zip(mine, right, strict=True)]
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-5 + 1e-5 * _largest(b)) for a, b in pairs)


def _largest(x: Tensor) -> float:
    finite = x[x.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def shapes(results: Sequence[Tensor]) -> list[tuple[int, ...]]:
    return [tuple(x.shape) for x in results]


def expected_words(right: Sequence[Tensor]) -> str:
    if len(right) > 1:
        return f"{len(right)} tensors were"
    if right[0].ndim == 0:
        return "a number was"
    return f"{len(right[0])} numbers were" if right[0].ndim == 1 else f"a tensor of shape {tuple(right[0].shape)} was"


def difference(where: str, mine: Sequence[Tensor], right: Sequence[Tensor]) -> str:
    """The first difference, shape before value; starts with a small letter."""
    if len(mine) != len(right):
        return f"{where} the expected number of tensors was {len(right)}, you returned {len(mine)}."
    for index, (a, b) in enumerate(zip(mine, right, strict=True)):
        which = f" at place {index}" if len(right) > 1 else ""
        if a.shape != b.shape:
            return f"{where} the expected shape{which} was {tuple(b.shape)}, yours is {tuple(a.shape)}."
    for index, (a, b) in enumerate(zip(mine, right, strict=True)):
        which = f" in tensor {index}" if len(right) > 1 else ""
        if same([a], [b]):
            continue
        if a.numel() <= SHOWN:
            return f"{where} you returned {numbers(a)}{which}; {numbers(b)} is right."
        place = tuple(int(i) for i in torch.unravel_index((a - b).abs().nan_to_num(torch.inf).argmax(), a.shape))
        return f"{where} the largest difference{which} is at {place}: yours {a[place]:.4g}, right {b[place]:.4g}."
    return f"{where} the results differ."


def numbers(value: Tensor) -> str:
    if value.ndim == 0:
        return f"{value.item():.6g}"
    return "(" + ", ".join(f"{x:.4g}" for x in value.flatten().tolist()) + ")"


def shape_words(inputs: Any) -> str:
    shapes = [tuple(x.shape) for x in flat(inputs)]
    return ("an input of shape " if len(shapes) == 1 else "inputs of shapes ") + ", ".join(map(str, shapes))


def weighted_sum(results: Sequence[Tensor]) -> Tensor:
    """One number that depends on every result differently, so that no gradient error cancels."""
    generator = torch.Generator().manual_seed(7)
    total = torch.zeros(())
    for x in results:
        total = total + (x * torch.randn(x.shape, generator=generator)).sum()
    return total


def gradients_of(total: Tensor, leaves: Sequence[Tensor]) -> Sequence[Tensor | None]:
    return torch.autograd.grad(total, leaves, allow_unused=True)


def or_zero(gradient: Tensor | None, x: Tensor) -> Tensor:
    return torch.zeros_like(x) if gradient is None else gradient
