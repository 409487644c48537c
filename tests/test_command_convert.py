import argparse
from pathlib import Path

import pytest
from PIL import Image
from small_data import make_data
from test_convert_coco import content
from test_convert_coco import write as write_json
from test_convert_voc import make as make_voc
from test_convert_voc import thing

from yolo_edu.commands import convert
from yolo_edu.data import read_spec
from yolo_edu.errors import UserError
from yolo_edu.lint import lint, summary

LABELS = {"a": "0 0.5 0.5 0.2 0.2\n", "b": "1 0.5 0.5 0.4 0.2\n0 0.3 0.3 0.1 0.1\n", "c é": ""}


def command(*argv: object) -> int:
    parser = argparse.ArgumentParser()
    convert.configure(parser)
    return convert.run(parser.parse_args([str(arg) for arg in argv]))


def test_around_the_circle(tmp_path, capsys):
    source = make_data(tmp_path / "in", LABELS)
    assert command(source, "--to", "coco", "--out", tmp_path / "c") == 0
    assert command(tmp_path / "c", "--to", "voc", "--out", tmp_path / "v", "--images", "link") == 0
    assert command(tmp_path / "v", "--to", "yolo", "--out", tmp_path / "y o", "--images", "symlink") == 0
    printed = capsys.readouterr().out
    assert printed.count("train: 3 images (1 without objects), 3 boxes: cat 2, dog 1\n") == 3
    assert printed.count("0 broken records left out, 0 warnings") == 3
    assert "train: 3 images that torchvision's VOCDetection cannot find (it opens .jpg only)" in printed
    assert printed.endswith(f"next: yolo-edu lint '{tmp_path / 'y o' / 'data.yaml'}'\n")
    spec = read_spec(tmp_path / "y o/data.yaml")
    assert [fault for fault in lint(spec) if fault.severity == "error"] == []
    assert summary(spec)["train"].per_class == {"cat": 2, "dog": 1}
    assert command(tmp_path / "y o", "--to", "coco", "--out", tmp_path / "again") == 0


def test_faults_are_counted_printed_and_kept(tmp_path, capsys):
    bad = [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1]}] * 30
    source = write_json(tmp_path / "in", content(annotations=content()["annotations"] + bad))
    assert command(source, "--to", "yolo", "--out", tmp_path / "y") == 1
    printed = capsys.readouterr().out
    assert "train: 1 images (0 without objects), 1 boxes: bär 0, zebra 1\n" in printed
    assert "train: 30 broken annotations left out\n" in printed
    assert printed.count("image_id 1 is no image") == 20
    assert f"... and 10 more, in {tmp_path / 'y/conversion.txt'}" in printed
    assert "30 broken records left out, 0 warnings" in printed
    report = (tmp_path / "y/conversion.txt").read_text(encoding="utf-8")
    assert report.count(f"error: {source}: annotations[") == 30
    assert "coco_category_ids" in (tmp_path / "y/data.yaml").read_text()


def test_difficult_and_crowd(tmp_path, capsys):
    root = make_voc(tmp_path / "in", {"a": thing() + thing(difficult="1")})
    for to, option, boxes in [("yolo", (), 1), ("yolo", ("--difficult", "keep"), 2), ("coco", (), 2)]:
        out = tmp_path / f"{to}{len(option)}"
        assert command(root, "--to", to, "--out", out, *option) == 0
        printed = capsys.readouterr().out
        assert f"{boxes} boxes" in printed
        assert ("1 difficult objects left out" in printed) == (boxes == 1)
    assert command(root, "--to", "voc", "--difficult", "drop", "--out", tmp_path / "v") == 0
    assert "<difficult>1" not in (tmp_path / "v/Annotations/a.xml").read_text()
    crowd = content()["annotations"][0] | {"iscrowd": 1}
    source = write_json(tmp_path / "json", content(annotations=[crowd]))
    capsys.readouterr()
    for to, boxes in (("yolo", 0), ("voc", 0), ("coco", 1)):
        assert command(source, "--to", to, "--out", tmp_path / f"crowd_{to}") == 0
        printed = capsys.readouterr().out
        assert f"{boxes} boxes" in printed
        assert ("1 crowd regions left out" in printed) == (boxes == 0)


