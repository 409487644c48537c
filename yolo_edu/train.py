"""A training run from start to finish: data in, a run folder out, interruptible and resumable at every epoch."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor
from tqdm.auto import tqdm

from yolo_edu.augment import AugmentSettings, augment_batch
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
from yolo_edu.data import Batch, DataSpec, DetectionData, read_spec
from yolo_edu.draw import side_by_side, training_curves
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Report, detect, evaluate
from yolo_edu.fit import Training, choose_precision, fit_epoch
from yolo_edu.loss import Loss, LossSettings, detection_loss
from yolo_edu.model import Detector
from yolo_edu.recipe import Recipe
from yolo_edu.run import Row, Run, metrics_line


def epoch_batches(data: DetectionData, recipe: Recipe, epoch: int, seed: int) -> Iterator[Batch]:
    """Augmented batches of one epoch in an order that (seed, epoch) alone decides, so that a resumed run
    sees exactly what the uninterrupted one would have."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    order = torch.randperm(len(data), generator=generator).tolist()
    plain = epoch >= recipe.epochs - min(recipe.plain_epochs, recipe.epochs // 5)
    settings: AugmentSettings = replace(recipe.augment, mosaic=0.0) if plain else recipe.augment
    for start in range(0, len(order), recipe.batch):
        yield augment_batch(data, order[start : start + recipe.batch], settings, generator)


def loss_settings(model: Detector, recipe: Recipe) -> LossSettings:
    """The loss of the model's release at this training size."""
    extra = {"label_smoothing": recipe.label_smoothing, "focal_gamma": recipe.focal_gamma}
    if model.release == "yolov5":
        return LossSettings.r1(model.classes, **extra)
    return LossSettings.r7(model.classes, recipe.image_size, **extra)


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


def train(
    spec: DataSpec,
    model: Detector,
    recipe: Recipe,
    run: Run,
    *,
    device: str | torch.device = "cpu",
    seed: int = 0,
    precision: str = "auto",
    evaluate_every: int | None = None,
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
        device: "cpu", "cuda", …
        seed: decides order and augmentation.
        precision: "auto", "float32" or "bfloat16".
        evaluate_every: epochs between evaluations; None: about twenty in the whole run.
        resuming: continue from the run's state instead of starting.
        progress: show a bar and a line an evaluation.

    Returns:
        The evaluation of the best weights.

    Raises:
        UserError: unusable data, a loss that is not a number, a full disk.
        KeyboardInterrupt: after Ctrl-C, with the last finished epoch saved.
    """
    device = torch.device(device)
    if len(spec.names) != model.classes:
        raise UserError(
            f"the model knows {model.classes} classes, {spec.path} has {len(spec.names)}. "
            "Train from scratch or start from weights of as many classes."
        )
    model.names = spec.names  # weights that start a run bring the names of their own data
    train_data = DetectionData(spec, "train", recipe.image_size)
    val_data = DetectionData(spec, "val", recipe.image_size)
    model.to(device).to(memory_format=torch.channels_last)
    training = Training.start(model, recipe)
    if resuming:
        try:
            training.load(load_state(run.state))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            first = str(error).split("\n")[0]
            raise UserError(f"{run.state}: not the state of this run ({first}). Start a new run.") from None
    chosen = choose_precision(device, precision)
    every = evaluate_every or max(recipe.epochs // 20, 1)
    if not resuming:
        others = {"data": str(spec.path.resolve()), "model": describe(model), "seed": seed, "device": str(device)}
        others["evaluate_every"] = every
        # The choice is part of the run: a resumed one must not measure again and choose otherwise.
        run.write_config(recipe, **others, precision=str(chosen).removeprefix("torch."))
    settings = loss_settings(model, recipe)
    count = math.ceil(len(train_data) / recipe.batch)

    def loss_function(raw: Sequence[Tensor], targets: Tensor) -> Loss:
        return detection_loss(raw, targets, model.detect.anchors, settings)

    with (
        _interruptible() as interrupted,
        tqdm(
            total=recipe.epochs * count,
            initial=training.epoch * count,
            disable=None if progress else True,
            unit="batch",
            dynamic_ncols=True,
        ) as bar,
    ):

        def on_batch() -> None:
            bar.update()
            if interrupted():
                raise KeyboardInterrupt

        while training.epoch < recipe.epochs:
            started = time.perf_counter()
            bar.set_description(f"epoch {training.epoch + 1}/{recipe.epochs}")
            row = fit_epoch(
                training,
                epoch_batches(train_data, recipe, training.epoch, seed),
                count,
                loss_function,
                recipe,
                device=device,
                precision=chosen,
                on_batch=on_batch,
            )
            training.epoch += 1
            row = {"epoch": training.epoch, **row}
            if training.epoch % every == 0 or training.epoch == recipe.epochs:
                row |= _evaluate(training, val_data, run)
                if progress:
                    tqdm.write(metrics_line(row, recipe.epochs))
                bar.set_postfix(mAP50=f"{row['map50']:.3f}", best=f"{training.best:.3f}")
            training.history.append(row | {"seconds": time.perf_counter() - started})
            _save_state(training, run)
            run.write_log(training.history)
    return _finish(training, val_data, run)


def _evaluate(training: Training[Detector], val_data: DetectionData, run: Run) -> Row:
    """Measure the averaged weights and keep them if they are the best so far."""
    report = evaluate(training.ema.model, val_data, progress=False)
    if report.fitness > training.best:
        training.best = report.fitness
        metadata = {"epoch": training.epoch, "map50": report.map50, "map": report.map}
        metadata["image_size"] = val_data.image_size
        save_checkpoint(run.best, training.ema.model, metadata)
    return {"map50": report.map50, "map": report.map, "precision": report.precision, "recall": report.recall}


def _save_state(training: Training[Detector], run: Run) -> None:
    content = training.state() | {"format": FORMAT, "description": describe(training.ema.model)}
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


def usable_device(name: str | torch.device | None = None) -> torch.device:
    """The device asked for, or a GPU where there is one; tried out before any work is done on it.

    Raises:
        UserError: there is no such device here.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).item()  # "meta" makes tensors but has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).split("\n")[0]
        raise UserError(f"--device {name}: cannot be used ({first}). Use --device cpu.") from None
    return device


def spread(length: int, count: int) -> list[int]:
    """At most `count` indices, evenly spread over `range(length)`."""
    count = min(count, length)
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]


def resume(run: Run, *, device: str | torch.device | None = None, progress: bool = True) -> Report:
    """Continue a run from its last finished epoch, with the settings it was started with.

    Raises:
        UserError: not a run folder, or no epoch was finished yet.
    """
    recipe, others = run.read_config()
    if not run.state.is_file():
        raise UserError(f"{run.folder}: no epoch was finished, so there is nothing to continue. Start again.")
    try:
        path, seed, precision, every = (others[k] for k in ("data", "seed", "precision", "evaluate_every"))
        model, recorded = build(others["model"]), others["device"]
    except DESCRIPTION_ERRORS as error:
        raise UserError(f"{run.config}: damaged ({error!r}). Start a new run.") from None
    return train(
        read_spec(path),
        model,
        recipe,
        run,
        device=usable_device(device or recorded),
        seed=seed,
        precision=precision,
        evaluate_every=every,
        resuming=True,
        progress=progress,
    )
