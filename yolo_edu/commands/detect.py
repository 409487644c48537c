"""`yolo-edu detect`."""

import argparse
from pathlib import Path

from yolo_edu.commands.arguments import to_run, what_to_run
from yolo_edu.errors import UserError
from yolo_edu.predict import NO_WINDOW, predict

HELP = "find objects in an image, a folder, a video or a webcam"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    what_to_run(parser)
    parser.add_argument("--source", required=True, help="image, folder, pattern, video, or a camera's number")
    parser.add_argument("--output", default="runs/detect/exp", help="folder for pictures, text and JSON")
    parser.add_argument("--conf-thres", type=float, default=0.25)
    parser.add_argument("--iou-thres", type=float, default=0.45, help="of non-maximum suppression")
    parser.add_argument("--classes", type=int, nargs="+", help="only these class numbers")
    parser.add_argument("--agnostic-nms", action="store_true", help="suppress across classes")
    parser.add_argument(
        "--save-txt", action=argparse.BooleanOptionalAction, default=True, help="a label file a picture"
    )
    parser.add_argument("--view-img", action="store_true", help="not possible here; says what to do instead")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    model, size = to_run(args)
    if args.view_img:
        raise UserError(NO_WINDOW)
    results = predict(
        model,
        args.source,
        out=Path(args.output),
        size=size,
        confidence=args.conf_thres,
        iou=args.iou_thres,
        classes=args.classes,
        agnostic=args.agnostic_nms,
        save_text=args.save_txt,
    )
    print(results)
    return 130 if results.interrupted else 0
