# %% [markdown]
# # 01 · The convolution block: Conv, BatchNorm, activation
#
# **60 minutes · difficulty ●●○○○ · importance ●●●●●**
#
# After this lesson you can
# - compute one number of a convolution by hand, and the size of the map it makes,
# - count a block's parameters and its work before you build it,
# - say what BatchNorm does in training and in evaluation, and why the convolution before it has no bias,
# - tell six activations apart by their derivatives,
# - fold BatchNorm into the convolution,
# - compute which pixels a unit can see, and measure which ones it uses.
#
# The three exercises take 26 of the minutes. You need [lesson 00](00_start_here.ipynb) and a little PyTorch: what a tensor and an `nn.Module` are.

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
from itertools import product

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from yolo_edu.assets import sample_data, sample_photo, shipped_weights
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import checks, figures, quiz, timing, widgets
from yolo_edu.data import DetectionData, collate, read_image, read_spec
from yolo_edu.evaluate import detect
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.model.blocks import Conv, Focus
from yolo_edu.summary import layer_rows

network = YOLOv5("s", 5).eval()  # the article's network, the June 2020 release; its weights are random
model = load_checkpoint(shipped_weights("cards_n")).eval()  # release 7.0, size n, trained on playing cards

# %% [markdown]
# Two networks serve this lesson. The article prints **the June 2020 release** of YOLOv5 (release 1.0), size s. The detector that comes with
# the course is **release 7.0**, size n, and it is trained. Both are made of one block, which stands in the code as `Conv`.

# %%
figures.show(
    figures.network_map("conv"),
    alt="The map of YOLOv5 with eight Conv tiles lit: four in the backbone, two on the neck's way up, "
    "two on its way down",
)

# %%
convs = [m for m in network.modules() if isinstance(m, Conv)]
every = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
print(f"{sum(isinstance(row, Conv) for row in network.model)} of {len(network.model)} rows are a Conv")
print(f"{len(convs)} Convs in all, most of them inside other rows")
print(f"so they hold {len(convs)} of the network's {len(every)} convolutions")

# %% [markdown]
# The map lights the rows that are a Conv and nothing else. Most Convs sit *inside* other rows. Understand this one block and you have most of
# the network.
#
# ## 1 A convolution by hand
# A **kernel** is a small grid of weights. Lay it on the photo, multiply each weight by the pixel below it, add up: one number. Move on
# and repeat. Here is a kernel for edges: it subtracts what is on the left from what is on the right.

# %%
photo = read_image(sample_photo("cat")) / 255  # (3, 300, 451), 0 to 1
gray = photo.mean(dim=0)  # (300, 451)
edge = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])  # (3, 3), Sobel's kernel
patch = gray[97:104, 166:173]  # (7, 7): a reflection in the cat's eye


def one_value(x, weight, row, column):
    """x (C, H, W), weight (C, k, k) → sum of products, window's corner at (row, column)."""
    total = 0.0
    for c in range(weight.shape[0]):  # every channel
        for i in range(weight.shape[1]):  # every row of the kernel
            for j in range(weight.shape[2]):
                total += weight[c, i, j].item() * x[c, row + i, column + j].item()
    return total


by_hand = torch.tensor(  # (5, 5)
    [[one_value(patch[None], edge[None], r, c) for c in range(5)] for r in range(5)]
)
conv = nn.Conv2d(1, 1, kernel_size=3, bias=False)
conv.weight.data = edge[None, None]  # (C_out, C_in, k, k)
torch.testing.assert_close(conv(patch[None, None])[0, 0].detach(), by_hand)
print(f"at row 3, column 3: {by_hand[3, 3]:.4f}; all {by_hand.numel()} equal nn.Conv2d's")

# %%
figures.show(
    figures.sliding_window(patch, edge, by_hand, at=(3, 3)),
    alt="Seven by seven gray pixels with their numbers, the three by three kernel, and the five by five "
    "results; one window and the result it gives are framed",
)

# %% [markdown]
# Multiply the nine framed pixels by the nine weights: the sum is the framed result. Bright left, dark right: a large negative number.
# (Mathematicians flip the kernel first
# and call *that* a convolution. PyTorch does not flip. The weights are learned, so it makes no difference.)
#
# A photo has three channels, so a kernel has three layers and the sum runs over all of them. One kernel gives **one** channel of output.
# The trained network's first convolution has 16 kernels of 6 × 6 pixels in 3 channels.

# %%
first = model.model[0].conv
square = photo[:, 22:278, 60:316]  # (3, 256, 256), the size this network was trained at
with torch.no_grad():
    maps = first(square[None])[0]  # (16, 128, 128)
padded = F.pad(square, (2, 2, 2, 2))  # two zeros on each side, as this convolution has it
row, column = 40, 50
value = one_value(padded, first.weight[9], 2 * row, 2 * column)  # stride 2: the window moves by two pixels
assert math.isclose(value, maps[9, row, column], abs_tol=1e-4)
print(f"weight (C_out, C_in, k, k) = {tuple(first.weight.shape)}")
print(f"so one value is a sum of {first.weight[9].numel()} products")
print(f"channel 9 at ({row}, {column}): by hand {value:.4f}, nn.Conv2d {maps[9, row, column]:.4f}")

# %%
small = F.avg_pool2d(square.mean(dim=0)[None], 2)[0].flatten()  # brightness, (128 · 128,)
alike = {c: torch.corrcoef(torch.stack([small, maps[c].flatten()]))[0, 1].item() for c in (6, 13, 9)}
titles = ["photo", *(f"channel {c}" for c in alike)]
figures.show(
    figures.map_grid([square, *(maps[c] for c in alike)], titles, columns=4, side=2.3),
    alt="A cat's face and three feature maps of the trained network's first convolution: one bright where the "
    "photo is, one brightest in the eye, one gray but for edges",
    photos=True,
)
print("correlation with brightness: " + ", ".join(f"channel {c} {r:+.2f}" for c, r in alike.items()))
red, green, blue = first.weight[13].sum(dim=(1, 2)).tolist()  # summed over the 6 × 6 window
print(f"weights of channel 13, summed: red {red:+.2f}, green {green:+.2f}, blue {blue:+.2f}")
assert red < green < 0 < blue

