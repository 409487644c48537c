"""Exercise 10.3: the whole assignment of one level, written with loops."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from yolo_edu.assign import Rule, assign
from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.functions import judge_function

__all__ = ["assign_by_hand"]

Row = Sequence[float]
ByHand = Callable[..., Sequence[Row]]
CASES = 300
WIDTH = 9  # image, anchor, row, column, class, then x, y, width, height in cells
SHIFTS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (-0.5, 0.0), (0.0, -0.5))


def table(
    targets: Tensor, rows: int, columns: int, anchors: Tensor, threshold: float = 4.0, rule: Rule = "r7"
) -> list[Row]:
    """`assign` for one level as a list of rows of nine numbers: what the exercise asks for."""
    (level,) = assign(targets, [(rows, columns)], anchors[None], anchor_threshold=threshold, rule=rule)
    numbers = torch.stack([level.image, level.anchor, level.row, level.column, level.label], dim=1)
    return torch.cat([numbers.float(), level.box], dim=1).tolist()


# --- wrong ways -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Way:
    """The assignment with knobs to turn it wrong; as it stands, right."""

    swap_output: bool = False  # row and column exchanged in the entries
    swap_scale: bool = False  # x multiplied by rows
    round_cell: bool = False
    clamp: str = "r7"  # "never", "always" or "r7"
    rule: str = ""  # one rule of neighbors whatever was asked
    relative: str = "cell"  # what the box's center is measured from: "cell", "grid", "image", "center cell"
    size: str = "cells"  # or "image", or "anchors"
    test: str = "cells"  # sizes in the anchor test: or "image"
    strict: bool = True
    order: str = "dat"  # direction, anchor, target: the outermost loop first
    offsets: int = 5  # how many directions
    once: bool = False  # each (image, anchor, row, column, target) once
    guard: bool = True  # the grid's borders
    label: bool = True

    def __call__(
        self, targets: Tensor, rows: int, columns: int, anchors: Tensor, threshold: float, rule: str
    ) -> list[list[float]]:
        asked, rule = rule, self.rule or rule
        found, seen = [], set()
        for direction, a, t in self._loops(len(anchors), len(targets)):
            (aw, ah), (image, label, cx, cy, w, h) = anchors[a].tolist(), targets[t].tolist()
            across, down = (rows, columns) if self.swap_scale else (columns, rows)
            x, y, gw, gh = cx * across, cy * down, w * across, h * down
            tw, th = (gw, gh) if self.test == "cells" else (w, h)
            worst = max(tw / aw, aw / tw, th / ah, ah / th)
            if not (worst < threshold if self.strict else worst <= threshold):
                continue
            if not self._chosen(direction, x, y, columns, rows, rule):
                continue
            cell = [v - s for v, s in zip((x, y), SHIFTS[direction], strict=True)]
            column, row = (round(v) if self.round_cell else int(v) for v in cell)
            if self.clamp == "always" or (self.clamp == "r7" and asked == "r7"):
                column, row = min(max(column, 0), columns - 1), min(max(row, 0), rows - 1)
            key = (image, a, row, column, t)
            if self.once and key in seen:
                continue
            seen.add(key)
            place = {
                "cell": (x - column, y - row),
                "grid": (x, y),
                "image": (cx, cy),
                "center cell": (x % 1, y % 1),
            }[self.relative]
            size = {"cells": (gw, gh), "image": (w, h), "anchors": (gw / aw, gh / ah)}[self.size]
            index = (column, row) if self.swap_output else (row, column)
            found.append([image, a, *index, label if self.label else 0, *place, *size])
        return found

    def _loops(self, anchors: int, targets: int) -> Iterator[tuple[int, int, int]]:
        ends = {"d": self.offsets, "a": anchors, "t": targets}
        for i in range(ends[self.order[0]]):
            for j in range(ends[self.order[1]]):
                for k in range(ends[self.order[2]]):
                    at = dict(zip(self.order, (i, j, k), strict=True))
                    yield at["d"], at["a"], at["t"]

    def _chosen(self, direction: int, x: float, y: float, columns: int, rows: int, rule: str) -> bool:
        if direction == 0:
            return True
        v, n = (x, columns) if direction in (1, 3) else (y, rows)
        if direction in (1, 2):
            return v % 1 < 0.5 and (v > 1 or not self.guard)
        if rule == "r1":
            return v % 1 > 0.5 and (v < n - 1 or not self.guard)
        return (n - v) % 1 < 0.5 and (n - v > 1 or not self.guard)


_WAYS = [
    (
        _Way(swap_output=True),
        "row and column are exchanged: an entry is (image, anchor, row, column, …), the row comes from y. On a square "
        "grid this stops nowhere, and the network learns every object at its mirror image.",
    ),
    (
        _Way(swap_scale=True),
        "x and width are multiplied by the columns, y and height by the rows; yours the other way round. On a square "
        "grid nobody notices.",
    ),
    (
        _Way(round_cell=True),
        "the cell is found by rounding down, not to the nearest: x = 3.7 lies in column 3. Use `int(…)`.",
    ),
    (
        _Way(relative="grid"),
        "the box's center is measured from the cell's corner: subtract column and row. Yours is measured from the "
        "corner of the grid.",
    ),
    (_Way(relative="image"), "the box's center is still normalized. Asked for: cells, from the corner of the cell."),
    (
        _Way(relative="center cell"),
        "the neighbors' boxes are wrong: each entry measures the center from *its own* cell. The left neighbor sees a "
        "fraction of .3 at 1.3.",
    ),
    (_Way(size="image"), "the cells are right, but the box's width and height are still normalized, not in cells."),
    (
        _Way(size="anchors"),
        "the cells are right, but you divide the box's size by the anchor. Width and height in cells are asked for; "
        "the loss decodes the prediction, it does not encode the truth.",
    ),
    (
        _Way(test="image"),
        "the anchors are in cells of this level: bring width and height into cells *before* you divide by the anchor.",
    ),
    (_Way(size="image", test="image"), "width and height are normalized: multiply them by columns and rows first."),
    (
        _Way(clamp="never"),
        "release 7.0 keeps cells inside the grid: a center exactly at the right or lower border of the image lies in "
        "the last cell. Clamp column and row.",
    ),
    (_Way(clamp="always"), "you clamp for the June 2020 release too. It has no clamp: only for rule r7."),
    (_Way(rule="r1"), "you follow the June 2020 border rule for both. In release 7.0 right and down are measured from "
     "the far side: columns − x."),
    (_Way(rule="r1", clamp="never"), "you follow the June 2020 rule for both: `rule` says which is asked for."),
    (_Way(rule="r7", clamp="always"), "you follow release 7.0 for both: `rule` says which is asked for."),
    (_Way(rule="r7"), "right and down are measured from the far side in release 7.0 only: look at `rule`."),
    (_Way(strict=False), "an anchor off by exactly the threshold must fail: use `<`."),
    (_Way(guard=False), "you forgot the border of the grid: in the first column there is no left neighbor."),
    (_Way(guard=False, clamp="always"), "you forgot the border of the grid, and the clamp hides it: no neighbor there, "
     "rather than the border cell twice."),
    (_Way(offsets=1), "only the cell under the center is there. Its neighbors are missing."),
    (_Way(once=True), "you drop entries that occur twice. In release 7.0 a center exactly on a border gives its cell "
     "twice, and both count."),
    (_Way(label=False), "the class is missing from the entries: it is the second number of a target."),
    (_Way(order="dta"), "the right entries in another order: inside a direction anchors come first, then targets."),
    (_Way(order="adt"), "the right entries in another order: the directions are the outermost loop, then the anchors."),
    (_Way(order="tad"), "the right entries in another order: directions outside, then anchors, then targets."),
    (_Way(order="tda"), "the right entries in another order: directions outside, then anchors, then targets."),
    (_Way(order="atd"), "the right entries in another order: directions outside, then anchors, then targets."),
]  # fmt: skip


# --- the check ------------------------------------------------------------------------------------------


def _cases() -> list[tuple[Any, ...]]:
    """Targets, rows, columns, anchors, threshold, rule: centers on borders, in middles and between, empty targets."""
    generator = torch.Generator().manual_seed(0)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    cases: list[tuple[Any, ...]] = []
    for index in range(CASES):
        rows, columns, count = number(2, 6), number(2, 8), number(0, 4)
        anchors = 2.0 ** torch.randint(-1, 3, (number(1, 3), 2), generator=generator)
        raster = torch.randint(0, 65, (count, 2), generator=generator) / 64  # 1 included: the border of the image
        free = torch.rand(count, 2, generator=generator)
        center = raster if index % 3 else free
        size = torch.randint(1, 65, (count, 2), generator=generator) / 64
        head = torch.stack([torch.randint(0, n, (count,), generator=generator) for n in (3, 5)], dim=1)
        targets = torch.cat([head.float(), center, size], dim=1)
        cases.append((targets, rows, columns, anchors, (4.0, 2.0)[index % 5 == 0], ("r1", "r7")[index % 2]))
    return cases


def _tensor(rows: Any) -> Any:
    """A learner's list of rows as a table (E, 9); what is no such list, as it is."""
    if isinstance(rows, (list, tuple)):
        return torch.tensor([[float(v) for v in row] for row in rows]).reshape(len(rows), -1 if len(rows) else WIDTH)
    return rows


