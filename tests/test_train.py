"""Training: it learns, it resumes exactly, it says what went wrong, and it keeps what it had."""

import csv
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from yolo_edu import garden
from yolo_edu.augment import AugmentSettings
from yolo_edu.checkpoint import load_checkpoint, load_state, read_metadata, save_checkpoint
from yolo_edu.data import Batch, DataSpec, DetectionData, read_spec
from yolo_edu.errors import UserError
from yolo_edu.fit import Training, choose_precision, fit_epoch
from yolo_edu.loss import Loss, detection_loss
from yolo_edu.model import Detector, YOLOv5, YOLOv5v6
from yolo_edu.recipe import RECIPES, Recipe
from yolo_edu.run import Run, new_folder
from yolo_edu.train import epoch_batches, loss_settings, resume, spread, train

TINY = replace(RECIPES["short"], epochs=4, batch=4, image_size=64, nominal_batch=4, plain_epochs=1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> DataSpec:
    folder = tmp_path_factory.mktemp("train") / "garden"
    return read_spec(garden.write(folder, 15, size=96))


def model_of(spec: DataSpec, seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return YOLOv5v6((0.33, 0.125), spec.names)


def run_in(folder: Path) -> Run:
    return Run(new_folder(folder, "run"))


def start(spec: DataSpec, run: Run, recipe: Recipe = TINY, **options: object) -> None:
    train(spec, model_of(spec), recipe, run, precision="float32", progress=False, **options)  # type: ignore[arg-type]


def test_a_run_leaves_everything_behind(spec: DataSpec, tmp_path: Path) -> None:
    run = run_in(tmp_path)
    report = train(spec, model_of(spec), TINY, run, evaluate_every=2, progress=False)
    names = {p.name for p in run.folder.iterdir()}
    assert names == {"best.safetensors", "last.pt", "config.json", "results.csv", "results.png", "detections.png"}
    rows = list(csv.DictReader(run.log.open()))
    assert [int(r["epoch"]) for r in rows] == [1, 2, 3, 4]
    assert [bool(r["map50"]) for r in rows] == [False, True, False, True]
    assert all(math.isfinite(float(r["box"])) for r in rows)
    assert 0 <= report.map50 <= 1
    best = load_checkpoint(run.best)
    assert best.names == spec.names
    assert read_metadata(run.best)["image_size"] == 64
    last = load_checkpoint(run.state)
    assert type(last) is YOLOv5v6
    recipe, others = run.read_config()
    assert recipe == TINY
    assert others["seed"] == 0


def test_training_lowers_the_loss(spec: DataSpec) -> None:
    """One image over and over: the loss must fall far below where it starts."""
    data = DetectionData(spec, "train", 64)
    index = next(i for i in range(len(data)) if len(data[i].labels))
    still = AugmentSettings(mosaic=0, translate=0, scale=0, flip=0, hue=0, saturation=0, value=0)
    recipe = replace(TINY, augment=still, batch=1, nominal_batch=1, epochs=6)
    torch.manual_seed(0)
    model = YOLOv5v6((0.33, 0.125), spec.names)
    training = Training.start(model, recipe)
    settings = loss_settings(model, recipe)
    batch = next(_only(data, index, recipe))
    losses = []
    for _ in range(5):
        row = fit_epoch(
            training,
            iter([batch] * 20),
            20,
            lambda raw, targets: detection_loss(raw, targets, model.detect.anchors, settings),
            recipe,
            device=CPU,
        )
        losses.append(sum(row.values()))
        training.epoch += 1
    assert losses[-1] < 0.5 * losses[0]


def _only(data: DetectionData, index: int, recipe: Recipe) -> Iterator[Batch]:
    from yolo_edu.augment import augment_batch

    yield augment_batch(data, [index], recipe.augment, torch.Generator().manual_seed(0))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_state(path)["model"]


@pytest.mark.parametrize("stop_after", [1, 9])
def test_an_interrupted_run_ends_in_the_same_weights(
    spec: DataSpec, tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of an epoch, resume, compare bit by bit with the run that was left alone.

    Twelve training images at batch 4 make 3 batches an epoch: batch 1 is in the first epoch (nothing saved
    yet), batch 9 ends the third.
    """
    whole, broken = run_in(tmp_path), run_in(tmp_path)
    start(spec, whole)
    count = 0
    real = detection_loss

    def interrupting(*args: object) -> Loss:
        nonlocal count
        count += 1
        if count == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("yolo_edu.train.detection_loss", interrupting)
    with pytest.raises(KeyboardInterrupt):
        start(spec, broken)
    monkeypatch.undo()
    if stop_after == 1:
        with pytest.raises(UserError, match="no epoch was finished"):
            resume(broken, progress=False)
        return
    assert load_state(broken.state)["epoch"] == 2
    resume(broken, progress=False)
    a, b = weights(whole.state), weights(broken.state)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    logs = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(r.log.open())]
        for r in (whole, broken)
    ]
    assert logs[0] == logs[1]


def test_a_seed_repeats_a_run_and_another_does_not(spec: DataSpec, tmp_path: Path) -> None:
    recipe = replace(TINY, epochs=1)
    runs = [run_in(tmp_path) for _ in range(3)]
    for run, seed in zip(runs, (0, 0, 1), strict=True):
        start(spec, run, recipe, seed=seed)
    a, b, c = (weights(run.state) for run in runs)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_accumulation_adds_up_gradients(spec: DataSpec) -> None:
    """Two batches of 2 with accumulation move the weights only once."""
    data = DetectionData(spec, "train", 64)
    recipe = replace(TINY, batch=2, nominal_batch=4, warmup_epochs=0, warmup_iterations=1)
    model = model_of(spec)
    training = Training.start(model, recipe)
    training.epoch = 1  # past the warm-up
    settings = loss_settings(model, recipe)
    batches = list(epoch_batches(data, recipe, 1, 0))
    fit_epoch(
        training,
        iter(batches),
        len(batches),
        lambda raw, targets: detection_loss(raw, targets, model.detect.anchors, settings),
        recipe,
        device=CPU,
    )
    assert training.ema.updates == len(batches) // 2


def test_a_loss_that_is_not_a_number_stops_the_run(spec: DataSpec, tmp_path: Path) -> None:
    run = run_in(tmp_path)
    start(spec, run, replace(TINY, epochs=1))
    before = run.best.read_bytes()
    model = model_of(spec)
    with torch.no_grad():
        model.model[0].conv.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="not a number"):
        train(spec, model, TINY, run, precision="float32", progress=False)
    assert run.best.read_bytes() == before


def test_every_image_once_an_epoch(spec: DataSpec) -> None:
    data = DetectionData(spec, "train", 64)
    batches = list(epoch_batches(data, TINY, 0, 0))
    assert [len(b.images) for b in batches] == [4, 4, 4]
    again, other = list(epoch_batches(data, TINY, 0, 0)), list(epoch_batches(data, TINY, 1, 0))
    assert all(torch.equal(a.images, b.images) for a, b in zip(batches, again, strict=True))
    assert not torch.equal(batches[0].images, other[0].images)


def test_loss_settings_follow_the_release() -> None:
    recipe = replace(TINY, label_smoothing=0.1, focal_gamma=1.5)
    one, seven = (loss_settings(cls((0.33, 0.125), 5), recipe) for cls in (YOLOv5, YOLOv5v6))
    assert (one.rule, seven.rule) == ("r1", "r7")
    assert one.focal_gamma == seven.focal_gamma == 1.5
    assert seven.label_smoothing == 0.1
    assert seven.objectness == pytest.approx(0.01)  # (64 / 640)²


def test_precision_can_be_told() -> None:
    assert choose_precision(CPU, "float32") == torch.float32
    assert choose_precision(CPU, "bfloat16") == torch.bfloat16
    assert choose_precision(CPU) in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(("length", "count"), [(1, 8), (8, 8), (48, 8), (5, 2)])
def test_spread(length: int, count: int) -> None:
    indices = spread(length, count)
    assert len(indices) == min(length, count) == len(set(indices))
    assert all(0 <= i < length for i in indices)


def test_resuming_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        resume(Run(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: damaged"):
        resume(Run(tmp_path))


def test_an_epoch_shorter_than_the_accumulation_still_steps(spec: DataSpec) -> None:
    data = DetectionData(spec, "train", 64)
    recipe = replace(TINY, batch=4, nominal_batch=64, warmup_epochs=0, warmup_iterations=0)  # 16 batches a step
    model = model_of(spec)
    training = Training.start(model, recipe)
    settings = loss_settings(model, recipe)
    for epoch in range(12):  # 3 batches each
        fit_epoch(
            training,
            epoch_batches(data, recipe, epoch, 0),
            3,
            lambda raw, targets: detection_loss(raw, targets, model.detect.anchors, settings),
            recipe,
            device=CPU,
        )
        training.epoch += 1
    assert training.ema.updates == 36 // 16


def test_weights_that_start_a_run_take_the_data_s_names(spec: DataSpec, tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = run_in(tmp_path)
    train(spec, YOLOv5v6((0.33, 0.125), list("abcde")), replace(TINY, epochs=1), run, progress=False)
    assert load_checkpoint(run.best).names == spec.names
    with pytest.raises(UserError, match="knows 3 classes"):
        train(spec, YOLOv5v6((0.33, 0.125), 3), TINY, run, progress=False)


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_a_fused_model_is_not_saved(release: type[YOLOv5 | YOLOv5v6], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fused model"):
        save_checkpoint(tmp_path / "fused.safetensors", release((0.33, 0.125), 5).fuse())
