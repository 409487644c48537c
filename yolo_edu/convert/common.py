"""The noun that every format is read into and written from, and the check that every image passes on its way.

Boxes are xyxy in pixels of the upright image, as Python floats: x and y of the top left corner of a pixel count from
0, so a box over the whole image is (0, 0, width, height). What is wrong or left out on the way goes into `Notes`.
"""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError  # torchvision and matplotlib bring it

from yolo_edu.errors import UserError
from yolo_edu.files import ROUNDING, Fault, cause
from yolo_edu.spec import IMAGE_SUFFIXES
from yolo_edu.threads import in_threads

SPLITS = ("train", "val", "test")
SLACK = 0.01  # pixels: a box reaches this far over the border by rounding, and one thinner than this has no area
Corners = tuple[float, float, float, float]


class Box(NamedTuple):
    """One object."""

    label: int  # index into Annotated.names
    xyxy: Corners  # pixels of the upright image
    difficult: bool = False  # VOC: hard to see, left out of VOC's scores
    crowd: bool = False  # COCO: a region of many objects, not one


class Picture(NamedTuple):
    """One image with its objects."""

    file: Path  # where the image lies
    name: str  # what to call it inside its split: relative, with /
    width: int  # of the upright image, read from the file
    height: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Annotated:
    """A data set in no format: class names in order, and the pictures of every split."""

    names: tuple[str, ...]
    splits: Mapping[str, tuple[Picture, ...]]
    category_ids: tuple[int, ...] = ()  # COCO's own number of every class; empty if it never had one


@dataclass
class Notes:
    """Everything that a conversion changed or left out."""

    faults: list[Fault] = field(default_factory=list)  # one a record; "error": left out, "warning": changed or doubtful
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # split → what → how often

    def fault(self, split: str, what: str, fault: Fault) -> None:
        """Keep a fault, and count it as `what`."""
        self.faults.append(fault)
        self.counts[split][what] += 1

    def count(self, split: str, what: str, times: int = 1) -> None:
        """Count what happens by rule and is nobody's mistake."""
        if times:
            self.counts[split][what] += times

    @property
    def errors(self) -> int:
        """Records that were left out because they are broken."""
        return sum(fault.severity == "error" for fault in self.faults)


# --- from records to pictures -----------------------------------------------------------------------------


class RawBox(NamedTuple):
    """A box as a reader found it: unchecked."""

    box: Box
    record: str  # what to call it in a message: "annotation 17"
    line: int = 0


class Draft(NamedTuple):
    """An image as a reader found it: unchecked."""

    source: Path  # the file that holds the annotations
    record: str  # what to call the image in a message
    file: Path
    name: str
    size: tuple[float, float] | None  # width, height as the annotations say
    boxes: Sequence[RawBox]
    normalized: bool = False  # the boxes are parts of width and height


class Size(NamedTuple):
    """Width and height of an image in pixels."""

    upright: tuple[int, int]  # turned by the EXIF tag, as every viewer and our data loader show it
    stored: tuple[int, int]  # as the pixels lie in the file


def image_size(path: Path) -> Size | Fault:
    """The size of an image, from its header alone: 0.1 ms instead of the 5 ms that decoding takes."""
    try:
        with Image.open(path) as image:
            stored = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # orientations with width and height swapped
    except UnidentifiedImageError:
        return Fault(path, 0, "error", "not an image that Pillow knows", "Save it as JPEG or PNG")
    except Exception as error:  # Pillow's plug-ins raise whatever a damaged header leads them to
        why = cause(error)
        return Fault(path, 0, "error", f"not a readable image ({why})", "Copy it again from its source")
    return Size(stored[::-1] if turned else stored, stored)


