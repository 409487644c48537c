# %% [markdown]
# # 00 · Start here: a detector at work, and the map of its family
#
# **30 minutes · difficulty ●○○○○ · importance ●●●●●**
#
# After this lesson you can
# - run a trained detector on photos and read what it returns,
# - convert a box from pixels to a row of a label file,
# - say what the confidence threshold trades, and measure it,
# - find your way on the map of the network that lessons 01 to 08 take apart.
#
# You need Python and a little PyTorch: what a tensor is, what a convolution layer does to shapes. Nothing about detection.
#
# How to work: where it says **predict**, write a number down before you run the cell. Exercises compare your code with a
# reference; left empty, they stop nothing. Section 6 says more.
#
# The first cell finds the package and names your device. Run it, then go on with Shift + Enter.

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

# %% [markdown]
# ## 1 See it work
# Five classes of playing cards, and a small YOLOv5 that has learned them, not perfectly. Load it, show it photos, draw what it says.

# %%
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.data import DetectionData, read_spec
from yolo_edu.draw import side_by_side
from yolo_edu.evaluate import detect

# the network, as it was after training
weights = shipped_weights("cards_n")
model = load_checkpoint(weights).to(device)
size = read_metadata(weights)["image_size"]  # side of the square that the network sees, in pixels

# photos it was not trained on, their long side at 416 pixels
cards = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=416)
some = [cards[i] for i in (28, 31, 15, 35)]
# what it finds in four of them
found = detect(model, [sample.image for sample in some], size=size, confidence=0.25)

figures.show(
    side_by_side(some, found, model.names),
    alt="Four photos of playing cards twice: with the true boxes, dashed, and with the boxes the detector found",
    photos=True,
)

# %% [markdown]
# Dashed boxes are the truth, drawn by a person. The others are what the network found, each with a name and a *confidence* between 0 and 1.
# Look for a mistake before you read on: a card without a box, a wrong name, a box too many.
#
# <details><summary>What there is to find</summary>On the first photo the queen at the top is called a jack. On the second the queen carries two
# boxes, one of them with a wrong name. On the last one two cards overlap: the box of the ten is far too large, and the jack is also called a king
# and, faintly, a queen. A card that is cut off at the edge of a photo may have no dashed box either: what nobody labeled does not count.</details>
#
# The network has never trained on these photos. They show the same deck on the same kinds of surface as the training photos, though, so
# this is an easy examination: other decks would be harder (`data/README.md` has the measurements). The best epoch (pass over the training
# photos) was chosen by looking at these validation photos, so expect a little less on new ones (`yolo_edu/weights/cards_n.md` is the
# model card). And these four were picked by hand; section 3 measures all of them.

# %%
parameters = sum(p.numel() for p in model.parameters())
print(f"network     {type(model).__name__}, {parameters:,} parameters, file of {weights.stat().st_size / 1e6:.1f} MB")
print(f"classes     {', '.join(model.names)}")
print(f"input       every photo is fitted into {size} × {size} pixels")
print(f"validation  {len(cards)} photos with {sum(len(sample.labels) for sample in cards)} cards")

# %% [markdown]
# ## 2 What a detection is
# Three tensors for each photo, the surest detection first: boxes `(N, 4)`, scores `(N,)`, labels `(N,)`.

# %%
first = found[0]
print("boxes", tuple(first.boxes.shape), " scores", tuple(first.scores.shape), " labels", tuple(first.labels.shape))
for box, score, label in zip(*first, strict=True):
    print(f"{model.names[label]:<6} {score:.2f}   x1, y1, x2, y2 = {[round(v, 1) for v in box.tolist()]}")

# %% [markdown]
# A box here is **xyxy** in pixels: left, top, right, bottom. The y axis points *down*: y = 0 is the top row of the photo.
# They are pixels of the photo as loaded above. The network saw a copy, shrunk and padded to a square; `detect` scales its boxes back.
#
# Label files use the other format, **cxcywh** normalized: the *center*, then width and height, x-like numbers divided by the
# image's width and y-like numbers by its height. All four then lie between 0 and 1, and stay the same when the photo is resized.
# A line of a label file is `class cx cy w h`: the number of the class first, then the box.
# A mix-up of the two formats raises no error. The boxes are just wrong.
#
# **Predict, then run:** a photo is 400 pixels wide and 200 high, the box is (100, 50, 300, 150).

