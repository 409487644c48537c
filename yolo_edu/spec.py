"""The data set YAML: which images belong to which split, and what the classes are called.

Such files have been on other machines and through other programs. What can only mean one thing is taken as that,
and a note in `DataSpec.notes` says so; whatever else is wrong is one error with its line and the way out.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from yolo_edu.errors import UserError
from yolo_edu.files import Fault, cause, decode_text

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff")
# Pictures too, but not ones that every OpenCV reads: left out, and counted aloud.
FOREIGN_SUFFIXES = (".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".tga", ".psd", ".svg", ".dng", ".nef", ".cr2")
SPLITS = ("train", "val", "test")
OTHER_WORDS = {"valid": "val", "validation": "val", "training": "train", "testing": "test"}
SEARCHED = 20  # missing images of which it is looked for where they may be: it takes a while, and few are printed
YAML_WAYS = {  # a word of PyYAML's → what to do
    "'\\t'": "Indent with spaces, not with a tab",
    "escape": "In double quotes a backslash starts an escape: write paths with / and without quotes",
}
NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True)
class DataSpec:
    """What a data set YAML says: class names in order, and the sorted image files of every split."""

    path: Path
    names: tuple[str, ...]
    splits: dict[str, tuple[Path, ...]]
    notes: tuple[Fault, ...] = ()  # warnings: what was understood in another way than it is written, or left out
    missing: Mapping[Path, Fault] = field(default_factory=dict)  # images of a .txt list that are not there

    def images(self, split: str) -> tuple[Path, ...]:
        """The image files of a split.

        Raises:
            UserError: the YAML has no such split, or it holds no image.
        """
        hints = "".join(f"\n{note}" for note in self.notes if note.message.startswith(f"{split}: "))
        if split not in self.splits:
            known = ", ".join(self.splits)
            need = " Training needs both, 'train' and 'val'." if split in ("train", "val") else ""
            way = f"Add a line '{split}: FOLDER', or use one of: {known}.{need}"
            raise UserError(f"{self.path}: no split {split!r}. {way}{hints}")
        if not self.splits[split]:
            raise UserError(f"{self.path}: the split {split!r} holds no image. Check its folder.{hints}")
        return self.splits[split]


def read_spec(path: str | Path) -> DataSpec:
    """Read a data set YAML.

    Keys: `names` (a list, or a map from index to name; read as they are written, so `no` and `1.50` are names),
    `train`, `val`, `test` (each a folder, searched with its subfolders, a .txt list of image files, or a list of
    those), `path` (what the splits are relative to, itself relative to the YAML; default: the folder of the YAML),
    `nc` (optional, the number of names). Other keys are ignored.

    A split that is not there is also looked for relative to the working directory, beside the YAML, and beside
    it without the leading `../` that exports of annotation services write; the images of a list relative to the
    list, then to where splits are looked for. Backslashes may separate folders.

    Raises:
        UserError: the file is missing or not YAML, or one of these keys cannot be used as it is.
    """
    path = Path(path)
    keys = _load(path)
    names = _names(path, keys)
    found = _Found(path, _bases(path, keys))
    splits = {split: found.images(split, keys[split]) for split in SPLITS if split in keys}
    for word, split in OTHER_WORDS.items():
        if word in keys and split not in keys:
            found.note(keys[word], f"{split}: the key {word!r} is not read", f"Write '{split}:' instead of '{word}:'")
    if not splits:
        way = "Add 'train: FOLDER' and 'val: FOLDER' with the images' folders"
        raise UserError("\n".join([f"{path}: no split. {way}.", *map(str, found.notes)]))
    if splits.get("val") and splits["val"] == splits.get("train"):
        fix = "That does for a first try; to know how good the model is, keep images out of training"
        found.note(keys["val"], "val: the same images as 'train'", fix)
    return DataSpec(path, names, splits, tuple(found.notes), found.missing)


# --- YAML -----------------------------------------------------------------------------------------------


def _load(path: Path) -> dict[str, yaml.Node]:
    """The top level: key → node. Nodes keep the text as written and its line; keys without a value are left out."""
    try:
        if path.is_dir():
            found = sorted(file.name for file in path.iterdir() if file.suffix.lower() in (".yaml", ".yml"))
            way = f"Give the YAML in it: {', '.join(found)}" if found else "Give a YAML; there is none in it"
            raise UserError(f"{path}: a folder, not a data set YAML. {way}.")
        text = decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        way = "Save it as UTF-8" if isinstance(error, UnicodeDecodeError) else "Check the path"
        raise UserError(f"{path}: cannot read the data set YAML ({cause(error)}). {way}.") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = error.problem or str(error)
        way = next((way for word, way in YAML_WAYS.items() if word in problem), "Check indents, quotes and colons")
        raise UserError(f"{path}{line}: not YAML: {problem}. {way}.") from None
    except Exception as error:  # a control character, thousands of brackets …
        raise UserError(f"{path}: not YAML ({error}). Save it as plain UTF-8 text.") from None
    if not isinstance(node, yaml.MappingNode):
        what = "empty" if node is None else "not a data set YAML"
        raise UserError(f"{path}: {what}. Write lines such as 'train: images/train' and 'names: [cat]'.")
    return _pairs(path, node)


def _pairs(path: Path, node: yaml.MappingNode) -> dict[str, yaml.Node]:
    pairs: dict[str, yaml.Node] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), _line(key)
        if name in lines:
            raise UserError(f"{path}:{line}: {name!r} stands there twice, first in line {lines[name]}. Keep one.")
        lines[name] = line
        if value.tag != NULL:
            pairs[name] = value
    return pairs


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _names(path: Path, keys: Mapping[str, yaml.Node]) -> tuple[str, ...]:
    node, count = keys.get("names"), _count(path, keys.get("nc"))
    if node is None or not node.value:
        nc = f"; nc: {count} says how many, not which" if count is not None else ""
        raise UserError(f"{path}: names is missing or empty{nc}. Write the classes in order: 'names: [cat, dog]'.")
    at = f"{path}:{_line(node)}"
    if isinstance(node, yaml.MappingNode):
        nodes = _by_index(at, _pairs(path, node))
    elif isinstance(node, yaml.SequenceNode):
        nodes = node.value
    else:
        raise UserError(f"{at}: names: {node.value!r} is one text, not a list. Write 'names: [cat, dog]'.")
    for index, item in enumerate(nodes):
        if not isinstance(item, yaml.ScalarNode) or item.tag == NULL or not item.value.strip():
            what = "is empty" if isinstance(item, yaml.ScalarNode) else "is not one text"
            raise UserError(f"{path}:{_line(item)}: names: name {index} {what}. Write a name; if it is odd, in quotes.")
    texts = tuple(item.value.strip() for item in nodes)
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        raise UserError(f"{at}: names: {twice!r} stands there twice. Give every class its own name.")
    if count not in (None, len(texts)):
        at = f"{path}:{_line(keys['nc'])}"
        raise UserError(f"{at}: nc: {count}, but there are {len(texts)} names. Correct one of them.")
    return texts


def _by_index(at: str, pairs: Mapping[str, yaml.Node]) -> list[yaml.Node]:
    try:
        indexed = {int(key): value for key, value in pairs.items()}
    except ValueError:
        raise UserError(f"{at}: names: the keys must be numbers, not {list(pairs)}. Write '0: cat'.") from None
    gaps = sorted(set(range(len(indexed))) - set(indexed))
    if gaps or len(indexed) < len(pairs):
        lacks = f"; {gaps[0]} has no name" if gaps else ""
        keys = f"must be 0 to {len(pairs) - 1} without gaps, not {list(pairs)}{lacks}"
        raise UserError(f"{at}: names: the keys {keys}. Label files count from 0.")
    return [indexed[i] for i in range(len(indexed))]


def _count(path: Path, node: yaml.Node | None) -> int | None:
    if node is None:
        return None
    if not isinstance(node, yaml.ScalarNode) or not re.fullmatch(r"\s*[0-9]+(\.0*)?\s*", node.value):
        raise UserError(f"{path}:{_line(node)}: nc: not a number. Write the number of names, or leave nc out.")
    return int(float(node.value))


# --- splits ---------------------------------------------------------------------------------------------


def _bases(path: Path, keys: Mapping[str, yaml.Node]) -> list[Path]:
    """Where splits are looked for; the first is the right place, the others are tried with a note."""
    if (node := keys.get("path")) is None:
        return [path.parent, Path()]
    if not isinstance(node, yaml.ScalarNode):
        raise UserError(f"{path}:{_line(node)}: path: not a folder name. Write a text, relative to this file.")
    root = os.path.expanduser(_slashes(node.value.strip(), path.parent))
    return [path.parent / root, Path(root), path.parent]


def _slashes(text: str, base: Path) -> str:
    """A path as Windows writes it, with slashes; where a file is really called so, it stays."""
    return text if "\\" not in text or os.path.exists(base / text) else text.replace("\\", "/")


class _Found:
    """Collects what the splits of one YAML hold, with what is to be said about it."""

    def __init__(self, path: Path, bases: Sequence[Path]) -> None:
        self.path, self.bases = path, bases
        self.notes: list[Fault] = []
        self.missing: dict[Path, Fault] = {}

    def note(self, node: yaml.Node, message: str, fix: str) -> None:
        self.notes.append(Fault(self.path, _line(node), "warning", message, fix))

    def images(self, split: str, node: yaml.Node) -> tuple[Path, ...]:
        """The sorted images of one split: a folder, a .txt list, or a list of those."""
        found: set[Path] = set()
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            at = f"{self.path}:{_line(item)}: {split}"
            if not isinstance(item, yaml.ScalarNode) or not item.value.strip() or item.tag == NULL:
                raise UserError(f"{at}: not a path. Write a folder or a .txt list of images.")
            source = self._source(split, item)
            if os.path.isfile(source):
                found.update(_listed(source, self.bases, self.missing))
                continue
            # Names that start with a point are the ghosts macOS leaves on foreign disks.
            try:
                files = [file for file in source.rglob("*") if not file.name.startswith(".")]
            except OSError as error:  # a folder below that vanishes meanwhile
                raise UserError(f"{at}: cannot read {source} ({cause(error)}). Try again.") from None
            found.update(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
            if foreign := sorted(file for file in files if file.suffix.lower() in FOREIGN_SUFFIXES):
                message = f"{split}: {len(foreign)} picture(s) of a kind not read are left out, such as {foreign[0]}"
                self.note(item, message, "Convert them to JPEG or PNG")
        return tuple(sorted(found))

    def _source(self, split: str, node: yaml.ScalarNode) -> Path:
        """The folder or list that an entry means."""
        entry = os.path.expanduser(_slashes(node.value.strip(), self.bases[0]))
        inside = re.sub(r"^(\.\.?/)+", "", entry)
        places = list(dict.fromkeys([*(base / entry for base in self.bases), self.path.parent / inside]))
        for place in places:
            if os.path.isdir(place) or (place.suffix.lower() == ".txt" and os.path.isfile(place)):
                if place != places[0]:
                    fix = "Correct 'path' or this line, so that it is found wherever the command is started"
                    self.note(node, f"{split}: {places[0]} does not exist; {place} is taken instead", fix)
                return place
        looked = "; looked for " + ", ".join(map(str, places[1:])) if places[1:] else ""
        message = f"{split}: {places[0]} is neither a folder nor a .txt list{looked}"
        fix = "Correct the path; it is relative to 'path', and that to the YAML"
        if os.path.isfile(places[0]):
            fix = "Write the folder that the images are in, or a .txt file with one image a line"
        elif control := re.search(r"[\x00-\x1f]", entry):
            fix = f"{control[0]!r} in it was a backslash: write the path with / and without quotes"
        elif (nearby := _tail(entry, self.bases)) is not None:
            fix = f"Is this a path of another machine or in other letters? Here is {nearby}: write that"
        raise UserError(f"{self.path}:{_line(node)}: {message}. {fix}.")


def _tail(entry: str, bases: Sequence[Path]) -> Path | None:
    """The longest end of a path that exists in one of the folders, whatever the case of its letters."""
    parts = [part for part in entry.split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        for base in bases:
            place: Path | None = base
            for part in parts[start:]:
                place = _child(place, part) if place is not None else None
            if place is not None:
                return place
    return None


def _child(folder: Path, name: str) -> Path | None:
    children = sorted(folder.iterdir()) if os.access(folder, os.R_OK) and folder.is_dir() else []
    return next((child for child in children if child.name.lower() == name.lower()), None)


def _listed(source: Path, bases: Sequence[Path], missing: dict[Path, Fault]) -> Iterator[Path]:
    """The images named in a .txt list, one a line, relative to the list or else to where splits are looked for.

    What does not exist is handed out too, as relative to the list, and goes into `missing`.
    """
    try:
        text = decode_text(source.read_bytes(), errors="replace")
    except OSError as error:
        raise UserError(f"{source}: cannot read the list of images ({cause(error)}).") from None
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        entry = line.strip()
        if len(entry) > 1 and entry[0] == entry[-1] and entry[0] in "'\"":
            entry = entry[1:-1].strip()
        if not entry:
            continue
        entry = os.path.expanduser(_slashes(entry, source.parent))
        places = (folder / entry for folder in (source.parent, *bases))
        image = next((place for place in places if os.path.isfile(place)), None)
        yield image or source.parent / entry
        if image is None:
            where = " or ".join(dict.fromkeys(str(folder) for folder in (source.parent, bases[0])))
            fix = f"Correct or delete that line; its path may be relative to {where}"
            if "\ufffd" in entry:
                fix = "Save the list as UTF-8"
            elif len(missing) < SEARCHED and (nearby := _tail(entry, [source.parent, *bases])) is not None:
                fix = f"Is this a path of another machine or in other letters? Here is {nearby}: write that"
            gone = source.parent / entry
            missing[gone] = Fault(gone, 0, "error", f"no such image, but line {number} of {source} lists it", fix)
