"""The machine: which device can be used, how fast it calculates in which precision, how much memory is left."""

import copy
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from yolo_edu.errors import UserError

CGROUP = Path("/sys/fs/cgroup")
CPU = torch.device("cpu")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PATIENCE = 6.0  # seconds to spend on timing one way of calculating


class Numerics(NamedTuple):
    """How a network is calculated; names of `PRECISIONS` and `FORMATS`."""

    precision: str  # of the forward pass; weights and loss stay float32
    memory_format: str  # of images and weights


EXACT = Numerics("float32", "channels_last")  # the same everywhere, with nothing to measure


def usable_device(name: str | torch.device | None = None) -> torch.device:
    """The device asked for, or a GPU where there is one; tried out before any work is done on it.

    Raises:
        UserError: there is no such device here.
    """
    try:
        if isinstance(name, str) and name.isdecimal():
            name = f"cuda:{name}"  # the article's era counted GPUs: --device 0
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).item()  # "meta" makes tensors but has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).split("\n")[0]
        raise UserError(f"--device {name}: cannot be used ({first}). Use --device cpu.") from None
    return device


def prepare(device: torch.device, *, deterministic: bool) -> None:
    """Set PyTorch's switches for training on a device: as fast as possible, or with the same bits every time."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses to be deterministic
    # warn_only: an operation without a deterministic form should not end a training.
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not deterministic
        torch.set_float32_matmul_precision("high")


def choose_numerics(
    model: nn.Module, device: torch.device, precision: str = "auto", memory_format: str = "auto"
) -> Numerics:
    """The fastest way to train a model here; on a CPU measured on the model itself, not guessed.

    Args:
        model: takes (B, 3, H, W) images, returns a sequence of tensors.
        device: where to train.
        precision: "auto", or one of `PRECISIONS` to decide oneself.
        memory_format: "auto", or one of `FORMATS`.

    Raises:
        UserError: an unknown name, or float16 on a CPU.
    """
    for name, value, known in (("precision", precision, PRECISIONS), ("memory format", memory_format, FORMATS)):
        if value not in ("auto", *known):
            raise UserError(f"{name} {value!r} is none of auto, {', '.join(known)}.")
    if device.type == "cuda":
        if precision == "auto":
            # Tensor cores since Volta take float16; bfloat16, which needs no loss scaling, came with Ampere.
            native = torch.cuda.is_bf16_supported(including_emulation=False)
            precision = "bfloat16" if native else "float16"
        return Numerics(precision, "channels_last" if memory_format == "auto" else memory_format)
    if precision == "float16":
        raise UserError("precision float16 is for GPUs. Use bfloat16 or float32 on a CPU.")
    choices = ["float32", "bfloat16"] if precision == "auto" else [precision]
    layouts = list(FORMATS) if memory_format == "auto" else [memory_format]
    if len(choices) == len(layouts) == 1:
        return Numerics(choices[0], layouts[0])
    timed = {Numerics(p, f): training_time(model, device, Numerics(p, f)) for p in choices for f in layouts}
    best = min(timed, key=lambda numerics: timed[numerics])
    safest = min((n for n in timed if n.precision == choices[0]), key=lambda numerics: timed[numerics])
    # Fewer bits only for a clear gain.
    return best if timed[best] < 0.9 * timed[safest] else safest


def training_time(
    model: nn.Module, device: torch.device, numerics: Numerics, *, batch: int = 8, size: int = 192, repeats: int = 4
) -> float:
    """Seconds of a forward and backward pass of a copy of the model: the best of some, as others may be working."""
    layout = FORMATS[numerics.memory_format]
    copied = copy.deepcopy(model).to(device).to(memory_format=layout).train()
    images = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    images = images.to(device).to(memory_format=layout)
    times: list[float] = []
    while len(times) < repeats + 1 and sum(times) < PATIENCE:
        start = time.perf_counter()
        with autocast(device, numerics):
            raw = copied(images)
        torch.stack([level.float().square().mean() for level in raw]).sum().backward()
        times.append(time.perf_counter() - start)
    return min(times[1:] or times)  # the first one prepares the kernels


def autocast(device: torch.device, numerics: Numerics) -> torch.autocast:
    """The context in which the forward pass is calculated in the chosen precision."""
    dtype = PRECISIONS[numerics.precision]
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def free_memory(device: torch.device = CPU) -> int | None:
    """Bytes of main memory, or of a GPU's, that can still be taken; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):  # "max" where a container has no limit of its own
        limit, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        free.append(max(limit - used, 0))
    return min(free, default=None)


def used_memory(device: torch.device) -> int | None:
    """Bytes held by this process on the device; None where the system does not say. Does not wait for a GPU."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def batch_that_fits(step: Callable[[int], object], batch: int) -> int:
    """The largest of batch/2, batch/4, … with which `step(batch)` does not run out of a GPU's memory; 0: none."""
    while batch := batch // 2:
        with suppress(torch.cuda.OutOfMemoryError):
            step(batch)
            return batch
        # Only here, when the error has let go of the failed step's tensors, is there something to give back.
        torch.cuda.empty_cache()
    return 0
