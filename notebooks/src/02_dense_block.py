# %% [markdown]
# # 02 · The dense block: every layer reads all before it
#
# **60 minutes · difficulty ●●●○○ · importance ●●●○○**
#
# After this lesson you can
# - say what a dense block computes, and count its channels and parameters without running it,
# - build dense layers, dense blocks and transitions, and read the table of DenseNet-121 to 264,
# - measure what the direct connections do to gradients, and what they cost in memory.
#
# You need [lesson 01](01_convolution_block.ipynb): convolution, BatchNorm, activation, counting parameters and FLOPs.
#
# In a hurry? Sections 1, 2, 3, 7 and 8 are enough for lesson 03. *The paper* below is DenseNet's, Huang et al. 2016; *the article* is the short text on YOLOv5 that this course grew from.

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
import torch
from torch import nn

from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.model import YOLOv5
from yolo_edu.model.blocks import BottleneckCSP
from yolo_edu.model.dense import DENSENETS, DenseBlock, DenseLayer, DenseNet, DensePlan, Transition

# %% [markdown]
# ## Where we are

# %%
figures.show(
    figures.network_map("bottleneckcsp"),
    alt="The map of YOLOv5 with its eight BottleneckCSP tiles lit, four in the backbone and four in the neck",
)

# %%
network = YOLOv5("s", 5)  # the article's network, release of June 2020
kinds = [type(module).__name__ for module in network.modules()]
for name in ("DenseLayer", "DenseBlock", "BottleneckCSP"):
    print(f"{name:<14} {kinds.count(name)} in YOLOv5 s")
assert kinds.count("DenseBlock") == 0
assert kinds.count("BottleneckCSP") == 8

# %% [markdown]
# Lit are the BottleneckCSPs, in the colors of their grids: P3 blue, P4 orange, P5 green, and gray one grid finer, where no boxes are made.
#
# **YOLOv5 holds no dense block.** The article explains its backbone with dense blocks and DenseNet, and a reader may well conclude that it contains some.
# The relation is descent, not containment. DenseNet (2016) had a weakness, CSPNet (2019) repaired it by splitting the channels in two, and YOLOv5
# took over the split: it is what happens in the lit tiles. To see what the split is good for, you must first see what it was made for.
#
# ## 1 The idea
# In a plain stack a layer reads the output of the layer before it. In a **dense block** a layer reads the outputs of *all* layers before it, and the block's
# input as well. The paper writes H₁, H₂, … for the layers, x₀ for the block's input and
#
# > xᵢ = Hᵢ([x₀, x₁, …, xᵢ₋₁])
#
# The square brackets mean **concatenation**: the maps (a map is one channel, H × W numbers) are put side by side along the channel axis. Nothing is added up. That is the difference to ResNet, where a
# layer's output is x + H(x) and the old x can no longer be told from the new part.
#
# Since everything old stays available, a layer needs to add only a few maps of its own. Their number is the **growth rate** k. In the article it is 4, and so it is in this picture:

# %%
small = DenseBlock(6, 4, 4, bottleneck=False)  # 6 maps in, 4 layers, each adds 4
figures.show(figures.dense_block_diagram(small), alt=figures.FIGURES["01_dense_block"][1], dpi=80)

# %% [markdown]
# This is the article's first figure, drawn from the live block in the cell. In the paper its caption says "5-layer": besides H₁ to H₄ the transition layer behind them reads everything, too.
#
# **Predict, then run:** the numbers below the layers go on in the same way.

# %%
quiz.predict(
    "maps that layer H₁₀ of a longer block would read, with 6 maps in and growth rate 4",
    answer=DenseBlock(6, 10, 4, bottleneck=False).layers[9].grow[0].num_features,
    why="Nine layers stand before it: 6 + 9 · 4.",
)

# %% [markdown]
# The same in code, a line for each layer. Every `H` is a layer of the block above.

# %%
H1, H2, H3, H4 = small.layers
x0 = torch.randn(2, 6, 8, 8)  # (B, C, H, W)
x1 = H1(x0)  # reads 6, makes (2, 4, 8, 8)
x2 = H2(torch.cat([x0, x1], dim=1))  # reads 6 + 4
x3 = H3(torch.cat([x0, x1, x2], dim=1))  # reads 6 + 4 + 4
x4 = H4(torch.cat([x0, x1, x2, x3], dim=1))  # reads 6 + 4 + 4 + 4
out = torch.cat([x0, x1, x2, x3, x4], dim=1)  # (2, 22, 8, 8)

assert torch.equal(out, small(x0))
assert torch.equal(out[:, :6], x0)  # the input leaves the block as it came
print(f"out {tuple(out.shape)}, its first 6 channels are x₀ itself")

# %% [markdown]
# How many connections is that? Put a hook (a function that PyTorch calls whenever a module has run) on every layer. It keeps what went in and what came out. Then look which outputs are found again in which inputs.


