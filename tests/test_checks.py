"""Exercise checks: solutions pass, the mistakes that learners make are named, nothing stops the lesson."""

import re
from collections.abc import Callable
from typing import Any

import build
import pytest
import torch

from yolo_edu.course import checks

CELLS = {cell.id: cell.source for cell in build.read_script(build.SOURCES / "00_start_here.py").cells}
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```\s*</details>", re.DOTALL)


def lesson_functions(pattern: str) -> dict[str, str]:
    """Function name → source, of the solutions or of the stubs in the lesson."""
    found = [code for text in CELLS.values() for code in re.findall(pattern, text, re.DOTALL)]
    return {re.match(r"def (\w+)", code)[1]: code for code in found}  # type: ignore[index]


def define(code: str) -> Callable[..., Any]:
    space: dict[str, Any] = {}
    exec(code, space)
    return next(value for name, value in space.items() if name != "__builtins__")


SOLUTIONS = lesson_functions(SOLUTION.pattern)
STUBS = lesson_functions(r"(def \w+\([^\n]*\n(?: +[^\n]*\n)+    raise NotImplementedError)")


def test_every_exercise_has_a_stub_and_a_solution() -> None:
    assert set(STUBS) == set(SOLUTIONS) == {"label_row", "precision_recall"}


@pytest.mark.parametrize("name", SOLUTIONS)
def test_the_folded_solution_passes_its_check(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    solution = define(SOLUTIONS[name])
    assert getattr(checks, name)(solution) is solution
    assert " is right: " in capsys.readouterr().out


@pytest.mark.parametrize("name", STUBS)
def test_the_stub_goes_on_with_the_reference(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    stub = define(STUBS[name])
    assert getattr(checks, name)(stub) is not stub
    assert re.match(r"0\.\d not attempted yet: the lesson goes on with yolo_edu's own ", capsys.readouterr().out)


def forgot_to_normalize(box, width, height):
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def corners(box, width, height):
    return box / torch.tensor([width, height, width, height])


def corner_and_size(box, width, height):
    x1, y1, x2, y2 = box
    return x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height


def right_row(box, width, height):
    x1, y1, x2, y2 = box.tolist()
    return [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]


def size_first(box, width, height):
    cx, cy, w, h = right_row(box, width, height)
    return w, h, cx, cy


def y_first(box, width, height):
    cx, cy, w, h = right_row(box, width, height)
    return cy, cx, h, w


def sides_swapped(box, width, height):
    return right_row(box, height, width)


def half_size(box, width, height):
    cx, cy, w, h = right_row(box, width, height)
    return cx, cy, w / 2, h / 2


def in_place(box, width, height):
    box /= torch.tensor([width, height, width, height])
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]


def returns_nothing(box, width, height):
    right_row(box, width, height)


def three_numbers(box, width, height):
    return right_row(box, width, height)[:3]


def a_sentence(box, width, height):
    return "cx cy w h"


def stops(box, width, height):
    return box.center()


def rounded(box, width, height):
    return [round(v, 1) for v in right_row(box, width, height)]


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        (forgot_to_normalize, "you forgot to normalize"),
        (corners, "still two corners"),
        (corner_and_size, "x and y are the top-left corner"),
        (size_first, "the center comes first"),
        (y_first, "x before y"),
        (sides_swapped, "width and height are swapped"),
        (half_size, "you give half the size"),
        (in_place, "changed in the caller's tensor"),
        (returns_nothing, "you returned None"),
        (three_numbers, r"expected shape was \(4,\), yours is \(3,\)"),
        (a_sentence, "of type str; 4 numbers were expected"),
        (stops, "stopped with AttributeError"),
        (rounded, "random inputs come out wrong"),
    ],
)
def test_label_row_names_the_mistake(
    attempt: Callable[..., Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    going_on = checks.label_row(attempt)
    text = capsys.readouterr().out
    assert re.search(says, text), text
    assert text.endswith("the lesson goes on with yolo_edu's own conversion.\n")
    assert torch.equal(going_on(torch.tensor([100.0, 50, 300, 150]), 400, 200), torch.tensor([0.5, 0.5, 0.5, 0.5]))


def counted(scores, correct, objects, threshold):
    kept = scores > threshold
    right = int((kept & correct).sum())
    return right / max(int(kept.sum()), 1), right / objects


def swapped(scores, correct, objects, threshold):
    precision, recall = counted(scores, correct, objects, threshold)
    return recall, precision


def threshold_ignored(scores, correct, objects, threshold):
    return float(correct.sum()) / len(scores), float(correct.sum()) / objects


def at_least(scores, correct, objects, threshold):
    kept = scores >= threshold
    right = int((kept & correct).sum())
    return right / max(int(kept.sum()), 1), right / objects


def of_all_boxes(scores, correct, objects, threshold):
    right = int(((scores > threshold) & correct).sum())
    return right / len(scores), right / objects


def of_what_was_found(scores, correct, objects, threshold):
    kept = scores > threshold
    right = int((kept & correct).sum())
    return right / max(int(kept.sum()), 1), right / max(int(correct.sum()), 1)


def divides_by_zero(scores, correct, objects, threshold):
    kept = scores > threshold
    right = int((kept & correct).sum())
    return right / int(kept.sum()), right / objects


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        (swapped, "precision first, then recall"),
        (threshold_ignored, "the threshold is ignored"),
        (at_least, "use `>`"),
        (of_all_boxes, "a share of the boxes that were kept"),
        (of_what_was_found, "also of those that no box ever found"),
        (divides_by_zero, "stopped with ZeroDivisionError"),
    ],
)
def test_precision_recall_names_the_mistake(
    attempt: Callable[..., Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checks.precision_recall(attempt)
    assert says in capsys.readouterr().out
