# %% [markdown]
# # 03 · Cross-stage partial networks: half of the stage goes round
#
# **65 minutes · difficulty ●●●○○ · importance ●●●●○**
#
# After this lesson you can
# - split a stage as CSPNet does, and predict every channel number in it,
# - say what the split saves, as measured, and why it is not one half,
# - say which gradients repeat in a dense block, and what exactly the split changes,
# - build BottleneckCSP and C3, the stages that YOLOv5 is made of, and count their parameters.
#
# You need [lesson 01](01_convolution_block.ipynb) (Conv, BatchNorm, FLOPs) and [lesson 02](02_dense_block.ipynb) (dense layer, growth rate, transition).

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
from collections import Counter

import torch
import torch.nn.functional as F
from torch import nn

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.data import DetectionData, collate, read_spec
from yolo_edu.evaluate import detect
from yolo_edu.metrics import match
from yolo_edu.model import YOLOv5, YOLOv5v6
from yolo_edu.model.blocks import C3, Bottleneck, BottleneckCSP, Conv, leaky_relu, silu
from yolo_edu.model.dense import CSPDenseBlock, DenseBlock, DenseLayer, Transition

# %%
figures.show(
    figures.network_map("bottleneckcsp"),
    alt="The map of YOLOv5 with the eight BottleneckCSP rows lit: "
    "rows 2, 4, 6 and 9 in the backbone, 13, 17, 21 and 25 in the neck",
)

# %% [markdown]
# You are in the middle of everything: these are the rows that work on features, and more than half of the network's parameters are theirs. A *stage* is what
# works at one size of the grid. *Cross-stage partial*, CSP, means that a part of its input crosses the stage untouched. The article that this course grew
# from says that CSP is used "as backbone", and prepares it with the dense block of lesson 02. Two corrections, counted on the
# live network: half of these stages stand in the neck, and there is no dense layer anywhere. YOLOv5 took over CSPNet's *split*, not what was inside.

# %%
torch.manual_seed(0)
with torch.device("meta"):  # shapes without numbers: enough to count
    article = YOLOv5("s", 5)  # the network of the article, "the June 2020 release"
stages = [row for row in figures.map_rows(article) if row.name == "BottleneckCSP"]
backbone = sum(row.part == "backbone" for row in stages)
print(f"BottleneckCSP rows: {backbone} in the backbone, {len(stages) - backbone} in the neck")
inside = sum(p.numel() for row in stages for p in article.model[row.number].parameters())
share = inside / sum(p.numel() for p in article.parameters())
print(f"they hold {share:.0%} of the parameters")
assert share > 0.5
assert not any(isinstance(module, DenseLayer) for module in article.modules())
print("dense layers: none")

# %% [markdown]
# ## 1 The split
# A dense block sends all channels of its input x₀ through every layer. CSPNet (Wang et al. 2019) cuts x₀ along the channels instead:
# - x₀′ goes round. In the article's words, it "bypasses the DenseBlock and becomes part of the input to the next transition layer".
# - x₀″ goes through the dense block.
#
# The article leaves out one thing: there are *two* transitions. The first mixes what comes out of the dense block, alone. Then both parts are
# concatenated, and the second transition mixes everything. (A transition is BatchNorm → ReLU → 1 × 1 convolution; only the second one halves the grid.) The article's figure 4, drawn from a live block:

# %%
figures.show(figures.csp_split(), alt=figures.FIGURES["04_csp"][1])

# %% [markdown]
# The figure's example: 16 channels, 4 dense layers, growth rate 8; half of the channels go round. Transition 1 keeps half of what it reads, 40 → 20.
# Transition 2 puts out what a dense stage's transition would: half of 16 + 4 · 8, which is 24. So the stage can stand in for a dense one.
#
# **Predict, then run:** another stage has 32 channels, 6 dense layers and growth rate 4; again half goes round. How many channels meet at the joint, the C of the figure?

# %%
quiz.predict(
    "channels at the joint of CSPDenseBlock(32, layers=6, growth=4)",
    answer=CSPDenseBlock(32, layers=6, growth=4).transition[2].in_channels,
    why="16 go round. 16 go through, 6 · 4 are added: 40, of which transition 1 keeps 20. 16 + 20 = 36.",
)

# %% [markdown]
# Now the figure's stage from scratch, out of the parts of lesson 02. The weights are taken over from yolo_edu's block, part by part: if a channel number were wrong,
# this would fail.

# %%
stage = CSPDenseBlock(16, layers=4, growth=8)  # half goes round, if nothing else is said
parts = nn.ModuleDict(
    {
        "block": DenseBlock(8, layers=4, growth=8),
        "partial": Transition(8 + 4 * 8, 20, pool=False),  # transition 1
        "transition": Transition(8 + 20, 24),  # transition 2
    }
)
parts.load_state_dict(stage.state_dict())

x0 = torch.randn(2, 16, 8, 8)  # (B, C, H, W)
around, through = x0[:, :8], x0[:, 8:]  # x₀′ and x₀″, (B, 8, H, W) each
dense = parts["block"](through)  # (B, 40, H, W)
mixed = parts["partial"](dense)  # (B, 20, H, W)
joint = torch.cat([around, mixed], dim=1)  # (B, 28, H, W)
result = parts["transition"](joint)  # (B, 24, H/2, W/2)

for name, tensor in {"dense": dense, "mixed": mixed, "joint": joint, "result": result}.items():
    print(f"{name:<7} {tuple(tensor.shape)}")
assert torch.equal(result, stage(x0))

# %% [markdown]
# ### Exercise 3.1 · Any share, any width (12 minutes, ●●●○○)
# Write the block for every channel number. `bypass` is the share that goes round: `int(c_in * bypass)` channels, the *first* ones. The first transition
# keeps half of its channels. The second puts out half of `c_in + layers * growth`, and halves the grid. Halves are rounded down. Name the parts `block`, `partial` and `transition`.


