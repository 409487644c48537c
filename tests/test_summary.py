"""The article's printout and table, and what a network's table says of graph, receptive fields and FLOPs."""

import math

import pytest
import torch
import torchvision
from torch import Tensor, nn

from yolo_edu import summary
from yolo_edu.course import article
from yolo_edu.errors import UserError
from yolo_edu.model import RELEASES, Detector, YOLOv5, YOLOv5v6
from yolo_edu.summary import (
    LayerRow,
    layer_rows,
    layer_table,
    parameter_rows,
    parameter_table,
    printout,
    torchinfo_summary,
)

PRINTOUT = (article.FOLDER / "yolov5s_printout.txt").read_text()
TABLE = (article.FOLDER / "yolov5s_parameter_table.txt").read_text()
SIZES = [("yolov5", size) for size in "smlx"] + [("yolov5v6", size) for size in "nsmlx"]


@pytest.fixture(scope="module")
def article() -> YOLOv5:
    torch.manual_seed(0)
    return YOLOv5("s", 80, bn_eps=1e-5, bn_momentum=0.1)


def weightless(release: str, size: str) -> Detector:
    with torch.device("meta"):
        return RELEASES[release](size, 80)


# --- the article's printout -----------------------------------------------------------------------


def test_the_printout_is_the_article_s(article):
    assert printout(article.model) == PRINTOUT.rstrip("\n")


def test_the_printout_shows_a_changed_setting():
    assert printout(YOLOv5("s", 80).model) != PRINTOUT.rstrip("\n")  # eps 1e-4, momentum 0.03


def test_the_printout_keeps_what_today_s_spelling_says():
    assert "bias=False" in printout([nn.Conv2d(1, 1, 1, bias=False)])
    assert printout([nn.Linear(2, 3)]) == "Linear(in_features=2, out_features=3, bias=True)"


# --- the article's parameter table ----------------------------------------------------------------


def parse(table: str) -> list[tuple[str, str, str, str, list[int], float, float]]:
    """Rows of the printed table: layer, name, gradient, count as text; shape, mu, sigma as numbers."""
    rows = []
    for line in table.splitlines()[1:]:
        layer, name, gradient, parameters, *shape, mu, sigma = line.split()
        numbers = [int(n.strip("[],")) for n in shape]
        rows.append((layer, name, gradient, parameters, numbers, float(mu), float(sigma)))
    return rows


def test_the_table_has_the_article_s_rows_to_the_letter(article):
    ours, theirs = parameter_table(article).splitlines(), TABLE.splitlines()
    assert len(theirs) == 192
    assert ours[0] == theirs[0]
    # The last 22 characters are mu and sigma: random numbers.
    assert [line[:-22] for line in ours] == [line[:-22] for line in theirs]
    assert [len(line) for line in ours] == [len(line) for line in theirs]
    fixed = [i for i, line in enumerate(theirs) if ".bn." in line]  # BatchNorm starts at 1 and 0
    assert len(fixed) == 118
    assert [ours[i] for i in fixed] == [theirs[i] for i in fixed]


def test_the_table_prints_its_rows(article):
    rows = parameter_rows(article)
    assert sum(row.parameters for row in rows) == 7_468_157
    for row, printed in zip(rows, parse(parameter_table(article)), strict=True):
        assert printed[:3] == (str(row.layer), row.name, str(row.gradient))
        assert float(printed[3]) == float(f"{math.prod(row.shape):g}")
        assert printed[5:] == (float(f"{row.mean:.3g}"), float(f"{row.std:.3g}"))


def expected_biases(stride: int) -> Tensor:
    """The 255 offsets that a detection convolution's biases get on top of PyTorch's random start."""
    offsets = torch.zeros(3, 85)
    offsets[:, 4] = math.log(8 / (640 / stride) ** 2)
    offsets[:, 5:] = math.log(0.6 / (80 - 0.99))
    return offsets.flatten()


