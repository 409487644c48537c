"""What grows and crawls in the garden, and what only looks like it.

Every draw function takes a random generator and a `Palette` and decides form only. Its palette comes from
outside, from one law for all, and no drawing has a color of its own: color tells nothing about the class.
"""

from collections.abc import Callable

import numpy as np

from yolo_edu.garden_pen import TURN, Drawing, Palette, Random, ellipse, path, petal, ribbon, smooth, turned

GOLDEN_ANGLE = np.pi * (3 - 5**0.5)
SIDES = (-1, 1)


# --- the five classes ----------------------------------------------------------------------------

FORE_WING = path("0.02,-0.1 0.25,-0.45 0.6,-0.78 0.92,-0.86 1,-0.68 0.84,-0.25 0.6,0.06 0.2,0.1")
HIND_WING = path("0.03,0 0.35,-0.06 0.7,0.08 0.8,0.36 0.66,0.62 0.5,0.76 0.34,0.68 0.1,0.34")
BODY = path("0,-0.42 0.07,-0.34 0.09,-0.1 0.06,0.3 0,0.52 -0.06,0.3 -0.09,-0.1 -0.07,-0.34")
BUTTERFLY_FEELER = path("0.02,-0.36 0.1,-0.6 0.26,-0.8")


def butterfly(rng: Random, colors: Palette) -> Drawing:
    """From above: two pairs of mirrored wings with margin, veins and eye spots; body and feelers."""
    main, second, ink = colors
    margin, dot_color = (ink, second) if rng.random() < 0.6 else (second, ink)
    reach, fold = rng.uniform(0.82, 1.08), rng.uniform(0.7, 1.0)
    tail = path("0,0 0,0 0,0 0,0 0,0 0,1 0,0 0,0") * rng.choice([0.0, 0.35])
    wings = []
    for outline in (HIND_WING + tail, FORE_WING):
        stretch = [reach, rng.uniform(0.8, 1.1)]
        wings.append(smooth(outline * stretch + rng.normal(0, 0.018, outline.shape)))
    field, eye, dots = rng.uniform(0.76, 0.88), rng.uniform(0.05, 0.13), int(rng.integers(0, 6))

    drawing = Drawing()
    for side in SIDES:
        mirror = np.array([side * fold, 1])
        for wing in wings:
            center = wing.mean(0)
            inner = (wing - 0.75 * center) * field + 0.75 * center
            drawing.solid(wing * mirror, margin, 0.14, 0.05)
            drawing.mark(inner * mirror, main)
            for k in (14, 19, 24, 29):
                drawing.mark(ribbon([[0, 0], inner[k]], 0.006, 0.014) * mirror, main * 0.6)
            drawing.mark(ellipse(center * 1.15, eye * 1.6) * mirror, second)
            drawing.mark(ellipse(center * 1.15, eye * 0.8) * mirror, ink)
            for k in range(16, 16 + 3 * dots, 3):
                drawing.mark(ellipse((wing[k] + inner[k]) / 2, 0.03, n=10) * mirror, dot_color)
        feeler = BUTTERFLY_FEELER * np.array([side, 1])
        drawing.solid(ribbon(feeler, 0.018), ink, 0.2)
        drawing.solid(ellipse(feeler[-1], 0.035, n=10), ink, 0.2)
    drawing.solid(smooth(BODY), ink, 0.24, 0.1)
    for y in (0.08, 0.2, 0.32):
        drawing.mark(ribbon([[-0.07, y], [0.07, y]], 0.014), second)
    return drawing


