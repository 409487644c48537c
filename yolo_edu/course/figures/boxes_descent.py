"""Figures of lesson 09: boxes that walk to their targets along the gradient of a measure of overlap."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from yolo_edu.boxes import ciou, cxcywh_to_xyxy, diou, giou, iou
from yolo_edu.course.figures.diagram import hex_color

__all__ = ["Descent", "box_descent", "descend", "scattered_pairs"]

Measure = Callable[[Tensor, Tensor], Tensor]
MEASURES: dict[str, Measure] = {"IoU": iou, "GIoU": giou, "DIoU": diou, "CIoU": ciou}
LOOKS = {  # color and dashes of a measure's curve
    "IoU": (hex_color(7), (0, (1, 1.5))),
    "GIoU": (hex_color(5), (0, (5, 2))),
    "DIoU": (hex_color(2), (0, (6, 2, 1, 2))),
    "CIoU": (hex_color(4), "-"),
}
SMALLEST = 1e-3  # no side gets shorter


class Descent(NamedTuple):
    """The way of N boxes, S steps long; the first entry is the start."""

    boxes: Tensor  # (S + 1, N, 4) cxcywh
    overlap: Tensor  # (S + 1, N) IoU with the targets


def descend(measure: Measure, start: Tensor, target: Tensor, *, steps: int = 200, rate: float = 0.1) -> Descent:
    """Walk along the gradient of a measure, with the step of Zheng et al. 2019 (arXiv:1911.08287).

    A step is rate · (2 − IoU) · gradient, the rate a tenth after 80 % and a hundredth after 90 % of the steps.

    Args:
        measure: (N, 4), (N, 4) xyxy → (N,).
        start, target: (N, 4) cxcywh, targets of area about 1.
        steps, rate: how many, and how long.
    """
    box, goal = start.double(), cxcywh_to_xyxy(target.double())
    boxes, overlaps = [box], [iou(cxcywh_to_xyxy(box), goal)]
    for step in range(steps):
        leaf = box.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(measure(cxcywh_to_xyxy(leaf), goal).sum(), leaf)
        pace = rate * (1 if step < 0.8 * steps else 0.1 if step < 0.9 * steps else 0.01)
        box = box + pace * (2 - overlaps[-1])[:, None] * gradient
        box = torch.cat([box[:, :2], box[:, 2:].clamp(min=SMALLEST)], dim=1)
        boxes.append(box)
        overlaps.append(iou(cxcywh_to_xyxy(box), goal))
    return Descent(torch.stack(boxes), torch.stack(overlaps))


def scattered_pairs(points: int = 20, *, radius: float = 3.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Start boxes of three sizes and three shapes around targets of area 1 and three shapes.

    Args:
        points: places within `radius` of the target's center.
        radius: in sides of the target.
        seed: of the places.

    Returns:
        start, target, both (27 · points, 4) cxcywh.
    """
    generator = torch.Generator().manual_seed(seed)
    far = radius * torch.rand(points, generator=generator, dtype=torch.float64).sqrt()
    turn = 2 * math.pi * torch.rand(points, generator=generator, dtype=torch.float64)
    centers = torch.stack([far * turn.cos(), far * turn.sin()], dim=1)
    ratios = torch.tensor([1 / 4, 1, 4], dtype=torch.float64)
    areas = torch.tensor([1 / 2, 1, 2], dtype=torch.float64)
    shapes = torch.stack([ratios.sqrt(), ratios.rsqrt()], dim=1)  # (3, 2) of area 1
    sizes = (areas.sqrt()[:, None, None] * shapes).view(-1, 2)  # (9, 2)
    size, shape, place = torch.meshgrid(torch.arange(9), torch.arange(3), torch.arange(points), indexing="ij")
    size, shape, place = size.flatten(), shape.flatten(), place.flatten()
    target = torch.cat([torch.zeros(len(place), 2, dtype=torch.float64), shapes[shape]], dim=1)
    return torch.cat([centers[place], sizes[size]], dim=1), target


ONE = torch.tensor([[-1.9, -1.1, 0.8, 0.8]]), torch.tensor([[0.0, 0.0, 1.4, 0.7]])  # start and target, cxcywh


def box_descent(
    runs: Mapping[str, Descent] | None = None,
    one: Mapping[str, Descent] | None = None,
    target: Tensor = ONE[1],
) -> Figure:
    """One box on its way by each measure, and the mean of many.

    Args:
        runs: measure → the way of many boxes; None: 540 scattered ones.
        one: measure → the way of a single box; None: of a small square, its target twice as wide as high.
        target: (1, 4) cxcywh, of that single box.
    """
    runs = runs or {name: descend(measure, *scattered_pairs()) for name, measure in MEASURES.items()}
    one = one or {name: descend(measure, *ONE) for name, measure in MEASURES.items()}
    figure = plt.figure(figsize=(10.5, 6.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    top, bottom = halves
    for ax, (name, run) in zip(top.subplots(1, len(one)), one.items(), strict=True):
        _film(ax, name, run, target)
    left, right = bottom.subplots(1, 2)
    apart = next(iter(runs.values())).overlap[0] == 0
    for name, run in runs.items():
        color, dash = LOOKS[name]
        left.plot(run.overlap.mean(dim=1), color=color, linestyle=dash, linewidth=2.2, label=name)
        right.plot(run.boxes[:, apart, 2:].prod(dim=-1).mean(dim=1), color=color, linestyle=dash, linewidth=2.2)
    left.set_title(f"mean IoU of {len(apart)} pairs", fontsize=12)
    right.set_title(f"mean area of the {int(apart.sum())} that start apart", fontsize=12)
    for ax in (left, right):
        ax.set_xlabel("step", fontsize=11)
        ax.set_ylim(0, None)
        ax.tick_params(labelsize=10.5)
        ax.spines[["top", "right"]].set_visible(False)
    right.axhline(1, color="#9a9a9a", linewidth=1)
    right.text(0, 0.95, "the area of the targets", ha="left", va="top", fontsize=10.5, color="#6e6e6e")
    left.legend(frameon=False, fontsize=11, loc="lower right", bbox_to_anchor=(1, 0.16))
    plt.close(figure)
    return figure


def _film(ax: Axes, name: str, run: Descent, target: Tensor) -> None:
    """The box at some steps, the later the darker; the target filled."""
    x, y, w, h = target[0].tolist()
    ax.add_patch(Rectangle((x - w / 2, y - h / 2), w, h, facecolor="#dcdcdc", edgecolor="#1c1c1c", linewidth=1))
    steps = [step for step in (0, 10, 20, 30, 40, 200) if step < len(run.boxes)]
    color = LOOKS[name][0]
    for count, step in enumerate(steps, start=1):
        x, y, w, h = run.boxes[step, 0].tolist()
        last = step == steps[-1]
        style = {"linewidth": 2.6 if last else 1.3, "alpha": 0.25 + 0.75 * count / len(steps)}
        patch = Rectangle((x - w / 2, y - h / 2), w, h, fill=False, edgecolor=color, **style)  # type: ignore[arg-type]
        if step == 0:
            patch.set(linestyle=(0, (3, 2)), alpha=1)
        ax.add_patch(patch)
    ax.set(xlim=(-2.5, 1.1), ylim=(1.0, -1.7), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_color("#c4c4c4")
    ax.set_title(f"{name}: ends at IoU {run.overlap[-1, 0]:.2f}", fontsize=12)
