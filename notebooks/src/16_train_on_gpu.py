# %% [markdown]
# # 16 · Training in full: a run from the first step to the last table
#
# **75 minutes · difficulty ●●●○○ · importance ●●●●●**
#
# After this lesson you can
# - say before a training how long it will take, and check it,
# - run a training on the machine that you have, watch every stage of it, and take it up again when it was interrupted,
# - read a results page and say, class by class, what the detector gets wrong,
# - compare a network before and after: its maps, its parameter table, its channels,
# - say which channels could be cut out, and what a measurement of that is worth.
#
# You need [lesson 08](08_yolov5.ipynb) (the parameter table), [lesson 09](09_boxes_nms_map.ipynb) (mAP) and [lesson 13](13_training_loop.ipynb) (the loop, the recipe, the run folder).

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
import os
import statistics
import tempfile
from pathlib import Path

import torch

from yolo_edu.album import spread
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.charts import precision_recall_chart
from yolo_edu.checkpoint import load_checkpoint, load_state, read_metadata
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.course.activations import row_outputs
from yolo_edu.course.profiles import PROFILES, choose_profile, measure_pace, predict_seconds, run_profile
from yolo_edu.data import DetectionData, letterbox, read_spec
from yolo_edu.evaluate import detect, detect_all, evaluate, measure
from yolo_edu.mistakes import find_mistakes, judge
from yolo_edu.mistakes_chart import mistake_chart, mistake_photos
from yolo_edu.page import RESULT
from yolo_edu.recipe import size_at
from yolo_edu.run import Run, metrics_line
from yolo_edu.summary import parameter_table

# %%
SMOKE = os.environ.get("YOLO_EDU_SMOKE") == "1"  # the course's own tests take a short cut through this lesson
figures.show(figures.network_map(), alt=figures.MAP_ALT, dpi=74)

# %% [markdown]
# All of it is lit. You have built every block of this map, the boxes and targets behind it, the loss, the batches and the loop. This last lesson puts them to work once, in full, and then looks back: what did training *do*
# to these numbers? The article ends with a table of them, taken from a network that has learned nothing yet. We end with the same table of one that has. (The map is the article's network, of June 2020. We train its successor of release 7.0, whose table you know from lesson 08: 25 rows, the last one with the three convolutions.)
#
# ## 1 Which training does your machine allow?
# A **profile** says what to train on a kind of machine. All of them use the cards and the recipe `short` of lesson 13; they differ in network, photo size and epochs.

# %%
print("profile  network     pixels  epochs  batch  target")
for each in PROFILES.values():
    wish = f"{each.target_minutes:g} min" if each.target_minutes else "-"
    recipe = each.recipe
    print(f"{each.name:<8} {each.model:<10} {recipe.image_size:>7} {recipe.epochs:>7} {recipe.batch:>6}  {wish:>6}")
profile = choose_profile(device)
recipe = profile.recipe
print(f"\nhere: {profile.name}, for {profile.audience}")

# %% [markdown]
# `choose_profile` looks at the device and at its memory. To decide yourself, set the environment variable `YOLO_EDU_PROFILE` to a name before you start Jupyter. In Colab choose *Runtime → Change runtime type → GPU* first.
#
# **What is measured and what is not.** No GPU was at hand when this page was made: every output that you read here is the profile `cpu`, one thread. The minutes of `t4` and `large` are *targets*. Nobody has measured them yet. If you run one, section 2 forecasts its
# time on your machine before it starts, and section 3 compares.
#
# ## 2 Predict the time before you start
# A training that will take nine hours should say so in the first minute. All that is needed is the time of one step, measured with the real network and real batches, and the time of one evaluation. The rest is counting.

# %%
cards = read_spec(sample_data(profile.data))
sizes = [size_at(recipe, epoch) for epoch in range(recipe.epochs)]
pace = measure_pace(profile, device)
for size in sorted(set(sizes)):
    print(
        f"{size} px: {sizes.count(size):>3} epochs, {pace.step[size]:.3f} s a step, {pace.evaluation[size]:.2f} s an evaluation"
    )
print(f"{pace.photos} training photos, batches of {recipe.batch}, an evaluation every {profile.evaluate_every} epochs")

# %% [markdown]
# (The recipe starts with small photos and ends with large ones, so there are two sizes.)
#
# **Predict, then run:** how many steps will the whole run have? The recipe `short` makes a step every batch.

# %%
quiz.predict(
    "steps of the whole run",
    answer=recipe.epochs * math.ceil(pace.photos / recipe.batch),
    why="The photos divided by the batch size, rounded up, times the epochs: the last batch of an epoch is smaller, but it is a step.",
)

# %% [markdown]
# ### Exercise 16.1 · How long will it take? (10 minutes, ●●○○○)
# `sizes` holds the size of every epoch, `step` the seconds of a step at each size. An evaluation follows every `every`-th epoch, counted from 1, and always the last. Return the seconds of the whole run.


