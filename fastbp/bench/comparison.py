"""A comparison: every case with every configuration, checked for agreement, then timed in turns, beside the limits.

What is compared is a `Subject`: `agreement.LAYERS`, or `networks.agreement.NETWORKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from statistics import median
from typing import Any, NamedTuple, Protocol

from .host import blas, machine, versions
from .limits import THREADS, Limits, Work, measure_limits
from .registry import Configuration, Implementation, NotTimed, Registry
from .timing import Candidate, settle, timed

# What fastbp's users get.
DEFAULT = Configuration("fastbp", THREADS).label

# How far a result may be from the reference's. PyTorch in float32 comes to 7e-4 at 1000000x16->1: MKL adds up the rows
# one after another. The others stay below 2e-5.
TOLERANCE = {"float32": 2e-3, "float64": 1e-11}


class Case(Work, Protocol):
    """What is timed: one call of it."""

    @property
    def key(self) -> str: ...
    @property
    def shape(self) -> str: ...
    @property
    def title(self) -> str: ...
    def facts(self) -> dict[str, Any]: ...


class Subject(NamedTuple):
    """What a comparison is of.

    preparation(case) is a function that sets an implementation up and lets it train: what is to be timed, and how far
    its results are from the reference's, in parts of what training moves.
    """

    records: str  # its cases in a JSON file
    registry: Registry
    preparation: Callable[[Any], Callable[[Implementation], tuple[Callable[[], Any], float]]]


class Measured(NamedTuple):
    """One case: seconds of a call by configuration and round, the deviations, what went wrong, what took no part."""

    case: Case
    times: dict[str, list[float]]
    deviations: dict[str, float]
    errors: list[str]
    not_timed: dict[str, str]

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
        return self.case.facts() | {
            "limit": limits.seconds(self.case),
            "medians": self.medians,
            "rounds": {label: len(times) for label, times in self.times.items()},
            "deviations": self.deviations,
        }


class Comparison(NamedTuple):
    """Cases measured in one run, the machine's limits in that run, and what was left out."""

    subject: Subject
    measured: list[Measured]
    limits: Limits
    missing: dict[str, str]

    @property
    def errors(self) -> list[str]:
        return [error for each in self.measured for error in each.errors]

    @property
    def packages(self) -> set[str]:
        """What took part."""
        return self.subject.registry.packages(label for each in self.measured for label in each.times)

    def record(self) -> dict[str, Any]:
        """Everything, for a JSON file; times in seconds of a call."""
        return {
            "format": 1,
            "machine": machine(),
            "limits": self.limits._asdict(),
            "versions": versions(self.packages),
            "blas": blas(self.packages),
            "missing": self.missing,
            "errors": self.errors,
            self.subject.records: [each.record(self.limits) for each in self.measured],
        }


def measure(subject: Subject, case: Case, candidates: Iterable[Configuration], seconds: float) -> Measured:
    """Check, then time, these configurations on the case; who disagrees or fails is an error, and not timed."""
    prepare = subject.preparation(case)
    ready, deviations, errors, not_timed = [], {}, [], {}
    for each in candidates:
        implementation = subject.registry[each.name]
        limited = partial(implementation.limited, each.threads)
        try:
            with limited():
                run, deviations[each.label] = prepare(implementation)
        except NotTimed as reason:
            not_timed[each.name] = str(reason)
            continue
        except Exception as error:
            errors.append(f"{case.key}: {each.label} failed: {type(error).__name__}: {error}")
            continue
        if deviations[each.label] > TOLERANCE[case.dtype]:
            off, allowed = f"{deviations[each.label]:.1e}", f"{TOLERANCE[case.dtype]:.0e}"
            errors.append(f"{case.key}: {each.label} disagrees with the reference by {off}; {allowed} is allowed")
            continue
        ready.append(Candidate(each.family, each.label, run, limited))
    return Measured(case, timed(ready, seconds), deviations, errors, not_timed)


def compare(
    subject: Subject,
    cases: Iterable[Case],
    seconds: float,
    *,
    names: Iterable[str] | None = None,
    threads: Iterable[int] = (THREADS, 1),
    announce: Callable[[Case], None] = lambda case: None,
    report: Callable[[Measured, Limits], None] = lambda measured, limits: None,
) -> Comparison:
    """All cases, some `seconds` each, with all that can run here, or the implementations of these `names`.

    `announce` is called before each case, `report` after it.
    """
    absent, present = subject.registry.missing(), subject.registry.present()
    chosen = present if names is None else list(names)
    candidates = subject.registry.configurations(chosen, threads)
    limits = measure_limits()
    measured = []
    for case in cases:
        announce(case)
        measured.append(measure(subject, case, candidates, seconds))
        settle()
        limits = limits.or_better(measure_limits())
        report(measured[-1], limits)
    missing = absent | {name: "not asked for" for name in present if name not in chosen}
    for each in measured:
        missing |= each.not_timed
    return Comparison(subject, measured, limits, missing)
