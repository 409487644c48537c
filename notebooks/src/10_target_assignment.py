# %% [markdown]
# # 10 · Target assignment: which cell must predict which object
#
# **75 minutes · difficulty ●●●●○ · importance ●●●●●**
#
# After this lesson you can
# - follow one box from the pixels of a photo to the four raw numbers that a network must output for it, and back,
# - say for any object which anchors, which levels and which cells must predict it, and why these,
# - write the whole assignment with plain loops, equal to the fast one entry by entry,
# - say what happens to objects that share a cell, lie on a border, or fit no anchor,
# - count all of that on your own data.
#
# Half of the time goes into the exercises. You need [lesson 07](07_anchors_and_detect.ipynb) (anchors, and the box formula 2σ − 0.5 and (2σ)²) and [lesson 09](09_boxes_nms_map.ipynb)
# (box formats, IoU).

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
import torch

from yolo_edu.anchors import default_anchors
from yolo_edu.assets import sample_data
from yolo_edu.assign import assign, chosen_cells, fitting_anchors
from yolo_edu.boxes import cxcywh_to_xyxy, iou, scale_boxes, xyxy_to_cxcywh
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.data import DetectionData, collate, letterbox, read_spec
from yolo_edu.loss import objectness_target
from yolo_edu.model.detect import STRIDES, Detect, decode_box, encode_box

# %%
figures.show(
    figures.network_map("detect"),
    alt="The map of YOLOv5 with its last row, Detect, lit: there the raw predictions come out that the loss compares with the truth",
    dpi=74,
)

# %% [markdown]
# The network ends at `Detect`. On the way *image → data → augment → model → **assign** → loss → train* we stand between the model and the loss. No parameter
# is here, and nothing is learned. But what is decided here is what the network is *told* to learn.
#
# ## 1 The problem
# Take a batch of 16 photos of cards at 256 × 256 pixels. The head answers on three grids, **P3**, **P4**, **P5**, with cells of 8, 16 and 32 pixels. In each cell it
# predicts three boxes, one an anchor. We call one anchor in one cell of one level of one image a **slot**.
#
# **Predict, then run:** how many slots does the batch have?

