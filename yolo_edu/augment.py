"""Augmentation of whole batches: mosaic, affine warp, flip, MixUp, CutMix, color, with the boxes.

First chance, then pixels: `draw_plan` decides everything about a batch and touches no image; `render` carries a
plan out on whatever device the images are. All that moves pixels is one matrix an image, so the whole batch is
warped by a single `grid_sample`. A plan can be cut into rows, so several processes can share one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from yolo_edu.boxes import scale_boxes, xyxy_to_cxcywh
from yolo_edu.data import Batch, Pool
from yolo_edu.mix import cut_mix, mix_up, shift_colors, uncovered
from yolo_edu.warp import Labels, lay_out, warp_boxes, warp_images, worth_keeping


@dataclass(frozen=True)
class AugmentSettings:
    """How strongly to augment. The defaults are release R7's."""

    mosaic: float = 1.0  # probability that an image is made of four
    degrees: float = 0.0
    translate: float = 0.1  # of the image's size, either way
    scale: float = 0.5  # zoom by 1 ± this
    shear: float = 0.0  # degrees
    flip: float = 0.5  # probability of left-right
    mixup: float = 0.0  # probability that a second image is laid over the first
    cutmix: float = 0.0  # probability that a rectangle shows a second image; the two exclude each other
    hue: float = 0.015
    saturation: float = 0.7
    value: float = 0.4
    # A warped box must keep this much to stay a label: sides in pixels, share of its area, aspect ratio.
    min_side: float = 2.0
    min_area: float = 0.1
    max_aspect: float = 100.0


# --- chance ---------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """All that chance decides about a batch of B images: a scene each, and a second one where two are mixed."""

    members: Tensor  # int64 (B, 2, 4) samples: top left, top right, bottom left, bottom right; −1: none
    centers: Tensor  # int64 (B, 2, 2) x, y where the four meet, pixels of the canvas
    matrices: Tensor  # (B, 2, 2, 3) from canvas to image, see `random_affine`
    share: Tensor  # (B,) MixUp: of the first scene; 1: no MixUp
    cut: Tensor  # (B, 4) CutMix: xyxy in image sizes, where the second scene shows; all 0: no CutMix
    gains: Tensor  # (B, 3) factors on hue, saturation, value

    def rows(self, which: slice | Tensor) -> "Plan":
        """The plan of some of the images."""
        return Plan(*(x[which] for x in self))


