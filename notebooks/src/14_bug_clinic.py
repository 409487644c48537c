# %% [markdown]
# # 14 · The bug clinic: find out what is wrong with a detector
#
# **90 minutes · difficulty ●●●●○ · importance ●●●●●**
#
# After this lesson you can
# - tell ten common faults of a detector apart by their curves and pictures,
# - confirm a suspicion with one measurement instead of a new training,
# - mend four of the faults,
# - read off where a detector loses its mAP, and which types of mistakes it makes,
# - say what a comparison over three seeds can tell, and what it cannot.
#
# You need [lesson 09](09_boxes_nms_map.ipynb) (mAP, suppression), [lesson 10](10_target_assignment.ipynb) (who learns what), [lesson 11](11_loss.ipynb) (the three losses)
# and [lesson 13](13_training_loop.ipynb) (the loop, the average, the doctor).

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
import copy
import os
from dataclasses import fields, replace
from unittest import mock

import torch
from IPython.display import Markdown, display
from torch import nn

from yolo_edu import doctor
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.assign import assign
from yolo_edu.boxes import scale_boxes
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.course.clinic import FAULTS, HEALTHY, PATIENTS, SIGNS, Ward, read_records, signs, symptom_table
from yolo_edu.course.clinic.patients import by_case
from yolo_edu.course.clinic.records import holds
from yolo_edu.course.measured import read_measured
from yolo_edu.data import DetectionData, collate, read_spec
from yolo_edu.mistakes import find_mistakes
from yolo_edu.mistakes_chart import gain_chart, mistake_chart, mistake_photos
from yolo_edu.oracle import AS_IT_IS, measure_gains, swap_outputs
from yolo_edu.repairs import repair_each

# %%
SMOKE = os.environ.get("YOLO_EDU_SMOKE") == "1"  # the course's own tests take a short cut through this lesson
cpu = torch.device("cpu")
cards = read_spec(sample_data("train_5classes.yaml"))
figures.show(
    figures.network_map("detect"),
    alt="The map of YOLOv5 with Detect lit: the faults of this lesson lie before, in, and behind it",
    dpi=74,
)

# %% [markdown]
# Here every part of the course is under suspicion: image → data → augment → model → assign → loss → train, and model → decode → suppress → measure. Detect stands in the middle. A fault before it, in it or behind it comes out at the same
# place: boxes that are wrong.
#
# A program with a bug usually stops. A detector with a bug *trains*. The loss falls, boxes come out, and the mAP is lower than it might be. No error message names the line. So people ask: "my mAP stays 0 although the loss falls", "my boxes are in
# the wrong place". This lesson is a clinic for such cases. There are ten patients. Each has one planted fault, and each fault is one that people really have.
#
# ## 1 The clinic
# All patients are trained alike: YOLOv5 n of release 7.0 with the backbone and neck of the shipped card detector and a *fresh head*, on 128 photos of the cards at 128 pixels. That is transfer, and it takes seconds. Beside them a **healthy twin** is
# trained from the same seed. A patient differs from its twin in exactly one of these parts:

# %%
ward = Ward()
for part in fields(HEALTHY):
    own = getattr(HEALTHY, part.name)
    print(f"{part.name:<18} {getattr(own, '__qualname__', own)}")
assert all(sum(getattr(f, p.name) != getattr(HEALTHY, p.name) for p in fields(f)) <= 2 for f in FAULTS.values())

# %% [markdown]
# The parts are: two readers of label files, the Detect layer, the assignment, the target of the objectness, one update of the average (EMA), the way from photos to decoded rows at evaluation, and what is changed in the recipe. (One patient reads both its training and its validation labels wrongly: two parts, one fault.)
#
# Ten patients, three seeds each, beside three twins: that takes some minutes, so it was done before (`benchmarks/clinic.py`, and its results come with the course). You will repeat some of it here.

# %%
records = read_records()
setting = read_measured("clinic")["setting"]
twins = records["healthy"]
assert (setting["photos"], setting["image_size"], setting["epochs"]) == (ward.photos, ward.size, ward.epochs)
print(f"{len(twins)} seeds, {ward.epochs} epochs; the twins end with mAP50", *(f"{r.last('map50'):.2f}" for r in twins))
figures.show(figures.patients_at_a_glance(records), alt=figures.FIGURES["L14_patients"][1], dpi=84)

# %% [markdown]
# Each dashed line is a seed of the patient; the gray band reaches from the lowest to the highest twin. The mAP is what the patient measures *itself*, with its own reader of labels and its own evaluation. Two things are worth noticing before any diagnosis:
# a patient may have a good mAP and still be ill, and a low mAP looks alike for very different reasons. The mAP tells *that* something is wrong. It does not tell what.
#
# ## 2 Admission: pick the diagnosis
# One thing is good to know before you start. Suppose that a score, objectness × class probability, is made of numbers that went through a sigmoid *twice*.

