"""Lesson 10: figures and the microscope say what `assign` says; the judges' helpers; numbers of the prose."""

import re
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from test_assign import loop_assign

from yolo_edu.anchors import default_anchors
from yolo_edu.assets import sample_data
from yolo_edu.assign import assign
from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.checks.assignment_loop import _cases, table
from yolo_edu.course.figures import assignment as assignment_figures
from yolo_edu.course.widgets import frame
from yolo_edu.data import DetectionData, collate, letterbox, read_spec
from yolo_edu.model.detect import STRIDES

ANCHORS = default_anchors()
CELLS = ANCHORS / torch.tensor(STRIDES)[:, None, None]
GRIDS = [(256 // stride, 256 // stride) for stride in STRIDES]


def words(figure: plt.Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_text())


def target(x: float, y: float, w: float, h: float) -> torch.Tensor:
    """One object, given in pixels of a square of 256."""
    return torch.tensor([0, 0, x / 256, y / 256, w / 256, h / 256])


# --- figures --------------------------------------------------------------------------------------------


def test_the_rule_s_figure_follows_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = figures.neighbor_rule((0.31, 0.62))
    text = words(figure)
    for quadrant in ("left and up", "right and up", "left and down", "right and down"):
        assert quadrant in text
    assert "x 1.31\ny 0.62\nin reach" in text
    assert "x −0.69\ny 0.62\nout of reach" in text
    assert text.count("in reach") == 4  # center, two neighbors, and the diagonal between them
    hatched = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and p.get_hatch()]
    assert len(hatched) == 2 * 5  # two neighbors in each of five grids
    monkeypatch.setattr(
        assignment_figures, "chosen_cells", lambda *_: torch.tensor([[1], [0], [0], [1], [0]], dtype=torch.bool)
    )
    text = words(figures.neighbor_rule())
    assert "left" not in text.split("four quadrants of a cell")[1]
    plt.close("all")


def test_the_squares_of_the_ratio_figure_are_what_an_anchor_takes() -> None:
    anchors = torch.tensor([[[8.0, 16]], [[20, 20]], [[100, 50]]])
    figure = figures.ratio_regions(anchors, threshold=3.0)
    for ax, (w, h) in zip(figure.axes, anchors[:, 0].tolist(), strict=True):
        bounds = ax.patches[0].get_bbox().extents
        assert bounds == pytest.approx([w / 3, h / 3, 3 * w, 3 * h], rel=1e-6)
    assert "8 × 16" in words(figure)
    plt.close("all")


def test_one_box_in_six_frames() -> None:
    """A box of 64 × 32 around (80, 56) in the square: column 5, row 3 of P4 at offset 0, 0.5."""
    photo = torch.zeros(3, 256, 512, dtype=torch.uint8)  # scaled by a half, 64 pixels of padding above
    box = torch.tensor([96.0, -48, 224, 16])  # its center lies at y = 56 of the square
    figure = figures.box_frames(photo, box, 256, 1, torch.tensor([4.0, 2.0]))
    outlines = [[p.get_bbox().extents.tolist() for p in ax.patches if not p.get_fill()] for ax in figure.axes[:5]]
    assert outlines[0] == [box.tolist()]
    assert outlines[1] == [[48, 40, 112, 72]]
    assert outlines[2] == [[48 / 256, 40 / 256, 112 / 256, 72 / 256]]
    assert outlines[3] == [[3, 2.5, 7, 4.5]]
    assert outlines[4] == [[-2, -0.5, 2, 1.5]]
    # Offset 0 is (2σ − 0.5 = 0) raw −ln 3; offset 0.5 and the size of the anchor are raw 0.
    assert [p.get_width() for p in figure.axes[5].patches] == pytest.approx([-1.0986, 0, 0, 0], abs=1e-4)
    plt.close("all")


@pytest.mark.parametrize("rule", ["r1", "r7"])
@pytest.mark.parametrize("x", [0.0, 3.0, 92.7, 96.0, 100.0, 128.0, 255.5, 256.0])
def test_lit_cells_are_named_as_they_were_chosen(rule: Any, x: float) -> None:
    for (rows, columns), shapes, stride in zip(GRIDS, CELLS, STRIDES, strict=True):
        (level,) = assign(target(x, 70.3, 40, 40)[None], [(rows, columns)], shapes[None], rule=rule)
        named = figures.lit_cells(level)
        cells = list(zip(level.row.tolist(), level.column.tolist(), strict=True))
        assert set(named) == set(cells)
        used = len(set(level.anchor.tolist()))
        for place, letters in named.items():
            times = cells.count(place) // used
            assert letters.endswith(f"×{times}") == (times > 1)
        column = min(int(x / stride), columns - 1) if rule == "r7" else int(x / stride)
        assert named[int(70.3 / stride), column].startswith("C")


def test_the_microscope_draws_cells_and_anchors() -> None:
    figure = figures.entry_cells(torch.zeros(3, 256, 256), target(92.7, 142.2, 62.5, 70.1), CELLS)
    levels = assign(target(92.7, 142.2, 62.5, 70.1)[None], GRIDS, CELLS)
    for ax, level, shapes, stride in zip(figure.axes, levels, ANCHORS, STRIDES, strict=True):
        filled = {p.get_xy() for p in ax.patches if p.get_fill()}
        assert filled == {
            (c * stride, r * stride) for r, c in zip(level.row.tolist(), level.column.tolist(), strict=True)
        }
        sizes = {(round(p.get_width(), 2), round(p.get_height(), 2)) for p in ax.patches if not p.get_fill()}
        assert sizes == {(62.5, 70.1), *((w, h) for w, h in shapes[level.anchor.unique()].tolist())}
        named = [text.get_text() for text in ax.get_legend().get_texts()]
        assert named == [f"{w:.0f} × {h:.0f}" for w, h in shapes[level.anchor.unique()].tolist()]
        assert f"{len(level.anchor.unique())} of 3 anchors fit,\n{len(level.row)} entries" in ax.get_title()
    plt.close("all")


def test_a_shared_cell_with_the_boxes_that_claim_it() -> None:
    targets = torch.stack([target(100, 96, 40, 60), target(60, 96, 30, 60)])
    figure = figures.shared_cell(torch.zeros(3, 256, 256), targets, ["jack", "queen"], 32, (3, 2))
    (ax,) = figure.axes
    assert [p.get_bbox().bounds for p in ax.patches if p.get_fill()] == [(64, 96, 32, 32)]
    assert [p.get_bbox().bounds for p in ax.patches if not p.get_fill()] == [(80, 66, 40, 60), (45, 66, 30, 60)]
    assert [text.get_text() for text in ax.texts] == ["jack", "queen", "L of\njack\nR of\nqueen"]
    plt.close(figure)


# --- the widget -----------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: calls.append(fallback))
    return calls


def entries_of(page: str) -> list[list[str]]:
    """The rows of the page's second table."""
    rows = re.findall(r"<tr>(.*?)</tr>", page.split("The entries")[1])
    return [re.findall(r"<td>(.*?)</td>", row) for row in rows[1:]]


def test_the_microscope_shows_what_assign_says(shown: list[str]) -> None:
    square = torch.full((3, 256, 256), 90, dtype=torch.uint8)
    explorer = widgets.assignment_explorer(square, [61, 107, 123.4, 177.2], ANCHORS, name="<ace>")
    boxes, level, rule, view = *explorer.controls.values(), explorer.view

    for place, name, release in (
        ([60.0, 107, 124, 177.2], "P4", "r7"),
        ([10.0, 20, 51, 70], "all", "r7"),
        ([64.0, 112, 128, 176], "P3", "r1"),
        ([64.0, 112, 128, 176], "P3", "r7"),
        ([0.0, 0, 3, 256], "all", "r1"),
    ):
        boxes.value, level.value, rule.value = [place], name, release
        x1, y1, x2, y2 = place
        wanted = assign(target((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)[None], GRIDS, CELLS, rule=rule.value)
        slots = sum(torch.stack(one[1:4]).unique(dim=1).shape[1] for one in wanted)
        assert f"<b>{slots} of 4,032 slots</b>" in view.value
        assert f"(entries: {', '.join(f'P{k} {len(one.row)}' for k, one in enumerate(wanted, start=3))})" in view.value
        rows = [
            [known, *(str(int(v[e])) for v in (one.anchor, one.row, one.column))]
            for known, one in zip(("P3", "P4", "P5"), wanted, strict=True)
            if name in (known, "all")
            for e in range(len(one.row))
        ]
        assert [row[:4] for row in entries_of(view.value)] == rows if rows else "None: no anchor" in view.value
        lit = sum(
            len(figures.lit_cells(one))
            for known, one in zip(("P3", "P4", "P5"), wanted, strict=True)
            if name in (known, "all") and len(one.row)
        )
        assert boxes.overlay.count("<rect") == lit

    assert "&lt;ace&gt;" in view.value
    assert "<ace>" not in view.value
    assert "21 of 4,032" in shown[0]  # its default state, for pages without widgets
    assert shown[0].count("<rect") == 3 + 2  # three cells of P4, and the box with its rim
    assert 'aria-label="A photo with the box' in shown[0]


def test_the_microscope_gives_its_reasons(shown: list[str]) -> None:
    square = torch.zeros(3, 256, 256, dtype=torch.uint8)
    explorer = widgets.assignment_explorer(square, [60, 110, 124, 174], ANCHORS)
    boxes, _, rule, view = *explorer.controls.values(), explorer.view

    def says(x: float, y: float) -> str:
        boxes.value = [[x - 30, y - 30, x + 30, y + 30]]
        return view.value

    assert "x = 5.79, column 5: the fraction .79 is above .5, so the right neighbor too" in says(92.6, 100.0)
    assert "y = 6.25, row 6: the fraction .25 is below .5, so the upper neighbor too" in view.value
    assert "x = 6.00, column 6: exactly on a border, so the left neighbor too, and the cell itself a second" in says(
        96, 100
    )
    rule.value = "r1"
    assert "x = 6.00, column 6: exactly on a border, so the left neighbor too; y" in view.value
    assert "x = 6.50, column 6: exactly in the middle, no neighbor" in says(104, 100)
    assert "x = 15.75, column 15: the fraction .75 is above .5, but there is no right neighbor" in says(252, 100)
    assert "x = 0.25, column 0: the fraction .25 is below .5, but there is no left neighbor" in says(4, 100)
    assert "the fraction is just below 1, so the right neighbor too" in says(95.99, 100)
    boxes.value = [[0.0, 0, 3, 3]]
    assert "P4</b>: no anchor fits, so no cell is chosen." in view.value


def test_what_the_lesson_says_to_try() -> None:
    """Shift and → makes the box 64 wide, then 16 × 30 drops out; at x = 96 the releases differ."""
    start = assign(target(92.5, 142, 63, 70)[None], GRIDS, CELLS)
    assert sum(len(level.row) for level in start) == 21
    assert [len(assign(target(x, 142, w, 70)[None], GRIDS, CELLS)[0].row) for x, w in ((92.5, 63), (93, 64))] == [6, 3]
    counts = [
        [len(one.row) for one in assign(target(96, 142, 64, 70)[None], GRIDS, CELLS, rule=rule)]
        for rule in ("r1", "r7")
    ]
    assert all(old < new for old, new in zip(*counts, strict=True))


# --- the oracles of the exercises, and what the prose says -----------------------------------------------


def not_filled_in(*_: object) -> None:
    raise NotImplementedError


def test_the_checks_go_on_with_what_the_module_does() -> None:
    test = checks.anchor_test(not_filled_in)
    assert test(torch.tensor([[39.5, 51.0]]), ANCHORS.view(9, 2)).sum() == 8  # the threshold is 4 if none is given
    neighbors = checks.neighbor_cells(not_filled_in)
    assert neighbors(4.0, 2.7, 8, 8) == [True, True, False, False, True]
    by_hand = checks.assign_by_hand(not_filled_in)
    assert len(by_hand(target(92.7, 142.2, 62.5, 70.1)[None], 16, 16, CELLS[1])) == 9  # release 7.0 if none is given


def test_the_oracle_of_the_loops_is_a_loop_of_its_own() -> None:
    for targets, rows, columns, anchors, threshold, rule in _cases():
        expected = [[*entry[:5], *entry[5]] for entry in loop_assign(targets, rows, columns, anchors, threshold, rule)]
        mine = table(targets, rows, columns, anchors, threshold, rule)
        assert len(mine) == len(expected)
        assert torch.allclose(torch.tensor(mine), torch.tensor(expected), atol=1e-5)


def test_the_cases_hold_what_the_lesson_says() -> None:
    cases = _cases()
    assert len(cases) == 300
    assert any(len(case[0]) == 0 for case in cases)
    assert max(len(case[0]) for case in cases) == 4
    assert any(case[0][:, 0].unique().numel() == 3 for case in cases)
    assert any(case[1] > case[2] for case in cases)
    assert any(case[1] < case[2] for case in cases)
    assert {case[5] for case in cases} == {"r1", "r7"}
    centers = torch.cat([case[0][:, 2:4] * torch.tensor([case[2], case[1]]) for case in cases])
    assert (centers % 1 == 0).any()
    assert (centers % 1 == 0.5).any()
    assert (torch.cat([case[0][:, 2:4] for case in cases]) == 1).any()


def test_double_precision_answers_the_batch_of_the_lesson_alike() -> None:
    """A learner's loop may calculate in Python's numbers throughout."""
    cards = DetectionData(read_spec(sample_data()), "val", image_size=256, cache=False)
    batch = collate([cards[i] for i in range(26, 42)], 256)
    for rule in ("r1", "r7"):
        ours = assign(batch.targets, GRIDS, CELLS, rule=rule)  # type: ignore[arg-type]
        doubles = assign(batch.targets.double(), GRIDS, CELLS.double(), rule=rule)  # type: ignore[arg-type]
        for a, b in zip(ours, doubles, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a[:5], b[:5], strict=True))


def test_numbers_of_the_prose() -> None:
    cards = DetectionData(read_spec(sample_data()), "val", image_size=256, cache=False)
    batch = collate([cards[i] for i in range(26, 42)], 256)
    assert len(batch.targets) == 44
    assert sum(len(level.row) for level in assign(batch.targets, GRIDS, CELLS)) > 800
    large = DetectionData(read_spec(sample_data()), "val", image_size=416, cache=False)[28]
    assert large.image.shape[1:] == (416, 312)
    _, placed = letterbox(large.image, 256)
    assert placed.apply(large.boxes[0]).round().tolist() == [61, 107, 124, 177]  # the start of the microscope
    left, top, right, bottom = placed.apply(large.boxes[0]).tolist()
    assert (round(right - left, 1), round(bottom - top, 1)) == (62.5, 70.1)
    assert (round((left + right) / 32, 2), round((top + bottom) / 32, 2)) == (5.79, 8.89)
    levels = assign(target((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)[None], GRIDS, CELLS)
    assert sum(len(level.anchor.unique()) for level in levels) == 7
    assert [set(figures.lit_cells(level).values()) for level in levels] == [
        {"C", "R", "D"},
        {"C", "R", "D"},
        {"C", "R", "U"},
    ]
