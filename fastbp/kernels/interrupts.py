"""Ctrl-C where the compiler must not be cut off."""

from __future__ import annotations

import contextlib
import signal
import threading


@contextlib.contextmanager
def heard_afterwards():
    """Ctrl-C is heard at the end, as it would have been before.

    So that Numba reads its registries whole: a generator does that, and if a KeyboardInterrupt ends it, every later
    compilation of the process ends with a RuntimeError. Only the main thread hears Ctrl-C, and only while a handler of
    Python's is set.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came = []
    signal.signal(signal.SIGINT, lambda *call: came.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[-1])
