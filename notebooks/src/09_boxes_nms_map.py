# %% [markdown]
# # 09 · Boxes, NMS, mAP: how alike, which to keep, how good
#
# **80 minutes · difficulty ●●●○○ · importance ●●●●●**
#
# After this lesson you can
# - carry a box from one coordinate frame to another and back without losing it,
# - write IoU, read GIoU, DIoU and CIoU in code, and say which of them can pull a box that misses its target,
# - write non-maximum suppression, choose its threshold, and name two things it cannot do,
# - build a precision-recall curve detection by detection, and compute the mAP that the COCO tools report,
# - choose a confidence threshold from F1, and read a confusion matrix.
#
# You need [lesson 00](00_start_here.ipynb) (what a detection is) and [lesson 07](07_anchors_and_detect.ipynb) (thousands of decoded boxes).
# It has three parts with an exercise each: sections 1 to 3, section 4, and sections 5 to 6. They are good places for a break.

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
import numpy as np
import torch
import torchvision

from yolo_edu import charts, metrics
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.boxes import (
    ciou,
    clip_boxes,
    cxcywh_to_xyxy,
    diou,
    giou,
    iou,
    pairwise_iou,
    scale_boxes,
    xyxy_to_cxcywh,
)
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.coco import coco_precision
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.data import DetectionData, letterbox, read_spec
from yolo_edu.evaluate import measure
from yolo_edu.nms import CLASS_OFFSET, Detections, nms

figures.show(
    figures.network_map("detect"),
    alt="The map of YOLOv5 with Detect lit: this lesson begins with the boxes that come out of it",
    dpi=64,
)

# %% [markdown]
# We stand behind the network. In use the way is image → model → **NMS → detections**, and when it is examined, **→ metrics**. One question runs
# through all of it: how alike are two boxes? NMS asks it of two predictions, a metric of a prediction and a label, and the loss (lesson 11) asks
# it in a way that must leave a gradient.
#
# ## 1 One box in many frames
# A box is four numbers, and they mean nothing until you know two things: the **format** (two corners, *xyxy*, or center and size, *cxcywh*) and
# the **frame** in which they are counted. Here is one card of a validation photo in every frame of this course. The network's square
# holds the photo, shrunk and padded with gray (the *letterbox*).

# %%
model = load_checkpoint(shipped_weights("cards_n")).eval()  # on the CPU
cards = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=416)
sample = cards[35]  # a jack that lies partly on a ten
height, width = sample.image.shape[1:]
square, place = letterbox(sample.image, 256)

in_square = place.apply(sample.boxes)  # (2, 4) xyxy
both = {"the photo": (sample.image, sample.boxes), "the square": (square, in_square)}
figures.show(
    figures.photo_and_square(both, ["jack", "ten"]),
    alt="Two cards, a jack partly on a ten, in the photo and, smaller, in the gray-edged square",
    photos=True,
    dpi=64,
)

# %%
frames = {
    "pixels of the photo": sample.boxes,
    "normalized to the photo": scale_boxes(sample.boxes, 1 / width, 1 / height),  # label files, as cxcywh
    "pixels of the square": in_square,
    "normalized to the square": in_square / 256,  # training targets, as cxcywh
    "cells of P4": in_square / 16,  # where lesson 10 works
}
print(f"photo {width} × {height}: the jack     x1       y1       x2       y2", end="")
print("       cx       cy        w        h")
for name, boxes in frames.items():
    numbers = [*boxes[0].tolist(), *xyxy_to_cxcywh(boxes)[0].tolist()]
    print(f"{name:<25}", *(f"{v:8.3f}" for v in numbers))

# %% [markdown]
# All five rows are the same box, and every way can be walked back: cells → pixels of the square → pixels of the photo, and from center and size
# to corners.

# %%
back = place.undo(cxcywh_to_xyxy(xyxy_to_cxcywh(frames["cells of P4"])) * 16)
torch.testing.assert_close(back, sample.boxes)
wrong = cxcywh_to_xyxy(sample.boxes[0])  # corners taken for center and size: nothing complains
print("back in the photo:", [round(v, 1) for v in back[0].tolist()])
print("misread:          ", [round(v, 1) for v in wrong.tolist()])
print(f"IoU of the misread box with the truth: {iou(wrong, sample.boxes[0]):.2f}")

# %% [markdown]
# **Intersection over union** (IoU) is the shared area of two boxes divided by the area that at least one of them covers: 1 for equal boxes, 0 for
# boxes that do not meet. Stretch the plane, and both areas grow by the same factor. So the frame does not matter,
# as long as both boxes are in the *same* one. Measured on the jack and the ten:

# %%
print("IoU of the two cards")
for name, (a, b) in frames.items():
    print(f"{name:<25} {iou(a, b):.4f}")
values = torch.stack([iou(a, b) for a, b in frames.values()])
torch.testing.assert_close(values, values[:1].expand(5), rtol=1e-3, atol=0)

# %% [markdown]
# ## 2 IoU by hand
# The intersection begins at the *larger* of the two left edges and ends at the *smaller* of the two right edges; the same holds from top to bottom. Where it would end
# before it begins, there is none. The union is the sum of both areas minus the intersection, which would be counted twice.
#
# **Predict, then run:** two boxes of 10 × 10 pixels. The second is the first, moved right by 5.

# %%
quiz.predict(
    "IoU of the two boxes, rounded to two digits",
    answer=round(float(iou(torch.tensor([0.0, 0, 10, 10]), torch.tensor([5.0, 0, 15, 10]))), 2),
    why="Shared 50, union 100 + 100 − 50 = 150. Half of each box is shared, and the IoU is one third.",
)

