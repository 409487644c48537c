"""The schedules against both releases' rules in words."""

import math

import pytest

from yolo_edu.recipe import RECIPES, Recipe, rates, size_at


def test_the_reference_recipe_is_r7s() -> None:
    """numerics.md, training defaults, column R7."""
    r = RECIPES["reference"]
    assert (r.lr, r.momentum, r.weight_decay, r.final_lr, r.schedule) == (0.01, 0.937, 5e-4, 0.01, "linear")
    assert (r.warmup_epochs, r.warmup_iterations, r.warmup_bias_lr, r.warmup_momentum) == (3, 100, 0.1, 0.8)
    assert (r.ema_decay, r.ema_ramp, r.clip_norm, r.nominal_batch) == (0.9999, 2000, 10, 64)
    a = r.augment
    assert (a.hue, a.saturation, a.value, a.translate, a.scale, a.flip) == (0.015, 0.7, 0.4, 0.1, 0.5, 0.5)
    assert (a.degrees, a.shear, a.mosaic) == (0, 0, 1)


def test_warm_up() -> None:
    recipe = Recipe(epochs=10)
    start = rates(recipe, 0, 100)
    assert start == (0.1, 0.0, 0.8, 1)
    middle = rates(recipe, 150, 100)  # half of 3 epochs; epoch 1 of 10
    lr = 0.01 * (0.9 * 0.99 + 0.01)
    assert middle.lr == pytest.approx(lr / 2)
    assert middle.bias_lr == pytest.approx((0.1 + lr) / 2)
    assert middle.momentum == pytest.approx((0.8 + 0.937) / 2)
    assert middle.accumulate == round(1 + 0.5 * 3)
    after = rates(recipe, 301, 100)
    assert after.bias_lr == after.lr
    assert after.momentum == 0.937
    assert after.accumulate == 4


def test_warm_up_has_a_least_length() -> None:
    assert rates(Recipe(epochs=100), 50, 10).lr < rates(Recipe(epochs=100), 90, 10).lr
    assert rates(Recipe(epochs=100), 99, 10).momentum < 0.937


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_decay(schedule: str) -> None:
    recipe = Recipe(epochs=50, schedule=schedule)  # type: ignore[arg-type]
    for epoch in range(11, 50):
        share = 1 - epoch / 50 if schedule == "linear" else (1 + math.cos(math.pi * epoch / 50)) / 2
        assert rates(recipe, epoch * 20, 20).lr == pytest.approx(0.01 * (share * 0.99 + 0.01))


def test_pictures_grow() -> None:
    recipe = Recipe(epochs=10, image_size=256, growth=((0.3, 0.5), (0.6, 0.7)))
    assert [size_at(recipe, epoch) for epoch in range(10)] == [128] * 3 + [192] * 3 + [256] * 4  # 179 → 192
    assert size_at(Recipe(epochs=10, image_size=64, growth=((1.0, 0.1),)), 0) == 32  # never below the stride
    assert {size_at(Recipe(), epoch) for epoch in range(300)} == {640}


def test_the_short_recipe_steps_every_batch() -> None:
    short = RECIPES["short"]
    assert {rates(short, iteration, 27).accumulate for iteration in range(0, 27 * short.epochs, 20)} == {1}
    assert size_at(short, short.epochs - 1) == short.image_size
