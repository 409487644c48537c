"""Lesson 12: its figures and its widget say what the module does, its checks know the right answers."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from yolo_edu.assets import sample_data
from yolo_edu.augment import AugmentSettings, draw_plan, random_affine, render
from yolo_edu.boxes import area, cxcywh_to_xyxy
from yolo_edu.course import checks, figures, widgets
from yolo_edu.course.figures.augmentation import PHOTO_SIZES, SIZE
from yolo_edu.course.measured import FOLDER, read_measured
from yolo_edu.course.widgets import frame
from yolo_edu.data import DetectionData, Pool, letterbox, read_spec
from yolo_edu.warp import warp_boxes

ROOT = Path(__file__).parents[1]


def words(figure: plt.Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Four photos of cards, long side 64."""
    return DetectionData(read_spec(sample_data()), "val", image_size=64, cache=False).pool([28, 43, 35, 27])


# --- what was measured ----------------------------------------------------------------------------------


def test_the_shipped_measurement_is_the_benchmark_s() -> None:
    copies = sorted(FOLDER.glob("*.json"))
    assert [path.stem for path in copies] == ["ablations", "clinic", "freebies", "transfer"]
    for path in copies:
        original = ROOT / "benchmarks/results" / path.name
        assert path.read_text() == original.read_text(), f"copy {original} to {path} again"
        assert read_measured(path.stem) == json.loads(original.read_text())


def test_the_prose_says_what_the_benchmark_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    freebies = importlib.import_module("freebies")
    assert (freebies.DROP, freebies.BLOCK, freebies.DROPPED_ROWS) == (0.1, 3, (4, 6, 9))
    everything = freebies.WAYS["all of the recipe"]["augment"]
    assert min(everything.mosaic, everything.scale, everything.translate, everything.flip, everything.hue) > 0
    assert everything.mixup == everything.cutmix == 0
    assert freebies.WAYS["mosaic and MixUp"]["augment"].mosaic == 1
    seeds = {run["way"]: 0 for run in read_measured("freebies")["runs"]}
    for run in read_measured("freebies")["runs"]:
        seeds[run["way"]] += 1
    assert set(seeds.values()) == {3}  # "three with it and three without"
    assert len(seeds) == 1 + 9  # "with nine freebies"


def test_an_unknown_measurement_is_named() -> None:
    with pytest.raises(ValueError, match=r"'speed': no such measurement. Shipped here: ablations, clinic, freebies"):
        read_measured("speed")


def test_the_dots_are_the_runs() -> None:
    runs = [
        {"way": way, "seed": seed, "map50": low + seed / 10, "map": low / 2 + seed / 10}
        for way, low in (("nothing", 0.2), ("jitter", 0.4))
        for seed in (0, 1)
    ]
    figure = figures.freebie_dots({"runs": runs})
    for ax, factor in zip(figure.axes, (1, 0.5), strict=True):
        band = ax.patches[0].get_bbox()
        assert (band.x0, band.x1) == pytest.approx((0.2 * factor, 0.2 * factor + 0.1))
        for seed, line in enumerate(ax.get_lines()):
            wanted = [(low * factor + seed / 10, row + 0.2 * (seed - 0.5)) for row, low in enumerate((0.2, 0.4))]
            assert [tuple(p) for p in line.get_xydata()] == [pytest.approx(p) for p in wanted]
    assert len({line.get_marker() for line in figure.axes[0].get_lines()}) == 2  # not by color alone
    for wanted in ("nothing", "jitter", "mAP50", "mAP50-95", "seed 1"):
        assert wanted in words(figure)