def assign_by_hand(function: ByHand) -> ByHand:
    """Exercise 10.3: targets (M, 6), rows, columns, anchors (A, 2) in cells, threshold, rule → rows of nine numbers."""

    def adapted(way: Function) -> Function:
        return lambda *case: _tensor(way(*case))

    def permuted(*case: Any) -> Any:
        """The learner's own answer if only its order is wrong."""
        mine, right = _tensor(function(*case)), _tensor(table(*case))
        alike = mine.shape == right.shape and torch.allclose(_sorted(mine), _sorted(right), atol=1e-4)
        return mine if alike else None

    mine = adapted(function)
    mistakes = [Mistake(adapted(way), hint) for way, hint in _WAYS]
    mistakes.append(Mistake(permuted, "the right entries in another order: directions, then anchors, then targets."))
    answer = judge_function(
        "10.3",
        mine,
        adapted(table),
        "yolo_edu's own assignment",
        cases=_cases(),
        mistakes=mistakes,
        describe=_words,
    )
    return function if answer is mine else table


def _sorted(rows: Tensor) -> Tensor:
    return torch.tensor(sorted((rows * 1000).round().tolist())).reshape(rows.shape) / 1000


def _words(targets: Tensor, rows: int, columns: int, anchors: Tensor, threshold: float, rule: str) -> str:
    shapes = ", ".join(f"{w:g} × {h:g}" for w, h in anchors.tolist())
    grid = f"{rows} rows × {columns} columns"
    count = f"{len(targets)} target{'' if len(targets) == 1 else 's'}"
    return f"{count} on {grid}, anchors {shapes}, threshold {threshold:g}, rule {rule!r}"
