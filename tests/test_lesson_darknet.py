"""Lesson 04: its figures read live modules, its widget shows the map it names, its helpers against slow oracles."""

import copy
import re

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.text import Text
from torch import Tensor, nn

from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.activations import row_outputs
from yolo_edu.course.figures import darknet_focus
from yolo_edu.course.figures.maps import COLORS
from yolo_edu.course.widgets import frame
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.model.blocks import Focus
from yolo_edu.model.darknet import CSPStage, Darknet53
from yolo_edu.summary import layer_rows


def words(figure: plt.Figure) -> list[str]:
    plt.close(figure)
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip()]


# --- figures --------------------------------------------------------------------------------------------


def test_the_table_counts_53_layers_and_the_paper_s_sizes() -> None:
    text = words(figures.darknet53_table())
    assert "1 + 3 + 5 + 17 + 17 + 9 = 52 convolutions, and 1 linear layer: 53 layers" in text
    assert [t for t in text if t.endswith(" ×")] == ["1 ×", "2 ×", "8 ×", "8 ×", "4 ×"]
    # Table 1 of YOLOv3: every line of a part has the part's map size.
    assert [text.count(f"{s} × {s}") for s in (256, 128, 64, 32, 16, 8)] == [1, 4, 4, 4, 4, 4]
    assert text.count("3 × 3 / 2") == 5


def test_the_table_follows_the_module() -> None:
    with torch.device("meta"):
        backbone = Darknet53()
    before = copy.deepcopy(backbone.state_dict())
    stage = backbone.stages[2]
    assert isinstance(stage, nn.Sequential)
    backbone.stages[2] = stage[:-3]  # three blocks fewer
    text = words(figures.darknet53_table(backbone, size=320, classes=20))
    assert "1 + 3 + 5 + 11 + 17 + 9 = 46 convolutions, and 1 linear layer: 47 layers" in text
    assert "5 ×" in text
    assert "40 × 40" in text  # stride 8
    assert "20" in text  # classes
    assert set(backbone.state_dict()) < set(before)
    assert not any(module._forward_hooks for module in backbone.modules())


def test_the_stages_follow_the_modules() -> None:
    text = words(figures.stages_side_by_side())
    assert sum(t == "8 ×" for t in text) == 2
    assert "2,923,008 parameters\n5,973 MFLOPs" in text
    with torch.device("meta"):
        csp = CSPStage(16, 48, 3)
    text = words(figures.stages_side_by_side(csp=csp, side=20))
    assert "3 ×" in text
    assert "(48, 10, 10)" in text
    assert "Conv 3 × 3 → 24" in text
    assert text.count("(24, 10, 10)") == 2  # the ends of both paths
    assert text.count("(48, 10, 10)") == 3  # after `down`, the concatenation and `transition`
    assert "CSPDarknet53, a stage" in text
    assert "Darknet-53, stage 3" in text
    count = sum(p.numel() for p in csp.parameters())
    assert any(t.startswith(f"{count:,} parameters\n") for t in text)


def test_where_focus_puts_a_pixel_by_hand() -> None:
    size = 4
    table = darknet_focus.phase_table(size=size)
    channel = 0
    for first_column in (0, 1):
        for first_row in (0, 1):
            for color in range(3):
                expected = [
                    [color * size * size + row * size + column for column in range(first_column, size, 2)]
                    for row in range(first_row, size, 2)
                ]
                assert table[channel].tolist() == expected
                channel += 1


def test_the_focus_figure_runs_the_live_slicing() -> None:
    focus = Focus(3, 1)
    convolution = focus.conv
    text = words(figures.focus_phases(focus))
    assert focus.conv is convolution  # given back
    titles = [t.replace("\n", " ") for t in text if "rows" in t]
    assert titles == [f"{r} rows, {c} columns" for c in ("even", "odd") for r in ("even", "odd")]

    class RowByRow(Focus):
        def forward(self, x: Tensor) -> Tensor:
            return self.conv(torch.cat([x[..., r::2, c::2] for r in (0, 1) for c in (0, 1)], dim=1))

    titles = [t.replace("\n", " ") for t in words(figures.focus_phases(RowByRow(3, 1))) if "rows" in t]
    assert titles == [f"{r} rows, {c} columns" for r in ("even", "odd") for c in ("even", "odd")]