# %%
def connections(block: DenseBlock, x: torch.Tensor) -> int:
    """Pairs (x₀ or a layer's output, a layer that reads it), found by comparing numbers."""
    inputs, sources = [], [x]

    def keep(layer: nn.Module, given: tuple[torch.Tensor], made: torch.Tensor) -> None:
        inputs.append(given[0])
        sources.append(made)

    def stands_in(source: torch.Tensor, given: torch.Tensor) -> bool:
        return any(torch.equal(source[:, :1], channel) for channel in given.split(1, dim=1))

    for layer in block.layers:
        layer.register_forward_hook(keep)
    block(x)
    return sum(stands_in(source, given) for given in inputs for source in sources)


print("layers  connections  L(L + 1)/2")
for layers in (1, 2, 4, 8, 12):
    found = connections(DenseBlock(6, layers, 4, bottleneck=False), x0)
    print(f"{layers:>6}  {found:>11}  {layers * (layers + 1) // 2:>10}")
    assert found == layers * (layers + 1) // 2

# %% [markdown]
# A plain stack of L layers has L connections, a dense block has L(L + 1)/2. This is where the name comes from.
#
# ## 2 One layer: BatchNorm first
# The article gives the parts of Hᵢ in the right order: *BatchNorm, ReLU, convolution*. Look twice, because it is not the order of lesson 01, where the convolution came first.
# This one is called **pre-activation** (He et al. 2016): normalize and activate what you read, then convolve. The maps that a layer puts out are the bare result of its convolution.
#
# It matters because one map has many readers. x₀ is read by every layer, and every layer normalizes it with a γ and a β of its own. With the order of lesson 01 all readers would get x₀ normalized and clipped once, in the same way.
#
# The paper has a second form, DenseNet-B. Its **bottleneck** first squeezes all that was read to 4k channels:
#
# | form | reads c channels, adds k |
# |---|---|
# | plain | BatchNorm → ReLU → 3 × 3 convolution to k |
# | with bottleneck | BatchNorm → ReLU → 1 × 1 convolution to 4k → BatchNorm → ReLU → 3 × 3 convolution to k |
#
# The article shows the first; all networks of its table are built from the second. In yolo_edu `bottleneck=True` is the default, and from here on all blocks have it unless they say otherwise.
# (YOLO calls another block bottleneck; it comes in lesson 03.)


# %%
class MyDenseLayer(nn.Module):
    """BN → ReLU → conv, with bottleneck twice: (B, c_in, H, W) → the new maps (B, growth, H, W)."""

    def __init__(self, c_in: int, growth: int, *, bottleneck: bool = True):
        super().__init__()
        hidden = 4 * growth if bottleneck else c_in
        self.squeeze = nn.Sequential()  # empty: hands on what it gets
        if bottleneck:
            mix = nn.Conv2d(c_in, hidden, 1, bias=False)
            self.squeeze = nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU(), mix)
        conv = nn.Conv2d(hidden, growth, 3, padding=1, bias=False)
        self.grow = nn.Sequential(nn.BatchNorm2d(hidden), nn.ReLU(), conv)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.grow(self.squeeze(x))


for bottleneck in (False, True):
    mine, theirs = (kind(22, 4, bottleneck=bottleneck) for kind in (MyDenseLayer, DenseLayer))
    mine.load_state_dict(theirs.state_dict())
    assert torch.equal(mine(out), theirs(out))
    print(f"bottleneck={bottleneck!s:<5}  {tuple(out.shape)} → {tuple(mine(out).shape)}, equal to yolo_edu's")

# %% [markdown]
# Convolutions here have no bias: wherever their maps are read, a BatchNorm comes next and would subtract it again.
#
# ### Exercise 2.1 · Build the block (10 minutes, ●●○○○)
# `DenseLayer(channels, growth)` is given. Make `layers` of them, each for the right number of channels, and wire them as in the picture. The output begins with x₀; every layer's maps are
# appended behind what is there already.


# %%
class MyDenseBlock(nn.Module):
    """(B, c_in, H, W) → (B, c_in + layers · growth, H, W); its layers stand in `self.layers`."""

    def __init__(self, c_in, layers, growth):
        super().__init__()
        # YOUR CODE: self.layers = nn.ModuleList(…)
        raise NotImplementedError

    def forward(self, x):
        # YOUR CODE instead of the next line
        raise NotImplementedError


MyDenseBlock = checks.dense_block(MyDenseBlock)

# %% [markdown]
# <details><summary>Hint 1</summary>How many channels does layer i read, counted from 0? <code>i</code> layers stand before it.</details>
# <details><summary>Hint 2</summary>You need no list of outputs: <code>x</code> can grow. Replace it by the concatenation of itself and what the layer made of it.</details>
# <details><summary>Hint 3</summary><code>torch.cat([a, b], dim=1)</code> puts b's channels behind a's and makes a new tensor. Do not write into the caller's <code>x</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# class MyDenseBlock(nn.Module):
#     def __init__(self, c_in, layers, growth):
#         super().__init__()
#         self.layers = nn.ModuleList(DenseLayer(c_in + i * growth, growth) for i in range(layers))
#
#     def forward(self, x):
#         for layer in self.layers:
#             x = torch.cat([x, layer(x)], dim=1)
#         return x
# ```
# </details>

