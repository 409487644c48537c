"""Things to play with in lesson 04: the feature maps of a trained network, laid over the photo that made them."""

from collections.abc import Mapping, Sequence

import cv2
import ipywidgets
import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yolo_edu.course.activations import row_outputs
from yolo_edu.course.figures.darknet import spotlight
from yolo_edu.course.figures.darknet_probe import strongest_channels
from yolo_edu.course.figures.display import img_tag, pixels_url
from yolo_edu.course.figures.maps import COLORS
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.model import Detector

__all__ = ["feature_map_explorer"]

GUTTER = 8  # white pixels between two pictures
EDGE = ((0, 0), (0, GUTTER), (0, 0))  # where it stands: right of a picture (H, W, 3)
WIDE = ipywidgets.Layout(width="380px")


def feature_map_explorer(
    model: Detector,
    photos: Mapping[str, Tensor],
    *,
    rows: Sequence[int] = range(10),
    row: int = 4,
    photo: str | None = None,
    channel: int | None = None,
) -> Explorer:
    """Choose a photo, a row of the network and a channel; see the map, and the photo in its light.

    Args:
        model: trained; it runs once, here. Moving the controls only draws.
        photos: name → (3, S, S) uint8, S a multiple of 32, all of one size.
        rows: of the network's table that can be chosen.
        row, photo, channel: where the controls start; None: the first photo, its strongest channel.

    Returns:
        The controls "photo", "row" and "channel", already shown.
    """
    device = next(model.parameters()).device
    outputs = row_outputs(model, torch.stack(list(photos.values())).to(device) / 255)
    maps = {r: outputs[r].cpu() for r in rows}
    number = {name: index for index, name in enumerate(photos)}
    size = next(iter(photos.values())).shape[-1]
    blocks = {r: type(model.model[r]).__name__ for r in rows}
    first = photo or next(iter(photos))

    def page(photo: str, row: int, channel: int) -> str:
        own = maps[row][number[photo]]
        channel = min(channel, len(own) - 1)
        values, side = own[channel], own.shape[-1]
        pixels = np.concatenate(
            [_pixels(photos[photo]), _colored(values, size), _pixels(spotlight(photos[photo], values))], axis=1
        )
        y, x = divmod(int(values.argmax()), side)
        negative = 100 * float((values < 0).float().mean())
        facts = (
            f"{side} × {side} values from {float(values.min()):.2f} to {float(values.max()):.2f}, "
            f"the highest in cell ({y}, {x}), counted from 0; {negative:.0f} of 100 are negative. "
            f"One value stands for {size // side} × {size // side} pixels."
        )
        alt = f"{photo}; the map of channel {channel} of row {row}; the photo in the light of that map. {facts}"
        strongest = ", ".join(map(str, strongest_channels(own, 8)))
        return (
            f"{_image(pixels, alt)}"
            f"<p>Row {row}, {blocks[row]}, channel {channel} of 0 to {len(own) - 1}: {facts}<br>"
            f"Strongest channels of this row on this photo: {strongest}.</p>"
        )

    highest = {r: maps[r].shape[1] - 1 for r in rows}
    start = strongest_channels(maps[row][number[first]], 1)[0] if channel is None else channel
    options = [(f"row {r}: {blocks[r]}, {side} × {side}", r) for r in rows for side in (maps[r].shape[-1],)]
    controls = {
        "photo": ipywidgets.Dropdown(options=list(photos), value=first, description="photo", layout=WIDE),
        "row": ipywidgets.Dropdown(options=options, value=row, description="row", layout=WIDE),
        "channel": ipywidgets.IntSlider(value=start, max=highest[row], description="channel", layout=WIDE),
    }

    def follow(change: Mapping[str, int]) -> None:
        controls["channel"].max = highest[change["new"]]  # pulls the value along where it is too high

    controls["row"].observe(follow, names="value")  # before `explore` observes it: the redraw comes after
    return explore(controls, page)


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) → (H, W, 3) with a white gutter on the right."""
    return np.pad(image.permute(1, 2, 0).numpy(), EDGE, constant_values=255)


def _colored(values: Tensor, size: int) -> NDArray[np.uint8]:
    """A map in the course's colors, each value a square; `size` pixels a side, with a gutter."""
    span = (values.max() - values.min()).clamp(min=1e-9)
    levels = ((values - values.min()) / span * 255).round().to(torch.uint8).numpy()
    square = cv2.resize(levels, (size, size), interpolation=cv2.INTER_NEAREST)
    return np.pad(_TABLE[square], EDGE, constant_values=255)


_TABLE = (matplotlib.colormaps[COLORS](range(256))[:, :3] * 255).round().astype(np.uint8)


def _image(pixels: NDArray[np.uint8], alt: str) -> str:
    """(H, W, 3) RGB as an HTML image that needs no file, the last gutter left out."""
    return img_tag(pixels_url(pixels[:, :-GUTTER]), alt, "max-width:100%;margin:0")
