# %% [markdown]
# # 08 · The whole network: every row, every number
#
# **30 minutes · difficulty ●●●○○ · importance ●●●●○**
#
# After this lesson you can
# - read a model file row by row, and build the network that it describes,
# - scale the network with two numbers, and predict what that does to its parameters,
# - explain every column of the article's table of 191 rows, and say which numbers must equal yours and which cannot,
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
figures.show(figures.network_map(), alt=figures.MAP_ALT)

# %% [markdown]
# Every block on this map has had its lesson. Now all of them are lit. The map shows the network of the article, YOLOv5 s of June 2020 (release 1.0),
# with 5 classes. The article's printout and table are of the same network with 80 classes, so this lesson builds that one.
#
# ## 1 The network, assembled
# `YOLOv5` keeps a flat list of 28 rows and walks over it three times: `backbone`, `neck`, `head`. B is 1 here, K is 80.

# %%
torch.manual_seed(8)
net = YOLOv5("s", 80, bn_eps=1e-5, bn_momentum=0.1).eval()  # section 4 says why these two settings
images = torch.rand(1, 3, 640, 640)  # (B, 3, H, W)
with torch.no_grad():
    levels = net.backbone(images)
    mixed = net.neck(*levels)
    raw = net.head(*mixed)
    again = net(images)
for level, p, n, x in zip(("P3", "P4", "P5"), levels, mixed, raw, strict=True):
    print(f"{level}   backbone {tuple(p.shape)!s:<18} neck {tuple(n.shape)!s:<18} head {tuple(x.shape)}")
assert all(torch.equal(a, b) for a, b in zip(raw, again, strict=True))  # forward: these three walks
boxes = net.decode(raw)  # (B, N, 5 + K)
print(f"decoded  {tuple(boxes.shape)}: {boxes.shape[1]:,} boxes of 4 + 1 + {net.classes} numbers")

# %% [markdown]
# The neck returns the shapes that it was given: each level has heard from the others and kept its size. The head turns the channels of a level into
# A × (5 + K) = 3 × 85 = 255 numbers a cell.
#
# The rows, one line each. *from* is the row whose output it takes in, −1 for the row before. *n* is the number of bottlenecks in a CSP stage.
# (`summary.layer_table(net)` prints more: arguments, strides, receptive fields, work.)

# %%
rows = summary.layer_rows(net)
print("row  from        n  block          output           parameters")
for row in rows:
    source = "-1" if row.sources == (row.row - 1,) else ", ".join(map(str, row.sources))
    shape = " ".join(map(str, row.outputs[0].shape[1:])) if row.row < 27 else "3 levels"
    line = f"{row.row:>3}  {source:<10} {row.repeats:>2}  {row.block:<13}  {shape:<15}"
    print(f"{line} {row.parameters:>11,}")
parameters = sum(row.parameters for row in rows)
print(f"{len(rows)} rows, {parameters:,} parameters")
assert (len(rows), parameters) == (28, 7_468_157)

# %% [markdown]
# Only seven rows do not simply follow the one before: the four `Concat`, the two rows 19 and 23 that go on from the neck and not from a prediction,
# and `Detect`, which collects rows 18, 22 and 26. Upsample, Concat and Detect have no parameters at all.
#
# Rows 1, 3, 5 and 7 are the same kind of layer, a 3 × 3 convolution of stride 2 that doubles the channels. Their parameters grow fast.
#
# **Predict, then run:** row 7 has about 64 times the parameters of row 1. How many times its work? (Work is counted in FLOPs, 2 for each
# multiplication with its addition.)

# %%
quiz.predict(
    "FLOPs of row 7, divided by FLOPs of row 1",
    answer=rows[7].flops // rows[1].flops,
    why="From one level to the next, twice as many channels come in and twice as many go out: four times the "
    "parameters. But the map has a quarter of the cells. The two cancel exactly.",
)

# %%
for i in (1, 3, 5, 7):
    print(f"row {i}: {rows[i].parameters:>9,} parameters, {rows[i].flops / 1e9:.2f} GFLOPs")
print(f"the network: {parameters:,} parameters, {sum(row.flops for row in rows) / 1e9:.1f} GFLOPs")

