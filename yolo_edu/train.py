"""A training run from start to finish: data in, a run folder out; it can be stopped anywhere and taken up again."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NoReturn

import torch
from tqdm.asyncio import tqdm as terminal_bar
from tqdm.auto import tqdm

from yolo_edu.batches import Batches
from yolo_edu.checkpoint import DESCRIPTION_ERRORS, build, load_state
from yolo_edu.data import DataSpec, DetectionData, read_spec
from yolo_edu.distributed import ALONE, World, synchronize_batchnorm
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Report
from yolo_edu.fit import Training, fit_epoch, mean_losses
from yolo_edu.guards import fitting_memory, interruptible
from yolo_edu.hardware import FORMATS, choose_numerics, usable_device, used_memory
from yolo_edu.keeper import Keeper
from yolo_edu.loss import LossSettings, detection_loss
from yolo_edu.model import Detector
from yolo_edu.recipe import Recipe, size_at
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
    world: World = ALONE,
    callbacks: Sequence[Callback] = (),
    resuming: bool = False,
    progress: bool = True,
) -> Report | None:
    """Train a detector and leave a run folder behind.

    Args:
        spec: the data; splits "train" and "val".
        model: what to train, changed in place.
        recipe: how.
        run: where to write. The state is written at the start, after every epoch and every `save_minutes`; the
            best weights after every evaluation that beats the last.
        options: how the run is carried out.
        device: "cpu", "cuda", …
        world: the processes that share the work; the first one evaluates, writes and speaks.
        callbacks: called by the first process after every epoch, when its files are written, with the state of
            training (`history`, `ema.model`, `epoch` …): live plots, loggers.
        resuming: continue from the run's state instead of starting.
        progress: show a bar and a line an evaluation.

    Returns:
        The evaluation of the best weights; None in processes that are not the first.

    Raises:
        UserError: unusable data, a loss that is not a number, a full disk, too little GPU memory.
        KeyboardInterrupt: after Ctrl-C, with everything up to the last step saved.
    """
    device = torch.device(device)
    if len(spec.names) != model.classes:
        raise UserError(
            f"the model knows {model.classes} classes, {spec.path} has {len(spec.names)}. "
            "Train from scratch or start from weights of as many classes."
        )
    model.names = spec.names  # weights that start a run bring the names of their own data
    speaking = progress and world.first
    train_data = DetectionData(spec, "train", recipe.image_size, options.cache, copies=world.size)
    val_data = DetectionData(spec, "val", recipe.image_size, options.cache, copies=world.size)
    if speaking and not train_data.cached and options.cache is None:
        print(f"{train_data.bytes / 2**30:.1f} GiB of images do not fit in memory: they are read anew each epoch")
    numerics = world.share(choose_numerics(model, device, options.precision, options.memory_format))
    _prepare(device, options)
    model.to(device).to(memory_format=FORMATS[numerics.memory_format])
    training = Training.start(model, recipe, numerics.precision)
    if resuming:
        _take_up(training, run)
    else:
        # What was measured is part of the run: a resumed one must not measure again and choose otherwise.
        options = replace(options, precision=numerics.precision, memory_format=numerics.memory_format)
        options = replace(options, evaluate_every=options.evaluate_every or max(recipe.epochs // 20, 1))
    keeper = Keeper(training, run, recipe, options, val_data) if world.first else None
    if keeper and resuming:
        run.sweep()
    elif keeper:
        keeper.begin(spec, device, train_data)
    synchronize_batchnorm(model, world, device)
    batches = Batches(
        train_data, recipe, options.seed, device, rank=world.rank, ranks=world.size, workers=options.workers
    )
    forward = torch.compile(model) if options.compile else model
    anchors = model.detect.anchors.cpu()  # assigning happens where the targets are
    saved, started = time.monotonic(), time.perf_counter()

    with (
        interruptible() as interrupted,
        tqdm(
            total=recipe.epochs * len(batches),
            initial=training.epoch * len(batches) + training.batch,
            # None: only where somebody watches. A notebook is no terminal, but shows bars.
            disable=not speaking or (None if tqdm is terminal_bar else False),
            unit="batch",
            dynamic_ncols=True,
            smoothing=0.05,  # the time left should not jump after every evaluation
        ) as bar,
    ):

        def on_batch() -> None:
            nonlocal started
            now = time.perf_counter()
            training.seconds, started = training.seconds + now - started, now
            bar.update()

        def on_step() -> None:
            nonlocal saved
            leaving, due = world.any(interrupted(), time.monotonic() - saved > 60 * options.save_minutes)
            if leaving or due:
                _save_together(training, keeper, world)
                saved = time.monotonic()
            if leaving:
                stop_here()

        def stop_here() -> NoReturn:
            if keeper:
                keeper.pause()
            raise KeyboardInterrupt

        while training.epoch < recipe.epochs and not world.share(_patience_is_over(training, options)):
            started = time.perf_counter()
            bar.set_description(f"epoch {training.epoch + 1}/{recipe.epochs}")
            size = size_at(recipe, training.epoch)
            loss = partial(
                detection_loss,
                anchors=anchors,
                settings=loss_settings(model, recipe, size),
                total=world.total if world.size > 1 else None,
            )
            remaining = batches.epoch(training.epoch, training.batch)
            if keeper:
                remaining = keeper.watch(remaining)
            with fitting_memory(model, -(-recipe.batch // world.size), size, device, numerics):
                row = fit_epoch(
                    training,
                    remaining,
                    len(batches),
                    loss,
                    recipe,
                    device=device,
                    numerics=numerics,
                    forward=forward,
                    world=world,
                    on_batch=on_batch,
                    on_step=on_step,
                )
            measured = world.share(keeper.evaluate(interrupted) if keeper else {})
            if measured is None:
                _save_together(training, keeper, world)
                stop_here()
            training.seconds += time.perf_counter() - started
            training.end_epoch(row | measured)
            if keeper:
                keeper.save()
                saved = time.monotonic()
                bar.set_postfix(_status(training, device))
                if measured and speaking:
                    tqdm.write(metrics_line(training.history[-1], recipe.epochs))
                for callback in callbacks:
                    callback(training)
            if world.any(interrupted())[0]:
                stop_here()
    if speaking and training.epoch < recipe.epochs:
        print(f"no better weights for {options.patience} epochs: stopped after epoch {training.epoch}")
    return keeper.finish() if keeper else None


def loss_settings(model: Detector, recipe: Recipe, image_size: int) -> LossSettings:
    """The loss of the model's release at a training size in pixels."""
    extra = {"label_smoothing": recipe.label_smoothing, "focal_gamma": recipe.focal_gamma}
    if model.release == "yolov5":
        settings = LossSettings.r1(model.classes, **extra)
    else:
        settings = LossSettings.r7(model.classes, image_size, **extra)
    return replace(
        settings,
        box=settings.box * recipe.box_gain,
        objectness=settings.objectness * recipe.objectness_gain,
        classification=settings.classification * recipe.class_gain,
    )


