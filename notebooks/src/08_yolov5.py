# %% [markdown]
# # 08 · The whole network: every row, every number
#
# **60 minutes · difficulty ●●●○○ · importance ●●●●○**
#
# After this lesson you can
# - read a model file row by row, and build the network that it describes,
# - scale the network with two numbers, and predict what that does to its parameters,
# - explain every column of the article's parameter table, and say which numbers must equal yours and which cannot,
# - derive the spread of a fresh convolution's weights and the biases that a fresh detector starts with,
# - say what changed from 2020 to 2022, down to the last parameter.
#
# You need the blocks: [01 The convolution block](01_convolution_block.ipynb), [03 Cross-stage partial networks](03_csp.ipynb),
# [05 Spatial pyramid pooling](05_spp.ipynb), and how they are joined:
# [04 CSPDarknet, the backbone](04_csp_darknet.ipynb), [06 FPN and PAN, the neck](06_fpn_pan.ipynb), [07 Anchors and Detect, the head](07_anchors_and_detect.ipynb).

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
from functools import partial
from itertools import pairwise

import torch
import yaml
from IPython.display import HTML
from torch import nn

from yolo_edu import YOLOv5, YOLOv5v6, summary
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.course.article import read_parameter_table, read_printout
from yolo_edu.model.blocks import C3, SPP, SPPF, BottleneckCSP, Concat, Conv, Focus, silu
from yolo_edu.model.detect import SIZES, Detect

# %%
with torch.device("meta"):  # shapes without numbers: enough for a drawing
    weightless = YOLOv5("s", 80)
figures.show(figures.network_map(model=weightless), alt=figures.MAP_ALT)

# %% [markdown]
# Every block on this map has had its lesson. Now all of them are lit. The article trains size l with 5 classes and prints size s with 80 (June 2020,
# release 1.0). This lesson takes apart what it prints; section 8 comes back to the 5.
#
# ## 1 The network, assembled
# `YOLOv5` keeps a flat list of 28 rows and walks it in three parts: `backbone`, `neck`, `head`.
#
# *Letters.* B images (1 here), A = 3 anchors a cell, K = 80 classes, N boxes in all. P3, P4, P5 are the backbone's maps of stride 8, 16 and 32;
# N3, N4, N5 are what the neck makes of them.

# %%
torch.manual_seed(8)
net = YOLOv5("s", 80, bn_eps=1e-5, bn_momentum=0.1).eval()  # section 4: why these settings
images = torch.rand(1, 3, 640, 640)  # (B, 3, H, W)
with torch.no_grad():
    levels = net.backbone(images)
    mixed = net.neck(*levels)
    raw = net.head(*mixed)
    again = net(images)
for level, p, n, x in zip(("P3", "P4", "P5"), levels, mixed, raw, strict=True):
    before_head = f"backbone {tuple(p.shape)!s:<18} neck {tuple(n.shape)!s:<18}"
    print(f"{level}   {before_head} head {tuple(x.shape)}")
assert all(torch.equal(a, b) for a, b in zip(raw, again, strict=True))  # forward does these three
boxes = net.decode(raw)  # (B, N, 5 + K)
print(f"decoded  {tuple(boxes.shape)}: {boxes.shape[1]:,} boxes of 4 + 1 + {net.classes} numbers")

# %% [markdown]
# The neck returns the shapes that it was given: each level has heard from the others and kept its size. The head turns the channels of a level into
# A × (5 + K) = 3 × 85 = 255 numbers a cell.
#
# The rows, one line each. *from* is the row whose output it takes in, −1 for the row before. *repeats* is the number of bottlenecks in a CSP stage.
# (`summary.layer_table(net)` prints more: arguments, strides, receptive fields, work.)

# %%
rows = summary.layer_rows(net)
print("row  from        repeats  block          output           parameters")
for row in rows:
    source = "-1" if row.sources == (row.row - 1,) else ", ".join(map(str, row.sources))
    shape = " ".join(map(str, row.outputs[0].shape[1:])) if row.row < 27 else "3 levels"
    line = f"{row.row:>3}  {source:<10} {row.repeats:>8}  {row.block:<13}  {shape:<15}"
    print(f"{line} {row.parameters:>11,}")
parameters = sum(row.parameters for row in rows)
print(f"{len(rows)} rows, {parameters:,} parameters")
assert (len(rows), parameters) == (28, 7_468_157)

# %% [markdown]
# Only seven rows do not simply follow the one before: the four `Concat`, the two rows 19 and 23 that go on from the neck and not from a prediction,
# and `Detect`, which collects rows 18, 22 and 26. Upsample, Concat and Detect have no parameters at all.
#
# Rows 1, 3, 5 and 7 are the same kind of layer, a 3 × 3 convolution of stride 2 that doubles the channels. Their parameters grow fast.
#
# **Predict, then run:** row 7 has about 64 times the parameters of row 1. How many times its work? (Work is counted in FLOPs, 2 for each
# multiplication with its addition.)

# %%
quiz.predict(
    "FLOPs of row 7, divided by FLOPs of row 1",
    answer=rows[7].flops // rows[1].flops,
    why="The same work: from one level to the next, twice as many channels come in and twice as "
    "many go out, four times the parameters, but the map has a quarter of the cells.",
)

# %%
for i in (1, 3, 5, 7):
    print(f"row {i}: {rows[i].parameters:>9,} parameters, {rows[i].flops / 1e9:.2f} GFLOPs")
work = sum(row.flops for row in rows)
print(f"the network: {parameters:,} parameters, {work / 1e9:.1f} GFLOPs")

# %% [markdown]
# ## 2 Five sizes from two numbers
# The list of rows is written once, for size l. All other sizes come from it by two *multiples*: **depth** scales how many bottlenecks a CSP stage has,
# **width** scales how many channels a row puts out.
#
# - Depth: the bottlenecks of a stage, times depth, rounded with Python's `round`; at least 1 is left. What stands once in the full size stays once.
# - Width: the channels, times width, rounded **up** to a multiple of 8 (a size that GPUs like). The 3 · (5 + K) outputs of a prediction are not scaled.
#
# ### Exercise 8.1 · The two rules (5 minutes, ●●○○○)
# Write them. `n` bottlenecks and `c` channels are whole numbers of the full size, the multiples are floats.


# %%
def repeats(n, depth):
    """Bottlenecks of a stage that has n in the full size."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


def channels(c, width):
    """Channels of a row that puts out c in the full size."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


