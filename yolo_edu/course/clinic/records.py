"""What `benchmarks/clinic.py` measured: every patient and the healthy twin, over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from yolo_edu.course.measured import read_measured
from yolo_edu.nms import Detections

TWIN, CONTROL = "healthy", "high rate"
LOSSES = ("box", "objectness", "classification")


class Record(NamedTuple):
    """One run."""

    way: str  # key of a patient, TWIN or CONTROL
    seed: int
    curves: Mapping[str, Sequence[float]]  # "box", "objectness", "classification", "map50" → a number an epoch
    first_losses: Sequence[float]  # loss of every batch of the first epoch
    by_the_truth: float  # mAP50 of the last epoch against labels that are read rightly
    boxes: float  # reported a photo above confidence 0.25
    signs: Mapping[str, float]  # key of a patient → the value of its measurement
    found: Sequence[Detections]  # in the photos that are shown; of one seed only
    reported: Sequence[int]  # boxes above 0.25 in each of them, drawn or not

    def last(self, name: str) -> float:
        """A value of the end: of a curve, "boxes", or "by_the_truth"."""
        return self.curves[name][-1] if name in self.curves else float(getattr(self, name))


def read_records(result: Mapping[str, Any] | None = None) -> dict[str, list[Record]]:
    """Way → a record for each seed, in the order of the seeds. None: what is shipped."""
    records: dict[str, list[Record]] = {}
    for run in (result or read_measured("clinic"))["runs"]:
        shown = run.get("found", [])
        found = [
            Detections(
                torch.tensor(f["boxes"]).reshape(-1, 4),
                torch.tensor(f["scores"]),
                torch.tensor(f["labels"], dtype=torch.int64),
            )
            for f in shown
        ]
        record = Record(
            run["way"],
            run["seed"],
            run["curves"],
            run["first_losses"],
            run["map50_by_the_truth"],
            run["boxes_a_photo"],
            run["signs"],
            found,
            [f["all"] for f in shown],
        )
        records.setdefault(run["way"], []).append(record)
    return {way: sorted(own, key=lambda record: record.seed) for way, own in records.items()}


def healthy_range(records: Mapping[str, Sequence[Record]], name: str) -> list[tuple[float, float]]:
    """Lowest and highest of the healthy twins over the seeds, epoch by epoch."""
    return [(min(values), max(values)) for values in zip(*(r.curves[name] for r in records[TWIN]), strict=True)]


def holds(claim: str, own: Sequence[Record], healthy: Sequence[Record], name: str) -> bool:
    """Whether a patient's last value stands to the healthy twins' as claimed, in every seed.

    Args:
        claim: "below" or "above" all of the twins; "far below" or "far above": by a factor of two or more; "same":
            equal to the twin of the same seed, the whole curve; "inside": between a half and twice the twin of the
            same seed.
        own, healthy: records of the patient and of the twin.
        name: see `Record.last`.
    """
    values, theirs = [r.last(name) for r in own], [r.last(name) for r in healthy]
    pairs = list(zip(own, healthy, strict=True))
    return {
        "below": max(values) < min(theirs),
        "above": min(values) > max(theirs),
        "far below": 2 * max(values) < min(theirs),
        "far above": min(values) > 2 * max(theirs),
        "same": name in own[0].curves and all(list(a.curves[name]) == list(b.curves[name]) for a, b in pairs),
        "inside": all(b / 2 <= a <= 2 * b for a, b in zip(values, theirs, strict=True)),
    }[claim]
