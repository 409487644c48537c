# %% [markdown]
# # 07 · Anchors and Detect, the head: from numbers to boxes
#
# **60 minutes · difficulty ●●●○○ · importance ●●●●●**
#
# After this lesson you can
# - name each number that a cell of the head holds, and find it among the channels,
# - turn the raw output of a network into boxes in pixels with your own code,
# - explain why the box formula is 2σ − 0.5 and (2σ)², and what YOLOv3 and YOLOv4 wrote there,
# - derive the means of three bias vectors in the article's table from three constants,
# - measure whether anchors fit a data set, and say when new ones are worth it.
#
# You need [lesson 01](01_convolution_block.ipynb) (the 1 × 1 convolution, the sigmoid) and [lesson 06](06_fpn_pan.ipynb) (the neck ends in three maps).
# [Lesson 00](00_start_here.ipynb) has shown the network at work.

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
import math

import torch
from torch.nn import functional as F

from yolo_edu.anchors import closeness, default_anchors, evolve, fit, propose
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.assign import assign
from yolo_edu.boxes import cxcywh_to_xyxy, iou, scale_boxes
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.data import DetectionData, collate, letterbox, read_spec
from yolo_edu.model import YOLOv5
from yolo_edu.model.detect import Detect, decode_box, encode_box, prior_logits

# %%
figures.show(
    figures.network_map("head"),
    alt="The map of YOLOv5 with the head lit: a convolution on each of three levels, and Detect behind them",
    dpi=74,
)

# %% [markdown]
# The last stop. The neck has left three maps, one each at strides 8, 16 and 32. The head turns every cell of them into numbers, and the
# numbers into boxes. It holds hardly any of the network's
# parameters, and yet most questions about this detector are questions about these few lines.
#
# ## 1 One small convolution a level
# The article says that the head "applied anchor boxes on features and generates final output vectors with class probabilities, objectness
# scores, and bounding boxes". The second half is right. The first half misleads: nothing is applied *to* the features. The head is a 1 × 1
# convolution, and no anchor enters it. Anchors come in afterwards, when its numbers are read as boxes (section 5).
#
# In each cell the head makes A = 3 predictions, one for each of three starting shapes (*anchors*, section 4). Each has 5 + K numbers: four for the box, one for
# "is there an object?" (*objectness*), and one for each of the K classes. Here is the head of the article's network, YOLOv5 s of the June 2020 release, with 5 classes.

# %%
figures.show(figures.head_diagram(), alt=figures.FIGURES["13_head"][1], dpi=74)

# %% [markdown]
# Our trained network is a smaller relative of it: YOLOv5 n of release 7.0 (November 2022), trained at 256 pixels. Its head has the same layout.
# Where the convolutions live changed. In June 2020 they were layers 18, 22 and 26 of the network, and `Detect` owned nothing; in release 7.0 `Detect` owns them.

# %%
model = load_checkpoint(shipped_weights("cards_n")).eval()  # on the CPU: one photo at a time
cards = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=256, cache=False)
batch = collate([cards[28]], 256)  # images (1, 3, 256, 256), targets (M, 6)
with torch.no_grad():
    maps = model.neck(*model.backbone(batch.images))

levels, detect = ("P3", "P4", "P5"), model.detect
print(f"K = {detect.classes}, A = {detect.anchors_per_cell}, 5 + K = {detect.outputs} numbers for each anchor")
for level, x, conv in zip(levels, maps, detect.m, strict=True):
    print(f"{level}  map {tuple(x.shape)}  convolution {conv.in_channels} → {conv.out_channels}")
share = sum(p.numel() for p in detect.parameters()) / sum(p.numel() for p in model.parameters())
print(f"{100 * share:.1f} % of the network's parameters")
assert share < 0.01

# %% [markdown]
# A 1 × 1 convolution looks at one cell at a time: it is a linear layer that all cells share. The next cell takes one cell of P4 out of the map
# and computes its numbers without any convolution.

# %%
row, column = 9, 5
features = maps[1][0, :, row, column]  # (C,) all channels of one cell
weight, bias = detect.m[1].weight[:, :, 0, 0], detect.m[1].bias  # (A(5+K), C) and (A(5+K),)
with torch.no_grad():
    numbers = weight @ features + bias
    whole = detect.m[1](maps[1])  # (1, A(5+K), h, w)
torch.testing.assert_close(numbers, whole[0, :, row, column])
print(f"{len(numbers)} numbers for the cell in row {row}, column {column} of P4")

# %%
torch.manual_seed(0)
coco = YOLOv5("s", 80)  # June 2020, for the 80 classes of COCO: the network of the article's long table

# %% [markdown]
# **Predict, then run:** that table lists a network with 80 classes. How many channels has each of its three detection convolutions?

# %%
quiz.predict(
    "channels of a detection convolution with 3 anchors and 80 classes",
    answer=coco.model[18].out_channels,
    why="3 · (5 + 80) = 255: the [255] of rows 148, 169 and 190 of the article's table.",
)

