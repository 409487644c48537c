# %% [markdown]
# # 13 · The training loop: from a random network to a detector
#
# **90 minutes · difficulty ●●●○○ · importance ●●●●●**
#
# After this lesson you can
# - write the training loop and its optimizer from scratch, equal to PyTorch's step for step,
# - say for each parameter of the network whether it is decayed, and why,
# - read a schedule: warm-up, decay, accumulation,
# - say what the average of the weights buys, and measure it,
# - examine a set-up before a long training, and read its curves afterwards.
#
# You need [lesson 07](07_anchors_and_detect.ipynb) (the head), [lesson 10](10_target_assignment.ipynb) (who learns what), [lesson 11](11_loss.ipynb) (the loss)
# and [lesson 12](12_data_and_freebies.ipynb) (the batches).

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
import json
import math
import os
import tempfile
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from yolo_edu import doctor, garden
from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.assign import assign
from yolo_edu.augment import AugmentSettings
from yolo_edu.batches import Batches
from yolo_edu.checkpoint import load_checkpoint, load_state
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.data import DetectionData, collate, read_spec
from yolo_edu.draw import batch_chart
from yolo_edu.evaluate import detect, evaluate
from yolo_edu.fit import Training, fit_epoch
from yolo_edu.hardware import PRECISIONS, Numerics, autocast
from yolo_edu.loss import detection_loss
from yolo_edu.metrics import match
from yolo_edu.model import YOLOv5v6
from yolo_edu.optim import Ema, build_optimizer
from yolo_edu.recipe import RECIPES, loss_settings, rates, size_at
from yolo_edu.run import Options, Run, metrics_line
from yolo_edu.train import resume, train

# %%
SMOKE = os.environ.get("YOLO_EDU_SMOKE") == "1"  # the course's own tests take a short cut through this lesson
cpu = torch.device("cpu")
cards = read_spec(sample_data("train_5classes.yaml"))
figures.show(
    figures.network_map("head"),
    alt="The map of YOLOv5 with the head lit: what it says is compared with the truth, and training changes all before it",
    dpi=74,
)

# %% [markdown]
# The whole network is ready, and it knows nothing. This lesson is about what goes on around it: image → data → augment → model → assign → loss → **train**. The loss
# compares what the head says with the truth; training changes the numbers in all the layers before it.
#
# ## 1 The loop in ten lines
# A **batch** is a handful of photos. An **iteration** works on one batch. An **epoch** is one pass over all training photos. In each iteration:
# forward (photos in, raw numbers out), loss (one number), backward (the slope of the loss for every parameter, its *gradient*), step (every parameter moves a little against its slope).

# %%
photos = DetectionData(cards, "train", image_size=128)
small = replace(RECIPES["short"], image_size=128, growth=())
batches = Batches(photos, small, 0, cpu)  # 0: the seed of order and augmentation
torch.manual_seed(0)
model = YOLOv5v6("n", cards.names)
settings = loss_settings(model, small, 128)
print(f"{len(photos)} photos, batches of {small.batch}: {len(batches)} iterations an epoch")

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
means = []
for epoch in range(2 if SMOKE else 3):
    losses = []
    for batch in batches.epoch(epoch):  # images (B, 3, 128, 128), targets (M, 6)
        raw = model(batch.images)  # forward: P3, P4, P5
        loss = detection_loss(raw, batch.targets, model.detect.anchors, settings).total
        loss.backward()  # every parameter now has its gradient in .grad
        optimizer.step()  # every parameter moves
        optimizer.zero_grad()  # or the next batch's gradients would be added to these
        losses.append(loss.item() / len(batch.images))
    means.append(sum(losses) / len(losses))
    print(f"epoch {epoch + 1}: mean loss {means[-1]:.3f}, from {min(losses):.3f} to {max(losses):.3f}")
assert means[-1] < means[0]

# %% [markdown]
# That is a complete training. The loss falls, and it jumps from batch to batch far more than it falls from epoch to epoch: each batch shows other photos. A detector made like
# this learns slowly. What `yolo_edu.fit.fit_epoch` adds to these ten lines is the rest of the lesson:
#
# | added | what for | section |
# |---|---|---|
# | parameter groups | weight decay where it makes sense | 4 |
# | a schedule | gentle start, fine end | 5 |
# | accumulation | steps of 64 images where memory holds 16 | 5, 10 |
# | gradient clipping | one odd batch must not throw the weights away | 10 |
# | an average of the weights | what is measured and saved | 3 |
# | half precision | speed | 6 |
#
# ## 2 The step: SGD, momentum, Adam
# The article lists two optimizers, "SGD" and "Adam", and says that the default is SGD. More exactly: SGD *with Nesterov momentum* and weight decay.
# (In `yolo-edu train` the recipe says which: `short` uses AdamW, `reference` SGD.)
#
# **Why plain steps are not enough.** A loss falls steeply in some directions and gently in others: a narrow valley. Here is one with two parameters:
# f(x, y) = (x² + 25 y²) / 2. Its slopes are x and 25 y: across the valley it is 25 times as steep as along it. A plain step multiplies y by 1 − 25 · lr. The start is (−9, 1.6), the lowest point (0, 0).
#
# **Predict, then run:** above which learning rate (`lr`) do steps across this valley grow instead of shrink?

# %%
quiz.predict(
    "the largest learning rate that plain steps across the valley survive",
    answer=2 / 25,
    why="1 − 25 · lr must stay above −1, so lr must stay below 2/25. The steepest direction sets the limit for all.",
)

# %%
for lr in (0.04, 0.079, 0.081):
    end = figures.valley_path(lambda p, lr=lr: torch.optim.SGD(p, lr=lr), 100)[-1]
    print(f"lr {lr:<5}  after 100 steps  x {end[0]:8.4f}   y {end[1]:8.4f}")
    assert (abs(end[1]) < 1.6) == (lr < 2 / 25)

# %% [markdown]
# At a rate that the steep direction survives, the gentle one crawls. **Momentum** helps: a buffer adds up the gradients, and older ones fade. Across the valley they point to and fro and cancel. Along the valley they agree and
# add up. With weight decay, parameter p, gradient g, buffer b, momentum m, in this order:
#
# 1. d = g + decay · p
# 2. b = m · b + d
# 3. p = p − lr · b (classical momentum) or p = p − lr · (d + m · b) (Nesterov)
#
# Nesterov's version steps along the buffer *as it will be* if the next gradient is the same: it looks one step ahead. (Sutskever et al. 2013 write it with the learning rate inside the buffer. PyTorch keeps it outside, as here.)

