# %% [markdown]
# # 15 · Your own data: from a folder of photos to a detector
#
# **120 minutes · difficulty ●●○○○ · importance ●●●●●**
#
# After this lesson you can
# - read what the linter says about a folder of photos and labels, repair it, and say what no program can find,
# - turn corners into label rows, and split photos so that nothing leaks,
# - decide whether anchors must change, and examine a set-up before a training,
# - start from other weights: read them without executing them, say which numbers are taken over, freeze,
# - read the article's two commands flag by flag,
# - measure on a test split, export to ONNX, and hand on a detector with what must be said about it.
#
# You need [lesson 07](07_anchors_and_detect.ipynb) (anchors, the rows of the head), [lesson 12](12_data_and_freebies.ipynb) (label files) and
# [lesson 13](13_training_loop.ipynb) (a training run, the doctor). mAP is from [lesson 09](09_boxes_nms_map.ipynb).

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
import contextlib
import importlib.util
import io
import re
import shlex
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path

import torch
from IPython.utils.capture import capture_output
from torchvision.io import write_jpeg

from yolo_edu import cli
from yolo_edu.anchors import default_anchors, evolve, fit
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.course.measured import read_measured
from yolo_edu.data import DetectionData, label_path, read_image, read_labels, read_spec
from yolo_edu.draw import side_by_side
from yolo_edu.evaluate import detect, detect_all
from yolo_edu.lint import examine
from yolo_edu.lint.likeness import SCENE
from yolo_edu.lint.pictures import suspects
from yolo_edu.model import YOLOv5v6
from yolo_edu.onnx_model import OnnxDetector
from yolo_edu.report import measure
from yolo_edu.transfer import freeze, prediction_tensors, rows_to_freeze, transfer

# %%
figures.show(
    figures.network_map("head"),
    alt="The map of YOLOv5 with its head lit, the one part that depends on your classes",
    dpi=64,
)

# %% [markdown]
# Lit is the head. It is the one part of the network that depends on *your* classes; all the rest can come from elsewhere. The map shows the June 2020 release's s. This lesson trains the n of release 7.0: its three prediction
# layers are all in row 24, with 21 channels each for two classes (3 anchors, 5 + 2 rows each; section 7). The lesson walks the whole way around the network, from files to files:

# %%
figures.show(
    figures.way_to_a_detector(),
    alt="Photos, labels and a YAML go through lint, anchors and doctor into train, with weights to start from; then test, detect, export and share; a way leads from detect back to the labels",
    dpi=90,
)

# %% [markdown]
# Each colored box is a command. You would type it in a terminal; here a cell calls the same command line in the folder of our project, and prints what the terminal would print, without progress bars.
# An **exit status** is the number that a command leaves behind: 0 for success, 1 for faults found, 2 for input that cannot be used. Scripts go by it.

# %%
scratch = tempfile.TemporaryDirectory()
project = Path(scratch.name)


class Page(io.StringIO):
    """Hands on what is printed, at once, with long lines broken at spaces."""

    out = sys.stdout

    def write(self, text):
        how = {"subsequent_indent": "    ", "break_long_words": False, "break_on_hyphens": False}
        lines = [textwrap.fill(line, 100, **how) if len(line) > 100 else line for line in text.split("\n")]
        return self.out.write("\n".join(lines))


def yolo_edu(line):
    """Run `yolo-edu LINE` as in a terminal that stands in the project's folder; returns the exit status."""
    print(f"$ yolo-edu {line}", file=Page())
    hide = capture_output(stdout=False)  # progress bars
    with contextlib.chdir(project), hide as hidden, contextlib.redirect_stdout(Page()):
        status = cli.main(shlex.split(line))
        if status == 2:
            print(hidden.stderr[hidden.stderr.index("yolo-edu ") :].strip())
    print(f"exit status {status}")
    return status


# %% [markdown]
# ## 1 Somebody's export
# A friend took photos in an aquarium and labeled jellyfish and penguins, with several tools and on several evenings. This is the export. (The photos are from the shipped aquarium set.
# The **side** of a box is √(w · h) of its normalized width and height. Photos with a box whose side is under 8 % are left out: at the 160 pixels that this lesson trains at it would be a speck.)

# %%
planted = checks.somebodys_export(project)
for place in sorted({p.parent for p in project.rglob("*.*")}):
    files = sorted(f.name for f in place.iterdir() if f.is_file())
    print(f"{place.relative_to(project).as_posix():<13} {len(files):>3} files: {files[0]} …")
print()
print((project / "visit.yaml").read_text())

# %% [markdown]
# The **data set YAML** says where the photos are and what the classes are called. It says nothing about labels: the label file of `images/…/a.jpg` is `labels/…/a.txt`, the last folder `images` of the path replaced by `labels`.
#
# | key | meaning |
# |---|---|
# | `path` | what the splits are relative to, itself relative to the YAML; without it: the folder of the YAML |
# | `train`, `val`, `test` | a folder, or a .txt file with one photo a line, or a list of those. Training needs `train` and `val` |
# | `names` | the classes **in order**: the first is class 0 of the label files |
# | `nc` | optional, how many names there are; older tools want it |
#
# The order of the names is a convention between this file and all label files. Nothing checks it but your eyes. Now the linter:

# %%
assert yolo_edu("lint visit.yaml --img-size 160") == 2

# %% [markdown]
# `test` names a folder that was never exported. That stops everything, because a command that silently went without `test` would mislead you later. The line goes; we will make a test split ourselves.

# %%
yaml = project / "visit.yaml"
yaml.write_text(yaml.read_text().replace("test: images/test\n", ""))
kinds = list(dict.fromkeys(fault.what for fault in planted))
code_of = {fault.what: fault.code for fault in planted}  # kind → what the linter calls it; "": it cannot know
six = ("x1 y1 x2 y2 in pixels", "classes counted from 1", "labels without a photo")
six += (
    "a photo that ends in the middle",
    "nearly the same photo in train and val",
    "an empty file, but there is a penguin",
)

# %% [markdown]
# ## 2 What the linter sees
# Thirteen kinds of faults were planted in this folder, the `test` line included. You will see the list at the end of section 4. The linter reads files, numbers and brightness. It does not know what a penguin is.
#
# **Predict, then run:** which of these six can it report? (1) boxes in pixels, (2) a class number too high by one, (3) a label file without its photo, (4) a JPEG that ends in the middle, (5) one photo in both splits, once smaller and brighter, (6) an animal that nobody labeled.

