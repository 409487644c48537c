"""How the garden is painted: a drawing becomes a lit sprite, and sprites become a picture, front to back."""

import math
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_edu.garden_pen import TURN, Array, Drawing, Random, ellipse, oklch, path, ribbon, turned

SUPERSAMPLING = 2  # drawing at twice the size and averaging keeps thin legs and veins smooth
FRACTION_BITS = 4  # of the coordinates cv2 draws with
HEIGHT_LEVELS = 200  # bytes per unit of height in a drawing, so that 1.27 units fit


# --- texture -------------------------------------------------------------------------------------


@cache
def noise(slope: float, stretch: float = 1.0, side: int = 512) -> Array:
    """Periodic noise (side, side), zero mean and unit variance, with amplitude 1 / frequency ** slope."""
    fy, fx = np.fft.fftfreq(side)[:, None] * stretch, np.fft.rfftfreq(side)[None]
    spectrum = np.hypot(np.hypot(fy, fx), 1 / side) ** -slope
    spectrum[0, 0] = 0
    white = np.fft.rfft2(np.random.default_rng(2020).standard_normal((side, side)))
    field = np.fft.irfft2(white * spectrum, (side, side))
    return (field / field.std()).astype(np.float32)


def texture(rng: Random, h: int, w: int, slope: float = 0.9, stretch: float = 1.0) -> Array:
    """A random (h, w) piece of `noise`, repeated where it is too small."""
    field = noise(slope, stretch)
    rows = (rng.integers(len(field)) + np.arange(h)) % len(field)
    columns = (rng.integers(len(field)) + np.arange(w)) % len(field)
    return field[rows[:, None], columns]


# --- from a drawing to a sprite ------------------------------------------------------------------


class Sprite(NamedTuple):
    """A drawing made of pixels, not yet anywhere: h, w are its own size with a margin for its shadow."""

    color: Array  # (h, w, 3) RGB 0..255, already multiplied by alpha
    alpha: Array  # (h, w) coverage 0..1
    height: Array  # (h, w) pixels above the ground


def pose(rng: Random) -> Array:
    """Linear map (2, 2): any rotation, often mirrored, often foreshortened along any direction."""
    tilt = rng.uniform(0.55, 1.0) if rng.random() < 0.6 else 1.0
    axis, turn = (turned(np.eye(2), angle) for angle in rng.uniform(0, TURN, 2))
    flip = np.diag([rng.choice([-1.0, 1.0]), 1.0])
    return axis @ np.diag([1.0, tilt]) @ axis.T @ flip @ turn


def fixed_point(points: Array) -> NDArray[np.int32]:
    """Points (P, 2) in pixels, edges at whole numbers, as cv2 wants them: from pixel centers, fixed point."""
    return np.rint((points - 0.5) * (1 << FRACTION_BITS)).astype(np.int32)


def rasterize(drawing: Drawing, linear: Array, diameter: float) -> Sprite:
    """Draw with `linear`, scaled so that the longest side of the silhouette's box is `diameter` pixels."""
    lengths = np.cumsum([len(p.points) for p in drawing])[:-1]
    outlines = np.split(np.concatenate([p.points for p in drawing]) @ linear.T, lengths)
    solid = np.concatenate([o for o, p in zip(outlines, drawing, strict=True) if p.height is not None])
    low, high = solid.min(0), solid.max(0)
    scale = diameter / (high - low).max()
    margin = int(diameter * 0.2) + 3
    w, h = (int(side) + 2 * margin for side in np.ceil((high - low) * scale))
    shape = h * SUPERSAMPLING, w * SUPERSAMPLING
    color = np.zeros((*shape, 3), np.uint8)
    alpha, height = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)

    for outline, patch in zip(outlines, drawing, strict=True):
        points = fixed_point(((outline - low) * scale + margin) * SUPERSAMPLING)
        cv2.fillPoly(color, [points], patch.color.tolist(), cv2.LINE_AA, FRACTION_BITS)
        if patch.height is None:
            continue
        cv2.fillPoly(alpha, [points], 255, cv2.LINE_AA, FRACTION_BITS)
        middle, terraces = points.mean(0), round(30 * patch.bulge)
        for k in range(terraces + 1):  # terraces of a dome, which the blur in `shade` smooths
            rise = k / (terraces + 0.5)
            terrace = np.rint(middle + (points - middle) * (1 - rise * rise) ** 0.5).astype(np.int32)
            level = (patch.height + patch.bulge * rise) * HEIGHT_LEVELS
            cv2.fillPoly(height, [terrace], level, cv2.LINE_8, FRACTION_BITS)

    def shrink(x: NDArray[np.uint8], unit: float) -> Array:
        return cv2.resize(x, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) * np.float32(unit)

    return Sprite(shrink(color, 1.0), shrink(alpha, 1 / 255), shrink(height, scale / HEIGHT_LEVELS))


