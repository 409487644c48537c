"""How fast is training, stage by stage, and how long does one image take? Prints tables, writes JSON and a picture.

Two sections. "training": images a second of every stage of a step on the sample photos, of the whole loop, and
which share of the machine's fastest matrix product forward and backward pass reach. "latency": milliseconds for one
640 pixel image from pixels to boxes, before suppression, for every size of every release: as the network stands
(eager), with BatchNorm folded in (fused), compiled, and in ONNX Runtime.

Ways that are compared take turns, so that other work on the machine hits all of them alike. Results are written
after every model. The weights are random; that changes no time but that of evaluation, where suppression sees
other boxes than after a training.

    python benchmarks/throughput.py [--device cuda] [--quick]
"""

import argparse
import copy
import gc
import importlib
import json
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from machine import describe, matmul_peak, synchronize
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from torch import Tensor, nn
from tqdm import tqdm

from yolo_edu.assets import sample_data
from yolo_edu.augment import draw_plan, render
from yolo_edu.batches import Batches
from yolo_edu.caption import class_color, text_color
from yolo_edu.cfg import ALIASES, MODELS, build_model
from yolo_edu.data import Batch, DataSpec, DetectionData, collate, label_path, read_spec
from yolo_edu.evaluate import evaluate
from yolo_edu.fit import Forward, Training, fit_epoch
from yolo_edu.hardware import FORMATS, Numerics, autocast, choose_numerics, usable_device
from yolo_edu.loss import detection_loss
from yolo_edu.model import Detector
from yolo_edu.recipe import RECIPES, Recipe
from yolo_edu.summary import layer_rows
from yolo_edu.train import loss_settings

RESULTS = Path(__file__).parent / "results" / "throughput.json"
STAGES = ("plan", "render", "forward", "loss", "backward", "step")
WAYS = ("eager", "fused", "compiled", "fused, compiled", "onnxruntime")
LATENCY_SIZE = 640
CLOSE = 1e-3  # how far a way's rows may be from the eager ones, see `difference`

Results = dict[str, Any]  # what goes into the JSON
Mark = Callable[[str], None]


# --- training -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One way of calculating a training step."""

    name: str
    numerics: Numerics
    forward: Forward


@dataclass(frozen=True)
class Setup:
    """What a training step needs."""

    model: Detector
    training: Training[Detector]
    data: DetectionData
    batches: Batches
    recipe: Recipe
    device: torch.device


