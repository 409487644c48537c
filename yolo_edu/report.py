"""What an evaluation has found out: the numbers of a detector on a data set, made from its detections and the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from yolo_edu.coco import coco_precision
from yolo_edu.data import Sample
from yolo_edu.metrics import Curves, Floats, best_f1, confidence_curves, confusion_matrix, match
from yolo_edu.nms import Detections

LISTED = 20  # of more classes a table shows only the weakest, as many as
WEAKEST = 5


@dataclass(frozen=True)
class Report:
    """How well a detector did on a data set.

    A class without any object in the truth has nan for its APs and is left out of every mean; where no
    class has one, the means are nan too.
    """

    map50: float  # mean over classes of AP at IoU 0.50
    map: float  # and of AP averaged over IoU 0.50, 0.55 … 0.95
    ap50: Mapping[str, float]  # class name → AP at IoU 0.50
    ap: Mapping[str, float]  # class name → AP over IoU 0.50 … 0.95
    precision: float  # means over classes at IoU 0.50 and `confidence`
    recall: float
    f1: float
    confidence: float  # the threshold where the mean F1 is highest
    # int64 (K + 1, K + 1): row what was said, column what was there, last: background
    confusion: Tensor = field(repr=False, compare=False)
    precision_at_recall: Floats = field(repr=False, compare=False)  # (101, K) at recall 0, 0.01 … 1 and IoU 0.50
    curves: Curves = field(repr=False, compare=False)  # over the confidence threshold, at IoU 0.50
    images: int
    boxes: int  # objects in the truth

    @property
    def fitness(self) -> float:
        """What "best weights" means: 0.1 mAP50 + 0.9 mAP50-95; 0 where the truth holds no object."""
        return 0.1 * self.map50 + 0.9 * self.map if self.boxes else 0.0

    @property
    def objects(self) -> list[int]:
        """Boxes of each class in the truth: every one stands once in its class's column of the confusion."""
        return self.confusion.sum(dim=0).tolist()[:-1]

    def table(self, verbose: bool = False) -> str:
        """The report as text: a line for all classes, one for each, and one for the best threshold.

        Of more than 20 classes only the weakest five, unless `verbose`.
        """
        each = list(zip(self.ap, self.objects, self.ap50.values(), self.ap.values(), strict=True))
        title = "class"
        if len(each) > LISTED and not verbose:
            known = [row for row in each if not np.isnan(row[3])]
            each = sorted(known, key=lambda row: row[3])[:WEAKEST]
            title = f"the weakest of {len(self.ap)}"
        width = max(map(len, ["all", title, *(row[0] for row in each)]))
        lines = [f"{title:<{width}}  {'boxes':>6}  {'AP50':>6}  {'AP50-95':>7}"]
        lines += [
            f"{name:<{width}}  {count:>6}  {_number(ap50):>6}  {_number(ap):>7}"
            for name, count, ap50, ap in [("all", self.boxes, self.map50, self.map), *each]
        ]
        lines.append(
            f"{self.images} images; best F1 {_number(self.f1)} at confidence {_number(self.confidence)}: "
            f"precision {_number(self.precision)}, recall {_number(self.recall)}"
        )
        return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def measure(truth: Sequence[Sample], found: Sequence[Detections], names: Sequence[str]) -> Report:
    """Compare detections with the truth.

    Args:
        truth: a Sample an image; only boxes and labels are read.
        found: what was detected in the same images, in their pixels.
        names: of the K classes.
    """
    precision = coco_precision(truth, found, len(names))  # (10, 101, K)
    labels = torch.cat([sample.labels for sample in truth])
    counts = torch.bincount(labels, minlength=len(names))
    half = torch.tensor([0.5])
    pairs = list(zip(truth, found, strict=True))
    curves = confidence_curves(
        torch.cat([match(detections, boxes, labels, half) for (_, boxes, labels), detections in pairs])[:, 0],
        torch.cat([detections.scores for detections in found]),
        torch.cat([detections.labels for detections in found]),
        counts,
    )
    best = best_f1(curves)
    confusion = [confusion_matrix(f, boxes, labels, len(names)) for (_, boxes, labels), f in pairs]
    ap50, ap = precision[0].mean(axis=0), precision.mean(axis=1).mean(axis=0)
    return Report(
        map50=_mean(ap50),
        map=_mean(ap),
        ap50=dict(zip(names, ap50.tolist(), strict=True)),
        ap=dict(zip(names, ap.tolist(), strict=True)),
        precision=_mean(best.precision),
        recall=_mean(best.recall),
        f1=_mean(best.f1),
        confidence=best.confidence,
        confusion=torch.stack(confusion).sum(dim=0),
        precision_at_recall=precision[0],
        curves=curves,
        images=len(truth),
        boxes=len(labels),
    )


def _mean(values: Floats) -> float:
    """Over the classes that occur in the truth."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
