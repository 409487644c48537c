"""What lesson 16 measures of a trained network: how far its rows moved, what its maps know, which channels it needs."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from yolo_edu.model import Detector
from yolo_edu.model.blocks import Conv

PARTS = {"backbone": range(10), "neck": range(10, 24), "head": range(24, 25)}  # rows of release 7.0's table
RIDGE = 1e-3  # of the probe: keeps channels that are copies of one another from blowing up


def norms_of(model: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Every BatchNorm by its name, in the order of the table."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}


def part_changes(before: Detector, after: Detector) -> dict[str, float]:
    """‖w − w₀‖ / ‖w₀‖ of all convolution weights of backbone, neck and head of release 7.0 taken together.

    Args:
        before, after: the same architecture.
    """
    start = dict(before.named_parameters())
    moved = dict.fromkeys(PARTS, 0.0)
    size = dict.fromkeys(PARTS, 0.0)
    for name, w in after.named_parameters():
        if w.ndim == 4:
            part = next(part for part, rows in PARTS.items() if int(name.split(".")[1]) in rows)
            own = start[name].detach()
            moved[part] += float((w.detach().cpu() - own.cpu()).square().sum())
            size[part] += float(own.square().sum())
    return {part: (moved[part] / size[part]) ** 0.5 for part in PARTS}


# --- what the maps know -----------------------------------------------------------------------------------


def map_correlation(before: Tensor, after: Tensor) -> Tensor:
    """Pearson correlation of every channel with its former self, over all photos and places.

    before, after (B, C, h, w) → (C,); 0 for a channel that does not vary.
    """
    x, y = (maps.transpose(0, 1).flatten(1).double() for maps in (before, after))
    x, y = x - x.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True)
    return ((x * y).sum(dim=1) / (x.norm(dim=1) * y.norm(dim=1)).clamp(min=1e-12)).float()


def linear_probe(maps: Tensor, truth: Tensor, fresh: Tensor) -> Tensor:
    """Fit one linear function of the channels to a yes-or-no question on some cells, and ask it about others.

    Least squares on standardized channels with a little ridge; the network itself is not changed.

    Args:
        maps: (cells, C) the channels of the cells to learn from.
        truth: (cells,) bool.
        fresh: (others, C) cells to judge.

    Returns:
        (others,) scores: the higher, the more likely yes.
    """
    mean, std = maps.mean(dim=0), maps.std(dim=0).clamp(min=1e-6)
    x, y = ((maps - mean) / std).double(), truth.double() - truth.double().mean()
    gram = x.T @ x / len(x) + RIDGE * torch.eye(x.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, x.T @ y / len(x))
    return (((fresh - mean) / std).double() @ weights).float()


def pair_share(scores: Tensor, truth: Tensor) -> float:
    """How often a random yes scores higher than a random no: the area under the ROC curve; ties count one half.

    scores (N,), truth (N,) bool with both answers in it.
    """
    _, place, counts = scores.unique(return_inverse=True, return_counts=True)
    rank = (counts.cumsum(dim=0) - (counts - 1) / 2)[place].double()  # mean rank of equal scores, from 1
    yes = int(truth.sum())
    no = len(truth) - yes
    return float((rank[truth].sum() - yes * (yes + 1) / 2) / (yes * no))


# --- which channels it needs ------------------------------------------------------------------------------


def channel_ranges(model: Detector, squares: Tensor, batch: int = 16) -> dict[str, Tensor]:
    """How far the output of every Conv block varies over photos and places.

    Args:
        model: in evaluation mode.
        squares: (B, 3, S, S), 0 to 1.
        batch: photos at once.

    Returns:
        name of the block's BatchNorm → (C,) highest minus lowest value.
    """
    low: dict[str, Tensor] = {}
    high: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_: nn.Module, __: Any, maps: Tensor) -> None:
            least, most = maps.amin(dim=(0, 2, 3)), maps.amax(dim=(0, 2, 3))
            low[name] = torch.minimum(low.get(name, least), least)
            high[name] = torch.maximum(high.get(name, most), most)

        return hook

    blocks = [(name, module) for name, module in model.named_modules() if isinstance(module, Conv)]
    hooks = [module.register_forward_hook(watch(f"{name}.bn")) for name, module in blocks]
    try:
        with torch.no_grad():
            for part in squares.split(batch):
                model(part)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: high[name] - low[name] for name in norms_of(model) if name in high}


def slimmed(model: Detector, masks: Mapping[str, Tensor] | Sequence[Tensor]) -> Detector:
    """A copy without the channels that the masks leave out: their γ and β are 0, and so is SiLU(0).

    Nothing gets faster by that: it tells what the network would be worth if they were cut out.

    Args:
        model: unfused.
        masks: for every BatchNorm, in order or by name, (C,) bool: True stays.
    """
    copied = copy.deepcopy(model)
    norms = norms_of(copied)
    named = masks if isinstance(masks, Mapping) else dict(zip(norms, masks, strict=True))
    with torch.no_grad():
        for name, norm in norms.items():
            norm.weight.mul_(named[name].to(norm.weight))
            norm.bias.mul_(named[name].to(norm.bias))
    return copied


def random_masks(gammas: Sequence[Tensor], share: float, seed: int) -> list[Tensor]:
    """Masks like those of network slimming, but the channels that go are drawn by lot."""
    sizes = [len(gamma) for gamma in gammas]
    order = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed))
    keep = torch.ones(sum(sizes), dtype=torch.bool)
    keep[order[: int(share * sum(sizes))]] = False
    return list(keep.split(sizes))
