"""Run folders: never an old one overwritten, settings there and back."""

import csv
from pathlib import Path

import pytest

from yolo_edu.errors import UserError
from yolo_edu.recipe import RECIPES
from yolo_edu.run import Options, Run, metrics_line, new_folder


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    names = [new_folder(tmp_path / "deep" / "er", "cards").name for _ in range(3)]
    assert names == ["cards", "cards2", "cards3"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make the run folder"):
        new_folder(tmp_path / "file", "cards")


@pytest.mark.parametrize("name", RECIPES)
def test_settings_there_and_back(name: str, tmp_path: Path) -> None:
    run = Run(tmp_path)
    options = Options(seed=3, patience=7, cache=False)
    run.write_config(RECIPES[name], options, device="cpu")
    assert run.read_config() == (RECIPES[name], options, {"device": "cpu"})


def test_settings_of_another_version_are_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_config(RECIPES["short"], Options())
    run.config.write_text(run.config.read_text().replace('"patience"', '"patients"'))
    with pytest.raises(UserError, match=r"config\.json: damaged"):
        run.read_config()


def test_sweep_removes_only_what_was_left_unfinished(tmp_path: Path) -> None:
    for name in (".last.pt.x1y2.unfinished", "last.pt", ".hidden", "notes.unfinished"):
        (tmp_path / name).write_text("")
    Run(tmp_path).sweep()
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", ".hidden", "notes.unfinished"}


def test_the_log_has_a_column_for_everything_seen(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_log([{"epoch": 1, "box": 0.5}, {"epoch": 2, "box": 0.25, "map50": 1 / 3}])
    rows = list(csv.DictReader(run.log.open()))
    assert rows == [{"epoch": "1", "box": "0.5", "map50": ""}, {"epoch": "2", "box": "0.25", "map50": "0.333333"}]


def test_the_line_for_the_terminal() -> None:
    row = {"epoch": 7.0, "box": 0.05, "objectness": 0.02, "classification": 0.01}
    assert metrics_line(row, 100) == "epoch   7/100  box 0.0500  objectness 0.0200  class 0.0100"
    assert metrics_line(row | {"map50": 0.5, "map": 0.25}, 100).endswith("mAP50 0.500  mAP50-95 0.250")
