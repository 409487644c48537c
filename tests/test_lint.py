import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from small_data import make_data as make_small_data

import yolo_edu.files
import yolo_edu.lint
from yolo_edu.data import read_spec
from yolo_edu.lint import CODES, Fault, examine, lint, summary

DATA = Path(__file__).parents[1] / "data"
SHIPPED = ("train_5classes", "aquarium5")
make_data = partial(make_small_data, size=(60, 80))  # an image of less than 32 pixels is a fault of its own
CLEAN = {"a": "0 0.5 0.5 0.2 0.2\n", "b": "1 0.5 0.5 0.4 0.2\n0 0.3 0.3 0.1 0.1\n", "c": ""}


def found(path: Path) -> list[tuple[str, int, str]]:
    """(file name, line, severity) of every fault."""
    return [(fault.path.name, fault.line, fault.severity) for fault in lint(read_spec(path))]


def test_what_is_odd_about_the_shipped_sets():
    """No error. The warnings are true: data/README.md tells of them."""
    named = {
        name: sorted((fault.severity, fault.code, fault.path.name, fault.line) for fault in examined(name))
        for name in SHIPPED
    }
    assert named["train_5classes"] == [
        ("warning", "copy-within", "train_294.jpg", 0),
        ("warning", "same-scene", "val_000.jpg", 0),
        ("warning", "same-scene", "val_058.jpg", 0),
        ("warning", "same-scene", "val_061.jpg", 0),
    ]
    assert named["aquarium5"] == [
        ("warning", "imbalance", "aquarium5.yaml", 0),
        ("warning", "same-scene", "IMG_2307.jpg", 0),
        ("warning", "same-scene", "IMG_2506.jpg", 0),
        ("warning", "tiny-box", "IMG_8443.txt", 18),
        ("warning", "tiny-box", "IMG_8580.txt", 53),
    ]


def examined(name: str) -> list[Fault]:
    return lint(read_spec(DATA / f"{name}.yaml"))


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
        "nearly the same as a training photo (likeness 0.9 or more)": "nearly_the_same",
        "of the same scene as a training photo (likeness 0.7 or more)": "like_a_training_photo",
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
    ("row", "severity", "code", "message", "fix"),
    [
        ("0,0.5,0.5,0.1,0.1", "error", "separator", "comma", "spaces"),
        ("0 0.5 0.5 0.1", "error", "columns", "4 columns", "class cx cy w h"),
        ("0 0.5 0.5 0.1 x", "error", "not-a-number", "not a number", "five numbers"),
        ("0 0.5 0.5 0.1 ٣", "error", "not-a-number", "not a number", "five numbers"),
        ("0.5 0.5 0.5 0.1 0.1", "error", "class-number", "whole number", "counted from 0"),
        ("7 0.5 0.5 0.1 0.1", "error", "class-range", "class 7, but the data set has 2", "0 to 1"),
        ("0 0.5 1.2 0.1 0.1", "error", "range", "[0, 1]", "clip the box"),
        ("0 208 150 30 40", "error", "pixels", "[0, 1]", "pixels?"),
        ("0 0.5 0.5 0.1 0", "error", "no-area", "no area", "Delete the row"),
        ("0 0.5 0.5 0.20 0.2", "warning", "row-twice", "repeats line 1", "Delete one"),
        ("0 0.5 0.5 0.198 0.2", "warning", "near-twice", "nearly the box of line 1", "Delete one"),
        ("1 0.5 0.5 0.198 0.2", "warning", "contradiction", "'dog' where line 1 has 'cat'", "right"),
        ("1 0.5 0.5 0.2 0.2", "warning", "contradiction", "IoU 1.00", "right"),
        ("0 0.1 0.5 0.5 0.2", "warning", "over-border", "over the border", "center, not its corner"),
        ("0 0.5 0.5 0.99 1", "warning", "whole-image", "the box of 'cat' covers", "leave it"),
        ("0 0.5 0.7 0.2 0.006", "warning", "tiny-box", "128.0 × 2.9 pixels at training size 640", "--img-size"),
    ],
)
def test_faults_of_a_row(tmp_path, row, severity, code, message, fix):
    path = make_data(tmp_path, CLEAN | {"a": f"{CLEAN['a']}\n{row}\n"})
    (fault,) = lint(read_spec(path))
    assert fault[:3] == (tmp_path / "labels/train/a.txt", 3, severity)
    assert fault.code == code
    assert message in fault.message
    assert fix in fault.fix
    assert str(fault) == f"{fault.path}:3: {fault.message}. {fault.fix}."


