"""Rendered batches equal a slow oracle pixel by pixel, box by box; what sizes, threads and processes do not change."""

import colorsys
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import make_data
from test_warp import random_pool

from yolo_edu.augment import AugmentSettings, Plan, augment_batch, draw_plan, render
from yolo_edu.data import GRAY, Batch, DetectionData, Pool, Sample, collate, read_spec

SIZE = 32
STRONG = AugmentSettings(degrees=20, shear=5, translate=0.2, mosaic=0.6, mixup=0.4, cutmix=0.5)
STILL = AugmentSettings(mosaic=0, translate=0, scale=0, flip=0, hue=0, saturation=0, value=0)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def corners(targets: torch.Tensor) -> torch.Tensor:
    return torch.cat([targets[:, 2:4] - targets[:, 4:] / 2, targets[:, 2:4] + targets[:, 4:] / 2], dim=1)


# --- the oracle: nothing but loops over pixels and boxes -------------------------------------------------


def numbers(plan: Plan, index: int) -> list[Any]:
    return [x[index].tolist() for x in plan]


def tiles(members: list[int], center: list[int], pool: Pool) -> list[tuple[int, int, int, int, int]]:
    """(sample, left, top, right, bottom) on the endless canvas."""
    found = []
    for place, i in enumerate(members):
        if i >= 0:
            width, height = pool.sizes[i].tolist()
            left = center[0] - (width if place in (0, 2) else 0)
            top = center[1] - (height if place in (0, 1) else 0)
            if members[1] < 0:
                s = pool.images.shape[-1]
                left, top = s - math.ceil(width / 2), s - math.ceil(height / 2)
            found.append((i, left, top, left + width, top + height))
    return found


def scene_color(x: int, y: int, placed: list[tuple[int, int, int, int, int]], pool: Pool) -> list[float]:
    double = 2 * pool.images.shape[-1]
    for i, left, top, right, bottom in placed:
        if left <= x < right and top <= y < bottom and 0 <= x < double and 0 <= y < double:
            return [float(value) for value in pool.images[i, :, y - top, x - left]]
    return [float(GRAY)] * 3


def looked_up(
    u: float, v: float, matrix: list[list[float]], placed: list[tuple[int, int, int, int, int]], pool: Pool
) -> list[float]:
    """The bilinear color of a scene at (u, v) of the image, 0 … 1 across it."""
    (a, b, e), (c, d, f) = matrix
    dx, dy = u - 0.5 - e, v - 0.5 - f
    det = a * d - b * c
    s = pool.images.shape[-1]
    x, y = ((d * dx - b * dy) / det + 1) * s - 0.5, ((a * dy - c * dx) / det + 1) * s - 0.5
    x0, y0 = math.floor(x), math.floor(y)
    color = [0.0, 0.0, 0.0]
    for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = (1 - abs(x - x0 - i)) * (1 - abs(y - y0 - j))
        near = scene_color(x0 + i, y0 + j, placed, pool)
        color = [old + weight * value / 255 for old, value in zip(color, near, strict=True)]
    return color


def slow_image(plan: Plan, index: int, pool: Pool, size: int) -> torch.Tensor:
    members, centers, matrices, share, cut, gains = numbers(plan, index)
    placed = [tiles(members[k], centers[k], pool) for k in (0, 1)]
    x0, y0, x1, y1 = (round(value * size) for value in cut)
    out = torch.empty(3, size, size)
    for row in range(size):
        for column in range(size):
            u, v = (column + 0.5) / size, (row + 0.5) / size
            color = looked_up(u, v, matrices[0], placed[0], pool)
            if members[1][0] >= 0 and (share < 1 or (x0 <= column < x1 and y0 <= row < y1)):
                other = looked_up(u, v, matrices[1], placed[1], pool)
                weight = share if share < 1 else 0
                color = [weight * one + (1 - weight) * two for one, two in zip(color, other, strict=True)]
            h, s, value = colorsys.rgb_to_hsv(*color)
            color = list(colorsys.hsv_to_rgb(h * gains[0] % 1, min(s * gains[1], 1), min(value * gains[2], 1)))
            out[:, row, column] = torch.tensor(color)
    return out


Rectangle = tuple[float, float, float, float]


def size_of(box: Rectangle) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def within(box: Rectangle, other: Rectangle) -> Rectangle:
    return max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])


