"""A network's check before the clock: on a small case an implementation trains as the reference does in float64.

Full cases are not checked: over thousands of updates in float32 rounding grows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..comparison import TOLERANCE, Subject
from ..deviation import Trained, deviation, result_of
from ..registry import Implementation
from .batches import Run
from .cases import Case, Problem
from .implementations import IMPLEMENTATIONS, engine

# Calls before the results are compared: with batches a second epoch of fastbp has an order of its own.
EPOCHS, STEPS = 1, 3


def trained(run: Run, problem: Problem) -> Trained:
    """The result of a call, or of some where a call is a step."""
    for _ in range(STEPS if problem.order is None else EPOCHS):
        parameters, loss = run()
    return result_of(parameters, loss)


def truth(problem: Problem) -> Trained:
    """What the reference comes to in float64, from the same numbers."""
    wide = problem._replace(
        case=replace(problem.case, dtype="float64"),
        x=problem.x.astype(np.float64),
        parameters=[(w.astype(np.float64), b.astype(np.float64)) for w, b in problem.parameters],
    )
    return trained(engine("fastbp.reference", wide), wide)


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
