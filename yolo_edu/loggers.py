"""Callbacks that pass a run's numbers on to other programs."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from yolo_edu.fit import Training


def tensorboard(folder: Path) -> Callable[[Training[nn.Module]], None] | None:
    """A callback that writes every epoch for TensorBoard; None where it is not installed.

    Args:
        folder: of the run; read it with `tensorboard --logdir FOLDER`.
    """
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter  # fails on import without tensorboard

    writer = SummaryWriter(str(folder))

    def log(training: Training[nn.Module]) -> None:
        row = training.history[-1]
        for name, value in row.items():
            if name != "epoch":
                writer.add_scalar(name, value, training.epoch)
        writer.flush()  # so that a killed run has shown all its epochs

    return log
