"""Checkpoints: ours round-trip, official ones load, everything else is refused in one clear line."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from safetensors.torch import save_file

import yolo_edu
from yolo_edu import checkpoint, official
from yolo_edu.checkpoint import load_state, read_metadata, save_checkpoint, write_atomically
from yolo_edu.errors import UserError
from yolo_edu.model import YOLOv5, YOLOv5v6

NAMES = ["ace", "jack", "king", "queen", "ten"]


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_round_trip(release: type[YOLOv5 | YOLOv5v6], tmp_path: Path) -> None:
    torch.manual_seed(0)
    anchors = (torch.arange(18).reshape(3, 3, 2) + 8).tolist()
    model = release((0.33, 0.125), NAMES, anchors=anchors, bn_eps=1e-5).eval()
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model, {"map50": 0.5})
    again = yolo_edu.load_checkpoint(path)
    assert type(again) is release
    assert again.names == tuple(NAMES)
    assert not again.training
    assert read_metadata(path) == {"map50": 0.5}
    torch.testing.assert_close(again.anchors, model.anchors)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for a, b in zip(again(images), model(images), strict=True):
            assert torch.equal(a, b)


def test_half_is_half_the_size(tmp_path: Path) -> None:
    model = YOLOv5v6((0.33, 0.125), 5)
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_checkpoint(full, model)
    save_checkpoint(half, model, half=True)
    assert half.stat().st_size < 0.55 * full.stat().st_size
    assert all(p.dtype == torch.float32 for p in yolo_edu.load_checkpoint(half).parameters())


@pytest.mark.parametrize("version", [1, 7])
def test_official_checkpoint(version: int) -> None:
    model = yolo_edu.load_checkpoint(GOLDEN / f"ckpt_v{version}.pt")
    assert model.release == ("yolov5" if version == 1 else "yolov5v6")
    assert sorted(model.names) == sorted(NAMES)
    with np.load(GOLDEN / f"forward_v{version}.npz") as golden:
        images = torch.from_numpy(golden["images"])
        with torch.no_grad():
            raw = model(images)
        for name, x in zip(("raw_p3", "raw_p4", "raw_p5"), raw, strict=True):
            torch.testing.assert_close(x, torch.from_numpy(golden[name]), rtol=1e-4, atol=1e-4)


class Bomb:
    """What a hostile file holds: a call that runs when the pickle is opened."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_is_refused_and_not_run(zipped: bool, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "hostile.pt"
    torch.save({"model": Bomb(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"hostile\.pt: refused.*executed"):
        yolo_edu.load_checkpoint(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the bomb is real: the ordinary loader sets it off
    assert marker.exists()


def test_a_bare_hostile_pickle_is_refused(tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "bare.pt"
    path.write_bytes(pickle.dumps({"model": Bomb(marker)}))
    with pytest.raises(UserError, match=r"bare\.pt"):
        yolo_edu.load_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("source", ["ckpt_v1.pt", "ckpt_v7.pt"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(source: str, keep: float, tmp_path: Path) -> None:
    data = (GOLDEN / source).read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UserError, match=r"cut\.pt"):
        yolo_edu.load_checkpoint(path)


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_safetensors_file_is_refused(keep: float, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    save_checkpoint(path, YOLOv5v6((0.33, 0.125), 5))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UserError, match=r"cut\.safetensors"):
        yolo_edu.load_checkpoint(path)


@pytest.mark.parametrize("text", ["", "hello\n", "model: yolov5s\n" * 1000])
def test_a_text_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.pt"
    path.write_text(text)
    with pytest.raises(UserError, match=r"notes\.pt"):
        yolo_edu.load_checkpoint(path)


def test_other_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        yolo_edu.load_checkpoint(tmp_path / "absent.pt")
    with pytest.raises(UserError, match="is a folder"):
        yolo_edu.load_checkpoint(tmp_path)
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(UserError, match="holds Tensor"):
        yolo_edu.load_checkpoint(tmp_path / "tensor.pt")
    torch.save({"model": {"weight": torch.zeros(3)}}, tmp_path / "plain.pt")
    with pytest.raises(UserError, match="no 'model' inside"):
        yolo_edu.load_checkpoint(tmp_path / "plain.pt")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    import torchvision

    torch.save({"model": torchvision.models.resnet18()}, tmp_path / "resnet.pt")
    with pytest.raises(UserError, match=r"resnet\.pt: refused.*ResNet"):
        yolo_edu.load_checkpoint(tmp_path / "resnet.pt")
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not one of ours"):
        yolo_edu.load_checkpoint(tmp_path / "other.safetensors")


def test_official_names_of_another_network_are_refused(tmp_path: Path) -> None:
    """Only known class names inside, but a layer is gone."""
    content = load_state(GOLDEN / "ckpt_v7.pt", shells=True)
    del content["model"]._modules["model"]._modules["13"]
    description, state = official.read_official(content, tmp_path / "thin.pt")
    model = checkpoint.build(description)
    with pytest.raises(UserError, match=r"another architecture: it lacks model\.13"):
        checkpoint._fill(model, state, tmp_path / "thin.pt")


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_text("old")

    def fail(file: Path) -> None:
        file.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"weights\.safetensors: cannot write.*space"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]
    shutil.rmtree(tmp_path)
    with pytest.raises(UserError, match="cannot write"):
        save_checkpoint(path, YOLOv5v6((0.33, 0.125), 5))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"format": checkpoint.FORMAT}, "no readable 'model'"),
        ({"format": checkpoint.FORMAT, "model": "{"}, "no readable 'model'"),
        ({"format": checkpoint.FORMAT, "model": "[]"}, "no readable 'model'"),
        ({"format": checkpoint.FORMAT, "model": '{"release": "yolov9"}'}, "describes no network of ours"),
        ({"format": checkpoint.FORMAT, "model": '{"release": "yolov5"}'}, "describes no network of ours"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(header: dict[str, str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"weight": torch.zeros(3)}, path, header)
    with pytest.raises(UserError, match=words):
        yolo_edu.load_checkpoint(path)


@pytest.mark.parametrize("content", [{}, {"description": 3, "ema": {}}, {"description": {}, "ema": [1]}])
def test_a_training_state_that_makes_no_sense_is_refused(content: dict[str, object], tmp_path: Path) -> None:
    torch.save({"format": checkpoint.FORMAT, **content}, tmp_path / "odd.pt")
    with pytest.raises(UserError, match=r"odd\.pt"):
        yolo_edu.load_checkpoint(tmp_path / "odd.pt")


def test_weights_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    model = YOLOv5v6((0.33, 0.125), 5)
    state: dict[str, object] = dict(model.state_dict())
    state["model.0.conv.weight"] = "boo"
    torch.save(
        {"format": checkpoint.FORMAT, "description": checkpoint.describe(model), "ema": state}, tmp_path / "s.pt"
    )
    with pytest.raises(UserError, match="something else than tensors"):
        yolo_edu.load_checkpoint(tmp_path / "s.pt")
