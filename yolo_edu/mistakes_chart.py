"""A detector's mistakes as matplotlib figures: what each part costs, how many of each type, and how they look.

Like `yolo_edu.charts`: values in, a closed figure out, and nothing told by color alone.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from yolo_edu.caption import caption
from yolo_edu.chart_style import closed_figure, ink, tidy
from yolo_edu.data import DetectionData, Sample
from yolo_edu.draw import draw_boxes, show_image
from yolo_edu.errors import UserError
from yolo_edu.mistakes import KINDS, Account, Mistake
from yolo_edu.nms import Detections
from yolo_edu.oracle import Gain

# Type → hue and hatch: alike in no two of them, so that gray prints can be read too.
LOOKS = {
    "localization": (0, ""),
    "confusion": (1, "///"),
    "both": (2, "..."),
    "duplicate": (3, "xxx"),
    "background": (4, "\\\\\\"),
    "missed": (6, "|||"),
}
LISTED = 30  # classes in the bar chart: of more, those with the most mistakes
LONGEST = 24  # letters of a class name


def gain_chart(panels: Mapping[str, Sequence[Gain]]) -> Figure:
    """How much mAP is won when one thing is replaced by the truth: two bars each, mAP50 and mAP50-95.

    Args:
        panels: title → what `yolo_edu.oracle.measure_gains` returns: first the detector as it is, which has no bar,
            then one for each bar.
    """
    if not panels or any(not gains for gains in panels.values()):
        raise UserError("no gains to draw: give what measure_gains returned, at least one panel.")
    rows = [max(len(gains) - 1, 1) for gains in panels.values()]
    with closed_figure(8, 0.52 * sum(rows) + 0.9 * len(rows) + 0.6) as figure:
        axes = figure.subplots(len(rows), 1, squeeze=False, sharex=True, height_ratios=rows)[:, 0]
        numbers = [g for gains in panels.values() for gain in gains[1:] for g in (gain.gain50, gain.gain)]
        numbers = [number for number in numbers if math.isfinite(number)]  # without objects there is no mAP
        low, high = min([0, *numbers]), max([0.01, *numbers])
        for ax, (title, (start, *gains)) in zip(axes, panels.items(), strict=True):
            y = np.arange(len(gains))
            series = (
                ("mAP50", 4, "", -0.19, [g.gain50 for g in gains]),
                ("mAP50-95", 0, "///", 0.19, [g.gain for g in gains]),
            )
            for name, hue, hatch, shift, values in series:
                ax.barh(
                    y + shift, values, 0.36, color=ink(hue), hatch=hatch, edgecolor="white", linewidth=0, label=name
                )
                for row, value in zip(y, values, strict=True):
                    value = round(value, 3) + 0.0  # no -0.000
                    text, side = f"{value:+.3f}", -1 if value < 0 else 1
                    if math.isnan(value):
                        text, value = "no objects", 0.0
                    ax.annotate(
                        text,
                        (value, row + shift),
                        (3 * side, 0),
                        textcoords="offset points",
                        va="center",
                        ha="left" if side > 0 else "right",
                        fontsize=8,
                    )
            ax.axvline(0, color="black", linewidth=0.8)
            ax.set_yticks(y, [gain.name for gain in gains])
            ax.set(
                ylim=(max(len(gains), 1) - 0.5, -0.5),
                xlim=(low - 0.12 * (high - low) * (low < 0), high + 0.12 * (high - low)),
            )
            ax.set_title(
                f"{title}\nas it is: mAP50 {start.map50:.3f}, mAP50-95 {start.map:.3f}", fontsize=10, loc="left"
            )
            ax.tick_params(axis="y", length=0)
            tidy(ax)
            ax.grid(visible=False, axis="y")
        axes[-1].set_xlabel("gained")
        axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def mistake_chart(account: Account) -> Figure:
    """How many mistakes of each type every class has: stacked bars with their numbers, types in the key.

    A wrong detection stands in the class it said, a missed object in its own. Of more than 30 classes only those
    with the most mistakes.
    """
    counts = np.array(list(account.counts().values())).reshape(len(KINDS), -1)  # (6, K)
    chosen = np.sort(np.argsort(-counts.sum(axis=0), kind="stable")[:LISTED])
    totals = account.totals()
    with closed_figure(9, 0.32 * max(len(chosen), 1) + 2.9) as figure:
        ax = figure.subplots()
        left = np.zeros(len(chosen))
        for (hue, hatch), row in zip(LOOKS.values(), counts[:, chosen], strict=True):
            ax.barh(range(len(chosen)), row, 0.7, left, color=ink(hue), hatch=hatch, edgecolor="white", linewidth=0.8)
            for y, (start, count) in enumerate(zip(left, row, strict=True)):
                if count:
                    box = {"facecolor": "white", "edgecolor": "none", "boxstyle": "round,pad=0.15", "alpha": 0.9}
                    ax.text(start + count / 2, y, str(count), ha="center", va="center", fontsize=8, bbox=box)
            left += row
        names = [_short(caption(k, None, account.names)) for k in chosen.tolist()]
        ax.set_yticks(range(len(chosen)), names, fontsize=8 if len(names) <= 15 else 7)
        ax.set(ylim=(len(chosen) - 0.4, -0.6), xlim=(0, max(1.05 * left.max(initial=0), 1)), xlabel="mistakes")
        some = "" if len(chosen) == len(account.names) else f", the {len(chosen)} weakest classes"
        title = f"{sum(totals.values())} mistakes above confidence {account.confidence:.2f}{some}"
        found = f"{sum(account.right)} of {sum(account.objects)} objects found by {sum(account.detections)} detections"
        ax.set_title(f"{title}\n{found}", fontsize=10, loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.tick_params(axis="y", length=0)
        tidy(ax)
        ax.grid(visible=False, axis="y")
        handles = [Patch(facecolor=ink(hue), hatch=hatch, edgecolor="white") for hue, hatch in LOOKS.values()]
        texts = [f"{totals[kind]}  {kind}: {meaning}" for kind, meaning in KINDS.items()]
        figure.legend(handles, texts, loc="outside lower left", frameon=False, fontsize=8, ncols=2, handlelength=2.4)
    return figure


def mistake_photos(
    photos: DetectionData | Sequence[Sample],
    found: Sequence[Detections],
    account: Account,
    *,
    each: int = 3,
) -> Figure:
    """A contact sheet: a row for each type of mistake that occurs, with up to `each` examples.

    Dashed the truth, solid the detection. Of the truth the object that the mistake is about, and where it is about
    none all of the photo's; of a duplicate the surer detection too. Types that do not occur are named at the foot.

    Args:
        photos: the images with their truth, in the same order as in `account`, with pixels.
        found: the detections that `account` was made from, in pixels of `photos`.
        account: what `yolo_edu.mistakes.find_mistakes` returned.
        each: examples of a type, at least 1.
    """
    if each < 1:
        raise UserError(f"{each} examples of each type: must be at least 1.")
    if len(photos) != len(found):
        raise UserError(f"{len(photos)} photos, but detections of {len(found)}: give one Detections a photo.")
    if any(not photos[mistake.image].image.numel() for mistake in account.mistakes[:1]):
        raise UserError("the photos have no pixels: give the data set itself, not the truth that detect_all returns.")
    rows = {kind: examples for kind in KINDS if (examples := account.examples(kind, each))}
    absent = [kind for kind in KINDS if kind not in rows]
    totals = account.totals()
    columns = max(each, 2)  # the headings need the width of two
    side, head, foot = 2.6, 0.66, 0.45  # inches: width of a picture, room above and below
    tall = {kind: max(_aspect(photos[m.image]) for m in examples) for kind, examples in rows.items()}
    height = sum(side * tall[kind] + head for kind in rows) + foot
    with closed_figure(side * columns, height) as figure:
        figure.set_layout_engine("none")
        top = height
        for kind, examples in rows.items():
            figure.text(0.006, (top - 0.06) / height, f"{kind} ({totals[kind]})", va="top", fontsize=10, weight="bold")
            figure.text(0.99, (top - 0.08) / height, KINDS[kind], va="top", ha="right", fontsize=8.5)
            top -= head + side * tall[kind]
            for column, mistake in enumerate(examples):
                place = (column + 0.01) / columns, top / height, 0.98 / columns, side * tall[kind] / height
                ax = figure.add_axes(place, anchor="N")
                _show(ax, mistake, photos[mistake.image], found[mistake.image], account)
        text = "dashed: truth, solid: detected" + (f"\ndoes not occur: {', '.join(absent)}" if absent else "")
        figure.text(0.006, 0.06 / height, text, fontsize=8.5)
    return figure


def _show(ax: Axes, mistake: Mistake, sample: Sample, found: Detections, account: Account) -> None:
    """One photo with the boxes that the mistake is about, and above it what was said and what is there."""
    show_image(ax, sample.image)
    wanted = slice(None) if mistake.truth is None else slice(mistake.truth, mistake.truth + 1)
    said = [i for i in (mistake.better, mistake.detection) if i is not None]
    # The truth without captions: they would stand where those of the detections stand.
    draw_boxes(ax, sample.boxes[wanted], dashed=True)
    draw_boxes(ax, found.boxes[said], found.labels[said], found.scores[said], names=account.names)
    score = None if mistake.kind == "missed" else mistake.score
    words = _short(caption(mistake.label, score, account.names), LONGEST + 5)
    if mistake.kind == "missed":
        second = f"closest detection: IoU {mistake.iou:.2f}" if mistake.iou else "no detection touches it"
    elif mistake.truth is None:
        second = f"closest object: IoU {mistake.iou:.2f}" if mistake.iou else "touches no object"
    else:
        is_ = _short(caption(int(sample.labels[mistake.truth]), None, account.names))
        second = f"truth: {is_}, IoU {mistake.iou:.2f}"
    ax.set_title(f"photo {mistake.image}: {words}\n{second}", fontsize=8, pad=3)


def _aspect(sample: Sample) -> float:
    """Height by width."""
    return sample.image.shape[1] / sample.image.shape[2]


def _short(text: str, longest: int = LONGEST) -> str:
    """Not too long; a dollar sign stays one (it would start a formula)."""
    return (text if len(text) <= longest else text[: longest - 1] + "…").replace("$", r"\$")
