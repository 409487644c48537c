"""Lesson 13: its figures, widgets and oracles say what the modules say; numbers that no cell of it computes."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import build
import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from yolo_edu import doctor
from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.figures import training_runs
from yolo_edu.course.widgets import frame
from yolo_edu.course.widgets.training import CLOSE, descend
from yolo_edu.data import Batch, Sample
from yolo_edu.loss import Loss
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.nms import Detections
from yolo_edu.optim import Ema, build_optimizer
from yolo_edu.recipe import RECIPES, rates

PROSE = (build.SOURCES / "13_training_loop.py").read_text(encoding="utf-8")
RESULTS = build.REPOSITORY / "benchmarks" / "results"
HISTORY = [
    {"epoch": 1, "box": 0.2, "objectness": 0.03, "classification": 0.2, "lr": 0.001},
    {"epoch": 2, "box": 0.1, "objectness": 0.02, "classification": 0.1, "lr": 0.002, "map50": 0.4},
]


def titles(figure: plt.Figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def heights(ax: plt.Axes) -> list[tuple[float, ...]]:
    return [tuple(line.get_ydata()) for line in ax.lines]


# --- figures --------------------------------------------------------------------------------------------


def test_the_schedules_are_drawn_from_rates() -> None:
    recipe = replace(RECIPES["reference"], batch=10, epochs=40, warmup_epochs=5.0)
    figure = figures.schedule_chart({"mine": recipe}, photos=215)
    whole, start, step, twin = figure.axes
    asked = [rates(recipe, i, 22) for i in range(40 * 22)]
    assert whole.lines[0].get_ydata().tolist() == [r.lr for r in asked]
    assert start.get_title() == "the warm-up, 110 iterations"
    first = asked[: round(1.4 * 110)]
    assert start.lines[0].get_ydata().tolist() == [r.bias_lr for r in first]
    assert step.lines[0].get_ydata().tolist() == [r.momentum for r in first]
    assert twin.lines[0].get_ydata().tolist() == [10 * r.accumulate for r in first]
    plt.close(figure)


def test_a_plain_way_through_the_valley_is_a_geometric_series() -> None:
    path = figures.valley_path(lambda p: torch.optim.SGD(p, lr=0.03), 12, steepness=20, start=(4.0, -2.0))
    wanted = [(4 * (1 - 0.03) ** n, -2 * (1 - 0.03 * 20) ** n) for n in range(13)]
    assert path == [pytest.approx(point) for point in wanted]


def test_the_titles_of_the_valley_measure_its_ways() -> None:
    figure = figures.optimizer_paths(steps=7, steepness=4)
    end = math.hypot(-9 * 0.97**7, 1.6 * (1 - 0.12) ** 7)
    assert titles(figure)[0] == f"SGD, lr 0.03: after 7 steps {end:.2f} from the lowest point"
    ends = [float(re.search(r"steps ([\d.]+) from", title)[1]) for title in titles(figures.optimizer_paths())]  # type: ignore[index]
    assert ends[0] == max(ends)  # what the description claims: plain SGD crawls
    plt.close("all")


def test_live_curves_are_drawn_when_it_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[Any] = []
    pages: list[Any] = []

    class Handle:
        def update(self, page: Any, *, raw: bool) -> None:
            assert raw
            pages.append(page)

    monkeypatch.setattr(training_runs, "display", lambda page, **how: (first.append((page, how)), Handle())[1])
    live = figures.LiveCurves(epochs=3, every=2)
    assert first[0][1] == {"display_id": True, "raw": True}
    assert "3 epochs begins" in first[0][0]["text/plain"]
    live(HISTORY[:1], {})
    assert pages == []
    live(HISTORY, {2: 0.3})
    live([*HISTORY, HISTORY[1] | {"epoch": 3}], {2: 0.3})  # the last epoch
    assert len(pages) == 2
    assert "box 0.200 to 0.100" in pages[0]["text/plain"]
    assert "mAP50 0.40" in pages[0]["text/html"]
    figure = live.draw(HISTORY, {1: 0.1, 2: 0.3})
    loss, quality, rate = figure.axes
    assert heights(loss) == [(0.2, 0.1), (0.03, 0.02), (0.2, 0.1)]
    assert heights(quality) == [(0.4,), (0.1, 0.3)]
    assert heights(rate) == [(0.001, 0.002)]
    plt.close("all")


def test_the_other_curves_draw_what_they_are_given() -> None:
    figure = figures.fit_curves({1: 0.4, 2: 0.2, 3: 0.1}, {1: 0.5, 2: 0.3, 3: 0.6})
    assert [t.get_text() for t in figure.axes[0].texts] == ["lowest validation loss: epoch 2"]
    plt.close(figure)
    figure = figures.rate_curves({"a": [3.0, 2, 1], "b": [3.0, math.inf, 4]})
    assert heights(figure.axes[0]) == [(3.0, 2, 1), (3.0, 4)]
    assert not figure.axes[0].texts
    plt.close(figure)
    figure = figures.rate_curves({"a": [3.0, 2, 1], "b": [3.0, 11.14, 4]})
    assert [t.get_text() for t in figure.axes[0].texts] == ["↑ 11.1"]
    plt.close(figure)


def test_settled_statistics_are_those_of_the_images() -> None:
    """In evaluation mode it says what training mode says (but for the n − 1 of the running variance)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    before = model[1].running_mean.clone()
    images = torch.randn(16, 3, 20, 20)
    twin = figures.settled(model, images)
    assert not twin.training
    assert torch.equal(model[1].running_mean, before)  # the model itself is left alone
    torch.testing.assert_close(twin(images), model.train()(images), rtol=1e-3, atol=1e-3)


