"""From files to batches: DataSpec → Sample (one image with its boxes) → Batch (what the network takes)."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2.functional import resize

from yolo_edu.boxes import clip_boxes, cxcywh_to_xyxy, scale_boxes, xyxy_to_cxcywh
from yolo_edu.errors import UserError
from yolo_edu.files import Fault, decode_image, label_path, read_image, read_labels
from yolo_edu.hardware import free_memory
from yolo_edu.letterbox import GRAY, Letterbox, letterbox
from yolo_edu.spec import DataSpec, read_spec
from yolo_edu.threads import in_threads

__all__ = [
    "GRAY",
    "Batch",
    "DataSpec",
    "DetectionData",
    "Letterbox",
    "Pool",
    "Sample",
    "collate",
    "label_path",
    "letterbox",
    "one_class",
    "read_image",
    "read_labels",
    "read_spec",
]

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


# --- the data set ---------------------------------------------------------------------------------------


class Pool(NamedTuple):
    """N samples side by side in memory, to be picked by number."""

    images: Tensor  # uint8 (N, 3, S, S) RGB: each in the top left corner of its square, the rest gray
    sizes: Tensor  # int64 (N, 2) width, height in pixels
    boxes: Tensor  # float32 (M, 4) xyxy, pixels of their image
    labels: Tensor  # int64 (M,)
    first: Tensor  # int64 (N + 1,) image i owns the boxes first[i] … first[i + 1] − 1

    @property
    def size(self) -> int:
        """S, the long side of the samples in pixels."""
        return self.images.shape[-1]

    def shrink(self, size: int) -> "Pool":
        """The same samples with a smaller long side, averaged over what each new pixel covers."""
        if size == self.size:
            return self
        images = [resize(some, [size, size], antialias=True) for some in self.images.split(64)]  # in bounded memory
        scale = size / self.size
        # Rounded down: a pixel that lies half outside its image is partly gray.
        sizes = (self.sizes * scale).floor().long().clamp(min=1)
        return self._replace(images=torch.cat(images), sizes=sizes, boxes=self.boxes * scale)

    def sample(self, index: int) -> Sample:
        """A view of one image with its boxes."""
        width, height = self.sizes[index].tolist()
        own = slice(*self.first[index : index + 2].tolist())
        return Sample(self.images[index, :, :height, :width], self.boxes[own], self.labels[own])

    def to(self, device: torch.device) -> "Pool":
        """The pixels on a device; the numbers stay on the CPU, where they are read without waiting for a GPU."""
        return self._replace(images=self.images.to(device))


class DetectionData(Dataset[Sample]):
    """One split of a data set; `data[i]` is a Sample whose long side is `image_size`, without padding.

    Reads all labels at once, so that every bad file is known before training starts.

    Args:
        spec: what to read.
        split: "train", "val" or "test".
        image_size: long side of the samples in pixels.
        cache: hold the resized images in memory (3 bytes a pixel) instead of reading them each time. None:
            if they fill less than half of the free memory.
        copies: processes of this machine that read the same and each hold it.
        single_class: every object becomes class 0, named "object" unless the data has one class anyway.

    Raises:
        UserError: the split is missing or empty, no image of it has a label file, or some files are bad
            or, though a .txt list names them, not there (all of them are named in one message). Without cache a
            bad image raises when asked for.
    """

    def __init__(
        self,
        spec: DataSpec,
        split: str,
        image_size: int,
        cache: bool | None = None,
        *,
        copies: int = 1,
        single_class: bool = False,
    ) -> None:
        self.names = one_class(spec.names) if single_class else spec.names
        self._classes, self._single = len(spec.names), single_class
        self.image_size = image_size
        self.images = spec.images(split)
        if not any(os.path.isfile(label_path(image)) for image in self.images):
            raise UserError(
                f"{spec.path}: no image of {split!r} has a label file. The first was looked for at "
                f"{label_path(self.images[0])}: put the labels there (an empty file: no objects)."
            )
        targets = [_attempt(self._read, image) for image in self.images]
        bad = [str(spec.missing[image]) for image in self.images if image in spec.missing]
        bad += [str(item) for item in targets if isinstance(item, UserError)]
        self._targets = [target for target in targets if not isinstance(target, UserError)]
        self._pool: Pool | None = None
        needed, free = self.bytes * copies, free_memory()
        if cache and free is not None and needed > free:
            taken = f"take {needed >> 20} MiB at {image_size} px, {free >> 20} MiB of memory are free"
            raise UserError(f"{spec.path}: the images of {split!r} {taken}. Leave the cache out.")
        if cache or (cache is None and (free is None or needed < free / 2)):
            pixels = torch.full((len(self), 3, image_size, image_size), GRAY, dtype=torch.uint8)
            places = dict(zip(self.images, pixels.numpy(), strict=True))
            fill = partial(_attempt, partial(self._fill, places))
            sizes = in_threads(fill, self.images, f"reading {split}")
            unread = zip(self.images, sizes, strict=True)
            bad += [str(size) for image, size in unread if isinstance(size, UserError) and image not in spec.missing]
            if not bad:
                self._pool = self._gather(pixels, [size for size in sizes if not isinstance(size, UserError)])
        if bad:
            shown = bad[:REPORTED] + ([f"... and {len(bad) - REPORTED} more"] if len(bad) > REPORTED else [])
            raise UserError("\n".join([f"{spec.path}: {len(bad)} bad file(s) in {split!r}:", *shown]))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        if self._pool is not None:
            # Copies keep the cache safe from whatever is done to the sample.
            return Sample(*(x.clone() for x in self._pool.sample(index)))
        pixels = torch.from_numpy(self._load(self.images[index]))
        labels, boxes = self._targets[index]
        return Sample(pixels, _corners(boxes, pixels.shape[2], pixels.shape[1]), labels.clone())

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    @property
    def bytes(self) -> int:
        """What the images take in memory."""
        return 3 * self.image_size**2 * len(self)

    @property
    def cached(self) -> bool:
        """Whether all images are in memory."""
        return self._pool is not None

    def pool(self, indices: Sequence[int] | None = None) -> Pool:
        """Some samples, or all of them, as one Pool; without a cache this reads their files.

        Raises:
            UserError: a file that has to be read is bad, or gone.
        """
        if indices is None and self._pool is not None:
            return self._pool
        samples = [self[index] for index in (range(len(self)) if indices is None else indices)]
        pixels = torch.full((len(samples), 3, self.image_size, self.image_size), GRAY, dtype=torch.uint8)
        for place, sample in zip(pixels, samples, strict=True):
            place[:, : sample.image.shape[1], : sample.image.shape[2]] = sample.image
        sizes = torch.tensor([[*sample.image.shape[:0:-1]] for sample in samples])
        return _pool(pixels, sizes, [sample.boxes for sample in samples], [sample.labels for sample in samples])

    def shapes(self) -> Tensor:
        """(N, 2) width and height of every sample in pixels; without a cache this opens every file."""
        if self._pool is not None:
            return self._pool.sizes
        sizes = in_threads(lambda path: self._load(path).shape[:0:-1], self.images, "looking at shapes")
        return torch.tensor([list(size) for size in sizes])

    def labels_and_boxes(self) -> tuple[Tensor, Tensor]:
        """(M,) classes and (M, 4) boxes cxcywh of the whole split, normalized to their images."""
        labels, boxes = zip(*self._targets, strict=True)
        return torch.cat(labels), torch.cat(boxes)

    def box_sizes(self, at_most: int | None = None) -> Tensor:
        """(M, 2) width and height of every box of the split, pixels of the samples.

        Args:
            at_most: without a cache every image has to be opened for its shape; then only so many, evenly spread.
        """
        if self._pool is not None:
            boxes = self._pool.boxes
        else:
            step = max(len(self) // at_most, 1) if at_most else 1
            boxes = torch.cat([self[index].boxes for index in range(0, len(self), step)])
        return boxes[:, 2:] - boxes[:, :2]

    def _read(self, image: Path) -> tuple[Tensor, Tensor]:
        labels, boxes = read_labels(label_path(image), self._classes)
        return (torch.zeros_like(labels) if self._single else labels), boxes

    def _fill(self, places: Mapping[Path, NDArray[np.uint8]], path: Path) -> tuple[int, int]:
        """Load an image into its place; its width and height."""
        pixels = self._load(path)
        _, height, width = pixels.shape
        places[path][:, :height, :width] = pixels
        return width, height

    def _gather(self, pixels: Tensor, sizes: Sequence[tuple[int, int]]) -> Pool:
        boxes = [_corners(box, *size) for (_, box), size in zip(self._targets, sizes, strict=True)]
        return _pool(pixels, torch.tensor(sizes), boxes, [labels for labels, _ in self._targets])

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


def one_class(names: Sequence[str]) -> tuple[str, ...]:
    """The names of a data set whose classes are all taken for one."""
    return tuple(names) if len(names) == 1 else ("object",)


def _corners(boxes: Tensor, width: int, height: int) -> Tensor:
    """(N, 4) normalized cxcywh → xyxy in pixels of an image of this size."""
    return clip_boxes(cxcywh_to_xyxy(scale_boxes(boxes, width, height)), width, height)


def _pool(pixels: Tensor, sizes: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> Pool:
    counts = torch.tensor([0, *map(len, labels)])
    return Pool(pixels, sizes, torch.cat([*boxes]), torch.cat([*labels]), counts.cumsum(0))


def _attempt(function: Callable[[Path], T], path: Path) -> T | UserError:
    """The result, or the error as a value, so that one bad file does not hide the next."""
    try:
        return function(path)
    except UserError as error:
        return error


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
