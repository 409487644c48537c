"""The map of the network as SVG, drawn once, with ways laid over it: a redraw is a few lines of text."""

import html
from collections.abc import Collection

from yolo_edu.course.figures.diagram import DIM, FADED, GRAY, INK, LEVEL_COLORS, PLAIN, hex_color
from yolo_edu.course.figures.neck_ways import Way, level_rows, row_graph
from yolo_edu.course.figures.network_map import Row
from yolo_edu.model import Detector

# Pixels. A cell, from one cell to the next, free space in a band, the left of every column of cells.
WIDTH, HEIGHT, PITCH, FREE = 196, 25, 39, 14
LEFT = {"backbone": 106, "top-down": 354, "bottom-up": 602}
PAGE, HEAD = 812, 34
TITLES = {"backbone": "backbone", "top-down": "neck, top-down", "bottom-up": "neck, bottom-up"}
WAYS = ((hex_color(2), "", 4), (hex_color(5), ' stroke-dasharray="9 5"', -4))  # fewest, most: color, dash, shift

Point = tuple[float, float]


class WayMap:
    """A detector's backbone and neck, image at the top, and ways through them.

    Attributes:
        graph: its rows, and the convolutions between them.
        numbers: the rows on the map; -1 is the image.
        levels: P3, P4, P5, L4, L5, N3, N4, N5 → row.
    """

    def __init__(self, model: Detector) -> None:
        self.graph = row_graph(model)
        self._rows = {row.number: row for row in self.graph.rows if row.part in LEFT}
        self.numbers = [-1, *self._rows]
        self.levels = level_rows(self.graph.rows)
        self._bands, self._place = self._layout()
        self._height = max(end for _, end in self._bands.values())
        self._base = self._drawn(model)

    def name(self, number: int) -> str:
        """What a reader chooses from: "row 4, BottleneckCSP (P3)"."""
        if number < 0:
            return "the image"
        level = "".join(f" ({name})" for name, row in self.levels.items() if row == number)
        return f"row {number}, {self._rows[number].name}{level}"

    def svg(self, fewest: Way | None, most: Way | None, closed: Collection[int] = ()) -> str:
        """The map with both ways; closed rows are crossed out."""
        parts = [self._base]
        for number in closed:
            x, y = self._place[number]
            style = f'stroke="{INK}" stroke-width="2.5"'
            parts.append(f'<path d="M{x} {y} l{WIDTH} {HEIGHT} m0 {-HEIGHT} l{-WIDTH} {HEIGHT}" {style}/>')
        for way, (color, dash, shift) in zip((fewest, most), WAYS, strict=True):
            if way is None:
                continue
            style = f'fill="none" stroke="{color}" stroke-width="3.5" stroke-linejoin="round"{dash}'
            for row in way.rows:
                x, y = self._place[row]
                edge = 1 if shift > 0 else 4.5  # one frame around the other
                box = f'x="{x - edge}" y="{y - edge}" width="{WIDTH + 2 * edge}" height="{HEIGHT + 2 * edge}"'
                parts.append(f'<rect {box} rx="6" {style}/>')
            for source, row in zip(way.rows, way.rows[1:], strict=False):
                parts.append(f'<polyline points="{_points(_beside(self._wire(source, row), shift))}" {style}/>')
        return "".join([*parts, "</svg>"])

    def _layout(self) -> tuple[dict[int, Point], dict[int, Point]]:
        """Top and bottom of a band for every stride, left and top of every cell."""
        bands: dict[int, Point] = {}
        place: dict[int, Point] = {-1: (LEFT["backbone"], HEAD)}
        top: float = HEAD + PITCH
        for stride in sorted({row.stride for row in self._rows.values()}):
            chains = {p: [r.number for r in self._rows.values() if (r.part, r.stride) == (p, stride)] for p in LEFT}
            chains["top-down"].reverse()  # the coarse grids stand below: this path is read upwards
            tallest = max(map(len, chains.values()))
            for part, chain in chains.items():
                for slot, number in enumerate(chain, start=tallest - len(chain)):
                    place[number] = LEFT[part], top + FREE / 2 + slot * PITCH
            bands[stride] = top, top + tallest * PITCH + FREE
            top = bands[stride][1]
        return bands, place

    def _wire(self, source: int, row: int) -> list[Point]:
        (x1, y1), (x2, y2) = self._place[source], self._place[row]
        if x1 == x2:
            down = y2 > y1
            return [(x1 + WIDTH / 2, y1 + HEIGHT * down), (x1 + WIDTH / 2, y2 + HEIGHT * (not down))]
        right, y1, y2 = x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2
        gutter = x2 - (17 if abs(y2 - y1) > 2.5 * PITCH else 34)  # a long way near its end: so they do not cross
        return [(right, y1), (x2, y2)] if y1 == y2 else [(right, y1), (gutter, y1), (gutter, y2), (x2, y2)]

    def _drawn(self, model: Detector) -> str:
        """All that never changes; the closing tag is left out."""
        levels = dict(zip(model.strides, LEVEL_COLORS, strict=True))
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PAGE} {self._height}" '
            'font-family="DejaVu Sans, Verdana, sans-serif" font-size="13">'
            f'<rect width="{PAGE}" height="{self._height}" fill="white"/>'
        ]
        for part, title in TITLES.items():
            parts.append(_text(LEFT[part] + WIDTH / 2, 20, title, weight="bold"))
        for stride, (top, end) in self._bands.items():
            color = LEVEL_COLORS[levels[stride]] if stride in levels else GRAY
            box = f'x="2" y="{top}" width="{PAGE - 4}" height="{end - top - 5}" rx="6"'
            parts.append(f'<rect {box} fill="{color}" fill-opacity="0.17"/>')
            words = [name for name in (levels.get(stride), f"stride {stride}") if name]
            for line, text in enumerate(words, start=1):
                parts.append(_text(50, (top + end) / 2 - 7 - 8.5 * len(words) + 17 * line, text))
        for row in self._rows.values():
            for source in row.sources:
                wire = self._wire(source, row.number)
                parts.append(f'<polyline points="{_points(wire)}" fill="none" stroke="{DIM}" stroke-width="1.2"/>')
                parts.append(_head(*wire[-2:]))
        parts += [self._cell(number, self._rows.get(number)) for number in self.numbers]
        return "".join(parts)

    def _cell(self, number: int, row: Row | None) -> str:
        x, y = self._place[number]
        box = f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{PLAIN}" stroke="{FADED}"/>'
        if row is None:
            return box + _text(x + WIDTH / 2, y + 17, "image")
        mark = next((name for name, r in self.levels.items() if r == number), "")
        words = (_text(x + 8, y + 17, str(number), anchor="start"), _text(x + 36, y + 17, row.name, anchor="start"))
        return box + "".join(words) + _text(x + WIDTH - 8, y + 17, mark, anchor="end", weight="bold")


def _text(x: float, y: float, text: str, *, anchor: str = "middle", weight: str = "normal") -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}" fill="{INK}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{html.escape(text)}</text>'


def _beside(points: list[Point], shift: float) -> list[Point]:
    """A wire `shift` pixels beside its own place; it still ends at the edges of its two cells."""
    (first, y1), *_, (last, y2) = points
    if first == last:
        return [(x + shift, y) for x, y in points]
    inner = [(x + shift, y + shift) for x, y in points[1:-1]]
    return [(first, y1 + shift), *inner, (last, y2 + shift)]


def _points(points: list[Point]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _head(before: Point, tip: Point) -> str:
    """The head of an arrow that runs along an axis."""
    (x1, y1), (x, y) = before, tip
    dx, dy = (x > x1) - (x < x1), (y > y1) - (y < y1)
    corners = [(x, y), (x - 7 * dx - 3.5 * dy, y - 7 * dy - 3.5 * dx), (x - 7 * dx + 3.5 * dy, y - 7 * dy + 3.5 * dx)]
    return f'<polygon points="{_points(corners)}" fill="{DIM}"/>'
