"""Columns in a wrong order, found by many boxes at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_data import make_data

from yolo_edu.assets import sample_data
from yolo_edu.data import read_spec
from yolo_edu.files import LabelRow, label_path, label_rows
from yolo_edu.lint import lint
from yolo_edu.lint.order import DOUBTED, READINGS, better_order

WRITE = {
    "x1 y1 x2 y2": lambda x, y, w, h: (x - w / 2, y - h / 2, x + w / 2, y + h / 2),
    "x1 y1 w h": lambda x, y, w, h: (x - w / 2, y - h / 2, w, h),
    "x1 x2 y1 y2": lambda x, y, w, h: (x - w / 2, x + w / 2, y - h / 2, y + h / 2),
    "w h cx cy": lambda x, y, w, h: (w, h, x, y),
    "cx cy h w": lambda x, y, w, h: (x, y, h, w),
}


def real_boxes(name: str, split: str = "val") -> np.ndarray:
    """(N, 4) cxcywh of a shipped set."""
    spec = read_spec(sample_data(name))
    rows = [row for image in spec.images(split) for row in label_rows(label_path(image), 5)]
    return np.array([row.box for row in rows if isinstance(row, LabelRow)])


def test_every_reading_is_tried():
    assert WRITE.keys() == READINGS.keys()


@pytest.mark.parametrize("name", ["train_5classes.yaml", "aquarium5.yaml"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_right_labels_are_not_doubted(name, split):
    assert better_order(real_boxes(name, split), at_least=20, over=DOUBTED) is None


@pytest.mark.parametrize("order", ["x1 y1 x2 y2", "x1 y1 w h", "x1 x2 y1 y2", "w h cx cy"])
@pytest.mark.parametrize("name", ["train_5classes.yaml", "aquarium5.yaml"])
def test_real_labels_in_another_order_are_named(name, order):
    boxes = np.stack(WRITE[order](*real_boxes(name).T), axis=1)
    found = better_order(boxes, at_least=20, over=DOUBTED)
    assert found is not None
    assert found[0] == order


def test_width_and_height_exchanged_need_long_boxes():
    """Exchanged sides of boxes that touch the border stick out; of others nothing shows."""
    random = np.random.default_rng(0)
    high = random.uniform(0.6, 1, 200)
    boxes = np.stack([random.uniform(0.05, 0.95, 200), high / 2, np.full(200, 0.08), high], axis=1)
    found = better_order(boxes[:, [0, 1, 3, 2]], at_least=20, over=DOUBTED)
    assert found is not None
    assert found[0] == "cx cy h w"


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=30))
def test_any_numbers(rows):
    found = better_order(np.array(rows).reshape(-1, 4), at_least=1, over=0.0)
    assert found is None or found[0] in READINGS


def test_the_linter_names_the_split_or_the_file(tmp_path):
    boxes = np.stack(WRITE["x1 y1 x2 y2"](*real_boxes("aquarium5.yaml")[:60].T), axis=1)
    rows = [f"0 {' '.join(f'{value:.6f}' for value in box)}" for box in boxes]
    good = "0 0.5 0.5 0.2 0.2\n"
    texts = {f"i{k:02}": "\n".join(rows[6 * k : 6 * k + 6]) for k in range(10)}
    path = make_data(tmp_path / "all", texts, size=(60, 80))
    (fault,) = [fault for fault in lint(read_spec(path)) if fault.code == "column-order"]
    assert (fault.path, fault.severity) == (path, "error")
    assert "'class x1 y1 x2 y2'" in fault.message
    assert "cx = (x1 + x2) / 2" in fault.fix
    path = make_data(tmp_path / "one", {"bad": texts["i00"]} | {f"g{k:02}": good for k in range(60)}, size=(60, 80))
    (fault,) = [fault for fault in lint(read_spec(path)) if fault.code == "column-order"]
    assert (fault.path.name, fault.severity) == ("bad.txt", "warning")
