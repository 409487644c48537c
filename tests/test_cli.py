"""The command line: every command end to end on a tiny data set, and every mistake in one clear line."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from yolo_edu.assets import sample_data
from yolo_edu.cfg import ALIASES, MODELS
from yolo_edu.checkpoint import save_checkpoint
from yolo_edu.cli import main
from yolo_edu.course import article
from yolo_edu.fit import Spoiled
from yolo_edu.model import YOLOv5v6


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
    assert capsys.readouterr().out.strip() == (article.FOLDER / "yolov5s_printout.txt").read_text().strip()


def test_summary_table_has_the_articles_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "yolov5s", "--table"]) == 0
    ours = capsys.readouterr().out.rstrip("\n").split("\n")
    printed = (article.FOLDER / "yolov5s_parameter_table.txt").read_text().rstrip("\n").split("\n")
    assert len(ours) == len(printed) == 192
    # All but the last two columns, mean and deviation of random draws, must agree to the letter.
    assert [line[:86].split() for line in ours] == [line[:86].split() for line in printed]


def test_train_test_detect(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(folder / "garden/data.yaml")
    command = ["train", "--data", data, "--weights", str(folder / "tiny.safetensors"), "--epochs", "1"]
    command += ["--img", "64", "--batch", "3", "--project", str(tmp_path), "--name", "one", "--precision", "float32"]
    assert main(command) == 0
    out = capsys.readouterr().out
    best = tmp_path / "one/best.safetensors"
    assert str(best) in out
    assert str(tmp_path / "one/report.html") in out
    assert best.is_file()

    command = ["test", "--weights", str(best), "--data", data, "--task", "val"]
    assert main([*command, "--project", str(tmp_path / "tests"), "--name", "val"]) == 0
    assert "AP50-95" in capsys.readouterr().out
    drawn = {path.name for path in (tmp_path / "tests/val").iterdir()}
    assert drawn == {"pr_curve.png", "f1_curve.png", "confusion.png", "detections.jpg", "metrics.json"}
    assert main([*command, "--no-plots", "--project", str(tmp_path / "none")]) == 0
    assert not (tmp_path / "none").exists()

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
    assert main(["lint", "--no-pictures", str(folder / "garden/data.yaml")]) in (0, 1)
    assert "errors" in capsys.readouterr().out
    label = next((folder / "garden/labels/train").glob("*.txt"))
    before = label.read_text()
    label.write_text("7 0.5 0.5 0.1 0.1\n0,0.5,0.5,0.1,0.1\n")
    try:
        assert main(["lint", "--no-pictures", str(folder / "garden/data.yaml")]) == 1
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
        (["train", "--data", "DATA", "--epochs", "0"], "epochs must be more than 0"),
        (["train", "--data", "DATA", "--batch", "-4"], "batch must be more than 0"),
        (["train", "--data", "DATA", "--device", "abacus"], "--device abacus"),
        (["test", "--weights", "TINY", "--data", "DATA", "--device", "abacus"], "--device abacus"),
        (["train", "--data", "DATA", "--weights", "yolov5l.pt"], "AGPL-3.0"),
        (["train", "--data", "DATA", "--weights", "TINY", "--model", "yolov5s"], "not one convolution fits"),
        (["train", "--data", "DATA", "--img", "64", "100"], "multiple of 32"),
        (["train", "--data", "DATA", "--img", "64", "64", "64"], "one size, or two"),
        (["train", "--data", "DATA", "--freeze", "tail"], "neither a row number nor"),
        (["train", "--data", "DATA", "--hyp", "absent.yaml"], "cannot read the hyper-parameters"),
        (["train", "--resume", "--project", "OUT"], "no run that could be continued"),
        (["train", "--resume", "RUN", "--adam"], "--adam cannot be changed while resuming"),
        (["train", "--resume", "RUN", "--noautoanchor"], "--noautoanchor cannot be changed"),
        (["train", "--resume", "nowhere"], "not a run folder"),
        (["train", "--resume", "RUN", "--epochs", "9"], "--epochs cannot be changed while resuming"),
        (["train", "--resume", "RUN", "--img-size", "64"], "--img-size cannot be changed"),
        (["detect", "--weights", "TINY", "--source", "nowhere.jpg"], "nowhere.jpg"),
        (["garden", "--images", "0", "--out", "OUT"], "images"),
    ],
)
def test_mistakes(
    command: list[str], words: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "DATA": folder / "garden/data.yaml",
        "TINY": folder / "tiny.safetensors",
        "OUT": tmp_path / "out",
        "RUN": tmp_path / "run",
    }
    assert main([str(places.get(word, word)) for word in command]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_anchors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["anchors", str(sample_data()), "--img-size", "256", "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    before, after = (float(line.rsplit(" ", 1)[1]) for line in out.splitlines()[:2])
    assert after > before  # nine anchors for 342 boxes of cards: better than COCO's
    rows = yaml.safe_load(out[out.index("anchors:  #") :])["anchors"]
    assert [len(row) for row in rows] == [6, 6, 6]


def test_ctrl_c_before_anything_is_saved(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not there cannot be continued, and is not promised."""

    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("yolo_edu.train.choose_numerics", interrupted)
    command = ["train", "--data", str(folder / "garden/data.yaml"), "--project", str(tmp_path), "--img-size", "64"]
    assert main(command) == 130
    out = capsys.readouterr().out
    assert "nothing was saved yet" in out
    assert "--resume" not in out


def test_a_spoiled_run_is_not_to_be_resumed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(*args: object, **options: object) -> None:
        raise Spoiled("epoch 1: the loss is not a number any more")

    monkeypatch.setattr("yolo_edu.train.fit_epoch", spoiled)
    command = ["train", "--data", str(folder / "garden/data.yaml"), "--project", str(tmp_path), "--img-size", "64"]
    assert main([*command, "--precision", "float32", "--memory-format", "contiguous"]) == 2
    assert "--resume" not in capsys.readouterr().err
