"""What the two paths of a trained stage carry: feature maps of a photo with its objects outlined."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from yolo_edu.course.figures.diagram import WORK_COLORS
from yolo_edu.course.figures.maps import map_grid


def outlined_maps(maps: Sequence[Tensor], titles: Sequence[str], boxes: Tensor, *, columns: int) -> Figure:
    """`map_grid` with the same boxes drawn on every tile; all tiles show the same part of the photo.

    Args:
        maps: an image (3, h, w) first, then maps (h, w) or further images.
        titles: one a map.
        boxes: (N, 4), corners x1 y1 x2 y2 in pixels of the first image.
        columns: maps a row.
    """
    figure = map_grid(maps, titles, columns=columns)
    for ax, values in zip(figure.axes, maps, strict=False):
        scale = values.shape[-1] / maps[0].shape[-1]
        for x1, y1, x2, y2 in (boxes * scale - 0.5).tolist():  # imshow centers its first cell at 0
            corner, color = (x1, y1), WORK_COLORS["marked"]
            ax.add_patch(Rectangle(corner, x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=1.4))
    return figure
