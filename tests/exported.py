"""Exported files of tiny networks, made once for all tests that look at them: an export takes seconds."""

import functools
import logging

import torch
from networks import shake_norms
from torch import nn

from yolo_edu.export import prepared, properties_of, to_onnx, trace
from yolo_edu.model import RELEASES, Detector

TINY = (0.33, 0.125)
SIZE = 96  # pixels
SPREAD = 0.1  # of the logits
# PyTorch notes every step of a trace here; pytest would collect the notes, which takes several times as long.
logging.getLogger("torch.__trace").propagate = False

NAMES = ("red", "green", "blue")


def lively(model: Detector) -> Detector:
    """Make the rows of a fresh network depend on the image, which they hardly do: each layer shrinks what it gets.

    BatchNorm gets odd weights, biases and means, and variances that keep the values of some images in range; the
    predictions get a spread from place to place. A file that ignored half of a fresh network would be equal to it.
    A larger spread, or each channel's own variance, would make rounding errors larger than what tests look for.
    """
    shake_norms(model)
    images = torch.rand(4, 3, 96, 128, generator=torch.Generator().manual_seed(0))

    def adapt(norm: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        norm.load_state_dict({"running_var": inputs[0].square().mean().expand(inputs[0].shape[1])}, strict=False)

    hooks = [m.register_forward_pre_hook(adapt) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    predictors = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    with torch.no_grad():
        model.eval()(images)
        for hook in hooks:
            hook.remove()
        for conv, raw in zip(predictors, model(images), strict=True):
            conv.weight *= SPREAD / raw.std(dim=(0, 2, 3)).mean()
    return model


@functools.cache
def tiny(release: str = "yolov5v6") -> Detector:
    """A small network whose rows depend on the image; not to be changed."""
    torch.manual_seed(0)
    return lively(RELEASES[release](TINY, NAMES))


@functools.cache
def onnx_bytes(release: str = "yolov5v6", *, fixed: bool = False) -> bytes:
    """That network as an ONNX file."""
    model = tiny(release)
    return to_onnx(trace(prepared(model), SIZE, fixed=fixed), properties_of(model, {"epoch": 3}, SIZE, half=False))
