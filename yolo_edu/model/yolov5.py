"""YOLOv5 release 1.0 (June 2020), the article's network: Focus, BottleneckCSP, SPP, LeakyReLU."""

from collections.abc import Sequence

from torch import Tensor, nn

from yolo_edu.model.blocks import SPP, BottleneckCSP, Concat, Conv, Focus
from yolo_edu.model.detect import ANCHORS, Detect, Detector, initialize_biases


class YOLOv5(Detector):
    """The network of the article, row for row.

    Args:
        size: "n", "s", "m", "l", "x" (n is R7's invention, built here from R1's rows) or (depth, width).
        classes: K, or the K class names.
        anchors: (L, A, 2) width, height in pixels; A = 3.
        bn_eps, bn_momentum: of every BatchNorm. The release trains with 1e-4 and 0.03; the article's
            printout was made before it set them and shows PyTorch's 1e-5 and 0.1.

    Raises:
        ValueError: unknown size or no class.
    """

    release = "yolov5"

    def __init__(
        self,
        size: str | tuple[float, float] = "s",
        classes: int | Sequence[str] = 80,
        *,
        anchors: Sequence = ANCHORS,
        bn_eps: float = 1e-4,
        bn_momentum: float = 0.03,
    ) -> None:
        super().__init__(size, classes)
        c, n, k = self.scale.channels, self.scale.repeats, len(self.names)
        detect = Detect(k, anchors=anchors)
        out = detect.anchors_per_cell * detect.outputs
        self.model = nn.ModuleList(
            [  # from the previous row unless said otherwise
                Focus(3, c(64), 3),  # 0  P1/2
                Conv(c(64), c(128), 3, 2),  # 1  P2/4
                BottleneckCSP(c(128), c(128), n(3)),  # 2
                Conv(c(128), c(256), 3, 2),  # 3
                BottleneckCSP(c(256), c(256), n(9)),  # 4  P3/8
                Conv(c(256), c(512), 3, 2),  # 5
                BottleneckCSP(c(512), c(512), n(9)),  # 6  P4/16
                Conv(c(512), c(1024), 3, 2),  # 7
                SPP(c(1024), c(1024)),  # 8
                BottleneckCSP(c(1024), c(1024), n(3), shortcut=False),  # 9  P5/32
                Conv(c(1024), c(512)),  # 10  lateral L5
                nn.Upsample(scale_factor=2.0, mode="nearest"),  # 11
                Concat(),  # 12  rows 11, 6
                BottleneckCSP(2 * c(512), c(512), n(3), shortcut=False),  # 13
                Conv(c(512), c(256)),  # 14  lateral L4
                nn.Upsample(scale_factor=2.0, mode="nearest"),  # 15
                Concat(),  # 16  rows 15, 4
                BottleneckCSP(2 * c(256), c(256), n(3), shortcut=False),  # 17  N3
                nn.Conv2d(c(256), out, 1),  # 18  predictions of P3
                Conv(c(256), c(256), 3, 2),  # 19  from row 17
                Concat(),  # 20  rows 19, 14
                BottleneckCSP(2 * c(256), c(512), n(3), shortcut=False),  # 21  N4
                nn.Conv2d(c(512), out, 1),  # 22  predictions of P4
                Conv(c(512), c(512), 3, 2),  # 23  from row 21
                Concat(),  # 24  rows 23, 10
                BottleneckCSP(2 * c(512), c(1024), n(3), shortcut=False),  # 25  N5
                nn.Conv2d(c(1024), out, 1),  # 26  predictions of P5
                detect,  # 27  rows 18, 22, 26
            ]
        )
        initialize_biases([self.model[i] for i in (18, 22, 26)], k, class_margin=0.99)  # type: ignore[misc]
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
        n4 = m[21](m[20]([m[19](n3), l4]))
        n5 = m[25](m[24]([m[23](n4), l5]))
        return n3, n4, n5

    def head(self, n3: Tensor, n4: Tensor, n5: Tensor) -> list[Tensor]:
        """N3, N4, N5 → raw predictions P3, P4, P5, (B, A, h, w, 5 + K) each."""
        m = self.model
        return m[27]([m[18](n3), m[22](n4), m[26](n5)])
