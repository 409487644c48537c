"""What is said about a box: the color of its class, the words beside it, and the place where they stand."""

from collections.abc import Sequence

Color = tuple[int, int, int]  # RGB, 0 to 255

# Okabe and Ito's colors, which color-blind people can tell apart too (Okabe & Ito 2008, "Color Universal
# Design"; their black is left to text and outlines).
_HUES: tuple[Color, ...] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
    (204, 121, 167),  # reddish purple
)
_DARK, _LIGHT = 0.55, 0.5  # further classes: the hues towards black, then towards white


def class_color(k: int) -> Color:
    """RGB of class `k`: seven hues, then the same darker, then lighter; from 21 on they repeat."""
    hue, shade = _HUES[k % 7], k // 7 % 3
    if shade == 1:
        return _rgb(c * _DARK for c in hue)
    if shade == 2:
        return _rgb(c + (255 - c) * _LIGHT for c in hue)
    return hue


def _rgb(values: object) -> Color:
    red, green, blue = (round(value) for value in values)  # type: ignore[attr-defined]
    return red, green, blue


def text_color(background: Color) -> Color:
    """Black or white, whichever has the higher contrast on `background` (WCAG 2.2, relative luminance)."""
    # 0.179: where (1.05)/(L + 0.05) and (L + 0.05)/0.05 are equal
    return (0, 0, 0) if luminance(background) > 0.179 else (255, 255, 255)


def luminance(color: Color) -> float:
    """Relative luminance of an sRGB color, 0 to 1 (WCAG 2.2)."""
    channels = (c / 255 for c in color)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def caption(label: int, score: float | None, names: Sequence[str]) -> str:
    """What is written beside a box: the name (the number, where there is none), then the score."""
    name = names[label] if label < len(names) else str(label)
    parts = name.split() if score is None else [*name.split(), f"{score:.2f}"]  # split: one line, no tabs
    return " ".join(parts)


def place_label(
    box: Sequence[float],
    size: tuple[float, float],
    taken: Sequence[Sequence[float]],
    picture: tuple[float, float],
) -> tuple[float, float]:
    """Where a label of `size` (width, height) goes: at its box, inside the picture, off other labels.

    Args:
        box: x1, y1, x2, y2, pixels.
        size, picture: width and height of the label and of the picture, pixels.
        taken: labels already placed, x1, y1, x2, y2 each.

    Returns:
        Left and top of the label. Above the box if nothing stands there; else the first free place around
        or in its corners; else where it hides least. A label wider than the picture starts at its border.
    """
    x1, y1, x2, y2 = box
    (w, h), (width, height) = size, picture
    spots = [(x, y) for y in (y1 - h, y2, y1, y2 - h) for x in (x1, x2 - w)]
    inside = [(max(min(x, width - w), 0), max(min(y, height - h), 0)) for x, y in spots]

    def hidden(spot: tuple[float, float]) -> float:
        x, y = spot
        return sum(max(min(x + w, c) - max(x, a), 0) * max(min(y + h, d) - max(y, b), 0) for a, b, c, d in taken)

    return min(inside, key=hidden)  # min keeps the first of equals
