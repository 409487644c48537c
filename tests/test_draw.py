import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from small_data import noise

from yolo_edu import draw
from yolo_edu.caption import class_color, text_color
from yolo_edu.data import Batch, Sample
from yolo_edu.nms import Detections

NAMES = ["ten", "jack", "queen"]


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """From rows x1, y1, x2, y2, score, label."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].long())


# --- annotate -------------------------------------------------------------------------------------------


class TestAnnotate:
    def test_box_and_label_are_drawn_on_a_copy(self) -> None:
        image = noise(120, 160)
        before = image.copy()
        result = draw.annotate(image, detections((40, 50, 120, 100, 0.9, 1)), NAMES)
        assert np.array_equal(image, before)
        assert (result.shape, result.dtype, result.flags["C_CONTIGUOUS"]) == (image.shape, np.uint8, True)
        for row, column in [(50, 80), (100, 80), (75, 40), (75, 120)]:
            assert tuple(result[row, column]) == class_color(1)
        changed = (result != image).any(axis=2)
        assert not changed[56:95, 46:115].any()  # inside the box
        assert not changed[110:].any()
        assert not changed[:, :30].any()
        label = result[changed.any(axis=1).argmax() : 46, 40:100].reshape(-1, 3)
        assert (label == class_color(1)).all(axis=1).sum() > 100
        assert text_color(class_color(1)) == (0, 0, 0)
        assert (label.max(axis=1) < 80).sum() > 30
        shades = np.unique(label[:, 0])
        assert len(shades) > 10  # antialiased

    def test_nothing_found(self) -> None:
        image = noise(20, 30)
        result = draw.annotate(image, detections(), NAMES)
        assert np.array_equal(result, image)
        assert not np.shares_memory(result, image)

    def test_views_are_welcome(self) -> None:
        image = noise(120, 160)
        found = detections((40, 50, 120, 100, 0.9, 1))
        expected = draw.annotate(image, found, NAMES)
        reversed_view = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
        read_only = image.copy()
        read_only.flags.writeable = False
        for view in (reversed_view, planes, read_only):
            assert np.array_equal(draw.annotate(view, found, NAMES), expected)

    @pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (5, 7), (16, 16), (32, 64)])
    def test_tiny_images(self, height: int, width: int) -> None:
        image = np.full((height, width, 3), 90, np.uint8)
        result = draw.annotate(image, detections((0, 0, width, height, 0.9, 1), (-9, -9, 99, 99, 0.5, 0)), NAMES)
        assert result.shape == image.shape
        assert (result == class_color(1)).all(axis=2).any()

    def test_long_names_shrink_to_fit(self) -> None:
        found = detections((10, 50, 60, 70, 0.9, 0))
        heights, names = [], ["ten", "a really rather long name", "a name that fits at no size, and so is cut"]
        for name in names:
            picture = draw.annotate(np.zeros((80, 160, 3), np.uint8), found, [name])
            heights.append((picture[:47] == class_color(0)).all(axis=2).any(axis=1).sum())
            pixels = draw._text_height([f"{name} 0.90"], 160, 80)
            assert (draw._label_patch(f"{name} 0.90", pixels, class_color(0)).shape[1] <= 160) == (name != names[2])
        assert heights[0] > heights[1] >= heights[2] > 8

    def test_box_at_the_border_stays_visible(self) -> None:
        result = draw.annotate(np.zeros((100, 100, 3), np.uint8), detections((0, 0, 100, 100, 0.9, 2)), NAMES)
        for edge in (result[-1], result[:, 0], result[:, -1]):
            assert (edge == class_color(2)).all(axis=1).sum() > 80

    def test_the_surest_is_on_top(self) -> None:
        box = (30.0, 40.0, 80.0, 80.0)
        result = draw.annotate(np.zeros((100, 100, 3), np.uint8), detections((*box, 0.9, 0), (*box, 0.8, 1)), NAMES)
        assert tuple(result[60, 30]) == class_color(0)

    def test_names_beyond_ascii(self) -> None:
        """Every letter has its own shape: none is drawn as the same question mark or empty box."""
        found = detections((10, 40, 60, 60, 0.9, 0))
        image = np.zeros((80, 120, 3), np.uint8)
        pictures = [draw.annotate(image, found, [name]) for name in ("Ä", "é", "λ", "Ж", "ß", "?")]
        assert all((a != b).any() for a, b in itertools.combinations(pictures, 2))

    def test_80_classes(self) -> None:
        image = noise(200, 200)
        rows = [(10.0, 10.0 + k, 90.0, 20.0 + k, 0.9, k) for k in range(80)]
        assert (draw.annotate(image, detections(*rows), []) != image).any()


# --- matplotlib -----------------------------------------------------------------------------------------


@pytest.fixture
def ax() -> Axes:
    return Figure(figsize=(4, 3)).subplots()


def label_extents(ax: Axes) -> list[np.ndarray]:
    """Corners of every caption's background in the finished figure, in screen pixels."""
    figure = ax.get_figure()
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    patches = [text.get_bbox_patch() for text in ax.texts]
    return [patch.get_window_extent().get_points() for patch in patches if patch is not None]