def flower(rng: Random, colors: Palette) -> Drawing:
    """From above: one or two whorls of petals around a heart of florets set in the golden angle."""
    main, second, ink = colors
    count, phase, heart = int(rng.integers(5, 13)), rng.random() * TURN, rng.uniform(0.17, 0.3)
    width = np.pi / count * rng.uniform(0.68, 0.98)
    blade = petal(width, tip=rng.uniform(0.25, 0.85), notch=rng.choice([-0.06, 0.0, 0.07]))
    veins = [ribbon([[0.2, 0], [0.8, y * width]], 0.014, 0.004) for y in (-0.4, 0, 0.4)]
    whorls = [(1.0, main, second)]
    if rng.random() < 0.4:
        whorls.append((rng.uniform(0.6, 0.72), second, main))

    drawing = Drawing()
    for layer, (radius, color, flame) in enumerate(whorls):
        # Odd petals over even ones: a whorl has no first and no last petal.
        for k in [*range(0, count, 2), *range(1, count, 2)]:
            angle, r = phase + TURN * (k + layer / 2) / count, radius * rng.uniform(0.94, 1.0)
            height = 0.1 + 0.1 * layer + 0.05 * (k % 2)
            drawing.solid(turned(blade * r, angle), color * rng.uniform(0.9, 1.0), height, 0.07)
            drawing.mark(turned(blade * r * np.array([0.62, 0.45]), angle), 0.55 * color + 0.45 * flame)
            for vein in veins:
                drawing.mark(turned(vein * r, angle), color * 0.72)
    drawing.solid(ellipse([0, 0], heart), ink, 0.3, 0.14)
    for k in range(22):
        r, angle = 0.9 * heart * np.sqrt((k + 0.5) / 22), k * GOLDEN_ANGLE
        drawing.mark(ellipse([r * np.cos(angle), r * np.sin(angle)], 0.115 * heart, n=8), second)
    return drawing


def mushroom(rng: Random, colors: Palette) -> Drawing:
    """From the side: cap with or without spots, stem with or without a skirt, gills if seen from below."""
    from_below = rng.random() < 0.5
    cap, width = mushroom_cap(rng, colors, brim=0.05 if from_below else 0.16)
    stem = mushroom_stem(rng, colors, top=0.04 if from_below else 0.0)
    if not from_below:
        return Drawing(stem + cap)
    gills = Drawing()
    gills.solid(ellipse([0, 0.02], width * 0.985, 0.17, n=32), colors.second * 0.62, 0.1)
    for angle in np.linspace(0, TURN, 26, endpoint=False):
        rim = np.array([width * 0.95 * np.cos(angle), 0.02 + 0.15 * np.sin(angle)])
        gills.mark(ribbon([rim * 0.25, rim], 0.006, 0.012), colors.second * 0.4)
    return Drawing(cap + gills + stem)


def mushroom_cap(rng: Random, colors: Palette, *, brim: float) -> tuple[Drawing, float]:
    """The cap, standing on the x axis, its front edge hanging `brim` below it; and its half width."""
    width, tall = rng.uniform(0.7, 1.0), rng.uniform(0.5, 0.95)
    flat, steep = rng.uniform(0.75, 1.1), rng.uniform(0.8, 1.3)  # from a button to a bell
    angle = np.linspace(np.pi, TURN, 24)
    c, s = np.cos(angle), np.abs(np.sin(angle))
    dome = np.stack([width * np.sign(c) * np.abs(c) ** flat, -tall * s**steep], 1)
    edge = np.stack([width * c, brim * s], 1)[::-1]
    cap = Drawing()
    cap.solid(np.concatenate([dome, edge]), colors.main, 0.3, 0.4)
    for _ in range(rng.integers(0, 11)):
        # Foreshortened towards the rim, as a spot on a ball is.
        u, v = rng.uniform(-0.9, 0.9), rng.uniform(0.1, 0.9)
        x, y = width * u * np.sqrt(1 - 0.6 * v * v), -tall * v * (1 - u * u) ** (steep / 2)
        a, b = np.array([0.085 * np.sqrt(1.05 - u * u), 0.075 * np.sqrt(1.1 - 0.7 * v * v)])
        grown = rng.uniform(0.6, 1.3)
        cap.mark(ellipse([x, y], a * grown, b * grown), colors.second)
    return cap, width