# %% [markdown]
# ### Exercise 9.1 · IoU of pairs (8 minutes, ●●○○○)
# Both tensors hold N boxes. Compare row i of `a` with row i of `b`, all N at once: a loss must be able to send a gradient through, so
# use tensor operations only. Boxes have positive sides here.


# %%
def iou_pairs(a, b):
    """a, b: (N, 4) xyxy in the same frame → (N,) IoU of each row of a with the same row of b."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


iou_pairs = checks.iou_pairs(iou_pairs)

# %% [markdown]
# <details><summary>Hint 1</summary><code>torch.maximum(a[:, :2], b[:, :2])</code> is (N, 2): left and top of every intersection.</details>
# <details><summary>Hint 2</summary>Right and bottom minus left and top gives the two sides. Clamp the <em>sides</em> at 0, then multiply them.</details>
# <details><summary>Solution</summary>
#
# ```python
# def iou_pairs(a, b):
#     low = torch.maximum(a[:, :2], b[:, :2])
#     high = torch.minimum(a[:, 2:], b[:, 2:])
#     side = (high - low).clamp(min=0)
#     intersection = side[:, 0] * side[:, 1]
#     area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
#     area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
#     return intersection / (area_a + area_b - intersection)
# ```
# </details>

# %% [markdown]
# With it, a look at why small objects score badly. The same error, 4 pixels to the right and 4 down, on squares of different size:

# %%
sides = torch.tensor([8.0, 16, 32, 64, 128])
truth_boxes = torch.stack([0 * sides, 0 * sides, sides, sides], dim=1)  # (5, 4)
shifted = iou_pairs(truth_boxes + 4, truth_boxes)
for side, value in zip(sides.tolist(), shifted.tolist(), strict=True):
    verdict = "found" if value >= 0.5 else "missed"
    print(f"{side:>4.0f} pixels: IoU {value:.2f}, counts as {verdict} at IoU 0.5")
torch.testing.assert_close(shifted, iou(truth_boxes + 4, truth_boxes))

# %% [markdown]
# Four pixels ruin a small box and hardly touch a large one. IoU measures errors relative to the size.
#
# ## 3 Where IoU is blind, and its three relatives
# As a loss one takes 1 − IoU. Move a guess away from its target and look at the gradient with respect to the guess's four edges.

# %%
target = torch.tensor([50.0, 50, 90, 90])
print("gap     IoU   largest gradient (per pixel) of IoU, and of GIoU")
for gap in (-20.0, -5, 5, 40):  # negative: they overlap by that much
    box = torch.tensor([10.0 - gap, 55, 50 - gap, 95], requires_grad=True)
    largest = [torch.autograd.grad(f(box, target), box)[0].abs().max().item() for f in (iou, giou)]
    print(f"{gap:>3.0f}   {iou(box, target).item():.3f}   {largest[0]:>35.5f}   {largest[1]:>9.5f}")
    assert (largest[0] == 0) == (gap > 0)
    assert largest[1] > 0

# %% [markdown]
# As soon as the boxes are apart, IoU is 0 and stays 0 wherever the guess moves a little: the gradient is exactly zero, and the loss cannot say in
# which direction the target lies. Its three relatives subtract something from IoU:
#
# | measure | subtracts | so that |
# |---|---|---|
# | **GIoU** (Rezatofighi et al. 2019), June 2020 release | the share of the **hull** (the smallest box around both) that neither box fills | a gap costs something |
# | **DIoU** (Zheng et al. 2019) | (distance of the **centers** ÷ diagonal of the hull)² | the centers attract each other |
# | **CIoU** (the same paper), release 7.0 | that, and α · v, where v compares the **aspect ratios** | the shape counts too |
#
# The shape term is v = 4/π² · (atan(w₁/h₁) − atan(w₂/h₂))², between 0 and 1, and its weight is α = v / (1 − IoU + v). The better the boxes
# already overlap, the more the shape weighs. α is treated as a constant: no gradient flows through it.

# %%
figures.show(figures.iou_family(), alt=figures.FIGURES["L09_iou_family"][1], dpi=74)

# %% [markdown]
# From scratch, on top of your IoU. Then 200 random pairs in one frame of pixels, and the values *and* gradients must be those of `yolo_edu.boxes`.


# %%
def hull_size(a, b):
    """(N, 2) width and height of the smallest box around both."""
    return torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])


def my_giou(a, b):
    base, hull = iou_pairs(a, b), hull_size(a, b).prod(dim=1)
    areas = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1)
    union = areas / (1 + base)  # areas = union + intersection = union · (1 + IoU)
    return base - (hull - union) / hull


def my_diou(a, b):
    apart = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2  # (N, 2) from center to center
    return iou_pairs(a, b) - apart.square().sum(dim=1) / hull_size(a, b).square().sum(dim=1)


def my_ciou(a, b):
    angle = [torch.atan((x[:, 2] - x[:, 0]) / (x[:, 3] - x[:, 1])) for x in (a, b)]
    v = 4 / torch.pi**2 * (angle[0] - angle[1]).square()
    alpha = (v / (1 - iou_pairs(a, b) + v)).detach()
    return my_diou(a, b) - alpha * v


# %%
torch.manual_seed(0)
corner, side = 100 * torch.rand(2, 200, 2), 10 + 60 * torch.rand(2, 200, 2)
a, b = torch.cat([corner, corner + side], dim=2).double()  # (200, 4) each
a.requires_grad_()
for mine, theirs in ((iou_pairs, iou), (my_giou, giou), (my_diou, diou), (my_ciou, ciou)):
    x, y = mine(a, b), theirs(a, b)
    torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)
    slopes = [torch.autograd.grad(v.sum(), a)[0] for v in (x, y)]
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-6)
    print(f"{theirs.__name__:<5} equal on 200 pairs, values from {y.min():.2f} to {y.max():.2f}")
print(f"{int((iou(a, b) == 0).sum())} of the pairs are apart")

# %% [markdown]
# The module adds a tiny number to each denominator (`eps`), so that two empty boxes give 0 and not 0/0. That is the only difference.
#
# IoU was the same in every frame. DIoU, on the jack and the ten again, is not:

# %%
for name, (a, b) in frames.items():
    print(f"DIoU in {name:<25} {diou(a, b):.4f}")
values = {name: diou(a, b).item() for name, (a, b) in frames.items()}
odd = values.pop("normalized to the photo")
assert max(values.values()) - min(values.values()) < 1e-4 < 0.01 < odd - max(values.values())

# %% [markdown]
# "Normalized to the photo" divides x by the width and y by the height, two different numbers here. Measures that look at distances or angles
# belong in a frame that stretches both directions alike.
#
# What does each of them *not* see? Put smaller boxes into a target of 40 × 40 pixels.

# %%
inside = {
    "20 × 20, in the middle": [10.0, 10, 30, 30],
    "20 × 20, in a corner": [0.0, 0, 20, 20],
    "40 × 10, in the middle": [0.0, 15, 40, 25],
}
print(f"{'guess':<24} IoU    GIoU   DIoU   CIoU")
big = torch.tensor([0.0, 0, 40, 40])
rows = torch.tensor([[f(torch.tensor(box), big) for f in (iou, giou, diou, ciou)] for box in inside.values()])
for name, row in zip(inside, rows.tolist(), strict=True):
    print(f"{name:<24}", "  ".join(f"{v:.3f}" for v in row))
assert torch.equal(rows[:, 0], rows[:1, 0].expand(3))  # IoU sees no difference
torch.testing.assert_close(rows[:, 1], rows[:, 0])  # inside the target the hull is the union
assert rows[1, 2] < rows[0, 2] == rows[2, 2]  # DIoU sees the place
assert rows[2, 3] < rows[0, 3]  # CIoU the shape

# %% [markdown]
# When one box lies inside the other, the hull *is* the union: GIoU falls back to IoU and cannot say whether the guess sits in the middle. DIoU can. Only CIoU
# tells the square from the strip.
#
# Now move the boxes yourself, with the mouse or with the arrow keys. An arrow on an edge shows where the gradient of the chosen measure pulls that edge. Try to find: a place where
# IoU shows no arrow and GIoU does; a place *inside* the target where GIoU pulls all four edges outwards; and what CIoU does to a strip.

# %%
explorer = widgets.overlap_explorer()

# %% [markdown]
# <details><summary>What there is to find</summary>Apart, IoU has no arrow at all. Inside the target GIoU and IoU only let the box grow, wherever it sits. With CIoU a flat guess
# gets taller much faster than wider. And in the start position all three relatives pull the right and the lower edge, which face the target, more than twice as hard as
# the other two: the box bridges the gap by growing.</details>
#
# ### A walk along the gradient
# What an arrow says for one moment, a descent says in full. A box follows the gradient for 200 steps, by the rule of Zheng et al. 2019: to its center, width and height
# is added rate · (2 − IoU) · gradient, so the step shrinks as the IoU rises. The rate is 0.1, a tenth of that after step 160, a hundredth after step 180. We send 540 boxes of three sizes and three shapes to targets of area 1, from places up to three target sides away.

# %%
start, goal = figures.scattered_pairs()  # (540, 4) cxcywh, in target sides
runs = {f.__name__: figures.descend(f, start, goal) for f in (iou, giou, diou, ciou)}
apart = runs["iou"].overlap[0] == 0
print(f"{int(apart.sum())} of {len(apart)} start apart")
print("mean IoU after 50, 100 and 200 steps; area after 30 of those that start apart")
for name, run in runs.items():
    mean, grown = run.overlap.mean(dim=1), run.boxes[30, apart, 2:].prod(dim=1).mean()
    print(f"{name:<5} {mean[50]:.2f}  {mean[100]:.2f}  {mean[200]:.2f}   {grown:.2f}")
still = runs["iou"].boxes[:, apart]
assert torch.equal(still[0], still[-1])  # 200 steps, and not one of them moved
means = {name: run.overlap.mean(dim=1) for name, run in runs.items()}
assert means["giou"][50] > max(means["diou"][50], means["ciou"][50]) > 4 * means["iou"][50]

# %%
figures.show(
    figures.box_descent(dict(zip(("IoU", "GIoU", "DIoU", "CIoU"), runs.values(), strict=True))),
    alt=figures.FIGURES["L09_box_descent"][1],
    dpi=74,
)

# %% [markdown]
# Above: one of the boxes at steps 0 (dashed), 10, 20, 30, 40 and 200. Below: all of them. With plain IoU the boxes that start apart do not move at all.
# GIoU gets there by swelling: after 30 steps its boxes are far larger than the targets. DIoU and CIoU swell less.
#
# Be careful with "faster". Zheng et al. report that DIoU converges faster than GIoU in their simulation. With the few places and the one rate here, GIoU is ahead early, and at the end the
# three lie close together. The steps zigzag until the rate falls after step 160, so part of what the curves show is the step size. How much a *detector* gains from one or
# the other must be measured on a detector. This is not done here.
# %% [markdown]
# ## 4 Non-maximum suppression: which to keep
# The network answers everywhere. For one photo it returns 4,032 boxes, and around each card many of them say the same. **Non-maximum suppression** (NMS)
# keeps the surest box, drops all that overlap it too much, and goes on with the surest of the rest. Versions of it are older than deep learning (Neubeck and Van Gool 2006 give
# fast ones). We decode all 48 validation photos once and work on the result.

# %%
truth = [cards[i] for i in range(len(cards))]
squares, places = zip(*(letterbox(s.image, 256) for s in truth), strict=True)
with torch.no_grad():
    decoded = model.decode(model(torch.stack(squares) / 255))  # (48, 4032, 5 + K)

rows = decoded[35]  # the jack and the ten, in pixels of the square
scores, labels = (rows[:, 4:5] * rows[:, 5:]).max(dim=1)  # score = objectness × class probability
order = scores.argsort(descending=True)
order = order[scores[order] > 0.25]  # the confidence threshold comes first
boxes, scores, labels = cxcywh_to_xyxy(rows[order, :4]), scores[order], labels[order]
print(f"{len(rows):,} boxes, {len(boxes)} of them with a score above 0.25, for {len(sample.labels)} cards")
of_level = torch.tensor([3 * 32**2, 3 * 16**2, 3 * 8**2])  # rows that P3, P4, P5 give
level = torch.tensor([0, 1, 2]).repeat_interleave(of_level)
print("from P3, P4, P5:", level[order].bincount(minlength=3).tolist())
assert len(level) == len(rows)

# %% [markdown]
# The article that this course grew from says of FPN that detecting on several levels "may produce duplicated predictions", and that PAN
# ([lesson 06](06_fpn_pan.ipynb)) fuses the levels. The fusing does not cure it: this network has a PAN, and on either level
# neighbor cells and several anchors mean the same card. No neck removes duplicates. NMS does. Here are the surest candidates, and what becomes of each at an IoU threshold of 0.45, class by class:

# %%
# of each box: the kept box that removed it, or itself
owner = figures.suppressed_by(boxes, scores, 0.45, labels).tolist()
print("rank  class  score  verdict")
for i in range(12):
    best = owner[i]
    said = "kept" if best == i else f"goes: IoU {iou(boxes[i], boxes[best]):.2f} with rank {best + 1}"
    print(f"{i + 1:>4}  {model.names[labels[i]]:<5}  {scores[i]:.2f}   {said}")

# %%
figures.show(
    figures.suppression_steps(torch.stack(squares)[35], boxes, scores, labels, model.names),
    alt=f"A photo with {len(boxes)} candidate boxes; then a step for each kept box, with the dashed ones it removes",
    photos=True,
    dpi=72,
)

# %% [markdown]
# Thick: the box that is kept in this step. Dashed: what goes because of it. Four boxes are left for two cards. King and queen are wrong names of the jack, and the ten's
# own box is wrong too: it lies across both cards and overlaps the true ten by less than 0.5. More on that below.
#
# The boxes are in order, so the rule is a loop. One thing in it is often missed: a box that has been removed no longer counts. Take three boxes in a row, the surest first. A overlaps B too much, B
# overlaps C too much, and A hardly meets C.

# %%
chain = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
overlaps = iou(chain[[0, 1, 0]], chain[[1, 2, 2]])
print("IoU of A and B, B and C, A and C:", [round(v, 2) for v in overlaps.tolist()])
survivors = torchvision.ops.nms(chain, torch.tensor([0.9, 0.8, 0.7]), 0.4)

# %% [markdown]
# **Predict, then run:** how many of them survive a threshold of 0.4?

# %%
quiz.predict(
    "boxes that survive",
    answer=len(survivors),
    why="A and C. A removes B; by the time C is looked at, B is gone and cannot remove it.",
)

# %% [markdown]
# ### Exercise 9.2 · Suppress (12 minutes, ●●●○○)
# Write the loop. A box goes when its IoU with a kept, better one is *greater* than the threshold. Return the indices (into `boxes`) of the kept boxes, the
# surest first, as a tensor or a list. All boxes are of one class, in any order. `pairwise_iou(a, b)` takes (N, 4) and (M, 4) and returns (N, M).


# %%
def suppress(boxes, scores, threshold):
    """boxes (N, 4) xyxy, scores (N,), N ≥ 1 → indices of the kept boxes, best score first."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


