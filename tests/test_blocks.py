"""The bricks, each written out by hand with plain functions."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from networks import assert_leaves_input_alone, shake_norms
from torch import Tensor, nn

from yolo_edu.model.blocks import (
    C3,
    SPP,
    SPPF,
    Bottleneck,
    BottleneckCSP,
    Concat,
    Conv,
    Focus,
    leaky_relu,
    silu,
)

# name: (block from 8 to 16 channels, by how much it shrinks H and W)
BLOCKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "Conv 1": (lambda: Conv(8, 16), 1),
    "Conv 3": (lambda: Conv(8, 16, 3), 1),
    "Conv 3 s2": (lambda: Conv(8, 16, 3, 2), 2),
    "Conv 6 s2 p2": (lambda: Conv(8, 16, 6, 2, 2, activation=silu), 2),
    "Focus": (lambda: Focus(8, 16, 3), 2),
    "Bottleneck": (lambda: Bottleneck(8, 16), 1),
    "BottleneckCSP": (lambda: BottleneckCSP(8, 16, 2), 1),
    "BottleneckCSP plain": (lambda: BottleneckCSP(8, 16, 2, shortcut=False), 1),
    "C3": (lambda: C3(8, 16, 2), 1),
    "SPP": (lambda: SPP(8, 16), 1),
    "SPPF": (lambda: SPPF(8, 16), 1),
}
NAMED = pytest.mark.parametrize(("build", "shrink"), BLOCKS.values(), ids=BLOCKS.keys())


def conv_by_hand(conv: Conv, x: Tensor, *, stride: int = 1) -> Tensor:
    """Convolution, BatchNorm's formula, LeakyReLU's definition."""
    weight = conv.conv.weight
    bn = conv.bn
    assert isinstance(bn, nn.BatchNorm2d)
    y = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    y = norm_by_hand(bn, y)
    return torch.where(y > 0, y, 0.1 * y)


def norm_by_hand(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    assert bn.running_mean is not None
    assert bn.running_var is not None
    mean, var, gamma, beta = (t[None, :, None, None] for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
    return (x - mean) / (var + bn.eps).sqrt() * gamma + beta


def bottlenecks_by_hand(stage: nn.Sequential, x: Tensor, *, shortcut: bool) -> Tensor:
    for m in stage:
        assert isinstance(m, Bottleneck)
        y = conv_by_hand(m.cv2, conv_by_hand(m.cv1, x))
        x = x + y if shortcut else y
    return x


# --- every block ----------------------------------------------------------------------------------------


@NAMED
@pytest.mark.parametrize("size", [(12, 20), (2, 34)])
def test_shape(build: Callable[[], nn.Module], shrink: int, size: tuple[int, int]) -> None:
    block = build()
    expected = (2, 16, size[0] // shrink, size[1] // shrink)
    assert block.train()(torch.randn(2, 8, *size)).shape == expected
    assert block.eval()(torch.randn(2, 8, *size)).shape == expected
    assert block(torch.randn(0, 8, *size)).shape == (0, *expected[1:])


@NAMED
def test_input_is_left_alone(build: Callable[[], nn.Module], shrink: int) -> None:
    assert_leaves_input_alone(build(), torch.randn(2, 8, 8, 8))


@NAMED
def test_gradient_reaches_everything(build: Callable[[], nn.Module], shrink: int) -> None:
    torch.manual_seed(0)
    block = build()
    x = torch.randn(2, 8, 8, 8, requires_grad=True)
    block(x).square().sum().backward()
    for name, tensor in [("input", x), *block.named_parameters()]:
        assert tensor.grad is not None, name
        assert tensor.grad.count_nonzero() > 0, name


def test_activations() -> None:
    x = torch.linspace(-6, 6, 49)
    torch.testing.assert_close(leaky_relu()(x.clone()), torch.where(x > 0, x, x / 10))
    torch.testing.assert_close(silu()(x.clone()), x / (1 + torch.exp(-x)))


# --- Conv -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_conv_by_hand(kernel: int, stride: int) -> None:
    torch.manual_seed(1)
    conv = Conv(3, 6, kernel, stride)
    shake_norms(conv).eval()
    x = torch.randn(2, 3, 11, 7)
    torch.testing.assert_close(conv(x), conv_by_hand(conv, x, stride=stride))
    assert [name for name, _ in conv.named_parameters()] == ["conv.weight", "bn.weight", "bn.bias"]


def test_fused_conv_is_equal_and_has_no_norm() -> None:
    torch.manual_seed(2)
    conv = Conv(5, 7, 3, 2)
    shake_norms(conv).eval()
    x = torch.randn(2, 5, 9, 9)
    before = conv(x)
    conv.fuse()
    torch.testing.assert_close(conv(x), before, rtol=1e-5, atol=1e-5)
    assert sorted(conv.state_dict()) == ["conv.bias", "conv.weight"]
    once = conv(x)
    conv.fuse()  # a second time changes nothing
    assert torch.equal(conv(x), once)


def test_fusing_folds_by_the_formula() -> None:
    torch.manual_seed(3)
    conv = Conv(2, 4, 1)
    shake_norms(conv).eval()
    bn, weight = conv.bn, conv.conv.weight.detach().clone()
    assert isinstance(bn, nn.BatchNorm2d)
    assert bn.running_var is not None
    assert bn.running_mean is not None
    factor = bn.weight / (bn.running_var + bn.eps).sqrt()
    conv.fuse()
    torch.testing.assert_close(conv.conv.weight, weight * factor[:, None, None, None])
    torch.testing.assert_close(conv.conv.bias, bn.bias - bn.running_mean * factor)


# --- Focus ----------------------------------------------------------------------------------------------


def test_focus_phases_by_hand() -> None:
    focus = Focus(1, 4)
    seen: list[Tensor] = []
    focus.conv.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    image = torch.tensor(
        [
            [0.0, 1, 2, 3],
            [10, 11, 12, 13],
            [20, 21, 22, 23],
            [30, 31, 32, 33],
        ]
    )
    focus(image[None, None])
    assert seen[0][0].tolist() == [
        [[0, 2], [20, 22]],  # even rows, even columns
        [[10, 12], [30, 32]],  # odd rows, even columns
        [[1, 3], [21, 23]],  # even rows, odd columns
        [[11, 13], [31, 33]],  # odd rows, odd columns
    ]


def test_focus_keeps_the_color_channels_of_a_phase_together() -> None:
    focus = Focus(3, 4)
    seen: list[Tensor] = []
    focus.conv.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    image = torch.rand(1, 3, 4, 6)
    focus(image)
    assert torch.equal(seen[0][:, 3:6], image[:, :, 1::2, 0::2])


def test_focus_is_a_six_wide_convolution() -> None:
    """R7's stem can compute whatever R1's can: 3 × 3 over phases is 6 × 6 over pixels, stride 2, padding 2."""
    torch.manual_seed(4)
    focus, stem = Focus(3, 8, 3), Conv(3, 8, 6, 2, 2, activation=leaky_relu)
    shake_norms(focus).eval()
    stem.bn.load_state_dict(focus.conv.bn.state_dict())
    with torch.no_grad():
        phases = focus.conv.conv.weight.view(8, 2, 2, 3, 3, 3)  # out, column, row, color, kernel row, column
        stem.conv.weight.copy_(phases.permute(0, 3, 4, 2, 5, 1).reshape(8, 3, 6, 6))
    x = torch.rand(2, 3, 12, 16)
    torch.testing.assert_close(stem.eval()(x), focus(x), rtol=1e-5, atol=1e-5)


# --- stages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("c_in", "c_out", "shortcut", "adds"),
    [(8, 8, True, True), (8, 8, False, False), (8, 16, True, False), (16, 8, True, False)],
)
def test_bottleneck_adds_only_if_asked_and_possible(c_in: int, c_out: int, shortcut: bool, adds: bool) -> None:
    torch.manual_seed(5)
    block = Bottleneck(c_in, c_out, shortcut)
    shake_norms(block).eval()
    x = torch.randn(2, c_in, 6, 6)
    y = conv_by_hand(block.cv2, conv_by_hand(block.cv1, x))
    torch.testing.assert_close(block(x), x + y if adds else y)


@pytest.mark.parametrize(("c_out", "expansion", "hidden"), [(16, 0.5, 8), (16, 1.0, 16), (10, 0.25, 2)])
def test_bottleneck_width(c_out: int, expansion: float, hidden: int) -> None:
    block = Bottleneck(4, c_out, expansion=expansion)
    assert block.cv1.conv.weight.shape == (hidden, 4, 1, 1)
    assert block.cv2.conv.weight.shape == (c_out, hidden, 3, 3)


@pytest.mark.parametrize("shortcut", [True, False])
def test_bottleneck_csp_by_hand(shortcut: bool) -> None:
    torch.manual_seed(6)
    block = BottleneckCSP(6, 12, 2, shortcut)
    shake_norms(block).eval()
    x = torch.randn(2, 6, 7, 5)
    one = bottlenecks_by_hand(block.m, conv_by_hand(block.cv1, x), shortcut=shortcut)
    one = F.conv2d(one, block.cv3.weight)
    two = F.conv2d(x, block.cv2.weight)
    joint = norm_by_hand(block.bn, torch.cat([one, two], dim=1))
    joint = torch.where(joint > 0, joint, 0.1 * joint)
    torch.testing.assert_close(block(x), conv_by_hand(block.cv4, joint), rtol=1e-5, atol=1e-5)
    members = list(dict.fromkeys(name.split(".")[0] for name, _ in block.named_modules() if name))
    assert members == ["cv1", "cv2", "cv3", "cv4", "bn", "act", "m"]


@pytest.mark.parametrize("shortcut", [True, False])
def test_c3_by_hand(shortcut: bool) -> None:
    torch.manual_seed(7)
    block = C3(6, 12, 2, shortcut, activation=leaky_relu)
    shake_norms(block).eval()
    x = torch.randn(2, 6, 7, 5)
    one = bottlenecks_by_hand(block.m, conv_by_hand(block.cv1, x), shortcut=shortcut)
    two = conv_by_hand(block.cv2, x)
    expected = conv_by_hand(block.cv3, torch.cat([one, two], dim=1))
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


def test_concat_keeps_the_order() -> None:
    a, b, c = (torch.full((1, n, 2, 2), float(n)) for n in (1, 2, 3))
    assert Concat()([b, a, c])[0, :, 0, 0].tolist() == [2, 2, 1, 3, 3, 3]
    assert_leaves_input_alone(Concat(), a, b, c)


# --- pooling pyramids -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(20, 13), (5, 5), (2, 3), (1, 1)])
def test_sppf_is_spp_bit_for_bit(size: tuple[int, int]) -> None:
    torch.manual_seed(8)
    spp, sppf = SPP(8, 6, activation=silu), SPPF(8, 6)
    shake_norms(spp)
    sppf.load_state_dict(spp.state_dict())
    x = torch.randn(2, 8, *size)
    assert torch.equal(spp.eval()(x), sppf.eval()(x))


def test_spp_by_hand() -> None:
    """Every cell, every kernel: the maximum over the part of the window that lies on the map."""
    torch.manual_seed(9)
    spp = SPP(4, 5)
    shake_norms(spp).eval()
    x = torch.randn(1, 4, 7, 9) - 3  # mostly negative: padding with zeros would show
    y = conv_by_hand(spp.cv1, x)
    maps = [y]
    for kernel in (5, 9, 13):
        r = kernel // 2
        pooled = torch.empty_like(y)
        for i in range(7):
            for j in range(9):
                window = y[..., max(i - r, 0) : i + r + 1, max(j - r, 0) : j + r + 1]
                pooled[..., i, j] = window.amax(dim=(-2, -1))
        maps.append(pooled)
    torch.testing.assert_close(spp(x), conv_by_hand(spp.cv2, torch.cat(maps, dim=1)), rtol=1e-5, atol=1e-5)
