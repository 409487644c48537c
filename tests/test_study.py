"""The size study, with a clock that the network itself turns: no test looks at a real time."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from small_data import make_data
from test_charts import assert_legible
from torch import Tensor

from yolo_edu import study as module
from yolo_edu.data import read_spec
from yolo_edu.errors import UserError
from yolo_edu.study import Point, nearest, study, study_chart, study_sizes, study_table


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (640, [352, 416, 480, 544, 608, 672, 736, 800]),  # the article's
        (256, [128, 160, 192, 224, 256, 288, 320]),
        (1280, [704, 832, 960, 1088, 1216, 1344, 1472, 1600]),
        (32, [32]),
        (1, [32]),
    ],
)
def test_sizes(size: int, sizes: Sequence[int]) -> None:
    assert study_sizes(size) == sizes


@pytest.mark.parametrize("size", range(32, 2000, 32))
def test_sizes_around(size: int) -> None:
    sizes = study_sizes(size)
    assert all(one % 32 == 0 for one in sizes)
    assert min(sizes) <= size <= max(sizes)
    assert len(sizes) <= 11
    assert abs(nearest(sizes, size) - size) <= (sizes[1] - sizes[0]) / 2 if len(sizes) > 1 else True


def test_nearest() -> None:
    assert nearest([352, 800, 608, 672], 640) == 608  # of two equally near the smaller
    assert nearest([352, 416], 1000) == 416


class Clocked:
    """Finds one cat in the middle, if the image is large enough, and takes a millisecond a thousand pixels."""

    names, classes, strides, device = ("cat", "dog"), 2, (8, 16, 32), torch.device("cpu")

    def __init__(self, enough: int = 64, refused: int = 0) -> None:
        self.enough, self.refused = enough, refused
        self.now, self.load = 0.0, 1.0
        self.order: list[int] = []

    def rows(self, images: Tensor) -> Tensor:
        size = images.shape[-1]
        self.order.append(size)
        if size == self.refused:
            raise UserError("only 64 pixels.")
        self.now += self.load * len(images) * size**2 / 1e6
        self.load = 1.7 if self.load == 1 else 1.0 if self.load == 2.9 else 2.9  # others are at work, too
        half = size / 2
        row = [half, half, half, half * 0.75, 0.9 if size >= self.enough else 0.0, 1.0, 0.0]
        return torch.tensor([[row]] * len(images))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Clocked:
    clocked = Clocked()
    monkeypatch.setattr(module.time, "perf_counter", lambda: clocked.now)
    return clocked


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_data(tmp_path, {"a": "0 0.5 0.5 0.5 0.5\n", "b": "0 0.5 0.5 0.5 0.5\n", "c": "0 0.1 0.1 0.1 0.1\n"})


def test_study(network: Clocked, data: Path) -> None:
    points = list(study(network, read_spec(data), "train", [32, 64, 96], 64, progress=False))
    assert [point.size for point in points] == [32, 64, 96]
    assert points[0].map50 == 0  # too small to see it
    for ap in (points[1].map50, points[1].map):
        assert ap == pytest.approx(67 / 101)  # two of three cats: recalls 0 to 0.66
    assert [point.ratio for point in points] == pytest.approx([0.25, 1, 2.25], rel=0.7)
    assert points[1].ratio == 1
    for point in points:
        assert point.milliseconds == pytest.approx(point.ratio * points[1].milliseconds)
    timed = network.order[: 3 * 3 * (module.ROUNDS + 1)]
    assert timed == [32, 32, 32, 64, 64, 64, 96, 96, 96] * (module.ROUNDS + 1)  # sizes take turns


def test_points_come_one_by_one(network: Clocked, data: Path) -> None:
    """What is interrupted later has been measured."""
    running = study(network, read_spec(data), "train", [32, 64], 64, progress=False)
    assert next(running).size == 32
    assert network.order[-1] == 32


def test_classes_taken_for_one(data: Path, network: Clocked) -> None:
    network.names, network.classes = ("x",), 1
    with pytest.raises(UserError, match="knows 1 classes, the data set has 2"):
        list(study(network, read_spec(data), "train", [64], 64, progress=False))
    (point,) = study(network, read_spec(data), "train", [64], 64, single_class=True, progress=False)
    assert point.map50 > 0


def test_a_network_of_one_size(data: Path) -> None:
    with pytest.raises(UserError, match=r"no study at 96 px: only 64 pixels"):
        list(study(Clocked(refused=96), read_spec(data), "train", [64, 96], 64, progress=False))


def test_table() -> None:
    lines = study_table([Point(352, 0.5, 0.25, 12.34, 0.5), Point(416, math.nan, math.nan, 24.68, 1.0)], 416)
    rows = [line.split() for line in lines.splitlines()]
    assert rows == [
        ["size", "AP50", "AP50-95", "ms/image", "to", "416", "px"],
        ["352", "0.500", "0.250", "12.3", "0.50"],
        ["416", "-", "-", "24.7", "1.00"],
    ]


POINTS = [Point(s, 0.9 - 60 / s, 0.7 - 60 / s, s**2 / 1e4, s**2 / 608**2) for s in range(352, 801, 64)]


@pytest.mark.parametrize(
    "points",
    [
        POINTS,
        POINTS[:1],
        [point._replace(milliseconds=10 + i / 100) for i, point in enumerate(POINTS)],  # a GPU: all take the same time
        [point._replace(map50=math.nan, map=math.nan) for point in POINTS],
        [point._replace(map50=1.0, map=1.0) for point in POINTS],
        [point._replace(map50=0.0, map=0.0) for point in POINTS],
    ],
    ids=["ordinary", "one", "same time", "no objects", "perfect", "nothing found"],
)
def test_chart(points: list[Point]) -> None:
    figure = study_chart(points, points[0].size)
    assert_legible(figure)
    by_size, by_time = figure.axes
    for ax, x in ((by_size, [p.size for p in points]), (by_time, [p.milliseconds for p in points])):
        for line, y in zip(ax.lines[:2], ([p.map50 for p in points], [p.map for p in points]), strict=True):
            assert list(line.get_xdata()) == pytest.approx(x)
            assert list(line.get_ydata()) == pytest.approx(y, nan_ok=True)
