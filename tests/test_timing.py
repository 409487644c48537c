"""Ratios are medians over turns, whatever one busy moment does."""

import pytest

from yolo_edu.course import timing


def test_a_share_is_the_median_of_turns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    takes = {"a": iter([9, 9, 2.0, 2.0, 50.0]), "b": iter([9, 9, 1.0, 80.0, 25.0])}  # the first two: warming up

    def way(name: str) -> None:
        clock[0] += next(takes[name])

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    shares = timing.in_turns({"a": lambda: way("a"), "b": lambda: way("b")}, rounds=3)
    assert shares == {"a": 1.0, "b": 0.5}  # of 0.5, 40 and 0.5
    assert capsys.readouterr().out.splitlines()[:2] == ["a   1.00 of the time", "b   0.50 of the time"]
