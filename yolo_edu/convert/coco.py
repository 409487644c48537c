"""COCO instances JSON: images, annotations with `bbox` xywh in pixels from the top left corner, categories.

Category ids count from 1 and may have gaps (COCO's own 80 go up to 90): ordered by id they become the classes 0, 1, 2 …
and stay in `Annotated.category_ids`. Masks are ignored: only `bbox` is read.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from yolo_edu.checkpoint import write_atomically
from yolo_edu.convert.common import SPLITS, Annotated, Box, Draft, Notes, Picture, RawBox, settle
from yolo_edu.convert.names import free_names, inner_path, normal_names
from yolo_edu.convert.place import fresh_folder, make_folder, place_images
from yolo_edu.convert.subset import without
from yolo_edu.errors import UserError
from yolo_edu.files import Fault, cause


def read_coco(path: Path, notes: Notes, *, images: Path | None = None, split: str | None = None) -> Annotated:
    """Read one JSON, or a folder with `annotations/instances_SPLIT….json`.

    Args:
        images: the folder that the file names are relative to, or that holds one such folder a split. Default:
            looked for where COCO, our own writer and common exports have it.
        split: of a single JSON; default: "train", "val" or "test", whichever its name (or folder) tells.

    Raises:
        UserError: not COCO JSON, no category, two JSONs of one split or with different categories, no image there.
    """
    files = sorted([*path.glob("annotations/*.json"), *path.glob("*.json")]) if path.is_dir() else [path]
    if path.is_dir() and any(file.name.startswith("instances_") for file in files):
        files = [file for file in files if file.name.startswith("instances_")]  # not captions_, person_keypoints_
    if not files:
        raise UserError(f"{path}: no JSON in this folder or its folder annotations. Name the file itself.")
    if split and len(files) > 1:
        raise UserError(f"{path}: --split {split}, but there are {len(files)} JSONs here. Name one of them.")
    names: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    splits = {}
    for file in files:
        its_split = split or _split_of(file)
        if its_split in splits:
            raise UserError(f"{file}: a second file for {its_split!r}. Convert one at a time, with --split.")
        content = load_json(file)
        its_ids, its_names = categories(file, content)
        if ids and (ids, names) != (its_ids, its_names):
            raise UserError(f"{file}: other categories than in {files[0]}. Convert one at a time.")
        ids, names = its_ids, its_names
        splits[its_split] = read_content(content, file, images, its_split, ids, notes)
    return Annotated(names, dict(sorted(splits.items(), key=lambda item: SPLITS.index(item[0]))), ids)


def _split_of(file: Path) -> str:
    """instances_val2017.json → val; valid/_annotations.coco.json → val; annotations.json → train."""
    for text in (file.stem.removeprefix("instances_"), file.parent.name):
        if match := re.match(r"(train|val|test)(ing|id|idation)?(?![a-z])", text.lower()):
            return match[1]
    return "train"


def load_json(file: Path) -> dict[str, Any]:
    """Parse a JSON file that must be an object. NaN and Infinity, which Python would take, are refused.

    Raises:
        UserError: it cannot be read or is not that.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON number")

    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"), parse_constant=refuse)
    except OSError as error:
        raise UserError(f"{file}: cannot read it ({cause(error)}). Check the path.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not JSON ({error}). Export it again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: not COCO: the file must be an object with images, annotations, categories.")
    return content


def _records(file: Path, content: Mapping[str, Any], key: str) -> list[Any]:
    records = content.get(key)
    if not isinstance(records, list):
        raise UserError(f"{file}: no list {key!r}. COCO instances have images, annotations and categories.")
    return records


