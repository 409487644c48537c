"""Choosing a device and how to calculate on it; memory."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from yolo_edu import hardware
from yolo_edu.errors import UserError
from yolo_edu.hardware import (
    EXACT,
    FORMATS,
    PRECISIONS,
    Numerics,
    autocast,
    batch_that_fits,
    choose_numerics,
    free_memory,
    training_time,
    usable_device,
    used_memory,
)

CPU = torch.device("cpu")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.norm(self.convolution(images)), images]


def test_usable_device() -> None:
    assert usable_device("cpu") == CPU
    assert usable_device(CPU) == CPU
    assert usable_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("meta", "nonsense", "cuda:99"):
        with pytest.raises(UserError, match=f"--device {name}: cannot be used.*--device cpu"):
            usable_device(name)


# --- precision and memory format ------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("memory_format", list(FORMATS))
def test_given_names_are_honored_without_measuring(
    precision: str, memory_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "training_time", lambda *_: pytest.fail("nothing is open"))
    assert choose_numerics(Small(), CPU, precision, memory_format) == Numerics(precision, memory_format)


@pytest.mark.parametrize(
    ("precision", "memory_format", "words"),
    [
        ("float64", "auto", "precision 'float64' is none of auto, float32, bfloat16, float16"),
        ("auto", "nchw", "memory format 'nchw' is none of auto, contiguous, channels_last"),
        ("float16", "auto", "float16 is for GPUs"),
        ("float16", "contiguous", "float16 is for GPUs"),
    ],
)
def test_what_cannot_be_is_refused(precision: str, memory_format: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose_numerics(Small(), CPU, precision, memory_format)


def test_a_gpu_needs_no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    for native, name in ((True, "bfloat16"), (False, "float16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native)
        assert choose_numerics(Small(), gpu) == Numerics(name, "channels_last")
    assert choose_numerics(Small(), gpu, "float32", "contiguous") == Numerics("float32", "contiguous")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((1.0, 0.8, 0.9, 0.7), ("bfloat16", "channels_last")),  # in all four ways; a gain of an eighth is clear
        ((1.0, 0.8, 0.9, 0.75), ("float32", "channels_last")),  # one of a sixteenth is not
        ((1.0, 2.0, 0.5, 3.0), ("bfloat16", "contiguous")),
        ((1.0, 2.0, 3.0, 3.0), ("float32", "contiguous")),
    ],
)
def test_the_fastest_wins_but_fewer_bits_need_a_clear_gain(
    seconds: tuple[float, ...], expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [Numerics(p, f) for p in ("float32", "bfloat16") for f in ("contiguous", "channels_last")]
    times = dict(zip(ways, seconds, strict=True))
    monkeypatch.setattr(hardware, "training_time", lambda model, device, numerics: times[numerics])
    assert choose_numerics(Small(), CPU) == Numerics(*expected)
    assert choose_numerics(Small(), CPU, memory_format="contiguous").memory_format == "contiguous"
    assert choose_numerics(Small(), CPU, precision="float32").precision == "float32"


def test_timing_leaves_the_model_alone() -> None:
    model = Small()
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for precision in ("float32", "bfloat16"):
        assert 0 < training_time(model, CPU, Numerics(precision, "channels_last"), batch=2, size=32) < 60
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_autocast_calculates_in_the_chosen_precision(precision: str) -> None:
    with autocast(CPU, EXACT._replace(precision=precision)):
        out = nn.Linear(2, 2)(torch.ones(1, 2))
    assert out.dtype == PRECISIONS[precision]


# --- memory ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(free_memory() is None, reason="the system does not say")
def test_memory_is_plausible() -> None:
    resource = pytest.importorskip("resource")
    free, used = free_memory(), used_memory(CPU)
    assert free is not None
    assert used is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 50e6 < used <= 1.01 * peak
    assert 0 < free < 1e14
    block = torch.ones(50_000_000)  # 200 MB
    after = used_memory(CPU)
    assert after is not None
    assert after - used > 0.9 * block.nbytes


def test_a_gpu_says_itself_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7, 9))
    assert free_memory(torch.device("cuda")) == 7


def test_memory_is_unknown_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(hardware.Path, "read_text", missing)
    assert free_memory() is None
    assert used_memory(CPU) is None
    monkeypatch.setattr(hardware.Path, "read_text", lambda path: "MemAvailable:\nVmRSS: many kB\n")
    assert free_memory() is None
    assert used_memory(CPU) is None


@pytest.mark.parametrize(
    ("batch", "room", "expected"), [(16, 8, 8), (16, 7, 4), (24, 5, 3), (16, 1, 1), (16, 0, 0), (1, 9, 0)]
)
def test_the_batch_that_fits(batch: int, room: int, expected: int) -> None:
    tried = []

    def step(size: int) -> None:
        tried.append(size)
        if size > room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    assert batch_that_fits(step, batch) == expected
    assert tried == [batch >> k for k in range(1, len(tried) + 1)]


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def step(size: int) -> None:
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        batch_that_fits(step, 8)


def test_memory_is_given_back_after_the_failed_step_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the error is handled its traceback still holds the tensors of the step."""
    alive: list[bool] = []

    class Held:
        living = 0

        def __init__(self) -> None:
            Held.living += 1

        def __del__(self) -> None:
            Held.living -= 1

    def step(size: int) -> None:
        held = Held()
        if size > 2:
            raise torch.cuda.OutOfMemoryError(f"no room beside {held}")

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(Held.living > 0))
    assert batch_that_fits(step, 16) == 2
    assert alive == [False, False]


def test_a_container_s_own_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_edu.hardware.CGROUP", tmp_path)
    without = free_memory()
    assert without is not None
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 4000
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_memory() == 4000


def test_deterministic_mode_is_switched_on_and_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    hardware.prepare(CPU, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    hardware.prepare(CPU, deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()
