"""Figures of lesson 13: the schedules of both recipes, and the paths of four optimizers through a narrow valley."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from yolo_edu.course.figures.diagram import DIM, FADED, INK, hex_color
from yolo_edu.course.figures.training_runs import LiveCurves, fit_curves, losses_on, rate_curves, settled
from yolo_edu.recipe import RECIPES, Recipe, rates

__all__ = [
    "LiveCurves",
    "fit_curves",
    "losses_on",
    "optimizer_paths",
    "rate_curves",
    "schedule_chart",
    "settled",
    "valley_path",
]

PHOTOS = 217  # training photos of the cards
TEXT = 11.5  # points
Point = tuple[float, float]


# --- schedules ------------------------------------------------------------------------------------------


def schedule_chart(recipes: Mapping[str, Recipe] = RECIPES, photos: int = PHOTOS) -> Figure:
    """What `rates` asks for in every iteration: a row a recipe; the whole run, its beginning, momentum and step.

    Args:
        recipes: name → recipe.
        photos: in an epoch.
    """
    figure, axes = plt.subplots(len(recipes), 3, figsize=(12, 3.5 * len(recipes)), layout="constrained", squeeze=False)
    for (name, recipe), (whole, start, step) in zip(recipes.items(), axes, strict=True):
        batches = -(-photos // recipe.batch)
        asked = [rates(recipe, i, batches) for i in range(recipe.epochs * batches)]
        warmup = max(round(recipe.warmup_epochs * batches), recipe.warmup_iterations)
        epochs = np.arange(len(asked)) / batches
        whole.plot(epochs, [r.lr for r in asked], color=hex_color(4), linewidth=2)
        whole.set(title=f"{name}: learning rate", xlabel="epoch", xlim=(0, recipe.epochs), ylim=(0, None))
        first = range(round(1.4 * warmup))
        start.plot(first, [asked[i].bias_lr for i in first], "--", color=hex_color(5), label="biases", linewidth=2)
        start.plot(first, [asked[i].lr for i in first], color=hex_color(4), label="all others", linewidth=2)
        start.set(title=f"the warm-up, {warmup} iterations", xlabel="iteration", ylim=(0, None))
        step.plot(first, [asked[i].momentum for i in first], color=hex_color(2), label="momentum", linewidth=2)
        images = [asked[i].accumulate * recipe.batch for i in first]
        twin = step.twinx()
        twin.plot(first, images, ":", color=INK, label="images a step", linewidth=2.4)
        twin.set(ylim=(0, 1.5 * max(images)))
        step.set(title="momentum, images a step", xlabel="iteration", ylim=(0, 1.2))
        twin.spines["top"].set_visible(False)
        twin.tick_params(labelsize=TEXT)
        start.legend(frameon=False, fontsize=TEXT, loc="upper right")
        step.legend(
            [*step.lines, *twin.lines], ["momentum (left)", "images (right)"], frameon=False, fontsize=TEXT, loc=4
        )
        for ax in (whole, start, step):
            _plain(ax)
    return figure


def _plain(ax: Axes) -> None:
    ax.spines["top"].set_visible(False)
    if not ax.get_shared_x_axes().get_siblings(ax)[1:]:
        ax.spines["right"].set_visible(False)
    ax.tick_params(labelsize=TEXT)
    ax.title.set_fontsize(TEXT + 1.5)
    ax.xaxis.label.set_fontsize(TEXT)
    ax.yaxis.label.set_fontsize(TEXT)


# --- a valley -------------------------------------------------------------------------------------------


def valley_path(
    optimizer: Callable[[Sequence[torch.Tensor]], torch.optim.Optimizer],
    steps: int,
    *,
    steepness: float = 25.0,
    start: Point = (-9.0, 1.6),
) -> list[Point]:
    """Every point of an optimizer's way down f(x, y) = (x² + steepness · y²) / 2; `steps` + 1 of them.

    Args:
        optimizer: parameters → optimizer.
        steps: how many.
        steepness: curvature across the valley; along it the curvature is 1.
        start: x, y.
    """
    place = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    curvature = torch.tensor([1.0, steepness], dtype=torch.float64)
    moving, path = optimizer([place]), [start]
    for _ in range(steps):
        moving.zero_grad()
        (curvature * place**2).sum().div(2).backward()
        moving.step()
        path.append((place[0].item(), place[1].item()))
    return path


OPTIMIZERS: dict[str, Callable[[Sequence[torch.Tensor]], torch.optim.Optimizer]] = {
    "SGD, lr 0.03": lambda p: torch.optim.SGD(p, lr=0.03),
    "classical momentum 0.8, lr 0.03": lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.8),
    "Nesterov momentum 0.8, lr 0.03": lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.8, nesterov=True),
    "Adam, β₁ 0.8, lr 0.5": lambda p: torch.optim.Adam(p, lr=0.5, betas=(0.8, 0.999)),
}


def optimizer_paths(steps: int = 30, steepness: float = 25.0) -> Figure:
    """The same valley and the same start for four optimizers of `torch.optim`."""
    figure, axes = plt.subplots(len(OPTIMIZERS), 1, figsize=(9, 8.4), layout="constrained", sharex=True)
    x, y = np.meshgrid(np.linspace(-10, 4, 200), np.linspace(-2.4, 2.4, 120))
    heights = (x**2 + steepness * y**2) / 2
    for ax, (name, make), hue in zip(axes, OPTIMIZERS.items(), (4, 0, 5, 2), strict=True):
        ax.contour(x, y, heights, levels=np.geomspace(0.3, 90, 9), colors=FADED, linewidths=1)
        path = valley_path(make, steps, steepness=steepness)
        ax.plot(*zip(*path, strict=True), "-o", color=hex_color(hue), markersize=4, linewidth=1.4)
        ax.plot(0, 0, "*", color=INK, markersize=13)
        end = (path[-1][0] ** 2 + path[-1][1] ** 2) ** 0.5
        ax.set(title=f"{name}: after {steps} steps {end:.2f} from the lowest point", ylim=(-2.4, 2.4), xlim=(-10, 4))
        _plain(ax)
        ax.title.set_color(INK)
        ax.tick_params(colors=DIM)
    axes[-1].set_xlabel("along the valley")
    axes[1].set_ylabel("across the valley")
    return figure


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L13_schedules": (
        schedule_chart,
        "Learning rates, momentum and images a step of both recipes: in the warm-up the rate of the biases falls and "
        "the others rise; then the reference recipe falls in a line and the short one along a cosine",
    ),
    "L13_optimizers": (
        optimizer_paths,
        "Four ways from the same start down a narrow valley: plain SGD crawls, classical momentum swings across the "
        "valley and arrives, Nesterov momentum swings less, Adam comes in a curve",
    ),
}
