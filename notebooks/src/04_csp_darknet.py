# %% [markdown]
# # 04 · CSPDarknet, the backbone: where the picture becomes features
#
# **60 minutes · difficulty ●●●○○ · importance ●●●●○**
#
# After this lesson you can
# - read the table of Darknet-53 and say where its 53 comes from,
# - build a stage of CSPDarknet53 and count what its split saves,
# - prove that Focus and a 3 × 3 convolution together are one 6 × 6 convolution,
# - name the rows of YOLOv5 where P3, P4 and P5 leave the backbone, and measure what a trained backbone has learned there.
#
# You need [lesson 01](01_convolution_block.ipynb) (Conv, FLOPs, receptive field) and [lesson 03](03_csp.ipynb) (the split of a CSP stage).

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

import torch
from torch import nn

from yolo_edu.assets import sample_data, sample_photo, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.course import checks, figures, quiz, timing, widgets
from yolo_edu.course.activations import row_outputs
from yolo_edu.data import DetectionData, letterbox, read_spec
from yolo_edu.files import read_image
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.model.blocks import Bottleneck, Conv, Focus, leaky_relu, silu
from yolo_edu.model.darknet import Classifier, CSPDarknet53, Darknet53, mish
from yolo_edu.summary import layer_rows

torch.manual_seed(0)
cat, _ = letterbox(read_image(sample_photo("cat")), 256)  # (3, 256, 256), a square with gray borders
image = cat[None] / 255  # (1, 3, 256, 256), 0 to 1

# %%
figures.show(
    figures.network_map("backbone"),
    alt="The map of YOLOv5 with rows 0 to 9 lit: the backbone, the left column",
    dpi=60,
)

# %% [markdown]
# The left column is the **backbone**. It knows nothing about boxes. It turns the picture into maps that get smaller and richer.
#
# Two words for this lesson. A *stage* is a run of layers on maps of one size; it begins by halving the map. The *stride* of a map is the
# number of pixels from one cell to the next: 32 at the end of the backbone. Three networks pass by, each the parent of the next:
# Darknet-53 (YOLOv3, 2018), CSPDarknet53 (YOLOv4, 2020) and YOLOv5's own.
#
# ## 1 Darknet-53: five times half
# A first convolution, the *stem*. Then five stages. Each is one strided convolution and 1, 2, 8, 8 or 4 *residual blocks*. A residual block has
# two convolutions and adds its input to their result.
#
# **Predict, then run:** how many convolutions?

# %%
darknet = Darknet53().eval()

# %%
quiz.predict(
    "convolutions in Darknet-53",
    answer=sum(isinstance(module, nn.Conv2d) for module in darknet.modules()),
    why="1 in the stem, 5 that halve the map, and 2 · (1 + 2 + 8 + 8 + 4) in the residual blocks.",
)

# %%
figures.show(figures.darknet53_table(), alt=figures.FIGURES["06_darknet53"][1], dpi=64)

# %% [markdown]
# This is the article's sixth figure, drawn from the live module while a 256 pixel image goes through it. "3 × 3 / 2" is a 3 × 3 kernel with stride 2.
#
# So the name counts a layer that the backbone does not have: the linear layer of the classifier it was trained with on ImageNet. A detector
# cuts it off. It also does not stop at the end: the maps at strides 8, 16 and 32 leave as **P3**, **P4** and **P5** (8 = 2³, 16 = 2⁴, 32 = 2⁵).

