"""Pyramids against torchvision, against loops over bins and samples, and against the papers' examples."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from networks import assert_leaves_input_alone
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from yolo_edu.model.pyramid import FPN, PAN, AdaptiveFeaturePooling, SpatialBins


def pyramid(channels: tuple[int, ...], height: int, width: int, batch: int = 2) -> list[Tensor]:
    """Maps that halve, rounding up, from (height, width) on."""
    maps = []
    for c in channels:
        maps.append(torch.randn(batch, c, height, width))
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    return maps


# --- FPN ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 24), (13, 7)])
@pytest.mark.parametrize("c_in", [(4, 6, 8), (5, 5, 7, 9), (3,)])
def test_fpn_equal_to_torchvision(c_in: tuple[int, ...], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours, theirs = FPN(c_in, 6), FeaturePyramidNetwork(list(c_in), 6)
    blocks = [*theirs.inner_blocks, *theirs.layer_blocks]
    for mine, block in zip([*ours.lateral, *ours.smooth], blocks, strict=True):
        torch.nn.init.normal_(block[0].bias)  # theirs start at zero, where a forgotten bias would not show
        mine.load_state_dict(block[0].state_dict())
    maps = pyramid(c_in, *size)
    expected = theirs({str(i): x for i, x in enumerate(maps)})
    for mine, reference in zip(ours(maps), expected.values(), strict=True):
        torch.testing.assert_close(mine, reference)


def test_fpn_information_flows_down_only() -> None:
    fpn = FPN((4, 6, 8), 5)
    maps = [x.requires_grad_() for x in pyramid((4, 6, 8), 8, 8)]
    for i, out in enumerate(fpn(maps)):
        gradients = torch.autograd.grad(out.sum(), maps, allow_unused=True, retain_graph=True)
        assert [g is not None for g in gradients] == [j >= i for j in range(3)]


def test_fpn_wants_all_its_levels() -> None:
    with pytest.raises(ValueError, match="zip"):
        FPN((4, 6, 8))(pyramid((4, 6), 8, 8))


# --- PAN ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concat", [False, True])
@pytest.mark.parametrize("size", [(16, 24), (13, 7)])
def test_pan_by_hand(concat: bool, size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    pan = PAN(6, 3, concat=concat)
    p3, p4, p5 = maps = pyramid((6, 6, 6), *size)

    def step(level: int, fine: Tensor, coarse: Tensor) -> Tensor:
        down, fuse = pan.down[level], pan.fuse[level]
        assert isinstance(down, nn.Conv2d)
        assert isinstance(fuse, nn.Conv2d)
        x = F.conv2d(fine, down.weight, down.bias, stride=2, padding=1).clamp(min=0)
        x = torch.cat([x, coarse], dim=1) if concat else x + coarse
        return F.conv2d(x, fuse.weight, fuse.bias, padding=1).clamp(min=0)

    n3, n4, n5 = pan(maps)
    assert torch.equal(n3, p3)
    torch.testing.assert_close(n4, step(0, n3, p4))
    torch.testing.assert_close(n5, step(1, n4, p5))
    assert [x.shape for x in (n3, n4, n5)] == [x.shape for x in maps]


def test_pan_information_flows_up_only() -> None:
    torch.manual_seed(2)
    maps = [x.requires_grad_() for x in pyramid((6, 6, 6), 8, 8)]
    for i, out in enumerate(PAN(6, 3)(maps)):
        gradients = torch.autograd.grad(out.sum(), maps, allow_unused=True, retain_graph=True)
        assert [g is not None for g in gradients] == [j <= i for j in range(3)]


def test_pan_of_one_level_is_its_input() -> None:
    x = torch.randn(1, 6, 4, 4)
    assert torch.equal(PAN(6, 1)([x])[0], x)


def test_pan_behind_fpn() -> None:
    maps = pyramid((4, 6, 8), 16, 8)
    out = PAN(5, 3)(FPN((4, 6, 8), 5)(maps))
    assert [x.shape for x in out] == [(2, 5, 16, 8), (2, 5, 8, 4), (2, 5, 4, 2)]


def test_inputs_are_left_alone() -> None:
    maps = pyramid((5, 5, 5), 8, 8)
    assert_leaves_input_alone(FPN((5, 5, 5), 5), *maps)
    assert_leaves_input_alone(PAN(5, 3), *maps)
    assert_leaves_input_alone(SpatialBins(), maps[0])


# --- spatial bins ---------------------------------------------------------------------------------------


@given(
    height=st.integers(1, 17),
    width=st.integers(1, 17),
    bins=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_bins_by_hand(height: int, width: int, bins: list[int]) -> None:
    generator = torch.Generator().manual_seed(height * 100 + width)
    x = torch.randn(1, 2, height, width, generator=generator)
    expected = []
    for m in bins:
        for channel in x[0]:
            for i in range(m):
                for j in range(m):
                    rows = slice(i * height // m, math.ceil((i + 1) * height / m))
                    columns = slice(j * width // m, math.ceil((j + 1) * width / m))
                    expected.append(channel[rows, columns].max())
    vector = SpatialBins(bins)(x)
    assert torch.equal(vector, torch.stack(expected)[None])
    assert vector.shape == (1, 2 * sum(m * m for m in bins))


def test_fixed_length_whatever_the_image() -> None:
    spp = SpatialBins()
    lengths = {spp(torch.randn(1, 8, h, w)).shape for h, w in [(13, 13), (10, 17), (1, 1), (3, 40)]}
    assert lengths == {(1, 8 * 21)}


def test_bins_of_the_paper() -> None:
    """The paper's 13 × 13 map: 3, 2, 1 bins are sliding windows of 5, 7, 13 at strides 4, 6, 13."""
    x = torch.randn(2, 3, 13, 13)
    pools = [F.max_pool2d(x, window, stride) for window, stride in ((5, 4), (7, 6), (13, 13))]
    expected = torch.cat([pool.flatten(1) for pool in pools], dim=1)
    assert torch.equal(SpatialBins((3, 2, 1))(x), expected)


