"""Lesson 08: figures and widget read live networks, and numbers that its prose states without computing them."""

import math
import re

import build
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from torch import nn

from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.article import read_parameter_table
from yolo_edu.course.checks.network import _sigma_of
from yolo_edu.course.widgets import frame
from yolo_edu.course.widgets.network import _bytes
from yolo_edu.model import RELEASES, SIZES, Detector, YOLOv5, YOLOv5v6
from yolo_edu.model.blocks import BottleneckCSP, Conv
from yolo_edu.model.detect import initialize_biases
from yolo_edu.summary import ParameterRow, layer_rows, parameter_rows


def weightless(release: str, size: str, classes: int) -> Detector:
    with torch.device("meta"):
        return RELEASES[release](size, classes)


def words(figure: plt.Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


# --- figures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [YOLOv5("n", 3), YOLOv5v6("n", 3)], ids=["R1", "R7"])
def test_parameter_bars_say_what_the_rows_have(model: Detector) -> None:
    figure = figures.parameter_bars(model, size=320)
    shown = words(figure)
    rows = layer_rows(model, 320)
    for row, module in zip(rows, model.model, strict=True):
        assert f"{row.row}  {type(module).__name__}" in shown
        assert shown.count(f"{row.parameters:,}" if row.parameters else "0") >= 1
    head = [row.parameters for row in rows if row.row in figure_part(model, "head")]
    total = sum(row.parameters for row in rows)
    assert f"head: {sum(head):,} parameters, {sum(head) / total:.0%}" in shown
    plt.close(figure)


def figure_part(model: Detector, part: str) -> list[int]:
    return [row.number for row in figures.map_rows(model, 64) if row.part == part]


def test_parameter_bars_follow_a_change_in_the_model() -> None:
    model = YOLOv5("n", 3)
    model.model[8] = nn.Sequential(model.model[8], nn.Conv2d(256, 256, 7, padding=3, bias=False))
    figure = figures.parameter_bars(model, size=64)
    own = sum(p.numel() for p in model.model[8].parameters())
    assert "8  Sequential" in words(figure)
    assert f"{own:,}" in words(figure)
    plt.close(figure)


def test_sigma_figure_draws_the_model_s_weights() -> None:
    layer = nn.Conv2d(4, 2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(72).view(2, 4, 3, 3))
    figure = figures.sigma_over_theory(layer, read_parameter_table()[:1])
    ax = figure.axes[0]
    xy = {line.get_label(): np.asarray(line.get_data(), dtype=float).ravel().tolist() for line in ax.lines}
    assert xy["this network, built now"] == pytest.approx([72, torch.arange(72.0).std().item() * math.sqrt(3 * 36)])
    printed = "the article's table; bar: half a printed digit"
    assert xy[printed] == pytest.approx([3456, 0.0555 * math.sqrt(3 * 108)])
    bar, funnel = ax.collections
    low, high = bar.get_segments()[0][:, 1] / math.sqrt(3 * 108)  # type: ignore[attr-defined]
    assert (low, high) == pytest.approx((0.05545, 0.05555))  # what "%.3g" prints as 0.0555
    n, edge = np.asarray(funnel.get_paths()[0].vertices, dtype=float).T
    assert abs(edge - 1) == pytest.approx(2 * np.sqrt(0.2 / n))
    plt.close(figure)


def test_the_funnel_is_two_standard_errors() -> None:
    """Deviations of many samples, against the general formula that section 6 gives and the one for a uniform."""
    torch.manual_seed(0)
    n = 400
    for draws, kurtosis in ((torch.empty(4000, n).uniform_(-1, 1), 1.8), (torch.randn(4000, n), 3)):
        error = draws.std().item() * math.sqrt((kurtosis - 1) / (4 * n))
        deviations = draws.std(dim=1)
        assert deviations.std().item() == pytest.approx(error, rel=0.05)
        inside = (deviations - draws.std()).abs() < 2 * error
        assert inside.float().mean().item() == pytest.approx(0.95, abs=0.02)


def test_the_table_shows_both_and_their_distance() -> None:
    printed = read_parameter_table()[:2]
    ours = [
        ParameterRow(0, "a", True, 3456, (32, 12, 3, 3), 0.25, 0.5),
        ParameterRow(1, "b", True, 32, (32,), 1.0, 0.0),
    ]
    page = figures.parameter_comparison(
        printed, ours, [(0.0, 0.125), (1, 0)], [(-1.04, 0.02), (0, 0)], caption="a <caption>", bold=[1]
    ).data
    assert "a &lt;caption&gt;" in page
    rows = [re.findall(r"<t[dh][^>]*>([^<]*)<", row) for row in re.findall(r"<tr[ >].*?</tr>", page)[1:]]
    assert rows[0] == (
        ["0", "model.0.conv.conv.weight", "3,456", "32×12×3×3", "−0.000974", "0.25", "0", "−1.0"]
        + ["0.0555", "0.5", "0.125", "+0.0"]
    )
    assert rows[1][4:] == ["1", "1", "1", "exact", "0", "0", "0", "exact"]
    assert re.findall(r'<tr class="bold"><th scope="row">(\d+)<', page) == ["1"]


def test_the_table_of_all_rows_is_small() -> None:
    ours = parameter_rows(YOLOv5("s", 80))
    table, zeros = read_parameter_table(), [(0.0, 0.0)] * 191
    page = figures.parameter_comparison(table, ours, zeros, zeros, caption="all").data
    assert page.count("<tr>") == 192
    assert len(page) < 150_000


# --- the ledger -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("size", "classes"), [("n", 1), ("s", 5), ("m", 80), ("x", 7)])
def test_the_ledger_counts_what_a_built_network_has(release: str, size: str, classes: int) -> None:
    model = weightless(release, size, classes)
    lines = {line.part: line for line in widgets.ledger(release, size, classes, image_size=320)}
    parts = {row.number: row.part for row in figures.map_rows(model, 64)}
    parts = {i: "neck" if part in ("top-down", "bottom-up") else part for i, part in parts.items()}
    rows = layer_rows(model, 320)
    for part in ("backbone", "neck", "head", "whole"):
        mine = [row for row in rows if part in ("whole", parts[row.row])]
        tensors = [p for row in mine for p in model.model[row.row].parameters()]
        assert lines[part].parameters == sum(row.parameters for row in mine) == sum(p.numel() for p in tensors)
        assert lines[part].tensors == len(tensors)
        assert lines[part].flops == sum(row.flops for row in mine)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("release", "size"), [("yolov5", "s"), ("yolov5v6", "n")])