# %%
class MyCSPDenseBlock(nn.Module):
    def __init__(self, c_in, layers, growth, bypass=0.5):
        super().__init__()
        # YOUR CODE: self.block, self.partial, self.transition
        raise NotImplementedError

    def forward(self, x):  # (B, c_in, H, W) → (B, (c_in + layers · growth) / 2, H/2, W/2)
        raise NotImplementedError


MyCSPDenseBlock = checks.csp_dense_block(MyCSPDenseBlock)

# %% [markdown]
# <details><summary>Hint 1</summary>Two numbers first: <code>around = int(c_in * bypass)</code> and <code>through = c_in - around</code>. The dense block reads <code>through</code> channels and puts out <code>through + layers * growth</code>.</details>
# <details><summary>Hint 2</summary>What does the second transition read? Add what went round and what the first transition kept.</details>
# <details><summary>Hint 3</summary>The two parts can only be concatenated while they have the same grid: the first transition must not halve it, <code>pool=False</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# class MyCSPDenseBlock(nn.Module):
#     def __init__(self, c_in, layers, growth, bypass=0.5):
#         super().__init__()
#         around = int(c_in * bypass)
#         through = c_in - around
#         wide = through + layers * growth
#         self.around = around
#         self.block = DenseBlock(through, layers, growth)
#         self.partial = Transition(wide, wide // 2, pool=False)
#         self.transition = Transition(around + wide // 2, (c_in + layers * growth) // 2)
#
#     def forward(self, x):
#         around, through = x[:, : self.around], x[:, self.around :]
#         mixed = self.partial(self.block(through))
#         return self.transition(torch.cat([around, mixed], dim=1))
# ```
# </details>

# %% [markdown]
# Beside each other, as in the paper's figure 2 and the article's figure 5. The same channels go in and come out. On the right every dense layer reads
# 8 channels less, and one transition was added.

# %%
figures.show(figures.dense_beside_csp(), alt=figures.FIGURES["05_csp_dense"][1])

# %% [markdown]
# ## 2 What it saves, measured
# "This new design reduces the computational complexity by separating the input into two parts — with only one going through the Dense Block", says the
# article. How much? Three costs count: parameters, FLOPs (2 × multiply-adds) and the *stored activations*: feature maps that must wait in memory until
# the backward pass has used them. In training they need more memory than the parameters, even for a single
# image. Autograd tells which tensors it keeps, if we ask.


# %%
def stored(stage, x):
    """How many numbers of feature maps wait for the backward pass. x: (B, C, H, W)."""
    weights = {p.untyped_storage().data_ptr() for p in stage.parameters()}
    kept = {}

    def keep(tensor):  # called with every tensor that some backward step will need
        place = tensor.untyped_storage().data_ptr()  # where its numbers lie in memory
        if tensor.ndim == 4 and place not in weights:
            kept[place] = tensor  # two steps may need the same one: it counts once
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stage.train()(x)
    return sum(tensor.numel() for tensor in kept.values())


x = torch.randn(1, 64, 8, 8)
layer = nn.Sequential(nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 4, 1))
assert stored(layer, x) == 2 * x.numel()  # BatchNorm keeps its input; ReLU and convolution share one
assert stored(stage, x0) == widgets.stage_cost(stage, x0).stored  # the widget below counts the same way

# %% [markdown]
# The stages to compare: the three of DenseNet-121 that end in a transition, with a growth rate of 32, on a 224 × 224 image. Half of the channels go round.


