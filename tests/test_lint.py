import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import make_data

from yolo_edu.data import DetectionData, read_spec
from yolo_edu.errors import UserError
from yolo_edu.files import label_path
from yolo_edu.lint import Fault, lint, summary

DATA = Path(__file__).parents[1] / "data"
SHIPPED = ("train_5classes", "aquarium5")
CLEAN = {"a": "0 0.5 0.5 0.2 0.2\n", "b": "1 0.5 0.5 0.4 0.2\n0 0.3 0.3 0.1 0.1\n", "c": ""}


def found(path: Path) -> list[tuple[str, int, str]]:
    """(file name, line, severity) of every fault."""
    return [(fault.path.name, fault.line, fault.severity) for fault in lint(read_spec(path))]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_sets_are_clean(name):
    assert lint(read_spec(DATA / f"{name}.yaml")) == []


def test_the_readme_says_what_the_summary_counts():
    readme = (DATA / "README.md").read_text()
    for name in SHIPPED:
        for split, counted in summary(read_spec(DATA / f"{name}.yaml")).items():
            classes = ", ".join(f"{label} {count}" for label, count in counted.per_class.items())
            side = f"{100 * counted.median_side:.1f} %"
            cells = [name, split, counted.images, counted.background, counted.boxes, classes, side]
            assert f"| {' | '.join(map(str, cells))} |" in readme


def test_the_readme_says_what_the_benchmark_measured():
    readme = (DATA / "README.md").read_text()
    measured = json.loads((DATA.parent / "benchmarks/results/data_leakage.json").read_text())
    rows = {
        "in all": "val_photos",
        "with the same pixels as a training photo": "same_pixels",
        "whose thumbnail correlates at 0.8 or more with a training photo's": "like_a_training_photo",
        "whose name carries a camera number": "val_with_camera_number",
        "of these, taken directly before or after a training photo": "next_to_a_training_photo",
    }
    for text, key in rows.items():
        numbers = [measured[f"{name}.yaml"][key] for name in SHIPPED]
        assert f"| {text} | {numbers[0]} | {numbers[1]} |" in readme


def test_a_clean_set_has_no_fault(tmp_path):
    path = make_data(tmp_path, CLEAN)
    assert found(path) == []
    counted = summary(read_spec(path))["train"]
    assert counted == (3, 1, 3, {"cat": 2, "dog": 1}, pytest.approx(0.2))


@pytest.mark.parametrize(
    ("row", "severity", "message", "fix"),
    [
        ("0,0.5,0.5,0.1,0.1", "error", "comma", "spaces"),
        ("0 0.5 0.5 0.1", "error", "4 columns", "class cx cy w h"),
        ("0 0.5 0.5 0.1 x", "error", "not a number", "five numbers"),
        ("7 0.5 0.5 0.1 0.1", "error", "class 7, but the data set has 2", "0 to 1"),
        ("0 0.5 1.2 0.1 0.1", "error", "[0, 1]", "clip the box"),
        ("0 208 150 30 40", "error", "[0, 1]", "pixels?"),
        ("0 0.5 0.5 0.1 0", "error", "no area", "Delete the row"),
        ("0 0.5 0.5 0.20 0.2", "warning", "repeats line 1", "Delete one"),
        ("0 0.1 0.5 0.5 0.2", "warning", "over the border", "center, not its corner"),
    ],
)
def test_faults_of_a_row(tmp_path, row, severity, message, fix):
    path = make_data(tmp_path, CLEAN | {"a": f"{CLEAN['a']}\n{row}\n"})
    (fault,) = lint(read_spec(path))
    assert fault[:3] == (tmp_path / "labels/train/a.txt", 3, severity)
    assert message in fault.message
    assert fix in fault.fix
    assert str(fault) == f"{fault.path}:3: {fault.message}. {fault.fix}."


def test_every_bad_row_is_reported(tmp_path):
    path = make_data(tmp_path, CLEAN | {"a": "bad\n0 0.5 0.5 0.2 0.2\n9 0.5 0.5 0.2 0.2\n", "b": CLEAN["b"] + "1"})
    assert found(path) == [("a.txt", 1, "error"), ("a.txt", 3, "error"), ("b.txt", 3, "error")]
    assert summary(read_spec(path))["train"].boxes == 3


def test_missing_and_orphan_label_files(tmp_path):
    path = make_data(tmp_path, CLEAN | {"d": None})
    (tmp_path / "labels/train/z.txt").write_text("nothing reads this")
    (tmp_path / "labels/train/classes.txt").write_text("cat\ndog\n")
    assert found(path) == [("d.png", 0, "warning"), ("z.txt", 0, "warning")]
    # a label file whose image exists but stands in no split is no orphan
    (tmp_path / "labels/train/z.txt").unlink()
    (tmp_path / "list.txt").write_text("images/train/a.png\nimages/train/b.png\n")
    path.write_text("train: list.txt\nnames: [cat, dog]")
    assert found(path) == []