def shade(rng: Random, sprite: Sprite, light: Array, diameter: float) -> Sprite:
    """Light the relief from `light` (unit vector x, y, z towards the lamp) and give it a surface."""
    crisp, soft = (cv2.GaussianBlur(sprite.height, (0, 0), max(0.6, diameter * s)) for s in (0.012, 0.045))
    relief = cv2.addWeighted(crisp, 0.5, soft, 0.5, 0)
    dx = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=1 / 8)
    facing = (light[2] - light[0] * dx - light[1] * dy) / np.sqrt(1 + dx * dx + dy * dy)
    shine = rng.uniform(0, 90) * np.clip((facing - 0.82) / 0.18, 0, 1) ** 3
    tone = 0.46 + 0.62 * np.clip(facing, 0, 1) / light[2]
    grain = texture(rng, *tone.shape)
    tone *= 1 + rng.uniform(0.02, 0.09) * grain * min(1.0, diameter / 60)
    lit = sprite.color * tone[..., None] + (shine * sprite.alpha)[..., None]
    return sprite._replace(color=np.minimum(lit, 255 * sprite.alpha[..., None]))


def cast_shadow(sprite: Sprite, light: Array, diameter: float) -> Array:
    """How much light (h, w), 0..1, a sprite takes from what lies behind it: soft, away from the lamp."""
    x, y = -0.09 * diameter * light[:2] / light[2]
    soft = cv2.GaussianBlur(sprite.alpha, (0, 0), max(0.8, diameter * 0.035))
    moved = cv2.warpAffine(soft, np.array([[1, 0, x], [0, 1, y]], np.float32), soft.shape[::-1])
    return np.asarray(0.55 * moved, np.float32)


# --- the picture, front to back ------------------------------------------------------------------


Window = tuple[slice, slice]


class Canvas:
    """A picture painted from front to back: the "over" of Porter and Duff (1984), nearest thing first."""

    def __init__(self, size: int) -> None:
        self.color = np.zeros((size, size, 3), np.float32)
        self.open = np.ones((size, size), np.float32)  # how much of what lies behind still shows
        self.sun = np.ones((size, size), np.float32)  # how much light reaches what lies behind
        self.identity = np.zeros((size, size), np.int16)

    def windows(self, sprite: Sprite, x: int, y: int) -> tuple[Window, Window]:
        """Where a sprite with its corner at (x, y) meets the picture: (picture window, sprite window)."""
        (h, w), size = sprite.alpha.shape, len(self.open)
        left, right = np.clip([x, x + w], 0, size).tolist()
        top, bottom = np.clip([y, y + h], 0, size).tolist()
        here = slice(top, bottom), slice(left, right)
        return here, (slice(top - y, bottom - y), slice(left - x, right - x))

    def seen(self, sprite: Sprite, x: int, y: int) -> NDArray[np.bool_]:
        """The pixels, in the picture's window, of which the sprite would make up more than half."""
        here, there = self.windows(sprite, x, y)
        return self.open[here] * sprite.alpha[there] > 0.5

    def put(self, sprite: Sprite, x: int, y: int, shadow: Array, number: int) -> None:
        """Set the sprite behind all that is there, in its shade, and let it cast its own."""
        here, there = self.windows(sprite, x, y)
        self.identity[here][self.seen(sprite, x, y)] = number
        self.color[here] += sprite.color[there] * (self.open[here] * self.sun[here])[..., None]
        self.open[here] *= 1 - sprite.alpha[there]
        self.sun[here] *= 1 - shadow[there]


# --- ground and camera ---------------------------------------------------------------------------


