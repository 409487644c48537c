"""Views of an image and their undoing: what is marked in any of them must end at the same place."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import interpolate

from yolo_edu.data import Sample
from yolo_edu.errors import UserError
from yolo_edu.evaluate import detect
from yolo_edu.model import YOLOv5
from yolo_edu.tta import PADDING, VIEWS, Augmented, View, make_view, undo_view


class Knows:
    """A network that is told the truth in pixels of the image, and answers every view with where that lies in it."""

    names, classes, strides, device = ("a", "b"), 2, (8, 16, 32), torch.device("cpu")

    def __init__(self, boxes: Tensor, width: int, height: int) -> None:
        self.boxes, self.width, self.height = boxes, width, height
        self.seen: list[tuple[int, ...]] = []

    def rows(self, images: Tensor) -> Tensor:
        view = VIEWS[len(self.seen)]
        self.seen.append(tuple(images.shape))
        rows = []
        for x, y, w, h in self.boxes.tolist():
            if view.mirrored:
                x = self.width - x
            across = math.floor(self.width * view.scale) / self.width
            down = math.floor(self.height * view.scale) / self.height
            rows.append([x * across, y * down, w * across, h * down, 0.9, 0.2, 0.8])
        return torch.tensor([rows] * len(images), dtype=torch.float64)


@given(
    width=st.integers(1, 12).map(lambda n: 32 * n),
    height=st.integers(1, 12).map(lambda n: 32 * n),
    share=st.tuples(*[st.floats(0.01, 1)] * 4),
)
def test_undoing_is_exact(width: int, height: int, share: tuple[float, ...]) -> None:
    box = torch.tensor([share], dtype=torch.float64) * torch.tensor([width, height, width, height])
    network = Knows(box, width, height)
    rows = Augmented(network).rows(torch.empty(2, 3, height, width))  # type: ignore[arg-type]
    assert rows.shape == (2, 3, 7)
    for row in rows.flatten(0, 1):
        torch.testing.assert_close(row[:4], box[0], rtol=1e-12, atol=1e-9)
        assert row[4:].tolist() == pytest.approx([0.9, 0.2, 0.8])
    for shape, view in zip(network.seen, VIEWS, strict=True):
        for side, full in zip(shape[2:], (height, width), strict=True):
            assert side % 32 == 0
            assert full * view.scale <= side < full * view.scale + 32


def test_views_by_hand() -> None:
    """Slowly and obviously: mirror, shrink, put into the corner of a gray canvas."""
    images = torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    assert torch.equal(make_view(images, View(1.0, False), 32), images)
    mirrored = torch.from_numpy(np.ascontiguousarray(images.numpy()[..., ::-1]))
    assert torch.equal(make_view(images, View(1.0, True), 32), mirrored)
    for view, source, size, canvas in (
        (VIEWS[1], mirrored, (79, 132), (96, 160)),  # 79.68, 132.8
        (VIEWS[2], images, (64, 107), (96, 128)),  # 64.32, 107.2: the releases round the unrounded side up
    ):
        seen = make_view(images, view, 32)
        assert seen.shape == (2, 3, *canvas)
        inside = seen[..., : size[0], : size[1]]
        assert torch.equal(inside, interpolate(source, size=size, mode="bilinear", align_corners=False))
        assert (seen[..., size[0] :, :] == PADDING).all()
        assert (seen[..., size[1] :] == PADDING).all()


class ColorFinder(nn.Module):
    """Marks the extent of what is red, to the pixel it sees."""

    names, classes, strides, device = ("red",), 1, (8, 16, 32), torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def rows(self, images: Tensor) -> Tensor:
        self.modes.append(self.training)
        rows = torch.zeros(len(images), 1, 6)
        for row, image in zip(rows, images, strict=True):
            y, x = ((image[0] > 0.7) & (image[1] < 0.5)).nonzero(as_tuple=True)
            low, high = torch.stack([x.min(), y.min()]), torch.stack([x.max(), y.max()]) + 1
            row[0, :4] = torch.cat([(low + high) / 2, high - low])
            row[0, 4:] = 0.9
        return rows


def test_what_is_seen_in_every_view_lies_at_one_place() -> None:
    """With real pixels: mirror, resizing and padding move the object as their undoing supposes."""
    image = torch.full((3, 200, 300), 128, dtype=torch.uint8)
    image[:, 40:140, 30:110] = torch.tensor([250, 10, 10], dtype=torch.uint8)[:, None, None]
    network = ColorFinder()
    model = Augmented(network)
    (found,) = detect(model, [image], size=320, iou=1.0)
    assert len(found.boxes) == 3
    for box in found.boxes:
        assert box.tolist() == pytest.approx([30, 40, 110, 140], abs=1.5)  # pixels of the smallest view are 1.4 wide
    assert len(detect(model, [image], size=320)[0].boxes) == 1  # suppression leaves one
    assert network.modes == [False] * 6
    assert network.training  # as it was before


def test_undo_leaves_its_input_alone() -> None:
    rows = torch.rand(1, 4, 7)
    before = rows.clone()
    undo_view(rows, View(0.83, True), 64, 64)
    assert torch.equal(rows, before)


def test_a_real_network() -> None:
    """Its first rows are those without augmentation; the others are as many as the views are large."""
    torch.manual_seed(0)
    model = YOLOv5((0.33, 0.125), 3).eval()
    images = torch.rand(2, 3, 128, 96)
    with torch.inference_mode():
        plain, rows = model.rows(images), Augmented(model).rows(images)
    count = lambda height, width: 63 * (height // 32) * (width // 32)  # noqa: E731
    assert plain.shape[1] == count(128, 96)
    assert rows.shape == (2, count(128, 96) + count(128, 96) + count(96, 96), 8)
    assert torch.equal(rows[:, : plain.shape[1]], plain)


def test_a_network_of_one_size_refuses() -> None:
    class Fixed(ColorFinder):
        def rows(self, images: Tensor) -> Tensor:
            if images.shape[2:] != (320, 320):
                raise UserError("only 320 pixels.")
            return super().rows(images)

    sample = Sample(torch.full((3, 320, 320), 255, dtype=torch.uint8), torch.empty(0, 4), torch.empty(0))
    sample.image[1] = 0
    with pytest.raises(UserError, match=r"test-time augmentation .* 320 × 320, 288 × 288, 224 × 224 .* only 320"):
        detect(Augmented(Fixed()), [sample.image], size=320)
    assert len(detect(Augmented(Fixed(), [View(1.0, False)]), [sample.image], size=320)[0].boxes) == 1
