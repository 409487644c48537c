"""Lesson 06: ways are counted as listing them all counts them; figures and widgets say what the live modules are."""

import base64
import itertools
import re
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.text import Text
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torchvision.models import resnet18, resnet50, resnet101, resnet152
from torchvision.ops import batched_nms

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import figures, widgets
from yolo_edu.course.figures.neck_pan import counted_ways
from yolo_edu.course.widgets import frame
from yolo_edu.course.widgets.neck import _window
from yolo_edu.course.widgets.neck_map import _beside
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.model import Detector, YOLOv5, YOLOv5v6
from yolo_edu.model.pyramid import FPN
from yolo_edu.nms import Detections
from yolo_edu.summary import layer_rows


def words(figure: plt.Figure) -> str:
    text = "\n".join(t.get_text() for t in figure.findobj(Text))
    plt.close(figure)
    return text


def weightless(model: type[Detector], size: str | tuple[float, float]) -> Detector:
    with torch.device("meta"):
        return model(size, 3).eval()


# --- ways -----------------------------------------------------------------------------------------------


def all_ways(start: Tensor, end: Tensor) -> Iterator[int]:
    """The convolutions on every single way, listed one by one."""
    goal = get_gradient_edge(start).node

    def follow(node: Any, seen: int) -> Iterator[int]:
        if node is goal:
            yield seen
            return
        for before, _ in node.next_functions:
            if before is not None:
                yield from follow(before, seen + ("Convolution" in node.name()))

    return follow(get_gradient_edge(end).node, 0)


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_counts_are_those_of_all_ways_listed(release: type[Detector]) -> None:
    model = weightless(release, (0.33, 0.125))
    p3, p4, p5 = model.backbone(torch.empty(1, 3, 64, 64, device="meta"))
    for start, end in ((p3, p5), (p4, model.neck(p3, p4, p5)[0]), (p3, model.neck(p3, p4.detach(), p5.detach())[2])):
        counts = list(all_ways(start, end))
        assert len(counts) > 4
        assert figures.convolutions_between(start, end) == (min(counts), max(counts))


def test_no_way_and_no_step() -> None:
    x = torch.ones(1, 2, 4, 4, requires_grad=True)
    y = nn.Conv2d(2, 2, 1)(x)
    assert figures.convolutions_between(x, y) == (1, 1)
    assert figures.convolutions_between(y, y) == (0, 0)
    assert figures.convolutions_between(y, x) is None
    assert figures.convolutions_between(x, y.detach()) is None
    assert figures.convolutions_between(x, nn.Conv2d(2, 2, 1)(y.detach())) is None


def test_deep_networks_are_walked_without_recursion() -> None:
    image, *maps = figures.trunk_maps(resnet152())
    assert [x.shape[1:] for x in maps] == [(256, 64, 64), (512, 32, 32), (1024, 16, 16), (2048, 8, 8)]
    blocks = (8, 36, 3)  # behind C2; the paper's table
    assert figures.convolutions_between(maps[0], maps[-1]) == (3, 3 * sum(blocks))
    assert figures.convolutions_between(image, maps[-1]) == (5, 1 + 3 * (3 + sum(blocks)))


@pytest.fixture(scope="module", params=[YOLOv5, YOLOv5v6], ids=["R1", "R7"])
def graph(request: pytest.FixtureRequest) -> figures.RowGraph:
    return figures.row_graph(weightless(request.param, (0.33, 0.125)))


def row_ways(graph: figures.RowGraph, start: int, end: int, closed: list[int]) -> Iterator[tuple[int, ...]]:
    """Every way from row to row, listed one by one."""
    if start == end:
        yield (end,)
    elif end >= 0 and end not in closed:
        for source in graph.rows[end].sources:
            for way in row_ways(graph, start, source, closed):
                yield (*way, end)