# %% [markdown]
# ## 2 Five sizes from two numbers
# The list of rows is written once, for size l. All other sizes come from it by two *multiples*: **depth** scales how many bottlenecks a CSP stage has,
# **width** scales how many channels a row puts out.
#
# - Depth: a stage with n > 1 gets n · depth, rounded with Python's `round`, but at least 1. A block with n = 1 stays as it is.
# - Width: c · width channels, rounded **up** to a multiple of 8 (a size that GPUs like). The 3 · (5 + K) outputs of a prediction are not scaled.
#
# ### Exercise 8.1 · The two rules (6 minutes, ●●○○○)
# Write them. `n` and `c` are whole numbers of the full size, the multiples are floats.


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
print("size  depth  width   n = 3 6 9 become   64 … 1024 become")
for size, (depth, width) in SIZES.items():
    stages = "  ".join(f"{repeats(n, depth):>2}" for n in (3, 6, 9))
    wide = "  ".join(f"{channels(c, width):>4}" for c in (64, 128, 256, 512, 1024))
    print(f"{size:>4}  {depth:>5}  {width:>5}       {stages}         {wide}")

# %% [markdown]
# n and s have the same depth: n is s at half the width. And 0.33 is a rounded third: 9 · 0.33 = 2.97, so only the rounding makes three of it.
#
# Now the counts. `torch.device("meta")` builds a network of shapes without numbers: the largest takes milliseconds and no memory. The numbers on the
# right of `==` are what the releases of June 2020 and of November 2022 (release 7.0, `YOLOv5v6` here) are known to have.


# %%
def built(release, size, classes=80):
    """Parameters and parameter tensors of a network without weights."""
    with torch.device("meta"):
        shapes = [p.shape for p in release(size, classes).parameters()]
    return sum(map(math.prod, shapes)), len(shapes)


first = {size: built(YOLOv5, size) for size in "smlx"}
latest = {size: built(YOLOv5v6, size) for size in "nsmlx"}
assert first == {"s": (7_468_157, 191), "m": (21_805_053, 263), "l": (47_818_749, 335), "x": (88_965_245, 407)}
assert {size: count for size, (count, _) in latest.items()} == {
    "n": 1_872_157, "s": 7_235_389, "m": 21_190_557, "l": 46_563_709, "x": 86_749_405,
}  # fmt: skip
print("size   June 2020    tensors   release 7.0   tensors")
for size in "nsmlx":
    old = f"{first[size][0]:>11,} {first[size][1]:>9}" if size in first else f"{'–':>11} {'–':>9}"
    print(f"{size:>4} {old} {latest[size][0]:>13,} {latest[size][1]:>9}")
print(f"twice the width, same depth: s has {latest['s'][0] / latest['n'][0]:.2f} times the parameters of n")

# %% [markdown]
# Twice the width is nearly four times the parameters, because a convolution's weight is *in × out*. Not quite four: the head's outputs, BatchNorm and the
# image's three channels do not square. Depth is cheaper, it adds bottlenecks one by one. (The article calls s the smallest. That was true until n came.)
#
# ## 3 What the rows of a model file mean
# The article trains with `--cfg ./models/customer_yolov5l_5classes.yaml`: size l, 5 classes. Such a file is the list of rows of section 1 in the full size, and above it the two multiples.
# A row is **[from, number, module, args]**:
# - *from*: the row or rows it reads, −1 for the one before,
# - *number*: how often it is repeated; for a CSP stage, how many bottlenecks it has (scaled by depth),
# - *module*: which block,
# - *args*: output channels first (scaled by width), then what the block needs, such as kernel and stride; `false` means no shortcut.
#
# Here it is for YOLOv5 s. (The file of the release lists row 9 under `head`; that changes nothing, the two lists are joined. And it names the
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
# And an interpreter: it reads rows, and builds and runs the network. It uses *your* two rules. A word in a row means what a dict says it means, and
# nothing else. Python's `eval` would be shorter, and would let a model file run any code on your machine.


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
            source = [j if j >= 0 else i + j for j in ([source] if isinstance(source, int) else source)]
            c_in = [made[j] if j >= 0 else 3 for j in source]  # the image has 3 channels
            build = blocks[name]  # KeyError: no other name builds anything
            if name == "Detect":  # without prediction rows before it, it owns the convolutions (release 7.0)
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
theirs = {name: tuple(x.shape) for name, x in net.state_dict().items()}
assert list(theirs.items()) == [(name, tuple(x.shape)) for name, x in interpreted.state_dict().items()]
interpreted.load_state_dict(net.state_dict())
with torch.no_grad():
    answers = interpreted(images)
