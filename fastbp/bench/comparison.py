"""A comparison: every case with every configuration, checked for agreement, then timed in turns, beside the limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any, NamedTuple, Protocol

from .agreement import TOLERANCE, deviation, trained, truth
from .cases import Case
from .host import blas, machine, versions
from .implementations import IMPLEMENTATIONS, Configuration, configurations, missing, packages, present
from .limits import THREADS, Limits, measure_limits
from .timing import Candidate, settle, timed

# What fastbp's users get.
DEFAULT = Configuration("fastbp", THREADS).label


class Measured(NamedTuple):
    """One case: seconds of a call by configuration and round, the deviations, and what went wrong."""

    case: Case
    times: dict[str, list[float]]
    deviations: dict[str, float]
    errors: list[str]

    @property
    def medians(self) -> dict[str, float]:
        """Seconds of a call by configuration."""
        return {label: median(times) for label, times in self.times.items()}

    def best(self, *families: str) -> tuple[str, float] | None:
        """The fastest configuration of these families and its median, in seconds."""
        found = [(seconds, label) for label, seconds in self.medians.items() if label.startswith(families)]
        return (min(found)[1], min(found)[0]) if found else None

    def record(self, limits: Limits) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {
            "case": self.case.key,
            "name": self.case.name,
            "shape": self.case.shape,
            "rows": self.case.rows,
            "inputs": self.case.inputs,
            "outputs": self.case.outputs,
            "steps": self.case.steps,
            "dtype": self.case.dtype,
            "limit": limits.seconds(self.case),
            "medians": self.medians,
            "rounds": {label: len(times) for label, times in self.times.items()},
            "deviations": self.deviations,
        }


class Run(Protocol):
    """What every comparison tells beside its cases, of layers or of networks."""

    @property
    def limits(self) -> Limits: ...
    @property
    def missing(self) -> dict[str, str]: ...
    @property
    def errors(self) -> list[str]: ...
    @property
    def packages(self) -> set[str]: ...


def facts(run: Run) -> dict[str, Any]:
    """What a record begins with: what the cases were measured on, and what was left out."""
    return {
        "format": 1,
        "machine": machine(),
        "limits": run.limits._asdict(),
        "versions": versions(run.packages),
        "blas": blas(run.packages),
        "missing": run.missing,
        "errors": run.errors,
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
        return packages(label for each in self.measured for label in each.times)

    def record(self) -> dict[str, Any]:
        """Everything, for a JSON file; times in seconds of a call."""
        return facts(self) | {"cases": [each.record(self.limits) for each in self.measured]}


def measure(case: Case, candidates: Iterable[Configuration], seconds: float) -> Measured:
    """Check, then time, these configurations on the case; who disagrees or fails is an error, and not timed."""
    problem = case.problem()
    expected = truth(problem)
    ready, deviations, errors = [], {}, []
    for each in candidates:
        try:
            with each.limited():
                run = IMPLEMENTATIONS[each.name].setup(problem)
                deviations[each.label] = deviation(trained(run), expected, problem)
        except Exception as error:
            errors.append(f"{case.key}: {each.label} failed: {type(error).__name__}: {error}")
            continue
        if deviations[each.label] > TOLERANCE[case.dtype]:
            off, allowed = f"{deviations[each.label]:.1e}", f"{TOLERANCE[case.dtype]:.0e}"
            errors.append(f"{case.key}: {each.label} disagrees with the reference by {off}; {allowed} is allowed")
            continue
        ready.append(Candidate(each.family, each.label, run, each.limited))
    return Measured(case, timed(ready, seconds), deviations, errors)


def compare(
    cases: Iterable[Case],
    seconds: float,
    *,
    names: Iterable[str] | None = None,
    threads: Iterable[int] = (THREADS, 1),
    announce: Callable[[Case], None] = lambda case: None,
) -> Comparison:
    """All cases, some `seconds` each, with all that can run here, or the implementations of these `names`."""
    names = present() if names is None else list(names)
    candidates = configurations(names, threads)
    limits = measure_limits()
    measured = []
    for case in cases:
        announce(case)
        measured.append(measure(case, candidates, seconds))
        settle()
        limits = limits.or_better(measure_limits())
    not_asked_for = {name: "not asked for" for name in present() if name not in names}
    return Comparison(measured, limits, missing() | not_asked_for)
