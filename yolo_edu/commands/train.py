"""`yolo-edu train`."""

import argparse
import dataclasses
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

from yolo_edu.commands.arguments import at_least
from yolo_edu.commands.training import to_train, what_to_train
from yolo_edu.distributed import joined, own_device
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Report
from yolo_edu.fit import Spoiled
from yolo_edu.hardware import FORMATS, PRECISIONS, usable_device
from yolo_edu.loggers import tensorboard
from yolo_edu.page import PAGE
from yolo_edu.recipe import Recipe
from yolo_edu.run import Options, Run, new_folder, newest_run
from yolo_edu.train import resume, train

HELP = "train a detector on a data set YAML"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    what_to_train(parser)
    parser.add_argument("--evaluate-every", type=at_least(1), help="epochs; default: about 20 times in the run")
    parser.add_argument("--patience", type=at_least(1), help="stop after so many epochs without better weights")
    parser.add_argument(
        "--save-minutes", type=float, default=10, help="save inside long epochs this often; 0: after every step"
    )
    parser.add_argument("--precision", choices=["auto", *PRECISIONS], default="auto", help="auto: measured on a CPU")
    parser.add_argument("--memory-format", choices=["auto", *FORMATS], default="auto", help="likewise")
    parser.add_argument(
        "--cache",
        "--cache-images",
        action=argparse.BooleanOptionalAction,
        help="hold all images in memory; default: if they fit",
    )
    parser.add_argument("--workers", type=at_least(1), default=2, help="threads that read ahead without a cache")
    parser.add_argument("--compile", action="store_true", help="torch.compile: slow start, faster steps")
    parser.add_argument("--deterministic", action="store_true", help="same bits every time on a GPU too, slower")
    parser.add_argument("--noautoanchor", action="store_true", help="keep the anchors, however badly they fit")
    parser.add_argument("--notest", action="store_true", help="evaluate after the last epoch only")
    parser.add_argument("--nosave", action="store_true", help="write weights at the end only, and after Ctrl-C")
    parser.add_argument("--project", default="runs/train", help="folder of the run folders")
    parser.add_argument("--name", default="exp", help="name of the run folder")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="continue this run, or the newest of --project, with its own settings; only --batch-size may change",
    )


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    device = usable_device(own_device(args.device))
    with joined(device) as world:
        start: Callable[..., Report | None]
        if args.resume is not None:
            run = Run(Path(args.resume)) if args.resume else newest_run(Path(args.project))
            _nothing_else_changes(args)
            # Alone, a run goes on where it was: another device would not end in the same bits.
            elsewhere = device if args.device or world.size > 1 else None
            start = partial(resume, run, device=elsewhere, batch=args.batch_size)
        else:
            spec, model, recipe = to_train(args)
            run = Run(world.share(new_folder(Path(args.project), args.name) if world.first else Path()))
            options = _options(args, recipe)
            start = partial(train, spec, model, recipe, run, options, device=device)
        if world.first:
            print(f"run folder: {run.folder}")
        command = "yolo-edu train" if world.size == 1 else f"torchrun --nproc_per_node {world.size} -m yolo_edu.train"
        again = f"{command} --resume {shlex.quote(str(run.folder))}"
        logger = tensorboard(run.folder) if world.first else None
        try:
            report = start(world=world, callbacks=[logger] if logger else [])
        except KeyboardInterrupt:
            if world.first:
                begun = run.config.exists()
                print(f"\ninterrupted; {f'continue with: {again}' if begun else 'nothing was saved yet: start again'}")
            return 130
        except Spoiled:
            raise  # the same would happen again
        except UserError as error:
            if args.resume is not None or not run.config.exists():
                raise  # nothing has begun
            raise UserError(f"{error}\nWhat was saved stays. When that is mended: {again}") from None
        except RuntimeError as error:
            if world.size == 1 or not any(word in str(error) for word in LOST):
                raise
            raise UserError(f"process {world.rank} stops because another one has: see its message.") from None
    if report is not None:
        print(report.table())
        print(f"best weights: {run.best}")
        print(f"all there is to see: {run.folder / PAGE}")
    return 0


LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")  # how gloo says that a process has gone


def _options(args: argparse.Namespace, recipe: Recipe) -> Options:
    """How to carry the run out."""
    same = {field.name: getattr(args, field.name) for field in dataclasses.fields(Options) if hasattr(args, field.name)}
    return Options(
        **same | {"evaluate_every": recipe.epochs if args.notest else args.evaluate_every},
        test_size=args.img_size[1] if args.img_size and len(args.img_size) == 2 else None,
        save=not args.nosave,
        autoanchor=not args.noautoanchor,
        single_class=args.single_cls,
    )


MAY_CHANGE = ("resume", "batch_size", "device", "project")


def _nothing_else_changes(args: argparse.Namespace) -> None:
    """A resumed run keeps its settings; an option that would be ignored is refused instead."""
    parser = argparse.ArgumentParser()
    configure(parser)
    for name, default in vars(parser.parse_args([])).items():
        if name not in MAY_CHANGE and getattr(args, name) != default:
            raise UserError(
                f"--{name.replace('_', '-')} cannot be changed while resuming: the run keeps its own. "
                "Leave it out, or start a new run with --weights."
            )
