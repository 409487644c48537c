"""Feature maps as pictures: every value at its place, an image as what it is."""

import matplotlib.pyplot as plt
import pytest
import torch

from yolo_edu.course.figures import map_grid


def test_each_map_has_a_tile_with_its_values() -> None:
    maps = [torch.arange(6.0).view(2, 3) * k for k in (1, 2, 3)]
    figure = map_grid(maps, ["a", "b", "c"], columns=2, numbers=".0f")
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == ["a", "b", "c"]
    for ax, values in zip(shown, maps, strict=True):
        assert torch.equal(torch.as_tensor(ax.images[0].get_array().data), values)
        assert ax.images[0].get_clim() == (values.min(), values.max())
        words = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in ax.texts}
        assert words == {(r, c): f"{values[r, c]:.0f}" for r in range(2) for c in range(3)}


def test_limits_are_shared_and_images_keep_their_colors() -> None:
    image = torch.rand(3, 4, 5)
    figure = map_grid([image, torch.zeros(4, 5)], limits=(-1, 1))
    first, second = figure.axes
    assert first.images[0].get_array().shape == (4, 5, 3)
    assert second.images[0].get_clim() == (-1, 1)


def test_a_figure_is_shown_once() -> None:
    open_before = plt.get_fignums()
    map_grid([torch.zeros(2, 2)])
    assert plt.get_fignums() == open_before


@pytest.mark.parametrize("count", [1, 3, 5])
def test_tiles_are_as_wide_as_they_should_be(count: int) -> None:
    figure = map_grid([torch.zeros(10, 20)] * count, columns=4, side=2.0)
    figure.draw_without_rendering()
    box = figure.axes[0].get_window_extent()
    assert box.width / box.height == pytest.approx(2, rel=0.05)
