"""Where does the mAP go? Replace one part of the answer by the truth, leave the rest, and measure again.

The parts are the outputs of the network: class, box and objectness (`SWAPS`). They are replaced before suppression,
which follows as usual and so deals with the copies that a corrected box makes. Ranking is no output but the order that
the scores put the detections in: it is corrected after suppression (`true_ranking`). What the mistakes cost, type by
type, is told by `yolo_edu.repairs`.

The gains do not add up: one object may need two corrections at once, and then neither alone helps.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from tqdm import tqdm

from yolo_edu.boxes import cxcywh_to_xyxy, pairwise_iou, xyxy_to_cxcywh
from yolo_edu.coco import MAX_DETECTIONS
from yolo_edu.data import DetectionData, Sample, letterbox
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Network, detect
from yolo_edu.mistakes import HIT, NEAR, check_pairs
from yolo_edu.nms import Detections
from yolo_edu.report import measure

AS_IT_IS = "as it is"
ALL_THREE = "all three"
RANKING = "ranking"

# --- before suppression: the outputs of the network -------------------------------------------------------


def true_class(rows: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Rows of one image whose box finds an object say that object's class, with probability 1, and no other.

    A box finds the object that it overlaps most, from IoU 0.5 on: below, it is right at no threshold of the COCO
    tools, so there is no class for it to be right about.

    Can lower mAP: two rows about one object with different classes become one class, and where their boxes differ
    too much for suppression one of them is then a duplicate.

    Args:
        rows: (N, 5 + K) decoded, see `yolo_edu.model.detect.Detect.decode`.
        boxes: (M, 4) true boxes, xyxy in pixels of the network input.
        labels: (M,) their classes.

    Returns:
        (N, 5 + K), a copy.
    """
    rows = rows.clone()
    if len(labels):
        overlap, about = _closest(rows, boxes)
        hit = overlap >= HIT
        rows[hit, 5:] = one_hot(labels[about[hit]], rows.shape[1] - 5).to(rows)
    return rows


