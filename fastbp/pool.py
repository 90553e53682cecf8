"""The threads that help a call: a pool of fastbp's own.

Helpers are threads of Python that run a kernel, `team.help_out`, without the lock of the interpreter. They look for
calls for a moment after the last one, so that a loop of steps finds them awake, and sleep then. A caller that finds the
pool taken by another thread works alone.
"""

from __future__ import annotations

import os
import threading

from numba import config

from fastbp import threads
from fastbp.kernels import team
from fastbp.tiles import atomics

# Looks of a helper before it sleeps: half a millisecond here. Between the steps of a loop lie 20 us and what the loop
# does else; a helper that sleeps is back after 100 us.
LOOKS = 20_000


class Pool:
    """Helpers, numbered from 1 on, behind a door: at most one less than there are processors."""

    def __init__(self) -> None:
        self._most = threads.available() - 1
        self._bells: list[threading.Lock] = []
        self.taken = threading.Lock()
        self.door = atomics.board(team.ASLEEP + 1 + self._most)
        team.help_out(self.door, team.LEADER, 0)  # compiled, or loaded, before the first helper needs it

    def release(self) -> None:
        """Leave the pool to the next caller."""
        self.taken.release()

    def gather(self, helpers: int) -> None:
        """See that so many helpers are awake, or about to be."""
        helpers = min(helpers, self._most)
        while len(self._bells) < helpers <= self._most:
            self._hire()
        for number, bell in enumerate(self._bells[:helpers], 1):
            if self.door[team.ASLEEP + number, 0]:
                self.door[team.ASLEEP + number, 0] = 0
                bell.release()

    def _hire(self) -> None:
        """Start a helper; it begins as if it had been woken."""
        bell, number = threading.Lock(), len(self._bells) + 1
        helper = threading.Thread(target=self._serve, args=(bell, number), name=f"fastbp-{number}", daemon=True)
        try:
            helper.start()
        except RuntimeError:  # the system gives no more threads: those that are there will do
            self._most = len(self._bells)
        else:
            self._bells.append(bell)

    def _serve(self, bell: threading.Lock, number: int) -> None:
        while True:
            bell.acquire()
            team.help_out(self.door, number, LOOKS)


NOBODY = atomics.board(0)
_current: Pool | None = None


def engage(workers: int) -> Pool | None:
    """The pool, with helpers for a call of so many workers, to be released after it; None if it is taken."""
    global _current
    if _current is None:
        _current = Pool()
    pool = _current
    if workers == 1 or config.DISABLE_JIT or not pool.taken.acquire(blocking=False):
        return None
    pool.gather(workers - 1)
    return pool


def _after_fork() -> None:
    # The helpers of the parent do not live on in the child.
    global _current
    _current = None


if hasattr(os, "register_at_fork"):  # where processes fork
    os.register_at_fork(after_in_child=_after_fork)