# %%
quiz.predict("the normalized width w", answer=(300 - 100) / 400, why="It is (300 − 100) / 400.")

# %% [markdown]
# ### Exercise 0.1 · From pixels to a label row (5 minutes, ●○○○○)
# Write the conversion. Return the four box numbers as a tuple (cx, cy, w, h); the class is put in front later. Do not change the tensor `box` in place.
# An exercise that you have not filled in stops nothing: the lesson goes on with yolo_edu's own code.


# %%
def label_row(box, width, height):
    """box: (4,) tensor x1, y1, x2, y2 in pixels; width, height of the image in pixels → cx, cy, w, h normalized."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


label_row = checks.label_row(label_row)

# %% [markdown]
# <details><summary>Hint 1</summary>The center lies halfway between left and right. What is the average of two numbers?</details>
# <details><summary>Hint 2</summary><code>x1, y1, x2, y2 = box.tolist()</code> gives you four plain numbers. Without <code>.tolist()</code> they are views of the tensor, and <code>x1 += x2</code> would change it.</details>
# <details><summary>Solution</summary>
#
# ```python
# def label_row(box, width, height):
#     x1, y1, x2, y2 = box.tolist()
#     return (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
# ```
# </details>

# %%
height, width = some[0].image.shape[1:]
for box, label in zip(some[0].boxes, some[0].labels, strict=True):
    row = " ".join(f"{float(v):.4f}" for v in label_row(box, width, height))
    print(f"{model.names[label]:<6} as a line of a label file: {label} {row}")

# %% [markdown]
# ## 3 Which boxes to believe
# The network does not answer with a handful of boxes. It lays three grids over its square input, with cells of 8, 16 and 32 pixels (the
# grid's *stride*), and in *every* cell it predicts three boxes, whether there is a card or not.
#
# **Predict, then run:** how many boxes in all?

# %%
per_cell = model.anchors.shape[1]
grids = [size // stride for stride in model.strides]
shapes = ", ".join(f"{n} × {n}" for n in grids)
quiz.predict(
    f"boxes for one {size} × {size} photo: grids of {shapes} cells, {per_cell} boxes a cell",
    answer=sum(n * n for n in grids) * per_cell,
    why=f"({' + '.join(f'{n}²' for n in grids)}) × {per_cell}.",
)

# %% [markdown]
# Now the raw answer. It is one tensor a grid, named P3 (fine), P4, P5 (coarse), of shape (B, A, h, w, 5 + K): B photos, A boxes a cell
# (their starting shapes are called *anchors*, lesson 07), h × w cells, and 5 + K numbers a box: four for the box itself, one called
# *objectness* (is there an object?), one for each of K classes. `decode` turns them into boxes in pixels of the square.

# %%
import torch

from yolo_edu.data import collate

batch = collate(some[:1], size)  # images (1, 3, size, size)
with torch.no_grad():
    raw = model(batch.images.to(device))
    rows = model.decode(raw)[0]  # (N, 5 + K): x, y, w, h, objectness, a probability for each of K classes
for level, x in zip(("P3", "P4", "P5"), raw, strict=True):
    print(f"{level}  (B, A, h, w, 5 + K) = {tuple(x.shape)}")
score = (rows[:, 4:5] * rows[:, 5:]).amax(dim=1)  # a box's confidence: objectness × its best class
low, high = (int((score > threshold).sum()) for threshold in (0.05, 0.25))
print(f"{len(rows):,} boxes, {low} with a confidence above 0.05, {high} above 0.25,")
print(f"and after the second filter, described next, {len(first.boxes)}: the boxes of section 2")

# %% [markdown]
# Two filters stand between these boxes and the picture.
# - The **confidence threshold** drops boxes that the network itself does not believe.
# - **Non-maximum suppression** (NMS): of several boxes *of one class* that overlap strongly, it keeps the surest. It works class by class,
#   so two names on one card both stay: look at the queen of the second photo. Lesson 09 builds it.
#
# Play with the first filter. Move the slider with the mouse, or click it and use the arrow keys. Start at the right end and go down:
# at which confidence does the first wrong box appear? Then up again from 0.25: which card is lost first?

# %%
pair = some[:2]
candidates = detect(model, [sample.image for sample in pair], size=size, confidence=0.05)
explorer = widgets.confidence_explorer(pair, candidates, model.names, threshold=0.25)

# %% [markdown]
# The slider runs no network: it only hides boxes that were found once, at 0.05. May it do that, with NMS in between? Yes: a box is
# suppressed only by a *surer* one of its class, so a box below the threshold never decided about a box above. The next cell checks it;
# skip it on a first reading.

# %%
for threshold in (0.1, 0.25, 0.5, 0.75):
    again = detect(model, [sample.image for sample in pair], size=size, confidence=threshold)
    for once, new in zip(candidates, again, strict=True):
        torch.testing.assert_close(widgets.above(once, threshold), new)
print("hiding boxes afterwards gives the same detections as a new run")

# %% [markdown]
# ### Exercise 0.2 · Precision and recall (8 minutes, ●●○○○)
# Two questions about the boxes above a threshold:
# - **precision**: which share of them is right?
# - **recall**: which share of the objects did they find?
#
# `correct[i]` says whether box i is right: the right class, no surer box has claimed that card, and an overlap of at least one half. The
# overlap is the shared area divided by the area that the two cover together (IoU, lesson 09). Keep boxes with a score *above* the threshold. If none is left, call the precision 0.


# %%
def precision_recall(scores, correct, objects, threshold):
    """scores (N,), correct (N,) bool, number of objects in the photos, threshold → precision, recall."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


