"""What the runs say, as numbers, as text and as a picture, and what so few of them cannot say."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ablation.ways import BASE, TWINS, WAYS
from yolo_edu.chart_style import MARKERS, tidy

MEASURES = {"map50": "mAP50", "map": "mAP50-95"}
VERDICTS = ("lower", "higher", "not told apart", "-")  # "-": too few runs to say, or nothing to find
ENOUGH = 3  # seeds
COLUMNS = ("million\nparameters", "GFLOPs", "time of a\ntraining step", "time of\na photo")
BLUE, ORANGE, GRAY = "#0072b2", "#d55e00", "#9a9a9a"


def table(runs: Sequence[Mapping[str, Any]]) -> list[dict]:
    """A row for each way that has runs, base first: mean and spread, and differences to the base seed by seed."""
    rows = []
    for way in WAYS:
        row: dict[str, Any] = {"way": way}
        for measure in MEASURES:
            own = _scores(runs, way, measure)
            if own:
                row["seeds"] = len(own)
                row[measure] = {
                    "mean": round(statistics.mean(own.values()), 4),
                    "lowest": min(own.values()),
                    "highest": max(own.values()),
                    "deviation": round(statistics.stdev(own.values()), 4) if len(own) > 1 else None,
                }
                gains = _gains(runs, way, measure)
                row[f"{measure}_difference"] = {
                    "mean": round(statistics.mean(gains), 4) if gains else None,
                    "each": [round(gain, 4) for gain in gains],
                    "seeds_higher": sum(gain > 0 for gain in gains),
                    "seeds_lower": sum(gain < 0 for gain in gains),
                    "verdict": "-" if way in (BASE, *TWINS) else verdict(gains, luck_of(runs, measure)),
                }
        if "seeds" in row:
            seconds = _scores(runs, way, "train_seconds").values()
            row["median_train_seconds"] = round(statistics.median(seconds), 1)
            rows.append(row)
    return rows


def verdict(gains: Sequence[float], luck: float | None) -> str:
    """One of `VERDICTS`: all differences have one sign, and even the smallest is larger than any by luck alone.

    Args:
        gains: differences to the base, one a seed.
        luck: see `luck_of`.
    """
    if len(gains) < ENOUGH or luck is None:
        return "-"
    if min(gains) > luck:
        return "higher"
    return "lower" if max(gains) < -luck else "not told apart"


def luck_of(runs: Sequence[Mapping[str, Any]], measure: str) -> float | None:
    """The largest difference to the base of its twins, where nothing but luck differs; None without enough of them."""
    gains = [abs(gain) for way in TWINS for gain in _gains(runs, way, measure)]
    return max(gains) if len(gains) >= ENOUGH else None


def _scores(runs: Sequence[Mapping[str, Any]], way: str, measure: str) -> dict[int, float]:
    return {run["seed"]: run[measure] for run in runs if run["way"] == way}


def _gains(runs: Sequence[Mapping[str, Any]], way: str, measure: str) -> list[float]:
    base = _scores(runs, BASE, measure)
    return [score - base[seed] for seed, score in sorted(_scores(runs, way, measure).items()) if seed in base]


def caution(runs: Sequence[Mapping[str, Any]], setting: Mapping[str, Any], photos: Mapping[str, int]) -> list[str]:
    """What these numbers can say and what not, in sentences.

    Args:
        runs: all there are.
        setting: of the measurement.
        photos: their number by split, and `boxes`: objects in those of "val".
    """
    rows = table(runs)
    compared = [row for row in rows if row["way"] not in (BASE, *TWINS)]
    lines = []
    if compared:
        seeds = min(row["seeds"] for row in compared)
        chance = 2 * 0.5**seeds
        lines.append(
            "A difference is taken seed by seed: both networks began with the same weights wherever they share them, "
            "and saw the photos in the same order. Without any effect, "
            f"all of {seeds} seed(s) agree in sign in {chance:.0%} of cases: about {chance * len(compared):.1f} of "
            f"{len(compared)} comparisons. Agreement alone proves nothing."
        )
    lucks = {name: luck for measure, name in MEASURES.items() if (luck := luck_of(runs, measure)) is not None}
    if lucks:
        lines.append(
            "Luck alone (another order of the photos; other rounding) made up to "
            f"{' and '.join(f'{luck:.3f} {name}' for name, luck in lucks.items())} of difference. A way is called "
            "lower or higher only if every seed says so by more than that. Even this is a rule of thumb, not a test."
        )
    return [
        *lines,
        "Not told apart does not mean equal: a smaller effect needs more seeds (--seeds).",
        f"The spread is that of training. All are measured on the same {photos['val']} photos with {photos['boxes']} "
        "boxes; whether others would rank the ways alike is not in it.",
        f"{setting['epochs']} epochs on {photos['train']} photos at {setting['image_size']} px end far from what the "
        "network can reach, and the recipe was tuned for the base: nothing here says what holds for a long training, "
        "a larger network or COCO.",
        "A network with a part removed is smaller and shallower as well; only `plain, cut` was brought back to the "
        "base's parameters.",
    ]


def text(result: Mapping[str, Any]) -> str:
    """The table for the terminal."""
    lines = [
        f"{'':<20} {'mAP50':^21} {'to the base':>11} {'mAP50-95':^21} {'to the base':>11} {'M par.':>7} "
        f"{'GFLOPs':>7} {'step':>6} {'photo':>6}"
    ]
    for row in result["table"]:
        cells = [f"{row['way']:<20}"]
        for measure in MEASURES:
            score, gain = row[measure], row[f"{measure}_difference"]
            cells.append(f"{score['mean']:.3f} ({score['lowest']:.3f}-{score['highest']:.3f})")
            signs = f"{gain['seeds_higher']}+ {gain['seeds_lower']}-"
            cells.append(f"{gain['mean']:+.3f} {signs}" if gain["each"] and row["way"] != BASE else f"{'':>11}")
        cells += [f"{value:>{width}}" for value, width in zip(costs(result, row["way"]), (7, 7, 6, 6), strict=True)]
        lines.append(" ".join(cells))
    lines += [
        "",
        "mean (lowest-highest); 2+ 1-: two seeds above the base's, one below; step, photo: time by the base's",
    ]
    for measure, name in MEASURES.items():
        for word in VERDICTS[:3]:
            named = [row["way"] for row in result["table"] if row[f"{measure}_difference"]["verdict"] == word]
            if named:
                lines.append(f"{name}, {word}: {'; '.join(named)}")
    lines += [""] + [
        f"{way}: best possible recall {paper['best_possible_recall']:.3f}; labels in reach of P3, P4, P5: "
        + ", ".join(f"{share:.0%}" for share in paper["labels_in_reach_of_p3_p4_p5"])
        for way, paper in result["on_paper"].items()
        if way == BASE or "anchors" in way
    ]
    return "\n".join([*lines, "", *(f"- {line}" for line in result["caution"])])


def costs(result: Mapping[str, Any], way: str) -> tuple[str, str, str, str]:
    """Million parameters, GFLOPs, time of a training step and of a photo by the base's, as text."""
    paper, time = result["on_paper"][way], result["timing"].get(way)
    ratios = [f"×{time[kind]:.2f}" if time else "-" for kind in ("step_ratio", "photo_ratio")]
    return f"{paper['parameters'] / 1e6:.2f}", f"{paper['gflops']:.3f}", ratios[0], ratios[1]


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Every run a mark, a shape for each seed; the mean a bar; the base's spread a band; what it costs beside it."""
    rows = result["table"]
    figure, (*axes, beside) = plt.subplots(
        1, 3, figsize=(13, 0.46 * len(rows) + 1.9), sharey=True, layout="constrained", width_ratios=(1, 1, 0.7)
    )
    for ax, (measure, name) in zip(axes, MEASURES.items(), strict=True):
        _dots(ax, result, measure)
        ax.set_xlabel(f"{name} on the validation photos")
        tidy(ax)
        ax.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(rows)), [row["way"] for row in rows])
    axes[0].set_ylim(len(rows) - 0.4, -0.9)
    beside.set_axis_off()
    for number, column in enumerate(COLUMNS):
        x = (number + 0.5) / len(COLUMNS)
        for y, word in enumerate([column, *(costs(result, row["way"])[number] for row in rows)], start=-1):
            lines = {"va": "bottom", "y": -0.65} if y < 0 else {"va": "center", "y": y}
            beside.text(x=x, s=word, transform=beside.get_yaxis_transform(), ha="center", fontsize=9, **lines)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(labels))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _dots(ax: Axes, result: Mapping[str, Any], measure: str) -> None:
    rows, runs = result["table"], result["runs"]
    base = _scores(runs, BASE, measure)
    if base:
        label = "the base's lowest to highest"
        ax.axvspan(min(base.values()), max(base.values()), color=GRAY, alpha=0.25, linewidth=0, label=label)
    for y, row in enumerate(rows):
        for seed, score in _scores(runs, row["way"], measure).items():
            label = f"seed {seed}" if y == 0 else None
            marker = MARKERS[seed % len(MARKERS)]
            ax.plot(
                score, y, marker, color=BLUE, markersize=6, markerfacecolor="none", markeredgewidth=1.5, label=label
            )
        mean = row[measure]["mean"]
        ax.plot([mean] * 2, [y - 0.3, y + 0.3], color=ORANGE, linewidth=2.5, label="mean" if y == 0 else None)
