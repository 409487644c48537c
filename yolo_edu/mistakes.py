"""What kinds of mistakes a detector makes: every wrong detection and every missed object gets one name.

The types are those of TIDE (Bolya et al. 2020, arXiv:2008.08115), which refined the analysis of false positives
by Hoiem et al. 2012, "Diagnosing Error in Object Detectors". TIDE looks for an object of the detection's own
class first; here a mistake is about the object that it overlaps most, whatever its class.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from yolo_edu.boxes import pairwise_iou
from yolo_edu.data import Sample
from yolo_edu.errors import UserError
from yolo_edu.nms import Detections
from yolo_edu.report import measure

HIT = 0.5  # IoU from which a box counts as a find: the loosest threshold of the COCO tools
NEAR = 0.1  # IoU from which a box is about an object at all; TIDE's background threshold

# Type → what it means. The detection "is about" the object that it overlaps most.
KINDS: dict[str, str] = {
    "localization": f"right class, box off: IoU {NEAR} to {HIT}",
    "confusion": f"box good (IoU ≥ {HIT}), other class",
    "both": f"other class, and box off: IoU {NEAR} to {HIT}",
    "duplicate": "right, but a surer one has the object",
    "background": f"about no object: IoU < {NEAR}",
    "missed": "object not found, and no wrong box or class is why",
}
UNSURE = 0.25  # threshold where the truth holds no object, hence no best F1; that of `yolo-edu detect`


class Mistake(NamedTuple):
    """One wrong detection, or one object that no detection is about."""

    kind: str  # a key of KINDS
    image: int
    label: int  # the class said; of a missed object, its class
    detection: int | None  # index in the image's Detections; None: missed
    truth: int | None  # index of the object it is about; None: background
    iou: float  # with that object; for background with the closest one, 0 without any
    score: float  # of the detection; nan: missed
    better: int | None = None  # of a duplicate: index of the detection that has the object


class Judgment(NamedTuple):
    """The detections of one image, compared with its truth."""

    taken: Tensor  # int64 (N,) the object that a right detection found, -1 for a wrong one
    about: Tensor  # int64 (N,) the object that each overlaps most, -1 without objects
    overlap: Tensor  # float32 (N,) IoU with it
    kinds: list[str]  # N: a key of KINDS, "" for a right detection
    missed: Tensor  # bool (M,) objects neither found nor explained by a localization or confusion mistake


def take(found: Detections, boxes: Tensor, labels: Tensor, threshold: float = HIT) -> Tensor:
    """Which object each detection of one image finds, by the rule of the COCO tools.

    The surest detection chooses first: of the objects of its class that are still free, the one it overlaps
    most, if IoU ≥ threshold. (`yolo_edu.metrics.match` has release R7's rule, which knows no second choice. This
    one is that of the mAP, so that every mistake counted here is one that the mAP suffers from.)

    Args:
        found: N detections, in any order; of equal scores the first chooses first.
        boxes: (M, 4) true boxes, xyxy in the same pixels.
        labels: (M,) their classes.
        threshold: IoU.

    Returns:
        int64 (N,): index of the object, -1 for a wrong detection.
    """
    taken = torch.full_like(found.labels, -1)
    if not len(labels):
        return taken
    overlap = pairwise_iou(found.boxes, boxes) * (found.labels[:, None] == labels)  # (N, M)
    close = (overlap >= threshold).any(dim=1)
    order = found.scores.argsort(descending=True, stable=True)
    for i in order[close[order]].tolist():  # the others have no choice
        best, j = overlap[i].max(dim=0)
        if best >= threshold:
            taken[i] = j
            overlap[:, j] = -1
    return taken


def judge(found: Detections, boxes: Tensor, labels: Tensor) -> Judgment:
    """Name the mistakes of one image.

    Args:
        found: N detections; all of them count, whatever their score.
        boxes: (M, 4) true boxes, xyxy in the same pixels.
        labels: (M,) their classes.
    """
    taken = take(found, boxes, labels)
    if not len(labels):
        nothing = torch.full_like(taken, -1)
        kinds = ["background"] * len(taken)
        return Judgment(taken, nothing, torch.zeros_like(found.scores), kinds, torch.zeros(0, dtype=torch.bool))
    overlap, about = pairwise_iou(found.boxes, boxes).max(dim=1)
    kinds = [
        "" if object_ >= 0 else _kind(iou, same)
        for object_, iou, same in zip(
            taken.tolist(), overlap.tolist(), (labels[about] == found.labels).tolist(), strict=True
        )
    ]
    missed = torch.ones(len(labels), dtype=torch.bool)
    missed[taken[taken >= 0]] = False
    missed[about[[kind in ("localization", "confusion") for kind in kinds]]] = False
    return Judgment(taken, about, overlap, kinds, missed)


def _kind(iou: float, same_class: bool) -> str:
    """Of a wrong detection, by its IoU with the object that it overlaps most."""
    if iou < NEAR:
        return "background"
    if iou < HIT:
        return "localization" if same_class else "both"
    # Of its own class and not found by it: so the object is another detection's.
    return "duplicate" if same_class else "confusion"


@dataclass(frozen=True)
class Account:
    """All mistakes of a detector on a data set above one confidence threshold.

    Two sums hold for every class: right + wrong detections = detections reported, and right + explained +
    missed = objects. An object is explained if nobody found it, but a localization or confusion mistake is about
    it: that mistake is the reason.
    """

    names: tuple[str, ...]  # of the K classes
    confidence: float  # only detections with a greater score were looked at
    mistakes: tuple[Mistake, ...]  # image by image
    right: tuple[int, ...]  # K: correct detections of each class, as many as objects found
    explained: tuple[int, ...]  # K: objects not found, with a mistake that says why
    objects: tuple[int, ...]  # K: in the truth
    detections: tuple[int, ...]  # K: reported

    def counts(self) -> dict[str, list[int]]:
        """Type → mistakes of each class: the class said; of a missed object, its own."""
        counts = {kind: [0] * len(self.names) for kind in KINDS}
        for mistake in self.mistakes:
            counts[mistake.kind][mistake.label] += 1
        return counts

    def totals(self) -> dict[str, int]:
        """Type → mistakes of all classes."""
        return {kind: sum(each) for kind, each in self.counts().items()}

    def examples(self, kind: str, count: int) -> list[Mistake]:
        """At most `count` mistakes of one type, from as many images as can be, the surest first (missed: in order)."""
        own = [mistake for mistake in self.mistakes if mistake.kind == kind]
        if kind != "missed":
            own.sort(key=lambda mistake: -mistake.score)
        first = {mistake.image: mistake for mistake in reversed(own)}  # the last one written stays
        return [*(m for m in own if first[m.image] is m), *(m for m in own if first[m.image] is not m)][:count]

    def table(self) -> str:
        """The counts as text, a line a class and one for all."""
        heads = ["objects", "detections", "right", *KINDS]
        columns = [self.objects, self.detections, self.right, *self.counts().values()]
        width = max(map(len, ["class", "all", *self.names]))
        lines = [f"{'class':<{width}}  " + "  ".join(heads)]
        for name, row in [
            ("all", [sum(c) for c in columns]),
            *zip(self.names, zip(*columns, strict=True), strict=True),
        ]:
            cells = (f"{count:>{len(head)}}" for head, count in zip(heads, row, strict=True))
            lines.append(f"{name:<{width}}  " + "  ".join(cells))
        lines.append(f"detections with a score above {self.confidence:.3f}; found: IoU ≥ {HIT} and the right class")
        return "\n".join(lines)


def find_mistakes(
    truth: Sequence[Sample],
    found: Sequence[Detections],
    names: Sequence[str],
    confidence: float | None = None,
) -> Account:
    """Name every mistake of a detector.

    Args:
        truth: a Sample an image; only boxes and labels are read.
        found: what was detected in the same images, in their pixels, as `yolo_edu.evaluate.detect_all` returns
            both.
        names: of the K classes.
        confidence: only detections with a greater score count. None: the threshold with the best F1, as
            `yolo_edu.report.measure` finds it; 0.25 where the truth holds no object.

    Raises:
        UserError: not one Detections an image, a class number without a name, a confidence
            outside [0, 1].
    """
    check_pairs(truth, found, len(names))
    if confidence is None:
        confidence = measure(truth, found, names).confidence if truth else UNSURE
        confidence = UNSURE if math.isnan(confidence) else confidence
    if not 0 <= confidence <= 1:
        raise UserError(f"confidence is {confidence}; it must lie between 0 and 1.")
    classes = len(names)
    mistakes: list[Mistake] = []
    right, explained, objects, detections = (torch.zeros(classes, dtype=torch.int64) for _ in range(4))
    for image, ((_, boxes, labels), every) in enumerate(zip(truth, found, strict=True)):
        sure = (every.scores > confidence).nonzero()[:, 0]  # (n,) where they stand among all
        said = Detections(*(part[sure] for part in every))
        taken, about, overlap, kinds, missed = judge(said, boxes, labels)
        for i, kind in enumerate(kinds):
            if kind:
                where = None if kind == "background" else int(about[i])
                better = int(sure[taken == about[i]][0]) if kind == "duplicate" else None
                label, score = int(said.labels[i]), float(said.scores[i])
                mistakes.append(Mistake(kind, image, label, int(sure[i]), where, float(overlap[i]), score, better))
        for j in missed.nonzero()[:, 0].tolist():
            closest = float(pairwise_iou(said.boxes, boxes[j : j + 1]).max()) if len(sure) else 0.0
            mistakes.append(Mistake("missed", image, int(labels[j]), None, j, closest, math.nan))
        reason = ~missed
        reason[taken[taken >= 0]] = False
        right += torch.bincount(said.labels[taken >= 0], minlength=classes)
        explained += torch.bincount(labels[reason], minlength=classes)
        objects += torch.bincount(labels, minlength=classes)
        detections += torch.bincount(said.labels, minlength=classes)
    numbers = (tuple(count.tolist()) for count in (right, explained, objects, detections))
    return Account(tuple(names), float(confidence), tuple(mistakes), *numbers)


def check_pairs(truth: Sequence[Sample], found: Sequence[Detections], classes: int | None = None) -> None:
    """Refuse what cannot be compared, with a UserError: see `find_mistakes`. None: of any number of classes."""
    if len(truth) != len(found):
        raise UserError(f"{len(truth)} images, but detections of {len(found)}: give one Detections an image.")
    if classes is None:
        return
    for image, pair in enumerate(zip(truth, found, strict=True)):
        for labels in (part.labels for part in pair):
            if len(labels) and not 0 <= (wrong := int(labels.max())) < classes:
                raise UserError(
                    f"image {image}: class {wrong}, but there are names for 0 to {classes - 1} only. "
                    "Give the names of the model that was run."
                )