# %% [markdown]
# ## 2 Which channel is what
# Of each anchor: x, y, w, h, then objectness, then a number for each class. First all 5 + K of the first anchor, then those
# of the second, then of the third. So number o of anchor a is channel a · (5 + K) + o.
#
# Code that reads boxes wants the 5 + K numbers of a box side by side, as the *last* axis. This is the place of a classic bug:
# `view` and `reshape` keep the order in which the numbers are read. `x.view(B, A, h, w, 5 + K)` has the wanted shape and scrambles every box. Moving an axis needs `permute`.
#
# ### Exercise 7.1 · Numbers last (8 minutes, ●●○○○)
# Bring a map from (B, A · (5 + K), h, w) to (B, A, h, w, 5 + K). `anchors` is A, a plain number.


# %%
def numbers_last(x, anchors):
    """x (B, A · (5 + K), h, w) → (B, A, h, w, 5 + K)."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


numbers_last = checks.numbers_last(numbers_last)

# %% [markdown]
# <details><summary>Hint 1</summary>Two steps. First cut the channel axis in two with <code>view</code>: which of the two new axes is the slow one, anchors or numbers?</details>
# <details><summary>Hint 2</summary>After the first step the axes are (B, A, 5 + K, h, w). <code>permute</code> takes the old positions in their new order.</details>
# <details><summary>Solution</summary>
#
# ```python
# def numbers_last(x, anchors):
#     b, c, h, w = x.shape
#     return x.view(b, anchors, c // anchors, h, w).permute(0, 1, 3, 4, 2)
# ```
# </details>

# %% [markdown]
# With it the head is complete. Built from the convolutions and your function, it must equal `Detect` on the same weights, bit for bit.


# %%
def my_head(maps, convs, anchors):
    """The neck's maps P3, P4, P5 → raw predictions, (B, A, h, w, 5 + K) a level."""
    outputs = [F.conv2d(x, conv.weight, conv.bias) for x, conv in zip(maps, convs, strict=True)]
    return [numbers_last(x, anchors) for x in outputs]


with torch.no_grad():
    raw = my_head(maps, detect.m, 3)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(raw, detect(maps), strict=True))
print("equal:", *(tuple(x.shape) for x in raw))

# %% [markdown]
# Number 4, counted from 0, is the objectness. After a sigmoid it lies between 0 and 1. Here is its largest value over the three anchors, in every cell of the three
# grids, on a photo that the network has not trained on. Framed: the cells above one half.

# %%
objectness = [x[0, ..., 4].sigmoid().amax(dim=0) for x in raw]  # (h, w) a level
figures.show(
    figures.objectness_maps(batch.images[0], objectness),
    alt="A photo of four cards; the objectness of three grids: bright, framed cells on each card, dark elsewhere",
    photos=True,
    dpi=80,
)
for level, x in zip(levels, objectness, strict=True):
    print(f"{level}: {int((x > 0.5).sum())} of {x.numel()} cells above one half")

# %% [markdown]
# Every cell answers always. Most say "nothing here". The others sit on the cards, and several of them, on several levels,
# mean the same card. Non-maximum suppression sorts that out later (lesson 09).
#
# ## 3 Grids: whose object is it?
# **Predict, then run:** how many boxes does the head predict for one image of 256 × 256 pixels?

