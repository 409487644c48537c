"""Does `yolo-edu detect` keep its memory flat over thousands of images? Prints a table, writes JSON.

The shipped photos, each changed in size and brightness, make a folder of thousands; among them are files that cannot be
read: an empty one, text, a cut off JPEG, and again. The command runs on the folder in a process of its own, whose
resident memory is read from outside while it works. What counts is the slope after the first tenth: memory that is
taken once is not a leak. Linux only.

    python benchmarks/detect_memory.py [--images 4000]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from machine import describe
from tqdm import tqdm

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import write_atomically
from yolo_edu.files import read_image
from yolo_edu.spec import read_spec

RESULTS = Path(__file__).parent / "results" / "detect_memory.json"
EVERY = 200  # how many images hold one that cannot be read
SHOWN = 10  # lines of the table
KEPT = 100  # of the JSON


class Made(NamedTuple):
    """A folder of images."""

    bad: list[str]  # names of the files that cannot be read
    pixel_bytes: int  # of all images, decoded


def make_images(folder: Path, count: int, seed: int = 0) -> Made:
    """`count` JPEGs, made from the shipped photos; one in EVERY of them, and at least one, cannot be read."""
    spec = read_spec(sample_data())
    photos = [path for split in ("train", "val") for path in spec.images(split)]
    photos = photos[: min(len(photos), count)]
    rng = np.random.default_rng(seed)
    pixels = [read_image(path).permute(1, 2, 0).numpy() for path in photos]
    bad, total = [], 0
    for i in tqdm(range(count), "making images", unit="image", disable=None):
        height, width = pixels[i % len(pixels)].shape[:2]
        scale = rng.uniform(320, 1280) / max(height, width)
        size = round(width * scale), round(height * scale)
        image = cv2.resize(pixels[i % len(pixels)], size, interpolation=cv2.INTER_LINEAR)
        image = np.clip(image * rng.uniform(0.7, 1.2), 0, 255).astype(np.uint8)
        data = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
        path = folder / f"{i:06}.jpg"
        if i % EVERY == min(EVERY, count) // 2:
            data = (b"", b"this is no image", data[: len(data) // 2])[len(bad) % 3]
            bad.append(path.name)
        else:
            total += image.size
        path.write_bytes(data)
    return Made(bad, total)


def resident(process: int) -> int:
    """Bytes of a process in physical memory, as Linux counts them; 0 when it has ended."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 0


def watch(command: Sequence[str], labels: Path, seconds: float) -> tuple[list[tuple[int, int]], int, str]:
    """Run a command; (images done, bytes) every so many seconds, its exit status and what it printed.

    An image is done when its label file is in the folder `labels`.
    """
    seen = []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as printed:
        running = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, env=environment)
        try:
            while running.poll() is None:
                done = len(os.listdir(labels)) if labels.is_dir() else 0
                size = resident(running.pid)
                if done and size:
                    seen.append((done, size))
                time.sleep(seconds)
        finally:
            running.kill()  # nothing, unless this script was interrupted
            running.wait()
        printed.seek(0)
        return seen, running.returncode, printed.read()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4000, help="how many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="between two looks (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON")
    options = parser.parse_args(argv)
    if not Path("/proc/self/status").is_file():
        sys.exit("This measurement reads /proc, which only Linux has.")
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "photos"), Path(folder, "found")
        source.mkdir()
        made = make_images(source, options.images)
        command = [sys.executable, "-m", "yolo_edu.detect", "--weights", str(shipped_weights("cards_n"))]
        command += ["--source", str(source), "--output", str(output), "--device", "cpu"]
        start = time.perf_counter()
        seen, status, printed = watch(command, output / "labels", options.seconds)
        took = time.perf_counter() - start
        found = json.loads((output / "detections.json").read_text())
        pictures = len(list(output.glob("*.jpg")))
    listed = [Path(message.split(":")[0]).name for message in found["failed"]]
    settled = [(done, size / 2**20) for done, size in seen if done >= options.images / 10]
    slope = float(np.polyfit(*zip(*settled, strict=True), 1)[0]) if len(settled) > 1 else None
    results = {
        "machine": describe(torch.device("cpu")),
        "images": options.images,
        "done": len(found["images"]),
        "pictures": pictures,
        "boxes": sum(len(image["boxes"]) for image in found["images"]),
        "unreadable": made.bad,
        "listed_in_json": listed,
        "listed_at_the_end": [name for name in made.bad if name in printed.rpartition("could not be read")[2]],
        "exit_status": status,
        "seconds": round(took, 1),
        "all_pixels_mib": round(made.pixel_bytes / 2**20),
        "mib_per_1000_images": None if slope is None else round(1000 * slope, 3),
        "highest_mib": round(max((size for _, size in settled), default=0), 1),
        "lowest_mib": round(min((size for _, size in settled), default=0), 1),
        "resident": [f"{done}: {size / 2**20:.1f}" for done, size in seen[:: max(len(seen) // KEPT, 1)]],
    }
    write_atomically(options.out, lambda file: file.write_text(json.dumps(results, indent=1) + "\n"))
    print("images done  resident MiB")
    for done, size in seen[:: max(len(seen) // SHOWN, 1)]:
        print(f"{done:>11}  {size / 2**20:>12.1f}")
    low, high, slope_text = (results[key] for key in ("lowest_mib", "highest_mib", "mib_per_1000_images"))
    print(
        f"{results['done']} of {options.images} images in {took:.0f} s, their pixels together "
        f"{results['all_pixels_mib']} MiB\n"
        f"after the first tenth {low} to {high} MiB, a slope of {slope_text} MiB per 1000 images\n"
        f"{len(results['listed_at_the_end'])} of {len(made.bad)} unreadable files listed at the end, "
        f"exit status {status}"
    )


if __name__ == "__main__":
    main()