def test_ways_from_row_to_row_are_the_best_of_all(graph: figures.RowGraph) -> None:
    last = len(graph.rows) - 1
    numbers = [row.number for row in graph.rows if row.part != "head"]
    for start in (-1, 4, 6, 10, 14):
        for end in numbers:
            for closed in ([], graph.up_rows(), graph.down_rows(), [5]):
                listed = list(row_ways(graph, start, end, closed))
                for most in (False, True):
                    way = graph.way(start, end, most=most, closed=closed)
                    if not listed:
                        assert way is None
                        continue
                    sums = [sum(graph.costs[s, r][most] for s, r in itertools.pairwise(w)) for w in listed]
                    assert way is not None
                    assert way.rows in listed
                    assert way.convolutions == (max(sums) if most else min(sums))
    assert graph.way(last, 4) is None


@pytest.mark.parametrize(("release", "end"), [(YOLOv5, 25), (YOLOv5v6, 23)])
def test_rows_and_tensors_agree(release: type[Detector], end: int) -> None:
    model = weightless(release, "s")
    graph = figures.row_graph(model)
    p3, p4, p5 = model.backbone(torch.empty(1, 3, 64, 64, device="meta"))

    def both(**settings: Any) -> tuple[int, ...]:
        ways = [graph.way(4, end, most=most, **settings) for most in (False, True)]
        return tuple(way.convolutions for way in ways if way)

    assert both() == figures.convolutions_between(p3, model.neck(p3, p4, p5)[2])
    assert both(closed=[5]) == figures.convolutions_between(p3, model.neck(p3, p4.detach(), p5.detach())[2])
    long = model.model[end](torch.cat([torch.empty_like(model.model[10](p5).detach()), model.model[10](p5)], dim=1))
    assert both(closed=graph.up_rows()) == figures.convolutions_between(p3, long)


def test_named_rows_and_steps() -> None:
    june, seven = (figures.row_graph(weightless(release, "n")) for release in (YOLOv5, YOLOv5v6))
    same = {"P3": 4, "P4": 6, "P5": 9, "L5": 10, "L4": 14, "N3": 17}
    assert figures.level_rows(june.rows) == same | {"N4": 21, "N5": 25}
    assert figures.level_rows(seven.rows) == same | {"N4": 20, "N5": 23}
    assert (june.down_rows(), june.up_rows()) == ([11, 15], [19, 23])
    assert (seven.down_rows(), seven.up_rows()) == ([11, 15], [18, 21])


@pytest.mark.parametrize(("make", "blocks", "each"), [(resnet18, 6, 2), (resnet50, 13, 3), (resnet101, 30, 3)])
def test_the_two_ways_of_the_paper(make: Any, blocks: int, each: int) -> None:
    ways = counted_ways(make())
    assert ways["long"] == (3 + 2, blocks * each + 2)  # three projections at least; then lateral and smoothing
    assert ways["short"] == (8, 8)  # lateral, smoothing, then down and fuse three times
    first = 1 + (2 if each == 2 else 3) * each  # the stem and the blocks of C2
    assert ways["long, image"][1] == first + blocks * each + 2


# --- figures --------------------------------------------------------------------------------------------


def test_fpn_figure_reads_its_module() -> None:
    maps = [torch.empty(1, c, s, s, device="meta") for c, s in ((11, 48), (22, 24), (33, 12))]
    text = words(figures.fpn_pyramid(FPN([11, 22, 33], 44), maps))
    for expected in ("C3\n11\n48 × 48", "P5\n44\n12 × 12", "22 → 44", "× 2, nearest", "3 × 3\nconvolution"):
        assert expected in text
    standard = words(figures.fpn_pyramid())
    assert "C4\n256\n40 × 40" in standard
    assert "512 → 256" in standard


