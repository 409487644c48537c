# %% [markdown]
# # 06 · FPN and PAN, the neck: meaning to fine grids, place to coarse grids
#
# **60 minutes · difficulty ●●●○○ · importance ●●●●○**
#
# After this lesson you can
# - say why a detector predicts on three grids, and what each of their maps knows,
# - build FPN and PAN from single convolutions, and YOLOv5's neck from the rows of its table,
# - tell adding from concatenating, and what each costs,
# - count convolutions along any way through a network, and judge the claim "100+ layers against about 10",
# - find out which wires of a trained neck carry something.
#
# You need [lesson 01](01_convolution_block.ipynb) (Conv, receptive field) and [lesson 04](04_csp_darknet.ipynb) (the backbone and its maps P3, P4, P5);
# [lesson 03](03_csp.ipynb) explains the CSP blocks that stand in the neck.

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
import torch.nn.functional as F
from torch import nn
from torch.autograd.graph import get_gradient_edge
from torchvision.models import resnet50, resnet101
from torchvision.ops import batched_nms

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.boxes import cxcywh_to_xyxy, pairwise_iou
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.course import checks, figures, quiz, widgets
from yolo_edu.data import DetectionData, Sample, collate, read_spec
from yolo_edu.evaluate import measure
from yolo_edu.model import YOLOv5
from yolo_edu.model.blocks import BottleneckCSP
from yolo_edu.model.pyramid import FPN, PAN, AdaptiveFeaturePooling
from yolo_edu.nms import Detections, nms
from yolo_edu.summary import layer_rows

# %%
figures.show(
    figures.network_map("neck"),
    alt="The map of YOLOv5 with the neck lit: rows 10 to 17 lead from the coarse grid to the fine one, rows 19 to 25 back",
)

# %% [markdown]
# The **neck** stands between the backbone, which has looked at the image, and the head, which predicts. It takes in three maps and hands on
# three maps of the same sizes. In between, each of them has heard from the others.
#
# Two words are easily confused, so fix them now. Think of the maps as a pyramid: the large, fine map at its base, the small, coarse one at its tip.
# - **Bottom-up** is from fine to coarse. The backbone works this way: from the image to P5.
# - **Top-down** is from coarse to fine.
#
# The words do not depend on how a page is drawn. On the map above the image is on top, so the pyramid hangs upside down and the top-down path runs
# *up* the page, from row 10 to row 17. The papers, and all other figures of this lesson except the path tracer of section 7, draw the coarse map on top.
# *The article* below is the short text on YOLOv5 that this course grew from.
#
# ## 1 One grid is not enough
# A cell of P5 spans 32 × 32 pixels, one of P3 only 8 × 8. How large are the objects? Two data sets, both fitted into 256 pixels.

# %%
data = {
    name: DetectionData(read_spec(sample_data(file)), "val", image_size=256)
    for name, file in (("cards", "train_5classes.yaml"), ("aquarium", "aquarium5.yaml"))
}
sizes = {name: d.box_sizes().prod(dim=1).sqrt() for name, d in data.items()}  # (N,) √(width × height), pixels
for name, side in sizes.items():
    low, middle, high = side.quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
    print(
        f"{name:<9} {len(side):>4} objects. Below {low:5.1f} px: 5 of 100; below {middle:5.1f}: half; below {high:5.1f}: 95"
    )

# %%
figures.show(
    figures.size_shares(sizes),
    alt="Share of objects below a size, one curve a data set, lines at strides 8, 16 and 32: the cards are all wider "
    "than 32 pixels, most animals of the aquarium are smaller",
)

# %% [markdown]
# **Predict, then run:** which share of the aquarium's animals is smaller than a single cell of P5? Read it off the figure, in percent.

# %%
quiz.predict(
    "percent of the aquarium's animals that are smaller than 32 pixels",
    answer=round(100 * (sizes["aquarium"] < 32).float().mean().item()),
    why="One cell of P5 has to answer for several animals. How often? The next cell counts.",
)

# %%
animals = collate(list(data["aquarium"]), 256).targets  # (N, 6): photo, class, center x and y, width, height; of 1
where = torch.cat([animals[:, :1], (animals[:, 2:4] * 8).floor()], dim=1)  # (N, 3): photo and its cell of P5's 8 × 8
_, which, together = where.unique(dim=0, return_inverse=True, return_counts=True)
small = (animals[:, 4:] * 256).prod(dim=1).sqrt() < 32  # (N,)
crowded = (together[which] > 1)[small].float().mean().item()
print(f"{100 * crowded:.0f} of 100 small animals share their cell of P5 with another one")
assert (sizes["cards"] > 32).all()  # for the cards alone, a coarse grid would do

# %% [markdown]
# So why not predict on the fine grid alone? Because of what its cells have seen. The backbone's P3 has passed few layers; each of its units reads a
# small window of the image (its *receptive field*, lesson 01). Here are the windows in the detector that you met in lesson 00, the shipped one
# (release 7.0 of November 2022, size n, at 256 pixels). Its rows end at 23; the map above shows the June 2020 release, where N4 and N5 are rows 21 and 25.
# Section 6 has both.

# %%
model = load_checkpoint(shipped_weights("cards_n")).eval()
named = figures.level_rows(figures.map_rows(model, 256))  # P3 … N5 → row
table = layer_rows(model, 256)
for name in ("P3", "P4", "P5", "N3", "N4", "N5"):
    row = named[name]
    out = table[row].outputs[0]
    field = f"each reads {out.receptive_field:>3} pixels of the image"
    print(f"{name}: row {row:>2}, a cell every {out.stride:>2g} pixels, {field}")
