"""One HTML page that shows a training run: made from the files in its folder, complete in itself.

Pictures are inside the page, and it has no scripts and asks no server for anything, so it can be mailed,
kept, and opened in ten years. It works for a run that is still going on: what is missing is said.
"""

import base64
import csv
import json
import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from yolo_edu.checkpoint import write_atomically
from yolo_edu.run import Run

PAGE = "report.html"
METRICS = "metrics.json"  # of the best weights; `yolo_edu.album.metrics` says what it holds
LABELS = "labels.png"
BATCHES = "train_batch{}.jpg"
RESULTS = "results.png"
DETECTIONS = "detections.jpg"
PR_CURVE = "pr_curve.png"
F1_CURVE = "f1_curve.png"
CONFUSION = "confusion.png"


class Picture(NamedTuple):
    """A picture that a run may hold."""

    file: str  # with a * where several are numbered
    title: str
    alt: str


RESULT = (
    Picture(
        DETECTIONS,
        "Detections",
        "Validation pictures in pairs: the true boxes dashed on the left, the detections with their confidence on "
        "the right.",
    ),
    Picture(
        PR_CURVE,
        "Precision and recall",
        "Precision over recall at IoU 0.5, one line a class and a bold one for their mean; the areas below are the "
        "AP50 of the table.",
    ),
    Picture(
        F1_CURVE,
        "The confidence threshold",
        "F1, precision and recall over the confidence threshold, one line a class and a bold one for their mean; "
        "a dotted line marks the threshold with the best F1.",
    ),
    Picture(
        CONFUSION,
        "Confusion",
        "What each object was taken for: a row for every predicted class, a column for every true one, and "
        "background as the last of both.",
    ),
)
PROGRESS = (Picture(RESULTS, "Curves", "Losses, average precision, precision and recall, and learning rate by epoch."),)
DATA = (
    Picture(
        LABELS,
        "Boxes of the training split",
        "Boxes of each class, widths and heights, places of the centers, and sides of the boxes.",
    ),
    Picture(
        BATCHES.format("*"), "What the network saw", "Pictures of one training batch, augmented, with their boxes."
    ),
)
# The log's columns that are called otherwise where people read.
COLUMNS = {
    "box": "box loss",
    "objectness": "objectness loss",
    "classification": "class loss",
    "lr": "learning rate",
    "map50": "mAP50",
    "map": "mAP50-95",
}

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #fff; --soft: #57606a; --line: #d0d7de; --link: #0550ae }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --back: #0d1117; --soft: #9da7b1; --line: #3d444d; --link: #79b8ff }
}
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
  max-width: 62rem; margin: 0 auto; padding: 1rem }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere }
h2 { margin-top: 2.5rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line) }
a { color: var(--link) }
nav ul { padding-left: 1.2rem }
.missing, figcaption { color: var(--soft) }
figure { margin: 0 0 1.2rem }
.wide { overflow-x: auto }
.wide:focus-visible { outline: 2px solid var(--link) }
img { display: block; max-width: 100%; min-width: 34rem; height: auto; border-radius: 4px; background: #fff }
pre { padding: .8rem; border: 1px solid var(--line); border-radius: 4px;
  white-space: pre-wrap; overflow-wrap: anywhere }
table { border-collapse: collapse }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
table.settings td { overflow-wrap: anywhere }
"""


def write_page(folder: Path) -> Path:
    """Write `report.html` of a run folder, from whatever lies there.

    Returns:
        Its path.

    Raises:
        UserError: the disk refuses.
    """
    run = Run(folder)
    config, metrics = _json(run.config), _json(folder / METRICS)
    sections = {
        "Result": _result(metrics) + _pictures(folder, RESULT),
        "Training": _progress(_rows(run.log), config) + _pictures(folder, PROGRESS),
        "Data": _pictures(folder, DATA),
        "Settings": _settings(config, run.config.name),
    }
    title = escape(f"Training run {folder.resolve().name}")
    contents = "".join(f'<li><a href="#{name.lower()}">{name}</a></li>' for name in sections)
    body = "".join(
        f'<section id="{name.lower()}"><h2>{name}</h2>\n{text}</section>\n' for name, text in sections.items()
    )
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{title}</h1>
<nav aria-label="Contents"><ul>{contents}</ul></nav></header>
<main>
{body}</main>
</body>
</html>
"""
    path = folder / PAGE
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))
    return path


# --- sections -------------------------------------------------------------------------------------------


