"""Suppression to play with in lesson 09: thresholds as sliders, on photos."""

import html
from collections.abc import Mapping, Sequence

import ipywidgets
import torch

from yolo_edu.course.figures.boxes_photos import suppressed_by
from yolo_edu.course.figures.diagram import hex_color
from yolo_edu.course.figures.display import pixels_url
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.course.widgets.start import above
from yolo_edu.data import Sample
from yolo_edu.metrics import match
from yolo_edu.nms import Detections

__all__ = ["suppression_explorer"]

SHOWN = 400  # CSS pixels of a photo's long side
WIDE = {"description_width": "initial"}


def _outline(box: Sequence[float], color: str, *, width: float, dash: str = "") -> str:
    x1, y1, x2, y2 = box
    place = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill="none"'
    still = f'vector-effect="non-scaling-stroke" stroke-dasharray="{dash}"'
    return (
        f'<rect {place} stroke="#000" stroke-opacity=".6" stroke-width="{width + 1.5}" {still}/>'
        f'<rect {place} stroke="{color}" stroke-width="{width}" {still}/>'
    )


def suppression_explorer(
    photos: Mapping[str, Sample],
    candidates: Mapping[str, Detections],
    names: Sequence[str],
    *,
    confidence: float = 0.25,
    iou: float = 0.45,
    lowest: float = 0.05,
) -> Explorer:
    """Candidates of a photo under non-maximum suppression: what stays, and what goes because of it.

    Args:
        photos: name → photo with its true boxes.
        candidates: name → what the network said there, before suppression, best first, in the photo's pixels.
        names: of the classes.
        confidence, iou: where the sliders start.
        lowest: confidence at the left end of its slider.

    Returns:
        The controls "photo", "confidence", "iou" and "agnostic", already shown.
    """
    sources = {name: pixels_url(sample.image.permute(1, 2, 0).numpy()) for name, sample in photos.items()}

    def page(photo: str, confidence: float, iou: float, agnostic: bool) -> str:
        sample, every = photos[photo], candidates[photo]
        found = above(every, confidence)
        owner = suppressed_by(found.boxes, found.scores, iou, None if agnostic else found.labels)
        kept = owner == torch.arange(len(owner))
        left = Detections(*(x[kept] for x in found))
        right = match(left, sample.boxes, sample.labels, torch.tensor([0.5]))[:, 0].tolist()
        height, width = sample.image.shape[1:]
        gone = "".join(_outline(b, "#f2f2f2", width=1, dash="4 3") for b in found.boxes[~kept].tolist())
        solid, rows = [], []
        letters = max(height, width) / 26
        for number, (i, good) in enumerate(zip(kept.nonzero()[:, 0].tolist(), right, strict=True), start=1):
            box, label = found.boxes[i].tolist(), int(found.labels[i])
            solid.append(_outline(box, hex_color(label), width=3))
            aside = letters * (0.25 + 0.8 * ((number - 1) % 6))  # boxes that share a corner keep their numbers apart
            solid.append(
                f'<text x="{box[0] + aside:.1f}" y="{box[1] + letters:.1f}" '
                f'font-size="{letters:.1f}" font-family="sans-serif" font-weight="bold" fill="#fff" stroke="#000" '
                f'stroke-width="{letters / 5:.1f}" paint-order="stroke">{number}</text>'
            )
            rows.append(
                f"<tr><td>{number} {html.escape(names[label])}</td><td>{found.scores[i]:.2f}</td>"
                f"<td>{int((owner == i).sum()) - 1}</td><td>{'right' if good else 'wrong'}</td></tr>"
            )
        words = f"{len(owner)} candidates, {len(rows)} kept, {len(owner) - len(rows)} suppressed"
        scale = SHOWN / max(height, width)
        picture = (
            f'<svg role="img" aria-label="{html.escape(f"{photo}: {words}")}" viewBox="0 0 {width} {height}" '
            f'width="{width * scale:.0f}" height="{height * scale:.0f}" style="max-width:100%;display:block">'
            f'<image href="{sources[photo]}" width="{width}" height="{height}"/>{gone}{"".join(solid)}</svg>'
        )
        head = "<tr><th>kept</th><th>score</th><th>suppresses</th><th>verdict</th></tr>"
        rest = f"<p>and {len(rows) - 12} more</p>" if len(rows) > 12 else ""
        return (
            f'<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start">{picture}'
            f'<div style="flex:1 1 18em"><p><b>{words}.</b> Right: {sum(right)}, objects: {len(sample.labels)}.</p>'
            f"<table>{head}{''.join(rows[:12])}</table>{rest}"
            "<p>Solid and numbered: kept. Thin dashes: suppressed. Right: the class is right and IoU ≥ 0.5, once for "
            "each object.</p></div></div>"
        )

    sliders = {
        "confidence": ipywidgets.FloatSlider(
            value=confidence, min=lowest, max=0.95, step=0.05, description="confidence above", style=WIDE
        ),
        "iou": ipywidgets.FloatSlider(value=iou, min=0.05, max=1, step=0.05, description="IoU threshold", style=WIDE),
    }
    controls = {
        "photo": ipywidgets.Dropdown(options=list(photos), description="photo"),
        **sliders,
        "agnostic": ipywidgets.Checkbox(value=False, description="classes suppress each other (agnostic)", style=WIDE),
    }
    return explore(controls, page)
