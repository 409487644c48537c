import pytest
from small_data import make_data
from test_convert import content, save, strict
from test_convert_common import flagged

from yolo_edu.convert import (
    Annotated,
    Notes,
    read_voc,
    read_yolo,
    write_voc,
    write_yolo,
)
from yolo_edu.data import read_spec
from yolo_edu.errors import UserError


def test_bad_rows_are_named_and_left_out(tmp_path):
    path = make_data(tmp_path, {"a": "0 0.5 0.5 0.2 0.2\n7 0.5 0.5 0.2 0.2\n0 0.1 0.5 0.5 0.2\n", "b": None, "c": ""})
    notes = Notes()
    data = read_yolo(path, notes)
    assert [len(picture.boxes) for picture in data.splits["train"]] == [2, 0, 0]
    assert notes.counts["train"] == {
        "broken label rows left out": 1,
        "images without a label file": 1,
        "boxes clipped to their image": 1,
    }
    assert any(f"{tmp_path / 'labels/train/a.txt'}:2: class 7" in str(fault) for fault in notes.faults)
    assert notes.errors == 1


def test_subfolders_even_one_called_images(tmp_path):
    for place in ("x/a.png", "images/a.png", "images/deep/b.png"):
        save(tmp_path / "in/images/train" / place)
    for place in ("images/train/x/a", "images/train/labels/a", "images/train/labels/deep/b"):
        text = tmp_path / f"in/{place.replace('images', 'labels', 1) if '/x/' in place else place}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "in/data.yaml").write_text("train: images/train\nnames: [cat]\n")
    data = strict(read_yolo, tmp_path / "in/data.yaml")
    assert [picture.name for picture in data.splits["train"]] == ["images/a.png", "images/deep/b.png", "x/a.png"]
    back = strict(read_yolo, write_yolo(data, tmp_path / "out/images/here", Notes()))
    assert content(back) == content(data)
    assert strict(read_voc, write_voc(data, tmp_path / "v", Notes())).splits["train"][0].name == "images_a.png"


def test_category_ids_stay_in_the_yaml(tmp_path):
    data = flagged(save(tmp_path / "a.png"))
    path = write_yolo(data, tmp_path / "y", Notes())
    assert strict(read_yolo, path).category_ids == (3, 5, 9)
    path.write_text(path.read_text().replace("- 9", "- 3"))
    with pytest.raises(UserError, match="coco_category_ids"):
        read_yolo(path, Notes())


def test_a_split_without_a_place_in_the_yaml(tmp_path):
    with pytest.raises(UserError, match="no split 'extra'"):
        write_yolo(Annotated(("cat",), {"extra": ()}), tmp_path / "out", Notes())
    assert not (tmp_path / "out").exists()
    assert read_spec(write_yolo(Annotated(("cat",), {"val": ()}), tmp_path / "out", Notes())).splits == {"val": ()}