@pytest.mark.parametrize("kind", ["tensor", "array", "float"])
def test_show_image(ax: Axes, kind: str) -> None:
    pixels = noise(30, 40)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    images: dict[str, torch.Tensor | np.ndarray] = {"tensor": tensor, "array": pixels, "float": tensor / 255}
    draw.show_image(ax, images[kind])
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 40), (30, 0))
    shown = np.asarray(ax.images[0].get_array())
    assert np.array_equal(shown if shown.dtype == np.uint8 else np.rint(shown * 255), pixels)


def test_image_and_boxes_meet_on_the_pixel() -> None:
    """A white rectangle in an image and its box, rendered: the line lies on the edge of the white."""
    image = np.zeros((50, 50, 3), np.uint8)
    image[10:30, 20:40] = 255
    figure = Figure(figsize=(5, 5), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    draw.show_image(ax, image)
    draw.draw_boxes(ax, torch.tensor([[20.0, 10, 40, 30]]))
    figure.canvas.draw()
    rendered = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)  # type: ignore[attr-defined]
    line = np.abs(rendered - class_color(0)).max(axis=2) < 40
    columns, rows = line[200].nonzero()[0], line[:, 300].nonzero()[0]  # 10 screen pixels an image pixel
    assert {round(c / 10) for c in columns} == {20, 40}
    assert {round(r / 10) for r in rows} == {10, 30}


class TestDrawBoxes:
    BOXES = ((1, 1, 20, 20), (30, 2, 59, 18), (2, 30, 12, 44), (45, 35, 60, 45))

    def test_captions_stay_inside_and_apart(self, ax: Axes) -> None:
        draw.show_image(ax, noise(45, 60))
        draw.draw_boxes(ax, self.BOXES, [0, 1, 2, 0], [0.9, 0.8, 0.7, 0.6], names=NAMES)
        assert [text.get_text() for text in ax.texts] == ["ten 0.90", "jack 0.80", "queen 0.70", "ten 0.60"]
        extents = label_extents(ax)
        frame = ax.get_window_extent().get_points()
        for low, high in extents:
            assert (low >= frame[0] - 1).all()
            assert (high <= frame[1] + 1).all()
        for (low, high), (other_low, other_high) in itertools.combinations(extents, 2):
            assert (low >= other_high - 1).any() or (high <= other_low + 1).any()

    def test_lines(self, ax: Axes) -> None:
        draw.show_image(ax, noise(45, 60))
        draw.draw_boxes(ax, torch.tensor(self.BOXES), torch.tensor([0, 1, 2, 5]), dashed=True)
        outlines = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        for outline, (x1, y1, x2, y2), k in zip(outlines, self.BOXES, (0, 1, 2, 5), strict=True):
            assert outline.get_bbox().bounds == (x1, y1, x2 - x1, y2 - y1)
            assert np.allclose(outline.get_edgecolor()[:3], np.array(class_color(k)) / 255)
            assert outline.get_linestyle() not in ("-", "solid")
        assert [text.get_text() for text in ax.texts] == ["0", "1", "2", "5"]

    def test_without_labels_no_words(self, ax: Axes) -> None:
        draw.show_image(ax, noise(45, 60))
        draw.draw_boxes(ax, np.array(self.BOXES))
        assert len(ax.patches) == 4
        assert not ax.texts

    def test_no_boxes(self, ax: Axes) -> None:
        draw.draw_boxes(ax, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
        assert not ax.patches


def test_draw_grid(ax: Axes) -> None:
    draw.show_image(ax, noise(64, 96))
    draw.draw_grid(ax, 96, 64, 32)
    segments = [tuple(map(tuple, segment)) for segment in ax.collections[0].get_segments()]  # type: ignore[attr-defined]
    vertical = [((x, 0), (x, 64)) for x in (0, 32, 64, 96)]
    assert segments == [*vertical, *(((0, y), (96, y)) for y in (0, 32, 64))]
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 96), (64, 0))


