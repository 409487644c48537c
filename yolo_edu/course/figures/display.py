"""Figures on a page: as HTML with a description, because exported pages drop the description of a bare image."""

import base64
import html
import io
from typing import Literal

import cv2
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image  # matplotlib brings it

JPEG_QUALITY = 85
PALETTE = 128  # colors of a drawing


def html_image(figure: Figure, alt: str, *, photos: bool = False, dpi: int = 100) -> str:
    """A figure as an HTML image that needs no file, described for those who do not see it; closes the figure.

    With `photos` as JPEG: an eighth of the bytes. A drawing has few colors: as a palette it takes a third.
    """
    kind = "jpeg" if photos else "png"
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=dpi, pil_kwargs={"quality": JPEG_QUALITY} if photos else None)
    plt.close(figure)
    if not photos:
        drawing = Image.open(file).convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE)
        file = io.BytesIO()
        drawing.save(file, format="png", optimize=True)
    return img_tag(_url(kind, file.getvalue()), alt)


def img_tag(source: str, alt: str, style: str = "max-width:100%") -> str:
    """An HTML image with a description."""
    return f'<img alt="{html.escape(alt)}" src="{source}" style="{style}">'


def svg_image(svg: str, alt: str, style: str = "max-width:100%") -> str:
    """SVG markup as an image: pages that take no SVG inside HTML still take this."""
    return img_tag(_url("svg+xml", svg.encode()), alt, style)


def pixels_url(pixels: NDArray[np.uint8], kind: Literal["jpeg", "png"] = "jpeg") -> str:
    """(H, W, 3) uint8 RGB as an address that needs no file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == "jpeg" else []
    _, data = cv2.imencode(f".{kind}", np.ascontiguousarray(pixels[..., ::-1]), options)
    return _url(kind, data.tobytes())


def _url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def show(figure: Figure, alt: str, *, photos: bool = False, dpi: int = 100) -> None:
    """Display a figure in a notebook; see `html_image`."""
    display({"text/html": html_image(figure, alt, photos=photos, dpi=dpi), "text/plain": alt}, raw=True)
