"""Pascal VOC: Annotations/ID.xml, JPEGImages/ID.jpg, and the splits as lists of IDs in ImageSets/Main.

VOC counts pixels from 1 and names the first and the last pixel of a box: xmin 1, xmax 3 are three pixels, the columns
0 to 3 as we count edges. So xmin and ymin lose 1, xmax and ymax stay. Many tools write plain coordinates instead:
`zero_based` takes, and writes, them as they are.
"""

import math
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from yolo_edu.convert.common import Annotated, Box, Corners, Draft, Notes, Picture, RawBox, settle
from yolo_edu.convert.markup import parse_xml
from yolo_edu.convert.names import free_names, inner_path, normal_names
from yolo_edu.convert.place import fresh_folder, make_folder, place_images, write_text
from yolo_edu.convert.subset import without
from yolo_edu.errors import UserError
from yolo_edu.files import Fault, cause
from yolo_edu.spec import IMAGE_SUFFIXES

SETS = {"train": "train", "val": "val", "test": "test", "trainval": "train"}  # file in ImageSets/Main → split
CLASSES = "classes.txt"  # the names in order, one a line: VOC itself has no such file, our writer adds it
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(root: Path, notes: Notes, *, sets: Sequence[str] = (), zero_based: bool = False) -> Annotated:
    """Read a VOC folder. The classes are in the order of classes.txt if there is one, and else alphabetical.

    Args:
        sets: which lists of ImageSets/Main. Default: train, val and test, trainval without the first two, and
            all annotations as "train" if there is no list.
        zero_based: corners are plain coordinates, not VOC's numbers of pixels.

    Raises:
        UserError: no VOC folder, no such list, no object at all, no image there, a name missing in classes.txt.
    """
    if not (root / "Annotations").is_dir():
        raise UserError(
            f"{root}: no folder Annotations in it. Name the folder that holds it, such as VOCdevkit/VOC2012."
        )
    records: dict[str, list[tuple[Draft, list[str]]]] = {}
    for name, ids in _lists(root, sets, notes).items():
        records[SETS[name]] = [r for i in ids if (r := _record(root, i, SETS[name], zero_based, notes)) is not None]
    names = _class_names(root, {name for split in records.values() for _, objects in split for name in objects})
    index = {name: label for label, name in enumerate(names)}
    splits = {}
    for split, found in records.items():
        drafts = []
        for draft, objects in found:
            boxes = [
                raw._replace(box=raw.box._replace(label=index[name]))
                for raw, name in zip(draft.boxes, objects, strict=True)
            ]
            drafts.append(draft._replace(boxes=boxes))
        splits[split] = settle(split, drafts, notes)
    return Annotated(names, splits)


def _lists(root: Path, sets: Sequence[str], notes: Notes) -> dict[str, list[str]]:
    """The ids of every list that is to be read."""
    files = {name: root / "ImageSets" / "Main" / f"{name}.txt" for name in SETS}
    there = [name for name, file in files.items() if file.is_file()]
    if sets:
        if missing := [name for name in sets if name not in there]:
            raise UserError(
                f"{root}: no list {missing[0]!r} in ImageSets/Main. There are: {', '.join(there) or 'none'}."
            )
        if len({SETS[name] for name in sets}) < len(sets):
            raise UserError(f"{root}: trainval holds train. Choose one of them.")
    chosen = list(sets) or [name for name in there if name != "trainval" or not {"train", "val"} & {*there}]
    if not chosen:
        return {"train": sorted(file.stem for file in (root / "Annotations").glob("*.xml"))}
    result: dict[str, list[str]] = {}
    for name in chosen:
        try:
            text = files[name].read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise UserError(f"{files[name]}: cannot read the list ({cause(error)}). Save it as UTF-8 text.") from None
        ids: dict[str, None] = {}  # a set that keeps the order
        for number, line in enumerate(text.split("\n"), start=1):
            identifier = line.strip()
            # A list of one class has a second column: -1 no object of it, 0 difficult ones only, 1 there are some.
            if (column := re.fullmatch(r"(\S+)\s+(-1|0|1)", identifier)) and not _xml(root, identifier).is_file():
                identifier = column[1]
            if not identifier:
                continue
            if inner_path(identifier) is None:
                message = f"the id {identifier[:80]!r} leaves the folder; left out"
                fault = Fault(files[name], number, "error", message, "Write the name of an XML without .xml")
                notes.fault(SETS[name], "broken ids left out", fault)
            elif identifier in ids:
                fault = Fault(files[name], number, "warning", f"the id {identifier!r} repeats", "Delete the line")
                notes.fault(SETS[name], "repeated ids", fault)
            else:
                ids[identifier] = None
        result[name] = [*ids]
    return result


