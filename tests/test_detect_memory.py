"""benchmarks/detect_memory.py runs from end to end with a few images. No test looks at an amount of memory."""

import importlib
import json
from pathlib import Path

import pytest

from yolo_edu.errors import UserError
from yolo_edu.files import read_image

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads /proc, which only Linux has")


def test_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("detect_memory")
    monkeypatch.setattr(benchmark, "EVERY", 4)
    out = tmp_path / "memory.json"
    benchmark.main(["--images", "14", "--seconds", "0.05", "--out", str(out)])
    results = json.loads(out.read_text())
    assert results["unreadable"] == ["000002.jpg", "000006.jpg", "000010.jpg"]
    assert results["listed_at_the_end"] == results["listed_in_json"] == results["unreadable"]
    assert results["done"] == results["pictures"] == 11
    assert results["exit_status"] == 1
    assert results["boxes"] > 0
    assert all(int(line.split(":")[0]) <= 11 for line in results["resident"])
    assert "11 of 14 images" in capsys.readouterr().out


def test_bad_images_are_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = importlib.import_module("detect_memory")
    monkeypatch.setattr(benchmark, "EVERY", 2)
    made = benchmark.make_images(tmp_path, 8)
    assert len(made.bad) == 4
    pixels = 0
    for path in tmp_path.iterdir():
        if path.name in made.bad:
            with pytest.raises(UserError):
                read_image(path)
        else:
            pixels += read_image(path).numel()
    assert pixels == made.pixel_bytes
