"""The command line: every command end to end on a tiny data set, and every mistake in one clear line."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from conftest import GOLDEN

from yolo_edu.checkpoint import save_checkpoint
from yolo_edu.cli import ALIASES, MODELS, build_model, main, model_from_cfg
from yolo_edu.errors import UserError
from yolo_edu.model import YOLOv5, YOLOv5v6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli")
    assert main(["garden", "--images", "6", "--out", str(root / "garden"), "--size", "96"]) == 0
    names = yaml.safe_load((root / "garden/data.yaml").read_text())["names"]
    torch.manual_seed(0)
    save_checkpoint(root / "tiny.safetensors", YOLOv5v6((0.33, 0.125), names), {"image_size": 64})
    return root


@pytest.mark.parametrize("name", [*ALIASES, *MODELS])
def test_summary_of_every_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", name, "--layers", "--classes", "5", "--img-size", "64"]) == 0
    assert "GFLOPs" in capsys.readouterr().out


def test_summary_printout_is_the_articles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "yolov5s", "--printout"]) == 0
    assert capsys.readouterr().out.strip() == (GOLDEN / "yolov5s_printout.txt").read_text().strip()


def test_summary_table_has_the_articles_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "yolov5s", "--table"]) == 0
    ours = capsys.readouterr().out.rstrip("\n").split("\n")
    article = (GOLDEN / "yolov5s_parameter_table.txt").read_text().rstrip("\n").split("\n")
    assert len(ours) == len(article) == 192
    # All but the last two columns, mean and deviation of random draws, must agree to the letter.
    assert [line[:86].split() for line in ours] == [line[:86].split() for line in article]


def test_train_test_detect(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(folder / "garden/data.yaml")
    command = ["train", "--data", data, "--weights", str(folder / "tiny.safetensors"), "--epochs", "1"]
    command += ["--img", "64", "--batch", "3", "--project", str(tmp_path), "--name", "one", "--precision", "float32"]
    assert main(command) == 0
    out = capsys.readouterr().out
    best = tmp_path / "one/best.safetensors"
    assert str(best) in out
    assert "detections.png" in out
    assert best.is_file()

    assert main(["test", "--weights", str(best), "--data", data, "--task", "val"]) == 0
    assert "AP50-95" in capsys.readouterr().out

    source, output = folder / "garden/images/val", tmp_path / "found"
    assert main(["detect", "--weights", str(best), "--source", str(source), "--output", str(output)]) == 0
    pictures = sorted(source.glob("*.jpg"))
    written = {path.name for path in output.rglob("*")}
    assert {picture.name for picture in pictures} <= written
    (found,) = output.glob("*.json")
    assert len(json.loads(found.read_text())["images"]) == len(pictures)

    assert main(["train", "--resume", str(tmp_path / "one")]) == 0  # finished already: measured again
    assert "best weights" in capsys.readouterr().out


def test_lint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(folder / "garden/data.yaml")]) in (0, 1)
    assert "errors" in capsys.readouterr().out
    label = next((folder / "garden/labels/train").glob("*.txt"))
    before = label.read_text()
    label.write_text("7 0.5 0.5 0.1 0.1\n0,0.5,0.5,0.1,0.1\n")
    try:
        assert main(["lint", str(folder / "garden/data.yaml")]) == 1
    finally:
        label.write_text(before)
    out = capsys.readouterr().out
    assert f"{label.name}:1" in out
    assert f"{label.name}:2" in out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["summary", "yolov9"], "is no model"),
        (["test", "--weights", "absent.pt"], "no such file"),
        (["train", "--data", "absent.yaml"], "absent.yaml"),
        (["train", "--data", "DATA", "--img", "100"], "multiple of 32"),
        (["train", "--data", "DATA", "--weights", "OFFICIAL80"], "knows"),
        (["train", "--resume", "nowhere"], "not a run folder"),
        (["detect", "--weights", "TINY", "--source", "nowhere.jpg"], "nowhere.jpg"),
        (["garden", "--images", "0", "--out", "OUT"], "images"),
    ],
)
def test_mistakes(
    command: list[str], words: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "other.safetensors", YOLOv5v6((0.33, 0.125), 3))
    places = {
        "DATA": folder / "garden/data.yaml",
        "OFFICIAL80": tmp_path / "other.safetensors",
        "TINY": folder / "tiny.safetensors",
        "OUT": tmp_path / "out",
    }
    assert main([str(places.get(word, word)) for word in command]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


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
