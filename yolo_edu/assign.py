"""Target assignment: which cell of which level must predict which object, and with which anchor.

The rule has no published paper; it is the detector's own. A target is handed to every anchor whose size is
within a factor of it, on every level, and inside a level to the cell under its center and up to two
neighboring cells. So one object may train up to nine anchors, each in three cells (release R7: up to five for
a center exactly on a border).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Rule = Literal["r1", "r7"]

# How far the center is pushed to reach the neighbor, in cells (x, y): none, left, up, right, down.
OFFSETS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (-0.5, 0.0), (0.0, -0.5))


class Assignment(NamedTuple):
    """The E entries of one level; entry e says: this anchor in this cell must predict this box.

    Their order is part of the contract (the last of several entries in one cell decides its objectness):
    all center cells, then left, up, right, down neighbors; inside each by anchor, then by target.
    """

    image: Tensor  # (E,) index into the batch
    anchor: Tensor  # (E,) 0 … A − 1
    row: Tensor  # (E,)
    column: Tensor  # (E,)
    label: Tensor  # (E,) class
    box: Tensor  # (E, 4) center offset from the cell's corner, width, height; in grid cells
    target: Tensor  # (E,) row of `targets` this entry came from


def assign(
    targets: Tensor,
    grids: Sequence[tuple[int, int]],
    anchors: Tensor,
    *,
    anchor_threshold: float = 4.0,
    rule: Rule = "r7",
) -> list[Assignment]:
    """Match targets with anchors and cells, level by level.

    Args:
        targets: (M, 6) image index, class, cx, cy, w, h; boxes normalized to the image.
        grids: (rows, columns) of each level.
        anchors: (L, A, 2) width, height in grid cells of their level.
        anchor_threshold: an anchor is used if neither side differs from the target's by this factor
            or more, in either direction.
        rule: "r1" or "r7", the release whose neighbor rule holds. They differ for a center exactly on a
            cell border, and R7 clamps cells to the grid.

    Returns:
        One Assignment a level; no entry where no anchor fits.
    """
    return [
        _assign_level(targets, rows, columns, level_anchors, anchor_threshold, rule)
        for (rows, columns), level_anchors in zip(grids, anchors, strict=True)
    ]


def fitting_anchors(sizes: Tensor, anchors: Tensor, anchor_threshold: float) -> Tensor:
    """(M, 2) target and (A, 2) anchor sizes in one unit → (A, M) bool: which anchor may predict which target."""
    ratio = sizes[None] / anchors[:, None]
    return torch.maximum(ratio, 1 / ratio).amax(dim=-1) < anchor_threshold


def chosen_cells(center: Tensor, rows: int, columns: int, rule: Rule) -> Tensor:
    """(E, 2) centers x, y in grid cells → (5, E) bool: center cell, left, up, right, down."""
    size = center.new_tensor([columns, rows])
    before = (center % 1 < 0.5) & (center > 1)
    if rule == "r1":
        after = (center % 1 > 0.5) & (center < size - 1)
    else:
        # Measured from the far side. A center exactly on a border gets both neighbors by this formula.
        far = size - center
        after = (far % 1 < 0.5) & (far > 1)
    always = torch.ones_like(before[:, 0])
    return torch.stack([always, before[:, 0], before[:, 1], after[:, 0], after[:, 1]])


def _assign_level(
    targets: Tensor, rows: int, columns: int, anchors: Tensor, anchor_threshold: float, rule: Rule
) -> Assignment:
    grid = targets.new_tensor([columns, rows])
    center, size = targets[:, 2:4] * grid, targets[:, 4:6] * grid

    anchor, target = fitting_anchors(size, anchors, anchor_threshold).nonzero(as_tuple=True)
    center = center[target]
    offset, pair = chosen_cells(center, rows, columns, rule).nonzero(as_tuple=True)
    anchor, target, center = anchor[pair], target[pair], center[pair]

    cell = (center - center.new_tensor(OFFSETS)[offset]).long()  # toward zero
    if rule == "r7":
        cell = cell.clamp(cell.new_tensor([0, 0]), cell.new_tensor([columns - 1, rows - 1]))
    return Assignment(
        image=targets[target, 0].long(),
        anchor=anchor,
        row=cell[:, 1],
        column=cell[:, 0],
        label=targets[target, 1].long(),
        box=torch.cat([center - cell, size[target]], dim=-1),
        target=target,
    )
