"""The garden: deterministic, exact boxes, nothing visible without a label, color that says nothing."""

from collections import Counter
from dataclasses import FrozenInstanceError
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_edu import garden
from yolo_edu.data import read_image, read_labels, read_spec
from yolo_edu.errors import UserError
from yolo_edu.files import label_path
from yolo_edu.garden import LEVELS, MIN_PIXELS, NAMES, extent, scene, write
from yolo_edu.garden_paint import Canvas, cast_shadow, pose, rasterize, shade
from yolo_edu.garden_pen import Drawing, Palette, ellipse, palette, path, ribbon, smooth, turned
from yolo_edu.garden_shapes import CLASSES, DISTRACTORS
from yolo_edu.lint import lint

# The default anchors in pixels, P3 P4 P5 (numerics of the detector).
ANCHORS = np.array(
    [
        [[10, 13], [16, 30], [33, 23]],
        [[30, 61], [62, 45], [59, 119]],
        [[116, 90], [156, 198], [373, 326]],
    ]
)


def equal(a, b):
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def slow_extent(mask):
    """The box of a mask by looking at every pixel."""
    pixels = [(x, y) for y, row in enumerate(mask.tolist()) for x, true in enumerate(row) if true]
    xs, ys = [x for x, _ in pixels], [y for _, y in pixels]
    return [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


# --- the scene -----------------------------------------------------------------------------------


def test_names_and_levels():
    assert NAMES == ("butterfly", "flower", "mushroom", "beetle", "snail")
    assert set(LEVELS) >= {"easy", "normal"}
    with pytest.raises(FrozenInstanceError):
        LEVELS["easy"].objects = 3  # type: ignore[misc]


@pytest.mark.parametrize("level", LEVELS)
def test_a_scene_depends_on_seed_and_index_alone(level):
    first = scene(3, 7, 128, level=level)
    np.random.seed(0)  # noqa: NPY002  a global generator must not matter
    scene(3, 8, 128, level=level)
    garden_again = scene(3, 7, 128, level=level)
    assert equal(first, garden_again)
    images = [scene(s, i, 128, level=level).image for s, i in ((3, 7), (7, 3), (3, 8), (4, 7))]
    assert all(not np.array_equal(images[i], images[j]) for i in range(4) for j in range(i))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    index=st.integers(0, 10**6),
    level=st.sampled_from(sorted(LEVELS)),
    size=st.integers(64, 200),
)
def test_boxes_are_the_exact_extent_of_what_is_visible(seed, index, level, size):
    image, boxes, labels, identity = scene(seed, index, size, level=level)
    assert (image.shape, image.dtype) == ((size, size, 3), np.uint8)
    assert (boxes.shape, boxes.dtype) == ((len(labels), 4), np.float32)
    assert (labels.dtype, identity.dtype, identity.shape) == (np.int64, np.int16, (size, size))
    assert len(labels) <= LEVELS[level].objects
    assert set(np.unique(identity)) - {0} == set(range(1, len(labels) + 1))
    for k, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        assert box.tolist() == slow_extent(identity == k + 1)
        assert 0 <= label < len(NAMES)


def test_extent_of_a_single_pixel_and_of_a_full_mask():
    mask = np.zeros((4, 6), bool)
    mask[2, 5] = True
    assert extent(mask) == (5, 2, 6, 3)
    assert extent(np.ones((4, 6), bool)) == (0, 0, 6, 4)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("index", range(5))
