"""What is timed is what is tested: the benchmarks' implementations train alike, and limits and table are right."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("threadpoolctl")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the benchmarks are not installed

from benchmarks import limits
from benchmarks.agreement import TOLERANCE, deviation, trained, truth
from benchmarks.cases import CASES, ODD, Case
from benchmarks.implementations import IMPLEMENTATIONS, missing, numpy_step
from benchmarks.report import Measured, duration
from benchmarks.timing import Candidate, contenders

# The compiler takes half a minute to warm up; compare.py checks its results before it times them.
QUICK = [name for name in IMPLEMENTATIONS if name != "torch compile"]
SMALL = {(case.shape, case.dtype): case for case in (case.small() for case in CASES)}.values()
LIMITS = limits.Limits(peak={"float32": 4e9, "float64": 2e9}, bandwidth=1e9)
SHAPES = [*SMALL, Case("one", 1, 1, 1, "float32"), Case("one", 1, 1, 1, "float64", steps=2)]


@pytest.fixture(scope="module")
def absent() -> dict[str, str]:
    return missing()


@pytest.mark.filterwarnings("default")  # peers warn on import
@pytest.mark.parametrize("case", SHAPES, ids=lambda case: f"{case.shape} {case.dtype}")
@pytest.mark.parametrize("name", QUICK)
def test_implementations_agree(name: str, case: Case, absent: dict[str, str]) -> None:
    if name in absent:
        pytest.skip(absent[name])
    problem = case.problem()
    result = trained(IMPLEMENTATIONS[name].setup(problem))
    assert deviation(result, truth(problem), problem) <= TOLERANCE[case.dtype]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", [name for name in QUICK if "blocks" in name or "columns" in name])
def test_blocks_of_rows_agree_when_the_last_is_ragged(name: str, absent: dict[str, str]) -> None:
    if name in absent:
        pytest.skip(absent[name])
    problem = Case("blocks", 103, 5, 3, "float64").problem()
    options = {"block_bytes": 10 * problem.x[0].nbytes}
    setup = IMPLEMENTATIONS[name].setup
    run = setup(problem, **options)  # type: ignore[call-arg]
    assert deviation(trained(run), truth(problem), problem) <= TOLERANCE["float64"]


@pytest.mark.parametrize("case", SHAPES, ids=lambda case: f"{case.shape} {case.dtype}")
def test_an_implementation_that_is_slightly_wrong_disagrees(case: Case) -> None:
    problem = case.problem()
    wrong = problem._replace(learning_rate=problem.learning_rate * (1 + 10 * TOLERANCE[case.dtype]))
    assert deviation(trained(numpy_step(wrong)), truth(problem), problem) > TOLERANCE[case.dtype]


def test_weights_that_never_move_disagree() -> None:
    problem = CASES[0].small().problem()
    expected = truth(problem)
    assert deviation(expected._replace(w=problem.w), expected, problem) == 1
    assert deviation(expected._replace(b=expected.b * np.nan), expected, problem) == np.inf


def test_setup_leaves_the_problem_as_it_was() -> None:
    problem = CASES[1].small().problem()
    w = problem.w.copy()
    trained(numpy_step(problem))
    np.testing.assert_array_equal(problem.w, w)
    np.testing.assert_array_equal(problem.w, CASES[1].small().problem().w)


def test_no_two_cases_are_the_same() -> None:
    assert len({case.key for case in CASES}) == len(CASES)
    assert len({(case.shape, case.dtype) for case in (*CASES, *ODD)}) == len(CASES) + len(ODD)


def test_the_limit_is_the_slower_of_arithmetic_and_reading() -> None:
    assert LIMITS.seconds(Case("read", 1000, 1000, 1, "float32")) == pytest.approx(4e-3)
    assert LIMITS.seconds(Case("arithmetic", 1000, 1000, 10, "float32")) == pytest.approx(10e-3)


def test_the_best_limits_of_a_run_count() -> None:
    other = limits.Limits(peak={"float32": 5e9, "float64": 1e9}, bandwidth=9e8)
    assert LIMITS.or_better(other) == limits.Limits(peak={"float32": 5e9, "float64": 2e9}, bandwidth=1e9)


def test_the_limits_are_measured_by_kernels_that_do_the_work() -> None:
    values = np.zeros(100, np.float32)
    limits.multiply_add(values, np.float32(1), np.float32(1), 3)
    np.testing.assert_array_equal(values, 3 * limits.CHAIN)
    assert limits.total(np.arange(1000, dtype=np.float32)) == 499500


def test_only_configurations_near_the_best_of_their_family_go_on() -> None:
    candidates = [Candidate(family, name, lambda: None, lambda: None) for family, name in ("aA", "aB", "aC", "bD")]
    times = {"A": [1.0], "B": [1.2], "C": [1.5], "D": [9.0]}
    assert [each.name for each in contenders(candidates, times)] == ["A", "B", "D"]


def test_a_row_names_each_winner_and_how_many_times_longer_it_takes() -> None:
    times = {
        "fastbp": [3e-3, 2e-3, 1e-3],
        "reference, 2 threads": [2e-2],
        "numpy, 1 thread": [5e-3],
        "numpy blocks, 2 threads": [4e-3],
        "torch": [6e-3],
        "jax": [7e-3],
    }
    row = Measured(Case("digits", 1797, 64, 10, "float32"), times, {}).row(LIMITS)
    assert row == (
        "| 1797x64->10 | float32 | 2 ms | 10x (reference, 2 threads: 20 ms) | 2x (numpy blocks, 2 threads: 4 ms) "
        "| 3x (torch: 6 ms) | 57.5% |"
    )


def test_a_row_without_fastbp_shows_the_others() -> None:
    row = Measured(Case("digits", 1797, 64, 10, "float32"), {"numpy": [4e-3]}, {}).row(LIMITS)
    assert row == "| 1797x64->10 | float32 | - | - | (numpy: 4 ms) | - | - |"


def test_durations_have_three_digits() -> None:
    durations = [duration(seconds) for seconds in (1.5, 0.0123, 78.12e-6, 3e-10)]
    assert durations == ["1.5 s", "12.3 ms", "78.1 µs", "0.3 ns"]
