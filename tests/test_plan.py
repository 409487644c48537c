"""Plans: every draw has the distribution that release R7 states."""

import math

import pytest
import torch
from test_warp import random_pool

from yolo_edu.augment import AugmentSettings, draw_plan, random_affine, random_gains, render

SIZE = 32


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_both_scenes_of_an_image_are_flipped_together() -> None:
    matrices = draw_plan(range(50), 50, AugmentSettings(mixup=1), SIZE, generator(0)).matrices
    signs = matrices[..., 0, 0].sign()
    assert torch.equal(signs[:, 0], signs[:, 1])
    assert set(signs.flatten().tolist()) == {-1, 1}


def test_the_warps_have_the_stated_distribution() -> None:
    matrices = random_affine(4000, AugmentSettings(), generator(0))
    zoom = torch.linalg.det(matrices[:, :, :2]).sqrt()
    assert 0.5 <= zoom.min() < 0.51
    assert 1.49 < zoom.max() <= 1.5
    assert abs(zoom.mean() - 1) < 0.02
    assert 0.099 < matrices[:, :, 2].abs().max() <= 0.1
    assert (matrices[:, [0, 1], [1, 0]] == 0).all()  # neither rotated nor sheared
    gains = random_gains(4000, AugmentSettings(), generator(0))
    assert (gains - 1).abs().amax(0).tolist() == pytest.approx([0.015, 0.7, 0.4], abs=0.01)


def test_rotation_and_shear_are_angles() -> None:
    turned = random_affine(2000, AugmentSettings(degrees=30, scale=0), generator(0))[:, :, :2]
    torch.testing.assert_close(turned @ turned.mT, torch.eye(2).expand(2000, 2, 2), atol=1e-5, rtol=0)
    angle = torch.atan2(turned[:, 0, 1], turned[:, 0, 0]).rad2deg()
    assert -30 <= angle.min() < -29.5
    assert 29.5 < angle.max() <= 30
    leaning = random_affine(2000, AugmentSettings(shear=10, scale=0), generator(0))[:, :, :2]
    assert (leaning[:, [0, 1], [0, 1]] == 1).all()
    for slope in (leaning[:, 0, 1], leaning[:, 1, 0]):
        assert 9.8 < torch.atan(slope).abs().max().rad2deg() <= 10.001
    assert abs(torch.corrcoef(leaning[:, [0, 1], [1, 0]].T)[0, 1]) < 0.07


def test_shear_comes_after_rotation() -> None:
    """(1, a) and (b, 1), turned, keep their lengths, at least 1; what is turned after the shear does not."""
    linear = random_affine(2000, AugmentSettings(degrees=90, shear=20, scale=0), generator(0))[:, :, :2]
    assert linear.square().sum(2).min() > 1 - 1e-5
    assert linear.square().sum(1).min() < 0.9


def test_the_two_scenes_of_an_image_are_independent() -> None:
    plan = draw_plan([0] * 4000, 50, AugmentSettings(mixup=1), SIZE, generator(0))
    for numbers in (plan.members[:, :, 1], plan.centers[..., 0], plan.centers[..., 1], plan.matrices[..., 1, 1]):
        assert torch.corrcoef(numbers.T.float())[0, 1].abs() < 0.06
    assert torch.corrcoef(plan.centers[:, 0].T.float())[0, 1].abs() < 0.06


def test_mosaics_have_the_stated_distribution() -> None:
    plan = draw_plan([7] * 8000, 10, AugmentSettings(mosaic=0.75), 64, generator(0))
    first = plan.members[:, 0]
    alone = first[:, 1] < 0
    assert abs(alone.float().mean() - 0.25) < 0.02
    assert (first[alone] == torch.tensor([7, -1, -1, -1])).all()
    mosaics = first[~alone]
    assert (mosaics == 7).any(dim=1).all()  # the image itself, in any of the four places
    # besides its one fixed place each place holds any sample: 1/4 + 3/4 · 1/10
    share = (mosaics == 7).float().mean(dim=0)
    torch.testing.assert_close(share, torch.full((4,), 0.325), atol=0.03, rtol=0)
    others = mosaics[mosaics != 7].bincount(minlength=10) / mosaics.numel()
    torch.testing.assert_close(others[others > 0], torch.full((9,), 0.075), atol=0.01, rtol=0)
    assert (plan.members[:, 1] == -1).all()
    assert plan.centers.min() == 32
    assert plan.centers.max() == 95
    assert (plan.centers.float().mean((0, 1)) - 63.5).abs().max() < 1


