"""What is each part worth? One taken away or exchanged at a time, over seeds.

The base is YOLOv5 n of release 7.0 on the cards with the recipe `short` at one small size. Every way trains from the
base's weights, as far as it shares them, through the same photos in the same order, and its mAP is that of the last
average: no epoch is picked. Two ways change nothing and show what luck does: `base, other order`, and the Focus stem,
the same function with its weights sorted otherwise. Each run is written as it ends: an interrupted measurement goes on
where it was, and more seeds are added to those that are there. Times are measured at the end, side by side.

    python benchmarks/ablations.py [--seeds 3] [--epochs 30] [--size 128] [--ways "no PAN" GIoU] [--workers 2]
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from ablation.show import caution, draw, table, text
from ablation.ways import BASE, WAYS, on_paper, one_run, timing
from machine import describe
from tqdm import tqdm

from yolo_edu.assets import sample_data
from yolo_edu.checkpoint import write_atomically
from yolo_edu.data import DataSpec, DetectionData, read_spec
from yolo_edu.errors import UserError
from yolo_edu.hardware import PRECISIONS

RESULTS = Path(__file__).parent / "results"
SEEDS = 3
SCALE = "n"
ROUNDS = 30  # of the timing


def before(path: Path, setting: dict) -> tuple[list[dict], dict]:
    """Runs and timing that are already there.

    Raises:
        UserError: the file is damaged, or its runs were made otherwise; they are not thrown away.
    """
    if not path.is_file():
        return [], {}
    try:
        result = json.loads(path.read_text())
        found, runs, times = result["setting"], result["runs"], result["timing"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not a result of this script ({error!r}). Move it away, or choose another --out."
        ) from None
    if found != setting:
        changed = ", ".join(
            f"{key} {found.get(key)} instead of {setting[key]}" for key in setting if found.get(key) != setting[key]
        )
        raise UserError(f"{path}: holds runs of another setting ({changed}). Move it away, or choose another --out.")
    return runs, times


def on_all_papers(spec: DataSpec, size: int) -> tuple[dict[str, int], dict[str, dict]]:
    """How many photos and boxes there are, and for every way what needs no training."""
    train, val = (DetectionData(spec, split, size) for split in ("train", "val"))
    photos = {"train": len(train), "val": len(val), "boxes": len(val.box_sizes())}
    return photos, {way: on_paper(way, len(spec.names), train.box_sizes(), SCALE, size) for way in WAYS}


def measure(
    spec: DataSpec,
    path: Path,
    ways: Sequence[str],
    seeds: int,
    setting: dict,
    *,
    workers: int = 1,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """Make the runs that are missing, then the timing if it is; everything is in the file as soon as it is known.

    Raises:
        UserError: see `before`.
    """
    ways = [way for way in WAYS if way in ways or way == BASE]
    runs, times = before(path, setting)
    photos, papers = on_all_papers(spec, setting["image_size"])

    def save() -> dict[str, Any]:
        order = sorted(runs, key=lambda run: (list(WAYS).index(run["way"]), run["seed"]))
        result = {
            "machine": describe(torch.device("cpu")) | {"torch_threads": 1},
            "setting": setting,
            "caution": caution(order, setting, photos),
            "table": table(order),
            "on_paper": papers,
            "timing": times,
            "runs": order,
        }
        content = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        write_atomically(path, lambda file: file.write_text(content, encoding="utf-8"))
        return result

    done = {(run["way"], run["seed"]) for run in runs}
    # Seed by seed: however early it is stopped, there are whole rounds of comparisons.
    jobs = [(way, seed) for seed in range(seeds) for way in ways if (way, seed) not in done]
    how = {
        "scale": SCALE,
        "epochs": setting["epochs"],
        "size": setting["image_size"],
        "precision": setting["precision"],
    }
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        tqdm(total=len(jobs), desc="ablations", unit="run") as bar,
    ):
        pending = [pool.submit(one_run, way, seed, spec, **how) for way, seed in jobs]
        try:
            for future in as_completed(pending):
                runs.append(future.result())
                save()
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what is not begun stays undone
            raise
    if not set(ways) <= set(times):
        torch.set_num_threads(1)
        names = [way for way in WAYS if way in ways or way in times]
        times = timing(
            names, spec, scale=SCALE, size=setting["image_size"], precision=setting["precision"], rounds=rounds
        )
    return save()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="0 to this number, less one (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--size", type=int, default=128, help="of the photos, pixels (default: %(default)s)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help="; ".join(WAYS))
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, a thread each (default: %(default)s)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="bfloat16", help="of training (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "ablations.json", help="JSON; the picture lies beside it")
    args = parser.parse_args()
    for name in ("seeds", "epochs", "workers"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if args.size < 32 or args.size % 32:
        parser.error("--size must be a multiple of 32, the coarsest stride")
    os.environ["OMP_NUM_THREADS"] = "1"
    setting = {
        "model": f"yolov5{SCALE}v6",
        "data": "cards",
        "recipe": "short, one size",
        "epochs": args.epochs,
        "image_size": args.size,
        "precision": args.precision,
    }
    try:
        result = measure(read_spec(sample_data()), args.out, args.ways, args.seeds, setting, workers=args.workers)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; finished runs are in {args.out}, the same command goes on", file=sys.stderr)
        return 130
    draw(result, args.out.with_suffix(".png"))
    print(text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
