"""How alike are the training and the validation photos? Prints data/README.md's table, writes the JSON.

Three measures, from strict to loose: the same pixels in both splits; a validation photo of the same scene as a
training photo, the camera hardly moved (what `yolo-edu lint` says, by `yolo_edu.lint.likeness`); a validation
photo whose camera number (IMG_2507) is next to a training photo's (taken moments apart). None of them sees
that two photos show the same deck of cards or the same tank from another side.

Also: what the likeness can tell apart. Every validation photo is changed in the ways in which copies differ
(saved anew, resized, brighter, cut a little) and compared with itself, and with all the training photos.

    python benchmarks/data_leakage.py
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_edu.data import DataSpec, read_spec
from yolo_edu.files import Fault, decode_image
from yolo_edu.lint import lint
from yolo_edu.lint.likeness import COPY, SCENE, closest, descriptor

ROOT = Path(__file__).parents[1]
Pixels = NDArray[np.uint8]


def saved(image: Pixels, quality: int) -> Pixels:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def scaled(image: Pixels, factor: float) -> Pixels:
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def brighter(image: Pixels, factor: float, more: float) -> Pixels:
    return (image.astype(np.float64) * factor + more).clip(0, 255).astype(np.uint8)


def cut(image: Pixels, share: float) -> Pixels:
    """Without the first rows and columns."""
    height, width = image.shape[:2]
    return image[round(share * height) :, round(share * width) :]


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "JPEG quality 30": lambda image: saved(image, 30),
    "half the size": lambda image: scaled(image, 0.5),
    "squeezed to a square": lambda image: np.asarray(cv2.resize(image, (300, 300)), dtype=np.uint8),
    "25 levels brighter": lambda image: brighter(image, 1, 25),
    "20 % more contrast": lambda image: brighter(image, 1.2, -20),
    "0.6 of the size, brighter, JPEG quality 50": lambda image: saved(scaled(brighter(image, 1.1, 5), 0.6), 50),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "turned by 90°": lambda image: np.ascontiguousarray(np.rot90(image)),
    "cut by 2 %": lambda image: cut(image, 0.02),
    "cut by 5 %": lambda image: cut(image, 0.05),
}


def pixels(path: Path) -> Pixels:
    image = decode_image(path)
    assert not isinstance(image, Fault), image
    return image


def descriptors(images: list[Pixels]) -> NDArray[np.float32]:
    return np.stack([descriptor(image) for image in images])


def camera_numbers(images: tuple[Path, ...]) -> list[int | None]:
    """IMG_2507.jpg → 2507; None for a name without a camera number (and for frames of a film)."""
    matches = (re.fullmatch(r"IMG_(\d+)", image.stem) for image in images)
    return [int(match[1]) if match else None for match in matches]


def measure(spec: DataSpec) -> dict[str, object]:
    train, val = spec.images("train"), spec.images("val")
    originals = [pixels(path) for path in val]
    own, others = descriptors(originals), descriptors([pixels(path) for path in train])
    likeness = [match.likeness for match in closest(own, others)]
    taken = set(camera_numbers(train)) - {None}
    numbers = [number for number in camera_numbers(val) if number is not None]
    codes = [fault.code for fault in lint(spec)]
    changed = {}
    for name, change in CHANGES.items():
        found = closest(descriptors([change(image) for image in originals]), own, turns=True)
        changed[name] = {
            "recognized": sum(match.second == i and match.likeness >= COPY for i, match in enumerate(found)),
            "least_likeness": round(min(match.likeness for match in found), 3),
        }
    return {
        "val_photos": len(val),
        "same_pixels": codes.count("copy-across"),
        "nearly_the_same": codes.count("near-copy"),
        "like_a_training_photo": codes.count("same-scene"),
        "highest_likeness": round(max(likeness), 3),
        "median_likeness": round(float(np.median(likeness)), 3),
        "val_with_camera_number": len(numbers),
        "next_to_a_training_photo": sum(bool({number - 1, number + 1} & taken) for number in numbers),
        "limits": {"copy": COPY, "scene": SCENE},
        "changed_copies": changed,
    }


def main() -> None:
    results = {name: measure(read_spec(ROOT / "data" / name)) for name in ("train_5classes.yaml", "aquarium5.yaml")}
    print("| validation photos ... | " + " | ".join(results) + " |")
    print("|---" * (len(results) + 1) + "|")
    for key, value in results["aquarium5.yaml"].items():
        if not isinstance(value, dict):
            print(
                f"| {key.replace('_', ' ')} | " + " | ".join(f"{result[key]:g}" for result in results.values()) + " |"
            )
    for name, result in results.items():
        print(f"{name}: of {result['val_photos']} photos recognized in a copy that was …")
        for change, found in result["changed_copies"].items():  # type: ignore[attr-defined]
            print(f"  {change:<44}{found['recognized']:>4}   least likeness {found['least_likeness']:.3f}")
    target = ROOT / "benchmarks" / "results" / "data_leakage.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
