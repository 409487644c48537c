"""How lesson 16 trains: one profile for each kind of machine, a forecast of its time, and the run itself.

The minutes of the GPU profiles are targets that nobody has measured yet; `benchmarks/capstone.py` measures them.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from yolo_edu.assets import sample_data
from yolo_edu.batches import Batches
from yolo_edu.cfg import build_model
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Report, evaluate
from yolo_edu.hardware import FORMATS, autocast, choose_numerics, prepare
from yolo_edu.loss import detection_loss
from yolo_edu.model import Detector
from yolo_edu.optim import build_optimizer
from yolo_edu.recipe import RECIPES, Recipe, loss_settings, size_at
from yolo_edu.run import Options, Run
from yolo_edu.train import Callback, resume, train

SMOKE = "YOLO_EDU_SMOKE"  # "1": the tests' short cut
CHOICE = "YOLO_EDU_PROFILE"  # the name of a profile, for those who know better than `choose_profile`
SMALLEST_GPU, LARGE_GPU = 6 * 2**30, 30 * 2**30  # bytes: below, the CPU's profile; from here on, the large one
TIMED_STEPS = 3  # of each size, after one that prepares the kernels


@dataclass(frozen=True)
class Profile:
    """What to train on a kind of machine."""

    name: str
    audience: str
    model: str  # as `yolo_edu.cfg.build_model` names it
    data: str  # a shipped data set
    target_minutes: float | None  # a wish, not a measurement; None: no wish
    evaluations: int  # in the whole run
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the recipe "short"

    @property
    def recipe(self) -> Recipe:
        """The recipe "short" with this profile's changes."""
        return replace(RECIPES["short"], **self.changes)

    @property
    def evaluate_every(self) -> int:
        """Epochs between two evaluations; the last epoch is always evaluated."""
        return max(self.recipe.epochs // self.evaluations, 1)

    def options(self, seed: int = 0) -> Options:
        """How the run is carried out."""
        return Options(seed=seed, evaluate_every=self.evaluate_every)

    def build(self, seed: int = 0) -> Detector:
        """The fresh network: the same one for the same seed."""
        torch.manual_seed(seed)
        return build_model(self.model, read_spec(sample_data(self.data)).names)


CARDS = "train_5classes.yaml"
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            *("smoke", "the course's own tests: every line runs, nothing is learned", "yolov5n", CARDS, None, 2),
            {"epochs": 4, "image_size": 96, "growth": ()},
        ),
        Profile(
            *("cpu", "any computer without a GPU", "yolov5n", CARDS, 2.0, 10),
            {"epochs": 28, "image_size": 192, "plain_epochs": 4},
        ),
        Profile(
            *("t4", "a GPU of Colab's free tier, or one with 6 to 30 GiB", "yolov5sv6", CARDS, 15.0, 20),
            {"epochs": 150, "image_size": 416, "batch": 16, "nominal_batch": 16, "plain_epochs": 15},
        ),
        Profile(
            *("large", "a GPU with 30 GiB or more", "yolov5mv6", CARDS, 3.0, 15),
            {"epochs": 120, "image_size": 512, "batch": 16, "nominal_batch": 16, "plain_epochs": 12},
        ),
    )
}


def choose_profile(device: str | torch.device = "cpu", memory: int | None = None) -> Profile:
    """The profile for a device.

    The environment decides first: YOLO_EDU_PROFILE by name, then YOLO_EDU_SMOKE=1.

    Args:
        device: where to train.
        memory: bytes of the GPU; None: asked of the device.

    Raises:
        UserError: YOLO_EDU_PROFILE names none.
    """
    name = os.environ.get(CHOICE)
    if name:
        if name not in PROFILES:
            raise UserError(f"{CHOICE}={name}: no such profile. Choose one of: {', '.join(PROFILES)}.")
        return PROFILES[name]
    if os.environ.get(SMOKE) == "1":
        return PROFILES["smoke"]
    device = torch.device(device)
    if device.type != "cuda":
        return PROFILES["cpu"]
    if memory is None:
        memory = torch.cuda.get_device_properties(device).total_memory
    if memory < SMALLEST_GPU:
        return PROFILES["cpu"]
    return PROFILES["large" if memory >= LARGE_GPU else "t4"]


