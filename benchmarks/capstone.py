"""Lesson 16 without the notebook: train a profile, and write down how long it took and what came out.

    python benchmarks/capstone.py                      the profile that fits the machine
    python benchmarks/capstone.py --profile t4 --run runs/capstone
    python benchmarks/capstone.py --profile smoke      a minute on any computer: does everything run?

An interrupted run goes on when the same command is given again with the same --run folder; `this_command` then
counts its last part only, `epochs_and_evaluations` all of them. The weights lie in the run folder, as best.safetensors,
and `python benchmarks/ship_weights.py FOLDER NAME` makes shipped weights of them. The times of the GPU profiles are
targets: this program measures them.
"""

import argparse
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from machine import describe

from yolo_edu.assets import shipped_weights
from yolo_edu.checkpoint import read_metadata
from yolo_edu.course.profiles import (
    PROFILES,
    Pace,
    Profile,
    choose_profile,
    measure_pace,
    predict_seconds,
    run_profile,
)
from yolo_edu.hardware import usable_device
from yolo_edu.run import Run

RESULTS = Path(__file__).parent / "results"


def capstone(profile: Profile, folder: Path, device: torch.device, seed: int = 0) -> dict[str, Any]:
    """Forecast, train, and compare with the shipped weights.

    Args:
        profile: what to train.
        folder: of the run; an interrupted run in it goes on.
        device: where.
        seed: of everything that is random.
    """
    pace: Pace = measure_pace(profile, device)
    predicted = predict_seconds(profile, pace)
    print(f"profile {profile.name}: {predicted / 60:.1f} minutes predicted", flush=True)
    start = time.perf_counter()
    report = run_profile(profile, folder, device=device, seed=seed, progress=True)
    wall = time.perf_counter() - start
    run = Run(folder)
    history = torch.load(run.state, map_location="cpu", weights_only=True)["history"]
    shipped = read_metadata(shipped_weights("cards_n"))
    return {
        "machine": describe(device),
        "profile": profile.name,
        "model": profile.model,
        "epochs": profile.recipe.epochs,
        "image_size": profile.recipe.image_size,
        "seed": seed,
        "seconds": {
            "predicted": round(predicted, 1),
            "this_command": round(wall, 1),  # with reading files, writing and drawing
            "epochs_and_evaluations": round(sum(row["seconds"] for row in history), 1),
            "step": {str(size): round(seconds, 5) for size, seconds in pace.step.items()},
            "evaluation": {str(size): round(seconds, 4) for size, seconds in pace.evaluation.items()},
        },
        "target_minutes": profile.target_minutes,
        "map50": round(report.map50, 4),
        "map": round(report.map, 4),
        "ap50": {name: round(ap, 4) for name, ap in report.ap50.items()},
        "shipped": {key: round(shipped[key], 4) for key in ("map50", "map")},
        "history": [{key: round(value, 5) for key, value in row.items()} for row in history],
    }


def file_name(machine: dict[str, Any]) -> str:
    """capstone_<device name>.json, in letters that every file system takes."""
    device = str(machine["gpu"] or "cpu")
    return f"capstone_{re.sub(r'[^a-z0-9]+', '_', device.lower()).strip('_')}.json"


def main(arguments: Sequence[str] | None = None) -> Path:
    """Run, print a summary, write JSON; returns where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=list(PROFILES), help="default: the one that fits the device")
    parser.add_argument("--device", help="cpu, cuda, … (default: a GPU where there is one)")
    parser.add_argument("--run", type=Path, help="run folder (default: runs/capstone_PROFILE)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result (default: %(default)s)")
    args = parser.parse_args(arguments)
    device = usable_device(args.device)
    profile = PROFILES[args.profile] if args.profile else choose_profile(device)
    folder = args.run or Path("runs") / f"capstone_{profile.name}"
    result = capstone(profile, folder, device, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    path: Path = args.out / file_name(result["machine"])
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    seconds = result["seconds"]
    print(f"{seconds['this_command'] / 60:.1f} minutes, predicted {seconds['predicted'] / 60:.1f}", end="")
    wish = profile.target_minutes
    print(f", target {wish:g}" if wish else "")
    print(f"mAP50-95 {result['map']:.3f}, shipped weights {result['shipped']['map']:.3f}")
    print(f"weights: {Run(folder).best}\nresult:  {path}")
    return path


if __name__ == "__main__":
    main()
