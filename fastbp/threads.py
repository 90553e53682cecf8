"""How many threads fastbp uses."""

from __future__ import annotations

import functools
import os

from fastbp import contract, quota
from fastbp.imports import imported_whole

# Threads that a call is planned for, at most, where there are fewer processors: each has memory of its own.
MOST_THREADS = 64

_chosen: int | None = None
_of_call: int | None = None


@functools.cache
def available() -> int:
    """NUMBA_NUM_THREADS, or the processors that this process may run on, as far as its control group lets it."""
    most = int(imported_whole("numba").config.NUMBA_NUM_THREADS)
    return most if "NUMBA_NUM_THREADS" in os.environ else max(1, int(min(most, quota.processors())))


def set_num_threads(n: int) -> None:
    """Use at most n threads, from 1 on; no result depends on it. It concerns fastbp alone."""
    global _chosen, _of_call
    chosen = contract.count("n", n, 1)
    _of_call = chosen if chosen <= MOST_THREADS else min(chosen, max(available(), MOST_THREADS))
    _chosen = chosen


def get_num_threads() -> int:
    """The number of threads that fastbp uses at most."""
    return _chosen if _chosen is not None else available()


def threads_of_call() -> int:
    """How many threads a call is planned for: not all that were asked for, where these could not be of use."""
    return _of_call if _of_call is not None else available()
