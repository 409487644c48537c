"""`yolo-edu test`: how good is a checkpoint? The flags are those of the article's `test.py`, release 1.0.

Where a default is ours, it has a reason:

    --weights      must be given; the article's yolov5s.pt is nothing that lies here
    --img-size     the size the weights were trained at; the article's 640 is the size that its weights were trained at
    --iou-thres    0.6 as in release 7.0 and in every training; the article's 0.65
    --data         the shipped cards; the article's coco128.yaml
    --verbose      a line a class is printed anyway, unless there are more than 20

`--task study` measures sizes around --img-size: from 0.55 to 1.25 times it, which are the article's 352, 416 … 800 for
640. Where releases differ, a flag means what it meant in release 1.0, with one exception: in --single-cls all of the
model's classes become one, not only those of the truth, so weights that were trained on several classes can be measured
too. For weights of one class there is no difference.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from yolo_edu.album import DPI, show_evaluation
from yolo_edu.assets import find_data
from yolo_edu.checkpoint import write_atomically
from yolo_edu.coco import write_coco
from yolo_edu.commands.arguments import at_least, to_run, what_to_run
from yolo_edu.data import DataSpec, DetectionData, Sample, one_class, read_spec
from yolo_edu.evaluate import Network, OneClass, detect_all, measure
from yolo_edu.files import read_image
from yolo_edu.nms import Detections
from yolo_edu.run import new_folder
from yolo_edu.study import Point, nearest, study, study_chart, study_sizes, study_table
from yolo_edu.threads import in_threads
from yolo_edu.tta import Augmented

HELP = "measure a checkpoint on a split of a data set"
STUDIED = "val"  # the split that `--task study` runs on, as in the releases


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.epilog = (
        "The article's defaults: --img-size 640, --iou-thres 0.65, --data coco128.yaml. Exit status: 0 measured, "
        "2 unusable input, 130 Ctrl-C (a study keeps what it has measured)."
    )
    what_to_run(parser)
    parser.add_argument("--data", type=Path, help="data set YAML; default: the shipped cards")
    parser.add_argument(
        "--task",
        choices=["train", "val", "test", "study"],
        default="val",
        help="the split to measure on; study: val at several sizes around --img-size, with the time of an image",
    )
    parser.add_argument("--batch-size", "--batch", type=at_least(1), default=32, help="images at once")
    parser.add_argument("--conf-thres", type=float, default=0.001, help="detections below are not considered")
    parser.add_argument("--iou-thres", type=float, default=0.6, help="of non-maximum suppression; article: 0.65")
    parser.add_argument("--single-cls", action="store_true", help="take all classes for one")
    parser.add_argument("--augment", action="store_true", help="test-time augmentation: three sizes, one mirrored")
    parser.add_argument(
        "--save-json", action="store_true", help="detections and truth as COCO JSON, in pixels of the photos"
    )
    parser.add_argument("--verbose", action="store_true", help="a line a class, even if there are more than 20")
    parser.add_argument(
        "--plots", action=argparse.BooleanOptionalAction, default=True, help="draw curves and detections"
    )
    parser.add_argument("--project", default="runs/test", help="folder of the folders with the results")
    parser.add_argument("--name", default="exp", help="name of the folder")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    model, size = to_run(args)
    network: Network = Augmented(model) if args.augment else model
    spec = read_spec(find_data(args.data))
    if args.single_cls:
        network = OneClass(network, one_class(spec.names)[0])
    if args.task == "study":
        return _study(args, network, spec, size)
    data = DetectionData(spec, args.task, size, single_class=args.single_cls)
    truth, found = detect_all(
        network,
        data,
        batch_size=args.batch_size,
        confidence=args.conf_thres,
        iou=args.iou_thres,
    )
    report = measure(truth, found, data.names)
    print(report.table(args.verbose))
    if not (args.plots or args.save_json):
        return 0
    folder = new_folder(Path(args.project), args.name)
    if args.save_json:
        _save_json(folder, data, truth, found)
    if args.plots:
        show_evaluation(folder, network, data, size, report)
        print(f"curves, confusion and detections: {folder}")
    return 0


def _save_json(
    folder: Path,
    data: DetectionData,
    truth: Sequence[Sample],
    found: Sequence[Detections],
) -> None:
    # Decoded once more: only then the size is known as EXIF turns it, and samples are resized.
    sizes = in_threads(_size, data.images, "sizes of the photos")
    instances, results = write_coco(folder, truth, found, data.images, sizes, data.names)
    print(f"COCO JSON: the truth {instances}, the detections {results}")


def _size(photo: Path) -> tuple[int, int]:
    _, height, width = read_image(photo).shape
    return width, height


def _study(args: argparse.Namespace, network: Network, spec: DataSpec, size: int) -> int:
    sizes = study_sizes(size, network.strides[-1])
    reference = nearest(sizes, size)
    folder: Path | None = None  # made for the first point: without any there is no folder
    points: list[Point] = []
    interrupted = False
    try:
        for point in study(
            network,
            spec,
            STUDIED,
            sizes,
            reference,
            batch_size=args.batch_size,
            confidence=args.conf_thres,
            iou=args.iou_thres,
            single_class=args.single_cls,
        ):
            folder = folder or new_folder(Path(args.project), args.name)
            points.append(point)
            _write_study(folder, args, points, reference, complete=len(points) == len(sizes))
    except KeyboardInterrupt:
        if not points:
            raise
        interrupted = True
    assert folder is not None
    print(study_table(points, reference))
    if args.plots:
        figure = study_chart(points, reference)
        write_atomically(folder / "study.png", lambda file: figure.savefig(file, format="png", dpi=DPI))
    kept = "interrupted; what was measured is kept: " if interrupted else "results: "
    print(f"{kept}{folder}")
    return 130 if interrupted else 0


def _write_study(
    folder: Path, args: argparse.Namespace, points: Sequence[Point], reference: int, *, complete: bool
) -> None:
    rows = [{k: None if math.isnan(v) else v for k, v in point._asdict().items()} for point in points]
    content = {
        "weights": str(args.weights),
        "data": str(find_data(args.data)),
        "split": STUDIED,
        "augment": args.augment,
        "single_cls": args.single_cls,
        "reference": reference,
        "points": rows,
        "complete": complete,
    }
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(folder / "study.json", lambda file: file.write_text(text, encoding="utf-8"))