# %% [markdown]
# Dark blue is a map's least value, yellow its greatest. Nobody wrote these kernels. Training found one that follows brightness (6), one that sets blue
# against red (13) and so is lowest on the ginger fur, and one that answers to edges alone (9). Each is a **feature map**: the photo as seen by one kernel.
#
# ### How large is the map?
# Along an axis of *n* pixels, with kernel *k*, stride *s* (how far the window moves) and *p* zeros of padding on each side, the
# window starts at 0, *s*, 2*s* … as long as it fits:
#
# > n′ = ⌊ (n + 2p − k) / s ⌋ + 1
#
# **Predict, then run:** 225 pixels, kernel 3, stride 2, padding 1.


# %%
def out_size(n, kernel, stride, padding):
    """Positions of a window along an axis of n pixels."""
    return (n + 2 * padding - kernel) // stride + 1


# %%
quiz.predict(
    "height of the map: 225 pixels, kernel 3, stride 2, padding 1",
    answer=out_size(225, 3, 2, 1),
    why="(225 + 2 − 3) / 2 + 1. An odd size cannot be halved; the network asks for multiples of 32.",
)

# %%
tried = list(product((7, 8, 31, 32), (1, 2, 3, 5, 6), (1, 2, 3), (0, 1, 2)))
for n, k, s, p in tried:
    layer = nn.Conv2d(1, 1, k, s, p, device="meta")  # "meta": shapes without numbers
    assert layer(torch.empty(1, 1, n, n, device="meta")).shape[-1] == out_size(n, k, s, p)
print(f"{len(tried)} combinations, the formula holds in all")
for k, p in ((3, 0), (3, 1), (5, 2), (1, 0)):
    print(f"kernel {k}, padding {p}, stride 1: 256 → {out_size(256, k, 1, p)}")
