"""`yolo-edu export`."""

import argparse
from pathlib import Path

from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.commands.arguments import at_least
from yolo_edu.errors import UserError
from yolo_edu.export import Exported, export_onnx, export_torch
from yolo_edu.parity import BAR, Parity

HELP = "write a trained network as an ONNX or a torch.export file, decoded boxes inside, and check it"

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
EXPORTERS = {"onnx": export_onnx, "torch": export_torch}
USES = {
    "onnx": """\
  yolo-edu detect --weights {path} --source photos/
or, where this package is not installed:
  import onnxruntime
  session = onnxruntime.InferenceSession("{path}")
  (rows,) = session.run(["rows"], {{"images": images}})
  session.get_modelmeta().custom_metadata_map["names"]""",
    "torch": """\
  import torch  # nothing else
  network = torch.export.load("{path}").module()
  rows = network(images)""",
}
MEANING = """\
images: float32 (B, 3, {sides}), RGB in [0, 1]
rows:   float32 (B, N, {width}): center x, center y, width, height in pixels, objectness, {classes} class scores"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint: ours or an official .pt")
    parser.add_argument("--format", choices=EXPORTERS, default="onnx", help="ONNX, or torch.export's .pt2")
    parser.add_argument("--output", type=Path, help="file; default: beside the weights, with another ending")
    parser.add_argument(
        "--img-size",
        "--img",
        type=at_least(32),
        help="in pixels, kept in the file; default: the size it was trained at",
    )
    parser.add_argument("--fixed", action="store_true", help="take square images of that size only; the batch is free")
    parser.add_argument("--half", action="store_true", help="store kernels as float16: half the file, less exact")


def run(args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    suffix = SUFFIXES[args.format]
    output = args.output or args.weights.with_suffix(suffix)
    if output.suffix.lower() != suffix:
        raise UserError(f"{output}: the file must end in {suffix} with --format {args.format}.")
    if args.weights.suffix.lower() in SUFFIXES.values():
        raise UserError(f"{args.weights}: is exported already. Give the checkpoint it came from.")
    model = load_checkpoint(args.weights)
    metadata = read_metadata(args.weights)
    exported = EXPORTERS[args.format](
        model, output, metadata=metadata, image_size=args.img_size, fixed=args.fixed, half=args.half
    )
    size = args.img_size or int(metadata.get("image_size", 640))
    print(f"{exported.path}: {exported.size / 1e6:.1f} MB")
    print(_errors(exported))
    sides = f"{size}, {size}" if args.fixed else "H, W"
    print(MEANING.format(sides=sides, width=5 + model.classes, classes=model.classes), end="")
    print("" if args.fixed else "\nH and W are multiples of 32 pixels, 64 at least", end="\n\n")
    print("use it:", USES[args.format].format(path=exported.path), sep="\n")
    return 0


def _errors(exported: Exported) -> str:
    """What the check measured, or why it could not."""
    if exported.parity is None:
        return "NOT checked: ONNX Runtime is not installed. `pip install onnxruntime`, then export again."
    lines = ["compared with PyTorch, on photos and noise, one image and three at once; the largest differences:"]
    lines += _differences(exported.parity)
    lines.append(f"  any number     {exported.parity.worst:.1e}, relative above 1, absolute below; allowed: {BAR:.0e}")
    if exported.rounding:
        lines[0] = lines[0].replace("PyTorch", "PyTorch with the same rounded kernels")
        lines.append("and what rounding the kernels to float16 changed:")
        lines += _differences(exported.rounding)
    return "\n".join(lines)


def _differences(parity: Parity) -> list[str]:
    return [
        f"  boxes          {parity.pixels:.1e} pixels, {parity.of_image:.1e} of the image's side",
        f"  probabilities  {parity.probability:.1e}",
    ]
