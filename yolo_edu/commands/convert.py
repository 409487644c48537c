"""`yolo-edu convert`."""

import argparse
import shlex
from collections import Counter
from pathlib import Path

from yolo_edu.convert import (
    Annotated,
    Notes,
    parse_ready,
    read_coco,
    read_ready,
    read_voc,
    read_yolo,
    select_names,
    without,
    write_coco,
    write_voc,
    write_yolo,
)
from yolo_edu.convert.place import WAYS, write_text
from yolo_edu.convert.ready import Ready
from yolo_edu.errors import UserError

HELP = "convert annotations between YOLO text, COCO JSON and Pascal VOC XML"
FORMATS = ("yolo", "coco", "voc")
SHOWN = 20  # faults printed; the report holds all
REPORT = "conversion.txt"
KINDS = (
    "Give a data set YAML (YOLO), a COCO JSON, a folder with Annotations/*.xml (VOC), or a name such as voc2012:train."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument(
        "source",
        help="a data set YAML; a COCO JSON, or the folder above annotations/; a folder with Annotations/ (VOC); or "
        "voc2007 … voc2012, coco2014, coco2017, with sets: voc2007:trainval,test (VOC is downloaded if missing)",
    )
    parser.add_argument("--to", choices=FORMATS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder; nothing is overwritten")
    parser.add_argument("--from", dest="source_format", choices=FORMATS, help="default: seen from the source")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="only these classes, in this order")
    parser.add_argument(
        "--images", choices=WAYS, default="copy", help="link: hard links, no space, same disk; symlink: pointers"
    )
    parser.add_argument(
        "--difficult",
        choices=("keep", "drop"),
        help="VOC's difficult objects; default: dropped to yolo, which has no such flag, and kept to the others",
    )
    parser.add_argument("--images-folder", type=Path, help="COCO: what its file names are relative to, if not found")
    parser.add_argument("--split", choices=("train", "val", "test"), help="COCO: the split of a single JSON")
    parser.add_argument("--root", type=Path, default=Path("datasets"), help="where VOC is downloaded, and COCO lies")
    parser.add_argument(
        "--zero-based",
        action="store_true",
        help="corners in the VOC source (else: output) are coordinates, not pixels from 1",
    )
    parser.add_argument("--decimals", action="store_true", help="to voc: do not round to whole pixels")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status: 1 if broken records were left out."""
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):  # before a long reading
        raise UserError(f"{args.out}: not a new or empty folder. Name a new one; nothing is ever overwritten.")
    notes = Notes()
    ready = None if Path(args.source).expanduser().exists() else parse_ready(args.source)
    kind = ready.kind if ready else args.source_format or _guess(Path(args.source).expanduser())
    _check_options(args, kind, ready is not None)
    data = _read(args, kind, ready, notes)
    if args.names:
        data = select_names(data, args.names, notes)
    keep = args.difficult == "keep" or (args.difficult is None and args.to != "yolo")
    # Here and not in the writers, so that the numbers printed are those of the output.
    data = without(data, notes, difficult=not keep, crowd=args.to != "coco")
    if args.to == "yolo":
        write_yolo(data, args.out, notes, images=args.images, difficult=True)
    elif args.to == "coco":
        write_coco(data, args.out, notes, images=args.images)
    else:
        zero_based = args.zero_based and (kind != "voc" or ready is not None)
        write_voc(data, args.out, notes, images=args.images, zero_based=zero_based, decimals=args.decimals)
    _report(data, notes, args)
    return 1 if notes.errors else 0


def _check_options(args: argparse.Namespace, kind: str, known: bool) -> None:
    """Refuse what would have no effect: it was meant to have one."""
    useless = {
        "--images-folder": args.images_folder and (kind != "coco" or known),
        "--split": args.split and (kind != "coco" or known),
        "--zero-based": args.zero_based and (known or kind != "voc") and args.to != "voc",
        "--decimals": args.decimals and args.to != "voc",
    }
    for option, given in useless.items():
        if given:
            raise UserError(f"{option} has no effect on {args.source} ({kind}) to {args.to}. Leave it out.")


def _read(args: argparse.Namespace, kind: str, ready: Ready | None, notes: Notes) -> Annotated:
    path = Path(args.source).expanduser()
    if ready:
        data = read_ready(ready, args.root, notes)
        print(ready.terms)
        return data
    if kind == "yolo":
        return read_yolo(path / "data.yaml" if path.is_dir() else path, notes)
    if kind == "coco":
        return read_coco(path, notes, images=args.images_folder, split=args.split)
    return read_voc(path, notes, zero_based=args.zero_based)


def _guess(path: Path) -> str:
    """The format of a file or folder."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder. {KINDS}")
    if path.suffix.lower() in (".yaml", ".yml") or (path / "data.yaml").is_file():
        return "yolo"
    if path.suffix.lower() == ".json":
        return "coco"
    if next(path.glob("Annotations/*.xml"), None):  # looked into, as some disks ignore the case of its name
        return "voc"
    if next(path.glob("annotations/*.json"), None) or next(path.glob("*.json"), None):
        return "coco"
    raise UserError(f"{path}: no annotations of a format we know. {KINDS}")


def _report(data: Annotated, notes: Notes, args: argparse.Namespace) -> None:
    """Print what was written and what was not; the same, with every fault, goes into the report."""
    lines = [line for split in data.splits for line in _split_lines(data, split)]
    for split, counts in notes.counts.items():
        lines += [f"{split}: {times} {what}" for what, times in counts.items()]
    faults = [f"{fault.severity}: {fault}" for fault in notes.faults]
    # A file name may hold bytes that are no UTF-8; Python carries them as surrogates, which no output takes.
    faults = [fault.encode("utf-8", "backslashreplace").decode() for fault in faults]
    write_text(args.out / REPORT, "\n".join([*lines, *faults]) + "\n")
    print("\n".join([*lines, *faults[:SHOWN]]))
    if len(faults) > SHOWN:
        print(f"... and {len(faults) - SHOWN} more, in {args.out / REPORT}")
    print(f"{notes.errors} broken records left out, {len(faults) - notes.errors} warnings")
    out = shlex.quote(str(args.out))
    if args.to == "yolo":
        print(f"next: yolo-edu lint {shlex.quote(str(args.out / 'data.yaml'))}")
    elif args.to == "coco":
        print(f"written: {out}; pycocotools and torchvision.datasets.CocoDetection read annotations/ and images/")
    else:
        print(f"written: {out}; the order of the classes is in classes.txt")


def _split_lines(data: Annotated, split: str) -> list[str]:
    pictures = data.splits[split]
    counts = Counter(box.label for picture in pictures for box in picture.boxes)
    empty = sum(not picture.boxes for picture in pictures)
    classes = ", ".join(f"{name} {counts[label]}" for label, name in enumerate(data.names))
    return [f"{split}: {len(pictures)} images ({empty} without objects), {counts.total()} boxes: {classes}"]
