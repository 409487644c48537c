"""Boxes that are dragged over a picture, with mouse, finger or keyboard."""

import html
from collections.abc import Sequence
from pathlib import Path

import anywidget
import traitlets
from torch import Tensor

from yolo_edu.course.figures.diagram import hex_color
from yolo_edu.course.figures.display import pixels_url

__all__ = ["BoxCanvas"]

Box = Sequence[float]


class BoxCanvas(anywidget.AnyWidget):
    """Boxes over a picture. Everything is in the picture's pixels, y downwards.

    Args:
        value: the boxes, [x1, y1, x2, y2] each; changes as the reader drags. Put it into `frame.explore` like any
            other control.
        size: width and height of the frame.
        names: one a box, written beside it.
        image: uint8 (3, H, W) RGB, stretched over the frame; None: an empty one.
        colors: one a box; None: the course's.
        overlay: SVG markup in the frame's pixels, drawn below the boxes; set it from the page's function to show
            what follows from them (grid cells, arrows …).
        shown: width on the page, screen pixels.
        step: pixels of the frame that an arrow key moves a box.
        label: what the picture shows, for those who do not see it.
    """

    _esm = Path(__file__).with_suffix(".js")

    value = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    width = traitlets.Float().tag(sync=True)
    height = traitlets.Float().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colors = traitlets.List(traitlets.Unicode()).tag(sync=True)
    picture = traitlets.Unicode("").tag(sync=True)
    overlay = traitlets.Unicode("").tag(sync=True)
    shown = traitlets.Int(420).tag(sync=True)
    step = traitlets.Float(1.0).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        value: Sequence[Box],
        size: tuple[float, float],
        names: Sequence[str],
        *,
        image: Tensor | None = None,
        colors: Sequence[str] | None = None,
        overlay: str = "",
        shown: int = 420,
        step: float = 1.0,
        label: str = "Boxes that can be moved",
    ) -> None:
        super().__init__(
            value=[[float(v) for v in box] for box in value],
            width=float(size[0]),
            height=float(size[1]),
            names=list(names),
            colors=list(colors) if colors else [hex_color(k) for k in (4, 5, 2, 0)][: len(value)],
            picture=pixels_url(image.permute(1, 2, 0).numpy()) if image is not None else "",
            overlay=overlay,
            shown=shown,
            step=step,
            label=label,
        )

    def still(self) -> str:
        """The canvas as it is now, as HTML that needs no widget."""
        unit = self.width / self.shown
        parts = []
        if self.picture:
            size = f'width="{self.width:g}" height="{self.height:g}"'
            parts.append(f'<image href="{self.picture}" {size} preserveAspectRatio="none"/>')
        parts.append(self.overlay)
        for (x1, y1, x2, y2), name, color in zip(self.value, self.names, self.colors, strict=True):
            place = f'x="{x1:g}" y="{y1:g}" width="{x2 - x1:g}" height="{y2 - y1:g}"'
            y = y1 - 6 * unit if y1 > 18 * unit else y1 + 16 * unit
            parts.append(
                f'<rect {place} fill="none" stroke="#fff" stroke-width="{5 * unit:.3g}"/>'
                f'<rect {place} fill="{color}" fill-opacity="0.12" stroke="{color}" stroke-width="{3 * unit:.3g}"/>'
                f'<text x="{x1 + 4 * unit:.4g}" y="{y:.4g}" font-size="{13 * unit:.4g}" stroke="#fff" '
                f'stroke-width="{3 * unit:.3g}" paint-order="stroke">{html.escape(name)}</text>'
            )
        words = ", ".join(f"{n} {[round(v, 1) for v in b]}" for n, b in zip(self.names, self.value, strict=True))
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{html.escape(f"{self.label}: {words}")}" '
            f'style="width:100%;max-width:{self.shown}px;background:#eee">{"".join(parts)}</svg>'
        )
