"""Things to play with in lesson 00: a confidence threshold on live detections."""

from collections.abc import Sequence

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from yolo_edu.course.figures.display import img_tag, pixels_url
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.data import Sample
from yolo_edu.draw import annotate
from yolo_edu.metrics import match
from yolo_edu.nms import Detections

__all__ = ["above", "confidence_explorer"]


def above(detections: Detections, threshold: float) -> Detections:
    """The detections with a score above `threshold`, in the same order."""
    kept = detections.scores > threshold
    return Detections(*(x[kept] for x in detections))


def confidence_explorer(
    samples: Sequence[Sample],
    detections: Sequence[Detections],
    names: Sequence[str],
    *,
    threshold: float = 0.25,
    lowest: float = 0.05,
) -> Explorer:
    """A slider that hides uncertain detections.

    Args:
        samples: photos with their true boxes.
        detections: of the same photos in their pixels, computed once at confidence `lowest`: moving the
            slider runs no network and no suppression.
        names: of the classes.
        threshold: where the slider starts.
        lowest: where it ends on the left.

    Returns:
        The slider, "value", already shown with its photos.
    """
    correct = [_correct(sample, found) for sample, found in zip(samples, detections, strict=True)]
    objects = sum(len(sample.labels) for sample in samples)
    photos = [np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy()) for sample in samples]

    def page(value: float) -> str:
        kept = [above(found, value) for found in detections]
        right = sum(int(c[found.scores > value].sum()) for c, found in zip(correct, detections, strict=True))
        boxes = sum(len(found.scores) for found in kept)
        pictures = "".join(
            _picture(annotate(photo, found, names), _words(found, names))
            for photo, found in zip(photos, kept, strict=True)
        )
        return (
            f'<div style="display:flex;flex-wrap:wrap;gap:8px">{pictures}</div>'
            f"<p>Confidence above {value:.2f}: <b>{boxes}</b> boxes, <b>{right}</b> of them right. "
            f"<b>{right}</b> of {objects} cards found.</p>"
        )

    slider = ipywidgets.FloatSlider(
        value=threshold,
        min=lowest,
        max=0.95,
        step=0.05,
        description="confidence",
        readout_format=".2f",
        layout=ipywidgets.Layout(width="420px"),
    )
    return explore({"value": slider}, page, note="A slider stands here when you run the cell; this is where it starts.")


def _correct(sample: Sample, found: Detections) -> Tensor:
    """(N,) bool: right class, IoU at least 0.5, not a second box for the same object."""
    return match(found, sample.boxes, sample.labels, torch.tensor([0.5]))[:, 0]


def _words(found: Detections, names: Sequence[str]) -> str:
    """What the boxes in a photo say, for those who do not see it."""
    pairs = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    return "A photo with boxes: " + (", ".join(f"{names[k]} {s:.2f}" for k, s in pairs) or "none")


def _picture(pixels: np.ndarray, alt: str) -> str:
    """(H, W, 3) uint8 RGB as an HTML image that needs no file."""
    return img_tag(pixels_url(pixels), alt, "max-width:100%;margin:0")
