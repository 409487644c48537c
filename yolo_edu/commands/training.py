"""What `train` and `doctor` share: flags for data, network and recipe, and what they ask for."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch

from yolo_edu.assets import find_data, find_weights
from yolo_edu.cfg import ALIASES, MODELS, build_model, model_from_cfg
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.commands.arguments import at_least
from yolo_edu.data import DataSpec, one_class, read_spec
from yolo_edu.errors import UserError
from yolo_edu.hyp import read_hyp
from yolo_edu.model import RELEASES, Detector
from yolo_edu.recipe import RECIPES, Recipe
from yolo_edu.transfer import STAGES, rows_to_freeze, transfer

DEFAULT_MODEL = "yolov5n"


def what_to_train(parser: argparse.ArgumentParser) -> None:
    """Flags that `to_train` reads. The article's era had them too, except --model, --recipe, --lr and --stage-lr."""
    parser.add_argument("--data", type=Path, help="data set YAML; default: the shipped cards")
    parser.add_argument(
        "--model",
        help=f"network by name: {', '.join([*ALIASES, *MODELS])}; default: that of --weights or {DEFAULT_MODEL}",
    )
    parser.add_argument("--cfg", type=Path, help="network by a model YAML in the official format, instead of --model")
    parser.add_argument("--weights", help="start from this checkpoint, what fits of it; '' or nothing: from scratch")
    parser.add_argument(
        "--recipe", choices=RECIPES, default="short", help="settings to start from: for minutes, or release 7.0's"
    )
    parser.add_argument(
        "--hyp", type=Path, help="YAML of hyper-parameters laid over the recipe: lr0, fl_gamma, hsv_h …"
    )
    parser.add_argument("--epochs", type=int, help="instead of the recipe's; the article's era: 300")
    parser.add_argument("--batch-size", "--batch", type=int, help="instead of the recipe's; the article's era: 16")
    parser.add_argument(
        "--img-size",
        "--img",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="training size, and if wanted another one to test at; default: the recipe's; the article's era: 640 640",
    )
    parser.add_argument("--lr", type=float, help="learning rate, instead of the recipe's")
    parser.add_argument("--adam", action="store_true", help="Adam instead of the recipe's optimizer")
    parser.add_argument("--single-cls", action="store_true", help="take all objects for one class")
    parser.add_argument("--rect", action="store_true", help="batches of photos of like shape, without mosaic")
    parser.add_argument("--multi-scale", action="store_true", help="each batch at half to one and a half of the size")
    parser.add_argument(
        "--freeze",
        nargs="+",
        metavar="ROWS",
        help=f"rows that stay as they are: {', '.join(STAGES)}; one number: the first so many; several: these",
    )
    parser.add_argument(
        "--stage-lr",
        type=float,
        nargs=3,
        metavar=tuple(stage.upper() for stage in STAGES),
        help="share of the learning rate that each stage gets, such as 0.1 0.3 1",
    )
    parser.add_argument("--seed", type=at_least(0, 2**40), default=0, help="of weights, order and augmentation")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or just 1 …; default: a GPU where there is one")


def to_train(args: argparse.Namespace) -> tuple[DataSpec, Detector, Recipe]:
    """What those flags ask for: data, network, recipe. Says what was taken over of --weights, and what not."""
    spec = read_spec(find_data(args.data))
    for split in ("train", "val"):
        spec.images(split)  # a missing one is said before a folder is made
    for note in spec.notes:
        print(note, file=sys.stderr)
    names = one_class(spec.names) if args.single_cls else spec.names
    model = _network(args, names)
    recipe = RECIPES[args.recipe]
    if args.hyp:
        recipe = read_hyp(args.hyp, recipe, model.release)
    if args.img_size and len(args.img_size) > 2:
        raise UserError(f"--img-size {' '.join(map(str, args.img_size))}: give one size, or two: to train and to test.")
    if args.img_size and (args.img_size[-1] % model.strides[-1] or args.img_size[-1] <= 0):
        raise UserError(
            f"image size {args.img_size[-1]} is not a multiple of 32, the coarsest stride. Change that option."
        )
    changes: dict[str, Any] = {
        "epochs": args.epochs,
        "batch": args.batch_size,
        "image_size": args.img_size[0] if args.img_size else None,
        "lr": args.lr,
        "optimizer": "adam" if args.adam else None,
        "rectangular": args.rect or None,
        "multi_scale": args.multi_scale or None,
        "frozen": rows_to_freeze(model, args.freeze) if args.freeze else None,
        "stage_lr": tuple(args.stage_lr) if args.stage_lr else None,
    }
    try:
        recipe = dataclasses.replace(recipe, **{k: v for k, v in changes.items() if v is not None})
    except ValueError as error:
        raise UserError(f"{error}. Change that option.") from None
    return spec, model, recipe


def _network(args: argparse.Namespace, names: tuple[str, ...]) -> Detector:
    """A fresh network, or one that took over what fits of --weights."""
    path = find_weights(args.weights)
    source = load_checkpoint(path) if path else None
    torch.manual_seed(args.seed)
    if args.cfg:
        model = model_from_cfg(args.cfg, names)
    elif args.model or source is None:
        model = build_model(args.model or DEFAULT_MODEL, names)
    elif source.names == names:
        return source
    else:
        model = RELEASES[source.release](tuple(source.scale), names, anchors=source.anchors.tolist())
    if source is not None:
        print(f"{path}: {transfer(model, source)}")
    return model
