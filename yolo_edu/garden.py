"""The garden: a data set that is drawn, not collected. Five classes, exact boxes, no download.

`scene(seed, index)` is a pure function: the same two numbers give the same picture (another version of
OpenCV may round a pixel differently). It paints from *front to back*, so that what is seen of an object is
final the moment it is placed; an object that would be mostly hidden is moved or left out before a single
pixel of it is painted. That is why every pixel of an object in the picture belongs to a labeled object,
and why every box is exact.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from tqdm import tqdm

from yolo_edu.errors import UserError
from yolo_edu.files import cause
from yolo_edu.garden_paint import Canvas, Sprite, cast_shadow, lay_ground, photograph, pose, rasterize, shade
from yolo_edu.garden_pen import TURN, Array, Random, palette
from yolo_edu.garden_shapes import CLASSES, DISTRACTORS, Draw

NAMES = tuple(CLASSES)
MIN_PIXELS = 24  # below about 5 x 5 pixels nobody can tell a beetle from a snail
GO_ON = "Make room or name another folder, then run again: what is finished is kept"
TRIES = 12  # places an object is tried at before it is left out


@dataclass(frozen=True)
class Level:
    """How hard the garden is. Sizes are the longest side of an unhidden object over the image side."""

    smallest: float
    largest: float
    objects: int  # at most
    distractors: int  # at most
    overlap: float  # probability that a thing is set beside an earlier one rather than anywhere
    min_visible: float  # fraction of its silhouette an object must show, else it is moved or left out


# At 320 pixels: from the largest anchor of P3 (33 pixels) or the smallest (10 x 13), to P5's (156 x 198).
LEVELS = {
    "easy": Level(smallest=0.1, largest=0.75, objects=5, distractors=3, overlap=0.15, min_visible=0.6),
    "normal": Level(smallest=0.04, largest=0.75, objects=12, distractors=6, overlap=0.35, min_visible=0.35),
}


class Scene(NamedTuple):
    """A picture and the whole truth about it."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    boxes: NDArray[np.float32]  # (N, 4) xyxy pixels: the exact extent of what is visible
    labels: NDArray[np.int64]  # (N,) index into NAMES
    identity: NDArray[np.int16]  # (H, W): k + 1 where object k makes up most of the pixel, else 0


# --- the scene -----------------------------------------------------------------------------------


class Thing(NamedTuple):
    """Something to be placed: what it is (label -1: a distractor), and how large, in pixels."""

    label: int
    draw: Draw
    diameter: float


def cast(rng: Random, size: int, level: Level) -> list[Thing]:
    """Who plays, front to back: classes uniform, sizes log-uniform. One picture in 25 has no object."""
    draws = list(CLASSES.values())
    count = 0 if rng.random() < 0.04 else int(rng.integers(1, level.objects + 1))
    sizes = np.exp(rng.uniform(np.log(level.smallest), np.log(level.largest), count)) * size
    labels = rng.integers(0, len(draws), count)
    things = [Thing(k, draws[k], d) for k, d in zip(labels.tolist(), sizes.tolist(), strict=True)]

    count = int(rng.integers(1, level.distractors + 1))
    sizes = np.exp(rng.uniform(np.log(0.04), np.log(0.35), count)) * size
    kinds = rng.integers(0, len(DISTRACTORS), count)
    things += [Thing(-1, DISTRACTORS[k], d) for k, d in zip(kinds.tolist(), sizes.tolist(), strict=True)]

    # Mostly the smaller one in front: the other way round it would often vanish behind the larger.
    depth = [thing.diameter * rng.uniform(0.4, 1.6) for thing in things]
    return [things[k] for k in np.argsort(depth)]


def find_place(
    rng: Random, canvas: Canvas, sprite: Sprite, thing: Thing, placed: list[tuple[Array, float]], level: Level
) -> tuple[int, int] | None:
    """A corner (x, y) where enough of the thing shows behind all that is there; None after TRIES failures."""
    size, (h, w) = len(canvas.open), sprite.alpha.shape
    needed = 0 if thing.label < 0 else max(MIN_PIXELS, level.min_visible * (sprite.alpha > 0.5).sum())
    for _ in range(TRIES):
        center = rng.uniform(0, size, 2)
        if placed and rng.random() < level.overlap:
            other, diameter = placed[rng.integers(len(placed))]
            center = other + rng.normal(0, 0.3, 2) * (diameter + thing.diameter)
        x, y = np.rint(center - [w / 2, h / 2]).astype(int).tolist()
        if canvas.seen(sprite, x, y).sum() >= needed:
            return x, y
    return None


