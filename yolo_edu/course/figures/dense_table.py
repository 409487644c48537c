"""The DenseNets part by part, read off live modules: the paper's table 1, which is the article's figure 3."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from yolo_edu.course.figures.diagram import FADED, INK, PLAIN, WORK_COLORS, canvas, label
from yolo_edu.model.dense import DenseBlock, DenseNet, Transition


class Stage(NamedTuple):
    """One part of a DenseNet and what leaves it."""

    kind: str  # image, stem, block, transition, mean, linear
    words: str  # for a tile
    cell: str  # for a table: what it does, after the name of its row
    channels: int
    side: int  # of the square map; 1 once it is a vector


def names_of(module: nn.Module) -> list[str]:
    """The operations in a module in order, in the words of the figures: BN, ReLU, Conv 3×3, mean 2×2."""
    words = []
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            words.append("Conv {}×{}".format(*part.kernel_size))
        elif isinstance(part, nn.AvgPool2d | nn.MaxPool2d):
            kind = "mean" if isinstance(part, nn.AvgPool2d) else "max"
            words.append(f"{kind} {part.kernel_size}×{part.kernel_size}")
        elif isinstance(part, nn.BatchNorm2d):
            words.append("BN")
        elif not isinstance(part, nn.Sequential) and not list(part.children()):
            words.append(type(part).__name__)
    return words


@torch.no_grad()
def densenet_stages(model: DenseNet, size: int = 224) -> list[Stage]:
    """Every part of a network with the shape that leaves it, measured as a blank image goes through.

    Args:
        model: on any device; on "meta" it costs nothing.
        size: side of the image, pixels.
    """
    training = model.training
    device = model.classifier.weight.device
    shapes: list[tuple[nn.Module, torch.Size]] = []

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        shapes.append((module, output.shape))

    watched = [*model.stem, *model.stages, model.classifier]
    handles = [module.register_forward_hook(note) for module in watched]
    try:
        model.eval()(torch.zeros(1, 3, size, size, device=device))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    stages = [Stage("image", "image", "", 3, size)]
    blocks = transitions = 0
    for module, shape in shapes:
        channels, side = shape[1], shape[-1]
        if isinstance(module, DenseBlock):
            blocks += 1
            words = f"block {blocks}\n{len(module.layers)} layers"
            stages.append(Stage("block", words, f"× {len(module.layers)}", channels, side))
        elif isinstance(module, Transition):
            transitions += 1
            names = names_of(module)
            does = [w for w in names if w.startswith(("Conv", "mean", "max"))]
            words = "\n".join(["transition", ", ".join(w for w in names if w not in does), *does])
            stages.append(Stage("transition", words, ", ".join(does), channels, side))
        elif module is model.classifier:
            mean = stages[-1]
            stages.append(Stage("mean", "BN, ReLU\nmean", f"{mean.side}×{mean.side} mean", mean.channels, 1))
            stages.append(Stage("linear", "linear", "linear", channels, 1))
        elif isinstance(module, nn.Conv2d | nn.MaxPool2d):
            kind = "Conv" if isinstance(module, nn.Conv2d) else "max"
            kernel, stride = (v[0] if isinstance(v, tuple) else v for v in (module.kernel_size, module.stride))
            stages.append(Stage("stem", "", f"{kind} {kernel}×{kernel}, stride {stride}", channels, side))
    return stages


def in_tiles(stages: Sequence[Stage]) -> list[Stage]:
    """The parts as a drawing has them: the stem's two layers in one tile, mean and linear layer in another."""
    stem = [stage for stage in stages if stage.kind == "stem"]
    words = "stem\n" + "\n".join(stage.cell.split(",")[0] for stage in stem)
    middle = [stage for stage in stages if stage.kind in ("block", "transition")]
    head = stages[-1]._replace(words="\n".join(stage.words for stage in stages[-2:]))
    return [stages[0], stem[-1]._replace(words=words), *middle, head]