def test_the_ledger_s_file_is_the_state_dict(release: str, size: str, fused: bool) -> None:
    model = RELEASES[release](size, 5)
    model = model.fuse() if fused else model
    whole = widgets.ledger(release, size, 5, fused=fused)[-1]
    assert whole.parameters == sum(p.numel() for p in model.parameters())
    assert whole.tensors == len(list(model.parameters()))
    state = {name: x for name, x in model.state_dict().items() if not name.endswith("anchors")}
    assert _bytes(whole, 4) == sum(x.numel() * x.element_size() for x in state.values())
    assert _bytes(whole, 2) == sum(x.numel() * x.element_size() for x in half(state).values())


def half(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: x.half() if x.is_floating_point() else x for name, x in state.items()}


def test_the_explorer_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "show", lambda widget, fallback: None)
    explorer = widgets.parameter_ledger()
    view, controls = explorer.view, explorer.controls
    assert "<b>7,468,157</b> parameters in 191 tensors, <b>17.4</b> GFLOPs for a 640 × 640 image" in view.value
    assert "s 7,468,157 parameters" in view.value  # the description of the picture
    assert ", s chosen, " in view.value
    controls["release"].value = "yolov5v6"
    assert "<b>7,235,389</b> parameters in 177 tensors" in view.value
    controls["classes"].value = 5
    assert "<b>7,033,114</b>" in view.value
    controls["size"].value = "n"
    assert "<b>1,770,682</b>" in view.value
    assert ", n chosen, " in view.value
    before = float(re.search(r"<b>([\d.]+)</b> GFLOPs", view.value)[1])  # type: ignore[index]
    controls["image_size"].value = 1280
    after = float(re.search(r"<b>([\d.]+)</b> GFLOPs", view.value)[1])  # type: ignore[index]
    assert after / before == pytest.approx(4, rel=0.02)
    assert "<b>1,770,682</b>" in view.value
    controls["fused"].value = True
    fused = YOLOv5v6("n", 5).fuse()
    assert f"<b>{sum(p.numel() for p in fused.parameters()):,}</b>" in view.value
    assert "There was no n" not in view.value
    controls["release"].value = "yolov5"
    assert "There was no n in June 2020" in view.value


# --- the exercises ----------------------------------------------------------------------------------------