def test_every_pixel_of_an_object_belongs_to_a_labeled_one(monkeypatch, level, index):
    """Paint one drawn object white and all the rest black, without light: what is white is that object.

    Either it is nowhere at all in the picture, or it is the next labeled one, and the identity map has it
    exactly where it makes up more than half of the pixel.
    """
    seed, size = 11, 96
    truth = scene(seed, index, size, level=level)
    target, drawn = 0, 0

    def recolored(draw, is_object):
        def draw_flat(rng, colors):
            nonlocal drawn
            drawn += is_object
            white = 255.0 if is_object and drawn == target else 0.0
            return Drawing(p._replace(color=np.full(3, white)) for p in draw(rng, colors))

        return draw_flat

    def unlit(rng, sprite, light, diameter):
        shade(rng, sprite, light, diameter)  # takes its random numbers, so that the scene stays the same
        return sprite._replace(color=np.minimum(sprite.color, 255 * sprite.alpha[..., None]))

    monkeypatch.setattr(garden, "CLASSES", {k: recolored(v, True) for k, v in CLASSES.items()})
    monkeypatch.setattr(garden, "DISTRACTORS", [recolored(v, False) for v in DISTRACTORS])
    monkeypatch.setattr(garden, "shade", unlit)
    monkeypatch.setattr(garden, "cast_shadow", lambda sprite, *_: np.zeros_like(sprite.alpha))
    monkeypatch.setattr(garden, "lay_ground", lambda *_: np.zeros((size, size, 3), np.float32))
    monkeypatch.setattr(garden, "photograph", lambda _, color: color)

    scene(seed, index, size, level=level)
    objects, labeled = drawn, 0
    for target in range(1, objects + 1):  # noqa: B007  read by draw_flat
        drawn = 0
        weight = scene(seed, index, size, level=level).image[..., 0] / 255
        if weight.max() == 0:
            continue
        labeled += 1
        sure = np.abs(weight - 0.5) > 1e-4  # a rounding error away from half it may go either way
        assert np.array_equal((weight > 0.5)[sure], (truth.identity == labeled)[sure])
    assert labeled == len(truth.labels)


@pytest.mark.parametrize("level", LEVELS)
def test_labeled_objects_show_enough_of_themselves(monkeypatch, level):
    silhouettes = {}

    class Noting(Canvas):
        def put(self, sprite, x, y, shadow, number):
            silhouettes[number] = int((sprite.alpha > 0.5).sum())
            super().put(sprite, x, y, shadow, number)

    monkeypatch.setattr(garden, "Canvas", Noting)
    shown = []
    for index in range(40):
        truth = scene(5, index, 128, level=level)
        for k in range(len(truth.labels)):
            visible = int((truth.identity == k + 1).sum())
            assert visible >= MIN_PIXELS
            shown.append(visible / silhouettes[k + 1])
    assert min(shown) >= LEVELS[level].min_visible
    assert max(shown) == 1
    assert np.mean(np.array(shown) < 0.99) > 0.1  # occlusion and the frame do hide parts


def test_crowding_leaves_objects_out(monkeypatch):
    """With no place good enough, nothing is placed: the rule that the tests above rely on is at work."""
    monkeypatch.setitem(garden.LEVELS, "hidden", garden.Level(0.3, 0.5, 6, 1, 0.5, min_visible=1.01))
    truth = scene(0, 1, 96, level="hidden")
    assert len(truth.boxes) == len(truth.labels) == 0
    assert truth.boxes.shape == (0, 4)
    assert not truth.identity.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "hard"}, "hard.*easy.*normal"),
        ({"seed": -1}, "seed -1"),
        ({"index": -1}, "index -1"),
        ({"size": 63}, "size 63"),
    ],
)
def test_scene_refuses_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        scene(**{"seed": 0, "index": 0, "size": 64, "level": "easy"} | arguments)


# --- the laws of the set -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd():
    """Every object of 80 scenes a level at 320 pixels: level -> (boxes, labels, mean colors)."""
    result = {}
    for level in LEVELS:
        boxes, labels, colors = [], [], []
        for index in range(80):
            truth = scene(42, index, 320, level=level)
            boxes.append(truth.boxes)
            labels.append(truth.labels)
            colors += [truth.image[truth.identity == k + 1].mean(0) for k in range(len(truth.labels))]
        result[level] = np.concatenate(boxes), np.concatenate(labels), np.array(colors)
    return result