# %%
quiz.predict(
    "how many of the six the linter can report",
    answer=sum(bool(code_of[kind]) for kind in six),
    why="All but the last. Even the brighter copy has nearly the brightness pattern of its original. But an empty label file is legal, and untrue here: section 4 finds it. Of all thirteen kinds that one alone goes unreported.",
)

# %%
assert (len(kinds), sum(not code for code in code_of.values())) == (13, 1)
assert yolo_edu("lint visit.yaml --img-size 160 --show 2") == 1

# %% [markdown]
# Read it from the top. **Errors** stop a training or spoil it; **warnings** are legal and usually a mistake. Each line ends with a way out, but the linter does not know what you know:
# - `pixels` asks to divide by width and height. Is that enough? Look at the numbers of such a row: is the third column a width, or a second corner?
# - `no-label-file` and `orphan-label` stand apart in the list. Their numbers are neighbors.
# - `yaml`: `path` is a folder of the friend's machine. The linter found the photos beside the YAML all the same.
# - `background` in the table counts photos without a box that can be read. Seven are no empty tanks: one label file is empty, one is missing, and in five no row is readable.
# - `column-order` is a suspicion: read as center and size, most boxes of that file would leave the photo; read as two corners, none does. A file with a single row gives no such hint.
#
# `--img-size 160` matters: it is the size we will train at, and decides which boxes are called tiny. The command also wrote pictures of the suspects. Five of them, with the doubtful box solid where one box is meant, and the others dashed; the copy stands beside its original:

# %%
found = examine(read_spec(yaml), 160)
wanted = ("pixels", "class-range", "image-turned", "near-copy", "column-order")
one_each = {s.fault.code: s for s in suspects(found) if s.fault.code in wanted}
figures.show(
    figures.suspect_panels([one_each[code] for code in wanted]),
    alt="Photos with the doubtful box solid and the others dashed: pixels, class-range, image-turned, near-copy with its original, column-order",
    photos=True,
    dpi=90,
)
assert {fault.code for fault in found.faults} >= {fault.code for fault in planted} - {""}
assert sum(not one.rows for one in found.seen["train"]) == 7

# %% [markdown]
# ## 3 Repairs
# The repair that needs most thought first: labels that are **corners** instead of center and size.
#
# ### Exercise 15.1 · Corners to a row (8 minutes, ●●○○○)
# Write the function that every converter has at its heart. In: two corners in pixels of the photo (x to the right, y down; the first is upper left) and the photo's width and height. Out: cx, cy, w, h, each between 0 and 1.
# A sloppy hand draws over the border; what lies outside the photo does not count: clip first, then center.


# %%
def corners_to_row(x1, y1, x2, y2, width, height):
    """Two corners, pixels of the photo → cx, cy, w, h, normalized to the photo and inside it."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


corners_to_row = checks.corners_to_row(corners_to_row)

# %% [markdown]
# <details><summary>Hint 1</summary>Bring the corners into the photo first: x into 0 … width, y into 0 … height. <code>min(max(x, 0), width)</code> does it.</details>
# <details><summary>Hint 2</summary>Then cx = (x1 + x2) / 2 and w = x2 − x1, both divided by the width; the same with y and the height.</details>
# <details><summary>Solution</summary>
#
# ```python
# def corners_to_row(x1, y1, x2, y2, width, height):
#     x1, x2 = min(max(x1, 0), width), min(max(x2, 0), width)
#     y1, y2 = min(max(y1, 0), height), min(max(y2, 0), height)
#     return (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
# ```
# </details>

# %% [markdown]
# For whole data sets there are converters: `yolo-edu convert` goes between YOLO text, COCO JSON and Pascal VOC XML, with this function at its heart and a report of what it left out.
# Our cases are odd ones, so we edit rows. The helper reads a label file, changes each row, and writes it back. One caution about classes counted from 1: the linter saw it because of a 2. A file of the same tool with jellyfish only says 1 throughout, which is legal
# here and means penguin. So look at all other files of that tool (here there are none).


# %%
def labels_of(stem):
    return next(project.glob(f"labels/*/{stem}.txt"))


def edit(stem, change):
    """Change every row (class, a, b, c, d) of one label file; the photo's width and height are handed over too."""
    photo = next(project.glob(f"images/*/{stem}.jpg"))
    height, width = read_image(photo).shape[1:]
    rows = [[float(v) for v in line.split()] for line in labels_of(stem).read_text().splitlines()]
    rows = [change(int(row[0]), *row[1:], width, height) for row in rows]
    labels_of(stem).write_text("".join(f"{k} " + " ".join(f"{v:.5f}" for v in box) + "\n" for k, *box in rows))


# the YAML: without `path` the splits are relative to it
yaml.write_text("train: images/train\nval: images/val\nnames: [jellyfish, penguin]\n")
# decimal commas: a German or French spreadsheet
text = labels_of("IMG_2463").read_text()
print("before:", text.splitlines()[0])
labels_of("IMG_2463").write_text(text.replace(",", "."))
# counted from 1: that file came from a tool whose first class is 1
edit("IMG_2329", lambda k, x, y, w, h, *_: (k - 1, x, y, w, h))
# corners in pixels
for stem in ("IMG_2310", "IMG_2311", "IMG_2312"):
    print(f"before: {labels_of(stem).read_text().strip()}   the third number is no width: these are corners")
    edit(stem, lambda k, *corners: (k, *corners_to_row(*corners)))
# normalized corners: the same function, in a photo of 1 × 1
edit("IMG_2471", lambda k, a, b, c, d, *_: (k, *corners_to_row(a, b, c, d, 1, 1)))
# a row twice
rows = labels_of("IMG_2482").read_text().splitlines(keepends=True)
print(f"before: {len(rows)} rows, {len(set(rows))} different ones")
_ = labels_of("IMG_2482").write_text("".join(dict.fromkeys(rows)))

# %% [markdown]
# Next, files. The label file 2340 has no photo and photo 2339 has no labels. Did somebody rename one of them? Look before you rename: photo 2339 with the row of file 2340, and on its neighbor 2338 for comparison.

# %%
photo, stray = project / "images/train/IMG_2339.jpg", project / "labels/train/IMG_2340.txt"
other = project / "images/train/IMG_2338.jpg"
figures.show(
    figures.labeled_photos({"photo 2339, rows of 2340": (photo, stray), "photo 2338, same rows": (other, stray)}),
    alt="Photo 2339 with the box of label file 2340, which encloses its penguin, and the same box on photo 2338, where it does not fit",
    photos=True,
    dpi=90,
)