assert table[named["P3"]].outputs[0].receptive_field < sizes["cards"].median()  # P3 does not see a whole card

# %% [markdown]
# P3 knows exactly *where* something is, but sees only a window of 58 × 58, smaller than a typical card. P5 sees far more than the whole image, but in steps
# of 32 pixels. N3, which leaves the neck, has both: steps of 8 pixels and a window of 714. That is the whole idea of a neck.
#
# ## 2 What the three maps know
# The shipped backbone on a photo. Each map has many channels; which one to show? Take the one that follows the cards best *in the other 47 photos*:
# correlate each channel with the share of its cell that cards cover.

# %%
cards = list(data["cards"])
batch = collate(cards, 256)  # images (48, 3, 256, 256)
with torch.no_grad():
    maps = model.backbone(batch.images)  # P3 (48, 64, 32, 32), P4 (48, 128, 16, 16), P5 (48, 256, 8, 8)
truth = []  # the photos' boxes in pixels of the square that the network sees
for i, sample in enumerate(cards):
    own = batch.targets[batch.targets[:, 0] == i]
    truth.append(Sample(sample.image, cxcywh_to_xyxy(own[:, 2:]) * 256, own[:, 1].long()))
covered = torch.zeros(len(cards), 1, 256, 256)
for image, sample in zip(covered, truth, strict=True):
    for x1, y1, x2, y2 in sample.boxes.round().int().tolist():
        image[0, y1:y2, x1:x2] = 1.0

# %%
shown = 28
others = [i for i in range(len(cards)) if i != shown]


def correlation(x):
    """Of every channel of x (B, C, h, w) with the cards' share of a cell: (C,)."""
    share = F.adaptive_avg_pool2d(covered, x.shape[-1])[others]  # (47, 1, h, w)
    a, b = x[others] - x[others].mean((0, 2, 3), keepdim=True), share - share.mean()
    return (a * b).mean((0, 2, 3)) / (a.std((0, 2, 3), correction=0) * b.std(correction=0))


pictures, titles, best = [batch.images[shown]], ["the photo"], {}
for name, x in zip(("P3", "P4", "P5"), maps, strict=True):
    r = correlation(x)
    pictures.append(x[shown, r.argmax()])
    titles.append(f"{name}, r = {r.max():.2f}")
    # the same on the grid of P5 for all: 8 × 8 cells, each the mean or the maximum of the finer ones
    best[name] = [correlation(y).max() for y in (x, F.adaptive_avg_pool2d(x, 8), F.adaptive_max_pool2d(x, 8))]
figures.show(
    figures.map_grid(pictures, titles, side=2.3),
    alt="A photo of four cards on tiles, and one channel of P3, P4 and P5: strokes, then spots, then coarse patches on three of the cards",
    photos=True,
)

# %% [markdown]
# P3 draws strokes, the joints between the tiles among them. P5 draws coarse patches on three of the four cards, and next to nothing on the ace of clubs. The
# correlation r grows from level to level. But smooth things correlate better, and coarse maps are smooth. So compare all three on P5's grid:

# %%
print("r of the best channel      as it is    mean to 8 × 8    maximum to 8 × 8")
for name, (plain, mean, maximum) in best.items():
    print(f"{name:<26}{plain:>8.2f}{mean:>17.2f}{maximum:>20.2f}")
assert best["P5"][0] - best["P3"][1] < (best["P5"][0] - best["P3"][0]) / 2
assert best["P4"][2] > best["P5"][2]

# %% [markdown]
# More than half of the rise from P3 to P5 was only smoothness, and by its maxima P4 follows the cards better than P5.
#
# This is the common story: *fine maps know where, coarse maps know what*. Section 8 will put it to a test, with a surprise.
#
# ## 3 FPN: from the top down
# The feature pyramid network (Lin et al., 2016) adds a second path from coarse to fine. At every level
# - a **lateral** 1 × 1 convolution brings the backbone's map to a common number of channels,
# - the coarser result is enlarged 2 × (**nearest** neighbor: each cell is repeated) and **added**,
# - a 3 × 3 convolution smooths the sum for the head.
#
# Names differ between the papers and YOLOv5's tables:
#
# | | from the backbone | inside | leaves the neck |
# |---|---|---|---|
# | papers on FPN and PAN | C2 … C5 | P2 … P5 behind the top-down path | N2 … N5 behind the bottom-up path |
# | YOLOv5, and this course | P3, P4, P5 | L5, L4: coarse maps with half their channels, kept for the way back | N3, N4, N5 |
#
# The two figures of FPN and PAN use the papers' names.

# %%
figures.show(figures.fpn_pyramid(), alt=figures.FIGURES["08_fpn"][1])

# %% [markdown]
# One step in numbers: one channel, a lateral convolution that changes nothing, and a 3 × 3 convolution that takes the mean (beyond the border it reads zeros).

# %%
figures.show(figures.merge_by_numbers(), alt=figures.FIGURES["08b_fpn_step"][1])

# %% [markdown]
# Enlarging leaves blocks: inside a block neighbors are equal, from one block to the next they jump. That is the *upsampling artifact* which the 3 × 3
# convolution can soften. It need not be the mean; training decides. Note what goes where: the head gets the smoothed map, the next finer level gets
# the sum **before** smoothing.
#
# ### Exercise 6.1 · One step down the pyramid (10 minutes, ●●○○○)
# `lateral` and `smooth` are ready-made convolutions. Return two maps: the sum, and the smoothed sum. Mind images whose size is no multiple of 32:
# a map 13 cells high has a coarser map of 7, not 6½. Enlarge to the *size* of the finer map.