assert all(torch.equal(a, b) for a, b in zip(answers, raw, strict=True))
assert torch.equal(interpreted.model[-1].decode(answers), boxes)
print(f"{len(theirs)} entries of the state dict agree, and so do all {boxes.numel():,} numbers of the answer")

for size, (depth, width) in SIZES.items():  # two numbers changed in the file, and it is another size
    with torch.device("meta"):
        scaled = Interpreted({**spec, "depth_multiple": depth, "width_multiple": width})
        assert [p.shape for p in scaled.parameters()] == [p.shape for p in YOLOv5(size, 80).parameters()]

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
print(f"this PyTorch spells {sum(a != b for a, b in zip(today, printed, strict=True))} lines in another way")

# %% [markdown]
# Two honest footnotes.
# - **eps and momentum.** The release sets 0.0001 and 0.03 in every BatchNorm *after* it has built the network. The article printed before that, so its
#   lines show PyTorch's defaults, 1e-05 and 0.1. That is why this lesson builds the network with `bn_eps=1e-5, bn_momentum=0.1`.
# - **Spelling.** PyTorch has since put quotes around `mode='nearest'`, and newer versions print one more setting of BatchNorm. `summary.printout` takes
#   these two spellings back, nothing else.
#
# All of it, if you want to scroll:

# %%
HTML(f"<details><summary>The {len(ours)} lines</summary><pre>{chr(10).join(ours)}</pre></details>")

# %%
for name in ("Conv2d", "BatchNorm2d", "LeakyReLU", "Sigmoid"):
    print(f"{name:<12} {sum(line.count(name + '(') for line in printed):>3}")

# %% [markdown]
# The article says that the sigmoid is used "in the final detection layer". There is none in the printout: the last line is `Detect()`, without content.
# The network's answer is raw; the sigmoid is the first step of *decoding* (lesson 07), and the loss works on the raw numbers (lesson 11). Nor does the printout say who reads
# from whom: `Concat()` does not name its sources. For that you need the column *from*.
#
# **Predict, then run:** each of the convolutions has one weight tensor, and three of them have a bias. Each BatchNorm trains two tensors, γ and β.

# %%
convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
biased = [m for m in convolutions if m.bias is not None]
quiz.predict(
    f"{len(convolutions)} convolutions, {len(biased)} of them with a bias, {len(norms)} BatchNorms: parameter tensors",
    answer=len(list(net.parameters())),
    why=f"{len(convolutions)} + {len(biased)} + 2 × {len(norms)}.",
)

# %% [markdown]
# ## 5 The table of 191 rows
# The article ends with a table under the heading "Weights, Biases, Parameters, Gradients and Final Model Summary" and leaves it to the reader. Here is how it begins, made from our network:

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
print(f"layer, name, gradient, parameters and shape: equal in {len(article)} of {len(article)} rows")

state = net.state_dict()
measured = [name for name in state if "running" in name or "num_batches" in name]
print(f"state dict: {len(state)} entries = {len(article)} parameters + {len(measured)} of BatchNorm + 1 of anchors")
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
# 4. The mean of a uniform ±b is 0, its variance b²/3. So mu is near 0, and sigma is near b/√3.

# %%
bounds = [1 / math.sqrt(math.prod(m.weight.shape[1:])) for m in convolutions]  # b of each
worst = max(float(m.weight.detach().abs().max()) / b for m, b in zip(convolutions, bounds, strict=True))
print(f"the largest weight of all convolutions, as a share of its bound: {worst:.6f}")
assert worst <= 1 + 1e-6

# %% [markdown]
# ### Exercise 8.2 · Sigma from a shape (4 minutes, ●●○○○)
# Put steps 1 to 4 together: the standard deviation of a fresh convolution's weights, from the shape alone.


