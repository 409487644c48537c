"""What happens to long runs: somebody presses Ctrl-C, or a GPU's memory is too small."""

import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from yolo_edu.errors import UserError
from yolo_edu.hardware import FORMATS, Numerics, autocast, batch_that_fits

T = TypeVar("T")


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question the loop asks when it can stop; a second one stops at once.

    SIGTERM, with which torchrun and batch systems end a job, counts as a Ctrl-C.
    """
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals belong to the main thread
        return
    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        restore()


@contextmanager
def fitting_memory(
    model: nn.Module, batch: int, size: int, device: torch.device, numerics: Numerics, processes: int = 1
) -> Iterator[None]:
    """A GPU that is too small becomes a UserError; alone, it names a batch size which does fit, tried out.

    Args:
        model: takes (B, 3, size, size) images, returns a sequence of tensors.
        batch, size: of this process, in images and pixels.
        device, numerics: as in training.
        processes: that train together.
    """
    try:
        yield
        return
    except torch.cuda.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)  # they hold on to all that the step had allocated
    if processes > 1:  # a trial would wait for the others, who are not here
        raise UserError(
            f"a batch of {processes * batch} at {size} px, {batch} in each process, does not fit into the memory of "
            f"{device}. Use a smaller --batch-size."
        )

    def step(images: int) -> None:
        pixels = torch.rand(images, 3, size, size, device=device).to(memory_format=FORMATS[numerics.memory_format])
        with autocast(device, numerics):
            raw = model(pixels)
        torch.stack([level.float().sum() for level in raw]).sum().backward()

    model.zero_grad(set_to_none=True)
    fits = batch_that_fits(step, batch)
    advice = f"--batch-size {fits} does" if fits else "not even one image does: use a smaller --img-size or --model"
    raise UserError(f"a batch of {batch} at {size} px does not fit into the memory of {device}; {advice}.")


def compiled(model: Callable[..., T]) -> Callable[..., T]:
    """`torch.compile`; the first call then takes a while.

    Raises:
        UserError: there is no compiler for what it writes.
    """
    if not any(map(shutil.which, ("cc", "gcc", "g++", "clang", "cl"))):
        raise UserError("--compile needs a C++ compiler, and there is none here. Install one, or leave --compile out.")
    return torch.compile(model)
