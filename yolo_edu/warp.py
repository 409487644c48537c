"""Geometry of augmentation: scenes of one or four samples on canvases, and the warp that cuts an image of each.

Coordinates are continuous pixels: pixel i covers [i, i + 1). Nothing here is left to chance; the numbers come
from `yolo_edu.augment`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from yolo_edu.boxes import area, clip_boxes
from yolo_edu.data import GRAY, Pool


class Labels(NamedTuple):
    """The boxes of a batch of scenes."""

    boxes: Tensor  # (M, 4) xyxy pixels
    classes: Tensor  # (M,)
    owner: Tensor  # (M,) index of the scene

    def rows(self, keep: Tensor) -> "Labels":
        """The selected ones."""
        return Labels(*(x[keep] for x in self))


# --- scenes ---------------------------------------------------------------------------------------------


class Layout(NamedTuple):
    """Which samples lie where on the canvases of B scenes; those of one scene do not overlap."""

    owner: Tensor  # int64 (Q,) index of the scene, ascending
    sample: Tensor  # int64 (Q,) number in the pool
    corner: Tensor  # int64 (Q, 2) x, y of the sample's top left corner, pixels of the canvas


def lay_out(members: Tensor, centers: Tensor, pool: Pool) -> Layout:
    """Four samples around a center, or one in the middle, on canvases of twice the training size S.

    Args:
        members: (B, 4) sample numbers: top left, top right, bottom left, bottom right; (i, −1, −1, −1): i alone.
        centers: (B, 2) x, y where the four meet, pixels of the canvas.
        pool: the samples.
    """
    owner, quadrant = (members >= 0).nonzero(as_tuple=True)  # (Q,) each
    sample = members[owner, quadrant]
    sizes = pool.sizes[sample]
    before = torch.stack([quadrant % 2 == 0, quadrant < 2], dim=-1)  # left of, above the center
    corner = centers[owner] - sizes * before
    alone = members[owner, 1] < 0
    middle = pool.size - (sizes + 1) // 2  # as letterbox does: an odd pixel goes right and below
    return Layout(owner, sample, torch.where(alone[:, None], middle, corner))


def scene_labels(layout: Layout, pool: Pool) -> Labels:
    """The boxes of the samples where they lie, pixels of the canvas, clipped to it."""
    counts = pool.first[layout.sample + 1] - pool.first[layout.sample]
    which = torch.arange(len(counts)).repeat_interleave(counts)  # (M,) row of the layout of each box
    box = torch.arange(len(which)) + (pool.first[layout.sample] - counts.cumsum(0) + counts)[which]
    double = 2 * pool.size
    boxes = clip_boxes(pool.boxes[box] + layout.corner[which].repeat(1, 2), double, double)
    return Labels(boxes, pool.labels[box], layout.owner[which])


def draw_scenes(layout: Layout, count: int, pool: Pool) -> Tensor:
    """uint8 (B, 3, 2S, 2S) canvases on the pool's device, gray where nothing lies; `count` is B."""
    draw = paste_samples if pool.images.device.type == "cpu" else gather_samples
    return draw(layout, count, pool)


def paste_samples(layout: Layout, count: int, pool: Pool) -> Tensor:
    """Copy each sample onto its canvas, cut at the border: the fastest way on a CPU."""
    double = 2 * pool.size
    canvases = torch.full((count, 3, double, double), GRAY, dtype=torch.uint8)
    rows = torch.stack([layout.owner, layout.sample], dim=-1), pool.sizes[layout.sample], layout.corner
    for b, i, width, height, left, top in torch.cat(rows, dim=-1).tolist():
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, double), min(top + height, double)
        canvases[b, :, y0:y1, x0:x1] = pool.images[i, :, y0 - top : y1 - top, x0 - left : x1 - left]
    return canvases


