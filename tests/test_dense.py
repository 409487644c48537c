"""DenseNet against torchvision's and against a formula; the CSP form against its definition."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from networks import assert_leaves_input_alone, count, shake_norms
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import densenet

from yolo_edu.model.dense import (
    DENSENETS,
    CSPDenseBlock,
    DenseBlock,
    DenseLayer,
    DenseNet,
    DensePlan,
    Transition,
)

# The dense stages of DenseNet-121: channels in, layers.
STAGES_121 = [(64, 6), (128, 12), (256, 24), (512, 16)]


def norm_relu_conv(parts: list[nn.Module], x: Tensor) -> Tensor:
    """The order of the paper, spelled out."""
    norm, _, conv = parts
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(conv, nn.Conv2d)
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return F.conv2d(x.clamp(min=0), conv.weight, padding=conv.weight.shape[-1] // 2)


# --- DenseNet -------------------------------------------------------------------------------------------


def parameters_by_formula(layers: tuple[int, ...], growth: int, classes: int) -> int:
    """Adds up weights from the paper's description alone: no network is built."""
    c = 2 * growth
    total = 3 * c * 49 + 2 * c
    for i, n in enumerate(layers):
        for _ in range(n):
            total += 2 * c + c * 4 * growth  # BatchNorm, 1 × 1
            total += 2 * 4 * growth + 4 * growth * growth * 9  # BatchNorm, 3 × 3
            c += growth
        if i + 1 < len(layers):
            total += 2 * c + c * (c // 2)
            c //= 2
    return total + 2 * c + c * classes + classes


@pytest.mark.parametrize(
    ("depth", "published"),
    [(121, 7_978_856), (161, 28_681_000), (169, 14_149_480), (201, 20_013_928), (264, None)],
)
def test_parameter_counts(depth: int, published: int | None) -> None:
    plan = DENSENETS[depth]
    with torch.device("meta"):
        ours = count(DenseNet(depth))
        theirs = count(getattr(densenet, f"densenet{depth}")()) if published else None
    assert ours == parameters_by_formula(plan.layers, plan.growth, 1000)
    assert theirs == published
    assert published in (ours, None)


@pytest.mark.parametrize("depth", DENSENETS)
def test_the_name_counts_the_layers_with_weights(depth: int) -> None:
    with torch.device("meta"):
        model = DenseNet(depth)
    layers = sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules())
    # the paper's column for 264 (6, 12, 64, 48) adds up to one more than its name
    assert layers == (265 if depth == 264 else depth)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Both list their tensors in the order of the forward pass, so they pair up one by one."""
    theirs, ours = source.state_dict(), target.state_dict()
    assert [x.shape for x in theirs.values()] == [x.shape for x in ours.values()]
    target.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))


def test_equal_to_torchvision() -> None:
    torch.manual_seed(0)
    theirs = densenet.densenet121()
    shake_norms(theirs).eval()
    ours = DenseNet(121).eval()
    copy_weights(theirs, ours)
    images = torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours.features(images), theirs.features(images).relu())
        torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize("training", [True, False])
def test_own_plan_equal_to_torchvision(training: bool) -> None:
    """Odd sizes, three blocks, both modes."""
    torch.manual_seed(1)
    theirs = densenet.DenseNet(growth_rate=6, block_config=(2, 1, 3), num_init_features=12, num_classes=7)
    shake_norms(theirs).train(training)
    ours = DenseNet(DensePlan((2, 1, 3), growth=6), classes=7).train(training)
    copy_weights(theirs, ours)
    images = torch.rand(3, 3, 75, 101)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_initialization_keeps_the_signal() -> None:
    """He et al.: the weights' spread is √(2 / fan-in)."""
    torch.manual_seed(2)
    model = DenseNet(DensePlan((4, 4), growth=16), classes=3)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            expected = (2 / module.weight[0].numel()) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.15)


def test_compression() -> None:
    plan = DensePlan((2, 2), growth=8)
    full, half = DenseNet(plan, 3, compression=1.0), DenseNet(plan, 3)
    # 16 + 2 · 8 = 32 channels leave the first block
    assert full.classifier.in_features == 32 + 16
    assert half.classifier.in_features == 16 + 16


def test_unknown_depth() -> None:
    with pytest.raises(ValueError, match="DenseNet-120: give one of 121, 161, 169, 201, 264"):
        DenseNet(120)


# --- bricks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", [True, False])
def test_dense_layer_by_hand(bottleneck: bool) -> None:
    torch.manual_seed(3)
    layer = DenseLayer(10, 4, bottleneck=bottleneck)
    shake_norms(layer).eval()
    x = torch.randn(2, 10, 5, 7)
    hidden = norm_relu_conv(list(layer.squeeze), x) if bottleneck else x
    assert hidden.shape[1] == (16 if bottleneck else 10)
    torch.testing.assert_close(layer(x), norm_relu_conv(list(layer.grow), hidden))
    assert layer(x).shape == (2, 4, 5, 7)


