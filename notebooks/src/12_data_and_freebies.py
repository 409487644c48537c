# %% [markdown]
# # 12 · Data and augmentation: the bag of freebies, seen and measured
#
# **75 minutes · difficulty ●●○○○ · importance ●●●●○**
#
# After this lesson you can
# - read and write label files, and find what is wrong in one before it costs you a training run,
# - compute by hand where letterbox puts a box, and bring a box back,
# - build a mosaic, a warp and a flip yourself, with boxes that stay right, and say what MixUp and CutMix do to boxes,
# - explain why DropBlock drops blocks, and what label smoothing changes,
# - read an ablation over seeds: which differences it shows, and which it cannot show,
# - choose augmentation for your own data, and name the cases in which it hurts.
#
# You need [lesson 00](00_start_here.ipynb) (boxes, labels) and [lesson 07](07_anchors_and_detect.ipynb) (pixels of the square, the three levels). Section 9 reads
# mAP, from [lesson 09](09_boxes_nms_map.ipynb).

# %%
try:
    from yolo_edu.course.setup import ready
except ImportError:  # not installed: use a checkout above this notebook, a wheel beside it, or the project's home
    import subprocess
    import sys
    from pathlib import Path

    home, here = "", Path.cwd()
    checkout = [f for f in (here, *here.parents) if (f / "yolo_edu/course/setup.py").is_file()]
    wheels = [str(w) for f in (Path("/content"), here) for w in sorted(f.glob("yolo_edu-*.whl"))]
    if checkout:
        sys.path.insert(0, str(checkout[0]))
    elif wheels or home:
        source = wheels[-1] if wheels else f"git+{home}"
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", source], check=True)
    else:
        raise ModuleNotFoundError(
            "yolo_edu is not here. Three ways out: open this notebook inside the project's folder; or put the file "
            "yolo_edu-….whl beside the notebook (in Colab: into /content); or run `pip install` on either of them."
        ) from None
    from yolo_edu.course.setup import ready

device = ready()

# %%
import colorsys
import math
import shutil
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F
from torchvision.ops import drop_block2d

from yolo_edu.assets import sample_data, sample_photo, shipped_weights
from yolo_edu.augment import AugmentSettings, draw_plan, random_affine, render
from yolo_edu.boxes import area, cxcywh_to_xyxy, scale_boxes
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.course.measured import read_measured
from yolo_edu.data import DetectionData, collate, label_path, letterbox, read_image, read_spec
from yolo_edu.errors import UserError
from yolo_edu.lint import lint
from yolo_edu.mix import cut_mix, mix_up, shift_colors, uncovered
from yolo_edu.recipe import Recipe
from yolo_edu.warp import draw_scenes, lay_out, warp_boxes, warp_images

Panel = figures.PhotoPanel

# %%
figures.show(
    figures.network_map("Focus"),
    alt="The map of YOLOv5 with its first row lit, Focus, where the image enters",
    dpi=64,
)

# %% [markdown]
# Lit is the row where an image enters. This lesson is about all that happens *before* it. On the way
# image → data → **augment** → model → assign → loss we are between the files on disk and the first layer.
#
# ## 1 The label format, and its traps
# Beside every image lies a text file of the same name. One line is one object: `class cx cy w h`. The class is a number counted from 0. The center and the
# size of the box are **normalized**: x and w divided by the image's width, y and h by its height. So all four lie between 0 and 1, and the file stays right when the image is resized.

