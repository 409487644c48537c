# %% [markdown]
# # 11 · The loss: where, whether, what
#
# **90 minutes · difficulty ●●●●○ · importance ●●●●●**
#
# After this lesson you can
# - say which prediction each of the three terms asks, and what it is compared with,
# - write cross-entropy on raw numbers so that it never overflows, and name the bug of the second sigmoid by its loss,
# - predict the first loss of a fresh network by hand, and read a wrong one,
# - build the objectness target, and show what goes wrong without `detach`,
# - add focal loss and label smoothing, and say what they do to the number that you watch,
# - compute a whole detection loss with plain loops, equal to the module's.
#
# You need [lesson 07](07_anchors_and_detect.ipynb) (raw numbers, decoding, biases), [lesson 09](09_boxes_nms_map.ipynb) (IoU, GIoU, CIoU)
# and [lesson 10](10_target_assignment.ipynb) (which cell must predict which object).

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
import inspect
import math
from dataclasses import replace

import torch
from torch.nn import functional as F

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.assign import assign
from yolo_edu.boxes import ciou, cxcywh_to_xyxy, giou
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.data import DetectionData, collate, read_spec
from yolo_edu.doctor import expected_raw, first_loss, perfect_answer
from yolo_edu.evaluate import evaluate
from yolo_edu.loss import LossSettings, binary_loss, detection_loss, objectness_target
from yolo_edu.model import YOLOv5v6
from yolo_edu.model.detect import decode_box, prior_logits

# %%
figures.show(
    figures.network_map("head"),
    alt="The map of YOLOv5 with the head lit: its raw numbers, three levels of them, are what the loss reads",
    dpi=64,
)

# %% [markdown]
# On the way image → data → augment → model → assign → **loss** → train. The head has answered with raw numbers, `assign` has said which of them must predict which
# object. The loss says how wrong they are, in one number, so that a gradient can mend them.
#
# The article calls it "a compound loss […] based on objectness score, class probability score, and bounding box regression score", names binary cross-entropy with logits,
# and mentions `fl_gamma`. All of that holds. It gives no formula, though. This lesson gives every one.
#
# ## 1 Three questions
# Each prediction holds 4 + 1 + K numbers, and each part has its own question. The terms of release 7.0 in one table; the sections say how each comes about:
#
# | term | who is asked | target | cost | mean over |
# |---|---|---|---|---|
# | box | entries | the true box | 1 − CIoU | entries of a level |
# | objectness | every prediction | CIoU at present, 0 if no entry | cross-entropy | predictions of a level |
# | class | entries | 1 for the true class, else 0 | cross-entropy | entries and classes |
#
# The levels are added (objectness with a weight), each term is multiplied by its gain.

# %%
figures.show(figures.loss_terms(), alt=figures.FIGURES["L11_terms"][1], dpi=74)

# %% [markdown]
# One object, the coarsest grid (P5) of an image of 128 pixels. Hatched: the cells that are asked. An **entry** (lesson 10) is one anchor in one cell that must predict one object; here 2 of 3
# anchors fit in 3 cells.
# - **Where?** Only entries have a box to be compared with. The other cells may say what they like.
# - **Whether?** Every prediction has to answer, and nearly all must say no.
# - **What?** Only entries have a class.
#
# Here is a real batch: eight photos of cards, and YOLOv5 n of release 7.0, trained.

# %%
model = load_checkpoint(shipped_weights("cards_n")).eval()  # on the CPU
cards = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=256, cache=False)
batch = collate([cards[i] for i in (6, 14, 28, 30, 31, 34, 38, 46)], 256)
with torch.no_grad():
    raw = model(batch.images)  # P3, P4, P5: (B, A, h, w, 5 + K)
anchors = model.detect.anchors  # (L, A, 2) in grid cells
targets = batch.targets  # (M, 6) image, class, cx, cy, w, h, normalized to the square
grids = [tuple(x.shape[2:4]) for x in raw]
entries = assign(targets, grids, anchors)
print(*(f"{tuple(x.shape)}" for x in raw))
print(f"{len(targets)} objects, entries a level:", *(len(level.image) for level in entries))

# %% [markdown]
# **Predict, then run:** for how many numbers does the objectness term ask its question?

# %%
quiz.predict(
    "objectness logits of 8 images at 256 pixels, three anchors a cell",
    answer=sum(x[..., 4].numel() for x in raw),
    why="8 · 3 · (32² + 16² + 8²). A few hundred of them are entries. Most of what this term hears is 'nothing here'.",
)

# %% [markdown]
# Each term is multiplied by a number, its **gain**, and the sum by the batch size B:
#
# total = (box + objectness + class) · B
#
# (Objectness adds a factor for each level, the balance: section 5.) Two sets of gains matter: those of the June 2020 release, the article's, and those of release 7.0 (November 2022).

# %%
print(f"{'':<28}{'box':>6}{'objectness':>12}{'class':>9}  balance of the levels")
for name, settings in {
    "June 2020, 80 classes": LossSettings.r1(80),
    "release 7.0, 80, 640 pixels": LossSettings.r7(80, 640),
    "June 2020, 5 classes": LossSettings.r1(5),
    "release 7.0, 5, 256 pixels": LossSettings.r7(5, 256),
}.items():
    gains = f"{settings.box:>6}{settings.objectness:>12.3g}{settings.classification:>9.4g}"
    print(f"{name:<28}{gains}  {settings.balance}")

# %% [markdown]
# Why does the class gain grow with K, and the objectness gain with the image? Both terms are *means*. A mean over K classes gives each class 1/K; a mean over cells gives each cell less,
# the more cells there are. The gains of release 7.0 undo it: one class of one entry weighs the same whatever K, and one cell whatever the image size. (Those of June 2020 do so for the classes only.)

# %%
for k in (5, 20, 80):
    assert math.isclose(LossSettings.r7(k).classification / k, 0.5 / 80)
for size in (256, 320, 640):
    assert math.isclose(LossSettings.r7(5, size).objectness / size**2, 1 / 640**2)

settings = LossSettings.r7(5, 256)
loss = detection_loss(raw, targets, anchors, settings)
parts = loss.box + loss.objectness + loss.classification
print(f"box {loss.box:.4f} + objectness {loss.objectness:.4f} + class {loss.classification:.4f} = {parts:.4f}")
print(f"total = {parts:.4f} · {len(batch.images)} = {loss.total:.4f}")
assert torch.isclose(loss.total, parts * len(batch.images))

# %%
twice = detection_loss(
    [torch.cat([x, x]) for x in raw],
    torch.cat([targets, targets + torch.tensor([len(batch.images), 0, 0, 0, 0, 0])]),
    anchors,
    settings,
)
ratios = [round((b / a).item(), 4) for a, b in zip(loss, twice, strict=True)]  # total, box, objectness, class
assert ratios == [2.0, 1.0, 1.0, 1.0]

# %% [markdown]
# **Predict, then run:** the same eight photos twice, as one batch of 16. By which factor does the *total* grow?

# %%
quiz.predict(
    "total of 16 over total of 8",
    answer=ratios[0],
    why="The parts are means and stay the same; the total is multiplied by the batch size. So gradients of several batches "
    "can be added up (lesson 13). With different photos it is only nearly a sum over photos: box and class average over "
    "the entries of the whole batch, so a photo with many entries counts more.",
)