# %%
figures.show(figures.optimizer_paths(), alt=figures.FIGURES["L13_optimizers"][1], dpi=78)

# %%
still = torch.zeros(1, requires_grad=True)
pushed = torch.optim.SGD([still], lr=0.01, momentum=0.9, nesterov=True)
for _ in range(300):
    before = still.item()
    still.grad = torch.ones(1)  # always the same slope
    pushed.step()
times = (before - still.item()) / 0.01

# %% [markdown]
# **Predict, then run:** the slope is 1 at every step, the learning rate 0.01, the momentum 0.9. After many steps, how many times 0.01 is one step long?

# %%
quiz.predict(
    "length of a step at momentum 0.9, in learning rates",
    answer=round(times),
    why="1 + 0.9 + 0.81 + … = 1 / (1 − 0.9) = 10. At 0.937, the value of both releases, it is almost 16. So a learning rate means "
    "little without its momentum.",
)

# %% [markdown]
# ### Exercise 13.1 · One step of SGD (10 minutes, ●●○○○)
# Write lines 1, 2 and 3, the last one in Nesterov's form. Return the new p and the new buffer; do not change the tensors that come in.


# %%
def nesterov_step(p, grad, buffer, lr, momentum, decay):
    """p, grad, buffer: tensors of one shape; lr, momentum, decay: numbers → new p, new buffer."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


nesterov_step = checks.nesterov_step(nesterov_step)

# %% [markdown]
# <details><summary>Hint 1</summary>The weight decay is part of the gradient from the first line on: the buffer remembers it too.</details>
# <details><summary>Hint 2</summary><code>buffer = momentum * buffer + d</code> makes a new tensor; <code>buffer *= momentum</code> would write into the caller's.</details>
# <details><summary>Hint 3</summary>Nesterov uses the new buffer: d plus momentum times it.</details>
# <details><summary>Solution</summary>
#
# ```python
# def nesterov_step(p, grad, buffer, lr, momentum, decay):
#     d = grad + decay * p
#     buffer = momentum * buffer + d
#     return p - lr * (d + momentum * buffer), buffer
# ```
# </details>

# %% [markdown]
# Is this exactly PyTorch's step? A small network in double precision, ten steps, your function beside `torch.optim.SGD`.


# %%
def small_network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Conv2d(4, 2, 1)).double()


def gradients(network):
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    return torch.autograd.grad(network(x).square().mean(), list(network.parameters()))


network = small_network()
theirs = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
mine = [p.detach().clone() for p in network.parameters()]
buffers = [torch.zeros_like(p) for p in mine]
for _ in range(10):
    for i, (p, grad) in enumerate(zip(network.parameters(), gradients(network), strict=True)):
        p.grad = grad
        mine[i], buffers[i] = nesterov_step(mine[i], grad, buffers[i], 0.1, 0.9, 0.01)
    theirs.step()
    for p, own in zip(network.parameters(), mine, strict=True):
        torch.testing.assert_close(own, p.detach(), rtol=1e-12, atol=1e-14)
print("ten steps, equal to torch.optim.SGD")

# %% [markdown]
# ### Adam and AdamW
# SGD has one learning rate for steep and gentle directions. **Adam** (Kingma and Ba 2014) gives every parameter its own: it divides the averaged gradient by the
# root of the averaged *squared* gradient. Both averages start at zero and are too small at first; dividing by 1 − βᵗ repairs that. **AdamW** (Loshchilov and Hutter 2017) takes
# the weight decay out of the gradient: inside, it would be divided by that root too, and parameters with large gradients would hardly decay.


# %%
def adam_step(p, grad, first, second, t, lr, betas=(0.9, 0.999), decay=0.0, decoupled=True):
    """Step t, counted from 1 → new p, first, second. decoupled: AdamW; not: Adam."""
    if decoupled:
        p = p - lr * decay * p
    else:
        grad = grad + decay * p
    first = betas[0] * first + (1 - betas[0]) * grad
    second = betas[1] * second + (1 - betas[1]) * grad**2
    step = first / (1 - betas[0] ** t) / ((second / (1 - betas[1] ** t)).sqrt() + 1e-8)
    return p - lr * step, first, second


for kind, decoupled in ((torch.optim.AdamW, True), (torch.optim.Adam, False)):
    network = small_network()
    theirs = kind(network.parameters(), lr=0.01, weight_decay=0.1)
    state = [(p.detach().clone(), torch.zeros_like(p), torch.zeros_like(p)) for p in network.parameters()]
    for t in range(1, 11):
        for i, (p, grad) in enumerate(zip(network.parameters(), gradients(network), strict=True)):
            p.grad = grad
            state[i] = adam_step(state[i][0], grad, *state[i][1:], t, 0.01, decay=0.1, decoupled=decoupled)
        theirs.step()
        for p, (own, _, _) in zip(network.parameters(), state, strict=True):
            torch.testing.assert_close(own, p.detach(), rtol=1e-10, atol=1e-12)
    print("ten steps, equal to torch.optim." + kind.__name__)

# %% [markdown]
# A consequence that surprises: multiply the loss by 1,000, and Adam's way stays the same. SGD's steps become 1,000 times as long.

# %%
way = torch.randn(20, 3, dtype=torch.float64)  # twenty gradients of three parameters
ends = {}
for factor in (1, 1000):
    p, first, second, sgd = (torch.zeros(3, dtype=torch.float64) for _ in range(4))
    for t, grad in enumerate(way, start=1):
        p, first, second = adam_step(p, factor * grad, first, second, t, 0.01)
        sgd = sgd - 0.01 * factor * grad
    ends[factor] = p, sgd
    print(f"loss × {factor:<5} Adam ends at {p.numpy().round(4)}, SGD at {sgd.numpy().round(4)}")
torch.testing.assert_close(ends[1][0], ends[1000][0], rtol=1e-5, atol=1e-8)

# %% [markdown]
# So for SGD a loss that is twice as large is a learning rate twice as large (weight decay and clipping aside), and for Adam it is no change (as long as the 1e-8 in its divisor is negligible). The *relative* gains of the loss's parts matter to both.
#
# Try it: at steepness 25, where does each method run away? Does Nesterov's version survive a larger rate than classical momentum, or a smaller one?

# %%
explorer = widgets.optimizer_explorer()

# %% [markdown]
# <details><summary>What there is to find</summary>With momentum 0.8 the classical version still arrives at 0.1, where plain steps (momentum 0) run away; Nesterov's arrives at 0.05 and runs away at 0.07. Looking ahead
# damps the swinging, but it makes each step across the valley longer. Adam does not run away at any of these rates: with a rate that is too high it circles.</details>
#
# ## 3 The average of the weights
# Near a low point the weights rattle: every batch pulls another way. Their *average* over the last steps is calmer. Keeping a second copy of the network as a running average (an
# **exponential moving average**, EMA; the idea of averaging goes back to Polyak and Juditsky 1992) costs one pass over the weights a step:
#
# average = d · average + (1 − d) · weights, with d = decay · (1 − exp(−updates / ramp))
#
# With d = 0.995 the average reaches back about 1 / (1 − d) = 200 steps. The reference recipe has 0.9999: 10,000 steps. The ramp lets d grow from 0: otherwise the random start would stay in the average for those 10,000 steps.

# %%
share = RECIPES["reference"].ema_decay * (1 - math.exp(-100 / RECIPES["reference"].ema_ramp))
assert round(1 / (1 - RECIPES["reference"].ema_decay)) == 10_000
assert round(1 / (1 - RECIPES["short"].ema_decay)) == 200

# %% [markdown]
# **Predict, then run:** decay 0.9999, ramp 2,000. How many percent of the old average survive update number 100? Round to whole percent.

# %%
quiz.predict(
    "percent of the old average in the 100th update",
    answer=round(100 * share),
    why="0.9999 · (1 − exp(−100/2000)) = 0.049. The average still follows the weights closely. At update 10,000 it is 99 percent.",
)

# %% [markdown]
# ### Exercise 13.2 · One update of the average (8 minutes, ●●○○○)
# A *state* is what `state_dict()` returns: name → tensor. It holds the parameters and the buffers: BatchNorm's running mean and variance, and a counter. Average every tensor of floating-point
# numbers. Keep whole numbers (the counter) as `average` has them. Return a new dict; change nothing in place.


# %%
def ema_update(average, weights, updates, decay=0.9999, ramp=2000.0):
    """average, weights: name → tensor; updates: number of this update, from 1 → new average, name → tensor."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


