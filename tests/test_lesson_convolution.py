"""Lesson 01: its figures and widgets show live numbers, its checks know the truth, and its prose states facts."""

import base64
import re
from collections import Counter

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from networks import shake_norms
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from yolo_edu.course import figures, widgets
from yolo_edu.course.checks import convolution as checks
from yolo_edu.course.figures.diagram import PLAIN
from yolo_edu.course.widgets import convolution as explorers
from yolo_edu.model import YOLOv5
from yolo_edu.model.blocks import BottleneckCSP, Conv, silu
from yolo_edu.summary import layer_rows


def words(figure: plt.Figure) -> str:
    plt.close(figure)
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_text())


def window_by_gradient(layers: list[tuple[int, int]], pixels: int) -> tuple[int, int]:
    """First and last pixel of a row that the middle unit reads; all weights are one, so nothing cancels."""
    stack = nn.Sequential(*(nn.Conv1d(1, 1, k, s, k // 2, bias=False) for k, s in layers))
    for parameter in stack.parameters():
        nn.init.ones_(parameter)
    x = torch.zeros(1, 1, pixels, dtype=torch.float64, requires_grad=True)
    y = stack.double()(x)
    step = int(np.prod([s for _, s in layers]))
    y[0, 0, pixels // 2 // step].backward()
    assert x.grad is not None
    read = x.grad[0, 0].nonzero().flatten()
    return int(read[0]), int(read[-1])


# --- figures --------------------------------------------------------------------------------------------


def test_the_block_s_numbers_are_read_from_the_block() -> None:
    text = words(figures.conv_block())
    row = layer_rows(YOLOv5("s", 5), 640)[1]
    assert f"Conv: {row.parameters:,} parameters" in text
    assert f"{row.flops / 1e6:,.1f}" in text
    assert "eps 0.0001\nmomentum 0.03" in text
    assert "slope 0.1" in text

    block = Conv(5, 7, 5, 1, activation=silu)
    before = {name: value.clone() for name, value in block.state_dict().items()}
    text = words(figures.conv_block(block, size=10))
    assert "5 × 5, stride 1\npadding 2" in text
    assert "SiLU" in text
    assert "LeakyReLU" not in text
    assert f"Conv: {5 * 7 * 25 + 14:,} parameters" in text
    assert "out\n7 channels\n10 × 10" in text
    assert f"{2 * 10 * 10 * 7 * 5 * 25 / 1e6:.1f}" in text
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())  # still on the CPU


def test_activation_curves_name_the_range_of_each_derivative() -> None:
    text = words(figures.activation_curves())
    for name in figures.ACTIVATIONS:
        assert name in text
    assert "0.00 to 0.25" in text
    assert "0.10 to 1.00" in text
    assert "−0.50 to 1.50" in text


@pytest.mark.parametrize("name", figures.ACTIVATIONS)
def test_slope_is_the_difference_quotient(name: str) -> None:
    function = figures.ACTIVATIONS[name]
    x = torch.linspace(-5, 5, 101, dtype=torch.float64) + 0.013  # beside the kinks
    before, h = x.clone(), 1e-6
    quotient = (function(x + h) - function(x - h)) / (2 * h)
    torch.testing.assert_close(figures.slope(function, x), quotient, rtol=1e-5, atol=1e-6)
    assert torch.equal(x, before)


@pytest.mark.parametrize("layers", [[(3, 1), (3, 2), (3, 1)], [(5, 2), (3, 1)], [(1, 1), (3, 2)]])
def test_the_cascade_lights_what_has_a_gradient(layers: list[tuple[int, int]]) -> None:
    stack = nn.Sequential(*(nn.Conv2d(3, 3, k, s, k // 2) for k, s in layers))
    figure = figures.field_cascade(stack, 25)
    text = words(figure)
    fields = [row.outputs[0].receptive_field for row in layer_rows(stack, 25)]
    for (kernel, stride), field in zip(layers, fields, strict=True):
        assert f"kernel {kernel}, stride {stride}\nreads {field} pixels" in text
    cells = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    lit = Counter(round(p.get_y(), 3) for p in cells if p.get_facecolor() != plt.matplotlib.colors.to_rgba(PLAIN))
    assert lit[max(lit)] == fields[-1]  # the lowest row is the image
    assert lit[min(lit)] == 1


def test_sliding_window_writes_its_numbers_and_frames_one_window() -> None:
    patch, kernel = torch.rand(4, 4), torch.tensor([[-1.0, 0], [0, 2]])
    result = torch.nn.functional.conv2d(patch[None, None], kernel[None, None])[0, 0]
    figure = figures.sliding_window(patch, kernel, result, at=(1, 2))
    written = [t.get_text() for t in figure.axes[2].texts]
    assert written == [f"{v:.2f}".replace("-", "−") for v in result.flatten().tolist()]
    (frame,) = figure.axes[0].patches
    assert isinstance(frame, Rectangle)
    assert (frame.get_xy(), frame.get_width()) == ((1.5, 0.5), 2)
    figure.draw_without_rendering()
    cells = [ax.get_window_extent().width / len(v) for ax, v in zip(figure.axes, (patch, kernel, result), strict=True)]
    assert max(cells) - min(cells) < 0.5  # pixels: cells of one size
    plt.close(figure)


def test_effective_field_frames_where_there_is_a_gradient() -> None:
    gradient = torch.zeros(20, 30)
    gradient[4:9, 11:17] = 1
    figure = figures.effective_field(torch.rand(3, 20, 30), [gradient], ["photo", "map"], 6)
    for ax in figure.axes:
        (frame,) = ax.patches
        assert isinstance(frame, Rectangle)
        assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((10.5, 3.5), 6, 5)
    assert "6 × 6 pixels" in words(figure)


def test_smooth_parts_split_a_curve_where_it_jumps() -> None:
    ys = torch.tensor([0.0, 0.01, 0.02, 1.0, 1.01, -1.0])
    parts = figures.smooth_parts(ys)
    assert [ys[part].tolist() for part in parts] == [ys[:3].tolist(), ys[3:5].tolist(), ys[5:].tolist()]
    x = torch.linspace(-5, 5, 501)
    for name, function in figures.ACTIVATIONS.items():
        assert len(figures.smooth_parts(figures.slope(function, x))) == 1 + len(explorers.KINKS.get(name, ()))


# --- widgets --------------------------------------------------------------------------------------------


def test_activation_explorer_follows_both_controls() -> None:
    explorer = widgets.activation_explorer(start="SiLU", x=-1.0)
    name, x = explorer.controls["name"], explorer.controls["x"]
    assert "<b>SiLU</b>" in explorer.view.value
    assert "value is <b>−0.269</b> and the derivative <b>0.072</b>" in explorer.view.value
    assert 'alt="SiLU at x = −1.0' in explorer.view.value
    name.value = "LeakyReLU(0.1)"
    assert "value is <b>−0.100</b> and the derivative <b>0.100</b>" in explorer.view.value
    assert "kink" not in explorer.view.value
    x.value = 0.0
    assert "Here is a kink" in explorer.view.value
    name.value, x.value = "sigmoid", 0.0
    assert "derivative <b>0.250</b>" in explorer.view.value


def test_activation_explorer_marks_the_point_on_the_curve() -> None:
    explorer = widgets.activation_explorer(start="ReLU", x=2.0)
    source = re.search(r'data:image/svg\+xml;base64,([^"]+)"', explorer.view.value)
    assert source
    drawing = base64.b64decode(source[1]).decode()
    (x, y), *_ = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawing)
    assert f"{x},{y}" in re.findall(r'<polyline points="([^"]+)"', drawing)[0].split()  # ReLU(2) = 2, on the line


def test_every_activation_has_a_formula_and_its_kinks() -> None:
    assert list(explorers.FORMULAS) == list(figures.ACTIVATIONS)
    for name, function in figures.ACTIVATIONS.items():
        x = torch.arange(-60, 61) / 10
        left, right = (figures.slope(function, x + side * 1e-3) for side in (-1, 1))
        jumps = x[(left - right).abs() > 0.05].tolist()
        assert tuple(round(v, 1) for v in jumps) == explorers.KINKS.get(name, ())


def light_columns(page: str) -> list[int]:
    """Columns of the middle row that are not dark in the photo on a page."""
    source = re.search(r'data:image/jpeg;base64,([^"]+)"', page)
    assert source
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(source[1]), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.flatnonzero(pixels[pixels.shape[0] // 2].mean(axis=-1) > 160).tolist()


@pytest.mark.parametrize(("layers", "kernel", "strided"), [(5, 3, 2), (4, 5, 0), (3, 3, 3), (2, 7, 1)])
def test_receptive_explorer_shows_the_window_of_a_live_stack(layers: int, kernel: int, strided: int) -> None:
    photo = torch.full((3, 200, 200), 230, dtype=torch.uint8)
    explorer = widgets.receptive_explorer(photo)
    for name, value in (("layers", layers), ("kernel", kernel), ("strided", strided)):
        explorer.controls[name].value = value
    stack = [(kernel, 2 if i < strided else 1) for i in range(layers)]
    first, last = window_by_gradient(stack, 200)
    page = explorer.view.value
    assert f"<b>{last - first + 1} × {last - first + 1} pixels</b>" in page
    assert f"<b>{2**strided} pixels</b> apart" in page
    assert f"{layers} · {kernel}² = {layers * kernel**2:,}" in page
    columns = light_columns(page)
    assert abs(columns[0] - first) <= 2  # the frame is two pixels wide
    assert abs(columns[-1] - last) <= 2


def test_receptive_explorer_says_when_the_window_leaves_the_photo() -> None:
    explorer = widgets.receptive_explorer(torch.zeros(3, 60, 90, dtype=torch.uint8), layers=2, strided=0)
    assert "beyond the photo" not in explorer.view.value
    explorer.controls["layers"].value = 8
    explorer.controls["strided"].value = 5
    assert "beyond the photo" in explorer.view.value
    assert "100.0 %" in explorer.view.value
    explorer.controls["layers"].value = 3  # fewer layers than strides: all of them
    assert "3, the first 3 with stride 2" in explorer.view.value


# --- checks ---------------------------------------------------------------------------------------------


def test_the_oracle_of_folding_is_pytorch_s() -> None:
    torch.manual_seed(0)
    pair = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5, eps=1e-3))
    convolution, norm = shake_norms(pair).eval()
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    fused = fuse_conv_bn_eval(convolution, norm)
    weight, bias = checks._fold(
        convolution.weight, norm.weight, norm.bias, *_statistics(norm), norm.eps
    )  # fmt: skip
    torch.testing.assert_close(weight, fused.weight)
    torch.testing.assert_close(bias, fused.bias)


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


@pytest.mark.parametrize("layers", [[(3, 1)], [(3, 2), (5, 1), (1, 2), (3, 1)], [(7, 2), (3, 2)]])
def test_the_oracle_of_the_field_has_the_gradient_s_window(layers: list[tuple[int, int]]) -> None:
    first, last = window_by_gradient(layers, 200)
    assert checks._field(layers) == (last - first + 1, int(np.prod([s for _, s in layers])))


# --- what the prose says --------------------------------------------------------------------------------


def test_statements_about_the_article_s_network() -> None:
    network = YOLOv5("s", 5)
    kernels = {m.kernel_size for m in network.modules() if isinstance(m, nn.Conv2d)}
    assert kernels == {(1, 1), (3, 3)}
    rows = layer_rows(network, 640)
    fields = [row.outputs[0].receptive_field for row in rows]
    assert rows[27].sources == (18, 22, 26)
    assert [rows[i].sources for i in (18, 22, 26)] == [(17,), (21,), (25,)]  # what the head reads
    for i in (17, 21, 25):
        field, step = fields[i] or 0, rows[i].outputs[0].stride or 0
        assert field >= 640 + 2 * step  # a unit in the middle reaches both sides of the image
        assert field / 2 + 2 * step < 640  # one in a corner does not reach the far side
    seven, eight = fields[7], fields[8]
    assert seven is not None
    assert eight is not None
    assert 2.5 < eight / seven < 3  # SPP nearly triples the field
    lit = Counter(row.part for row in figures.map_rows(network) if row.name == "Conv")
    assert lit == {"backbone": 4, "top-down": 2, "bottom-up": 2}
    assert sum(isinstance(m, Conv) for m in network.modules()) > 2 * sum(lit.values())  # most sit inside other rows
    works = {rows[i].flops for i in (1, 3, 5, 7)}
    assert works == {2 * 160 * 160 * 64 * 32 * 9}


def test_nine_factors_of_a_quarter() -> None:
    x = torch.linspace(-9, 9, 1801)
    steepest = figures.slope(figures.ACTIVATIONS["sigmoid"], x).max().item()
    assert steepest == pytest.approx(0.25)
    assert steepest**9 < 4e-6


def test_where_derivatives_exceed_one_and_which_activation_the_quiz_means() -> None:
    x = torch.linspace(0, 6, 60001, dtype=torch.float64)
    for name, start in (("Mish", 0.80), ("SiLU", 1.28)):
        above = figures.slope(figures.ACTIVATIONS[name], x) > 1
        first = x[above].min().item()
        assert round(first, 2) == start
        assert above[x >= first].all()
    at = torch.tensor([-4.0, 0.0, 4.0])
    fitting = [n for n, f in figures.ACTIVATIONS.items() if figures.slope(f, at).tolist() == [0, 0.5, 1]]
    assert fitting == ["Hardswish"]


def test_two_padded_convolutions_are_one_except_along_the_border() -> None:
    torch.manual_seed(0)
    one, two = torch.randn(6, 3, 3, 3), torch.randn(4, 6, 3, 3)
    merged = torch.zeros(4, 3, 5, 5)
    for i in range(3):  # a position of the second kernel moves the first one
        for j in range(3):
            merged[:, :, i : i + 3, j : j + 3] += torch.einsum("oh,hcyx->ocyx", two[:, :, i, j], one)
    x = torch.randn(1, 3, 12, 12)
    conv = torch.nn.functional.conv2d
    difference = (conv(conv(x, one, padding=1), two, padding=1) - conv(x, merged, padding=2)).abs().amax(dim=(0, 1))
    assert difference[1:-1, 1:-1].max() < 1e-3
    assert difference[0].max() > 0.1


def test_leaky_relus_stand_in_convs_and_behind_eight_concatenations() -> None:
    network = YOLOv5("s", 5)
    inside = [m for conv in network.modules() if isinstance(conv, Conv) for m in conv.modules()]
    leaky = [m for m in network.modules() if isinstance(m, nn.LeakyReLU)]
    assert len(leaky) == 59
    assert sum(m in inside for m in leaky) == 51
    stages = [m for m in network.modules() if isinstance(m, BottleneckCSP)]
    assert [isinstance(stage.act, nn.LeakyReLU) for stage in stages] == [True] * 8


def test_a_stride_early_widens_the_field_and_a_stride_late_does_not() -> None:
    early, late = [(3, 2), (3, 1), (3, 1)], [(3, 1), (3, 1), (3, 2)]
    assert checks._field(early)[0] > checks._field(late)[0]
    assert checks._field(early)[1] == checks._field(late)[1]
