"""The bricks of both releases: Conv, Focus, Bottleneck, BottleneckCSP, C3, SPP, SPPF, Concat.

Every block maps (B, C_in, H, W) to (B, C_out, H', W'). Member names and their order are the ones of the
official parameter tables, because trained weights and the article's printout depend on them.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Activation = Callable[[], nn.Module]


def leaky_relu() -> nn.Module:
    """Release R1's activation: slope 0.1 for negative inputs (Maas et al. 2013)."""
    return nn.LeakyReLU(0.1, inplace=True)


def silu() -> nn.Module:
    """Release R7's activation: x · σ(x) (Elfwing et al. 2017, arXiv:1702.03118)."""
    return nn.SiLU(inplace=True)


class Conv(nn.Module):
    """Convolution without bias → BatchNorm → activation: (B, c_in, H, W) → (B, c_out, H/stride, W/stride).

    Args:
        c_in, c_out: channels.
        kernel, stride: of the convolution.
        padding: pixels on each side; None keeps the size at stride 1 (`kernel // 2`).
        activation: builds the activation; `nn.Identity` for none.

    BatchNorm: Ioffe, Szegedy 2015, arXiv:1502.03167. The convolution needs no bias: BatchNorm's β is one.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int | None = None,
        *,
        activation: Activation = leaky_relu,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(c_out)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))

    def fuse(self) -> None:
        """Fold the BatchNorm's running statistics into the convolution; for inference only.

        W' = W · γ/√(var + ε), b' = β − mean · γ/√(var + ε): one multiply-add fewer per value, same result.
        """
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv.eval(), self.bn.eval())
            self.bn = nn.Identity()


class Focus(nn.Module):
    """Space to depth, then Conv: (B, c_in, H, W) → (B, c_out, H/2, W/2). R1's stem.

    Four half-resolution copies stand side by side on channels, so no pixel is lost while the map shrinks.
    Their order (even row, even column), (odd, even), (even, odd), (odd, odd) is part of the weights.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, *, activation: Activation = leaky_relu) -> None:
        super().__init__()
        self.conv = Conv(4 * c_in, c_out, kernel, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        phases = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.conv(torch.cat(phases, dim=1))


class Bottleneck(nn.Module):
    """1×1 Conv to `int(c_out · expansion)` channels, 3×3 Conv to c_out; adds its input if shapes allow.

    (B, c_in, H, W) → (B, c_out, H, W). Residual sum: He et al. 2015, arXiv:1512.03385.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        shortcut: bool = True,
        expansion: float = 0.5,
        *,
        activation: Activation = leaky_relu,
    ) -> None:
        super().__init__()
        hidden = int(c_out * expansion)
        self.cv1 = Conv(c_in, hidden, 1, activation=activation)
        self.cv2 = Conv(hidden, c_out, 3, activation=activation)
        self.add = shortcut and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


def _bottlenecks(channels: int, repeats: int, shortcut: bool, activation: Activation) -> nn.Sequential:
    return nn.Sequential(
        *(Bottleneck(channels, channels, shortcut, 1.0, activation=activation) for _ in range(repeats))
    )


class BottleneckCSP(nn.Module):
    """R1's cross-stage-partial stage: (B, c_in, H, W) → (B, c_out, H, W).

    Path one: cv1, n bottlenecks, the bare convolution cv3. Path two: the bare convolution cv2. The paths
    meet on channels, get one BatchNorm and activation together, and cv4 mixes them.
    CSPNet: Wang et al. 2019, arXiv:1911.11929.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        repeats: int = 1,
        shortcut: bool = True,
        *,
        activation: Activation = leaky_relu,
    ) -> None:
        super().__init__()
        hidden = c_out // 2
        self.cv1 = Conv(c_in, hidden, 1, activation=activation)
        self.cv2 = nn.Conv2d(c_in, hidden, 1, bias=False)
        self.cv3 = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.cv4 = Conv(2 * hidden, c_out, 1, activation=activation)
        self.bn = nn.BatchNorm2d(2 * hidden)
        self.act = activation()
        self.m = _bottlenecks(hidden, repeats, shortcut, activation)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.cv3(self.m(self.cv1(x)))
        return self.cv4(self.act(self.bn(torch.cat([deep, self.cv2(x)], dim=1))))


class C3(nn.Module):
    """R7's cross-stage-partial stage with three Convs: (B, c_in, H, W) → (B, c_out, H, W).

    BottleneckCSP without the bare convolution behind the bottlenecks and without the BatchNorm at the joint.
    CSPNet: Wang et al. 2019, arXiv:1911.11929.
    """

    def __init__(
        self, c_in: int, c_out: int, repeats: int = 1, shortcut: bool = True, *, activation: Activation = silu
    ) -> None:
        super().__init__()
        hidden = c_out // 2
        self.cv1 = Conv(c_in, hidden, 1, activation=activation)
        self.cv2 = Conv(c_in, hidden, 1, activation=activation)
        self.cv3 = Conv(2 * hidden, c_out, 1, activation=activation)
        self.m = _bottlenecks(hidden, repeats, shortcut, activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], dim=1))


class SPP(nn.Module):
    """Spatial pyramid pooling as YOLO uses it: (B, c_in, H, W) → (B, c_out, H, W).

    The grid stays; each cell also learns the maximum of its 5, 9 and 13 wide neighborhoods.
    He et al. 2014, arXiv:1406.4729; at stride 1: Redmon, Farhadi 2018, arXiv:1804.02767.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernels: Sequence[int] = (5, 9, 13),
        *,
        activation: Activation = leaky_relu,
    ) -> None:
        super().__init__()
        hidden = c_in // 2
        self.cv1 = Conv(c_in, hidden, 1, activation=activation)
        self.cv2 = Conv(hidden * (len(kernels) + 1), c_out, 1, activation=activation)
        self.m = nn.ModuleList(nn.MaxPool2d(k, stride=1, padding=k // 2) for k in kernels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cv1(x)
        return self.cv2(torch.cat([x, *(pool(x) for pool in self.m)], dim=1))


class SPPF(nn.Module):
    """SPP(5, 9, 13) with three 5-wide pools in a row: same numbers, less work. (B, C, H, W) kept as in SPP.

    A 9-wide maximum is the 5-wide maximum of 5-wide maxima, and 13 is one more step.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int = 5, *, activation: Activation = silu) -> None:
        super().__init__()
        hidden = c_in // 2
        self.cv1 = Conv(c_in, hidden, 1, activation=activation)
        self.cv2 = Conv(hidden * 4, c_out, 1, activation=activation)
        self.m = nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        pools = [self.cv1(x)]
        for _ in range(3):
            pools.append(self.m(pools[-1]))
        return self.cv2(torch.cat(pools, dim=1))


class Concat(nn.Module):
    """Side by side on channels, newest tensor first: [(B, C1, H, W), (B, C2, H, W), …] → (B, ΣC, H, W)."""

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(tensors), dim=1)
