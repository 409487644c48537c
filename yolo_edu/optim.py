"""The optimizer's three parameter groups and the moving average of the weights."""

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import nn

from yolo_edu.recipe import Rates, Recipe

M = TypeVar("M", bound=nn.Module)


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum (Sutskever et al. 2013) or AdamW (Loshchilov, Hutter 2017, arXiv:1711.05101).

    Groups, in order: biases, other weights (decayed), BatchNorm weights. Only the second is decayed: pulling
    a bias or a BatchNorm's γ to zero makes nothing simpler. SGD's decay follows the images a step, as in
    both releases.
    """
    biases: list[nn.Parameter] = []
    weights: list[nn.Parameter] = []
    norms: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            group = biases if name == "bias" else norms if isinstance(module, nn.BatchNorm2d) else weights
            group.append(parameter)
    decay = recipe.weight_decay
    if recipe.optimizer == "sgd":
        accumulate = max(round(recipe.nominal_batch / recipe.batch), 1)
        decay *= recipe.batch * accumulate / 64
    groups = [
        {"params": biases, "weight_decay": 0.0},
        {"params": weights, "weight_decay": decay},
        {"params": norms, "weight_decay": 0.0},
    ]
    # One kernel for all tensors where there is one: a third of the time of a loop over them.
    fused = weights[0].device.type in ("cpu", "cuda")
    if recipe.optimizer == "sgd":
        sgd = torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum, nesterov=True, fused=fused)
        for parameter in model.parameters():
            # The same as no momentum yet. Left to itself, the fused kernel takes whatever lies in memory when
            # float16's scaler skips the first step, as it usually does.
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    return torch.optim.AdamW(groups, recipe.lr, betas=(recipe.momentum, 0.999), fused=fused)


def apply_rates(optimizer: torch.optim.Optimizer, now: Rates) -> None:
    """Set learning rates and momentum of all groups; the first group holds the biases."""
    for index, group in enumerate(optimizer.param_groups):
        group["lr"] = now.bias_lr if index == 0 else now.lr
        if "momentum" in group:
            group["momentum"] = now.momentum
        else:
            group["betas"] = (now.momentum, group["betas"][1])


class Ema(Generic[M]):
    """Exponential moving average of all floating state, BatchNorm statistics included (Polyak, Juditsky 1992).

    Counters, the whole numbers among the state, stay as they were, as in R7.

    The decay grows from 0 to `decay`: an average that starts slow would remember the random start.
    """

    def __init__(self, model: M, decay: float, ramp: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.ramp, self.updates = decay, ramp, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average toward `model` by one step."""
        self.updates += 1
        weight = 1 - self.decay * (1 - math.exp(-self.updates / self.ramp))
        ours, theirs = self.model.state_dict(), model.state_dict()
        floating = [name for name, x in ours.items() if x.is_floating_point()]
        torch._foreach_lerp_([ours[n] for n in floating], [theirs[n] for n in floating], weight)
