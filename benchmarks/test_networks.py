"""An epoch of every network by every configuration: checked against the reference, then timed by pytest-benchmark."""

from __future__ import annotations

from typing import Any

import pytest

from fastbp.bench.comparison import TOLERANCE
from fastbp.bench.deviation import deviation
from fastbp.bench.limits import THREADS
from fastbp.bench.networks.agreement import trained, truth
from fastbp.bench.networks.cases import CASES, Case
from fastbp.bench.networks.implementations import IMPLEMENTATIONS
from fastbp.bench.registry import Configuration
from fastbp.bench.timing import settle, wake

pytestmark = pytest.mark.filterwarnings("default")  # peers warn on import

CONFIGURATIONS = IMPLEMENTATIONS.configurations(IMPLEMENTATIONS, (THREADS, 1))


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda each: each.label)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_epoch(case: Case, configuration: Configuration, benchmark: Any) -> None:
    absent = IMPLEMENTATIONS.missing()
    if configuration.name in absent:
        pytest.skip(f"{configuration.name}: {absent[configuration.name]}")
    implementation = IMPLEMENTATIONS[configuration.name]
    benchmark.group = f"{case.shape} {case.dtype}"
    small = case.small().problem()
    with implementation.limited(configuration.threads):
        run = implementation.setup(small)
        assert deviation(trained(run, small), truth(small), small) <= TOLERANCE[case.dtype]
        if not benchmark.disabled:
            run = implementation.setup(case.problem())
            run()  # compiles
            settle()
            wake(run)
        benchmark(run)
