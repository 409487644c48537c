"""The head's arithmetic against a loop that decodes one box at a time; sizes, biases, layouts."""

import math

import pytest
import torch
from torch import Tensor, nn

from yolo_edu.model import SIZES, YOLOv5, YOLOv5v6
from yolo_edu.model.detect import ANCHORS, STRIDES, Detect, Scale, decode_box, initialize_biases


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def random_raw(classes: int, anchors: int = 3, batch: int = 2, grid: tuple[int, int] = (2, 3)) -> list[Tensor]:
    """Raw maps of an image of 32 · grid pixels."""
    torch.manual_seed(classes)
    return [torch.randn(batch, anchors, grid[0] * 32 // s, grid[1] * 32 // s, 5 + classes) * 3 for s in STRIDES]


# --- decoding -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("per_level", [3, 2])
def test_decode_one_box_at_a_time(classes: int, per_level: int) -> None:
    anchors = [level[:per_level] for level in ANCHORS]
    raw = random_raw(classes, per_level)
    rows = []
    for image in range(2):
        for level, stride in enumerate(STRIDES):
            _, _, h, w, _ = raw[level].shape
            for a in range(per_level):
                for row in range(h):
                    for column in range(w):
                        x, y, bw, bh, *scores = raw[level][image, a, row, column].tolist()
                        rows.append(
                            [
                                (2 * sigmoid(x) - 0.5 + column) * stride,
                                (2 * sigmoid(y) - 0.5 + row) * stride,
                                (2 * sigmoid(bw)) ** 2 * anchors[level][a][0],
                                (2 * sigmoid(bh)) ** 2 * anchors[level][a][1],
                                *map(sigmoid, scores),
                            ]
                        )
    expected = torch.tensor(rows).view(2, -1, 5 + classes)
    before = [x.clone() for x in raw]
    decoded = Detect(classes, anchors=anchors).decode(raw)
    assert decoded.shape == (2, per_level * (8 * 12 + 4 * 6 + 2 * 3), 5 + classes)
    torch.testing.assert_close(decoded, expected, rtol=1e-5, atol=1e-4)
    assert all(torch.equal(x, y) for x, y in zip(raw, before, strict=True))


def test_zero_logits_are_the_anchor_in_the_middle_of_the_cell() -> None:
    detect = Detect(2)
    decoded = detect.decode([torch.zeros_like(x) for x in random_raw(2, batch=1)])
    first = decoded[0, 0].tolist()
    assert first == pytest.approx([4, 4, 10, 13, 0.5, 0.5, 0.5])
    last = decoded[0, -1].tolist()  # P5, third anchor, bottom right cell of 2 × 3
    assert last == pytest.approx([80, 48, 373, 326, 0.5, 0.5, 0.5])


def test_decode_box_range() -> None:
    """The center may leave its cell by half a cell; the size stays between nothing and four anchors."""
    logits = torch.tensor([[-50.0] * 4, [0.0] * 4, [50.0] * 4])
    boxes = decode_box(logits, torch.tensor([2.0, 3.0]))
    expected = [[-0.5, -0.5, 0, 0], [0.5, 0.5, 2, 3], [1.5, 1.5, 8, 12]]
    torch.testing.assert_close(boxes, torch.tensor(expected))


def test_decode_carries_the_gradient() -> None:
    raw = [x.requires_grad_() for x in random_raw(2)]
    Detect(2).decode(raw).sum().backward()
    assert all(x.grad is not None and (x.grad != 0).any() for x in raw)


def test_decode_no_images() -> None:
    assert Detect(2).decode(random_raw(2, batch=0)).shape == (0, 3 * (96 + 24 + 6), 7)


# --- Detect as a layer ----------------------------------------------------------------------------------


def test_layout_of_raw_maps() -> None:
    """Channel a · (5 + K) + o of a map is output o of anchor a."""
    detect = Detect(2)
    maps = [torch.randn(2, 21, 64 // s, 96 // s) for s in STRIDES]
    for x, raw in zip(maps, detect(maps), strict=True):
        b, _, h, w = x.shape
        assert raw.shape == (b, 3, h, w, 7)
        for a in range(3):
            for o in range(7):
                assert torch.equal(raw[:, a, :, :, o], x[:, a * 7 + o])


def test_own_convolutions() -> None:
    """R7's Detect convolves first; R1's does not own any."""
    torch.manual_seed(0)
    detect = Detect(2, [4, 6, 8])
    maps = [torch.randn(1, c, 64 // s, 96 // s) for c, s in zip((4, 6, 8), STRIDES, strict=True)]
    convolved = [conv(x) for conv, x in zip(detect.m, maps, strict=True)]
    for mine, theirs in zip(detect(maps), Detect(2)(convolved), strict=True):
        assert torch.equal(mine, theirs)
    assert [name for name, _ in detect.named_parameters()] == [
        f"m.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")
    ]
    assert list(Detect(2).parameters()) == []


def test_anchors_are_kept_in_cells() -> None:
    detect = Detect(2)
    assert list(detect.state_dict()) == ["anchors"]
    for level, stride in enumerate(STRIDES):
        expected = torch.tensor(ANCHORS[level]) / stride
        torch.testing.assert_close(detect.anchors[level], expected)


def test_a_missing_level_is_an_error() -> None:
    raw = random_raw(2)
    with pytest.raises(ValueError, match="zip"):
        Detect(2).decode(raw[:2])


# --- biases ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 5, 80])
@pytest.mark.parametrize("margin", [0.99, 0.99999])
def test_bias_values(classes: int, margin: float) -> None:
    convs = [nn.Conv2d(4, 3 * (5 + classes), 1) for _ in STRIDES]
    start = [conv.bias.detach().clone().view(3, -1) for conv in convs if conv.bias is not None]
    initialize_biases(convs, classes, class_margin=margin)
    for conv, bias, stride in zip(convs, start, STRIDES, strict=True):
        assert conv.bias is not None
        assert conv.bias.requires_grad
        added = conv.bias.detach().view(3, -1) - bias
        cells = (640 / stride) ** 2
        torch.testing.assert_close(added[:, :4], torch.zeros(3, 4))
        torch.testing.assert_close(added[:, 4], torch.full((3,), math.log(8 / cells)))
        expected = math.log(0.6 / (classes - margin))
        torch.testing.assert_close(added[:, 5:], torch.full((3, classes), expected), rtol=1e-4, atol=1e-4)


def test_biases_of_the_article() -> None:
    """The parameter table's rows of 255 detection biases, drawn again: mean and standard deviation."""
    torch.manual_seed(0)
    model = YOLOv5("s", 80)
    published = {18: (-4.67, 1.06), 22: (-4.66, 1.04), 26: (-4.64, 1.04)}
    for row, (mean, deviation) in published.items():
        bias = model.model[row].bias
        assert isinstance(bias, Tensor)
        assert bias.mean().item() == pytest.approx(mean, abs=0.03)
        assert bias.std().item() == pytest.approx(deviation, abs=0.03)


def test_an_untrained_detector_expects_few_objects() -> None:
    torch.manual_seed(0)
    model = YOLOv5v6("n", 5).eval()
    with torch.no_grad():
        raw = model(torch.rand(1, 3, 128, 128))
    for x, stride in zip(raw, STRIDES, strict=True):
        rate = 8 / (640 / stride) ** 2
        assert rate / 3 < x[..., 4].sigmoid().mean() < rate * 3


# --- sizes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "n", "expected"),
    [
        (0.33, 3, 1),
        (0.33, 9, 3),
        (0.33, 6, 2),
        (0.67, 3, 2),
        (0.67, 9, 6),
        (1.33, 3, 4),
        (1.33, 9, 12),
        (0.5, 3, 2),  # 1.5 → 2
        (0.5, 9, 4),  # 4.5 → 4: halves go to even
        (0.1, 3, 1),  # never none
        (3.0, 1, 1),  # one stays one
    ],
)
def test_repeats(depth: float, n: int, expected: int) -> None:
    assert Scale(depth, 1).repeats(n) == expected


@pytest.mark.parametrize(
    ("width", "c", "expected"),
    [(0.5, 64, 32), (0.75, 64, 48), (1.25, 1024, 1280), (0.25, 64, 16), (0.125, 64, 8), (0.3, 64, 24)],
)
def test_channels(width: float, c: int, expected: int) -> None:
    assert Scale(1, width).channels(c) == expected


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_settings(release: type[YOLOv5 | YOLOv5v6]) -> None:
    with torch.device("meta"):
        assert release("m", 3).scale == SIZES["m"] == (0.67, 0.75)
        assert release((0.33, 0.125), 3).scale == Scale(0.33, 0.125)
        assert release("n", 3).names == ("0", "1", "2")
        named = release("n", ["cat", "dog"])
    assert (named.names, named.classes) == (("cat", "dog"), 2)
    assert named.strides == (8, 16, 32)
    with pytest.raises(ValueError, match="'xl' is none of n, s, m, l, x"):
        release("xl")
    with pytest.raises(ValueError, match="at least one class"):
        release("n", 0)
    with pytest.raises(ValueError, match="at least one class"):
        release("n", [])


@pytest.mark.parametrize("release", [YOLOv5, YOLOv5v6])
def test_own_anchors(release: type[YOLOv5 | YOLOv5v6]) -> None:
    pixels = (torch.arange(12.0).view(3, 2, 2) + 5).tolist()  # two a level instead of three
    model = release("n", 3, anchors=pixels).eval()
    torch.testing.assert_close(model.anchors, torch.tensor(pixels))
    torch.testing.assert_close(YOLOv5("n", 3).anchors, torch.tensor(ANCHORS, dtype=torch.float32))
    with torch.no_grad():
        raw = model(torch.rand(1, 3, 64, 64))
    assert [x.shape for x in raw] == [(1, 2, 64 // s, 64 // s, 8) for s in STRIDES]
