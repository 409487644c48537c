"""Many short trainings: some at a time, each written as it ends, so that an interrupted measurement goes on."""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch
from machine import describe
from tqdm import tqdm

from yolo_edu.checkpoint import write_atomically


def collect(
    path: Path,
    setting: dict,
    ways: Sequence[str],
    seeds: int,
    one_run: Callable[[str, int], dict],
    table: Callable[[Sequence[dict]], list[dict]],
    workers: int,
) -> dict:
    """Every way with every seed, of which those in the file at `path` with the same setting are done already.

    Args:
        path: JSON with `machine`, `setting`, `table`, `runs`.
        setting: what all runs have in common; another one starts anew.
        ways: what is compared.
        seeds: runs a way.
        one_run: (way, seed) → a run with these two in it; on one thread, in a process of its own.
        table: all runs → what is known of each way.
        workers: runs at a time.

    Returns:
        What stands in the file at the end.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    runs: list[dict] = []
    if path.is_file():
        before = json.loads(path.read_text())
        if before["setting"] == setting:
            runs = before["runs"]
    done = {(run["way"], run["seed"]) for run in runs}
    jobs = [(way, seed) for seed in range(seeds) for way in ways if (way, seed) not in done]
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        tqdm(total=len(jobs), desc=path.stem, unit="run") as bar,
    ):
        for future in as_completed([pool.submit(one_run, way, seed) for way, seed in jobs]):
            runs.append(future.result())
            order = sorted(runs, key=lambda run: (ways.index(run["way"]), run["seed"]))
            result = {
                "machine": describe(torch.device("cpu")),
                "setting": setting,
                "table": table(order),
                "runs": order,
            }
            text = json.dumps(result, indent=1) + "\n"
            write_atomically(path, lambda file, text=text: file.write_text(text))
            bar.update()
    return json.loads(path.read_text())