# %% [markdown]
# The box fits 2339. The cut photo goes, with its labels: half a JPEG decodes to half a picture and gray, and its boxes would teach that gray is jellyfish.
# The copy that was sent around goes too: the split it is in is the one that would be flattered.

# %%
(project / "labels/train/IMG_2340.txt").rename(project / "labels/train/IMG_2339.txt")
for stem in ("IMG_2466", "IMG_2323_sent"):
    next(project.glob(f"images/*/{stem}.jpg")).unlink()
    labels_of(stem).unlink()

# %% [markdown]
# Last, the phone photo. A phone stores pixels as its sensor reads them, and beside them an **EXIF tag** that says how to turn them. Programs that obey the tag and programs that do not see two different pictures. yolo_edu obeys it, in the linter, in training and in
# detection; the tool that drew these boxes did not. Orientation 6 means: turn by 90 degrees to the right. A point (x, y) of the lying picture, normalized, stands at (1 − y, x) of the upright one, and width and height change places. Here is the center of the first box:

# %%
x, y = (float(v) for v in labels_of("IMG_2351").read_text().split()[1:3])
figures.show(
    figures.turned_point(project / "images/train/IMG_2351.jpg", x, y),
    alt="The same point on the photo as stored, lying on its side, and on the upright photo: x and y of the first become 1 minus y and x of the second",
    photos=True,
    dpi=90,
)

# %%
edit("IMG_2351", lambda k, x, y, w, h, *_: (k, 1 - y, x, h, w))
assert yolo_edu("lint visit.yaml --img-size 160") == 0

# %% [markdown]
# No errors. One warning is left: the linter cannot know whether the turned photo's boxes fit now. Only somebody who looks can.
#
# ## 4 Look
# Browse the photos as the linter and the network see them. Filter by fault, by class, by small boxes, by photos without any box. Switch to the training size: what you cannot recognize there, the network has to guess.

# %%
found = examine(read_spec(yaml), 160)
inspector = widgets.label_inspector(found, read_spec(yaml).names, start="fault: image-turned")

# %% [markdown]
# **Try:** 1. Check the turned photo. 2. Show the photos *without a box*. Is that true of each? 3. Walk through the penguins at 160 pixels. Which boxes would you not have found yourself?
#
# <details><summary>What there is to find</summary>The only photo without a box shows a large penguin. An empty label file is legal and says "nothing here", so no linter objects; training would learn that this penguin is background. It is the thirteenth fault.</details>

# %% [markdown]
# The box of that penguin, drawn by hand in pixels of the photo, and our function once more. The turned photo's boxes fit, so it is saved as it should be seen, without the tag: now no program can read it differently.

# %%
without = widgets.inspected_photos(found, read_spec(yaml).names)["without a box"]
assert [one.image.stem for one in without] == ["IMG_2317"]
height, width = read_image(without[0].image).shape[1:]
row = corners_to_row(64, 248, 301, 375, width, height)
without[0].labels.write_text("1 " + " ".join(f"{v:.5f}" for v in row) + "\n")
upright = project / "images/train/IMG_2351.jpg"
write_jpeg(read_image(upright), str(upright), quality=95)
for kind in kinds:
    print(f"{next(f.code for f in planted if f.what == kind) or '(no report)':<14} {kind}")

# %% [markdown]
# Is all repaired? We have an answer sheet that you will not have: the original labels. Every box must be back, but for the photo that was cut.

# %%
original = {image.stem: rows for image, rows in checks.kept_photos()}
worst = 0.0
for image in sorted(project.glob("images/*/*.jpg")):
    labels, boxes = read_labels(label_path(image), 2)
    right = torch.tensor(original.pop(image.stem))
    assert labels.tolist() == right[:, 0].tolist()
    worst = max(worst, (boxes - right[:, 1:]).abs().max().item())
print(f"all boxes are back within {worst:.4f} of a photo's side; given up: {', '.join(original)}")
assert worst < 0.005
assert list(original) == ["IMG_2466"]

# %% [markdown]
# ## 5 Split so that nothing leaks
# The export put every fifth photo into `val`. That is easy to do, and wrong for photos that were taken one after another: two shots of one penguin, a second apart, one to learn from and one to be tested on. The score then says how well the network remembers.
# So photos of one scene must stay together. Which ones are those? Two signs: the camera's numbers are neighbors, or the pictures are alike. (The linter's *likeness* compares coarse brightness patterns; from 0.7 on it suspects one scene.)

# %%
photos = sorted(project.glob("images/*/*.jpg"), key=lambda p: p.name)
number = [int(re.match(r"IMG_(\d+)", p.stem)[1]) for p in photos]  # the camera's
looks = {one.image: one.look for images in found.seen.values() for one in images}
vectors = torch.stack([torch.from_numpy(looks[p].descriptor) for p in photos])  # (N, 143), length 1
likeness = vectors @ vectors.T
pairs = [
    (i, j)
    for i in range(len(photos))
    for j in range(i + 1, len(photos))
    if number[j] - number[i] <= 1 or likeness[i, j] >= SCENE
]
assert SCENE == 0.7
torn = [(i, j) for i, j in pairs if photos[i].parent != photos[j].parent]
print(f"{len(photos)} photos, {len(pairs)} pairs that belong together; the export tears {len(torn)} of them apart")
assert torn
alike = sorted(max(torn, key=lambda pair: likeness[pair]), key=lambda k: photos[k].parent.name)  # train, val
figures.show(
    figures.labeled_photos({f"{photos[k].parent.name}: {photos[k].stem}": (photos[k], None) for k in alike}),
    alt="Two photos of one scene, nearly the same view, that the export put into train and val",
    photos=True,
    dpi=90,
)

# %% [markdown]
# ### Exercise 15.2 · What belongs together (10 minutes, ●●●○○)
# Pairs make groups: if 0 and 1 belong together, and 1 and 2, then 0, 1 and 2 are one group, although nobody said so of 0 and 2. Give each photo the number of its group: the lowest index in it. A photo without a partner is its own group.
# `pairs` may come in any order.


