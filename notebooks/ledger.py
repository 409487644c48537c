"""The claims ledger: which numbers the course states, and what produces each. Writes notebooks/src/claims.py.

    python notebooks/ledger.py        # after the lessons were executed

The first part collects the table at the foot of every lesson. The second takes every number of three digits or more
out of the lessons' prose and looks for it where numbers are made: in an assertion, in what a cell printed, in the
code, in a test, in the module, in a measured result. A number that is found nowhere is listed as such.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import build
import nbformat

HERE = Path(__file__).parent
ROOT = HERE.parent
TARGET = HERE / "src/claims.py"
FOOT = "## What was claimed, and how it was checked"
# Three digits or more: 640, 0.942, 7,468,157; no years, identifiers or parts of names.
NUMBER = re.compile(r"(?<![\w.,:/#-])(\d[\d,]*\.?\d*)(?![\w:]|[.,]\d|-\d)")
YEAR = re.compile(r"(19|20)\d\d")
SKIPPED = re.compile(
    r"```.*?```|arXiv:\S+|\b\d{4}\.\d{5}\b|https?://\S+|\]\([^)]*\)|<summary>|\bC[VPRI]{2,3}R? \d+|σ\d+", re.DOTALL
)
RESULTS = sorted((ROOT / "benchmarks/results").glob("*.json"))
CAPTION = 90  # characters of the sentence that a row shows


class Entry(NamedTuple):
    """A number in a lesson's prose."""

    number: str
    words: str  # around it
    source: str  # what produces it; "" if nothing was found


def claims(script: Path) -> list[tuple[str, str]]:
    """Rows (claim, checked by) of a lesson's foot."""
    foot = [c.source for c in build.read_script(script).cells if c.cell_type == "markdown"][-1]
    table = foot.split(FOOT)[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [(cells[0], " | ".join(cells[1:])) for cells in rows[1:]]


def plain(number: str) -> str:
    """7,468,157 → 7468157; 0.50 stays: its digits are a statement."""
    return number.rstrip(".,").replace(",", "")


def numbers(text: str) -> Iterator[tuple[str, str]]:
    """Every number of at least three digits in Markdown, and the words around it."""
    cleaned = SKIPPED.sub(" ", text.replace("\u00a0", " ")).replace("**", "")
    for match in NUMBER.finditer(cleaned):
        number = plain(match[1])
        digits = number.replace(".", "").lstrip("0")
        if len(number.replace(".", "")) < 3 or not digits or YEAR.fullmatch(number):
            continue
        start = max(match.start() - CAPTION // 2, 0)
        words = " ".join(cleaned[start : match.end() + CAPTION // 2].split())
        yield number, words.replace("|", "/").replace("`", "")


def made(text: str) -> set[str]:
    """All numbers in code, output or data, as `plain` writes them."""
    return {plain(n.replace("_", "")) for n in re.findall(r"\d[\d,_]*\.?\d*", text)}


def rounded(number: str, values: set[float]) -> bool:
    """Whether one of the values is this number when rounded to its digits, or as a percentage."""
    digits = len(number.partition(".")[2])
    wanted = float(number)
    return any(round(v, digits) == wanted or round(100 * v, digits) == wanted for v in values)


def floats(tree: object) -> Iterator[float]:
    """Every number in a JSON tree."""
    if isinstance(tree, bool):
        return
    if isinstance(tree, int | float):
        yield float(tree)
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from floats(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from floats(value)


def sources(script: Path) -> list[tuple[str, set[str]]]:
    """Where a lesson's numbers can come from, the strongest first."""
    notebook = nbformat.read(HERE / f"{script.stem}.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    asserted = "\n".join(re.findall(r"^\s*assert .*(?:\n(?:\s{4,}|\)).*)*", "\n\n".join(code), re.MULTILINE))
    printed = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            printed.append(output.get("text", "") or "")
            for kind in ("text/plain", "text/html", "text/markdown"):
                text = data.get(kind, "")
                printed.append(re.sub(r'src="data:[^"]*"', "", text if isinstance(text, str) else "".join(text)))
    named = sorted(set(re.findall(r"`(tests/\w+\.py)", script.read_text(encoding="utf-8"))))
    found = [("an assertion in the lesson", made(asserted)), ("a cell's output", made("\n".join(printed)))]
    found += [("a cell's code", made("\n".join(code)))]
    for path in named:
        found.append((f"`{path}`", made((ROOT / path).read_text(encoding="utf-8"))))
    return found


def entries(script: Path) -> list[Entry]:
    """Every number of a lesson's prose with what produces it."""
    places = sources(script)
    cells = [c.source for c in build.read_script(script).cells if c.cell_type == "markdown"]
    found: dict[str, Entry] = {}
    for text in cells:
        for number, words in numbers(text.split(FOOT)[0]):
            if number in found:
                continue
            source = next((name for name, known in places if number in known), "")
            if not source:
                source = next((f"`{path}`" for path, known in MODULE if number in known), "")
            if not source:
                source = next((f"`benchmarks/results/{path.name}`" for path, v in MEASURED if rounded(number, v)), "")
            found[number] = Entry(number, words, source)
    return list(found.values())


MODULE = [
    (path.relative_to(ROOT).as_posix(), made(path.read_text(encoding="utf-8")))
    for path in sorted((ROOT / "yolo_edu").rglob("*.py"))
    if "course" not in path.parts
]
MEASURED = [(path, set(floats(json.loads(path.read_text())))) for path in RESULTS]


def page() -> str:
    """The whole appendix as a percent script."""
    lessons = [script for script in build.lessons() if script.stem[:2].isdigit()]
    every = {script: entries(script) for script in lessons}
    total = sum(map(len, every.values()))
    traced = sum(bool(entry.source) for own in every.values() for entry in own)
    lines = [
        "# Claims ledger: what the course states, and what produces it",
        "",
        "An appendix, written by `notebooks/ledger.py`. First the claims of every lesson with their checks. Then every "
        "number of three digits or more in the lessons' prose (years, references and code left out), each once a "
        "lesson, with the strongest place that it was found in: an assertion, a cell's output, its code, a test, a "
        "setting of the module, a measured result.",
        "",
        f"Of {total:,} numbers, {traced:,} were found."
        + (" The others are listed with a dash: numbers quoted from papers." if traced < total else ""),
    ]
    for script in lessons:
        lines += [
            "",
            f"## {script.stem[:2]} [{script.stem}]({script.stem}.ipynb)",
            "",
            "| claim | checked by |",
            "|---|---|",
        ]
        lines += [f"| {claim} | {check} |" for claim, check in claims(script)]
        lines += ["", "| number | in these words | produced by |", "|---|---|---|"]
        lines += [f"| {e.number} | … {e.words} … | {e.source or '–'} |" for e in every[script]]
    return "# %% [markdown]\n" + "\n".join(f"# {line}".rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)} written; execute it with: make notebooks NAMES=claims")
