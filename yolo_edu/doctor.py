"""The doctor: what can be known before a long training, and which mistake a wrong value points to.

Most failed trainings fail before their first step: boxes in the wrong unit, anchors that fit nothing, classes in
another order. Each check here measures one such thing on the learner's own data and says what to do about it.
"""

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolo_edu.assign import Assignment, Rule, assign
from yolo_edu.boxes import cxcywh_to_xyxy, iou
from yolo_edu.data import Batch, DetectionData, Sample, collate, letterbox
from yolo_edu.errors import UserError
from yolo_edu.loss import Loss, LossSettings, detection_loss
from yolo_edu.model import Detector
from yolo_edu.model.detect import encode_box, prior_logits
from yolo_edu.optim import build_optimizer
from yolo_edu.recipe import Recipe, loss_settings

SURE = 15.0  # a logit that is as good as certain: σ(15) = 1 − 3·10⁻⁷
SAME_BOX = 0.999  # IoU; less than 1 only by rounding
ENOUGH_ASSIGNED = 0.98  # share of boxes, as for anchors
CLASS_MARGIN = 0.99999  # release R7's; R1's makes no difference to see
INITIAL_FACTOR = 2.0  # how far a fresh network's loss may be from the prior's, in either direction
TOGETHER = 32  # samples that are looked at together
OVERFIT = 0.5  # share of the first loss to which one batch must fall


class Finding(NamedTuple):
    """What one check found."""

    check: str
    good: bool
    measured: str  # one line
    advice: str = ""  # what to look at when it is not good

    def __str__(self) -> str:
        line = f"{'✓' if self.good else '✗'} {self.check}: {self.measured}"
        return line if self.good or not self.advice else f"{line}\n    {self.advice}"


def examine(
    model: Detector,
    data: DetectionData,
    recipe: Recipe,
    *,
    device: torch.device,
    steps: int = 80,
    fresh: bool = True,
    progress: Callable[[], object] = lambda: None,
) -> Iterator[Finding]:
    """All checks, the quick ones first; each finding is handed out as soon as it is known.

    Args:
        model: stays as it is; copies are trained.
        data: the training split.
        recipe: batch, training size, optimizer and gains are its.
        device: to compute on.
        steps: of the overfitting check.
        fresh: the model was not trained yet: its first loss follows from its biases.
        progress: called after every step of the overfitting check.
    """
    size = recipe.image_size
    yield round_trip(model, data, size)
    yield assigned_share(model, data, size)
    batch = _with_objects(data, recipe.batch, size)
    settings = loss_settings(model, recipe, size)
    if fresh:
        yield first_loss(model, batch, settings, device=device)
    losses, seconds = overfit(model, batch, recipe, device=device, steps=steps, progress=progress)
    yield _overfitting(losses)
    yield _duration(seconds, len(data), recipe)


# --- labels there and back -------------------------------------------------------------------------------


def perfect_answer(model: Detector, targets: Tensor, images: int, size: int) -> list[Tensor]:
    """The raw maps of a network that knows the truth: wherever a target is assigned, its box, object, class.

    Args:
        model: for its anchors, grids and classes.
        targets: (M, 6) image index, class, cx, cy, w, h; boxes normalized to the square.
        images: B.
        size: side of the square in pixels.

    Returns:
        P3, P4, P5, each (B, A, h, w, 5 + K); where entries share a cell, the last one stands, as in the loss.
    """
    raw = []
    for entries, anchors, grid in zip(*_assigned(model, targets, size), strict=True):
        answer = torch.full((images, len(anchors), *grid, 5 + model.classes), -SURE)
        answer[..., :4] = 0
        for image, anchor, row, column, label, box, _ in zip(*entries, strict=True):
            cell = answer[image, anchor, row, column]
            cell[:4] = encode_box(box, anchors[anchor]).clamp(-SURE, SURE)
            cell[4:] = -SURE
            cell[4] = cell[5 + label] = SURE
        raw.append(answer)
    return raw


