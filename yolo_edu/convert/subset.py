"""A data set with a part of its boxes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from yolo_edu.convert.common import Annotated, Notes
from yolo_edu.convert.names import normal_names
from yolo_edu.errors import UserError
from yolo_edu.files import Fault


def select_names(data: Annotated, names: Sequence[str], notes: Notes) -> Annotated:
    """The data set with these classes only, in this order; boxes of other classes are left out and counted.

    Raises:
        UserError: no class has any of these names, or one is given twice.
    """
    names = normal_names(Path("--names"), names)
    if not set(names) & set(data.names):
        raise UserError(f"--names: none of {list(names)} is a class here. The classes are: {', '.join(data.names)}.")
    for name in names:
        if name not in data.names:
            fix = f"The classes are: {', '.join(data.names)}"
            notes.faults.append(Fault(Path("--names"), 0, "warning", f"no class is called {name!r}", fix))
    index = {data.names.index(name): new for new, name in enumerate(names) if name in data.names}
    splits = {}
    for split, pictures in data.splits.items():
        kept = []
        for picture in pictures:
            boxes = tuple(b._replace(label=index[b.label]) for b in picture.boxes if b.label in index)
            notes.count(split, "boxes of classes not in --names left out", len(picture.boxes) - len(boxes))
            kept.append(picture._replace(boxes=boxes))
        splits[split] = tuple(kept)
    ids = dict(zip(data.names, data.category_ids, strict=False))
    own = tuple(ids[name] for name in names) if all(name in ids for name in names) else ()
    return replace(data, names=names, splits=splits, category_ids=own)


def without(data: Annotated, notes: Notes, *, difficult: bool = False, crowd: bool = False) -> Annotated:
    """The data set without difficult objects, crowd regions, or both, which are counted."""
    splits = {}
    for split, pictures in data.splits.items():
        kept = []
        for picture in pictures:
            crowds = sum(b.crowd for b in picture.boxes) if crowd else 0
            boxes = tuple(b for b in picture.boxes if not (crowd and b.crowd) and not (difficult and b.difficult))
            notes.count(split, "crowd regions left out (each is many objects)", crowds)
            notes.count(split, "difficult objects left out", len(picture.boxes) - crowds - len(boxes))
            kept.append(picture._replace(boxes=boxes))
        splits[split] = tuple(kept)
    return replace(data, splits=splits)
