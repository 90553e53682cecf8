"""Modules that bring Numba, which takes longer to import than all else together: the first call imports them, whole.

Cut off by Ctrl-C, Numba would be there in parts, and no later call could have it; and in the child of a fork a module
that another thread had half imported would be waited for in vain. So signals are heard, and forks made, afterwards.
"""

from __future__ import annotations

import functools
import importlib
import logging as logging  # Numba imports it anyway, but with hooks for a fork, which may be waiting by then
import os
import sys
import threading
from types import ModuleType
from typing import Any

from fastbp.interrupts import heard_afterwards

_importing = threading.RLock()


@functools.cache
def imported_whole(name: str) -> ModuleType:
    """The module of that name."""
    with _importing, heard_afterwards():
        return importlib.import_module(name)


class _Fork:
    """No thread imports or compiles while another one forks: in the child nobody would give its locks back."""

    def __init__(self) -> None:
        self._compiling: Any = None

    def before(self) -> None:
        _importing.acquire()  # first of all: who imports the kernels takes the compiler's lock, too
        self._compiling = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
        if self._compiling:
            self._compiling.acquire()

    def after(self) -> None:
        if self._compiling:
            self._compiling.release()
        _importing.release()


if hasattr(os, "register_at_fork"):  # where processes fork
    _fork = _Fork()
    os.register_at_fork(before=_fork.before, after_in_parent=_fork.after, after_in_child=_fork.after)
