"""The assignment microscope of lesson 10: a box to drag, and the entries that follow from it."""

import html
from collections.abc import Iterator, Sequence

import ipywidgets
import torch
from torch import Tensor

from yolo_edu.assign import Assignment, Rule, assign, chosen_cells
from yolo_edu.boxes import scale_boxes, xyxy_to_cxcywh
from yolo_edu.course.figures.assignment_photos import lit_cells
from yolo_edu.course.figures.diagram import LEVEL_COLORS, WORK_COLORS
from yolo_edu.course.widgets.drag import BoxCanvas
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.model.detect import STRIDES

__all__ = ["assignment_explorer"]

TABLE = '<table style="border-collapse:separate;border-spacing:10px 0">'  # JupyterLab leaves no room between cells
RELEASES = {"r7": "release 7.0", "r1": "the June 2020 release"}
LEVELS = list(LEVEL_COLORS)


def assignment_explorer(
    image: Tensor, box: Sequence[float], anchors: Tensor, *, name: str = "object", level: str = "P4", rule: Rule = "r7"
) -> Explorer:
    """Drag a box over a photo: which anchors fit, which cells are chosen and why, and the entries.

    Args:
        image: uint8 (3, S, S), the network's square input.
        box: x1, y1, x2, y2 in its pixels, at the beginning.
        anchors: (L, A, 2) pixels of the square.
        name: of the object.
        level: "P3", "P4", "P5" or "all": what is drawn at the beginning.
        rule: the release at the beginning.

    Returns:
        The controls "boxes", "level" and "rule", already shown.
    """
    size = image.shape[-1]
    cells = anchors / torch.tensor(STRIDES)[:, None, None]
    grids = [(size // s, size // s) for s in STRIDES]
    slots_of_all = sum(anchors.shape[1] * rows * columns for rows, columns in grids)

    def page(boxes: list[list[float]], level: str, rule: Rule) -> str:
        pixels = xyxy_to_cxcywh(torch.tensor(boxes[0]))
        target = torch.cat([torch.zeros(2), scale_boxes(pixels, 1 / size, 1 / size)])
        entries = assign(target[None], grids, cells, rule=rule)
        shown = [index for index, known in enumerate(LEVELS) if level in (known, "all")]
        cells_drawn = [_overlay(index, entries[index], size, level != "all") for index in reversed(shown)]
        x, y, w, h = pixels.tolist()
        dot = f'<circle cx="{x:g}" cy="{y:g}" r="2" fill="{WORK_COLORS["marked"]}" stroke="#fff" stroke-width=".7"/>'
        canvas.overlay = "".join([*cells_drawn, dot])
        counts = ", ".join(f"{known} {len(one.row)}" for known, one in zip(LEVELS, entries, strict=True))
        slots = sum(len({*zip(*(v.tolist() for v in one[1:4]), strict=True)}) for one in entries)  # anchor, row, column
        head = f"<b>{slots} of {slots_of_all:,} slots</b> must predict this {html.escape(name)} (entries: {counts})"
        place = f"Center ({x:.1f}, {y:.1f}), size {w:.1f} × {h:.1f} pixels of the square, {RELEASES[rule]}."
        reasons = "".join(f"<li>{_reason(i, pixels, grids[i], entries[i], rule)}</li>" for i in shown)
        return (
            f"<p>{head}. {place}</p><div style='display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start'>"
            f"<div><b>Step 1: do the shapes fit?</b>{_ratios(pixels[2:], anchors)}</div>"
            f"<div style='flex:1 1 20em'><b>Steps 2 and 3: which cells?</b><ul>{reasons}</ul></div></div>"
            f"<b>The entries{'' if level == 'all' else ' of ' + level}</b>, boxes in cells from their cell's corner"
            f"{_entries(shown, entries)}"
        )

    canvas = BoxCanvas(
        [list(box)], (size, size), [name], image=image, shown=480, label=f"A photo with the box of one {name}"
    )
    controls = {
        "boxes": canvas,
        "level": ipywidgets.Dropdown(options=[*LEVELS, "all"], value=level, description="level"),
        "rule": ipywidgets.ToggleButtons(
            options=[("release 7.0", "r7"), ("June 2020", "r1")], value=rule, description="rule of"
        ),
    }
    page(canvas.value, level, rule)  # draws what the still picture shows
    return explore(controls, page, still=canvas.still())


# --- the picture ----------------------------------------------------------------------------------------


def _overlay(index: int, entries: Assignment, size: int, with_grid: bool) -> str:
    """The grid of a level and its chosen cells: plain for the center's, hatched for neighbors, a letter in each."""
    stride, color = STRIDES[index], LEVEL_COLORS[LEVELS[index]]
    parts = []
    if with_grid:
        lines = "".join(f"M{v} 0V{size}M0 {v}H{size}" for v in range(0, size + 1, stride))
        parts.append(f'<path d="{lines}" stroke="#fff" stroke-opacity=".55" stroke-width=".6" fill="none"/>')
    for (row, column), letter in lit_cells(entries).items() if len(entries.row) else ():
        x, y = column * stride, row * stride
        place = f'x="{x}" y="{y}" width="{stride}" height="{stride}"'
        parts.append(f'<rect {place} fill="{color}" fill-opacity=".6" stroke="#000" stroke-width=".8"/>')
        if letter[0] != "C":
            step = stride / 4
            ends = [(max(k * step - stride, 0), min(k * step, stride)) for k in range(1, 8)]
            hatch = "".join(f"M{x + a:g} {y + b:g}L{x + b:g} {y + a:g}" for a, b in ends)
            parts.append(f'<path d="{hatch}" stroke="#000" stroke-width=".5" stroke-opacity=".7"/>')
        if not with_grid:  # three levels lie on each other: letters would too
            continue
        font = min(stride * 0.8, 11) if len(letter) < 3 else min(stride * 0.45, 9)
        parts.append(
            f'<text x="{x + stride / 2:g}" y="{y + stride / 2 + font * 0.36:g}" font-size="{font:g}" '
            'text-anchor="middle" font-family="sans-serif" font-weight="bold" fill="#fff" stroke="#000" '
            f'stroke-width="{font / 6:.2g}" paint-order="stroke">{letter}</text>'
        )
    return "".join(parts)


# --- words and tables -----------------------------------------------------------------------------------


def _ratios(size: Tensor, anchors: Tensor) -> str:
    rows = []
    for known, shapes in zip(LEVELS, anchors, strict=True):
        for shape in shapes:
            ratio = size / shape
            worst = torch.maximum(ratio, 1 / ratio).max().item()
            verdict = "<b>fits</b>" if worst < 4 else "no"
            numbers = "</td><td>".join(f"{v:.2f}" for v in (*ratio.tolist(), worst))
            rows.append(
                f"<tr><td>{known} {shape[0]:.0f} × {shape[1]:.0f}</td><td>{numbers}</td><td>{verdict}</td></tr>"
            )
    head = "<tr><th>anchor</th><th>width ÷ its</th><th>height ÷ its</th><th>off by</th><th>below 4?</th></tr>"
    return f"{TABLE}{head}{''.join(rows)}</table>"


def _reason(index: int, pixels: Tensor, grid: tuple[int, int], entries: Assignment, rule: Rule) -> str:
    """Why these cells of a level."""
    level = f"<b>{LEVELS[index]}</b>"
    if not len(entries.row):
        return f"{level}: no anchor fits, so no cell is chosen."
    rows, columns = grid
    center = pixels[:2] / STRIDES[index]
    _, left, up, right, down = chosen_cells(center[None], rows, columns, rule)[:, 0].tolist()
    x, y = center.tolist()
    across = _axis("x", "column", x, columns, (left, right), ("left", "right"))
    along = _axis("y", "row", y, rows, (up, down), ("upper", "lower"))
    return f"{level}: {across}; {along}."


def _axis(axis: str, line: str, value: float, count: int, chosen: tuple[bool, bool], names: tuple[str, str]) -> str:
    fraction = value % 1
    start = f"{axis} = {value:.2f}, {line} {min(int(value), count - 1)}: "
    if fraction == 0:
        if all(chosen):
            return f"{start}exactly on a border, so the {names[0]} neighbor too, and the cell itself a second time"
        joins = f"the {names[0]} neighbor too" if chosen[0] else "no neighbor"
        return f"{start}exactly on a border, so {joins}"
    if fraction == 0.5:
        return f"{start}exactly in the middle, no neighbor"
    near = fraction > 0.5
    words = f"the fraction {f'{fraction:.2f}'[1:]} is {'above' if near else 'below'} .5, "
    if fraction > 0.995 or fraction < 0.005:
        words = f"the fraction is {'just below 1' if near else 'just above 0'}, "
    verdict = f"so the {names[near]} neighbor too" if chosen[near] else f"but there is no {names[near]} neighbor"
    return f"{start}{words}{verdict}"


def _entries(shown: Sequence[int], levels: Sequence[Assignment]) -> str:
    head = "<tr><th></th><th>anchor</th><th>row</th><th>column</th><th>x</th><th>y</th><th>w</th><th>h</th></tr>"
    rows = "".join(_entry_rows(shown, levels))
    return f"{TABLE}{head}{rows}</table>" if rows else "<p>None: no anchor fits.</p>"


def _entry_rows(shown: Sequence[int], levels: Sequence[Assignment]) -> Iterator[str]:
    for index in shown:
        level = levels[index]
        for anchor, row, column, box in zip(level.anchor, level.row, level.column, level.box.tolist(), strict=True):
            numbers = "</td><td>".join(f"{v:.2f}".replace("-", "−") for v in box)
            yield f"<tr><td>{LEVELS[index]}</td><td>{anchor}</td><td>{row}</td><td>{column}</td><td>{numbers}</td></tr>"
