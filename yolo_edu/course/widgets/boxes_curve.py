"""The precision-recall curve to play with in lesson 09."""

import html
from collections.abc import Sequence

import ipywidgets
import numpy as np
import torch

from yolo_edu.course.figures.diagram import hex_color
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.data import Sample
from yolo_edu.metrics import IOU_THRESHOLDS, average_precision, match, precision_recall
from yolo_edu.nms import Detections

__all__ = ["threshold_explorer"]

WIDTH, HEIGHT, LEFT, BOTTOM = 430.0, 300.0, 46.0, 40.0  # of the picture, and where its axes begin
WIDE = {"description_width": "initial"}


def _place(recall: float, precision: float) -> tuple[float, float]:
    return LEFT + recall * (WIDTH - LEFT - 12), HEIGHT - BOTTOM - precision * (HEIGHT - BOTTOM - 12)


def _axes() -> str:
    parts = []
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        (x, y), (left, top) = _place(tick, 0), _place(0, tick)
        parts.append(f'<text x="{x:.0f}" y="{y + 16:.0f}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{left - 6:.0f}" y="{top + 4:.0f}" text-anchor="end">{tick:g}</text>')
        end = _place(1, tick)[0]
        parts.append(f'<path d="M{left:.0f} {top:.1f}H{end:.0f}" stroke="#e0e0e0"/>')
    x, y = _place(0.5, 0)
    parts.append(f'<text x="{x:.0f}" y="{y + 34:.0f}" text-anchor="middle">recall</text>')
    x, y = 13, _place(0, 0.5)[1]
    parts.append(f'<text x="{x}" y="{y:.0f}" text-anchor="middle" transform="rotate(-90 {x} {y:.0f})">precision</text>')
    return "".join(parts)


def threshold_explorer(
    truth: Sequence[Sample],
    found: Sequence[Detections],
    names: Sequence[str],
    *,
    start: str | None = None,
    threshold: float = 0.5,
) -> Explorer:
    """The precision-recall curve of a class, and the point on it that a confidence threshold chooses.

    Args:
        truth: photos with their true boxes.
        found: detections of the same photos in their pixels, down to a low confidence.
        names: of the classes.
        start: class shown first; None: the first.
        threshold: of the confidence, at the start.

    Returns:
        The controls "name", "iou" and "threshold", already shown.
    """
    correct = torch.cat([match(f, s.boxes, s.labels) for s, f in zip(truth, found, strict=True)])
    scores, labels = torch.cat([f.scores for f in found]), torch.cat([f.labels for f in found])
    objects = torch.bincount(torch.cat([s.labels for s in truth]), minlength=len(names)).tolist()
    order = scores.argsort(descending=True, stable=True)
    rows = [order[labels[order] == k] for k in range(len(names))]
    curves = {}  # (class, IoU) → score, precision, recall, AP
    for k, chosen in enumerate(rows):
        for t in range(len(IOU_THRESHOLDS)):
            right = correct[chosen, t].numpy()
            ap = float(average_precision(right[:, None], objects[k])[0])
            precision, recall = precision_recall(right, max(objects[k], 1))
            curves[k, t] = scores[chosen].numpy(), right, precision, recall, ap

    def page(name: int, iou: int, threshold: float) -> str:
        score, right, precision, recall, ap = curves[name, iou]
        reported = int((score > threshold).sum())
        hits = int(right[:reported].sum())
        p = precision[reported - 1] if reported else 1.0
        r = recall[reported - 1] if reported else 0.0
        f1 = 2 * p * r / (p + r) if p + r else 0.0
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        points = [_place(a, b) for a, b in zip(recall, precision, strict=True)]
        zigzag = "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
        begin = _place(0, envelope[0] if len(envelope) else 1)
        stairs = "M{:.1f} {:.1f}".format(*begin) + "".join(
            "H{:.1f}V{:.1f}".format(*_place(a, b)) for a, b in zip(recall, [*envelope[1:], *envelope[-1:]], strict=True)
        )
        x, y = _place(r, p)
        words = f"{names[name]}, confidence above {threshold:.2f}: precision {p:.2f}, recall {r:.2f}, F1 {f1:.2f}"
        alt = html.escape(f"Precision over recall. {words}")
        picture = (
            f'<svg role="img" aria-label="{alt}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}" '
            f'style="max-width:100%;background:#fff" font-family="sans-serif" font-size="12">{_axes()}'
            f'<path d="{stairs}" fill="none" stroke="{hex_color(1)}" stroke-width="5"/>'
            f'<path d="{zigzag}" fill="none" stroke="{hex_color(5)}" stroke-width="2" stroke-dasharray="6 3"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="#fff" stroke="#1c1c1c" stroke-width="3"/></svg>'
        )
        return (
            f'<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start">{picture}'
            f'<div style="flex:1 1 16em"><p>{html.escape(words)}.</p><table>'
            f"<tr><td>reported and right</td><td><b>{hits}</b></td></tr>"
            f"<tr><td>reported and wrong</td><td><b>{reported - hits}</b></td></tr>"
            f"<tr><td>objects missed</td><td><b>{objects[name] - hits}</b></td></tr>"
            f"<tr><td>AP at IoU {float(IOU_THRESHOLDS[iou]):.2f}, whole curve</td><td><b>{ap:.3f}</b></td></tr></table>"
            "<p>Dashed: as counted. Solid: the envelope. Ring: where this threshold stands. AP does not move with it."
            "</p></div></div>"
        )

    options = [(f"{float(t):.2f}", i) for i, t in enumerate(IOU_THRESHOLDS)]
    controls = {
        "name": ipywidgets.Dropdown(
            options=[(name, k) for k, name in enumerate(names)],
            value=names.index(start) if start else 0,
            description="class",
        ),
        "iou": ipywidgets.SelectionSlider(options=options, value=0, description="right from IoU", style=WIDE),
        "threshold": ipywidgets.FloatSlider(
            value=threshold, min=0, max=0.98, step=0.02, description="confidence above", style=WIDE
        ),
    }
    return explore(controls, page)