def gather_samples(layout: Layout, count: int, pool: Pool) -> Tensor:
    """The same as `paste_samples` in four steps for the whole batch: a GPU would wait for hundreds of pastes."""
    size, device = pool.size, pool.images.device
    # The numbers of up to four samples a canvas, as (4, B, …); a missing one has no width.
    slot = torch.arange(len(layout.owner)) - torch.searchsorted(layout.owner, layout.owner)
    numbers = torch.zeros(4, count, 5, dtype=torch.int64)
    rows = [layout.sample[:, None], pool.sizes[layout.sample], layout.corner]
    numbers[slot, layout.owner] = torch.cat(rows, dim=-1)
    member, extent, corner = numbers.to(device, non_blocking=True).split([1, 2, 2], dim=-1)
    canvases = torch.full((count, 2 * size, 2 * size, 3), GRAY, dtype=torch.uint8, device=device)
    place = torch.arange(2 * size, device=device)
    for i, (width, height), (left, top) in zip(member[..., 0], extent.mT, corner.mT, strict=True):
        x, y = place - left[:, None], place - top[:, None]  # (B, 2S) pixel of the sample
        inside = ((x >= 0) & (x < width[:, None]))[:, None] & ((y >= 0) & (y < height[:, None]))[:, :, None]
        x, y = x.clamp(0, size - 1)[:, None], y.clamp(0, size - 1)[:, :, None]
        pixels = pool.images[i[:, None, None], :, y, x]  # (B, 2S, 2S, 3)
        canvases = torch.where(inside[..., None], pixels, canvases)
    return canvases.permute(0, 3, 1, 2)


# --- warp -----------------------------------------------------------------------------------------------


def warp_images(canvases: Tensor, matrices: Tensor) -> Tensor:
    """uint8 (B, 3, 2S, 2S) canvases → float (B, 3, S, S) in [0, 1]; bilinear, gray outside.

    Args:
        canvases: the scenes.
        matrices: (B, 2, 3) from canvas to image, both centered at 0 and measured in image sizes.
    """
    size = canvases.shape[-1] // 2
    inverse = torch.linalg.inv(matrices[:, :, :2])
    # grid_sample wants units of −1 … 1 across each picture: half an S for the image and one S for the canvas.
    theta = torch.cat([inverse / 2, -inverse @ matrices[:, :, 2:]], dim=-1).to(canvases.device, non_blocking=True)
    middles = (2 * torch.arange(size, device=canvases.device) + 1) / size - 1
    across, down = theta[:, :, :1] * middles, theta[:, :, 1:2] * middles + theta[:, :, 2:]  # (B, 2, size) each
    places = (across[:, :, None] + down[:, :, :, None]).permute(0, 2, 3, 1)
    # Zero padding becomes gray padding when gray is the zero.
    shifted = canvases.float().sub_(GRAY)
    return grid_sample(shifted, places, padding_mode="zeros", align_corners=False).add_(GRAY).div_(255)


def warp_boxes(boxes: Tensor, matrices: Tensor, size: int) -> Tensor:
    """(M, 4) xyxy pixels of the canvas → (M, 4) xyxy pixels of the image, upright, clipped to it.

    Args:
        boxes: on a canvas of side 2S.
        matrices: (M, 2, 3) each box's own.
        size: S, of the image.
    """
    x0, y0, x1, y1 = (boxes / size - 1).unbind(-1)
    corners = torch.stack([x0, y0, x1, y0, x1, y1, x0, y1], dim=-1).view(-1, 4, 2)
    moved = corners @ matrices[:, :, :2].mT + matrices[:, None, :, 2]
    moved = (moved + 0.5) * size
    return clip_boxes(torch.cat([moved.amin(1), moved.amax(1)], dim=-1), size, size)


def worth_keeping(
    before: Tensor, after: Tensor, zoom: Tensor, *, min_side: float, min_area: float, max_aspect: float
) -> Tensor:
    """(M,) bool: is the warped and clipped box still a fair label?

    Args:
        before, after: (M, 4) xyxy pixels of the canvas and of the image.
        zoom: (M,) how much the warp enlarges areas.
        min_side: both sides must be longer, pixels.
        min_area: more than this share of the area must be left.
        max_aspect: the longer side must be less than this many times the shorter.
    """
    width, height = (after[:, 2:] - after[:, :2]).unbind(-1)
    aspect = torch.maximum(width / (height + 1e-16), height / (width + 1e-16))
    kept = area(after) / (area(before) * zoom + 1e-16)
    big = (width > min_side) & (height > min_side)
    return big & (kept > min_area) & (aspect < max_aspect)