# --- figures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("center", [(300, 220), (128, 383)])
def test_the_diagram_lays_out_as_the_module_does(center: tuple[int, int]) -> None:
    figure = figures.mosaic_layout(center)
    page = figure.axes[0]
    canvas = next(p for p in page.patches if p.get_gid() is None)
    unit = canvas.get_width() / (2 * SIZE)
    x, y = center
    for number, (w, h) in enumerate(PHOTO_SIZES):
        left, top = x - w * (number % 2 == 0), y - h * (number < 2)
        wanted = [max(left, 0), max(top, 0), min(left + w, 2 * SIZE), min(top + h, 2 * SIZE)]
        patch = next(p for p in page.patches if p.get_gid() == f"photo {number + 1}").get_bbox().extents
        got = [(v - o) / unit for v, o in zip(patch, (canvas.get_x(), canvas.get_y()) * 2, strict=True)]
        assert got == pytest.approx(wanted)
        cut = wanted != [left, top, left + w, top + h]
        assert (f"photo {number + 1}\n{w} × {h}\n(cut)" in words(figure)) == cut
    assert f"({x}, {y})" in words(figure)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_the_frames_are_what_the_warp_cuts_out(scale: float) -> None:
    """The corners of the image, taken back to the canvas by the module's own matrix."""
    figure = figures.mosaic_layout()
    settings = AugmentSettings(scale=0, translate=0)
    matrix = random_affine(1, settings, torch.Generator())[0] * scale
    corner = torch.linalg.solve(matrix[:, :2], torch.tensor([-0.5, -0.5])) + 1  # in S, from the canvas's corner
    frames = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and not p.get_fill()]
    right = [p for p in frames if p.get_x() > 5.3]
    unit = 4.1 / 2  # inches of an S
    found = [((p.get_x() - 5.4) / unit, p.get_width() / unit) for p in right]
    assert any(f == pytest.approx((corner[0].item(), 1 / scale), abs=1e-5) for f in found)
    assert f"scale {scale:g}: {SIZE / scale:.0f} × {SIZE / scale:.0f}" in words(figure)


def test_the_holes_are_torch_s() -> None:
    before = torch.random.get_rng_state()
    masks = figures.drop_masks()
    assert torch.equal(torch.random.get_rng_state(), before)  # chance is left as it was
    figure = figures.freebie_masks()
    for name, mask in masks.items():
        assert sum(p.get_gid() == name for p in figure.axes[0].patches) == (~mask).sum()
        assert f"{int((~mask).sum())} of {mask.numel()} cells are zero" in words(figure)
    block = ~masks["DropBlock"]
    solid = torch.nn.functional.max_pool2d(block[None].float(), 3, 1, 1)[0].bool()
    assert solid.sum() < 2 * block.sum()  # few connected holes; dropout's neighborhoods cover far more
    lone = torch.nn.functional.max_pool2d((~masks["dropout"])[None].float(), 3, 1, 1)[0].bool()
    assert lone.sum() > 3 * (~masks["dropout"]).sum()


def test_panels_show_solid_and_dashed_boxes() -> None:
    image = torch.zeros(3, 40, 60)
    solid, dashed = torch.tensor([[5.0, 5, 20, 30]]), torch.tensor([[30.0, 2, 50, 9], [1, 1, 4, 4]])
    panels = [
        figures.PhotoPanel("one", image, solid, torch.tensor([1]), dashed),
        figures.PhotoPanel("two", image.to(torch.uint8)),
    ]
    one, two = figures.photo_panels(panels, ["ten", "jack"], columns=2).axes
    boxes = [p for p in one.patches if isinstance(p, Rectangle)]
    lines = {tuple(p.get_bbox().extents): p.get_linestyle() for p in boxes}
    assert set(lines) == {(5, 5, 20, 30), (30, 2, 50, 9), (1, 1, 4, 4)}
    assert lines[(5, 5, 20, 30)] != lines[(1, 1, 4, 4)]
    assert "jack" in [t.get_text() for t in one.texts]
    assert (one.get_title(), two.get_title(), len(two.patches)) == ("one", "two", 0)


def test_scene_boxes_keeps_what_render_keeps(pool: Pool) -> None:
    """Also against a loop that warps the four corners of each box one by one."""
    settings = AugmentSettings(degrees=20, shear=5)
    plan = draw_plan([0, 1, 2, 3] * 5, 4, settings, pool.size, torch.Generator().manual_seed(0))
    found = figures.scene_boxes(plan, pool, settings)
    targets = render(plan, pool, settings).targets
    for index, scene in enumerate(found):
        own = targets[targets[:, 0] == index]
        torch.testing.assert_close(scene.after[scene.keep], cxcywh_to_xyxy(own[:, 2:]) * pool.size)
        assert torch.equal(scene.labels[scene.keep], own[:, 1].long())
        total = sum(len(pool.sample(i).boxes) for i in plan.members[index, 0].tolist())
        assert len(scene.after) + scene.outside == total
        matrix = plan.matrices[index, 0]
        for (x1, y1, x2, y2), after in zip(scene.before.tolist(), scene.after, strict=True):
            corners = torch.tensor([[x, y] for x in (x1, x2) for y in (y1, y2)]) / pool.size - 1
            moved = ((matrix[:, :2] @ corners.T).T + matrix[:, 2] + 0.5) * pool.size
            hull = torch.cat([moved.amin(dim=0), moved.amax(dim=0)]).clamp(0, pool.size)
            torch.testing.assert_close(after, hull, atol=1e-3, rtol=0)


