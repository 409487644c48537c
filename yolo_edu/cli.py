"""The command line: `yolo-edu train | doctor | test | detect | summary | garden | lint | anchors`.

Flags keep the names of the article's era; each command only collects arguments for one function.
"""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from yolo_edu import garden
from yolo_edu.album import show_evaluation
from yolo_edu.anchors import default_anchors, evolve, fit
from yolo_edu.assets import sample_data
from yolo_edu.cfg import build_model, model_from_cfg
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.data import DataSpec, DetectionData, read_spec
from yolo_edu.distributed import joined, own_device
from yolo_edu.doctor import examine
from yolo_edu.errors import UserError
from yolo_edu.evaluate import Report, evaluate
from yolo_edu.fit import Spoiled
from yolo_edu.flags import Command, parser
from yolo_edu.hardware import usable_device
from yolo_edu.lint import lint
from yolo_edu.lint import summary as data_summary
from yolo_edu.loggers import tensorboard
from yolo_edu.model import Detector
from yolo_edu.page import PAGE
from yolo_edu.predict import NO_WINDOW, predict
from yolo_edu.recipe import RECIPES, Recipe
from yolo_edu.run import Options, Run, new_folder
from yolo_edu.summary import layer_table, parameter_table, printout, torchinfo_summary
from yolo_edu.train import check_classes, resume, train


def _train(args: argparse.Namespace) -> int:
    device = usable_device(own_device(args.device))
    with joined(device) as world:
        start: Callable[..., Report | None]
        if args.resume:
            run = Run(Path(args.resume))
            _nothing_else_changes(args)
            # Alone, a run goes on where it was: another device would not end in the same bits.
            elsewhere = device if args.device or world.size > 1 else None
            start = partial(resume, run, device=elsewhere, batch=args.batch_size)
        else:
            spec, model, recipe = _to_train(args)
            run = Run(world.share(new_folder(Path(args.project), args.name) if world.first else Path()))
            options = Options(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Options)})
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
            if args.resume or not run.config.exists():
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


def _nothing_else_changes(args: argparse.Namespace) -> None:
    """A resumed run keeps its settings; an option that would be ignored is refused instead."""
    fixed = ("data", "cfg", "weights", "epochs", "img_size", "lr", "evaluate_every", "patience", "cache")
    for name in fixed:
        if getattr(args, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')} cannot be changed while resuming: the run keeps its own. "
                "Leave it out, or start a new run with --weights."
            )


def _to_train(args: argparse.Namespace) -> tuple[DataSpec, Detector, Recipe]:
    """What the options of `train` ask for: data, network, recipe."""
    spec = read_spec(args.data or sample_data())
    changes = {"epochs": args.epochs, "batch": args.batch_size, "image_size": args.img_size, "lr": args.lr}
    try:
        recipe = dataclasses.replace(RECIPES[args.recipe], **{k: v for k, v in changes.items() if v is not None})
    except ValueError as error:
        raise UserError(f"{error}. Change that option.") from None
    if not args.weights:
        torch.manual_seed(args.seed)
        model = model_from_cfg(args.cfg, spec.names) if args.cfg else build_model(args.model, spec.names)
        return spec, model, recipe
    model = load_checkpoint(args.weights)
    check_classes(model, spec, args.weights)  # before a folder is made
    return spec, model, recipe


def _doctor(args: argparse.Namespace) -> int:
    spec, model, recipe = _to_train(args)
    errors = [fault for fault in lint(spec) if fault.severity == "error"]
    for fault in errors:
        print(fault)
    if errors:
        print(f"{len(errors)} faults in the labels: mend them first")
        return 1
    data = DetectionData(spec, "train", recipe.image_size)
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


def _load(args: argparse.Namespace) -> tuple[Detector, int]:
    """The model of `--weights` on its device, and the size to run it at."""
    model = load_checkpoint(args.weights).fuse().to(usable_device(args.device))
    trained_at = read_metadata(args.weights).get("image_size", 640) if args.weights.is_file() else 640
    return model, args.img_size or int(trained_at)


def _test(args: argparse.Namespace) -> int:
    model, size = _load(args)
    data = DetectionData(read_spec(args.data or sample_data()), args.task, size)
    report = evaluate(model, data, batch_size=args.batch_size, confidence=args.conf_thres, iou=args.iou_thres)
    print(report.table())
    if args.plots:
        folder = new_folder(Path(args.project), args.name)
        show_evaluation(folder, model, data, size, report)
        print(f"curves, confusion and detections: {folder}")
    return 0


def _detect(args: argparse.Namespace) -> int:
    model, size = _load(args)
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


def _summary(args: argparse.Namespace) -> int:
    # The article printed its network before BatchNorm got its training values: PyTorch's defaults.
    options = {"bn_eps": 1e-5, "bn_momentum": 0.1} if args.printout else {}
    torch.manual_seed(0)
    model = build_model(args.name, args.classes, **options)
    if args.printout:
        print(printout(list(model.model)))
    elif args.table:
        print(parameter_table(model))
    elif args.torchinfo:
        print(torchinfo_summary(model, args.img_size))
    else:
        print(layer_table(model, args.img_size))
    return 0


def _garden(args: argparse.Namespace) -> int:
    path = garden.write(args.out, args.images, seed=args.seed, size=args.size, level=args.level)
    print(f"{args.images} images in {args.out}; train on them with: yolo-edu train --data {path}")
    return 0


def _lint(args: argparse.Namespace) -> int:
    spec = read_spec(args.data)
    faults = lint(spec)
    for fault in faults:
        print(fault)
    for split, numbers in data_summary(spec).items():
        print(f"{split}: {numbers.images} images, {numbers.boxes} boxes")
    errors = sum(fault.severity == "error" for fault in faults)
    print(f"{errors} errors, {len(faults) - errors} warnings")
    return 1 if errors else 0


def _anchors(args: argparse.Namespace) -> int:
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


COMMANDS: dict[str, Command] = {
    "train": _train,
    "doctor": _doctor,
    "test": _test,
    "detect": _detect,
    "summary": _summary,
    "garden": _garden,
    "lint": _lint,
    "anchors": _anchors,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 for success, 1 for faults found, 2 for unusable input, 130 after Ctrl-C."""
    args = parser(COMMANDS).parse_args(argv)
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
