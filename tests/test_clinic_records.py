"""What was measured over seeds bears out what the lesson says of each patient."""

import importlib
import json
from pathlib import Path

import pytest

from yolo_edu.course.clinic import FAULTS, PATIENTS, SIGNS, healthy_range, read_records, symptom_table
from yolo_edu.course.clinic.patients import by_case, judge_diagnosis
from yolo_edu.course.clinic.records import CONTROL, TWIN, holds

ROOT = Path(__file__).parents[1]
RECORDS = read_records()


def test_the_shipped_copy_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = ROOT / "benchmarks/results/clinic.json"
    assert (ROOT / "yolo_edu/course/measured/clinic.json").read_bytes() == measured.read_bytes()
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    clinic = importlib.import_module("clinic")
    content = json.loads(measured.read_text())
    assert content["table"] == clinic.table(content["runs"])


def test_every_patient_was_seen_with_three_seeds() -> None:
    assert RECORDS.keys() == {TWIN, CONTROL, *FAULTS}
    assert {tuple(record.seed for record in own) for own in RECORDS.values()} == {(0, 1, 2)}


@pytest.mark.parametrize("key", SIGNS)
def test_each_sign_speaks_for_its_patient_and_not_for_the_twin(key: str) -> None:
    assert all(SIGNS[key].speaks(record.signs[key]) for record in RECORDS[key])
    assert not any(SIGNS[key].speaks(record.signs[key]) for record in RECORDS[TWIN])


@pytest.mark.parametrize("key", PATIENTS)
def test_every_claim_holds_over_the_seeds(key: str) -> None:
    assert PATIENTS[key].claims
    for name, claim in PATIENTS[key].claims.items():
        assert holds(claim, RECORDS[key], RECORDS[TWIN], name), (name, claim)


def test_claims_can_fail() -> None:
    """Of the twin against itself only "same" and "inside" hold."""
    twin = RECORDS[TWIN]
    kept = {c for c in ("below", "above", "far below", "far above", "same", "inside") if holds(c, twin, twin, "map50")}
    assert kept == {"same", "inside"}


def test_the_range_of_the_twins() -> None:
    band = healthy_range(RECORDS, "map50")
    for epoch, (low, high) in enumerate(band):
        values = [record.curves["map50"][epoch] for record in RECORDS[TWIN]]
        assert (low, high) == (min(values), max(values))


def test_diagnoses_are_judged_with_a_reason() -> None:
    for key in PATIENTS:
        assert judge_diagnosis(key, key)[0]
        for other in PATIENTS:
            right, why = judge_diagnosis(key, other)
            assert right == (other == key)
            assert len(why.split()) > 3
        assert len(PATIENTS[key].unlike) >= 2
        assert key not in PATIENTS[key].unlike


def test_the_table_has_a_row_a_patient() -> None:
    rows = symptom_table().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == list(by_case())
    assert all(row.count("|") == 6 for row in rows)
