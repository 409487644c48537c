"""Whole runs: what they leave behind, that they resume exactly, and that nothing is lost when something goes wrong."""

import csv
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from yolo_edu import garden
from yolo_edu.checkpoint import load_checkpoint, load_state, read_metadata
from yolo_edu.data import DataSpec, read_spec
from yolo_edu.errors import UserError
from yolo_edu.fit import Training
from yolo_edu.hardware import Numerics
from yolo_edu.keeper import Keeper
from yolo_edu.loss import Loss, detection_loss
from yolo_edu.model import Detector, YOLOv5, YOLOv5v6
from yolo_edu.recipe import RECIPES, Recipe
from yolo_edu.run import Options, Run, new_folder
from yolo_edu.train import loss_settings, resume, train

TINY = replace(RECIPES["short"], epochs=4, batch=4, image_size=64, nominal_batch=4, plain_epochs=1, growth=())
# Without the search for anchors, which these tiny pictures would always start.
EXACT = Options(precision="float32", memory_format="channels_last", autoanchor=False)
PICTURES = {"labels.png", "results.png", "detections.jpg", "pr_curve.png", "f1_curve.png", "confusion.png"}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> DataSpec:
    """Twelve training images: three batches of four."""
    folder = tmp_path_factory.mktemp("train") / "garden"
    return read_spec(garden.write(folder, 15, size=96))


def model_of(spec: DataSpec, seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return YOLOv5v6((0.33, 0.125), spec.names)


def run_in(folder: Path) -> Run:
    return Run(new_folder(folder, "run"))


def start(spec: DataSpec, run: Run, recipe: Recipe = TINY, options: Options = EXACT, **others: object) -> None:
    train(spec, model_of(spec), recipe, run, options, progress=False, **others)  # type: ignore[arg-type]


def state(run: Run) -> dict[str, torch.Tensor]:
    """Every tensor of the saved state, and the log without its times."""
    content = load_state(run.state)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in content["history"]]
    tensors = {f"{part}.{name}": x for part in ("model", "ema") for name, x in content[part].items()}
    moments = content["optimizer"]["state"]
    tensors |= {f"{i}.{name}": x for i, own in moments.items() for name, x in own.items()}
    return tensors | {"history": torch.tensor([list(row.values())[:5] for row in rows])}


def assert_same_end(a: Run, b: Run) -> None:
    ours, theirs = state(a), state(b)
    assert ours.keys() == theirs.keys()
    assert [name for name, x in ours.items() if not torch.equal(x, theirs[name])] == []
    best, other = (load_checkpoint(run.best).state_dict() for run in (a, b))
    assert all(torch.equal(x, other[name]) for name, x in best.items())
    assert read_metadata(a.best) == read_metadata(b.best)


@pytest.fixture(autouse=True)
def _no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all these tiny networks' training; one test looks at the pictures."""
    if "pictures" in request.keywords:
        return
    for name in ("album.show_data", "album.show_batch", "album.show_training", "album.show_evaluation", "write_page"):
        monkeypatch.setattr(f"yolo_edu.keeper.{name}", lambda *args: None)


# --- what a run leaves behind ---------------------------------------------------------------------------


@pytest.mark.pictures
def test_a_run_leaves_everything_behind(spec: DataSpec, tmp_path: Path) -> None:
    run = run_in(tmp_path)
    report = train(spec, model_of(spec), TINY, run, replace(EXACT, evaluate_every=2), progress=False)
    assert report is not None
    names = {p.name for p in run.folder.iterdir()}
    batches = {f"train_batch{i}.jpg" for i in range(3)}
    files = {"best.safetensors", "last.pt", "config.json", "results.csv", "metrics.json", "report.html"}
    assert names == files | PICTURES | batches
    rows = list(csv.DictReader(run.log.open()))
    assert [int(r["epoch"]) for r in rows] == [1, 2, 3, 4]
    assert [bool(r["map50"]) for r in rows] == [False, True, False, True]
    assert all(math.isfinite(float(r["box"])) for r in rows)
    assert 0 <= report.map50 <= 1
    best = load_checkpoint(run.best)
    assert best.names == spec.names
    assert read_metadata(run.best)["image_size"] == read_metadata(run.state)["image_size"] == 64
    assert type(load_checkpoint(run.state)) is YOLOv5v6
    recipe, options, others = run.read_config()
    assert recipe == TINY
    assert options == replace(EXACT, evaluate_every=2)
    assert others["command"].split()[0] == sys.argv[0]
    page = (run.folder / "report.html").read_text()
    assert page.count("data:image/") == len(PICTURES | batches)