def draw_plan(
    indices: Sequence[int], samples: int, settings: AugmentSettings, size: int, generator: torch.Generator
) -> Plan:
    """Let chance decide about a batch.

    Args:
        indices: B sample numbers, the first member of each image.
        samples: how many there are; mosaics and second scenes draw from all of them.
        settings: how strongly.
        size: S, long side of the samples in pixels.
        generator: the only source of chance, so a seed repeats the plan.
    """
    b = len(indices)

    def chance(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    members = torch.randint(samples, (b, 2, 4), generator=generator)
    place = torch.randint(4, (b,), generator=generator)
    alone = chance(b, 2) >= settings.mosaic
    members[torch.arange(b), 0, torch.where(alone[:, 0], 0, place)] = torch.tensor(indices)
    members[:, :, 1:][alone] = -1

    kind = chance(b)
    mixed_up = kind < settings.mixup
    cut_out = ~mixed_up & (kind < settings.mixup + settings.cutmix)
    members[:, 1][~(mixed_up | cut_out)] = -1
    # Beta(32, 32), as in R7, is the distribution of the middle one of 63 uniform numbers.
    share = torch.where(mixed_up, chance(b, 63).median(dim=-1).values, 1.0)
    half = (chance(b, 1) ** 0.5) / 2  # the cut's area is uniform in [0, 1] before the border trims it
    middle = chance(b, 2)
    cut = torch.cat([middle - half, middle + half], dim=-1).clamp(0, 1) * cut_out[:, None]
    return Plan(
        members=members,
        centers=torch.randint(size // 2, size + size // 2, (b, 2, 2), generator=generator),
        matrices=random_affine(2 * b, settings, generator).view(b, 2, 2, 3),
        share=share,
        cut=cut,
        gains=random_gains(b, settings, generator),
    )


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


def random_gains(count: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """(B, 3) factors on hue, saturation and value."""
    strength = torch.tensor([settings.hue, settings.saturation, settings.value])
    return 1 + (2 * torch.rand(count, 3, generator=generator) - 1) * strength


# --- pixels ---------------------------------------------------------------------------------------------


def render(plan: Plan, pool: Pool, settings: AugmentSettings, size: int | None = None) -> Batch:
    """Carry out a plan.

    Args:
        plan: of B images.
        pool: the samples it numbers, long side S.
        settings: the rule by which boxes stay labels.
        size: of the images in pixels, at most S; None: S.

    Returns:
        Batch of float (B, 3, size, size) images on the pool's device; targets on the CPU.
    """
    size = pool.images.shape[-1] if size is None else size
    count = len(plan.members)
    mixed = (plan.members[:, 1, 0] >= 0).nonzero().flatten()  # (P,)
    # Second scenes follow the first ones, so that everything is warped at once.
    members, centers, matrices = (torch.cat([x[:, 0], x[mixed, 1]]) for x in plan[:3])
    scenes, labels = lay_out(members, centers, pool)
    labels = _warp_labels(labels, matrices, settings, scenes.shape[-1], size)
    images = warp_images(scenes, matrices, size)
    if len(mixed):
        images, second = images.split([count, len(mixed)])
        cut = (plan.cut * size).round().long()
        there = mixed.to(images.device, non_blocking=True)
        both = cut_mix(mix_up(images[there], second, plan.share[mixed]), second, cut[mixed])
        images = images.index_copy(0, there, both)
        labels = _mix_labels(labels, count, mixed, cut, settings)
    images = shift_colors(images, plan.gains)
    boxes = scale_boxes(xyxy_to_cxcywh(labels.boxes), 1 / size, 1 / size)
    numbers = torch.stack([labels.owner, labels.classes], dim=-1).to(boxes.dtype)
    return Batch(images, torch.cat([numbers, boxes], dim=-1))


def _warp_labels(labels: Labels, matrices: Tensor, settings: AugmentSettings, canvas_size: int, size: int) -> Labels:
    mine = matrices[labels.owner]
    boxes = warp_boxes(labels.boxes, mine, canvas_size, size)
    zoom = torch.linalg.det(mine[:, :, :2]).abs() * (2 * size / canvas_size) ** 2
    keep = worth_keeping(
        labels.boxes,
        boxes,
        zoom,
        min_side=settings.min_side,
        min_area=settings.min_area,
        max_aspect=settings.max_aspect,
    )
    return labels._replace(boxes=boxes).rows(keep)


def _mix_labels(labels: Labels, count: int, mixed: Tensor, cut: Tensor, settings: AugmentSettings) -> Labels:
    """Labels of B + P scenes → of B images: second scenes join their image, and a cut hides what it covers.

    Args:
        labels: owners below `count` are first scenes.
        count: B.
        mixed: (P,) image of each second scene.
        cut: (B, 4) xyxy pixels, empty where nothing is cut.
        settings: the rule by which boxes stay labels.
    """
    second = labels.owner >= count
    owner = torch.where(second, mixed[(labels.owner - count).clamp(min=0)], labels.owner)
    mine = cut[owner].to(labels.boxes.dtype)
    is_cut = (mine[:, 2:] > mine[:, :2]).all(dim=-1)
    left, visible = uncovered(labels.boxes, mine)
    # Of the second scene only what lies inside the cut is seen.
    low, high = torch.maximum(labels.boxes[:, :2], mine[:, :2]), torch.minimum(labels.boxes[:, 2:], mine[:, 2:])
    shown = torch.cat([low, high], dim=1)
    boxes = torch.where((is_cut & second)[:, None], shown, torch.where(is_cut[:, None], left, labels.boxes))
    share = torch.where(is_cut, torch.where(second, 1 - visible, visible), 1)
    big = (boxes[:, 2:] - boxes[:, :2]).amin(dim=-1) > settings.min_side
    return Labels(boxes, labels.classes, owner).rows(big & (share > settings.min_area))


def augment_batch(
    pool: Pool,
    indices: Sequence[int],
    settings: AugmentSettings,
    generator: torch.Generator,
    size: int | None = None,
) -> Batch:
    """Draw a plan for the given samples of a pool and carry it out; see `draw_plan` and `render`."""
    plan = draw_plan(indices, len(pool.sizes), settings, pool.images.shape[-1], generator)
    return render(plan, pool, settings, size)
