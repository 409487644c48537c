"""How to train: the settings of a run, two named recipes, and what a schedule says at each step."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from yolo_edu.augment import AugmentSettings
from yolo_edu.loss import LossSettings
from yolo_edu.model import Detector

Row = dict[str, float]  # what is known about one epoch


@dataclass(frozen=True)
class Recipe:
    """All that decides how a model is trained. The defaults are release R7's."""

    epochs: int = 300
    batch: int = 16
    image_size: int = 640
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"  # adam adds the decay to the gradient, adamw to the weight
    lr: float = 0.01
    final_lr: float = 0.01  # as a share of lr
    schedule: Literal["linear", "cosine"] = "linear"
    momentum: float = 0.937  # Adam's β1 too
    weight_decay: float = 5e-4  # of convolution weights only
    # Gradients of several batches are added up until this many images have passed: COCO-sized steps.
    nominal_batch: int = 64
    warmup_epochs: float = 3.0
    warmup_iterations: int = 100  # at least
    warmup_bias_lr: float = 0.1  # biases fall from here: the detection biases must move first
    warmup_momentum: float = 0.8
    ema_decay: float = 0.9999
    ema_ramp: float = 2000.0  # steps after which the average has become slow
    clip_norm: float = 10.0
    # Mosaics teach a distribution that no photo has; the last epochs (at most a fifth) go without, closer to real ones.
    plain_epochs: int = 0
    # Small pictures first: (share of the epochs, share of the image size) each, in order; then the full size.
    growth: tuple[tuple[float, float], ...] = ()
    # Of the loss's three parts, times the release's own numbers, which are meant for COCO's 80 classes.
    box_gain: float = 1.0
    objectness_gain: float = 1.0
    class_gain: float = 1.0
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_positive_weight: float = 1.0
    objectness_positive_weight: float = 1.0
    anchor_threshold: float = 4.0  # a box trains the anchors that are within this factor of it
    multi_scale: bool = False  # every batch at a size of its own, half to one and a half times the recipe's
    rectangular: bool = False  # batches of photos of like shape, without the gray bars that they have in common
    frozen: tuple[int, ...] = ()  # rows that stay as they are
    stage_lr: tuple[float, float, float] = (1.0, 1.0, 1.0)  # shares of lr: backbone, neck, head
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "image_size", "lr", "nominal_batch"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)}")
        if self.image_size % 32:
            raise ValueError(f"image size {self.image_size} is not a multiple of 32, the coarsest stride")
        if not all(0 <= share < math.inf for share in self.stage_lr):
            raise ValueError(f"shares of the learning rate cannot be {self.stage_lr}; 1 is the whole, 0 nothing")


RECIPES = {
    "reference": Recipe(),
    # For minutes instead of days: many small steps without accumulation, Adam's step sizes, a fast average, a short
    # warm-up, small pictures first. With five classes the release's class gain all but vanishes: it is raised.
    "short": Recipe(
        epochs=120,
        batch=8,
        image_size=256,
        optimizer="adamw",
        lr=2e-3,
        schedule="cosine",
        momentum=0.9,
        weight_decay=0.02,
        nominal_batch=8,
        warmup_epochs=2.0,
        warmup_iterations=30,
        warmup_bias_lr=0.01,
        warmup_momentum=0.9,
        ema_decay=0.995,
        ema_ramp=100.0,
        plain_epochs=12,
        growth=((0.5, 0.75),),
        box_gain=2.0,
        objectness_gain=2.0,
        class_gain=4.0,
        augment=AugmentSettings(scale=0.4),
    ),
}


def size_at(recipe: Recipe, epoch: int) -> int:
    """The training size of an epoch in pixels, a multiple of 32 (Howard 2018 called it progressive resizing)."""
    for until, share in recipe.growth:
        if epoch < round(until * recipe.epochs):
            return max(round(share * recipe.image_size / 32), 1) * 32
    return recipe.image_size


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
        class_positive_weight=recipe.class_positive_weight,
        objectness_positive_weight=recipe.objectness_positive_weight,
        anchor_threshold=recipe.anchor_threshold,
    )


class Rates(NamedTuple):
    """What the schedule asks for at one iteration."""

    bias_lr: float
    lr: float
    momentum: float
    accumulate: int  # batches a step


def rates(recipe: Recipe, iteration: int, batches: int) -> Rates:
    """The schedule: warm-up by iteration, then a decay by epoch (both releases' rule).

    Args:
        recipe: the settings.
        iteration: batches seen since the start of training.
        batches: in an epoch.
    """
    progress = iteration // batches / recipe.epochs
    fall = 1 - progress if recipe.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    lr = recipe.lr * (fall * (1 - recipe.final_lr) + recipe.final_lr)
    accumulate = max(round(recipe.nominal_batch / recipe.batch), 1)
    warmup = max(round(recipe.warmup_epochs * batches), recipe.warmup_iterations)
    if iteration > warmup or warmup == 0:
        return Rates(lr, lr, recipe.momentum, accumulate)
    t = iteration / warmup
    return Rates(
        bias_lr=recipe.warmup_bias_lr + t * (lr - recipe.warmup_bias_lr),
        lr=t * lr,
        momentum=recipe.warmup_momentum + t * (recipe.momentum - recipe.warmup_momentum),
        accumulate=max(round(1 + t * (recipe.nominal_batch / recipe.batch - 1)), 1),
    )
