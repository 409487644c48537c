"""What does each part of the bag of freebies buy on the cards? Every one alone, over seeds.

The same small network is trained from the same random weights for the same number of epochs, once with nothing but
letterboxed photos and once more for each freebie alone; then with all that the recipe `short` uses. The score is the
last average's mAP50 on the validation photos: no epoch is picked. One thread a run, `--workers` runs at a time.
Each run is written as it ends, so an interrupted measurement goes on where it was.

    python benchmarks/freebies.py [--seeds 3] [--epochs 30] [--size 128] [--workers 1] [--precision float32]
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
from torch import Tensor, nn
from torchvision.ops import drop_block2d

from yolo_edu.assets import sample_data
from yolo_edu.augment import AugmentSettings
from yolo_edu.cfg import build_model
from yolo_edu.data import read_spec
from yolo_edu.hardware import PRECISIONS
from yolo_edu.model import Detector
from yolo_edu.recipe import RECIPES, Recipe
from yolo_edu.run import Options, Run
from yolo_edu.train import train

RESULTS = Path(__file__).parent / "results"
MODEL = "yolov5n"
DROP, BLOCK = 0.1, 3  # DropBlock: probability, and side of a block in cells
DROPPED_ROWS = (4, 6, 9)  # of release R7: the outputs of the backbone
NOTHING = AugmentSettings(
    mosaic=0, translate=0, scale=0, flip=0, hue=0, saturation=0, value=0, mixup=0, cutmix=0, degrees=0, shear=0
)
SHORT = RECIPES["short"]

# Name → what is changed in the recipe; "dropblock" changes the network instead.
WAYS: dict[str, dict] = {
    "nothing": {},
    "flip": {"augment": replace(NOTHING, flip=0.5)},
    "color": {"augment": replace(NOTHING, hue=0.015, saturation=0.7, value=0.4)},
    "affine": {"augment": replace(NOTHING, translate=0.1, scale=0.4)},
    "mosaic": {"augment": replace(NOTHING, mosaic=1.0)},
    "mosaic and MixUp": {"augment": replace(NOTHING, mosaic=1.0, mixup=0.5)},
    "CutMix": {"augment": replace(NOTHING, cutmix=0.5)},
    "label smoothing": {"label_smoothing": 0.1},
    "DropBlock": {},
    "all of the recipe": {"augment": SHORT.augment},
}


def recipe_of(way: str, epochs: int, size: int) -> Recipe:
    """The recipe `short` at one size from start to end, with one freebie."""
    plain = replace(SHORT, epochs=epochs, image_size=size, growth=(), plain_epochs=0, augment=NOTHING)
    return replace(plain, **WAYS[way])


def add_drop_block(model: Detector) -> None:
    """DropBlock behind the backbone's three outputs, in training only (Ghiasi et al. 2018, arXiv:1810.12890)."""

    def drop(module: nn.Module, _: object, output: Tensor) -> Tensor:
        return drop_block2d(output, DROP, min(BLOCK, *output.shape[2:]), training=module.training)

    for row in DROPPED_ROWS:
        model.model[row].register_forward_hook(drop)


def one_run(way: str, seed: int, epochs: int, size: int, precision: str) -> dict:
    """Train once and measure the last average."""
    torch.set_num_threads(1)
    spec = read_spec(sample_data())
    torch.manual_seed(seed)
    model = build_model(MODEL, spec.names)
    if way == "DropBlock":
        add_drop_block(model)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        options = Options(seed=seed, evaluate_every=epochs, save_minutes=1e9, precision=precision)
        report = train(spec, model, recipe_of(way, epochs, size), Run(Path(folder)), options, progress=False)
    assert report is not None
    return {
        "way": way,
        "seed": seed,
        "map50": round(report.map50, 4),
        "map": round(report.map, 4),
        "seconds": round(time.perf_counter() - start, 1),
    }


def table(runs: Sequence[dict]) -> list[dict]:
    """A row for each way: median and range of mAP50, and the difference to nothing, seed by seed."""
    scores = {way: {run["seed"]: run["map50"] for run in runs if run["way"] == way} for way in WAYS}
    rows = []
    for way, own in scores.items():
        if not own:
            continue
        gains = [score - scores["nothing"][seed] for seed, score in own.items() if seed in scores["nothing"]]
        rows.append(
            {
                "way": way,
                "runs": len(own),
                "median_map50": round(statistics.median(own.values()), 4),
                "lowest": min(own.values()),
                "highest": max(own.values()),
                "median_gain": round(statistics.median(gains), 4) if gains else None,
                "seeds_better": sum(gain > 0 for gain in gains),
            }
        )
    return rows


def draw(rows: Sequence[dict], runs: Sequence[dict], path: Path) -> None:
    """Every run a dot, every median a bar: the spread is part of the answer."""
    figure, ax = plt.subplots(figsize=(8, 0.42 * len(rows) + 1), layout="constrained")
    for y, row in enumerate(rows):
        own = [run["map50"] for run in runs if run["way"] == row["way"]]
        ax.plot(own, [y] * len(own), "o", color="#0072b2", markersize=6, label="a run" if y == 0 else None)
        median = row["median_map50"]
        ax.plot([median] * 2, [y - 0.3, y + 0.3], color="#d55e00", linewidth=2.5, label="median" if y == 0 else None)
    ax.axvline(rows[0]["median_map50"], color="#9a9a9a", linestyle=":", linewidth=1)
    ax.set_yticks(range(len(rows)), [row["way"] for row in rows])
    ax.invert_yaxis()
    ax.set_xlabel("mAP50 on the validation photos at the end of training")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    args = parser.parse_args()
    setting = {
        "model": MODEL,
        "data": "cards",
        "epochs": args.epochs,
        "image_size": args.size,
        "precision": args.precision,
    }
    path = RESULTS / "freebies.json"
    work = partial(one_run, epochs=args.epochs, size=args.size, precision=args.precision)
    result = collect(path, setting, list(WAYS), args.seeds, work, table, args.workers)
    draw(result["table"], result["runs"], path.with_suffix(".png"))
    for row in result["table"]:
        print(
            f"{row['way']:<20} mAP50 {row['median_map50']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f}), "
            f"{row['median_gain']:+.3f} against nothing, better in {row['seeds_better']} of {row['runs']}"
        )


if __name__ == "__main__":
    main()