# %%
def training_seconds(photos, batch, sizes, step, every, evaluation):
    """photos, batch, every: numbers; sizes: one an epoch; step: {size: seconds}; evaluation: seconds of one → seconds."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


training_seconds = checks.training_seconds(training_seconds)

# %% [markdown]
# <details><summary>Hint 1</summary>Steps of an epoch: <code>math.ceil(photos / batch)</code>. The last batch holds fewer photos and is a step all the same.</details>
# <details><summary>Hint 2</summary>Go through <code>enumerate(sizes, start=1)</code> and add up: the steps of this epoch at its own size, and an evaluation if one is due.</details>
# <details><summary>Solution</summary>
#
# ```python
# def training_seconds(photos, batch, sizes, step, every, evaluation):
#     steps = math.ceil(photos / batch)
#     total = 0.0
#     for epoch, size in enumerate(sizes, start=1):
#         total += steps * step[size]
#         if epoch % every == 0 or epoch == len(sizes):
#             total += evaluation
#     return total
# ```
# </details>

# %%
largest = pace.evaluation[recipe.image_size]
mine = training_seconds(pace.photos, recipe.batch, sizes, pace.step, profile.evaluate_every, largest)
predicted = predict_seconds(profile, pace)  # knows the evaluation's time at each size
print(
    f"forecast: {mine:.0f} s; with small evaluations counted as small {predicted:.0f} s, or {predicted / 60:.1f} minutes"
)
assert mine >= predicted

# %% [markdown]
# ## 3 The run, and everything about it watched
# `run_profile` calls `train` of lesson 13 and, if the folder already holds an interrupted run, goes on with it. After every epoch our callback looks on. It redraws the curves, measures how far backbone, neck and head are from where they started, and now and then asks the averaged weights
# about four validation photos.
#
# The second cell below is the longest of the lesson. **It may be interrupted:** press the stop button, run *that cell* again, and it goes on from the last saved state. (In a notebook of its own folder the run of a GPU profile survives even a restart of the kernel.)

# %%
scratch = tempfile.TemporaryDirectory()
kept = profile.name in ("t4", "large")  # these run for minutes: their folder stays
folder = Path("runs", f"capstone_{profile.name}") if kept else Path(scratch.name, "run")
start = profile.build().eval()  # the network before the first step: the same random numbers as the run's
val = DetectionData(cards, "val", image_size=320)
watched = [val[i] for i in (5, 28, 31, 36)]
frames, distance = {}, {}


def look(model, epoch):
    """How far the averaged weights are from their start, and now and then what they find."""
    distance[epoch] = figures.part_changes(start, model)
    if epoch in (1, 2) or epoch % profile.evaluate_every == 0 or epoch == recipe.epochs:
        images, side = [sample.image for sample in watched], size_at(recipe, epoch - 1)
        frames[epoch] = detect(model, images, size=side, confidence=0.05)


def watch(training):
    live(training.history, {})
    look(training.ema.model, training.epoch)


# %%
live = figures.LiveCurves(recipe.epochs)
report = run_profile(profile, folder, device=device, callbacks=[watch])
if recipe.epochs not in distance:  # the run was complete when this cell began
    look(load_checkpoint(folder / "last.pt"), recipe.epochs)

# %%
run = Run(folder)
history = load_state(run.state)["history"]
for row in history:
    if "map50" in row:
        print(metrics_line(row, recipe.epochs))
seconds = sum(row["seconds"] for row in history)
print(
    f"\n{seconds:.0f} s in epochs and evaluations; the forecast was {predicted:.0f} s: {seconds / predicted:.2f} times as long"
)
assert history[-1]["box"] < history[0]["box"]

# %% [markdown]
# If the last line is far from 1, something else wanted the machine: a forecast holds for the conditions under which it was made. On a GPU the first steps at each size are usually slower than the rest, so a short run may take longer than forecast (not measured here).
#
# What to read in the curves: the box loss falls first, the class loss later. The objectness loss jumps where the photos grow, and falls where the last epochs go without mosaics: both are the recipe's doing (lesson 13).
#
# **Predict, then run:** which part of the network is furthest from its random start at the end, measured as ‖w − w₀‖ / ‖w₀‖ over all convolution weights: the backbone, the neck, or the head with its three last convolutions? Write 1, 2 or 3.

# %%
order = sorted(distance[recipe.epochs], key=lambda part: distance[recipe.epochs][part])
quiz.predict(
    "1 backbone, 2 neck, 3 head: furthest from its start",
    answer=["backbone", "neck", "head"].index(order[-1]) + 1,
    why="Likely reasons: the backward pass starts there, and no BatchNorm behind it cancels the size of its weights.",
)

# %%
figures.show(
    figures.parts_over_epochs(distance),
    alt="Distance of backbone, neck and head from their start over the epochs: all rise, the head furthest, and flatten at the end",
    dpi=80,
)
print({part: round(value, 2) for part, value in distance[recipe.epochs].items()})

# %% [markdown]
# The curves flatten at the end because the learning rate goes to zero, not because there was nothing left to learn. Remember that when you see a loss stand still.
#
# ## 4 The results page
# The run has left a folder, and in it `report.html`: one page, complete in itself, that you can mail or keep. It holds the result with its table, the pictures below, the curves, the data and all settings.

# %%
page = folder / "report.html"
pictures = {picture.file: picture for picture in RESULT}
print(
    f"{page.name}: {page.stat().st_size / 1e6:.1f} MB, with", ", ".join(picture.title for picture in pictures.values())
)
figures.saved_picture(folder / "detections.jpg", pictures["detections.jpg"].alt, width=580)

# %%
figures.saved_picture(folder / "f1_curve.png", pictures["f1_curve.png"].alt, width=800, photo=False)

# %% [markdown]
# The dotted line is the threshold with the best F1. A detector is used *at a threshold*, and it is yours to choose: to the left more objects are found, to the right more of the finds are right.
#
# ## 5 Class by class
# One number for all classes hides most of what there is to know. Here is the table, for our run and for the weights that come with the course. Those are a YOLOv5 n of 256 pixels after 120 epochs of the same recipe: they show what more patience buys.

# %%
own = load_checkpoint(run.best)
shipped = load_checkpoint(shipped_weights("cards_n"))
results = {}
for name, network, path in (("our run", own, run.best), ("shipped", shipped, shipped_weights("cards_n"))):
    side = read_metadata(path)["image_size"]
    truth, found = detect_all(network, DetectionData(cards, "val", image_size=side), size=side, progress=False)
    results[name] = truth, found, measure(truth, found, cards.names)
    print(f"{name}, {side} px\n{results[name][2].table()}\n")

# %%
figures.show(
    precision_recall_chart(results["our run"][2].precision_at_recall, cards.names),
    alt="Precision over recall of each class for our run, with the average precision of each beside its name",
    dpi=90,
)

# %% [markdown]
# Two kinds of weak classes look different here. A curve that falls at a low recall has *sure* mistakes: something else is taken for this class. A curve that stays high and ends early is careful: it misses objects. Which is it? Every wrong detection gets one name (`yolo_edu.mistakes`).

# %%
accounts = {name: find_mistakes(truth, found, cards.names) for name, (truth, found, _) in results.items()}
figures.show(
    mistake_chart(accounts["our run"]),
    alt="Mistakes of our run by class and kind: "
    + ", ".join(f"{k} {v}" for k, v in accounts["our run"].totals().items()),
    dpi=80,
)
for name, account in accounts.items():
    totals = ", ".join(f"{kind} {count}" for kind, count in account.totals().items())
    print(f"{name:<8} {sum(account.right)} of {sum(account.objects)} found; {totals}")

# %%
truth, found, measured = results["our run"]
confusion = measured.confusion[:-1, :-1].clone()  # without the background; at confidence 0.25
confusion.fill_diagonal_(0)
for _ in range(3):
    said, there = divmod(int(confusion.argmax()), len(cards.names))
    print(f"{int(confusion[said, there])} times {cards.names[there]} was taken for {cards.names[said]}")
    confusion[said, there] = 0

# %% [markdown]
# (There are more mistakes of the kind "confusion" than this table shows: one box may be reported under several names, because suppression works class by class, and the confusion matrix counts one detection an object.) Jack, queen and king are pictures of people with a letter in the corner. A short run finds *where* the cards are and is still unsure about *which*.
# The surest mistakes are worth the longest look:

# %%
side = read_metadata(run.best)["image_size"]
figures.show(
    mistake_photos(DetectionData(cards, "val", image_size=side), found, accounts["our run"], each=2),
    alt="Up to two photos for each kind of mistake of our run, the truth dashed, the detection solid",
    photos=True,
    dpi=78,
)

# %% [markdown]
# Does the size of a card matter? We sort the cards by the root of their area, as a share of the photo's long side, and cut them into three equal groups.

# %%
cut = accounts["our run"].confidence
sides_found = []  # (size, found?)
for sample, detections in zip(truth, found, strict=True):
    kept_now = detections._replace(**{k: v[detections.scores > cut] for k, v in detections._asdict().items()})
    taken = judge(kept_now, sample.boxes, sample.labels).taken
    area = (sample.boxes[:, 2] - sample.boxes[:, 0]) * (sample.boxes[:, 3] - sample.boxes[:, 1])
    sides_found += [(a.sqrt().item() / side, j in taken) for j, a in enumerate(area)]
sides_found.sort()
third = len(sides_found) // 3
for name, group in (
    ("small", sides_found[:third]),
    ("middle", sides_found[third:-third]),
    ("large", sides_found[-third:]),
):
    print(
        f"{name:<6} {group[0][0]:.2f} to {group[-1][0]:.2f}: {sum(hit for _, hit in group)} of {len(group)} found and named right"
    )

# %% [markdown]
# Thirty cards a group: a difference of a few cards is within what chance does. Read it as a question to ask of a larger data set.
#
# ### Look around
# Move the epoch from left to right and watch the photos. Then choose a class and move the confidence: the dot travels along the curve, and the table loses its entries from the outside in. Which mistakes stay to the end?

# %%
explorer = widgets.results_dashboard(watched, frames, history, truth, found, cards.names)

# %% [markdown]
# ## 6 What the maps know, before and after
# Lesson 04 looked at the maps of a trained backbone and found that much of what looks like knowledge is in a random network too. So we compare three networks on the same photos: ours before the first step, ours now, and the shipped one.
# For a fair start the untrained one gets BatchNorm statistics from real photos.

# %%
probe_size = 96 if SMOKE else 192


def squares(split, count=None):
    """Photos as squares, and in them the boxes of the cards and the frame of the photo, in pixels of the square."""
    data = DetectionData(cards, split, image_size=probe_size)
    samples = [data[i] for i in range(count or len(data))]
    fitted = [letterbox(sample.image, probe_size) for sample in samples]
    frame = [torch.tensor([[0.0, 0.0, s.image.shape[2], s.image.shape[1]]]) for s in samples]
    boxes = [fit.apply(s.boxes) for s, (_, fit) in zip(samples, fitted, strict=True)]
    frames_ = [fit.apply(f) for f, (_, fit) in zip(frame, fitted, strict=True)]
    return torch.stack([square for square, _ in fitted]) / 255, boxes, frames_


learn, judged = squares("train", 16 if SMOKE else 96), squares("val")
networks = {"untrained": figures.settled(start, learn[0][:64]), "our run": own, "shipped": shipped}
maps = {name: (row_outputs(net, learn[0]), row_outputs(net, judged[0])) for name, net in networks.items()}
print(tuple(learn[0].shape), "to learn from,", tuple(judged[0].shape), "to judge")

# %% [markdown]
# First, look. Row 17 is where the neck hands P3 to the head. *Rule:* on the training photos we take the four channels of our trained network that are highest on cards most often, and show them for a validation photo. Above, the same channels before training.

# %%
place = maps["our run"][0][17].shape[-1]
on_card, in_photo = (figures.cells_inside(each, place, probe_size) for each in learn[1:])
cells = maps["our run"][0][17].permute(0, 2, 3, 1)[in_photo]  # (cells, C)
shares = [figures.pair_share(cells[:, c], on_card[in_photo]) for c in range(cells.shape[1])]
best = torch.tensor(shares).topk(4).indices.tolist()
tiles, titles = [], []
for name in ("untrained", "our run"):
    tiles += [judged[0][31], *(maps[name][1][17][31, c] for c in best)]
    titles += [name, *(f"channel {c}" for c in best)]
figures.show(
    figures.map_grid(tiles, titles, columns=5),
    alt="A photo of four cards and four channels of row 17, before training above and after training below; each map from its lowest value, dark, to its highest, yellow",
    photos=True,
    dpi=76,
)

# %% [markdown]
# Below, cards light up: of course, we chose the channels for that. Above, the same channels are brighter on the cards too, in patches: cards are the white things in the photo. Are these earlier versions of the same idea? Over all validation photos, how much does a channel of the trained network resemble its former self?

# %%
print("row   median correlation of a channel with its former self: our run, shipped")
alike = {}
for row in (0, 2, 4, 6, 9, 17, 20, 23):
    alike[row] = []
    for name in ("our run", "shipped"):
        if maps[name][1][row].shape == maps["untrained"][1][row].shape:  # the profiles' networks differ in width
            both = figures.map_correlation(maps["untrained"][1][row], maps[name][1][row])
            alike[row].append(both.median().item())
    print(f"{row:>3}   " + "  ".join(f"{value:5.2f}" for value in alike[row]))
assert alike[0][0] > alike[23][0]

# %% [markdown]
# The first row still remembers its random start. From row 9 on hardly anything of it is left: a bright patch above and a card below is all that they have in common.
#
# Now measure. A **linear probe** (Alain and Bengio 2016) asks how much a layer knows about a question: it fits one linear function of the channels of a cell to "is the middle of this cell on a card?" on training photos, and is asked about validation photos. The network is not changed. The score is the share of pairs, a cell on a card
# and one beside, that it puts in the right order: one half is guessing.
#
# **Predict, then run:** in how many of 100 pairs is the probe right on row 6 of the network that has learned *nothing*?


# %%
def probe(features, photos=(learn, judged)):
    """Share of right pairs. features: maps of the photos to learn from, maps of those to judge."""
    both = []
    for own_maps, (_, boxes, frame) in zip(features, photos, strict=True):
        inside, card = (figures.cells_inside(x, own_maps.shape[-1], probe_size) for x in (frame, boxes))
        both.append((own_maps.permute(0, 2, 3, 1)[inside], card[inside]))
    (known, answers), (fresh, truth_) = both
    return figures.pair_share(figures.linear_probe(known, answers, fresh), truth_)


knows = {}
for row in (4, 6, 9, 17, 20, 23):
    grid = maps["untrained"][0][row].shape[-1]
    colors = tuple(torch.nn.functional.adaptive_avg_pool2d(each[0], grid) for each in (learn, judged))
    knows[row] = {"mean color": probe(colors)}
    knows[row] |= {name: probe((maps[name][0][row], maps[name][1][row])) for name in networks}

# %%
quiz.predict(
    "right pairs of 100: the linear probe on row 6 of the untrained network",
    answer=round(100 * knows[6]["untrained"]),
    why="Random convolutions followed by BatchNorm and SiLU are a rich set of features; a linear function can do a lot with them. Any claim about what a network has learned needs this control.",
)

# %%
print("row  " + "".join(f"{name:>12}" for name in knows[4]))
for row, shares in knows.items():
    print(f"{row:>3}  " + "".join(f"{100 * share:>12.1f}" for share in shares.values()))
fooled = probe((maps["untrained"][0][9],) * 2, (learn, learn))
print(f"row 9, untrained, asked about the photos that it was fitted to: {100 * fooled:.1f}")
if not SMOKE:
    assert all(knows[row]["our run"] > knows[row]["untrained"] + 0.02 for row in (17, 20, 23))

# %% [markdown]
# The plain color of a cell is right in about four pairs of five: cards are white. Random maps do better than that in rows 4 and 6. Training does not take the probe from guessing to knowing; on row 20 it takes away most of the errors that are left. In row 9 the untrained maps are *worse* than the plain color. The last line says why: on the photos that it was fitted to, the probe is good. With many random channels and few cells it has learned those photos by heart.
#
# ## 7 The parameter table, before and after
# The article ends with a table: every parameter tensor, its shape, its mean (mu) and its deviation (sigma). It was printed from a fresh network, so it shows the initialization (lesson 08). With a trained network beside it, it shows what training did. The first question for each row: how far did it move?
#
# ### Exercise 16.2 · The change of a row (5 minutes, ●○○○○)
# Return ‖after − before‖ / ‖before‖ as a plain number, where ‖·‖ is the root of the sum of squares of all entries. A row that began at zero, as every β did, has no relative change: return `math.inf` for it.


# %%
def relative_change(before, after):
    """Two tensors of one shape → a number."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