suppress = checks.suppress(suppress)

# %% [markdown]
# <details><summary>Hint 1</summary>Keep a list of indices that are still in the race, sorted by score. Its first entry is always kept.</details>
# <details><summary>Hint 2</summary><code>pairwise_iou(boxes[best][None], boxes[rest])[0]</code> is the IoU of one box with each of the rest.</details>
# <details><summary>Hint 3</summary>What stays in the race: <code>rest[overlap &lt;= threshold]</code>. Repeat while anything is left.</details>
# <details><summary>Solution</summary>
#
# ```python
# def suppress(boxes, scores, threshold):
#     order, kept = scores.argsort(descending=True), []
#     while len(order):
#         best, rest = order[0], order[1:]
#         kept.append(int(best))
#         overlap = pairwise_iou(boxes[best][None], boxes[rest])[0]
#         order = rest[overlap <= threshold]
#     return kept
# ```
# </details>

# %% [markdown]
# Your loop treats all boxes alike. A jack must not remove a ten, though. One could run the loop once a class. `yolo_edu.nms` uses a trick instead: it moves every class to a place of its own, 7,680 pixels
# further for each class number. Boxes of different classes then never meet, and one call does it all. All three ways must agree:

# %%
apart = boxes + (labels * CLASS_OFFSET)[:, None]  # (N, 4)
shifted = torch.as_tensor(suppress(apart, scores, 0.45))
one_by_one = []
for k in labels.unique():
    own = (labels == k).nonzero()[:, 0]  # places of this class
    one_by_one += own[torch.as_tensor(suppress(boxes[own], scores[own], 0.45))].tolist()