# %%
least = torch.tensor(-1000.0)  # a logit: surely not
twice = least.sigmoid().sigmoid()

# %% [markdown]
# **Predict, then run:** what is the lowest score that such a row can have?

# %%
quiz.predict(
    "the lowest score, objectness × class probability, after a second sigmoid",
    answer=(twice * twice).item(),
    why="A probability is at least 0, and the sigmoid of 0 is 0.5. So 0.5 · 0.5 = 0.25, and the highest is 0.731 · 0.731 = 0.534.",
)

# %%
one = torch.tensor(1.0).sigmoid()
assert round(one.item(), 3) == 0.731
assert round((one * one).item(), 3) == 0.534

# %% [markdown]
# Now the patients. For each case look at the complaint, at the curves and at the pictures; then pick a diagnosis. Each choice is explained, the wrong ones too. Ask in this order:
# 1. **Do the three losses lie on the twin's?** Then training is sound, and the fault acts afterwards.
# 2. **Which loss is off, and in which direction?** A loss that is too *low* is as suspicious as one that is too high.
# 3. **What do the pictures say?** No boxes, too many, shifted, with wrong names?

# %%
photos = DetectionData(cards, "val", 320)
shown = [photos[i] for i in setting["shown"]]
explorer = widgets.diagnosis_clinic(records, shown, cards.names)

# %% [markdown]
# <details><summary>All ten diagnoses</summary>Only for looking up afterwards: A the average of the weights is never updated · B the left top corner is taken for the center · C a sigmoid twice at evaluation · D class numbers off by one in the training labels · E BatchNorm left in training mode at evaluation ·
# F row and column swapped in the assignment · G objectness target 1 in every cell · H BGR for RGB · I a high learning rate without warm-up · J anchors in pixels.</details>
#
# Two of them, E and H, can hardly be told apart by looking. A picture makes a suspicion. What confirms it is a measurement.
#
# ## 3 One measurement for each
# A good measurement has a value that is *known in advance* when all is well: an IoU of 1, a difference of 0, a ratio of 1. Then one number decides, and no second training is needed. Here they are, on the spot. The functions are short; read one with `signs.worst_round_trip??`.
#
# ### Before the first step
# Four of the patients can be found without any training.

# %%
fresh = ward.network()
sample = collate([ward.train_data()[i] for i in range(8)], ward.size)
for name in ("healthy", "swapped"):
    parts = FAULTS.get(name, HEALTHY)
    worst = signs.worst_round_trip(parts.assign, fresh, sample.targets, ward.size)
    print(f"{name:<10} truth → assign → encode → decode, worst IoU {worst:.4f}")
    assert (worst > 0.999) == (name == "healthy")
for name in ("healthy", "pixels"):
    network = ward.network(0, FAULTS.get(name, HEALTHY))
    ratio = signs.largest_by_anchor(network)
    taken = [len(a.image) for a in assign(sample.targets, [(16, 16), (8, 8), (4, 4)], network.detect.anchors)]
    print(f"{name:<10} zero logits: {ratio:.0f} × the anchor; entries at P3, P4, P5: {taken}")
    assert (ratio == 1) == (name == "healthy")

# %% [markdown]
# **F, row and column.** The round trip of lesson 13 asks: if the network answered perfectly, would decoding give the labels back? With row and column swapped it would not.
#
# **J, anchors in pixels.** A logit of 0 must decode to the anchor itself (lesson 07). Here the largest is 32 times its anchor: the stride of P5 was not divided out. The round trip does *not* find this one: encoding and decoding use the same wrong
# anchors, and the errors cancel. But look at the assigned entries. P4 and P5 have none at all, so two thirds of the network learn only to be silent. That is why this patient's losses are so small: there is little left to lose.

# %%
wrong, right = (ward.train_data(parts) for parts in (FAULTS["corners"], HEALTHY))
overlap = signs.overlap_with_hand([wrong[i] for i in range(8)], [right[i] for i in range(8)])
print(f"labels as patient B reads them against boxes drawn by hand: mean IoU {overlap:.3f}")
assert overlap < 0.2
large = {
    name: replace(ward, size=320).train_data(parts) for name, parts in (("read", FAULTS["corners"]), ("hand", HEALTHY))
}
three = [0, 60, 100]
figures.show(
    figures.labels_and_hand(
        [large["hand"][i].image for i in three],
        [large["read"][i].boxes for i in three],
        [large["hand"][i].boxes for i in three],
    ),
    alt="Three photos of cards; dashed boxes lie on the cards, solid ones half a box further up and to the left",
    photos=True,
)

# %% [markdown]
# **B, corner for center.** COCO's files write (left, top, width, height); the label files of this course write the center. A box that is moved by half its width and half its height overlaps the true one in a quarter, and a quarter by two minus a quarter is an IoU of 1/7. The patient's
# own mAP could not tell, because its validation labels are read in the same wrong way. *Nothing that is computed from the labels alone can tell.* The boxes drawn by hand play the part of a person who looks.

