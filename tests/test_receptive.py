"""Receptive fields against slow oracles: gradients, single bright pixels, published numbers."""

import copy

import pytest
import torch
import torchvision
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from yolo_edu.model import RELEASES
from yolo_edu.receptive import Reach, Trace
from yolo_edu.summary import layer_rows


def make_positive(network: nn.Module) -> nn.Module:
    """Every weight one, no bias, in double precision; in evaluation a fresh BatchNorm is the identity.

    Then nothing cancels: an output depends on a pixel if and only if there is a path between the two.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network.double().eval()


@pytest.mark.parametrize("release", ["yolov5", "yolov5v6"])
def test_receptive_fields_of_the_network_are_the_support_of_its_gradients(release):
    model = RELEASES[release]((0.33, 0.01), 1)  # the depth of s, the fewest channels
    expected = {line.row: line.outputs[0].receptive_field for line in layer_rows(model, 64)[:-1]}
    for row in model.model.modules():
        for name, pool in row.named_children():
            if isinstance(pool, nn.MaxPool2d):  # gives one pixel all the gradient; a mean reads the same
                setattr(row, name, nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding))
    outputs: dict[int, Tensor] = {}
    for i in expected:
        model.model[i].register_forward_hook(lambda _, __, output, i=i: outputs.__setitem__(i, output))
    width = 1280
    image = torch.ones(1, 3, 32, width, dtype=torch.float64, requires_grad=True)
    make_positive(model)(image)
    for i, output in outputs.items():
        spans, center = [], output.shape[-1] // 2
        for position in range(center, center + 4):  # two upsamplings: four kinds of neighbors
            (gradient,) = torch.autograd.grad(output[..., position].sum(), image, retain_graph=True)
            columns = gradient.sum(dim=(0, 1, 2)).nonzero().flatten()
            assert columns[0] > 0
            assert columns[-1] < width - 1  # not cut by the border
            spans.append(int(columns[-1] - columns[0] + 1))
        assert max(spans) == expected[i], f"row {i}"


class Every(nn.Module):
    """Keeps every step-th column, as Focus does."""

    def __init__(self, first: int, step: int) -> None:
        super().__init__()
        self.first, self.step = first, step

    def forward(self, x: Tensor) -> Tensor:
        return x[..., self.first :: self.step]


class Fork(nn.Module):
    """Two paths whose ends are joined on channels and mixed."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right, self.mix = left, right, nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        width = min(left.shape[-1], right.shape[-1])
        return self.mix(torch.cat([left[..., :width], right[..., :width]], dim=1))


def convolution(kernel: int, stride: int, padding: int, dilation: int) -> nn.Module:
    return nn.Conv2d(3, 3, (1, kernel), (1, stride), (0, padding), (1, dilation))


def max_pool(kernel: int, stride: int) -> nn.Module:
    return nn.MaxPool2d((1, kernel), (1, stride), (0, kernel // 2))


def mean_pool(kernel: int) -> nn.Module:
    return nn.AvgPool2d((1, kernel))


class Halve(nn.Module):
    """A pool that is given no stride, which PyTorch's pooling modules always pass on."""

    def forward(self, x: Tensor) -> Tensor:
        return max_pool2d(x, (1, 2))


def up(factor: int) -> nn.Module:
    return nn.Upsample(scale_factor=(1, factor))


def dip(kernel: int, factor: int) -> nn.Module:
    """Beside the identity: down to a coarser grid and up again, as a neck does."""
    return Fork(nn.Sequential(convolution(kernel, factor, kernel // 2, 1), up(factor)), nn.Identity())


def residual(kernel: int, dilation: int) -> nn.Module:
    return Fork(convolution(kernel, 1, dilation * (kernel // 2), dilation), nn.Identity())


small = st.integers(1, 3)
layers = st.one_of(
    st.builds(convolution, st.integers(1, 5), small, st.integers(0, 4), st.integers(1, 2)),
    st.builds(max_pool, st.integers(2, 5), small),
    st.builds(mean_pool, st.integers(2, 3)),
    st.builds(Halve),
    st.builds(up, st.integers(2, 3)),
    st.builds(Every, st.integers(0, 2), small),
    st.builds(dip, st.sampled_from([1, 3, 5]), st.integers(2, 3)),
    st.builds(residual, st.sampled_from([1, 3, 5]), small),
)


def reach_of(network: nn.Module, pixels: int) -> Reach:
    trace = Trace()
    with torch.no_grad(), trace:
        output = copy.deepcopy(network).to("meta")(trace.start(torch.zeros(1, 3, 1, pixels, device="meta")))
    track = trace[output]
    assert track is not None
    assert track.reach is not None
    return track.reach


@given(st.lists(layers, min_size=1, max_size=4))
@torch.no_grad()
def test_the_reach_of_every_position_is_exact(stack):
    pixels, network = 360, nn.Sequential(*stack)
    reach = reach_of(network, pixels)
    image_per_pixel = torch.eye(pixels, dtype=torch.float64)[:, None, None, :].expand(-1, 3, -1, -1)
    answers = make_positive(network)(image_per_pixel).amax(dim=(1, 2)) > 0  # (pixels, positions)
    # Steps and slices drop pixels at the borders, 2 · (1 + 3 + 9 + 27) at most.
    inside = [o for o in range(answers.shape[1]) if reach.at(o)[0] >= 80 and reach.at(o)[1] < pixels - 80]
    assume(inside)
    for o in inside:
        pixel = answers[:, o].nonzero().flatten()
        assert (int(pixel[0]), int(pixel[-1])) == reach.at(o)


def test_receptive_fields_from_the_literature():
    """Araujo, Norris, Sim 2019, "Computing receptive fields of convolutional neural networks", Distill."""
    known = {"alexnet": (0, 195, 32), "vgg16": (0, 212, 32), "resnet18": (7, 435, 32)}
    for name, (row, field, stride) in known.items():
        with torch.device("meta"):
            model = getattr(torchvision.models, name)()
        output = layer_rows(model, 224)[row].outputs[0]
        assert (output.receptive_field, output.stride) == (field, stride), name


def test_an_operation_that_is_no_window_ends_the_count():
    head = nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    fields = [row.outputs[0].receptive_field for row in layer_rows(head, 16)]
    assert fields == [3, None, None, None]


class Unshuffle(nn.Module):
    """Space to depth by folding the axes: the last axis is no longer the image's."""

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        return x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(b, 4 * c, h // 2, w // 2)


def test_a_folded_axis_is_not_mistaken_for_the_width():
    rows = layer_rows(nn.Sequential(Unshuffle(), nn.Conv2d(12, 4, 3)), 16)
    assert rows[1].outputs[0].receptive_field is None
    assert layer_rows(nn.ConvTranspose2d(3, 3, 2, 2), 16)[0].outputs[0].receptive_field is None


def test_mish_leaves_every_position_in_its_place():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Mish(inplace=True), nn.Conv2d(4, 4, 3, 1, 1), nn.Mish())
    (*_, last) = layer_rows(network, 64)
    assert (last.outputs[0].stride, last.outputs[0].receptive_field) == (2, 7)