repeats, channels = checks.scale_rules(repeats, channels)

# %% [markdown]
# <details><summary>Hint 1</summary>For the depth: two conditions surround one <code>round</code>. Which n is never scaled, and which result is never allowed?</details>
# <details><summary>Hint 2</summary>For the width: count in eights. <code>math.ceil(c * width / 8)</code> says how many eights are needed.</details>
# <details><summary>Solution</summary>
#
# ```python
# def repeats(n, depth):
#     return max(round(n * depth), 1) if n > 1 else n
#
#
# def channels(c, width):
#     return math.ceil(c * width / 8) * 8
# ```
# </details>

# %%
print("size  depth  width   3 and 9 repeats become   64 … 1024 channels become")
for size, (depth, width) in SIZES.items():
    stages = "  ".join(f"{repeats(n, depth):>2}" for n in (3, 9))
    wide = "  ".join(f"{channels(c, width):>4}" for c in (64, 128, 256, 512, 1024))
    print(f"{size:>4}  {depth:>5}  {width:>5}          {stages}                {wide}")

# %% [markdown]
# Sizes n and s have the same depth: n is s at half the width. And 0.33 is a rounded third: 9 · 0.33 = 2.97, so only the rounding makes three of it.
#
# Now the counts, of June 2020 and of November 2022 (release 7.0, `YOLOv5v6` here). `torch.device("meta")` builds a network of shapes without numbers: the
# largest takes milliseconds and no memory. (The numbers on the right of `==` are this course's own and guard it against slips. For size s of 2020 the
# article has a say too: section 5.)


# %%
def built(release, size, classes=80):
    """Parameters of a network without weights."""
    with torch.device("meta"):
        return sum(p.numel() for p in release(size, classes).parameters())


first = {size: built(YOLOv5, size) for size in "smlx"}
latest = {size: built(YOLOv5v6, size) for size in "nsmlx"}
assert first == {"s": 7_468_157, "m": 21_805_053, "l": 47_818_749, "x": 88_965_245}
assert latest == {
    "n": 1_872_157, "s": 7_235_389, "m": 21_190_557, "l": 46_563_709, "x": 86_749_405,
}  # fmt: skip
print("size   June 2020   release 7.0")
for size in "nsmlx":
    old = f"{first[size]:,}" if size in first else "–"
    print(f"{size:>4} {old:>11} {latest[size]:>13,}")
depth, width = SIZES["s"]
for name, scale in (("width", (depth, 2 * width)), ("depth", (2 * depth, width))):
    times = built(YOLOv5, scale) / first["s"]
    print(f"size s with twice the {name}: {times:.2f} times the parameters")

# %% [markdown]
# Twice the width is nearly four times the parameters, because a convolution's weight is *in × out*. Not quite four: the head's outputs, BatchNorm and the
# image's three channels do not square. Twice the depth only adds bottlenecks. (The article calls s the smallest. That was true until n came.)
#
# ## 3 What the rows of a model file mean
# The article trains with `--cfg ./models/customer_yolov5l_5classes.yaml`. Such a file is the list of rows of section 1 in the full size, and above it the two multiples.
# A row is **[from, number, module, args]**:
# - *from*: the row or rows it reads, −1 for the one before,
# - *number*: for a CSP stage, how many bottlenecks it has (scaled by depth); 1 for everything else here,
# - *module*: which block,
# - *args*: output channels first (scaled by width), then what the block needs, such as kernel and stride; `false` means no shortcut.
#
# Here it is for YOLOv5 s. What the file calls `head` is everything behind the backbone: this course calls rows 10 to 25 the neck, except the predictions, and only rows 18, 22, 26
# and 27 the head. (The file of the release lists row 9 under `head`; that changes nothing, the two lists are joined. And it names the
# levels of `Detect` from coarse to fine; in this course they run P3, P4, P5 everywhere.)

# %%
TEXT = """
nc: 80                            # K, the number of classes
depth_multiple: 0.33
width_multiple: 0.50
anchors:                          # width, height in pixels
- [10, 13, 16, 30, 33, 23]        # P3
- [30, 61, 62, 45, 59, 119]       # P4
- [116, 90, 156, 198, 373, 326]   # P5
backbone:
- [-1, 1, Focus, [64, 3]]
- [-1, 1, Conv, [128, 3, 2]]
- [-1, 3, BottleneckCSP, [128]]
- [-1, 1, Conv, [256, 3, 2]]
- [-1, 9, BottleneckCSP, [256]]            # 4: P3
- [-1, 1, Conv, [512, 3, 2]]
- [-1, 9, BottleneckCSP, [512]]            # 6: P4
- [-1, 1, Conv, [1024, 3, 2]]
- [-1, 1, SPP, [1024, [5, 9, 13]]]
- [-1, 3, BottleneckCSP, [1024, false]]    # 9: P5
head:
- [-1, 1, Conv, [512, 1]]
- [-1, 1, Upsample, [null, 2, nearest]]
- [[-1, 6], 1, Concat, []]
- [-1, 3, BottleneckCSP, [512, false]]
- [-1, 1, Conv, [256, 1]]                  # 14
- [-1, 1, Upsample, [null, 2, nearest]]
- [[-1, 4], 1, Concat, []]
- [-1, 3, BottleneckCSP, [256, false]]     # 17: N3
- [-1, 1, Conv2d, [predictions, 1]]        # 18
- [17, 1, Conv, [256, 3, 2]]
- [[-1, 14], 1, Concat, []]
- [-1, 3, BottleneckCSP, [512, false]]     # 21: N4
- [-1, 1, Conv2d, [predictions, 1]]        # 22
- [21, 1, Conv, [512, 3, 2]]
- [[-1, 10], 1, Concat, []]
- [-1, 3, BottleneckCSP, [1024, false]]    # 25: N5
- [-1, 1, Conv2d, [predictions, 1]]        # 26
- [[18, 22, 26], 1, Detect, [nc, anchors]]"""
spec = yaml.safe_load(TEXT)

# %% [markdown]
# And an interpreter: it reads rows, and builds and runs the network. It uses *your* two rules. Only a module that stands in a dict is built.
# Python's `eval` would be shorter, and would let a model file run any code on your machine.
#
# Follow one row through it. Row 12 is `[[-1, 6], 1, Concat, []]`. Counted from 12, −1 is row 11, so it reads rows 11 and 6. Both put out 256 channels,
# and `made` notes 256 + 256 = 512 for it. Row 13 finds them there as its input channels.