# %% [markdown]
# ## 2 Yes or no: binary cross-entropy on raw numbers
# Objectness and class ask yes/no questions. The network gives a raw number x, any real number, called a **logit**; σ(x) is the probability p of "yes". With the wanted answer y between 0 and 1:
#
# BCE(x, y) = −y · ln p − (1 − y) · ln(1 − p), p = σ(x)
#
# At x = 0, p is one half, and either answer costs ln 2 = 0.693. Written down like this, the formula breaks in float32:


# %%
def by_the_book(x, y):
    p = x.sigmoid()
    return -(y * p.log() + (1 - y) * (1 - p).log())


for x in (0.0, 5.0, 15.0, 20.0, 100.0):
    x = torch.tensor(x, requires_grad=True)
    no = torch.tensor(0.0)
    losses = by_the_book(x, no), F.binary_cross_entropy_with_logits(x, no)
    slopes = [torch.autograd.grad(value, x)[0] for value in losses]
    print(f"x {x.item():5.0f}, wanted 0: by the book {losses[0]:8.4f}, gradient {slopes[0]:8.4f}", end="   |   ")
    print(f"PyTorch {losses[1]:8.4f}, gradient {slopes[1]:.4f}")
assert not math.isfinite(by_the_book(torch.tensor(20.0), no))

# %% [markdown]
# At 15 the loss is already off in the third digit. At x = 20, float32 rounds σ(x) to exactly 1. The logarithm of 1 − p is then −∞ and the gradient NaN (not a number), which the next step writes into every weight.
# Nothing was wrong with the network; it was merely sure, and mistaken.
#
# The cure is algebra. Put σ(x) = 1 / (1 + e⁻ˣ) in and simplify:
#
# BCE(x, y) = max(x, 0) − x · y + ln(1 + e^(−|x|))
#
# The exponential never exceeds 1, so nothing can overflow. And the gradient becomes simple: σ(x) − y, the error itself, between −1 and 1. This is why raw numbers go in:
# sigmoid and logarithm belong together.
#
# ### Exercise 11.1 · Cross-entropy that cannot overflow (6 minutes, ●●○○○)
# Return the **mean** over all numbers. The check tries logits up to ±200 too, and the gradient at exactly 0, where max(x, 0) has a corner.