precision_recall = checks.precision_recall(precision_recall)

# %% [markdown]
# <details><summary>Hint 1</summary><code>kept = scores > threshold</code> is a mask of booleans. Its <code>.sum()</code> counts.</details>
# <details><summary>Hint 2</summary>Right boxes that were kept: <code>kept &amp; correct</code>. Both answers share this numerator; only the denominators differ.</details>
# <details><summary>Hint 3</summary>When nothing is kept, the precision is 0 / 0. <code>max(count, 1)</code> avoids the division by zero.</details>
# <details><summary>Solution</summary>
#
# ```python
# def precision_recall(scores, correct, objects, threshold):
#     kept = scores > threshold
#     right = int((kept & correct).sum())
#     return right / max(int(kept.sum()), 1), right / objects
# ```
# </details>

# %% [markdown]
# ### All validation photos
# **Predict, then run:** when the threshold rises, which of the two can never rise?

# %%
from yolo_edu.metrics import match

everything = detect(model, [sample.image for sample in cards], size=size, confidence=0.01)
scores = torch.cat([f.scores for f in everything])
correct = torch.cat(
    [match(f, s.boxes, s.labels, torch.tensor([0.5]))[:, 0] for f, s in zip(everything, cards, strict=True)]
)
objects = sum(len(sample.labels) for sample in cards)

thresholds = [round(0.05 * i, 2) for i in range(1, 20)]
curve = [precision_recall(scores, correct, objects, t) for t in thresholds]
print("threshold  precision  recall")
for t, (precision, recall) in zip(thresholds, curve, strict=True):
    if t in (0.05, 0.25, 0.5, 0.75, 0.95):
        print(f"{t:>9.2f}  {precision:>9.3f}  {recall:>6.3f}")
precision, recall = curve[thresholds.index(0.25)]
print(f"at 0.25, {100 * precision:.0f} of 100 boxes are right, and {100 * recall:.0f} of 100 cards are found")
print(f"at 0.95, {int((scores > 0.95).sum())} boxes are left: a small number to rest a precision on")
recalls = [recall for _, recall in curve]
assert recalls == sorted(recalls, reverse=True)  # a higher threshold keeps fewer boxes, never a new one