def densenet_gflops(model: DenseNet, size: int = 224) -> float:
    """10⁹ operations for one image, a multiplication and an addition being two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 3, size, size, device=model.classifier.weight.device))
    return counter.get_total_flops() / 1e9


def weight_layers(model: nn.Module) -> int:
    """Convolutions and linear layers: what the number in a network's name counts."""
    return sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules())


NAMED = (121, 169, 201, 264)
COLUMNS = (1.92, 1.34, 2.12)  # inches: name, output, each network
ROW = 0.41


def densenet_table(depths: Sequence[int] = NAMED, *, size: int = 224) -> Figure:
    """The paper's table 1, every entry read off a live network."""
    with torch.device("meta"):
        models = [DenseNet(depth) for depth in depths]
    every = [densenet_stages(model, size)[1:] for model in models]
    rows: list[tuple[str, str, list[str], str]] = []  # name, output, entries, kind
    counters = {"block": 0, "transition": 0}
    for parts in zip(*every, strict=True):
        kind = parts[0].kind
        name = {"stem": parts[0].cell, "mean": parts[0].cell, "linear": "linear"}.get(kind, kind)
        if kind in counters:
            counters[kind] += 1
            name = f"{kind} {counters[kind]}"
        output = f"{parts[0].side} × {parts[0].side}"
        entries = [f"{p.cell}  →  {p.channels:,}" if kind == "block" else f"→  {p.channels:,}" for p in parts]
        rows.append((name, output, entries, kind))
    rows += [
        ("layers with weights", "", [f"{weight_layers(m)}" for m in models], "sum"),
        ("parameters", "", [f"{sum(p.numel() for p in m.parameters()):,}" for m in models], "sum"),
        ("GFLOPs", "", [f"{densenet_gflops(m, size):.2f}" for m in models], "sum"),
    ]
    name_wide, output_wide, column = COLUMNS
    page = name_wide + output_wide + len(depths) * column + 0.2
    figure, ax = canvas(page, ROW * (len(rows) + 1) + 1.0)
    font = max(12.0, 1.02 * page)
    first = 0.1 + name_wide + output_wide
    lefts = [0.1, 0.1 + name_wide, *(first + i * column for i in range(len(depths)))]
    y = 0.1
    heads = ["part", "grid out", *(f"DenseNet-{depth}" for depth in depths)]
    for left, text in zip(lefts, heads, strict=True):
        label(ax, left + 0.08, y + ROW / 2, text, ha="left", va="center_baseline", fontsize=font, weight="bold")
    ax.plot([0.1, page - 0.1], [y + ROW] * 2, color=INK, linewidth=1.4)
    y += ROW
    paint = {"block": WORK_COLORS["convolution"], "transition": WORK_COLORS["pool"], "sum": PLAIN}
    for part, grid, entries, kind in rows:
        color = paint.get(kind, "#ffffff")
        strong = {"block": 0.45, "transition": 0.3}.get(kind, 1.0)
        ax.add_patch(Rectangle((0.1, y), page - 0.2, ROW, facecolor=color, alpha=strong, edgecolor="none"))
        ax.plot([0.1, page - 0.1], [y + ROW] * 2, color=FADED, linewidth=0.7)
        for left, text in zip(lefts, [part, grid, *entries], strict=True):
            if text:
                label(ax, left + 0.08, y + ROW / 2, text, ha="left", va="center_baseline", fontsize=font)
        y += ROW
    block = next(m for m in models[0].stages if isinstance(m, DenseBlock))
    transition = next(m for m in models[0].stages if isinstance(m, Transition))
    growth = [m for m in block.layers[0].modules() if isinstance(m, nn.Conv2d)][-1].out_channels
    text = (
        f"block: n × ({' → '.join(names_of(block.layers[0]))}), growth {growth}  →  "
        f"channels that leave it\ntransition: {' → '.join(names_of(transition))} · image {size} × {size} · "
        "GFLOPs: a multiplication and an addition are two"
    )
    label(ax, 0.18, y + 0.42, text, ha="left", fontsize=font)
    return figure
