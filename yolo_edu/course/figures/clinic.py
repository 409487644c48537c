"""Figures of lesson 14: the patients side by side, which measurement speaks for whom, and the ablations."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from yolo_edu.chart_style import MARKERS
from yolo_edu.course.clinic.patients import PATIENTS, by_case
from yolo_edu.course.clinic.records import TWIN, Record, healthy_range, read_records
from yolo_edu.course.clinic.signs import SIGNS
from yolo_edu.course.figures.diagram import FADED, INK, hex_color

__all__ = ["ablation_dots", "labels_and_hand", "luck_of", "patients_at_a_glance", "sign_matrix"]

MEASURES = {"map50": "mAP50", "map": "mAP50-95"}


def patients_at_a_glance(records: Mapping[str, Sequence[Record]] | None = None) -> Figure:
    """mAP50 over the epochs, a panel a patient, the twins' range behind."""
    records = records or read_records()
    figure, axes = plt.subplots(2, 5, figsize=(10, 4.6), sharex=True, sharey=True, layout="constrained")
    band = healthy_range(records, "map50")
    epochs = range(1, len(band) + 1)
    for ax, (case, key) in zip(axes.flat, by_case().items(), strict=True):
        low, high = zip(*band, strict=True)
        ax.fill_between(epochs, low, high, color=FADED, alpha=0.7, linewidth=0, label="healthy twins")
        for record in records[key]:
            own = record.curves["map50"]
            ax.plot(epochs, own, color=hex_color(0), linestyle="--", label="the patient" if record.seed == 0 else None)
        ax.set_title(f"patient {case}", fontsize=12, loc="left")
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=10)
        ax.set_ylim(0, 1)
    for ax in axes[1]:
        ax.set_xlabel("epoch", fontsize=11)
    for ax in axes[:, 0]:
        ax.set_ylabel("mAP50", fontsize=11)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=2, fontsize=11)
    return figure


def sign_matrix(records: Mapping[str, Sequence[Record]] | None = None) -> Figure:
    """Which measurement speaks for which patient: in all seeds, in some, in none."""
    records = records or read_records()
    order = [*by_case().values()]
    rows = [TWIN, *order]
    figure, ax = plt.subplots(figsize=(9.5, 6.2), layout="constrained")
    for y, way in enumerate(rows):
        for x, key in enumerate(order):
            spoken = [SIGNS[key].speaks(record.signs[key]) for record in records[way]]
            if all(spoken):
                ax.plot(x, y, "o", color=hex_color(0), markersize=13)
            elif any(spoken):
                ax.plot(x, y, "o", color=hex_color(0), markersize=13, markerfacecolor="none", markeredgewidth=2)
            else:
                ax.plot(x, y, ".", color=INK, markersize=3)
    ax.set_yticks(range(len(rows)), ["healthy twin", *(f"patient {PATIENTS[key].case}" for key in order)], fontsize=11)
    ax.set_xticks(range(len(order)), [SIGNS[key].what for key in order], fontsize=10, rotation=38, ha="right")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(-0.5, len(order) - 0.5)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return figure


def labels_and_hand(images: Sequence[Any], read: Sequence[Any], drawn: Sequence[Any]) -> Figure:
    """Photos with the boxes that the reader has (solid) and those that a person drew (dashed).

    Args:
        images: uint8 (3, H, W) tensors.
        read, drawn: (N, 4) xyxy in pixels of each.
    """
    figure, axes = plt.subplots(1, len(images), figsize=(3.1 * len(images), 3.4), layout="constrained", squeeze=False)
    looks: tuple[tuple[Sequence[Any], str, Any, str], ...] = (
        (drawn, hex_color(4), "--", "drawn by hand"),
        (read, hex_color(0), "-", "as read"),
    )
    for index, ax in enumerate(axes[0]):
        ax.imshow(images[index].permute(1, 2, 0).numpy())
        for boxes, color, dashes, _ in looks:
            for x1, y1, x2, y2 in boxes[index].tolist():
                ax.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color="white", linewidth=4))
                ax.add_patch(
                    plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=color, linewidth=2, linestyle=dashes)
                )
        ax.set_axis_off()
    handles = [Patch(fill=False, edgecolor=color, linestyle=dashes, label=name) for _, color, dashes, name in looks]
    figure.legend(handles=handles, frameon=False, loc="outside lower center", ncols=2, fontsize=11)
    return figure


def ablation_dots(result: Mapping[str, Any], measure: str = "map50", base: str = "base") -> Figure:
    """Every run's difference to the base of the same seed a mark, their mean a bar; luck's reach behind.

    Args:
        result: what benchmarks/ablations.py wrote.
        measure: "map50" or "map".
        base: the way that the others are compared with.
    """
    rows = [row for row in result["table"] if row["way"] != base]
    luck = luck_of(result, measure)
    figure, ax = plt.subplots(figsize=(8.5, 0.42 * len(rows) + 1.5), layout="constrained")
    if luck is not None:
        ax.axvspan(-luck, luck, color=FADED, alpha=0.5, linewidth=0, label="reach of luck")
    ax.axvline(0, color=INK, linewidth=1)
    for y, row in enumerate(rows):
        _marks(ax, y, row[f"{measure}_difference"])
    names = [row["way"] + (" (control)" if row[f"{measure}_difference"]["verdict"] == "-" else "") for row in rows]
    ax.set_yticks(range(len(rows)), names, fontsize=11)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel(f"{MEASURES[measure]}, difference to the base of the same seed", fontsize=11)
    ax.tick_params(axis="x", labelsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), frameon=False, loc="outside lower center", ncols=6, fontsize=10)
    return figure


def luck_of(result: Mapping[str, Any], measure: str) -> float | None:
    """The largest difference of a control to the base: nothing but luck differs there. None without controls."""
    gaps = [
        row[f"{measure}_difference"]["each"]
        for row in result["table"]
        if row["way"] in ("base, other order", "Focus stem")
    ]
    return max((abs(gap) for each in gaps for gap in each), default=None)


def _marks(ax: Axes, y: int, difference: Mapping[str, Any]) -> None:
    for seed, gap in enumerate(difference["each"]):
        ax.plot(
            gap,
            y,
            MARKERS[seed % len(MARKERS)],
            color=hex_color(4),
            markerfacecolor="none",
            markeredgewidth=1.6,
            markersize=7,
            label=f"seed {seed}",
        )
    if difference["each"]:
        ax.plot([difference["mean"]] * 2, [y - 0.3, y + 0.3], color=hex_color(0), linewidth=2.5, label="mean")


FIGURES: dict = {
    "L14_patients": (
        patients_at_a_glance,
        "Ten panels, one a patient, of mAP50 over ten epochs: three dashed lines of the patient before the gray band "
        "of the "
        "healthy twins. Patient A stays at zero, D and F stay low, C and B lie near the band",
    ),
    "L14_signs": (
        sign_matrix,
        "A table of dots: ten measurements against the healthy twin and ten patients. Each measurement has a filled "
        "dot "
        "at its own patient, none at the healthy twin, and few elsewhere",
    ),
}
