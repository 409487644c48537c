"""Boxes to drag: what the page without widgets shows, and that a kernel hears of a move."""

import re

import torch

from yolo_edu.course.widgets import BoxCanvas, frame


def canvas(**more) -> BoxCanvas:
    return BoxCanvas([[1, 2, 30, 40], [5, 5, 50, 60]], (100, 80), ["truth", "a < b"], **more)


def test_the_still_picture_holds_every_box_with_its_name() -> None:
    page = canvas(label="Two boxes").still()
    assert 'viewBox="0 0 100 80"' in page
    assert 'aria-label="Two boxes: truth [1.0, 2.0, 30.0, 40.0], a &lt; b [5.0, 5.0, 50.0, 60.0]"' in page
    for place in ('x="1" y="2" width="29" height="38"', 'x="5" y="5" width="45" height="55"'):
        assert page.count(place) == 2  # a white halo and the box
    assert "truth</text>" in page
    assert "a &lt; b</text>" in page
    assert "<image" not in page


def test_a_photo_and_what_follows_from_the_boxes_are_drawn_below_them() -> None:
    page = canvas(image=torch.zeros(3, 80, 100, dtype=torch.uint8), overlay="<circle r='3'/>").still()
    assert re.search(r'<image href="data:image/jpeg;base64,[\w+/=]+".*<circle r=\'3\'/>.*<rect', page, re.DOTALL)


def test_a_canvas_is_a_control_like_any_other(monkeypatch) -> None:
    shown = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: shown.append(fallback))
    boxes = canvas()
    explorer = frame.explore(
        {"boxes": boxes}, lambda boxes: f"<p>{boxes[0][0]:g}</p>", note="Drag.", still=boxes.still()
    )
    assert explorer.view.value == "<p>1</p>"
    assert shown[0].startswith("<svg ")
    assert shown[0].endswith("<p>1</p><p><i>Drag.</i></p>")
    boxes.value = [[7, 2, 30, 40], [5, 5, 50, 60]]
    assert explorer.view.value == "<p>7</p>"
