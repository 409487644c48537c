"""What every row of a detector's table says about an image: the live tensors that the lessons look at."""

import torch
from torch import Tensor, nn

from yolo_edu.model import Detector


@torch.no_grad()
def row_outputs(model: Detector, images: Tensor) -> list[Tensor]:
    """Run a detector in evaluation mode and keep each row's output.

    Args:
        model: left as it was, also its mode.
        images: (B, 3, H, W), 0 to 1, H and W multiples of 32, on the model's device.

    Returns:
        Row by row (B, C, h, w); the last row, Detect, is left out.
    """
    rows = list(model.model)[:-1]
    outputs: dict[int, Tensor] = {}

    def keep(index: int, output: Tensor) -> None:
        outputs[index] = output.detach().clone()  # an in-place activation of the next row may follow

    handles = [
        row.register_forward_hook(lambda _m, _i, output, index=index: keep(index, output))
        for index, row in enumerate(rows)
    ]
    was_training = model.training
    try:
        model.eval()(images)
    finally:
        nn.Module.train(model, was_training)
        for handle in handles:
            handle.remove()
    return [outputs[index] for index in range(len(rows))]
