"""Curves of training runs in lesson 13: live ones, learning rates side by side, and learning by heart."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from yolo_edu.course.figures.diagram import FADED, hex_color
from yolo_edu.course.figures.display import html_image
from yolo_edu.data import Batch
from yolo_edu.loss import Loss
from yolo_edu.recipe import Row

LOOKS = ((4, "-", "o"), (5, "--", "v"), (2, "-.", "^"), (0, ":", "s"))  # color number, dashes, marker
PARTS = {"box": "box", "objectness": "objectness", "classification": "class"}


def _tidy(ax: Axes, title: str, x: str) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, fontsize=13)
    ax.set_xlabel(x, fontsize=12)
    ax.tick_params(labelsize=11)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _line(ax: Axes, points: Sequence[tuple[float, float]], look: tuple[int, object, str], name: str) -> None:
    if points:
        hue, dashes, marker = look
        x, y = zip(*points, strict=True)
        every = max(len(x) // 8, 1)
        ax.plot(x, y, color=hex_color(hue), linestyle=dashes, marker=marker, markevery=every, ms=5, label=name)


class LiveCurves:
    """Curves of a running training, in one display that is redrawn in place.

    Args:
        epochs: of the whole run.
        every: epochs between two drawings; the last epoch is always drawn.
    """

    def __init__(self, epochs: int, every: int = 2) -> None:
        self.epochs, self.every = epochs, every
        self.handle = display(*self._page([], {}), display_id=True, raw=True)

    def __call__(self, history: Sequence[Row], raw: Mapping[int, float]) -> None:
        """Draw anew if it is time.

        Args:
            history: a row an epoch; evaluated ones have "map50", of the averaged weights.
            raw: epoch → mAP50 of the weights themselves.
        """
        if self.handle is not None and (len(history) % self.every == 0 or len(history) == self.epochs):
            self.handle.update(*self._page(history, raw), raw=True)

    def _page(self, history: Sequence[Row], raw: Mapping[int, float]) -> list[dict[str, str]]:
        alt = self.words(history)
        return [{"text/html": html_image(self.draw(history, raw), alt, dpi=80), "text/plain": alt}]

    def words(self, history: Sequence[Row]) -> str:
        """The picture for those who do not see it."""
        if not history:
            return f"Empty curves: a training of {self.epochs} epochs begins"
        first, last = history[0], history[-1]
        lost = ", ".join(f"{name} {first[key]:.3f} to {last[key]:.3f}" for key, name in PARTS.items())
        found = [f"mAP50 {row['map50']:.2f}" for row in history if "map50" in row][-1:]
        return f"Curves of a training over {len(history)} epochs: " + ", ".join([f"loss {lost}", *found])

    def draw(self, history: Sequence[Row], raw: Mapping[int, float]) -> Figure:
        """Losses, mAP50, learning rate."""
        figure, (loss, quality, rate) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
        for look, (key, name) in zip(LOOKS, PARTS.items(), strict=False):
            _line(loss, [(row["epoch"], row[key]) for row in history], look, name)
        measured = [(row["epoch"], row["map50"]) for row in history if "map50" in row]
        _line(quality, measured, LOOKS[0], "averaged weights")
        _line(quality, sorted(raw.items()), LOOKS[1], "weights themselves")
        _line(rate, [(row["epoch"], row["lr"]) for row in history], LOOKS[2], "learning rate")
        titles = ("training loss, mean of the epoch", "mAP50 on the validation photos", "learning rate")
        for ax, title in zip((loss, quality, rate), titles, strict=True):
            _tidy(ax, title, "epoch")
            ax.set(xlim=(0, self.epochs + 0.5), ylim=(0, None if ax.lines else 1))
            if len(ax.lines) > 1:
                ax.legend(frameon=False, fontsize=11.5)
        return figure


def rate_curves(losses: Mapping[str, Sequence[float]]) -> Figure:
    """Loss over the steps for several learning rates, the end of each line marked with its name.

    Args:
        losses: name → loss of every step; the first four are drawn.
    """
    figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    for look, (name, values) in zip(LOOKS, losses.items(), strict=False):
        _line(ax, [(step, v) for step, v in enumerate(values) if math.isfinite(v)], look, name)
    _tidy(ax, "one batch, learned by heart at four learning rates", "step")
    ax.set_ylabel("loss", fontsize=12)
    top = 1.6 * max(values[0] for values in losses.values())
    ax.set_ylim(0, top)
    for values in losses.values():
        if (peak := max(v for v in values if math.isfinite(v))) > top:  # a leap out of the picture, with its height
            ax.text(values.index(peak) + 0.4, 0.83 * top, f"↑ {peak:.1f}", fontsize=11.5)
    ax.legend(frameon=False, fontsize=11.5, ncols=2, loc="upper right")
    return figure


def settled(model: nn.Module, images: Tensor) -> nn.Module:
    """A copy in evaluation mode whose BatchNorm statistics are those of these images, not a running average.

    Args:
        model: with or without BatchNorm.
        images: (B, 3, H, W).
    """
    twin = copy.deepcopy(model).train()
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the next batch replaces what is there
    with torch.no_grad():
        twin(images)
    return twin.eval()


def losses_on(model: nn.Module, batches: Sequence[Batch], criterion: Callable[[Any, Tensor], Loss]) -> list[float]:
    """Box + objectness + class loss on each of these batches, in the mode in which the model is.

    Args:
        model: images → raw maps.
        batches: images and targets.
        criterion: raw maps, targets → loss.
    """
    with torch.no_grad():
        return [sum(criterion(model(batch.images), batch.targets)[1:]).item() for batch in batches]  # type: ignore[union-attr]


def fit_curves(train: Mapping[int, float], val: Mapping[int, float]) -> Figure:
    """Training and validation loss over the epochs, the lowest validation loss marked.

    Args:
        train, val: epoch → loss.
    """
    figure, ax = plt.subplots(figsize=(9, 3.8), layout="constrained")
    _line(ax, sorted(train.items()), LOOKS[0], "training photos")
    _line(ax, sorted(val.items()), LOOKS[1], "validation photos")
    best = min(val, key=lambda epoch: val[epoch])
    ax.axvline(best, color=FADED, linewidth=1.5, zorder=0)
    top = 1.25 * max(*train.values(), *val.values())
    ax.text(best + 0.3, 0.04 * top, f"lowest validation loss: epoch {best}", fontsize=11.5)
    _tidy(ax, "a network that learns 16 photos by heart", "epoch")
    ax.set_ylabel("loss", fontsize=12)
    ax.set_ylim(0, top)
    ax.legend(frameon=False, fontsize=11.5, loc="upper right", ncols=2)
    return figure
