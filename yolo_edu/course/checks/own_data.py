"""Exercises of lesson 15: corners become a label row, photos that belong together, rows that a new head takes over."""

from collections.abc import Callable, Sequence

import torch

from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function
from yolo_edu.course.checks.own_data_folder import PlantedFault, kept_photos, somebodys_export

__all__ = ["PlantedFault", "corners_to_row", "kept_photos", "scene_groups", "shared_rows", "somebodys_export"]

# --- 15.1 -----------------------------------------------------------------------------------------------

Row = tuple[float, float, float, float]


def _corners_to_row(x1: float, y1: float, x2: float, y2: float, width: int, height: int) -> Row:
    x1, x2 = (min(max(x, 0.0), width) for x in (x1, x2))
    y1, y2 = (min(max(y, 0.0), height) for y in (y1, y2))
    return (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height


def corners_to_row(function: Callable[..., Row]) -> Callable[..., Row]:
    """Exercise 15.1: two corners in pixels, sides of the photo → cx, cy, w, h, normalized and inside the photo."""
    generator = torch.Generator().manual_seed(0)

    def number(low: float, high: float) -> float:
        return round(low + (high - low) * torch.rand((), generator=generator).item(), 1)

    cases: list[tuple[float, ...]] = []
    for index in range(ROUNDS - 1):
        width, height = ((400, 300), (300, 400), (640, 480), (416, 234))[index % 4]
        x1, y1 = number(0, width * 0.6), number(0, height * 0.6)
        x2, y2 = number(x1 + 10, width), number(y1 + 10, height)
        if index % 5 == 1:  # a sloppy hand: over the left and the upper border, over the right and the lower one
            x1, y1 = -number(2, 20), -number(2, 20)
        if index % 5 == 3:
            x2, y2 = width + number(2, 20), height + number(2, 20)
        cases.append((x1, y1, x2, y2, width, height))
    cases.append((-60.0, -50.0, 30.0, 40.0, 400, 300))  # its center is outside: clipping that instead is a mistake too
    right = _corners_to_row

    def plain(x1: float, y1: float, x2: float, y2: float, w: int, h: int) -> Row:
        return (x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h

    def clipped_late(*case: float) -> Row:
        cx, cy, w, h = plain(*case)  # type: ignore[arg-type]
        return min(max(cx, 0.0), 1.0), min(max(cy, 0.0), 1.0), min(max(w, 0.0), 1.0), min(max(h, 0.0), 1.0)

    def of(change: Callable[[Row, Sequence[float]], Sequence[float]]) -> Function:
        """The right row, changed."""
        return lambda *case: change(right(*case), case)

    mistakes = [
        Mistake(
            plain,
            "boxes inside the photo come out right. Where a corner lies outside, the box must end at the border: clip "
            "the corners to 0 … width and 0 … height.",
        ),
        Mistake(
            clipped_late,
            "you clipped center and size. A box that is cut at one border gets another center: clip the *corners*, "
            "before you compute anything from them.",
        ),
        Mistake(
            of(lambda r, c: (r[0] - r[2] / 2, r[1] - r[3] / 2, r[2], r[3])),
            "you return the upper left corner with the size. The format wants the *center*: (x1 + x2) / 2.",
        ),
        Mistake(
            of(lambda r, c: (r[0] - r[2] / 2, r[1] - r[3] / 2, r[0] + r[2] / 2, r[1] + r[3] / 2)),
            "your corners are normalized and clipped, but they are still corners. The format wants center, then size.",
        ),
        Mistake(
            of(lambda r, c: (r[0] * c[4], r[1] * c[5], r[2] * c[4], r[3] * c[5])),
            "center and size are right, in pixels. Divide x and w by the width, y and h by the height.",
        ),
        Mistake(
            of(lambda r, c: (r[0] * c[4] / c[5], r[1] * c[5] / c[4], r[2] * c[4] / c[5], r[3] * c[5] / c[4])),
            "width and height are exchanged: x and w are divided by the width, y and h by the height.",
        ),
        Mistake(
            of(lambda r, c: tuple(v * s / max(c[4:]) for v, s in zip(r, [*c[4:], *c[4:]], strict=True))),
            "you divided everything by the long side. Each axis has its own: x and w by the width, y and h by the "
            "height.",
        ),
        Mistake(
            of(lambda r, c: (r[0], r[1], r[2] + 1 / c[4], r[3] + 1 / c[5])),
            "your boxes are one pixel too wide and too high. x here is a place on the axis, not the number of a pixel: "
            "the width is x2 − x1, without + 1.",
        ),
        Mistake(
            of(lambda r, c: (r[1], r[0], r[3], r[2])),
            "x and y are exchanged: the order is cx, cy, w, h.",
        ),
        Mistake(
            of(lambda r, c: (r[0], r[1], r[2] / 2, r[3] / 2)),
            "your w and h are half of the sides. The format wants the whole width and height.",
        ),
    ]
    return judge_function(
        "15.1",
        function,
        right,
        "yolo_edu's own conversion",
        cases=cases,
        mistakes=mistakes,
        describe=lambda *c: f"corners ({c[0]:g}, {c[1]:g}) and ({c[2]:g}, {c[3]:g}) in a photo of {c[4]} × {c[5]}",
    )


# --- 15.2 -----------------------------------------------------------------------------------------------

Pairs = Sequence[tuple[int, int]]


def _scene_groups(count: int, pairs: Pairs) -> list[int]:
    group = list(range(count))
    for i, j in pairs:
        low, high = sorted((group[i], group[j]))
        group = [low if g == high else g for g in group]
    return group


def scene_groups(function: Callable[[int, Pairs], list[int]]) -> Callable[[int, Pairs], list[int]]:
    """Exercise 15.2: number of photos, pairs that belong together → of each photo the smallest number in its group."""
    generator = torch.Generator().manual_seed(0)
    cases: list[tuple[int, list[tuple[int, int]]]] = [
        (5, [(0, 1), (1, 2)]),
        (6, [(4, 5), (3, 4), (0, 3)]),
        (7, [(0, 6), (2, 4), (4, 6), (1, 3)]),
        (8, [(6, 7), (2, 3), (4, 5), (5, 6), (3, 4)]),
        (3, []),
    ]
    while len(cases) < ROUNDS:
        count = int(torch.randint(4, 12, (), generator=generator))
        draws = torch.randint(0, count, (count // 2 + 1, 2), generator=generator).tolist()
        cases.append((count, [(min(a, b), max(a, b)) for a, b in draws if a != b]))

    def direct_only(count: int, pairs: Pairs) -> list[int]:
        return [min([i, *(a for a, b in pairs if b == i), *(b for a, b in pairs if a == i)]) for i in range(count)]

    def one_pass(count: int, pairs: Pairs) -> list[int]:
        group = list(range(count))
        for i, j in pairs:
            group[i] = group[j] = min(group[i], group[j])
        return group

    def second_joins_first(count: int, pairs: Pairs) -> list[int]:
        group = list(range(count))
        for i, j in pairs:
            group[j] = group[i]
        return group

    def relabel_all(count: int, pairs: Pairs) -> list[int]:
        group = list(range(count))
        for i, j in pairs:
            group = [group[i] if g == group[j] else g for g in group]
        return group

    def numbered(count: int, pairs: Pairs) -> list[int]:
        groups = _scene_groups(count, pairs)
        order = sorted(set(groups))
        return [order.index(g) for g in groups]

    mistakes = [
        Mistake(
            direct_only,
            "you joined each photo with its direct partners only. If 0 and 1 belong together, and 1 and 2, then 0, 1 "
            "and 2 are one group.",
        ),
        Mistake(
            one_pass,
            "each pair moves its two photos, but not those that were joined with them before. When two groups meet, "
            "*all* members of one get the other's number.",
        ),
        Mistake(
            second_joins_first,
            "the second photo of a pair leaves the group it was in. When two groups meet, *all* members of one get the "
            "other's number.",
        ),
        Mistake(
            relabel_all,
            "the groups are right, but not their numbers: a group is called by its *lowest* index.",
        ),
        Mistake(
            numbered,
            "the groups are right, but you counted them 0, 1, 2 … A group is called by its lowest index.",
        ),
        Mistake(
            lambda count, pairs: len(set(_scene_groups(count, pairs))),
            "that is how many groups there are. Asked for: one number for each photo.",
        ),
    ]
    return judge_function(
        "15.2",
        function,
        _scene_groups,
        "yolo_edu's own groups",
        cases=cases,
        mistakes=mistakes,
        describe=lambda count, pairs: f"{count} photos with the pairs {pairs}",
    )


# --- 15.3 -----------------------------------------------------------------------------------------------

Names = Sequence[str]


def _shared_rows(
    new: Names,
    old: Names,
    anchors: int,
    *,
    first: int = 5,
    by_place: bool = False,
    old_width: bool = True,
    boxes: bool = True,
    all_anchors: bool = True,
) -> list[tuple[int, int]]:
    """Row of the new prediction tensor, row of the old one with the same meaning; the options are mistakes."""
    here, there = 5 + len(new), 5 + (len(old) if old_width else len(new))
    pairs = []
    for a in range(anchors if all_anchors else 1):
        pairs += [(a * here + i, a * there + i) for i in range(5 if boxes else 0)]
        for k, name in enumerate(new):
            place = (k if k < len(old) else None) if by_place else (old.index(name) if name in old else None)
            if place is not None:
                pairs.append((a * here + first + k, a * there + first + place))
    return pairs


def shared_rows(function: Callable[[Names, Names, int], list]) -> Callable[[Names, Names, int], list]:
    """Exercise 15.3: names of the new and the old network, anchors a cell → pairs (new row, old row)."""
    words = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"]
    generator = torch.Generator().manual_seed(0)

    def some(low: int) -> list[str]:
        count = int(torch.randint(low, 6, (), generator=generator))
        return [words[i] for i in torch.randperm(len(words), generator=generator)[:count].tolist()]

    cases: list[tuple[list[str], list[str], int]] = [
        (["penguin", "shark", "jellyfish"], ["jellyfish", "penguin"], 3),
        (["cat"], ["dog", "cat"], 1),
        (["ant", "bee"], ["cat", "dog", "eel"], 3),
    ]
    cases += [(some(1), some(2), 1 + i % 3) for i in range(ROUNDS - len(cases))]

    def class_major(new: Names, old: Names, anchors: int) -> list[tuple[int, int]]:
        one = _shared_rows(new, old, 1)
        return [(i * anchors + a, j * anchors + a) for i, j in one for a in range(anchors)]

    mistakes = [
        Mistake(
            lambda *c: _shared_rows(*c, by_place=True),
            "you paired class 0 with class 0, whatever they are called. A class is known by its *name*: "
            "`old.index(name)`.",
        ),
        Mistake(
            lambda *c: _shared_rows(*c, old_width=False),
            "your old rows are counted in steps of the new width. The old tensor has 5 + len(old) rows an anchor.",
        ),
        Mistake(
            lambda *c: _shared_rows(*c, all_anchors=False),
            "the first anchor is right. Every anchor has 5 + K rows of its own: there are `anchors` of them.",
        ),
        Mistake(
            lambda *c: _shared_rows(*c, boxes=False),
            "the classes are right. Box and objectness, the first five rows of each anchor, mean the same whatever "
            "the classes: they are taken over too.",
        ),
        Mistake(
            lambda *c: _shared_rows(*c, first=4),
            "the classes begin at row 5 of an anchor: 0 to 3 are the box, 4 is objectness.",
        ),
        Mistake(
            lambda *c: [(j, i) for i, j in _shared_rows(*c)],
            "the pairs are right, but turned round: the *new* row comes first.",
        ),
        Mistake(
            class_major,
            "you laid the rows out with the anchors inside. The tensor holds one anchor after the other: "
            "row = anchor · (5 + K) + number.",
        ),
        Mistake(
            lambda *c: [i for i, _ in _shared_rows(*c)],
            "these are the new rows. Asked for: pairs of the new and the old row.",
        ),
    ]
    return judge_function(
        "15.3",
        function,
        _shared_rows,
        "yolo_edu's own pairs",
        cases=cases,
        mistakes=mistakes,
        describe=lambda new, old, anchors: f"new names {list(new)}, old names {list(old)}, {anchors} anchor(s)",
    )
