"""How many threads fastbp uses, and when it must use one."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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

        with _patience():
            start_threads()
        _started = True


@contextmanager
def _patience() -> Iterator[None]:
    """How often GNU OpenMP looks for its other threads before it gives up its core to them, if nobody has said so.

    The 300000 times that it looks by itself are 5 ms in which a thread that waits for that very core cannot run: with
    another process on the machine, a step of 1797 x 64 -> 10 took 8 ms; with 20000, 1.2 ms. With much fewer, both
    threads can end up on one core and stay there, each asleep while the other runs: the system spreads only threads
    that it sees running. On an idle machine a step takes 72 us with 20000 and with 300000. The library reads the
    variable when it is loaded, and nobody else is to see it.
    """
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = "20000"
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


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
