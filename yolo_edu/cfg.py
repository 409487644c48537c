"""Which network is meant: a name such as "yolov5s", or a model YAML in the official format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from yolo_edu.errors import UserError
from yolo_edu.model import RELEASES, SIZES, Detector

# Every size of every release; R1 had no n, so plain "yolov5n" means R7's.
MODELS = {f"yolov5{s}": ("yolov5", s) for s in SIZES if s != "n"} | {f"yolov5{s}v6": ("yolov5v6", s) for s in SIZES}
ALIASES = {"yolov5n": "yolov5nv6"}
SHIPPED = Path(__file__).parent / "architectures"  # the rows of both releases, and the article's own YAML


def build_model(name: str, classes: int | Sequence[str], **options: Any) -> Detector:
    """A fresh network by its name on the command line.

    Raises:
        UserError: no such name; the message lists them.
    """
    name = ALIASES.get(name, name)
    if name not in MODELS:
        raise UserError(f"{name!r} is no model. Choose one of: {', '.join(MODELS)}.")
    release, size = MODELS[name]
    return RELEASES[release](size, classes, **options)


def find_cfg(path: Path) -> Path:
    """The YAML at this path or, if there is none, the shipped one of that name: the article's command runs anywhere."""
    shipped = SHIPPED / path.name
    return shipped if not path.exists() and shipped.is_file() else path


def model_from_cfg(path: Path, classes: Sequence[str]) -> Detector:
    """A fresh network from an official-format YAML: its multiples and anchors; the rows must be known ones.

    Its `nc` gives way to the data's, as in both releases. Anchors may be listed from P3 to P5 (R7) or from P5 to
    P3 (R1's habit); the smallest go to P3.

    Raises:
        UserError: unreadable, or an architecture that is not one of the two here.
    """
    path = find_cfg(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        scale = float(content["depth_multiple"]), float(content["width_multiple"])
        rows = [row[2] for row in content["backbone"] + content["head"]]
    except OSError as error:
        raise UserError(f"{path}: cannot read the model YAML ({error.strerror}). Check the path.") from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{path}: not a model YAML ({error}). It needs depth_multiple, width_multiple, backbone and head."
        ) from None
    for release in RELEASES.values():
        known = [type(row).__name__ for row in release((0.33, 0.125), 1).model]
        # Official YAMLs write module names with or without their package: nn.Conv2d, Conv2d.
        if [str(row).split(".")[-1] for row in rows] == known:
            try:
                anchors = content.get("anchors")
                options = {"anchors": _fine_to_coarse(anchors)} if isinstance(anchors, list) else {}
                return release(scale, classes, **options)
            except (ArithmeticError, TypeError, ValueError, RuntimeError) as error:
                raise UserError(
                    f"{path}: no network can be built with these multiples and anchors ({error}). "
                    "Anchors are three rows (P3, P4, P5) of width, height pairs in pixels."
                ) from None
    raise UserError(f"{path}: its rows are an architecture that is not one of the two here ({' and '.join(RELEASES)}).")


def _fine_to_coarse(anchors: Sequence[Sequence[float]]) -> list[list[float]]:
    """Rows of width, height pairs, the level of the smallest boxes first."""
    rows = [[float(value) for value in row] for row in anchors]
    areas = [torch.tensor(row).view(-1, 2).prod(dim=1).mean().item() for row in rows]
    return rows[::-1] if areas[0] > areas[-1] else rows


def cfg_text(model: Detector) -> str:
    """The official-format YAML of a network; `model_from_cfg` builds the same from it."""
    header = [
        f"nc: {model.classes} # classes; the data set's number wins",
        f"depth_multiple: {model.scale.depth:g}",
        f"width_multiple: {model.scale.width:g}",
        "anchors: # width, height pairs in pixels of the network input; P3, P4, P5",
        *(f"  - [{', '.join(f'{value:g}' for value in level)}]" for level in model.anchors.flatten(1).tolist()),
    ]
    rows = (SHIPPED / f"{model.release}.yaml").read_text()
    return "\n".join(header) + "\n" + rows