# %%
def top_down_step(x, coarse, lateral, smooth):
    """x (B, C_in, h, w) of the backbone, coarse (B, C, h', w') the coarser sum

    → the sum, the smoothed sum: both (B, C, h, w)
    """
    # YOUR CODE instead of the next line
    raise NotImplementedError


top_down_step = checks.top_down_step(top_down_step)

# %% [markdown]
# <details><summary>Hint 1</summary><code>F.interpolate(coarse, size=…)</code> enlarges; its default mode is nearest. <code>x.shape[-2:]</code> is height and width.</details>
# <details><summary>Hint 2</summary>The lateral convolution changes channels, not size. So x must pass it before the sum; the coarser sum has passed one already.</details>
# <details><summary>Hint 3</summary>Give the sum a name: you need it twice, once as it is and once for <code>smooth</code>.</details>
# <details><summary>Solution</summary>
#
# ```python
# def top_down_step(x, coarse, lateral, smooth):
#     total = lateral(x) + F.interpolate(coarse, size=x.shape[-2:], mode="nearest")
#     return total, smooth(total)
# ```
# </details>
#
# Three levels need two steps; the coarsest has nothing above it. The whole FPN from your step, on the photo's real maps, against `yolo_edu`'s:

# %%
torch.manual_seed(0)
fpn = FPN([x.shape[1] for x in maps], 32)  # untrained: only equality is at stake
p3, p4, p5 = (x[shown : shown + 1] for x in maps)  # (1, 64, 32, 32), (1, 128, 16, 16), (1, 256, 8, 8)
with torch.no_grad():
    sum5 = fpn.lateral[2](p5)  # (1, 32, 8, 8)
    sum4, out4 = top_down_step(p4, sum5, fpn.lateral[1], fpn.smooth[1])  # (1, 32, 16, 16)
    sum3, out3 = top_down_step(p3, sum4, fpn.lateral[0], fpn.smooth[0])  # (1, 32, 32, 32)
    mine, pyramid = [out3, out4, fpn.smooth[2](sum5)], fpn([p3, p4, p5])
assert all(torch.equal(a, b) for a, b in zip(mine, pyramid, strict=True))
print("FPN from three laterals, two steps and three smoothings: equal")
print("shapes", *(tuple(x.shape) for x in pyramid))

# %% [markdown]
# ## 4 Add, or put side by side
# The article explains YOLOv3 by FPN's step, which "upsamples (2×) the previous top-down stream and add it". That is right for FPN and wrong for YOLOv3:
# **FPN adds; YOLOv3, YOLOv4 and YOLOv5 concatenate**. The YOLOv3 paper says "merge it with our upsampled features using concatenation"; YOLOv5's table has
# rows called Concat. Nor does a single 3 × 3 convolution follow in YOLOv5: a whole CSP block does.
#
# A sum needs equal channels and keeps them. A concatenation takes any channels and adds their *numbers*. The next layer then pays for the wider map.

# %%
with torch.device("meta"):
    net = YOLOv5("s", 5)  # the network of June 2020 that the article describes, without numbers
rows = layer_rows(net, 640)
for join in (12, 16, 20, 24):
    newest, older = (rows[s].outputs[0].shape[1] for s in rows[join].sources)
    joined = rows[join].outputs[0].shape[1]
    print(f"row {join}: {newest} + {older} = {joined} channels, from rows {rows[join].sources}")
count = {c_in: sum(p.numel() for p in BottleneckCSP(c_in, 256, 1, False).parameters()) for c_in in (512, 256)}
assert count[512] == rows[13].parameters
print(f"row 13 behind the join: {count[512]:,} parameters; behind a sum it would have {count[256]:,}")
wide = [x for x in net.model[13].modules() if isinstance(x, nn.Conv2d) and x.in_channels == 512]
assert [x.kernel_size for x in wide] == [(1, 1)] * 2
assert sum(x.weight.numel() for x in wide) == 2 * (count[512] - count[256]) == 512 * 256

# %% [markdown]
# The join is read by two 1 × 1 convolutions of row 13, from 512 channels to 128 each. Half of their weights read the second map: that is the price.
#
# What does it buy? A 1 × 1 convolution behind a concatenation can do all that a sum can. Give it the weight [I I], two identity matrices side by
# side, and it *is* the sum. **Predict, then run:** how many weights has this convolution for two maps of 256 channels, without a bias?

# %%
quiz.predict(
    "weights of a 1 × 1 convolution from 2 · 256 channels to 256",
    answer=nn.Conv2d(512, 256, 1, bias=False).weight.numel(),
    why="2 · 256 · 256, as many as row 13's two together. Fixed at [I I], they would add; free, they can learn better.",
)

# %%
with torch.no_grad():
    enlarged, side = F.interpolate(sum5, scale_factor=2.0), fpn.lateral[1](p4)  # (1, 32, 16, 16) each
    joined = torch.cat([enlarged, side], dim=1)  # (1, 64, 16, 16)
    identity = torch.eye(32)[:, :, None, None]  # (32, 32, 1, 1)
    assert torch.equal(F.conv2d(joined, torch.cat([identity, identity], dim=1)), enlarged + side)
    # FPN's whole merge, lateral convolution and sum, is one convolution of the concatenation too: [I W]
    merge = torch.cat([identity, fpn.lateral[1].weight], dim=1)  # (32, 32 + 128, 1, 1)
    once = F.conv2d(torch.cat([enlarged, p4], dim=1), merge, fpn.lateral[1].bias)
    torch.testing.assert_close(once, sum4)
print("a concatenation and a 1 × 1 convolution contain FPN's lateral and its sum as a special case")