def without(box: Rectangle, cut: Rectangle) -> tuple[Rectangle, float]:
    """The hull and the area of what four strips around the cut show of the box."""
    far = 1e9
    strips = [(-far, -far, far, cut[1]), (-far, cut[3], far, far), (-far, -far, cut[0], far), (cut[2], -far, far, far)]
    parts = [part for part in (within(box, strip) for strip in strips) if size_of(part) > 0]
    if not parts:
        return (0, 0, 0, 0), 0
    low = [min(part[k] for part in parts) for k in (0, 1)]
    high = [max(part[k] for part in parts) for k in (2, 3)]
    return (low[0], low[1], high[0], high[1]), size_of(box) - size_of(within(box, cut))


def slow_targets(plan: Plan, index: int, pool: Pool, settings: AugmentSettings, size: int) -> list[list[float]]:
    members, centers, matrices, _, cut, _ = numbers(plan, index)
    s, rows = pool.images.shape[-1], []
    for k in (0, 1):
        (a, b, e), (c, d, f) = matrices[k]
        for i, left, top, _, _ in tiles(members[k], centers[k], pool):
            for j in range(int(pool.first[i]), int(pool.first[i + 1])):
                x0, y0, x1, y1 = (min(max(v, 0), 2 * s) for v in add(pool.boxes[j].tolist(), left, top))
                before = (x1 - x0) * (y1 - y0) * abs(a * d - b * c) * (size / s) ** 2
                ends = [(x / s - 1, y / s - 1) for x in (x0, x1) for y in (y0, y1)]
                moved = [((a * x + b * y + e + 0.5) * size, (c * x + d * y + f + 0.5) * size) for x, y in ends]
                xs, ys = ([min(max(point[n], 0), size) for point in moved] for n in (0, 1))
                box: Rectangle = min(xs), min(ys), max(xs), max(ys)
                w, h = box[2] - box[0], box[3] - box[1]
                if min(w, h) <= settings.min_side or size_of(box) <= settings.min_area * before:
                    continue
                if max(w / h, h / w) >= settings.max_aspect:
                    continue
                if any(cut):
                    whole, hole = size_of(box), tuple(float(round(v * size)) for v in cut)
                    assert len(hole) == 4
                    box, seen = (within(box, hole), size_of(within(box, hole))) if k else without(box, hole)
                    if min(box[2] - box[0], box[3] - box[1]) <= settings.min_side or seen <= settings.min_area * whole:
                        continue
                place = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]]
                rows.append([int(pool.labels[j]), *(v / size for v in place)])
    return rows


def add(box: list[float], x: float, y: float) -> list[float]:
    return [box[0] + x, box[1] + y, box[2] + x, box[3] + y]


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_equals_the_oracle(seed: int) -> None:
    """Mosaics and single photos, MixUp and CutMix, rotated, sheared, flipped, recolored: every pixel."""
    size = 24
    pool = random_pool(6, size, seed)
    plan = draw_plan(range(6), 6, STRONG, size, generator(seed))
    batch = render(plan, pool, STRONG)
    for b in range(6):
        difference = (batch.images[b] - slow_image(plan, b, pool, size)).abs()
        assert difference.max() < 2e-3  # next to gray, hue is a quotient of two small numbers
        assert difference.mean() < 1e-4


@pytest.mark.parametrize("min_side", [2, 8])
@pytest.mark.parametrize(("mixup", "cutmix"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.4, 0.5)])
def test_targets_equal_the_oracle(min_side: float, mixup: float, cutmix: float) -> None:
    settings, size = replace(STRONG, mixup=mixup, cutmix=cutmix, min_side=min_side), 96
    pool = random_pool(20, 96, 1)
    kept = 0
    for seed in range(5):
        plan = draw_plan(range(16), 20, settings, 96, generator(seed))
        targets = render(plan, pool, settings).targets
        for b in range(16):
            expected = sorted(slow_targets(plan, b, pool, settings, size))
            got = sorted(targets[targets[:, 0] == b, 1:].tolist())
            assert len(got) == len(expected)
            for one, two in zip(got, expected, strict=True):
                assert one == pytest.approx(two, abs=1e-5)
            kept += len(got)
    assert kept > 100


def test_a_cut_smaller_than_a_pixel_brings_no_labels() -> None:
    pool = random_pool(8, SIZE, 0)
    settings = AugmentSettings(cutmix=1.0)
    plan = draw_plan(range(8), 8, settings, SIZE, generator(0))
    tiny = plan._replace(cut=torch.tensor([0.4, 0.4, 0.401, 0.401]).expand(8, 4))
    alone = plan._replace(members=plan.members.clone(), cut=torch.zeros(8, 4))
    alone.members[:, 1] = -1
    got, expected = render(tiny, pool, settings), render(alone, pool, settings)
    assert torch.equal(got.images, expected.images)
    assert torch.equal(got.targets, expected.targets)


