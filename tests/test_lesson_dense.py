"""Lesson 02: its figures read live modules, its widget redraws what it claims, its numbers are so."""

import base64
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from networks import count
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.figures import dense_table
from yolo_edu.course.widgets import frame
from yolo_edu.model.dense import DenseBlock, DenseLayer, DenseNet, DensePlan


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def words(figure: plt.Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_text())


# --- the figures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize(("c_in", "layers", "growth"), [(6, 4, 4), (3, 1, 5), (8, 3, 2)])
def test_reads_of_a_block_are_all_earlier_outputs(c_in: int, layers: int, growth: int, bottleneck: bool) -> None:
    block = DenseBlock(c_in, layers, growth, bottleneck=bottleneck)
    before = {name: value.clone() for name, value in block.state_dict().items()}
    reads = figures.block_reads(block)
    assert reads == [[(0, c_in), *((j, growth) for j in range(1, i + 1))] for i in range(layers + 1)]
    assert block.training
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())
    assert not any(module._forward_hooks for module in block.modules())


class NewFirst(DenseBlock):
    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([layer(x), x], dim=1)
        return x


class Detached(DenseBlock):
    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x) + 1], dim=1)
        return x


def test_reads_follow_the_block_s_own_wiring() -> None:
    assert figures.block_reads(NewFirst(6, 2, 4)) == [[(0, 6)], [(1, 4), (0, 6)], [(2, 4), (1, 4), (0, 6)]]
    with pytest.raises(ValueError, match="channel 6 of an input is no earlier output"):
        figures.block_reads(Detached(6, 2, 4))


def test_the_diagram_counts_the_block_it_is_given() -> None:
    usual = words(figures.dense_block_diagram())
    for text in (
        "reads 18\n= 6+4+4+4",
        "10 connections into 4 layers: 4 straight, 6 bows. The other 4 bows lead to",
        "= 22 maps",
        "Conv 3×3",
    ):
        assert text in usual
    assert "Conv 1×1" not in usual
    other = words(figures.dense_block_diagram(DenseBlock(5, 3, 7)))
    for text in (
        "reads 19\n= 5+7+7",
        "6 connections into 3 layers: 3 straight, 3 bows. The other 3 bows lead to the transition",
        "5+7+7+7 = 26 maps",
        "Conv 1×1",
    ):
        assert text in other


def test_ages_go_from_dark_to_light() -> None:
    shades = [sum(int(figures.age_color(i, 5)[k : k + 2], 16) for k in (1, 3, 5)) for i in range(5)]
    assert shades == sorted(shades)
    assert figures.age_color(0, 1).startswith("#")


def small(growth: int = 8, compression: float = 0.5) -> DenseNet:
    with torch.device("meta"):
        return DenseNet(DensePlan((2, 3), growth), classes=7, compression=compression)


def test_stages_by_hand() -> None:
    model = small()
    stages = figures.densenet_stages(model, 64)
    assert [(s.kind, s.channels, s.side) for s in stages] == [
        ("image", 3, 64),
        ("stem", 16, 32),
        ("stem", 16, 16),
        ("block", 16 + 2 * 8, 16),
        ("transition", 16, 8),
        ("block", 16 + 3 * 8, 8),
        ("mean", 40, 1),
        ("linear", 7, 1),
    ]
    assert stages[3].words == "block 1\n2 layers"
    assert stages[4].words == "transition\nBN, ReLU\nConv 1×1\nmean 2×2"
    assert [s.cell for s in stages[1:3]] == ["Conv 7×7, stride 2", "max 3×3, stride 2"]
    assert [s.kind for s in dense_table.in_tiles(stages)] == [
        "image", "stem", "block", "transition", "block", "linear",
    ]  # fmt: skip
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_the_densenet_diagram_follows_the_model() -> None:
    assert "2 blocks with 5 dense layers, 1 transitions between them, each halves" in words(
        figures.densenet_diagram(small(), size=64)
    )
    text = words(figures.densenet_diagram(small(growth=12, compression=1.0), size=64))
    assert "each halves" not in text
    assert "48\n16 × 16" in text  # 24 + 2 · 12
    usual = words(figures.densenet_diagram())
    assert "4 blocks with 58 dense layers, 3 transitions between them, each halves channels and grid" in usual
    assert "1,024\n14 × 14" in usual


def test_the_table_holds_the_numbers_of_its_networks() -> None:
    text = words(figures.densenet_table((121, 169)))
    for depth in (121, 169):
        with torch.device("meta"):
            model = DenseNet(depth)
        assert f"{count(model):,}" in text
        assert f"DenseNet-{depth}" in text
    assert "× 32  →  1,664" in text
    assert "264" not in text
    assert "GFLOPs" in text


