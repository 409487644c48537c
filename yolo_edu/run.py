"""A run folder: the exact settings, the log, the weights. Every file is written whole or not at all."""

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_edu.augment import AugmentSettings
from yolo_edu.checkpoint import UNFINISHED, write_atomically
from yolo_edu.errors import UserError
from yolo_edu.recipe import Recipe, Row


def new_folder(parent: Path, name: str) -> Path:
    """Create and return `parent/name`, or `parent/name2`, `name3` … if it is taken."""
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            if folder.exists():
                continue
            raise UserError(f"{folder}: cannot make the run folder ({error}). Choose another place.") from None
        except OSError as error:
            raise UserError(f"{folder}: cannot make the run folder ({error}). Choose another place.") from None
        return folder
    raise AssertionError("itertools.count never ends")


@dataclasses.dataclass(frozen=True)
class Options:
    """How a run is carried out; unlike the recipe, most of this does not change what is learned."""

    seed: int = 0  # decides order and augmentation
    evaluate_every: int | None = None  # epochs; None: about twenty evaluations in the whole run
    patience: int | None = None  # end after this many epochs without better weights; None: never
    save_minutes: float = 10.0  # the state is saved after each epoch, and inside long ones this often
    precision: str = "auto"  # or one of hardware.PRECISIONS
    memory_format: str = "auto"  # or one of hardware.FORMATS
    cache: bool | None = None  # images in memory; None: if they fit
    workers: int = 2  # threads that read ahead if not
    compile: bool = False  # torch.compile: slow start, faster steps
    test_size: int | None = None  # side in pixels to evaluate at; None: the size just trained at
    save: bool = True  # False: nothing is written on the way, only at the end and after Ctrl-C
    autoanchor: bool = True  # search other anchors if these fit too few of the boxes
    single_class: bool = False  # every object is taken for one of the same class
    deterministic: bool = False  # same bits on the same GPU, slower; a CPU is deterministic anyway


@dataclasses.dataclass(frozen=True)
class Run:
    """Where the files of one training run lie."""

    folder: Path

    @property
    def config(self) -> Path:
        """The settings, JSON."""
        return self.folder / "config.json"

    @property
    def log(self) -> Path:
        """One row an epoch, CSV."""
        return self.folder / "results.csv"

    @property
    def state(self) -> Path:
        """Everything that continuing needs."""
        return self.folder / "last.pt"

    @property
    def best(self) -> Path:
        """The averaged weights of the best epoch so far."""
        return self.folder / "best.safetensors"

    def sweep(self) -> None:
        """Remove the halves of files that a killed process was writing."""
        for leftover in self.folder.glob(f".*{UNFINISHED}"):
            leftover.unlink(missing_ok=True)

    def write_config(self, recipe: Recipe, options: Options, **others: Any) -> None:
        """Keep the recipe and everything else that decides the outcome."""
        content = {"recipe": dataclasses.asdict(recipe), "options": dataclasses.asdict(options), **others}
        text = json.dumps(content, indent=2)
        write_atomically(self.config, lambda file: file.write_text(text + "\n"))

    def read_config(self) -> tuple[Recipe, Options, dict[str, Any]]:
        """Recipe, options and the other settings of a run.

        Raises:
            UserError: not a run folder, or its settings are damaged.
        """
        try:
            content = dict(json.loads(self.config.read_text()))
            settings = content.pop("recipe")
            nested: dict[str, Any] = {"augment": AugmentSettings(**settings["augment"])}
            nested["growth"] = tuple((float(until), float(share)) for until, share in settings["growth"])
            nested |= {name: tuple(settings[name]) for name in ("frozen", "stage_lr")}
            recipe, options = Recipe(**settings | nested), Options(**content.pop("options"))
        except FileNotFoundError:
            raise UserError(f"{self.folder}: not a run folder (no {self.config.name} in it).") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.config}: damaged ({error}). Start a new run.") from None
        return recipe, options, content

    def write_log(self, history: list[Row]) -> None:
        """Write all rows anew: a resumed run then holds no line of an epoch that it repeats."""
        columns = list(dict.fromkeys(key for row in history for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([{k: f"{v:.6g}" for k, v in row.items()} for row in history])
        write_atomically(self.log, lambda file: file.write_text(text.getvalue()))


def newest_run(project: Path) -> Run:
    """The run below this folder whose state was written last.

    Raises:
        UserError: there is none.
    """
    states = [(path.stat().st_mtime, path) for path in project.glob(f"*/{Run(project).state.name}")]
    if not states:
        raise UserError(f"{project}: no run that could be continued. Name its folder: --resume FOLDER.")
    return Run(max(states)[1].parent)


def metrics_line(row: Mapping[str, float], epochs: int) -> str:
    """One epoch in one line for the terminal."""
    text = f"epoch {row['epoch']:>3.0f}/{epochs}  box {row['box']:.4f}  objectness {row['objectness']:.4f}"
    text += f"  class {row['classification']:.4f}"
    return text + (f"  mAP50 {row['map50']:.3f}  mAP50-95 {row['map']:.3f}" if "map50" in row else "")
