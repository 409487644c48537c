import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolo_edu.caption import caption, class_color, luminance, place_label, text_color

# --- colors ---------------------------------------------------------------------------------------------

# What a color becomes for somebody without one kind of cone, in linear RGB (Machado et al. 2009).
BLINDNESS = {
    "none": np.eye(3).tolist(),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def lab(color: tuple[int, int, int], blindness: str) -> np.ndarray:
    """CIELAB (D65) of an sRGB color as somebody sees it."""
    rgb = np.array(color) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (np.array(BLINDNESS[blindness]) @ linear).clip(0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    x, y, z = np.cbrt(np.array(to_xyz) @ linear / [0.95047, 1, 1.08883])  # none is near black
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_seven_classes_can_be_told_apart(blindness: str) -> None:
    colors = [lab(class_color(k), blindness) for k in range(7)]
    # a difference of 2.3 is just noticeable
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colors, 2)) > 15


def test_21_colors_then_again() -> None:
    colors = [class_color(k) for k in range(42)]
    assert len(set(colors)) == 21
    assert colors[:21] == colors[21:]
    assert all(0 <= c <= 255 and isinstance(c, int) for color in colors for c in color)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_text_has_the_better_contrast(color: tuple[int, int, int]) -> None:
    def contrast(text: tuple[int, int, int]) -> float:
        dark, light = sorted([luminance(color), luminance(text)])
        return (light + 0.05) / (dark + 0.05)

    best = max([(0, 0, 0), (255, 255, 255)], key=contrast)
    assert contrast(text_color(color)) >= contrast(best) - 0.01
    assert contrast(text_color(color)) > 4.5  # WCAG's level AA


def test_luminance() -> None:
    assert luminance((0, 0, 0)) == 0
    assert luminance((255, 255, 255)) == pytest.approx(1)
    assert luminance((119, 119, 119)) == pytest.approx(0.184475, abs=1e-6)  # ((119/255 + 0.055)/1.055)^2.4


# --- captions -------------------------------------------------------------------------------------------


def test_caption() -> None:
    assert caption(1, 0.876, ["ten", "king"]) == "king 0.88"
    assert caption(1, None, ["ten", "king"]) == "king"
    assert caption(2, 0.5, ["ten", "king"]) == "2 0.50"
    assert caption(0, 1.0, ["two\n\tlines "]) == "two lines 1.00"


coordinate = st.integers(-20, 120)
labels = st.lists(st.tuples(*[st.integers(0, 100)] * 4), max_size=4)


@given(coordinate, coordinate, st.integers(0, 60), st.integers(0, 60), st.integers(1, 130), st.integers(1, 40), labels)
def test_label_stays_inside_the_picture(
    x: int, y: int, width: int, height: int, w: int, h: int, taken: list[tuple[int, int, int, int]]
) -> None:
    left, top = place_label((x, y, x + width, y + height), (w, h), taken, (100, 80))
    assert left >= 0
    assert top >= 0
    assert left + w <= 100 or (w > 100 and left == 0)
    assert top + h <= 80


class TestPlace:
    BOX, SIZE, PICTURE = (30, 30, 70, 60), (20, 10), (100, 100)

    def test_above_if_there_is_room(self) -> None:
        assert place_label(self.BOX, self.SIZE, [], self.PICTURE) == (30, 20)
        assert place_label((30, 4, 70, 60), self.SIZE, [], self.PICTURE) == (30, 0)

    def test_off_other_labels(self) -> None:
        """As long as one of the eight places is free, no label hides another."""
        taken: list[tuple[float, float, float, float]] = []
        for _ in range(8):
            x, y = place_label(self.BOX, self.SIZE, taken, self.PICTURE)
            assert all(x >= c or x + 20 <= a or y >= d or y + 10 <= b for a, b, c, d in taken)
            taken.append((x, y, x + 20, y + 10))

    def test_hides_least_if_all_is_taken(self) -> None:
        everywhere = (0, 0, 100, 100)
        twice = (0, 0, 100, 58)  # only the last row of places, y 60, is off this one
        x, y = place_label(self.BOX, self.SIZE, [everywhere, twice], self.PICTURE)
        assert (x, y) == (30, 60)
