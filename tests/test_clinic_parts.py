"""Every planted fault does what it says, and nothing else differs from the module."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from yolo_edu import doctor, loss
from yolo_edu.assign import assign
from yolo_edu.course.clinic import FAULTS, HEALTHY, PATIENTS, SIGNS, Ward
from yolo_edu.course.clinic.parts import PixelAnchors, blue_for_red, sigmoid_twice, still_training
from yolo_edu.data import collate
from yolo_edu.files import read_labels
from yolo_edu.model import YOLOv5v6
from yolo_edu.model.detect import Detect
from yolo_edu.optim import Ema

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def network() -> YOLOv5v6:
    torch.manual_seed(0)
    return YOLOv5v6((0.33, 0.125), 3).eval()


def test_every_fault_has_a_patient_and_a_sign() -> None:
    assert FAULTS.keys() == PATIENTS.keys() == SIGNS.keys()
    assert len({patient.case for patient in PATIENTS.values()}) == len(PATIENTS) >= 8


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_differs_in_one_part(name: str) -> None:
    """Wrong labels are read at training and, where a whole data set is wrong, at evaluation too: one cause."""
    different = {f.name for f in fields(HEALTHY) if getattr(FAULTS[name], f.name) != getattr(HEALTHY, f.name)}
    assert len(different) == 1 or different == {"read_train", "read_val"}


def test_row_and_column_change_places() -> None:
    targets = torch.tensor([[0, 1, 0.3, 0.8, 0.4, 0.3]])
    grids, anchors = [(8, 8), (4, 4), (2, 2)], network().detect.anchors
    for right, wrong in zip(
        assign(targets, grids, anchors), FAULTS["swapped"].assign(targets, grids, anchors), strict=True
    ):
        assert torch.equal(wrong.row, right.column)
        assert torch.equal(wrong.column, right.row)
        assert all(
            torch.equal(getattr(wrong, f), getattr(right, f)) for f in right._fields if f not in ("row", "column")
        )


def test_anchors_in_pixels() -> None:
    right, wrong = Detect(3), PixelAnchors(3)
    for level, stride in enumerate((8, 16, 32)):
        assert torch.equal(wrong.anchors[level], right.anchors[level] * stride)


@pytest.mark.parametrize(("key", "class_of", "moved"), [("corners", 1, True), ("classes", 2, False)])
def test_labels_read_wrongly(key: str, class_of: int, moved: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1 0.5 0.5 0.2 0.4\n")
    labels, boxes = FAULTS[key].read_train(path, 3)
    assert labels.tolist() == [class_of]
    expected = [0.4, 0.3, 0.2, 0.4] if moved else [0.5, 0.5, 0.2, 0.4]
    assert boxes[0].tolist() == pytest.approx(expected)
    assert read_labels(path, 3)[0].tolist() == [1]  # the module's own stays


def test_an_objectness_target_of_one() -> None:
    level = assign(torch.tensor([[0, 0, 0.5, 0.5, 0.3, 0.3]]), [(8, 8)], network().detect.anchors[:1])[0]
    target = FAULTS["objectness"].objectness_target(torch.zeros(1, 3, 8, 8), level, torch.rand(len(level.row)))
    assert torch.equal(target, torch.ones(1, 3, 8, 8))


def test_an_average_that_stands_still() -> None:
    model = network()
    average = Ema(model, 0.5, 1.0)
    with FAULTS["ema"].in_place(), torch.no_grad():
        for p in model.parameters():
            p.add_(1)
        average.update(model)
    assert not any(torch.equal(a, b) for a, b in zip(average.model.parameters(), model.parameters(), strict=True))
    average.update(model)  # outside, the module's own is back
    assert average.updates == 1


def test_faults_at_evaluation() -> None:
    model = network()
    with torch.no_grad():
        right = model.rows(IMAGES)
        twice = sigmoid_twice(model, IMAGES)
        assert torch.equal(twice[..., :4], right[..., :4])
        assert torch.equal(twice[..., 4:], right[..., 4:].sigmoid())
        assert torch.equal(blue_for_red(model, IMAGES), model.rows(IMAGES.flip(1)))
        assert not torch.allclose(still_training(model, IMAGES), right)


@pytest.mark.parametrize("name", FAULTS)
def test_the_module_is_whole_again_afterwards(name: str) -> None:
    before = loss.assign, loss.objectness_target, Ema.update
    with FAULTS[name].in_place():
        pass
    assert (loss.assign, loss.objectness_target, Ema.update) == before


def test_one_batch_by_heart_stumbles_over_an_objectness_of_one() -> None:
    """As the lesson says of the doctor's fourth check: the twin passes, patient G does not."""
    ward, losses = replace(Ward(), photos=8), {}
    for name in ("healthy", "objectness"):
        parts = FAULTS.get(name, HEALTHY)
        batch = collate([*ward.train_data(parts)], ward.size)
        with parts.in_place():
            values, _ = doctor.overfit(
                ward.network(0, parts), batch, ward.recipe(parts), device=torch.device("cpu"), steps=40
            )
        losses[name] = sum(values[-5:]) / 5 / values[0]
    assert losses["healthy"] < doctor.OVERFIT < losses["objectness"]


def test_no_warm_up_begins_with_a_whole_step() -> None:
    ward = replace(Ward(), photos=16)
    healthy, sick = ward.recipe(), ward.recipe(FAULTS["no_warmup"])
    assert healthy.warmup_epochs > 0
    assert (sick.warmup_epochs, sick.warmup_iterations) == (0, 0)
    assert sick.lr > healthy.lr
