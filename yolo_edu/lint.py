"""The linter: everything wrong with a data set at once, each fault with file, line and the way out."""

import hashlib
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from yolo_edu.files import Fault, LabelRow, decode_image, label_path, label_rows
from yolo_edu.spec import IMAGE_SUFFIXES, DataSpec
from yolo_edu.threads import in_threads

OVERHANG = 0.01  # how far, as a part of the image, a box may reach over its border without a word


class SplitSummary(NamedTuple):
    """What one split holds. Faulty rows are not counted."""

    images: int
    background: int  # images without any box
    boxes: int
    per_class: dict[str, int]  # boxes, in the order of the names
    median_side: float  # median of sqrt(w · h) with w, h normalized to the image; 0 without boxes


def summary(spec: DataSpec) -> dict[str, SplitSummary]:
    """Count images and boxes of every split. Never raises."""
    result = {}
    for split, images in spec.splits.items():
        rows = [_good_rows(image, spec) for image in images]
        boxes = [row for image_rows in rows for row in image_rows]
        counts = Counter(row.label for row in boxes)
        sides = [(row.box[2] * row.box[3]) ** 0.5 for row in boxes]
        result[split] = SplitSummary(
            images=len(images),
            background=sum(not image_rows for image_rows in rows),
            boxes=len(boxes),
            per_class={name: counts[label] for label, name in enumerate(spec.names)},
            median_side=statistics.median(sides) if sides else 0.0,
        )
    return result


def lint(spec: DataSpec) -> list[Fault]:
    """Look at every file of a data set: labels, images, and how they fit together. Never raises.

    Returns:
        The faults sorted by severity (errors first), path and line. An error stops training or makes its
        result worthless; a warning is legal and usually a mistake.
    """
    faults = [*_label_faults(spec), *_orphans(spec), *_splits(spec), *_image_faults(spec)]
    return sorted(set(faults), key=lambda fault: (fault.severity, fault.path, fault.line, fault.message))


def _good_rows(image: Path, spec: DataSpec) -> list[LabelRow]:
    rows = label_rows(label_path(image), len(spec.names))
    return [row for row in rows if isinstance(row, LabelRow)]


def _label_faults(spec: DataSpec) -> Iterator[Fault]:
    """Faults inside one label file, and label files that are missing."""
    for image in dict.fromkeys(image for images in spec.splits.values() for image in images):
        path = label_path(image)
        if not os.path.exists(path):  # unlike Path.exists, never raises
            fix = f"Write {path}; if the image shows no object, an empty file says so"
            yield Fault(image, 0, "warning", "the image has no label file", fix)
            continue
        first_line: dict[tuple[int, tuple[float, ...]], int] = {}
        for row in label_rows(path, len(spec.names)):
            if isinstance(row, Fault):
                yield row
                continue
            if (first := first_line.setdefault(row[1:], row.line)) != row.line:
                yield Fault(path, row.line, "warning", f"the row repeats line {first}", "Delete one of the two")
            x, y, w, h = row.box
            if max(abs(x - 0.5) + w / 2, abs(y - 0.5) + h / 2) > 0.5 + OVERHANG:
                fix = "Clip the box to the image; cx cy is its center, not its corner"
                yield Fault(path, row.line, "warning", "the box reaches over the border of the image", fix)


def _orphans(spec: DataSpec) -> Iterator[Fault]:
    """Label files without an image. Images on disk that no split lists are not missing."""
    images = [image for split in spec.splits.values() for image in split]
    listed = {label_path(image) for image in images}
    folders = defaultdict(set)  # label folder → image folders
    for image in images:
        folders[label_path(image).parent].add(image.parent)
    for folder, image_folders in folders.items():
        if folder in image_folders:  # labels beside their images: other .txt files there may be anything
            continue
        for path in folder.glob("*.txt"):
            names = {path.stem + suffix for suffix in IMAGE_SUFFIXES}
            on_disk = any(os.path.exists(parent / name) for parent in image_folders for name in names)
            if path not in listed and not on_disk and path.name != "classes.txt":  # which some tools write
                yield Fault(path, 0, "warning", "a label file without an image", "Delete it or restore the image")


def _splits(spec: DataSpec) -> Iterator[Fault]:
    """Splits without an image, classes without a box."""
    for split, counted in summary(spec).items():
        if not counted.images:
            yield Fault(spec.path, 0, "error", f"the split {split!r} holds no image", "Check its folder")
        elif not counted.boxes:
            fix = f"Check that the labels lie where they are looked for: {label_path(spec.splits[split][0])}"
            yield Fault(spec.path, 0, "error", f"the split {split!r} holds no box", fix)
        else:
            for name in (name for name, count in counted.per_class.items() if not count):
                fix = "Add examples, or remove the name from the YAML and renumber the classes"
                yield Fault(spec.path, 0, "warning", f"class {name!r} has no box in {split!r}", fix)


def _image_faults(spec: DataSpec) -> Iterator[Fault]:
    """Images that cannot be read, and images that stand in two splits."""
    seen: dict[bytes, tuple[str, Path]] = {}
    for split, images in spec.splits.items():
        for image, result in zip(images, in_threads(_digest, images, f"looking at {split}"), strict=True):
            if isinstance(result, Fault):
                yield result
                continue
            other_split, other = seen.setdefault(result, (split, image))
            if other_split != split:
                message = f"the same image is in {other_split!r} ({other}) and in {split!r}"
                fix = f"Keep it in one of them; scores on {split!r} would be too good"
                yield Fault(image, 0, "error", message, fix)


def _digest(path: Path) -> bytes | Fault:
    """A hash of the pixels: a copy under another name or saved anew without loss has the same."""
    image = decode_image(path)
    if isinstance(image, Fault):
        return image
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
