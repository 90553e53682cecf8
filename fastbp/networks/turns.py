"""Threads that use one network: those that change it take turns, those that look at it do so beside each other.

A change that is cut off half-way, by Ctrl-C or by a fork, is settled before anybody sees the network again.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Seen = TypeVar("Seen")


class Turns:
    """What one thread changes at a time; a subclass says how a change that is cut off is settled."""

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()
        self._changes = 0
        self._change: Any = None  # the one under way
        _all.add(self)

    def _settle(self, change: Any) -> None:
        """Finish a change or undo it; once more, if this is cut off as well."""
        raise NotImplementedError

    def _abandon(self, change: Any) -> None:
        """In the child of a fork: undo what a thread that is not there had begun, and the change under way, if any."""
        raise NotImplementedError

    def turn(self) -> AbstractContextManager[Any]:
        """For `with`: nobody else changes anything. RuntimeError for a thread that has its turn already.

        It is the lock as such: Ctrl-C comes neither just before nor just after the moment when `with` takes it. Who had
        it before may have been cut off: a turn begins with `settle`.
        """
        if self._lock._is_owned():
            raise RuntimeError(
                "the network is in the middle of a call of this very thread, as a signal handler may find it; "
                "a call from elsewhere is wanted, such as fit's callback"
            )
        if self._change is not None:
            with self._lock:
                self.settle()
        return self._lock  # type: ignore[no-any-return]

    def look(self, look: Callable[[], Seen]) -> Seen:
        """What `look` sees while nothing changes."""
        before = self._changes  # first of all: a change that comes now has another number
        if self._change is None or self._lock._is_owned():
            seen = look()
            if self._changes == before:
                return seen
        with self.turn():
            self.settle()
            return look()

    def begin(self, change: Any) -> None:
        """Within a turn: a change is to come."""
        self._change = change
        self._changes += 1

    def end(self) -> None:
        """It has come."""
        self._change = None

    def settle(self) -> None:
        """If it was cut off: all is as before it or after it."""
        if self._change is not None:
            self._settle(self._change)
            self.end()

    def after_fork(self) -> None:
        """In the child: a thread that had its turn is not there."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return
        self._lock = threading.RLock()
        self._abandon(self._change)
        self.end()


_all: weakref.WeakSet[Turns] = weakref.WeakSet()


def _after_fork() -> None:
    for turns in _all:
        turns.after_fork()


if hasattr(os, "register_at_fork"):  # where processes fork
    os.register_at_fork(after_in_child=_after_fork)
