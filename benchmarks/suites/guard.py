"""What was computed, as a figure: no commit may be faster because it computes something else."""

from __future__ import annotations

import fastbp
from registry.cases import CASES, case_of

STEPS = 20


class FinalCost:
    params = tuple(case.key for case in CASES)
    param_names = ("case",)
    timeout = 300.0

    def track_final_cost(self, key: str) -> float:
        """The cost after STEPS steps."""
        problem = case_of(key).problem()
        costs = fastbp.train(*problem[:4], learning_rate=problem.learning_rate, steps=STEPS)
        return float(costs[-1])

    track_final_cost.unit = "squared error"  # type: ignore[attr-defined]
