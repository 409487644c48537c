"""Figures of lesson 15: the way from a folder to a detector, doubtful photos, rows of a new head, measured starts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image  # matplotlib brings it
from torch import Tensor

from yolo_edu.boxes import cxcywh_to_xyxy, scale_boxes
from yolo_edu.commands import anchors, detect, doctor, export, lint, test, train
from yolo_edu.course.figures.augmentation_photos import PhotoPanel, photo_panels
from yolo_edu.course.figures.diagram import GRAY, INK, PLAIN, arrow, canvas, hex_color, label, tile
from yolo_edu.course.figures.head_photos import size_cloud
from yolo_edu.files import read_image
from yolo_edu.lint.pictures import Suspect
from yolo_edu.model import YOLOv5v6
from yolo_edu.transfer import prediction_tensors, transfer

__all__ = [
    "fitting_sizes",
    "head_row_pairs",
    "labeled_photos",
    "rows_taken_over",
    "start_dots",
    "suspect_panels",
    "turned_point",
    "way_to_a_detector",
]

# --- the way ---------------------------------------------------------------------------------------------

# command → what it answers; the order is the lesson's
STATIONS = (
    (lint, "is the form right?"),
    (anchors, "do the shapes fit?"),
    (doctor, "can it learn at all?"),
    (train, "learn"),
    (test, "how good is it?"),
    (detect, "look"),
    (export, "for other programs"),
)


def way_to_a_detector() -> Figure:
    """The commands in their order, what goes in, and the two ways back."""
    figure, ax = canvas(10, 4.35)
    names = [module.__name__.rsplit(".", 1)[-1] for module, _ in STATIONS]
    width, high = 1.72, 0.95
    places = [(2.25 + 1.95 * i, 0.5) for i in range(3)] + [(0.3 + 1.95 * i, 2.65) for i in range(4)]
    tile(ax, 0.3, 0.5, 1.45, high, "photos,\nlabels, YAML", color=PLAIN, size=11)
    tile(ax, 8.25, 0.5, 1.45, high, "weights to\nstart from", color=PLAIN, size=11)
    for (x, y), name, (_, question) in zip(places, names, STATIONS, strict=True):
        color = hex_color(2) if name == "train" else hex_color(1)
        tile(ax, x, y, width, high, f"{name}\n{question}", color=color, size=11)
    middle = 0.5 + high / 2
    for x in (1.75, 3.97, 5.92):
        arrow(ax, [(x, middle), (x + (0.5 if x < 2 else 0.23), middle)])
    turn = 0.3 + width / 2
    arrow(ax, [(6.15 + width / 2 + 0.25, 0.5 + high), (7.26, 2.05), (turn, 2.05), (turn, 2.65)])
    ax.plot([8.97, 8.97, 7.26], [0.5 + high, 2.05, 2.05], color=INK, linewidth=1.4)
    for i in range(3):
        arrow(ax, [(0.3 + 1.95 * i + width, 2.65 + high / 2), (0.3 + 1.95 * (i + 1), 2.65 + high / 2)])
    tile(ax, 8.1, 2.65, 1.6, high, "share:\nweights, card", color=PLAIN, size=11)
    arrow(ax, [(0.3 + 1.95 * 3 + width, 2.65 + high / 2), (8.1, 2.65 + high / 2)])
    bend = 0.3 + 1.95 * 2 + width / 2
    arrow(ax, [(bend, 2.65 + high), (bend, 4.0), (0.12, 4.0), (0.12, middle), (0.3, middle)], linestyle=(0, (4, 2)))
    label(ax, bend + 0.12, 3.97, "what it gets wrong: look at the labels again", ha="left", fontsize=11)
    return figure


# --- photos ---------------------------------------------------------------------------------------------

SIDE = 2.6  # inches of a photo's width


def suspect_panels(suspects: Sequence[Suspect]) -> Figure:
    """Photos that the linter doubts: the box that is meant solid, other rows dashed; beside it a second photo meant."""
    panels = []
    for fault, seen, box in suspects:
        image = read_image(seen.image)
        height, width = image.shape[1:]
        others = torch.tensor([row.box for row in seen.rows if row.line != fault.line]).reshape(-1, 4)
        meant = torch.tensor([box]) if box is not None else torch.empty(0, 4)
        solid, dashed = (scale_boxes(cxcywh_to_xyxy(b), width, height) for b in (meant, others))
        title = f"{fault.code}\n{seen.image.stem}"
        panels.append(PhotoPanel(title, image, solid if len(solid) else None, None, dashed if len(dashed) else None))
        if fault.other is not None:
            panels.append(PhotoPanel(f"{fault.code}: the other\n{fault.other.stem}", read_image(fault.other)))
    return photo_panels(panels, columns=3, side=SIDE)


def labeled_photos(photos: Mapping[str, tuple[Path, Path | None]]) -> Figure:
    """Photos side by side, each with the rows of a label file, or without boxes.

    Args:
        photos: title → photo, label file (`class cx cy w h`, normalized) or None.
    """
    panels = []
    for title, (photo, labels) in photos.items():
        image, boxes = read_image(photo), None
        if labels is not None:
            rows = [[float(v) for v in line.split()[1:]] for line in labels.read_text().splitlines()]
            boxes = scale_boxes(cxcywh_to_xyxy(torch.tensor(rows).reshape(-1, 4)), image.shape[2], image.shape[1])
        panels.append(PhotoPanel(title, image, boxes))
    return photo_panels(panels, columns=len(panels), side=SIDE)


def turned_point(photo: Path, x: float, y: float) -> Figure:
    """One point on the pixels as a file stores them, and on the upright photo that its EXIF orientation 6 asks for.

    Args:
        photo: with orientation 6: turned by 90 degrees to the right it stands upright.
        x, y: normalized to the stored pixels.
    """
    with Image.open(photo) as stored:
        lying = torch.from_numpy(np.asarray(stored.convert("RGB")).copy()).permute(2, 0, 1)  # PIL leaves the tag alone
    places = {"as stored": (lying, x, y), "turned as the tag says": (read_image(photo), 1 - y, x)}
    sides = [image.shape[2] / image.shape[1] for image, _, _ in places.values()]
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 4.2), layout="constrained", width_ratios=sides)
    for ax, (title, (image, across, down)) in zip(axes, places.items(), strict=True):
        height, width = image.shape[1:]
        ax.imshow(image.permute(1, 2, 0).numpy())
        ax.set_title(title, fontsize=11)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel("x →", fontsize=11)
        ax.set_ylabel("← y", fontsize=11)
        px, py = across * width, down * height
        ax.plot([0, px, px], [py, py, 0], color="white", linewidth=1.4, linestyle="--")
        ax.plot(px, py, "o", color=hex_color(5), markeredgecolor="white", markersize=10)
        note = f"({across:.2f}, {down:.2f})"
        ha, room = ("left", 9) if across < 0.6 else ("right", -9)
        ax.annotate(
            note,
            (px, py),
            (room, -16),
            textcoords="offset points",
            ha=ha,
            fontsize=12,
            bbox={"facecolor": "white", "edgecolor": INK, "pad": 2},
        )
    plt.close(figure)
    return figure


def fitting_sizes(panels: Mapping[str, tuple[Tensor, Mapping[str, Tensor]]]) -> Figure:
    """`size_cloud` of a small data set: darker dots, and axes that begin where boxes and anchors do."""
    figure = size_cloud(panels)
    least = min(values.min().item() for sizes, sets in panels.values() for values in (sizes, *sets.values()))
    for ax in figure.axes:
        ax.collections[0].set(sizes=[16], alpha=0.75)
        ax.set(xlim=(0.7 * least, 500), ylim=(0.7 * least, 500))
    return figure


# --- rows of the head -----------------------------------------------------------------------------------


def head_row_pairs(new: Sequence[str], old: Sequence[str]) -> dict[int, int]:
    """Row of the new prediction tensor → row of the old one that `transfer` copied there, read off two networks."""
    with torch.random.fork_rng(devices=[]):
        model, source = YOLOv5v6((0.33, 0.125), tuple(new)), YOLOv5v6((0.33, 0.125), tuple(old))
    name = prediction_tensors(model)[0]
    with torch.no_grad():
        mine, theirs = model.state_dict()[name], source.state_dict()[name]
        mine.fill_(-1)
        for row in range(len(theirs)):
            theirs[row] = row
    transfer(model, source)
    found = model.state_dict()[name].flatten(1)[:, 0].round().int().tolist()
    return {row: origin for row, origin in enumerate(found) if origin >= 0}


OLD, NEW = ("jellyfish", "penguin"), ("penguin", "shark", "jellyfish")
BOX = ("x", "y", "w", "h", "objectness")


def rows_taken_over(new: Sequence[str] = NEW, old: Sequence[str] = OLD) -> Figure:
    """The rows of one anchor in the old and in the new head, and which are copied."""
    pairs = {row: origin for row, origin in head_row_pairs(new, old).items() if row < 5 + len(new)}
    height = 0.36
    figure, ax = canvas(8, 1.0 + height * (5 + max(len(new), len(old))))
    columns = {"old": (0.9, old), "new": (5.1, new)}
    label(ax, 0.9, 0.32, f"old head, {5 + len(old)} rows an anchor", ha="left", fontsize=12)
    label(ax, 5.1, 0.32, f"new head, {5 + len(new)} rows an anchor", ha="left", fontsize=12)
    used = {"old": set(pairs.values()), "new": set(pairs)}
    for which, (left, names) in columns.items():
        for row, word in enumerate([*BOX, *names]):
            y = 0.6 + height * row
            color = (hex_color(1) if row < 5 else hex_color(3)) if row in used[which] else "white"
            ax.add_patch(Rectangle((left, y), 2.0, height, facecolor=color, edgecolor=INK, linewidth=0.8, alpha=0.75))
            label(ax, left + 1.0, y + height / 2, word, fontsize=11, parse_math=False)
            label(ax, left - 0.22, y + height / 2, str(row), fontsize=11)
            if which == "new" and row not in pairs:
                label(ax, left + 2.1, y + height / 2, "fresh", ha="left", fontsize=11)
    for row, origin in pairs.items():
        ends = (2.95, 0.6 + height * (origin + 0.5)), (4.6, 0.6 + height * (row + 0.5))
        arrow(ax, ends, color=INK if row >= 5 else GRAY, linewidth=1.6 if row >= 5 else 1.0)
    return figure


# --- what a start buys ----------------------------------------------------------------------------------


def start_dots(measured: Mapping[str, Any]) -> Figure:
    """Median and range of every way to start, in the order of the measurement.

    Args:
        measured: what `benchmarks/transfer.py` wrote.
    """
    rows = measured["table"]
    figure, ax = plt.subplots(figsize=(8, 0.42 * len(rows) + 1.1), layout="constrained")
    scratch = rows[0]
    ax.axvspan(scratch["lowest"], scratch["highest"], color=GRAY, alpha=0.3, linewidth=0)
    for place, row in enumerate(rows):
        ax.plot([row["lowest"], row["highest"]], [place, place], color=INK, linewidth=2, solid_capstyle="butt")
        color = hex_color(0 if place == 0 else 4)
        ax.plot(row["median_map50"], place, "s" if place == 0 else "o", color=color, markeredgecolor=INK, markersize=9)
        first = row["median_first_map50"]
        ax.plot(first, place, "|", color=INK, markersize=13, markeredgewidth=2)
    ax.set_yticks(range(len(rows)), [row["way"] for row in rows], fontsize=11)
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.set_xlabel(
        "mAP50. Mark: median; line: range of the seeds; gray band: range from scratch\n"
        "upright stroke: median after a fifth of the epochs",
        fontsize=10,
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e6e6e6")
    ax.set_axisbelow(True)
    plt.close(figure)
    return figure


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L15_way": (
        way_to_a_detector,
        "Photos, labels and a YAML go through lint, anchors and doctor; with weights to start from into train; then "
        "test, detect, export and share. A dashed arrow leads from detect back to the labels.",
    ),
    "L15_head_rows": (
        rows_taken_over,
        "Rows of one anchor in two prediction tensors. Box and objectness are copied to the same places, penguin and "
        "jellyfish to new places by their names; the row of the shark, which the old head does not know, is fresh.",
    ),
}
