"""Figures of lesson 00: what the shipped detector finds, and what its threshold trades."""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.course.figures.diagram import DIM, hex_color
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.draw import side_by_side
from yolo_edu.evaluate import detect

__all__ = ["shipped_detections", "threshold_curves"]


def threshold_curves(thresholds: Sequence[float], curve: Sequence[tuple[float, float]], *, marked: float) -> Figure:
    """Precision and recall (pairs, one a threshold) over the confidence threshold, one threshold marked."""
    figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for values, name, k, marker in zip(zip(*curve, strict=True), ("precision", "recall"), (4, 5), "os", strict=True):
        ax.plot(thresholds, values, color=hex_color(k), marker=marker, markersize=4, label=name)
    ax.axvline(marked, color=DIM, linestyle="--", linewidth=1)
    ax.annotate(f" {marked:g}", (marked, 0.02), color=DIM)
    ax.set(xlabel="confidence threshold", xlim=(0, 1), ylim=(0, 1.03))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.3, 0.02))
    return figure


def shipped_detections(indices: Sequence[int] = (28, 31, 15, 35)) -> Figure:
    """Validation photos of the cards twice: with the truth, and with what the shipped model finds."""
    weights = shipped_weights()
    model = load_checkpoint(weights)
    cards = DetectionData(read_spec(sample_data()), "val", image_size=416)
    samples = [cards[i] for i in indices]
    found = detect(model, [sample.image for sample in samples], size=read_metadata(weights)["image_size"])
    return side_by_side(samples, found, model.names)


# Figures made of photos: JPEG alone, an eighth of the bytes. A JPEG holds no description; who shows it gives one.
PHOTOS: dict[str, Callable[[], Figure]] = {"00_detections": shipped_detections}
