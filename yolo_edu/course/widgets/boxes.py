"""Things to play with in lesson 09: two boxes to drag; `boxes_nms` and `boxes_curve` hold the other two."""

from collections.abc import Callable, Sequence

import ipywidgets
import torch
from torch import Tensor

from yolo_edu.boxes import ciou, diou, giou, iou
from yolo_edu.course.figures.diagram import WORK_COLORS
from yolo_edu.course.widgets.boxes_curve import threshold_explorer
from yolo_edu.course.widgets.boxes_nms import suppression_explorer
from yolo_edu.course.widgets.drag import BoxCanvas
from yolo_edu.course.widgets.frame import Explorer, explore

__all__ = ["overlap_explorer", "suppression_explorer", "threshold_explorer"]

MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"IoU": iou, "GIoU": giou, "DIoU": diou, "CIoU": ciou}
EDGES = ("left", "top", "right", "bottom")
FRAME = (320, 240)  # pixels
REACH = 10_000.0  # pixels of arrow for a gradient of 1 a pixel
LONGEST, SHORTEST = 70.0, 1e-6  # an arrow has at most this length; a smaller gradient has none


def _gradient(measure: str, guess: Sequence[float], target: Sequence[float]) -> list[float]:
    """d(measure)/d(x1, y1, x2, y2) of the guess, in 1/pixel."""
    box = torch.tensor(guess, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(MEASURES[measure](box, torch.tensor(target, dtype=torch.float64)), box)
    return [float(v) for v in gradient]


def _arrow(x: float, y: float, dx: float, dy: float) -> str:
    """From x, y along dx, dy, with a head, on a white rim."""
    length = (dx * dx + dy * dy) ** 0.5
    ux, uy, size = dx / length, dy / length, 6.0
    tip = (x + dx + ux * size, y + dy + uy * size)
    head = (
        f"{tip[0]:.1f},{tip[1]:.1f} {x + dx - uy * size:.1f},{y + dy + ux * size:.1f} "
        f"{x + dx + uy * size:.1f},{y + dy - ux * size:.1f}"
    )
    line = f'x1="{x:.1f}" y1="{y:.1f}" x2="{x + dx:.1f}" y2="{y + dy:.1f}"'
    return (
        f'<line {line} stroke="#fff" stroke-width="6"/><line {line} stroke="#1c1c1c" stroke-width="3"/>'
        f'<polygon points="{head}" fill="#1c1c1c" stroke="#fff"/>'
    )


def _overlay(measure: str, guess: Sequence[float], target: Sequence[float]) -> str:
    """What the measure looks at (overlap, hull, centers), and an arrow on every edge that it moves."""
    (a, b, c, d), (e, f, g, h) = guess, target
    x1, y1, x2, y2 = max(a, e), max(b, f), min(c, g), min(d, h)
    parts = []
    if x1 < x2 and y1 < y2:
        place = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"'
        parts.append(f'<rect {place} fill="{WORK_COLORS["pool"]}"/>')
    if measure != "IoU":
        left, top, right, bottom = min(a, e), min(b, f), max(c, g), max(d, h)
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" fill="none" '
            'stroke="#6e6e6e" stroke-dasharray="3 3"/>'
        )
    if measure in ("DIoU", "CIoU"):
        parts.append(
            f'<line x1="{(a + c) / 2:.1f}" y1="{(b + d) / 2:.1f}" x2="{(e + g) / 2:.1f}" y2="{(f + h) / 2:.1f}" '
            'stroke="#6e6e6e" stroke-width="2" stroke-dasharray="6 3"/>'
        )
    middles = ((a, (b + d) / 2), ((a + c) / 2, b), (c, (b + d) / 2), ((a + c) / 2, d))
    for k, ((x, y), slope) in enumerate(zip(middles, _gradient(measure, guess, target), strict=True)):
        if abs(slope) > SHORTEST:
            step = max(min(REACH * slope, LONGEST), -LONGEST)
            parts.append(_arrow(x, y, step, 0) if k % 2 == 0 else _arrow(x, y, 0, step))
    return "".join(parts)


def overlap_explorer(
    guess: Sequence[float] = (40, 40, 130, 100), target: Sequence[float] = (180, 90, 260, 210), measure: str = "GIoU"
) -> Explorer:
    """Two boxes to drag: all four measures, and on the guess's edges the gradient of the chosen one.

    Args:
        guess, target: x1, y1, x2, y2 in pixels of a frame of 320 × 240.
        measure: IoU, GIoU, DIoU or CIoU, whose arrows are shown first.

    Returns:
        The controls "boxes" (guess, target) and "measure", already shown.
    """
    canvas = BoxCanvas(
        [guess, target],
        FRAME,
        ["guess", "target"],
        colors=["#d55e00", "#0072b2"],
        overlay=_overlay(measure, guess, target),
        label="Two boxes, the guess with an arrow on every edge that the measure would move",
        step=2.0,
    )

    def page(boxes: list[list[float]], measure: str) -> str:
        first, second = boxes
        canvas.overlay = _overlay(measure, first, second)
        pair = torch.tensor([first, second], dtype=torch.float64)
        values = {name: float(f(pair[0], pair[1])) for name, f in MEASURES.items()}
        rows = "".join(
            f"<tr><td>{'<b>' if name == measure else ''}{name}{'</b>' if name == measure else ''}</td>"
            f"<td>{value:.3f}</td><td>{1 - value:.3f}</td></tr>".replace("-", "−")
            for name, value in values.items()
        )
        slopes = _gradient(measure, first, second)
        moves = [_move(edge, k, slope) for k, (edge, slope) in enumerate(zip(EDGES, slopes, strict=True))]
        moving = [text for text in moves if text]
        words = f"rises if {', '.join(moving)}" if moving else "pulls nowhere: the gradient is zero on all four edges"
        return (
            f"<table><tr><th>measure</th><th>value</th><th>loss, 1 − value</th></tr>{rows}</table>"
            f"<p>{measure} {words}.</p>"
            "<p>Arrows: where the gradient of the chosen measure pulls the edges of the guess; in brackets, how much "
            "the measure would change per 100 pixels. Filled: overlap. Short dashes: hull. Long "
            "dashes: from center to center.</p>"
        )

    choice = ipywidgets.Dropdown(options=list(MEASURES), value=measure, description="arrows of")
    return explore({"boxes": canvas, "measure": choice}, page, still=canvas.still())


def _move(edge: str, k: int, slope: float) -> str:
    """ "left edge goes right (0.430)", or nothing if it stays."""
    if abs(slope) <= SHORTEST:
        return ""
    where = (("left", "right"), ("up", "down"))[k % 2][slope > 0]
    return f"the {edge} edge goes {where} ({abs(slope) * 100:.3f})"