# %%
quiz.predict(
    "boxes for 256 × 256 pixels, strides 8, 16 and 32, three anchors a cell",
    answer=sum(3 * (256 // stride) ** 2 for stride in model.strides),
    why="3 · (32² + 16² + 8²). Three quarters of them belong to the finest grid.",
)

# %% [markdown]
# From the first YOLO of 2015 to YOLOv3, an object was the task of one cell of a grid: **the cell that holds the center of its box**. YOLOv5 adds two neighbors of it. To find the cell,
# divide the center by the stride and round down. x gives the column, y gives the row.

# %%
boxes = scale_boxes(batch.targets[:, 2:], 256, 256)  # (M, 4) cx, cy, w, h in pixels of the square
for label, (x, y) in zip(batch.targets[:, 1].int(), boxes[:, :2].tolist(), strict=True):
    cells = ", ".join(f"row {int(y // s)} column {int(x // s)}" for s in model.strides)
    print(f"{model.names[label]:<6} center ({x:5.1f}, {y:5.1f})  P3, P4, P5: {cells}")

# %%
figures.show(
    figures.grids_on_photo(batch.images[0], boxes, model.strides, closer=2),
    alt="Four cards under grids of stride 8, 16, 32, the cells of their centers filled; the queen's enlarged",
    photos=True,
    dpi=80,
)

# %% [markdown]
# Dashed: the true boxes. Filled: the cell with the center, on each level. The last panel enlarges the queen's center on the grid P5: it lies just inside the top left corner of its cell.
# The cells to the left and above see her as well. YOLOv5 uses that: in training these two nearest neighbors must predict her too (lesson 10).
# So a cell must be able to place a center *outside itself*. Keep that in mind for section 5.
#
# ## 4 Anchors: the shapes to start from
# A cell could predict a width in pixels directly. Then one layer would have to hit 10 and 400 equally well. It is easier to start from a shape of about the
# right size and to predict a factor. Such a starting shape is an **anchor**: a width and a height, no place. Faster R-CNN (Ren et al. 2015) chose them by
# hand; YOLOv2 (Redmon and Farhadi 2016) found them in the labels. The nine defaults of YOLOv5 are YOLOv3's, made for COCO.
#
# They are given in pixels of the *network's input*. `Detect` keeps them in cells of their level: pixels divided by the stride.

# %%
figures.show(figures.anchor_sheet(detect), alt=figures.FIGURES["L07_anchors"][1], dpi=80)

# %%
pixels = detect.anchors * detect.stride[:, None, None]  # (L, A, 2)
assert torch.equal(pixels, model.anchors)
assert torch.equal(pixels, default_anchors())  # this network was trained with the defaults
print("pixels:", pixels.int().tolist())

# %% [markdown]
# From the narrowest to the widest, anchors differ by a factor of 37 in pixels, and of about 9 in cells. Measured in cells, the tasks of the three levels are more alike.
#
# Anchors do not shrink with the photo. Below: the nine of them on one photo, shown to the network at 640 and at 256 pixels. Both panels have the same scale.

# %%
factors = [round((w.max() / w.min()).item()) for w in (pixels[..., 0], detect.anchors[..., 0])]
assert factors == [37, 9]
larger = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=640, cache=False)
at_640, at_256 = letterbox(larger[28].image, 640)[0], letterbox(cards[28].image, 256)[0]
figures.show(
    figures.anchors_on_photo([at_640, at_256], pixels),
    alt="Nine anchors to scale on a photo at 640 and at 256 pixels: the largest is wider than that of 256",
    photos=True,
    dpi=76,
)

# %% [markdown]
# At 640 pixels a card is as large as the anchors of P5; at 256 pixels as those of P4. The anchor of 373 × 326 pixels is larger than the whole input of 256:
# this network owns an anchor that no object can fill.
#
# **Predict, then run:** you will see in a moment that a box is at most four times as wide as its anchor. How wide can a box of P3 be?

# %%
quiz.predict(
    "pixels, the widest box that P3 can predict",
    answer=4 * int(pixels[0, :, 0].max()),
    why="Four times 33, the widest anchor of P3. Wider objects are the task of P4 and P5.",
)

# %% [markdown]
# Which objects can an anchor serve? The measure is a ratio of sides. Divide the object's width by the anchor's, and the height likewise; turn each
# quotient over if it is above 1; the smaller of the two is the **closeness**. It is 1 for equal shapes. Training uses an anchor for an object if
# the closeness is above 1/4, that is, if neither side is off by a factor of 4.
#
# Try it: click a slider and use the arrow keys. At which input size does the shark fit an anchor of P3? At 416 pixels, does one anchor fit the shark and a fish?

# %%
fish = DetectionData(read_spec(sample_data("aquarium5.yaml")), "val", image_size=416, cache=False)
large = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=416, cache=False)
photos = {"four cards": large[28], "two cards": large[36]}
photos |= {"shark and fish": fish[49], "stingray and fish": fish[47]}
classes = {name: fish.names if "fish" in name else large.names for name in photos}
explorer = widgets.anchor_explorer(photos, pixels, classes)

# %% [markdown]
# <details><summary>What there is to find</summary>Only at 128 pixels: 16 × 30 and 33 × 23 fit it, at a closeness of 0.26 and 0.29. At 416 pixels yes: 116 × 90 fits the shark
# (0.35) and one fish (0.43), and 59 × 119 fits the shark and three of the five fish (0.27 to 0.32). Fitting is a wide gate.</details>

# %% [markdown]
# ## 5 From raw numbers to a box
# With the raw x, y, w, h of one anchor in one cell, σ the sigmoid:
#
# | in pixels | YOLOv3 (2018) | YOLOv4 (2020) | YOLOv5 |
# |---|---|---|---|
# | center x | (σ(x) + column) · stride | (s · σ(x) + column) · stride, s > 1 | (2σ(x) − 0.5 + column) · stride |
# | center y | (σ(y) + row) · stride | (s · σ(y) + row) · stride, s > 1 | (2σ(y) − 0.5 + row) · stride |
# | width, height | exp(w) · anchor in pixels | as YOLOv3 | (2σ(w))² · anchor in pixels |
# | objectness, classes | σ | σ | σ |
#
# The article says "model head is the same as the previous YOLO V3 and V4 versions". The layout is: three levels, three anchors, 5 + K numbers. The formula
# is not. σ reaches the border of a cell only for infinite x, so YOLOv4 (Bochkovskiy et al. 2020, section 4.2) multiplies it by "a factor exceeding 1.0".
# YOLOv5 stretches by 2 around the middle of the cell and replaces the exponential. Which anchors must learn which object changed too (lesson 10).

# %%
figures.show(figures.decode_curves(), alt=figures.FIGURES["L07_decode"][1], dpi=80)

# %% [markdown]
# Left: the center spans −0.5 to 1.5, half a cell beyond each border. That is the reach that the neighbor cells of section 3 need. Middle and right: the size
# and its slope. At raw 0 both formulas say "exactly the anchor", with slope 1. Further right they part.

# %%
t = (torch.arange(-20_000, 20_001) / 1000).double().requires_grad_()  # −20 to 20
ours, exponential = (2 * t.sigmoid()) ** 2, t.exp()
(slope,) = torch.autograd.grad(ours.sum(), t)
middle = len(t) // 2  # raw 0
assert ours[middle] == exponential[middle] == 1
assert slope[middle] == 1
assert abs(slope.max() - 32 / 27) < 1e-6
print(f"(2σ)²: at most {ours.max():.3f} anchors, slope at most {slope.max():.3f} = 32/27")

