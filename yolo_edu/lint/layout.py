"""How the files of a data set fit together: label files that are missing or left over, classes.txt."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from yolo_edu.files import Fault, label_path
from yolo_edu.lint.reading import Seen
from yolo_edu.spec import IMAGE_SUFFIXES, DataSpec

NAME_LISTS = ("classes.txt", "obj.names", "labels.txt")  # which labeling tools write


class Folders:
    """The names in folders, each folder read once."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def names(self, folder: Path) -> frozenset[str]:
        """What lies in a folder; nothing if it cannot be read."""
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except (OSError, ValueError):  # ValueError: a null byte in the name
                self._names[folder] = frozenset()
        return self._names[folder]


def missing_labels(seen: Sequence[Seen], folders: Folders) -> Iterator[Fault]:
    """Images without a label file, and folders of labels that do not exist."""
    lacking = defaultdict(list)
    for one in seen:
        if not os.path.lexists(one.labels):  # unlike Path.exists, never raises
            lacking[one.labels.parent].append(one)
    for folder, images in lacking.items():
        if not os.path.isdir(folder):
            message = f"this folder of labels does not exist; {len(images)} images look for theirs there"
            fix = "Put the label files there, or the images into a folder whose 'images' has a 'labels' beside it"
            yield Fault(folder, 0, "error", message, fix, "label-folder")
            continue
        lower = {name.lower(): name for name in folders.names(folder) if name.lower().endswith(".txt")}
        for one in images:
            if (name := lower.get(one.labels.name.lower())) is not None:
                message = f"{one.labels} is looked for, but the file is called {name}"
                fix = f"Rename it to {one.labels.name}"
                yield Fault(folder / name, 0, "error", message, fix, "label-suffix", one.image)
            else:
                fix = f"Write {one.labels}; if the image shows no object, an empty file says so"
                yield Fault(one.image, 0, "warning", "the image has no label file", fix, "no-label-file")


def orphans(seen: Sequence[Seen], folders: Folders) -> Iterator[Fault]:
    """Label files without an image. Images on disk that no split lists are not missing."""
    listed = {one.labels.parent / one.labels.name.lower() for one in seen}
    parents = defaultdict(set)  # label folder → image folders
    for one in seen:
        parents[one.labels.parent].add(one.image.parent)
    for folder, image_folders in parents.items():
        if folder in image_folders:  # labels beside their images: other .txt files there may be anything
            continue
        on_disk = {
            os.path.splitext(name)[0].lower()
            for parent in image_folders
            for name in folders.names(parent)
            if name.lower().endswith(IMAGE_SUFFIXES)
        }
        for name in folders.names(folder):
            stem, suffix = os.path.splitext(name.lower())
            if suffix != ".txt" or name in NAME_LISTS or stem in on_disk or folder / name.lower() in listed:
                continue
            fix = "Delete it or restore the image"
            yield Fault(folder / name, 0, "warning", "a label file without an image", fix, "orphan-label")


def name_lists(spec: DataSpec, seen: Sequence[Seen], folders: Folders) -> Iterator[Fault]:
    """A classes.txt beside the labels that disagrees with the YAML."""
    places = {spec.path.parent: None}
    for one in seen:
        places |= {folder: None for folder in (one.labels.parent, one.labels.parent.parent)}
    for folder in places:
        for name in NAME_LISTS:
            if name in folders.names(folder):
                yield from _compare(folder / name, spec)


def _compare(path: Path, spec: DataSpec) -> Iterator[Fault]:
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    except (OSError, ValueError):
        return
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names or names == list(spec.names):
        return
    if path.name == "labels.txt" and not set(names) & set(spec.names):
        return  # a file of this name may be anything
    pairs = zip([*names, "nothing"], [*spec.names, "nothing"], strict=False)
    line = next((i for i, (here, there) in enumerate(pairs, start=1) if here != there), 1)
    here, there = (f"{n[line - 1]!r}" if line <= len(n) else "nothing" for n in (names, spec.names))
    message = f"class {line - 1} is {here} here and {there} in {spec.path}"
    if any(name in spec.names and name != there for name, there in zip(names, [*spec.names, *names], strict=False)):
        fix = "The labels were numbered by this list: put the names in the YAML into its order, or correct the list"
        yield Fault(path, line, "error", message, fix, "class-order", spec.path)
    else:
        fix = "Make the two agree, or delete this list if the labels follow the YAML"
        yield Fault(path, line, "warning", message, fix, "class-names", spec.path)


def listed_faults(spec: DataSpec, seen: Mapping[str, Sequence[Seen]]) -> Iterator[Fault]:
    """What reading the YAML had to say, and splits without anything in them."""
    yield from spec.notes
    for split, images in seen.items():
        if not images:
            yield Fault(spec.path, 0, "error", f"the split {split!r} holds no image", "Check its folder", "empty-split")
        elif not any(one.rows for one in images):
            fix = f"Check that the labels lie where they are looked for: {label_path(images[0].image)}"
            yield Fault(spec.path, 0, "error", f"the split {split!r} holds no box", fix, "no-boxes")
