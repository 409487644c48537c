"""Official `.pt` files: what their pickles may name, and how the shells that come out become tensors."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from yolo_edu.errors import UserError
from yolo_edu.model import RELEASES, SIZES


class Shell:
    """Stands in for every class an official file names: it keeps the attributes and can do nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.arguments = args

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


OFFICIAL_CLASSES = (
    *(f"models.yolo.{n}" for n in ("Model", "DetectionModel", "Detect")),
    *(f"models.common.{n}" for n in ("Conv", "Focus", "Bottleneck", "BottleneckCSP", "C3", "SPP", "SPPF", "Concat")),
    "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.batchnorm.BatchNorm2d",
    *(f"torch.nn.modules.container.{n}" for n in ("Sequential", "ModuleList")),
    *(f"torch.nn.modules.activation.{n}" for n in ("LeakyReLU", "SiLU", "Hardswish")),
    "torch.nn.modules.linear.Identity",
    "torch.nn.modules.pooling.MaxPool2d",
    "torch.nn.modules.upsampling.Upsample",
    # bookkeeping beside the weights: the best fitness, the options, the date
    "argparse.Namespace",
    "datetime.datetime",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    *(f"numpy.{n}" for n in ("dtype", "ndarray", "core.multiarray.scalar", "core.multiarray._reconstruct")),
    *(f"numpy._core.multiarray.{n}" for n in ("scalar", "_reconstruct")),
)


def allowed_globals() -> list[Any]:
    # One class each: the unpickler looks up by class and by name, and the names must not shadow one another.
    return [(type(name.rsplit(".", 1)[-1], (Shell,), {}), name) for name in OFFICIAL_CLASSES]


def read_official(content: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and float tensors of an official checkpoint, levels in the order P3, P4, P5."""
    model = next((m for key in ("ema", "model") if isinstance(m := content.get(key), Shell)), None)
    if not isinstance(model, Shell):
        raise UserError(f"{path}: no 'model' inside. Give an official detector checkpoint or one of ours.")
    try:
        state = dict(_tensors(model))
        release, last = ("yolov5", 27) if "model.27.anchors" in state else ("yolov5v6", 24)
        cells = state[f"model.{last}.anchors"].float()
        if cells.shape[0] == 3 and cells[0].prod(-1).mean() > cells[-1].prod(-1).mean():
            cells = cells.flip(0)  # R1 lists P5 first
        state[f"model.{last}.anchors"] = cells
        strides = cells.new_tensor([8, 16, 32])[:, None, None]
        predictions = state["model.18.bias" if release == "yolov5" else "model.24.m.0.bias"]
        classes = len(predictions) // cells.shape[1] - 5
        depth, width = _scale(state, model, release)
        names = _names(getattr(model, "names", None), classes)
        anchors = (cells * strides).tolist()
    # A hostile file may hold anything anywhere, even a module inside itself (RecursionError, a RuntimeError).
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: another architecture ({error} not as expected). This reader knows {' and '.join(RELEASES)}."
        ) from None
    eps = 1e-4 if release == "yolov5" else 1e-3
    description = {"release": release, "depth": depth, "width": width, "names": names, "anchors": anchors}
    return description | {"bn_eps": eps, "bn_momentum": 0.03}, state


def _tensors(shell: Shell, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """What `state_dict()` would list, read off the dictionaries that an nn.Module pickles."""
    for group in ("_parameters", "_buffers"):
        for name, value in (getattr(shell, group, None) or {}).items():
            if isinstance(value, Tensor):
                yield prefix + name, value
    for name, child in (getattr(shell, "_modules", None) or {}).items():
        if isinstance(child, Shell):
            yield from _tensors(child, f"{prefix}{name}.")


def _scale(state: Mapping[str, Tensor], model: Shell, release: str) -> tuple[float, float]:
    """Depth and width multiples: as the file says, else read off the shapes."""
    recorded = getattr(model, "yaml", None) or getattr(model, "md", None)
    if isinstance(recorded, dict) and {"depth_multiple", "width_multiple"} <= set(recorded):
        return float(recorded["depth_multiple"]), float(recorded["width_multiple"])
    row, joint = (9, "cv4") if release == "yolov5" else (8, "cv3")
    width = state[f"model.{row}.{joint}.conv.weight"].shape[0] / 1024
    repeats = [
        len({name.split(".")[3] for name in state if name.startswith(f"model.{r}.m.")}) for r in (2, 6)
    ]  # stages of 3 and of 9 bottlenecks at full size
    for scale in SIZES.values():
        if [scale.repeats(3), scale.repeats(9)] == repeats:
            return scale.depth, width
    return repeats[1] / 9, width


def _names(names: object, classes: int) -> list[str]:
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names)]
    if isinstance(names, list) and len(names) == classes:
        return [str(name) for name in names]
    return [str(k) for k in range(classes)]
