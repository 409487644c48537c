"""Does the linter survive broken files, and does it find what is wrong? Prints a table, writes the JSON.

First thousands of label files, images and YAMLs after random accidents (benchmarks/fuzz/mutate.py): anything but a
fault or a `UserError` counts as a traceback, and linter and training must agree on which label files are errors.
Then faults of a known kind planted at a known file and line (benchmarks/fuzz/plant.py), one a file: recall is the
share for which the linter gives exactly that code at exactly that place. Then sets without a fault: every word
about them is a false alarm.

    python benchmarks/lint_fuzz.py                       5,000 label files, 500 images, 500 YAMLs
    python benchmarks/lint_fuzz.py --labels 200 --images 40 --yamls 40 --planted 20 --out fuzz.json
"""

import argparse
import collections
import json
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from fuzz import mutate, sets
from fuzz.plant import FILES, ROWS, SETS, Place, plant_row
from machine import describe
from numpy.random import Generator, default_rng
from tqdm import tqdm

from yolo_edu.data import read_labels, read_spec
from yolo_edu.errors import UserError
from yolo_edu.files import Fault
from yolo_edu.lint import CODES, lint
from yolo_edu.lint.examine import examine
from yolo_edu.lint.report import as_json, text

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks/results/lint_fuzz.json"
LEAST = {"column-order": 0.9}  # a guess from eight boxes; all other kinds must be found always
BATCH = 50  # mutated files of one set
LABEL_FILE_CODES = {"labels-unreadable", "encoding", "separator", "columns", "not-a-number", "class-number"}
LABEL_FILE_CODES |= {"class-range", "pixels", "range", "no-area"}  # what training refuses


