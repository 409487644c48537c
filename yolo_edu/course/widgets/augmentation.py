"""Things to play with in lesson 12: a mosaic is built."""

import html
import math
from collections.abc import Sequence

import ipywidgets
import torch
from torch import Tensor

from yolo_edu.augment import AugmentSettings, Plan, render
from yolo_edu.caption import class_color, text_color
from yolo_edu.course.figures.augmentation_photos import SceneBoxes, scene_boxes
from yolo_edu.course.figures.diagram import INK
from yolo_edu.course.figures.display import pixels_url
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.data import Pool
from yolo_edu.warp import lay_out

__all__ = ["hand_plan", "mosaic_builder"]

SHOWN = 330  # CSS pixels of a picture's side
COLORS = {
    "as photographed": (1.0, 1.0, 1.0),
    "strongest default": (1.015, 1.7, 1.4),
    "weakest default": (0.985, 0.3, 0.6),
    "hue × 1.4: too much": (1.4, 1.0, 1.0),
}
MIXES = ("nothing", "MixUp", "CutMix")
SECOND = (1, 0, 3, 2)  # the same photos in another order
CUT = (0.55, 0.5, 1.0, 0.95)  # of CutMix, in image sizes


def hand_plan(
    members: Sequence[int],
    center: tuple[int, int],
    *,
    scale: float = 1.0,
    flip: bool = False,
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0),
    second: Sequence[int] = (-1, -1, -1, -1),
    share: float = 1.0,
    cut: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
) -> Plan:
    """The plan of one image, without chance.

    Args:
        members: four samples, or one and three times −1.
        center: where the four meet, pixels of the canvas.
        scale: of the warp.
        flip: left-right.
        gains: factors on hue, saturation, value.
        second: samples of a second scene around the same center; −1: none.
        share: of the first scene in MixUp; 1: no MixUp.
        cut: xyxy in image sizes, where CutMix shows the second scene; all 0: no CutMix.
    """
    matrix = torch.tensor([[-scale if flip else scale, 0.0, 0.0], [0.0, scale, 0.0]])
    return Plan(
        members=torch.tensor([[list(members), list(second)]]),
        centers=torch.tensor(center).expand(1, 2, 2),
        matrices=matrix.expand(1, 2, 2, 3),
        share=torch.tensor([share]),
        cut=torch.tensor([list(cut)]),
        gains=torch.tensor([gains]),
    )


def _jpeg(pixels: Tensor) -> str:
    """(3, H, W) uint8, or float in [0, 1], as a data address."""
    if pixels.is_floating_point():
        pixels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels_url(pixels.permute(1, 2, 0).numpy())


def _box(box: Sequence[float], label: int, name: str, unit: float, *, dashed: bool) -> str:
    """A box with its name, rimmed so that it shows on any photo; `unit` is a screen pixel in the picture's."""
    rgb = class_color(label)
    color, rim = (f"rgb{c}" for c in (rgb, text_color(rgb)))
    x1, y1, x2, y2 = box
    place = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill="none"'
    line = f'stroke-width="{2 * unit:.2f}" stroke-dasharray="{f"{4 * unit:.1f} {3 * unit:.1f}" if dashed else ""}"'
    below = min(y1 + 13 * unit, y2 + 13 * unit)
    return (
        f'<rect {place} stroke="{rim}" stroke-width="{4 * unit:.2f}" stroke-opacity=".7"/>'
        f'<rect {place} stroke="{color}" {line}/>'
        f'<text x="{x1 + 3 * unit:.1f}" y="{below:.1f}" font-size="{12 * unit:.1f}" font-family="sans-serif" '
        f'font-weight="bold" fill="{color}" stroke="{rim}" stroke-width="{2.5 * unit:.1f}" paint-order="stroke">'
        f"{html.escape(name)}</text>"
    )


