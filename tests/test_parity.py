"""Differences between rows, against slow loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from yolo_edu.parity import BAR, BATCHES, check, check_images, check_sizes, compare, largest

NUMBERS = st.floats(-1500, 1500, width=32)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=14, max_size=14), st.integers(32, 1280))
def test_compare_is_the_loop_over_all_numbers(pairs: list[tuple[float, float]], side: int) -> None:
    ours, theirs = (torch.tensor(x).reshape(1, 2, 7) for x in zip(*pairs, strict=True))
    gaps = [abs(a - b) for a, b in pairs]
    boxes = [gap for index, gap in enumerate(gaps) if index % 7 < 4]
    others = [gap for index, gap in enumerate(gaps) if index % 7 >= 4]
    found = compare(ours, theirs, side)
    assert found.pixels == max(boxes)
    assert found.of_image == max(boxes) / side
    assert found.probability == max(others)
    assert found.worst == pytest.approx(max(gap / max(1, abs(b)) for gap, (_, b) in zip(gaps, pairs, strict=True)))


def test_the_bar() -> None:
    rows = torch.rand(1, 5, 8)
    rows[..., 0] = 1000
    assert compare(rows, rows, 64).good
    for place, gap, good in ((0, 0.09, True), (0, 0.2, False), (6, 0.9e-4, True), (6, 2e-4, False)):
        other = rows.double()
        other[0, 2, place] += gap
        assert compare(other, rows, 64).good == good
    assert BAR == 1e-4


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_never_equal(value: float) -> None:
    rows = torch.rand(1, 5, 8)
    odd = rows.clone()
    odd[0, 0, 5] = value
    for a, b in ((odd, rows), (rows, odd), (odd, odd), (rows[:, :4], rows)):
        assert not compare(a, b, 64).good
    assert not largest([compare(rows, rows, 64), compare(odd, rows, 64)]).good


def test_what_is_tried() -> None:
    sizes = check_sizes(256, fixed=False)
    assert sizes == [(256, 256), (128, 160)]
    assert check_sizes(256, fixed=True) == [(256, 256)]
    assert check_sizes(64, fixed=False) == [(64, 64), (64, 96)]
    batches = list(check_images(sizes))
    assert [tuple(x.shape) for x in batches] == [(n, 3, *size) for size in sizes for n in BATCHES]
    assert all(x.min() >= 0 and x.max() <= 1 for x in batches)
    assert torch.equal(batches[1][:1], batches[0])
    assert not torch.equal(batches[1][0], batches[1][2])


def test_check_finds_one_wrong_image_in_one_batch() -> None:
    calls: list[int] = []

    def rows(images: Tensor) -> Tensor:
        return images.flatten(2).mT.repeat(1, 1, 3)[:, :40, :8]

    def wrong(images: Tensor) -> Tensor:
        result = rows(images).clone()
        if len(result) == 3:
            result[2, 7, 5] += 0.01
        return result

    same, other = check(wrong, [wrong, rows], [(64, 96)], advance=lambda: calls.append(1))
    assert same.worst == 0
    assert other.worst == pytest.approx(0.01, rel=1e-3)
    assert other.probability == pytest.approx(0.01, rel=1e-3)
    assert other.pixels == 0
    assert len(calls) == 2
