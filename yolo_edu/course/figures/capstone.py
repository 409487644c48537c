"""Figures of lesson 16: what training moved, row by row; what is left on the results page; slimming."""

import base64
import html
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image  # matplotlib brings it
from torch import Tensor, nn

from yolo_edu.assets import shipped_weights
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course.figures.capstone_measure import (
    PARTS,
    channel_ranges,
    linear_probe,
    map_correlation,
    norms_of,
    pair_share,
    part_changes,
    random_masks,
    slimmed,
)
from yolo_edu.course.figures.diagram import DIM, FADED, INK, hex_color
from yolo_edu.course.figures.display import img_tag, pixels_url
from yolo_edu.files import read_image
from yolo_edu.model import YOLOv5v6

__all__ = [
    "channel_ranges",
    "folded_table",
    "gammas_and_betas",
    "linear_probe",
    "map_correlation",
    "moved_rows",
    "moved_table",
    "norms_of",
    "pair_share",
    "part_changes",
    "parts_over_epochs",
    "random_masks",
    "saved_picture",
    "slimmed",
    "slimming_chart",
]

TEXT = 11.5  # points
LOOKS = ((4, "-", "o"), (5, "--", "v"), (2, "-.", "^"), (0, ":", "s"))  # color number, dashes, marker
COLORS_OF_A_DRAWING = 64
TABLE_HEIGHT = 420  # pixels of the box that a table scrolls in


def _plain(ax: Axes, title: str = "", x: str = "", y: str = "") -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=TEXT)
    ax.set_title(title, fontsize=TEXT + 1)
    ax.set_xlabel(x, fontsize=TEXT)
    ax.set_ylabel(y, fontsize=TEXT)


def saved_picture(path: Path, alt: str, *, width: int = 900, photo: bool = True) -> None:
    """Show a picture that a run has saved, no wider than `width` pixels; a drawing (not `photo`) as PNG."""
    pixels = read_image(path).permute(1, 2, 0).numpy()
    if pixels.shape[1] > width:
        size = width, round(width * pixels.shape[0] / pixels.shape[1])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    source = pixels_url(pixels) if photo else _drawing_url(pixels)
    display({"text/html": img_tag(source, alt), "text/plain": alt}, raw=True)


def _drawing_url(pixels: NDArray[np.uint8]) -> str:
    """(H, W, 3) RGB of few colors as an address that needs no file."""
    file = io.BytesIO()
    Image.fromarray(pixels).quantize(COLORS_OF_A_DRAWING, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


# --- while it trains ------------------------------------------------------------------------------------


def parts_over_epochs(changes: Mapping[int, Mapping[str, float]]) -> Figure:
    """How far backbone, neck and head are from their start, epoch by epoch.

    Args:
        changes: epoch → what `part_changes` returned.
    """
    figure, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
    for (hue, dashes, marker), part in zip(LOOKS, PARTS, strict=False):
        values = [changes[epoch][part] for epoch in changes]
        ax.plot(list(changes), values, linestyle=dashes, marker=marker, color=hex_color(hue), ms=5, label=part)
    _plain(ax, "distance of the convolution weights from their start", "epoch", "‖w − w₀‖ / ‖w₀‖")
    ax.set(xlim=(0, None), ylim=(0, None))
    ax.legend(frameon=False, fontsize=TEXT)
    return figure


# --- the table, before and after ------------------------------------------------------------------------


def _change(before: Tensor, after: Tensor) -> float:
    start = before.norm().item()
    return (after - before).norm().item() / start if start else math.inf


def moved_rows(before: nn.Module | None = None, after: nn.Module | None = None) -> Figure:
    """The relative change of every convolution and every γ over the number of its row, and β's own size.

    Args:
        before, after: the same architecture; None: a fresh network and the shipped one.
    """
    before, after = _pair(before, after)
    start = {name: p.detach().cpu() for name, p in before.named_parameters()}
    norms = {f"{name}.{kind}" for name in norms_of(after) for kind in ("weight", "bias")}
    kinds: dict[str, list[tuple[int, float]]] = {"convolution": [], "γ": [], "β": [], "prediction": []}
    for row, (name, p) in enumerate(after.named_parameters()):
        now = p.detach().cpu()
        if name in norms and name.endswith("bias"):
            kinds["β"].append((row, now.square().mean().sqrt().item()))  # it started at 0
        else:
            kind = "γ" if name in norms else "convolution" if f"{name[:-12]}.bn.weight" in norms else "prediction"
            kinds[kind].append((row, _change(start[name], now)))
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 5.6), layout="constrained", sharex=True)
    for (hue, _, marker), kind in zip((LOOKS[0], LOOKS[1], LOOKS[2]), ("convolution", "γ", "prediction"), strict=True):
        if kinds[kind]:
            ax_points = list(zip(*kinds[kind], strict=True))
            words = "convolution weights" if kind == "convolution" else "last convolutions and their biases"
            top.scatter(*ax_points, color=hex_color(hue), marker=marker, s=30, label="γ" if kind == "γ" else words)
    bottom.scatter(*zip(*kinds["β"], strict=True), color=hex_color(0), marker="s", s=24, label="β")
    _plain(top, "how far each row moved: ‖w − w₀‖ / ‖w₀‖")
    _plain(bottom, "β began at 0; its size now (root mean square)", "row of the parameter table")
    top.set_ylim(0, None)
    bottom.set_ylim(0, None)
    top.legend(frameon=False, fontsize=TEXT, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.0))
    top.set_ylim(0, 1.25 * top.get_ylim()[1])
    return figure