relative_change = checks.relative_change(relative_change)

# %% [markdown]
# <details><summary>Hint 1</summary>Subtract first, then take the norm. Two vectors of the same length can be far apart.</details>
# <details><summary>Hint 2</summary><code>x.norm()</code> is the root of the sum of squares over all entries, whatever the shape. <code>.item()</code> makes a number of it.</details>
# <details><summary>Solution</summary>
#
# ```python
# def relative_change(before, after):
#     length = before.norm().item()
#     return (after - before).norm().item() / length if length else math.inf
# ```
# </details>

# %%
rows = [(name, a.detach(), b.detach()) for (name, a), b in zip(start.named_parameters(), own.parameters(), strict=True)]
moved = sorted(((relative_change(a, b), name) for name, a, b in rows if a.any()), reverse=True)
print("furthest")
for change, name in moved[:6]:
    print(f"  {change:6.2f}  {name}")
print("least")
for change, name in moved[-6:]:
    print(f"  {change:6.2f}  {name}")

# %%
figures.show(
    figures.moved_rows(start, own),
    alt="Our run, every row of the table: convolutions moved most, above all late in the network, BatchNorm's scales hardly; below, the size of the shifts, which began at 0",
    dpi=78,
)

# %% [markdown]
# A convolution in front of a BatchNorm can turn freely, since its length cancels out. γ hardly moved in so short a run, and it started at 1, so it has little relative change to show. Here is the whole table; scroll in it.

