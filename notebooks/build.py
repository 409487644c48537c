"""Build the lessons: each percent script in notebooks/src becomes an executed notebook in notebooks/.

    python notebooks/build.py                      every lesson
    python notebooks/build.py 03_csp 05_spp        these two
    python notebooks/build.py --check              only say which notebooks differ from their scripts

A lesson is written only if it ran from top to bottom, no widget callback failed on the way, and the result is
fit to be committed. With YOLO_EDU_SMOKE=1 lessons take their short cuts: they are executed and not written.
"""

import argparse
import ast
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parent
SOURCES = NOTEBOOKS / "src"
REPOSITORY = NOTEBOOKS.parent

# What a reader is promised, on two CPU cores. The build marks a lesson that takes longer.
PROMISED_SECONDS = 60.0
PROMISED_SECONDS_OF = {"13_training_loop": 180.0, "16_train_on_gpu": 180.0}
BUDGET_SECONDS = 900.0  # and here it stops one that hangs
MAX_BYTES = 1_500_000

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_NOTE = "Interactive: run this cell to use it."

# Nothing here may change from one build machine to the next, so there is no Python version.
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"},
}

# A character before the slash that belongs to an address, a longer path or base64 data rules a match out.
_HOME_OR_SCRATCH = re.compile(
    r"(?<![\w+/=.\-:~)}])/(?:home|Users|root|work|tmp|private|var/folders)/+[\w.\-]+|\b[A-Za-z]:\\+Users\\+\w+"
)
_TERMINAL_COLOR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_IMAGE = re.compile(r"!\[(?P<markdown>[^\]]*)\]\(|<img\b(?P<html>[^>]*)>")
_HTML_ALT = re.compile(r"""\balt\s*=\s*(["'])(?=\s*[^"'\s])""")


class LessonError(Exception):
    """A lesson cannot be read, does not run, or is not fit to be committed. The message is for a person."""


class Built(NamedTuple):
    """One row of the table that the build prints."""

    name: str
    cells: int
    seconds: float
    size: int  # bytes


def lessons(names: Sequence[str] = (), *, sources: Path = SOURCES) -> list[Path]:
    """The scripts with these names, or all, in the order of the course; LessonError for an unknown name."""
    scripts = {path.stem: path for path in sorted(sources.glob("*.py"))}
    wanted = [Path(name).stem for name in names] or list(scripts)
    if unknown := [name for name in wanted if name not in scripts]:
        raise LessonError(f"no such lesson: {', '.join(unknown)} (there are: {', '.join(scripts) or 'none'})")
    return [scripts[name] for name in wanted]


def read_script(path: Path) -> NotebookNode:
    """A percent script as a notebook without outputs, with the ids and metadata it will be committed with.

    An id is derived from the cell's text, so editing a cell leaves the ids of all the others as they were.
    """
    notebook = jupytext.read(path, fmt="py:percent")
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's note to itself
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if cell.cell_type == "code" and _only_asks(cell.source):
            cell.metadata["jupyter"] = {"source_hidden": True}  # it would give the answer away
    notebook["metadata"] = nbformat.from_dict(METADATA)
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    return notebook


def _only_asks(source: str) -> bool:
    """Whether a cell does nothing but ask the reader: every statement is a call of `quiz`."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # a magic, say
        return False
    calls = [s.value.func for s in statements if isinstance(s, ast.Expr) and isinstance(s.value, ast.Call)]
    asks = [f for f in calls if isinstance(f, ast.Attribute) and ast.unparse(f.value) == "quiz"]
    return len(statements) == len(asks) > 0


def execute(
    notebook: NotebookNode,
    *,
    folder: Path = NOTEBOOKS,
    budget: float = BUDGET_SECONDS,
    env: Mapping[str, str] | None = None,
) -> float:
    """Run a notebook in place, top to bottom, as a reader in `folder` would; return the seconds it took.

    `budget` (seconds) is for the notebook as a whole. `env` is added to the environment of this process.

    Raises:
        LessonError: a cell failed, ended the kernel or outlasted the budget, or a widget callback failed.
    """
    started = time.monotonic()
    variables = {**os.environ, **(env or {})}
    # `!yolo-edu` in a cell means the one installed beside this Python.
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", "")])
    variables.pop("MPLBACKEND", None)  # a test run sets it; in a kernel it would keep figures out of the cells

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        timeout=None,
        # Zero would mean "no limit": a spent budget leaves the next cell a moment.
        timeout_func=lambda cell: max(budget - (time.monotonic() - started), 0.001),
        store_widget_state=True,
        coalesce_streams=True,
        record_timing=False,
        shell_timeout_interval=1,  # seconds between two looks at the budget
        shutdown_kernel="immediate",
        extra_arguments=["--log-level=ERROR"],
    )
    executed = 0
    with client.setup_kernel(env=variables):
        for index, cell in enumerate(notebook.cells):
            try:
                client.execute_cell(cell, index, execution_count=executed + 1)
            except CellTimeoutError:
                reason = f"the notebook's budget of {budget:g} s was spent here\n{cell.source}"
            except DeadKernelError:
                reason = f"the kernel died here\n{cell.source}"
            except CellExecutionError as error:
                reason = _TERMINAL_COLOR.sub("", error.traceback).rstrip()  # shows the source too
            else:
                executed += cell.cell_type == "code" and bool(cell.source.strip())
                continue
            raise LessonError(f"cell {index} (counted from 0): {reason}")
        client.set_widgets_metadata()

    if failures := widget_errors(notebook):
        raise LessonError("a widget callback failed, which no cell shows:\n" + "\n".join(failures))
    return time.monotonic() - started


def widget_errors(notebook: NotebookNode) -> list[str]:
    """Errors caught inside output widgets: they stop nothing and stand in no cell, only in saved state."""
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    found = []
    for model in state.values():
        for output in model.get("state", {}).get("outputs", ()):
            text = "\n".join(output.get("traceback", ())) or output.get("text", "")
            if output["output_type"] == "error" or "Traceback (most recent call last)" in text:
                found.append(_TERMINAL_COLOR.sub("", text))
    return found


def strip_widgets(notebook: NotebookNode) -> None:
    """Drop the saved widget state; where a widget stood alone, leave a line that says how to get it back."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if data.pop(WIDGET_VIEW, None) is not None and set(data) <= {"text/plain"}:
                data["text/plain"] = WIDGET_NOTE
                data["text/markdown"] = f"*{WIDGET_NOTE}*"


