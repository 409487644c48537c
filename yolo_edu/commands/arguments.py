"""What several commands share: checked numbers, which weights to run."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch

from yolo_edu.assets import find_weights, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Network
from yolo_edu.hardware import usable_device
from yolo_edu.onnx_model import OnnxDetector


def at_least(low: int, high: float = math.inf) -> Callable[[str], int]:
    """A type for argparse: a whole number from `low` to `high`."""

    def integer(text: str) -> int:
        if not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text} is not in {low} … {high}")
        return int(text)

    return integer


def what_to_run(parser: argparse.ArgumentParser) -> None:
    """Flags for a trained network; `to_run` reads them."""
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("cards_n"),
        help="checkpoint: ours, an official .pt, an exported .onnx, or the name of a shipped one",
    )
    parser.add_argument("--img-size", "--img", type=int, help="in pixels; default: the size it was trained at")
    parser.add_argument("--device", help="cpu, cuda, …; an .onnx file runs on the CPU")


def to_run(args: argparse.Namespace) -> tuple[Network, int]:
    """The network of `--weights` on its device, and the size to run it at."""
    args.weights = find_weights(args.weights) or shipped_weights()
    suffix = args.weights.suffix.lower()
    if suffix == ".onnx":
        if torch.device("cpu") != usable_device(args.device or "cpu"):
            raise UserError(f"{args.weights}: ONNX files run on the CPU here. Leave --device {args.device} out.")
        exported = OnnxDetector(args.weights)
        return exported, args.img_size or exported.image_size
    if suffix == ".pt2":
        raise UserError(
            f"{args.weights}: is for `torch.export.load`. Give the checkpoint it came from, or an .onnx file."
        )
    model = load_checkpoint(args.weights).fuse().to(usable_device(args.device))
    trained_at = read_metadata(args.weights).get("image_size", 640) if args.weights.is_file() else 640
    return model, args.img_size or int(trained_at)
