"""Two processes do what one does with the same batch. They talk through gloo, on the CPU."""

import csv
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from yolo_edu import garden
from yolo_edu.batches import Batches
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.distributed import ALONE, SyncedBatchNorm, World, joined, own_device, synchronize_batchnorm
from yolo_edu.errors import UserError
from yolo_edu.fit import Training, fit_epoch
from yolo_edu.loss import detection_loss
from yolo_edu.model import Detector, YOLOv5, YOLOv5v6
from yolo_edu.recipe import RECIPES
from yolo_edu.run import Run
from yolo_edu.train import loss_settings

CPU = torch.device("cpu")
# 13 images at batch 5: batches of 5, 5 and 3, so the two processes never hold equally many. SGD, because Adam
# turns the rounding of a gradient near zero into a step of full size.
RECIPE = replace(
    RECIPES["short"], epochs=2, batch=5, image_size=64, nominal_batch=5, optimizer="sgd", lr=0.01, warmup_epochs=0
)


@pytest.fixture(scope="module")
def spec_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return garden.write(tmp_path_factory.mktemp("distributed") / "garden", 17, size=96)


def tiny(release: type[YOLOv5 | YOLOv5v6]) -> Detector:
    torch.manual_seed(0)
    return release((0.33, 0.125), 5)


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def together(function: object, *args: object) -> None:
    """Call `function(world, *args)` in two processes that have joined."""
    torch.multiprocessing.spawn(_enter, (free_port(), function, args), nprocs=2)  # type: ignore[attr-defined]


def _enter(rank: int, port: str, function: object, args: tuple[object, ...]) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    torch.set_num_threads(1)
    with joined(CPU) as world:
        function(world, *args)  # type: ignore[operator]


# --- gradients ------------------------------------------------------------------------------------------


def gradients(world: World, path: Path, release: type[YOLOv5 | YOLOv5v6]) -> dict[str, torch.Tensor]:
    """Of one batch's loss, in float64, so that only real differences show; and BatchNorm's new statistics."""
    model = tiny(release).double().train()
    synchronize_batchnorm(model, world, CPU)
    data = DetectionData(read_spec(path), "train", 64)
    batch = next(Batches(data, RECIPE, 0, CPU, rank=world.rank, ranks=world.size).epoch(0))
    total = world.total if world.size > 1 else None
    settings = loss_settings(model, RECIPE, 64)
    loss = detection_loss(model(batch.images.double()), batch.targets.double(), model.detect.anchors, settings, total)
    loss.total.backward()
    world.add_up(p.grad for p in model.parameters() if p.grad is not None)
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    parts = {"loss": world.total(torch.stack(loss).detach())}
    return {**found, **{name: x for name, x in model.named_buffers() if "running" in name}, **parts}