assert sorted(one_by_one) == sorted(shifted.tolist())
assert shifted.tolist() == torchvision.ops.nms(apart, scores, 0.45).tolist()

(theirs,) = nms(decoded[35:36], confidence=0.25, iou=0.45)
assert torch.equal(theirs.boxes, boxes[shifted])
assert torch.equal(theirs.labels, labels[shifted])
(agnostic,) = nms(decoded[35:36], confidence=0.25, iou=0.45, agnostic=True)
for name, found in (("class by class", theirs), ("agnostic", agnostic)):
    said = [f"{model.names[k]} {score:.2f}" for k, score in zip(found.labels, found.scores, strict=True)]
    print(f"{name:<15}", ", ".join(said))
ten = [iou(x.boxes[x.labels == sample.labels[1]][0], in_square[1]).item() for x in (theirs, agnostic)]
print(f"IoU of the box called ten with the true ten: {ten[0]:.2f} and {ten[1]:.2f}")
assert ten[1] > 0.5 > ten[0]

# %% [markdown]
# Without the shift, all classes compete: **agnostic** suppression. On this photo it removes both wrong names of the jack. It also removes the surest box of the ten, which overlaps the jack's box too
# much, and a less sure one takes its place. Here that is luck: the surer box lay across both cards, and the other one fits. Release 7.0 ships with class-wise suppression, 0.25 for the confidence and 0.45 for the IoU; the scripts of June 2020
# used 0.4 and 0.5. Try all of them:


