"""Things to play with in lesson 05: what a max-pool of any width and stride does to a map."""

import cv2
import ipywidgets
import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from yolo_edu.caption import class_color
from yolo_edu.course.figures.display import img_tag, pixels_url
from yolo_edu.course.figures.maps import COLORS
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.receptive import Reach

__all__ = ["pooling_explorer"]

PICTURE = 260  # pixels of a map's longer side
PALETTE = (matplotlib.colormaps[COLORS](np.arange(256))[:, :3] * 255).round().astype(np.uint8)  # (256, 3) RGB
WIDE = ipywidgets.Layout(width="330px")


def pooling_explorer(
    features: Tensor, *, name: str = "a trained channel", kernel: int = 5, repeats: int = 1
) -> Explorer:
    """Max-pool a map: how wide, how many chained, at which stride.

    Args:
        features: (h, w), one channel of live features.
        name: of it in the menu of maps; two drawn maps of the same size stand beside it.
        kernel, repeats: where the sliders start; kernel is odd, at most 21, repeats at most 4.

    Returns:
        Its controls "source", "kernel", "repeats" and "stride" (1, or 0: as wide as the kernel), and its view.
    """
    maps = {name: features.detach().cpu().float()} | _drawn_maps(*features.shape)

    def page(source: str, kernel: int, repeats: int, stride: int) -> str:
        x = maps[source]
        return _page(x, kernel, repeats, stride or kernel)

    style = {"description_width": "initial"}
    controls = {
        "source": ipywidgets.Dropdown(options=list(maps), value=name, description="map", layout=WIDE),
        "kernel": ipywidgets.IntSlider(kernel, 1, 21, 2, description="kernel", layout=WIDE),
        "repeats": ipywidgets.IntSlider(repeats, 1, 4, 1, description="chained pools", style=style, layout=WIDE),
        "stride": ipywidgets.ToggleButtons(
            options=[("1, as in YOLO", 1), ("as wide as the kernel", 0)], value=1, description="stride"
        ),
    }
    return explore(controls, page)


def _drawn_maps(height: int, width: int) -> dict[str, Tensor]:
    """One active cell, and four of them, on maps of zeros."""
    one, four = torch.zeros(2, height, width)
    one[height // 2, width // 2] = 1
    for row, column in ((0.1, 0.15), (0.25, 0.8), (0.7, 0.3), (0.75, 0.45)):
        four[int(row * height), int(column * width)] = 1
    return {"one active cell": one, "four active cells": four}


def _page(x: Tensor, kernel: int, repeats: int, stride: int) -> str:
    """Input and output side by side, one output cell and its window outlined, and a sentence with the numbers."""
    pooled, rows, columns = x[None, None], *(Reach(1, ((0, 0),)),) * 2
    for _ in range(repeats):
        pooled = F.max_pool2d(pooled, kernel, stride, kernel // 2)
        rows, columns = (reach.window(kernel, stride, kernel // 2) for reach in (rows, columns))
    y = pooled[0, 0]
    limits = float(x.min()), float(x.max())
    threshold = sum(limits) / 2
    active_in, active_out = int((x > threshold).sum()), int((y > threshold).sum())
    cell = y.shape[0] // 2, y.shape[1] // 2
    (top, bottom), (left, right) = rows.at(cell[0]), columns.at(cell[1])
    height, width = x.shape
    window = max(top, 0), max(left, 0), min(bottom, height - 1), min(right, width - 1)
    before, after = (" × ".join(map(str, z.shape)) for z in (x, y))
    alt_in = f"The input, {before} cells, {active_in} of them active, a window of {rows.size} × {rows.size} outlined"
    alt_out = f"The output, {after} cells, {active_out} of them active"
    times = "a max-pool" if repeats == 1 else f"{repeats} chained max-pools"
    cut = " Part of the outlined one lies outside the map and counts for nothing." if _cut(window, rows.size) else ""
    words = (
        f"{times[0].upper()}{times[1:]} of {kernel} × {kernel} at stride {stride}: an output cell is the maximum of a "
        f"window of <b>{rows.size} × {rows.size}</b> input cells.{cut} The grid: {before} → <b>{after}</b>. Active "
        f"cells (above the middle between the input's least and greatest value): {active_in} of {x.numel()} → "
        f"<b>{active_out}</b> of {y.numel()}."
    )
    pictures = _picture(x, limits, window, alt_in, "input") + _picture(y, limits, (*cell, *cell), alt_out, "output")
    return f'<div style="display:flex;flex-wrap:wrap;gap:16px">{pictures}</div><p>{words}</p>'


def _cut(window: tuple[int, int, int, int], size: int) -> bool:
    top, left, bottom, right = window
    return bottom - top + 1 < size or right - left + 1 < size


def _picture(
    values: Tensor, limits: tuple[float, float], outlined: tuple[int, int, int, int], alt: str, title: str
) -> str:
    """(h, w) as an HTML image; `outlined`: first row, first column, last row, last column."""
    low, high = limits
    levels = ((values - low) / max(high - low, 1e-9) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    rows, columns = levels.shape
    scale = PICTURE / max(rows, columns)
    size = round(columns * scale), round(rows * scale)
    pixels = cv2.resize(PALETTE[levels], size, interpolation=cv2.INTER_NEAREST)
    top, left, bottom, right = outlined
    corner = round(left * scale) + 1, round(top * scale) + 1
    opposite = round((right + 1) * scale) - 2, round((bottom + 1) * scale) - 2
    cv2.rectangle(pixels, corner, opposite, (255, 255, 255), 4)
    cv2.rectangle(pixels, corner, opposite, class_color(5), 2)
    image = img_tag(pixels_url(pixels, "png"), alt, "max-width:100%;margin:0")
    return f"<div>{title}<br>{image}</div>"
