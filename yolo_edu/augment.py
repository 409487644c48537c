"""Augmentation of whole batches: mosaic, affine warp, flip, MixUp, CutMix, color, with the boxes.

First chance, then pixels: `draw_plan` decides everything about a batch and touches no image; `render` carries a
plan out on whatever device the images are. All that moves pixels is one matrix a scene, so a GPU warps a whole
batch by a single `grid_sample`. A plan can be cut into rows: several processes share one, and a CPU takes a few
images at a time.
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
from yolo_edu.warp import Labels, draw_scenes, lay_out, scene_labels, warp_boxes, warp_images, worth_keeping


@dataclass(frozen=True)
class AugmentSettings:
    """How strongly to augment. The defaults are release R7's."""

    mosaic: float = 1.0  # probability that an image is made of four
    degrees: float = 0.0
    translate: float = 0.1  # of the image's size, either way
    scale: float = 0.5  # zoom by 1 ± this
    shear: float = 0.0  # degrees
    flip: float = 0.5  # probability of left-right
    mixup: float = 0.0  # probability that a second mosaic is laid over a mosaic
    cutmix: float = 0.0  # probability that a rectangle shows a second scene; the two exclude each other
    hue: float = 0.015
    saturation: float = 0.7
    value: float = 0.4
    # A warped box must keep this much to stay a label: sides in pixels, share of its area, aspect ratio.
    min_side: float = 2.0
    min_area: float = 0.1
    max_aspect: float = 100.0

    @classmethod
    def r1(cls) -> "AugmentSettings":
        """Release R1's: no translation, and stricter about what stays a label."""
        return cls(translate=0, hue=0.014, saturation=0.68, value=0.36, min_side=4, min_area=0.2, max_aspect=10)


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
    alone = chance(b) >= settings.mosaic
    members[torch.arange(b), 0, torch.where(alone, 0, place)] = torch.tensor(indices)
    members[:, :, 1:][alone] = -1

    kind = chance(b)
    mixed_up = ~alone & (kind < settings.mixup)  # R7 mixes mosaics only
    cut_out = (kind >= settings.mixup) & (kind < settings.mixup + settings.cutmix)
    members[:, 1][~(mixed_up | cut_out)] = -1
    # Beta(32, 32), as in R7, is the distribution of the middle one of 63 uniform numbers.
    share = torch.where(mixed_up, chance(b, 63).median(dim=-1).values, 1.0)
    half = (chance(b, 1) ** 0.5) / 2  # the cut's area is uniform in [0, 1] before the border trims it
    middle = chance(b, 2)
    cut = torch.cat([middle - half, middle + half], dim=-1).clamp(0, 1) * cut_out[:, None]
    matrices = random_affine(2 * b, settings, generator).view(b, 2, 2, 3)
    # The flip comes last of all and turns both scenes together.
    matrices[:, :, 0] *= torch.where(chance(b) < settings.flip, -1.0, 1.0)[:, None, None]
    return Plan(
        members=members,
        centers=torch.randint(size // 2, size + size // 2, (b, 2, 2), generator=generator),
        matrices=matrices,
        share=share,
        cut=cut,
        gains=random_gains(b, settings, generator),
    )


def random_affine(count: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """(B, 2, 3): from canvas to image, both centered at 0 and measured in image sizes S.

    Order as in R7: scale and rotation, shear, then translation.
    """

    def uniform(half_width: float) -> Tensor:
        return (2 * torch.rand(count, generator=generator) - 1) * half_width

    scale, angle = 1 + uniform(settings.scale), uniform(math.radians(settings.degrees))
    shear_x, shear_y = (torch.tan(uniform(math.radians(settings.shear))) for _ in range(2))
    shift_x, shift_y = uniform(settings.translate), uniform(settings.translate)

    cos, sin, one = scale * angle.cos(), scale * angle.sin(), torch.ones(count)
    rotation = torch.stack([cos, sin, -sin, cos], dim=-1).view(-1, 2, 2)
    shear = torch.stack([one, shear_x, shear_y, one], dim=-1).view(-1, 2, 2)
    linear = shear @ rotation
    return torch.cat([linear, torch.stack([shift_x, shift_y], dim=-1)[..., None]], dim=-1)


def random_gains(count: int, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """(B, 3) factors on hue, saturation and value."""
    strength = torch.tensor([settings.hue, settings.saturation, settings.value])
    return 1 + (2 * torch.rand(count, 3, generator=generator) - 1) * strength


# --- pixels and labels ----------------------------------------------------------------------------------

PIECE = 2  # images that a CPU works on at once: more leave its cache, fewer leave cores idle


def render(plan: Plan, pool: Pool, settings: AugmentSettings) -> Batch:
    """Carry out a plan.

    Args:
        plan: of B images.
        pool: the samples it numbers, long side S.
        settings: the rule by which boxes stay labels.

    Returns:
        Batch of float (B, 3, S, S) images on the pool's device; targets on the CPU.
    """
    # A GPU, in contrast, takes the whole batch at once: it would wait for so many small steps.
    step = PIECE if pool.images.device.type == "cpu" else len(plan.members)
    pieces = [plan.rows(slice(i, i + step)) for i in range(0, len(plan.members), step)]
    images = torch.cat([_images(piece, pool) for piece in pieces])
    return Batch(images, _targets(plan, pool, settings))


class Scenes(NamedTuple):
    """The scenes of a plan: the first ones of all B images, then the P second ones."""

    members: Tensor  # (B + P, 4)
    centers: Tensor  # (B + P, 2)
    matrices: Tensor  # (B + P, 2, 3)
    image: Tensor  # (B + P,) index of the image that each is for

    @classmethod
    def of(cls, plan: Plan) -> "Scenes":
        """All that a plan asks for."""
        mixed = (plan.members[:, 1, 0] >= 0).nonzero().flatten()
        members, centers, matrices = (torch.cat([x[:, 0], x[mixed, 1]]) for x in plan[:3])
        return cls(members, centers, matrices, torch.cat([torch.arange(len(plan.members)), mixed]))


def _images(plan: Plan, pool: Pool) -> Tensor:
    size, count, scenes = pool.size, len(plan.members), Scenes.of(plan)
    canvases = draw_scenes(lay_out(scenes.members, scenes.centers, pool), len(scenes.members), pool)
    images, second = warp_images(canvases, scenes.matrices).tensor_split([count])
    if len(second):
        mixed = scenes.image[count:]
        there = mixed.to(images.device, non_blocking=True)
        both = mix_up(images[there], second, plan.share[mixed])
        both = cut_mix(both, second, _cut_pixels(plan, size)[mixed])
        images = images.index_copy(0, there, both)
    return shift_colors(images, plan.gains)


def _cut_pixels(plan: Plan, size: int) -> Tensor:
    """(B, 4) the cuts in whole pixels of images of this size."""
    return (plan.cut * size).round().long()


def _targets(plan: Plan, pool: Pool, settings: AugmentSettings) -> Tensor:
    """(M, 6) as in a `Batch`."""
    size, count, scenes = pool.size, len(plan.members), Scenes.of(plan)
    labels = scene_labels(lay_out(scenes.members, scenes.centers, pool), pool)
    labels = _warp_labels(labels, scenes.matrices[labels.owner], settings, size)
    second, image = labels.owner >= count, scenes.image[labels.owner]
    labels = _mix_labels(labels._replace(owner=image), second, plan.share, _cut_pixels(plan, size), settings)
    boxes = scale_boxes(xyxy_to_cxcywh(labels.boxes), 1 / size, 1 / size)
    numbers = torch.stack([labels.owner, labels.classes], dim=-1).to(boxes.dtype)
    return torch.cat([numbers, boxes], dim=-1)


def _warp_labels(labels: Labels, matrices: Tensor, settings: AugmentSettings, size: int) -> Labels:
    boxes = warp_boxes(labels.boxes, matrices, size)
    zoom = torch.linalg.det(matrices[:, :, :2]).abs()
    keep = worth_keeping(
        labels.boxes,
        boxes,
        zoom,
        min_side=settings.min_side,
        min_area=settings.min_area,
        max_aspect=settings.max_aspect,
    )
    return labels._replace(boxes=boxes).rows(keep)


def _mix_labels(labels: Labels, second: Tensor, share: Tensor, cut: Tensor, settings: AugmentSettings) -> Labels:
    """What mixing leaves of the labels: a cut hides first scenes inside and second ones outside of it.

    Args:
        labels: M boxes, pixels of the image that owns them.
        second: (M,) bool: of a second scene.
        share: (B,) of the first scene; below 1 both are seen everywhere.
        cut: (B, 4) xyxy pixels, empty where nothing is cut.
        settings: the rule by which boxes stay labels.
    """
    mine = cut[labels.owner].to(labels.boxes.dtype)
    left, visible = uncovered(labels.boxes, mine)
    # Of a second scene only what lies inside the cut is seen: nothing, if that is less than a pixel.
    shown = torch.cat([labels.boxes[:, :2].maximum(mine[:, :2]), labels.boxes[:, 2:].minimum(mine[:, 2:])], dim=1)
    inside = second & (share[labels.owner] == 1)
    boxes = torch.where(inside[:, None], shown, left)
    visible = torch.where(inside, 1 - visible, visible)
    big = (boxes[:, 2:] - boxes[:, :2]).amin(dim=-1) > settings.min_side
    return Labels(boxes, labels.classes, labels.owner).rows(big & (visible > settings.min_area))


def augment_batch(
    pool: Pool,
    indices: Sequence[int],
    settings: AugmentSettings,
    generator: torch.Generator,
) -> Batch:
    """Draw a plan for the given samples of a pool and carry it out; see `draw_plan` and `render`."""
    plan = draw_plan(indices, len(pool.sizes), settings, pool.size, generator)
    return render(plan, pool, settings)