class Clock:
    """Seconds between marks. On a GPU the marks are events in its stream: nothing waits until they are read."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.names: list[str] = []
        self.marks: list[Any] = []
        synchronize(device)
        self("start")

    def __call__(self, name: str) -> None:
        """The stage of this name ends here."""
        self.names.append(name)
        if self.device.type == "cuda":
            self.marks.append(torch.cuda.Event(enable_timing=True))
            self.marks[-1].record()
        else:
            self.marks.append(time.perf_counter())

    def seconds(self) -> dict[str, float]:
        """Of each stage; waits for the device."""
        synchronize(self.device)
        pairs = zip(self.names[1:], self.marks, self.marks[1:], strict=False)
        if self.device.type == "cuda":
            return {name: a.elapsed_time(b) / 1e3 for name, a, b in pairs}
        return {name: b - a for name, a, b in pairs}


def training_case(
    label: str,
    model: Detector,
    spec: DataSpec,
    size: int,
    batch: int,
    device: torch.device,
    *,
    numerics: Numerics | None = None,
    compiled: bool = False,
    rounds: int = 9,
    seconds: float = 120,
    peaks: Mapping[str, float] | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Results:
    """Everything about training one model at one size.

    Args:
        label: its name in the table.
        model: of as many classes as the data has; changed.
        spec: the data; splits "train" and "val".
        size: of the images in pixels.
        batch: images a step.
        device: where.
        numerics: how to calculate; None: what `choose_numerics` finds. float32 is measured beside it.
        compiled: measure a compiled forward pass too.
        rounds: steps of each way to time, fewer if they take more than `seconds`, but 2 at least.
        seconds: see `rounds`.
        peaks: FLOP/s of the fastest matrix product, by precision.
        advance: called a few times on the way, for a progress bar (see `TRAINING_STEPS`).
    """
    torch.compiler.reset()  # what was compiled for the last model counts against a limit
    numerics = numerics or choose_numerics(model, device)
    model.to(device).to(memory_format=FORMATS[numerics.memory_format])
    # A step after every batch, also during the warm-up.
    recipe = replace(RECIPES["short"], batch=batch, image_size=size, nominal_batch=batch)
    flops = sum(row.flops for row in layer_rows(model, size))
    advance()
    with enough_images(spec, batch * min(rounds + 1, 5)) as many:
        data = DetectionData(many, "train", size, cache=True)
        training = Training.start(model, recipe, numerics.precision)
        setup = Setup(model, training, data, Batches(data, recipe, 0, device), recipe, device)
        ways = [Way(numerics.precision, numerics, model)]
        if numerics.precision != "float32":
            ways.append(Way("float32", numerics._replace(precision="float32"), model))
        if compiled:
            ways.append(Way(f"{numerics.precision}, compiled", numerics, torch.compile(model)))
        advance()
        stages = step_seconds(setup, ways, rounds, seconds)
        advance()
        rates = {way.name: loop_rate(setup, way, rounds) for way in ways if way.name in stages}
        advance()
        syncs = host_syncs(setup, ways[0]) if device.type == "cuda" else None
        # Without a cache every image would be read once a step, and with mosaics up to four times.
        reading = reading_seconds(DetectionData(many, "train", size, cache=False), rounds)
    evaluating = evaluation_seconds(training.ema.model, DetectionData(spec, "val", size, cache=True), device)
    advance()

    result: Results = {
        "model": label,
        "size": size,
        "batch": batch,
        "numerics": numerics._asdict(),
        "forward_gflop_per_image": flops / 1e9,
        "ways": {},
        "host_syncs_per_step": syncs,
    }
    for way in ways:
        if way.name not in stages:
            result["ways"][way.name] = {"note": "failed"}
            continue
        spent = stages[way.name]
        whole = sum(spent.values())
        speed = 3 * flops * batch / (spent["forward"] + spent["backward"])  # a backward pass is two forward ones
        peak = (peaks or {}).get(way.numerics.precision)
        result["ways"][way.name] = {
            "seconds": spent,
            "shares": {stage: spent[stage] / whole for stage in STAGES},
            "images_per_second": {stage: batch / spent[stage] for stage in STAGES} | {"whole step": batch / whole},
            "loop_images_per_second": rates[way.name],
            "tflops": speed / 1e12,
            "share_of_peak": speed / peak if peak else None,
        }
    an_image = sum(stages[ways[0].name].values()) / batch
    for name, spent_here in (("reading", reading), ("evaluation", evaluating)):
        # Not part of a step: the sample photos are read once a run, and evaluation comes every few epochs.
        result[name] = {"images_per_second": 1 / spent_here, "of_a_training_image": spent_here / an_image}
    return result


TRAINING_STEPS = 5  # how often `training_case` reports


@contextmanager
def enough_images(spec: DataSpec, count: int) -> Iterator[DataSpec]:
    """The data with at least `count` training photos: too few are copied as often as it takes."""
    own = spec.images("train")
    if len(own) >= count:
        yield spec
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for number in range(-(-count // len(own))):
            for kind in ("images", "labels"):
                (Path(folder) / kind / str(number)).mkdir(parents=True)
            for image in own:
                copies.append(Path(folder) / "images" / str(number) / image.name)
                shutil.copy(image, copies[-1])
                if (labels := label_path(image)).is_file():
                    shutil.copy(labels, label_path(copies[-1]))
        yield replace(spec, splits=spec.splits | {"train": tuple(copies)})


def one_step(setup: Setup, way: Way, number: int, mark: Mark) -> None:
    """A step as `fit_epoch` makes it, with a mark at the end of every stage.

    Args:
        setup: model, optimizer and data, changed.
        way: how to calculate.
        number: of the step, decides the photos.
        mark: told the names of `STAGES` as they end.
    """
    training, recipe, device = setup.training, setup.recipe, setup.device
    pool = setup.batches.samples(recipe.image_size)
    count = len(setup.data)
    indices = [(number * recipe.batch + i) % count for i in range(recipe.batch)]
    plan = draw_plan(indices, count, recipe.augment, recipe.image_size, torch.Generator().manual_seed(number))
    mark("plan")
    batch = render(plan, pool, recipe.augment)
    mark("render")
    model, optimizer, scaler = training.model.train(), training.optimizer, training.scaler
    images = batch.images.to(device, memory_format=FORMATS[way.numerics.memory_format], non_blocking=True)
    with autocast(device, way.numerics):
        raw = way.forward(images)
    mark("forward")
    settings = loss_settings(setup.model, recipe, recipe.image_size)
    loss = detection_loss(raw, batch.targets, setup.model.detect.anchors.cpu(), settings)
    mark("loss")
    scaler.scale(loss.total).backward()
    mark("backward")
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    training.ema.update(model)
    mark("step")


def step_seconds(setup: Setup, ways: Sequence[Way], rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Median seconds of every stage, by way; the ways take turns. One that fails is left out."""
    taken: dict[str, list[dict[str, float]]] = {}
    for way in ways:
        try:
            for number in range(2):  # not timed: kernels are prepared, memory is taken
                one_step(setup, way, number, lambda name: None)
            taken[way.name] = []
        except Exception as error:  # whatever a compiler may raise
            if way is ways[0]:
                raise
            tqdm.write(f"{way.name}: {first_line(error)}")
    started = time.perf_counter()
    for number in range(rounds):
        for way in ways:
            if way.name in taken:
                clock = Clock(setup.device)
                one_step(setup, way, number, clock)
                taken[way.name].append(clock.seconds())
        if number and time.perf_counter() - started > seconds:
            break
    return {
        name: {stage: statistics.median(r[stage] for r in rows) for stage in STAGES} for name, rows in taken.items()
    }


