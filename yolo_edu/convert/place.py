"""Writing into a new folder: nothing that exists is ever overwritten."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from yolo_edu.convert.common import Notes, Picture
from yolo_edu.errors import UserError
from yolo_edu.files import cause
from yolo_edu.threads import in_threads

# A plain list of paths is no choice: `label_path` looks for labels beside the image, and would find, or need, them in
# the source folder. A link is a path of its own, with its own labels, and duplicates nothing either.
WAYS = ("copy", "link", "symlink")


def fresh_folder(out: Path) -> Path:
    """Make the folder `out`, which must not exist or be empty.

    Raises:
        UserError: it is a file, holds something, or cannot be made.
    """
    try:
        if out.is_dir() and any(out.iterdir()):
            raise UserError(f"{out}: the folder is not empty. Name a new one; nothing is ever overwritten.")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot make the folder ({cause(error)}). Choose another place.") from None
    return out


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UserError: the disk refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(path, error) from None


def write_text(path: Path, text: str) -> None:
    """Write a new UTF-8 file, and the folders above it.

    Raises:
        UserError: the disk refuses, or the file exists.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise _refused(path, error) from None


def place_images(pictures: Sequence[Picture], targets: Sequence[Path], way: str, split: str, notes: Notes) -> None:
    """Put every image file at its target: as a copy, a hard link (no space, same disk only) or a symbolic link.

    Where the disk knows no links, the file is copied and counted.

    Raises:
        UserError: the disk refuses.
    """

    def place(pair: tuple[Path, Path]) -> bool:
        source, target = pair[0].resolve(), pair[1]
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if way != "copy":
                try:
                    (os.link if way == "link" else os.symlink)(source, target)
                    return True
                except FileExistsError:
                    raise
                except OSError:
                    pass  # another disk, or one without links
            with source.open("rb") as reader, target.open("xb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
        except OSError as error:
            raise _refused(target, error) from None
        return way == "copy"

    files = [picture.file for picture in pictures]
    done = in_threads(place, list(zip(files, targets, strict=True)), f"images of {split}")
    notes.count(split, "images copied because the disk refused a link", done.count(False))


def _refused(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot write ({cause(error)}). Delete what is there, or choose another --out.")
