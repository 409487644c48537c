"""How good is a detector? Images in, detections in their own pixels out, measured by the COCO tools."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from yolo_edu.boxes import clip_boxes
from yolo_edu.coco import MAX_DETECTIONS
from yolo_edu.data import DetectionData, Sample, letterbox
from yolo_edu.errors import UserError
from yolo_edu.nms import Detections, nms
from yolo_edu.report import Report, measure
from yolo_edu.threads import ahead

__all__ = ["Network", "OneClass", "Report", "detect", "detect_all", "evaluate", "measure"]


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


class OneClass(nn.Module):
    """A network whose K classes became one: a row's score is that of its best class.

    Suppression then works across the former classes, because there is nothing to tell them apart by. An
    `nn.Module`, so that evaluation mode reaches the network inside.

    Args:
        network: any.
        name: of the one class.
    """

    classes = 1

    def __init__(self, network: Network, name: str = "object") -> None:
        super().__init__()
        self.network = network
        self.names = (name,)

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the network."""
        return self.network.strides

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return self.network.device

    def rows(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, N, 6): cx, cy, w, h in pixels, objectness, probability of the best class."""
        rows = self.network.rows(images)
        return torch.cat([rows[..., :5], rows[..., 5:].amax(dim=-1, keepdim=True)], dim=-1)


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
    """Run a detector over a data set and measure it: `detect_all`, then `measure`.

    AP comes from the COCO tools (pycocotools), with up to 300 detections an image. Precision, recall, F1
    and the confusion matrix come from `yolo_edu.metrics`.

    Args:
        model: the detector; its mode is the same afterwards.
        data: what to run it on.
        batch_size, size, confidence, iou, progress, interrupted: see `detect_all`.

    Raises:
        KeyboardInterrupt, UserError: see `detect_all`.
    """
    truth, found = detect_all(
        model,
        data,
        batch_size=batch_size,
        size=size,
        confidence=confidence,
        iou=iou,
        progress=progress,
        interrupted=interrupted,
    )
    return measure(truth, found, data.names)


def detect_all(
    model: Network,
    data: DetectionData,
    *,
    batch_size: int = 32,
    size: int | None = None,
    confidence: float = 0.001,
    iou: float = 0.6,
    progress: bool = True,
    interrupted: Callable[[], bool] = lambda: False,
) -> tuple[list[Sample], list[Detections]]:
    """Run a detector over a data set.

    Args:
        model: the detector; its mode is the same afterwards.
        data: what to run it on.
        batch_size: images at once.
        size: side of the square the network sees, a multiple of 32; None: the data's `image_size`.
        confidence: detections below are not even considered. AP needs the uncertain ones too: with a
            higher value the curve ends early and AP is too low.
        iou: of non-maximum suppression.
        progress: show a bar.
        interrupted: asked between batches; True ends the work.

    Returns:
        For each image its truth, and what was found in it, both in the pixels of `data`'s samples. The
        truth's images have no channels, so no pixels, but still tell height and width.

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
            truth += [sample._replace(image=sample.image.new_empty(0, *sample.image.shape[1:])) for sample in samples]
            bar.update(len(samples))
            if interrupted():
                raise KeyboardInterrupt
    return truth, found
