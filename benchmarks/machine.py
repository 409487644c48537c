"""What the machine is and how fast it multiplies matrices: what every other speed should be read against.

python benchmarks/machine.py [--device cpu]
"""

import argparse
import os
import platform
import time
from functools import partial
from pathlib import Path

import torch
from torch.nn.functional import conv2d

from yolo_edu.hardware import PRECISIONS, usable_device

Plain = str | int | float | list[str] | None
# What decides how fast a processor calculates with float32 and bfloat16, as Linux spells it: x86, then Arm.
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16", "i8mm")


def describe(device: torch.device) -> dict[str, Plain]:
    """Processor, cores, instruction sets, PyTorch and GPU as values that JSON can hold; None where unknown."""
    has = hasattr(os, "sched_getaffinity")  # a container is often allowed fewer cores than there are
    flags = (_cpuinfo("flags") or _cpuinfo("Features") or "").split()
    info: dict[str, Plain] = {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if has else os.cpu_count(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "torch": torch.__version__,
        "torch_kernels": torch.backends.cpu.get_cpu_capability(),
        "torch_threads": torch.get_num_threads(),
        "gpu": None,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        info["gpu"] = properties.name
        info["gpu_gib"] = round(properties.total_memory / 2**30, 1)
        info["gpu_capability"] = f"{properties.major}.{properties.minor}"
        info["cuda"] = torch.version.cuda
    return info


def matmul_peak(
    device: torch.device, precision: str, *, sides: tuple[int, ...] | None = None, repeats: int = 12
) -> float:
    """FLOP/s (2 × multiply-adds) of the fastest product of two square matrices, whichever library makes it.

    On a CPU PyTorch multiplies with one library and convolves with another, and the first is not at its best on
    every processor: so the product is also asked for as a 1×1 convolution, which is the same sum.

    Args:
        device: where to multiply.
        precision: a name of `yolo_edu.hardware.PRECISIONS`.
        sides: of the matrices; None: large enough for the device to be busy with nothing else.
        repeats: of each; the best one counts, because other work on the machine only ever makes it slower.
    """
    sides = sides or ((4096, 8192) if device.type == "cuda" else (1024, 2048))
    best = 0.0
    for side in sides:
        # Zeros would do on a processor, but a GPU draws less power for them and clocks higher.
        a, b = (torch.randn(side, side, device=device).to(PRECISIONS[precision]) for _ in range(2))
        pixels = a.view(1, side, 1, side).to(memory_format=torch.channels_last)  # `side` pixels of `side` channels
        for product in (partial(torch.mm, a, b), partial(conv2d, pixels, b.view(side, side, 1, 1))):
            product()  # the first one prepares the kernels
            for _ in range(repeats):
                synchronize(device)
                start = time.perf_counter()
                product()
                synchronize(device)
                best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return best


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cpuinfo(key: str) -> str | None:
    """The first value of a key in Linux's description of the processor; None on other systems."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, … (default: %(default)s)")
    device = usable_device(parser.parse_args().device)
    for key, value in describe(device).items():
        print(f"{key:16} {' '.join(value) if isinstance(value, list) else value}")
    for precision in ("float32", "bfloat16"):
        print(f"{precision:16} {matmul_peak(device, precision) / 1e12:.2f} TFLOP/s")


if __name__ == "__main__":
    main()
