"""Several processes, one training run: `torchrun --nproc_per_node N -m yolo_edu.train …`.

Every process holds the whole network and takes its share of each batch. What one process would average over the
batch is summed over the processes instead: counts in the loss, BatchNorm's statistics, the gradients. So N
processes do what one would do with the same batch, only sooner.
"""

import datetime
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from yolo_edu.errors import UserError

T = TypeVar("T")
PATIENCE = datetime.timedelta(days=1)  # the others wait this long while the first one evaluates


class World:
    """The processes of a run, and this one's place among them; the default is to be alone."""

    def __init__(self, rank: int = 0, size: int = 1, words: Any = None) -> None:
        self.rank, self.size = rank, size
        self._words = words  # torch.distributed's group for flags and objects, on the CPU

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def total(self, x: Tensor) -> Tensor:
        """The sum of all processes' x, on x's device; no gradient flows."""
        if self.size > 1:
            x = x.clone()
            dist.all_reduce(x)
        return x

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether some process has raised it."""
        if self.size == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(raised, dist.ReduceOp.MAX, group=self._words)
        return [bool(flag) for flag in raised.tolist()]

    def share(self, value: T) -> T:
        """The first process's value; what the others pass is ignored."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._words, device=torch.device("cpu"))
        return box[0]

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace every tensor by its sum over the processes: one message for all of them."""
        if self.size == 1:
            return
        parts = list(tensors)
        whole = self.total(torch.cat([part.flatten() for part in parts]))
        pieces = whole.split([part.numel() for part in parts])
        for part, piece in zip(parts, pieces, strict=True):
            part.copy_(piece.view_as(part))


ALONE = World()


def own_device(asked: str | None) -> str:
    """The device for this process: the one asked for; under torchrun, of several GPUs its own."""
    kind = asked or ("cuda" if torch.cuda.is_available() else "cpu")
    return f"cuda:{os.environ['LOCAL_RANK']}" if kind.startswith("cuda") and "LOCAL_RANK" in os.environ else kind


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The world that torchrun has made, for as long as the block lasts; alone without torchrun.

    Args:
        device: where this process trains; GPUs talk through NCCL, CPUs through gloo.

    Raises:
        UserError: torchrun's environment variables are there but do not make sense.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        words = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"cannot join the other processes ({error}). Start with torchrun --nproc_per_node N.") from None
    try:
        yield World(dist.get_rank(), dist.get_world_size(), words)
    finally:
        dist.destroy_process_group()


# --- BatchNorm ------------------------------------------------------------------------------------------


class Total(torch.autograd.Function):
    """The sum of all processes' tensors. Every process's loss depends on it, so their gradients add up too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Any shape; the same in every process."""
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Of the sum of all losses."""
        return Total.forward(ctx, gradient)


class SyncedBatchNorm(nn.BatchNorm2d):
    """BatchNorm over the batches of all processes together, on any device.

    `nn.SyncBatchNorm` does the same faster, but on GPUs only.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape and type, standardized over B, H, W of all processes."""
        if not self.training:
            return super().forward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mine = torch.cat([wide.sum(dim=(0, 2, 3)), wide.new_tensor([x.numel() / x.shape[1]])])
        total, count = Total.apply(mine).split([x.shape[1], 1])
        mean = total / count
        centered = wide - mean[:, None, None]
        # Two rounds, as the shortcut E[x²] − E[x]² loses digits.
        variance = Total.apply(centered.square().sum(dim=(0, 2, 3))) / count
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.0)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def synchronize_batchnorm(model: nn.Module, world: World, device: torch.device) -> None:
    """Make every BatchNorm of the model see the whole batch; in place, parameters and their names stay."""
    if world.size == 1:
        return
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                synced = SyncedBatchNorm(child.num_features, child.eps, child.momentum)
                synced.weight, synced.bias = child.weight, child.bias
                for buffer, value in child.named_buffers():
                    setattr(synced, buffer, value)
                setattr(parent, name, synced.train(child.training))
