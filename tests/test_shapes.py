"""Rectangular batches and batches of a size of their own, against loops and the rule in words."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolo_edu.data import Batch
from yolo_edu.shapes import by_shape, crop, draw_size, resized, smallest_rectangle

sides = st.integers(1, 640)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=30), st.integers(1, 7), st.integers(0, 5))
def test_like_shapes_stand_together(sizes: list[tuple[int, int]], batch: int, seed: int) -> None:
    order = by_shape(torch.tensor(sizes), batch, generator(seed))
    assert sorted(order) == list(range(len(sizes)))
    batches = [order[i : i + batch] for i in range(0, len(order), batch)]
    tall = [[sizes[i][1] / sizes[i][0] for i in some] for some in batches]
    spans = sorted((min(some), max(some)) for some in tall)
    # No batch reaches into another one's range.
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert len(batches[-1]) == len(sizes) % batch or len(sizes) % batch == 0


def test_the_order_of_the_batches_is_chance() -> None:
    sizes = torch.tensor([[100, 50 + i] for i in range(64)])
    firsts = {tuple(by_shape(sizes, 4, generator(seed))[:4]) for seed in range(8)}
    assert len(firsts) > 3
    assert by_shape(sizes, 4, generator(1)) == by_shape(sizes, 4, generator(1))


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=8), st.integers(1, 10))
def test_the_smallest_rectangle_by_the_rule_in_words(sizes: list[tuple[int, int]], steps: int) -> None:
    """All wide: the tallest decides the height. All tall: the widest decides the width. Both: the square."""
    size = 32 * steps
    height, width = smallest_rectangle(torch.tensor(sizes), size)
    ratios = [h / w for w, h in sizes]
    low, high = min(ratios), max(ratios)
    shape = (high, 1.0) if high < 1 else (1.0, 1 / low) if low > 1 else (1.0, 1.0)
    assert (height, width) == tuple(math.ceil(round(side * size, 6) / 32) * 32 for side in shape)


def test_three_quarters_of_128_is_96() -> None:
    assert smallest_rectangle(torch.tensor([[128, 96], [4, 3]]), 128) == (96, 128)


def test_a_crop_keeps_boxes_on_their_pixels() -> None:
    """A box drawn into the picture is found again where the cropped label says."""
    images = torch.zeros(2, 3, 128, 128)
    images[0, :, 40:60, 10:90] = 1
    images[1, :, 0:20, 100:128] = 1  # outside of the middle 64 rows
    targets = torch.tensor(
        [[0, 3, 50 / 128, 50 / 128, 80 / 128, 20 / 128], [1, 1, 114 / 128, 10 / 128, 28 / 128, 20 / 128]]
    )
    cropped = crop(Batch(images, targets), (64, 128), 2)
    assert cropped.images.shape == (2, 3, 64, 128)
    assert cropped.targets[:, :2].tolist() == [[0, 3]]
    cx, cy, w, h = (cropped.targets[0, 2:] * torch.tensor([128, 64, 128, 64])).tolist()
    rows, columns = cropped.images[0, 0].nonzero(as_tuple=True)
    assert (columns.min(), columns.max() + 1) == (round(cx - w / 2), round(cx + w / 2))
    assert (rows.min(), rows.max() + 1) == (round(cy - h / 2), round(cy + h / 2))
    assert cropped.images[1].sum() == 0


def test_a_crop_cuts_boxes_at_its_border() -> None:
    batch = Batch(torch.zeros(1, 3, 64, 64), torch.tensor([[0, 0, 0.5, 0.5, 1.0, 1.0]]))
    assert crop(batch, (32, 64), 2).targets[0, 2:].tolist() == [0.5, 0.5, 1.0, 1.0]
    assert crop(batch._replace(targets=torch.empty(0, 6)), (32, 32), 2).targets.shape == (0, 6)


@pytest.mark.parametrize("size", [64, 256, 640])
def test_drawn_sizes_span_half_to_one_and_a_half(size: int) -> None:
    drawn = {draw_size(size, generator(seed)) for seed in range(800)}
    assert drawn == set(range(size // 64 * 32, size * 3 // 2 + 1, 32))


def test_resizing_keeps_the_targets() -> None:
    targets = torch.tensor([[0, 0, 0.5, 0.5, 0.25, 0.5]])
    batch = Batch(torch.rand(1, 3, 64, 128), targets)
    bigger = resized(batch, 192)
    assert bigger.images.shape == (1, 3, 96, 192)
    assert bigger.targets is targets
    assert resized(batch, 128) is batch
    assert torch.allclose(resized(batch._replace(images=torch.full((1, 3, 64, 64), 0.3)), 32).images, torch.tensor(0.3))