# %%
ALLOWED = (Focus, Conv, BottleneckCSP, SPP, Concat, Detect, nn.Conv2d, nn.Upsample)
BLOCKS = {block.__name__: block for block in ALLOWED}


class Interpreted(nn.Module):
    """A network from rows [from, number, module, args]."""

    def __init__(self, spec, blocks=BLOCKS):
        super().__init__()
        depth, width = spec["depth_multiple"], spec["width_multiple"]
        outputs = len(spec["anchors"][0]) // 2 * (5 + spec["nc"])  # A · (5 + K)
        self.model, self.sources = nn.ModuleList(), []
        made = []  # channels that each row puts out
        for i, (source, number, name, args) in enumerate(spec["backbone"] + spec["head"]):
            source = [source] if isinstance(source, int) else source
            source = [j if j >= 0 else i + j for j in source]
            c_in = [made[j] if j >= 0 else 3 for j in source]  # the image has 3 channels
            build = blocks[name]  # KeyError: no other name builds anything
            if name == "Detect":  # no prediction rows before it: it owns the convolutions (7.0)
                own = [] if set(c_in) == {outputs} else c_in
                block, c_out = build(spec["nc"], own, anchors=spec["anchors"]), outputs
            elif name in ("Concat", "Upsample"):
                block, c_out = build(*args), sum(c_in)
            else:
                c_out = outputs if args[0] == "predictions" else channels(args[0], width)
                stage = [repeats(number, depth)] if name in ("BottleneckCSP", "C3") else []
                block = build(c_in[0], c_out, *stage, *args[1:])
            self.model.append(block)
            self.sources.append(source)
            made.append(c_out)

    def forward(self, images):  # (B, 3, H, W) → P3, P4, P5 (B, A, h, w, 5 + K)
        results = []
        for block, source in zip(self.model, self.sources, strict=True):
            inputs = [results[j] if j >= 0 else images for j in source]
            results.append(block(inputs if isinstance(block, (Concat, Detect)) else inputs[0]))
        return results[-1]


# %% [markdown]
# Is it the same network? The same names and shapes in the same order, and with the same weights the same numbers, bit for bit:

# %%
interpreted = Interpreted(spec).eval()
theirs = [(name, x.shape) for name, x in net.state_dict().items()]
assert theirs == [(name, x.shape) for name, x in interpreted.state_dict().items()]
interpreted.load_state_dict(net.state_dict())
with torch.no_grad():
    answers = interpreted(images)
assert all(torch.equal(a, b) for a, b in zip(answers, raw, strict=True))
assert torch.equal(interpreted.model[-1].decode(answers), boxes)
print(f"{len(theirs)} entries of the state dict agree,")
print(f"and so do all {boxes.numel():,} numbers of the answer")

for size, (depth, width) in SIZES.items():  # two numbers changed in the file: another size
    with torch.device("meta"):
        scaled = Interpreted({**spec, "depth_multiple": depth, "width_multiple": width})
        wanted = [p.shape for p in YOLOv5(size, 80).parameters()]
    assert [p.shape for p in scaled.parameters()] == wanted

try:
    Interpreted({**spec, "head": [[-1, 1, "os.system", ["echo gotcha"]]]})
except KeyError as error:
    print(f"a row that names {error} builds nothing")

# %% [markdown]
# The command line reads the same format: `yolo-edu train --cfg FILE.yaml` takes multiples and anchors from it and checks that the rows are those of one of
# the two releases (`yolo_edu/cfg.py`).
#
# ## 4 The article's printout, line by line
# The article shows "the model architecture file". What it shows is not the file, which is section 3, but what Python prints of the network built from it.
# It can be compared to the letter.

# %%
printed = read_printout().splitlines()
ours = summary.printout(net.model).splitlines()
assert ours == printed
print("\n".join([*printed[:5], "…", *printed[-2:]]))
print(f"\n{len(printed)} lines, equal in every character")

as_trained = summary.printout(YOLOv5("s", 80).model).splitlines()
changed = [(a, b) for a, b in zip(printed, as_trained, strict=True) if a != b]
print(f"built as the release trains it, {len(changed)} lines differ, all of one kind:")
print(f"  article {changed[0][0].strip()}\n  trained {changed[0][1].strip()}")
today = ", ".join(map(repr, net.model)).splitlines()
respelled = sum(a != b for a, b in zip(today, printed, strict=True))
print(f"this PyTorch spells {respelled} lines in another way")

# %% [markdown]
# Two honest footnotes.
# - **eps and momentum.** The release sets 0.0001 and 0.03 in every BatchNorm *after* it has built the network. The article printed before that, so its
#   lines show PyTorch's defaults, 1e-05 and 0.1. That is why this lesson builds the network with `bn_eps=1e-5, bn_momentum=0.1`.
# - **Spelling.** PyTorch has since put quotes around `mode='nearest'`, and newer versions print one more setting of BatchNorm. `summary.printout` takes
#   these two spellings back, nothing else.
#
# All of it, if you want to scroll:

# %%
lines = "\n".join(ours)
HTML(f"<details><summary>The {len(ours)} lines</summary><pre>{lines}</pre></details>")

# %%
convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
for name in ("Conv2d", "BatchNorm2d", "LeakyReLU", "Sigmoid"):
    print(f"{name:<12} {sum(line.count(name + '(') for line in printed):>3}")

# %% [markdown]
# The article says that the sigmoid is used "in the final detection layer". There is none in the printout: the last line is `Detect()`, without content.
# The network's answer is raw; the sigmoid is the first step of *decoding* (lesson 07), and the loss works on the raw numbers (lesson 11). Nor does the printout say who reads
# from whom: `Concat()` does not name its sources. For that you need the column *from*.
#
# **Predict, then run:** 70 convolutions and 59 BatchNorms. How many tensors does training change? Each convolution has a weight, and three of them,
# the predictions, have a bias. Each BatchNorm trains two tensors, γ and β.

# %%
quiz.predict(
    "the number of parameter tensors",
    answer=len(list(net.parameters())),
    why="A weight for each convolution, 3 biases, γ and β for each BatchNorm: 70 + 3 + 2 · 59.",
)

# %% [markdown]
# ## 5 The table of 191 rows
# The article ends with a table under the heading "Weights, Biases, Parameters, Gradients and Final Model Summary" and leaves it to the reader. It has a row for
# each parameter tensor. Here is how it begins, made from our network:

# %%
print("\n".join(summary.parameter_table(net).splitlines()[:11]))

# %% [markdown]
# | column | what it says |
# |---|---|
# | layer | the number of the *parameter tensor*, in the order of construction. Not a layer: row 0 of the network alone has three |
# | name | the path to it. `model.17.m.0.cv2.conv.weight`: row 17, in its stack `m` the bottleneck 0, there the block `cv2`, there the convolution, there the weight |
# | gradient | `requires_grad`: may training change it? True everywhere here; a frozen layer would say False |
# | parameters | how many numbers it holds, printed with six digits: the largest, 1,179,648, became 1.17965e+06 |
# | shape | of a convolution: [out, in, kernel height, kernel width]; of BatchNorm or a bias: [channels] |
# | mu, sigma | mean and standard deviation of these numbers, directly after construction: the initialization, before any training |
#
# The first five columns follow from the architecture. They must be equal in all 191 rows:

# %%
article = read_parameter_table()
ours = summary.parameter_rows(net)
for a, o in zip(article, ours, strict=True):
    assert (a.layer, a.name, a.gradient, a.shape) == (o.layer, o.name, o.gradient, o.shape), a
    assert a.parameters == f"{o.parameters:g}", a
print(f"layer, name, gradient, parameters, shape: equal in {len(article)} of {len(article)} rows")
assert sum(math.prod(a.shape) for a in article) == parameters  # the article's own shapes

state = net.state_dict()
measured = [name for name in state if "running" in name or "num_batches" in name]
print(f"state dict: {len(state)} entries =")
print(f"    {len(article)} parameters + {len(measured)} of BatchNorm + 1 of anchors")
assert len(state) == len(article) + len(measured) + 1
assert len(measured) == 3 * len(norms)
largest = max(ours, key=lambda row: row.parameters)
print(f"the largest tensor: {largest.name} {list(largest.shape)}")
print(f"it alone holds {largest.parameters / parameters:.1%} of all parameters")

# %% [markdown]
# So how many layers does the network have: 28 rows, 70 convolutions or 191? Ask first what is counted. And the table is not all that a weights file holds: BatchNorm's
# running means and variances are *measured*, not trained, and stand in the state dict alone.
#
# ## 6 mu and sigma: random numbers that can be predicted
# The last two columns come from random draws. Ours cannot equal the article's. But they can be compared with theory, and so can the article's.
#
# **BatchNorm** is not random: weight (γ) 1, bias (β) 0. So mu is 1 or 0, and sigma is 0.
#
# **Convolutions.** `nn.Conv2d` draws its weights from `kaiming_uniform_(a=√5)`. Take it apart:
# 1. The *fan-in* is how many numbers one output adds up: input channels × kernel height × kernel width.
# 2. The rule draws uniformly from ±b with b = gain · √(3 / fan-in), where gain = √(2 / (1 + a²)).
# 3. With a = √5 the gain is √(2/6) = 1/√3. The two roots of 3 cancel: **b = 1/√fan-in**. The odd √5 is there only for this.
# 4. The mean of a uniform ±b is 0, its variance b²/3.

# %%
largest_weights = [m.weight.detach().abs().max().item() for m in convolutions]
bounds = [1 / math.sqrt(math.prod(m.weight.shape[1:])) for m in convolutions]  # b of each
worst = max(w / b for w, b in zip(largest_weights, bounds, strict=True))
print(f"the largest weight of all convolutions, as a share of its bound: {worst:.6f}")
assert worst <= 1 + 1e-6

# %% [markdown]
# ### Exercise 8.2 · Sigma from a shape (4 minutes, ●●○○○)
# Put steps 1 to 4 together: the standard deviation of a fresh convolution's weights, from the shape alone.


# %%
def sigma_of(shape):
    """(out, in, kernel height, kernel width) → standard deviation of the fresh weights."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


sigma_of = checks.sigma_of(sigma_of)

# %% [markdown]
# <details><summary>Hint 1</summary>Which three of the four numbers of the shape belong to <i>one</i> output?</details>
# <details><summary>Hint 2</summary><code>math.prod(shape[1:])</code> is the fan-in.</details>
# <details><summary>Hint 3</summary>The variance is b²/3 with b² = 1/fan-in. The standard deviation is its root.</details>
# <details><summary>Solution</summary>
#
# ```python
# def sigma_of(shape):
#     return 1 / math.sqrt(3 * math.prod(shape[1:]))
# ```
# </details>

# %%
for layer in (0, 3, 6, 10, 84, 147):
    a, o = article[layer], ours[layer]
    row = f"{layer:>4}  {a.name:<26} {list(a.shape)!s:<19}"
    print(f"{row} theory {sigma_of(a.shape):.4f}  article {a.std:<7} ours {o.std:.4f}")

# %% [markdown]
# Neither the number of outputs nor the place in the network counts. But near is not equal. How near must they be? Let n be how many numbers a tensor holds.
# - The mean of n draws strays by σ/√n, its *standard error*.
# - The deviation of n draws from a uniform strays by σ · √(0.2/n). (From any other distribution by σ · √((κ − 1)/(4n)); the kurtosis κ of a uniform is 1.8.)
#
# About 95 of 100 draws lie within two standard errors. In the figure that is the funnel: the more numbers, the nearer.

# %%
figures.show(figures.sigma_over_theory(net, article), alt=figures.FIGURES["L08_sigma"][1])

# %% [markdown]
# The same in numbers, mu and sigma together (optional reading, but run the cell). The article printed three digits, the bars of the figure. For large tensors that is coarser than
# chance: a last digit of size u adds an error of u / √12. If the theory is right, the distances in standard errors behave like standard normal numbers: mean 0, deviation 1, hardly any beyond 3.


# %%
def step(value):
    """The last digit that "%.3g" prints of a number."""
    return 10.0 ** (math.floor(math.log10(abs(value))) - 2) if value else 0.0


def distances(row, rounded):
    """A convolution's row: (mu, sigma) minus theory, in standard errors."""
    sigma, n = sigma_of(row.shape), math.prod(row.shape)
    errors = [sigma / math.sqrt(n), sigma * math.sqrt(0.2 / n)]
    if rounded:
        steps = (step(row.mean), step(row.std))
        errors = [math.hypot(e, u / math.sqrt(12)) for e, u in zip(errors, steps, strict=True)]
    return row.mean / errors[0], (row.std - sigma) / errors[1]


