"""Pictures of what a linter found: contact sheets of the suspects, and a chart of classes and sizes."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from yolo_edu.caption import class_color
from yolo_edu.checkpoint import write_atomically
from yolo_edu.draw import show_image
from yolo_edu.files import Fault, decode_image
from yolo_edu.lint.classes import FINEST
from yolo_edu.lint.examine import Examination
from yolo_edu.lint.reading import Seen
from yolo_edu.lint.report import grouped, printable

EACH = 4  # suspects of one kind
COLUMNS, ROWS = 2, 5  # suspects of one sheet
SHEETS = 4
SIDE = 480  # pixels, long side of a shown image
VISIBLE = 0.03  # part of the image; a smaller box gets a ring around it
MARGIN = 0.25  # part of the image that is shown beyond its border, for boxes that reach over it
NAMED = 30  # classes of the chart
DPI = 110
HATCHES = ("", "///", "...")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))
SUSPECT = tuple(c / 255 for c in class_color(5))  # vermilion
Box = tuple[float, float, float, float]


class Suspect(NamedTuple):
    """A fault that can be shown."""

    fault: Fault
    seen: Seen
    box: Box | None  # cxcywh, normalized; None: the whole image is meant


def save_pictures(folder: Path, found: Examination) -> list[Path]:
    """Write summary.png and, if there is something to show, suspects1.jpg, suspects2.jpg …

    Raises:
        UserError: the disk refuses.
    """
    written = [folder / "summary.png"]
    _save(summary_chart(found), written[0])
    shown, most = suspects(found), COLUMNS * ROWS
    for number, start in enumerate(range(0, min(len(shown), SHEETS * most), most), start=1):
        written.append(folder / f"suspects{number}.jpg")
        _save(contact_sheet(shown[start : start + most]), written[-1])
    return written


def _save(figure: Figure, path: Path) -> None:
    # The temporary file has no suffix to tell the format by.
    write_atomically(path, lambda file: figure.savefig(file, format=path.suffix[1:], dpi=DPI))


# --- which are shown ------------------------------------------------------------------------------------


def suspects(found: Examination) -> list[Suspect]:
    """The first few faults of every kind whose image can be shown, errors first."""
    by_path: dict[Path, Seen] = {}
    for images in found.seen.values():
        for one in images:
            by_path[one.image] = one
            by_path.setdefault(one.labels, one)
    shown = []
    for faults in grouped(found.faults).values():
        own = 0
        for fault in faults:
            match = by_path.get(fault.path) or by_path.get(fault.other or fault.path)
            if match is not None and not isinstance(match.look, Fault) and own < EACH:
                own += 1
                shown.append(Suspect(fault, match, _box(fault, match)))
    return shown


def _box(fault: Fault, seen: Seen) -> Box | None:
    """The box of a row, also of one that cannot be read as it is, as far as its numbers go."""
    if not fault.line or fault.path != seen.labels:
        return None
    good = next((row.box for row in seen.rows if row.line == fault.line), None)
    if good is not None or isinstance(seen.look, Fault):
        return good
    try:
        text = fault.path.read_bytes().decode("utf-8-sig", errors="replace")
        line = re.split(r"\r\n|\r|\n", text)[fault.line - 1]
        columns = line.split()
        columns = columns if len(columns) == 5 else re.split(r"[\s,;]+", line.strip())
        x, y, w, h = (float(column.replace(",", ".")) for column in columns[1:5])
    except (OSError, ValueError, IndexError):
        return None
    if fault.code == "pixels":
        x, y, w, h = x / seen.look.width, y / seen.look.height, w / seen.look.width, h / seen.look.height
    return (x, y, w, h) if np.isfinite([x, y, w, h]).all() and max(abs(x), abs(y), abs(w), abs(h)) < 10 else None


# --- the contact sheet ----------------------------------------------------------------------------------


def contact_sheet(shown: Sequence[Suspect]) -> Figure:
    """Each suspect with its box marked, and what is wrong written beside it."""
    rows = -(-len(shown) // COLUMNS)
    figure = plt.figure(figsize=(13, 2.5 * rows + 0.1))
    grid = figure.add_gridspec(rows, 2 * COLUMNS, width_ratios=[1.15, 1] * COLUMNS)
    figure.subplots_adjust(0.005, 0.01, 0.995, 0.99, wspace=0.04, hspace=0.08)
    for index, suspect in enumerate(shown):
        row, column = divmod(index, COLUMNS)
        _picture(figure.add_subplot(grid[row, 2 * column]), suspect)
        words = figure.add_subplot(grid[row, 2 * column + 1])
        words.set_axis_off()
        _words(words, suspect)
    plt.close(figure)
    return figure


def _words(ax: Axes, suspect: Suspect) -> None:
    fault = suspect.fault
    where = f"{fault.path.name}:{fault.line}" if fault.line else fault.path.name
    # Paths of folders fill the lines and say nothing that the list of faults does not say.
    message, fix = (re.sub(r"[^\s(]*/", "", part) for part in (fault.message, fault.fix))
    parts = [(f"{fault.severity}: {fault.code}", "bold"), (where, "normal"), (f"{message}.", "normal")]
    parts.append((f"→ {fix}.", "normal"))
    y = 0.98
    for words, weight in parts:
        wrapped = textwrap.wrap(printable(words), 44)[:5]
        ax.text(0, y, "\n".join(wrapped), va="top", fontsize=8, weight=weight, parse_math=False, transform=ax.transAxes)
        y -= 0.075 * len(wrapped) + 0.04


def _picture(ax: Axes, suspect: Suspect) -> None:
    ax.set_anchor("NE")  # beside its words
    left = _shrunk(suspect.seen.image)
    if left is None:  # it was there a moment ago
        ax.set_axis_off()
        return
    height, width = left.shape[:2]
    right = _shrunk(suspect.fault.other) if suspect.fault.other and suspect.fault.code != "label-suffix" else None
    if right is not None:  # two images of one height, side by side
        scaled = cv2.resize(right, (max(right.shape[1] * height // right.shape[0], 1), height))
        gap = np.full((height, max(width // 40, 2), 3), 255, np.uint8)
        show_image(ax, np.concatenate([left, gap, scaled], axis=1))
        return
    show_image(ax, left)
    for row in suspect.seen.rows:
        if row.line != suspect.fault.line:
            _outline(ax, row.box, width, height, suspect=False)
    if suspect.box is not None:
        _outline(ax, suspect.box, width, height, suspect=True)
        x, y, w, h = suspect.box
        reach = [max(w / 2 - x, 0), max(x + w / 2 - 1, 0), max(h / 2 - y, 0), max(y + h / 2 - 1, 0)]
        low_x, high_x, low_y, high_y = (min(1.1 * over, MARGIN) for over in reach)
        ax.set_xlim(-low_x * width - 2, (1 + high_x) * width + 2)
        ax.set_ylim((1 + high_y) * height + 2, -low_y * height - 2)


def _outline(ax: Axes, box: Box, width: int, height: int, *, suspect: bool) -> None:
    x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    color = SUSPECT if suspect else "white"
    line, dashes = (2.0, "-") if suspect else (0.9, (0, (3, 2)))
    shapes: list[Rectangle | Ellipse] = [Rectangle((x - w / 2, y - h / 2), w, h)]
    if suspect and min(box[2:]) < VISIBLE:
        ring = VISIBLE * max(width, height)
        shapes.append(Ellipse((x, y), w + 2 * ring, h + 2 * ring))
    for shape in shapes:
        shape.set(fill=False, edgecolor=color, linewidth=line, linestyle=dashes, zorder=4 if suspect else 3)
        shape.set_path_effects([Stroke(linewidth=line + 1.4, foreground="black"), Normal()])
        ax.add_patch(shape)


def _shrunk(path: Path) -> NDArray[np.uint8] | None:
    image = decode_image(path)
    if isinstance(image, Fault):
        return None
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


# --- the chart ------------------------------------------------------------------------------------------


def summary_chart(found: Examination) -> Figure:
    """Boxes a class a split, and the sides of the boxes at the training size."""
    names = list(next(iter(found.splits.values())).per_class)
    totals = np.array([sum(numbers.per_class[name] for numbers in found.splits.values()) for name in names])
    order = np.argsort(-totals, kind="stable")
    cut = len(order) > NAMED
    order = np.concatenate([order[: NAMED // 2], order[-NAMED // 2 :]]) if cut else order
    figure = plt.figure(figsize=(11, max(4.2, 0.3 * len(order) + 1.4)), layout="constrained")
    bars, sizes = figure.subplots(1, 2)
    thick = 0.8 / len(found.splits)
    edges = np.geomspace(1, max(found.image_size, 2), 41)
    for number, (split, numbers) in enumerate(found.splits.items()):
        color = np.array(class_color((4, 0, 2)[number % 3])) / 255
        label = f"{split}: {numbers.boxes}"
        counts = [numbers.per_class[names[k]] for k in order]
        at = np.arange(len(order)) - 0.4 + (number + 0.5) * thick
        drawn = bars.barh(at, counts, thick, color=color, label=label, hatch=HATCHES[number % 3], edgecolor="white")
        bars.bar_label(drawn, padding=2, fontsize=7)
        sides = found.sizes[split].sides
        if len(sides):
            shares = 100 * np.histogram(sides.clip(1, edges[-1]), edges)[0] / len(sides)
            median = f"{split}: median {np.median(sides):.0f} px"
            sizes.stairs(shares, edges, color=color, linestyle=DASHES[number % 3], linewidth=1.8, label=median)
    texts = [printable(names[k])[:24].replace("$", r"\$") for k in order]
    bars.set_yticks(range(len(order)), texts, fontsize=8)
    bars.invert_yaxis()
    bars.margins(x=0.12)
    title = f"boxes of the {NAMED // 2} most and least frequent classes" if cut else "boxes of each class"
    bars.set(title=title, xlabel="boxes")
    sizes.set_xscale("log", base=2)
    sizes.set_xlim(1, edges[-1])
    ticks = [2**k for k in range(int(np.log2(edges[-1])) + 1)]
    sizes.set_xticks(ticks, [str(tick) for tick in ticks])
    for stride in (FINEST, 2 * FINEST, 4 * FINEST):
        sizes.axvline(stride, color="0.4", linestyle=":", linewidth=1)
    sizes.set(title=f"sides of the boxes at training size {found.image_size}", ylabel="% of the boxes", ylim=(0, None))
    sizes.set_xlabel("√(width · height), pixels (dotted: the strides 8, 16, 32)")
    for ax in (bars, sizes):
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.3)
        ax.set_axisbelow(True)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False, fontsize=8)
    plt.close(figure)
    return figure
