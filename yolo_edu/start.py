"""Before the first step of a run: do model and data go together, do the anchors fit, where was a stopped run."""

from collections.abc import Sequence
from pathlib import Path

import torch

from yolo_edu.anchors import AnchorFit, propose
from yolo_edu.checkpoint import load_state
from yolo_edu.data import DetectionData
from yolo_edu.distributed import World
from yolo_edu.errors import UserError
from yolo_edu.fit import Training
from yolo_edu.model import Detector
from yolo_edu.run import Run

LOOKED_AT = 2000  # images whose boxes judge the anchors, where each has to be opened for it


def check_classes(model: Detector, names: Sequence[str], path: Path) -> None:
    """A UserError if the data of this YAML has another number of classes than the model."""
    if len(names) != model.classes:
        raise UserError(
            f"the model knows {model.classes} classes, {path} has {len(names)} ({', '.join(names)}). Build a network "
            "for these classes and take over what fits of the weights: yolo-edu train --weights, or yolo_edu.transfer."
        )


def fit_anchors(model: Detector, data: DetectionData, threshold: float, seed: int, *, progress: bool) -> str:
    """Give the model other anchors if too few boxes are near its own (`yolo_edu.anchors.propose`); what was found.

    Args:
        model: its anchors are changed in place, if at all.
        data: the training split at the training size.
        threshold: an anchor fits a box within this factor.
        seed: of the search.
        progress: show a bar while searching.
    """
    sizes = data.box_sizes(LOOKED_AT)
    if not len(sizes):
        return "anchors: no boxes to judge them by"
    model_anchors = model.anchors.cpu()
    proposal = propose(sizes, model_anchors, threshold, seed=seed, progress=progress)
    if torch.equal(proposal.anchors, model_anchors):
        return f"anchors: kept, {_judged(proposal.after)}"
    with torch.no_grad():
        model.detect.anchors.copy_(proposal.anchors.to(model.device) / model.detect.stride[:, None, None])
    return (
        f"anchors: new ones, {_judged(proposal.after)}; before {_judged(proposal.before)} (--noautoanchor keeps them)"
    )


def _judged(quality: AnchorFit) -> str:
    return f"best possible recall {quality.best_possible_recall:.3f}, {quality.anchors_above_threshold:.1f} fit a box"


def take_up(training: Training[Detector], run: Run, count: int, world: World) -> None:
    """Load the run's state. `count` batches an epoch may be others than before: other processes, another batch size."""
    try:
        training.load(load_state(run.state))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        first = str(error).split("\n")[0]
        raise UserError(f"{run.state}: not the state of this run ({first}). Start a new run.") from None
    if training.count != count and training.batch:
        training.batch = 0  # of an epoch cut otherwise: it starts again
        training.parts.zero_()
    training.count = count
    if not world.first:
        training.parts.zero_()  # what is saved is the sum over all processes
    # Iterations are counted in batches of now; a last step in the future would put off all others.
    training.last_step = min(training.last_step, training.epoch * count + training.batch - 1)
