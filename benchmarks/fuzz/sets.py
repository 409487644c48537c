"""Small data sets without a fault, made from nothing."""

from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolo_edu.lint.rows import pairwise_iou

NAMES = ("cat", "dog", "owl")
WIDTH, HEIGHT = 80, 64  # pixels


def picture(random: Generator, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """(H, W, 3) smooth noise; no two are alike."""
    small = random.integers(0, 256, (10, 10, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def encoded(image: NDArray[np.uint8], suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


def rows(random: Generator, count: int) -> list[str]:
    """`count` label rows: boxes inside the image, of a fair size, none on another."""
    boxes: list[list[float]] = []
    while len(boxes) < count:
        w, h = random.uniform(0.08, 0.35, 2)
        box = [random.uniform(w / 2, 1 - w / 2), random.uniform(h / 2, 1 - h / 2), w, h]
        overlap = pairwise_iou(np.array([*boxes, box]))[-1, :-1]
        if not (overlap > 0.8).any():
            boxes.append(box)
    classes = random.integers(0, len(NAMES), count)
    return [f"{k} {' '.join(f'{value:.6f}' for value in box)}" for k, box in zip(classes, boxes, strict=True)]


def make(root: Path, random: Generator, *, train: int, val: int = 0) -> Path:
    """Write a set; the path of its YAML. Every split shows every class in its first image."""
    sizes = {"train": train, "val": val}
    for split, count in sizes.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            cv2.imwrite(str(root / f"images/{split}/{index:04}.png"), picture(random))
            own = rows(random, int(random.integers(3, 8)))
            own = [f"{i % 3} {row[2:]}" for i, row in enumerate(own)] if index == 0 else own
            (root / f"labels/{split}/{index:04}.txt").write_text("\n".join(own) + "\n")
    splits = "".join(f"{split}: images/{split}\n" for split, count in sizes.items() if count)
    path = root / "data.yaml"
    path.write_text(f"{splits}names: [{', '.join(NAMES)}]\n")
    return path
