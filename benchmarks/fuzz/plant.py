"""Faults planted one at a time at a known place. A planter breaks a good set and says what must be found where."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from fuzz.sets import HEIGHT, NAMES, WIDTH, encoded, picture


class Place(NamedTuple):
    path: Path
    line: int


# --- rows: one bad row among good ones, at a random line ---------------------------------------------------

Row = tuple[str, float, float, float, float]  # class as text, cx cy w h


def _joined(row: Row, by: str = " ") -> str:
    return by.join([row[0], *(f"{value:.6f}" for value in row[1:])])


def _other(row: Row) -> str:
    return str((int(row[0]) + 1) % len(NAMES))


# Each makes a bad row of a good one that stands before it.
ROWS: dict[str, Callable[[Generator, Row], str]] = {
    "separator": lambda random, row: _joined(row, random.choice([",", ", ", ";", "; "])),
    "columns": lambda random, row: " ".join(_joined(row).split()[: random.integers(1, 5)]),
    "not-a-number": lambda random, row: f"{_joined(row[:4])} {random.choice(['nan', 'w', '1e999', '0_1', '٣', '--1'])}",  # type: ignore[arg-type]
    "class-number": lambda random, row: f"{random.uniform(0.1, 0.9):.3f} {_joined(row)[2:]}",
    "class-range": lambda random, row: f"{random.choice([-1, 3, 7, 80])} {_joined(row)[2:]}",
    "pixels": lambda random, row: (
        f"{row[0]} {row[1] * WIDTH:.1f} {row[2] * HEIGHT:.1f} {row[3] * WIDTH:.1f} {row[4] * HEIGHT:.1f}"
    ),
    "range": lambda random, row: f"{row[0]} {random.uniform(1.01, 1.4):.4f} {row[2]:.4f} {row[3]:.4f} {row[4]:.4f}",
    "no-area": lambda random, row: f"{row[0]} {row[1]:.4f} {row[2]:.4f} " + random.choice(["0 0.2", "0.2 0", "0 0"]),
    "row-twice": lambda random, row: _joined(row).replace(" ", random.choice([" ", "\t", "   "])),
    "near-twice": lambda random, row: _joined((*row[:3], row[3] * random.uniform(0.97, 0.99), row[4])),
    "contradiction": lambda random, row: _joined((_other(row), *row[1:3], row[3] * random.uniform(0.97, 1), row[4])),
    "over-border": lambda random, row: f"{row[0]} {random.choice([0.05, 0.95])} {row[2]:.4f} 0.3 {row[4]:.4f}",
    "whole-image": lambda random, row: (
        f"{row[0]} 0.5 0.5 {random.uniform(0.985, 1):.4f} {random.uniform(0.985, 1):.4f}"
    ),
    "tiny-box": lambda random, row: f"{row[0]} {row[1]:.4f} {row[2]:.4f} {random.uniform(0.0005, 0.0045):.5f} 0.2",
}


def plant_row(code: str, random: Generator, labels: Path) -> Place:
    """Insert one bad row into a label file."""
    lines = labels.read_text().split("\n")[:-1]
    line = int(random.integers(1, len(lines) + 1))
    label, *box = lines[int(random.integers(line))].split()
    x, y, w, h = map(float, box)
    lines.insert(line, ROWS[code](random, (label, x, y, w, h)))
    labels.write_text("\n".join(lines) + "\n")
    return Place(labels, line + 1)


# --- files: one bad file among good ones -------------------------------------------------------------------


def _cut(image: Path, labels: Path, random: Generator) -> Place:
    data = image.read_bytes()
    image.write_bytes(data[: int(random.integers(20, len(data) - 12))])
    return Place(image, 0)


def _write(image: Path, data: bytes) -> Place:
    image.write_bytes(data)
    return Place(image, 0)


def _saved(image: Path, mode: str) -> Place:
    with Image.open(image) as picture:
        picture.convert(mode).save(image)
    return Place(image, 0)


def _turned(image: Path, labels: Path, random: Generator) -> Place:
    new = image.with_suffix(".jpg")
    with Image.open(image) as picture:
        exif = picture.getexif()
        exif[0x0112] = int(random.integers(2, 9))
        picture.save(new, exif=exif)
    image.unlink()
    return Place(new, 0)


def _renamed(image: Path, labels: Path, random: Generator) -> Place:
    return Place(labels.rename(labels.with_suffix(random.choice([".TXT", ".Txt"]))), 0)


def _gone(path: Path, reported: Path) -> Place:
    path.unlink()
    return Place(reported, 0)


def _written(labels: Path, data: bytes) -> Place:
    labels.write_bytes(data)
    return Place(labels, 0)


def _folder(labels: Path) -> Place:
    labels.unlink()
    labels.mkdir()
    return Place(labels, 0)


def _crowd(labels: Path) -> Place:
    grid = [f"0 {x / 41:.4f} {y / 11:.4f} 0.02 0.06" for x in range(1, 41) for y in range(1, 11)]
    labels.write_text("\n".join(grid))
    return Place(labels, 0)


def _reordered(labels: Path, random: Generator) -> Place:
    """Corners instead of center and size, of objects that a photo may well have: some large, some at the border."""
    low = random.uniform(0, 0.6, (8, 2))
    high = low + random.uniform(0.1, 0.4, (8, 2))
    numbers = np.concatenate([low, high], axis=1)
    labels.write_text("\n".join(f"0 {' '.join(f'{value:.4f}' for value in row)}" for row in numbers))
    return Place(labels, 0)


def _copied(image: Path, random: Generator, change: Callable[[np.ndarray], np.ndarray], folder: Path) -> Place:
    """A copy of an image with its labels in another split, or in the same under another name."""
    new = folder / f"copy_{image.stem}.png"
    cv2.imwrite(str(new), change(cv2.imread(str(image))))
    labels = new.parents[2] / "labels" / new.parent.name / f"{new.stem}.txt"
    shutil.copy(image.parents[2] / "labels" / image.parent.name / f"{image.stem}.txt", labels)
    return Place(new, 0)


def _anew(random: Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Resized, brighter or darker, perhaps mirrored, and through JPEG."""
    scale, gain, mirrored = random.uniform(0.6, 1.6), random.uniform(0.8, 1.1), random.random() < 0.5

    def change(image: np.ndarray) -> np.ndarray:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = (image * gain).clip(0, 255).astype(np.uint8)
        image = image[:, ::-1] if mirrored else image
        return cv2.imdecode(np.frombuffer(encoded(image, ".jpg"), np.uint8), cv2.IMREAD_COLOR)

    return change