# %%
def undo(found):
    """Detections in pixels of the square, one a photo → clipped, in pixels of the photo."""
    return [
        f._replace(boxes=clip_boxes(p.undo(f.boxes), s.image.shape[2], s.image.shape[1]))
        for s, p, f in zip(truth, places, found, strict=True)
    ]


candidates = undo(nms(decoded, confidence=0.05, iou=1.0))  # IoU is never above 1: nothing is suppressed
numbers = {"a jack on a ten": 35, "four cards": 31, "one jack": 12}
numbers |= {"a queen on a newspaper": 13, "an ace and a king": 36}
explorer = widgets.suppression_explorer(
    {name: truth[i] for name, i in numbers.items()},
    {name: candidates[i] for name, i in numbers.items()},
    model.names,
)

# %% [markdown]
# Two things to try. Switch "an ace and a king" to agnostic and lower the IoU threshold: when does the king's box go? Raise the threshold on "four cards": when does the first duplicate appear?
#
# <details><summary>What there is to find</summary>At 0.05 the ace removes the king's box of 0.85, because the two overlap a little; a less sure one of 0.45 takes its place. Among the four cards the
# first duplicate, a second box on a jack, appears at 0.75. On the newspaper the threshold hardly matters: those wrong boxes lie on nothing, and do not overlap a better one.</details>

# %% [markdown]
# The threshold trades two mistakes. Too low, and neighbors remove each other; too high, and duplicates stay. All 48 photos. The last column is one number for
# the whole detector, which section 5 builds. For it, boxes count down to a score of 0.001, and one box may be reported under several names (`multi_label`).

# %%
half = torch.tensor([0.5])  # right: the class is right and IoU ≥ 0.5, once for each object (section 5)
print("IoU threshold  boxes above 0.25  of them right   mAP50 (section 5)")
quality, counts = {}, {}
for threshold in (0.1, 0.3, 0.45, 0.6, 0.75, 0.9):
    shown = undo(nms(decoded, confidence=0.25, iou=threshold))
    right = sum(int(metrics.match(f, s.boxes, s.labels, half).sum()) for f, s in zip(shown, truth, strict=True))
    every = undo(nms(decoded, confidence=0.001, iou=threshold, multi_label=True))
    quality[threshold] = measure(truth, every, model.names).map50
    counts[threshold] = sum(len(f.labels) for f in shown), right
    print(f"{threshold:>13}  {counts[threshold][0]:>16}  {right:>13}   {quality[threshold]:.3f}")
assert quality[0.9] < min(quality[t] for t in (0.1, 0.3, 0.45, 0.6, 0.75)) - 0.1
assert counts[0.75][0] - counts[0.6][0] == 23
assert counts[0.75][1] == counts[0.6][1]
for s in truth:  # no two cards of one class overlap by more than 0.1
    assert ((pairwise_iou(s.boxes, s.boxes) > 0.1) & (s.labels[:, None] == s.labels)).sum() == len(s.labels)

# %% [markdown]
# From 0.3 to 0.6 little changes. At 0.75 there are 23 more boxes than at 0.6, and not one more card is right; at 0.9 the duplicates take over. Even 0.1 does little harm, because no two
# cards of one class overlap by more than 0.1 in these photos. In the last column only the drop at 0.9 means anything: one card of about 18 in a class, in one class of five, is worth 0.01.
#
# ### What NMS cannot do
# It sees boxes, not objects. Two true objects of one class whose boxes overlap more than the threshold look to it like one object seen twice. To measure it, take a *perfect* detector: the true
# boxes of the aquarium, each with score 1. How many labels does NMS throw away?

# %%
fish = DetectionData(read_spec(sample_data("aquarium5.yaml")), "val", image_size=416, cache=False)
tanks = [fish[i] for i in range(len(fish))]
lost = {}  # threshold → photo → indices of labels that go
for threshold in (0.3, 0.45, 0.6):
    lost[threshold] = {}
    for i, tank in enumerate(tanks):
        apart = tank.boxes + (tank.labels * CLASS_OFFSET)[:, None]
        keep = torchvision.ops.nms(apart, torch.ones(len(apart)), threshold)
        gone = sorted(set(range(len(tank.labels))) - set(keep.tolist()))
        lost[threshold] |= {i: gone} if gone else {}
    total = sum(len(gone) for gone in lost[threshold].values())
    print(f"threshold {threshold}: {total} of {sum(len(t.labels) for t in tanks)} true boxes are lost")
assert sum(map(len, lost[0.3].values())) > sum(map(len, lost[0.45].values())) > 0

# %%
number, gone = next(iter(lost[0.45].items()))
tank = tanks[number]
figures.show(
    figures.overlapping_labels(tank.image, tank.boxes, tank.labels, fish.names, gone),
    alt="An aquarium photo with its true boxes; a fish swims in front of a larger one, and its dashed box would be removed",
    photos=True,
    dpi=72,
)

