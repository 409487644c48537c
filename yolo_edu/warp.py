"""Geometry of augmentation: scenes of one or four samples on canvases, and the warp that cuts an image of each.

Coordinates are continuous pixels: pixel i covers [i, i + 1). Nothing here is left to chance; the numbers come
from `yolo_edu.augment`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

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


# --- canvases -------------------------------------------------------------------------------------------


def lay_out(members: Tensor, centers: Tensor, pool: Pool) -> tuple[Tensor, Labels]:
    """Scenes of twice the training size S: four samples around a center, or one in the middle.

    Args:
        members: (B, 4) sample numbers: top left, top right, bottom left, bottom right; (i, −1, −1, −1): i alone.
        centers: (B, 2) x, y where the four meet, pixels of the canvas.
        pool: the samples.

    Returns:
        uint8 (B, 3, 2S, 2S) canvases on the pool's device, gray where nothing lies, and their labels in
        pixels of the canvas.
    """
    size = pool.images.shape[-1]
    owner, quadrant = (members >= 0).nonzero(as_tuple=True)  # (Q,) each
    sample = members[owner, quadrant]
    sizes = pool.sizes[sample]
    before = torch.stack([quadrant % 2 == 0, quadrant < 2], dim=-1)  # left of, above the center
    corners = centers[owner] - sizes * before
    alone = members[owner, 1] < 0
    corners = torch.where(alone[:, None], size - sizes // 2, corners)

    counts = pool.first[sample + 1] - pool.first[sample]
    which = torch.arange(len(sample)).repeat_interleave(counts)  # (M,) the placed sample of each box
    box = torch.arange(len(which)) + (pool.first[sample] - counts.cumsum(0) + counts)[which]
    boxes = clip_boxes(pool.boxes[box] + corners[which].repeat(1, 2), 2 * size, 2 * size)
    draw = paste_samples if pool.images.device.type == "cpu" else gather_samples
    canvases = draw(pool, len(members), owner, sample, corners)
    return canvases, Labels(boxes, pool.labels[box], owner[which])


def paste_samples(pool: Pool, count: int, owner: Tensor, sample: Tensor, corners: Tensor) -> Tensor:
    """Copy each of Q samples onto its canvas, cut at the border: the fastest way on a CPU.

    Args:
        pool: the samples.
        count: canvases, B.
        owner, sample: (Q,) which canvas gets which sample; the samples of a canvas do not overlap.
        corners: (Q, 2) x, y of the sample's top left corner on the canvas.

    Returns:
        uint8 (B, 3, 2S, 2S).
    """
    double = 2 * pool.images.shape[-1]
    canvases = torch.full((count, 3, double, double), GRAY, dtype=torch.uint8)
    rows = torch.stack([owner, sample], dim=-1), pool.sizes[sample], corners
    for b, i, width, height, left, top in torch.cat(rows, dim=-1).tolist():
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, double), min(top + height, double)
        canvases[b, :, y0:y1, x0:x1] = pool.images[i, :, y0 - top : y1 - top, x0 - left : x1 - left]
    return canvases


def gather_samples(pool: Pool, count: int, owner: Tensor, sample: Tensor, corners: Tensor) -> Tensor:
    """The same as `paste_samples` in four steps for the whole batch: a GPU would wait for hundreds of pastes."""
    size, device = pool.images.shape[-1], pool.images.device
    # The numbers of up to four samples a canvas, as (4, B, …); a missing one has no width.
    slot = torch.arange(len(owner)) - torch.searchsorted(owner, owner)
    numbers = torch.zeros(4, count, 5, dtype=torch.int64)
    numbers[slot, owner] = torch.cat([sample[:, None], pool.sizes[sample], corners], dim=-1)
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


def warp_images(canvases: Tensor, matrices: Tensor, size: int) -> Tensor:
    """uint8 (B, 3, 2S, 2S) canvases → float (B, 3, size, size) in [0, 1]; bilinear, gray outside.

    Args:
        canvases: the scenes.
        matrices: (B, 2, 3) from canvas to image, both centered at 0 and measured in image sizes.
        size: of the image in pixels; it shows the same whether S or less.
    """
    inverse = torch.linalg.inv(matrices[:, :, :2])
    # affine_grid's units: −1 … 1 across each picture, so half an S for the image and one S for the canvas.
    theta = torch.cat([inverse / 2, -inverse @ matrices[:, :, 2:]], dim=-1)
    grid = affine_grid(theta.to(canvases.device, non_blocking=True), [len(theta), 3, size, size], align_corners=False)
    # Zero padding becomes gray padding when gray is the zero.
    shifted = canvases.float().sub_(GRAY)
    return grid_sample(shifted, grid, padding_mode="zeros", align_corners=False).add_(GRAY).div_(255)


def warp_boxes(boxes: Tensor, matrices: Tensor, canvas_size: int, size: int) -> Tensor:
    """(M, 4) xyxy pixels of the canvas → (M, 4) xyxy pixels of the image, upright, clipped to it.

    Args:
        boxes: on a canvas of side `canvas_size` = 2S.
        matrices: (M, 2, 3) each box's own.
        size: of the image.
    """
    x0, y0, x1, y1 = (boxes / (canvas_size / 2) - 1).unbind(-1)
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