def true_box(rows: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Rows of one image get the box of the object that they overlap most, from IoU 0.1 on.

    Below 0.1 a row is about no object: moving it onto one would invent a find, not correct a box. Rows of one class
    with the same box become one in suppression.

    Can lower mAP, though rarely: of two objects that overlap, the rows of one may all name the other.

    Args and returns: see `true_class`.
    """
    rows = rows.clone()
    if len(labels):
        overlap, about = _closest(rows, boxes)
        near = overlap >= NEAR
        rows[near, :4] = xyxy_to_cxcywh(boxes[about[near]]).to(rows)
    return rows


def true_objectness(rows: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Every row of one image says how well its box fits: the IoU with the object that it overlaps most.

    The loss asks a cell for the overlap of its box with its object, and for 0 where none is assigned. Here the
    overlap decides alone, without the assignment: a row that fits an object well says so, whichever cell it is.

    Can lower mAP: rows that were never asked about an object are heard, and their classes may be anything.

    Args and returns: see `true_class`.
    """
    rows = rows.clone()
    rows[:, 4] = _closest(rows, boxes)[0] if len(labels) else 0
    return rows


def _closest(rows: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) IoU with, and (N,) index of the true box that each row overlaps most; the boxes in their given place."""
    return pairwise_iou(cxcywh_to_xyxy(rows[:, :4]), boxes).max(dim=1)


SWAPS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "class": true_class,
    "box": true_box,
    "objectness": true_objectness,
}


def true_ranking(found: Detections, boxes: Tensor, labels: Tensor) -> Detections:
    """The same detections of one image, but the right ones first, best box first.

    Detections and objects of one class pair up, the pair with the largest IoU first. A detection in a pair scores
    0.5 + IoU / 2, any other one half of its old score: so the right ones come before the wrong ones at every
    IoU threshold and in all images. What is left to gain is what nobody found.

    Can lower mAP in a crowd: the surest pairs first need not be the most pairs.

    Args:
        found: N detections of one image.
        boxes, labels: (M, 4) xyxy in the same pixels and (M,) of the truth.
    """
    scores = found.scores / 2
    overlap = pairwise_iou(found.boxes, boxes) * (found.labels[:, None] == labels)  # (N, M)
    while overlap.numel() and (best := float(overlap.max())) >= HIT:
        i, j = divmod(int(overlap.argmax()), len(labels))
        scores[i] = 0.5 + best / 2
        overlap[i], overlap[:, j] = 0, 0
    return best_first(found._replace(scores=scores))


def best_first(found: Detections) -> Detections:
    """The detections of one image in the order of their scores."""
    order = found.scores.argsort(descending=True, stable=True)
    return Detections(*(part[order] for part in found))


# --- measuring --------------------------------------------------------------------------------------------


class Gain(NamedTuple):
    """The mAP with one part replaced by the truth, and how much more that is: what the part costs."""

    name: str
    map50: float
    map: float  # mAP50-95
    gain50: float
    gain: float


def measure_gains(
    truth: Sequence[Sample], versions: Mapping[str, Sequence[Detections]], names: Sequence[str]
) -> list[Gain]:
    """The mAP of every version; gains are counted from the first one.

    Args:
        truth: a Sample an image; only boxes and labels are read.
        versions: name → a Detections an image. The first one is the detector as it is.
        names: of the K classes.

    Raises:
        UserError: no image, not one Detections an image, a class number without a name.
    """
    if not truth:
        raise UserError("there is no image to measure on: the data set is empty.")
    gains: list[Gain] = []
    for name, found in versions.items():
        check_pairs(truth, found, len(names))
        report = measure(truth, found, names)
        start = gains[0] if gains else report
        gains.append(Gain(name, report.map50, report.map, report.map50 - start.map50, report.map - start.map))
    return gains


class Swapped(NamedTuple):
    """What `swap_outputs` found out."""

    truth: list[Sample]  # an image each, in the pixels of the data's samples; without channels, so without pixels
    found: dict[str, list[Detections]]  # "as it is", the keys of SWAPS, "all three", "ranking" → an image each


class _Told(nn.Module):
    """A network that gives the answer it is told, and its own one if it is told none.

    An `nn.Module`, so that evaluation mode reaches the network inside.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.names, self.classes, self.strides = network.names, network.classes, network.strides
        self.answer: Tensor | None = None  # (B, N, 5 + K)

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return self.network.device

    def rows(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, N, 5 + K), remembered as the answer."""
        if self.answer is None:
            self.answer = self.network.rows(images)
        return self.answer


def swap_outputs(
    model: Network,
    data: DetectionData,
    *,
    batch_size: int = 32,
    size: int | None = None,
    confidence: float = 0.001,
    iou: float = 0.6,
    progress: bool = True,
    interrupted: Callable[[], bool] = lambda: False,
) -> Swapped:
    """Run a detector once over a data set, and suppression once for each oracle.

    "as it is" equals what `yolo_edu.evaluate.detect_all` finds. "all three" replaces class, box and objectness
    together: the most that suppression leaves of a perfect network, which checks the account.

    Args:
        model: the detector; its mode is the same afterwards.
        data: what to run it on.
        batch_size, size, confidence, iou, progress, interrupted: see `yolo_edu.evaluate.detect_all`.

    Raises:
        KeyboardInterrupt: `interrupted` said so.
        UserError: no image, a batch size below 1, a class count that is not the model's, a size that is no multiple
            of 32, a threshold outside [0, 1].
    """
    if not len(data):
        raise UserError("there is no image to look at: the data set is empty.")
    if batch_size < 1:
        raise UserError(f"batch size {batch_size}: must be at least 1.")
    if len(data.names) != model.classes:
        raise UserError(
            f"the model knows {model.classes} classes, the data set has {len(data.names)} "
            f"({', '.join(data.names)}). Use the data set that the model was trained for."
        )
    size = data.image_size if size is None else size
    truth: list[Sample] = []
    found: dict[str, list[Detections]] = {name: [] for name in (AS_IT_IS, *SWAPS, ALL_THREE, RANKING)}
    with tqdm(total=len(data), desc="asking the oracle", unit="image", disable=None if progress else True) as bar:
        for start in range(0, len(data), batch_size):
            samples = [data[i] for i in range(start, min(start + batch_size, len(data)))]
            for name, detections in _versions(model, samples, size, confidence, iou).items():
                found[name] += detections
            truth += [sample._replace(image=sample.image.new_empty(0, *sample.image.shape[1:])) for sample in samples]
            bar.update(len(samples))
            if interrupted():
                raise KeyboardInterrupt
    return Swapped(truth, found)


def _versions(
    model: Network, samples: Sequence[Sample], size: int, confidence: float, iou: float
) -> dict[str, list[Detections]]:
    """Every oracle's detections in one batch."""
    told = _Told(model)
    images = [sample.image for sample in samples]

    def ask() -> list[Detections]:
        return detect(
            told, images, size=size, confidence=confidence, iou=iou, multi_label=True, max_detections=MAX_DETECTIONS
        )

    versions = {AS_IT_IS: ask()}
    own = told.answer
    assert own is not None
    placed = [letterbox(sample.image, size)[1] for sample in samples]
    boxes = [place.apply(sample.boxes).to(own.device) for place, sample in zip(placed, samples, strict=True)]
    labels = [sample.labels.to(own.device) for sample in samples]

    def corrected(rows: Tensor, swap: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        return torch.stack([swap(*each) for each in zip(rows, boxes, labels, strict=True)])

    for name, swap in SWAPS.items():
        told.answer = corrected(own, swap)
        versions[name] = ask()
    # The box last: until then it tells which object a row is about.
    told.answer = own
    for name in ("objectness", "class", "box"):
        told.answer = corrected(told.answer, SWAPS[name])
    versions[ALL_THREE] = ask()
    before = zip(versions[AS_IT_IS], samples, strict=True)
    versions[RANKING] = [true_ranking(detections, sample.boxes, sample.labels) for detections, sample in before]
    return versions