# --- what a learner may rely on -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DetectionData:
    labels = {"a": "0 0.5 0.5 0.4 0.6\n", "b": "1 0.25 0.3 0.3 0.2\n0 0.7 0.7 0.5 0.5\n", "c": ""}
    path = make_data(tmp_path_factory.mktemp("augment"), labels, (27, 40))
    return DetectionData(read_spec(path), "train", SIZE)


def test_with_all_strengths_at_zero_a_batch_is_the_letterboxed_one(data: DetectionData) -> None:
    plain = collate(data, SIZE)
    batch = augment_batch(data.pool(), range(3), STILL, generator(0))
    torch.testing.assert_close(batch.images, plain.images, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.targets, plain.targets)


def test_a_flip_mirrors_pixels_and_boxes(data: DetectionData) -> None:
    straight = augment_batch(data.pool(), range(3), STILL, generator(0))
    turned = augment_batch(data.pool(), range(3), replace(STILL, flip=1), generator(0))
    torch.testing.assert_close(turned.images, straight.images.flip(-1), atol=1e-5, rtol=0)
    expected = straight.targets.clone()
    expected[:, 2] = 1 - expected[:, 2]
    torch.testing.assert_close(turned.targets, expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_image_does_not_depend_on_its_batch_or_the_threads(threads: int) -> None:
    pool = random_pool(6, 64, 0)
    plan = draw_plan(range(6), 6, STRONG, 64, generator(1))
    whole = render(plan, pool, STRONG)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(render(plan, pool, STRONG).images, whole.images)
        for b in range(6):
            single = render(plan.rows(slice(b, b + 1)), pool, STRONG)
            assert torch.equal(single.images[0], whole.images[b])
            assert torch.equal(single.targets[:, 1:], whole.targets[whole.targets[:, 0] == b, 1:])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("ranks", [2, 3])
def test_processes_that_share_a_plan_make_the_batch_of_one(ranks: int) -> None:
    pool = random_pool(7, SIZE, 0)
    plan = draw_plan(range(7), 7, STRONG, SIZE, generator(1))
    whole = render(plan, pool, STRONG)
    for rank in range(ranks):
        part = render(plan.rows(slice(rank, None, ranks)), pool, STRONG)
        assert torch.equal(part.images, whole.images[rank::ranks])
        mine = whole.targets[whole.targets[:, 0] % ranks == rank]
        mine[:, 0] = mine[:, 0] // ranks
        assert sorted(part.targets.tolist()) == sorted(mine.tolist())


@pytest.mark.parametrize("settings", [AugmentSettings(mosaic=0), AugmentSettings(), STRONG, AugmentSettings.r1()])
def test_a_seed_repeats_the_batch_and_targets_are_legal(data: DetectionData, settings: AugmentSettings) -> None:
    def make() -> Batch:
        return augment_batch(data.pool(), [0, 1, 2, 0], settings, generator(5))

    a, b = make(), make()
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.targets, b.targets)
    assert a.images.shape == (4, 3, SIZE, SIZE)
    assert a.images.min() >= 0
    assert a.images.max() <= 1
    assert a.targets.dtype == torch.float32
    assert set(a.targets[:, 0].tolist()) <= {0, 1, 2, 3}
    assert set(a.targets[:, 1].tolist()) <= {0, 1}
    assert corners(a.targets).min() > -1e-5
    assert corners(a.targets).max() < 1 + 1e-5


@pytest.mark.parametrize("settings", [STILL, AugmentSettings(mixup=0.5, cutmix=0.5)])
def test_images_without_objects(tmp_path: Path, settings: AugmentSettings) -> None:
    spec = read_spec(make_data(tmp_path, {"a": "", "b": ""}))
    batch = augment_batch(DetectionData(spec, "train", SIZE).pool(), [0, 1, 1], settings, generator(0))
    assert batch.targets.shape == (0, 6)
    assert batch.images.shape == (3, 3, SIZE, SIZE)


def test_the_cache_is_left_alone(data: DetectionData) -> None:
    before: list[Sample] = list(data)
    augment_batch(data.pool(), range(3), STRONG, generator(0))
    for sample, old in zip(data, before, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(sample, old, strict=True))