# --- the widget -----------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    calls: list[tuple[Any, str]] = []
    monkeypatch.setattr(frame, "show", lambda widget, fallback: calls.append((widget, fallback)))
    return calls


NAMES = ("ten", "<jack>", "queen", "king", "ace")


def test_the_builder_shows_what_render_renders(pool: Pool, shown: list[tuple[Any, str]]) -> None:
    explorer = widgets.mosaic_builder(pool, NAMES)
    controls, view = explorer.controls, explorer.view
    assert "Canvas of four photos around (64, 64)" in shown[0][1]  # the default state, where no widgets run

    def check(**more: Any) -> None:
        center = controls["x"].value, controls["y"].value
        plan = widgets.hand_plan(range(4), center, scale=controls["scale"].value, flip=controls["flip"].value, **more)
        targets = render(plan, pool, AugmentSettings()).targets
        kept = (cxcywh_to_xyxy(targets[:, 2:]) * 64).tolist()
        assert f"In the image {len(kept)} boxes stay labels" in view.value
        drawn = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="[\d.]+" fill="none"', view.value)
        for x1, y1, *_ in kept:
            assert (f"{x1:.1f}", f"{y1:.1f}") in drawn

    check()
    controls["x"].value, controls["y"].value = 40, 70
    assert "around (40, 70)" in view.value
    assert '<circle cx="40" cy="70"' in view.value
    check()
    controls["scale"].value = 0.5
    assert "The frame takes 128 × 128 of 128 × 128 pixels." in view.value
    check()
    controls["flip"].value = True
    assert "flipped" in view.value
    check()
    controls["mix"].value = "MixUp"
    check(second=(1, 0, 3, 2), share=0.5)
    controls["mix"].value = "CutMix"
    check(second=(1, 0, 3, 2), cut=(0.55, 0.5, 1.0, 0.95))
    assert "&lt;jack&gt;" in view.value
    assert "<jack>" not in view.value
    pictures = [view.value]
    controls["color"].value = "hue × 1.4: too much"
    pictures.append(view.value)
    assert pictures[0] != pictures[1]
    assert all(
        label.startswith(("Canvas of", "Mosaic around")) for label in re.findall(r'aria-label="([^"]+)"', view.value)
    )


def test_what_there_is_to_find_in_the_builder(shown: list[tuple[Any, str]]) -> None:
    """The folded answer below the widget."""
    four = DetectionData(read_spec(sample_data()), "val", image_size=256, cache=False).pool([28, 43, 35, 27])
    explorer = widgets.mosaic_builder(four, NAMES, center=(286, 236), scale=0.8)
    x, view = explorer.controls["x"], explorer.view
    assert "no label any more: 1, queen (1.6 px thin)" in view.value
    (points,) = re.findall(r'<polygon points="([^"]+)"', view.value)  # the arrow points at the lower right corner
    tip, *base = [tuple(float(v) for v in p.split(",")) for p in points.split()]
    assert all(t > 150 and t > b[i] for i, t in enumerate(tip) for b in base)
    x.value = 285
    assert re.search(r"no label any more: 1, queen \(\d % of it left\)", view.value)
    plan = widgets.hand_plan(range(4), (285, 236), scale=0.8)
    (found,) = figures.scene_boxes(plan, four, AugmentSettings())
    (queen,) = found.after[~found.keep]
    assert f"{queen[2] - queen[0]:.1f}" == "2.4"
    x.value = 279
    assert "no label any more: 1" in view.value
    x.value = 278
    assert "no label any more: 2, king (0.7 px thin), king (0.5 px thin)" in view.value
    wide, high = four.sizes.T
    assert wide.tolist() == [192, 256, 192, 192]
    assert (286 + wide[1] > 512, 236 - high[0] < 0) == (True, True)  # cut at scale 0.5: the kings, the first
    assert max(236 + high[2], 236 + high[3], 286 + wide[3]) <= 512


