"""Boxes: two formats, one way between them, and four measures of overlap.

Formats live in names. `xyxy` is (left, top, right, bottom); `cxcywh` is (center x, center y, width,
height). Every function works in any unit (pixels, normalized, grid cells) as long as both arguments share it.
"""

import math

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) center and size → (..., 4) corners, same unit."""
    center, half = boxes[..., :2], boxes[..., 2:4] / 2
    return torch.cat([center - half, center + half], dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """(..., 4) corners → (..., 4) center and size, same unit."""
    low, high = boxes[..., :2], boxes[..., 2:4]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def scale_boxes(boxes: Tensor, width: float, height: float) -> Tensor:
    """Multiply x by `width` and y by `height`: normalized → pixels (or 1/W, 1/H for the way back).

    Works for both formats, because both list x-like and y-like numbers in turn.
    """
    return boxes * boxes.new_tensor([width, height, width, height])


def clip_boxes(boxes: Tensor, width: float, height: float) -> Tensor:
    """(..., 4) xyxy → the same boxes cut at the border of a `width` × `height` image."""
    low = boxes.new_zeros(4)
    return boxes.clamp(low, boxes.new_tensor([width, height, width, height]))


def area(boxes: Tensor) -> Tensor:
    """(..., 4) xyxy → (...) area; an inside-out box counts as empty."""
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return size[..., 0] * size[..., 1]


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection and union areas of broadcastable xyxy boxes."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    side = (high - low).clamp(min=0)
    intersection = side[..., 0] * side[..., 1]
    union = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1]) - intersection
    return intersection, union + (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])


def _hull(a: Tensor, b: Tensor) -> Tensor:
    """(..., 2) width and height of the smallest box around both."""
    return torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])


def iou(a: Tensor, b: Tensor, eps: float = 1e-7) -> Tensor:
    """Intersection over union of boxes pair by pair.

    Args:
        a, b: (..., 4) xyxy, broadcastable against each other, same unit.
        eps: added to the union, so that two empty boxes give 0 and not 0/0.

    Returns:
        (...) in [0, 1].
    """
    intersection, union = _overlap(a, b)
    return intersection / (union + eps)


def pairwise_iou(a: Tensor, b: Tensor, eps: float = 1e-7) -> Tensor:
    """Every box of `a` against every box of `b`: (N, 4), (M, 4) xyxy → (N, M) IoU."""
    return iou(a[:, None], b[None], eps)


def giou(a: Tensor, b: Tensor, eps: float = 1e-16) -> Tensor:
    """Generalized IoU (Rezatofighi et al. 2019, arXiv:1902.09630), the box measure of release R1.

    IoU minus the share of the hull that neither box fills: it still pulls when the boxes are apart.

    Args:
        a, b: (..., 4) xyxy, broadcastable, same unit.
        eps: added to union and hull (1e-16: R1's number; in float32 it only guards exact zeros).

    Returns:
        (...) in (−1, 1].
    """
    intersection, union = _overlap(a, b)
    union = union + eps
    hull = _hull(a, b)
    hull_area = hull[..., 0] * hull[..., 1] + eps
    return intersection / union - (hull_area - union) / hull_area


def _center_distance(a: Tensor, b: Tensor, eps: float) -> Tensor:
    """Squared distance of the centers over the squared diagonal of the hull."""
    hull = _hull(a, b)
    diagonal = hull.square().sum(-1) + eps
    between = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]).square().sum(-1) / 4
    return between / diagonal


def diou(a: Tensor, b: Tensor, eps: float = 1e-7) -> Tensor:
    """Distance IoU (Zheng et al. 2019, arXiv:1911.08287): IoU minus the normalized center distance.

    Args:
        a, b: (..., 4) xyxy, broadcastable, same unit.
        eps: added to the union and to the squared diagonal.

    Returns:
        (...) in (−1, 1].
    """
    return iou(a, b, eps) - _center_distance(a, b, eps)


def ciou(prediction: Tensor, target: Tensor, eps: float = 1e-7) -> Tensor:
    """Complete IoU (Zheng et al. 2019, arXiv:1911.08287), the box measure of release R7.

    DIoU minus a penalty for the wrong aspect ratio. The penalty's weight α carries no gradient:
    it only says how much the shape should matter at the present overlap.

    Args:
        prediction, target: (..., 4) xyxy, broadcastable, same unit. The value is symmetric; the
            order is fixed so that a reader sees which side learns.
        eps: added to the union, to the squared diagonal and to α's denominator.

    Returns:
        (...) at most 1.
    """
    overlap = iou(prediction, target, eps)
    size_p, size_t = prediction[..., 2:] - prediction[..., :2], target[..., 2:] - target[..., :2]
    # atan(w / h), but a box without height gives π/2 or 0 and a finite gradient instead of NaN
    angle_p = torch.atan2(size_p[..., 0], size_p[..., 1])
    angle_t = torch.atan2(size_t[..., 0], size_t[..., 1])
    shape = (4 / math.pi**2) * (angle_t - angle_p).square()
    with torch.no_grad():
        alpha = shape / (shape - overlap + (1 + eps))
    return overlap - _center_distance(prediction, target, eps) - shape * alpha