def test_losses_on_adds_the_three_parts() -> None:
    batch = Batch(torch.ones(2, 3, 4, 4), torch.zeros(0, 6))
    wanted = Loss(*(torch.tensor(x) for x in (9.0, 1.0, 2.0, 4.0)))
    assert figures.losses_on(nn.Identity(), [batch, batch], lambda raw, targets: wanted) == [7.0, 7.0]


# --- widgets --------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: calls.append((widget, fallback)))
    return calls


@pytest.mark.parametrize(
    ("method", "make"),
    [
        ("classical momentum", lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.7)),
        ("Nesterov momentum", lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.7, nesterov=True)),
        ("Adam", lambda p: torch.optim.Adam(p, lr=0.03, betas=(0.7, 0.999))),
    ],
)
def test_the_widget_goes_the_way_of_torch_optim(method: str, make: Any) -> None:
    wanted = figures.valley_path(make, 30, steepness=12)
    assert descend(method, 0.03, 0.7, 12, 30) == [pytest.approx(point, rel=1e-6, abs=1e-9) for point in wanted]


def test_what_there_is_to_find_in_the_valley() -> None:
    """The folded answer below the widget, and the claim about Nesterov's version."""

    def end(method: str, lr: float, momentum: float = 0.8) -> float:
        return math.hypot(*descend(method, lr, momentum, 25.0)[-1])

    assert end("classical momentum", 0.1) < CLOSE
    assert end("classical momentum", 0.1, 0.0) > 1000  # plain steps
    assert end("Nesterov momentum", 0.05) < CLOSE
    assert end("Nesterov momentum", 0.07) > 1000
    assert all(end("Adam", lr) < 10 for lr in (0.1, 0.2, 0.5, 1.0))
    # The limit of a quadratic with curvature c: lr · c < 2 (1 + m) / (1 + 2m), and 2 (1 + m) for the classical one.
    for m in (0.5, 0.8, 0.9):
        for method, limit in (("Nesterov momentum", 2 * (1 + m) / (1 + 2 * m)), ("classical momentum", 2 * (1 + m))):
            below, above = (descend(method, s * limit / 25, m, 25.0, 2000)[-1][1] for s in (0.97, 1.03))
            assert abs(below) < 1e-3 < 1e3 < abs(above)


def test_optimizer_explorer_counts_the_steps(shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.optimizer_explorer()
    controls, view = explorer.controls, explorer.view
    assert "Nesterov momentum, learning rate 0.03, momentum 0.80" in shown[0][1]
    far = [math.hypot(*p) for p in descend("Nesterov momentum", 0.03, 0.8, 25)]
    arrived = next(k for k in range(len(far)) if max(far[k:]) < CLOSE)
    assert f"from step <b>{arrived}</b> on" in view.value
    assert f"from step {arrived} on" in re.search(r'alt="([^"]+)"', view.value)[1]  # type: ignore[index]
    controls["lr"].value = 0.1
    assert "it runs away" in view.value
    controls["method"].value = "classical momentum"
    assert "closer than 0.1" in view.value
    controls["lr"].value = 0.001
    controls["momentum"].value = 0.0
    left = math.hypot(*descend("classical momentum", 0.001, 0.0, 25)[-1])
    assert f"still <b>{left:.2f}</b> from the lowest point after 60 steps" in view.value


def test_training_replay_counts_what_it_shows(shown: list[tuple[Any, str]]) -> None:
    photo = Sample(
        torch.full((3, 60, 80), 120, dtype=torch.uint8),
        torch.tensor([[10.0, 10, 30, 40], [50, 10, 70, 50]]),
        torch.tensor([0, 1]),
    )
    boxes = torch.tensor([[10.0, 10, 30, 40], [50, 10, 70, 50]])
    frames = {
        1: [Detections(boxes[:1], torch.tensor([0.1]), torch.tensor([1]))],  # the right place, the wrong name
        2: [Detections(boxes, torch.tensor([0.9, 0.2]), torch.tensor([0, 1]))],
    }
    explorer = widgets.training_replay([photo], frames, HISTORY, ["ace", "king"])
    epoch, confidence, view = explorer.controls["epoch"], explorer.controls["confidence"], explorer.view
    assert epoch.value == 2
    assert "After epoch <b>2</b>: training loss 0.220, mAP50 <b>0.40</b>" in view.value
    assert "<b>1</b> boxes, <b>1</b> of them right; 2 objects are there" in view.value
    assert 'alt="A photo with boxes: ace 0.90"' in view.value
    confidence.value = 0.05
    assert "<b>2</b> boxes, <b>2</b> of them right" in view.value
    epoch.value = 1
    assert "After epoch <b>1</b>: training loss 0.430. Above confidence 0.05" in view.value
    assert "<b>1</b> boxes, <b>0</b> of them right" in view.value
    assert "2 epochs, epoch 1 marked" in view.value
    assert "After epoch <b>2</b>" in shown[0][1]  # the default state, for pages without widgets


# --- the oracles of the exercises -------------------------------------------------------------------------


def not_filled_in(*_: object) -> None:
    raise NotImplementedError


def test_the_step_is_torch_s() -> None:
    step = checks.nesterov_step(not_filled_in)  # type: ignore[arg-type]
    p = torch.randn(5, dtype=torch.float64, requires_grad=True)
    mine, buffer = p.detach().clone(), torch.zeros(5, dtype=torch.float64)
    theirs = torch.optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.02)
    for _ in range(6):
        p.grad = torch.randn(5, dtype=torch.float64)
        mine, buffer = step(mine, p.grad, buffer, 0.1, 0.9, 0.02)
        theirs.step()
        torch.testing.assert_close(mine, p.detach())


