"""Figures come from the live model, are legible without color, and img/ holds what the code draws."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from yolo_edu.course import figures
from yolo_edu.course.figures.diagram import SMALLEST
from yolo_edu.model import Detector, YOLOv5, YOLOv5v6


@pytest.fixture(params=[YOLOv5, YOLOv5v6], ids=["R1", "R7"])
def model(request: pytest.FixtureRequest) -> Detector:
    return request.param("n", 3)


def words(figure: plt.Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_map_rows_are_the_model_s(model: Detector) -> None:
    rows = figures.map_rows(model, 320)
    assert [row.name for row in rows] == [type(module).__name__ for module in model.model]
    assert rows[0].sources == (-1,)
    assert rows[-1].channels == 3 * (5 + 3)
    # A concatenation is as wide as what it takes in: the arrows are the real ones.
    for row in rows:
        if row.name == "Concat":
            assert row.channels == sum(rows[source].channels for source in row.sources)
            assert {rows[source].stride for source in row.sources} == {row.stride}
    with torch.no_grad():
        p3, p4, p5 = model.eval().backbone(torch.zeros(1, 3, 64, 64))
    ends = [max(r.number for r in rows if (r.part, r.stride) == ("backbone", s)) for s in model.strides]
    assert [rows[end].channels for end in ends] == [p3.shape[1], p4.shape[1], p5.shape[1]]
    parts = list(dict.fromkeys(row.part for row in rows if row.part != "head"))
    assert parts == ["backbone", "top-down", "bottom-up"]
    assert rows[-1].part == "head"


def test_mapping_a_model_leaves_it_as_it_was(model: Detector) -> None:
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    figures.map_rows(model, 64)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("lit", [None, "spp", "BottleneckCSP", "neck"])
def test_no_text_of_the_map_overlaps_another(lit: str | None) -> None:
    figure = figures.network_map(lit)
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    assert len(boxes) > 80  # number, name and channels of 27 rows
    for i, (text, box) in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
        for other, second in boxes[:i]:
            assert not box.overlaps(second), f"{text!r} and {other!r}"
    # Legible at half of a page's 1000 pixels.
    pixels = [t.get_fontsize() / 72 * 500 / figure.get_figwidth() for t in texts]
    assert min(pixels) >= 6.5
    plt.close(figure)


def test_map_lights_only_what_it_was_asked_for() -> None:
    figure = figures.network_map("spp")
    inks = {t.get_text(): t.get_color() for t in figure.findobj(Text)}
    assert inks["SPP"] != figures.DIM
    assert inks["Focus"] == inks["Upsample"] == figures.DIM
    plt.close(figure)


def test_map_draws_either_release(model: Detector) -> None:
    figure = figures.network_map(model=model, size=320)
    for module in model.model[:-1]:
        assert type(module).__name__ in words(figure)
    plt.close(figure)


def test_map_refuses_an_unknown_block() -> None:
    with pytest.raises(ValueError, match=r"lit='transformer' names nothing .* spp"):
        figures.network_map("transformer")


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_figure_is_legible_and_described(name: str) -> None:
    draw, alt = figures.FIGURES[name]
    assert len(alt) >= 40
    assert name not in alt
    figure = draw()
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    # Legible at half of a page's 1000 pixels, and inside the page.
    for text in texts:
        assert text.get_fontsize() >= SMALLEST * figure.get_figwidth(), f"{text.get_text()!r} is too small"
    placed = [text for ax in figure.axes for text in (*ax.texts, ax.title) if text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in placed]
    for i, (text, box) in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, f"{text!r} leaves the page"
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, f"{text!r} leaves the page"
        for other, second in boxes[:i]:
            assert not box.overlaps(second), f"{text!r} lies on {other!r}"
    plt.close(figure)


def test_level_colors_are_three_different_ones() -> None:
    assert list(figures.LEVEL_COLORS) == ["P3", "P4", "P5"]
    assert len(set(figures.LEVEL_COLORS.values())) == 3


def words_and_numbers(svg: str) -> tuple[list[str], list[float]]:
    """What stands between the decimal numbers of a drawing, and these: machines round differently."""
    number = re.compile(r"\d+\.\d+")
    return number.split(svg), [float(n) for n in number.findall(svg)]


def test_committed_figures_are_what_the_code_draws(tmp_path: Path) -> None:
    for path in figures.write(tmp_path):
        committed = figures.FOLDER / path.name
        assert committed.is_file(), f"{path.name} is missing: make figures"
        if path.suffix != ".svg":
            continue
        new, old = path.read_text(), committed.read_text()
        assert re.match(r'.*<svg role="img" aria-label="[^"]{40,}"', new, re.DOTALL)
        version = re.compile(r"Matplotlib v[\d.]+")
        if version.findall(new) == version.findall(old):
            (new_words, new_numbers), (old_words, old_numbers) = map(words_and_numbers, (new, old))
            assert new_words == old_words, f"{path.name} is out of date: make figures"
            assert new_numbers == pytest.approx(old_numbers, abs=0.01), f"{path.name} is out of date: make figures"
        else:  # another matplotlib shapes letters differently; what is written must be the same
            assert re.findall(r"<!-- .* -->", new) == re.findall(r"<!-- .* -->", old), f"{path.name}: make figures"
    names = {path.name for path in figures.FOLDER.iterdir()}
    drawings = {f"{name}{suffix}" for name in figures.FIGURES for suffix in (".svg", ".png")}
    assert names == drawings | {f"{name}.jpg" for name in figures.PHOTOS}
    for name in figures.PHOTOS:
        new, old = (plt.imread(folder / f"{name}.jpg").astype(float) for folder in (tmp_path, figures.FOLDER))
        # Scores may differ in their last digit from machine to machine; a box elsewhere moves far more pixels.
        assert abs(new - old).mean() < 1, f"{name}.jpg is out of date: make figures"