# %%
mine, theirs = MyDenseBlock(6, 4, 4), DenseBlock(6, 4, 4)
mine.load_state_dict(theirs.state_dict())
assert torch.equal(mine(x0), theirs(x0))
assert torch.equal(mine(x0)[:, :6], x0)
for i, layer in enumerate(mine.layers):
    reads, hidden, adds = layer.squeeze[0].num_features, layer.grow[0].num_features, layer.grow[2].out_channels
    print(f"layers.{i} reads {reads:>2}, squeezes to {hidden}, adds {adds}")

# %% [markdown]
# Is it a bottleneck at all, when 6 channels are "squeezed" to 16? Not for so few. The convolutions of a plain layer have 9·c·k weights for c channels read, those of one with bottleneck 4k·c + 9·4k·k. The second is
# smaller once c is more than 36/5 = 7.2 times k; the BatchNorms move the limit by 1.6 channels. The next cell counts parameters for k = 32, the growth rate of the article's table.


# %%
def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


print("channels read    plain  with bottleneck")
for c in (64, 128, 224, 256, 512, 992):
    plain, squeezed = (parameters(DenseLayer(c, 32, bottleneck=b)) for b in (False, True))
    print(f"{c:>13}  {plain:>7,}  {squeezed:>15,}  {'saves' if squeezed < plain else 'costs more'}")
    assert (squeezed < plain) == (c > 7.2 * 32 + 1.6)

# %% [markdown]
# In DenseNet-121 the first block's layers read 64 to 224 channels: there the bottleneck costs more than it saves. The third block's read 256 to 992, and there it pays.
#
# ### Exercise 2.2 · Numbers by hand (8 minutes, ●●●○○)
# `DenseBlock(24, 3, 8)`, with bottleneck: 24 maps in, three layers, growth rate 8. Work out
# - how many channels leave the block, and how many `layers.2`, the third layer, reads,
# - the parameters of `layers.0`, of `layers.2`, and of all three together, BatchNorm's γ and β included.

# %%
mine = {"channels out": None, "read by layers.2": None, "layers.0": None, "layers.2": None, "all": None}
counts = checks.dense_counts(mine)

# %% [markdown]
# <details><summary>Hint 1</summary>A layer has four parts with parameters: BatchNorm, 1 × 1, BatchNorm, 3 × 3. A BatchNorm has two numbers for each channel <i>it reads</i>.</details>
# <details><summary>Hint 2</summary>The 1 × 1 convolution goes from c to 4 · 8 = 32 channels, the 3 × 3 one from 32 to 8. Only c differs from layer to layer.</details>
# <details><summary>Solution</summary>
#
# ```python
# def layer(c, k=8):
#     return 2 * c + c * 4 * k + 2 * 4 * k + 4 * k * k * 9
#
#
# mine = {
#     "channels out": 24 + 3 * 8,
#     "read by layers.2": 24 + 2 * 8,
#     "layers.0": layer(24),
#     "layers.2": layer(40),
#     "all": layer(24) + layer(32) + layer(40),
# }
# ```
# </details>
#
# ## 3 Between two blocks: the transition
# Maps can be put side by side only if their grids agree. So inside a dense block nothing may change the grid, and somebody else has to halve it. That is the **transition layer**.
# The article says "convolution and pooling". In full it is BatchNorm → ReLU → 1 × 1 convolution → *mean* of every 2 × 2 cells. The article leaves out two things: the order begins with BatchNorm and ReLU once
# more, and the convolution throws channels away. The share that it keeps is the **compression** θ, 0.5 in all networks of the table (the C in DenseNet-BC).
#
# **Predict, then run:** 256 maps of 56 × 56 reach a transition with θ = 0.5.

# %%
maps = torch.randn(1, 256, 56, 56)
through = Transition(256, 128)(maps)  # θ = 0.5

# %%
quiz.predict(
    "by which factor do the numbers become fewer, all channels and cells together?",
    answer=maps.numel() / through.numel(),
    why=f"Half the channels on half the height and half the width: {tuple(through.shape)}.",
)

# %% [markdown]
# ### Exercise 2.3 · The transition (5 minutes, ●●○○○)
# An `nn.Sequential` with four modules in the order of the text above. Its convolution has no bias.


# %%
class MyTransition(nn.Sequential):
    """(B, c_in, H, W) → (B, c_out, H/2, W/2)."""

    def __init__(self, c_in, c_out):
        # YOUR CODE: super().__init__( four modules )
        raise NotImplementedError


MyTransition = checks.dense_transition(MyTransition)

# %% [markdown]
# <details><summary>Hint 1</summary>Which part changes the channels, and which the grid? Only one of the four does each.</details>
# <details><summary>Hint 2</summary><code>nn.AvgPool2d(2)</code> takes the mean of windows of 2 × 2 that do not overlap.</details>
# <details><summary>Solution</summary>
#
# ```python
# class MyTransition(nn.Sequential):
#     def __init__(self, c_in, c_out):
#         super().__init__(nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.AvgPool2d(2))
# ```
# </details>

# %% [markdown]
# A surprise: the last two modules may change places. Both are linear; the convolution mixes channels within a cell, the mean mixes cells within a channel. So pooling first gives the same
# numbers for a quarter of the multiplications. The paper convolves first. (With a maximum in place of the mean it would not work.)

