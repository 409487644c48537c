"""What does each type of mistake cost? Repair all mistakes of one type, leave the rest, and measure again.

The idea is that of TIDE (Bolya et al. 2020, arXiv:2008.08115), the types are those of `yolo_edu.mistakes`. They are
defined at IoU 0.5, so it is mAP50 that tells their cost; `yolo_edu.oracle.measure_gains` measures it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from yolo_edu.data import Sample
from yolo_edu.errors import UserError
from yolo_edu.mistakes import KINDS, check_pairs, judge
from yolo_edu.nms import Detections
from yolo_edu.oracle import AS_IT_IS, best_first


def repaired(kind: str, found: Detections, boxes: Tensor, labels: Tensor) -> Detections:
    """The detections of one image without mistakes of one type, as TIDE repairs them.

    - localization: the detection gets the true box; confusion: the true class. If several are then right about
      one object, only the surest stays.
    - both, duplicate, background: the detection is left out. (It is not clear which object a mistake of the type
      both was meant for.)
    - missed: the object is added as a detection with score 1. (TIDE takes it out of the truth instead; then a
      detector that finds nothing would have no mAP.)

    Never lowers mAP50. May lower mAP50-95: of two detections of one object the surer one stays, and the other may
    have the better box, which counts at a larger IoU.

    Args:
        kind: a key of `yolo_edu.mistakes.KINDS`.
        found: N detections of one image.
        boxes, labels: (M, 4) xyxy in the same pixels and (M,) of the truth.
    """
    if kind not in KINDS:
        raise UserError(f"{kind!r}: no such type of mistake. There are {', '.join(KINDS)}.")
    taken, about, _, kinds, missed = judge(found, boxes, labels)
    mine = torch.tensor([own == kind for own in kinds], dtype=torch.bool)
    if kind == "missed":
        added = Detections(boxes[missed], torch.ones(int(missed.sum())), labels[missed])
        return best_first(Detections(*(torch.cat([*parts]) for parts in zip(added, found, strict=True))))
    if kind not in ("localization", "confusion"):
        return Detections(*(part[~mine] for part in found))
    new_boxes, new_labels = found.boxes.clone(), found.labels.clone()
    if kind == "localization":
        new_boxes[mine] = boxes[about[mine]]
    else:
        new_labels[mine] = labels[about[mine]]
    claims = torch.where(mine, about, taken)  # (N,) the object each is right about now, or -1
    keep = claims < 0
    heard: set[int] = set()
    for i in found.scores.argsort(descending=True, stable=True).tolist():
        j = int(claims[i])
        if j >= 0 and j not in heard:
            keep[i] = True
            heard.add(j)
    return Detections(new_boxes[keep], found.scores[keep], new_labels[keep])


def repair_each(truth: Sequence[Sample], found: Sequence[Detections]) -> dict[str, list[Detections]]:
    """Every type of mistake repaired alone.

    All detections count, whatever their score, as they do for mAP: the unsure ones have most of the mistakes.

    Args:
        truth: a Sample an image; only boxes and labels are read.
        found: what was detected in the same images, in their pixels.

    Returns:
        "as it is" → the detections as they are, then a key of `KINDS` → them without mistakes of this type. What
        `yolo_edu.oracle.measure_gains` takes.

    Raises:
        UserError: not one Detections an image.
    """
    check_pairs(truth, found)
    pairs = list(zip(truth, found, strict=True))
    versions = {kind: [repaired(kind, f, s.boxes, s.labels) for s, f in pairs] for kind in KINDS}
    return {AS_IT_IS: list(found), **versions}