# %% [markdown]
# So YOLOv5 has no lateral convolution on the fine side: P4 and P3 enter their joins as they are, and the block behind learns its own [W₁ W₂].
# (BottleneckCSP and C3 both begin with 1 × 1 convolutions.)
#
# ## 5 PAN: and up again
# In an FPN, N5 would be P5 (in the papers' names): the coarse level learns nothing from the way down. The path aggregation network (Liu et al., 2018) adds a third path, bottom-up
# again: shrink the finest map with a 3 × 3 convolution of stride 2, join it to the next coarser one, convolve 3 × 3, and so on. From scratch:


# %%
def bottom_up(maps, down, fuse, concat):
    """P3, P4, P5 of an FPN, finest first → N3, N4, N5, the same shapes."""
    out = [maps[0]]  # the finest map is handed on as it is
    for shrink, convolve, coarser in zip(down, fuse, maps[1:], strict=True):
        x = shrink(out[-1]).relu()  # half the height and width
        x = torch.cat([x, coarser], dim=1) if concat else x + coarser
        out.append(convolve(x).relu())
    return out


for concat in (False, True):  # the paper adds; YOLOv4 and YOLOv5 concatenate
    pan = PAN(32, levels=3, concat=concat)
    with torch.no_grad():
        mine, theirs = bottom_up(pyramid, pan.down, pan.fuse, concat), pan(pyramid)
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    parameters = sum(p.numel() for p in pan.parameters())
    print(f"PAN, {'concatenating' if concat else 'adding':<13} equal; {parameters:,} parameters")

# %% [markdown]
# ## 6 The neck of YOLOv5
# FPN and PAN with four changes: it concatenates; CSP blocks stand in the place of single 3 × 3 convolutions; only two 1 × 1 convolutions are
# left (rows 10 and 14), which halve the *channels* of the coarse map before it is enlarged, while P4 and P3 join without a lateral; and the levels keep different widths. What rows 10 and 14 return, **L5** and **L4**, is used twice: enlarged at once, and again on
# the way back. The figure is read off the live network of June 2020, size s, at 640 pixels.

# %%
figures.show(figures.neck_design(), alt=figures.FIGURES["12_neck"][1], dpi=86)

# %% [markdown]
# Walk the first half with the rows themselves. With the rows' modules in `m`, `m[12]([a, b])` is a concatenation; the **newest** map comes first, as everywhere in YOLOv5.

# %%
june = YOLOv5("s", 5).eval()  # untrained: only equality is at stake
m = june.model
with torch.no_grad():
    # (1, 128, 32, 32), (1, 256, 16, 16), (1, 512, 8, 8)
    q3, q4, q5 = june.backbone(batch.images[shown : shown + 1])
    l5 = m[10](q5)  # (1, 256, 8, 8)
    x = m[12]([m[11](l5), q4])  # (1, 256 + 256, 16, 16)
    l4 = m[14](m[13](x))  # (1, 128, 16, 16)
    x = m[16]([m[15](l4), q3])  # (1, 128 + 128, 32, 32)
    n3 = m[17](x)  # (1, 128, 32, 32)
    assert torch.equal(n3, june.neck(q3, q4, q5)[0])
print("N3 from rows 10 to 17:", tuple(n3.shape))

# %% [markdown]
# The shipped detector has the same neck with other blocks (release 7.0: C3), and its rows are numbered from 10 to 23, without the head's in between:

# %%
for line in table[10:24]:
    shape = line.outputs[0].shape
    sources = ", ".join(map(str, line.sources))
    print(f"{line.row:>2}  {line.block:<9} from {sources:<7} → {shape[1]:>3} × {shape[2]} × {shape[3]}")

# %% [markdown]
# ### Exercise 6.2 · Down and up again (12 minutes, ●●●○○)
# Write the whole neck of the shipped detector, from its rows 10 to 23. Its rows 4, 6 and 9 are P3, P4 and P5, which you are given. Return N3, N4, N5, the finest first.


# %%
def yolo_neck(rows, p3, p4, p5):
    """rows: the detector's modules, `model.model`; p3 (B, C, h, w), p4 (B, 2C, h/2, w/2), p5 (B, 4C, h/4, w/4)

    → n3, n4, n5, of the same shapes
    """
    # YOUR CODE instead of the next line
    raise NotImplementedError


yolo_neck = checks.yolo_neck(yolo_neck)

# %% [markdown]
# <details><summary>Hint 1</summary>Start as in the cell above. Keep <code>l5</code> and <code>l4</code>: you need them again.</details>
# <details><summary>Hint 2</summary>The way back begins at N3: row 18 shrinks it, row 19 joins it to the output of row 14.</details>
# <details><summary>Hint 3</summary>A Concat takes one list: <code>rows[19]([newest, older])</code>. The column "from" of the table has this order.</details>
# <details><summary>Solution</summary>
#
# ```python
# def yolo_neck(rows, p3, p4, p5):
#     l5 = rows[10](p5)
#     l4 = rows[14](rows[13](rows[12]([rows[11](l5), p4])))
#     n3 = rows[17](rows[16]([rows[15](l4), p3]))
#     n4 = rows[20](rows[19]([rows[18](n3), l4]))
#     n5 = rows[23](rows[22]([rows[21](n4), l5]))
#     return n3, n4, n5
# ```
# </details>
#
# On the real maps, and once more without thinking: the column "from" alone is enough to run any such network.

