"""Test-time augmentation: look three times, at three sizes and once in a mirror, and let suppression choose.

The idea: what is missed or doubtful in one view may be clear in another. The price: the area of all views, 2.1 times
that of the image. Whether it pays has to be measured, by `yolo-edu test` with and without `--augment`. For the shipped
weights and photos it does not: mAP50-95 is 0.733 instead of 0.737, mAP50 0.936 instead of 0.942.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from yolo_edu.errors import UserError
from yolo_edu.evaluate import Network

PADDING = 0.447  # ImageNet's mean gray, which the releases put beside a view


class View(NamedTuple):
    """One of the looks at an image."""

    scale: float  # of its sides
    mirrored: bool  # left and right


VIEWS = (View(1.0, False), View(0.83, True), View(0.67, False))  # both releases'


def make_view(images: Tensor, view: View, stride: int) -> Tensor:
    """What the network sees in one look.

    Args:
        images: float32 (B, 3, H, W) in [0, 1].
        view: how to look.
        stride: the coarsest; the sides of a view are multiples of it.

    Returns:
        (B, 3, H', W'): mirrored first, then resized to ⌊scale · H⌋ × ⌊scale · W⌋ (bilinear), then padded with
        gray on the right and below up to ⌈scale · side / stride⌉ · stride.
    """
    if view.mirrored:
        images = images.flip(-1)
    if view.scale == 1:
        return images
    height, width = images.shape[2:]
    new = _resized(height, view.scale), _resized(width, view.scale)
    full = [math.ceil(side * view.scale / stride) * stride for side in (height, width)]
    small = interpolate(images, size=new, mode="bilinear", align_corners=False)
    return pad(small, (0, full[1] - new[1], 0, full[0] - new[0]), value=PADDING)


def undo_view(rows: Tensor, view: View, height: int, width: int) -> Tensor:
    """Rows of a view → rows of the image it was made from.

    The releases divide by `scale`; here it is by what the sides were really multiplied with, ⌊scale · side⌋ / side.
    At 256 pixels that moves a box by up to half a pixel, to where the object is.

    Args:
        rows: (B, N, 5 + K) cx, cy, w, h in pixels of the view, objectness, classes.
        view: how it was looked.
        height, width: of the image, in pixels.

    Returns:
        (B, N, 5 + K), boxes in pixels of the image.
    """
    x, y = width / _resized(width, view.scale), height / _resized(height, view.scale)
    boxes = rows[..., :4] * rows.new_tensor([x, y, x, y])
    if view.mirrored:
        boxes = torch.cat([width - boxes[..., :1], boxes[..., 1:]], dim=-1)
    return torch.cat([boxes, rows[..., 4:]], dim=-1)


def _resized(side: int, scale: float) -> int:
    return int(side * scale)


class Augmented(nn.Module):
    """A network that looks at every image several times; to be used wherever a network is.

    Its rows are those of all views, one after another, so suppression sees each object up to three times and keeps
    the surest box. As in release 1.0 all rows stay; release 7.0 drops the largest boxes of the full view and the
    smallest of the smallest view.

    An `nn.Module`, so that evaluation mode reaches the network inside.

    Args:
        network: a `Detector`, or an exported file that takes images of any size.
        views: the looks.
    """

    def __init__(self, network: Network, views: Sequence[View] = VIEWS) -> None:
        super().__init__()
        self.network = network
        self.views = tuple(views)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the network."""
        return self.network.names

    @property
    def classes(self) -> int:
        """Of the network."""
        return self.network.classes

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the network."""
        return self.network.strides

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return self.network.device

    def rows(self, images: Tensor) -> Tensor:
        """float32 (B, 3, H, W) RGB in [0, 1] → (B, N, 5 + K) in pixels of `images`: the rows of every view.

        Raises:
            UserError: the network does not take images of a view's size.
        """
        height, width = images.shape[2:]
        views = [make_view(images, view, self.strides[-1]) for view in self.views]
        try:
            rows = [self.network.rows(seen) for seen in views]
        except UserError as error:
            sizes = ", ".join(f"{seen.shape[3]} × {seen.shape[2]}" for seen in views)
            raise UserError(f"test-time augmentation runs the network at {sizes} pixels. {error}") from None
        return torch.cat([undo_view(*pair, height, width) for pair in zip(rows, self.views, strict=True)], dim=1)
