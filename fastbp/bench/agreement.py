"""The check before the clock: an implementation trains as the reference does in float64, or it is not timed.

After a few calls from the same start, w and b must have moved as the reference's have, to within TOLERANCE of the
largest move, and the cost must agree to within TOLERANCE of itself. The bound on a move is what makes the check
sharp: learning rates are small, and weights that never moved would be close to the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .cases import Case, FloatArray, Problem
from .comparison import Subject, relative
from .implementations import IMPLEMENTATIONS, engine
from .registry import Implementation
from .training import Run

CALLS = 3


class Trained(NamedTuple):
    """Where training went: w and b as they are now, and the cost before the last update."""

    w: FloatArray
    b: FloatArray
    cost: float


def trained(run: Run) -> Trained:
    """The result of CALLS calls."""
    for _ in range(CALLS):
        w, b, cost = run()
    return Trained(np.array(np.asarray(w), np.float64), np.array(np.asarray(b), np.float64), float(cost))


def truth(problem: Problem) -> Trained:
    """What the reference comes to in float64, from the same numbers."""
    x, y, w, b = (array.astype(np.float64) for array in problem[:4])
    return trained(engine("fastbp.reference", Problem(x, y, w, b, problem.learning_rate, problem.steps)))


def deviation(result: Trained, expected: Trained, problem: Problem) -> float:
    """The largest error of w, b and the cost, relative to how far w and b moved and to the cost; inf for a nan."""
    errors = [relative(abs(result.cost - expected.cost), expected.cost)]
    for got, wanted, start in zip(result[:2], expected[:2], (problem.w, problem.b), strict=True):
        if got.shape != wanted.shape:
            return float("inf")
        errors.append(relative(float(np.abs(got - wanted).max()), float(np.abs(wanted - start).max())))
    return max(errors) if np.isfinite(errors).all() else float("inf")


def preparation(case: Case) -> Callable[[Implementation], tuple[Run, float]]:
    """What sets an implementation up on a case; it is the timed one that is checked, since it compiles so."""
    problem = case.problem()
    expected = truth(problem)

    def prepare(implementation: Implementation) -> tuple[Run, float]:
        run = implementation.setup(problem)
        return run, deviation(trained(run), expected, problem)

    return prepare


LAYERS = Subject("cases", IMPLEMENTATIONS, preparation)
