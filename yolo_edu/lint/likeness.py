"""How alike are two images? One short vector an image; its product with another image's is their likeness.

The vector is what DCT hashes are made of (Zauner 2010, "Implementation and benchmarking of perceptual image
hash functions", section 3.2): the lowest frequencies of a small gray copy, without the mean. Two changes: the
numbers are kept instead of their signs, so that likeness has no steps; and each is multiplied by its frequency,
because the amplitudes of natural images fall as 1 / frequency (Field 1987, "Relations between the statistics of
natural images and the response properties of cortical cells"). Without that factor all images with a bright top
and a dark bottom are alike.

Re-encoding, resizing, brightness and contrast hardly change it. `benchmarks/data_leakage.py` measures that, and
what the two limits find.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

COPY = 0.9  # likeness of copies that were saved anew, resized, brightened, or cut by up to 2 % of their sides
SCENE = 0.7  # the same scene, the camera hardly moved
SMALL = 32  # side of the gray copy, pixels
KEPT = 12  # frequencies along each axis
FLAT = 1.0  # gray levels: an image that varies less is like no other
BLOCK = 1024  # images compared with all others at once
FREQUENCY = np.hypot(*np.mgrid[:KEPT, :KEPT]).astype(np.float32)
# Mirroring an axis changes the sign of its odd frequencies.
_ODD = (1 - 2 * (np.arange(KEPT) % 2)).astype(np.float32)


class Match(NamedTuple):
    """Two images that are alike: their indices, how much, and how the second must be turned for it."""

    first: int
    second: int
    likeness: float
    turn: str  # "", "mirrored", "turned by 180°" …


def descriptor(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) RGB → (143,) of length 1; zeros for an image of one color."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
    if float(small.std()) < FLAT:
        return np.zeros(KEPT * KEPT - 1, np.float32)
    waves = np.asarray(cv2.dct(small))[:KEPT, :KEPT] * FREQUENCY
    vector = waves.ravel()[1:].astype(np.float32)
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-6))


def turned(descriptors: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """(N, 143) descriptors of the images in all eight positions, without looking at the images again.

    They are squeezed to squares first, so a turn by 90° is a turned square too.
    """
    full = np.concatenate([np.zeros((len(descriptors), 1), np.float32), descriptors], axis=1)
    square = full.reshape(-1, KEPT, KEPT)
    across = square.transpose(0, 2, 1)
    ways = {
        "": square,
        "mirrored": square * _ODD,
        "upside down and mirrored": square * _ODD[:, None],
        "turned by 180°": square * _ODD * _ODD[:, None],
        "turned by 90°": across * _ODD,
        "turned by 270°": across * _ODD[:, None],
        "mirrored and turned by 90°": across,
        "mirrored and turned by 270°": across * _ODD * _ODD[:, None],
    }
    for name, waves in ways.items():
        yield name, waves.reshape(-1, KEPT * KEPT)[:, 1:]


def closest(first: NDArray[np.float32], second: NDArray[np.float32], *, turns: bool = False) -> list[Match]:
    """For every image of `first` the one of `second` that is most like it; [] if `second` is empty.

    Args:
        first, second: (N, 143) and (M, 143) descriptors.
        turns: also look at mirrored and turned images; where that is no better, the match is upright.
    """
    best = np.full(len(first), -np.inf, np.float32)
    index = np.zeros(len(first), np.int64)
    turn = np.full(len(first), "", dtype=object)
    if not len(second):
        return []
    for name, others in turned(second):
        for start in range(0, len(first), BLOCK):
            part = slice(start, start + BLOCK)
            product = first[part] @ others.T
            at = product.argmax(axis=1)
            value = product[np.arange(len(at)), at]
            better = value > best[part] + (1e-3 if name else 0)
            best[part][better], index[part][better], turn[part][better] = value[better], at[better], name
        if not turns:
            break
    return [Match(i, int(index[i]), float(best[i]), str(turn[i])) for i in range(len(first))]


def repeats(descriptors: NDArray[np.float32], least: float) -> list[Match]:
    """For every image that is this much like an earlier one: that pair, with the earliest such image."""
    found = []
    for start in range(0, len(descriptors), BLOCK):
        part = descriptors[start : start + BLOCK]
        alike = np.tril(part @ descriptors[: start + BLOCK].T >= least, start - 1)
        for i in np.flatnonzero(alike.any(axis=1)).tolist():
            j = int(alike[i].argmax())
            found.append(Match(start + i, j, float(part[i] @ descriptors[j]), ""))
    return found