# %%
figures.moved_table(start, own, caption="Every parameter tensor of our run before the first step and after the last")

# %%
widths = [b.std().item() / a.std().item() for _, a, b in rows if a.ndim == 4]
print(
    f"sigma after / sigma before, {len(widths)} convolutions: {min(widths):.2f} to {max(widths):.2f}, median {statistics.median(widths):.2f}"
)
means = [abs(b.mean().item()) / b.std().item() for _, a, b in rows if a.ndim == 4]
print(f"|mu| / sigma of the trained convolutions: at most {max(means):.2f}")

# %% [markdown]
# The two columns of the article hardly tell a trained network from a fresh one. Sigma grows a little, mu stays near zero. **Mean and deviation of a weight tensor are almost blind to what it has learned**; the change against the start is not. For that you need the start. Ours is the network of the same seed. And the shipped weights? Their file does not say.
# But a trained network remembers: we compare the direction of its weights with that of fresh networks of several seeds.


# %%
def direction(network):
    """All convolution weights in one long vector."""
    return torch.cat([p.detach().flatten() for p in network.parameters() if p.ndim == 4])


for seed in (0, 1, 2):
    fresh = PROFILES["cpu"].build(seed)
    print(
        f"seed {seed}: cosine with the shipped weights {torch.cosine_similarity(direction(fresh), direction(shipped), dim=0):.2f}"
    )