@pytest.mark.parametrize("level", LEVELS)
def test_sizes_cover_p3_to_p5(crowd, level):
    boxes = crowd[level][0]
    sides = boxes[:, 2:] - boxes[:, :2]
    ratio = sides[:, None, None] / ANCHORS
    worst = np.maximum(ratio, 1 / ratio).max(-1)  # the criterion of the anchor matching
    pyramid = worst.min(-1).argmin(-1)
    shares = np.bincount(pyramid, minlength=3) / len(pyramid)
    assert shares.min() > 0.12, shares
    assert sides.max() <= 320 * LEVELS[level].largest + 2


@pytest.mark.parametrize("level", LEVELS)
def test_diameters_are_log_uniform_and_classes_balanced(level):
    rules = LEVELS[level]
    rng = np.random.default_rng(0)
    things = [t for _ in range(1000) for t in garden.cast(rng, 320, rules) if t.label >= 0]
    place = np.log([t.diameter / 320 / rules.smallest for t in things]) / np.log(rules.largest / rules.smallest)
    assert place.min() >= 0
    assert place.max() <= 1
    quantiles = np.quantile(place, np.linspace(0.1, 0.9, 9))
    assert np.abs(quantiles - np.linspace(0.1, 0.9, 9)).max() < 0.03
    counts = np.bincount([t.label for t in things], minlength=len(NAMES))
    expected = len(things) / len(NAMES)
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees, p = 0.001


@pytest.mark.parametrize("level", LEVELS)
def test_classes_stay_balanced_in_the_pictures(crowd, level):
    counts = np.bincount(crowd[level][1], minlength=len(NAMES))
    assert counts.min() > 0.6 * counts.mean()
    assert counts.max() < 1.5 * counts.mean()


def best_accuracy(colors, labels):
    """How often a linear discriminant, trained on one half, tells the class of the other from its color."""
    half = len(labels) // 2
    means = np.stack([colors[:half][labels[:half] == k].mean(0) for k in range(len(NAMES))])
    scatter = np.cov((colors[:half] - means[labels[:half]]).T)
    rest = colors[half:, None] - means
    distance = np.einsum("nki,ij,nkj->nk", rest, np.linalg.inv(scatter), rest)
    return np.mean(distance.argmin(1) == labels[half:])


def test_color_does_not_tell_the_class(crowd):
    colors = np.concatenate([crowd[level][2] for level in LEVELS])
    labels = np.concatenate([crowd[level][1] for level in LEVELS])
    assert best_accuracy(colors, labels) < 0.30  # chance: 0.20
    # The check can fail: a tint of 40 of 255 a class, and it does.
    tints = 40 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    assert best_accuracy(colors + tints[labels], labels) > 0.40


@pytest.mark.parametrize("draw", [*CLASSES.values(), *DISTRACTORS])
def test_no_drawing_has_a_color_of_its_own(draw):
    """Every color is a mixture of the three of the palette, darkened at most; form ignores the palette."""
    basis = Palette(*(255 * np.eye(3)))
    for seed in range(20):
        mixed = draw(np.random.default_rng(seed), basis)
        shares = np.array([p.color for p in mixed]) / 255
        assert shares.min() >= 0
        assert shares.sum(1).max() <= 1 + 1e-9
        black = draw(np.random.default_rng(seed), Palette(*np.zeros((3, 3))))
        assert not np.any([p.color for p in black])
        assert all(np.array_equal(p.points, q.points) for p, q in zip(mixed, black, strict=True))


def test_the_three_colors_of_a_palette_follow_one_law():
    """Else the class that shows the most ink would be the darkest."""
    rng = np.random.default_rng(0)
    colors = np.array([palette(rng) for _ in range(3000)]) / 255
    features = np.stack([colors.mean(-1), np.ptp(colors, -1), colors[..., 0] - colors[..., 2]], -1)
    role_means = features.mean(0)  # (role, feature)
    spread = np.abs(role_means - role_means.mean(0)) / features.std((0, 1))
    assert spread.max() < 0.07  # about four standard errors
    assert features[..., 0].std() > 0.15  # and they are not all alike


