"""A comparison: every case with every configuration, checked on a small one, then timed in turns, beside the limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from ..comparison import facts
from ..implementations import Configuration, configurations, missing, packages
from ..limits import THREADS, Limits, measure_limits
from ..timing import Candidate, settle, timed
from .agreement import TOLERANCE, deviation, trained, truth
from .cases import Case
from .implementations import IMPLEMENTATIONS, NOT_TIMED


class Measured(NamedTuple):
    """One case: seconds of an epoch by configuration and round, the deviations, and what went wrong."""

    case: Case
    times: dict[str, list[float]]
    deviations: dict[str, float]
    errors: list[str]

    @property
    def medians(self) -> dict[str, float]:
        """Seconds of an epoch by configuration."""
        return {label: median(times) for label, times in self.times.items()}

    def record(self, limits: Limits) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {
            "case": self.case.key,
            "name": self.case.name,
            "shape": self.case.shape,
            "dtype": self.case.dtype,
            "limit": limits.seconds(self.case),
            "medians": self.medians,
            "rounds": {label: len(times) for label, times in self.times.items()},
            "deviations": self.deviations,
        }


class Comparison(NamedTuple):
    """Cases measured in one run, the machine's limits in that run, and what was left out."""

    measured: list[Measured]
    limits: Limits
    missing: dict[str, str]

    @property
    def errors(self) -> list[str]:
        return [error for each in self.measured for error in each.errors]

    @property
    def packages(self) -> set[str]:
        """What took part."""
        return packages((label for each in self.measured for label in each.times), IMPLEMENTATIONS)

    def record(self) -> dict[str, Any]:
        """Everything, for a JSON file; times in seconds of an epoch."""
        return facts(self) | {"networks": [each.record(self.limits) for each in self.measured]}


def measure(case: Case, candidates: Iterable[Configuration], seconds: float) -> Measured:
    """Check, then time, these configurations on the case; who disagrees or fails is an error, and not timed."""
    problem, small = case.problem(), case.small().problem()
    expected = truth(small)
    ready, deviations, errors = [], {}, []
    for each in candidates:
        implementation = IMPLEMENTATIONS[each.name]
        try:
            with implementation.limited(each.threads):
                off = deviations[each.label] = deviation(trained(implementation.setup(small), small), expected, small)
                if off <= TOLERANCE[case.dtype]:
                    run = implementation.setup(problem)
                    run()  # compiles
        except Exception as error:
            errors.append(f"{case.key}: {each.label} failed: {type(error).__name__}: {error}")
            continue
        if off > TOLERANCE[case.dtype]:
            allowed = f"{TOLERANCE[case.dtype]:.0e} is allowed"
            errors.append(f"{case.key}: {each.label} disagrees with the reference by {off:.1e}; {allowed}")
            continue
        ready.append(Candidate(each.family, each.label, run, partial(implementation.limited, each.threads)))
    return Measured(case, timed(ready, seconds), deviations, errors)


def compare(
    cases: Iterable[Case],
    seconds: float,
    *,
    names: Iterable[str] | None = None,
    threads: Iterable[int] = (THREADS, 1),
    announce: Callable[[Case], None] = lambda case: None,
    report: Callable[[Measured, Limits], None] = lambda measured, limits: None,
) -> Comparison:
    """All cases, some `seconds` each, with all that can run here, or the implementations of these `names`."""
    absent = missing(IMPLEMENTATIONS, NOT_TIMED)
    present = [name for name in IMPLEMENTATIONS if name not in absent]
    chosen = present if names is None else list(names)
    candidates = configurations(chosen, threads, IMPLEMENTATIONS)
    limits = measure_limits()
    measured = []
    for case in cases:
        announce(case)
        measured.append(measure(case, candidates, seconds))
        settle()
        limits = limits.or_better(measure_limits())
        report(measured[-1], limits)
    return Comparison(measured, limits, absent | {name: "not asked for" for name in present if name not in chosen})
