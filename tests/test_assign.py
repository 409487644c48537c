"""Assignment against the golden entries of both releases and against a plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_loss import ANCHOR_CELLS, golden_cases

from yolo_edu.assign import Rule, assign
from yolo_edu.model.detect import STRIDES

Entry = tuple[int, int, int, int, int, tuple[float, float, float, float], int]


def loop_assign(
    targets: torch.Tensor, rows: int, columns: int, anchors: torch.Tensor, threshold: float, rule: Rule
) -> list[Entry]:
    """The rule as one would explain it at a blackboard; float32 as in the module, so that ties fall alike."""
    one, half = np.float32(1), np.float32(0.5)
    entries: list[Entry] = []
    for direction in ("center", "left", "up", "right", "down"):
        for a, (aw, ah) in enumerate(anchors.numpy()):
            for t, (image, label, cx, cy, w, h) in enumerate(targets.numpy()):
                gx, gy = cx * np.float32(columns), cy * np.float32(rows)
                gw, gh = w * np.float32(columns), h * np.float32(rows)
                if not max(gw / aw, one / (gw / aw), gh / ah, one / (gh / ah)) < threshold:
                    continue
                shift_x, shift_y = np.float32(0), np.float32(0)
                if direction == "left":
                    keep, shift_x = gx % one < half and gx > 1, half
                elif direction == "up":
                    keep, shift_y = gy % one < half and gy > 1, half
                elif direction == "right":
                    far = np.float32(columns) - gx
                    keep = gx % one > half and gx < columns - 1 if rule == "r1" else far % one < half and far > 1
                    shift_x = -half
                elif direction == "down":
                    far = np.float32(rows) - gy
                    keep = gy % one > half and gy < rows - 1 if rule == "r1" else far % one < half and far > 1
                    shift_y = -half
                else:
                    keep = True
                if not keep:
                    continue
                column, row = int(gx - shift_x), int(gy - shift_y)
                if rule == "r7":
                    column, row = min(max(column, 0), columns - 1), min(max(row, 0), rows - 1)
                box = (float(gx - column), float(gy - row), float(gw), float(gh))
                entries.append((int(image), a, row, column, int(label), box, t))
    return entries


@pytest.mark.parametrize("version", [1, 7])
@pytest.mark.parametrize("index", range(8))
def test_golden(version: int, index: int) -> None:
    case, arrays = golden_cases(version)[index]
    grids = [(case["height"] // s, case["width"] // s) for s in STRIDES]
    levels = assign(arrays["targets"].float(), grids, ANCHOR_CELLS, rule="r1" if version == 1 else "r7")
    for name, level in zip(("p3", "p4", "p5"), levels, strict=True):
        ours = torch.stack([level.image, level.anchor, level.row, level.column, level.label], dim=1)
        assert torch.equal(ours, arrays[f"assign_{name}"].long().reshape(-1, 5)), (case["kind"], name)
        torch.testing.assert_close(level.box, arrays[f"tbox_{name}"].float().reshape(-1, 4), rtol=1e-4, atol=1e-5)


# Coordinates on a raster of 1/64 hit cell borders and middles exactly, where the rules differ.
raster = st.integers(0, 63).map(lambda i: i / 64)
free = st.integers(0, 9999).map(lambda i: i / 10_007)
side = st.integers(1, 100).map(lambda i: i / 100)
target = st.tuples(st.integers(0, 2), st.integers(0, 4), raster | free, raster | free, side, side)


@given(st.lists(target, max_size=6), st.sampled_from(["r1", "r7"]), st.sampled_from([(4, 4), (8, 16), (5, 3)]))
def test_equals_the_loop(rows: list[tuple[float, ...]], rule: Rule, grid: tuple[int, int]) -> None:
    targets = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    (level,) = assign(targets, [grid], ANCHOR_CELLS[1:2], rule=rule)
    expected = loop_assign(targets, *grid, ANCHOR_CELLS[1], 4.0, rule)
    ours = list(zip(*(x.tolist() for x in level), strict=True))
    assert [(*o[:5], o[6]) for o in ours] == [(*e[:5], e[6]) for e in expected]
    for o, e in zip(ours, expected, strict=True):
        assert o[5] == pytest.approx(e[5], abs=1e-5)


@given(st.lists(target, min_size=1, max_size=6))
def test_every_offset_can_be_decoded(rows: list[tuple[float, ...]]) -> None:
    """The box formula reaches (−0.5, 1.5): R7 must ask for nothing outside of [−0.5, 1.5]."""
    for level in assign(torch.tensor(rows), [(16, 16), (8, 8), (4, 4)], ANCHOR_CELLS):
        assert ((level.box[:, :2] >= -0.5) & (level.box[:, :2] <= 1.5)).all()


def test_a_center_inside_a_cell_gets_two_neighbors() -> None:
    """The example of numerics_full.md: 80 × 80 grid, center (10.3, 20.7) → (10, 20), (9, 20), (10, 21)."""
    targets = torch.tensor([[0, 0, 10.3 / 80, 20.7 / 80, 10 / 640, 13 / 640]])
    (level,) = assign(targets, [(80, 80)], ANCHOR_CELLS[:1])
    cells = [(c, r) for a, c, r in zip(level.anchor, level.column, level.row, strict=True) if a == 0]
    assert [(int(c), int(r)) for c, r in cells] == [(10, 20), (9, 20), (10, 21)]


def test_a_border_center_tells_the_releases_apart() -> None:
    targets = torch.tensor([[0, 0, 0.5, 0.53, 0.2, 0.2]])  # x = 4.0 of 8 cells, exactly
    columns = {
        rule: assign(targets, [(8, 8)], ANCHOR_CELLS[1:2], rule=rule)[0].column.unique().tolist()
        for rule in ("r1", "r7")
    }
    assert columns == {"r1": [3, 4], "r7": [3, 4]}
    # R7's "right" neighbor of x = 4.0 is cell 4 itself: a duplicate row, as in the reference.
    count = {rule: len(assign(targets, [(8, 8)], ANCHOR_CELLS[1:2], rule=rule)[0].row) for rule in ("r1", "r7")}
    assert count["r7"] > count["r1"]


def test_no_targets() -> None:
    for level in assign(torch.zeros(0, 6), [(8, 8), (4, 4), (2, 2)], ANCHOR_CELLS):
        assert [len(x) for x in level] == [0] * 7