def categories(file: Path, content: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Ids and names, ordered by id. Any fault ends the reading: no box can be trusted then."""
    found: dict[int, str] = {}
    for number, record in enumerate(_records(file, content, "categories")):
        good = isinstance(record, dict) and type(record.get("id")) is int and type(record.get("name")) is str
        if not good or record["id"] in found:
            fix = "Give every category its own whole number `id` and a text `name`"
            raise UserError(f"{file}: categories[{number}] is {str(record)[:80]}. {fix}.")
        found[record["id"]] = record["name"]
    if not found:
        raise UserError(f"{file}: categories is empty. List every class with id and name.")
    ids = tuple(sorted(found))
    return ids, normal_names(file, [found[key] for key in ids])


def read_content(
    content: Mapping[str, Any], file: Path, images: Path | None, split: str, ids: Sequence[int], notes: Notes
) -> tuple[Picture, ...]:
    """The pictures of one parsed JSON, in its order.

    Args:
        content: the JSON; `file` names it in messages.
        images: as for `read_coco`.
        ids: of the categories, in the order of the classes.

    Raises:
        UserError: no list of images or annotations, or no image is there.
    """
    found: dict[int, _Image] = {}
    taken: set[str] = set()
    for number, record in enumerate(_records(file, content, "images")):
        problem = _image(record, found, taken)
        if problem:
            fault = Fault(file, 0, "error", f"images[{number}]: {problem[0]}; left out with its boxes", problem[1])
            notes.fault(split, "broken image records left out", fault)
    labels = {key: label for label, key in enumerate(ids)}
    repeated: Counter[object] = Counter()
    for number, record in enumerate(_records(file, content, "annotations")):
        where = f"annotations[{number}]"
        problem = _annotation(record, found, labels, where)
        if problem:
            message = f"{where}: {problem[0]}; left out"
            notes.fault(split, "broken annotations left out", Fault(file, 0, "error", message, problem[1]))
        elif "id" in record:
            repeated[str(record["id"])] += 1
    if twice := sum(count - 1 for count in repeated.values()):
        message = f"{twice} annotations have the id of another one; kept"
        fix = "Number them anew: pycocotools keeps one of each id"
        notes.fault(split, "files with repeated annotation ids", Fault(file, 0, "warning", message, fix))
    masks = sum(bool(isinstance(r, dict) and r.get("segmentation")) for r in content["annotations"])
    notes.count(split, "masks ignored (only boxes are read)", masks)
    folder = _images_folder(file, images, split, [image.name for image in found.values()])
    return settle(
        split,
        [Draft(file, f"image {k} {i.name!r}", folder / i.name, i.name, i.size, i.boxes) for k, i in found.items()],
        notes,
    )


class _Image(NamedTuple):
    name: str
    size: tuple[float, float] | None
    boxes: list[RawBox]


def _image(record: Any, found: dict[int, _Image], taken: set[str]) -> tuple[str, str] | None:
    """Add one image record, or say what is wrong with it and the way out."""
    if not isinstance(record, dict) or type(record.get("id")) is not int or type(record.get("file_name")) is not str:
        return f"{str(record)[:80]} has no whole number id, or no text file_name", "Give it both"
    key, name = record["id"], inner_path(record["file_name"])
    shown = repr(record["file_name"][:80])
    if name is None:
        return f"file_name {shown} leaves the images folder", "Write it relative to that folder, without '..'"
    if key in found:
        return f"the id {key} is taken by {found[key].name!r}", "Give every image its own id"
    if name in taken:
        return f"file_name {shown} stands there twice", "Bring its annotations together under one id"
    taken.add(name)
    size = _numbers([record.get("width"), record.get("height")])
    found[key] = _Image(name, (size[0], size[1]) if size else None, [])
    return None


def _annotation(record: Any, found: dict[int, _Image], labels: dict[int, int], where: str) -> tuple[str, str] | None:
    """Add one annotation to its image, or say what is wrong with it and the way out."""
    if not isinstance(record, dict):
        return f"{str(record)[:80]} is no object", "Write id, image_id, category_id, bbox"
    image, category = record.get("image_id"), record.get("category_id")
    if type(image) is not int or image not in found:
        return f"image_id {image!r} is no image", "Add the image, or remove the annotation"
    if type(category) is not int or category not in labels:
        return f"category_id {category!r} is no category", "Add the category, or correct the number"
    box = record.get("bbox")
    numbers = _numbers(box) if isinstance(box, list) and len(box) == 4 else None
    if numbers is None:
        return f"bbox {str(box)[:80]} is not four numbers", "Write [x, y, width, height] in pixels"
    x, y, w, h = numbers
    known = f"annotation {record['id']!r}" if "id" in record else where
    flags = {"difficult": record.get("ignore") == 1, "crowd": record.get("iscrowd") == 1}
    found[image].boxes.append(RawBox(Box(labels[category], (x, y, x + w, y + h), **flags), known))
    return None


def _numbers(values: Sequence[Any]) -> list[float] | None:
    """The values as floats, or None if one is no finite number (True is none, and 1e999 is read as infinite)."""
    if not all(type(value) in (int, float) and abs(value) < 1e12 for value in values):
        return None
    return [float(value) for value in values]


def _images_folder(file: Path, images: Path | None, split: str, names: Sequence[str]) -> Path:
    """The folder in which most of the first hundred images are."""
    if images is not None:
        candidates = [images, images / split, images / file.stem.removeprefix("instances_")]
    else:
        stem, home = file.stem.removeprefix("instances_"), file.parent.parent
        candidates = [home / "images" / stem, home / stem, home / "images", file.parent, file.parent / "images", home]
    return max(candidates, key=lambda folder: sum(os.path.isfile(folder / name) for name in names[:100]))


def write_coco(data: Annotated, out: Path, notes: Notes, *, images: str = "copy", difficult: bool = True) -> Path:
    """Write images/SPLIT and annotations/instances_SPLIT.json into the new folder `out`; `out`.

    Categories keep their COCO ids if they have some, and else count from 1; images and annotations count from 1.
    `segmentation` is empty: there are no masks. Difficult objects get `"ignore": 1`, a key of our own that the COCO
    tools do not read.

    Args:
        images: "copy", "link" or "symlink".
        difficult: keep difficult objects.

    Raises:
        UserError: `out` is not empty, or cannot be written.
    """
    data = without(data, notes, difficult=not difficult)
    ids = data.category_ids or tuple(range(1, len(data.names) + 1))
    fresh_folder(out)
    make_folder(out / "annotations")
    for split, pictures in data.splits.items():
        names = free_names(pictures, split, notes, set())
        place_images(pictures, [out / "images" / split / name for name in names], images, split, notes)
        annotations: list[dict[str, Any]] = []
        for key, picture in enumerate(pictures, start=1):
            annotations += [_to_record(len(annotations) + n, key, ids, b) for n, b in enumerate(picture.boxes, start=1)]
        content = {
            "info": {"description": "converted by yolo_edu"},
            "licenses": [],
            "images": [
                {"id": key, "file_name": name, "width": picture.width, "height": picture.height}
                for key, (name, picture) in enumerate(zip(names, pictures, strict=True), start=1)
            ],
            "annotations": annotations,
            "categories": [
                {"id": key, "name": name, "supercategory": ""} for key, name in zip(ids, data.names, strict=True)
            ],
        }
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
        write_atomically(
            out / "annotations" / f"instances_{split}.json", partial(Path.write_text, data=text, encoding="utf-8")
        )
    return out


def _to_record(key: int, image: int, ids: Sequence[int], box: Box) -> dict[str, Any]:
    x1, y1, x2, y2 = box.xyxy
    record: dict[str, Any] = {"id": key, "image_id": image, "category_id": ids[box.label]}
    record |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": int(box.crowd)}
    record["segmentation"] = []
    return record | ({"ignore": 1} if box.difficult else {})
