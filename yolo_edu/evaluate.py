"""How good is a detector? Images in, detections in their own pixels out, measured by the COCO tools."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from yolo_edu.boxes import clip_boxes
from yolo_edu.coco import MAX_DETECTIONS, coco_precision
from yolo_edu.data import DetectionData, Sample, letterbox
from yolo_edu.errors import UserError
from yolo_edu.metrics import Curves, Floats, best_f1, confidence_curves, confusion_matrix, match
from yolo_edu.nms import Detections, nms
from yolo_edu.threads import ahead


class Network(Protocol):
    """What detection needs of a network, whether it is a `Detector` or an exported file."""

    @property
    def names(self) -> tuple[str, ...]:
        """The K class names."""

    @property
    def classes(self) -> int:
        """K."""

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels of the network input a grid cell spans, P3 to P5."""

    @property
    def device(self) -> torch.device:
        """Where images have to be."""

    def rows(self, images: Tensor) -> Tensor:
        """float32 (B, 3, H, W) RGB in [0, 1] → (B, N, 5 + K): cx, cy, w, h in pixels, objectness, classes."""


READERS = 2  # threads that read the next batches when the data is not cached


def detect(
    model: Network,
    images: Sequence[Tensor],
    *,
    size: int,
    confidence: float = 0.25,
    iou: float = 0.45,
    multi_label: bool = False,
    agnostic: bool = False,
    classes: Collection[int] | None = None,
    max_detections: int = 300,
) -> list[Detections]:
    """Letterbox, network, decoding, suppression, and the letterbox undone: one batch of images.

    Runs on the model's device, in evaluation mode; the former mode returns afterwards.

    Args:
        model: the detector.
        images: uint8 (3, H, W) RGB on the CPU, of any and of different sizes.
        size: side of the square the network sees, a multiple of 32.
        confidence, iou, multi_label, agnostic, classes, max_detections: see `yolo_edu.nms.nms`.

    Returns:
        For each image its Detections on the CPU, boxes clipped to the image, in its pixels.

    Raises:
        UserError: a size that is no multiple of 32, a class number the model lacks, a threshold outside
            [0, 1].
    """
    if size <= 0 or size % model.strides[-1]:
        raise UserError(f"image size {size} is not a multiple of {model.strides[-1]}, the coarsest stride.")
    if classes is not None and not set(classes) <= set(range(model.classes)):
        raise UserError(f"classes {sorted(classes)}: the model knows 0 to {model.classes - 1} only.")
    if not images:
        return []
    squares, placed = zip(*(letterbox(image, size) for image in images), strict=True)
    with _evaluating(model), torch.inference_mode():
        # Bytes travel to the device and become numbers there: a quarter of the traffic.
        batch = torch.stack(squares).to(model.device).float() / 255
        found = nms(
            model.rows(batch),
            confidence=confidence,
            iou=iou,
            multi_label=multi_label,
            agnostic=agnostic,
            classes=classes,
            max_detections=max_detections,
        )
    results = []
    for image, place, (boxes, scores, labels) in zip(images, placed, found, strict=True):
        height, width = image.shape[1:]
        boxes = clip_boxes(place.undo(boxes.cpu()), width, height)
        results.append(Detections(boxes, scores.cpu(), labels.cpu()))
    return results