for p in (6 // 2, 2):
    print(f"kernel 6, padding {p}, stride 2: 256 → {out_size(256, 6, 2, p)}")

# %% [markdown]
# **Padding `k // 2`** keeps the size at stride 1 if the kernel is odd. That is the block's default, and every convolution in the June 2020
# release is 1 × 1 or 3 × 3. Release 7.0 begins with a 6 × 6 kernel; `k // 2` would give 129, so it names its padding: 2.
#
# Padding has a price: along the border the window reads zeros that are not in the photo.
#
# ### What stride 2 does
# It computes every second value in each direction and never the others: a quarter of the work, a quarter of the map.

# %%
torch.manual_seed(0)
weight = torch.randn(1, 3, 3, 3)
dense = F.conv2d(square[None], weight, padding=1)  # (1, 1, 256, 256)
second = F.conv2d(square[None], weight, stride=2, padding=1)  # (1, 1, 128, 128)
torch.testing.assert_close(second, dense[..., ::2, ::2])
print("stride 2 = stride 1, then every second row and column")


def times_read(kernel):
    """How many windows of stride 2 read a pixel: (2, 2), for even and odd rows and columns."""
    x = torch.zeros(1, 1, 16, 16, requires_grad=True)
    F.conv2d(x, torch.ones(1, 1, kernel, kernel), stride=2, padding=(kernel - 1) // 2).sum().backward()
    return x.grad[0, 0, 8:10, 8:10].int().tolist()


for kernel in (1, 2, 3, 6):
    print(f"kernel {kernel}, stride 2: pixels are read {times_read(kernel)} times")

# %% [markdown]
# Each answer is a 2 × 2 pattern that tiles the photo. A 1 × 1 kernel with stride 2 never looks at three pixels of four. A 3 × 3 kernel reads
# all of them, but some once and some four times. A kernel that is a multiple of the stride treats all alike: 6 × 6
# (release 7.0), or 2 × 2 (the June 2020 release regroups 2 × 2 pixels before its first convolution, lesson 04).
#
# Stride also costs exactness. Move the photo by two pixels and the map moves by one. Move it by one pixel and no shift of the old map matches any more:


# %%
def moved(pixels):
    """The map when the photo moves left by so many pixels; its borders are left out."""
    return F.conv2d(square[None, :, :, pixels:], weight, stride=2, padding=1)[..., 2:100]


by_two = (moved(2) - second[..., 3:101]).abs().mean()
by_one = min((moved(1) - second[..., c : c + 98]).abs().mean() for c in (2, 3))  # the better of two shifts
print(f"mean difference: moved by two pixels {by_two:.4f}, by one pixel {by_one:.4f}")
print(f"(the map's standard deviation is {second.std():.2f})")
assert by_two < 1e-5
assert by_one > 0.1 * second.std()

# %% [markdown]
# ## 2 Parameters and work, counted by hand
# Take row 1 of the article's network, YOLOv5 s: from 32 channels to 64, kernel 3, stride 2. With a 640 × 640 image, a 320 × 320 map enters.
#
# - **Parameters**: each of C<sub>out</sub> kernels has C<sub>in</sub> · k · k weights. BatchNorm adds two numbers a channel (section 3).
# - **FLOPs**: floating-point operations. *Each value* of the output costs C<sub>in</sub> · k · k multiply-adds, and a multiply-add is two
#   FLOPs. (Some papers write FLOPs for multiply-adds; then the number is half.)
#
# **Predict, then run:** write down the parameters, then the FLOPs in millions.

# %%
quiz.predict(
    "parameters of row 1",
    answer=64 * 32 * 3 * 3 + 2 * 64,
    why=f"64 · 32 · 9 = {64 * 32 * 9:,} weights and 2 · 64 of BatchNorm.",
)

# %%
quiz.predict(
    "millions of FLOPs of row 1, whole part",
    answer=2 * 160 * 160 * 64 * 32 * 3 * 3 // 10**6,
    why=f"2 · 160 · 160 · 64 · 32 · 9 = {2 * 160 * 160 * 64 * 32 * 9:,}.",
)

# %%
c_in, c_out, k, side = 32, 64, 3, out_size(320, 3, 2, 1)
parameters = c_out * c_in * k * k + 2 * c_out
flops = 2 * side * side * c_out * c_in * k * k
row1 = network.model[1]
assert parameters == sum(p.numel() for p in row1.parameters())
with FlopCounterMode(display=False) as counter, torch.no_grad():
    row1(torch.zeros(1, 32, 320, 320))  # → (1, 64, 160, 160)
lines = layer_rows(network, 640)
assert flops == counter.get_total_flops() == lines[1].flops
print(f"parameters {parameters:,}: equal to the module's")
print(f"FLOPs {flops:,}: equal to torch's counter and to yolo_edu.summary")

# %% [markdown]
# Now the backbone's other rows of this kind. Look at the two columns on the right before you read on.

# %%
print("row  channels     map in     parameters  MFLOPs")
for i in (1, 3, 5, 7):
    conv, side_in = network.model[i].conv, 2 * lines[i].outputs[0].shape[-1]
    channels = f"{conv.in_channels:>3} → {conv.out_channels:<3}"
    numbers = f"{lines[i].parameters:>12,}  {lines[i].flops / 1e6:>6.1f}"
    print(f"{i:>3}  {channels}  {side_in:>3} × {side_in:<3}  {numbers}")
assert len({lines[i].flops for i in (1, 3, 5, 7)}) == 1
share = 3 * c_out * side * side / flops
print(f"BatchNorm (× and +) and activation: 3 operations a value, {100 * share:.1f} % of row 1's work")

# %% [markdown]
# The parameters grow fourfold from each to the next; the work stays the same to the last digit. Twice the channels in and out make four times
# the weights, half the height and width make a quarter of the positions. So the late rows hold the parameters, while all four take equal
# work. Do not judge speed by the parameter count.
#
# ## 3 BatchNorm
# Training is easier if the numbers inside a network keep a known scale. BatchNorm (Ioffe and Szegedy 2015) enforces one. For each *channel*
# it takes mean and variance over the batch and all positions, subtracts, divides, and then lets the network choose a scale γ and a shift β:
#
# > y = γ · (x − mean) / √(var + ε) + β
#
# Eight card photos through the trained network's first convolution, then normalized by hand:

# %%
cards = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=256)
batch = collate([cards[i] for i in range(0, 48, 6)], 256).images  # (8, 3, 256, 256)
with torch.no_grad():
    raw = first(batch)  # (8, 16, 128, 128)

bn = nn.BatchNorm2d(16, eps=1e-3, momentum=0.03)  # new: γ = 1, β = 0
mean, var = raw.mean(dim=(0, 2, 3)), raw.var(dim=(0, 2, 3), correction=0)  # (16,) each: one a channel
by_hand = (raw - mean[:, None, None]) / (var[:, None, None] + bn.eps).sqrt()
with torch.no_grad():
    normalized = bn.train()(raw)
torch.testing.assert_close(normalized, by_hand)
print("channel   mean   std   →   mean   std")
for c in (0, 6, 9, 13):
    (m0, s0), (m1, s1) = ((x[:, c].mean(), x[:, c].std()) for x in (raw, normalized))
    print(f"{c:>7} {m0:>6.2f} {s0:>5.2f}   → {m1.abs():>6.2f} {s1:>5.2f}")
assert math.isclose(normalized[:, 9].std(), (var[9] / (var[9] + bn.eps)).sqrt(), abs_tol=1e-3)

# %% [markdown]
# Channel 9 stays below 1. It varies so little that the small constant ε, meant only to avoid a division by zero, already counts.
#
# In use there may be a single photo, and its detections must not depend on what else is in the batch. So BatchNorm has two faces.
# - **Training**: statistics of this batch. On the side it keeps running averages, `running_mean` and `running_var`.
# - **Evaluation**: the running averages. They are constants, so the block is the same function for every photo.
#
# The **momentum** is the weight of the *new* batch: running = 0.97 · running + 0.03 · batch. (An optimizer's momentum is the weight of the
# *old* value. Same word, opposite meaning.)
#
# **Predict, then run:** the averages start at mean 0 and variance 1. After how many batches does that start count less than 5 %?

# %%
torch.testing.assert_close(bn.running_mean, 0.97 * torch.zeros(16) + 0.03 * mean)
unbiased = raw.var(dim=(0, 2, 3))  # divides by n − 1; the normalization itself divides by n
torch.testing.assert_close(bn.running_var, 0.97 * torch.ones(16) + 0.03 * unbiased)

# %%
quiz.predict(
    "batches until 0.97ⁿ < 0.05",
    answer=math.ceil(math.log(0.05) / math.log(0.97)),
    why="ln 0.05 / ln 0.97. "
    f"With PyTorch's default momentum of 0.1 it takes {math.ceil(math.log(0.05) / math.log(0.9))}.",
)

# %%
bn.reset_running_stats()
some = raw[:, :, ::4, ::4]  # (8, 16, 32, 32)
variance = some.var(dim=(0, 2, 3)).mean()
print("standard deviation of the output, mean over channels\nbatches  training  evaluation")
for count in range(1, 201):
    with torch.no_grad():
        modes = bn.train()(some), bn.eval()(some)
    if count in (1, 10, 100, 200):
        train, evaluation = (x.std(dim=(0, 2, 3)).mean() for x in modes)
        print(f"{count:>7} {train:>9.2f} {evaluation:>11.2f}")
print(f"variance of these maps: {variance:.3f}; share of the start after 100 batches: {0.97**100:.3f}")
assert abs(variance - 0.97**100) < 0.005

# %% [markdown]
# Even 100 batches are not enough here. The start says variance 1, and what is left of it, 5 %, is as large as the variance of these maps.
#
# So until its averages have arrived, a network can look good in training and fail in evaluation. And a network left in training mode gives
# answers that depend on the company. One photo, alone and among seven others:


# %%
def best(net, images, index):
    """Highest confidence (objectness × class) of the photo at `index`."""
    with torch.no_grad():
        rows = net.decode(net(images))[index]  # (N, 5 + K): a row a box: 4 of place, objectness, K classes
    return (rows[:, 4:5] * rows[:, 5:]).max().item()


forgotten = copy.deepcopy(model).train()  # somebody forgot `.eval()`
for name, net in (("evaluation", model), ("training", forgotten)):
    print(f"{name:<10}  alone {best(net, batch[1:2], 0):.3f}   in company {best(net, batch, 1):.3f}")
drifted = sum(not torch.equal(a, b) for a, b in zip(model.buffers(), forgotten.buffers(), strict=True))
norms = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
assert drifted == 3 * norms
print(f"{drifted} numbers or vectors have changed, without any optimizer:")
print(f"{norms} BatchNorms × (running mean, running variance, number of batches)")
assert abs(best(model, batch[1:2], 0) - best(model, batch, 1)) < 1e-4
assert abs(best(forgotten, batch[1:2], 0) - best(forgotten, batch, 1)) > 0.01

# %% [markdown]
# In training mode the same photo gets different answers, and merely *looking* at photos changes the running averages.
# `torch.no_grad()` does not prevent it; `.eval()` does.
#
# ### Why the convolution has no bias
# A bias adds the same number to a whole channel. BatchNorm subtracts the channel's mean, and the number with it. β can do what the bias
# would have done. Measured, with absurdly large biases:

# %%
biased = nn.Conv2d(3, 16, 6, 2, 2)
biased.weight.data = first.weight.detach().clone()
biased.bias.data = 10 * torch.randn(16)
training = nn.BatchNorm2d(16, eps=1e-3).train()
target = torch.randn(2, 16, 128, 128)  # any loss will do
with_bias, without = training(biased(batch[:2])), training(first(batch[:2]))
(with_bias * target).sum().backward()
change = (with_bias - without).abs().max()
of_weight, of_bias = (x.grad.abs().max() for x in (biased.weight, biased.bias))
print(f"largest bias {biased.bias.abs().max():.1f}; largest change of the output {change:.1e}")
print(f"largest gradient: of a weight {of_weight:.1e}, of a bias {of_bias:.1e}")
assert change < 1e-3
assert of_bias < 1e-3 * of_weight

# %% [markdown]
# The output is the same but for rounding, and the gradient of the bias is rounding noise: it would never learn anything.
#
# ### Which ε, which momentum?
# ε keeps the division finite when a channel hardly varies: before γ, nothing is amplified more than 1/√ε times. The networks do not use PyTorch's
# defaults:

# %%
norms = {
    "PyTorch's default": nn.BatchNorm2d(16),
    "June 2020 release": network.model[1].bn,
    "release 7.0": model.model[1].bn,
}
for name, norm in norms.items():
    limit = norm.eps**-0.5
    print(f"{name:<18} eps {norm.eps:<6g}  momentum {norm.momentum:<4g}  at most {limit:>3.0f} times")
assert [norm.eps for norm in norms.values()] == [1e-5, 1e-4, 1e-3]
assert [norm.momentum for norm in norms.values()] == [0.1, 0.03, 0.03]

# %% [markdown]
# The article's printout shows `eps=1e-05, momentum=0.1`. These are PyTorch's defaults, not the values that the release trains with.
#
# ## 4 The activation
# Without it, depth is an illusion: two convolutions in a row with nothing between them are *one* convolution.

# %%
one, two = nn.Conv2d(3, 8, 1, bias=False), nn.Conv2d(8, 4, 1, bias=False)
merged = two.weight[:, :, 0, 0] @ one.weight[:, :, 0, 0]  # (4, 8) times (8, 3) → (4, 3)
torch.testing.assert_close(two(one(square[None])), F.conv2d(square[None], merged[:, :, None, None]))
print("two linear layers equal one")

# %% [markdown]
# (Two of 3 × 3 make one of 5 × 5, except along the border, where the second meets the first one's padding.)
#
# An **activation** bends each number on its own. In backpropagation it multiplies the gradient by its *derivative*, so the derivative
# decides whether the layers in front can learn. The six that you will meet:
#
# | name | f(x) | where |
# |---|---|---|
# | sigmoid, σ | 1 / (1 + e⁻ˣ) | where a number between 0 and 1 is needed: the head's answers |
# | ReLU | max(0, x) | DenseNet (lesson 02), most networks of the 2010s |
# | LeakyReLU(0.1) | x, or 0.1 x below zero | Darknet, the program of the first YOLOs, and the June 2020 release: the article's choice (Maas et al. 2013) |
# | SiLU, also Swish | x σ(x) | release 7.0 (Elfwing et al. 2017) |
# | Mish | x tanh(ln(1 + eˣ)) | YOLOv4's backbone (Misra 2019) |
# | Hardswish | x · min(max(x + 3, 0), 6) / 6 | SiLU without an exponential, for phones (Howard et al. 2019) |
#
# Written out, and compared with PyTorch's:

# %%
x = torch.linspace(-8, 8, 1601)
formulas = {
    "sigmoid": 1 / (1 + torch.exp(-x)),
    "ReLU": torch.where(x > 0, x, 0),
    "LeakyReLU(0.1)": torch.where(x > 0, x, 0.1 * x),
    "SiLU": x / (1 + torch.exp(-x)),
    "Mish": x * torch.tanh(torch.log(1 + torch.exp(x))),
    "Hardswish": x * (x + 3).clamp(0, 6) / 6,
}
for name, function in figures.ACTIVATIONS.items():
    torch.testing.assert_close(function(x), formulas[name])
print(f"{len(formulas)} formulas agree with PyTorch")

# %%
draw, alt = figures.FIGURES["L01_activations"]
figures.show(draw(), alt=alt)

# %% [markdown]
# What the curves say in numbers:

# %%
print("                f(−1)   f ′(−1)   f ′(−4)")
for name, function in figures.ACTIVATIONS.items():
    at = torch.tensor([-1.0, -4.0])
    near, far = figures.slope(function, at)
    print(f"{name:<15}{function(at)[0]:>6.3f} {near:>9.3f} {far:>9.3f}")
for name in ("SiLU", "Mish", "Hardswish"):
    values = figures.ACTIVATIONS[name](x)
    print(f"{name} is lowest at x = {x[values.argmin()]:.2f}: {values.min():.3f}")

# %% [markdown]
# - **sigmoid**: its derivative is at most 1/4, at zero, and fades on both sides.
# - **ReLU** sends nothing back from below zero, **Hardswish** nothing from below −3. A unit that is always there stops learning.
# - **LeakyReLU** never sends back less than a tenth. That is the whole point of the leak.
# - **SiLU**, **Mish** and **Hardswish** dip below zero. Left of the lowest point their derivative is negative: the gradient changes its sign.
#
# How often is the number below zero at all? Count in the trained network, at the doors of its activations. (A *hook* is a function that PyTorch calls
# whenever a module has computed its result.)

# %%
negative = []


def note(_module, _inputs, out):
    """Share of negative numbers behind a BatchNorm."""
    negative.append((out < 0).float().mean().item())


norms = [m.bn for m in model.modules() if isinstance(m, Conv)]
handles = [norm.register_forward_hook(note) for norm in norms]
with torch.no_grad():
    model(batch)
for handle in handles:
    handle.remove()
share = sum(negative) / len(negative)
print(f"{len(negative)} blocks: on average {100 * share:.0f} % of what enters an activation is below zero")
beta = torch.cat([norm.bias for norm in norms]).abs().mean()
print(f"mean size of β: {beta:.2f}")
assert 0.4 < share < 0.6
assert beta < 0.2

# %% [markdown]
# About half. BatchNorm sees to that: it centers every channel at β, and training left β small. So most numbers are near zero, where the activation bends.
#
# Move along the curves yourself. From which x on is Mish's derivative above 1? And SiLU's?

# %%
explorer = widgets.activation_explorer(start="SiLU", x=-1.0)

# %% [markdown]
# (Mish's from x = 0.80 on, SiLU's from 1.28 on.)
#
# ### Ten layers of sigmoids
# Between the first and the last of ten convolutions stand nine activations. Nine factors of at most 1/4 make less than 4 · 10⁻⁶, before the weights
# count. Build it, with weights drawn so that ReLU keeps the scale (He et al. 2015), send photos through, and compare the first layer's gradient with the
# last one's.


# %%
def first_to_last(activation, norm=False, layers=10):
    """Gradient of the first convolution's weight as a share of the last one's, both as norms."""
    torch.manual_seed(0)
    stack = nn.Sequential()
    for i in range(layers):
        conv = nn.Conv2d(3 if i == 0 else 16, 16, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        stack.extend([conv, nn.BatchNorm2d(16) if norm else nn.Identity(), activation()])
    out = stack(batch[:, :, ::4, ::4])  # (8, 16, 64, 64)
    (out * torch.randn(out.shape)).sum().backward()
    gradients = [m.weight.grad.norm() for m in stack if isinstance(m, nn.Conv2d)]
    return (gradients[0] / gradients[-1]).item()


choices = {"sigmoid": nn.Sigmoid, "ReLU": nn.ReLU, "SiLU": nn.SiLU}
choices["LeakyReLU(0.1)"] = lambda: nn.LeakyReLU(0.1)
shares = {name: [first_to_last(c, norm) for norm in (False, True)] for name, c in choices.items()}
print("first / last     bare      with BatchNorm")
for name, (bare, normed) in shares.items():
    print(f"{name:<15}{bare:>8.1e}{normed:>14.2f}")
assert shares["sigmoid"][0] < 1e-5
assert min(normed for _, normed in shares.values()) > 0.1

# %% [markdown]
# The first sigmoid layer gets less than a hundred-thousandth of the last one's gradient: it does not learn. Now the surprise in the last column: with BatchNorm in
# between, even sigmoids survive. Each BatchNorm divides by a small deviation, and going backward that multiplies the gradient.
# It is one reason why deep networks today are less particular about their activation.
#
# ### Where the sigmoid really is
# The article says: LeakyReLU in the hidden layers, sigmoid in the final detection layer. Look for it:

# %%
for name, net in (("June 2020 release", network), ("release 7.0", model)):
    kinds = [type(m).__name__ for m in net.modules() if isinstance(m, (nn.LeakyReLU, nn.SiLU, nn.Sigmoid))]
    print(f"{name:<18} " + ", ".join(f"{kinds.count(kind)} × {kind}" for kind in sorted(set(kinds))))
    assert "Sigmoid" not in kinds
with torch.no_grad():
    answers = model(batch)  # raw maps
before = torch.cat([answer[..., 4].flatten() for answer in answers])  # objectness of every box
after = model.decode(answers)[..., 4]
print(f"objectness, raw     {before.min():>6.1f} to {before.max():.1f}")
print(f"objectness, decoded {after.min():>6.1f} to {after.max():.3f}")

# %% [markdown]
# There is none in the layers. (59 LeakyReLU: 51 in the Convs and one more in each of the eight BottleneckCSPs, lesson 03.) The last convolution has no activation at all; the sigmoid comes afterwards, in `decode` (lesson 07), and in training
# inside the loss (lesson 11).
#
# The article lists sigmoid, optimizer and loss under "bag of specials". That phrase is YOLOv4's (Bochkovskiy et al. 2020) and means modules that
# cost a little at inference and gain accuracy: activations such as Mish belong there. An optimizer and a loss cost nothing at inference. In YOLOv4's terms
# they are freebies (lesson 12).
#
# ## 5 The block
# Put together, with what each part holds. This is row 1, read from the live network.

# %%
draw, alt = figures.FIGURES["L01_conv_block"]
figures.show(draw(), alt=alt)

# %% [markdown]
# ### Exercise 1.1 · Build Conv (10 minutes, ●●○○○)
# Write the block: `conv`, a convolution without bias and with padding `kernel // 2`; `bn`, BatchNorm; `act`, LeakyReLU with slope 0.1. (Leave ε and
# momentum alone: the network sets its own on all BatchNorms afterwards.) Keep these three names: trained weights are found by name.


# %%
class MyConv(nn.Module):
    def __init__(self, c_in, c_out, kernel=1, stride=1):
        super().__init__()
        # YOUR CODE: self.conv, self.bn, self.act instead of the next line
        raise NotImplementedError

    def forward(self, x):  # (B, c_in, H, W) → (B, c_out, H / stride, W / stride)
        # YOUR CODE instead of the next line
        raise NotImplementedError


MyConv = checks.conv_module(MyConv)

# %% [markdown]
# <details><summary>Hint 1</summary><code>nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=…)</code>: the arguments stand in this order.</details>
# <details><summary>Hint 2</summary>BatchNorm stands behind the convolution. How many channels reach it?</details>
# <details><summary>Solution</summary>
#
# ```python
# class MyConv(nn.Module):
#     def __init__(self, c_in, c_out, kernel=1, stride=1):
#         super().__init__()
#         self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
#         self.bn = nn.BatchNorm2d(c_out)
#         self.act = nn.LeakyReLU(0.1)
#
#     def forward(self, x):
#         return self.act(self.bn(self.conv(x)))
# ```
# </details>

# %% [markdown]
# And once more with no module at all: the block in evaluation is three lines of arithmetic.

# %%
theirs, features = Conv(32, 64, 3, 2), torch.randn(2, 32, 20, 20)
nn.init.uniform_(theirs.bn.weight)  # a fresh γ of 1 and β of 0 would hide mistakes
nn.init.normal_(theirs.bn.bias)
theirs.train()(features)  # moves the running averages
bn = theirs.eval().bn
mean, var, gamma, beta = (v[:, None, None] for v in (bn.running_mean, bn.running_var, bn.weight, bn.bias))

y = F.conv2d(features, theirs.conv.weight, stride=2, padding=1)
y = gamma * (y - mean) / (var + bn.eps).sqrt() + beta
y = torch.where(y > 0, y, 0.1 * y)
torch.testing.assert_close(y, theirs(features))
print("three lines equal Conv, within rounding")

if MyConv is not Conv:  # you solved the exercise
    mine = MyConv(32, 64, 3, 2).eval()
    mine.load_state_dict(theirs.state_dict())
    assert torch.equal(mine(features), theirs(features))
    print("MyConv equals Conv to the last bit")

# %% [markdown]
# ## 6 BatchNorm disappears
# In evaluation, BatchNorm multiplies each channel by a constant and adds a constant. So does a convolution with a bias. The two can be one (**fusing** or
# folding), with the same answers. Put the convolution W ∗ x into BatchNorm's formula:
#
# > y = γ · (W ∗ x − mean) / √(var + ε) + β
#
# ### Exercise 1.2 · Fold it (8 minutes, ●●○○○)
# Sort the formula: what multiplies x is the new kernel, all the rest is the new bias. Return both. `gamma`, `beta`, `mean` and `var` have one number for
# each *output* channel, the first axis of `weight`.


# %%
def fold_batchnorm(weight, gamma, beta, mean, var, eps):
    """weight (C_out, C_in, k, k), gamma … var (C_out,), eps a number → new weight, bias."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


fold_batchnorm = checks.fold_batchnorm(fold_batchnorm)

# %% [markdown]
# <details><summary>Hint 1</summary>Both formulas share γ/√(var + ε). Compute it once; it has C_out numbers.</details>
# <details><summary>Hint 2</summary>W′ = W · γ/√(var + ε), and b′ = β − mean · γ/√(var + ε).</details>
# <details><summary>Hint 3</summary>To multiply the first of four axes, a vector needs three more: <code>scale[:, None, None, None]</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# def fold_batchnorm(weight, gamma, beta, mean, var, eps):
#     scale = gamma / (var + eps).sqrt()
#     return weight * scale[:, None, None, None], beta - mean * scale
# ```
# </details>

# %%
block = model.model[1]  # trained: 16 → 32 channels, kernel 3, stride 2
bn = block.bn
weight, bias = fold_batchnorm(block.conv.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var, bn.eps)
with torch.no_grad():
    enters = model.model[0](batch)  # (8, 16, 128, 128)
    separate = bn(block.conv(enters))
    folded = F.conv2d(enters, weight, bias, stride=2, padding=1)
torch.testing.assert_close(folded, separate, rtol=1e-3, atol=1e-4)
difference = (folded - separate).abs().max()
print(f"values up to {separate.abs().max():.1f}, largest difference {difference:.1e}: rounding")

# %% [markdown]
# Now the whole network, with `Detector.fuse`. A Conv loses γ and β and gains a bias: one number fewer for each output channel.

# %%
fused = model.fuse()
before, after = (sum(p.numel() for p in net.parameters()) for net in (model, fused))
channels = sum(m.bn.num_features for m in model.modules() if isinstance(m, Conv))
assert before - after == channels
print(f"parameters {before:,} → {after:,}: {channels:,} fewer, the output channels of all Convs")
images = [cards[i].image for i in range(0, 48, 6)]
found, refound = (detect(net, images, size=256, confidence=0.25) for net in (model, fused))
for a, b in zip(found, refound, strict=True):
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-2)
print(f"the same {sum(len(f.boxes) for f in found)} detections on {len(images)} photos")

# %%
with torch.no_grad():
    timing.in_turns({"with BatchNorm": lambda: model(batch), "fused": lambda: fused(batch)}, rounds=12)

# %% [markdown]
# Do not expect much: BatchNorm hardly computes anything (section 2), it only reads and writes every map once more. On a CPU the gain can be smaller than
# the noise of the measurement, and the ratio can come out above 1.
#
# One kind of BatchNorm cannot be folded like this. BottleneckCSP (lesson 03) has one behind a *concatenation*, with no single convolution right
# before it:

# %%
rest = [m for m in network.fuse().modules() if isinstance(m, nn.BatchNorm2d)]
stages = [row for row in network.model if type(row).__name__ == "BottleneckCSP"]
assert len(rest) == len(stages)
print(f"June 2020 release, fused: {len(rest)} BatchNorms stay, one for each of {len(stages)} BottleneckCSPs")

# %% [markdown]
# ## 7 What a unit sees
# A **unit** is one position of a map. Its **receptive field** is the square of pixels that can influence it. Here are three layers of 3 × 3, the second
# with stride 2. Read from the top down: one unit sees three, these see seven, these nine pixels. Windows overlap.

# %%
draw, alt = figures.FIGURES["L01_receptive_field"]
figures.show(draw(), alt=alt)

# %% [markdown]
# Two numbers are enough to know the field behind any stack of layers: the **field** itself and the **step**, the pixels between neighboring units. Both
# are 1 in the photo. Read the figure from the bottom up: how does each layer change the two?
#
# **Predict, then run:** five layers of 3 × 3.

# %%
quiz.predict("field of five 3 × 3 layers, stride 1", answer=1 + 5 * 2, why="Each adds 2 pixels: 1 + 5 · 2.")

# %%
quiz.predict(
    "field of five 3 × 3 layers, each with stride 2",
    answer=1 + 2 * sum(2**i for i in range(5)),
    why="The steps are 1, 2, 4, 8, 16: 1 + 2 · 31.",
)

# %% [markdown]
# ### Exercise 1.3 · The rule of the receptive field (8 minutes, ●●○○○)
# Find the rule and write it for any kernels and strides.


# %%
def receptive_field(layers):
    """layers: a list of (kernel, stride), the first layer first → field, step in pixels."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


receptive_field = checks.receptive_field(receptive_field)

# %% [markdown]
# <details><summary>Hint 1</summary>Two variables, both start at 1, and one loop: <code>for kernel, stride in layers</code>. The outermost two of <code>kernel</code> neighbors stand <code>kernel - 1</code> steps apart.</details>
# <details><summary>Hint 2</summary>The order inside the loop matters: a layer's own stride does not widen its own field, only those of all layers behind it.</details>
# <details><summary>Solution</summary>
#
# ```python
# def receptive_field(layers):
#     field, step = 1, 1
#     for kernel, stride in layers:
#         field += (kernel - 1) * step
#         step *= stride
#     return field, step
# ```
# </details>

# %% [markdown]
# > field ← field + (k − 1) · step, *then* step ← step · s
#
# Now the backbone of YOLOv5 s as a list. Only windows wider than one pixel count, and where paths meet, the widest: Focus (row 0) is a 2 × 2 window
# with stride 2 and then a 3 × 3; a BottleneckCSP has as many 3 × 3 as bottlenecks; SPP's largest pool is 13 wide.

# %%
assert isinstance(network.model[0], Focus)
backbone = [(2, 2), (3, 1)]  # row 0
for row in (2, 4, 6):  # a Conv of stride 2, then a BottleneckCSP
    backbone += [(3, 2)] + [(3, 1)] * len(network.model[row].m)
backbone += [(3, 2), (13, 1)] + [(3, 1)] * len(network.model[9].m)  # rows 7, 8, 9
print(f"{len(backbone)} windows: field and step {tuple(receptive_field(backbone))}")

measured = {i: line.outputs[0] for i, line in enumerate(lines)}  # by yolo_edu.summary, on the live network
assert tuple(receptive_field(backbone)) == (measured[9].receptive_field, measured[9].stride)
for i in (0, 1, 2, 4, 6, 7, 8, 9, 17, 21, 25):
    step, field = measured[i].stride, measured[i].receptive_field
    print(f"row {i:>2}  {lines[i].block:<13}  step {step:>2g}  field {field}")

# %% [markdown]
# Rows 17, 21 and 25 are what the head reads for P3, P4 and P5. Their windows are wider than the 640 pixels of the image: a unit in the middle *could* use
# the whole photo, one in a corner still misses the far side. And SPP in row 8 nearly triples the field of row 7 with a pool that has no weights.
#
# Do not take the rule on trust. A pixel outside the field has gradient zero, a pixel inside (with weights that cannot cancel) has not:

# %%
layers = [(3, 1), (3, 2), (5, 1), (3, 2)]
stack = nn.Sequential(*(nn.Conv2d(1, 1, k, s, k // 2, bias=False) for k, s in layers))
for layer in stack:
    nn.init.ones_(layer.weight)
x = torch.zeros(1, 1, 64, 64, requires_grad=True)
stack(x)[0, 0, 8, 8].backward()
reached = x.grad[0, 0].nonzero()  # (pixels, 2)
top, bottom = reached.min().item(), reached.max().item()
field, step = receptive_field(layers)
assert bottom - top + 1 == field
assert len(reached) == field**2  # the window is full: a square without holes
print(f"{len(reached)} pixels have a gradient: {field} × {field}, and steps of {step}")

# %% [markdown]
# Play: which is cheaper for a window of 31 pixels, layers or one large kernel? How far do eight layers of stride 1 get? What does one layer of stride 2 at the front buy?

# %%
explorer = widgets.receptive_explorer(read_image(sample_photo("cat")), layers=5, kernel=3, strided=2)

# %% [markdown]
# ### What a unit really uses
# The field says what a unit *can* see. How much does each pixel count? Luo et al. (2017) looked at the size of the gradient and found that it is far
# larger in the middle: many paths lead there, few to the rim. Measure it on the trained network (release 7.0, whose row 6 is a C3, lesson 03): the middle unit, all its channels
# together, and eight photos.


# %%
def influence(net, images, row=6):
    """|d (sum of the middle unit's channels) / d pixel| over all colors, as shares: (B, H, W)."""
    images = images.clone().requires_grad_()
    x = images
    for block in net.model[: row + 1]:
        x = block(x)
    middle = x.shape[-1] // 2
    (gradient,) = torch.autograd.grad(x[:, :, middle, middle].sum(), images)
    gradient = gradient.abs().sum(dim=1)
    return gradient / gradient.sum(dim=(1, 2), keepdim=True)


torch.manual_seed(0)
trained = influence(model, batch)  # (8, 256, 256)
untrained = influence(YOLOv5v6("n", 5).eval(), batch)
field = layer_rows(model, 256)[6].outputs[0].receptive_field
inside = trained.mean(dim=0).sum(dim=0).nonzero()  # columns with a gradient
assert inside.max() - inside.min() + 1 == field
start, end = int(inside.min()) + field // 4, int(inside.max()) + 1 - field // 4
middle = slice(start, end)  # half of each side: a quarter of the area
for name, gradient in (("untrained", untrained), ("trained", trained)):
    share = gradient[:, middle, middle].sum(dim=(1, 2)).mean()
    print(f"{name:<9}  {100 * share:.1f} % of the gradient in the middle quarter of {field} × {field} pixels")
    assert share > 0.75
assert trained[:, middle, middle].sum() < untrained[:, middle, middle].sum()

# %%
shown = 5  # a photo of the batch
figures.show(
    figures.effective_field(
        batch[shown],
        [trained[shown], trained.mean(dim=0), untrained.mean(dim=0)],
        ["row 6, its window", "this photo", "mean of 8 photos", "the same, untrained"],
        field,
    ),
    alt="A card photo with a framed window, and three maps of gradients in the same frame: a grainy spot in "
    "the middle for this photo, a soft round one for the mean of eight, a small one for the untrained network",
    photos=True,
    dpi=80,
)

# %% [markdown]
# The brighter, the larger the gradient; each map has its own scale, from zero. If every pixel counted alike, the middle quarter of the area would hold 25 %.
# It holds more than three quarters of the gradient. Training makes the used part wider, as Luo et al. found too: compare the last two pictures. So the
# **effective receptive field** is much smaller than the window, and far from even.
#
# ## Quiz

# %%
quiz.ask(
    "You double the input from 320 to 640 pixels a side. A Conv's parameters and FLOPs",
    [
        "both grow fourfold",
        "parameters stay, FLOPs grow fourfold",
        "parameters stay, FLOPs double",
        "both stay",
    ],
    answer=1,
    why="The same weights slide over four times as many positions.",
)

# %%
quiz.ask(
    "The training curve is good, but in evaluation the detector finds nothing on a single photo. First suspicion?",
    [
        "The photo must be part of a batch, BatchNorm needs company",
        "The learning rate was too high",
        "BatchNorm's running averages have not arrived yet",
    ],
    answer=2,
    why="In evaluation one photo is enough: the running averages stand in for the batch. "
    "Check how many batches they have seen (and that model.training is really False).",
)

# %%
quiz.ask(
    "Why does Conv have no bias?",
    [
        "BatchNorm subtracts it again, and its β does the same job",
        "A bias would make the convolution nonlinear",
        "To save memory: the biases would be a third of the parameters",
    ],
    answer=0,
    why="The mean that BatchNorm subtracts contains the bias, so its gradient is zero. "
    "The saving is small: one number a channel.",
)

# %%
quiz.ask(
    "The derivative is 0 at x = −4, 1/2 at x = 0 and exactly 1 at x = 4. Which activation is it?",
    ["SiLU", "Hardswish", "Mish", "ReLU"],
    answer=1,
    why="SiLU and Mish are smooth: at −4 their derivative is still −0.05, at 4 slightly above 1. "
    "PyTorch's derivative of ReLU at 0 is 0.",
)

# %%
quiz.ask(
    "You replace LeakyReLU by SiLU in a trained network, without retraining.",
    [
        "Nothing changes, both are almost the identity for positive numbers",
        "Loading the weights fails",
        "Shapes and parameter count stay, but the answers are no longer the trained ones",
    ],
    answer=2,
    why="An activation has no parameters, so the weights load without complaint. "
    "But they were fitted to the other curve: below zero, and near it, the two differ.",
)

# %%
quiz.ask(
    "A layer of stride 2 has a kernel of 3. Putting it first instead of last in a stack of 3 × 3 layers",
    [
        "makes the final receptive field larger",
        "changes nothing: the product of the strides is the same",
        "makes the final receptive field smaller",
    ],
    answer=0,
    why="All layers behind it count double steps. The final step is the same in both cases, the field is not.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the loops equal nn.Conv2d; the size formula | assertions in section 1 |
# | row 1 has these parameters and FLOPs; rows 1, 3, 5, 7 take equal work | assertions in section 2; `tests/test_lesson_convolution.py` |
# | BatchNorm by hand, running averages, no use for a bias | assertions in section 3 |
# | ε and momentum of both releases | assertion in section 3; `tests/test_yolov5.py`, `tests/test_yolov5_v6.py` |
# | formulas of six activations; ten sigmoids lose the gradient | assertions in section 4; `tests/test_lesson_convolution.py` |
# | three lines of arithmetic equal Conv; so does your MyConv | assertion in section 5; exercise 1.1; `tests/test_blocks.py::test_conv_by_hand` |
# | fusing changes nothing but the parameter count | exercise 1.2, assertions in section 6; `tests/test_blocks.py::test_fusing_folds_by_the_formula` |
# | the receptive field of 666 pixels at the backbone's end | exercise 1.3, assertion in section 7; `tests/test_receptive.py` |
# | the gradient fills the window, and is strongest in its middle | assertions in section 7; `tests/test_lesson_convolution.py` |
#
# **References** Ioffe, Szegedy 2015, arXiv:1502.03167 (BatchNorm) · Maas, Hannun, Ng 2013, *Rectifier nonlinearities improve neural network acoustic models*
# (LeakyReLU) · Elfwing, Uchibe, Doya 2017, arXiv:1702.03118 (SiLU) · Misra 2019, arXiv:1908.08681 (Mish) · Howard et al. 2019, arXiv:1905.02244 (Hardswish) ·
# He, Zhang, Ren, Sun 2015, arXiv:1502.01852 (initialization) · Luo, Li, Urtasun, Zemel 2017, arXiv:1701.04128 (effective receptive field) ·
# Bochkovskiy, Wang, Liao 2020, arXiv:2004.10934 (bag of specials)
#
# ← [00 Start here](00_start_here.ipynb) · **01 The convolution block** · [02 The dense block](02_dense_block.ipynb) →