# %%
def pair(c_in, layers, growth=32):
    """A dense stage and its cross-stage form: the same shapes in and out."""
    wide = c_in + layers * growth
    dense = nn.Sequential(DenseBlock(c_in, layers, growth), Transition(wide, wide // 2))
    return dense, MyCSPDenseBlock(c_in, layers, growth)  # yours; yolo_edu's until it is right


stages_121 = [(64, 6, 56), (128, 12, 28), (256, 24, 14)]  # channels in, layers, cells a side
costs = [
    [widgets.stage_cost(stage, torch.randn(1, c_in, side, side)) for stage in pair(c_in, layers)]
    for c_in, layers, side in stages_121
]
first_dense, first_csp = costs[0]

# %% [markdown]
# **Predict, then run:** the first stage, 64 channels in, 6 layers. Which percentage of the dense stage's FLOPs does the split one need?

# %%
quiz.predict(
    "FLOPs of the split stage, in percent of the dense stage's",
    answer=round(100 * first_csp.flops / first_dense.flops, 1),
    why="Half of the input goes round, and hardly anything is saved. The next cells say why.",
)

# %%
print(f"{'':<31}{'parameters':>10}{'MFLOPs':>9}{'stored MB':>12}")
for (c_in, layers, _), (a, b) in zip(stages_121, costs, strict=True):
    for name, cost in (("dense", a), ("split", b)):
        numbers = f"{cost.parameters:>10,}{cost.flops / 1e6:>9,.0f}{cost.stored * 4 / 1e6:>12.1f}"
        print(f"{c_in:>3} channels, {layers:>2} layers, {name} {numbers}")
    less, faster, leaner = (y / x for x, y in zip(a, b, strict=True))
    print(f"{'ratio':>31}{less:>10.2f}{faster:>9.2f}{leaner:>12.2f}")
total = sum(b.flops for _, b in costs) / sum(a.flops for a, _ in costs)
print(f"the three together: {total:.2f} of the FLOPs")
assert 0.9 < total < 1
assert all(cost.stored > cost.parameters for both in costs for cost in both)

# %% [markdown]
# The claim holds, and it is far from one half. (The paper's abstract speaks of 20 % less computation, for other networks.) Where does the work sit? All
# convolutions of a stage run on the full grid, so the FLOPs of a cell are 2 × their weights, and we can sort them.


# %%
def work(stage):
    """Weights of the convolutions, by where they stand."""
    sums = Counter()
    for name, m in stage.named_modules():
        if isinstance(m, nn.Conv2d):
            side = m.kernel_size[0]
            kind = f"{side} × {side} in the layers" if "layers" in name else "transitions"
            sums[kind] += m.weight.numel()
    return sums


dense_work, csp_work = (work(stage) for stage in pair(64, 6))
assert 2 * 56 * 56 * sum(dense_work.values()) == first_dense.flops
assert 2 * 56 * 56 * sum(csp_work.values()) == first_csp.flops
for kind in dense_work:
    share = dense_work[kind] / sum(dense_work.values())
    print(f"{kind:<18} {share:>4.0%} of the work   {dense_work[kind]:>7,} → split {csp_work[kind]:>7,}")

# %% [markdown]
# Three reasons, in the order of their weight:
# - The 3 × 3 convolutions are most of the work, and the split leaves them as they are: they read the 128 channels that each layer's 1 × 1 convolution has
#   brought its input to, however wide that was.
# - The 1 × 1 convolutions read x₀ *and* all earlier layers. The last one reads 64 + 5 · 32 = 224 channels; the split takes 32 of them away.
# - The first transition is new work.
#
# So the split saves much where x₀ is wide and the layers add little, and it can even cost. Find a setting that does, and one that saves more than a tenth
# with *half* of the channels going round. The stored activations behave alike: every layer keeps what it reads.

# %%
explorer = widgets.split_explorer()

# %% [markdown]
# <details><summary>Answer</summary><i>8 of 64 channels</i>, and nothing else changed, costs: too few are saved to pay for the first transition. Half of the channels with 2 layers and growth rate 8 needs 0.85 of the FLOPs, where the first setting needed 0.96.</details>
#
# **Fusion first, fusion last.** The paper also tries one transition instead of two. x₀′ joins at **C**:
#
# | form | the way of x₀″ |
# |---|---|
# | two transitions | dense block → transition 1 → **C** → transition 2 |
# | fusion first | dense block → **C** → transition |
# | fusion last | dense block → transition → **C** |
#
# Both are cheaper still. In the paper's experiments fusion last loses almost no accuracy and fusion first clearly more; we measure the FLOPs only.

# %%
half = DenseBlock(32, 6, 32)  # reads x₀″, puts out 224 channels
ways = {
    "no split": [DenseBlock(64, 6, 32), Transition(256, 128)],
    "two transitions": [half, Transition(224, 112), Transition(32 + 112, 128)],
    "fusion first": [half, Transition(32 + 224, 128)],
    "fusion last": [half, Transition(224, 128 - 32)],  # x₀′ is pooled and makes up the 128
}
flops = {name: 2 * 56 * 56 * sum(work(nn.ModuleList(way)).values()) for name, way in ways.items()}
for name, count in flops.items():
    print(f"{name:<16} {count / 1e6:>6,.0f} MFLOPs   {count / flops['no split']:.2f}")
assert flops["no split"] == first_dense.flops
assert flops["two transitions"] == first_csp.flops
assert flops["fusion last"] < flops["fusion first"] < flops["two transitions"]

# %% [markdown]
# ## 3 The duplicated gradients
# Saving FLOPs is not the paper's main argument. It says that the layers of a dense block learn from *copies of the same gradient information*, and that the
# split ends this for a part of the channels. What can we see of it? First, what the layers read.

# %%
x0 = torch.randn(8, 16, 16, 16)  # (B, C, H, W)
plain = nn.Sequential(DenseBlock(16, 4, 8), Transition(48, 24))
norms = [layer.squeeze[0] for layer in plain[0].layers] + [plain[1][0]]  # the first BatchNorm of every reader

seen = []  # what each reader's BatchNorm makes of the first 16 channels, which are x₀
handles = [norm.register_forward_hook(lambda m, x, y: seen.append(y[:, :16])) for norm in norms]
plain(x0)
for handle in handles:
    handle.remove()
print(f"x₀ is read and normalized {len(seen)} times: by 4 dense layers and by the transition")
assert all(torch.equal(seen[0], other) for other in seen)

# %% [markdown]
# `torch.equal`: not similar, the same. BatchNorm works channel by channel, so every reader computes the same mean and variance of x₀, and before training
# also applies the same γ = 1 and β = 0. A weight's gradient is a product, summed over the grid: what the weight reads × the error at its output. For all
# weights that read x₀, the first factor is one and the same, five times over.
#
# Now the way back. `figures.GradientLedger` gives every reader its own copy of everything it reads. Then each copy receives its own gradient, and we see
# term by term what autograd would have added up silently. The same for the block with the split.

# %%
g = torch.randn(8, 24, 8, 8)  # the gradient that arrives from the rest of a network, the same for both
x0 = x0.detach().requires_grad_()  # a fresh leaf: run twice, nothing adds up

ledger = figures.GradientLedger()
result = plain[1](ledger.read("T", ledger.layers(plain[0], {"x0": x0})))
assert torch.equal(result, plain(x0))  # still the same block
result.backward(g)
dense_terms = ledger.terms()
into_x0 = torch.stack([term for (source, _), term in dense_terms.items() if source == "x0"])
torch.testing.assert_close(into_x0.sum(dim=0), x0.grad)  # nothing is missing

csp_ledger = figures.GradientLedger()
around, through = x0.detach().split(stage.split, dim=1)
made = csp_ledger.layers(stage.block, {"x0″": through.clone().requires_grad_()})
mixed = stage.partial(csp_ledger.read("T1", made))
result = stage.transition(csp_ledger.read("T2", {"x0′": around.clone().requires_grad_(), "xT": mixed}))
torch.testing.assert_close(result, stage(x0))
result.backward(g)
csp_terms = csp_ledger.terms()

# %%
tables = {"Dense block": dense_terms, "With the split": csp_terms}
figures.show(
    figures.gradient_terms(tables, top=["x0′"], apart=["T2"]),
    alt="Two tables of gradient terms: in the dense block each tensor gets one term from every later reader, "
    "a triangle; with the split x0 prime, in the top row, gets one term, from the second transition in the "
    "gray column, and x1 to x4 get none from it",
)

# %% [markdown]
# A row is a tensor; its gradient is the sum of the row's terms. A column is a reader: dense layers H1 to H4, transitions T. The number is the size (norm) of
# the term; the brighter, the larger. (Sizes do not compare between the tables: other weights, and x0 has 16 channels where x0″ has 8.)
#
# - **What repeats:** every reader's error goes back to *all* earlier tensors. The error behind H4 enters the gradients of x0, x1, x2 and x3, and so updates
#   the weights of many layers.
# - **What the split removes:** these terms for x0′, half of the input. It left the triangle and gets one term, straight from T2.
# - **What it does not remove:** any term among x0″, x1 … x4. The triangle is complete, T1 sends to all five, and there are even more terms than before. But T2
#   sends nothing there: whatever the dense layers hear from outside has passed T1 as the gradient of one tensor, xT. This is what the paper calls truncating
#   the gradient flow.

# %%
assert len(dense_terms) == 5 + 4 + 3 + 2 + 1
assert [reader for source, reader in csp_terms if source == "x0′"] == ["T2"]
assert {source for source, reader in csp_terms if reader == "T2"} == {"x0′", "xT"}
assert sum(reader != "T2" for _, reader in csp_terms) == len(dense_terms)  # the triangle

flat = into_x0.flatten(1)  # five terms in a row each
cosines = F.cosine_similarity(flat[:, None], flat[None], dim=2)  # (5, 5)
print("cosines between the five terms that arrive at x0, at most", f"{cosines.triu(1).abs().max():.2f}")

# %% [markdown]
# Do not take "copies" literally. The five terms that arrive at x0 are almost at right angles (cosine near 0). With random weights and a random g that is
# to be expected; a trained network may differ. What repeats is the information they are made from, not the numbers.
#
# And the split's strongest effect, as an experiment. Replace all weights of the dense block and leave the rest. What happens to the gradient of x0?


# %%
def input_gradient(stage, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(stage(x), x, g)[0]


changes = {}
for name, stage_, block in (("dense block", plain, plain[0]), ("with the split", stage, stage.block)):
    before = input_gradient(stage_, x0)
    for p in block.parameters():
        nn.init.normal_(p, std=0.5)  # other weights
    change = (input_gradient(stage_, x0) - before).abs()
    changes[name] = [change[:, :8].max().item(), change[:, 8:].max().item()]
    print(f"{name:<15} largest change, first 8 channels {changes[name][0]:.4f}, last 8 {changes[name][1]:.4f}")
assert changes["with the split"][0] == 0  # x₀′: not a bit
assert min(changes["with the split"][1], *changes["dense block"]) > 0

# %% [markdown]
# Zero. The gradient of x₀′ never passes through the dense block, and T2 treats each channel on its own until its convolution.
#
# What we have shown: who reads what, how many terms arrive where, and this independence, for a given gradient g from the rest of the network. (In a
# training, g itself depends on the output, and so on all weights.) What we have **not** shown: that repeated information hurts, or that a network
# learns better without it. That is an empirical claim. The paper supports it with accuracies on ImageNet and COCO; no identity can prove it.
#
# ## 4 From dense to residual: the stages of YOLOv5
# The split can be put round anything. YOLOv5 puts it round *residual bottlenecks*: two convolutions, 1 × 1 and 3 × 3, whose result is added to their
# input. The sum is He et al.'s (2015); the two convolutions are those of Darknet-53, the backbone of YOLOv3 (Redmon and Farhadi 2018).
# From scratch, on the Conv of lesson 01:


# %%
class MyBottleneck(nn.Module):
    """(B, c_in, H, W) → (B, c_out, H, W)."""

    def __init__(self, c_in, c_out, shortcut=True, expansion=0.5):
        super().__init__()
        hidden = int(c_out * expansion)
        self.cv1 = Conv(c_in, hidden, 1)
        self.cv2 = Conv(hidden, c_out, 3)
        self.add = shortcut and c_in == c_out  # a sum needs equal shapes

    def forward(self, x):
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


x = torch.randn(2, 32, 8, 8)
mine, theirs = MyBottleneck(32, 32), Bottleneck(32, 32)
mine.load_state_dict(theirs.state_dict())
assert torch.equal(mine(x), theirs(x))

# %% [markdown]
# Now the stage of the June 2020 release, BottleneckCSP, and what became of it in release 7.0 of November 2022, C3. Row 2 of the article's network, with its
# channels:

# %%
figures.show(figures.bottleneck_csp_beside_c3(), alt=figures.FIGURES["L03_bottleneck_csp_c3"][1])

# %% [markdown]
# Compare with section 1.
# - The deep path (cv1, bottlenecks, cv3) is x₀″ with its dense block and transition 1. The direct path (cv2) is x₀′. bn, act and cv4's
#   convolution are transition 2; then cv4 adds BatchNorm and activation of its own.
# - **Nothing is split.** Both paths read *all* 64 channels, each through a 1 × 1 convolution of its own that makes 32 of them.
# - Inside the stage the bottleneck keeps its width: 32 → 32 → 32, expansion 1.0. It is a bottleneck by name only.
#
# A split is a special case of such a projection: a 1 × 1 convolution with a matrix of zeros and ones. So the stage can learn to split (up to the
# BatchNorms and activations that follow), and nothing forces it to.

# %%
x = torch.randn(2, 64, 8, 8)
select = torch.eye(64)[:32, :, None, None]  # (32, 64, 1, 1): row i picks channel i
assert torch.equal(F.conv2d(x, select), x[:, :32])

theirs = BottleneckCSP(64, 64, 1)
projections = theirs.cv1.conv.weight.numel() + theirs.cv2.weight.numel()
print(f"a split is free; the two projections of the stage cost {projections:,} weights")

# %% [markdown]
# ### Exercise 3.2 · BottleneckCSP (12 minutes, ●●●○○)
# Build the left half of the figure. `n` bottlenecks with expansion 1.0 stand in `self.m`, an `nn.Sequential`, and get `shortcut` handed on; `hidden = c_out // 2`.
# cv2 and cv3 are bare `nn.Conv2d` without bias. The deep path comes first in the concatenation. The names are the official ones, since trained weights are
# found by name: `cv1 cv2 cv3 cv4 bn act m`. The activation is `nn.LeakyReLU(0.1)`; Conv has
# it already, if nothing else is said.


# %%
class MyBottleneckCSP(nn.Module):
    def __init__(self, c_in, c_out, n=1, shortcut=True):
        super().__init__()
        # YOUR CODE: self.cv1, self.cv2, self.cv3, self.cv4, self.bn, self.act, self.m
        raise NotImplementedError

    def forward(self, x):  # (B, c_in, H, W) → (B, c_out, H, W)
        raise NotImplementedError


MyBottleneckCSP = checks.bottleneck_csp(MyBottleneckCSP)

# %% [markdown]
# <details><summary>Hint 1</summary>Which channels does each part read? cv1 and cv2 read x. The bottlenecks and cv3 stay at <code>hidden</code>. bn and cv4 read both paths together.</details>
# <details><summary>Hint 2</summary><code>nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, 1.0) for _ in range(n)))</code></details>
# <details><summary>Hint 3</summary>The order in <code>forward</code>: deep = cv1, m, cv3. Then cat, bn, act, cv4.</details>
# <details><summary>Solution</summary>
#
# ```python
# class MyBottleneckCSP(nn.Module):
#     def __init__(self, c_in, c_out, n=1, shortcut=True):
#         super().__init__()
#         hidden = c_out // 2
#         self.cv1 = Conv(c_in, hidden, 1)
#         self.cv2 = nn.Conv2d(c_in, hidden, 1, bias=False)
#         self.cv3 = nn.Conv2d(hidden, hidden, 1, bias=False)
#         self.cv4 = Conv(2 * hidden, c_out, 1)
#         self.bn = nn.BatchNorm2d(2 * hidden)
#         self.act = nn.LeakyReLU(0.1)
#         self.m = nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, 1.0) for _ in range(n)))
#
#     def forward(self, x):
#         deep = self.cv3(self.m(self.cv1(x)))
#         direct = self.cv2(x)
#         return self.cv4(self.act(self.bn(torch.cat([deep, direct], dim=1))))
# ```
# </details>

# %% [markdown]
# ### Why cv2 and cv3 are bare
# They have no BatchNorm and no activation of their own, because both stand at the joint, once for the two paths. That looks like a joint normalization. It is
# none: BatchNorm works channel by channel, so one over 64 channels does what two over 32 do.

# %%
csp = MyBottleneckCSP(64, 64, 1).train()  # yours; yolo_edu's until it is right
for p in csp.parameters():
    if p.ndim == 1:
        nn.init.uniform_(p, 0.5, 1.5)  # γ and β that do something

deep, direct = csp.cv3(csp.m(csp.cv1(x))), csp.cv2(x)  # (B, 32, 8, 8) each
together = csp.bn(torch.cat([deep, direct], dim=1))
gammas, betas = csp.bn.weight.split(32), csp.bn.bias.split(32)
apart = [
    F.batch_norm(y, None, None, gamma, beta, training=True)
    for y, gamma, beta in zip((deep, direct), gammas, betas, strict=True)
]
assert torch.equal(together, torch.cat(apart, dim=1))

# %% [markdown]
# So cv2 with its half of bn and act *is* a Conv, and so is cv3 with the other half. Now look at C3 again: its cv2 is a full Conv, and the joint has no
# BatchNorm. For the direct path nothing changed, its half only moved. What C3 dropped is one thing: the Conv behind the bottlenecks. From scratch, and then
# the proof: C3 plus this Conv, with the weights of BottleneckCSP, *is* BottleneckCSP.


# %%
class MyC3(nn.Module):
    """(B, c_in, H, W) → (B, c_out, H, W); release 7.0 has SiLU everywhere."""

    def __init__(self, c_in, c_out, n=1, shortcut=True, activation=silu):
        super().__init__()
        hidden = c_out // 2
        self.cv1 = Conv(c_in, hidden, 1, activation=activation)
        self.cv2 = Conv(c_in, hidden, 1, activation=activation)
        self.cv3 = Conv(2 * hidden, c_out, 1, activation=activation)
        blocks = (Bottleneck(hidden, hidden, shortcut, 1.0, activation=activation) for _ in range(n))
        self.m = nn.Sequential(*blocks)

    def forward(self, x):
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], dim=1))


