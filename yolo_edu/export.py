"""A trained detector for other programs: ONNX, or `torch.export`. Images in, boxes in pixels out.

The network leaves with BatchNorm folded in and the decoding inside, so that whoever runs the file needs neither our
code nor the box formula; only suppression is left to do. Both kinds of file come from one trace by `torch.export`:

- ONNX through PyTorch's exporter that builds on `torch.export`. Its predecessor (`dynamo=False`) is quicker and needs
  no onnxscript, but PyTorch 2.9 declared it deprecated and announces its removal.
- `torch.export` as a .pt2 file, not TorchScript: `torch.jit.trace` is deprecated too, in favor of `torch.export`.
  The file runs wherever PyTorch is, without this package.

Every file is run as soon as it is written, on photos and noise, and compared with the network it came from. One that
differs is not left behind.
"""

import copy
import importlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.utils import parametrize
from tqdm import tqdm

from yolo_edu.checkpoint import describe, write_atomically
from yolo_edu.errors import UserError
from yolo_edu.model import Detector
from yolo_edu.model.blocks import Conv
from yolo_edu.onnx_model import FORMAT, INPUT, OUTPUT, open_session
from yolo_edu.parity import BAR, BATCHES, SMALLEST, Parity, Rows, check, check_sizes

OPSET = 18  # the oldest that PyTorch's exporter writes without a conversion
METADATA_FILE = "yolo_edu.json"  # in a .pt2: what an ONNX file has as its metadata
# Where the code that was traced stood, on whose machine: of no use to those who get the file.
TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn")


# --- from network to program ----------------------------------------------------------------------------


class Decoded(nn.Module):
    """Images (B, 3, H, W) → rows (B, N, 5 + K): all that an exported file does."""

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """See `Detector.rows`."""
        return self.model.rows(images)


class _ToFloat(nn.Module):
    def forward(self, stored: Tensor) -> Tensor:
        return stored.float()


def prepared(model: Detector, *, half: bool = False) -> Detector:
    """A fused copy on the CPU, without gradients, as it is exported.

    Args:
        model: any detector, fused or not.
        half: store kernels as float16, with a cast to float32 in front of every convolution. The calculation stays
            in float32; biases and BatchNorms, which weigh nothing, do so as well.

    Raises:
        UserError: a weight is not finite, or too large for float16.
    """
    fused = model.fuse().cpu().float().requires_grad_(False)
    kernels = [module for module in fused.modules() if isinstance(module, nn.Conv2d)]
    if half:
        for kernel in kernels:
            kernel.weight = nn.Parameter(kernel.weight.half(), requires_grad=False)
    if not all(x.isfinite().all() for x in fused.state_dict().values()):
        hint = "Export without --half." if half else "Train it again, or take an earlier checkpoint."
        raise UserError(f"a weight is not a finite number{' in float16' if half else ''}. {hint}")
    if half:
        for kernel in kernels:
            parametrize.register_parametrization(kernel, "weight", _ToFloat(), unsafe=True)
    return fused


