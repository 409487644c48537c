"""One measurement for each diagnosis: a number that is as it should be in the healthy twin, and not in the patient."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolo_edu.assign import Assignment
from yolo_edu.boxes import cxcywh_to_xyxy, iou, pairwise_iou
from yolo_edu.course.clinic.parts import HEALTHY, Parts
from yolo_edu.course.clinic.ward import Stay, Ward
from yolo_edu.data import Sample, collate
from yolo_edu.fit import Training, fit_epoch
from yolo_edu.loss import detection_loss
from yolo_edu.model import Detector
from yolo_edu.model.detect import ANCHORS, decode_box, encode_box
from yolo_edu.nms import Detections
from yolo_edu.recipe import loss_settings
from yolo_edu.report import measure

PHOTOS = 8  # as many are looked at where a few do


# --- the measurements -----------------------------------------------------------------------------------


def worst_round_trip(assigned: Callable[..., list[Assignment]], network: Detector, targets: Tensor, size: int) -> float:
    """Truth → assignment → encode → decode: the worst IoU of an assigned box with the box it came from.

    Args:
        assigned: the assignment in use.
        network: for anchors and strides.
        targets: (M, 6) image, class, cx, cy, w, h; normalized to the square.
        size: side of the square in pixels.
    """
    grids = [(size // stride, size // stride) for stride in network.strides]
    worst = 1.0
    for level, anchors, stride in zip(
        assigned(targets, grids, network.detect.anchors), network.detect.anchors, network.strides, strict=True
    ):
        box = decode_box(encode_box(level.box, anchors[level.anchor]), anchors[level.anchor])  # cells
        center = (box[:, :2] + torch.stack([level.column, level.row], dim=1)) * stride  # pixels of the square
        back = cxcywh_to_xyxy(torch.cat([center, box[:, 2:] * stride], dim=1))
        wanted = cxcywh_to_xyxy(targets[level.target, 2:] * size)
        worst = min([worst, *iou(back, wanted).tolist()])
    return worst


def largest_by_anchor(network: Detector) -> float:
    """Logits of zero must decode to the anchor itself: the largest decoded width divided by its anchor's."""
    raw = [torch.zeros(1, len(a), 1, 1, 5 + network.classes) for a in network.detect.anchors]
    widths = network.decode(raw)[0, :, 2]
    return (widths / torch.tensor(ANCHORS, dtype=torch.float32).reshape(-1, 2)[:, 0]).max().item()


def share_of_doubles(rows: Tensor) -> float:
    """Of all probabilities in (B, N, 5 + K) rows: the share between σ(0) and σ(1), where a second sigmoid puts all."""
    inside = (rows[..., 4:] >= 0.5) & (rows[..., 4:] <= 1 / (1 + torch.e**-1) + 1e-6)
    return inside.float().mean().item()


def overlap_with_hand(read: Sequence[Sample], drawn: Sequence[Sample]) -> float:
    """Mean IoU of boxes as the reader has them with boxes that somebody drew by hand, both in order."""
    pairs = [iou(a.boxes, b.boxes) for a, b in zip(read, drawn, strict=True)]
    return torch.cat(pairs).mean().item()


def moved_statistics(network: Detector, rows: Callable[[Detector, Tensor], Tensor], images: Tensor) -> int:
    """How many BatchNorms have other running statistics after looking at images: in evaluation none."""
    twin = copy.deepcopy(network).eval()
    before = {name: x.clone() for name, x in twin.state_dict().items() if name.endswith("running_mean")}
    with torch.no_grad():
        rows(twin, images)
    return sum(not torch.equal(x, twin.state_dict()[name]) for name, x in before.items())


