"""The folder of lesson 15: photos of two animals as somebody's export left them, with faults planted on purpose."""

import io
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image  # matplotlib brings it

from yolo_edu.assets import sample_data
from yolo_edu.files import decode_image, label_path, read_labels
from yolo_edu.spec import read_spec

__all__ = ["NAMES", "PlantedFault", "kept_photos", "somebodys_export"]

NAMES = ("jellyfish", "penguin")  # classes 0 and 1 of the folder
SMALLEST = 0.08  # photos with a smaller box (as a part of the photo) are left out: they need more than 128 pixels
VAL = 5  # every fifth photo, as many tools split
SIDEWAYS = 6  # the EXIF orientation: turn by 90 degrees to the right to see it upright
YAML = """\
path: D:\\exports\\visit      # of the machine that made the export
train: images/train
val: images/val
test: images/test
names: [jellyfish, penguin]
"""
Row = tuple[int, float, float, float, float]  # class cx cy w h, normalized


class PlantedFault(NamedTuple):
    """One thing that is wrong with the folder."""

    what: str
    code: str  # the kind that the linter reports it as; "": no program can see it
    file: str  # relative to the folder


def kept_photos() -> list[tuple[Path, list[Row]]]:
    """Photos of the shipped aquarium that show jellyfish or penguins only, none of them tiny, with their labels."""
    spec = read_spec(sample_data("aquarium5.yaml"))
    wanted = [spec.names.index(name) for name in NAMES]
    found = []
    for split in ("train", "val"):
        for image in spec.images(split):
            labels, boxes = read_labels(label_path(image), len(spec.names))
            if len(labels) and set(labels.tolist()) <= set(wanted) and boxes[:, 2:].prod(1).sqrt().min() >= SMALLEST:
                rows = [(wanted.index(k), *box) for k, box in zip(labels.tolist(), boxes.tolist(), strict=True)]
                found.append((image, rows))
    return sorted(found, key=lambda pair: pair[0].name)


def _text(rows: list[Row]) -> str:
    return "".join(f"{k} " + " ".join(f"{v:.5f}" for v in box) + "\n" for k, *box in rows)


def _corners(rows: list[Row], size: tuple[int, int] = (1, 1)) -> str:
    """Rows as `class x1 y1 x2 y2`, in pixels of a photo of this width and height, or normalized."""
    width, height = size
    lines = []
    for k, x, y, w, h in rows:
        values = (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
        lines.append(f"{k} " + " ".join(f"{v:.1f}" if width > 1 else f"{v:.5f}" for v in values))
    return "\n".join(lines) + "\n"


def _size(photo: Path) -> tuple[int, int]:
    pixels = decode_image(photo)
    assert isinstance(pixels, np.ndarray)
    return pixels.shape[1], pixels.shape[0]


def somebodys_export(folder: Path) -> list[PlantedFault]:
    """Fill a folder with `visit.yaml`, `images` and `labels`; returns what was planted.

    Args:
        folder: a folder that exists; the same call gives the same files every time.
    """
    photos = kept_photos()
    rows_of = {image.stem: rows for image, rows in photos}
    split_of = {image.stem: "val" if i % VAL == VAL // 2 else "train" for i, (image, _) in enumerate(photos)}
    for kind in ("images", "labels"):
        for split in ("train", "val"):
            (folder / kind / split).mkdir(parents=True)
    for image, rows in photos:
        split = split_of[image.stem]
        shutil.copy(image, folder / "images" / split / image.name)
        (folder / f"labels/{split}/{image.stem}.txt").write_text(_text(rows))
    (folder / "visit.yaml").write_text(YAML)
    planted = [
        PlantedFault("a path of another machine in the YAML", "yaml", "visit.yaml"),
        PlantedFault("a split without a folder in the YAML", "yaml", "visit.yaml"),
    ]

    def labels(stem: str) -> Path:
        return folder / f"labels/{split_of[stem]}/{stem}.txt"

    def photo(stem: str) -> Path:
        return folder / f"images/{split_of[stem]}/{stem}.jpg"

    def plant(stem: str, what: str, code: str, change: Callable[[list[Row]], str] | None) -> None:
        """Give a photo other labels; None: take its label file away."""
        file = labels(stem)
        file.unlink() if change is None else file.write_text(change(rows_of[stem]))
        planted.append(
            PlantedFault(what, code, (photo(stem) if change is None else file).relative_to(folder).as_posix())
        )

    plant("IMG_2463", "decimal commas", "separator", lambda rows: _text(rows).replace(".", ","))
    plant("IMG_2329", "classes counted from 1", "class-range", lambda rows: _text([(r[0] + 1, *r[1:]) for r in rows]))
    for stem in ("IMG_2310", "IMG_2311", "IMG_2312"):
        plant(stem, "x1 y1 x2 y2 in pixels", "pixels", partial(_corners, size=_size(photo(stem))))
    plant("IMG_2471", "x1 y1 x2 y2, normalized", "column-order", _corners)
    plant("IMG_2482", "a row twice", "row-twice", lambda rows: _text([*rows, rows[0]]))
    plant("IMG_2317", "an empty file, but there is a penguin", "", lambda rows: "")
    plant("IMG_2339", "no label file", "no-label-file", None)

    (folder / "labels/train/IMG_2340.txt").write_text(_text(rows_of["IMG_2339"]))
    planted.append(PlantedFault("labels without a photo", "orphan-label", "labels/train/IMG_2340.txt"))
    cut = photo("IMG_2466")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    planted.append(PlantedFault("a photo that ends in the middle", "image-cut", cut.relative_to(folder).as_posix()))
    planted.append(_copy_across(folder, photo("IMG_2323"), rows_of["IMG_2323"]))
    planted.append(_sideways(folder, photo("IMG_2351"), labels("IMG_2351"), rows_of["IMG_2351"]))
    return planted


def _copy_across(folder: Path, photo: Path, rows: list[Row]) -> PlantedFault:
    """A photo of train, smaller and brighter, in val: what a phone's gallery or a chat makes of a photo."""
    pixels = decode_image(photo)
    assert isinstance(pixels, np.ndarray)
    small = cv2.resize(pixels, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    bright = np.clip(small.astype(np.float32) * 1.1 + 5, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(bright[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 70])
    copy = folder / "images/val" / f"{photo.stem}_sent.jpg"
    copy.write_bytes(data.tobytes())
    (folder / "labels/val" / f"{copy.stem}.txt").write_text(_text(rows))
    return PlantedFault("nearly the same photo in train and val", "near-copy", copy.relative_to(folder).as_posix())


def _sideways(folder: Path, photo: Path, labels: Path, rows: list[Row]) -> PlantedFault:
    """A photo as phones store it: pixels as the sensor read them, and a tag that says how to turn them.

    The tool that labeled it did not know the tag, so its boxes fit the pixels that lie on their side.
    """
    pixels = decode_image(photo)
    assert isinstance(pixels, np.ndarray)
    image = Image.fromarray(np.ascontiguousarray(np.rot90(pixels)))  # to the left
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    buffer = io.BytesIO()
    image.save(buffer, format="jpeg", quality=90, exif=exif)
    photo.write_bytes(buffer.getvalue())
    labels.write_text(_text([(k, y, 1 - x, h, w) for k, x, y, w, h in rows]))
    return PlantedFault("boxes of a photo on its side", "image-turned", photo.relative_to(folder).as_posix())