# %% [markdown]
# It is often said that the exponential makes gradients explode. That depends on the loss. Take a box that should be one anchor wide and is too wide, with all else right. What
# gradient does the raw number get from a squared error of the width, and from 1 − IoU? (IoU, the overlap of two boxes over their union, is 1 / width here: lesson 09.)

# %%
t = torch.tensor([2.0, 4, 6], dtype=torch.float64, requires_grad=True)
for name, width in (("exp", t.exp()), ("(2σ)²", (2 * t.sigmoid()) ** 2)):
    for loss_name, loss in (("squared error", (width - 1) ** 2), ("1 − IoU", 1 - 1 / width)):
        (slope,) = torch.autograd.grad(loss.sum(), t, retain_graph=True)
        print(f"{name:<6}{loss_name:<14} gradient at raw 2, 4, 6:", *(f"{v:12,.4f}" for v in slope.tolist()))
        assert loss_name == "squared error" or slope.max() < 0.2
assert torch.tensor(11.1, dtype=torch.float16).exp().isinf()

# %% [markdown]
# A squared error explodes with exp. An IoU loss, as YOLOv4 and YOLOv5 use it, does not: it divides by the size, which cancels it. YOLOv3 was safe as well: its
# loss compared the raw number with the logarithm of the wanted factor and never went through exp. What remains is overflow: in float16, exp(11.1) is infinite.
# (2σ)² ends at 4 whatever the network says. The price is that no box is wider than four anchors.
#
# ### One box by hand
# The cell of section 1 again: row 9, column 5 of P4, and the last of its anchors.

# %%
stride, (anchor_width, anchor_height) = 16, pixels[1, 2].tolist()
x, y, w, h = raw[1][0, 2, 9, 5, :4]  # scalars
by_hand = {
    "center x": (x, (2 * x.sigmoid() - 0.5 + 5) * stride),
    "center y": (y, (2 * y.sigmoid() - 0.5 + 9) * stride),
    "width": (w, (2 * w.sigmoid()) ** 2 * anchor_width),
    "height": (h, (2 * h.sigmoid()) ** 2 * anchor_height),
}
for name, (number, value) in by_hand.items():
    print(f"{name:<9} raw {number:5.2f}   σ {number.sigmoid():.3f}   {value:6.1f} pixels")

# %% [markdown]
# The center lies above row 9, which starts at 9 · 16 = 144 pixels. It is the ace on the left of the photo, seen from the cell below its own.
#
# ### Exercise 7.2 · Decode a level (12 minutes, ●●●○○)
# Turn the raw x, y, w, h of one level into centers and sizes in **pixels**. Mind two things. The anchors are given **in cells** here, as `Detect` keeps them.
# And x belongs to the column, y to the row: swap them, and on a square grid nothing stops; every box is merely in the wrong place.


# %%
def decode_level(raw, anchors, stride):
    """Raw numbers of a level → center x, center y, width, height in pixels.

    raw (B, A, h, w, 4), anchors (A, 2) in cells, stride in pixels → (B, A, h, w, 4)
    """
    # YOUR CODE instead of the next line
    raise NotImplementedError


decode_level = checks.decode_level(decode_level)

# %% [markdown]
# <details><summary>Hint 1</summary><code>row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")</code> gives two (h, w) tables: the row and the column of every cell.</details>
# <details><summary>Hint 2</summary>Stack them so that the column comes first: x is horizontal. The result (h, w, 2) lines up with (B, A, h, w, 2) by itself.</details>
# <details><summary>Hint 3</summary>The anchors (A, 2) do not line up by themselves: <code>anchors[:, None, None]</code> is (A, 1, 1, 2).</details>
# <details><summary>Solution</summary>
#
# ```python
# def decode_level(raw, anchors, stride):
#     h, w = raw.shape[2:4]
#     row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
#     cell = torch.stack([column, row], dim=-1)
#     center = (2 * raw[..., :2].sigmoid() - 0.5 + cell) * stride
#     size = (2 * raw[..., 2:].sigmoid()) ** 2 * anchors[:, None, None] * stride
#     return torch.cat([center, size], dim=-1)
# ```
# </details>

# %% [markdown]
# The whole output is one long list of boxes: level by level, in a level anchor by anchor, then row by row, then column by column. With each box stand its
# objectness and its class probabilities. (The June 2020 release listed P5 first. Here P3 comes first, always.)


# %%
def decode_all(raw, anchors, strides):
    """Raw predictions (B, A, h, w, 5 + K) a level → (B, N, 5 + K) in pixels and probabilities."""
    levels = []
    for x, shapes, stride in zip(raw, anchors, strides, strict=True):
        box = decode_level(x[..., :4], shapes, stride)
        decoded = torch.cat([box, x[..., 4:].sigmoid()], dim=-1)  # (B, A, h, w, 5 + K)
        levels.append(decoded.flatten(1, 3))  # (B, A·h·w, 5 + K)
    return torch.cat(levels, dim=1)


rows = decode_all(raw, detect.anchors, model.strides)
torch.testing.assert_close(rows, model.decode(raw))
torch.testing.assert_close(
    rows[0, 3 * 32**2 + 2 * 16**2 + 9 * 16 + 5, :4], torch.stack([v for _, v in by_hand.values()])
)
print(f"{tuple(rows.shape)}: {rows.shape[1]:,} boxes of {rows.shape[2]} numbers, as model.decode gives them")

