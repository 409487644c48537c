"""Exported files say what the network says, at every size, and a file that does not is not left behind."""

import functools
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported import NAMES, SIZE, TINY, lively, onnx_bytes, tiny
from torch import nn

from yolo_edu import export
from yolo_edu.cfg import MODELS
from yolo_edu.checkpoint import build, describe
from yolo_edu.errors import UserError
from yolo_edu.export import OPSET, export_onnx, export_torch, prepared, trace
from yolo_edu.model import RELEASES, YOLOv5v6
from yolo_edu.parity import BAR, compare

ROOT = Path(__file__).parents[1]
SHAPES = ((1, 64, 64), (3, 96, 160), (2, 320, 256), (1, 32, 32), (4, 64, 96))

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra `dev`")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra `dev`")


def images(batch: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_tiny_network_sees_the_image() -> None:
    """Or the comparisons below would compare constants."""
    with torch.no_grad():
        for release in RELEASES:
            first, second = tiny(release).rows(images(2, 64, 64))
            assert (first - second)[:, :4].abs().max() > 1  # pixels
            assert (first - second)[:, 4:].abs().max() > 10 * BAR


# --- what the files say -----------------------------------------------------------------------------------


@pytest.mark.parametrize("release", list(RELEASES))
def test_onnx_rows_at_other_batches_and_sizes(release: str) -> None:
    session = onnxruntime.InferenceSession(onnx_bytes(release))
    for shape in SHAPES:
        x = images(*shape)
        rows = torch.from_numpy(session.run(["rows"], {"images": x.numpy()})[0])
        with torch.no_grad():
            found = compare(rows, tiny(release).rows(x), max(shape[1:]))
        assert found.worst < BAR, shape
        assert found.pixels < 0.01
        assert found.probability < 1e-5


@pytest.mark.parametrize("release", list(RELEASES))
def test_the_onnx_file_alone_suffices(release: str) -> None:
    model = tiny(release)
    proto = onnx.load_from_string(onnx_bytes(release))
    onnx.checker.check_model(proto, full_check=True)
    assert {entry.domain: entry.version for entry in proto.opset_import}[""] == OPSET
    assert [node.name for node in proto.graph.input] == ["images"]
    assert [node.name for node in proto.graph.output] == ["rows"]
    assert b"yolo_edu/" not in onnx_bytes(release)  # no paths of the machine it was made on
    said = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(said["names"]) == list(NAMES)
    assert json.loads(said["strides"]) == list(model.strides)
    assert json.loads(said["metadata"]) == {"epoch": 3}
    assert (said["release"], said["image_size"], said["half"]) == (release, str(SIZE), "false")
    # The description and the file's own numbers are those of one network.
    again = build(json.loads(said["model"]))
    again.load_state_dict(model.state_dict())
    x = images(1, 64, 64)
    with torch.no_grad():
        assert torch.equal(again.eval().rows(x), model.rows(x))
    assert json.loads(said["model"]) == describe(model)


def test_a_fixed_size_keeps_the_batch_free() -> None:
    session = onnxruntime.InferenceSession(onnx_bytes("yolov5v6", fixed=True))
    assert session.get_inputs()[0].shape[2:] == [SIZE, SIZE]
    for batch in (1, 3):
        x = images(batch, SIZE, SIZE)
        rows = torch.from_numpy(session.run(["rows"], {"images": x.numpy()})[0])
        with torch.no_grad():
            assert compare(rows, tiny().rows(x), SIZE).worst < BAR


ELSEWHERE = """
import json, sys
sys.modules["yolo_edu"] = None  # importing it is now an error
import numpy, torch
extra = {"yolo_edu.json": ""}
network = torch.export.load("tiny.pt2", extra_files=extra).module()
said = json.loads(extra["yolo_edu.json"])
x = torch.from_numpy(numpy.load("images.npy"))
numpy.savez("rows.npz", rows=network(x).numpy(), small=network(x[:1, :, :64, :]).numpy())
print(json.loads(said["names"]), said["image_size"])
"""


@pytest.mark.parametrize("release", list(RELEASES))
def test_pt2_runs_where_this_package_is_not(release: str, tmp_path: Path) -> None:
    model, x = tiny(release), images(3, 96, 128)
    exported = export_torch(model, tmp_path / "tiny.pt2", metadata={"image_size": SIZE}, progress=False)
    assert exported.parity
    assert exported.parity.worst < BAR
    assert exported.rounding is None
    assert exported.size == (tmp_path / "tiny.pt2").stat().st_size
    assert str(ROOT).encode() not in (tmp_path / "tiny.pt2").read_bytes()
    np.save(tmp_path / "images.npy", x.numpy())
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{list(NAMES)} {SIZE}"
    with np.load(tmp_path / "rows.npz") as found, torch.no_grad():
        assert compare(torch.from_numpy(found["rows"]), model.rows(x), 128).worst < BAR
        assert compare(torch.from_numpy(found["small"]), model.rows(x[:1, :, :64]), 128).worst < BAR


@pytest.mark.parametrize("write", [export_onnx, export_torch])
def test_half_stores_rounded_kernels(write: Any, tmp_path: Path) -> None:
    model, path = lively(YOLOv5v6((0.33, 0.25), NAMES)), tmp_path / "half.file"
    exported = write(model, path, image_size=64, fixed=True, half=True, progress=False)
    assert leftovers(tmp_path) == ["half.file"]
    kernels = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d))
    assert exported.size < 3 * kernels  # 2 bytes a number, and the rest
    assert exported.parity.worst < BAR  # against the rounded network
    # Rounding is by far the larger difference: 11 bits instead of 24. Were nothing rounded, it would be missed here.
    assert exported.rounding.worst > 3 * exported.parity.worst
    assert exported.rounding.of_image < 0.1