# %%
def stable_bce(logits, wanted):
    """logits and wanted (0 to 1), of one shape → mean binary cross-entropy, a scalar tensor."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


stable_bce = checks.stable_bce(stable_bce)

# %% [markdown]
# <details><summary>Hint 1</summary>max(x, 0) is <code>torch.maximum(logits, torch.zeros_like(logits))</code>. At exactly 0 it has slope ½, so the whole gradient is σ(0) − y, as it must be. <code>clamp(min=0)</code> and <code>relu</code> give the same values, but a number that starts at 0 and should say "no" would get no gradient.</details>
# <details><summary>Hint 2</summary>e^(−|x|) is <code>(-logits.abs()).exp()</code>, and <code>torch.log1p(t)</code> is ln(1 + t), exact for small t as well.</details>
# <details><summary>Solution</summary>
#
# ```python
# def stable_bce(logits, wanted):
#     positive = torch.maximum(logits, torch.zeros_like(logits))
#     each = positive - logits * wanted + torch.log1p((-logits.abs()).exp())
#     return each.mean()
# ```
# </details>

# %%
logits = torch.cat([torch.randn(4, 6), torch.zeros(4, 1)], dim=1).requires_grad_()  # the last column is exactly 0
wanted = torch.rand(4, 7)
value = stable_bce(logits, wanted)
torch.testing.assert_close(value, F.binary_cross_entropy_with_logits(logits, wanted))
(slope,) = torch.autograd.grad(value, logits)
torch.testing.assert_close(slope, (logits.sigmoid() - wanted).detach() / logits.numel())
print("equal to PyTorch's, and the gradient is (σ(x) − y) / count")

# %% [markdown]
# ### Why not a softmax over the classes?
# A softmax divides one whole among the classes. Look at what it can say, and what it cannot:

# %%
for name, logits in {
    "none of the five": [-5.0, -5, -5, -5, -5],
    "two of them": [4.0, 4, -5, -5, -5],
    "one of them": [4.0, -5, -5, -5, -5],
}.items():
    x = torch.tensor(logits)
    print(f"{name:<17} softmax {[round(v, 3) for v in x.softmax(0).tolist()]}", end="  ")
    print(f"σ {[round(v, 3) for v in x.sigmoid().tolist()]}")

# %% [markdown]
# Softmax cannot say "none", nor "both": a woman is also a person, in some label sets. YOLOv3 (Redmon and Farhadi 2018) replaced it by one sigmoid a class for that reason, and
# YOLOv5 kept it: K yes/no questions. So "class probabilities" of a box need not add up to 1. When labels never overlap, as with our cards, both are possible.
#
# ### The bug of the second sigmoid
# A loss "with logits" contains the sigmoid. A network that ends in one as well applies it twice, and nothing stops. The shapes are right; all values are legal.
#
# **Predict, then run:** a cell should say "nothing". σ(x) is put into the loss in place of x. How low can this loss get? (Two decimals.)

# %%
quiz.predict(
    "lowest cross-entropy with a doubled sigmoid, wanted 0",
    answer=round(math.log(2), 2),
    why="The first σ ends above 0, so the second starts at σ(0) = ½: the loss stays above ln 2 = 0.69, whatever the network does.",
)

# %%
for name, enter in (("logits go in", lambda x: x), ("σ twice", torch.sigmoid)):
    x = torch.zeros(2, requires_grad=True)  # one cell without an object, one with
    wanted, optimizer = torch.tensor([0.0, 1.0]), torch.optim.SGD([x], lr=1.0)
    for _ in range(300):
        each = F.binary_cross_entropy_with_logits(enter(x), wanted, reduction="none")
        optimizer.zero_grad()
        each.sum().backward()
        optimizer.step()
    print(f"{name:<13} loss of the empty cell {each[0]:.3f}, of the object {each[1]:.3f}", end=";  ")
    print(f"σ(x) is {x[0].sigmoid():.3f} and {x[1].sigmoid():.3f}")
assert each[0] > math.log(2)
assert each[1] > -math.log(torch.tensor(1.0).sigmoid())

# %% [markdown]
# After 300 steps the order is right: the empty cell says less. So a doubled sigmoid trains, and ranks. But its loss never falls below 0.69 where nothing is, and 0.31 where something is. A
# loss that stops at such a number is a finding, not bad luck.
#
# ## 3 The first loss, before any training
# Lesson 07 set the biases so that a fresh network starts at what is known beforehand. Therefore its first loss is known too. With raw number ln q, the probability is q / (1 + q), and
#
# - "no" costs −ln(1 − p) = ln(1 + q),
# - "yes" costs ln(1 + q) − ln q.
#
# For objectness and class:
#
# - **Objectness:** q = 8 / (640 / stride)². (Lesson 07: the release expects eight objects in an image of 640 pixels, spread over the cells, and keeps this for other sizes.) Nearly every cell must say no, so the mean of a level is about ln(1 + q).
# - **Class:** q = 0.6 / (K − 0.99999) in release 7.0. (0.99 in June 2020. Lesson 07: with 80 classes, all together start at about 0.6.) Of K questions one is a yes: the mean is ln(1 + q) − ln(q) / K.
#
# **Predict, then run:** K = 5 classes, q = 0.6 / 4, before gains. Rounded to two decimals:

# %%
quiz.predict(
    "first class loss of a level with five classes",
    answer=round(math.log(1.15) - math.log(0.15) / 5, 2),
    why="q = 0.6 / 4 = 0.15. ln 1.15 = 0.14, and −ln(0.15) / 5 = 0.38. A start at ½ would cost ln 2 = 0.69.",
)

# %% [markdown]
# `expected_raw` gives the raw maps of a network that knows nothing but its priors: every objectness and class number is its bias, and x, y, w, h are 0.

# %%
strides, K = model.strides, 5
by_formula = {
    "objectness": sum(b * math.log(1 + 8 / (640 / s) ** 2) for b, s in zip(settings.balance, strides, strict=True)),
    "class": len(strides) * (math.log(1.15) - math.log(0.15) / K),  # three levels
}
by_formula["objectness"] *= settings.objectness
by_formula["class"] *= settings.classification
exact = detection_loss(expected_raw(model, len(batch.images), 256), targets, anchors, settings)
print(f"by hand: objectness {by_formula['objectness']:.4f}, class {by_formula['class']:.4f}")
print(f"exactly: objectness {exact.objectness:.4f}, class {exact.classification:.4f} (all raw numbers at the prior)")
assert math.isclose(by_formula["class"], exact.classification, rel_tol=1e-3)

# %% [markdown]
# The class term comes out by hand. Objectness does not: the entries are missing. They should say yes and cost up to −ln q. On P3 that is 6.7, five thousand times the cost of an empty cell; on P5 it is still two hundred times. Few as they are, they make up
# most of the term. Section 5 adds them. Now a network with random weights, on the photos:

# %%
torch.manual_seed(0)
fresh = YOLOv5v6("n", 5).train()
print(
    str(first_loss(fresh, batch, settings, device=torch.device("cpu")))
    .replace(": ", ":\n    ", 1)
    .replace(", ", ",\n    ")
)

# %% [markdown]
# This is one of the checks of `yolo-edu doctor`. It calls a part good if it lies within a factor of 2 of the expected number, because random weights shift it. What do mistakes look like? Four of them,
# planted in the raw numbers, for 5 and for 80 classes. A bias adds to the raw number, so a wrong bias can be added afterwards.


# %%
def shift(x, objectness=0.0, each_class=0.0):
    """Raw numbers as they would be if the biases were this much larger."""
    return torch.cat([x[..., :4], x[..., 4:5] + objectness, x[..., 5:] + each_class], dim=-1)


def planted(raw, classes):
    """Name of a mistake → raw numbers (B, A, h, w, 5 + K) of every level, as that mistake would make them."""
    priors = [prior_logits(stride, classes, 0.99999) for stride in (8, 16, 32)]  # objectness, class
    other = prior_logits(8, 85 - classes, 0.99999)[1]  # 80 for 5, and 5 for 80
    pairs = list(zip(raw, priors, strict=True))
    return {
        "as it should be": raw,
        f"class prior for K = {85 - classes}": [shift(x, 0, other - c) for x, (_, c) in pairs],
        "no class prior": [shift(x, 0, -c) for x, (_, c) in pairs],
        "no objectness prior": [shift(x, -o) for x, (o, _) in pairs],
        "σ twice": [torch.cat([x[..., :4], x[..., 4:].sigmoid()], dim=-1) for x in raw],
    }


# %%
factors = {}  # (K, mistake) → measured over expected, objectness and class
for classes, network in ((5, fresh), (80, YOLOv5v6("n", 80).train())):
    gains = LossSettings.r7(classes, 256)
    due = detection_loss(expected_raw(network, len(batch.images), 256), targets, anchors, gains)
    with torch.no_grad():
        start = network(batch.images)
    for name, numbers in planted(start, classes).items():
        found = detection_loss(numbers, targets, anchors, gains)
        ratio = [
            (a / b).item() for a, b in ((found.objectness, due.objectness), (found.classification, due.classification))
        ]
        factors[classes, name] = ratio
        good = all(1 / 2 <= r <= 2 for r in ratio)
        print(
            f"K = {classes:<3} {name:<25} objectness × {ratio[0]:6.2f}   class × {ratio[1]:5.2f}   {'✓' if good else '✗'}"
        )
assert all(1 / 2 <= r <= 2 for k in (5, 80) for r in factors[k, "as it should be"])
assert min(factors[k, name][0] for k in (5, 80) for name in ("no objectness prior", "σ twice")) > 20
assert factors[80, "no class prior"][1] > 5
assert factors[5, "no class prior"][1] < 1.7
assert 1.7 < factors[5, "class prior for K = 80"][1] < 2.2

# %% [markdown]
# A forgotten objectness prior and a doubled sigmoid shout: the term starts more than twenty times too high. For 80 classes the class term shouts as well. For 5 classes it whispers: without its prior it is
# half as much again, and with the prior for 80 classes about twice, which is at the edge of the check. Know what your check can see.

# %% [markdown]
# ## 4 Where: the box term
# For every entry: decode the raw x, y, w, h of its cell (lesson 07), measure the overlap with the true box (lesson 09), and pay 1 − overlap. Everything is in **grid cells** of the level, from the top left corner of the
# entry's cell. The measure is **GIoU** in the June 2020 release (Rezatofighi et al. 2019) and **CIoU** in release 7.0 (Zheng et al. 2019). The mean over the entries of a level is its box loss; the levels are added.


# %%
def predicted_overlap(x, shapes, level, measure=ciou):
    """Raw numbers (B, A, h, w, 5 + K), anchors (A, 2), entries of one level → the overlap of each entry, (E,)."""
    chosen = x[level.image, level.anchor, level.row, level.column]  # (E, 5 + K)
    box = decode_box(chosen[:, :4], shapes[level.anchor])  # (E, 4) cx, cy, w, h
    return measure(cxcywh_to_xyxy(box), cxcywh_to_xyxy(level.box))


overlaps = [predicted_overlap(x, shapes, level) for x, shapes, level in zip(raw, anchors, entries, strict=True)]
for name, overlap in zip(("P3", "P4", "P5"), overlaps, strict=True):
    print(f"{name}: {len(overlap):>3} entries, mean CIoU {overlap.mean():.3f}, worst {overlap.min():.3f}")
box_term = 0.05 * sum((1 - overlap).mean() for overlap in overlaps)
print(f"box term {box_term:.4f}")
torch.testing.assert_close(box_term, loss.box)

# %% [markdown]
# One of them with its numbers, the worst entry of P3. Its three costs, before means and gains (why its objectness target is the overlap, section 5 says):

# %%
e = int(overlaps[0].argmin())
image, anchor, row, column, label, truth, _ = (field[e] for field in entries[0])
numbers, overlap = raw[0][image, anchor, row, column], overlaps[0][e]  # (5 + K,)
for name, values in {
    "raw x, y, w, h": numbers[:4],
    "decoded box, cells": decode_box(numbers[:4], anchors[0, anchor]),
    "true box, cells": truth,
    "objectness and classes": numbers[4:].sigmoid(),
}.items():
    print(f"{name:<23}", *(f"{value:6.2f}" for value in values.tolist()))
print(f"true class {label}; CIoU {overlap:.3f}, so the box costs {1 - overlap:.3f},", end=" ")
print(f"objectness {binary_loss(numbers[4], overlap):.3f},", end=" ")
print(f"class {binary_loss(numbers[5:], F.one_hot(label, K).float()):.4f}")

# %% [markdown]
# A gradient must find its way from the cost of a box to its raw numbers. Below, one prediction in the cell left of its object: the true center is 1.2 cells to the right of the cell's corner, the true box one cell wide and high,
# as is the anchor. Only raw x moves.

# %%
figures.show(figures.box_gradient_curves(), alt=figures.FIGURES["L11_box_gradient"][1], dpi=74)

# %% [markdown]
# Left: raw x moves the center along an S curve. Middle: while the boxes do not touch, 1 − IoU is flat and its gradient 0. GIoU and CIoU still fall: GIoU for the empty part of the hull, CIoU
# for the distance of the centers. Right: the gradient. Two things to see. It jumps at the goal instead of fading out, so a box loss never comes quite to rest. And it vanishes at both ends, for every measure.
#
# That last is the sigmoid's work: it **saturates**. Every gradient on raw x is multiplied by the slope of 2σ − 0.5.
#
# **Predict, then run:** how many cells does the center move for each unit of raw x, at x = 0?

# %%
quiz.predict(
    "slope of 2σ(x) − 0.5 at x = 0",
    answer=2 * (1 / 2) * (1 - 1 / 2),
    why="The slope is 2 · σ · (1 − σ) = 2 · ¼. It is the largest there is.",
)

# %%
t = torch.tensor([0.0, 2, 4, 6], requires_grad=True)
place = decode_box(torch.stack([t, 0 * t, 0 * t, 0 * t], dim=-1), torch.ones(2))[:, 0]
(slope,) = torch.autograd.grad(place.sum(), t)
for x, center, value in zip(t.tolist(), place.tolist(), slope.tolist(), strict=True):
    print(f"raw x {x:.0f}: center {center:6.3f}, slope {value:.4f}")
assert slope[0] == 0.5
assert slope[3] < slope[0] / 100
reach = [torch.cat([level.box[:, :2] for level in entries]).min(), torch.cat([e.box[:, :2] for e in entries]).max()]
print(f"true centers of all entries lie between {reach[0]:.2f} and {reach[1]:.2f} cells from their cell's corner")

# %% [markdown]
# At 6 the number moves the center a hundredth as far as at 0. A cell whose true center lies at the end of the range has to push its raw number far out, for little. Only the cells that
# the assignment chooses are asked for it, and it asks for −0.5 to 1.5 at most: the two ranges fit.
#
# Try it. The anchor is 10 × 13 pixels on P3. Choose IoU as the measure and set *raw x* to −6: which numbers get a gradient? Change to GIoU, then to CIoU. Then set *raw w* and *raw h* to 6, and watch them on their way back.

# %%
shape = anchors[0, 0].tolist()  # (width, height) in grid cells
aims = {
    "of the cell to the right": (1.35, 0.5, shape[0], shape[1]),
    "small, up and to the right": (1.2, -0.2, 0.7, 0.6),
    "large, around the cell": (0.6, 0.4, 3.6, 2.6),
    "tall": (0.5, 0.5, 0.6, 3.2),
}
explorer = widgets.box_loss_explorer(shape, aims, start=(-1.5, 1.0, -0.5, -0.3))

# %% [markdown]
# <details><summary>What there is to find</summary>With IoU, none: the boxes do not touch. With GIoU and CIoU, raw x gets hardly any either, about −0.001, because its sigmoid is saturated. Raw w gets a hundred times as much (GIoU −0.11, CIoU −0.07). It is negative, so training makes the box wider, until it touches the object. GIoU moves raw y as strongly (+0.11), CIoU raw h (−0.07). At raw w and h of 6 the box is far too large and the loss 0.94 with GIoU, 0.97 with CIoU (raw x back at −1.5), yet both gradients are below 0.001: saturated again.</details>

# %% [markdown]
# ## 5 Whether: the objectness term
# What should an entry's objectness be? "1" is the obvious answer. YOLOv5 says: **as much as its box overlaps the truth at present**. A cell that predicts a poor box learns to be unsure. Later, non-maximum suppression keeps the
# surest box (lesson 09), so it matters that sure means well placed. In all other cells the target is 0.
#
# Three rules make it exact:
# - the overlap is the box term's own measure, GIoU or CIoU, raised to 0 if negative;
# - if several entries share a cell, the last one stands (entries have a fixed order, lesson 10);
# - the target is **detached**: it is a number to aim at, and no gradient flows through it.
#
# ### Exercise 11.2 · The objectness target (10 minutes, ●●●○○)
# Start with a map of zeros of the given shape and write the entries into it. `entries` is a tuple of four index tensors: image, anchor, row, column. A loop is fine. (A plain `target[…] = overlap` on all entries at once usually lets the last one stand, but PyTorch does not promise it.)


# %%
def objectness_map(shape, entries, overlap):
    """shape (B, A, h, w); entries: image, anchor, row, column, each (E,); overlap (E,) → target (B, A, h, w)."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