# %% [markdown]
# Now go backwards: take the surest boxes on the ace of section 3, one a cell, and look up where in the list they stand and which cell made them.

# %%
ace = cxcywh_to_xyxy(boxes[:1])[0]  # (4,) the true box
traces = figures.surest_predictions(rows[0], raw, model, ace)
for t in traces:
    x, y = t.box[0] / t.stride - t.column, t.box[1] / t.stride - t.row
    print(f"box {t.number}: {t.text}, center at ({x:5.2f}, {y:5.2f}) cells from its cell's corner")
outside = [t.level for t in traces if min(t.box[0] / t.stride - t.column, t.box[1] / t.stride - t.row) < 0]
assert outside == ["P4", "P5"]

# %%
figures.show(
    figures.prediction_traces(batch.images[0], traces),
    alt="Three predictions for an ace, from P4 and P5: the cell, the range of its center, the anchor, the box",
    photos=True,
    dpi=80,
)

# %% [markdown]
# Three cells of two levels say the same thing, each from where it stands. The ace's own cells are row 8, column 5 of P4 and row 4, column 2 of P5 (section 3). Two of the three predictions come from
# neighbors and have the center outside their cell: the one of P4 above it, the P5 one of column 3 to its left. Both offsets are below 0, which σ alone could never say.
#
# Take one of these predictions apart. The sliders start at the raw numbers of the second one, so the box sits on the ace. Push *raw x* to the end: the center stops half
# a cell outside. Push *raw w* to the end: the box stops at four anchors. Then give the same raw numbers to another anchor.

# %%
second = traces[1]
sliders = widgets.decode_sliders(
    at_256, pixels, start=second.raw, anchor=second.anchor_place, row=second.row, column=second.column
)

# %% [markdown]
# ### The way back
# What should the network say to get a given box? Solve the formulas for the raw numbers. With logit, the inverse of σ, and everything in cells: raw x = logit((offset + 0.5) / 2) and
# raw w = logit(√(width / anchor) / 2). A round trip over all validation cards, each with every anchor that fits it:


# %%
def encode(box, anchor):
    """box (..., 4) offset from the cell's corner, width, height; anchor (..., 2): in cells → raw (..., 4)."""
    offset, factor = box[..., :2], box[..., 2:] / anchor
    return torch.cat([(offset + 0.5) / 2, factor.sqrt() / 2], dim=-1).logit()


targets = collate(list(cards), 256).targets
truth = scale_boxes(targets[:, 2:], 256, 256)  # (M, 4) pixels
errors = []
for stride, shapes in zip(model.strides, detect.anchors, strict=True):
    cells = truth / stride
    cells[:, :2] %= 1  # what is left of the center without column and row
    for shape in shapes:
        box = cells[closeness(cells[:, 2:], shape[None])[:, 0] > 1 / 4]
        numbers = encode(box, shape)
        assert torch.equal(numbers, encode_box(box, shape))  # yolo_edu's own
        errors.append((decode_box(numbers, shape) - box).abs() * stride)
error = torch.cat(errors)
print(f"{len(error)} pairs of a label and an anchor that fits, largest error {error.max():.6f} pixels")
assert error.max() < 1e-3  # float32 has seven digits

# %%
wide = torch.tensor([[0.5, 0.5, 4, 1], [0.5, 0.5, 4.1, 1]])
raw_w = encode(wide, torch.ones(2))[:, 2]
print("raw w of boxes 4 and 4.1 times as wide as their anchor:", raw_w.tolist())
assert raw_w[0].isinf()
assert raw_w[1].isnan()

# %% [markdown]
# At four times the anchor the raw number is infinite, beyond it there is none. Downwards the formula knows no limit: (2σ)² comes as close to 0 as you like. The
# 1/4 on that side is a choice, made so that too large and too small are treated alike.
#
# ## 6 How the biases start
# Objects are rare. Of all the boxes that the head predicts, a handful are right. If a fresh network said σ(0) = ½ everywhere, training would first have to
# learn "almost never" for each of them, and that loss would drown the rest. The focal loss paper (Lin et al. 2017, section 3.3) therefore sets the *bias* of the last layer so that the network starts
# with the rate that it will find anyway. YOLOv5 adds
# - ln(8 / number of cells of the level at 640 pixels) to each objectness bias: 8 objects for each anchor of each level,
# - ln(0.6 / (K − 0.99)) to each class bias: 80 classes together start at about 0.6 (release 7.0 subtracts 0.99999).
#
# The article's table lists these biases: its rows 148, 169, 190 have means −4.67, −4.66 and −4.64. They follow from 8, 0.6 and 640, which are YOLOv5's own constants.

