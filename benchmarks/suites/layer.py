"""A step, and a call of many steps, of every implementation on the cases of the README's table."""

from __future__ import annotations

from dataclasses import replace

from registry.cases import CASES, Case

from .timed import ENGINES, NUMPY, PEERS, Timed

DTYPES = ("float32", "float64")
NAMES = tuple(dict.fromkeys(case.name for case in CASES))
# Steps in one call of `train`: some 20 to 200 ms with the reference.
STEPS = {"tiny": 1000, "digits": 200, "mnist": 2, "tall": 4, "wide": 2}


def _case(name: str, dtype: str) -> Case:
    """The case of that name; one that the table has in the other dtype only is not timed."""
    for case in CASES:
        if (case.name, case.dtype) == (name, dtype):
            return case
    raise NotImplementedError(f"the table has no {name} in {dtype}")


class Step(Timed):
    """One call of `step`, with new weights each time; 1000 steps in one call for the tiny case."""

    params = ((*ENGINES, *NUMPY, *PEERS), NAMES, DTYPES)
    param_names = ("implementation", "case", "dtype")

    def setup(self, implementation: str, name: str, dtype: str) -> None:
        self.prepare(implementation, _case(name, dtype))

    def time_step(self, implementation: str, name: str, dtype: str) -> None:
        self.run()


class Train(Timed):
    """Many steps in one call, which pays for checks and dispatch once."""

    params = (ENGINES, NAMES, DTYPES)
    param_names = ("implementation", "case", "dtype")

    def setup(self, implementation: str, name: str, dtype: str) -> None:
        self.prepare(implementation, replace(_case(name, dtype), steps=STEPS[name]))

    def time_train(self, implementation: str, name: str, dtype: str) -> None:
        self.run()
