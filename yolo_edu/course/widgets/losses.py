"""Things to play with in lesson 11: the box loss of one prediction, and the focal loss."""

import html
import math
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import torch
from torch import Tensor

from yolo_edu.boxes import ciou, cxcywh_to_xyxy, diou, giou, iou
from yolo_edu.course.figures.diagram import DIM, FADED, INK, WORK_COLORS, hex_color
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.loss import binary_loss
from yolo_edu.model.detect import decode_box

__all__ = ["box_loss_explorer", "focal_explorer"]

MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"IoU": iou, "GIoU": giou, "DIoU": diou, "CIoU": ciou}
WIDE = {"description_width": "initial"}
PREDICTED, TRUE = hex_color(4), hex_color(5)
NAMES = ("x", "y", "w", "h")
LIMIT = 6.0  # of a raw number
CELLS = (-2.0, 3.0)  # what the picture shows, in grid cells from the cell's corner
SCALE = 68  # CSS pixels a grid cell
SLICES = torch.linspace(-LIMIT, LIMIT, 61)


# --- the box loss ---------------------------------------------------------------------------------------


def _rectangle(box: Sequence[float], color: str, *, dash: str = "", fill: str = "none", line: float = 2.5) -> str:
    """cx, cy, w, h in grid cells."""
    cx, cy, w, h = box
    return (
        f'<rect x="{cx - w / 2:.3f}" y="{cy - h / 2:.3f}" width="{w:.3f}" height="{h:.3f}" fill="{fill}" '
        f'stroke="{color}" stroke-width="{line}" stroke-dasharray="{dash}" vector-effect="non-scaling-stroke"/>'
    )


def _scene(box: Sequence[float], target: Sequence[float], anchor: Sequence[float], alt: str) -> str:
    """The cell, where its centers may lie, the anchor, the target and the predicted box."""
    low, high = CELLS
    side = high - low
    lines = "".join(f"M{k} {low}V{high}M{low} {k}H{high}" for k in range(math.ceil(low), math.floor(high) + 1))
    edges = [(c - s / 2, c + s / 2) for b in (box, target) for c, s in ((b[0], b[2]), (b[1], b[3]))]
    (left, right), (top, bottom) = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in (edges[::2], edges[1::2]))
    hull = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    shapes = [
        f'<path d="{lines}" stroke="{FADED}" fill="none" vector-effect="non-scaling-stroke"/>',
        _rectangle((0.5, 0.5, 1, 1), INK, fill=WORK_COLORS["pool"], line=1),
        _rectangle((0.5, 0.5, 2, 2), DIM, dash="2 3", line=1.5),
        _rectangle((0.5, 0.5, *anchor), DIM, dash="8 4", line=1.2),
        _rectangle(hull, FADED, line=1.5),
        _rectangle(target, TRUE, dash="7 4"),
        _rectangle(box, PREDICTED, line=3),
        f'<circle cx="{target[0]:.3f}" cy="{target[1]:.3f}" r=".07" fill="{TRUE}"/>',
        f'<circle cx="{box[0]:.3f}" cy="{box[1]:.3f}" r=".07" fill="{PREDICTED}"/>',
    ]
    return (
        f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="{low} {low} {side} {side}" '
        f'width="{side * SCALE:.0f}" height="{side * SCALE:.0f}" style="max-width:100%;display:block;background:#fff">'
        f"{''.join(shapes)}</svg>"
    )


