"""The loop: it learns, accumulates, stops at what is no number, and goes on in the middle of an epoch."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from yolo_edu import garden
from yolo_edu.augment import AugmentSettings, augment_batch
from yolo_edu.batches import Batches
from yolo_edu.data import Batch, DetectionData, read_spec
from yolo_edu.errors import UserError
from yolo_edu.fit import Training, fit_epoch, mean_losses
from yolo_edu.hardware import Numerics
from yolo_edu.loss import Loss, detection_loss
from yolo_edu.model import Detector, YOLOv5v6
from yolo_edu.recipe import RECIPES, Recipe, Row
from yolo_edu.train import loss_settings

TINY = replace(RECIPES["short"], epochs=4, batch=4, image_size=64, nominal_batch=4, plain_epochs=1, growth=())
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DetectionData:
    """Twelve training images."""
    return DetectionData(read_spec(garden.write(tmp_path_factory.mktemp("fit") / "garden", 15, size=96)), "train", 64)


def start(recipe: Recipe) -> Training[Detector]:
    torch.manual_seed(0)
    return Training.start(YOLOv5v6((0.33, 0.125), 5), recipe)


def run(training: Training[Detector], batches: Iterator[Batch], count: int, recipe: Recipe, **options: object) -> Row:
    model = training.model
    settings = loss_settings(model, recipe, 64)

    def loss(raw: list[torch.Tensor], targets: torch.Tensor) -> Loss:
        return detection_loss(raw, targets, model.detect.anchors, settings)

    return fit_epoch(training, batches, count, loss, recipe, device=CPU, **options)  # type: ignore[arg-type]


def batches_of(data: DetectionData, recipe: Recipe, epoch: int = 0, begin: int = 0) -> Iterator[Batch]:
    return Batches(data, recipe, 0, CPU).epoch(epoch, begin)


def test_training_lowers_the_loss(data: DetectionData) -> None:
    """One image over and over: the loss must fall far below where it starts."""
    index = next(i for i in range(len(data)) if len(data[i].labels))
    still = AugmentSettings(mosaic=0, translate=0, scale=0, flip=0, hue=0, saturation=0, value=0)
    recipe = replace(TINY, augment=still, batch=1, nominal_batch=1, epochs=6)
    training = start(recipe)
    batch = augment_batch(data.pool(), [index], still, torch.Generator().manual_seed(0))
    losses = []
    for _ in range(5):
        row = run(training, iter([batch] * 20), 20, recipe)
        training.end_epoch(row)
        losses.append(row["box"] + row["objectness"] + row["classification"])
    assert losses[-1] < 0.5 * losses[0]
    assert [row["epoch"] for row in training.history] == [1, 2, 3, 4, 5]


def test_accumulation_adds_up_gradients(data: DetectionData) -> None:
    """Two batches of 2 with accumulation move the weights only once."""
    recipe = replace(TINY, batch=2, nominal_batch=4, warmup_epochs=0, warmup_iterations=1)
    training = start(recipe)
    training.epoch = 1  # past the warm-up
    run(training, batches_of(data, recipe), 6, recipe)
    assert training.ema.updates == 3


def test_an_epoch_shorter_than_the_accumulation_still_steps(data: DetectionData) -> None:
    recipe = replace(TINY, batch=4, nominal_batch=64, warmup_epochs=0, warmup_iterations=0)  # 16 batches a step
    training = start(recipe)
    for epoch in range(12):  # 3 batches each
        training.end_epoch(run(training, batches_of(data, recipe, epoch), 3, recipe))
    assert training.ema.updates == 36 // 16


class Stop(Exception):
    pass


@pytest.mark.parametrize(("nominal", "numerics"), [(4, "float32"), (8, "float32"), (4, "bfloat16")])
def test_a_state_from_the_middle_of_an_epoch_goes_on_bit_for_bit(
    data: DetectionData, nominal: int, numerics: str
) -> None:
    """Save at a step inside the second epoch, load into a fresh start, and end in the same bits."""
    recipe = replace(TINY, nominal_batch=nominal, batch=2, warmup_epochs=0, warmup_iterations=0)
    how = Numerics(numerics, "channels_last")
    whole = start(recipe)
    for epoch in range(2):
        whole.end_epoch(run(whole, batches_of(data, recipe, epoch), 6, recipe, numerics=how))

    broken, states = start(recipe), []
    broken.end_epoch(run(broken, batches_of(data, recipe, 0), 6, recipe, numerics=how))

    def keep() -> None:
        states.append(broken.state())
        if len(states) == 1:
            raise Stop

    with pytest.raises(Stop):
        run(broken, batches_of(data, recipe, 1), 6, recipe, numerics=how, on_step=keep)
    again = start(recipe)
    again.load(states[0])
    assert 0 < again.batch < 6
    again.end_epoch(run(again, batches_of(data, recipe, 1, again.batch), 6, recipe, numerics=how))

    for ours, theirs in ((again.model, whole.model), (again.ema.model, whole.ema.model)):
        assert all(torch.equal(x, theirs.state_dict()[name]) for name, x in ours.state_dict().items())
    assert again.history == whole.history


def test_on_step_follows_the_steps(data: DetectionData) -> None:
    recipe = replace(TINY, batch=2, nominal_batch=6, warmup_epochs=0, warmup_iterations=0)
    training, seen = start(recipe), []
    run(training, batches_of(data, recipe), 6, recipe, on_step=lambda: seen.append(training.batch))
    assert seen == [3, 6]  # every third batch, and nothing pending then
    assert all(p.grad is None for p in training.model.parameters())


def test_a_loss_that_is_not_a_number(data: DetectionData) -> None:
    training = start(TINY)
    with torch.no_grad():
        next(training.model.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="epoch 1: the loss is not a number"):
        run(training, batches_of(data, TINY), 3, TINY)


def test_mean_losses() -> None:
    training = start(TINY)
    training.parts, training.batch = torch.tensor([4.0, 2.0, 1.0]), 4
    assert mean_losses(training) == {"box": 1.0, "objectness": 0.5, "classification": 0.25}


def test_the_state_of_another_model_is_refused() -> None:
    training = start(TINY)
    other = Training.start(YOLOv5v6((0.33, 0.125), 3), TINY)
    with pytest.raises(RuntimeError):
        training.load(other.state())
    with pytest.raises(KeyError):
        training.load({})