def test_step_figure_shows_what_the_module_computes() -> None:
    fpn = FPN([1, 1], 1)
    with torch.no_grad():
        for parameter in fpn.parameters():
            parameter.zero_()
        fpn.lateral[0].bias.fill_(100)  # type: ignore[operator]
        fpn.lateral[1].bias.fill_(7)  # type: ignore[operator]
        fpn.smooth[0].bias.fill_(5)  # type: ignore[operator]
    text = words(figures.merge_by_numbers(fpn, torch.full((1, 1, 4, 4), 3.0), torch.full((1, 1, 2, 2), 2.0)))
    numbers = [line for line in text.split("\n") if line.isdigit()]
    assert {n: numbers.count(n) for n in set(numbers)} == {"7": 20, "3": 16, "100": 16, "107": 16, "5": 16}


def test_pan_figure_counts_the_trunk_it_is_given() -> None:
    assert "up to 92 convolutions from C2 to P5, 102 from the image" in words(figures.pan_ways())
    text = words(figures.pan_ways(resnet50))
    assert "up to 41 convolutions from C2 to P5, 51 from the image" in text
    assert "ResNet-50" in text
    assert "8 convolutions from C2 to N5, 18 from the image" in text


def test_neck_figure_reads_its_model() -> None:
    text = words(figures.neck_design(weightless(YOLOv5v6, "m"), size=320))
    for row in layer_rows(weightless(YOLOv5v6, "m"), 320)[10:24]:
        assert f"{row.row}   {row.block}   {row.outputs[0].shape[1]}" in text
    for expected in ("P5\nstride 32\n10 × 10", "N3   192", "N5   768", "L4", "4   P3   192"):
        assert expected in text


def test_shares_of_sizes() -> None:
    figure = figures.size_shares({"a": torch.tensor([30.0, 10, 20, 40])})
    (line, *_) = figure.axes[0].lines
    assert torch.as_tensor(line.get_xydata()).tolist() == [[10, 0.25], [20, 0.5], [30, 0.75], [40, 1]]
    assert "a cell of P4: 16" in words(figure)


# --- widgets --------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(frame, "show", lambda _, fallback: calls.append(fallback))
    return calls


def drawing(html: str) -> str:
    match = re.search(r"svg\+xml;base64,([^\"]+)", html)
    assert match
    return base64.b64decode(match[1]).decode()


def test_path_tracer_lights_what_it_says(shown: list[str]) -> None:
    explorer = widgets.path_tracer()
    graph = figures.row_graph(weightless(YOLOv5, "s"))
    controls, view = explorer.controls, explorer.view
    assert shown[0].startswith(view.value)
    assert (controls["start"].value, controls["end"].value) == (4, 25)
    assert "<b>8</b>" in view.value
    assert "<b>42</b>" in view.value
    for most, color in ((False, figures.hex_color(2)), (True, figures.hex_color(5))):
        way = graph.way(4, 25, most=most)
        assert way is not None
        assert drawing(view.value).count(f'stroke="{color}"') == 2 * len(way.rows) - 1  # rows, and lines between them
    controls["closed"].value = (19, 23)
    assert "<b>11</b>" in view.value
    assert "<b>24</b>" in view.value
    assert "rows 4 → 5 → 6 → 7 → 8 → 9 → 10 → 24 → 25" in view.value
    controls["closed"].value = None  # the backbone behind the start
    assert "<b>8</b>" in view.value
    assert "<b>17</b>" in view.value
    controls["end"].value = 6
    assert "No way leads from row 4, BottleneckCSP (P3) to row 6, BottleneckCSP (P4)" in view.value
    controls["start"].value, controls["closed"].value, controls["end"].value = -1, (), 17
    assert "From the image to row 17, BottleneckCSP (N3)" in view.value
    assert re.search(r'alt="Map of the network\. From the image [^"]{40,}"', view.value)


def test_path_tracer_of_another_release(shown: list[str]) -> None:
    explorer = widgets.path_tracer(weightless(YOLOv5v6, "n"))
    assert explorer.controls["end"].value == 23
    svg = drawing(explorer.view.value)
    assert all(f">{name}<" in svg for name in ("SPPF", "C3", "N5", "image"))
    assert svg.endswith("</svg>")


