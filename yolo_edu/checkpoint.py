"""Weights on disk: ours (safetensors) and the official pickled ones, read without executing anything.

An official `.pt` file is a Python pickle, and a pickle is a program: opening one from a stranger with the
usual loader runs whatever it says. Here the official files' module classes are replaced by empty shells
under PyTorch's restricted unpickler; any other name in the file is refused. What is left are tensors, and
those go into our own network.
"""

import json
import os
import pickle
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from yolo_edu.errors import UserError
from yolo_edu.model import RELEASES, Detector
from yolo_edu.model.blocks import Conv
from yolo_edu.official import allowed_globals, read_official

FORMAT = "yolo_edu 1"
UNFINISHED = ".unfinished"  # ending of files being written; one is left behind where the process was killed
MAX_SCALE = 4.0  # x has 1.33 and 1.25; a damaged header must not fill the memory
# What `build` raises for a description that is not one of `describe`'s.
DESCRIPTION_ERRORS = (ArithmeticError, KeyError, TypeError, ValueError, RuntimeError)
# Derived in our Detect (R1's pixel anchors), or counters that a profiler left behind.
IGNORED = re.compile(r"(anchor_grid|total_ops|total_params|num_batches_tracked)$")


# --- writing --------------------------------------------------------------------------------------------


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it there: the old file or the new, never half.

    Raises:
        UserError: the disk refuses (full, read-only, no such folder); an existing file is untouched.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("r+b") as file:  # Windows flushes only files open for writing
                os.fsync(file.fileno())
            temporary.chmod(0o644)  # mkstemp's 0600 would hide the file from everyone else
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        # torch.save and safetensors wrap the disk's complaint in errors of their own
        raise UserError(f"{path}: cannot write ({error}). Free some space or choose another folder.") from None


def describe(model: Detector) -> dict[str, Any]:
    """All that is needed to build the same network again, as plain JSON values."""
    norm = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    return {
        "release": model.release,
        "depth": model.scale.depth,
        "width": model.scale.width,
        "names": list(model.names),
        "anchors": model.anchors.tolist(),
        "bn_eps": norm.eps,
        "bn_momentum": norm.momentum,
    }


def build(description: Mapping[str, Any]) -> Detector:
    """The network that `describe` described, freshly initialized.

    Raises:
        DESCRIPTION_ERRORS: the description is not one of `describe`'s.
    """
    scale = float(description["depth"]), float(description["width"])
    if not all(0 < x <= MAX_SCALE for x in scale):
        raise ValueError(f"depth and width {scale} are not in (0, {MAX_SCALE}]")
    return RELEASES[description["release"]](
        scale,
        [str(name) for name in description["names"]],
        anchors=description["anchors"],
        bn_eps=float(description["bn_eps"]),
        bn_momentum=float(description["bn_momentum"]),
    )


def save_checkpoint(
    path: str | Path, model: Detector, metadata: Mapping[str, Any] | None = None, *, half: bool = False
) -> None:
    """Write an unfused model as safetensors, atomically.

    Args:
        path: the file; `.safetensors` by convention.
        model: an unfused detector.
        metadata: JSON values to keep with the weights (how they were trained, what they reached).
        half: store floating tensors as float16; half the size, and enough for inference.

    Raises:
        UserError: the file cannot be written. What stood there before is untouched.
    """
    if any(isinstance(m, Conv) and not isinstance(m.bn, torch.nn.BatchNorm2d) for m in model.modules()):
        raise UserError(f"{path}: a fused model cannot be read back. Save the model that `fuse()` was called on.")
    state = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    if half:
        state = {name: x.half() if x.is_floating_point() else x for name, x in state.items()}
    header = {
        "format": FORMAT,
        "model": json.dumps(describe(model)),
        "metadata": json.dumps(dict(metadata or {})),
    }
    write_atomically(Path(path), lambda file: safetensors.torch.save_file(state, file, header))


# --- reading --------------------------------------------------------------------------------------------