LENS = ellipse([0, 0], 1)
STREWN = {  # outline, how many (half to one and a half times), from size to size over the image side
    "litter": (LENS * np.stack([np.ones(len(LENS)), 0.4 * np.abs(LENS[:, 1])], 1), 60, 0.02, 0.08),
    "pebbles": (ellipse([0, 0], 1, 0.75, n=16), 110, 0.008, 0.04),
    "grass": (ribbon(path("-1,0 -0.3,0.12 0.4,0.1 1,-0.1"), 0.07, 0.01), 110, 0.04, 0.14),
}


def lay_ground(rng: Random, size: int, light: Array) -> Array:
    """Moss, litter, pebbles, grass or planks: (H, W, 3) float RGB 0..255. Mostly earthy, always dull."""
    earth, moss, any_hue = rng.uniform(0.13, 0.24), rng.uniform(0.28, 0.4), rng.random()
    hue, lightness = rng.choice([earth, moss, any_hue], p=[0.4, 0.35, 0.25]), rng.uniform(0.45, 0.78)
    tones = [oklch(lightness + step, rng.uniform(0.02, 0.075), hue + rng.normal(0, 0.05)) for step in (0.0, -0.12, 0.1)]
    clouds = 1 / (1 + np.exp(-1.6 * texture(rng, size, size, 1.5)))[..., None]
    stains = rng.uniform(0.2, 0.7) / (1 + np.exp(4 - 5 * texture(rng, size, size, 1.2)))[..., None]
    ground = tones[0] * clouds + tones[1] * (1 - clouds)
    ground += (tones[2] - ground) * stains

    kind = rng.choice(["moss", "litter", "pebbles", "grass", "planks"])
    ground *= 1 + 0.1 * texture(rng, size, size, 0.6, 0.06 if kind == "planks" else 1.0)[..., None]
    if kind == "planks":
        ground *= planks(rng, size)[None, :, None]
        return ground.swapaxes(0, 1) if rng.random() < 0.5 else ground
    if kind == "moss":
        return ground
    # cv2 draws smooth edges on bytes only.
    pixels = np.ascontiguousarray(ground.clip(0, 255), np.uint8)
    outline, count, low, high = STREWN[kind]
    for _ in range(int(count * rng.uniform(0.5, 1.5))):
        points = turned(outline, rng.random() * TURN) * (rng.uniform(low, high) * size)
        points = points + rng.uniform(0, size, 2)
        color = tones[rng.integers(len(tones))] * rng.uniform(0.7, 1.1)
        shadow = points - light[:2] * (0.006 * size)
        cv2.fillPoly(pixels, [fixed_point(shadow)], (color * 0.55).tolist(), cv2.LINE_AA, FRACTION_BITS)
        cv2.fillPoly(pixels, [fixed_point(points)], color.tolist(), cv2.LINE_AA, FRACTION_BITS)
    return pixels.astype(np.float32)


def planks(rng: Random, size: int) -> Array:
    """Brightness (W,) across boards of one width, each of its own shade, with dark gaps between."""
    width = rng.uniform(0.12, 0.3) * size
    board, across = np.divmod(np.arange(size) + rng.uniform(0, width), width)
    shades = rng.uniform(0.82, 1.1, int(board[-1]) + 1)[board.astype(int)]
    return (shades * np.where(across < 0.008 * size, 0.45, 1.0)).astype(np.float32)


def photograph(rng: Random, color: Array) -> NDArray[np.uint8]:
    """Falling light, exposure, white balance, softness and sensor noise, as a camera would add them."""
    size = len(color)
    ramp, angle, fall = np.linspace(-1, 1, size, dtype=np.float32), rng.random() * TURN, rng.uniform(0, 0.2)
    x, y = ramp[None], ramp[:, None]
    falloff = 1 + x * (fall * math.cos(angle)) + y * (fall * math.sin(angle)) - 0.1 * (x * x + y * y)
    balance = rng.uniform(0.94, 1.06, 3) * rng.uniform(0.95, 1.2)
    photo = color * falloff[..., None] * balance.astype(np.float32)
    if rng.random() < 0.3:
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.4, 1.0)), np.float32)
    photo += rng.standard_normal((size, size, 1), np.float32) * rng.uniform(0.5, 4)
    return photo.clip(0, 255).astype(np.uint8)
