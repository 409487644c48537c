"""Figures of lesson 09 on photos: suppression step by step, and objects that overlap."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from torch import Tensor

from yolo_edu.boxes import pairwise_iou
from yolo_edu.course.figures.diagram import hex_color
from yolo_edu.draw import show_image

__all__ = ["overlapping_labels", "photo_and_square", "suppressed_by", "suppression_steps"]


def suppressed_by(boxes: Tensor, scores: Tensor, threshold: float, labels: Tensor | None = None) -> Tensor:
    """Greedy suppression that remembers who did it.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,), best first.
        threshold: a box goes when its IoU with a kept, better one is greater.
        labels: (N,) classes, which are kept apart; None: all boxes compete.

    Returns:
        int64 (N,): the index of the kept box that removed this one; its own index: it was kept.
    """
    overlap = pairwise_iou(boxes, boxes)
    if labels is not None:
        overlap = overlap * (labels[:, None] == labels)
    owner = torch.full((len(boxes),), -1)
    for i in range(len(boxes)):
        if owner[i] < 0:
            owner[i] = i
            gone = (overlap[i] > threshold) & (owner < 0)
            owner[gone] = i
    return owner


def _frame(ax: Axes, box: Sequence[float], color: str, *, width: float, dash: object = "-") -> None:
    x1, y1, x2, y2 = box
    patch = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=width, linestyle=dash)
    patch.set_path_effects([Stroke(linewidth=width + 1.4, foreground="black", alpha=0.6), Normal()])
    ax.add_patch(patch)


def _name(ax: Axes, box: Sequence[float], name: str, color: str, corner: int) -> None:
    """A name inside a corner of a box, 0 to 3: top left, bottom right, top right, bottom left; others count on."""
    x1, y1, x2, y2 = box
    right, low = corner % 4 in (1, 2), corner % 4 in (1, 3)
    ax.text(
        x2 if right else x1,
        y2 if low else y1,
        name,
        ha="right" if right else "left",
        va="bottom" if low else "top",
        fontsize=13,
        weight="bold",
        color=color,
        path_effects=[Stroke(linewidth=3.5, foreground="black"), Normal()],
    )


def photo_and_square(pictures: Mapping[str, tuple[Tensor, Tensor]], names: Sequence[str]) -> Figure:
    """The same boxes in several pictures, drawn to one scale, with the pixels on the axes.

    Args:
        pictures: frame → picture (3, H, W) and boxes (N, 4) xyxy in its pixels.
        names: of the N boxes.
    """
    widths = [image.shape[2] for image, _ in pictures.values()]
    highest = max(image.shape[1] for image, _ in pictures.values())
    figure, axes = plt.subplots(1, len(pictures), figsize=(10, 5.4), layout="constrained", width_ratios=widths)
    for ax, (frame, (image, boxes)) in zip(axes, pictures.items(), strict=True):
        show_image(ax, image)
        ax.set_ylim(highest, 0)
        for k, (box, name) in enumerate(zip(boxes.tolist(), names, strict=True)):
            _frame(ax, box, hex_color(k), width=2.4)
            _name(ax, box, name, hex_color(k), 2 * k + 1)
        ax.set_axis_on()
        height, width = image.shape[1:]
        ax.set(xticks=[0, width], yticks=[0, height])
        ax.tick_params(labelsize=12)
        ax.spines[:].set_visible(False)
        ax.set_title(f"{frame}, {width} × {height} pixels", fontsize=13)
    plt.close(figure)
    return figure


def suppression_steps(
    image: Tensor, boxes: Tensor, scores: Tensor, labels: Tensor, names: Sequence[str], *, threshold: float = 0.45
) -> Figure:
    """All candidates, then a panel for every box that is kept, with the ones that go because of it, then the result.

    Args:
        image: (3, H, W).
        boxes: (N, 4) xyxy in its pixels.
        scores: (N,), best first.
        labels: (N,) classes; boxes of different classes do not compete.
        names: of the classes.
        threshold: a box goes when its IoU with a kept, better one of its class is greater.
    """
    owner = suppressed_by(boxes, scores, threshold, labels)
    kept = [i for i, o in enumerate(owner.tolist()) if i == o]
    panels = len(kept) + 2
    columns = 3
    rows = -(-panels // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(10, 3.55 * rows), layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax in axes.flat[:panels]:
        show_image(ax, image)
    colors = [hex_color(k) for k in labels.tolist()]
    first, last = axes.flat[0], axes.flat[panels - 1]
    for i in reversed(range(len(boxes))):
        _frame(first, boxes[i].tolist(), colors[i], width=1)
    first.set_title(f"{len(boxes)} candidates", fontsize=12)
    for step, (ax, i) in enumerate(zip(axes.flat[1:], kept, strict=False), start=1):
        gone = [j for j, o in enumerate(owner.tolist()) if o == i and j != i]
        for j in gone:
            _frame(ax, boxes[j].tolist(), "#f2f2f2", width=1, dash=(0, (3, 2)))
        _frame(ax, boxes[i].tolist(), colors[i], width=3)
        ax.set_title(f"step {step}: keep {names[int(labels[i])]} {scores[i]:.2f}, {len(gone)} go", fontsize=12)
    for corner, i in enumerate(kept):
        _frame(last, boxes[i].tolist(), colors[i], width=2.4)
        _name(last, boxes[i].tolist(), names[int(labels[i])], colors[i], corner)
    last.set_title(f"{len(kept)} are left", fontsize=12)
    plt.close(figure)
    return figure


def overlapping_labels(
    image: Tensor, boxes: Tensor, labels: Tensor, names: Sequence[str], lost: Sequence[int], *, margin: float = 25
) -> Figure:
    """A photo's true boxes, and the place where suppression would lose one, enlarged.

    Dashed: the boxes that go. Thick: the box of the same class that overlaps the first of them most.

    Args:
        image: (3, H, W).
        boxes: (N, 4) xyxy in its pixels.
        labels: (N,) classes.
        names: of the classes.
        lost: indices of the boxes that go; at least one.
        margin: pixels around the first of them and its rival in the second panel.
    """
    height, width = image.shape[1:]
    overlap = pairwise_iou(boxes[lost[:1]], boxes)[0] * (labels == labels[lost[0]])
    overlap[list(lost)] = 0
    rival = int(overlap.argmax())
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
    for ax in axes:
        show_image(ax, image)
        ax.set_axis_off()
        for i, box in enumerate(boxes.tolist()):
            if i in lost:
                _frame(ax, box, hex_color(3), width=2.6, dash=(0, (4, 2)))
            else:
                _frame(ax, box, hex_color(1), width=2.8 if i == rival else 1)
    place = boxes[[lost[0], rival]]
    (x1, y1), (x2, y2) = place[:, :2].amin(dim=0).tolist(), place[:, 2:].amax(dim=0).tolist()
    axes[1].set(
        xlim=(max(x1 - margin, 0), min(x2 + margin, width)), ylim=(min(y2 + margin, height), max(y1 - margin, 0))
    )
    axes[0].set_title(f"{len(boxes)} true boxes", fontsize=12)
    axes[1].set_title(
        f"the dashed {names[int(labels[lost[0]])]} would go: IoU {overlap[rival]:.2f} with the thick one", fontsize=12
    )
    plt.close(figure)
    return figure
