"""The README's numbers are the measured ones."""

import importlib
import json
import re
from pathlib import Path

import build
from exercises import exercises

from yolo_edu.assets import sample_data, shipped_weights
from yolo_edu.checkpoint import load_checkpoint, read_metadata
from yolo_edu.data import read_spec
from yolo_edu.model import YOLOv5
from yolo_edu.summary import layer_rows

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
README = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_main_job() -> None:
    measured = json.loads((RESULTS / "make_train.json").read_text())
    end = measured["evaluations"][-1]
    assert f"passed mAP50 0.5 after {measured['seconds_to_map50_0.5']} seconds" in README
    assert f"ended at {end['map50']} after {end['seconds']}" in README


def test_the_garden() -> None:
    measured = json.loads((RESULTS / "garden_train.json").read_text())
    passed = next(point for point in measured["evaluations"] if point["map50"] >= 0.85)
    assert f"passed mAP50 0.85 after {passed['seconds']} seconds" in README


def test_the_recipes() -> None:
    measured = json.loads((RESULTS / "time_to_map_cards.json").read_text())
    ratios = ", ".join(f"{row['median_ratio']:.1f}" for row in measured["table"])
    thresholds = ", ".join(str(row["map50"]) for row in measured["table"])
    assert f"{ratios} times sooner" in README
    assert f"(mAP50 {thresholds}" in README
    assert measured["table"][-1]["lower_bound"] == ("at least" in README)
    assert all(row["median_ratio"] >= 4 for row in measured["table"])


def test_killed_runs() -> None:
    measured = json.loads((RESULTS / "kill_and_resume.json").read_text())
    assert measured["equal"] == measured["runs"] == 20
    assert f"{measured['runs']} runs killed {measured['kills']} times" in README


def test_the_shipped_model() -> None:
    path = shipped_weights()
    millions = sum(p.numel() for p in load_checkpoint(path).parameters()) / 1e6
    assert f"{millions:.1f} million parameters" in README
    assert f"trained on {len(read_spec(sample_data()).images('train'))} photos" in README
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    metadata = read_metadata(path)
    assert f"| mAP50 | {metadata['map50']:.3f} |" in card
    assert f"| mAP50-95 | {metadata['map']:.3f} |" in card


def test_the_flops_of_release_1() -> None:
    flops = sum(row.flops for row in layer_rows(YOLOv5("s")))
    assert f"gives {flops / 1e9:.1f}, and" in README


def test_every_link_leads_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert len(links) > 4
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_exercises_and_widgets() -> None:
    lessons = [script for script in build.lessons() if script.stem[:2].isdigit()]
    count = sum(len(exercises(script)) for script in lessons)
    modules = [importlib.import_module(f"wrong_answers.lesson_{script.stem[:2]}") for script in lessons]
    wrong = sum(len(answers) for module in modules for answers in module.WRONG.values())
    assert f"{wrong} wrong answers to {count} exercises" in README
    widgets = json.loads((RESULTS / "widget_redraw.json").read_text())["widgets"]
    slowest = max(widget["median_ms"] for widget in widgets)
    assert f"the slowest of the {len(widgets)} widgets redraws in {slowest} ms" in README
    assert {widget["lesson"] for widget in widgets} == {script.stem for script in lessons}


def test_transfer() -> None:
    rows = {row["way"]: row for row in json.loads((RESULTS / "transfer.json").read_text())["table"]}
    measured = json.loads((RESULTS / "transfer.json").read_text())["setting"]
    assert f"{measured['epochs']} epochs at {measured['image_size']} px" in README
    words = {
        "from scratch": "from scratch",
        "all that fits": "with all that fits",
        "backbone frozen": "with a frozen backbone",
        "rates 0.1, 0.3, 1": "for backbone, neck and head",
    }
    for way, text in words.items():
        assert f"{text} {rows[way]['median_map50']:.3f}" in README


def test_the_linter_under_fire() -> None:
    measured = json.loads((RESULTS / "lint_fuzz.json").read_text())
    fuzzed, planted = measured["fuzzed"], measured["planted"]
    assert fuzzed["labels"]["files"] == 5000
    found = [kind["found"] == kind["planted"] for kind in planted.values()]
    assert f"of {len(found)} kinds of planted faults {sum(found)} were always found" in README
    (missed,) = (kind for kind in planted.values() if kind["found"] < kind["planted"])
    assert f"in {missed['found']} of {missed['planted']} files" in README


def test_export() -> None:
    measured = json.loads((RESULTS / "onnx_parity.json").read_text())
    assert len(measured["networks"]) == 10  # nine pairs and the shipped weights
    for network in measured["networks"].values():
        assert network["parity"]["of_image"] < 1e-4
        assert network["parity"]["probability"] < 1e-4
        assert network["detections"]["pytorch"] == network["detections"]["onnx"] > 0
        assert network["detections"]["alone"] == 0


def test_the_memory_of_detect() -> None:
    measured = json.loads((RESULTS / "detect_memory.json").read_text())
    assert f"Over {measured['images']:,} images" in README
    assert measured["highest_mib"] - measured["lowest_mib"] < 14
    assert abs(measured["mib_per_1000_images"]) < 0.5
    assert measured["unreadable"] == measured["listed_at_the_end"]


def test_the_oracle() -> None:
    outputs = {row["name"]: row for row in json.loads((RESULTS / "oracle_swap.json").read_text())["outputs"]}
    start = outputs["as it is"]
    assert f"mAP50 goes from {start['map50']:.3f} to {outputs['class']['map50']:.3f}" in README
    assert f"mAP50-95 from {start['map']:.3f} to {outputs['box']['map']:.3f}" in README


def test_the_anchor_search() -> None:
    cases = json.loads((RESULTS / "anchor_search.json").read_text())
    golden = [case["seeds_at_golden_fitness"] for case in cases["cases"].values() if "golden" in case]
    assert golden == [cases["seeds"]] * 3
