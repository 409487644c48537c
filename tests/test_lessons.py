"""Every lesson has the form that the course promises, and what it refers to exists."""

import ast
import re
from pathlib import Path

import build
import pytest

LESSONS = [script for script in build.lessons() if script.stem[:2].isdigit()]
TITLES = {  # the number of a lesson → its short name in links
    "00": "Start here",
    "01": "The convolution block",
    "02": "The dense block",
    "03": "Cross-stage partial networks",
    "04": "CSPDarknet, the backbone",
    "05": "Spatial pyramid pooling",
    "06": "FPN and PAN, the neck",
    "07": "Anchors and Detect, the head",
    "08": "The whole network",
    "09": "Boxes, NMS, mAP",
    "10": "Target assignment",
    "11": "The loss",
    "12": "Data and augmentation",
    "13": "The training loop",
    "14": "The bug clinic",
    "15": "Your own data",
    "16": "Training in full",
}
EVERY_LESSON = pytest.mark.parametrize("script", LESSONS, ids=lambda path: path.stem)


def cells(script: Path, kind: str) -> list[str]:
    return [cell.source for cell in build.read_script(script).cells if cell.cell_type == kind]


@EVERY_LESSON
def test_head(script: Path) -> None:
    head = cells(script, "markdown")[0]
    number = script.stem[:2]
    assert re.match(rf"# {number} · .+: .+\n", head)
    assert re.search(r"\*\*\d+ minutes · difficulty [●○]{5} · importance [●○]{5}\*\*", head)
    assert "After this lesson you can\n- " in head
    assert "You need " in head
    assert "figures.network_map(" in "".join(cells(script, "code"))


@EVERY_LESSON
def test_quiz_widgets_and_predictions(script: Path) -> None:
    code = "\n".join(cells(script, "code"))
    assert 4 <= code.count("quiz.ask(") <= 6
    assert code.count("quiz.predict(") >= 2
    assert code.count("widgets.") >= 1
    assert code.count("figures.show(") >= 2
    assert "assert " in code  # what is claimed is checked where it stands


@EVERY_LESSON
def test_foot_links_back_and_forward(script: Path) -> None:
    foot = cells(script, "markdown")[-1]
    assert "## What was claimed, and how it was checked\n| claim | checked by |" in foot
    assert "**References** " in foot
    number = int(script.stem[:2])
    names = {s.stem[:2]: s.name.replace(".py", ".ipynb") for s in LESSONS}

    def name(n: int) -> str:
        title = f"{n:02} {TITLES[f'{n:02}']}"
        return f"[{title}]({names[f'{n:02}']})" if f"{n:02}" in names else title

    here = f"**{number:02} {TITLES[f'{number:02}']}**"
    back = f"← {name(number - 1)} · " if number else ""
    forward = f" · {name(number + 1)} →" if f"{number + 1:02}" in TITLES else ""  # the last lesson has none
    assert foot.rstrip().endswith(f"{back}{here}{forward}"), foot[-300:]


@EVERY_LESSON
def test_what_a_lesson_refers_to_exists(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    for path, name in re.findall(r"`(tests/\w+\.py)(?:::(\w+))?`", text):
        file = build.REPOSITORY / path
        assert file.is_file(), path
        if name:
            assert re.search(rf"^def {name}\(", file.read_text(encoding="utf-8"), re.MULTILINE), f"{path}::{name}"
    for path in re.findall(r"`((?:benchmarks|yolo_edu|data|img)/[\w/]+\.\w+)`", text):
        assert (build.REPOSITORY / path).is_file(), path
    for link in re.findall(r"\]\(([\w./]+\.ipynb)\)", text):
        assert (build.SOURCES / link).with_suffix(".py").is_file(), link


@EVERY_LESSON
def test_cells_are_short(script: Path) -> None:
    """One idea a cell: the first one, which finds the package, and an exercise's stub may be longer."""
    for code in cells(script, "code")[1:]:
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= 40, f"{len(lines)} lines from {lines[0]!r}"
        ast.parse(code)


def test_the_glossary_links_only_to_what_exists_and_defines_each_word_once() -> None:
    text = (build.SOURCES / "glossary.py").read_text(encoding="utf-8")
    links = re.findall(r"\[(\d\d)\]\((\w+)\.ipynb\)", text)
    assert all((build.SOURCES / f"{name}.py").is_file() and name.startswith(number) for number, name in links)
    words = re.findall(r"^# \| ([^|]+?) \| [^|]+ \| \[", text, re.MULTILINE)
    assert len(words) == len(set(words)) == len(links)
    lessons = [int(number) for number, _ in links]
    assert lessons == sorted(lessons)  # in the order in which a reader meets them
    assert {script.stem[:2] for script in LESSONS} == {number for number, _ in links}
