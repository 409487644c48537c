"""`yolo-edu export`, and `detect` and `test` with what it wrote, as a user runs them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from exported import NAMES, tiny

from yolo_edu import cli
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import save_checkpoint
from yolo_edu.commands import export
from yolo_edu.data import read_spec

pytest.importorskip("onnxscript", reason="onnxscript comes with the extra `dev`")
pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra `dev`")


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "export", export)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "tiny.safetensors", tiny(), {"image_size": 64})
    return tmp_path / "tiny.safetensors"


def test_the_cards_detector_finds_the_same_as_onnx(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, photos = tmp_path / "cards.safetensors", tmp_path / "photos"
    shutil.copy(shipped_weights("cards_n"), weights)
    photos.mkdir()
    for photo in read_spec(sample_data()).images("val")[:6]:
        shutil.copy(photo, photos)
    assert cli.main(["export", "--weights", str(weights), "--fixed"]) == 0
    exported = weights.with_suffix(".onnx")
    out = capsys.readouterr().out
    for words in (str(exported), "MB", "pixels", "probabilities", "detect --weights", "(B, 3, 256, 256)", "(B, N, 10)"):
        assert words in out
    found = []
    for path in (weights, exported):
        output = tmp_path / path.suffix[1:]
        assert cli.main(["detect", "--weights", str(path), "--source", str(photos), "--output", str(output)]) == 0
        found.append(json.loads((output / "detections.json").read_text())["images"])
    assert sum(len(image["labels"]) for image in found[0]) >= 6
    for ours, theirs in zip(*found, strict=True):
        assert ours["labels"] == theirs["labels"]
        for key, tolerance in (("boxes", 0.011), ("scores", 1.1e-4)):  # a digit of rounding on top
            torch.testing.assert_close(
                torch.tensor(theirs[key]), torch.tensor(ours[key]), rtol=0, atol=tolerance, check_dtype=False
            )
    capsys.readouterr()
    tables = []
    for path in (weights, exported):
        assert cli.main(["test", "--weights", str(path), "--no-plots"]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0].splitlines()[:3] == tables[1].splitlines()[:3]
    for option, words in ((["--img-size", "320"], "256 × 256"), (["--device", "meta"], "--device meta")):
        command = ["detect", "--weights", str(exported), "--source", str(photos), "--output", str(tmp_path / "no")]
        assert cli.main([*command, *option]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_torch(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", "--weights", str(weights), "--format", "torch", "--half", "--img-size", "96", "--fixed"]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    exported = weights.with_suffix(".pt2")
    for words in (str(exported), "float16 changed", "torch.export.load", "(B, 3, 96, 96)"):
        assert words in out
    network = torch.export.load(exported).module()
    assert network(torch.rand(2, 3, 96, 96)).shape[::2] == (2, 5 + len(NAMES))
    assert cli.main(["detect", "--weights", str(exported), "--source", "nowhere.jpg"]) == 2
    assert "torch.export.load" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--weights", "absent.safetensors"], "absent.safetensors: no such file"),
        (["--output", "model.txt"], "must end in .onnx"),
        (["--format", "torch", "--output", "model.onnx"], "must end in .pt2"),
        (["--output", "nowhere/model.onnx"], "there is no folder nowhere"),
        (["--img-size", "100"], "multiple of 32"),
        (["--weights", "model.onnx", "--output", "other.onnx"], "exported already"),
    ],
)
def test_mistakes(options: list[str], words: str, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "--weights", str(weights), *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert list(weights.parent.iterdir()) == [weights]
