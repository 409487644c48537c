"""The command line: `yolo-edu COMMAND`; COMMANDS lists them."""

import argparse
import sys
from collections.abc import Sequence

from yolo_edu import __version__
from yolo_edu.commands import anchors, convert, detect, doctor, export, garden, lint, summary, test, train
from yolo_edu.errors import UserError

COMMANDS = {
    "train": train,
    "doctor": doctor,
    "test": test,
    "detect": detect,
    "export": export,
    "summary": summary,
    "garden": garden,
    "lint": lint,
    "anchors": anchors,
    "convert": convert,
}


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `args.run` is the command's function."""
    whole = argparse.ArgumentParser("yolo-edu", description="YOLOv5 from the inside.")
    whole.add_argument("--version", action="version", version=__version__)
    subs = whole.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        sub = subs.add_parser(
            name,
            help=command.HELP,
            description=command.HELP,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        command.configure(sub)
        sub.set_defaults(run=command.run)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 for success, 1 for faults found, 2 for unusable input, 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except UserError as error:
        print(f"yolo-edu {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
