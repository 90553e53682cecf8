"""How the kernels are compiled: one decorator for each kind of function, the options in one place."""

from __future__ import annotations

import contextlib
import functools
import gc

import numpy as np
from numba import config, njit, typeof
from numba.core.compiler_lock import global_compiler_lock
from numba.core.types import float32, unliteral
from numba.extending import overload, register_jitable

from fastbp.kernels.cache import KernelCache
from fastbp.kernels.compiler import PartCompiler, WholeCompiler

# No fastmath: `nnan` and `ninf` would hide divergence, and the tile operations say themselves where they contract.
# No NRT: kernels allocate nothing, and counting the references of their arguments cost a step of 100 x 10 -> 1 two
# fifths of its time. No rewrites: Numba looks for array expressions and prints, of which kernels have none.
_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_rewrites": True}

# A part is called by kernels alone: it needs no wrapper for Python or C, and becomes machine code within an entry.
_PART = {**_OPTIONS, "pipeline_class": PartCompiler, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def _part(**options):
    """The decorator of a part. It is compiled once for all integers: to Numba, one that is written out is a type."""

    def decorate(function):
        part = njit(**_PART, **options)(function)
        if not config.DISABLE_JIT:
            template_for = part.get_call_template
            part.get_call_template = lambda args, kws: template_for([unliteral(arg) for arg in args], kws)
        return part

    return decorate


# Loops over numbers: a function in machine code too, so that the processor's registers are its own. Within a larger
# function the constants of a sigmoid were loaded from memory for every vector.
kernel = _part(forceinline=False)

# What leads there, with dozens of arguments: a function of its own for the compiler, in machine code a piece of each
# caller.
inlined = _part(forceinline=True)

# What is done with vectors: in machine code such a piece too, but to Python a function like any other.
of_vectors = register_jitable(**_PART, forceinline=True)


def of_each_dtype(single, double):
    """What is done with a vector, in another way for each dtype."""

    def function(x):
        return (single if x.dtype == np.float32 else double)(x)

    overload(function, {**_PART, "forceinline": True})(lambda x: single if x.dtype == float32 else double)
    return function


# Pasted into its caller before types are known: a line or two, which LLVM must see there from the beginning.
pasted = njit(**_OPTIONS, inline="always")


class Entry:
    """What Python calls: a kernel with all that it calls, compiled once for each dtype and kept on disk."""

    def __init__(self, function, examples):
        self._examples = examples
        self._compiled = {}
        if config.DISABLE_JIT:
            # The twins would warn where machine code does not: e^-x may be inf, and 0 * inf shows what is not finite.
            self.dispatcher = np.errstate(all="ignore")(function)
            return
        self.dispatcher = njit(**_OPTIONS, pipeline_class=WholeCompiler, no_cfunc_wrapper=True)(function)
        self.dispatcher._cache = KernelCache(function)

    def for_dtype(self, dtype=None):
        """The kernel for arrays of a dtype. It takes arguments like the examples, and does not look whether they are.

        Numba looks at every number of every tuple to find the types of a call: 3.7 us of a step, which has dozens of
        them, and 0.7 us are left. Whether an array may be written makes no difference here.
        """
        compiled = self._compiled.get(dtype)
        if compiled is None:
            compiled = self._compiled[dtype] = self.dispatcher if config.DISABLE_JIT else self._compile(dtype)
        return compiled

    def _compile(self, dtype):
        """The machine code, compiled or loaded: not in the middle of another compilation, which LLVM aborts.

        The lock is the compiler's own. Held here, it keeps forks and other threads away while the collector rests.
        """
        if global_compiler_lock.is_locked():  # by this very thread
            raise RuntimeError(
                "this thread is in the middle of compiling or loading a kernel, as a signal handler may find it; "
                "a call after that is wanted"
            )
        with global_compiler_lock, _collector_at_rest():
            return self.dispatcher.compile(tuple(typeof(example) for example in self._examples(dtype)))


def entry(examples):
    """The decorator of what Python calls; examples(dtype) are arguments of the types that it takes for a dtype."""
    return functools.partial(Entry, examples=examples)


def example_matrices(dtype):
    """What examples are made of: a matrix of the dtype, one of float64 and one of int64."""
    return tuple(np.empty((1, 1), kind) for kind in (dtype, np.float64, np.int64))


@contextlib.contextmanager
def _collector_at_rest():
    """No garbage collection: a tenth of the time of compiling, since all that the compiler makes is gone through.

    Nor is all of it gone through at once afterwards: it counts as old, as what has been frozen does when it thaws.
    """
    was_enabled = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if gc.get_freeze_count() == 0:  # else the caller has frozen what is not ours to thaw
            gc.freeze()
            gc.unfreeze()
        if was_enabled:
            gc.enable()