# --- drawings and light --------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [*CLASSES.values(), *DISTRACTORS])
@pytest.mark.parametrize("diameter", [13, 90])
def test_a_sprite_is_as_large_as_asked(draw, diameter):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sprite = rasterize(draw(rng, palette(rng)), pose(rng), diameter)
        x1, y1, x2, y2 = extent(sprite.alpha > 0.02)
        assert abs(max(x2 - x1, y2 - y1) - diameter) <= 2
        h, w = sprite.alpha.shape
        assert min(x1, y1, w - x2, h - y2) > 0  # room for the shadow
        assert sprite.alpha.max() <= 1


def test_light_and_shadow_lie_on_opposite_sides():
    ball = Drawing()
    ball.solid(ellipse([0, 0], 1), np.full(3, 120.0), 0.2, 0.5)
    sprite = rasterize(ball, np.eye(2), 60)
    light = np.array([0.6, 0, 0.8], np.float32)  # the lamp stands to the right
    lit = shade(np.random.default_rng(0), sprite, light, 60).color.mean(-1)
    columns = np.arange(lit.shape[1]) - (lit.shape[1] - 1) / 2
    assert (lit * columns).sum() > 0
    assert (cast_shadow(sprite, light, 60) * columns).sum() < 0


def test_what_is_put_later_lies_behind():
    disc = Drawing()
    disc.solid(ellipse([0, 0], 1), np.full(3, 200.0), 0.2)
    sprite = rasterize(disc, np.eye(2), 20)
    canvas, shadow = Canvas(64), np.zeros_like(sprite.alpha)
    canvas.put(sprite, 10, 10, shadow, 1)
    alone = canvas.identity == 1
    canvas.put(sprite, 14, 10, shadow, 2)
    canvas.put(sprite, -200, 300, shadow, 3)  # entirely outside: nothing happens
    assert np.array_equal(canvas.identity == 1, alone)
    assert set(np.unique(canvas.identity)) == {0, 1, 2}
    assert canvas.color.max() < 202  # half-covering edges never add up to more than one, bytes rounded


def test_curves():
    square = path("1,1 -1,1 -1,-1 1,-1")
    assert np.allclose(smooth(square)[::6], square)  # a Catmull-Rom spline goes through its points
    assert np.allclose(turned(path("1,0"), np.pi / 2), path("0,1"))
    stroke = ribbon(path("0,0 1,0 2,0"), 0.5, 0.1)
    assert np.allclose(stroke, path("0,0.5 1,0.3 2,0.1 2,-0.1 1,-0.3 0,-0.5"))


# --- the folder ----------------------------------------------------------------------------------


def contents(folder: Path):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_write_round_trip(tmp_path):
    spec = read_spec(write(tmp_path / "g", 12, seed=4, size=96, level="normal", val_fraction=0.25))
    assert spec.names == NAMES
    assert {split: len(files) for split, files in spec.splits.items()} == {"train": 9, "val": 3}
    assert lint(spec) == []
    for picture in (*spec.splits["train"], *spec.splits["val"]):
        truth = scene(4, int(picture.stem), 96, level="normal")
        labels, boxes = read_labels(label_path(picture), len(NAMES))
        center, side = boxes[:, :2].numpy() * 96, boxes[:, 2:].numpy() * 96
        assert labels.tolist() == truth.labels.tolist()
        assert np.allclose(np.concatenate([center - side / 2, center + side / 2], 1), truth.boxes, atol=1e-3)
        image = read_image(picture).permute(1, 2, 0).numpy().astype(int)
        assert np.abs(image - truth.image).mean() < 8  # JPEG; swapped channels would be far off