def test_every_bad_row_is_reported(tmp_path):
    path = make_data(tmp_path, CLEAN | {"a": "bad\n0 0.5 0.5 0.2 0.2\n9 0.5 0.5 0.2 0.2\n", "b": CLEAN["b"] + "1"})
    assert found(path) == [("a.txt", 1, "error"), ("a.txt", 3, "error"), ("b.txt", 3, "error")]
    assert summary(read_spec(path))["train"].boxes == 3


def codes(path: Path, **options: int) -> list[tuple[str, str]]:
    """(code, file name) of every fault."""
    return [(fault.code, fault.path.name) for fault in lint(read_spec(path), **options)]


def test_every_code_is_explained(tmp_path):
    text = "".join(file.read_text() for file in (Path(yolo_edu.lint.__file__).parent).glob("*.py"))
    text += Path(yolo_edu.files.__file__).read_text()
    for code in CODES:
        assert text.count(f'"{code}"') >= 2, code  # once in CODES, once where it is given
    assert all(fault.code in CODES for fault in examined("aquarium5"))


def test_tiny_boxes_depend_on_the_training_size(tmp_path):
    path = make_data(tmp_path, CLEAN | {"a": "0 0.5 0.5 0.009 0.5\n"})
    assert codes(path, image_size=640) == []
    assert codes(path, image_size=320) == [("tiny-box", "a.txt")]
    found = examine(read_spec(path), 320)
    assert found.sizes["train"].pixels[0].tolist() == pytest.approx([320 * 0.009, 320 * 0.5 * 60 / 80])
    assert found.sizes["train"].small == pytest.approx(1 / 3)


def test_many_small_boxes_say_which_size_would_do(tmp_path):
    small = "".join(f"0 {0.1 + 0.08 * i:.2f} 0.1 0.015 0.2\n" for i in range(10))
    large = "".join(f"{i % 2} {0.05 + 0.017 * i:.3f} 0.5 0.03 0.1\n" for i in range(52))
    path = make_data(tmp_path, CLEAN | {"a": small + large})
    assert codes(path, image_size=640) == []  # 9.6 pixels
    (fault,) = [fault for fault in lint(read_spec(path), image_size=320) if fault.code == "small-objects"]
    assert "16% of the boxes are less than 8 pixels" in fault.message
    assert "Train at 544 or more" in fault.fix  # 8 / 0.015 = 533, and sizes are multiples of 32