# %%
norm, relu, conv, mean = transition = MyTransition(22, 11).eval()
x = relu(norm(small(x0)))
late, early = mean(conv(x)), conv(mean(x))
torch.testing.assert_close(late, early)
assert not torch.allclose(nn.MaxPool2d(2)(conv(x)), conv(nn.MaxPool2d(2)(x)), atol=1e-3)
print(f"largest difference {(late - early).abs().max():.0e} on numbers up to {late.abs().max():.2f}: rounding")

# %% [markdown]
# ## 4 DenseNet
# Blocks with a transition between each two, in front a *stem* (a convolution and a pool that shrink the image), behind a classifier: the article's second figure. The paper draws three blocks there; its networks for photos have four.

# %%
with torch.device("meta"):  # tensors with a shape and no numbers: counting costs nothing
    densenet = DenseNet(121)
    x = torch.empty(1, 3, 224, 224)
figures.show(figures.densenet_diagram(densenet), alt=figures.FIGURES["02_densenet"][1])

# %%
x = densenet.stem(x)
print(f"{'stem':<12}{tuple(x.shape)}")
for stage in densenet.stages:
    x = stage(x)
    words = f"{len(stage.layers)} layers" if isinstance(stage, DenseBlock) else ""
    print(f"{type(stage).__name__:<12}{tuple(x.shape)!s:<20}{words}")
print(f"{'classifier':<12}{tuple(densenet.classifier(densenet.norm(x).relu().mean(dim=(2, 3))).shape)}")
assert tuple(x.shape) == (1, 1024, 7, 7)

# %% [markdown]
# The grid shrinks from 56 to 7 in the transitions and nowhere else. The channels grow in the blocks, by 32 a layer.
#
# The article's third figure is the paper's table: four networks that differ in nothing but the number of layers in each block.
# The number in a network's name counts the layers with weights: convolutions and the linear layer. BatchNorms and pools are not counted. For 121 that is 1 convolution in the stem, two in each of 6 + 12 + 24 + 16 dense layers,
# 3 in transitions and 1 linear layer.
#
# **Predict, then run:** the same sum for the column of 264.


# %%
def weighted_layers(network: nn.Module) -> int:
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())


with torch.device("meta"):
    nets = {depth: DenseNet(depth) for depth in (121, 169, 201, 264)}
assert weighted_layers(nets[121]) == 1 + 2 * (6 + 12 + 24 + 16) + 3 + 1
blocks = DENSENETS[264].layers

# %%
quiz.predict(
    f"layers with weights in a DenseNet with {' + '.join(map(str, blocks))} dense layers",
    answer=weighted_layers(nets[264]),
    why=f"1 + 2 · {sum(blocks)} + 3 + 1. The name is one less.",
)

# %%
figures.show(figures.densenet_table(), alt=figures.FIGURES["03_densenet_table"][1])

# %% [markdown]
# Every number in the picture is read off a live network. Are they right? torchvision's networks were written by other people. Nothing is downloaded: only shapes are built.

# %%
from torchvision.models import densenet as torchvision_densenet

print("network       parameters   torchvision's")
for depth, net in nets.items():
    with torch.device("meta"):
        build = getattr(torchvision_densenet, f"densenet{depth}", None)
        theirs = f"{parameters(build()):,}" if build else "has none"
    print(f"DenseNet-{depth}  {parameters(net):>10,}  {theirs:>13}")
    assert theirs in ("has none", f"{parameters(net):,}")
assert parameters(nets[121]) == 7_978_856

# %% [markdown]
# To the last parameter. The name fits for 121, 169 and 201. The paper's column of **264** adds up to 265; torchvision has no such network, so there a formula in the tests is the second opinion.
#
# ## 5 What the connections do to gradients
# The paper's first argument: training needs a gradient, and in a deep plain stack the gradient that arrives at the first layer has passed through all the others. In a dense block every layer's maps are part of the output, so every layer has a
# direct line to what reads the block.
#
# Measure it. Twenty layers with one 3 × 3 convolution each, fresh from initialization, four ways to build them. The loss is a random weighted sum of the output; then look how large the gradient is
# at each layer's output, as a multiple of the last layer's.


# %%
def unit(c_in: int, c_out: int, *, norm: bool = True, he: bool = False) -> nn.Sequential:
    """BN → ReLU → conv, or without BN; he: weights scaled as He et al. 2015 do, not as PyTorch does."""
    conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
    if he:
        nn.init.kaiming_normal_(conv.weight)
    return nn.Sequential(nn.BatchNorm2d(c_in) if norm else nn.Identity(), nn.ReLU(), conv)


def gradient_norms(layers, x: torch.Tensor, *, dense: bool = False) -> list[float]:
    """Norm of the loss's gradient at every layer's output, divided by that of the last layer."""
    outputs = []
    for layer in layers:
        outputs.append(layer(x))
        x = torch.cat([x, outputs[-1]], dim=1) if dense else outputs[-1]
    gradients = torch.autograd.grad((x * torch.randn(x.shape)).sum(), outputs)
    return [(g.norm() / gradients[-1].norm()).item() for g in gradients]


