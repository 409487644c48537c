"""`yolo-edu doctor`."""

import argparse

from tqdm import tqdm

from yolo_edu.commands.arguments import at_least
from yolo_edu.commands.training import to_train, what_to_train
from yolo_edu.data import DetectionData
from yolo_edu.doctor import examine
from yolo_edu.hardware import usable_device
from yolo_edu.lint import lint

HELP = "what can be known before a long training: labels, anchors, first loss, one batch"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    what_to_train(parser)
    parser.add_argument("--steps", type=at_least(10), default=80, help="of the attempt to learn one batch by heart")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    spec, model, recipe = to_train(args)
    errors = [fault for fault in lint(spec) if fault.severity == "error"]
    for fault in errors:
        print(fault)
    if errors:
        print(f"{len(errors)} faults in the labels: mend them first")
        return 1
    data = DetectionData(spec, "train", recipe.image_size, single_class=args.single_cls)
    failed = 0
    with tqdm(total=args.steps, desc="one batch", leave=False, disable=None) as bar:
        for finding in examine(
            model,
            data,
            recipe,
            device=usable_device(args.device),
            steps=args.steps,
            fresh=not args.weights,
            progress=bar.update,
        ):
            failed += not finding.good
            tqdm.write(str(finding))
    print("nothing stands against a training" if not failed else f"{failed} of the checks failed")
    return 1 if failed else 0