def mushroom_stem(rng: Random, colors: Palette, *, top: float) -> Drawing:
    """A leaning stem from (0, `top`) down, swelling towards its foot."""
    half, lean, foot = rng.uniform(0.11, 0.22), rng.normal(0, 0.08), rng.uniform(0.85, 1.1)
    spine = np.array([[0, top], [lean * 0.4, 0.35], [lean, 0.72], [lean * 1.1, foot]])
    stem = Drawing()
    stem.solid(smooth(ribbon(spine, half * 0.85, half * rng.uniform(1.0, 1.6))), colors.second, 0.2, 0.15)
    for side in (-0.5, 0.1, 0.6):
        fiber = spine[1:] + np.array([side * half, 0])
        stem.mark(ribbon(fiber, 0.008, 0.014), colors.second * 0.75)
    if rng.random() < 0.5:
        skirt = path("-1,0.26 1,0.26 1.7,0.42 0.3,0.47 -1.7,0.42") * [half, 1] + np.array([lean * 0.4, 0])
        stem.solid(smooth(skirt), 0.6 * colors.second + 0.4 * colors.ink, 0.3, 0.05)
    return stem


SHIELD = path("-0.5,-0.2 0,-0.26 0.5,-0.2 0.82,0.06 0.86,0.26 0,0.3 -0.86,0.26 -0.82,0.06")
LEGS = ((-0.34, -0.2, -0.42), (0.0, 0.02, 0.12), (0.32, 0.22, 0.5))  # y of hip; of knee and toe, from it


def beetle(rng: Random, colors: Palette) -> Drawing:
    """From above: six jointed legs, head with feelers, shield, and two wing cases with a pattern."""
    main, second, ink = colors
    wide, long = rng.uniform(0.4, 0.62), rng.uniform(0.6, 0.78)
    dark = 0.6 * ink + 0.4 * main
    drawing = Drawing()
    for side in SIDES:
        for y, knee, toe in LEGS:
            joints = np.array([[wide * 0.5, y], [wide + 0.16, y + knee], [wide + 0.3, y + toe]])
            drawing.solid(ribbon(joints * [side, 1], 0.055, 0.02), ink, 0.12)
        feeler = np.array([[0.08, -long - 0.2], [0.2, -long - 0.38], [0.4, -long - 0.44]])
        drawing.solid(ribbon(feeler * [side, 1], 0.022, 0.03), ink, 0.14)
    drawing.solid(ellipse([0, -long - 0.12], wide * 0.42, 0.17), dark, 0.2, 0.12)
    for side in SIDES:
        drawing.mark(ellipse([side * wide * 0.34, -long - 0.16], 0.055, n=12), second)
    shield = SHIELD * [wide, 1] + np.array([0, 0.02 - long])
    drawing.solid(smooth(shield), second if rng.random() < 0.5 else dark, 0.26, 0.14)

    angle = np.linspace(0, np.pi, 20)
    along = -long * np.cos(angle) * np.where(angle < np.pi / 2, 0.78, 1.0)
    case = np.stack([wide * np.sin(angle) ** 0.8, 0.1 + along], 1)
    pattern, rows = rng.choice(["spots", "bands", "stripes", "plain"]), int(rng.integers(2, 5))
    spot = rng.uniform(0.07, 0.13)
    for side in SIDES:
        mirror = np.array([side, 1])
        drawing.solid(case * mirror, main, 0.3, 0.34)
        for k in range(rows):
            v = 1.3 * (k + 0.5) / rows - 0.68
            y, room = 0.1 + long * v, wide * np.sqrt(1 - v * v)
            if pattern == "spots":
                drawing.mark(ellipse([room * (0.35 + 0.25 * (k % 2)), y], spot) * mirror, second)
            elif pattern == "bands":
                band = [[0, y], [room * 0.5, y + 0.05], [room * 0.97, y - 0.03]]
                drawing.mark(ribbon(band, 0.05) * mirror, second)
            elif pattern == "stripes":
                x = 0.85 * wide * (k + 0.6) / rows
                drawing.mark(ribbon([[x, 0.1 - 0.5 * long], [x, 0.1 + 0.55 * long]], 0.024) * mirror, second)
    drawing.mark(ribbon([[0, 0.1 - 0.78 * long], [0, 0.1 + long]], 0.013), ink)
    return drawing


