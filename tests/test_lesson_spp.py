"""Lesson 05: its figures and its widget show what the live modules do, its numbers are right."""

import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from torch import Tensor, nn

from yolo_edu.course import figures, widgets
from yolo_edu.course.figures.spp import PooledTensor
from yolo_edu.course.figures.spp_photos import cell_window
from yolo_edu.course.widgets import frame
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.model.blocks import SPP, SPPF, Conv
from yolo_edu.model.detect import ANCHORS
from yolo_edu.model.pyramid import SpatialBins
from yolo_edu.summary import layer_rows, parameter_rows


def words(figure: plt.Figure) -> str:
    text = "\n".join(text.get_text() for text in figure.findobj(Text))
    plt.close(figure)
    return text


def window_maxima(x: Tensor, kernel: int, stride: int = 1) -> Tensor:
    """(h, w): slow and obvious; what lies outside the map does not count."""
    r = kernel // 2
    rows, columns = (range(0, side, stride) for side in x.shape)
    return torch.stack(
        [torch.stack([x[max(i - r, 0) : i + r + 1, max(j - r, 0) : j + r + 1].max() for j in columns]) for i in rows]
    )


# --- figures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bins", "channels"), [((1, 2, 4), 256), ((1, 3), 10), ((2, 3, 6), 7)])
def test_the_figure_of_the_bins_counts_with_the_module(bins: tuple[int, ...], channels: int) -> None:
    text = words(figures.spp_bins(SpatialBins(bins), channels))
    for m in bins:
        maxima = "1 maximum" if m == 1 else f"{m * m} maxima"
        assert f"{m} × {m} bins\n{maxima} × {channels}\n= {m * m * channels:,} numbers" in text
    assert f"{sum(m * m for m in bins) * channels:,} numbers,\nwhatever" in text


def test_the_figure_of_spp_reads_the_live_network() -> None:
    text = words(figures.spp_in_yolo())
    assert "row 8: SPP" in text
    assert text.count("512\n20 × 20") == 2
    assert "C: concatenate" in text
    assert text.count("256\n20 × 20") == 4
    assert "cv1: Conv\n1 × 1\n512 → 256" in text
    assert "cv2: Conv\n1 × 1\n1,024 → 512" in text
    assert all(f"max {k} × {k}\nstride 1" in text for k in (5, 9, 13))
    with torch.device("meta"):
        model = YOLOv5("n", 5)
        model.model[8] = SPP(256, 256, (3, 7))
    text = words(figures.spp_in_yolo(model, size=320))
    assert text.count("128\n10 × 10") == 3
    assert text.count("256\n10 × 10") == 2
    assert "max 3 × 3" in text
    assert "max 7 × 7" in text
    assert "max 5 × 5" not in text
    assert "cv1: Conv\n1 × 1\n256 → 128" in text
    assert "cv2: Conv\n1 × 1\n384 → 256" in text


def test_the_figure_of_sppf_reads_the_live_network() -> None:
    text = words(figures.sppf_in_yolo())
    assert "row 9: SPPF" in text
    assert text.count("max 5 × 5\nstride 1") == 3


def test_block_flow_sees_who_reads_whom() -> None:
    shape = (1, 4, 6, 7)
    flow = figures.block_flow(SPP(8, 10, (3, 5)), (1, 8, 6, 7))
    assert flow.lanes == [PooledTensor(0, 1, -1, shape), PooledTensor(3, 1, 0, shape), PooledTensor(5, 1, 0, shape)]
    assert (flow.joined, flow.output) == ((1, 12, 6, 7), (1, 10, 6, 7))
    flow = figures.block_flow(SPPF(8, 10, 3), (1, 8, 6, 7))
    assert [(lane.kernel, lane.source) for lane in flow.lanes] == [(0, -1), (3, 0), (3, 1), (3, 2)]
    assert (flow.joined, flow.output) == ((1, 16, 6, 7), (1, 10, 6, 7))


