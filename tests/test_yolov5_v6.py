"""Release R7, six releases after the article: counts, golden numbers, and what it promises as a module."""

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from networks import count, shake_norms
from torch import Tensor, nn

from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.model import YOLOv5v6

TINY = (0.33, 0.125)


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN / "forward_v7.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture
def tiny() -> YOLOv5v6:
    torch.manual_seed(0)
    model = YOLOv5v6(TINY, 5)
    shake_norms(model)
    return model.eval()


# --- the table ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "classes", "parameters", "tensors"),
    [
        ("n", 80, 1_872_157, 177),
        ("s", 80, 7_235_389, 177),
        ("m", 80, 21_190_557, 243),
        ("l", 80, 46_563_709, 309),
        ("x", 80, 86_749_405, 375),
        ("n", 5, 1_770_682, 177),
        ("s", 5, 7_033_114, 177),
        ("m", 5, 20_887_482, 243),
        ("l", 5, 46_159_834, 309),
        ("x", 5, 86_244_730, 375),
    ],
)
def test_parameter_counts(size: str, classes: int, parameters: int, tensors: int) -> None:
    with torch.device("meta"):
        model = YOLOv5v6(size, classes)
    assert count(model) == parameters
    assert len(list(model.parameters())) == tensors


def test_batchnorm_settings() -> None:
    with torch.device("meta"):
        standard, other = YOLOv5v6(TINY, 5), YOLOv5v6(TINY, 5, bn_eps=1e-5, bn_momentum=0.1)
    for model, expected in ((standard, (1e-3, 0.03)), (other, (1e-5, 0.1))):
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        assert {(m.eps, m.momentum) for m in norms} == {expected}


# --- golden numbers -------------------------------------------------------------------------------------


def test_golden_forward(golden: dict[str, Tensor]) -> None:
    model = load_checkpoint(GOLDEN / "ckpt_v7.pt")
    assert isinstance(model, YOLOv5v6)
    with torch.no_grad():
        raw = model(golden["images"])
        decoded = model.decode(raw)
        fused = model.fuse()
        decoded_fused = fused.decode(fused(golden["images"]))
    for name, x in zip(("raw_p3", "raw_p4", "raw_p5"), raw, strict=True):
        torch.testing.assert_close(x, golden[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoded, golden["decoded"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoded_fused, golden["decoded_fused"], rtol=1e-4, atol=1e-5)


# --- as a module ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96), (160, 64)])
def test_shapes(tiny: YOLOv5v6, height: int, width: int) -> None:
    images = torch.rand(2, 3, height, width)
    with torch.no_grad():
        maps = tiny.backbone(images)
        neck = tiny.neck(*maps)
        raw = tiny(images)
    grids = [(height // s, width // s) for s in (8, 16, 32)]
    # the neck's outputs have the shapes of its inputs
    for features in (maps, neck):
        assert [x.shape for x in features] == [(2, c, *grid) for c, grid in zip((32, 64, 128), grids, strict=True)]
    assert [x.shape for x in raw] == [(2, 3, *grid, 10) for grid in grids]
    assert tiny.decode(raw).shape == (2, sum(3 * h * w for h, w in grids), 10)


def test_a_batch_is_its_images(tiny: YOLOv5v6) -> None:
    images = torch.rand(3, 3, 64, 96)
    with torch.no_grad():
        together = tiny.decode(tiny(images))
        alone = [tiny.decode(tiny(image[None])) for image in images]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_one_return_type_in_both_modes(tiny: YOLOv5v6) -> None:
    images = torch.rand(2, 3, 64, 64)
    before = images.clone()
    trained, evaluated = tiny.train()(images), tiny.eval()(images)
    for raw in (trained, evaluated):
        assert isinstance(raw, list)
        assert len(raw) == 3
    assert [x.shape for x in trained] == [x.shape for x in evaluated]
    assert torch.equal(images, before)


def test_gradient_reaches_every_parameter(tiny: YOLOv5v6) -> None:
    raw = tiny.train()(torch.rand(2, 3, 64, 64))
    sum(x.square().sum() for x in raw).backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.count_nonzero() > 0, name


def test_fusing_copies(tiny: YOLOv5v6) -> None:
    tiny.train()
    before = {name: x.clone() for name, x in tiny.state_dict().items()}
    fused = tiny.fuse()
    assert type(fused) is YOLOv5v6
    assert not fused.training
    assert tiny.training
    after = tiny.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], x) for name, x in before.items())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        for mine, theirs in zip(fused(images), tiny.eval()(images), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_the_walk_follows_the_table(tiny: YOLOv5v6) -> None:
    """Run the rows as a table says, each from its list of sources, and compare: no row skipped or crossed."""
    sources = {12: (11, 6), 16: (15, 4), 19: (18, 14), 22: (21, 10), 24: (17, 20, 23)}
    images = torch.rand(1, 3, 64, 64)
    outputs: dict[int, Tensor | list[Tensor]] = {-1: images}
    with torch.no_grad():
        for i, row in enumerate(tiny.model):
            inputs = [outputs[j] for j in sources.get(i, (i - 1,))]
            outputs[i] = row(inputs if i in sources else inputs[0])
        for mine, theirs in zip(tiny(images), outputs[24], strict=True):
            assert torch.equal(mine, theirs)
