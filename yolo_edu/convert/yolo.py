"""YOLO text: a data set YAML, images, and beside each a label file with rows `class cx cy w h`."""

import os
from pathlib import Path

import yaml

from yolo_edu.checkpoint import write_atomically
from yolo_edu.convert.common import SPLITS, Annotated, Box, Corners, Draft, Notes, Picture, RawBox, settle
from yolo_edu.convert.names import free_names, normal_names
from yolo_edu.convert.place import fresh_folder, make_folder, place_images, write_text
from yolo_edu.convert.subset import without
from yolo_edu.errors import UserError
from yolo_edu.files import Fault, label_path, label_rows
from yolo_edu.spec import read_spec

IDS = "coco_category_ids"  # a key of our own in the YAML: COCO's numbers, for the way back


def read_yolo(path: Path, notes: Notes) -> Annotated:
    """Read a data set YAML with its labels. An image without a label file is one without objects (a warning).

    Raises:
        UserError: the YAML cannot be used, or no image of a split is there.
    """
    spec = read_spec(path)
    splits = {}
    for split, images in spec.splits.items():
        folder = _common_folder(images)
        drafts = [_draft(image, os.path.relpath(image, folder), split, len(spec.names), notes) for image in images]
        splits[split] = settle(split, drafts, notes)
    return Annotated(normal_names(path, spec.names), splits, _category_ids(path, len(spec.names)))


def _common_folder(images: tuple[Path, ...]) -> Path:
    """The deepest folder above all images: their names inside it are their names in the output."""
    try:
        return Path(os.path.commonpath([os.path.abspath(image.parent) for image in images] or ["."]))
    except ValueError:  # two disks of a Windows machine have no folder in common
        raise UserError(f"{images[0]}: the images of one split lie on several disks. Bring them together.") from None


def _draft(image: Path, name: str, split: str, classes: int, notes: Notes) -> Draft:
    labels = label_path(image)
    boxes = []
    if not os.path.isfile(labels):
        fix = f"Write {labels}; if the image shows no object, an empty file says so"
        message = "the image has no label file; taken as one without objects"
        notes.fault(split, "images without a label file", Fault(image, 0, "warning", message, fix))
    for row in label_rows(labels, classes):
        if isinstance(row, Fault):
            notes.fault(
                split, "broken label rows left out", row._replace(message=f"{row.message}; the row is left out")
            )
            continue
        x, y, w, h = row.box
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        boxes.append(RawBox(Box(row.label, corners), f"row {row.line}", row.line))
    return Draft(labels, image.name, image, Path(name).as_posix(), None, boxes, normalized=True)


def _category_ids(path: Path, classes: int) -> tuple[int, ...]:
    content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))  # read_spec has read it before: it is a map
    ids = content.get(IDS) or []
    good = isinstance(ids, list) and all(type(i) is int and i >= 0 for i in ids) and len({*ids}) == len(ids)
    if not good or len(ids) not in (0, classes):
        raise UserError(f"{path}: {IDS}: not {classes} different whole numbers. Correct that line, or delete it.")
    return tuple(ids)


def write_yolo(data: Annotated, out: Path, notes: Notes, *, images: str = "copy", difficult: bool = False) -> Path:
    """Write images/SPLIT, labels/SPLIT and data.yaml into the new folder `out`; the path of the YAML.

    Numbers have eight decimals: 2e-5 pixels of an image 4,000 wide. YOLO knows neither crowd regions, which are left
    out, nor difficult objects, which are left out too (as the first YOLO's VOC script did) unless `difficult`.

    Args:
        images: "copy", "link" or "symlink".
        difficult: keep difficult objects, as ordinary ones.

    Raises:
        UserError: `out` is not empty, holds a split that a YAML cannot name, or cannot be written.
    """
    if strange := set(data.splits) - set(SPLITS):
        raise UserError(f"{out}: a data set YAML has no split {min(strange)!r}. Use {', '.join(SPLITS)}.")
    data = without(data, notes, difficult=not difficult, crowd=True)
    fresh_folder(out)
    for split, pictures in data.splits.items():
        names = free_names(pictures, split, notes, set())
        targets = [out / "images" / split / name for name in names]
        for picture, target in zip(pictures, targets, strict=True):
            # The readers' own rule: the last folder `images` counts, which may be one of the picture's name.
            write_text(label_path(target), "".join(_row(box, picture) for box in picture.boxes))
        place_images(pictures, targets, images, split, notes)
        make_folder(out / "images" / split)  # read_spec asks for it, also when empty
    spec: dict[str, object] = {"path": "."}
    spec |= {split: f"images/{split}" for split in SPLITS if split in data.splits}
    spec["names"] = dict(enumerate(data.names))
    if data.category_ids:
        spec[IDS] = list(data.category_ids)
    text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    # Last: a folder without it is one that was interrupted.
    write_atomically(out / "data.yaml", lambda file: file.write_text(text, encoding="utf-8"))
    return out / "data.yaml"


def _row(box: Box, picture: Picture) -> str:
    x, y, w, h = _normalized(box.xyxy, picture.width, picture.height)
    return f"{box.label} {x:.8f} {y:.8f} {w:.8f} {h:.8f}\n"


def _normalized(xyxy: Corners, width: int, height: int) -> Corners:
    """xyxy pixels → cx, cy, w, h as parts of the image."""
    x1, y1, x2, y2 = xyxy
    return (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
