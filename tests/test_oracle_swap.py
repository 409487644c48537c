"""benchmarks/oracle_swap.py: the committed numbers are those of the shipped weights."""

import importlib
import json
from pathlib import Path

import pytest

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.data import DetectionData, read_spec

ROOT = Path(__file__).parents[1]


def test_the_committed_numbers_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("oracle_swap")
    committed = json.loads(benchmark.TARGET.read_text())
    setting = committed.pop("setting")
    data = DetectionData(read_spec(sample_data()), "val", setting["image_size"])
    assert setting["photos"] == len(data)
    outputs, repairs, account = benchmark.measure(
        load_checkpoint(shipped_weights(setting["weights"])), data, progress=False
    )
    measured = benchmark.result(outputs, repairs, account)
    assert measured.keys() == committed.keys()
    for part in ("outputs", "repairs"):
        assert [gain["name"] for gain in measured[part]] == [gain["name"] for gain in committed[part]]
        for ours, theirs in zip(measured[part], committed[part], strict=True):
            # Another processor rounds otherwise: a detection on the edge of a threshold may change sides.
            assert [*ours.values()][1:] == pytest.approx([*theirs.values()][1:], abs=0.01)
    for name, counts in measured["mistakes"].items():
        assert list(counts.values()) == pytest.approx(list(committed["mistakes"][name].values()), abs=2)
    for gain in measured["outputs"] + measured["repairs"]:
        assert gain["name"] in benchmark.table(outputs + repairs)
    assert len(benchmark.draw(outputs, repairs).axes) == 2
    assert benchmark.TARGET.with_suffix(".png").is_file()
