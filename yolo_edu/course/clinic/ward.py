"""Where the patients are trained: the shipped backbone and neck, a fresh head, few photos, seconds."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from unittest import mock

import torch
from torch import Tensor, nn

from yolo_edu import data as files
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.augment import AugmentSettings
from yolo_edu.batches import Batches
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course.clinic.parts import HEALTHY, Parts
from yolo_edu.data import DetectionData, Sample, read_spec
from yolo_edu.evaluate import Report, detect, detect_all, measure
from yolo_edu.fit import Training, fit_epoch
from yolo_edu.hardware import Numerics
from yolo_edu.loss import Loss, detection_loss
from yolo_edu.model import Detector, YOLOv5v6
from yolo_edu.model.detect import initialize_biases
from yolo_edu.nms import Detections
from yolo_edu.recipe import RECIPES, Recipe, loss_settings

CLASS_MARGIN = 0.99999  # release 7.0's
CPU = torch.device("cpu")
MILD = AugmentSettings(mosaic=0, hue=0, saturation=0, value=0, scale=0.1, translate=0.1, flip=0)
CURVES = ("box", "objectness", "classification", "map50")


class Patched:
    """A network as the evaluation sees it: its rows are made by a part that may be at fault."""

    def __init__(self, network: Detector, parts: Parts) -> None:
        self.network, self.parts = network, parts
        self.names, self.classes, self.strides = network.names, network.classes, network.strides

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return self.network.device

    def rows(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, N, 5 + K)."""
        return self.parts.rows(self.network, images)


@dataclass
class Stay:
    """A patient after its training."""

    parts: Parts
    start: Detector  # as it was before the first step
    network: Detector  # the average of the weights
    report: Report  # of the last evaluation, as the patient sees it
    truth: list[Sample]
    found: list[Detections]
    curves: dict[str, list[float]]  # CURVES → a number an epoch
    steps: list[float]  # loss of every batch, (box + objectness + class)


@dataclass(frozen=True)
class Ward:
    """One set-up for all patients and for the healthy twin.

    Args:
        photos: of the training split, the first ones.
        epochs: of training.
        size: of the photos, pixels.
        lr: highest learning rate.
    """

    photos: int = 128
    epochs: int = 10
    size: int = 128
    lr: float = 0.002
    spec: files.DataSpec = field(default_factory=lambda: read_spec(sample_data("train_5classes.yaml")))

    def recipe(self, parts: Parts = HEALTHY) -> Recipe:
        """`short`, cut to seconds: no mosaics, a warm-up of one epoch, an average that follows quickly."""
        few = replace(
            RECIPES["short"],
            epochs=self.epochs,
            image_size=self.size,
            lr=self.lr,
            growth=(),
            plain_epochs=0,
            augment=MILD,
            warmup_epochs=1.0,
            warmup_iterations=0,
            ema_decay=0.95,
            ema_ramp=10.0,
        )
        return replace(few, **parts.recipe)

    def train_data(self, parts: Parts = HEALTHY) -> DetectionData:
        """The training photos with the labels that the patient reads."""
        spec = replace(self.spec, splits={"train": self.spec.images("train")[: self.photos]})
        with mock.patch.object(files, "read_labels", parts.read_train):
            return DetectionData(spec, "train", self.size)

    def val_data(self, parts: Parts = HEALTHY) -> DetectionData:
        """The validation photos with the labels that the patient reads."""
        with mock.patch.object(files, "read_labels", parts.read_val):
            return DetectionData(self.spec, "val", self.size)

    def network(self, seed: int = 0, parts: Parts = HEALTHY) -> Detector:
        """The shipped backbone and neck with a fresh head, as in transfer."""
        trained = shipped()
        torch.manual_seed(seed)
        fresh = YOLOv5v6("n", self.spec.names)
        channels = [conv.in_channels for conv in fresh.detect.m if isinstance(conv, nn.Conv2d)]
        head = parts.detect(fresh.classes, channels)
        convs = [conv for conv in head.m if isinstance(conv, nn.Conv2d)]
        initialize_biases(convs, fresh.classes, class_margin=CLASS_MARGIN)
        fresh.model[-1] = head
        last = f"model.{len(fresh.model) - 1}."
        kept = {name: x for name, x in trained.state_dict().items() if not name.startswith(last)}
        fresh.load_state_dict({**fresh.state_dict(), **kept})
        return fresh

    def train(self, parts: Parts = HEALTHY, seed: int = 0) -> Stay:
        """Train a patient, and evaluate it after every epoch the way it evaluates itself."""
        torch.manual_seed(seed)
        recipe, val = self.recipe(parts), self.val_data(parts)
        model = self.network(seed, parts)
        start = copy.deepcopy(model)
        batches = Batches(self.train_data(parts), recipe, seed, CPU)
        settings = loss_settings(model, recipe, self.size)
        steps: list[float] = []

        def criterion(raw: Sequence[Tensor], targets: Tensor) -> Loss:
            loss = detection_loss(raw, targets, model.detect.anchors, settings)
            steps.append(float(sum(part.item() for part in loss[1:])))
            return loss

        training = Training.start(model.to(memory_format=torch.channels_last), recipe)
        curves: dict[str, list[float]] = {name: [] for name in CURVES}
        numerics = Numerics("float32", "channels_last")
        with parts.in_place():
            for epoch in range(self.epochs):
                row = fit_epoch(
                    training,
                    batches.epoch(epoch),
                    len(batches),
                    criterion,
                    recipe,
                    device=CPU,
                    numerics=numerics,
                )
                training.end_epoch(row)
                truth, found = self.look(training.ema.model, parts, val)
                report = measure(truth, found, val.names)
                for name in CURVES:
                    curves[name].append(report.map50 if name == "map50" else row[name])
        return Stay(parts, start, training.ema.model, report, truth, found, curves, steps)

    def admit(self, network: Detector, parts: Parts, size: int | None = None) -> Stay:
        """A trained network that is only evaluated with the patient's parts."""
        ward = self if size is None else replace(self, size=size)
        val = ward.val_data(parts)
        truth, found = ward.look(network, parts, val)
        return Stay(parts, network, network, measure(truth, found, val.names), truth, found, {}, [])

    def look(self, network: Detector, parts: Parts, val: DetectionData) -> tuple[list[Sample], list[Detections]]:
        """Truth and detections of a copy, in the way of the patient: some faults leave traces in the network."""
        patched = Patched(copy.deepcopy(network).eval(), parts)
        return detect_all(patched, val, size=self.size, progress=False)

    def show(
        self, network: Detector, parts: Parts, images: Sequence[Tensor], confidence: float = 0.25
    ) -> list[Detections]:
        """Detections as in `yolo-edu detect`, the way of the patient."""
        patched = Patched(copy.deepcopy(network).eval(), parts)
        return detect(patched, images, size=self.size, confidence=confidence)


def shipped() -> Detector:
    """The shipped card detector."""
    return load_checkpoint(shipped_weights("cards_n"))