objectness_map = checks.objectness_map(objectness_map)

# %% [markdown]
# <details><summary>Hint 1</summary><code>value = overlap.detach().clamp(min=0)</code> settles two of the three rules.</details>
# <details><summary>Hint 2</summary>Go through the entries in order, and simply overwrite what stands in the cell: <code>target[image[e], anchor[e], row[e], column[e]] = value[e]</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# def objectness_map(shape, entries, overlap):
#     image, anchor, row, column = entries
#     value = overlap.detach().clamp(min=0)
#     target = torch.zeros(shape)
#     for e in range(len(value)):
#         target[image[e], anchor[e], row[e], column[e]] = value[e]
#     return target
# ```
# </details>

# %%
# the first four fields of an assignment are image, anchor, row, column
aim = [
    objectness_map(x.shape[:4], level[:4], overlap) for x, level, overlap in zip(raw, entries, overlaps, strict=True)
]
whether = [stable_bce(x[..., 4], wanted) for x, wanted in zip(raw, aim, strict=True)]  # a level
objectness_term = settings.objectness * sum(b * v for b, v in zip(settings.balance, whether, strict=True))
print(f"objectness term {objectness_term:.4f}")
torch.testing.assert_close(objectness_term, loss.objectness)

# %% [markdown]
# With the target, section 3 can be finished. A cell with raw number ln q and target y costs ln(1 + q) − y · ln q. So the mean of a level is ln(1 + q) − ȳ · ln q, with ȳ the mean target of its cells. In the expected
# raw numbers x, y, w, h are 0, so each box is its anchor in the middle of the cell. Their overlaps give the targets.

# %%
prior, first = expected_raw(model, len(batch.images), 256), 0.0
for x, shapes, level, balance, stride in zip(prior, anchors, entries, settings.balance, strides, strict=True):
    wanted = objectness_map(x.shape[:4], level[:4], predicted_overlap(x, shapes, level))
    q = 8 / (640 / stride) ** 2
    first += settings.objectness * balance * (math.log(1 + q) - wanted.mean().item() * math.log(q))
print(f"first objectness by hand {first:.4f}; it was {exact.objectness:.4f}")
assert math.isclose(first, exact.objectness, rel_tol=1e-4)

# %% [markdown]
# Here are the target and the trained network's answer, on one of the photos.

