"""benchmarks/ablations.py: every way changes what it says and nothing else, and its networks are whole ones."""

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from yolo_edu.anchors import closeness
from yolo_edu.assets import sample_data
from yolo_edu.assign import assign
from yolo_edu.boxes import cxcywh_to_xyxy, giou
from yolo_edu.data import DataSpec, read_spec
from yolo_edu.errors import UserError
from yolo_edu.fit import Training
from yolo_edu.loss import detection_loss
from yolo_edu.model import Detector, YOLOv5v6
from yolo_edu.model.blocks import C3, Conv
from yolo_edu.model.detect import decode_box
from yolo_edu.recipe import loss_settings

ROOT = Path(__file__).parents[1]
TINY = (0.33, 0.125)
N = (0.33, 0.25)
CLASSES = 5


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture
def ways() -> ModuleType:
    return importlib.import_module("ablation.ways")


@pytest.fixture
def show() -> ModuleType:
    return importlib.import_module("ablation.show")


@pytest.fixture
def networks() -> ModuleType:
    return importlib.import_module("ablation.networks")


@pytest.fixture
def ablations() -> ModuleType:
    return importlib.import_module("ablations")


@pytest.fixture
def spec() -> DataSpec:
    """Ten of the cards to train on, four to evaluate."""
    cards = read_spec(sample_data())
    return DataSpec(cards.path, cards.names, {"train": cards.images("train")[:10], "val": cards.images("val")[:4]})


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# --- the networks ---------------------------------------------------------------------------------------


def conv(c_in: int, c_out: int, kernel: int = 1) -> int:
    return c_in * c_out * kernel**2 + 2 * c_out


