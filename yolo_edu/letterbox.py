"""A picture of any shape into the square that a network takes, and boxes there and back."""

from typing import NamedTuple

import cv2
import torch
from torch import Tensor

GRAY = 114  # what letterbox and mosaic put where there is no image


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
        pixels = cv2.resize(image.permute(1, 2, 0).numpy(), (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        image = torch.from_numpy(pixels).permute(2, 0, 1)
    # An odd pixel goes right and below: the ∓0.1 breaks the tie of round().
    left, top = round((size - new_width) / 2 - 0.1), round((size - new_height) / 2 - 0.1)
    square = image.new_full((3, size, size), GRAY)
    square[:, top : top + new_height, left : left + new_width] = image
    return square, Letterbox(scale, left, top)
