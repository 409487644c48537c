"""A training run from start to finish: data in, a run folder out; it can be stopped anywhere and taken up again."""

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
from yolo_edu.checkpoint import DESCRIPTION_ERRORS, build
from yolo_edu.data import DataSpec, DetectionData, one_class, read_spec
from yolo_edu.distributed import ALONE, World, synchronize_batchnorm
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Report
from yolo_edu.fit import Training, fit_epoch, mean_losses
from yolo_edu.guards import compiled, fitting_memory, interruptible
from yolo_edu.hardware import FORMATS, choose_numerics, prepare, usable_device, used_memory
from yolo_edu.keeper import Keeper
from yolo_edu.loss import detection_loss
from yolo_edu.model import Detector
from yolo_edu.recipe import Recipe, Row, loss_settings, size_at
from yolo_edu.run import Options, Run, metrics_line
from yolo_edu.start import check_classes, fit_anchors, take_up
from yolo_edu.transfer import freeze, learning_shares

Callback = Callable[[Training[Detector]], None]
DEFAULTS = Options()
SAVE_SECONDS = 10.0  # epochs shorter than this are not all saved: on a GPU, saving would take longer than they do


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
        run: where to write. The state is written at the start, around every evaluation, after epochs of more than
            ten seconds and every `save_minutes` inside long ones; the best weights after every evaluation that
            beats the last.
        options: how the run is carried out.
        device: "cpu", "cuda", …
        world: the processes that share the work; the first one evaluates, writes and speaks.
        callbacks: called by the first process after every epoch with the state of training (`history`, `ema.model`,
            `epoch` …): live plots, loggers.
        resuming: continue from the run's state instead of starting.
        progress: show a bar and a line an evaluation.

    Returns:
        The evaluation of the best weights; None in processes that are not the first.

    Raises:
        UserError: unusable data, a full disk, too little GPU memory.
        Spoiled: the loss is not a number; what was saved before is.
        KeyboardInterrupt: after Ctrl-C, with everything up to the last step saved; after a second one, at once.
    """
    device = torch.device(device)
    names = one_class(spec.names) if options.single_class else spec.names
    check_classes(model, names, spec.path)
    model.names = names  # weights that start a run bring the names of their own data
    speaking = progress and world.first
    single = options.single_class
    train_data = DetectionData(spec, "train", recipe.image_size, options.cache, copies=world.size, single_class=single)
    val_data = (
        DetectionData(spec, "val", recipe.image_size, options.cache, single_class=single) if world.first else None
    )
    if speaking and not train_data.cached and options.cache is None:
        print(f"{train_data.bytes / 2**30:.1f} GiB of images do not fit in memory: they are read anew each epoch")
    if options.autoanchor and not resuming:
        if world.first:
            said = fit_anchors(model, train_data, recipe.anchor_threshold, options.seed, progress=speaking)
            if speaking:
                print(said)
        model.detect.anchors = world.share(model.detect.anchors.cpu()).to(model.device)
    freeze(model, recipe.frozen)
    numerics = world.share(choose_numerics(model, device, options.precision, options.memory_format))
    prepare(device, deterministic=options.deterministic)
    model.to(device).to(memory_format=FORMATS[numerics.memory_format])
    shares = learning_shares(model, recipe.stage_lr)
    training = Training.start(model, recipe, numerics.precision, shares)
    batches = Batches(
        train_data, recipe, options.seed, device, rank=world.rank, ranks=world.size, workers=options.workers
    )
    smallest = min(size_at(recipe, epoch) for epoch in range(recipe.epochs)) // (2 if recipe.multi_scale else 1)
    if batches.fewest == 1 and smallest <= model.strides[-1]:
        raise UserError(
            f"one image of {model.strides[-1]} px alone in a batch leaves BatchNorm a single value to standardize. "
            "Use another --batch-size or a larger --img-size."
        )
    if resuming:
        take_up(training, run, len(batches), world)
    else:
        # What was measured is part of the run: a resumed one must not measure again and choose otherwise.
        options = replace(options, precision=numerics.precision, memory_format=numerics.memory_format)
        options = replace(options, evaluate_every=options.evaluate_every or max(recipe.epochs // 20, 1))
        training.count = len(batches)
    keeper = Keeper(training, run, recipe, options, val_data) if val_data is not None else None
    if keeper:
        keeper.begin(spec, device, train_data, world.size, resuming=resuming)
    synchronize_batchnorm(model, world, device)
    forward = compiled(model) if options.compile else model
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

        def save() -> None:
            nonlocal saved
            _save_together(training, keeper, world)
            saved = time.monotonic()

        def stop_here() -> NoReturn:
            if keeper:
                keeper.pause()
            raise KeyboardInterrupt

        def on_batch() -> None:
            nonlocal started
            now = time.perf_counter()
            training.seconds, started = training.seconds + now - started, now
            bar.update()

        def on_step() -> None:
            leaving, due = world.any(interrupted(), time.monotonic() - saved > 60 * options.save_minutes)
            if leaving or (due and options.save):
                save()
            if leaving:
                stop_here()

        while training.epoch < recipe.epochs and not world.share(_patience_is_over(training, options)):
            started = time.perf_counter()
            bar.set_description(f"epoch {training.epoch + 1}/{recipe.epochs}")
            bar.set_postfix(_status(training, device), refresh=False)
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
            share = -(-recipe.batch // world.size)
            with fitting_memory(model, share, recipe.image_size, device, numerics, world.size):
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
            measured: Row | None = {}
            if _is_measured(training.epoch + 1, recipe, options):
                if options.save:
                    save()  # whatever happens while measuring, the epoch is done
                measured = world.share(keeper.evaluate(interrupted) if keeper else None)
            if measured is None:
                if not options.save:
                    save()
                stop_here()
            training.seconds += time.perf_counter() - started
            training.end_epoch(row | measured)
            leaving, due = world.any(interrupted(), time.monotonic() - saved > SAVE_SECONDS)
            if leaving or (options.save and (measured or due)):
                save()
            if keeper:
                if measured and speaking:
                    tqdm.write(metrics_line(training.history[-1], recipe.epochs))
                for callback in callbacks:
                    callback(training)
            if leaving:
                stop_here()
    if speaking and training.epoch < recipe.epochs:
        print(f"no better weights for {options.patience} epochs: stopped after epoch {training.epoch}")
    return keeper.finish() if keeper else None


# --- around the loop ------------------------------------------------------------------------------------


def _is_measured(epoch: int, recipe: Recipe, options: Options) -> bool:
    """Whether this epoch, counted from 1, ends with an evaluation."""
    return epoch % (options.evaluate_every or 1) == 0 or epoch == recipe.epochs


def _patience_is_over(training: Training[Detector], options: Options) -> bool:
    """Asked when an epoch has just been measured: were better weights found too long ago?"""
    measured = bool(training.history) and "map50" in training.history[-1]
    return options.patience is not None and measured and training.epoch - training.best_epoch >= options.patience


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
    batch: int | None = None,
    world: World = ALONE,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Report | None:
    """Continue a run from where its state was last saved, with the settings it was started with.

    Args:
        run, world, callbacks, progress: as in `train`.
        device: another one than the run's.
        batch: another batch size than the run's, for a smaller memory; the run then goes its own way.

    Raises:
        UserError: not a run folder, or a damaged one.
    """
    recipe, options, others = run.read_config()
    try:
        path, model, recorded = others["data"], build(others["model"]), others["device"]
    except DESCRIPTION_ERRORS as error:
        raise UserError(f"{run.config}: damaged ({error!r}). Start a new run.") from None
    try:
        recipe = replace(recipe, batch=recipe.batch if batch is None else batch)
    except ValueError as error:
        raise UserError(f"{error}. Change that option.") from None
    device = usable_device(device or recorded)
    if device.type == "cpu" and options.precision == "float16":
        options = replace(options, precision="float32")  # begun on a GPU; a CPU has no float16 worth the name
    if batch is not None and world.first:
        run.write_config(recipe, options, **others)
    return train(
        read_spec(path),
        model,
        recipe,
        run,
        options,
        device=device,
        world=world,
        callbacks=callbacks,
        resuming=True,
        progress=progress,
    )


if __name__ == "__main__":
    from yolo_edu.cli import main  # torchrun starts modules, not commands: torchrun -m yolo_edu.train …

    sys.exit(main(["train", *sys.argv[1:]]))
