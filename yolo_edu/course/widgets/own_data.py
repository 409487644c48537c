"""Something to play with in lesson 15: photos with their labels and faults are browsed."""

import html
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import ipywidgets
import numpy as np
from numpy.typing import NDArray

from yolo_edu.caption import class_color, text_color
from yolo_edu.course.figures.diagram import INK
from yolo_edu.course.figures.display import pixels_url
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.files import Fault, decode_image
from yolo_edu.letterbox import GRAY
from yolo_edu.lint import Examination
from yolo_edu.lint.pictures import suspects
from yolo_edu.lint.reading import Seen

__all__ = ["inspected_photos", "label_inspector"]

SHOWN = 380  # CSS pixels of the picture's long side
HELD = 100  # photos that stay in memory; of a larger set the others are read when they are shown
SMALL = 16  # pixels at the training size: "small" in the filter
ALL, NO_BOX, SMALL_BOX = "all photos", "without a box", f"with a box under {SMALL} px"
FAULT_COLOR = "#d55e00"
Box = tuple[float, float, float, float]


def _belongs(fault: Fault, one: Seen) -> bool:
    return fault.path in (one.image, one.labels)


def inspected_photos(found: Examination, names: Sequence[str]) -> dict[str, list[Seen]]:
    """Filter → the photos that pass it: all, each kind of fault, each class, no box, small boxes.

    Args:
        found: of `yolo_edu.lint.examine`.
        names: of the classes.
    """
    photos = [one for images in found.seen.values() for one in images]
    chosen = {ALL: photos}
    for code in dict.fromkeys(fault.code for fault in found.faults):
        own = [f for f in found.faults if f.code == code]
        hit = [one for one in photos if any(_belongs(f, one) for f in own)]
        if hit:
            chosen[f"fault: {code}"] = hit
    for k, name in enumerate(names):
        chosen[f"class: {name}"] = [one for one in photos if any(row.label == k for row in one.rows)]
    chosen[NO_BOX] = [one for one in photos if not one.rows and not one.bad_rows]
    sides = {one.image: one.pixels(found.image_size).min(axis=1) for one in photos if one.rows}
    chosen[SMALL_BOX] = [one for one in photos if one.rows and (sides[one.image] < SMALL).any()]
    return {name: hit for name, hit in chosen.items() if hit}


@lru_cache(maxsize=256)
def _pixels(path: Path, stamp: int, size: int) -> tuple[str, int, int] | None:
    """Address, width, height of a photo; `size`: scaled to this long side first, 0: at most SHOWN.

    `stamp`, its time of change, is a part of the key: a photo that was repaired is read anew.
    """
    image = decode_image(path)
    if isinstance(image, Fault):
        return None
    height, width = image.shape[:2]
    scale = (size or min(2 * SHOWN, max(height, width))) / max(height, width)
    shrunk: NDArray[np.uint8] = np.asarray(
        cv2.resize(image, (max(round(width * scale), 1), max(round(height * scale), 1)), interpolation=cv2.INTER_AREA),
        dtype=np.uint8,
    )
    return pixels_url(shrunk, "png" if size else "jpeg"), width, height


def _outline(box: Box, color: str, rim: str, name: str, *, dashed: bool, width: float, height: float) -> str:
    """A box cxcywh, normalized, in a picture of this size; rimmed, so that it shows on any photo."""
    x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    place = f'x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" fill="none"'
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    words = html.escape(name)
    return (
        f'<rect {place} stroke="{rim}" stroke-width="4" stroke-opacity=".7"/>'
        f'<rect {place} stroke="{color}" stroke-width="2"{dash}/>'
        f'<text x="{max(x - w / 2, 0) + 3:.1f}" y="{max(y - h / 2, 0) + 13:.1f}" font-size="12" font-weight="bold" '
        f'font-family="sans-serif" fill="{color}" stroke="{rim}" stroke-width="2.5" paint-order="stroke">{words}</text>'
    )


def _frame(words: str) -> str:
    """In place of a picture."""
    return (
        f'<div style="width:{SHOWN}px;height:200px;border:1px dashed {INK};display:flex;align-items:center;'
        f'justify-content:center">{html.escape(words)}</div>'
    )