# --- a forecast -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pace:
    """What a machine was measured to do, with a profile's own network."""

    step: Mapping[int, float]  # pixels → seconds of one step at this size
    evaluation: Mapping[int, float]  # pixels → seconds of one evaluation
    photos: int  # of the training split


def measure_pace(profile: Profile, device: str | torch.device = "cpu", repeats: int = TIMED_STEPS) -> Pace:
    """Time a few steps and one evaluation of a copy of the profile's network at each of its sizes.

    The median step counts: now and then the machine does something else.

    Args:
        profile: what will be trained.
        device: where.
        repeats: steps a size.
    """
    device, recipe, spec = torch.device(device), profile.recipe, read_spec(sample_data(profile.data))
    model = profile.build()
    prepare(device, deterministic=False)  # the switches that training sets too
    numerics = choose_numerics(model, device)
    model.to(device).to(memory_format=FORMATS[numerics.memory_format])
    train_data, val_data = (DetectionData(spec, split, recipe.image_size) for split in ("train", "val"))
    anchors = model.detect.anchors.cpu()
    step: dict[int, float] = {}
    evaluation: dict[int, float] = {}
    for size in sorted({size_at(recipe, epoch) for epoch in range(recipe.epochs)}):
        timed = replace(recipe, growth=(), image_size=size)
        settings, optimizer = loss_settings(model, recipe, size), build_optimizer(model, timed)
        batches = Batches(train_data, timed, 0, device).epoch(0)
        times = []
        model.train()
        for _ in range(repeats + 1):
            start = _now(device)
            batch = next(batches)  # making a batch is part of a step
            images = batch.images.to(device, memory_format=FORMATS[numerics.memory_format])
            with autocast(device, numerics):
                raw = model(images)
            detection_loss(raw, batch.targets, anchors, settings).total.backward()
            optimizer.step()
            optimizer.zero_grad()
            times.append(_now(device) - start)
        step[size] = sorted(times[1:])[repeats // 2]  # the first one prepares the kernels
        start = _now(device)
        evaluate(model, val_data, size=size, progress=False)
        evaluation[size] = _now(device) - start
    return Pace(step, evaluation, len(train_data))


def _now(device: torch.device) -> float:
    """Seconds, when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def predict_seconds(profile: Profile, pace: Pace) -> float:
    """How long the run will take if every step and every evaluation takes as long as measured."""
    recipe, total = profile.recipe, 0.0
    for epoch in range(recipe.epochs):
        size = size_at(recipe, epoch)
        total += -(-pace.photos // recipe.batch) * pace.step[size]
        if (epoch + 1) % profile.evaluate_every == 0 or epoch + 1 == recipe.epochs:
            total += pace.evaluation[size]
    return total


# --- the run --------------------------------------------------------------------------------------------


def run_profile(
    profile: Profile,
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
) -> Report:
    """Train as the profile says, or go on where the folder's run was interrupted.

    Args:
        profile: what.
        folder: of the run; made if it is not there.
        device: where.
        seed: of the network, the order and the augmentation.
        callbacks: called after every epoch, see `yolo_edu.train.train`.
        progress: show a bar.

    Returns:
        The evaluation of the best weights.

    Raises:
        UserError: the folder holds the run of another profile.
    """
    run, device = Run(folder), torch.device(device)
    report: Report | None
    if run.config.is_file() and run.state.is_file():
        recipe, _, others = run.read_config()
        scale = profile.build(seed).scale
        if recipe != profile.recipe or [others["model"][key] for key in ("depth", "width")] != list(scale):
            raise UserError(f"{folder}: holds another run than profile {profile.name!r}. Choose another folder.")
        report = resume(run, device=device, callbacks=callbacks, progress=progress)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        spec = read_spec(sample_data(profile.data))
        report = train(
            spec,
            profile.build(seed),
            profile.recipe,
            run,
            profile.options(seed),
            device=device,
            callbacks=callbacks,
            progress=progress,
        )
    assert report is not None  # there is one process, the first
    return report