def settle(split: str, drafts: Sequence[Draft], notes: Notes) -> tuple[Picture, ...]:
    """Check drafts against their image files; boxes are clipped, and everything unusable goes into the notes.

    Sizes come from the image files. Where the annotations say another one, they are wrong (a warning); where they
    fit the pixels as stored and an EXIF tag turns the image by 90°, the boxes stand in a frame that no viewer shows,
    and the image is left out.

    Raises:
        UserError: there are drafts, and no image of them exists.
    """
    if drafts and not any(os.path.isfile(draft.file) for draft in drafts):
        first = drafts[0]
        raise UserError(
            f"{first.source}: none of the {len(drafts)} images of {split!r} is there. The first was looked for at "
            f"{first.file}: put the images there, or name their folder (--images-folder, for a COCO JSON)."
        )
    sizes = in_threads(image_size, [draft.file for draft in drafts], f"measuring {split}")
    pictures = (_settle(split, draft, size, notes) for draft, size in zip(drafts, sizes, strict=True))
    return tuple(picture for picture in pictures if picture is not None)


def _settle(split: str, draft: Draft, size: Size | Fault, notes: Notes) -> Picture | None:
    def left_out(what: str, message: str, fix: str) -> None:
        text = f"{draft.record}: {message}; left out with its {len(draft.boxes)} boxes"
        notes.fault(split, f"{what} left out", Fault(draft.source, 0, "error", text, fix))

    if not os.path.isfile(draft.file):
        left_out("images without a file", f"no image {draft.file}", "Restore it, or remove its record")
        return None
    if Path(draft.name).suffix.lower() not in IMAGE_SUFFIXES:
        fix = f"Save it as one of {' '.join(IMAGE_SUFFIXES)}"
        left_out("images of an unknown type", f"{draft.file} has no suffix we read", fix)
        return None
    if isinstance(size, Fault):
        left_out("unreadable images", str(size).rstrip("."), "Replace it")
        return None
    width, height = size.upright
    if draft.size is not None and draft.size != size.upright:
        said = "{:g} × {:g}".format(*draft.size)
        if draft.size == size.stored:
            fix = "Save the image without that tag as it was annotated, or turn the boxes"
            message = f"annotated as {said}, but its EXIF tag turns {draft.file} by 90°"
            left_out("images turned by EXIF", message, fix)
            return None
        message = (
            f"{draft.record}: says {said}, but {draft.file} has {width} × {height} pixels; the file's size is used"
        )
        fix = "Look at its boxes: if the image was resized after it was annotated, they are wrong"
        notes.fault(split, "wrong image sizes corrected", Fault(draft.source, 0, "warning", message, fix))
    boxes = (_fit(split, draft, raw, width, height, notes) for raw in draft.boxes)
    return Picture(draft.file, draft.name, width, height, tuple(box for box in boxes if box is not None))


def _fit(split: str, draft: Draft, raw: RawBox, width: int, height: int, notes: Notes) -> Box | None:
    """The box in pixels, clipped to the image; None if nothing is left of it."""

    def note(what: str, severity: str, message: str, fix: str) -> None:
        text = f"{raw.record} ({draft.record}): {message}"
        notes.fault(split, what, Fault(draft.source, raw.line, severity, text, fix))

    xyxy = raw.box.xyxy
    if draft.normalized:
        xyxy = (xyxy[0] * width, xyxy[1] * height, xyxy[2] * width, xyxy[3] * height)
    x1, y1, x2, y2 = xyxy
    shown = "({:g}, {:g}, {:g}, {:g})".format(*xyxy)
    # Twice what label files can tell from zero: rounding to their digits must not bring it below.
    thin_x, thin_y = max(SLACK, 2 * ROUNDING * width), max(SLACK, 2 * ROUNDING * height)
    # As `not`, so that nan has no area either.
    if not (x2 - x1 >= thin_x and y2 - y1 >= thin_y and math.isfinite(x1 + y1 + x2 + y2)):
        note("boxes without area left out", "error", f"the box {shown} has no area; left out", "Draw it anew")
        return None
    clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if clipped[2] - clipped[0] < thin_x or clipped[3] - clipped[1] < thin_y:
        message = f"the box {shown} lies outside the image of {width} × {height}; left out"
        note("boxes outside their image left out", "error", message, "Draw it anew")
        return None
    if max(abs(a - b) for a, b in zip(clipped, xyxy, strict=True)) > SLACK:
        message = f"the box {shown} reaches over the border of {width} × {height}; clipped"
        note("boxes clipped to their image", "warning", message, "Check that it belongs to this image")
    return raw.box._replace(xyxy=clipped)