# %%
print("patient B, mAP50 in its own evaluation", *(f"{r.last('map50'):.2f}" for r in records["corners"]))
print("against labels that are read rightly  ", *(f"{r.by_the_truth:.2f}" for r in records["corners"]))
for name in ("healthy", "no_warmup"):
    print(
        f"{name:<10} first step changes the weights by {100 * signs.first_step(ward, FAULTS.get(name, HEALTHY)):.1f} %"
    )
assert signs.first_step(ward, HEALTHY) == 0
assert signs.first_step(ward, FAULTS["no_warmup"]) > 0.4

# %% [markdown]
# **I, no warm-up.** The very first step moves the convolution weights by almost half of their length, in a direction that a fresh head's random answers suggested. With a warm-up that step has a length of 0. (Adam's first step moves *every* weight by about the learning rate, however small its gradient; lesson 13.)
#
# But which part of the damage is the high rate, and which the missing warm-up? The benchmark has a control: the same high rate *with* a warm-up.

# %%
for name, label in (
    ("healthy", "rate 0.002, warm-up"),
    ("high rate", "rate 0.02, warm-up"),
    ("no_warmup", "rate 0.02, none"),
):
    ends = [r.last("map50") for r in records[name]]
    print(f"{label:<20} mAP50", *(f"{x:.2f}" for x in ends))
mean = {name: sum(r.last("map50") for r in records[name]) / 3 for name in ("healthy", "high rate", "no_warmup")}
assert mean["healthy"] - mean["high rate"] > mean["high rate"] - mean["no_warmup"] > 0

# %% [markdown]
# Most of the damage comes from the rate. A warm-up is no license for a rate that is ten times too high; it makes the first steps harmless, and no more. So the repair is a lower rate first.
#
# ### At evaluation
# Three patients were trained well. Their fault acts when they are asked, so it can be planted into any trained network: here into the shipped detector, at 128 pixels.

# %%
shipped = load_checkpoint(shipped_weights("cards_n"))
admitted = {
    name: ward.admit(shipped, FAULTS.get(name, HEALTHY)) for name in ("healthy", "sigmoid", "train_mode", "bgr")
}
asked = {"sigmoid": "share 0.50 to 0.731", "train_mode": "BatchNorms changed", "bgr": "gained by reversing"}
print(" " * 11 + "mAP50  boxes  ", *(f"{short:>20}" for short in asked.values()))
for name, stay in admitted.items():
    boxes = sum(int((f.scores > 0.25).sum()) for f in stay.found) / len(stay.found)
    values = {key: SIGNS[key].measure(ward, stay) for key in asked}
    print(f"{name:<10} {stay.report.map50:.3f} {boxes:6.1f}  ", *(f"{value:>20.3f}" for value in values.values()))
    assert {key for key in asked if SIGNS[key].speaks(values[key])} == {name} - {"healthy"}

# %% [markdown]
# **C, a second sigmoid.** The most surprising row: the mAP hardly suffers. It depends on the *order* of the scores only (lesson 09), and a sigmoid keeps the order of each number. (Not quite of their product; hence the small difference.) What is ruined is the meaning of the numbers. Every score is above 0.25, the threshold of
# `yolo-edu detect`, so suppression returns the most boxes it may, 300. The measurement: *all* probabilities lie between 0.50 and 0.731.
#
# **E, BatchNorm in training mode.** Each layer standardizes with the statistics of the photo at hand. The measurement is exact: a network in evaluation mode changes nothing in itself, so no running mean may differ afterwards. Here all of them do.
#
# **H, BGR for RGB.** `cv2.imread` returns blue first. Turn the channels round once more: if the mAP *rises*, they were wrong.

# %%
kinds = {name: stay.report.ap50 for name, stay in admitted.items()}
for label in cards.names:
    print(f"{label:<6} AP50 {kinds['healthy'][label]:.2f}, in BGR {kinds['bgr'][label]:.2f}")
lost = {label: kinds["healthy"][label] - kinds["bgr"][label] for label in cards.names}
print("loses most:", max(lost, key=lost.__getitem__))
assert min(lost.values()) > 0

# %% [markdown]
# ### After training
# Three are left. Patient A's network, one epoch: is the average still where it began? Patient D, a whole training, live: 10 epochs.

# %%
for name in ("healthy", "ema"):
    stay = Ward(epochs=1).train(FAULTS.get(name, HEALTHY))
    moved = signs.farthest_from_start(stay.network, stay.start)
    print(f"{name:<10} after one epoch: a weight of the average has moved by up to {moved:.4f}")
    assert (moved == 0) == (name == "ema")

