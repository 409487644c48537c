"""How fast is the garden painted? Prints images a second on one core and writes the JSON.

The second column compares with the machine: how many copies of a 64 MiB array take as long as one picture.
It moves less from one machine to the next than the first.

    python benchmarks/garden_speed.py [--images 100]
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from yolo_edu.garden import LEVELS, scene

RESULTS = Path(__file__).parent / "results" / "garden_speed.json"
SIZE = 320
ROUNDS = 5  # the best of a few: other work on the machine only ever makes it slower


def copy_seconds() -> float:
    """Seconds for one copy of 64 MiB, the best of many."""
    source = np.ones(64 << 20, np.uint8)
    target = np.zeros_like(source)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return best


def picture_seconds(level: str, images: int) -> float:
    """Seconds a picture of a level takes on average, the best of ROUNDS passes over the same pictures."""
    scene(0, 0, SIZE, level=level)  # the noise fields are computed once and kept
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for index in range(images):
            scene(1, index, SIZE, level=level)
        best = min(best, (time.perf_counter() - start) / images)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100, help="pictures a pass (default: %(default)s)")
    images = parser.parse_args().images
    cv2.setNumThreads(1)
    copy = copy_seconds()
    results = {}
    print(f"{'level':8} {'images/s':>9} {'64 MiB copies a picture':>24}   ({SIZE} px, one core)")
    for level in LEVELS:
        seconds = picture_seconds(level, images)
        results[level] = {"images_per_second": round(1 / seconds, 1), "copies": round(seconds / copy, 2)}
        print(f"{level:8} {1 / seconds:9.1f} {seconds / copy:24.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"size": SIZE, "images": images, **results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
