"""Things to play with in lesson 01: an activation and its slope, the window that a unit reads."""

import cv2
import ipywidgets
import numpy as np
import torch
from torch import Tensor

from yolo_edu.course.figures.convolution import ACTIVATIONS, slope, smooth_parts
from yolo_edu.course.figures.diagram import DIM, FADED, INK, hex_color
from yolo_edu.course.figures.display import img_tag, pixels_url, svg_image
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.receptive import Reach

__all__ = ["activation_explorer", "receptive_explorer"]

REACH = 6.0  # the activation explorer shows −REACH to REACH
KINKS = {"ReLU": (0.0,), "LeakyReLU(0.1)": (0.0,), "Hardswish": (-3.0, 3.0)}
FORMULAS = {
    "sigmoid": "1 / (1 + e⁻ˣ)",
    "ReLU": "max(0, x)",
    "LeakyReLU(0.1)": "x if x > 0, else 0.1 x",
    "SiLU": "x · sigmoid(x)",
    "Mish": "x · tanh(ln(1 + eˣ))",
    "Hardswish": "x · min(max(x + 3, 0), 6) / 6",
}
WIDE = {"description_width": "initial"}


class _Panel:
    """One of the two plots: places of numbers in the picture, in its own units (y downwards)."""

    def __init__(self, left: float, low: float, high: float) -> None:
        self.left, self.low, self.high = left, low, high
        self.width, self.top, self.height = 300.0, 34.0, 216.0

    def x(self, value: float) -> float:
        return self.left + (value + REACH) / (2 * REACH) * self.width

    def y(self, value: float) -> float:
        return self.top + (self.high - min(max(value, self.low), self.high)) / (self.high - self.low) * self.height

    def line(self, xs: Tensor, ys: Tensor) -> str:
        """A curve as the points of an SVG polyline; what leaves the panel is left out."""
        pairs = [(x, y) for x, y in zip(xs.tolist(), ys.tolist(), strict=True) if self.low <= y <= self.high]
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in pairs)

    def axes(self, title: str) -> str:
        """Frame, zero lines, numbers at the ends."""
        right, bottom = self.left + self.width, self.top + self.height
        lines = [
            f'<text x="{self.left + self.width / 2}" y="20" text-anchor="middle" font-weight="bold">{title}</text>',
            f'<path d="M{self.left} {self.y(0):.1f}H{right}M{self.x(0):.1f} {self.top}V{bottom}" stroke="{FADED}"/>',
        ]
        for value in (-5, 0, 5):
            place = f'x="{self.x(value):.1f}" y="{bottom + 18}"'
            lines.append(f'<text {place} text-anchor="middle" fill="{DIM}">{_signed(value, 0)}</text>')
        for value in range(round(self.low), round(self.high) + 1, 2 if self.high > 3 else 1):
            place = f'x="{self.left - 6}" y="{self.y(value) + 5:.1f}"'
            lines.append(f'<text {place} text-anchor="end" fill="{DIM}">{_signed(value, 0)}</text>')
        return "".join(lines)


def activation_explorer(start: str = "SiLU", x: float = -1.0) -> Explorer:
    """Choose an activation and move along it: value, derivative, and the tangent.

    Args:
        start: a name in `figures.ACTIVATIONS`.
        x: where the slider starts, −6 to 6.

    Returns:
        Controls "name" and "x", already shown with their page.
    """
    xs = torch.linspace(-REACH, REACH, 241)
    left, right = _Panel(40, -2, 6), _Panel(400, -1, 2)
    still = {}  # all that does not follow the slider, drawn once
    for name, function in ACTIVATIONS.items():
        lines = ((left, function(xs), 4, ""), (right, slope(function, xs), 5, ' stroke-dasharray="7 4"'))
        still[name] = "".join(
            f'<polyline points="{panel.line(xs[part], ys[part])}" fill="none" stroke="{hex_color(k)}" '
            f'stroke-width="2.5"{dash}/>'
            for panel, ys, k, dash in lines
            for part in (smooth_parts(ys) if panel is right else [slice(None)])
        )
    axes = left.axes("value f(x)") + right.axes("derivative f ′(x)")

    def page(name: str, x: float) -> str:
        function = ACTIVATIONS[name]
        at = torch.tensor(round(x, 1))
        value, rise = function(at).item(), slope(function, at).item()
        ends = [(x + side * 1.2, value + side * 1.2 * rise) for side in (-1, 1)]
        tangent = " ".join(f"{left.x(a):.1f},{left.y(b):.1f}" for a, b in ends)
        marks = (
            f'<polyline points="{tangent}" fill="none" stroke="{INK}" stroke-width="1.5"/>'
            f'<circle cx="{left.x(x):.1f}" cy="{left.y(value):.1f}" r="6" fill="{hex_color(4)}" stroke="{INK}"/>'
            f'<circle cx="{right.x(x):.1f}" cy="{right.y(rise):.1f}" r="6" fill="{hex_color(5)}" stroke="{INK}"/>'
        )
        alt = f"{name} at x = {_signed(x, 1)}, on two curves: value {_signed(value, 3)}, derivative {_signed(rise, 3)}"
        note = " Here is a kink: PyTorch takes one of the two slopes." if round(x, 1) in KINKS.get(name, ()) else ""
        return (
            f"{_svg(axes + still[name] + marks, alt)}"
            f"<p><b>{name}</b>: f(x) = {FORMULAS[name]}. At x = {_signed(x, 1)} the value is "
            f"<b>{_signed(value, 3)}</b> and the derivative <b>{_signed(rise, 3)}</b>: of a gradient of 1 that comes "
            f"back from behind, {_signed(rise, 3)} goes on to the convolution.{note}</p>"
        )

    names = ipywidgets.Dropdown(options=list(ACTIVATIONS), value=start, description="activation", style=WIDE)
    slider = ipywidgets.FloatSlider(
        value=x,
        min=-REACH,
        max=REACH,
        step=0.1,
        description="x",
        readout_format=".1f",
        layout=ipywidgets.Layout(width="420px"),
    )
    return explore({"name": names, "x": slider}, page)


