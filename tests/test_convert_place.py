import os
from pathlib import Path

import pytest
from test_convert import save
from test_convert_common import flagged

from yolo_edu.convert import (
    Notes,
    Picture,
    write_coco,
    write_voc,
    write_yolo,
)
from yolo_edu.convert.place import fresh_folder, place_images, write_text
from yolo_edu.errors import UserError
from yolo_edu.files import Fault


@pytest.mark.parametrize("write", [write_yolo, write_coco, write_voc])
def test_nothing_is_overwritten(tmp_path, write):
    data = flagged(save(tmp_path / "a.png"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/mine.txt").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "a.png", tmp_path / "a.png/below"):
        with pytest.raises(UserError, match=r"a\.png|taken"):
            write(data, out, Notes())
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.txt"]
    fresh_folder(tmp_path / "new/deep")
    write_text(tmp_path / "new/a.txt", "é")
    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / "new/a.txt", "other")
    assert (tmp_path / "new/a.txt").read_bytes() == "é".encode()


def test_copies_and_links(tmp_path, monkeypatch):
    file = save(tmp_path / "a.png")
    pictures = [Picture(file, "a.png", 40, 30, ())]
    for way in ("copy", "link", "symlink"):
        notes = Notes()
        target = tmp_path / way / "x.png"
        place_images(pictures, [target], way, "train", notes)
        assert target.read_bytes() == file.read_bytes()
        assert target.is_symlink() == (way == "symlink")
        assert (os.stat(target).st_ino == os.stat(file).st_ino) == (way != "copy")
        assert notes.counts == {}
        with pytest.raises(UserError, match="cannot write"):
            place_images(pictures, [target], way, "train", notes)

    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    place_images(pictures, [tmp_path / "other/x.png"], "link", "train", notes)
    assert notes.counts["train"] == {"images copied because the disk refused a link": 1}
    assert (tmp_path / "other/x.png").read_bytes() == file.read_bytes()


def test_a_fault_is_a_fault_of_the_linter():
    notes = Notes()
    notes.fault("train", "things", Fault(Path("a"), 0, "warning", "odd", "Look"))
    notes.count("train", "others", 0)
    assert (notes.errors, notes.counts) == (0, {"train": {"things": 1}})
