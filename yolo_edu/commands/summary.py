"""`yolo-edu summary`."""

import argparse

import torch

from yolo_edu.cfg import ALIASES, MODELS, build_model
from yolo_edu.commands.arguments import at_least
from yolo_edu.summary import layer_table, parameter_table, printout, torchinfo_summary

HELP = "print a network: rows, parameters, layers"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("name", help=", ".join([*ALIASES, *MODELS]))
    parser.add_argument("--classes", type=at_least(1), default=80)
    parser.add_argument("--img-size", type=int, default=640, help="for shapes and FLOPs")
    view = parser.add_mutually_exclusive_group()
    view.add_argument("--printout", action="store_true", help="the modules, as the article prints them")
    view.add_argument("--table", action="store_true", help="every parameter tensor, as the article's table")
    view.add_argument("--layers", action="store_true", help="row by row: shapes, strides, FLOPs (default)")
    view.add_argument("--torchinfo", action="store_true", help="torchinfo's view")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    # The article printed its network before BatchNorm got its training values: PyTorch's defaults.
    options = {"bn_eps": 1e-5, "bn_momentum": 0.1} if args.printout else {}
    torch.manual_seed(0)
    model = build_model(args.name, args.classes, **options)
    if args.printout:
        print(printout(list(model.model)))
    elif args.table:
        print(parameter_table(model))
    elif args.torchinfo:
        print(torchinfo_summary(model, args.img_size))
    else:
        print(layer_table(model, args.img_size))
    return 0
