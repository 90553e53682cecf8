"""A step, and a call of many steps, of every implementation on the cases of the README's table."""

from __future__ import annotations

from dataclasses import replace

from registry.cases import CASES, case_of

from .timed import ENGINES, NUMPY, PEERS, Timed

# A parameter of both name and dtype: some cases are in one dtype only, and asv opens a graph at the first of each
# parameter.
KEYS = tuple(case.key for case in CASES)
# Steps in one call of `train`: some 20 to 200 ms with the reference.
STEPS = {"tiny": 1000, "digits": 200, "mnist": 2, "tall": 4, "wide": 2}


class Step(Timed):
    """One call of `step`, with new weights each time; 1000 steps in one call for the tiny case."""

    params = ((*ENGINES, *NUMPY, *PEERS), KEYS)
    param_names = ("implementation", "case")

    def setup(self, implementation: str, key: str) -> None:
        self.prepare(implementation, case_of(key))

    def time_step(self, implementation: str, key: str) -> None:
        self.run()


class Train(Timed):
    """Many steps in one call, which pays for checks and dispatch once."""

    params = (ENGINES, KEYS)
    param_names = ("implementation", "case")

    def setup(self, implementation: str, key: str) -> None:
        case = case_of(key)
        self.prepare(implementation, replace(case, steps=STEPS[case.name]))

    def time_train(self, implementation: str, key: str) -> None:
        self.run()
