"""What the machine can do at most: multiply-adds on all threads, and reading memory.

A step's limit is the larger of two times: its flops at the peak, and one read of x at the read bandwidth. Where x
fits in the caches the second is no bound, only a measure, and a step may be faster than its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import NamedTuple

import numba
import numpy as np

from .cases import Case, FloatArray

THREADS = numba.config.NUMBA_NUM_THREADS
CHAIN = 16
LANES = 1024
READ_BYTES = 512 * 2**20


class Limits(NamedTuple):
    """Peak in flop/s by dtype, read bandwidth in byte/s, both over all threads."""

    peak: dict[str, float]
    bandwidth: float

    def seconds(self, case: Case) -> float:
        """The limit of one call."""
        return max(case.flops / self.peak[case.dtype], case.bytes_of_x / self.bandwidth)

    def or_better(self, other: Limits) -> Limits:
        """The higher of each: whatever else the machine does can only lower what is measured."""
        peak = {dtype: max(flops, other.peak[dtype]) for dtype, flops in self.peak.items()}
        return Limits(peak, max(self.bandwidth, other.bandwidth))


@numba.njit(nogil=True, fastmath={"contract"})
def multiply_add(values, scale, shift, repeats):  # type: ignore[no-untyped-def]
    """values = values * scale + shift, CHAIN times for each load, on values that stay in the first-level cache.

    LLVM unrolls the chain and vectorises over the values; the chains of successive vectors are independent, so that
    out-of-order execution fills every multiply-add unit. A sum of products stops at half the peak: it needs a load
    for each multiply-add, and more accumulators than LLVM gives it.
    """
    for _ in range(repeats):
        for i in range(values.size):
            value = values[i]
            for _ in range(CHAIN):
                value = value * scale + shift
            values[i] = value


@numba.njit(nogil=True, fastmath={"contract", "reassoc", "nsz"})
def total(values):  # type: ignore[no-untyped-def]
    """The sum: every value is read once."""
    result = values.dtype.type(0)
    for i in range(values.size):
        result += values[i]
    return result


def best_seconds(work: Callable[[FloatArray], object], shares: list[FloatArray], repeats: int = 10) -> float:
    """The shortest time in which all threads do their shares of the work."""
    with ThreadPoolExecutor(len(shares)) as pool:
        list(pool.map(work, shares))  # compiles, and starts the threads

        def once() -> float:
            start = perf_counter()
            list(pool.map(work, shares))
            return perf_counter() - start

        return min(once() for _ in range(repeats))


def measure_peak(dtype: str, repeats: int = 4000) -> float:
    """Flop/s of multiply-adds over all threads."""
    half = np.dtype(dtype).type(0.5)
    shares = [np.ones(LANES, dtype) for _ in range(THREADS)]
    seconds = best_seconds(lambda values: multiply_add(values, half, half, repeats), shares)
    return float(2.0 * CHAIN * LANES * THREADS * repeats / seconds)


def measure_bandwidth(nbytes: int = READ_BYTES) -> float:
    """Byte/s of reading an array much larger than the caches, over all threads."""
    values = np.ones(nbytes // 4, np.float32)
    return values.nbytes / best_seconds(total, np.array_split(values, THREADS))


def measure_limits() -> Limits:
    return Limits({dtype: measure_peak(dtype) for dtype in ("float32", "float64")}, measure_bandwidth())
