"""A training step of every case by every configuration: checked against the reference, then timed by pytest-benchmark.

pytest benchmarks                          a table for each case
pytest benchmarks --benchmark-disable      only the check, on small shapes
"""

from __future__ import annotations

import functools
from typing import Any

import pytest

from fastbp.bench.agreement import trained, truth
from fastbp.bench.cases import CASES, Case, Problem
from fastbp.bench.comparison import TOLERANCE
from fastbp.bench.deviation import Trained, deviation
from fastbp.bench.implementations import IMPLEMENTATIONS
from fastbp.bench.limits import THREADS, Limits, measure_limits
from fastbp.bench.registry import Configuration
from fastbp.bench.timing import settle, wake

pytestmark = pytest.mark.filterwarnings("default")  # peers warn on import

CONFIGURATIONS = IMPLEMENTATIONS.configurations(IMPLEMENTATIONS, (THREADS, 1))


@functools.lru_cache(maxsize=1)
def problem_and_truth(case: Case) -> tuple[Problem, Trained]:
    problem = case.problem()
    return problem, truth(problem)


@pytest.fixture(scope="session")
def limits() -> Limits:
    return measure_limits()


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda each: each.label)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_step(case: Case, configuration: Configuration, benchmark: Any, request: pytest.FixtureRequest) -> None:
    absent = IMPLEMENTATIONS.missing()
    if configuration.name in absent:
        pytest.skip(f"{configuration.name}: {absent[configuration.name]}")
    implementation = IMPLEMENTATIONS[configuration.name]
    timing = not benchmark.disabled
    if not timing:
        case = case.small()
        if configuration.name == "torch compile":
            pytest.skip("its compiler takes half a minute; it is checked when it is timed")
    benchmark.group = f"{case.shape} {case.dtype}"
    problem, expected = problem_and_truth(case)
    with implementation.limited(configuration.threads):
        run = implementation.setup(problem)
        # Compiled here: pytest-benchmark's own warm-up does nothing on CPython.
        assert deviation(trained(run), expected, problem) <= TOLERANCE[case.dtype]
        if timing:
            settle()
            wake(run)
        benchmark(run)
    if timing:
        seconds, limit = benchmark.stats.stats.median, request.getfixturevalue("limits").seconds(case)
        benchmark.extra_info.update(
            {
                "Gflop/s": case.flops / seconds / 1e9,
                "GB/s of x": case.bytes_of_x / seconds / 1e9,
                "share of the limit": limit / seconds,
            }
        )