@contextmanager
def _evaluating(model: Network) -> Iterator[None]:
    """Evaluation mode inside, every module's own mode afterwards (some may have been frozen on purpose)."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [(module, module.training) for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@dataclass(frozen=True)
class Report:
    """How well a detector did on a data set.

    A class without any object in the truth has nan for its APs and is left out of every mean; where no
    class has one, the means are nan too.
    """

    map50: float  # mean over classes of AP at IoU 0.50
    map: float  # and of AP averaged over IoU 0.50, 0.55 … 0.95
    ap50: Mapping[str, float]  # class name → AP at IoU 0.50
    ap: Mapping[str, float]  # class name → AP over IoU 0.50 … 0.95
    precision: float  # means over classes at IoU 0.50 and `confidence`
    recall: float
    f1: float
    confidence: float  # the threshold where the mean F1 is highest
    # int64 (K + 1, K + 1): row what was said, column what was there, last: background
    confusion: Tensor = field(repr=False, compare=False)
    precision_at_recall: Floats = field(repr=False, compare=False)  # (101, K) at recall 0, 0.01 … 1 and IoU 0.50
    curves: Curves = field(repr=False, compare=False)  # over the confidence threshold, at IoU 0.50
    images: int
    boxes: int  # objects in the truth

    @property
    def fitness(self) -> float:
        """What "best weights" means: 0.1 mAP50 + 0.9 mAP50-95; 0 where the truth holds no object."""
        return 0.1 * self.map50 + 0.9 * self.map if self.boxes else 0.0

    @property
    def objects(self) -> list[int]:
        """Boxes of each class in the truth: every one stands once in its class's column of the confusion."""
        return self.confusion.sum(dim=0).tolist()[:-1]

    def table(self) -> str:
        """The report as text: one line for all classes, one a class, one for the best threshold."""
        width = max(map(len, ["all", "class", *self.ap]))
        lines = [f"{'class':<{width}}  {'boxes':>6}  {'AP50':>6}  {'AP50-95':>7}"]
        rows = [("all", self.boxes, self.map50, self.map)]
        rows += zip(self.ap, self.objects, self.ap50.values(), self.ap.values(), strict=True)
        lines += [
            f"{name:<{width}}  {count:>6}  {_number(ap50):>6}  {_number(ap):>7}" for name, count, ap50, ap in rows
        ]
        lines.append(
            f"{self.images} images; best F1 {_number(self.f1)} at confidence {_number(self.confidence)}: "
            f"precision {_number(self.precision)}, recall {_number(self.recall)}"
        )
        return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def evaluate(
    model: Network,
    data: DetectionData,
    *,
    batch_size: int = 32,
    size: int | None = None,
    confidence: float = 0.001,
    iou: float = 0.6,
    progress: bool = True,
    interrupted: Callable[[], bool] = lambda: False,
) -> Report:
    """Run a detector over a data set and measure it.

    AP comes from the COCO tools (pycocotools), with up to 300 detections an image. Precision, recall, F1
    and the confusion matrix come from `yolo_edu.metrics`.

    Args:
        model: the detector; its mode is the same afterwards.
        data: what to run it on.
        batch_size: images at once.
        size: side of the square the network sees, a multiple of 32; None: the data's `image_size`.
        confidence: detections below are not even considered. AP needs the uncertain ones too: with a
            higher value the curve ends early and AP is too low.
        iou: of non-maximum suppression.
        progress: show a bar.
        interrupted: asked between batches; True ends the evaluation.

    Raises:
        KeyboardInterrupt: `interrupted` said so.
        UserError: no image, a batch size below 1, a class count that is not the model's, a size that is
            no multiple of 32, a threshold outside [0, 1].
    """
    if not len(data):
        raise UserError("there is no image to evaluate on: the data set is empty.")
    if batch_size < 1:
        raise UserError(f"batch size {batch_size}: must be at least 1.")
    if len(data.names) != model.classes:
        raise UserError(
            f"the model knows {model.classes} classes, the data set has {len(data.names)} "
            f"({', '.join(data.names)}). Evaluate with the data set that the model was trained for."
        )
    size = data.image_size if size is None else size
    truth: list[Sample] = []
    found: list[Detections] = []
    with tqdm(total=len(data), desc="evaluating", unit="image", disable=None if progress else True) as bar:
        starts = range(0, len(data), batch_size)

        def read(start: int) -> list[Sample]:
            return [data[i] for i in range(start, min(start + batch_size, len(data)))]

        for samples in map(read, starts) if data.cached else ahead(read, starts, READERS):
            images = [sample.image for sample in samples]
            found += detect(
                model,
                images,
                size=size,
                confidence=confidence,
                iou=iou,
                multi_label=True,
                max_detections=MAX_DETECTIONS,
            )
            # The pixels are done with; held until the end they might fill the memory.
            truth += [sample._replace(image=sample.image.new_empty(3, 0, 0)) for sample in samples]
            bar.update(len(samples))
            if interrupted():
                raise KeyboardInterrupt
    return measure(truth, found, data.names)


def measure(truth: Sequence[Sample], found: Sequence[Detections], names: Sequence[str]) -> Report:
    """Compare detections with the truth.

    Args:
        truth: a Sample an image; only boxes and labels are read.
        found: what was detected in the same images, in their pixels.
        names: of the K classes.
    """
    precision = coco_precision(truth, found, len(names))  # (10, 101, K)
    labels = torch.cat([sample.labels for sample in truth])
    counts = torch.bincount(labels, minlength=len(names))
    half = torch.tensor([0.5])
    pairs = list(zip(truth, found, strict=True))
    curves = confidence_curves(
        torch.cat([match(detections, boxes, labels, half) for (_, boxes, labels), detections in pairs])[:, 0],
        torch.cat([detections.scores for detections in found]),
        torch.cat([detections.labels for detections in found]),
        counts,
    )
    best = best_f1(curves)
    confusion = [confusion_matrix(f, boxes, labels, len(names)) for (_, boxes, labels), f in pairs]
    ap50, ap = precision[0].mean(axis=0), precision.mean(axis=1).mean(axis=0)
    return Report(
        map50=_mean(ap50),
        map=_mean(ap),
        ap50=dict(zip(names, ap50.tolist(), strict=True)),
        ap=dict(zip(names, ap.tolist(), strict=True)),
        precision=_mean(best.precision),
        recall=_mean(best.recall),
        f1=_mean(best.f1),
        confidence=best.confidence,
        confusion=torch.stack(confusion).sum(dim=0),
        precision_at_recall=precision[0],
        curves=curves,
        images=len(truth),
        boxes=len(labels),
    )


def _mean(values: Floats) -> float:
    """Over the classes that occur in the truth."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
