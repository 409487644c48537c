"""Widgets: moving them does what they say, here and in a kernel; every one has a page for where none run."""

from pathlib import Path
from typing import Any

import build
import nbformat
import pytest
import torch

from yolo_edu.course import widgets
from yolo_edu.course.widgets import frame
from yolo_edu.data import Sample
from yolo_edu.nms import Detections

SAMPLE = Sample(
    torch.full((3, 60, 80), 120, dtype=torch.uint8),
    torch.tensor([[10.0, 10, 30, 40], [50, 10, 70, 50]]),
    torch.tensor([0, 1]),
)
FOUND = Detections(
    torch.tensor([[10.0, 10, 30, 40], [50, 10, 70, 50], [11, 10, 30, 40]]),
    torch.tensor([0.9, 0.5, 0.2]),  # the third repeats the first
    torch.tensor([0, 1, 0]),
)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: calls.append((widget, fallback)))
    return calls


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.95])
def test_above_keeps_what_is_surer(threshold: float) -> None:
    kept = widgets.above(FOUND, threshold)
    wanted = [i for i, score in enumerate(FOUND.scores) if score > torch.tensor(threshold)]
    assert kept.scores.tolist() == FOUND.scores[wanted].tolist()
    assert torch.equal(kept.boxes, FOUND.boxes[wanted])


def test_confidence_explorer_counts_what_it_shows(shown: list[tuple[Any, str]]) -> None:
    slider = widgets.confidence_explorer([SAMPLE], [FOUND], ["queen", "king"]).controls["value"]
    box, fallback = shown[0]
    view = box.children[1]
    assert "above 0.25: <b>2</b> boxes, <b>2</b> of them right. <b>2</b> of 2 cards found." in view.value
    assert 'alt="A photo with boxes: queen 0.90, king 0.50"' in view.value
    assert fallback.startswith(view.value)  # the page without widgets shows the default state
    slider.value = 0.1
    assert "<b>3</b> boxes, <b>2</b> of them right. <b>2</b> of 2" in view.value
    slider.value = 0.95
    assert "<b>0</b> boxes, <b>0</b> of them right. <b>0</b> of 2" in view.value
    assert 'alt="A photo with boxes: none"' in view.value


def test_show_puts_widget_and_page_into_one_output(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(frame, "display", lambda data, **options: calls.append((data, options)))
    slider = frame.ipywidgets.FloatSlider()
    frame.show(slider, "<p>page</p>")
    data, options = calls[0]
    assert options == {"raw": True}
    assert data["text/html"] == "<p>page</p>"
    assert data[build.WIDGET_VIEW]["model_id"] == slider.model_id

    monkeypatch.setattr(frame, "in_colab", lambda: True)
    frame.show(slider, "<p>page</p>")
    assert calls[1] == (slider, {})  # there the page would be shown instead of the widget


def test_explorer_in_a_kernel_redraws_without_an_error(tmp_path: Path) -> None:
    cells = [
        "import torch\nfrom yolo_edu.course import widgets\nfrom yolo_edu.data import Sample\n"
        "from yolo_edu.nms import Detections\n"
        "box = torch.tensor([[10.0, 10, 30, 40]])\n"
        "sample = Sample(torch.zeros(3, 60, 80, dtype=torch.uint8), box, torch.tensor([0]))\n"
        "found = Detections(box, torch.tensor([0.5]), torch.tensor([0]))\n"
        "slider = widgets.confidence_explorer([sample], [found], ['ace']).controls['value']",
        "slider.value = 0.75",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    build.execute(notebook, folder=tmp_path)
    state = notebook.metadata["widgets"][build.WIDGET_STATE]["state"]
    pages = [model["state"]["value"] for model in state.values() if model["model_name"] == "HTMLModel"]
    assert any("above 0.75: <b>0</b> boxes" in page for page in pages)
    assert build.widget_errors(notebook) == []
    build.strip_widgets(notebook)
    output = notebook.cells[0].outputs[0].data
    assert "above 0.25: <b>1</b> boxes" in output["text/html"]  # what an exported page shows