mine, theirs = MyC3(64, 64, 2), C3(64, 64, 2)
mine.load_state_dict(theirs.state_dict())
assert torch.equal(mine(x), theirs(x))

# %%
c3 = MyC3(64, 64, 1, activation=leaky_relu)  # the June 2020 release's activation, to compare
dropped = Conv(32, 32, 1)  # what C3 does without
weights = {name: value for name, value in csp.state_dict().items() if name.startswith(("cv1.", "m."))}
weights |= {f"cv3.{name}": value for name, value in csp.cv4.state_dict().items()}
weights |= {"cv2.conv.weight": csp.cv2.weight}
for name, value in csp.bn.state_dict().items():  # the joint's BatchNorm, cut in two
    first, second = value.split(32) if value.ndim else (value, value)
    weights[f"cv2.bn.{name}"] = second
    dropped.bn.state_dict()[name].copy_(first)
c3.load_state_dict(weights)
dropped.conv.load_state_dict(csp.cv3.state_dict())

c3_and_conv = c3.cv3(torch.cat([dropped(c3.m(c3.cv1(x))), c3.cv2(x)], dim=1))
torch.testing.assert_close(c3_and_conv, csp(x))
print("C3 and the dropped Conv give what BottleneckCSP gives")

# %% [markdown]
# In the words of section 2: the dropped Conv was transition 1. C3 concatenates at once and mixes once, which is *fusion first*, the form that lost more accuracy in
# the paper's experiments. Those were made with other networks, so they do not say whether it costs anything here.
#
# ### Exercise 3.3 · Count it by hand (8 minutes, ●●○○○)
# The parameters of BottleneckCSP(64, 64, 1): row 2 of the article's network. A 1 × 1 convolution from a to b channels has a · b weights, a 3 × 3 one nine times
# as many; BatchNorm trains two numbers a channel. Write products, like `64 * 32`.

