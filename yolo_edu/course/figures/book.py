"""img/: every figure of the course, drawn from the live modules."""

import html
import io
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from yolo_edu.course.figures import (
    assignment,
    augmentation,
    boxes,
    capstone,
    clinic,
    convolution,
    csp,
    darknet,
    dense,
    head,
    losses,
    neck,
    network,
    own_data,
    spp,
    start,
    training,
)
from yolo_edu.course.figures.display import JPEG_QUALITY
from yolo_edu.course.figures.network_map import MAP_ALT, network_map

FOLDER = Path(__file__).parents[3] / "img"

# Name in img/ → how it is drawn, and what it shows. The numbers up to 13 are the article's.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "07_network_map": (network_map, MAP_ALT),
    **convolution.FIGURES,
    **dense.FIGURES,
    **csp.FIGURES,
    **darknet.FIGURES,
    **spp.FIGURES,
    **neck.FIGURES,
    **head.FIGURES,
    **network.FIGURES,
    **boxes.FIGURES,
    **assignment.FIGURES,
    **losses.FIGURES,
    **augmentation.FIGURES,
    **training.FIGURES,
    **clinic.FIGURES,
    **own_data.FIGURES,
    **capstone.FIGURES,
}
PHOTOS: dict[str, Callable[[], Figure]] = {**start.PHOTOS}


def write(folder: Path = FOLDER) -> list[Path]:
    """Draw every figure of the course into `folder`: drawings as SVG and PNG, photos as JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (draw, alt) in FIGURES.items():
        # A fixed salt and no date: a figure that did not change makes no difference in the repository.
        with matplotlib.rc_context({"svg.hashsalt": "yolo_edu", "svg.fonttype": "path"}):
            figure = draw()
            file = io.StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
            figure.savefig(folder / f"{name}.png", dpi=130)
            plt.close(figure)
        described = f'<svg role="img" aria-label="{html.escape(alt)}" '
        # A thousandth of a point is enough; more digits differ from one machine's rounding to another's.
        drawn = re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3f}", file.getvalue())
        text = re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE).replace("<svg ", described, 1)
        (folder / f"{name}.svg").write_text(text, encoding="utf-8")
        written += [folder / f"{name}.svg", folder / f"{name}.png"]
    for name, photos in PHOTOS.items():
        figure = photos()
        figure.savefig(folder / f"{name}.jpg", dpi=100, pil_kwargs={"quality": JPEG_QUALITY})
        plt.close(figure)
        written.append(folder / f"{name}.jpg")
    return written
