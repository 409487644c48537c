"""Things to play with in lesson 13: optimizers in a valley, and a training seen epoch by epoch."""

import math
from collections.abc import Mapping, Sequence

import ipywidgets
import numpy as np
import torch

from yolo_edu.course.figures.diagram import DIM, FADED, INK, hex_color
from yolo_edu.course.figures.display import img_tag, pixels_url, svg_image
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.course.widgets.start import above
from yolo_edu.data import Sample
from yolo_edu.draw import annotate
from yolo_edu.metrics import match
from yolo_edu.nms import Detections
from yolo_edu.recipe import Row

__all__ = ["descend", "optimizer_explorer", "training_replay"]

WIDE = {"description_width": "initial"}
START, STEPS = (-9.0, 1.6), 60
CLOSE = 0.1  # from the lowest point: arrived
LEFT, RIGHT, SIDE = -11.0, 11.0, 3.2  # of the picture
SCALE = 30  # CSS pixels a unit


# --- a valley -------------------------------------------------------------------------------------------


def descend(method: str, lr: float, momentum: float, steepness: float, steps: int = STEPS) -> list[tuple[float, float]]:
    """Every point of a way down f(x, y) = (x² + steepness · y²) / 2, from `START`, in plain numbers.

    Args:
        method: "classical momentum", "Nesterov momentum" or "Adam" (β₁ = momentum, β₂ = 0.999).
        lr, momentum: of the method.
        steepness: curvature across the valley.
        steps: at most; a way that has left the world ends.
    """
    curvatures = (1.0, steepness)
    place, first, second = list(START), [0.0, 0.0], [0.0, 0.0]
    path = [START]
    for t in range(1, steps + 1):
        for i, curvature in enumerate(curvatures):
            gradient = curvature * place[i]
            if method == "Adam":
                first[i] = momentum * first[i] + (1 - momentum) * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                scale = math.sqrt(second[i] / (1 - 0.999**t)) + 1e-8
                place[i] -= lr * first[i] / (1 - momentum**t) / scale
            else:
                first[i] = momentum * first[i] + gradient
                ahead = gradient + momentum * first[i] if method == "Nesterov momentum" else first[i]
                place[i] -= lr * ahead
        path.append((place[0], place[1]))
        if max(map(abs, place)) > 1e6:
            break
    return path


def optimizer_explorer(*, lr: float = 0.03, momentum: float = 0.8, steepness: float = 25.0) -> Explorer:
    """A way down a narrow valley, for any learning rate and momentum.

    Args:
        lr, momentum, steepness: where the controls start.

    Returns:
        The controls "method", "lr", "momentum" and "steepness", already shown.
    """

    def page(method: str, lr: float, momentum: float, steepness: float) -> str:
        path = descend(method, lr, momentum, steepness)
        far = [math.hypot(*point) for point in path]
        inside = [k for k in range(len(far)) if all(d < CLOSE for d in far[k:])]
        if far[-1] > 10 * far[0]:
            outcome = f"it runs away: every step across the valley is larger than the last, {far[-1]:,.0f} at the end"
        elif inside:
            outcome = f"closer than {CLOSE} to the lowest point from step <b>{inside[0]}</b> on"
        else:
            outcome = f"still <b>{far[-1]:.2f}</b> from the lowest point after {len(path) - 1} steps"
        title = f"{method}, learning rate {lr:g}, momentum {momentum:.2f}"
        alt = f"{title}, in a valley {steepness:.0f} times as steep across as along: {outcome}"
        picture = svg_image(_valley(path, steepness), alt.replace("<b>", "").replace("</b>", ""))
        return f"<div>{picture}</div><p>{title}: {outcome}.</p>"

    controls = {
        "method": ipywidgets.Dropdown(
            options=["Nesterov momentum", "classical momentum", "Adam"], description="method", style=WIDE
        ),
        "lr": ipywidgets.SelectionSlider(
            options=[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.08, 0.09, 0.1, 0.2, 0.5, 1.0],
            value=lr,
            description="learning rate",
            style=WIDE,
        ),
        "momentum": ipywidgets.FloatSlider(
            value=momentum, min=0, max=0.98, step=0.02, description="momentum", readout_format=".2f", style=WIDE
        ),
        "steepness": ipywidgets.IntSlider(value=int(steepness), min=1, max=100, description="steepness", style=WIDE),
    }
    return explore(controls, page)


def _valley(path: Sequence[tuple[float, float]], steepness: float) -> str:
    """Rings of equal height, and the way with a dot a step."""
    width, height = (RIGHT - LEFT) * SCALE, 2 * SIDE * SCALE
    rings = "".join(
        f'<ellipse cx="0" cy="0" rx="{math.sqrt(2 * h):.3f}" ry="{math.sqrt(2 * h / steepness):.3f}"/>'
        for h in np.geomspace(0.3, 90, 9)
    )
    shown = [(max(min(x, 99.0), -99.0), max(min(y, 99.0), -99.0)) for x, y in path]  # SVG needs no numbers of 1e6
    dots = "".join(f'<circle cx="{x:.3f}" cy="{-y:.3f}" r=".09"/>' for x, y in shown)
    line = " ".join(f"{x:.3f},{-y:.3f}" for x, y in shown)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{LEFT} {-SIDE} {RIGHT - LEFT} {2 * SIDE}" '
        f'width="{width:.0f}" height="{height:.0f}">'
        f'<rect x="{LEFT}" y="{-SIDE}" width="100%" height="100%" fill="#fff"/>'
        f'<g fill="none" stroke="{FADED}" stroke-width=".035">{rings}</g>'
        f'<polyline points="{line}" fill="none" stroke="{hex_color(4)}" stroke-width=".06"/>'
        f'<g fill="{hex_color(4)}">{dots}</g><path d="M-.25 0H.25M0 -.25V.25" stroke="{INK}" stroke-width=".08"/></svg>'
    )


