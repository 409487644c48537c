"""`yolo-edu garden`."""

import argparse
from pathlib import Path

from yolo_edu import garden

HELP = "draw the procedural five-class data set"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--level", choices=garden.LEVELS, default="easy")
    parser.add_argument("--size", type=int, default=320, help="side of the pictures in pixels")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    path = garden.write(args.out, args.images, seed=args.seed, size=args.size, level=args.level)
    print(f"{args.images} images in {args.out}; train on them with: yolo-edu train --data {path}")
    return 0
