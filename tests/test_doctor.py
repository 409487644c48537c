"""The doctor: a sound set-up passes, and each planted fault is found by the check that is meant for it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from yolo_edu import doctor
from yolo_edu.assets import sample_data
from yolo_edu.assign import Assignment, assign
from yolo_edu.cli import main
from yolo_edu.data import DetectionData, collate, read_spec
from yolo_edu.doctor import Finding, examine, expected_raw, first_loss, overfit, perfect_answer, round_trip
from yolo_edu.errors import UserError
from yolo_edu.evaluate import evaluate
from yolo_edu.model import Detector, YOLOv5, YOLOv5v6
from yolo_edu.model.detect import decode_box, encode_box
from yolo_edu.recipe import RECIPES, Recipe, loss_settings

CPU = torch.device("cpu")
SIZE = 96
RECIPE = Recipe(epochs=3, batch=4, image_size=SIZE, optimizer="adamw", lr=2e-3)
SPEC = read_spec(sample_data())


@pytest.fixture(scope="module")
def data() -> DetectionData:
    spec = read_spec(sample_data())
    return DetectionData(
        type(spec)(spec.path, spec.names, {"train": spec.images("train")[:24]}), "train", image_size=SIZE
    )


@pytest.fixture(params=[YOLOv5, YOLOv5v6], ids=["R1", "R7"])
def model(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(0)
    return request.param((0.33, 0.125), SPEC.names)


def test_encode_box_is_decode_box_backwards() -> None:
    generator = torch.Generator().manual_seed(0)
    box = torch.rand(200, 4, generator=generator)
    box[:, :2] = 2 * box[:, :2] - 0.5
    anchors = torch.rand(200, 2, generator=generator) + 0.1
    box[:, 2:] = anchors * (0.01 + 3.9 * box[:, 2:])
    torch.testing.assert_close(decode_box(encode_box(box, anchors), anchors), box, rtol=1e-4, atol=1e-5)


def test_a_sound_set_up_passes(model: Detector, data: DetectionData) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    steps = []
    findings = list(examine(model, data, RECIPE, device=CPU, steps=60, progress=lambda: steps.append(1)))
    assert [str(f) for f in findings if not f.good] == []
    assert len(findings) == 5
    assert len(steps) == 60
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    trained = list(examine(model, data, RECIPE, device=CPU, steps=2, fresh=False))
    assert [f.check for f in trained] == [f.check for f in findings if f.check != "first loss as predicted"]


def test_a_network_that_knows_the_truth_is_nearly_perfect(model: Detector, data: DetectionData) -> None:
    """Not quite: cells that share an anchor keep one of two objects, and NMS may drop one of two that overlap."""
    samples = list(data)

    class Knowing(type(model)):  # type: ignore[misc]
        def forward(self, images: Tensor) -> list[Tensor]:
            chosen = [samples[i] for i in range(self.seen, self.seen + len(images))]
            self.seen += len(images)
            return perfect_answer(self, collate(chosen, SIZE).targets, len(images), SIZE)

    model.__class__ = Knowing
    model.seen = 0
    report = evaluate(model, data, batch_size=5, progress=False)
    assert report.map50 > 0.97
    assert report.map > 0.95


def swapped(*args, **more) -> list[Assignment]:
    return [level._replace(row=level.column, column=level.row) for level in assign(*args, **more)]


def in_pixels(targets: Tensor, grids, anchors: Tensor, **more) -> list[Assignment]:
    return assign(targets, grids, anchors * torch.tensor([8.0, 16, 32])[:, None, None], **more)


def class_shifted(*args, **more) -> list[Assignment]:
    return [level._replace(label=(level.label + 1) % 5) for level in assign(*args, **more)]


def whole_offset(*args, **more) -> list[Assignment]:
    """Forgets that the box is measured from its cell."""
    levels = assign(*args, **more)
    return [
        level._replace(box=torch.cat([level.box[:, :2].clamp(0, 0.99).floor() + 0.5, level.box[:, 2:]], dim=1))
        for level in levels
    ]


@pytest.mark.parametrize("fault", [swapped, class_shifted, whole_offset])
def test_a_fault_in_the_assignment_breaks_the_round_trip(
    fault, model: Detector, data: DetectionData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert round_trip(model, data, SIZE).good
    monkeypatch.setattr(doctor, "assign", fault)
    finding = round_trip(model, data, SIZE)
    assert not finding.good
    assert "row and column" in str(finding)


def test_anchors_in_pixels_take_few_boxes(
    model: Detector, data: DetectionData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor.assigned_share(model, data, SIZE).good
    monkeypatch.setattr(doctor, "assign", in_pixels)
    finding = doctor.assigned_share(model, data, SIZE)
    assert not finding.good
    assert "left out, in pixels" in finding.measured
    assert "yolo-edu anchors" in str(finding)


def batch(data: DetectionData):
    return collate([data[i] for i in range(4)], SIZE)


def no_prior(model: Detector) -> None:
    for conv in (m for m in model.modules() if isinstance(m, nn.Conv2d) and m.bias is not None):
        nn.init.zeros_(conv.bias)


def test_the_first_loss_follows_from_the_prior(model: Detector, data: DetectionData) -> None:
    settings = loss_settings(model, RECIPE, SIZE)
    assert first_loss(model, batch(data), settings, device=CPU).good
    no_prior(model)
    finding = first_loss(model, batch(data), settings, device=CPU)
    assert not finding.good
    assert "bias initialization" in str(finding)


def test_expected_raw_is_the_mean_of_fresh_biases(model: Detector) -> None:
    raw = expected_raw(model, 2, SIZE)
    assert [tuple(x.shape) for x in raw] == [(2, 3, SIZE // s, SIZE // s, 10) for s in (8, 16, 32)]
    biases = [m.bias.view(3, 10) for m in model.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    for level, bias in zip(raw, biases, strict=True):
        # Fresh biases are the prior plus PyTorch's own start, at most 1/sqrt(fan-in) either way.
        assert (level[0, :, 0, 0] - bias).abs().max() <= 1 / 16**0.5


def test_a_frozen_network_does_not_learn_its_batch(model: Detector, data: DetectionData) -> None:
    recipe = Recipe(epochs=3, batch=4, image_size=SIZE, optimizer="adamw", lr=1e-9)
    losses, seconds = overfit(model, batch(data), recipe, device=CPU, steps=12)
    finding = doctor._overfitting(losses)
    assert len(losses) == len(seconds) == 12
    assert not finding.good
    assert "12 steps" in finding.measured


def test_a_loss_that_explodes_ends_the_attempt(model: Detector, data: DetectionData) -> None:
    recipe = Recipe(epochs=3, batch=4, image_size=SIZE, optimizer="sgd", lr=1e30)
    losses, _ = overfit(model, batch(data), recipe, device=CPU, steps=30)
    assert len(losses) < 30
    assert not doctor._overfitting(losses).good


def test_a_finding_in_words() -> None:
    assert str(Finding("speed", True, "fast", "never shown")) == "✓ speed: fast"
    assert str(Finding("boxes", False, "none", "look")) == "✗ boxes: none\n    look"


def test_no_object_at_all_is_said(model: Detector, data: DetectionData) -> None:
    class Empty:
        image_size = SIZE

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int):
            sample = data[index]
            return sample._replace(boxes=sample.boxes[:0], labels=sample.labels[:0])

        def __iter__(self):
            return (self[i] for i in range(2))

    findings = examine(model, Empty(), RECIPE, device=CPU)  # type: ignore[arg-type]
    assert next(findings).good  # nothing was changed on the way
    share = next(findings)
    assert not share.good
    assert "right split" in str(share)
    with pytest.raises(UserError, match="none of the 2 images holds an object"):
        next(findings)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["garden", "--images", "12", "--out", str(tmp_path / "g"), "--size", "96"]) == 0
    data = tmp_path / "g/data.yaml"
    command = ["doctor", "--data", str(data), "--img", "96", "--batch", "4", "--steps", "60", "--device", "cpu"]
    assert main(command) == 0
    assert "✓ one batch can be learned by heart" in (out := capsys.readouterr().out)
    assert out.endswith("nothing stands against a training\n")
    label = next((tmp_path / "g").rglob("labels/train/*.txt"))
    label.write_text("9 0.5 0.5 0.1 0.1\n")
    assert main(command) == 1
    assert f"{label}:1" in capsys.readouterr().out
    assert RECIPES["short"].image_size != 96


@pytest.mark.parametrize(("step", "words"), [(0.5, "40 seconds"), (3.0, "4 minutes")])
def test_short_trainings_are_told_in_seconds(step: float, words: str) -> None:
    """10 epochs of 64 images in batches of 8 are 80 steps."""
    finding = doctor._duration([step, step, 99.0], 64, replace(RECIPES["short"], epochs=10, batch=8))
    assert finding.measured.endswith(f"take at least {words}")
