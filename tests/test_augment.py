"""Augmentation: geometry against a slow per-image oracle, colors against OpenCV, the box filter, gray fill."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_data import make_data

from yolo_edu.augment import (
    AugmentSettings,
    augment_batch,
    lay_out,
    random_affine,
    random_gains,
    shift_colors,
    warp_boxes,
    warp_images,
    worth_keeping,
)
from yolo_edu.data import GRAY, DetectionData, read_spec

SIZE = 32
STRONG = AugmentSettings(degrees=20, shear=5, translate=0.2, scale=0.5)
STILL = AugmentSettings(mosaic=0, translate=0, scale=0, flip=0, hue=0, saturation=0, value=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DetectionData:
    labels = {"a": "0 0.5 0.5 0.4 0.6\n", "b": "1 0.25 0.3 0.3 0.2\n0 0.7 0.7 0.5 0.5\n", "c": ""}
    path = make_data(tmp_path_factory.mktemp("augment"), labels, (30, 40))
    return DetectionData(read_spec(path), "train", SIZE)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_warp(canvas: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Pixel by pixel: where does this pixel's middle come from, and what do its four neighbors say?"""
    out = np.zeros((3, size, size))
    inverse = np.linalg.inv(matrix[:, :2])
    for row in range(size):
        for column in range(size):
            place = np.array([(column + 0.5) / size - 0.5, (row + 0.5) / size - 0.5]) - matrix[:, 2]
            x, y = (inverse @ place + 1) * size - 0.5
            x0, y0 = int(np.floor(x)), int(np.floor(y))
            for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
                inside = 0 <= x0 + dx < 2 * size and 0 <= y0 + dy < 2 * size
                out[:, row, column] += weight * (canvas[:, y0 + dy, x0 + dx] if inside else GRAY)
    return out / 255


@pytest.mark.parametrize("seed", range(3))
def test_warp_equals_the_loop(data: DetectionData, seed: int) -> None:
    canvases = lay_out(data, [0, 1], 1.0, generator(seed))
    matrices = random_affine(2, STRONG, generator(seed))
    images = warp_images(canvases.images, matrices)
    for b in range(2):
        expected = slow_warp(canvases.images[b].numpy().astype(float), matrices[b].double().numpy(), SIZE)
        np.testing.assert_allclose(images[b].numpy(), expected, atol=2e-4)


def test_the_standing_still_warp_cuts_out_the_middle(data: DetectionData) -> None:
    batch = augment_batch(data, [0], STILL, generator(0))
    sample = data[0]
    _, height, width = sample.image.shape
    top = SIZE // 2 - height // 2
    torch.testing.assert_close(batch.images[0, :, top : top + height, :width], sample.image / 255, atol=1e-5, rtol=0)
    assert torch.allclose(batch.images[0, :, :top], torch.tensor(GRAY / 255), atol=1e-5)
    # the label file's own numbers, moved by the gray bars
    torch.testing.assert_close(batch.targets[0, 2:4], torch.tensor([0.5, 0.5]), atol=0.02, rtol=0)
    assert batch.targets[0, :2].tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_boxes_move_with_their_pixels(seed: int) -> None:
    """A white rectangle on black, warped with its box: the box must hold the white and touch it on all sides."""
    size = 128
    canvas = torch.zeros(1, 3, 2 * size, 2 * size, dtype=torch.uint8)
    box = torch.tensor([[100.0, 110.0, 150.0, 160.0]])
    canvas[:, :, 110:160, 100:150] = 255
    settings = AugmentSettings(degrees=20, shear=5, translate=0.05, scale=0.2)
    matrix = random_affine(1, settings, generator(seed))
    white = (warp_images(canvas, matrix)[0, 0] > 0.5).nonzero()
    seen = torch.cat([white.amin(0).flip(0), white.amax(0).flip(0) + 1]).float()
    torch.testing.assert_close(warp_boxes(box, matrix, size)[0], seen, atol=1.6, rtol=0)


def test_mosaic_layout(data: DetectionData) -> None:
    """Four images around one center: their boxes lie on their own pixels, gray everywhere else."""
    for seed in range(5):
        canvases = lay_out(data, [1], 1.0, generator(seed))
        gray = (canvases.images[0] == GRAY).all(0)
        assert 0.2 < gray.float().mean() < 0.95
        for x0, y0, x1, y1 in canvases.boxes.round().long().tolist():
            part = gray[y0:y1, x0:x1]
            assert part.numel() == 0 or part.float().mean() < 0.2
        assert canvases.boxes.min() >= 0
        assert canvases.boxes.max() <= 2 * SIZE