# %%
def sigma_of(shape):
    """shape (out, in, kernel height, kernel width) → standard deviation of the fresh weights."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


sigma_of = checks.sigma_of(sigma_of)

# %% [markdown]
# <details><summary>Hint 1</summary>Which three of the four numbers of the shape belong to <i>one</i> output?</details>
# <details><summary>Hint 2</summary><code>math.prod(shape[1:])</code> is the fan-in.</details>
# <details><summary>Hint 3</summary>The variance is b²/3 with b² = 1/fan-in. Take the root.</details>
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
figures.show(
    figures.sigma_against_fan_in(net, article),
    alt="Sigma against fan-in: the article's convolutions and ours lie on the line 1 over root of 3 fan-in",
)

# %% [markdown]
# Neither the number of outputs nor the place in the network matters: all 70 lie on one line. Near it, that is. How near must they be? With n numbers in a tensor,
# - the mean of n draws strays by σ/√n (its *standard error*),
# - the deviation of n draws from a uniform strays by σ · √(0.2/n). (In general √((κ − 1)/4n) with the kurtosis κ, which is 1.8 for a uniform.)
# - The article printed three digits. For large tensors that is coarser than chance, so rounding counts too: a step of u adds an error of u/√12.
#
# If the theory is right, the distances in standard errors behave like standard normal numbers: mean 0, deviation 1, hardly any beyond 3.


# %%
def step(value):
    """The last digit that "%.3g" prints of a number."""
    return 10.0 ** (math.floor(math.log10(abs(value))) - 2) if value else 0.0


def distances(row, rounded):
    """A convolution's row: (mu, sigma) minus theory, in standard errors."""
    sigma, n = sigma_of(row.shape), math.prod(row.shape)
    errors = [sigma / math.sqrt(n), sigma * math.sqrt(0.2 / n)]
    if rounded:
        printed_digits = (step(row.mean), step(row.std))
        errors = [math.hypot(e, u / math.sqrt(12)) for e, u in zip(errors, printed_digits, strict=True)]
    return row.mean / errors[0], (row.std - sigma) / errors[1]


for name, table, rounded in (("article", article, True), ("ours", ours, False)):
    z = torch.tensor([distances(row, rounded) for row in table if len(row.shape) == 4])  # (70, 2)
    spread = f"mu: deviation {z[:, 0].std():.2f}   sigma: deviation {z[:, 1].std():.2f}"
    print(f"{name:<8} {len(z)} rows   {spread}   farthest {z.abs().max():.1f}")
    assert z.abs().max() < 5
    assert z.mean(dim=0).abs().max() < 0.6
    assert (z.std(dim=0) - 1).abs().max() < 0.4

# %% [markdown]
# The article's 140 random numbers are as far from theory as chance allows, no more and no less. They are those of a fresh network. After training they would not be.
#
# ### Does it matter that sigma is this small?
# An output adds fan-in products, so its variance is fan-in · σ² · E[x²] = E[x²]/3. LeCun's rule of 1998 would give E[x²]; He's (2015), √(2/fan-in), doubles it to
# make up for the half that a ReLU cuts away. PyTorch's default shrinks the signal at every layer. Let 20 layers show it, each a 1 × 1 convolution and LeakyReLU:

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
# Without help the signal is gone after 20 layers, and this network is deeper. It may start like this because a BatchNorm stands behind every convolution that is not
# a prediction (behind the two bare ones of a CSP stage, the joint one) and sets the scale anew.
#
# ### The three rows that stand out: 148, 169 and 190
# These are the biases of the prediction convolutions, 255 = 3 × 85 numbers each, with a mean near −4.7 and a deviation near 1. The article gives them no word.
# They are set on purpose (lesson 07; Lin et al. 2017): a fresh detector should say "nothing here" almost everywhere.
# - objectness gets + ln(8 / cells): about eight objects in a 640-pixel image, spread over the cells of the level,
# - each of K classes gets + ln(0.6 / (K − 0.99)),
# - the four box numbers get nothing. The small uniform draw of PyTorch stays below all of them.


# %%
def offsets(stride, classes=80):
    """(255,) what the biases of a level get."""
    added = torch.zeros(3, 5 + classes)
    added[:, 4] = math.log(8 / (640 / stride) ** 2)
    added[:, 5:] = math.log(0.6 / (classes - 0.99))
    return added.flatten()


weight_shapes = {148: article[147].shape, 169: article[168].shape, 190: article[189].shape}
print("row  objectness  class    theory: mu  sigma   article: mu  sigma   ours: mu  sigma")
for layer, stride in ((148, 8), (169, 16), (190, 32)):
    added, noise = offsets(stride), sigma_of(weight_shapes[layer])
    mu, sigma = added.mean().item(), math.sqrt(added.var().item() + noise**2)
    a, o = article[layer], ours[layer]
    start = f"{layer}   {added[4]:>8.2f} {added[5]:>8.2f}   {mu:>10.3f} {sigma:>6.3f}"
    print(f"{start}   {a.mean:>10} {a.std:>6}   {o.mean:>8.3f} {o.std:>6.3f}")
    for row, half in ((a, 0.005), (o, 0)):  # half a unit of the last digit printed
        assert abs(row.mean - mu) < 4 * noise / math.sqrt(255) + half
        assert abs(row.std - sigma) < 4 * noise / math.sqrt(255) + half

