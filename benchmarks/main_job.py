"""The main job, timed: train on the cards with the defaults of `make train` and write when which mAP was reached.

python benchmarks/main_job.py [--run runs/train/cards5]     # with --run: read a finished run instead
"""

import argparse
import csv
import json
import os
import platform
from pathlib import Path

import torch

from yolo_edu.cli import main as yolo_edu
from yolo_edu.run import Run

RESULTS = Path(__file__).parent / "results" / "make_train.json"


def reached(run: Run) -> list[dict[str, float]]:
    """Epoch, seconds of training so far, mAP50 and mAP50-95 of every evaluation, evaluations' time included."""
    seconds, points = 0.0, []
    for row in csv.DictReader(run.log.open()):
        seconds += float(row["seconds"])
        if row["map50"]:
            point = {"epoch": int(row["epoch"]), "seconds": round(seconds), "map50": round(float(row["map50"]), 3)}
            points.append(point | {"map": round(float(row["map"]), 3)})
    return points


def main() -> None:
    """Train, or read a finished run, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run of `make train`")
    args = parser.parse_args()
    folder = args.run
    if folder is None:
        yolo_edu(["train", "--data", "data/train_5classes.yaml", "--name", "main_job"])
        folder = max(Path("runs/train").glob("main_job*"), key=lambda path: path.stat().st_mtime)
    points = reached(Run(folder))
    _, settings = Run(folder).read_config()
    content = {
        "command": "yolo-edu train --data data/train_5classes.yaml",
        "machine": f"{os.cpu_count()} {platform.machine()} cores, torch {torch.__version__.split('+')[0]}",
        "precision": settings["precision"],
        "seconds_to_map50_0.5": next((p["seconds"] for p in points if p["map50"] >= 0.5), None),
        "evaluations": points,
    }
    RESULTS.write_text(json.dumps(content, indent=2) + "\n")
    for point in points:
        print("epoch {epoch:>3}  {seconds:>5} s  mAP50 {map50:.3f}  mAP50-95 {map:.3f}".format(**point))


if __name__ == "__main__":
    main()
