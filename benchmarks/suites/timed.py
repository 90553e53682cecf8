"""How a suite times a case: fresh weights for every sample, and everything compiled before the clock starts."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from importlib.util import find_spec

from registry.cases import Case, Problem
from registry.implementations import IMPLEMENTATIONS
from registry.timing import wake

# Implementations by the names of the registry; fastbp on one thread too.
FASTBP = "fastbp"
ALONE = "fastbp, 1 thread"
ENGINES = ("reference", FASTBP, ALONE)
NUMPY = ("numpy", "numpy blocks", "numpy columns")
# Where they are installed: asv's own environments have none, and would list and draw combinations without a figure.
PEERS = tuple(
    name
    for name in ("torch", "torch blocks", "torch autograd", "jax", "jax autodiff")
    if find_spec(name.split()[0]) is not None
)


@functools.lru_cache(maxsize=1)
def problem_of(case: Case) -> Problem:
    """The data of a case, drawn once for all samples."""
    return case.problem()


class Timed:
    """The part of a suite that sets a case up. asv sets up before every sample: each trains from the same weights.

    asv's own warm-up is shorter than a compilation, and sleeping threads need some milliseconds to wake. So each sample
    is preceded by calls that are not timed. It is a single call itself, since training changes the weights.
    """

    held = ExitStack()
    number = 1
    repeat = (5, 60, 0.8)
    rounds = 1
    warmup_time = 0.0
    timeout = 300.0

    def prepare(self, implementation: str, case: Case) -> None:
        """Make self.run a call of the implementation on the case; without its package the result is n/a."""
        name = FASTBP if implementation == ALONE else implementation
        absent = IMPLEMENTATIONS.missing()
        if name in absent:
            raise NotImplementedError(absent[name])
        self.held = ExitStack()
        self.held.enter_context(IMPLEMENTATIONS[name].limited(1 if implementation == ALONE else None))
        self.run = IMPLEMENTATIONS[name].setup(problem_of(case))
        self.run()  # compiles
        wake(self.run)

    def teardown(self, *parameters: object) -> None:
        self.held.close()