def test_the_drawn_kernel_computes_what_focus_computes() -> None:
    places = darknet_focus.kernel_places()
    assert sorted(places.flatten().tolist()) == list(range(36))
    focus = Focus(2, 3, 3).double().eval()
    weight = focus.conv.conv.weight.detach()  # (3, 8, 3, 3)
    kernel = torch.zeros(3, 2, 6, 6, dtype=torch.float64)
    for phase in range(4):
        for r in range(3):
            for c in range(3):
                row, column = divmod(int(places[phase, r, c]), 6)
                kernel[:, :, row, column] = weight[:, 2 * phase : 2 * phase + 2, r, c]
    image = torch.randn(1, 2, 10, 8, dtype=torch.float64)
    focus.conv.conv.weight.data = weight
    plain = nn.functional.conv2d(image, kernel, stride=2, padding=2)
    with torch.no_grad():
        torch.testing.assert_close(focus.conv.act(focus.conv.bn(plain)), focus(image))


def test_the_kernel_figure_runs_the_live_slicing() -> None:
    class RowByRow(Focus):
        def forward(self, x: Tensor) -> Tensor:
            return self.conv(torch.cat([x[..., r::2, c::2] for r in (0, 1) for c in (0, 1)], dim=1))

    def cells(focus: Focus) -> list[str]:
        """The 36 weights of the large kernel, row by row."""
        figure = figures.focus_kernel(focus)
        texts = [t for t in figure.axes[0].texts if re.fullmatch("[abcd][0-8]", t.get_text())][36:]
        plt.close(figure)
        return [t.get_text() for t in sorted(texts, key=lambda t: (round(t.get_position()[1], 2), t.get_position()[0]))]

    assert cells(Focus(3, 1))[:12] == ["a0", "c0", "a1", "c1", "a2", "c2", "b0", "d0", "b1", "d1", "b2", "d2"]
    assert cells(RowByRow(3, 1))[:12] == ["a0", "b0", "a1", "b1", "a2", "b2", "c0", "d0", "c1", "d1", "c2", "d2"]


@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_spotlight_pixel_by_pixel(kind: str) -> None:
    photo = torch.randint(0, 256, (3, 6, 8), dtype=torch.uint8)
    values = torch.tensor([[0.0, 1.0], [-1.0, 3.0]])
    lit = figures.spotlight(photo if kind == "bytes" else photo / 255, values)
    low, high = -1.0, 3.0
    for y in range(6):
        for x in range(8):
            share = (values[y // 3, x // 4].item() - low) / (high - low)
            for color in range(3):
                wanted = photo[color, y, x].item() * (0.3 + 0.7 * share)
                assert abs(lit[color, y, x].item() - wanted) <= 0.51
    assert torch.equal(lit[:, 3:, 4:], photo[:, 3:, 4:])  # where the map is highest the photo is itself
    flat = figures.spotlight(photo, torch.ones(2, 2))
    assert flat.float().max() <= 0.31 * 255


# --- widget ---------------------------------------------------------------------------------------------


@pytest.fixture
def model() -> YOLOv5v6:
    torch.manual_seed(0)
    return YOLOv5v6("n", 2).eval()


@pytest.fixture
def photos() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator) for name in ("a", "b")}


def test_the_explorer_shows_the_map_it_names(
    model: YOLOv5v6, photos: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "show", lambda widget, fallback: None)
    explorer = widgets.feature_map_explorer(model, photos, row=2)
    outputs = row_outputs(model, torch.stack(list(photos.values())) / 255)

    def expect(photo: str, row: int, channel: int) -> None:
        values = outputs[row][list(photos).index(photo)][channel]
        page = explorer.view.value
        assert (
            f"Row {row}, {type(model.model[row]).__name__}, channel {channel} of 0 to {outputs[row].shape[1] - 1}"
            in page
        )
        assert f"{len(values)} × {len(values)} values from {values.min():.2f} to {values.max():.2f}" in page
        y, x = (values == values.max()).nonzero()[0].tolist()
        assert f"the highest in cell ({y}, {x}), counted from 0" in page
        below = 100 * sum(v < 0 for v in values.flatten().tolist()) / values.numel()
        assert f"{below:.0f} of 100 are negative" in page
        assert f'alt="{photo}; the map of channel {channel} of row {row};' in page

    first = figures.strongest_channels(outputs[2][0], 1)[0]
    expect("a", 2, first)
    explorer.controls["photo"].value = "b"
    expect("b", 2, first)
    explorer.controls["row"].value = 9
    assert explorer.controls["channel"].max == 255
    explorer.controls["channel"].value = 200
    expect("b", 9, 200)
    explorer.controls["row"].value = 0  # 16 channels: the slider comes along
    assert explorer.controls["channel"].max == explorer.controls["channel"].value == 15
    expect("b", 0, 15)