# %%
photo = 2  # four cards
answer = [x[..., 4].sigmoid() for x in raw]
rows = {
    "target": (aim, "a few cells around each card's center should say object, all others nothing"),
    "answer": (answer, "the trained network's objectness, bright on nearly the same cells, on P3 dimmer"),
}
for name, (maps, words) in rows.items():
    figure = figures.objectness_maps(batch.images[photo], [level[photo].amax(dim=0) for level in maps])
    figure.suptitle(name, fontsize=14, fontweight="bold")
    figures.show(figure, alt=f"{name} on a photo of four cards: {words}", photos=True, dpi=70)
means = [
    [x[photo][wanted[photo] > 0].mean().item() for x, wanted in zip(maps, aim, strict=True)] for maps in (aim, answer)
]
for name, row in zip(rows, means, strict=True):
    print(f"{name}, mean where the target is above 0: P3, P4, P5", *(f"{value:.2f}" for value in row))
assert min(means[1][1:]) > means[1][0]

# %% [markdown]
# Each cell shows the largest of its three anchors; an orange frame means above ½. The network has not trained on this photo. It is sure of nearly the right cells, on P3 less than on the others.
#
# ### What `detach` prevents
# Without it, the network has two ways to lower the objectness loss: predict the overlap better, or **change the overlap until it fits the prediction**. The gradient of the cross-entropy
# with respect to its target is −x, the negative raw objectness (times the cell's weight). A fresh network has x between −3.9 and −6.7. So −x is positive: a smaller target lowers the loss, and a *poorer* box makes the target smaller. Here the raw numbers of a fresh start are trained directly, by the objectness term alone:


# %%
def terms(numbers, gains, detach):
    """Box and objectness term, and the mean overlap of all entries."""
    measure, box, whether, found = ciou if gains.rule == "r7" else giou, 0.0, 0.0, []
    levels = assign(targets, grids, anchors, rule=gains.rule)
    for x, shapes, level, balance in zip(numbers, anchors, levels, gains.balance, strict=True):
        overlap = predicted_overlap(x, shapes, level, measure)
        goal = overlap.detach() if detach else overlap
        wanted = torch.zeros_like(x[..., 4]).index_put(level[:4], goal.clamp(min=0))
        box = box + gains.box * (1 - overlap).mean()
        whether = whether + gains.objectness * balance * binary_loss(x[..., 4], wanted)
        found.append(overlap.detach())
    return box, whether, torch.cat(found).mean().item()


def trained_overlap(gains, detach, with_box, steps=60):
    """Train raw numbers from a fresh start: mean overlap before and after."""
    numbers = [x.clone().requires_grad_() for x in prior]
    optimizer, first = torch.optim.Adam(numbers, lr=0.05), None
    for _ in range(steps):
        box, whether, overlap = terms(numbers, gains, detach)
        first = first or (overlap, whether.item())
        optimizer.zero_grad()
        (box * with_box + whether).backward()
        optimizer.step()
    _, whether, overlap = terms(numbers, gains, detach)
    return first, (overlap, whether.item())


# %%
alone = {}
for detach in (True, False):
    alone[detach] = trained_overlap(settings, detach, with_box=False)
    (before, cost), (after, end) = alone[detach]
    words = "detached" if detach else "not detached"
    print(f"{words:<12} objectness loss {cost:.4f} → {end:.4f}, mean overlap {before:.3f} → {after:6.3f}")
assert abs(alone[True][1][0] - alone[True][0][0]) < 1e-6
assert alone[False][1][0] < 0.1 * alone[False][0][0]

# %% [markdown]
# With `detach` the boxes stay where they are: this term does not concern them. Without it, the loss falls further, and the boxes are ruined on the way: the overlap goes to 0. A lower loss, a worse detector.
#
# In a training the box term is there too, and pulls the other way. Who wins? First the strength of the two pulls on the raw x, y, w, h at the start, then 60 steps with both terms, for the gains of both releases:

# %%
ends = {}
for name, gains in (("release 7.0", settings), ("June 2020", LossSettings.r1(5))):
    numbers = [x.clone().requires_grad_() for x in prior]
    pulls = []
    for which in (0, 1):  # box, objectness
        slopes = torch.autograd.grad(terms(numbers, gains, detach=False)[which], numbers)
        pulls.append(torch.cat([slope[..., :4].flatten() for slope in slopes]))
    angle, strength = F.cosine_similarity(*pulls, dim=0), pulls[1].norm() / pulls[0].norm()
    for detach in (True, False):
        ends[name, detach] = trained_overlap(gains, detach, with_box=True)[1][0]
    print(f"{name:<12} leak over box term: cosine {angle:.2f}, strength {strength:.2f}", end=";  ")
    print(f"overlap after training: detached {ends[name, True]:.3f}, not {ends[name, False]:.3f}")
    assert angle < -0.8
assert abs(ends["release 7.0", True] - ends["release 7.0", False]) < 0.02
assert ends["June 2020", False] < 0.5 < 0.9 < ends["June 2020", True]

# %% [markdown]
# The two pulls are nearly opposite (a cosine of −1 would be exactly so). With the gains of release 7.0 at 256 pixels the leak is the weaker one, and after 60 steps no harm is seen. With those of June 2020 it is several times as strong as the box term, and the boxes stay poor.
# One missing `detach` may cost nothing or everything, depending on the gains. It raises no error, and the objectness loss even looks better for it.
#
# ### The balance of the levels
# Each level's objectness is a mean over *its* predictions. P3 has sixteen times as many as P5. (In the figure the last two panels share a scale; the first two have their own.)

# %%
figures.show(
    figures.level_weights(targets, len(batch.images), 256, settings),
    alt=figures.FIGURES["L11_levels"][1],
    dpi=74,
)

# %% [markdown]
# A mean hides the size of what it is taken of. In a plain mean one cell of P5 weighs as much as sixteen cells of P3, and so a cell that finds a small object has a sixteenth of the voice of one that finds a large object. Release 7.0
# multiplies the levels by 4, 1 and 0.4. The June 2020 release does not.
#
# **Predict, then run:** with this balance, how many times as much as a P3 cell does a P5 cell weigh?

# %%
quiz.predict(
    "weight of one cell of P5 over one of P3, balanced 4, 1, 0.4",
    answer=round(16 * settings.balance[2] / settings.balance[0], 6),
    why="16 · 0.4 / 4. Not quite equal, but no longer sixteenfold.",
)

# %%
with torch.no_grad():
    start = fresh(batch.images)
shares = {}
for name, numbers in (("fresh", start), ("trained", raw)):
    found = [predicted_overlap(x, shapes, level) for x, shapes, level in zip(numbers, anchors, entries, strict=True)]
    levels = [
        binary_loss(x[..., 4], objectness_target(torch.zeros_like(x[..., 4]), level, overlap)).item()
        for x, level, overlap in zip(numbers, entries, found, strict=True)
    ]
    for words, balance in (("plain", (1, 1, 1)), ("balanced", settings.balance)):
        parts = [b * value for b, value in zip(balance, levels, strict=True)]
        shares[name, words] = [part / sum(parts) for part in parts]
        print(f"{name:<8} {words:<9} share of P3, P4, P5:", *(f"{100 * share:3.0f} %" for share in shares[name, words]))
assert all(shares[name, "balanced"][0] > 3 * shares[name, "plain"][0] for name in ("fresh", "trained"))