# %%
torch.manual_seed(0)
x, depth = torch.randn(4, 16, 16, 16), 20
flows = {
    "plain": gradient_norms([unit(16, 16, norm=False) for _ in range(depth)], x),
    "plain, BatchNorm": gradient_norms([unit(16, 16) for _ in range(depth)], x),
    "plain, He's weights": gradient_norms([unit(16, 16, norm=False, he=True) for _ in range(depth)], x),
    "dense, growth rate 4": gradient_norms(
        [DenseLayer(16 + 4 * i, 4, bottleneck=False) for i in range(depth)], x, dense=True
    ),
}
for name, norms in flows.items():
    print(f"{name:<21} first layer {norms[0]:.1e} of the last one's")
assert flows["plain"][0] < 1e-5
assert flows["plain, BatchNorm"][0] > 10
assert 1 < flows["dense, growth rate 4"][0] < 8

# %%
figures.show(
    figures.gradient_curves(flows),
    alt="Gradient norm at each of 20 layers, logarithmic: toward the first layer it falls "
    "by many powers of ten in the plain stack, rises more than tenfold in the one with BatchNorm, "
    "and stays near 1 with He's weights and in the dense block",
)

# %% [markdown]
# - The **plain** stack loses the gradient: little of it arrives at the first layer. This is the *vanishing gradient* of the paper. The cause is the scale of the weights: PyTorch draws them √6 times smaller
#   than He et al. advise for ReLU layers, so each layer hands back about 1/√6 = 0.41 of what it gets, and 0.41¹⁹ is 4·10⁻⁸.
# - **BatchNorm** does not simply cure it. At initialization the gradient now *grows* toward the first layer, by about the same factor at every layer (explained by Yang et al. 2019).
# - **He's weights** keep it level, at the start at least: the scale of the weights is chosen for exactly that.
# - In the **dense** block it rises gently: an early layer has more readers, and each sends it a gradient on top of the direct one.
#
# Set `depth` to 40 and run both cells again: the first two curves run away, the dense one hardly moves.
#
# So careful weights can level a plain stack too. What is special about the dense block is that a part of the gradient passes through no weights at all. (In ResNet, too.) Set every weight to zero, the worst case, and look at the
# gradient of x₀:


# %%
def input_gradient(network: nn.Module) -> torch.Tensor:
    for p in network.parameters():
        nn.init.zeros_(p)
    x = torch.randn(1, 16, 8, 8, requires_grad=True)
    return torch.autograd.grad(network(x).sum(), x)[0]


plain = input_gradient(nn.Sequential(*(unit(16, 16) for _ in range(depth))))
dense = input_gradient(DenseBlock(16, depth, 4))
print(f"all weights zero. Gradient of x₀, plain: {plain.unique().tolist()}, dense: {dense.unique().tolist()}")
assert torch.equal(plain, torch.zeros_like(plain))
assert torch.equal(dense, torch.ones_like(dense))

# %% [markdown]
# A gradient of exactly 1: the direct line from the block's output to x₀, which no layer of the block can interrupt. It ends at the transition, which has weights.
#
# ## 6 Are the old maps really read again?
# The second argument is **feature reuse**. The connections exist, but does a trained network use them? Train one and compare it with itself before. Cut the cards out of the sample photos, 64 × 64 pixels each, and let a DenseNet with a
# single block of four layers, growth rate 8, learn to tell the five of them apart. It takes some seconds.

# %%
from copy import deepcopy

from torch.nn.functional import cross_entropy, interpolate

from yolo_edu.assets import sample_data
from yolo_edu.data import DetectionData, read_spec

spec = read_spec(sample_data("train_5classes.yaml"))


