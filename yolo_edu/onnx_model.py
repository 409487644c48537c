"""An exported detector, run by ONNX Runtime: it takes a `Detector`'s place in `detect`, `evaluate` and `predict`.

The file alone suffices: what detection has to know (class names, strides, image size) lies in its metadata. ONNX
Runtime is an optional dependency, and neither `onnx` nor the network's Python code is needed to run such a file.
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from yolo_edu.errors import UserError

FORMAT = "yolo_edu onnx 1"
INPUT, OUTPUT = "images", "rows"
INSTALL = "Install it with `pip install onnxruntime`"


def runtime() -> ModuleType:
    """The module onnxruntime.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("onnxruntime")
    except ModuleNotFoundError:
        raise UserError(f"ONNX Runtime, which runs .onnx files, is not installed. {INSTALL}.") from None


def open_session(model: str | bytes, *, provider: str = "CPUExecutionProvider", threads: int | None = None) -> Any:
    """An InferenceSession that keeps quiet and lets other threads work.

    Args:
        model: the path of a file, or its bytes.
        provider: ONNX Runtime's name of the kind of device.
        threads: for one operation; None: as many as PyTorch takes.

    Raises:
        UserError: ONNX Runtime is not installed.
        Exception: ONNX Runtime's own errors, which share no other class, when it cannot load the model.
    """
    module = runtime()
    options = module.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised, too
    # Its threads go on spinning after a run, which would slow down whatever comes next, suppression for one.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return module.InferenceSession(model, options, providers=[provider])


class OnnxDetector:
    """A file written by `yolo_edu.export.export_onnx`, as a `yolo_edu.evaluate.Network` on the CPU.

    Args:
        path: the file.
        threads: for one operation; None: as many as PyTorch takes.

    Attributes:
        names: of the K classes.
        classes: K.
        strides: pixels of the network input a grid cell spans, P3 to P5.
        device: the CPU: where images have to be, and rows are.
        image_size: pixels; the size it was trained at.
        fixed_size: (height, width) in pixels if the file takes no other, else None.
        release: "yolov5" or "yolov5v6".
        metadata: what was saved with the weights that were exported.

    Raises:
        UserError: no such file, no ONNX file, a damaged one, one that another program wrote, or ONNX Runtime is not
            installed.
    """

    device = torch.device("cpu")

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        self.path = path = Path(path)
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "no such file"
            raise UserError(f"{path}: {problem}. Give the path of an .onnx file.")
        runtime()
        try:
            self._session = open_session(str(path), threads=threads)
            properties = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # ONNX Runtime's errors share no class but this one
            raise UserError(
                f"{path}: ONNX Runtime cannot load it: damaged, or no ONNX file ({_first_line(error)}). "
                "Export it again with `yolo-edu export`."
            ) from None
        if properties.get("format") != FORMAT:
            raise UserError(
                f"{path}: an ONNX file, but none that `yolo-edu export` wrote (no '{FORMAT}' in its metadata), "
                "so nobody knows what its outputs mean. Export the weights with `yolo-edu export`."
            )
        try:
            self._read(properties)
            self._check_ends()
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise UserError(f"{path}: damaged metadata ({reason}). Export it again with `yolo-edu export`.") from None

    def _read(self, properties: Mapping[str, str]) -> None:
        names, strides = json.loads(properties["names"]), json.loads(properties["strides"])
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            raise ValueError("names is no list of class names")
        if not (isinstance(strides, list) and strides and all(type(s) is int and s > 0 for s in strides)):
            raise ValueError("strides is no list of pixels")
        self.names: tuple[str, ...] = tuple(names)
        self.strides: tuple[int, ...] = tuple(strides)
        self.release = properties["release"]
        self.image_size = int(properties["image_size"])
        if self.image_size < 1 or self.image_size % self.strides[-1]:
            raise ValueError(f"image_size {self.image_size} is no multiple of {self.strides[-1]}")
        self.metadata: dict[str, Any] = dict(json.loads(properties["metadata"]))

    def _check_ends(self) -> None:
        """Does the graph take images and give rows of as many classes as there are names?"""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [i.name for i in inputs] != [INPUT] or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            raise ValueError(f"its input is not {INPUT}, float32 (B, 3, H, W)")
        first = outputs[0]
        if first.name != OUTPUT or first.type != "tensor(float)" or first.shape[2:] != [5 + self.classes]:
            raise ValueError(f"its first output is not {OUTPUT}, float32 (B, N, {5 + self.classes})")
        height, width = inputs[0].shape[2:]  # a number where fixed, a name where free
        fixed = isinstance(height, int) and isinstance(width, int)
        self.fixed_size: tuple[int, int] | None = (height, width) if fixed else None

    @property
    def classes(self) -> int:
        """K."""
        return len(self.names)

    def rows(self, images: Tensor) -> Tensor:
        """float32 (B, 3, H, W) RGB in [0, 1] → (B, N, 5 + K): cx, cy, w, h in pixels, objectness, classes.

        Raises:
            UserError: H or W is no multiple of the coarsest stride, or not the one size that the file was made for;
                or ONNX Runtime fails.
        """
        height, width = images.shape[2:]
        if self.fixed_size not in (None, (height, width)):
            raise UserError(
                f"{self.path}: was exported with --fixed for {_size(self.fixed_size)} pixels and cannot take "
                f"{_size((height, width))}. Use that size, or export it again without --fixed."
            )
        if height % self.strides[-1] or width % self.strides[-1]:
            raise UserError(f"{self.path}: {_size((height, width))} pixels: no multiples of {self.strides[-1]}.")
        try:
            (rows,) = self._session.run([OUTPUT], {INPUT: images.contiguous().numpy()})
        except Exception as error:  # as above; too little memory, above all
            raise UserError(f"{self.path}: ONNX Runtime failed ({_first_line(error)}). Try fewer images.") from None
        return torch.from_numpy(rows)


def _size(size: tuple[int, int] | None) -> str:
    return "any" if size is None else "{1} × {0}".format(*size)


def _first_line(error: Exception) -> str:
    """What ONNX Runtime says, without the tag in front of it."""
    return (str(error).strip().split("\n")[0].split(" : ")[-1] or type(error).__name__)[:160]
