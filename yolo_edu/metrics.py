"""Counting hits and misses: matching, precision and recall, average precision, confusion.

The curves are computed in float64 numpy, like the COCO tools that `yolo_edu.evaluate` uses for its mAP.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from yolo_edu.boxes import pairwise_iou
from yolo_edu.nms import Detections

Floats = NDArray[np.float64]

IOU_THRESHOLDS = torch.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)  # where COCO reads the curve
CONFIDENCES = np.linspace(0, 1, 1000)  # where the curves over the threshold are read
SMOOTHING = 101  # of those: one lucky detection in a small data set should not choose the threshold


def match(detections: Detections, boxes: Tensor, labels: Tensor, thresholds: Tensor = IOU_THRESHOLDS) -> Tensor:
    """Which detections of one image are right, by the rule of release R7.

    Every detection names the label of its own class that it overlaps most. Of those that name the same
    label with IoU ≥ threshold, the first is right and the others are duplicates, hence wrong. (The COCO
    tools let a detection whose first choice is taken try its second.)

    Args:
        detections: N of them, best first.
        boxes: (M, 4) true boxes, xyxy in the same pixels.
        labels: (M,) their classes.
        thresholds: (T,) IoUs, above 0.

    Returns:
        (N, T) bool.
    """
    if not len(labels):
        return torch.zeros(len(detections.labels), len(thresholds), dtype=torch.bool)
    same = detections.labels[:, None] == labels
    overlap, named = (pairwise_iou(detections.boxes, boxes) * same).max(dim=1)  # (N, M) → (N,)
    close = overlap[:, None] >= thresholds  # (N, T)
    names = named[:, None] == torch.arange(len(labels))  # (N, M): exactly one true a row
    claims = names[:, :, None] & close[:, None]  # (N, M, T)
    return (claims & (claims.cumsum(dim=0) == 1)).any(dim=1)


def precision_recall(correct: ArrayLike, truths: int) -> tuple[Floats, Floats]:
    """The curve that a falling confidence threshold draws.

    Args:
        correct: (N, ...) which detections of one class are right, best score first.
        truths: objects of that class, at least 1.

    Returns:
        precision and recall, (N, ...) each: row i with the i + 1 best detections reported.
    """
    right = np.cumsum(np.asarray(correct, dtype=np.float64), axis=0)
    reported = np.arange(1, len(right) + 1).reshape(-1, *[1] * (right.ndim - 1))
    return right / reported, right / truths


def average_precision(correct: ArrayLike, truths: int) -> Floats:
    """Area under the precision-recall curve, as COCO measures it (Lin et al. 2014, arXiv:1405.0312).

    The mean, over 101 recalls 0, 0.01, … 1, of the best precision at that recall or a higher one; 0 for a
    recall that is never reached.

    Args:
        correct: (N, T) which detections of one class are right at each IoU threshold, best score first.
        truths: objects of that class.

    Returns:
        (T,) in [0, 1]; nan where there is nothing to find.
    """
    hits = np.asarray(correct, dtype=bool)
    if truths == 0:
        return np.full(hits.shape[1], np.nan)
    precision, recall = precision_recall(hits, truths)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    beyond = np.concatenate([envelope, np.zeros((1, hits.shape[1]))])  # the row of a recall never reached
    return np.array(
        [beyond[np.searchsorted(recall[:, t], RECALLS), t].mean() for t in range(hits.shape[1])],
    )


class Curves(NamedTuple):
    """How every class does at each of the CONFIDENCES; nan for classes without objects."""

    precision: Floats  # (K, 1000)
    recall: Floats  # (K, 1000)
    f1: Floats  # (K, 1000) their harmonic mean


def confidence_curves(correct: ArrayLike, scores: ArrayLike, labels: ArrayLike, truths: ArrayLike) -> Curves:
    """What is left when only detections above a threshold are reported, for 1000 thresholds.

    Args:
        correct: (N,) which detections of the whole data set are right (at IoU 0.5), in any order.
        scores: (N,) their scores.
        labels: (N,) their classes.
        truths: (K,) objects of each class.

    Returns:
        The curves, linear between one score and the next, as release R7 reads them.
    """
    hits, score, label = np.asarray(correct, dtype=bool), np.asarray(scores), np.asarray(labels)
    counts = np.asarray(truths)
    order = np.argsort(-score, kind="stable")
    precision, recall = np.full((2, len(counts), len(CONFIDENCES)), np.nan)
    for k in np.flatnonzero(counts):
        rows = order[label[order] == k]
        if not len(rows):
            precision[k] = recall[k] = 0  # says nothing, so finds nothing
            continue
        p, r = precision_recall(hits[rows], counts[k])
        # np.interp wants rising x, hence the signs. Above the best score nothing is found, nor wrong.
        precision[k] = np.interp(-CONFIDENCES, -score[rows], p, left=1)
        recall[k] = np.interp(-CONFIDENCES, -score[rows], r, left=0)
    return Curves(precision, recall, 2 * precision * recall / (precision + recall + 1e-16))


class BestF1(NamedTuple):
    """Precision and recall at the confidence threshold that balances them best."""

    confidence: float
    precision: Floats  # (K,), nan for classes without objects
    recall: Floats  # (K,)
    f1: Floats  # (K,) their harmonic mean


def best_f1(curves: Curves) -> BestF1:
    """The one threshold, common to all classes, where the mean F1 is highest, as release R7 finds it.

    The mean F1 is smoothed before its highest point is taken: on a small data set the sharp maximum is luck.
    Without any object the threshold is nan.
    """
    known = ~np.isnan(curves.f1[:, 0])
    if not known.any():
        return BestF1(float("nan"), *(curve[:, 0] for curve in curves))
    padded = np.pad(curves.f1[known].mean(axis=0), SMOOTHING // 2, mode="edge")
    best = np.convolve(padded, np.full(SMOOTHING, 1 / SMOOTHING), mode="valid").argmax()
    return BestF1(float(CONFIDENCES[best]), *(curve[:, best] for curve in curves))


def confusion_matrix(
    detections: Detections,
    boxes: Tensor,
    labels: Tensor,
    classes: int,
    *,
    confidence: float = 0.25,
    iou: float = 0.45,
) -> Tensor:
    """What each object of one image was taken for.

    Boxes pair up regardless of class: every detection names the object it overlaps most, and every object
    keeps the detection that overlaps it most.

    Args:
        detections: best first.
        boxes: (M, 4) true boxes, xyxy in the same pixels.
        labels: (M,) their classes.
        classes: K.
        confidence: only detections above count.
        iou: a pair must overlap more.

    Returns:
        int64 (K + 1, K + 1): row what was said, column what was there. The last row counts objects nobody
        found, the last column detections of nothing. Matrices of several images add up.
    """
    sure = detections.scores > confidence
    found, said = detections.boxes[sure], detections.labels[sure]
    there = torch.full_like(said, classes)  # background, until an object is found for it
    missed = torch.ones_like(labels, dtype=torch.bool)
    if len(found) and len(boxes):
        overlap, named = pairwise_iou(found, boxes).max(dim=1)
        names = (named[:, None] == torch.arange(len(boxes))) & (overlap > iou)[:, None]  # (N, M)
        kept = (overlap[:, None] * names).argmax(dim=0)  # (M,) the best detection of each object
        missed = ~names.any(dim=0)
        there[kept[~missed]] = labels[~missed]
    background = torch.full_like(labels[missed], classes)
    said, there = torch.cat([said, background]), torch.cat([there, labels[missed]])
    side = classes + 1
    return torch.bincount(said * side + there, minlength=side * side).view(side, side)