def c3(c_in: int, c: int, n: int) -> int:
    return 2 * conv(c_in, c // 2) + conv(c, c) + n * (conv(c // 2, c // 2) + conv(c // 2, c // 2, 3))


def plain(c_in: int, c: int, n: int, hidden: int) -> int:
    return conv(c_in, hidden) + conv(hidden, c, 3) + (n - 1) * (conv(c, hidden) + conv(hidden, c, 3))


# channels of P1, P2, …; the stages in order: input, output, bottlenecks of depth 0.33
def stages(p1: int) -> list[tuple[int, int, int]]:
    a, b, c, d = 2 * p1, 4 * p1, 8 * p1, 16 * p1
    return [(a, a, 1), (b, b, 2), (c, c, 3), (d, d, 1), (2 * c, c, 1), (2 * b, b, 1), (2 * b, c, 1), (2 * c, d, 1)]


def expected(name: str, p1: int) -> int:
    """The parameters, from the architecture's table."""
    a, b, c, d = 2 * p1, 4 * p1, 8 * p1, 16 * p1
    csp = [c3(*stage) for stage in stages(p1)]
    backbone = conv(3, p1, 6) + conv(p1, a, 3) + conv(a, b, 3) + conv(b, c, 3) + conv(c, d, 3)
    backbone += conv(d, d // 2) + conv(2 * d, d)  # SPPF
    down = conv(d, c) + conv(c, b)
    up = conv(b, b, 3) + conv(c, c, 3)
    head = sum((channels + 1) * 3 * (5 + CLASSES) for channels in (b, c, d))
    if name == "no neck":
        return backbone + sum(csp[:4]) + head
    if name == "no PAN":
        return backbone + sum(csp[:4]) + down + sum(csp[4:6]) + head
    if name == "plain, full width":
        csp = [plain(*stage, hidden=stage[1] // 2) for stage in stages(p1)]
    return backbone + down + up + sum(csp) + head


def test_parameters_by_the_table(ways: ModuleType) -> None:
    for scale, p1 in ((TINY, 8), (N, 16)):
        for name, way in ways.WAYS.items():
            if name != "plain, cut":
                assert parameters(ways.build(way, CLASSES, scale, 0)) == expected(name, p1), (name, scale)


@pytest.mark.parametrize("size", ["n", "s", "m"])
def test_the_cut_plain_network_has_the_parameters_of_the_base(networks: ModuleType, size: str) -> None:
    base, cut = YOLOv5v6(size, CLASSES), networks.PlainCut(size, CLASSES)
    assert parameters(cut) == pytest.approx(parameters(base), rel=1e-3)
    rows = [row for row in cut.model if isinstance(row, networks.PlainStage)]
    repeats = [len(list(row.m.children())) for row in base.model if isinstance(row, C3)]
    assert [len(row) for row in rows] == repeats
    assert all(row[0].cv1.conv.out_channels % 8 == 0 for row in rows)
    assert not any(isinstance(module, C3) for module in cut.modules())
    full = networks.Plain(size, CLASSES)
    pairs = list(zip(rows, (row for row in full.model if isinstance(row, networks.PlainStage)), strict=True))
    assert all(narrow[0].cv2.conv.out_channels == wide[0].cv2.conv.out_channels for narrow, wide in pairs)
    for row, stage in zip(full.model, base.model, strict=True):
        if isinstance(stage, C3):  # as wide inside, and with the same shortcuts
            assert [block.cv1.conv.out_channels for block in row] == [stage.cv1.conv.out_channels] * len(row)
            assert row[-1].add == (stage.m[-1].add and row[-1].cv1.conv.in_channels == stage.cv3.conv.out_channels)


def test_every_network_is_a_whole_one(ways: ModuleType, images: torch.Tensor) -> None:
    """Shapes as the base's, a gradient for every parameter, rows in pixels, the same after folding BatchNorm."""
    norms = {
        (norm.eps, norm.momentum) for norm in YOLOv5v6(TINY, CLASSES).modules() if isinstance(norm, nn.BatchNorm2d)
    }
    for name, way in ways.WAYS.items():
        model = ways.build(way, CLASSES, TINY, 0)
        raw = model(images)
        assert [tuple(x.shape) for x in raw] == [(2, 3, s, s, 5 + CLASSES) for s in (8, 4, 2)], name
        sum(x.square().sum() for x in raw).backward()
        idle = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert not idle, (name, idle)
        found = {(m.eps, m.momentum) for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
        assert found == norms, name
        model.eval()
        with torch.no_grad():
            rows, folded = model.rows(images), model.fuse().rows(images)
        assert rows.shape == (2, 3 * (64 + 16 + 4), 5 + CLASSES)
        assert rows.isfinite().all()
        torch.testing.assert_close(folded, rows, rtol=1e-3, atol=1e-3)


def test_what_stays_starts_from_the_weights_of_the_base(ways: ModuleType) -> None:
    base = ways.build(ways.WAYS["base"], CLASSES, TINY, 3).state_dict()
    for name, way in ways.WAYS.items():
        own = ways.build(way, CLASSES, TINY, 3).state_dict()
        last = max(int(key.split(".")[1]) for key in own)
        moved = {key.replace(f"model.{last}.", "model.24."): x for key, x in own.items()}
        shared = {key for key in moved if key in base and moved[key].shape == base[key].shape}
        other = {key for key in shared if not key.endswith("anchors") and not moved[key].equal(base[key])}
        assert not other, name
        if way.network is YOLOv5v6 or name in ("no PAN", "no neck", "LeakyReLU"):
            assert len(shared) == len(own), name
        elif name == "Focus stem":
            assert shared == {key for key in own if not key.startswith("model.0.")}
    assert (
        not ways.build(ways.WAYS["base"], CLASSES, TINY, 4)
        .state_dict()["model.0.conv.weight"]
        .equal(base["model.0.conv.weight"])
    )


def test_the_head_without_pan_reads_the_top_down_path(ways: ModuleType, images: torch.Tensor) -> None:
    """N3, N4 and N5 are what the whole network has in rows 17, 13 and 9; without a neck, in rows 4, 6 and 9."""
    base = ways.build(ways.WAYS["base"], CLASSES, TINY, 0).eval()
    seen: dict[int, torch.Tensor] = {}
    for i in (4, 6, 9, 13, 17):
        base.model[i].register_forward_hook(lambda _, __, x, i=i: seen.__setitem__(i, x))
    with torch.no_grad():
        base(images)
        for name, rows in (("no PAN", (17, 13, 9)), ("no neck", (4, 6, 9))):
            model = ways.build(ways.WAYS[name], CLASSES, TINY, 0).eval()
            for x, row in zip(model.neck(*model.backbone(images)), rows, strict=True):
                torch.testing.assert_close(x, seen[row])
            raw = base.detect([seen[row] for row in rows])
            torch.testing.assert_close(model(images), raw)


def test_only_the_activation_is_another(ways: ModuleType) -> None:
    model = ways.build(ways.WAYS["LeakyReLU"], CLASSES, TINY, 0)
    slopes = [module.act.negative_slope for module in model.modules() if isinstance(module, Conv)]
    assert set(slopes) == {0.1}
    assert not any(isinstance(module, nn.SiLU) for module in model.modules())


def test_the_focus_stem_is_the_six_wide_convolution(networks: ModuleType) -> None:
    torch.manual_seed(0)
    stem = networks.Conv(3, 8, 6, 2, 2, activation=networks.silu).double()
    with torch.no_grad():
        stem.bn.weight.uniform_(0.5, 2)
        stem.bn.bias.normal_()
        stem.bn.running_mean.normal_()
        stem.bn.running_var.uniform_(0.5, 2)
    focus = networks.focus_from_stem(stem).double()
    assert parameters(focus) == parameters(stem)
    images = torch.rand(2, 3, 32, 64, dtype=torch.float64)
    for mode in (True, False):
        torch.testing.assert_close(focus.train(mode)(images), stem.train(mode)(images))


def test_the_focus_network_learns_what_the_base_learns(
    ways: ModuleType, images: torch.Tensor, networks: ModuleType
) -> None:
    """AdamW, decay and all: three steps in double precision end in the same weights, sorted otherwise."""
    targets = torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.3], [1, 2, 0.3, 0.6, 0.3, 0.4]], dtype=torch.float64)
    trained: list[Detector] = []
    for name in ("base", "Focus stem"):
        way = ways.WAYS[name]
        model = ways.build(way, CLASSES, TINY, 0).double()
        recipe = ways.recipe_of(way, 3, 64)
        optimizer = Training.start(model, recipe).optimizer
        for _ in range(3):
            loss = ways.loss_of(way, model, recipe, 64)(model(images.double()), targets).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained.append(model)
    base, other = trained
    wanted = networks.focus_from_stem(base.model[0]).double().state_dict()
    for key, x in other.model[0].state_dict().items():
        torch.testing.assert_close(x, wanted[key], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(other.model[1].state_dict(), base.model[1].state_dict(), rtol=1e-6, atol=1e-8)


# --- the ways -------------------------------------------------------------------------------------------


def test_giou_takes_the_place_of_ciou_and_of_nothing_else(ways: ModuleType, images: torch.Tensor) -> None:
    model = ways.build(ways.WAYS["base"], CLASSES, TINY, 0)
    settings = loss_settings(model, ways.recipe_of(ways.WAYS["base"], 3, 64), 64)
    # a center exactly on a cell border: there the neighbor rules of the releases differ
    targets = torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.3], [1, 2, 0.3, 0.6, 0.3, 0.4], [1, 0, 0.7, 0.2, 0.1, 0.2]])
    raw, anchors = model(images), model.detect.anchors
    usual = detection_loss(raw, targets, anchors, settings)
    other = ways.giou_loss(raw, targets, anchors, settings)
    boxes = 0.0
    for x, sizes, level in zip(raw, anchors, assign(targets, [(8, 8), (4, 4), (2, 2)], anchors), strict=True):
        if len(level.image):
            chosen = x[level.image, level.anchor, level.row, level.column, :4]
            predicted = cxcywh_to_xyxy(decode_box(chosen, sizes[level.anchor]))
            boxes += 1 - giou(predicted, cxcywh_to_xyxy(level.box)).mean().item()
    assert other.box.item() == pytest.approx(boxes * settings.box, rel=1e-5)
    assert other.box.item() != pytest.approx(usual.box.item(), rel=1e-3)
    assert other.classification.equal(usual.classification)
    for mine, theirs in zip(detection_loss(raw, targets, anchors, settings), usual, strict=True):
        assert mine.equal(theirs)  # the exchange ends with the call


