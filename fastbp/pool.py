"""The threads that help a call: a pool of fastbp's own.

Helpers are threads of Python that run a kernel, `team.help_out`, without the lock of the interpreter. They look for
calls for a moment after the last one, so that a loop of steps finds them awake, and sleep then. A call that finds them
at work for another thread does without.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from numba import config

from fastbp import threads
from fastbp.kernels import team
from fastbp.tiles import atomics

# Looks of a helper before it sleeps: half a millisecond here. Between the steps of a loop lie 20 us and what the loop
# does else; a helper that sleeps is back after 100 us.
LOOKS_BEFORE_SLEEPING = 20_000
# Seconds until a thread that the system did not give is asked for again.
RETRY = 1.0


class Pool:
    """Helpers, numbered from 1 on, behind a door: at most one less than there are processors."""

    def __init__(self) -> None:
        self._most = threads.available() - 1
        self._hired = 0
        self._retry_at = 0.0  # in the time of the process: no thread is asked for before
        self.door = atomics.board(team.HELPERS + 2 * self._most)
        team.help_out.for_dtype()  # compiled, or loaded, before the first helper needs it

    def hire(self, helpers: int) -> None:
        """See that there are so many helpers, if the system allows."""
        if self._hired < min(helpers, self._most):
            with _opening:
                while self._hired < min(helpers, self._most) and time.monotonic() >= self._retry_at:
                    self._start(self._hired + 1)

    def _start(self, number: int) -> None:
        # Counted before it is there: Ctrl-C in between costs its help, but no two helpers ever have the same number.
        self._hired = number
        arguments = threading.get_native_id(), self.door, number
        try:
            atomics.hang_bell(self.door, team.HELPERS + 2 * number - 1)
            threading.Thread(target=_help, args=arguments, name=f"fastbp-{number}", daemon=True).start()
        except RuntimeError:  # the system gives no more threads now: those that are there will do
            self._hired, self._retry_at = number - 1, time.monotonic() + RETRY


def _help(starter: int, door: Any, number: int) -> None:
    """What a helper does: nothing, if it is in the starter's own thread, as gevent's are that stand in for threads."""
    if threading.get_native_id() != starter:
        team.help_out.for_dtype()(door, number, LOOKS_BEFORE_SLEEPING)


_NOBODY = atomics.board(0)
_current: Pool | None = None
_opening = threading.RLock()  # held by who opens the pool, or hires; a signal handler may come in between


def engage(workers: int) -> Any:
    """The door behind which a call of so many workers finds helpers; an empty one if it needs none."""
    global _current
    if config.DISABLE_JIT:
        return _NOBODY
    pool = _current  # a signal handler may fork: the child's is another
    if pool is None:  # also for one worker: the first call compiles all that later ones need
        with _opening:
            made = _current or Pool()
            _current = pool = _current or made  # a signal handler may have made another one meanwhile
    if workers == 1:
        return _NOBODY
    pool.hire(workers - 1)
    return pool.door


def _after_fork() -> None:
    # The helpers of the parent do not live on in the child, nor does a thread that was hiring them.
    global _current, _opening
    _current, _opening = None, threading.RLock()


if hasattr(os, "register_at_fork"):  # where processes fork
    os.register_at_fork(after_in_child=_after_fork)
