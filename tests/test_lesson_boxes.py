"""Lesson 09: its figures and widgets say what the live modules say, its checks know the right answers."""

import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import GOLDEN
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from torchvision.ops import nms

from yolo_edu import metrics
from yolo_edu.boxes import ciou, cxcywh_to_xyxy, diou, giou, iou, pairwise_iou
from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.figures.boxes_descent import MEASURES
from yolo_edu.course.widgets import frame
from yolo_edu.data import Sample
from yolo_edu.nms import Detections


def words(figure: plt.Figure) -> str:
    text = "\n".join(text.get_text() for text in figure.findobj(Text))
    plt.close(figure)
    return text


# --- figures --------------------------------------------------------------------------------------------


def test_the_family_s_values_come_from_the_module() -> None:
    guess, target = (0.0, 0.0, 40.0, 20.0), (30.0, 10.0, 50.0, 70.0)
    text = words(figures.iou_family([(guess, target)]))
    a, b = torch.tensor(guess), torch.tensor(target)
    assert "100 / 1,900\nIoU = 0.05" in text  # 10 · 10 shared; 800 + 1200 − 100
    for name, measure in (("GIoU", giou), ("DIoU", diou), ("CIoU", ciou)):
        assert f"{name} = {float(measure(a, b)):.2f}".replace("-", "−") in text
    assert f"0.05 − {float(iou(a, b) - giou(a, b)):.2f}" in text
    assert "0 / 1,968\nIoU = 0.00" in words(figures.iou_family())


def test_the_envelope_s_numbers_come_from_the_module() -> None:
    right = [False, True, True]
    text = words(figures.pr_envelope(right, 4))
    for wanted in ("0/1 = 0.00", "1/2 = 0.50", "2/3 = 0.67", "2/4"):
        assert wanted in text
    assert f"AP = {metrics.average_precision(np.array(right)[:, None], 4)[0]:.3f}" in text
    assert "AP = 0.647" in words(figures.pr_envelope())


@pytest.mark.parametrize("name", list(MEASURES))
def test_descend_equals_a_slow_loop(name: str) -> None:
    """Box by box, with the gradient from differences."""
    start, target = figures.scattered_pairs(1)
    start, target = start[::9] * 0.7, target[::9]
    run = figures.descend(MEASURES[name], start, target, steps=10)
    for n in range(len(start)):
        box, goal = start[n].clone(), cxcywh_to_xyxy(target[n])
        for step in range(10):
            torch.testing.assert_close(run.boxes[step, n], box, rtol=1e-3, atol=1e-4)
            assert run.overlap[step, n] == pytest.approx(float(iou(cxcywh_to_xyxy(box), goal)), abs=1e-3)
            pace = 0.1 if step < 8 else 0.01 if step < 9 else 0.001
            slope = torch.autograd.functional.jacobian(lambda x: MEASURES[name](cxcywh_to_xyxy(x), goal), box)  # noqa: B023
            box = box + pace * (2 - iou(cxcywh_to_xyxy(box), goal)) * slope
            box[2:] = box[2:].clamp(min=1e-3)


def test_scattered_pairs_are_what_the_lesson_says() -> None:
    start, target = figures.scattered_pairs()
    assert start.shape == target.shape == (540, 4)
    assert {round(v, 6) for v in target[:, 2:].prod(dim=1).tolist()} == {1.0}
    assert {round(v, 6) for v in start[:, 2:].prod(dim=1).tolist()} == {0.5, 1.0, 2.0}
    assert {round(v, 6) for v in (start[:, 2] / start[:, 3]).tolist()} == {0.25, 1.0, 4.0}
    assert start[:, :2].norm(dim=1).max() <= 3
    assert len(torch.cat([start, target], dim=1).unique(dim=0)) == 540


def test_the_descent_s_titles_come_from_its_runs() -> None:
    pairs = figures.scattered_pairs(1)
    runs = {"IoU": figures.descend(iou, *pairs, steps=5), "GIoU": figures.descend(giou, *pairs, steps=5)}
    text = words(figures.box_descent(runs, runs, pairs[1]))
    apart = int((runs["IoU"].overlap[0] == 0).sum())
    for wanted in (
        "mean IoU of 27 pairs",
        f"area of the {apart} that",
        f"ends at IoU {runs['GIoU'].overlap[-1, 0]:.2f}",
    ):
        assert wanted in text