# --- adaptive feature pooling ---------------------------------------------------------------------------


def bilinear(channel: Tensor, y: float, x: float) -> float:
    """The value between four cell centers; outside, the border's."""
    h, w = channel.shape
    y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
    i, j = min(int(y), h - 1), min(int(x), w - 1)
    below, right = min(i + 1, h - 1), min(j + 1, w - 1)
    v, u = y - i, x - j
    top = channel[i, j] * (1 - u) + channel[i, right] * u
    bottom = channel[below, j] * (1 - u) + channel[below, right] * u
    return float(top * (1 - v) + bottom * v)


def align_by_hand(x: Tensor, box: list[float], stride: int, size: int) -> Tensor:
    """(C, h, w), one box in pixels → (C, size, size): means of 2 × 2 samples a cell."""
    x1, y1, x2, y2 = (edge / stride - 0.5 for edge in box)
    grid = torch.zeros(len(x), size, size)
    for c, channel in enumerate(x):
        for i in range(size):
            for j in range(size):
                for a in (0.25, 0.75):
                    for b in (0.25, 0.75):
                        y = y1 + (i + a) * (y2 - y1) / size
                        grid[c, i, j] += bilinear(channel, y, x1 + (j + b) * (x2 - x1) / size) / 4
    return grid


def test_adaptive_pooling_by_hand() -> None:
    torch.manual_seed(3)
    maps = [torch.randn(2, 3, 96 // s, 128 // s) for s in (8, 16, 32)]
    boxes = [[[10.0, 20, 50, 70], [0.0, 0, 128, 96]], [[60.0, 5, 77, 91]]]
    pooled = AdaptiveFeaturePooling(3)(maps, [torch.tensor(b) for b in boxes])
    expected = []
    for image, rows in enumerate(boxes):
        for box in rows:
            grids = [align_by_hand(x[image], box, s, 3) for x, s in zip(maps, (8, 16, 32), strict=True)]
            expected.append(torch.maximum(torch.maximum(grids[0], grids[1]), grids[2]))
    torch.testing.assert_close(pooled, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_levels_are_aligned() -> None:
    """Maps that hold their own position in pixels: every level must answer with the cell's center."""
    box = torch.tensor([[40.0, 48, 82, 76]])
    for stride in (4, 8, 16):
        columns = (torch.arange(128 // stride) + 0.5) * stride
        ramp = columns.expand(1, 1, 128 // stride, -1).contiguous()
        pooled = AdaptiveFeaturePooling(7, strides=[stride])([ramp], [box])
        centers = 40 + (torch.arange(7) + 0.5) * 6
        torch.testing.assert_close(pooled[0, 0], centers.expand(7, 7), rtol=1e-5, atol=1e-4)


def test_strongest_level_stands() -> None:
    maps = [torch.full((1, 1, 64 // s, 64 // s), value) for s, value in ((8, 1.0), (16, 3.0), (32, 2.0))]
    pooled = AdaptiveFeaturePooling(2)(maps, [torch.tensor([[8.0, 8, 56, 56]])])
    assert torch.equal(pooled, torch.full((1, 1, 2, 2), 3.0))


def test_no_boxes() -> None:
    maps = [torch.randn(2, 4, 64 // s, 64 // s) for s in (8, 16, 32)]
    pool = AdaptiveFeaturePooling(7)
    assert pool(maps, [torch.zeros(0, 4), torch.zeros(0, 4)]).shape == (0, 4, 7, 7)
    assert pool(maps, [torch.zeros(0, 4), torch.tensor([[0.0, 0, 9, 9]])]).shape == (1, 4, 7, 7)


def test_every_level_can_learn() -> None:
    torch.manual_seed(4)
    maps = [torch.randn(1, 8, 64 // s, 64 // s, requires_grad=True) for s in (8, 16, 32)]
    AdaptiveFeaturePooling(7)(maps, [torch.tensor([[0.0, 0, 64, 64]])]).sum().backward()
    for x in maps:
        assert x.grad is not None
        assert x.grad.count_nonzero() > 0