def load_checkpoint(path: str | Path) -> Detector:
    """Read a detector from any file we know: our safetensors, our training state, an official `.pt`.

    Returns:
        The model in evaluation mode, float32, on the CPU, with its class names.

    Raises:
        UserError: no such file, not a checkpoint, truncated, another architecture, or a pickle that asks
            for anything but tensors and the official classes. Nothing in the file is ever executed.
    """
    path = Path(path)
    description, state = _read(path)
    try:
        model = build(description)
    except DESCRIPTION_ERRORS as error:
        raise UserError(f"{path}: describes no network of ours ({error}). Train or download it again.") from None
    _fill(model, state, path)
    return model.eval()


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What was saved with the weights: epoch, image_size in pixels …; {} for files of other kinds."""
    header = _safetensors_header(Path(path))
    if header is not None:
        return _json(header, "metadata", Path(path)) if "metadata" in header else {}
    content = load_state(path, shells=True)  # a run's last.pt, or an official file
    metadata = content.get("metadata")
    return metadata if content.get("format") == FORMAT and isinstance(metadata, dict) else {}


def load_state(path: str | Path, *, shells: bool = False) -> dict[str, Any]:
    """`torch.load` that executes nothing: tensors, plain containers and, on request, official shells.

    Raises:
        UserError: missing, not a PyTorch file, truncated, or asking for a forbidden name.
    """
    path = Path(path)
    _require_file(path)
    try:
        # PyTorch warns of odd pickles before it refuses them; one clear error is enough.
        with warnings.catch_warnings(), torch.serialization.safe_globals(allowed_globals() if shells else []):
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL ([\w.]+)|global ([\w.]+)", str(error))
        wanted = next((n for n in name.groups() if n), None) if name else None
        if wanted:
            raise UserError(
                f"{path}: refused. The file asks for {wanted!r}, which a checkpoint of this detector does not "
                "need; it may be of another architecture, or hostile. Nothing in it was executed."
            ) from None
        raise UserError(f"{path}: not a checkpoint, or a damaged one. Download or save it again.") from None
    except (
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
        OSError,
        AttributeError,
    ) as error:
        first = str(error).strip().split("\n")[0][:120]
        raise UserError(f"{path}: damaged or truncated ({first}). Download or save it again.") from None
    except Exception as error:  # the restricted unpickler meets hostile bytes: any error means "refused"
        raise UserError(f"{path}: not a checkpoint ({type(error).__name__}). Nothing was executed.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {type(content).__name__}, not a checkpoint with a 'model' in it.")
    return content


def _require_file(path: Path) -> None:
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {problem}. Give the path of a .safetensors or .pt file.")


def _safetensors_header(path: Path) -> dict[str, str] | None:
    """The text header of a safetensors file; None for a file of another kind."""
    _require_file(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError):
        return None


def _json(header: Mapping[str, str], key: str, path: Path) -> dict[str, Any]:
    """One JSON object out of a safetensors header."""
    try:
        content = json.loads(header[key])
    except (KeyError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path}: damaged: its header holds no readable {key!r}. Download or save it again.")
    return content


def _read(path: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    header = _safetensors_header(path)
    if header is not None:
        if header.get("format") != FORMAT:
            raise UserError(f"{path}: a safetensors file, but not one of ours (no '{FORMAT}' in its header).")
        try:
            return _json(header, "model", path), safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise UserError(f"{path}: damaged ({error}). Download or save it again.") from None
    if path.suffix == ".safetensors":
        raise UserError(f"{path}: damaged or truncated. Download or save it again.")
    content = load_state(path, shells=True)
    if content.get("format") == FORMAT:
        description, state = content.get("description"), content.get("ema")
        if not isinstance(description, dict) or not isinstance(state, dict):
            raise UserError(f"{path}: our format, but without a network in it. Use another file of that run.")
        return description, state
    return read_official(content, path)


def _fill(model: Detector, state: Mapping[str, Tensor], path: Path) -> None:
    """Load strictly: every weight present, none over, all shapes equal."""
    wanted = model.state_dict()
    if not all(isinstance(n, str) and _plain(x) for n, x in state.items()):
        raise UserError(f"{path}: holds something else than tensors among its weights. Save it again.")
    state = {name: x for name, x in state.items() if not IGNORED.search(name)}
    missing = [n for n in wanted if n not in state and not IGNORED.search(n)]
    extra = [n for n in state if n not in wanted]
    wrong = [n for n in wanted if n in state and state[n].shape != wanted[n].shape]
    for problem, names in (("lacks", missing), ("has the unknown", extra), ("has another shape of", wrong)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UserError(
                f"{path}: another architecture: it {problem} {', '.join(names[:3])}{more}. "
                f"This reader knows {' and '.join(RELEASES)}."
            )
    model.load_state_dict({name: x.float() for name, x in state.items()}, strict=False)


def _plain(x: object) -> bool:
    """Is it a dense tensor with values, of a type that networks are stored in?"""
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)
    return isinstance(x, Tensor) and x.layout == torch.strided and not x.is_meta and x.dtype in kinds