# %%
live = Ward(epochs=4 if SMOKE else 10).train(FAULTS["classes"])
names = signs.shifted_names(live.truth, live.found, len(cards.names))
before = records["classes"][0]
print(f"patient D now: mAP50 {live.report.map50:.2f}, next class less right class {names:+.2f}")
print(f"in the records: mAP50 {before.last('map50'):.2f}, {before.signs['classes']:+.2f}")
print(f"the twins: {max(r.signs['classes'] for r in twins):+.2f} at most")
assert SMOKE or (SIGNS["classes"].speaks(names) and live.report.map50 < min(r.last("map50") for r in twins))
confusion = live.report.confusion
assert SMOKE or (confusion[:, 0].argmax() == 1 and confusion[:5, 4].argmax() == 0)  # a ten, a jack; an ace, a ten
print("\nsaid ↓ was →  " + "".join(f"{n:>8}" for n in (*cards.names, "nothing")))
for label, row in zip((*cards.names, "nothing"), confusion.tolist(), strict=True):
    print(f"{label:<14} " + "".join(f"{count:>8}" for count in row))

# %% [markdown]
# **A, the average stands still.** Its largest move is exactly 0. Training goes on beside it, unharmed and unused.
#
# **D, classes off by one.** Read the columns: a ten is called jack, and an ace, the last in the list, is called ten. Their numbers stand beside the diagonal. Between jack, queen and king it is less clean, for a second reason: at this size the network takes queens for jacks and the other way round,
# the healthy twin too. A queen taken for a jack is then called queen: two faults that cancel. (The confusion matrix, lesson 09, pairs boxes by place alone, whatever their class.) The mAP is not 0, because a box carries a second and a third
# guess too, and the true class is sometimes among them.
#
# **G, objectness 1 everywhere** is told by one mean:

# %%
for name in ("healthy", "objectness"):
    print(f"{name:<10} mean objectness", *(f"{r.signs['objectness']:.3f}" for r in records[name]))
assert min(r.signs["objectness"] for r in records["objectness"]) > 10 * max(r.signs["objectness"] for r in twins)

# %% [markdown]
# ### Do they speak for one patient only?
# A measurement is worth something if it is silent for all the others. Every measurement was made on every patient, over all seeds.

# %%
figures.show(figures.sign_matrix(records), alt=figures.FIGURES["L14_signs"][1], dpi=84)
order = list(by_case().values())
for key in order:
    assert all(SIGNS[key].speaks(r.signs[key]) for r in records[key])
    assert not any(SIGNS[key].speaks(r.signs[key]) for r in twins)
    for other in order:
        spoken = [SIGNS[key].speaks(r.signs[key]) for r in records[other]]
        if other != key and any(spoken):
            print(
                f"“{SIGNS[key].what}” speaks for patient {PATIENTS[other].case} too, in {sum(spoken)} of {len(spoken)} seeds"
            )

# %% [markdown]
# A filled dot: it speaks in every seed; a ring: in some. Each measurement speaks for its own patient in every seed, and never for the twin. Where one speaks for another patient as well (the lines above), there is a reason. A second sigmoid makes every objectness at least 0.5, so the mean objectness is high. That is why the
# question "are *all* probabilities between 0.50 and 0.731?" is the better one for it.
#
# ### What the doctor finds
# `yolo-edu doctor` (lesson 13) makes some of these measurements. Which of the patients does it find? The fault is planted into the doctor's own parts too, as it would be in a module that has it.

# %%
few, found = ward, {}
for name in ("healthy", "swapped", "pixels", "corners", "classes", "no_warmup", "objectness"):
    parts = FAULTS.get(name, HEALTHY)
    with parts.in_place(), mock.patch.object(doctor, "assign", parts.assign):
        model, data = few.network(0, parts), few.train_data(parts)
        first = [doctor.round_trip(model, data, few.size), doctor.assigned_share(model, data, few.size)]
        start = collate([data[i] for i in range(8)], few.size)
        settings = doctor.loss_settings(model, few.recipe(parts), few.size)
        first.append(doctor.first_loss(model, start, settings, device=cpu))
    found[name] = [finding.check for finding in first if not finding.good]
    print(f"{name:<11} {'; '.join(found[name]) or 'nothing found'}")
assert found["swapped"] == ["labels decode back to themselves"]
assert found["pixels"] == ["boxes that an anchor takes"]
assert not any(found[name] for name in ("healthy", "corners", "classes", "no_warmup", "objectness"))

# %% [markdown]
# It finds F by the round trip and J by the share of boxes that no anchor takes. It does not find B and D: labels that are wrong in a legal way contradict nothing. It does not find G by the first loss: the loss that it *expects* is computed by the same faulty function. (Its fourth check, learning one batch by heart, does stumble over G:
# a fresh head must first unlearn its "no" in every cell, and the loss does not even halve. The check only says that something is wrong; the advice that it prints does not name the target.) The faults that act in the schedule or afterwards, A, C, E, H and I, lie outside of what it looks at.
#
# So no tool replaces the three habits: look at your training batches with their boxes; look at predictions; keep a healthy twin, a small set-up that is known to work, and change one thing at a time.
#
# ## 4 Repairs
# Four patients are yours. Each exercise shows the faulty code; mend it. The check says which fault is still there.
#
# ### Exercise 14.1 · Patient F: which cell? (6 minutes, ●●○○○)
# The faulty code, from the assignment. `center` holds x and y in grid cells, `offset` how far the center is pushed to reach a neighbor (lesson 10). Return first the rows, then the columns.
#
# ```python
# cell = (center - offset).long()
# return cell[:, 0], cell[:, 1]
# ```


