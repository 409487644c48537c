import math
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_data import make_data, noise
from torch.utils.data import DataLoader

from yolo_edu.data import (
    GRAY,
    DataSpec,
    DetectionData,
    Letterbox,
    Sample,
    collate,
    label_path,
    letterbox,
    read_image,
    read_labels,
    read_spec,
)
from yolo_edu.errors import UserError

DATA = Path(__file__).parents[1] / "data"

# --- letterbox ------------------------------------------------------------------------------------------


def slow_letterbox(image: torch.Tensor, size: int) -> torch.Tensor:
    """Pixel by pixel: bilinear, pixel centers at half, edges repeated; float, unrounded."""
    _, height, width = image.shape
    r = min(size / height, size / width)
    new_height, new_width = round(height * r), round(width * r)
    left, right = round((size - new_width) / 2 - 0.1), round((size - new_width) / 2 + 0.1)
    top, bottom = round((size - new_height) / 2 - 0.1), round((size - new_height) / 2 + 0.1)
    assert left + new_width + right == size
    assert top + new_height + bottom == size
    out = torch.full((3, size, size), float(GRAY))
    for row_ in range(new_height):
        for column in range(new_width):
            y = min(max((row_ + 0.5) * height / new_height - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / new_width - 0.5, 0), width - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            fy, fx = y - y0, x - x0
            value = (1 - fy) * ((1 - fx) * image[:, y0, x0].float() + fx * image[:, y0, x1].float())
            value += fy * ((1 - fx) * image[:, y1, x0].float() + fx * image[:, y1, x1].float())
            out[:, top + row_, left + column] = value
    return out


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (20, 31, 32),
        (31, 20, 32),
        (32, 32, 32),
        (9, 14, 33),
        (50, 37, 24),
        (17, 32, 32),
        (64, 48, 32),
        (3, 40, 20),
    ],
)
def test_letterbox_equals_the_loop(height, width, size):
    image = torch.from_numpy(noise(height, width)).permute(2, 0, 1)
    before = image.clone()
    square, _ = letterbox(image, size)
    assert square.dtype == torch.uint8
    assert square.shape == (3, size, size)
    assert (square.float() - slow_letterbox(image, size)).abs().max() <= 1  # OpenCV interpolates in fixed point
    assert torch.equal(image, before)


def test_letterbox_places():
    image = torch.zeros(3, 480, 640, dtype=torch.uint8)
    assert letterbox(image, 640)[1] == Letterbox(1.0, 0, 80)
    assert letterbox(image, 320)[1] == Letterbox(0.5, 0, 40)
    square, placed = letterbox(torch.zeros(3, 31, 32, dtype=torch.uint8), 32)
    assert placed == Letterbox(1.0, 0, 0)  # the odd row of gray goes below
    assert (square[:, 31] == GRAY).all()
    assert (square[:, :31] == 0).all()
    assert letterbox(torch.zeros(3, 1, 1000, dtype=torch.uint8), 64)[0].shape == (3, 64, 64)


boxes_in_image = st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), max_size=6)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 90), boxes_in_image)
def test_letterbox_of_boxes_there_and_back(height, width, size, corners):
    _, placed = letterbox(torch.zeros(3, height, width, dtype=torch.uint8), size)
    boxes = torch.tensor(corners).reshape(-1, 4) * torch.tensor([width, height, width, height])
    inside = placed.apply(boxes)
    assert inside.shape == boxes.shape
    torch.testing.assert_close(placed.undo(inside), boxes, atol=1e-3 * max(height, width), rtol=1e-4)
    # within half a pixel (the rounding of the size) of where the image is
    assert (inside >= -0.61).all()
    assert (inside <= size + 0.61).all()


def test_letterbox_takes_a_box_where_its_pixels_go():
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    image[:, 10:20, 30:50] = 255
    square, placed = letterbox(image, 120)
    ys, xs = torch.nonzero(square[0] > 200, as_tuple=True)
    found = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
    assert (found - placed.apply(torch.tensor([30.0, 10, 50, 20]))).abs().max() <= 1


