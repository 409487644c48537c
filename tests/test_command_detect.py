"""`yolo-edu detect` with the flags of the article's era, as a user calls it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import save_checkpoint
from yolo_edu.cli import main
from yolo_edu.commands.detect import class_numbers
from yolo_edu.data import read_spec
from yolo_edu.errors import UserError
from yolo_edu.model import YOLOv5v6
from yolo_edu.nms import Detections
from yolo_edu.predict import Results

CARDS = str(shipped_weights("cards_n"))
NAMES = ["ten", "jack", "queen", "king", "ace"]
PHOTO = read_spec(sample_data()).images("val")[0]


def run(out: Path, *flags: str, source: object = PHOTO) -> int:
    return main(["detect", "--weights", CARDS, "--source", str(source), "--output", str(out), *flags])


def found(out: Path) -> dict[str, Any]:
    return json.loads((out / "detections.json").read_text())


def test_every_flag_of_the_article(tmp_path: Path) -> None:
    """Together, as they stand in the reference, --view-img excepted, which no headless OpenCV can do."""
    flags = "--img-size 288 --conf-thres 0.4 --iou-thres 0.5 --classes 0 1 2 3 4 --agnostic-nms --save-txt --augment"
    assert run(tmp_path / "all", *flags.split()) == 0
    (image,) = found(tmp_path / "all")["images"]
    assert image["boxes"]
    assert min(image["scores"]) >= 0.4
    rows = [line.split() for line in (tmp_path / f"all/labels/{PHOTO.stem}.txt").read_text().splitlines()]
    assert [int(row[0]) for row in rows] == image["labels"]
    assert {len(row) for row in rows} == {5}


def test_flags_change_what_is_found(tmp_path: Path) -> None:
    """Each does something: the settings that reach suppression, and the views of augmentation."""
    seen = []

    def spy(name: str, *flags: str) -> dict[str, Any]:
        assert run(tmp_path / name, *flags) == 0
        seen.append(name)
        return found(tmp_path / name)["images"][0]

    plain = spy("plain", "--conf-thres", "0.1")
    labels = set(plain["labels"])
    assert labels
    assert spy("augment", "--conf-thres", "0.1", "--augment")["scores"] != plain["scores"]
    assert spy("size", "--conf-thres", "0.1", "--img-size", "320")["scores"] != plain["scores"]
    one = NAMES[plain["labels"][0]]
    assert set(spy("class", "--conf-thres", "0.1", "--classes", one.upper())["labels"]) == {plain["labels"][0]}
    everything = spy("iou", "--conf-thres", "0.1", "--iou-thres", "1")
    assert len(everything["labels"]) > len(plain["labels"])
    text = tmp_path / "text"
    assert run(text, "--no-save-txt") == 0
    assert not (text / "labels").exists()
    assert run(tmp_path / "conf", "--save-conf") == 0
    (row, *_) = (tmp_path / f"conf/labels/{PHOTO.stem}.txt").read_text().splitlines()
    assert len(row.split()) == 6


def test_agnostic_nms_reaches_suppression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def nms(rows: torch.Tensor, **options: Any) -> list[Detections]:
        asked.append(options)
        return [Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))]

    monkeypatch.setattr("yolo_edu.evaluate.nms", nms)
    run(tmp_path / "a")
    run(tmp_path / "b", "--agnostic-nms", "--iou-thres", "0.5", "--conf-thres", "0.4", "--classes", "king", "0")
    assert [(o["agnostic"], o["iou"], o["confidence"], o["classes"]) for o in asked] == [
        (False, 0.45, 0.25, None),
        (True, 0.5, 0.4, [3, 0]),
    ]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["0", "4"], [0, 4]),
        (["king", "QUEEN"], [3, 2]),
        (["king", "0"], [3, 0]),
    ],
)
def test_class_numbers(words: list[str], numbers: list[int]) -> None:
    assert class_numbers(words, NAMES) == numbers


def test_names_that_are_hard_to_tell() -> None:
    assert class_numbers(["Cat", "cat", "CAT"], ["cat", "Cat"]) == [1, 0, 0]  # as written; else the first
    assert class_numbers(["1", "7"], ["1", "7"]) == [1, 1]  # a number first, a name only where it is none
    assert class_numbers(["ice bear"], ["fox", "Ice Bear"]) == [1]


@pytest.mark.parametrize("word", ["joker", "5", "-1", "", "1.0"])
def test_unknown_class(word: str) -> None:
    with pytest.raises(UserError, match=f"--classes {word}: .* 0 ten, 1 jack, 2 queen, 3 king, 4 ace"):
        class_numbers([word], NAMES)


def test_unreadable_files_end_with_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    data = PHOTO.read_bytes()
    for name, content in (("a.jpg", b""), ("b.jpg", data), ("c.jpg", data[:999]), ("d.png", b"text"), ("e.jpg", data)):
        (photos / name).write_bytes(content)
    assert run(tmp_path / "out", source=photos) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-4] == "3 file(s) could not be read:"
    assert [Path(line.split(":")[0]).name for line in out[-3:]] == ["a.jpg", "c.jpg", "d.png"]
    assert [Path(image["file"]).name for image in found(tmp_path / "out")["images"]] == ["b.jpg", "e.jpg"]


def test_exit_status_of_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = Results(tmp_path, 3, {}, ("a.jpg: broken",), True)
    monkeypatch.setattr("yolo_edu.commands.detect.predict", lambda *args, **options: stopped)
    assert run(tmp_path / "out") == 130


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, words in (
        (["--view-img"], "no live window"),
        (["--classes", "joker"], "It knows: 0 ten"),
        (["--img-size", "100"], "multiple of 32"),
        (["--iou-thres", "45"], "iou is 45"),
    ):
        assert run(tmp_path / "out", *flags) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_any_weights(tmp_path: Path) -> None:
    """Nothing depends on the cards: two classes, another size, augmentation of a network that saw nothing yet."""
    torch.manual_seed(0)
    weights = tmp_path / "tiny.safetensors"
    save_checkpoint(weights, YOLOv5v6((0.33, 0.125), ["a", "b"]), {"image_size": 64})
    command = ["detect", "--weights", str(weights), "--source", str(PHOTO), "--output", str(tmp_path / "out")]
    assert main([*command, "--conf-thres", "0", "--augment", "--classes", "b"]) == 0
    assert set(found(tmp_path / "out")["images"][0]["labels"]) == {1}
