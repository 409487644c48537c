"""Lesson 11: its figures and widgets say what the modules say, and so does its prose."""

import math
import re
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.text import Text

from yolo_edu import loss as loss_module
from yolo_edu.assign import assign
from yolo_edu.boxes import ciou, cxcywh_to_xyxy, diou, giou, iou
from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.figures import losses as drawn
from yolo_edu.course.widgets import frame
from yolo_edu.loss import LossSettings, binary_loss
from yolo_edu.model.detect import Detect, decode_box, prior_logits

ANCHOR = (1.25, 1.625)  # 10 × 13 pixels in cells of P3
RIGHT = (1.35, 0.5, *ANCHOR)
SMALL = (1.2, -0.2, 0.7, 0.6)
MEASURES = {"IoU": iou, "GIoU": giou, "DIoU": diou, "CIoU": ciou}


def words(figure: plt.Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def curve(figure: plt.Figure, panel: int, name: str) -> tuple[list[float], list[float]]:
    (line,) = (line for line in figure.axes[panel].lines if line.get_label() == name)
    return list(line.get_xdata()), list(line.get_ydata())


# --- figures --------------------------------------------------------------------------------------------


def test_the_three_terms_count_what_assign_says(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = figures.loss_terms()
    targets = torch.tensor([[0, 0, 0.40, 0.58, 0.42, 0.50]])
    (level,) = assign(targets, [(4, 4)], Detect(5).anchors[-1:])
    assert len(level.row) == 6
    assert f"{len(level.row)} entries · 4 numbers" in words(figure)
    assert "48 predictions · 1 number" in words(figure)
    hatched = sum(1 for p in figure.axes[0].patches if p.get_hatch())
    assert hatched == 16 + 2 * len(set(zip(level.row.tolist(), level.column.tolist(), strict=True)))
    assert "6 entries · 7 numbers" in words(figures.loss_terms(classes=7))
    monkeypatch.setattr(drawn, "assign", lambda *a: assign(*a, anchor_threshold=8.0))
    assert "9 entries · 4 numbers" in words(figures.loss_terms())


def test_loss_curves_are_the_formulas() -> None:
    figure = figures.loss_curves()
    for p, value in zip(*curve(figure, 0, "focal, γ = 1.5"), strict=True):
        assert value == pytest.approx(-math.log(1 - p) * 0.75 * p**1.5, rel=1e-6, abs=1e-12)
    for p, value in zip(*curve(figure, 1, "cross-entropy"), strict=True):
        assert value == pytest.approx(-math.log(p), rel=1e-6)
    for p, value in zip(*curve(figure, 2, "target 0.95"), strict=True):
        assert value == pytest.approx(-0.95 * math.log(p) - 0.05 * math.log(1 - p), rel=1e-6)
    stars = [line.get_xydata()[0] for line in figure.axes[2].lines if line.get_marker() == "*"]
    assert [tuple(round(float(v), 3) for v in star) for star in stars] == [(0.95, 0.199), (0.05, 0.199)]


def test_loss_curves_follow_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "binary_loss", lambda *a, **k: 2 * binary_loss(*a, **k))
    x, y = curve(figures.loss_curves(), 1, "cross-entropy")
    assert y[0] == pytest.approx(-2 * math.log(x[0]))


def test_box_gradients_are_those_of_finite_differences() -> None:
    figure = figures.box_gradient_curves()
    for name in ("IoU", "GIoU", "CIoU"):
        x, value = curve(figure, 1, name)
        _, slope = curve(figure, 2, name)
        for i in range(1, len(x) - 1):
            numeric = (value[i + 1] - value[i - 1]) / (x[i + 1] - x[i - 1])
            nearby = slope[i - 1 : i + 2]
            assert min(nearby) - 0.02 <= numeric <= max(nearby) + 0.02
    x, flat = curve(figure, 1, "IoU")
    assert flat[:100] == [1.0] * 100  # the boxes are apart
    assert max(map(abs, curve(figure, 2, "IoU")[1][:100])) == 0
    assert max(curve(figure, 2, "GIoU")[1][:100]) < 0
    for name in MEASURES:
        if name != "DIoU":
            slopes = curve(figure, 2, name)[1]
            assert max(abs(slopes[0]), abs(slopes[-1])) < 0.01 < 0.4 < max(map(abs, slopes))


def test_level_weights_are_the_settings() -> None:
    targets = torch.tensor([[0, 0, 0.5, 0.5, 0.2, 0.3], [1, 2, 0.3, 0.3, 0.1, 0.1]])
    settings = LossSettings(rule="r1", balance=(2.0, 1.0, 0.5))
    figure = figures.level_weights(targets, 2, 128, settings)
    heights = [[bar.get_height() for bar in ax.patches] for ax in figure.axes]
    assert heights[0] == [2 * 3 * side**2 for side in (16, 8, 4)]
    levels = assign(targets, [(16, 16), (8, 8), (4, 4)], Detect(5).anchors, rule="r1")
    assert heights[1] == [len(level.image) for level in levels]
    assert heights[2] == pytest.approx([1e6 / n for n in heights[0]])
    assert heights[3] == pytest.approx([2e6 / 1536, 1e6 / 384, 0.5e6 / 96])
    assert "weight × 2, 1, 0.5" in words(figure)
    assert "weight × 4, 1, 0.4" in words(figures.level_weights())


# --- widgets --------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: calls.append((widget, fallback)))
    return calls


def moved(explorer: Any, **values: Any) -> str:
    for name, value in values.items():
        explorer.controls[name].value = value
    return explorer.view.value


def gradients(page: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"\b([xywh]) ([+-]\d\.\d{4})", page)}