def _svg(inside: str, alt: str) -> str:
    """A drawing of 720 × 280 as an image: unlike bare SVG, every viewer of notebooks lets it through."""
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 280" width="720" height="280" '
        f'font-family="sans-serif" font-size="15"><rect width="720" height="280" fill="white"/>{inside}</svg>'
    )
    return svg_image(drawing, alt)


def _signed(value: float, digits: int) -> str:
    """A number with a real minus sign, and no minus before a zero."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def receptive_explorer(photo: Tensor, *, layers: int = 5, kernel: int = 3, strided: int = 2) -> Explorer:
    """The window of one unit, drawn on a photo: how it grows with layers, kernels and strides.

    Args:
        photo: (3, H, W) uint8.
        layers, kernel: the stack, every layer with the same kernel and padding kernel // 2.
        strided: how many of the layers, the first ones, have stride 2.

    Returns:
        Controls "layers", "kernel", "strided", already shown with their page.
    """
    pixels = np.ascontiguousarray(photo.permute(1, 2, 0).numpy())
    height, width = pixels.shape[:2]
    dark = (pixels * 0.35).astype(np.uint8)

    def page(layers: int, kernel: int, strided: int) -> str:
        strided = min(strided, layers)
        reach = Reach(1, ((0, 0),))
        for index in range(layers):
            reach = reach.window(kernel, 2 if index < strided else 1, kernel // 2)
        step, field = int(reach.stride), reach.size
        rows, columns = (_inside(reach, size, step) for size in (height, width))
        picture = dark.copy()
        picture[rows[0] : rows[1], columns[0] : columns[1]] = pixels[rows[0] : rows[1], columns[0] : columns[1]]
        _outline(picture, rows, columns)
        share = (rows[1] - rows[0]) * (columns[1] - columns[0]) / (height * width)
        window = f"{field} × {field} pixels"
        alt = f"A photo, dark but for the window of {window} that the middle unit reads"
        weights, single = layers * kernel**2, field**2
        edge = " It reaches beyond the photo, into the padding." if field > min(height, width) else ""
        return (
            f"{_photo(picture, alt)}<p>Layers of {kernel} × {kernel}: {layers}, the first {strided} with stride 2: one "
            f"unit reads <b>{window}</b>, {100 * share:.1f} % of this photo. Neighboring units read windows "
            f"<b>{step} pixels</b> apart.{edge} Weights for one channel: {layers} · {kernel}² = {weights:,}; "
            f"a single kernel as wide as the window has {single:,}.</p>"
        )

    controls = {
        "layers": ipywidgets.IntSlider(value=layers, min=1, max=8, description="layers"),
        "kernel": ipywidgets.SelectionSlider(options=[1, 3, 5, 7], value=kernel, description="kernel"),
        "strided": ipywidgets.IntSlider(value=strided, min=0, max=5, description="of these with stride 2", style=WIDE),
    }
    return explore(controls, page)


def _inside(reach: Reach, size: int, step: int) -> tuple[int, int]:
    """First pixel and one past the last that the middle unit reads along an axis of `size` pixels."""
    first, last = reach.at(size // 2 // step)
    return max(first, 0), min(last + 1, size)


def _outline(picture: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """A white frame in a black one, visible on any photo."""
    corners = (columns[0], rows[0]), (columns[1] - 1, rows[1] - 1)
    for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        cv2.rectangle(picture, *corners, color, thickness)


def _photo(picture: np.ndarray, alt: str) -> str:
    return img_tag(pixels_url(picture), alt)
