"""Training: seconds of every stage of a step, of the whole loop, of reading and evaluating."""

import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from machine import synchronize
from torch import nn
from tqdm import tqdm

from yolo_edu.augment import draw_plan, render
from yolo_edu.batches import Batches
from yolo_edu.data import Batch, DataSpec, DetectionData, label_path
from yolo_edu.evaluate import evaluate
from yolo_edu.fit import Forward, Training, fit_epoch
from yolo_edu.hardware import FORMATS, Numerics, autocast, choose_numerics
from yolo_edu.loss import detection_loss
from yolo_edu.model import Detector
from yolo_edu.recipe import RECIPES, Recipe
from yolo_edu.summary import layer_rows
from yolo_edu.train import loss_settings

STAGES = ("plan", "render", "forward", "loss", "backward", "step")

Results = dict[str, Any]  # what goes into the JSON
Mark = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """One way of calculating a training step."""

    name: str
    numerics: Numerics
    forward: Forward


@dataclass(frozen=True)
class Setup:
    """What a training step needs."""

    model: Detector
    training: Training[Detector]
    data: DetectionData
    batches: Batches
    recipe: Recipe
    device: torch.device


class Clock:
    """Seconds between marks. On a GPU the marks are events in its stream: nothing waits until they are read."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.names: list[str] = []
        self.marks: list[Any] = []
        synchronize(device)
        self("start")

    def __call__(self, name: str) -> None:
        """The stage of this name ends here."""
        self.names.append(name)
        if self.device.type == "cuda":
            self.marks.append(torch.cuda.Event(enable_timing=True))
            self.marks[-1].record()
        else:
            self.marks.append(time.perf_counter())

    def seconds(self) -> dict[str, float]:
        """Of each stage; waits for the device."""
        synchronize(self.device)
        pairs = zip(self.names[1:], self.marks, self.marks[1:], strict=False)
        if self.device.type == "cuda":
            return {name: a.elapsed_time(b) / 1e3 for name, a, b in pairs}
        return {name: b - a for name, a, b in pairs}


def training_case(
    label: str,
    model: Detector,
    spec: DataSpec,
    size: int,
    batch: int,
    device: torch.device,
    *,
    numerics: Numerics | None = None,
    compiled: bool = False,
    rounds: int = 9,
    seconds: float = 120,
    peaks: Mapping[str, float] | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Results:
    """Everything about training one model at one size.

    Args:
        label: its name in the table.
        model: of as many classes as the data has; changed.
        spec: the data; splits "train" and "val".
        size: of the images in pixels.
        batch: images a step.
        device: where.
        numerics: how to calculate; None: what `choose_numerics` finds. float32 is measured beside it.
        compiled: measure a compiled forward pass too.
        rounds: steps of each way to time, fewer if they take more than `seconds`, but 2 at least.
        seconds: see `rounds`.
        peaks: FLOP/s of the fastest matrix product, by precision.
        advance: called a few times on the way, for a progress bar (see `TRAINING_STEPS`).
    """
    torch.compiler.reset()  # what was compiled for the last model counts against a limit
    numerics = numerics or choose_numerics(model, device)
    model.to(device).to(memory_format=FORMATS[numerics.memory_format])
    # A step after every batch, also during the warm-up.
    recipe = replace(RECIPES["short"], batch=batch, image_size=size, nominal_batch=batch)
    flops = sum(row.flops for row in layer_rows(model, size))
    advance()
    with enough_images(spec, batch * min(rounds + 1, 5)) as many:
        data = DetectionData(many, "train", size, cache=True)
        training = Training.start(model, recipe, numerics.precision)
        setup = Setup(model, training, data, Batches(data, recipe, 0, device), recipe, device)
        ways = [Way(numerics.precision, numerics, model)]
        if numerics.precision != "float32":
            ways.append(Way("float32", numerics._replace(precision="float32"), model))
        if compiled:
            ways.append(Way(f"{numerics.precision}, compiled", numerics, torch.compile(model)))
        advance()
        stages = step_seconds(setup, ways, rounds, seconds)
        advance()
        rates = {way.name: loop_rate(setup, way, rounds) for way in ways if way.name in stages}
        advance()
        syncs = host_syncs(setup, ways[0]) if device.type == "cuda" else None
        # Without a cache every image would be read once a step, and with mosaics up to four times.
        reading = reading_seconds(DetectionData(many, "train", size, cache=False), rounds)
    evaluating = evaluation_seconds(training.ema.model, DetectionData(spec, "val", size, cache=True), device)
    advance()

    result: Results = {
        "model": label,
        "size": size,
        "batch": batch,
        "numerics": numerics._asdict(),
        "forward_gflop_per_image": flops / 1e9,
        "ways": {},
        "host_syncs_per_step": syncs,
    }
    for way in ways:
        if way.name not in stages:
            result["ways"][way.name] = {"note": "failed"}
            continue
        spent = stages[way.name]
        whole = sum(spent.values())
        speed = 3 * flops * batch / (spent["forward"] + spent["backward"])  # a backward pass is two forward ones
        peak = (peaks or {}).get(way.numerics.precision)
        result["ways"][way.name] = {
            "seconds": spent,
            "shares": {stage: spent[stage] / whole for stage in STAGES},
            "images_per_second": {stage: batch / spent[stage] for stage in STAGES} | {"whole step": batch / whole},
            "loop_images_per_second": rates[way.name],
            "tflops": speed / 1e12,
            "share_of_peak": speed / peak if peak else None,
        }
    an_image = sum(stages[ways[0].name].values()) / batch
    for name, spent_here in (("reading", reading), ("evaluation", evaluating)):
        # Not part of a step: the sample photos are read once a run, and evaluation comes every few epochs.
        result[name] = {"images_per_second": 1 / spent_here, "of_a_training_image": spent_here / an_image}
    return result


TRAINING_STEPS = 5  # how often `training_case` reports


@contextmanager
def enough_images(spec: DataSpec, count: int) -> Iterator[DataSpec]:
    """The data with at least `count` training photos: too few are copied as often as it takes."""
    own = spec.images("train")
    if len(own) >= count:
        yield spec
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for number in range(-(-count // len(own))):
            for kind in ("images", "labels"):
                (Path(folder) / kind / str(number)).mkdir(parents=True)
            for image in own:
                copies.append(Path(folder) / "images" / str(number) / image.name)
                shutil.copy(image, copies[-1])
                if (labels := label_path(image)).is_file():
                    shutil.copy(labels, label_path(copies[-1]))
        yield replace(spec, splits=spec.splits | {"train": tuple(copies)})


def one_step(setup: Setup, way: Way, number: int, mark: Mark) -> None:
    """A step as `fit_epoch` makes it, with a mark at the end of every stage.

    Args:
        setup: model, optimizer and data, changed.
        way: how to calculate.
        number: of the step, decides the photos.
        mark: told the names of `STAGES` as they end.
    """
    training, recipe, device = setup.training, setup.recipe, setup.device
    pool = setup.batches.samples(recipe.image_size)
    count = len(setup.data)
    indices = [(number * recipe.batch + i) % count for i in range(recipe.batch)]
    plan = draw_plan(indices, count, recipe.augment, recipe.image_size, torch.Generator().manual_seed(number))
    mark("plan")
    batch = render(plan, pool, recipe.augment)
    mark("render")
    model, optimizer, scaler = training.model.train(), training.optimizer, training.scaler
    images = batch.images.to(device, memory_format=FORMATS[way.numerics.memory_format], non_blocking=True)
    with autocast(device, way.numerics):
        raw = way.forward(images)
    mark("forward")
    settings = loss_settings(setup.model, recipe, recipe.image_size)
    loss = detection_loss(raw, batch.targets, setup.model.detect.anchors.cpu(), settings)
    mark("loss")
    scaler.scale(loss.total).backward()
    mark("backward")
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    training.ema.update(model)
    mark("step")


def step_seconds(setup: Setup, ways: Sequence[Way], rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Median seconds of every stage, by way; the ways take turns. One that fails is left out."""
    taken: dict[str, list[dict[str, float]]] = {}
    for way in ways:
        try:
            for number in range(2):  # not timed: kernels are prepared, memory is taken
                one_step(setup, way, number, lambda name: None)
            taken[way.name] = []
        except Exception as error:  # whatever a compiler may raise
            if way is ways[0]:
                raise
            tqdm.write(f"{way.name}: {first_line(error)}")
    started = time.perf_counter()
    for number in range(rounds):
        for way in ways:
            if way.name in taken:
                clock = Clock(setup.device)
                one_step(setup, way, number, clock)
                taken[way.name].append(clock.seconds())
        if number and time.perf_counter() - started > seconds:
            break
    return {
        name: {stage: statistics.median(r[stage] for r in rows) for stage in STAGES} for name, rows in taken.items()
    }


