"""How far apart are two ways of running one network? Numbers, a bar, and what to try an exported file on."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from yolo_edu.assets import sample_photo
from yolo_edu.files import read_image

BAR = 1e-4  # the largest `Parity.worst` that a file may have
SMALLEST = 64  # pixels, where the size is free: with a single cell in P5, `torch.export` would take 1 for a constant
BATCHES = (1, 3)  # images at once, in the check

Rows = Callable[[Tensor], Tensor]  # (B, 3, H, W) → (B, N, 5 + K)


@dataclass(frozen=True)
class Parity:
    """The largest differences between the rows of two ways of running one network.

    One bar cannot fit both halves of a row. float32 has 24 bits: a box 1,000 pixels wide is known to 6e-5 pixels at
    best, and the formula multiplies a rounding error of the sigmoid by eight times the anchor. So `worst` asks for
    relative agreement of every number above 1 (most coordinates) and absolute agreement of those below
    (probabilities, and coordinates at the image's corner).
    """

    pixels: float  # of cx, cy, w, h
    of_image: float  # the same, as a part of the image's longer side
    probability: float  # of objectness and classes
    worst: float  # of all: |a − b| / max(1, |b|); this must stay below `BAR`

    @property
    def good(self) -> bool:
        """Below the bar, and a number at all."""
        return self.worst < BAR


def compare(rows: Tensor, expected: Tensor, side: int) -> Parity:
    """Differences of rows (…, 5 + K) from the expected ones, for images whose longer side is `side` pixels.

    Everything is infinite where the shapes differ or a number is none.
    """
    if rows.shape != expected.shape or not (rows.isfinite().all() and expected.isfinite().all()):
        return Parity(*[math.inf] * 4)
    gap = (rows.double() - expected.double()).abs()
    pixels, probability = float(gap[..., :4].max()), float(gap[..., 4:].max())
    return Parity(pixels, pixels / side, probability, float((gap / expected.abs().clamp(min=1)).max()))


def largest(parities: Sequence[Parity]) -> Parity:
    """The worst of several, number by number."""
    return Parity(
        max(p.pixels for p in parities),
        max(p.of_image for p in parities),
        max(p.probability for p in parities),
        max(p.worst for p in parities),
    )


def check_images(sizes: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
    """What a file is tried on: for each (height, width) a photo alone, then a photo, noise and another photo."""
    photos = [read_image(sample_photo(name)).float() / 255 for name in ("cat", "coffee")]
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        first, last = (interpolate(photo[None], size, mode="bilinear", antialias=True).clamp(0, 1) for photo in photos)
        three = torch.cat([first, torch.rand(1, 3, *size, generator=generator), last])
        yield from (three[:batch] for batch in BATCHES)


def check_sizes(image_size: int, *, fixed: bool) -> list[tuple[int, int]]:
    """The (height, width) to try: the own one and, where it is free, one that is smaller and not square."""
    half = max(SMALLEST, image_size // 64 * 32)
    return [(image_size, image_size)] + ([] if fixed else [(half, half + 32)])


def check(
    run: Rows,
    references: Sequence[Rows],
    sizes: Sequence[tuple[int, int]],
    *,
    advance: Callable[[], object] = lambda: None,
) -> list[Parity]:
    """How far an exported file's rows are from each of these, over all of `check_images`.

    Args:
        run: the file.
        references: networks in evaluation mode, on the CPU.
        sizes: (height, width) of the images.
        advance: called after each batch.
    """
    found: list[list[Parity]] = [[] for _ in references]
    with torch.inference_mode():
        for images in check_images(sizes):
            rows = run(images)
            for reference, parities in zip(references, found, strict=True):
                parities.append(compare(rows, reference(images), max(images.shape[2:])))
            advance()
    return [largest(parities) for parities in found]