start_shipped = PROFILES["cpu"].build(0).eval()
remembered = torch.cosine_similarity(direction(start_shipped), direction(shipped), dim=0).item()
assert remembered > 0.3

# %% [markdown]
# It grew from seed 0, and after 120 epochs its weights still lean towards that random start. (Chance gives 0 for so many numbers: see the other seeds.) So we can draw the same figure for it.

# %%
figures.show(
    figures.moved_rows(start_shipped, shipped),
    alt="The shipped weights: " + figures.FIGURES["L16_moved_rows"][1],
    dpi=78,
)
print("our run", {part: round(x, 2) for part, x in figures.part_changes(start, own).items()})
print("shipped", {part: round(x, 2) for part, x in figures.part_changes(start_shipped, shipped).items()})

# %% [markdown]
# ### What γ and β tell
# γ multiplies a channel, β shifts it (lesson 01). Every γ began at 1 and every β at 0, so what you see is all learned.

# %%
figures.show(figures.gammas_and_betas(shipped), alt=figures.FIGURES["L16_gammas"][1], dpi=78)
for name, network in (("our run", own), ("shipped", shipped)):
    gammas = torch.cat([norm.weight.detach() for norm in figures.norms_of(network).values()])
    betas = torch.cat([norm.bias.detach() for norm in figures.norms_of(network).values()])
    print(
        f"{name}: {len(gammas)} channels, γ from {gammas.min():.2f} to {gammas.max():.2f}, β from {betas.min():.2f} to {betas.max():.2f}"
    )

# %% [markdown]
# Two things. The spread grows with patience. And **no γ is anywhere near zero**: not one channel has been switched off. That is no accident. γ is not decayed (lesson 13), so nothing pulls it to zero but the loss itself.
#
# ### What the last biases tell
# The biases of the last convolutions began at a prior: objects are rare, each class is as likely as any other (lesson 07). What did training make of it?

