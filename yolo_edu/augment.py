"""Augmentation of whole batches: mosaic, affine warp, flip, color, with the boxes.

All that moves pixels is one matrix an image, so the whole batch is warped by a single `grid_sample`, on
whatever device the batch is. Coordinates are continuous pixels: pixel i covers [i, i + 1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from yolo_edu.boxes import area, clip_boxes, scale_boxes, xyxy_to_cxcywh
from yolo_edu.data import GRAY, Batch, DetectionData, Sample


@dataclass(frozen=True)
class AugmentSettings:
    """How strongly to augment. The defaults are release R7's."""

    mosaic: float = 1.0  # probability that an image is made of four
    degrees: float = 0.0
    translate: float = 0.1  # of the image's size, either way
    scale: float = 0.5  # zoom by 1 ± this
    shear: float = 0.0  # degrees
    flip: float = 0.5  # probability of left-right
    hue: float = 0.015
    saturation: float = 0.7
    value: float = 0.4
    # A warped box must keep this much to stay a label: sides in pixels, share of its area, aspect ratio.
    min_side: float = 2.0
    min_area: float = 0.1
    max_aspect: float = 100.0


class Canvases(NamedTuple):
    """B scenes of twice the training size, of which the warp cuts the final images."""

    images: Tensor  # uint8 (B, 3, 2S, 2S), gray where nothing lies
    boxes: Tensor  # (M, 4) xyxy, pixels of the canvas
    labels: Tensor  # (M,)
    owner: Tensor  # (M,) index of the canvas


def augment_batch(
    data: DetectionData, indices: Sequence[int], settings: AugmentSettings, generator: torch.Generator
) -> Batch:
    """Augmented images for the given samples; mosaics draw their partners from the whole data set.

    Args:
        data: samples whose long side is the training size S.
        indices: B sample numbers.
        settings: how strongly.
        generator: the only source of chance, so a seed repeats the batch.

    Returns:
        Batch of (B, 3, S, S) images.
    """
    canvases = lay_out(data, indices, settings.mosaic, generator)
    matrices = random_affine(len(indices), settings, generator)
    images = warp_images(canvases.images, matrices)
    images = shift_colors(images, random_gains(len(indices), settings, generator))
    return Batch(images, _targets(canvases, matrices, settings, data.image_size))


# --- canvases -------------------------------------------------------------------------------------------


