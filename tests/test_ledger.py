"""The claims ledger is that of the lessons as they are, and it finds what it should and nothing else."""

import build
import ledger

LESSONS = [script for script in build.lessons() if script.stem[:2].isdigit()]


def test_the_committed_page_is_up_to_date() -> None:
    assert ledger.TARGET.read_text(encoding="utf-8") == ledger.page(), "run: python notebooks/ledger.py"


def test_every_number_of_the_course_is_traced() -> None:
    lost = [(script.stem, e.number, e.words) for script in LESSONS for e in ledger.entries(script) if not e.source]
    assert not lost


def test_every_lesson_has_claims() -> None:
    for script in LESSONS:
        rows = ledger.claims(script)
        assert len(rows) >= 3
        assert all(claim and check for claim, check in rows)


def test_which_numbers_count() -> None:
    text = (
        "It has **7,468,157** parameters, 0.942 mAP50, 12 rows and 640 × 640 pixels. Redmon 2016, arXiv:1612.08242; "
        "[13](13_training_loop.ipynb), `x = 512`, 1:300, v1.234\n```python\nn = 999\n```"
    )
    assert [number for number, _ in ledger.numbers(text)] == ["7468157", "0.942", "640", "640", "512"]


def test_where_numbers_are_made() -> None:
    assert ledger.made("assert n == 7_468_157 and x < 0.5 and f(1e3)") >= {"7468157", "0.5"}
    assert ledger.rounded("0.942", {0.94237})
    assert ledger.rounded("94.2", {0.94237})
    assert not ledger.rounded("0.943", {0.94237})
    assert list(ledger.floats({"a": [1, True, {"b": 2.5}], "c": "3"})) == [1.0, 2.5]
