"""`yolo-edu lint`."""

import argparse
from pathlib import Path

from yolo_edu.data import read_spec
from yolo_edu.lint import lint, summary

HELP = "check a data set: every fault with file, line and fix"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("data", type=Path, help="data set YAML")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    spec = read_spec(args.data)
    faults = lint(spec)
    for fault in faults:
        print(fault)
    for split, numbers in summary(spec).items():
        print(f"{split}: {numbers.images} images, {numbers.boxes} boxes")
    errors = sum(fault.severity == "error" for fault in faults)
    print(f"{errors} errors, {len(faults) - errors} warnings")
    return 1 if errors else 0
