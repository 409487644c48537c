"""Exercise 13.3: the parameters of a network in three groups. Names are judged, so it has a judge of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from yolo_edu.course.checks.compare import error_words, verdict
from yolo_edu.model.blocks import Conv

__all__ = ["parameter_groups"]

Groups = tuple[list[str], list[str], list[str]]
KINDS = ("biases", "weights", "norms")


class _Scaled(nn.Module):
    """A convolution whose result is multiplied by one number a channel, a weight of one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.scale = nn.Parameter(torch.ones(4))


def _modules() -> Iterator[tuple[str, nn.Module]]:
    """Networks in which short cuts go wrong."""
    yield "a convolution with a bias", nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU())
    yield (
        "Conv2d, BatchNorm2d, Conv2d in a Sequential",
        nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)),
    )
    yield "a BatchNorm2d alone", nn.BatchNorm2d(4)
    yield "a convolution named `subnet`", nn.ModuleDict({"subnet": nn.Conv2d(3, 4, 1)})
    yield "two blocks inside each other", nn.Sequential(Conv(3, 4, 3), nn.Sequential(Conv(4, 4, 1), nn.Conv2d(4, 2, 1)))
    yield "a PReLU behind a BatchNorm2d", nn.Sequential(nn.BatchNorm2d(4), nn.PReLU(4))
    yield "a module with a parameter of its own", _Scaled()


def _parameter_groups(module: nn.Module) -> Groups:
    biases: list[str] = []
    weights: list[str] = []
    norms: list[str] = []
    for prefix, owner in module.named_modules():
        for name, _ in owner.named_parameters(prefix, recurse=False):
            is_bias = name.split(".")[-1] == "bias"
            group = biases if is_bias else norms if isinstance(owner, nn.BatchNorm2d) else weights
            group.append(name)
    return biases, weights, norms


def parameter_groups(function: Callable[[nn.Module], Groups]) -> Callable[[nn.Module], Groups]:
    """Exercise 13.3: module → names of biases, of weights that are decayed, of BatchNorm weights."""
    problem: str | None
    try:
        problem = next((p for words, module in _modules() if (p := _problem(function, words, module))), "")
    except NotImplementedError:
        problem = None
    tried = f"{len(list(_modules()))} networks"
    chosen: Callable[[nn.Module], Groups] = verdict(
        "13.3", problem, "yolo_edu's own groups", function, _parameter_groups, tried=tried
    )
    return chosen


def _problem(function: Callable[[nn.Module], Any], words: str, module: nn.Module) -> str:
    """What is wrong with the answer for this network; empty if nothing is."""
    try:
        answer = function(module)
    except NotImplementedError:
        raise
    except Exception as error:  # whatever the learner's code raises, the lesson goes on
        return f"for {words} your code stopped with {error_words(error)}"
    if not isinstance(answer, (tuple, list)) or len(answer) != len(KINDS):
        return f"three lists of names are expected: {', '.join(KINDS)}; you returned {_short(answer)}."
    groups = [list(group) if isinstance(group, (list, tuple, set)) else None for group in answer]
    if any(group is None or not all(isinstance(name, str) for name in group) for group in groups):
        return f"three lists of names (text) are expected; you returned {_short(answer)}."
    given = [(name, kind) for kind, group in zip(KINDS, groups, strict=True) for name in group or ()]
    owners = {
        name: owner
        for prefix, owner in module.named_modules()
        for name, _ in owner.named_parameters(prefix, recurse=False)
    }
    names = [name for name, _ in given]
    if unknown := [name for name in names if name not in owners]:
        known = ", ".join(list(owners)[:3])
        return f"for {words}: {unknown[0]!r} is no parameter. Names are those of `named_parameters()`: {known} …"
    if doubles := [name for name in names if names.count(name) > 1]:
        return (
            f"for {words}: {doubles[0]!r} is listed {names.count(doubles[0])} times. `named_modules()` visits a module "
            "and its parts, so ask each one for its own parameters only: `recurse=False`."
        )
    if missing := [name for name in owners if name not in names]:
        return f"for {words}: {missing[0]!r} is in no group. It would never be trained."
    right = {name: kind for kind, group in zip(KINDS, _parameter_groups(module), strict=True) for name in group}
    for name, kind in given:
        if kind != right[name]:
            return f"for {words}: {name!r} is among your {kind}. {_hint(name, owners[name], kind, right[name])}"
    return ""


def _hint(name: str, owner: nn.Module, kind: str, right: str) -> str:
    """Why a parameter of this owner belongs elsewhere."""
    norm, what = isinstance(owner, nn.BatchNorm2d), type(owner).__name__
    if right == "biases" and norm:
        return (
            "It is the β of a BatchNorm2d, a bias like any other: not decayed, and with the bias's learning rate in "
            "the warm-up."
        )
    if right == "biases":
        return f"It is the bias of a {what}: it would be decayed. Look at the last part of the name."
    if right == "norms":
        return "It is the γ of a BatchNorm2d: ask for the type of its module, not for its name or its shape."
    if kind == "norms":
        return (
            f"Its module is a {what}, no BatchNorm2d: neither one dimension nor the letters b, n in a name make a "
            "normalization."
        )
    return f"It is a weight of a {what} and belongs to the decayed ones."


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
