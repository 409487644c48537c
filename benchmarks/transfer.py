"""Does it help to start from weights of other photos? The aquarium, from scratch and from the shipped cards weights.

The cards network has never seen a fish. Each way trains the same network on the aquarium, for the same epochs at the
same size; the score is the last average's mAP50 on the validation photos: no epoch is picked. One thread a run,
`--workers` runs at a time. Each run is written as it ends, so an interrupted measurement goes on where it was.

    python benchmarks/transfer.py [--seeds 3] [--epochs 15] [--size 192] [--workers 1] [--precision float32]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from many_runs import collect

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.cfg import build_model
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.data import read_spec
from yolo_edu.hardware import PRECISIONS
from yolo_edu.model import Detector
from yolo_edu.recipe import RECIPES, Recipe
from yolo_edu.run import Options, Run
from yolo_edu.train import train
from yolo_edu.transfer import rows_to_freeze, transfer

RESULTS = Path(__file__).parent / "results"
SOURCE, DATA = "cards_n", "aquarium5.yaml"
# Name → what is changed in the recipe; what the network starts from is in `network`.
WAYS: dict[str, dict] = {
    "from scratch": {},
    "all that fits": {},
    "backbone only": {},
    "backbone frozen": {},
    "backbone and neck frozen": {},
    "rates 0.1, 0.3, 1": {"stage_lr": (0.1, 0.3, 1.0)},
}
FROZEN = {"backbone frozen": ["backbone"], "backbone and neck frozen": ["backbone", "neck"]}


def recipe_of(way: str, model: Detector, epochs: int, size: int) -> Recipe:
    """The recipe `short` at one size from start to end; mosaics to the last fifth."""
    recipe = replace(RECIPES["short"], epochs=epochs, image_size=size, growth=(), **WAYS[way])
    return replace(recipe, frozen=rows_to_freeze(model, FROZEN[way])) if way in FROZEN else recipe


def network(way: str, names: Sequence[str], seed: int) -> Detector:
    """What a way starts from."""
    torch.manual_seed(seed)
    model = build_model("yolov5n", names)
    if way != "from scratch":
        fresh = {name: x.clone() for name, x in model.state_dict().items()}
        transfer(model, load_checkpoint(shipped_weights(SOURCE)))
        if way == "backbone only":
            behind = {name: x for name, x in fresh.items() if int(name.split(".")[1]) >= 10}
            model.load_state_dict(behind, strict=False)
    return model


def one_run(way: str, seed: int, epochs: int, size: int, precision: str) -> dict:
    """Train once and measure the last average, and the averages on the way."""
    torch.set_num_threads(1)
    spec = read_spec(sample_data(DATA))
    model = network(way, spec.names, seed)
    recipe = recipe_of(way, model, epochs, size)
    curve: list[float] = []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        # The same anchors everywhere: weights and anchors belong together.
        options = Options(
            seed=seed, evaluate_every=max(epochs // 5, 1), save_minutes=1e9, precision=precision, autoanchor=False
        )

        def watch(training: object) -> None:
            row = training.history[-1]  # type: ignore[attr-defined]
            if "map50" in row:
                curve.append(round(row["map50"], 4))

        train(spec, model, recipe, Run(Path(folder)), options, progress=False, callbacks=[watch])
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {
        "way": way,
        "seed": seed,
        "map50": curve[-1],
        "curve": curve,
        "trained_parameters": trained,
        "seconds": round(time.perf_counter() - start, 1),
    }


def table(runs: Sequence[dict]) -> list[dict]:
    """A row for each way: median and range of mAP50, and the difference to scratch, seed by seed."""
    rows = []
    scratch = {run["seed"]: run for run in runs if run["way"] == "from scratch"}
    for way in WAYS:
        own = [run for run in runs if run["way"] == way]
        if not own:
            continue
        scores = [run["map50"] for run in own]
        pairs = [(run, scratch[run["seed"]]) for run in own if run["seed"] in scratch]
        gains = [run["map50"] - other["map50"] for run, other in pairs]
        rows.append(
            {
                "way": way,
                "runs": len(own),
                "trained_parameters": own[0]["trained_parameters"],
                "median_map50": round(statistics.median(scores), 4),
                "lowest": min(scores),
                "highest": max(scores),
                "median_first_map50": round(statistics.median(run["curve"][0] for run in own), 4),
                "median_gain": round(statistics.median(gains), 4) if gains else None,
                "seeds_better": sum(gain > 0 for gain in gains),
                "seconds_ratio": round(statistics.median(r["seconds"] / s["seconds"] for r, s in pairs), 2)
                if pairs
                else None,
            }
        )
    return rows


STYLES = (("#4d4d4d", "o", ":"), ("#0072b2", "s", "-"), ("#56b4e9", "^", "--"), ("#d55e00", "D", "-"))
STYLES += (("#e69f00", "v", "--"), ("#009e73", "P", "-."))


def draw(runs: Sequence[dict], epochs: int, path: Path) -> None:
    """The median curve of every way, and each run's end as a dot beside it."""
    figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
    every = max(epochs // 5, 1)
    for index, (way, (color, marker, line)) in enumerate(zip(WAYS, STYLES, strict=True)):
        own = [run for run in runs if run["way"] == way]
        if not own:
            continue
        measured = sorted({*range(every, epochs + 1, every), epochs})
        middle = [statistics.median(values) for values in zip(*(run["curve"] for run in own), strict=True)]
        ax.plot(measured, middle, color=color, marker=marker, linestyle=line, label=way)
        ends = [run["map50"] for run in own]
        ax.plot([epochs + 0.35 + 0.3 * index] * len(ends), ends, marker, color=color, markersize=4)
    ax.set_xlabel("epoch (lines: median of the seeds; behind the last epoch: each run's end)")
    ax.set_ylabel("mAP50, aquarium, validation photos")
    ax.set_ylim(bottom=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    args = parser.parse_args()
    setting = {
        "source": SOURCE,
        "data": DATA,
        "epochs": args.epochs,
        "image_size": args.size,
        "precision": args.precision,
    }
    path = RESULTS / "transfer.json"
    work = partial(one_run, epochs=args.epochs, size=args.size, precision=args.precision)
    result = collect(path, setting, list(WAYS), args.seeds, work, table, args.workers)
    draw(result["runs"], args.epochs, path.with_suffix(".png"))
    for row in result["table"]:
        print(
            f"{row['way']:<25} mAP50 {row['median_map50']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f}), first "
            f"{row['median_first_map50']:.3f}, {row['median_gain']:+.3f} against scratch, better in "
            f"{row['seeds_better']} of {row['runs']}, {row['seconds_ratio']:.2f} of its time"
        )


if __name__ == "__main__":
    main()
