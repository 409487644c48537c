"""Lesson 07: its figures and widgets say what the live modules say, its checks know the right answers."""

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from yolo_edu.anchors import ENOUGH_RECALL, closeness, default_anchors, fit
from yolo_edu.assets import sample_data
from yolo_edu.cli import parser
from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.figures.head_photos import Prediction
from yolo_edu.course.widgets import frame
from yolo_edu.data import DetectionData, Sample, read_spec
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.model.detect import Detect


def words(figure: plt.Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


# --- figures --------------------------------------------------------------------------------------------


def test_the_head_s_numbers_come_from_the_model() -> None:
    anchors = (torch.arange(18.0).view(3, 3, 2) + 40).tolist()
    text = words(figures.head_diagram(YOLOv5v6("n", 3, anchors=anchors), size=320))
    for wanted in ("64 → 24", "128 → 24", "256 → 24", "64 × 40 × 40", "P5: 10 × 10 cells", "3 · 8 = 24 numbers"):
        assert wanted in text
    assert f"{3 * (40**2 + 20**2 + 10**2):,} boxes of 8 numbers\nfor an image of 320 × 320" in text
    shapes = [p for p in figures.head_diagram(YOLOv5v6("n", 3, anchors=anchors)).axes[0].patches if not p.get_fill()]
    sides = torch.tensor([[p.get_width(), p.get_height()] for p in shapes if isinstance(p, Rectangle)])
    of_p4 = torch.tensor(anchors[1])  # drawn to scale beside their numbers
    torch.testing.assert_close(sides / sides.max(), of_p4 / of_p4.max())
    assert "62 × 45" not in text
    assert "46 × 47" in text  # the anchors of P4
    assert "of which class?" in text
    assert "80" in words(figures.head_diagram(YOLOv5("n", 80))).split("\n")  # the last of many classes
    plt.close("all")


def test_the_anchor_sheet_is_to_scale() -> None:
    anchors = torch.tensor(
        [[[8.0, 8], [16, 8], [8, 24]], [[16, 16], [32, 16], [16, 48]], [[32, 32], [64, 32], [32, 96]]]
    )
    figure = figures.anchor_sheet(Detect(1, anchors=anchors))
    text = words(figure)
    assert "16 × 8 px = 2.0 × 1.0 cells" in text
    assert "32 × 96 px = 1.0 × 3.0 cells" in text
    boxes = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and not p.get_fill()]
    cell = next(p for p in figure.axes[0].patches if p.get_width() == boxes[0].get_width() and p.get_fill())
    sides = torch.tensor([[b.get_width() / cell.get_width(), b.get_height() / cell.get_width()] for b in boxes])
    torch.testing.assert_close(sides, (anchors / torch.tensor([8.0, 16, 32])[:, None, None]).view(9, 2))
    plt.close(figure)


def test_the_curves_are_the_formula_s() -> None:
    axes = figures.decode_curves().axes
    ends = [{line.get_label(): line for line in ax.get_lines() if len(line.get_xdata()) > 2} for ax in axes]
    ours, theirs = ends[0]
    for lines, (low, high) in zip(ends, ((-0.5, 1.5), (0, 4), (0, 0)), strict=True):
        y = lines[ours].get_ydata()
        assert y[0] == pytest.approx(low, abs=0.03)
        assert y[-1] == pytest.approx(high, abs=0.05)
    assert ends[1][theirs].get_ydata()[-1] == pytest.approx(403.43, rel=1e-4)
    plt.close("all")


