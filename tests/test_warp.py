"""Scenes and their warp: where samples and boxes go, pixel by pixel; two ways to draw the same canvases."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolo_edu.augment import AugmentSettings, random_affine
from yolo_edu.data import GRAY, Pool
from yolo_edu.warp import (
    gather_samples,
    lay_out,
    paste_samples,
    scene_labels,
    warp_boxes,
    warp_images,
    worth_keeping,
)

RULE = {"min_side": 2.0, "min_area": 0.1, "max_aspect": 100.0}  # release R7's


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_pool(count: int, size: int, seed: int) -> Pool:
    """Noise in many shapes, long side `size`, each with 0 to 3 boxes."""
    chance = generator(seed)
    short = torch.randint(size // 3, size + 1, (count,), generator=chance)
    wide = torch.rand(count, generator=chance) < 0.5
    long = torch.full_like(short, size)
    sizes = torch.stack([torch.where(wide, long, short), torch.where(wide, short, long)], dim=-1)
    pixels = torch.full((count, 3, size, size), GRAY, dtype=torch.uint8)
    for image, (width, height) in zip(pixels, sizes.tolist(), strict=True):
        image[:, :height, :width] = torch.randint(256, (3, height, width), generator=chance, dtype=torch.uint8)
    counts = torch.randint(4, (count,), generator=chance)
    owner = torch.arange(count).repeat_interleave(counts)
    ends = torch.rand(len(owner), 2, 2, generator=chance).sort(dim=1).values
    boxes = (ends * sizes[owner][:, None]).flatten(1)
    first = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return Pool(pixels, sizes, boxes, torch.randint(5, (len(owner),), generator=chance), first)


def random_scenes(count: int, samples: int, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Members and centers as a plan holds them; every third scene shows one sample alone."""
    members = torch.randint(samples, (count, 4), generator=generator(seed))
    members[::3, 1:] = -1
    return members, torch.randint(size // 2, size + size // 2, (count, 2), generator=generator(seed + 1))


# --- scenes ---------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([8, 9, 16, 31]))
def test_both_ways_of_drawing_give_the_same_canvases(seed: int, count: int, size: int) -> None:
    pool = random_pool(3, size, seed)
    layout = lay_out(*random_scenes(count, 3, size, seed), pool)
    pasted, gathered = paste_samples(layout, count, pool), gather_samples(layout, count, pool)
    assert pasted.shape == (count, 3, 2 * size, 2 * size)
    assert pasted.dtype == torch.uint8
    assert torch.equal(pasted, gathered)


@pytest.mark.parametrize("seed", range(4))
def test_four_samples_meet_in_the_center(seed: int) -> None:
    """The table of the four tiles: each is cut at the canvas, and touches the center with one corner."""
    size, pool = 16, random_pool(5, 16, seed)
    members, centers = random_scenes(2, 5, size, seed)
    layout = lay_out(members, centers, pool)
    canvas = paste_samples(layout, 2, pool)[1]
    expected = torch.full_like(canvas, GRAY)
    x, y = centers[1].tolist()
    for place, i in enumerate(members[1].tolist()):
        width, height = pool.sizes[i].tolist()
        image = pool.images[i, :, :height, :width]
        if place in (0, 2):
            columns, image = slice(max(x - width, 0), x), image[:, :, max(width - x, 0) :]
        else:
            columns, image = slice(x, min(x + width, 32)), image[:, :, : 32 - x]
        if place in (0, 1):
            rows, image = slice(max(y - height, 0), y), image[:, max(height - y, 0) :]
        else:
            rows, image = slice(y, min(y + height, 32)), image[:, : 32 - y]
        expected[:, rows, columns] = image
    assert torch.equal(canvas, expected)


def test_boxes_lie_on_their_samples() -> None:
    """Samples that are white inside their box and black elsewhere: on the canvas the box holds what is white."""
    size = 16
    boxes = torch.tensor([[2.0, 3, 9, 7], [0, 0, 4, 12], [6, 1, 11, 15]])
    sizes = torch.tensor([[16, 10], [8, 16], [12, 16]])
    pixels = torch.zeros(3, 3, size, size, dtype=torch.uint8)
    for image, (x0, y0, x1, y1) in zip(pixels, boxes.long().tolist(), strict=True):
        image[:, y0:y1, x0:x1] = 255
    pool = Pool(pixels, sizes, boxes, torch.tensor([7, 8, 9]), torch.arange(4))
    for seed in range(10):
        members, centers = random_scenes(4, 3, size, seed)
        layout = lay_out(members, centers, pool)
        labels = scene_labels(layout, pool)
        canvases = paste_samples(layout, 4, pool)
        assert labels.owner.tolist() == layout.owner.tolist()
        assert (labels.classes - 7).tolist() == layout.sample.tolist()
        for box, owner in zip(labels.boxes.long().tolist(), labels.owner.tolist(), strict=True):
            x0, y0, x1, y1 = box
            assert (canvases[owner, :, y0:y1, x0:x1] == 255).all()
        covered = sum((canvases[b, 0] == 255).sum() for b in range(4))
        assert covered == (labels.boxes[:, 2:] - labels.boxes[:, :2]).prod(-1).sum()


def test_scenes_without_boxes() -> None:
    pool = random_pool(2, 8, 0)._replace(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    pool = pool._replace(first=torch.zeros(3, dtype=torch.int64))
    labels = scene_labels(lay_out(*random_scenes(3, 2, 8, 0), pool), pool)
    assert [x.shape for x in labels] == [(0, 4), (0,), (0,)]


# --- warp -----------------------------------------------------------------------------------------------


def slow_warp(canvas: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Pixel by pixel: where does this pixel's middle come from, and what do its four neighbors say?"""
    out = np.zeros((3, size, size))
    double = canvas.shape[1]
    inverse = np.linalg.inv(matrix[:, :2])
    for row in range(size):
        for column in range(size):
            place = np.array([(column + 0.5) / size - 0.5, (row + 0.5) / size - 0.5]) - matrix[:, 2]
            x, y = (inverse @ place + 1) * double / 2 - 0.5
            x0, y0 = int(np.floor(x)), int(np.floor(y))
            for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
                inside = 0 <= x0 + dx < double and 0 <= y0 + dy < double
                out[:, row, column] += weight * (canvas[:, y0 + dy, x0 + dx] if inside else GRAY)
    return out / 255


@pytest.mark.parametrize("seed", range(4))
def test_warp_equals_the_loop(seed: int) -> None:
    canvases = torch.randint(256, (2, 3, 32, 32), generator=generator(seed), dtype=torch.uint8)
    matrices = random_affine(2, AugmentSettings(degrees=20, shear=5, translate=0.2), generator(seed))
    matrices[1, 0] *= -1  # mirrored
    images = warp_images(canvases, matrices)
    assert images.shape == (2, 3, 16, 16)
    for b in range(2):
        expected = slow_warp(canvases[b].numpy().astype(float), matrices[b].double().numpy(), 16)
        np.testing.assert_allclose(images[b].numpy(), expected, atol=2e-4)


def test_warp_shows_gray_where_there_is_no_canvas() -> None:
    canvases = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    far = torch.tensor([[[0.25, 0, 0], [0, 0.25, 0]]])  # the canvas, two image sizes wide, fills half of the image
    image = warp_images(canvases, far)[0]
    assert (image[:, 9:23, 9:23] == 0).all()
    border = torch.cat([image[:, :7].flatten(), image[:, 25:].flatten(), image[:, :, :7].flatten()])
    torch.testing.assert_close(border, torch.full_like(border, GRAY / 255))


@pytest.mark.parametrize("seed", range(4))
def test_boxes_move_with_their_pixels(seed: int) -> None:
    """A white rectangle on black, warped with its box: the box must hold the white and touch it on all sides."""
    canvas = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
    box = torch.tensor([[100.0, 110.0, 150.0, 160.0]])
    canvas[:, :, 110:160, 100:150] = 255
    matrix = random_affine(1, AugmentSettings(degrees=20, shear=5, translate=0.05, scale=0.2), generator(seed))
    white = (warp_images(canvas, matrix)[0, 0] > 0.5).nonzero()
    seen = torch.cat([white.amin(0).flip(0), white.amax(0).flip(0) + 1]).float()
    torch.testing.assert_close(warp_boxes(box, matrix, 128)[0], seen, atol=1.6, rtol=0)


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
    assert worth_keeping(before, after, zoom, **RULE).tolist() == [True, False, False, True, False, False]
    assert worth_keeping(before[:0], after[:0], zoom[:0], **RULE).tolist() == []