def test_level_explorer_counts_what_it_shows(shown: list[str]) -> None:
    found = Detections(
        torch.tensor([[5.0, 5, 40, 40], [6, 5, 40, 41], [60, 60, 90, 90]]),
        torch.tensor([0.9, 0.8, 0.7]),
        torch.tensor([0, 0, 1]),
    )
    kept = batched_nms(*found, 0.45)
    explorer = widgets.level_explorer(
        torch.full((3, 100, 100), 120, dtype=torch.uint8), found, torch.tensor([4, 5, 3]), kept, ["ace", "ten"]
    )
    controls, view = explorer.controls, explorer.view
    assert (
        "Before suppression, boxes: grid 8: <b>1</b>, grid 16: <b>1</b>, grid 32: <b>1</b>. Names: ace, ten."
        in view.value
    )
    before = view.value
    controls["after"].value = True
    assert "After suppression, boxes: grid 8: <b>1</b>, grid 16: <b>1</b>, grid 32: <b>0</b>." in view.value
    assert view.value.split('"')[3] != before.split('"')[3]  # another picture
    controls["level"].value = 5
    assert "grid 8: <b>0</b>, grid 16: <b>0</b>, grid 32: <b>0</b>. Names: none." in view.value
    controls["after"].value = False
    assert "grid 32: <b>1</b>. Names: ace." in view.value
    assert 'alt="The photo around its objects, boxes in one color a grid. Before suppression' in view.value


# --- what the text says ---------------------------------------------------------------------------------


def test_numbers_in_the_prose() -> None:
    cards = {split: DetectionData(read_spec(sample_data()), split, image_size=256) for split in ("train", "val")}
    assert len(cards["train"]) == 217
    assert len(cards["val"]) == 47 + 1
    assert round(cards["val"].box_sizes().prod(dim=1).sqrt().median().item()) in range(63, 68)  # "about 65"
    model = load_checkpoint(shipped_weights())
    table = layer_rows(model, 256)
    named = figures.level_rows(figures.map_rows(model, 256))
    assert table[named["P3"]].outputs[0].receptive_field == 58
    assert table[named["N3"]].outputs[0].receptive_field == 714
    assert table[named["P4"]].outputs[0].receptive_field == 170
    assert (table[named["P5"]].outputs[0].receptive_field or 0) > 256


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_no_size_has_a_hundred_convolutions_between_p3_and_n5(release: type[Detector]) -> None:
    graph = figures.row_graph(weightless(release, "x"))
    way = graph.way(4, figures.level_rows(graph.rows)["N5"], most=True)
    assert way is not None
    assert way.convolutions < 100


def test_wires_beside_each_other_end_at_their_cells() -> None:
    assert _beside([(5, 0), (5, 9)], 4) == [(9, 0), (9, 9)]
    assert _beside([(0, 3), (8, 3)], -4) == [(0, -1), (8, -1)]
    assert _beside([(0, 0), (6, 0), (6, 9), (8, 9)], 4) == [(0, 4), (10, 4), (10, 13), (8, 13)]


def test_window_holds_all_boxes_and_stays_in_the_photo() -> None:
    assert _window(torch.empty(0, 4), (90, 120)) == (0, 0, 90)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        corners = torch.rand(3, 2, generator=generator) * 60
        boxes = torch.cat([corners, corners + torch.rand(3, 2, generator=generator) * 30], dim=1)
        x, y, side = _window(boxes, (90, 120))
        assert min(x, y) >= 0
        assert x + side <= 120
        assert y + side <= 90
        assert (boxes[:, :2].amin(0) >= torch.tensor([x, y]) - 1).all()
        assert (boxes[:, 2:].amax(0) <= torch.tensor([x, y]) + side + 1).all()