# %%
def cell_of(center, offset):
    """(E, 2) centers x, y and (E, 2) offsets, in grid cells → rows (E,), columns (E,)."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


cell_of = checks.repaired_cell(cell_of)

# %% [markdown]
# <details><summary>Hint 1</summary>Which coordinate counts rows, the one to the right or the one downwards?</details>
# <details><summary>Hint 2</summary><code>cell[:, 0]</code> comes from x. A picture's columns lie side by side along x.</details>
# <details><summary>Solution</summary>
#
# ```python
# def cell_of(center, offset):
#     cell = (center - offset).long()
#     return cell[:, 1], cell[:, 0]
# ```
# </details>
#
# Is it the module's? The entries of P3 for eight photos, from their own boxes:

# %%
level = assign(sample.targets, [(16, 16), (8, 8), (4, 4)], fresh.detect.anchors)[0]
center = sample.targets[level.target, 2:4] * 16  # x, y in cells of P3
offset = center - (torch.stack([level.column, level.row], dim=1) + 0.5)  # one that leads into the entry's cell
row, column = cell_of(center, offset)
assert torch.equal(row, level.row)
assert torch.equal(column, level.column)
print(f"{len(row)} entries, the same cells as yolo_edu's")

# %% [markdown]
# ### Exercise 14.2 · Patient C: the decoder (10 minutes, ●●●○○)
# This decoder of one level has **two** faults. One is patient C's. The other is of the kind that patient J has: a unit.
#
# ```python
# h, w = raw.shape[2:4]
# row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
# cell = torch.stack([column, row], dim=-1)
# probability = raw.sigmoid()
# xy = (2 * probability[..., :2] - 0.5 + cell) * stride
# wh = (2 * probability[..., 2:4]) ** 2 * anchors[:, None, None]
# return torch.cat([xy, wh, probability[..., 4:].sigmoid()], dim=-1).flatten(1, 3)
# ```


# %%
def decode_level(raw, anchors, stride):
    """(B, A, h, w, 5 + K) raw, (A, 2) anchors in cells, stride in pixels → (B, A·h·w, 5 + K) rows in pixels."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


decode_level = checks.repaired_decoding(decode_level)

# %% [markdown]
# <details><summary>Hint 1</summary>Follow one number at a time: how many sigmoids does an objectness pass through?</details>
# <details><summary>Hint 2</summary>Write the unit behind each line: <code>xy</code> in pixels, because cells · pixels a cell. And <code>wh</code>?</details>
# <details><summary>Solution</summary>
#
# ```python
# def decode_level(raw, anchors, stride):
#     h, w = raw.shape[2:4]
#     row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
#     cell = torch.stack([column, row], dim=-1)
#     probability = raw.sigmoid()
#     xy = (2 * probability[..., :2] - 0.5 + cell) * stride
#     wh = (2 * probability[..., 2:4]) ** 2 * anchors[:, None, None] * stride
#     return torch.cat([xy, wh, probability[..., 4:]], dim=-1).flatten(1, 3)
# ```
# </details>

# %%
with torch.no_grad():
    raw = shipped.eval()(sample.images)  # P3, P4, P5
    rows = [decode_level(x, a, s) for x, a, s in zip(raw, shipped.detect.anchors, shipped.strides, strict=True)]
    torch.testing.assert_close(torch.cat(rows, dim=1), shipped.decode(raw))
print("the same rows as the module's decode:", tuple(torch.cat(rows, dim=1).shape))

# %% [markdown]
# ### Exercise 14.3 · Patient B: read COCO's boxes (8 minutes, ●●○○○)
# `boxes` holds left, top, width and height in pixels of the image. The label file wants center x, center y, width and height, each as a share of the image. The faulty code:
#
# ```python
# return boxes / torch.tensor([width, height, width, height])
# ```