FOOT = path("0.84,0.42 0.72,0.62 0,0.66 -1.1,0.62 -0.7,0.42 -0.2,0.3 0.3,0.3")
NECK = path("0.56,0.06 0.78,-0.18 0.98,-0.08 0.96,0.14")
SNAIL_FEELERS = (
    (path("0.72,-0.08 0.79,-0.31 0.8,-0.55"), 0.035),
    (path("0.86,-0.08 0.98,-0.29 1.04,-0.5"), 0.035),
    (path("0.93,0.02 1.06,0.01 1.14,0"), 0.025),
)


def snail(rng: Random, colors: Palette) -> Drawing:
    """From the side: a foot with feelers under a shell that winds in a logarithmic spiral."""
    main, second, ink = colors
    lift = np.array([0, -rng.uniform(-0.1, 0.12)])
    drawing = Drawing()
    for feeler, width in SNAIL_FEELERS:
        drawing.solid(ribbon(feeler + lift, width, width * 0.7), second, 0.15)
        drawing.solid(ellipse(feeler[-1] + lift, width * 1.35, n=12), ink, 0.18)
    drawing.solid(smooth([*FOOT, *(NECK + lift)]), second, 0.18)
    drawing.mark(ribbon(path("-0.95,0.6 0,0.59 0.7,0.56"), 0.012), second * 0.7)

    radius, turns, growth = rng.uniform(0.5, 0.66), rng.uniform(2.2, 3.2), rng.uniform(0.13, 0.2)
    center = np.array([rng.uniform(-0.22, -0.08), 0.5 - radius])
    angle = np.linspace(0, turns * TURN, int(turns * 22))
    start, shrink = rng.uniform(0.15, 0.35) * TURN, np.exp(-growth * angle)
    seam = np.stack([np.cos(start - angle), np.sin(start - angle)], 1) * (radius * shrink)[:, None]
    inward = np.exp(-growth * TURN)  # the same direction one turn further in
    drawing.solid(ellipse(center, radius, radius * 0.96, n=40), main, 0.32, 0.36)
    if rng.random() < 0.6:
        drawing.mark(ribbon(center + seam * (1 + inward) / 2, 0.136 * radius, 0.004), second)
    if rng.random() < 0.6:
        for k in range(3, len(angle) - 22, 3):
            growth_line = [center + seam[k] * 0.97, center + seam[k] * inward * 1.06]
            drawing.mark(ribbon(growth_line, 0.02 * shrink[k]), main * 0.72)
    drawing.mark(ribbon(center + seam[4:] * 0.99, 0.035, 0.008), 0.5 * ink + 0.3 * main)
    return drawing


# --- hard negatives: the colors and the texture of the five, the parts of none --------------------


def pebble(rng: Random, colors: Palette) -> Drawing:
    """A rounded stone with a vein or two."""
    outline = ellipse([0, 0], 1, rng.uniform(0.6, 0.9), n=9) * rng.uniform(0.86, 1.08, (9, 1))
    drawing = Drawing()
    drawing.solid(smooth(outline), colors.main, 0.2, 0.4)
    for _ in range(rng.integers(0, 3)):
        vein = np.stack([np.linspace(-0.7, 0.7, 6), rng.normal(0, 0.2) + rng.normal(0, 0.04, 6)], 1)
        drawing.mark(turned(ribbon(vein, 0.025, 0.01), rng.random() * TURN), colors.second)
    return drawing