# %%
def scene_groups(count, pairs):
    """Number of photos, pairs (i, j) with i < j → a list: the lowest index in each photo's group."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


scene_groups = checks.scene_groups(scene_groups)

# %% [markdown]
# <details><summary>Hint 1</summary>Begin with every photo alone: <code>group = list(range(count))</code>. Each pair makes one group of two.</details>
# <details><summary>Hint 2</summary>When two groups meet, all members of the group with the higher number get the lower one, not only the two photos of the pair.</details>
# <details><summary>Solution</summary>
#
# ```python
# def scene_groups(count, pairs):
#     group = list(range(count))
#     for i, j in pairs:
#         low, high = sorted((group[i], group[j]))
#         group = [low if g == high else g for g in group]
#     return group
# ```
# </details>

# %% [markdown]
# Now whole groups are dealt out, the largest first, each to the split that lacks most photos. Dealing ignores the classes: with more data, deal so that each split gets its share of each. A **val** split picks the best epoch and helps you to choose settings; it is no fair judge of them afterwards. The **test** split is for one measurement at the end.

# %%
group = scene_groups(len(photos), pairs)
goal, splits = {"train": 0.7, "val": 0.15, "test": 0.15}, {"train": [], "val": [], "test": []}
for name in sorted(set(group), key=lambda g: (-group.count(g), g)):
    lacking = max(goal, key=lambda s: goal[s] * len(photos) - len(splits[s]))
    splits[lacking] += [i for i, g in enumerate(group) if g == name]
split_of = {i: split for split, members in splits.items() for i in members}
assert all(split_of[i] == split_of[j] for i, j in pairs)
for kind in ("images", "labels"):  # one folder for all: what is in which split, lists say
    for file in sorted(project.glob(f"{kind}/*/*")):
        file.rename(project / kind / file.name)
    for place in (project / kind).glob("*/"):
        place.rmdir()
for split, members in splits.items():
    lines = [f"images/{photos[i].name}\n" for i in sorted(members)]
    (project / f"{split}.txt").write_text("".join(lines))
    print(f"{split:<5} {len(members)} photos, {len({group[i] for i in members})} groups")
assert [len(members) for members in splits.values()] == [32, 7, 7]
_ = yaml.write_text("train: train.txt\nval: val.txt\ntest: test.txt\nnames: [jellyfish, penguin]\n")

# %% [markdown]
# The lists are text: they can be read, compared and kept under version control, and no photo is copied. Is the folder clean now? `--strict` makes warnings count as well.

# %%
assert yolo_edu("lint visit.yaml --img-size 160 --no-pictures --strict") == 0

# %% [markdown]
# Clean, and small. Look at the class columns of `test`: a handful of penguins will have to say how well penguins are found. We come back to that.

# %% [markdown]
# ## 6 Do the anchors fit?
# Lesson 07 built the **best possible recall** (BPR): the share of boxes that at least one anchor comes near to, within a factor of 4 in both sides. A box without such an anchor is never assigned, so it cannot be learned, whatever the training does.
# The sizes are those at the training size: the same photos at 640 pixels ask for other anchors than at 160.

# %%
sizes = DetectionData(read_spec(yaml), "train", 160).box_sizes()  # (N, 2) width, height, pixels at 160
searched = evolve(sizes, generations=150)  # (3, 3, 2)
for title, boxes, anchors in (
    ("default anchors, at 160 pixels", sizes, default_anchors()),
    ("searched ones, at 160 pixels", sizes, searched),
    ("default anchors, at 640 pixels", 4 * sizes, default_anchors()),
    ("those searched at 160, at 640", 4 * sizes, searched),
):
    judged = fit(boxes, anchors)
    print(f"{title:<31} BPR {judged.best_possible_recall:.3f}, {judged.anchors_above_threshold:.1f} anchors a box")
figures.show(
    figures.fitting_sizes(
        {
            "our boxes at 160 pixels": (sizes, {"default": default_anchors(), "searched at 160": searched}),
            "at 640 pixels": (4 * sizes, {"default": default_anchors(), "searched at 160": searched}),
        }
    ),
    alt="Sizes of our boxes at 160 and at 640 pixels on logarithmic axes, with the default anchors and those searched at 160; at 640 the boxes have moved away from the searched ones",
    dpi=84,
)
reached = fit(sizes, default_anchors()).best_possible_recall
assert reached >= 0.98

# %% [markdown]
# `yolo-edu anchors visit.yaml --img-size 160` prints and draws this in more detail, with a longer search, and `--write-cfg` writes a model file with the new anchors.
#
# **When to change them?** Both releases have a rule, and `train` follows it before its first step: below a BPR of 0.98 (release 7.0; the June 2020 release: 0.99) search new ones, and take them only if they are better. Here the default anchors pass, so they stay.
# The searched ones sit closer to these boxes. But trained weights are meant for *their* anchors: a box is predicted as a multiple of its anchor. With other anchors all box sizes would be wrong at first, and objectness was learned for other assignments.
# `--noautoanchor`, in the article a line of its own, is a flag of the same command and switches this check off. It does not make anchors fit.
#
# ## 7 Weights to start from
# A fresh network must learn from 32 photos even what an edge is. One that was trained on other photos may bring some of that along; whether it does is to be measured. **Transfer** means to start from its numbers. First question: where do the numbers come from, and is it safe to read them?
#
# The article starts from `yolov5l.pt`, a file of the official project. It does not lie here. Our command says where it comes from:

# %%
article = (
    "train --batch 19 --epochs 300 --data ./data/train_5classes.yaml --cfg ./models/customer_yolov5l_5classes.yaml "
    "--weights yolov5l.pt --name 5classes_yolov5l --nosave --cache"
)
assert yolo_edu(article) == 2

# %% [markdown]
# In one sentence: official weights come under the license of their project (today AGPL-3.0), and what you train from them and hand on or offer over a network has to respect it; whether that suits your purpose is for you to find out before you start. The weights shipped with this course are MIT.
#
# **A `.pt` file is a program.** It is a *pickle*: a list of instructions that rebuild Python objects, and one of the instructions is "call this function". Here is a hostile one, harmless this time: when read, it writes a file.


# %%
class Hostile:
    def __reduce__(self):  # what a pickle shall call to rebuild this object
        return eval, ("open('was_here.txt', 'w').close()",)


torch.save({"model": Hostile()}, project / "free_weights.pt")
with contextlib.chdir(project):
    torch.load("free_weights.pt", weights_only=False)  # the way of 2020: everything in the file is obeyed
print("read the old way, it ran:", (project / "was_here.txt").exists())
(project / "was_here.txt").unlink()
status = yolo_edu("test --weights free_weights.pt --data visit.yaml --task val")
print("read by yolo_edu, it ran:", (project / "was_here.txt").exists())
assert (status, (project / "was_here.txt").exists()) == (2, False)

# %% [markdown]
# yolo_edu reads a `.pt` with a reader that knows tensors, plain containers and the class names that official detectors consist of. Those classes become empty shells that can do nothing; any other name is refused before anything is called. So official files of both releases load, and nothing in them is executed.
# What this course writes to be handed on is *safetensors*: numbers and a text header, no instructions at all.
#
# ### What is taken over
# We start from the shipped cards network. It has never seen an animal. Which of its numbers mean something for ours?

# %%
names = read_spec(yaml).names
shutil.copy(shipped_weights("cards_n"), project)  # as cards_n.safetensors, for the commands below
cards = load_checkpoint(project / "cards_n.safetensors")
torch.manual_seed(0)
model = YOLOv5v6("n", names)
taken = transfer(model, cards)
print(taken, file=Page())
assert taken.classes == ()
assert {len(model.state_dict()[name]) for name in prediction_tensors(model)} == {21}

# %% [markdown]
# The report counts all *numbers*: the parameters, and the running means and variances of BatchNorm, which nobody trains by gradient. Tables below count parameters only.
#
# Everything but the prediction layers has the same shape whatever the classes are. In the prediction layers, an anchor has 5 + K **rows** (output channels): x, y, w, h, objectness, then one a class. Box and objectness mean the same for every object, so
# yolo_edu takes these rows over as well. Both releases do not: there, a head for another number of classes starts from nothing. Class rows go by *name*: a ten is no penguin, so none is taken here.
#
# Next summer the friend comes back with photos of sharks. Then the old network is ours, and two of three classes are known:

# %%
figures.show(
    figures.rows_taken_over(new=("penguin", "shark", "jellyfish"), old=names),
    alt="Rows of one anchor, old head and new head: box and objectness keep their places, penguin and jellyfish move, the shark's row is fresh",
    dpi=84,
)

# %% [markdown]
# **Predict, then run:** the figure shows one anchor. A level has three, one after the other: 24 rows in the new head, 21 in the old. How many of the 24 have the *same row number* in both?

# %%
quiz.predict(
    "rows that are taken over and keep their number",
    answer=sum(new == old for new, old in figures.head_row_pairs(("penguin", "shark", "jellyfish"), names).items()),
    why="21 rows are taken over, 7 an anchor. The second anchor begins at row 8 instead of 7, the third at 16 instead of 14. So only the five box rows of the first anchor stay, and by accident one more: penguin of the second anchor, 8 + 5 = 7 + 6. Whoever copies the first 21 rows as they stand puts 15 meanings in the wrong place.",
)

# %% [markdown]
# ### Exercise 15.3 · Which row is which (6 minutes, ●●○○○)
# Write down the pairs. The tensor holds one anchor after the other, each with 5 + K rows. For every row of the new head that has a counterpart: (new row, old row), in rising order of the new row. Classes are known by name.


# %%
def shared_rows(new, old, anchors):
    """Names of the new and of the old network, anchors a cell → a list of pairs (new row, old row)."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