for name, table, rounded in (("article", article, True), ("ours", ours, False)):
    z = torch.tensor([distances(row, rounded) for row in table if len(row.shape) == 4])  # (70, 2)
    spread = f"deviation of mu {z[:, 0].std():.2f}, of sigma {z[:, 1].std():.2f}"
    within = (z.abs() < 2).float().mean()
    print(f"{name:<8} {spread}; {within:.0%} within 2, farthest {z.abs().max():.1f}")
    assert z.abs().max() < 5
    assert z.mean(dim=0).abs().max() < 0.6
    assert (z.std(dim=0) - 1).abs().max() < 0.4

# %% [markdown]
# The article's 140 random numbers are as far from theory as chance allows, no more and no less. They are those of a fresh network.
#
# ### Does it matter that sigma is this small?
# An output adds fan-in products of a weight and an input x. Its variance is fan-in · σ² · E[x²], where E[x²] is the mean square of the inputs. It depends on σ:
# - PyTorch's default, σ² = 1/(3 · fan-in), leaves E[x²]/3. The signal shrinks at every layer.
# - LeCun's rule of 1998, σ² = 1/fan-in, keeps E[x²].
# - He's rule of 2015, σ² = 2/fan-in, doubles it, to make up for the half that a ReLU cuts away.
#
# Let 20 layers show the first and the last, each a 1 × 1 convolution and LeakyReLU:

# %%
torch.manual_seed(0)
results = {}
for name in ("default", "He", "default + BatchNorm"):
    x = torch.randn(256, 256, 4, 4)
    for _ in range(20):
        layer = nn.Conv2d(256, 256, 1, bias=False)
        if name == "He":
            nn.init.normal_(layer.weight, std=math.sqrt(2 / 256))
        norm = nn.BatchNorm2d(256) if "BatchNorm" in name else nn.Identity()
        with torch.no_grad():
            x = nn.functional.leaky_relu(norm(layer(x)), 0.1)
    results[name] = x.square().mean().item()
    print(f"{name:<20} E[x²] after 20 layers: {results[name]:.2g}")
# A layer leaves a third; LeakyReLU keeps one half of it, and a hundredth of the other half.
expected = (1 / 3 * (1 + 0.1**2) / 2) ** 20
print(f"{'default, by theory':<20} E[x²] after 20 layers: {expected:.2g}")
assert 0.3 < results["default"] / expected < 3
assert 0.3 < results["He"] < 3
assert 0.4 < results["default + BatchNorm"] < 0.6

# %% [markdown]
# Without help the signal is gone after 20 layers, and here 35 convolutions stand one behind the other up to row 9. The network may start like this because a
# BatchNorm stands behind every convolution except the predictions and sets the scale anew. (In a CSP stage two convolutions share one: it comes after
# their outputs are joined.)
#
# ### The three rows that stand out: 148, 169 and 190
# These are the biases of the prediction convolutions, 255 = 3 × 85 numbers each, with a mean near −4.7 and a deviation near 1. The article gives them no word.
# They are set on purpose (lesson 07; Lin et al. 2017): a fresh detector should say "nothing here" almost everywhere.
# - objectness gets + ln(8 / cells): one anchor expects 8 objects among all the cells of a level, counted at 640 pixels,
# - each of K classes gets + ln(0.6 / (K − 0.99)): the K probabilities add up to about 0.6. (0.6 and 0.99 are constants of the release. Without the
#   0.99 a single class would start at 0.6/1.6; with it, near 1.)
# - the four box numbers get nothing.
#
# The offset is *added*: underneath, PyTorch has drawn the bias from the same ±1/√fan-in as the weights.


# %%
STRIDE_OF = {148: 8, 169: 16, 190: 32}  # row of the table → stride of its level


def offsets(stride, classes=80):
    """(255,) what the biases of a level get."""
    added = torch.zeros(3, 5 + classes)
    added[:, 4] = math.log(8 / (640 / stride) ** 2)
    added[:, 5:] = math.log(0.6 / (classes - 0.99))
    return added.flatten()


def theory_of_biases(layer):
    """mu and sigma of a row of prediction biases, and how far both may stray."""
    added, noise = offsets(STRIDE_OF[layer]), sigma_of(article[layer - 1].shape)
    sigma = math.sqrt(added.var().item() + noise**2)
    return added.mean().item(), sigma, noise / math.sqrt(len(added))


print("row  objectness  class    theory: mu  sigma   article: mu  sigma   ours: mu  sigma")
for layer, stride in STRIDE_OF.items():
    added, (mu, sigma, error) = offsets(stride), theory_of_biases(layer)
    a, o = article[layer], ours[layer]
    start = f"{layer}   {added[4]:>8.2f} {added[5]:>8.2f}   {mu:>10.3f} {sigma:>6.3f}"
    print(f"{start}   {a.mean:>10} {a.std:>6}   {o.mean:>8.3f} {o.std:>6.3f}")
    for row, half in ((a, 0.005), (o, 0)):  # half a unit of the last digit printed
        assert abs(row.mean - mu) < 4 * error + half
        assert abs(row.std - sigma) < 4 * error + half

# %% [markdown]
# So −4.67, −4.66 and −4.64 are means over 80 class offsets of −4.88, one objectness offset that depends on the level, and four zeros. The four zeros among 85 numbers
# make most of the deviation.
#
# What does the network expect, then? Call one anchor's cells of one level an *anchor grid*. The 8 is the prior of one anchor grid, and there are nine of them:
# 3 anchors × 3 levels.