# %% [markdown]
# Without the balance P3 is hardly heard. With it, no level is drowned on these photos. What that is worth in mAP is not measured here.
#
# ## 6 What: the class term
# For each entry, K yes/no questions: is it a king? is it a queen? The target is 1 for the true class and 0 for the others, the loss the mean over entries and classes. Cells without an object learn no class
# at all. That is why a score must be multiplied by the objectness: the class numbers of an empty cell mean nothing. With a single class there is nothing to tell apart, and the term is left out.


# %%
def one_hot(labels, classes, smoothing=0.0):
    """(E,) classes → (E, K): 1 − ε/2 for the true class, ε/2 for the others."""
    return F.one_hot(labels, classes) * (1 - smoothing) + smoothing / 2


what = []
for x, level in zip(raw, entries, strict=True):
    logits = x[level.image, level.anchor, level.row, level.column][:, 5:]  # (E, K)
    what.append(stable_bce(logits, one_hot(level.label, K)))
class_term = settings.classification * sum(what)
print(f"class term {class_term:.4f}")
torch.testing.assert_close(class_term, loss.classification)

# %% [markdown]
# ### Label smoothing
# A target of exactly 1 is reached at x = ∞ only: the network never stops growing its numbers. **Label smoothing** (Szegedy et al. 2015) asks for a little less. Here, for K yes/no questions, 1 becomes 1 − ε/2
# and 0 becomes ε/2. The best possible answer is then a finite number. And the best possible loss is no longer 0.
#
# **Predict, then run:** ε = 0.1, so the target is 0.95. What is the lowest cross-entropy? (At p = y; two decimals.)

# %%
least = binary_loss(torch.tensor([0.95]).logit(), torch.tensor([0.95])).item()
smooth = detection_loss(raw, targets, anchors, replace(settings, label_smoothing=0.1))

# %%
quiz.predict(
    "lowest cross-entropy for a target of 0.95",
    answer=round(least, 2),
    why="−0.95 · ln 0.95 − 0.05 · ln 0.05 = 0.0487 + 0.1498. It is the same for the target 0.05. The class loss cannot fall below it.",
)

# %%
figures.show(figures.loss_curves(), alt=figures.FIGURES["L11_bce_focal"][1], dpi=74)
floor = len(raw) * least * settings.classification  # three levels
print(f"class term of the same network: {loss.classification:.4f} sharp, {smooth.classification:.4f} smoothed")
print(f"the lowest possible smoothed one is {floor:.4f}")
assert loss.classification < floor < smooth.classification

# %% [markdown]
# The third panel shows the two stars, where a smoothed loss ends. The other two belong to the next section. The June 2020 release has no label smoothing; in release 7.0 it is off unless you set it.
#
# Both releases have one more knob, **positive weights** (`class_positive_weight`, `objectness_positive_weight`): they multiply the term of the wanted 1s. Both leave them at 1. Where an answer is yes in 30 % of equal cases, the best
# prediction is 0.30. A weight moves it:

# %%
grid = torch.linspace(0.01, 0.99, 981)  # probabilities
best = {}
for weight in (1.0, 2.0, 5.0):
    costs = torch.stack([binary_loss(p.logit(), torch.tensor(0.3), positive_weight=weight) for p in grid])
    best[weight] = grid[costs.argmin()].item()
    print(f"positive weight {weight:.0f}: the best answer is {best[weight]:.3f}")
    assert abs(best[weight] - 0.3 * weight / (0.3 * weight + 0.7)) < 0.002

# %% [markdown]
# The weight makes the network say yes too often: its probabilities are too high. Your confidence threshold then means something else.
#
# ## 7 Focal loss: let the easy ones be quiet
# Thousands of cells have to say no, and soon do so easily. Each costs nearly nothing, but they are many. **Focal loss** (Lin et al. 2017) multiplies each single cross-entropy by two factors:
#
# focal(x, y) = BCE(x, y) · α_t · (1 − p_t)^γ
#
# - p_t = y · p + (1 − y) · (1 − p): how right the answer is, between 0 and 1. The surer and righter, the smaller 1 − p_t; the power γ makes it vanish.
# - α_t = 0.25 · y + 0.75 · (1 − y): a fixed weight for yes and no.
#
# The article's `fl_gamma` is γ. At 0, the default of both releases, it is *off*: then plain cross-entropy is used, without α either. Above 0 it holds for objectness and class. Move γ and see what a sea of easy negatives weighs:

# %%
focal = widgets.focal_explorer()

# %% [markdown]
# It may surprise that α gives the rare *yes* the smaller weight. The paper chose the pair together: γ silences the easy negatives so strongly that positives need less weight, not more.
#
# ### Exercise 11.3 · Focal loss (8 minutes, ●●○○○)
# Return the mean over all numbers, with α = 0.25. `F.binary_cross_entropy_with_logits(…, reduction="none")` gives the single losses. Mind that `wanted` may be 0.7.


