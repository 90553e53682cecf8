"""How the kernels are compiled: one decorator for each kind of function, the options in one place."""

from __future__ import annotations

from numba import njit

# No fastmath: `nnan` and `ninf` would hide divergence, and the tile operations say themselves where they contract.
_OPTIONS = {"nogil": True, "error_model": "numpy"}

# Compiled once and called. It is never called from Python, so it needs no wrapper for it.
kernel = njit(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)

# Pasted into its caller: calls of tiny functions cost 4.4 s of compilation where pasting them costs 1.4 s.
inlined = njit(**_OPTIONS, inline="always")

# What Python calls: the only functions that are kept in the cache, and the only ones that run on several threads.
entry = njit(**_OPTIONS, parallel=True)