# %%
spec = read_spec(sample_data("train_5classes.yaml"))
cards = DetectionData(spec, "val", image_size=256, cache=False)
photo = read_image(cards.images[35])  # uint8 (3, H, W)
height, width = photo.shape[1:]
print(label_path(cards.images[35]).read_text())
for line in label_path(cards.images[35]).read_text().splitlines():
    label, *numbers = line.split()
    cx, cy, w, h = (float(n) for n in numbers)
    corners = (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height
    print(
        f"{spec.names[int(label)]:<5} x1 y1 x2 y2 in pixels of the {width} × {height} photo:",
        *(f"{v:.1f}" for v in corners),
    )

# %% [markdown]
# Programs that write labels get this wrong in the same few ways. Let us plant each of them in a small data set of its own: ten photos, ten label files, a YAML with the five card names.

# %%
good = "0 0.5 0.5 0.2 0.3"
planted = {  # name of the photo → what its label file holds; None: there is no file
    "a_right": good,
    "b_counted_from_1": "5 0.5 0.5 0.2 0.3",
    "c_class_seven": "7 0.5 0.5 0.2 0.3",
    "d_decimal_comma": "0 0,5 0,5 0,2 0,3",
    "e_pixels": "0 208 150 83 94",
    "f_left_top_w_h": "0 0.1 0.2 0.4 0.5",
    "g_two_corners": "0 0.4 0.35 0.6 0.65",
    "h_no_width": "0 0.5 0.5 0 0.3",
    "i_twice": f"{good}\n{good}",
    "j_missing": None,
}
folder = Path(tempfile.mkdtemp())
for (name, text), source in zip(planted.items(), cards.images, strict=False):
    for kind in ("images/train", "labels/train", "images/val", "labels/val"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    shutil.copy(source, folder / f"images/train/{name}.jpg")
    if text is not None:
        (folder / f"labels/train/{name}.txt").write_text(text + "\n")
shutil.copy(folder / "images/train/a_right.jpg", folder / "images/val/k_copy.jpg")  # and a photo that both splits have
(folder / "labels/val/k_copy.txt").write_text(good)
(folder / "small.yaml").write_text("train: images/train\nval: images/val\nnames: [ten, jack, queen, king, ace]\n")
faults = lint(read_spec(folder / "small.yaml"))
of_rows = [f for f in faults if f.path.stem in planted and "train" in str(f.path)]

# %% [markdown]
# A *linter* reads label files and checks their form: the class exists, the numbers are five and in their range, the box has an area and lies inside, no row comes twice, no file is missing.
#
# **Predict, then run:** nine of the ten photos of `train` have a fault planted. For how many of them will the linter report something? Errors and warnings both count.

# %%
quiz.predict(
    "photos of train with a report, of nine with a fault",
    answer=len({f.path.stem for f in of_rows}),
    why="All but one. Two corners that happen to be a legal center and size cannot be told from a right row: see below.",
)

# %%
for fault in faults:
    if "has no box" not in fault.message:  # each class without an example is reported too
        words = f"{fault.severity:<7} " + str(fault).replace(f"{folder}/", "")
        print(textwrap.fill(words, 100, subsequent_indent=" " * 8, break_on_hyphens=False))
print(f"and {sum('has no box' in f.message for f in faults)} warnings about classes without a box")
assert {f.path.stem for f in of_rows} == set(planted) - {"a_right", "g_two_corners"}

# %% [markdown]
# Each message names the file, the line, what is wrong and the way out. An *error* would stop training or make its result worthless; a *warning* is legal and usually a mistake.
# `yolo-edu lint DATA.yaml` prints the same. Note the first error: a photo that stands in `train` and in `val`. Training does not look for it: it runs, and
# its scores are too good to be true. Bad label *rows* it refuses, and names all such files at once instead of one a run. So five files here, while the linter has six errors:

# %%
try:
    DetectionData(read_spec(folder / "small.yaml"), "train", image_size=256)
except UserError as error:
    refused = str(error).replace(f"{folder}/", "").splitlines()
for line in refused[:3]:
    print(textwrap.fill(line, 100, subsequent_indent=" " * 8, break_on_hyphens=False))
print("…")
assert (int(refused[0].split()[1]), sum(f.severity == "error" for f in faults)) == (5, 6)
shutil.rmtree(folder)

# %% [markdown]
# One fault came through: `g_two_corners`. Here is the same mistake on a real photo. The writer meant x1 y1 x2 y2. Read as center and size, the row is legal and the box lies inside the photo, so no program can object.

# %%
sample = cards[1]
true = sample.boxes[:1]  # (1, 4) xyxy, pixels of the sample
h, w = sample.image.shape[1:]
as_corners = scale_boxes(true, 1 / w, 1 / h)  # what the file holds: x1 y1 x2 y2, normalized
misread = scale_boxes(cxcywh_to_xyxy(as_corners), w, h)
inside = bool((misread >= 0).all() and (misread[0, 2:] <= torch.tensor([w, h])).all())
print("row in the file:", *(f"{v:.3f}" for v in as_corners[0].tolist()), "| the misread box lies inside:", inside)
assert inside
figures.show(
    figures.photo_panels(
        [Panel("meant", sample.image, true, sample.labels), Panel("read as cx cy w h", sample.image, dashed=misread)],
        cards.names,
        side=2.2,
    ),
    alt="A card with its box, and the same numbers read as center and size: a much larger box, wholly inside the photo",
    photos=True,
    dpi=80,
)

# %% [markdown]
# The misread box of a larger card, or of one nearer to the border, would reach over it, and the linter would warn. Here nothing warns. **A linter checks the form, not the truth.** Look at
# your labels drawn on your photos before you train: twenty photos show a wrong format at once. (Training draws its first batch for that reason: lesson 13.)
#
# ## 2 Letterbox: one scale, and gray
# The network takes squares. A photo is rarely one. **Letterbox** scales it by one factor for both axes, so nothing is stretched, puts it into the middle, and fills the rest with gray (114 of 255).
# Three numbers say it all: *scale*, *left*, *top*. The scale is the smaller of size / width and size / height; left and top are half of what is missing.

# %%
coffee = read_image(sample_photo("coffee"))  # uint8 (3, 400, 600)
square, placed = letterbox(coffee, 256)
height, width = coffee.shape[1:]
scale = min(256 / width, 256 / height)
new_width, new_height = round(width * scale), round(height * scale)
gray_x, gray_y = 256 - new_width, 256 - new_height
print(f"{width} × {height} · {scale:.4f} = {new_width} × {new_height}, gray: {gray_x} columns, {gray_y} rows")
left, top = round(gray_x / 2 - 0.1), round(gray_y / 2 - 0.1)
print(f"left {left}, top {top}; to the right {gray_x - left}, below {gray_y - top}")
assert placed == (scale, left, top)

# %% [markdown]
# There are 85 gray rows, an odd number: 42 go above, 43 below. What does the 0.1 do? Python rounds a half to the *even* neighbor: round(42.5) is 42, and round(43.5) is 44. So the odd pixel would be now
# above and now below, depending on the photo. Half a pixel minus 0.1 always rounds down, so it is always below (and to the right).

# %%
assert gray_y == 85
assert [round(v) for v in (42.5, 43.5)] == [42, 44]
assert [round(v - 0.1) for v in (42.5, 43.5)] == [42, 43]
cup = torch.tensor([[170.0, 18, 412, 235]])  # xyxy, pixels of the photo: drawn by hand around the cup
in_square = placed.apply(cup)
figures.show(
    figures.photo_panels(
        [
            Panel("pixels of the photo, 600 × 400", coffee, cup),
            Panel("pixels of the square, 256 × 256", square, in_square),
        ],
        side=2.7,
    ),
    alt="A cup of coffee with a box around the cup; the same photo in a square, gray above and below, box moved along",
    photos=True,
    dpi=88,
)
print("x1 y1 x2 y2 in the square:", *(f"{v:.2f}" for v in in_square[0].tolist()))

# %% [markdown]
# A box goes with its photo: times the scale, plus left or top. The network answers in pixels of the square, so detections go the other way: minus left or top, divided by the scale.
# Forget to subtract, and boxes sit too low on landscape photos and too far right on portraits. Over all validation cards:

# %%
worst = 0.0
for sample in DetectionData(spec, "val", image_size=416, cache=False):
    _, place = letterbox(sample.image, 256)
    there = place.apply(sample.boxes)  # (N, 4) pixels of the square
    shift = there.new_tensor([place.left, place.top, place.left, place.top])
    assert torch.equal(there, sample.boxes * place.scale + shift)
    worst = max(worst, (place.undo(there) - sample.boxes).abs().max().item())
print(f"there and back, the largest error is {worst:.6f} pixels")
assert worst < 1e-3

# %% [markdown]
# ### Exercise 12.1 · Letterbox numbers (8 minutes, ●●○○○)
# Write the arithmetic as a function. Mind the order: the photo's new sides become whole pixels first, then the gray is measured. Small photos are enlarged.


# %%
def letterbox_numbers(width, height, size):
    """Width and height of a photo, side of the square → scale, left, top."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


letterbox_numbers = checks.letterbox_numbers(letterbox_numbers)

# %% [markdown]
# <details><summary>Hint 1</summary>Which of <code>size / width</code> and <code>size / height</code> makes the photo fit into the square? The smaller one.</details>
# <details><summary>Hint 2</summary>The photo becomes <code>round(width * scale)</code> wide. What is left of <code>size</code> is the gray; half of it, less 0.1, rounded, is <code>left</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# def letterbox_numbers(width, height, size):
#     scale = min(size / width, size / height)
#     left = round((size - round(width * scale)) / 2 - 0.1)
#     top = round((size - round(height * scale)) / 2 - 0.1)
#     return scale, left, top
# ```
# </details>

# %%
torch.testing.assert_close(torch.tensor(letterbox_numbers(width, height, 256)), torch.tensor(placed))
full_hd = letterbox_numbers(1920, 1080, 640)

# %% [markdown]
# The way back is used after every detection, when boxes return to the photo.
#
# **Predict, then run:** a photo of 1920 × 1080 pixels was put into a square of 640. The network finds a left edge at x = 320 of the square. Where is it on the photo?

# %%
quiz.predict(
    "x of the edge, pixels of the photo of 1920 × 1080",
    answer=round((320 - full_hd[1]) / full_hd[0], 6),
    why="The scale is 1/3 and left is 0: the gray is above and below. 320 · 3.",
)

# %% [markdown]
# ## 3 Chance first, pixels later
# 217 training photos are few. **Augmentation** shows the network variants of them: changed pixels, and an answer that is known because the change is known. A mirrored ten is still a ten, and its box is mirrored with it.
# (Numbers below are those of YOLOv5's release 7.0 of November 2022, unless the June 2020 release is named.)
#
# The module decides in two steps. `draw_plan` lets chance decide everything about a batch: which photos, where, how large, which colors. It touches no pixel. `render` carries the plan out and
# throws no dice. So a seed repeats a batch exactly, and you can look at a plan, change one number in it, and see what that number does. This lesson does so throughout.
#
# Below, two images are planned, for photos 28 and 35. Each gets three random companions, and a random place among the four. Centers are explained in section 4, matrices in 5, gains in 6. For now: the first row of the
# matrix begins with −0.53, the second holds 0.53. So the first image is zoomed to 0.53 of its size, and the minus mirrors it.

# %%
pool = cards.pool()  # all validation photos side by side in memory, long side S = 256
settings = AugmentSettings()  # release 7.0's numbers
plan = draw_plan([28, 35], len(cards), settings, pool.size, torch.Generator().manual_seed(1))
print("members: ", plan.members[:, 0].tolist(), "(four photos an image)")
print("centers: ", plan.centers[:, 0].tolist())
print("matrices:", [[round(v, 2) for v in row] for row in plan.matrices[0, 0].tolist()], "(of the first image)")
print("gains:   ", [[round(v, 2) for v in row] for row in plan.gains.tolist()], "(hue, saturation, value)")
first, again = (render(plan, pool, settings) for _ in range(2))
assert torch.equal(first.images, again.images)
assert [round(plan.matrices[0, 0, i, i].item(), 2) for i in (0, 1)] == [-0.53, 0.53]
assert (len(spec.images("train")), len(spec.images("val"))) == (217, 48)


# %%
def panel(batch, index, title):
    """One image of a batch with its boxes in pixels of the image."""
    own = batch.targets[batch.targets[:, 0] == index]
    return Panel(title, batch.images[index], scale_boxes(cxcywh_to_xyxy(own[:, 2:]), 256, 256), own[:, 1].long())


alone = widgets.hand_plan([28, -1, -1, -1], (256, 256))  # a plan without chance: photo 28, letterboxed
plain = render(alone, pool, settings)
figures.show(
    figures.photo_panels(
        [panel(plain, 0, "photo 28 alone"), panel(first, 0, "plan 1, image 1"), panel(first, 1, "plan 1, image 2")],
        cards.names,
        columns=3,
        side=2.0,
    ),
    alt="A letterboxed photo of four cards, and two augmented images, each made of parts of four photos with boxes",
    photos=True,
    dpi=98,
)

# %% [markdown]
# ### Flip
# The simplest change. Left and right are exchanged; a point at x lands at width − x. For a box there is one trap more.
#
# **Predict, then run:** a box has x1 = 10 and x2 = 50 in an image 100 pixels wide. What is x1 in the mirrored image?

# %%
quiz.predict(
    "x1 of the mirrored box, pixels",
    answer=100 - 50,
    why="The right edge, 50, becomes the left one: 100 − 50. The new x2 is 100 − 10 = 90.",
)

# %% [markdown]
# ### Exercise 12.2 · Mirror the boxes (6 minutes, ●○○○○)
# Boxes are xyxy in pixels; pixel i covers i to i + 1, so an image of width W spans 0 to W. Return new boxes; leave the given ones as they are.


# %%
def flip_boxes(boxes, width):
    """boxes (N, 4) xyxy in pixels, width of the image → (N, 4) boxes of the image mirrored left-right."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


flip_boxes = checks.flip_boxes(flip_boxes)

# %% [markdown]
# <details><summary>Hint 1</summary><code>x1, y1, x2, y2 = boxes.unbind(-1)</code> gives the four columns.</details>
# <details><summary>Hint 2</summary>Which old edge is the left edge afterwards? A box with x1 &gt; x2 has no area, and every IoU with it is 0.</details>
# <details><summary>Solution</summary>
#
# ```python
# def flip_boxes(boxes, width):
#     x1, y1, x2, y2 = boxes.unbind(-1)
#     return torch.stack([width - x2, y1, width - x1, y2], dim=-1)
# ```
# </details>

# %%
mirrored = render(widgets.hand_plan([28, -1, -1, -1], (256, 256), flip=True), pool, settings)
before, after = panel(plain, 0, "as it is"), panel(mirrored, 0, "mirrored")
torch.testing.assert_close(after.boxes, flip_boxes(before.boxes, 256))
torch.testing.assert_close(after.image, before.image.flip(-1), atol=1e-5, rtol=0)
figures.show(
    figures.photo_panels([before, after], cards.names, side=2.4),
    alt="Four cards with their boxes, and the same mirrored left-right, boxes and all",
    photos=True,
    dpi=100,
)

# %% [markdown]
# ## 4 Mosaic: four photos on a canvas
# A canvas of twice the training size, 2S × 2S, all gray. A **center** on it, drawn at random from the middle square. Four photos meet there, each with one corner at the center; what sticks out is cut.

# %%
figures.show(figures.mosaic_layout(), alt=figures.FIGURES["L12_mosaic"][1], dpi=84)

# %% [markdown]
# With scale 1 the training image is the middle S × S of the canvas. The center is drawn from exactly this square, S/2 to 3S/2. So, before the shift, the four photos meet inside the image.
# Build one, photo by photo, and compare with the module.


# %%
def my_mosaic(photos, center, size):
    """Four uint8 (3, h, w) photos: top left, top right, bottom left, bottom right → (3, 2S, 2S), and their corners."""
    canvas = torch.full((3, 2 * size, 2 * size), 114, dtype=torch.uint8)
    corners = []
    for quadrant, photo in enumerate(photos):
        h, w = photo.shape[1:]
        x = center[0] - w if quadrant % 2 == 0 else center[0]  # left of the center, or right of it
        y = center[1] - h if quadrant < 2 else center[1]  # above it, or below
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, 2 * size), min(y + h, 2 * size)
        canvas[:, y0:y1, x0:x1] = photo[:, y0 - y : y1 - y, x0 - x : x1 - x]
        corners.append((x, y))
    return canvas, corners


members, center = [28, 43, 35, 27], (286, 236)
canvas, corners = my_mosaic([pool.sample(i).image for i in members], center, 256)
layout = lay_out(torch.tensor([members]), torch.tensor([center]), pool)
assert layout.corner.tolist() == [list(c) for c in corners]
assert torch.equal(canvas, draw_scenes(layout, 1, pool)[0])
print("top left corners on the canvas:", corners)

# %% [markdown]
# A box moves by the corner of its photo and is cut at the canvas. Then the middle is cut out. Dashed below: the frame that becomes the image.

# %%
moved = [pool.sample(i).boxes + torch.tensor([*corner, *corner]) for i, corner in zip(members, corners, strict=True)]
on_canvas = torch.cat(moved).clamp(0, 512)  # (M, 4) pixels of the canvas
classes = torch.cat([pool.sample(i).labels for i in members])
mosaic = render(widgets.hand_plan(members, center), pool, settings)
torch.testing.assert_close(mosaic.images[0] * 255, canvas[:, 128:384, 128:384].float(), atol=0.01, rtol=0)
frame = torch.tensor([[128.0, 128, 384, 384]])
figures.show(
    figures.photo_panels(
        [
            Panel("canvas, 512 × 512", canvas, on_canvas, classes, dashed=frame),
            panel(mosaic, 0, "image, 256 × 256: the middle"),
        ],
        cards.names,
        side=3.3,
    ),
    alt="Canvas with four photos of cards and their boxes around a center; the middle square of it as training image",
    photos=True,
    dpi=84,
)

# %% [markdown]
# What is gained? More objects an image, next to backgrounds they never had, cut at places where no photographer cuts. YOLOv4's authors, who introduced it, give a second reason: BatchNorm sees four photos for each image, so small batches do better.
# And objects get *smaller* if the scale is below 1. Counted on the aquarium photos, over 444 default images:

# %%
water = DetectionData(read_spec(sample_data("aquarium5.yaml")), "val", image_size=256, cache=False)
water_pool = water.pool()
many = draw_plan(list(range(len(water))) * 4, len(water), settings, 256, torch.Generator().manual_seed(0))
found = figures.scene_boxes(many, water_pool, settings)  # a list, one an image
kept = sum(int(f.keep.sum()) for f in found) / len(found)
print(f"{len(water_pool.labels) / len(water):.1f} objects a photo, {kept:.1f} an augmented image")
some = many.rows(slice(0, 40))._replace(gains=torch.ones(40, 3))
gray = (render(some, water_pool, settings).images * 255 - 114).abs().amax(dim=1) < 0.01  # (40, S, S)
print(f"{100 * gray.float().mean():.0f} % of the pixels are gray")

# %% [markdown]
# ## 5 The warp: one matrix for pixels and boxes
# Between canvas and image stands an **affine map**: a matrix times the place, plus a shift. Places are measured from the middle, in units of S, so one matrix works at every size. A positive angle turns counterclockwise on the screen (y points down). The matrix's parts, in this order: scale and rotation,
# then shear (rows pushed sideways, columns up and down), then the shift. Built from scratch, and compared with `random_affine` on the same random numbers:


# %%
def my_affine(scale, angle, shear_x, shear_y, shift_x, shift_y):
    """Angles in radians, shifts in image sizes → (2, 3) from canvas to image."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    rotation = torch.tensor([[cos, sin], [-sin, cos]])
    shear = torch.tensor([[1, math.tan(shear_x)], [math.tan(shear_y), 1]])
    return torch.cat([shear @ rotation, torch.tensor([[shift_x], [shift_y]])], dim=1)


strong = AugmentSettings(scale=0.5, degrees=30, shear=10, translate=0.1)
dice = torch.Generator().manual_seed(5)
u = [2 * torch.rand(1, generator=dice).item() - 1 for _ in range(6)]  # in the order in which random_affine draws
radians = [math.radians(30) * u[1], math.radians(10) * u[2], math.radians(10) * u[3]]
mine = my_affine(1 + 0.5 * u[0], *radians, 0.1 * u[4], 0.1 * u[5])
torch.testing.assert_close(mine, random_affine(1, strong, torch.Generator().manual_seed(5))[0])
print([[round(v, 3) for v in row] for row in mine.tolist()])

# %% [markdown]
# To draw the image, go *backwards*: for each of its pixels ask where on the canvas it comes from, and mix the four nearest pixels there. Forwards would leave holes. `grid_sample` looks up all places at once.
# It counts −1 to 1 across a picture; our unit is S, half of a canvas.


# %%
def my_warp(canvas, matrix):
    """(3, 2S, 2S) uint8, (2, 3) → (3, S, S) in [0, 1]."""
    size = canvas.shape[-1] // 2
    middles = (torch.arange(size) + 0.5) / size - 0.5  # of the image's pixels, −0.5 to 0.5
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    places = torch.stack([x, y], dim=-1) - matrix[:, 2]  # undo the shift
    # Places are rows, not columns: hence the transposed inverse, from the right. (S, S, 2), −1 to 1 on the canvas
    places = places @ torch.linalg.inv(matrix[:, :2]).T
    shifted = canvas[None].float() - 114  # so that what lies outside, 0, is gray
    return (F.grid_sample(shifted, places[None], align_corners=False)[0] + 114) / 255


warped = my_warp(canvas, mine)
torch.testing.assert_close(warped, warp_images(canvas[None], mine[None])[0], atol=1e-3, rtol=0)
print("the warp built from scratch equals yolo_edu's")

# %% [markdown]
# A box has no angle. Turn the photo, and the card's edges turn; the box must stay upright. So its four **corners** are warped, and the new box is the smallest upright one around them, their *hull*.
#
# **Predict, then run:** a square box is turned by 45 degrees, at scale 1. By which factor does the area of its label grow?

# %%
eighth = my_affine(1.0, math.radians(45), 0, 0, 0, 0)
tilted = warp_boxes(torch.tensor([[206.0, 206, 306, 306]]), eighth[None], 256)  # a square in the canvas's middle

# %%
quiz.predict(
    "area of the hull over area of the square, turned by 45 degrees",
    answer=round(area(tilted).item() / 100**2, 3),
    why="The hull's side is the square's diagonal, √2 times as long. Twice the area, and half of the label shows no object.",
)


# %%
def warp_of(title, sample, *parts):
    """A letterboxed sample under an affine map, with its boxes."""
    plan = widgets.hand_plan([sample, -1, -1, -1], (256, 256))
    return panel(render(plan._replace(matrices=my_affine(*parts).expand(1, 2, 2, 3)), pool, settings), 0, title)


gentle = [warp_of("scale 0.6", 28, 0.6, 0, 0, 0, 0, 0), warp_of("shift (0.1, −0.1)", 28, 1, 0, 0, 0, 0.1, -0.1)]
gentle += [warp_of(f"shear {d}° in x", 28, 1, 0, math.radians(d), 0, 0, 0) for d in (10, 20)]
turned = {d: warp_of(f"turned by {d}°", 12, 1, math.radians(d), 0, 0, 0, 0) for d in (0, 15, 30, 45)}
growth = {d: (area(p.boxes)[0] / area(turned[0].boxes)[0]).item() for d, p in turned.items()}
figures.show(
    figures.photo_panels([*gentle, *turned.values()], cards.names),
    alt="Cards scaled, shifted, sheared, and one card turned by up to 45 degrees; boxes around sheared and turned ones are loose",
    photos=True,
    dpi=84,
)
print("area of the label:", ", ".join(f"{d}°: × {g:.2f}" for d, g in growth.items()))

# %% [markdown]
# The module knows only the old box, not the card in it, so the hull is that of the box. See the jack: on the photo the card lies aslant, at 45° it stands upright, and there its label
# is loosest. Labels get looser up to 45° (at 90° a hull is exact again), and a network cannot learn to be tighter than its labels. Both releases leave
# rotation and shear at 0. Scale and shift keep boxes exact.

# %%
for release, values in (("June 2020", AugmentSettings.r1()), ("7.0", AugmentSettings())):
    names = ("degrees", "shear", "scale", "translate", "flip", "mosaic", "mixup")
    print(f"release {release:<9}", ", ".join(f"{name} {getattr(values, name):g}" for name in names))
    assert values.degrees == values.shear == 0

# %% [markdown]
# ### Which boxes stay labels
# The frame cuts through objects. A sliver of a fish at the border is no longer a fish that anyone could name. Release 7.0 keeps a box if all three hold:
# 1. both sides are longer than 2 pixels,
# 2. more than a tenth of its area is left, compared with the area that it *would* have without the border,
# 3. its longer side is less than 100 times the shorter.
#
# (The June 2020 release was stricter: 4 pixels, a fifth, 10.) The object stays in the picture all the same: only its label goes. From then on the network is told that there is nothing.
#
# ### Exercise 12.3 · Which boxes stay (8 minutes, ●●○○○)
# `before` are boxes on the canvas, `after` the same boxes in the image, cut at its border. `zoom` says how much the warp enlarges *areas* (scale 0.5: 0.25). Return True or False for each box.


# %%
def keep_boxes(before, after, zoom):
    """before, after (N, 4) xyxy in pixels of canvas and image, zoom (N,) → (N,) bool: stays a label."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


keep_boxes = checks.keep_boxes(keep_boxes)

# %% [markdown]
# <details><summary>Hint 1</summary><code>w, h = (after[:, 2:] - after[:, :2]).unbind(-1)</code> gives the new sides, each (N,). Combine conditions with <code>&amp;</code> and parentheses.</details>
# <details><summary>Hint 2</summary>Without a border the new area would be <code>area(before) * zoom</code>. The imported <code>area</code> takes boxes.</details>
# <details><summary>Hint 3</summary>"Longer over shorter" in one go: <code>torch.maximum(w / h, h / w)</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# def keep_boxes(before, after, zoom):
#     w, h = (after[:, 2:] - after[:, :2]).unbind(-1)
#     big = (w > 2) & (h > 2)
#     enough = area(after) / (area(before) * zoom) > 0.1
#     return big & enough & (torch.maximum(w / h, h / w) < 100)
# ```
# </details>

# %% [markdown]
# On the 444 aquarium images of section 4, your rule must keep what `render` keeps. Below, two of them; dashed boxes are inside the image and no labels any more.

# %%
assert len(found) == 444
mine = [keep_boxes(f.before, f.after, f.zoom) for f in found]  # (M,) bool an image
assert all(torch.equal(a, f.keep) for a, f in zip(mine, found, strict=True))
lost = torch.tensor([int((~f.keep).sum()) for f in found])
cut_off = torch.stack([area(f.after[~f.keep]).sum() for f in found])  # pixels that lose their label
index = cut_off.argsort(descending=True)[:2]
batch = render(many.rows(index), water_pool, settings)
panels = []
for i, image in zip(index.tolist(), batch.images, strict=True):
    stay, gone = found[i].after[found[i].keep], found[i].after[~found[i].keep]
    panels.append(Panel(f"{len(stay)} labels, {len(gone)} lost", image, stay, dashed=gone))
figures.show(
    figures.photo_panels(panels, side=2.7),
    alt="Two augmented aquarium images with many fish: solid boxes stay labels, small and cut ones are dashed",
    photos=True,
    dpi=82,
)
inside, thin, little = (
    sum(len(f.keep) for f in found),
    sum(int(((f.after[:, 2:] - f.after[:, :2]).amin(dim=1) <= 2).sum()) for f in found),
    int(lost.sum()),
)
print(f"{inside} boxes at least partly inside; {little} do not stay, {thin} of them because a side is 2 pixels or less")

# %% [markdown]
# ### Build a mosaic
# Everything so far in one place. Move the center, the scale, the flip. At the start the queen is a sliver of 1.6 pixels in the lower right corner,
# no label, hard to see: the arrow points at it. For which positions of the center does she become a label? At scale 0.5, which photos are cut? (Click a slider and use the arrow keys.)

# %%
four = cards.pool([28, 43, 35, 27])
explorer = widgets.mosaic_builder(four, cards.names, center=(286, 236), scale=0.8)

# %% [markdown]
# <details><summary>What there is to find</summary>At the start the queen is 1.6 pixels thin. One step of the center to the left makes her 2.4 pixels: enough for the first rule, not for the second, as less than a tenth of her is left. From the eighth step on (x = 278) she is a label, and two kings have entered, under a pixel wide.
# At scale 0.5 the image is the whole canvas. Only the photos that reach over its border are cut: the first at the top, the kings at the right.</details>
#
# ## 6 Colors, and two photos in one image
# **HSV** describes a color by hue (its place on the color wheel, 0 to 360 degrees), saturation (0: gray) and value (0: black). Each image gets three random factors: hue 1 ± 0.015, saturation 1 ± 0.7, value 1 ± 0.4 (release 7.0).
# Hue goes round in a circle, the other two stop at 1. No box changes.

# %%
ways = {
    "as it is": (1, 1, 1),
    "hue × 1.015": (1.015, 1, 1),
    "saturation × 1.7": (1, 1.7, 1),
    "saturation × 0.3": (1, 0.3, 1),
    "value × 1.4": (1, 1, 1.4),
    "value × 0.6": (1, 1, 0.6),
    "hue × 1.3, not a default": (1.3, 1, 1),
    "hue × 1.6, not a default": (1.6, 1, 1),
}
one = pool.sample(28).image[None].float() / 255  # (1, 3, H, W)
figures.show(
    figures.photo_panels([Panel(name, shift_colors(one, torch.tensor([g]))[0]) for name, g in ways.items()]),
    alt="Eight versions of a photo of cards: hue, saturation and value at the ends of their ranges, and hue far beyond",
    photos=True,
    dpi=70,
)

# %% [markdown]
# The hue is *multiplied*, and that has an odd effect. **Predict, then run:** a pure red pixel has hue 0. Its hue is multiplied by 1.6. What is its green channel afterwards, 0 to 1?

# %%
pixels = torch.tensor([[1.0, 0, 0], [1, 0, 1]])[:, :, None, None]  # red, magenta (hue 300)
shifted = shift_colors(pixels, torch.tensor([[1.6, 1, 1], [1.015, 1, 1]]))[:, :, 0, 0]  # (2, 3) RGB

# %%
quiz.predict(
    "green channel of pure red after hue × 1.6",
    answer=round(shifted[0, 1].item(), 4),
    why="Anything times 0 is 0: pure red never changes. Colors near the end of the wheel change most; magenta moves by 4.5 degrees at the default's strongest.",
)

# %%
red, magenta = ([round(v, 3) for v in row] for row in shifted.tolist())
print("red × 1.6:", red, "| magenta × 1.015:", magenta)
heart = one[0].flatten(1).T  # (H·W, 3) the photo's pixels
heart = heart[(heart[:, 0] - heart[:, 1:].amax(dim=1)).argmax()].tolist()  # the reddest of them
print(f"the reddest pixel of the photo above has hue {360 * colorsys.rgb_to_hsv(*heart)[0]:.0f}")
assert red == [1, 0, 0]
assert magenta == [1, 0, 0.925]  # 304.5 degrees: blue has gone down by 4.5 sixtieths

# %% [markdown]
# The hearts above did change: their red is not pure, it lies just below 360 degrees, where a factor moves it most.
#
# ### MixUp
# Two images laid over each other: share · first + (1 − share) · second (Zhang et al. 2017). In the paper, for classification, the share is drawn from a Beta distribution that favors values near 0 and 1 (small α), and the *labels* are mixed by the same share.
# Release 7.0 draws from Beta(32, 32), which stays near one half (standard deviation 0.06), and keeps all boxes of both images as full labels.

# %%
assert f"{torch.distributions.Beta(32.0, 32.0).stddev:.2f}" == "0.06"
second = [29, 30, 38, 33]
both = [render(widgets.hand_plan(m, center), pool, settings) for m in (members, second)]
a, b = (x.images for x in both)
mixed = render(widgets.hand_plan(members, center, second=second, share=0.5), pool, settings)
torch.testing.assert_close(mixed.images, 0.5 * a + 0.5 * b, atol=1e-5, rtol=0)
torch.testing.assert_close(mix_up(a, b, torch.tensor([0.5])), 0.5 * a + 0.5 * b)
assert len(mixed.targets) == len(both[0].targets) + len(both[1].targets)

# %% [markdown]
# ### CutMix
# A rectangle of the first image shows the second one, at the same place (Yun et al. 2019). For classification the label is mixed by areas. With boxes it is more honest to ask what can still be seen: of the first image what the
# rectangle does not hide, of the second what lies inside it. A box is shortened where the rectangle covers a whole side of it; it goes if less than a tenth is visible.

# %%
box, hole = torch.tensor([[100.0, 100, 200, 160]]), torch.tensor([[150.0, 90, 220, 170]])
rest, visible = uncovered(box, hole)
print("the rectangle hides the right half:", rest[0].tolist(), f"visible {visible.item():.2f}")
rest, visible = uncovered(box, torch.tensor([[150.0, 130, 220, 170]]))
print("it hides the lower right quarter:  ", rest[0].tolist(), f"visible {visible.item():.2f}")

cut = (0.4, 0.3, 0.9, 0.95)  # in image sizes
patched = render(widgets.hand_plan(members, center, second=second, cut=cut), pool, settings)
whole = torch.tensor([[round(v * 256) for v in cut]])  # (1, 4) pixels of the image
torch.testing.assert_close(patched.images, cut_mix(a, b, whole))
patched_panel = panel(patched, 0, "CutMix; dashed: the rectangle")._replace(dashed=whole.float())
panels = [
    panel(both[0], 0, "first"),
    panel(both[1], 0, "second"),
    panel(mixed, 0, "MixUp, half and half"),
    patched_panel,
]
figures.show(
    figures.photo_panels(panels, cards.names, columns=2, side=2.7),
    alt="Two mosaics of cards; both laid over each other; and the first with a rectangle that shows the second",
    photos=True,
    dpi=84,
)

# %% [markdown]
# ## 7 Two freebies that are no augmentation
# ### DropBlock
# *Dropout* sets single numbers of a layer to zero during training, so that no unit can rely on one other. On a feature map, Ghiasi et al. (2018) argue, this does little: neighboring cells say nearly the same, so what one cell loses
# its neighbors still tell. Their **DropBlock** drops whole squares.

# %%
figures.show(figures.freebie_masks(), alt=figures.FIGURES["L12_dropblock"][1], dpi=80)

# %% [markdown]
# Is it so on a real map? Take the trained network's map at stride 8, on twelve photos. Drop a tenth of it by either rule. Then fill the holes from their rims inward: a dropped cell gets the mean of what is known in its 3 × 3 neighborhood.
# How much of the variance of the dropped numbers does that explain? 1 is a perfect guess, 0 is as bad as the channel's mean.

# %%
model = load_checkpoint(shipped_weights("cards_n")).eval()  # on the CPU: twelve photos
with torch.no_grad():
    p3 = model.backbone(collate([cards[i] for i in range(0, 48, 4)], 256).images)[0]  # (12, 64, 32, 32)


def guessed(x, stays):
    """(B, C, h, w) and a mask of what stays → share of the dropped numbers' variance that neighbors explain."""
    ones, filled, known = torch.ones(x.shape[1], 1, 3, 3), x * stays, stays
    while (known == 0).any():  # one ring of every hole a turn
        total, count = (F.conv2d(v, ones, padding=1, groups=x.shape[1]) for v in (filled, known))
        filled, known = torch.where(known > 0, filled, total / count.clamp(min=1)), (count > 0).float()
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    hole = stays == 0
    return 1 - (x - filled)[hole].square().sum() / (x - mean)[hole].square().sum()


torch.manual_seed(0)
stays = {"dropout": (torch.rand_like(p3) > 0.1).float()}
stays |= {f"blocks of {b}": (drop_block2d(torch.ones_like(p3), 0.1, b) > 0).float() for b in (3, 5, 7)}
explained = {name: guessed(p3, mask).item() for name, mask in stays.items()}
for name, mask in stays.items():
    print(f"{name:<12} dropped {100 * (mask == 0).float().mean():4.1f} %, neighbors explain {explained[name]:.2f}")
assert 0.4 < explained["dropout"] < 0.5
assert explained["dropout"] > explained["blocks of 3"] > explained["blocks of 5"] > explained["blocks of 7"]

# %% [markdown]
# Around dropout's holes the neighbors explain less than half, so on this map "nearly the same" says too much. But the order is as argued: the larger the block, the less its surroundings tell. To get round it the network must use other parts of the object. `torchvision` scales what stays, so that a map's mean is kept; in evaluation
# nothing is dropped. In section 9, p is 0.1 and a block 3 × 3 cells, behind the three outputs of the backbone.
#
# ### Label smoothing
# A class answer is asked to be 1 for the right class and 0 for the others. No sigmoid reaches 1, so training pushes the raw numbers ever further out. Smoothing by ε asks for 1 − ε/2 and ε/2 instead
# (Szegedy et al. 2015 introduced the idea for a softmax, where ε is spread over all classes). Now there is a best raw number, and it is finite:

# %%
for epsilon in (0.0, 0.1, 0.2):
    positive, negative = 1 - epsilon / 2, epsilon / 2
    best = math.log(positive / negative) if epsilon else math.inf
    at_10 = F.binary_cross_entropy_with_logits(torch.tensor(10.0), torch.tensor(positive)).item()
    print(
        f"ε = {epsilon:.1f}: targets {positive:.2f} and {negative:.2f}, best raw number {best:.2f}, loss at raw 10: {at_10:.4f}"
    )

assert f"{math.log(0.95 / 0.05):.2f}" == "2.94"

# %% [markdown]
# With ε = 0.1 a raw 10 is punished: the best is 2.94. [Lesson 11](11_loss.ipynb) draws the curves. One consequence for users: the class probability asked for is 0.95 and not 1, so expect lower confidences.
#
# ## 8 What the article lists, and what YOLOv5 does
# The article (the short text on YOLOv5 that this course grew from) writes: "Like YOLO v4, YOLO v5 also includes features for backbone, which are: CutMix and Mosaic data augmentation, DropBlock regularization, and class label smoothing". This is YOLOv4's list (Bochkovskiy et al. 2020,
# section 3.4, "Bag of Freebies for backbone"). Of its four parts YOLOv5 uses one by default: mosaic.
#
# | | YOLOv4, backbone | YOLOv5 by default |
# |---|---|---|
# | mosaic | yes | yes, every image |
# | CutMix | yes | no |
# | MixUp | not in this list | no: probability 0 in release 7.0's default settings |
# | DropBlock | yes | no |
# | label smoothing | yes | no: ε = 0 |
# | scale, flip, HSV | not in this list | yes; shift by up to a tenth in release 7.0 |
#
# A **bag of freebies** is, in that paper's words, what will "only change the training strategy or only increase the training cost". *Inference* is as fast as before; training is not free of charge.
#
# The article goes on with a "bag of specials": "sigmoid activation, optimization function, cost function or loss function". In the YOLOv4 paper a bag of specials is something else: modules that cost a little inference time and
# bring accuracy, for its backbone Mish, CSP and multi-input weighted residual connections. The article's three are parts that every detector has; [lesson 01](01_convolution_block.ipynb) sorts out the activations.

# %%
for values in (AugmentSettings.r1(), AugmentSettings()):
    assert values.mosaic == 1
    assert values.flip == 0.5
    assert values.mixup == values.cutmix == 0
    assert min(values.hue, values.saturation, values.value, values.scale) > 0
assert (AugmentSettings.r1().translate, AugmentSettings().translate) == (0, 0.1)
assert Recipe().label_smoothing == 0
assert not any("drop" in type(m).__name__.lower() for m in model.modules())
print("the right column is what yolo_edu's settings of both releases say")

# %% [markdown]
# ## 9 What does each buy?
# Words are cheap. `benchmarks/freebies.py` trained the same small network from scratch many times: with nothing but letterboxed photos, and with each freebie *alone*. Everything else is equal. For each way it did so with
# several **seeds**. A seed fixes the random starting weights and every later draw; another seed is another fair attempt at the same thing. How much the results differ between seeds is the **spread**.
# That is too long to run here, so the lesson reads what was measured. MixUp needs mosaics, so it comes with them. "All of the recipe" is mosaic, affine, flip and color together.
#
# Two measures: **mAP50** counts a detection as right from an IoU of 0.5, so it asks for roughly right boxes. **mAP50-95** averages over thresholds from 0.5 to 0.95, so it asks for tight ones too ([lesson 09](09_boxes_nms_map.ipynb)).

# %%
measured = read_measured("freebies")
setting, rows, runs = measured["setting"], measured["table"], measured["runs"]
print(
    f"{setting['model']} on {setting['data']}: {setting['epochs']} epochs, squares of {setting['image_size']} pixels,"
)
print(f"calculated in {setting['precision']}, a short number format")
print(f"{len(runs)} trainings, {sum(run['seconds'] for run in runs) / 60:.0f} minutes of one core in all")
scores = {}  # (way, measure) → one score a seed
for run in runs:
    for score in ("map50", "map"):
        scores.setdefault((run["way"], score), []).append(run[score])
spread = max(max(own) - min(own) for own in scores.values())
print(f"{'':<18} seeds  mAP50: median (lowest to highest)  mAP50-95: lowest to highest")
for row in rows:
    low, high = (f(scores[row["way"], "map"]) for f in (min, max))
    middle = f"{row['median_map50']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f})"
    print(f"{row['way']:<18} {row['runs']:>5}  {middle:>33}  {low:.3f} to {high:.3f}")

# %%
figures.show(
    figures.freebie_dots(measured),
    alt="Dots of every training run, a row for each freebie, by mAP50 and mAP50-95; a gray band is the range of the runs with nothing",
    dpi=84,
)

# %% [markdown]
# The gray band is the range of the runs with nothing. Read it by one strict question: do *all* runs of a way lie above *all* runs with nothing? The next cell asks it for both measures, and then asks the same between any two freebies.

# %%
ways = [row["way"] for row in rows]
shown = {}  # measure → the ways that pass
for score, name in (("map50", "mAP50"), ("map", "mAP50-95")):
    above = [w for w in ways[1:] if min(scores[w, score]) > max(scores["nothing", score])]
    within = [w for w in ways[1:] if w not in above]
    shown[name] = above
    print(f"{name}: every run above every run with nothing?")
    print(textwrap.fill(f"yes: {', '.join(above) or 'no way'}", 84, initial_indent="  ", subsequent_indent="       "))
    print(f"  no:  {', '.join(within) or 'no way'}")
    pairs = [(a, b) for i, a in enumerate(ways[1:]) for b in ways[i + 2 :]]
    apart = [
        (a, b)
        for a, b in pairs
        if min(scores[a, score]) > max(scores[b, score]) or min(scores[b, score]) > max(scores[a, score])
    ]
    print(f"  of {len(pairs)} pairs of freebies, {len(apart)} do not overlap; by luck alone, {len(pairs) / 10:.1f}")
both = ["flip", "affine", "mosaic", "mosaic and MixUp", "CutMix", "all of the recipe"]
assert [w for w in shown["mAP50"] if w in shown["mAP50-95"]] == both
assert [w for w in shown["mAP50"] if w not in both] == ["color", "label smoothing", "DropBlock"]

# %% [markdown]
# How strong is that? Suppose a freebie did nothing at all. Six runs, three with it and three without, in random order: how often do the three with it all come out on top?
#
# **Predict, then run:** one in how many?

# %%
quiz.predict(
    "one in how many random orders of 3 + 3 runs puts the three on top",
    answer=math.comb(6, 3),
    why="There are 20 ways to choose which three of six places belong to the freebie; one of them is the top three. With nine freebies, expect about half of one such success by luck alone. Two freebies can separate either way round: 1 in 10, so 3.6 of 36 pairs.",
)

# %% [markdown]
# So what is shown here? **In both measures: flip, affine, mosaic, mosaic with MixUp, CutMix, and the recipe. Only in mAP50: color, label smoothing, DropBlock.** What the table cannot say:
# - **It cannot rank** ways whose dots overlap. The one with the best median here may be third next time.
# - **All rows share one band.** If the few runs with nothing were unlucky, every row looks good. The comparisons are not independent.
# - **A gain in one measure is not a gain in the other.** Compare the two panels.
# - **It holds for its setting**: a very small network, few epochs, 217 photos, small pictures. Compare the last row with the best single freebie: all together need not win in a short training. What a large network with
#   many photos and hundreds of epochs would say is not measured here.
# - **There are 48 validation photos.** The spread between seeds does not contain the luck of which photos these are.
#
# ## 10 When augmentation hurts
# An augmentation is right as long as the changed picture could occur, and as long as its label is still true. Three ways to break that:
#
# **Objects too thin to name.** A cut at the border leaves slivers, a zoom below 1 makes all objects smaller. At a small training size many sides fall to 2 pixels or less. The aquarium's labels once more, the same plans at three training sizes:

# %%
share_thin = {}
for size in (128, 256, 640):
    labels_only = water_pool._replace(  # no pixels: only labels move
        images=torch.empty(0, 3, size, size),
        sizes=(water_pool.sizes * size / 256).round().long(),
        boxes=water_pool.boxes * size / 256,
    )
    sides = [(labels_only.boxes[:, 2:] - labels_only.boxes[:, :2]).amin(dim=1)]
    for values in (replace(settings, scale=0.0), settings):
        draws = draw_plan(list(range(len(water))) * 4, len(water), values, size, torch.Generator().manual_seed(0))
        images = figures.scene_boxes(draws, labels_only, values)
        sides.append(torch.cat([(f.after[:, 2:] - f.after[:, :2]).amin(dim=1) for f in images]))
    share_thin[size] = [100 * (x <= 2).float().mean().item() for x in sides]
    whole, cut_only, default = share_thin[size]
    print(
        f"at {size} px too thin: letterboxed {whole:.1f} %, mosaic without zoom {cut_only:.1f} %, default {default:.1f} %"
    )
assert f"{share_thin[128][2] - share_thin[128][1]:.1f}" == "2.7"

# %% [markdown]
# Most of them are slivers at the border: they are there without zoom. The zoom adds 2.7 points at 128 pixels. A larger training size helps most, a smaller `scale` a little. The objects do not vanish with their labels: they stay in the picture as
# examples of "nothing here".
#
# **Flips that change the answer.** Mirrored text is no text; a mirrored left hand is a right hand, and a "turn left" sign says right. Below, the ten: its digits are mirrored, and no such card exists. For cards the pips are enough,
# see the row "flip" above.
#
# **Colors that carry the answer.** If ripe and unripe, or red and green lights, differ by color only, a strong hue shift makes one into the other and keeps the label: the hearts of section 6 went green and blue.

# %%
ten = cards.pool([9])
flipped = panel(render(widgets.hand_plan([0, -1, -1, -1], (256, 256), flip=True), ten, settings), 0, "")
x1, y1, x2, y2 = (int(v) for v in flipped.boxes[0].tolist())
crop = Panel("a ten from a mirror", flipped.image[:, y1:y2, x1:x2])
same = Panel("the ten as it is", crop.image.flip(-1))
figures.show(
    figures.photo_panels([same, crop], side=1.8),
    alt="A ten of spades, and the same card mirrored: the digits read backwards",
    photos=True,
    dpi=100,
)

# %% [markdown]
# | your data | setting |
# |---|---|
# | text, or classes called left and right | `flip=0` |
# | color tells the classes apart | `hue=0`, a small `saturation` |
# | objects of few pixels | a larger training size, a smaller `scale` |
# | objects at every angle | `degrees`; expect looser boxes (section 5) |
#
# And always: draw a batch as training sees it, and ask of each picture whether *you* would give this answer. Settings are plain numbers; change one with `replace`:

# %%
careful = replace(AugmentSettings(), flip=0.0, hue=0.0, scale=0.3)
look = render(draw_plan([0, 9, 28, 43], len(cards), careful, 256, torch.Generator().manual_seed(3)), pool, careful)
assert (draw_plan([0] * 8, 48, careful, 256, torch.Generator()).matrices[:, :, 0, 0] > 0).all()  # none is mirrored
figures.show(
    figures.photo_panels([panel(look, i, f"image {i + 1}") for i in range(4)], cards.names),
    alt="Four augmented images of cards with their boxes, none of them mirrored",
    photos=True,
    dpi=82,
)

# %% [markdown]
# Release 7.0's mosaics teach a world of patchwork that no photo shows. Some recipes therefore end with a few epochs without mosaic (`plain_epochs` here); what that brings on these cards is not measured in this lesson.
#
# ## Quiz

# %%
quiz.ask(
    "The linter reports nothing. Your labels are",
    [
        "right: everything was checked",
        "well formed; whether a box lies on its object, only a look at the pictures tells",
        "right if there are no warnings either",
    ],
    answer=1,
    why="Two corners read as center and size, swapped x and y, or swapped class numbers can all be legal rows.",
)

# %%
quiz.ask(
    "Your detections have the right size, but on landscape photos all of them sit too low, on portraits too far right. What was forgotten?",
    [
        "To divide by the scale",
        "To subtract left and top before dividing by the scale",
        "To subtract 0.1 before rounding",
    ],
    answer=1,
    why="The gray is above on landscape photos and on the left of portraits. Without the subtraction its width stays in the coordinates. A forgotten scale would make the boxes the wrong size.",
)

# %%
quiz.ask(
    "You rotate photos by up to 45 degrees. The boxes of a trained detector are too large. Why?",
    [
        "The labels are hulls of warped corners, twice as large as the object or more, and the network learned that",
        "Rotation needs a larger image",
        "The anchors do not rotate",
    ],
    answer=0,
    why="A box has no angle. At 45 degrees a square's hull has 2 times its area, that of a box of 1 : 2 has 2.25 times. Release 7.0 leaves degrees and shear at 0 for data that does not need them.",
)

# %%
quiz.ask(
    "A detector was trained with mosaic, DropBlock and label smoothing. Is it slower in use?",
    [
        "Yes, four photos take four times as long",
        "Only by DropBlock, which is a layer",
        "No: all of it happens in training only",
    ],
    answer=2,
    why="That is what makes them freebies. DropBlock passes its input on unchanged in evaluation; the others never reach the network.",
)

# %%
quiz.ask(
    "One run with your new augmentation scores 0.61, one without scores 0.59. What do you know?",
    [
        "Too little: two runs of the same setting can differ by as much",
        "It helps by two points",
        "It helps, but by less than two points",
    ],
    answer=0,
    why=f"In section 9, runs of one way lie up to {spread:.2f} apart. Run each way with several seeds before you believe a difference of this size.",
)

# %%
quiz.ask(
    "Why does release 7.0 delete the label of a box that is 1.6 pixels wide after the warp?",
    [
        "It would not fit any anchor",
        "Hardly anything of the object can be seen, so the label would ask for a guess",
        "Boxes under 2 pixels crash the loss",
    ],
    answer=1,
    why="It is a judgment about what is fair to ask. The object's last pixels stay in the picture, as background.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the linter finds eight of nine planted faults, and cannot find the ninth | assertion in section 1; `tests/test_lint.py::test_faults_of_a_row` |
# | letterbox numbers by hand equal the module's; boxes there and back | assertions in section 2; `tests/test_data.py::test_letterbox_of_boxes_there_and_back` |
# | your letterbox, flip and keeping rule are right | exercises 12.1, 12.2, 12.3, against a reference on random inputs |
# | a plan repeats a batch | assertion in section 3; `tests/test_augment.py::test_a_seed_repeats_the_batch_and_targets_are_legal` |
# | the mosaic and the warp built from scratch equal the module's | assertions in sections 4 and 5; `tests/test_warp.py::test_four_samples_meet_in_the_center` |
# | boxes move with their pixels | `tests/test_warp.py::test_boxes_move_with_their_pixels` |
# | MixUp and CutMix are what they say; the share is from Beta(32, 32) | assertions in section 6; `tests/test_plan.py::test_the_middle_of_63_uniform_numbers_is_beta_32_32` |
# | hue is multiplied: red stays, magenta moves | assertion in section 6; `tests/test_mix.py::test_colors_equal_the_standard_library_all_around_the_wheel` |
# | neighbors fill dropout's holes better than DropBlock's | assertion in section 7 |
# | which freebies section 9 shows, and in which measure | assertion in section 9 |
# | most thin boxes are slivers, not shrunken objects | assertion in section 10 |
# | YOLOv5's defaults | assertions in sections 5 and 8; `tests/test_plan.py::test_release_1_is_stricter` |
# | the table of section 9 is what the benchmark measured | `tests/test_lesson_augmentation.py::test_the_shipped_measurement_is_the_benchmark_s` |
# | figures and widget say what the module does | `tests/test_lesson_augmentation.py` |
#
# **References** Bochkovskiy, Wang, Liao 2020, arXiv:2004.10934 (mosaic, bag of freebies) · Zhang, Cisse, Dauphin, Lopez-Paz 2017, arXiv:1710.09412 (mixup) · Yun, Han, Oh, Chun, Choe, Yoo 2019, arXiv:1905.04899 (CutMix) ·
# Ghiasi, Lin, Le 2018, arXiv:1810.12890 (DropBlock) · Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, arXiv:1512.00567 (label smoothing)
#
# ← [11 The loss](11_loss.ipynb) · **12 Data and augmentation** · [13 The training loop](13_training_loop.ipynb) →
