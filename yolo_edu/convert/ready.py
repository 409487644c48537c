"""Pascal VOC and COCO as torchvision knows them: `voc2012:train`, `coco2017:val`, or a dataset object of yours.

torchvision downloads and unpacks VOC; it has no download for COCO. The annotations are then read by our own readers,
so that every check of a conversion holds for these sets too.
"""

import re
from pathlib import Path
from typing import NamedTuple

from torchvision.datasets import CocoDetection, VOCDetection
from torchvision.datasets.voc import DATASET_YEAR_DICT

from yolo_edu.convert.coco import categories, read_coco, read_content
from yolo_edu.convert.common import Annotated, Notes
from yolo_edu.convert.voc import SETS, read_voc
from yolo_edu.errors import UserError
from yolo_edu.files import cause

VOC_TERMS = "VOC's photos come from Flickr: using them must respect Flickr's terms of use."
COCO_TERMS = (
    "COCO's annotations are CC BY 4.0; its photos come from Flickr and belong to their owners: using them must respect "
    "Flickr's terms of use."
)


class Ready(NamedTuple):
    """A data set by its well-known name."""

    kind: str  # "voc" or "coco"
    year: str
    sets: tuple[str, ...]  # train, val, trainval, test

    @property
    def terms(self) -> str:
        """Under what it may be used."""
        return VOC_TERMS if self.kind == "voc" else COCO_TERMS


def parse_ready(text: str) -> Ready | None:
    """`voc2012:train` as a Ready, `voc2007:trainval,test` with two sets; None: another text.

    Raises:
        UserError: such a name, but of a year or set that does not exist.
    """
    if not (match := re.fullmatch(r"(voc|coco)(\d{4})(?::([a-z,]+))?", text.lower())):
        return None
    kind, year, listed = match.groups()
    years = {"voc": [*map(str, range(2007, 2013))], "coco": ["2014", "2017"]}[kind]
    if year not in years:
        raise UserError(f"{text}: {kind} has the years {', '.join(years)}.")
    known = ["train", "val"]
    if kind == "voc":
        known += ["trainval"] + (["test"] if year == "2007" else [])
    sets = tuple(dict.fromkeys((listed or "train,val").split(",")))
    if not {*sets} <= {*known}:
        raise UserError(f"{text}: {kind}{year} has the sets {', '.join(known)} (with boxes).")
    return Ready(kind, year, sets)


def read_ready(ready: Ready, root: Path, notes: Notes) -> Annotated:
    """Read a well-known data set from `root`, where VOC is downloaded to if it is not there.

    Raises:
        UserError: the download fails, or COCO is not there; the message says what to fetch and where to put it.
    """
    return _read_voc(ready, root, notes) if ready.kind == "voc" else _read_coco(ready, root, notes)


def _read_voc(ready: Ready, root: Path, notes: Notes) -> Annotated:
    folder = root
    for name in ready.sets:
        known = DATASET_YEAR_DICT["2007-test" if (ready.year, name) == ("2007", "test") else ready.year]
        folder = root / known["base_dir"]
        if (folder / "ImageSets" / "Main" / f"{name}.txt").is_file():
            continue
        try:
            root.mkdir(parents=True, exist_ok=True)
            VOCDetection(str(root), year=ready.year, image_set=name, download=True)
        except (OSError, RuntimeError, EOFError) as error:  # no network, a wrong checksum, a damaged archive
            raise UserError(
                f"voc{ready.year}:{name}: could not be downloaded ({cause(error)}). By hand: fetch {known['url']} on "
                f"any machine, unpack it in {root} so that {folder / 'Annotations'} exists, and run this again."
            ) from None
    return read_voc(folder, notes, sets=ready.sets)


def _read_coco(ready: Ready, root: Path, notes: Notes) -> Annotated:
    parts = []
    for name in ready.sets:
        file = root / "annotations" / f"instances_{name}{ready.year}.json"
        if not file.is_file():
            base, both = "http://images.cocodataset.org", f"annotations_trainval{ready.year}.zip"
            raise UserError(
                f"coco{ready.year}:{name}: {file} is not there, and torchvision has no download for COCO. Fetch "
                f"{base}/annotations/{both} and {base}/zips/{name}{ready.year}.zip, and unpack both in {root} "
                f"(folders annotations and {name}{ready.year}). {COCO_TERMS}"
            )
        parts.append(read_coco(file, notes, split=name))
    if any((part.names, part.category_ids) != (parts[0].names, parts[0].category_ids) for part in parts):
        raise UserError(f"{root}: the JSONs have different categories. Convert one set at a time.")
    splits = {split: pictures for part in parts for split, pictures in part.splits.items()}
    return Annotated(parts[0].names, splits, parts[0].category_ids)


def from_torchvision(dataset: VOCDetection | CocoDetection, notes: Notes, split: str | None = None) -> Annotated:
    """The boxes of a `torchvision.datasets` object, for one of our writers. Its transforms are not applied.

    Args:
        split: what to call it; default: what VOC calls it, "train" for COCO.

    Raises:
        UserError: another kind of dataset, or its files cannot be used.
    """
    if isinstance(dataset, VOCDetection):
        root = Path(dataset.root) / DATASET_YEAR_DICT[dataset.year]["base_dir"]
        data = read_voc(root, notes, sets=(dataset.image_set,))
        return Annotated(data.names, {split or SETS[dataset.image_set]: next(iter(data.splits.values()))})
    if isinstance(dataset, CocoDetection):
        content, root = dataset.coco.dataset, Path(dataset.root)
        ids, names = categories(root, content)
        split = split or "train"
        return Annotated(names, {split: read_content(content, root, root, split, ids, notes)}, ids)
    raise UserError(f"{type(dataset).__name__}: boxes can be read from VOCDetection and CocoDetection only.")