# %% [markdown]
# The second blind spot is the opposite. Class-wise suppression leaves two *names* for one object, as on the jack above, since it never compares them. Agnostic suppression
# removes the second name and risks neighbors of other classes.
#
# A softer rule exists: Soft-NMS (Bodla et al. 2017) lowers the score of an overlapping box instead of removing it. Neither YOLOv5 nor this course's module
# has it.
#
# ## 5 How good is a detector?
# Fix a threshold for the confidence, and every reported box is right or wrong, every object found or missed. Two shares describe that:
# - **precision**: of the boxes that were reported, how many are right?
# - **recall**: of the objects that exist, how many were found?
#
# A box is **right** if its class is right, its IoU with an object is at least 0.5 (or another bar), and no surer box has claimed that object. The rule of release 7.0, in
# `yolo_edu.metrics.match`: each detection names the object of its class that it overlaps most; of all that name the same object with enough IoU, the first counts and the others are duplicates.
#
# Lower the threshold step by step, and detections enter one by one, the surest first. Here is how that begins for one class, the jack. From now on boxes are in pixels of the photo,
# and NMS runs as release 7.0 evaluates: scores above 0.001, an IoU threshold of 0.6, and a box is reported under every name whose score suffices.

# %%
found = undo(nms(decoded, confidence=0.001, iou=0.6, multi_label=True))  # unsure ones too
scores = torch.cat([f.scores for f in found])  # (N,)
labels = torch.cat([f.labels for f in found])  # (N,)
pairs = list(zip(found, truth, strict=True))
correct = torch.cat([metrics.match(f, s.boxes, s.labels) for f, s in pairs])  # (N, 10), for IoU 0.50 … 0.95
objects = torch.bincount(torch.cat([s.labels for s in truth]), minlength=5).tolist()  # of each class
print(f"{len(scores):,} detections on {len(truth)} photos, {sum(objects)} objects")

# %%
photo = torch.cat([torch.full((len(f.labels),), i) for i, f in enumerate(found)])  # (N,)
jack = model.names.index("jack")
ranked = scores.argsort(descending=True, stable=True)
ranked = ranked[labels[ranked] == jack]
print(f"{len(ranked)} detections say jack; there are {objects[jack]} jacks")
print("rank  score  photo  right?  precision       recall")
hits = 0
for rank, i in enumerate(ranked[:14].tolist(), start=1):
    hits += int(correct[i, 0])  # column 0: IoU ≥ 0.5
    verdict = "yes" if correct[i, 0] else "no"
    print(f"{rank:>4}  {scores[i]:.3f}  {photo[i]:>5}  {verdict:<6}", end="")
    print(f"  {hits:>2}/{rank:<2} = {hits / rank:.2f}", end="")
    print(f"   {hits:>2}/{objects[jack]} = {hits / objects[jack]:.2f}")

# %% [markdown]
# Recall can only rise. Precision falls with every wrong box and recovers with every right one, so the curve is a zigzag. One would never stop inside a dip if a lower threshold gives a better
# precision *and* a better recall. Hence the **envelope**: at each recall, the best precision at that recall or a higher one. The area under it is the **average
# precision** (AP). COCO reads the envelope at the 101 recalls 0, 0.01, … 1 and takes the mean; a recall that is never reached counts as 0. A small example:

# %%
figures.show(figures.pr_envelope(), alt=figures.FIGURES["L09_pr_envelope"][1], dpi=80)

# %% [markdown]
# **Predict, then run:** there are 10 objects. A detector reports 5 boxes, all of them right.

# %%
quiz.predict(
    "the sum of the 101 readings (AP is this sum divided by 101)",
    answer=round(101 * float(metrics.average_precision(np.ones((5, 1), dtype=bool), 10)[0])),
    why="Precision 1 at the recalls 0, 0.01 … 0.50, which are 51 readings, and 0 beyond. AP = 51/101 = 0.505. What is never found costs AP.",
)

# %% [markdown]
# ### Exercise 9.3 · Average precision (12 minutes, ●●●○○)
# `scores` and `correct` belong to the detections of one class, in any order. Sort, count, take the envelope, read it at 101 recalls. Use float64 for the recalls.


