"""Latency: milliseconds for one image, from pixels to rows, in every way of running a network."""

import copy
import importlib
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from machine import synchronize
from torch import Tensor, nn

from speed.training import Results, first_line
from yolo_edu.export import Decoded, prepared, to_onnx, trace
from yolo_edu.model import Detector
from yolo_edu.onnx_model import open_session

WAYS = ("eager", "fused", "compiled", "fused, compiled", "onnxruntime")
LATENCY_SIZE = 640
CLOSE = 1e-3  # how far a way's rows may be from the eager ones, see `difference`


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
    exported = to_onnx(trace(prepared(model), images.shape[-1], fixed=True))
    session = open_session(exported, provider=provider)
    return lambda x: torch.from_numpy(session.run(None, {"images": x.cpu().numpy()})[0])


def prepare(way: str, model: Detector, images: Tensor) -> Callable[[Tensor], Tensor]:
    """A function images (1, 3, S, S) → rows (1, N, 5 + K) for one of `WAYS`."""
    if way == "onnxruntime":
        return onnx_session(model, images)
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
