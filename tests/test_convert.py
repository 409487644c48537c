"""The round trips, and what all formats share. The single formats: test_convert_coco, test_convert_voc."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from yolo_edu.convert import (
    Annotated,
    Box,
    Notes,
    Picture,
    read_coco,
    read_voc,
    read_yolo,
    write_coco,
    write_voc,
    write_yolo,
)
from yolo_edu.data import DetectionData, read_spec

DATA = Path(__file__).parents[1] / "data"
SHIPPED = ("train_5classes", "aquarium5")


def save(path: Path, width: int = 40, height: int = 30, orientation: int = 1, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height)).save(path, exif=exif, **options)
    return path


def content(data: Annotated) -> dict:
    """What must survive: by split and image, its size and boxes."""
    return {s: {p.name: (p.width, p.height, p.boxes) for p in pictures} for s, pictures in data.splits.items()}


def assert_same(one: Annotated, other: Annotated, tolerance: float, thin: float | None = None) -> None:
    """Same names, images, sizes, labels and flags; corners within tolerance (`thin`: for boxes below one pixel)."""
    assert one.names == other.names
    ours, theirs = content(one), content(other)
    assert {s: set(p) for s, p in ours.items()} == {s: set(p) for s, p in theirs.items()}
    for split, pictures in ours.items():
        for name, (width, height, boxes) in pictures.items():
            assert (width, height) == theirs[split][name][:2]
            for a, b in zip(boxes, theirs[split][name][2], strict=True):
                assert a._replace(xyxy=b.xyxy) == b
                side = min(a.xyxy[2] - a.xyxy[0], a.xyxy[3] - a.xyxy[1])
                bound = thin if thin is not None and side < 1 else tolerance
                assert max(abs(x - y) for x, y in zip(a.xyxy, b.xyxy, strict=True)) <= bound


def strict(reader, path: Path, **options) -> Annotated:
    """Read something that must have no fault."""
    notes = Notes()
    data = reader(path, notes, **options)
    assert notes.faults == []
    return data


# --- round trips ------------------------------------------------------------------------------------------

texts = (
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=6).map(str.strip).filter(bool)
)
# "/" is a folder, and a null byte or a line break is no part of a sane file name; Windows forbids some more.
stems = st.text(st.sampled_from("ab Zß漢é'&<_-."), min_size=1, max_size=6).map(lambda t: t.strip(" .")).filter(bool)


@st.composite
def data_sets(draw, folder: Path) -> Annotated:
    names = tuple(draw(st.lists(texts, min_size=1, max_size=4, unique=True)))
    splits = {}
    for split in draw(st.sampled_from([("train",), ("train", "val"), ("train", "val", "test")])):
        pictures = []
        for stem in draw(st.lists(stems, min_size=1, max_size=3, unique_by=str.casefold)):
            width, height = draw(st.integers(1, 50)), draw(st.integers(1, 50))
            file = save(folder / f"{width}x{height}.png", width, height)
            boxes = []
            for _ in range(draw(st.integers(0, 3))):
                x1, x2 = sorted(draw(st.tuples(st.floats(0, width), st.floats(0, width))))
                y1, y2 = sorted(draw(st.tuples(st.floats(0, height), st.floats(0, height))))
                if x2 - x1 > 0.02 and y2 - y1 > 0.02:
                    label = draw(st.integers(0, len(names) - 1))
                    boxes.append(Box(label, (x1, y1, x2, y2), difficult=draw(st.booleans())))
            pictures.append(Picture(file, f"{split} {stem}.png", width, height, tuple(boxes)))
        splits[split] = tuple(pictures)
    return Annotated(names, splits)


def plain(data: Annotated) -> Annotated:
    """Without the flags that YOLO does not have."""
    splits = {
        split: tuple(p._replace(boxes=tuple(Box(b.label, b.xyxy) for b in p.boxes)) for p in pictures)
        for split, pictures in data.splits.items()
    }
    return Annotated(data.names, splits)


@settings(max_examples=30, deadline=None)
@given(draw=st.data())
def test_every_format_gives_back_what_it_was_given(tmp_path_factory, draw):
    folder = tmp_path_factory.mktemp("round")
    data, notes = draw.draw(data_sets(folder / "src")), Notes()
    yolo = strict(read_yolo, write_yolo(data, folder / "y", notes, difficult=True))
    assert_same(plain(data), yolo, 1e-6)
    coco = strict(read_coco, write_coco(data, folder / "c", notes, images="link"))
    assert_same(data, coco, 1e-9)
    voc = strict(read_voc, write_voc(data, folder / "v", notes, images="symlink"))
    assert_same(data, voc, 0.5 + 1e-9, thin=1.0)
    exact = strict(read_voc, write_voc(data, folder / "d", notes, decimals=True))
    assert_same(data, exact, 1e-9)
    zero = strict(read_voc, write_voc(data, folder / "z", notes, zero_based=True), zero_based=True)
    assert content(zero) == content(voc)
    assert not any(notes.counts["train"][what] for what in ("images renamed", "difficult objects left out"))


@settings(max_examples=15, deadline=None)
@given(draw=st.data())
def test_two_steps_lead_back(tmp_path_factory, draw):
    folder = tmp_path_factory.mktemp("round")
    data, notes = draw.draw(data_sets(folder / "src")), Notes()
    # YOLO → COCO → YOLO, YOLO → VOC → YOLO
    yolo = strict(read_yolo, write_yolo(data, folder / "y", notes, difficult=True))
    coco = strict(read_coco, write_coco(yolo, folder / "yc", notes))
    assert_same(yolo, strict(read_yolo, write_yolo(coco, folder / "ycy", notes)), 1e-6)
    voc = strict(read_voc, write_voc(yolo, folder / "yv", notes))
    back = strict(read_yolo, write_yolo(voc, folder / "yvy", notes))
    assert_same(yolo, back, 0.5 + 1e-6, thin=1.0 + 1e-6)
    # COCO → VOC → COCO; what is whole once stays as it is
    coco = strict(read_coco, write_coco(data, folder / "c", notes))
    voc = strict(read_voc, write_voc(coco, folder / "cv", notes))
    again = strict(read_coco, write_coco(voc, folder / "cvc", notes))
    assert_same(coco, again, 0.5 + 1e-9, thin=1.0)
    twice = strict(read_voc, write_voc(again, folder / "cvcv", notes))
    assert content(twice) == content(voc)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_sets_survive_the_whole_circle(tmp_path, name):
    data, notes = strict(read_yolo, DATA / f"{name}.yaml"), Notes()
    coco = strict(read_coco, write_coco(data, tmp_path / "c", notes, images="link"))
    voc = strict(read_voc, write_voc(coco, tmp_path / "v", notes, images="link"))
    path = write_yolo(voc, tmp_path / "y", notes, images="link")
    # Half a pixel, and what eight decimals round away; one box of the aquarium is thinner than a pixel.
    assert_same(data, strict(read_yolo, path), 0.5 + 1e-5, thin=0.8)
    assert notes.faults == []
    before = {s: len(p) for s, p in read_spec(DATA / f"{name}.yaml").splits.items()}
    assert {s: len(p) for s, p in read_spec(path).splits.items()} == before
    first, second = (DetectionData(read_spec(p), "val", 32, cache=False) for p in (DATA / f"{name}.yaml", path))
    assert (first[3].image == second[3].image).all()