shared_rows = checks.shared_rows(shared_rows)

# %% [markdown]
# <details><summary>Hint 1</summary>Anchor a begins at row a · (5 + len(new)) of the new tensor, and at row a · (5 + len(old)) of the old one.</details>
# <details><summary>Hint 2</summary>Inside an anchor: rows 0 to 4 pair with rows 0 to 4; row 5 + k pairs with 5 + <code>old.index(name)</code>, if <code>name in old</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# def shared_rows(new, old, anchors):
#     pairs = []
#     for a in range(anchors):
#         here, there = a * (5 + len(new)), a * (5 + len(old))
#         pairs += [(here + i, there + i) for i in range(5)]
#         pairs += [(here + 5 + k, there + 5 + old.index(name)) for k, name in enumerate(new) if name in old]
#     return pairs
# ```
# </details>

# %%
by_name = ("penguin", "shark", "jellyfish")
assert dict(shared_rows(by_name, names, 3)) == figures.head_row_pairs(by_name, names)
later = YOLOv5v6("n", by_name)
print(transfer(later, model), file=Page())
name = prediction_tensors(later)[0]  # the weights of P3's prediction, (24, C, 1, 1)
mine, theirs = later.state_dict()[name], model.state_dict()[name]
for row, origin in shared_rows(by_name, names, 3):
    assert torch.equal(mine[row], theirs[origin])

# %% [markdown]
# ### Freezing
# `--freeze backbone` keeps rows 0 to 9 of the network as they are: no gradient, no step, and BatchNorm's statistics stay too. It saves time and memory; whether the score gains or loses is measured below. `--stage-lr 0.1 0.3 1` is the softer way: backbone, neck and head get these shares of the learning rate.

# %%
for words in (["backbone"], ["backbone", "neck"]):
    frozen = load_checkpoint(project / "cards_n.safetensors")
    freeze(frozen, rows_to_freeze(frozen, words))
    left = sum(p.numel() for p in frozen.parameters() if p.requires_grad)
    print(
        f"{' and '.join(words):<18} frozen: {left:>9,} of {sum(p.numel() for p in frozen.parameters()):,} parameters learn"
    )

# %% [markdown]
# What does each way of starting bring? `benchmarks/transfer.py` trained them on the whole aquarium with five classes, from scratch and from the cards, several seeds each. That takes too long to run here, so the lesson reads what was measured.
#
# - *All that fits*: what was taken over above. *Backbone only*: rows 0 to 9 taken over, the rest fresh. In both, everything is trained.
# - The other three also start from all that fits: with the backbone frozen, with backbone and neck frozen, or with shares of the learning rate.
# - "trained" counts parameters, for five classes. With backbone and neck frozen, only the three prediction layers are left.
# - "gain" is the median of the differences to *from scratch* with the same seed.
# - "time" is a share of *from scratch*'s. *All that fits* does exactly the same work: how far its share is from 1 shows how noisy this clock was.

# %%
measured = read_measured("transfer")
setting, rows = measured["setting"], measured["table"]
print(f"{setting['data']}: {setting['epochs']} epochs at {setting['image_size']} pixels, {rows[0]['runs']} seeds a way")
print(f"{'':<25} trained      mAP50 (range)             gain  better in  time")
for row in rows:
    middle = f"{row['median_map50']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f})"
    told = (
        f"{row['median_gain']:+.3f}  {row['seeds_better']} of {row['runs']}"
        if row["way"] != "from scratch"
        else f"{'':>6}  {'':>6}"
    )
    print(f"{row['way']:<25} {row['trained_parameters']:>9,}  {middle}  {told}     {row['seconds_ratio']:.2f}")
figures.show(
    figures.start_dots(measured),
    alt="Median and range of mAP50 for each way to start; the gray band is the range from scratch, short strokes mark the value after a fifth of the epochs",
    dpi=84,
)