# --- the data set ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_size", [17, 40, 64])
def test_samples(tmp_path, image_size):
    texts = {"a": "1 0.5 0.5 0.5 0.25\n0 0.1 0.1 0.4 0.2\n", "b": "", "c": None}
    spec = read_spec(make_data(tmp_path, texts, size=(30, 40)))
    cached, fresh = (DetectionData(spec, "train", image_size, cache=cache) for cache in (True, False))
    assert len(cached) == len(fresh) == 3
    height, width = round(30 * image_size / 40), image_size
    for a, b in zip(cached, fresh, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        assert a.image.shape == (3, height, width)
        assert a.image.dtype == torch.uint8
        assert a.boxes.dtype == torch.float32
        assert a.labels.dtype == torch.int64
    assert [len(sample.labels) for sample in cached] == [2, 0, 0]
    assert cached[1].boxes.shape == (0, 4)
    expected = [[0.25, 0.375, 0.75, 0.625], [0, 0, 0.3, 0.2]]  # the second is clipped at the corner
    scale = torch.tensor([width, height, width, height])
    torch.testing.assert_close(cached[0].boxes, torch.tensor(expected) * scale)
    method = cv2.INTER_AREA if image_size < 40 else cv2.INTER_LINEAR
    pixels = read_image(spec.images("train")[0]).permute(1, 2, 0).numpy()
    pixels = cv2.resize(pixels, (width, height), interpolation=method)
    assert np.array_equal(cached[0].image.permute(1, 2, 0).numpy(), pixels)


def test_a_pool_holds_the_samples_side_by_side(tmp_path):
    texts = {"a": "1 0.5 0.5 0.5 0.25\n0 0.1 0.1 0.4 0.2\n", "b": "", "c": "0 0.5 0.5 1 1\n"}
    spec = read_spec(make_data(tmp_path, texts, size=(30, 40)))
    cached, fresh = (DetectionData(spec, "train", 32, cache=cache) for cache in (True, False))
    assert (cached.cached, fresh.cached) == (True, False)
    assert cached.bytes == 3 * 3 * 32 * 32
    assert cached.pool() is cached.pool()
    for pool in (cached.pool(), fresh.pool(), cached.pool([0, 1, 2])):
        assert all(torch.equal(x, y) for x, y in zip(pool, cached.pool(), strict=True))
    assert torch.equal(cached.box_sizes(), fresh.box_sizes())
    assert torch.equal(cached.box_sizes(), torch.cat([s.boxes[:, 2:] - s.boxes[:, :2] for s in fresh]))
    for data in (cached, fresh):
        pool = data.pool([2, 0, 2])
        assert pool.sizes.tolist() == [[32, 24]] * 3
        assert pool.first.tolist() == [0, 1, 3, 4]
        assert (pool.images[:, :, 24:] == GRAY).all()
        for place, index in enumerate([2, 0, 2]):
            assert all(torch.equal(x, y) for x, y in zip(pool.sample(place), cached[index], strict=True))


@pytest.mark.parametrize(("free", "cached"), [(None, True), (10**9, True), (2 * 3 * 40 * 40, False)])
def test_images_are_cached_if_they_fill_less_than_half_of_the_memory(tmp_path, monkeypatch, free, cached):
    monkeypatch.setattr("yolo_edu.data.free_memory", lambda: free)
    data = DetectionData(read_spec(make_data(tmp_path, {"a": ""})), "train", 40)
    assert data.cached == cached
    assert len(data.box_sizes()) == 0


def test_a_file_that_vanishes_is_named(tmp_path):
    data = DetectionData(read_spec(make_data(tmp_path, {"a": "", "b": ""})), "train", 40, cache=False)
    (tmp_path / "images/train/b.png").unlink()
    assert len(data.pool([0]).images) == 1
    with pytest.raises(UserError, match=r"b\.png: cannot read the image"):
        data.pool([0, 1])


def test_a_changed_sample_leaves_the_cache_alone(tmp_path):
    data = DetectionData(read_spec(make_data(tmp_path, {"a": "1 0.5 0.5 0.5 0.25"})), "train", 40)
    before = [x.clone() for x in data[0]]
    for x in data[0]:
        x.zero_()
    assert all(torch.equal(x, y) for x, y in zip(data[0], before, strict=True))


def test_every_bad_file_is_named_at_once(tmp_path):
    texts = {"a": "9 0.5 0.5 0.1 0.1", "b": "", "c": "1 2 3", "d": "", "e": ""}
    spec = read_spec(make_data(tmp_path, texts))
    for stem in "bd":
        (tmp_path / f"images/train/{stem}.png").write_bytes(b"broken")
    with pytest.raises(UserError) as caught:
        DetectionData(spec, "train", 40)
    message = str(caught.value)
    assert "4 bad file(s)" in message
    assert all(name in message for name in ("a.txt:1", "b.png", "c.txt:1", "d.png"))
    assert "e.png" not in message
    assert "e.txt" not in message


def test_many_bad_files_are_counted_not_listed(tmp_path):
    spec = read_spec(make_data(tmp_path, {f"{i}": "bad" for i in range(25)}, size=(2, 2)))
    with pytest.raises(UserError, match=r"25 bad file\(s\)") as caught:
        DetectionData(spec, "train", 40)
    assert str(caught.value).count("\n") == 21
    assert "and 5 more" in str(caught.value)


def test_splits_that_cannot_be_used(tmp_path):
    spec = read_spec(make_data(tmp_path, {"a": None, "b": None}))
    with pytest.raises(UserError, match="no image of 'train' has a label file"):
        DetectionData(spec, "train", 40)
    with pytest.raises(UserError, match="no split 'val'"):
        DetectionData(spec, "val", 40)
    with pytest.raises(UserError, match="holds no image"):
        DetectionData(DataSpec(spec.path, spec.names, {"train": ()}), "train", 40)


def test_data_and_spec_survive_another_process(tmp_path):
    spec = read_spec(make_data(tmp_path, {"a": "1 0.5 0.5 0.5 0.25", "b": ""}))
    assert pickle.loads(pickle.dumps(spec)) == spec
    for cache in (True, False):
        data = DetectionData(spec, "train", 40, cache=cache)
        thawed = pickle.loads(pickle.dumps(data))
        for one, other in zip(data, thawed, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))
    loader = DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    for one, other in zip(data, loader, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


# --- batches --------------------------------------------------------------------------------------------


def random_samples(count: int, seed: int) -> list[Sample]:
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(count):
        height, width, boxes = (
            int(torch.randint(a, b, (), generator=generator)) for a, b in ((8, 50), (8, 50), (0, 4))
        )
        low = torch.rand(boxes, 2, generator=generator) * 0.5
        corners = torch.cat([low, low + 0.4], dim=1) * torch.tensor([width, height, width, height])
        image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
        samples.append(Sample(image, corners, torch.randint(0, 5, (boxes,), generator=generator)))
    return samples


@given(st.integers(0, 5), st.integers(0, 1000), st.sampled_from([16, 32, 48]))
def test_a_batch_is_its_images_one_by_one(count, seed, size):
    samples = random_samples(count, seed)
    batch = collate(samples, size)
    assert batch.images.shape == (count, 3, size, size)
    assert batch.images.dtype == torch.float32
    assert batch.targets.shape == (sum(len(s.labels) for s in samples), 6)
    assert batch.targets.dtype == torch.float32
    for index, sample in enumerate(samples):
        single = collate([sample], size)
        assert torch.equal(batch.images[index], single.images[0])
        mine = batch.targets[batch.targets[:, 0] == index]
        assert torch.equal(mine[:, 1:], single.targets[:, 1:])


def test_collate_equals_the_loop():
    samples = random_samples(4, seed=3)
    batch, size = collate(samples, 32), 32
    expected = []
    for index, (image, boxes, labels) in enumerate(samples):
        square, (scale, left, top) = letterbox(image, size)
        assert torch.equal(batch.images[index], square / 255)
        for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels.tolist(), strict=True):
            x1, x2 = x1 * scale + left, x2 * scale + left
            y1, y2 = y1 * scale + top, y2 * scale + top
            box = [(x1 + x2) / 2 / size, (y1 + y2) / 2 / size, (x2 - x1) / size, (y2 - y1) / size]
            expected.append([index, label, *box])
    torch.testing.assert_close(batch.targets, torch.tensor(expected))
    assert batch.images.max() <= 1
    assert batch.images.min() >= 0


