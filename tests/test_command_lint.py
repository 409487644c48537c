"""`yolo-edu lint`: what is printed and written, and the exit status."""

import io
import json
import sys
from pathlib import Path

import pytest
from small_data import make_data

from yolo_edu.cli import main
from yolo_edu.commands import lint as command
from yolo_edu.lint import CODES

CLEAN = {"a": "0 0.5 0.5 0.2 0.2\n", "b": "1 0.5 0.5 0.4 0.2\n"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(root: Path, **labels: str | None) -> str:
    return str(make_data(root / "set", {**CLEAN, **labels}, size=(60, 80)))


@pytest.mark.parametrize(
    ("labels", "flags", "status"),
    [
        ({}, [], 0),
        ({}, ["--strict"], 0),
        ({"c": None}, [], 0),  # a warning
        ({"c": None}, ["--strict"], 1),
        ({"c": "7 0.5 0.5 0.2 0.2"}, [], 1),
    ],
)
def test_exit_status(tmp_path, labels, flags, status):
    assert main(["lint", made(tmp_path, **labels), "--no-pictures", *flags]) == status
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.yaml"], "absent.yaml"),
        (["DATA", "--json", "no/such/folder/a.json"], "cannot write"),
        (["DATA", "--pictures", "DATA/pictures"], "cannot make"),
    ],
)
def test_what_cannot_be_used(tmp_path, capsys, arguments, words):
    data = made(tmp_path)
    assert main(["lint", *(argument.replace("DATA", data) for argument in arguments)]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert "Traceback" not in printed.err
    if arguments[0] == "DATA":
        assert "0 errors, 0 warnings" in printed.out  # said before anything could fail


@pytest.mark.parametrize("size", ["0", "-640", "x", "31"])
def test_a_size_that_is_none(tmp_path, size, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["lint", made(tmp_path), "--img-size", size])
    assert caught.value.code == 2
    assert "--img-size" in capsys.readouterr().err


def test_many_faults_of_a_kind_are_counted_and_the_first_shown(tmp_path, capsys):
    bad = "".join(f"9 0.5 0.{i} 0.2 0.2\n" for i in range(1, 10)) + "0 0.5 0.5 0.2\n"
    data = made(tmp_path, c=bad)
    assert main(["lint", data, "--no-pictures", "--json", "found.json"]) == 1
    out = capsys.readouterr().out
    assert f"error class-range: {CODES['class-range']} (9 times)" in out
    assert [f"c.txt:{line}:" in out for line in (1, 5, 6, 10)] == [True, True, False, True]
    assert "… and 4 more" in out
    assert "10 errors, 0 warnings" in out
    assert len(json.loads(Path("found.json").read_text())["faults"]) == 10
    main(["lint", data, "--no-pictures", "--show", "9"])
    assert "c.txt:9:" in capsys.readouterr().out


def test_the_tables(tmp_path, capsys):
    assert main(["lint", made(tmp_path, c=""), "--no-pictures", "--img-size", "320"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "3", "1", "2", "67", "px", "0.0%"] in lines
    # sqrt(0.2 · 0.2 · 320 · 240), sqrt(0.4 · 0.2 · 320 · 240)
    assert ["cat", "1", "55", "px"] in lines
    assert ["dog", "1", "78", "px"] in lines


def test_json(tmp_path, capsys):
    data = made(tmp_path, c="7 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.001 0.2", d=None)
    assert main(["lint", data, "--no-pictures", "--json", "-"]) == 1
    printed = capsys.readouterr()
    assert "1 errors, 2 warnings" in printed.err  # the standard output is JSON and nothing else
    found = json.loads(printed.out)
    assert found["format"] == "yolo_edu lint 1"
    assert (found["data"], found["image_size"], found["errors"], found["warnings"]) == (data, 640, 1, 2)
    assert [(f["code"], f["severity"], Path(f["path"]).name, f["line"]) for f in found["faults"]] == [
        ("class-range", "error", "c.txt", 1),
        ("no-label-file", "warning", "d.png", 0),
        ("tiny-box", "warning", "c.txt", 2),
    ]
    assert all(f["message"] and f["fix"] and f["other"] is None for f in found["faults"])
    assert {code["code"]: code["count"] for code in found["codes"]} == {
        "class-range": 1,
        "no-label-file": 1,
        "tiny-box": 1,
    }
    train = found["splits"]["train"]
    assert (train["images"], train["background"], train["boxes"]) == (4, 1, 3)
    assert train["per_class"] == {"cat": 2, "dog": 1}
    assert train["share_under_8_px"] == pytest.approx(1 / 3, abs=1e-4)


def test_pictures_go_into_a_new_folder(tmp_path, capsys):
    data = made(tmp_path, c="7 0.5 0.5 0.2 0.2")
    for name in ("exp", "exp2"):
        assert main(["lint", data]) == 1
        assert f"pictures: {Path('runs/lint') / name}" in capsys.readouterr().out
        assert {path.name for path in Path("runs/lint", name).iterdir()} == {"summary.png", "suspects1.jpg"}
    assert main(["lint", data, "--pictures", "mine/first"]) == 1
    assert Path("mine/first/summary.png").is_file()


def test_a_terminal_that_cannot_show_everything(tmp_path, monkeypatch):
    """Names with a terminal's commands in them, on a terminal that knows ASCII only."""
    data = make_data(tmp_path / "set", {"\x1b[31m猫": None, **CLEAN}, size=(60, 80))
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["lint", str(data), "--no-pictures"]) == 0
    out.flush()
    printed = out.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "\\x1b[31m\\u732b.png" in printed
    assert "\x1b" not in printed


def test_ctrl_c(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "examine", interrupted)
    assert main(["lint", made(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().err