def _result(metrics: Mapping[str, Any]) -> str:
    """What the best weights reach, in a sentence and a table."""
    if not metrics:
        return _missing("The best weights were not measured yet: the run is not finished.")
    value = {key: _number(metrics.get(key)) for key in ("map", "map50", "precision", "recall", "f1", "confidence")}
    sentence = (
        f"On {metrics.get('images')} images with {metrics.get('boxes')} boxes the best weights reach "
        f"mAP50-95 {value['map']} and mAP50 {value['map50']}. The best F1 is {value['f1']}, at confidence "
        f"{value['confidence']}: precision {value['precision']}, recall {value['recall']}."
    )
    keys = {"ap50": "AP50", "ap": "AP50-95", "precision": "precision", "recall": "recall", "f1": "F1"}
    total = {**metrics, "name": "all", "ap50": metrics.get("map50"), "ap": metrics.get("map")}
    rows = [
        [str(row.get("name")), str(row.get("boxes")), *(_number(row.get(key)) for key in keys)]
        for row in (total, *metrics.get("classes", []))
    ]
    note = "Precision, recall and F1 are those at IoU 0.5 and the confidence named above."
    return f"<p>{escape(sentence)}</p>\n{_table(['class', 'boxes', *keys.values()], rows, 'Classes')}<p>{note}</p>\n"


def _progress(rows: list[dict[str, float]], config: Mapping[str, Any]) -> str:
    """The best and the last row of the log."""
    if not rows:
        return _missing("No epoch was finished yet.")
    last = rows[-1]
    of = config.get("recipe", {}).get("epochs", "?")
    text = f"<p>{last.get('epoch', math.nan):g} of {escape(str(of))} epochs are done."
    measured = [row for row in rows if {"map50", "map"} <= row.keys()]
    if not measured:
        cells = [[COLUMNS.get(key, key), f"{value:.4g}"] for key, value in last.items()]
        return text + "</p>\n" + _table(["", "last epoch"], cells, "Epochs")
    best = max(measured, key=lambda row: 0.1 * row["map50"] + 0.9 * row["map"])  # as Report.fitness
    cells = [
        [COLUMNS.get(key, key), *(f"{row[key]:.4g}" if key in row else "–" for row in (best, last))]
        for key in best | last
    ]
    text += " The best one has the highest 0.1 mAP50 + 0.9 mAP50-95.</p>\n"
    return text + _table(["", "best epoch", "last epoch"], cells, "Epochs")


def _settings(config: Mapping[str, Any], name: str) -> str:
    """The command, then everything that decides the outcome."""
    if not config:
        return _missing(f"{name} is not there or cannot be read.")
    others = dict(config)
    text = f"<h3>Command</h3>\n<pre><code>{escape(str(others.pop('command', 'not recorded')))}</code></pre>\n"
    groups = {"run": {key: others.pop(key) for key in [*others] if not isinstance(others[key], dict)}, **others}
    for title, group in groups.items():
        if group:
            text += f"<h3>{escape(title.capitalize())}</h3>\n"
            text += _table(["setting", "value"], list(_flat(group)), title.capitalize(), "settings")
    return text


def _pictures(folder: Path, pictures: Iterable[Picture]) -> str:
    """Every picture that is there; a sentence for one that is not."""
    text = ""
    for picture in pictures:
        text += f"<h3>{picture.title}</h3>\n"
        files = sorted(folder.glob(picture.file), key=lambda file: (len(file.name), file.name))  # 2 before 10
        text += "".join(_figure(file, picture.alt) for file in files)
        if not files:
            text += _missing(f"{picture.file.replace('*', '0')} is not there (yet).")
    return text


# --- pieces ---------------------------------------------------------------------------------------------


def _figure(file: Path, alt: str) -> str:
    kind = "png" if file.suffix == ".png" else "jpeg"
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    # A narrow screen moves the picture sideways instead of making its letters too small; keys can, too.
    return (
        f'<figure><div class="wide" tabindex="0" role="group" aria-label="{escape(file.name)}">'
        f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{data}"></div>'
        f"<figcaption>{escape(file.name)}</figcaption></figure>\n"
    )


def _table(head: list[str], rows: Iterable[list[str]], label: str, kind: str = "numbers") -> str:
    """Cells beyond the first are numbers, except in a table of settings."""
    number = ' class="number"' if kind == "numbers" else ""
    text = f'<div class="wide" tabindex="0" role="group" aria-label="{escape(label)}"><table class="{kind}">\n<tr>'
    text += "".join(f'<th scope="col"{number if i else ""}>{escape(cell)}</th>' for i, cell in enumerate(head))
    for first, *cells in rows:
        text += f'</tr>\n<tr><th scope="row">{escape(first)}</th>'
        text += "".join(f"<td{number}>{escape(cell)}</td>" for cell in cells)
    return text + "</tr>\n</table></div>\n"


def _missing(sentence: str) -> str:
    return f'<p class="missing">{escape(sentence)}</p>\n'


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterable[list[str]]:
    """Nested settings as rows: augment.scale, 0.4."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield [f"{before}{key}", "not set" if value is None else text]


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"


def _json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _rows(path: Path) -> list[dict[str, float]]:
    """The log's rows with the numbers that they have."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{k: float(v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError):
        return []
