"""Pictures of what the linter found: which suspects are shown, and where they are marked."""

import cv2
import numpy as np
import pytest
from matplotlib.patches import Ellipse, Rectangle
from small_data import make_data

from yolo_edu.data import read_spec
from yolo_edu.lint import examine
from yolo_edu.lint import pictures as module
from yolo_edu.lint.pictures import contact_sheet, save_pictures, summary_chart, suspects

GOOD = "0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.2 0.2\n"


def found(root, **labels):
    return examine(read_spec(make_data(root, {"good": GOOD, **labels}, size=(60, 80))))


@pytest.mark.parametrize(
    ("row", "box"),
    [
        ("7 0.5 0.4 0.2 0.1", (0.5, 0.4, 0.2, 0.1)),
        ("0,0.5,0.4,0.2,0.1", (0.5, 0.4, 0.2, 0.1)),
        ("0 0,5 0,4 0,2 0,1", (0.5, 0.4, 0.2, 0.1)),
        ("0 40 30 8 6", (0.5, 0.5, 0.1, 0.1)),  # pixels of 80 × 60
        ("0 1.2 0.5 0.1 0.1", (1.2, 0.5, 0.1, 0.1)),
        ("0 0.5 0.5 0 0.1", (0.5, 0.5, 0, 0.1)),
        ("0.5 0.5 0.5 0.3 0.1", (0.5, 0.5, 0.3, 0.1)),
        ("0 0.5 0.5 0.001 0.3", (0.5, 0.5, 0.001, 0.3)),
        ("0 0.5 0.5 0.1", None),
        ("0 0.5 0.5 nan 0.1", None),
        ("0 x 0.5 0.1 0.1", None),
    ],
)
def test_the_box_of_a_row_as_far_as_its_numbers_go(tmp_path, row, box):
    (suspect,) = suspects(found(tmp_path, bad=f"\n{row}\n"))
    assert suspect.box == (pytest.approx(box) if box else None)
    assert suspect.seen.image.name == "bad.png"
    contact_sheet([suspect])


def test_a_few_of_each_kind_and_none_that_cannot_be_shown(tmp_path):
    many = "".join(f"7 0.5 0.{i} 0.2 0.2\n" for i in range(1, 10))
    make_data(tmp_path, {"good": GOOD, "a": many, "b": "0 0.5 0.5 0.001 0.3", "c": None, "gone": "7 .5 .5 .1 .1"})
    (tmp_path / "images/train/gone.png").write_bytes(b"")
    shown = suspects(examine(read_spec(tmp_path / "data.yaml")))
    codes = [suspect.fault.code for suspect in shown]
    assert codes.count("class-range") == module.EACH
    assert codes.count("tiny-box") == codes.count("no-label-file") == 1
    assert codes[0] == "class-range"
    assert "image-empty" not in codes
    assert not [suspect for suspect in shown if suspect.seen.image.name == "gone.png"]


def test_the_mark_lies_on_the_box(tmp_path):
    (suspect,) = suspects(found(tmp_path, bad="7 0.5 0.4 0.2 0.1\n0 0.2 0.2 0.1 0.2\n"))
    figure = contact_sheet([suspect])
    picture = figure.axes[0]
    marks = {tuple(np.round(p.get_bbox().extents, 3)): p for p in picture.patches if isinstance(p, Rectangle)}
    thick = marks[32, 21, 48, 27]  # 0.5 ± 0.1 of 80 and 0.4 ± 0.05 of 60
    thin = marks[12, 6, 20, 18]
    assert thick.get_linewidth() > thin.get_linewidth()
    assert thick.get_linestyle() != thin.get_linestyle()  # not told by color alone
    words = "\n".join(text.get_text() for text in figure.axes[1].texts)
    assert "error: class-range" in words
    assert "bad.txt:1" in words
    assert "class 7" in words


def test_a_speck_gets_a_ring(tmp_path):
    (suspect,) = suspects(found(tmp_path, bad="0 0.5 0.5 0.002 0.002\n"))
    assert [p for p in contact_sheet([suspect]).axes[0].patches if isinstance(p, Ellipse)]


def test_what_lies_outside_is_shown(tmp_path):
    (suspect,) = suspects(found(tmp_path, bad="0 0 0.5 0.2 0.2\n"))
    low, high = contact_sheet([suspect]).axes[0].get_xlim()
    assert low < -8  # the box reaches 8 pixels over the left border
    assert high > 80


def test_copies_stand_side_by_side(tmp_path):
    make_data(tmp_path, {"a": GOOD, "b": GOOD}, size=(60, 80))
    image = cv2.imread(str(tmp_path / "images/train/a.png"))
    cv2.imwrite(str(tmp_path / "images/train/c.png"), image)
    (tmp_path / "labels/train/c.txt").write_text(GOOD)
    (suspect,) = suspects(examine(read_spec(tmp_path / "data.yaml")))
    shown = np.asarray(contact_sheet([suspect]).axes[0].images[0].get_array())
    assert shown.shape[1] > 2 * 80
    assert np.array_equal(shown[:, :80], shown[:, -80:])


def test_sheets_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EACH", 99)
    monkeypatch.setattr(module, "SHEETS", 1)
    monkeypatch.setattr(module, "DPI", 40)
    result = found(tmp_path, bad="".join(f"7 0.5 0.{i} 0.2 0.2\n" for i in range(10, 40)))
    (tmp_path / "out").mkdir()
    written = save_pictures(tmp_path / "out", result)
    assert [path.name for path in written] == ["summary.png", "suspects1.jpg"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["summary.png", "suspects1.jpg"]


def test_the_chart_counts(tmp_path):
    result = found(tmp_path, more="1 0.5 0.5 0.4 0.4\n1 0.2 0.2 0.2 0.2\n")
    bars, sizes = summary_chart(result).axes
    assert [patch.get_width() for patch in bars.patches] == [3, 1]  # dog, cat: the most frequent first
    assert [label.get_text() for label in bars.get_yticklabels()] == ["dog", "cat"]
    assert sum(sizes.patches[0].get_data().values) == pytest.approx(100)  # per cent


def test_charts_of_nothing_and_of_many_classes(tmp_path):
    path = make_data(tmp_path, {"a": ""}, size=(60, 80))
    summary_chart(examine(read_spec(path)))
    names = ", ".join(f"'$class{k}$'" for k in range(80))
    path.write_text(f"train: images/train\nnames: [{names}]\n")
    bars, _ = summary_chart(examine(read_spec(path))).axes
    assert len(bars.get_yticklabels()) == module.NAMED