# %%
parameters = {
    "cv1": None,  # YOUR CODE instead of each None
    "cv2": None,
    "cv3": None,
    "cv4": None,
    "bn": None,
    "m": None,
}
parameters = checks.bottleneck_csp_counts(parameters)

# %% [markdown]
# <details><summary>Hint 1</summary>cv1 is a Conv from 64 to 32 channels: convolution, no bias, and BatchNorm over 32.</details>
# <details><summary>Hint 2</summary>m holds one Bottleneck of two Convs, both 32 → 32: one 1 × 1, one 3 × 3.</details>
# <details><summary>Solution</summary>
#
# ```python
# parameters = {
#     "cv1": 64 * 32 + 2 * 32,
#     "cv2": 64 * 32,
#     "cv3": 32 * 32,
#     "cv4": 64 * 64 + 2 * 64,
#     "bn": 2 * 64,
#     "m": (32 * 32 + 2 * 32) + (9 * 32 * 32 + 2 * 32),
# }
# ```
# </details>


# %%
def size_of(module):
    return sum(p.numel() for p in module.parameters())


count = {block: size_of(block(64, 64, 1)) for block in (BottleneckCSP, C3)}
assert sum(parameters.values()) == count[BottleneckCSP]

# %% [markdown]
# **Predict, then run:** how many parameters fewer does C3(64, 64, 1) have?

