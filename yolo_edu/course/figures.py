"""The course's figures, drawn from the live modules. `python -m yolo_edu.course.figures` writes them to img/."""

import base64
import html
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.course.network_map import DIM, LEVEL_COLORS, MAP_ALT, hex_color, map_rows, network_map
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.draw import side_by_side
from yolo_edu.evaluate import detect

__all__ = [
    "DIM",
    "FIGURES",
    "LEVEL_COLORS",
    "MAP_ALT",
    "PHOTOS",
    "map_rows",
    "network_map",
    "shipped_detections",
    "show",
    "threshold_curves",
    "write",
]

FOLDER = Path(__file__).parents[2] / "img"


def show(figure: Figure, alt: str, *, photos: bool = False, dpi: int = 100) -> None:
    """Display a figure in a notebook with a description for those who do not see it.

    As HTML, because exported pages drop the description of a bare image. With `photos` as JPEG: an eighth
    of the bytes.
    """
    kind = "jpeg" if photos else "png"
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=dpi, pil_kwargs={"quality": 85} if photos else None)
    plt.close(figure)
    source = f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
    page = f'<img alt="{html.escape(alt)}" src="{source}" style="max-width:100%">'
    display({"text/html": page, "text/plain": alt}, raw=True)


# --- curves ---------------------------------------------------------------------------------------------


def threshold_curves(thresholds: Sequence[float], curve: Sequence[tuple[float, float]], *, marked: float) -> Figure:
    """Precision and recall (pairs, one a threshold) over the confidence threshold, one threshold marked."""
    figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for values, name, k, marker in zip(zip(*curve, strict=True), ("precision", "recall"), (4, 5), "os", strict=True):
        ax.plot(thresholds, values, color=hex_color(k), marker=marker, markersize=4, label=name)
    ax.axvline(marked, color=DIM, linestyle="--", linewidth=1)
    ax.annotate(f" {marked:g}", (marked, 0.02), color=DIM)
    ax.set(xlabel="confidence threshold", xlim=(0, 1), ylim=(0, 1.03))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.3, 0.02))
    return figure


# --- photos ---------------------------------------------------------------------------------------------


def shipped_detections(indices: Sequence[int] = (28, 31, 15, 35)) -> Figure:
    """Validation photos of the cards twice: with the truth, and with what the shipped model finds."""
    weights = shipped_weights()
    model = load_checkpoint(weights)
    cards = DetectionData(read_spec(sample_data()), "val", image_size=416)
    samples = [cards[i] for i in indices]
    found = detect(model, [sample.image for sample in samples], size=read_metadata(weights)["image_size"])
    return side_by_side(samples, found, model.names)


# --- img/ -----------------------------------------------------------------------------------------------

# Name in img/ → how it is drawn, and what it shows.
FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {"07_network_map": (network_map, MAP_ALT)}
# Figures made of photos: JPEG alone, an eighth of the bytes. A JPEG holds no description; who shows it gives one.
PHOTOS: dict[str, Callable[[], Figure]] = {"00_detections": shipped_detections}


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
        text = re.sub(r"[ \t]+$", "", file.getvalue(), flags=re.MULTILINE).replace("<svg ", described, 1)
        (folder / f"{name}.svg").write_text(text, encoding="utf-8")
        written += [folder / f"{name}.svg", folder / f"{name}.png"]
    for name, photos in PHOTOS.items():
        figure = photos()
        figure.savefig(folder / f"{name}.jpg", dpi=100, pil_kwargs={"quality": 85})
        plt.close(figure)
        written.append(folder / f"{name}.jpg")
    return written


if __name__ == "__main__":
    for path in write():
        print(path.name)
