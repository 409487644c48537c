"""Every file of a data set, read once: what the checks look at."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolo_edu.files import Fault, LabelRow, decode_image, label_path, label_rows
from yolo_edu.lint.header import Header, read_header
from yolo_edu.lint.likeness import descriptor


class Look(NamedTuple):
    """An image that can be read; its pixels are gone, or thousands would not fit into memory."""

    width: int  # pixels, after turning by the EXIF tag
    height: int
    digest: bytes  # of the pixels: a copy under another name or saved anew without loss has the same
    descriptor: NDArray[np.float32]  # (143,) see likeness
    header: Header


class Seen(NamedTuple):
    """One image with its labels."""

    image: Path
    labels: Path  # may not exist
    rows: tuple[LabelRow, ...]
    bad_rows: tuple[Fault, ...]
    look: Look | Fault

    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) cxcywh, normalized to the image."""
        return np.array([row.box for row in self.rows], dtype=np.float64).reshape(-1, 4)

    def pixels(self, image_size: int) -> NDArray[np.float64]:
        """(N, 2) width and height of the boxes, pixels of the image with its long side at `image_size`; nan
        where the image cannot be read."""
        if isinstance(self.look, Fault):
            return np.full((len(self.rows), 2), np.nan)
        sides = np.array([self.look.width, self.look.height])
        return self.boxes()[:, 2:] * sides * (image_size / sides.max())


def see(image: Path, classes: int) -> Seen:
    """Read an image and its label file. Never raises."""
    path = label_path(image)
    rows = list(label_rows(path, classes))
    good = tuple(row for row in rows if isinstance(row, LabelRow))
    return Seen(image, path, good, tuple(row for row in rows if isinstance(row, Fault)), _look(image))


def _look(path: Path) -> Look | Fault:
    image = decode_image(path)
    if isinstance(image, Fault):
        return image
    digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
    height, width = image.shape[:2]
    return Look(width, height, digest, descriptor(image), read_header(path))