# %%
prior = 0.0
for stride, x in zip(STRIDE_OF.values(), raw, strict=True):  # x (B, A, h, w, 5 + K)
    objectness, cells = offsets(stride)[4].sigmoid().item(), (640 // stride) ** 2
    grid = objectness * cells
    prior += 3 * grid
    level = f"{objectness:.5f} × {cells:>5,} cells = {grid:.2f} an anchor grid"
    print(f"stride {stride:>2}: {level}, {3 * grid:.1f} a level", end="; ")
    print(f"measured {x[..., 4].sigmoid().sum():.1f}")
measured = sum(x[..., 4].sigmoid().sum().item() for x in raw)
count = boxes.shape[1]
print(f"in all {prior:.1f} of {count:,} boxes, 1 in {count / prior:.0f}; measured {measured:.1f}")
assert abs(measured - prior) < 3

# %% [markdown]
# The rule is often read as "8 objects an image". It is 8 an *anchor grid*, about 71 boxes in all. (71 and not 9 · 8 = 72, because the sigmoid of ln p is p / (1 + p), a little less
# than p.)
#
# ### All 191 rows
# The article's table and ours side by side (without the column *gradient*, True in every row). *off* is the article's distance from theory in standard errors. The
# three rows of biases are bold. Scroll in the box, with the mouse or the arrow keys.

# %%
theory, off = [], []  # of each row: (mu, sigma), and how far the article is from both
for a in article:
    if len(a.shape) == 4:
        theory.append((0.0, sigma_of(a.shape)))
        off.append(distances(a, rounded=True))
    elif a.layer in STRIDE_OF:
        *expected, error = theory_of_biases(a.layer)
        error = math.hypot(error, 0.01 / math.sqrt(12))  # printed with two decimals
        theory.append(tuple(expected))
        off.append(((a.mean - expected[0]) / error, (a.std - expected[1]) / error))
    else:  # BatchNorm
        theory.append((1.0, 0.0) if a.name.endswith("weight") else (0.0, 0.0))
        assert (a.mean, a.std) == theory[-1]
        off.append((0.0, 0.0))
assert max(abs(z) for pair in off for z in pair) < 4
assert all(row.gradient for row in article)
caption = f"The {len(article)} parameter tensors of YOLOv5 s, June 2020"
figures.parameter_comparison(article, ours, theory, off, caption=caption, bold=STRIDE_OF)

# %% [markdown]
# ## 7 Where the parameters sit, and where the work is done

# %%
figures.show(figures.parameter_bars(net), alt=figures.FIGURES["L08_parameters"][1])

# %% [markdown]
# How is that divided among the levels?

# %%
placed = figures.map_rows(net)
for stride in (2, 4, 8, 16, 32):
    own = [rows[row.number] for row in placed if row.stride == stride]
    share = sum(row.parameters for row in own) / parameters
    print(f"stride {stride:>2}: {share:>4.0%} of the parameters, ", end="")
    print(f"{sum(row.flops for row in own) / work:>3.0%} of the work")
heavy = sum(rows[i].parameters for i in (7, 9, 25)) / parameters
light = sum(rows[i].flops for i in (7, 9, 25)) / work
print(f"rows 7, 9 and 25 alone: {heavy:.0%} of the parameters, {light:.0%} of the work")

# %% [markdown]
# The rows of stride 32 hold 69% of the parameters and do 24% of the work. Three of them, 7, 9 and 25, hold half of all parameters. The most work is done in rows 4 and 6, of strides 8 and 16.
# If you prune, decide first whether the file is too large or the work too much: they are different rows.
#
# ### A second opinion: torchinfo (optional)
# The package torchinfo counts on its own. It stops at the depth you ask for; 2 shows the rows.

# %%
if summary.torchinfo is None:
    print("not installed here; `pip install torchinfo` and run this cell again")
else:
    info = summary.torchinfo.summary(
        weightless, input_size=(1, 3, 640, 640), device="meta", depth=2, verbose=0, col_width=22
    )
    lines = str(info).splitlines()
    print("\n".join([*lines[:8], "…", *lines[-13:-9]]))
    more = info.total_mult_adds - work // 2
    print(f"multiply-adds: {info.total_mult_adds:,}, which is {more:,} more than ours")
    biases = 255 * (80**2 + 40**2 + 20**2)  # added in every cell
    assert more == biases + sum(2 * m.num_features for m in norms)
    assert info.total_params == parameters

# %% [markdown]
# Both count the same parameters. The multiply-adds differ by 0.02%, and the assertion says by what: torchinfo counts one for each bias added in a cell, and γ and β of
# each BatchNorm once.
#
# ### A published number that does not follow from the layers
# The releases were published with tables of GFLOPs for images of 640 × 640 pixels. The middle column is taken from them, not computed here. Size s of June 2020 has **13.2**.


# %%
def gflops(release, size):
    with torch.device("meta"):
        return sum(row.flops for row in summary.layer_rows(release(size, 80))) / 1e9


ours_2020 = gflops(YOLOv5, "s")
print(f"June 2020    s  published  13.2   counted {ours_2020:6.1f}   {ours_2020 / 13.2 - 1:+.1%}")
assert 17.3 < ours_2020 < 17.6
for size, published in {"n": 4.5, "s": 16.5, "m": 49.0, "l": 109.1, "x": 205.7}.items():
    counted = gflops(YOLOv5v6, size)
    apart = f"{counted / published - 1:+.1%}"
    print(f"release 7.0  {size}  published {published:>5}   counted {counted:6.1f}   {apart}")
    assert abs(counted / published - 1) < 0.0075

# %% [markdown]
# For all five sizes of release 7.0 our count is within 0.7% of the published one, which has one decimal (4.5 alone may be off by 1.1%). The same way of counting gives 17.4 for
# June 2020. Where 13.2 comes from we cannot say.
#
# ### Play: a ledger
# Change the release, the size, the number of classes, the side of the image, and fold BatchNorm into the convolutions. Three things to find out:
# - For which size is the head's share of the parameters largest with 80 classes?
# - Which of the controls change the work but not one parameter?
# - How many parameters does the folding save? (Compare lesson 01.)
#
# <details><summary>What there is to find</summary>For n: its backbone and neck are small, and the 255 outputs are the same for every size. Only the side of the image
# changes the work and nothing else. Folding saves 8,576 parameters in s of June 2020, one for each channel of a Conv, and 51 of its 191 tensors: γ and β go, a bias comes.
# The FLOPs stay, because only convolutions are counted.</details>

# %%
explorer = widgets.parameter_ledger()

# %% [markdown]
# ## 8 Five classes instead of 80
# The article trains on 5 classes: K = 5. Only the predictions know K. All else stays.
#
# ### Exercise 8.3 · Count them yourself (6 minutes, ●●○○○)
# YOLOv5 s of June 2020, K = 5. Write products of what you know, for example `64 * 32 * 9 + 2 * 64` for row 1. The table of section 1 says how many channels a
# prediction reads.
# - "row 22" and "row 26": 1 × 1 convolutions with a bias and no BatchNorm.
# - "all": the whole network. You know 7,468,157 for K = 80.

# %%
mine = {"row 22": None, "row 26": None, "all": None}  # YOUR NUMBERS instead of None

counts = checks.five_class_counts(mine)

# %% [markdown]
# <details><summary>Hint 1</summary>How many numbers does a cell predict, for 3 boxes of 4 + 1 + K each? So many outputs the convolution has.</details>
# <details><summary>Hint 2</summary>Each output has one weight for every input channel, and one bias. Row 22 reads row 21, row 26 reads row 25.</details>
# <details><summary>Hint 3</summary>For the whole: 255 − 30 outputs go in each of <i>three</i> rows, and with each output its weights and its bias.</details>
# <details><summary>Solution</summary>
#
# ```python
# mine = {
#     "row 22": 3 * (5 + 5) * (256 + 1),
#     "row 26": 3 * (5 + 5) * (512 + 1),
#     "all": 7_468_157 - 3 * (80 - 5) * (128 + 256 + 512 + 3),
# }
# ```
# </details>

# %%
with torch.device("meta"):
    five = YOLOv5("s", 5)
for i, (a, b) in enumerate(zip(net.model, five.model, strict=True)):
    old, new = (sum(p.numel() for p in row.parameters()) for row in (a, b))
    if old != new:
        print(f"row {i}: {old:>7,} → {new:>6,} parameters")
same = [p.shape == q.shape for p, q in zip(net.parameters(), five.parameters(), strict=True)]
print(f"{sum(same)} of {len(same)} tensors keep their shape: weights for 80 classes fit those")
assert same.count(False) == 6

# %%
saved = parameters - counts["all"]
print(f"75 classes fewer: {saved:,.0f} parameters fewer, {saved / parameters:.1%} of the network")
less = sum(row.flops for row in summary.layer_rows(five))
print(f"the work: {work / 1e9:.1f} → {less / 1e9:.1f} GFLOPs, {1 - less / work:.1%} less")
with torch.device("meta"):
    edited = Interpreted({**spec, "nc": 5})  # one number changed in the file
assert sum(p.numel() for p in edited.parameters()) == counts["all"]

# %% [markdown]
# Fewer classes hardly make the network smaller or its work less. What they change is what the other 97% of the parameters have to learn.
#
# ## 9 From 2020 to 2022 in six cards
# Release 7.0 differs in six changes. Each card below edits the rows of section 3, one after the other, and the interpreter counts.
#
# **Predict, then run:** the second card replaces BottleneckCSP by C3 (lesson 03). A stage with h hidden channels loses `cv3`, its convolution without BatchNorm (h²), and the
# BatchNorm behind its joined halves (2 numbers for each of 2h channels). Its `cv2` becomes a Conv and gets a BatchNorm of h channels.


# %%
def count_of(module):
    """Numbers that training changes."""
    return sum(p.numel() for p in module.parameters())


# %%
quiz.predict(
    "the change in parameters of row 2, where h = 32 (a minus sign if it shrinks)",
    answer=count_of(C3(64, 64)) - count_of(BottleneckCSP(64, 64)),
    why="That is − h² − 4h + 2h = − 32² − 2 · 32.",
)

# %%
ledger = [("June 2020", parameters, len(article))]  # what it is, parameters, tensors


def card(title, rows, blocks):
    """Build the edited rows, say what the edit has done to the count."""
    with torch.device("meta"):
        edited = Interpreted({**spec, "backbone": rows, "head": []}, blocks)
    after = count_of(edited)
    print(f"{title}: {after - ledger[-1][1]:+,} parameters")
    ledger.append((title, after, len(list(edited.parameters()))))


# %% [markdown]
# **Card 1 · Focus becomes one 6 × 6 convolution** of stride 2. Each filter has 12 · 3 · 3 = 108 weights before and 3 · 6 · 6 = 108 after. It is the same linear map, written
# without the copying: put the weights of Focus in their places, and the outputs agree.

# %%
cards, blocks = spec["backbone"] + spec["head"], BLOCKS
cards[0] = [-1, 1, "Conv", [64, 6, 2, 2]]
card("1 Focus → 6 × 6 Conv", cards, blocks)

focus = net.model[0].conv.conv.weight.detach()  # (32, 12, 3, 3)
stem = torch.zeros(32, 3, 6, 6)
for phase in range(4):  # Focus stacks (row, column) even even, odd even, even odd, odd odd
    stem[:, :, phase % 2 :: 2, phase // 2 :: 2] = focus[:, 3 * phase : 3 * phase + 3]
quarters = [images[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
old = nn.functional.conv2d(torch.cat(quarters, dim=1), focus, padding=1)
new = nn.functional.conv2d(images, stem, stride=2, padding=2)
torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)

# %% [markdown]
# **Card 2 · BottleneckCSP becomes C3**, in all eight stages. Three convolutions around the bottlenecks instead of four.

# %%
cards = [[i, n, name.replace("BottleneckCSP", "C3"), args] for i, n, name, args in cards]
blocks = {**blocks, "C3": C3}
card("2 BottleneckCSP → C3", cards, blocks)
hidden = [m.cv3.out_channels for m in net.model if isinstance(m, BottleneckCSP)]
assert ledger[-1][1] - ledger[-2][1] == -sum(h * h + 2 * h for h in hidden)

# %% [markdown]
# **Card 3 · LeakyReLU becomes SiLU**, x · σ(x) (Elfwing et al. 2017). An activation has no parameters; it costs time, and what it gains is a matter of measurement.

# %%
blocks = {**blocks, "Conv": partial(Conv, activation=silu), "SPP": partial(SPP, activation=silu)}
card("3 LeakyReLU → SiLU", cards, blocks)

# %% [markdown]
# **Card 4 · SPP moves behind the last stage and becomes SPPF**, which computes the same function (lesson 05). The stage before it gets its shortcuts.

# %%
cards[8], cards[9] = [-1, 3, "C3", [1024]], [-1, 1, "SPPF", [1024, 5]]
blocks = {**blocks, "SPPF": SPPF}
card("4 SPP, C3 → C3, SPPF", cards, blocks)

# %% [markdown]
# **Card 5 · Row 4 has 6 repeats instead of 9.** At depth 0.33 that is 2 bottlenecks instead of 3.

# %%
cards[4] = [-1, 6, "C3", [256]]
card("5 row 4: 9 → 6 repeats", cards, blocks)

# %% [markdown]
# **Card 6 · The three prediction convolutions move into Detect**, and three rows disappear. The parameters stay, under new names: `model.24.m.0`, `m.1`, `m.2`.

# %%
feeds = {18: 17, 22: 21, 26: 25}  # a prediction row, and what it reads
new = {old: i for i, old in enumerate(i for i in range(28) if i not in feeds)}


def moved(source):
    if isinstance(source, list):
        return [moved(j) for j in source]
    return source if source < 0 else new[feeds.get(source, source)]


cards = [[moved(source), *rest] for i, (source, *rest) in enumerate(cards) if i not in feeds]
card("6 Conv2d rows → Detect", cards, blocks)
print(f"{len(cards)} rows, the last one: {cards[-1]}")

# %% [markdown]
# Is that release 7.0? The count alone would not prove it. Names, shapes and answers show that it equals `YOLOv5v6`, this course's release 7.0. (BatchNorm's eps changed too, from 0.0001 to
# 0.001. It is no parameter, so it has no card, and both networks are built with 0.00001 here.)

# %%
latest_net = YOLOv5v6("s", 80, bn_eps=1e-5, bn_momentum=0.1).eval()
mine_latest = Interpreted({**spec, "backbone": cards, "head": []}, blocks).eval()
theirs = [(name, x.shape) for name, x in latest_net.state_dict().items()]
assert theirs == [(name, x.shape) for name, x in mine_latest.state_dict().items()]
mine_latest.load_state_dict(latest_net.state_dict())
with torch.no_grad():
    pairs = zip(mine_latest(images), latest_net(images), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)

print(f"{'card':<24}{'change':>10}{'parameters':>12}{'tensors':>9}")
print(f"{ledger[0][0]:<24}{'':>10}{ledger[0][1]:>12,}{ledger[0][2]:>9}")
for (_, before, _), (title, after, tensors) in pairwise(ledger):
    print(f"{title:<24}{after - before:>+10,}{after:>12,}{tensors:>9}")
assert ledger[-1][1:] == (7_235_389, 177)

# %% [markdown]
# Equal, bit for bit. Of six changes only two touch the number of parameters. A count is a good alarm and a poor proof.
#
# ## Quiz

# %%
quiz.ask(
    "The last row of the article's table is number 190. So the network has 191 layers.",
    [
        "Yes, that is what the column says",
        "No: it numbers parameter tensors, and one Conv has three of them",
        "No: it leaves out the layers that are not trained",
    ],
    answer=1,
    why="A Conv has the convolution's weight and BatchNorm's weight and bias. 70 convolutions, "
    "59 BatchNorms and 3 biases make 191 tensors. The table has no line for layers without "
    "parameters, but that is not what the number counts.",
)

# %%
quiz.ask(
    "A friend's row 0 shows mu 0.00052 where the article has −0.000974. What is wrong?",
    [
        "The seed: only the article's gives a correct network",
        "The convolution is initialized in another way",
        "Nothing: both are draws around 0 within one or two standard errors",
    ],
    answer=2,
    why="Sigma is 1/√(3 · 108) = 0.0556 and n = 3,456, so the standard error of the mean is "
    "0.00095. No draw is the right one; what must agree is the distribution.",
)

# %%
quiz.ask(
    "You double width_multiple and leave the rest. The number of parameters",
    ["almost quadruples", "doubles", "grows by half"],
    answer=0,
    why="A convolution's weight is in × out × area, and both channel numbers double. BatchNorm, the "
    "first row's weights and those of the predictions only double, and the predictions' biases "
    "stay. So it is a little below four.",
)

# %%
quiz.ask(
    "You load a trained network, print this table, and every BatchNorm row says mu 1 or 0, "
    "sigma 0. What do you suspect?",
    [
        "The weights were not loaded: these are the values of a fresh network",
        "BatchNorm is in evaluation mode",
        "Training has converged",
    ],
    answer=0,
    why="γ and β start at exactly 1 and 0, and training moves them. The mode changes which "
    "statistics are used, not γ and β.",
)

# %%
quiz.ask(
    "Weights for 80 classes, a new network for 5. Which tensors cannot be taken over?",
    [
        "All from row 10 on, behind the backbone",
        "None: PyTorch cuts the surplus off",
        "Three: the weights of rows 18, 22 and 26",
        "Six: the weights and the biases of rows 18, 22 and 26",
    ],
    answer=3,
    why="Only their number of outputs depends on K, and a bias has one number an output. "
    "Section 8 counted: 185 of 191 keep their shape.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the rules give all sizes, and every size has its count | exercise 8.1; assertions in section 2; `tests/test_yolov5.py::test_parameter_counts` |
# | a file of rows is the whole network | section 3: the interpreter equals `YOLOv5` bit for bit |
# | the article's printout is this network, to the letter | assertion in section 4; `tests/test_summary.py` |
# | five columns of the article's table equal ours in 191 rows | assertion in section 5; `tests/test_article.py` |
# | mu and sigma are what the initialization implies | exercise 8.2; assertions in section 6; `tests/test_summary.py` |
# | a fresh network expects 71 boxes, 8 an anchor grid | assertion in section 6 |
# | 13.2 GFLOPs do not follow from the layers | section 7; `tests/test_summary.py::test_totals` counts both releases |
# | the ledger counts right | `tests/test_lesson_network.py`, against the built networks |
# | five classes change three rows | assertion in section 8; exercise 8.3 |
# | six changes lead from `YOLOv5` to `YOLOv5v6` | assertion at the end of section 9 |
#
# **References** LeCun, Bottou, Orr, Müller 1998, *Efficient BackProp* (a variance of 1/fan-in) ·
# He, Zhang, Ren, Sun 2015, arXiv:1502.01852 (the factor 2 for ReLU, and Kaiming's name on PyTorch's function) · Lin, Goyal, Girshick, He, Dollár 2017, arXiv:1708.02002 (biases from a prior) ·
# Elfwing, Uchibe, Doya 2017, arXiv:1702.03118 (SiLU) · Wang et al. 2019, arXiv:1911.11929 (CSPNet) · Bochkovskiy, Wang, Liao 2020, arXiv:2004.10934 (YOLOv4, which joined CSP, SPP and PAN first).
# The printout and the table are the article's own; YOLOv5 has no paper.
#
# ← [07 Anchors and Detect, the head](07_anchors_and_detect.ipynb) · **08 The whole network** · [09 Boxes, NMS, mAP](09_boxes_nms_map.ipynb) →