def scene(seed: int, index: int, size: int = 320, *, level: str = "easy") -> Scene:
    """Paint one picture, (size, size, 3) RGB: a pure function of its arguments.

    Raises:
        UserError: `level` is not in LEVELS, `seed` or `index` is negative, or `size` is below 64.
    """
    if level not in LEVELS:
        raise UserError(f"There is no garden level {level!r}. Use one of: {', '.join(LEVELS)}.")
    if seed < 0 or index < 0 or size < 64:
        raise UserError(f"garden: seed {seed}, index {index}, size {size}. Use 0 or more, 0 or more, 64 or more.")
    rng, rules = np.random.default_rng([seed, index]), LEVELS[level]
    azimuth, elevation = rng.random() * TURN, rng.uniform(0.7, 1.1)
    flat = np.cos(elevation)
    light = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], np.float32)

    canvas = Canvas(size)
    labels: list[int] = []
    placed: list[tuple[Array, float]] = []
    for thing in cast(rng, size, rules):
        colors = palette(rng)  # drawn before the form: color cannot know the class
        sprite = rasterize(thing.draw(rng, colors), pose(rng), thing.diameter)
        place = find_place(rng, canvas, sprite, thing, placed, rules)
        if place is None:
            continue
        if thing.label >= 0:
            labels.append(thing.label)
        shadow = cast_shadow(sprite, light, thing.diameter)
        lit = shade(rng, sprite, light, thing.diameter)
        canvas.put(lit, *place, shadow, number=len(labels) if thing.label >= 0 else 0)
        h, w = sprite.alpha.shape
        placed.append((np.array([place[0] + w / 2, place[1] + h / 2], np.float32), thing.diameter))

    color = canvas.color + lay_ground(rng, size, light) * (canvas.open * canvas.sun)[..., None]
    boxes = [extent(canvas.identity == k + 1) for k in range(len(labels))]
    return Scene(
        photograph(rng, color),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        canvas.identity,
    )


def extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The smallest box xyxy (pixel edges, not centers) around the true pixels of a non-empty mask."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    return x, y, x + w, y + h


# --- the folder ----------------------------------------------------------------------------------


def write(
    out: Path, images: int, *, seed: int = 0, size: int = 320, level: str = "easy", val_fraction: float = 0.2
) -> Path:
    """Write scenes 0 .. images - 1 as a YOLO data set and return its data.yaml.

    Layout: images/train|val/*.jpg, labels/train|val/*.txt with rows `class cx cy w h` (normalized), and
    data.yaml, which also holds the recipe. Pictures that are there already are kept: a run that was
    interrupted, or one with more images, goes on where the last one ended.

    Raises:
        UserError: a bad number; `out` is a file, a non-empty folder of something else, a garden of
            another recipe or with more images than asked for, or cannot be written to.
    """
    if images < 1 or not 0 <= val_fraction < 1:
        raise UserError(f"garden: {images} images, val_fraction {val_fraction}. Use 1 or more, and 0 <= fraction < 1.")
    recipe = {"seed": seed, "size": size, "level": level, "val_fraction": val_fraction}
    scene(seed, 0, size, level=level)  # a bad seed, size or level shows before anything is on disk
    _check_folder(out, recipe, images)
    spec = {
        "path": ".",
        "train": "images/train",
        "val": "images/val",
        "names": dict(enumerate(NAMES)),
        "garden": recipe,
    }
    _make_folder(out)
    # The recipe first: without it the folder would look like somebody else's after an interruption.
    _write_whole(out / "data.yaml", yaml.safe_dump(spec, sort_keys=False).encode())
    for split in ("images/train", "images/val", "labels/train", "labels/val"):
        _make_folder(out / split)
    for index in tqdm(range(images), desc="garden", unit="image", disable=None):
        split = "val" if _is_val(index, val_fraction) else "train"
        picture = out / "images" / split / f"{index:06d}.jpg"
        if picture.exists():
            continue
        painted = scene(seed, index, size, level=level)
        corners = painted.boxes.reshape(-1, 2, 2) / size
        rows = np.concatenate([corners.mean(1), corners[:, 1] - corners[:, 0]], 1).tolist()
        text = "".join(
            f"{k} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for k, (x, y, w, h) in zip(painted.labels, rows, strict=True)
        )
        _, jpeg = cv2.imencode(".jpg", painted.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        # Labels first: the picture is the sign that its scene is finished.
        _write_whole(out / "labels" / split / f"{index:06d}.txt", text.encode())
        _write_whole(picture, jpeg.tobytes())
    return out / "data.yaml"


def _is_val(index: int, fraction: float) -> bool:
    """Evenly spread, from the first scene on, whatever their number: a set that grows keeps its split."""
    return math.ceil((index + 1) * fraction - 1e-9) > math.ceil(index * fraction - 1e-9)


def _check_folder(out: Path, recipe: dict[str, object], images: int) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file. Name a folder for the garden.")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        found = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))["garden"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        raise UserError(f"{out} is not empty and holds no garden. Name an empty or a new folder.") from None
    if found != recipe:
        raise UserError(f"{out} holds the garden {found}, not {recipe}. Name another folder, or delete this one.")
    extra = [p for p in out.glob("images/*/*.jpg") if p.stem.isdecimal() and int(p.stem) >= images]
    if extra:
        raise UserError(f"{out} holds more than {images} images. Ask for {images + len(extra)} or more, or delete it.")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot make the folder ({cause(error)}). {GO_ON}.") from None


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half-written, whatever interrupts."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path}: cannot write ({cause(error)}). {GO_ON}.") from None
