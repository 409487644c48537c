"""`yolo-edu test` with the flags of the article's era, as a user calls it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolo_edu import study as study_module
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import save_checkpoint
from yolo_edu.cli import main
from yolo_edu.data import label_path, read_spec
from yolo_edu.evaluate import Report
from yolo_edu.model import YOLOv5v6

CARDS = str(shipped_weights("cards_n"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first photos of the cards' val split, none at its own size any more, one of them turned by its EXIF tag."""
    root = tmp_path_factory.mktemp("cards")
    spec = read_spec(sample_data())
    for folder in ("images/val", "labels/val"):
        (root / folder).mkdir(parents=True)
    for number, photo in enumerate(spec.images("val")[:8]):
        image = Image.open(photo)
        image = image.resize((image.width * 3 // 2 + number, image.height * 3 // 2))
        exif = Image.Exif()
        if number == 0:
            image = image.rotate(90, expand=True)
            exif[0x0112] = 6  # to be turned by 90 degrees to the right
        image.save(root / f"images/val/{number:06}.jpg", exif=exif)
        (root / f"labels/val/{number:06}.txt").write_text(label_path(photo).read_text())
    (root / "data.yaml").write_text(f"val: images/val\nnames: [{', '.join(spec.names)}]\n")
    return root / "data.yaml"


def run(data: Path, tmp_path: Path, *flags: str) -> int:
    return main(["test", "--weights", CARDS, "--data", str(data), "--project", str(tmp_path), *flags])


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def files_ap(folder: Path) -> tuple[float, float]:
    """mAP50 and mAP by the COCO tools, from the two files alone."""
    coco = COCO(str(folder / "coco_instances.json"))
    tool = COCOeval(coco, coco.loadRes(str(folder / "coco_results.json")), "bbox")
    tool.params.maxDets = [300]
    tool.evaluate()
    tool.accumulate()
    precision = tool.eval["precision"][:, :, :, 0, 0]
    precision = np.where(precision < 0, np.nan, precision)
    return float(np.nanmean(precision[0])), float(np.nanmean(precision))


@pytest.mark.parametrize("flags", [(), ("--single-cls",), ("--augment",)], ids=str)
def test_save_json(data: Path, tmp_path: Path, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, tmp_path, "--save-json", *flags) == 0
    folder = tmp_path / "exp"
    report = metrics(folder)
    assert 0.5 < report["map"] < 1
    assert files_ap(folder) == pytest.approx((report["map50"], report["map"]), abs=1e-4)
    assert str(folder / "coco_results.json") in capsys.readouterr().out

    instances = json.loads((folder / "coco_instances.json").read_text())
    names = ["object"] if "--single-cls" in flags else ["ten", "jack", "queen", "king", "ace"]
    assert [category["name"] for category in instances["categories"]] == names
    assert [row["name"] for row in report["classes"]] == names
    rows = iter(instances["annotations"])
    for image in instances["images"]:
        photo = Path(image["file_name"])
        assert image["id"] == int(photo.stem)
        width, height = Image.open(photo).size
        size = (height, width) if photo.stem == "000000" else (width, height)  # as EXIF turns it
        assert (image["width"], image["height"]) == size
        for line in (data.parent / f"labels/val/{photo.stem}.txt").read_text().splitlines():
            k, x, y, w, h = map(float, line.split())
            row = next(rows)
            assert row["image_id"] == image["id"]
            assert row["category_id"] == (0 if "--single-cls" in flags else k)
            low = max((x - w / 2) * size[0], 0), max((y - h / 2) * size[1], 0)
            high = min((x + w / 2) * size[0], size[0]), min((y + h / 2) * size[1], size[1])
            assert row["bbox"] == pytest.approx([*low, high[0] - low[0], high[1] - low[1]], abs=0.02)
    assert next(rows, None) is None


def test_json_without_pictures(data: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path, "--save-json", "--no-plots") == 0
    assert {path.name for path in (tmp_path / "exp").iterdir()} == {"coco_instances.json", "coco_results.json"}


def test_single_cls_takes_any_number_of_classes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights of one class on data of five, and the other way around without the flag."""
    weights = tmp_path / "one.safetensors"
    torch.manual_seed(0)
    save_checkpoint(weights, YOLOv5v6((0.33, 0.125), ["object"]), {"image_size": 64})
    command = ["test", "--weights", str(weights), "--data", str(data), "--no-plots"]
    assert main([*command, "--single-cls"]) == 0
    assert "object" in capsys.readouterr().out
    assert main(command) == 2
    assert "the model knows 1 classes, the data set has 5" in capsys.readouterr().err


def test_verbose(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(Report, "table", lambda self, verbose=False: asked.append(verbose) or "")
    run(data, tmp_path, "--no-plots")
    run(data, tmp_path, "--no-plots", "--verbose")
    assert asked == [False, True]


def test_tasks(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("train", "test"):
        assert run(data, tmp_path, "--task", task) == 2
        assert f"no split '{task}'. Add a line '{task}: FOLDER', or use one of: val." in capsys.readouterr().err
    data = data.with_name("all.yaml")
    data.write_text("train: images/val\nval: images/val\ntest: images/val\nnames: [ten, jack, queen, king, ace]\n")
    for task in ("train", "val", "test"):
        assert run(data, tmp_path, "--task", task, "--no-plots", "--img-size", "64") == 0


# --- study ----------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "ROUNDS", 1)
    monkeypatch.setattr(study_module, "TIMED", 1)


@pytest.mark.usefixtures("quick")
def test_study(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, tmp_path, "--task", "study", "--img-size", "96", "--augment", "--single-cls") == 0
    folder = tmp_path / "exp"
    assert {path.name for path in folder.iterdir()} == {"study.json", "study.png"}
    content = json.loads((folder / "study.json").read_text())
    assert [point["size"] for point in content["points"]] == [64, 96, 128]
    assert (content["reference"], content["complete"], content["augment"]) == (96, True, True)
    assert content["points"][1]["ratio"] == 1
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3 + 1


@pytest.mark.usefixtures("quick")
def test_ctrl_c_keeps_what_is_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate, calls = study_module.evaluate, []

    def interrupted(*args: object, **options: object) -> Report:
        calls.append(1)
        if len(calls) == after:
            raise KeyboardInterrupt
        return evaluate(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(study_module, "evaluate", interrupted)
    after = 3
    assert run(data, tmp_path, "--task", "study", "--img-size", "96") == 130
    content = json.loads((tmp_path / "exp/study.json").read_text())
    assert [point["size"] for point in content["points"]] == [64, 96]
    assert content["complete"] is False
    assert (tmp_path / "exp/study.png").is_file()
    assert "interrupted; what was measured is kept" in capsys.readouterr().out
    calls.clear()
    after = 1
    assert run(data, tmp_path, "--task", "study", "--img-size", "96") == 130
    assert not (tmp_path / "exp2").exists()


def test_wrong_values(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, words in (
        (["--conf-thres", "25"], "confidence is 25"),
        (["--iou-thres", "-1"], "iou is -1"),
        (["--img-size", "100"], "multiple of 32"),
    ):
        assert run(data, tmp_path, *flags) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(data, tmp_path, "--batch-size", "0")
    assert not list(tmp_path.iterdir())