def test_names_and_counts_of_a_network() -> None:
    block = DenseLayer(6, 4)
    assert dense_table.names_of(block) == ["BN", "ReLU", "Conv 1×1", "BN", "ReLU", "Conv 3×3"]
    model = small()
    assert dense_table.weight_layers(model) == 1 + 2 * 5 + 1 + 1
    # By hand for one image of 64: 2 · multiply-adds of every convolution and the linear layer.
    hand = 32 * 32 * 16 * 3 * 49
    for side, c, layers in ((16, 16, 2), (8, 16, 3)):
        hand += sum(side * side * ((c + 8 * i) * 32 + 32 * 8 * 9) for i in range(layers))
    hand += 16 * 16 * 32 * 16 + 40 * 7
    assert dense_table.densenet_gflops(model, 64) == pytest.approx(2 * hand / 1e9)


def test_curves_and_grids_show_what_they_are_given() -> None:
    figure = figures.gradient_curves({"one": [0.1, 1], "two": [3.0, 1]})
    assert [np.asarray(line.get_ydata()).tolist() for line in figure.axes[0].lines[:2]] == [[0.1, 1], [3.0, 1]]
    assert "one" in words(figure)
    figure = figures.stored_curves((1, 2), {"as written": [96, 208]})
    assert np.asarray(figure.axes[0].lines[0].get_ydata()).tolist() == [96, 208]
    grid = figures.reuse_grid({"before": [[1.5], [0.25, 0.75]], "after": [[0.5], [0.1, 0.2]]}, ["H1", "H2"])
    for part in ("1.50", "0.25", "0.75", "0.10", "H2", "$x_1$", "before", "after"):
        assert part in words(grid)
    images = [ax.images[0] for ax in grid.axes]
    assert [image.get_clim() for image in images] == [(0, 1.5)] * 2  # shades can be compared


# --- the widget -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize(("c_in", "layers", "growth"), [(16, 5, 8), (64, 6, 32), (3, 1, 4)])
def test_cost_of_a_block(c_in: int, layers: int, growth: int, bottleneck: bool) -> None:
    """Against the whole block, with numbers in it; and stored channels against a formula."""
    cost = widgets.dense_block_cost(c_in, layers, growth, bottleneck=bottleneck)
    block, x = DenseBlock(c_in, layers, growth, bottleneck=bottleneck), torch.randn(1, c_in, 5, 5)
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.shape[-2:] == (5, 5):
            kept[tensor.data_ptr()] = tensor.shape[1]
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t), FlopCounterMode(display=False) as counter:
        result = block(x)
    assert result.requires_grad
    assert cost.parameters == count(block)
    assert cost.flops * 25 == counter.get_total_flops()
    reads = [c_in + i * growth for i in range(layers)]
    assert cost.stored == sum(kept.values()) == sum(2 * c + 8 * growth * bottleneck for c in reads)


def test_growth_explorer_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[str] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: pages.append(fallback))
    explorer = widgets.growth_explorer()
    view = explorer.view

    def numbers() -> list[str]:
        return re.findall(r"<b>([\d,.]+)</b>", view.value)

    assert numbers() == ["256", "335,040", "2,081", "3,264", "12.8"]
    assert "(without the bottleneck: 250,560 and 1,561)" in view.value
    assert "39.0 MiB" in view.value  # 3,264 · 56 · 56 · 4 bytes
    assert "layer 1 reads 64 channels, the last layer 224" in view.value
    assert "<b>3,264</b> = 2 · 864 + 6 · 256 channels" in view.value
    assert pages[0].startswith(view.value)
    picture = re.search(r'src="[^"]+"', view.value)
    explorer.controls["growth"].value = 12
    assert numbers()[0] == str(64 + 6 * 12)
    assert re.search(r'src="[^"]+"', view.value) != picture
    explorer.controls["layers"].value = 1
    assert numbers()[0] == str(64 + 12)
    assert numbers()[1] == f"{count(DenseLayer(64, 12)):,}"
    explorer.controls["bottleneck"].value = False
    assert numbers()[1] == f"{count(DenseLayer(64, 12, bottleneck=False)):,}"
    assert "<b>128</b> = 2 · 64 channels" in view.value
    assert "(with the bottleneck:" in view.value
    explorer.controls["layers"].value = 16
    explorer.controls["growth"].value = 48
    assert numbers()[0] == str(64 + 16 * 48)