def loop_rate(setup: Setup, way: Way, steps: int) -> float:
    """Images a second of `fit_epoch` over `Batches`, full batches only; the first one is not timed."""
    count = min(steps + 1, len(setup.data) // setup.recipe.batch)
    marks: list[float] = []

    def on_batch() -> None:
        if not marks:
            synchronize(setup.device)
        marks.append(time.perf_counter())

    batches: Iterator[Batch] = islice(setup.batches.epoch(0), count)
    fit_epoch(
        setup.training,
        batches,
        count,
        partial(
            detection_loss,
            anchors=setup.model.detect.anchors.cpu(),
            settings=loss_settings(setup.model, setup.recipe, setup.recipe.image_size),
        ),
        setup.recipe,
        device=setup.device,
        numerics=way.numerics,
        forward=way.forward,
        on_batch=on_batch,
    )
    synchronize(setup.device)
    return (count - 1) * setup.recipe.batch / (time.perf_counter() - marks[0])


def host_syncs(setup: Setup, way: Way) -> dict[str, list[str]]:
    """Where the processor waits for the GPU in one step: file and line, by stage; only stages with a wait."""
    found: dict[str, list[str]] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def mark(name: str) -> None:
            waits = [w for w in caught if "synchroniz" in str(w.message)]
            if waits:
                found[name] = [f"{Path(w.filename).name}:{w.lineno}" for w in waits]
            caught.clear()

        torch.cuda.set_sync_debug_mode("warn")
        try:
            caught.clear()  # switching it on warns that it is a prototype
            one_step(setup, way, 0, mark)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return found


def reading_seconds(data: DetectionData, rounds: int) -> float:
    """Seconds to read, decode and shrink one image in one thread, median; the files were read before."""
    times = []
    for index in range(min(len(data), 8 * rounds)):
        start = time.perf_counter()
        data[index]
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def evaluation_seconds(model: Detector, data: DetectionData, device: torch.device) -> float:
    """Seconds to evaluate one image, the COCO tools included; the better of two passes."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        evaluate(model, data, progress=False)
        synchronize(device)
        times.append((time.perf_counter() - start) / len(data))
    return min(times)


# --- latency --------------------------------------------------------------------------------------------


class Decoded(nn.Module):
    """Images (B, 3, H, W) → rows (B, N, 5 + K): the network with its decoding."""

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.decode(self.model(images))


def settle(model: Detector, images: Tensor) -> Detector:
    """Let every BatchNorm bring these images' values to about 1, for evaluation.

    With fresh statistics they shrink from row to row, down to where some processors are slow. With the images' true
    ones a deep random network blows up rounding errors; so the mean stays 0, and no channel gets less than the mean
    square of its row.
    """

    def adapt(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        square = inputs[0].square().mean(dim=(0, 2, 3))
        norm.load_state_dict({"running_var": square.clamp(min=float(square.mean()))}, strict=False)

    hooks = [m.register_forward_pre_hook(adapt) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        model.eval()(images)
    for hook in hooks:
        hook.remove()
    return model


def onnx_session(model: Detector, images: Tensor) -> Callable[[Tensor], Tensor]:
    """The network exported and loaded by ONNX Runtime.

    Raises:
        ModuleNotFoundError: onnxruntime or onnxscript, which the export needs, is not installed.
        RuntimeError: this onnxruntime cannot use the device.
    """
    runtime = importlib.import_module("onnxruntime")
    importlib.import_module("onnxscript")
    provider = "CUDAExecutionProvider" if images.device.type == "cuda" else "CPUExecutionProvider"
    if provider not in runtime.get_available_providers():
        raise RuntimeError(f"this onnxruntime has no {provider}")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # Its threads go on spinning after a run, which would slow down whatever comes next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Decoded(model).eval(),
                (images,),
                path,
                input_names=["images"],
                output_names=["rows"],
                opset_version=18,
                dynamo=True,
                verbose=False,
            )
        session = runtime.InferenceSession(str(path), options, providers=[provider])
    return lambda x: torch.from_numpy(session.run(None, {"images": x.cpu().numpy()})[0])


def prepare(way: str, model: Detector, images: Tensor) -> Callable[[Tensor], Tensor]:
    """A function images (1, 3, S, S) → rows (1, N, 5 + K) for one of `WAYS`."""
    if way == "onnxruntime":
        return onnx_session(model.fuse(), images)
    network = Decoded(model.fuse() if "fused" in way else copy.deepcopy(model)).eval()
    return torch.compile(network) if "compiled" in way else network


def latency_case(
    model: Detector,
    images: Tensor,
    device: torch.device,
    *,
    ways: Sequence[str] = WAYS,
    rounds: int = 15,
    seconds: float = 60,
    advance: Callable[[], object] = lambda: None,
) -> Results:
    """Milliseconds from pixels to rows in float32, by way.

    Args:
        model: changed: it is settled on the images and moved.
        images: float (B, 3, S, S) in [0, 1]; the first one is timed.
        device: where.
        ways: some of `WAYS`, "eager" among them.
        rounds: turns, fewer if they take more than `seconds`, but 3 at least.
        seconds: see `rounds`.
        advance: called after each way is prepared, and once at the end.

    Returns:
        For each way `ms` (median), `best_ms`, `ratio` to eager (median of the turns) and `difference` to its rows, or
        a `note` why there is none.
    """
    torch.compiler.reset()  # what was compiled for the last model counts against a limit
    model = settle(model, images).to(device)
    x = images[:1].to(device)
    results: Results = {way: {} for way in ways}
    functions: dict[str, Callable[[Tensor], Tensor]] = {}
    times: dict[str, list[float]] = {}
    with torch.inference_mode():
        expected = Decoded(model)(x).cpu()
        for way in ways:
            try:
                with torch.inference_mode(False), torch.no_grad():  # an export may not see inference tensors
                    function = prepare(way, model, images[:1].to(device))
                results[way]["difference"] = difference(function(x).cpu(), expected)
                functions[way], times[way] = function, []
            except ModuleNotFoundError as error:
                results[way]["note"] = f"{error.name} not installed"
            except Exception as error:  # a compiler, an exporter and a runtime: each has errors of its own
                results[way]["note"] = f"failed: {first_line(error)}"
            advance()
        started = time.perf_counter()
        for number in range(rounds):
            for way, function in functions.items():
                function(x)  # not timed: brings its weights back into the cache, and other threads to rest
                synchronize(device)
                start = time.perf_counter()
                function(x)
                synchronize(device)
                times[way].append(time.perf_counter() - start)
            if number >= 2 and time.perf_counter() - started > seconds:
                break
    advance()
    for way, spent in times.items():
        results[way]["ms"] = 1e3 * statistics.median(spent)
        results[way]["best_ms"] = 1e3 * min(spent)
        results[way]["ratio"] = statistics.median(a / b for a, b in zip(spent, times["eager"], strict=True))
        if results[way]["difference"] > CLOSE:
            results[way]["note"] = f"rows differ by {results[way]['difference']:.1e}"
    return results


def difference(rows: Tensor, expected: Tensor) -> float:
    """The largest one; relative to values above 1 (pixels), absolute below (probabilities)."""
    return float(((rows - expected).abs() / expected.abs().clamp(min=1)).max())


# --- what is shown --------------------------------------------------------------------------------------


def first_line(error: Exception) -> str:
    """Type and first line of what an error says, short enough for a table."""
    return f"{type(error).__name__}: {str(error).strip()}".split("\n")[0][:100]


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
        f"latency: ms for one {LATENCY_SIZE} px image, pixels to rows, float32; × eager; difference to eager's rows",
        f"{'model':10}" + "".join(f"{way:>26}" for way in ways),
    ]
    notes = []
    for model, row in latency.items():
        line = f"{model:10}"
        for way in ways:
            one = row[way]
            cell = f"{one['ms']:.1f} {one['ratio']:6.2f} {one['difference']:8.0e}" if "ms" in one else "-"
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
    """Bars of each way's time as a share of the eager one, with the milliseconds behind them."""
    height = 0.85 / len(ways)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # the dotted line does not cross a number
    for number, way in enumerate(ways):
        for group, row in enumerate(latency.values()):
            y = group + (number - (len(ways) - 1) / 2) * height
            if "ms" in row[way]:
                ax.barh(y, row[way]["ratio"], height * 0.92, color=color(number))
                ax.text(
                    row[way]["ratio"] + 0.01, y, f"{number_text(row[way]['ms'])} ms", va="center", fontsize=7
                ).set_bbox(paper)
            else:
                ax.text(0.01, y, f"{way}: {row[way]['note']}", va="center", fontsize=7)
    ax.axvline(1, color="gray", linewidth=0.8, linestyle=":", zorder=0)
    ax.set_yticks(range(len(latency)), list(latency), fontsize=8)
    ax.set_ylim(len(latency) - 0.45, -0.55)  # the first one on top
    widest = max((one["ratio"] for row in latency.values() for one in row.values() if "ms" in one), default=1)
    ax.set(xlim=(0, widest * 1.1), xlabel="time for one image, eager = 1")
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


# --- the command ----------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, … (default: %(default)s)")
    parser.add_argument("--sections", nargs="+", choices=["training", "latency"], default=["training", "latency"])
    parser.add_argument("--models", nargs="+", choices=[*ALIASES, *MODELS], metavar="MODEL", help="of both sections")
    parser.add_argument("--sizes", nargs="+", type=int, help="pixels, for training (default: 256 640; GPU: 320 640)")
    parser.add_argument("--batch", nargs="+", type=int, help="images a step (default: 16; GPU: 64 256)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="of the latency (default: all; quick: not compiled)")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="training too (default: on a GPU)")
    parser.add_argument("--rounds", type=int, help="turns of each way (default: 15; quick: 5)")
    parser.add_argument("--quick", action="store_true", help="sizes n and s only, fewer turns, one image size")
    parser.add_argument("--out", type=Path, help="the JSON; the picture stands beside it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments(argv)
    device = usable_device(options.device)
    gpu = device.type == "cuda"
    if gpu:  # as a training does
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    out = options.out or RESULTS.with_stem("throughput_cuda" if gpu else "throughput")
    quick = options.quick
    sizes = options.sizes or ([320] if gpu else [256]) + ([] if quick else [640])
    batches = options.batch or ([64] + ([] if quick else [256]) if gpu else [16])
    trained = options.models or ["yolov5n", "yolov5s"]
    timed = options.models or [name for name, (_, size) in MODELS.items() if not quick or size in "ns"]
    ways = options.ways or (["eager", "fused", "onnxruntime"] if quick else list(WAYS))
    ways = ways if "eager" in ways else ["eager", *ways]
    rounds = options.rounds or (5 if quick else 15)
    compiled = gpu if options.compile is None else options.compile
    cases = [(m, s, b) for m in trained for s in sizes for b in batches if "training" in options.sections]
    timed = timed if "latency" in options.sections else []

    results: Results = {"machine": {**describe(device)}, "matmul_peak": {}, "training": [], "latency": {}}
    if hasattr(os, "getloadavg"):
        # Of the last minute: well above 0 says that others were at work and the times are not to be trusted.
        results["machine"]["load_before"] = os.getloadavg()[0]
    total = len(cases) * TRAINING_STEPS + len(timed) * (len(ways) + 1)
    spec = read_spec(sample_data())
    with tqdm(total=total, disable=None, dynamic_ncols=True) as bar:
        bar.set_description("matrix products")
        for precision in ("float32", "bfloat16", *(("float16",) if gpu else ())):
            results["matmul_peak"][precision] = matmul_peak(device, precision)
        for name, size, batch in cases:
            bar.set_description(f"training {name}, {size} px, {batch}")
            try:
                case = training_case(
                    name,
                    build_model(name, spec.names),
                    spec,
                    size,
                    batch,
                    device,
                    compiled=compiled,
                    rounds=rounds,
                    peaks=results["matmul_peak"],
                    advance=bar.update,
                )
            except torch.cuda.OutOfMemoryError:
                tqdm.write(f"{name}, {size} px, batch {batch}: too little GPU memory")
                continue
            finally:
                free(device)
            results["training"].append(case)
            save(results, out)
        samples = DetectionData(spec, "val", LATENCY_SIZE, cache=False)
        images = collate([samples[0], samples[1]], LATENCY_SIZE).images
        for name in timed:
            bar.set_description(f"latency {name}")
            torch.manual_seed(0)
            results["latency"][name] = latency_case(
                build_model(name, 80), images, device, ways=ways, rounds=rounds, advance=bar.update
            )
            free(device)
            save(results, out)
    print(tables(results))


def free(device: torch.device) -> None:
    """Give memory back before the next model comes."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