# %% [markdown]
# So −4.67, −4.66 and −4.64 are means over 80 class offsets of −4.88, one objectness offset that depends on the level, and four zeros. The four zeros among 85 numbers
# make most of the deviation. What the offsets mean as probabilities:

# %%
for stride in (8, 16, 32):
    objectness, class_ = offsets(stride)[4:6].sigmoid().tolist()
    cells = (640 // stride) ** 2
    objects = f"objectness {objectness:.5f} × {cells:,} cells = {objectness * cells:.2f} objects"
    print(f"stride {stride:>2}: {objects}; class {class_:.4f}")

# %% [markdown]
# Eight objects a level, nearly: the sigmoid of ln p is p / (1 + p), a little less than p.
#
# ### All 191 rows
# The article's table and ours side by side (without the column *gradient*, True in every row). *off* is the article's distance from theory in standard errors. Scroll in the box, with the mouse or the arrow keys.

# %%
theory, off = [], []
for a in article:
    if len(a.shape) == 4:
        theory.append(sigma_of(a.shape))
        off.append(distances(a, rounded=True))
    elif a.layer in weight_shapes:
        added, noise = offsets({148: 8, 169: 16, 190: 32}[a.layer]), sigma_of(weight_shapes[a.layer])
        theory.append(math.sqrt(added.var().item() + noise**2))
        error = math.hypot(noise / math.sqrt(255), 0.01 / math.sqrt(12))
        off.append(((a.mean - added.mean().item()) / error, (a.std - theory[-1]) / error))
    else:  # BatchNorm
        assert (a.mean, a.std) == ((1, 0) if a.name.endswith("weight") else (0, 0))
        theory.append(0.0)
        off.append((0.0, 0.0))
assert max(abs(z) for pair in off for z in pair) < 4
assert all(row.gradient for row in article)
caption = f"The {len(article)} parameter tensors of YOLOv5 s, June 2020"
figures.parameter_comparison(article, ours, theory, off, caption=caption)

# %% [markdown]
# ## 7 Where the parameters sit, and where the work is done

# %%
figures.show(figures.parameter_bars(net), alt=figures.FIGURES["L08_parameters"][1])

# %% [markdown]
# The coarse rows hold the parameters, the fine rows cost as much work with a fraction of them. Three rows, 7, 9 and 25, hold half of all parameters. If you prune, decide first whether the file or the
# clock is too large: they are different rows.

# %%
heavy = sum(rows[i].parameters for i in (7, 9, 25)) / parameters
light = sum(rows[i].flops for i in (7, 9, 25)) / sum(row.flops for row in rows)
print(f"rows 7, 9 and 25: {heavy:.0%} of the parameters, {light:.0%} of the work")
assert 0.45 < heavy < 0.55

# %% [markdown]
# ### A second opinion: torchinfo
# The package torchinfo counts on its own. It stops at the depth you ask for; 2 shows the rows.

# %%
if summary.torchinfo is None:
    print("not installed here; `pip install torchinfo` and run this cell again")
else:
    with torch.device("meta"):
        weightless = YOLOv5("s", 80)
    info = summary.torchinfo.summary(
        weightless, input_size=(1, 3, 640, 640), device="meta", depth=2, verbose=0, col_width=22
    )
    lines = str(info).splitlines()
    print("\n".join([*lines[:8], "…", *lines[-13:-6]]))
    assert info.total_params == parameters
    twice = 2 * info.total_mult_adds
    print(f"multiply-adds × 2 = {twice / 1e9:.3f} GFLOPs, ours {sum(row.flops for row in rows) / 1e9:.3f}")
    assert abs(twice / sum(row.flops for row in rows) - 1) < 1e-3

# %% [markdown]
# The two agree to a part in a thousand: torchinfo adds biases and a little for BatchNorm.
#
# ### A published number that does not follow from the layers
# The June 2020 release was published with **13.2** GFLOPs for size s. Count 2 × multiply-adds at 640 × 640, and you do not get it.


# %%
def gflops(release, size):
    with torch.device("meta"):
        return sum(row.flops for row in summary.layer_rows(release(size, 80))) / 1e9


ours_2020 = gflops(YOLOv5, "s")
print(f"June 2020    s  published  13.2   counted {ours_2020:6.1f}   {ours_2020 / 13.2 - 1:+.1%}")
assert 17.3 < ours_2020 < 17.6
for size, published in {"n": 4.5, "s": 16.5, "m": 49.0, "l": 109.1, "x": 205.7}.items():
    counted = gflops(YOLOv5v6, size)
    off = f"{counted / published - 1:+.1%}"
    print(f"release 7.0  {size}  published {published:>5}   counted {counted:6.1f}   {off}")
    assert abs(counted / published - 1) < 0.02

# %% [markdown]
# For release 7.0 our count and the published ones agree to about one part in a hundred, which is the part that counters treat differently (BatchNorm, biases).
# (Such a counter says 17.6 for the s of June 2020.) So the method is not to blame. We state ours, and cannot derive the 13.2.
#
# ### Play: a ledger
# Change the release, the size, the number of classes, the side of the image. Three things to find out:
# - For which size is the head's share of the parameters largest with 80 classes?
# - Which of the controls change the work but not one parameter?
# - How many parameters does folding BatchNorm into the convolutions save? (Compare lesson 01.)

#
# <details><summary>What there is to find</summary>For n: its backbone and neck are small, and the 255 outputs are the same for every size. Only the side of the image
# changes the work and nothing else. Folding saves 8,576 parameters in s of June 2020, one for each channel of a Conv, and 51 of its 191 tensors: γ and β go, a bias comes.
# The FLOPs stay, because only convolutions are counted.</details>

# %%
explorer = widgets.parameter_ledger()

# %% [markdown]
# ## 8 Five classes instead of 80
# The article trains on 5 classes: K = 5. A cell then predicts 3 × (5 + 5) = 30 numbers instead of 255. Nothing else changes.
#
# ### Exercise 8.3 · Count them yourself (6 minutes, ●●○○○)
# YOLOv5 s of June 2020, K = 5. Write products of what you know, for example `64 * 32 * 9 + 2 * 64` for row 1.
# - "row 0": Focus. It stacks four copies of the image and sends them through a 3 × 3 Conv with 32 outputs.
# - "row 18" and "row 26": 1 × 1 convolutions with a bias and no BatchNorm. N3 has 128 channels, N5 has 512.
# - "all": the whole network. You know 7,468,157 for K = 80, and N4 has 256 channels.

# %%
mine = {"row 0": None, "row 18": None, "row 26": None, "all": None}  # YOUR NUMBERS instead of None

counts = checks.five_class_counts(mine)

# %% [markdown]
# <details><summary>Hint 1</summary>A Conv has out × in × 9 weights, no bias, and BatchNorm's two numbers a channel. How many channels enter after Focus has stacked?</details>
# <details><summary>Hint 2</summary>Each output of a 1 × 1 convolution has one weight for every input channel, and one bias.</details>
# <details><summary>Hint 3</summary>For the whole: 255 − 30 outputs go in each of three rows, and with each output its weights and its bias.</details>
# <details><summary>Solution</summary>
#
# ```python
# mine = {
#     "row 0": 32 * (4 * 3) * 9 + 2 * 32,
#     "row 18": 3 * (5 + 5) * (128 + 1),
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
print(f"{sum(same)} of {len(same)} tensors keep their shape: weights for 80 classes fit all of those")
assert same.count(False) == 6

# %%
saved = parameters - counts["all"]
print(f"75 classes fewer: {saved:,.0f} parameters fewer, {saved / parameters:.1%} of the network")
with torch.device("meta"):
    edited = Interpreted({**spec, "nc": 5})  # one number changed in the file
assert sum(p.numel() for p in edited.parameters()) == counts["all"]

# %% [markdown]
# Fewer classes make the network hardly smaller or faster. What they change is what the other 97% have to learn.
#
# ## 9 From 2020 to 2022 in six cards
# Release 7.0 tells the same story with six changes. Each card below edits the rows of section 3, one after the other, and the interpreter counts.
#
# **Predict, then run:** the second card replaces BottleneckCSP by C3 (lesson 03). A stage with h hidden channels loses its bare convolution `cv3` (h²) and the BatchNorm
# at the joint (2 numbers for each of 2h channels). Its `cv2` becomes a Conv and gets a BatchNorm of h channels.

# %%
c3, csp = (sum(p.numel() for p in block(64, 64).parameters()) for block in (C3, BottleneckCSP))
quiz.predict(
    "the change in parameters of row 2, where h = 32 (a minus sign if it shrinks)",
    answer=c3 - csp,
    why="− h² − 4h + 2h = − 32² − 2 · 32.",
)

# %%
ledger = [parameters]  # parameters after each card


def card(title, rows, blocks):
    """Build the edited rows, say what the edit has done to the count."""
    with torch.device("meta"):
        edited = Interpreted({**spec, "backbone": rows, "head": []}, blocks)
    ledger.append(sum(p.numel() for p in edited.parameters()))
    tensors = len(list(edited.parameters()))
    print(f"{title}: {ledger[-1] - ledger[-2]:+,} → {ledger[-1]:,} parameters in {tensors} tensors")


# %% [markdown]
# **Card 1 · Focus becomes one 6 × 6 convolution** of stride 2. Each filter has 12 · 3 · 3 = 108 weights before and 3 · 6 · 6 = 108 after. It is the same linear map, written
# without the copying: put the weights of Focus in their places, and the outputs agree.

# %%
cards, blocks = spec["backbone"] + spec["head"], BLOCKS
cards[0] = [-1, 1, "Conv", [64, 6, 2, 2]]
card("Focus → 6 × 6 Conv", cards, blocks)

focus = net.model[0].conv.conv.weight.detach()  # (32, 12, 3, 3)
stem = torch.zeros(32, 3, 6, 6)
for phase in range(4):  # Focus stacks (even row, even column), (odd, even), (even, odd), (odd, odd)
    stem[:, :, phase % 2 :: 2, phase // 2 :: 2] = focus[:, 3 * phase : 3 * phase + 3]
stacked = torch.cat([images[..., row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=1)
one = nn.functional.conv2d(images, stem, stride=2, padding=2)
torch.testing.assert_close(one, nn.functional.conv2d(stacked, focus, padding=1), rtol=1e-4, atol=1e-5)

# %% [markdown]
# **Card 2 · BottleneckCSP becomes C3**, in all eight stages. Three convolutions around the bottlenecks instead of four.

# %%
cards = [[source, n, name.replace("BottleneckCSP", "C3"), args] for source, n, name, args in cards]
blocks = {**blocks, "C3": C3}
card("BottleneckCSP → C3", cards, blocks)
hidden = [m.cv3.out_channels for m in net.model if isinstance(m, BottleneckCSP)]
assert ledger[-1] - ledger[-2] == -sum(h * h + 2 * h for h in hidden)

# %% [markdown]
# **Card 3 · LeakyReLU becomes SiLU**, x · σ(x) (Elfwing et al. 2017). An activation has no parameters; it costs time, and what it gains is a matter of measurement.

# %%
blocks = {**blocks, "Conv": partial(Conv, activation=silu), "SPP": partial(SPP, activation=silu)}
card("LeakyReLU → SiLU", cards, blocks)

# %% [markdown]
# **Card 4 · SPP moves behind the last stage and becomes SPPF**, which computes the same function (lesson 05). The stage before it gets its shortcuts.

# %%
cards[8], cards[9] = [-1, 3, "C3", [1024]], [-1, 1, "SPPF", [1024, 5]]
blocks = {**blocks, "SPPF": SPPF}
card("SPP, CSP → C3, SPPF", cards, blocks)

# %% [markdown]
# **Card 5 · Row 4 has 6 repeats instead of 9.** At depth 0.33 that is 2 bottlenecks instead of 3.

# %%
cards[4] = [-1, 6, "C3", [256]]
card("row 4: 9 → 6 repeats", cards, blocks)

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
card("Conv2d rows → Detect", cards, blocks)
print(f"{len(cards)} rows, the last one: {cards[-1]}")

# %% [markdown]
# Is that release 7.0? The count alone would not prove it. Names, shapes and answers do:

# %%
latest_net = YOLOv5v6("s", 80, bn_eps=1e-5, bn_momentum=0.1).eval()
mine_latest = Interpreted({**spec, "backbone": cards, "head": []}, blocks).eval()
assert [(k, v.shape) for k, v in mine_latest.state_dict().items()] == [
    (k, v.shape) for k, v in latest_net.state_dict().items()
]
mine_latest.load_state_dict(latest_net.state_dict())
with torch.no_grad():
    pairs = zip(mine_latest(images), latest_net(images), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
steps = [after - before for before, after in pairwise(ledger)]
print(f"{ledger[0]:,} {' '.join(f'{s:+,}' for s in steps)} = {ledger[-1]:,}")
assert ledger[-1] == 7_235_389
assert [s != 0 for s in steps] == [False, True, False, False, True, False]

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
    why="A Conv has the convolution's weight and BatchNorm's weight and bias. 70 convolutions, 59 BatchNorms and 3 biases make 191 tensors. It also has no line for layers without parameters, but that is not what the number counts.",
)

# %%
quiz.ask(
    "Your row 0 shows mu 0.00052 where the article has −0.000974. What is wrong?",
    [
        "The seed is not the article's; with it the numbers would be right",
        "The convolution is initialized in another way",
        "Nothing: both are draws around 0 within one or two standard errors",
    ],
    answer=2,
    why="Sigma is 1/√(3 · 108) = 0.0556 and n = 3,456, so the standard error of the mean is 0.00095. No draw is the right one; what must agree is the distribution.",
)

# %%
quiz.ask(
    "You double width_multiple and leave the rest. The number of parameters",
    ["almost quadruples", "doubles", "grows by half"],
    answer=0,
    why="A convolution's weight is in × out × area, and both channel numbers double. Biases, BatchNorm and the head's outputs only double, so it stays a little below four.",
)

# %%
quiz.ask(
    "You load a trained network, print this table, and every BatchNorm row says mu 1 or 0, sigma 0. What do you suspect?",
    [
        "The weights were not loaded: these are the values of a fresh network",
        "BatchNorm is in evaluation mode",
        "Training has converged",
    ],
    answer=0,
    why="γ and β start at exactly 1 and 0 and move in the first step of training. The mode changes which statistics are used, not γ and β.",
)

# %%
quiz.ask(
    "Weights for 80 classes, a new network for 5. Which tensors cannot be taken over?",
    [
        "All of the head, from row 10 on",
        "None: PyTorch cuts the surplus off",
        "Three: the weights of rows 18, 22 and 26",
        "Six: the weights and the biases of rows 18, 22 and 26",
    ],
    answer=3,
    why="Only their number of outputs depends on K, and a bias has one number an output. Section 8 counted: 185 of 191 keep their shape.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the rules give all sizes, and the counts are the known ones | exercise 8.1; assertions in section 2; `tests/test_yolov5.py::test_parameter_counts` |
# | a file of rows is the whole network | section 3: the interpreter equals `YOLOv5` bit for bit |
# | the article's printout is this network, to the letter | assertion in section 4; `tests/test_summary.py` |
# | five columns of the article's table equal ours in 191 rows | assertion in section 5; `tests/test_article.py` |
# | mu and sigma are what the initialization implies | exercise 8.2; assertions in section 6; `tests/test_summary.py::test_means_and_deviations_are_what_the_initialization_implies` |
# | 13.2 GFLOPs do not follow from the layers | section 7; `tests/test_summary.py::test_totals` counts both releases |
# | the ledger counts right | `tests/test_lesson_network.py`, against the built networks |
# | five classes change three rows | assertion in section 8; exercise 8.3 |
# | six changes lead from 2020 to 2022 | assertion at the end of section 9 |
#
# **References** LeCun, Bottou, Orr, Müller 1998, *Efficient BackProp* (a variance of 1/fan-in) · Glorot, Bengio 2010, *Understanding the difficulty of training deep feedforward neural networks* (fan-in and fan-out) ·
# He, Zhang, Ren, Sun 2015, arXiv:1502.01852 (the factor 2 for ReLU, and Kaiming's name on PyTorch's function) · Lin, Goyal, Girshick, He, Dollár 2017, arXiv:1708.02002 (biases from a prior) ·
# Elfwing, Uchibe, Doya 2017, arXiv:1702.03118 (SiLU) · Wang et al. 2019, arXiv:1911.11929 (CSPNet) · Bochkovskiy, Wang, Liao 2020, arXiv:2004.10934 (YOLOv4, which joined CSP, SPP and PAN first).
# The printout and the table are the article's own; YOLOv5 has no paper.
#
# ← [07 Anchors and Detect, the head](07_anchors_and_detect.ipynb) · **08 The whole network** · 09 Boxes, NMS, mAP →
