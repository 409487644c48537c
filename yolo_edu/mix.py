"""What changes pixels and moves nothing: color shifts, and two images mixed into one."""

import torch
from torch import Tensor

from yolo_edu.boxes import area


def mix_up(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Two (P, 3, H, W) batches laid over each other (Zhang et al. 2017, arXiv:1710.09412).

    Args:
        first, second: the images; of both, all boxes stay.
        share: (P,) of the first image, in [0, 1].
    """
    return torch.lerp(second, first, share.to(first.device, non_blocking=True)[:, None, None, None])


def cut_mix(first: Tensor, second: Tensor, cut: Tensor) -> Tensor:
    """A rectangle of each first image filled with the same place of the second (Yun et al. 2019, arXiv:1905.04899).

    Args:
        first, second: (P, 3, H, W).
        cut: (P, 4) xyxy whole pixels; an empty rectangle changes nothing.
    """
    x0, y0, x1, y1 = cut.to(first.device, non_blocking=True)[:, :, None].unbind(1)  # (P, 1) each
    rows = torch.arange(first.shape[2], device=first.device)
    columns = torch.arange(first.shape[3], device=first.device)
    inside = ((rows >= y0) & (rows < y1))[:, :, None] & ((columns >= x0) & (columns < x1))[:, None]
    return torch.where(inside[:, None], second, first)


def uncovered(boxes: Tensor, cut: Tensor) -> tuple[Tensor, Tensor]:
    """What a rectangle laid over each box leaves of it.

    Args:
        boxes, cut: (M, 4) xyxy in the same pixels.

    Returns:
        (M, 4) the smallest upright box around the visible part, and (M,) the visible share of the area.
    """
    low, high = torch.maximum(boxes[:, :2], cut[:, :2]), torch.minimum(boxes[:, 2:], cut[:, 2:])
    hidden = (high - low).clamp(min=0).prod(dim=-1)
    corners = boxes.clone()
    for axis in (0, 1):
        # The box is shortened only where the rectangle spans its whole other side.
        other = 1 - axis
        spans = (cut[:, other] <= boxes[:, other]) & (cut[:, other + 2] >= boxes[:, other + 2]) & (hidden > 0)
        at_start = spans & (cut[:, axis] <= boxes[:, axis])
        at_end = spans & (cut[:, axis + 2] >= boxes[:, axis + 2])
        corners[:, axis] = torch.where(at_start, high[:, axis], boxes[:, axis])
        corners[:, axis + 2] = torch.where(at_end, low[:, axis], boxes[:, axis + 2])
    size = area(boxes)
    visible = (size - hidden).clamp(min=0) / size.clamp(min=1e-16)
    return corners, torch.where(size > 0, visible, 0)


def shift_colors(images: Tensor, gains: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in [0, 1] with hue, saturation and value multiplied by (B, 3) gains in [0, 2).

    Hue wraps, the others stop at 1. Written plane by plane with additions, products and choices, in place where
    it can be: remainders and index-returning reductions cost ten times as much on a CPU.
    """
    hue_gain, saturation_gain, value_gain = gains.to(images.device, non_blocking=True)[:, :, None, None].unbind(1)
    red, green, blue = images.unbind(1)
    value = torch.maximum(red, green).maximum(blue)
    spread = value - torch.minimum(red, green).minimum(blue)
    # Position on the color wheel in sixths: red 0, green 2, blue 4.
    slope = spread.clamp(min=1e-6).reciprocal_()
    sixths = torch.where(value == green, (blue - red).mul_(slope).add_(2), (red - green).mul_(slope).add_(4))
    sixths = torch.where(value == red, (green - blue).mul_(slope), sixths)
    sixths.add_(sixths < 0, alpha=6).mul_(hue_gain)
    sixths.add_(sixths >= 6, alpha=-6)
    new_value = (value * value_gain).clamp_(0, 1)
    new_spread = spread.div_(value.clamp_(min=1e-6)).mul_(saturation_gain).clamp_(max=1).mul_(new_value)
    # A channel is full up to one sixth from its own place on the wheel, and at its lowest from two sixths on.
    # Red's place is 0 and 6, so it is measured from the opposite one, 3.
    dips = (2 - (sixths - 3).abs_(), (sixths - 2).abs_().sub_(1), (sixths - 4).abs_().sub_(1))
    planes = [torch.addcmul(new_value, new_spread, dip.clamp_(0, 1), value=-1) for dip in dips]
    return torch.stack(planes, dim=1)