def round_trip(model: Detector, data: DetectionData, size: int) -> Finding:
    """Letterbox, assign, encode, decode: does every assigned box come back as itself?"""
    worst, compared, boxes = 1.0, 0, 0
    for samples, targets in _with_targets(data, size):
        boxes += len(targets)
        decoded = model.decode(perfect_answer(model, targets, len(samples), size))
        wanted = torch.cat([letterbox(sample.image, size)[1].apply(sample.boxes) for sample in samples])
        for row, target in _last_entries(model, targets, size):
            image = targets[target, 0].long()
            back = cxcywh_to_xyxy(decoded[image, row, :4])
            overlap = iou(back, wanted[target])
            labels = decoded[image, row, 5:].argmax(dim=-1)
            overlap = torch.where(labels == targets[target, 1].long(), overlap, 0.0)
            worst = min(worst, overlap.min().item()) if len(overlap) else worst
            compared += len(overlap)
    return Finding(
        "labels decode back to themselves",
        worst >= SAME_BOX,
        f"{compared:,} entries of {boxes:,} boxes, worst IoU {worst:.4f}",
        "a box changes between label file, assignment and decoding: look for swapped x and y (row and column), a "
        "wrong unit (pixels, normalized, grid cells) or anchors that were not divided by the stride",
    )


def assigned_share(model: Detector, data: DetectionData, size: int) -> Finding:
    """How many boxes any anchor takes; the others teach the network that there is nothing."""
    total = taken = 0
    unfit = []
    for _, targets in _with_targets(data, size):
        levels, _, _ = _assigned(model, targets, size)
        found = torch.zeros(len(targets), dtype=torch.bool)
        for entries in levels:
            found[entries.target] = True
        total, taken = total + len(targets), taken + int(found.sum())
        unfit += (targets[~found, 4:] * size).round().int().tolist()
    share = taken / max(total, 1)
    sizes = ", ".join(f"{w} × {h}" for w, h in unfit[:5])
    return Finding(
        "boxes that an anchor takes",
        total > 0 and share >= ENOUGH_ASSIGNED,
        f"{taken:,} of {total:,} ({100 * share:.1f} %)" + (f"; left out, in pixels: {sizes}" if unfit else ""),
        "no boxes at all: is this the right split?"
        if total == 0
        else "the anchors do not fit these boxes at this size: see `yolo-edu anchors`, or train at a larger --img-size",
    )


# --- the first loss --------------------------------------------------------------------------------------


def expected_raw(model: Detector, images: int, size: int) -> list[Tensor]:
    """What a fresh network says if its features say nothing yet: every box its anchor, everywhere the prior.

    Returns:
        P3, P4, P5, each (B, A, h, w, 5 + K).
    """
    raw = []
    for stride in model.strides:
        side = size // stride
        level = torch.zeros(images, model.detect.anchors_per_cell, side, side, 5 + model.classes)
        level[..., 4], level[..., 5:] = prior_logits(stride, model.classes, CLASS_MARGIN)
        raw.append(level)
    return raw


def first_loss(model: Detector, batch: Batch, settings: LossSettings, *, device: torch.device) -> Finding:
    """The loss of a fresh network against the one that follows from the prior in its biases."""
    anchors = model.detect.anchors.cpu()
    size = batch.images.shape[-1]
    expected = detection_loss(expected_raw(model, len(batch.images), size), batch.targets, anchors, settings)
    network = copy.deepcopy(model).to(device).train()
    with torch.no_grad():
        measured = detection_loss(network(batch.images.to(device)), batch.targets, anchors, settings)
    parts = [(name, getattr(expected, name).item(), getattr(measured, name).item()) for name in Loss._fields[1:]]
    good = all(e / INITIAL_FACTOR <= m <= e * INITIAL_FACTOR for _, e, m in parts)
    return Finding(
        "first loss as predicted",
        good,
        ", ".join(f"{name} {m:.4f} ({e:.4f} expected)" for name, e, m in parts),
        "a fresh network does not start at its prior: was the bias initialization skipped or done for another number "
        "of classes, is a sigmoid applied twice, are these weights not fresh?",
    )