def _pointer(box: Sequence[float], unit: float, size: int) -> str:
    """An arrow head beside a box, on the side of the image's middle: slivers at the border are hard to see."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    dx, dy = size / 2 - x, size / 2 - y
    length = math.hypot(dx, dy) or 1.0
    dx, dy = dx / length * unit, dy / length * unit
    points = ((4, 0), (22, 8), (22, -8))  # screen pixels toward the middle, and across
    corners = " ".join(f"{x + a * dx - b * dy:.1f},{y + a * dy + b * dx:.1f}" for a, b in points)
    return f'<polygon points="{corners}" fill="#fff" stroke="#000" stroke-width="{1.5 * unit:.1f}"/>'


def _frame(scale: float, size: int) -> tuple[float, float]:
    """Left (and top), and side of what the warp cuts out of the canvas, pixels of the canvas."""
    side = size / scale
    return size - side / 2, side


def _reason(found: SceneBoxes, row: int, settings: AugmentSettings) -> str:
    """Why a box does not stay a label."""
    width, height = (found.after[row, 2:] - found.after[row, :2]).tolist()
    old = (found.before[row, 2:] - found.before[row, :2]).prod() * found.zoom[row]
    if min(width, height) <= settings.min_side:
        return f"{min(width, height):.1f} px thin"
    left = width * height / old.item()
    return f"{100 * left:.0f} % of it left" if left <= settings.min_area else "too long for its width"


def mosaic_builder(
    pool: Pool,
    names: Sequence[str],
    *,
    settings: AugmentSettings | None = None,
    center: tuple[int, int] | None = None,
    scale: float = 1.0,
) -> Explorer:
    """A mosaic of four photos with its boxes, rendered by yolo_edu.

    Args:
        pool: four photos, long side S.
        names: of the classes.
        settings: the rule by which boxes stay labels; None: release 7.0's.
        center: where the four meet at the beginning, pixels of the canvas; None: its middle.
        scale: of the warp at the beginning.

    Returns:
        The controls "x", "y", "scale", "flip", "color" and "mix", already shown.
    """
    rule, size = settings or AugmentSettings(), pool.size
    photos = [_jpeg(pool.sample(i).image) for i in range(4)]
    sizes = pool.sizes.tolist()
    total = len(pool.labels)

    def canvas(x: int, y: int, scale: float) -> str:
        """The canvas, and what is cut out of it."""
        corners = lay_out(torch.arange(4)[None], torch.tensor([[x, y]]), pool).corner.tolist()
        tiles = "".join(
            f'<image href="{photo}" x="{left}" y="{top}" width="{w}" height="{h}"/>'
            for photo, (left, top), (w, h) in zip(photos, corners, sizes, strict=True)
        )
        left, side = _frame(scale, size)
        unit = 2 * size / SHOWN
        place = f'x="{left:.1f}" y="{left:.1f}" width="{side:.1f}" height="{side:.1f}" fill="none"'
        return (
            tiles + f'<rect {place} stroke="#000" stroke-width="{5 * unit:.1f}"/>'
            f'<rect {place} stroke="#fff" stroke-width="{2 * unit:.1f}" stroke-dasharray="{6 * unit:.1f}"/>'
            f'<circle cx="{x}" cy="{y}" r="{5 * unit:.1f}" fill="#fff" stroke="#000" stroke-width="{2 * unit:.1f}"/>'
        )

    def picture(content: str, side: int, alt: str, title: str) -> str:
        return (
            f'<figure style="margin:0"><figcaption>{title}</figcaption>'
            f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {side} {side}" width="{SHOWN}" '
            f'height="{SHOWN}" style="max-width:100%;background:rgb(114,114,114);border:1px solid {INK}">'
            f"{content}</svg></figure>"
        )

    def page(x: int, y: int, scale: float, flip: bool, color: str, mix: str) -> str:
        plan = hand_plan(
            range(4),
            (x, y),
            scale=scale,
            flip=flip,
            gains=COLORS[color],
            second=SECOND if mix != "nothing" else (-1,) * 4,
            share=0.5 if mix == "MixUp" else 1.0,
            cut=CUT if mix == "CutMix" else (0.0,) * 4,
        )
        batch = render(plan, pool, rule)
        (found,) = scene_boxes(plan, pool, rule)
        unit = size / SHOWN
        # What render keeps is drawn solid, in mixtures of both scenes; what the first one loses to the rule, dashed.
        kept = batch.targets[:, 2:] * size
        corners = torch.cat([kept[:, :2] - kept[:, 2:] / 2, kept[:, :2] + kept[:, 2:] / 2], dim=1).tolist()
        labels = batch.targets[:, 1].int().tolist()
        lost = [row for row, keep in enumerate(found.keep.tolist()) if not keep]
        shapes = [_box(found.after[i].tolist(), int(found.labels[i]), "", unit, dashed=True) for i in lost]
        shapes += [_pointer(found.after[i].tolist(), unit, size) for i in lost]
        shapes += [_box(b, k, names[k], unit, dashed=False) for b, k in zip(corners, labels, strict=True)]
        image = f'<image href="{_jpeg(batch.images[0])}" width="{size}" height="{size}"/>'
        sides = (kept[:, 2:].amin() if len(kept) else torch.zeros(())).item()
        reasons = ", ".join(f"{names[int(found.labels[i])]} ({_reason(found, i, rule)})" for i in lost)
        words = f"{len(labels)} boxes stay labels, the thinnest {sides:.1f} px"
        count = f"The four photos have {total} boxes. In the image {words}. Wholly outside: {found.outside}"
        mixed = "" if mix == "nothing" else f" {mix}: with those of a second mosaic of the same photos."
        side = _frame(scale, size)[1]
        alt = f"Mosaic around ({x}, {y}), scale {scale:g}{', flipped' if flip else ''}: {words}"
        return (
            '<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start">'
            + picture(
                canvas(x, y, scale), 2 * size, f"Canvas of four photos around ({x}, {y})", "canvas, what is cut out"
            )
            + picture(image + "".join(shapes), size, alt, f"the image of {size} × {size} px")
            + f"</div><p>{count}. Inside but no label any more: {len(lost)}{f', {reasons}' if lost else ''}.{mixed} "
            + f"The frame takes {side:.0f} × {side:.0f} of {2 * size} × {2 * size} pixels.</p>"
        )

    start = center or (size, size)
    places = {
        name: ipywidgets.IntSlider(value=value, min=size // 2, max=size + size // 2 - 1, description=f"center {name}")
        for name, value in zip("xy", start, strict=True)
    }
    controls = {
        **places,
        "scale": ipywidgets.FloatSlider(value=scale, min=0.5, max=1.5, step=0.05, description="scale"),
        "flip": ipywidgets.Checkbox(value=False, description="flip left-right", indent=False),
        "color": ipywidgets.Dropdown(options=list(COLORS), description="color"),
        "mix": ipywidgets.Dropdown(options=MIXES, description="mix in"),
    }
    return explore(controls, page)