# %%
with torch.no_grad():
    neck = model.neck(*maps)  # N3 (48, 64, 32, 32), N4 (48, 128, 16, 16), N5 (48, 256, 8, 8)
    outputs = dict(zip((4, 6, 9), maps, strict=True))
    for line in table[10:24]:
        inputs = [outputs[source] for source in line.sources]
        outputs[line.row] = model.model[line.row](inputs if line.block == "Concat" else inputs[0])
    for n, row, mine in zip(neck, (17, 20, 23), yolo_neck(model.model, *maps), strict=True):
        assert torch.equal(n, mine)
        assert torch.equal(n, outputs[row])
print("N3, N4, N5 of the shipped detector: your walk, the table's walk and model.neck agree bit for bit")

# %% [markdown]
# ### Exercise 6.3 · Channels behind the joins (5 minutes, ●●○○○)
# The June 2020 network in size m: every width of size l (C = 256, 512, 1024 at P3, P4, P5; L5 and N4 have 512, L4 and N3 have 256) times 0.75. How many channels leave the four concatenations?

# %%
mine = {"row 12": None, "row 16": None, "row 20": None, "row 24": None}
joined_channels = checks.joined_channels(mine)

# %% [markdown]
# <details><summary>Hint 1</summary>The figure of the neck shows who meets at each join. Take the two widths in size l first, then multiply.</details>
# <details><summary>Hint 2</summary>Row 19 keeps the 256 channels of N3, and row 20 joins them to L4, not to P4.</details>
# <details><summary>Solution</summary>
#
# ```python
# mine = {"row 12": 384 + 384, "row 16": 192 + 192, "row 20": 192 + 192, "row 24": 384 + 384}
# ```
# </details>
#
# ## 7 A hundred layers, or ten?
# The article says: without PAN, what a fine map knows must travel "100+ layers" to the top; PAN's short cut takes "about 10". Let us count. No drawing is needed: PyTorch keeps
# the graph of what was computed from what, for the backward pass, and every convolution leaves a node in it. Walk from a tensor back to another one,
# and note the fewest and the most convolutions on the way. (Only convolutions count here: BatchNorm, activations and pools would each be a layer to some.)


# %%
def ways(start, end):
    """Fewest and most convolutions between two tensors; None if `end` does not depend on `start`."""
    last = get_gradient_edge(end).node
    known, waiting = {get_gradient_edge(start).node: (0, 0)}, [last]
    while waiting:  # `waiting`: nodes to be answered, the last one first; `known`: the answers
        node = waiting[-1]
        before = [n for n, _ in node.next_functions if n is not None]
        if node not in known and any(n not in known for n in before):
            waiting += [n for n in before if n not in known]  # what it was computed from comes first
            continue
        waiting.pop()
        if node not in known:
            found = [known[n] for n in before if known[n]]
            own = node.name().startswith("Convolution")
            known[node] = (min(f for f, _ in found) + own, max(g for _, g in found) + own) if found else None
    return known[last]


p3_, p4_, p5_ = net.backbone(torch.empty(1, 3, 256, 256, device="meta"))  # no numbers: only the graph matters
n5_ = net.neck(p3_, p4_, p5_)[2]
assert ways(p3_, n5_) == figures.convolutions_between(p3_, n5_)
assert ways(n5_, p3_) is None
print("from P3 to N5 in YOLOv5 s: {} convolutions at least, {} at most".format(*ways(p3_, n5_)))

# %% [markdown]
# "At most" winds through the whole network. To compare the two ways of the article, close a door:
# - **long way**: the bottom-up steps (rows 19 and 23) closed. What is left is the backbone, then L5.
# - **short way**: the backbone behind P3 (row 5) closed. What is left is the join with the top-down path, then up.

# %%
print("             long way, P3 to N5    short way, P3 to N5    any way, P3 to N5    long way, image to N5")
for size in "nsmlx":
    with torch.device("meta"):
        graph = figures.row_graph(YOLOv5(size, 5))
    doors = [(4, graph.up_rows()), (4, [5]), (4, []), (-1, graph.up_rows())]  # start, closed rows
    found = [[graph.way(a, 25, most=most, closed=c).convolutions for most in (False, True)] for a, c in doors]
    print(
        f"YOLOv5 {size}" + "".join(f"{f'{a} to {b}':>{w}}" for (a, b), w in zip(found, (23, 23, 21, 25), strict=True))
    )
    if size == "s":
        assert found[:2] == [[11, 24], [8, 17]]
        assert tuple(found[2]) == ways(p3_, n5_)
    if size == "l":
        assert found[:2] == [[11, 44], [8, 29]]
    assert max(map(max, found)) < 100
assert found[3][1] == 95  # size x

# %% [markdown]
# In YOLOv5 s the long way has up to 24 convolutions, the short one up to 17; by the fewest, along the short branch of every CSP block, it is 11 against 8. A short cut, but by a
# third, not by a factor of ten. Size l has 44 against 29. Even winding through everything, no size has 100 between P3 and N5, and without PAN none has 100 from the image:
# size x stops at 95. So where do the "100+" come from?
#
# From the paper's own setting: a ResNet with an FPN on it, counted from C2 at stride 4. **Predict, then run:** behind C2, ResNet-101 has 4 + 23 + 3 blocks of three
# convolutions each; a lateral and a smoothing convolution follow. How many convolutions is that from C2 to P5?

# %%
counted = {}  # ResNet → C2 to P5, image to P5, C2 to N5, image to N5
for make in (resnet50, resnet101):
    with torch.device("meta"):
        image, *c = figures.trunk_maps(make())  # C2, C3, C4, C5
        feature_pyramid, aggregation = FPN([x.shape[1] for x in c], 256), PAN(256, levels=4)
    p5_ = feature_pyramid(c)[-1]
    n5_ = aggregation(feature_pyramid([c[0], *(x.detach() for x in c[1:])]))[-1]  # only C2's door is open
    counted[make.__name__] = ways(c[0], p5_), ways(image, p5_), ways(c[0], n5_), ways(image, n5_)

