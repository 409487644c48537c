"""Descriptors of images: what they do not see, and what they must."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_data import noise

from yolo_edu.assets import sample_data
from yolo_edu.data import read_spec
from yolo_edu.files import decode_image
from yolo_edu.lint import likeness
from yolo_edu.lint.likeness import COPY, SCENE, closest, descriptor, repeats, turned

PHOTOS = [decode_image(path) for path in read_spec(sample_data()).images("val")[:6]]


def many(count: int, seed: int = 0) -> np.ndarray:
    """Descriptors of nothing: random directions."""
    vectors = np.random.default_rng(seed).normal(size=(count, 143)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_descriptor_has_length_1_and_one_color_has_none():
    for photo in PHOTOS:
        assert np.linalg.norm(descriptor(photo)) == pytest.approx(1, abs=1e-5)
    for gray in (0, 128, 255):
        assert not descriptor(np.full((40, 60, 3), gray, np.uint8)).any()
    assert descriptor(np.zeros((1, 1, 3), np.uint8)).shape == (143,)


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize(
    "change",
    [
        lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1),
        lambda image: cv2.resize(image, (200, 300), interpolation=cv2.INTER_AREA),
        lambda image: np.clip(image.astype(int) + 25, 0, 255).astype(np.uint8),
        lambda image: image[image.shape[0] // 50 :, image.shape[1] // 50 :],
    ],
    ids=["saved", "resized", "brighter", "cut"],
)
def test_a_changed_copy_is_a_copy_and_another_photo_is_not(photo, change):
    changed = descriptor(np.ascontiguousarray(change(photo)))
    values = [float(changed @ descriptor(other)) for other in PHOTOS]
    assert max(values) >= COPY
    assert values[int(np.argmax(values))] == float(changed @ descriptor(photo))
    assert sorted(values)[-2] < SCENE


def test_turned_descriptors_are_those_of_turned_images():
    image = noise(64, 64, seed=3)
    looks = {
        "": image,
        "mirrored": image[:, ::-1],
        "upside down and mirrored": image[::-1],
        "turned by 180°": np.rot90(image, 2),
        "turned by 90°": np.rot90(image, -1),
        "turned by 270°": np.rot90(image, 1),
        "mirrored and turned by 90°": np.rot90(image[:, ::-1], 1),
        "mirrored and turned by 270°": np.rot90(image[:, ::-1], -1),
    }
    own = descriptor(image)[None]
    given = dict(turned(own))
    assert given.keys() == looks.keys()
    for name, look in looks.items():
        assert np.allclose(given[name][0], descriptor(np.ascontiguousarray(look)), atol=2e-3), name


def test_closest_names_the_turn():
    others = np.stack([descriptor(photo) for photo in PHOTOS])
    mirrored = descriptor(np.ascontiguousarray(PHOTOS[2][:, ::-1]))[None]
    (match,) = closest(mirrored, others, turns=True)
    assert match[:2] == (0, 2)
    assert match.turn == "mirrored"
    assert match.likeness > 0.99
    (match,) = closest(others[:1], others, turns=True)
    assert match.turn == ""
    (match,) = closest(mirrored, others)
    assert match.likeness < COPY
    assert closest(others, others[:0]) == []


@given(first=st.integers(0, 9), second=st.integers(1, 9), block=st.integers(1, 4))
def test_closest_is_the_loop(first, second, block):
    """Whatever the size of the blocks that images are compared in."""
    a, b = many(first, 1), many(second, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "BLOCK", block)
        found = closest(a, b)
    assert [match.second for match in found] == [max(range(second), key=lambda j: a[i] @ b[j]) for i in range(first)]


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 4))
def test_repeats_is_the_loop(kinds, block):
    rows = many(4)[kinds].reshape(-1, 143)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "BLOCK", block)
        found = [(match.first, match.second) for match in repeats(rows, 0.99)]
    assert found == [(i, kinds.index(kind)) for i, kind in enumerate(kinds) if kinds.index(kind) < i]
