"""Does a run that is killed end where it would have ended? Kills runs at random moments, resumes them, compares.

Every run is the real command in a process of its own, ended by SIGKILL one to three times at moments drawn over
its whole life: while it reads, trains, measures, writes or draws. Half of the runs save after every step, the
others after every epoch. At the end all tensors of the state and of the best weights, and the log but for its
times, are compared with an uninterrupted run's, bit by bit.

    python benchmarks/kill_and_resume.py [--runs 20] [--seed 0]
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from machine import describe
from tqdm import tqdm

from yolo_edu import garden
from yolo_edu.checkpoint import load_checkpoint, load_state
from yolo_edu.run import Run

RESULTS = Path(__file__).parent / "results" / "kill_and_resume.json"
SETTINGS = "--model yolov5n --epochs 12 --img-size 64 --batch-size 4 --precision float32 --memory-format channels_last"


def tensors(value: object, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in nested dictionaries and lists, with its place."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from tensors(inner, f"{name}/{key}")


def end(run: Run) -> tuple[dict[str, torch.Tensor], list[dict[str, str]]]:
    """All tensors that a run ended with, and its log without times."""
    state = load_state(run.state) | {"best weights": load_checkpoint(run.best).state_dict()}
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(run.log.open())]
    return dict(tensors(state)), rows


def differences(a: Run, b: Run) -> list[str]:
    """Names of what two finished runs do not share."""
    (ours, log), (theirs, other_log) = end(a), end(b)
    wrong = [name for name in ours.keys() | theirs.keys() if not same(ours.get(name), theirs.get(name))]
    return sorted(wrong) + (["results.csv"] if log != other_log else [])


def same(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    """Both there and equal to the bit."""
    return a is not None and b is not None and torch.equal(a, b)


class Killer:
    """Runs the command in `folder`, and kills it."""

    def __init__(self, data: Path, folder: Path, seed: int) -> None:
        self.data, self.folder, self.chance = data, folder, random.Random(seed)
        self.seconds = 0.0  # of a whole run, from the moment when it can be resumed

    def command(self, name: str, *extra: str) -> list[str]:
        """To start a run, or to go on with it if it has begun."""
        base = [sys.executable, "-m", "yolo_edu.train"]
        if Run(self.folder / name).config.exists():
            return [*base, "--resume", str(self.folder / name)]
        where = ["--data", str(self.data), "--project", str(self.folder), "--name", name]
        return [*base, *where, *SETTINGS.split(), *extra]

    def whole(self, name: str) -> Run:
        """A run that nobody disturbs."""
        with self.started(name) as process:
            begun = time.perf_counter()
            self.ended(process)
        self.seconds = time.perf_counter() - begun
        return Run(self.folder / name)

    @contextmanager
    def started(self, name: str, *extra: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start or continue a run; inside, it has come so far that it can be resumed."""
        command, config = self.command(name, *extra), Run(self.folder / name).config
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None and not config.exists():
                time.sleep(0.01)
            yield process

    def ended(self, process: subprocess.Popen[bytes], within: float | None = None) -> bool:
        """Whether it ended by itself within so many seconds; it must not complain."""
        try:
            _, complaint = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            return False
        if process.returncode:
            raise RuntimeError(f"status {process.returncode}: {complaint.decode()}")
        return True

    def tortured(self, name: str, *extra: str) -> tuple[Run, list[str]]:
        """A run killed up to three times, and at what moments."""
        run, moments = Run(self.folder / name), []
        for _ in range(self.chance.randint(1, 3)):
            with self.started(name, *extra) as process:
                if self.ended(process, self.chance.uniform(0, self.seconds)):
                    break
                process.kill()  # SIGKILL: no handler, no farewell
                process.communicate()
            state, halves = load_state(run.state), len(list(run.folder.glob(".*.unfinished")))
            moments.append(f"epoch {state['epoch']} batch {state['batch']}" + (", half a file" if halves else ""))
        with self.started(name, *extra) as process:
            self.ended(process)
        return run, moments


def main() -> None:
    """Torture the runs, print and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file of the results")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    log = []
    with tempfile.TemporaryDirectory() as folder:
        data = garden.write(Path(folder) / "garden", 25, size=96)
        killer = Killer(data, Path(folder) / "runs", args.seed)
        whole = killer.whole("whole")
        for number in tqdm(range(args.runs), "killing", unit="run"):
            extra = ("--save-minutes", "0") if number % 2 else ()
            run, moments = killer.tortured(f"run{number}", *extra)
            wrong = differences(whole, run)
            log.append({"saved": "every step" if extra else "every epoch", "killed": moments, "differences": wrong})
            tqdm.write(
                f"run {number:>2}, saved {log[-1]['saved']:<11} killed at {'; '.join(moments)}: {wrong or 'equal'}"
            )
    equal = sum(not row["differences"] for row in log)
    kills = sum(len(row["killed"]) for row in log)
    content = {"machine": describe(torch.device("cpu")), "settings": SETTINGS, "runs": len(log), "kills": kills}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**content, "equal": equal, "log": log}, indent=1) + "\n")
    print(f"{equal} of {len(log)} runs, killed {kills} times in all, ended in the same bits as the undisturbed run")
    if equal < len(log):
        sys.exit(1)


if __name__ == "__main__":
    main()