def lay_out(data: DetectionData, indices: Sequence[int], mosaic: float, generator: torch.Generator) -> Canvases:
    """Put four samples around a random center on each canvas, or one sample in its middle."""
    size = data.image_size
    images = torch.full((len(indices), 3, 2 * size, 2 * size), GRAY, dtype=torch.uint8)
    boxes, labels, owner = [torch.empty(0, 4)], [torch.empty(0, dtype=torch.long)], [torch.empty(0)]
    for b, index in enumerate(indices):
        if torch.rand((), generator=generator) < mosaic:
            others = torch.randint(len(data), (3,), generator=generator).tolist()
            members = torch.tensor([index, *others])[torch.randperm(4, generator=generator)].tolist()
            center = torch.randint(size // 2, size + size // 2, (2,), generator=generator).tolist()
            places = [_corner(data[m], center, quadrant) for quadrant, m in enumerate(members)]
        else:
            sample = data[index]
            _, height, width = sample.image.shape
            places = [(sample, size - width // 2, size - height // 2)]
        for sample, left, top in places:
            paste(images[b], sample.image, left, top)
            moved = sample.boxes + sample.boxes.new_tensor([left, top, left, top])
            boxes.append(clip_boxes(moved, 2 * size, 2 * size))
            labels.append(sample.labels)
            owner.append(torch.full((len(moved),), b))
    return Canvases(images, torch.cat(boxes), torch.cat(labels), torch.cat(owner).long())


def _corner(sample: Sample, center: Sequence[int], quadrant: int) -> tuple[Sample, int, int]:
    """Where a sample's top-left corner lies so that it touches the mosaic's center from its quadrant."""
    _, height, width = sample.image.shape
    left = center[0] if quadrant % 2 else center[0] - width
    top = center[1] if quadrant // 2 else center[1] - height
    return sample, left, top


def paste(canvas: Tensor, image: Tensor, left: int, top: int) -> None:
    """Copy (3, h, w) into (3, H, W) in place, cut at the canvas' border."""
    _, height, width = image.shape
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, canvas.shape[2]), min(top + height, canvas.shape[1])
    canvas[:, y0:y1, x0:x1] = image[:, y0 - top : y1 - top, x0 - left : x1 - left]


# --- geometry -------------------------------------------------------------------------------------------


def random_affine(count: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """(B, 2, 3): from canvas to image, both centered at 0 and measured in image sizes S.

    Order as in R7: scale and rotation, shear, then translation; the flip comes last.
    """

    def uniform(half_width: float) -> Tensor:
        return (2 * torch.rand(count, generator=generator) - 1) * half_width

    scale, angle = 1 + uniform(settings.scale), uniform(math.radians(settings.degrees))
    shear_x, shear_y = (torch.tan(uniform(math.radians(settings.shear))) for _ in range(2))
    shift_x, shift_y = uniform(settings.translate), uniform(settings.translate)
    flip = torch.where(torch.rand(count, generator=generator) < settings.flip, -1.0, 1.0)

    cos, sin, one = scale * angle.cos(), scale * angle.sin(), torch.ones(count)
    rotation = torch.stack([cos, sin, -sin, cos], dim=-1).view(-1, 2, 2)
    shear = torch.stack([one, shear_x, shear_y, one], dim=-1).view(-1, 2, 2)
    linear = shear @ rotation
    matrix = torch.cat([linear, torch.stack([shift_x, shift_y], dim=-1)[..., None]], dim=-1)
    matrix[:, 0] *= flip[:, None]
    return matrix


def warp_images(canvases: Tensor, matrices: Tensor) -> Tensor:
    """uint8 (B, 3, 2S, 2S) canvases → float (B, 3, S, S) in [0, 1]; bilinear, gray outside."""
    b, _, double, _ = canvases.shape
    inverse = torch.linalg.inv(matrices[:, :, :2])
    # affine_grid's units: −1 … 1 across each picture, so half an S for the image and one S for the canvas.
    theta = torch.cat([inverse / 2, -inverse @ matrices[:, :, 2:]], dim=-1).to(canvases.device)
    grid = affine_grid(theta, [b, 3, double // 2, double // 2], align_corners=False)
    # Zero padding becomes gray padding when gray is the zero.
    shifted = canvases.float().sub_(GRAY)
    return grid_sample(shifted, grid, padding_mode="zeros", align_corners=False).add_(GRAY).div_(255)


def warp_boxes(boxes: Tensor, matrices: Tensor, size: int) -> Tensor:
    """(M, 4) xyxy canvas pixels, (M, 2, 3) matrices → (M, 4) xyxy image pixels, upright, clipped to the image."""
    x0, y0, x1, y1 = (boxes / size - 1).unbind(-1)
    corners = torch.stack([x0, y0, x1, y0, x1, y1, x0, y1], dim=-1).view(-1, 4, 2)
    moved = corners @ matrices[:, :, :2].mT + matrices[:, None, :, 2]
    moved = (moved + 0.5) * size
    return clip_boxes(torch.cat([moved.amin(1), moved.amax(1)], dim=-1), size, size)


def worth_keeping(before: Tensor, after: Tensor, zoom: Tensor, settings: AugmentSettings) -> Tensor:
    """(M,) bool: is the warped and clipped box still a fair label?

    Args:
        before, after: (M, 4) xyxy pixels of the canvas and of the image.
        zoom: (M,) how much the warp enlarges areas.
    """
    width, height = (after[:, 2:] - after[:, :2]).unbind(-1)
    aspect = torch.maximum(width / (height + 1e-16), height / (width + 1e-16))
    kept = area(after) / (area(before) * zoom + 1e-16)
    big = (width > settings.min_side) & (height > settings.min_side)
    return big & (kept > settings.min_area) & (aspect < settings.max_aspect)


def _targets(canvases: Canvases, matrices: Tensor, settings: AugmentSettings, size: int) -> Tensor:
    mine = matrices[canvases.owner]
    boxes = warp_boxes(canvases.boxes, mine, size)
    keep = worth_keeping(canvases.boxes, boxes, torch.linalg.det(mine[:, :, :2]).abs(), settings)
    where = torch.stack([canvases.owner, canvases.labels], dim=-1)[keep].float()
    return torch.cat([where, xyxy_to_cxcywh(scale_boxes(boxes[keep], 1 / size, 1 / size))], dim=-1)


# --- color ----------------------------------------------------------------------------------------------


def random_gains(count: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """(B, 3) factors on hue, saturation and value."""
    strength = torch.tensor([settings.hue, settings.saturation, settings.value])
    return 1 + (2 * torch.rand(count, 3, generator=generator) - 1) * strength


def shift_colors(images: Tensor, gains: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in [0, 1] with hue, saturation and value multiplied by (B, 3) gains.

    Hue (0 … 1) wraps, the others stop at 1. Written plane by plane with nothing but additions, products
    and choices: remainders and index-returning reductions cost ten times as much on a CPU.
    """
    hue_gain, saturation_gain, value_gain = gains.to(images.device)[:, :, None, None].unbind(1)
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    slope = 1 / spread.clamp(min=1e-6)
    # Position on the color wheel in sixths: red 0, green 2, blue 4.
    sixths = torch.where(
        value == red,
        (green - blue) * slope,
        torch.where(value == green, (blue - red) * slope + 2, (red - green) * slope + 4),
    )
    sixths = torch.where(sixths < 0, sixths + 6, sixths) * hue_gain
    sixths = torch.where(sixths >= 6, sixths - 6, sixths)  # gains stay below 2
    new_value = (value * value_gain).clamp_(max=1)
    new_spread = (spread / value.clamp(min=1e-6) * saturation_gain).clamp_(max=1) * new_value
    planes = []
    for phase in (5, 3, 1):  # each channel falls off from its own peak on the wheel
        position = sixths + phase
        position = torch.where(position >= 6, position - 6, position)
        dip = torch.minimum(position, 4 - position).clamp_(0, 1)
        planes.append(new_value - new_spread * dip)
    return torch.stack(planes, dim=1)
