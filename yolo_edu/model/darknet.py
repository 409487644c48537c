"""The backbones before YOLOv5's: Darknet-53 (YOLOv3) and CSPDarknet53 (YOLOv4).

Both map images (B, 3, H, W), H and W multiples of 32, to P3 (B, 256, H/8, W/8), P4 (B, 512, H/16, W/16) and
P5 (B, 1024, H/32, W/32). YOLOv5's backbone descends from the second: compare `yolov5.py`, rows 0 to 9.
"""

import torch
from torch import Tensor, nn

from yolo_edu.model.blocks import Activation, Bottleneck, Conv, leaky_relu

# Output channels and residual blocks of the five stages, each of which halves the map first.
STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


def mish() -> nn.Module:
    """YOLOv4's activation: x · tanh(ln(1 + eˣ)) (Misra 2019, arXiv:1908.08681)."""
    return nn.Mish(inplace=True)


class _Darknet(nn.Module):
    """A stem and five stages; `stages` is filled by the subclass."""

    channels = tuple(c for c, _ in STAGES[2:])  # of P3, P4, P5
    stages: nn.ModuleList

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.stem = Conv(3, 32, 3, activation=activation)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.stem(images)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        p3, p4, p5 = maps[2:]
        return p3, p4, p5


class Darknet53(_Darknet):
    """YOLOv3's backbone: residual blocks only, LeakyReLU. Redmon, Farhadi 2018, arXiv:1804.02767.

    53 layers with weights, counting the classifier it was trained with: `Classifier(Darknet53(), 1000)`.
    """

    def __init__(self) -> None:
        super().__init__(leaky_relu)
        self.stages = nn.ModuleList()
        c_in = 32
        for c_out, repeats in STAGES:
            down = Conv(c_in, c_out, 3, 2)
            self.stages.append(nn.Sequential(down, *(Bottleneck(c_out, c_out) for _ in range(repeats))))
            c_in = c_out


class CSPStage(nn.Module):
    """A stage of CSPDarknet53: (B, c_in, H, W) → (B, c_out, H/2, W/2).

    A strided Conv, then two paths of 1×1 Convs: one goes round, the other through the residual blocks and a
    transition Conv. They meet on channels (the deep one first) and a last transition Conv mixes them.
    CSPNet splits the channels; here each path projects all of them to its own part.

    Args:
        c_in, c_out: channels.
        repeats: residual blocks.
        halve: each path has c_out/2 channels. False, in the first stage only: each has all c_out, and the
            residual blocks squeeze to half inside.
        activation: of every Conv.
    """

    def __init__(
        self, c_in: int, c_out: int, repeats: int, *, halve: bool = True, activation: Activation = mish
    ) -> None:
        super().__init__()
        part, expansion = (c_out // 2, 1.0) if halve else (c_out, 0.5)
        self.down = Conv(c_in, c_out, 3, 2, activation=activation)
        self.around = Conv(c_out, part, activation=activation)
        self.through = nn.Sequential(
            Conv(c_out, part, activation=activation),
            *(Bottleneck(part, part, expansion=expansion, activation=activation) for _ in range(repeats)),
            Conv(part, part, activation=activation),
        )
        self.transition = Conv(2 * part, c_out, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return self.transition(torch.cat([self.through(x), self.around(x)], dim=1))


class CSPDarknet53(_Darknet):
    """YOLOv4's backbone: Darknet-53's stages as CSP stages, Mish (Bochkovskiy et al. 2020, arXiv:2004.10934).

    The first stage is the one that is not halved.
    """

    def __init__(self) -> None:
        super().__init__(mish)
        self.stages = nn.ModuleList()
        c_in = 32
        for i, (c_out, repeats) in enumerate(STAGES):
            self.stages.append(CSPStage(c_in, c_out, repeats, halve=i > 0))
            c_in = c_out


class Classifier(nn.Module):
    """What a backbone is trained with before it detects: P5's mean over the map, one linear layer.

    Images (B, 3, H, W) → logits (B, classes).

    Args:
        backbone: a Darknet53 or CSPDarknet53; its weights are shared, not copied.
        classes: length of the output.
    """

    def __init__(self, backbone: Darknet53 | CSPDarknet53, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.linear = nn.Linear(backbone.channels[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        _, _, p5 = self.backbone(images)
        return self.linear(p5.mean(dim=(2, 3)))