def local_paths(text: str) -> list[str]:
    """Paths in `text` that only one machine has: home and scratch folders, this repository's own place."""
    here = re.compile(rf"(?<![\w+/=.\-:~)}}]){re.escape(str(REPOSITORY))}(?![\w.\-])")
    return list(dict.fromkeys([*_HOME_OR_SCRATCH.findall(text), *here.findall(text)]))


def _texts(value: object) -> Iterator[str]:
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | Sequence):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def problems(notebook: NotebookNode) -> list[str]:
    """What makes an executed notebook unfit to be committed, one line each; empty when it is fit."""
    found = []
    if notebook.metadata.get("kernelspec") != METADATA["kernelspec"]:
        found.append("its kernelspec is not the plain python3 one")
    if "widgets" in notebook.metadata:
        found.append("its metadata holds widget state")
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            found.append(f"cell {index} was not executed")
        outputs = cell.get("outputs", [])
        if any(output["output_type"] == "error" for output in outputs):
            found.append(f"cell {index} shows an error")
        if any(WIDGET_VIEW in output.get("data", {}) for output in outputs):
            found.append(f"cell {index} refers to a widget whose state is not saved")
        for text in (cell.source, *_texts(outputs)):
            found += [f"cell {index} holds a path of one machine: {path}" for path in local_paths(text)]
        readable = [output.get("data", {}).get("text/html", "") for output in outputs]
        for text in [cell.source] * (cell.cell_type == "markdown") + readable:
            for image in _IMAGE.finditer("".join(text)):
                markdown, html = image["markdown"], image["html"]
                if not (markdown.strip() if html is None else _HTML_ALT.search(html)):
                    found.append(f"cell {index} has an image without alternative text")
    size = len(serialize(notebook).encode())
    if size > MAX_BYTES:
        found.append(f"it has {size / 1e6:.2f} MB; {MAX_BYTES / 1e6:g} MB is the most")
    return found


def serialize(notebook: NotebookNode) -> str:
    """The notebook as the text of an .ipynb file."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def build(script: Path, *, folder: Path = NOTEBOOKS, write: bool = True) -> Built:
    """Execute one script and, with `write`, put the notebook into `folder`.

    Raises:
        LessonError: it did not run, or the result is not fit to be committed; the old notebook stays.
    """
    notebook = read_script(script)
    seconds = execute(notebook, folder=folder)
    strip_widgets(notebook)
    if found := problems(notebook):
        raise LessonError("not written:\n" + "\n".join(found))
    nbformat.validate(notebook)
    text = serialize(notebook)
    if write:
        (folder / f"{script.stem}.ipynb").write_text(text, encoding="utf-8")
    return Built(script.stem, len(notebook.cells), seconds, len(text.encode()))


def check(scripts: Sequence[Path], *, folder: Path = NOTEBOOKS) -> list[str]:
    """Which notebooks in `folder` do not say what their scripts say, one line each. Executes nothing."""
    found = []
    for script in scripts:
        path = folder / f"{script.stem}.ipynb"
        if not path.exists():
            found.append(f"{path.name} is missing")
            continue
        written = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4).cells
        expected = read_script(script).cells
        if len(written) != len(expected):
            found.append(f"{path.name} has {len(written)} cells, its script {len(expected)}")
        # The id of a cell comes from the text that was executed: it tells of an edit that was never run.
        for index, (have, want) in enumerate(zip(written, expected, strict=False)):
            if any(have[part] != want[part] for part in ("id", "cell_type", "source", "metadata")):
                found.append(f"{path.name} differs from its script, first in cell {index}")
                break
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status."""
    parser = argparse.ArgumentParser(description="Execute notebooks/src/*.py into notebooks/*.ipynb.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="lessons, like 03_csp (default: all)")
    parser.add_argument("--check", action="store_true", help="execute nothing; say which notebooks differ")
    options = parser.parse_args(argv)
    try:
        scripts = lessons(options.names)
    except LessonError as error:
        parser.error(str(error))

    if options.check:
        differences = check(scripts)
        print("\n".join(differences) or f"{len(scripts)} notebooks agree with their scripts")
        return 1 if differences else 0

    write = os.environ.get("YOLO_EDU_SMOKE", "") in ("", "0")
    print(f"{'lesson':<28}{'cells':>6}{'seconds':>9}{'kB':>7}")
    failed, total = 0, 0.0
    for script in scripts:
        try:
            row = build(script, write=write)
        except LessonError as error:
            failed += 1
            print(f"{script.stem:<28}FAILED\n{error}", flush=True)
            continue
        total += row.seconds
        promised = PROMISED_SECONDS_OF.get(row.name, PROMISED_SECONDS)
        late = f"  over the promised {promised:g} s" if row.seconds > promised else ""
        print(f"{row.name:<28}{row.cells:>6}{row.seconds:>9.1f}{row.size / 1e3:>7.0f}{late}", flush=True)
    outcome = "written" if write else "executed in smoke mode, none written"
    print(f"{len(scripts) - failed} of {len(scripts)} {outcome}, {total:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
