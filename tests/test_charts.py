"""The numbers in every chart, and that its words can be read: inside the figure, apart from one another."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text

from yolo_edu import charts
from yolo_edu.caption import luminance
from yolo_edu.chart_style import ink
from yolo_edu.metrics import CONFIDENCES, RECALLS, Curves, confidence_curves

NAMES = ["ten", "jack", "queen"]


def many_names(count: int) -> list[str]:
    return [f"a rather long name of class {k}" if k % 7 == 0 else f"class {k}" for k in range(count)]


def curves_of(classes: int, seed: int = 0) -> Curves:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, classes, 40 * classes), rng.random(40 * classes)
    return confidence_curves(rng.random(40 * classes) < scores, scores, labels, np.full(classes, 30))


def precision_of(classes: int, seed: int = 0) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).random((101, classes)), axis=0)[::-1]


def confusion_of(classes: int, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).poisson(1.0, (classes + 1, classes + 1))
    matrix[range(classes), range(classes)] += 4000
    return matrix


def labels_of(classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = rng.random((60 * classes, 2)) ** 3
    centers = sizes / 2 + rng.random(sizes.shape) * (1 - sizes)
    return rng.integers(0, classes, len(sizes)), np.concatenate([centers, sizes], axis=1)


def keys(figure: Figure) -> list[str]:
    """The texts of all keys, without titles."""
    return [text.get_text() for ax in figure.axes if (key := ax.get_legend()) for text in key.get_texts()]


def assert_legible(figure: Figure) -> None:
    """All words lie inside the figure, and none on another."""
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible()]
    extents = {}
    for text in texts:
        box = text.get_window_extent()
        if text.get_text().strip() and box.width > 0 and box.height > 0:
            extents[text] = box
    ticks = {text for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for text in unseen_ticks(axis)}
    boxes = [(text.get_text(), box) for text, box in extents.items() if text not in ticks]
    assert boxes
    for words, box in boxes:
        assert box.x0 >= -1, words
        assert box.y0 >= -1, words
        assert box.x1 <= width + 1, words
        assert box.y1 <= height + 1, words
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across < 1.5 or down < 1.5, f"{one!r} and {other!r} overlap"


def unseen_ticks(axis) -> set[Text]:  # type: ignore[no-untyped-def]
    """Tick labels that matplotlib keeps but does not draw: beyond the limits, or of an axis switched off."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    slack = 1e-6 * (high - low)
    hidden = [t for t in ticks if not axis.axes.axison or not low - slack <= t.get_loc() <= high + slack]
    return {text for tick in hidden for text in (tick.label1, tick.label2)}


@pytest.mark.parametrize("classes", [1, 5, 20, 80, 200])
def test_words_do_not_collide(classes: int) -> None:
    names = many_names(classes)
    opened = plt.get_fignums()
    for figure in (
        charts.precision_recall_chart(precision_of(classes), names),
        charts.confidence_chart(curves_of(classes), names, 0.4),
        charts.confusion_chart(confusion_of(classes), names),
        charts.label_chart(*labels_of(classes), names),
    ):
        assert_legible(figure)
    assert plt.get_fignums() == opened


def test_collisions_would_be_seen() -> None:
    figure = Figure()
    ax = figure.subplots()
    ax.text(0.5, 0.5, "one")
    assert_legible(figure)
    ax.text(0.51, 0.51, "other")
    with pytest.raises(AssertionError, match="overlap"):
        assert_legible(figure)


def test_lines_differ_without_color() -> None:
    figure = charts.precision_recall_chart(precision_of(charts.NAMED), many_names(charts.NAMED))
    looks = {(line.get_marker(), str(line._dash_pattern)) for line in figure.axes[0].lines[1:]}  # type: ignore[attr-defined]
    assert len(looks) == charts.NAMED
    for k in range(21):
        rgb = [round(255 * c) for c in ink(k)]
        assert 1.05 / (luminance((rgb[0], rgb[1], rgb[2])) + 0.05) >= 2.99


def test_names_are_written_as_they_are() -> None:
    names = ["_hidden", "$\\frac$", "two\nlines"]
    for figure in (
        charts.precision_recall_chart(precision_of(3), names),
        charts.confidence_chart(curves_of(3), names, 0.5),
    ):
        figure.draw_without_rendering()  # as a formula, "\\frac" alone would be an error
        assert [text.split("  ")[1] for text in keys(figure)] == ["mean of 3", "_hidden", r"\$\frac\$", "two lines"]
    for figure in (charts.confusion_chart(confusion_of(3), names), charts.label_chart(*labels_of(3), names)):
        figure.draw_without_rendering()