@pytest.mark.parametrize("bottleneck", [True, False])
def test_dense_block_by_hand(bottleneck: bool) -> None:
    """Each layer sees the input and all earlier layers, and the output lists them all."""
    torch.manual_seed(4)
    block = DenseBlock(6, 3, 4, bottleneck=bottleneck)
    shake_norms(block).eval()
    x = torch.randn(2, 6, 5, 5)
    outputs = [x]
    for layer in block.layers:
        outputs.append(layer(torch.cat(outputs, dim=1)))
    y = block(x)
    torch.testing.assert_close(y, torch.cat(outputs, dim=1))
    assert y.shape[1] == block.channels == 6 + 3 * 4
    assert torch.equal(y[:, :6], x)


def test_dense_block_without_layers_is_its_input() -> None:
    x = torch.randn(1, 6, 4, 4)
    assert torch.equal(DenseBlock(6, 0, 4)(x), x)


def test_every_layer_hears_from_the_loss_directly() -> None:
    """The input's gradient still flows when everything behind it is cut: there is no chain to break."""
    block = DenseBlock(6, 3, 4)
    for p in block.parameters():
        nn.init.zeros_(p)  # all layers put out nothing and pass nothing back
    x = torch.randn(1, 6, 4, 4, requires_grad=True)
    block(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


@pytest.mark.parametrize("pool", [True, False])
def test_transition_by_hand(pool: bool) -> None:
    torch.manual_seed(5)
    transition = Transition(8, 4, pool=pool)
    shake_norms(transition).eval()
    x = torch.randn(2, 8, 6, 4)
    y = norm_relu_conv(list(transition)[:3], x)
    if pool:
        y = (y[..., ::2, ::2] + y[..., 1::2, ::2] + y[..., ::2, 1::2] + y[..., 1::2, 1::2]) / 4
    torch.testing.assert_close(transition(x), y)


@pytest.mark.parametrize(
    "build",
    [
        lambda: DenseLayer(8, 4),
        lambda: DenseBlock(8, 2, 4),
        lambda: Transition(8, 4),
        lambda: CSPDenseBlock(8, 2, 4),
    ],
)
def test_input_is_left_alone(build: Callable[[], nn.Module]) -> None:
    assert_leaves_input_alone(build(), torch.randn(2, 8, 6, 6))


# --- the CSP form ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bypass", [0.25, 0.5, 0.75])
def test_csp_dense_block_by_hand(bypass: float) -> None:
    torch.manual_seed(6)
    block = CSPDenseBlock(8, 3, 4, bypass=bypass)
    shake_norms(block).eval()
    x = torch.randn(2, 8, 6, 4)
    around, through = x[:, : int(8 * bypass)], x[:, int(8 * bypass) :]
    mixed = block.partial(block.block(through))
    assert mixed.shape[-2:] == (6, 4)
    torch.testing.assert_close(block(x), block.transition(torch.cat([around, mixed], dim=1)))


def test_bypassed_channels_never_enter_the_dense_block() -> None:
    block = CSPDenseBlock(8, 3, 4)
    seen: list[Tensor] = []
    block.block.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x = torch.randn(1, 8, 4, 4, requires_grad=True)
    block(x)
    (gradient,) = torch.autograd.grad(block.block(seen[0]).sum(), x)
    assert gradient[:, :4].count_nonzero() == 0
    assert gradient[:, 4:].count_nonzero() > 0


@pytest.mark.parametrize(("c_in", "layers"), STAGES_121)
def test_csp_stands_in_for_a_dense_stage_and_computes_less(c_in: int, layers: int) -> None:
    with torch.device("meta"):
        out = c_in + 32 * layers
        plain = nn.Sequential(DenseBlock(c_in, layers, 32), Transition(out, out // 2))
        csp = CSPDenseBlock(c_in, layers, 32)
        x = torch.empty(1, c_in, 8, 8)
        flops = []
        for stage in (plain, csp):
            with FlopCounterMode(display=False) as counter:
                assert stage(x).shape == (1, out // 2, 4, 4)
            flops.append(counter.get_total_flops())
    assert csp.channels == out // 2
    assert flops[1] < flops[0]
    assert count(csp) < count(plain)


@pytest.mark.parametrize("bypass", [0.0, 0.1, 1.0])
def test_both_parts_must_hold_something(bypass: float) -> None:
    with pytest.raises(ValueError, match="leaves one of the two parts empty"):
        CSPDenseBlock(8, 2, 4, bypass=bypass)
