"""Figures of lesson 11: which cells each term asks, the curves of the two losses, what a cell of each level weighs."""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from yolo_edu.assets import sample_data
from yolo_edu.assign import Assignment, assign
from yolo_edu.boxes import ciou, cxcywh_to_xyxy, giou, iou
from yolo_edu.course.figures.diagram import (
    DIM,
    FADED,
    INK,
    LEVEL_COLORS,
    PLAIN,
    WORK_COLORS,
    canvas,
    hex_color,
    label,
)
from yolo_edu.data import DetectionData, collate, read_spec
from yolo_edu.loss import LossSettings, binary_loss
from yolo_edu.model.detect import STRIDES, Detect, decode_box

__all__ = ["box_gradient_curves", "level_weights", "loss_curves", "loss_terms"]

FIGURE_PHOTOS = (28, 30)  # validation photos of the cards whose boxes stand in the figure of the levels
LOOKS = ((5, "-", "v"), (4, "--", "o"), (2, "-.", "^"), (0, (0, (4, 1, 1, 1)), "s"))  # color number, dashes, marker


# --- who is asked ---------------------------------------------------------------------------------------


def _grid(ax: Axes, left: float, top: float, side: float, count: int, asked: set[tuple[int, int]]) -> None:
    for row in range(count):
        for column in range(count):
            style = (
                {"facecolor": WORK_COLORS["pool"], "hatch": "//"} if (row, column) in asked else {"facecolor": PLAIN}
            )
            corner = left + column * side, top + row * side
            ax.add_patch(Rectangle(corner, side, side, edgecolor=DIM, linewidth=0.8, **style))  # type: ignore[arg-type]


def loss_terms(target: Sequence[float] = (0.40, 0.58, 0.42, 0.50), classes: int = 5) -> Figure:
    """One object on the grid of P5 at 128 pixels: the predictions that each of the three terms asks.

    Args:
        target: cx, cy, w, h, normalized to the square.
        classes: K.
    """
    detect, count = Detect(classes), 4
    row_of_truth = torch.tensor([[0.0, 0.0, *target]])
    (entries,) = assign(row_of_truth, [(count, count)], detect.anchors[-1:])
    cells = set(zip(entries.row.tolist(), entries.column.tolist(), strict=True))
    every = {(row, column) for row in range(count) for column in range(count)}
    predictions = count * count * detect.anchors_per_cell
    figure, ax = canvas(11, 4.9)
    side, top, found = 0.62, 0.85, len(entries.row)
    terms = (
        ("box: where?", cells, f"{found} entries · 4 numbers", "1 − GIoU or 1 − CIoU,\nmean over entries"),
        ("objectness: whether?", every, f"{predictions} predictions · 1 number", "cross-entropy,\nmean over all cells"),
        (
            "class: what?",
            cells,
            f"{found} entries · {classes} numbers",
            "cross-entropy, mean\nover entries and classes",
        ),
    )
    for index, (title, asked, counted, how) in enumerate(terms):
        left = 0.75 + index * 3.55
        middle = left + count * side / 2
        label(ax, middle, 0.4, title, weight="bold", fontsize=15)
        _grid(ax, left, top, side, count, asked)
        cx, cy, w, h = (v * count * side for v in target)
        box = {"fill": False, "edgecolor": INK, "linewidth": 1.6, "linestyle": (0, (5, 3))}
        ax.add_patch(Rectangle((left + cx - w / 2, top + cy - h / 2), w, h, **box))  # type: ignore[arg-type]
        ax.add_patch(Circle((left + cx, top + cy), 0.07, facecolor=WORK_COLORS["marked"], edgecolor=INK, zorder=4))
        label(ax, middle, top + count * side + 0.35, counted, weight="bold", fontsize=12.5)
        label(ax, middle, top + count * side + 0.95, how, fontsize=12.5, color=DIM)
    return figure


# --- curves ---------------------------------------------------------------------------------------------


