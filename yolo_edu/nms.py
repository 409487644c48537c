"""Non-maximum suppression: from thousands of rows, most of them about the same few objects, to Detections."""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms as suppress

from yolo_edu.boxes import cxcywh_to_xyxy
from yolo_edu.errors import UserError

CLASS_OFFSET = 7680  # pixels between classes; more than any image the network is run at
MAX_CANDIDATES = 30_000  # per image: suppression compares all pairs, so its time needs a bound


class Detections(NamedTuple):
    """What was found in one image, best first."""

    boxes: Tensor  # float32 (N, 4) xyxy pixels
    scores: Tensor  # float32 (N,) objectness × class probability
    labels: Tensor  # int64 (N,)


def nms(
    decoded: Tensor,
    *,
    confidence: float = 0.25,
    iou: float = 0.45,
    multi_label: bool = False,
    agnostic: bool = False,
    classes: Collection[int] | None = None,
    max_detections: int = 300,
) -> list[Detections]:
    """Greedy suppression as in release R7, image by image.

    A row counts when its objectness is above `confidence` and so is its score, objectness × class
    probability (an objectness below the bar could never make a score above it). Then the best box stays,
    everything that overlaps it too much goes, and so on with the best of the rest.

    Args:
        decoded: (B, N, 5 + K) center x, center y, width, height in pixels, objectness, class probabilities.
        confidence: scores must be greater.
        iou: a box goes when its IoU with a better one is greater.
        multi_label: a row gives one candidate for every class above `confidence`, not only its best class.
            Evaluation wants it: a second guess can only add to recall.
        agnostic: boxes of different classes suppress each other too.
        classes: the only class numbers to keep; None: all.
        max_detections: kept in an image.

    Returns:
        B Detections, boxes in the pixels of `decoded`, on its device.

    Raises:
        UserError: a threshold outside [0, 1].
    """
    for name, value in (("confidence", confidence), ("iou", iou)):
        if not 0 <= value <= 1:
            raise UserError(f"{name} is {value}; it must lie between 0 and 1.")
    found = []
    for rows in decoded:
        boxes, scores, labels = _candidates(rows[rows[:, 4] > confidence], confidence, multi_label)
        if classes is not None:
            chosen = torch.isin(labels, torch.tensor(sorted(classes), device=labels.device, dtype=labels.dtype))
            boxes, scores, labels = boxes[chosen], scores[chosen], labels[chosen]
        scores, order = scores.sort(descending=True, stable=True)
        order, scores = order[:MAX_CANDIDATES], scores[:MAX_CANDIDATES]
        boxes, labels = boxes[order], labels[order]
        # Each class moved to a place of its own: one call then suppresses within classes only.
        apart = boxes if agnostic else boxes + (labels * CLASS_OFFSET)[:, None]
        keep = suppress(apart, scores, iou)[:max_detections]
        found.append(Detections(boxes[keep], scores[keep], labels[keep]))
    return found


def _candidates(rows: Tensor, confidence: float, multi_label: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 5 + K) rows → M boxes (xyxy), scores and labels with a score above `confidence`."""
    boxes = cxcywh_to_xyxy(rows[:, :4])
    products = rows[:, 4:5] * rows[:, 5:]
    if multi_label:
        row, labels = (products > confidence).nonzero(as_tuple=True)
        return boxes[row], products[row, labels], labels
    scores, labels = products.max(dim=1)
    above = scores > confidence
    return boxes[above], scores[above], labels[above]
