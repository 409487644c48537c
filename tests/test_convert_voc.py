import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from yolo_edu.convert import Annotated, Box, Notes, Picture, read_voc, write_voc
from yolo_edu.convert.markup import parse_xml
from yolo_edu.errors import UserError

OBJECT = (
    "<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
    "<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
)
LAUGHS = '<!DOCTYPE a [<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(12))


def thing(name="cat", box=(1, 1, 40, 30), difficult="0") -> str:
    return OBJECT.format(name=name, box=box, difficult=difficult)


def make(root: Path, records: dict[str, str], size="<size><width>40</width><height>30</height></size>") -> Path:
    """A VOC folder; records maps an id to the objects of its XML, or to the whole XML if it begins with <."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for identifier, objects in records.items():
        Image.new("RGB", (40, 30)).save(root / f"JPEGImages/{identifier}.jpg")
        text = objects if objects[:2] in ("<a", "<?", "<!") else f"<annotation>{size}\n{objects}</annotation>"
        (root / f"Annotations/{identifier}.xml").write_text(text, encoding="utf-8")
    return root


def boxes(data: Annotated, split: str = "train") -> list[list[tuple]]:
    return [[(data.names[box.label], *box.xyxy) for box in picture.boxes] for picture in data.splits[split]]


def test_the_first_pixel_is_number_one(tmp_path):
    root = make(tmp_path, {"a": thing() + thing("dog", (3, 2, 3, 9)), "b": ""})
    notes = Notes()
    data = read_voc(root, notes)
    assert notes.faults == []
    assert data.names == ("cat", "dog")
    assert boxes(data) == [[("cat", 0, 0, 40, 30), ("dog", 2, 1, 3, 9)], []]
    data = read_voc(make(tmp_path, {"a": thing(box=(0, 2.5, 40, 9))}), notes, zero_based=True)
    assert boxes(data)[0] == [("cat", 0, 2.5, 40, 9)]


def test_a_corner_of_zero_is_a_hint(tmp_path):
    notes = Notes()
    read_voc(make(tmp_path, {"a": thing(box=(0, 0, 9, 9))}), notes)
    assert "--zero-based" in str(notes.faults[0])
    assert notes.counts["train"] == {"files that seem to count from 0": 1, "boxes clipped to their image": 1}
    assert notes.errors == 0


def test_every_broken_object_is_named_with_its_line(tmp_path):
    bad = [
        "<object><bndbox/></object>",
        "<object><name>cat</name></object>",
        thing(box=(1, 2, "x", 4)),
        thing(box=(1, 2, "nan", 4)),
        thing(box=(1, 2, "inf", 4)),
        thing(box=(9, 9, 3, 3)),
    ]
    notes = Notes()
    data = read_voc(make(tmp_path, {"a": "\n".join([thing(), *bad])}), notes)
    assert boxes(data) == [[("cat", 0, 0, 40, 30)]]
    assert [fault.line for fault in notes.faults] == [3, 4, 5, 6, 7, 8]
    assert {fault.path for fault in notes.faults} == {tmp_path / "Annotations/a.xml"}
    assert notes.errors == 6
    assert notes.faults[0].message == "object 2: no name; left out"


def test_which_lists_are_read(tmp_path):
    root = make(tmp_path, {f"{i:02d}": thing() for i in range(4)})
    main = root / "ImageSets/Main"
    assert list(read_voc(root, Notes()).splits) == ["train"]
    (main / "trainval.txt").write_text("00\n01\n02\n")
    assert {s: len(p) for s, p in read_voc(root, Notes()).splits.items()} == {"train": 3}
    (main / "train.txt").write_text("00  1\n01 -1\n")  # the columns of a list of one class
    (main / "val.txt").write_bytes("\ufeff02\r\n\r\n".encode())
    (main / "test.txt").write_text("03\n03\n../../../etc/passwd\n/etc/passwd\nnone\n")
    (main / "cat_train.txt").write_text("garbage")
    notes = Notes()
    assert {s: len(p) for s, p in read_voc(root, notes).splits.items()} == {"train": 2, "val": 1, "test": 1}
    assert notes.counts["test"] == {
        "repeated ids": 1,
        "broken ids left out": 2,
        "unreadable XML files left out": 1,
    }
    assert [fault.line for fault in notes.faults] == [2, 3, 4, 0]
    assert list(read_voc(root, Notes(), sets=["trainval"]).splits) == ["train"]
    with pytest.raises(UserError, match="no list 'extra'"):
        read_voc(root, Notes(), sets=["extra"])
    with pytest.raises(UserError, match="trainval holds train"):
        read_voc(root, Notes(), sets=["train", "trainval"])
    (main / "val.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match=r"val\.txt: cannot read"):
        read_voc(root, Notes())


def test_where_the_image_is(tmp_path):
    root = make(tmp_path, {"a": "<annotation><filename>C:\\x\\b.PNG</filename><size/>" + thing() + "</annotation>"})
    os.rename(root / "JPEGImages/a.jpg", root / "JPEGImages/other.jpg")
    Image.new("RGB", (50, 60)).save(root / "JPEGImages/b.PNG")
    notes = Notes()
    (picture,) = read_voc(root, notes).splits["train"]
    assert (picture.file.name, picture.name, picture.width, picture.height) == ("b.PNG", "a.PNG", 50, 60)
    assert notes.faults == []
    # The path in a <filename> is never followed.
    Image.new("RGB", (50, 60)).save(tmp_path / "secret.png")
    (root / "Annotations/a.xml").write_text(f"<annotation><filename>../secret.png</filename>{thing()}</annotation>")
    with pytest.raises(UserError, match="none of the 1 images"):
        read_voc(root, Notes())


def test_the_order_of_the_classes(tmp_path):
    root = make(tmp_path, {"a": thing("dog") + thing("a & <b>".replace("&", "&amp;").replace("<", "&lt;"))})
    assert read_voc(root, Notes()).names == ("a & <b>", "dog")
    (root / "classes.txt").write_text("dog\na & <b>\nnever seen\n")
    assert read_voc(root, Notes()).names == ("dog", "a & <b>", "never seen")
    (root / "classes.txt").write_text("dog\n")
    with pytest.raises(UserError, match="'a & <b>', which is not listed"):
        read_voc(root, Notes())
    (root / "classes.txt").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match="cannot read the names"):
        read_voc(root, Notes())


def test_folders_that_are_none(tmp_path):
    with pytest.raises(UserError, match="no folder Annotations"):
        read_voc(tmp_path, Notes())
    with pytest.raises(UserError, match="no object in any annotation"):
        read_voc(make(tmp_path, {"a": ""}), Notes())


# --- XML of strangers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + "]><annotation>&a12;</annotation>",
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]><annotation/>',
        '<!DOCTYPE a [<!ENTITY x "y">]><annotation/>',
        '<!DOCTYPE a [<!NOTATION n SYSTEM "n"><!ENTITY x SYSTEM "y" NDATA n>]><annotation/>',
    ],
)
def test_entities_are_refused_before_they_grow(tmp_path, text):
    notes = Notes()
    data = read_voc(make(tmp_path, {"a": thing(), "bomb": text}), notes)
    assert [picture.name for picture in data.splits["train"]] == ["a.jpg"]
    assert "declares an entity" in str(notes.faults[0])
    assert notes.faults[0].path.name == "bomb.xml"


@pytest.mark.parametrize("text", ["", "<a>", "<a></b>", "<a/><b/>", '<?xml version="1.0" encoding="nope"?><a/>', "\0"])
def test_text_that_is_no_xml(tmp_path, text):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=r"line|encoding|element"):
        parse_xml(tmp_path / "a.xml")


def test_a_doctype_alone_and_other_encodings_are_fine(tmp_path):
    (tmp_path / "a.xml").write_bytes('<?xml version="1.0" encoding="utf-16"?><a>\nß<b/></a>'.encode("utf-16"))
    root, lines = parse_xml(tmp_path / "a.xml")
    assert root.text == "\nß"
    assert sorted(lines.values()) == [1, 2]
    (tmp_path / "a.xml").write_text('<!DOCTYPE annotation SYSTEM "voc.dtd"><annotation/>')
    assert parse_xml(tmp_path / "a.xml")[0].tag == "annotation"
    (tmp_path / "a.xml").write_text("<a>" * 20000 + "</a>" * 20000)
    assert parse_xml(tmp_path / "a.xml")[0].tag == "a"


pieces = st.sampled_from(
    ["<annotation>", "</annotation>", "<object>", "</object>", "<name>cat</name>", "<bndbox>", "</bndbox>", "<size>"]
    + ["</size>", "<xmin>1</xmin>", "<ymin>nan</ymin>", "<xmax>9</xmax>", "<ymax>1e400</ymax>", "&lt;", "&x;", "\0"]
    + ["<width>0</width>", "<width>-3</width>", "<filename>..</filename>", "<filename/>", "\ufeff", "<!--", "-->"]
)


@given(text=st.one_of(st.lists(pieces, max_size=12).map("".join), st.text(max_size=30)))
def test_no_xml_brings_the_reader_down(tmp_path_factory, text):
    root = tmp_path_factory.getbasetemp() / "fuzzed"
    if not root.exists():
        make(root, {"a": thing(), "b": thing()})
    (root / "Annotations/b.xml").write_text(text, encoding="utf-8")
    notes = Notes()
    pictures = read_voc(root, notes).splits["train"]
    assert len(pictures) == 2 or notes.errors


# --- what is written --------------------------------------------------------------------------------------


def test_whole_pixels(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    written = [(0, 0, 40, 30), (1.4, 1.6, 3.4, 3.6), (10.3, 0, 10.4, 30), (39.9, 0, 40, 30), (0, 0, 0.1, 0.1)]
    picture = Picture(tmp_path / "a.jpg", "a.jpg", 40, 30, tuple(Box(0, box) for box in written))
    root = write_voc(Annotated(("cat",), {"val": (picture,)}), tmp_path / "v", Notes())
    read = [box[1:] for box in boxes(read_voc(root, Notes()), "val")[0]]
    assert read == [(0, 0, 40, 30), (1, 2, 3, 4), (10, 0, 11, 30), (39, 0, 40, 30), (0, 0, 1, 1)]
    text = (root / "Annotations/a.xml").read_text()
    assert "<xmin>1</xmin>" in text
    assert "<xmax>40</xmax>" in text
    assert (root / "ImageSets/Main/val.txt").read_text() == "a\n"
    assert (root / "classes.txt").read_text() == "cat\n"