# %%
figures.show(
    figures.threshold_curves(thresholds, curve, marked=0.25),
    alt="Precision and recall of the shipped detector on the held-out photos, against the confidence threshold",
)

# %% [markdown]
# Recall never rises: a higher threshold never adds a box. Precision usually rises, but it may fall for a moment, when the box that goes
# was a right one. No threshold is best for everybody. Missing a pedestrian and reporting one too many do not cost the same.
# A measure that judges the whole curve at once is average precision (lesson 09).
#
# ## 4 The map of the network you will take apart
# Every tile is one layer or block, numbered in order. The map is read off a live model while an image passes through it, not drawn by hand.
# It does not show the detector above but its older and larger relative: YOLOv5 s of June 2020, the network of the article this course grew
# from, on a 640 × 640 image. Its grids have 80, 40 and 20 cells a side, because 640 / 8 = 80; yours had 256 / 8 = 32, 16 and 8. The plan is
# the same, some blocks were replaced later (lessons 03 and 05). The blocks' names need not mean anything to you yet.

# %%
figures.show(figures.network_map(), alt=figures.MAP_ALT)

# %% [markdown]
# Read it along the arrows.
# - The **backbone** goes down. The grid gets coarser and the channels more: less *where*, more *what*.
# - The **neck** first goes up, so that fine grids receive the meaning that the coarse grid has found, then down again, so that
#   coarse grids receive the exact place.
# - The **head** predicts, in each cell of three grids, three boxes of 4 + 1 + K numbers: with the map's 5 classes, 3 × 10 = 30 channels.
#
# On maps and grids three levels have a color, the same in every lesson: P3 blue for small objects, P4 orange for medium ones, P5 green for large ones. (On photos, colors stand for classes instead.)
# Each lesson lights its own block on this map. Here is the one that lesson 05 builds:

# %%
figures.show(
    figures.network_map("spp"), alt="The map of YOLOv5 with one block lit: SPP, row 8, in the backbone at stride 32"
)

# %% [markdown]
# ## 5 The course
# A lesson takes 15 to 30 minutes. Blocks first, then the whole network, then what makes it learn.
#
# | lesson | you build and see |
# |---|---|
# | [00 Start here](00_start_here.ipynb) | a trained detector on photos, the map of the network |
# | [01 The convolution block](01_convolution_block.ipynb) | Conv, BatchNorm, activation; parameters by hand; the receptive field |
# | [02 The dense block](02_dense_block.ipynb) | dense layers, growth rate, transitions, DenseNet |
# | [03 Cross-stage partial networks](03_csp.ipynb) | splitting a stage in two; BottleneckCSP and C3 |
# | [04 CSPDarknet, the backbone](04_csp_darknet.ipynb) | Darknet-53, CSPDarknet53, Focus; feature maps of a trained model |
# | [05 Spatial pyramid pooling](05_spp.ipynb) | SPP with bins, SPP at stride 1, and why SPPF is its equal |
# | [06 FPN and PAN, the neck](06_fpn_pan.ipynb) | the way up, the way down, adaptive feature pooling |
# | [07 Anchors and Detect, the head](07_anchors_and_detect.ipynb) | grids, anchors, k-means, the box formula |
# | [08 The whole network](08_yolov5.ipynb) | every row of the article's table, five sizes from two numbers |
# | [09 Boxes, NMS, mAP](09_boxes_nms_map.ipynb) | IoU and its relatives, suppression, precision, recall, average precision |
# | [10 Target assignment](10_target_assignment.ipynb) | which cell and which anchor must predict which object |
# | [11 The loss](11_loss.ipynb) | box, objectness and class; the first loss predicted before it is run |
# | [12 Data and augmentation](12_data_and_freebies.ipynb) | label files, letterbox, mosaic, MixUp: seen and measured |
# | [13 The training loop](13_training_loop.ipynb) | optimizer, warm-up, averaging; a short real training |
# | [14 The bug clinic](14_bug_clinic.ipynb) | planted faults to find from curves and pictures |
# | [15 Your own data](15_your_own_data.ipynb) | from a folder of photos to a trained detector |
# | [16 Training in full](16_train_on_gpu.ipynb) | the capstone: a complete training and how to read it |
#
# In a hurry? 00, 07, 08, 09, 11 and 13 make sense in this order.
#
# ## 6 How to work
# - **Predict, then run.** Write a number down before a cell reveals it. A wrong prediction teaches more than a right one.
# - **Exercises.** Replace `raise NotImplementedError`, run the cell, read what the check says. It compares you with a reference on random
#   inputs and tells you what kind of mistake it sees. Then hints, one at a time, and the solution last.
# - **Play.** Change a number in any cell and run it again. Nothing here can break your files.
# - **Strange state?** *Run → Restart Kernel and Run All Cells* (in Colab: *Runtime → Restart session and run all*) brings every lesson back to order.
# - **A word you do not know?** The [glossary](glossary.ipynb) says what people say and what it means, in the order of the lessons.
# - **Shapes** are written in one alphabet: B images, A anchors, C channels, H and W height and width, K classes, N boxes, L levels.
#
# ## Quiz

