"""Lesson 14's figures and widget say what the records say, and its measurements are right by loops."""

import matplotlib.pyplot as plt
import pytest
import torch

from yolo_edu.course import figures, widgets
from yolo_edu.course.clinic import PATIENTS, SIGNS, read_records
from yolo_edu.course.clinic.patients import by_case
from yolo_edu.course.clinic.records import TWIN
from yolo_edu.course.clinic.signs import (
    largest_by_anchor,
    mean_objectness,
    moved_statistics,
    overlap_with_hand,
    share_of_doubles,
    shifted_names,
)
from yolo_edu.course.measured import read_measured
from yolo_edu.data import Sample
from yolo_edu.model import YOLOv5v6
from yolo_edu.nms import Detections

RECORDS = read_records()
PHOTOS = [Sample(torch.zeros(3, 320, 320, dtype=torch.uint8), torch.empty(0, 4), torch.empty(0)) for _ in range(3)]
NAMES = ["ten", "jack", "queen", "king", "ace"]


# --- widget ---------------------------------------------------------------------------------------------


def test_a_diagnosis_is_judged_and_a_new_case_starts_anew() -> None:
    explorer = widgets.diagnosis_clinic(RECORDS, PHOTOS, NAMES)
    cases = by_case()
    for letter, key in cases.items():
        explorer.controls["case"].value = letter
        assert explorer.controls["diagnosis"].value == "not decided yet"
        assert PATIENTS[key].complaint in explorer.view.value
        assert "Pick a diagnosis" in explorer.view.value
        explorer.controls["diagnosis"].value = key
        assert "<b>Right.</b>" in explorer.view.value
        wrong = next(iter(PATIENTS[key].unlike))
        explorer.controls["diagnosis"].value = wrong
        assert "<b>Not this one.</b>" in explorer.view.value
        assert PATIENTS[key].unlike[wrong] in explorer.view.value
        last = [record.last("map50") for record in RECORDS[key]]
        assert f"{min(last):.2f}" in explorer.view.value


# --- figures --------------------------------------------------------------------------------------------


def test_the_matrix_shows_where_signs_speak() -> None:
    ax = figures.sign_matrix(RECORDS).axes[0]
    filled = {
        (int(line.get_xdata()[0]), int(line.get_ydata()[0]))
        for line in ax.lines
        if line.get_marker() == "o" and line.get_markerfacecolor() != "none"
    }
    order = list(by_case().values())
    expected = {
        (x, y)
        for y, way in enumerate([TWIN, *order])
        for x, key in enumerate(order)
        if all(SIGNS[key].speaks(record.signs[key]) for record in RECORDS[way])
    }
    assert filled == expected
    assert all((x, x + 1) in filled for x in range(len(order)))
    plt.close("all")


def test_the_panels_show_the_curves() -> None:
    figure = figures.patients_at_a_glance(RECORDS)
    for ax, key in zip(figure.axes, by_case().values(), strict=True):
        drawn = [list(line.get_ydata()) for line in ax.lines]
        assert drawn == [list(record.curves["map50"]) for record in RECORDS[key]]
    plt.close("all")


@pytest.mark.parametrize("measure", ["map50", "map"])
def test_the_ablation_dots_are_the_differences(measure: str) -> None:
    result = read_measured("ablations")
    ax = figures.ablation_dots(result, measure).axes[0]
    rows = [row for row in result["table"] if row["way"] != "base"]
    dots = sorted(
        (float(line.get_ydata()[0]), float(line.get_xdata()[0])) for line in ax.lines if line.get_marker() != "None"
    )
    expected = sorted((float(y), gap) for y, row in enumerate(rows) for gap in row[f"{measure}_difference"]["each"])
    assert [y for y, _ in dots] == [y for y, _ in expected]
    assert [gap for _, gap in dots] == pytest.approx([gap for _, gap in expected])
    plt.close("all")


# --- measurements ---------------------------------------------------------------------------------------


def test_measurements_on_made_up_numbers() -> None:
    rows = torch.tensor([[[0, 0, 0, 0, 0.2, 0.6], [0, 0, 0, 0, 0.6, 0.9]]])
    assert share_of_doubles(rows) == pytest.approx(2 / 4)
    assert share_of_doubles(rows.sigmoid()) == 1
    assert mean_objectness(rows) == pytest.approx(0.4)
    box = torch.tensor([[0.0, 0, 10, 10]])
    half = torch.tensor([[5.0, 0, 15, 10]])
    drawn = [Sample(torch.empty(3, 0, 0), box, torch.tensor([0]))]
    assert overlap_with_hand(drawn, drawn) == 1
    assert overlap_with_hand([drawn[0]._replace(boxes=half)], drawn) == pytest.approx(1 / 3)


def test_names_moved_by_one() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    truth = [Sample(torch.empty(3, 0, 0), boxes, torch.tensor([0, 1, 2]))]
    for said, expected in (([1, 2, 0], 1), ([0, 1, 2], -1), ([1, 1, 1], (1 - 1) / 3), ([2, 0, 1], 0)):
        found = [Detections(boxes, torch.full((3,), 0.5), torch.tensor(said))]
        assert shifted_names(truth, found, 3) == pytest.approx(expected)
    nothing = [Detections(torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64))]
    assert shifted_names(truth, nothing, 3) == 0


def test_a_healthy_network_shows_no_sign() -> None:
    torch.manual_seed(0)
    model = YOLOv5v6((0.33, 0.125), 3).eval()
    assert largest_by_anchor(model) == pytest.approx(1)
    assert moved_statistics(model, lambda network, images: network.rows(images), torch.rand(1, 3, 64, 64)) == 0
