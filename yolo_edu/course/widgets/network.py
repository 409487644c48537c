"""Things to play with in lesson 08: a ledger of parameters, work and file size for every size of both releases."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import ipywidgets
import torch
from torch import Tensor, nn

from yolo_edu.course.figures.diagram import DIM, INK, hex_color
from yolo_edu.course.figures.display import svg_image
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.model import RELEASES, SIZES
from yolo_edu.model.blocks import Conv

__all__ = ["LedgerLine", "ledger", "parameter_ledger"]

YEARS = {"June 2020": "yolov5", "release 7.0 (2022)": "yolov5v6"}
MEASURED = 64  # pixels: FLOPs are counted there, and grow with the area
PART_COLORS = {"backbone": hex_color(1), "neck": hex_color(3), "head": hex_color(6)}


class LedgerLine(NamedTuple):
    """One part of a network, or the whole."""

    part: str
    parameters: int
    tensors: int  # parameter tensors
    statistics: int  # numbers that BatchNorm measures: running means and variances
    counters: int  # BatchNorm's counts of batches, one integer a layer
    flops: int  # 2 × multiply-adds of the convolutions, one image


class _Part(NamedTuple):
    """What has to be known of a part to answer for every K, image size and fusion."""

    parameters: int  # without the prediction convolutions, whose size depends on K
    tensors: int
    statistics: int
    counters: int
    flops: int  # at MEASURED, without the predictions
    folded: int  # numbers that go when every Conv's BatchNorm is folded in
    folded_tensors: int
    folded_statistics: int
    folded_counters: int
    predictions: tuple[tuple[int, int], ...]  # of each prediction convolution: channels in, positions at MEASURED


@lru_cache
def _parts(release: str, size: str) -> dict[str, _Part]:
    """Measured on a weightless network while one small image walks through it."""
    with torch.device("meta"):
        model = RELEASES[release](size, 1).eval()
    outputs = model.detect.anchors_per_cell * model.detect.outputs
    seen: list[tuple[nn.Module, Tensor]] = []
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, Conv)):
            module.register_forward_hook(lambda m, _, y: seen.append((m, y)))
    parts = {}
    with torch.no_grad():
        maps = [torch.zeros(1, 3, MEASURED, MEASURED, device="meta")]
        for name in PART_COLORS:
            seen.clear()
            maps = list(getattr(model, name)(*maps))
            parts[name] = _measure(seen, outputs if name == "head" else 0)
    return parts


def _measure(seen: Sequence[tuple[nn.Module, Tensor]], outputs: int) -> _Part:
    """What ran in one part, each with its result; `outputs`: channels of its prediction convolutions, 0: none."""
    predictions = [(m, y) for m, y in seen if isinstance(m, nn.Conv2d) and m.bias is not None]
    assert all(m.out_channels == outputs for m, _ in predictions)
    plain = [(m, y) for m, y in seen if isinstance(m, nn.Conv2d) and m.bias is None]
    norms = [m for m, _ in seen if isinstance(m, nn.BatchNorm2d)]
    folded = [m.bn.num_features for m, _ in seen if isinstance(m, Conv) and isinstance(m.bn, nn.BatchNorm2d)]
    return _Part(
        parameters=sum(m.weight.numel() for m, _ in plain) + sum(2 * m.num_features for m in norms),
        tensors=len(plain) + 2 * len(norms),
        statistics=sum(2 * m.num_features for m in norms),
        counters=len(norms),
        flops=sum(2 * m.weight.numel() * y.shape[2] * y.shape[3] for m, y in plain),
        folded=sum(folded),  # γ and β go, a bias comes
        folded_tensors=len(folded),
        folded_statistics=sum(2 * c for c in folded),
        folded_counters=len(folded),
        predictions=tuple((m.in_channels, y.shape[2] * y.shape[3]) for m, y in predictions),
    )


def ledger(release: str, size: str, classes: int, *, fused: bool = False, image_size: int = 640) -> list[LedgerLine]:
    """Backbone, neck, head and the whole of a network.

    Args:
        release: "yolov5" (June 2020) or "yolov5v6" (release 7.0).
        size: "n", "s", "m", "l" or "x".
        classes: K.
        fused: as after `Detector.fuse`: the BatchNorm of every Conv folded into its convolution.
        image_size: side of the square image, pixels, a multiple of 32.
    """
    outputs, area = 3 * (5 + classes), image_size**2
    lines = []
    for name, part in _parts(release, size).items():
        work = part.flops + sum(2 * outputs * c * positions for c, positions in part.predictions)
        lines.append(
            LedgerLine(
                name,
                part.parameters - fused * part.folded + sum(outputs * (c + 1) for c, _ in part.predictions),
                part.tensors - fused * part.folded_tensors + 2 * len(part.predictions),
                part.statistics - fused * part.folded_statistics,
                part.counters - fused * part.folded_counters,
                work * area // MEASURED**2,
            )
        )
    parameters, tensors, statistics, counters, flops = (
        sum(column) for column in zip(*(x[1:] for x in lines), strict=True)
    )
    return [*lines, LedgerLine("whole", parameters, tensors, statistics, counters, flops)]


def _bytes(line: LedgerLine, each: int) -> int:
    """Of the numbers in a weights file: floats of `each` bytes, and BatchNorm's 8-byte counters."""
    return each * (line.parameters + line.statistics) + 8 * line.counters


