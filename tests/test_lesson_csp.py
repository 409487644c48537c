"""Lesson 03: its figures read live modules, its widget says what it measures, its costs are counted right."""

import base64
import re
from pathlib import Path
from typing import Any

import build
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from networks import count
from torch import Tensor, nn

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.activations import row_outputs
from yolo_edu.course.figures.csp_stages import widths
from yolo_edu.course.widgets import csp as csp_widgets
from yolo_edu.course.widgets import frame
from yolo_edu.data import DetectionData, collate, read_spec
from yolo_edu.model import YOLOv5
from yolo_edu.model.blocks import C3, BottleneckCSP, Conv
from yolo_edu.model.dense import CSPDenseBlock, DenseBlock, DenseLayer, Transition


def words(figure: Figure) -> list[str]:
    found = [text.get_text() for text in figure.findobj(Text) if text.get_text()]
    plt.close(figure)
    return found


# --- figures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("c_in", "layers", "growth", "bypass"), [(16, 4, 8, 0.5), (64, 6, 32, 0.25), (40, 3, 10, 0.75)]
)
def test_the_split_is_drawn_from_the_block(c_in: int, layers: int, growth: int, bypass: float) -> None:
    text = words(figures.csp_split(CSPDenseBlock(c_in, layers, growth, bypass=bypass)))
    around = int(c_in * bypass)
    wide = c_in - around + layers * growth
    for number in (around, c_in - around, wide, wide // 2, around + wide // 2, (c_in + layers * growth) // 2):
        assert str(number) in text
    assert f"x₀: {c_in}" in text
    assert f"dense block\n{layers} layers,\n+{growth} each" in text
    assert f"x₀′ goes round: {around} channels, nothing is computed" in text


def test_dense_beside_csp_follows_its_modules() -> None:
    plain = nn.Sequential(DenseBlock(20, 3, 6), Transition(38, 19))
    text = words(figures.dense_beside_csp(plain, CSPDenseBlock(20, 3, 6, bypass=0.25)))
    for line in ("dense layer 1: 20 → 6", "dense layer 3: 32 → 6", "transition: 38 → 19"):
        assert line in text
    for line in ("dense layer 1: 15 → 6", "dense layer 3: 27 → 6", "transition 1: 33 → 16", "transition 2: 21 → 19"):
        assert line in text


def test_bottleneck_csp_beside_c3_follows_its_modules() -> None:
    csp, c3 = BottleneckCSP(48, 96, 3, shortcut=False), C3(48, 80, 2)
    text = words(figures.bottleneck_csp_beside_c3(csp, c3))
    assert not any("parameters" in line for line in text)  # the lesson asks for them further down
    for line in (
        "cv1   Conv 1 × 1\n48 → 48",
        "cv2   Conv2d 1 × 1\n48 → 48",
        "cv3   Conv2d 1 × 1\n48 → 48",
        "bn, act   96",
        "cv4   Conv 1 × 1\n96 → 96",
        "m   3 × Bottleneck\n1 × 1, 3 × 3",
        "cv2   Conv 1 × 1\n48 → 40",
        "cv3   Conv 1 × 1\n80 → 80",
        "m   2 × Bottleneck\n1 × 1, 3 × 3, + input",
        "x: 48",
    ):
        assert line in text, line


def test_gradient_terms_write_each_norm_in_its_cell() -> None:
    ledger = {("a", "R"): torch.full((4,), 3.0), ("a", "S"): torch.full((4,), 10.0), ("b", "S"): torch.full((1,), 2.0)}
    figure = figures.gradient_terms({"some": ledger, "other": {("c", "Q"): torch.full((4,), 5.0)}})
    first = figure.axes[0]
    assert [(t.get_text(), t.get_position()) for t in first.texts] == [
        ("6", (0.5, 0.5)),
        ("20", (1.5, 0.5)),
        ("2", (1.5, 1.5)),
    ]
    assert first.get_title() == "some: 3 terms"
    text = words(figure)
    assert {"a", "b", "c", "Q", "R", "S", "other: 1 terms"} <= set(text)


def test_gradient_terms_share_one_scale_and_set_apart_what_they_are_told() -> None:
    ten, five = torch.full((4,), 5.0), torch.full((1,), 5.0)
    ledger = {("a", "R"): ten, ("b", "R"): five, ("b", "S"): ten}
    figure = figures.gradient_terms({"x": ledger, "y": {("c", "Q"): five}}, top=["b"], apart=["S"])
    first, second = figure.axes
    assert [t.get_text() for t in first.get_yticklabels()] == ["b", "a"]
    column, *cells = [patch for patch in first.patches if isinstance(patch, Rectangle)]
    assert (column.get_xy(), column.get_width(), column.get_height()) == ((1, 0), 1, 2)
    shades = {cell.get_xy(): cell.get_facecolor() for cell in cells}
    assert set(shades) == {(0, 1), (0, 0), (1, 0)}
    assert shades[0, 1] == shades[1, 0] != shades[0, 0]
    assert second.patches[0].get_facecolor() == shades[0, 0]  # five, in either table
    plt.close(figure)


def test_ledger_terms_by_hand() -> None:
    """A term is the gradient that arrives when all other readers see the tensor detached."""
    torch.manual_seed(0)
    block, end = DenseBlock(4, 2, 3), Transition(10, 5)
    x, g = torch.randn(2, 4, 4, 4, requires_grad=True), torch.randn(2, 5, 2, 2)

    ledger = figures.GradientLedger()
    result = end(ledger.read("T", ledger.layers(block, {"x0": x})))
    assert torch.equal(result, end(block(x)))
    result.backward(g)
    terms = ledger.terms()
    readers = {"x0": ["H1", "H2", "T"], "x1": ["H2", "T"], "x2": ["T"]}
    assert list(terms) == [
        (name, reader) for reader in ("H1", "H2", "T") for name in readers if reader in readers[name]
    ]
    assert x.grad is not None
    torch.testing.assert_close(sum(terms["x0", reader] for reader in readers["x0"]), x.grad)

    for name, all_readers in readers.items():
        for reader in all_readers:

            def seen(source: str, by: str, tensor: Tensor, name: str = name, reader: str = reader) -> Tensor:
                return tensor if source != name or by == reader else tensor.detach()

            x0 = x.detach().requires_grad_()
            x1 = block.layers[0](seen("x0", "H1", x0))
            x2 = block.layers[1](torch.cat([seen("x0", "H2", x0), seen("x1", "H2", x1)], dim=1))
            out = end(torch.cat([seen("x0", "T", x0), seen("x1", "T", x1), seen("x2", "T", x2)], dim=1))
            (expected,) = torch.autograd.grad(out, {"x0": x0, "x1": x1, "x2": x2}[name], g)
            torch.testing.assert_close(terms[name, reader], expected)


def test_outlined_maps_draw_each_box_at_the_same_place_of_every_tile() -> None:
    boxes = torch.tensor([[8.0, 16.0, 24.0, 32.0]])
    figure = figures.outlined_maps([torch.zeros(3, 64, 48), torch.zeros(8, 6)], ["photo", "map"], boxes, columns=2)
    for ax, cell in zip(figure.axes, (1, 8), strict=True):  # pixels a cell
        outline = ax.patches[-1]
        assert isinstance(outline, Rectangle)
        assert outline.get_xy() == (8 / cell - 0.5, 16 / cell - 0.5)
        assert (outline.get_width(), outline.get_height()) == (16 / cell, 16 / cell)
    plt.close(figure)


def test_widths_are_the_first_and_the_last() -> None:
    assert widths(Conv(3, 7)) == (3, 7)
    assert widths(BottleneckCSP(6, 12)) == (6, 6)  # in the order of construction: cv1 … the last bottleneck
    assert widths(Transition(9, 4)) == (9, 4)


def test_the_map_s_description_names_the_rows() -> None:
    with torch.device("meta"):
        rows = [r for r in figures.map_rows(YOLOv5("s", 5)) if r.name == "BottleneckCSP"]
    assert [r.number for r in rows if r.part == "backbone"] == [2, 4, 6, 9]
    assert [r.number for r in rows if r.part != "backbone"] == [13, 17, 21, 25]


# --- costs -----------------------------------------------------------------------------------------------


def test_stored_activations_by_hand() -> None:
    """Each dense layer keeps what it reads, ReLU's output, and the same of its bottleneck; so does each transition."""
    c_in, layers, growth, cells = 10, 3, 4, 2 * 6 * 8
    x = torch.randn(2, c_in, 6, 8)
    wide = c_in + layers * growth
    dense = sum(2 * (c_in + i * growth) + 2 * 4 * growth for i in range(layers))
    transition = 2 * wide + wide // 2  # the mean of 2 × 2 keeps its input too
    cost = widgets.stage_cost(nn.Sequential(DenseBlock(c_in, layers, growth), Transition(wide, wide // 2)), x)
    assert cost.stored == (dense + transition) * cells
    squeeze = sum((c_in + i * growth) * 4 * growth for i in range(layers))
    weights = squeeze + layers * 4 * growth * growth * 9 + wide * (wide // 2)
    assert cost.flops == 2 * weights * cells
    norms = sum(2 * (c_in + i * growth) + 2 * 4 * growth for i in range(layers)) + 2 * wide
    assert cost.parameters == weights + norms


def test_stored_activations_of_an_in_place_chain() -> None:
    """Conv keeps its input and what the convolution put out; the activation's result takes BatchNorm's place."""
    x = torch.randn(1, 3, 5, 5)
    assert widgets.stage_cost(Conv(3, 4), x).stored == (3 + 4 + 4) * 25
    assert widgets.stage_cost(nn.Sequential(Conv(3, 4), Conv(4, 2)), x).stored == (3 + 4 + 4 + 2 + 2) * 25


@pytest.mark.parametrize("size", [4, 6, 14])
def test_costs_grow_with_the_cells(size: int) -> None:
    """The widget measures on a small grid and scales up."""
    stage = CSPDenseBlock(12, 3, 4)
    small = widgets.stage_cost(stage, torch.zeros(1, 12, csp_widgets.GRID, csp_widgets.GRID))
    large = widgets.stage_cost(stage, torch.zeros(1, 12, size, size))
    factor = size * size / csp_widgets.GRID**2
    assert large.flops == small.flops * factor
    assert large.stored == small.stored * factor
    assert large.parameters == small.parameters


# --- the widget ------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: calls.append((widget, fallback)))
    return calls


def drawing(page: str) -> str:
    encoded = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert encoded
    return base64.b64decode(encoded[1]).decode()


def test_split_explorer_shows_the_cost_of_its_setting(shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.split_explorer(c_in=16, size=8, layers=2, growth=8)
    assert shown[0][1].startswith(explorer.view.value)
    for bypass, layers, growth in ((0.5, 2, 8), (0.125, 12, 32), (0.875, 6, 16)):
        for name, value in (("bypass", bypass), ("layers", layers), ("growth", growth)):
            explorer.controls[name].value = value
        around, wide = int(16 * bypass), 16 + layers * growth
        csp = CSPDenseBlock(16, layers, growth, bypass=bypass)
        plain = nn.Sequential(DenseBlock(16, layers, growth), Transition(wide, wide // 2))
        a, b = (widgets.stage_cost(stage, torch.zeros(1, 16, 8, 8)) for stage in (csp, plain))
        page = explorer.view.value
        assert f"With <b>{around}</b> of 16 channels going round" in page
        assert f"has <b>{a.parameters / b.parameters:.2f}</b> of the dense stage's parameters" in page
        assert f"does <b>{a.flops / b.flops:.2f}</b> of its FLOPs" in page
        assert f"keeps <b>{a.stored / b.stored:.2f}</b> of its activations" in page
        assert f"computes <b>{'more' if a.flops > b.flops else 'less'}</b>" in page
        assert f"put out {csp.channels} channels of 4 × 4 cells" in page
        svg = drawing(page)
        dense, mixed = csp.block.channels, widths(csp.partial)[1]
        for number in (16, dense, mixed, around + mixed, csp.channels):
            assert f'font-weight="bold">{number}</text>' in svg
        assert f">{layers} layers, +{growth}</text>" in svg
        assert f">{around} channels go round</text>" in svg
        assert f">{a.stored * 4 / 1e6:,.1f} of {b.stored * 4 / 1e6:,.1f} MB</text>" in svg
        alt = re.search(r'alt="([^"]+)"', page)
        assert alt
        assert f"split into {around} that go round and {16 - around} that go through" in alt[1]


def test_split_explorer_measures_nothing_while_a_slider_moves(
    shown: list[tuple[Any, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer = widgets.split_explorer(c_in=16)

    def never(*_: object) -> None:
        raise AssertionError("measured on a move")

    monkeypatch.setattr(csp_widgets, "stage_cost", never)
    before = explorer.view.value
    explorer.controls["growth"].value = 8
    assert explorer.view.value != before


# --- prose -----------------------------------------------------------------------------------------------

SCRIPT: Path = build.SOURCES / "03_csp.py"


def test_numbers_in_the_prose() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    last = DenseBlock(64, 6, 32).layers[-1]
    assert isinstance(last, DenseLayer)
    assert widths(last)[0] == 64 + 5 * 32 == 224
    assert "64 + 5 · 32 = 224 channels" in text
    assert widths(last.grow)[0] == 128
    assert "they read the 128 channels" in text
    stage = CSPDenseBlock(16, 4, 8)
    assert (stage.block.channels, widths(stage.partial)[1], widths(stage.transition)[0]) == (40, 20, 28)
    # "too few are saved to pay for the first transition"
    little = widgets.stage_cost(CSPDenseBlock(64, 6, 32, bypass=1 / 8), torch.zeros(1, 64, 4, 4))
    plain = widgets.stage_cost(nn.Sequential(DenseBlock(64, 6, 32), Transition(256, 128)), torch.zeros(1, 64, 4, 4))
    assert little.flops > plain.flops
    for c_in, layers, growth, share in ((64, 2, 8, "0.85"), (64, 6, 32, "0.96")):
        wide = c_in + layers * growth
        split = widgets.stage_cost(CSPDenseBlock(c_in, layers, growth), torch.zeros(1, c_in, 4, 4))
        plain = widgets.stage_cost(
            nn.Sequential(DenseBlock(c_in, layers, growth), Transition(wide, wide // 2)), torch.zeros(1, c_in, 4, 4)
        )
        assert f"{split.flops / plain.flops:.2f}" == share
    assert "needs 0.85 of the FLOPs, where the first setting needed 0.96" in text
    # The prediction's explanation is typed, its answer is not.
    asked = CSPDenseBlock(32, layers=6, growth=4)
    assert (asked.split, asked.block.channels, widths(asked.partial)[1]) == ((16, 16), 40, 20)
    assert widths(asked.transition)[0] == 16 + 20 == 36


@torch.no_grad()
def test_what_the_maps_of_row_4_react_to() -> None:
    """What the lesson says about the picture of row 4, whose padding it cuts off."""
    weights = shipped_weights("cards_n")
    model, size = load_checkpoint(weights).eval(), read_metadata(weights)["image_size"]
    sample = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=416)[28]
    batch = collate([sample], size)
    before = row_outputs(model, batch.images)[3]
    row = model.model[4]
    assert isinstance(row, C3)
    paths = {"direct": row.cv2(before)[0, :, :, 4:28], "deep": row.m(row.cv1(before))[0, :, :, 4:28]}
    # Every column that is left sees the photo, and none that is cut does.
    cells = 32 / max(sample.image.shape[1:])
    assert sample.image.shape[1:] == (416, 312)
    assert 312 * cells == 28 - 4
    places: dict[str, list[tuple[int, int, int, int]]] = {}
    inside = torch.zeros(32, 24, dtype=torch.bool)
    for box, label in zip(sample.boxes.tolist(), sample.labels.tolist(), strict=True):
        x1, y1, x2, y2 = (int(value * cells) for value in box)
        inside[y1 : y2 + 1, x1 : x2 + 1] = True
        places.setdefault(model.names[label], []).append((x1, y1, x2, y2))
    assert {name: len(found) for name, found in places.items()} == {"ace": 2, "king": 1, "queen": 1}

    chosen = {name: maps.var(dim=(1, 2)).argsort(descending=True)[:4].tolist() for name, maps in paths.items()}
    assert chosen == {"direct": [12, 16, 21, 7], "deep": [11, 24, 10, 12]}
    direct, deep = paths["direct"], paths["deep"]
    assert all(direct[i][inside].max() < 2 * direct[i][~inside].max() for i in chosen["direct"])
    assert all(deep[i][inside].max() < 2 * deep[i][~inside].max() for i in (11, 24))
    for channel, names, times in ((10, ("ace",), 4), (12, ("king", "queen"), 2)):
        for x1, y1, x2, y2 in (place for name in names for place in places[name]):
            part = deep[channel, y1 : y2 + 1, x1 : x2 + 1]
            for at, side in zip(divmod(int(part.argmax()), part.shape[1]), part.shape, strict=True):
                assert side / 4 <= at < 3 * side / 4, (channel, at, side)  # in the middle
            assert part.max() > times * deep[channel][~inside].max()


def test_slips_of_the_counts_are_all_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """The right counts pass although slips are worked out from the same numbers."""
    right = checks.bottleneck_csp_counts(dict.fromkeys(("cv1", "cv2", "cv3", "cv4", "bn", "m")))
    assert sum(right.values()) == count(BottleneckCSP(64, 64, 1))
    checks.bottleneck_csp_counts({name: int(value) for name, value in right.items()})
    assert "3.3 is right" in capsys.readouterr().out
