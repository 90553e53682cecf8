"""The time for a training step, fused and in NumPy, measured side by side on the same data."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import fastbp as engine
from fastbp import reference

BUDGET = 0.3  # seconds for each engine
SLICE = 0.02  # seconds that one timed run should last
LEAST_STEPS = 4  # in a run, whose last cost takes a part of a step more
MOST_RUNS = 25


class Comparison(NamedTuple):
    """Seconds for a step of either engine: the medians of runs taken in turn."""

    fused: float
    numpy: float


def compare(x: npt.NDArray[Any], y: npt.NDArray[Any], learning_rate: float) -> Comparison:
    """Time both engines' `train` from zero weights, after a warm-up."""

    def run(train: Callable[..., Any], steps: int) -> float:
        w, b = np.zeros((x.shape[1], y.shape[1]), x.dtype), np.zeros(y.shape[1], x.dtype)
        start = time.perf_counter()
        train(x, y, w, b, learning_rate=learning_rate, steps=steps, bias_reduction="sum")
        return (time.perf_counter() - start) / steps

    engines = (engine.train, reference.train)
    steps = []
    for train in engines:
        run(train, 1)
        steps.append(max(LEAST_STEPS, round(SLICE / run(train, LEAST_STEPS))))
    seconds: tuple[list[float], list[float]] = ([], [])
    start = time.perf_counter()
    while len(seconds[0]) < MOST_RUNS and (not seconds[0] or time.perf_counter() - start < 2 * BUDGET):
        for train, count, taken in zip(engines, steps, seconds, strict=True):
            taken.append(run(train, count))
    return Comparison(median(seconds[0]), median(seconds[1]))
