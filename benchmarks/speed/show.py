"""Tables, JSON and the picture of what was measured."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from speed.latency import LATENCY_SIZE
from speed.training import STAGES, Results
from yolo_edu.caption import class_color, text_color


def tables(results: Results) -> str:
    """Everything as text."""
    lines = [f"{key:14} {' '.join(v) if isinstance(v, list) else v}" for key, v in results["machine"].items()]
    lines += [f"fastest product, {k}: {v / 1e12:.2f} TFLOP/s" for k, v in results["matmul_peak"].items()]
    if results["training"]:
        lines += ["", *training_table(results["training"])]
    if results["latency"]:
        lines += ["", *latency_table(results["latency"])]
    return "\n".join(lines)


def training_table(cases: Sequence[Results]) -> list[str]:
    """Two lines a way, then what is not part of a step."""
    titles = ("whole", "loop", "TFLOP/s", "of peak")
    lines = [
        "training: images/s of each stage, the whole step and the real loop; below them the shares of the step",
        f"{'model':10} {'size':>4} {'batch':>5} {'way':20}" + "".join(f"{title:>9}" for title in (*STAGES, *titles)),
    ]
    for case in cases:
        left = f"{case['model']:10} {case['size']:4} {case['batch']:5}"
        for name, way in case["ways"].items():
            if "note" in way:
                lines.append(f"{left:21} {name:20} {way['note']}")
                continue
            speed, peak = way["images_per_second"], way["share_of_peak"]
            numbers = "".join(f"{speed[stage]:9.0f}" for stage in STAGES)
            numbers += f"{speed['whole step']:9.1f}{way['loop_images_per_second']:9.1f}{way['tflops']:9.3g}"
            lines.append(f"{left:21} {name:20}{numbers}{f'{peak:.0%}' if peak else '-':>9}")
            lines.append(f"{'':42}" + "".join(f"{way['shares'][stage]:9.1%}" for stage in STAGES))
            left = ""
        for name, text in (("reading", "one thread; once a run, as the photos are cached"), ("evaluation", "float32")):
            one = case[name]
            lines.append(
                f"{'':22}{name}: {one['images_per_second']:.0f} images/s ({text}); "
                f"an image takes {one['of_a_training_image']:.2g} of its time in a step"
            )
        if (syncs := case["host_syncs_per_step"]) is not None:
            places = "; ".join(f"{stage}: {', '.join(where)}" for stage, where in syncs.items())
            count = sum(map(len, syncs.values()))
            lines.append(f"{'':22}waits for the GPU in a step: {count}{f' ({places})' if places else ''}")
    return lines


def latency_table(latency: Mapping[str, Results]) -> list[str]:
    """One line a model, then why something is missing."""
    ways = list(next(iter(latency.values())))
    lines = [
        f"latency, {LATENCY_SIZE} px, pixels to rows, float32: ms of the best turn; × eager; difference to its rows",
        f"{'model':10}" + "".join(f"{way:>26}" for way in ways),
    ]
    notes = []
    for model, row in latency.items():
        line = f"{model:10}"
        for way in ways:
            one = row[way]
            cell = f"{one['best_ms']:.1f} {one['ratio']:6.2f} {one['difference']:8.0e}" if "ms" in one else "-"
            line += f"{cell:>26}"
            notes += [f"{model}, {way}: {one['note']}"] if "note" in one else []
        lines.append(line)
    return lines + notes


def draw(results: Results, path: Path) -> None:
    """Shares of a step as stacked bars, latencies as bars beside one another."""
    steps = [
        (f"{row['model']}, {row['size']} px\nbatch {row['batch']}, {name}", way)
        for row in results["training"]
        for name, way in row["ways"].items()
        if "shares" in way
    ]
    latency = results["latency"]
    ways = list(next(iter(latency.values()))) if latency else []
    heights = [0.55 * len(steps) + 1.2, (0.19 * len(ways) + 0.15) * len(latency) + 1.2]
    kept = [height for height, there in zip(heights, (steps, latency), strict=True) if there]
    if not kept:
        return
    figure, axes = plt.subplots(
        len(kept), figsize=(10, sum(kept)), height_ratios=kept, layout="constrained", squeeze=False
    )
    panels = iter(axes.flat)
    if steps:
        draw_shares(next(panels), steps)
    if latency:
        draw_latency(next(panels), latency, ways)
    machine = results["machine"]
    figure.suptitle(f"{machine['gpu'] or machine['processor']}, PyTorch {machine['torch']}", fontsize=10)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def color(number: int) -> tuple[float, float, float]:
    """One of seven colors that color-blind people can tell apart."""
    red, green, blue = class_color(number)
    return red / 255, green / 255, blue / 255


def number_text(value: float) -> str:
    """Three digits, and never a power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def legend(ax: Axes, names: Sequence[str]) -> None:
    """The names with their colors, in a line above the axes."""
    patches = [Patch(color=color(number), label=name) for number, name in enumerate(names)]
    ax.legend(handles=patches, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=8)


def draw_shares(ax: Axes, steps: Sequence[tuple[str, Results]]) -> None:
    """One stacked bar a way of making a step; a stage's name stands in its part where there is room."""
    for y, (_, way) in enumerate(steps):
        left = 0.0
        for number, stage in enumerate(STAGES):
            share = way["shares"][stage]
            ax.barh(y, share, left=left, color=color(number), edgecolor="white")
            if share > 0.08:
                ink = [c / 255 for c in text_color(class_color(number))]
                ax.text(left + share / 2, y, f"{stage}\n{share:.0%}", ha="center", va="center", fontsize=7, color=ink)
            left += share
        ax.text(1.01, y, f"{number_text(way['images_per_second']['whole step'])} images/s", va="center", fontsize=8)
    ax.set_yticks(range(len(steps)), [label for label, _ in steps], fontsize=8)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="share of a training step")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.spines[["top", "right"]].set_visible(False)
    legend(ax, STAGES)


def draw_latency(ax: Axes, latency: Mapping[str, Results], ways: Sequence[str]) -> None:
    """Bars of each way's time as a share of the eager one, with the milliseconds of its best turn behind them.

    The median turn's milliseconds may belong to different moments of a noisy machine; ratios are taken turn by turn.
    """
    height = 0.85 / len(ways)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # the dotted line does not cross a number
    for number, way in enumerate(ways):
        for group, row in enumerate(latency.values()):
            y = group + (number - (len(ways) - 1) / 2) * height
            if "ms" in row[way]:
                ax.barh(y, row[way]["ratio"], height * 0.92, color=color(number))
                ax.text(
                    row[way]["ratio"] + 0.01, y, f"{number_text(row[way]['best_ms'])} ms", va="center", fontsize=7
                ).set_bbox(paper)
            else:
                ax.text(0.01, y, f"{way}: {row[way]['note']}", va="center", fontsize=7)
    ax.axvline(1, color="gray", linewidth=0.8, linestyle=":", zorder=0)
    ax.set_yticks(range(len(latency)), list(latency), fontsize=8)
    ax.set_ylim(len(latency) - 0.45, -0.55)  # the first one on top
    widest = max((one["ratio"] for row in latency.values() for one in row.values() if "ms" in one), default=1)
    ax.set(xlim=(0, widest * 1.1), xlabel="time for one image, eager = 1 (behind the bar: the best turn)")
    ax.spines[["top", "right"]].set_visible(False)
    legend(ax, ways)


def save(results: Results, path: Path) -> None:
    """Write the JSON, and the picture beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(results), indent=2) + "\n")
    draw(results, path.with_suffix(".png"))


def rounded(value: Any) -> Any:
    """The same with four significant digits; a timing has no more."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