ema_update = checks.ema_update(ema_update)

# %% [markdown]
# <details><summary>Hint 1</summary>First the share d, a plain number: <code>decay * (1 - math.exp(-updates / ramp))</code>.</details>
# <details><summary>Hint 2</summary>A dict comprehension over <code>average.items()</code>; <code>tensor.is_floating_point()</code> tells the counter apart.</details>
# <details><summary>Solution</summary>
#
# ```python
# def ema_update(average, weights, updates, decay=0.9999, ramp=2000.0):
#     d = decay * (1 - math.exp(-updates / ramp))
#     return {
#         name: d * old + (1 - d) * weights[name] if old.is_floating_point() else old
#         for name, old in average.items()
#     }
# ```
# </details>

# %%
network = small_network()
ema = Ema(network, decay=0.995, ramp=20.0)
average = {name: x.clone() for name, x in network.state_dict().items()}
moving = torch.optim.SGD(network.parameters(), lr=0.1)
for updates in range(1, 51):
    for p, grad in zip(network.parameters(), gradients(network), strict=True):
        p.grad = grad
    moving.step()
    ema.update(network)
    average = ema_update(average, network.state_dict(), updates, 0.995, 20.0)
for name, x in ema.model.state_dict().items():
    torch.testing.assert_close(average[name], x, rtol=1e-9, atol=1e-12)
print("50 updates, equal to yolo_edu.optim.Ema")

# %% [markdown]
# The average never trains. It is what is evaluated and saved; the weights themselves go on rattling. Section 8 measures both.
#
# ## 4 Three groups of parameters
# **Weight decay** pulls a parameter toward 0 at every step. It is meant for weights: of two networks that fit, prefer the one with smaller weights. For a bias or for BatchNorm's γ, 0 is nothing simpler, it is only another value.
# Both releases of YOLOv5 that this course builds, June 2020 and 7.0, therefore make three groups:
#
# | group | which | decayed |
# |---|---|---|
# | biases | every parameter named `bias`, BatchNorm's β among them | no |
# | weights | all other weights | yes |
# | norms | γ, the `weight` of a `BatchNorm2d` | no |
#
# ### Exercise 13.3 · Sort the parameters (10 minutes, ●●●○○)
# Return three lists of names, as `named_parameters()` writes them: biases, weights, norms. Their order does not matter. It must work for any network;
# only `BatchNorm2d` counts as a norm, as in both releases (the weight of a `LayerNorm` would be decayed).


# %%
def parameter_groups(module):
    """module → names of biases, of weights (decayed), of BatchNorm2d weights."""
    # YOUR CODE instead of the next line
    raise NotImplementedError


parameter_groups = checks.parameter_groups(parameter_groups)

# %% [markdown]
# <details><summary>Hint 1</summary>A name alone does not tell γ from a convolution's weight: both end in <code>weight</code>. You need the module that owns the parameter.</details>
# <details><summary>Hint 2</summary><code>module.named_modules()</code> gives the dotted prefix and each module; <code>owner.named_parameters(prefix, recurse=False)</code> gives its own parameters with their full names.</details>
# <details><summary>Hint 3</summary><code>name.split(".")[-1] == "bias"</code>, then <code>isinstance(owner, nn.BatchNorm2d)</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# def parameter_groups(module):
#     biases, weights, norms = [], [], []
#     for prefix, owner in module.named_modules():
#         for name, _ in owner.named_parameters(prefix, recurse=False):
#             if name.split(".")[-1] == "bias":
#                 biases.append(name)
#             elif isinstance(owner, nn.BatchNorm2d):
#                 norms.append(name)
#             else:
#                 weights.append(name)
#     return biases, weights, norms
# ```
# </details>

# %%
named = dict(model.named_parameters())
grouped = build_optimizer(model, RECIPES["reference"]).param_groups
total = sum(p.numel() for p in named.values())
print("group    tensors  parameters   share   decay")
for kind, names, group in zip(("biases", "weights", "norms"), parameter_groups(model), grouped, strict=True):
    assert {id(named[name]) for name in names} == {id(p) for p in group["params"]}  # the optimizer has the same
    count = sum(named[name].numel() for name in names)
    print(f"{kind:<8} {len(names):>7}  {count:>10,}  {100 * count / total:5.2f} %  {group['weight_decay']:.4f}")
    assert (count / total > 0.99) == (kind == "weights") == (group["weight_decay"] > 0)

