"""Feature pyramids as their papers drew them, before YOLO made them its own: FPN, PAN, SPP with bins, RoIs.

A pyramid is a list of maps (B, C_l, h_l, w_l), finest first: P3, P4, P5. Compare `Detector.neck`, where the
top-down and the bottom-up path of this file stand in YOLOv5's form.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align


class FPN(nn.Module):
    """Feature pyramid network, the top-down path: Lin et al. 2016, arXiv:1612.03144.

    Each level is brought to `channels` by a 1×1 convolution, the coarser sum is enlarged (nearest) and added,
    and a 3×3 convolution smooths what enlarging left behind.
    (B, C_l, h_l, w_l) a level → (B, channels, h_l, w_l) a level.

    Args:
        c_in: channels of the levels, finest first.
        channels: of every output; the paper's d.
    """

    def __init__(self, c_in: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in c_in)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in c_in)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        sums = [conv(x) for conv, x in zip(self.lateral, maps, strict=True)]
        for i in reversed(range(len(sums) - 1)):
            # to the finer map's size, not by a factor of 2: a map of odd size has a rounded-up half
            sums[i] = sums[i] + F.interpolate(sums[i + 1], size=sums[i].shape[-2:], mode="nearest")
        return [conv(x) for conv, x in zip(self.smooth, sums, strict=True)]


class PAN(nn.Module):
    """Path aggregation network, the bottom-up path behind an FPN: Liu et al. 2018, arXiv:1803.01534.

    N3 = P3; then, level by level, a strided 3×3 convolution shrinks N_l, joins it to P_(l+1), and another 3×3
    convolution gives N_(l+1); ReLU after each. (B, channels, h_l, w_l) a level → the same shapes.

    Args:
        channels: of every level.
        levels: how many, at least 1.
        concat: join on channels, as YOLOv4 and YOLOv5 do; False adds, as the paper does.
    """

    def __init__(self, channels: int = 256, levels: int = 3, *, concat: bool = False) -> None:
        super().__init__()
        self.concat = concat
        joined = 2 * channels if concat else channels
        steps = range(levels - 1)
        self.down = nn.ModuleList(nn.Conv2d(channels, channels, 3, 2, 1) for _ in steps)
        self.fuse = nn.ModuleList(nn.Conv2d(joined, channels, 3, 1, 1) for _ in steps)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        out = [maps[0]]
        for down, fuse, lateral in zip(self.down, self.fuse, maps[1:], strict=True):
            x = down(out[-1]).relu()
            x = torch.cat([x, lateral], dim=1) if self.concat else x + lateral
            out.append(fuse(x).relu())
        return out


class SpatialBins(nn.Module):
    """Classic spatial pyramid pooling: any map → a vector of fixed length. He et al. 2014, arXiv:1406.4729.

    For each m the map is cut into m × m bins, and each bin gives its maximum a channel:
    (B, C, H, W) → (B, C · Σ m²), for each m in turn channel, row, column. Bin i of m covers the rows
    ⌊i · H / m⌋ to ⌈(i + 1) · H / m⌉ (end excluded), so bins may share a row but miss none; columns likewise.

    Args:
        bins: the m of each pyramid level.
    """

    def __init__(self, bins: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        self.bins = tuple(bins)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.adaptive_max_pool2d(x, m).flatten(1) for m in self.bins], dim=1)


class AdaptiveFeaturePooling(nn.Module):
    """Every box asks every level, the strongest answer stands: Liu et al. 2018, arXiv:1803.01534.

    RoI-align (He et al. 2017, arXiv:1703.06870) cuts a box out of each level as a `size` × `size` grid; the
    grids merge by element-wise maximum. FPN instead asks one level, chosen by the size of the box. The paper
    runs each level's grid through a fully connected layer before the maximum; here it is taken at once.

    Args:
        size: cells on each side of the output.
        strides: pixels of the network input that a cell of each level spans, finest first.
    """

    def __init__(self, size: int = 7, strides: Sequence[int] = (8, 16, 32)) -> None:
        super().__init__()
        self.size, self.strides = size, tuple(strides)

    def forward(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Pool all boxes of a batch.

        Args:
            maps: one (B, C, h_l, w_l) a level, all with the same C.
            boxes: for each of the B images (N_b, 4) xyxy pixels of the network input.

        Returns:
            (Σ N_b, C, size, size), image after image.
        """
        grids = [
            # 2 × 2 bilinear samples in every cell; aligned: pixel x of the input is x / stride − ½ in the map
            roi_align(x, list(boxes), self.size, 1 / stride, sampling_ratio=2, aligned=True)
            for x, stride in zip(maps, self.strides, strict=True)
        ]
        return torch.stack(grids).amax(dim=0)
