"""Things to play with in lesson 07: anchors on photos, and the box formula on a photo."""

import html
from collections.abc import Mapping, Sequence

import ipywidgets
import torch
from torch import Tensor

from yolo_edu.anchors import closeness
from yolo_edu.course.figures.diagram import LEVEL_COLORS, WORK_COLORS, hex_color
from yolo_edu.course.figures.display import pixels_url
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.data import Sample
from yolo_edu.model.detect import STRIDES, decode_box

__all__ = ["anchor_explorer", "decode_sliders"]

LONG_SIDE = 480  # CSS pixels of a photo on the page
WIDE = {"description_width": "initial"}


# --- drawing: SVG over a JPEG, a millisecond instead of a matplotlib figure's hundred --------------------


def _picture(source: str, width: float, height: float, shapes: Sequence[str], alt: str) -> str:
    """Shapes in pixels of a width × height picture over the picture."""
    scale = LONG_SIDE / max(width, height)
    return (
        f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * scale:.0f}" height="{height * scale:.0f}" style="max-width:100%;display:block">'
        f'<image href="{source}" width="{width:g}" height="{height:g}" preserveAspectRatio="none"/>'
        f"{''.join(shapes)}</svg>"
    )


def _rectangle(x: float, y: float, w: float, h: float, color: str, *, dash: str = "", line: float = 2) -> str:
    """A rectangle around the center x, y, rimmed in black (a black one in white); its line keeps its width."""
    rim = "#fff" if color == "#000" else "#000"
    place = f'x="{x - w / 2:.2f}" y="{y - h / 2:.2f}" width="{w:.2f}" height="{h:.2f}" fill="none"'
    still = f'vector-effect="non-scaling-stroke" stroke-dasharray="{dash}"'
    return (
        f'<rect {place} stroke="{rim}" stroke-opacity=".65" stroke-width="{line + 2}" {still}/>'
        f'<rect {place} stroke="{color}" stroke-width="{line}" {still}/>'
    )


def _grid(width: int, height: int, stride: int) -> str:
    columns = "".join(f"M{x} 0V{height}" for x in range(0, width + 1, stride))
    rows = "".join(f"M0 {y}H{width}" for y in range(0, height + 1, stride))
    return (
        f'<path d="{columns}{rows}" stroke="#fff" stroke-opacity=".45" stroke-width="1" fill="none" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _text(x: float, y: float, words: str, size: float) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" font-family="sans-serif" font-weight="bold" fill="#fff" '
        f'stroke="#000" stroke-width="{size / 5:.1f}" paint-order="stroke">{html.escape(words)}</text>'
    )


def _anchor_options(anchors: Tensor) -> list[tuple[str, tuple[int, int]]]:
    return [
        (f"{level} · {w:.0f} × {h:.0f}", (index, number))
        for index, (level, shapes) in enumerate(zip(LEVEL_COLORS, anchors.tolist(), strict=True))
        for number, (w, h) in enumerate(shapes)
    ]


# --- the two widgets ------------------------------------------------------------------------------------


def anchor_explorer(
    photos: Mapping[str, Sample],
    anchors: Tensor,
    names: Mapping[str, Sequence[str]],
    *,
    sizes: Sequence[int] = (128, 256, 416, 640),
    start: tuple[int, int] = (1, 1),
    threshold: float = 4.0,
) -> Explorer:
    """Every anchor, to scale, on every object of a photo.

    Args:
        photos: name → photo with its true boxes.
        anchors: (L, A, 2) width, height in pixels of the network's input.
        names: name of a photo → names of its classes.
        sizes: of the network's input: the photo's long side in pixels.
        start: level and number of the anchor shown first.
        threshold: an anchor fits if neither side is off by this factor.

    Returns:
        The controls "photo", "size" and "anchor" (level, number), already shown.
    """
    sources = {name: pixels_url(sample.image.permute(1, 2, 0).numpy()) for name, sample in photos.items()}

    def page(photo: str, size: int, anchor: tuple[int, int]) -> str:
        sample, (index, number) = photos[photo], anchor
        height, width = sample.image.shape[1:]
        scale = size / max(height, width)
        shown_width, shown_height = round(width * scale), round(height * scale)
        boxes = sample.boxes * scale
        w, h = anchors[index, number].tolist()
        level, stride = list(LEVEL_COLORS)[index], STRIDES[index]
        label_sizes = boxes[:, 2:] - boxes[:, :2]
        near = closeness(label_sizes, anchors[index, number][None])[:, 0].tolist()
        shapes, rows = [_grid(shown_width, shown_height, stride)], []
        letters = max(shown_width, shown_height) / 28
        objects = zip(boxes.tolist(), label_sizes.tolist(), sample.labels.tolist(), near, strict=True)
        for count, (box, (bw, bh), label, value) in enumerate(objects, start=1):
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            fits = value > 1 / threshold
            shapes.append(_rectangle(x, y, bw, bh, "#fff", dash="" if fits else "3 3", line=1.5))
            shapes.append(_rectangle(x, y, w, h, LEVEL_COLORS[level] if fits else "#9a9a9a", dash="7 4"))
            shapes.append(_text(box[0] + letters / 4, box[1] + letters, str(count), letters))
            rows.append(
                f"<tr><td>{count} {html.escape(names[photo][label])}</td><td>{bw:.0f} × {bh:.0f}</td>"
                f"<td>{bw / w:.2f}</td><td>{bh / h:.2f}</td><td>{value:.2f}</td><td>{'yes' if fits else 'no'}</td></tr>"
            )
        fitting = sum(value > 1 / threshold for value in near)
        best = max(near, default=0.0)
        words = f"anchor {level} {w:.0f} × {h:.0f}: fits {fitting} of {len(near)} objects, closeness at most {best:.2f}"
        head = "<tr><th>object</th><th>its size, px</th><th>width ÷ anchor</th><th>height ÷ anchor</th>"
        return (
            '<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start">'
            + _picture(sources[photo], shown_width, shown_height, shapes, f"Photo at {size} pixels, {words}")
            + f'<div style="flex:1 1 22em"><p>Photo at {size} px, {words.replace("anchor", "<b>anchor</b>", 1)}.</p>'
            + f"<table>{head}<th>closeness</th><th>fits</th></tr>{''.join(rows)}</table>"
            + f"<p>The grid's cells are {stride} px. Solid white: an object that the anchor fits, dotted: one that it "
            + "does not. Dashed: the anchor.</p></div></div>"
        )

    controls = {
        "photo": ipywidgets.Dropdown(options=list(photos), description="photo"),
        "size": ipywidgets.SelectionSlider(
            options=[(f"{size} px", size) for size in sizes], value=sizes[1], description="input size", style=WIDE
        ),
        "anchor": ipywidgets.SelectionSlider(
            options=_anchor_options(anchors), value=start, description="anchor", layout=ipywidgets.Layout(width="360px")
        ),
    }
    return explore(controls, page)


