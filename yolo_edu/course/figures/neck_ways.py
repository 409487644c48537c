"""Ways through a network, counted in convolutions: between two tensors, and from row to row of a detector's table."""

import copy
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from yolo_edu.course.figures.diagram import LEVEL_COLORS
from yolo_edu.course.figures.network_map import Row, map_rows
from yolo_edu.model import Detector

__all__ = ["RowGraph", "Way", "convolutions_between", "level_rows", "row_graph", "trunk_maps"]


def convolutions_between(start: Tensor, end: Tensor) -> tuple[int, int] | None:
    """Fewest and most convolutions on a way from `start` to `end`; None if no way leads there.

    The graph is the one that PyTorch keeps for the backward pass: what was computed, and from what. A detached
    tensor is a closed door. Works on the meta device, where no number is ever computed.
    """
    if not end.requires_grad:
        return None
    known: dict[Any, tuple[int, int] | None] = {get_gradient_edge(start).node: (0, 0)}
    last = get_gradient_edge(end).node
    open_ = [last]  # no recursion: Python's limit is below the depth of ResNet-152
    while open_:
        node = open_[-1]
        before = [n for n, _ in node.next_functions if n is not None]
        if node not in known and (first := [n for n in before if n not in known]):
            open_ += first
            continue
        open_.pop()
        if node not in known:
            ways = [way for n in before if (way := known[n])]
            own = node.name().startswith("Convolution")
            known[node] = (min(w[0] for w in ways) + own, max(w[1] for w in ways) + own) if ways else None
    return known[last]


class Way(NamedTuple):
    """One way through the table of a network."""

    convolutions: int
    rows: tuple[int, ...]  # from the start to the end, both included


class RowGraph(NamedTuple):
    """The rows of a detector and what a step between two of them costs.

    `costs`: (source, row) → fewest and most convolutions inside `row` on the way from that source to its output.
    The last row, Detect, is left out.
    """

    rows: list[Row]
    costs: dict[tuple[int, int], tuple[int, int]]

    def way(self, start: int, end: int, *, most: bool = False, closed: Collection[int] = ()) -> Way | None:
        """The way from the output of row `start` to that of row `end` with the fewest or the most convolutions.

        Args:
            start, end: rows; -1 as a start is the image.
            most: the most instead of the fewest.
            closed: rows that no way may pass.

        Returns:
            None if there is no way. Of two ways with the same count, the one through fewer rows.
        """
        ways = {start: Way(0, (start,))}
        for row in self.rows:  # a row reads only rows above it, so one pass is enough
            if row.number <= start or row.number in closed:
                continue
            reached = [
                Way(ways[s].convolutions + self.costs[s, row.number][most], (*ways[s].rows, row.number))
                for s in row.sources
                if s in ways
            ]
            if reached:
                ways[row.number] = min(
                    reached, key=lambda way: (-way.convolutions if most else way.convolutions, len(way.rows))
                )
        return ways.get(end)

    def up_rows(self) -> list[int]:
        """Where the bottom-up path of the neck steps to a coarser grid."""
        return [n for n, before in self._steps("bottom-up") if self._row(n).stride > before]

    def down_rows(self) -> list[int]:
        """Where the top-down path of the neck steps to a finer grid."""
        return [n for n, before in self._steps("top-down") if self._row(n).stride < before]

    def _steps(self, part: str) -> list[tuple[int, int]]:
        return [(r.number, self._row(r.sources[0]).stride) for r in self.rows if r.part == part]

    def _row(self, number: int) -> Row:
        return self.rows[number]


def row_graph(model: Detector, size: int = 256) -> RowGraph:
    """Who reads from whom in a detector, and how many convolutions lie between; counted in each live row.

    Args:
        model: left as it is; a copy without numbers is asked.
        size: side of the image; no count depends on it.
    """
    rows = map_rows(model, size)[:-1]
    modules = copy.deepcopy(model).to("meta").eval().model
    shapes = {-1: (1, 3, size, size)} | {r.number: (1, r.channels, size // r.stride, size // r.stride) for r in rows}
    costs = {}
    for row in rows:
        inputs = [torch.empty(shapes[s], device="meta", requires_grad=True) for s in row.sources]
        output = modules[row.number](inputs if row.name == "Concat" else inputs[0])
        for source, x in zip(row.sources, inputs, strict=True):
            counted = convolutions_between(x, output)
            assert counted is not None
            costs[source, row.number] = counted
    return RowGraph(rows, costs)


def level_rows(rows: Sequence[Row]) -> dict[str, int]:
    """The rows with a name: P3, P4, P5 of the backbone, the laterals L4, L5, and what leaves the neck: N3, N4, N5.

    A lateral is read twice: by the top-down path when it is made, and again by the bottom-up path.
    """
    neck = [row for row in rows if row.part in ("top-down", "bottom-up")]
    backbone = {row.stride: row.number for row in rows if row.part == "backbone"}  # the last of each stride
    ends = {row.stride: row.number for row in neck}
    levels = dict(zip(sorted(ends), LEVEL_COLORS, strict=True))
    readers: dict[int, set[str]] = {}
    for row in neck:
        for source in row.sources:
            readers.setdefault(source, set()).add(row.part)
    named = {levels[stride]: backbone[stride] for stride in levels}
    named |= {f"N{levels[stride][1]}": number for stride, number in sorted(ends.items())}
    kept = [row for row in neck if readers.get(row.number, set()) >= {"top-down", "bottom-up"}]
    return named | {f"L{levels[row.stride][1]}": row.number for row in kept}


def trunk_maps(trunk: nn.Module, size: int = 256) -> list[Tensor]:
    """The maps C2, C3, C4, C5 of torchvision's ResNet on the meta device, and before them the image they come from.

    Args:
        trunk: on any device; a copy without numbers is run.
        size: side of the image.
    """
    net: Any = copy.deepcopy(trunk).to("meta").eval()
    image = torch.empty(1, 3, size, size, device="meta", requires_grad=True)
    x = net.maxpool(net.relu(net.bn1(net.conv1(image))))
    maps = [image]
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = stage(x)
        maps.append(x)
    return maps
