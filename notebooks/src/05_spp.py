# %% [markdown]
# # 05 · Spatial pyramid pooling: seeing near and far at once
#
# **60 minutes · difficulty ●●○○○ · importance ●●●○○**
#
# After this lesson you can
# - say why a classifier needed *spatial pyramid pooling* (SPP) and why a detector uses it differently,
# - build YOLO's SPP from scratch and predict its parameter count before running it,
# - prove that the newer SPPF gives the same numbers, and measure what it saves,
# - tell how far a cell sees, and when seeing further helps.
#
# You need lesson [01](01_convolution_block.ipynb) (Conv, receptive field) and lesson [04](04_csp_darknet.ipynb) (the backbone ends in a map of
# 20 × 20 cells for an image of 640 × 640 pixels). On a first reading you may skip this lesson if you know what a max-pool with stride 1 does.
# Come back for sections 5 and 6.

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
import math

import torch
import torch.nn.functional as F
from torch import nn

from yolo_edu.assets import sample_data, sample_photo, shipped_weights
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.course.activations import row_outputs
from yolo_edu.course.timing import in_turns
from yolo_edu.data import DetectionData, collate, letterbox, read_image, read_spec
from yolo_edu.evaluate import detect, evaluate
from yolo_edu.model import YOLOv5
from yolo_edu.model.blocks import SPP, SPPF, Conv, leaky_relu
from yolo_edu.model.detect import ANCHORS
from yolo_edu.model.pyramid import SpatialBins
from yolo_edu.summary import layer_rows, parameter_rows

_ = torch.manual_seed(0)  # the same random numbers on every run; this lesson computes on the CPU

# %%
figures.show(
    figures.network_map("spp"),
    alt="The map of YOLOv5 with one block lit: SPP, row 8, in the backbone at stride 32",
)

# %% [markdown]
# We are at row 8 of the network, near the end of the backbone, where the map is coarsest. 512 channels of 20 × 20 cells go in, 512 channels of
# 20 × 20 come out. The article that this course grew from describes SPP under "neck", as the YOLOv4 paper does. In its network, the *June 2020
# release*, the table and the code have it in the backbone.
#
# ## 1 The problem: one cell, one fixed window
# A **cell** of a map is one place of its grid, with all channels. It has read one window of the image and nothing else: its *receptive
# field*. How large is this window just before SPP?

# %%
with torch.device("meta"):  # shapes without numbers: enough for a table
    yolo = YOLOv5("s", 5)
rows = layer_rows(yolo, image_size=640)
for row in rows[5:8]:
    shape, stride, field = row.outputs[0]
    grid = f"{shape[2]} × {shape[3]}"
    print(f"row {row.row}  {row.block:<13} {grid} cells, each reads {field:>3} × {field:<3} pixels")
print(f"the largest anchor is {ANCHORS[-1][-1][0]} × {ANCHORS[-1][-1][1]} pixels")

# %% [markdown]
# An *anchor* is the shape that a predicted box starts from (lesson 07). The largest one is larger than the window of a cell at this point. (Later
# layers widen the window; section 6 computes by how much.) Here are both on a photo, around one cell:

# %%
coffee, _ = letterbox(read_image(sample_photo("coffee")), 640)  # (3, 640, 640), bytes
figures.show(
    figures.windows_on_photo(coffee, yolo),
    alt="Left: the window of a cell holds part of a cup, not its saucer. Right: 5, 9 and 13 cells around it",
    photos=True,
    dpi=80,
)

# %% [markdown]
# The cell sees a piece of the cup and no end of the saucer. (Its window sits a little above and to the left of it, as convolutions of stride 2 shift
# it.) We want it to know what is *around* it too, at several distances (right), at little cost.
#
# ## 2 The original idea: bins, for a vector of fixed length
# Spatial pyramid pooling is older than YOLO. He, Zhang, Ren and Sun (2014) had another problem: classifiers ended in **fully connected** layers,
# which have a weight for every single number that comes in.

# %%
fully_connected = nn.Linear(256 * 13 * 13, 10)
for side in (13, 10):
    features = torch.randn(1, 256, side, side)  # (B, C, H, W), from a larger and from a smaller image
    try:
        print(f"{side} × {side} cells → {tuple(fully_connected(features.flatten(1)).shape)}")
    except RuntimeError as error:
        print(f"{side} × {side} cells → {error}")

# %% [markdown]
# The convolutions before it would take an image of any size. The fully connected layer forces one size on the whole network.
#
# The way out: cut the map into 1 × 1, 2 × 2 and 4 × 4 **bins**, however large it is, and keep each bin's maximum, channel by channel.
#
# **Predict, then run:** how many numbers come out? Does it depend on the map's height and width?

# %%
quiz.predict(
    "numbers out of bins 1, 2, 4 with 256 channels, for one image",
    answer=SpatialBins((1, 2, 4))(torch.zeros(1, 256, 13, 13)).shape[1],
    why="256 · (1 + 4 + 16). Height and width do not occur in it.",
)