# %%
labels = DetectionData(cards, "train", image_size=96).labels_and_boxes()[0]
counts = torch.bincount(labels, minlength=len(cards.names))
print("training cards of each class:", dict(zip(cards.names, counts.tolist(), strict=True)))
print("\nlevel  objectness        class probability, mean of the three anchors")
for name, network in (("start", start_shipped), ("our run", own), ("shipped", shipped)):
    for level, conv in zip(("P3", "P4", "P5"), network.detect.m, strict=True):
        bias = conv.bias.detach().view(3, -1)  # anchor by anchor: 4 for the box, 1 objectness, K classes
        classes = "  ".join(f"{p:.3f}" for p in bias[:, 5:].sigmoid().mean(0).tolist())
        print(f"{level}     {bias[:, 4].sigmoid().mean():.4f} {name:<9} {classes}")
        if name == "shipped":
            assert bias[:, 5:].sigmoid().mean(0).argmin() == cards.names.index("ten")

# %% [markdown]
# Objectness stays where the prior put it, within a factor of two: it was a good guess, and most cells are empty in any photo. The class probabilities begin near 0.13, and for most classes they rose a little. Do they follow the frequency of the classes? No: of the shipped biases those of "ten" are the lowest on every level, and tens are more frequent than jacks and queens. The counts are
# nearly equal, so frequency has little to say here. And a bias is only part of a logit: the channels before it add the rest.
#
# ## 8 Dead channels
# A channel that says the same everywhere is **dead**: whatever it says, the next convolution sees a constant. Two ways to look for one: a γ near zero, or a map that never varies on any photo. The second is the definition, the first a shortcut.
#
# ### Exercise 16.3 · Find the dead (10 minutes, ●●●○○)
# `batches` is a list of maps (B, C, h, w) of one layer. Return C truth values: True where highest minus lowest value of the channel, over *all* batches, photos and places, is at most `threshold`.


# %%
def dead_channels(batches, threshold):
    """A list of (B, C, h, w), a number → (C,) bool."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


dead_channels = checks.dead_channels(dead_channels)

# %% [markdown]
# <details><summary>Hint 1</summary><code>maps.amax(dim=(0, 2, 3))</code> is the highest value of every channel in one batch.</details>
# <details><summary>Hint 2</summary>Keep the lowest and the highest over all batches, and subtract at the end. A channel that is constant in each batch may still differ between them.</details>
# <details><summary>Solution</summary>
#
# ```python
# def dead_channels(batches, threshold):
#     low = torch.stack([maps.amin(dim=(0, 2, 3)) for maps in batches]).amin(dim=0)
#     high = torch.stack([maps.amax(dim=(0, 2, 3)) for maps in batches]).amax(dim=0)
#     return high - low <= threshold
# ```
# </details>

# %% [markdown]
# Does the finder find one? We kill a channel of the shipped network's row 0 ourselves, by setting its γ to zero. Its β stays, so the map is not zero, but constant.

# %%
norms = figures.norms_of(shipped)
masks = {name: torch.ones(norm.num_features, dtype=torch.bool) for name, norm in norms.items()}
patient = figures.slimmed(shipped, masks)  # a copy
patient.model[0].bn.weight.data[3] = 0
patient.model[0].bn.bias.data[3] = -1
layer = row_outputs(patient, judged[0])[0].split(16)
print(
    "dead in row 0:",
    dead_channels(layer, 0.01).nonzero().flatten().tolist(),
    f"its value everywhere: {layer[0][0, 3, 0, 0]:.2f}",
)
assert dead_channels(layer, 0.01).nonzero().flatten().tolist() == [3]
ranges = {
    name: figures.channel_ranges(network, judged[0]) for name, network in (("our run", own), ("shipped", shipped))
}
dead = {name: sum(int((r <= 0.1).sum()) for r in layers.values()) for name, layers in ranges.items()}

# %% [markdown]
# **Predict, then run:** the shipped network has 4,752 channels behind a BatchNorm. How many of them vary by less than 0.1 over all validation photos?

# %%
quiz.predict(
    "dead channels of the shipped network",
    answer=dead["shipped"],
    why="ReLU networks often have some. Here SiLU lets negative values through, γ is not decayed, and the run is short.",
)

# %%
for name, layers in ranges.items():
    every = torch.cat(list(layers.values()))
    scale = torch.cat([figures.norms_of(networks[name])[layer].weight.detach().abs() for layer in layers])
    together = torch.corrcoef(torch.stack([scale, every]))[0, 1]
    print(
        f"{name}: {dead[name]} of {len(every)} dead; the least lively varies by {every.min():.2f}, the median by {every.median():.2f}"
    )
    print(f"         correlation of |γ| with how much a channel varies: {together:.2f}")
if not SMOKE:
    assert dead == {"our run": 0, "shipped": 0}

# %% [markdown]
# None, in either. So the honest result of the search is: nothing to throw away for free. Note the last number too. |γ| and liveliness are only loosely related: γ scales a *standardized* channel, but what a channel is worth depends on who reads it.
#
# ## 9 Pruning candidates
# **Network slimming** (Liu et al. 2017) ranks the channels of all layers together by |γ| and cuts out the smallest. The paper first trains with an extra penalty that pulls γ to zero, and trains on after the cut. We have done neither, so expect less.
#
# ### Exercise 16.4 · Slimming masks (10 minutes, ●●●○○)
# `gammas` is a list with the γ of every layer, `share` a number like 0.1. Return one mask a layer, True for channels that stay: `int(share * all channels)` with the smallest |γ| of *all layers together* go.


# %%
def slimming_masks(gammas, share):
    """A list of (C_i,) tensors, a number → a list of (C_i,) bool."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


