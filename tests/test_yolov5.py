"""Release R1, the article's network: counts, names, golden numbers, and what it promises as a module."""

import re

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from networks import count, shake_norms
from torch import Tensor, nn

from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import article
from yolo_edu.model import YOLOv5
from yolo_edu.model.blocks import BottleneckCSP, Conv

TINY = (0.33, 0.125)


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN / "forward_v1.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture
def tiny() -> YOLOv5:
    torch.manual_seed(0)
    model = YOLOv5(TINY, 5)
    shake_norms(model)
    return model.eval()


# --- the table ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "parameters", "tensors"),
    [("s", 7_468_157, 191), ("m", 21_805_053, 263), ("l", 47_818_749, 335), ("x", 88_965_245, 407)],
)
def test_parameter_counts(size: str, parameters: int, tensors: int) -> None:
    with torch.device("meta"):
        model = YOLOv5(size, 80)
    assert count(model) == parameters
    assert len(list(model.parameters())) == tensors


def test_names_and_shapes_of_the_article() -> None:
    """All 191 rows: order, name, gradient flag, count (six digits, as printed), shape."""
    rows = (article.FOLDER / "yolov5s_parameter_table.txt").read_text().splitlines()[1:]
    pattern = re.compile(r"\s*(\d+)\s+(\S+)\s+(True|False)\s+(\S+)\s+\[([\d, ]+)\]")
    printed = []
    for row in rows:
        match = pattern.match(row)
        assert match is not None, row
        index, name, gradient, numbers, shape = match.groups()
        printed.append((int(index), name, gradient == "True", numbers, [*map(int, shape.split(","))]))
    with torch.device("meta"):
        named = list(YOLOv5("s", 80).named_parameters())
    ours = [(i, n, p.requires_grad, f"{p.numel():g}", list(p.shape)) for i, (n, p) in enumerate(named)]
    assert len(printed) == 191
    assert ours == printed


def test_batchnorm_settings() -> None:
    with torch.device("meta"):
        standard, as_printed = YOLOv5(TINY, 5), YOLOv5(TINY, 5, bn_eps=1e-5, bn_momentum=0.1)
    for model, expected in ((standard, (1e-4, 0.03)), (as_printed, (1e-5, 0.1))):
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        assert {(m.eps, m.momentum) for m in norms} == {expected}


# --- golden numbers -------------------------------------------------------------------------------------


def levels_reordered(decoded: Tensor) -> Tensor:
    """The golden rows list P5, P4, P3 of a 128 × 160 image; ours P3, P4, P5."""
    p5, p4, p3 = decoded.split([3 * 4 * 5, 3 * 8 * 10, 3 * 16 * 20], dim=1)
    return torch.cat([p3, p4, p5], dim=1)


def test_golden_forward(golden: dict[str, Tensor]) -> None:
    model = load_checkpoint(GOLDEN / "ckpt_v1.pt")
    assert isinstance(model, YOLOv5)
    with torch.no_grad():
        raw = model(golden["images"])
        decoded = model.decode(raw)
        fused = model.fuse()
        decoded_fused = fused.decode(fused(golden["images"]))
    for name, x in zip(("raw_p3", "raw_p4", "raw_p5"), raw, strict=True):
        torch.testing.assert_close(x, golden[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoded, levels_reordered(golden["decoded"]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoded_fused, levels_reordered(golden["decoded_fused"]), rtol=1e-4, atol=1e-5)


# --- as a module ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96), (160, 64)])
def test_shapes(tiny: YOLOv5, height: int, width: int) -> None:
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


def test_a_batch_is_its_images(tiny: YOLOv5) -> None:
    images = torch.rand(3, 3, 64, 96)
    with torch.no_grad():
        together = tiny.decode(tiny(images))
        alone = [tiny.decode(tiny(image[None])) for image in images]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_one_return_type_in_both_modes(tiny: YOLOv5) -> None:
    images = torch.rand(2, 3, 64, 64)
    before = images.clone()
    trained, evaluated = tiny.train()(images), tiny.eval()(images)
    for raw in (trained, evaluated):
        assert isinstance(raw, list)
        assert len(raw) == 3
    assert [x.shape for x in trained] == [x.shape for x in evaluated]
    assert torch.equal(images, before)


def test_gradient_reaches_every_parameter(tiny: YOLOv5) -> None:
    raw = tiny.train()(torch.rand(2, 3, 64, 64))
    sum(x.square().sum() for x in raw).backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.count_nonzero() > 0, name


def test_fusing_copies(tiny: YOLOv5) -> None:
    tiny.train()
    before = {name: x.clone() for name, x in tiny.state_dict().items()}
    fused = tiny.fuse()
    assert type(fused) is YOLOv5
    assert not fused.training
    assert tiny.training
    after = tiny.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], x) for name, x in before.items())
    # every Conv has folded its own; what is left are the joints of the CSP stages
    left = [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(left) == sum(isinstance(m, BottleneckCSP) for m in tiny.modules())
    assert all(isinstance(m.bn, nn.Identity) for m in fused.modules() if isinstance(m, Conv))
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        for mine, theirs in zip(fused(images), tiny.eval()(images), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_the_walk_follows_the_table(tiny: YOLOv5) -> None:
    """Run the rows as a table says, each from its list of sources, and compare: no row skipped or crossed."""
    sources = {12: (11, 6), 16: (15, 4), 19: (17,), 20: (19, 14), 23: (21,), 24: (23, 10), 27: (18, 22, 26)}
    images = torch.rand(1, 3, 64, 64)
    outputs: dict[int, Tensor | list[Tensor]] = {-1: images}
    with torch.no_grad():
        for i, row in enumerate(tiny.model):
            inputs = [outputs[j] for j in sources.get(i, (i - 1,))]
            outputs[i] = row(inputs if i in (12, 16, 20, 24, 27) else inputs[0])
        for mine, theirs in zip(tiny(images), outputs[27], strict=True):
            assert torch.equal(mine, theirs)
