"""Networks with one fault: only the oracle of that fault helps. And each oracle changes what it says, no more."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import make_data
from test_metrics import PIXELS, random_image, seeds
from test_mistakes import NAMES, scene
from torch import Tensor, nn

from yolo_edu.boxes import cxcywh_to_xyxy, iou, xyxy_to_cxcywh
from yolo_edu.data import DetectionData, Sample, letterbox, read_spec
from yolo_edu.errors import UserError
from yolo_edu.evaluate import detect_all
from yolo_edu.mistakes import HIT, NEAR
from yolo_edu.model import YOLOv5v6
from yolo_edu.nms import Detections, nms
from yolo_edu.oracle import SWAPS, measure_gains, swap_outputs, true_ranking
from yolo_edu.report import measure

LABELS = {"a": "0 0.3 0.5 0.2 0.3\n1 0.7 0.5 0.3 0.3\n", "b": "1 0.5 0.5 0.8 0.8\n", "c": ""}
ORACLES = ("class", "box", "objectness", "ranking")


@pytest.fixture
def data(tmp_path: Path) -> DetectionData:
    """Two images of cats and dogs, well apart, and one of nothing."""
    return DetectionData(read_spec(make_data(tmp_path / "set", LABELS)), "train", 64)


class Fixed(nn.Module):
    """Gives the rows it was made with, whatever it is shown."""

    names, classes, strides, device = ("cat", "dog"), 2, (8, 16, 32), torch.device("cpu")

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[bool] = []

    def rows(self, images: Tensor) -> Tensor:
        assert images.shape == (len(self.answer), 3, 64, 64)
        self.asked.append(self.training)
        return self.answer


def right_rows(data: DetectionData) -> Tensor:
    """(3, 6, 7): up to two right rows an image, then rows about nothing."""
    rows = torch.zeros(len(data), 6, 7)
    rows[..., :4] = torch.tensor([2.0, 2, 3, 3])  # a corner in which nothing is
    for image, sample in zip(rows, data, strict=True):
        n = len(sample.labels)
        image[:n, :4] = xyxy_to_cxcywh(letterbox(sample.image, 64)[1].apply(sample.boxes))
        image[:n, 4] = 0.8
        image[torch.arange(n), 5 + sample.labels] = 0.9
    return rows


def wrong_class(rows: Tensor) -> Tensor:
    return torch.cat([rows[..., :5], rows[..., 5:].flip(-1)], dim=-1)


def wrong_box(rows: Tensor) -> Tensor:
    return torch.cat([rows[..., :2], rows[..., 2:4] * 0.55, rows[..., 4:]], dim=-1)  # IoU 0.3


def loose_box(rows: Tensor) -> Tensor:
    return torch.cat([rows[..., :2], rows[..., 2:4] * 0.85, rows[..., 4:]], dim=-1)  # IoU 0.72


def silent(rows: Tensor) -> Tensor:
    return torch.cat([rows[..., :4], 0 * rows[..., 4:5], rows[..., 5:]], dim=-1)


def sees_ghosts(rows: Tensor) -> Tensor:
    rows = rows.clone()
    rows[:, -1, 4:] = 1  # surest of all, where nothing is, of both classes
    return rows


# Fault → mAP50 and mAP50-95 as it is, and what each oracle makes of them.
CASES: dict[str, tuple[Callable[[Tensor], Tensor], tuple[float, float], dict[str, tuple[float, float]]]] = {
    "none": (lambda rows: rows, (1, 1), {}),
    "class": (wrong_class, (0, 0), {"class": (1, 1)}),
    "box": (wrong_box, (0, 0), {"box": (1, 1)}),
    "loose box": (loose_box, (1, 0.5), {"box": (1, 1)}),
    "silence": (silent, (0, 0), {"objectness": (1, 1)}),
    # A cat in the best case after 3 ghosts: precision 1/4; a dog: 2/5.
    "ghosts": (sees_ghosts, (0.325, 0.325), {"objectness": (1, 1), "ranking": (1, 1)}),
    "class and box": (lambda rows: wrong_class(wrong_box(rows)), (0, 0), {}),  # two faults: no oracle alone helps
}


@pytest.mark.parametrize("fault", CASES)
def test_only_the_right_oracle_helps(data: DetectionData, fault: str) -> None:
    spoil, start, helped = CASES[fault]
    model = Fixed(spoil(right_rows(data)))
    truth, found = swap_outputs(model, data, progress=False)
    gains = {gain.name: gain for gain in measure_gains(truth, found, data.names)}
    assert list(gains) == ["as it is", *SWAPS, "all three", "ranking"]
    assert model.asked == [False]  # once, in evaluation mode
    assert model.training
    for name in ("as it is", *ORACLES):
        expected = pytest.approx(helped.get(name, start), abs=1e-6)
        assert (gains[name].map50, gains[name].map) == expected, name
        assert gains[name].gain50 == pytest.approx(gains[name].map50 - start[0])
        assert gains[name].gain == pytest.approx(gains[name].map - start[1])
    whole = fault != "class and box"  # a class is corrected only where the box finds an object
    assert gains["all three"].map == pytest.approx(1 if whole else 0, abs=1e-6)


def test_as_it_is_equals_detection(data: DetectionData) -> None:
    torch.manual_seed(0)
    model = YOLOv5v6((0.33, 0.125), 2).train()
    truth, found = detect_all(model.eval(), data, progress=False)
    swapped = swap_outputs(model.train(), data, batch_size=2, progress=False)
    assert model.training
    assert sum(len(f.labels) for f in found)
    for ours, theirs in zip(swapped.found["as it is"], found, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)
    for ours, theirs in zip(swapped.truth, truth, strict=True):
        assert ours.image.shape == theirs.image.shape
        assert torch.equal(ours.boxes, theirs.boxes)


# --- what is changed ------------------------------------------------------------------------------------


def slow_swap(name: str, values: list[float], boxes: Tensor, labels: Tensor) -> list[float]:
    row = list(values)
    box = cxcywh_to_xyxy(torch.tensor(row[:4]))
    overlaps = [float(iou(box, truth)) for truth in boxes]
    best = max(overlaps, default=0.0)
    if name == "objectness":
        row[4] = best
    elif name == "class" and best >= HIT:
        row[5:] = [float(k == labels[overlaps.index(best)]) for k in range(3)]
    elif name == "box" and best >= NEAR:
        row[:4] = xyxy_to_cxcywh(boxes[overlaps.index(best)]).tolist()
    return row


@given(seed=seeds, objects=st.integers(0, 6), count=st.integers(0, 20), name=st.sampled_from(list(SWAPS)))
def test_swaps_equal_slow_loop(seed: int, objects: int, count: int, name: str) -> None:
    (_, boxes, labels), found = random_image(seed, objects, count)
    rest = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed))
    rows = torch.cat([xyxy_to_cxcywh(found.boxes), rest], dim=1)
    before = rows.clone()
    expected = [slow_swap(name, values, boxes, labels) for values in rows.tolist()]
    swapped = SWAPS[name](rows, boxes, labels)
    torch.testing.assert_close(swapped, torch.tensor(expected).reshape(-1, 8))
    assert torch.equal(rows, before)


def spread_out(sample: Sample, found: Detections) -> tuple[Sample, Detections]:
    """The same, but every object and what is said about it far from the others."""
    n = len(sample.labels)
    shift = 1000.0 * torch.arange(n)[:, None] * torch.tensor([1, 0, 1, 0])
    about = torch.arange(len(found.labels)) % n
    centered = found.boxes - found.boxes[:, :2].repeat(1, 2) + sample.boxes[about][:, :2].repeat(1, 2)
    return sample._replace(boxes=sample.boxes + shift), found._replace(boxes=centered + shift[about])


@given(seed=seeds, objects=st.integers(1, 6), guesses=st.integers(0, 25))
@settings(max_examples=40)
def test_ranking(seed: int, objects: int, guesses: int) -> None:
    """Perfect precision up to the recall that was ever reached; only the scores change; never worse."""
    sample, found = spread_out(*random_image(seed, objects, guesses))
    ranked = true_ranking(found, sample.boxes, sample.labels)
    assert torch.equal(ranked.scores, ranked.scores.sort(descending=True).values)
    pairs = [torch.cat([f.boxes, f.labels[:, None]], dim=1).tolist() for f in (found, ranked)]
    assert sorted(pairs[0]) == sorted(pairs[1])
    before, after = measure([sample], [found], NAMES), measure([sample], [ranked], NAMES)
    assert after.map50 >= before.map50 - 1e-9
    assert after.map >= before.map - 1e-9
    for k, name in enumerate(NAMES):
        own = (sample.labels == k).nonzero()[:, 0].tolist()
        if own:
            reached = sum(
                any(found.labels[i] == k and iou(found.boxes[i], sample.boxes[j]) >= HIT for i in range(guesses))
                for j in own
            )
            recall = reached / len(own)
            assert after.ap50[name] == pytest.approx(int(100 * recall + 1e-9) / 101 + (reached > 0) / 101)


def test_ranking_can_lower_map_in_a_crowd() -> None:
    """The pair that fits best leaves nothing for the other detection: one find instead of two."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10]])
    truth = Sample(PIXELS, boxes, torch.tensor([0, 0]))
    # The second detection can have the first object only; the first one either.
    found = scene(([-2, 0, 8, 10], 0, 0.9), ([1, 0, 11, 10], 0, 0.8))
    ranked = true_ranking(found, boxes, truth.labels)
    assert measure([truth], [found], NAMES).map50 == pytest.approx(1)
    assert measure([truth], [ranked], NAMES).map50 == pytest.approx(51 / 101)


