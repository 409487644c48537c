"""YOLOv5 as of release 7.0 (November 2022; the architecture is called v6.0): C3, SPPF, SiLU, a 6×6 stem."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from yolo_edu.model.blocks import C3, SPPF, Concat, silu
from yolo_edu.model.blocks import Conv as AnyConv
from yolo_edu.model.detect import ANCHORS, Detect, Detector, initialize_biases

Conv = partial(AnyConv, activation=silu)


class YOLOv5v6(Detector):
    """The same story as YOLOv5, six releases later.

    Args:
        size: "n", "s", "m", "l", "x" or (depth, width).
        classes: K, or the K class names.
        anchors: (L, A, 2) width, height in pixels; A = 3.
        bn_eps, bn_momentum: of every BatchNorm.

    Raises:
        ValueError: unknown size or no class.
    """

    release = "yolov5v6"

    def __init__(
        self,
        size: str | tuple[float, float] = "s",
        classes: int | Sequence[str] = 80,
        *,
        anchors: Sequence = ANCHORS,
        bn_eps: float = 1e-3,
        bn_momentum: float = 0.03,
    ) -> None:
        super().__init__(size, classes)
        c, n, k = self.scale.channels, self.scale.repeats, len(self.names)
        detect = Detect(k, [c(256), c(512), c(1024)], anchors=anchors)
        self.model = nn.ModuleList(
            [  # from the previous row unless said otherwise
                Conv(3, c(64), 6, 2, 2),  # 0  P1/2: one convolution does what Focus + Conv did
                Conv(c(64), c(128), 3, 2),  # 1  P2/4
                C3(c(128), c(128), n(3)),  # 2
                Conv(c(128), c(256), 3, 2),  # 3
                C3(c(256), c(256), n(6)),  # 4  P3/8
                Conv(c(256), c(512), 3, 2),  # 5
                C3(c(512), c(512), n(9)),  # 6  P4/16
                Conv(c(512), c(1024), 3, 2),  # 7
                C3(c(1024), c(1024), n(3)),  # 8
                SPPF(c(1024), c(1024)),  # 9  P5/32
                Conv(c(1024), c(512)),  # 10  lateral L5
                nn.Upsample(scale_factor=2.0, mode="nearest"),  # 11
                Concat(),  # 12  rows 11, 6
                C3(2 * c(512), c(512), n(3), shortcut=False),  # 13
                Conv(c(512), c(256)),  # 14  lateral L4
                nn.Upsample(scale_factor=2.0, mode="nearest"),  # 15
                Concat(),  # 16  rows 15, 4
                C3(2 * c(256), c(256), n(3), shortcut=False),  # 17  N3
                Conv(c(256), c(256), 3, 2),  # 18
                Concat(),  # 19  rows 18, 14
                C3(2 * c(256), c(512), n(3), shortcut=False),  # 20  N4
                Conv(c(512), c(512), 3, 2),  # 21
                Concat(),  # 22  rows 21, 10
                C3(2 * c(512), c(1024), n(3), shortcut=False),  # 23  N5
                detect,  # 24  rows 17, 20, 23
            ]
        )
        initialize_biases(list(detect.m), k, class_margin=0.99999)  # type: ignore[arg-type]
        self._set_batchnorm(bn_eps, bn_momentum)

    def backbone(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) → P3 (B, C, H/8, W/8), P4 (B, 2C, H/16, W/16), P5 (B, 4C, H/32, W/32); s: C = 128."""
        m = self.model
        x = m[2](m[1](m[0](images)))
        p3 = m[4](m[3](x))
        p4 = m[6](m[5](p3))
        p5 = m[9](m[8](m[7](p4)))
        return p3, p4, p5

    def neck(self, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Top-down (meaning flows to the fine grid), then bottom-up (place flows back): N3, N4, N5 as P3, P4, P5."""
        m = self.model
        l5 = m[10](p5)
        l4 = m[14](m[13](m[12]([m[11](l5), p4])))
        n3 = m[17](m[16]([m[15](l4), p3]))
        n4 = m[20](m[19]([m[18](n3), l4]))
        n5 = m[23](m[22]([m[21](n4), l5]))
        return n3, n4, n5

    def head(self, n3: Tensor, n4: Tensor, n5: Tensor) -> list[Tensor]:
        """N3, N4, N5 → raw predictions P3, P4, P5, (B, A, h, w, 5 + K) each."""
        return self.model[24]([n3, n4, n5])
