"""What the machine can do at most: multiply-adds on all threads, and reading memory.

A step's limit is the larger of two times: its flops at the peak, and one read of x at the read bandwidth. Where x
fits in the caches the second is no bound, only a measure, and a step may be faster than its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

import fastbp

from .cases import FloatArray

# Of all that is compared: as many as fastbp takes by itself, which leaves a quota of the control group alone.
THREADS = fastbp.get_num_threads()
CHAINS = 12
READ_BYTES = 512 * 2**20


class Work(Protocol):
    """What a limit is computed of: a case."""

    @property
    def dtype(self) -> str: ...
    @property
    def flops(self) -> int: ...
    @property
    def bytes_of_x(self) -> int: ...


class Limits(NamedTuple):
    """Peak in flop/s by dtype, read bandwidth in byte/s, both over all threads."""

    peak: dict[str, float]
    bandwidth: float

    def seconds(self, case: Work) -> float:
        """The limit of one call."""
        return max(case.flops / self.peak[case.dtype], case.bytes_of_x / self.bandwidth)

    def or_better(self, other: Limits) -> Limits:
        """The higher of each: whatever else the machine does can only lower what is measured."""
        peak = {dtype: max(flops, other.peak[dtype]) for dtype, flops in self.peak.items()}
        return Limits(peak, max(self.bandwidth, other.bandwidth))


def _multiply_adds(bits: int) -> Any:
    """work(values, scale, shift, repeats): CHAINS registers of `bits`, each times scale plus shift, over and over.

    The registers start as values[0], and the sum of all their lanes is returned. The vectors are written out: LLVM
    prefers half the width on some processors that have twice, and stops at half their peak. The chains are independent
    and more than the multiply-add units have stages, so that none of them is ever idle.
    """

    @intrinsic
    def chains(typing: Any, start: Any, scale: Any, shift: Any, repeats: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            start, scale, shift, repeats = arguments
            lanes = bits // signature.return_type.bitwidth
            vector = ir.VectorType(start.type, lanes)
            suffix = f"v{lanes}f{signature.return_type.bitwidth}"
            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.{suffix}"
            )

            def spread(scalar: Any) -> Any:
                lane = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
                order = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                return builder.shuffle_vector(lane, lane, order)

            registers = [cgutils.alloca_once_value(builder, spread(start)) for _ in range(CHAINS)]
            scales, shifts = spread(scale), spread(shift)
            with cgutils.for_range(builder, repeats):
                for register in registers:
                    builder.store(builder.call(fma, [builder.load(register), scales, shifts]), register)
            total = start.type(0.0)
            for register in registers:
                for lane in range(lanes):
                    total = builder.fadd(total, builder.extract_element(builder.load(register), ir.IntType(32)(lane)))
            return total

        return start(start, start, start, types.intp), emit

    @numba.njit(nogil=True)
    def work(values: Any, scale: Any, shift: Any, repeats: Any) -> Any:
        return chains(values[0], scale, shift, repeats)

    return work


# By bits of a register. A width that the processor lacks is measured too, and is no faster than its own.
multiply_adds = {bits: _multiply_adds(bits) for bits in (128, 256, 512)}


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


def measure_peak(dtype: str, repeats: int = 4_000_000) -> float:
    """Flop/s of multiply-adds over all threads.

    So many repeats take 7 ms: to hand them to the threads takes 0.1, a quarter of all time with a twentieth of them.
    """
    half = np.dtype(dtype).type(0.5)
    shares = [np.ones(1, dtype) for _ in range(THREADS)]
    peaks = []
    for bits, work in multiply_adds.items():
        flops = 2.0 * CHAINS * (bits // 8 // half.itemsize) * THREADS * repeats
        peaks.append(flops / best_seconds(partial(work, scale=half, shift=half, repeats=repeats), shares))
    return float(max(peaks))


def measure_bandwidth(nbytes: int = READ_BYTES) -> float:
    """Byte/s of reading an array much larger than the caches, over all threads."""
    values = np.ones(nbytes // 4, np.float32)
    return values.nbytes / best_seconds(total, np.array_split(values, THREADS))


def measure_limits() -> Limits:
    return Limits({dtype: measure_peak(dtype) for dtype in ("float32", "float64")}, measure_bandwidth())
