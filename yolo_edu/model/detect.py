"""The head's arithmetic: raw maps in, boxes in pixels out, and what both releases share as detectors."""

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolo_edu.model.blocks import Conv

STRIDES = (8, 16, 32)
# (L, A, 2) width, height in pixels of the network input; smallest to the finest grid (P3).
ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)


class Scale(NamedTuple):
    """The two multipliers that make every size out of one table."""

    depth: float
    width: float

    def repeats(self, n: int) -> int:
        """Bottlenecks in a stage whose full size has n (Python's round: halves go to even)."""
        return max(round(n * self.depth), 1) if n > 1 else n

    def channels(self, c: int) -> int:
        """Channels of a stage whose full size has c: always up to the next multiple of 8."""
        return math.ceil(c * self.width / 8) * 8


SIZES = {
    "n": Scale(0.33, 0.25),
    "s": Scale(0.33, 0.50),
    "m": Scale(0.67, 0.75),
    "l": Scale(1.0, 1.0),
    "x": Scale(1.33, 1.25),
}


def decode_box(logits: Tensor, anchors: Tensor) -> Tensor:
    """The box formula, in the frame of one grid cell; the only place where it stands.

    Args:
        logits: (..., 4) raw x, y, w, h of the head.
        anchors: (..., 2) anchor width and height in grid cells, broadcastable.

    Returns:
        (..., 4) center offset from the cell's top-left corner, in (−0.5, 1.5) cells, then width and
        height in cells, at most four times the anchor. The offset's range is why a neighboring cell can
        predict a box too; the square keeps sizes positive and bounded where YOLOv3's exponential was not.
    """
    probability = logits.sigmoid()
    return torch.cat([2 * probability[..., :2] - 0.5, (2 * probability[..., 2:]).square() * anchors], dim=-1)


def encode_box(box: Tensor, anchors: Tensor) -> Tensor:
    """The box formula backwards: the logits from which `decode_box` makes this box.

    Args:
        box: (..., 4) center offset from the cell's top-left corner, width, height; in grid cells.
        anchors: (..., 2) anchor width and height in grid cells, broadcastable.

    Returns:
        (..., 4) logits; infinite where a center lies 0.5 cells or more outside its cell or a side is four times
        the anchor's, not a number beyond.
    """
    offset, size = (box[..., :2] + 0.5) / 2, (box[..., 2:] / anchors).sqrt() / 2
    return torch.cat([offset, size], dim=-1).logit()


