import contextlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from yolo_edu.convert import Annotated, Box, Notes, Picture, read_coco, write_coco
from yolo_edu.errors import UserError


def content(**changes) -> dict:
    """One image of 40 × 30, two categories with a gap between their ids, one box."""
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 90, "bbox": [1, 2, 10, 20]}],
        "categories": [{"id": 90, "name": "zebra"}, {"id": 3, "name": "bär"}],
    } | changes


def write(root: Path, data: object, name: str = "instances_train.json", images=("a.png",)) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for image in images:
        Image.new("RGB", (40, 30)).save(root / image)
    (root / name).write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return root / name


def test_ids_become_classes_in_their_order(tmp_path):
    notes = Notes()
    data = read_coco(write(tmp_path, content()), notes)
    assert (data.names, data.category_ids) == (("bär", "zebra"), (3, 90))
    assert data.splits == {"train": (Picture(tmp_path / "a.png", "a.png", 40, 30, (Box(1, (1, 2, 11, 22)),)),)}
    assert (notes.faults, notes.counts) == ([], {})


def test_flags_and_masks(tmp_path):
    box = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20]}
    records = [box | {"iscrowd": 1, "segmentation": {"counts": [1], "size": [1, 1]}}, box | {"ignore": 1, "iscrowd": 0}]
    notes = Notes()
    (picture,) = read_coco(write(tmp_path, content(annotations=records)), notes).splits["train"]
    assert [(b.crowd, b.difficult) for b in picture.boxes] == [(True, False), (False, True)]
    assert notes.counts["train"] == {"masks ignored (only boxes are read)": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, 2, 3]}, "not four numbers"),
        ({"bbox": [1, 2, 3, "4"]}, "not four numbers"),
        ({"bbox": [1, 2, 3, None]}, "not four numbers"),
        ({"bbox": [1, 2, 3, True]}, "not four numbers"),
        ({"bbox": [1, 2, 3, 10**400]}, "not four numbers"),
        ({"bbox": {"x": 1}}, "not four numbers"),
        ({"bbox": None}, "not four numbers"),
        ({"image_id": 8}, "image_id 8 is no image"),
        ({"image_id": "7"}, "image_id '7' is no image"),
        ({"image_id": [7]}, r"image_id \[7\] is no image"),
        ({"category_id": 1}, "category_id 1 is no category"),
        ({"category_id": None}, "category_id None is no category"),
        ({"bbox": [1, 2, 0, 4]}, "has no area"),
        ({"bbox": [1, 2, -5, 4]}, "has no area"),
        ({"bbox": [100, 2, 5, 4]}, "outside the image"),
    ],
)
def test_a_broken_annotation_is_named_and_left_out(tmp_path, change, message):
    good = content()["annotations"][0]
    path = write(tmp_path, content(annotations=[good | {"id": 5} | change, good, 3]))
    notes = Notes()
    (picture,) = read_coco(path, notes).splits["train"]
    assert len(picture.boxes) == 1
    assert notes.errors == 2
    assert any("annotations[0]: " in str(f) or "annotation 5 " in str(f) for f in notes.faults)
    assert {fault.path for fault in notes.faults} == {path}
    with pytest.raises(AssertionError, match=message):
        raise AssertionError("\n".join(map(str, notes.faults)))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": 7, "file_name": "b.png"}, "the id 7 is taken by 'a.png'"),
        ({"id": 8, "file_name": "./a.png"}, "stands there twice"),
        ({"id": 8, "file_name": "../../etc/passwd"}, "leaves the images folder"),
        ({"id": 8, "file_name": "/etc/passwd.png"}, "leaves the images folder"),
        ({"id": 8, "file_name": "x/../../secret.png"}, "leaves the images folder"),
        ({"id": 8, "file_name": "gone.png"}, "no image"),
        ({"id": 8, "file_name": "\ud800.png"}, "no image"),
        ({"id": 8, "file_name": "x" * 5000 + ".png"}, "no image"),
        ({"id": 8}, "no text file_name"),
        ({"id": "8", "file_name": "b.png"}, "no whole number id"),
        ([], "no whole number id"),
    ],
)
def test_a_broken_image_record_is_named_and_left_out(tmp_path, record, message):
    Image.new("RGB", (40, 30)).save(tmp_path / "secret.png")
    path = write(tmp_path / "in", content(images=[*content()["images"], record]), images=("a.png", "b.png"))
    notes = Notes()
    data = read_coco(path, notes)
    assert [picture.name for picture in data.splits["train"]] == ["a.png"]
    assert message in notes.faults[0].message
    assert notes.errors == 1
    out = write_coco(data, tmp_path / "deep/out", Notes())
    assert {file.name for file in out.rglob("*.*") if file.is_file()} == {"a.png", "instances_train.json"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ("3", "must be an object"),
        ('{"images": NaN}', "NaN is no JSON number"),
        ('{"images": -Infinity}', "-Infinity is no JSON number"),
        ("[" * 100000, "not JSON"),
        ("1" * 10000, "not JSON"),
        ("{}", "no list 'categories'"),
        (json.dumps(content(categories=[])), "categories is empty"),
        (json.dumps(content(categories={"1": "cat"})), "no list 'categories'"),
        (json.dumps(content(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}])), r"categories\[1\]"),
        (json.dumps(content(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}])), "twice"),
        (json.dumps(content(categories=[{"id": True, "name": "a"}])), r"categories\[0\]"),
        (json.dumps(content(categories=[{"id": 1}])), r"categories\[0\]"),
        (json.dumps(content(images=None)), "no list 'images'"),
        (json.dumps(content(annotations={})), "no list 'annotations'"),
    ],
)
def test_files_that_are_not_coco(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=message) as error:
        read_coco(path, Notes())
    assert str(path) in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot read it"):
        read_coco(tmp_path / "none.json", Notes())
    with pytest.raises(UserError, match="no JSON in this folder"):
        read_coco(tmp_path, Notes())
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not JSON"):
        read_coco(tmp_path / "a.json", Notes())