# --- one batch -------------------------------------------------------------------------------------------


def overfit(
    model: Detector,
    batch: Batch,
    recipe: Recipe,
    *,
    device: torch.device,
    steps: int = 80,
    progress: Callable[[], object] = lambda: None,
) -> tuple[list[float], list[float]]:
    """Train a copy on one batch without augmentation or schedule: total losses, and seconds of each step."""
    network = copy.deepcopy(model).to(device).train()
    settings = loss_settings(model, recipe, batch.images.shape[-1])
    optimizer = build_optimizer(network, recipe)
    images, anchors = batch.images.to(device), model.detect.anchors.cpu()
    losses, seconds = [], []
    for _ in range(steps):
        start = time.perf_counter()
        loss = detection_loss(network(images), batch.targets, anchors, settings).total
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        progress()
        if not math.isfinite(losses[-1]):
            break
    return losses, seconds


def _overfitting(losses: Sequence[float]) -> Finding:
    end = statistics.fmean(losses[-5:])
    share = end / losses[0]
    return Finding(
        "one batch can be learned by heart",
        math.isfinite(share) and share <= OVERFIT,
        f"loss {losses[0]:.2f} → {end:.2f} in {len(losses)} steps ({100 * share:.0f} % of the first)",
        "if not even one batch can be learned, more data will not help: look at the learning rate, at frozen or "
        "detached layers, and at labels that contradict the pictures",
    )


def _duration(seconds: Sequence[float], images: int, recipe: Recipe) -> Finding:
    step = statistics.median(seconds)
    rate = recipe.batch / step
    whole = recipe.epochs * images / rate
    time_needed = f"{whole / 60:.0f} minutes" if whole >= 120 else f"{whole:.0f} seconds"
    return Finding(
        "speed",
        True,
        f"{rate:.0f} images/s at {recipe.image_size} px without augmentation: {recipe.epochs} epochs of {images:,} "
        f"images take at least {time_needed}",
    )


# --- shared ----------------------------------------------------------------------------------------------


def _with_targets(data: DetectionData, size: int) -> Iterator[tuple[list[Sample], Tensor]]:
    """A few samples at a time, with their targets as the loss gets them."""
    for start in range(0, len(data), TOGETHER):
        samples = [data[i] for i in range(start, min(start + TOGETHER, len(data)))]
        yield samples, collate(samples, size).targets


def _assigned(
    model: Detector, targets: Tensor, size: int
) -> tuple[list[Assignment], list[Tensor], list[tuple[int, int]]]:
    """Entries, anchors in cells, and grid of each level."""
    anchors = model.detect.anchors.cpu()
    grids = [(size // stride, size // stride) for stride in model.strides]
    rule: Rule = "r1" if model.release == "yolov5" else "r7"
    return assign(targets, grids, anchors, rule=rule), list(anchors), grids


def _last_entries(model: Detector, targets: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Level by level, of the entries that stand: the row of `decode` (E,), and the target (E,) it came from."""
    first = 0
    for entries, own, (rows, columns) in zip(*_assigned(model, targets, size), strict=True):
        place = first + (entries.anchor * rows + entries.row) * columns + entries.column
        last = {cell: e for e, cell in enumerate(zip(entries.image.tolist(), place.tolist(), strict=True))}
        chosen = torch.tensor(sorted(last.values()), dtype=torch.long)
        yield place[chosen], entries.target[chosen]
        first += len(own) * rows * columns


def _with_objects(data: DetectionData, count: int, size: int) -> Batch:
    """The first images that hold an object, as one batch.

    Raises:
        UserError: there is none.
    """
    chosen: list[Sample] = []
    for sample in data:
        if len(sample.labels):
            chosen.append(sample)
        if len(chosen) == count:
            break
    if not chosen:
        raise UserError(
            f"none of the {len(data)} images holds an object: nothing can be learned. Is this the right split?"
        )
    return collate(chosen, size)