@given(st.integers(0, 1000), st.integers(1, 30), st.booleans())
def test_suppressed_by_equals_torchvision_and_names_the_culprit(seed: int, count: int, classes: bool) -> None:
    g = torch.Generator().manual_seed(seed)
    corner = 60 * torch.rand(count, 2, generator=g)
    boxes = torch.cat([corner, corner + 20 + 20 * torch.rand(count, 2, generator=g)], dim=1)
    scores = torch.rand(count, generator=g).sort(descending=True).values
    labels = torch.randint(2, (count,), generator=g) if classes else torch.zeros(count, dtype=torch.int64)
    owner = figures.suppressed_by(boxes, scores, 0.4, labels if classes else None)
    kept = nms(boxes + 1000 * labels[:, None], scores, 0.4)
    assert (owner == torch.arange(count)).nonzero()[:, 0].tolist() == kept.tolist()
    overlap = pairwise_iou(boxes, boxes)
    for i, o in enumerate(owner.tolist()):
        rivals = [k for k in kept.tolist() if k < i and labels[k] == labels[i] and overlap[i, k] > 0.4]
        assert o == (rivals[0] if rivals else i)


def test_suppression_steps_count_what_they_show() -> None:
    image = torch.full((3, 60, 60), 90, dtype=torch.uint8)
    boxes = torch.tensor([[0.0, 0, 20, 20], [1, 0, 21, 20], [30, 30, 50, 50], [0, 1, 20, 21]])
    text = words(
        figures.suppression_steps(
            image, boxes, torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0, 0, 1, 1]), ["ace", "king"]
        )
    )
    for wanted in ("4 candidates", "keep ace 0.90, 1 go", "keep king 0.70, 0 go", "keep king 0.60, 0 go", "3 are left"):
        assert wanted in text


def test_photo_and_square_say_the_size_of_what_they_show() -> None:
    boxes = torch.tensor([[5.0, 5, 20, 20], [30, 30, 50, 50]])
    pictures = {"one": (torch.zeros(3, 60, 80), boxes), "two": (torch.zeros(3, 40, 40), boxes / 2)}
    text = words(figures.photo_and_square(pictures, ["ace", "king"]))
    for wanted in ("one, 80 × 60 pixels", "two, 40 × 40 pixels", "ace", "king"):
        assert wanted in text


# --- widgets --------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: calls.append((widget, fallback)))
    return calls


