"""The loss: where the boxes are, whether there is an object, and of which class."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from yolo_edu.assign import Assignment, Rule, assign
from yolo_edu.boxes import ciou, cxcywh_to_xyxy, giou
from yolo_edu.model.detect import decode_box


@dataclass(frozen=True)
class LossSettings:
    """What the loss weighs and how. Use `LossSettings.r1` or `.r7` for the numbers of a release."""

    rule: Rule = "r7"  # R7: CIoU and its neighbor rule; R1: GIoU and its own
    box: float = 0.05
    objectness: float = 1.0
    classification: float = 0.5
    # P3 has 16 times the cells of P5 and a mean divides by them; the balance gives small objects a voice.
    balance: tuple[float, ...] = (4.0, 1.0, 0.4)
    anchor_threshold: float = 4.0
    focal_gamma: float = 0.0  # 0 switches focal loss off
    label_smoothing: float = 0.0
    class_positive_weight: float = 1.0
    objectness_positive_weight: float = 1.0

    @staticmethod
    def r1(classes: int, *, focal_gamma: float = 0.0, label_smoothing: float = 0.0) -> "LossSettings":
        """Release 1.0's gains for K classes and three levels."""
        return LossSettings(
            rule="r1",
            classification=0.58 * classes / 80,
            balance=(1.0, 1.0, 1.0),
            focal_gamma=focal_gamma,
            label_smoothing=label_smoothing,
        )

    @staticmethod
    def r7(
        classes: int, image_size: int = 640, *, focal_gamma: float = 0.0, label_smoothing: float = 0.0
    ) -> "LossSettings":
        """Release 7.0's gains for K classes, three levels and a training size in pixels."""
        return LossSettings(
            rule="r7",
            objectness=(image_size / 640) ** 2,
            classification=0.5 * classes / 80,
            focal_gamma=focal_gamma,
            label_smoothing=label_smoothing,
        )


class Loss(NamedTuple):
    """Scalars. `total` is what the gradient is taken of: (box + objectness + classification) · batch size."""

    total: Tensor
    box: Tensor
    objectness: Tensor
    classification: Tensor


def detection_loss(
    raw: Sequence[Tensor],
    targets: Tensor,
    anchors: Tensor,
    settings: LossSettings,
    total: Callable[[Tensor], Tensor] | None = None,
) -> Loss:
    """Compare raw predictions with the truth.

    Args:
        raw: P3, P4, P5, each (B, A, h, w, 5 + K), as the network returns them.
        targets: (M, 6) image index, class, cx, cy, w, h; boxes normalized to the image. May stay on the CPU
            with `anchors` while `raw` is on a GPU: assigning is quick there, and nothing waits.
        anchors: (L, A, 2) in grid cells of their level (`model.detect.anchors`), where `targets` are.
        settings: gains and rules.
        total: sums a tensor over several processes that share one batch; the losses of all processes then
            add up to the loss of the batch, and so do their gradients.

    Returns:
        The total and its three parts, already multiplied by their gains.
    """
    raw = [
        x.to(torch.promote_types(x.dtype, torch.float32)) for x in raw
    ]  # a logarithm of small probabilities deserves more than bf16's 8 bits
    grids = [(x.shape[2], x.shape[3]) for x in raw]
    entries = assign(targets, grids, anchors, anchor_threshold=settings.anchor_threshold, rule=settings.rule)
    mine = [len(raw[0]), *(len(level.image) for level in entries)]
    batch, *counts = mine if total is None else total(torch.tensor(mine).to(raw[0], non_blocking=True))
    images = len(raw[0]) / batch  # the share of the batch that is here
    box, objectness, classification = (raw[0].new_zeros(()) for _ in range(3))
    for x, level_anchors, level, balance, count in zip(raw, anchors, entries, settings.balance, counts, strict=True):
        wanted = torch.zeros_like(x[..., 4])
        if len(level.image):
            sizes = level_anchors[level.anchor].to(x.device, non_blocking=True)
            level = Assignment(*(numbers.to(x.device, non_blocking=True) for numbers in level))
            chosen = x[level.image, level.anchor, level.row, level.column]  # (E, 5 + K)
            predicted = decode_box(chosen[:, :4], sizes)
            measure = ciou if settings.rule == "r7" else giou
            overlap = measure(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(level.box))
            box = box + (1 - overlap).sum() / count
            wanted = objectness_target(wanted, level, overlap)
            if x.shape[-1] > 6:  # with one class there is nothing to tell apart
                share = len(level.image) / count
                classification = classification + share * _class_loss(chosen[:, 5:], level.label, settings)
        present = binary_loss(x[..., 4], wanted, settings.objectness_positive_weight, settings.focal_gamma)
        objectness = objectness + images * balance * present
    box, objectness = box * settings.box, objectness * settings.objectness
    classification = classification * settings.classification
    return Loss((box + objectness + classification) * batch, box, objectness, classification)


def objectness_target(empty: Tensor, level: Assignment, overlap: Tensor) -> Tensor:
    """(B, A, h, w) of zeros → how well each assigned cell predicts its box at present, as its objectness target.

    Of several entries in one cell the last stands. A plain indexed write leaves that order to chance
    (on a GPU always, on a CPU for large maps); picking the winner first makes a run repeatable.
    """
    _, anchors, rows, columns = empty.shape
    cell = ((level.image * anchors + level.anchor) * rows + level.row) * columns + level.column
    order = torch.arange(len(cell), device=cell.device)
    last = torch.full((empty.numel(),), -1, device=cell.device).scatter_reduce(0, cell, order, "amax")
    value = overlap.detach().clamp(min=0)[last[cell]].to(empty.dtype)  # equal values for equal cells
    return empty.flatten().scatter(0, cell, value).view_as(empty)


def _class_loss(logits: Tensor, labels: Tensor, settings: LossSettings) -> Tensor:
    """(E, K) logits against (E,) classes: one yes/no question a class, mean over E × K."""
    negative = 0.5 * settings.label_smoothing
    wanted = torch.full_like(logits, negative).scatter(1, labels[:, None], 1 - negative)
    return binary_loss(logits, wanted, settings.class_positive_weight, settings.focal_gamma)


def binary_loss(logits: Tensor, wanted: Tensor, positive_weight: float = 1.0, gamma: float = 0.0) -> Tensor:
    """Mean binary cross-entropy with logits, focal for gamma > 0 (Lin et al. 2017, arXiv:1708.02002; α = 0.25).

    Args:
        logits, wanted: of one shape; wanted in [0, 1].
        positive_weight: multiplies the positive term.
        gamma: how strongly easy examples are silenced.
    """
    weight = None if positive_weight == 1 else logits.new_tensor(positive_weight)
    if gamma == 0:
        return binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight)
    loss = binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight, reduction="none")
    probability = logits.sigmoid()
    right = wanted * probability + (1 - wanted) * (1 - probability)
    alpha = 0.25 * wanted + 0.75 * (1 - wanted)
    return (loss * alpha * (1 - right) ** gamma).mean()
