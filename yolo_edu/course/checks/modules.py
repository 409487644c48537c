"""The judge of modules: a learner's nn.Module against an oracle on the same weights and random shapes.

It looks in the order in which a learner can repair: is it built, does it have the right parameters, does it run, the
shape, the values, then the same in training mode with gradients.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from yolo_edu.course.checks.compare import (
    CUT,
    IN_PLACE,
    Mistake,
    changed,
    copied,
    difference,
    error_words,
    flat,
    gradients_of,
    or_zero,
    outcome,
    results_of,
    same,
    shape_words,
    shapes,
    verdict,
    weighted_sum,
)

Builder = Callable[..., nn.Module]


class ModuleCase(NamedTuple):
    """One trial of a module: how it is built, and what shapes go in.

    `inputs`: a shape for each argument of `forward`; a list of shapes where it takes a list of tensors.
    """

    arguments: tuple[Any, ...]
    inputs: tuple[Any, ...]


def judge_module(
    number: str,
    module: type[nn.Module],
    oracle: Builder,
    reference: str,
    *,
    cases: Sequence[ModuleCase],
    mistakes: Sequence[Mistake] = (),
) -> Builder:
    """Compare a module class with the oracle's on the same weights: names, shapes, values, gradients.

    Args:
        number: of the exercise.
        module: the learner's class. Its parameters must have the oracle's names, as trained weights need it.
        oracle: builds the reference from the same arguments.
        reference: what the lesson goes on with until then, as a noun: "yolo_edu's SPP".
        cases: how to build it, and what goes in.
        mistakes: builders of wrong modules, tried in order. One with other parameters than the oracle's names
            answers with exactly those parameters; one with the same names, answers with the same results.
    """
    try:
        problem = _module_problem(module, oracle, cases, mistakes)
    except NotImplementedError:
        return verdict(number, None, reference, module, oracle)
    return verdict(number, problem or "", reference, module, oracle, tried=f"{len(cases)} random shapes")


def _module_problem(
    module: type[nn.Module],
    oracle: Builder,
    cases: Sequence[ModuleCase],
    mistakes: Sequence[Mistake],
) -> str | None:
    name = getattr(module, "__name__", "your module")
    built = []
    for case in cases:
        call = f"{name}({', '.join(map(repr, case.arguments))})"
        try:
            mine = module(*case.arguments)
        except NotImplementedError:
            raise
        except Exception as error:  # the learner's code
            return f"{call} stopped with {error_words(error)}"
        if not isinstance(mine, nn.Module):
            return f"{call} is a {type(mine).__name__}; an nn.Module is expected."
        built.append((call, case, mine))

    for call, case, mine in built:
        wanted, found = _signature(oracle(*case.arguments)), _signature(mine)
        if wanted != found:
            if not found:
                _forward_once(mine, case)  # a stub whose constructor is done may still have no forward
            for mistake in mistakes:
                if all(_signature(mistake.function(*c.arguments)) == _signature(m) for _, c, m in built):
                    return f"{mistake.hint} {_parameter_difference(call, found, wanted)}"
            return _parameter_difference(call, found, wanted)

    trials = []
    for index, (call, case, mine) in enumerate(built):
        theirs = _with_random_state(oracle(*case.arguments), seed=index)
        mine.load_state_dict(theirs.state_dict())
        inputs = _random_inputs(case, seed=index)
        given = copied(inputs)
        where = f"for {shape_words(inputs)} {call}"
        try:
            with torch.no_grad():
                value = mine.eval()(*given)
        except NotImplementedError:
            raise
        except Exception as error:
            outcomes = [(m.hint, _module_outcome(m, oracle, case, inputs, seed=index)) for m in mistakes]
            mine_words = error_words(error)
            stopped = [(error_words(e) == mine_words, hint) for hint, e in outcomes if isinstance(e, type(error))]
            if stopped:
                # The same message tells more than the same kind of error.
                hint = next((hint for equal, hint in stopped if equal), stopped[0][1])
                return f"{hint} {where[0].upper()}{where[1:]} stopped with {mine_words}"
            return f"{where} stopped with {error_words(error)}"
        if value is None or value is Ellipsis:
            return f"`forward` returned {value}. Is there a `return` with your result at the end?"
        if changed(inputs, given):
            return IN_PLACE
        result = results_of(value)
        if result is None:
            return f"{where} returned {type(value).__name__}; a tensor is expected."
        with torch.no_grad():
            right = results_of(theirs.eval()(*copied(inputs)))
        assert right is not None
        trials.append((where, case, inputs, result, right))

    wrong = [trial for trial in trials if not same(trial[3], trial[4])]
    if wrong:
        where, _, _, result, right = wrong[0]
        example = difference(where, result, right)
        for mistake in mistakes:
            if all(same(r, _module_outcome(mistake, oracle, c, x, seed=i)) for i, (_, c, x, r, _) in enumerate(trials)):
                return f"{mistake.hint} {example[0].upper()}{example[1:]}"
        if shapes(result) == shapes(right):
            return f"shape right, values wrong. {example[0].upper()}{example[1:]}"
        return example
    for index, (call, case, mine) in enumerate(built):
        if problem := _module_gradient(call, mine, oracle(*case.arguments), _random_inputs(case, seed=index), index):
            return problem
    return None


def _module_gradient(call: str, mine: nn.Module, theirs: nn.Module, inputs: tuple[Any, ...], seed: int) -> str | None:
    """In training mode, where BatchNorm uses the batch's own statistics: results, then gradients."""
    _with_random_state(theirs, seed=seed)
    mine.load_state_dict(theirs.state_dict())
    found = []
    for network in (mine, theirs):
        given = copied(inputs)
        leaves = [x.requires_grad_() for x in flat(given)]
        try:
            results = results_of(network.train()(*given), keep_graph=True) or []
            total = weighted_sum(results)
            if not total.requires_grad:
                return f"the values are right, but no gradient flows back. {CUT}"
            names, parameters = list(zip(*network.named_parameters(), strict=True)) or ((), ())
            gradients = gradients_of(total, [*leaves, *parameters])
        except Exception as error:
            return f"right in evaluation mode, but in training mode {call} stopped with {error_words(error)}"
        wheres = [*("the input" for _ in leaves), *names]
        values = [or_zero(g, x) for g, x in zip(gradients, [*leaves, *parameters], strict=True)]
        found.append((results, dict(zip(wheres, values, strict=True))))
    (my_results, my_gradients), (results, right) = found
    if not same(my_results, results):
        return (
            "right in evaluation mode, wrong in training mode, where BatchNorm uses the statistics of the batch. "
            "Is every layer used exactly once, and on the same tensor as in the description?"
        )
    for name, gradient in right.items():
        if not same([my_gradients[name]], [gradient]):
            return f"the values are right, but the gradient with respect to {name} is not. {CUT}"
    return None