def loop_rate(setup: Setup, way: Way, steps: int) -> float:
    """Images a second of `fit_epoch` over `Batches`, full batches only; the first one is not timed."""
    count = min(steps + 1, len(setup.data) // setup.recipe.batch)
    marks: list[float] = []

    def on_batch() -> None:
        if not marks:
            synchronize(setup.device)
        marks.append(time.perf_counter())

    batches: Iterator[Batch] = islice(setup.batches.epoch(0), count)
    fit_epoch(
        setup.training,
        batches,
        count,
        partial(
            detection_loss,
            anchors=setup.model.detect.anchors.cpu(),
            settings=loss_settings(setup.model, setup.recipe, setup.recipe.image_size),
        ),
        setup.recipe,
        device=setup.device,
        numerics=way.numerics,
        forward=way.forward,
        on_batch=on_batch,
    )
    synchronize(setup.device)
    return (count - 1) * setup.recipe.batch / (time.perf_counter() - marks[0])


def host_syncs(setup: Setup, way: Way) -> dict[str, list[str]]:
    """Where the processor waits for the GPU in one step: file and line, by stage; only stages with a wait."""
    found: dict[str, list[str]] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def mark(name: str) -> None:
            waits = [w for w in caught if "synchroniz" in str(w.message)]
            if waits:
                found[name] = [f"{Path(w.filename).name}:{w.lineno}" for w in waits]
            caught.clear()

        torch.cuda.set_sync_debug_mode("warn")
        try:
            caught.clear()  # switching it on warns that it is a prototype
            one_step(setup, way, 0, mark)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return found


def reading_seconds(data: DetectionData, rounds: int) -> float:
    """Seconds to read, decode and shrink one image in one thread, median; the files were read before."""
    times = []
    for index in range(min(len(data), 8 * rounds)):
        start = time.perf_counter()
        data[index]
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def evaluation_seconds(model: Detector, data: DetectionData, device: torch.device) -> float:
    """Seconds to evaluate one image, the COCO tools included; the better of two passes."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        evaluate(model, data, progress=False)
        synchronize(device)
        times.append((time.perf_counter() - start) / len(data))
    return min(times)


def first_line(error: Exception) -> str:
    """Type and first line of what an error says, short enough for a table."""
    return f"{type(error).__name__}: {str(error).strip()}".split("\n")[0][:100]