def trace(model: Detector, image_size: int, *, fixed: bool = False) -> ExportedProgram:
    """The network and its decoding as a graph of PyTorch operations.

    Args:
        model: what `prepared` made.
        image_size: pixels; only a fixed size enters the graph.
        fixed: take square images of this size only; False: any height and width from 64 pixels in multiples of 32.

    Returns:
        A program with one input `images`, float32 (B, 3, H, W) RGB in [0, 1], and one output, the rows. B is free.
    """
    shape: dict[int, Any] = {0: Dim("batch")}
    if not fixed:
        shape |= {2: 32 * Dim("height", min=SMALLEST // 32), 3: 32 * Dim("width", min=SMALLEST // 32)}
    height, width = (image_size, image_size) if fixed else (64, 96)  # unequal, or they would be taken for one
    with torch.no_grad():
        program = torch.export.export(
            Decoded(model).eval(), (torch.zeros(2, 3, height, width),), dynamic_shapes={INPUT: shape}
        )
    for node in program.graph.nodes:
        for key in TRACES:
            node.meta.pop(key, None)
    return program


def to_onnx(program: ExportedProgram, properties: Mapping[str, str] | None = None) -> bytes:
    """An ONNX file with input `images`, output `rows` and these metadata.

    Raises:
        ModuleNotFoundError: onnxscript is not installed.
    """
    importlib.import_module("onnxscript")  # or PyTorch says so in many more words
    converted = torch.onnx.export(
        program, input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET, dynamo=True, verbose=False
    )
    assert converted is not None
    proto = converted.model_proto
    graph = proto.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]  # the exporter's notes
    for key, value in (properties or {}).items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString()


def properties_of(model: Detector, metadata: Mapping[str, Any], image_size: int, *, half: bool) -> dict[str, str]:
    """What an exported file says about itself; JSON values as text."""
    return {
        "format": FORMAT,
        "release": model.release,
        "names": json.dumps(model.names),
        "strides": json.dumps(model.strides),
        "image_size": str(image_size),
        "half": json.dumps(half),
        "model": json.dumps(describe(model)),
        "metadata": json.dumps(dict(metadata)),
    }


# --- files ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how it compares with the network it came from."""

    path: Path
    size: int  # bytes
    parity: Parity | None  # to the network (with rounded kernels, if they were); None: nothing here to run it with
    rounding: Parity | None  # from the network as it was, where kernels were rounded to float16


def export_onnx(
    model: Detector,
    path: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    image_size: int | None = None,
    fixed: bool = False,
    half: bool = False,
    progress: bool = True,
) -> Exported:
    """Write a detector as an ONNX file that `yolo_edu.onnx_model.OnnxDetector` and any ONNX runtime can run.

    Input `images`: float32 (B, 3, H, W), RGB in [0, 1]. Output `rows`: float32 (B, N, 5 + K): center x, center y,
    width, height in pixels of the input, objectness, class probabilities; suppression is left to do. Opset 18.

    Args:
        model: a trained detector, not fused.
        path: the file; replaced if it exists, once the new one is checked.
        metadata: JSON values to keep with it, such as `read_metadata` gives.
        image_size: pixels; None: the metadata's `image_size`, or 640.
        fixed: for runtimes that want to know the size: square images of `image_size` only. The batch stays free.
        half: kernels as float16, half the file; see `prepared`.
        progress: show a bar.

    Raises:
        UserError: onnxscript is not installed, an impossible size, the disk refuses, or the file's rows differ from
            the network's by more than `BAR`. What stood at `path` before is then untouched.
    """
    try:
        importlib.import_module("onnxscript")  # before the tracing, which takes seconds
    except ModuleNotFoundError:
        raise UserError(
            "onnxscript, which PyTorch's ONNX exporter needs, is not installed. "
            "Install it with `pip install onnxscript onnxruntime`."
        ) from None
    settings = _Settings(metadata or {}, image_size, fixed, half, progress)
    return _export(model, Path(path), settings, to_onnx, _run_onnx)


def export_torch(
    model: Detector,
    path: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    image_size: int | None = None,
    fixed: bool = False,
    half: bool = False,
    progress: bool = True,
) -> Exported:
    """Write a detector as a .pt2 file: `torch.export.load(path).module()` runs it where this package is not.

    Input and output are `export_onnx`'s, and so are the arguments. What an ONNX file has as metadata lies in the
    file's extra file `yolo_edu.json`.

    Raises:
        UserError: an impossible size, the disk refuses, or the file's rows differ from the network's by more than
            `BAR`. What stood at `path` before is then untouched.
    """
    settings = _Settings(metadata or {}, image_size, fixed, half, progress)
    return _export(model, Path(path), settings, _to_pt2, _run_pt2)


def _run_onnx(file: Path) -> Rows | None:
    try:
        importlib.import_module("onnxruntime")
    except ModuleNotFoundError:
        return None
    session = open_session(str(file))
    return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])


def _to_pt2(program: ExportedProgram, properties: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()  # a path would have to end in .pt2, and the unfinished file's does not
    torch.export.save(program, buffer, extra_files={METADATA_FILE: json.dumps(dict(properties))})
    return buffer.getvalue()


def _run_pt2(file: Path) -> Rows:
    return torch.export.load(io.BytesIO(file.read_bytes())).module()


@dataclass(frozen=True)
class _Settings:
    metadata: Mapping[str, Any]
    image_size: int | None
    fixed: bool
    half: bool
    progress: bool


def _export(
    model: Detector,
    path: Path,
    settings: _Settings,
    convert: Callable[[ExportedProgram, Mapping[str, str]], bytes],
    load: Callable[[Path], Rows | None],
) -> Exported:
    size = settings.image_size or int(settings.metadata.get("image_size", 640))
    least = 32 if settings.fixed else SMALLEST
    if size < least or size % 32:
        raise UserError(f"image size {size}: an export needs a multiple of 32 pixels, {least} at least.")
    if not path.parent.is_dir():  # said before the work
        raise UserError(f"{path}: there is no folder {path.parent}. Make it, or choose another one.")
    if any(isinstance(m, Conv) and not isinstance(m.bn, nn.BatchNorm2d) for m in model.modules()):
        raise UserError(f"{path}: a fused model cannot be described. Export the model that `fuse()` was called on.")
    original = copy.deepcopy(model).cpu().float().eval()
    sizes = check_sizes(size, fixed=settings.fixed)
    parity: Parity | None = None
    rounding: Parity | None = None
    with tqdm(total=2 + len(sizes) * len(BATCHES), disable=None if settings.progress else True) as bar:
        bar.set_description("tracing")
        network = prepared(model, half=settings.half)
        program = trace(network, size, fixed=settings.fixed)
        bar.update()
        bar.set_description("converting")
        data = convert(program, properties_of(model, settings.metadata, size, half=settings.half))
        bar.update()
        bar.set_description("checking")

        def write(file: Path) -> None:
            nonlocal parity, rounding
            file.write_bytes(data)
            try:
                if not (run := load(file)):
                    return
                if settings.half:  # the kernels were rounded on purpose: the file has to equal what came of it
                    parity, rounding = check(run, [network.rows, original.rows], sizes, advance=bar.update)
                else:
                    (parity,) = check(run, [original.rows], sizes, advance=bar.update)
            except Exception as error:  # a runtime's own errors share no class but this one
                first = str(error).strip().split("\n")[0][:160]
                raise UserError(f"{path}: not written: the exported file cannot be run ({first}).") from None
            if not parity.good:
                raise UserError(
                    f"{path}: not written: the exported file's rows differ from the network's by up to "
                    f"{parity.worst:.1e} (relative above 1, absolute below; less than {BAR:.0e} is asked for). "
                    "Try other versions of torch and onnxruntime."
                )

        write_atomically(path, write)
    return Exported(path, len(data), parity, rounding)