def cut_out(split: str, side: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Every card of a split: pictures (N, 3, side, side), 0 to 1, and their classes (N,)."""
    data, pictures, classes = DetectionData(spec, split, image_size=416), [], []
    for sample in (data[i] for i in range(len(data))):
        for box, k in zip(sample.boxes, sample.labels, strict=True):
            x1, y1, x2, y2 = box.round().clamp(min=0).int().tolist()
            card = sample.image[None, :, y1:y2, x1:x2] / 255
            pictures.append(interpolate(card, (side, side), mode="bilinear", antialias=True))
            classes.append(int(k))
    return torch.cat(pictures), torch.tensor(classes)


cards, names = cut_out("train"), spec.names
held_out, truth = cut_out("val")
print(f"{len(cards[1])} cards to learn from, {len(truth)} held out: {', '.join(names)}")

# %%
torch.manual_seed(0)
steps = 120
tiny = DenseNet(DensePlan((4,), growth=8), classes=len(names))  # layers in each block: only one, of 4
untrained = deepcopy(tiny)
optimizer = torch.optim.Adam(tiny.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
for _ in range(steps):
    chosen = torch.randint(len(cards[1]), (32,))
    loss = cross_entropy(tiny(cards[0][chosen]), cards[1][chosen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()

tiny.eval()
with torch.no_grad():
    for _ in range(60):  # no training: BatchNorm only learns means and variances
        untrained(cards[0][torch.randint(len(cards[1]), (32,))])
    untrained.eval()
    share = (tiny(held_out).argmax(dim=1) == truth).float().mean().item()
print(f"{parameters(tiny):,} parameters")
print(f"{share:.0%} of the held-out cards named rightly; guessing would give {1 / len(names):.0%}")
assert share > 1.5 / len(names)

# %% [markdown]
# Good enough to ask. One held-out card, and of each source the map with the largest contrast:


# %%
@torch.no_grad()
def sources(net: DenseNet) -> list[torch.Tensor]:
    """x₀ … x₄ of the block for all held-out cards, each (N, C, 16, 16)."""
    widths = [16, 8, 8, 8, 8]  # the stem makes twice the growth rate
    return list(net.stages[0](net.stem(held_out)).split(widths, dim=1))


card, parts = 8, sources(tiny)
strongest = [part[card][part[card].std(dim=(1, 2)).argmax()] for part in parts]
figures.show(
    figures.map_grid(
        [held_out[card], *strongest],
        [names[truth[card]], *(f"x{i}: 1 of {part.shape[1]}" for i, part in enumerate(parts))],
        columns=6, side=1.5,
    ),
    alt="A card cut out of a photo, and beside it one map of each of x0 to x4 "
    "of the trained block, 16 by 16 cells",
    photos=True,
)  # fmt: skip

# %% [markdown]
# Now blank one source for one reader: replace each of its maps by the map's mean over all held-out cards and cells, so that it carries no information, and let the reader compute again. How much does its answer
# change, as a share of the spread that the answer has over the same cards and cells?


# %%
@torch.no_grad()
def missed(reader, parts: list[torch.Tensor], blank: int) -> float:
    """Change of a reader's answer when one of its sources is blanked, relative to the answer's spread."""
    full = reader(torch.cat(parts, dim=1))
    poorer = list(parts)
    poorer[blank] = parts[blank].mean(dim=(0, 2, 3), keepdim=True).expand_as(parts[blank])
    change = reader(torch.cat(poorer, dim=1)) - full
    others = [d for d in range(full.ndim) if d != 1]  # all but the channels
    spread = full - full.mean(dim=others, keepdim=True)
    return (change.square().mean() / spread.square().mean()).sqrt().item()


def effects(net: DenseNet) -> list[list[float]]:
    """A row for H1 … H4 and the classifier, a column for each source it reads."""

    def classify(maps: torch.Tensor) -> torch.Tensor:  # what stands behind the block
        return net.classifier(net.norm(maps).relu().mean(dim=(2, 3)))

    parts = sources(net)
    readers = [*net.stages[0].layers, classify]
    return [[missed(f, parts[: i + 1], j) for j in range(i + 1)] for i, f in enumerate(readers)]


before, after = effects(untrained), effects(tiny)

# %%
figures.show(
    figures.reuse_grid(
        {"untrained": before, "trained": after}, ["H1", "H2", "H3", "H4", "classifier"]
    ),
    alt="Two triangles of numbers, untrained and trained: for H1 to H4 and the classifier, "
    "how much the answer changes when x0, x1, x2, x3 or x4 is blanked",
)  # fmt: skip
oldest = sum(row[0] == max(row) for row in before[1:])
newest = sum(row[-1] == max(row) for row in after[1:])
print(f"rows below H1 where x₀ counts most, untrained: {oldest} of 4")
print(f"rows below H1 where the newest source counts most, trained: {newest} of 4")
print(f"what the classifier misses without x₀: {before[4][0]:.2f} untrained, {after[4][0]:.2f} trained")
assert oldest == 4
assert newest >= 3
assert 0.02 < after[4][0] < before[4][0] / 2

# %% [markdown]
# Read a row: what one reader misses. Untrained, no entry is near zero either: connected is not yet used. There x₀, whose maps are the most, counts most in every row. Training moves the weight to the newest maps, and
# the old ones keep a share: even the classifier still looks at x₀. (H1 reads x₀ alone, so it misses everything. More than 1 is possible: the answer to a mean is not the mean of the answers, and in the full answer
# two sources may cancel each other.) The paper looks at the weights of a trained DenseNet with 40 layers instead, and finds that late layers put weight on early maps as well (its figure 5).
#
# ## 7 The price: the same maps, stored again and again
# A few new maps a layer sounds cheap. But every layer reads a *new* concatenation. PyTorch cannot paste tensors together without copying, and for the backward pass it has to keep what BatchNorm read and what ReLU put out.
# A pair of hooks, this time on what automatic differentiation keeps, shows it:


# %%
def stored_channels(network, x: torch.Tensor) -> int:
    """Channels of all maps that automatic differentiation keeps while `network` reads x (1, C, H, W)."""
    kept = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape[-2:] == x.shape[-2:]:  # a map, not a weight
            kept[tensor.untyped_storage().data_ptr()] = tensor.shape[1]  # the same memory counts once
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = network(x)  # holds the graph, and the graph holds what is kept
    assert result.requires_grad
    return sum(kept.values())


x = torch.randn(1, 16, 6, 6, requires_grad=True)
plain = []
for n in (8, 16):  # each layer reads 16 channels and puts out 16, nothing is concatenated
    stack = nn.Sequential(*(DenseLayer(16, 16, bottleneck=False) for _ in range(n)))
    plain.append(stored_channels(stack, x))
print(f"a plain stack of 8 layers stores {plain[0]} channels, of 16 layers {plain[1]}")
assert plain[1] == 2 * plain[0]

# %% [markdown]
# Twice the layers, twice the memory. And in a dense block? For a layer that reads c channels, four tensors are kept: c channels in front of the BatchNorm, c behind the ReLU, and twice the 4k of the bottleneck.
#
# **Predict, then run:** what does it cost to double the layers here?

# %%
k = 8
naive = {n: stored_channels(DenseBlock(16, n, k), x) for n in (8, 16, 32, 64, 128)}

# %%
quiz.predict(
    "16 channels in, growth rate 8: stored channels at 32 layers divided by those at 16, nearer 2, 3 or 4?",
    answer=round(naive[32] / naive[16]),
    why="16 + (16 + k) + (16 + 2k) + … grows with the square of the layers, so the longer the block, the closer to 4.",
)

# %%
print("layers   stored  ratio  parameters  MFLOPs at 56 × 56")
for n, stored in naive.items():
    cost = widgets.dense_block_cost(16, n, k)
    ratio = f"{stored / naive[n // 2]:.2f}" if n > 8 else ""
    flops = cost.flops * 56 * 56 / 1e6
    print(f"{n:>6}  {stored:>7,}  {ratio:>5}  {cost.parameters:>10,}  {flops:>17,.0f}")
    assert stored == cost.stored == sum(2 * (16 + i * k) + 8 * k for i in range(n))

# %% [markdown]
# For long blocks memory grows with the square of the depth, and so do parameters and FLOPs of the 1 × 1 convolutions. Play with it. Each row of the staircase is what one layer reads; the *area* of all layers' rows is
# stored twice, plus 8k for each layer. The sliders start at the first block of DenseNet-121.
# - Twice the layers, half the growth rate: the same number of channels leaves the block. What becomes cheaper, what dearer?
# - Where does the bottleneck save parameters? Try smaller growth rates, then more layers.
#
# <details><summary>What there is to find</summary>12 layers with growth rate 16 have fewer parameters than 6 with growth rate 32 and take fewer FLOPs (1,426 million for 2,081), but store more.
# With 6 layers the bottleneck saves parameters at growth rates 4, 8 and 12; with growth rate 32 it does from 12 layers on.</details>

# %%
explorer = widgets.growth_explorer()

# %% [markdown]
# The memory is not needed, only convenient. Concatenation, BatchNorm and ReLU are quick to compute a second time, so one can forget their results and repeat them in the backward pass (Pleiss et al. 2017). PyTorch calls that
# *checkpointing*: `checkpoint(f, x)` is f(x), but keeps x alone.

# %%
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode


class Frugal(DenseBlock):
    """A dense block that keeps each layer's own maps and computes what lies between them again."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [x]
        for layer in self.layers:

            def squeeze(*maps: torch.Tensor, layer: nn.Module = layer) -> torch.Tensor:
                return layer.squeeze(torch.cat(maps, dim=1))

            # False: the repetition stops when all that was forgotten is there, before the convolution
            maps.append(layer.grow(checkpoint(squeeze, *maps, use_reentrant=False)))
        return torch.cat(maps, dim=1)


block, sparing = DenseBlock(16, 8, k), Frugal(16, 8, k)
sparing.load_state_dict(block.state_dict())
gradients, flops = [], []
for way in (block, sparing):
    with FlopCounterMode(display=False) as counter:
        way(x).square().sum().backward()
    flops.append(counter.get_total_flops())
    gradients.append(x.grad)
    x.grad = None
torch.testing.assert_close(*gradients)
seen = [int(b.layers[0].squeeze[0].num_batches_tracked) for b in (block, sparing)]
print("the same gradients, FLOPs of the convolutions:", flops)
print("batches that the first BatchNorm has seen:", seen)
assert flops[0] == flops[1]
assert seen == [1, 2]

# %%
depths = range(4, 65, 4)
written = [stored_channels(DenseBlock(16, n, k), x) for n in depths]
again = [stored_channels(Frugal(16, n, k), x) for n in depths]
figures.show(
    figures.stored_curves(depths, {"as written": written, "computed again": again}),
    alt="Channels stored over the number of layers: a curve that bends upward as written, "
    "a straight line when computed again",
)
step = again[1] - again[0]
assert again == [again[0] + i * step for i in range(len(depths))]  # a straight line

# %% [markdown]
# The same gradients, and memory that grows in proportion to the depth. The price is a part of the forward pass that is run twice. The printed lines show a trap: BatchNorm's running statistics are updated twice as well.
#
# ## 8 What YOLOv5 kept
# CSPNet attacks the waste from another side. Only a part of the channels enters the dense block, the rest goes round it and joins behind. Fewer channels are read again and again.
# The recipe works around other blocks than dense ones as well, and that is how it got into YOLOv5: around Darknet's *residual* blocks, x + H(x) with a 1 × 1 and a 3 × 3 convolution in H. [Lesson 03](03_csp.ipynb) builds it.
#
# One trace of this lesson can still be seen in the network. At the end of a BottleneckCSP two paths are concatenated, and what follows is the beginning of a transition:

# %%
csp = next(module for module in network.modules() if isinstance(module, BottleneckCSP))
joined = csp.bn.num_features
parts = type(csp.bn).__name__, type(csp.act).__name__, f"1 × 1 convolution to {csp.cv4.conv.out_channels}"
print(f"{joined} concatenated channels → {' → '.join(parts)}")
assert csp.cv4.conv.kernel_size == (1, 1)

# %% [markdown]
# BatchNorm, activation, 1 × 1 convolution on a concatenation: pre-activation, in a network that otherwise convolves first. Its successor C3, the block of release 7.0, has dropped even this.
#
# ## Quiz

# %%
quiz.ask(
    "DenseBlock(64, 6, 32). How many channels leave it?",
    ["192", "224", "256"],
    answer=2,
    why="64 + 6 · 32 = 256. 192 are new; 224 is what the last layer reads.",
)

# %%
quiz.ask(
    "How many dense blocks are inside YOLOv5 s?",
    ["None", "Eight: the BottleneckCSPs", "One for each of the three levels"],
    answer=0,
    why="Counted at the top of this lesson. BottleneckCSP inherits the split of CSPNet, which was invented for dense blocks. "
    "Inside it are residual blocks.",
)

# %%
quiz.ask(
    "ResNet computes x + H(x), a dense block [x, H(x)]. What is true of the dense block alone?",
    [
        "Gradients can go round H",
        "x can be read off the output unchanged, whatever H does",
        "The output has as many channels as x",
    ],
    answer=1,
    why="Gradients go round H in both. In the sum x is mixed with H(x) for good; side by side both stay, and the number of channels grows.",
)

# %%
quiz.ask(
    "Why can't a layer inside a dense block have stride 2?",
    [
        "It can, the block would only be faster",
        "BatchNorm would see too few cells",
        "Its maps would not fit beside the older ones, which have the larger grid",
    ],
    answer=2,
    why="Concatenation along channels needs equal height and width. That is why the grid is halved between blocks, in the transition.",
)

# %%
quiz.ask(
    "You double the layers of a dense block, as written, without checkpointing. For ever longer blocks the memory for "
    "training grows by a factor that tends to",
    ["1, since nothing is overwritten", "2", "4"],
    answer=2,
    why="Each layer keeps its own copy of all it has read, and it reads more the later it stands: the sum grows with the "
    f"square. Section 7 measures {naive[128] / naive[64]:.2f} from 64 to 128 layers.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | YOLOv5 holds no dense block | assertion at the top |
# | a dense block's output begins with its input, unchanged; L(L + 1)/2 connections | assertions in section 1; `tests/test_dense.py::test_dense_block_by_hand` |
# | the layer and the block built here equal yolo_edu's | assertions in section 2, exercise 2.1 |
# | the bottleneck saves parameters from 7.2 · k + 1.6 channels on | assertion in section 2; `tests/test_lesson_dense.py::test_where_the_bottleneck_pays` |
# | mean and 1 × 1 convolution may change places | assertion in section 3 |
# | parameter counts of 121, 169, 201 equal torchvision's, 264 a formula's | assertion in section 4; `tests/test_dense.py::test_parameter_counts` |
# | yolo_edu's DenseNet-121 computes what torchvision's does | `tests/test_dense.py::test_equal_to_torchvision` |
# | the column of 264 holds 265 layers with weights | `tests/test_dense.py::test_the_name_counts_the_layers_with_weights` |
# | gradients: vanish, grow, stay | assertions in section 5; `tests/test_lesson_dense.py::test_gradients_for_other_seeds` |
# | with all weights zero the gradient of x₀ is 1 | assertion in section 5; `tests/test_dense.py::test_every_layer_hears_from_the_loss_directly` |
# | untrained, x₀ counts most; training moves the weight to the newest maps | assertions in section 6 |
# | PyTorch's weights are √6 times smaller than He's | `tests/test_lesson_dense.py::test_default_weights_are_small` |
# | stored channels grow with the square of the depth, and linearly when computed again | assertions in section 7; `tests/test_lesson_dense.py::test_cost_of_a_block` |
#
# **References** Huang, Liu, van der Maaten, Weinberger 2016, arXiv:1608.06993 (DenseNet) · He, Zhang, Ren, Sun 2016, arXiv:1603.05027 (pre-activation) · Pleiss, Chen, Huang, Li, van der Maaten, Weinberger 2017, arXiv:1707.06990 (memory) ·
# He, Zhang, Ren, Sun 2015, arXiv:1502.01852 (initialization) · Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, arXiv:1902.08129 (gradients under BatchNorm) · Wang, Liao, Yeh, Wu, Chen, Hsieh 2019, arXiv:1911.11929 (CSPNet)
#
# ← [01 The convolution block](01_convolution_block.ipynb) · **02 The dense block** · [03 Cross-stage partial networks](03_csp.ipynb) →
