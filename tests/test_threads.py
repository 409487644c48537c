"""Work in threads: in order, not too far ahead, errors handed on."""

import threading
import time

import pytest

from yolo_edu.errors import UserError
from yolo_edu.threads import ahead, in_threads


def test_in_threads_keeps_the_order() -> None:
    assert in_threads(lambda item: item * item, range(50), "squares") == [item * item for item in range(50)]


def test_ahead_is_a_map_in_order_and_works_on_several_items_at_once() -> None:
    together = threading.Barrier(3)  # opens when three are at work at the same time

    def slow(item: int) -> int:
        if item < 3:
            together.wait(timeout=60)
        return item * item

    assert list(ahead(slow, range(9), 3)) == [item * item for item in range(9)]
    assert list(ahead(slow, [], 2)) == []


def test_ahead_does_not_run_away_from_its_reader() -> None:
    started: list[int] = []
    results = ahead(lambda item: started.append(item), range(1000), 2)
    next(results)
    time.sleep(0.02)
    assert len(started) <= 6


def test_ahead_drops_what_nobody_waits_for() -> None:
    started: list[int] = []
    go_on = threading.Event()

    def work(item: int) -> None:
        started.append(item)
        if item:
            go_on.wait(10)

    results = ahead(work, range(1000), 2)
    next(results)
    threading.Timer(0.1, go_on.set).start()
    results.close()  # type: ignore[attr-defined]
    assert set(started) <= {0, 1, 2}  # two more had been handed out


def test_ahead_hands_on_an_error_and_stops() -> None:
    started: list[int] = []

    def fail(item: int) -> None:
        started.append(item)
        time.sleep(0.001)
        if item == 3:
            raise UserError("item 3")

    with pytest.raises(UserError, match="item 3"):
        list(ahead(fail, range(1000), 2))
    assert len(started) < 20