def test_box_loss_explorer_shows_measure_and_gradient(shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.box_loss_explorer(ANCHOR, {"right": RIGHT, "<small>": SMALL}, start=(-1.5, 1, -0.5, -0.3))
    assert "Controls stand here" in shown[0][1]
    assert re.search(r'<svg role="img" aria-label="Predicted box of [^"]{40,}"', shown[0][1])

    def loss(raw: torch.Tensor, target: tuple[float, ...], measure: str) -> torch.Tensor:
        box = cxcywh_to_xyxy(decode_box(raw, torch.tensor(ANCHOR)))
        return 1 - MEASURES[measure](box, cxcywh_to_xyxy(torch.tensor(target)))

    for target, goal in (("right", RIGHT), ("<small>", SMALL)):
        for measure in MEASURES:
            for raw in ((0.4, -0.2, 0.1, -0.4), (-2.0, 1.5, 0.5, 0.0)):
                page = moved(explorer, target=target, measure=measure, **dict(zip("xywh", raw, strict=True)))
                here = torch.tensor(raw, dtype=torch.float64)
                value = loss(here, goal, measure).item()
                assert f"Loss 1 − {measure} = {value:.3f}" in page
                for k, slope in enumerate(gradients(page).values()):
                    step = torch.zeros(4, dtype=torch.float64)
                    step[k] = 1e-4
                    ahead, behind = loss(here + step, goal, measure), loss(here - step, goal, measure)
                    near = 2e-2 if measure == "CIoU" else 1e-3  # the gradient takes CIoU's α for a constant
                    assert slope == pytest.approx(((ahead - behind) / 2e-4).item(), abs=near)
    assert "target &lt;small&gt;" in page
    assert 'height="1.625"' in page  # the anchor


def test_what_there_is_to_find_in_the_box_loss_explorer(shown: list[tuple[Any, str]]) -> None:
    """The folded answer below the widget."""
    explorer = widgets.box_loss_explorer(ANCHOR, {"right": RIGHT}, start=(-1.5, 1.0, -0.5, -0.3))
    assert set(gradients(moved(explorer, measure="IoU", x=-6)).values()) == {0.0}
    for measure, x, other, slope, w in (("GIoU", -0.001, "y", 0.11, -0.11), ("CIoU", -0.001, "h", -0.07, -0.07)):
        found = gradients(moved(explorer, measure=measure))
        assert found["x"] == pytest.approx(x, abs=5e-4)
        assert found["w"] == pytest.approx(w, abs=5e-3)
        assert found[other] == pytest.approx(slope, abs=6e-3)
    for measure, loss in (("GIoU", 0.94), ("CIoU", 0.97)):
        page = moved(explorer, measure=measure, x=-1.5, w=6, h=6)
        (value,) = re.findall(rf"Loss 1 − {measure} = (\d\.\d+)", page)
        assert round(float(value), 2) == loss
        assert max(abs(gradients(page)[name]) for name in "wh") < 1e-3


def test_focal_explorer_counts_easy_negatives(shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.focal_explorer(gamma=2.0, probability=0.1)
    page = explorer.view.value
    plain, focal = -math.log(0.9), -math.log(0.9) * 0.75 * 0.1**2
    one = math.log(2) * 0.25 * 0.5**2
    assert f"costs {plain:.4f} with cross-entropy and <b>{focal:.6f}</b> with γ = 2.0" in page
    assert f"<b>{math.log(2) / plain:,.0f}</b> such cells before, <b>{one / focal:,.0f}</b>" in page
    page = moved(explorer, gamma=0.0)  # cross-entropy without α, as in the module
    assert f"<b>{math.log(2) / plain:,.0f}</b> such cells before, <b>{math.log(2) / plain:,.0f}</b> now" in page
    assert "a mark at 0.50" in moved(explorer, probability=0.5)


# --- the oracles of the exercises, and what the prose says -------------------------------------------------


def not_filled_in(*_: object) -> None:
    raise NotImplementedError


def test_the_checks_go_on_with_what_the_module_does() -> None:
    assert checks.stable_bce(not_filled_in) is binary_loss
    logits, wanted = torch.randn(3, 4), torch.rand(3, 4)
    assert checks.focal_loss(not_filled_in)(logits, wanted, 1.5) == binary_loss(logits, wanted, gamma=1.5)
    target = checks.objectness_map(not_filled_in)
    generator = torch.Generator().manual_seed(0)
    shape, overlap = (2, 3, 4, 5), 2 * torch.rand(80, generator=generator) - 1
    entries = tuple(torch.randint(n, (80,), generator=generator) for n in shape)
    expected = torch.zeros(shape)
    for *place, value in zip(*(x.tolist() for x in entries), overlap.tolist(), strict=True):
        expected[tuple(place)] = max(value, 0.0)
    torch.testing.assert_close(target(shape, entries, overlap), expected)


def test_a_plain_indexed_write_passes_the_exercise(capsys: pytest.CaptureFixture[str]) -> None:
    """On one small map it lets the last entry stand; learners may write it."""

    def written(shape: tuple[int, ...], entries: tuple[torch.Tensor, ...], overlap: torch.Tensor) -> torch.Tensor:
        result = torch.zeros(shape)
        result[entries] = overlap.detach().clamp(min=0)
        return result

    checks.objectness_map(written)
    assert "11.2 is right" in capsys.readouterr().out


def test_numbers_of_the_prose() -> None:
    assert round(math.log(2), 3) == 0.693
    assert round(-math.log(torch.tensor(1.0).sigmoid()), 2) == 0.31  # a doubled sigmoid, wanted 1
    starts = [prior_logits(stride, 5, 0.99999)[0] for stride in (8, 16, 32)]
    assert [round(x, 1) for x in starts] == [-6.7, -5.3, -3.9]
    for stride, ratio in ((8, 5351), (32, 198)):  # an entry against an empty cell
        q = 8 / (640 / stride) ** 2
        assert round(-math.log(q) / math.log(1 + q)) == ratio
    assert 1 - torch.tensor(15.0, dtype=torch.float64).sigmoid() == pytest.approx(3e-7, rel=0.03)
    terms = [-0.95 * math.log(0.95), -0.05 * math.log(0.05)]
    assert [round(term, 4) for term in terms] == [0.0487, 0.1498]
    assert LossSettings.r7(5).label_smoothing == LossSettings.r7(5).focal_gamma == LossSettings.r1(5).focal_gamma == 0
    for settings in (LossSettings.r1(5), LossSettings.r7(5)):
        assert settings.class_positive_weight == settings.objectness_positive_weight == 1
    assert loss_module.LossSettings.r1(5).balance == (1.0, 1.0, 1.0)
