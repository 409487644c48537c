"""Arrays in, pictures out: boxes with their names, grids. Knows no model.

Two painters share colors, captions and placing: matplotlib for figures (`draw_boxes`), and OpenCV for
thousands of pictures a minute (`annotate`). A class is never told by its color alone: its name always
stands beside the box.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray
from torch import Tensor

from yolo_edu.boxes import cxcywh_to_xyxy, scale_boxes
from yolo_edu.caption import Color, caption, class_color, place_label, text_color
from yolo_edu.data import Batch, Sample
from yolo_edu.nms import Detections

Array = Tensor | NDArray | Sequence
BATCH = 16  # pictures of a batch that are shown

# --- OpenCV: annotated copies ---------------------------------------------------------------------------


def annotate(image: NDArray[np.uint8], detections: Detections, names: Sequence[str]) -> NDArray[np.uint8]:
    """Draw detections on a copy of an image.

    Args:
        image: uint8 (H, W, 3) RGB; may be a view, is not changed.
        detections: boxes in pixels of this image.
        names: of the classes.

    Returns:
        uint8 (H, W, 3) RGB, contiguous.
    """
    canvas = np.array(image, dtype=np.uint8, order="C")
    height, width = canvas.shape[:2]
    line = 2 * round((width + height) / 1200) + 1  # odd: as wide to the left of its pixels as to the right
    boxes = np.rint(_array(detections.boxes).reshape(-1, 4)).astype(int)
    boxes = np.clip(boxes, 0, [width - 1, height - 1] * 2)  # a line on the border stays visible
    labels, scores = _array(detections.labels).astype(int).tolist(), _array(detections.scores).tolist()
    colors = [class_color(k) for k in labels]
    # From the last to the first: the surest detection ends on top. All boxes before any text.
    for (x1, y1, x2, y2), color in reversed(list(zip(boxes.tolist(), colors, strict=True))):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), text_color(color), line + 2)  # seen on any background
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, line)
    texts = [caption(k, score, names) for k, score in zip(labels, scores, strict=True)]
    pixels = _text_height(texts, width, height)
    taken: list[tuple[float, float, float, float]] = []
    patches = []
    for box, text, color in zip(boxes.tolist(), texts, colors, strict=True):
        patch = _label_patch(text, pixels, color)
        h, w = patch.shape[:2]
        x, y = (int(v) for v in place_label(box, (w, h), taken, (width, height)))
        taken.append((x, y, x + w, y + h))
        patches.append((x, y, patch))
    for x, y, patch in reversed(patches):
        room = canvas[y : y + patch.shape[0], x : x + patch.shape[1]]
        room[:] = patch[: room.shape[0], : room.shape[1]]
    return canvas


def _text_height(texts: Sequence[str], width: int, height: int) -> int:
    """Pixels: in proportion to the picture, but small enough for the longest label, and never unreadable."""
    largest = max(round((width + height) / 90), 12)
    fitting = (p for p in range(largest, 8, -1) if all(_label_width(text, p) <= width for text in texts))
    return next(fitting, 8)


def _label_width(text: str, pixels: int) -> int:
    return _text_mask(text, pixels).shape[1] + 2 * round(pixels * 0.3)


def _label_patch(text: str, pixels: int, color: Color) -> NDArray[np.uint8]:
    """(h, w, 3) RGB: the text on its color."""
    edge = round(pixels * 0.3)
    cover = np.pad(_text_mask(text, pixels), ((edge // 2, edge // 2), (edge, edge)))[..., None] / 255
    mixed = cover * text_color(color) + (1 - cover) * np.array(color)
    return np.rint(mixed).astype(np.uint8)


@lru_cache(maxsize=512)  # the same names and scores again and again; thousands would let a long run grow by 25 MiB
def _text_mask(text: str, pixels: int) -> NDArray[np.uint8]:
    """(h, w) antialiased coverage, 0 to 255, of a line of text; h depends on `pixels` only.

    Matplotlib's font and not cv2.putText: that has no letters beyond ASCII in OpenCV 4, and other shapes
    and sizes in OpenCV 5.
    """
    font = get_font([findfont("DejaVu Sans")])
    font.set_size(pixels, 72)

    def ink(string: str) -> tuple[NDArray[np.uint8], int]:
        """The inked rectangle, and how many of its rows lie above the baseline."""
        font.set_text(string)
        font.draw_glyphs_to_bitmap(antialiased=True)
        bitmap = np.array(font.get_image(), dtype=np.uint8)
        return bitmap, len(bitmap) - round(font.get_descent() / 64)

    tallest, baseline = ink("Áy")
    bitmap, above = ink(text)
    mask = np.zeros((len(tallest), bitmap.shape[1]), np.uint8)
    top = max(baseline - above, 0)
    rows = bitmap[max(above - baseline, 0) :][: len(mask) - top]  # scripts taller than Á lose their tips
    mask[top : top + len(rows)] = rows
    return mask


# --- matplotlib: figures --------------------------------------------------------------------------------


def show_image(ax: Axes, image: Tensor | NDArray) -> None:
    """Show an image without ticks; a pixel i covers [i, i + 1), so boxes in pixels fit exactly.

    Args:
        ax: where.
        image: (3, H, W) tensor or (H, W, 3) array, RGB; uint8, or float in [0, 1].
    """
    pixels = _array(image.permute(1, 2, 0) if isinstance(image, Tensor) else image)
    height, width = pixels.shape[:2]
    ax.imshow(pixels, extent=(0, width, height, 0))
    ax.set_axis_off()


def draw_boxes(
    ax: Axes,
    boxes: Array,
    labels: Array | None = None,
    scores: Array | None = None,
    *,
    names: Sequence[str] = (),
    dashed: bool = False,
) -> None:
    """Draw boxes with their captions over an image that `show_image` put there.

    Args:
        ax: where; its limits are the picture.
        boxes: (N, 4) xyxy pixels.
        labels: (N,) class numbers; without them the boxes are one color and bear no caption.
        scores: (N,) in [0, 1], written behind the name.
        names: of the classes; the number is written where there is none.
        dashed: dashed lines, to tell one set of boxes from another.
    """
    corners = _array(boxes).reshape(-1, 4).tolist()
    numbers = [0] * len(corners) if labels is None else _array(labels).astype(int).tolist()
    confidences = [None] * len(corners) if scores is None else _array(scores).tolist()
    left, right = sorted(ax.get_xlim())
    top, bottom = sorted(ax.get_ylim())
    ax.apply_aspect()  # else the axes has not yet the size at which the captions are measured
    to_data = ax.transData.inverted()
    renderer = FigureCanvasAgg(ax.get_figure(root=True)).get_renderer()
    taken: list[tuple[float, float, float, float]] = []
    for order, (box, k, score) in enumerate(zip(corners, numbers, confidences, strict=True)):
        rgb = class_color(k)
        color, contrast = [c / 255 for c in rgb], [c / 255 for c in text_color(rgb)]
        x1, y1, x2, y2 = box
        outline = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=1.6)
        outline.set_linestyle((0, (4, 2)) if dashed else "-")
        outline.set_path_effects([Stroke(linewidth=2.8, foreground=contrast), Normal()])
        outline.set_zorder(3 - order / (len(corners) + 1))  # the first, surest one on top
        ax.add_patch(outline)
        if labels is None:
            continue
        words = caption(k, score, names)
        # A name with two dollar signs is no formula.
        text = ax.text(0, 0, words, fontsize=6.5, color=contrast, va="top", clip_on=True, parse_math=False)
        text.set_zorder(outline.get_zorder() + 2)
        text.set_bbox({"facecolor": color, "edgecolor": "none", "boxstyle": "square,pad=0.15"})
        patch = text.get_bbox_patch()
        text.update_bbox_position_size(renderer)
        assert patch is not None
        (a, b), (c, d) = to_data.transform(patch.get_window_extent(renderer).get_points())
        w, h = abs(c - a), abs(d - b)
        x, y = place_label((x1 - left, y1 - top, x2 - left, y2 - top), (w, h), taken, (right - left, bottom - top))
        taken.append((x, y, x + w, y + h))
        # The padding lies outside the text's own corner (0, 0).
        text.set_position((left + x - min(a, c), top + y - min(b, d)))


def draw_grid(ax: Axes, width: int, height: int, stride: int) -> None:
    """Draw the borders of the cells that a detection level of this stride divides a picture into."""
    columns, rows = range(0, width + 1, stride), range(0, height + 1, stride)
    lines = [[(x, 0), (x, height)] for x in columns] + [[(0, y), (width, y)] for y in rows]
    grid = LineCollection(lines, colors="white", linewidths=0.6, zorder=2)
    grid.set_path_effects([Stroke(linewidth=1.4, foreground="black", alpha=0.5), Normal()])
    ax.add_collection(grid, autolim=False)


def side_by_side(
    samples: Sequence[Sample],
    detections: Sequence[Detections],
    names: Sequence[str],
    *,
    columns: int = 2,
) -> Figure:
    """Truth (left, dashed) beside detections (right) of every sample, `columns` pairs a row.

    Args:
        samples: images with their true boxes.
        detections: of the same images, in their pixels.
        names: of the classes.
        columns: pairs side by side.
    """
    columns = min(columns, len(samples))
    count = -(-len(samples) // columns)
    aspects = [sample.image.shape[1] / sample.image.shape[2] for sample in samples]
    tallest = [max(aspects[row * columns : (row + 1) * columns]) for row in range(count)]
    side, title = 2.8, 0.3  # inches: width of a picture, room above it
    height = side * sum(tallest) + title
    figure, axes = plt.subplots(
        count, 2 * columns, figsize=(side * 2 * columns, height), height_ratios=tallest, squeeze=False
    )
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - title / height, wspace=0.03, hspace=0.03)
    for ax in axes.flat:
        ax.set_axis_off()
        ax.set_anchor("N")
    for ax, text in zip(axes[0], ["truth", "detected"] * columns, strict=True):
        ax.set_title(text, fontsize=9)
    pairs = axes.reshape(-1, 2)
    for (truth, found), sample, result in zip(pairs, samples, detections, strict=False):
        show_image(truth, sample.image)
        draw_boxes(truth, sample.boxes, sample.labels, names=names, dashed=True)
        show_image(found, sample.image)
        draw_boxes(found, result.boxes, result.labels, result.scores, names=names)
    plt.close(figure)  # a notebook shows a figure that is returned; an open one it would show twice
    return figure


def batch_chart(batch: Batch, names: Sequence[str], *, columns: int = 4) -> Figure:
    """What the network is trained on: the first 16 pictures of a batch with their boxes.

    Args:
        batch: at least one picture.
        names: of the classes.
        columns: pictures a row.
    """
    images = batch.images[:BATCH].detach().cpu().float().clamp(0, 1)
    targets = batch.targets.detach().cpu().float()
    height, width = images.shape[2:]
    columns = min(columns, len(images))
    count = -(-len(images) // columns)
    side = 2.6  # inches: width of a picture
    size = side * columns, side * count * height / width
    figure, axes = plt.subplots(count, columns, figsize=size, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.995, wspace=0.02, hspace=0.02)
    for ax in axes.flat:
        ax.set_axis_off()
    for index, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        own = targets[targets[:, 0] == index]
        show_image(ax, image)
        draw_boxes(ax, cxcywh_to_xyxy(scale_boxes(own[:, 2:], width, height)), own[:, 1], names=names)
    plt.close(figure)
    return figure


def _array(values: Array) -> NDArray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
