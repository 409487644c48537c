"""Numbers of a data set: boxes a class a split, their sizes at the training size, and what is odd about them."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolo_edu.files import Fault, LabelRow
from yolo_edu.lint.reading import Seen

RARE = 10  # a class is rare if the most frequent one has more than this many times its boxes
ENOUGH = 50  # boxes (of the most frequent class); of fewer no share is worth a word
FINEST = 8  # pixels, the stride of the finest detection level
MANY_SMALL = 0.1  # share of the boxes


class SplitSummary(NamedTuple):
    """What one split holds. Faulty rows are not counted."""

    images: int
    background: int  # images without any box
    boxes: int
    per_class: dict[str, int]  # boxes, in the order of the names
    median_side: float  # median of sqrt(w · h) with w, h normalized to the image; 0 without boxes


class Sizes(NamedTuple):
    """The boxes of one split at the training size; those of images that cannot be read are left out."""

    labels: NDArray[np.int64]  # (M,)
    pixels: NDArray[np.float64]  # (M, 2) width and height

    @property
    def sides(self) -> NDArray[np.float64]:
        """(M,) sqrt(w · h), pixels."""
        return np.sqrt(self.pixels.prod(axis=1))

    @property
    def small(self) -> float:
        """The share of boxes whose shorter side is below the finest stride; 0 without boxes."""
        return float((self.pixels.min(axis=1) < FINEST).mean()) if len(self.pixels) else 0.0


def count(rows: Sequence[Sequence[LabelRow]], names: Sequence[str]) -> SplitSummary:
    """Count the boxes of a split, given the rows of each of its images."""
    boxes = [row for image_rows in rows for row in image_rows]
    counts = Counter(row.label for row in boxes)
    sides = [(row.box[2] * row.box[3]) ** 0.5 for row in boxes]
    return SplitSummary(
        images=len(rows),
        background=sum(not image_rows for image_rows in rows),
        boxes=len(boxes),
        per_class={name: counts[label] for label, name in enumerate(names)},
        median_side=statistics.median(sides) if sides else 0.0,
    )


def measure(images: Sequence[Seen], image_size: int) -> Sizes:
    """The sizes of all boxes of a split."""
    labels = np.array([row.label for one in images for row in one.rows], dtype=np.int64)
    pixels = np.concatenate([np.empty((0, 2)), *(one.pixels(image_size) for one in images)])
    known = ~np.isnan(pixels).any(axis=1)
    return Sizes(labels[known], pixels[known])


def class_faults(path: Path, counted: Mapping[str, SplitSummary]) -> Iterator[Fault]:
    """Classes without a box, and classes with far fewer than others (of 'train', which is learned from)."""
    for split, numbers in counted.items():
        if not numbers.boxes:
            continue  # that is said of the whole split
        for name in (name for name, count in numbers.per_class.items() if not count):
            fix = "Add examples, or remove the name from the YAML and renumber the classes"
            yield Fault(path, 0, "warning", f"class {name!r} has no box in {split!r}", fix, "empty-class")
    if "train" not in counted or not (per_class := counted["train"].per_class):
        return
    most = max(per_class, key=lambda name: per_class[name])
    rare = {name: count for name, count in per_class.items() if 0 < count * RARE < per_class[most]}
    if rare and per_class[most] >= ENOUGH:
        told = ", ".join(f"{name!r} {count}" for name, count in sorted(rare.items(), key=lambda item: item[1]))
        factor = per_class[most] / min(rare.values())
        message = f"train: {most!r} has {per_class[most]} boxes, {told} ({factor:.0f} times fewer)"
        fix = "Add images of the rare classes, and look at their own AP, not only at the mean"
        yield Fault(path, 0, "warning", message, fix, "imbalance")


def offset_faults(path: Path, seen: Mapping[str, Sequence[Seen]], names: Sequence[str]) -> Iterator[Fault]:
    """Splits that use the class behind the last one and never class 0: counted from 1."""
    for split, images in seen.items():
        bad = [fault for one in images for fault in one.bad_rows if fault.code == "class-range"]
        behind = sum(f"class {len(names)}," in fault.message for fault in bad)
        if behind and not any(row.label == 0 for one in images for row in one.rows):
            message = f"{split}: {behind} rows have class {len(names)} and none has class 0: counted from 1?"
            fix = f"Subtract 1 from every class: 0 is {names[0]!r}"
            yield Fault(path, 0, "error", message, fix, "counted-from-1")


def size_faults(path: Path, sizes: Mapping[str, Sizes], image_size: int) -> Iterator[Fault]:
    """Splits with many boxes that fall between the cells of the finest detection level."""
    for split, boxes in sizes.items():
        if boxes.small <= MANY_SMALL or len(boxes.labels) < ENOUGH:
            continue
        shorter = np.sort(boxes.pixels.min(axis=1))
        needed = image_size * FINEST / max(float(np.quantile(shorter, MANY_SMALL)), 1e-6)
        message = (
            f"{split}: {boxes.small:.0%} of the boxes are less than {FINEST} pixels wide or high at training size "
        )
        message += f"{image_size}; the finest detection level has one cell for {FINEST} pixels"
        fix = f"Train at {-(-needed // 32) * 32:.0f} or more, or cut the images into tiles"
        yield Fault(path, 0, "warning", message, fix, "small-objects")
