"""Anchor fit against the golden numbers and a plain loop; the search against what the reference reached."""

import importlib
import json
from collections.abc import Callable

import pytest
import torch
from conftest import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from yolo_edu import anchors as module
from yolo_edu.anchors import AnchorFit, default_anchors, evolve, fit, propose, shares
from yolo_edu.model import YOLOv5v6
from yolo_edu.model.detect import ANCHORS

CASES = json.loads((GOLDEN / "anchors.json").read_text())

# Whole pixels meet ratios of exactly 4, where "strictly" counts.
side = st.integers(1, 640) | st.floats(0.5, 640, allow_subnormal=False)
size_lists = st.lists(st.tuples(side, side), min_size=1, max_size=12)
anchor_lists = st.lists(st.tuples(side, side), min_size=3, max_size=9).filter(lambda x: len(x) % 3 == 0)


def as_sizes(rows: list[tuple[float, float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def golden_sizes(name: str) -> Tensor:
    return torch.tensor(CASES[name]["wh"])


def loop_fit(sizes: Tensor, anchors: Tensor, threshold: float) -> AnchorFit:
    """The definition, label by label and anchor by anchor; Python's floats are float64, so ties fall alike."""
    reached, fitting, total = 0, 0, 0.0
    for w, h in sizes.tolist():
        best = 0.0
        for aw, ah in anchors.reshape(-1, 2).tolist():
            rw, rh = w / aw, h / ah
            x = min(rw, 1 / rw, rh, 1 / rh)
            fitting += x > 1 / threshold
            best = max(best, x)
        if best > 1 / threshold:
            reached += 1
            total += best
    return AnchorFit(reached / len(sizes), fitting / len(sizes), total / len(sizes))


@pytest.mark.parametrize("name", CASES)
def test_golden_fit(name: str) -> None:
    case = CASES[name]
    assert fit(golden_sizes(name), default_anchors()) == pytest.approx(
        (case["bpr"], case["aat"], case["fitness"]), rel=1e-5
    )
    evolved = fit(golden_sizes(name), torch.tensor(case["evolved"]["anchors"])[None])
    assert evolved.best_possible_recall == pytest.approx(case["evolved"]["bpr"], rel=1e-5)
    # The golden anchors were rounded to 0.01 pixels after they were judged.
    assert evolved.fitness == pytest.approx(case["evolved"]["fitness"], abs=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_search_is_no_worse_than_the_reference(name: str) -> None:
    sizes, golden = golden_sizes(name), CASES[name]["evolved"]
    found = evolve(sizes)
    assert found.shape == (3, 3, 2)
    assert found.dtype == torch.float32
    areas = found.prod(dim=2).flatten()
    assert (areas.diff() >= 0).all()
    assert (found >= 2).all()
    reached = fit(sizes, found)
    assert reached.fitness >= golden["fitness"]
    assert reached.best_possible_recall > fit(sizes, default_anchors()).best_possible_recall


@given(size_lists, anchor_lists, st.sampled_from([1.5, 2.0, 2.91, 4.0, 8.0]))
def test_equals_the_loop(
    sizes: list[tuple[float, float]], anchors: list[tuple[float, float]], threshold: float
) -> None:
    labels, shapes = as_sizes(sizes), as_sizes(anchors).reshape(3, -1, 2)
    assert fit(labels, shapes, threshold) == pytest.approx(loop_fit(labels, shapes, threshold), abs=1e-12)


@given(size_lists, anchor_lists, st.sampled_from([1.5, 4.0]))
def test_shares_equal_the_loop(
    sizes: list[tuple[float, float]], anchors: list[tuple[float, float]], threshold: float
) -> None:
    takes, nearest = [0] * len(anchors), [0] * len(anchors)
    for w, h in sizes:
        ratios = [(w / a, h / b) for a, b in anchors]
        near = [min(rw, 1 / rw, rh, 1 / rh) for rw, rh in ratios]
        takes = [count + (x > 1 / threshold) for count, x in zip(takes, near, strict=True)]
        nearest[near.index(max(near))] += 1
    labels, shapes = as_sizes(sizes), as_sizes(anchors).reshape(3, -1, 2)
    found = shares(labels, shapes, threshold)
    assert found.takes.tolist() == pytest.approx([count / len(sizes) for count in takes])
    assert found.nearest.tolist() == pytest.approx([count / len(sizes) for count in nearest])
    assert found.takes.sum().item() == pytest.approx(fit(labels, shapes, threshold).anchors_above_threshold)


@given(size_lists, anchor_lists, st.integers(-8, 8))
def test_the_unit_does_not_matter(
    sizes: list[tuple[float, float]], anchors: list[tuple[float, float]], power: int
) -> None:
    """A power of two changes no digit of a ratio: equal, not nearly equal."""
    labels, shapes = as_sizes(sizes), as_sizes(anchors).reshape(3, -1, 2)
    assert fit(labels * 2.0**power, shapes * 2.0**power) == fit(labels, shapes)


@given(size_lists, anchor_lists)
def test_width_and_height_are_treated_alike(
    sizes: list[tuple[float, float]], anchors: list[tuple[float, float]]
) -> None:
    labels, shapes = as_sizes(sizes), as_sizes(anchors).reshape(3, -1, 2)
    assert fit(labels.flip(1), shapes.flip(2)) == fit(labels, shapes)


@settings(max_examples=10)
@given(size_lists, st.integers(0, 6), st.integers(0, 99))
def test_the_search_scales_with_the_labels(sizes: list[tuple[float, float]], power: int, seed: int) -> None:
    """Far above the 2 pixel floor nothing in the search knows a unit."""
    labels = 100 + as_sizes(sizes)
    small, large = (evolve(labels * s, count=3, generations=10, seed=seed) for s in (1.0, 2.0**power))
    assert torch.equal(small * 2.0**power, large)


@settings(max_examples=10)
@given(size_lists, st.integers(0, 99))
def test_generations_never_lower_the_fitness(sizes: list[tuple[float, float]], seed: int) -> None:
    labels = 2 + as_sizes(sizes)
    start, end = (fit(labels, evolve(labels, count=3, generations=g, seed=seed)) for g in (0, 30))
    assert end.fitness >= start.fitness - 1e-6  # float32 results of a float64 search


def test_the_mutations_earn_their_time() -> None:
    sizes = golden_sizes("coco_like")
    assert fit(sizes, evolve(sizes, generations=100)).fitness > fit(sizes, evolve(sizes, generations=0)).fitness


def test_kmeans_finds_clear_clusters() -> None:
    generator = torch.Generator().manual_seed(0)
    centers = torch.tensor(ANCHORS, dtype=torch.float64).reshape(-1, 2)
    sizes = centers.repeat(40, 1) * (1 + 0.02 * torch.randn(360, 2, generator=generator, dtype=torch.float64))
    found = evolve(sizes, generations=20)
    by_area = centers[centers.prod(dim=1).argsort()].reshape(3, 3, 2)
    torch.testing.assert_close(found.double(), by_area, rtol=0.03, atol=0)


def test_a_four_times_larger_label_is_out_of_reach() -> None:
    anchors = torch.tensor([[[10.0, 10.0]]])
    assert fit(torch.tensor([[40.0, 10.0]]), anchors) == (0, 0, 0)
    assert fit(torch.tensor([[39.0, 10.0]]), anchors) == (1, 1, pytest.approx(10 / 39))
    assert fit(torch.tensor([[0.0, 10.0]]), anchors) == (0, 0, 0)  # a label without a width divides nothing by zero


def test_same_seed_same_anchors() -> None:
    sizes, state = golden_sizes("tiny"), torch.get_rng_state()
    first, again, other = (evolve(sizes, generations=20, seed=s) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state), "the search must not touch the global generator"


def test_fewer_labels_than_anchors() -> None:
    sizes = torch.tensor([[12.0, 40.0], [100.0, 30.0]])
    found = evolve(sizes, generations=20)
    assert found.shape == (3, 3, 2)
    assert fit(sizes, found).fitness == pytest.approx(1)


@pytest.mark.parametrize("size", [(30.0, 30.0), (0.7, 50.0)])
def test_all_labels_alike(size: tuple[float, float]) -> None:
    found = evolve(torch.tensor([size] * 20), generations=20)
    wanted = torch.tensor(size).clamp(min=2)
    torch.testing.assert_close(found, wanted.expand(3, 3, 2))


def test_labels_of_one_width() -> None:
    sizes = torch.stack([torch.full((50,), 16.0), torch.linspace(10, 300, 50)], dim=1)
    assert fit(sizes, evolve(sizes, generations=20)).best_possible_recall == 1


def test_specks_shape_no_anchor() -> None:
    boxes = torch.tensor([[30.0, 20.0], [80.0, 90.0], [1.5, 60.0]])
    specks = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * 1.9
    with_specks = evolve(torch.cat([boxes, specks]), generations=20)
    assert torch.equal(with_specks, evolve(boxes, generations=20))


def test_many_labels_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, seen = golden_sizes("coco_like"), set()
    closeness = module.closeness

    def spy(sizes: Tensor, anchors: Tensor) -> Tensor:
        seen.add(len(sizes))
        return closeness(sizes, anchors)

    monkeypatch.setattr(module, "SAMPLE", 100)
    monkeypatch.setattr(module, "closeness", spy)
    found = evolve(sizes, generations=100)
    assert seen == {100}
    # A quarter of the labels stands for all of them.
    assert fit(sizes, found).fitness > fit(sizes, default_anchors()).fitness


def test_progress_is_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = golden_sizes("tiny")
    evolve(sizes, generations=2)
    assert capsys.readouterr().err == ""
    evolve(sizes, generations=2, progress=True)
    assert "anchors" in capsys.readouterr().err


def test_good_anchors_are_kept() -> None:
    sizes = default_anchors().reshape(-1, 2)
    anchors = YOLOv5v6("n", 5).anchors
    proposal = propose(sizes, anchors)
    assert proposal.anchors is anchors
    assert proposal.before == proposal.after == (1, pytest.approx(proposal.before[1]), pytest.approx(1))


def test_poor_anchors_are_replaced() -> None:
    sizes = golden_sizes("wide")
    proposal = propose(sizes, default_anchors())
    assert proposal.anchors.shape == (3, 3, 2)
    assert proposal.before == fit(sizes, default_anchors())
    assert proposal.after == fit(sizes, proposal.anchors)
    assert proposal.after.best_possible_recall > proposal.before.best_possible_recall
    YOLOv5v6("n", 5, anchors=proposal.anchors.tolist())  # what a caller does with them


@pytest.mark.parametrize(("missed", "searched"), [(1, False), (2, True)])
def test_the_search_starts_below_98_percent(missed: int, searched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 50 labels out of reach: exactly 0.98, enough. Two: 0.96."""
    anchors = torch.full((3, 3, 2), 20.0)
    sizes = torch.tensor([[20.0, 20.0]] * (50 - missed) + [[400.0, 400.0]] * missed)
    calls = []

    def no_better(sizes: Tensor, **options: object) -> Tensor:
        calls.append(options["count"])
        return anchors + 1

    monkeypatch.setattr(module, "evolve", no_better)
    proposal = propose(sizes, anchors)
    assert calls == ([9] if searched else [])
    assert proposal.anchors is anchors, "the found anchors reach no more labels: the old ones stay"
    assert proposal.after == proposal.before


GOOD = torch.tensor([[30.0, 20.0]])
BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: fit(torch.zeros(0, 2), default_anchors()), "no labels"),
    (lambda: fit(torch.zeros(4), default_anchors()), r"\(N, 2\)"),
    (lambda: fit(torch.tensor([[float("nan"), 3.0]]), default_anchors()), "finite"),
    (lambda: fit(torch.tensor([[-1.0, 3.0]]), default_anchors()), "negative"),
    (lambda: fit(GOOD, default_anchors().reshape(-1, 2)), r"\(L, A, 2\)"),
    (lambda: fit(GOOD, torch.zeros(3, 3, 2)), "positive"),
    (lambda: fit(GOOD, default_anchors(), 1.0), "above 1"),
    (lambda: evolve(torch.zeros(0, 2)), "no labels"),
    (lambda: evolve(torch.ones(5, 2)), "2 pixels"),
    (lambda: evolve(GOOD, count=10), "3 levels"),
    (lambda: evolve(GOOD, count=0), "3 levels"),
    (lambda: evolve(GOOD, threshold=0.0), "above 1"),
    (lambda: propose(torch.zeros(0, 2), default_anchors()), "no labels"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_benchmark_measures_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(GOLDEN.parents[1] / "benchmarks"))
    script = importlib.import_module("anchor_search")
    case = script.Case("tiny", golden_sizes("tiny"), CASES["tiny"]["evolved"])
    result = script.measure(case, range(2), 5)
    assert result["ways"]["default"] == fit(case.sizes, default_anchors())._asdict()
    found = [fit(case.sizes, evolve(case.sizes, generations=5, seed=seed)).fitness for seed in range(2)]
    assert result["ways"]["k-means + mutations"]["fitness"] == found
    assert result["seeds_at_golden_fitness"] == sum(f >= CASES["tiny"]["evolved"]["fitness"] - 1e-4 for f in found)
    text = script.table({"cases": {"tiny": result}})
    assert "| tiny, " in text
    assert f"of {len(found)} |" in text
