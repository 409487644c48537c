"""Callbacks that pass a run's numbers on to other programs."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from yolo_edu.fit import Training


def tensorboard(folder: Path) -> Callable[[Training[nn.Module]], None] | None:
    """A callback that writes every epoch for TensorBoard; None where it is not installed.

    Args:
        folder: of the run; read it with `tensorboard --logdir FOLDER`.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writers: list[SummaryWriter] = []  # made when there is something to write: it makes the folder too

    def log(training: Training[nn.Module]) -> None:
        if not writers:
            writers.append(SummaryWriter(str(folder)))
        row, writer = training.history[-1], writers[0]
        for name, value in row.items():
            if name != "epoch":
                writer.add_scalar(name, value, training.epoch)
        writer.flush()  # so that a killed run has shown all its epochs

    return log