def gammas_and_betas(model: nn.Module | None = None) -> Figure:
    """Every γ and β of a network, a column of points for each BatchNorm; lines where they began.

    Args:
        model: None: the shipped one.
    """
    model = load_checkpoint(shipped_weights("cards_n")) if model is None else model
    norms = list(norms_of(model).values())
    figure, axes = plt.subplots(2, 1, figsize=(10, 5.4), layout="constrained", sharex=True)
    for ax, kind, start, hue in zip(axes, ("weight", "bias"), (1.0, 0.0), (4, 5), strict=True):
        for column, norm in enumerate(norms):
            values = getattr(norm, kind).detach().cpu()
            ax.scatter([column] * len(values), values, s=7, color=hex_color(hue), alpha=0.35, linewidths=0)
            ax.plot(column, values.median().item(), marker="_", ms=9, mew=2, color=INK)
        ax.axhline(start, color=DIM, linewidth=1, linestyle="--")
        name = "γ, the scale of each channel" if kind == "weight" else "β, the shift of each channel"
        _plain(ax, f"{name}; dash: where it began, bar: median of the layer")
    axes[1].set_xlabel("number of the BatchNorm, from the first to the last", fontsize=TEXT)
    return figure


def _pair(before: nn.Module | None, after: nn.Module | None) -> tuple[nn.Module, nn.Module]:
    if after is None:
        after = load_checkpoint(shipped_weights("cards_n"))
    if before is None:
        torch.manual_seed(0)
        before = YOLOv5v6("n", 5)
    return before, after


_STYLE = """<style>
.moved-rows {font-size: 12px !important; margin: 0 !important}
.moved-rows td, .moved-rows th {padding: 2px 6px !important; white-space: nowrap; text-align: right}
.moved-rows tr > :nth-child(2) {text-align: left !important}
.moved-rows thead th {position: sticky; top: 0; background: #f6f6f6; color: #1c1c1c}
</style>"""
_HEADS = ("layer", "name", "parameters", "shape", "mu before", "mu after", "sigma before", "sigma after", "change")


def moved_table(before: nn.Module, after: nn.Module, *, caption: str) -> HTML:
    """The article's columns, mean and deviation before and after, and the relative change, in a table to scroll.

    Args:
        before, after: the same architecture.
        caption: of the table, plain text.
    """
    lines = []
    pairs = zip(before.named_parameters(), after.parameters(), strict=True)
    for row, ((name, first), second) in enumerate(pairs):
        w0, w = first.detach().cpu().float(), second.detach().cpu().float()
        change = _change(w0, w)
        numbers = [f"{x:.3g}" for x in (w0.mean(), w.mean(), w0.std(), w.std())]
        shape = "×".join(map(str, w.shape))
        cells = (name, f"{w.numel():,}", shape, *numbers, f"{change:.2f}" if change < math.inf else "was 0")
        body = "".join(f"<td>{html.escape(cell).replace('-', '−')}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{row}</th>{body}</tr>')
    heads = "".join(f'<th scope="col">{name}</th>' for name in _HEADS)
    words = html.escape(caption)
    return HTML(
        f'{_STYLE}<div tabindex="0" role="region" aria-label="{words}" '
        f'style="max-height:{TABLE_HEIGHT}px;overflow:auto;border:1px solid #9a9a9a"><table class="moved-rows">'
        f'<caption style="text-align:left;padding:4px">{words}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def folded_table(text: str, *, first: int = 14, last: int = 10) -> HTML:
    """A long printed table: its head and `first` rows, the middle folded, its `last` rows.

    Args:
        text: one line a row, the first one the head.
    """
    lines = text.split("\n")
    parts = lines[: 1 + first], lines[1 + first : len(lines) - last], lines[len(lines) - last :]
    top, middle, bottom = (html.escape("\n".join(part)) for part in parts)
    style = 'style="font-family:monospace;font-size:11px;line-height:1.25;margin:0;overflow-x:auto"'
    return HTML(
        f"<pre {style}>{top}</pre><details><summary>{len(parts[1])} more rows</summary><pre {style}>{middle}</pre>"
        f"</details><pre {style}>{bottom}</pre>"
    )


# --- slimming -------------------------------------------------------------------------------------------


def slimming_chart(
    panels: Mapping[str, tuple[float, Mapping[float, float], Mapping[float, Sequence[float]]]],
) -> Figure:
    """mAP50 when channels are silenced: those with the smallest |γ|, and as many drawn by lot.

    Args:
        panels: title → mAP50 of the whole network, share → mAP50 without the smallest, share → mAP50 of each draw.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(10, 3.8), layout="constrained", squeeze=False, sharey=True)
    for ax, (title, (whole, smallest, drawn)) in zip(axes.flat, panels.items(), strict=True):
        shares = [0.0, *smallest]
        ax.plot([100 * s for s in shares], [whole, *smallest.values()], "-o", color=hex_color(4), label="smallest |γ|")
        means = [whole, *(sum(values) / len(values) for values in drawn.values())]
        ax.plot([0.0, *(100 * s for s in drawn)], means, "--v", color=hex_color(5), label="by lot, mean")
        for share, values in drawn.items():
            ax.plot([100 * share] * len(values), values, ".", color=FADED, ms=9, zorder=0)
        _plain(ax, title, "channels silenced, %")
        ax.set(ylim=(0, 1.02))
    axes[0, 0].set_ylabel("mAP50", fontsize=TEXT)
    axes[0, -1].legend(frameon=False, fontsize=TEXT, loc="upper right")
    return figure


# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "L16_moved_rows": (
        moved_rows,
        "For every row of the parameter table how far training moved it: convolutions most, the scales of BatchNorm "
        "less; below, the size of every shift, all of which began at 0",
    ),
    "L16_gammas": (
        gammas_and_betas,
        "Every scale and every shift of the shipped network, a column a BatchNorm: scales spread around 1, where they "
        "began, shifts around 0",
    ),
}
