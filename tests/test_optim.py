"""Parameter groups and the moving average."""

import math

import pytest
import torch

from yolo_edu.model import YOLOv5v6
from yolo_edu.optim import Ema, apply_rates, build_optimizer
from yolo_edu.recipe import RECIPES, Rates, Recipe


@pytest.mark.parametrize("name", ["reference", "short"])
def test_every_parameter_is_in_one_group(name: str) -> None:
    model = YOLOv5v6((0.33, 0.125), 5)
    optimizer = build_optimizer(model, RECIPES[name])
    names = {id(p): n for n, p in model.named_parameters()}
    biases, weights, norms = ([names[id(p)] for p in g["params"]] for g in optimizer.param_groups)
    assert sorted(biases + weights + norms) == sorted(names.values())
    assert all(n.endswith("bias") for n in biases)
    assert all(".bn." in n for n in norms)
    assert all("conv.weight" in n or "model.24.m" in n for n in weights)
    assert [g["weight_decay"] > 0 for g in optimizer.param_groups] == [False, True, False]


def test_sgd_decay_follows_the_images_a_step() -> None:
    """numerics_full.md, section 8: batch 16 → factor 1, 128 → 2, 40 → 1.25."""
    model = YOLOv5v6((0.33, 0.125), 5)
    for batch, factor in ((16, 1), (128, 2), (40, 1.25)):
        group = build_optimizer(model, Recipe(batch=batch)).param_groups[1]
        assert group["weight_decay"] == pytest.approx(5e-4 * factor)


@pytest.mark.parametrize("name", ["reference", "short"])
def test_rates_reach_the_groups(name: str) -> None:
    optimizer = build_optimizer(YOLOv5v6((0.33, 0.125), 5), RECIPES[name])
    apply_rates(optimizer, Rates(0.1, 0.01, 0.85, 1))
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.01, 0.01]
    assert all(g.get("momentum", g.get("betas", (0,))[0]) == 0.85 for g in optimizer.param_groups)


def test_ema_follows_its_formula() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    ema = Ema(model, 0.9999, 2000)
    expected = {n: x.clone().double() for n, x in model.state_dict().items()}
    for step in range(1, 6):
        model(torch.randn(8, 3))  # moves the running statistics
        with torch.no_grad():
            model[0].weight.add_(1)
        ema.update(model)
        decay = 0.9999 * (1 - math.exp(-step / 2000))
        for name, x in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * x if x.is_floating_point() else expected[name]
    for name, x in ema.model.state_dict().items():
        torch.testing.assert_close(x.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert not any(p.requires_grad for p in ema.model.parameters())
    assert not ema.model.training


def test_ema_decay_check_vectors() -> None:
    """numerics_full.md, section 16: u = 100 → 0.0487657, u = 1000 → 0.3934300."""
    for updates, decay in ((100, 0.0487657), (1000, 0.3934300)):
        one, zero = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(one.weight)
        torch.nn.init.zeros_(zero.weight)
        ema = Ema(one, 0.9999, 2000)
        ema.updates = updates - 1
        ema.update(zero)
        assert ema.model.weight.item() == pytest.approx(decay, abs=1e-6)


def test_sgd_starts_without_momentum_whatever_lies_in_memory() -> None:
    """A first step that float16's scaler skips must leave zeros behind, and a real one the plain gradient."""
    model = torch.nn.Linear(3, 2)
    optimizer = build_optimizer(model, RECIPES["reference"])
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("inf"))
    optimizer.grad_scale, optimizer.found_inf = None, torch.ones(())  # type: ignore[attr-defined]  # as GradScaler does
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    del optimizer.grad_scale, optimizer.found_inf  # type: ignore[attr-defined]
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert all((state["momentum_buffer"] == 0).all() for state in optimizer.state.values())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for state in optimizer.state.values():  # weight decay adds a little
        torch.testing.assert_close(
            state["momentum_buffer"], torch.ones_like(state["momentum_buffer"]), rtol=0.01, atol=0
        )
