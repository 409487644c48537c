"""Figures of lesson 12 that are made of photos: panels with boxes, and which boxes of a warped scene stay labels."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from torch import Tensor

from yolo_edu.augment import AugmentSettings, Plan, Scenes
from yolo_edu.boxes import area
from yolo_edu.data import Pool
from yolo_edu.draw import draw_boxes, show_image
from yolo_edu.warp import lay_out, scene_labels, warp_boxes, worth_keeping

__all__ = ["PhotoPanel", "SceneBoxes", "photo_panels", "scene_boxes"]


class PhotoPanel(NamedTuple):
    """One picture with what is drawn over it; all boxes (N, 4) xyxy in its pixels."""

    title: str
    image: Tensor  # (3, H, W), uint8 or float in [0, 1]
    boxes: Tensor | None = None  # solid
    labels: Tensor | None = None  # of the solid ones; None: no names
    dashed: Tensor | None = None  # white, without names


def photo_panels(
    panels: Sequence[PhotoPanel], names: Sequence[str] = (), *, columns: int = 4, side: float = 1.75
) -> Figure:
    """Pictures side by side, each with its title above and its boxes on it.

    Args:
        panels: in reading order.
        names: of the classes.
        columns: panels a row.
        side: inches of a panel's width.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    tallest = max(panel.image.shape[1] / panel.image.shape[2] for panel in panels)
    lines = 1 + max(panel.title.count("\n") for panel in panels)
    title = 0.19 * lines
    size = columns * side, rows * (side * tallest + title)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    figure.subplots_adjust(
        0.003, 0.003, 0.997, 1 - title / size[1], wspace=0.03, hspace=title / (side * tallest) + 0.03
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, panel in zip(axes.flat, panels, strict=False):
        show_image(ax, panel.image if panel.image.dtype == torch.uint8 else panel.image.clamp(0, 1))
        ax.set_title(panel.title, fontsize=9, pad=3)
        for x1, y1, x2, y2 in [] if panel.dashed is None else panel.dashed.tolist():
            line = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="white", linewidth=1.6, zorder=4)
            line.set(linestyle=(0, (4, 2)), path_effects=[Stroke(linewidth=3, foreground="black"), Normal()])
            ax.add_patch(line)
        if panel.boxes is not None:
            draw_boxes(ax, panel.boxes, panel.labels, names=names)
    plt.close(figure)
    return figure


class SceneBoxes(NamedTuple):
    """Every box of one scene that is at least partly inside the image, and whether it stays a label."""

    before: Tensor  # (M, 4) xyxy pixels of the canvas, clipped to it
    after: Tensor  # (M, 4) xyxy pixels of the image, clipped to it
    labels: Tensor  # (M,)
    zoom: Tensor  # (M,) how much the warp enlarges areas
    keep: Tensor  # (M,) bool, by the rule of `worth_keeping`
    outside: int  # boxes of the scene's photos of which nothing is inside


def scene_boxes(plan: Plan, pool: Pool, settings: AugmentSettings) -> list[SceneBoxes]:
    """Where a plan takes the boxes of each image's first scene, also those that do not stay labels.

    Args:
        plan: of B images; second scenes are left out.
        pool: the samples it numbers.
        settings: the rule by which boxes stay labels.
    """
    scenes = Scenes.of(plan)
    count = len(plan.members)
    members, centers, matrices = scenes.members[:count], scenes.centers[:count], scenes.matrices[:count]
    all_boxes = scene_labels(lay_out(members, centers, pool), pool)
    result = []
    for image in range(count):
        own = all_boxes.rows(all_boxes.owner == image)
        after = warp_boxes(own.boxes, matrices[own.owner], pool.size)
        zoom = torch.linalg.det(matrices[own.owner][:, :, :2]).abs()
        inside = area(after) > 0
        keep = worth_keeping(
            own.boxes,
            after,
            zoom,
            min_side=settings.min_side,
            min_area=settings.min_area,
            max_aspect=settings.max_aspect,
        )
        before, labels = own.boxes[inside], own.classes[inside]
        result.append(SceneBoxes(before, after[inside], labels, zoom[inside], keep[inside], int((~inside).sum())))
    return result
