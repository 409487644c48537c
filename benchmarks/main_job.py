"""The main job, timed: train with the defaults of `make train` and write when which mAP was reached.

The data are the shipped cards, or the easy garden, drawn for the occasion.

    python benchmarks/main_job.py [--data cards|garden] [--run runs/train/cards5]     # --run: read a finished run
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import torch
from machine import describe

from yolo_edu.assets import sample_data
from yolo_edu.cli import main as yolo_edu
from yolo_edu.garden import write
from yolo_edu.run import Run

RESULTS = Path(__file__).parent / "results"
GARDEN_IMAGES = 2000  # easy, at 256 px; a fifth of them for validation
EPOCHS = {
    "cards": [],
    "garden": ["--epochs", "38", "--evaluate-every", "3"],
}  # so that each stays under ten minutes on two cores


def reached(run: Run) -> list[dict[str, float]]:
    """Epoch, seconds of training so far, mAP50 and mAP50-95 of every evaluation, evaluations' time included."""
    seconds, points = 0.0, []
    for row in csv.DictReader(run.log.open()):
        seconds += float(row["seconds"])
        if row["map50"]:
            point = {"epoch": int(row["epoch"]), "seconds": round(seconds), "map50": round(float(row["map50"]), 3)}
            points.append(point | {"map": round(float(row["map"]), 3)})
    return points


def data_path(name: str) -> Path:
    """The YAML of the data set; the garden is drawn if it is not there yet."""
    if name == "cards":
        return sample_data()
    return write(Path("runs/garden_easy"), GARDEN_IMAGES, size=256, level="easy")  # what is drawn already is kept


def main() -> None:
    """Train, or read a finished run, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["cards", "garden"], default="cards")
    parser.add_argument("--run", type=Path, help="a finished run on that data")
    args = parser.parse_args()
    folder = args.run
    if folder is None:
        command = ["train", "--data", str(data_path(args.data)), "--name", f"main_job_{args.data}", *EPOCHS[args.data]]
        if status := yolo_edu(command):
            sys.exit(status)
        folder = max(Path("runs/train").glob(f"main_job_{args.data}*"), key=lambda path: path.stat().st_mtime)
    points = reached(Run(folder))
    recipe, options, _ = Run(folder).read_config()
    content = {
        "command": " ".join(["python benchmarks/main_job.py --data", args.data]),
        "machine": describe(torch.device("cpu")),
        "precision": options.precision,
        "memory_format": options.memory_format,
        "epochs": recipe.epochs,
        "seconds_to_map50_0.5": next((p["seconds"] for p in points if p["map50"] >= 0.5), None),
        "evaluations": points,
    }
    path = RESULTS / ("make_train.json" if args.data == "cards" else "garden_train.json")
    path.write_text(json.dumps(content, indent=2) + "\n")
    for point in points:
        print("epoch {epoch:>3}  {seconds:>5} s  mAP50 {map50:.3f}  mAP50-95 {map:.3f}".format(**point))


if __name__ == "__main__":
    main()
