"""Figures of lesson 09: measures of overlap, and the precision-recall curve with its envelope."""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from yolo_edu.boxes import area, ciou, diou, giou, iou
from yolo_edu.course.figures.boxes_descent import Descent, box_descent, descend, scattered_pairs
from yolo_edu.course.figures.boxes_photos import overlapping_labels, photo_and_square, suppressed_by, suppression_steps
from yolo_edu.course.figures.diagram import DIM, FADED, INK, PLAIN, WORK_COLORS, canvas, hex_color, label
from yolo_edu.metrics import RECALLS, average_precision, precision_recall

__all__ = [
    "Descent",
    "box_descent",
    "descend",
    "iou_family",
    "overlapping_labels",
    "photo_and_square",
    "pr_envelope",
    "scattered_pairs",
    "suppressed_by",
    "suppression_steps",
]

Box = tuple[float, float, float, float]
TARGET, GUESS = hex_color(4), hex_color(5)  # blue, vermilion; the guess is dashed as well
PAIRS: tuple[tuple[Box, Box], ...] = (((4, 10, 64, 50), (40, 30, 76, 90)), ((2, 8, 38, 32), (52, 44, 76, 90)))


# --- the family of IoU ----------------------------------------------------------------------------------


class _Pen:
    """Draws boxes that are given in pixels at a place of the page."""

    def __init__(self, ax: Axes, x: float, y: float, scale: float) -> None:
        self.ax, self.x, self.y, self.scale = ax, x, y, scale

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.x + x * self.scale, self.y + y * self.scale

    def box(self, box: Sequence[float], **style: object) -> None:
        x1, y1, x2, y2 = box
        settings = {"fill": False, "linewidth": 2.2} | style
        self.ax.add_patch(Rectangle(self.at(x1, y1), (x2 - x1) * self.scale, (y2 - y1) * self.scale, **settings))  # type: ignore[arg-type]

    def line(self, start: Sequence[float], end: Sequence[float], **style: object) -> None:
        self.ax.plot(*zip(self.at(*start), self.at(*end), strict=True), **style)  # type: ignore[arg-type]

    def pair(self, guess: Sequence[float], target: Sequence[float], **style: object) -> None:
        self.box(target, edgecolor=TARGET, **style)
        self.box(guess, edgecolor=GUESS, linestyle=(0, (5, 2)), **style)


def iou_family(pairs: Sequence[tuple[Box, Box]] = PAIRS) -> Figure:
    """What each measure looks at, for pairs of boxes in pixels, a row each.

    Args:
        pairs: (guess, target), xyxy in a frame of about 80 × 96 pixels.
    """
    figure, ax = canvas(12.0, 1.0 + 3.45 * len(pairs))
    titles = (
        "IoU: overlap\nover union",
        "GIoU: minus the empty\nshare of the hull",
        "DIoU: minus (center line\n÷ dotted diagonal)²",
        "CIoU: and minus the turn\nbetween the diagonals",
    )
    for column, title in enumerate(titles):
        label(ax, 1.55 + 2.97 * column, 0.5, title, weight="bold")
    for row, (guess, target) in enumerate(pairs):
        pens = [_Pen(ax, 0.42 + 2.97 * column, 1.08 + 3.45 * row, 0.027) for column in range(4)]
        _iou_panel(pens[0], guess, target)
        _hull_panel(pens[1], guess, target)
        _center_panel(pens[2], guess, target)
        _shape_panel(pens[3], guess, target)
        for column, text in enumerate(_family_words(torch.tensor(guess), torch.tensor(target))):
            label(ax, 1.55 + 2.97 * column, 1.08 + 3.45 * row + 2.97, text)
    return figure


def _family_words(guess: Tensor, target: Tensor) -> list[str]:
    """The four values of a pair, as sums whose parts come from the module."""
    low, high = torch.maximum(guess[:2], target[:2]), torch.minimum(guess[2:], target[2:])
    shared = float(area(torch.cat([low, high])))
    union = float(area(guess) + area(target)) - shared
    base, general, distance, complete = (float(f(guess, target)) for f in (iou, giou, diou, ciou))
    return [
        f"{shared:,.0f} / {union:,.0f}\nIoU = {base:.2f}",
        f"{base:.2f} − {base - general:.2f}\nGIoU = {_signed(general)}",
        f"{base:.2f} − {base - distance:.2f}\nDIoU = {_signed(distance)}",
        f"{_signed(distance)} − {distance - complete:.3f}\nCIoU = {_signed(complete)}",
    ]


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _hull(guess: Box, target: Box) -> Box:
    (a, b, c, d), (e, f, g, h) = guess, target
    return min(a, e), min(b, f), max(c, g), max(d, h)


def _iou_panel(pen: _Pen, guess: Box, target: Box) -> None:
    for box in (guess, target):
        pen.box(box, facecolor="#e4e4e4", edgecolor="none", fill=True)
    x1, y1, x2, y2 = (
        max(guess[0], target[0]),
        max(guess[1], target[1]),
        min(guess[2], target[2]),
        min(guess[3], target[3]),
    )
    if x1 < x2 and y1 < y2:
        pen.box((x1, y1, x2, y2), facecolor=WORK_COLORS["pool"], edgecolor="none", fill=True)
    pen.pair(guess, target)
    label(pen.ax, pen.at(*guess[:2])[0], pen.at(*guess[:2])[1] - 0.14, "guess", ha="left", fontsize=12)
    label(pen.ax, pen.at(*target[2:])[0], pen.at(*target[2:])[1] + 0.14, "target", ha="right", fontsize=12)


