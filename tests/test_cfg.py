"""Names and model YAMLs: the right network, or one clear line."""

from pathlib import Path

import pytest
import yaml

from yolo_edu.cfg import MODELS, build_model, model_from_cfg
from yolo_edu.errors import UserError
from yolo_edu.model import YOLOv5, YOLOv5v6


def official_rows(release: type[YOLOv5 | YOLOv5v6]) -> dict[str, object]:
    rows = [[-1, 1, type(row).__name__, []] for row in release((0.33, 0.125), 1).model]
    return {"nc": 80, "depth_multiple": 1.0, "width_multiple": 0.25, "backbone": rows[:10], "head": rows[10:]}


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_a_model_yaml_picks_the_release(release: type[YOLOv5 | YOLOv5v6], tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    anchors = [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 300]]
    path.write_text(yaml.safe_dump(official_rows(release) | {"anchors": anchors}))
    model = model_from_cfg(path, ["a", "b"])
    assert type(model) is release
    assert model.names == ("a", "b")
    assert model.scale == (1.0, 0.25)
    assert model.anchors[2, 2].tolist() == [373, 300]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("depth_multiple: 1\n", "not a model YAML"),
        ("- 1\n", "not a model YAML"),
        ("depth_multiple: 1\nwidth_multiple: 1\nbackbone: [[-1, 1, Swin, []]]\nhead: []\n", "not one of the two"),
        ("{", "not a model YAML"),
    ],
)
def test_other_model_yamls(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        model_from_cfg(path, ["a"])
    with pytest.raises(UserError, match="cannot read"):
        model_from_cfg(tmp_path / "absent.yaml", ["a"])


def test_names_on_the_command_line() -> None:
    assert build_model("yolov5n", 5).release == "yolov5v6"
    assert build_model("yolov5s", 5).release == "yolov5"
    assert len(MODELS) == 9
