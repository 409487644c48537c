"""An exported file as a detector: the same rows, and every other file refused in one clear line."""

import json
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from exported import NAMES, SIZE, onnx_bytes, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_edu.errors import UserError
from yolo_edu.evaluate import detect
from yolo_edu.onnx_model import FORMAT, OnnxDetector

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra `dev`")
pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra `dev`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    (folder / "fixed.onnx").write_bytes(onnx_bytes(fixed=True))
    return folder


def changed(path: Path, **properties: str | None) -> Path:
    """The exported file with other metadata; None: without that one."""
    proto = onnx.load_from_string(onnx_bytes(fixed=True))
    said = {entry.key: entry.value for entry in proto.metadata_props} | properties
    del proto.metadata_props[:]
    for key, value in said.items():
        if value is not None:
            proto.metadata_props.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())
    return path


def test_it_takes_a_detectors_place(folder: Path) -> None:
    model, exported = tiny(), OnnxDetector(folder / "fixed.onnx")
    assert (exported.names, exported.classes, exported.strides) == (NAMES, 3, model.strides)
    assert exported.device == torch.device("cpu")
    assert (exported.image_size, exported.fixed_size, exported.release) == (SIZE, (SIZE, SIZE), "yolov5v6")
    assert exported.metadata == {"epoch": 3}
    generator = torch.Generator().manual_seed(0)
    photos = [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in ((90, 70), (50, 96))
    ]
    for ours, theirs in zip(*(detect(m, photos, size=SIZE, confidence=0.008) for m in (model, exported)), strict=True):
        assert len(ours.boxes) > 3
        torch.testing.assert_close(theirs.boxes, ours.boxes, rtol=0, atol=0.01)
        torch.testing.assert_close(theirs.scores, ours.scores, rtol=0, atol=1e-4)
        assert torch.equal(theirs.labels, ours.labels)


def test_another_size_than_the_fixed_one(folder: Path) -> None:
    with pytest.raises(UserError, match=r"fixed\.onnx: .*--fixed for 96 × 96 .* take 160 × 64"):
        OnnxDetector(folder / "fixed.onnx").rows(torch.zeros(1, 3, 64, 160))


def test_what_onnxruntime_refuses_is_said(folder: Path) -> None:
    with pytest.raises(UserError, match=r"fixed\.onnx: ONNX Runtime failed"):
        OnnxDetector(folder / "fixed.onnx").rows(torch.zeros(1, 4, SIZE, SIZE))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        OnnxDetector(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match="is a folder"):
        OnnxDetector(tmp_path)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.99, 0.9999])
def test_a_truncated_file_is_refused(keep: float, tmp_path: Path) -> None:
    data = onnx_bytes(fixed=True)
    (tmp_path / "cut.onnx").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UserError, match=r"cut\.onnx: "):
        OnnxDetector(tmp_path / "cut.onnx")


@settings(max_examples=30)
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "odd.onnx"
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"odd\.onnx: ONNX Runtime cannot load it"):
            OnnxDetector(path)


def test_a_foreign_network_is_refused(tmp_path: Path) -> None:
    helper = onnx.helper
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "foreign", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match=r"foreign\.onnx: .*none that `yolo-edu export` wrote"):
        OnnxDetector(tmp_path / "foreign.onnx")
    # It only says that it is one of ours.
    truth = {"format": FORMAT, "names": '["a"]', "strides": "[8]", "release": "x", "image_size": "64", "metadata": "{}"}
    for key, value in truth.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, tmp_path / "liar.onnx")
    with pytest.raises(UserError, match=r"liar\.onnx: damaged metadata \(its input is not images"):
        OnnxDetector(tmp_path / "liar.onnx")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", None, "none that `yolo-edu export` wrote"),
        ("format", "yolo_edu onnx 99", "none that `yolo-edu export` wrote"),
        ("names", None, "lacks 'names'"),
        ("names", "{", "damaged metadata"),
        ("names", "[]", "no list of class names"),
        ("names", "[1, 2, 3]", "no list of class names"),
        ("names", '["a", "b"]', "its first output is not rows, float32"),
        ("names", "[" * 100_000, "damaged metadata"),
        ("strides", "[8, 16, -32]", "no list of pixels"),
        ("strides", "[8, 16.5, 32]", "no list of pixels"),
        ("image_size", "large", "damaged metadata"),
        ("image_size", "100", "no multiple of 32"),
        ("image_size", "0", "no multiple of 32"),
        ("metadata", "3", "damaged metadata"),
    ],
)
def test_damaged_metadata_is_refused(key: str, value: str | None, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"odd\.onnx: .*{words}"):
        OnnxDetector(changed(tmp_path / "odd.onnx", **{key: value}))
    assert OnnxDetector(changed(tmp_path / "good.onnx", metadata=json.dumps({"epoch": 3}))).metadata == {"epoch": 3}


def test_without_onnxruntime(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        OnnxDetector(folder / "fixed.onnx")