# %%
def focal_loss(logits, wanted, gamma):
    """logits and wanted (0 to 1), of one shape, and γ → mean focal loss, a scalar tensor."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


focal_loss = checks.focal_loss(focal_loss)

# %% [markdown]
# <details><summary>Hint 1</summary>Compute p = σ(logits), then p_t and α_t as in the formulas: all of them have the shape of the logits.</details>
# <details><summary>Hint 2</summary>Multiply first, one weight a number; take the mean last.</details>
# <details><summary>Solution</summary>
#
# ```python
# def focal_loss(logits, wanted, gamma):
#     each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
#     p = logits.sigmoid()
#     right = wanted * p + (1 - wanted) * (1 - p)
#     alpha = 0.25 * wanted + 0.75 * (1 - wanted)
#     return (each * alpha * (1 - right) ** gamma).mean()
# ```
# </details>

# %% [markdown]
# Who pulls at the objectness numbers of P3? Add up the size of the gradient over all cells that are entries, and over all that are not, with and without focal loss: in a fresh network without the bias prior (its raw objectness
# shifted back to a mean of 0), in the fresh network as it is, and in the trained one.

# %%
quiet, loudest = {}, {}  # the empty cells' share of the pull, and the loudest hundred's share of theirs
no_prior = start[0].clone()
no_prior[..., 4] -= no_prior[..., 4].mean()
for name, numbers in (("no prior", no_prior), ("fresh", start[0]), ("trained", raw[0])):
    x = numbers[..., 4].clone().requires_grad_()
    overlap = predicted_overlap(numbers, anchors[0], entries[0])
    wanted = objectness_map(x.shape, entries[0][:4], overlap)
    hit = torch.zeros_like(x, dtype=torch.bool).index_put(entries[0][:4], torch.tensor(True))
    for gamma in (0.0, 1.5):
        value = focal_loss(x, wanted, gamma) if gamma else stable_bce(x, wanted)
        (slope,) = torch.autograd.grad(value, x)
        pull = slope[~hit].abs().sort(descending=True).values  # of the empty cells
        quiet[name, gamma] = (pull.sum() / slope.abs().sum()).item()
        loudest[name, gamma] = (pull[:100].sum() / pull.sum()).item()
        print(f"{name:<9} γ = {gamma}: {100 * quiet[name, gamma]:5.1f} % of the pull is the empty cells'", end=", ")
        print(f"{100 * loudest[name, gamma]:4.1f} % of that the loudest hundred's")
print(f"empty cells: {len(pull):,}")
assert quiet["fresh", 1.5] < 0.01 < 0.5 < quiet["fresh", 0.0]
assert min(quiet["no prior", gamma] for gamma in (0.0, 1.5)) > 0.99
assert abs(quiet["trained", 1.5] - quiet["trained", 0.0]) < 0.1
assert loudest["trained", 1.5] > 0.9 > loudest["trained", 0.0] > 0.5

# %% [markdown]
# Without the prior the empty cells drown everything, and focal loss changes nothing: no cell is easy yet. The prior, which comes from the same paper, brings their share down to two thirds. Now all of them are easy, and focal loss silences
# them almost entirely. In the trained network it changes the share little. The cells that still pull there are few and hard: with focal loss, a hundred of 24,000 do nearly all of it, and those it does not silence.
#
# There is a catch. Objectness targets are overlaps such as 0.7, which the paper did not have. Where is the loss lowest for them?

# %%
lowest = {}
for gamma in (0.0, 1.5, 2.0):
    costs = torch.stack([binary_loss(p.logit(), torch.tensor(0.7), gamma=gamma) for p in grid])
    lowest[gamma] = grid[costs.argmin()].item()
    print(f"target 0.70, γ = {gamma}: the lowest loss is at p = {lowest[gamma]:.3f}")
assert abs(lowest[0.0] - 0.7) < 0.002
assert lowest[1.5] > 0.8

# %% [markdown]
# Cross-entropy is lowest where the prediction equals the target. This focal loss is not: it asks a cell to overstate its overlap. It is implemented exactly so in the releases. Whether it helps on your data is a question
# for an experiment with several seeds, and mAP as the judge.
#
# ## 8 A whole loss with plain loops
# Nothing is left to explain. So compute a loss with floats, loops and `math`; only the CIoU of two boxes is taken from lesson 09. One image of 128 pixels, the level P5 only (4 × 4 cells), two objects, random raw numbers.


# %%
def sigma(x):
    return 1 / (1 + math.exp(-x))


def yes_no(x, y):
    """Cross-entropy of one logit."""
    return max(x, 0) - x * y + math.log1p(math.exp(-abs(x)))


# %%
def loss_by_hand(numbers, tasks, shapes, settings, balance):
    """numbers[anchor][row][column] is a list of 5 + K floats; tasks: (anchor, row, column, class, box)."""
    box = what = 0.0
    wanted = {}  # (anchor, row, column) → objectness target; all others are 0
    for a, row, column, label, truth in tasks:
        x, y, w, h, _, *logits = numbers[a][row][column]
        predicted = (
            2 * sigma(x) - 0.5,
            2 * sigma(y) - 0.5,
            (2 * sigma(w)) ** 2 * shapes[a][0],
            (2 * sigma(h)) ** 2 * shapes[a][1],
        )
        overlap = ciou(*(cxcywh_to_xyxy(torch.tensor(b)) for b in (predicted, truth))).item()  # lesson 09
        box += (1 - overlap) / len(tasks)
        wanted[a, row, column] = max(overlap, 0)  # the last one stands
        for k, logit in enumerate(logits):
            what += yes_no(logit, 1.0 if k == label else 0.0) / (len(tasks) * len(logits))
    cells = [(a, r, c) for a in range(len(numbers)) for r in range(4) for c in range(4)]
    whether = sum(yes_no(numbers[a][r][c][4], wanted.get((a, r, c), 0.0)) for a, r, c in cells) / len(cells)
    parts = [settings.box * box, settings.objectness * balance * whether, settings.classification * what]
    return [sum(parts) * 1, *parts]  # one image


# %%
torch.manual_seed(4)
numbers = torch.randn(1, 3, 4, 4, 10)
two = torch.tensor([[0, 3, 0.40, 0.58, 0.42, 0.50], [0, 1, 0.56, 0.62, 0.70, 0.60]])  # image, class, cx, cy, w, h
(level,) = assign(two, [(4, 4)], anchors[2:])
tasks = list(zip(*(v.tolist() for v in (level.anchor, level.row, level.column, level.label, level.box)), strict=True))
cells = {task[:3] for task in tasks}
print(f"{len(tasks)} entries in {len(cells)} places: {len(tasks) - len(cells)} must share")

mine = loss_by_hand(numbers[0].tolist(), tasks, anchors[2].tolist(), settings, balance=0.4)
theirs = detection_loss([numbers], two, anchors[2:], replace(settings, balance=(0.4,)))
for name, a, b in zip(theirs._fields, mine, theirs, strict=True):
    print(f"{name:<15} by hand {a:.6f}   module {b:.6f}")
    assert math.isclose(a, b, rel_tol=1e-4)

# %% [markdown]
# ## 9 All levels, a real batch, both releases
# Now with your three functions, on the trained network's answers for eight photos. (The module also handles what this cell does not: levels without an entry, a single class, positive weights, batches on several GPUs.)


# %%
def my_loss(raw, targets, anchors, settings):
    """P3, P4, P5 (B, A, h, w, 5 + K), targets (M, 6), anchors (L, A, 2) in cells → total and its three parts."""
    measure = ciou if settings.rule == "r7" else giou

    def cost(logits, wanted):
        gamma = settings.focal_gamma
        return focal_loss(logits, wanted, gamma) if gamma else stable_bce(logits, wanted)

    grids = [tuple(x.shape[2:4]) for x in raw]
    levels = assign(targets, grids, anchors, rule=settings.rule)
    box = whether = what = 0.0
    for x, shapes, level, balance in zip(raw, anchors, levels, settings.balance, strict=True):
        overlap = predicted_overlap(x, shapes, level, measure)  # (E,)
        box = box + (1 - overlap).mean()
        wanted = objectness_map(x.shape[:4], level[:4], overlap)  # (B, A, h, w)
        whether = whether + balance * cost(x[..., 4], wanted)
        logits = x[level.image, level.anchor, level.row, level.column][:, 5:]  # (E, K)
        what = what + cost(logits, one_hot(level.label, logits.shape[1], settings.label_smoothing))
    parts = box * settings.box, whether * settings.objectness, what * settings.classification
    return sum(parts) * len(raw[0]), *parts


# %%
ways = {
    "release 7.0": LossSettings.r7(5, 256),
    "June 2020": LossSettings.r1(5),
    "release 7.0, smoothing 0.1": LossSettings.r7(5, 256, label_smoothing=0.1),
    "release 7.0, γ = 1.5": LossSettings.r7(5, 256, focal_gamma=1.5),
    "June 2020, γ = 1.5": LossSettings.r1(5, focal_gamma=1.5),
}
totals = {}
print(f"{'the same network, the same photos':<34}{'total':>8}{'box':>9}{'objectness':>12}{'class':>9}")
for name, way in ways.items():
    leaves = [x.clone().requires_grad_() for x in raw]
    mine, theirs = my_loss(leaves, targets, anchors, way), detection_loss(leaves, targets, anchors, way)
    torch.testing.assert_close(torch.stack(mine), torch.stack(theirs))
    slopes = [torch.autograd.grad(value[0], leaves) for value in (mine, theirs)]
    for a, b in zip(*slopes, strict=True):
        torch.testing.assert_close(a, b)
    totals[name] = theirs.total.item()
    print(f"{name:<34}{theirs.total:>8.3f}{theirs.box:>9.4f}{theirs.objectness:>12.4f}{theirs.classification:>9.4f}")
assert max(totals.values()) > 3 * min(totals.values())
assert not any("loss" in name or "settings" in name for name in inspect.signature(evaluate).parameters)

# %% [markdown]
# Equal, values and gradients, for every setting. And look at the column of totals.
#
# ### A loss is not a score
# One network, one set of photos, five losses that differ by several times. None of them says how good the network is. Its boxes are the same in every row, so its mAP is the same: `evaluate` does not even know the settings. Gains, focal loss, smoothing, balance and image size change the number
# that you watch. Compare losses only between runs with the same settings, and networks by their mAP. What settings change for good is the *training*: which error pulls how hard.

# %% [markdown]
# ## 10 A perfect answer
# What is the loss of a network that knows the truth? The doctor's `perfect_answer` writes it down: in every cell with an entry the raw numbers that decode to the true box, and a raw 15 or −15 for yes and no.

# %%
perfect = perfect_answer(model, targets, len(batch.images), 256)
best_loss = detection_loss(perfect, targets, anchors, settings)
print("perfect: ", *(f"{name} {value:.2e}" for name, value in zip(best_loss._fields, best_loss, strict=True)))
print("trained: ", *(f"{name} {value:.2e}" for name, value in zip(loss._fields, loss, strict=True)))
shared = worse = 0
for x, shapes, level, real in zip(perfect, anchors, entries, overlaps, strict=True):
    overlap = predicted_overlap(x, shapes, level)
    places = list(zip(*(v.tolist() for v in level[:4]), strict=True))
    owner = dict(zip(places, level.target.tolist(), strict=True))  # the last one stands
    lost = [owner[place] != t for place, t in zip(places, level.target.tolist(), strict=True)]
    shared += sum(lost)
    worse += int((overlap < 0.999).sum())
    assert real.min() > 0 or lost[real.argmin()]
    assert all(is_lost or value > 0.999 for is_lost, value in zip(lost, overlap.tolist(), strict=True))
print(f"{shared} entries lost their place to another object; {worse} entries have the wrong box")

# %% [markdown]
# Not quite 0. Objectness is: what remains there is σ(15), which is short of 1 by 3 · 10⁻⁷. What remains of box and class are a few **shared places**: two cards overlap so much that both get the same anchor in the same cell. A cell has one box to
# give. The last entry stands in the target, so objectness is content; the other object's entry still counts in the box and class terms, and no answer satisfies both. The entry of section 4 with the worst overlap, below 0, is one of these. This much is lost by the layout, not by the network.

# %%
assert shared == worse > 0
assert best_loss.objectness < 1e-6 < best_loss.box < loss.box
assert best_loss.total < 0.2 * loss.total
apart = collate([cards[i] for i in (6, 14, 34)], 256)  # photos without shared places
apart_loss = detection_loss(perfect_answer(model, apart.targets, 3, 256), apart.targets, anchors, settings)
print(f"on photos without shared places: total {apart_loss.total:.1e}")
assert apart_loss.total < 1e-5

# %% [markdown]
# ## Quiz

# %%
quiz.ask(
    "A photo without any object is in the batch. Which terms does it enter?",
    [
        "None: there is nothing to compare with",
        "Objectness only",
        "All three, with targets of 0",
    ],
    answer=1,
    why="It has no entries, so no box and no class. All of its cells enter the mean of the objectness, and should say no. That is what background photos teach.",
)

# %%
quiz.ask(
    "You switch on fl_gamma = 1.5 and the loss drops to a fraction at once. What do you know?",
    [
        "The network has become better",
        "The easy negatives were the problem",
        "Nothing about the network: the scale of the number has changed",
    ],
    answer=2,
    why="Every term of cross-entropy is multiplied by a weight below 1. Compare the mAP of two trainings, not their losses.",
)

# %%
quiz.ask(
    "Your own network ends in a sigmoid. On photos without objects its mean cross-entropy will not fall below 0.69. Why?",
    [
        "The loss 'with logits' applies σ again: the best it can see for 'no' is σ(0) = ½, which costs ln 2",
        "The learning rate is too small",
        "There are too many empty cells",
    ],
    answer=0,
    why="Feed raw numbers into a loss 'with logits'. The sigmoid belongs into decoding, once.",
)

# %%
quiz.ask(
    "Why is the objectness target the overlap and not 1?",
    [
        "It makes the loss smaller",
        "So that boxes get a second gradient",
        "So that the objectness says how well a box is placed, which non-maximum suppression then sorts by",
    ],
    answer=2,
    why="A second gradient is what detaching forbids. An objectness that follows the overlap ranks well placed boxes first.",
)

# %%
quiz.ask(
    "You go from 5 to 10 classes and the class gain doubles by itself. What does one class of one entry weigh now, compared with before?",
    [
        "Twice as much",
        "The same: the mean over classes has halved it, and the gain restores it",
        "Half: the mean is now over twice as many",
    ],
    answer=1,
    why="0.5 · K / 80, divided by K, is 0.5 / 80 for any K. Per entry there are more questions, but each weighs the same.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the gains keep the weight of one class, and of one cell | assertions in section 1 |
# | parts do not depend on the batch size, the total does | assertion in section 1 |
# | the stable formula equals PyTorch's; its gradient is σ(x) − y | exercise 11.1; assertion in section 2 |
# | a doubled sigmoid stops at 0.69 and 0.31 | assertions in section 2 |
# | the first loss follows from the biases; which mistakes show | assertions in section 3; `tests/test_doctor.py::test_a_sound_set_up_passes` |
# | box, objectness and class term, each from scratch | assertions in sections 4, 5 and 6 |
# | the target is clamped, detached, and its last entry stands | exercise 11.2; `tests/test_loss.py::test_objectness_target_equals_a_loop`, `tests/test_loss.py::test_last_entry_of_a_cell_decides` |
# | without detaching, objectness ruins boxes | assertions in section 5 |
# | smoothing and positive weights move the optimum | assertions in section 6; `tests/test_loss.py::test_label_smoothing_moves_the_optimum` |
# | focal loss is the formula, and overstates soft targets | exercise 11.3; assertion in section 7; `tests/test_loss.py::test_binary_loss_equals_a_loop` |
# | the whole loss equals plain loops, and your functions' | assertions in sections 8 and 9 |
# | the module's loss and its gradients are the releases' | `tests/test_loss.py::test_golden`, `tests/test_loss.py::test_check_vector_of_the_reference` |
# | a perfect answer loses only where objects share a place | assertions in section 10 |
# | figures and widgets say what the modules say | `tests/test_lesson_losses.py` |
#
# **References** Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, arXiv:1512.00567 (label smoothing) · Lin, Goyal, Girshick, He, Dollár 2017, arXiv:1708.02002 (focal loss, the bias at the start) ·
# Redmon, Farhadi 2018, arXiv:1804.02767 (a sigmoid a class) · Rezatofighi, Tsoi, Gwak, Sadeghian, Reid, Savarese 2019, arXiv:1902.09630 (GIoU) ·
# Zheng, Wang, Liu, Li, Ye, Ren 2019, arXiv:1911.08287 (DIoU and CIoU) · Zheng, Wang, Ren, Liu, Ye, Hu, Zuo 2020, arXiv:2005.03572 (CIoU, longer)
#
# ← [10 Target assignment](10_target_assignment.ipynb) · **11 The loss** · [12 Data and augmentation](12_data_and_freebies.ipynb) →
