"""The clock: candidates take turns, round after round, so that a slow moment of the machine hits them all.

Before its turn a candidate waits until the thread pools of the others have stopped spinning, and wakes its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import repeat
from statistics import median
from time import perf_counter, process_time, sleep
from typing import Any, NamedTuple

TURN_SECONDS = 0.02
WAKE_SECONDS = 0.02
HEATS = 3
# A call of so many seconds needs no waking: the few milliseconds are less than 1% of it.
LONG_SECONDS = 0.5
MARGIN = 1.3


class Candidate(NamedTuple):
    """What is timed: its family and name, how to run it, and what holds its threads."""

    family: str
    name: str
    run: Callable[[], Any]
    limited: Callable[[], AbstractContextManager[Any]]


def settle() -> None:
    """Wait, a second at most, until this process uses no more CPU time: idle pools spin for up to 100 ms."""
    for _ in range(200):
        before = process_time()
        sleep(0.005)
        if process_time() - before < 0.0005:
            return


def wake(run: Callable[[], Any]) -> None:
    """Run for a moment: the system takes some milliseconds to spread sleeping threads over the cores."""
    awake = perf_counter() + WAKE_SECONDS
    while perf_counter() < awake:
        run()


def turn(candidate: Candidate, calls: int, *, waking: bool = True) -> float:
    """Seconds of one call, the mean of `calls`."""
    run = candidate.run
    with candidate.limited():
        settle()
        if waking:
            wake(run)
        start = perf_counter()
        for _ in repeat(None, calls):
            run()
        return (perf_counter() - start) / calls


def contenders(candidates: list[Candidate], times: dict[str, list[float]]) -> list[Candidate]:
    """Those whose median is near the best of their family."""
    best: dict[str, float] = {}
    for candidate in candidates:
        best[candidate.family] = min(median(times[candidate.name]), best.get(candidate.family, float("inf")))
    return [each for each in candidates if median(times[each.name]) <= MARGIN * best[each.family]]


def timed(candidates: list[Candidate], seconds: float) -> dict[str, list[float]]:
    """Seconds of a call in each round, by name. After HEATS rounds only contenders go on, for `seconds` more."""
    times: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    first = {each.name: turn(each, 1) for each in candidates}

    def measure(candidate: Candidate) -> None:
        calls = max(1, round(TURN_SECONDS / first[candidate.name]))
        times[candidate.name].append(turn(candidate, calls, waking=first[candidate.name] < LONG_SECONDS))

    for _ in range(HEATS):
        for candidate in candidates:
            measure(candidate)
    finalists = contenders(candidates, times)
    start = perf_counter()
    while perf_counter() - start < seconds:
        for candidate in finalists:
            measure(candidate)
    return times
