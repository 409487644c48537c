"""Exercises of lesson 06: a step of FPN, the neck of YOLOv5, the channels behind its joins."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo_edu.course.checks.compare import Function, Mistake
from yolo_edu.course.checks.counts import judge_counts
from yolo_edu.course.checks.functions import judge_function
from yolo_edu.course.figures.network_map import map_rows
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.model.detect import SIZES

__all__ = ["joined_channels", "top_down_step", "yolo_neck"]


# --- 6.1: one step of the top-down path -----------------------------------------------------------------


def _enlarged(coarse: Tensor, x: Tensor, mode: str = "nearest") -> Tensor:
    return F.interpolate(coarse, size=x.shape[-2:], mode=mode)


def _step(x: Tensor, coarse: Tensor, lateral: nn.Module, smooth: nn.Module) -> tuple[Tensor, Tensor]:
    total = lateral(x) + _enlarged(coarse, x)
    return total, smooth(total)


def _both_orders(join: Callable[..., tuple[Tensor, Tensor]], hint: str) -> list[Mistake]:
    """A sum that stops with an error names its two sides in their order."""

    def added(swap: bool) -> Function:
        def step(x: Tensor, coarse: Tensor, lateral: nn.Module, smooth: nn.Module) -> tuple[Tensor, Tensor]:
            a, b = join(x, coarse, lateral)
            total = b + a if swap else a + b
            return total, smooth(total)

        return step

    return [Mistake(added(False), hint), Mistake(added(True), hint)]


def _of_sum(total: Callable[..., Tensor], hint: str) -> Mistake:
    """A wrong sum, smoothed rightly."""

    def step(x: Tensor, coarse: Tensor, lateral: nn.Module, smooth: nn.Module) -> tuple[Tensor, Tensor]:
        wrong = total(x, coarse, lateral)
        return wrong, smooth(wrong)

    return Mistake(step, hint)


def top_down_step(function: Function) -> Function:
    """Exercise 6.1: x (B, C_in, h, w), coarse (B, C, h', w'), lateral, smooth → the sum and what the head gets."""
    cases: list[tuple[Any, ...]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for c_in, c, height, width in [(6, 4, 8, 12), (3, 5, 13, 7), (8, 2, 6, 10), (5, 3, 11, 16), (7, 9, 5, 5)]:
            x, coarse = torch.randn(2, c_in, height, width), torch.randn(2, c, -(-height // 2), -(-width // 2))
            cases.append((x, coarse, nn.Conv2d(c_in, c, 1), nn.Conv2d(c, c, 3, padding=1)))

    def smooth_too_early(x: Tensor, coarse: Tensor, lateral: nn.Module, smooth: nn.Module) -> tuple[Tensor, Tensor]:
        return lateral(x) + _enlarged(coarse, x), smooth(lateral(x)) + _enlarged(coarse, x)

    fixed = (
        "a fixed factor of 2 gives a map of 14 rows where 13 are needed: enlarge to the size of x, `size=x.shape[-2:]`."
    )
    mistakes = [
        _of_sum(
            lambda x, c, lateral: lateral(x) + _enlarged(c, x, "bilinear"),
            "you enlarge with bilinear interpolation; FPN repeats the nearest cell.",
        ),
        *_both_orders(lambda x, c, lateral: (lateral(x), F.interpolate(c, scale_factor=2.0)), fixed),
        *_both_orders(
            lambda x, c, lateral: (lateral(x), c), "the two maps have different sizes: enlarge the coarser one first."
        ),
        *_both_orders(
            lambda x, c, lateral: (x, _enlarged(c, x)),
            "x still has the backbone's channels: it must pass the lateral convolution before it can be added.",
        ),
        _of_sum(
            lambda x, c, lateral: torch.cat([_enlarged(c, x), lateral(x)], dim=1),
            "you put the maps side by side, so the channels double. FPN adds; YOLO concatenates.",
        ),
        _of_sum(
            lambda x, c, lateral: (lateral(x) + _enlarged(c, x)) / 2,
            "you return half of it: the mean. FPN takes the sum.",
        ),
        _of_sum(lambda x, c, lateral: lateral(x), "the coarser map does not arrive: your sum is the lateral alone."),
        _of_sum(
            lambda x, c, lateral: _enlarged(c, x), "the lateral does not arrive: your sum is the coarser map alone."
        ),
        Mistake(lambda *a: (_step(*a)[0],) * 2, "the second map is not smoothed: it must pass the 3 × 3 convolution."),
        Mistake(
            lambda *a: (_step(*a)[1],) * 2,
            "the smoothed map goes to the head only. What goes on to the next level is the sum before smoothing.",
        ),
        Mistake(
            lambda *a: _step(*a)[::-1], "both maps are right, in the wrong order: first the sum, then the smoothed."
        ),
        Mistake(lambda *a: _step(*a)[1], "you return the smoothed map alone; the next level needs the sum too."),
        Mistake(lambda *a: _step(*a)[0], "you return the sum alone; the head needs the smoothed map too."),
        Mistake(smooth_too_early, "you smooth the lateral and add then. The 3 × 3 convolution comes behind the sum."),
    ]
    return judge_function(
        "6.1",
        function,
        _step,
        "yolo_edu's own step",
        cases=cases,
        mistakes=mistakes,
        describe=lambda x, c, *_: f"maps of {x.shape[2]} × {x.shape[3]} and {c.shape[2]} × {c.shape[3]} cells",
        gradient=True,
    )


# --- 6.2: the neck of release 7.0 -----------------------------------------------------------------------


def _walk(
    m: Sequence[Any],
    p3: Tensor,
    p4: Tensor,
    p5: Tensor,
    *,
    swapped: Sequence[int] = (),
    l4: str = "L4",
    l5: str = "L5",
    skip: Sequence[int] = (),
) -> dict[str, Tensor]:
    """The neck with the mistakes asked for: joins in the other order, another map for a lateral, rows left out."""

    def row(number: int, x: Tensor) -> Tensor:
        return x if number in skip else m[number](x)

    def join(number: int, newest: Tensor, older: Tensor) -> Tensor:
        return m[number]([older, newest] if number in swapped else [newest, older])

    maps = {"P4": p4, "P5": p5, "L5": row(10, p5)}
    maps["13"] = m[13](join(12, row(11, maps["L5"]), p4))
    maps["L4"] = row(14, maps["13"])
    maps["N3"] = m[17](join(16, row(15, maps["L4"]), p3))
    maps["N4"] = m[20](join(19, row(18, maps["N3"]), maps[l4]))
    maps["N5"] = m[23](join(22, row(21, maps["N4"]), maps[l5]))
    return maps


def _neck(m: Sequence[Any], p3: Tensor, p4: Tensor, p5: Tensor, **wrong: Any) -> tuple[Tensor, Tensor, Tensor]:
    maps = _walk(m, p3, p4, p5, **wrong)
    return maps["N3"], maps["N4"], maps["N5"]


def yolo_neck(function: Function) -> Function:
    """Exercise 6.2: the rows of a YOLOv5v6 and P3, P4, P5 of its backbone → N3, N4, N5."""
    cases: list[tuple[Any, ...]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for height, width in [(2, 3), (4, 2), (3, 3)]:
            rows = YOLOv5v6((0.33, 0.125), 3).eval().model
            for norm in rows.modules():
                if isinstance(norm, nn.BatchNorm2d):  # a fresh one changes nothing, so a forgotten row might not show
                    nn.init.uniform_(norm.weight, 0.5, 1.5)
                    nn.init.uniform_(norm.bias, -0.5, 0.5)
            maps = [torch.randn(1, c, height * s, width * s) for c, s in ((32, 4), (64, 2), (128, 1))]
            cases.append((rows, *maps))

    def wrong(hint: str, **settings: Any) -> Mistake:
        return Mistake(lambda *a: _neck(*a, **settings), hint)

    newest = (
        "Concat puts the newest map first, the one that has just come from the row before, and the older one second."
    )
    order = [(12, 16, 19, 22), (12, 16), (19, 22), *((n,) for n in (12, 16, 19, 22))]
    names = "P3", "13", "L5"
    mistakes = [
        Mistake(
            lambda *a: _neck(*a)[::-1],
            "all three maps are right, from coarse to fine: the head wants them from the finest to the coarsest.",
        ),
        *(wrong(f"{'rows' if len(n) > 1 else 'row'} {', '.join(map(str, n))}: {newest}", swapped=n) for n in order),
        wrong("row 19 joins the output of row 14, L4. P4 and the output of row 13 have twice its channels.", l4="P4"),
        wrong("row 22 joins the output of row 10, L5. P5 itself has twice its channels.", l5="P5"),
        Mistake(
            lambda *a: (_walk(*a)["N3"], _walk(*a)["L4"], _walk(*a)["L5"]),
            "these are the maps of the top-down path. N4 and N5 are made on the way back up, rows 18 to 23.",
        ),
        Mistake(
            lambda *a: (_walk(*a)["N3"], *(_walk(*a)[n] for n in names[1:])),
            "these are the maps of the top-down path. N4 and N5 are made on the way back up, rows 18 to 23.",
        ),
        Mistake(
            lambda *a: _neck(*a)[0],
            "this is N3 alone. The head wants three maps: N3, N4 and N5.",
        ),
        Mistake(
            lambda m, p3, p4, p5: m[12](m[11](m[10](p5)), p4),
            "Concat takes one list of maps: `rows[12]([newest, older])`.",
        ),
        wrong("L5 enters its join at its own size: row 11 must enlarge it first.", skip=(11,)),
        wrong("L4 enters its join at its own size: row 15 must enlarge it first.", skip=(15,)),
        wrong("N3 enters its join at its own size: row 18 must shrink it first.", skip=(18,)),
        wrong("N4 enters its join at its own size: row 21 must shrink it first.", skip=(21,)),
        wrong("row 10 is missing: P5 passes it before anything else, and half of its channels remain.", skip=(10,)),
        wrong("row 14 is missing: it halves the channels before the second enlargement.", skip=(14,)),
    ]
    return judge_function(
        "6.2",
        function,
        _neck,
        "yolo_edu's own neck",
        cases=cases,
        mistakes=mistakes,
        describe=lambda _, p3, p4, p5: (
            f"maps of {', '.join(f'{x.shape[2]} × {x.shape[3]}' for x in (p3, p4, p5))} cells"
        ),
        gradient=True,
    )


# --- 6.3: channels behind the joins of size m -----------------------------------------------------------


def joined_channels(answers: Mapping[str, float | None]) -> dict[str, float]:
    """Exercise 6.3: the channels that the four concatenations of YOLOv5 m give."""
    with torch.device("meta"):
        rows = map_rows(YOLOv5("m", 5), 64)
    width = SIZES["m"].width
    # Who else might be taken for the older map of a join: the map that its 1 × 1 convolution has halved.
    instead = {12: 9, 16: 13, 20: 13, 24: 9}
    words = {
        12: "What row 11 enlarges is the output of row 10, which has half the channels of P5.",
        16: "What row 15 enlarges is the output of row 14, which has half the channels of row 13.",
        20: "It joins L4, the output of row 14: half the channels of P4 and of row 13.",
        24: "It joins L5, the output of row 10: half the channels of P5.",
    }
    right: dict[str, float] = {}
    slips: dict[str, dict[float, str]] = {}
    for number in (12, 16, 20, 24):
        row = rows[number]
        newest, older = (rows[source].channels for source in row.sources)
        right[f"row {number}"] = row.channels
        known = {
            float(newest): "That is one of the two maps, or their sum. A concatenation puts them side by side.",
            float(rows[instead[number]].channels + (newest if number in (20, 24) else older)): words[number],
            row.channels * SIZES["s"].width / width: f"That is size s. The width of m is {width}.",
            row.channels * SIZES["l"].width / width: f"That is size l. The width of m is {width}.",
        }
        slips[f"row {number}"] = {n: text for n, text in known.items() if n != row.channels}
    return judge_counts("6.3", answers, right, slips=slips)
