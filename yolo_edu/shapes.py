"""Batches that are not S × S: rectangular ones, and ones of a size of their own (`--rect`, `--multi-scale`)."""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from yolo_edu.boxes import cxcywh_to_xyxy, scale_boxes, xyxy_to_cxcywh
from yolo_edu.data import Batch
from yolo_edu.model.detect import STRIDES

STEP = STRIDES[-1]  # every side of an input is a multiple of the coarsest stride


def by_shape(sizes: Tensor, batch: int, chance: torch.Generator) -> list[int]:
    """An order in which photos of like shape stand together: sorted by height / width, the batches shuffled.

    Both releases leave the batches sorted too, so that every epoch goes from wide to tall; here their order is
    chance, as without `--rect`. A short last batch stays the last.

    Args:
        sizes: (N, 2) width, height.
        batch: images in one.
        chance: breaks ties and orders the batches.
    """
    shuffled = torch.randperm(len(sizes), generator=chance)
    tall = sizes[shuffled, 1].double() / sizes[shuffled, 0]
    order = shuffled[tall.argsort(stable=True)]
    whole = len(order) // batch
    parts = order[: whole * batch].view(whole, batch)[torch.randperm(whole, generator=chance)]
    return [*parts.flatten().tolist(), *order[whole * batch :].tolist()]


def smallest_rectangle(sizes: Tensor, size: int) -> tuple[int, int]:
    """(H, W) in multiples of 32 that hold photos with the long side `size`, given their (N, 2) width, height."""
    width, height = sizes.double().unbind(-1)
    long = torch.maximum(width, height)
    sides = [(side / long).amax().item() * size for side in (height, width)]
    # Rounded first: 0.75 · 128 = 96.00000000000001 must not become 128.
    return tuple(math.ceil(round(side, 6) / STEP) * STEP for side in sides)  # type: ignore[return-value]


def crop(batch: Batch, shape: tuple[int, int], min_side: float) -> Batch:
    """The middle (H, W) of square images, and what is left of their boxes.

    Args:
        batch: images (B, 3, S, S).
        shape: H, W in pixels, at most S.
        min_side: a box stays if both its sides are longer, pixels.
    """
    size, (height, width) = batch.images.shape[-1], shape
    top, left = (size - height) // 2, (size - width) // 2
    images = batch.images[..., top : top + height, left : left + width]
    corners = cxcywh_to_xyxy(batch.targets[:, 2:] * size) - torch.tensor([left, top, left, top])
    corners = torch.minimum(corners.clamp(min=0), torch.tensor([width, height, width, height]))
    keep = (corners[:, 2:] - corners[:, :2]).amin(dim=-1) > min_side
    boxes = scale_boxes(xyxy_to_cxcywh(corners), 1 / width, 1 / height)
    return Batch(images, torch.cat([batch.targets[:, :2], boxes], dim=1)[keep])


def draw_size(size: int, chance: torch.Generator) -> int:
    """A side from half to one and a half times `size`, in steps of 32: each step equally likely but the last."""
    drawn = int(torch.randint(size // 2, size * 3 // 2 + STEP, (), generator=chance))
    return max(drawn // STEP, 1) * STEP


def resized(batch: Batch, side: int) -> Batch:
    """The batch with its long side at `side` pixels, bilinear; targets are normalized and stay."""
    factor = side / max(batch.images.shape[2:])
    shape = [math.ceil(round(old * factor, 6) / STEP) * STEP for old in batch.images.shape[2:]]
    if shape == list(batch.images.shape[2:]):
        return batch
    return batch._replace(images=interpolate(batch.images, shape, mode="bilinear", align_corners=False))