File = Callable[[Path, Path, Generator], Place]
FILES: dict[str, File] = {
    "image-cut": _cut,
    "image-empty": lambda image, labels, random: _write(image, b""),
    "image-unknown": lambda image, labels, random: _write(image, random.bytes(300)),
    "image-unreadable": lambda image, labels, random: (image.unlink(), image.mkdir(), Place(image, 0))[2],
    "image-suffix": lambda image, labels, random: _write(
        image, encoded(picture(random), random.choice([".jpg", ".bmp"]))
    ),
    "image-mode": lambda image, labels, random: _saved(image, random.choice(["RGBA", "LA", "I;16"])),
    "image-turned": _turned,
    "image-small": lambda image, labels, random: _write(image, encoded(picture(random, 60, 31), ".png")),
    "image-shape": lambda image, labels, random: _write(image, encoded(picture(random, 400, 40), ".png")),
    "no-label-file": lambda image, labels, random: _gone(labels, image),
    "label-suffix": _renamed,
    "orphan-label": lambda image, labels, random: _gone(image, labels),
    "labels-unreadable": lambda image, labels, random: _folder(labels),
    "encoding": lambda image, labels, random: _written(labels, labels.read_text().encode("utf-16")),
    "crowded": lambda image, labels, random: _crowd(labels),
    "column-order": lambda image, labels, random: _reordered(labels, random),
    "copy-within": lambda image, labels, random: _copied(image, random, lambda pixels: pixels, image.parent),
    "copy-across": lambda image, labels, random: _copied(
        image, random, lambda pixels: pixels, image.parents[1] / "val"
    ),
    "near-copy": lambda image, labels, random: _copied(image, random, _anew(random), image.parents[1] / "val"),
}


# --- whole sets --------------------------------------------------------------------------------------------


def _every_label(root: Path, change: Callable[[int, list[float]], str]) -> None:
    for labels in (root / "labels/train").iterdir():
        rows = [line.split() for line in labels.read_text().splitlines()]
        labels.write_text("\n".join(change(int(label), list(map(float, box))) for label, *box in rows))


def _plain(label: int, box: list[float]) -> str:
    return f"{label} {' '.join(f'{value:.6f}' for value in box)}"


def _classes(root: Path, names: list[str]) -> Place:
    (root / "labels/train/classes.txt").write_text("\n".join(names))
    first = next(i for i, (a, b) in enumerate(zip([*names, ""], [*NAMES, ""], strict=False), start=1) if a != b)
    return Place(root / "labels/train/classes.txt", first)


def _in_yaml(root: Path, change: Callable[[int, list[float]], str]) -> Place:
    _every_label(root, change)
    return Place(root / "data.yaml", 0)


def _corners(label: int, box: list[float]) -> str:
    x, y, w, h = box
    return _plain(label, [x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def _rare(root: Path) -> Place:
    """All boxes of one class, but those of the first image."""
    for labels in sorted((root / "labels/train").iterdir())[1:]:
        labels.write_text("".join(f"0{line[1:]}\n" for line in labels.read_text().splitlines()))
    return Place(root / "data.yaml", 0)


def _no_folder(root: Path) -> Place:
    shutil.rmtree(root / "labels/train")
    return Place(root / "labels/train", 0)


def _no_images(root: Path) -> Place:
    for image in (root / "images/val").iterdir():
        image.unlink()
    shutil.rmtree(root / "labels/val")
    return Place(root / "data.yaml", 0)


SETS: dict[str, Callable[[Path, Generator], Place]] = {
    "class-order": lambda root, random: _classes(root, ["dog", "cat", "owl"]),
    "class-names": lambda root, random: _classes(root, [*NAMES, "fox"]),
    "counted-from-1": lambda root, random: _in_yaml(root, lambda label, box: _plain(label + 1, box)),
    "empty-class": lambda root, random: _in_yaml(root, lambda label, box: _plain(min(label, 1), box)),
    "imbalance": lambda root, random: _rare(root),
    "small-objects": lambda root, random: _in_yaml(root, lambda label, box: _plain(label, [*box[:2], 0.008, box[3]])),
    "column-order": lambda root, random: _in_yaml(root, _corners),
    "no-boxes": lambda root, random: _in_yaml(root, lambda label, box: ""),
    "empty-split": lambda root, random: _no_images(root),
    "label-folder": lambda root, random: _no_folder(root),
}
