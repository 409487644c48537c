"""The thing to play with in lesson 14: a patient's evidence, and a diagnosis to pick."""

from collections.abc import Mapping, Sequence

import ipywidgets
import numpy as np
import torch

from yolo_edu.course.clinic.patients import PATIENTS, by_case, judge_diagnosis
from yolo_edu.course.clinic.records import TWIN, Record, healthy_range
from yolo_edu.course.figures.diagram import DIM, INK, hex_color
from yolo_edu.course.figures.display import img_tag, pixels_url, svg_image
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.course.widgets.start import above
from yolo_edu.data import Sample
from yolo_edu.draw import annotate

__all__ = ["diagnosis_clinic"]

WIDE = {"description_width": "initial"}
SURE = 0.25
UNDECIDED = "not decided yet"
PANELS = (  # of the evidence: title, curve
    ("box loss", "box"),
    ("objectness loss", "objectness"),
    ("class loss", "classification"),
    ("mAP50, own evaluation", "map50"),
)
WIDTH, HEIGHT, GAP = 180, 110, 26  # CSS pixels of a panel


def diagnosis_clinic(
    records: Mapping[str, Sequence[Record]], photos: Sequence[Sample], names: Sequence[str], *, case: str = "A"
) -> Explorer:
    """Complaint, curves and pictures of a patient; a diagnosis is judged as soon as it is picked.

    Args:
        records: see `yolo_edu.course.clinic.read_records`.
        photos: those in which `Record.found` was found.
        names: of the classes.
        case: letter of the patient that is shown first.

    Returns:
        The controls "case" and "diagnosis", already shown.
    """
    cases = by_case()
    twin = records[TWIN]
    evidence: dict[str, str] = {}

    def page(case: str, diagnosis: str) -> str:
        key = cases[case]
        if key not in evidence:
            evidence[key] = _evidence(key, records[key], twin, records, photos, names)
        if diagnosis == UNDECIDED:
            verdict = "Pick a diagnosis above when you have looked at everything."
        else:
            right, why = judge_diagnosis(key, diagnosis)
            head = "Right." if right else "Not this one."
            verdict = f"<b>{head}</b> {PATIENTS[diagnosis].diagnosis.capitalize()}? {why}"
        return f"{evidence[key]}<p>{verdict}</p>"

    keys = sorted(PATIENTS, key=lambda key: PATIENTS[key].diagnosis)  # an order that tells nothing
    controls = {
        "case": ipywidgets.Dropdown(
            options=[(f"patient {letter}", letter) for letter in cases], value=case, description="case", style=WIDE
        ),
        "diagnosis": ipywidgets.Dropdown(
            options=[(UNDECIDED, UNDECIDED), *((PATIENTS[key].diagnosis, key) for key in keys)],
            value=UNDECIDED,
            description="diagnosis",
            style=WIDE,
            layout={"width": "480px"},
        ),
    }
    explorer = explore(controls, page)

    def start_anew(_: object) -> None:
        controls["diagnosis"].value = UNDECIDED

    controls["case"].observe(start_anew, names="value")
    return explorer


