"""Ctrl-C is a question first and an order the second time; a full GPU names what fits."""

import os
import signal
import threading
import weakref

import pytest
import torch
from torch import nn

from yolo_edu.errors import UserError
from yolo_edu.guards import compiled, fitting_memory, interruptible
from yolo_edu.hardware import EXACT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_the_second_stops(number: signal.Signals) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    with interruptible() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), number)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert {n: signal.getsignal(n) for n in before} == before


def test_other_threads_are_not_asked() -> None:
    answers = []

    def work() -> None:
        with interruptible() as interrupted:
            answers.append(interrupted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]


class Hungry(nn.Module):
    """Has memory for a few images only."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.room, self.tried = room, []

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.tried.append(len(x))
        if len(x) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return [x * self.weight]


@pytest.mark.parametrize(
    ("room", "tried", "advice"), [(5, [8, 4], "--batch-size 4 does"), (0, [8, 4, 2, 1], "--img-size")]
)
def test_a_full_gpu_names_the_batch_that_fits(room: int, tried: list[int], advice: str) -> None:
    model = Hungry(room)
    with (
        pytest.raises(UserError, match=f"a batch of 16 at 32 px does not fit .*{advice}"),
        fitting_memory(model, 16, 32, torch.device("cpu"), EXACT),
    ):
        model(torch.rand(16, 3, 32, 32))
    assert model.tried == [16, *tried]


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), fitting_memory(Hungry(1), 2, 32, torch.device("cpu"), EXACT):
        raise ZeroDivisionError


def test_several_processes_try_nothing() -> None:
    model = Hungry(5)
    with (
        pytest.raises(UserError, match="a batch of 32 at 32 px, 16 in each process, does not fit"),
        fitting_memory(model, 16, 32, torch.device("cpu"), EXACT, 2),
    ):
        model(torch.rand(16, 3, 32, 32))
    assert model.tried == [16]


def test_the_trial_begins_when_the_failed_step_has_let_go() -> None:
    """What the step held in its local variables is free again before smaller batches are tried."""
    alive = []

    class Step(Hungry):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            alive.append(sum(reference() is not None for reference in held))
            return super().forward(x)

    held: list[weakref.ref[torch.Tensor]] = []
    model = Step(5)

    def step() -> None:
        activation = torch.rand(10)
        held.append(weakref.ref(activation))
        model(torch.rand(16, 3, 32, 32))

    with pytest.raises(UserError), fitting_memory(model, 16, 32, torch.device("cpu"), EXACT):
        step()
    assert alive == [1, 0, 0]  # the failed step itself, then the trials


def test_compile_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_edu.guards.shutil.which", lambda name: None)
    with pytest.raises(UserError, match="--compile needs a C"):
        compiled(Hungry(1))