class Tally:
    """What a fuzzer saw."""

    def __init__(self) -> None:
        self.files = 0
        self.codes: collections.Counter[str] = collections.Counter()
        self.refused = 0  # UserErrors
        self.disagreements: list[str] = []  # files that linter and training judge differently
        self.tracebacks: list[str] = []

    @contextmanager
    def watch(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            self.refused += 1
        except Exception:
            self.tracebacks.append(traceback.format_exc(limit=-3))

    def result(self) -> dict[str, Any]:
        return {
            "files": self.files,
            "refused_with_a_user_error": self.refused,
            "faults_by_code": dict(sorted(self.codes.items())),
            "disagreements": self.disagreements,
            "tracebacks": self.tracebacks,
        }


def look(path: Path, tally: Tally) -> list[Fault]:
    """Lint a set and make both reports of it."""
    faults: list[Fault] = []
    with tally.watch():
        found = examine(read_spec(path))
        text(found, 3)
        json.dumps(as_json(found, path), allow_nan=False)
        faults = found.faults
        for fault in faults:
            assert fault.code in CODES, fault
            assert fault.fix, fault
        tally.codes.update(fault.code for fault in faults)
    return faults


def fuzz_labels(root: Path, random: Generator, count: int, tally: Tally) -> None:
    path = sets.make(root, random, train=BATCH)
    files = sorted((root / "labels/train").iterdir())
    good = [file.read_text() for file in files]
    for _ in tqdm(range(0, count, BATCH), "label files", leave=False, disable=None):
        for file, content in zip(files, good, strict=True):
            file.write_bytes(mutate.text(random, content))
        tally.files += len(files)
        faults = look(path, tally)
        bad = {fault.path for fault in faults if fault.severity == "error" and fault.code in LABEL_FILE_CODES}
        for file in files:
            refused = False
            try:
                read_labels(file, len(sets.NAMES))
            except UserError:
                refused = True
            if refused != (file in bad):
                tally.disagreements.append(repr(file.read_bytes()[:200]))


def fuzz_images(root: Path, random: Generator, count: int, tally: Tally) -> None:
    path = sets.make(root, random, train=BATCH)
    folder = root / "images/train"
    kinds = (".jpg", ".png", ".bmp", ".webp", ".tif")
    for _ in tqdm(range(0, count, BATCH), "images", leave=False, disable=None):
        for file in folder.iterdir():
            file.unlink()
        for index in range(BATCH):
            kind = mutate.pick(random, kinds)
            data = mutate.binary(random, sets.encoded(sets.picture(random), kind))
            suffix = kind if random.random() < 0.8 else mutate.pick(random, kinds)
            (folder / f"{index:04}{suffix}").write_bytes(data)
        tally.files += BATCH
        look(path, tally)


def fuzz_yamls(root: Path, random: Generator, count: int, tally: Tally) -> None:
    path = sets.make(root, random, train=3, val=2)
    (root / "list.txt").write_text("".join(f"images/train/{i:04}.png\n" for i in range(3)))
    good = [
        path.read_text(),
        "path: .\ntrain: [images/train]\nval: list.txt\nnc: 3\nnames:\n  0: cat\n  1: dog\n  2: owl\n",
        "train: list.txt\nval: images/val\ntest: images/train\nnames: ['cat', 'dog', 'owl']\n",
    ]
    for _ in tqdm(range(count), "YAMLs", leave=False, disable=None):
        path.write_bytes(mutate.text(random, mutate.pick(random, good), most=2))
        tally.files += 1
        look(path, tally)


def judge(faults: list[Fault], places: list[Place], code: str) -> dict[str, Any]:
    """How many planted faults were found at their place, and what was said of other files."""
    at = {(fault.path, fault.line) for fault in faults if fault.code == code}
    found = sum(place in at for place in places)
    planted = {place.path for place in places}
    errors = [fault for fault in faults if fault.severity == "error" and fault.path not in planted]
    return {"planted": len(places), "found": found, "recall": found / len(places), "errors_elsewhere": len(errors)}


def plant(root: Path, seed: int, count: int) -> dict[str, dict[str, Any]]:
    """Each kind in a set of its own: `count` files with one fault each, and as many without."""
    results: dict[str, dict[str, Any]] = {}
    for number, code in enumerate(tqdm([*ROWS, *FILES], "planted", leave=False, disable=None)):
        random = default_rng([seed, number])
        path = sets.make(root / code, random, train=2 * count, val=2)
        places = []
        for image in sorted((root / code / "images/train").iterdir())[1 : 2 * count : 2]:
            labels = root / code / "labels/train" / f"{image.stem}.txt"
            places.append(plant_row(code, random, labels) if code in ROWS else FILES[code](image, labels, random))
        results[code] = judge(lint(read_spec(path)), places, code)
    for number, (code, spoil) in enumerate(SETS.items()):
        runs = []
        for run in range(max(count // 10, 1)):
            random = default_rng([seed, 1000 + number, run])
            path = sets.make(root / f"set_{code}_{run}", random, train=20, val=2)
            place = spoil(path.parent, random)
            runs.append(judge(lint(read_spec(path)), [place], code))
        total = {key: sum(one[key] for one in runs) for key in ("planted", "found")}
        results[f"{code} (whole set)" if code in results else code] = total | {
            "recall": total["found"] / total["planted"]
        }
    return results


def clean(root: Path, seed: int, count: int) -> dict[str, Any]:
    codes: collections.Counter[str] = collections.Counter()
    for index in range(count):
        path = sets.make(root / str(index), default_rng([seed, 5000 + index]), train=20, val=10)
        codes.update(fault.code for fault in lint(read_spec(path)))
    return {"sets": count, "images": 30 * count, "false_alarms": dict(codes)}


def thousands(root: Path, seed: int, count: int) -> dict[str, float]:
    """Seconds to lint one large set."""
    path = sets.make(root, default_rng([seed, 9999]), train=count * 4 // 5, val=count // 5)
    start = time.perf_counter()
    lint(read_spec(path))
    return {"images": count, "pixels": [sets.WIDTH, sets.HEIGHT], "seconds": round(time.perf_counter() - start, 2)}  # type: ignore[dict-item]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=5000)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--yamls", type=int, default=500)
    parser.add_argument("--planted", type=int, default=100, help="faults of each kind")
    parser.add_argument("--large", type=int, default=10_000, help="images of the set that is timed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    tallies = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        jobs = {"labels": (fuzz_labels, args.labels), "images": (fuzz_images, args.images)}
        jobs["yamls"] = (fuzz_yamls, args.yamls)
        for number, (name, (job, count)) in enumerate(jobs.items()):
            tallies[name] = tally = Tally()
            job(root / name, default_rng([args.seed, number]), count, tally)
            print(f"{name}: {tally.files} files, {len(tally.tracebacks)} tracebacks, ", end="")
            print(f"{tally.refused} refused, {len(tally.disagreements)} disagreements, {dict(tally.codes)}")
        planted = plant(root / "planted", args.seed, args.planted)
        for code, row in planted.items():
            told = f"{code:<28}{row['found']:>4} of {row['planted']:>4}"
            print(told + (f"   errors elsewhere {row['errors_elsewhere']}" if "errors_elsewhere" in row else ""))
        spotless = clean(root / "clean", args.seed, max(args.planted // 5, 1))
        print("sets without a fault:", spotless)
        timed = thousands(root / "large", args.seed, args.large)
        print("one large set:", timed)
    results = {
        "machine": describe(torch.device("cpu")),
        "seed": args.seed,
        "fuzzed": {name: tally.result() for name, tally in tallies.items()},
        "planted": planted,
        "clean": spotless,
        "large_set": timed,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n")
    failed = any(tally.tracebacks or tally.disagreements for tally in tallies.values())
    return int(
        failed
        or any(row["recall"] < LEAST.get(code, 1) for code, row in planted.items())
        or bool(spotless["false_alarms"])
    )


if __name__ == "__main__":
    raise SystemExit(main())
