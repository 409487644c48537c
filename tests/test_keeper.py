"""What the first process does beside training, where the tests of whole runs do not look."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from yolo_edu import keeper
from yolo_edu.data import Batch
from yolo_edu.errors import UserError
from yolo_edu.keeper import Keeper
from yolo_edu.run import Run


@pytest.mark.parametrize(
    ("epoch", "done", "count", "drawn"), [(0, 0, 5, [0, 1, 2]), (0, 2, 3, [2]), (0, 0, 2, [0, 1]), (1, 0, 5, [])]
)
def test_the_first_batches_of_a_run_are_drawn_and_none_is_lost(
    epoch: int, done: int, count: int, drawn: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(keeper.album, "show_batch", lambda folder, number, batch, names: seen.append(number))
    training = SimpleNamespace(epoch=epoch, batch=done, model=SimpleNamespace(names=("a",)))
    watching = Keeper(training, Run(tmp_path), None, None, None)  # type: ignore[arg-type]
    batches = [Batch(torch.full((1,), float(i)), torch.empty(0, 6)) for i in range(count)]
    passed = list(watching.watch(iter(batches)))
    assert [id(batch) for batch in passed] == [id(batch) for batch in batches]
    assert seen == drawn


@pytest.mark.parametrize(("room", "tried"), [(64, [32]), (9, [32, 16, 8]), (0, [32, 16, 8, 4, 2, 1])])
def test_a_small_gpu_evaluates_in_smaller_batches(
    room: int, tried: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def evaluate(model: object, data: object, *, batch_size: int, **options: object) -> str:
        seen.append(batch_size)
        if batch_size > room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return "report"

    monkeypatch.setattr(keeper, "evaluate", evaluate)
    measuring = Keeper(None, Run(tmp_path), None, None, None)  # type: ignore[arg-type]
    if room:
        assert measuring._measured(None, 64) == "report"  # type: ignore[arg-type]
    else:
        with pytest.raises(UserError, match="too small to evaluate even one image"):
            measuring._measured(None, 64)  # type: ignore[arg-type]
    assert seen == tried