def test_the_average_is_ema_s() -> None:
    update = checks.ema_update(not_filled_in)  # type: ignore[arg-type]
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ema = Ema(network, 0.99, 7.0)
    average = {name: x.clone() for name, x in network.state_dict().items()}
    for updates in range(1, 9):
        network(torch.randn(6, 3))
        with torch.no_grad():
            network[0].weight.add_(torch.randn(4, 3))
        ema.update(network)
        average = update(average, network.state_dict(), updates, 0.99, 7.0)  # type: ignore[assignment]
    for name, x in ema.model.state_dict().items():
        torch.testing.assert_close(average[name], x)
    assert average["1.num_batches_tracked"] == 0


@pytest.mark.parametrize("kind", [YOLOv5, YOLOv5v6])
def test_the_groups_are_the_optimizer_s(kind: Any) -> None:
    groups = checks.parameter_groups(not_filled_in)  # type: ignore[arg-type]
    model = kind((0.33, 0.125), 5)
    named = dict(model.named_parameters())
    for names, group in zip(groups(model), build_optimizer(model, RECIPES["short"]).param_groups, strict=True):
        assert {id(named[name]) for name in names} == {id(p) for p in group["params"]}


def test_two_thirds_of_the_tensors_are_not_decayed() -> None:
    tensors = [len(g["params"]) for g in build_optimizer(YOLOv5v6("n", 5), RECIPES["reference"]).param_groups]
    assert (tensors[0] + tensors[2]) / sum(tensors) == pytest.approx(2 / 3, abs=0.01)


# --- numbers in the prose ---------------------------------------------------------------------------------


def test_measured_numbers_in_the_prose() -> None:
    table = json.loads((RESULTS / "time_to_map_cards.json").read_text())["table"]
    half = next(row for row in table if row["map50"] == 0.5)
    assert "after 30 to 38 seconds" in PROSE
    assert (round(min(half["short"])), round(max(half["short"]))) == (30, 38)
    assert re.search(r"reference recipe after 118 to 256", PROSE.replace("\n# ", " "))
    assert (round(min(half["reference"])), round(max(half["reference"]))) == (118, 256)
    assert "256, 118 and 227 seconds" in PROSE
    assert [round(seconds) for seconds in half["reference"]] == [256, 118, 227]
    killed = json.loads((RESULTS / "kill_and_resume.json").read_text())
    assert "20 runs, killed 47 times in all" in PROSE
    assert (killed["runs"], killed["kills"], killed["equal"]) == (20, 47, 20)


def test_the_schedules_of_the_prose() -> None:
    """Release 7.0 is linear; the accumulation grows from 1 to 4; at momentum 0.937 a step is almost 16 rates long."""
    reference = RECIPES["reference"]
    assert reference.schedule == "linear"
    assert [rates(reference, i, 14).accumulate for i in (0, 99, 500)] == [1, 4, 4]
    assert 15.5 < 1 / (1 - reference.momentum) < 16
    assert round(100 * 0.9999 * (1 - math.exp(-10_000 / 2000))) == 99
    assert (reference.lr, reference.final_lr, reference.warmup_bias_lr, reference.warmup_momentum) == (
        *(0.01, 0.01, 0.1, 0.8),
    )
    assert (reference.momentum, doctor.INITIAL_FACTOR) == (0.937, 2.0)
    assert reference.clip_norm == RECIPES["short"].clip_norm == 10