@pytest.mark.parametrize(("layers", "growth"), [(6, 32), (1, 4), (16, 48)])
def test_the_staircase_draws_what_each_layer_reads(monkeypatch: pytest.MonkeyPatch, layers: int, growth: int) -> None:
    monkeypatch.setattr(frame, "show", lambda widget, fallback: None)
    view = widgets.growth_explorer(layers=layers, growth=growth).view
    source = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', view.value)
    assert source is not None
    page = ElementTree.fromstring(base64.b64decode(source[1]))
    width, height = float(page.attrib["width"]), float(page.attrib["height"])
    tag = "{http://www.w3.org/2000/svg}"
    rows: dict[float, list[tuple[float, float]]] = {}
    for bar in page.findall(f"{tag}rect")[1:]:  # the first is the page
        x, y, w, h = (float(bar.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x + w <= width
        assert y + h <= height
        rows.setdefault(y, []).append((x, w))
    assert [len(row) for row in rows.values()] == list(range(1, layers + 2))
    ends = [row[-1][0] + row[-1][1] - row[0][0] for row in rows.values()]
    unit = ends[-1] / (64 + layers * growth)
    assert ends == pytest.approx([(64 + i * growth) * unit for i in range(layers + 1)], abs=0.3)
    texts = [text.text for text in page.findall(f"{tag}text")]
    for words_ in ("layer 1", "behind", "reads 64", f"{64 + layers * growth} leave"):
        assert words_ in texts


def test_what_there_is_to_find_in_the_widget() -> None:
    wide, narrow = widgets.dense_block_cost(64, 6, 32), widgets.dense_block_cost(64, 12, 16)
    assert narrow.parameters < wide.parameters
    assert [round(cost.flops * 56 * 56 / 1e6) for cost in (wide, narrow)] == [2081, 1426]
    assert narrow.stored > wide.stored

    def saves(layers: int, growth: int) -> bool:
        squeezed, plain = (widgets.dense_block_cost(64, layers, growth, bottleneck=b) for b in (True, False))
        return squeezed.parameters < plain.parameters

    assert [growth for growth in range(4, 49, 4) if saves(6, growth)] == [4, 8, 12]
    assert [layers for layers in range(1, 17) if saves(layers, 32)] == [12, 13, 14, 15, 16]


# --- numbers of the lesson ------------------------------------------------------------------------------


@pytest.mark.parametrize("growth", [4, 12, 32, 48])
def test_where_the_bottleneck_pays(growth: int) -> None:
    """9 c k weights against 4 k c + 36 k²: at 7.2 k channels, and the BatchNorms move that by two at most."""
    for c in range(1, 16 * growth):
        plain, squeezed = 2 * c + 9 * c * growth, 2 * c + 4 * c * growth + 8 * growth + 36 * growth**2
        assert (squeezed < plain) == (c > 7.2 * growth + 1.6)
    with torch.device("meta"):
        assert count(DenseLayer(100, growth)) == 200 + 400 * growth + 8 * growth + 36 * growth**2
        assert count(DenseLayer(100, growth, bottleneck=False)) == 200 + 900 * growth


def test_what_the_blocks_of_121_read() -> None:
    with torch.device("meta"):
        model = DenseNet(121)
    blocks = [stage for stage in model.stages if isinstance(stage, DenseBlock)]
    norms = [[m for m in block.modules() if isinstance(m, nn.BatchNorm2d)][::2] for block in blocks]
    reads = [[norm.num_features for norm in of_block] for of_block in norms]
    assert (reads[0][0], reads[0][-1]) == (64, 224)
    assert (reads[2][0], reads[2][-1]) == (256, 992)


def flow(layers: list[nn.Module], x: Tensor, *, dense: bool = False) -> float:
    outputs = []
    for layer in layers:
        outputs.append(layer(x))
        x = torch.cat([x, outputs[-1]], dim=1) if dense else outputs[-1]
    first, *_, last = torch.autograd.grad((x * torch.randn(x.shape)).sum(), outputs)
    return (first.norm() / last.norm()).item()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("depth", "vanished", "grown", "dense"), [(20, 1e-5, 8, 8), (40, 1e-11, 200, 12)])
def test_gradients_for_other_seeds(seed: int, depth: int, vanished: float, grown: float, dense: float) -> None:
    torch.manual_seed(seed)

    def unit(norm: bool) -> nn.Module:
        return nn.Sequential(
            nn.BatchNorm2d(16) if norm else nn.Identity(), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, bias=False)
        )

    x = torch.randn(4, 16, 16, 16)
    assert flow([unit(False) for _ in range(depth)], x) < vanished
    assert flow([unit(True) for _ in range(depth)], x) > grown
    layers: list[nn.Module] = [DenseLayer(16 + 4 * i, 4, bottleneck=False) for i in range(depth)]
    assert 1 < flow(layers, x, dense=True) < dense


def test_default_weights_are_small() -> None:
    """PyTorch's weights are √6 times smaller than He's, and 19 layers of that make 4e-8."""
    usual = nn.Conv2d(64, 512, 3).weight
    assert (nn.init.kaiming_normal_(torch.empty_like(usual)).std() / usual.std()).item() == pytest.approx(6**0.5, 0.01)
    assert f"{6**-0.5:.2f}" == "0.41"
    assert f"{6**-9.5:.0e}" == "4e-08"


def test_counts_are_the_live_block_s(capsys: pytest.CaptureFixture[str]) -> None:
    block = checks.counted_block()
    mine = {
        "channels out": 24 + 3 * 8,
        "read by layers.2": 24 + 2 * 8,
        "layers.0": count(block.layers[0]),
        "layers.2": count(block.layers[2]),
        "all": count(block),
    }
    assert checks.dense_counts(mine) == mine
    assert capsys.readouterr().out.startswith("2.2 is right")
    assert block(torch.randn(2, 24, 3, 3)).shape[1] == mine["channels out"]
