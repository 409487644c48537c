"""How long a widget of the course takes to redraw after a move: every lesson is run, every control moved.

    python benchmarks/widget_redraw.py                 all lessons
    python benchmarks/widget_redraw.py 05_spp          one

A move is the time from setting a control's value to its new page, in this process, without a browser: the part
that the course's code answers for. One thread. Prints milliseconds (median and worst) and writes
benchmarks/results/widget_redraw.json, where lessons that were not asked for keep what was measured before.
"""

import contextlib
import io
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import ipywidgets
import jupytext
import torch
from machine import describe

from yolo_edu.course.widgets import frame

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
RESULT = ROOT / "benchmarks/results/widget_redraw.json"
MOST_MOVES = 12  # of one control
PROMISED = 150.0  # milliseconds


def positions(control: ipywidgets.Widget) -> list[Any]:
    """Values that a reader can give a control, a dozen of them evenly over its range."""
    if hasattr(control, "options"):
        options = control.options.values() if isinstance(control.options, dict) else control.options
        every = [o[1] if isinstance(o, tuple) else o for o in options]
    elif isinstance(control.value, bool):
        every = [True, False]
    elif hasattr(control, "min"):
        count = round((control.max - control.min) / control.step)
        every = [control.min + i * control.step for i in range(count + 1)]
    else:
        return []
    step = max(1, -(-len(every) // MOST_MOVES))
    return [value for value in every[::step] if value != control.value]


def explorers(script: Path) -> tuple[dict[str, frame.Explorer], dict[str, Any]]:
    """Run a lesson's cells here; the explorers it showed, by the name of the function that made them, and its names.

    Whoever moves a widget has to hold the names: with them go temporary folders that a widget may read.
    """
    found: dict[str, frame.Explorer] = {}
    original = frame.explore

    def noted(controls: Any, page: Any, **more: Any) -> frame.Explorer:
        explorer = original(controls, page, **more)
        found[f"{page.__qualname__.split('.')[0]}"] = explorer
        return explorer

    space: dict[str, Any] = {"__name__": "__main__"}
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("yolo_edu.course.widgets") and hasattr(module, "explore"):
            module.explore = noted  # type: ignore[attr-defined]
    os.chdir(NOTEBOOKS)
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in jupytext.read(script, fmt="py:percent").cells:
            if cell.cell_type == "code":
                exec(cell.source, space)
    for module in list(sys.modules.values()):
        if getattr(module, "explore", None) is noted:
            module.explore = original  # type: ignore[attr-defined]
    return found, space


def moves(explorer: frame.Explorer) -> list[float]:
    """Milliseconds of every move of every control, each made twice."""
    taken = []
    for control in explorer.controls.values():
        start_value = control.value
        for value in positions(control) * 2:
            start = time.perf_counter()
            control.value = value
            taken.append(1000 * (time.perf_counter() - start))
        control.value = start_value
    return taken


def main() -> int:
    names = sys.argv[1:]
    torch.set_num_threads(1)
    rows = []
    for script in sorted((NOTEBOOKS / "src").glob("[0-9]*.py")):
        if names and script.stem not in names:
            continue
        found, space = explorers(script)
        for name, explorer in found.items():
            taken = moves(explorer)
            row = {
                "lesson": script.stem,
                "widget": name,
                "moves": len(taken),
                "median_ms": round(statistics.median(taken), 1),
                "worst_ms": round(max(taken), 1),
            }
            rows.append(row)
            late = "  over the promised 150 ms" if row["median_ms"] > PROMISED else ""
            print(
                f"{script.stem:<24}{name:<28}{row['moves']:>5} moves"
                f"{row['median_ms']:>8} ms median{row['worst_ms']:>8} ms worst{late}",
                flush=True,
            )
        del space
    if names:  # the others as they were measured before
        before = json.loads(RESULT.read_text())["widgets"]
        new = {row["lesson"] for row in rows}
        rows = sorted([*rows, *(row for row in before if row["lesson"] not in new)], key=lambda row: row["lesson"])
    if rows:
        RESULT.write_text(json.dumps({"machine": describe(torch.device("cpu")), "widgets": rows}, indent=1) + "\n")
    return int(any(row["median_ms"] > PROMISED for row in rows))


if __name__ == "__main__":
    sys.exit(main())