def _xml(root: Path, identifier: str) -> Path:
    return root / "Annotations" / f"{identifier}.xml"


def _record(root: Path, identifier: str, split: str, zero_based: bool, notes: Notes) -> tuple[Draft, list[str]] | None:
    """One XML as a draft and the class name of each of its boxes; None if it cannot be read."""
    path = _xml(root, identifier)
    try:
        tree, lines = parse_xml(path)
    except (OSError, ValueError) as error:
        message = f"not a readable annotation ({cause(error)}); left out with its image"
        notes.fault(split, "unreadable XML files left out", Fault(path, 0, "error", message, "Export it again"))
        return None
    boxes, names, low = [], [], math.inf
    for number, node in enumerate(tree.findall("object"), start=1):
        result = _object(node)
        if isinstance(result, str):
            fault = Fault(path, lines[node], "error", f"object {number}: {result}; left out", "Correct or delete it")
            notes.fault(split, "broken objects left out", fault)
            continue
        name, corners, difficult = result
        low = min(low, *corners)
        if not zero_based:
            corners = (corners[0] - 1, corners[1] - 1, corners[2], corners[3])
        boxes.append(RawBox(Box(0, corners, difficult=difficult), f"object {number}", lines[node]))
        names.append(name)
    if low == 0 and not zero_based:
        message = "a corner of 0, but VOC counts pixels from 1"
        fix = "If the tool that wrote it counts from 0, convert with --zero-based"
        notes.fault(split, "files that seem to count from 0", Fault(path, 0, "warning", message, fix))
    width, height = (_number(tree.findtext(f"size/{side}")) for side in ("width", "height"))
    # LabelImg and others write 0 or nothing if they do not know; then the file's size is the only one.
    size = (width, height) if width and height else None
    image = _image(root, identifier, tree.findtext("filename") or "")
    return Draft(path, f"image {identifier!r}", image, identifier + image.suffix, size, boxes), names


def _object(node: ET.Element) -> tuple[str, Corners, bool] | str:
    """Class name, corners as written, difficult; or what is wrong with this object."""
    name = (node.findtext("name") or "").strip()
    if not name:
        return "no name"
    corners = [_number(node.findtext(f"bndbox/{corner}")) for corner in CORNERS]
    if None in corners:
        return f"no bndbox with four numbers {' '.join(CORNERS)}"
    x1, y1, x2, y2 = (corner for corner in corners if corner is not None)
    return name, (x1, y1, x2, y2), (node.findtext("difficult") or "").strip() == "1"


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < 1e12 else None


def _image(root: Path, identifier: str, filename: str) -> Path:
    """JPEGImages/ID with any suffix we know; else the file that <filename> names (its folder is never believed)."""
    folder = root / "JPEGImages"
    names = [identifier + suffix for suffix in (*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES))]
    names.append(re.split(r"[/\\]", filename.strip())[-1])
    found = (name for name in names if name not in ("", "..") and os.path.isfile(folder / name))
    return folder / next(found, names[0])


