"""The training loop: forward, loss, backward, step. It knows neither files nor this detector."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from yolo_edu.data import Batch
from yolo_edu.errors import UserError
from yolo_edu.loss import Loss
from yolo_edu.optim import Ema, apply_rates, build_optimizer
from yolo_edu.recipe import Recipe, rates
from yolo_edu.run import Row

M = TypeVar("M", bound=nn.Module)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LossFunction = Callable[[Sequence[Tensor], Tensor], Loss]


@dataclass
class Training(Generic[M]):
    """Everything that changes while a model is trained: save it and the run can go on as if never stopped."""

    model: M
    ema: Ema[M]
    optimizer: torch.optim.Optimizer
    epoch: int = 0  # epochs finished
    best: float = -1.0  # fitness
    history: list[Row] = field(default_factory=list)
    last_step: int = -1  # iteration of the optimizer's last step

    @staticmethod
    def start(model: M, recipe: Recipe) -> "Training[M]":
        """A fresh start for a model that already is on its device."""
        return Training(model, Ema(model, recipe.ema_decay, recipe.ema_ramp), build_optimizer(model, recipe))

    def state(self) -> dict[str, Any]:
        """Tensors and plain values only."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "ema_updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "best": self.best,
            "history": self.history,
            "last_step": self.last_step,
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
        self.epoch, self.best, self.history = state["epoch"], state["best"], list(state["history"])
        self.last_step = state["last_step"]


def fit_epoch(
    training: Training[M],
    batches: Iterator[Batch],
    count: int,
    loss_function: LossFunction,
    recipe: Recipe,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    on_batch: Callable[[], None] = lambda: None,
) -> Row:
    """One pass over the batches.

    Args:
        training: model, average and optimizer; changed in place.
        batches: `count` batches.
        loss_function: raw predictions and targets → Loss.
        recipe: the schedule.
        device: where the model is.
        precision: of the forward pass; the weights and the loss stay float32.
        on_batch: called after each batch, for a progress bar.

    Returns:
        Mean box, objectness and classification loss of the epoch.

    Raises:
        UserError: the loss is no longer a number, noticed at the end of the epoch; the model is spoiled then.
    """
    model, optimizer = training.model.train(), training.optimizer
    optimizer.zero_grad(set_to_none=True)
    parts = torch.zeros(3, device=device)
    for index, batch in enumerate(batches):
        iteration = training.epoch * count + index
        now = rates(recipe, iteration, count)
        apply_rates(optimizer, now)
        images = batch.images.to(device, memory_format=torch.channels_last, non_blocking=True)
        targets = batch.targets.to(device, non_blocking=True)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            raw = model(images)
        loss = loss_function(raw, targets)
        loss.total.backward()
        parts += torch.stack(loss[1:]).detach()
        # Counted across epochs, as in R7: an epoch shorter than `accumulate` would otherwise never make a step.
        if iteration - training.last_step >= now.accumulate:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            training.ema.update(model)
            training.last_step = iteration
        on_batch()
    box, objectness, classification = (parts / count).tolist()
    if not math.isfinite(box + objectness + classification):
        raise UserError(
            f"epoch {training.epoch + 1}: the loss is not a number any more. Start again with a lower learning rate "
            "(--lr), from the run's best.safetensors (--weights) if there is one, or check the labels."
        )
    return {"box": box, "objectness": objectness, "classification": classification}


def choose_precision(device: torch.device, setting: str = "auto") -> torch.dtype:
    """bfloat16 where it is faster here, float32 otherwise; measured on one convolution, not guessed.

    Args:
        device: where to train.
        setting: "auto", or "float32" / "bfloat16" to decide oneself.
    """
    if setting != "auto":
        if setting not in PRECISIONS:
            raise UserError(f"precision {setting!r} is none of auto, {', '.join(PRECISIONS)}.")
        return PRECISIONS[setting]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    x = torch.rand(8, 64, 32, 32, device=device).to(memory_format=torch.channels_last)
    conv = nn.Conv2d(64, 64, 3, padding=1, device=device).to(memory_format=torch.channels_last)

    def best_time(precision: torch.dtype) -> float:
        times = []
        for _ in range(6):
            start = time.perf_counter()
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                conv(x).float().sum().backward()
            times.append(time.perf_counter() - start)
        return min(times)

    # Casting costs too: only a clear gain on the convolution becomes one for the network.
    return torch.bfloat16 if best_time(torch.bfloat16) < 0.7 * best_time(torch.float32) else torch.float32
