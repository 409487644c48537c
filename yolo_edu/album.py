"""The pictures that a training run leaves in its folder, each written whole or not at all.

`yolo_edu.page` gathers them in one page and holds their file names.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from yolo_edu.charts import confidence_chart, confusion_chart, label_chart, precision_recall_chart, training_curves
from yolo_edu.checkpoint import write_atomically
from yolo_edu.data import Batch, DetectionData, Sample
from yolo_edu.draw import batch_chart, side_by_side
from yolo_edu.evaluate import Network, Report, detect
from yolo_edu.metrics import CONFIDENCES
from yolo_edu.nms import Detections
from yolo_edu.page import BATCHES, CONFUSION, DETECTIONS, F1_CURVE, LABELS, METRICS, PR_CURVE, RESULTS
from yolo_edu.recipe import Row

DPI = 120
SHOWN_PHOTOS = 8  # with truth and detections


def show_data(folder: Path, data: DetectionData) -> None:
    """Statistics of the training split: labels.png."""
    _save(label_chart(*data.labels_and_boxes(), data.names), folder / LABELS)


def show_batch(folder: Path, number: int, batch: Batch, names: Sequence[str]) -> None:
    """What the network is trained on: train_batch0.jpg, …"""
    _save(batch_chart(batch, names), folder / BATCHES.format(number))


def show_training(folder: Path, history: Sequence[Row]) -> None:
    """Losses and metrics over the epochs: results.png."""
    _save(training_curves(history), folder / RESULTS)


def show_report(
    folder: Path,
    report: Report,
    names: Sequence[str],
    samples: Sequence[Sample],
    found: Sequence[Detections],
) -> None:
    """How good the best weights are: metrics.json, detections.jpg, pr_curve.png, f1_curve.png, confusion.png.

    Args:
        folder: of the run.
        report: of the best weights.
        names: of the classes.
        samples: at least one, to be shown with their boxes.
        found: what was detected in them, in their pixels.
    """
    text = json.dumps(metrics(report, names), indent=2, allow_nan=False) + "\n"
    write_atomically(folder / METRICS, lambda file: file.write_text(text, encoding="utf-8"))
    _save(side_by_side(samples, found, names), folder / DETECTIONS)
    _save(precision_recall_chart(report.precision_at_recall, names), folder / PR_CURVE)
    _save(confidence_chart(report.curves, names, report.confidence), folder / F1_CURVE)
    _save(confusion_chart(report.confusion, names), folder / CONFUSION)


def show_evaluation(folder: Path, model: Network, data: DetectionData, size: int, report: Report) -> None:
    """`show_report` with some photos of the data and what the model finds in them at this size in pixels."""
    samples = [data[i] for i in spread(len(data), SHOWN_PHOTOS)]
    found = detect(model, [sample.image for sample in samples], size=size)
    show_report(folder, report, model.names, samples, found)


def spread(length: int, count: int) -> list[int]:
    """At most `count` indices, evenly spread over `range(length)`."""
    count = min(count, length)
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]


def metrics(report: Report, names: Sequence[str]) -> dict[str, Any]:
    """A report as plain JSON values.

    Returns:
        `images`, `boxes`, and of all classes `map50`, `map`, `precision`, `recall`, `f1`, `confidence`;
        under `classes`, for each its `name`, `boxes`, `ap50`, `ap`, and at that confidence `precision`,
        `recall`, `f1`. None where a class has no object.
    """
    known = not math.isnan(report.confidence)
    at = int(np.abs(CONFIDENCES - report.confidence).argmin()) if known else 0
    keys = ("map50", "map", "precision", "recall", "f1", "confidence")
    classes = [
        {"name": name, "boxes": boxes, "ap50": _plain(ap50), "ap": _plain(ap)}
        | {key: _plain(float(curve[k, at])) for key, curve in report.curves._asdict().items()}
        for k, (name, boxes, ap50, ap) in enumerate(
            zip(names, report.objects, report.ap50.values(), report.ap.values(), strict=True)
        )
    ]
    totals = {key: _plain(getattr(report, key)) for key in keys}
    return {"images": report.images, "boxes": report.boxes, **totals, "classes": classes}


def _plain(value: float) -> float | None:
    """JSON has no nan."""
    return None if math.isnan(value) else value


def _save(figure: Figure, path: Path) -> None:
    # The temporary file has no suffix to tell the format by.
    write_atomically(path, lambda file: figure.savefig(file, format=path.suffix[1:], dpi=DPI))
