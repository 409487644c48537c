"""Exercises of lesson 10: which anchors, which cells; `assignment_loop` has the third."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from yolo_edu.assign import chosen_cells, fitting_anchors
from yolo_edu.course.checks.assignment_loop import assign_by_hand
from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.functions import ROUNDS, judge_function

__all__ = ["anchor_test", "assign_by_hand", "neighbor_cells"]


# --- 10.1 -----------------------------------------------------------------------------------------------


def _fitting(sizes: Tensor, anchors: Tensor, threshold: float = 4.0) -> Tensor:
    return fitting_anchors(sizes, anchors, threshold)


def _overlaps(sizes: Tensor, anchors: Tensor) -> Tensor:
    """(A, M) IoU of boxes and anchors around one center."""
    common = torch.minimum(sizes[None], anchors[:, None]).prod(dim=-1)
    return common / (sizes.prod(dim=-1)[None] + anchors.prod(dim=-1)[:, None] - common)


def anchor_test(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Exercise 10.1: sizes (M, 2), anchors (A, 2), threshold → (A, M) bool."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for index in range(ROUNDS):
        anchors = 2.0 ** torch.randint(0, 4, (2 + index % 3, 2), generator=generator)
        factors = torch.exp(3.6 * torch.rand(5 + index % 2, 2, generator=generator) - 1.8)
        threshold = (4.0, 2.0, 3.0)[index % 3]
        # Exactly at the threshold, above and below: a test with ≤ differs there.
        ties = torch.tensor([[threshold, 1.0], [1.0, 1 / threshold], [1.0, 1.0]])
        factors = torch.cat([factors, ties])
        cases.append((factors * anchors[index % len(anchors)], anchors, threshold))

    def of(rule: Callable[[Tensor], Tensor], compare: Function = torch.lt) -> Function:
        """A test on what the rule makes of the (A, M, 2) ratios."""
        return lambda sizes, anchors, threshold=4.0: compare(rule(sizes[None] / anchors[:, None]), threshold)

    def worse(ratio: Tensor) -> Tensor:
        return torch.maximum(ratio, 1 / ratio)

    mistakes = [
        Mistake(
            of(lambda r: worse(r)[..., 0]),
            "you look at the widths only. A wide flat anchor would be given a tall thin object: take the worse of "
            "width and height.",
        ),
        Mistake(of(lambda r: worse(r)[..., 1]), "you look at the heights only: take the worse of width and height."),
        Mistake(
            of(lambda r: r.amax(dim=-1)),
            "you forgot the other direction: an object far too small for an anchor passes, because its ratio is small. "
            "Take the larger of r and 1/r.",
        ),
        Mistake(
            of(lambda r: (1 / r).amax(dim=-1)),
            "you divide the anchor by the object only: an object far too large for an anchor passes. Take the larger "
            "of r and 1/r.",
        ),
        Mistake(
            of(lambda r: worse(r).amax(dim=-1), torch.le),
            "a side off by exactly the threshold must fail, and passes in yours: (2σ)² comes near 4 and never reaches "
            "it. Use `<`.",
        ),
        Mistake(
            of(lambda r: worse(r).mean(dim=-1)),
            "you average width and height. The worse of the two decides: the maximum over the last axis.",
        ),
        Mistake(
            of(lambda r: worse(r).amin(dim=-1)),
            "one fitting side is not enough: the worse of the two decides, so take the maximum over the last axis.",
        ),
        Mistake(
            of(lambda r: worse(r.prod(dim=-1))),
            "you compare areas. A wide flat anchor and a tall thin object may have the same area: compare the sides.",
        ),
        Mistake(
            lambda sizes, anchors, threshold=4.0: _overlaps(sizes, anchors) > 1 / threshold,
            "that is a test by overlap (IoU), as YOLOv3 has it. Asked for: neither side off by the threshold or more.",
        ),
        Mistake(
            lambda sizes, anchors, threshold=4.0: _fitting(sizes, anchors, threshold).T,
            "the right answers in the wrong order of axes: (A, M) is asked for, anchors first.",
        ),
        Mistake(
            of(lambda r: worse(r).amax(dim=-1), lambda worst, _: worst),
            "these are the ratios. Compare them with the threshold: True or False is asked for.",
        ),
        Mistake(
            of(lambda r: worse(r).amax(dim=-1), lambda worst, _: worst < 4),
            "you compare with 4 whatever the threshold is: use the argument.",
        ),
        Mistake(
            of(lambda r: worse(r).amax(dim=-1), torch.gt),
            "turned around: your True means that the anchor does not fit.",
        ),
        Mistake(
            lambda sizes, anchors, threshold=4.0: sizes / anchors,
            "sizes (M, 2) and anchors (A, 2) do not line up: `sizes[None] / anchors[:, None]` is (A, M, 2).",
        ),
    ]
    return judge_function(
        "10.1",
        function,
        _fitting,
        "yolo_edu's own test",
        cases=cases,
        mistakes=mistakes,
        describe=lambda s, a, t: f"{len(s)} objects, {len(a)} anchors and the threshold {t:g}",
    )


# --- 10.2 -----------------------------------------------------------------------------------------------


def _neighbors(x: float, y: float, columns: int, rows: int) -> list[bool]:
    return chosen_cells(torch.tensor([[x, y]], dtype=torch.float64), rows, columns, "r1")[:, 0].tolist()


def _variant(
    before: Callable[[float, int], bool] = lambda v, n: v % 1 < 0.5 and v > 1,
    after: Callable[[float, int], bool] = lambda v, n: v % 1 > 0.5 and v < n - 1,
) -> Callable[[float, float, int, int], list[bool]]:
    """The five answers with other conditions, each of a coordinate and the number of cells along it."""
    return lambda x, y, columns, rows: [True, before(x, columns), before(y, rows), after(x, columns), after(y, rows)]


def neighbor_cells(
    function: Callable[[float, float, int, int], Sequence[bool]],
) -> Callable[[float, float, int, int], Sequence[bool]]:
    """Exercise 10.2: center x, y in cells, columns, rows → five bools: center, left, up, right, down."""
    generator = torch.Generator().manual_seed(0)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    cases: list[tuple[float, float, int, int]] = [(0.25, 3.75, 8, 4), (7.75, 0.25, 8, 4), (4.0, 2.0, 8, 4)]
    cases += [(4.5, 1.5, 8, 4), (1.0, 1.0, 8, 4), (7.0, 3.0, 8, 4)]
    for _ in range(10 * ROUNDS):
        columns, rows = number(3, 8), number(3, 8)
        cases.append((number(0, 16 * columns - 1) / 16, number(0, 16 * rows - 1) / 16, columns, rows))

    right = _variant()
    mistakes = [
        Mistake(
            lambda x, y, columns, rows: [True, False, False, False, False],
            "only the cell under the center is chosen. Two neighbors join it wherever the grid has them.",
        ),
        Mistake(
            lambda x, y, columns, rows: [True] * 5,
            "you choose all four neighbors. Only the nearest side joins: the far ones cannot reach the center "
            "(2σ − 0.5 ends at 1.5).",
        ),
        Mistake(
            _variant(lambda v, n: v > 1, lambda v, n: v < n - 1),
            "you choose all four neighbors that the grid has. Only the nearest side joins: look at the fraction.",
        ),
        Mistake(
            _variant(lambda v, n: v % 1 < 0.5, lambda v, n: v % 1 > 0.5),
            "you forgot the border of the grid: a center in the first column has no left neighbor, one in the last no "
            "right one, and rows likewise.",
        ),
        Mistake(
            lambda x, y, columns, rows: [right(x, y, columns, rows)[k] for k in (0, 2, 1, 4, 3)],
            "x and y are exchanged: x decides about left and right, y about up and down.",
        ),
        Mistake(
            lambda x, y, columns, rows: [
                True,
                y % 1 < 0.5 and y > 1,
                x % 1 < 0.5 and x > 1,
                *right(x, y, columns, rows)[3:],
            ],
            "x and y are exchanged for left and up: x decides about left.",
        ),
        Mistake(
            lambda x, y, columns, rows: right(x, y, rows, columns),
            "columns and rows are exchanged: x runs over the columns, y over the rows. A square grid hides it.",
        ),
        Mistake(
            _variant(lambda v, n: v % 1 > 0.5 and v > 1, lambda v, n: v % 1 < 0.5 and v < n - 1),
            "you choose the neighbors on the far side. A fraction below one half means: the center lies in the left "
            "half of its cell, so the left neighbor is the near one.",
        ),
        Mistake(
            lambda x, y, columns, rows: [right(x, y, columns, rows)[k] for k in (0, 1, 3, 2, 4)],
            "the right cells in another order: center, left, up, right, down is asked for.",
        ),
        Mistake(
            _variant(lambda v, n: v % 1 <= 0.5 and v > 1, lambda v, n: v % 1 >= 0.5 and v < n - 1),
            "a center exactly in the middle of its cell has no nearer side: use `<` and `>`.",
        ),
        Mistake(
            _variant(lambda v, n: v % 1 < 0.5 and v > 1, lambda v, n: v % 1 >= 0.5 and v < n - 1),
            "a center exactly in the middle of its cell has no nearer side: `>` for right and down.",
        ),
        Mistake(
            _variant(lambda v, n: v % 1 < 0.5 and v >= 1),
            "at exactly x = 1 the rule says no: `> 1`, not `>= 1`.",
        ),
        Mistake(
            _variant(lambda v, n: v % 1 < 0.5 and v > 0, lambda v, n: v % 1 > 0.5 and v < n),
            "the border of the grid is one cell off: a center in the first column (x below 1) has no left neighbor, "
            "one in the last (x above columns − 1) no right one.",
        ),
        Mistake(
            lambda x, y, columns, rows: chosen_cells(torch.tensor([[x, y]]), rows, columns, "r7")[:, 0].tolist(),
            "that is the rule of release 7.0. It differs for a center exactly on the border of two cells: here only "
            "the left (or upper) one joins.",
        ),
        Mistake(
            _variant(lambda v, n: v - int(v + 0.5) < 0.5 and v > 1, lambda v, n: v - int(v + 0.5) > 0.5 and v < n - 1),
            "the fraction is what is left after rounding *down*: `x % 1`.",
        ),
    ]
    return judge_function(
        "10.2",
        function,
        _neighbors,
        "yolo_edu's own cells",
        cases=cases,
        mistakes=mistakes,
        describe=lambda x, y, columns, rows: f"x = {x:g}, y = {y:g} on a grid of {columns} columns and {rows} rows",
    )
