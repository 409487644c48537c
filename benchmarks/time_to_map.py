"""How much sooner does the recipe `short` reach a given mAP than the recipe `reference`, release R7's defaults?

Both train the same network from the same random weights on the same data with this module's own engine, side by
side: two processes at the same time with half of the cores each, so whatever else the machine does slows both.
Each gets about the same wall time: as many epochs as fit into it by a measurement beforehand. Seconds are real, and
count from the call of `train`: reading files, evaluations and saving are in them.

    python benchmarks/time_to_map.py [--data cards|garden] [--seconds 900] [--seeds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from machine import describe
from tqdm import tqdm

from yolo_edu import garden
from yolo_edu.assets import sample_data
from yolo_edu.batches import Batches
from yolo_edu.cfg import build_model
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.evaluate import evaluate
from yolo_edu.fit import Training, fit_epoch
from yolo_edu.hardware import FORMATS, Numerics, choose_numerics
from yolo_edu.loss import detection_loss
from yolo_edu.recipe import RECIPES, Recipe, size_at
from yolo_edu.run import Options, Run
from yolo_edu.train import loss_settings, train

RESULTS = Path(__file__).parent / "results"
MODEL, SIZE, BATCH = "yolov5n", 256, 16
THRESHOLDS = (0.25, 0.5, 0.7)
EVALUATIONS = 60  # in a run
GARDEN_IMAGES = 400  # of the easy level, a fifth of them for validation
CPU = torch.device("cpu")
Point = tuple[float, float, float]  # seconds, mAP50, mAP50-95


def data_path(name: str, folder: Path) -> Path:
    """The YAML of the data set; the garden is drawn first."""
    if name == "cards":
        return sample_data()
    return garden.write(folder / "garden", GARDEN_IMAGES, seed=0, size=SIZE, level="easy")


# --- one run --------------------------------------------------------------------------------------------


def epochs_within(seconds: float, recipe: Recipe, yaml: Path, numerics: Numerics) -> int:
    """How many epochs of a recipe fit into the time: each of its sizes is timed for two epochs."""
    spec = read_spec(yaml)
    model = build_model(MODEL, spec.names).to(memory_format=FORMATS[numerics.memory_format])
    training = Training.start(model, recipe, numerics.precision)
    data = DetectionData(spec, "train", recipe.image_size)
    val = DetectionData(spec, "val", recipe.image_size)
    batches = Batches(data, recipe, 0, CPU)
    costs: dict[int, float] = {}
    for size in {size_at(recipe, epoch) for epoch in range(recipe.epochs)}:
        settings = loss_settings(model, recipe, size)
        loss = partial(detection_loss, anchors=model.detect.anchors, settings=settings)
        timed = replace(recipe, growth=((1.0, size / recipe.image_size),))
        batches.recipe = timed
        for _ in range(2):  # the first one prepares the kernels
            start = time.perf_counter()
            fit_epoch(training, batches.epoch(0), len(batches), loss, timed, device=CPU, numerics=numerics)
            training.batch, training.last_step = 0, -1
            costs[size] = time.perf_counter() - start
    start = time.perf_counter()
    evaluate(training.ema.model, val, progress=False)
    measuring = EVALUATIONS * (time.perf_counter() - start)
    epochs = 10
    while measuring + sum(costs[size_at(replace(recipe, epochs=epochs), e)] for e in range(epochs)) < seconds:
        epochs += 1
    return epochs


def one_run(name: str, yaml: Path, seed: int, seconds: float, numerics: Numerics) -> dict[str, object]:
    """Train with a recipe for some time; when which mAP was measured."""
    recipe = replace(RECIPES[name], image_size=SIZE, batch=BATCH if name == "reference" else RECIPES[name].batch)
    recipe = replace(recipe, epochs=epochs_within(seconds, recipe, yaml, numerics))
    spec = read_spec(yaml)
    torch.manual_seed(seed)
    model = build_model(MODEL, spec.names)
    points: list[Point] = []
    start = time.perf_counter()

    def watch(training: Training) -> None:
        row = training.history[-1]
        if "map50" in row:
            points.append((round(time.perf_counter() - start, 1), round(row["map50"], 4), round(row["map"], 4)))

    options = Options(seed, -(-recipe.epochs // EVALUATIONS), None, 10, *numerics)
    with tempfile.TemporaryDirectory() as folder:
        train(spec, model, recipe, Run(Path(folder)), options, callbacks=[watch], progress=False)
    return {"recipe": name, "seed": seed, "epochs": recipe.epochs, "points": points}


# --- all runs -------------------------------------------------------------------------------------------


def reached(points: Sequence[Sequence[float]], threshold: float) -> float | None:
    """Seconds until the mAP50 first is at least `threshold`, on a straight line between evaluations; None: never."""
    before = (0.0, 0.0)
    for seconds, map50, *_ in points:
        if map50 >= threshold:
            share = (threshold - before[1]) / (map50 - before[1])
            return before[0] + share * (seconds - before[0])
        before = seconds, max(map50, before[1])
    return None


def compare(runs: Sequence[dict]) -> list[dict]:
    """For each threshold: seconds of both recipes seed by seed, and how many times sooner `short` was.

    Where the reference did not get there in its time, that time stands for it and the ratio is a lower bound.
    """
    table = []
    ends = [run["points"][-1][0] for run in runs if run["recipe"] == "reference"]
    for threshold in THRESHOLDS:
        times = {
            name: [reached(run["points"], threshold) for run in runs if run["recipe"] == name]
            for name in ("reference", "short")
        }
        pairs = zip(times["reference"], ends, times["short"], strict=True)
        ratios = [(slow or end) / quick if quick else 0.0 for slow, end, quick in pairs]
        table.append(
            {
                "map50": threshold,
                **{name: [None if t is None else round(t, 1) for t in own] for name, own in times.items()},
                "ratios": [round(ratio, 2) for ratio in ratios],
                "median_ratio": round(statistics.median(ratios), 2) if ratios else None,
                "lower_bound": None in times["reference"],
            }
        )
    return table


def draw(runs: Sequence[dict], table: Sequence[dict], data: str, path: Path) -> None:
    """mAP50 over time, every run a line; the thresholds with their ratios."""
    figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
    looks = {"reference": ("#D55E00", "--", "s"), "short": ("#0072B2", "-", "o")}
    for name, (color, style, marker) in looks.items():
        own = [run for run in runs if run["recipe"] == name]
        for run in own:
            seconds, map50, _ = zip(*run["points"], strict=True)
            label = f"{name} ({len(own)} seeds)" if run is own[0] else None
            ax.plot(seconds, map50, style, color=color, marker=marker, ms=3, lw=1.2, alpha=0.85, label=label)
    end = max(run["points"][-1][0] for run in runs)
    for row in table:
        ax.axhline(row["map50"], color="gray", lw=0.8, ls=":")
        if row["median_ratio"]:
            sign = "at least " if row["lower_bound"] else ""
            text = f"mAP50 {row['map50']}: {sign}{row['median_ratio']:.1f} times sooner"
            # clear of the curves: a run that crosses the line stays close above it
            ax.text(end, row["map50"] + 0.03, text, ha="right", fontsize=9)
    ax.set(xlabel="seconds", ylabel="mAP50", xlim=(0, end * 1.01), ylim=(0, 1), title=f"{data}, {MODEL} at {SIZE} px")
    ax.legend(loc="lower right", frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Run all pairs, print the table, write JSON and picture after each pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["cards", "garden"], default="cards")
    parser.add_argument("--seconds", type=float, default=900, help="for each run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each recipe (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)  # recipe, YAML, seed, precision, memory format
    args = parser.parse_args()
    if args.worker:
        name, yaml, seed, *numerics = args.worker
        print(json.dumps(one_run(name, Path(yaml), int(seed), args.seconds, Numerics(*numerics))))
        return
    threads = max((os.cpu_count() or 2) // 2, 1)
    torch.set_num_threads(threads)
    numerics = choose_numerics(build_model(MODEL, 5), CPU)  # once: alone, so that both calculate alike
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"time_to_map_{args.data}.json"
    with tempfile.TemporaryDirectory() as folder:
        yaml, runs = data_path(args.data, Path(folder)), []
        for seed in tqdm(range(args.seeds), "pairs", unit="pair"):
            command = [sys.executable, __file__, "--seconds", str(args.seconds), "--worker"]
            pair = [
                subprocess.Popen(
                    [*command, name, str(yaml), str(seed), *numerics],
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                )
                for name in ("reference", "short")
            ]
            for process in pair:
                text, _ = process.communicate()
                if process.returncode:
                    sys.exit(f"a run ended with status {process.returncode}")
                runs.append(json.loads(text.splitlines()[-1]))
            table = compare(runs)
            content = {
                "machine": describe(CPU) | {"threads_of_each_run": threads},
                "data": args.data,
                "model": MODEL,
                "image_size": SIZE,
                "seconds": args.seconds,
                "numerics": numerics._asdict(),
                "table": table,
                "runs": runs,
            }
            path.write_text(json.dumps(content, indent=1) + "\n")
            draw(runs, table, args.data, path.with_suffix(".png"))
    print(f"{'mAP50':>6}  {'reference, s':<26}{'short, s':<26}{'times sooner':<26}median")
    for row in table:
        bound = ">= " if row["lower_bound"] else ""
        cells = (
            ", ".join("never" if x is None else f"{x:g}" for x in row[key]) for key in ("reference", "short", "ratios")
        )
        print(f"{row['map50']:>6}  " + "".join(f"{cell:<26}" for cell in cells) + f"{bound}{row['median_ratio']}")


if __name__ == "__main__":
    main()
