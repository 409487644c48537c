"""`yolo-edu detect`: find objects. The flags are those of the article's `detect.py`, release 1.0.

Where a default is ours, it has a reason:

    --weights, --source          must be given; the article's are yolov5s.pt and inference/images
    --output                     runs/detect/exp, then exp2, exp3 …; the article's inference/output was deleted first
    --img-size                   the size the weights were trained at; the article's 640 is that of its weights
    --conf-thres, --iou-thres    0.25 and 0.45 as in release 7.0; the article's 0.4 and 0.5
    --save-txt                   on; --no-save-txt for the article's
    --classes                    takes names, too

Where releases differ, a flag means what it meant in release 1.0, with one exception: every row is taken for its best
class only, as in release 7.0; release 1.0 could name one object twice.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from yolo_edu.commands.arguments import to_run, what_to_run
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Network
from yolo_edu.predict import NO_WINDOW, predict
from yolo_edu.tta import Augmented

HELP = "find objects in an image, a folder, a video or a webcam"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.epilog = (
        "The article's defaults: --img-size 640, --conf-thres 0.4, --iou-thres 0.5. Exit status: 0 all done, 1 some "
        "files could not be read (they are listed at the end, the others are done), 2 unusable input, 130 Ctrl-C "
        "(what is done is kept)."
    )
    what_to_run(parser)
    parser.add_argument("--source", required=True, help="image, folder, pattern, video, or a camera's number")
    parser.add_argument("--output", default="runs/detect/exp", help="folder for pictures, text and JSON")
    parser.add_argument("--conf-thres", type=float, default=0.25, help="only surer detections; article: 0.4")
    parser.add_argument("--iou-thres", type=float, default=0.45, help="of non-maximum suppression; article: 0.5")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="only these: numbers or names")
    parser.add_argument("--agnostic-nms", action="store_true", help="suppress across classes")
    parser.add_argument("--augment", action="store_true", help="test-time augmentation: three sizes, one mirrored")
    parser.add_argument(
        "--save-txt",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="a label file a picture, rows 'class cx cy w h'",
    )
    parser.add_argument("--save-conf", action="store_true", help="the score as a sixth column in the label files")
    parser.add_argument("--view-img", action="store_true", help="not possible here; says what to do instead")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    if args.view_img:
        raise UserError(NO_WINDOW)
    model, size = to_run(args)
    network: Network = Augmented(model) if args.augment else model
    results = predict(
        network,
        args.source,
        out=Path(args.output),
        size=size,
        confidence=args.conf_thres,
        iou=args.iou_thres,
        classes=class_numbers(args.classes, model.names) if args.classes else None,
        agnostic=args.agnostic_nms,
        save_text=args.save_txt,
        save_scores=args.save_conf,
    )
    print(results)
    return 130 if results.interrupted else int(bool(results.failed))


def class_numbers(words: Sequence[str], names: Sequence[str]) -> list[int]:
    """What `--classes` means: class numbers, or names in small or large letters.

    Where names are numbers themselves, a class number goes first.

    Raises:
        UserError: the model has no such class; the message lists those it has.
    """
    numbers = {name.casefold(): k for k, name in reversed(list(enumerate(names)))}
    numbers |= {name: k for k, name in enumerate(names)}  # as written goes first
    chosen = []
    for word in words:
        number = int(word) if word.isdecimal() else len(names)
        if number >= len(names):
            number = numbers.get(word, numbers.get(word.casefold(), -1))
        if number < 0:
            known = ", ".join(f"{k} {name}" for k, name in enumerate(names))
            raise UserError(f"--classes {word}: the model has no such class. It knows: {known}.")
        chosen.append(number)
    return chosen
