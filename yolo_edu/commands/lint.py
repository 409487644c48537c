"""`yolo-edu lint`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TextIO

from yolo_edu.checkpoint import write_atomically
from yolo_edu.commands.arguments import at_least
from yolo_edu.data import read_spec
from yolo_edu.lint.examine import IMAGE_SIZE, examine
from yolo_edu.lint.pictures import save_pictures
from yolo_edu.lint.report import as_json, text
from yolo_edu.run import new_folder

HELP = "check a data set: every fault with file, line and fix; exit status 1 if there are errors"
PICTURES = Path("runs/lint/exp")


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("data", type=Path, help="data set YAML")
    parser.add_argument(
        "--img-size", "--img", type=at_least(32), default=IMAGE_SIZE, help="training size in pixels, for small boxes"
    )
    parser.add_argument("--show", type=at_least(0), default=5, help="print this many faults of each kind")
    parser.add_argument("--strict", action="store_true", help="exit status 1 for warnings too")
    parser.add_argument("--json", metavar="FILE", help="write all faults and the summary as JSON; -: to the terminal")
    parser.add_argument(
        "--pictures", metavar="FOLDER", type=Path, default=PICTURES, help="new folder for pictures of the suspects"
    )
    parser.add_argument("--no-pictures", dest="pictures", action="store_const", const=None, help="draw none")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    spec = read_spec(args.data)
    found = examine(spec, args.img_size)
    # With --json - the standard output is the JSON and nothing else.
    out = sys.stderr if args.json == "-" else sys.stdout
    _say(text(found, args.show), out)
    if args.json:
        content = json.dumps(as_json(found, args.data), indent=1, allow_nan=False) + "\n"
        if args.json == "-":
            sys.stdout.write(content)
        else:
            write_atomically(Path(args.json), lambda file: file.write_text(content, encoding="utf-8"))
            _say(f"all faults: {args.json}", out)
    if args.pictures is not None:
        folder = new_folder(args.pictures.parent, args.pictures.name)
        written = save_pictures(folder, found)
        _say(f"pictures: {folder} ({', '.join(path.name for path in written)})", out)
    return 1 if found.errors or (args.strict and found.faults) else 0


def _say(words: str, out: TextIO) -> None:
    """Print, with an escape for what the terminal's encoding lacks."""
    encoding = out.encoding or "utf-8"
    print(words.encode(encoding, "backslashreplace").decode(encoding), file=out, flush=True)
