"""The dashboard of lesson 16: a finished run, epoch by epoch, class by class, at any confidence."""

import html
from collections.abc import Mapping, Sequence

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from yolo_edu.course.figures.diagram import DIM, FADED, INK, hex_color
from yolo_edu.course.figures.display import img_tag, pixels_url, svg_image
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.course.widgets.start import above
from yolo_edu.data import Sample
from yolo_edu.draw import annotate
from yolo_edu.metrics import confusion_matrix, match
from yolo_edu.nms import Detections
from yolo_edu.recipe import Row

__all__ = ["results_dashboard"]

WIDE = {"description_width": "initial"}
ALL = "all classes"
STEPS = [round(0.05 * step, 2) for step in range(1, 20)]  # of the confidence slider


def results_dashboard(
    photos: Sequence[Sample],
    frames: Mapping[int, Sequence[Detections]],
    history: Sequence[Row],
    truth: Sequence[Sample],
    found: Sequence[Detections],
    names: Sequence[str],
    *,
    threshold: float = 0.25,
) -> Explorer:
    """A run to look around in, from what was recorded.

    Args:
        photos: with their true boxes and pixels.
        frames: epoch → detections in these photos, in their pixels.
        history: a row an epoch, evaluated ones with "map50".
        truth: a Sample an image of the validation split; only boxes and labels are read.
        found: what the best weights find in the same images.
        names: of the classes.
        threshold: where the confidence starts, a multiple of 0.05.

    Returns:
        The controls "epoch", "name" and "confidence", already shown, at the last epoch.
    """
    pictures = [np.ascontiguousarray(photo.image.permute(1, 2, 0).numpy()) for photo in photos]
    loss = {int(row["epoch"]): row["box"] + row["objectness"] + row["classification"] for row in history}
    quality = {int(row["epoch"]): row["map50"] for row in history if "map50" in row}
    curves = {name: _ranked(truth, found, None if name == ALL else k - 1) for k, name in enumerate([ALL, *names])}
    tables = {step: _confusion(truth, found, len(names), step) for step in STEPS}

    def page(epoch: int, name: str, confidence: float) -> str:
        chosen = None if name == ALL else list(names).index(name)
        shown = [_only(above(f, confidence), chosen) for f in frames[epoch]]
        strip = "".join(
            img_tag(pixels_url(annotate(pixels, f, names)), _words(f, names), "width:24%;min-width:150px;margin:0")
            for pixels, f in zip(pictures, shown, strict=True)
        )
        scores, right, objects = curves[name]
        kept = int((scores > confidence).sum())
        hits = int(right[:kept].sum())
        precision, recall = hits / max(kept, 1), hits / max(objects, 1)
        known = f", mAP50 {quality[epoch]:.2f}" if epoch in quality else ""
        words = f"Precision over recall of {name}; confidence {confidence:.2f} is at recall {recall:.2f}"
        progress = f"Loss and mAP50 over {len(history)} epochs, epoch {epoch} marked"
        return (
            f'<div style="display:flex;flex-wrap:wrap;gap:6px">{strip}</div>'
            '<div style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start">'
            f"{svg_image(_progress(loss, quality, epoch), progress)}"
            f"{svg_image(_curve(right, objects, kept), words)}"
            f"{_table(tables[confidence], names, chosen)}</div>"
            f"<p>The photos are after epoch <b>{epoch}</b>: loss {loss[epoch]:.3f}{known}. Curve and table belong to "
            f"the best weights: above {confidence:.2f}, <b>{hits}</b> of {kept} detections of {html.escape(name)} are "
            f"right (precision {precision:.2f}), and {objects} objects are there (recall <b>{recall:.2f}</b>).</p>"
        )

    epochs = sorted(frames)
    wide = {"width": "330px"}
    controls = {
        "epoch": ipywidgets.SelectionSlider(
            options=epochs, value=epochs[-1], description="photos after epoch", style=WIDE, layout=wide
        ),
        "name": ipywidgets.Dropdown(options=[ALL, *names], description="class", style=WIDE),
        "confidence": ipywidgets.SelectionSlider(
            options=[(f"{step:.2f}", step) for step in STEPS],
            value=threshold,
            description="confidence above",
            style=WIDE,
            layout=wide,
        ),
    }
    return explore(controls, page)


# --- numbers --------------------------------------------------------------------------------------------


def _only(found: Detections, chosen: int | None) -> Detections:
    kept = slice(None) if chosen is None else found.labels == chosen
    return Detections(*(part[kept] for part in found))