# --- a training, again ----------------------------------------------------------------------------------


def training_replay(
    photos: Sequence[Sample],
    frames: Mapping[int, Sequence[Detections]],
    history: Sequence[Row],
    names: Sequence[str],
    *,
    threshold: float = 0.25,
    lowest: float = 0.05,
) -> Explorer:
    """What a network found in the same photos, epoch by epoch.

    Args:
        photos: with their true boxes.
        frames: epoch → detections in these photos, in their pixels, down to confidence `lowest`.
        history: a row an epoch of the training, some with "map50".
        names: of the classes.
        threshold: where the confidence starts.
        lowest: where it ends on the left.

    Returns:
        The controls "epoch" and "confidence", already shown, at the last epoch.
    """
    pictures = [np.ascontiguousarray(photo.image.permute(1, 2, 0).numpy()) for photo in photos]
    objects = sum(len(photo.labels) for photo in photos)
    right = {
        epoch: [match(f, p.boxes, p.labels, torch.tensor([0.5]))[:, 0] for f, p in zip(found, photos, strict=True)]
        for epoch, found in frames.items()
    }
    loss = {int(row["epoch"]): row["box"] + row["objectness"] + row["classification"] for row in history}
    quality = {int(row["epoch"]): row["map50"] for row in history if "map50" in row}

    def page(epoch: int, confidence: float) -> str:
        kept = [above(found, confidence) for found in frames[epoch]]
        hits = sum(int(r[f.scores > confidence].sum()) for r, f in zip(right[epoch], frames[epoch], strict=True))
        boxes = sum(len(found.scores) for found in kept)
        shown = "".join(
            img_tag(pixels_url(annotate(pixels, found, names)), _words(found, names), "max-width:100%;margin:0")
            for pixels, found in zip(pictures, kept, strict=True)
        )
        known = f", mAP50 <b>{quality[epoch]:.2f}</b>" if epoch in quality else ""
        alt = f"Loss falling and mAP50 rising over {len(history)} epochs, epoch {epoch} marked"
        return (
            f'<div style="display:flex;flex-wrap:wrap;gap:8px">{shown}</div>'
            f"<div>{svg_image(_curves(loss, quality, epoch), alt)}</div>"
            f"<p>After epoch <b>{epoch}</b>: training loss {loss[epoch]:.3f}{known}. "
            f"Above confidence {confidence:.2f}: <b>{boxes}</b> boxes, "
            f"<b>{hits}</b> of them right; {objects} objects are there.</p>"
        )

    epochs = sorted(frames)
    controls = {
        "epoch": ipywidgets.SelectionSlider(
            options=epochs, value=epochs[-1], description="after epoch", style=WIDE, layout={"width": "380px"}
        ),
        "confidence": ipywidgets.FloatSlider(
            value=threshold,
            min=lowest,
            max=0.95,
            step=0.05,
            description="confidence above",
            readout_format=".2f",
            style=WIDE,
            layout={"width": "380px"},
        ),
    }
    return explore(controls, page)


def _words(found: Detections, names: Sequence[str]) -> str:
    pairs = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    return "A photo with boxes: " + (", ".join(f"{names[k]} {s:.2f}" for k, s in pairs) or "none")


def _curves(loss: Mapping[int, float], quality: Mapping[int, float], epoch: int) -> str:
    """Loss and mAP50, one below the other, with a mark at an epoch."""
    last, width, high = max(loss), 640, 90
    parts = []
    for row, (name, values, hue, top) in enumerate(
        (("training loss", loss, 5, max(loss.values())), ("mAP50", quality, 4, 1.0))
    ):
        base = (row + 1) * (high + 34) - 14

        def place(e: int, v: float, base: float = base, top: float = top) -> tuple[float, float]:
            return 10 + e / last * (width - 40), base - v / top * high

        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(e, v) for e, v in sorted(values.items())))
        parts.append(f'<path d="M10 {base - high}V{base}H{width - 20}" stroke="{DIM}" fill="none"/>')
        parts.append(f'<polyline points="{points}" fill="none" stroke="{hex_color(hue)}" stroke-width="2.5"/>')
        parts.append(f'<text x="16" y="{base - high - 6}">{name}, from 0 to {top:.2f}</text>')
        if epoch in values:
            x, y = place(epoch, values[epoch])
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{hex_color(hue)}" stroke="#000"/>')
    x = 10 + epoch / last * (width - 40)
    bottom = 2 * (high + 34) - 14
    parts.append(f'<path d="M{x:.1f} 20V{bottom}" stroke="{INK}" stroke-dasharray="4 3"/>')
    parts.append(f'<text x="{min(x, width - 90):.1f}" y="{bottom + 18}">epoch {epoch}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 26}" width="{width}" '
        f'height="{bottom + 26}" font-family="sans-serif" font-size="14"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>"
    )