def parameter_ledger(*, release: str = "yolov5", size: str = "s", classes: int = 80, image_size: int = 640) -> Explorer:
    """Choose a network; see where its parameters and its work sit, and how large its file is.

    Args:
        release, size, classes, image_size: where the controls start.
    """
    for year in YEARS.values():  # all ten now, so that no move of a control has to build one
        for name in SIZES:
            _parts(year, name)

    def page(release: str, size: str, classes: int, fused: bool, image_size: int) -> str:
        sizes = {name: ledger(release, name, classes, fused=fused, image_size=image_size) for name in SIZES}
        lines = sizes[size]
        whole = lines[-1]
        counted = ((line.part, line.parameters, line.tensors, line.flops) for line in lines)
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{_swatch(part)}{part}</th><td>{parameters:,}</td>'
            f"<td>{parameters / whole.parameters:.1%}</td><td>{tensors}</td><td>{flops / 1e9:.2f}</td>"
            f"<td>{flops / whole.flops:.1%}</td></tr>"
            for part, parameters, tensors, flops in counted
        )
        heads = "".join(
            f'<th scope="col">{name}</th>' for name in ("part", "parameters", "share", "tensors", "GFLOPs", "share")
        )
        note = " There was no n in June 2020: this one applies its two numbers to the old rows." * (release == "yolov5")
        return (
            f"{_bars(sizes, size)}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
            f"<p><b>{whole.parameters:,}</b> parameters in {whole.tensors} tensors, "
            f"<b>{whole.flops / 1e9:.1f}</b> GFLOPs for a {image_size} × {image_size} image. "
            f"Weights with BatchNorm's statistics: <b>{_bytes(whole, 4) / 1e6:.1f}</b> MB in float32, "
            f"<b>{_bytes(whole, 2) / 1e6:.1f}</b> MB in float16.{note}</p>"
        )

    wide = {"description_width": "initial"}
    controls = {
        "release": ipywidgets.ToggleButtons(
            options=list(YEARS.items()), value=release, description="release", style=wide
        ),
        "size": ipywidgets.Dropdown(options=list(SIZES), value=size, description="size", style=wide),
        "classes": ipywidgets.IntSlider(value=classes, min=1, max=100, description="classes K", style=wide),
        "image_size": ipywidgets.SelectionSlider(
            options=[(f"{n} px", n) for n in range(320, 1281, 64)],
            value=image_size,
            description="image side",
            style=wide,
        ),
        "fused": ipywidgets.Checkbox(value=False, description="BatchNorm folded in (for inference)", indent=False),
    }
    return explore(controls, page)


def _swatch(part: str) -> str:
    """The color of a part, before its name in the table."""
    style = "display:inline-block;width:12px;height:12px;margin-right:6px;border:1px solid"
    color = PART_COLORS.get(part)
    return f'<span style="{style} {INK};background:{color}"></span>' if color else ""


def _bars(lines: Mapping[str, Sequence[LedgerLine]], chosen: str) -> str:
    """A bar for every size, cut into its parts: parameters on the left, work on the right; the chosen one is full."""
    left, width, pitch, tall, gap = 24, 250, 26, 18, 130
    shapes, words = [], []
    for column, (title, measure) in enumerate((("parameters", "parameters"), ("GFLOPs", "flops"))):
        start = left + column * (width + gap)
        most = max(getattr(of_size[-1], measure) for of_size in lines.values())
        shapes.append(f'<text x="{start}" y="14" fill="{DIM}">{title}</text>')
        for row, (size, of_size) in enumerate(lines.items()):
            y, x = 22 + row * pitch, float(start)
            *parts, whole = of_size
            fade, weight = ("1", "bold") if size == chosen else ("0.3", "normal")
            for line in parts:
                side = getattr(line, measure) / most * width
                box = f'x="{x:.1f}" y="{y}" width="{side:.1f}" height="{tall}"'
                shapes.append(f'<rect {box} fill="{PART_COLORS[line.part]}" stroke="{INK}" opacity="{fade}"/>')
                x += side
            total = getattr(whole, measure)
            amount = f"{total:,}" if measure == "parameters" else f"{total / 1e9:.1f}"
            style = f'fill="{INK}" font-weight="{weight}"'
            shapes.append(f'<text x="{x + 6:.1f}" y="{y + 14}" {style}>{amount}</text>')
            if column == 0:
                shapes.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end" {style}>{size}</text>')
            words.append(f"{size} {amount} {title}")
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + 2 * (width + gap)}" height="{26 + 5 * pitch}" '
        f'font-family="sans-serif" font-size="13">{"".join(shapes)}</svg>'
    )
    alt = f"Bars of the five sizes, {chosen} chosen, cut into backbone, neck and head: " + ", ".join(words)
    return svg_image(svg, alt)
