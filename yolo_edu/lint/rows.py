"""Boxes of one label file that are legal and usually a mistake, and images that are."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from yolo_edu.files import Fault
from yolo_edu.lint.reading import Look, Seen

OVERHANG = 0.01  # how far, as a part of the image, a box may reach over its border without a word
SAME_PLACE = 0.95  # IoU of two boxes from which they are taken for one object
WHOLE = 0.98  # both sides at least this part of the image
TINY = 3.0  # pixels at the training size; release 7.0 drops augmented boxes of 2 and less
CROWDED = 300  # boxes; non-maximum suppression keeps as many detections (`yolo_edu.nms.nms`)
COMPARED = 2000  # boxes of a file that are compared with one another; more would not fit into memory
COARSEST = 32  # pixels, the stride of the coarsest detection level
LONG = 8.0  # long side : short side
SUFFIXES = {"JPEG": (".jpg", ".jpeg", ".jfif"), "PNG": (".png",), "BMP": (".bmp",), "WebP": (".webp",)}
SUFFIXES["TIFF"] = (".tif", ".tiff")


def row_faults(seen: Seen, names: Sequence[str], image_size: int) -> Iterator[Fault]:
    """What is odd about the boxes of one image."""
    first_line: dict[tuple[int, tuple[float, ...]], int] = {}
    path = seen.labels
    for row, (width, height) in zip(seen.rows, seen.pixels(image_size).tolist(), strict=True):

        def fault(code: str, message: str, fix: str, line: int = row.line) -> Fault:
            return Fault(path, line, "warning", message, fix, code)

        if (first := first_line.setdefault(row[1:], row.line)) != row.line:
            yield fault("row-twice", f"the row repeats line {first}", "Delete one of the two")
        x, y, w, h = row.box
        if max(abs(x - 0.5) + w / 2, abs(y - 0.5) + h / 2) > 0.5 + OVERHANG:
            fix = "Clip the box to the image; cx cy is its center, not its corner"
            yield fault("over-border", "the box reaches over the border of the image", fix)
        if min(w, h) >= WHOLE:
            fix = "Draw it around the object; if the object does fill the image, leave it"
            yield fault("whole-image", f"the box of {names[row.label]!r} covers the whole image", fix)
        if min(width, height) < TINY:  # not of nan, where the image cannot be read
            size = f"{width:.1f} × {height:.1f} pixels at training size {image_size}"
            fix = "Delete it if it is a slip of the mouse; else train at a larger size (--img-size)"
            yield fault("tiny-box", f"the box has {size}", fix)
    yield from _same_place(seen, names)
    count = len(seen.rows) + len(seen.bad_rows)
    if count > CROWDED:
        fix = f"Check that this file is of one image; a detector gives out {CROWDED} boxes an image"
        yield Fault(path, 0, "warning", f"{count} rows for one image", fix, "crowded")


def _same_place(seen: Seen, names: Sequence[str]) -> Iterator[Fault]:
    """Pairs of boxes with nearly the same corners. The later row is reported, once, with the first it meets."""
    rows = seen.rows[:COMPARED]
    if len(rows) < 2:
        return
    overlap = pairwise_iou(seen.boxes()[: len(rows)])
    first = {row[1:]: number for number, row in reversed(list(enumerate(rows)))}
    numbers = np.array([first[row[1:]] for row in rows])
    near = np.tril(overlap > SAME_PLACE, -1) & (numbers[:, None] != numbers)  # the same row twice is said elsewhere
    for j in np.flatnonzero(near.any(axis=1)).tolist():
        i = int(near[j].argmax())
        one, other = rows[i], rows[j]
        share = f"(IoU {overlap[j, i]:.2f})"
        if one.label == other.label:
            message = f"nearly the box of line {one.line} again {share}"
            yield Fault(seen.labels, other.line, "warning", message, "Delete one of the two", "near-twice")
        else:
            message = f"{names[other.label]!r} where line {one.line} has {names[one.label]!r} {share}"
            fix = "Keep the class that is right; two answers for one object teach neither"
            yield Fault(seen.labels, other.line, "warning", message, fix, "contradiction")


def pairwise_iou(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 4) cxcywh → (N, N) intersection over union."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    common = np.ones((len(boxes), len(boxes)))
    for axis in range(2):
        top = np.minimum.outer(high[:, axis], high[:, axis])
        common *= (top - np.maximum.outer(low[:, axis], low[:, axis])).clip(min=0)
    area = boxes[:, 2] * boxes[:, 3]
    return common / np.maximum(np.add.outer(area, area) - common, 1e-300)


def image_faults(seen: Seen) -> Iterator[Fault]:
    """An image that cannot be read, or that is odd."""
    look = seen.look
    if isinstance(look, Look):
        for code, message, fix in _odd(seen, look):
            yield Fault(seen.image, 0, "warning", message, fix, code)
    else:
        yield look


def _odd(seen: Seen, look: Look) -> Iterator[tuple[str, str, str]]:
    kind, channels, bits, turn = look.header
    suffix = seen.image.suffix.lower()
    if kind and suffix not in SUFFIXES.get(kind, ()):
        fix = "Give it the right suffix; other programs go by the name"
        yield "image-suffix", f"the image is a {kind}, its name ends in {suffix or 'nothing'}", fix
    if channels in (2, 4):
        inks = kind == "JPEG"
        what = "printing inks (CMYK) instead of RGB" if inks else "a transparent layer, which is dropped"
        yield "image-mode", f"the image has {what}", "Look at it as training sees it, or save it as RGB"
    if bits > 8:
        yield "image-mode", f"the image has {bits} bits a channel, of which 8 are kept", "Save it with 8 bits"
    if turn != 1 and seen.rows:
        fix = "Check that the boxes fit the upright image, or save it turned and without the tag"
        yield "image-turned", f"the image is turned by its EXIF tag (orientation {turn})", fix
    short, long = sorted((look.width, look.height))
    if short < COARSEST:
        fix = "Check that it is no thumbnail or icon"
        yield "image-small", f"the image has only {look.width} × {look.height} pixels", fix
    if long > LONG * short:
        fix = "Cut it into tiles: a network sees squares, and the rest of this one is gray"
        yield "image-shape", f"the image of {look.width} × {look.height} pixels is very long", fix
