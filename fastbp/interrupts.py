"""Ctrl-C and other signals where what is under way must not be cut off."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def heard_afterwards() -> Iterator[None]:
    """Whatever signals come, their handlers are called at the end, as they would have been before.

    A handler may raise anything, as that of Ctrl-C does. In the middle of the import of Numba, or of its reading of its
    registries, that would spoil every later compilation of the process; in a callback of LLVM's, Python would drop it.
    Only the main thread calls handlers, and only those of Python's can be kept back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: handler for number in signal.valid_signals() if callable(handler := signal.getsignal(number))}
    came: dict[Any, Any] = {}
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: came.setdefault(number, frame))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _hear([(handlers[number], number, frame) for number, frame in came.items()])


def _hear(calls: list[tuple[Any, int, Any]]) -> None:
    """All of them, also if the first one raises."""
    if calls:
        (handler, *call), *others = calls
        try:
            handler(*call)
        finally:
            _hear(others)