# --- precision and recall -------------------------------------------------------------------------------


def test_precision_recall_chart() -> None:
    precision = precision_of(3)
    precision[:, 1] = np.nan
    figure = charts.precision_recall_chart(precision, NAMES)
    mean, ten, queen = figure.axes[0].lines
    for line, values in ((mean, precision[:, [0, 2]].mean(axis=1)), (ten, precision[:, 0]), (queen, precision[:, 2])):
        assert np.allclose(line.get_xdata(), RECALLS)
        assert np.allclose(line.get_ydata(), values)
    assert mean.get_linewidth() > 1.5 * ten.get_linewidth()
    ap = precision.mean(axis=0)
    assert keys(figure) == [f"{(ap[0] + ap[2]) / 2:.3f}  mean of 2", f"{ap[0]:.3f}  ten", f"{ap[2]:.3f}  queen"]


def test_too_many_classes_to_name() -> None:
    figure = charts.precision_recall_chart(precision_of(21), many_names(21))
    assert len(figure.axes[0].lines) == 22
    assert [text.split("  ")[-1] for text in keys(figure)] == ["mean of 21", "each class"]
    mean, *others = figure.axes[0].lines
    assert mean.get_zorder() > max(line.get_zorder() for line in others)


# --- confidence -----------------------------------------------------------------------------------------


def test_confidence_chart() -> None:
    curves = curves_of(3)
    figure = charts.confidence_chart(curves, NAMES, float(CONFIDENCES[400]))
    panels = {ax.get_title().split(",")[0]: ax for ax in figure.axes if ax.axison}
    for title, values in (("F1", curves.f1), ("precision", curves.precision), ("recall", curves.recall)):
        mean, *lines, mark = panels[title].lines
        assert np.allclose(mean.get_ydata(), values.mean(axis=0))
        assert np.allclose([line.get_ydata() for line in lines], values)
        assert set(mark.get_xdata()) == {CONFIDENCES[400]}
    at = curves.f1[:, 400]
    assert keys(figure) == [
        f"{value:.3f}  {name}" for value, name in zip([at.mean(), *at], ["mean of 3", *NAMES], strict=True)
    ]


@pytest.mark.parametrize("classes", [1, charts.NAMED])
def test_the_key_keeps_to_its_quarter(classes: int) -> None:
    figure = charts.confidence_chart(curves_of(classes), many_names(classes), 0.5)
    figure.draw_without_rendering()
    (key,) = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    for ax in figure.axes:
        assert ax.axison != ax.get_tightbbox().overlaps(key.get_window_extent())


def test_charts_of_nothing() -> None:
    nothing = np.full((2, 1000), np.nan)
    opened = plt.get_fignums()
    for figure in (
        charts.confidence_chart(Curves(nothing, nothing, nothing), ["a", "b"], math.nan),
        charts.precision_recall_chart(np.full((101, 2), np.nan), ["a", "b"]),
        charts.label_chart(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4), ["a", "b"]),
    ):
        assert "no boxes" in [text.get_text() for ax in figure.axes for text in ax.texts]
        assert not keys(figure)
        assert_legible(figure)
    assert_legible(charts.confusion_chart(torch.zeros(3, 3, dtype=torch.int64), ["a", "b"]))
    assert plt.get_fignums() == opened


# --- confusion ------------------------------------------------------------------------------------------


