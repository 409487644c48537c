"""The flags of the command line. They keep the names of the article's era where it had them."""

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from yolo_edu import __version__, garden
from yolo_edu.cfg import ALIASES, MODELS
from yolo_edu.hardware import FORMATS, PRECISIONS
from yolo_edu.recipe import RECIPES

Command = Callable[[argparse.Namespace], int]  # returns the exit status


def parser(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser of the whole command line; `args.run` is the command's function.

    Args:
        run: a function for each command.
    """
    whole = argparse.ArgumentParser("yolo-edu", description="YOLOv5 from the inside.")
    whole.add_argument("--version", action="version", version=__version__)
    commands = whole.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        sub.set_defaults(run=run[name])
        return sub

    sub = command("train", "train a detector on a data set YAML")
    _what_to_train(sub)
    sub.add_argument("--evaluate-every", type=_at_least(1), help="epochs; default: about 20 times in the run")
    sub.add_argument("--patience", type=_at_least(1), help="stop after so many epochs without better weights")
    sub.add_argument(
        "--save-minutes", type=float, default=10, help="save inside long epochs this often; 0: after every step"
    )
    sub.add_argument("--precision", choices=["auto", *PRECISIONS], default="auto", help="auto: measured on a CPU")
    sub.add_argument("--memory-format", choices=["auto", *FORMATS], default="auto", help="likewise")
    sub.add_argument(
        "--cache",
        "--cache-images",
        action=argparse.BooleanOptionalAction,
        help="hold all images in memory; default: if they fit",
    )
    sub.add_argument("--workers", type=_at_least(1), default=2, help="threads that read ahead without a cache")
    sub.add_argument("--compile", action="store_true", help="torch.compile: slow start, faster steps")
    sub.add_argument("--deterministic", action="store_true", help="same bits every time on a GPU too, slower")
    sub.add_argument("--project", default="runs/train", help="folder of the run folders")
    sub.add_argument("--name", default="exp", help="name of the run folder")
    sub.add_argument(
        "--resume", metavar="FOLDER", help="continue this run with its own settings; only --batch-size may change"
    )

    sub = command("doctor", "what can be known before a long training: labels, anchors, first loss, one batch")
    _what_to_train(sub)
    sub.add_argument("--steps", type=_at_least(10), default=80, help="of the attempt to learn one batch by heart")

    sub = command("test", "measure a checkpoint on a split of a data set")
    _weights(sub)
    sub.add_argument("--data", type=Path, help="data set YAML; default: the shipped cards")
    sub.add_argument("--task", choices=["train", "val", "test"], default="val", help="split")
    sub.add_argument("--batch-size", "--batch", type=int, default=32)
    sub.add_argument("--conf-thres", type=float, default=0.001)
    sub.add_argument("--iou-thres", type=float, default=0.6, help="of non-maximum suppression")
    sub.add_argument("--plots", action=argparse.BooleanOptionalAction, default=True, help="draw curves and detections")
    sub.add_argument("--project", default="runs/test", help="folder of the folders with the pictures")
    sub.add_argument("--name", default="exp", help="name of the folder")

    sub = command("detect", "find objects in an image, a folder, a video or a webcam")
    _weights(sub)
    sub.add_argument("--source", required=True, help="image, folder, pattern, video, or a camera's number")
    sub.add_argument("--output", default="runs/detect/exp", help="folder for pictures, text and JSON")
    sub.add_argument("--conf-thres", type=float, default=0.25)
    sub.add_argument("--iou-thres", type=float, default=0.45, help="of non-maximum suppression")
    sub.add_argument("--classes", type=int, nargs="+", help="only these class numbers")
    sub.add_argument("--agnostic-nms", action="store_true", help="suppress across classes")
    sub.add_argument("--save-txt", action=argparse.BooleanOptionalAction, default=True, help="a label file a picture")
    sub.add_argument("--view-img", action="store_true", help="not possible here; says what to do instead")

    sub = command("summary", "print a network: rows, parameters, layers")
    sub.add_argument("name", help=", ".join([*ALIASES, *MODELS]))
    sub.add_argument("--classes", type=_at_least(1), default=80)
    sub.add_argument("--img-size", type=int, default=640, help="for shapes and FLOPs")
    view = sub.add_mutually_exclusive_group()
    view.add_argument("--printout", action="store_true", help="the modules, as the article prints them")
    view.add_argument("--table", action="store_true", help="every parameter tensor, as the article's table")
    view.add_argument("--layers", action="store_true", help="row by row: shapes, strides, FLOPs (default)")
    view.add_argument("--torchinfo", action="store_true", help="torchinfo's view")

    sub = command("garden", "draw the procedural five-class data set")
    sub.add_argument("--images", type=int, default=1000)
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--level", choices=garden.LEVELS, default="easy")
    sub.add_argument("--size", type=int, default=320, help="side of the pictures in pixels")
    sub.add_argument("--seed", type=int, default=0)

    sub = command("lint", "check a data set: every fault with file, line and fix")
    sub.add_argument("data", type=Path, help="data set YAML")

    sub = command("anchors", "how well the anchors fit a data set's boxes, and which would fit better")
    sub.add_argument("data", type=Path, help="data set YAML")
    sub.add_argument("--img-size", "--img", type=int, default=640, help="training size in pixels")
    sub.add_argument("--seed", type=int, default=0, help="of the search")
    return whole


def _at_least(low: int, high: float = math.inf) -> Callable[[str], int]:
    def integer(text: str) -> int:
        if not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text} is not in {low} … {high}")
        return int(text)

    return integer


def _what_to_train(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--data", type=Path, help="data set YAML; default: the shipped cards")
    sub.add_argument("--model", default="yolov5n", help=f"from scratch: {', '.join([*ALIASES, *MODELS])}")
    sub.add_argument("--cfg", type=Path, help="model YAML in the official format, instead of --model")
    sub.add_argument("--weights", type=Path, help="start from this checkpoint")
    sub.add_argument("--recipe", choices=RECIPES, default="short", help="settings to start from")
    sub.add_argument("--epochs", type=int, help="instead of the recipe's")
    sub.add_argument("--batch-size", "--batch", type=int, help="instead of the recipe's")
    sub.add_argument("--img-size", "--img", type=int, help="training size in pixels, instead of the recipe's")
    sub.add_argument("--lr", type=float, help="learning rate, instead of the recipe's")
    sub.add_argument("--seed", type=_at_least(0, 2**40), default=0, help="of weights, order and augmentation")
    sub.add_argument("--device", help="cpu, cuda, cuda:1 …; default: a GPU where there is one")


def _weights(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--weights", type=Path, required=True, help="checkpoint: ours or an official .pt")
    sub.add_argument("--img-size", "--img", type=int, help="in pixels; default: the size it was trained at")
    sub.add_argument("--device", help="cpu, cuda, …")