slimming_masks = checks.slimming_masks(slimming_masks)

# %% [markdown]
# <details><summary>Hint 1</summary>Put all |γ| into one long tensor with <code>torch.cat</code>; <code>argsort</code> lists the smallest first.</details>
# <details><summary>Hint 2</summary>Start with a long mask full of True, set the places of the smallest to False, and cut it with <code>.split([7, 12, …])</code> at the sizes of the layers.</details>
# <details><summary>Solution</summary>
#
# ```python
# def slimming_masks(gammas, share):
#     sizes = [len(gamma) for gamma in gammas]
#     order = torch.cat([gamma.abs() for gamma in gammas]).argsort()
#     keep = torch.ones(len(order), dtype=torch.bool)
#     keep[order[: int(share * len(order))]] = False
#     return list(keep.split(sizes))
# ```
# </details>

# %%
gammas = [norm.weight.detach() for norm in figures.norms_of(shipped).values()]
tested = DetectionData(cards, "val", image_size=256)
some = DetectionData(cards, "train", image_size=256)
settle = torch.stack([letterbox(some[i].image, 256)[0] for i in spread(len(some), 8 if SMOKE else 64)]) / 255
plans = (0.05, 0.2) if SMOKE else (0.05, 0.1, 0.2)
draws = 1 if SMOKE else 3


def quality(masks, anew):
    """mAP50 of the shipped network with these channels silenced; anew: BatchNorm's statistics measured again."""
    network = figures.slimmed(shipped, masks)
    return evaluate(figures.settled(network, settle) if anew else network, tested, size=256, progress=False).map50


panels = {}
for title, anew in (("as it is", False), ("BatchNorm's statistics taken anew", True)):
    everything = quality(slimming_masks(gammas, 0.0), anew)
    smallest = {share: quality(slimming_masks(gammas, share), anew) for share in plans}
    lots = {s: [quality(figures.random_masks(gammas, s, seed), anew) for seed in range(draws)] for s in plans}
    panels[title] = everything, smallest, lots

# %% [markdown]
# To silence a channel we set its γ and β to zero, so that it says SiLU(0) = 0 everywhere, as if it had been cut out. The control: as many channels drawn by lot. **Predict, then run:** the whole network has an mAP50 of 0.94. What is left when a tenth of the channels is silenced, those with the smallest |γ|?

# %%
quiz.predict(
    "mAP50 with the 10 % smallest |γ| silenced",
    answer=round(panels["as it is"][1].get(0.1, 0.0), 2),
    why="Much is lost: this network was never asked to do without them, and every later BatchNorm still expects their part.",
)

# %%
figures.show(
    figures.slimming_chart(panels),
    alt="mAP50 over the share of silenced channels, by smallest scale and by lot; left as it is, right with BatchNorm's statistics measured again",
    dpi=84,
)
for title, (everything, smallest, lots) in panels.items():
    print(f"{title}: whole {everything:.3f}")
    for share in plans:
        print(
            f"  {100 * share:3.0f} %  smallest |γ| {smallest[share]:.3f}   by lot "
            + "  ".join(f"{x:.3f}" for x in lots[share])
        )

# %% [markdown]
# Left: the rule beats every draw of the lot, and at 20 % both ruin the network. Right, one cheap repair: every BatchNorm measures its mean and variance again, on 64 training photos, without a single training step. The lot recovers most of its loss, and **nothing is left of the rule's advantage**. So on the left the rule was better at one thing: it *disturbs the statistics*
# of later layers less. Without the control on the right we would have told a story about importance. (Three draws, one network, 92 cards: on the right the order of the two means nothing.)
#
# To prune in earnest: train with the penalty on γ, cut, train on. All pieces are in your hands: the penalty is one line in the loop of lesson 13.

# %%
if not SMOKE:
    (_, rule, lot), (_, rule_anew, lot_anew) = panels.values()
    assert all(rule[share] > max(lot[share]) for share in plans)
    assert all(max(lot_anew[share]) > rule_anew[share] - 0.02 for share in plans)

# %% [markdown]
# ## Quiz

# %%
quiz.ask(
    "A step was measured at 0.5 s; the run took twice the forecast. What do you look at first?",
    [
        "The learning rate: a low one makes training slow",
        "What else the run does or the machine did: evaluations, reading photos, other programs",
        "The number of classes",
    ],
    answer=1,
    why="The learning rate changes how much is learned a step, not how long a step takes. A forecast counts what was measured, under the conditions in which it was measured.",
)

# %%
quiz.ask(
    "In the article's table every `bn.weight` has mu 1 and sigma 0, and every `bn.bias` 0 and 0. What does that tell?",
    [
        "The network converged very evenly",
        "BatchNorm was frozen",
        "The network has not been trained",
    ],
    answer=2,
    why="It is the initialization. After a single step no sigma would be exactly 0.",
)

# %%
quiz.ask(
    "A linear probe on row 6 is right in 95 of 100 pairs. What do you ask before you say that the backbone has learned cards?",
    [
        "How often it is right on the same network without training",
        "Whether the probe was trained for long enough",
        "How many channels row 6 has",
    ],
    answer=0,
    why="Random maps came to about 90 here. The part that training added is the difference.",
)