def test_a_plan_by_hand_is_a_plan(pool: Pool) -> None:
    drawn = draw_plan([0], 4, AugmentSettings(), pool.size, torch.Generator().manual_seed(0))
    made = widgets.hand_plan([0, 1, 2, 3], (60, 70))
    for ours, theirs in zip(made, drawn, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    alone = render(widgets.hand_plan([0, -1, -1, -1], (0, 0)), pool, AugmentSettings())
    square, placed = letterbox(pool.sample(0).image, pool.size)
    torch.testing.assert_close(alone.images[0] * 255, square.float(), atol=0.01, rtol=0)
    boxes = cxcywh_to_xyxy(alone.targets[:, 2:]) * pool.size
    torch.testing.assert_close(boxes, placed.apply(pool.sample(0).boxes))


# --- the oracles of the exercises, and what the prose says ------------------------------------------------


def not_filled_in(*_: object) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("size", [64, 416])
def test_letterbox_numbers_are_letterbox_s(size: int) -> None:
    numbers = checks.letterbox_numbers(not_filled_in)
    for width, height in ((451, 300), (300, 451), (13, 7), (7, 13), (50, 50), (601, 399)):
        placed = letterbox(torch.zeros(3, height, width, dtype=torch.uint8), size)[1]
        assert numbers(width, height, size) == placed


def test_flipping_moves_boxes_with_their_pixels() -> None:
    flip = checks.flip_boxes(not_filled_in)
    image = torch.zeros(20, 31)
    image[4:9, 3:11] = 1
    (box,) = flip(torch.tensor([[3.0, 4, 11, 9]]), 31)
    rows, columns = image.flip(-1).nonzero().T
    assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    boxes = 30 * torch.rand(5, 4)
    torch.testing.assert_close(flip(flip(boxes, 31), 31), boxes)


def test_the_keeping_rule_is_one_box_at_a_time() -> None:
    keep = checks.keep_boxes(not_filled_in)
    generator = torch.Generator().manual_seed(1)
    low = torch.rand(200, 2, generator=generator) * 20
    before = torch.cat([low, low + 30 * torch.rand(200, 2, generator=generator)], dim=1)
    after = torch.cat([low, low + 12 * torch.rand(200, 2, generator=generator) ** 2], dim=1)
    zoom = 0.3 + torch.rand(200, generator=generator)
    decided = []
    for (a, b, c, d), (x1, y1, x2, y2), z in zip(before.tolist(), after.tolist(), zoom.tolist(), strict=True):
        w, h, old = x2 - x1, y2 - y1, (c - a) * (d - b)
        decided.append(w > 2 and h > 2 and w * h > 0.1 * old * z and max(w, h) < 100 * min(w, h))
    assert keep(before, after, zoom).tolist() == decided
    assert 0 < sum(decided) < 200


@pytest.mark.parametrize(("w", "h", "factor"), [(100, 100, 2.0), (60, 120, 2.25)])
def test_how_loose_a_turned_label_is(w: float, h: float, factor: float) -> None:
    """The quiz's numbers, from the module's own warp."""
    turn = AugmentSettings(scale=0, translate=0, degrees=45)
    seeds = (random_affine(1, turn, torch.Generator().manual_seed(i)) for i in range(300))
    matrix = max(seeds, key=lambda m: m[0, 0, 1].abs().item())  # nearly 45 degrees
    box = torch.tensor([[256 - w / 2, 256 - h / 2, 256 + w / 2, 256 + h / 2]])
    assert area(warp_boxes(box, matrix, 256)).item() / (w * h) == pytest.approx(factor, rel=0.01)


def test_fewer_labels_survive_at_small_sizes() -> None:
    """Section 10 prints these shares; the prose says that small training sizes lose more."""
    water = DetectionData(read_spec(sample_data("aquarium5.yaml")), "val", image_size=256, cache=False)
    big = water.pool()
    stay = []
    for size in (128, 256):
        scaled = big._replace(images=torch.empty(0, 3, size, size), boxes=big.boxes * size / 256)
        scaled = scaled._replace(sizes=(big.sizes * size / 256).round().long())
        plan = draw_plan(range(len(water)), len(water), AugmentSettings(), size, torch.Generator().manual_seed(0))
        stay.append(torch.cat([f.keep for f in figures.scene_boxes(plan, scaled, AugmentSettings())]).float().mean())
    assert stay[0] < stay[1] - 0.03


def test_a_card_is_not_its_mirror_image_but_a_flip_keeps_its_box(pool: Pool) -> None:
    plain, mirrored = (
        render(widgets.hand_plan([2, -1, -1, -1], (0, 0), flip=flip), pool, AugmentSettings()) for flip in (False, True)
    )
    flip = checks.flip_boxes(not_filled_in)
    before, after = (cxcywh_to_xyxy(b.targets[:, 2:]) * pool.size for b in (plain, mirrored))
    torch.testing.assert_close(after, flip(before, pool.size))
    assert not torch.allclose(plain.images, mirrored.images, atol=0.1)