def test_write_resumes_after_an_interruption(tmp_path, monkeypatch):
    write(tmp_path / "whole", 8, size=64)

    painted: Counter[int] = Counter()

    def noting(seed, index, size, *, level):
        painted[index] += 1
        if index == 5 and painted[5] == 1:
            raise KeyboardInterrupt
        return scene(seed, index, size, level=level)

    monkeypatch.setattr(garden, "scene", noting)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "cut", 8, size=64)
    assert contents(tmp_path / "cut") != contents(tmp_path / "whole")
    write(tmp_path / "cut", 8, size=64)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert all(painted[k] == 1 for k in (1, 2, 3, 4, 6, 7))  # scene 0 also checks the arguments


def test_an_image_without_its_end_never_appears(tmp_path, monkeypatch):
    real = Path.write_bytes

    def half(self, content):
        if self.name.startswith("000002.jpg"):
            real(self, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(UserError, match="No space left"):
        write(tmp_path, 4, size=64)
    assert not [p for p in tmp_path.rglob("000002.jpg")]
    monkeypatch.undo()
    write(tmp_path, 4, size=64)
    assert not list(tmp_path.rglob("*.part"))
    assert len(list(tmp_path.rglob("*.jpg"))) == len(list(tmp_path.rglob("*.txt"))) == 4


def test_a_set_grows_and_keeps_its_split(tmp_path):
    write(tmp_path, 6, size=64, val_fraction=0.3)
    before = contents(tmp_path)
    write(tmp_path, 20, size=64, val_fraction=0.3)
    after = contents(tmp_path)
    assert before.items() <= after.items()
    assert sum(name.startswith("images/val") for name in after) == 6


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("images", [2, 10, 97])
def test_the_split_has_the_asked_share(images, fraction):
    val = sum(garden._is_val(index, fraction) for index in range(images))
    assert val == int(np.ceil(images * fraction - 1e-9))


def test_write_refuses_what_is_not_its_own(tmp_path):
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="not empty"):
        write(foreign, 2, size=64)
    (foreign / "data.yaml").write_text("names: [cat]\ntrain: images\n")  # another data set
    with pytest.raises(UserError, match="not empty"):
        write(foreign, 2, size=64)
    (foreign / "data.yaml").write_text("- a\n- [")
    with pytest.raises(UserError, match="not empty"):
        write(foreign, 2, size=64)
    assert sorted(p.name for p in foreign.iterdir()) == ["data.yaml", "holiday.jpg"]
    with pytest.raises(UserError, match="is a file"):
        write(foreign / "holiday.jpg", 2, size=64)
    with pytest.raises(UserError, match="cannot make the folder"):
        write(foreign / "holiday.jpg" / "deeper", 2, size=64)


def test_write_refuses_another_recipe_or_fewer_images(tmp_path):
    write(tmp_path, 4, size=64)
    before = contents(tmp_path)
    for other in ({"seed": 1}, {"size": 80}, {"level": "normal"}, {"val_fraction": 0.5}):
        with pytest.raises(UserError, match="holds the garden"):
            write(tmp_path, 4, **{"size": 64} | other)
    with pytest.raises(UserError, match="more than 3 images"):
        write(tmp_path, 3, size=64)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "arguments", [{"images": 0}, {"val_fraction": 1.0}, {"val_fraction": -0.1}, {"level": "x"}, {"size": 10}]
)
def test_write_refuses_bad_numbers_before_touching_the_disk(tmp_path, arguments):
    with pytest.raises(UserError):
        write(tmp_path / "g", **{"images": 2, "size": 64} | arguments)
    assert not (tmp_path / "g").exists()


def test_the_jpeg_is_rgb(tmp_path):
    """Guards the one channel swap of the module, independently of our own reader."""
    write(tmp_path, 1, size=64)
    (picture,) = tmp_path.rglob("*.jpg")
    bgr = np.asarray(cv2.imread(str(picture)), int)
    image = scene(0, 0, 64).image.astype(int)
    assert np.abs(bgr[..., ::-1] - image).mean() < np.abs(bgr - image).mean()