# %%
quiz.ask(
    "You set γ of a channel to 0 and leave its β at −1. What does the layer after it receive from this channel?",
    [
        "Zeros",
        "The same negative number everywhere",
        "Noise with mean −1",
    ],
    answer=1,
    why="SiLU(−1) is about −0.27 at every place. The channel is dead, though not zero; the next convolution can absorb it as a constant, except at the border, where padding puts zeros.",
)

# %%
quiz.ask(
    "Silencing the smallest |γ| costs less mAP than silencing as many channels by lot. What follows?",
    [
        "Channels with a small γ are unimportant",
        "The rule is better than no rule, for this network, without repair and without further training",
        "The network is too large",
    ],
    answer=1,
    why="With BatchNorm's statistics taken anew, the difference was gone. A comparison holds for the conditions in which it was made.",
)

# %% [markdown]
# ## 10 The end of the article, and of the course
# The article ends with the parameter table of its network, in seven columns, and then with the command that trains it. So do we; ours is trained.

# %%
figures.folded_table(parameter_table(own))

# %% [markdown]
# Read it as in lesson 08, line by line from the top: `model.0` is the stem, `model.1` to `model.9` the backbone, `model.10` to `model.23` the neck, `model.24` the three last convolutions. The article's network is the s of June 2020 with 80 classes: 191 rows. Here sigma of a `bn.weight` is no longer 0: the table says that somebody has trained.

# %%
print(
    run.folder.name,
    "→",
    run.best.name,
    f"mAP50 {report.map50:.3f}, mAP50-95 {report.map:.3f}; shipped: {results['shipped'][2].map50:.3f}, {results['shipped'][2].map:.3f}",
)
assert parameter_table(own).count("\n") == len(rows)
if not kept:
    scratch.cleanup()

# %% [markdown]
# ### What you have built
# | where in the article | where you built it |
# |---|---|
# | dense block, growth rate, DenseNet's table | 02 |
# | CSP and partial dense blocks | 03 |
# | CSPDarknet53, Focus, the backbone | 04 |
# | SPP | 05 |
# | FPN, PAN | 06 |
# | the head, anchors, three scales | 07 |
# | the printout and the parameter table | 08, and this page |
# | activation functions; optimizer | 01; 13 |
# | bag of freebies | 12 |
# | cost function | 11, with 09 and 10 before it |
# | training command, autoanchor, `test.py --task` | 15 |
#
# ### Where to go
# - **Your own photos:** [lesson 15](15_your_own_data.ipynb). The recipe, the run folder and the account of mistakes are the same for them.
# - **A GPU:** open this notebook there, or run it from a terminal. The command chooses a profile, forecasts its time, trains, goes on after an interruption, and writes what it measured to `benchmarks/results/capstone_<device>.json`:
#
#   ```
#   python benchmarks/capstone.py
#   python benchmarks/capstone.py --profile t4 --run runs/capstone
#   python benchmarks/capstone.py --profile smoke
#   ```
#
#   The last line is a rehearsal of a minute; the course's tests run it. If the weights are better than the shipped ones (the command prints both), `python benchmarks/ship_weights.py runs/capstone NAME` packs them with a model card.
# - **The article's command,** with its flags, is understood to the last flag; lesson 15 goes through them. (It asks for the official weights file; `--weights ''` starts from nothing.)
#
#   ```
#   yolo-edu train --batch 19 --epochs 300 --data ./data/train_5classes.yaml --cfg ./models/customer_yolov5l_5classes.yaml --weights yolov5l.pt --name 5classes_yolov5l --nosave --cache
#   ```
#
# - **The papers,** in the order of the article: DenseNet (1608.06993), CSPNet (1911.11929), FPN (1612.03144), PANet (1803.01534), YOLOv4 (2004.10934). You have now built what they describe, and can read them with a pencil.

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the forecast counts steps and evaluations as the run makes them | exercise 16.1; `tests/test_profiles.py::test_the_forecast_counts_what_the_run_does` |
# | an interrupted run goes on | `tests/test_profiles.py::test_an_interrupted_run_goes_on` |
# | the command for a GPU runs | `tests/test_profiles.py::test_the_command_of_the_gpu_run` |
# | the probe and its score are what they say | `tests/test_lesson_capstone.py::test_pair_share_counts_pairs`, `tests/test_lesson_capstone.py::test_the_probe_finds_a_linear_rule` |
# | training adds to random maps in rows 17, 20, 23 | assertion in section 6 |
# | the shipped weights grew from seed 0 | assertion in section 7 |
# | no dead channel; the finder finds a planted one | assertions in section 8 |
# | smallest \|γ\| against the lot | assertion in section 9; `tests/test_lesson_capstone.py::test_a_silenced_channel_says_nothing` |
# | the 120 epochs and 256 pixels of the shipped weights | `tests/test_lesson_capstone.py::test_numbers_in_the_prose` |
# | figures and dashboard say what the run says | `tests/test_lesson_capstone.py` |
#
# Not checked: the minutes of the GPU profiles. They are targets.
#
# **References** Bolya et al. 2020, arXiv:2008.08115 (kinds of mistakes) · Alain, Bengio 2016, arXiv:1610.01644 (linear probes) · Liu, Li, Shen, Huang, Yan, Zhang 2017, arXiv:1708.06519 (network slimming) ·
# Ioffe, Szegedy 2015, arXiv:1502.03167 (BatchNorm)
#
# ← [15 Your own data](15_your_own_data.ipynb) · **16 Training in full**
