"""Images and data sets made on the spot, for the tests that read files."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) RGB, smooth enough that JPEG keeps it."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def make_data(root: Path, labels: Mapping[str, str | None], size: tuple[int, int] = (30, 40)) -> Path:
    """A data set with one split; labels maps the stem of an image to its label text (None: no file)."""
    for folder in ("images/train", "labels/train"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for seed, (stem, text) in enumerate(labels.items()):
        Image.fromarray(noise(*size, seed)).save(root / f"images/train/{stem}.png")
        if text is not None:
            (root / f"labels/train/{stem}.txt").write_text(text)
    (root / "data.yaml").write_text("train: images/train\nnames: [cat, dog]\n")
    return root / "data.yaml"