# %% [markdown]
# Two thirds of the tensors are not decayed, and yet more than 99 % of the numbers are.
#
# What does decay do to a convolution that stands before a BatchNorm? Something else than the textbook says. BatchNorm divides by the standard deviation, so the *size* of the convolution's weights cancels out. Halve them: the
# output stays, and the gradient doubles.

# %%
torch.manual_seed(0)
pair = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, eps=1e-20)).double()
x, direction = torch.randn(4, 3, 9, 9, dtype=torch.float64), torch.randn(4, 8, 7, 7, dtype=torch.float64)
outputs, slopes = [], []
for _ in range(2):
    outputs.append(pair(x))
    slopes.append(torch.autograd.grad((outputs[-1] * direction).sum(), pair[0].weight)[0])
    pair[0].weight.data /= 2
torch.testing.assert_close(outputs[0], outputs[1])
torch.testing.assert_close(2 * slopes[0], slopes[1])
print("half the weights: the same output, twice the gradient")

# %% [markdown]
# So decay does not make such a layer simpler. It keeps its weights from growing. Larger weights have a smaller gradient and are moved less by it; decay holds both in balance. On γ it would really turn the layer down.
#
# One more rule of both releases: SGD's decay is multiplied by the images of a step over 64. The article trains with `--batch 19`.

# %%
article = replace(RECIPES["reference"], batch=19)
accumulate = rates(article, 10**6, 100).accumulate
decay = build_optimizer(model, article).param_groups[1]["weight_decay"]
print(f"batch 19: {accumulate} batches a step, {19 * accumulate} images; decay {decay:.6f} instead of 0.0005")
assert math.isclose(decay, 5e-4 * 19 * accumulate / 64)

# %% [markdown]
# ## 5 The schedule
# The first steps of a random network go in wild directions. **Warm-up** (Goyal et al. 2017) lets the learning rate rise from 0. In the same time the rate of the *biases*, the first of the three
# groups, falls from a high value. Momentum rises too: old directions are not worth remembering yet. (Reasons, not measurements.)
#
# Afterwards the learning rate falls, by epoch: in a straight line (release 7.0) or along half a cosine (the June 2020 release, with another end; from Loshchilov and Hutter 2016). Here is the whole rule.
# In the recipe `reference` the rate is 0.01 and ends at 0.01 of that; the biases start at 0.1, and momentum goes from 0.8 to 0.937.


