"""Names and model YAMLs: the right network, or one clear line."""

from pathlib import Path

import pytest
import torch
import yaml

from yolo_edu.cfg import MODELS, build_model, cfg_text, model_from_cfg
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


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_a_network_written_as_a_yaml_is_built_again(release: type[YOLOv5 | YOLOv5v6], tmp_path: Path) -> None:
    anchors = [[[w, 2 * w + 0.5] for w in range(8 + 40 * level, 11 + 40 * level)] for level in range(3)]
    model = release((0.67, 0.25), ["a", "b"], anchors=anchors)
    path = tmp_path / "model.yaml"
    path.write_text(cfg_text(model))
    again = model_from_cfg(path, ["a", "b"])
    assert type(again) is release
    assert [(n, x.shape) for n, x in again.state_dict().items()] == [
        (n, x.shape) for n, x in model.state_dict().items()
    ]
    assert torch.equal(again.anchors, model.anchors)


def test_the_articles_yaml_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--cfg ./models/customer_yolov5l_5classes.yaml` from any folder; a file of that name goes before it."""
    monkeypatch.chdir(tmp_path)
    path = Path("./models/customer_yolov5l_5classes.yaml")
    with torch.device("meta"):
        expected = sum(p.numel() for p in YOLOv5("l", 5).parameters())
    assert sum(p.numel() for p in model_from_cfg(path, list("abcde")).parameters()) == expected
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(official_rows(YOLOv5)))
    assert model_from_cfg(path, ["a"]).scale == (1.0, 0.25)


def test_anchors_from_coarse_to_fine_are_turned(tmp_path: Path) -> None:
    rows = YOLOv5((0.33, 0.125), 1).anchors.flatten(1).tolist()
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(official_rows(YOLOv5) | {"anchors": rows[::-1]}))
    assert model_from_cfg(path, ["a"]).anchors.flatten(1).tolist() == rows
