"""Does the exported file say what PyTorch says? All nine size and release pairs, and the trained cards detector.

    python benchmarks/onnx_parity.py [--models yolov5s yolov5nv6 cards_n]

Each network is exported with free batch and image size, as `yolo-edu export` does it, and run by ONNX Runtime on real
photos of cards; a pair's weights are random, the trained network's are not. Random BatchNorms would be the identity,
so they get made-up weights, biases and means, and the variances that keep values in range. What is compared:

rows        the largest difference from PyTorch's rows (before BatchNorm is folded in), see `yolo_edu.parity.Parity`;
            and how far both are from PyTorch in float64, the yardstick: float32 itself is no better than that
detections  after suppression: how many, and how far the boxes and scores of those that belong together are apart.
            A random network is sure of nothing, so the threshold is put into a gap with about 100 rows an image above
seconds     for one image, PyTorch and ONNX Runtime in turns, on the threads that PyTorch takes

Large networks get small images, to save time. Prints a table, writes benchmarks/results/onnx_parity.json after each.
"""

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
import torch
from speed.latency import settle
from torch import Tensor, nn
from tqdm import tqdm

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.cfg import MODELS, build_model
from yolo_edu.checkpoint import build, describe, load_checkpoint, read_metadata
from yolo_edu.data import DetectionData, collate, read_spec
from yolo_edu.evaluate import Network
from yolo_edu.export import OPSET, export_onnx
from yolo_edu.model import Detector
from yolo_edu.nms import Detections, nms
from yolo_edu.onnx_model import OnnxDetector, runtime
from yolo_edu.parity import BAR, compare, largest

RESULTS = Path(__file__).parent / "results" / "onnx_parity.json"
TRAINED = "cards_n"
PIXELS = {"n": 640, "s": 640, "m": 320, "l": 192, "x": 192}  # by size
PHOTOS, PHOTOS_TRAINED = 4, 20
BATCH = 4
CANDIDATES = 100  # rows an image above the threshold, of a random network
TOGETHER = 0.5  # pixels: boxes of one class closer than that belong together
ROUNDS = 7
SPREAD = 0.5  # standard deviation of the logits of a random network, from place to place

Row = dict[str, Any]


def made_up(model: Detector, images: Tensor) -> Detector:
    """Every BatchNorm with weights, biases and means of its own, the images' values in range, and opinions.

    A fresh network says the same of every place; nearly equal scores would make suppression a lottery.
    """
    generator = torch.Generator().manual_seed(1)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            state = {
                "weight": torch.empty(norm.num_features).uniform_(0.5, 1.5, generator=generator),
                "bias": torch.empty(norm.num_features).normal_(0, 0.3, generator=generator),
                "running_mean": torch.empty(norm.num_features).normal_(0, 0.3, generator=generator),
            }
            norm.load_state_dict(state, strict=False)
    settle(model, images)
    predictors = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]  # P3, P4, P5
    with torch.no_grad():
        for conv, raw in zip(predictors, model(images), strict=True):
            conv.weight *= SPREAD / raw.std(dim=(0, 2, 3)).mean()  # over the places of each anchor's each number
    return model


def exact_rows(model: Detector, images: Tensor) -> Tensor:
    """PyTorch's rows in float64, decoding and all."""
    return model.decode(model(images.double()))