def sample(height: int, width: int, *rows: tuple[float, float, float, float, float, int]) -> Sample:
    found = detections(*rows)
    return Sample(torch.from_numpy(noise(height, width)).permute(2, 0, 1), found.boxes, found.labels)


def test_side_by_side() -> None:
    row = (5.0, 5.0, 30.0, 20.0, 0.5, 1)
    samples = [sample(40, 60, row), sample(60, 40), sample(50, 50, row, row)]
    opened = plt.get_fignums()
    figure = draw.side_by_side(samples, [detections(row), detections(row), detections()], NAMES)
    assert plt.get_fignums() == opened  # else a notebook shows it twice
    figure.canvas.draw()
    assert [ax.get_title() for ax in figure.axes] == ["truth", "detected"] * 2 + [""] * 4
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [
        ["jack"],
        ["jack 0.50"],
        [],
        ["jack 0.50"],
        ["jack", "jack"],
        [],
        [],
        [],
    ]
    assert [len(ax.images) for ax in figure.axes] == [1] * 6 + [0] * 2
    (truth,), (found,) = figure.axes[0].patches, figure.axes[1].patches
    assert truth.get_linestyle() != found.get_linestyle()


def test_side_by_side_of_one() -> None:
    figure = draw.side_by_side([sample(40, 60)], [detections()], NAMES)
    assert len(figure.axes) == 2


def test_a_name_with_dollars_is_no_formula(ax: Axes) -> None:
    draw.show_image(ax, noise(45, 60))
    draw.draw_boxes(ax, [(1, 1, 20, 20)], [0], names=["$\\frac$"])  # as a formula: ValueError
    label_extents(ax)


class TestBatchChart:
    def test_every_box_is_in_its_picture(self) -> None:
        images = torch.stack([torch.from_numpy(noise(40, 60, seed)) for seed in range(3)]).permute(0, 3, 1, 2) / 255
        targets = torch.tensor([[2, 1, 0.5, 0.5, 0.5, 0.25], [0, 2, 0.25, 0.5, 0.5, 1], [2, 0, 0.1, 0.2, 0.2, 0.4]])
        opened = plt.get_fignums()
        figure = draw.batch_chart(Batch(images, targets), NAMES, columns=2)
        assert plt.get_fignums() == opened
        assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [["queen"], [], ["jack", "ten"], []]
        corners = [[patch.get_bbox().extents.tolist() for patch in ax.patches] for ax in figure.axes]  # type: ignore[attr-defined]
        assert corners[0] == [[0, 0, 30, 40]]
        assert np.allclose(corners[2], [[15, 15, 45, 25], [0, 0, 12, 16]])
        assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 0]
        for ax, image in zip(figure.axes, images, strict=False):
            assert np.allclose(np.asarray(ax.images[0].get_array()), image.permute(1, 2, 0))
        assert not figure.axes[3].axison

    @pytest.mark.parametrize(("count", "panels"), [(1, 1), (4, 4), (5, 8), (16, 16), (33, 16)])
    def test_at_most_sixteen_pictures(self, count: int, panels: int) -> None:
        figure = draw.batch_chart(Batch(torch.rand(count, 3, 32, 32), torch.zeros(0, 6)), NAMES)
        assert len(figure.axes) == panels
        assert sum(len(ax.images) for ax in figure.axes) == min(count, 16)