def test_callbacks_see_every_epoch(spec: DataSpec, tmp_path: Path) -> None:
    seen = []

    def watch(training: Training[Detector]) -> None:
        seen.append((training.epoch, len(training.history), training.batch))

    start(spec, run_in(tmp_path), callbacks=[watch])
    assert seen == [(i, i, 0) for i in (1, 2, 3, 4)]


def test_a_seed_repeats_a_run_and_another_does_not(spec: DataSpec, tmp_path: Path) -> None:
    recipe = replace(TINY, epochs=1)
    runs = [run_in(tmp_path) for _ in range(3)]
    for run, seed in zip(runs, (0, 0, 1), strict=True):
        start(spec, run, recipe, replace(EXACT, seed=seed))
    assert_same_end(runs[0], runs[1])
    a, c = (load_state(run.state)["model"] for run in (runs[0], runs[2]))
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_small_pictures_first(spec: DataSpec, tmp_path: Path) -> None:
    """The best weights know the size they were best at."""
    run = run_in(tmp_path)
    start(spec, run, replace(TINY, epochs=2, growth=((0.5, 0.5),)))
    assert read_metadata(run.best)["image_size"] in (32, 64)
    assert load_state(run.state)["metadata"]["image_size"] == 64


def test_patience(spec: DataSpec, tmp_path: Path) -> None:
    """Without a learning rate nothing gets better: the run ends after the patience, not after all epochs."""
    run = run_in(tmp_path)
    still = replace(TINY, epochs=40, lr=1e-30, warmup_bias_lr=0.0, warmup_epochs=0, warmup_iterations=0)
    start(spec, run, still, replace(EXACT, evaluate_every=2, patience=5))
    epochs = [int(r["epoch"]) for r in csv.DictReader(run.log.open())]
    best = load_state(run.state)["best_epoch"]
    assert epochs[-1] == best + 6  # the first evaluation at least five epochs later
    assert epochs[-1] < 40
    resume(run, progress=False)  # measures again, but does not train on
    assert load_state(run.state)["epoch"] == epochs[-1]