def test_mixing_has_the_stated_distribution() -> None:
    settings = AugmentSettings(mosaic=0.8, mixup=0.3, cutmix=0.5)
    plan = draw_plan([0] * 20000, 10, settings, 64, generator(0))
    alone, second = plan.members[:, 0, 1] < 0, plan.members[:, 1, 0] >= 0
    mixed_up, cut_out = plan.share < 1, plan.cut.any(dim=1)
    assert not (mixed_up & alone).any()  # R7 mixes mosaics only
    assert torch.equal(second, mixed_up | cut_out)
    assert not (mixed_up & cut_out).any()
    assert abs(mixed_up[~alone].float().mean() - 0.3) < 0.02
    assert abs(cut_out.float().mean() - 0.5) < 0.02
    assert torch.equal(plan.members[second, 1, 1] < 0, alone[second])  # one photo joins one, a mosaic a mosaic
    # Beta(32, 32): mean 1/2, variance 1/(4 · 65)
    shares = plan.share[mixed_up]
    assert abs(shares.mean() - 0.5) < 0.004
    assert shares.var() == pytest.approx(1 / 260, rel=0.1)
    width, height = (plan.cut[cut_out, 2:] - plan.cut[cut_out, :2]).unbind(1)
    assert plan.cut.min() >= 0
    assert plan.cut.max() <= 1
    # Side r = √u of a uniform area u, middle uniform: the border leaves r − r²/4 on average, 2/3 − 1/8 over all u.
    for side in (width, height):
        assert side.mean().item() == pytest.approx(13 / 24, abs=0.01)
    assert plan.cut[cut_out].view(-1, 2, 2).mean((0, 1)).tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    inner = (plan.cut[cut_out] > 0).all(1) & (plan.cut[cut_out] < 1).all(1)
    torch.testing.assert_close(width[inner], height[inner])  # a square, unless the border trims it


def test_the_middle_of_63_uniform_numbers_is_beta_32_32() -> None:
    """Kolmogorov and Smirnov's test against the distribution function, a sum of binomial terms."""
    count = 50_000
    shares = draw_plan([0] * count, 1, AugmentSettings(mixup=1), 32, generator(1)).share.double().sort().values
    k = torch.arange(32, 64, dtype=torch.float64)
    binomial = torch.tensor([math.comb(63, n) for n in range(32, 64)], dtype=torch.float64)
    function = (binomial * shares[:, None] ** k * (1 - shares[:, None]) ** (63 - k)).sum(1)
    steps = torch.arange(count + 1) / count
    distance = torch.maximum((function - steps[:-1]).abs().max(), (steps[1:] - function).abs().max())
    assert distance < 1.63 / math.sqrt(count)  # exceeded by one in a hundred
    assert shares.var().item() == pytest.approx(1 / 260, rel=0.015)


def test_release_1_is_stricter() -> None:
    r1 = AugmentSettings.r1()
    assert (r1.translate, r1.scale, r1.min_side, r1.min_area, r1.max_aspect) == (0, 0.5, 4, 0.2, 10)
    assert (r1.hue, r1.saturation, r1.value) == (0.014, 0.68, 0.36)
    pool, plan = random_pool(9, 64, 0), draw_plan(range(9), 9, r1, 64, generator(0))
    assert len(render(plan, pool, r1).targets) < len(render(plan, pool, AugmentSettings()).targets)
