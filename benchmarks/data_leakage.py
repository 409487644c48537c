"""How alike are the training and the validation photos? Prints data/README.md's table, writes the JSON.

Three measures, from strict to loose: the same pixels in both splits; a validation photo whose 32 × 32 gray
thumbnail correlates strongly with one of a training photo (same scene, camera hardly moved); a validation
photo whose camera number (IMG_2507) is next to a training photo's (taken moments apart). None of them sees
that two photos show the same deck of cards or the same tank from another side.

    python benchmarks/data_leakage.py
"""

import json
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_edu.data import DataSpec, read_image, read_spec
from yolo_edu.lint import lint

ROOT = Path(__file__).parents[1]
LIKE = 0.8  # correlation of thumbnails from which two photos are counted as the same scene


def thumbnails(images: tuple[Path, ...]) -> NDArray[np.float64]:
    """(N, 1024): gray, 32 × 32, mean 0 and length 1, so that a product of two is their correlation."""
    rows = []
    for image in images:
        gray = read_image(image).float().mean(dim=0).numpy()
        row = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
        row -= row.mean()
        rows.append(row / max(float(np.linalg.norm(row)), 1e-9))
    return np.stack(rows)


def camera_numbers(images: tuple[Path, ...]) -> list[int | None]:
    """IMG_2507.jpg → 2507; None for a name without a camera number (and for frames of a film)."""
    matches = (re.fullmatch(r"IMG_(\d+)", image.stem) for image in images)
    return [int(match[1]) if match else None for match in matches]


def measure(spec: DataSpec) -> dict[str, float]:
    train, val = spec.images("train"), spec.images("val")
    closest = (thumbnails(val) @ thumbnails(train).T).max(axis=1)
    taken = set(camera_numbers(train)) - {None}
    numbers = [number for number in camera_numbers(val) if number is not None]
    return {
        "val_photos": len(val),
        "same_pixels": sum("the same image is in" in fault.message for fault in lint(spec)),
        "like_a_training_photo": int((closest >= LIKE).sum()),
        "highest_correlation": round(float(closest.max()), 3),
        "median_correlation": round(float(np.median(closest)), 3),
        "val_with_camera_number": len(numbers),
        "next_to_a_training_photo": sum(bool({number - 1, number + 1} & taken) for number in numbers),
    }


def main() -> None:
    results = {name: measure(read_spec(ROOT / "data" / name)) for name in ("train_5classes.yaml", "aquarium5.yaml")}
    print("| validation photos ... | " + " | ".join(results) + " |")
    print("|---" * (len(results) + 1) + "|")
    for key in results["aquarium5.yaml"]:
        print(f"| {key.replace('_', ' ')} | " + " | ".join(f"{result[key]:g}" for result in results.values()) + " |")
    target = ROOT / "benchmarks" / "results" / "data_leakage.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
