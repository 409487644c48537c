"""The picture of labels and anchors: what is drawn is what `fit` and `shares` count."""

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from yolo_edu import anchor_chart as module
from yolo_edu.anchor_chart import Candidate, anchor_chart
from yolo_edu.anchors import default_anchors, evolve, fit, shares

SIZES = torch.tensor([[12.0, 15.0], [300.0, 300.0], [1.0, 1.0], [60.0, 50.0], [0.0, 20.0], [4.0, 400.0]])


def points(ax: Axes, index: int) -> np.ndarray:
    return np.asarray(ax.collections[index].get_offsets())


def test_dots_are_taken_and_crosses_are_not() -> None:
    figure = anchor_chart(SIZES, [Candidate("default", default_anchors())])
    ax = figure.axes[0]
    assert sorted(points(ax, 0).tolist()) == [[12, 15], [60, 50], [300, 300]]
    assert sorted(points(ax, 1).tolist()) == [[0.5, 20], [1, 1], [4, 400]]  # no width: at the border of the picture
    legend = ax.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:2] == ["3 labels an anchor takes", "3 labels none takes"]
    assert texts[-3:] == ["anchors of P3", "anchors of P4", "anchors of P5"]
    assert "50.0 % of the labels taken" in ax.get_title()
    for drawn in points(ax, 1)[1:]:
        x, y = ax.transData.transform(drawn)
        assert ax.bbox.contains(x, y)


def test_the_gray_reaches_as_far_as_the_anchors() -> None:
    """A label lies in a gray square exactly where `fit` says that an anchor takes it."""
    generator = torch.Generator().manual_seed(0)
    sizes = (torch.rand(200, 2, generator=generator) * 7).exp()
    figure = anchor_chart(sizes, [Candidate("default", default_anchors())], threshold=2.5)
    squares = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert len(squares) == 9
    for width, height in sizes.tolist():
        inside = any(
            s.get_x() < width < s.get_x() + s.get_width() and s.get_y() < height < s.get_y() + s.get_height()
            for s in squares
        )
        assert inside == (fit(torch.tensor([[width, height]]), default_anchors(), 2.5).best_possible_recall == 1)


def test_levels_differ_in_shape_and_bars_are_shares() -> None:
    found = evolve(SIZES, generations=5)
    figure = anchor_chart(SIZES, [Candidate("default", default_anchors()), Candidate("searched", found)])
    scatter, second, _, bars = figure.axes
    assert scatter.get_xlim() == second.get_xlim() == scatter.get_ylim()
    assert len({line.get_marker() for line in scatter.lines}) == 3
    levels = [np.stack(line.get_data(), axis=1).tolist() for line in scatter.lines]
    assert levels == default_anchors().tolist()
    lengths = [patch.get_width() for patch in bars.patches if isinstance(patch, Rectangle)]
    takes, nearest = shares(SIZES, found)
    assert lengths == pytest.approx([*(100 * takes).tolist(), *(100 * nearest).tolist()])
    assert bars.get_yticklabels()[0].get_text().startswith("P3  ")


def test_of_many_labels_all_misses_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWN", 10)
    sizes = torch.cat([torch.full((50, 2), 20.0), torch.full((7, 2), 0.7)])
    ax = anchor_chart(sizes, [Candidate("default", default_anchors())]).axes[0]
    assert len(points(ax, 0)) == 10
    assert len(points(ax, 1)) == 7


def test_no_labels() -> None:
    with pytest.raises(ValueError, match="no labels"):
        anchor_chart(torch.zeros(0, 2), [Candidate("default", default_anchors())])