# %%
quiz.predict(
    "convolutions on the longest way from C2 to P5 in ResNet-101 with an FPN",
    answer=counted["resnet101"][0][1],
    why="(4 + 23 + 3) · 3 + 1 + 1.",
)

# %%
print("           long way: C2 to P5    image to P5    short way: C2 to N5    image to N5")
for name, found in counted.items():
    print(f"{name:<9}" + "".join(f"{f'{a} to {b}':>{w}}" for (a, b), w in zip(found, (20, 15, 23, 15), strict=True)))
assert counted["resnet101"][1][1] > 100 > counted["resnet50"][1][1]
assert counted["resnet101"][0] == (5, 92)
assert counted["resnet101"][2] == (8, 8)
assert counted["resnet101"][3][1] == 10 + 8

# %%
figures.show(figures.pan_ways(), alt=figures.FIGURES["11_pan"][1])

# %% [markdown]
# From C2 there are 92, close to a hundred, against 8. Past 100 the long way gets only when it starts at the image, with 102, and then the short way has 18. Neither pair is "100+ against
# about 10", but ResNet-101 is what the claim can mean; ResNet-50 and YOLOv5 it is not.
#
# Look at the first column again: the *fewest* are 5. ResNet's own shortcuts lead around every block. Most are identities and cost nothing; only the first block of each
# of the three later stages has a convolution in its shortcut. With the lateral and the smoothing that makes 5. So a way shorter than PAN's 8 was there before PAN; the
# hundred layers are the longest way. What PAN adds is a short way **that starts at the fine grid, where the top-down path has arrived**, and takes along what both know there.
#
# Trace ways yourself. Start from the image, end at N3; or close the way up the pyramid, and see what is left for N5. (Here the image is on top. Rows 18
# and 22 are missing because they belong to the head.)

# %%
explorer = widgets.path_tracer()

# %% [markdown]
# Counting shows what is possible. Gradients show what happens: take the surest prediction on the coarse grid of the shipped detector. How strongly does it
# answer to P3, through each of the three doors into the neck? Detach two doors, measure the third, on all photos.

# %%
p3 = maps[0].clone().requires_grad_()  # (48, 64, 32, 32)
p4 = model.model[6](model.model[5](p3))
p5 = model.model[9](model.model[8](model.model[7](p4)))


def surest(*doors):
    """The highest objectness (before the sigmoid: how sure a cell is of an object) on the coarse grid, summed over photos."""
    return model.head(*model.neck(*doors))[2][..., 4].amax((1, 2, 3)).sum()


(full,) = torch.autograd.grad(surest(p3, p4, p5), p3, retain_graph=True)
parts = []
for open_door in range(3):
    doors = [x if i == open_door else x.detach() for i, x in enumerate((p3, p4, p5))]
    parts += torch.autograd.grad(surest(*doors), p3, retain_graph=True)
torch.testing.assert_close(sum(parts), full, rtol=1e-4, atol=1e-5)  # the chain rule: ways add up
strength = torch.stack([part.flatten(1).norm(dim=1) for part in parts])  # (3, 48)
print("size of the gradient                   median    largest in    smallest in")
names = ("P3, enters at row 16", "P4, one step on, at row 12", "P5, enters at row 10")
for i, (name, values) in enumerate(zip(names, strength, strict=True)):
    most, least = (int((chosen == i).sum()) for chosen in (strength.argmax(0), strength.argmin(0)))
    print(f"through {name:<28}{values.median():>9.3f}{most:>7} photos{least:>8} photos")
assert (strength.argmin(0) == 2).all()

# %% [markdown]
# Least comes through the backbone's P5, in every photo. The doors of P3 and P4 share the rest, and from both of them N5 can be reached only over N3 or L4 and the way
# up (rows 18 to 23). Which leads to a question.
#
# ## 8 Which wires carry the load?
# Four joins, two wires each. Cut one at a time: replace what it says by its average over all photos and cells, so that it says nothing about this photo any more. Then
# measure AP50 (average precision, lesson 09; 1 is perfect) of the predictions on the grid right behind the join. Row 12 feeds all three grids, so there all count. To keep
# them apart from the backbone's maps, predictions are named by their stride: **grid 8, 16, 32**. The rows are those of release 7.0.


# %%
def cut(row, place):
    """From now on, input `place` of the join says the same everywhere; the handle's remove() mends it."""

    def silence(_, inputs):
        average = inputs[0][place].mean((0, 2, 3), keepdim=True).expand_as(inputs[0][place])
        return ([average if i == place else x for i, x in enumerate(inputs[0])],)

    return model.model[row].register_forward_pre_hook(silence)


@torch.no_grad()
def ap50(levels=(0, 1, 2)):
    raw = model.head(*model.neck(*maps))
    parts = model.decode(raw).split([x[0, ..., 0].numel() for x in raw], dim=1)
    found = nms(torch.cat([parts[i] for i in levels], dim=1), confidence=0.001, iou=0.6, multi_label=True)
    return measure(truth, found, model.names).map50


