"""Pen and paint box of the garden: colors, curves, and drawings as plain data."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]
Random = np.random.Generator
TURN = 2 * np.pi


# --- color ---------------------------------------------------------------------------------------


def oklch(lightness: float, chroma: float, hue: float) -> Array:
    """sRGB color (3,), 0..255, of an OKLCH color: lightness 0..1, chroma 0..0.3 or so, hue in turns.

    Equal steps in this space look equally large (Ottosson 2020, "A perceptual color space for image
    processing"): a uniform hue here favors no color, which a uniform HSV hue does.
    """
    a, b = chroma * np.cos(TURN * hue), chroma * np.sin(TURN * hue)
    cones = np.array([[0.3963377774, 0.2158037573], [-0.1055613458, -0.0638541728], [-0.0894841775, -1.2914855480]])
    long, medium, short = (lightness + cones @ [a, b]) ** 3
    linear = np.array(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ]
    ).clip(0, 1)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * gamma).astype(np.float32)


class Palette(NamedTuple):
    """Three colors (3,) RGB 0..255 for a thing's body, for what contrasts with it, and for its fine parts."""

    main: Array
    second: Array
    ink: Array


def palette(rng: Random) -> Palette:
    """One law for everything in the garden: a dark, a middle and a light color, in harmony, in any order.

    The order is random so that the three follow the same law: a class that shows much of its ink and
    little of its main color is on average neither darker nor duller than another.
    """
    hues = rng.random() + np.array([0, rng.choice([-0.17, -0.08, 0.08, 0.17]), rng.choice([0.33, 0.5, 0.67])])
    lightness = rng.uniform([0.24, 0.52, 0.76], [0.42, 0.66, 0.92])
    chroma = rng.uniform(0.03, 0.19, 3)
    colors = [oklch(*color) for color in zip(rng.permutation(lightness), chroma, rng.permutation(hues), strict=True)]
    return Palette(*colors)


# --- drawings ------------------------------------------------------------------------------------


class Patch(NamedTuple):
    """A filled polygon of a drawing: `points` (P, 2) in unit space, `color` (3,) RGB 0..255."""

    points: Array
    color: Array
    height: float | None  # of a solid, above the ground; None for a mark
    bulge: float  # how much higher the middle of a solid is than its edge


class Drawing(list[Patch]):
    """Patches from back to front, in a unit space about two units across, x to the right, y down."""

    def solid(self, points: Array, color: Array, height: float, bulge: float = 0.0) -> None:
        """Add a part: it belongs to the silhouette and has a height, which light and shadow follow."""
        self.append(Patch(points, color, height, bulge))

    def mark(self, points: Array, color: Array) -> None:
        """Add color on the surface of what is there: a spot, a vein, a stripe."""
        self.append(Patch(points, color, None, 0.0))


# --- curves --------------------------------------------------------------------------------------


def ellipse(center: ArrayLike, a: float, b: float | None = None, *, n: int = 24) -> Array:
    """Ellipse around `center` (2,) with half axes a and b, by default a circle: (n, 2)."""
    angle = np.linspace(0, TURN, n, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    return center + circle * np.array([a, a if b is None else b])


def path(points: str) -> Array:
    """Points (P, 2) from text as SVG writes it: "x,y x,y ..."."""
    return np.array([pair.split(",") for pair in points.split()], float)


def smooth(points: ArrayLike, n: int = 6) -> Array:
    """Closed Catmull-Rom spline through points (P, 2): (P * n, 2)."""
    b = np.asarray(points, float)
    a, c, d = np.roll(b, 1, 0), np.roll(b, -1, 0), np.roll(b, -2, 0)
    u = np.linspace(0, 1, n, endpoint=False)[:, None, None]
    q = b + 0.5 * u * ((c - a) + u * ((2 * a - 5 * b + 4 * c - d) + u * (3 * b - a - 3 * c + d)))
    return q.swapaxes(0, 1).reshape(-1, 2)


def ribbon(points: ArrayLike, start: float, end: float | None = None) -> Array:
    """A stroke along points (P, 2) whose half width runs from `start` to `end`: (2 * P, 2)."""
    p = np.asarray(points)
    steps = np.diff(p, axis=0)
    along = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]])
    across = along[:, ::-1] * np.array([-1, 1]) / np.hypot(along[:, :1], along[:, 1:])
    offset = across * (start if end is None else np.linspace(start, end, len(p))[:, None])
    return np.concatenate([p + offset, (p - offset)[::-1]])


def turned(points: Array, angle: float) -> Array:
    """Points (P, 2) rotated around the origin by `angle` radians, from x towards y."""
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s], [-s, c]])


def petal(width: float, tip: float, notch: float, root: float = 0.1) -> Array:
    """A petal or leaf along +x from `root` to 1; `tip` 0 (pointed) to 1 (square), `notch` dents the end."""
    upper = [[root, 0.3], [0.4, 0.8], [0.72, 1.0], [0.96, tip]]
    lower = [[x, -y] for x, y in reversed(upper)]
    return smooth(np.array([*upper, [1 - notch, 0], *lower]) * [1, width])