def farthest_from_start(average: nn.Module, start: nn.Module) -> float:
    """The largest difference of any parameter of the average from where it started."""
    pairs = zip(average.parameters(), start.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def shifted_names(truth: Sequence[Sample], found: Sequence[Detections], classes: int) -> float:
    """The share of objects that are taken for the next class, less the share that are taken for the right one.

    Of each object the surest box with IoU ≥ 0.5 speaks; objects without such a box are left out.
    """
    steps = [torch.empty(0, dtype=torch.int64)]
    for sample, boxes in zip(truth, found, strict=True):
        if len(sample.labels) and len(boxes.labels):
            close = pairwise_iou(sample.boxes, boxes.boxes) >= 0.5  # (M, N)
            surest = torch.where(close, boxes.scores, -1.0).argmax(dim=1)
            steps.append(((boxes.labels[surest] - sample.labels) % classes)[close.any(dim=1)])
    said = torch.cat(steps)
    return ((said == 1).float().mean() - (said == 0).float().mean()).item() if len(said) else 0.0


def mean_objectness(rows: Tensor) -> float:
    """Over all cells and anchors of (B, N, 5 + K) rows; objects are rare, so it should be small."""
    return rows[..., 4].mean().item()


def first_step(ward: Ward, parts: Parts, seed: int = 0) -> float:
    """By how much the very first step changes the convolution weights: length of the change by their length."""
    network = ward.network(seed, parts)
    recipe = replace(ward.recipe(parts), batch=PHOTOS)
    batch = collate([ward.train_data(parts)[i] for i in range(PHOTOS)], ward.size)
    settings = loss_settings(network, recipe, ward.size)
    before = [m.weight.detach().clone() for m in network.modules() if isinstance(m, nn.Conv2d)]
    training = Training.start(network, recipe)
    count = -(-ward.photos // recipe.batch)
    fit_epoch(
        training,
        [batch],  # type: ignore[arg-type]
        count,
        lambda raw, targets: detection_loss(raw, targets, network.detect.anchors, settings),
        recipe,
        device=torch.device("cpu"),
    )
    after = [m.weight.detach() for m in network.modules() if isinstance(m, nn.Conv2d)]
    change = sum((a - b).square().sum() for a, b in zip(after, before, strict=True))
    return float((change / sum(b.square().sum() for b in before)) ** 0.5)


def gained_by_reversing(ward: Ward, stay: Stay) -> float:
    """mAP50 when the three channels are turned round before the network, less mAP50 as it is."""
    turned = replace(stay.parts, rows=lambda network, images: stay.parts.rows(network, images.flip(1)))
    val = ward.val_data(stay.parts)
    return measure(*ward.look(stay.network, turned, val), val.names).map50 - stay.report.map50


# --- as a list ------------------------------------------------------------------------------------------


class Sign(NamedTuple):
    """A measurement, and from where on it speaks for its diagnosis."""

    what: str
    measure: Callable[[Ward, Stay], float]
    healthy: str  # what it is when all is well, in words
    speaks: Callable[[float], bool]


def _rows(ward: Ward, stay: Stay) -> Tensor:
    """(B, N, 5 + K) of a few validation photos, as the patient sees them."""
    val = ward.val_data()
    images = collate([val[i] for i in range(PHOTOS)], ward.size).images
    with torch.no_grad():
        return stay.parts.rows(copy.deepcopy(stay.network).eval(), images)


def _round_trip(ward: Ward, stay: Stay) -> float:
    data = ward.train_data(stay.parts)
    targets = collate([data[i] for i in range(PHOTOS)], ward.size).targets
    return worst_round_trip(stay.parts.assign, stay.network, targets, ward.size)


def _with_hand(ward: Ward, stay: Stay) -> float:
    read, drawn = ward.train_data(stay.parts), ward.train_data(HEALTHY)
    return overlap_with_hand([read[i] for i in range(PHOTOS)], [drawn[i] for i in range(PHOTOS)])


def _statistics(ward: Ward, stay: Stay) -> float:
    val = ward.val_data()
    images = collate([val[i] for i in range(2)], ward.size).images
    return moved_statistics(stay.network, stay.parts.rows, images)


def _far(ward: Ward, stay: Stay) -> float:
    return farthest_from_start(stay.network, stay.start)


def _names(ward: Ward, stay: Stay) -> float:
    return shifted_names(stay.truth, stay.found, stay.network.classes)


SIGNS: dict[str, Sign] = {
    "swapped": Sign("worst IoU of truth → assign → encode → decode", _round_trip, "1", lambda x: x < 0.999),
    "pixels": Sign(
        "largest box of zero logits, in anchors",
        lambda _, stay: largest_by_anchor(stay.network),
        "1",
        lambda x: x > 1.5,
    ),
    "sigmoid": Sign(
        "share of probabilities between 0.50 and 0.731",
        lambda ward, stay: share_of_doubles(_rows(ward, stay)),
        "small",
        lambda x: x > 0.99,
    ),
    "corners": Sign("mean IoU of read labels with hand-drawn boxes", _with_hand, "1", lambda x: x < 0.9),
    "bgr": Sign("mAP50 gained by reversing the channels", gained_by_reversing, "negative", lambda x: x > 0.02),
    "train_mode": Sign("BatchNorms that evaluation changed", _statistics, "0", lambda x: x > 0),
    "no_warmup": Sign(
        "change of the weights by the first step", lambda ward, stay: first_step(ward, stay.parts), "0", lambda x: x > 0
    ),
    "ema": Sign("farthest a parameter of the average is from its start", _far, "above 0", lambda x: x == 0),
    "classes": Sign("share of the next class less share of the right one", _names, "negative", lambda x: x > 0),
    "objectness": Sign(
        "mean objectness of all cells",
        lambda ward, stay: mean_objectness(_rows(ward, stay)),
        "small",
        lambda x: x > 0.1,
    ),
}
