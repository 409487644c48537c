"""What the two halves of the anchor search buy: default anchors, k-means alone, k-means + mutations, side by side.

For the cards, the aquarium (small objects, so at three training sizes) and the drawn garden, and for the label
sizes of the golden numbers, where the search has to match the fitness that the reference reached. Each search runs
with several seeds; the table shows the median, and the worst and best of them.

    python benchmarks/anchor_search.py [--seeds 3] [--generations 1000]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from yolo_edu import garden
from yolo_edu.anchors import default_anchors, evolve, fit
from yolo_edu.data import DetectionData, read_spec

ROOT = Path(__file__).parents[1]
SIZES = {"cards": (416,), "aquarium": (256, 416, 640), "garden": (320,)}  # pixels


class Case(NamedTuple):
    """Labels to find anchors for."""

    name: str
    sizes: Tensor  # (N, 2) width, height in pixels
    golden: dict[str, float] | None = None  # what the reference's search reached


def cases(pictures: int = 1000) -> Iterator[Case]:
    """Everything that is searched for; `pictures` of the garden."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = garden.write(Path(folder) / "garden", pictures, seed=0)
        yamls = {
            "cards": ROOT / "data/train_5classes.yaml",
            "aquarium": ROOT / "data/aquarium5.yaml",
            "garden": drawn,
        }
        for name, path in yamls.items():
            for size in SIZES[name]:
                data = DetectionData(read_spec(path), "train", size, cache=False)
                yield Case(f"{name} {size}", data.box_sizes())
    for name, golden in json.loads((ROOT / "tests/golden/anchors.json").read_text()).items():
        yield Case(f"golden {name}", torch.tensor(golden["wh"]), golden["evolved"])


def measure(case: Case, seeds: range, generations: int) -> dict[str, Any]:
    """Fit of the default anchors and, a value a seed, of those found; seconds are of the whole search."""
    ways: dict[str, dict[str, Any]] = {"default": fit(case.sizes, default_anchors())._asdict()}
    for way, steps in (("k-means", 0), ("k-means + mutations", generations)):
        runs = []
        for seed in seeds:
            start = time.perf_counter()
            found = evolve(case.sizes, generations=steps, seed=seed)
            seconds = time.perf_counter() - start
            runs.append(fit(case.sizes, found)._asdict() | {"seconds": round(seconds, 2)})
        ways[way] = {key: [run[key] for run in runs] for key in runs[0]}
    result: dict[str, Any] = {"labels": len(case.sizes), "ways": ways}
    if case.golden:
        # 10⁻⁴: the golden anchors were rounded to 0.01 pixels after they were judged.
        reached = ways["k-means + mutations"]["fitness"]
        result["golden"] = {key: case.golden[key] for key in ("bpr", "fitness")}
        result["seeds_at_golden_fitness"] = sum(fitness >= case.golden["fitness"] - 1e-4 for fitness in reached)
    return result


def table(results: dict[str, Any]) -> str:
    """Markdown: a line a case and way."""
    lines = ["| labels | anchors | BPR | anchors a label | fitness (worst to best) | golden |", "|---" * 6 + "|"]
    for name, result in results["cases"].items():
        for way, values in result["ways"].items():
            columns = [_middle(values[key]) for key in ("best_possible_recall", "anchors_above_threshold", "fitness")]
            if isinstance(values["fitness"], list):
                columns[2] += f" ({min(values['fitness']):.4f} to {max(values['fitness']):.4f})"
            golden = ""
            if "golden" in result and way == "k-means + mutations":
                seeds = len(values["fitness"])
                golden = f"{result['golden']['fitness']:.4f}, met by {result['seeds_at_golden_fitness']} of {seeds}"
            lines.append(f"| {name}, {result['labels']:,} | {way} | {' | '.join(columns)} | {golden} |")
    return "\n".join(lines)


def _middle(values: float | list[float]) -> str:
    return f"{statistics.median(values) if isinstance(values, list) else values:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generations", type=int, default=1000, help="mutations tried in each of 16 searches")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/anchor_search.json")
    args = parser.parse_args()
    results: dict[str, Any] = {"seeds": args.seeds, "generations": args.generations, "cases": {}}
    for case in cases():
        results["cases"][case.name] = measure(case, range(args.seeds), args.generations)
        fitness = results["cases"][case.name]["ways"]["k-means + mutations"]["fitness"]
        print(f"{case.name}: fitness {statistics.median(fitness):.4f}", flush=True)
    args.out.parent.mkdir(exist_ok=True, parents=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