# %%
quiz.predict(
    "by how many parameters C3(64, 64, 1) is smaller than BottleneckCSP(64, 64, 1)",
    answer=count[BottleneckCSP] - count[C3],
    why="The dropped Conv(32, 32): 32 · 32 weights and 2 · 32 numbers of BatchNorm.",
)

# %%
for block in (BottleneckCSP, C3):
    kinds = Counter(type(module).__name__ for module in block(64, 64, 1).modules())
    layers = f"{kinds['Conv2d']} convolutions, {kinds['BatchNorm2d']} BatchNorms"
    print(f"{block.__name__:<14} {count[block]:>6,} parameters, {layers}")
for c, n in ((64, 1), (128, 3), (512, 1)):
    less = size_of(BottleneckCSP(c, c, n)) - size_of(C3(c, c, n))
    assert less == (c // 2) ** 2 + 2 * (c // 2)  # however many bottlenecks there are

# %% [markdown]
# Both have as many BatchNorm modules, but C3's span 32 channels fewer: half of the joint's became cv2's, half went.
#
# ### Here the saving does approach one half
# Take n plain bottlenecks with 128 channels in and out, as a stage of Darknet-53 has them, and as many inside a CSP stage. The plain one squeezes to 64 and goes
# back: its 3 × 3 convolution has 9 · 64 · 128 weights. Inside the stage it has 9 · 64 · 64.

# %%
x = torch.randn(1, 128, 20, 20)
ratios = {}
print("against n plain bottlenecks   parameters  FLOPs  stored")
for n in (1, 3, 9):
    residual = widgets.stage_cost(nn.Sequential(*(Bottleneck(128, 128) for _ in range(n))), x)
    for block in (BottleneckCSP, C3):
        cost = widgets.stage_cost(block(128, 128, n, activation=leaky_relu), x)
        a, b, c = ratios[block, n] = [mine / theirs for mine, theirs in zip(cost, residual, strict=True)]
        print(f"n = {n}   {block.__name__:<14} {a:>17.2f} {b:>6.2f} {c:>7.2f}")
assert all(0.5 < flops < 1 for _, flops, _ in ratios.values())
assert ratios[C3, 1][2] >= 2
assert ratios[C3, 3][2] > 1 > ratios[C3, 9][2]
assert {len(article.model[row.number].m) for row in stages} == {1, 3}

# %% [markdown]
# The 1 × 1 convolutions of the stage are a fixed price. One bottleneck hardly earns it back; nine do. The ratio of FLOPs falls towards one half and never
# reaches it. Memory is another matter: two paths, the joint and the last Conv all keep their maps. With one bottleneck the stage keeps twice as much
# as the plain one, with three still a little more; only long stages keep less. YOLOv5 s, the article's network, has stages of one and three.
#
# ### `shortcut=False` in the neck
# The last argument decides whether the bottlenecks *inside* add their input. It costs no parameters: the same two convolutions, with or without a sum. Which rows
# have it?

# %%
x = torch.randn(2, 32, 8, 8)
with_sum, without = Bottleneck(32, 32), Bottleneck(32, 32, shortcut=False)
without.load_state_dict(with_sum.state_dict())
assert torch.equal(with_sum(x), x + without(x))

with torch.device("meta"):
    networks = {"June 2020": article, "release 7.0": YOLOv5v6("s", 5)}
for name, network in networks.items():
    rows = [r.number for r in figures.map_rows(network) if r.name in ("BottleneckCSP", "C3")]
    adds = [row for row in rows if network.model[row].m[0].add]
    print(f"{name:<12} adds: rows {adds}   does not: rows {[row for row in rows if row not in adds]}")
    assert max(adds) < 10  # the neck begins behind row 9

# %% [markdown]
# The sum is for the backbone. (In the June 2020 release not even its last stage, row 9, has it.) The direct path round the bottlenecks, cv2, stays
# everywhere: without the sum, `m` is a plain chain, and cv2 the only way round it.
#
# One thing from section 3 does **not** carry over. There the gradient of x₀′ ignored the dense block's weights, because transition 2 *ends* with its convolution.
# bn, act and cv4's convolution would do the same. But cv4 has BatchNorm and activation behind the convolution, where they see sums over both paths. So cv2's
# gradient never passes *through* a bottleneck, and still depends on what the bottlenecks say.


# %%
def before_and_after(stage):
    """Gradients of cv2 and cv1, with the deep path as it is and then cut."""
    gradients = []
    for _ in range(2):
        gradients.append(torch.autograd.grad(stage(x), (stage.cv2.weight, stage.cv1.conv.weight), g))
        for p in stage.m.parameters():
            nn.init.zeros_(p)
    return gradients


x, g = torch.randn(2, 64, 8, 8), torch.randn(2, 64, 8, 8)
(direct, deep), (direct_cut, deep_cut) = before_and_after(BottleneckCSP(64, 64, 1, shortcut=False))
assert deep.count_nonzero() > 0
assert deep_cut.count_nonzero() == 0  # cv1 hears nothing any more
assert direct_cut.count_nonzero() > 0  # cv2 still does
assert not torch.equal(direct, direct_cut)  # but something else
print("deep path cut: cv1 gets no gradient, cv2 gets a different one")

bare = BottleneckCSP(64, 64, 1, shortcut=False)
bare.cv4 = bare.cv4.conv  # nothing behind the convolution
(direct, _), (direct_cut, _) = before_and_after(bare)
assert torch.equal(direct, direct_cut)
print("with a bare convolution as cv4: cv2 gets the same one, bit for bit")

# %% [markdown]
# ## 5 What the two paths carry
# The shipped card detector of lesson 00 is a release 7.0 network with eight C3 stages. Look into row 4, at stride 8: 32 direct channels and 32 deep ones meet before its
# cv3. For each path we show the four channels that vary most over the photo, without the gray
# padding at its sides.

# %%
weights = shipped_weights("cards_n")
model, size = load_checkpoint(weights).eval(), read_metadata(weights)["image_size"]
cards = DetectionData(read_spec(sample_data("train_5classes.yaml")), "val", image_size=416)
images = collate([cards[28]], size).images  # (1, 3, 256, 256)

row = model.model[4]
caught = {}
hooks = [
    row.register_forward_pre_hook(lambda m, inputs: caught.update(x=inputs[0])),
    row.cv3.register_forward_pre_hook(lambda m, inputs: caught.update(joint=inputs[0])),
]
with torch.no_grad():
    model(images)
for hook in hooks:
    hook.remove()
inner = slice(4, 28)  # columns that see the photo: 312 of 416 pixels wide, so 24 of 32 cells
deep, direct = caught["joint"][0, :, :, inner].chunk(2)  # (32, 32, 24) each: channels, rows, columns

boxes = cards[28].boxes * size / 416  # x1 y1 x2 y2, pixels of the photo when it is 256 high
inside = torch.zeros(32, 24, dtype=torch.bool)
for x1, y1, x2, y2 in (boxes / 8).int().tolist():
    inside[y1 : y2 + 1, x1 : x2 + 1] = True  # cells that a card's box touches

# %%
photo, entering = images[0, :, :, 32:224], caught["x"][0, :, :, inner].mean(dim=0)
tiles, titles = [], []
for name, maps, first in (("direct", direct, photo), ("deep", deep, entering)):
    strongest = maps.var(dim=(1, 2)).argsort(descending=True)[:4].tolist()
    tiles += [first, *(maps[i] for i in strongest)]
    titles += ["photo" if name == "direct" else "input, mean", *(f"{name} {i}" for i in strongest)]
    for i in strongest:
        within, rest = maps[i][inside].max(), maps[i][~inside].max()
        print(f"{name:<6} {i:>2}: largest in the cards {within:>4.1f}, outside {rest:.1f}")

# %%
figures.show(
    figures.outlined_maps(tiles, titles, boxes, columns=5),
    alt="A photo of four cards on a tiled floor, their boxes outlined here and on eight maps of row 4; "
    "four direct channels show thin lines, the joints of the floor and edges in the cards; of four deep "
    "ones one has a spot in the middle of each ace, one in the middle of king and queen, two are mixed",
    photos=True,
)

# %% [markdown]
# The outlines are the cards' boxes; each tile has its own color scale, from its least value to its greatest. The direct maps show lines one cell wide: joints
# between the tiles, edges in the cards. In none of them is the cards' largest value twice that of the rest. Two deep maps answer to *places*: *deep 10* to the large
# symbol in the middle of each ace, more than four times as strongly as to anything outside the cards, *deep 12* to the middle of king and queen, more than
# twice. *Deep 11* and *deep 24* are less clear; both show joints, too.
#
# One reason is how far a cell of each path looks. Nudge one cell of the input and count the cells that change:

# %%
base, nudged = caught["x"], caught["x"].clone()
nudged[0, :, 16, 16] += 1
with torch.no_grad():
    changes = {
        "direct": row.cv2(nudged) - row.cv2(base),
        "deep": row.m(row.cv1(nudged)) - row.m(row.cv1(base)),
    }
reach = {name: (change.abs().amax(dim=1) > 1e-5).sum().item() for name, change in changes.items()}
print("cells that change:", reach)
assert reach == {"direct": 1, "deep": (1 + 2 * len(row.m)) ** 2}  # each 3 × 3 adds one cell on every side

# %% [markdown]
# Which path does the trained network need? Silence one, or both: hold each of its channels at its mean over the photo, so that it says nothing about *where*.
# Then count the cards found and the boxes put out, with a confidence of at least 0.25, on all validation photos.


# %%
def found(photos):
    """How many cards are found, and how many boxes put out."""
    answers = detect(model, [sample.image for sample in photos], size=size, confidence=0.25)
    right = 0
    for sample, boxes in zip(photos, answers, strict=True):
        right += int(match(boxes, sample.boxes, sample.labels, torch.tensor([0.5])).sum())
    return right, sum(len(boxes.scores) for boxes in answers)


def silence(channels):
    def hook(cv3, inputs):
        joint = inputs[0].clone()
        joint[:, channels] = joint[:, channels].mean(dim=(2, 3), keepdim=True)
        return (joint,)

    return hook


photos = [cards[i] for i in range(len(cards))]
(everything, put_out), left = found(photos), {}
print(f"{len(photos)} photos with {sum(len(sample.labels) for sample in photos)} cards")
print(f"nothing silent:       {everything:>3} found, {put_out:>3} boxes")
for number in (2, 4, 6, 8):
    cv3, half = model.model[number].cv3, model.model[number].cv2.conv.out_channels
    for name, channels in (("direct", slice(half, None)), ("deep", slice(half)), ("both", slice(None))):
        handle = cv3.register_forward_pre_hook(silence(channels))
        left[number, name], put_out = found(photos)
        handle.remove()
        print(f"row {number}, {name:<6} silent: {left[number, name]:>3} found, {put_out:>3} boxes")
assert left[2, "both"] == left[4, "both"] == 0
assert left[4, "deep"] < 0.1 * everything
assert left[4, "direct"] > 0.9 * everything
assert max(left[2, "direct"], left[2, "deep"]) < 0.8 * everything
assert min(left[8, name] for name in ("direct", "deep", "both")) > 0.95 * everything

# %% [markdown]
# Start with the third line of each row, both silent.
# - Row 8, at stride 32, may be silent altogether: these cards do not need it. So its other lines say nothing about paths.
# - Row 4: nothing works without it, and the deep path carries nearly everything.
# - Row 2: nothing works without it, and both paths matter, the deep one more.
# - Row 6: its silence costs some cards; nearly all of them hang on the deep path.
#
# So "half of the information goes round" is not what this network has learned. A silent path may even *raise* the count, as in row 6: more boxes then pass the
# threshold, right and wrong ones. Mind what the experiment is: one small network, a few dozen photos, no retraining; differences of a few cards mean
# little. And in training the direct path also gave the gradient a short way, which no silencing can measure.
#
# ## Quiz

# %%
quiz.ask(
    "Half of x₀ goes round the dense block. The FLOPs of the stage",
    [
        "fall by one half: half of the input, half of the work",
        "fall by less: the 3 × 3 convolutions never read x₀, and the first transition is new",
        "stay the same: everything is concatenated in the end",
    ],
    answer=1,
    why="Only the 1 × 1 convolutions read x₀, and they also read all earlier layers. "
    "Section 2 measured what is left of the saving.",
)

# %%
quiz.ask(
    "Where in YOLOv5 is the dense block?",
    [
        "In the backbone, inside every BottleneckCSP",
        "In the last stage of the backbone only",
        "Nowhere: CSPNet's split is wrapped round residual bottlenecks",
    ],
    answer=2,
    why="The first cells looked for dense layers in the live network and found none. "
    "What YOLOv5 took over is the path that goes round.",
)

# %%
quiz.ask(
    "You replace all weights of the dense block in a CSPDenseBlock. "
    "For the same gradient at its output, the gradient of x₀′",
    ["does not change at all", "changes a little", "becomes zero"],
    answer=0,
    why="Its only reader is transition 2, which treats each channel on its own before its convolution. "
    "Section 3 asserted equality bit for bit.",
)

# %%
quiz.ask(
    "BottleneckCSP has a BatchNorm at the joint, C3 has none. So C3",
    [
        "does not normalize the direct path",
        "normalizes both paths only after they are mixed, in cv3",
        "has the direct path's half of it inside cv2; the other half went with the Conv behind the bottlenecks",
    ],
    answer=2,
    why="One BatchNorm over both paths equals two over one each. In C3 cv2 is a full Conv, so it has its half; "
    "the bottlenecks end with a Conv, which normalizes the deep path.",
)

# %%
quiz.ask(
    "A BottleneckCSP of the neck has shortcut=False. What is missing?",
    [
        "The sums inside its bottlenecks",
        "The path that goes round, cv2",
        "The concatenation at the joint",
    ],
    answer=0,
    why="The argument goes to the bottlenecks alone. cv2 and the joint are in every stage.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | YOLOv5 holds no dense layer; half of its CSP stages stand in the neck | counted on the live network, before section 1 |
# | the block from scratch equals yolo_edu's | assertions in section 1, exercise 3.1; `tests/test_dense.py::test_csp_dense_block_by_hand` |
# | a stage's FLOPs are those of its convolutions, and fusion first and last are cheaper still | assertions in section 2 |
# | the split computes less, far from one half | measured and asserted in section 2; `tests/test_dense.py::test_csp_stands_in_for_a_dense_stage_and_computes_less` |
# | stored activations are counted right | assertion in section 2; `tests/test_lesson_csp.py::test_stored_activations_by_hand` |
# | how accurate fusion first and last are | **not checked here**: the paper's experiments |
# | x₀ enters all five readers bit for bit the same | assertion in section 3 |
# | the gradient of x₀′ ignores the dense block | assertion in section 3; `tests/test_dense.py::test_bypassed_channels_never_enter_the_dense_block` |
# | repeated gradients hurt learning | **not checked here**: the paper's experiments |
# | the ledger's terms are the gradients | assertion in section 3; `tests/test_lesson_csp.py::test_ledger_terms_by_hand` |
# | BottleneckCSP and C3 from scratch equal yolo_edu's | assertions in section 4, exercise 3.2; `tests/test_blocks.py::test_bottleneck_csp_by_hand`, `tests/test_blocks.py::test_c3_by_hand` |
# | C3 is BottleneckCSP without one Conv | assertion in section 4 |
# | the parameters of row 2 | exercise 3.3; `tests/test_summary.py` |
# | with one or three bottlenecks a CSP stage keeps more activations than plain bottlenecks | assertions in section 4 |
# | what row 4's maps react to | printed in section 5; `tests/test_lesson_csp.py::test_what_the_maps_of_row_4_react_to` |
# | rows 4 and 8: which silence costs cards | assertions in section 5, for this network and these photos only |
#
# **References** Wang, Liao, Yeh, Wu, Chen, Hsieh 2019, arXiv:1911.11929 (CSPNet) · He, Zhang, Ren, Sun 2015, arXiv:1512.03385 (residual learning) ·
# Huang, Liu, van der Maaten, Weinberger 2016, arXiv:1608.06993 (DenseNet) · Redmon, Farhadi 2018, arXiv:1804.02767 (YOLOv3, Darknet-53)
#
# ← [02 The dense block](02_dense_block.ipynb) · **03 Cross-stage partial networks** · [04 CSPDarknet, the backbone](04_csp_darknet.ipynb) →