def _ranked(truth: Sequence[Sample], found: Sequence[Detections], chosen: int | None) -> tuple[Tensor, Tensor, int]:
    """Scores of all detections of a class, best first; which are right at IoU 0.5; how many objects there are."""
    half, objects = torch.tensor([0.5]), 0
    scores, right = [torch.zeros(0)], [torch.zeros(0, dtype=torch.bool)]
    for sample, every in zip(truth, found, strict=True):
        own = slice(None) if chosen is None else sample.labels == chosen
        detections = _only(every, chosen)
        scores.append(detections.scores)
        right.append(match(detections, sample.boxes[own], sample.labels[own], half)[:, 0])
        objects += len(sample.labels[own])
    ordered, order = torch.cat(scores).sort(descending=True, stable=True)
    return ordered, torch.cat(right)[order], objects


def _confusion(truth: Sequence[Sample], found: Sequence[Detections], classes: int, confidence: float) -> Tensor:
    counts = torch.zeros(classes + 1, classes + 1, dtype=torch.int64)
    for sample, detections in zip(truth, found, strict=True):
        counts += confusion_matrix(detections, sample.boxes, sample.labels, classes, confidence=confidence)
    return counts


# --- pictures -------------------------------------------------------------------------------------------


def _words(found: Detections, names: Sequence[str]) -> str:
    pairs = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    return "A photo with boxes: " + (", ".join(f"{names[k]} {s:.2f}" for k, s in pairs) or "none")


def _svg(width: int, height: int, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>{body}</svg>'
    )


def _progress(loss: Mapping[int, float], quality: Mapping[int, float], epoch: int) -> str:
    """Loss above, mAP50 below, a mark at an epoch."""
    width, high, last, parts = 300, 70, max(loss), []
    for row, (name, values, hue, top) in enumerate(
        (("training loss", loss, 5, max(loss.values())), ("mAP50", quality, 4, 1.0))
    ):
        base = (row + 1) * (high + 32) - 10
        points = [(10 + e / last * (width - 24), base - v / top * high) for e, v in sorted(values.items())]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<path d="M10 {base - high}V{base}H{width - 10}" stroke="{DIM}" fill="none"/>')
        parts.append(f'<polyline points="{line}" fill="none" stroke="{hex_color(hue)}" stroke-width="2.5"/>')
        parts.append(f'<text x="14" y="{base - high - 5}">{name}, 0 to {top:.2f}</text>')
    x, bottom = 10 + epoch / last * (width - 24), 2 * (high + 32) - 10
    parts.append(f'<path d="M{x:.1f} 22V{bottom}" stroke="{INK}" stroke-dasharray="4 3"/>')
    parts.append(f'<text x="{min(x, width - 70):.1f}" y="{bottom + 17}">epoch {epoch}</text>')
    return _svg(width, bottom + 24, "".join(parts))


def _curve(right: Tensor, objects: int, kept: int) -> str:
    """Precision over recall as the confidence falls, a dot where it stands."""
    side, left, top = 180, 30, 20
    hits = right.cumsum(0).double()
    precision = hits / torch.arange(1, len(hits) + 1)
    recall = hits / max(objects, 1)

    def place(r: float, p: float) -> tuple[float, float]:
        return left + r * side, top + (1 - p) * side

    corners = right.clone()  # between two right detections the precision only falls: their places are enough
    corners[:-1] |= right[1:]
    points = [place(r, p) for r, p in zip(recall[corners].tolist(), precision[corners].tolist(), strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dot = ""
    if kept:
        x, y = place(float(recall[kept - 1]), float(precision[kept - 1]))
        dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{hex_color(5)}" stroke="#000"/>'
    grid = "".join(
        f'<path d="M{left} {top + s * side / 4}h{side}M{left + s * side / 4} {top}v{side}"/>' for s in range(5)
    )
    return _svg(
        left + side + 16,
        top + side + 34,
        f'<g stroke="{FADED}" stroke-width=".6">{grid}</g>'
        f'<polyline points="{line}" fill="none" stroke="{hex_color(4)}" stroke-width="2"/>{dot}'
        f'<text x="{left}" y="14">precision, 0 to 1</text>'
        f'<text x="{left + side - 92}" y="{top + side + 18}">recall, 0 to 1</text>',
    )


def _table(counts: Tensor, names: Sequence[str], chosen: int | None) -> str:
    """The confusion matrix as a table: row what was said, column what was there; the chosen class is framed."""
    texts = [*map(html.escape, names), "nothing"]
    head = "".join(f'<th scope="col" style="padding:2px 5px">{text}</th>' for text in texts)
    lines = []
    for row, text in enumerate(texts):
        cells = ""
        for column, count in enumerate(counts[row].tolist()):
            strong = "font-weight:bold;" if row == column else ""
            framed = f"box-shadow:inset 0 0 0 1px {DIM};" if chosen in (row, column) else ""
            cells += f'<td style="text-align:right;padding:2px 5px;{strong}{framed}">{count or "·"}</td>'
        lines.append(f'<tr><th scope="row" style="text-align:left;padding:2px 5px">{text}</th>{cells}</tr>')
    caption = '<caption style="text-align:left">rows: what was said, columns: what was there</caption>'
    return (
        f'<table style="border-collapse:collapse;font-size:13px">{caption}<thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