def test_the_network_stays_as_it_was(tmp_path: Path) -> None:
    model = YOLOv5v6(TINY, NAMES).train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    export_torch(model, tmp_path / "a.pt2", image_size=64, fixed=True, half=True, progress=False)
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


# --- what goes wrong --------------------------------------------------------------------------------------


@pytest.fixture
def another(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter with a fault: one bias is not what it was."""

    def faulty(model: Any, image_size: int, *, fixed: bool) -> Any:
        next(m for m in model.modules() if isinstance(m, nn.Conv2d)).bias += 0.1
        return trace(model, image_size, fixed=fixed)

    monkeypatch.setattr(export, "trace", faulty)


@pytest.mark.parametrize("write", [export_onnx, export_torch])
def test_a_wrong_file_is_not_left_behind(write: Any, another: None, tmp_path: Path) -> None:
    path = tmp_path / "out.file"
    path.write_text("the last good one")
    with pytest.raises(UserError, match=r"out\.file: not written: .*differ"):
        write(tiny(), path, image_size=64, fixed=True, progress=False)
    assert path.read_text() == "the last good one"
    assert leftovers(tmp_path) == ["out.file"]


@pytest.mark.parametrize("write", [export_onnx, export_torch])
def test_a_file_that_does_not_run_is_not_left_behind(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "to_onnx", lambda program, properties: b"nothing of the kind")
    monkeypatch.setattr(export, "_to_pt2", lambda program, properties: b"nothing of the kind")
    with pytest.raises(UserError, match="cannot be run"):
        write(tiny(), tmp_path / "out.file", image_size=64, fixed=True, progress=False)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("reason", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_half_written_file_is_not_left_behind(
    reason: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.write_bytes

    def half(self: Path, data: bytes) -> int:
        whole(self, data[: len(data) // 2])
        raise reason

    path = tmp_path / "out.pt2"
    path.write_text("the last good one")
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises((UserError, KeyboardInterrupt), match=r"space|^$"):
        export_torch(tiny(), path, image_size=64, fixed=True, progress=False)
    assert path.read_text() == "the last good one"
    assert leftovers(tmp_path) == ["out.pt2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 100}, "multiple of 32 pixels, 64 at least"),
        ({"image_size": 32}, "64 at least"),
        ({"image_size": 48, "fixed": True}, "32 at least"),
        ({"metadata": {"image_size": 33}}, "image size 33"),
    ],
)
def test_impossible_sizes(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        export_torch(tiny(), tmp_path / "a.pt2", progress=False, **options)


def test_networks_that_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        export_torch(tiny(), tmp_path / "none" / "a.pt2", progress=False)
    fused = tiny().fuse()
    with pytest.raises(UserError, match="fused"):
        export_torch(fused, tmp_path / "a.pt2", progress=False)
    large = tiny().fuse()
    kernel = next(m for m in large.modules() if isinstance(m, nn.Conv2d))
    kernel.weight.data[0, 0, 0, 0] = 70_000  # float16 ends at 65,504
    prepared(large)
    with pytest.raises(UserError, match="finite number in float16"):
        prepared(large, half=True)
    kernel.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match="not a finite number"):
        prepared(large)
    assert leftovers(tmp_path) == []


def test_without_onnxscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match="pip install onnxscript"):
        export_onnx(tiny(), tmp_path / "a.onnx", progress=False)


def test_without_onnxruntime_the_file_is_written_and_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(export, "to_onnx", lambda program, properties: onnx_bytes(fixed=True))  # to save time
    exported = export_onnx(tiny(), tmp_path / "a.onnx", image_size=64, fixed=True, progress=False)
    assert exported.parity is None
    assert exported.path.stat().st_size == exported.size


# --- benchmarks/onnx_parity.py ----------------------------------------------------------------------------


def test_the_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("onnx_parity")
    x = images(2, 64, 64)
    model = benchmark.made_up(YOLOv5v6(TINY, 3), x)
    with torch.no_grad():
        assert all(0.2 < float(level.std(dim=(2, 3)).mean()) < 1 for level in model(x))  # from place to place
    # A fixed size takes a third of the time.
    monkeypatch.setattr(benchmark, "export_onnx", functools.partial(export_onnx, fixed=True))
    row = benchmark.case(model, x, tmp_path / "a.onnx", trained=False, rounds=1)
    assert row["parity"]["worst"] < BAR
    assert row["detections"]["pytorch"] > 0
    assert "tiny" in benchmark.table({"networks": {"tiny": row}})
    json.dumps(row)


def test_the_committed_table() -> None:
    """Every pair of size and release, and the shipped weights."""
    results = json.loads((ROOT / "benchmarks/results/onnx_parity.json").read_text())
    assert set(results["networks"]) == {*MODELS, "cards_n"}
    for row in results["networks"].values():
        assert row["parity"]["worst"] < results["bar"] == BAR
        assert row["parity"]["of_image"] < BAR
        assert row["parity"]["probability"] < BAR
        assert row["detections"]["pytorch"] == row["detections"]["onnx"]
        assert row["detections"]["alone"] == 0