def test_numerics_are_measured_once(spec: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that measured bfloat16 to be faster goes on with it."""
    run = run_in(tmp_path)
    monkeypatch.setattr("yolo_edu.train.choose_numerics", lambda *args: Numerics("bfloat16", "contiguous"))
    start(spec, run, replace(TINY, epochs=1), Options())
    _, options, _ = run.read_config()
    assert (options.precision, options.memory_format, options.evaluate_every) == ("bfloat16", "contiguous", 1)


def test_weights_that_start_a_run_take_the_data_s_names(spec: DataSpec, tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = run_in(tmp_path)
    train(spec, YOLOv5v6((0.33, 0.125), list("abcde")), replace(TINY, epochs=1), run, EXACT, progress=False)
    assert load_checkpoint(run.best).names == spec.names
    with pytest.raises(UserError, match="knows 3 classes"):
        train(spec, YOLOv5v6((0.33, 0.125), 3), TINY, run, EXACT, progress=False)


def test_loss_settings_follow_the_release_and_the_recipe() -> None:
    recipe = replace(TINY, label_smoothing=0.1, focal_gamma=1.5, box_gain=1.0, objectness_gain=1.0, class_gain=1.0)
    one, seven = (loss_settings(cls((0.33, 0.125), 5), recipe, 64) for cls in (YOLOv5, YOLOv5v6))
    assert (one.rule, seven.rule) == ("r1", "r7")
    assert one.focal_gamma == seven.focal_gamma == 1.5
    assert seven.label_smoothing == 0.1
    assert seven.objectness == pytest.approx(0.01)  # (64 / 640)²
    more = loss_settings(YOLOv5v6((0.33, 0.125), 5), replace(recipe, box_gain=2, objectness_gain=3, class_gain=4), 64)
    assert more.box == 2 * seven.box
    assert more.objectness == 3 * seven.objectness
    assert more.classification == 4 * seven.classification


# --- stopping and going on ------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", [1, 5, 12])
def test_an_interrupted_run_ends_in_the_same_weights(
    spec: DataSpec, tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at a batch of the first epoch, of the middle of the second, at the very end: then resume."""
    whole, broken = run_in(tmp_path), run_in(tmp_path)
    start(spec, whole)
    count = 0

    def interrupting(*args: object, **options: object) -> Loss:
        nonlocal count
        count += 1
        if count == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return detection_loss(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("yolo_edu.train.detection_loss", interrupting)
        with pytest.raises(KeyboardInterrupt):
            start(spec, broken)
    saved = load_state(broken.state)
    assert 3 * saved["epoch"] + saved["batch"] == stop_after  # nothing done is lost
    resume(broken, progress=False)
    assert_same_end(whole, broken)
    assert {p.name for p in whole.folder.iterdir()} == {p.name for p in broken.folder.iterdir()}


def test_ctrl_c_during_an_evaluation(spec: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = run_in(tmp_path), run_in(tmp_path)
    start(spec, whole)

    def interrupting(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("yolo_edu.keeper.evaluate", interrupting)
        with pytest.raises(KeyboardInterrupt):
            start(spec, broken)
    assert load_state(broken.state)["batch"] == 3  # the epoch's batches are done, its evaluation is not
    resume(broken, progress=False)
    assert_same_end(whole, broken)


def test_a_killed_run_ends_in_the_same_weights(spec: DataSpec, tmp_path: Path) -> None:
    """SIGKILL in the middle of a step, state saved after every step; benchmarks/kill_and_resume.py does twenty."""
    whole, broken = run_in(tmp_path), run_in(tmp_path)
    options = replace(EXACT, save_minutes=0)
    start(spec, whole, options=options)
    code = (
        "import os, signal, sys; from pathlib import Path; import test_train as t; import yolo_edu.train as module\n"
        "from yolo_edu.data import read_spec; from yolo_edu.run import Run\n"
        "count, real = 0, module.detection_loss\n"
        "def deadly(*args, **options):\n"
        "    global count; count += 1\n"
        "    if count == 8: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(*args, **options)\n"
        "module.detection_loss = deadly\n"
        "t.start(read_spec(sys.argv[1]), Run(Path(sys.argv[2])), options=t.replace(t.EXACT, save_minutes=0))\n"
    )
    command = [sys.executable, "-c", code, str(spec.path), str(broken.folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    assert subprocess.run(command, check=False, env=environment).returncode == -signal.SIGKILL
    saved = load_state(broken.state)
    assert (saved["epoch"], saved["batch"]) == (2, 1)
    (broken.folder / ".last.pt.abc.unfinished").write_bytes(b"half")  # as if killed while writing
    resume(broken, progress=False)
    assert_same_end(whole, broken)
    assert not list(broken.folder.glob(".*"))


def test_a_run_that_saves_nothing_on_the_way(spec: DataSpec, tmp_path: Path) -> None:
    """Weights at the end only, the same as of a run that saves; after Ctrl-C what is needed to go on is there."""
    kept, quiet = run_in(tmp_path), run_in(tmp_path)
    start(spec, kept)
    seen = []
    options = replace(EXACT, save=False)
    start(
        spec, quiet, options=options, callbacks=[lambda training: seen.append({p.name for p in quiet.folder.iterdir()})]
    )
    assert all(names == {"config.json"} for names in seen)
    assert_same_end(kept, quiet)

    stopped = run_in(tmp_path)

    def stop(training: Training[Detector]) -> None:
        if training.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start(spec, stopped, options=options, callbacks=[stop])
    assert stopped.best.exists()
    resume(stopped, progress=False)
    assert_same_end(kept, stopped)


@pytest.mark.parametrize("changes", [{"rectangular": True}, {"multi_scale": True}, {"frozen": tuple(range(10))}])
def test_other_batches_and_frozen_rows_resume_exactly(changes: dict, spec: DataSpec, tmp_path: Path) -> None:
    recipe = replace(TINY, **changes)
    whole, stopped = run_in(tmp_path), run_in(tmp_path)
    start(spec, whole, recipe)

    def stop(training: Training[Detector]) -> None:
        if training.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start(spec, stopped, recipe, callbacks=[stop])
    resume(stopped, progress=False)
    assert_same_end(whole, stopped)
    frozen = [name for name in state(whole) if name.startswith("model.model.") and int(name.split(".")[2]) < 10]
    fresh = model_of(spec).state_dict()
    same = [torch.equal(state(whole)[name], fresh[name.removeprefix("model.")]) for name in frozen]
    assert all(same) if "frozen" in changes else not all(same)


def test_resuming_what_is_no_run(tmp_path: Path, spec: DataSpec) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        resume(Run(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: damaged"):
        resume(Run(tmp_path))
    run = run_in(tmp_path)
    start(spec, run, replace(TINY, epochs=1))
    run.state.write_bytes(run.state.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"last\.pt: damaged"):
        resume(run, progress=False)
    run.state.unlink()
    with pytest.raises(UserError, match=r"last\.pt: no such file"):
        resume(run, progress=False)


def test_resuming_with_a_smaller_batch(spec: DataSpec, tmp_path: Path) -> None:
    """Other batches, so the broken epoch starts again, and the iteration of the last step is one of the new count."""
    run = run_in(tmp_path)

    def interrupt(training: Training[Detector]) -> None:
        if training.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start(spec, run, callbacks=[interrupt])
    before = load_state(run.state)
    assert (before["epoch"], before["batch"], before["count"], before["last_step"]) == (2, 1, 3, 6)
    resume(run, batch=6, progress=False)
    after = load_state(run.state)
    assert (after["epoch"], after["count"]) == (4, 2)
    # batches of six no longer need two for a step of four images: every batch steps
    assert after["ema_updates"] == before["ema_updates"] + 2 * 2
    recipe, _, _ = run.read_config()
    assert recipe.batch == 6
    for batch in (0, -4):  # the option is wrong, not the run
        with pytest.raises(UserError, match="batch must be more than 0"):
            resume(run, batch=batch, progress=False)


def test_a_run_with_float16_goes_on_without_a_gpu(spec: DataSpec, tmp_path: Path) -> None:
    run = run_in(tmp_path)
    start(spec, run, replace(TINY, epochs=1))
    recipe, options, others = run.read_config()
    run.write_config(replace(recipe, epochs=2), replace(options, precision="float16"), **others)
    resume(run, device="cpu", progress=False)
    assert load_state(run.state)["epoch"] == 2


def test_short_epochs_are_not_all_saved(spec: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four quick epochs, measured at 3 and 4: a GPU would spend its time on saving otherwise."""
    saved = []
    monkeypatch.setattr("yolo_edu.train.SAVE_SECONDS", 1e9)
    real = Keeper.save

    def save(keeper: Keeper) -> None:
        saved.append((keeper.training.epoch, keeper.training.batch))
        real(keeper)

    monkeypatch.setattr(Keeper, "save", save)
    start(spec, run_in(tmp_path), options=replace(EXACT, evaluate_every=3))
    assert saved == [(0, 0), (2, 3), (3, 0), (3, 3), (4, 0)]  # at the start, before and after each evaluation


def test_resuming_a_finished_run_changes_nothing(spec: DataSpec, tmp_path: Path) -> None:
    run = run_in(tmp_path)
    start(spec, run, replace(TINY, epochs=1))
    before = run.best.read_bytes()
    report = resume(run, progress=False)
    assert report is not None
    assert run.best.read_bytes() == before


# --- what goes wrong ------------------------------------------------------------------------------------


def test_a_loss_that_is_not_a_number_stops_the_run(spec: DataSpec, tmp_path: Path) -> None:
    """Neither the best weights nor the last good state are replaced by ones that are no numbers."""
    run = run_in(tmp_path)
    with pytest.raises(UserError, match="not a number"):
        start(spec, run, replace(TINY, lr=1e30, warmup_epochs=0, warmup_iterations=0, clip_norm=1e30))
    assert all(x.isfinite().all() for x in load_state(run.state)["model"].values())


def test_a_data_folder_that_vanishes(spec: DataSpec, tmp_path: Path) -> None:
    """Without a cache the images are read anew each epoch; the run says which one is gone and can go on."""
    whole, broken = run_in(tmp_path), run_in(tmp_path)
    options = replace(EXACT, cache=False)
    start(spec, whole, options=options)
    images = spec.images("train")[0].parent
    hidden = images.with_name("hidden")

    def vanish(training: Training[Detector]) -> None:
        if training.epoch == 2:
            images.rename(hidden)

    try:
        with pytest.raises(UserError, match=r"images.*\.(png|jpg).*cannot read the image"):
            start(spec, broken, options=options, callbacks=[vanish])
    finally:
        hidden.rename(images)
    assert load_state(broken.state)["epoch"] == 2
    resume(broken, progress=False)
    assert_same_end(whole, broken)


def test_a_full_disk(spec: DataSpec, tmp_path: Path) -> None:
    """A limit on file sizes stands in for the full disk: one line, status 2, and what was there stays usable."""
    code = (
        "import resource, sys; from yolo_edu import cli\n"
        "import yolo_edu.keeper as k; real = k.Keeper.save\n"
        "def save(keeper):\n"
        "    if keeper.training.epoch == 2: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "    real(keeper)\n"
        "k.Keeper.save = save\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "train",
        "--data",
        str(spec.path),
        "--project",
        str(tmp_path),
        "--name",
        "run",
    ]
    command += ["--epochs", "4", "--img-size", "64", "--batch", "4", "--precision", "float32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert "Free some space" in done.stderr
    assert "yolo-edu train --resume" in done.stderr
    assert "Traceback" not in done.stderr
    run = Run(tmp_path / "run")
    assert load_state(run.state)["epoch"] == 1
    assert not list(run.folder.glob(".*"))


def test_a_gpu_without_memory(spec: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> Loss:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("yolo_edu.train.detection_loss", full)
    run = run_in(tmp_path)
    with pytest.raises(UserError, match=r"a batch of 4 at 64 px does not fit .* --batch-size 2 does"):
        start(spec, run)
    assert load_state(run.state)["epoch"] == 0


@pytest.mark.parametrize(("size", "growth"), [(32, ()), (64, ((0.5, 0.5),))])
def test_one_small_image_alone(spec: DataSpec, tmp_path: Path, size: int, growth: tuple) -> None:
    """At 32 px P5 has one cell, and a last batch of one image one value a channel: BatchNorm cannot."""
    with pytest.raises(UserError, match="Use another --batch-size"):
        start(spec, run_in(tmp_path), replace(TINY, batch=11, image_size=size, growth=growth))


def test_the_data_yaml_is_gone(spec: DataSpec, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(spec.path.parent, copy)
    run = run_in(tmp_path)
    start(read_spec(copy / spec.path.name), run, replace(TINY, epochs=1))
    shutil.rmtree(copy)
    with pytest.raises(UserError, match="cannot read the data set YAML"):
        resume(run, progress=False)
