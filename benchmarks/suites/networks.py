"""An epoch of every network, by fastbp on all threads and on one, and by the reference."""

from __future__ import annotations

import functools
from contextlib import ExitStack

from registry.networks.cases import CASES, Case, Problem
from registry.networks.implementations import IMPLEMENTATIONS
from registry.timing import wake

from .timed import ALONE, FASTBP, Timed

KEYS = tuple(case.key for case in CASES)


@functools.lru_cache(maxsize=1)
def problem_of(case: Case) -> Problem:
    """The data of a case, drawn once for all samples."""
    return case.problem()


class Epoch(Timed):
    """One call of `fit` for an epoch, or of `step` where all rows are one batch."""

    params = ((FASTBP, ALONE, "reference"), KEYS)
    param_names = ("implementation", "case")

    def setup(self, implementation: str, key: str) -> None:
        name = FASTBP if implementation == ALONE else implementation
        absent = IMPLEMENTATIONS.missing()
        if name in absent:  # an older commit has no networks
            raise NotImplementedError(absent[name])
        self.held = ExitStack()
        self.held.enter_context(IMPLEMENTATIONS[name].limited(1 if implementation == ALONE else None))
        self.run = IMPLEMENTATIONS[name].setup(problem_of(CASES[KEYS.index(key)]))
        self.run()  # compiles
        wake(self.run)

    def time_epoch(self, implementation: str, key: str) -> None:
        self.run()