def test_the_map_has_the_course_s_colors() -> None:
    from yolo_edu.course.widgets import darknet

    values = torch.tensor([[0.0, 1.0], [2.0, 4.0]])
    pixels = darknet._colored(values, 8)
    assert pixels.shape == (8, 8 + darknet.GUTTER, 3)
    for (row, column), value in np.ndenumerate(values.numpy()):
        color = np.array(plt.get_cmap(COLORS)(value / 4)[:3]) * 255
        assert np.abs(pixels[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] - color).max() < 3
    assert (pixels[:, 8:] == 255).all()


# --- what the lesson says without computing it ----------------------------------------------------------


@pytest.mark.parametrize("kind", [YOLOv5, YOLOv5v6])
def test_500_pixels_fail_in_the_neck(kind: type[YOLOv5] | type[YOLOv5v6]) -> None:
    """The quiz: both backbones take 500 × 500; P3 has 63 cells, and the neck doubles P4's 32 to 64. 506 fits."""
    network = kind("n", 2).eval()
    image = torch.zeros(1, 3, 500, 500)
    with torch.no_grad():
        levels = network.backbone(image)
        assert [level.shape[-1] for level in levels] == [63, 32, 16]
        assert [out.shape[-1] for out in row_outputs(network, torch.zeros(1, 3, 506, 506))[:2]] == [253, 127]
        with pytest.raises(RuntimeError, match="Expected size 64 but got size 63"):
            network(image)
        network(torch.zeros(1, 3, 506, 506))
        with pytest.raises(RuntimeError, match="Sizes of tensors"):
            Focus(3, 4)(torch.zeros(1, 3, 5, 5))  # odd sizes


def test_pixel_unshuffle_is_another_order() -> None:
    image = torch.randn(1, 3, 8, 6)
    focus = Focus(3, 1)
    focus.conv = nn.Identity()  # type: ignore[assignment]
    mine, other = focus(image), nn.functional.pixel_unshuffle(image, 2)
    order = [4 * color + 2 * row + column for column in (0, 1) for row in (0, 1) for color in range(3)]
    assert order != sorted(order)
    assert torch.equal(other[:, order], mine)


def test_a_view_of_focus_weights_is_another_function() -> None:
    """The quiz: (32, 12, 3, 3) and (32, 3, 6, 6) have 3,456 weights each, in other places."""
    weight = torch.arange(32.0 * 12 * 9).view(32, 12, 3, 3)
    assert weight.numel() == 32 * 3 * 36 == 3_456
    kernel = torch.zeros(32, 3, 6, 6)
    for phase, (row, column) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        kernel[..., row::2, column::2] = weight[:, 3 * phase : 3 * phase + 3]
    assert kernel.flatten().sort().values.equal(weight.flatten().sort().values)
    assert not torch.equal(weight.view(32, 3, 6, 6), kernel)


def test_halving_doubles_the_channels_at_equal_work() -> None:
    rows = layer_rows(YOLOv5("s", 80), 640)
    halving = [rows[i] for i in (1, 3, 5, 7)]
    assert len({row.flops for row in halving}) == 1
    weights = [row.parameters - 2 * row.outputs[0].shape[1] for row in halving]
    assert weights[3] == 64 * weights[0]


def test_exercise_4_2_takes_open_answers(capsys: pytest.CaptureFixture[str]) -> None:
    counts = checks.split_stage_counts({"down": 73_984, "around": None, "through": None, "transition": None})
    assert "right so far. Still open: around, through, transition" in capsys.readouterr().out
    stage = CSPStage(64, 128, 2)
    assert sum(counts.values()) == sum(p.numel() for p in stage.parameters())
