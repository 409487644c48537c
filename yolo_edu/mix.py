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
