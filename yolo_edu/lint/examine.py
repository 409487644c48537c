"""All checks over all files, in one pass."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from yolo_edu.files import Fault, LabelRow, label_path, label_rows
from yolo_edu.lint.classes import Sizes, SplitSummary, class_faults, count, measure, offset_faults, size_faults
from yolo_edu.lint.copies import copies
from yolo_edu.lint.layout import Folders, listed_faults, missing_labels, name_lists, orphans
from yolo_edu.lint.order import order_faults
from yolo_edu.lint.reading import Seen, see
from yolo_edu.lint.rows import image_faults, row_faults
from yolo_edu.spec import DataSpec
from yolo_edu.threads import in_threads

IMAGE_SIZE = 640


class Examination(NamedTuple):
    """What a linter found, and the numbers it found on the way."""

    image_size: int  # long side of the training images in pixels
    faults: list[Fault]  # errors first, then by path and line
    splits: dict[str, SplitSummary]
    sizes: dict[str, Sizes]
    seen: dict[str, list[Seen]]

    @property
    def errors(self) -> int:
        """How many faults are errors; the others are warnings."""
        return sum(fault.severity == "error" for fault in self.faults)


def lint(spec: DataSpec, image_size: int = IMAGE_SIZE) -> list[Fault]:
    """Look at every file of a data set: labels, images, and how they fit together. Never raises.

    Args:
        spec: what to look at.
        image_size: long side of the images in training, pixels; decides which boxes are too small.

    Returns:
        The faults sorted by severity (errors first), path and line. An error stops training or makes its
        result worthless; a warning is legal and usually a mistake.
    """
    return examine(spec, image_size).faults


def summary(spec: DataSpec) -> dict[str, SplitSummary]:
    """Count images and boxes of every split; reads labels only. Never raises."""
    return {split: count([_rows(image, spec) for image in images], spec.names) for split, images in spec.splits.items()}


def examine(spec: DataSpec, image_size: int = IMAGE_SIZE) -> Examination:
    """`lint` together with the numbers. Shows a bar while it reads. Never raises."""
    look = partial(see, classes=len(spec.names))
    seen = {split: in_threads(look, images, f"looking at {split}") for split, images in spec.splits.items()}
    splits = {split: count([one.rows for one in images], spec.names) for split, images in seen.items()}
    sizes = {split: measure(images, image_size) for split, images in seen.items()}
    # An image that stands in two splits is one file on disk.
    files = list({one.image: one for images in seen.values() for one in images}.values())
    folders = Folders()
    faults = [
        *listed_faults(spec, seen),
        *class_faults(spec.path, splits),
        *offset_faults(spec.path, seen, spec.names),
        *size_faults(spec.path, sizes, image_size),
        *name_lists(spec, files, folders),
        *missing_labels(files, folders),
        *orphans(files, folders),
        *_file_faults(spec, files, image_size),
        *order_faults(spec.path, seen),
        *copies(seen),
    ]
    return Examination(image_size, sorted(set(faults), key=_rank), splits, sizes, seen)


def _rows(image: Path, spec: DataSpec) -> list[LabelRow]:
    rows = label_rows(label_path(image), len(spec.names))
    return [row for row in rows if isinstance(row, LabelRow)]


def _file_faults(spec: DataSpec, files: Sequence[Seen], image_size: int) -> Iterator[Fault]:
    for one in files:
        yield from one.bad_rows
        yield from row_faults(one, spec.names, image_size)
        if (missing := spec.missing.get(one.image)) is not None:
            yield missing._replace(code="image-missing")
        else:
            yield from image_faults(one)


def _rank(fault: Fault) -> tuple[str, Path, int, str]:
    return fault.severity, fault.path, fault.line, fault.message