# %%
scratch_row, *starts = rows
clear = {
    "above": [r["way"] for r in starts if r["lowest"] > scratch_row["highest"]],
    "below": [r["way"] for r in starts if r["highest"] < scratch_row["lowest"]],
}
clear["neither"] = [r["way"] for r in starts if r["way"] not in clear["above"] + clear["below"]]
print("all runs above all runs from scratch:", "; ".join(clear["above"]) or "no way")
print("all runs below all runs from scratch:", "; ".join(clear["below"]) or "no way")
print("the ranges overlap, nothing is shown:", "; ".join(clear["neither"]) or "no way")
ahead = [r["way"] for r in starts if r["median_first_map50"] > scratch_row["median_first_map50"]]
print(f"ahead of scratch after a fifth of the epochs, by the medians: {'; '.join(ahead) or 'no way'}", file=Page())
fits = next(r for r in starts if r["way"] == "all that fits")
for r in (r for r in starts if "frozen" in r["way"]):
    costs = "all runs below all runs of the same start" if r["highest"] < fits["lowest"] else "the ranges overlap"
    print(f"{r['way']}: {r['median_map50']:.3f} instead of {fits['median_map50']:.3f} unfrozen; {costs}")

# %% [markdown]
# Read these lines before you choose; the last two are the verdict on freezing. The scores are low: five classes, small objects at 192 pixels, 15 epochs. They cannot be compared with section 10, where photos with small boxes are left out: compare ways, not values. The differences hold for this pair of data sets, this small network and this few epochs; with other photos, a longer training or weights of a large data set such as COCO the differences can be others. That is not measured here.
#
# ## 8 Before the training: the doctor
# Lesson 13 introduced the doctor. Here it examines our data with our start: do all labels survive the way there and back, does an anchor take each box, can one batch be learned by heart?

# %%
start = "--data visit.yaml --weights cards_n.safetensors --img-size 160 --batch-size 8 --epochs 36"
assert yolo_edu(f"doctor {start} --steps 25") == 0

# %% [markdown]
# ## 9 The article's training command, flag by flag
# `python3 train.py --batch 19 --epochs 300 --data ./data/train_5classes.yaml --cfg ./models/customer_yolov5l_5classes.yaml --weights yolov5l.pt --name 5classes_yolov5l --nosave --cache`

# %%
args = cli.parser().parse_args(shlex.split(article))  # every flag is one of ours
for flag in ("batch_size", "epochs", "data", "cfg", "weights", "name", "nosave", "cache"):
    print(f"{flag:<10} {getattr(args, flag)}")