@pytest.mark.parametrize("source", ["article", "ours"])
def test_means_and_deviations_are_what_the_initialization_implies(source, article):
    text = TABLE if source == "article" else parameter_table(article)
    rows = parse(text)
    shapes = {row[1]: row[4] for row in rows}
    strides = {"model.18": 8, "model.22": 16, "model.26": 32}
    checked = dict.fromkeys(["norm", "weight", "bias"], 0)
    for _, name, _, _, _, mean, std in rows:
        owner, kind = name.rsplit(".", 1)
        if ".bn" in name:
            assert (mean, std) == ((1, 0) if kind == "weight" else (0, 0)), name
            checked["norm"] += 1
            continue
        fan_in = math.prod(shapes[owner + ".weight"][1:])
        sigma, n = 1 / math.sqrt(3 * fan_in), math.prod(shapes[name])  # uniform ±1/sqrt(fan-in)
        offsets = expected_biases(strides[owner]) if kind == "bias" else torch.zeros(n)
        center, spread = offsets.mean().item(), math.sqrt(offsets.var().item() + sigma**2)
        # Five standard errors, and half a unit of the third digit printed. A deviation's error is that of a
        # uniform's (kurtosis 1.8) or, for the biases, of fixed offsets plus noise: their cross term.
        error = sigma / math.sqrt(n) if kind == "bias" else sigma * math.sqrt(0.2 / n)
        assert abs(mean - center) < 5 * sigma / math.sqrt(n) + 0.005 * abs(center), name
        assert abs(std - spread) < 5 * error + 0.005 * spread, name
        checked[kind] += 1
    assert checked == {"norm": 118, "weight": 70, "bias": 3}


def test_a_frozen_parameter_says_so_and_one_number_has_no_deviation():
    layer = nn.Linear(3, 1)
    layer.weight.requires_grad_(False)
    weight, bias = parameter_rows(layer)
    assert (weight.gradient, bias.gradient) == (False, True)
    assert bias[:5] == (1, "bias", True, 1, (1,))
    assert (bias.mean, bias.std) == (pytest.approx(layer.bias.item()), 0.0)


# --- who reads from whom --------------------------------------------------------------------------

# What the releases document; every row not named reads the row before it. (The official R1 file lists the
# sources of Detect coarse to fine; here levels run P3, P4, P5 everywhere.)
DOCUMENTED = {
    "yolov5": {12: (11, 6), 16: (15, 4), 19: (17,), 20: (19, 14), 23: (21,), 24: (23, 10), 27: (18, 22, 26)},
    "yolov5v6": {12: (11, 6), 16: (15, 4), 19: (18, 14), 22: (21, 10), 24: (17, 20, 23)},
}


@pytest.mark.parametrize("release", DOCUMENTED)
def test_tracing_finds_the_documented_sources(release):
    for row in layer_rows(weightless(release, "s"), 64):
        assert row.sources == DOCUMENTED[release].get(row.row, (row.row - 1,)), row


def test_work_between_the_rows_is_followed():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            z = self.b((y * 2).relu_()) + y
            return self.c(torch.cat([z, x], dim=0))

    a, b, c = layer_rows(Residual(), 32)
    assert (a.sources, b.sources, c.sources) == ((-1,), (0,), (1, 0, -1))
    assert "1, 0, image" in layer_table(Residual(), 32)
    assert c.outputs[0].receptive_field == 7


@pytest.mark.parametrize(("release", "size"), SIZES)
def test_totals(release, size):
    model = weightless(release, size)
    rows, table = layer_rows(model), list(model.model)
    documented = {  # GFLOPs at 640, 2 × multiply-adds
        "yolov5": {"s": 17.6, "m": 52.6, "l": 117.6, "x": 222.2},
        "yolov5v6": {"n": 4.5, "s": 16.5, "m": 49.0, "l": 109.1, "x": 205.7},
    }
    assert sum(row.flops for row in rows) / 1e9 == pytest.approx(documented[release][size], rel=0.02)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    assert [row.row for row in rows] == list(range(len(table)))
    assert [row.block for row in rows] == [type(row).__name__ for row in table]


def test_flops_of_a_row_follow_from_its_convolutions():
    rows = layer_rows(weightless("yolov5", "s"))
    assert rows[1].flops == 2 * (64 * 32 * 3 * 3) * 160 * 160
    assert rows[26].flops == 2 * (255 * 512) * 20 * 20  # the bias is not a multiply-add
    assert [rows[i].flops for i in (11, 12, 27)] == [0, 0, 0]


