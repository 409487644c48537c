"""Figures on a page: as HTML with a description, because exported pages drop the description of a bare image."""

import base64
import html
import io

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure
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
    source = f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
    return f'<img alt="{html.escape(alt)}" src="{source}" style="max-width:100%">'


def show(figure: Figure, alt: str, *, photos: bool = False, dpi: int = 100) -> None:
    """Display a figure in a notebook; see `html_image`."""
    display({"text/html": html_image(figure, alt, photos=photos, dpi=dpi), "text/plain": alt}, raw=True)
