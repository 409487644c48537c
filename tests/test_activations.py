"""The outputs of a detector's rows, kept while an image goes through."""

import pytest
import torch

from yolo_edu.course.activations import row_outputs
from yolo_edu.model import YOLOv5, YOLOv5v6


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_rows_are_what_the_walks_return(release: type) -> None:
    model = release("n", 2).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.rand(2, 3, 64, 96)
    outputs = row_outputs(model, images)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert len(outputs) == len(model.model) - 1
    with torch.no_grad():
        maps = model.eval().backbone(images)
        walked = [*maps, *model.neck(*maps)]
    for wanted in walked:
        assert any(wanted.shape == kept.shape and torch.equal(wanted, kept) for kept in outputs)


def test_an_in_place_activation_later_does_not_change_what_was_kept() -> None:
    model = YOLOv5("n", 2)
    outputs = row_outputs(model, torch.rand(1, 3, 64, 64))
    with torch.no_grad():
        assert torch.equal(model.eval().model[1](outputs[0].clone()), outputs[1])
