"""How the kernels are compiled: one decorator for each kind of function, the options in one place."""

from __future__ import annotations

import contextlib
import gc
import os

import numpy as np
from numba import config, njit
from numba.core.compiler_lock import global_compiler_lock

from fastbp.kernels.cache import KernelCache
from fastbp.kernels.linking import PartCompiler, WholeCompiler

# No fastmath: `nnan` and `ninf` would hide divergence, and the tile operations say themselves where they contract.
# No NRT: kernels allocate nothing, and counting the references of their arguments cost a step of 100 x 10 -> 1 two
# fifths of its time. No rewrites: Numba looks for array expressions and prints, of which kernels have none.
_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_rewrites": True}

# What is part of what Python calls has no wrapper for Python, and machine code only there.
_PART = {**_OPTIONS, "pipeline_class": PartCompiler, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# Loops over numbers: a function in machine code too, so that the processor's registers are its own. Within a larger
# function the constants of a sigmoid were loaded from memory for every vector.
kernel = njit(**_PART, forceinline=False)

# What leads there, with dozens of arguments: a function of its own for the compiler, in machine code a piece of each
# caller.
inlined = njit(**_PART, forceinline=True)

# Pasted into its caller before types are known: what takes numbers that tell types, such as the size of a tile.
pasted = njit(**_OPTIONS, inline="always")


def entry(function):
    """What Python calls: compiled with all that it calls, and kept on disk."""
    if config.DISABLE_JIT:
        # The twins would warn where machine code does not: e^-x may be inf, and 0 * inf shows what is not finite.
        return np.errstate(all="ignore")(function)
    dispatcher = njit(**_OPTIONS, pipeline_class=WholeCompiler, no_cfunc_wrapper=True)(function)
    dispatcher._cache = KernelCache(function)
    dispatcher._compile_for_args = _unless_compiling(dispatcher._compile_for_args)
    return dispatcher


def _unless_compiling(compile_for_args):
    """What Numba calls for arguments of new types: not in the middle of another compilation, which LLVM aborts.

    The lock is the compiler's own. Held here, it keeps forks and other threads away while the collector rests.
    """

    def compile_at_rest(*args, **kws):
        if global_compiler_lock.is_locked():  # by this very thread
            raise RuntimeError(
                "this thread is in the middle of compiling or loading a kernel, as a signal handler may find it; "
                "a call after that is wanted"
            )
        with global_compiler_lock, _collector_at_rest():
            return compile_for_args(*args, **kws)

    return compile_at_rest


@contextlib.contextmanager
def _collector_at_rest():
    """No garbage collection: a tenth of the time of compiling, since all that the compiler makes is gone through."""
    was_enabled = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if was_enabled:
            gc.enable()


if hasattr(os, "register_at_fork"):  # where processes fork
    # A fork waits for what another thread compiles: in the child nobody would give the compiler's lock back.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