def _plain(ax: Axes, xlabel: str, ylabel: str) -> None:
    ax.set_xlabel(xlabel, fontsize=12)
    ax.set_ylabel(ylabel, fontsize=12)
    ax.tick_params(labelsize=11)
    ax.spines[["top", "right"]].set_visible(False)


def _draw(ax: Axes, x: Tensor, curves: dict[str, Tensor]) -> None:
    every = max(len(x) // 8, 1)
    for (name, values), (k, dashes, marker) in zip(curves.items(), LOOKS, strict=False):
        style: dict[str, Any] = {
            "color": hex_color(k),
            "linestyle": dashes,
            "marker": marker,
            "markevery": every,
            "markersize": 5,
        }
        ax.plot(x.tolist(), values.tolist(), label=name, **style)


def loss_curves(gammas: Sequence[float] = (1.5, 5.0), smoothing: float = 0.1) -> Figure:
    """Loss of one number against its probability, for the answers no and yes; third, with a smoothed target.

    Args:
        gammas: of the focal losses.
        smoothing: ε of the third panel.
    """
    probability = torch.linspace(0.002, 0.998, 249, dtype=torch.float64)
    logits = probability.logit()

    def curve(wanted: float, gamma: float = 0.0) -> Tensor:
        truth = torch.full_like(logits[:1], wanted)
        return torch.stack([binary_loss(x[None], truth, gamma=gamma) for x in logits])

    figure, axes = plt.subplots(1, 3, figsize=(11, 4.3), layout="constrained", sharey=True)
    for ax, wanted, title in ((axes[0], 0.0, "target 0: nothing here"), (axes[1], 1.0, "target 1: an object")):
        _draw(
            ax, probability, {"cross-entropy": curve(wanted)} | {f"focal, γ = {g:g}": curve(wanted, g) for g in gammas}
        )
        ax.set_title(title, fontsize=13)
    low = smoothing / 2
    smooth = {"target 1": curve(1.0), f"target {1 - low:g}": curve(1 - low), f"target {low:g}": curve(low)}
    _draw(axes[2], probability, smooth)
    for wanted in (1 - low, low):
        least = binary_loss(torch.tensor([wanted]).logit(), torch.tensor([wanted])).item()
        name = "lowest point" if wanted == low else ""
        axes[2].plot(wanted, least, marker="*", markersize=13, color=INK, linestyle="", zorder=5, label=name)
    axes[2].set_title(f"label smoothing ε = {smoothing:g}", fontsize=13)
    for ax in axes:
        ax.set(ylim=(0, 3), xlim=(0, 1))
        _plain(ax, "predicted probability", "loss" if ax is axes[0] else "")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False, fontsize=11)
    plt.close(figure)
    return figure


def box_gradient_curves(target: Sequence[float] = (1.2, 0.5, 1.0, 1.0)) -> Figure:
    """The box loss of one prediction, and its gradient, as its raw x moves; all else is right.

    Args:
        target: cx, cy from the cell's corner, w, h, in grid cells; the anchor is as large.
    """
    truth = torch.tensor(target, dtype=torch.float64)
    x = torch.linspace(-6, 6, 241, dtype=torch.float64).requires_grad_()
    raw = torch.stack([x, ((truth[1] + 0.5) / 2).logit() + 0 * x, 0 * x, 0 * x], dim=-1)
    box = cxcywh_to_xyxy(decode_box(raw, truth[2:]))
    figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), layout="constrained")
    losses, slopes = {}, {}
    for name, measure in (("IoU", iou), ("GIoU", giou), ("CIoU", ciou)):
        loss = 1 - measure(box, cxcywh_to_xyxy(truth))
        (slopes[name],) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
        losses[name] = loss.detach()
    _draw(axes[0], x.detach(), {"center": decode_box(raw, truth[2:])[:, 0].detach()})
    axes[0].axhline(target[0], color=DIM, linestyle=":", linewidth=1.4, label="target's center")
    _draw(axes[1], x.detach(), losses)
    _draw(axes[2], x.detach(), slopes)
    names = ("center, in grid cells", "1 − measure", "gradient with respect to raw x")
    for ax, name in zip(axes, names, strict=True):
        ax.set_title(name, fontsize=13)
        _plain(ax, "raw x", "")
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, frameon=False, fontsize=11, columnspacing=1.0
        )
    axes[2].axhline(0, color=FADED, linewidth=0.8)
    plt.close(figure)
    return figure


