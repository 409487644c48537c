"""Figures of lesson 12: how a mosaic is laid out, holes of dropout and DropBlock, what each freebie bought."""

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor
from torch.nn.functional import dropout
from torchvision.ops import drop_block2d

from yolo_edu.course.figures.augmentation_photos import PhotoPanel, SceneBoxes, photo_panels, scene_boxes
from yolo_edu.course.figures.diagram import GRAY, INK, WORK_COLORS, canvas, hex_color, label
from yolo_edu.data import Pool
from yolo_edu.warp import lay_out

__all__ = [
    "PhotoPanel",
    "SceneBoxes",
    "drop_masks",
    "freebie_dots",
    "freebie_masks",
    "mosaic_layout",
    "photo_panels",
    "scene_boxes",
]

SIZE = 256  # pixels, of the diagram's training images
PHOTO_SIZES = ((192, 256), (256, 144), (256, 192), (192, 256))  # width, height: long side SIZE
CENTER = (300, 220)  # where the four meet, pixels of the canvas
TINTS = (1, 3, 6, 2)  # colors of the four


def _scale_frame(ax: Axes, left: float, top: float, scale: float, unit: float, **style: Any) -> None:
    """What a warp with this scale cuts out of the canvas: the image's corners, taken back."""
    half = 0.5 / scale * SIZE  # the image is one S wide, from −0.5 to 0.5 around the canvas's middle
    corner = left + (SIZE - half) * unit, top + (SIZE - half) * unit
    ax.add_patch(Rectangle(corner, 2 * half * unit, 2 * half * unit, **{"fill": False, "linewidth": 2} | style))


def _clear_place(x0: int, y0: int, x1: int, y1: int) -> tuple[float, float]:
    """Where words in this rectangle of the canvas stay clear of the dotted frame around its middle."""
    low, high = SIZE // 2, 3 * SIZE // 2
    inside = max(x0, low), max(y0, low), min(x1, high), min(y1, high)
    parts = (inside, (x0, y0, x1, min(y1, low)), (x0, max(y0, high), x1, y1), (x0, y0, min(x1, low), y1))
    a, b, c, d = max((*parts, (max(x0, high), y0, x1, y1)), key=lambda p: min(p[2] - p[0], 1.3 * (p[3] - p[1])))
    return (a + c) / 2, (b + d) / 2


def mosaic_layout(center: tuple[int, int] = CENTER) -> Figure:
    """The canvas of a mosaic with its four photos, and what three scales cut out of it.

    Args:
        center: where the four meet, pixels of the canvas of twice 256.
    """
    members = torch.arange(4)[None]
    sizes = torch.tensor(PHOTO_SIZES)
    pool = Pool(torch.empty(4, 3, SIZE, SIZE), sizes, torch.empty(0, 4), torch.empty(0), torch.zeros(5).long())
    corners = lay_out(members, torch.tensor([center]), pool).corner.tolist()
    figure, ax = canvas(10, 5.3)
    unit, top = 4.1 / (2 * SIZE), 0.72
    for left in (0.5, 5.4):
        ax.add_patch(Rectangle((left, top), 4.1, 4.1, facecolor="#cfcfcf", edgecolor=INK, linewidth=1.2))
        for number, ((x, y), (w, h), tint) in enumerate(zip(corners, PHOTO_SIZES, TINTS, strict=True), start=1):
            x0, y0 = max(x, 0), max(y, 0)
            x1, y1 = min(x + w, 2 * SIZE), min(y + h, 2 * SIZE)
            place = left + x0 * unit, top + y0 * unit
            part = Rectangle(place, (x1 - x0) * unit, (y1 - y0) * unit, facecolor=hex_color(tint), edgecolor=INK)
            part.set(alpha=0.45 if left < 5 else 0.2, gid=f"photo {number}")
            ax.add_patch(part)
            if left < 5:
                words = f"photo {number}\n{w} × {h}" + ("\n(cut)" if (x1 - x0, y1 - y0) != (w, h) else "")
                x, y = _clear_place(x0, y0, x1, y1)
                label(ax, left + x * unit, top + y * unit, words, fontsize=11)
    label(ax, 0.5, 0.36, f"canvas of {2 * SIZE} × {2 * SIZE}, gray where no photo lies", ha="left", fontsize=12)
    _scale_frame(ax, 0.5, top, 1, unit, edgecolor=INK, linestyle=(0, (2, 2)), linewidth=1.4)
    mark = 0.5 + center[0] * unit, top + center[1] * unit
    ax.plot(*mark, marker="X", markersize=13, color=WORK_COLORS["marked"], markeredgecolor="white", gid="center")
    words = f"✕ the center ({center[0]}, {center[1]}): anywhere in the dotted square"
    label(ax, 0.5, 5.08, words, ha="left", fontsize=11, parse_math=False)
    label(ax, 5.4, 0.36, f"what becomes the image of {SIZE} × {SIZE}", ha="left", fontsize=12)
    styles: Mapping[float, tuple[str, Any, str]] = {
        0.5: (hex_color(4), "-", "all of it"),
        1.0: (INK, (0, (2, 2)), "the middle"),
        1.5: (WORK_COLORS["marked"], (0, (6, 2)), "less"),
    }
    for scale, (color, line, _) in styles.items():
        _scale_frame(ax, 5.4, top, scale, unit, edgecolor=color, linestyle=line)
        x, y = 5.4 + (SIZE - 0.5 / scale * SIZE) * unit, top + (SIZE - 0.5 / scale * SIZE) * unit
        text = f"scale {scale:g}: {SIZE / scale:.0f} × {SIZE / scale:.0f}"
        background = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
        if scale > 1:  # too narrow for its words: below it, in the middle
            label(
                ax, 5.4 + SIZE * unit, top + (SIZE + 0.5 / scale * SIZE) * unit + 0.17, text, color=color, fontsize=11
            )
            continue
        label(ax, x + 0.1, y + 0.18, text, ha="left", color=color, fontsize=11, bbox=background)
    label(ax, 5.4, 5.08, "before the shift of up to a tenth of the image", ha="left", fontsize=11)
    return figure


