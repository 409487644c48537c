"""Profiles of lesson 16: which machine gets which, the forecast counts what a run does, an interrupted run goes on."""

import importlib
import json
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from yolo_edu.checkpoint import load_state
from yolo_edu.course import profiles
from yolo_edu.course.profiles import (
    LARGE_GPU,
    PROFILES,
    SMALLEST_GPU,
    Pace,
    Profile,
    choose_profile,
    measure_pace,
    predict_seconds,
    run_profile,
)
from yolo_edu.errors import UserError
from yolo_edu.fit import Training
from yolo_edu.recipe import size_at
from yolo_edu.run import Run

GIB = 2**30
TINY = Profile(
    *("tiny", "these tests", "yolov5n", "train_5classes.yaml", None, 2),
    {"epochs": 4, "image_size": 64, "batch": 64, "nominal_batch": 64, "growth": ((0.5, 0.5),), "plain_epochs": 0},
)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOLO_EDU_PROFILE", raising=False)
    monkeypatch.delenv("YOLO_EDU_SMOKE", raising=False)


# --- the choice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "memory", "name"),
    [
        ("cpu", None, "cpu"),
        ("cuda", 4 * GIB, "cpu"),
        ("cuda", SMALLEST_GPU, "t4"),
        ("cuda", 15 * GIB, "t4"),  # what a T4 reports of its 16 GB
        ("cuda", LARGE_GPU, "large"),
        ("cuda", 80 * GIB, "large"),
    ],
)
def test_the_machine_decides(device: str, memory: int | None, name: str) -> None:
    assert choose_profile(device, memory).name == name


def test_the_environment_decides_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_EDU_SMOKE", "1")
    assert choose_profile("cuda", 80 * GIB).name == "smoke"
    monkeypatch.setenv("YOLO_EDU_PROFILE", "t4")
    assert choose_profile("cpu").name == "t4"
    monkeypatch.setenv("YOLO_EDU_PROFILE", "h100")
    with pytest.raises(UserError, match=r"h100: no such profile.*smoke, cpu, t4, large"):
        choose_profile("cpu")


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_profile_is_complete(profile: Profile) -> None:
    """Its recipe is valid, its network can be built, and it is evaluated about as often as it says."""
    recipe = profile.recipe
    assert recipe.nominal_batch == recipe.batch  # a step every batch, as in the recipe short
    with torch.device("meta"):
        assert profile.build().classes == 5
    evaluations = math.ceil(recipe.epochs / profile.evaluate_every)
    assert profile.evaluations <= evaluations <= 2 * profile.evaluations
    assert profile.options().evaluate_every == profile.evaluate_every


def test_the_start_is_the_same_for_the_same_seed() -> None:
    first, again, other = (dict(TINY.build(seed).named_parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(p, again[name]) for name, p in first.items())
    assert not torch.equal(first["model.0.conv.weight"], other["model.0.conv.weight"])


# --- the forecast ---------------------------------------------------------------------------------------


def test_the_forecast_adds_up() -> None:
    profile = replace(TINY, evaluations=1, changes={**TINY.changes, "epochs": 5, "batch": 60, "nominal_batch": 60})
    pace = Pace({32: 1.0, 64: 10.0}, {32: 0.1, 64: 0.2}, photos=130)
    assert [size_at(profile.recipe, epoch) for epoch in range(5)] == [32, 32, 64, 64, 64]
    assert predict_seconds(profile, pace) == pytest.approx(2 * 3 * 1.0 + 3 * 3 * 10.0 + 0.2)
    assert predict_seconds(replace(profile, evaluations=5), pace) == pytest.approx(96 + 2 * 0.1 + 3 * 0.2)


def test_the_pace_knows_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "evaluate", lambda *_, **__: None)
    pace = measure_pace(TINY, repeats=1)
    assert set(pace.step) == set(pace.evaluation) == {32, 64}
    assert pace.photos == 217
    assert min(pace.step.values()) > 0


def test_the_forecast_counts_what_the_run_does(tmp_path: Path) -> None:
    """With a second a step and 1,000 an evaluation, the forecast is the number of steps and of evaluations."""
    steps: list[int] = []

    def count(training: Training) -> None:
        steps.append(training.count)

    run_profile(TINY, tmp_path / "run", callbacks=[count])
    history = load_state(tmp_path / "run" / "last.pt")["history"]
    evaluated = sum("map50" in row for row in history)
    pace = Pace(dict.fromkeys((32, 64), 1.0), dict.fromkeys((32, 64), 1000.0), 217)
    assert predict_seconds(TINY, pace) == sum(steps) + 1000 * evaluated


# --- the run --------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    def power_fails(training: Training) -> None:
        if training.epoch == 3:
            raise OSError("no power")

    whole = run_profile(TINY, tmp_path / "whole")
    with pytest.raises(OSError, match="no power"):
        run_profile(TINY, tmp_path / "broken", callbacks=[power_fails])
    assert load_state(tmp_path / "broken" / "last.pt")["epoch"] < 4
    seen: list[int] = []
    report = run_profile(TINY, tmp_path / "broken", callbacks=[lambda training: seen.append(training.epoch)])
    assert seen[-1] == 4
    assert report.map == whole.map or math.isnan(report.map)
    before, after = (load_state(tmp_path / name / "last.pt")["ema"] for name in ("whole", "broken"))
    assert all(torch.equal(x, after[name]) for name, x in before.items())
    again = run_profile(TINY, tmp_path / "broken")  # complete: measured once more, nothing trained
    assert again.map == report.map


def test_another_profile_does_not_go_on_there(tmp_path: Path) -> None:
    run_profile(replace(TINY, changes={**TINY.changes, "epochs": 1, "growth": ()}), tmp_path / "run")
    with pytest.raises(UserError, match="holds another run than profile 'tiny'"):
        run_profile(TINY, tmp_path / "run")


# --- the command ----------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("capstone")


def test_the_command_of_the_gpu_run(command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--profile smoke`, the rehearsal: everything runs and is written down."""
    arguments = ["--profile", "smoke", "--device", "cpu", "--run", str(tmp_path / "run"), "--out", str(tmp_path)]
    path = command.main(arguments)
    assert path == tmp_path / "capstone_cpu.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert (result["profile"], result["epochs"], result["image_size"]) == ("smoke", 4, 96)
    assert len(result["history"]) == 4
    assert set(result["seconds"]["step"]) == {"96"}
    assert result["seconds"]["this_command"] >= result["seconds"]["epochs_and_evaluations"] > 0
    assert result["shipped"]["map"] == pytest.approx(0.737, abs=0.001)
    assert result["machine"]["torch"] == torch.__version__
    assert Run(tmp_path / "run").best.is_file()
    printed = capsys.readouterr().out
    assert "minutes predicted" in printed
    assert "shipped weights 0.737" in printed
    assert "target" not in printed  # the smoke profile has none


def test_the_file_is_named_after_the_device(command: ModuleType) -> None:
    assert command.file_name({"gpu": None}) == "capstone_cpu.json"
    assert command.file_name({"gpu": "NVIDIA H100 80GB HBM3"}) == "capstone_nvidia_h100_80gb_hbm3.json"
    assert command.file_name({"gpu": "Tesla T4"}) == "capstone_tesla_t4.json"
