"""The faults. Each replaces one part of what the module does; everything else stays the module's own code."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from yolo_edu import loss
from yolo_edu.assign import Assignment, assign
from yolo_edu.files import read_labels
from yolo_edu.loss import objectness_target
from yolo_edu.model import Detector
from yolo_edu.model.detect import Detect
from yolo_edu.optim import Ema

Reader = Callable[[str | Path, int], tuple[Tensor, Tensor]]  # file, classes → (N,) classes, (N, 4) cxcywh normalized


def _rows(network: Detector, images: Tensor) -> Tensor:
    """(B, 3, H, W) → (B, N, 5 + K), see `Detector.rows`."""
    return network.rows(images)


@dataclass(frozen=True)
class Parts:
    """What a fault may replace. As it stands: the module's own parts, so a healthy detector."""

    read_train: Reader = read_labels
    read_val: Reader = read_labels
    detect: type[Detect] = Detect
    assign: Callable[..., list[Assignment]] = assign
    objectness_target: Callable[[Tensor, Assignment, Tensor], Tensor] = objectness_target
    update: Callable[[Ema, nn.Module], None] = Ema.update
    rows: Callable[[Detector, Tensor], Tensor] = _rows  # at evaluation only
    recipe: dict[str, Any] = field(default_factory=dict)  # what is changed in the ward's

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While this lasts, the loss and the average use these parts."""
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(loss, "assign", self.assign))
            stack.enter_context(mock.patch.object(loss, "objectness_target", self.objectness_target))
            stack.enter_context(mock.patch.object(Ema, "update", self.update))
            yield


# --- in training ----------------------------------------------------------------------------------------


def row_for_column(*args: Any, **more: Any) -> list[Assignment]:
    """`assign`, but row and column change places: as if x, the first number of a center, counted rows."""
    return [level._replace(row=level.column, column=level.row) for level in assign(*args, **more)]


class PixelAnchors(Detect):
    """`Detect`, but its buffer holds the anchors in pixels: the division by the stride is missing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.anchors.mul_(self.stride[:, None, None])


def corner_for_center(path: str | Path, classes: int) -> tuple[Tensor, Tensor]:
    """`read_labels` of files whose writer put the left and the top edge where the center belongs.

    So COCO's files describe a box (left, top, width, height), in pixels there.
    """
    labels, boxes = read_labels(path, classes)
    return labels, torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], dim=1)


def next_class(path: str | Path, classes: int) -> tuple[Tensor, Tensor]:
    """`read_labels` of files whose writer had the names in its list moved by one."""
    labels, boxes = read_labels(path, classes)
    return (labels + 1) % classes, boxes


def everywhere_an_object(empty: Tensor, level: Assignment, overlap: Tensor) -> Tensor:
    """`objectness_target`, but 1 in every cell: `ones_like` where `zeros_like` belongs, and nothing written in."""
    return torch.ones_like(empty)


def never_updated(ema: Ema, model: nn.Module) -> None:
    """`Ema.update`, but the call is missing."""


# --- in evaluation --------------------------------------------------------------------------------------


def sigmoid_twice(network: Detector, images: Tensor) -> Tensor:
    """`Detector.rows`, but `decode` already returned probabilities, and they get a sigmoid again."""
    rows = network.rows(images)
    return torch.cat([rows[..., :4], rows[..., 4:].sigmoid()], dim=-1)


def blue_for_red(network: Detector, images: Tensor) -> Tensor:
    """`Detector.rows` of photos as OpenCV reads them: blue, green, red."""
    return network.rows(images.flip(1))


def still_training(network: Detector, images: Tensor) -> Tensor:
    """`Detector.rows`, photo by photo as in an app, without `model.eval()` before."""
    network.train()
    return torch.cat([network.rows(image) for image in images.split(1)])


HIGH = 0.02  # learning rate, ten times the ward's
HEALTHY = Parts()
HIGH_RATE = Parts(recipe={"lr": HIGH})  # no patient: tells what of "no_warmup" is the rate, and what the warm-up
FAULTS: dict[str, Parts] = {
    "swapped": Parts(assign=row_for_column),
    "pixels": Parts(detect=PixelAnchors),
    "sigmoid": Parts(rows=sigmoid_twice),
    "corners": Parts(read_train=corner_for_center, read_val=corner_for_center),
    "bgr": Parts(rows=blue_for_red),
    "train_mode": Parts(rows=still_training),
    "no_warmup": Parts(recipe={"lr": HIGH, "warmup_epochs": 0.0, "warmup_iterations": 0}),
    "ema": Parts(update=never_updated),
    "classes": Parts(read_train=next_class),
    "objectness": Parts(objectness_target=everywhere_an_object),
}