def _panel(index: int, values: Tensor, raw: float, loss: float, slope: float) -> str:
    """The loss along one raw number, the others as they are, and the gradient as a bar below."""
    width, height, left = 150, 84, index % 2 * 168
    top = index // 2 * 150 + 18

    def place(x: float, y: float) -> str:
        return f"{left + (x + LIMIT) / (2 * LIMIT) * width:.1f} {top + height * (1 - min(max(y, 0), 2) / 2):.1f}"

    line = "L".join(place(x, y) for x, y in zip(SLICES.tolist(), values.tolist(), strict=True))
    x, y = place(raw, loss).split()
    middle = left + width / 2
    reach = max(-1.0, min(1.0, slope)) * width / 2
    bar = f'x="{middle + min(reach, 0):.1f}" y="{top + height + 8}" width="{abs(reach):.1f}" height="10"'
    words = f'font-size="13" font-family="sans-serif" fill="{INK}"'
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="#fff" stroke="{FADED}"/>'
        f'<path d="M{line}" fill="none" stroke="{INK}" stroke-width="1.6"/>'
        f'<circle cx="{x}" cy="{y}" r="4.5" fill="{PREDICTED}"/>'
        f'<text x="{left}" y="{top - 5}" {words}>loss along raw {NAMES[index]}</text>'
        f'<rect {bar} fill="{WORK_COLORS["marked"]}"/>'
        f'<path d="M{middle} {top + height + 5}v16" stroke="{INK}"/>'
        f'<text x="{left}" y="{top + height + 36}" {words}>gradient {slope:+.4f}</text>'
    )


def box_loss_explorer(
    anchor: Sequence[float], targets: Mapping[str, Sequence[float]], *, start: Sequence[float] = (0.0, 0.0, 0.0, 0.0)
) -> Explorer:
    """The four raw numbers of one prediction, the box they become, and the box loss with its gradient.

    Args:
        anchor: width, height in grid cells.
        targets: name → cx, cy from the cell's top left corner, w, h, in grid cells.
        start: raw x, y, w, h at the beginning.

    Returns:
        The controls "target", "measure", "x", "y", "w", "h", already shown.
    """
    shape = torch.tensor(anchor, dtype=torch.float32)

    def page(target: str, measure: str, **raw: float) -> str:
        here = torch.tensor([raw[name] for name in NAMES], requires_grad=True)
        truth = torch.tensor(targets[target], dtype=torch.float32)
        corners = cxcywh_to_xyxy(truth)
        box = decode_box(here, shape)
        loss = 1 - MEASURES[measure](cxcywh_to_xyxy(box), corners)
        (slopes,) = torch.autograd.grad(loss, here)
        with torch.no_grad():
            lines = here.repeat(4, len(SLICES), 1)  # (4, S, 4): number k moves in line k
            for k in range(4):
                lines[k, :, k] = SLICES
            along = 1 - MEASURES[measure](cxcywh_to_xyxy(decode_box(lines, shape)), corners)
            others = {name: f(cxcywh_to_xyxy(box), corners).item() for name, f in MEASURES.items()}
        numbers = box.tolist()
        words = ", ".join(f"{name} {value:.3f}" for name, value in others.items())
        alt = (
            f"Predicted box of {numbers[2]:.2f} × {numbers[3]:.2f} cells around {numbers[0]:.2f}, {numbers[1]:.2f}; "
            f"target {target}; {words}"
        )
        panels = "".join(
            _panel(k, along[k], here[k].item(), loss.item(), slope) for k, slope in enumerate(slopes.tolist())
        )
        said = ", ".join(f"{name} {slope:+.4f}" for name, slope in zip(NAMES, slopes.tolist(), strict=True))
        return (
            '<div style="display:flex;flex-wrap:wrap;gap:18px;align-items:flex-start">'
            + _scene(numbers, targets[target], anchor, alt)
            + f'<svg role="img" aria-label="Loss along each raw number; gradients {said}" viewBox="0 0 330 310" '
            + f'width="330" height="310" style="max-width:100%;display:block;background:#fff">{panels}</svg></div>'
            + f"<p><b>Loss 1 − {measure} = {loss.item():.3f}</b>. {words}. Box: center ({numbers[0]:.2f}, "
            + f"{numbers[1]:.2f}), size {numbers[2]:.2f} × {numbers[3]:.2f} grid cells.<br>"
            + "Filled: the cell. Dotted: where its centers may lie. Long gray dashes: the anchor. Dashed, vermilion: "
            + "the target. Solid, blue: the prediction. Thin gray: the hull of both.<br>Each panel: the loss, 0 to 2, "
            + "along one raw number from −6 to 6. Bars: the gradient, full at ±1; training "
            + "moves each number <i>against</i> it.</p>"
        )

    controls = {
        "target": ipywidgets.Dropdown(options=list(targets), description="target"),
        "measure": ipywidgets.Dropdown(options=list(MEASURES), value="CIoU", description="measure"),
        **{
            name: ipywidgets.FloatSlider(value=value, min=-LIMIT, max=LIMIT, step=0.1, description=f"raw {name}")
            for name, value in zip(NAMES, start, strict=True)
        },
    }
    return explore(controls, page)


