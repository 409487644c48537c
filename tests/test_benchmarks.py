"""benchmarks/throughput.py runs from end to end with tiny settings. No test looks at a time."""

import importlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.batches import Batches
from yolo_edu.checkpoint import load_checkpoint
from yolo_edu.data import DataSpec, DetectionData, read_spec
from yolo_edu.hardware import EXACT, Numerics
from yolo_edu.model import RELEASES, Detector, YOLOv5v6
from yolo_edu.summary import layer_rows

ROOT = Path(__file__).parents[1]
TINY = (0.33, 0.125)
CPU = torch.device("cpu")


@pytest.fixture
def throughput(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Everything that benchmarks/throughput.py and its parts define."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    names = ("speed.training", "speed.latency", "speed.show", "throughput")
    modules = [importlib.import_module(name) for name in names]
    return SimpleNamespace(**{name: value for module in modules for name, value in vars(module).items()})


@pytest.fixture
def spec() -> DataSpec:
    """Ten of the cards to train on, four to evaluate."""
    cards = read_spec(sample_data())
    splits = {"train": cards.images("train")[:10], "val": cards.images("val")[:4]}
    return DataSpec(cards.path, cards.names, splits)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_machine(throughput: SimpleNamespace) -> None:
    machine = importlib.import_module("machine")
    description = machine.describe(CPU)
    assert json.loads(json.dumps(description)) == description
    assert description["torch"] == torch.__version__
    assert description["cores"] >= 1
    for precision in ("float32", "bfloat16"):
        assert machine.matmul_peak(CPU, precision, sides=(32,), repeats=1) > 0


def test_training(throughput: SimpleNamespace, spec: DataSpec, tmp_path: Path) -> None:
    model = YOLOv5v6(TINY, spec.names)
    calls: list[int] = []
    case = throughput.training_case(
        "tiny",
        model,
        spec,
        64,
        4,
        CPU,
        numerics=Numerics("bfloat16", "channels_last"),
        rounds=2,
        peaks={"bfloat16": 1e12},
        advance=lambda: calls.append(1),
    )
    assert len(calls) == throughput.TRAINING_STEPS
    assert list(case["ways"]) == ["bfloat16", "float32"]
    for way in case["ways"].values():
        assert tuple(way["shares"]) == throughput.STAGES
        assert sum(way["shares"].values()) == pytest.approx(1)
        spent = sum(way["seconds"].values())
        assert way["images_per_second"]["whole step"] == pytest.approx(4 / spent)
        work = 3 * 4 * sum(row.flops for row in layer_rows(model, 64))
        assert way["tflops"] == pytest.approx(work / (way["seconds"]["forward"] + way["seconds"]["backward"]) / 1e12)
        assert way["loop_images_per_second"] > 0
    assert case["ways"]["bfloat16"]["share_of_peak"] == pytest.approx(case["ways"]["bfloat16"]["tflops"])
    assert case["ways"]["float32"]["share_of_peak"] is None
    assert case["reading"]["images_per_second"] > 0
    assert case["evaluation"]["images_per_second"] > 0
    assert case["host_syncs_per_step"] is None  # there is no GPU to wait for

    machine = {"processor": "one", "gpu": None, "torch": "2"}
    results = {"machine": machine, "matmul_peak": {"float32": 1e9}, "training": [case], "latency": {}}
    throughput.save(results, tmp_path / "new" / "speed.json")
    written = json.loads((tmp_path / "new" / "speed.json").read_text())
    assert written["training"][0]["ways"].keys() == case["ways"].keys()
    assert (tmp_path / "new" / "speed.png").stat().st_size > 0
    text = throughput.tables(results)
    for word in ("tiny", "float32", *throughput.STAGES, "reading", "evaluation"):
        assert word in text


def test_too_few_photos_are_copied(throughput: SimpleNamespace, spec: DataSpec) -> None:
    with throughput.enough_images(spec, 25) as many:
        images = many.images("train")
        assert len(images) == 30
        assert all(image.is_file() for image in images)
        assert images[0].read_bytes() == images[10].read_bytes()
    assert not images[0].exists()
    with throughput.enough_images(spec, 10) as same:
        assert same is spec


@pytest.mark.parametrize("release", list(RELEASES))
def test_onnxruntime_gives_the_same_rows(throughput: SimpleNamespace, release: str, images: torch.Tensor) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra `dev`")
    pytest.importorskip("onnxscript", reason="onnxscript comes with the extra `dev`")
    model: Detector = RELEASES[release](TINY, 3)
    results = throughput.latency_case(model, images, CPU, ways=("eager", "fused", "onnxruntime"), rounds=3)
    for way in results.values():
        assert "note" not in way
        assert way["difference"] < throughput.CLOSE
        assert way["ms"] > 0
    assert results["eager"]["ratio"] == 1


@pytest.mark.parametrize("missing", ["onnxruntime", "onnxscript"])
def test_what_is_missing_is_said(
    throughput: SimpleNamespace, images: torch.Tensor, missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["onnxruntime"], "get_available_providers", lambda: [], raising=False)
    monkeypatch.setitem(sys.modules, missing, None)  # type: ignore[arg-type]
    row = throughput.latency_case(YOLOv5v6(TINY, 3), images, CPU, ways=("eager", "onnxruntime"), rounds=1)
    assert row["eager"]["ratio"] == 1
    assert row["onnxruntime"] == {"note": f"{missing} not installed"}
    machine = {"processor": "one", "gpu": None, "torch": "2"}
    results = {"machine": machine, "matmul_peak": {}, "training": [], "latency": {"tiny": row}}
    assert f"{missing} not installed" in throughput.tables(results)
    throughput.draw(results, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").is_file()


def test_settled_batchnorm_keeps_values_in_range(throughput: SimpleNamespace, images: torch.Tensor) -> None:
    model = throughput.settle(YOLOv5v6(TINY, 3), images)
    assert not model.training
    with torch.no_grad():
        p3, _, _ = model.backbone(images)
    assert 0.05 < float(p3.std()) < 5


def test_difference_is_relative_for_pixels_and_absolute_for_probabilities(throughput: SimpleNamespace) -> None:
    expected = torch.tensor([400.0, 0.01])
    assert throughput.difference(torch.tensor([404.0, 0.01]), expected) == pytest.approx(0.01)
    assert throughput.difference(torch.tensor([400.0, 0.03]), expected) == pytest.approx(0.02)


def test_exact_numerics_need_no_second_way(throughput: SimpleNamespace, spec: DataSpec) -> None:
    case = throughput.training_case("tiny", YOLOv5v6(TINY, spec.names), spec, 64, 4, CPU, numerics=EXACT, rounds=2)
    assert list(case["ways"]) == ["float32"]


# --- the bag of freebies ---------------------------------------------------------------------------------


@pytest.fixture
def freebies(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("freebies")


def test_a_freebie_changes_one_thing(freebies: ModuleType) -> None:
    nothing = freebies.recipe_of("nothing", 3, 64)
    images = Batches(DetectionData(read_spec(sample_data()), "val", 64), nothing, 0, CPU)
    plain = next(images.epoch(0))
    assert len(plain.images) == nothing.batch
    for way in freebies.WAYS:
        recipe = freebies.recipe_of(way, 3, 64)
        augment = asdict(recipe.augment)
        changed = {name for name, value in asdict(nothing.augment).items() if augment[name] != value}
        assert recipe.label_smoothing == (0.1 if way == "label smoothing" else 0)
        assert bool(changed) == (way not in ("nothing", "label smoothing", "DropBlock"))
        assert (recipe.epochs, recipe.image_size, recipe.growth, recipe.plain_epochs) == (3, 64, (), 0)


def test_drop_block_drops_in_training_only(freebies: ModuleType) -> None:
    torch.manual_seed(0)
    model = YOLOv5v6(TINY, 2)
    images = torch.rand(2, 3, 128, 128)
    before = [x.clone() for x in model.eval()(images)]
    freebies.add_drop_block(model)
    assert all(torch.equal(a, b) for a, b in zip(before, model(images), strict=True))
    zeros = (model.train().backbone(images)[0] == 0).float().mean()
    assert 0.02 < zeros < 0.3


def test_the_committed_table_is_that_of_its_runs(freebies: ModuleType) -> None:
    measured = json.loads((ROOT / "benchmarks/results/freebies.json").read_text())
    assert measured["table"] == freebies.table(measured["runs"])
    assert [row["way"] for row in measured["table"]] == list(freebies.WAYS)
    assert {row["runs"] for row in measured["table"]} == {3}


# --- transfer --------------------------------------------------------------------------------------------


@pytest.fixture
def transfers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("transfer")


def test_what_each_way_starts_from_and_trains(transfers: ModuleType) -> None:
    names = ["fish", "jellyfish", "penguin", "shark", "stingray"]
    source = load_checkpoint(shipped_weights(transfers.SOURCE)).state_dict()
    equal = {}
    for way in transfers.WAYS:
        model = transfers.network(way, names, 0)
        state = model.state_dict()
        learned = [name for name, x in state.items() if x.is_floating_point() and "anchors" not in name]
        same = {name for name in learned if torch.equal(state[name], source[name])}
        equal[way] = {int(name.split(".")[1]) for name in learned} - {int(n.split(".")[1]) for n in set(learned) - same}
        recipe = transfers.recipe_of(way, model, 5, 64)
        assert (recipe.epochs, recipe.image_size, recipe.growth) == (5, 64, ())
        assert bool(recipe.frozen) == ("frozen" in way)
        assert (recipe.stage_lr != (1, 1, 1)) == ("rates" in way)
    rows = {i for i, row in enumerate(model.model) if list(row.parameters())}
    head = {24}
    assert equal["from scratch"] == set()
    assert equal["backbone only"] == {row for row in rows if row < 10}
    for way in set(equal) - {"from scratch", "backbone only"}:
        assert equal[way] == rows - head  # the head in part: its classes are new


def test_the_committed_transfer_table_is_that_of_its_runs(transfers: ModuleType) -> None:
    measured = json.loads((ROOT / "benchmarks/results/transfer.json").read_text())
    assert measured["table"] == transfers.table(measured["runs"])
    assert [row["way"] for row in measured["table"]] == list(transfers.WAYS)
    assert {row["runs"] for row in measured["table"]} == {3}


def test_many_runs_go_on_where_they_were(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    collect = importlib.import_module("many_runs").collect
    path = tmp_path / "x.json"

    def table(runs: list[dict]) -> list[dict]:
        return [{"runs": len(runs)}]

    first = collect(path, {"a": 1}, ["u", "v"], 1, _run, table, 1)
    assert [run["way"] for run in first["runs"]] == ["u", "v"]
    more = collect(path, {"a": 1}, ["u", "v"], 2, _run, table, 2)
    assert [(run["way"], run["seed"]) for run in more["runs"]] == [("u", 0), ("u", 1), ("v", 0), ("v", 1)]
    assert more["runs"][0]["process"] == first["runs"][0]["process"]  # not run again
    assert more["table"] == [{"runs": 4}]
    assert len(collect(path, {"a": 2}, ["u"], 1, _run, table, 1)["runs"]) == 1  # another setting


def _run(way: str, seed: int) -> dict:
    return {"way": way, "seed": seed, "process": os.getpid()}