def test_options_reach_their_place(tmp_path, capsys):
    source = make_data(tmp_path / "in", LABELS)
    assert command(source, "--to", "yolo", "--out", tmp_path / "y", "--names", "dog") == 0
    assert summary(read_spec(tmp_path / "y/data.yaml"))["train"].per_class == {"dog": 1}
    assert "train: 2 boxes of classes not in --names left out" in capsys.readouterr().out
    assert command(source, "--to", "voc", "--out", tmp_path / "v", "--zero-based", "--decimals") == 0
    assert "<xmin>16.0</xmin>" in (tmp_path / "v/Annotations/a.xml").read_text()
    assert command(tmp_path / "v", "--zero-based", "--to", "yolo", "--out", tmp_path / "back") == 0
    assert (tmp_path / "back/labels/train/a.txt").read_text() == "0 0.50000000 0.50000000 0.20000000 0.20000000\n"
    json = write_json(tmp_path / "json", content(), "odd.json", images=())
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "photos/a.png")
    options = ("--images-folder", tmp_path / "photos", "--split", "val", "--from", "coco")
    assert command(json, "--to", "yolo", "--out", tmp_path / "val", *options) == 0
    assert list(read_spec(tmp_path / "val/data.yaml").splits) == ["val"]


def test_options_without_an_effect_are_refused(tmp_path):
    source = make_data(tmp_path / "in", LABELS)
    for option in (("--split", "val"), ("--images-folder", "x"), ("--zero-based",), ("--decimals",)):
        with pytest.raises(UserError, match=f"{option[0]} has no effect"):
            command(source, "--to", "coco", "--out", tmp_path / "out", *option)
    for name in ("instances_train.json", "instances_val.json"):
        write_json(tmp_path / "json", content(), name)
    with pytest.raises(UserError, match="2 JSONs"):
        command(tmp_path / "json", "--to", "voc", "--out", tmp_path / "out", "--split", "val")


def test_voc_that_counts_from_zero_is_mended(tmp_path):
    root = make_voc(tmp_path / "in", {"a": thing(box=(0, 3, 9, 10))})
    assert command(root, "--to", "voc", "--zero-based", "--out", tmp_path / "out") == 0
    text = (tmp_path / "out/Annotations/a.xml").read_text()
    assert all(corner in text for corner in ("<xmin>1<", "<ymin>4<", "<xmax>9<", "<ymax>10<"))


def test_known_sets_by_name(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("yolo_edu.convert.ready.VOCDetection", None)
    root = make_voc(tmp_path / "VOCdevkit/VOC2012", {"a": thing()})
    (root / "ImageSets/Main/val.txt").write_text("a\n")
    assert command("voc2012:val", "--root", tmp_path, "--to", "yolo", "--out", tmp_path / "y") == 0
    assert "Flickr's terms of use" in capsys.readouterr().out
    assert list(read_spec(tmp_path / "y/data.yaml").splits) == ["val"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none", "no such file or folder"),
        ("voc2012:nope", "has the sets"),
        ("empty", "no annotations of a format we know"),
        ("note.txt", "no annotations of a format we know"),
        ("coco2017:val", "torchvision has no download for COCO"),
    ],
)
def test_sources_that_cannot_be_used(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("note.txt").write_text("hello")
    with pytest.raises(UserError, match=message):
        command(source, "--to", "yolo", "--out", "y")
    assert not Path("y").exists()


def test_a_taken_folder_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("")
    for out in (tmp_path / "out", tmp_path / "out/mine"):
        with pytest.raises(UserError, match="nothing is ever overwritten"):
            command("not even there", "--to", "yolo", "--out", out)


def test_a_name_that_is_no_utf8_reaches_the_report(tmp_path, capsys):
    root = make_voc(tmp_path / "in", {"a": thing()})
    try:
        Path(f"{root}/Annotations/b\udcff.xml").write_text("broken")
    except OSError:
        pytest.skip("this disk has only names in UTF-8")
    assert command(root, "--to", "yolo", "--out", tmp_path / "y") == 1
    assert "b\\udcff.xml" in capsys.readouterr().out
    assert "b\\udcff.xml" in (tmp_path / "y/conversion.txt").read_text()
