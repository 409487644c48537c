"""Lesson 04, section 5: what it asks of feature maps, against slow oracles."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.text import Text
from torch import Tensor

from yolo_edu.assets import shipped_weights
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import figures


def test_strongest_channels_one_by_one() -> None:
    maps = torch.randn(9, 5, 7) * torch.arange(9.0).view(-1, 1, 1).flip(0)
    spreads = {c: float(np.std(maps[c].numpy(), ddof=1)) for c in range(9)}
    assert figures.strongest_channels(maps, 4) == sorted(spreads, key=lambda c: -spreads[c])[:4]


def some_boxes() -> list[Tensor]:
    return [torch.tensor([[3.0, 9.0, 30.0, 25.0], [40.0, 2.0, 62.0, 60.0]]), torch.tensor([[0.0, 20.0, 64.0, 44.0]])]


def test_cells_inside_one_by_one() -> None:
    inside = figures.cells_inside([*some_boxes(), torch.zeros(0, 4)], 8, 64)
    assert inside.shape == (3, 8, 8)
    for photo, boxes in enumerate(some_boxes()):
        for row in range(8):
            for column in range(8):
                x, y = 8 * column + 4, 8 * row + 4
                wanted = any(x1 < x < x2 and y1 < y < y2 for x1, y1, x2, y2 in boxes.tolist())
                assert bool(inside[photo, row, column]) == wanted
    assert not inside[2].any()  # a photo without a box


def test_highest_places_cell_by_cell() -> None:
    maps = torch.randn(2, 5, 8, 8)
    places = figures.highest_places(maps, some_boxes(), 64)
    assert places.shape == (3, 5, 2)
    index = 0
    for own, boxes in zip(maps, some_boxes(), strict=True):
        for x1, y1, x2, y2 in boxes.tolist():
            for channel in range(5):
                best, where = -float("inf"), (0.0, 0.0)
                for row in range(8):
                    for column in range(8):
                        x, y, value = 8 * column + 4, 8 * row + 4, float(own[channel, row, column])
                        if x1 < x < x2 and y1 < y < y2 and value > best:
                            best, where = value, ((x - x1) / (x2 - x1), (y - y1) / (y2 - y1))
                assert places[index, channel].tolist() == pytest.approx(where)
            index += 1


def test_the_marked_cell_is_the_highest_in_its_box() -> None:
    boxes = some_boxes()[0]
    values = torch.zeros(8, 8)
    values[7, 0] = 9.0  # outside both boxes
    values[2, 1] = values[5, 6] = 1.0
    figure = figures.highest_in_boxes(torch.zeros(3, 64, 64), [values], ["a title"], boxes)
    filled = [p.get_bbox().bounds for p in figure.axes[0].patches if p.get_fill()]
    assert filled == [pytest.approx((8, 16, 8, 8)), pytest.approx((48, 40, 8, 8))]
    outlined = [p.get_bbox().bounds for p in figure.axes[0].patches if not p.get_fill()]
    assert outlined == [pytest.approx((3, 9, 27, 16)), pytest.approx((40, 2, 22, 58))]
    assert figure.axes[0].get_title() == "a title"
    plt.close(figure)


def test_strongest_maps_shows_the_maps_it_names() -> None:
    maps = [torch.randn(6, 8, 8) * torch.rand(6, 1, 1), torch.randn(9, 4, 4)]
    figure = figures.strongest_maps(maps, (0, 1), count=3)
    tiles = [ax for ax in figure.axes if ax.get_title()]
    names = [(row, c) for row in (0, 1) for c in figures.strongest_channels(maps[row], 3)]
    for ax, (row, channel) in zip(tiles, names, strict=True):
        assert ax.get_title() == f"channel {channel}"
        assert np.array_equal(ax.images[0].get_array(), maps[row][channel].numpy())
    assert {"row 0", "row 1"} <= {text.get_text() for text in figure.findobj(Text)}


def test_some_channels_of_the_trained_stem_answer_to_dark_or_bright() -> None:
    stem = load_checkpoint(shipped_weights("cards_n")).eval().model[0]
    with torch.no_grad():
        black, gray, white = (stem(torch.full((1, 3, 64, 64), v))[0, :, 16, 16] for v in (0.0, 114 / 255, 1.0))
    assert set((black > 1).nonzero().flatten().tolist()) == {4, 12, 14}
    assert black[[4, 12, 14]].min() > gray[[4, 12, 14]].max() + 1
    assert white[6] > 1.5 > 0 > gray[6] > black[6]
