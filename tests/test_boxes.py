"""Boxes: round trips, four measures against torchvision and against counted pixels, and their laws."""

import math
from collections.abc import Callable

import pytest
import torch
import torchvision.ops as tv
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from yolo_edu.boxes import (
    area,
    ciou,
    clip_boxes,
    cxcywh_to_xyxy,
    diou,
    giou,
    iou,
    pairwise_iou,
    scale_boxes,
    xyxy_to_cxcywh,
)

MEASURES = [iou, giou, diou, ciou]
Measure = Callable[[Tensor, Tensor], Tensor]


@st.composite
def corner_boxes(draw: st.DrawFn, n: int | None = None) -> Tensor:
    """(N, 4) xyxy float64, sides of 1 to 300, some far from the origin and some left of it."""
    place, side = st.floats(-200, 900), st.floats(1, 300)
    count = draw(st.integers(1, 6)) if n is None else n
    rows = [[draw(place), draw(place), draw(side), draw(side)] for _ in range(count)]
    boxes = torch.tensor(rows, dtype=torch.float64)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


@st.composite
def pixel_boxes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """A box with whole-numbered corners on a 12 × 12 grid, possibly empty."""
    x, y = draw(st.integers(0, 11)), draw(st.integers(0, 11))
    return x, y, draw(st.integers(x, 12)), draw(st.integers(y, 12))


