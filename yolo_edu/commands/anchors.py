"""`yolo-edu anchors`."""

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from yolo_edu.anchor_chart import Candidate, anchor_chart
from yolo_edu.anchors import ENOUGH_RECALL, SMALLEST, AnchorFit, evolve, fit, shares
from yolo_edu.cfg import ALIASES, MODELS, build_model, cfg_text
from yolo_edu.checkpoint import write_atomically
from yolo_edu.commands.arguments import at_least
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.errors import UserError
from yolo_edu.run import new_folder
from yolo_edu.threads import in_threads

HELP = "how well the anchors fit a data set's boxes, and which would fit better"


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("data", type=Path, help="data set YAML")
    parser.add_argument("--img-size", "--img", type=at_least(32), default=640, help="training size in pixels")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="whose boxes")
    parser.add_argument(
        "--model", default="yolov5n", help=f"whose anchors are judged: {', '.join([*ALIASES, *MODELS])}"
    )
    parser.add_argument(
        "--threshold", type=float, default=4.0, help="an anchor fits a box below this factor; training's own is 4"
    )
    parser.add_argument("--generations", type=at_least(0), default=1000, help="mutations tried in each of 16 searches")
    parser.add_argument("--seed", type=at_least(0, 2**40), default=0, help="of the search")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/anchors/exp"), help="new folder for the picture and the numbers"
    )
    parser.add_argument(
        "--write-cfg", type=Path, metavar="FILE", help="also write --model with the new anchors, for train --cfg FILE"
    )


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    if not args.threshold > 1:
        raise UserError(f"--threshold {args.threshold:g}: it is a factor between sizes and must be above 1.")
    if args.write_cfg and (args.write_cfg.exists() or not args.write_cfg.parent.is_dir()):
        what = "exists already" if args.write_cfg.exists() else "its folder does not exist"
        raise UserError(f"{args.write_cfg}: {what}. Choose another name for --write-cfg.")
    spec = read_spec(args.data)
    for note in spec.notes:
        print(note, file=sys.stderr)
    model = build_model(args.model, spec.names)
    data = DetectionData(spec, args.split, args.img_size, cache=False)
    sizes = torch.cat(in_threads(lambda index: _sides(data[index].boxes), range(len(data)), "measuring boxes"))
    large = int((sizes >= SMALLEST).any(dim=1).sum())
    if large < 9:
        raise UserError(
            f"{args.data}: {large} boxes of {SMALLEST:g} pixels or more in {args.split!r} are too few for nine "
            "anchors. Add images, or keep the default anchors."
        )
    folder = new_folder(args.output.parent, args.output.name)  # before the search: a wrong name costs no time
    how = {"threshold": args.threshold, "generations": args.generations, "seed": args.seed}
    found = rounded(evolve(sizes, **how, progress=True))
    sets = {"default": model.anchors.cpu(), "searched": found}
    quality = {name: fit(sizes, anchors, args.threshold) for name, anchors in sets.items()}
    for name, judged in quality.items():
        print(
            f"{name:<9} best possible recall {judged.best_possible_recall:.4f}, "
            f"anchors a box {judged.anchors_above_threshold:.2f}, fitness {judged.fitness:.4f}"
        )
    print(verdict(quality["default"], quality["searched"]))
    if specks := len(sizes) - large:
        print(f"both sides below {SMALLEST:g} pixels: {specks} of {len(sizes)} boxes; no anchor was made for them")

    titles = {"default": f"default anchors of {args.model}", "searched": "searched anchors"}
    figure = anchor_chart(sizes, [Candidate(titles[name], sets[name]) for name in sets], args.threshold)
    write_atomically(folder / "anchors.png", lambda file: figure.savefig(file, format="png", dpi=110))
    content = {
        "data": str(args.data),
        "split": args.split,
        "boxes": len(sizes),
        "image_size": args.img_size,
        **how,
        "model": args.model,
        "verdict": verdict(quality["default"], quality["searched"]),
    }
    for name, anchors in sets.items():
        parts = shares(sizes, anchors, args.threshold)
        own = {"anchors": _plain(anchors), **quality[name]._asdict()}
        content[name] = own | {key: share.tolist() for key, share in parts._asdict().items()}
    write_atomically(folder / "anchors.json", lambda file: file.write_text(json.dumps(content, indent=1) + "\n"))
    print(f"picture and numbers: {folder / 'anchors.png'}, {folder / 'anchors.json'}")
    if args.write_cfg:
        text = cfg_text(build_model(args.model, spec.names, anchors=_plain(found)))
        write_atomically(args.write_cfg, lambda file: file.write_text(text))
        print(f"model with the searched anchors: yolo-edu train --data {args.data} --cfg {args.write_cfg}")
    print("anchors:  # pixels at this size; P3, P4, P5")
    for level in found.flatten(1).tolist():
        print(f"  - [{', '.join(f'{side:g}' for side in level)}]")
    return 0


def verdict(before: AnchorFit, after: AnchorFit) -> str:
    """Whether to change the anchors, in one sentence; the rule is `yolo_edu.anchors.propose`'s."""
    reached, possible = (f"{100 * judged.best_possible_recall:.1f} %" for judged in (before, after))
    if before.best_possible_recall >= ENOUGH_RECALL:
        why = f"they take {reached} of the boxes, 98 % is enough, and trained weights expect them"
        return f"keep the default anchors: {why}"
    if after.best_possible_recall > before.best_possible_recall:
        return f"change the anchors: the default ones take only {reached} of the boxes, the searched ones {possible}"
    return (
        f"keep the default anchors: they take only {reached} of the boxes, but no better ones were found. Look at the "
        "boxes (yolo-edu lint), or train at another --img-size"
    )


def rounded(anchors: Tensor) -> Tensor:
    """Whole pixels, tenths below ten: what is printed is what was judged."""
    return torch.where(anchors < 10, (anchors * 10).round() / 10, anchors.round())


def _plain(anchors: Tensor) -> list[list[float]]:
    """Rows of width, height pairs, one a level, without float32's last digits."""
    return [[float(f"{side:.4g}") for side in level] for level in anchors.flatten(1).tolist()]


def _sides(boxes: Tensor) -> Tensor:
    return boxes[:, 2:] - boxes[:, :2]