# --- what a level weighs --------------------------------------------------------------------------------


def _sample() -> tuple[Tensor, int, int]:
    """Targets, images and side of the square of a few validation photos."""
    data = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=256, cache=False)
    return collate([data[i] for i in FIGURE_PHOTOS], 256).targets, len(FIGURE_PHOTOS), 256


def level_weights(
    targets: Tensor | None = None, images: int = 0, size: int = 0, settings: LossSettings | None = None
) -> Figure:
    """Predictions, entries, and what one prediction weighs in the objectness term, level by level.

    Args:
        targets: (M, 6) image, class, cx, cy, w, h; boxes normalized to the square; None: two photos of cards.
        images: B.
        size: side of the square in pixels.
        settings: whose balance and rule to show; None: release 7.0's.
    """
    if targets is None:
        targets, images, size = _sample()
    settings = settings or LossSettings.r7(5, size)
    detect = Detect(5)
    grids = [(size // stride, size // stride) for stride in STRIDES]
    entries: list[Assignment] = assign(targets, grids, detect.anchors, rule=settings.rule)
    predictions = [images * detect.anchors_per_cell * rows * columns for rows, columns in grids]
    plain = [1e6 / count for count in predictions]
    balanced = [share * factor for share, factor in zip(plain, settings.balance, strict=True)]
    panels: tuple[tuple[str, Sequence[float]], ...] = (
        ("predictions", predictions),
        ("entries", [len(level.image) for level in entries]),
        ("weight of one,\nplain mean", plain),
        (f"weight × {', '.join(f'{b:g}' for b in settings.balance)}", balanced),
    )
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.6), layout="constrained")
    for ax, (title, values) in zip(axes, panels, strict=True):
        bars = ax.bar(list(LEVEL_COLORS), values, color=list(LEVEL_COLORS.values()), edgecolor=INK, linewidth=0.8)
        ax.bar_label(bars, [f"{value:,.0f}" for value in values], padding=2, fontsize=12)
        ax.set_title(title, fontsize=13)
        ax.set_yticks([])
        ax.set_ylim(0, 1.18 * max(values))
        ax.tick_params(labelsize=12, length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
    top = max(plain + balanced)
    for ax in axes[2:]:  # one scale: their bars are to be compared
        ax.set_ylim(0, 1.18 * top)
        ax.set_xlabel("millionths of the term", fontsize=12)
    plt.close(figure)
    return figure


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L11_terms": (
        loss_terms,
        "One object on a grid of 4 × 4 cells, three times: the box term and the class term ask the few assigned "
        "cells, which are hatched; the objectness term asks every prediction of every cell.",
    ),
    "L11_bce_focal": (
        loss_curves,
        "Loss against predicted probability. Focal loss lies below cross-entropy and is flat where the answer is "
        "nearly right; with label smoothing the lowest points, starred, lie inside and above 0.",
    ),
    "L11_box_gradient": (
        box_gradient_curves,
        "As raw x moves, the center follows an S curve; 1 − IoU is flat while the boxes are apart, 1 − GIoU and "
        "1 − CIoU still fall; all gradients vanish at both ends, where the sigmoid saturates.",
    ),
    "L11_levels": (
        level_weights,
        "Bars for P3, P4, P5: P3 has by far the most predictions; in a plain mean one prediction of P5 weighs sixteen "
        "times one of P3, with the balance only a little more.",
    ),
}