# %%
everything = (0, 1, 2)
joins = [  # row, the levels made behind it, its two wires
    (12, everything, ("L5, enlarged", "P4 of the backbone")),
    (16, (0,), ("L4, enlarged", "P3 of the backbone")),
    (19, (1,), ("N3, shrunk", "L4")),
    (22, (2,), ("N4, shrunk", "L5")),
]
intact, result = {levels: ap50(levels) for _, levels, _ in joins}, {}
for row, levels, wires in joins:
    measured = "all grids" if len(levels) == 3 else f"grid {8 << levels[0]}"
    print(f"row {row}, AP50 of {measured:<10}{'nothing cut':<29}{intact[levels]:.3f}")
    for place, wire in enumerate(wires):
        handle = cut(row, place)
        result[row, place] = ap50(levels)
        handle.remove()
        print(f"{'':<26}without {wire:<21}{result[row, place]:.3f}")

# %% [markdown]
# Read the last two lines. Without what comes up from N4, grid 32 finds nothing at all; without L5, it loses nothing. In this detector *everything* that the coarse
# grid predicts has come over the bottom-up path. By the common story, "coarse maps know what", it should be the other way round.
#
# Compare the lines "nothing cut" too: grid 16 alone is as good as all three together. For these cards one grid *is* enough; it is the aquarium that needs three.
#
# One more cut: L5 at both places where it is used. That takes rows 7 to 10 out of the game, the deepest part of the backbone.

# %%
handles = [cut(12, 0), cut(22, 1)]
without = ap50()
for handle in handles:
    handle.remove()
whole, deep = (sum(p.numel() for p in part.parameters()) for part in (model, model.model[7:11]))
print(f"without L5 anywhere: {without:.3f} instead of {intact[everything]:.3f}")
print(f"rows 7 to 10 hold {100 * deep / whole:.0f} of 100 parameters")
assert result[22, 0] < 0.05 < 0.9 < result[22, 1]
assert intact[(1,)] >= intact[everything]
assert abs(without - intact[everything]) < 0.02
assert 0.4 < deep / whole < 0.5

# %% [markdown]
# Nearly half of the parameters do next to nothing here. Plausible reasons, which this lesson does not test: the name of a card hangs on a small sign in its corner, which
# only fine maps resolve; a card's side is about 65 pixels, and P4 already reads 170; and 217 training photos teach a deep stage little. So do not generalize. A network trained on
# a hundred thousand photos with objects of all sizes may well live on its P5. What you take home is the method: slogans about what a level "knows" can be tested, one wire at a time.
#
# ## 9 One object, three grids
# The article ends its neck with two sentences. First: "In FPN, objects are detected separately and independently at different scale levels. This may produce duplicated
# predictions". True, and true of YOLOv5 as well: maps are mixed in the neck, but each level still predicts on its own. Search the validation photos for one object
# that two grids report.

# %%
with torch.no_grad():
    raw = model.head(*model.neck(*maps))  # P3, P4, P5: (48, A, h, w, 5 + K)
    decoded = model.decode(raw)  # (48, N, 5 + K)
level = torch.cat([torch.full((x[0, ..., 0].numel(),), i + 3) for i, x in enumerate(raw)])  # (N,)


def before_nms(i, confidence=0.25):
    """Every box of photo i above the threshold, best first, and the level that it comes from."""
    scores, labels = (decoded[i, :, 4:5] * decoded[i, :, 5:]).max(dim=1)
    order = scores.argsort(descending=True)[: int((scores > confidence).sum())]
    return Detections(cxcywh_to_xyxy(decoded[i, order, :4]), scores[order], labels[order]), level[order]


twice, thrice = [], []
for i in range(len(cards)):
    found, levels = before_nms(i)
    same = (pairwise_iou(found.boxes, found.boxes) > 0.45) & (found.labels[:, None] == found.labels)
    seen = [set(levels[row].tolist()) for row in same]  # the grids that report each box's object
    twice += [i] if any(len(s) > 1 for s in seen) else []
    thrice += [i] if any(len(s) == 3 for s in seen) else []
print(f"an object on two grids: {len(twice)} of {len(cards)} photos; on all three: {len(thrice)}")
assert len(twice) > len(cards) / 2

# %% [markdown]
# Duplicates are the rule. What removes them is not the neck, it is **non-maximum suppression** (NMS, lesson 09), which does not ask for levels: boxes of one class that overlap too much
# with a surer one go, wherever they come from.

# %%
one = next(i for i in thrice if len(cards[i].labels) == 1)  # a photo of a single card
found, levels = before_nms(one)
kept = batched_nms(found.boxes, found.scores, found.labels, 0.45)
assert torch.equal(found.boxes[kept], nms(decoded[one : one + 1])[0].boxes)  # what yolo_edu's own does
picture = (255 * batch.images[one]).round().to(torch.uint8)
explorer = widgets.level_explorer(picture, found, levels, kept, model.names)

# %% [markdown]
# Second: "PAN fuses the information together from all layers first using element-wise max operation". That is **adaptive feature pooling**, and it belongs to another kind of
# detector. PAN was made for Mask R-CNN (He et al., 2017): one stage proposes boxes, regions of interest or *RoIs*, and a second stage cuts each of them out of a feature map and looks again.
# FPN takes the cut from *one* level, chosen by the size of the box. PAN asks every level and keeps the strongest answer, element by element. Here the true box of the card
# above is cut out of three maps, as a grid of 7 × 7, whatever its shape. The maps are the objectness of the three grids, because that is easy to read. (In the paper each grid first
# passes a fully connected layer.)

