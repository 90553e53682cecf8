"""How wide the host's vector registers are, and how many there are: the numbers that size every tile."""

from __future__ import annotations

import os
import platform

import llvmlite.binding as llvm
from numba import config

WIDTHS = (128, 256, 512)
CACHE_LINE = 64


def cpu_features() -> dict[str, bool]:
    """What code is compiled for: the features of the host by LLVM's names, or those in NUMBA_CPU_FEATURES.

    For NUMBA_CPU_NAME=generic Numba takes none: code for every processor of this kind.
    """
    if config.CPU_FEATURES is None:
        return dict(llvm.get_host_cpu_features())
    return {feature[1:]: feature.startswith("+") for feature in config.CPU_FEATURES.split(",") if feature}


def host_register_bits() -> int:
    """Bits of the widest registers that hold float arithmetic here: 512 (AVX-512), 256 (AVX2) or 128 (SSE, NEON)."""
    features = cpu_features()
    if features.get("avx512f") and features.get("avx512dq") and features.get("avx512vl"):
        return 512
    if features.get("avx2") and features.get("fma"):
        return 256
    return 128


def chosen_register_bits() -> int:
    """The host's width, or what the environment variable FASTBP_REGISTER_BITS forces.

    A wider one runs too, for the compiler makes several registers of one: slowly, but what an AVX-512 machine computes
    can be tested on any.
    """
    forced = os.environ.get("FASTBP_REGISTER_BITS")
    if forced is None:
        return host_register_bits()
    if forced not in [str(width) for width in WIDTHS]:
        raise ValueError(f"FASTBP_REGISTER_BITS is {forced!r}; one of {WIDTHS} is wanted")
    return int(forced)


REGISTER_BITS = chosen_register_bits()
REGISTERS = 32 if REGISTER_BITS == 512 or platform.machine() in ("aarch64", "arm64") else 16
CACHE_LINE_VECTORS = CACHE_LINE * 8 // REGISTER_BITS  # of a cache line

# A tile of TILE_ROWS x TILE_VECTORS accumulators, one row of TILE_VECTORS operands and one broadcast fill the
# register file: 6 x 4 + 4 + 1 = 29 of 32, or 6 x 2 + 2 + 1 = 15 of 16.
TILE_ROWS = 6
TILE_VECTORS = 4 if REGISTERS == 32 else 2


def lanes_of(itemsize: int) -> int:
    """Elements of `itemsize` bytes in one vector."""
    return REGISTER_BITS // 8 // itemsize
