"""Helpers for tests that compare networks."""

import copy

import torch
from torch import Tensor, nn


def shake_norms(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every BatchNorm statistics and weights that are not 0 and 1, so that ignoring one is noticed."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            with torch.no_grad():
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
    return model


def count(model: nn.Module) -> int:
    """Numbers that training may change."""
    return sum(p.numel() for p in model.parameters())


def assert_leaves_input_alone(module: nn.Module, *inputs: Tensor) -> None:
    """A list of tensors goes in as the module's one argument; both modes, both with and without gradients."""
    argument = inputs[0] if len(inputs) == 1 else list(inputs)
    before = copy.deepcopy(argument)
    for training in (True, False):
        for gradients in (True, False):
            with torch.set_grad_enabled(gradients):
                module.train(training)(argument)
            torch.testing.assert_close(argument, before, rtol=0, atol=0)