# %%
objectness = [x[one : one + 1, ..., 4].sigmoid().amax(dim=1, keepdim=True) for x in raw]  # (1, 1, h, w) each
box = [truth[one].boxes]
single = [AdaptiveFeaturePooling(7, [s])([x], box) for s, x in zip(model.strides, objectness, strict=True)]
pooled = AdaptiveFeaturePooling(7)(objectness, box)  # (1, 1, 7, 7)
assert torch.equal(pooled, torch.stack(single).amax(dim=0))
figures.show(
    figures.map_grid(
        [x[0, 0] for x in (*single, pooled)],
        ["from grid 8", "from grid 16", "from grid 32", "element-wise max"],
        limits=(0, 1),
        side=2.3,
        numbers=".1f",
    ),
    alt="Four grids of 7 × 7 cells: the objectness inside the card's box on grids 8, 16 and 32, and the maximum of the three",
    photos=True,
)

# %% [markdown]
# Grid 8 is sure only in the middle of the card, grid 32 over most of it. The maximum keeps the surest answer everywhere: here nearly all of it from grid 32.
#
# YOLOv5 does none of this: it has no proposals, no RoIs and no second look. From PAN it has taken the bottom-up path alone.
#
# ## Quiz

# %%
quiz.ask(
    "In a feature pyramid, which way does the top-down path run?",
    ["From the image to the deepest map", "From the coarse map to the fine one", "From the head back to the backbone"],
    answer=1,
    why="The top of the pyramid is its small, coarse map. On the network map this path runs up the page, because the image is drawn on top there.",
)

# %%
quiz.ask(
    "You replace YOLOv5's Concat rows by sums. What happens?",
    [
        "Nothing: a concatenation is a sum over channels",
        "The maps shrink to half their height",
        "The block behind each join gets half the channels it expects: its 1 × 1 convolutions stop with an error",
    ],
    answer=2,
    why="At all four joins both maps have the same channels, so the sum itself would work. But the next block was built for the sum of the two widths.",
)

# %%
quiz.ask(
    "Why does FPN enlarge with the nearest neighbor, not with a learned layer?",
    [
        "It costs nothing and has no parameters; the 3 × 3 convolution behind it smooths the blocks",
        "A learned layer cannot double the size of a map",
        "A learned layer would need labels for the enlarged map",
    ],
    answer=0,
    why="Repeating cells needs no arithmetic. It leaves blocks, which the learned convolution behind can soften. (A transposed convolution doubles sizes too.)",
)

# %%
quiz.ask(
    "Does the bottom-up path of YOLOv5 s cut the way from P3 to N5 from over 100 layers to about 10?",
    [
        "Yes, that is why it was added",
        "Yes, but only in training",
        "No: 24 convolutions become 17, or 11 become 8 by the fewest",
    ],
    answer=2,
    why="The hundred belongs to ResNet-101 under an FPN, counted along its longest way.",
)

# %%
quiz.ask(
    "Cutting N4's wire leaves grid 32 of the card detector with nothing, cutting L5's changes nothing. What follows?",
    [
        "Coarse maps of the backbone are useless in every YOLOv5",
        "In this network, on these photos, what grid 32 predicts comes over the way up",
        "L5 was disconnected by mistake",
    ],
    answer=1,
    why="One network, one data set, one wire at a time. Larger data with objects of all sizes may give another answer.",
)

# %%
quiz.ask(
    "Two grids report the same card. What removes the second box?",
    [
        "The neck: after it the levels agree who is responsible",
        "Non-maximum suppression, which never asks for the level",
        "The head's element-wise maximum over levels",
    ],
    answer=1,
    why="The neck mixes maps, not boxes. Each level predicts on its own, and suppression sorts it out.",
)

# %% [markdown]
# ## What was claimed, and how it was checked
# | claim | checked by |
# |---|---|
# | the cards are all larger than a P5 cell; the backbone's P3 reads less than a typical card | assertions in section 1 |
# | most of the rise of r from P3 to P5 is smoothness | assertions in section 2 |
# | FPN, built from single convolutions, equals yolo_edu's; that one equals torchvision's | exercise 6.1, assertion in section 3; `tests/test_pyramid.py::test_fpn_equal_to_torchvision` |
# | a concatenation and a 1 × 1 convolution contain the sum, and FPN's lateral | assertions in section 4 |
# | PAN, adding and concatenating, equals yolo_edu's | assertion in section 5; `tests/test_pyramid.py::test_pan_by_hand` |
# | the neck from its rows equals model.neck | exercise 6.2, assertions in section 6 |
# | the counted convolutions | assertions in section 7; all ways listed one by one in `tests/test_lesson_neck.py::test_counts_are_those_of_all_ways_listed` |
# | the gradient is the sum over the doors, and least comes through P5 in every photo | assertions in section 7 |
# | grid 32 lives on the bottom-up path; for the cards grid 16 alone is enough | assertions in section 8 |
# | most photos show an object on two grids; NMS removes it | assertions in section 9 |
# | adaptive feature pooling is the maximum over levels | assertion in section 9; `tests/test_pyramid.py::test_adaptive_pooling_by_hand` |
#
# **References** Lin, Dollár, Girshick, He, Hariharan, Belongie 2016, arXiv:1612.03144 (FPN) · Liu, Qi, Qin, Shi, Jia 2018, arXiv:1803.01534 (PAN) · Redmon, Farhadi 2018, arXiv:1804.02767 (YOLOv3
# concatenates) · Bochkovskiy, Wang, Liao 2020, arXiv:2004.10934 (YOLOv4: PAN with concatenation) · He, Gkioxari, Dollár, Girshick 2017, arXiv:1703.06870 (Mask R-CNN, RoI align) ·
# He, Zhang, Ren, Sun 2015, arXiv:1512.03385 (ResNet)
#
# ← [05 Spatial pyramid pooling](05_spp.ipynb) · **06 FPN and PAN, the neck** · [07 Anchors and Detect, the head](07_anchors_and_detect.ipynb) →
