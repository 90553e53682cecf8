"""How many threads fastbp uses, and when it must use one."""

from __future__ import annotations

import operator
import os
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_chosen: int | None = None
_started = False
_forked = False
_one_at_a_time = threading.Lock()


def available() -> int:
    """Threads that Numba's threading layer has: the processors of this process, or NUMBA_NUM_THREADS."""
    from numba import config

    return int(config.NUMBA_NUM_THREADS)


def set_num_threads(n: int) -> None:
    """Use at most n threads, from 1 on; no result depends on it. It concerns fastbp alone."""
    try:
        number = operator.index(n)
    except TypeError:
        raise TypeError(f"n is {n!r}; a whole number of threads is wanted") from None
    if number < 1:
        raise ValueError(f"n is {number}; 1 or more threads are wanted")
    global _chosen
    _chosen = number


def get_num_threads() -> int:
    """The number of threads that fastbp uses at most."""
    if _forked:
        return 1
    return _chosen if _chosen is not None else available()


def start() -> None:
    """Start the threading layer, once."""
    global _started
    if not _started:
        from fastbp.tiles.workers import start_threads

        start_threads()
        _started = True


def layer() -> str:
    """The threading layer: omp, tbb or workqueue."""
    import numba

    start()
    return str(numba.threading_layer())


def turn(threads: int) -> AbstractContextManager[Any]:
    """To hold while a kernel runs on several threads: the workqueue layer takes one caller at a time."""
    return _one_at_a_time if threads > 1 and layer() == "workqueue" else nullcontext()


def _after_fork() -> None:
    # The threads of the parent do not live on in the child, and the omp layer ends a child that asks for them.
    global _forked
    _forked = _started


os.register_at_fork(after_in_child=_after_fork)
