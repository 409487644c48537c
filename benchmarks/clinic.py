"""The patients of lesson 14: each trained beside its healthy twin, over seeds.

Every run is YOLOv5 n with the shipped backbone and neck and a fresh head, trained for seconds on the first photos of
the cards (`yolo_edu.course.clinic.Ward`); the patients differ from the twin in one part each. Kept of a run: curves,
what it finds in three validation photos (seed 0), how many boxes a photo it reports, and the value of every
measurement that confirms a diagnosis. Each run is written as it ends, so an interrupted measurement goes on.

    python benchmarks/clinic.py [--seeds 3] [--epochs 10] [--size 128] [--workers 1]
"""

import argparse
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from many_runs import collect

from yolo_edu.course.clinic import FAULTS, HEALTHY, SIGNS, Ward
from yolo_edu.course.clinic.parts import HIGH_RATE
from yolo_edu.data import DetectionData
from yolo_edu.report import measure

RESULTS = Path(__file__).parent / "results"
SHIPPED = Path(__file__).parents[1] / "yolo_edu/course/measured/clinic.json"  # the lesson reads this copy
WAYS = {"healthy": HEALTHY, **FAULTS, "high rate": HIGH_RATE}
SHOWN = (28, 31, 36)  # validation photos whose boxes are kept
MOST = 40  # boxes kept a photo
SURE = 0.25


def one_run(way: str, seed: int, epochs: int, size: int) -> dict:
    """Train once, evaluate after every epoch, measure every sign."""
    torch.set_num_threads(1)
    ward, parts = Ward(epochs=epochs, size=size), WAYS[way]
    start = time.perf_counter()
    stay = ward.train(parts, seed)
    honest = measure([*ward.val_data()], stay.found, ward.spec.names)  # against labels that are read rightly
    run = {
        "way": way,
        "seed": seed,
        "curves": {name: [round(x, 4) for x in values] for name, values in stay.curves.items()},
        "first_losses": [round(x, 4) for x in stay.steps[: ward.photos // 8]],
        "map50_by_the_truth": round(honest.map50, 4),
        "boxes_a_photo": round(sum(int((f.scores > SURE).sum()) for f in stay.found) / len(stay.found), 2),
        "signs": {name: round(sign.measure(ward, stay), 4) for name, sign in SIGNS.items()},
    }
    if seed == 0:
        photos = DetectionData(ward.spec, "val", 320)
        found = ward.show(stay.network, parts, [photos[i].image for i in SHOWN], 0.1)
        run["found"] = [
            {
                "boxes": [[round(x, 1) for x in box] for box in f.boxes[:MOST].tolist()],
                "scores": [round(x, 3) for x in f.scores[:MOST].tolist()],
                "labels": f.labels[:MOST].tolist(),
                "all": int((f.scores > SURE).sum()),
            }
            for f in found
        ]
    run["seconds"] = round(time.perf_counter() - start, 1)
    return run


def table(runs: Sequence[dict]) -> list[dict]:
    """A row for each way: mAP50 at the end, boxes a photo and its own sign, lowest to highest over the seeds."""
    rows = []
    for way in WAYS:
        own = [run for run in runs if run["way"] == way]
        if own:
            values = {
                "map50": [run["curves"]["map50"][-1] for run in own],
                "boxes_a_photo": [run["boxes_a_photo"] for run in own],
                "sign": [run["signs"][way] for run in own if way in SIGNS],
            }
            rows.append(
                {"way": way, "runs": len(own), **{name: [min(x), max(x)] for name, x in values.items() if x}},
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "clinic.json")
    args = parser.parse_args()
    setting = {
        "model": "yolov5n release 7.0, shipped backbone and neck, fresh head",
        "data": "cards",
        "photos": Ward().photos,
        "epochs": args.epochs,
        "image_size": args.size,
        "lr": Ward().lr,
        "shown": list(SHOWN),
    }
    work = partial(one_run, epochs=args.epochs, size=args.size)
    result = collect(args.out, setting, list(WAYS), args.seeds, work, table, args.workers)
    if args.out == RESULTS / "clinic.json":
        shutil.copyfile(args.out, SHIPPED)
    for row in result["table"]:
        cells = [f"{name} {low:.3f} to {high:.3f}" for name, (low, high) in list(row.items())[2:]]
        print(f"{row['way']:<12} " + ", ".join(cells))


if __name__ == "__main__":
    main()