def test_repeats_arguments_shapes_strides():
    rows = layer_rows(weightless("yolov5", "l"))
    assert [row.repeats for row in rows if row.block == "BottleneckCSP"] == [3, 9, 9, 3, 3, 3, 3, 3]
    rows = layer_rows(weightless("yolov5", "s"))
    assert [rows[i].arguments for i in (0, 1, 2, 8, 11, 12, 18, 27)] == [
        "3 -> 32, kernel 3",
        "32 -> 64, kernel 3, stride 2",
        "64 -> 64",
        "512 -> 512, pool 5 9 13",
        "scale_factor=2.0, mode='nearest'",
        "256, 256 -> 512",
        "128 -> 255, kernel 1",
        "255, 255, 255",
    ]
    assert [output.shape for output in rows[27].outputs] == [(1, 3, n, n, 85) for n in (80, 40, 20)]
    assert [output.stride for output in rows[27].outputs] == [8, 16, 32]
    for row in rows[:-1]:
        assert row.outputs[0].stride == 640 / row.outputs[0].shape[-1]


# --- any module -----------------------------------------------------------------------------------


TOY = """\
row  from  n  parameters  block     arguments                         output          stride  field  MFLOPs
  0    -1  1         224  Conv2d    3 -> 8, kernel 3, stride 2        [1, 8, 16, 16]       2      3    0.11
  1    -1  1           0  ReLU      inplace=True                      [1, 8, 16, 16]       2      3    0.00
  2    -1  1           0  Upsample  scale_factor=2.0, mode='nearest'  [1, 8, 32, 32]       1      3    0.00
  3    -1  1           0  Flatten   start_dim=1, end_dim=-1           [1, 8192]            -      3    0.00
4 rows, 224 parameters, 0.0001106 GFLOPs (2 x multiply-adds) for a 32 x 32 image
"""


def test_the_table_of_a_toy():
    toy = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU(inplace=True),
        nn.Upsample(scale_factor=2.0),
        nn.Flatten(),
    )
    assert layer_table(toy, 32) + "\n" == TOY


def test_totals_of_networks_from_the_literature():
    """Multiply-adds that torchvision publishes with its weights, in units of 1e9."""
    for name, published in {"resnet18": 1.814, "alexnet": 0.714, "vgg16": 15.470}.items():
        with torch.device("meta"):
            model = getattr(torchvision.models, name)()
        work = sum(row.flops for row in layer_rows(model, 224))
        assert work / 2e9 == pytest.approx(published, rel=1e-3), name


def test_a_module_without_children_is_its_own_row():
    (row,) = layer_rows(nn.Conv2d(3, 4, (1, 3), padding=(0, 1)), 8)
    assert row == LayerRow(
        row=0,
        sources=(-1,),
        repeats=1,
        parameters=40,
        block="Conv2d",
        arguments="3 -> 4, kernel 1x3",
        outputs=(summary.Output((1, 4, 8, 8), 1, 3),),
        flops=2 * 4 * 3 * 3 * 64,
    )


def test_the_model_is_left_as_it_was():
    model = YOLOv5v6("n", 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calls = []
    model.model[4].register_forward_hook(lambda *_: calls.append(1))
    model.model[0].eval()
    modes = [module.training for module in model.modules()]
    layer_rows(model, 64)
    torchinfo_summary(model, 64)
    assert not calls
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())
    model(torch.zeros(1, 3, 64, 64))
    assert calls == [1]


def test_half_precision_and_fused_models_have_the_same_table():
    model = YOLOv5v6("n", 2)
    assert layer_table(model.half(), 64) == layer_table(model.float(), 64)
    before, after = layer_rows(model, 64), layer_rows(model.fuse(), 64)
    assert [(row.sources, row.outputs, row.flops) for row in before] == [
        (row.sources, row.outputs, row.flops) for row in after
    ]


def test_an_impossible_image_size_is_explained():
    with pytest.raises(UserError, match="YOLOv5 cannot run on a 3 x 100 x 100 image; try another image size"):
        layer_rows(weightless("yolov5", "s"), 100)


def test_a_row_used_twice_is_explained():
    act = nn.ReLU()
    with pytest.raises(UserError, match=r"row 1 \(ReLU\) runs 2 times"):
        layer_rows(nn.Sequential(nn.Conv2d(3, 3, 1), act, nn.Conv2d(3, 3, 1), act), 8)


def test_torchinfo_counts_the_same_parameters(article):
    pytest.importorskip("torchinfo")
    assert "Total params: 7,468,157" in torchinfo_summary(article, 64)


def test_a_missing_torchinfo_is_explained(monkeypatch):
    monkeypatch.setattr(summary, "torchinfo", None)
    with pytest.raises(UserError, match="pip install torchinfo"):
        torchinfo_summary(nn.Conv2d(3, 3, 1), 8)
