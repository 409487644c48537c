"""`yolo-edu anchors`: what it prints, what it writes, and that `train --cfg` can use it."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_data import make_data

from yolo_edu.anchors import AnchorFit, default_anchors, evolve, fit
from yolo_edu.cfg import model_from_cfg
from yolo_edu.cli import main
from yolo_edu.commands.anchors import rounded, verdict
from yolo_edu.data import DetectionData, read_spec


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images of 40 × 30 with 15 long, flat boxes each, of which COCO's anchors take few."""
    rows = "".join(f"{n % 2} 0.5 {0.05 + n * 0.06:.2f} {0.5 + 0.03 * n:.2f} 0.02\n" for n in range(15))
    return make_data(tmp_path / "set", {"a": rows, "b": rows})


def anchors(*words: str) -> int:
    return main(["anchors", *words, "--img-size", "320", "--generations", "20"])


def test_everything_is_written(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = tmp_path / "new.yaml"
    command = [
        str(data),
        "--output",
        str(tmp_path / "out"),
        "--write-cfg",
        str(cfg),
        "--model",
        "yolov5s",
        "--seed",
        "3",
    ]
    assert anchors(*command) == 0
    out = capsys.readouterr().out
    content = json.loads((tmp_path / "out/anchors.json").read_text())
    assert content["boxes"] == 30
    assert content["verdict"] in out
    sizes = DetectionData(read_spec(data), "train", 320).box_sizes()
    model = model_from_cfg(cfg, ["cat", "dog"])
    assert model.release == "yolov5"
    assert torch.equal(model.anchors, rounded(evolve(sizes, generations=20, seed=3)))
    for name, shapes in (("default", default_anchors()), ("searched", model.anchors)):
        own = content[name]
        assert torch.tensor(own["anchors"]).reshape(3, 3, 2).tolist() == shapes.tolist()
        judged = fit(sizes, shapes)
        assert [own[key] for key in AnchorFit._fields] == pytest.approx(list(judged))
        assert sum(own["nearest"]) == pytest.approx(1)
        assert sum(own["takes"]) == pytest.approx(judged.anchors_above_threshold)
    assert content["verdict"].startswith("change the anchors")
    with Image.open(tmp_path / "out/anchors.png") as picture:
        assert picture.width > 800
    # What is there is not overwritten: another folder, and the model YAML is refused before the search.
    assert anchors(*command[:3]) == 0
    assert (tmp_path / "out2/anchors.json").is_file()
    assert anchors(*command) == 2
    assert f"{cfg}: exists already" in capsys.readouterr().err
    assert not (tmp_path / "out3").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", "1"], "--threshold 1: it is a factor between sizes and must be above 1"),
        (["--threshold", "nan"], "must be above 1"),
        (["--split", "test"], "no split 'test'"),
        (["--model", "yolov9"], "'yolov9' is no model"),
        (["--write-cfg", "no/such/folder/a.yaml"], "its folder does not exist"),
    ],
)
def test_bad_input(
    data: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert anchors(str(data), "--output", str(tmp_path / "out"), *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_few_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_data(tmp_path / "set", {"a": "0 0.5 0.5 0.2 0.2\n" * 5 + "0 0.5 0.5 0.0001 0.0001\n" * 9})
    assert anchors(str(path), "--output", str(tmp_path / "out")) == 2
    assert "5 boxes of 2 pixels or more in 'train' are too few for nine anchors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.98, 1.0, "keep the default anchors: they take 98.0 %"),
        (0.97, 0.99, "change the anchors: the default ones take only 97.0 % of the boxes, the searched ones 99.0 %"),
        (0.97, 0.97, "no better ones were found"),
    ],
)
def test_the_verdict_is_the_rule_of_training(before: float, after: float, words: str) -> None:
    assert words in verdict(AnchorFit(before, 1, 0.5), AnchorFit(after, 1, 0.9))


def test_rounding() -> None:
    assert rounded(torch.tensor([2.04, 9.96, 10.4, 99.5])).tolist() == pytest.approx([2.0, 10.0, 10, 100])
