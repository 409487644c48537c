"""A training run from start to finish: data in, a run folder out, interruptible and resumable at every epoch."""

import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from tqdm.auto import tqdm

from yolo_edu.batches import Batches
from yolo_edu.checkpoint import (
    DESCRIPTION_ERRORS,
    FORMAT,
    build,
    describe,
    load_checkpoint,
    load_state,
    save_checkpoint,
    write_atomically,
)
from yolo_edu.data import DataSpec, DetectionData, read_spec
from yolo_edu.draw import side_by_side, training_curves
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Report, detect, evaluate
from yolo_edu.fit import Training, fit_epoch
from yolo_edu.hardware import FORMATS, Numerics, autocast, batch_that_fits, choose_numerics, usable_device, used_memory
from yolo_edu.loss import LossSettings, detection_loss
from yolo_edu.model import Detector
from yolo_edu.recipe import Recipe, Row, size_at
from yolo_edu.run import Options, Run, metrics_line

Callback = Callable[[Training[Detector]], None]
DEFAULTS = Options()


def train(
    spec: DataSpec,
    model: Detector,
    recipe: Recipe,
    run: Run,
    options: Options = DEFAULTS,
    *,
    device: str | torch.device = "cpu",
    callbacks: Sequence[Callback] = (),
    resuming: bool = False,
    progress: bool = True,
) -> Report:
    """Train a detector and leave a run folder behind.

    Args:
        spec: the data; splits "train" and "val".
        model: what to train, changed in place.
        recipe: how.
        run: where to write. The state is written after every epoch, the best weights after every
            evaluation that beats the last.
        options: how the run is carried out.
        device: "cpu", "cuda", …
        callbacks: called after every epoch, when its files are written, with the state of training
            (`history`, `ema.model`, `epoch` …): live plots, loggers.
        resuming: continue from the run's state instead of starting.
        progress: show a bar and a line an evaluation.

    Returns:
        The evaluation of the best weights.

    Raises:
        UserError: unusable data, a loss that is not a number, a full disk, too little GPU memory.
        KeyboardInterrupt: after Ctrl-C, with the last finished epoch saved.
    """
    device = torch.device(device)
    if len(spec.names) != model.classes:
        raise UserError(
            f"the model knows {model.classes} classes, {spec.path} has {len(spec.names)}. "
            "Train from scratch or start from weights of as many classes."
        )
    model.names = spec.names  # weights that start a run bring the names of their own data
    train_data = DetectionData(spec, "train", recipe.image_size, options.cache)
    val_data = DetectionData(spec, "val", recipe.image_size, options.cache)
    if progress and not train_data.cached and options.cache is None:
        print(f"{train_data.bytes / 2**30:.1f} GiB of images do not fit in memory: they are read anew each epoch")
    numerics = choose_numerics(model, device, options.precision, options.memory_format)
    if not resuming:
        # What was measured is part of the run: a resumed one must not measure again and choose otherwise.
        options = replace(options, precision=numerics.precision, memory_format=numerics.memory_format)
        options = replace(options, evaluate_every=options.evaluate_every or max(recipe.epochs // 20, 1))
        places = {"data": str(spec.path.resolve()), "device": str(device), "command": shlex.join(sys.argv)}
        run.write_config(recipe, options, model=describe(model), **places)
    _prepare(device, options)
    model.to(device).to(memory_format=FORMATS[numerics.memory_format])
    training = Training.start(model, recipe, numerics.precision)
    if resuming:
        _take_up(training, run)
    batches = Batches(train_data, recipe, options.seed, device, workers=options.workers)
    forward = torch.compile(model) if options.compile else model
    anchors = model.detect.anchors.cpu()  # assigning happens where the targets are
    stop = False

    with (
        _interruptible() as interrupted,
        tqdm(
            total=recipe.epochs * len(batches),
            initial=training.epoch * len(batches),
            disable=None if progress else True,
            unit="batch",
            dynamic_ncols=True,
            smoothing=0.05,  # the time left should not jump after every evaluation
        ) as bar,
    ):

        def on_batch() -> None:
            bar.update()
            if interrupted():
                raise KeyboardInterrupt

        while training.epoch < recipe.epochs and not stop:
            started = time.perf_counter()
            bar.set_description(f"epoch {training.epoch + 1}/{recipe.epochs}")
            settings = loss_settings(model, recipe, size_at(recipe, training.epoch))
            with _fitting_memory(model, recipe, device, numerics):
                row = fit_epoch(
                    training,
                    batches.epoch(training.epoch),
                    len(batches),
                    partial(detection_loss, anchors=anchors, settings=settings),
                    recipe,
                    device=device,
                    numerics=numerics,
                    forward=forward,
                    on_batch=on_batch,
                )
                training.epoch += 1
                row = {"epoch": training.epoch, **row}
                if training.epoch % (options.evaluate_every or 1) == 0 or training.epoch == recipe.epochs:
                    row |= _evaluate(training, val_data, run, interrupted)
                    if progress:
                        tqdm.write(metrics_line(row, recipe.epochs))
            training.history.append(row | {"seconds": time.perf_counter() - started})
            _save_state(training, run, recipe.image_size)
            run.write_log(training.history)
            bar.set_postfix(_status(training, device))
            for callback in callbacks:
                callback(training)
            stop = options.patience is not None and training.epoch - training.best_epoch >= options.patience
            if interrupted():
                raise KeyboardInterrupt
    if stop and progress:
        print(f"no better weights for {options.patience} epochs: stopped after epoch {training.epoch}")
    return _finish(training, val_data, run)


def loss_settings(model: Detector, recipe: Recipe, image_size: int) -> LossSettings:
    """The loss of the model's release at a training size in pixels."""
    extra = {"label_smoothing": recipe.label_smoothing, "focal_gamma": recipe.focal_gamma}
    if model.release == "yolov5":
        return LossSettings.r1(model.classes, **extra)
    return LossSettings.r7(model.classes, image_size, **extra)


# --- around the loop ------------------------------------------------------------------------------------


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question the loop asks between batches; a second one stops at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, previous)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals belong to the main thread
        return
    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _fitting_memory(model: Detector, recipe: Recipe, device: torch.device, numerics: Numerics) -> Iterator[None]:
    """A GPU that is too small becomes a UserError that names the batch size that does fit, tried out."""
    try:
        yield
        return
    except torch.cuda.OutOfMemoryError:
        pass  # leave the handler first: the error holds on to everything the step had allocated
    images = torch.rand(recipe.batch, 3, recipe.image_size, recipe.image_size, device="cpu")

    def step(batch: int) -> None:
        with autocast(device, numerics):
            raw = model(images[:batch].to(device, memory_format=FORMATS[numerics.memory_format]))
        sum(level.float().sum() for level in raw).backward()

    model.zero_grad(set_to_none=True)
    fits = batch_that_fits(step, recipe.batch)
    advice = f"--batch-size {fits} does" if fits else "not even one image does: use a smaller --img-size or --model"
    raise UserError(
        f"a batch of {recipe.batch} at {recipe.image_size} px does not fit into the memory of {device}; {advice}. "
        "The finished epochs are saved."
    )


def _prepare(device: torch.device, options: Options) -> None:
    """Library switches that a run needs."""
    if options.deterministic:
        # warn_only: an operation without a deterministic form should not end a training.
        torch.use_deterministic_algorithms(True, warn_only=True)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not options.deterministic
        torch.set_float32_matmul_precision("high")


def _take_up(training: Training[Detector], run: Run) -> None:
    try:
        training.load(load_state(run.state))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        first = str(error).split("\n")[0]
        raise UserError(f"{run.state}: not the state of this run ({first}). Start a new run.") from None


def _status(training: Training[Detector], device: torch.device) -> dict[str, str]:
    """What the progress bar says beside the time left."""
    measured = [row for row in training.history if "map50" in row]
    memory = used_memory(device)
    status = {"mAP50": f"{measured[-1]['map50']:.3f}"} if measured else {}
    return status | ({"memory": f"{memory / 2**30:.1f}G"} if memory is not None else {})


def _evaluate(training: Training[Detector], val_data: DetectionData, run: Run, interrupted: Callable[[], bool]) -> Row:
    """Measure the averaged weights and keep them if they are the best so far."""
    report = evaluate(training.ema.model, val_data, progress=False, interrupted=interrupted)
    if report.fitness > training.best:
        training.best, training.best_epoch = report.fitness, training.epoch
        metadata = {"epoch": training.epoch, "map50": report.map50, "map": report.map}
        metadata["image_size"] = val_data.image_size
        save_checkpoint(run.best, training.ema.model, metadata)
    return {"map50": report.map50, "map": report.map, "precision": report.precision, "recall": report.recall}


def _save_state(training: Training[Detector], run: Run, image_size: int) -> None:
    content = training.state() | {"format": FORMAT, "description": describe(training.ema.model)}
    content["metadata"] = {"epoch": training.epoch, "image_size": image_size}
    write_atomically(run.state, lambda file: torch.save(content, file))


def _finish(training: Training[Detector], val_data: DetectionData, run: Run) -> Report:
    """Draw the curves and the best weights' detections beside the truth; measure those weights."""
    best = load_checkpoint(run.best).to(next(training.model.parameters()).device)
    report = evaluate(best, val_data, progress=False)
    training_curves(training.history).savefig(run.folder / "results.png", dpi=120)
    samples = [val_data[i] for i in spread(len(val_data), 8)]
    found = detect(best, [s.image for s in samples], size=val_data.image_size)
    side_by_side(samples, found, best.names).savefig(run.folder / "detections.png", dpi=120)
    return report


def spread(length: int, count: int) -> list[int]:
    """At most `count` indices, evenly spread over `range(length)`."""
    count = min(count, length)
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]


def resume(
    run: Run,
    *,
    device: str | torch.device | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Report:
    """Continue a run from its last finished epoch, with the settings it was started with.

    Raises:
        UserError: not a run folder, or no epoch was finished yet.
    """
    recipe, options, others = run.read_config()
    if not run.state.is_file():
        raise UserError(f"{run.folder}: no epoch was finished, so there is nothing to continue. Start again.")
    try:
        path, model, recorded = others["data"], build(others["model"]), others["device"]
    except DESCRIPTION_ERRORS as error:
        raise UserError(f"{run.config}: damaged ({error!r}). Start a new run.") from None
    return train(
        read_spec(path),
        model,
        recipe,
        run,
        options,
        device=usable_device(device or recorded),
        callbacks=callbacks,
        resuming=True,
        progress=progress,
    )