def ap50(truth: Sample, rows: Tensor) -> float:
    return measure([truth], nms(rows[None], confidence=0.001, iou=0.6, multi_label=True), NAMES).map50


def row(box: list[float], objectness: float, label: int) -> Tensor:
    classes = [float(k == label) for k in range(3)]
    return torch.cat([xyxy_to_cxcywh(torch.tensor(box)), torch.tensor([objectness, *classes])])


def test_class_can_lower_map() -> None:
    """Two halves of one dog: the owl becomes a dog, and the other half its duplicate, before the second dog."""
    truth = Sample(PIXELS, torch.tensor([[0.0, 0, 10, 10], [50, 0, 60, 10]]), torch.tensor([1, 1]))
    rows = torch.stack([row([0, 0, 6, 10], 0.9, 2), row([4, 0, 10, 10], 0.8, 1), row([50, 0, 60, 10], 0.7, 1)])
    assert ap50(truth, rows) == pytest.approx(1)
    assert ap50(truth, SWAPS["class"](rows, *truth[1:])) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_box_can_lower_map() -> None:
    """Both rows overlap the first of two close cats most, so they become one."""
    truth = Sample(PIXELS, torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10]]), torch.tensor([0, 0]))
    rows = torch.stack([row([-3, 0, 7, 10], 0.9, 0), row([1.4, 0, 11.4, 10], 0.8, 0)])
    assert ap50(truth, rows) == pytest.approx(1)
    assert ap50(truth, SWAPS["box"](rows, *truth[1:])) == pytest.approx(51 / 101)


