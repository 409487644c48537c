"""From files to batches: DataSpec → Sample (one image with its boxes) → Batch (what the network takes)."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from yolo_edu.boxes import clip_boxes, cxcywh_to_xyxy, scale_boxes, xyxy_to_cxcywh
from yolo_edu.errors import UserError
from yolo_edu.files import Fault, decode_image, label_path, read_image, read_labels
from yolo_edu.spec import DataSpec, read_spec

__all__ = [
    "GRAY",
    "Batch",
    "DataSpec",
    "DetectionData",
    "Letterbox",
    "Sample",
    "collate",
    "label_path",
    "letterbox",
    "read_image",
    "read_labels",
    "read_spec",
]

GRAY = 114  # what letterbox and mosaic put where there is no image
T = TypeVar("T")
REPORTED = 20  # bad files named in one error message


class Sample(NamedTuple):
    """One image and its objects."""

    image: Tensor  # uint8 (3, H, W) RGB
    boxes: Tensor  # float32 (N, 4) xyxy, pixels of this image
    labels: Tensor  # int64 (N,)


class Batch(NamedTuple):
    """What the network and the loss take."""

    images: Tensor  # float32 (B, 3, H, W) RGB in [0, 1]
    targets: Tensor  # float32 (M, 6): image index, class, cx, cy, w, h normalized to the image


# --- letterbox ------------------------------------------------------------------------------------------


class Letterbox(NamedTuple):
    """How an image was put into a square: scaled by `scale`, then moved by (`left`, `top`) pixels."""

    scale: float
    left: int
    top: int

    def apply(self, boxes: Tensor) -> Tensor:
        """(..., 4) xyxy pixels of the image → pixels of the square."""
        return boxes * self.scale + self._shift(boxes)

    def undo(self, boxes: Tensor) -> Tensor:
        """(..., 4) xyxy pixels of the square → pixels of the image (not clipped to it)."""
        return (boxes - self._shift(boxes)) / self.scale

    def _shift(self, boxes: Tensor) -> Tensor:
        return boxes.new_tensor([self.left, self.top, self.left, self.top])


def letterbox(image: Tensor, size: int) -> tuple[Tensor, Letterbox]:
    """Fit a uint8 (3, H, W) image into a (3, size, size) square, aspect kept, the rest gray.

    Bilinear, also when shrinking: what the published results were made with.
    """
    height, width = image.shape[1:]
    scale = min(size / height, size / width)
    new_width, new_height = max(round(width * scale), 1), max(round(height * scale), 1)
    if (new_width, new_height) != (width, height):
        pixels = image.permute(1, 2, 0).numpy()
        pixels = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        image = torch.from_numpy(pixels).permute(2, 0, 1)
    # An odd pixel goes right and below: the ∓0.1 breaks the tie of round().
    left, top = round((size - new_width) / 2 - 0.1), round((size - new_height) / 2 - 0.1)
    square = image.new_full((3, size, size), GRAY)
    square[:, top : top + new_height, left : left + new_width] = image
    return square, Letterbox(scale, left, top)


# --- the data set ---------------------------------------------------------------------------------------


class DetectionData(Dataset[Sample]):
    """One split of a data set; `data[i]` is a Sample whose long side is `image_size`, without padding.

    Reads all labels at once, so that every bad file is known before training starts.

    Args:
        spec: what to read.
        split: "train", "val" or "test".
        image_size: long side of the samples in pixels.
        cache: hold the resized images in memory (3 bytes a pixel) instead of reading them each time.

    Raises:
        UserError: the split is missing or empty, no image of it has a label file, or some files are bad
            (all of them are named in one message). With `cache=False` a bad image raises when asked for.
    """

    def __init__(self, spec: DataSpec, split: str, image_size: int, cache: bool = True) -> None:
        self.names = spec.names
        self.image_size = image_size
        self.images = spec.images(split)
        if not any(os.path.isfile(label_path(image)) for image in self.images):
            raise UserError(
                f"{spec.path}: no image of {split!r} has a label file. The first was looked for at "
                f"{label_path(self.images[0])}: put the labels there (an empty file: no objects)."
            )
        targets = [_attempt(self._read, image) for image in self.images]
        pixels: list[NDArray[np.uint8] | UserError] = []
        if cache:
            pixels = in_threads(partial(_attempt, self._load), self.images, f"reading {split}")
        bad = [str(item) for item in [*targets, *pixels] if isinstance(item, UserError)]
        if bad:
            shown = bad[:REPORTED] + ([f"... and {len(bad) - REPORTED} more"] if len(bad) > REPORTED else [])
            raise UserError("\n".join([f"{spec.path}: {len(bad)} bad file(s) in {split!r}:", *shown]))
        self._targets = [target for target in targets if not isinstance(target, UserError)]
        # numpy, not torch: a tensor sent to another process costs an open file, and there may be thousands.
        self._cache = [item for item in pixels if not isinstance(item, UserError)]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        labels, boxes = self._targets[index]
        # The copy keeps the cache safe from whatever augmentation does to the sample.
        pixels = self._cache[index].copy() if self._cache else self._load(self.images[index])
        height, width = pixels.shape[1:]
        corners = cxcywh_to_xyxy(scale_boxes(boxes, width, height))
        return Sample(torch.from_numpy(pixels), clip_boxes(corners, width, height), labels.clone())

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def box_sizes(self) -> Tensor:
        """(N, 2) width and height of every box of the split, pixels of the samples."""
        corners = [self[index].boxes for index in range(len(self))]
        return torch.cat([box[:, 2:] - box[:, :2] for box in corners])

    def _read(self, image: Path) -> tuple[Tensor, Tensor]:
        return read_labels(label_path(image), len(self.names))

    def _load(self, path: Path) -> NDArray[np.uint8]:
        """The image as (3, H, W) with the long side at `image_size`."""
        image = decode_image(path)
        if isinstance(image, Fault):
            raise UserError(str(image))
        height, width = image.shape[:2]
        scale = self.image_size / max(height, width)
        pixels: cv2.typing.MatLike = image
        if scale != 1:
            size = max(round(width * scale), 1), max(round(height * scale), 1)
            # Averaging over the area keeps small objects from flickering away when shrinking.
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            pixels = cv2.resize(image, size, interpolation=method)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.uint8)


def _attempt(function: Callable[[Path], T], path: Path) -> T | UserError:
    """The result, or the error as a value, so that one bad file does not hide the next."""
    try:
        return function(path)
    except UserError as error:
        return error


def in_threads(function: Callable[[Path], T], paths: Sequence[Path], title: str) -> list[T]:
    """`[function(path) for path in paths]` on all cores with a progress bar (OpenCV lets go of the GIL)."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # disable=None: no bar where nobody watches (a pipe, a log file)
        return list(tqdm(pool.map(function, paths), title, total=len(paths), unit="file", disable=None))


def collate(samples: Iterable[Sample], size: int) -> Batch:
    """Letterbox every sample to `size` × `size` and stack them: images (B, 3, size, size), targets (M, 6)."""
    images, targets = [torch.empty(0, 3, size, size, dtype=torch.uint8)], [torch.empty(0, 6)]
    for index, sample in enumerate(samples):
        image, placed = letterbox(sample.image, size)
        boxes = scale_boxes(xyxy_to_cxcywh(placed.apply(sample.boxes)), 1 / size, 1 / size)
        numbers = torch.stack([torch.full_like(sample.labels, index), sample.labels], dim=1)
        images.append(image[None])
        targets.append(torch.cat([numbers.to(boxes.dtype), boxes], dim=1))
    return Batch(torch.cat(images).float() / 255, torch.cat(targets))