def test_imbalance_tells_the_numbers(tmp_path):
    many = "".join(f"0 0.5 {0.05 + 0.017 * i:.3f} 0.5 0.05\n" for i in range(52))
    path = make_data(tmp_path, {"a": many, "b": "1 0.5 0.5 0.4 0.2\n" * 1})
    (fault,) = [fault for fault in lint(read_spec(path)) if fault.code == "imbalance"]
    assert "'cat' has 52 boxes, 'dog' 1 (52 times fewer)" in fault.message
    path = make_data(tmp_path, {"a": many, "b": "".join(f"1 0.5 {0.1 + 0.1 * i:.1f} 0.4 0.05\n" for i in range(6))})
    assert codes(path) == []  # 52 is less than ten times 6
    path = make_data(tmp_path, {"a": many[: len(many) // 2], "b": "1 0.5 0.5 0.4 0.2\n"})
    assert codes(path) == []  # too few boxes to say


def test_classes_counted_from_1(tmp_path):
    path = make_data(tmp_path, {"a": "1 0.5 0.5 0.2 0.2\n2 0.3 0.3 0.2 0.2\n"})
    assert ("counted-from-1", "data.yaml") in codes(path)
    path = make_data(tmp_path, {"a": "1 0.5 0.5 0.2 0.2\n2 0.3 0.3 0.2 0.2\n", "b": "0 0.5 0.5 0.4 0.2"})
    assert codes(path) == [("class-range", "a.txt")]


def test_a_label_file_in_other_letters(tmp_path):
    path = make_data(tmp_path, CLEAN)
    (tmp_path / "labels/train/b.txt").rename(tmp_path / "labels/train/B.TXT")
    (fault, _) = lint(read_spec(path))  # and no box of 'dog' is left
    assert (fault.code, fault.severity, fault.path.name) == ("label-suffix", "error", "B.TXT")
    assert "Rename it to b.txt" in fault.fix


def test_a_folder_of_labels_that_does_not_exist_is_one_fault(tmp_path):
    path = make_data(tmp_path, CLEAN)
    (tmp_path / "labels").rename(tmp_path / "annotations")
    assert sorted(codes(path)) == [("label-folder", "train"), ("no-boxes", "data.yaml")]
    assert "3 images" in next(f.message for f in lint(read_spec(path)) if f.code == "label-folder")


@pytest.mark.parametrize(
    ("listed", "code"),
    [
        ("cat\ndog\n", None),
        ("\ufeffcat\r\ndog\r\n\r\n", None),
        ("", None),
        ("dog\ncat\n", ("class-order", 1, "error")),
        ("cat\nbird\ndog\n", ("class-order", 2, "error")),
        ("cat\ndog\nbird\n", ("class-names", 3, "warning")),
        ("cat\n", ("class-names", 2, "warning")),
    ],
)
@pytest.mark.parametrize("folder", ["labels/train", "labels", "."])
def test_names_in_another_order(tmp_path, listed, code, folder):
    path = make_data(tmp_path, CLEAN)
    (tmp_path / folder / "classes.txt").write_bytes(listed.encode())
    faults = [(fault.code, fault.line, fault.severity) for fault in lint(read_spec(path))]
    assert faults == ([] if code is None else [code])


def test_too_many_boxes(tmp_path):
    rows = [f"0 {x / 50:.3f} {y / 20:.3f} 0.02 0.05" for x in range(1, 50) for y in range(1, 20)]
    path = make_data(tmp_path, {"a": "\n".join(rows[:300]), "b": CLEAN["b"]})
    assert ("crowded", "a.txt") not in codes(path)
    path = make_data(tmp_path, {"a": "\n".join(rows[:301]), "b": CLEAN["b"]})
    assert ("crowded", "a.txt") in codes(path)


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
    shutil.copy(tmp_path / "images/train/a.png", tmp_path / "images/test/z.png")
    (tmp_path / "labels/test").mkdir()
    (tmp_path / "labels/test/z.txt").write_text("")
    path.write_text("train: images/train\nval: nothing\nnames: [cat, dog]")
    messages = [fault.message for fault in lint(read_spec(path))]
    assert messages[0] == "the split 'val' holds no image"
    assert messages[-1] == "class 'dog' has no box in 'train'"
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
    assert (fault.code, fault.other) == ("copy-across", tmp_path / "images/train/b.png")
    assert "b.png" in fault.message
    # twice in one split
    path.write_text("train: [images/train, images/val]\nnames: [cat, dog]")
    (fault,) = lint(read_spec(path))
    assert fault[:3] == (tmp_path / "images/val/renamed.png", 0, "warning")
    assert fault.code == "copy-within"
    assert "other labels" not in fault.message
    (tmp_path / "labels/val/renamed.txt").write_text("0 0.5 0.5 0.3 0.3")
    assert "other labels" in lint(read_spec(path))[0].message
    # one folder for both splits is a decision, of which the YAML's reader speaks once
    path.write_text("train: images/train\nval: images/train\nnames: [cat, dog]")
    assert [fault.code for fault in lint(read_spec(path))] == ["yaml"]


def test_errors_come_first(tmp_path):
    path = make_data(tmp_path, {"a": None, "b": "bad", "c": CLEAN["b"]})
    assert [fault.severity for fault in lint(read_spec(path))] == ["error", "warning"]