def test_repeated_annotation_ids_are_kept_with_a_word(tmp_path):
    good = content()["annotations"][0]
    notes = Notes()
    (picture,) = read_coco(write(tmp_path, content(annotations=[good, good, good])), notes).splits["train"]
    assert len(picture.boxes) == 3
    assert "2 annotations have the id of another one" in str(notes.faults[0])
    assert notes.errors == 0


@pytest.mark.parametrize(
    ("name", "images", "split"),
    [
        ("annotations/instances_val2017.json", "val2017", "val"),
        ("annotations/instances_test.json", "images/test", "test"),
        ("annotations/instances_minitrain.json", "images", "train"),
        ("valid/_annotations.coco.json", "valid", "val"),
        ("test_photos/labels.json", "test_photos/images", "test"),
        ("testimony/labels.json", "testimony", "train"),
        ("odd/labels.json", "images", "train"),
    ],
)
def test_where_others_have_their_images(tmp_path, name, images, split):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content()))
    (tmp_path / images).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(tmp_path / images / "a.png")
    data = read_coco(path, Notes())
    assert data.splits[split][0].file == tmp_path / images / "a.png"
    assert list(read_coco(path, Notes(), split="test", images=tmp_path / images).splits) == ["test"]
    with pytest.raises(UserError, match="--images-folder"):
        read_coco(path, Notes(), images=tmp_path / "elsewhere")


def test_a_folder_with_several_files(tmp_path):
    for name in ("instances_val", "instances_train", "captions_val"):
        write(tmp_path / "annotations", content(), f"{name}.json")
    assert list(read_coco(tmp_path, Notes()).splits) == ["train", "val"]
    write(tmp_path / "annotations", content(), "instances_val2.json")
    with pytest.raises(UserError, match="a second file for 'val'"):
        read_coco(tmp_path, Notes())
    write(tmp_path / "annotations", content(categories=[{"id": 1, "name": "cat"}]), "instances_val.json")
    (tmp_path / "annotations/instances_val2.json").unlink()
    with pytest.raises(UserError, match="other categories"):
        read_coco(tmp_path, Notes())


def test_the_coco_tools_load_what_is_written(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a b é.png")
    boxes = (Box(1, (1.5, 2, 11, 22.25), difficult=True), Box(0, (0, 0, 40, 30), crowd=True))
    pictures = (
        Picture(tmp_path / "a b é.png", "a b é.png", 40, 30, boxes),
        Picture(tmp_path / "a b é.png", "empty.png", 40, 30, ()),
    )
    for ids, expected in [((3, 90), [90, 3]), ((), [2, 1])]:
        out = write_coco(Annotated(("bär", "zebra"), {"val": pictures}, ids), tmp_path / f"out{len(ids)}", Notes())
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(out / "annotations/instances_val.json"))
        records = coco.loadAnns(coco.getAnnIds(imgIds=1))
        assert [record["bbox"] for record in records] == [[1.5, 2, 9.5, 20.25], [0, 0, 40, 30]]
        assert [record["category_id"] for record in records] == expected
        assert [record["iscrowd"] for record in records] == [0, 1]
        assert records[0]["area"] == 9.5 * 20.25
        assert coco.getAnnIds(imgIds=2) == []
        assert [image["file_name"] for image in coco.loadImgs([1, 2])] == ["a b é.png", "empty.png"]
        assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["bär", "zebra"]


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 90), st.floats(), st.sampled_from(["", "a.png", "..", "7"])
)
keys = st.sampled_from(["id", "image_id", "category_id", "bbox", "file_name", "width", "height", "name", "iscrowd"])
records = st.one_of(scalars, st.dictionaries(keys, st.one_of(scalars, st.lists(scalars, max_size=5)), max_size=5))


@given(changes=st.dictionaries(st.sampled_from(["images", "annotations", "categories"]), st.lists(records, max_size=4)))
def test_no_json_brings_the_reader_down(tmp_path_factory, changes):
    data = {key: records + changes.get(key, []) for key, records in content().items()}
    path = write(tmp_path_factory.getbasetemp() / "json", data)
    notes = Notes()
    with contextlib.suppress(UserError):  # the categories
        (picture, *_) = read_coco(path, notes).splits["train"]
        assert len(picture.boxes) >= 1
        assert all(0 <= v <= 40 for box in picture.boxes for v in box.xyxy)
