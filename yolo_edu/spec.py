"""The data set YAML: which images belong to which split, and what the classes are called."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from yolo_edu.errors import UserError
from yolo_edu.files import cause

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class DataSpec:
    """What a data set YAML says: class names in order, and the sorted image files of every split."""

    path: Path
    names: tuple[str, ...]
    splits: dict[str, tuple[Path, ...]]

    def images(self, split: str) -> tuple[Path, ...]:
        """The image files of a split.

        Raises:
            UserError: the YAML has no such split, or it holds no image.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise UserError(f"{self.path}: no split {split!r}. Add a line '{split}: FOLDER', or use one of: {known}.")
        if not self.splits[split]:
            raise UserError(f"{self.path}: the split {split!r} holds no image. Check its folder.")
        return self.splits[split]


def read_spec(path: str | Path) -> DataSpec:
    """Read a data set YAML.

    Keys: `names` (a list, or a map from index to name), `train`, `val`, `test` (each a folder, searched
    with its subfolders, a .txt list of image files, or a list of those), `path` (what the splits are
    relative to, itself relative to the YAML; default: the folder of the YAML), `nc` (optional, the number
    of names).

    Raises:
        UserError: the file is missing or not YAML, or one of these keys cannot be used as it is.
    """
    path = Path(path)
    content = _load_yaml(path)
    names = _names(path, content)
    root = content.get("path") or "."
    if not isinstance(root, str):
        raise UserError(f"{path}: path: {root!r} is not a folder name. Write a text, relative to this file.")
    root = path.parent / os.path.expanduser(root)
    splits = {
        split: _images(path, split, content[split], root)
        for split in ("train", "val", "test")
        if content.get(split) is not None
    }
    if not splits:
        raise UserError(f"{path}: no split. Add 'train: FOLDER' and 'val: FOLDER' with the folders of the images.")
    return DataSpec(path, names, splits)


def _load_yaml(path: Path) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot read the data set YAML ({cause(error)}). Check the path.") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = error.problem or error
        raise UserError(f"{path}{line}: not YAML: {problem}. Check indents, quotes and colons.") from None
    except Exception as error:  # PyYAML lets ValueError, KeyError, AttributeError … of odd tags through
        raise UserError(f"{path}: not YAML ({error}). Save it as plain UTF-8 text.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a data set YAML. Write lines such as 'train: images/train' and 'names: [cat]'.")
    return content


def _names(path: Path, content: dict[Any, Any]) -> tuple[str, ...]:
    names = content.get("names")
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise UserError(f"{path}: names: the keys must be 0 to {len(names) - 1} without gaps, not {list(names)}.")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(f"{path}: names is missing or empty. Write the classes in order: 'names: [cat, dog]'.")
    for name in names:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise UserError(f"{path}: names: YAML reads one name as {name!r}. Put every name in quotes.")
    texts = tuple(str(name) for name in names)
    if len(set(texts)) < len(texts):
        raise UserError(f"{path}: names: a name stands there twice in {list(texts)}. Give every class its own.")
    if content.get("nc", len(texts)) != len(texts):
        raise UserError(f"{path}: nc: {content['nc']!r}, but there are {len(texts)} names. Correct one of them.")
    return texts


def _images(yaml_path: Path, split: str, value: object, root: Path) -> tuple[Path, ...]:
    """The sorted images of one split: `value` is a folder, a .txt list, or a list of those."""
    found: set[Path] = set()
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, str):
            raise UserError(f"{yaml_path}: {split}: {entry!r} is not a path. Write a folder or a .txt list of images.")
        source = root / os.path.expanduser(entry)
        if os.path.isdir(source):
            # Names that start with a point are the ghosts macOS leaves on foreign disks.
            files = (file for file in source.rglob("*") if not file.name.startswith("."))
            found.update(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
        elif source.suffix == ".txt" and os.path.isfile(source):
            found.update(_listed(source))
        else:
            fix = "Correct the path; it is relative to 'path', and that to the YAML"
            raise UserError(f"{yaml_path}: {split}: {source} is neither a folder nor a .txt list. {fix}.")
    return tuple(sorted(found))


def _listed(source: Path) -> Iterator[Path]:
    """The images named in a .txt list, one a line, relative to the list."""
    try:
        text = source.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{source}: cannot read the list of images ({cause(error)}).") from None
    for line in text.split("\n"):
        if line.strip():
            yield source.parent / line.strip()