# %%
quiz.ask(
    "25 cards. Above the threshold there are 20 boxes, 15 of them right. Precision and recall?",
    ["0.75 and 0.60", "0.60 and 0.75", "0.75 and 0.80"],
    answer=0,
    why="15 of 20 boxes are right: 0.75. 15 of 25 cards are found: 0.60.",
)

# %%
quiz.ask(
    "You raise the confidence threshold. The precision",
    ["always rises", "always falls", "usually rises, but it may fall"],
    answer=2,
    why="Wrong boxes tend to have low scores, so it usually rises. If a right box is removed and wrong, surer ones stay, it falls.",
)

# %%
quiz.ask(
    "A box has confidence 0.8. May you conclude that 80 of 100 such boxes are right?",
    [
        "Yes, that is what the number means",
        "Nothing guarantees it: the number orders the boxes",
        "Only for boxes of one class",
    ],
    answer=1,
    why="It is objectness × class probability, two outputs that training pushes up on good boxes. Nothing makes their product a frequency. Which share is right above a threshold has to be measured, as in section 3.",
)

# %%
quiz.ask(
    "Your label file says 0 0.5 0.5 1.0 1.0. What is the box?",
    ["The whole image", "The lower right quarter of the image", "A single point in the middle"],
    answer=0,
    why="Center in the middle, as wide and as high as the image. Read as corners it would be the lower right quarter: the classic mix-up.",
)

# %%
quiz.ask(
    "Why are there so few boxes in the picture, when the network predicts thousands?",
    [
        "It predicts boxes only where it sees an object",
        "Most have a low confidence, and NMS removes repetitions within a class",
        "The best 300 are drawn, one over the other",
    ],
    answer=1,
    why="Every cell always predicts. The threshold drops the unsure boxes, NMS the duplicates. 300 is only an upper limit.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the photos were not trained on | train and val are separate folders; `benchmarks/data_leakage.py` compares their pixels |
# | hiding boxes afterwards equals a new run | argument in section 3; assertion on two photos at four thresholds |
# | recall never rises with the threshold | assertion in section 3 |
# | your conversion and your counts are right | exercises 0.1 and 0.2, against a reference on random inputs |
# | the map shows YOLOv5 s as it is | drawn from the live model; `tests/test_figures.py` |
#
# **References** Redmon, Divvala, Girshick, Farhadi 2015, arXiv:1506.02640 (one network, one pass) · Lin, Dollár, Girshick, He, Hariharan, Belongie 2016, arXiv:1612.03144 (feature pyramids) ·
# Liu, Qi, Qin, Shi, Jia 2018, arXiv:1803.01534 (the path down again) · Okabe, Ito 2008, *Color Universal Design* (the colors)
#
# **00 Start here** · [01 The convolution block](01_convolution_block.ipynb) →
