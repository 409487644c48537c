"""What every image, every name and every box passes between a reader and a writer."""

import math
from pathlib import Path

import pytest
from PIL import Image
from test_convert import save, strict

from yolo_edu.convert import (
    Annotated,
    Box,
    Notes,
    Picture,
    read_coco,
    read_voc,
    read_yolo,
    select_names,
    without,
    write_coco,
    write_voc,
    write_yolo,
)
from yolo_edu.convert.common import Draft, RawBox, image_size, settle
from yolo_edu.convert.names import free_names, inner_path, normal_names
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.errors import UserError
from yolo_edu.lint import lint

# --- what an image passes ---------------------------------------------------------------------------------


def one(file: Path, *boxes: tuple[float, float, float, float], size=None, normalized=False):
    """A single draft through `settle`: the pictures and the notes."""
    raw = [RawBox(Box(0, box), f"annotation {i}", 7) for i, box in enumerate(boxes)]
    notes = Notes()
    draft = Draft(Path("a.json"), "image 1", file, file.name, size, raw, normalized)
    return settle("train", [draft], notes), notes


def test_boxes_are_clipped_and_dropped_with_a_word(tmp_path):
    file = save(tmp_path / "a.png")
    boxes = [(1, 2, 3, 4), (-5, 0, 10, 10), (5, 5, 5, 9), (9, 9, 3, 12), (50, 5, 60, 9), (0, 0, 40.009, 30)]
    pictures, notes = one(file, *boxes)
    assert [box.xyxy for box in pictures[0].boxes] == [(1, 2, 3, 4), (0, 0, 10, 10), (0, 0, 40, 30)]
    assert notes.counts["train"] == {
        "boxes clipped to their image": 1,
        "boxes without area left out": 2,
        "boxes outside their image left out": 1,
    }
    assert notes.errors == 3
    assert str(notes.faults[0]) == (
        "a.json:7: annotation 1 (image 1): the box (-5, 0, 10, 10) reaches over the border of 40 × 30; clipped. "
        "Check that it belongs to this image."
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_have_no_area(tmp_path, bad):
    for place in range(4):
        box = [1.0, 1.0, 9.0, 9.0]
        box[place] = bad
        pictures, notes = one(save(tmp_path / "a.png"), tuple(box))
        assert pictures[0].boxes == ()
        assert notes.errors == 1


def test_no_box_that_is_written_is_too_thin_for_the_linter(tmp_path):
    file = save(tmp_path / "a.png", 20000, 2)
    (picture,), _ = one(file, (5, 0, 5.03, 2), (5, 0, 5.05, 2))
    assert len(picture.boxes) == 1
    path = write_yolo(Annotated(("cat",), {"train": (picture,)}), tmp_path / "out", Notes())
    assert [fault for fault in lint(read_spec(path)) if fault.severity == "error"] == []


def test_sizes_come_from_the_file(tmp_path):
    file = save(tmp_path / "a.png")
    assert one(file, size=(40, 30))[1].faults == []
    (picture,), notes = one(file, (1, 1, 39, 29), size=(400, 300))
    assert picture[2:] == (40, 30, (Box(0, (1, 1, 39, 29)),))
    assert notes.counts["train"] == {"wrong image sizes corrected": 1}
    assert "says 400 × 300" in str(notes.faults[0])
    assert notes.errors == 0


def test_an_image_that_exif_turns(tmp_path):
    file = save(tmp_path / "a.jpg", orientation=6)
    assert image_size(file) == ((30, 40), (40, 30))
    assert one(file, size=(30, 40))[1].faults == []
    pictures, notes = one(file, (1, 1, 9, 9), size=(40, 30))  # annotated without looking at the tag
    assert pictures == ()
    assert "EXIF" in notes.faults[0].message
    # What we write is what training reads.
    (picture,), _ = one(file, (0, 0, 15, 40))
    path = write_yolo(Annotated(("cat",), {"train": (picture,)}), tmp_path / "out", Notes())
    sample = DetectionData(read_spec(path), "train", 40)[0]
    assert sample.image.shape == (3, 40, 30)
    assert sample.boxes.tolist() == [[0, 0, 15, 40]]


def test_images_that_cannot_be_used(tmp_path):
    good = save(tmp_path / "good.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "text.png").write_text("hello")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.gif")
    drafts = [
        Draft(Path("a.json"), name, tmp_path / name, name, None, [])
        for name in ("good.png", "gone.png", "broken.png", "text.png", "a.gif")
    ]
    notes = Notes()
    assert [picture.file for picture in settle("val", drafts, notes)] == [good]
    assert notes.errors == 4
    assert notes.counts["val"] == {
        "images without a file left out": 1,
        "unreadable images left out": 2,
        "images of an unknown type left out": 1,
    }
    with pytest.raises(UserError, match=r"none of the 1 images of 'val' is there.*gone\.png"):
        settle("val", drafts[1:2], Notes())
    assert settle("val", [], Notes()) == ()


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "", ".", "C:\\a.jpg", "C:a.jpg"]
)
def test_names_that_leave_their_folder(name):
    assert inner_path(name) is None