def leaf(rng: Random, colors: Palette) -> Drawing:
    """A leaf with midrib and side veins: the outline of a petal or a wing, alone."""
    width = rng.uniform(0.3, 0.5)
    blade = petal(width, tip=rng.uniform(0.2, 0.4), notch=-0.08, root=0.0)
    drawing = Drawing()
    drawing.solid(ribbon(path("-1.25,0.05 -0.9,0"), 0.03), colors.second, 0.1)
    drawing.solid(blade * np.array([2, 1]) - np.array([1, 0]), colors.main, 0.12, 0.1)
    drawing.mark(ribbon(path("-1,0 0.95,0"), 0.025, 0.006), colors.second)
    for x in (-0.6, -0.25, 0.1, 0.45):
        for side in SIDES:
            vein = np.array([[x, 0], [x + 0.25, side * width * 0.62]])
            drawing.mark(ribbon(vein, 0.014, 0.005), colors.second)
    return drawing


def twig(rng: Random, colors: Palette) -> Drawing:
    """A crooked twig with a side shoot: legs and feelers without an animal."""
    stick = np.stack([np.linspace(-1, 1, 6), rng.normal(0, 0.1, 6)], 1)
    drawing = Drawing()
    drawing.solid(ribbon(stick[2] + path("0,0 0.25,0.25 0.55,0.38"), 0.04, 0.015), colors.ink, 0.1)
    drawing.solid(ribbon(stick, 0.07, 0.035), colors.ink, 0.12)
    return drawing


def berry(rng: Random, colors: Palette) -> Drawing:
    """A ball with spots: the pattern of a beetle or a cap without legs or stem."""
    drawing = Drawing()
    drawing.solid(ellipse([0, 0], 1, rng.uniform(0.8, 1), n=36), colors.main, 0.3, 0.5)
    for _ in range(rng.integers(3, 8)):
        drawing.mark(ellipse(rng.uniform(-0.6, 0.6, 2), rng.uniform(0.08, 0.17)), colors.second)
    return drawing


def rings(rng: Random, colors: Palette) -> Drawing:
    """Closed rings, like a slice of wood: a snail's shell that does not wind."""
    drawing = Drawing()
    drawing.solid(ellipse([0, 0], 1, n=36), colors.main, 0.25, 0.3)
    for k, radius in enumerate((0.86, 0.62, 0.4, 0.2)):
        drawing.mark(ellipse(rng.normal(0, 0.03, 2), radius, n=30), (colors.second, colors.main)[k % 2])
    return drawing


def fallen_petals(rng: Random, colors: Palette) -> Drawing:
    """Two or three petals without a heart: a flower, or a wing, taken apart."""
    blade = petal(rng.uniform(0.25, 0.4), tip=rng.uniform(0.3, 0.8), notch=0.05)
    drawing = Drawing()
    for angle in rng.uniform(-1.1, 1.1, rng.integers(2, 4)):
        drawing.solid(turned(blade, angle), colors.main, 0.12, 0.06)
        drawing.mark(turned(blade * np.array([0.6, 0.4]), angle), colors.second)
    return drawing


def tuft(rng: Random, colors: Palette) -> Drawing:
    """Blades of grass: thin things that cut what is behind them into pieces."""
    drawing = Drawing()
    for x in rng.uniform(-0.25, 0.25, rng.integers(4, 8)):
        bend, tall = rng.normal(0, 0.35), rng.uniform(1.2, 2)
        blade = [[x, 1], [x + bend * 0.2, 1 - tall * 0.5], [x + bend, 1 - tall]]
        color = colors.main if rng.random() < 0.7 else colors.second
        drawing.solid(ribbon(blade, 0.055, 0.006), color * rng.uniform(0.8, 1), 0.15)
    return drawing


Draw = Callable[[Random, Palette], Drawing]
CLASSES: dict[str, Draw] = {draw.__name__: draw for draw in (butterfly, flower, mushroom, beetle, snail)}
DISTRACTORS: tuple[Draw, ...] = (pebble, leaf, twig, berry, rings, fallen_petals, tuft)