# --- DropBlock ------------------------------------------------------------------------------------------


def drop_masks(side: int = 20, p: float = 0.15, block: int = 5, seed: int = 2) -> dict[str, Tensor]:
    """What stays of a map of side × side cells: (side, side) bool by dropout and by DropBlock, from torch's own.

    Args:
        side: cells.
        p: the share that shall be dropped.
        block: side of a DropBlock hole in cells.
        seed: of chance, which is left as it was.
    """
    ones = torch.ones(1, 1, side, side)
    masks = {}
    with torch.random.fork_rng(devices=[]):
        for name, drop in (("dropout", dropout), ("DropBlock", None)):
            torch.manual_seed(seed)
            result = drop(ones, p) if drop else drop_block2d(ones, p, block)
            masks[name] = result[0, 0] > 0
    return masks


def freebie_masks() -> Figure:
    """Holes of dropout beside holes of DropBlock, same share, same map."""
    side, p, block = 20, 0.15, 5
    figure, ax = canvas(8.4, 4.6)
    unit, top = 3.7 / side, 0.7
    titles = {"dropout": f"dropout, p = {p:g}", "DropBlock": f"DropBlock, p = {p:g}, blocks of {block} × {block}"}
    for left, (name, mask) in zip((0.35, 4.35), drop_masks(side, p, block).items(), strict=True):
        ax.add_patch(Rectangle((left, top), 3.7, 3.7, facecolor=hex_color(1), edgecolor=INK, alpha=0.55))
        for row, column in (~mask).nonzero().tolist():
            hole = Rectangle((left + column * unit, top + row * unit), unit, unit, facecolor=INK, edgecolor="white")
            hole.set(linewidth=0.5, gid=name)
            ax.add_patch(hole)
        words = f"{titles[name]}\n{int((~mask).sum())} of {mask.numel()} cells are zero"
        label(ax, left, 0.35, words, ha="left", fontsize=12)
    return figure


# --- what each freebie bought ---------------------------------------------------------------------------

SCORES = {"map50": "mAP50", "map": "mAP50-95"}


def freebie_dots(measured: Mapping[str, Any]) -> Figure:
    """Every run of the ablation a dot, by seed, in two measures; the band is the range of the runs with nothing.

    Args:
        measured: what `benchmarks/freebies.py` wrote.
    """
    runs = measured["runs"]
    ways = list(dict.fromkeys(run["way"] for run in runs))
    seeds = sorted({run["seed"] for run in runs})
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.42 * len(ways) + 1.3), layout="constrained", sharey=True)
    markers = "os^Dv"
    for ax, (score, name) in zip(axes, SCORES.items(), strict=True):
        nothing = [run[score] for run in runs if run["way"] == ways[0]]
        ax.axvspan(min(nothing), max(nothing), color=GRAY, alpha=0.3, linewidth=0, label=f"range of “{ways[0]}”")
        for order, (seed, marker, color) in enumerate(zip(seeds, markers, (4, 5, 2, 0, 6), strict=False)):
            off = 0.2 * (order - (len(seeds) - 1) / 2)  # rows, so that no marker hides another
            own = [(run[score], ways.index(run["way"]) + off) for run in runs if run["seed"] == seed]
            style = {"color": hex_color(color), "markeredgecolor": INK, "markersize": 7, "label": f"seed {seed}"}
            ax.plot(*zip(*own, strict=True), marker, **style)
        ax.set_xlabel(name, fontsize=12)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_yticks(range(len(ways)), ways, fontsize=11)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#e6e6e6")
        ax.set_axisbelow(True)
    axes[0].invert_yaxis()
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=11)
    plt.close(figure)
    return figure


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L12_mosaic": (
        mosaic_layout,
        "Left: a canvas of 512 pixels, four photos around a center that lies in the dotted middle square; two are cut "
        "at the border, the rest is gray. Right: frames around the middle: scale 0.5 takes the whole canvas, scale 1 "
        "the middle half, scale 1.5 less.",
    ),
    "L12_dropblock": (
        freebie_masks,
        "Two maps of 20 by 20 cells: dropout makes single holes everywhere, DropBlock a few connected holes of 5 by 5 "
        "cells, at about the same share of zeros",
    ),
}
