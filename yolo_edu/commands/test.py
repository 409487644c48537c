"""`yolo-edu test`."""

import argparse
from pathlib import Path

from yolo_edu.album import show_evaluation
from yolo_edu.assets import sample_data
from yolo_edu.commands.arguments import to_run, what_to_run
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.evaluate import evaluate
from yolo_edu.run import new_folder

HELP = "measure a checkpoint on a split of a data set"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    what_to_run(parser)
    parser.add_argument("--data", type=Path, help="data set YAML; default: the shipped cards")
    parser.add_argument("--task", choices=["train", "val", "test"], default="val", help="split")
    parser.add_argument("--batch-size", "--batch", type=int, default=32)
    parser.add_argument("--conf-thres", type=float, default=0.001)
    parser.add_argument("--iou-thres", type=float, default=0.6, help="of non-maximum suppression")
    parser.add_argument(
        "--plots", action=argparse.BooleanOptionalAction, default=True, help="draw curves and detections"
    )
    parser.add_argument("--project", default="runs/test", help="folder of the folders with the pictures")
    parser.add_argument("--name", default="exp", help="name of the folder")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    model, size = to_run(args)
    data = DetectionData(read_spec(args.data or sample_data()), args.task, size)
    report = evaluate(model, data, batch_size=args.batch_size, confidence=args.conf_thres, iou=args.iou_thres)
    print(report.table())
    if args.plots:
        folder = new_folder(Path(args.project), args.name)
        show_evaluation(folder, model, data, size, report)
        print(f"curves, confusion and detections: {folder}")
    return 0