def test_a_way_changes_one_thing(ways: ModuleType) -> None:
    base = ways.WAYS["base"]
    for name, way in ways.WAYS.items():
        changes = [
            way.network is not base.network,
            not way.anchors.equal(base.anchors),
            way.loss is not base.loss,
            ways.recipe_of(way, 3, 64) != ways.recipe_of(base, 3, 64),
            way.order != base.order,
        ]
        assert sum(changes) == (name != "base"), name
    assert ways.recipe_of(ways.WAYS["no mosaic"], 3, 64).augment.mosaic == 0
    assert ways.recipe_of(base, 3, 64).augment.mosaic == 1
    exchanged = ways.build(ways.WAYS["anchors exchanged"], CLASSES, TINY, 0).anchors
    torch.testing.assert_close(exchanged[0], base.anchors[2])
    torch.testing.assert_close(exchanged[2], base.anchors[0])


def test_on_paper(ways: ModuleType, spec: DataSpec) -> None:
    sizes = ways.DetectionData(spec, "train", 128).box_sizes()
    for name in ("base", "anchors exchanged", "anchors × 8"):
        paper = ways.on_paper(name, CLASSES, sizes, TINY, 128)
        near = torch.stack([closeness(sizes, level) > 1 / 4 for level in ways.WAYS[name].anchors])  # (L, N, A)
        assert paper["best_possible_recall"] == pytest.approx(float(near.any(2).any(0).double().mean()), abs=1e-4)
        assert paper["labels_in_reach_of_p3_p4_p5"] == pytest.approx(near.any(2).double().mean(1).tolist(), abs=1e-4)
        assert paper["parameters"] == expected("base", 8)
        assert paper["gflops"] > 0