def test_a_box_is_kept_by_the_rule() -> None:
    before = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(6, 1)
    after = torch.tensor(
        [
            [0.0, 0.0, 10.0, 10.0],  # untouched
            [0.0, 0.0, 2.0, 10.0],  # two pixels wide: gone
            [0.0, 0.0, 3.0, 3.0],  # 9 % left: gone
            [0.0, 0.0, 3.4, 3.0],  # 10.2 % left: kept
            [0.0, 0.0, 10.0, 10.0],  # magnified 16 times, so 94 % were cut: gone
            [0.0, 0.0, 300.0, 2.5],  # too long: gone
        ]
    )
    zoom = torch.tensor([1.0, 1, 1, 1, 16, 1])
    assert worth_keeping(before, after, zoom, AugmentSettings()).tolist() == [True, False, False, True, False, False]


@given(st.integers(0, 10_000))
def test_colors_equal_opencv(seed: int) -> None:
    images = torch.randint(0, 256, (2, 3, 5, 4), generator=generator(seed)) / 255
    settings = AugmentSettings(hue=0.5, saturation=0.9, value=0.9)
    gains = random_gains(2, settings, generator(seed))
    ours = shift_colors(images, gains)
    for b in range(2):
        hsv = cv2.cvtColor(images[b].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2HSV)
        h, s, v = gains[b].tolist()
        hsv = np.stack([hsv[..., 0] * h % 360, (hsv[..., 1] * s).clip(0, 1), (hsv[..., 2] * v).clip(0, 1)], -1)
        expected = cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)
        np.testing.assert_allclose(ours[b].permute(1, 2, 0).numpy(), expected, atol=2e-4)


def test_gray_and_black_keep_their_hue() -> None:
    gray = torch.tensor([0.0, 0.4, 1.0])[None, None, None].expand(1, 3, 1, 3)
    out = shift_colors(gray, torch.tensor([[1.3, 1.9, 0.5]]))
    torch.testing.assert_close(out, gray * 0.5)


def test_the_draws_have_the_stated_distribution() -> None:
    settings = AugmentSettings()
    matrices = random_affine(4000, settings, generator(0))
    zoom = torch.linalg.det(matrices[:, :, :2]).abs().sqrt()
    assert 0.5 <= zoom.min() < 0.51
    assert 1.49 < zoom.max() <= 1.5
    assert abs(zoom.mean() - 1) < 0.02
    assert matrices[:, :, 2].abs().max() <= 0.1
    assert abs((matrices[:, 0, 0] < 0).float().mean() - 0.5) < 0.03  # flipped
    gains = random_gains(4000, settings, generator(0))
    assert (gains - 1).abs().amax(0).tolist() == pytest.approx([0.015, 0.7, 0.4], abs=0.01)


@pytest.mark.parametrize("mosaic", [0.0, 0.5, 1.0])
def test_a_seed_repeats_the_batch_and_targets_are_legal(data: DetectionData, mosaic: float) -> None:
    settings = AugmentSettings(mosaic=mosaic)
    a, b = (augment_batch(data, [0, 1, 2, 0], settings, generator(5)) for _ in range(2))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.targets, b.targets)
    assert a.images.shape == (4, 3, SIZE, SIZE)
    assert a.images.min() >= 0
    assert a.images.max() <= 1
    assert set(a.targets[:, 0].tolist()) <= {0, 1, 2, 3}
    assert set(a.targets[:, 1].tolist()) <= {0, 1}
    corners = torch.cat([a.targets[:, 2:4] - a.targets[:, 4:] / 2, a.targets[:, 2:4] + a.targets[:, 4:] / 2])
    assert corners.min() > -1e-5
    assert corners.max() < 1 + 1e-5


def test_images_without_objects(data: DetectionData) -> None:
    batch = augment_batch(data, [2, 2], STILL, generator(0))
    assert batch.targets.shape == (0, 6)
    assert batch.images.shape == (2, 3, SIZE, SIZE)


def test_the_cache_is_left_alone(data: DetectionData) -> None:
    before = [data[i].image.clone() for i in range(3)]
    augment_batch(data, [0, 1, 2], STRONG, generator(0))
    assert all(torch.equal(before[i], data[i].image) for i in range(3))
