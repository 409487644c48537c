"""The pictures of mistakes say what the numbers say, and stay legible at the edges."""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from small_data import noise
from test_mistakes import NAMES, SAID, TRUTH, scene

from yolo_edu.data import Sample
from yolo_edu.errors import UserError
from yolo_edu.mistakes import KINDS, Account, find_mistakes
from yolo_edu.mistakes_chart import LISTED, LOOKS, gain_chart, mistake_chart, mistake_photos
from yolo_edu.nms import Detections
from yolo_edu.oracle import Gain

PHOTO = TRUTH._replace(image=torch.from_numpy(noise(60, 180)).permute(2, 0, 1))
GAINS = [Gain("as it is", 0.5, 0.4, 0, 0), Gain("class", 0.6, 0.39, 0.1, -0.01), Gain("box", 0.5, 0.7, -1e-9, 0.3)]


def account(*confidence: float) -> Account:
    return find_mistakes([TRUTH], [SAID], NAMES, *confidence)


def words(figure: Figure) -> list[str]:
    figure.canvas.draw()
    texts = figure.findobj(match=lambda artist: hasattr(artist, "get_text"))
    return [text.get_text() for text in texts if text.get_visible() and text.get_text()]


def dashes(figure: Figure) -> list[tuple[int, int]]:
    """(dashed, solid) boxes in every photo."""
    styles = [["-" if box.get_linestyle() in ("-", "solid") else "--" for box in ax.patches] for ax in figure.axes]
    return [(sum(style != "-" for style in own), own.count("-")) for own in styles]


def test_every_type_looks_different() -> None:
    assert list(LOOKS) == list(KINDS)
    hues, hatches = zip(*LOOKS.values(), strict=True)
    assert len(set(hues)) == len(set(hatches)) == len(KINDS)


def test_gains() -> None:
    opened = plt.get_fignums()
    figure = gain_chart({"outputs": GAINS, "repairs": GAINS[:2]})
    assert plt.get_fignums() == opened
    top, bottom = figure.axes
    assert [bar.get_width() for bar in top.patches] == pytest.approx([0.1, -1e-9, -0.01, 0.3])
    assert [bar.get_width() for bar in bottom.patches] == pytest.approx([0.1, -0.01])
    assert len({bar.get_hatch() for bar in top.patches}) == 2
    said = words(figure)
    for text in ("class", "box", "+0.100", "-0.010", "+0.000", "+0.300", "mAP50", "mAP50-95"):
        assert text in said
    assert "-0.000" not in said
    assert top.get_xlim()[0] < -0.01 < 0.3 < top.get_xlim()[1]


def test_gains_without_objects() -> None:
    figure = gain_chart({"outputs": [Gain(name, *[math.nan] * 4) for name in ("as it is", "class")]})
    assert words(figure).count("no objects") == 2
    gain_chart({"outputs": GAINS[:1]}).canvas.draw()  # nothing to compare with
    for nothing in ({}, {"outputs": []}):
        with pytest.raises(UserError, match="no gains"):
            gain_chart(nothing)


def test_counts() -> None:
    opened = plt.get_fignums()
    figure = mistake_chart(account(0.25))
    assert plt.get_fignums() == opened
    bars = figure.axes[0].patches
    widths = np.array([bar.get_width() for bar in bars]).reshape(len(KINDS), 3)
    assert widths.tolist() == list(account(0.25).counts().values())
    starts = np.array([bar.get_x() for bar in bars]).reshape(len(KINDS), 3)
    assert np.allclose(starts, np.cumsum(widths, axis=0) - widths)
    said = words(figure)
    assert said.count("1") >= 6
    for k, name in enumerate(NAMES):
        assert figure.axes[0].get_yticklabels()[k].get_text() == name
    for kind, meaning in KINDS.items():
        assert f"1  {kind}: {meaning}" in said
    assert any("1 of 4 objects found by 6 detections" in text for text in said)


def test_of_many_classes_the_weakest_are_shown() -> None:
    names = [f"class {k}" for k in range(80)]
    figure = mistake_chart(find_mistakes([TRUTH], [SAID], names, 0.25))
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(ticks) == LISTED
    assert ticks[:3] == names[:3]
    assert any("30 weakest" in text for text in words(figure))


def test_photos() -> None:
    opened = plt.get_fignums()
    figure = mistake_photos([PHOTO], [SAID], account(0.25))
    assert plt.get_fignums() == opened
    said = words(figure)
    for kind, meaning in KINDS.items():
        assert f"{kind} (1)" in said
        assert meaning in said
    # localization, confusion, both: the object and the detection; the duplicate also has the surer detection.
    assert dashes(figure) == [(1, 1), (1, 1), (1, 1), (1, 2), (4, 1), (1, 0)]
    assert "photo 0: owl 0.70\ntruth: dog, IoU 1.00" in said
    assert "photo 0: dog 0.40\ntouches no object" in said
    assert "photo 0: dog\nno detection touches it" in said
    assert not any("does not occur" in text for text in said)


@pytest.mark.parametrize("each", [1, 2, 4])
def test_as_many_examples_as_asked_for(each: int) -> None:
    wrong = scene(*(([10.0 * i, 20, 10 * i + 9, 29], 0, 0.9) for i in range(3)))
    figure = mistake_photos([PHOTO] * 2, [wrong] * 2, find_mistakes([PHOTO] * 2, [wrong] * 2, NAMES, 0.1), each=each)
    titles = [ax.get_title() for ax in figure.axes]
    assert len(titles) == 2 * each
    assert [title[:7] for title in titles[: min(each, 2)]] == ["photo 0", "photo 1"][: min(each, 2)]
    assert any("does not occur: localization, confusion, both, duplicate" in text for text in words(figure))


def test_nothing_overlaps() -> None:
    """Photos stand apart, and no heading runs into the next column."""
    figure = mistake_photos([PHOTO], [SAID], account(0.25), each=1)
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    assert all(a.y0 >= b.y1 for a, b in pairwise(boxes))
    headings = [text.get_window_extent() for text in figure.texts]
    for left, right in zip(headings[0::2], headings[1::2], strict=False):
        assert left.x1 < right.x0
        assert right.x1 <= figure.bbox.x1


def test_strange_names_and_no_mistakes() -> None:
    names = ["$x$", "a very long name of a class that fits nowhere", "owl"]
    strange = find_mistakes([TRUTH], [SAID], names, 0.25)
    mistake_chart(strange).canvas.draw()
    mistake_photos([PHOTO], [SAID], strange).canvas.draw()
    right = Detections(TRUTH.boxes, torch.full((4,), 0.9), TRUTH.labels)
    none = find_mistakes([TRUTH], [right], NAMES)
    assert any("0 mistakes" in text for text in words(mistake_chart(none)))
    assert any("does not occur" in text for text in words(mistake_photos([PHOTO], [right], none)))


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UserError, match="no pixels"):
        mistake_photos([TRUTH], [SAID], account(0.25))
    with pytest.raises(UserError, match="0 examples"):
        mistake_photos([PHOTO], [SAID], account(0.25), each=0)
    with pytest.raises(UserError, match="2 photos, but detections of 1"):
        mistake_photos([PHOTO, Sample(*PHOTO)], [SAID], account(0.25))
