"""The order of the batches, what a resumed, a shared or an uncached run sees, and what happens when files vanish."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_data import make_data

from yolo_edu.augment import AugmentSettings
from yolo_edu.batches import Batches, augmentation, seeded
from yolo_edu.data import Batch, DetectionData, read_spec
from yolo_edu.errors import UserError
from yolo_edu.recipe import Recipe

CPU = torch.device("cpu")
SIZE, IMAGES = 32, 11
RECIPE = Recipe(epochs=10, batch=4, image_size=SIZE, augment=AugmentSettings(mixup=0.3, cutmix=0.3))
# Every image is one photo that stands still, so that it can be recognized.
STILL = AugmentSettings(mosaic=0, translate=0, scale=0, flip=0, hue=0, saturation=0, value=0, min_side=1)
ORDER = Recipe(epochs=10, batch=4, image_size=SIZE, augment=STILL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image i has one box, i + 1 sixteenths wide."""
    folder = tmp_path_factory.mktemp("batches")
    make_data(folder, {f"{i:02d}": f"{i % 2} 0.5 0.5 {(i + 1) / 16} 0.5\n" for i in range(IMAGES)}, (24, 32))
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> DetectionData:
    return DetectionData(read_spec(folder / "data.yaml"), "train", SIZE, cache=True)


@pytest.fixture(scope="module")
def uncached(folder: Path) -> DetectionData:
    return DetectionData(read_spec(folder / "data.yaml"), "train", SIZE, cache=False)