def test_cells_of_the_centers_are_filled() -> None:
    boxes = torch.tensor([[70.0, 33, 20, 10], [10, 95, 8, 8]])
    figure = figures.grids_on_photo(torch.zeros(3, 96, 96), boxes, (8, 16, 32), closer=0)
    *axes, enlarged = figure.axes
    assert enlarged.get_xlim() == (70 - 40, 70 + 40)
    assert enlarged.get_ylim() == (33 + 40, 33 - 40)
    for ax, stride in zip(axes, (8, 16, 32), strict=True):
        filled = {(p.get_x(), p.get_y(), p.get_width()) for p in ax.patches if p.get_fill()}
        assert filled == {(x // stride * stride, y // stride * stride, stride) for x, y in ((70, 33), (10, 95))}
        assert f"{96 // stride} × {96 // stride} cells" in ax.get_title()


def test_anchors_keep_their_pixels_on_every_photo() -> None:
    figure = figures.anchors_on_photo([torch.zeros(3, 640, 640), torch.zeros(3, 256, 256)], default_anchors())
    for ax in figure.axes:
        sides = torch.tensor([[p.get_width(), p.get_height()] for p in ax.patches])
        torch.testing.assert_close(sides, default_anchors().view(9, 2))
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        for patch in ax.patches:  # all nine are inside the panel, whatever the photo's size
            x1, y1, x2, y2 = patch.get_bbox().extents
            assert left < x1 < x2 < right
            assert top < y1 < y2 < bottom
    figure.draw_without_rendering()
    scales = [ax.get_window_extent().width / (ax.get_xlim()[1] - ax.get_xlim()[0]) for ax in figure.axes]
    assert scales[0] == pytest.approx(scales[1], rel=0.02)


def test_cells_above_one_half_are_framed() -> None:
    maps = [torch.zeros(4, 6), torch.zeros(2, 3), torch.zeros(1, 2)]
    maps[0][2, 5], maps[0][1, 1], maps[1][0, 2] = 0.51, 0.5, 0.9
    _, *axes, scale = figures.objectness_maps(torch.zeros(3, 32, 48), maps).axes
    framed = [[(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in ax.patches] for ax in axes]
    assert framed == [[(5, 2, 1, 1)], [(2, 0, 1, 1)], []]
    assert [ax.get_title() for ax in axes] == ["P3: 4 × 6 cells", "P4: 2 × 3 cells", "P5: 1 × 2 cells"]
    assert scale.get_ylim() == (0, 1)


def test_the_surest_predictions_are_found_in_the_list() -> None:
    model = YOLOv5("n", 2).eval()
    raw = [torch.full((1, 3, 64 // s, 96 // s, 7), -9.0) for s in (8, 16, 32)]
    for x in raw:
        x[..., :4] = 0  # every box is its anchor around the middle of its cell
    raw[1][0, 2, 1, 3, 4:], raw[1][0, 1, 1, 3, 4:] = 9.0, 8.0  # two in one cell: the surer one counts
    raw[2][0, 0, 0, 1, 4:] = 7.0
    target = torch.tensor([56 - 30, 24 - 60, 56 + 30, 24 + 60])  # P4's third anchor, 59 × 119, in that cell
    rows = model.decode(raw)[0]
    (found,) = figures.surest_predictions(rows, raw, model, target, count=1)
    assert found[:5] == ("P4", 16, 1, 3, (59, 119))
    assert found.anchor_place == (1, 2)
    assert found.raw == tuple(raw[1][0, 2, 1, 3, :4].tolist())
    assert found.number == 3 * 8 * 12 + 2 * 4 * 6 + 1 * 6 + 3
    assert found.box == tuple(rows[found.number, :4].tolist()) == (56, 24, 59, 119)
    places = [p[2:4] for p in figures.surest_predictions(rows, raw, model, target, overlap=0.1)]
    assert places[0] == (1, 3)
    assert len(set(places)) == len(places) == 3


def test_a_trace_shows_cell_reach_anchor_and_box() -> None:
    found = Prediction("P4", 16, 2, 3, (30, 61), (50.0, 40, 20, 24), "words")
    figure = figures.prediction_traces(torch.zeros(3, 96, 96), [found, found])
    patches = {p.get_label(): p.get_bbox().bounds for p in figure.axes[0].patches}
    assert patches["cell"] == (48, 32, 16, 16)
    assert patches["where the center may lie"] == (40, 24, 32, 32)  # half a cell beyond each border
    assert patches["anchor"] == (56 - 15, 40 - 30.5, 30, 61)
    assert patches["box"] == (40, 28, 20, 24)
    for ax in figure.axes:  # cut out around what is drawn
        assert ax.get_xlim()[0] < 40 < 71 < ax.get_xlim()[1]
        assert ax.get_ylim()[1] < 9.5 < 70.5 < ax.get_ylim()[0]
    assert figure.axes[1].get_title() == "words"


def test_the_square_of_the_cloud_is_what_the_anchor_reaches() -> None:
    sizes = torch.tensor([[30.0, 61], [10, 20]])
    figure = figures.size_cloud({"a": (sizes, {"default": default_anchors()}), "b": (sizes, {"x": default_anchors()})})
    x, y, w, h = figure.axes[0].patches[0].get_bbox().bounds
    inside = torch.tensor([[x + 0.01, y + 0.01], [x + w - 0.01, y + h - 0.01]])
    outside = torch.tensor([[x - 0.01, y + 1], [x + 1, y + h + 0.01]])
    anchor = default_anchors()[1, :1]
    assert (closeness(inside, anchor) > 1 / 4).all()
    assert (closeness(outside, anchor) < 1 / 4).all()


# --- widgets --------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: calls.append((widget, fallback)))
    return calls


PHOTO = Sample(
    torch.full((3, 320, 640), 90, dtype=torch.uint8),
    torch.tensor([[100.0, 100, 162, 145], [300, 50, 600, 300]]),  # 62 × 45, which is an anchor, and 300 × 250
    torch.tensor([0, 1]),
)


def test_anchor_explorer_measures_what_it_draws(shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.anchor_explorer(
        {"one": PHOTO}, default_anchors(), {"one": ["<fish>", "shark"]}, sizes=(320, 640)
    )
    size, anchor, view = explorer.controls["size"], explorer.controls["anchor"], explorer.view
    size.value = 640
    assert anchor.value == (1, 1)
    assert "anchor P4 62 × 45: fits 1 of 2 objects, closeness at most 1.00" in view.value
    assert "<td>1 &lt;fish&gt;</td><td>62 × 45</td><td>1.00</td><td>1.00</td><td>1.00</td><td>yes</td>" in view.value
    assert "<td>2 shark</td><td>300 × 250</td><td>4.84</td><td>5.56</td><td>0.18</td><td>no</td>" in view.value
    assert "cells are 16 px" in view.value
    assert 'viewBox="0 0 640 320"' in view.value
    size.value = 320  # the objects shrink, the anchor does not
    assert "<td>2 shark</td><td>150 × 125</td><td>2.42</td><td>2.78</td><td>0.36</td><td>yes</td>" in view.value
    assert 'width="62.00" height="45.00"' in view.value
    anchor.value = (2, 2)
    assert "P5 373 × 326: fits 1 of 2 objects" in view.value
    assert "cells are 32 px" in view.value
    assert re.search(r'<svg role="img" aria-label="Photo at 320 pixels, anchor P5 373 × 326[^"]{20,}"', view.value)
    assert shown[0][1].startswith('<div style="display:flex')
    assert "Photo at 640 px" in shown[0][1]  # the default state, for pages without widgets


def test_decode_sliders_decode_as_detect_does(shown: list[tuple[Any, str]]) -> None:
    square = torch.full((3, 256, 256), 90, dtype=torch.uint8)
    explorer = widgets.decode_sliders(
        square, default_anchors(), start=(0.5, -1, 0.25, 1), anchor=(2, 1), row=4, column=3
    )
    controls, view = explorer.controls, explorer.view

    def expected() -> list[str]:
        level, number = controls["anchor"].value
        detect = Detect(1)
        raw = [torch.zeros(1, 3, 256 // s, 256 // s, 6) for s in (8, 16, 32)]
        row, column = controls["row"].value, controls["column"].value
        raw[level][0, number, row, column, :4] = torch.tensor([controls[name].value for name in "xywh"])
        index = sum(x[0, ..., 0].numel() for x in raw[:level])
        index += (number * raw[level].shape[2] + row) * raw[level].shape[3] + column
        return [f"<b>{v:.1f}</b>" for v in detect.decode(raw)[0, index, :4].tolist()]

    for name, value in (("x", 6.0), ("row", 7), ("anchor", (0, 2)), ("column", 30), ("w", -2.0), ("anchor", (1, 0))):
        assert re.findall(r"<b>[^<]+</b>", view.value) == expected()
        controls[name].value = value
    assert re.findall(r"<b>[^<]+</b>", view.value) == expected()
    assert controls["column"].max == 15  # P4 at 256 pixels; column 30 of P3 was brought back
    assert controls["column"].value == 15
    assert "P4, row 7, column 15, anchor 30 × 61" in view.value
    exponential = torch.tensor([30.0, 61]) * torch.tensor([-2.0, 1]).exp()
    assert f"exponential the size would be {exponential[0]:.0f} × {exponential[1]:.0f}." in view.value
    assert re.search(r'<svg role="img" aria-label="Box of [^"]{30,}"', view.value)
    assert "row 4, column 3" in shown[0][1]


# --- the oracles of the exercises, and what the prose says -------------------------------------------------


def not_filled_in(*_: object) -> None:
    raise NotImplementedError


def test_the_checks_go_on_with_what_the_module_does() -> None:
    numbers_last, decode_level = checks.numbers_last(not_filled_in), checks.decode_level(not_filled_in)
    detect = Detect(2)
    maps = [torch.randn(2, 21, 64 // s, 96 // s) for s in (8, 16, 32)]
    raw = [numbers_last(x, 3) for x in maps]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(raw, detect(maps), strict=True))
    boxes = [
        decode_level(x[..., :4], shapes, stride).flatten(1, 3)
        for x, shapes, stride in zip(raw, detect.anchors, (8, 16, 32), strict=True)
    ]
    assert torch.equal(torch.cat(boxes, dim=1), detect.decode(raw)[..., :4])


def test_recall_s_oracle_is_fit_s() -> None:
    recall = checks.best_possible_recall(not_filled_in)
    sizes = 4 + 300 * torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) ** 3
    for threshold in (1.5, 4.0):
        wanted = fit(sizes, default_anchors(), threshold).best_possible_recall
        assert float(recall(sizes, default_anchors().view(-1, 2), threshold)) == pytest.approx(wanted)
    assert recall(sizes, default_anchors().view(-1, 2)) == recall(sizes, default_anchors().view(-1, 2), 4.0)


def test_what_there_is_to_find_in_the_explorer() -> None:
    """The folded answer below the widget: the shark's anchors."""
    fish = DetectionData(read_spec(sample_data("aquarium5.yaml")), "val", image_size=416, cache=False)
    sample = fish[49]
    assert [fish.names[k] for k in sample.labels] == ["shark"] + ["fish"] * 5
    sizes, shapes = sample.boxes[:, 2:] - sample.boxes[:, :2], default_anchors().view(9, 2)
    reached = {}
    for size in (128, 256, 416, 640):
        near = closeness(sizes * size / 416, shapes)
        reached[size] = [round(v, 2) for v in near[0, :3].tolist() if v > 1 / 4]
        if size == 416:
            both = [round(v, 2) for v in near[:, 5].tolist() if v > 1 / 4]
            wide = [round(v, 2) for v in near[:, 6].tolist() if v > 1 / 4]
            assert near[0, 5] > 1 / 4
    assert reached == {128: [0.26, 0.29], 256: [], 416: [], 640: []}
    assert wide == [0.35, 0.43]  # 116 × 90: the shark and one fish
    assert len(both) == 4  # the shark and three fish
    assert (min(both), max(both)) == (0.27, 0.32)


def test_cards_are_as_large_as_the_anchors_that_the_lesson_names() -> None:
    cards = DetectionData(read_spec(sample_data()), "train", image_size=640, cache=False)
    middle = cards.box_sizes().median(dim=0).values
    for size, level in ((640, 2), (256, 1)):
        near = closeness(middle[None] * size / 640, default_anchors().view(9, 2))[0].view(3, 3).amax(dim=1)
        assert near.argmax() == level


def test_a_fresh_network_expects_about_71_objects() -> None:
    """8 for each of nine anchors, less what the sigmoid takes; random weights shift it by a few."""
    formula = sum(3 * 8 / (1 + 8 / (640 / s) ** 2) for s in (8, 16, 32))
    assert round(formula, 1) == 71.4
    half = sum(3 * (640 / s) ** 2 / 2 for s in (8, 16, 32))
    assert half == 12_600


def test_when_training_looks_for_other_anchors() -> None:
    """Below 0.98, unless told not to; lesson 07 says so."""
    assert ENOUGH_RECALL == 0.98
    assert parser().parse_args(["train", "--noautoanchor"]).noautoanchor
    assert parser().parse_args(["anchors", "data.yaml", "--write-cfg", "my.yaml"]).write_cfg == Path("my.yaml")
