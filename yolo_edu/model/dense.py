"""DenseNet and its cross-stage-partial form: the ancestors of YOLOv5's backbone.

Every layer reads the outputs of all layers before it, so each needs to add only a few channels of its own.
Huang et al. 2016, arXiv:1608.06993; CSPNet: Wang et al. 2019, arXiv:1911.11929. YOLOv5 holds no dense block;
what it inherits is CSPNet's split.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """H_i of the paper, BatchNorm → ReLU → convolution: (B, c_in, H, W) → the new (B, growth, H, W).

    Args:
        c_in: channels of all earlier outputs together.
        growth: k, the channels this layer adds.
        bottleneck: squeeze to 4k channels with a 1×1 convolution before the 3×3 one (the paper's DenseNet-B).
    """

    def __init__(self, c_in: int, growth: int, *, bottleneck: bool = True) -> None:
        super().__init__()
        hidden = 4 * growth if bottleneck else c_in
        squeeze = [nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, hidden, 1, bias=False)]
        self.squeeze = nn.Sequential(*squeeze if bottleneck else [])
        self.grow = nn.Sequential(
            nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, growth, 3, padding=1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.grow(self.squeeze(x))


class DenseBlock(nn.Module):
    """`layers` dense layers at one resolution: (B, c_in, H, W) → (B, c_in + layers · growth, H, W).

    The output lists the input first, then every layer's channels in order: nothing is ever overwritten.

    Args:
        c_in: channels of the input x₀.
        layers: how many DenseLayers.
        growth: k, the channels each layer adds.
        bottleneck: see DenseLayer.
    """

    def __init__(self, c_in: int, layers: int, growth: int, *, bottleneck: bool = True) -> None:
        super().__init__()
        self.channels = c_in + layers * growth
        self.layers = nn.ModuleList(DenseLayer(c_in + i * growth, growth, bottleneck=bottleneck) for i in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class Transition(nn.Sequential):
    """Between two blocks: (B, c_in, H, W) → (B, c_out, H/2, W/2).

    BatchNorm → ReLU → 1×1 convolution → mean of every 2 × 2 cells.

    Args:
        c_in, c_out: channels; the paper's compression θ is c_out / c_in.
        pool: False keeps H and W.
    """

    def __init__(self, c_in: int, c_out: int, *, pool: bool = True) -> None:
        super().__init__(nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False))
        if pool:
            self.append(nn.AvgPool2d(2))


class CSPDenseBlock(nn.Module):
    """A dense block that only part of the input goes through: (B, c_in, H, W) → (B, channels, H/2, W/2).

    The channels split into x₀′ and x₀″. The dense block reads x₀″ alone and a first transition mixes its
    output; x₀′ goes round and joins before the second transition, so its gradient never passes through the
    dense block, whose layers all learn from copies of one another's gradients (CSPNet, arXiv:1911.11929).
    Stands in for DenseBlock(c_in, …) → Transition with the same shapes in and out.

    Args:
        c_in: channels of the input x₀.
        layers, growth, bottleneck: of the dense block.
        bypass: share of the input's channels that goes round, 0 < bypass < 1.
        compression: θ of both transitions: channels each keeps.

    Raises:
        ValueError: `bypass` leaves one of the two parts empty.
    """

    def __init__(
        self,
        c_in: int,
        layers: int,
        growth: int,
        *,
        bottleneck: bool = True,
        bypass: float = 0.5,
        compression: float = 0.5,
    ) -> None:
        super().__init__()
        around = int(c_in * bypass)
        if not 0 < around < c_in:
            raise ValueError(f"bypass {bypass} of {c_in} channels leaves one of the two parts empty")
        self.split = (around, c_in - around)
        self.block = DenseBlock(c_in - around, layers, growth, bottleneck=bottleneck)
        mixed = int(self.block.channels * compression)
        self.partial = Transition(self.block.channels, mixed, pool=False)
        self.channels = int((c_in + layers * growth) * compression)
        self.transition = Transition(around + mixed, self.channels)

    def forward(self, x: Tensor) -> Tensor:
        around, through = x.split(self.split, dim=1)
        return self.transition(torch.cat([around, self.partial(self.block(through))], dim=1))


class DensePlan(NamedTuple):
    """One column of the paper's table 1."""

    layers: tuple[int, ...]  # dense layers in each block
    growth: int = 32


# The paper's table, and 161 from its earlier versions.
DENSENETS = {
    121: DensePlan((6, 12, 24, 16)),
    161: DensePlan((6, 12, 36, 24), growth=48),
    169: DensePlan((6, 12, 32, 32)),
    201: DensePlan((6, 12, 48, 32)),
    264: DensePlan((6, 12, 64, 48)),
}


class DenseNet(nn.Module):
    """DenseNet-BC, a classifier: images (B, 3, H, W) → logits (B, classes); H and W at least 32.

    Args:
        plan: 121, 161, 169, 201 or 264, the paper's names, or a DensePlan of your own.
        classes: length of the output.
        compression: θ, the share of channels a transition keeps.

    Raises:
        ValueError: no network of that depth in the table.
    """

    def __init__(self, plan: int | DensePlan = 121, classes: int = 1000, *, compression: float = 0.5) -> None:
        super().__init__()
        if isinstance(plan, int):
            if plan not in DENSENETS:
                known = ", ".join(map(str, DENSENETS))
                raise ValueError(f"no DenseNet-{plan}: give one of {known} or a DensePlan")
            plan = DENSENETS[plan]
        channels = 2 * plan.growth
        self.stem = nn.Sequential(  # H/4, W/4
            nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.Sequential()  # block, transition, block, …, block
        for i, layers in enumerate(plan.layers):
            block = DenseBlock(channels, layers, plan.growth)
            self.stages.append(block)
            channels = block.channels
            if i < len(plan.layers) - 1:
                self.stages.append(Transition(channels, int(channels * compression)))
                channels = int(channels * compression)
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015, arXiv:1502.01852, as the paper asks
                nn.init.kaiming_normal_(module.weight)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, C, H/32, W/32) for a plan of four blocks, halved once less for each block fewer."""
        return self.norm(self.stages(self.stem(images))).relu()

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).mean(dim=(2, 3)))