def test_block_flow_leaves_the_block_as_it_was() -> None:
    block = SPPF(8, 10).train()
    before = {name: value.clone() for name, value in block.state_dict().items()}
    figures.block_flow(block, (1, 8, 6, 7))
    assert block.training
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())
    assert not any(module._forward_hooks for module in block.modules())


def test_a_cell_s_window_is_the_pixels_that_change_it() -> None:
    torch.manual_seed(0)
    model = YOLOv5("n", 2).double().eval()
    x = torch.rand(1, 3, 320, 320, dtype=torch.float64, requires_grad=True)
    y = x
    for module in model.model[:6]:
        y = module(y)
    (gradient,) = torch.autograd.grad(y[0, :, 9, 9].sum(), x)
    columns = gradient[0].abs().amax(dim=(0, 1)).nonzero()
    assert cell_window(model, 5, 9, 320) == (int(columns.min()), int(columns.max()))


def test_the_windows_on_a_photo_are_the_live_network_s() -> None:
    with torch.device("meta"):
        model = YOLOv5("n", 5)
        model.model[8] = SPP(256, 256, (3, 7))
    text = words(figures.windows_on_photo(torch.zeros(3, 640, 640, dtype=torch.uint8), model))
    first, last = cell_window(model, 7, 9, 640)
    assert f"window {last + 1 - first} × {last + 1 - first}" in text
    assert "largest anchor {:g} × {:g}".format(*ANCHORS[-1][-1]) in text
    assert "3 × 3 cells" in text
    assert "7 × 7 cells" in text
    assert "5 × 5 cells" not in text


def test_influence_is_drawn_as_shares_of_the_strongest_pixel() -> None:
    influence = torch.tensor([[0.0, 1e-8], [2.0, 8.0]])
    figure = figures.influence_maps(torch.zeros(3, 2, 2), [influence, influence / 4], ["a", "b"])
    for ax in figure.axes[1:3]:
        assert np.allclose(ax.images[0].get_array(), influence / 8)
    image = figure.axes[1].images[0]
    faint, dark = image.cmap(image.norm(influence.numpy() / 8))[0, 1], image.cmap(0)
    assert tuple(faint) == dark  # below the scale as dark as nothing
    assert "influence (1: the strongest pixel)" in words(figure)


def test_marked_cells_are_framed() -> None:
    figure = figures.map_grid([torch.zeros(2, 3)] * 2)
    before = [len(ax.patches) for ax in figure.axes]
    figures.mark_cells(figure, 1, torch.tensor([[True, False, False], [False, False, True]]))
    assert [len(ax.patches) for ax in figure.axes] == [before[0], before[1] + 2]
    middles = [patch.get_center() for patch in figure.axes[1].patches[-2:]]
    assert np.allclose(middles, [(0, 0), (2, 1)])  # x: column, y: row


# --- widget ---------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: calls.append((widget, fallback)))
    return calls


def test_pooling_explorer_starts_where_it_is_told(shown: list[tuple[Any, str]]) -> None:
    torch.manual_seed(0)
    explorer = widgets.pooling_explorer(torch.randn(20, 20), name="noise", kernel=9, repeats=2)
    assert {name: control.value for name, control in explorer.controls.items()} == {
        "source": "noise",
        "kernel": 9,
        "repeats": 2,
        "stride": 1,
    }
    assert "window of <b>17 × 17</b>" in explorer.view.value
    assert shown[0][1].startswith(explorer.view.value)  # the page without widgets shows the default state


@pytest.mark.parametrize("stride", [1, 0])
@pytest.mark.parametrize(("kernel", "repeats"), [(1, 1), (5, 1), (3, 2), (5, 3), (21, 1), (7, 4)])
def test_pooling_explorer_says_what_slow_pools_give(
    shown: list[tuple[Any, str]], kernel: int, repeats: int, stride: int
) -> None:
    torch.manual_seed(1)
    features = torch.randn(14, 20) - 1
    explorer = widgets.pooling_explorer(features)
    for name, value in (("kernel", kernel), ("repeats", repeats), ("stride", stride)):
        explorer.controls[name].value = value
    y, window, step = features, 1, 1
    for _ in range(repeats):
        y = window_maxima(y, kernel, stride or kernel)
        window, step = window + (kernel - 1) * step, step * (stride or kernel)
    active = [int((x > (features.min() + features.max()) / 2).sum()) for x in (features, y)]
    text = explorer.view.value
    assert f"of {kernel} × {kernel} at stride {stride or kernel}:" in text
    assert f"window of <b>{window} × {window}</b> input cells" in text
    assert f"14 × 20 → <b>{y.shape[0]} × {y.shape[1]}</b>" in text
    assert f"{active[0]} of 280 → <b>{active[1]}</b> of {y.numel()}" in text
    assert f'alt="The output, {y.shape[0]} × {y.shape[1]} cells, {active[1]} of them active"' in text