def test_objectness_can_lower_map() -> None:
    """A row that was silent calls the dog a cat, and is believed more than the true cat's loose box."""
    truth = Sample(PIXELS, torch.tensor([[0.0, 0, 10, 10], [50, 0, 60, 10]]), torch.tensor([0, 1]))
    rows = torch.stack([row([0, 0, 10, 8], 0.9, 0), row([50, 0, 60, 9], 0.9, 1), row([50, 0, 60, 10], 0, 0)])
    assert ap50(truth, rows) == pytest.approx(1)
    assert ap50(truth, SWAPS["objectness"](rows, *truth[1:])) == pytest.approx((0.5 + 1) / 2)


# --- edges ----------------------------------------------------------------------------------------------


def test_empty() -> None:
    nothing, none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    for swap in SWAPS.values():
        assert swap(torch.zeros(0, 8), torch.ones(1, 4), torch.tensor([0])).shape == (0, 8)
    rows = torch.rand(5, 8)
    assert torch.equal(SWAPS["class"](rows, nothing, none), rows)
    assert torch.equal(SWAPS["box"](rows, nothing, none), rows)
    assert not SWAPS["objectness"](rows, nothing, none)[:, 4].any()
    assert true_ranking(scene(), nothing, none).scores.shape == (0,)
    assert true_ranking(scene(([0, 0, 1, 1], 0, 0.6)), nothing, none).scores.tolist() == pytest.approx([0.3])


def test_what_does_not_fit_is_said(data: DetectionData) -> None:
    model = Fixed(right_rows(data))
    with pytest.raises(UserError, match="batch size 0"):
        swap_outputs(model, data, batch_size=0, progress=False)
    with pytest.raises(UserError, match="multiple of 32"):
        swap_outputs(model, data, size=50, progress=False)
    with pytest.raises(UserError, match=r"knows 3 classes, the data set has 2 \(cat, dog\)"):
        swap_outputs(YOLOv5v6((0.33, 0.125), 3), data, progress=False)
    with pytest.raises(UserError, match="no image"):
        measure_gains([], {"as it is": []}, NAMES)
    with pytest.raises(UserError, match="1 images, but detections of 0"):
        measure_gains([Sample(PIXELS, torch.zeros(0, 4), torch.zeros(0))], {"as it is": []}, NAMES)


def test_can_be_interrupted(data: DetectionData) -> None:
    with pytest.raises(KeyboardInterrupt):
        swap_outputs(Fixed(right_rows(data)), data, progress=False, interrupted=lambda: True)
