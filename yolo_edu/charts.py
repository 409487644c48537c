"""What a training run shows, as matplotlib figures: its data, its progress, and how good the result is.

Plain arrays in, a closed figure out: a notebook shows a figure that is returned, an open one it would show
twice. Nothing is told by color alone: lines differ in dashes and markers too, shades stand beside numbers.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from yolo_edu.caption import caption
from yolo_edu.chart_style import DASHES, MARKERS, closed_figure, ink, tidy
from yolo_edu.metrics import CONFIDENCES, RECALLS, Curves, Floats

NAMED = len(DASHES) * len(MARKERS)  # as many lines can be told apart without color; more are gray and nameless
COUNTED = 25  # a confusion matrix of more rows is too fine for numbers
TICKS = 110  # names along an axis; of more only every second, third … is written
LONGEST = 24  # letters of a name


def training_curves(rows: Sequence[Mapping[str, float | str]]) -> Figure:
    """What a run's log holds, over the epochs: losses and mean average precision, and if they are in the
    log, precision and recall, and the learning rate.

    Args:
        rows: one an epoch: `epoch`, any of the losses `box`, `objectness`, `classification`, any of
            `map50`, `map`, `precision`, `recall`, and `lr`. Text is read as a number; epochs that were not
            evaluated have no value, or an empty one.
    """
    panels = {
        "loss": {"box": "box", "objectness": "objectness", "classification": "classification"},
        "average precision": {"map50": "mAP at IoU 0.5", "map": "mAP at IoU 0.5 to 0.95"},
        "precision and recall": {"precision": "precision", "recall": "recall"},
        "learning rate": {"lr": "learning rate"},
    }
    points = {key: _points(rows, key) for keys in panels.values() for key in keys}
    always = ("loss", "average precision")
    shown = [title for title, keys in panels.items() if title in always or any(points[key] for key in keys)]
    lines = -(-len(shown) // 2)
    with closed_figure(9, 3.2 * lines) as figure:
        axes = figure.subplots(lines, 2, squeeze=False).flat
        for title, ax in zip(shown, axes, strict=False):
            for hue, marker, (key, label) in zip((4, 0, 2), MARKERS, panels[title].items(), strict=False):
                if points[key]:
                    x, y = zip(*points[key], strict=True)
                    every = max(len(x) // 10, 1)
                    ax.plot(x, y, color=ink(hue), marker=marker, markevery=every, ms=4, label=label)
            ax.set(title=title, xlabel="epoch", xlim=(0, None), ylim=(0, None))
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            tidy(ax)
            if len(panels[title]) > 1 and ax.lines:
                ax.legend(frameon=False, fontsize=8)
            if title in ("average precision", "precision and recall"):
                ax.set_ylim(0, 1.02)
        for ax in axes:  # what zip left
            ax.set_axis_off()
    return figure


# --- how good -------------------------------------------------------------------------------------------


def precision_recall_chart(precision: Floats, names: Sequence[str]) -> Figure:
    """Precision over recall, a line a class and a bold one for their mean; AP beside the names.

    Args:
        precision: (101, K) at recall 0, 0.01 … 1; nan for classes without objects.
        names: of the K classes.
    """
    with closed_figure(8, 4.4) as figure:
        ax = figure.subplots()
        ap = precision.mean(axis=0)
        handles, labels = _class_lines(ax, RECALLS, precision.T, ap, names)
        ax.set(title="precision and recall at IoU 0.5", xlabel="recall", ylabel="precision")
        _key(ax, handles, labels, "AP", bbox_to_anchor=(1.01, 1))
    return figure


def confidence_chart(curves: Curves, names: Sequence[str], confidence: float) -> Figure:
    """F1, precision and recall over the confidence threshold, a line a class and a bold one for their mean.

    Args:
        curves: (K, 1000) each, at `yolo_edu.metrics.CONFIDENCES`.
        names: of the K classes.
        confidence: the threshold to mark, nan for none.
    """
    # The key has a quarter of the figure, and a line for every named class.
    with closed_figure(9, max(6.6, 0.36 * min(len(names), NAMED) + 1.6)) as figure:
        f1, key, precision, recall = figure.subplots(2, 2).flat
        at = 0 if math.isnan(confidence) else int(np.abs(CONFIDENCES - confidence).argmin())
        for ax, title, curve in ((precision, "precision", curves.precision), (recall, "recall", curves.recall)):
            _class_lines(ax, CONFIDENCES, curve, curve[:, at], names)
            ax.set(title=title, xlabel="confidence threshold")
        handles, labels = _class_lines(f1, CONFIDENCES, curves.f1, curves.f1[:, at], names)
        f1.set(title="F1, the balance of precision and recall", xlabel="confidence threshold")
        title = "F1"
        if not math.isnan(confidence):
            title = f"F1 at the best threshold, {confidence:.2f} (dotted)"
            for ax in (f1, precision, recall):
                ax.axvline(confidence, color="black", linestyle=":", linewidth=1.2, zorder=1)
        key.set_axis_off()
        _key(key, handles, labels, title)
    return figure


def confusion_chart(confusion: Tensor | NDArray, names: Sequence[str]) -> Figure:
    """What the objects were taken for: counts, shaded by their share of the column.

    Args:
        confusion: (K + 1, K + 1), row what was said, column what was there, last: background.
        names: of the K classes.
    """
    counts = np.asarray(confusion)
    side = len(counts)
    share = counts / counts.sum(axis=0).clip(min=1)
    inches = min(max(0.45 * side, 3.2), 13)
    with closed_figure(inches + 2.4, inches + 1.4) as figure:
        ax = figure.subplots()
        shades = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        step, size = -(-side // TICKS), 8 if side <= COUNTED else 6
        texts = [*(_short(k, names) for k in range(side - 1)), "background"]
        ax.set_xticks(range(0, side, step), texts[::step], rotation=90, fontsize=size)
        ax.set_yticks(range(0, side, step), texts[::step], fontsize=size)
        ax.tick_params(length=0)
        ax.set(xlabel="true", ylabel="predicted", title="what each object was taken for")
        for line in (ax.axhline, ax.axvline):
            line(side - 1.5, color="0.4", linewidth=0.8)  # the background is no class
        if side <= COUNTED:
            for row, column in np.argwhere(counts):
                count, color = counts[row, column], "white" if share[row, column] > 0.55 else "black"
                text = str(count) if count < 10_000 else f"{count // 1000}k"  # four characters fit
                ax.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
        figure.colorbar(shades, cax=ax.inset_axes((1.03, 0, min(0.2 / inches, 0.05), 1)), label="share of the column")
    return figure


# --- the data -------------------------------------------------------------------------------------------


def label_chart(labels: Tensor | NDArray, boxes: Tensor | NDArray, names: Sequence[str]) -> Figure:
    """Statistics of a split: how many boxes of each class there are, how large, and where.

    Args:
        labels: (M,) classes.
        boxes: (M, 4) cxcywh, normalized to their images.
        names: of the K classes.
    """
    percent = 100 * np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=len(names))
    few = len(names) <= 15
    height = 6.6 if few else min(max(0.115 * len(names), 6.6), 13)
    with closed_figure(9 if few else 12, height) as figure:
        axes = figure.subplot_mosaic("AB;CD" if few else "ABC;ADD")
        _bars(axes["A"], counts, names)
        _heat(figure, axes["B"], percent[:, 2:], "box sizes", "width", "height")
        _heat(figure, axes["C"], percent[:, :2], "box centers", "from the left", "from the top")
        axes["C"].invert_yaxis()  # as in the picture
        sides = np.sqrt(percent[:, 2] * percent[:, 3]).clip(0.5, 100)
        ax = axes["D"]
        ax.hist(sides, bins=np.geomspace(0.5, 100, 41).tolist(), color=ink(4), edgecolor="white", linewidth=0.4)
        ax.set_xscale("log")
        ticks = [0.5, 1, 2, 5, 10, 20, 50, 100]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set_xticks([], minor=True)
        ax.set(title="sides of the boxes", xlabel="√(width · height), % of the image", ylabel="boxes")
        ax.set(xlim=(0.5, 100), ylim=(0, None))
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        tidy(ax)
    return figure


# --- parts ----------------------------------------------------------------------------------------------


def _points(rows: Sequence[Mapping[str, float | str]], key: str) -> list[tuple[float, float]]:
    """(epoch, value) of the epochs that have a value."""
    points = [(float(row["epoch"]), float(row[key])) for row in rows if row.get(key, "") not in ("", None)]
    return [(x, y) for x, y in points if math.isfinite(y)]


def _class_lines(ax: Axes, x: Floats, curves: Floats, values: Floats, names: Sequence[str]) -> tuple[list, list[str]]:
    """A line for every class that has objects, and their mean; both axes from 0 to 1.

    Returns:
        Handles and texts for a key: what is named, with its value before the name.
    """
    known = np.flatnonzero(~np.isnan(curves).any(axis=1))
    many = len(known) > NAMED
    handles, labels = [], []
    if len(known):
        above = 3 if many else 1.5  # few lines lie on the broad one, many below it
        handles += ax.plot(x, curves[known].mean(axis=0), color="black", linewidth=3, zorder=above)
        labels.append(f"{values[known].mean():.3f}  mean of {len(known)}")
    for k in known.tolist():
        if many:
            (line,) = ax.plot(x, curves[k], color="0.7", linewidth=0.7)
            continue
        every = len(x) // 8
        (line,) = ax.plot(x, curves[k], color=ink(k), linestyle=DASHES[k % 4], linewidth=1.4)
        # Starting at different places, or the markers of curves that run together would hide one another.
        line.set(marker=MARKERS[k % 5], markersize=4, markevery=(k * every // 5 % every, every))
        handles.append(line)
        labels.append(f"{values[k]:.3f}  {_short(k, names)}")
    if many:
        handles.append(line)
        labels.append("each class")
    ax.set(xlim=(-0.01, 1.01), ylim=(0, 1.03))
    if not len(known):
        _nothing(ax)
    tidy(ax)
    return handles, labels


def _key(ax: Axes, handles: list, labels: list[str], title: str, **options: tuple[float, float]) -> None:
    if handles:
        key = ax.legend(handles, labels, title=title, loc="upper left", frameon=False, fontsize=8, **options)
        key.set_alignment("left")
        key.set_in_layout("bbox_to_anchor" in options)  # inside its axes it needs no room
        key.get_title().set_fontsize(8)


def _bars(ax: Axes, counts: NDArray, names: Sequence[str]) -> None:
    step = -(-len(counts) // TICKS)
    ax.barh(range(len(counts)), counts, color=ink(4), height=0.7)
    size = 8 if len(counts) <= 40 else 6
    ax.set_yticks(range(0, len(counts), step), [_short(k, names) for k in range(0, len(counts), step)], fontsize=size)
    ax.set(title=f"{counts.sum()} boxes", xlabel="boxes of each class", ylim=(len(counts) - 0.4, -0.6))
    ax.set_xlim(0, max(1.15 * counts.max(), 1))  # room for the numbers
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.tick_params(axis="y", length=0)
    if step == 1:
        for k, count in enumerate(counts.tolist()):
            ax.annotate(str(count), (count, k), (3, 0), textcoords="offset points", va="center", fontsize=size)
    tidy(ax)
    ax.grid(visible=False, axis="y")


def _heat(figure: Figure, ax: Axes, points: Floats, title: str, x: str, y: str) -> None:
    """How many of the (M, 2) points lie where; both axes in % of the image."""
    edges = np.linspace(0, 100, 41)
    inside = points.clip(0, 100)
    counts, _, _ = np.histogram2d(inside[:, 0], inside[:, 1], bins=[edges, edges])
    ax.set(title=title, xlabel=f"{x}, % of the image", ylabel=f"{y}, % of the image", xlim=(0, 100), ylim=(0, 100))
    if not len(points):
        _nothing(ax)
        return
    # A logarithmic scale: the one crowded place should not make all others look empty.
    norm = LogNorm(1, max(counts.max(), 10))
    shades = ax.pcolormesh(edges, edges, np.ma.masked_equal(counts.T, 0), cmap="viridis_r", norm=norm)
    bar = figure.colorbar(shades, ax=ax, label="boxes")
    bar.ax.yaxis.set_major_formatter("{x:.0f}")
    bar.ax.tick_params(which="minor", length=0)
    tidy(ax)


def _nothing(ax: Axes) -> None:
    ax.text(0.5, 0.5, "no boxes", transform=ax.transAxes, ha="center", va="center", color="0.4")


def _short(k: int, names: Sequence[str]) -> str:
    """The name of class `k` in one line, not too long; a dollar sign stays one (it would start a formula)."""
    text = caption(k, None, names)
    return (text if len(text) <= LONGEST else text[: LONGEST - 1] + "…").replace("$", r"\$")
