"""How does the size of the images change a detector? Average precision and time per image, size by size.

A detector is not bound to the size it was trained at. Larger images show smaller objects and cost more time; this
measures both, on the user's own data and machine.
"""

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from tqdm import tqdm

from yolo_edu.chart_style import DASHES, MARKERS, closed_figure, ink, tidy
from yolo_edu.data import DataSpec, DetectionData, Sample
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Network, detect, evaluate

TIMED = 4  # photos whose detection is timed, one at a time
ROUNDS = 10  # turns of all sizes; the median of the rounds counts


class Point(NamedTuple):
    """What was measured at one size."""

    size: int  # side of the square the network sees, in pixels
    map50: float  # nan where the data has no object
    map: float
    milliseconds: float  # for one image, from its pixels to boxes: `ratio` × what the reference size takes
    ratio: float  # of the time to that of the reference size in the same round


def study_sizes(size: int, stride: int = 32) -> list[int]:
    """The sizes to try around one: from 0.55 to 1.25 times it, a tenth of it apart, as multiples of the stride.

    Around 640 these are the article's, 352, 416 … 800.
    """
    low, step, high = (max(round(size * share / stride), 1) * stride for share in (0.55, 0.1, 1.25))
    return list(range(low, high + 1, step))


def nearest(sizes: Sequence[int], size: int) -> int:
    """The one of the sizes that is nearest to another; of two equally near the smaller."""
    return min(sorted(sizes), key=lambda one: abs(one - size))


def study(
    model: Network,
    spec: DataSpec,
    split: str,
    sizes: Sequence[int],
    reference: int,
    *,
    batch_size: int = 32,
    confidence: float = 0.001,
    iou: float = 0.6,
    single_class: bool = False,
    progress: bool = True,
) -> Iterator[Point]:
    """Measure a detector at several sizes.

    The times come first and side by side: every round gives each size its turn, so that other work on the machine
    hits all of them alike. They are for one image at a time, at `detect`'s own thresholds, and hold everything
    between the pixels of a photo of that size and its boxes.

    Args:
        model: the detector.
        spec, split: the data.
        sizes: in pixels, multiples of the coarsest stride.
        reference: the one of them whose time the others are compared with.
        batch_size, confidence, iou: of the evaluation, see `yolo_edu.evaluate.detect_all`.
        single_class: take all objects for one class, see `yolo_edu.data.DetectionData`.
        progress: show bars.

    Yields:
        A Point a size, in the order of `sizes`, as soon as it is measured.

    Raises:
        UserError: the model does not run at one of the sizes, or what `DetectionData` and `detect_all` raise.
    """
    few = {size: _some(spec, split, size) for size in sizes}
    rounds: list[dict[int, float]] = []
    for number in tqdm(range(ROUNDS + 1), "timing", unit="round", disable=None if progress else True):
        # The first turn of each prepares memory and kernels, and finds out whether the model runs at that size.
        times = {size: _seconds(model, samples, size) for size, samples in few.items()}
        if number:
            rounds.append(times)
    typical = statistics.median(times[reference] for times in rounds)
    for size in sizes:
        report = evaluate(
            model,
            DetectionData(spec, split, size, single_class=single_class),
            batch_size=batch_size,
            confidence=confidence,
            iou=iou,
            progress=progress,
        )
        ratio = statistics.median(times[size] / times[reference] for times in rounds)
        yield Point(size, report.map50, report.map, 1000 * ratio * typical, ratio)


def _some(spec: DataSpec, split: str, size: int) -> list[Sample]:
    data = DetectionData(spec, split, size, cache=False)
    return [data[i] for i in range(min(TIMED, len(data)))]


def _seconds(model: Network, samples: Sequence[Sample], size: int) -> float:
    """For one image, on average; the boxes arrive on the CPU, so a GPU's work is over by then."""
    start = time.perf_counter()
    for sample in samples:
        try:
            detect(model, [sample.image], size=size)
        except UserError as error:
            raise UserError(f"no study at {size} px: {error}") from None
    return (time.perf_counter() - start) / len(samples)


def study_table(points: Sequence[Point], reference: int) -> str:
    """One line a size."""
    lines = [f"{'size':>5}  {'AP50':>6}  {'AP50-95':>7}  {'ms/image':>8}  {f'to {reference} px':>9}"]
    lines += [
        f"{p.size:>5}  {_number(p.map50):>6}  {_number(p.map):>7}  {p.milliseconds:>8.1f}  {p.ratio:>9.2f}"
        for p in points
    ]
    return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def study_chart(points: Sequence[Point], reference: int) -> Figure:
    """Mean average precision over the size, and over the time of one image.

    Args:
        points: at least one.
        reference: the size to mark, in pixels.
    """
    points = sorted(points)
    lines = (("mAP at IoU 0.5", [p.map50 for p in points]), ("mAP at IoU 0.5 to 0.95", [p.map for p in points]))
    with closed_figure(9.5, 4) as figure:
        by_size, by_time = figure.subplots(1, 2, sharey=True)
        for ax, x in ((by_size, [p.size for p in points]), (by_time, [p.milliseconds for p in points])):
            for k, (label, y) in enumerate(lines):
                ax.plot(x, y, color=ink(4 * k), linestyle=DASHES[k], marker=MARKERS[k], label=label)
            tidy(ax)
        by_size.set(xlabel="side of the network's input, pixels", ylabel="mean average precision")
        by_size.set_xticks([p.size for p in points])
        by_size.tick_params(axis="x", rotation=45)
        by_size.axvline(reference, color="black", linestyle=":", linewidth=1.2, zorder=1, label=f"{reference} px")
        by_size.legend(frameon=False, fontsize=8)
        by_time.set(xlabel="milliseconds for one image", xlim=(0, 1.04 * max(p.milliseconds for p in points)))
        last, apart = -math.inf, 0.08 * by_time.get_xlim()[1]  # on a GPU many sizes take the same time
        for point in sorted(points, key=lambda p: p.milliseconds):
            if point.milliseconds >= last + apart and not math.isnan(point.map50):
                last = point.milliseconds
                text, at = f"{point.size}", (last, point.map50)
                by_time.annotate(text, at, (0, 8), textcoords="offset points", ha="center", fontsize=8, color="0.3")
        low, high = by_size.get_ylim()
        by_size.set_ylim(max(low - 0.05, 0), min(high + 0.1, 1.09))
    return figure