def label_inspector(found: Examination, names: Sequence[str], *, start: str = ALL, photo: int = 1) -> Explorer:
    """Photos with their boxes and what the linter says about them, filtered by fault, class and size.

    Args:
        found: of `yolo_edu.lint.examine`, at the training size.
        names: of the classes.
        start: the filter at the beginning.
        photo: which of its photos, counted from 1.

    Returns:
        The controls "show", "photo" and "seen", already shown.
    """
    chosen = inspected_photos(found, names)
    start = start if start in chosen else ALL
    size = found.image_size
    stamps = {one.image: one.image.stat().st_mtime_ns for one in chosen[ALL] if not isinstance(one.look, Fault)}
    for image in [*stamps][:HELD]:  # read now: a lesson may move them afterwards
        for side in (0, size):
            _pixels(image, stamps[image], side)
    folders = len({one.image.parent.parent for one in chosen[ALL]})

    def where(path: Path) -> str:
        return "/".join(path.parts[-2:] if folders == 1 else path.parts[-3:])

    def page(show: str, photo: int, seen: str) -> str:
        photos = chosen[show]
        one = photos[min(photo, len(photos)) - 1]
        faults = [fault for fault in found.faults if _belongs(fault, one)]
        picture = _picture(one, faults, seen)
        told = _boxes(one)
        items = "".join(f"<li>{html.escape(_said(f))}</li>" for f in faults[:4])
        items += f"<li>and {len(faults) - 4} more</li>" if len(faults) > 4 else ""
        said = f"The linter says:<ul>{items}</ul>" if faults else "The linter says nothing."
        place = f"photo {min(photo, len(photos))} of {len(photos)} ({html.escape(show)})"
        return (
            '<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start">'
            + picture
            + f'<div style="flex:1 1 18em"><p><b>{html.escape(where(one.image))}</b>, {place}</p>'
            + f"<p>{html.escape(told)}.</p><div>{said}</div></div></div>"
        )

    def _boxes(one: Seen) -> str:
        if not one.rows:
            return "no box that can be read" if one.bad_rows else "no box"
        count = f"{len(one.rows)} box{'es' if len(one.rows) > 1 else ''}"
        if isinstance(one.look, Fault):
            return f"{count} in the label file"
        sizes = [f"{w:.0f} × {h:.0f}" for w, h in one.pixels(size).tolist()]
        boxes = [f"{names[row.label]} {s}" for row, s in zip(one.rows, sizes, strict=True)]
        more = f" and {len(boxes) - 8} more" if len(boxes) > 8 else ""
        return f"{count}, in pixels at training size {size}: {', '.join(boxes[:8])}{more}"

    def _said(fault: Fault) -> str:
        line = f"line {fault.line}: " if fault.line else ""
        return f"{fault.severity} {fault.code}, {line}{fault.message}"

    def _picture(one: Seen, faults: Sequence[Fault], seen: str) -> str:
        loaded = None
        if not isinstance(one.look, Fault):
            small = seen != VIEWS[0]
            loaded = _pixels(one.image, stamps[one.image], size if small else 0)
            if loaded is None and not one.image.is_file():
                return _frame(f"{one.image.name} has been moved or deleted since")
        if loaded is None:
            return _frame(f"{one.image.name} cannot be read")
        source, w, h = loaded
        scale = SHOWN / max(w, h)
        width, height = w * scale, h * scale
        rows = [(row, [f for f in faults if f.path == one.labels and f.line == row.line]) for row in one.rows]
        shapes = []
        for row, own in rows:
            rgb = class_color(row.label)
            color, rim = (f"rgb{c}" for c in (rgb, text_color(rgb)))
            mark = f"{names[row.label]} ?" if own else names[row.label]
            shapes.append(_outline(row.box, color, rim, mark, dashed=bool(own), width=width, height=height))
        for fault in one.bad_rows:  # what cannot be read, drawn as far as its numbers go
            (suspect,) = suspects(found._replace(faults=[fault]))
            if suspect.box is not None:
                words = f"{fault.code}, line {fault.line}"
                shapes.append(
                    _outline(suspect.box, FAULT_COLOR, "white", words, dashed=True, width=width, height=height)
                )
        alt = f"{one.image.name} with {len(one.rows)} boxes and {len(one.bad_rows)} rows that cannot be read"
        pixelated = "image-rendering:pixelated;" if seen != VIEWS[0] else ""
        return (
            f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {width:.1f} {height:.1f}" '
            f'width="{width:.0f}" height="{height:.0f}" style="max-width:100%;background:rgb({GRAY},{GRAY},{GRAY});'
            f'border:1px solid {INK}"><image href="{source}" width="{width:.1f}" height="{height:.1f}" '
            f'preserveAspectRatio="none" style="{pixelated}"/>{"".join(shapes)}</svg>'
        )

    VIEWS = ("as the photo is", f"at {size} pixels")
    choice = ipywidgets.Dropdown(
        options=[(f"{name} ({len(hit)})", name) for name, hit in chosen.items()], value=start, description="show"
    )
    number = ipywidgets.IntSlider(value=photo, min=1, max=len(chosen[start]), description="photo")
    view = ipywidgets.Dropdown(options=VIEWS, description="seen")

    def on_choice(change: dict[str, str]) -> None:
        number.value = 1
        number.max = len(chosen[change["new"]])

    choice.observe(on_choice, names="value")
    return explore({"show": choice, "photo": number, "seen": view}, page)
