"""What the first process of a run does beside training: it measures, writes the run folder, and draws it."""

import copy
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch

from yolo_edu import album
from yolo_edu.checkpoint import FORMAT, describe, load_checkpoint, read_metadata, save_checkpoint, write_atomically
from yolo_edu.data import Batch, DataSpec, DetectionData
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Report, evaluate
from yolo_edu.fit import Training
from yolo_edu.model import Detector
from yolo_edu.page import LABELS, write_page
from yolo_edu.recipe import Recipe, Row, size_at
from yolo_edu.run import Options, Run

EVALUATED = 32  # images at once
SHOWN_BATCHES = 3  # training batches whose pictures a run folder keeps


class Keeper:
    """Keeps a run's folder.

    Args:
        training: what is trained.
        run: the folder.
        recipe, options: of the run.
        val_data: what to measure on.
    """

    def __init__(
        self, training: Training[Detector], run: Run, recipe: Recipe, options: Options, val_data: DetectionData
    ) -> None:
        self.training, self.run, self.recipe, self.options, self.val_data = training, run, recipe, options, val_data
        self._unwritten: tuple[Detector, dict[str, Any]] | None = None  # the best weights of a run that saves nothing

    def begin(
        self, spec: DataSpec, device: torch.device, train_data: DetectionData, processes: int, *, resuming: bool
    ) -> None:
        """Write what is known before the first step; from here on the run can be resumed. Resuming: what is missing."""
        folder = self.run.folder
        if resuming:
            self.run.sweep()
        else:
            if self.options.save:
                self.save()
            self.run.write_config(
                self.recipe,
                self.options,
                model=describe(self.training.ema.model),
                data=str(spec.path.resolve()),
                device=str(device),
                command=_command(processes),
            )
        if not (folder / LABELS).exists():
            album.show_data(folder, train_data)
        write_page(folder)

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass the batches on, and draw the first ones of the run on their way."""
        if self.training.epoch == 0:
            for number in range(self.training.batch, SHOWN_BATCHES):
                batch = next(batches, None)
                if batch is None:
                    return
                album.show_batch(self.run.folder, number, batch, self.training.model.names)
                yield batch
        yield from batches

    def evaluate(self, interrupted: Callable[[], bool]) -> Row | None:
        """Measure the averaged weights, and keep them if they are the best so far.

        Returns:
            What was measured; None if interrupted.
        """
        training, epoch = self.training, self.training.epoch + 1
        # A network is best at the size it has just been trained at.
        size = self.options.test_size or size_at(self.recipe, training.epoch)
        try:
            report = self._measured(training.ema.model, size, interrupted)
        except KeyboardInterrupt:
            return None
        if report.fitness > training.best:
            training.best, training.best_epoch = report.fitness, epoch
            metadata = {"epoch": epoch, "map50": report.map50, "map": report.map, "image_size": size}
            if self.options.save:
                save_checkpoint(self.run.best, training.ema.model, metadata)
            else:
                self._unwritten = copy.deepcopy(training.ema.model), metadata
        return {"map50": report.map50, "map": report.map, "precision": report.precision, "recall": report.recall}

    def save(self) -> None:
        """Write the state, the log, and the best weights if they wait for it."""
        if self._unwritten:
            save_checkpoint(self.run.best, *self._unwritten)
            self._unwritten = None
        content = self.training.state() | {"format": FORMAT, "description": describe(self.training.ema.model)}
        content["metadata"] = {"epoch": self.training.epoch, "image_size": self.recipe.image_size}
        write_atomically(self.run.state, lambda file: torch.save(content, file))
        self.run.write_log(self.training.history)

    def pause(self) -> None:
        """Leave a folder that shows how far the run came, for whoever looks at it before it goes on."""
        album.show_training(self.run.folder, self.training.history)
        write_page(self.run.folder)

    def finish(self) -> Report:
        """Measure the best weights once more and draw everything there is to see."""
        folder, data = self.run.folder, self.val_data
        if not self.options.save:
            self.save()
        best = load_checkpoint(self.run.best).to(next(self.training.model.parameters()).device)
        size = read_metadata(self.run.best)["image_size"]
        report = self._measured(best, size)
        self.run.write_log(self.training.history)  # a run killed between state and log is resumed right here
        album.show_training(folder, self.training.history)
        album.show_evaluation(folder, best, data, size, report)
        write_page(folder)
        return report

    def _measured(self, model: Detector, size: int, interrupted: Callable[[], bool] = lambda: False) -> Report:
        """The evaluation, in smaller batches where training has left too little of a GPU's memory."""
        batch = EVALUATED
        while True:
            with suppress(torch.cuda.OutOfMemoryError):
                return evaluate(
                    model, self.val_data, batch_size=batch, size=size, progress=False, interrupted=interrupted
                )
            torch.cuda.empty_cache()
            batch //= 2
            if not batch:
                raise UserError(f"the memory of the GPU is too small to evaluate even one image at {size} px.")


def _command(processes: int) -> str:
    """What started this process, to be started again."""
    if "kernel_launcher" in sys.argv[0]:  # Jupyter's and Colab's
        return "train(…), called in a notebook"
    start = f"torchrun --nproc_per_node {processes} " if processes > 1 else ""
    return start + shlex.join(sys.argv)