# %%
classifier = Classifier(darknet, 1000)
layers = [module for module in classifier.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
assert len(layers) == 53
with torch.no_grad():
    for name, level in zip(("P3", "P4", "P5"), darknet(image), strict=True):
        print(f"{name}  {tuple(level.shape)}")  # (B, C, H, W)

# %% [markdown]
# Where do its parameters sit, and where does it work? FLOPs are two operations a multiply-add, as in lesson 01.


# %%
def stage_rows(backbone, size):
    """The stem and the five stages as rows of a table, for a size × size image."""
    return layer_rows(nn.Sequential(backbone.stem, *backbone.stages), size)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


rows = stage_rows(darknet, 256)
work = sum(row.flops for row in rows)
for row in rows:
    share, done = 100 * row.parameters / parameters(darknet), 100 * row.flops / work
    name = f"stage {row.row}" if row.row else "stem"
    print(f"{name:<8} {row.parameters:>11,} parameters {share:>5.1f} %", end="   ")
    print(f"{row.flops / 1e9:>5.2f} GFLOPs {done:>5.1f} %")
assert rows[5].parameters > 0.6 * parameters(darknet)
assert rows[5].flops < 0.2 * work
print(f"backbone {parameters(darknet):>11,} parameters, {work / 1e9:.2f} GFLOPs")

# %% [markdown]
# The last stage holds nearly two thirds of the parameters and does less than a fifth of the work: its maps are small. (The paper prints
# 18.7 billion operations for all of it; counting convolutions only, two operations a multiply-add, gives 18.57.)
#
# ### A stage from scratch
# A residual block squeezes the channels to half with a 1 × 1 convolution, looks around with a 3 × 3 convolution, and adds what came in.
# We build the second stage, give it the weights of the live one, and compare. (In `yolo_edu` the block is called `Bottleneck`, for the squeeze.)


# %%
class MyResidual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.cv1 = Conv(channels, channels // 2, 1)
        self.cv2 = Conv(channels // 2, channels, 3)

    def forward(self, x):  # (B, C, H, W) → (B, C, H, W)
        return x + self.cv2(self.cv1(x))


def my_stage(c_in, c_out, repeats):  # (B, c_in, H, W) → (B, c_out, H/2, W/2)
    return nn.Sequential(Conv(c_in, c_out, 3, stride=2), *(MyResidual(c_out) for _ in range(repeats)))


mine = my_stage(64, 128, 2).eval()
mine.load_state_dict(darknet.stages[1].state_dict())
assert isinstance(darknet.stages[1][1], Bottleneck)
with torch.no_grad():
    x = darknet.stages[0](darknet.stem(image))  # (1, 64, 128, 128)
    assert torch.equal(mine(x), darknet.stages[1](x))
print(f"{tuple(x.shape)} → {tuple(mine(x).shape)}, equal to the last bit")

# %% [markdown]
# ## 2 CSPDarknet53: the same stages, split
# YOLOv4 wraps every stage in the split of lesson 03. Two changes against CSPNet's own drawing: both paths start with a 1 × 1 convolution that
# reads *all* channels and keeps half as many, instead of cutting the channels in two; and the activation is Mish, x · tanh(ln(1 + eˣ)).

# %%
figures.show(figures.stages_side_by_side(), alt=figures.FIGURES["L04_stages"][1], dpi=60)

# %% [markdown]
# Inside its path a block has nothing left to squeeze: 1 × 1 and 3 × 3 both keep the path's width. After the blocks comes one more 1 × 1 Conv, and
# behind the concatenation (C) the *transition* mixes both paths.
#
# ### Exercise 4.1 · A stage of CSPDarknet53 (10 minutes, ●●●○○)
# Build it as drawn, for any `c_in`, `c_out` and number of blocks. Name the parts as the drawing does: `down`, `around`, `through` (an
# `nn.Sequential`: Conv, residual blocks, Conv), `transition`. Two blocks are all you need: `Conv(c_in, c_out, kernel=1, stride=1, activation=mish)`, and
# `Bottleneck(part, part, expansion=1.0, activation=mish)`, a residual block that keeps its width. When the paths meet, `through` comes first.


# %%
class MyCSPStage(nn.Module):
    def __init__(self, c_in, c_out, repeats):
        super().__init__()
        # YOUR CODE: self.down, self.around, self.through, self.transition
        raise NotImplementedError

    def forward(self, x):  # (B, c_in, H, W) → (B, c_out, H/2, W/2)
        raise NotImplementedError


MyCSPStage = checks.darknet_csp_stage(MyCSPStage)

# %% [markdown]
# <details><summary>Hint 1</summary>Call half of the channels <code>part = c_out // 2</code>. Which of the Convs read <code>c_out</code> channels, which <code>part</code>? The drawing shows what each one gives.</details>
# <details><summary>Hint 2</summary><code>nn.Sequential(first, *(block() for _ in range(repeats)), last)</code> puts a varying number of blocks between two Convs.</details>
# <details><summary>Hint 3</summary><code>torch.cat([a, b], dim=1)</code> joins on channels. Both paths start at the output of <code>down</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# class MyCSPStage(nn.Module):
#     def __init__(self, c_in, c_out, repeats):
#         super().__init__()
#         part = c_out // 2
#         self.down = Conv(c_in, c_out, 3, 2, activation=mish)
#         self.around = Conv(c_out, part, activation=mish)
#         self.through = nn.Sequential(
#             Conv(c_out, part, activation=mish),
#             *(Bottleneck(part, part, expansion=1.0, activation=mish) for _ in range(repeats)),
#             Conv(part, part, activation=mish),
#         )
#         self.transition = Conv(2 * part, c_out, activation=mish)
#
#     def forward(self, x):
#         x = self.down(x)
#         return self.transition(torch.cat([self.through(x), self.around(x)], dim=1))
# ```
# </details>

# %% [markdown]
# The first stage is an exception: both of its paths keep all 64 channels, and its one residual block squeezes to 32, as Darknet's does. Here it is
# by hand, on the weights of the live network, and behind it your stages two to five.

# %%
csp = CSPDarknet53().eval()
with torch.no_grad():
    first = csp.stages[0]
    x = first.down(csp.stem(image))  # (1, 64, 128, 128)
    into, block, out_of = first.through
    y = into(x)  # (1, 64, 128, 128): all 64
    y = y + block.cv2(block.cv1(y))  # through 32 channels and back
    x = first.transition(torch.cat([out_of(y), first.around(x)], dim=1))  # 128 channels in, 64 out
    assert torch.equal(x, first(csp.stem(image)))
    assert isinstance(into.act, type(mish()))
    for live, repeats in zip(csp.stages[1:], (2, 8, 8, 4), strict=True):
        stage = MyCSPStage(x.shape[1], 2 * x.shape[1], repeats).eval()
        stage.load_state_dict(live.state_dict())
        x = stage(x)
        print("next stage ", tuple(x.shape))
    assert torch.equal(x, csp(image)[2])
print("P5 from your stages and from CSPDarknet53: equal to the last bit")

# %% [markdown]
# ### Exercise 4.2 · What the split saves (6 minutes, ●●○○○)
# Count the trained parameters of each part of the *second* stage: 64 channels in, 128 out, two residual blocks (the drawing shows the third). A Conv has
# (channels in) × (channels out) × kernel² weights, no bias, and two numbers a channel for its BatchNorm. Write products, Python multiplies.

# %%
mine = {
    "down": None,  # YOUR CODE: a number or a product, like 3 * 32 * 9 + 2 * 32
    "around": None,
    "through": None,
    "transition": None,
}

counts = checks.split_stage_counts(mine)

# %% [markdown]
# <details><summary>Hint 1</summary><code>down</code> is a 3 × 3 Conv from 64 to 128 channels. The paths then have 64 channels each.</details>
# <details><summary>Hint 2</summary><code>through</code> is a 1 × 1 Conv from 128 to 64, twice (1 × 1 and 3 × 3, 64 to 64), and a 1 × 1 Conv from 64 to 64: six Convs, each with its BatchNorm.</details>
# <details><summary>Solution</summary>
#
# ```python
# mine = {
#     "down": 64 * 128 * 9 + 2 * 128,
#     "around": 128 * 64 + 2 * 64,
#     "through": 128 * 64 + 2 * (64 * 64 + 64 * 64 * 9) + 64 * 64 + 6 * 2 * 64,
#     "transition": 128 * 128 + 2 * 128,
# }
# ```
# </details>

# %%
total, plain = sum(counts.values()), parameters(darknet.stages[1])
print(f"second stage: {total:,.0f} parameters split, {plain:,} plain:", end=" ")
print(f"{100 * (1 - total / plain):.0f} % fewer")
csp_work = sum(row.flops for row in stage_rows(csp, 256))
for name, backbone, flops in (("Darknet-53", darknet, work), ("CSPDarknet53", csp, csp_work)):
    convolutions = sum(isinstance(module, nn.Conv2d) for module in backbone.modules())
    print(f"{name:<13} {convolutions} convolutions, {parameters(backbone):>10,} parameters,", end=" ")
    print(f"{flops / 1e9:.2f} GFLOPs at 256")
fewer, less = 1 - parameters(csp) / parameters(darknet), 1 - csp_work / work
print(f"CSPDarknet53 has {100 * fewer:.0f} % fewer parameters and does {100 * less:.0f} % less")

# %% [markdown]
# More convolutions, fewer parameters, less work. And the name? Its 53 is inherited; nobody counted again.
#
# Is it faster by as much? FLOPs count multiply-adds, and an activation costs none. So we run three: Darknet-53, CSPDarknet53 with Darknet's LeakyReLU, and
# CSPDarknet53 as it is, with Mish.

# %%
leaky = copy.deepcopy(csp)
for module in leaky.modules():
    if isinstance(module, Conv):
        module.act = leaky_relu()
crop = image[..., 32:224, 32:224]  # (1, 3, 192, 192)
with torch.no_grad():
    timing.in_turns(
        {
            "Darknet-53": lambda: darknet(crop),
            "CSPDarknet53, LeakyReLU": lambda: leaky(crop),
            "CSPDarknet53, Mish": lambda: csp(crop),
        },
        rounds=15,
    )
print(f"CSPDarknet53 has {csp_work / work:.2f} of the FLOPs")

# %% [markdown]
# Even with the same activation, 30 % fewer FLOPs need not be 30 % less time: there are 72 convolutions instead of 52, and concatenations copy. Mish adds
# an exponential, a logarithm and a hyperbolic tangent for every value. FLOPs are a count, not a clock.
#
# ### What the article says about accuracy
# "CSPDarknet53 model has higher accuracy in object detection compared with ResNet based designs even they have a better classification
# performance. But the classification accuracy of CSPDarknet53 can be improved with Mish." Both are claims of the YOLOv4 paper
# (arXiv:2004.10934), and narrower there. It compares *one* relative of ResNet, CSPResNeXt50, which classified ImageNet better while CSPDarknet53 detected
# better on COCO; and its table of classifiers reports a gain with Mish on top of other tricks. Neither is measured here: it takes ImageNet
# and weeks. (Lesson 01 compares Mish with other activations, by formula.)
#
# What can be checked is the paper's first table, its argument for this backbone: a wider receptive field and more parameters than CSPResNeXt50 has.

# %%
published = {  # CSPDarknet53, CSPResNeXt50
    "millions of parameters, 1000-class layer included": (27.6, 20.6),
    "GFLOPs at 512 × 512": (52, 31),
    "receptive field, pixels": (725, 425),
}
rows = stage_rows(csp, 512)
measured = [
    parameters(Classifier(csp, 1000)) / 1e6,
    sum(row.flops for row in rows) / 1e9,
    rows[-1].outputs[0].receptive_field,
]
print(f"{'':<49}  measured  paper  CSPResNeXt50, paper")
for (name, (own, other)), value in zip(published.items(), measured, strict=True):
    print(f"{name:<49} {value:>9.2f} {own:>6} {other:>20}")
    assert round(value, 1 if own < 50 else 0) == own

# %% [markdown]
# ## 3 Focus: space becomes depth
# Darknet starts with a convolution on the full image. YOLOv5 of June 2020, the article's network, starts with **Focus**. The article prints it and
# does not explain it, so look closely. First it moves pixels, without any arithmetic: every second row and every second column make a small
# picture. There are four ways to start, the four *phases*, and all four are kept, side by side on the channels.

# %%
figures.show(figures.focus_phases(), alt=figures.FIGURES["L04_focus"][1], dpi=75)

# %% [markdown]
# The figure comes from the live block: numbered pixels went through its slicing. The order of the phases is a convention, and trained
# weights depend on it: the *row* changes first.
#
# In PyTorch, `x[..., 0::2, 1::2]` means: all images and channels (`...`), rows from 0 in steps of 2, columns from 1 in steps of 2.

# %%
photo = image[0, :, 44:212]  # (3, 168, 256): without the gray borders
phases = {
    "even rows, even columns": photo[:, 0::2, 0::2],
    "odd rows, even columns": photo[:, 1::2, 0::2],
    "even rows, odd columns": photo[:, 0::2, 1::2],
    "odd rows, odd columns": photo[:, 1::2, 1::2],
}
figures.show(
    figures.map_grid(list(phases.values()), list(phases), side=2.2),
    alt="The four phases of the cat photo: four cats of half the size that look the same",
    photos=True,
    dpi=74,
)
a, *_, d = phases.values()
print(f"each is {tuple(a.shape)}; on average", end=" ")
print(f"first and last differ by {255 * (a - d).abs().mean():.1f} of 255")

# %% [markdown]
# Four cats, almost the same: that is what neighboring pixels are. What differs between them is the fine detail.
#
# ### Exercise 4.3 · Space to depth (5 minutes, ●○○○○)
# Write the slicing for any batch: (B, C, H, W) with even H and W → (B, 4C, H/2, W/2). First all C channels of the phase *even rows, even columns*,
# then of *odd rows, even columns*, then *even rows, odd columns*, then *odd rows, odd columns*.


# %%
def space_to_depth(x):  # (B, C, H, W) → (B, 4C, H/2, W/2)
    # YOUR CODE instead of the next line
    raise NotImplementedError


space_to_depth = checks.space_to_depth(space_to_depth)

# %% [markdown]
# <details><summary>Hint 1</summary>The cell above has the four slices. <code>...</code> makes them work for any number of axes in front.</details>
# <details><summary>Hint 2</summary><code>torch.cat([first, second, third, fourth], dim=1)</code>: axis 1 of (B, C, H, W) are the channels.</details>
# <details><summary>Solution</summary>
#
# ```python
# def space_to_depth(x):
#     phases = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
#     return torch.cat(phases, dim=1)
# ```
# </details>

# %% [markdown]
# **Is a pixel lost?** Then we could not go back. We can: slices on the left side of `=` put every phase where it came from.

# %%
small = space_to_depth(image)  # (1, 12, 128, 128)
back = torch.empty_like(image)
for phase, (row, column) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
    back[..., row::2, column::2] = small[:, 3 * phase : 3 * phase + 3]
assert torch.equal(back, image)
print(f"{image.numel():,} numbers in, {small.numel():,} out, and the photo comes back exactly")

# %% [markdown]
# PyTorch has such an operation too: `pixel_unshuffle`, the inverse of the *pixel shuffle* that Shi et al. (2016) use to enlarge images. It makes the same
# twelve maps in another order, color by color. Weights trained with one order are noise for the other.

# %% [markdown]
# ### What it costs
# Focus then runs a 3 × 3 convolution from 12 channels to 32. Darknet's stem runs a 3 × 3 convolution from 3 channels to 32, on the full image.
# The kernel of Focus has four times the weights.
#
# **Predict, then run:** on a 640 × 640 image Darknet's stem takes the FLOPs printed below. How many GFLOPs does Focus take?

# %%
stem_row = layer_rows(nn.Sequential(Conv(3, 32, 3)), 640)[0]
focus_row = layer_rows(nn.Sequential(Focus(3, 32, 3)), 640)[0]
print(f"Darknet's stem: {stem_row.flops / 1e9:.4f} GFLOPs, output {stem_row.outputs[0].shape}")

# %%
quiz.predict(
    "GFLOPs of Focus(3, 32, 3) at 640 × 640",
    answer=round(focus_row.flops / 1e9, 4),
    why="The same: four times the weights, but a quarter of the positions. Slicing counts no operation.",
)

# %% [markdown]
# The same work, but Focus is already at half the size. Darknet has to halve its 32 large maps next, with the first convolution of its first stage.

# %%
halving = layer_rows(nn.Sequential(Conv(3, 32, 3), Conv(32, 64, 3, 2)), 640)[1]
assert stem_row.flops == focus_row.flops
print(f"to reach stride 2, Darknet adds {halving.flops / 1e9:.2f} GFLOPs,")
print(f"{halving.flops / focus_row.flops:.1f} times all of Focus")

# %% [markdown]
# A warning about words. "Focus loses no information" is true of the slicing. Nothing forces the trained convolution behind it to be invertible.
#
# ### Focus is a 6 × 6 convolution
# Release 7.0 (November 2022) has no Focus. Its first row is a plain convolution: kernel 6 × 6, stride 2, padding 2. It looks like a new design. It is
# the same function.
#
# Follow the rows; columns go alike. Row i of the even phase is row 2i of the image, row i of the odd phase is row 2i + 1. The 3 × 3 convolution at row i
# reads rows i − 1, i and i + 1 of both. These are the image rows 2i − 2 to 2i + 3: six rows, each once.

# %%
figures.show(figures.focus_kernel(), alt=figures.FIGURES["L04_focus_kernel"][1], dpi=60)

# %% [markdown]
# When i moves by one, the window moves by two pixels: stride 2. At i = 0 it starts at row −2: padding 2. One row of zeros around the phases *is* two rows
# of zeros around the image. So every weight of Focus has exactly one place in a 6 × 6 kernel, and the slicing that sorts the pixels sorts the weights too.

# %%
focus = Focus(3, 8, 3).double().eval()  # in double precision: no rounding to hide behind
weight = focus.conv.conv.weight.detach()  # (8, 12, 3, 3)
kernel = torch.zeros(8, 3, 6, 6, dtype=torch.float64)
for phase, (row, column) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
    kernel[..., row::2, column::2] = weight[:, 3 * phase : 3 * phase + 3]

stem = Conv(3, 8, 6, stride=2, padding=2).double().eval()
stem.conv.weight.data = kernel
with torch.no_grad():
    one, two = focus(image.double()), stem(image.double())  # (1, 8, 128, 128)
torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)
print(f"largest difference over the whole map, borders included: {(one - two).abs().max():.1e}")
for padding in (1, 2, 3):
    side = nn.functional.conv2d(image.double(), kernel, stride=2, padding=padding).shape[-1]
    print(f"padding {padding}: {side} cells a side")

# %% [markdown]
# Not to the last bit: the products are the same, but they are added up in another order. Only padding 2 gives the map its size.
#
# It works the other way round too. The shipped card detector is a release 7.0 network, so its first row is a *trained* 6 × 6 kernel. Its Focus weights
# are simply `space_to_depth` of that kernel. (Its activation is SiLU, x · σ(x), as everywhere in release 7.0.)

# %%
weights = shipped_weights("cards_n")
model = load_checkpoint(weights).eval()
size = read_metadata(weights)["image_size"]  # 256: what it was trained for

trained = model.model[0]
as_focus = Focus(3, trained.conv.out_channels, 3, activation=silu).eval()
as_focus.conv.bn = trained.bn
with torch.no_grad():
    # (16, 3, 6, 6) → (16, 12, 3, 3)
    as_focus.conv.conv.weight.copy_(space_to_depth(trained.conv.weight))
    torch.testing.assert_close(as_focus(image), trained(image), rtol=1e-4, atol=1e-4)
print("the trained stem lives on as a Focus, with weights", tuple(as_focus.conv.conv.weight.shape))

# %% [markdown]
# Why the change, then? The same multiplications, but Focus copies the whole image in four slices before it starts.

# %%
big = torch.rand(1, 3, 640, 640)
ways = {"Focus": Focus(3, 32, 3).eval(), "6 × 6 convolution": Conv(3, 32, 6, 2, 2).eval()}
with torch.no_grad():
    timing.in_turns({name: lambda module=module: module(big) for name, module in ways.items()}, rounds=15)

# %% [markdown]
# The ratio is your machine's. Other processors and other versions of PyTorch give other ones.
#
# ## 4 The backbone of YOLOv5, row by row
# Now the whole left column of the map, read from the live networks on a 640 × 640 image: rows 0 to 9 of YOLOv5 s in the June 2020 release (the
# article's) and in release 7.0. "n" counts the bottlenecks inside a block, "field" is the receptive field in pixels.

# %%
releases = {"June 2020": YOLOv5("s", 80).eval(), "release 7.0": YOLOv5v6("s", 80).eval()}
tables = {name: layer_rows(network, 640) for name, network in releases.items()}

# %% [markdown]
# **Predict, then run:** rows 1, 3, 5 and 7 are strided Convs: they halve the map and double the channels. Row 7 has 64 times the weights of row 1.
# How many times the FLOPs?

# %%
quiz.predict(
    "FLOPs of row 7, as a multiple of row 1's",
    answer=tables["June 2020"][7].flops / tables["June 2020"][1].flops,
    why="Per halving the weights grow fourfold and the positions shrink to a quarter. "
    "Twice the channels at half the size costs the same.",
)

# %%
for name, table in tables.items():
    print(f"{name:<12} row  block          n  output (C, H, W)   stride  field  parameters  MFLOPs")
    for line in table[:10]:
        out = line.outputs[0]
        shape = ", ".join(map(str, out.shape[1:]))
        print(f"{line.row:>16}  {line.block:<13} {line.repeats:>2}  {shape:<18}", end=" ")
        print(f"{out.stride:>6g} {out.receptive_field:>6}  {line.parameters:>10,} {line.flops / 1e6:>7,.0f}")
    print()
assert len({tables["June 2020"][row].flops for row in (1, 3, 5, 7)}) == 1

# %% [markdown]
# The strided Convs, 944 MFLOPs each, show the rule that shapes every backbone of this family: twice the channels at half the size costs the same. So the
# last rows own the parameters, not the work.
#
# Rows 4, 6 and 9 are P3, P4 and P5: strides 8, 16, 32. Five halvings in Darknet, five here. Row 0 does the first, so no convolution gives out a map of
# full size. Halving rounds up: 500 → 250 → 125 → 63 → 32 → 16.
#
# (All channel counts and repeats are those of the size s. How s, m, l and x come from two multipliers is lesson 08.)

# %%
with torch.no_grad():
    for network in releases.values():
        p3, p4, p5 = network.backbone(image)
        rows = row_outputs(network, image)
        assert torch.equal(p3, rows[4])
        assert torch.equal(p4, rows[6])
        assert torch.equal(p5, rows[9])
print("backbone() returns the outputs of rows 4, 6 and 9, in both releases")

# %% [markdown]
# Three details of the end.
# - In June 2020 **SPP** (row 8) comes *before* the last CSP block. In release 7.0 its faster twin **SPPF** comes last. Both are lesson 05.
# - The last CSP block of June 2020, row 9, has no shortcuts: its bottlenecks do not add their input. In release 7.0 they do.
# - The original configuration file lists that row under "head". The data do not care: its output is P5, so it belongs to the backbone.

# %%
old, new = (network.model for network in releases.values())
print("June 2020, row 9:  ", type(old[9]).__name__, "adds its input:", old[9].m[0].add)
print("release 7.0, row 8:", type(new[8]).__name__, "adds its input:", new[8].m[0].add)
for name, table in tables.items():
    weights, flops = (
        100 * sum(getattr(row, what) for row in table[:10]) / sum(getattr(row, what) for row in table)
        for what in ("parameters", "flops")
    )
    print(f"{name}: the backbone has {weights:.0f} % of the parameters, does {flops:.0f} % of the work")
large = layer_rows(YOLOv5("l", 80), 640)[:10]  # size l: its repeats are not scaled down
blocks = [row.repeats for row in large if row.block == "BottleneckCSP"]
print("blocks a stage: CSPDarknet53", [len(s.through) - 2 for s in csp.stages], " YOLOv5 l", blocks)

# %% [markdown]
# So YOLOv5's backbone is a relative of CSPDarknet53, not a copy: no residual blocks at stride 2, other repeats, other CSP blocks, LeakyReLU (June 2020) or SiLU (release 7.0) instead
# of Mish.
#
# ## 5 What a trained backbone sees
# Enough structure. The shipped detector has learned five playing cards. We send photos that it was not trained on through rows 0 to 9.
# Its rows are those of the second table, release 7.0, with half as many channels (size n) and photos of 256 × 256 pixels.

# %%
cards = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=size)
fitted = [letterbox(sample.image, size) for sample in cards]  # the square, how the photo lies in it
squares = torch.stack([square for square, _ in fitted]) / 255  # (48, 3, 256, 256)
outputs = row_outputs(model, squares)  # row by row (48, C, h, w)

example = 31
photos = {"four cards": fitted[example][0], "the cat": cat}
photos["a cup of coffee"] = letterbox(read_image(sample_photo("coffee")), size)[0]
photos["cards on tiles"] = fitted[28][0]
figures.show(
    figures.map_grid(list(photos.values()), list(photos), side=2.2),
    alt="Four photos in gray squares: cards on leather, a cat's head, a cup of coffee, cards on tiles",
    photos=True,
    dpi=70,
)

# %% [markdown]
# (Photos: cards, EdjeElectronics, Apache-2.0; cat, Stefan van der Walt, CC0; coffee, Rachel Michetti, CC0.)
#
# Rows 0, 2, 4, 6 and 9 for the first photo. A row has 16 to 256 channels; we show the five that vary most over this photo, by standard deviation.

# %%
own = [maps[example] for maps in outputs]  # row by row (C, h, w)
figures.show(
    figures.strongest_maps(own, (0, 2, 4, 6, 9)),
    alt="Five maps each of rows 0, 2, 4, 6 and 9 for the photo of four cards: "
    "first thin edges, then sides of cards, last a few bright cells",
    photos=True,
    dpi=72,
)

# %% [markdown]
# - **Row 0** has 128 × 128 cells and draws edges: upright ones (channel 2), level ones (0 and 3). A few channels that we do not see here answer to plain dark or bright.
# - **Row 2** has 64 × 64 cells. Tastes part: right sides (21), lower edges (20), any fine detail (12, 17).
# - **Row 4** has 32 × 32 cells. Strokes turn into sides of whole cards. Some channels light up along the gray border: it is part of the input, so the network sees it.
# - **Row 6** has 16 × 16 cells. Channels answer to *parts*: the upper end of every card (40, 65), the lower end (41).
# - **Row 9** has 8 × 8 cells. Roughly where the cards are; the three upper ones melt together. Which cards they are lies spread over 256 channels.
#
# How much is left of the photo?

# %%
print(f"image                    {squares[0].numel():>8,} numbers")
for row in (0, 2, 4, 6, 9):
    maps = outputs[row]  # (48, C, h, w)
    assert not (maps == 0).any()
    low = 100 * (maps < 0).float().mean()
    print(f"row {row}   {tuple(maps.shape[1:])!s:<15}  {own[row].numel():>8,} numbers,", end=" ")
    print(f"{low:.0f} % below zero, none exactly zero")
assert outputs[9][0].numel() * 12 == squares[0].numel()

# %% [markdown]
# Row 0 holds more numbers than the image, row 9 a twelfth of it. Half of the values lie below zero, none is exactly zero: SiLU dampens negative values
# and does not cut them off. "Feature maps are full of zeros" is said of networks with ReLU. It is not true of this one.
#
# ### From looking to measuring
# Maps of one photo prove little; one finds what one looks for. So we ask all 48 validation photos. First question: **how well does one channel tell a
# card from the rest?** Pick at random a cell on a card and a cell beside all cards, each from any photo. How often is the channel higher on the card? One
# half is guessing. A channel that is always *lower* is as good, so the better of both counts.
#
# Two cautions. The best of 256 channels is always lucky where it was chosen. So one half of the photos chooses the channel and its sign, the other half
# judges it. And a number alone says little. So three networks that learned *nothing* answer too: random weights, with BatchNorm's
# statistics from the half that chooses.

# %%
boxes, frames = [], []  # a photo each: x1, y1, x2, y2 in pixels of the square
for sample, (_, fit) in zip(cards, fitted, strict=True):
    height, width = sample.image.shape[1:]
    boxes.append(fit.apply(sample.boxes))  # of its cards
    frames.append(fit.apply(torch.tensor([[0.0, 0.0, width, height]])))  # without gray borders

chosen = torch.arange(len(cards)) % 2 == 0
chosen[-5:] = True  # the last five show nearly one scene: they stay together


def untrained(seed):
    torch.manual_seed(seed)
    network = YOLOv5v6("n", 5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # its statistics become those of the next batch
    with torch.no_grad():
        network(squares[chosen])
    return row_outputs(network.eval(), squares)


strangers = [untrained(seed) for seed in range(3)]


# %%
def ranks_higher(maps, card, other, pairs=20_000):  # maps (B, C, h, w), masks (B, h, w) → (C,)
    cells, generator = maps.permute(0, 2, 3, 1), torch.Generator().manual_seed(0)
    on, off = cells[card], cells[other]  # (cells, C) on a card and beside all cards
    a, b = (torch.randint(len(x), (pairs,), generator=generator) for x in (on, off))
    return (on[a] > off[b]).float().mean(0)


def best_channel(maps):
    """The channel that one half of the photos chooses, and how often it is right on the other half."""
    card = figures.cells_inside(boxes, maps.shape[-1], size)  # which cells have their middle on a card
    other = figures.cells_inside(frames, maps.shape[-1], size) & ~card
    known, fresh = (ranks_higher(maps[half], card[half], other[half]) for half in (chosen, ~chosen))
    best = int((known - 0.5).abs().argmax())
    return best, float(fresh[best] if known[best] > 0.5 else 1 - fresh[best])


color, share = best_channel(squares)
print("right in … of 100 pairs   trained   untrained")
print(f"image  color   {color:>3} {100 * share:>13.0f}")
knows, guesses = {}, {}
for row in range(10):
    knows[row] = best_channel(outputs[row])
    guesses[row] = [best_channel(maps[row])[1] for maps in strangers]
    others = "  ".join(f"{100 * guess:.0f}" for guess in guesses[row])
    print(f"row {row}  channel {knows[row][0]:>3} {100 * knows[row][1]:>13.0f}   {others}")

# %%
assert [row for row in range(10) if knows[row][1] > max(guesses[row]) + 0.05] == [7, 8, 9]
assert min(knows[row][1] for row in (7, 8, 9)) > 0.9

# %% [markdown]
# **Only rows 7 to 9 beat a network that learned nothing.** There one channel alone is right in more than nine pairs of ten. The 85 of rows 5 and 6 look like
# knowledge, but random weights come about as far. (Cards are large and white: the plain image is right in two pairs of three.) What the rows before have learned shows
# when one asks another question.
#
# Second question: **parts.** For each card and each channel, in which cell of the card's box is the channel highest? If a channel
# really likes upper ends, that cell lies in the upper half for almost every card. We ask for upper, lower, left and right, choose and judge as before,
# and print the best channel in brackets. "Untrained" is the highest of the three.


# %%
first = torch.repeat_interleave(chosen, torch.tensor([len(own) for own in boxes]))  # (92,), card by card
sides = {"upper": (1, False), "lower": (1, True), "left": (0, False), "right": (0, True)}


def best_on_side(places, axis, beyond):
    """The channel that the first cards choose, and how often it is right on the others."""
    hits = (places[..., axis] > 0.5) == beyond  # (cards, C, 2) → (cards, C)
    best = int(hits[first].float().mean(0).argmax())
    return best, float(hits[~first, best].float().mean())


part, luck = {}, {}
for row in (0, 2, 4, 6, 9):
    places = figures.highest_places(outputs[row], boxes, size)
    strange = [figures.highest_places(maps[row], boxes, size) for maps in strangers]
    for name, side in sides.items():
        part[row, name] = best_on_side(places, *side)
        luck[row, name] = max(best_on_side(other, *side)[1] for other in strange)
    words = [f"{name} {100 * part[row, name][1]:.0f} % ({part[row, name][0]})" for name in sides]
    print(f"row {row}      " + "".join(f"{word:<18}" for word in words))
    print("untrained  " + "".join(f"{name} {100 * luck[row, name]:.0f} %".ljust(18) for name in sides))

# %%
assert sum(part[0, name][1] for name in sides) < sum(luck[0, name] for name in sides)
assert all(part[6, name][1] > max(luck[6, name] + 0.15, 0.8) for name in sides)
assert min(part[4, name][1] for name in ("upper", "left")) > 0.9
figures.show(
    figures.highest_in_boxes(
        fitted[example][0],
        [own[6][part[6, name][0]] for name in sides],
        [f"{name}: row 6, channel {part[6, name][0]}" for name in sides],
        boxes[example],
    ),
    alt="Four times the photo of four cards with their boxes. In each box the highest cell of one "
    "channel of row 6 is marked: in the upper half, in the lower, in the left, in the right half",
    photos=True,
    dpi=72,
)

# %% [markdown]
# Row 0 does, on the whole, no better than random weights. Row 4 has a channel for the upper and one for the left half. Row 6 has one for each of the four sides: on cards that
# did not choose it, its highest cell lies on its side more than four times in five. Nobody asked for part detectors. Probably they come from the task: the network
# is trained to draw boxes, and for a box one must know where a card ends.
#
# In row 9 the parts blur again: with 32 pixels a cell, a card is only a few cells.
#
# ### The cat
# What does a network that knows five cards say to a cat? One thing can be checked: does the channel that best says "card" stay quiet?

# %%
astronaut, _ = letterbox(read_image(sample_photo("astronaut")), size)
guests = torch.stack([cat, photos["a cup of coffee"], astronaut])
visit = row_outputs(model, guests / 255)  # row by row (3, C, h, w)
channel = knows[9][0]
values, card = outputs[9][:, channel], figures.cells_inside(boxes, 8, size)  # (48, 8, 8)
other = figures.cells_inside(frames, 8, size) & ~card
tops = torch.stack([own[cells].max() for own, cells in zip(values, other, strict=True)])  # (48,)
print(f"row 9, channel {channel}, on average over the card photos")
print(f"{values[card].mean():.2f} on a cell of a card")
print(f"{values[other].mean():.2f} on a cell beside the cards")
print(f"{tops.mean():.2f} on the highest of these in a photo")
highest = visit[9][:, channel].amax(dim=(1, 2))
for name, value in zip(("cat", "coffee", "astronaut"), highest.tolist(), strict=True):
    print(f"{value:.2f} on the highest cell of the {name}")
assert highest.max() < values[card].mean()

# %% [markdown]
# Not silent, but no more excited than by the background of an ordinary card photo. (Photo of the astronaut: NASA, public domain.)
#
# ### Look for yourself
# Choose a photo, a row and a channel. Left the photo, in the middle the map, right the photo in its light. The line below names the strongest
# channels of the row. Things to try:
# - Stay with one photo and one channel number and go down the rows. Is there a connection between channel 5 of row 2 and channel 5 of row 4?
# - Find a channel of row 4 that sees the gray border. Does it do so on every photo?
# - Take a channel of the table above to the cat.

# %%
explorer = widgets.feature_map_explorer(model, photos, row=6, channel=part[6, "upper"][0])

# %% [markdown]
# A channel number means nothing outside its row, and nothing in another training: the same part may sit in any channel.
#
# ## Quiz

# %%
quiz.ask(
    "Focus halves the height and the width of the image. What happens to the other three quarters of the pixels?",
    [
        "They stand in other channels: 12 instead of 3",
        "They are averaged into the pixels that stay",
        "They are dropped; a strided convolution does the same",
    ],
    answer=0,
    why="Four phases of three colors. The image could be put together again exactly, as in section 3.",
)

# %%
quiz.ask(
    "You load the weights of a Focus stem, (32, 12, 3, 3), into a 6 × 6 stem, with .view(32, 3, 6, 6). What happens?",
    [
        "An error: the shapes do not fit",
        "It works, both compute the same function",
        "No error, but the stem computes something else",
    ],
    answer=2,
    why="Both have 3,456 weights, so view does not complain. But the places are wrong: the phases have to be laid into every second row and column.",
)

# %%
quiz.ask(
    "Your images are 500 × 500. What does YOLOv5 do with them, without letterboxing?",
    [
        "It works: a convolution takes any size",
        "It fails in the neck: P4 doubled has 64 cells a side, P3 has 63",
        "It fails in Focus, which needs multiples of 32",
    ],
    answer=1,
    why="Focus needs even sizes only. Halved and rounded up, the maps have 250, 125, 63, 32 and 16 cells. The neck doubles P4 to lay it beside P3. "
    "Multiples of 32 always fit, others by luck, like 506. So images are letterboxed to multiples of 32.",
)

# %%
quiz.ask(
    "CSPDarknet53 does 30 % fewer FLOPs than Darknet-53. It therefore takes",
    [
        "30 % less time, on every machine",
        "30 % less memory",
        "a time that has to be measured: activations and copies cost time and no FLOPs",
    ],
    answer=2,
    why="The timing in section 2 shows how far the two can be apart. FLOPs count the multiply-adds of convolutions only.",
)

# %%
quiz.ask(
    "You train the detector again with another seed. Channel 15 of row 6",
    [
        "will show the same part again: the architecture is the same",
        "may show anything: which channel learns what is settled by the random start",
        "will show the same part, but maybe with the sign turned",
    ],
    answer=1,
    why="Two channels can change places, together with the weights that read them, and the network computes the same. Nothing ties a number to a meaning.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | Darknet-53 has 52 convolutions and one linear layer | assertion in section 1; `tests/test_darknet.py::test_darknet53_has_53_layers` |
# | the stages are what the papers describe | equal to stages written by hand, sections 1 and 2; `tests/test_darknet.py::test_csp_stage_by_hand` |
# | parameters, FLOPs and receptive field of CSPDarknet53 are the paper's (CSPResNeXt50's are quoted) | assertion in section 2; `tests/test_darknet.py::test_csp_darknet53_parameters` |
# | CSPDarknet53 detects better than CSPResNeXt50; Mish helps it to classify | the YOLOv4 paper; not measured here |
# | Focus loses no pixel; its order of phases | assertion in section 3; `tests/test_blocks.py::test_focus_phases_by_hand` |
# | `pixel_unshuffle` has another order | `tests/test_lesson_darknet.py::test_pixel_unshuffle_is_another_order` |
# | Focus with a 3 × 3 convolution is a 6 × 6 convolution | assertions in section 3, both directions; `tests/test_blocks.py::test_focus_is_a_six_wide_convolution` |
# | P3, P4, P5 are rows 4, 6, 9 | assertion in section 4; `tests/test_activations.py::test_rows_are_what_the_walks_return` |
# | rows 7 to 9 tell a card from the rest, row 6 tells its sides, better than random weights | measured on photos that chose no channel, assertions in section 5 |
# | 500 pixels fail in the neck, 506 do not | `tests/test_lesson_darknet.py::test_500_pixels_fail_in_the_neck` |
#
# **References** Redmon, Farhadi 2018, arXiv:1804.02767 (YOLOv3, Darknet-53) · Bochkovskiy, Wang, Liao 2020, arXiv:2004.10934 (YOLOv4, CSPDarknet53) · Wang, Liao, Wu,
# Chen, Hsieh, Yeh 2019, arXiv:1911.11929 (CSPNet) · Misra 2019, arXiv:1908.08681 (Mish) · Shi, Caballero, Huszár, Totz, Aitken, Bishop, Rueckert, Wang 2016,
# arXiv:1609.05158 (pixel shuffle)
#
# ← [03 Cross-stage partial networks](03_csp.ipynb) · **04 CSPDarknet, the backbone** · [05 Spatial pyramid pooling](05_spp.ipynb) →