# %%
figures.show(
    figures.spp_bins(),
    alt="A map of any size is cut into 1, 2 × 2 and 4 × 4 bins; their maxima make one vector",
)

# %% [markdown]
# Filled are the cells that win: each bin's maximum, in one channel.
#
# Where does a bin begin and end when a side of 13 cells is cut into 4? Bin i of m starts at i · H / m, rounded down, and ends at (i + 1) · H / m,
# rounded up.


# %%
def borders(i: int, m: int, size: int) -> tuple[int, int]:
    """First cell of bin i of m along one side, and the one after its last."""
    return i * size // m, math.ceil((i + 1) * size / m)


for size in (20, 13, 3):
    print(f"{size} cells in 4 bins:")
    for first, end in [borders(i, 4, size) for i in range(4)]:
        print("  " + "·" * first + "█" * (end - first) + "·" * (size - end), f" {first} to {end - 1}")

# %% [markdown]
# 20 cells divide evenly. Of 13, neighboring bins share one: a cell may be looked at twice, but none is left out. Even 3 cells make 4 bins.
# Now the whole thing with explicit loops, and the comparison with yolo_edu's `SpatialBins`.


# %%
def bins(features: torch.Tensor, sizes: tuple[int, ...] = (1, 2, 4)) -> torch.Tensor:
    """Classic SPP: features (B, C, H, W) → (B, C · Σ m²)."""
    height, width = features.shape[2:]
    parts = []
    for m in sizes:
        grid = features.new_empty(*features.shape[:2], m, m)  # (B, C, m, m)
        for i in range(m):
            for j in range(m):
                (top, bottom), (left, right) = borders(i, m, height), borders(j, m, width)
                grid[:, :, i, j] = features[:, :, top:bottom, left:right].amax(dim=(2, 3))
        parts.append(grid.flatten(1))  # (B, C · m²)
    return torch.cat(parts, dim=1)


for height, width in [(13, 13), (20, 20), (10, 31), (3, 5)]:
    features = torch.randn(2, 256, height, width)
    vector = bins(features)
    assert torch.equal(vector, SpatialBins((1, 2, 4))(features))
    print(f"{height:>2} × {width:<2} cells → {tuple(vector.shape)}")

# %% [markdown]
# Always the same length, so a fully connected layer can follow, and images need no longer be cropped to one size.
# The article names the other way out as well: have no fully connected layer at all (Long, Shelhamer and Darrell 2014). YOLOv5 went this way.
#
# ### Why a detector with a grid must not do this
# The article says that SPP "replaces the last pooling layer". In He's classifier, yes. In YOLO there is nothing to replace: before SPP the network
# has no pooling layer at all. And it calls a vector of fixed length "not necessarily desirable" for YOLO. For a grid of predictions it is plainly
# the wrong thing, for two reasons. The output has to grow with the image: 20 × 20 cells at 640 pixels, 10 × 10 at 320. And the place is lost:

# %%
pools = [name for name, module in yolo.named_modules() if isinstance(module, nn.MaxPool2d)]
assert pools == ["model.8.m.0", "model.8.m.1", "model.8.m.2"]  # all of them are SPP's own
assert not any(isinstance(module, nn.Linear) for module in yolo.modules())

here, there = torch.zeros(2, 1, 1, 20, 20)  # two maps (B, C, H, W) of zeros, and in each …
here[0, 0, 5, 5] = there[0, 0, 9, 8] = 1.0  # … one active cell, 4 rows and 3 columns apart
print("the same vector:", torch.equal(bins(here), bins(there)))
print(f"pixels between the two at stride 32: {4 * 32} down, {3 * 32} across")

# %% [markdown]
# A detector's answer is a place. After the finest bins of a 20 × 20 map, a place is known to within 5 × 5 cells.
# (The paper's own detector did use bins: it cut every candidate region out of the map first and made one vector for each. A network with a grid
# asks all places at once.)
#
# ## 3 YOLO's version: keep the grid, widen the window
# Take max-pools with windows of 5, 9 and 13 cells, but move them by one cell at a time: **stride 1**, padded at the border so that 20 × 20 cells
# stay 20 × 20. The YOLOv4 paper credits this form to Redmon and Farhadi, the authors of YOLOv3; Huang and Wang
# (2019) gave a similar one to YOLOv2. First, what it does to one active cell:

# %%
one = torch.zeros(1, 1, 20, 20)
one[0, 0, 9, 9] = 1.0  # one active cell …
pooled = [F.max_pool2d(one, k, stride=1, padding=k // 2) for k in (5, 9, 13)]
figures.show(
    figures.map_grid([x[0, 0] for x in (one, *pooled)], ["input", "5 × 5", "9 × 9", "13 × 13"]),
    alt="One bright cell in a dark map; after the pools it has grown to a square of 5, 9 and 13 cells",
)
print("active cells:", [int(x.sum()) for x in (one, *pooled)])  # … is announced ever further away

# %% [markdown]
# Now with live features. The card detector of [lesson 00](00_start_here.ipynb) is a small relative of this network. It is built as in *release 7.0*,
# which has a relative of SPP in row 9, called SPPF (section 5). It was trained on squares of 256 pixels. We show it a photo at 640, because that
# gives a grid of 20 × 20 cells; it finds edges and patterns there too.

# %%
model = load_checkpoint(shipped_weights("cards_n"))


def photo(number: int, size: int) -> torch.Tensor:
    """A validation photo of the cards in a square: (1, 3, size, size), 0 to 1."""
    data = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=size)
    return collate([data[number]], size).images


image = photo(28, 640)
outputs = row_outputs(model, image)  # one tensor a row of the network's table
sppf = model.model[9]
with torch.no_grad():
    features = sppf.cv1(outputs[8])  # (1, 128, 20, 20): what enters the pools
peaks = features.amax(dim=(2, 3)) - features.mean(dim=(2, 3))
channel = int(peaks.argmax())  # the one with the most striking cell
print("into the pools:", tuple(features.shape), f" we look at channel {channel}")

# %%
maps = [features, *(F.max_pool2d(features, k, stride=1, padding=k // 2) for k in (5, 9, 13))]
shown = [x[0, channel] for x in maps]
limits = (float(shown[0].min()), float(shown[0].max()))
titles = ["the photo", "into the pools", "5 × 5", "9 × 9", "13 × 13"]
figures.show(
    figures.map_grid([image[0], *shown], titles, columns=5, limits=limits),
    alt="A photo of four cards; a channel with bright cells on two; the squares that three pools make",
    photos=True,
)

# %% [markdown]
# A cell of bare floor now carries three messages: the strongest response at most 2, at most 4 and at most 6 cells away (the larger of the distances
# across and down). It does not hear from which direction. But it can tell distances apart by comparing: what it hears in "9 × 9" and not
# in "5 × 5" is 3 or 4 cells away. Where both say the same, it learns only that nothing stronger stands farther off: a strong response near by hides
# all weaker ones. Nothing is thrown away for this: the unpooled map stays beside the pooled ones.
#
# Play with it. Widen the kernel. Then set the stride to "as wide as the kernel", the ordinary kind of pooling, and watch the grid.
# ("Chained pools" is for section 5.)

# %%
explorer = widgets.pooling_explorer(features[0, channel], name=f"photo, channel {channel}", kernel=9)

# %% [markdown]
# ### What lies outside the map?
# A window at the border sticks out. For a convolution the outside is zero. For a max-pool it must not be: activations can be negative, and a zero
# would win. PyTorch pads max-pools with −∞, which never wins, so a window at the border is the maximum of the cells that are there.

# %%
numbers = [[-4.0, -1, -5, -6], [-7, -3, -2, -8], [-9, -6, -7, -3], [-5, -8, -4, -9]]
negative = torch.tensor([numbers])  # (C, H, W) = (1, 4, 4)
right = F.max_pool2d(negative, 3, stride=1, padding=1)
wrong = F.max_pool2d(F.pad(negative, [1, 1, 1, 1]), 3, stride=1)  # a frame of zeros by hand
titles = ["input", "3 × 3, −∞ outside", "3 × 3, zeros outside"]
grid = figures.map_grid([negative[0], right[0], wrong[0]], titles, numbers=".0f", limits=(-9, 0))
figures.show(
    figures.mark_cells(grid, 2, (wrong != right)[0]),  # panel 2: frame what differs
    alt="Negative numbers; pooled with −∞ outside, their maxima; with zeros outside, a framed ring of zeros",
)

# %%
zeros = F.max_pool2d(F.pad(features, [2, 2, 2, 2]), 5, stride=1)
changed = (zeros != maps[1])[0].float()  # (C, H, W)
assert not changed[:, 2:-2, 2:-2].any()  # only the outer two cells
share, top = 100 * (features < 0).float().mean(), 100 * changed[:, 0].mean()
print(f"of our photo's features {share:.0f} of 100 are negative;")
print(f"zeros outside would change {top:.0f} of 100 values in the top row of the 5 × 5 pool")

# %% [markdown]
# ### The block
# Around the pools stand two 1 × 1 Convs. `cv1` halves the channels first, so that four tensors beside each other are not four times as many.
# `cv2` reads all four and mixes them. It learns what to make of "here" and "around here".

# %%
figures.show(
    figures.spp_in_yolo(),
    alt="SPP: cv1 halves the channels; they and their pools of 5, 9 and 13 are concatenated for cv2",
)

# %% [markdown]
# ### Exercise 5.1 · Build it (10 minutes, ●●○○○)
# - `cv1`: a 1 × 1 `Conv` that halves the channels, `c_in // 2`.
# - One max-pool for each of `kernels`, stride 1, the size kept. They have no parameters; name them as you like.
# - `cv2`: a 1 × 1 `Conv` to `c_out`.
#
# Concatenate in the order *unpooled, 5, 9, 13*: trained weights depend on it.


# %%
class MySPP(nn.Module):
    def __init__(self, c_in, c_out, kernels=(5, 9, 13)):
        super().__init__()
        # YOUR CODE instead of the next line: self.cv1, the pools, self.cv2
        raise NotImplementedError

    def forward(self, x):  # (B, c_in, H, W) → (B, c_out, H, W)
        raise NotImplementedError


MySPP = checks.spp_block(MySPP)

# %% [markdown]
# <details><summary>Hint 1</summary><code>nn.MaxPool2d(k, stride=1, padding=k // 2)</code> keeps H and W for an odd k. Several of them go into an <code>nn.ModuleList</code>.</details>
# <details><summary>Hint 2</summary>How many channels reach <code>cv2</code>? Count the tensors that you concatenate: one more than there are pools.</details>
# <details><summary>Hint 3</summary>In <code>forward</code> run <code>cv1</code> first and give its output to every pool. <code>torch.cat([...], dim=1)</code> joins on channels.</details>
# <details><summary>Solution</summary>
#
# ```python
# class MySPP(nn.Module):
#     def __init__(self, c_in, c_out, kernels=(5, 9, 13)):
#         super().__init__()
#         hidden = c_in // 2
#         self.cv1 = Conv(c_in, hidden, 1)
#         self.cv2 = Conv(hidden * (len(kernels) + 1), c_out, 1)
#         self.pools = nn.ModuleList(nn.MaxPool2d(k, stride=1, padding=k // 2) for k in kernels)
#
#     def forward(self, x):
#         x = self.cv1(x)
#         return self.cv2(torch.cat([x, *(pool(x) for pool in self.pools)], dim=1))
# ```
# </details>

# %%
mine, theirs = MySPP(64, 32).eval(), SPP(64, 32).eval()
mine.load_state_dict(theirs.state_dict())  # the same weights
x = torch.randn(2, 64, 20, 20)
with torch.no_grad():
    assert torch.equal(mine(x), theirs(x))
whose = "yolo_edu's own: do 5.1 to compare yours" if MySPP is SPP else "yours and yolo_edu's"
print(f"the same numbers, to the last bit ({whose}):", tuple(x.shape), "→", tuple(theirs(x).shape))

# %% [markdown]
# And once more without any pooling layer, window by window, with the weights of the trained detector on our photo. If these loops give the
# network's own output, we have understood the block.


# %%
def window_maxima(y: torch.Tensor, kernel: int) -> torch.Tensor:
    """The maximum of the part of each window that lies on the map: (B, C, H, W) → the same shape."""
    r, result = kernel // 2, torch.empty_like(y)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            window = y[:, :, max(i - r, 0) : i + r + 1, max(j - r, 0) : j + r + 1]
            result[:, :, i, j] = window.amax(dim=(2, 3))
    return result


spp = SPP(256, 256).eval()
spp.cv1, spp.cv2 = sppf.cv1, sppf.cv2  # the trained convolutions; there is nothing else to train
with torch.no_grad():
    y = spp.cv1(outputs[8])
    by_hand = spp.cv2(torch.cat([y, *(window_maxima(y, k) for k in (5, 9, 13))], dim=1))
    assert torch.equal(by_hand, spp(outputs[8]))
    assert torch.equal(by_hand, outputs[9])  # what the trained network itself has in row 9
print("loops = SPP = row 9 of the trained network:", tuple(by_hand.shape))

# %% [markdown]
# The last assertion holds a surprise. Row 9 of the trained network is not an SPP but an SPPF, with other pools. Section 5 explains why it agrees.
#
# ## 4 What it costs
# ### Exercise 5.2 · Count before you run (5 minutes, ●○○○○)
# In the article's table, lines 87 to 92 are this block: 512 channels in, 512 out. Write the number of trainable parameters of `cv1`, of `cv2`, and of
# the three pools together (`m` is their name in yolo_edu's SPP). Products are welcome: Python multiplies for you. A Conv holds a convolution without bias and a BatchNorm.

# %%
mine = {"cv1": None, "cv2": None, "m": None}  # YOUR CODE: numbers instead of None

mine = checks.spp_counts(mine)

# %% [markdown]
# <details><summary>Hint 1</summary>A 1 × 1 convolution from a to b channels has a · b weights. BatchNorm adds γ and β for each of the b channels.</details>
# <details><summary>Hint 2</summary><code>cv1</code> goes from 512 to 256. How many channels does <code>cv2</code> read, when four tensors of 256 stand side by side? And what could a pool learn?</details>
# <details><summary>Solution</summary>
#
# ```python
# mine = {
#     "cv1": 512 * 256 + 2 * 256,
#     "cv2": 4 * 256 * 512 + 2 * 512,
#     "m": 0,
# }
# ```
# </details>

# %%
table = parameter_rows(YOLOv5("s", 5))
for line in table[87:93]:
    print(f"{line.layer:>3}  {line.name:<24} {line.parameters:>7,}  {list(line.shape)}")
block, total = sum(line.parameters for line in table[87:93]), sum(row.parameters for row in rows)
assert block == mine["cv1"] + mine["cv2"] == rows[8].parameters
print(f"row 8: {block:,} of {total:,} parameters, {block / total:.1%}")

# %% [markdown]
# The work, in FLOPs (2 × multiply-adds, [lesson 01](01_convolution_block.ipynb)): each of the 20 × 20 cells runs both 1 × 1 convolutions. Pools do not multiply
# and count as nothing, by the usual rule.

# %%
work, total = rows[8].flops, sum(row.flops for row in rows)
assert work == 2 * 20 * 20 * (512 * 256 + 4 * 256 * 512)
print(f"row 8: {work / 1e9:.3f} of {total / 1e9:.1f} GFLOPs, {work / total:.1%}")

# %% [markdown]
# A large share of the parameters, a small one of the work: a coarse map is cheap, because a weight is used only 400 times.
# Keep the last percentage in mind. The clock will have another opinion.
#
# ## 5 SPPF: the same numbers for less work
# Release 6.0 replaced SPP by SPPF, F for fast, and release 7.0 has it in row 9. Three pools, all with a window of 5, are *chained*: each reads what
# the one before gave. The figure shows size s; our card detector is of size n and has half the channels.

# %%
figures.show(
    figures.sppf_in_yolo(),
    alt="SPPF: cv1, three chained max-pools of 5, all four tensors concatenated, then cv2",
)

# %% [markdown]
# Why is that the same? Along one line of cells: the first pool at cell i + a has seen the cells i + a + b, with b from −2 to 2. The second pool takes the
# maximum over a from −2 to 2. So together they have seen a + b: every number from −4 to 4. That is a window of 9. A third pool makes it −6 to 6: 13.
# In general, windows of k₁ and k₂ make one of k₁ + k₂ − 1. Across and down are independent of each other. Try it in the explorer of section 3: one
# pool of 9, then two chained ones of 5.
#
# How often is each cell read on the way?

# %%
reads = torch.ones(1, 1, 1)
for pools in (1, 2, 3):
    reads = F.conv1d(F.pad(reads, [4, 4]), torch.ones(1, 1, 5))  # each read is passed on to five cells
    print(f"{pools} chained, window {reads.shape[-1]:>2}:", *(f"{int(n):>2}" for n in reads.flatten()))

# %% [markdown]
# The cells in the middle are read many times. A maximum does not care: max(a, a, b) = max(a, b). A mean would: it weights what it reads more often.
# And a maximum is one of its inputs, never a rounded result of a computation. So the equality is exact, not just close.
#
# At the border the argument holds too. From column 0, column 4 is reached over column 2: the cell in between always lies *on* the map.
#
# ### Exercise 5.3 · A chain of pools (6 minutes, ●●○○○)
# Write the part of SPPF between cv1 and cv2, for any odd kernel and any number of pools.


# %%
def chained_pools(x, kernel=5, times=3):
    """x (B, C, H, W) → x, and `times` chained max-pools, side by side: (B, (1 + times) · C, H, W)."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


chained_pools = checks.chained_pools(chained_pools)

# %% [markdown]
# <details><summary>Hint 1</summary>Keep a list that starts as <code>[x]</code>. Its last member is what the next pool reads.</details>
# <details><summary>Hint 2</summary><code>F.max_pool2d(…, kernel, stride=1, padding=kernel // 2)</code> keeps the grid. <code>maps[-1]</code> is the last member.</details>
# <details><summary>Solution</summary>
#
# ```python
# def chained_pools(x, kernel=5, times=3):
#     maps = [x]
#     for _ in range(times):
#         maps.append(F.max_pool2d(maps[-1], kernel, stride=1, padding=kernel // 2))
#     return torch.cat(maps, dim=1)
# ```
# </details>

# %% [markdown]
# Now the blocks. yolo_edu's SPP has LeakyReLU, as in 2020; its SPPF has SiLU, as in release 7.0. To compare the pools, both get the same.

# %%
# maps: unpooled, 5, 9, 13 of section 3
assert torch.equal(chained_pools(features), torch.cat(maps, dim=1))

old, new = SPP(256, 256).eval(), SPPF(256, 256, activation=leaky_relu).eval()
new.load_state_dict(old.state_dict())  # loads without a word: pooling has no parameters
with torch.no_grad():
    for height, width in [(20, 20), (13, 7), (2, 3), (1, 1)]:
        x = torch.randn(2, 256, height, width)
        assert torch.equal(old(x), new(x))  # not "close": equal
print("SPP and SPPF agree bit for bit, also on maps smaller than a window")

# %% [markdown]
# So SPP can stand in for SPPF in a trained detector, and nobody will notice.

# %%
swapped = copy.deepcopy(model)
swapped.model[9] = spp  # section 3: an SPP with the trained convolutions
cards = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=256)
some = [cards[i].image for i in range(8)]
found, found_by_spp = detect(model, some, size=256), detect(swapped, some, size=256)
for one, other in zip(found, found_by_spp, strict=True):  # boxes, scores, labels of a photo
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
print("8 photos, every box, score and label the same")

# %% [markdown]
# ### Would it work with averages?
# Two chained means of 5 against one mean of 9, in the middle of the map, where no border disturbs:

# %%
twice = F.avg_pool2d(F.avg_pool2d(features, 5, 1, 2), 5, 1, 2)[0, channel, 4:-4, 4:-4]
nine = F.avg_pool2d(features, 9, 1, 4)[0, channel, 4:-4, 4:-4]
print(f"the greatest value: {nine.max():.3f} with one mean of 9, {twice.max():.3f} with two of 5")
assert not torch.allclose(twice, nine, atol=0.01)

# %% [markdown]
# No: chained they make a weighted mean, heavier in the middle (along a line: the counts above, divided by 25). A fine thing in itself, but another one.
#
# ### What it saves
# **Predict, then run:** the maximum of n numbers takes n − 1 comparisons. How many does SPP need for a cell, in one channel, for its three pools together?

# %%
quiz.predict(
    "comparisons of the pools 5 × 5, 9 × 9 and 13 × 13, for one cell of one channel",
    answer=sum(k * k - 1 for k in (5, 9, 13)),
    why="24 + 80 + 168. And for SPPF: 3 · 24 = 72.",
)

# %% [markdown]
# Now the clock, on a map of 20 × 20 cells with the channels of YOLOv5 s: the three pools alone, then the whole block, whose two convolutions
# are the same in both. The ratio of the pools need not be that of the comparisons: fetching numbers from memory takes its time too.

# %%
old, new = SPP(512, 512).eval(), SPPF(512, 512, activation=leaky_relu).eval()
x, y = torch.randn(1, 512, 20, 20), torch.randn(1, 256, 20, 20)
with torch.no_grad():
    in_turns(
        {
            "pools of 5, 9, 13": lambda: torch.cat([y, *(pool(y) for pool in old.m)], dim=1),
            "three of 5, chained": lambda: chained_pools(y),
        },
        rounds=15,
    )
    in_turns({"SPP, whole block": lambda: old(x), "SPPF, whole block": lambda: new(x)}, rounds=15)

# %% [markdown]
# And the share of the block in the time of the network:

# %%
network = YOLOv5("s", 5).eval()
picture = torch.rand(1, 3, 640, 640)
with torch.no_grad():
    in_turns(
        {
            "the whole network, with SPP": lambda: network(picture),
            "SPP": lambda: old(x),
            "SPPF": lambda: new(x),
        },
        rounds=5,
    )

# %% [markdown]
# Compare both shares with the block's share of the FLOPs at the end of section 4. FLOPs count multiplications and additions. Comparisons and moving
# numbers through memory cost time and count as nothing. SPPF has 72 of 272 comparisons left, not none. This is why "the same FLOPs, but faster" is no
# contradiction. On a GPU the shares may be others.
#
# ## 6 What it buys: the receptive field, computed and measured
# Before SPP a cell reads 218 pixels, and neighboring cells stand 32 pixels apart. **Predict, then run:** how many does it read after SPP?

# %%
quiz.predict(
    "pixels, along one side, that a cell reads after SPP",
    answer=rows[8].outputs[0].receptive_field,
    why="The widest pool reaches 6 cells to each side: 218 + 2 · 6 · 32.",
)

# %%
with torch.device("meta"):
    without = YOLOv5("s", 5)
    without.model[8] = Conv(512, 512)  # the same channels, no pools
print(f"{'receptive field after':<22}{'row 7':>8}{'row 8':>8}{'row 9':>8}{'row 25':>8}")
for name, lines in (("with SPP", rows), ("without", layer_rows(without, image_size=640))):
    fields = [lines[i].outputs[0].receptive_field for i in (7, 8, 9, 25)]
    print(f"{name:<22}" + "".join(f"{field:>8}" for field in fields))
for name, row in (("before", 7), ("after", 8)):
    field = rows[row].outputs[0].receptive_field
    area = field**2 / 640**2
    print(f"{name} SPP: {field / 640:.0%} of the image's side, in its middle {area:.0%} of its area")
assert rows[8].outputs[0].receptive_field - rows[7].outputs[0].receptive_field == 6 * 2 * 32
as_far = 6 * sum(p.numel() for p in Conv(512, 512, 3).parameters())
print(f"six Convs of 3 × 3 would reach as far, with {as_far:,} parameters")

# %% [markdown]
# One block, and a cell in the middle sees nearly the whole image. To reach as far with 3 × 3 convolutions would take six of them, and twice as many
# parameters as the whole network has. Row 25 is the last one before the large boxes are predicted. Without SPP its cells would just hold the largest
# anchor, with little around it.
#
# These are numbers on paper. Does a trained network really look that far? Ask its gradient: which pixels change one cell's output, if only a little?
# The image has to be larger than the window, so we take the card photo at 960 pixels. The trained network is another one (release 7.0, size n): its
# cells read 266 pixels before the pools, in row 8, and 266 + 384 = 650 after them, in row 9.

# %%
big = photo(28, 960).requires_grad_()
x, after_row = big, {}
for number, row in enumerate(model.model[:10]):  # the backbone is a plain chain
    after_row[number] = x = row(x)  # the last one: (1, 256, 30, 30)


def influence(number: int, row: int = 15, column: int = 15) -> torch.Tensor:
    """How strongly each pixel changes the channels' sum at one cell behind row `number`: (H, W)."""
    (gradient,) = torch.autograd.grad(after_row[number][0, :, row, column].sum(), big, retain_graph=True)
    return gradient[0].abs().sum(dim=0)


def extent(pixels: torch.Tensor) -> list[int]:
    """Height and width from the first to the last pixel that is not zero."""
    places = pixels.nonzero()  # (N, 2)
    return (places.amax(dim=0) - places.amin(dim=0) + 1).tolist()


seen = {number: influence(number) for number in (8, 9)}
promised = layer_rows(model, image_size=960)
for number, pixels in seen.items():
    field = promised[number].outputs[0].receptive_field
    height, width = extent(pixels)
    name = promised[number].block
    print(f"row {number} {name:<5} computed {field} × {field}, measured {height} × {width} pixels")
    assert height == width == field
assert promised[9].outputs[0].receptive_field - promised[8].outputs[0].receptive_field == 6 * 2 * 32

# %%
titles = ["read before the pools", "read after the pools"]
figures.show(
    figures.influence_maps(big.detach()[0], list(seen.values()), titles),
    alt="Pixels that change one cell: a small square before the pools, a large ragged patch after",
    photos=True,
)

# %% [markdown]
# Before the pools a filled square, after them a patch with ragged edges. (The scale is logarithmic: the middle counts for far more than the rim.
# What is darkest counts for a millionth or less.)
# The patch is ragged because a maximum passes on *one* cell of its window, the winner, and forgets the others. How many cells of the 13 × 13 had
# anything to say?

# %%
y = sppf.cv1(after_row[8].detach()).detach().requires_grad_()  # (1, 128, 30, 30)
three = chained_pools(y)[0, y.shape[1] :]  # (384, 30, 30): the pools, without the unpooled map
winners = []
for row, column in torch.cartesian_prod(*[torch.arange(6, 24, 3)] * 2).tolist():  # 36 cells
    (gradient,) = torch.autograd.grad(three[:, row, column].sum(), y, retain_graph=True)
    winners.append(int(gradient[0].ne(0).any(dim=0).sum()))  # cells that at least one channel took
winners.sort()
print(f"{winners[18]} of {13 * 13} cells, over {y.shape[1]} channels and three pools")
print(f"(the median for {len(winners)} output cells; the least {winners[0]}, the most {winners[-1]})")

# %% [markdown]
# SPP sees far but little: from each window one number a channel. And it is cheap in *parameters*: pools have none.
#
# ### And does it help?
# A wider window is a possibility, not a gain. What happens to the card detector when we take its pools out and put the unpooled map in all four places?
# The grade is mAP, mean average precision: 1 at best, at two degrees of strictness (lesson 09).

# %%
deaf = copy.deepcopy(model)
deaf.model[9].m = nn.Identity()  # SPPF runs its one pool `m` three times; now each time hands on what came in
with_pools = evaluate(model, cards, size=256, progress=False)
without_pools = evaluate(deaf, cards, size=256, progress=False)
print(f"mAP50     with its pools {with_pools.map50:.3f}, without {without_pools.map50:.3f}")
print(f"mAP50-95  with its pools {with_pools.map:.3f}, without {without_pools.map:.3f}")
longest = cards.box_sizes().amax(dim=1)  # the longer side of every card, in pixels at 256
print(f"measured on {with_pools.images} photos with {with_pools.boxes} cards; an image has 256 × 256 pixels,")
print(f"the longest card {longest.max():.0f} pixels, half of the cards less than {longest.median():.0f}")
assert abs(with_pools.map50 - without_pools.map50) < 0.02

# %% [markdown]
# A small drop. With so few cards, other photos might show none, or one twice as large. And it is not a fair trial: these weights were trained *with* pools. A
# fair one trains both networks, several times.
#
# One possible reason why the drop is small: at 256 pixels every card fits into the 266 pixels that a cell reads *before* the pools. At 640 pixels, with
# objects of all sizes, pools may have more to offer. On the 80 classes of the COCO photos the YOLOv4 paper reports that SPP raised YOLOv3's AP50 by
# 2.7 points (0.027 of mAP50) at 608 pixels, for 0.5 % more computation. Whether a block is worth its cost depends on your images. Ask first how far
# a cell sees without it.
#
# ## Quiz

# %%
quiz.ask(
    "You swap SPP for SPPF in a trained model without retraining. The mAP",
    ["drops a little: the windows are smaller", "stays exactly the same", "rises a little: SPPF is newer"],
    answer=1,
    why="They compute the same function with the same parameters; only the work differs. Section 5 swaps them and compares every box.",
)

# %%
quiz.ask(
    "Weights trained with the order input, 5, 9, 13 go into a module that concatenates 13, 9, 5, input.",
    [
        "Loading stops with an error: the shapes differ",
        "It works the same: the weights know what they belong to",
        "They load without a word, and the results are wrong",
    ],
    answer=2,
    why="All four tensors have the same shape, so no check can notice. Each weight of cv2 belongs to a place in the concatenation.",
)

# %%
quiz.ask(
    "A cell hears 5.0 in the 9 × 9 map and 0.2 in the 5 × 5 map of the same channel. What does it know?",
    [
        "A response of 5.0 is 3 or 4 cells away",
        "A response of 5.0 is exactly 4 cells away",
        "There are several responses that add up to 5.0",
    ],
    answer=0,
    why="Within 2 cells the strongest is 0.2, within 4 cells it is 5.0. A maximum neither adds nor tells a direction.",
)

# %%
quiz.ask(
    "An image of 256 × 256 makes a map of 8 × 8 cells. What does the 13 × 13 pool do there?",
    [
        "It stops with an error: the window is larger than the map",
        "It fills the missing cells with zeros",
        "It takes the maximum of the cells that are there",
    ],
    answer=2,
    why="Outside the map is −∞, which never wins. For cells in the middle the window covers all 8 × 8 cells, so they all hear the same.",
)

# %%
quiz.ask(
    "Why does YOLO not use the classic bins, which need no padding and make images of all sizes fit?",
    [
        "They are too slow: every bin has to look at all of its cells",
        "A detector's answer is a place, and bins forget it",
        "They have no parameters, so they cannot learn",
    ],
    answer=1,
    why="The output must be a grid that grows with the image. Every part of the network before the prediction keeps it; a vector of fixed length does not.",
)

# %%
quiz.ask(
    "Pools are taken out of a trained network and its mAP falls by 0.8 points. So SPP is worth 0.8 points of mAP.",
    [
        "Yes, everything else was equal: weights, photos and grade",
        "No, cv2 was trained with them; train both and compare",
        "No, mAP cannot measure a single block",
    ],
    answer=1,
    why="cv2 gets inputs that it was not trained for. Without pools one would have trained other weights. Removing a part measures how much this network leans on it, not what the idea is worth.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | bins with explicit loops = `SpatialBins`; the length never changes | assertion in section 2; `tests/test_pyramid.py::test_bins_by_hand` |
# | SPP's pools are the only ones in the network | assertion in section 2 |
# | SPP by loops over windows = SPP = the trained network's row 9 | assertions in section 3; `tests/test_blocks.py::test_spp_by_hand` |
# | zeros outside the map would change the border, and only the border | assertion in section 3 |
# | lines 87 to 92 hold 656,896 parameters; 0.524 GFLOPs | exercise 5.2; assertions in section 4; `tests/test_lesson_spp.py::test_the_numbers_of_the_block` |
# | SPP(5, 9, 13) = SPPF(5) exactly, also in a detector | assertions in section 5; `tests/test_blocks.py::test_sppf_is_spp_bit_for_bit` |
# | with means it would not work | assertion in section 5 |
# | a cell reads 218 pixels before SPP and 602 after | `tests/test_receptive.py`; `tests/test_lesson_spp.py::test_the_numbers_of_the_block` |
# | the trained network looks as far as computed, across and down | assertion in section 6 |
# | without its pools the card detector loses less than 0.02 of mAP50 | assertion in section 6 |
# | another order loads and computes something else | `tests/test_lesson_spp.py::test_another_order_loads` |
#
# **References** He, Zhang, Ren, Sun 2014, arXiv:1406.4729 (bins) · Redmon, Farhadi 2018, arXiv:1804.02767 (YOLOv3) · Bochkovskiy, Wang, Liao 2020, arXiv:2004.10934 (YOLOv4: SPP at stride 1, and its gain) ·
# Huang, Wang 2019, arXiv:1903.08589 (DC-SPP-YOLO) · Long, Shelhamer, Darrell 2014, arXiv:1411.4038 (networks without fully connected layers)
#
# ← [04 CSPDarknet, the backbone](04_csp_darknet.ipynb) · **05 Spatial pyramid pooling** · [06 FPN and PAN, the neck](06_fpn_pan.ipynb) →
