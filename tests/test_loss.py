"""The loss against the golden numbers of both releases, and against itself written as loops."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from torch import Tensor

from yolo_edu.assign import Assignment
from yolo_edu.loss import LossSettings, binary_loss, detection_loss, objectness_target
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.model.detect import ANCHORS, STRIDES

ANCHOR_CELLS = torch.tensor(ANCHORS, dtype=torch.float32) / torch.tensor(STRIDES)[:, None, None]


def golden_cases(version: int) -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    cases = json.loads((GOLDEN / f"loss_v{version}.json").read_text())
    with np.load(GOLDEN / f"loss_v{version}.npz") as arrays:
        return [
            (
                case,
                {
                    key.split("_", 1)[1]: torch.from_numpy(np.asarray(arrays[key]))
                    for key in arrays.files
                    if key.startswith(f"c{case['case']}_")
                },
            )
            for case in cases
        ]


def settings_of(case: dict[str, Any]) -> LossSettings:
    hyp = case["hyp"]
    r1 = "giou" in hyp
    return LossSettings(
        rule="r1" if r1 else "r7",
        box=hyp["giou"] if r1 else hyp["box"],
        objectness=hyp["obj"],
        classification=hyp["cls"],
        balance=(1.0, 1.0, 1.0) if r1 else (4.0, 1.0, 0.4),
        anchor_threshold=hyp["anchor_t"],
        focal_gamma=hyp["fl_gamma"],
        label_smoothing=hyp.get("label_smoothing", 0.0),
        class_positive_weight=hyp["cls_pw"],
        objectness_positive_weight=hyp["obj_pw"],
    )


@pytest.mark.parametrize("version", [1, 7])
@pytest.mark.parametrize("index", range(8))
def test_golden(version: int, index: int) -> None:
    case, arrays = golden_cases(version)[index]
    raw = [arrays[f"p{level}"].float().requires_grad_() for level in (3, 4, 5)]
    loss = detection_loss(raw, arrays["targets"].float(), ANCHOR_CELLS, settings_of(case))
    torch.testing.assert_close(torch.stack(loss[1:]), arrays["items"].float()[:3], rtol=1e-4, atol=1e-6, msg=str(case))
    torch.testing.assert_close(loss.total, arrays["total"].float().reshape(()), rtol=1e-4, atol=1e-6)
    loss.total.backward()
    for level, x in zip((3, 4, 5), raw, strict=True):
        assert x.grad is not None
        norm = float(arrays[f"grad_norm_p{level}"])
        assert x.grad.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-7), (case["kind"], level)


def test_the_gains_of_the_golden_cases_are_the_releases() -> None:
    for case, _ in golden_cases(1):
        made = LossSettings.r1(case["nc"], focal_gamma=case["hyp"]["fl_gamma"])
        assert made == settings_of(case)
    for case, _ in golden_cases(7):  # trained at 128 pixels: objectness (128/640)²
        made = LossSettings.r7(case["nc"], 128, focal_gamma=case["hyp"]["fl_gamma"])
        assert made.objectness == pytest.approx(case["hyp"]["obj"])
        assert made.classification == pytest.approx(case["hyp"]["cls"])


def test_check_vector_of_the_reference() -> None:
    """numerics_full.md, section 16: zero logits, 80 classes, 640 pixels, four targets."""
    raw = [torch.zeros(2, 3, 640 // s, 640 // s, 85) for s in STRIDES]
    rows = [
        (0, 5, 0.301, 0.702, 0.10, 0.20),
        (0, 0, 0.5, 0.5, 0.5, 0.5),
        (1, 79, 0.999, 0.013, 0.03, 0.04),
        (1, 7, 0.25, 0.75, 0.8, 0.9),
    ]
    targets = torch.tensor(rows)
    loss = detection_loss(raw, targets, ANCHOR_CELLS, LossSettings.r1(80))
    expected = torch.tensor([6.7700400, 0.0995017, 2.0794420, 1.2060764])
    torch.testing.assert_close(torch.stack(loss), expected, rtol=1e-5, atol=0)
    loss = detection_loss(raw, targets, ANCHOR_CELLS, LossSettings.r7(80, 640))
    expected = torch.tensor([9.7597141, 0.0971409, 3.7429953, 1.0397209])
    torch.testing.assert_close(torch.stack(loss), expected, rtol=1e-5, atol=0)


def test_last_entry_of_a_cell_decides() -> None:
    index = torch.tensor([0, 0, 0, 0])
    column = torch.tensor([2, 1, 2, 2])
    level = Assignment(index, index, index, column, index, torch.zeros(4, 4), index)
    overlap = torch.tensor([0.9, -0.5, 0.8, 0.1])
    target = objectness_target(torch.zeros(1, 1, 1, 4), level, overlap)
    assert target.flatten().tolist() == pytest.approx([0.0, 0.0, 0.1, 0.0])


def test_objectness_target_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        shape = (2, 3, 4, 5)
        where = [torch.randint(n, (60,), generator=generator) for n in shape]
        overlap = torch.rand(60, generator=generator) * 2 - 1
        level = Assignment(*where, where[0], torch.zeros(60, 4), where[0])
        expected = torch.zeros(shape)
        for e in range(60):
            expected[tuple(int(w[e]) for w in where)] = max(float(overlap[e]), 0.0)
        torch.testing.assert_close(objectness_target(torch.zeros(shape), level, overlap), expected)


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_binary_loss_equals_a_loop(gamma: float, weight: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 4, generator=generator)
    wanted = torch.rand(5, 4, generator=generator)
    total = 0.0
    for x, y in zip(logits.flatten().tolist(), wanted.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        term = -(weight * y * math.log(p) + (1 - y) * math.log(1 - p))
        if gamma:
            term *= (0.25 * y + 0.75 * (1 - y)) * (1 - (y * p + (1 - y) * (1 - p))) ** gamma
        total += term
    assert binary_loss(logits, wanted, weight, gamma).item() == pytest.approx(total / 20, rel=1e-5)


def test_label_smoothing_moves_the_optimum() -> None:
    raw = [torch.zeros(1, 3, 128 // s, 128 // s, 10) for s in STRIDES]
    targets = torch.tensor([[0, 2, 0.5, 0.5, 0.2, 0.2]])
    for x in raw:
        x[..., 5:] = -20.0
        x[..., 7] = 20.0
    sharp = detection_loss(raw, targets, ANCHOR_CELLS, LossSettings.r7(5, 128))
    smooth = detection_loss(raw, targets, ANCHOR_CELLS, LossSettings.r7(5, 128, label_smoothing=0.1))
    assert sharp.classification < 1e-6 < smooth.classification


def test_one_class_has_no_class_loss() -> None:
    raw = [torch.randn(1, 3, 128 // s, 128 // s, 6) for s in STRIDES]
    targets = torch.tensor([[0, 0, 0.5, 0.5, 0.2, 0.2]])
    assert detection_loss(raw, targets, ANCHOR_CELLS, LossSettings.r7(1, 128)).classification == 0


def test_inputs_are_left_alone() -> None:
    raw = [torch.randn(1, 3, 128 // s, 128 // s, 10) for s in STRIDES]
    targets = torch.tensor([[0, 2, 0.5, 0.5, 0.2, 0.2]])
    before = [x.clone() for x in raw], targets.clone()
    detection_loss(raw, targets, ANCHOR_CELLS, LossSettings.r7(5, 128))
    assert all(torch.equal(a, b) for a, b in zip(raw, before[0], strict=True))
    assert torch.equal(targets, before[1])


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_a_step_against_the_gradient_lowers_the_loss(release: type[YOLOv5 | YOLOv5v6]) -> None:
    torch.manual_seed(0)
    model = release((0.33, 0.125), 5)
    settings = LossSettings.r1(5) if release is YOLOv5 else LossSettings.r7(5, 128)
    images, targets = torch.rand(2, 3, 128, 128), torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.3], [1, 4, 0.2, 0.7, 0.1, 0.2]])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    history = []
    for _ in range(25):
        loss = detection_loss(model(images), targets, model.detect.anchors, settings)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        history.append(loss.total.item())
    assert history[-1] < 0.8 * history[0]