def _hull_panel(pen: _Pen, guess: Box, target: Box) -> None:
    pen.box(_hull(guess, target), facecolor=PLAIN, edgecolor="#8a8a8a", hatch="///", fill=True, linewidth=1)
    for box in (guess, target):
        pen.box(box, facecolor="#e4e4e4", edgecolor="none", fill=True)
    pen.pair(guess, target)


def _center_panel(pen: _Pen, guess: Box, target: Box) -> None:
    hull = _hull(guess, target)
    pen.box(hull, edgecolor=FADED, linewidth=1)
    pen.pair(guess, target, alpha=0.55)
    pen.line(hull[:2], hull[2:], color=DIM, linewidth=1.4, linestyle=(0, (2, 2)))
    centers = [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in (guess, target)]
    pen.line(*centers, color=INK, linewidth=3, marker="o", markersize=6)


def _shape_panel(pen: _Pen, guess: Box, target: Box) -> None:
    """Both boxes in one corner: what differs now is size, and the slope of the diagonals is the shape."""
    for (x1, y1, x2, y2), color, dash in ((target, TARGET, "-"), (guess, GUESS, (0, (5, 2)))):
        w, h = x2 - x1, y2 - y1
        pen.box((8, 16, 8 + w, 16 + h), edgecolor=color, linestyle=dash, alpha=0.55)
        pen.line((8, 16), (8 + w, 16 + h), color=color, linewidth=2.6, linestyle=dash)


# --- precision and recall -------------------------------------------------------------------------------

RIGHT = (True, True, False, True, False, False, True, False, True, False)


def pr_envelope(right: Sequence[bool] = RIGHT, objects: int = 6) -> Figure:
    """A small precision-recall curve, row by row, with the envelope whose area is the average precision.

    Args:
        right: of the detections of one class, the surest first.
        objects: of that class.
    """
    precision, recall = precision_recall(right, objects)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    ap = float(average_precision(np.array(right)[:, None], objects)[0])
    figure, (table, ax) = plt.subplots(
        1, 2, figsize=(11, 4.8), layout="constrained", gridspec_kw={"width_ratios": (1, 1.35)}
    )
    _rows(table, right, precision, recall)
    reached = [0.0, *recall.tolist()]
    edge = [*envelope.tolist()]
    ax.fill_between(reached, [edge[0], *edge], step="pre", color=hex_color(1), alpha=0.3, linewidth=0)
    ax.step(reached, [edge[0], *edge], where="pre", color=hex_color(4), linewidth=2.6, label="envelope")
    ax.plot(recall, precision, color=hex_color(5), marker="o", linestyle=(0, (4, 2)), label="as counted")
    ax.plot(
        RECALLS[::10],
        [envelope[np.searchsorted(recall, r)] if r <= recall[-1] else 0 for r in RECALLS[::10]],
        linestyle="none",
        marker="|",
        markersize=12,
        color=INK,
        label="every tenth of 101 readings",
    )
    ax.set(xlim=(-0.02, 1.03), ylim=(0, 1.08))
    ax.set_xlabel("recall", fontsize=12)
    ax.set_ylabel("precision", fontsize=12)
    ax.set_title(f"AP = {ap:.3f}, the mean of the readings", fontsize=13)
    ax.tick_params(labelsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=12, loc="lower left")
    plt.close(figure)
    return figure


def _rows(ax: Axes, right: Sequence[bool], precision: np.ndarray, recall: np.ndarray) -> None:
    """Rank, verdict, precision and recall as fractions, a line a detection."""
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(len(right) + 0.5, -0.7))
    places = (0.08, 0.32, 0.62, 0.9)
    for x, head in zip(places, ("rank", "right?", "precision", "recall"), strict=True):
        ax.text(x, -0.1, head, ha="center", va="center", fontsize=12, weight="bold", color=INK)
    hits = np.cumsum(right)
    objects = round(float(hits[-1] / recall[-1])) if recall[-1] else 0
    for i, good in enumerate(right):
        texts = (f"{i + 1}", "yes" if good else "no", f"{hits[i]}/{i + 1} = {precision[i]:.2f}", f"{hits[i]}/{objects}")
        for x, text in zip(places, texts, strict=True):
            ax.text(x, i + 0.9, text, ha="center", va="center", fontsize=12, color=INK if good else DIM)


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L09_iou_family": (
        iou_family,
        "Two pairs of boxes, one overlapping, one apart: overlap and union, the hatched empty part of the hull, the "
        "line between the centers beside the hull's diagonal, both diagonals from one corner; IoU, GIoU, DIoU, CIoU",
    ),
    "L09_pr_envelope": (
        pr_envelope,
        "Ten detections with their running precision and recall; the zigzag they draw, and above it the falling "
        "staircase of the envelope, whose area is the average precision",
    ),
    "L09_box_descent": (
        box_descent,
        "A box on its way to its target by IoU, GIoU, DIoU and CIoU: with IoU it never moves; below, the mean IoU "
        "of many pairs over the steps, and how the boxes swell on the way",
    ),
}
