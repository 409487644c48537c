"""The training loop: forward, loss, backward, step. It knows neither files nor this detector."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from yolo_edu.data import Batch
from yolo_edu.distributed import ALONE, World
from yolo_edu.errors import UserError
from yolo_edu.hardware import EXACT, FORMATS, Numerics, autocast
from yolo_edu.loss import Loss
from yolo_edu.optim import Ema, apply_rates, build_optimizer
from yolo_edu.recipe import Recipe, Row, rates

M = TypeVar("M", bound=nn.Module)
Forward = Callable[[Tensor], Sequence[Tensor]]
LossFunction = Callable[[Sequence[Tensor], Tensor], Loss]


class Spoiled(UserError):
    """The weights are no numbers any more: going on from them makes no sense."""


@dataclass
class Training(Generic[M]):
    """Everything that changes while a model is trained: save it and the run can go on as if never stopped.

    To be saved between batches when no gradient is waiting for its step: inside `fit_epoch`'s `on_step`.
    """

    model: M
    ema: Ema[M]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # keeps float16's small gradients from vanishing; idle otherwise
    parts: Tensor  # (3,) box, objectness, class loss, summed over this epoch's batches so far
    batch: int = 0  # batches of this epoch that are done
    count: int = 0  # batches an epoch has
    seconds: float = 0.0  # those that are done took
    epoch: int = 0  # epochs finished
    best: float = -1.0  # fitness
    best_epoch: int = 0
    history: list[Row] = field(default_factory=list)
    last_step: int = -1  # iteration of the optimizer's last step

    @staticmethod
    def start(
        model: M, recipe: Recipe, precision: str = "float32", shares: Mapping[str, float] | None = None
    ) -> "Training[M]":
        """A fresh start for a model that already is on its device; `shares` as in `build_optimizer`."""
        device = next(model.parameters()).device
        return Training(
            model,
            Ema(model, recipe.ema_decay, recipe.ema_ramp),
            build_optimizer(model, recipe, shares),
            torch.amp.GradScaler(device.type, enabled=precision == "float16"),
            torch.zeros(3, device=device),
        )

    def end_epoch(self, row: Row) -> None:
        """Count the epoch and keep what is known about it."""
        self.epoch += 1
        self.history.append({"epoch": self.epoch, **row, "seconds": self.seconds})
        self.batch, self.seconds, self.parts = 0, 0.0, torch.zeros_like(self.parts)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values only."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "ema_updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "parts": self.parts,
            **{name: getattr(self, name) for name in PLAIN},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: the state of another model or optimizer.
        """
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        self.ema.updates = state["ema_updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.parts = state["parts"].to(self.parts)
        for name in PLAIN:
            setattr(self, name, state[name])


PLAIN = ("batch", "count", "seconds", "epoch", "best", "best_epoch", "history", "last_step")


def fit_epoch(
    training: Training[M],
    batches: Iterator[Batch],
    count: int,
    loss_function: LossFunction,
    recipe: Recipe,
    *,
    device: torch.device,
    numerics: Numerics = EXACT,
    forward: Forward | None = None,
    world: World = ALONE,
    on_batch: Callable[[], None] = lambda: None,
    on_step: Callable[[], None] = lambda: None,
) -> Row:
    """One pass over the batches, or what is left of it. Nothing in it waits for a GPU: the host only hands out work.

    Args:
        training: model, average and optimizer; changed in place.
        batches: what is left of the epoch's `count` batches when `training.batch` are done.
        loss_function: raw predictions and targets → Loss.
        recipe: the schedule.
        device: where the model is.
        numerics: precision of the forward pass and memory format; the weights and the loss stay float32.
        forward: what to call instead of the model (compiled, …), with the model's own weights.
        world: the processes that share each batch; their losses must add up to the batch's.
        on_batch: called after each batch, for a progress bar.
        on_step: called when a batch ended in a step: nothing is pending, so the state can be saved.

    Returns:
        Mean box, objectness and classification loss of the epoch, and the last learning rate.

    Raises:
        Spoiled: the loss is no longer a number, noticed at the end of the epoch; the model is spoiled then.
    """
    model, optimizer, scaler = training.model, training.optimizer, training.scaler
    training_mode(model)
    layout = FORMATS[numerics.memory_format]
    # As in R7: what an epoch could not add up to a whole step is dropped.
    optimizer.zero_grad(set_to_none=True)
    for batch in batches:
        iteration = training.epoch * count + training.batch
        now = rates(recipe, iteration, count)
        apply_rates(optimizer, now)
        images = batch.images.to(device, memory_format=layout, non_blocking=True)
        with autocast(device, numerics):
            raw = (forward or model)(images)
        loss = loss_function(raw, batch.targets)
        scaler.scale(loss.total).backward()
        training.parts += torch.stack(loss[1:]).detach()
        training.batch += 1
        # Counted across epochs, as in R7: an epoch shorter than `accumulate` would otherwise never make a step.
        stepping = iteration - training.last_step >= now.accumulate
        if stepping:
            world.add_up(p.grad for p in model.parameters() if p.grad is not None)
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            training.ema.update(model)
            training.last_step = iteration
        on_batch()
        if stepping:
            on_step()
    return {**mean_losses(training, world), "lr": rates(recipe, training.epoch * count + count - 1, count).lr}


def training_mode(model: nn.Module) -> None:
    """`model.train()`, but a frozen BatchNorm keeps its statistics: they belong to the weights before it."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
            module.eval()


def mean_losses(training: Training[M], world: World = ALONE) -> Row:
    """Mean losses of the epoch so far, over all processes.

    Raises:
        Spoiled: one is not a number.
    """
    box, objectness, classification = (world.total(training.parts) / max(training.batch, 1)).tolist()
    if not math.isfinite(box + objectness + classification):
        raise Spoiled(
            f"epoch {training.epoch + 1}: the loss is not a number any more. Start again with a lower learning rate "
            "(--lr), from the run's best.safetensors (--weights) if there is one, or check the labels (yolo-edu lint)."
        )
    return {"box": box, "objectness": objectness, "classification": classification}
