"""What is taken away, one thing at a time, and how a run without it goes."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from speed.latency import settle
from torch import Tensor
from tqdm import tqdm

from ablation.networks import FocusStem, Leaky, NoNeck, NoPan, Plain, PlainCut
from yolo_edu import loss as losses
from yolo_edu.anchors import default_anchors, fit
from yolo_edu.assign import fitting_anchors
from yolo_edu.batches import Batches
from yolo_edu.boxes import giou
from yolo_edu.data import Batch, DataSpec, DetectionData
from yolo_edu.evaluate import evaluate
from yolo_edu.fit import LossFunction, Training, fit_epoch
from yolo_edu.hardware import FORMATS, Numerics
from yolo_edu.loss import Loss, LossSettings, detection_loss
from yolo_edu.model import Detector, YOLOv5v6
from yolo_edu.recipe import RECIPES, Recipe, loss_settings, size_at
from yolo_edu.summary import layer_rows

BASE, OTHER_ORDER, FOCUS = "base", "base, other order", "Focus stem"
TWINS = (OTHER_ORDER, FOCUS)  # differ from the base by luck only
CPU = torch.device("cpu")
MEMORY_FORMAT = "channels_last"
Network = Callable[..., Detector]


def giou_loss(raw: Sequence[Tensor], targets: Tensor, anchors: Tensor, settings: LossSettings) -> Loss:
    """`detection_loss` with GIoU in CIoU's place, and nothing else of release 1.0: not its neighbor rule.

    The module ties the measure to the release, so its name is exchanged for the length of the call.
    """
    with patch.object(losses, "ciou", giou):
        return detection_loss(raw, targets, anchors, settings)


@dataclass(frozen=True)
class Way:
    """One thing that is not as in the base."""

    what: str
    network: Network = YOLOv5v6
    anchors: Tensor = field(default_factory=default_anchors)  # (L, A, 2) pixels
    loss: Callable[[Sequence[Tensor], Tensor, Tensor, LossSettings], Loss] = detection_loss
    augment: dict[str, Any] = field(default_factory=dict)  # what is changed in the recipe's
    order: int = 0  # added to the seed of order and augmentation, not to that of the weights


WAYS: dict[str, Way] = {
    BASE: Way("YOLOv5 release 7.0, as it is"),
    OTHER_ORDER: Way("nothing is changed but the order of the photos and the luck of their augmentation", order=1000),
    FOCUS: Way("Focus and a 3 × 3 Conv, the 6 × 6 stem's weights sorted into it: equal but for rounding", FocusStem),
    "no PAN": Way("the bottom-up path is gone; the head reads rows 17, 13 and 9 (N3, N4 top-down, P5)", NoPan),
    "no neck": Way("the head reads the backbone's P3, P4, P5", NoNeck),
    "plain, full width": Way("every C3 a chain of Darknet-53's Bottlenecks, as many and as wide inside", Plain),
    "plain, cut": Way("the same, narrower inside until the parameters are the base's", PlainCut),
    "LeakyReLU": Way("LeakyReLU(0.1) in every Conv", Leaky),
    "GIoU": Way("GIoU instead of CIoU in the box loss and as target of the objectness", loss=giou_loss),
    "no mosaic": Way("single photos; flip, color, translation and scale stay", augment={"mosaic": 0.0}),
    "anchors exchanged": Way("P3 has P5's anchors and P5 has P3's", anchors=default_anchors().flip(0)),
    "anchors × 8": Way("every anchor eight times as large", anchors=8 * default_anchors()),
}


def recipe_of(way: Way, epochs: int, size: int) -> Recipe:
    """The recipe `short` at one size from start to end."""
    short = RECIPES["short"]
    return replace(short, epochs=epochs, image_size=size, growth=(), augment=replace(short.augment, **way.augment))


def build(way: Way, classes: int | Sequence[str], scale: str | tuple[float, float], seed: int) -> Detector:
    """The way's network; with the same seed, all weights that it shares with the base are the base's."""
    torch.manual_seed(seed)
    return way.network(scale, classes, anchors=way.anchors)


def loss_of(way: Way, model: Detector, recipe: Recipe, size: int) -> LossFunction:
    """Raw predictions and targets → Loss."""
    return partial(way.loss, anchors=model.detect.anchors.cpu(), settings=loss_settings(model, recipe, size))


def one_run(
    name: str,
    seed: int,
    spec: DataSpec,
    *,
    scale: str | tuple[float, float],
    epochs: int,
    size: int,
    precision: str,
) -> dict:
    """Train once, and measure the average of the weights after the last epoch: no epoch is picked."""
    torch.set_num_threads(1)
    way = WAYS[name]
    recipe = recipe_of(way, epochs, size)
    model = build(way, spec.names, scale, seed).to(memory_format=FORMATS[MEMORY_FORMAT])
    batches = Batches(DetectionData(spec, "train", size), recipe, seed + way.order, CPU)
    training = Training.start(model, recipe)
    start = time.perf_counter()
    for epoch in range(epochs):
        row = fit_epoch(
            training,
            batches.epoch(epoch),
            len(batches),
            loss_of(way, model, recipe, size_at(recipe, epoch)),
            recipe,
            device=CPU,
            numerics=Numerics(precision, MEMORY_FORMAT),
        )
        training.end_epoch(row)
    seconds = time.perf_counter() - start
    report = evaluate(training.ema.model, DetectionData(spec, "val", size), progress=False)
    return {
        "way": name,
        "seed": seed,
        "map50": round(report.map50, 4),
        "map": round(report.map, 4),
        "train_seconds": round(seconds, 1),
    }


def on_paper(name: str, classes: int, sizes: Tensor, scale: str | tuple[float, float], size: int) -> dict:
    """What needs no training: parameters, GFLOPs, how the anchors suit the labels.

    Args:
        sizes: (M, 2) width, height of the training labels in pixels of the network input.
    """
    way = WAYS[name]
    model = build(way, classes, scale, 0)
    anchors = fit(sizes, way.anchors)
    reach = [fitting_anchors(sizes, level, RECIPES["short"].anchor_threshold).any(dim=0) for level in way.anchors]
    return {
        "what": way.what,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "gflops": round(sum(row.flops for row in layer_rows(model, size)) / 1e9, 4),
        "best_possible_recall": round(anchors.best_possible_recall, 4),
        "anchors_a_label": round(anchors.anchors_above_threshold, 2),
        "labels_in_reach_of_p3_p4_p5": [round(level.double().mean().item(), 4) for level in reach],
    }


# --- time -----------------------------------------------------------------------------------------------


def timing(
    names: Sequence[str],
    spec: DataSpec,
    *,
    scale: str | tuple[float, float],
    size: int,
    precision: str,
    rounds: int,
) -> dict[str, dict[str, float]]:
    """Milliseconds of a training step and of one photo, for all ways in turns in this process, on one thread.

    A step: making the batch, forward, loss, backward, optimizer, average. A photo: pixels to decoded rows in float32
    with BatchNorm folded in, without suppression. `ratio`: median over the rounds of its time by the base's in the
    same round, so a moment in which the machine was busy does not count.
    """
    steps = {name: _step(WAYS[name], spec, scale, size, precision) for name in names}
    photos = {name: _photo(WAYS[name], spec, scale, size) for name in names}
    result: dict[str, dict[str, float]] = {name: {} for name in names}
    for kind, functions in (("step", steps), ("photo", photos)):
        times: dict[str, list[float]] = {name: [] for name in names}
        for number in tqdm(range(rounds + 2), desc=f"timing a {kind}", unit="round"):
            for name, function in functions.items():
                if kind == "photo":
                    function()  # not timed: brings its weights back into the cache
                start = time.perf_counter()
                function()
                if number >= 2:  # the first ones prepare the kernels
                    times[name].append(time.perf_counter() - start)
        for name, own in times.items():
            ratio = statistics.median(a / b for a, b in zip(own, times[names[0]], strict=True))
            result[name] |= {f"{kind}_ms": round(1e3 * statistics.median(own), 3), f"{kind}_ratio": round(ratio, 3)}
    return result


def _step(
    way: Way, spec: DataSpec, scale: str | tuple[float, float], size: int, precision: str
) -> Callable[[], object]:
    """A function that trains one more batch of eight."""
    recipe = replace(recipe_of(way, 10_000, size), plain_epochs=0)  # so many that the schedule never ends
    model = build(way, spec.names, scale, 0).to(memory_format=FORMATS[MEMORY_FORMAT])
    training = Training.start(model, recipe)
    batches = Batches(DetectionData(spec, "train", size), recipe, 0, CPU)
    batches.starts = batches.starts[: len(batches.data) // recipe.batch]  # whole batches only: equal work

    def endless() -> Iterator[Batch]:
        for epoch in itertools.count():
            yield from batches.epoch(epoch)

    stream, loss = endless(), loss_of(way, model, recipe, size)
    numerics = Numerics(precision, MEMORY_FORMAT)
    return lambda: fit_epoch(
        training, itertools.islice(stream, 1), len(batches), loss, recipe, device=CPU, numerics=numerics
    )


def _photo(way: Way, spec: DataSpec, scale: str | tuple[float, float], size: int) -> Callable[[], object]:
    """A function that takes one photo from pixels to rows."""
    data = DetectionData(spec, "val", size)
    images = torch.full((2, 3, size, size), 0.5)
    for image, sample in zip(images, data, strict=False):
        image[:, : sample.image.shape[1], : sample.image.shape[2]] = sample.image.float() / 255
    network = settle(build(way, spec.names, scale, 0), images).fuse()

    def run() -> Tensor:
        with torch.inference_mode():
            return network.rows(images[:1])

    return run
