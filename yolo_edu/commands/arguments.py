"""What several commands share: checked numbers, what to train, which weights to run."""

import argparse
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import torch

from yolo_edu.assets import sample_data
from yolo_edu.cfg import ALIASES, MODELS, build_model, model_from_cfg
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.data import DataSpec, read_spec
from yolo_edu.errors import UserError
from yolo_edu.hardware import usable_device
from yolo_edu.model import Detector
from yolo_edu.recipe import RECIPES, Recipe
from yolo_edu.train import check_classes


def at_least(low: int, high: float = math.inf) -> Callable[[str], int]:
    """A type for argparse: a whole number from `low` to `high`."""

    def integer(text: str) -> int:
        if not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text} is not in {low} … {high}")
        return int(text)

    return integer


def what_to_train(parser: argparse.ArgumentParser) -> None:
    """Flags for data, network and recipe; `to_train` reads them."""
    parser.add_argument("--data", type=Path, help="data set YAML; default: the shipped cards")
    parser.add_argument("--model", default="yolov5n", help=f"from scratch: {', '.join([*ALIASES, *MODELS])}")
    parser.add_argument("--cfg", type=Path, help="model YAML in the official format, instead of --model")
    parser.add_argument("--weights", type=Path, help="start from this checkpoint")
    parser.add_argument("--recipe", choices=RECIPES, default="short", help="settings to start from")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--batch-size", "--batch", type=int, help="instead of the recipe's")
    parser.add_argument("--img-size", "--img", type=int, help="training size in pixels, instead of the recipe's")
    parser.add_argument("--lr", type=float, help="learning rate, instead of the recipe's")
    parser.add_argument("--seed", type=at_least(0, 2**40), default=0, help="of weights, order and augmentation")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 …; default: a GPU where there is one")


def to_train(args: argparse.Namespace) -> tuple[DataSpec, Detector, Recipe]:
    """What those flags ask for: data, network, recipe."""
    spec = read_spec(args.data or sample_data())
    changes = {"epochs": args.epochs, "batch": args.batch_size, "image_size": args.img_size, "lr": args.lr}
    try:
        recipe = dataclasses.replace(RECIPES[args.recipe], **{k: v for k, v in changes.items() if v is not None})
    except ValueError as error:
        raise UserError(f"{error}. Change that option.") from None
    if not args.weights:
        torch.manual_seed(args.seed)
        model = model_from_cfg(args.cfg, spec.names) if args.cfg else build_model(args.model, spec.names)
        return spec, model, recipe
    model = load_checkpoint(args.weights)
    check_classes(model, spec, args.weights)  # before a folder is made
    return spec, model, recipe


def what_to_run(parser: argparse.ArgumentParser) -> None:
    """Flags for a trained network; `to_run` reads them."""
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint: ours or an official .pt")
    parser.add_argument("--img-size", "--img", type=int, help="in pixels; default: the size it was trained at")
    parser.add_argument("--device", help="cpu, cuda, …")


def to_run(args: argparse.Namespace) -> tuple[Detector, int]:
    """The model of `--weights` on its device, and the size to run it at."""
    model = load_checkpoint(args.weights).fuse().to(usable_device(args.device))
    trained_at = read_metadata(args.weights).get("image_size", 640) if args.weights.is_file() else 640
    return model, args.img_size or int(trained_at)