# %%
K, A = 80, 3
for row_number, stride, *printed in ((148, 8, -4.67, 1.06), (169, 16, -4.66, 1.04), (190, 32, -4.64, 1.04)):
    cells = (640 / stride) ** 2
    objectness_bias, class_bias = math.log(8 / cells), math.log(0.6 / (K - 0.99))
    assert (objectness_bias, class_bias) == prior_logits(stride, K, 0.99)  # yolo_edu's own
    of_one_anchor = torch.tensor([0.0] * 4 + [objectness_bias] + [class_bias] * K)
    mean, deviation = of_one_anchor.mean().item(), of_one_anchor.repeat(A).std().item()
    starts = f"objectness {objectness_bias:.2f}, class {class_bias:.2f}"
    print(f"article's row {row_number}: {starts}, mean {mean:.2f} ± {deviation:.2f}")
    assert [round(mean, 2), round(deviation, 2)] == printed

# %% [markdown]
# The table's deviations, 1.06, 1.04 and 1.04, come out as well. They do not measure noise: four of an anchor's 85 biases are left near 0, and 80 sit near −4.9.

# %%
with torch.no_grad():
    fresh = coco.eval()(at_640[None] / 255)  # the untrained network of section 1, on a photo of 640 pixels
expected = [x[..., 4].sigmoid().sum().item() for x in fresh]  # a level
assert [coco.model[i].out_channels for i in (18, 22, 26)] == [255, 255, 255]

# %% [markdown]
# **Predict, then run:** add up the objectness of all boxes of this fresh network. Round the sum to the nearest ten.

# %%
quiz.predict(
    "sum of the objectness over all boxes, to the nearest ten",
    answer=round(sum(expected) / 10) * 10,
    why="8 for each anchor of each level: 9 · 8 = 72. σ(ln p) = p / (1 + p) makes it 71.4, and the random weights "
    "shift it by a few. A start at one half would give 12,600.",
)

# %% [markdown]
# So "about 8 objects per image", as it is often put, is 8 for each of nine anchors. Is 72 too much? No: one object is the task of several anchors and of up to three
# cells a level. The assignment of lesson 10 counts how many boxes must say "object" on real photos.

# %%
aquarium = DetectionData(read_spec(sample_data("aquarium5.yaml")), "val", image_size=640, cache=False)
some = collate([aquarium[i] for i in range(0, len(aquarium), 2)], 640)
entries = assign(some.targets, [(80, 80), (40, 40), (20, 20)], detect.anchors)
tasks = sum(len(entry.image) for entry in entries) / len(some.images)
objects = len(some.targets) / len(some.images)
print(f"aquarium: {objects:.1f} objects a photo, {tasks:.0f} boxes that must say 'object'")
print(f"a fresh network expects {sum(expected):.0f}")
nothing = max(F.softplus(x[..., 4]).mean().item() for x in fresh)  # softplus(t) = −ln(1 − σ(t))
print(f"its loss where nothing is, on the worst level: {nothing:.4f}; from ½ on: ln 2 = {math.log(2):.4f}")
assert nothing < math.log(2) / 30

# %% [markdown]
# ## 7 Do the anchors fit the labels?
# A label that no anchor fits is given to no box. It is never learned, and no message says so. Three numbers describe a set of anchors:
# - **best possible recall** (BPR): the share of labels that at least one anchor fits; the others are never trained on,
# - **anchors above threshold**: how many anchors fit a label, on average,
# - **fitness**: the mean closeness of each label's best anchor, counted 0 where none fits.
#
# ### Exercise 7.3 · Best possible recall (8 minutes, ●●○○○)
# A label fits an anchor if the *worse* of its two sides is off by less than the threshold, in either direction. Return the share of labels that fit at least one anchor,
# as a number or a tensor with one number. Start from the ratios; the imported `closeness` would do half of it.


