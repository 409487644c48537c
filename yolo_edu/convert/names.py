"""Names that every format and disk can hold: of classes, and of image files in a new folder."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from yolo_edu.convert.common import Notes, Picture
from yolo_edu.errors import UserError


def normal_names(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Class names without surrounding spaces, as every format can hold them.

    Raises:
        UserError: a name is empty, holds a control character, or stands there twice.
    """
    stripped = tuple(name.strip() for name in names)
    for name in stripped:
        # Line breaks would end a line of classes.txt; XML knows neither control characters nor surrogates.
        if not name or any(unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff" for c in name):
            raise UserError(f"{path}: the class name {name!r} cannot be written to every format. Rename that class.")
    if twice := [name for name, count in Counter(stripped).items() if count > 1]:
        raise UserError(f"{path}: the class name {twice[0]!r} stands there twice. Give every class its own.")
    return stripped


def inner_path(name: str) -> str | None:
    """A file name from an annotation as a relative path with /, or None if it leaves its folder.

    Annotations come from strangers: `../../etc/passwd` must neither be read nor written.
    """
    path = PurePosixPath(name.replace("\\", "/"))  # exports from Windows
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts or not path.parts or "\0" in name:
        return None
    return str(path)


def free_names(pictures: Iterable[Picture], split: str, notes: Notes, taken: set[str], flat: bool = False) -> list[str]:
    """What to call every picture in the output, so that no two share an annotation file.

    `a.jpg` and `a.png` would share `a.txt`, and `A.jpg` too on a disk that ignores case. A name that list files or
    folders cannot hold (a leading point, a line break, a space at its end) is mended. Renamed files are counted.

    Args:
        taken: names given before; added to.
        flat: one folder for all, as VOC has it: subfolders become a part of the name.
    """
    result = []
    for picture in pictures:
        clean = PurePosixPath(*(_clean(part) for part in PurePosixPath(picture.name).parts))
        stem, suffix = str(clean.with_suffix("")), clean.suffix
        if flat:
            stem = stem.replace("/", "_")
        name, number = stem, 1
        while (key := unicodedata.normalize("NFC", name).casefold()) in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(key)
        result.append(name + suffix)
        notes.count(split, "images renamed", result[-1] != picture.name)
    return result


def _clean(part: str) -> str:
    stem, suffix = os.path.splitext(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufffe\uffff]", "_", part))
    stem = stem.strip()
    return (("_" + stem[1:] if stem.startswith(".") else stem) or "_") + suffix