def test_one_rule_alone_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    def open_(_full: int, _multiple: float) -> int:
        raise NotImplementedError

    repeats, channels = checks.scale_rules(open_, lambda c, w: -(-c * w // 8) * 8)  # type: ignore[arg-type, return-value]
    printed = capsys.readouterr().out
    assert printed.startswith("8.1 is right")
    assert printed.endswith("That was one of the two. Still open: repeats.\n")
    assert [repeats(n, 0.67) for n in (1, 3, 9)] == [1, 2, 6]
    assert channels(64, 0.3) == 24
    assert type(channels(64, 0.3)) is int  # a layer does not take 24.0


def test_a_rule_that_stops_is_said_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    checks.scale_rules(lambda n, d: n.scale(d), lambda c, w: c)  # type: ignore[attr-defined]
    assert capsys.readouterr().out.startswith(
        "8.1: for n = 1, depth 0.33, c = 64, width 0.25 your code stopped with Attr"
    )


def test_sigma_is_what_pytorch_draws() -> None:
    torch.manual_seed(0)
    weight = nn.Conv2d(100, 200, (1, 2)).weight
    assert weight.std().item() == pytest.approx(_sigma_of((200, 100, 1, 2)), rel=0.02)


# --- what the prose says ----------------------------------------------------------------------------------


def text() -> str:
    return (build.SOURCES / "08_yolov5.py").read_text(encoding="utf-8")


def test_numbers_of_the_prose() -> None:
    model = weightless("yolov5", "s", 80)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert (len(convolutions), len(norms)) == (70, 59)
    # every BatchNorm stands in a Conv or at the joint of a CSP stage, every Conv has one
    assert len(norms) == sum(isinstance(m, Conv) for m in model.modules()) + 8
    # rows that do not follow the one before
    rows = layer_rows(model)
    assert [row.row for row in rows if row.sources != (row.row - 1,)] == [12, 16, 19, 20, 23, 24, 27]
    assert (rows[12].sources, rows[12].outputs[0].shape[1]) == ((11, 6), 256 + 256)  # the row that section 3 follows
    assert "and `made` notes 256 + 256 = 512 for it" in text()
    assert rows[7].parameters / rows[1].parameters == pytest.approx(64, rel=0.01)
    # section 7: parameters and work of the levels
    stride_32 = [rows[row.number] for row in figures.map_rows(model) if row.stride == 32]
    share = sum(r.parameters for r in stride_32) / sum(r.parameters for r in rows)
    work = sum(r.flops for r in stride_32) / sum(r.flops for r in rows)
    assert f"hold {share:.0%} of the parameters and do {work:.0%} of the work" in text()
    assert {row.row for row in sorted(rows, key=lambda row: -row.flops)[:2]} == {4, 6}
    # quiz: row 0 of the article's table
    first = read_parameter_table()[0]
    error = _sigma_of(first.shape) / math.sqrt(math.prod(first.shape))
    assert (round(_sigma_of(first.shape), 4), round(error, 5), first.mean) == (0.0556, 0.00095, -0.000974)
    assert abs(first.mean) < 2 * error
    assert abs(0.00052) < 2 * error
    for number in ("0.00095", "−0.000974", "0.00052", "0.0556"):
        assert number in text()


def test_convolutions_on_the_longest_way_to_row_9() -> None:
    longest = 0
    for row in weightless("yolov5", "s", 80).model[:10]:
        longest += sum(isinstance(m, nn.Conv2d) for m in row.modules())  # one after another
        longest -= isinstance(row, BottleneckCSP)  # except its cv2, which runs beside the others
    assert longest == 35
    assert "here 35 convolutions stand one behind the other up to row 9" in text()


def test_a_fresh_network_expects_eight_boxes_in_each_of_nine_anchor_grids() -> None:
    torch.manual_seed(0)
    model = YOLOv5("s", 80).eval()
    with torch.no_grad():
        raw = model(torch.rand(1, 3, 640, 640))
    grids = torch.stack([x[0, ..., 4].sigmoid().sum(dim=(1, 2)) for x in raw])  # (L, A)
    assert grids.flatten().tolist() == pytest.approx([8] * 9, rel=0.15)
    assert grids.sum().item() == pytest.approx(71.4, rel=0.05)
    # "the K probabilities add up to about 0.6"; a single class with and without the 0.99
    assert 80 * torch.tensor(0.6 / (80 - 0.99)).log().sigmoid().item() == pytest.approx(0.6, abs=0.01)
    assert torch.tensor(0.6).log().sigmoid().item() == pytest.approx(0.6 / 1.6)
    assert torch.tensor(0.6 / (1 - 0.99)).log().sigmoid().item() > 0.98


def test_the_offsets_are_those_of_the_module() -> None:
    """Section 6 writes them out as a formula."""
    convs = [nn.Conv2d(1, 255, 1) for _ in range(3)]
    for conv in convs:
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    initialize_biases(convs, 80, class_margin=0.99)
    for conv, stride, mean in zip(convs, (8, 16, 32), (-4.67, -4.66, -4.64), strict=True):
        offsets = torch.zeros(3, 85)
        offsets[:, 4] = math.log(8 / (640 / stride) ** 2)
        offsets[:, 5:] = math.log(0.6 / (80 - 0.99))
        assert conv.bias is not None
        torch.testing.assert_close(conv.bias.detach(), offsets.flatten())
        assert round(offsets.mean().item(), 2) == mean
        # the four zeros alone make most of the deviation
        zeros = torch.where(torch.arange(85) < 4, 0.0, offsets[0, 5]).repeat(3)
        assert zeros.std() / offsets.flatten().std() > 0.9


def test_what_the_widget_s_questions_have_for_answers() -> None:
    shares = {}
    for size in SIZES:
        lines = widgets.ledger("yolov5v6", size, 80)
        shares[size] = lines[2].parameters / lines[3].parameters
    assert max(shares, key=lambda size: shares[size]) == "n"
    plain, fused = (widgets.ledger("yolov5", "s", 80, fused=fused)[3] for fused in (False, True))
    assert (plain.parameters - fused.parameters, plain.tensors - fused.tensors) == (8_576, 51)
    assert plain.flops == fused.flops
    assert "saves 8,576 parameters" in text()
    assert "51 of its 191 tensors" in text()
