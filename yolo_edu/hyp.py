"""Hyper-parameter files of the article's era: a YAML of numbers, laid over a recipe key by key."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from yolo_edu.errors import UserError
from yolo_edu.files import cause
from yolo_edu.recipe import Recipe

# Key of the file → field of the recipe, as it is.
PLAIN = {
    "lr0": "lr",
    "lrf": "final_lr",
    "momentum": "momentum",
    "weight_decay": "weight_decay",
    "warmup_epochs": "warmup_epochs",
    "warmup_momentum": "warmup_momentum",
    "warmup_bias_lr": "warmup_bias_lr",
    "fl_gamma": "focal_gamma",
    "label_smoothing": "label_smoothing",
    "cls_pw": "class_positive_weight",
    "obj_pw": "objectness_positive_weight",
    "anchor_t": "anchor_threshold",
}
AUGMENT = {
    "hsv_h": "hue",
    "hsv_s": "saturation",
    "hsv_v": "value",
    "degrees": "degrees",
    "translate": "translate",
    "scale": "scale",
    "shear": "shear",
    "fliplr": "flip",
    "mosaic": "mosaic",
    "mixup": "mixup",
}
# Absolute in the file, a factor on the release's own number in a recipe: (field, that number in R1, in R7).
GAINS = {
    "giou": ("box_gain", 0.05, 0.05),
    "box": ("box_gain", 0.05, 0.05),
    "obj": ("objectness_gain", 1.0, 1.0),
    "cls": ("class_gain", 0.58, 0.5),
}
NOT_BUILT = ("perspective", "flipud", "copy_paste")  # fine at 0, which switches them off
WITHOUT_EFFECT = ("iou_t",)  # in the files of both releases, and read by neither
OPTIMIZERS = {"sgd": "sgd", "adam": "adam", "adamw": "adamw"}


def read_hyp(path: Path, recipe: Recipe, release: str) -> Recipe:
    """The recipe with what a hyper-parameter file changes in it.

    Args:
        path: YAML, one number a key: lr0, momentum, fl_gamma, hsv_h …
        recipe: gives what the file leaves out.
        release: "yolov5" or "yolov5v6": what the loss gains are measured against.

    Raises:
        UserError: unreadable; a key that neither release knows, or one of something that is not built here; a value
            that is no number or cannot be one of this setting.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot read the hyper-parameters ({cause(error)}). Check the path.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({error}). Write lines such as 'lr0: 0.01'.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: no hyper-parameters. Write lines such as 'lr0: 0.01'.")
    changes: dict[str, Any] = {}
    augment: dict[str, float] = {}
    for key, value in content.items():
        if key == "optimizer":
            if str(value).lower() not in OPTIMIZERS:
                raise UserError(f"{path}: optimizer: {value!r} is none of {', '.join(OPTIMIZERS)}.")
            changes["optimizer"] = OPTIMIZERS[str(value).lower()]
        elif key in PLAIN:
            changes[PLAIN[key]] = _number(path, key, value)
        elif key in AUGMENT:
            augment[AUGMENT[key]] = _number(path, key, value)
        elif key in GAINS:
            field, first, seventh = GAINS[key]
            changes[field] = _number(path, key, value) / (first if release == "yolov5" else seventh)
        elif key in NOT_BUILT:
            if _number(path, key, value):
                raise UserError(f"{path}: {key}: {value}: this augmentation is not built here. Set it to 0.")
        elif key == "anchors":
            raise UserError(f"{path}: anchors: a count of anchors is not taken from here. Give them in a --cfg YAML.")
        elif key not in WITHOUT_EFFECT:
            known = ", ".join([*PLAIN, *AUGMENT, *GAINS, "optimizer"])
            raise UserError(f"{path}: {key!r} is no hyper-parameter. Known: {known}.")
    try:
        return dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, **augment), **changes)
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from None


LIMITS: dict[str, Callable[[float], bool]] = {
    "anchor_t": lambda value: value > 1,
    "momentum": lambda value: 0 <= value < 1,
    "warmup_momentum": lambda value: 0 <= value < 1,
    "label_smoothing": lambda value: 0 <= value < 1,
    "scale": lambda value: 0 <= value < 1,
    **{key: lambda value: 0 <= value <= 1 for key in ("fliplr", "mosaic", "mixup", "hsv_h", "hsv_s", "hsv_v", "lrf")},
}


def _number(path: Path, key: str, value: object) -> float:
    # YAML reads 1e-3 as a text: it wants 1.0e-3.
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{path}: {key}: {value!r} is not a number.")
    if number < 0 or not LIMITS.get(key, lambda value: True)(number):
        raise UserError(f"{path}: {key}: {value} is outside of what this setting can be.")
    return number
