"""Before the first step: classes and anchors."""

from pathlib import Path

import pytest
import torch
from small_data import make_data

from yolo_edu.anchors import fit
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.errors import UserError
from yolo_edu.model import YOLOv5
from yolo_edu.start import check_classes, fit_anchors


def slivers(folder: Path) -> DetectionData:
    """Boxes that no default anchor fits at 128 px: 100 wide and 3 high, or the other way round."""
    rows = "".join(f"0 0.5 {0.1 * i:.1f} {0.7 + 0.02 * i:.2f} 0.03\n" for i in range(1, 9))
    return DetectionData(read_spec(make_data(folder, {str(i): rows for i in range(4)}, (128, 128))), "train", 128)


def test_classes_must_agree(tmp_path: Path) -> None:
    check_classes(YOLOv5((0.33, 0.125), 2), ["a", "b"], tmp_path)
    with pytest.raises(UserError, match=r"knows 3 classes, .*data\.yaml has 2 \(a, b\)"):
        check_classes(YOLOv5((0.33, 0.125), 3), ["a", "b"], tmp_path / "data.yaml")


def test_anchors_that_fit_nothing_are_replaced(tmp_path: Path) -> None:
    data, model = slivers(tmp_path), YOLOv5((0.33, 0.125), 2)
    before = fit(data.box_sizes(), model.anchors)
    said = fit_anchors(model, data, 4.0, 0, progress=False)
    after = fit(data.box_sizes(), model.anchors)
    assert before.best_possible_recall < 0.5 < 0.98 < after.best_possible_recall
    assert "new ones" in said
    assert f"{after.best_possible_recall:.3f}" in said
    assert "--noautoanchor" in said


def test_anchors_that_fit_stay_to_the_bit(tmp_path: Path) -> None:
    rows = "0 0.5 0.5 0.25 0.25\n"
    data = DetectionData(read_spec(make_data(tmp_path, {"a": rows}, (128, 128))), "train", 128)
    model = YOLOv5((0.33, 0.125), 2)
    before = model.detect.anchors.clone()
    assert "kept" in fit_anchors(model, data, 4.0, 0, progress=False)
    assert torch.equal(model.detect.anchors, before)


def test_no_boxes_no_judgment(tmp_path: Path) -> None:
    data = DetectionData(read_spec(make_data(tmp_path, {"a": ""}, (64, 64))), "train", 64)
    assert "no boxes" in fit_anchors(YOLOv5((0.33, 0.125), 2), data, 4.0, 0, progress=False)


def test_without_a_cache_only_some_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(tmp_path, {f"{i:02d}": "0 0.5 0.5 0.5 0.5\n" for i in range(20)})
    data = DetectionData(read_spec(tmp_path / "data.yaml"), "train", 64, cache=False)
    opened = []
    load = data._load
    monkeypatch.setattr(data, "_load", lambda path: (opened.append(path), load(path))[1])
    assert len(data.box_sizes(5)) == 5
    assert len(opened) == 5
    assert len(data.box_sizes()) == 20