class Detect(nn.Module):
    """Turns three feature maps into raw predictions, and raw predictions into boxes.

    Args:
        classes: K.
        channels: of the incoming maps P3, P4, P5; Detect then owns one 1×1 convolution a level (release
            R7). Empty: the maps arrive already convolved (R1, where those convolutions are rows 18, 22, 26).
        anchors: (L, A, 2) pixels.

    Buffer `anchors` is (L, A, 2) in grid cells: pixels divided by the level's stride.
    """

    anchors: Tensor
    stride: Tensor

    def __init__(self, classes: int, channels: Sequence[int] = (), *, anchors: Sequence = ANCHORS) -> None:
        super().__init__()
        self.classes = classes
        pixels = torch.as_tensor(anchors, dtype=torch.float32).reshape(len(STRIDES), -1, 2)
        self.anchors_per_cell = pixels.shape[1]
        self.outputs = 5 + classes  # x, y, w, h, objectness, one a class
        self.register_buffer("stride", torch.tensor(STRIDES, dtype=torch.float32), persistent=False)
        self.register_buffer("anchors", pixels / self.stride[:, None, None])
        if channels:
            self.m = nn.ModuleList(nn.Conv2d(c, self.anchors_per_cell * self.outputs, 1) for c in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps P3, P4, P5 (B, C_l, h, w) → raw predictions (B, A, h, w, 5 + K) a level, no sigmoid yet."""
        if hasattr(self, "m"):
            maps = [conv(x) for conv, x in zip(self.m, maps, strict=True)]
        return [self._rows_last(x) for x in maps]

    def _rows_last(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        return x.view(b, self.anchors_per_cell, self.outputs, h, w).permute(0, 1, 3, 4, 2).contiguous()

    def decode(self, raw: Sequence[Tensor]) -> Tensor:
        """Raw predictions → rows in pixels of the network input.

        Args:
            raw: P3, P4, P5, each (B, A, h, w, 5 + K).

        Returns:
            (B, N, 5 + K): center x, center y, width, height in pixels, objectness, class probabilities.
            N counts level by level, inside a level anchor, row, column.
        """
        rows = []
        for x, anchors, stride in zip(raw, self.anchors, self.stride, strict=True):
            h, w = x.shape[2:4]
            row, column = torch.meshgrid(
                torch.arange(h, device=x.device), torch.arange(w, device=x.device), indexing="ij"
            )
            cell = torch.stack([column, row], dim=-1).to(x.dtype)  # (h, w, 2): x first, as in boxes
            box = decode_box(x[..., :4], anchors[:, None, None].to(x.dtype))
            xy, wh = (box[..., :2] + cell) * stride, box[..., 2:] * stride
            rows.append(torch.cat([xy, wh, x[..., 4:].sigmoid()], dim=-1).flatten(1, 3))
        return torch.cat(rows, dim=1)


def prior_logits(stride: int, classes: int, class_margin: float) -> tuple[float, float]:
    """Objectness and class logits that say what is known before any training: objects are rare, classes are K.

    A probability of 8 / cells, cells counted at 640 pixels: each of the nine anchor grids starts as if 8 of its
    cells held an object. Each class 0.6 / (K − margin).
    Focal loss paper, section 3.3: Lin et al. 2017, arXiv:1708.02002.

    Args:
        stride: pixels of the network input a cell spans.
        classes: K.
        class_margin: 0.99 in R1, 0.99999 in R7: keeps K = 1 finite.
    """
    return math.log(8 / (640 / stride) ** 2), math.log(0.6 / (classes - class_margin))


def initialize_biases(convs: Sequence[nn.Conv2d], classes: int, *, class_margin: float) -> None:
    """Start the detector at the rate of objects a real image has: add `prior_logits` to the biases.

    Args:
        convs: prediction convolutions of P3, P4, P5, A · (5 + K) channels each.
        classes, class_margin: see `prior_logits`.
    """
    for conv, stride in zip(convs, STRIDES, strict=True):
        assert conv.bias is not None
        with torch.no_grad():
            bias = conv.bias.view(-1, 5 + classes)
            objectness, each_class = prior_logits(stride, classes, class_margin)
            bias[:, 4] += objectness
            bias[:, 5:] += each_class


class Detector(nn.Module):
    """What both releases share: three walks over one table, decoding, folding BatchNorm.

    Subclasses fill `self.model`, the flat table whose last row is Detect, and define the walks
    `backbone`, `neck` and `head`.
    """

    release: str
    model: nn.ModuleList

    def __init__(self, size: str | tuple[float, float], classes: int | Sequence[str]) -> None:
        super().__init__()
        if isinstance(size, str) and size not in SIZES:
            raise ValueError(f"size {size!r} is none of {', '.join(SIZES)}; give one of them or (depth, width)")
        self.scale = SIZES[size] if isinstance(size, str) else Scale(*size)
        self.names = tuple(map(str, range(classes))) if isinstance(classes, int) else tuple(classes)
        if not self.names:
            raise ValueError("a detector needs at least one class")

    def _set_batchnorm(self, eps: float, momentum: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = eps, momentum

    def backbone(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image → P3, P4, P5: what is where, at strides 8, 16, 32."""
        raise NotImplementedError

    def neck(self, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """P3, P4, P5 → N3, N4, N5: each level having heard from the others."""
        raise NotImplementedError

    def head(self, n3: Tensor, n4: Tensor, n5: Tensor) -> list[Tensor]:
        """N3, N4, N5 → raw predictions."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB in [0, 1], H and W multiples of 32 → raw maps P3, P4, P5, (B, A, h, w, 5 + K) each.

        The same list in training and in evaluation; `decode` turns it into boxes.
        """
        return self.head(*self.neck(*self.backbone(images)))

    def decode(self, raw: Sequence[Tensor]) -> Tensor:
        """See `Detect.decode`: (B, N, 5 + K) rows in pixels of the network input."""
        return self.detect.decode(raw)

    def rows(self, images: Tensor) -> Tensor:
        """`forward`, then `decode` in float32: (B, 3, H, W) → (B, N, 5 + K); an exported network does the same."""
        return self.decode([x.float() for x in self(images)])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.detect.anchors.device

    @property
    def detect(self) -> Detect:
        """The last row of the table."""
        row = self.model[-1]
        assert isinstance(row, Detect)
        return row

    @property
    def classes(self) -> int:
        """K."""
        return self.detect.classes

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels of the network input a grid cell spans, P3 to P5."""
        return STRIDES

    @property
    def anchors(self) -> Tensor:
        """(L, A, 2) anchor width, height in pixels of the network input."""
        return self.detect.anchors * self.detect.stride[:, None, None]

    def fuse(self) -> "Detector":
        """A copy for inference with every Conv's BatchNorm folded in; this model stays trainable.

        BottleneckCSP's BatchNorm at the joint stays: no single convolution stands right before it.
        """
        fused = copy.deepcopy(self).eval()
        for module in fused.modules():
            if isinstance(module, Conv):
                module.fuse()
        return fused