# %%
def best_possible_recall(sizes, anchors, threshold=4.0):
    """sizes (N, 2) of labels, anchors (A, 2), in one unit → share of labels that an anchor fits, 0 to 1."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


best_possible_recall = checks.best_possible_recall(best_possible_recall)

# %% [markdown]
# <details><summary>Hint 1</summary><code>sizes[:, None] / anchors</code> is (N, A, 2): every label over every anchor, width and height.</details>
# <details><summary>Hint 2</summary><code>torch.maximum(r, 1 / r)</code> says how far off a side is, whichever is the larger. The worse side is the maximum over the last axis.</details>
# <details><summary>Hint 3</summary><code>(off &lt; threshold)</code> is (N, A). At least one anchor: <code>.any(dim=1)</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# def best_possible_recall(sizes, anchors, threshold=4.0):
#     ratio = sizes[:, None] / anchors
#     off = torch.maximum(ratio, 1 / ratio).amax(dim=2)
#     return (off < threshold).any(dim=1).float().mean().item()
# ```
# </details>

# %% [markdown]
# Now the labels of both data sets, each at several input sizes. Resizing an image multiplies all its labels; the anchors stay.

# %%
labels = {}  # (data set, input size) → (N, 2) label sizes in pixels
for name, file in (("cards", "train_5classes.yaml"), ("aquarium", "aquarium5.yaml")):
    sizes = DetectionData(read_spec(sample_data(file)), "train", image_size=640, cache=False).box_sizes()
    for size in (128, 256, 640):
        labels[name, size] = sizes * size / 640
print("data set  input  labels  BPR    anchors a label  fitness")
for (name, size), sizes in labels.items():
    quality = fit(sizes, default_anchors())
    print(f"{name:<8}  {size:>5}  {len(sizes):>6}  {quality[0]:.3f}  {quality[1]:>15.2f}  {quality[2]:.3f}")
    assert abs(float(best_possible_recall(sizes, default_anchors().reshape(-1, 2))) - quality[0]) < 1e-6

# %% [markdown]
# The default anchors were made for the objects of COCO, and yet they reach every card at every size here. The fish are another story: at 128 pixels more than one label in ten is
# out of reach.
#
# ### Finding better ones
# YOLOv2 ran k-means over the label sizes: each anchor moves to the mean of the labels nearest to it, again and again. It measured nearness by IoU. The version here measures plain distance, after dividing
# width and height by their spread.


# %%
def kmeans(points, count, rounds=100, seed=0):
    """points (N, 2) → (count, 2) centers, none of which moves any more."""
    centers = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[:count]]
    for _ in range(rounds):
        owner = torch.cdist(points, centers).argmin(dim=1)  # (N,) the nearest center
        means = [points[owner == k].mean(dim=0) if (owner == k).any() else centers[k] for k in range(count)]
        if torch.equal(torch.stack(means), centers):
            break
        centers = torch.stack(means)
    return centers


sizes = labels["aquarium", 128].double()
spread = sizes.std(dim=0)
clusters = kmeans(sizes / spread, 9) * spread
clusters = clusters[clusters.prod(dim=1).argsort()].view(3, 3, 2)  # the smallest three to P3
print("k-means:", ", ".join(f"{w:.0f} × {h:.0f}" for w, h in clusters.reshape(-1, 2).tolist()))

# %% [markdown]
# K-means minimizes a difference, not a ratio, so the large boxes pull hardest. Training asks for *ratios*. So a second step climbs the fitness directly: multiply the anchors by random
# factors near 1, keep the result if the fitness has risen, repeat. It is called genetic, though nothing is crossed.


# %%
def refine(sizes, anchors, generations=500, seed=0):
    """Mutations (9 in 10 sides, by a common strength up to 10 %) that are kept when the fitness rises."""
    generator = torch.Generator().manual_seed(seed)
    best, fitness = anchors, fit(sizes, anchors).fitness
    for _ in range(generations):
        strength = 0.1 * torch.rand((), generator=generator)
        chosen = torch.rand(anchors.shape, generator=generator) < 0.9
        step = chosen * strength * torch.randn(anchors.shape, generator=generator)
        candidate = best * (1 + step).clamp(0.3, 3)
        if (new := fit(sizes, candidate).fitness) > fitness:
            best, fitness = candidate, new
    return best


refined = refine(sizes, clusters)
yours = {"default anchors": default_anchors(), "k-means": clusters, "k-means, refined": refined}
for name, anchors in yours.items():
    quality = fit(sizes, anchors)
    print(f"{name:<18} BPR {quality.best_possible_recall:.3f}  fitness {quality.fitness:.3f}")
fitness = [fit(sizes, anchors).fitness for anchors in yours.values()]
assert fitness == sorted(fitness)  # every step earns its place

# %% [markdown]
# ### When to replace anchors
# Release 7.0 looks before training starts, and the rule (`propose` here) is a cautious one: if the best possible recall is at least 0.98, leave the anchors alone; otherwise
# search, and take the new ones only if they reach more labels. The search (`evolve`) is the one above from 16 starting points; the fittest result wins.

# %%
proposals = {key: propose(sizes, default_anchors()) for key, sizes in labels.items() if key[1] < 640}
for (name, size), (anchors, before, after) in proposals.items():
    kept = torch.equal(anchors, default_anchors())
    verdict = "anchors stay" if kept else f"new anchors, BPR {after[0]:.3f}, fitness {after[2]:.3f}"
    print(f"{name:<8} at {size}: BPR {before[0]:.3f}, fitness {before[2]:.3f}: {verdict}")
    assert kept == (before.best_possible_recall >= 0.98)
assert proposals["aquarium", 128].after.fitness > max(fitness)  # 16 starts beat the one of the cell above

# %% [markdown]
# At 256 pixels the aquarium passes by a hair; at 128 it gets new anchors. Here are both sets of anchors, and what a search would find for the cards if it were asked to.

# %%
found = {("cards", 256): evolve(labels["cards", 256]), ("aquarium", 128): proposals["aquarium", 128].anchors}
panels = {
    f"{name} at {size} px": (labels[name, size], {"default anchors": default_anchors(), "searched": anchors})
    for (name, size), anchors in found.items()
}
figures.show(
    figures.size_cloud(panels),
    alt="Label sizes of cards and aquarium on logarithmic axes; the searched anchors lie inside the clouds, most defaults beside",
    photos=True,
    dpi=80,
)
for name, anchors in (("default", default_anchors()), ("searched", found["cards", 256])):
    quality = fit(labels["cards", 256], anchors)
    near = closeness(labels["cards", 256], anchors.view(9, 2)).view(-1, 3, 3)  # (N, L, A)
    on = (near > 1 / 4).any(dim=2).float().mean(dim=0)  # (L,) share of cards that fit the level
    print(f"cards, {name:<8} BPR {quality[0]:.3f}, fitness {quality[2]:.3f}, levels a card {on.sum():.2f}")

# %% [markdown]
# On logarithmic axes equal ratios are equal distances, so what an anchor reaches is a square, of the same size for every anchor. The cards show why the rule looks at the
# recall and not at the fitness. A search would raise their fitness much, and their recall not at all. It would also put all nine anchors into one small
# cloud, so that every card becomes a task of all three levels: 2.7 levels a card become 3.0. What this costs is not measured here.
#
# There is a second reason to leave anchors alone. Trained weights belong to the anchors they were trained with: the network has learned *factors*. Exchange
# the anchors of the trained network, and its boxes change with them.

# %%
exchanged = Detect(5, anchors=found["cards", 256].tolist()).decode(raw)
surest = traces[0].number
overlap = [iou(cxcywh_to_xyxy(x[0, surest, :4]), ace).item() for x in (rows, exchanged)]
print(f"IoU of the surest box with the ace: {overlap[0]:.2f} with its own anchors, {overlap[1]:.2f} with others")
assert overlap[1] < overlap[0]

# %% [markdown]
# The article's `--noautoanchor` switches the automatic search off. The training script of its time searched where the best possible recall was below 0.99; release 7.0 and `yolo-edu train` do so below
# 0.98, and keep anchors that reach it. To look at your labels, run `yolo-edu anchors DATA.yaml --img-size 256`; `--write-cfg my.yaml` writes other anchors into a model YAML for `--cfg`.
#
# ## Quiz

# %%
quiz.ask(
    "You wrote your own decoding. On square photos the boxes have the right sizes but lie mirrored on the diagonal. What happened?",
    [
        "The anchors were not divided by the stride",
        "Row and column were swapped when the cell was added",
        "The sigmoid was applied twice",
    ],
    answer=1,
    why="x must go with the column and y with the row. On a square grid the wrong order has the right shape. Wrong anchors would change sizes, not places.",
)

# %%
quiz.ask(
    "You trained at 640 pixels and now train again at 320. What do the anchors do?",
    [
        "They are halved with the image",
        "They are learned again",
        "They stay as they are, in pixels of the input; the objects are halved",
    ],
    answer=2,
    why="Anchors are constants in pixels of the network's input. Nothing rescales or trains them. Compute the best possible recall at the new size.",
)

# %%
quiz.ask(
    "Why may a predicted center lie outside its cell?",
    [
        "So that neighbor cells can predict the same object, and centers on a border are easy to reach",
        "It is a rounding effect",
        "So that a box can leave the image",
    ],
    answer=0,
    why="2σ − 0.5 spans −0.5 to 1.5. With σ alone the border is reached only at infinity, and a neighbor could never say the right place.",
)

# %%
quiz.ask(
    "The objectness bias starts at −6.7 on P3 and at −3.9 on P5. Why?",
    [
        "P3 has 16 times as many cells, so each is right that much more rarely",
        "Small objects are harder",
        "P3 has smaller anchors",
    ],
    answer=0,
    why="For each anchor, 8 in 6,400 cells against 8 in 400. ln 16 = 2.8 is the difference of the two biases.",
)

# %%
quiz.ask(
    "Your anchors were found on tiny objects; the widest has 20 pixels. What can training do about an object 100 pixels wide?",
    [
        "It learns a large raw w",
        "Nothing: no anchor is given the object, and the formula ends at four anchors",
        "The anchors grow during training",
    ],
    answer=1,
    why="100 is five times 20. The assignment leaves the object out, and (2σ)² stays below 4. That is what the best possible recall counts.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | a 1 × 1 convolution is one linear layer for all cells | assertion in section 1 |
# | the head built from scratch equals `Detect` bit for bit | assertion in section 2; `tests/test_detect.py::test_layout_of_raw_maps` |
# | your layout, decoding and recall are right | exercises 7.1, 7.2, 7.3, against a reference on random inputs |
# | all boxes of a trained network decode alike, in the same order | assertion in section 5; `tests/test_detect.py::test_decode_one_box_at_a_time` |
# | both size formulas start at the anchor with slope 1; (2σ)² ends at 4, its slope at 32/27 | assertions in section 5 |
# | an IoU loss does not explode with the exponential, a squared error does | assertion and table in section 5 |
# | encode and decode undo each other | assertion in section 5; `tests/test_doctor.py::test_encode_box_is_decode_box_backwards` |
# | the biases' means follow from the formula | assertions in section 6; `tests/test_detect.py::test_biases_of_the_article` |
# | anchors are replaced below a best possible recall of 0.98 | assertion in section 7; `tests/test_anchors.py::test_the_search_starts_below_98_percent` |
# | figures and widgets say what the modules say | `tests/test_lesson_head.py` |
#
# **References** Ren, He, Girshick, Sun 2015, arXiv:1506.01497 (anchors) · Redmon, Divvala, Girshick, Farhadi 2015, arXiv:1506.02640 (the cell with the center) ·
# Redmon, Farhadi 2016, arXiv:1612.08242 (anchors by k-means) · Lin, Goyal, Girshick, He, Dollár 2017, arXiv:1708.02002 (the bias at the start) ·
# Redmon, Farhadi 2018, arXiv:1804.02767 (three levels, nine anchors) · Bochkovskiy, Wang, Liao 2020, arXiv:2004.10934 (the stretched sigmoid)
#
# ← [06 FPN and PAN, the neck](06_fpn_pan.ipynb) · **07 Anchors and Detect, the head** · [08 The whole network](08_yolov5.ipynb) →