# %%
def from_coco(boxes, width, height):
    """(N, 4) left, top, width, height in pixels of an image → (N, 4) cx, cy, w, h, normalized to it."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


from_coco = checks.repaired_reading(from_coco)

# %% [markdown]
# <details><summary>Hint 1</summary>From the left edge to the center it is half a width.</details>
# <details><summary>Hint 2</summary>Work in pixels first: <code>center = boxes[:, :2] + boxes[:, 2:] / 2</code>. Then divide by the image's size.</details>
# <details><summary>Solution</summary>
#
# ```python
# def from_coco(boxes, width, height):
#     size = torch.tensor([width, height])
#     center = boxes[:, :2] + boxes[:, 2:] / 2
#     return torch.cat([center / size, boxes[:, 2:] / size], dim=1)
# ```
# </details>

# %%
photo = photos[setting["shown"][0]]
height, width = photo.image.shape[1:]
coco = torch.cat([photo.boxes[:, :2], photo.boxes[:, 2:] - photo.boxes[:, :2]], dim=1)  # left, top, width, height
mine = scale_boxes(from_coco(coco, width, height), width, height)  # cx, cy, w, h in pixels
back = torch.cat([mine[:, :2] - mine[:, 2:] / 2, mine[:, :2] + mine[:, 2:] / 2], dim=1)
torch.testing.assert_close(back, photo.boxes)
print(f"{len(back)} boxes of a photo: to COCO's form, through your function, and back")

# %% [markdown]
# ### Exercise 14.4 · Patient E: ask without leaving traces (12 minutes, ●●●○○)
# The network may come in any mode. In a training with frozen layers some of its modules are in evaluation mode *on purpose*. Return its answer in evaluation mode, without a graph for gradients, and give every module back the mode that it had. The faulty code: `return network(images)`.


# %%
def ask(network, images):
    """A network in any mode, images (B, 3, H, W) → its answer in evaluation mode; the network is as before."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


ask = checks.repaired_evaluation(ask)

# %% [markdown]
# <details><summary>Hint 1</summary>The mode of a module is its attribute <code>training</code>; <code>network.modules()</code> gives them all.</details>
# <details><summary>Hint 2</summary>Remember pairs: <code>[(module, module.training) for module in network.modules()]</code>.</details>
# <details><summary>Hint 3</summary>Set the attribute, <code>module.training = mode</code>. <code>module.train(mode)</code> would also change all modules inside.</details>
# <details><summary>Solution</summary>
#
# ```python
# def ask(network, images):
#     modes = [(module, module.training) for module in network.modules()]
#     network.eval()
#     with torch.no_grad():
#         answer = network(images)
#     for module, mode in modes:
#         module.training = mode
#     return answer
# ```
# </details>
#
# Does a photo get the same answer alone and in company? In evaluation mode it must.

# %%
crowd = copy.deepcopy(shipped).train()
stem = nn.Sequential(crowd.model[0], crowd.model[1])
for name, way in (("as patient E asks", lambda n, x: n(x).detach()), ("as you ask", ask)):
    alone, together = way(stem, sample.images[:1]), way(stem, sample.images)[:1]
    print(f"{name:<18} largest difference between alone and together {(alone - together).abs().max().item():.5f}")
torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-4)

# %% [markdown]
# ## 5 Symptoms and causes
# The table to keep. Its rows are made from the patients' records, so it cannot say anything else than the clinic does.

# %%
display(Markdown(symptom_table()))

# %% [markdown]
# What each row claims about curves and boxes was compared with the twins over all seeds:

# %%
for case, key in by_case().items():
    claims = PATIENTS[key].claims
    assert all(holds(claim, records[key], twins, name) for name, claim in claims.items()), key
    print(case, ", ".join(f"{name} {claim}" for name, claim in claims.items()))

# %% [markdown]
# "same": the curve of the twin with the same seed, digit for digit. "inside": between half and twice of it. "far": by a factor of two or more.
#
# ## 6 Where is the mAP lost?
# A detector may be free of bugs and still be wrong. *Where* does it lose? Ask an **oracle**: replace one part of the answer by the truth, leave the rest, measure again. What is gained is what that part costs.
#
# | replaced | by |
# |---|---|
# | class | the class of the object that the box overlaps most, from IoU 0.5 on |
# | box | the box of that object, from IoU 0.1 on |
# | objectness | the IoU of the box with it |
# | ranking | the order: right detections first, best box first |
#
# The first three are replaced before suppression, the ranking after it. Here is the shipped detector at 256 pixels on the 48 validation photos.

# %%
val = DetectionData(cards, "val", 128 if SMOKE else 256)
truth, answers = swap_outputs(shipped, val, progress=False)
swaps = measure_gains(truth, answers, cards.names)
gains = {gain.name: gain for gain in swaps}
four = ("class", "box", "objectness", "ranking")
most = max(four, key=lambda name: gains[name].gain)

# %% [markdown]
# **Predict, then run:** mAP50-95 averages over IoU thresholds from 0.50 to 0.95. Which of the four costs it most: 1 class, 2 box, 3 objectness, 4 ranking?

# %%
quiz.predict(
    "the part that costs most mAP50-95: 1 class, 2 box, 3 objectness, 4 ranking",
    answer=four.index(most) + 1,
    why="Half of the thresholds are above 0.7. Few boxes are that exact, so the box costs most there, and almost nothing at the loose threshold of 0.5.",
)