spec_cards = read_spec(sample_data("train_5classes.yaml"))
steps = -(-len(spec_cards.images("train")) // args.batch_size)  # batches an epoch, the last one smaller

# %% [markdown]
# | flag | what it does | what to know |
# |---|---|---|
# | `--batch 19` | photos a step; short for `--batch-size` | the largest that fits into your GPU's memory; 19 is no magic number. The default of the era is 16 |
# | `--epochs 300` | passes over all training photos | how many you need depends on the data; the best epoch's weights are kept, not the last's |
# | `--data …yaml` | photos and names | section 1 |
# | `--cfg …yaml` | the network's table, with `nc: 5` | lesson 08. Its size (here l) must be that of the weights, or hardly a tensor fits |
# | `--weights yolov5l.pt` | where to start | `''` is from scratch; section 7 |
# | `--name …` | name of the run's folder | so that you find it again |
# | `--nosave` | write weights at the end only | the best weights so far are held in memory, and written at the end or after Ctrl-C. A run that is killed or loses power leaves nothing. Leave it out |
# | `--cache` | hold all photos in memory | faster if they fit; yolo_edu decides by itself |
# | `--img-size 640` | not in the command, so the default | the most important number after the data: objects must be seen at it |
# | `--noautoanchor` | keep the anchors | section 6; the article writes it as a command of its own, which would train with the defaults of all other flags, not on your data |
#
# <details><summary>Flags that neither the article nor this lesson uses</summary>
#
# | flag | what it does | what to know |
# |---|---|---|
# | `--rect` | batches of like shape | less gray, but no mosaic |
# | `--multi-scale` | each batch at half to one and a half of the size | slower, for objects of all sizes |
# | `--single-cls` | all objects are one class | to find, not to name |
# | `--adam`, `--hyp FILE` | optimizer; file of hyper-parameters | lessons 12 and 13 |
# | `--notest` | measure after the last epoch only | then no best epoch can be chosen |
# | `--resume` | go on with a stopped run | lesson 13 |
#
# </details>
#
# One thing the list hides: the article's command trains an "l" network, for which a GPU is the right place. This lesson trains an "n" one, the smallest.
#
# **Predict, then run:** the article's data are the 217 cards. How many steps of the optimizer's loop (batches) does its command make in all?

# %%
quiz.predict(
    "batches of the article's training: 300 epochs of 217 photos, 19 a batch",
    answer=args.epochs * steps,
    why="217 / 19 is 11.4, so 12 batches an epoch, the last one with 8 photos. 300 · 12.",
)

# %% [markdown]
# ## 10 Train
# The same command for our folder: two classes, 32 photos, a few epochs at 160 pixels. A terminal shows a bar meanwhile; here a line appears after each evaluation. (`--precision` and `--memory-format` fix what the command would otherwise try out on your machine.)

# %%
line = f"train {start} --seed 0 --name visit --evaluate-every 6 --precision float32 --memory-format contiguous"
assert yolo_edu(line) == 0

# %% [markdown]
# What can be expected of so little? Boxes that are roughly in place, not more. mAP50-95 asks for tight boxes and stays low. The **best** epoch is chosen on val, by 0.1 mAP50 + 0.9 mAP50-95; so it need not be the one with the highest mAP50. A training in full is [lesson 16](16_train_on_gpu.ipynb).
#
# The run's folder holds everything: `config.json` (all settings), `results.csv`, `best.safetensors`, `last.pt` (to go on), and a page with all pictures.

# %%
run = project / "runs/train/visit"
print(" ".join(sorted(p.name for p in run.iterdir())), file=Page())
best = load_checkpoint(run / "best.safetensors")
kept = read_metadata(run / "best.safetensors")
print({k: kept[k] for k in sorted(kept) if not isinstance(kept[k], (dict, list))}, file=Page())

# %% [markdown]
# ## 11 How good is it?
# The article: `python test.py --data data.yaml --task test`. `--task` names the split to measure on. But something is missing: without `--weights` the era's command measured its *default* weights, trained on COCO, and not yours. yolo_edu has a default too, the shipped cards network. Name yours:

# %%
weights = "--weights runs/train/visit/best.safetensors --data visit.yaml"
assert yolo_edu(f"test {weights} --task val --no-plots") == 0
assert yolo_edu(f"test {weights} --task test --no-plots") == 0

# %% [markdown]
# | flag of `test` | meaning |
# |---|---|
# | `--task train`, `val`, `test` | the split: how well it remembers, what the epoch was chosen by, the fair measure |
# | `--task study` | `val` at several sizes, with the time of an image: which size is worth it? |
# | `--conf-thres 0.001` | leave it low: mAP needs the whole curve, also the unsure detections. It is not the threshold you will use |
# | `--iou-thres 0.6` | of non-maximum suppression (June 2020 release: 0.65) |
# | `--img-size`, `--batch-size` | default: the size it was trained at |
# | `--single-cls`, `--augment`, `--save-json`, `--verbose` | one class; test-time augmentation; COCO JSON; a line a class |
#
# **How much is such a number worth?** There are 7 test photos. Let us ask what it would have been with *other* photos of the same kind, in a way that needs no other photos: draw from these with replacement, measure, and do so many times (a **bootstrap**). Photos of one scene are no independent witnesses
# (section 5), so whole groups are drawn: 5 of the 5.

# %%
data = DetectionData(read_spec(yaml), "test", 160)
truth, found_boxes = detect_all(best, data, confidence=0.001, iou=0.6)
scenes = {}  # group → its photos, numbered as in test.txt
for place, i in enumerate(sorted(splits["test"])):
    scenes.setdefault(group[i], []).append(place)
assert (len(truth), len(scenes)) == (7, 5)
generator = torch.Generator().manual_seed(0)
scores = []
for _ in range(200):
    chosen = torch.randint(0, len(scenes), (len(scenes),), generator=generator).tolist()
    drawn = [i for k in chosen for i in list(scenes.values())[k]]
    scores.append(measure([truth[i] for i in drawn], [found_boxes[i] for i in drawn], names).map50)
scores.sort()
whole = measure(truth, found_boxes, names).map50
low, high = scores[10], scores[-11]
print(f"mAP50 on the {len(truth)} test photos: {whole:.3f}; nine of ten draws lie between {low:.3f} and {high:.3f}")
assert high - low > 0.1

# %% [markdown]
# That is how wide the result is, and still too narrow: five groups are few to draw from, and all are of one aquarium. (A draw without penguins is scored by its jellyfish alone.) More test photos make it narrower; photos of another aquarium would say something new.
#
# ## 12 Look at what it does
# `yolo-edu detect --source FOLDER` draws and writes label files. In a notebook we look directly: left the truth, right the detections at a confidence of 0.25. We look at *val*: errors that you have studied and worked on would no longer be counted fairly by *test*. The photos are drawn at 416 pixels, but the network gets them
# at 160; its boxes are scaled back.

# %%
samples = [DetectionData(read_spec(yaml), "val", 416)[i] for i in (0, 2, 4, 6)]
seen = detect(best, [s.image for s in samples], size=160)
figures.show(
    side_by_side(samples, seen, names, columns=2),
    alt="Four val photos with their true boxes, dashed, beside the same photos with what the trained network detects",
    photos=True,
    dpi=90,
)
print("detections:", *(len(d.boxes) for d in seen), "| true boxes:", *(len(s.boxes) for s in samples))

# %% [markdown]
# Where several boxes lie on one animal, they overlap by less than an IoU of 0.45: suppression takes them for different objects. Tighter boxes would overlap more.
#
# The next step is not a longer training but the dashed arrow of the first figure: sort what it gets wrong. A sure detection without a label is often a label that somebody forgot. A whole kind of photo that fails asks for more photos of that kind.
#
# ## 13 For other programs: ONNX
# **ONNX** is a file format for networks that many programs run, in many languages, without PyTorch and without this package. The exported file has the decoding inside: images in, rows in pixels out; only suppression is left to do. The exporter needs the packages `onnxscript` and `onnxruntime`; without them the
# command says so, and the lesson goes on.

# %%
exported = yolo_edu("export --weights runs/train/visit/best.safetensors") == 0

# %%
file = run / "best.onnx"
if exported and importlib.util.find_spec("onnxruntime"):
    other = OnnxDetector(file)
    ours = detect(best, [s.image for s in samples], size=160)
    theirs = detect(other, [s.image for s in samples], size=160)
    apart = max(
        (a.boxes - b.boxes).abs().max().item() if len(a.boxes) else 0.0 for a, b in zip(ours, theirs, strict=True)
    )
    assert [len(a.boxes) for a in ours] == [len(b.boxes) for b in theirs]
    assert apart < 0.05
    print(f"names in the file: {other.names}; image size {other.image_size}")
    print(f"the same {sum(len(a.boxes) for a in ours)} boxes, at most {apart:.6f} pixels apart")
else:
    print("not exported or not checked here: `pip install onnxscript onnxruntime`, then run these two cells again")

# %% [markdown]
# A last warning from practice: whoever runs the file must feed it what training fed: RGB (not BGR, as OpenCV reads), values 0 to 1 (not 0 to 255), letterboxed, and take the letterbox off the boxes afterwards ([lesson 12](12_data_and_freebies.ipynb)). Check these four before you doubt the file.
#
# ## 14 Share it
# What you hand on is a file of numbers and a card. Half precision is enough to detect with, and halves the file. The card says what nobody can read off the numbers:

# %%
save_checkpoint(project / "visit_n.safetensors", best, kept, half=True)
smallest = sizes.prod(1).sqrt().min().item()  # side of the smallest box in train, pixels at 160
again = measure(*detect_all(load_checkpoint(project / "visit_n.safetensors"), data, confidence=0.001, iou=0.6), names)
card = f"""\
# visit_n
- network: {best.release} n, {sum(p.numel() for p in best.parameters()):,} parameters; file {(project / "visit_n.safetensors").stat().st_size / 1e6:.1f} MB, float16
- classes, in order: {", ".join(names)}
- made for: squares of {kept["image_size"]} pixels
- data: {", ".join(f"{k} {len(v)}" for k, v in splits.items())} photos of one aquarium, scenes kept apart
- photos and labels: Roboflow aquarium set, CC BY 4.0; selected, repaired and split anew; no photos of our own
- started from: cards_n (MIT)
- trained with: yolo_edu (MIT)
- test: mAP50 {again.map50:.3f}, mAP50-95 {again.map:.3f} on {len(truth)} photos; nine of ten redraws of {len(scenes)} scenes {low:.2f} to {high:.2f}
- not for: other animals, other aquariums, objects whose side is under {smallest:.0f} pixels at this size: the training photos show none
- seed 0; the command: yolo-edu {line}
"""
print(card, file=Page())
assert abs(again.map50 - whole) < 0.02

# %% [markdown]
# Three licenses meet in a trained detector: that of the **photos** (here CC BY 4.0: name the source and say that you changed it), that of the **weights you started from**, and that of the **code**. State all three. With photos of your own, say so, and under which license you give them: without one, nobody may use them. And a promise that costs nothing: no score without the number of photos behind it.
#
# All in one page, for your next folder:
#
# | step | command |
# |---|---|
# | other formats | `yolo-edu convert SOURCE --to yolo --out FOLDER` |
# | form | `yolo-edu lint DATA.yaml --img-size 640` until clean; then look at the pictures |
# | anchors | `yolo-edu anchors DATA.yaml --img-size 640` |
# | set-up | `yolo-edu doctor --data DATA.yaml --weights WEIGHTS` |
# | training | `yolo-edu train --data DATA.yaml --weights WEIGHTS --img-size 640 --epochs 100 --name NAME` |
# | choices | `yolo-edu test --weights …/best.safetensors --data DATA.yaml --task val`, as often as you like |
# | the result | the same with `--task test`, once |
# | use | `yolo-edu detect --weights …/best.safetensors --source FOLDER` |
# | elsewhere | `yolo-edu export --weights …/best.safetensors` |
#
# (The scratch folder goes when this kernel ends; until then the label inspector reads its photos.)
#
# ## Quiz

# %%
quiz.ask(
    "The training loss falls nicely, but the mAP on val stays exactly 0. What do you look at first?",
    [
        "The learning rate: it is too low for the network to carry over to val what it learned on train",
        "The labels of val: are there any, and in the classes and format of train",
        "The number of epochs: mAP rises later than the loss falls, so one has to wait for a while",
    ],
    answer=1,
    why="A falling loss says that the training labels are being learned. Exactly 0 afterwards means that nothing on val ever matches: no label files found there, classes counted or ordered differently, or boxes in another format. In the first few epochs a mAP near 0 is normal.",
)

# %%
quiz.ask(
    "All your detections have the right size, but each sits too far up and to the left, by half a box. What do the label files hold?",
    [
        "x1 y1 w h: the upper left corner was read as the center",
        "Center and size, but in pixels instead of normalized numbers",
        "x1 y1 x2 y2: two corners, read as center and size",
    ],
    answer=0,
    why="The upper left corner lies half a width and half a height from the center. The network learned what it was told. Pixels would be refused; two corners would change the sizes as well.",
)

# %%
quiz.ask(
    "Do you need photos without any object?",
    [
        "No: a photo without a box has no target, so the loss is zero there and it teaches nothing",
        "Yes, as many as photos with objects, or every second detection will be a false alarm",
        "If your camera will see such views, with an empty label file each",
    ],
    answer=2,
    why="Every cell without an object already teaches background, also in photos with objects. What is missing from them, such as an empty tank, a net or a visitor's hand, only such photos show. Give them an empty label file: without any file the linter must ask. What share is best is not measured here.",
)

# %%
quiz.ask(
    "How many photos of a class do you need?",
    [
        "At least some thousands: below that a network of millions of parameters cannot learn",
        "It depends: train on half and on all, and see whether the score still rises",
        "One good photo is enough, if augmentation makes enough different ones of it",
    ],
    answer=1,
    why="It depends on how different the objects, places and lights are, on the start and on what you ask. If twice the photos raise the test score clearly, more will help again. This lesson's 32 photos gave something to look at, not something to use.",
)

# %%
quiz.ask(
    "You tried 40 settings and kept the one with the best mAP on val. Which number do you report?",
    [
        "That of val: no gradient ever came from these photos, so it is fair",
        "The mean of train and val, since both were used for the choice",
        "That of test, measured once for the setting you kept",
    ],
    answer=2,
    why="The best of 40 is partly the luckiest of 40 on these very photos. The same holds for the best epoch. A split that chose nothing has no such luck.",
)

# %%
quiz.ask(
    "Somebody sends you weights as a .pt file from a forum. What is the risk in reading it with torch.load(file, weights_only=False)?",
    [
        "It can run any program, before a single number is used",
        "The numbers may be of another network or bad, so measure them on val before use",
        "None, as long as the code that builds and runs the network is your own",
    ],
    answer=0,
    why="A pickle may call any function while it is read. Section 7 shows one that does. Read it with a restricted reader, or ask for safetensors.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the linter reports all planted kinds but one, and cannot see that | assertions in sections 2 and 4; `tests/test_lesson_own_data.py::test_every_planted_fault_is_reported_or_cannot_be` |
# | after the repairs every box is back | assertion in section 4 |
# | your conversion, groups and rows are right | exercises 15.1, 15.2, 15.3, against a reference on random inputs |
# | no group is torn apart by the split; the folder is clean | assertions in section 5; `tests/test_lesson_own_data.py::test_groups_are_connected_components` |
# | the default anchors reach at least 98 % of the boxes | assertion in section 6; `tests/test_anchors.py` |
# | a hostile file runs when read the old way, and is refused here | assertion in section 7; `tests/test_checkpoint.py` |
# | which rows of a head are taken over | exercise 15.3; assertions in section 7; `tests/test_transfer.py` |
# | the table of starts is what the benchmark measured | `tests/test_lesson_own_data.py::test_the_shipped_measurement_is_the_benchmark_s` |
# | every flag of the article's command is understood | the cell in section 9; `tests/test_lesson_own_data.py::test_the_article_s_flags` |
# | 7 test photos of 5 scenes leave a wide range | assertion in section 11 |
# | the ONNX file finds the same boxes | assertion in section 13; `tests/test_export.py` |
# | figures and widget say what the modules say | `tests/test_lesson_own_data.py` |
#
# **References** Yosinski, Clune, Bengio, Lipson 2014, arXiv:1411.1792 (transfer) · Howard, Ruder 2018, arXiv:1801.06146 (rates by stage) · Redmon, Farhadi 2016, arXiv:1612.08242 (anchors by clustering) ·
# Efron 1979, Annals of Statistics 7(1) (bootstrap) · Lin et al. 2014, arXiv:1405.0312 (COCO)
#
# ← [14 The bug clinic](14_bug_clinic.ipynb) · **15 Your own data** · [16 Training in full](16_train_on_gpu.ipynb) →
