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
import gc
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from machine import describe, matmul_peak
from speed.latency import LATENCY_SIZE, WAYS, latency_case
from speed.show import save, tables
from speed.training import TRAINING_STEPS, Results, training_case
from tqdm import tqdm

from yolo_edu.assets import sample_data
from yolo_edu.cfg import ALIASES, MODELS, build_model
from yolo_edu.data import DetectionData, collate, read_spec
from yolo_edu.hardware import usable_device

RESULTS = Path(__file__).parent / "results" / "throughput.json"


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
