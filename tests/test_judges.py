"""The judges: right answers pass, wrong ones are explained in the order in which a learner can repair them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from yolo_edu.course.checks.compare import Mistake
from yolo_edu.course.checks.counts import count_parameters, judge_counts
from yolo_edu.course.checks.functions import judge_function
from yolo_edu.course.checks.modules import ModuleCase, judge_module
from yolo_edu.errors import UserError
from yolo_edu.model.blocks import SPP, Concat, Conv

# --- functions -------------------------------------------------------------------------------------------


def doubled(x: Tensor, n: int) -> Tensor:
    return 2 * x + n


def judged(function: Callable[..., Any], oracle: Callable[..., Any] = doubled, **more: Any) -> Any:
    cases = [(torch.tensor([1.0, -2.0, 3.0]) * i, i) for i in (1, 2, 3)]
    settings = {
        "cases": cases,
        "mistakes": [Mistake(lambda x, n: 2 * x, "you forgot to add n.")],
        "describe": lambda x, n: f"n = {n}",
        "gradient": True,
    }
    return judge_function("9.9", function, oracle, "our own doubling", **settings | more)


def in_place(x: Tensor, n: int) -> Tensor:
    x *= 2
    return x + n


def stops(x: Tensor, n: int) -> Tensor:
    raise KeyError("no such key")


FUNCTIONS = {
    "right": (doubled, "9.9 is right: 3 random inputs, the same numbers as our own doubling."),
    "none": (lambda x, n: None, "you returned None. Is there a `return`"),
    "stops": (stops, "for n = 1 your code stopped with KeyError: 'no such key'"),
    "in place": (in_place, "changes its input"),
    "text": (lambda x, n: "six", "you returned 'six' of type str; 3 numbers were expected"),
    "shape": (lambda x, n: doubled(x, n)[:2], "the expected shape was (3,), yours is (2,)"),
    "known": (lambda x, n: x + x, "you forgot to add n. For n = 1 you returned (2, -4, 6); (3, -3, 7) is right."),
    "value": (lambda x, n: 2 * x + n + (n == 3), "1 of 3 random inputs come out wrong. For n = 3"),
    "cut": (lambda x, n: doubled(x.detach(), n), "no gradient flows back to the input"),
    "half cut": (lambda x, n: x + x.detach() + n, "for n = 1 the gradient is not"),
    "too many": (lambda x, n: [doubled(x, n), x], "the expected number of tensors was 1, you returned 2"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_judge_function(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    function, says = FUNCTIONS[name]
    going_on = judged(function)
    text = capsys.readouterr().out
    assert says in text
    assert (going_on is function) == (name == "right" or function is doubled)
    if name != "right":
        assert going_on is doubled
        assert text.endswith("Until it is right, the lesson goes on with our own doubling.\n")


def test_a_last_look_at_a_right_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(doubled, also=lambda mine: f"{mine.__name__} is too slow.") is doubled
    assert "9.9: doubled is too slow.\nUntil it is right" in capsys.readouterr().out
    judged(lambda x, n: x, also=lambda mine: "never looked at")
    assert "never looked at" not in capsys.readouterr().out


def test_a_stub_is_not_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    def stub(x: Tensor, n: int) -> Tensor:
        raise NotImplementedError

    assert judged(stub) is doubled
    assert capsys.readouterr().out == "9.9 not attempted yet: the lesson goes on with our own doubling.\n"


def test_a_mistake_that_stops_is_named_by_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    judged(lambda x, n: x @ x.new_ones(n), mistakes=[Mistake(lambda x, n: x @ x.new_ones(n), "n is no size.")])
    assert "9.9: n is no size. In detail: for n = 1 your code stopped with RuntimeError" in capsys.readouterr().out


def test_several_tensors_are_compared_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    def pair(x: Tensor, n: int) -> list[Tensor]:
        return [x, torch.outer(x, x)]

    judged(lambda x, n: pair(x, n), pair, mistakes=[])
    assert "9.9 is right" in capsys.readouterr().out
    judged(lambda x, n: [x, torch.outer(x, x) + 1], pair, mistakes=[])
    assert "the largest difference in tensor 1 is at (" in capsys.readouterr().out
    judged(lambda x, n: [x, x], pair, mistakes=[])
    assert "the expected shape at place 1 was (3, 3), yours is (3,)" in capsys.readouterr().out


def test_a_huge_value_in_one_place_does_not_hide_an_error_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    judged(lambda x, n: doubled(x, n) + torch.nan, mistakes=[])
    assert "come out wrong" in capsys.readouterr().out


# --- modules ---------------------------------------------------------------------------------------------


class Reversed(SPP):
    def forward(self, x: Tensor) -> Tensor:
        x = self.cv1(x)
        return self.cv2(torch.cat([*(pool(x) for pool in self.m), x], dim=1))


class Narrow(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(c_in, c_in // 2), Conv(c_in // 2 * 3, c_out)


class Bare(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.cv1 = nn.Conv2d(c_in, c_in // 2, 1)


class Detached(SPP):
    def forward(self, x: Tensor) -> Tensor:
        x = self.cv1(x)
        return self.cv2(torch.cat([x, *(pool(x).detach() for pool in self.m)], dim=1))


class Strided(SPP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., ::2]


class InPlace(SPP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


class Silent(SPP):
    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        return None  # type: ignore[return-value]


class Broken(SPP):
    def forward(self, x: Tensor) -> Tensor:
        return self.cv2(x)


class Scaled(SPP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1.01


class FrozenNorm(SPP):
    def forward(self, x: Tensor) -> Tensor:
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return super().forward(x)


class NoModule:
    def __init__(self, c_in: int, c_out: int) -> None: ...


class BadConstructor(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        self.cv1 = Conv(c_in, c_out)


MODULES: dict[Any, str] = {
    SPP: "9.8 is right: 2 random shapes, the same numbers as yolo_edu's SPP.",
    Reversed: "the input comes first. For an input of shape (2, 8, 20, 20) Reversed(8, 16) the largest difference",
    Narrow: "in Narrow, three tensors. In Narrow(8, 16), cv2.conv.weight has the shape (16, 12, 1, 1); (16, 16, 1, 1)",
    Bare: "Bare(8, 16) has other parameters than expected; missing: cv1.conv.weight, cv1.bn.weight",
    Detached: "the gradient with respect to the input is not",
    Strided: "Strided(8, 16) the expected shape was (2, 16, 20, 20), yours is (2, 16, 20, 10).",
    InPlace: "changes its input",
    Silent: "`forward` returned None",
    Broken: "Broken(8, 16) stopped with RuntimeError",
    Scaled: "shape right, values wrong. For an input",
    FrozenNorm: "right in evaluation mode, wrong in training mode",
    NoModule: "NoModule(8, 16) is a NoModule; an nn.Module is expected",
    BadConstructor: "BadConstructor(8, 16) stopped with AttributeError: cannot assign module before",
}
CASES = [ModuleCase((8, 16), ((2, 8, 20, 20),)), ModuleCase((12, 8), ((2, 12, 9, 14),))]
MISTAKES = [Mistake(Reversed, "the input comes first."), Mistake(Narrow, "in Narrow, three tensors.")]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_judge_module(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    going_on = judge_module("9.8", module, SPP, "yolo_edu's SPP", cases=CASES, mistakes=MISTAKES)
    text = capsys.readouterr().out
    assert MODULES[module] in text
    assert going_on is SPP
    assert text.startswith("9.8 is right" if module is SPP else "9.8: ")


@pytest.mark.parametrize("part", ["constructor", "forward"])
def test_an_unfilled_module_is_not_an_error(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    class Stub(SPP):
        def __init__(self, c_in: int, c_out: int) -> None:
            super().__init__(c_in, c_out)
            if part == "constructor":
                raise NotImplementedError

        def forward(self, x: Tensor) -> Tensor:
            raise NotImplementedError

    class Empty(nn.Module):
        def __init__(self, c_in: int, c_out: int) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            raise NotImplementedError

    for stub in (Stub, Empty):
        assert judge_module("9.8", stub, SPP, "yolo_edu's SPP", cases=CASES) is SPP
        assert capsys.readouterr().out == "9.8 not attempted yet: the lesson goes on with yolo_edu's SPP.\n"


def test_a_list_of_tensors_goes_into_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    class Backwards(nn.Module):
        def forward(self, tensors: list[Tensor]) -> Tensor:
            return torch.cat(tensors[::-1], dim=1)

    cases = [ModuleCase((), ([(1, 2, 4, 4), (1, 3, 4, 4)],))]
    judge_module("9.8", Backwards, Concat, "yolo_edu's Concat", cases=cases)
    assert "shape right, values wrong. For inputs of shapes (1, 2, 4, 4), (1, 3, 4, 4)" in capsys.readouterr().out


# --- numbers ---------------------------------------------------------------------------------------------


def test_judge_counts(capsys: pytest.CaptureFixture[str]) -> None:
    right = {"a": 3, "b": 4000}
    slips = {"b": {2000: "Twice that: both paths."}}

    def said(**answers: Any) -> str:
        assert judge_counts("9.7", answers, right, slips=slips) == right
        return capsys.readouterr().out

    assert said(a=3, b=4000) == "9.7 is right: a 3, b 4,000.\n"
    assert said(a=None, b=None).startswith("9.7 not attempted yet: write your numbers")
    assert said(a=3, b=None) == "9.7: right so far. Still open: b.\n"
    assert said(a=2, b=2000) == (
        "9.7: a: 2 is too small.\n     b: 2,000 is too small. Twice that: both paths.\n"
        "Until it is right, the lesson goes on with the right numbers.\n"
    )
    assert "a: '3' is a str; a number is expected." in said(a="3", b=4000)
    with pytest.raises(UserError, match=r"9\.7 asks for a, b; the cell gives a"):
        judge_counts("9.7", {"a": 1}, right)


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (3 * 3 * 8 * 16 + 2 * 16, "9.7 is right"),
        (3 * 3 * 8 * 16, "You forgot BatchNorm"),
        (3 * 3 * 8 * 16 + 16, "two numbers a channel"),
        (3 * 3 * 8 * 16 + 4 * 16, "measured, not trained"),
        (3 * 3 * 8 * 16 + 3 * 16, "no bias"),
        (8 * 16 + 2 * 16, "the kernel's area"),
        (5, "conv: 5 is too small.\n"),
    ],
)
def test_count_parameters_knows_the_usual_slips(count: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    block = nn.Sequential()
    block.add_module("conv", Conv(8, 16, 3))
    count_parameters("9.7", {"conv": count}, block)
    assert says in capsys.readouterr().out
