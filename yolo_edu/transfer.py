"""Starting from weights of another data set: what is taken over, what is frozen, how fast each stage learns.

Low layers see edges and textures that every photo has; the head knows the old classes. So a new detector takes over
all that fits (Yosinski et al. 2014, arXiv:1411.1792), may freeze its backbone, and may learn the slower the
nearer a stage is to the image (Howard, Ruder 2018, arXiv:1801.06146, "discriminative fine-tuning").
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolo_edu.errors import UserError
from yolo_edu.model import Detector
from yolo_edu.model.detect import Detect

STAGES = ("backbone", "neck", "head")
BACKBONE_ROWS = 10  # rows 0 to 9 in both releases


class Transfer(NamedTuple):
    """What `transfer` did."""

    taken: tuple[str, ...]  # tensors copied whole
    in_part: tuple[str, ...]  # prediction tensors of which some rows were copied
    classes: tuple[str, ...]  # classes whose rows were among them, by name
    left: tuple[str, ...]  # tensors as they were, each with the reason
    numbers: int  # copied, of all in the network
    total: int

    def __str__(self) -> str:
        share = 100 * self.numbers / self.total
        lines = [
            f"taken over: {len(self.taken)} tensors whole, {self.numbers:,} of {self.total:,} numbers ({share:.1f} %)"
        ]
        if self.in_part:
            known = (
                f"; classes known by name: {', '.join(self.classes)}" if self.classes else "; no class name in common"
            )
            lines.append(f"in part, box and objectness: {', '.join(self.in_part)}{known}")
        if self.left:
            more = f" and {len(self.left) - LISTED} more" if len(self.left) > LISTED else ""
            lines.append(f"not taken over, {len(self.left)}: {', '.join(self.left[:LISTED])}{more}")
        return "\n".join(lines)


LISTED = 6  # tensors named in one line


@torch.no_grad()
def transfer(model: Detector, source: Detector) -> Transfer:
    """Copy into `model` what fits of `source`: tensors of the same name and shape.

    Both releases stop there, and a head for another number of classes starts from nothing. Here the prediction
    convolutions are taken apart: box and objectness have the same meaning whatever the classes, so their rows are
    copied, and the rows of classes that both networks know by name. Only where both have the same anchors, since
    a box is predicted as a multiple of its anchor.

    Args:
        model: changed in place; keeps its names and its anchors.
        source: stays as it is.

    Raises:
        UserError: no convolution fits.
    """
    mine, theirs = model.state_dict(), source.state_dict()
    heads = set(prediction_tensors(model))
    same_anchors = torch.equal(model.anchors.cpu(), source.anchors.cpu())
    same_head = same_anchors and model.names == source.names
    taken, in_part, left, numbers = [], [], [], 0
    for name, tensor in mine.items():
        if not _learned(name, tensor):
            if name in theirs and not name.endswith("anchors"):
                tensor.copy_(theirs[name])  # BatchNorm's counter goes with its statistics
            continue
        if name not in theirs:
            left.append(f"{name} (not in it)")
        elif name in heads and not same_head:
            copied = _copy_rows(tensor, theirs[name], model, source) if same_anchors else 0
            numbers += copied
            if copied:
                in_part.append(name)
            else:
                left.append(f"{name} ({'another width' if same_anchors else 'other anchors'})")
        elif theirs[name].shape != tensor.shape:
            left.append(f"{name} ({'×'.join(map(str, theirs[name].shape))}, not {'×'.join(map(str, tensor.shape))})")
        else:
            tensor.copy_(theirs[name])
            taken.append(name)
            numbers += tensor.numel()
    if not any(mine[name].dim() == 4 for name in taken):  # a bias that fits by chance is no start
        raise UserError(
            f"these weights are of {source.release}, depth {source.scale.depth:g}, width {source.scale.width:g}; "
            f"the network to train is {model.release}, {model.scale.depth:g}, {model.scale.width:g}: not one "
            "convolution fits. Use weights of the same size, or train from nothing: --weights ''."
        )
    common = tuple(name for name in model.names if name in source.names) if in_part else ()
    total = sum(tensor.numel() for name, tensor in mine.items() if _learned(name, tensor))
    return Transfer(tuple(taken), tuple(in_part), common, tuple(left), numbers, total)


def _learned(name: str, tensor: Tensor) -> bool:
    """Not a counter, and not the anchors, which are a choice."""
    return tensor.is_floating_point() and not name.endswith("anchors")


def prediction_tensors(model: Detector) -> list[str]:
    """Names of the weights and biases that put out the predictions, P3 to P5."""
    rows = [i for i, row in enumerate(model.model) if type(row) is nn.Conv2d]
    convs = [f"model.{i}" for i in rows] or [f"model.{len(model.model) - 1}.m.{level}" for level in range(3)]
    return [f"{conv}.{kind}" for conv in convs for kind in ("weight", "bias")]


def _copy_rows(mine: Tensor, theirs: Tensor, model: Detector, source: Detector) -> int:
    """Box, objectness and common classes of one prediction tensor (A · (5 + K), …): how many numbers were copied."""
    if mine.shape[1:] != theirs.shape[1:]:
        return 0
    ours = mine.view(model.detect.anchors_per_cell, 5 + model.classes, -1)
    other = theirs.view(source.detect.anchors_per_cell, 5 + source.classes, -1)
    pairs = [
        (5 + model.names.index(name), 5 + source.names.index(name)) for name in model.names if name in source.names
    ]
    for to, origin in [*((i, i) for i in range(5)), *pairs]:
        ours[:, to] = other[:, origin]
    return ours[:, 0].numel() * (5 + len(pairs))


# --- stages ---------------------------------------------------------------------------------------------


def stage_of(model: Detector, row: int) -> str:
    """ "backbone", "neck" or "head": where a row of the table belongs."""
    if row < BACKBONE_ROWS:
        return "backbone"
    return "head" if isinstance(model.model[row], Detect) or type(model.model[row]) is nn.Conv2d else "neck"


def rows_to_freeze(model: Detector, words: Sequence[str]) -> tuple[int, ...]:
    """What `--freeze` means: stages by name, one number k for the first k rows, several numbers for these rows.

    Raises:
        UserError: no such stage or row, or nothing would be left to train.
    """
    last = len(model.model) - 1
    if len(words) == 1 and words[0].isdecimal():
        rows = set(range(int(words[0])))
    else:
        rows = set()
        for word in words:
            if word in STAGES:
                rows |= {i for i in range(last + 1) if stage_of(model, i) == word}
            elif word.isdecimal():
                rows.add(int(word))
            else:
                raise UserError(f"--freeze {word}: neither a row number nor one of {', '.join(STAGES)}.")
    if rows and max(rows) > last:
        raise UserError(f"--freeze: the network has rows 0 to {last}, not {max(rows)}.")
    if not any(True for i in range(last + 1) if i not in rows for _ in model.model[i].parameters()):
        raise UserError("--freeze: nothing would be left to train. Leave the head out.")
    return tuple(sorted(rows))


def freeze(model: Detector, rows: Sequence[int]) -> None:
    """Keep these rows as they are: no gradient, and `fit_epoch` leaves their BatchNorm statistics alone too."""
    for row in rows:
        model.model[row].requires_grad_(False)


def learning_shares(model: Detector, shares: Sequence[float]) -> dict[str, float]:
    """Parameter name → its share of the learning rate, from one share a stage: backbone, neck, head."""
    of_stage = dict(zip(STAGES, shares, strict=True))

    def named() -> Iterator[tuple[str, float]]:
        for name, _ in model.named_parameters():
            yield name, of_stage[stage_of(model, int(name.split(".")[1]))]

    return dict(named())
