"""`yolo-edu anchors`."""

import argparse
from pathlib import Path

from yolo_edu.anchors import default_anchors, evolve, fit
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.errors import UserError

HELP = "how well the anchors fit a data set's boxes, and which would fit better"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("data", type=Path, help="data set YAML")
    parser.add_argument("--img-size", "--img", type=int, default=640, help="training size in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the search")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    data = DetectionData(read_spec(args.data), "train", args.img_size, cache=False)
    sizes = data.box_sizes()
    if len(sizes) < 9:
        raise UserError(f"{args.data}: {len(sizes)} boxes in 'train' are too few for nine anchors.")
    found = evolve(sizes, seed=args.seed, progress=True)
    for name, anchors in (("default", default_anchors()), ("searched", found)):
        quality = fit(sizes, anchors)
        print(
            f"{name:<9} best possible recall {quality.best_possible_recall:.4f}, "
            f"anchors a box {quality.anchors_above_threshold:.2f}, fitness {quality.fitness:.4f}"
        )
    print("anchors:  # pixels at this size; P3, P4, P5")
    for level in found.round().int().flatten(1).tolist():
        print(f"  - {level}")
    return 0
