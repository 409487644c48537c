"""The two Darknets against counts from the papers' tables and against stages written out by hand."""

from collections.abc import Iterator

import pytest
import torch
from networks import assert_leaves_input_alone, count, shake_norms
from torch import Tensor, nn

from yolo_edu.model.blocks import Bottleneck
from yolo_edu.model.darknet import Classifier, CSPDarknet53, CSPStage, Darknet53, mish

BACKBONES = pytest.mark.parametrize("backbone", [Darknet53, CSPDarknet53])
# YOLOv3's table 1: filters and repetitions of the residual blocks.
REPEATS = {64: 1, 128: 2, 256: 8, 512: 8, 1024: 4}


def darknet53_convolutions() -> Iterator[tuple[int, int, int]]:
    """(channels in, channels out, kernel) row by row down the paper's table."""
    yield 3, 32, 3
    for filters, repeats in REPEATS.items():
        yield filters // 2, filters, 3
        for _ in range(repeats):
            yield filters, filters // 2, 1
            yield filters // 2, filters, 3


def csp_darknet53_convolutions() -> Iterator[tuple[int, int, int]]:
    """YOLOv4's layout: only the first stage keeps all its channels in both parts."""
    yield 3, 32, 3
    for filters, repeats in REPEATS.items():
        part = filters if filters == 64 else filters // 2
        yield filters // 2, filters, 3
        yield filters, part, 1  # round
        yield filters, part, 1  # through
        for _ in range(repeats):
            yield part, filters // 2, 1
            yield filters // 2, part, 3
        yield part, part, 1
        yield 2 * part, filters, 1


def parameters(convolutions: Iterator[tuple[int, int, int]]) -> int:
    """Weights of the convolution, γ and β of its BatchNorm."""
    return sum(c_in * c_out * k * k + 2 * c_out for c_in, c_out, k in convolutions)


def test_darknet53_parameters() -> None:
    with torch.device("meta"):
        backbone = Darknet53()
        classifier = Classifier(backbone, 1000)
    assert count(backbone) == parameters(darknet53_convolutions()) == 40_584_928
    assert count(classifier) == count(backbone) + 1024 * 1000 + 1000 == 41_609_928
    # counted with the running means and variances, as in a file of weights
    running = sum(x.numel() for name, x in classifier.named_buffers() if "running" in name)
    assert count(classifier) + running == 41_645_640


def test_darknet53_has_53_layers() -> None:
    with torch.device("meta"):
        classifier = Classifier(Darknet53(), 1000)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in classifier.modules()) == 53


def test_csp_darknet53_parameters() -> None:
    with torch.device("meta"):
        backbone = CSPDarknet53()
        classifier = Classifier(backbone, 1000)
    assert count(backbone) == parameters(csp_darknet53_convolutions()) == 26_617_184
    assert round(count(classifier) / 1e6, 1) == 27.6  # YOLOv4's table 1
    assert count(backbone) < count(Darknet53())


@BACKBONES
@pytest.mark.parametrize(("height", "width"), [(64, 96), (32, 32)])
def test_shapes(backbone: type[Darknet53 | CSPDarknet53], height: int, width: int) -> None:
    model = backbone().eval()
    with torch.no_grad():
        maps = model(torch.rand(2, 3, height, width))
    assert [x.shape for x in maps] == [(2, c, height // s, width // s) for c, s in ((256, 8), (512, 16), (1024, 32))]
    assert model.channels == (256, 512, 1024)


@BACKBONES
def test_gradient_reaches_every_parameter(backbone: type[Darknet53 | CSPDarknet53]) -> None:
    torch.manual_seed(0)
    model = Classifier(backbone(), 3)
    images = torch.rand(2, 3, 64, 64)
    before = images.clone()
    model(images).square().sum().backward()
    assert torch.equal(images, before)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.count_nonzero() > 0, name


def test_classifier_averages_p5() -> None:
    torch.manual_seed(1)
    backbone = CSPDarknet53()
    model = Classifier(backbone, 4).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        p5 = backbone(images)[2]
        expected = p5.flatten(2).mean(-1) @ model.linear.weight.T + model.linear.bias
        torch.testing.assert_close(model(images), expected)


def test_darknet53_stages_by_hand() -> None:
    """Halve, then residual blocks: x + 3 × 3 (1 × 1 (x))."""
    torch.manual_seed(2)
    model = Darknet53()
    shake_norms(model).eval()
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        x: Tensor = model.stem(images)
        for stage, (filters, repeats) in zip(model.stages, REPEATS.items(), strict=True):
            assert isinstance(stage, nn.Sequential)
            down, *blocks = stage
            assert len(blocks) == repeats
            x = down(x)
            for block in blocks:
                assert isinstance(block, Bottleneck)
                assert block.cv1.conv.out_channels == filters // 2
                x = x + block.cv2(block.cv1(x))
        torch.testing.assert_close(model(images)[2], x)


@pytest.mark.parametrize("halve", [True, False])
def test_csp_stage_by_hand(halve: bool) -> None:
    torch.manual_seed(3)
    stage = CSPStage(8, 16, 2, halve=halve)
    shake_norms(stage).eval()
    x = torch.randn(2, 8, 10, 6)
    down = stage.down(x)
    first, *blocks, last = stage.through
    y = first(down)
    assert y.shape[1] == (8 if halve else 16)
    for block in blocks:
        assert isinstance(block, Bottleneck)
        hidden = block.cv1(y)
        assert hidden.shape[1] == 8
        y = y + block.cv2(hidden)
    expected = stage.transition(torch.cat([last(y), stage.around(down)], dim=1))
    torch.testing.assert_close(stage(x), expected)
    assert expected.shape == (2, 16, 5, 3)
    assert_leaves_input_alone(stage, x)


def test_only_the_first_stage_is_not_halved() -> None:
    with torch.device("meta"):
        widths = [stage.around.conv.out_channels for stage in CSPDarknet53().stages]  # type: ignore[union-attr]
    assert widths == [64, 64, 128, 256, 512]


def test_mish() -> None:
    x = torch.linspace(-8, 8, 65, dtype=torch.float64)
    torch.testing.assert_close(mish()(x.clone()), x * torch.tanh(torch.log(1 + torch.exp(x))))
    assert any(isinstance(m, nn.Mish) for m in CSPStage(4, 8, 1).modules())
    assert not any(isinstance(m, nn.LeakyReLU) for m in CSPStage(4, 8, 1).modules())
