"""`yolo-edu train` with the flags of the article's era, and the article's own lines, word for word."""

import copy
import json
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from yolo_edu import garden
from yolo_edu.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from yolo_edu.cli import main
from yolo_edu.course import article
from yolo_edu.model import YOLOv5, YOLOv5v6

# The article's lines, as its last section prints them, shortened by what follows the dots.
ARTICLE = (
    "--batch 19 --epochs 300 --data ./data/train_5classes.yaml --cfg ./models/customer_yolov5l_5classes.yaml "
    "--weights yolov5l.pt --name 5classes_yolov5l --nosave --cache"
)
QUICK = ["--precision", "float32", "--memory-format", "contiguous", "--img-size", "64"]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("album.show_data", "album.show_batch", "album.show_training", "album.show_evaluation", "write_page"):
        monkeypatch.setattr(f"yolo_edu.keeper.{name}", lambda *args: None)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """./data/train_5classes.yaml, with a test split."""
    root = tmp_path_factory.mktemp("article")
    path = garden.write(root / "data", 10, size=96)
    text = path.read_text() + "test: images/val\n"
    path.unlink()
    (root / "data/train_5classes.yaml").write_text(text)
    return root


@pytest.fixture
def here(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with that data."""
    shutil.copytree(photos / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def trained(here: Path, *flags: str) -> tuple[dict[str, Any], Path]:
    """One epoch of a tiny network with these flags: the run's settings and its folder."""
    torch.manual_seed(0)
    names = ("butterfly", "flower", "mushroom", "beetle", "snail")
    save_checkpoint(here / "tiny.safetensors", YOLOv5v6((0.33, 0.125), names))
    command = ["train", "--data", "data/train_5classes.yaml", "--weights", "tiny.safetensors", "--epochs", "1"]
    assert main([*command, "--batch", "4", *QUICK, *flags]) == 0
    (folder,) = (here / "runs/train").iterdir()
    return config(folder), folder


# --- the article ----------------------------------------------------------------------------------------


def official_file(model: YOLOv5, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .pt file as the release wrote it: the module itself, of classes named models.yolo.…, in half precision."""
    homes = {name: ModuleType(name) for name in ("models", "models.yolo", "models.common")}
    for name, home in homes.items():
        monkeypatch.setitem(sys.modules, name, home)

    def renamed(module: torch.nn.Module) -> Any:
        children = {name: renamed(child) for name, child in module._modules.items() if child is not None}
        if type(module).__module__.startswith("torch"):
            made = copy.copy(module)
            made._modules = children
            return made
        name = {"YOLOv5": "Model"}.get(type(module).__name__, type(module).__name__)
        home = "models.yolo" if name in ("Model", "Detect") else "models.common"
        if not hasattr(homes[home], name):
            setattr(homes[home], name, type(name, (), {"__module__": home}))
        made: Any = getattr(homes[home], name)()
        kept = module._buffers.keys() - module._non_persistent_buffers_set
        made._parameters, made._buffers = dict(module._parameters), {name: module._buffers[name] for name in kept}
        made._modules = children
        return made

    whole = renamed(model.half())
    whole.names = [f"coco{k}" for k in range(80)]
    whole.yaml = {"depth_multiple": model.scale.depth, "width_multiple": model.scale.width}
    torch.save({"epoch": -1, "model": whole}, path)
    for name in homes:
        monkeypatch.delitem(sys.modules, name)


def test_without_the_official_file_the_message_says_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *shlex.split(ARTICLE)]) == 2
    error = capsys.readouterr().err
    for words in ("yolov5l.pt", "ultralytics/yolov5", "AGPL-3.0", "--weights ''"):
        assert words in error
    assert not (here / "runs").exists()


def test_the_articles_line_runs(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size l, 80 classes in the file and 5 in the data; only --epochs and the picture size are shortened."""
    torch.manual_seed(1)
    official = YOLOv5("l", 80)
    official_file(official, here / "yolov5l.pt", monkeypatch)
    assert main(["train", *shlex.split(ARTICLE), "--epochs", "1", *QUICK, "--lr", "1e-9"]) == 0
    out = capsys.readouterr().out
    assert "tensors whole" in out
    assert "in part, box and objectness: model.18.weight, model.18.bias" in out
    folder = here / "runs/train/5classes_yolov5l"
    settings = config(folder)
    assert settings["recipe"]["batch"] == 19
    assert (settings["options"]["save"], settings["options"]["cache"]) == (False, True)
    model = load_checkpoint(folder / "best.safetensors")
    assert (model.release, model.scale, model.classes) == ("yolov5", (1.0, 1.0), 5)
    ours, theirs = model.state_dict(), official.float().state_dict()
    assert torch.allclose(ours["model.4.cv1.conv.weight"], theirs["model.4.cv1.conv.weight"], atol=1e-4)


def test_noautoanchor(here: Path) -> None:
    assert trained(here, "--noautoanchor")[0]["options"]["autoanchor"] is False


def test_focal_loss_by_a_file(here: Path) -> None:
    (here / "hyp.yaml").write_text("fl_gamma: 1.5\nlr0: 0.001\n")
    recipe = trained(here, "--hyp", "hyp.yaml")[0]["recipe"]
    assert (recipe["focal_gamma"], recipe["lr"]) == (1.5, 0.001)


def test_task_test(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, folder = trained(here)
    capsys.readouterr()
    best = str(folder / "best.safetensors")
    assert main(["test", "--data", "data/train_5classes.yaml", "--task", "test", "--weights", best, "--no-plots"]) == 0
    assert "all" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["train", "test", "detect"])
def test_python_dash_m(module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(Path(article.FOLDER).parents[1] / f"{module}.py"), run_name="__main__")
    assert caught.value.code == 0
    assert f"yolo-edu {module}" in capsys.readouterr().out


# --- flag by flag ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "part", "name", "value"),
    [
        (["--adam"], "recipe", "optimizer", "adam"),
        (["--rect"], "recipe", "rectangular", True),
        (["--multi-scale"], "recipe", "multi_scale", True),
        (["--freeze", "backbone"], "recipe", "frozen", list(range(10))),
        (["--stage-lr", "0.1", "0.3", "1"], "recipe", "stage_lr", [0.1, 0.3, 1.0]),
        (["--img-size", "64", "96"], "options", "test_size", 96),
        (["--cache-images"], "options", "cache", True),
        (["--nosave"], "options", "save", False),
        (["--single-cls"], "options", "single_class", True),
    ],
)
def test_a_flag_reaches_its_setting(flags: list[str], part: str, name: str, value: object, here: Path) -> None:
    assert trained(here, *flags)[0][part][name] == value


def test_a_test_size_of_its_own_is_kept_with_the_weights(here: Path) -> None:
    _, folder = trained(here, "--img-size", "64", "96")
    assert read_metadata(folder / "best.safetensors")["image_size"] == 96


def test_single_class_weights_know_one_class(here: Path) -> None:
    _, folder = trained(here, "--single-cls")
    assert load_checkpoint(folder / "best.safetensors").names == ("object",)


def test_notest_evaluates_once(here: Path) -> None:
    settings, folder = trained(here, "--notest", "--epochs", "3")
    assert settings["options"]["evaluate_every"] == 3
    rows = (folder / "results.csv").read_text().splitlines()
    column = rows[0].split(",").index("map50")
    assert [bool(row.split(",")[column]) for row in rows[1:]] == [False, False, True]


def test_resume_takes_the_newest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(here)
    assert main(["train", "--resume"]) == 0
    assert "runs/train/exp" in capsys.readouterr().out