def test_pooling_explorer_has_drawn_maps(shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.pooling_explorer(torch.zeros(20, 20))
    explorer.controls["source"].value = "one active cell"
    assert "1 of 400 → <b>25</b> of 400" in explorer.view.value
    pictures = re.findall(r'src="([^"]+)"', explorer.view.value)
    explorer.controls["kernel"].value = 13
    assert "1 of 400 → <b>169</b> of 400" in explorer.view.value
    assert re.findall(r'src="([^"]+)"', explorer.view.value)[1] != pictures[1]
    explorer.controls["source"].value = "four active cells"
    assert "4 of 400 → " in explorer.view.value


# --- what the lesson says -------------------------------------------------------------------------------


def test_the_numbers_of_the_block() -> None:
    model = YOLOv5("s", 5)
    rows = layer_rows(model, 640)
    assert [rows[i].outputs[0].receptive_field for i in (7, 8)] == [218, 602]
    assert sum(row.parameters for row in parameter_rows(model)[87:93]) == rows[8].parameters == 656_896
    assert all(row.name.startswith("model.8.") for row in parameter_rows(model)[87:93])
    assert f"{rows[8].flops / 1e9:.3f}" == "0.524"
    assert rows[8].outputs[0].shape == (1, 512, 20, 20)
    assert layer_rows(model, 320)[8].outputs[0].shape == (1, 512, 10, 10)
    assert layer_rows(YOLOv5v6("s", 5), 640)[9].block == "SPPF"
    assert min(ANCHORS[-1][-1]) > 218  # "larger than the window of a cell at this point"
    card_detector = layer_rows(YOLOv5v6("n", 5), 960)  # release 7.0, size n
    assert [card_detector[i].outputs[0].receptive_field for i in (8, 9)] == [266, 266 + 384]
    model.model[8] = Conv(512, 512)
    last = layer_rows(model, 640)[25].outputs[0].receptive_field
    assert last is not None
    assert max(ANCHORS[-1][-1]) < last < 1.5 * max(ANCHORS[-1][-1])  # "just hold the largest anchor"


def test_six_convolutions_reach_as_far_for_twice_the_network() -> None:
    stack = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(6)))
    pools = nn.Sequential(SPP(3, 3))
    fields = [layer_rows(network, 32)[-1].outputs[0].receptive_field for network in (stack, pools)]
    assert fields == [13, 13]
    six = 6 * sum(p.numel() for p in Conv(512, 512, 3).parameters())
    assert six / sum(p.numel() for p in YOLOv5("s", 5).parameters()) == pytest.approx(2, abs=0.1)


def test_another_order_loads() -> None:
    torch.manual_seed(2)
    trained, other = SPP(16, 8).eval(), SPP(16, 8, (13, 9, 5)).eval()
    other.load_state_dict(trained.state_dict())
    x = torch.randn(1, 16, 20, 20)
    assert not torch.allclose(trained(x), other(x), atol=0.01)


def test_on_a_small_map_the_middle_hears_everything() -> None:
    """The quiz: 8 × 8 cells and a window of 13."""
    torch.manual_seed(3)
    x = torch.randn(1, 1, 8, 8) - 5
    y = nn.MaxPool2d(13, 1, 6)(x)
    assert torch.equal(y[..., 1:7, 1:7], x.max().expand(1, 1, 6, 6))
    assert torch.equal(y[0, 0], window_maxima(x[0, 0], 13))
