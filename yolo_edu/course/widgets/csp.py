"""Things to play with in lesson 03: how much of a dense stage goes round, and what that saves."""

import functools
import itertools
from typing import NamedTuple

import ipywidgets
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from yolo_edu.course.figures.csp_stages import widths
from yolo_edu.course.figures.diagram import DIM, INK, PLAIN, WORK_COLORS
from yolo_edu.course.figures.display import svg_image
from yolo_edu.course.widgets.frame import Explorer, explore
from yolo_edu.model.dense import CSPDenseBlock, DenseBlock, Transition

__all__ = ["StageCost", "split_explorer", "stage_cost"]

GRID = 4  # cells a side when the slider measures; FLOPs and stored numbers grow with the number of cells
SHARES = tuple(eighths / 8 for eighths in range(1, 8))
LAYERS = (2, 6, 12)
GROWTHS = (8, 16, 32)
WIDTH, HEIGHT = 700, 300  # pixels of the picture


class StageCost(NamedTuple):
    """What one training step asks of a stage.

    `flops`: of the forward pass, 2 × multiply-adds of its convolutions. `stored`: numbers of feature maps that wait
    for the backward pass; a tensor that two operations need is kept once.
    """

    parameters: int
    flops: int
    stored: int


def stage_cost(stage: nn.Module, x: Tensor) -> StageCost:
    """Run a stage once in training mode and watch what it computes and keeps; x: (B, C, H, W), not on "meta"."""
    weights = {p.untyped_storage().data_ptr() for p in stage.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if tensor.ndim == 4 and place not in weights:
            kept[place] = tensor  # held, so that its place is not given to another
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        stage.train()(x)
    parameters = sum(p.numel() for p in stage.parameters())
    return StageCost(parameters, counter.get_total_flops(), sum(t.numel() for t in kept.values()))


@functools.cache
def _cost(c_in: int, layers: int, growth: int, bypass: float | None) -> tuple[StageCost, tuple[int, ...]]:
    """Cost on GRID × GRID cells, and channels: round, through, out of the block, first transition, joint, out."""
    stage: nn.Module
    if bypass is None:
        block = DenseBlock(c_in, layers, growth)
        out = block.channels // 2
        stage, channels = nn.Sequential(block, Transition(block.channels, out)), (0, c_in, block.channels, 0, 0, out)
    else:
        stage = CSPDenseBlock(c_in, layers, growth, bypass=bypass)
        (_, mixed), (joint, out) = widths(stage.partial), widths(stage.transition)
        channels = (*stage.split, stage.block.channels, mixed, joint, out)
    return stage_cost(stage, torch.zeros(1, c_in, GRID, GRID)), channels


def split_explorer(
    c_in: int = 64, size: int = 56, *, bypass: float = 0.5, layers: int = 6, growth: int = 32
) -> Explorer:
    """Sliders for a cross-stage dense block: its channels, and its cost beside the block without a split.

    Args:
        c_in: channels of x₀.
        size: cells a side of its maps.
        bypass, layers, growth: where the sliders start; one of SHARES, LAYERS, GROWTHS each.

    Returns:
        The controls "bypass", "layers" and "growth", already shown.
    """
    cells = size * size / (GRID * GRID)
    for settings in itertools.product(LAYERS, GROWTHS, (None, *SHARES)):  # now, so that no move waits for it
        _cost(c_in, *settings)

    def page(bypass: float, layers: int, growth: int) -> str:
        (plain, _), (csp, channels) = _cost(c_in, layers, growth, None), _cost(c_in, layers, growth, bypass)
        around, through, wide, mixed, joint, out = channels
        thousand, million, mega = 1e3, 1e6 / cells, 1e6 / cells / 4  # a float has 4 bytes
        shares = [
            _share("parameters", csp.parameters, plain.parameters, thousand, ",.0f", "thousand"),
            _share("FLOPs", csp.flops, plain.flops, million, ",.0f", "million"),
            _share("memory", csp.stored, plain.stored, mega, ",.1f", "MB"),
        ]
        alt = (
            f"{c_in} channels split into {around} that go round and {through} that go through {layers} dense layers; "
            f"{wide} come out, {mixed} after the first transition, {joint} at the joint, {out} at the end. Compared "
            "with the dense block: " + ", ".join(f"{name} {share:.2f}" for name, share, _ in shares)
        )
        parameters, flops, memory = (share for _, share, _ in shares)
        verdict = "more" if flops > 1 else "less"
        picture = svg_image(_picture(channels, layers, growth, shares), alt)
        return (
            f"{picture}<p>With <b>{around}</b> of {c_in} channels going round, the stage has <b>{parameters:.2f}</b> "
            f"of the dense stage's parameters, does <b>{flops:.2f}</b> of its FLOPs and keeps <b>{memory:.2f}</b> of "
            f"its activations for the backward pass: the split computes <b>{verdict}</b>. Both stages put out {out} "
            f"channels of {size // 2} × {size // 2} cells.</p>"
        )

    wide_label = {"style": {"description_width": "initial"}, "layout": ipywidgets.Layout(width="300px")}
    controls = {
        "bypass": ipywidgets.SelectionSlider(
            options=[(f"{int(c_in * share)} of {c_in}", share) for share in SHARES],
            value=bypass,
            description="channels that go round",
            **wide_label,
        ),
        "layers": ipywidgets.SelectionSlider(options=LAYERS, value=layers, description="dense layers", **wide_label),
        "growth": ipywidgets.SelectionSlider(options=GROWTHS, value=growth, description="growth rate", **wide_label),
    }
    return explore(controls, page)


def _share(name: str, mine: int, theirs: int, unit: float, digits: str, word: str) -> tuple[str, float, str]:
    """A cost's name, its ratio to the dense block's, and both in words."""
    return name, mine / theirs, f"{mine / unit:{digits}} of {theirs / unit:{digits}} {word}"


def _picture(channels: tuple[int, ...], layers: int, growth: int, shares: list[tuple[str, float, str]]) -> str:
    """The block as tensors, bars as high as they have channels, and below them one bar for each cost."""
    around, through, wide, mixed, joint, out = channels
    unit, middle = 96 / max(wide, joint, around + through), 92
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="DejaVu Sans, Verdana, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    round_, gray, blue = WORK_COLORS["marked"], "#9a9a9a", WORK_COLORS["convolution"]

    def text(x: float, y: float, words: str, *, anchor: str = "middle", color: str = INK, weight: str = "") -> None:
        style = f' font-weight="{weight}"' if weight else ""
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}"{style}>{words}</text>')

    def bar(x: float, segments: list[tuple[int, str]]) -> None:
        y = middle - sum(n for n, _ in segments) * unit / 2
        for n, color in segments:
            parts.append(
                f'<rect x="{x}" y="{y:.1f}" width="20" height="{n * unit:.1f}" fill="{color}" stroke="{INK}"/>'
            )
            y += n * unit
        text(x + 10, y + 16, str(sum(n for n, _ in segments)), weight="bold")

    def line(*points: tuple[float, float], color: str = INK, width: float = 1.5) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"/>')
        x, y = points[-1]
        tip = f"{x:.1f},{y:.1f} {x - 7:.1f},{y - 4:.1f} {x - 7:.1f},{y + 4:.1f}"
        if points[-1][0] == points[-2][0]:
            tip = f"{x:.1f},{y:.1f} {x - 4:.1f},{y - 7:.1f} {x + 4:.1f},{y - 7:.1f}"
        parts.append(f'<polygon points="{tip}" fill="{color}"/>')

    def box(x: float, width: float, first: str, second: str) -> None:
        parts.append(
            f'<rect x="{x}" y="{middle - 24}" width="{width}" height="48" rx="5" fill="{PLAIN}" stroke="{INK}"/>'
        )
        text(x + width / 2, middle - 4, first)
        text(x + width / 2, middle + 14, second)

    bar(42, [(around, round_), (through, gray)])
    top = middle - (around + through) * unit / 2
    line(
        (62, top + around * unit / 2),
        (76, top + around * unit / 2),
        (76, 26),
        (440, 26),
        (440, middle - 10),
        color=round_,
        width=3,
    )
    text(258, 19, f"{around} channels go round")
    first, second = top + around * unit / 2, top + (around + through / 2) * unit
    apart = max(0, 15 - (second - first)) / 2  # two thin parts: their numbers must not touch
    text(36, first - apart + 5, str(around), anchor="end")
    text(36, second + apart + 5, str(through), anchor="end")
    line((62, second), (82, second), (82, middle), (92, middle))
    box(92, 110, "dense block", f"{layers} layers, +{growth}")
    line((202, middle), (222, middle))
    bar(222, [(through, gray), (wide - through, blue)])
    line((242, middle), (262, middle))
    box(262, 98, "transition 1", "1 × 1")
    line((360, middle), (380, middle))
    bar(380, [(mixed, blue)])
    line((400, middle), (430, middle))
    parts.append(f'<circle cx="440" cy="{middle}" r="10" fill="{WORK_COLORS["join"]}" stroke="{INK}"/>')
    text(440, middle + 5, "C", weight="bold")
    line((450, middle), (474, middle))
    bar(474, [(around, round_), (mixed, blue)])
    line((494, middle), (514, middle))
    box(514, 98, "transition 2", "1 × 1, mean")
    line((612, middle), (636, middle))
    bar(636, [(out, blue)])

    start, full = 110, 330  # pixels: left end of the cost bars, length of the dense block's
    for row, (name, share, words) in enumerate(shares):
        y = 192 + 34 * row
        text(start - 8, y + 15, name, anchor="end")
        parts.append(f'<rect x="{start}" y="{y}" width="{share * full:.1f}" height="20" fill="{blue}" stroke="{INK}"/>')
        text(start + 390, y + 15, f"{share:.2f}", anchor="end", weight="bold")
        text(start + 402, y + 15, words, anchor="start", color=DIM)
    parts.append(
        f'<line x1="{start + full}" y1="182" x2="{start + full}" y2="286" stroke="{INK}" stroke-dasharray="5 4"/>'
    )
    text(start + full, 177, "dense block = 1")
    parts.append("</svg>")
    return "".join(parts)
