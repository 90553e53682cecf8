"""What is timed is what is tested: the benchmarks of networks train alike, and their cases and tables are right."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import fastbp
from fastbp.bench import comparison, timing
from fastbp.bench.cases import SEED
from fastbp.bench.comparison import TOLERANCE, compare, measure
from fastbp.bench.deviation import Trained, deviation
from fastbp.bench.limits import Limits
from fastbp.bench.networks import batches
from fastbp.bench.networks.agreement import NETWORKS, trained, truth
from fastbp.bench.networks.batches import gathered
from fastbp.bench.networks.cases import CASES, Case, Problem, case_of
from fastbp.bench.networks.implementations import IMPLEMENTATIONS, numpy_epochs
from fastbp.bench.registry import Implementation
from fastbp.command.cli import main

LIMITS = Limits(peak={"float32": 4e9, "float64": 2e9}, bandwidth=1e9)
# Each different in what an epoch does; and a case without a last smaller batch.
SMALL = [*dict.fromkeys(replace(case.small(), name="small") for case in CASES)]
EVEN = replace(CASES[0].small(), rows=48, dtype="float32")


def key(case: Case) -> str:
    return f"{case.shape}, {case.dtype}"


@pytest.fixture(scope="module")
def absent() -> dict[str, str]:
    return IMPLEMENTATIONS.missing()


def off_by(problem: Problem, name: str) -> float:
    return deviation(trained(IMPLEMENTATIONS[name].setup(problem), problem), truth(problem), problem)


@pytest.mark.filterwarnings("default")  # peers warn on import
@pytest.mark.parametrize("case", [*SMALL, EVEN], ids=key)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_implementations_agree(name: str, case: Case, absent: dict[str, str]) -> None:
    if name in absent:
        pytest.skip(absent[name])
    assert off_by(case.problem(), name) <= TOLERANCE[case.dtype]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("case", [case for case in SMALL if case.batch_size], ids=key)
@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_implementations_agree_where_rows_and_weights_come_in_blocks(
    name: str, case: Case, absent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in absent:
        pytest.skip(absent[name])
    monkeypatch.setattr(batches, "GATHERED_BYTES", 3 * SMALL[0].batch_size * 36 * 4)
    monkeypatch.setattr("fastbp.bench.networks.numpy_epochs.ADAM_BYTES", 1000)
    if name == "jax":
        monkeypatch.setattr("fastbp.bench.networks.jax_epochs.GATHERED_BYTES", 0)
    assert off_by(case.problem(), name) <= TOLERANCE[case.dtype]


@pytest.mark.parametrize("case", SMALL, ids=key)
def test_an_implementation_that_is_slightly_wrong_disagrees(case: Case) -> None:
    problem = case.problem()
    wrong = problem._replace(x=problem.x * (1 + 10 * TOLERANCE[case.dtype]))
    assert deviation(trained(numpy_epochs(wrong), wrong), truth(problem), problem) > TOLERANCE[case.dtype]


def test_rows_in_another_order_disagree() -> None:
    problem = SMALL[0].problem()
    wrong = problem._replace(order=problem.order[::-1])
    assert deviation(trained(numpy_epochs(wrong), wrong), truth(problem), problem) > 0.01


def test_weights_that_never_move_disagree() -> None:
    problem = SMALL[0].problem()
    expected = truth(problem)
    assert deviation(expected._replace(parameters=problem.parameters), expected, problem) == 1
    assert deviation(Trained(expected.parameters, float("nan")), expected, problem) == np.inf


def test_what_nobody_moves_agrees() -> None:
    problem = SMALL[0].problem()
    expected = Trained(problem.parameters, loss=0.0)
    assert deviation(expected, expected, problem) == 0
    moved = [(w + 1e-9, b) for w, b in expected.parameters]
    assert deviation(expected._replace(parameters=moved), expected, problem) == np.inf


def test_setup_leaves_the_problem_as_it_was() -> None:
    problem, same = SMALL[0].problem(), SMALL[0].problem()
    trained(numpy_epochs(problem), problem)
    for parameters, expected in zip(problem.parameters, same.parameters, strict=True):
        np.testing.assert_array_equal(parameters[0], expected[0])
        np.testing.assert_array_equal(parameters[1], expected[1])
    np.testing.assert_array_equal(problem.order, same.order)


@pytest.mark.parametrize("module", [fastbp, fastbp.reference], ids=["fastbp", "reference"])
def test_the_weights_of_a_problem_are_those_of_a_network(module) -> None:
    case = SMALL[0]
    made = {"output_activation": case.output_activation, "loss": case.loss, "dtype": case.dtype, "seed": SEED}
    net = module.Network(case.sizes, **made)
    for w, (start, _) in zip(net.weights, case.problem().parameters, strict=True):
        np.testing.assert_array_equal(w, start)


def test_a_problem_holds_every_row_once_and_is_the_same_every_time() -> None:
    problem, same = SMALL[0].problem(), SMALL[0].problem()
    np.testing.assert_array_equal(np.sort(problem.order), np.arange(53))
    np.testing.assert_array_equal(problem.x, same.x)
    np.testing.assert_array_equal(problem.y, same.y)
    assert problem.y.dtype == np.int64


def test_no_two_cases_are_the_same() -> None:
    assert len({case.key for case in CASES}) == len({(case.shape, case.dtype) for case in CASES}) == len(CASES)
    assert [case_of(case.key) for case in CASES] == [*CASES]


def test_a_small_case_is_ragged_and_has_a_last_smaller_batch() -> None:
    assert case_of("mnist deep-float32").small().sizes == (35, 19, 13, 7)
    assert case_of("mnist-float32").small().batches[-2:] == [slice(40, 48), slice(48, 53)]
    assert case_of("one batch-float32").small().batches == [slice(0, 53)]


@pytest.mark.parametrize(
    ("case", "flops"),
    [
        ("digits-float64", 18_171_264),
        ("mnist-float32", 24_545_280_000),
        ("mnist batches of 128-float32", 24_545_280_000),
        ("mnist deep-float32", 144_445_440_000),
        ("tall-float32", 214_400_000),
        ("one batch-float32", 39_680_000),
    ],
)
def test_the_flops_of_an_epoch(case: str, flops: int) -> None:
    assert case_of(case).flops == flops


def test_the_flops_are_those_of_every_product() -> None:
    # 10 rows: forward 5x3 and 3x2, both gradients, and delta through 3x2
    assert Case("own", 10, (5, 3, 2), 4, "SGD", "float32").flops == 2 * 10 * (15 + 6 + 15 + 6 + 6)


def test_the_limit_is_the_slower_of_arithmetic_and_reading() -> None:
    assert LIMITS.seconds(case_of("mnist-float32")) == pytest.approx(24.54528 / 4)
    assert LIMITS.seconds(Case("read", 1000, (1000, 1), 1000, "SGD", "float32")) == pytest.approx(4e-3)


def test_small_batches_are_gathered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "GATHERED_BYTES", 100)
    slices = [slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 13)]
    assert gathered(slices, 12) == [(slice(0, 8), slices[:2]), (slice(8, 13), slices[2:])]
    assert [group.batches for group in gathered(slices, 1000)] == [[each] for each in slices]


def test_who_disagrees_or_fails_is_an_error_and_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(problem):
        return numpy_epochs(problem._replace(x=problem.x * 1.1))

    def broken(problem):
        raise RuntimeError("out of order")

    monkeypatch.setitem(IMPLEMENTATIONS, "numpy wrong", Implementation("numpy", wrong))
    monkeypatch.setitem(IMPLEMENTATIONS, "numpy broken", Implementation("numpy", broken))
    case = CASES[1].small()
    names = ["numpy wrong", "numpy broken", "numpy"]
    measured = measure(NETWORKS, case, IMPLEMENTATIONS.configurations(names, [1]), 0.0)
    assert list(measured.times) == ["numpy, 1 thread"]
    assert len(measured.errors) == 2
    assert measured.errors[0].startswith(f"{case.key}: numpy wrong disagrees with the reference by ")
    assert measured.errors[0].endswith("; 2e-03 is allowed")
    assert measured.errors[1] == f"{case.key}: numpy broken failed: RuntimeError: out of order"


def test_a_comparison_has_each_case_and_says_who_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "measure_limits", lambda: LIMITS)
    case = CASES[0].small()
    seen = []
    names = ["fastbp", "numpy"]
    result = compare(NETWORKS, [case], 0.0, names=names, threads=[1], report=lambda *each: seen.append(each))
    assert result.measured[0].medians.keys() == {"fastbp, 1 thread", "numpy, 1 thread"}
    assert seen == [(result.measured[0], result.limits)]
    assert result.errors == []
    assert result.packages == {"fastbp.network", "numpy"}
    assert result.missing["reference"] == "not asked for"
    assert result.missing.keys() >= IMPLEMENTATIONS.not_timed.keys() == {"torch compile"}
    record = result.record()
    assert record["missing"] == result.missing
    assert record["versions"].keys() >= {"fastbp", "numpy"}
    assert [each["case"] for each in record["networks"]] == [case.key]


def test_a_long_call_is_not_made_once_more_to_wake_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LONG_SECONDS", 0.0)
    calls = []
    candidate = timing.Candidate("numpy", "numpy", lambda: calls.append(timing.sleep(0.03)), nullcontext)
    assert len(timing.timed([candidate], 0.0)["numpy"]) == timing.HEATS
    assert len(calls) == 2 + timing.HEATS


@pytest.mark.filterwarnings("default")
def test_the_command_prints_a_listing_for_every_network_and_what_it_ran_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "measure_limits", lambda: LIMITS)
    for name in IMPLEMENTATIONS.keys() - {"fastbp", "numpy"}:
        monkeypatch.delitem(IMPLEMENTATIONS, name)
    monkeypatch.setattr(Case, "problem", lambda case, problem=Case.problem: problem(case.small()))
    result = CliRunner().invoke(main, ["bench", "--networks", "--seconds", "0"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "An epoch of 1797 rows, 64-32-10 sigmoid, batches of 32, SGD, float64"
    assert lines[2].split() == ["time", "of", "fastbp's", "share", "of", "the", "limit"]
    assert [line for line in lines if line.startswith(("An epoch", "A step"))] == [case.title for case in CASES]
    assert {line.split(",")[0] for line in lines} >= {"fastbp", "numpy"}
    assert "numpy " in lines[-4]
    assert lines[-1].startswith("left out: torch compile (its step took")
    assert result.stderr.splitlines() == [f"{case.shape} {case.dtype} ..." for case in CASES]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("words", "title"),
    [
        (["--sizes", "9,5,3"], "An epoch of 70 rows, 9-5-3 sigmoid, batches of 32, SGD, float32"),
        (["--sizes", "9,2", "--dtype", "float64"], "An epoch of 70 rows, 9-2 sigmoid, batches of 32, SGD, float64"),
        (
            ["--sizes", "40,30,20,15,9,1", "--batch-size", "7", "--optimizer", "adam", "--activation", "tanh"],
            "An epoch of 70 rows, 40-30-20-15-9-1 tanh, batches of 7, Adam, float32",
        ),
        (
            ["--sizes", "9,8,4", "--loss", "squared_error", "--activation", "relu", "--batch-size", "100"],
            "An epoch of 70 rows, 9-8-4 relu, batches of 100, SGD, float32",
        ),
    ],
)
def test_the_command_times_a_network_of_ones_own(words: list[str], title: str, absent: dict[str, str]) -> None:
    result = CliRunner().invoke(main, ["bench", "--seconds", "0", "--rows", "70", *words])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == title
    unlike = {"scikit-learn"} if "9,2" in words else set()  # of two classes
    assert {line.split(",")[0].split("  ")[0] for line in lines} >= IMPLEMENTATIONS.keys() - absent.keys() - unlike
    assert ("scikit-learn (it has one logistic output for two classes)" in lines[-1]) == (
        bool(unlike) and "scikit-learn" not in absent
    )