def _evidence(
    key: str,
    own: Sequence[Record],
    twin: Sequence[Record],
    records: Mapping[str, Sequence[Record]],
    photos: Sequence[Sample],
    names: Sequence[str],
) -> str:
    """Complaint, curves, pictures and numbers as HTML."""
    patient, shown = PATIENTS[key], next(record for record in own if record.found)
    pictures = []
    for photo, found, reported in zip(photos, shown.found, shown.reported, strict=True):
        kept = above(found, SURE)
        pixels = annotate(np.ascontiguousarray(photo.image.permute(1, 2, 0).numpy()), kept, names)
        more = f" (the first {len(kept.scores)} are drawn)" if reported > len(kept.scores) else ""
        alt = f"A photo with {reported} boxes{more}: {_words(kept.labels, kept.scores, names)}"
        caption = f"{reported} boxes{more}"
        pictures.append(
            f'<figure style="margin:0;width:220px">{img_tag(pixels_url(pixels), alt)}'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    last, theirs = (_range([r.last("map50") for r in some]) for some in (own, twin))
    boxes, usual = (_range([r.boxes for r in some], 1) for some in (own, twin))
    alt = f"Curves of patient {patient.case} against the healthy twin: mAP50 ends at {last}, the twin's at {theirs}"
    return (
        f"<p><b>Patient {patient.case}:</b> “{patient.complaint}”</p>"
        f"<div>{svg_image(_curves(own, records), alt)}</div>"
        f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(pictures)}</div>'
        f"<p>Over {len(own)} seeds: mAP50 in its own evaluation <b>{last}</b> (twin {theirs}), boxes a photo above "
        f"confidence {SURE} <b>{boxes}</b> (twin {usual}).</p>"
    )


def _range(values: Sequence[float], digits: int = 2) -> str:
    low, high = (f"{x:.{digits}f}" for x in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _words(labels: torch.Tensor, scores: torch.Tensor, names: Sequence[str]) -> str:
    pairs = list(zip(labels.tolist(), scores.tolist(), strict=True))[:4]
    return ", ".join(f"{names[k]} {s:.2f}" for k, s in pairs) or "none"


def _curves(own: Sequence[Record], records: Mapping[str, Sequence[Record]]) -> str:
    """Four panels: the twins' range as a band, the patient's runs as dashed lines."""
    parts = []
    for column, (title, name) in enumerate(PANELS):
        lines = [list(record.curves[name]) for record in own]
        band = healthy_range(records, name)
        left, base = 8 + column * (WIDTH + GAP), 24 + HEIGHT
        values = [*(x for line in lines for x in line), *(high for _, high in band)]
        low, top = (0.0, 1.0) if name == "map50" else (min(0.0, *values), max(values))
        last = max(len(band) - 1, 1)

        def at(
            i: int,
            value: float,
            left: float = left,
            base: float = base,
            low: float = low,
            top: float = top,
            last: int = last,
        ) -> str:
            return f"{left + i / last * WIDTH:.1f},{base - (value - low) / (top - low) * HEIGHT:.1f}"

        around = [at(i, high) for i, (_, high) in enumerate(band)]
        around += [at(i, below) for i, (below, _) in reversed(list(enumerate(band)))]
        shape = " ".join(around)
        parts.append(f'<polygon points="{shape}" fill="#c8c8c8" stroke="#8a8a8a" stroke-width="1"/>')
        for line in lines:
            points = " ".join(at(i, value) for i, value in enumerate(line))
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{hex_color(0)}" stroke-width="2" '
                'stroke-dasharray="6 3"/>'
            )
        parts.append(f'<path d="M{left} 24V{base}H{left + WIDTH}" stroke="{DIM}" fill="none"/>')
        parts.append(f'<text x="{left}" y="14" fill="{INK}">{title}</text>')
        parts.append(f'<text x="{left + 4}" y="36" fill="{INK}" font-size="11">{top:.2f}</text>')
        parts.append(f'<text x="{left}" y="{base + 16}" fill="{INK}">epoch 1 to {len(band)}</text>')
    width, height = 8 + len(PANELS) * (WIDTH + GAP), HEIGHT + 68
    key = (
        f'<rect x="8" y="{height - 17}" width="22" height="11" fill="#c8c8c8" stroke="#8a8a8a"/>'
        f'<text x="36" y="{height - 7}" fill="{INK}">healthy twins, lowest to highest</text>'
        f'<path d="M270 {height - 11}h30" stroke="{hex_color(0)}" stroke-width="2" stroke-dasharray="6 3"/>'
        f'<text x="306" y="{height - 7}" fill="{INK}">this patient, a line a seed</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}{key}</svg>"
    )