# %%
def average_precision(scores, correct, objects):
    """scores (N,), correct (N,) bool, objects: how many exist → AP, one number; N ≥ 1."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


average_precision = checks.average_precision(average_precision)

# %% [markdown]
# <details><summary>Hint 1</summary><code>cumsum</code> of the sorted <code>correct</code> counts the hits so far. Divide by 1, 2, 3 … for the precision, by <code>objects</code> for the recall.</details>
# <details><summary>Hint 2</summary>The envelope is a running maximum from the right: flip, <code>cummax(dim=0).values</code>, flip back.</details>
# <details><summary>Hint 3</summary>At a recall r the reading is the envelope at the first row with <code>recall &gt;= r</code>, or 0 if there is none. A loop over <code>torch.linspace(0, 1, 101, dtype=torch.float64)</code> will do.</details>
# <details><summary>Solution</summary>
#
# ```python
# def average_precision(scores, correct, objects):
#     hits = correct[scores.argsort(descending=True, stable=True)].double().cumsum(dim=0)
#     precision = hits / torch.arange(1, len(hits) + 1)
#     recall = hits / objects
#     envelope = precision.flip(0).cummax(dim=0).values.flip(0)
#     readings = []
#     for r in torch.linspace(0, 1, 101, dtype=torch.float64):
#         reached = envelope[recall >= r]
#         readings.append(float(reached[0]) if len(reached) else 0.0)
#     return sum(readings) / 101
# ```
# </details>

# %% [markdown]
# AP depends on the bar for "right". **mAP50** is the mean over the classes at IoU 0.5. **mAP50-95**, often called just mAP, is the mean over the ten bars 0.50, 0.55 … 0.95 as well. Your function
# gives all fifty numbers, and the COCO tools (pycocotools), which know nothing of our code, must give the same.

# %%
mine = np.zeros((10, 5))  # (IoU, class)
for k in range(5):
    for t in range(10):
        own = labels == k
        mine[t, k] = float(average_precision(scores[own], correct[own, t], objects[k]))
tools = coco_precision(truth, found, 5).mean(axis=1)  # (10, 5), mean over the 101 recalls
print("class      ours          COCO tools")
print("       AP50   AP50-95  AP50   AP50-95")
for k, name in enumerate(model.names):
    numbers = mine[0, k], mine[:, k].mean(), tools[0, k], tools[:, k].mean()
    print(f"{name:<5}  {numbers[0]:.3f}  {numbers[1]:.3f}    {numbers[2]:.3f}  {numbers[3]:.3f}")
print(f"mAP50 {mine[0].mean():.4f}, mAP50-95 {mine.mean():.4f}")
print(f"largest difference {np.abs(mine - tools).max():.1e}")
assert np.abs(mine - tools).max() < 1e-3

# %%
report = measure(truth, found, model.names)  # what `yolo-edu val` prints
assert abs(report.map50 - mine[0].mean()) < 1e-3
assert abs(report.map - mine.mean()) < 1e-3
print("IoU bar ", " ".join(f"{0.5 + 0.05 * t:.2f}" for t in range(10)))
print("mean AP ", " ".join(f"{v:.2f}" for v in mine.mean(axis=1)))

# %% [markdown]
# The second table explains why mAP50-95 is so much lower than mAP50. This network finds nearly all cards, and hardly ever to within an IoU of 0.95. The higher the bar, the more it examines whether the box *fits*.
#
# Three fine points, each measured here or in a test:
# - **End of the curve.** AP wants the unsure detections too. Report only what is above 0.25, and the curve stops early.
# - **Matching.** The COCO tools let a detection whose first choice is taken claim its second choice. Release 7.0 does not. On this run no hit depends on it; a made-up case does.
# - **Interpolation.** Release 7.0's own script draws straight lines between the points and one from the last point to recall 1, precision 0. It therefore gives something for recall that was never reached:
#   0.75 instead of 0.505 for the five right boxes of ten objects above (`tests/test_metrics.py::test_half_of_the_objects_found_without_error`). Do not compare values from different tools to the third digit.

# %%
short = measure(truth, undo(nms(decoded, confidence=0.25, iou=0.6, multi_label=True)), model.names)
print(f"mAP50 from all detections {report.map50:.3f}, from those above 0.25 only {short.map50:.3f}")
assert short.map50 < report.map50

both = torch.tensor([0, 0])  # two objects and two detections of class 0
two = truth[0]._replace(boxes=torch.tensor([[0.0, 0, 100, 100], [0, 30, 100, 130]]), labels=both)
said = Detections(torch.tensor([[0.0, 0, 100, 100], [0, 10, 100, 110]]), torch.tensor([0.9, 0.8]), both)
overlaps = pairwise_iou(said.boxes, two.boxes)[1].tolist()
print(f"the second detection overlaps the objects by {overlaps[0]:.2f} and {overlaps[1]:.2f}")
print("right by the rule of release 7.0:", metrics.match(said, two.boxes, two.labels, half)[:, 0].tolist())
print("AP at IoU 0.5 by the COCO tools:", coco_precision([two], [said], 1)[0].mean())
assert metrics.match(said, two.boxes, two.labels, half)[:, 0].tolist() == [True, False]
assert coco_precision([two], [said], 1)[0].mean() > 0.999

# %% [markdown]
# ## 6 One threshold to work with
# AP judges the whole curve. In use you stand at one point of it. Choose a class and move the threshold. Then raise the bar for the IoU to 0.90: does the curve sink where the network is unsure?

# %%
explorer = widgets.threshold_explorer(truth, found, model.names, start="jack")

# %% [markdown]
# <details><summary>What there is to find</summary>The whole curve sinks, its sure end on the left included: of the eight surest jacks, five miss the bar of 0.90. A score says how sure the network is of the card, and little about how
# tightly the box sits.</details>

# %% [markdown]
# **F1** = 2 · precision · recall / (precision + recall) is their harmonic mean: it is high only if both are. The report chooses the confidence at which the mean F1 over the
# classes is highest (smoothed, because on 92 objects a sharp maximum is luck).

# %%
best = metrics.best_f1(report.curves)
print(f"best mean F1 {report.f1:.3f} at confidence {report.confidence:.2f}")
for name, p, r, f in zip(model.names, best.precision, best.recall, best.f1, strict=True):
    print(f"{name:<5}  precision {p:.2f}  recall {r:.2f}  F1 {f:.2f}")
mean = report.curves.f1.mean(axis=0)
near = metrics.CONFIDENCES[mean > mean.max() - 0.05]
print(f"mean F1 within 0.05 of its maximum from confidence {near.min():.2f} to {near.max():.2f}")
figures.show(
    charts.confidence_chart(report.curves, model.names, report.confidence),
    alt="F1, precision and recall over the confidence threshold: the mean F1 has a broad top, not a peak",
    dpi=100,
)

# %% [markdown]
# F1 weighs both mistakes alike. If a missed object costs more than a false alarm, go lower; if a false alarm costs more, higher. And choose the threshold on validation photos, not on those with which you report the
# result. We did both on the same 48 photos, so the best F1 above flatters.
#
# Precision and recall say *how many* go wrong. The **confusion matrix** says *what for*: the row is what was said, the column what was there, and the last row and column are background. It uses detections above 0.25,
# and pairs boxes by IoU alone (above 0.45), whatever their classes. Each object keeps one box, the one that overlaps it most.
#
# **Predict, then run:** 134 boxes are above 0.25, there are 92 objects, and every object gets a box.

# %%
quiz.predict(
    "boxes in the last column, that of the background",
    answer=int(report.confusion[:, -1].sum()),
    why="92 boxes are paired, one with each object. The other 42 of the 134 count as boxes on background, wherever they lie.",
)

# %%
figures.show(
    charts.confusion_chart(report.confusion, model.names),
    alt="Confusion matrix of five card classes: high counts on the diagonal, jack and queen mixed up, none missed",
    dpi=100,
)
confusion = report.confusion
queen = model.names.index("queen")
print(f"jacks taken for queens {confusion[queen, jack]}, queens taken for jacks {confusion[jack, queen]}")
print(f"objects with no box at all {int(confusion[-1].sum())}")
sure = [pairwise_iou(f.boxes[f.scores > 0.25], s.boxes).amax(dim=1) for f, s in pairs]  # best IoU of each box
near = sum(int((x > 0.45).sum()) for x in sure)  # boxes that lie on an object
second, nothing = near - int(confusion[:-1, :-1].sum()), sum(len(x) for x in sure) - near
print(f"last column: {second} boxes on an object that has a better one, {nothing} on nothing")
assert second + nothing == confusion[:, -1].sum() == 134 - 92 == confusion.sum() - sum(objects)
assert confusion[:, :5].sum(dim=0).tolist() == objects  # every object stands once in its column

# %% [markdown]
# No card is overlooked. What goes wrong is names (jack against queen) and the last column, and most of that column lies *on* a card, as a second box or a second name.
# The matrix uses the evaluation's detections (NMS at 0.6, several names a box), so second boxes weigh more here than in use.
#
# ## Quiz

# %%
quiz.ask(
    "Two boxes do not touch. Which loss can move the guess toward its target?",
    ["1 − IoU, if the learning rate is high enough", "1 − GIoU", "None: without overlap there is no gradient"],
    answer=1,
    why="IoU is constantly 0 there, so its gradient is exactly zero, at any rate. GIoU still sees the hull; DIoU and CIoU see the centers.",
)

# %%
quiz.ask(
    "The network sees both of two birds that sit close together, but only one box arrives. What do you try first?",
    ["A higher IoU threshold in NMS", "A lower IoU threshold in NMS", "A higher confidence threshold"],
    answer=0,
    why="The two true boxes overlap more than the threshold, and the second is taken for a duplicate. A higher threshold lets both live, at the price of more duplicates.",
)

# %%
quiz.ask(
    "You evaluate with a confidence threshold of 0.5 instead of 0.001. What happens to mAP and to the F1 at 0.6?",
    ["Both rise, as wrong boxes are gone", "mAP stays, F1 falls", "mAP falls, F1 at 0.6 stays"],
    answer=2,
    why="AP loses the end of its curve, and recalls that are not reached count as 0. What lies above 0.6 is the same as before.",
)

# %%
quiz.ask(
    "One object gets two boxes of the right class, both with IoU 0.8. How are they counted at IoU 0.5?",
    [
        "Both are right",
        "The surer one is right, the other is wrong",
        "The one with the higher IoU is right, whatever its score",
    ],
    answer=1,
    why="Each object can be claimed once, and detections claim in order of their score. That is why duplicates cost precision.",
)

# %%
quiz.ask(
    "mAP50 is 0.94 and mAP50-95 is 0.73. What does the gap say?",
    [
        "A quarter of the objects was missed",
        "The classes are mixed up",
        "The objects are found, but many boxes do not fit tightly",
    ],
    answer=2,
    why="Missed objects and wrong names would lower mAP50 too. What the higher bars add is the question how tightly the boxes fit.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | conversions can be undone; IoU is the same in every frame | assertions in section 1; `tests/test_boxes.py` |
# | your IoU is right, values and gradients | exercise 9.1, against a reference on random pairs |
# | IoU has no gradient when boxes are apart, GIoU has one | assertion in section 3 |
# | the four measures from scratch equal the module's, gradients too | assertions in section 3; `tests/test_boxes.py` |
# | with IoU, boxes that start apart never move | assertion in section 3 |
# | your suppression is right; class by class, shifted and module agree | exercise 9.2; assertions in section 4; `tests/test_nms.py` |
# | NMS loses true objects that overlap | assertion in section 4 |
# | your average precision is right, and mAP is that of the COCO tools | exercise 9.3; assertion in section 5; `tests/test_metrics.py::test_average_precision_equals_pycocotools` |
# | the COCO tools match differently from release 7.0 | assertions in section 5; `tests/test_metrics.py::test_match_equals_slow_loop` |
# | figures and widgets say what the modules say; what there is to find with them | `tests/test_lesson_boxes.py`, `tests/test_lesson_boxes_cards.py` |
#
# **References** Neubeck, Van Gool 2006, "Efficient Non-Maximum Suppression", ICPR · Everingham, Van Gool, Williams, Winn, Zisserman 2010, "The Pascal Visual Object Classes (VOC) Challenge", IJCV 88 ·
# Lin et al. 2014, arXiv:1405.0312 (COCO) · Bodla, Singh, Chellappa, Davis 2017, arXiv:1704.04503 (Soft-NMS) · Rezatofighi et al. 2019, arXiv:1902.09630 (GIoU) ·
# Zheng et al. 2019, arXiv:1911.08287 (DIoU, CIoU) · Zheng et al. 2020, arXiv:2005.03572 (the same, extended)
#
# ← [08 The whole network](08_yolov5.ipynb) · **09 Boxes, NMS, mAP** · [10 Target assignment](10_target_assignment.ipynb) →
