"""A layer's check before the clock: an implementation trains as the reference does in float64, or it is not timed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .cases import Case, Problem
from .comparison import Subject
from .deviation import Trained, deviation, result_of
from .implementations import IMPLEMENTATIONS, engine
from .registry import Implementation
from .training import Run

CALLS = 3


def trained(run: Run) -> Trained:
    """The result of CALLS calls."""
    for _ in range(CALLS):
        w, b, cost = run()
    return result_of([(w, b)], cost)


def truth(problem: Problem) -> Trained:
    """What the reference comes to in float64, from the same numbers."""
    x, y, w, b = (array.astype(np.float64) for array in problem[:4])
    return trained(engine("fastbp.reference", Problem(x, y, w, b, problem.learning_rate, problem.steps)))


def preparation(case: Case) -> Callable[[Implementation], tuple[Run, float]]:
    """What sets an implementation up on a case; it is the timed one that is checked, since it compiles so."""
    problem = case.problem()
    expected = truth(problem)

    def prepare(implementation: Implementation) -> tuple[Run, float]:
        run = implementation.setup(problem)
        return run, deviation(trained(run), expected, problem)

    return prepare


LAYERS = Subject("cases", IMPLEMENTATIONS, preparation)