# --- the measurement ------------------------------------------------------------------------------------


def setting(epochs: int = 1) -> dict:
    return {"epochs": epochs, "image_size": 64, "precision": "float32"}


class AtOnce:
    """A pool that runs in this process when asked for the result, as tests have to be quick."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> "AtOnce":
        return self

    def __exit__(self, *_: object) -> None: ...

    def shutdown(self, **_: object) -> None: ...

    def submit(self, function: Callable[..., object], *args: object, **options: object) -> SimpleNamespace:
        return SimpleNamespace(result=lambda: function(*args, **options))


def test_an_interruption_loses_one_run_at_most(
    ablations: ModuleType, spec: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations, "ProcessPoolExecutor", AtOnce)
    monkeypatch.setattr(ablations, "as_completed", lambda pending: pending)
    monkeypatch.setattr(ablations, "SCALE", TINY)
    made: list[tuple[str, int]] = []
    real, threads = ablations.one_run, torch.get_num_threads()

    def run(name: str, seed: int, *args: object, **options: object) -> dict:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append((name, seed))
        return real(name, seed, *args, **options)

    monkeypatch.setattr(ablations, "one_run", run)
    path = tmp_path / "ablations.json"
    chosen = ["no neck"]  # the base comes along: without it there is no difference
    try:
        with pytest.raises(KeyboardInterrupt):
            ablations.measure(spec, path, chosen, 2, setting(), rounds=1)
        written = json.loads(path.read_text())
        assert [(run["way"], run["seed"]) for run in written["runs"]] == [("base", 0), ("base", 1), ("no neck", 0)]
        assert made == [("base", 0), ("no neck", 0), ("base", 1)]  # seed by seed
        assert not written["timing"]
        monkeypatch.setattr(ablations, "one_run", real)
        result = ablations.measure(spec, path, chosen, 2, setting(), rounds=1)
    finally:
        torch.set_num_threads(threads)
    assert result == json.loads(path.read_text())
    assert [run for run in result["runs"] if run in written["runs"]] == written["runs"]
    assert len(result["runs"]) == 4
    assert list(result["timing"]) == ["base", "no neck"]
    assert result["timing"]["base"]["step_ratio"] == result["timing"]["base"]["photo_ratio"] == 1
    assert result["on_paper"]["no neck"]["parameters"] < result["on_paper"]["base"]["parameters"]
    with pytest.raises(UserError, match="epochs 1 instead of 2"):
        ablations.measure(spec, path, chosen, 2, setting(2))
    path.write_text("{}")
    with pytest.raises(UserError, match="not a result"):
        ablations.measure(spec, path, chosen, 2, setting())
    assert path.read_text() == "{}"


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--size", "100"], ["--ways", "no PAM"], ["--epochs", "-1"]])
def test_wrong_flags(ablations: ModuleType, wrong: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ablations.py", *wrong])
    with pytest.raises(SystemExit) as stopped:
        ablations.main()
    assert stopped.value.code == 2


def runs_of(scores: dict[str, list[float]]) -> list[dict]:
    return [
        {"way": way, "seed": seed, "map50": score, "map": score / 2, "train_seconds": 1.0}
        for way, each in scores.items()
        for seed, score in enumerate(each)
    ]


def test_the_table_by_hand(show: ModuleType) -> None:
    runs = runs_of(
        {
            "base": [0.5, 0.6, 0.7],
            "base, other order": [0.52, 0.57, 0.7],  # luck: 0.03
            "no PAN": [0.45, 0.55, 0.65],  # always 0.05 lower
            "GIoU": [0.53, 0.64, 0.75],  # always higher, but once not by more than luck
            "LeakyReLU": [0.6, 0.7],  # too few
        }
    )
    rows = {row["way"]: row for row in show.table(runs)}
    assert list(rows) == ["base", "base, other order", "no PAN", "LeakyReLU", "GIoU"]
    pan = rows["no PAN"]
    assert pan["map50"] == {"mean": 0.55, "lowest": 0.45, "highest": 0.65, "deviation": 0.1}
    gain = {"mean": -0.05, "each": [-0.05] * 3, "seeds_higher": 0, "seeds_lower": 3, "verdict": "lower"}
    assert pan["map50_difference"] == gain
    assert pan["map_difference"]["mean"] == pytest.approx(-0.025)
    assert rows["GIoU"]["map50_difference"]["verdict"] == "not told apart"
    assert rows["GIoU"]["map50_difference"]["seeds_higher"] == 3
    assert rows["LeakyReLU"]["map50_difference"]["verdict"] == "-"
    assert rows["base, other order"]["map50_difference"]["verdict"] == "-"
    assert show.luck_of(runs, "map50") == pytest.approx(0.03)
    said = " ".join(show.caution(runs, setting(30), {"train": 10, "val": 4, "boxes": 7}))
    for words in (
        "all of 2 seed(s) agree in sign in 50% of cases: about 1.5 of 3",
        "0.030 mAP50",
        "4 photos",
        "30 epochs",
    ):
        assert words in said


def test_the_picture_and_the_text_show_every_way(show: ModuleType, ways: ModuleType, tmp_path: Path) -> None:
    runs = runs_of({way: [0.5 + i / 100, 0.55, 0.6] for i, way in enumerate(ways.WAYS)})
    paper = {
        "parameters": 1_500_000,
        "gflops": 0.1,
        "best_possible_recall": 1.0,
        "labels_in_reach_of_p3_p4_p5": [1, 1, 0],
    }
    result = {
        "table": show.table(runs),
        "runs": runs,
        "timing": {"base": {"step_ratio": 1.0, "photo_ratio": 1.0}},  # of the others, none yet
        "on_paper": dict.fromkeys(ways.WAYS, paper),
        "caution": show.caution(runs, setting(), {"train": 10, "val": 4, "boxes": 7}),
    }
    text = show.text(result)
    assert all(way in text for way in ways.WAYS)
    assert all(line in text for line in result["caution"])
    show.draw(result, tmp_path / "ablations.png")
    assert (tmp_path / "ablations.png").stat().st_size > 10_000
    show.draw({**result, "table": show.table(runs[:1]), "runs": runs[:1]}, tmp_path / "one.png")  # one run, no spread


def test_the_committed_table_is_that_of_its_runs(show: ModuleType, ways: ModuleType) -> None:
    path = ROOT / "benchmarks/results/ablations.json"
    if not path.is_file():
        pytest.skip("not measured yet")
    measured = json.loads(path.read_text())
    assert measured["table"] == show.table(measured["runs"])
    assert [row["way"] for row in measured["table"]] == list(ways.WAYS)
    assert all(row["seeds"] >= 3 for row in measured["table"])
    assert list(measured["timing"]) == list(measured["on_paper"]) == list(ways.WAYS)