def random_pairs(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Overlapping, nested and distant pairs, float32."""
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(2, n, 4, generator=generator) * torch.tensor([80.0, 80, 60, 60]) + 1
    boxes[..., 2:] += boxes[..., :2]
    return boxes[0], boxes[1]


# --- formats --------------------------------------------------------------------------------------------


def test_formats_by_hand() -> None:
    corners = torch.tensor([[10.0, 20, 50, 100]])
    assert torch.equal(xyxy_to_cxcywh(corners), torch.tensor([[30.0, 60, 40, 80]]))
    assert torch.equal(cxcywh_to_xyxy(torch.tensor([[30.0, 60, 40, 80]])), corners)


@given(corner_boxes())
def test_formats_round_trip(boxes: Tensor) -> None:
    before = boxes.clone()
    torch.testing.assert_close(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes)
    torch.testing.assert_close(xyxy_to_cxcywh(boxes), tv.box_convert(boxes, "xyxy", "cxcywh"))
    assert torch.equal(boxes, before)


@given(corner_boxes(), st.floats(1, 2000), st.floats(1, 2000))
def test_scaling_is_undone_and_knows_no_format(boxes: Tensor, width: float, height: float) -> None:
    scaled = scale_boxes(boxes, width, height)
    torch.testing.assert_close(scale_boxes(scaled, 1 / width, 1 / height), boxes)
    torch.testing.assert_close(xyxy_to_cxcywh(scaled), scale_boxes(xyxy_to_cxcywh(boxes), width, height))
    torch.testing.assert_close(area(scaled), area(boxes) * width * height)


@given(corner_boxes(), st.integers(1, 700), st.integers(1, 700))
def test_clipping(boxes: Tensor, width: int, height: int) -> None:
    before = boxes.clone()
    clipped = clip_boxes(boxes, width, height)
    assert torch.equal(clipped, tv.clip_boxes_to_image(boxes, (height, width)))
    assert torch.equal(clip_boxes(clipped, width, height), clipped)
    # the area left is the overlap with the image
    image = torch.tensor([0, 0, width, height], dtype=torch.float64)
    low, high = torch.maximum(boxes, image)[:, :2], torch.minimum(boxes, image)[:, 2:]
    torch.testing.assert_close(area(clipped), (high - low).clamp(min=0).prod(-1))
    assert torch.equal(boxes, before)


def test_area() -> None:
    boxes = torch.tensor([[0.0, 0, 3, 4], [5, 5, 5, 9], [4, 0, 1, 2], [4, 4, 1, 1]])
    assert area(boxes).tolist() == [12, 0, 0, 0]  # empty, inside out, inside out both ways
    assert area(boxes.view(2, 2, 4)).shape == (2, 2)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 3, 4), (2, 0, 4)])
def test_any_leading_shape(shape: tuple[int, ...]) -> None:
    boxes = torch.ones(shape)
    assert cxcywh_to_xyxy(boxes).shape == xyxy_to_cxcywh(boxes).shape == shape
    assert scale_boxes(boxes, 2, 3).shape == clip_boxes(boxes, 2, 3).shape == shape
    assert area(boxes).shape == shape[:-1]
    assert all(measure(boxes, boxes).shape == shape[:-1] for measure in MEASURES)


# --- the measures against others' code and against counting ---------------------------------------------


@given(corner_boxes(), corner_boxes())
def test_equal_to_torchvision(a: Tensor, b: Tensor) -> None:
    theirs = {
        iou: tv.box_iou,
        giou: tv.generalized_box_iou,
        diou: tv.distance_box_iou,
        ciou: tv.complete_box_iou,
    }
    for ours, reference in theirs.items():
        torch.testing.assert_close(ours(a[:, None], b[None]), reference(a, b), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(pairwise_iou(a, b), tv.box_iou(a, b), rtol=1e-6, atol=1e-6)


def test_pairwise_is_every_pair() -> None:
    a, b = random_pairs(7)
    table = pairwise_iou(a[:3], b)
    assert table.shape == (3, 7)
    for i in range(3):
        for j in range(7):
            assert table[i, j] == iou(a[i], b[j])
    assert pairwise_iou(a[:0], b).shape == (0, 7)
    assert pairwise_iou(a, b[:0]).shape == (7, 0)


@given(pixel_boxes(), pixel_boxes())
def test_counted_pixels(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """The definitions, one pixel at a time."""

    def pixels(box: tuple[int, ...]) -> set[tuple[int, int]]:
        x1, y1, x2, y2 = box
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    both, either = pixels(a) & pixels(b), pixels(a) | pixels(b)
    around = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    hull = len(pixels(around))
    overlap = len(both) / len(either) if either else 0.0
    diagonal = (around[2] - around[0]) ** 2 + (around[3] - around[1]) ** 2
    dx, dy = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    distance = (dx**2 + dy**2) / diagonal if diagonal else 0.0

    tensor_a, tensor_b = (torch.tensor(box, dtype=torch.float64) for box in (a, b))
    assert iou(tensor_a, tensor_b).item() == pytest.approx(overlap, abs=1e-6)
    assert diou(tensor_a, tensor_b).item() == pytest.approx(overlap - distance, abs=1e-6)
    if hull:
        wasted = (hull - len(either)) / hull
        assert giou(tensor_a, tensor_b).item() == pytest.approx(overlap - wasted, abs=1e-6)
    if pixels(a) and pixels(b):
        slopes = [math.atan((x2 - x1) / (y2 - y1)) for x1, y1, x2, y2 in (a, b)]
        v = 4 / math.pi**2 * (slopes[1] - slopes[0]) ** 2
        alpha = v / (1 - overlap + v) if v else 0.0
        expected = overlap - distance - alpha * v
        assert ciou(tensor_a, tensor_b).item() == pytest.approx(expected, abs=1e-6)


# --- laws -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
@given(a=corner_boxes(4), b=corner_boxes(4))
def test_symmetric_and_in_range(measure: Measure, a: Tensor, b: Tensor) -> None:
    value = measure(a, b)
    torch.testing.assert_close(value, measure(b, a), rtol=1e-9, atol=1e-9)
    lowest = {"iou": 0, "giou": -1, "diou": -1, "ciou": -2}[measure.__name__]
    assert (value >= lowest).all()
    assert (value <= 1 + 1e-9).all()
    assert (value <= iou(a, b) + 1e-6).all()  # each of the others only takes away (up to its eps)
    torch.testing.assert_close(measure(a, a), torch.ones(4, dtype=a.dtype), rtol=0, atol=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
@given(a=corner_boxes(4), b=corner_boxes(4), shift=st.floats(-1000, 1000), scale=st.floats(0.5, 50))
def test_place_and_unit_do_not_matter(measure: Measure, a: Tensor, b: Tensor, shift: float, scale: float) -> None:
    value = measure(a, b)
    torch.testing.assert_close(measure(a + shift, b + shift), value, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(measure(a * scale, b * scale), value, rtol=1e-6, atol=1e-6)


def test_apart_only_the_generalized_ones_say_how_far() -> None:
    box = torch.tensor([0.0, 0, 10, 10])
    near, far = torch.tensor([12.0, 0, 22, 10]), torch.tensor([50.0, 0, 60, 10])
    assert iou(box, near) == iou(box, far) == 0
    for measure in (giou, diou, ciou):
        assert 0 > measure(box, near) > measure(box, far)


@pytest.mark.parametrize("measure", MEASURES)
def test_inputs_are_left_alone(measure: Measure) -> None:
    a, b = random_pairs(5)
    before = a.clone(), b.clone()
    measure(a, b)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


# --- degenerate boxes and gradients ---------------------------------------------------------------------

PAIRS = {  # prediction, target
    "same": ([2.0, 3, 8, 9], [2.0, 3, 8, 9]),
    "overlapping": ([2.0, 3, 8, 9], [4.0, 1, 9, 7]),
    "nested": ([4.0, 4, 6, 6], [2.0, 3, 8, 9]),
    "touching": ([0.0, 0, 4, 4], [4.0, 0, 8, 4]),
    "apart": ([0.0, 0, 4, 4], [100.0, 50, 140, 80]),
    "flat prediction": ([3.0, 5, 7, 5], [2.0, 3, 8, 9]),
    "thin prediction": ([5.0, 4, 5, 8], [2.0, 3, 8, 9]),
    "point prediction": ([5.0, 5, 5, 5], [2.0, 3, 8, 9]),
    "point target": ([2.0, 3, 8, 9], [5.0, 5, 5, 5]),
    "both points": ([5.0, 5, 5, 5], [5.0, 5, 5, 5]),
    "two points": ([5.0, 5, 5, 5], [9.0, 5, 9, 5]),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_values_and_gradients_are_finite(measure: Measure, pair: tuple[list[float], list[float]]) -> None:
    prediction, target = (torch.tensor([box], requires_grad=True) for box in pair)
    value = measure(prediction, target)
    value.sum().backward()
    assert value.isfinite().all()
    for box in (prediction, target):
        assert box.grad is not None
        assert box.grad.isfinite().all()


def test_empty_boxes_overlap_nothing() -> None:
    empty, box = torch.tensor([5.0, 5, 5, 5]), torch.tensor([0.0, 0, 9, 9])
    assert iou(empty, empty) == iou(empty, box) == iou(box, empty) == 0


def test_giou_pulls_where_iou_is_silent() -> None:
    prediction = torch.tensor([0.0, 0, 4, 4], requires_grad=True)
    target = torch.tensor([10.0, 0, 14, 4])
    (plain,) = torch.autograd.grad(iou(prediction, target), prediction)
    (pull,) = torch.autograd.grad(giou(prediction, target), prediction)
    assert plain.count_nonzero() == 0
    assert pull[2] > 0  # widening to the right, toward the target, raises GIoU


def test_alpha_carries_no_gradient() -> None:
    """torchvision detaches α too, so equal gradients mean that ours does."""
    a, b = (x.double() for x in random_pairs(6))
    ours, theirs = (a.clone().requires_grad_() for _ in range(2))
    ciou(ours, b).sum().backward()
    tv.complete_box_iou(theirs, b).diagonal().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-8)
