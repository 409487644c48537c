"""Timings that mean something on any machine: ratios, measured in turns, in one run."""

import statistics
import time
from collections.abc import Callable, Mapping

ROUNDS = 30


def in_turns(ways: Mapping[str, Callable[[], object]], *, rounds: int = ROUNDS) -> dict[str, float]:
    """Run the ways one after the other, again and again, and print each one's time as a share of the first's.

    The share is the median over the rounds, so a moment in which the machine was busy with something else
    does not count. Every way is run twice before the clock starts.

    Args:
        ways: name → what to run; the first is the measure of the others.
        rounds: how often each runs.

    Returns:
        name → share of the first way's time; the first has 1.
    """
    for way in ways.values():
        way()
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    first = next(iter(times.values()))
    shares = {name: statistics.median(a / b for a, b in zip(own, first, strict=True)) for name, own in times.items()}
    width = max(map(len, shares))
    for name, share in shares.items():
        print(f"{name:<{width}}  {share:5.2f} of the time")
    print(f"medians of {rounds} turns, measured side by side on this machine just now")
    return shares