def threshold(rows: Tensor) -> float:
    """A score that about `CANDIDATES` rows an image surpass: the middle of the widest gap near that place.

    Scores of random networks lie close together. In the nearest gap, which may be narrower than a rounding error, it
    would be chance which side a row is on.
    """
    scores = (rows[..., 4:5] * rows[..., 5:]).amax(dim=-1).flatten().sort(descending=True).values
    place = CANDIDATES * len(rows)
    near = scores[place * 9 // 10 : place * 11 // 10]
    widest = int((near[:-1] - near[1:]).argmax())
    return float(near[widest : widest + 2].mean())


def together(ours: Detections, theirs: Detections) -> tuple[int, float, float]:
    """Detections without a partner on the other side; the largest box (pixels) and score difference of the others."""
    alone, box, score = 0, 0.0, 0.0
    free = list(range(len(theirs.boxes)))
    for index in range(len(ours.boxes)):
        gaps = [(float((ours.boxes[index] - theirs.boxes[k]).abs().max()), k) for k in free]
        gaps = [(gap, k) for gap, k in gaps if gap < TOGETHER and ours.labels[index] == theirs.labels[k]]
        if not gaps:
            alone += 1
            continue
        gap, partner = min(gaps)
        free.remove(partner)
        box, score = max(box, gap), max(score, float((ours.scores[index] - theirs.scores[partner]).abs()))
    return alone + len(free), box, score


def case(model: Detector, images: Tensor, path: Path, *, trained: bool, rounds: int = ROUNDS) -> Row:
    """Export a network to `path`, run it, compare: one row of the table.

    Args:
        model: in evaluation mode.
        images: float32 (B, 3, S, S) in [0, 1].
        path: of the ONNX file.
        trained: detect with the usual threshold; False: with one that suits a random network.
        rounds: turns of the timing.
    """
    size = images.shape[-1]
    start = time.perf_counter()
    exported = export_onnx(model, path, image_size=size, progress=False)
    seconds = time.perf_counter() - start
    session = OnnxDetector(path)
    double = build(describe(model)).double().eval()
    double.load_state_dict(model.state_dict())
    parities, ours, theirs = [], [], []
    found = {"pytorch": 0, "onnx": 0, "alone": 0, "box_pixels": 0.0, "score": 0.0}
    with torch.inference_mode():
        for batch in images.split(BATCH):
            eager, rows, exact = model.rows(batch), session.rows(batch), exact_rows(double, batch)
            parities.append(compare(rows, eager, size))
            ours.append(compare(eager, exact, size))
            theirs.append(compare(rows, exact, size))
            confidence = 0.25 if trained else threshold(eager)
            for a, b in zip(nms(eager, confidence=confidence), nms(rows, confidence=confidence), strict=True):
                alone, box, score = together(a, b)
                found["pytorch"] += len(a.boxes)
                found["onnx"] += len(b.boxes)
                found["alone"] += alone
                found["box_pixels"] = max(found["box_pixels"], box)
                found["score"] = max(found["score"], score)
        networks: dict[str, Network] = {"pytorch": model, "fused": model.fuse(), "onnx": session}
        times: dict[str, list[float]] = {name: [] for name in networks}
        for _ in range(rounds):
            for name, network in networks.items():
                network.rows(images[:1])  # not timed: brings the weights back into the cache
                start = time.perf_counter()
                network.rows(images[:1])
                times[name].append(time.perf_counter() - start)
    return {
        "release": model.release,
        "parameters": sum(p.numel() for p in model.parameters()),
        "pixels": size,
        "photos": len(images),
        "trained": trained,
        "opset": OPSET,
        "megabytes": exported.size / 1e6,
        "export_seconds": seconds,
        "parity": dataclasses.asdict(largest(parities)),
        "pytorch_to_float64": dataclasses.asdict(largest(ours)),
        "onnx_to_float64": dataclasses.asdict(largest(theirs)),
        "objectness": [float(x) for x in eager[..., 4].flatten().quantile(torch.tensor([0.0, 0.5, 1.0]))],
        "detections": found,
        "ms": {name: 1e3 * statistics.median(spent) for name, spent in times.items()},
        "onnx_to_pytorch_time": statistics.median(a / b for a, b in zip(times["onnx"], times["pytorch"], strict=True)),
    }


def table(results: Row) -> str:
    """The JSON as text."""
    lines = [
        f"{'network':<11}{'px':>5}{'MB':>8}{'box px':>10}{'of image':>10}{'prob.':>10}{'any':>10}"
        f"{'float64: torch':>16}{'onnx':>9}{'found':>7}{'alone':>6}{'box px':>9}{'ms':>8}{'onnx':>8}{'ratio':>7}"
    ]
    for name, row in results["networks"].items():
        parity, found, ms = row["parity"], row["detections"], row["ms"]
        lines.append(
            f"{name:<11}{row['pixels']:>5}{row['megabytes']:>8.1f}{parity['pixels']:>10.1e}{parity['of_image']:>10.1e}"
            f"{parity['probability']:>10.1e}{parity['worst']:>10.1e}{row['pytorch_to_float64']['worst']:>16.1e}"
            f"{row['onnx_to_float64']['worst']:>9.1e}{found['pytorch']:>7}{found['alone']:>6}{found['box_pixels']:>9.1e}"
            f"{ms['pytorch']:>8.0f}{ms['onnx']:>8.0f}{row['onnx_to_pytorch_time']:>7.2f}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*MODELS, TRAINED]
    parser.add_argument("--models", nargs="+", choices=known, default=known, metavar="MODEL", help="default: all")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    computer = {**machine.describe(torch.device("cpu")), "onnxruntime": runtime().__version__}
    results: Row = {"machine": computer, "bar": BAR, "networks": {}}
    spec = read_spec(sample_data())
    for name in tqdm(options.models, disable=None):
        trained = name == TRAINED
        size = int(read_metadata(shipped_weights(name))["image_size"]) if trained else PIXELS[MODELS[name][1]]
        data = DetectionData(spec, "val", size, cache=False)
        images = collate([data[i] for i in range(PHOTOS_TRAINED if trained else PHOTOS)], size).images
        torch.manual_seed(0)
        model = load_checkpoint(shipped_weights(name)) if trained else made_up(build_model(name, 80), images)
        with tempfile.TemporaryDirectory() as folder:
            results["networks"][name] = case(model, images, Path(folder) / f"{name}.onnx", trained=trained)
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    return int(any(row["parity"]["worst"] >= BAR for row in results["networks"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