def test_confusion_chart() -> None:
    matrix = torch.tensor([[6, 0, 1], [2, 0, 12345], [0, 0, 0]])
    ax = charts.confusion_chart(matrix, ["cat", "dog"]).axes[0]
    share = np.asarray(ax.images[0].get_array())
    assert np.allclose(share[:, 0], [0.75, 0.25, 0])
    assert np.allclose(share[:, 1], 0)
    assert share[:, 2].sum() == pytest.approx(1)
    numbers = {text.get_position(): text.get_text() for text in ax.texts}  # at (column, row)
    assert numbers == {(0, 0): "6", (0, 1): "2", (2, 0): "1", (2, 1): "12k"}
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [text.get_text() for text in labels] == ["cat", "dog", "background"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true", "predicted")
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row on top


@pytest.mark.parametrize(("classes", "numbers"), [(24, True), (25, False), (80, False)])
def test_numbers_only_where_they_fit(classes: int, numbers: bool) -> None:
    ax = charts.confusion_chart(confusion_of(classes), many_names(classes)).axes[0]
    assert bool(ax.texts) == numbers
    assert len(ax.get_xticklabels()) == classes + 1


# --- labels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [3, 30])
def test_label_chart(classes: int) -> None:
    labels, boxes = labels_of(classes)
    figure = charts.label_chart(torch.from_numpy(labels), torch.from_numpy(boxes).float(), many_names(classes))
    bars, sizes, centers, sides = figure.axes[:4]
    counts = np.bincount(labels, minlength=classes)
    assert [bar.get_width() for bar in bars.patches] == counts.tolist()  # type: ignore[attr-defined]
    assert [text.get_text() for text in bars.texts] == [str(count) for count in counts]
    for ax in (sizes, centers):
        assert ax.collections[0].get_array().sum() == len(labels)
    assert sum(bar.get_height() for bar in sides.patches) == len(labels)  # type: ignore[attr-defined]


def test_where_and_how_large() -> None:
    """One wide box near the top right."""
    figure = charts.label_chart([0], [[0.8, 0.1, 0.4, 0.1]], ["a"])  # type: ignore[arg-type]
    _, sizes, centers, sides = figure.axes[:4]
    for ax, (x, y) in ((sizes, (40, 10)), (centers, (80, 10))):
        row, column = np.argwhere(np.ma.filled(ax.collections[0].get_array().reshape(40, 40), 0))[0]
        assert abs(2.5 * column - x) <= 2.5
        assert abs(2.5 * row - y) <= 2.5
    assert centers.get_ylim() == (100, 0)
    (bar,) = [bar for bar in sides.patches if bar.get_height()]  # type: ignore[attr-defined]
    assert bar.get_x() <= 20 <= bar.get_x() + bar.get_width()  # type: ignore[attr-defined]


# --- training -------------------------------------------------------------------------------------------


class TestTrainingCurves:
    @staticmethod
    def curves(figure: Figure) -> dict[str, list[tuple[float, float]]]:
        lines = [line for ax in figure.axes for line in ax.lines]
        return {str(line.get_label()): [(x, y) for x, y in np.asarray(line.get_xydata())] for line in lines}

    def test_epochs_without_evaluation_are_left_out(self) -> None:
        rows = [
            {"epoch": 1, "box": 0.1, "objectness": 0.05, "classification": 0.03},
            {"epoch": 2, "box": 0.08, "objectness": 0.04, "classification": 0.02, "map50": 0.4, "map": 0.2},
        ]
        figure = charts.training_curves(rows)
        assert self.curves(figure) == {
            "box": [(1, 0.1), (2, 0.08)],
            "objectness": [(1, 0.05), (2, 0.04)],
            "classification": [(1, 0.03), (2, 0.02)],
            "mAP at IoU 0.5": [(2, 0.4)],
            "mAP at IoU 0.5 to 0.95": [(2, 0.2)],
        }
        assert [ax.get_title() for ax in figure.axes] == ["loss", "average precision"]
        assert_legible(figure)

    def test_rows_as_read_from_csv(self) -> None:
        rows = [{"epoch": "1", "box": "0.1", "map50": ""}, {"epoch": "2", "box": "0.08", "map50": "0.4"}]
        assert self.curves(charts.training_curves(rows)) == {
            "box": [(1, 0.1), (2, 0.08)],
            "mAP at IoU 0.5": [(2, 0.4)],
        }

    def test_everything_a_log_holds(self) -> None:
        rows: list[dict[str, float | str]] = [
            {"epoch": 1, "box": 0.1, "lr": 0.0},
            {"epoch": 2, "box": 0.1, "lr": 0.01, "map50": "nan", "map": math.nan, "precision": 0.5, "recall": 0.0},
        ]
        figure = charts.training_curves(rows)
        assert [ax.get_title() for ax in figure.axes] == [
            "loss",
            "average precision",
            "precision and recall",
            "learning rate",
        ]
        curves = self.curves(figure)
        assert curves.keys() == {"box", "learning rate", "precision", "recall"}
        assert curves["learning rate"] == [(1, 0), (2, 0.01)]
        assert curves["recall"] == [(2, 0)]
        assert_legible(figure)

    def test_three_panels_leave_a_blank(self) -> None:
        figure = charts.training_curves([{"epoch": 1, "lr": 0.1}])
        assert [ax.get_title() for ax in figure.axes] == ["loss", "average precision", "learning rate", ""]
        assert [ax.axison for ax in figure.axes] == [True, True, True, False]

    def test_nothing_yet(self) -> None:
        opened = plt.get_fignums()
        assert self.curves(charts.training_curves([])) == {}
        assert plt.get_fignums() == opened