# %%
def my_rates(recipe, iteration, batches):
    """iteration from 0, batches in an epoch → learning rate of biases, of the others, momentum, batches a step."""
    progress = (iteration // batches) / recipe.epochs  # of the run, by whole epochs
    fall = 1 - progress if recipe.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    lr = recipe.lr * (recipe.final_lr + (1 - recipe.final_lr) * fall)
    want = recipe.nominal_batch / recipe.batch  # batches that make up a step
    warmup = max(round(recipe.warmup_epochs * batches), recipe.warmup_iterations)
    if iteration > warmup:
        return lr, lr, recipe.momentum, max(round(want), 1)
    t = iteration / warmup  # 0 → 1

    def between(start, end):
        return start + t * (end - start)

    momentum = between(recipe.warmup_momentum, recipe.momentum)
    return between(recipe.warmup_bias_lr, lr), between(0, lr), momentum, max(round(between(1, want)), 1)


for recipe in RECIPES.values():
    count = -(-len(photos) // recipe.batch)
    for iteration in range(recipe.epochs * count):
        theirs = rates(recipe, iteration, count)
        assert all(
            math.isclose(a, b, abs_tol=1e-15) for a, b in zip(my_rates(recipe, iteration, count), theirs, strict=True)
        )
print("equal to yolo_edu.recipe.rates in every iteration of both recipes")

# %%
count = -(-len(photos) // RECIPES["reference"].batch)
asked = [rates(RECIPES["reference"], i, count) for i in range(3 * 100)]
length = next(i for i, now in enumerate(asked) if now.bias_lr == now.lr)
assert length == 100

# %% [markdown]
# **Predict, then run:** the reference recipe warms up for 3 epochs, but for at least 100 iterations. The cards have 217 photos, a batch 16. In which epoch (the first is 1) does the warm-up end?

# %%
quiz.predict(
    "the epoch in which the warm-up ends, on the cards with the reference recipe",
    answer=length // count + 1,
    why="217 / 16 makes 14 batches an epoch; 3 epochs are only 42 iterations, so the least length of 100 holds. 7 epochs are 98 iterations.",
)

# %%
assert len(photos) == 217
figures.show(figures.schedule_chart(), alt=figures.FIGURES["L13_schedules"][1], dpi=76)

# %% [markdown]
# The dotted line in the right picture of each row is **accumulation**: gradients of several batches are added up before one step is made, so that a step has seen 64 images although memory holds 16. In the warm-up of the reference recipe the number grows from 1 to 4.
#
# The reference recipe is release 7.0's. It is made for 300 epochs of COCO. On 217 photos it makes few, heavily averaged steps. The recipe `short` is this course's own: AdamW, a step every batch, half a cosine, a fast average, small photos
# in its first half (Howard's *progressive resizing*). Measured on the cards at 256 pixels (one thread of a CPU, three seeds each, `benchmarks/results/time_to_map_cards.json`): the short recipe passed an mAP50 of 0.5 after 30 to 38 seconds, the
# reference recipe after 118 to 256. That says nothing about 300 epochs on COCO.
#
# ## 6 Half precision
# Most of the time goes into convolutions, and they run faster with 16 bits than with 32, where the machine has units for it. *Automatic mixed precision* (AMP; Micikevicius et al. 2017) computes the forward pass in 16 bits and keeps the weights
# and the loss in 32. The backward pass takes the same way back, so the gradients inside the network have 16 bits too. Sixteen bits can be spent in two ways: **float16** has more digits, **bfloat16** more range.

# %%
print("            1 + least step   smallest     largest")
for name, dtype in PRECISIONS.items():
    info = torch.finfo(dtype)
    print(f"{name:<10}  1 + {info.eps:<10.2g}  {info.tiny * info.eps:10.1e}  {info.max:10.1e}")
weight, step = 1.0, 0.0002  # a step of lr 0.01 times a gradient of 0.02
for name, dtype in PRECISIONS.items():
    print(f"{name:<10}  1 − 0.0002 = {(torch.tensor(weight, dtype=dtype) - step).item():.6f}")
assert (torch.tensor(1.0, dtype=torch.bfloat16) - step).item() == 1
assert (torch.tensor(1.0, dtype=torch.float16) - step).item() == 1

# %% [markdown]
# In 16 bits the step is lost: 1 − 0.0002 is 1. Ten thousand such steps would change nothing. Therefore the *weights* stay float32. So does the *loss*: an IoU of 0.999 and one of 1 are the same bfloat16 number, and a sum of thousands of small terms stops
# growing. `detection_loss` turns the raw maps into float32 first.

# %%
batch = collate([photos[i] for i in range(8)], 128)
with autocast(cpu, Numerics("bfloat16", "contiguous")):
    raw = model(batch.images)
loss = detection_loss(raw, batch.targets, model.detect.anchors, settings)
dtypes = raw[0].dtype, loss.total.dtype, next(model.parameters()).dtype
print("raw maps, loss, weights:", *dtypes)
assert dtypes == (torch.bfloat16, torch.float32, torch.float32)
assert torch.tensor(0.999, dtype=torch.bfloat16) == 1

# %% [markdown]
# float16 has another weak spot: it ends at about 6 · 10⁻⁸. Many gradients are smaller than that. Here are those of a *trained* network's raw maps, most of which say "nothing here" with good reason and should change very little.

# %%
trained = load_checkpoint(shipped_weights("cards_n")).train()
raw = trained(batch.images)
for x in raw:
    x.retain_grad()
detection_loss(raw, batch.targets, trained.detect.anchors, settings).total.backward()
slopes = torch.cat([x.grad.flatten() for x in raw])
total, slopes = len(slopes), slopes[slopes != 0]
print(f"{len(slopes):,} of {total:,} gradients are not 0")
lost = {scale: ((slopes * scale).half() == 0).float().mean().item() for scale in (1, 2**8, 2**16)}
for scale, gone in lost.items():
    print(f"multiplied by {scale:>6}: {100 * gone:5.2f} % of them become 0 in float16")
assert lost[1] > 0.2
assert lost[2**16] < 0.01

# %% [markdown]
# (Most are exactly 0 already: a cell without an object has a gradient for its objectness only.)
#
# The remedy is **loss scaling**. Multiply the loss by 65,536, and every gradient is 65,536 times as large; divide before the step. If the scaled gradients overflow to infinity, skip this step and halve the factor. PyTorch's `GradScaler` does that.
# Here `raw` plays the network's answer in float16, and the loss is float32.

# %%
scaler = torch.amp.GradScaler("cpu")
p = torch.ones(1, requires_grad=True)
sgd = torch.optim.SGD([p], lr=0.1)
for slope in (1e-8, 1.5, 1.5):
    raw = p.half()
    raw.retain_grad()
    scaler.scale((raw.float() * slope).sum()).backward()
    arrived, before, factor = raw.grad.item(), p.item(), scaler.get_scale()
    scaler.step(sgd)  # divides, and does nothing if a gradient is not finite
    scaler.update()
    sgd.zero_grad()
    alone = torch.tensor(slope).half().item()
    print(f"slope {slope:<6} unscaled {alone:<4} × {factor:,.0f}: {arrived:<9.3g} p moves by {before - p.item():.3g}")
    assert (alone == 0) == (slope == 1e-8)
    assert math.isfinite(arrived) == (slope * factor < 65_504)
assert scaler.get_scale() == 2**15
assert p.isfinite()

# %% [markdown]
# bfloat16 has the range of float32 and needs no scaling. `yolo-edu train` takes it on GPUs that have it, float16 with a scaler on older ones, and on a CPU it *measures* what is fastest and takes bfloat16 only for a clear gain.
#
# Put together, the ten lines of section 1 become `fit_epoch` (here without devices and progress; the numbers are sections):
#
# ```python
# for batch in batches:
#     now = rates(recipe, iteration, len(batches))  # 5
#     apply_rates(optimizer, now)  # 4, 5: three groups
#     with autocast(device, numerics):  # 6
#         raw = model(batch.images)
#     scaler.scale(detection_loss(raw, …).total).backward()  # 6
#     if iteration - last_step >= now.accumulate:  # 5
#         scaler.unscale_(optimizer)  # 6
#         nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)  # 10
#         scaler.step(optimizer)  # 2
#         scaler.update()
#         optimizer.zero_grad()
#         ema.update(model)  # 3
#         last_step = iteration
#     iteration += 1
# ```
#
# ## 7 The doctor: before a long training
# `yolo-edu doctor` takes the data, the model and the recipe that you are about to use, and examines them. Here is the same from Python.

# %%
torch.manual_seed(0)
fresh = YOLOv5v6("n", cards.names)
findings = []
for finding in doctor.examine(fresh, photos, small, device=cpu, steps=40):
    print(textwrap.fill(str(finding), 88, subsequent_indent="      "))
    findings.append(finding)
assert all(finding.good for finding in findings)

# %% [markdown]
# | check | what it does | what a failure means |
# |---|---|---|
# | labels decode back to themselves | label → letterbox → assignment → the raw numbers that a perfect network would say → decoding: is it the same box? | row and column swapped, a wrong unit, anchors not divided by the stride |
# | boxes that an anchor takes | counts labels that no anchor fits (lesson 07) | objects too small or too large for this input size |
# | first loss as predicted | a fresh network says its prior everywhere; the loss of *that* is computed without running the network (lesson 11), then the network is run. The random weights shift it a little: up to a factor of 2 either way passes | biases not initialized, a sigmoid too many, weights not fresh |
# | one batch can be learned by heart | 40 steps on the same 8 photos, without augmentation | learning rate, frozen layers, labels that contradict each other |
# | speed | images a second, and the least time for all epochs | patience |
#
# Each check measures one thing, so each points to a cause. Plant a fault: the assignment swaps row and column.


# %%
def swapped(*args, **more):
    return [level._replace(row=level.column, column=level.row) for level in assign(*args, **more)]


with mock.patch.object(doctor, "assign", swapped):
    sick = doctor.round_trip(fresh, photos, 128)
for line in str(sick).splitlines():
    print(textwrap.fill(line, 88, subsequent_indent="    "))
assert not sick.good
assert doctor.round_trip(fresh, photos, 128).good  # the fault is gone again

# %% [markdown]
# Now another fault, in the data: somebody wrote x and y of all labels in the wrong order.
#
# **Predict:** which check finds it? Decide before you run the next cell.

# %%
mirrored = [sample._replace(boxes=sample.boxes[:, [1, 0, 3, 2]]) for sample in photos]
findings = list(doctor.examine(fresh, mirrored, small, device=cpu, steps=10 if SMOKE else 40))
for finding in findings:
    print("✓" if finding.good else "✗", finding.check)
assert findings[0].good
shown = DetectionData(cards, "train", image_size=320)
pictures = [shown[i] for i in (0, 60, 120, 180)]
pictures = [sample._replace(boxes=sample.boxes[:, [1, 0, 3, 2]]) for sample in pictures]
figures.show(
    batch_chart(collate(pictures, 320), cards.names, columns=2),
    alt="Four training photos; the boxes with the names of cards lie beside the cards, mirrored on the diagonal",
    photos=True,
    dpi=110,
)

# %% [markdown]
# No check finds it. The boxes are legal boxes, they decode to themselves, and eight photos can be learned by heart with any labels. A check can tell whether your code is consistent with itself, not whether the labels are true. Every run therefore
# saves pictures of its first batches with their boxes, `train_batch0.jpg` and two more. **Look at them.** It takes ten seconds, and no number replaces it.
#
# ## 8 A training
# The cards, YOLOv5 n, the recipe `short` cut to 24 epochs at 192 pixels. This is the longest cell of the lesson: one to two minutes on two CPU cores. The display below is redrawn while it runs. Every second epoch a callback looks on: it measures the weights
# themselves (the run measures their average) and keeps what the average finds in three validation photos.

# %%
recipe = replace(RECIPES["short"], epochs=6 if SMOKE else 24, image_size=96 if SMOKE else 192, plain_epochs=3)
torch.manual_seed(0)
network = YOLOv5v6("n", cards.names)
val = DetectionData(cards, "val", image_size=320)
watched = [val[i] for i in (28, 31, 36)]
print(f"{recipe.epochs} epochs; photos of {size_at(recipe, 0)} pixels first, {recipe.image_size} at the end")

# %%
scratch = tempfile.TemporaryDirectory()
run = Run(Path(scratch.name))
live = figures.LiveCurves(recipe.epochs)
frames, themselves = {}, {}


def watch(training):
    if training.epoch == 1 or training.epoch % 2 == 0:
        size = size_at(recipe, training.epoch - 1)
        images = [sample.image for sample in watched]
        frames[training.epoch] = detect(training.ema.model, images, size=size, confidence=0.05)
        themselves[training.epoch] = evaluate(training.model, val, size=size, progress=False).map50
    live(training.history, themselves)


options = Options(evaluate_every=2)
report = train(cards, network, recipe, run, options, device=device, callbacks=[watch], progress=False)

# %%
history = load_state(run.state)["history"]
for row in history[1::6]:
    print(metrics_line(row, recipe.epochs))
print(f"best weights: mAP50 {report.map50:.3f}, " + ", ".join(f"{name} {ap:.2f}" for name, ap in report.ap50.items()))
averaged = {int(row["epoch"]): row["map50"] for row in history if "map50" in row}
leads = [averaged[epoch] - themselves[epoch] for epoch in averaged]
print(
    f"mAP50 of the average is higher than that of the weights in {sum(lead > 0 for lead in leads)} of {len(leads)} epochs"
)
print(f"their difference is between {min(leads):+.2f} and {max(leads):+.2f}")
assert history[-1]["box"] < history[0]["box"]

# %% [markdown]
# Three things to see in the curves.
# - **The average is mostly ahead.** While the learning rate is high, the weights jump from epoch to epoch and the average does not; the last two lines above count. Single epochs can go the other way, and the size of the gap differs from run to run.
#   At the end both meet: a learning rate near zero calms the weights in its own way. This is why the average is evaluated and saved.
# - **The objectness loss rises in the middle.** That is no accident: from half of the epochs on the photos are larger, and the gain of this part grows with their area.
# - **The loss drops near the end** where the last three epochs go without mosaics: plain photos are easier. A curve has to be read together with its recipe.
#
# What does a network learn first, where a card is or which one it is? Count the boxes above a confidence of 0.25 in the three photos that were watched.

# %%
print(f"{sum(len(sample.labels) for sample in watched)} cards   boxes  right place  and right name")
for epoch, found in list(frames.items())[1::2]:
    kept = [widgets.above(f, 0.25) for f in found]
    pairs = list(zip(kept, watched, strict=True))
    half = torch.tensor([0.5])  # IoU
    named = sum(int(match(f, sample.boxes, sample.labels, half).sum()) for f, sample in pairs)
    placed = sum(  # all cards taken for one class
        int(match(f._replace(labels=f.labels * 0), sample.boxes, sample.labels * 0, half).sum()) for f, sample in pairs
    )
    print(f"epoch {epoch:>3} {sum(len(f.scores) for f in kept):>6} {placed:>12} {named:>15}")

# %% [markdown]
# Places are a little ahead of names. (Ten cards are few; take it as a hint.) A box in the right place that carries a second, wrong name counts among the boxes too: suppression works class by class (lesson 09).
# Now see them: move the slider from left to right.

# %%
explorer = widgets.training_replay(watched, frames, history, cards.names)

# %% [markdown]
# Lower the confidence at an early epoch: the network already has opinions, only none that it is sure of.
#
# ## 9 What a run leaves behind

# %%
for path in sorted(run.folder.iterdir()):
    print(f"{path.name:<20} {path.stat().st_size / 1000:8.1f} kB")
chosen = json.loads(run.config.read_text())["options"]
print("computed in", chosen["precision"], "with memory format", chosen["memory_format"])

# %% [markdown]
# | file | what it is |
# |---|---|
# | `report.html` | everything on one page, complete in itself: mail it, keep it |
# | `best.safetensors` | the averaged weights of the best epoch (best: 0.1 · mAP50 + 0.9 · mAP50-95); this is the product |
# | `last.pt` | all that continuing needs: weights, average, momentum buffers, counters |
# | `config.json` | recipe, options, data, model, command |
# | `results.csv` | a row an epoch; `results.png` draws it |
# | `metrics.json`, `pr_curve.png`, `f1_curve.png`, `confusion.png`, `detections.jpg` | how good the best weights are (lesson 09) |
# | `labels.png`, `train_batch0.jpg` … | what it was trained on: look here first |
#
# `last.pt` is larger than `best.safetensors` because AdamW keeps two more numbers for each weight, and the average is a second network.
#
# ### Stopped and resumed
# A run that is killed can go on: `yolo-edu train --resume FOLDER`. Order, augmentation and schedule all follow from (seed, epoch, batch), so the resumed run should end in *the same bits*. Try: one run of four epochs, and one whose power fails in the third.

# %%
yard = tempfile.TemporaryDirectory()
spec = read_spec(garden.write(Path(yard.name) / "garden", 24, size=96))  # drawn pictures, lesson 12
tiny = replace(RECIPES["short"], epochs=4, batch=4, image_size=64, growth=(), plain_epochs=0)
exact = Options(evaluate_every=2, precision="float32", memory_format="channels_last")


def start(name, callbacks=()):
    torch.manual_seed(0)
    own = Run(Path(yard.name) / name)
    own.folder.mkdir()
    train(spec, YOLOv5v6("n", spec.names), tiny, own, exact, callbacks=callbacks, progress=False)


def power_fails(training):
    if training.epoch == 3:
        raise OSError("no power")


start("whole")
try:
    start("broken", [power_fails])
except OSError as error:
    print("the second run stops:", error)

# %%
whole, broken = (Run(Path(yard.name) / name) for name in ("whole", "broken"))
print("saved last after epoch", load_state(broken.state)["epoch"])
resume(broken, progress=False)
ours, theirs = (load_state(r.state) for r in (whole, broken))
for part in ("model", "ema"):
    assert all(torch.equal(x, theirs[part][name]) for name, x in ours[part].items())
print(f"after epoch {theirs['epoch']}: every tensor of weights and average is equal, bit for bit")
yard.cleanup()

# %% [markdown]
# The harder version is a benchmark: 20 runs, killed 47 times in all at random moments (while reading, training, measuring, writing half a file), and all 20 ended in the bits of the uninterrupted run (`benchmarks/results/kill_and_resume.json`).
# On a CPU this holds as it is; on a GPU add `--deterministic`.
#
# - `--patience 20` ends a run when 20 epochs have brought no better weights. Beware: the schedule goes on, and a metric that stands still at a high learning rate may rise again when the rate has become small. With a short schedule, rather let it run out.
# - `--seed 1` changes weights, order and augmentation. **One run is an anecdote.** In the measurement of section 5 the reference recipe needed 256, 118 and 227 seconds to the same mAP50, with nothing changed but the seed. Before you believe that a change helped, repeat both sides with three seeds.
#
# ## 10 Reading curves
# **The learning rate.** One batch, learned by heart with SGD at four rates: cheap, and enough to find the order of magnitude.

# %%
eight = collate([photos[i] for i in range(8)], 96)
sgd = replace(RECIPES["reference"], batch=8, nominal_batch=8, box_gain=2.0, objectness_gain=2.0, class_gain=4.0)
tried = {}
for lr in (0.0001, 0.01, 0.1, 10.0):
    tried[f"learning rate {lr:g}"], _ = doctor.overfit(
        fresh, eight, replace(sgd, lr=lr, image_size=96), device=cpu, steps=10 if SMOKE else 40
    )
figures.show(
    figures.rate_curves(tried),
    alt="Four loss curves over the steps: 0.0001 crawls, 0.01 falls furthest, 0.1 falls fast and then flattens, 10 leaps up and stays high",
    dpi=80,
)
ends = {name: sum(values[-5:]) / 5 for name, values in tried.items()}
wild = replace(sgd, lr=10.0, image_size=96, clip_norm=math.inf)
unclipped, _ = doctor.overfit(fresh, eight, wild, device=cpu, steps=10 if SMOKE else 40)
print(f"highest loss at rate 10: {max(tried['learning rate 10']):.1f}; without clipping {max(unclipped):.1f}")
for name, value in ends.items():
    print(f"{name:<21} mean of the last five losses {value:.2f}")
assert ends["learning rate 0.01"] < min(ends["learning rate 0.0001"], ends["learning rate 10"])

# %% [markdown]
# Too low (0.0001): the curve falls evenly and slowly. Too high (0.1): it falls fastest *at first*, and after 40 steps the better one is ahead. Far too high: it leaps, out of the picture at first. It does not leave for infinity even so, because BatchNorm cancels the size of the weights (section 4). **Gradient clipping** helps too: if the
# norm of all gradients together is above 10, they are scaled down to 10. The line above compares the leap with and without it. Clipping limits the damage of a step; it does not make its direction right.
# If the loss does become "not a number", `yolo-edu train` stops and says so; the saved files stay good.
#
# **Overfitting.** Sixteen photos without augmentation, 40 epochs of two steps. To compare the same thing on both sides, the averaged weights are measured in evaluation mode on all photos, the 16 and those of the validation split.
# One care is needed: after so few steps BatchNorm's *running* statistics lag behind the weights, so they are taken anew from the 16 photos first.

# %%
few = replace(cards, splits={"train": cards.images("train")[:16]})
plain = AugmentSettings(mosaic=0, hue=0, saturation=0, value=0, scale=0, translate=0, flip=0)
by_heart = replace(small, image_size=96, epochs=12 if SMOKE else 40, augment=plain)
torch.manual_seed(0)
learner = Training.start(YOLOv5v6("n", cards.names), by_heart)
seen = DetectionData(few, "train", image_size=96)
same, own = Batches(seen, by_heart, 0, cpu), collate(list(seen), 96)
others = collate(list(DetectionData(cards, "val", image_size=96)), 96)
weighed = loss_settings(learner.model, by_heart, 96)
criterion = partial(detection_loss, anchors=learner.model.detect.anchors, settings=weighed)
on_train, on_val = {}, {}
for epoch in range(1, by_heart.epochs + 1):
    learner.end_epoch(fit_epoch(learner, same.epoch(epoch - 1), len(same), criterion, by_heart, device=cpu))
    if epoch % 4 == 0:
        fresh_statistics = figures.settled(learner.ema.model, own.images)
        on_train[epoch], on_val[epoch] = figures.losses_on(fresh_statistics, (own, others), criterion)
figures.show(
    figures.fit_curves(on_train, on_val),
    alt="The loss on the 16 training photos falls towards zero; the loss on the validation photos first falls a little, then rises a little",
    dpi=80,
)
for epoch in sorted(on_val)[1::2]:
    print(
        f"epoch {epoch:>2}: loss on the 16 photos {on_train[epoch]:.3f}, on the validation photos {on_val[epoch]:.3f}"
    )
lagging = figures.losses_on(learner.ema.model, (own, others), criterion)
print(f"last epoch with the lagging statistics: {lagging[0]:.3f} and {lagging[1]:.3f}")
gap = {epoch: on_val[epoch] - on_train[epoch] for epoch in on_val}
assert gap[by_heart.epochs] > gap[4]

# %% [markdown]
# The loss on the 16 photos goes on falling. On other photos it soon stops falling and is worse at the end than at its lowest: what the network goes on learning is about *these* photos. More photos, augmentation (lesson 12) or fewer epochs make the gap smaller. `best.safetensors` is chosen by the metric on the validation photos, so it is the epoch where that metric was best, however long the run goes on.
# The training loss that a run displays is not quite comparable with a validation loss: it is measured while the weights move, with each batch's own BatchNorm statistics, and on augmented photos.
#
# **Batch size and accumulation.** Is a batch of 8 the same as two batches of 4 whose gradients are added? The cosine between the two gradients says it: 1 is the same direction, 0 is unrelated.


# %%
def gradient(network, parts, training):
    """The gradient of all parameters, added up over batches of these photos."""
    network.zero_grad()
    network.train(training)
    for part in parts:
        batch = collate([photos[i] for i in part], 128)
        detection_loss(network(batch.images), batch.targets, network.detect.anchors, settings).total.backward()
    return torch.cat([p.grad.flatten() for p in network.parameters()])


one, two = [range(8)], [range(4), range(4, 8)]
cosines = {}
for name, training in (("BatchNorm with its running statistics", False), ("BatchNorm with each batch's own", True)):
    pair = [gradient(trained, parts, training) for parts in (one, two)]
    cosines[training] = torch.cosine_similarity(*pair, dim=0).item()
    print(f"{name:<38} cosine {cosines[training]:.3f}")
assert cosines[False] > 0.95 > cosines[True]

# %% [markdown]
# The loss itself adds up almost exactly. (It is multiplied by the number of images for this purpose; what is left is that box and class loss are means over *all* entries of a batch.) BatchNorm does not: in training it standardizes with the statistics of the 4 photos it
# sees, however many batches are added up. So accumulation replaces memory, not batch statistics.

# %%
scratch.cleanup()  # the run folder of section 8; your own runs lie in runs/train

# %% [markdown]
# ## Quiz

# %%
quiz.ask(
    "You call loss.backward() and optimizer.step() in each iteration and forget optimizer.zero_grad(). What happens?",
    [
        "An error: the graph was freed",
        "Nothing: backward overwrites the gradients",
        "Each step uses the sum of all gradients since the start",
    ],
    answer=2,
    why="backward adds to .grad. On purpose that is accumulation; by accident it is momentum 1 without end.",
)

# %%
quiz.ask(
    "Why is BatchNorm's γ not decayed?",
    [
        "It scales the layer's output: pulled to 0 it turns the layer down, which makes nothing simpler",
        "BatchNorm cancels its size, so decay would have no effect on it",
        "It is one number a channel, too few to overfit",
    ],
    answer=0,
    why="γ's resting place is not 0. For the convolution before it the size does not matter at all, so there decay only sets the length of a step.",
)

# %%
quiz.ask(
    "Your loss falls well, but the doctor of your own code says that the worst IoU of the round trip is 0. Do you go on training?",
    [
        "Yes, the loss decides",
        "No: the network is learning to satisfy targets that decode to other boxes",
        "Yes, with a lower learning rate",
    ],
    answer=1,
    why="A loss measures agreement with the targets. If the targets are wrong, a falling loss means that the wrong thing is learned well.",
)

# %%
quiz.ask(
    "mAP after epoch 10: weights themselves 0.2, averaged weights 0.4. What does that tell?",
    [
        "The weights rattle; the average is what will be saved, so 0.4 counts",
        "The average has seen the validation photos",
        "The learning rate must be raised",
    ],
    answer=0,
    why="The average is made of the same weights and sees no photo. It follows jumps of the weights only slowly; at the end of the schedule the two meet.",
)

# %%
quiz.ask(
    "You want to repeat an experiment with a loss that is ten times as large. Which learning rate does SGD need, which AdamW? (No weight decay, no clipping.)",
    [
        "Both the same as before",
        "SGD a tenth of the old one, AdamW the same",
        "Both a tenth of the old one",
    ],
    answer=1,
    why="SGD's step is proportional to the gradient. Adam divides by the gradient's own size. (With SGD, a weight decay and a clipping norm would have to be multiplied by ten.)",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | SGD with Nesterov momentum, Adam and AdamW from their formulas equal PyTorch's | exercise 13.1; assertions in section 2 |
# | plain steps survive up to 2 / curvature | assertion in section 2 |
# | Nesterov runs away earlier than classical momentum in a valley | `tests/test_lesson_training.py::test_what_there_is_to_find_in_the_valley` |
# | the average follows its formula, the ramp included | exercise 13.2; assertion in section 3; `tests/test_optim.py::test_ema_decay_check_vectors` |
# | three groups, one decayed; decay follows the images of a step | exercise 13.3; assertions in section 4; `tests/test_optim.py::test_every_parameter_is_in_one_group` |
# | a convolution's size does not matter before BatchNorm | assertion in section 4 |
# | the schedule from scratch equals `rates` | assertion in section 5; `tests/test_recipe.py::test_warm_up` |
# | small gradients vanish in float16, and scaling keeps them | assertions in section 6 |
# | a swapped assignment is found by the round trip; consistently wrong labels by no check | assertions in section 7; `tests/test_doctor.py::test_a_fault_in_the_assignment_breaks_the_round_trip` |
# | a stopped run ends in the same bits | assertion in section 9; `tests/test_train.py::test_a_killed_run_ends_in_the_same_weights` |
# | seconds to an mAP50, killed runs | `tests/test_lesson_training.py::test_measured_numbers_in_the_prose` |
# | figures and widgets say what the modules say | `tests/test_lesson_training.py` |
#
# **References** Polyak, Juditsky 1992 (averaging), SIAM J. Control and Optimization 30(4) · Sutskever, Martens, Dahl, Hinton 2013, ICML (momentum) · Kingma, Ba 2014, arXiv:1412.6980 (Adam) ·
# Loshchilov, Hutter 2016, arXiv:1608.03983 (cosine) · Goyal et al. 2017, arXiv:1706.02677 (warm-up) · Micikevicius et al. 2017, arXiv:1710.03740 (mixed precision) ·
# Loshchilov, Hutter 2017, arXiv:1711.05101 (AdamW)
#
# ← [12 Data and augmentation](12_data_and_freebies.ipynb) · **13 The training loop** · [14 The bug clinic](14_bug_clinic.ipynb) →