def test_collate_of_no_boxes_and_of_nothing():
    image = torch.zeros(3, 10, 20, dtype=torch.uint8)
    empty = Sample(image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert collate([empty, empty], 32).targets.shape == (0, 6)
    nothing = collate([], 32)
    assert nothing.images.shape == (0, 3, 32, 32)
    assert nothing.targets.shape == (0, 6)


@pytest.mark.parametrize(("name", "split"), [("train_5classes", "val"), ("aquarium5", "val")])
def test_the_shipped_data_through_the_whole_path(name, split):
    """Label file → sample → batch: the boxes of a batch, taken back, are the rows of the file."""
    spec = read_spec(DATA / f"{name}.yaml")
    data = DetectionData(spec, split, 128, cache=False)
    for index in (0, len(data) // 2, len(data) - 1):
        batch = collate([data[index]], 128)
        labels, boxes = read_labels(label_path(spec.images(split)[index]), len(spec.names))
        assert batch.targets[:, 1].tolist() == labels.tolist()
        height, width = data[index].image.shape[1:]
        _, placed = letterbox(data[index].image, 128)
        centers = (batch.targets[:, 2:4] * 128 - torch.tensor([placed.left, placed.top])) / torch.tensor(
            [width, height]
        )
        torch.testing.assert_close(centers, boxes[:, :2], atol=1e-3, rtol=0)
        assert math.isclose(placed.scale, 1)


def test_a_shrunken_pool_shows_the_same(tmp_path: Path) -> None:
    """Half the size: every pixel about the mean of four, boxes halved, nothing of the gray beside the image."""
    path = make_data(tmp_path, {"a": "1 0.5 0.5 0.5 0.25", "b": ""}, (30, 40))
    pool = DetectionData(read_spec(path), "train", 40).pool()
    assert pool.shrink(40) is pool
    half = pool.shrink(20)
    assert half.size == 20
    assert half.sizes.tolist() == [[20, 15], [20, 15]]
    torch.testing.assert_close(half.boxes, pool.boxes / 2)
    assert torch.equal(half.first, pool.first)
    means = pool.images[:, :, :30].float().unflatten(2, (15, 2)).unflatten(4, (20, 2)).mean(dim=(3, 5))
    inner = (half.images[:, :, :15].float() - means)[:, :, 1:-1, 1:-1].abs()
    assert inner.max() < 12  # the filter reaches a little further than the four pixels
    third = pool.shrink(13)
    assert third.sizes.tolist() == [[13, 9], [13, 9]]  # 9.75 rows: the tenth is partly gray


def test_a_cache_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read_spec(make_data(tmp_path, {"a": "", "b": ""}))
    monkeypatch.setattr("yolo_edu.data.free_memory", lambda: 3 * 2 * 40 * 40)  # just enough for the two
    assert DetectionData(spec, "train", 40, cache=True).cached
    assert not DetectionData(spec, "train", 40).cached  # half of what is free is for other things
    with pytest.raises(UserError, match="Leave the cache out"):
        DetectionData(spec, "train", 40, cache=True, copies=2)