def equal(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def order(batches: Iterator[Batch]) -> list[int]:
    """The numbers of the images, told by the widths of their boxes."""
    return [round(width * 16) - 1 for batch in batches for width in batch.targets[:, 4].tolist()]


# --- order ----------------------------------------------------------------------------------------------


def test_every_image_comes_once_an_epoch(data: DetectionData) -> None:
    batches = Batches(data, ORDER, 0, CPU)
    assert len(batches) == 3
    made = list(batches.epoch(0))
    assert [len(batch.images) for batch in made] == [4, 4, 3]
    first, second, other_seed = order(iter(made)), order(batches.epoch(1)), order(Batches(data, ORDER, 1, CPU).epoch(0))
    assert sorted(first) == sorted(second) == sorted(other_seed) == list(range(IMAGES))
    assert len({tuple(first), tuple(second), tuple(other_seed), tuple(range(IMAGES))}) == 4


def test_the_same_numbers_give_the_same_batches_and_others_do_not(data: DetectionData) -> None:
    first = list(Batches(data, RECIPE, 5, CPU).epoch(2))
    again = list(Batches(data, RECIPE, 5, CPU).epoch(2))
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    for batches in (Batches(data, RECIPE, 5, CPU).epoch(3), Batches(data, RECIPE, 6, CPU).epoch(2)):
        assert not any(torch.equal(a.images, b.images) for a, b in zip(first, batches, strict=True))


def test_the_same_photo_looks_different_each_time(tmp_path: Path) -> None:
    spec = read_spec(make_data(tmp_path, {"a": ""}))
    shutil.copy(tmp_path / "images/train/a.png", tmp_path / "images/train/b.png")
    batches = Batches(DetectionData(read_spec(spec.path), "train", SIZE), Recipe(batch=1, image_size=SIZE), 0, CPU)
    looks = {tuple(batch.images.flatten().tolist()) for epoch in (0, 1) for batch in batches.epoch(epoch)}
    assert len(looks) == 4


@pytest.mark.parametrize("cached", [True, False])
def test_an_epoch_can_start_in_the_middle(data: DetectionData, uncached: DetectionData, cached: bool) -> None:
    batches = Batches(data if cached else uncached, RECIPE, 0, CPU)
    whole = list(batches.epoch(1))
    for start in range(len(batches) + 1):
        rest = list(batches.epoch(1, start))
        assert len(rest) == len(whole) - start
        assert all(equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_the_last_epochs_are_plain() -> None:
    recipe = Recipe(epochs=20, plain_epochs=2, augment=AugmentSettings(mixup=0.1, cutmix=0.2))
    assert augmentation(recipe, 17) == recipe.augment
    for epoch in (18, 19):
        plain = augmentation(recipe, epoch)
        assert (plain.mosaic, plain.mixup, plain.cutmix) == (0, 0, 0)
        assert plain.scale == recipe.augment.scale


def test_pictures_grow_with_the_epochs(data: DetectionData) -> None:
    recipe = Recipe(epochs=4, batch=4, image_size=64, growth=((0.5, 0.5),))
    large = DetectionData(read_spec(data_path(data)), "train", 64)
    sizes = [next(Batches(large, recipe, 0, CPU).epoch(epoch)).images.shape[-1] for epoch in range(4)]
    assert sizes == [32, 32, 64, 64]


def data_path(data: DetectionData) -> Path:
    return data.images[0].parents[2] / "data.yaml"


@given(st.lists(st.integers(0, 5), max_size=3), st.lists(st.integers(0, 5), max_size=3))
def test_chance_follows_from_all_its_numbers(a: list[int], b: list[int]) -> None:
    one, two = (torch.rand(4, generator=seeded(*numbers)).tolist() for numbers in (a, b))
    assert (one == two) == (a == b)


# --- several processes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_processes_share_every_batch(data: DetectionData, ranks: int) -> None:
    whole = list(Batches(data, RECIPE, 0, CPU).epoch(0))
    parts = [list(Batches(data, RECIPE, 0, CPU, rank=rank, ranks=ranks).epoch(0)) for rank in range(ranks)]
    # The last batch has 3 images; where there are 4 processes nobody makes it.
    count = 2 if ranks == 4 else 3
    assert [len(part) for part in parts] == [count] * ranks
    for number in range(count):
        images, targets = torch.empty_like(whole[number].images), []
        for rank, part in enumerate(parts):
            images[rank::ranks] = part[number].images
            mine = part[number].targets.clone()
            mine[:, 0] = mine[:, 0] * ranks + rank
            targets += mine.tolist()
        assert torch.equal(images, whole[number].images)
        assert sorted(targets) == sorted(whole[number].targets.tolist())


def test_more_processes_than_images_are_refused(data: DetectionData) -> None:
    with pytest.raises(UserError, match="cannot be shared by 5 processes"):
        Batches(data, RECIPE, 0, CPU, ranks=5)
    with pytest.raises(UserError, match="cannot be shared by 12 processes"):
        Batches(data, Recipe(batch=16, image_size=SIZE), 0, CPU, ranks=12)


# --- reading ahead --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_cache_changes_nothing(data: DetectionData, uncached: DetectionData, workers: int) -> None:
    assert data.cached
    assert not uncached.cached
    slow = Batches(uncached, RECIPE, 3, CPU, workers=workers).epoch(1)
    for one, two in zip(Batches(data, RECIPE, 3, CPU).epoch(1), slow, strict=True):
        assert equal(one, two)


def test_a_cache_that_the_device_cannot_hold_changes_nothing(data: DetectionData) -> None:
    batches, without = Batches(data, RECIPE, 3, CPU), Batches(data, RECIPE, 3, CPU)
    without._keep = False
    assert all(equal(a, b) for a, b in zip(batches.epoch(1), without.epoch(1), strict=True))


def test_an_abandoned_epoch_leaves_no_threads(uncached: DetectionData) -> None:
    before = threading.active_count()
    batches = Batches(uncached, RECIPE, 0, CPU).epoch(0)
    next(batches)
    assert threading.active_count() > before
    batches.close()  # type: ignore[attr-defined]  # what Python does when nobody holds the iterator any more
    assert threading.active_count() == before
    list(Batches(uncached, RECIPE, 0, CPU).epoch(0))
    assert threading.active_count() == before


@pytest.mark.parametrize("whole_folder", [True, False])
def test_a_vanished_file_is_named(folder: Path, tmp_path: Path, whole_folder: bool) -> None:
    shutil.copytree(folder, tmp_path / "set")
    images = tmp_path / "set/images/train"
    data = DetectionData(read_spec(tmp_path / "set/data.yaml"), "train", SIZE, cache=False)
    before = threading.active_count()
    batches = Batches(data, RECIPE, 0, CPU, workers=1).epoch(0)
    next(batches)
    if whole_folder:
        shutil.rmtree(images)
        batches = Batches(data, RECIPE, 0, CPU, workers=1).epoch(1)
    else:
        (images / "07.png").unlink()
        batches = Batches(data, ORDER, 0, CPU, workers=1).epoch(1)
    with pytest.raises(UserError, match=r"cannot read the image \(No such file") as caught:
        list(batches)
    named = [f"{i:02d}.png" for i in range(IMAGES) if f"{images}/{i:02d}.png" in str(caught.value)]
    assert len(named) == 1
    assert whole_folder or named == ["07.png"]
    del batches
    assert threading.active_count() <= before + 1  # the first epoch, which is still held


@pytest.mark.parametrize(
    ("batch", "ranks", "fewest"), [(5, 1, 1), (12, 1, 11), (11, 1, 11), (4, 1, 3), (5, 2, 2), (6, 3, 1)]
)
def test_the_smallest_share_of_a_batch(data: DetectionData, batch: int, ranks: int, fewest: int) -> None:
    assert len(data) == 11
    batches = Batches(data, replace(RECIPE, batch=batch), 0, CPU, ranks=ranks)
    assert batches.fewest == fewest
    shares = [Batches(data, batches.recipe, 0, CPU, rank=rank, ranks=ranks).epoch(0) for rank in range(ranks)]
    assert fewest == min(len(x.images) for share in shares for x in share)


# --- other shapes ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six wide photos 64 × 32 and five tall ones, each with one box in its middle."""
    folder = tmp_path_factory.mktemp("mixed")
    make_data(folder, {f"{i:02d}": "0 0.5 0.5 0.5 0.5\n" for i in range(6)}, (32, 64))
    make_data(folder, {f"{i:02d}": "1 0.5 0.5 0.5 0.5\n" for i in range(6, 11)}, (64, 32))
    return folder


@pytest.mark.parametrize("cache", [True, False])
def test_rectangular_batches_lose_the_gray_bars(mixed: Path, cache: bool) -> None:
    data = DetectionData(read_spec(mixed / "data.yaml"), "train", 64, cache=cache)
    recipe = replace(ORDER, image_size=64, batch=3, rectangular=True)
    seen = list(Batches(data, recipe, 0, CPU).epoch(0))
    for batch in seen:
        kinds = set(batch.targets[:, 1].tolist())
        shape = {(0.0,): (32, 64), (1.0,): (64, 32)}.get(tuple(kinds), (64, 64))
        assert batch.images.shape[2:] == shape
        # The box is half of the photo whatever was cut off around it.
        half = torch.tensor([0.5, 0.5]) if len(kinds) == 1 else None
        assert half is None or torch.allclose(batch.targets[:, 4:], half.expand(len(batch.targets), 2))
    assert {tuple(batch.images.shape[2:]) for batch in seen} >= {(32, 64), (64, 32)}
    assert sum(len(batch.targets) for batch in seen) == IMAGES
    assert augmentation(replace(RECIPE, rectangular=True), 0).mosaic == 0


def test_multi_scale_batches_and_what_is_left_of_an_epoch(data: DetectionData) -> None:
    recipe = replace(RECIPE, image_size=SIZE, multi_scale=True)
    sizes = set()
    for epoch in range(12):
        whole = list(Batches(data, recipe, 0, CPU).epoch(epoch))
        rest = list(Batches(data, recipe, 0, CPU).epoch(epoch, 1))
        assert all(equal(a, b) for a, b in zip(whole[1:], rest, strict=True))
        sizes |= {batch.images.shape[-1] for batch in whole}
    assert sizes == {32, 64}  # 16 … 79 in steps of the coarsest stride, and at least one step
    big = DetectionData(read_spec(data.images[0].parents[2] / "data.yaml"), "train", 64, cache=True)
    several = Batches(big, replace(recipe, image_size=64), 0, CPU)
    assert {batch.images.shape[-1] for epoch in range(8) for batch in several.epoch(epoch)} == {32, 64, 96}


def test_one_class(folder: Path) -> None:
    data = DetectionData(read_spec(folder / "data.yaml"), "train", SIZE, single_class=True)
    assert data.names == ("object",)
    assert sum(len(sample.labels) for sample in data) == IMAGES
    assert all((sample.labels == 0).all() for sample in data)