def test_overlap_explorer_measures_and_points(shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.overlap_explorer()
    canvas, measure, view = explorer.controls["boxes"], explorer.controls["measure"], explorer.view
    assert canvas.overlay.count("<polygon") == 4  # GIoU pulls every edge
    measure.value = "IoU"
    assert "IoU pulls nowhere: the gradient is zero on all four edges" in view.value
    assert "<polygon" not in canvas.overlay
    canvas.value = [[190.0, 100, 210, 160], [180.0, 90, 260, 210]]  # inside the target: outwards, on every edge
    for measure.value in ("GIoU", "IoU"):
        edges = re.findall(r"the (\w+) edge goes (\w+)", view.value)
        assert edges == [("left", "left"), ("top", "up"), ("right", "right"), ("bottom", "down")]
    pair = torch.tensor(canvas.value)
    for name, f in MEASURES.items():
        value = float(f(pair[0], pair[1]))
        bold = f"<b>{name}</b>" if name == "IoU" else name
        assert f"<td>{bold}</td><td>{value:.3f}</td><td>{1 - value:.3f}</td>".replace("-", "−") in view.value
    assert 'fill="#f0e442"' in canvas.overlay  # the overlap
    measure.value = "CIoU"
    assert canvas.overlay.count('stroke-dasharray="6 3"') == 1  # between the centers
    assert "<polygon" in shown[0][1]  # the still picture has the arrows too


def test_what_there_is_to_find_among_the_arrows() -> None:
    """The folded answer below the widget."""
    slope = widgets.boxes._gradient
    target = (180, 90, 260, 210)
    assert slope("IoU", (40, 40, 130, 100), target) == [0, 0, 0, 0]
    for name in ("GIoU", "DIoU", "CIoU"):
        left, top, right, bottom = slope(name, (40, 40, 130, 100), target)
        assert min(right, bottom) > 2 * max(abs(left), abs(top))
    flat = [slope(name, (190, 145, 250, 155), target) for name in ("IoU", "CIoU")]
    ratio = [bottom / right for _, _, right, bottom in flat]
    assert ratio[1] > 2 * ratio[0] > 10


PHOTO = Sample(
    torch.full((3, 60, 80), 90, dtype=torch.uint8),
    torch.tensor([[0.0, 0, 20, 20], [30, 30, 50, 50]]),
    torch.tensor([0, 1]),
)
SAID = Detections(
    torch.tensor([[0.0, 0, 20, 20], [1, 0, 21, 20], [0, 1, 20, 21], [30, 30, 50, 50]]),
    torch.tensor([0.9, 0.8, 0.7, 0.3]),
    torch.tensor([0, 0, 1, 1]),
)


def test_suppression_explorer_counts_what_it_draws(shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.suppression_explorer({"<one>": PHOTO}, {"<one>": SAID}, ["ace", "<king>"])
    controls, view = explorer.controls, explorer.view
    assert "4 candidates, 3 kept, 1 suppressed.</b> Right: 2, objects: 2" in view.value
    assert "<td>1 ace</td><td>0.90</td><td>1</td><td>right</td>" in view.value
    assert "<td>2 &lt;king&gt;</td><td>0.70</td><td>0</td><td>wrong</td>" in view.value
    assert view.value.count('stroke-dasharray="4 3"') == 2  # a line and its rim
    controls["agnostic"].value = True
    assert "4 candidates, 2 kept, 2 suppressed" in view.value
    controls["confidence"].value = 0.4
    assert "3 candidates, 1 kept, 2 suppressed.</b> Right: 1, objects: 2" in view.value
    controls["iou"].value = 1.0
    assert "3 candidates, 3 kept, 0 suppressed" in view.value
    assert 'aria-label="&lt;one&gt;: 3 candidates' in view.value
    controls["confidence"].value = 0.95
    assert "0 candidates, 0 kept" in view.value
    assert "4 candidates" in shown[0][1]


def test_threshold_explorer_counts_by_hand(shown: list[tuple[Any, str]]) -> None:
    truth, found = [PHOTO, PHOTO], [SAID, Detections(SAID.boxes[:1], SAID.scores[:1] / 2, SAID.labels[:1])]
    explorer = widgets.threshold_explorer(truth, found, ["ace", "king"], threshold=0.5)
    controls, view = explorer.controls, explorer.view

    def counts() -> list[str]:
        return re.findall(r"<td><b>([\d.]+)</b></td>", view.value)

    # aces by score: right 0.9, duplicate 0.8, right 0.45 in the other photo; two exist
    ap = metrics.average_precision(np.array([True, False, True])[:, None], 2)[0]
    assert counts() == ["1", "1", "1", f"{ap:.3f}"]
    assert "precision 0.50, recall 0.50, F1 0.50" in view.value
    controls["threshold"].value = 0.4
    assert counts() == ["2", "1", "0", f"{ap:.3f}"]
    controls["threshold"].value = 0.96
    assert counts()[:3] == ["0", "0", "2"]
    assert "precision 1.00, recall 0.00, F1 0.00" in view.value
    controls["name"].value = 1
    controls["threshold"].value = 0.5
    assert counts()[:3] == ["0", "1", "2"]  # the king at 0.7 lies on an ace
    assert "Precision over recall. king" in view.value
    assert "AP at IoU 0.50" in view.value
    controls["iou"].value = 9
    assert "AP at IoU 0.95" in view.value
    assert "recall 0.50" in shown[0][1]


def test_threshold_explorer_bears_a_class_without_detections(shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.threshold_explorer([PHOTO], [SAID], ["ace", "king", "queen"], start="ace")
    explorer.controls["name"].value = 2
    assert "queen, confidence above 0.50: precision 1.00, recall 0.00" in explorer.view.value


# --- the oracles of the exercises -----------------------------------------------------------------------


def not_filled_in(*_: object) -> None:
    raise NotImplementedError


def test_the_checks_go_on_with_what_the_modules_do() -> None:
    pairs, suppress = checks.iou_pairs(not_filled_in), checks.suppress(not_filled_in)
    with np.load(GOLDEN / "matching_v7.npz") as golden:
        boxes = torch.from_numpy(golden["c0_detections"])[:, :5].float()
    torch.testing.assert_close(pairs(boxes[:-1, :4], boxes[1:, :4]), iou(boxes[:-1, :4], boxes[1:, :4]))
    assert suppress(boxes[:, :4], boxes[:, 4], 0.5).tolist() == nms(boxes[:, :4], boxes[:, 4], 0.5).tolist()


def test_average_precision_s_oracle_takes_any_order() -> None:
    ap = checks.average_precision(not_filled_in)
    rng = np.random.default_rng(0)
    correct, scores = rng.random(30) < 0.6, rng.permutation(30) / 30
    expected = metrics.average_precision(correct[np.argsort(-scores)][:, None], 25)[0]
    assert ap(torch.from_numpy(scores), torch.from_numpy(correct), 25) == pytest.approx(expected, rel=1e-12)