# %%
fixed = measure_gains(truth, repair_each(truth, answers[AS_IT_IS]), cards.names)
figures.show(
    gain_chart({"replaced by the truth": swaps, "all mistakes of one type repaired": fixed}),
    alt="Bars of gained mAP50 and mAP50-95: of the parts the box gains most mAP50-95, of the mistakes localization and confusion stand out",
    dpi=84,
)
for name in four:
    print(f"{name:<10} mAP50 {gains[name].gain50:+.3f}   mAP50-95 {gains[name].gain:+.3f}")
most50 = max(("class", "box", "objectness"), key=lambda name: gains[name].gain50)
print(f"most at mAP50-95: {most}; of the three outputs most at mAP50: {most50}")
assert SMOKE or (most, most50) == ("box", "class")

# %% [markdown]
# The two metrics give different advice. At IoU 0.5 nearly all boxes are good enough and what is left to gain is the *class*. For mAP50-95 it is the *box*. So first ask which of the two your task needs. Two cautions. The gains do not add up: an object may need two corrections, and then neither alone helps.
# And these 48 photos also chose the weights, so the starting point is a little flattering.
#
# ### Which mistakes?
# The lower half of the picture and the next two name *types* of mistakes, after TIDE (Bolya et al. 2020). A detection is "about" the object that it overlaps most.

# %%
account = find_mistakes(truth, answers[AS_IT_IS], cards.names)
print(account.table())
figures.show(
    mistake_chart(account),
    alt="Stacked bars of mistakes for each of the five classes, with their types: localization, confusion, both, duplicate, background, missed",
    dpi=80,
)

# %%
figures.show(
    mistake_photos(val, answers[AS_IT_IS], account, each=2),
    alt="Examples of each type of mistake on validation photos: dashed the true box, solid the detection",
    photos=True,
    dpi=84,
)
totals = account.totals()
print("counted:", ", ".join(f"{kind} {count}" for kind, count in totals.items()))
assert sum(totals.values()) == len(account.mistakes)

# %% [markdown]
# Read the counts with their number: a handful of mistakes on 48 photos. That a type did not occur here does not mean that the detector never makes it. And the counts hold above one threshold, the one with the best F1; below it there are many more boxes, and mAP sees them all.
#
# ## 7 What is each part worth?
# One more way to ask: take a part away, train again, compare. That is an **ablation**. `benchmarks/ablations.py` did it with the network of this lesson from a random start, one part at a time. The text below is written by the cells from its results, whatever they are.

# %%
ablations = read_measured("ablations")
how, base = ablations["setting"], ablations["table"][0]
print(
    f"{how['epochs']} epochs at {how['image_size']} px; base: mAP50 {base['map50']['mean']:.3f} ({base['seeds']} seeds)\n"
)
print(f"{'way':<20} {'mAP50':>6} {'lowest':>7} {'highest':>8} {'mAP50-95':>9} {'M param.':>9} {'step':>6}")
for line in ablations["table"]:
    paper, time = ablations["on_paper"][line["way"]], ablations["timing"].get(line["way"])
    score = line["map50"]
    print(
        f"{line['way']:<20} {score['mean']:>6.3f} {score['lowest']:>7.3f} {score['highest']:>8.3f} {line['map']['mean']:>9.3f} "
        f"{paper['parameters'] / 1e6:>9.2f} {'×' + format(time['step_ratio'], '.2f') if time else '-':>6}"
    )

# %% [markdown]
# "step" is the time of a training step by that of the base, measured side by side. Two rows change *nothing* that matters: "base, other order" sees the same photos in another order, and "Focus stem" is the same function as the base's stem with its weights sorted otherwise (lesson 04).
# They are **controls**. Whatever difference they show is luck.
#
# **Predict:** how far apart will two trainings end that differ by luck alone? Decide, then look at the gray band.

# %%
luck = figures.luck_of(ablations, "map50")
figures.show(
    figures.ablation_dots(ablations),
    alt="A dot plot: for each way three marks, the difference of mAP50 to the base of the same seed, a bar at their mean, and a gray band as wide as the largest difference of the two controls",
    dpi=84,
)
for measure, name in (("map50", "mAP50"), ("map", "mAP50-95")):
    verdicts = {}
    for line in ablations["table"]:
        verdicts.setdefault(line[f"{measure}_difference"]["verdict"], []).append(line["way"])
    for verdict, ways in verdicts.items():
        if verdict != "-":
            print(f"{name}, {verdict}: {'; '.join(ways)}")
print(f"by luck alone up to {luck:.3f} mAP50")

# %% [markdown]
# A part is called *lower* or *higher* only if it differs in the same direction in every seed, each time by more than the controls ever did. "Not told apart" does not mean equal: the effect, if there is one, is smaller than what this measurement can see. What these few runs can say, in the words of the benchmark:

# %%
display(Markdown("\n".join(f"- {line}" for line in ablations["caution"])))
compared = [line for line in ablations["table"] if line["map50_difference"]["verdict"] != "-"]
agreeing = [
    line["way"]
    for line in compared
    if 0 in (line["map50_difference"]["seeds_higher"], line["map50_difference"]["seeds_lower"])
]
print(f"all seeds agree in sign for {len(agreeing)} of {len(compared)} ways: {'; '.join(agreeing) or 'none'}")
inside = sum(abs(line["map50_difference"]["mean"]) < luck for line in compared)
print(f"{inside} of {len(compared)} mean differences are smaller than what luck alone made in one pair of runs")

# %% [markdown]
# That is the honest end of many small ablations: a table whose third decimal looks like knowledge, and beside it a band of luck; the last line above counts what lies inside it. A large data set has less luck than this toy. How much less has to be measured there too. When you compare two variants of your own, train both with three seeds at least, and
# add a control that changes nothing. If the control moves as far as your idea does, you have measured the control.
#
# ## Quiz

# %%
quiz.ask(
    "Your mAP is 0.00 after every epoch, and the three losses fall as in a healthy run. Where do you look first?",
    [
        "At the learning rate",
        "At what is evaluated: is it the network that is trained, with the same decoding and labels?",
        "At the augmentation",
    ],
    answer=1,
    why="Falling losses say that the network learns what it is told. Between it and the mAP stand the average of the weights, decoding, suppression and the labels of the validation photos.",
)

# %%
quiz.ask(
    "A friend's box loss is a third of yours on the same photos. What do you conclude?",
    [
        "His network is better",
        "Nothing yet: a mean over fewer assigned boxes, another gain or another IoU gives another number",
        "Your boxes are wrong",
    ],
    answer=1,
    why="Patient J has the smallest losses of the ward. A loss can be compared between two set-ups only if both ask the same questions.",
)

# %%
quiz.ask(
    "mAP is fine, and at confidence 0.25 the detector draws 300 boxes on every photo. What does the mAP not depend on, and therefore did not show?",
    [
        "On the size of the scores: only on their order",
        "On the classes",
        "On suppression",
    ],
    answer=0,
    why="Squeeze all scores into a narrow range and keep their order: the curve of precision and recall stays. Thresholds have lost their meaning.",
)

# %%
quiz.ask(
    "The round trip (truth → assign → encode → decode) is exact. Which of these faults can still be there?",
    [
        "Row and column swapped in the assignment",
        "None: the labels are right then",
        "Labels whose left top corner was taken for the center",
    ],
    answer=2,
    why="The round trip compares the labels with themselves. If they were read wrongly, they come back wrongly, exactly.",
)

# %%
quiz.ask(
    "An idea gains 0.02 mAP50 in one run against one run of the base. Your control, the base with another order of photos, differs from the base by 0.03. What do you know?",
    [
        "That the idea gains 0.02",
        "That the idea is useless",
        "Nothing yet: luck reaches further than the gain",
    ],
    answer=2,
    why="Train both with several seeds and compare seed by seed. If the effect stays smaller than luck, it needs more seeds or is not worth it.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | every patient differs from the twin in one part | assertion in section 1; `tests/test_clinic_parts.py::test_every_fault_differs_in_one_part` |
# | the faults do what they say | `tests/test_clinic_parts.py` |
# | each measurement speaks for its patient in every seed and never for the twin | assertions in section 3; `tests/test_clinic_records.py::test_each_sign_speaks_for_its_patient_and_not_for_the_twin` |
# | what is said about curves and boxes shows in every seed | assertion in section 5; `tests/test_clinic_records.py::test_every_claim_holds_over_the_seeds` |
# | a live training has the signature of the records | assertion in section 3 |
# | the doctor finds F and J, not B, D, G, I | assertions in section 3 |
# | the repaired parts equal the module's | exercises 14.1 to 14.4; assertions in section 4 |
# | the box costs most mAP50-95, the class most mAP50 | assertion in section 6; `tests/test_oracle_swap.py` |
# | verdicts of the ablations | `tests/test_ablations.py`; written by the cells |
# | figures and widget say what the records say | `tests/test_lesson_clinic.py` |
#
# **References** Hoiem, Chodpathumwan, Dai 2012, ECCV (diagnosing error in object detectors) · Bolya, Foley, Hays, Hoffman 2020, arXiv:2008.08115 (TIDE) · Ioffe, Szegedy 2015, arXiv:1502.03167 (BatchNorm) ·
# Goyal et al. 2017, arXiv:1706.02677 (warm-up) · Polyak, Juditsky 1992, SIAM J. Control and Optimization 30(4) (averaging) · Lin et al. 2014, arXiv:1405.0312 (COCO)
#
# ← [13 The training loop](13_training_loop.ipynb) · **14 The bug clinic** · [15 Your own data](15_your_own_data.ipynb) →
