"""The exercises of a lesson, taken from its script: stub, check, solution; and a space to run them in."""

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import build

HEADING = re.compile(r"^### Exercise (\d+\.\d+) · .+\(\d+ minutes?, [●○]{5}\)$", re.MULTILINE)
SOLUTION = re.compile(r"<details><summary>Solution</summary>\s*```python\n(.*?)\n```\s*</details>", re.DOTALL)
HINT = re.compile(r"<details><summary>Hint (\d)</summary>")


class Exercise(NamedTuple):
    """One exercise as the notebook has it."""

    lesson: str
    number: str
    stub: str  # the code above the check, as a learner finds it
    check: str  # the last statement of the cell
    solution: str  # folded below
    hints: int


def exercises(script: Path) -> list[Exercise]:
    """Every exercise of a lesson, in order."""
    cells = build.read_script(script).cells
    found = []
    for index, cell in enumerate(cells):
        heading = HEADING.search(cell.source) if cell.cell_type == "markdown" else None
        if heading is None:
            continue
        code = next(c.source for c in cells[index + 1 :] if c.cell_type == "code")
        text = next(c.source for c in cells[index + 1 :] if c.cell_type == "markdown")
        solution = SOLUTION.search(text)
        assert solution, f"{script.stem}, exercise {heading[1]}: no folded solution right below the exercise"
        last = ast.parse(code).body[-1]
        lines = code.split("\n")
        stub, check = lines[: last.lineno - 1], lines[last.lineno - 1 :]
        assert "checks." in "\n".join(check), f"{script.stem}, exercise {heading[1]}: the cell must end with its check"
        hints = len(HINT.findall(text))
        found.append(
            Exercise(script.stem, heading[1], "\n".join(stub), "\n".join(check), solution[1], hints)
        )  # fmt: skip
    return found


def imports(script: Path) -> str:
    """The import statements of a lesson's cells, its first cell left out."""
    codes = [cell.source for cell in build.read_script(script).cells if cell.cell_type == "code"][1:]
    statements = [node for code in codes for node in ast.parse(code).body]
    return "\n".join(ast.unparse(node) for node in statements if isinstance(node, (ast.Import, ast.ImportFrom)))


def attempt(script: Path, exercise: Exercise, answer: str, *, earlier: tuple[str, ...] = ()) -> str:
    """What the check prints when `answer` stands in the place of the stub.

    An answer may use what the lesson imports and what `earlier` answers define, nothing else of the notebook.
    """
    space: dict[str, Any] = {}
    exec(imports(script), space)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for code in earlier:
            exec(code, space)
        exec(f"{answer}\n{exercise.check}", space)
    return printed.getvalue()