def test_names_that_stay_inside():
    assert inner_path("a b.jpg") == "a b.jpg"
    assert inner_path("./train\\a.jpg") == "train/a.jpg"
    assert inner_path("a..b/c.jpg") == "a..b/c.jpg"


def test_no_two_images_share_an_annotation_file():
    files = ["a.jpg", "a.png", "A.jpg", "x/a.jpg", ".hidden.jpg", "b .jpg", "line\nbreak.jpg", " .jpg", "a_2.png"]
    pictures = [Picture(Path("f"), name, 1, 1, ()) for name in files]
    notes = Notes()
    free = free_names(pictures, "train", notes, set())
    assert free == [
        *("a.jpg", "a_2.png", "A_3.jpg", "x/a.jpg", "_hidden.jpg", "b.jpg", "line_break.jpg", "_.jpg", "a_2_2.png")
    ]
    assert notes.counts["train"]["images renamed"] == 7
    taken: set[str] = set()
    assert free_names(pictures[:1], "train", Notes(), taken, flat=True) == ["a.jpg"]
    assert free_names(pictures[3:4] + pictures[:1], "val", Notes(), taken, flat=True) == ["x_a.jpg", "a_2.jpg"]


@pytest.mark.parametrize("names", [["a", "a "], [""], ["\n"], ["a\nb"], ["a\x00"], ["\ud800"]])
def test_class_names_that_some_format_cannot_hold(names):
    with pytest.raises(UserError, match="class name"):
        normal_names(Path("x"), names)


# --- a part of the boxes ----------------------------------------------------------------------------------


def flagged(file: Path) -> Annotated:
    boxes = (Box(0, (0, 0, 9, 9)), Box(1, (1, 1, 9, 9), difficult=True), Box(2, (2, 2, 9, 9), crowd=True))
    empty = Picture(file, "b.png", 40, 30, ())
    return Annotated(("x", "y", "z"), {"train": (Picture(file, "a.png", 40, 30, boxes), empty)}, (3, 5, 9))


def test_some_classes_in_another_order(tmp_path):
    notes = Notes()
    data = select_names(flagged(tmp_path), ["z", "x"], notes)
    assert (data.names, data.category_ids) == (("z", "x"), (9, 3))
    assert [box.label for box in data.splits["train"][0].boxes] == [1, 0]
    assert notes.counts["train"] == {"boxes of classes not in --names left out": 1}
    data = select_names(flagged(tmp_path), ["z", "new"], notes)
    assert (data.names, data.category_ids) == (("z", "new"), ())
    assert "no class is called 'new'" in str(notes.faults[0])
    with pytest.raises(UserError, match="The classes are: x, y, z"):
        select_names(flagged(tmp_path), ["X"], Notes())
    with pytest.raises(UserError, match="twice"):
        select_names(flagged(tmp_path), ["x", "x"], Notes())


def test_flags_survive_where_the_format_has_them(tmp_path):
    data = flagged(save(tmp_path / "a.png"))
    for folder, write, read, left in [
        ("c", write_coco, read_coco, [(False, False), (True, False), (False, True)]),
        ("v", write_voc, read_voc, [(False, False), (True, False)]),
        ("y", write_yolo, read_yolo, [(False, False)]),
    ]:
        notes = Notes()
        back = strict(read, write(data, tmp_path / folder, notes))
        assert [(box.difficult, box.crowd) for box in back.splits["train"][0].boxes] == left
        assert notes.counts["train"].total() - (3 - len(left)) == (2 if folder == "v" else 0)  # .png for torchvision
    notes = Notes()
    assert without(data, notes) == data
    assert len(without(data, notes, difficult=True).splits["train"][0].boxes) == 2
    assert notes.counts["train"] == {"difficult objects left out": 1}