def test_text_files_beside_images_are_no_orphans(tmp_path):
    path = make_data(tmp_path, CLEAN)
    shutil.copytree(tmp_path / "images/train", tmp_path / "photos")
    shutil.copytree(tmp_path / "labels/train", tmp_path / "photos", dirs_exist_ok=True)
    (tmp_path / "photos/README.txt").write_text("hello")
    path.write_text("train: photos\nnames: [cat, dog]")
    assert found(path) == []


def test_corrupt_and_missing_images(tmp_path):
    path = make_data(tmp_path, CLEAN)
    (tmp_path / "images/train/a.png").write_bytes((tmp_path / "images/train/a.png").read_bytes()[:50])
    (tmp_path / "images/train/b.png").write_bytes(b"")
    (tmp_path / "list.txt").write_text("gone.png\n")
    path.write_text("train: [images/train, list.txt]\nnames: [cat, dog]")
    assert found(path) == [
        ("gone.png", 0, "error"),
        ("a.png", 0, "error"),
        ("b.png", 0, "error"),
        ("gone.png", 0, "warning"),  # nor has it a label file
    ]


def test_classes_and_splits_without_anything(tmp_path):
    path = make_data(tmp_path, {"a": CLEAN["a"]})
    (tmp_path / "nothing").mkdir()
    (tmp_path / "images/test").mkdir()
    shutil.copy(tmp_path / "images/train/a.png", tmp_path / "images/test/z.bmp")
    (tmp_path / "labels/test").mkdir()
    (tmp_path / "labels/test/z.txt").write_text("")
    path.write_text("train: images/train\nval: nothing\nnames: [cat, dog]")
    messages = [fault.message for fault in lint(read_spec(path))]
    assert messages == ["the split 'val' holds no image", "class 'dog' has no box in 'train'"]
    path.write_text("test: images/test\nnames: [cat, dog]")
    assert [fault.message for fault in lint(read_spec(path))] == ["the split 'test' holds no box"]
    assert summary(read_spec(path))["test"] == (1, 1, 0, {"cat": 0, "dog": 0}, 0.0)


def test_the_same_image_in_two_splits(tmp_path):
    path = make_data(tmp_path, CLEAN)
    for kind in ("images", "labels"):
        (tmp_path / kind / "val").mkdir()
    shutil.copy(tmp_path / "images/train/b.png", tmp_path / "images/val/renamed.png")
    shutil.copy(tmp_path / "labels/train/b.txt", tmp_path / "labels/val/renamed.txt")
    path.write_text("train: images/train\nval: images/val\nnames: [cat, dog]")
    (fault,) = lint(read_spec(path))
    assert fault[:3] == (tmp_path / "images/val/renamed.png", 0, "error")
    assert "b.png" in fault.message
    # twice in one split is a matter of taste
    path.write_text("train: [images/train, images/val]\nnames: [cat, dog]")
    assert found(path) == []


def test_errors_come_first(tmp_path):
    path = make_data(tmp_path, {"a": None, "b": "bad", "c": CLEAN["b"]})
    assert [fault.severity for fault in lint(read_spec(path))] == ["error", "warning"]


tokens = ["0", "1", "2", "-1", "0.5", "1.0", "nan", "1e400", "0x1", "½", "٣", "", ",", ";", "\0", "\x85"]
row = st.lists(st.sampled_from(tokens), max_size=7).map(" ".join)
broken_text = st.one_of(
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    st.lists(row, max_size=5).map(lambda rows: "\n".join(rows).encode()),
    st.binary(max_size=60),
    st.text(max_size=20).map(lambda text: text.encode("utf-16", "replace")),
)


@settings(max_examples=400)
@given(content=broken_text)
def test_no_label_text_brings_the_linter_down(tmp_path_factory, content):
    """The linter and the reader agree on what is an error, and neither lets any other exception out."""
    path = tmp_path_factory.getbasetemp() / "fuzz" / "data.yaml"
    if not path.exists():
        make_data(path.parent, CLEAN, size=(2, 2))
    spec = read_spec(path)
    label_path(spec.images("train")[0]).write_bytes(content)
    faults = lint(spec)
    assert all(isinstance(fault, Fault) and fault.fix and str(fault) for fault in faults)
    assert summary(spec)["train"].images == 3
    try:
        data = DetectionData(spec, "train", 8)
    except UserError:
        assert any(fault.severity == "error" for fault in faults)
    else:
        assert not any(fault.severity == "error" for fault in faults)
        boxes = data[0].boxes
        assert ((boxes >= 0) & (boxes <= 8)).all()


@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode)))
def test_no_list_of_images_brings_the_linter_down(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("list")
    (folder / "list.txt").write_bytes(content)
    (folder / "data.yaml").write_text("train: list.txt\nnames: [cat]")
    assert any(fault.severity == "error" for fault in lint(read_spec(folder / "data.yaml")))
