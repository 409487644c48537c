"""The optimizer's three parameter groups and the moving average of the weights."""

import copy
import itertools
import math
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import nn

from yolo_edu.recipe import Rates, Recipe

M = TypeVar("M", bound=nn.Module)


KINDS = ("bias", "weight", "norm")


def build_optimizer(
    model: nn.Module, recipe: Recipe, shares: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum (Sutskever et al. 2013), Adam (Kingma, Ba 2014, arXiv:1412.6980) or AdamW
    (Loshchilov, Hutter 2017, arXiv:1711.05101).

    Groups, in order: biases, other weights (decayed), BatchNorm weights. Only the second is decayed: pulling
    a bias or a BatchNorm's γ to zero makes nothing simpler. SGD's and Adam's decay follows the images a step, as
    in both releases.

    Args:
        model: parameters that want no gradient are left out.
        recipe: optimizer, rates, decay.
        shares: of the learning rate, by parameter name; each share gets three groups of its own.

    Raises:
        ValueError: no parameter wants a gradient.
    """
    members: dict[tuple[float, str], list[nn.Parameter]] = {}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                kind = "bias" if name == "bias" else "norm" if isinstance(module, nn.BatchNorm2d) else "weight"
                share = shares[f"{prefix}.{name}" if prefix else name] if shares else 1.0
                members.setdefault((share, kind), []).append(parameter)
    if not members:
        raise ValueError("every parameter is frozen: nothing to train")
    decay = recipe.weight_decay
    if recipe.optimizer != "adamw":
        accumulate = max(round(recipe.nominal_batch / recipe.batch), 1)
        decay *= recipe.batch * accumulate / 64
    groups = [
        {
            "params": members[share, kind],
            "weight_decay": decay if kind == "weight" else 0.0,
            "kind": kind,
            "share": share,
        }
        for share, kind in sorted(members, key=lambda key: (key[0], KINDS.index(key[1])))
    ]
    # One kernel for all tensors where there is one: a third of the time of a loop over them.
    fused = next(iter(members.values()))[0].device.type in ("cpu", "cuda")
    if recipe.optimizer == "sgd":
        sgd = torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum, nesterov=True, fused=fused)
        for parameter in itertools.chain.from_iterable(members.values()):
            # The same as no momentum yet. Left to itself, the fused kernel takes whatever lies in memory when
            # float16's scaler skips the first step, as it usually does.
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    adam = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return adam(groups, recipe.lr, betas=(recipe.momentum, 0.999), fused=fused)


def apply_rates(optimizer: torch.optim.Optimizer, now: Rates) -> None:
    """Set learning rates and momentum of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = group["share"] * (now.bias_lr if group["kind"] == "bias" else now.lr)
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