def compare_gradients(world: World, path: Path, release: type[YOLOv5 | YOLOv5v6], expected: Path) -> None:
    ours, theirs = gradients(world, path, release), torch.load(expected)
    assert ours.keys() == theirs.keys()
    for name, x in theirs.items():
        torch.testing.assert_close(ours[name], x, rtol=1e-6, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_gradients_equal_the_single_process_s(
    spec_path: Path, release: type[YOLOv5 | YOLOv5v6], tmp_path: Path
) -> None:
    alone = gradients(ALONE, spec_path, release)
    assert min(float(x.abs().max()) for x in alone.values()) > 0
    torch.save(alone, tmp_path / "alone.pt")
    together(compare_gradients, spec_path, release, tmp_path / "alone.pt")


def epochs(world: World, path: Path) -> Training[Detector]:
    model = tiny(YOLOv5v6)
    training = Training.start(model, RECIPE)
    synchronize_batchnorm(model, world, CPU)
    batches = Batches(DetectionData(read_spec(path), "train", 64), RECIPE, 0, CPU, rank=world.rank, ranks=world.size)
    settings, anchors = loss_settings(model, RECIPE, 64), model.detect.anchors
    total = world.total if world.size > 1 else None
    for epoch in range(RECIPE.epochs):
        row = fit_epoch(
            training,
            batches.epoch(epoch),
            len(batches),
            lambda raw, targets: detection_loss(raw, targets, anchors, settings, total),
            RECIPE,
            device=CPU,
            world=world,
        )
        training.end_epoch(row)
    return training


def compare_epochs(world: World, path: Path, expected: Path) -> None:
    training, theirs = epochs(world, path), torch.load(expected)
    for name, x in training.ema.model.state_dict().items():
        torch.testing.assert_close(x, theirs["ema"][name], rtol=1e-3, atol=1e-4)
    for ours, row in zip(training.history, theirs["history"], strict=True):
        assert {k: v for k, v in ours.items() if k != "seconds"} == pytest.approx(
            {k: v for k, v in row.items() if k != "seconds"}, rel=1e-3
        )


def test_two_epochs_end_where_one_process_ends(spec_path: Path, tmp_path: Path) -> None:
    training = epochs(ALONE, spec_path)
    torch.save({"ema": training.ema.model.state_dict(), "history": training.history}, tmp_path / "alone.pt")
    together(compare_epochs, spec_path, tmp_path / "alone.pt")


# --- the world ------------------------------------------------------------------------------------------


def talk(world: World) -> None:
    assert world.first == (world.rank == 0)
    assert world.any(world.rank == 1, False, True) == [True, False, True]
    assert world.share(f"from {world.rank}") == "from 0"
    mine = torch.full((3,), float(world.rank + 1))
    assert world.total(mine).tolist() == [3, 3, 3]
    assert mine.tolist() == [world.rank + 1] * 3
    parts = [torch.ones(2, 2) * world.rank, torch.tensor([float(world.rank)])]
    world.add_up(parts)
    assert [x.tolist() for x in parts] == [[[1, 1], [1, 1]], [1]]
    # BatchNorm over unequal shares, in training against the whole batch, in evaluation against itself
    x = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = nn.BatchNorm2d(4, momentum=0.3).double()
    synced = nn.Sequential(nn.BatchNorm2d(4, momentum=0.3).double())
    synchronize_batchnorm(synced, world, CPU)
    assert isinstance(synced[0], SyncedBatchNorm)
    share = slice(world.rank, None, 2)
    torch.testing.assert_close(synced(x[share]), whole(x)[share])
    for name, buffer in whole.named_buffers():
        torch.testing.assert_close(synced.state_dict()[f"0.{name}"], buffer)
    torch.testing.assert_close(synced.eval()(x), whole.eval()(x))


def test_what_processes_tell_each_other() -> None:
    together(talk)


def test_alone() -> None:
    with joined(CPU) as world:
        assert world is ALONE
    x = torch.ones(2)
    ALONE.add_up([x])
    assert ALONE.total(x) is x
    assert ALONE.any(True, False) == [True, False]
    assert ALONE.share("mine") == "mine"
    model = tiny(YOLOv5v6)
    synchronize_batchnorm(model, ALONE, CPU)
    assert not any(isinstance(m, SyncedBatchNorm) for m in model.modules())


@pytest.mark.parametrize(
    ("asked", "rank", "device"),
    [
        ("cpu", "3", "cpu"),
        ("cuda", "3", "cuda:3"),
        ("cuda:1", "3", "cuda:3"),
        ("cuda:1", None, "cuda:1"),
        (None, "3", "cpu"),
    ],
)
def test_own_device(asked: str | None, rank: str | None, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several GPUs each process takes its own, whatever was asked for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert own_device(asked) == device


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UserError, match="torchrun"), joined(CPU):
        pass


# --- the command ----------------------------------------------------------------------------------------


def test_torchrun_writes_one_run_folder(spec_path: Path, tmp_path: Path) -> None:
    """The whole command in two processes: one folder, one log, one voice."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port()]
    command += ["-m", "yolo_edu.train", "--data", str(spec_path), "--project", str(tmp_path), "--name", "run"]
    command += ["--epochs", "2", "--img-size", "64", "--batch", "5", "--precision", "float32", "--device", "cpu"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert done.stdout.count("best weights:") == 1
    rows = list(csv.DictReader(Run(tmp_path / "run").log.open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(row["map50"] for row in rows)
