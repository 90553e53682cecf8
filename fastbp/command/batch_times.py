"""The time for some batches of training, fused and in NumPy, measured one after the other on the same data."""

from __future__ import annotations

import time
import warnings
from typing import Any, NamedTuple

import numpy.typing as npt
from threadpoolctl import threadpool_limits

import fastbp
from fastbp import reference
from fastbp.bench.timing import settle
from fastbp.optimizers import Optimizer

BUDGET = 0.1  # seconds for each engine, if a batch does not take longer
RUNS = 5
# So many batches that their rows times parameters come to WORK: in NumPy, 20 to 60 ms on one thread.
WORK = 1 << 26
ROWS_OF_AN_UPDATE = 10  # that an optimizer's update of the parameters takes as long as
MOST_BATCHES = 100
# BLAS uses one thread unless all are so much faster: over small batches they mostly wait for each other, and where the
# machine does something else as well, 30 times as long as they work.
WORTH_ALL_THREADS = 1.3


class BatchTimes(NamedTuple):
    """Seconds for so many batches with either engine: the fastest of some runs."""

    batches: int
    fused: float
    numpy: float


def time_both(
    x: npt.NDArray[Any], y: npt.NDArray[Any], trained: fastbp.Network, optimizer: Optimizer, batch_size: int
) -> BatchTimes | None:
    """Time an epoch of untrained twins of a network, or as many of its batches as `timed_batches` says.

    None if one of them diverges.
    """
    made = trained.architecture
    fused, plain = (
        kind(
            made.sizes,
            activation=made.activations[:-1],
            output_activation=made.activations[-1],
            loss=made.loss,
            dtype=made.dtype,
        )
        for kind in (fastbp.Network, reference.Network)
    )

    def run(network: fastbp.Network | reference.Network, batches: int) -> float:
        rows = min(len(x), batches * batch_size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the schedule has ended: a batch takes as long after that
            start = time.perf_counter()
            network.fit(x[:rows], y[:rows], batch_size=batch_size, optimizer=optimizer)
            return time.perf_counter() - start

    def timed(network: fastbp.Network | reference.Network, batches: int) -> float:
        settle()
        start, seconds = time.perf_counter(), list[float]()
        while len(seconds) < RUNS and (not seconds or time.perf_counter() - start < BUDGET):
            seconds.append(run(network, batches))
        return min(seconds)

    def batch_of_numpy(threads: int | None) -> float:
        with threadpool_limits(threads, "blas"):
            return min(run(plain, 1) for _ in range(2))

    try:
        one, every = batch_of_numpy(1), batch_of_numpy(None)
        threads = None if every < one / WORTH_ALL_THREADS else 1
        batches = timed_batches(len(x), batch_size, sum(array.size for array in (*trained.weights, *trained.biases)))
        run(fused, batches)
        fused_seconds = timed(fused, batches)
        with threadpool_limits(threads, "blas"):
            return BatchTimes(batches, fused_seconds, timed(plain, batches))
    except FloatingPointError:
        return None


def timed_batches(rows: int, batch_size: int, parameters: int) -> int:
    """How many batches are timed: an epoch, or less where that is much work; the same in every run."""
    of_a_batch = parameters * (min(rows, batch_size) + ROWS_OF_AN_UPDATE)
    return max(1, min(-(-rows // batch_size), MOST_BATCHES, WORK // of_a_batch))