def _module_outcome(
    mistake: Mistake, oracle: Builder, case: ModuleCase, inputs: tuple[Any, ...], *, seed: int
) -> list[Tensor] | Exception | None:
    """What the wrong module answers with the oracle's weights; None if it has other parameters."""
    theirs, wrong = _with_random_state(oracle(*case.arguments), seed=seed), mistake.function(*case.arguments)
    if _signature(theirs) != _signature(wrong):
        return None
    wrong.load_state_dict(theirs.state_dict())
    return outcome(wrong.eval(), inputs)


def _signature(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def _parameter_difference(call: str, found: Mapping[str, tuple], wanted: Mapping[str, tuple]) -> str:
    """The first difference between two sets of named parameters."""
    for name, shape in wanted.items():
        if name in found and found[name] != shape:
            return f"In {call}, {name} has the shape {found[name]}; {shape} is expected."
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    text = f"{call} has other parameters than expected"
    if missing:
        text += f"; missing: {_some(missing)}"
    if extra:
        text += f"; too many: {_some(extra)}"
    return f"{text}. The names count too: trained weights are found by name."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _with_random_state(module: nn.Module, *, seed: int) -> nn.Module:
    """Fresh modules have BatchNorms that do nothing; these do something, so a forgotten one shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not value.is_floating_point():
                continue
            noise = torch.rand(value.shape, generator=generator)
            positive = value.ndim < 2 and not name.endswith(("bias", "running_mean"))
            spread = (3 / max(value[0].numel(), 1)) ** 0.5 if value.ndim > 1 else 1.0
            value.copy_(0.5 + noise if positive else (2 * noise - 1) * spread)
    return module


def _random_inputs(case: ModuleCase, *, seed: int) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(1000 + seed)

    def tensors(shape: Any) -> Any:
        if isinstance(shape, list):
            return [tensors(one) for one in shape]
        return torch.randn(shape, generator=generator)

    return tuple(tensors(shape) for shape in case.inputs)


def _forward_once(module: nn.Module, case: ModuleCase) -> None:
    """Raise what an unfilled `forward` raises, and nothing else."""
    try:
        module(*_random_inputs(case, seed=0))
    except NotImplementedError:
        raise
    except Exception:
        return
