"""The check before the clock: on a small case an implementation trains as the reference does in float64.

Every w and b must have moved as the reference's have, to within TOLERANCE of the largest move, and the loss must agree
to within TOLERANCE of itself. Full cases are not checked: over thousands of updates in float32 rounding grows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..cases import FloatArray
from ..comparison import TOLERANCE, Subject, relative
from ..registry import Implementation
from .batches import Run
from .cases import Case, Problem
from .implementations import IMPLEMENTATIONS, engine

# Calls before the results are compared: with batches a second epoch of fastbp has an order of its own.
EPOCHS, STEPS = 1, 3


class Trained(NamedTuple):
    """Where training went: (w, b) of each layer as they are now, and the loss of the last call."""

    parameters: list[tuple[FloatArray, FloatArray]]
    loss: float


def trained(run: Run, problem: Problem) -> Trained:
    """The result of a call, or of some where a call is a step."""
    for _ in range(STEPS if problem.order is None else EPOCHS):
        parameters, loss = run()
    return Trained([(_copy(w), _copy(b)) for w, b in parameters], loss)


def _copy(array: Any) -> FloatArray:
    return np.array(np.asarray(array), np.float64)


def truth(problem: Problem) -> Trained:
    """What the reference comes to in float64, from the same numbers."""
    wide = problem._replace(
        case=replace(problem.case, dtype="float64"),
        x=problem.x.astype(np.float64),
        parameters=[(w.astype(np.float64), b.astype(np.float64)) for w, b in problem.parameters],
    )
    return trained(engine("fastbp.reference", wide), wide)


def deviation(result: Trained, expected: Trained, problem: Problem) -> float:
    """The largest error of any w, b and the loss, relative to how far it moved or to the loss; inf for a nan."""
    errors = [relative(abs(result.loss - expected.loss), abs(expected.loss))]
    for got, wanted, start in zip(result.parameters, expected.parameters, problem.parameters, strict=True):
        for array, right, before in zip(got, wanted, start, strict=True):
            if array.shape != right.shape:
                return float("inf")
            errors.append(relative(float(np.abs(array - right).max()), float(np.abs(right - before).max())))
    return max(errors) if np.isfinite(errors).all() else float("inf")


def preparation(case: Case) -> Callable[[Implementation], tuple[Run, float]]:
    """What sets an implementation up on a case, and checks it on the small one."""
    problem, small = case.problem(), case.small().problem()
    expected = truth(small)

    def prepare(implementation: Implementation) -> tuple[Run, float]:
        off = deviation(trained(implementation.setup(small), small), expected, small)
        run = implementation.setup(problem)
        if off <= TOLERANCE[case.dtype]:  # else it is not timed
            run()  # compiles
        return run, off

    return prepare


NETWORKS = Subject("networks", IMPLEMENTATIONS, preparation)