# --- around the loop ------------------------------------------------------------------------------------


def _prepare(device: torch.device, options: Options) -> None:
    """Library switches that a run needs."""
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses to be deterministic
    # warn_only: an operation without a deterministic form should not end a training.
    torch.use_deterministic_algorithms(options.deterministic, warn_only=True)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not options.deterministic
        torch.set_float32_matmul_precision("high")


def _take_up(training: Training[Detector], run: Run) -> None:
    try:
        training.load(load_state(run.state))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        first = str(error).split("\n")[0]
        raise UserError(f"{run.state}: not the state of this run ({first}). Start a new run.") from None


def _patience_is_over(training: Training[Detector], options: Options) -> bool:
    """Asked when an epoch has just been measured: were better weights found too long ago?"""
    if options.patience is None or not training.history or "map50" not in training.history[-1]:
        return False
    return training.epoch - training.best_epoch >= options.patience


def _save_together(training: Training[Detector], keeper: Keeper | None, world: World) -> None:
    """Save in the middle of an epoch. Each process has its share of the loss so far: the first takes them all."""
    mean_losses(training, world)  # a state that is not a number must not replace a good one
    total = world.total(training.parts)
    training.parts = total if keeper else torch.zeros_like(total)
    if keeper:
        keeper.save()


def _status(training: Training[Detector], device: torch.device) -> dict[str, str]:
    """What the progress bar says beside the time left."""
    measured = [row for row in training.history if "map50" in row]
    memory = used_memory(device)
    status = {"mAP50": f"{measured[-1]['map50']:.3f}"} if measured else {}
    return status | ({"memory": f"{memory / 2**30:.1f}G"} if memory is not None else {})


def resume(
    run: Run,
    *,
    device: str | torch.device | None = None,
    world: World = ALONE,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Report | None:
    """Continue a run from where its state was last saved, with the settings it was started with.

    Raises:
        UserError: not a run folder, or a damaged one.
    """
    recipe, options, others = run.read_config()
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
        world=world,
        callbacks=callbacks,
        resuming=True,
        progress=progress,
    )


if __name__ == "__main__":
    from yolo_edu.cli import main  # torchrun starts modules, not commands: torchrun -m yolo_edu.train …

    sys.exit(main(["train", *sys.argv[1:]]))