# --- focal loss -----------------------------------------------------------------------------------------


def focal_explorer(*, gamma: float = 1.5, probability: float = 0.05) -> Explorer:
    """How much an easy "no" costs beside a hard "yes", for any γ.

    Args:
        gamma, probability: of the focal loss, and of the easy negative, at the beginning.

    Returns:
        The controls "gamma", "probability", already shown.
    """
    grid = torch.linspace(0.005, 0.995, 100)
    width, height, left, top = 420, 190, 40, 14

    def cost(p: Tensor, wanted: float, gamma: float) -> Tensor:
        logits, truth = p.logit(), torch.tensor([wanted])
        return torch.stack([binary_loss(x[None], truth, gamma=gamma) for x in logits])

    plain = {wanted: cost(grid, wanted, 0.0) for wanted in (0.0, 1.0)}

    def place(x: float, y: float) -> str:
        return f"{left + x * width:.1f} {top + height * (1 - min(y, 3.0) / 3):.1f}"

    def line(values: Tensor, color: str, dash: str) -> str:
        points = "L".join(place(x, y) for x, y in zip(grid.tolist(), values.tolist(), strict=True) if y <= 3)
        return f'<path d="M{points}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>'

    def page(gamma: float, probability: float) -> str:
        easy = torch.tensor([probability])
        curves = {wanted: cost(grid, wanted, gamma) for wanted in (0.0, 1.0)}
        ratios = []
        for g in (0.0, gamma):
            no, yes = cost(easy, 0.0, g).item(), cost(torch.tensor([0.5]), 1.0, g).item()
            ratios.append((no, yes, yes / no))
        x, y = place(probability, ratios[1][0]).split()
        words = f'font-size="13" font-family="sans-serif" fill="{INK}"'
        drawing = (
            f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="#fff" stroke="{FADED}"/>'
            + line(plain[0.0], hex_color(5), "2 3")
            + line(plain[1.0], hex_color(4), "2 3")
            + line(curves[0.0], hex_color(5), "")
            + line(curves[1.0], hex_color(4), "8 4")
            + f'<circle cx="{x}" cy="{y}" r="5" fill="{hex_color(5)}" stroke="#fff"/>'
            + "".join(
                f'<text x="{left - 8}" y="{top + height * (1 - v / 3) + 4:.0f}" {words} text-anchor="end">{v}</text>'
                for v in range(4)
            )
            + "".join(
                f'<text x="{left + v * width:.0f}" y="{top + height + 18}" {words} text-anchor="middle">{v:g}</text>'
                for v in (0, 0.5, 1)
            )
            + f'<text x="{left + width / 2:.0f}" y="{top + height + 38}" {words} text-anchor="middle">'
            + "predicted probability</text>"
        )
        alt = (
            f"Focal loss with gamma {gamma:.1f} for the answers no and yes beside cross-entropy; "
            f"a mark at {probability:.2f}"
        )
        return (
            f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 480 250" width="480" height="250" '
            f'style="max-width:100%;display:block;background:#fff">{drawing}</svg>'
            f"<p>A cell without an object that says {probability:.2f} costs {ratios[0][0]:.4f} with cross-entropy and "
            f"<b>{ratios[1][0]:.6f}</b> with γ = {gamma:.1f}. One object at 0.50 costs {ratios[0][1]:.3f} and "
            f"{ratios[1][1]:.4f}: as much as <b>{ratios[0][2]:,.0f}</b> such cells before, <b>{ratios[1][2]:,.0f}</b> "
            f"now.<br>Solid: focal loss of a wanted 0. Dashed: of a wanted 1. Dotted: cross-entropy of both.</p>"
        )

    controls = {
        "gamma": ipywidgets.FloatSlider(value=gamma, min=0, max=5, step=0.1, description="γ"),
        "probability": ipywidgets.FloatSlider(
            value=probability, min=0.01, max=0.99, step=0.01, description="easy negative says", style=WIDE
        ),
    }
    return explore(controls, page)