# %%
quiz.predict(
    "slots of 16 images of 256 × 256 pixels",
    answer=16 * sum(3 * (256 // stride) ** 2 for stride in STRIDES),
    why="16 images · 3 anchors · (32² + 16² + 8²) cells. Every one of them predicts a box, whether there is an object or not.",
)

# %%
levels, size = ("P3", "P4", "P5"), 256
anchors = default_anchors()  # (L, A, 2) pixels of the network's input
cells = anchors / torch.tensor(STRIDES)[:, None, None]  # (L, A, 2) grid cells of each level
assert torch.equal(cells, Detect(5).anchors)
grids = [(size // stride, size // stride) for stride in STRIDES]  # (rows, columns) of each level
assert 16 * sum(3 * rows * columns for rows, columns in grids) == 64_512

spec = read_spec(sample_data("train_5classes.yaml"))
cards = DetectionData(spec, "val", image_size=size, cache=False)
batch = collate([cards[i] for i in range(26, 42)], size)  # images (16, 3, 256, 256), targets (M, 6)
print(f"{len(batch.images)} images, {len(batch.targets)} objects")
print("image, class, cx, cy, w, h, normalized:", [round(v, 3) for v in batch.targets[8].tolist()])

# %% [markdown]
# The labels hold 44 objects; the network gives 64,512 answers. To train, we must say for *every* slot what it should have answered. **Target assignment** is the rule that
# does: it picks the slots that must predict an object. They are called **positive**. All others are negative: they must say "no object", and nothing is asked about their box and class.
#
# The rule returns a list of **entries** for each level. An entry says: *in this image, this anchor in this row and this column must predict this class and this box.*

# %%
entries = assign(batch.targets, grids, cells)  # one Assignment a level
for name, level in zip(levels, entries, strict=True):
    print(f"{name}: {len(level.image)} entries")
assert sum(len(level.image) for level in entries) / len(batch.targets) > 15

level = entries[1]
print("\nP4      image  anchor  row  column  class  box: x, y, w, h in cells, from the cell's corner")
for e in (0, 1, 60, 120, 300):
    place = [int(v[e]) for v in (level.image, level.anchor, level.row, level.column, level.label)]
    print("entry {:>3} {:>4} {:>7} {:>5} {:>7} {:>6}".format(e, *place), [round(v, 2) for v in level.box[e].tolist()])

# %% [markdown]
# 44 objects have become more than 800 entries: one object is the task of many slots. Of the labels, the loss of lesson 11 knows nothing else. It takes the prediction at [image, anchor, row, column] and compares it
# with class and box.
#
# One slot may hold several entries (sections 5 and 8). And there are two versions of the rule: `assign` follows release 7.0 (`rule="r7"`) unless you ask for the June 2020 release (`rule="r1"`); section 5 tells them apart.
#
# The rule came with the code of the June 2020 release. We know of no paper that explains it. What this lesson gives as a reason is what can be derived from the box
# formula, or measured.
#
# ## 2 Seven frames for one box
# Most errors with boxes are errors of **frame**: right numbers, read in the wrong unit or from the wrong corner. Between a label file and the raw output a box goes through seven frames.
#
# | | frame | a box is | who uses it |
# |---|---|---|---|
# | 0 | normalized to the photo | center and size, 0 to 1 | label files |
# | 1 | pixels of the photo | corners | drawing, results |
# | 2 | pixels of the square | corners or center | the network's input, after the **letterbox** (scaled, then padded with gray) |
# | 3 | normalized to the square | center and size, 0 to 1 | `targets` of a batch |
# | 4 | cells of a level | center and size | this lesson: anchor test, choice of cells |
# | 5 | cells, from the corner of *one* cell | center and size | entries, the loss |
# | 6 | raw numbers (logits: what enters the sigmoid) | four numbers | what the convolution puts out, for one anchor |
#
# Frames 0 and 3 look alike and are not the same: on a photo that is not square, the gray padding lies between them.
#
# Here is one ace on its way through frames 1 to 6: the middle anchor of P4, in the cell with the center.

# %%
large = DetectionData(spec, "val", image_size=416, cache=False)[28]  # a photo of 312 × 416 pixels
box = large.boxes[0]  # (4,) xyxy, pixels of the photo
figures.show(
    figures.box_frames(large.image, box, size, 1, cells[1, 1]),
    alt="One ace with its box in frames 1 to 6: photo, square, normalized, cells of P4, cells from one cell's corner, and the four raw numbers as bars",
    photos=True,
    dpi=80,
)

# %% [markdown]
# The same box, other numbers on the axes. Now in code, forward, step by step.

# %%
square, placed = letterbox(large.image, size)  # (3, 256, 256), and how the photo was put into it
stride = STRIDES[1]
pixels = placed.apply(box)  # 1 → 2: times the scale, plus the padding
normalized = scale_boxes(xyxy_to_cxcywh(pixels), 1 / size, 1 / size)  # 2 → 3
rows, columns = grids[1]
in_cells = scale_boxes(normalized, columns, rows)  # 3 → 4: x and w times columns, y and h times rows
column, row = (int(v) for v in in_cells[:2])  # rounded down: the cell with the center
relative = in_cells - torch.tensor([column, row, 0, 0])  # 4 → 5
raw = encode_box(relative, cells[1, 1])  # 5 → 6: the box formula backwards
label = scale_boxes(xyxy_to_cxcywh(box), 1 / 312, 1 / 416)  # frame 0, as the label file has it
frames = {
    "label": label,
    "photo": box,
    "square": pixels,
    "normalized": normalized,
    "cells": in_cells,
    "relative": relative,
    "raw": raw,
}
for number, (name, values) in enumerate(frames.items()):
    print(f"{number} {name:<10}", "  ".join(f"{v:8.3f}" for v in values.tolist()))
print(f"cell: row {row}, column {column}")

# %% [markdown]
# The anchor is 62 pixels wide and the ace 62.5: so raw w is nearly 0, where (2σ)² is 1. And backwards. Each step must undo its partner.

# %%
back = decode_box(raw, cells[1, 1])  # 6 → 5
torch.testing.assert_close(back, relative)
back = back + torch.tensor([column, row, 0, 0])  # 5 → 4
torch.testing.assert_close(back, in_cells)
back = scale_boxes(back, 1 / columns, 1 / rows)  # 4 → 3
torch.testing.assert_close(back, normalized)
back = cxcywh_to_xyxy(scale_boxes(back, size, size))  # 3 → 2
torch.testing.assert_close(back, pixels)
back = placed.undo(back)  # 2 → 1
torch.testing.assert_close(back, box)
torch.testing.assert_close(scale_boxes(xyxy_to_cxcywh(back), 1 / 312, 1 / 416), label)  # 1 → 0
assert (label[0] - normalized[0]).abs() > 0.04  # frames 0 and 3: not the same
print("there and back:", [round(v, 2) for v in back.tolist()])

# %% [markdown]
# The strongest test writes the raw numbers into an empty output of the network, at [image, anchor, row, column], and lets the network's own `decode` read it. It must return the ace, in pixels of the
# square. And it is where the classic bug shows: `[…, column, row]` instead of `[…, row, column]`.

# %%
detect = Detect(5)


def decoded_at(first, second):
    """Raw numbers into P4 at [0, 1, first, second] → center and size, pixels of the square."""
    maps = [torch.zeros(1, 3, *grid, 10) for grid in grids]
    maps[1][0, 1, first, second, :4] = raw
    before = 3 * grids[0][0] * grids[0][1]  # rows of the decoded table that belong to P3
    return detect.decode(maps)[0, before + (1 * rows + first) * columns + second, :4]


right, swapped = decoded_at(row, column), decoded_at(column, row)
print("true center  ", [round(v, 1) for v in xyxy_to_cxcywh(pixels)[:2].tolist()])
print("[row, column]", [round(v, 1) for v in right[:2].tolist()])
print("[column, row]", [round(v, 1) for v in swapped[:2].tolist()])
torch.testing.assert_close(right, xyxy_to_cxcywh(pixels))
assert (swapped[:2] - right[:2]).abs().min() > 2 * stride

# %% [markdown]
# Nothing stopped. On a square grid the swapped index exists; a network trained with this bug is told to find each card from a cell that lies elsewhere. On a grid of 12 × 20 cells the same bug
# stops with an index error, or not, depending on where the object lies. Remember it in three lines:
# - x, width, **column**, number of columns belong together; so do y, height, **row**, number of rows,
# - boxes list x first; maps are indexed row first,
# - test with a photo that is not square, and an object off the diagonal.
#
# ## 3 Step 1: which anchors?
# Frame 4, cells of one level; or pixels, since only ratios count. Divide the object's width by the anchor's, and its height likewise. Call such a quotient r. A side is *off* by the larger of r and 1/r. An anchor **fits** if neither
# side is off by 4 or more: max(r, 1/r) < 4 for width and height.

# %%
width, height = (pixels[2:] - pixels[:2]).tolist()
print(f"the ace: {width:.1f} × {height:.1f} pixels of the square")
print("anchor          w ratio  h ratio  off by")
for name, shapes in zip(levels, anchors.tolist(), strict=True):
    for w, h in shapes:
        ratios = width / w, height / h
        off = max(max(r, 1 / r) for r in ratios)
        verdict = "fits" if off < 4 else "no"
        print(f"{name} {w:>4.0f} × {h:<4.0f} {ratios[0]:>9.2f} {ratios[1]:>8.2f} {off:>7.2f}  {verdict}")

# %% [markdown]
# Seven of nine fit, on all three levels. No level is *the* level of an object: several may take it, each with its own cells.
#
# ### Exercise 10.1 · The anchor test (8 minutes, ●●○○○)
# Do the test for all objects and anchors at once. True where **both** sides are off by less than the threshold, in **both** directions.


# %%
def anchor_test(sizes, anchors, threshold=4.0):
    """sizes (M, 2) of objects, anchors (A, 2), the same unit → (A, M) bool: which fits which."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


anchor_test = checks.anchor_test(anchor_test)

# %% [markdown]
# <details><summary>Hint 1</summary><code>sizes[None] / anchors[:, None]</code> is (A, M, 2): every object over every anchor, width and height.</details>
# <details><summary>Hint 2</summary><code>torch.maximum(r, 1 / r)</code> is how far a side is off, whichever is the larger.</details>
# <details><summary>Hint 3</summary>The worse side decides: the maximum over the last axis, <code>.amax(dim=-1)</code>, must be below the threshold.</details>
# <details><summary>Solution</summary>
#
# ```python
# def anchor_test(sizes, anchors, threshold=4.0):
#     ratio = sizes[None] / anchors[:, None]
#     off = torch.maximum(ratio, 1 / ratio).amax(dim=-1)
#     return off < threshold
# ```
# </details>

# %% [markdown]
# ### Why a ratio, and not the overlap?
# Older detectors ask for the overlap (IoU) of object and anchor. But what a slot *can* predict is limited side by side: (2σ)² · anchor, at most four anchors wide and four anchors high. The
# overlap mixes both sides up, and so it judges wrongly. Two objects for an anchor of 62 × 45, all with one center:

# %%
anchor = anchors[1, 1]
both = torch.stack([anchor * 3.9, anchor * torch.tensor([4.5, 1.0])])  # (2, 2)
centered = [cxcywh_to_xyxy(torch.cat([torch.zeros_like(s), s], dim=-1)) for s in (both, anchor)]
overlap, fits = iou(centered[0], centered[1]), anchor_test(both, anchor[None])[0]
words = ("3.9 × as wide, 3.9 × as high", "4.5 × as wide, as high")
for text, value, fit in zip(words, overlap, fits, strict=True):
    print(f"{text:<30} IoU {value:.3f}  {'in reach' if fit else 'out of reach'}")
assert overlap[0] < overlap[1]  # the overlap prefers the one that can never be predicted
assert fits.tolist() == [True, False]

# %% [markdown]
# ### Why 4?
# Because (2σ)² reaches 4 only for an infinite raw number. Below: the raw number that a ratio needs.

# %%
wanted = torch.tensor([1 / 16, 1 / 4, 1.0, 2.0, 3.0, 3.9, 3.99, 4.0, 5.0])
needed = encode_box(torch.stack([torch.zeros(9), torch.zeros(9), wanted, wanted], dim=1), torch.ones(2))[:, 2]
for r, t in zip(wanted.tolist(), needed.tolist(), strict=True):
    print(f"ratio {r:<7.4g} raw {t:.2f}")
assert needed[7] == torch.inf
assert needed[8].isnan()

# %% [markdown]
# (`nan`, not a number: no raw number gives a ratio of 5.) So upwards the limit is forced. Downwards it is a choice. A ratio of 1/16 is easily said, and yet the test refuses everything from 1/4 down: small objects are left to smaller anchors.
#
# The threshold is a setting (`anchor_threshold`); above 4 it would demand the impossible. The sizes that each anchor takes, with the cards and the sea animals of our two data sets (split *val*) at 256 pixels:

# %%
aquarium = DetectionData(read_spec(sample_data("aquarium5.yaml")), "val", image_size=size, cache=False)
labels = {"cards": cards.box_sizes(), "aquarium": aquarium.box_sizes()}  # (N, 2) pixels of the square
figures.show(
    figures.ratio_regions(anchors, labels),
    alt=figures.FIGURES["L10_ratio"][1] + " Cards and sea animals as points.",
    dpi=80,
)

for name, sizes in labels.items():
    taken = fitting_anchors(sizes, anchors.reshape(-1, 2), 4.0)  # (9, N)
    assert torch.equal(taken, anchor_test(sizes, anchors.reshape(-1, 2)))
    print(f"{name}, split val: {taken.sum(dim=0).float().mean():.2f} of 9 anchors fit an object on average")

# %% [markdown]
# **Predict, then run:** look at how the nine squares overlap. How many of the nine anchors can fit one and the same object, at most?

# %%
sides = torch.arange(1, 420, 0.5)
every = torch.cartesian_prod(sides, sides)  # every size
most = fitting_anchors(every, anchors.reshape(-1, 2), 4.0).sum(dim=0).max()
one_more = torch.tensor([[39.5, 51], [94, 82], [100, 85]])  # the last two fit 373 × 326 as well
assert fitting_anchors(one_more, anchors.reshape(-1, 2), 4.0).sum(dim=0).tolist() == [8, 7, 7]

# %%
quiz.predict(
    "anchors that fit one object, at most",
    answer=int(most),
    why="An object of 39.5 × 51 pixels fits all of P3, all of P4 and two of P5. The last one needs more than 93 × 81 pixels; then 10 × 13 and 16 × 30 are lost.",
)

# %% [markdown]
# ## 4 Steps 2 and 3: which cells?
# Frame 4, cells. **Step 2** is as old as YOLO: the cell that holds the center must predict the object. Column = x rounded down, row = y rounded down.
#
# **Step 3** is this detector's own: the nearest neighbors join. If the center lies in the left half of its cell, the left neighbor; in the right half, the right one; likewise up and down. With *frac* for what is behind the
# decimal point, the June 2020 release says
# - **left** if frac(x) < 0.5 and x > 1, **right** if frac(x) > 0.5 and x < columns − 1,
# - **up** if frac(y) < 0.5 and y > 1, **down** if frac(y) > 0.5 and y < rows − 1.
#
# The second half of each condition keeps the neighbor on the grid: a center with x below 1 has no left neighbor. (At exactly x = 1 there is one, and the rule refuses it all the same.) Why the *nearest*, and only two? Look at what each cell around a center would have to predict.

# %%
figures.show(figures.neighbor_rule(), alt=figures.FIGURES["L10_neighbors"][1], dpi=80)

# %% [markdown]
# Every cell measures the center from its own corner. The left neighbor stands one cell further left, so it must say 1.31 instead of 0.31. The formula 2σ − 0.5 spans −0.5 to 1.5, both ends excluded: 1.31 is in reach. The
# right neighbor would have to say −0.69, which no raw number gives. So formula and rule fit each other: **of the four side neighbors, exactly the two nearest are in reach.**
#
# The diagonal neighbor between the two could answer as well (below left in the figure). The rule does not use it; we know of no published reason.

# %%
x, y = 0.31, 0.62  # frac of the center, as in the figure
offsets = {"center": (x, y), "left": (x + 1, y), "down": (x, y - 1), "right": (x - 1, y), "up": (x, y + 1)}
for name, offset in offsets.items():
    needs = encode_box(torch.tensor([*offset, 1.0, 1.0]), torch.ones(2))[:2]  # raw x, y
    print(f"{name:<7} offset {offset[0]:5.2f} {offset[1]:5.2f}   raw x {needs[0]:6.2f}, raw y {needs[1]:6.2f}")
    assert needs.isfinite().all() == (name in ("center", "left", "down"))

# %% [markdown]
# ### Exercise 10.2 · The chosen cells (10 minutes, ●●○○○)
# Frame: cells of one level. Return five answers in this order: center, left, up, right, down. Use the four conditions above, those of the June 2020 release. Mind that there may be more columns than rows.


# %%
def neighbor_cells(x, y, columns, rows):
    """Center x, y in cells → [center, left, up, right, down], True where that cell is chosen."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


neighbor_cells = checks.neighbor_cells(neighbor_cells)

# %% [markdown]
# <details><summary>Hint 1</summary>The fraction is <code>x % 1</code>.</details>
# <details><summary>Hint 2</summary>The center is always chosen. x decides about left and right and is compared with <code>columns</code>; y decides about up and down and is compared with <code>rows</code>.</details>
# <details><summary>Hint 3</summary>A fraction of exactly 0.5 chooses neither side: both conditions are strict.</details>
# <details><summary>Solution</summary>
#
# ```python
# def neighbor_cells(x, y, columns, rows):
#     left = x % 1 < 0.5 and x > 1
#     up = y % 1 < 0.5 and y > 1
#     right = x % 1 > 0.5 and x < columns - 1
#     down = y % 1 > 0.5 and y < rows - 1
#     return [True, left, up, right, down]
# ```
# </details>

# %% [markdown]
# Your function on the ace, level by level:

# %%
for name, (rows, columns), stride in zip(levels, grids, STRIDES, strict=True):
    x, y = (xyxy_to_cxcywh(pixels)[:2] / stride).tolist()
    chosen = neighbor_cells(x, y, columns, rows)
    joined = [n for n, c in zip(("center", "left", "up", "right", "down"), chosen, strict=True) if c]
    print(f"{name}: center ({x:5.2f}, {y:5.2f}) → {', '.join(joined)}")

# %% [markdown]
# On P5 the *upper* neighbor joins, on P4 the *lower* one: each level has its own grid, so the same center lies in another quadrant.
#
# **Predict, then run:** seven anchors fit the ace (section 3). How many entries does it give on all levels together?

# %%
target = torch.cat([torch.zeros(2), normalized])  # image 0, class 0, the ace
of_the_ace = assign(target[None], grids, cells)

# %%
quiz.predict(
    "entries of the ace on P3, P4 and P5 together",
    answer=sum(len(level.image) for level in of_the_ace),
    why="On each level three cells are chosen, and each fitting anchor is paired with each chosen cell of its level: 7 · 3.",
)

# %% [markdown]
# ### What the neighbors buy
# Positive slots are rare, and only they teach box and class. With the neighbors there are three times as many entries. Counted on two data sets (split *train* from here on), with and without them:


# %%
def all_targets(data):
    """Every object of a split: (M, 6) image, class, and box normalized to the square."""
    found = [collate([sample], size).targets for sample in data]
    for image, targets in enumerate(found):
        targets[:, 0] = image
    return torch.cat(found)


data = {
    name: DetectionData(read_spec(sample_data(file)), "train", image_size=size, cache=False)
    for name, file in (("cards", "train_5classes.yaml"), ("aquarium", "aquarium5.yaml"))
}
truth = {name: all_targets(split) for name, split in data.items()}
for name, targets in truth.items():
    positive = sum(len(level.image) for level in assign(targets, grids, cells))
    sizes = targets[:, 4:] * size  # pixels of the square
    alone = int(fitting_anchors(sizes, anchors.reshape(-1, 2), 4.0).sum())  # one a fitting anchor
    print(f"{name:<9} {len(targets):>5} objects, center cells {alone:>6}, ", end="")
    print(f"with neighbors {positive:>6}: {positive / alone:.2f} times")
    assert abs(positive / alone - 3) < 0.05

# %% [markdown]
# Not exactly 3. Less, because objects at the border of the image lack a neighbor and centers in the exact middle of a cell have none. More, because of what release 7.0 does on the border between two cells.
#
# ## 5 What release 7.0 changed
# Release 7.0 (November 2022) leaves left and up as they were. Right and down it measures *from the far side*: **right** if frac(columns − x) < 0.5 and columns − x > 1, **down** likewise with rows − y. For nearly every center this says the same. Not for a center exactly on the border
# of two cells, x = 4.0 on 8 columns:
# - June 2020: frac(4.0) = 0. Left joins. Right does not, since 0 is not above 0.5.
# - Release 7.0: left joins. And frac(8 − 4.0) = 0 is below 0.5, so right joins as well.
#
# What *right* gets is a surprise. The code finds a neighbor's cell by moving the center by half a cell before rounding down. 4.0 + 0.5 rounds down to 4, the center's cell. So that cell stands in the list twice.

# %%
on_border = torch.tensor([[0, 0, 4.0 / 8, 2.7 / 8, 1 / 8, 1 / 8]])  # x 4.0, y 2.7 of 8 × 8 cells
one_anchor = torch.ones(1, 1, 2)  # one cell wide, one high
for rule, release in (("r1", "June 2020"), ("r7", "release 7.0")):
    chosen = chosen_cells(torch.tensor([[4.0, 2.7]]), 8, 8, rule)[:, 0].tolist()
    (level,) = assign(on_border, [(8, 8)], one_anchor, rule=rule)
    where = list(zip(level.row.tolist(), level.column.tolist(), strict=True))
    names = [n for n, c in zip(("center", "left", "up", "right", "down"), chosen, strict=True) if c]
    print(f"{release:<12} {', '.join(names):<27} (row, column): {where}")
assert where.count((2, 4)) == 2

# %% [markdown]
# The copy makes this cell count twice in the box and class loss. For objectness it changes nothing, unless another object claims the same slot: then the order decides (section 8), and the copy stands late, among the
# *right* or *down* entries.
#
# The other change is a **clamp**. A center exactly at the right border of the image, x = 1 when normalized, has no cell: column 8 of 0 to 7. In June 2020 this entry points outside of the map. Release 7.0 moves it into
# the last cell and measures the box from there.

# %%
at_edge = torch.tensor([[0, 0, 1.0, 2.7 / 8, 1 / 8, 1 / 8]])
for rule in ("r1", "r7"):
    (level,) = assign(at_edge, [(8, 8)], one_anchor, rule=rule)
    try:
        torch.zeros(1, 1, 8, 8)[level.image, level.anchor, level.row, level.column]
        result = "all inside the map"
    except IndexError as error:
        result = f"IndexError: {error}"
    print(rule, "columns", level.column.tolist(), "offset x", level.box[:, 0].tolist(), result)
    assert (level.column.max() < 8) == (rule == "r7")

# %% [markdown]
# In release 7.0 the center and its left neighbor have both come to column 7: the clamp is a second source of doubles.
#
# On a GPU such an index stops the program with a message that says much less. How often does all this matter? Counted:

# %%
for name, targets in truth.items():
    old, new = (assign(targets, grids, cells, rule=rule) for rule in ("r1", "r7"))
    counts = [sum(len(level.image) for level in release) for release in (old, new)]
    more = 100 * (counts[1] / counts[0] - 1)
    print(f"{name}: entries {counts[0]} in June 2020, {counts[1]} in release 7.0: {more:.1f} % more")
    for k, (rows, columns) in enumerate(grids):
        center = targets[:, 2:4] * torch.tensor([columns, rows])
        border, middle = ((center % 1 == fraction).any(dim=1).sum() for fraction in (0, 0.5))
        print(f"  {levels[k]}: {int(border)} of {len(targets)} centers on a border, {int(middle)} in a middle line")
    assert targets[:, 2:4].max() < 1  # no center at the edge: nothing to clamp

# %% [markdown]
# In the aquarium, too many for a coincidence. Its labels lie on a raster. How many coordinates are multiples of 1, ¼ and ⅛ pixel?

# %%
for name, targets in truth.items():
    center = targets[:, 2:4] * size  # pixels of the square
    share = [((center * k) % 1 == 0).float().mean().item() for k in (1, 4, 8)]
    whole = center[center % 1 == 0]
    print(f"{name:<9} whole {share[0]:6.1%}, quarters {share[1]:6.1%}, eighths {share[2]:6.1%}; ", end="")
    print(f"of {len(whole)} whole ones {int((whole % 8 == 0).sum())} are multiples of 8")
assert share[1] > 0.96
assert share[2] == 1  # the aquarium's

# %% [markdown]
# Nearly all of the aquarium's coordinates lie on quarters, so every fourth is a whole number, and of these about every eighth is the border of two cells of P3. The cards have no raster; yet their seven whole numbers all lie on a border. The border case is rare only in thought. The clamp never came into play: a box of some width inside its
# image has its center inside as well.
#
# ## 6 The microscope
# One object on the three grids, by the rule of release 7.0. C is the cell with the center; L, U, R, D are neighbors, hatched. Each panel shows another crop.

# %%
figures.show(
    figures.entry_cells(batch.images[2], batch.targets[8], cells),
    alt="The ace on the grids of P3, P4 and P5: center cell C with two lettered neighbors on each, and the anchors that fit around the center",
    photos=True,
    dpi=80,
)
assert torch.allclose(batch.targets[8, 2:], normalized, atol=0.005)  # the ace of section 2
offsets = torch.cat([level.box[:, :2] for level in of_the_ace])
assert ((offsets > -0.5) & (offsets < 1.5)).all()  # every offset can be said
assert sum(len(level.image) for level in of_the_ace) == 21

# %% [markdown]
# Now move the box yourself: drag it, drag a corner, or press Tab and use the arrow keys (one pixel each; with Shift: the size). The ace's corners are rounded here: its center is x = 92.5, its width 63. Three things to try:
# - press Shift and → once: 64 pixels wide. Why does the anchor 16 × 30 drop out at exactly 64?
# - then press → three times: the center is at x = 96. Switch the release.
# - move the center across the middle of a cell: which letter changes sides?

# %%
explorer = widgets.assignment_explorer(square, pixels.round().tolist(), anchors, name="ace")

# %% [markdown]
# <details><summary>What there is to find</summary>64 ÷ 16 is exactly 4, and the test is strict. At x = 96 the center lies on a border of all three grids: in release 7.0
# a cell is counted twice (C×2), in June 2020 not. Across the middle line R becomes L (or D becomes U): another side is the nearer one.</details>

# %% [markdown]
# ## 7 The whole rule with your own hands
# ### Exercise 10.3 · Assignment with loops (20 minutes, ●●●●○)
# The rule once more:
# 1. An anchor fits if neither width nor height is off by `threshold` or more.
# 2. The cell with the center is chosen, and its nearest neighbors: **left**, **up** and, in June 2020, **right**, **down** as in 10.2. In release 7.0 **right** if (columns − x) % 1 < 0.5 and columns − x > 1, **down** if (rows − y) % 1 < 0.5 and rows − y > 1.
# 3. The cell of an entry is the center moved by half a cell (left: x − 0.5, down: y + 0.5 …), then rounded down. Release 7.0 then clamps column and row to the grid.
#
# Write it for one level with three loops: outside the five directions *center, left, up, right, down*, then the anchors, then the targets. For each triple that gives an entry append
#
# `(image, anchor, row, column, class, x, y, width, height)`, the last four in cells, x and y from the corner of **that entry's** cell (after the clamp). No targets: an empty list. `rule` is `"r1"` (June 2020) or `"r7"` (release 7.0).


# %%
def assign_by_hand(targets, rows, columns, anchors, threshold=4.0, rule="r7"):
    """targets (M, 6): image, class, cx, cy, w, h (0 to 1); anchors (A, 2) in cells → entries."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


assign_by_hand = checks.assign_by_hand(assign_by_hand)

# %% [markdown]
# <details><summary>Hint 1</summary>First bring the targets into cells: <code>in_cells = targets[:, 2:] * torch.tensor([columns, rows, columns, rows])</code>. Then <code>.tolist()</code> gives plain numbers.</details>
# <details><summary>Hint 2</summary><code>for direction, (dx, dy) in enumerate([(0, 0), (-0.5, 0), (0, -0.5), (0.5, 0), (0, 0.5)]):</code> is the outermost loop. Choose the cells as in 10.2; for "r7" replace right and down.</details>
# <details><summary>Hint 3</summary>The cell is <code>int(x + dx), int(y + dy)</code>; for "r7" then <code>min(max(column, 0), columns - 1)</code>, and the row likewise. The box's center is <code>x - column, y - row</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# def assign_by_hand(targets, rows, columns, anchors, threshold=4.0, rule="r7"):
#     in_cells = (targets[:, 2:] * torch.tensor([columns, rows, columns, rows])).tolist()
#     heads = targets[:, :2].int().tolist()
#     entries = []
#     for direction, (dx, dy) in enumerate([(0, 0), (-0.5, 0), (0, -0.5), (0.5, 0), (0, 0.5)]):
#         for a, (anchor_w, anchor_h) in enumerate(anchors.tolist()):
#             for (image, label), (x, y, w, h) in zip(heads, in_cells):
#                 if not max(w / anchor_w, anchor_w / w, h / anchor_h, anchor_h / h) < threshold:
#                     continue
#                 right = x % 1 > 0.5 and x < columns - 1
#                 down = y % 1 > 0.5 and y < rows - 1
#                 if rule == "r7":
#                     right = (columns - x) % 1 < 0.5 and columns - x > 1
#                     down = (rows - y) % 1 < 0.5 and rows - y > 1
#                 chosen = [True, x % 1 < 0.5 and x > 1, y % 1 < 0.5 and y > 1, right, down]
#                 if not chosen[direction]:
#                     continue
#                 column, row = int(x + dx), int(y + dy)
#                 if rule == "r7":
#                     column, row = min(max(column, 0), columns - 1), min(max(row, 0), rows - 1)
#                 entries.append((image, a, row, column, label, x - column, y - row, w, h))
#     return entries
# ```
# </details>

# %% [markdown]
# The check tries 300 random levels: up to four targets in up to three images, grids with more columns than rows and the other way round, centers on borders, in middles, at the edge of the image, no target at all, both releases. Now the batch of section 1, all levels, both releases.

# %%
for rule in ("r1", "r7"):
    for (rows, columns), shapes, level in zip(
        grids, cells, assign(batch.targets, grids, cells, rule=rule), strict=True
    ):
        mine = torch.tensor(assign_by_hand(batch.targets, rows, columns, shapes, rule=rule))  # (E, 9)
        numbers = torch.stack([level.image, level.anchor, level.row, level.column, level.label], dim=1)
        assert torch.equal(mine[:, :5].long(), numbers)
        torch.testing.assert_close(mine[:, 5:], level.box)
        print(f"{rule}, {rows} × {columns} cells: {len(mine)} entries, equal in order and numbers")

# %% [markdown]
# ## 8 Two objects, one slot
# Why is the *order* of entries part of the rule? Because nothing forbids two objects to claim the same slot. Then
# - the **box** and **class** loss take both entries: one prediction is pulled to two boxes and two classes,
# - **objectness** is a map with one number a slot, and **the last entry written stands**.
#
# Here is such a slot, on one photo of the batch, with a queen, a ten and two jacks.

# %%
pair = collate([cards[31]], size)
names = [spec.names[int(k)] for k in pair.targets[:, 1]]
level = assign(pair.targets, grids, cells)[2]  # P5
slot = (level.anchor == 0) & (level.row == 3) & (level.column == 3)
for e in slot.nonzero()[:, 0].tolist():
    t = int(level.target[e])
    print(f"entry {e:>2}: target {t} ({names[t]}) at offset {level.box[e, 0]:5.2f} {level.box[e, 1]:5.2f}")
claims = slot.nonzero()[:, 0].tolist()  # numbers of the two entries
assert [names[int(level.target[e])] for e in claims] == ["jack", "queen"]

# %%
figures.show(
    figures.shared_cell(pair.images[0], pair.targets[level.target[claims]], ["jack", "queen"], STRIDES[2], (3, 3)),
    alt="Playing cards under the grid of P5: the boxes of a queen and a jack with their centers, and between these the cell that both claim",
    photos=True,
    dpi=80,
)

# %% [markdown]
# To the jack this cell is the left neighbor (offset 1.36), to the queen the right one (−0.45). In the list, all left neighbors come before all right ones. So the queen's entry is the last, although she is the *first* in the label file.
#
# The target of objectness is how well the slot predicts its box at present (an overlap, lesson 11). Suppose that it predicts the jack's box well, 0.9, and hence the queen's badly, 0.1:

# %%
quality = torch.full((len(level.image),), 0.5)
quality[claims[0]], quality[claims[1]] = 0.9, 0.1
wanted = objectness_target(torch.zeros(1, 3, 8, 8), level, quality)
print(f"objectness target of the slot: {wanted[0, 0, 3, 3]:.1f}")
assert wanted[0, 0, 3, 3].item() == quality[claims[1]].item()

flipped = pair.targets.flip(0)  # the same labels in another order
level = assign(flipped, grids, cells)[2]
winner = int(level.target[((level.anchor == 0) & (level.row == 3) & (level.column == 3)).nonzero()[-1, 0]])
print("labels in reverse order, the last entry is still the", [*reversed(names)][winner])
assert [*reversed(names)][winner] == "queen"

# %% [markdown]
# Only inside one direction and one anchor the order of the label file decides. (A plain indexed write of the whole list would leave the winner to chance on a GPU. `objectness_target` picks the last entry first.)
#
# One consequence is odd. Center cells come first in the list. So wherever a center's claim and another object's *neighbor* claim meet, the neighbor wins, and the cell in the middle of an object is told how well it predicts the object next door. How often?


# %%
def last_words(targets, size):
    """For each level: entries, their slots as numbers, and the last entry of each one's slot."""
    images, grids = int(targets[:, 0].max()) + 1, [(size // stride, size // stride) for stride in STRIDES]
    for (n, _), level in zip(grids, assign(targets, grids, cells), strict=True):
        slot = ((level.image * 3 + level.anchor) * n + level.row) * n + level.column
        last = torch.full((images * 3 * n * n,), -1)
        last.scatter_reduce_(0, slot, torch.arange(len(slot)), "amax")  # largest number
        yield level, slot, last[slot]


for name, targets in truth.items():
    several = overruled = by_neighbor = 0
    for level, slot, last in last_words(targets, size):
        lost = level.target[last] != level.target
        center = ((level.box[:, :2] >= 0) & (level.box[:, :2] < 1)).all(dim=1)  # doubles, too
        several += len(slot[lost].unique())
        overruled += int((lost & center).sum())
        by_neighbor += int((lost & center & ~center[last]).sum())
    print(f"{name:<9} slots claimed by several objects: {several:>5}; ", end="")
    print(f"center claims overruled {overruled}, by a neighbor {by_neighbor}")
    assert by_neighbor > 0.8 * overruled

# %% [markdown]
# On the cards it hardly happens. In the aquarium, with fish beside fish, it happens hundreds of times. An object usually has other slots. How many of its entries does each object lose?

# %%
for name, targets in truth.items():
    entries_of, lost_by = torch.zeros(2, len(targets))
    for level, _, last in last_words(targets, size):
        lost = level.target[last] != level.target
        entries_of += level.target.bincount(minlength=len(targets))
        lost_by += level.target[lost].bincount(minlength=len(targets))
    any_lost, half = lost_by > 0, lost_by > entries_of / 2
    every = (lost_by == entries_of) & (entries_of > 0)
    print(f"{name:<9} of {int((entries_of > 0).sum())} objects with entries ", end="")
    print(f"{int(any_lost.sum())} lose some, ", end="")
    print(f"{int(half.sum())} more than half, {int(every.sum())} all")
assert (int(half.sum()), int(every.sum())) == (41, 6)

# %% [markdown]
# So six sea animals lose objectness everywhere: no slot is told how well it predicts them. Box and class still learn from the lost entries.
#
# ## 9 What it comes to: your data in one table
# Count the entries before you train. It costs a second. The normalized targets stay; a larger input only makes larger grids, and objects that are larger in pixels.


# %%
def statistics(targets, size):
    """Entries a level, distinct positive slots, all slots, objects that no anchor fits."""
    images, rows = int(targets[:, 0].max()) + 1, [size // stride for stride in STRIDES]
    found = assign(targets, [(n, n) for n in rows], cells)
    slots = [torch.stack([x.image, x.anchor, x.row, x.column]).unique(dim=1).shape[1] for x in found]
    taken = torch.cat([x.target for x in found]).unique()
    return [len(x.image) for x in found], sum(slots), images * sum(3 * n * n for n in rows), len(targets) - len(taken)


table = {(name, s): statistics(targets, s) for name, targets in truth.items() for s in (256, 416, 640)}
print("data      input  objects     P3     P4     P5  an object  positive slots  no anchor fits")
for (name, s), (counts, slots, total, lost) in table.items():
    objects = len(truth[name])
    each = "".join(f"{n:>7}" for n in counts)
    print(f"{name:<9} {s:>5} {objects:>8} {each} {sum(counts) / objects:>10.1f}", end="")
    print(f" {100 * slots / total:>13.2f} % {lost:>10}")

# %% [markdown]
# Three things to read there.
# - **Positive slots are rare.** On the cards less than one slot in a hundred at 256 pixels, less than one in a thousand at 640. All the others say "nothing here", which is why objectness is weighed with care (lesson 11).
# - **The input size moves objects between the levels.** On the cards P4 has the largest share of the entries at 256 pixels (49 %, P5 33 %). At 640 P5 has 69 %, and P3 gets almost nothing to learn.
# - **Some objects fit no anchor.** In the aquarium at 256 pixels, 67 of them.

# %%
assert table["cards", 256][1] / table["cards", 256][2] < 0.01
assert table["cards", 640][1] / table["cards", 640][2] < 0.001
assert (len(truth["cards"]), sum(table["cards", 256][0])) == (342, 6_276)
assert table["cards", 640][0][0] < 0.01 * sum(table["cards", 640][0])
assert table["aquarium", 640][3] == 2
shares = {s: [round(100 * n / sum(table["cards", s][0])) for n in table["cards", s][0]] for s in (256, 640)}
assert shares[256][1:] == [49, 33]
assert shares[640][2] == 69

sizes = truth["aquarium"][:, 4:] * size  # pixels of the square
nobody = ~fitting_anchors(sizes, anchors.reshape(-1, 2), 4.0).any(dim=0)
least = anchors[0, 0] / 4  # a quarter of 10 × 13, the smallest anchor
below = sizes[nobody] <= least  # (67, 2) width, height
either, as_well = int(below.any(dim=1).sum()), int(below.all(dim=1).sum())
print(f"{len(below)} objects; at most {least[0]} wide or {least[1]} high: {either}, both: {as_well}")
assert (either, as_well) == (67, 15)
assert int(nobody.sum()) == table["aquarium", 256][3] == 67

# %% [markdown]
# All of them are too narrow or too flat for the smallest anchor; only 15 are both. What is the network told about them? Not "ignore". An object without an entry is *background*: every slot on it is negative, and a network that finds it
# there is punished. The ways out are a larger input (at 640 pixels two are left) or other anchors (lesson 07). A higher threshold lets them in, but also demands ratios above 4, which no raw number reaches.
#
# The same for your own data, with the path of your yaml:
# ```python
# mine = DetectionData(read_spec("my_data.yaml"), "train", image_size=640, cache=False)
# print(statistics(all_targets(mine), 640))
# ```
#
# ## 10 How other detectors assign
# | detector | positive | cell | ignored, told nothing |
# |---|---|---|---|
# | **YOLOv3** (2018) | the one anchor with the best overlap | of the center | others that overlap by more than 0.5 |
# | **RetinaNet** (2017) | anchors with IoU of 0.5 or more | any | IoU from 0.4 to 0.5 |
# | **YOLOv4** (2020) | all anchors above an IoU threshold | of the center | – |
# | **ATSS** (2019) | IoU above a threshold computed for each object | center inside the object | none |
# | this rule | all anchors off by less than 4 | of the center, and neighbors | none |
#
# By YOLOv3's rule the 342 cards would give 342 entries, not 6,276. ATSS argues that the rule of assignment is the essential difference between detectors with and without anchors. (The table is from the papers; nothing of it is measured here.)
#
# ## Quiz

# %%
quiz.ask(
    "Training stops with an index error in the loss, but only on grids that are not square. What do you look at first?",
    [
        "The learning rate, and whether the loss became nan",
        "The order of row and column in the index",
        "Whether the anchors fit the objects of these photos",
    ],
    answer=1,
    why="A swapped index exists on every square grid and may leave any other. On square inputs the same bug trains, silently, on mirrored places.",
)

# %%
quiz.ask(
    "A center lies at (12.5, 7.5) in cells of P4, and two anchors fit. How many entries on P4?",
    ["2", "6", "10"],
    answer=0,
    why="Exactly in the middle there is no nearer side: both conditions are strict. Two anchors, one cell.",
)

# %%
quiz.ask(
    "Why does the trained network return several boxes for one object before NMS?",
    [
        "Training was too short to settle on one of them",
        "The confidence threshold is too low",
        "It was taught to: one object trains many slots",
    ],
    answer=2,
    why="The ace of this lesson trains 21 slots at 256 pixels. All of them are right to answer. NMS keeps the surest.",
)

# %%
quiz.ask(
    "You raise anchor_threshold to 6, so that more objects find an anchor. What happens to an object five times as wide as its only anchor?",
    [
        "It gets entries whose box no raw number gives",
        "It is learned like the others, only more slowly",
        "Nothing changes: the threshold has no effect on training",
    ],
    answer=0,
    why="(2σ)² ends at 4. The slot is told to reach five anchors and pushes raw w towards infinity; its overlap with the object never passes 0.8.",
)

# %%
quiz.ask(
    "Two fish of different classes claim the same slot. What is that slot told?",
    [
        "Everything about the larger fish, nothing about the smaller one",
        "Nothing: a slot that two objects claim is ignored by the loss",
        "Both boxes and classes, the last entry's objectness",
    ],
    answer=2,
    why="Box and class loss go over the list of entries, and both stand in it. Objectness is a map with one number a slot.",
)

# %%
quiz.ask(
    "An object of 2 × 2 pixels is labeled and fits no anchor. What does training say about it?",
    ["It is ignored", "It is background", "It is given to the smallest anchor"],
    answer=1,
    why="Every slot without an entry must say 'no object', also those on a labeled object. Nothing warns you; count it.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the seven frames lead there and back | assertions in section 2; `tests/test_detect.py::test_decode_one_box_at_a_time` |
# | row and column swapped give another place, without an error | assertion in section 2 |
# | the overlap prefers an object that no raw number reaches | assertion in section 3 |
# | a ratio of 4 needs an infinite raw number | assertion in section 3 |
# | center and the two nearest neighbors are in reach, the far ones are not | assertion in section 4; `tests/test_assign.py::test_every_offset_can_be_decoded` |
# | neighbors make it three times as many entries | assertion in section 4 |
# | release 7.0: a center on a border gives its cell twice; cells are clamped | assertions in section 5; `tests/test_assign.py::test_a_border_center_tells_the_releases_apart` |
# | the fast rule equals the loops, entry by entry | exercise 10.3; assertion in section 7; `tests/test_assign.py::test_equals_the_loop` |
# | both releases' entries are those of the originals | `tests/test_assign.py::test_golden` |
# | the last entry decides objectness | assertions in section 8 |
# | objects that lose objectness; shares, levels, objects without an anchor | assertions in sections 8 and 9 |
# | figures and the microscope say what `assign` says | `tests/test_lesson_assignment.py` |
#
# **References** Redmon, Farhadi 2018, arXiv:1804.02767 (YOLOv3) · Lin, Goyal, Girshick, He, Dollár 2017, arXiv:1708.02002 (RetinaNet) · Bochkovskiy, Wang, Liao 2020, arXiv:2004.10934 (YOLOv4) ·
# Zhang, Chi, Yao, Lei, Li 2019, arXiv:1912.02424 (ATSS). The rule of this lesson has no paper: its source is the code of the two releases.
#
# ← [09 Boxes, NMS, mAP](09_boxes_nms_map.ipynb) · **10 Target assignment** · [11 The loss](11_loss.ipynb) →
