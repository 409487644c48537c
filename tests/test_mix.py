"""Colors against OpenCV and the standard library; MixUp and CutMix pixel by pixel."""

import colorsys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolo_edu.augment import AugmentSettings, random_gains
from yolo_edu.mix import cut_mix, mix_up, shift_colors, uncovered


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- colors ---------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
def test_colors_equal_opencv(seed: int) -> None:
    images = torch.randint(0, 256, (2, 3, 5, 4), generator=generator(seed)) / 255
    gains = random_gains(2, AugmentSettings(hue=0.5, saturation=0.9, value=0.9), generator(seed))
    ours = shift_colors(images, gains)
    for b in range(2):
        hsv = cv2.cvtColor(images[b].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2HSV)
        h, s, v = gains[b].tolist()
        hsv = np.stack([hsv[..., 0] * h % 360, (hsv[..., 1] * s).clip(0, 1), (hsv[..., 2] * v).clip(0, 1)], -1)
        expected = cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)
        np.testing.assert_allclose(ours[b].permute(1, 2, 0).numpy(), expected, atol=2e-4)


def test_colors_equal_the_standard_library_all_around_the_wheel() -> None:
    levels = torch.tensor([0.0, 0.25, 0.5, 1.0])
    image = torch.cartesian_prod(levels, levels, levels).T[:, None]  # (3, 1, 64): ties and corners of the color cube
    gains = torch.tensor([1.01, 0.8, 0.9])
    ours = shift_colors(image[None], gains[None])[0, :, 0].T
    for color, got in zip(image[:, 0].T.tolist(), ours.tolist(), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*color)
        expected = colorsys.hsv_to_rgb(h * 1.01 % 1, min(s * 0.8, 1), min(v * 0.9, 1))
        assert got == pytest.approx(expected, abs=1e-5)


@given(st.integers(0, 10_000))
def test_gains_of_one_change_nothing_and_colors_stay_legal(seed: int) -> None:
    images = torch.rand(2, 3, 4, 4, generator=generator(seed))
    before = images.clone()
    torch.testing.assert_close(shift_colors(images, torch.ones(2, 3)), images, atol=2e-6, rtol=0)
    out = shift_colors(images * 1.0001 - 5e-5, 2 * torch.rand(2, 3, generator=generator(seed)))
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(images, before)


def test_gray_and_black_keep_their_hue() -> None:
    gray = torch.tensor([0.0, 0.4, 1.0])[None, None, None].expand(1, 3, 1, 3)
    out = shift_colors(gray, torch.tensor([[1.3, 1.9, 0.5]]))
    torch.testing.assert_close(out, gray * 0.5)


# --- two images -----------------------------------------------------------------------------------------


def test_mix_up_is_the_weighted_mean() -> None:
    first, second = torch.rand(2, 3, 3, 4, 5, generator=generator(0))
    share = torch.tensor([0.0, 0.25, 1.0])
    mixed = mix_up(first, second, share)
    for p in range(3):
        torch.testing.assert_close(mixed[p], share[p] * first[p] + (1 - share[p]) * second[p])
    assert torch.equal(mixed[2], first[2])


def test_cut_mix_shows_the_second_image_inside() -> None:
    first, second = torch.zeros(3, 3, 6, 8), torch.ones(3, 3, 6, 8)
    cuts = torch.tensor([[1, 2, 5, 6], [0, 0, 0, 0], [3, 3, 3, 6]])
    mixed = cut_mix(first, second, cuts)
    for p, (x0, y0, x1, y1) in enumerate(cuts.tolist()):
        for y in range(6):
            for x in range(8):
                assert (mixed[p, :, y, x] == float(x0 <= x < x1 and y0 <= y < y1)).all()


span = st.tuples(st.integers(0, 9), st.integers(1, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))
rectangle = st.tuples(span, span).map(lambda spans: (spans[0][0], spans[1][0], spans[0][1], spans[1][1]))


@given(rectangle, rectangle)
def test_uncovered_equals_counting_pixels(box: tuple[int, ...], cut: tuple[int, ...]) -> None:
    seen = np.zeros((20, 20), dtype=bool)
    seen[box[1] : box[3], box[0] : box[2]] = True
    total = seen.sum()
    seen[cut[1] : cut[3], cut[0] : cut[2]] = False
    left, visible = uncovered(torch.tensor([box]).float(), torch.tensor([cut]).float())
    assert visible.item() == pytest.approx(seen.sum() / total)
    if seen.any():
        rows, columns = seen.nonzero()
        assert left[0].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_nothing_covers_nothing() -> None:
    boxes = torch.tensor([[1.0, 2, 5, 6]])
    left, visible = uncovered(boxes, torch.zeros(1, 4))
    assert torch.equal(left, boxes)
    assert visible.tolist() == [1]
    assert [x.shape for x in uncovered(boxes[:0], boxes[:0])] == [(0, 4), (0,)]
