"""TensorBoard gets every number of every epoch, if it is there."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from yolo_edu import loggers


def test_without_tensorboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # what makes an import fail
    assert loggers.tensorboard(tmp_path) is None


def test_with_tensorboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            written.append(folder)

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, value, epoch))

        def flush(self) -> None:
            written.append("flush")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    log = loggers.tensorboard(tmp_path)
    assert log is not None
    assert written == []  # not even a folder before there is something to say
    log(SimpleNamespace(epoch=3, history=[{"epoch": 2, "box": 9.0}, {"epoch": 3, "box": 0.5, "map50": 0.25}]))
    assert written == [str(tmp_path), ("box", 0.5, 3), ("map50", 0.25, 3), "flush"]