def decode_sliders(
    image: Tensor,
    anchors: Tensor,
    *,
    start: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    anchor: tuple[int, int] = (2, 0),
    row: int = 0,
    column: int = 0,
) -> Explorer:
    """The four raw numbers of one anchor in one cell as sliders, and the box they become.

    Args:
        image: uint8 (3, S, S), the network's input.
        anchors: (L, A, 2) width, height in pixels.
        start: raw x, y, w, h at the beginning.
        anchor, row, column: level and number of the anchor, and its cell, at the beginning.

    Returns:
        The controls "anchor", "column", "row", "x", "y", "w", "h", already shown.
    """
    source, size = pixels_url(image.permute(1, 2, 0).numpy()), image.shape[-1]

    def page(anchor: tuple[int, int], column: int, row: int, x: float, y: float, w: float, h: float) -> str:
        index, number = anchor
        level, stride = list(LEVEL_COLORS)[index], STRIDES[index]
        column, row = (min(place, size // stride - 1) for place in (column, row))
        shape = anchors[index, number]
        raw = torch.tensor([x, y, w, h])
        dx, dy, bw, bh = decode_box(raw, shape / stride).tolist()  # cells
        cx, cy, bw, bh = (column + dx) * stride, (row + dy) * stride, bw * stride, bh * stride
        aw, ah = shape.tolist()
        mx, my = (column + 0.5) * stride, (row + 0.5) * stride
        cell = (
            f'<rect x="{column * stride}" y="{row * stride}" width="{stride}" height="{stride}" '
            f'fill="{WORK_COLORS["marked"]}" fill-opacity=".75"/>'
        )
        shapes = [
            _grid(size, size, stride),
            cell,
            _rectangle(mx, my, 2 * stride, 2 * stride, "#000", dash="2 3"),
            _rectangle(mx, my, aw, ah, hex_color(3), dash="7 4"),
            _rectangle(cx, cy, bw, bh, hex_color(4), line=3),
            f'<circle cx="{cx:.2f}" cy="{cy:.2f}" r="{size / 70:.1f}" fill="{hex_color(4)}" stroke="#fff"/>',
        ]
        s = raw.sigmoid().tolist()
        exponential = shape * raw[2:].exp()
        alt = f"Box of {bw:.0f} × {bh:.0f} pixels around {cx:.0f}, {cy:.0f}, from cell row {row}, column {column}"
        lines = (
            f"x: (2 · {s[0]:.3f} − 0.5 + {column}) · {stride} = <b>{cx:.1f}</b>",
            f"y: (2 · {s[1]:.3f} − 0.5 + {row}) · {stride} = <b>{cy:.1f}</b>",
            f"width: (2 · {s[2]:.3f})² · {aw:.0f} = <b>{bw:.1f}</b>",
            f"height: (2 · {s[3]:.3f})² · {ah:.0f} = <b>{bh:.1f}</b>",
        )
        return (
            '<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start">'
            + _picture(source, size, size, shapes, alt)
            + f'<div style="flex:1 1 18em"><p>{level}, row {row}, column {column}, anchor {aw:.0f} × {ah:.0f}.</p>'
            + f"<p>{'<br>'.join(lines)}</p>"
            + f"<p>With YOLOv3's exponential the size would be {exponential[0]:.0f} × {exponential[1]:.0f}.</p>"
            + "<p>Filled: the cell. Dotted: where the center may lie.<br>Dashed: the anchor. Solid: the box.</p>"
            + "</div></div>"
        )

    cells = size // STRIDES[anchor[0]]
    places = {
        name: ipywidgets.IntSlider(value=value, min=0, max=cells - 1, description=name)
        for name, value in (("column", column), ("row", row))
    }
    choice = ipywidgets.Dropdown(options=_anchor_options(anchors), value=anchor, description="anchor")

    def on_anchor(change: dict[str, tuple[int, int]]) -> None:
        for slider in places.values():
            slider.max = size // STRIDES[change["new"][0]] - 1  # a finer grid has more cells

    choice.observe(on_anchor, names="value")
    numbers = {
        name: ipywidgets.FloatSlider(value=value, min=-6, max=6, step=0.05, description=f"raw {name}")
        for name, value in zip("xywh", start, strict=True)
    }
    return explore({"anchor": choice, **places, **numbers}, page)