def _class_names(root: Path, used: set[str]) -> tuple[str, ...]:
    path = root / CLASSES
    if not path.is_file():
        if not used:
            raise UserError(
                f"{root}: no object in any annotation, so no class. List the classes in {path}, one a line."
            )
        return normal_names(root, sorted(used))
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot read the names ({cause(error)}). Save it as UTF-8 text.") from None
    names = normal_names(path, [line for line in lines if line.strip()])
    if missing := used - {*names}:
        raise UserError(f"{path}: the annotations use the class {min(missing)!r}, which is not listed. Add it there.")
    return names


def write_voc(
    data: Annotated,
    out: Path,
    notes: Notes,
    *,
    images: str = "copy",
    difficult: bool = True,
    zero_based: bool = False,
    decimals: bool = False,
) -> Path:
    """Write Annotations, JPEGImages, ImageSets/Main and classes.txt into the new folder `out`; `out`.

    Corners are rounded to whole pixels, as VOC has them: at most half a pixel off for a box of a pixel or more, less
    than one for a thinner box, which becomes one pixel. VOC has no crowd regions: they are left out.

    Args:
        images: "copy", "link" or "symlink".
        difficult: keep difficult objects, with VOC's flag.
        zero_based: write plain coordinates instead of VOC's numbers of pixels.
        decimals: do not round; some VOC readers refuse that.

    Raises:
        UserError: `out` is not empty, or cannot be written.
    """
    data = without(data, notes, difficult=not difficult, crowd=True)
    fresh_folder(out)
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        make_folder(out / folder)
    write_text(out / CLASSES, "".join(f"{name}\n" for name in data.names))
    taken: set[str] = set()
    for split, pictures in data.splits.items():
        names = free_names(pictures, split, notes, taken, flat=True)
        for name, picture in zip(names, pictures, strict=True):
            tree = _annotation(name, picture, data.names, 0 if zero_based else 1, decimals)
            ET.indent(tree)
            write_text(_xml(out, Path(name).stem), ET.tostring(tree, encoding="unicode") + "\n")
        place_images(pictures, [out / "JPEGImages" / name for name in names], images, split, notes)
        others = sum(Path(name).suffix != ".jpg" for name in names)
        notes.count(split, "images that torchvision's VOCDetection cannot find (it opens .jpg only)", others)
        write_text(out / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{Path(name).stem}\n" for name in names))
    return out


def _annotation(name: str, picture: Picture, names: Sequence[str], first: int, decimals: bool) -> ET.Element:
    tree = ET.Element("annotation")
    ET.SubElement(tree, "folder").text = "JPEGImages"
    ET.SubElement(tree, "filename").text = name
    size = ET.SubElement(tree, "size")
    # The depth that every reader here gives, also for a gray image.
    for tag, value in (("width", picture.width), ("height", picture.height), ("depth", 3)):
        ET.SubElement(size, tag).text = str(value)
    ET.SubElement(tree, "segmented").text = "0"
    for box in picture.boxes:
        node = ET.SubElement(tree, "object")
        ET.SubElement(node, "name").text = names[box.label]
        for tag, text in (("pose", "Unspecified"), ("truncated", "0"), ("difficult", str(int(box.difficult)))):
            ET.SubElement(node, tag).text = text
        x1, y1, x2, y2 = box.xyxy
        if not decimals:
            (x1, x2), (y1, y2) = _whole(x1, x2), _whole(y1, y2)
        corners = ET.SubElement(node, "bndbox")
        for tag, corner in zip(CORNERS, (x1 + first, y1 + first, x2, y2), strict=True):
            ET.SubElement(corners, tag).text = str(corner)
    return tree


def _whole(low: float, high: float) -> tuple[int, int]:
    """Both rounded; a side of less than a pixel becomes the pixel that holds its middle."""
    if round(low) == round(high):
        middle = math.floor((low + high) / 2)
        return middle, middle + 1
    return round(low), round(high)
