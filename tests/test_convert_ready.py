"""torchvision's own classes read what we write, and we read what they hold. Nothing is downloaded here."""

import contextlib
import io
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import CocoDetection, FakeData, VOCDetection

from yolo_edu.convert import (
    Annotated,
    Box,
    Notes,
    Picture,
    from_torchvision,
    parse_ready,
    read_ready,
    write_coco,
    write_voc,
    write_yolo,
)
from yolo_edu.convert.ready import Ready
from yolo_edu.errors import UserError


def small(root: Path, *splits: str) -> Annotated:
    """One picture with two boxes and one without, in every split."""
    root.mkdir(parents=True, exist_ok=True)
    result = {}
    for split in splits:
        Image.new("RGB", (40, 30)).save(root / f"{split}.jpg")
        boxes = (Box(1, (0, 0, 40, 30)), Box(0, (3, 2, 9, 9), difficult=True))
        names = (f"{split} é 1.jpg", f"{split}2.jpg")
        result[split] = tuple(
            Picture(root / f"{split}.jpg", name, 40, 30, b) for name, b in zip(names, (boxes, ()), strict=True)
        )
    return Annotated(("cat", "dog"), result)


def voc(root: Path, *splits: str) -> Annotated:
    """A VOC folder where torchvision looks for the year 2012; what is in it."""
    data = small(root / "src", *splits)
    write_voc(data, root / "VOCdevkit/VOC2012", Notes())
    return data


def coco(root: Path) -> Annotated:
    """A COCO folder with the names of 2017."""
    data = small(root / "src", "val")
    written = write_coco(data, root / "coco", Notes())
    (written / "annotations/instances_val.json").rename(written / "annotations/instances_val2017.json")
    (written / "images/val").rename(written / "val2017")
    return data


def boxes(data: Annotated, split: str) -> list:
    return [(picture.name, picture.boxes) for picture in data.splits[split]]


def test_voc_as_torchvision_sees_it(tmp_path):
    data = voc(tmp_path, "train", "val")
    dataset = VOCDetection(str(tmp_path), year="2012", image_set="val", download=False)
    assert len(dataset) == 2
    image, target = dataset[0]
    assert image.size == (40, 30)
    objects = target["annotation"]["object"]
    assert [(o["name"], o["difficult"]) for o in objects] == [("dog", "0"), ("cat", "1")]
    assert objects[1]["bndbox"] == {"xmin": "4", "ymin": "3", "xmax": "9", "ymax": "9"}
    assert dataset[1][1]["annotation"]["object"] == []
    notes = Notes()
    back = from_torchvision(dataset, notes)
    assert back.names == data.names
    assert boxes(back, "val") == boxes(data, "val")
    assert list(from_torchvision(dataset, notes, split="train").splits) == ["train"]
    assert notes.faults == []
    assert write_yolo(back, tmp_path / "y", notes).is_file()


def test_coco_as_torchvision_sees_it(tmp_path):
    data = coco(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = CocoDetection(
            str(tmp_path / "coco/val2017"), str(tmp_path / "coco/annotations/instances_val2017.json")
        )
    image, target = dataset[0]
    assert image.size == (40, 30)
    assert [record["bbox"] for record in target] == [[0, 0, 40, 30], [3, 2, 6, 7]]
    notes = Notes()
    back = from_torchvision(dataset, notes, split="val")
    assert (back.names, back.category_ids) == (data.names, (1, 2))
    assert boxes(back, "val") == boxes(data, "val")
    assert list(from_torchvision(dataset, notes).splits) == ["train"]
    assert notes.faults == []


def test_another_dataset_has_no_boxes():
    with pytest.raises(UserError, match="FakeData"):
        from_torchvision(FakeData(), Notes())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("voc2012:train", Ready("voc", "2012", ("train",))),
        ("VOC2007:trainval,test", Ready("voc", "2007", ("trainval", "test"))),
        ("coco2017", Ready("coco", "2017", ("train", "val"))),
        ("coco2017:val", Ready("coco", "2017", ("val",))),
        ("data.yaml", None),
        ("voc", None),
        ("voc2012/train", None),
    ],
)
def test_names_of_known_sets(text, expected):
    assert parse_ready(text) == expected


@pytest.mark.parametrize("text", ["voc2013", "coco2016:val", "voc2012:test", "coco2017:test", "voc2012:train,,val"])
def test_known_sets_of_unknown_years(text):
    with pytest.raises(UserError, match="has the"):
        parse_ready(text)


def test_what_is_there_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr("yolo_edu.convert.ready.VOCDetection", None)  # would raise when called
    data = voc(tmp_path, "train", "val")
    back = read_ready(Ready("voc", "2012", ("train", "val")), tmp_path, Notes())
    assert list(back.splits) == ["train", "val"]
    assert boxes(back, "train") == boxes(data, "train")
    coco(tmp_path / "c")
    back = read_ready(Ready("coco", "2017", ("val",)), tmp_path / "c/coco", Notes())
    assert len(back.splits["val"]) == 2


@pytest.mark.parametrize("error", [OSError("no network"), RuntimeError("File not found or corrupted.")])
def test_a_failed_download_says_what_to_fetch(tmp_path, monkeypatch, error):
    asked = []

    def download(*args, **options):
        asked.append((args, options))
        raise error

    monkeypatch.setattr("yolo_edu.convert.ready.VOCDetection", download)
    with pytest.raises(UserError) as message:
        read_ready(Ready("voc", "2007", ("test",)), tmp_path / "new", Notes())
    assert asked == [((str(tmp_path / "new"),), {"year": "2007", "image_set": "test", "download": True})]
    for part in (str(error), "VOCtest_06-Nov-2007.tar", str(tmp_path / "new/VOCdevkit/VOC2007/Annotations")):
        assert part in str(message.value)


def test_a_download_that_works_is_read(tmp_path, monkeypatch):
    def download(root, year, image_set, download):
        assert (year, image_set, download) == ("2012", "train", True)
        voc(Path(root), "train", "val")  # one archive holds all sets

    monkeypatch.setattr("yolo_edu.convert.ready.VOCDetection", download)
    back = read_ready(Ready("voc", "2012", ("train", "val")), tmp_path, Notes())
    assert [len(pictures) for pictures in back.splits.values()] == [2, 2]


def test_coco_that_is_missing_says_what_to_fetch(tmp_path):
    with pytest.raises(UserError) as message:
        read_ready(Ready("coco", "2017", ("val",)), tmp_path, Notes())
    for part in ("annotations_trainval2017.zip", "zips/val2017.zip", str(tmp_path), "CC BY 4.0"):
        assert part in str(message.value)
