"""What is timed is what is tested: the benchmarks' implementations train alike, and limits and table are right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import fastbp
from fastbp.bench import limits
from fastbp.bench.agreement import LAYERS, trained, truth
from fastbp.bench.cases import CASES, ODD, SCALING, Case, case_of
from fastbp.bench.comparison import DEFAULT, TOLERANCE, Comparison, Measured, compare, measure
from fastbp.bench.deviation import deviation
from fastbp.bench.implementations import IMPLEMENTATIONS, numpy_step
from fastbp.bench.quantities import duration, plain
from fastbp.bench.registry import Implementation
from fastbp.bench.report import footer, listing, row
from fastbp.bench.timing import Candidate, contenders
from fastbp.command.cli import main

# The compiler takes half a minute to warm up; a comparison checks its results before it times them.
QUICK = [name for name in IMPLEMENTATIONS if name != "torch compile"]
SMALL = {(case.shape, case.dtype): case for case in (case.small() for case in CASES)}.values()
LIMITS = limits.Limits(peak={"float32": 4e9, "float64": 2e9}, bandwidth=1e9)
DIGITS = case_of("digits-float32")
MEASURED = Measured(
    DIGITS,
    {
        DEFAULT: [3e-3, 2e-3, 1e-3],
        "reference, 2 threads": [2e-2],
        "numpy, 1 thread": [5e-3],
        "numpy blocks, 2 threads": [4e-3],
        "torch, 1 thread": [6e-3],
        "jax": [7e-3],
    },
    {},
    [],
    {},
)
SHAPES = [*SMALL, Case("one", 1, 1, 1, "float32"), Case("one", 1, 1, 1, "float64", steps=2)]


@pytest.fixture(scope="module")
def absent() -> dict[str, str]:
    return IMPLEMENTATIONS.missing()


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
    (w, b) = expected.parameters[0]
    assert deviation(expected._replace(parameters=[(problem.w, b)]), expected, problem) == 1
    assert deviation(expected._replace(parameters=[(w, b * np.nan)]), expected, problem) == np.inf


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


@pytest.mark.jit_only
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bits", [128, 256, 512])
def test_the_peak_is_measured_by_a_kernel_that_does_the_work(bits: int, dtype: str) -> None:
    values, lanes = np.ones(1, dtype), bits // 8 // np.dtype(dtype).itemsize
    half, two = values.dtype.type(0.5), values.dtype.type(2)
    # 1, 2.5, 3.25, 3.625: x becomes x / 2 + 2
    assert limits.multiply_adds[bits](values, half, two, 3) == 3.625 * limits.CHAINS * lanes


def test_the_bandwidth_is_measured_by_a_kernel_that_reads_everything() -> None:
    assert limits.total(np.arange(1000, dtype=np.float32)) == 499500


def test_only_configurations_near_the_best_of_their_family_go_on() -> None:
    candidates = [Candidate(family, name, lambda: None, lambda: None) for family, name in ("aA", "aB", "aC", "bD")]
    times = {"A": [1.0], "B": [1.2], "C": [1.5], "D": [9.0]}
    assert [each.name for each in contenders(candidates, times)] == ["A", "B", "D"]


def test_a_row_names_each_winner_and_how_many_times_longer_it_takes() -> None:
    assert row(MEASURED, LIMITS) == (
        "| 1797x64->10 | float32 | 2 ms | 10x (reference, 2 threads: 20 ms) | 2x (numpy blocks, 2 threads: 4 ms) "
        "| 3x (torch, 1 thread: 6 ms) | 57.5% |"
    )


def test_a_row_without_fastbp_shows_the_others() -> None:
    measured = Measured(DIGITS, {"numpy, 1 thread": [4e-3]}, {}, [], {})
    assert row(measured, LIMITS) == "| 1797x64->10 | float32 | - | - | (numpy, 1 thread: 4 ms) | - | - |"


def test_a_listing_has_a_line_for_each_configuration_and_the_fastest_first() -> None:
    lines = [" ".join(line.split()) for line in listing(MEASURED, LIMITS).splitlines()]
    assert lines == [
        "A step of 1797x64->10, float32",
        "",
        "time of fastbp's share of the limit",
        "the limit 1.15 ms",
        f"{DEFAULT} 2 ms 1x 57.5%",
        "numpy blocks, 2 threads 4 ms 2x 28.8%",
        "numpy, 1 thread 5 ms 2.5x 23%",
        "torch, 1 thread 6 ms 3x 19.2%",
        "jax 7 ms 3.5x 16.4%",
        "reference, 2 threads 20 ms 10x 5.75%",
    ]


def test_what_is_left_out_is_named_once_for_each_reason() -> None:
    words = footer(Comparison(LAYERS, [], LIMITS, {"torch": "no such module", "jax": "no such module", "other": "why"}))
    assert words.splitlines()[-1] == "left out: torch, jax (no such module); other (why)"


def test_an_implementation_that_is_missing_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(IMPLEMENTATIONS, "absent", Implementation("no_such_package", numpy_step))
    missing = IMPLEMENTATIONS.missing()
    assert missing["absent"] == "No module named 'no_such_package'"
    assert "absent" not in IMPLEMENTATIONS.present()
    assert missing["scikit-learn"].startswith("it has no sigmoid layer with a squared error")


def test_who_disagrees_or_fails_is_an_error_and_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(problem):
        return numpy_step(problem._replace(learning_rate=2 * problem.learning_rate))

    def broken(problem):
        raise RuntimeError("out of order")

    monkeypatch.setitem(IMPLEMENTATIONS, "numpy wrong", Implementation("numpy", wrong))
    monkeypatch.setitem(IMPLEMENTATIONS, "numpy broken", Implementation("numpy", broken))
    case = CASES[1].small()
    candidates = IMPLEMENTATIONS.configurations(["numpy wrong", "numpy broken", "numpy"], [1])
    measured = measure(LAYERS, case, candidates, 0.0)
    assert list(measured.times) == ["numpy, 1 thread"]
    assert len(measured.errors) == 2
    assert measured.errors[0].startswith(f"{case.key}: numpy wrong disagrees with the reference by ")
    assert measured.errors[0].endswith("; 2e-03 is allowed")
    assert measured.errors[1] == f"{case.key}: numpy broken failed: RuntimeError: out of order"


def test_configurations_are_held_to_their_number_of_threads() -> None:
    labels = [each.label for each in IMPLEMENTATIONS.configurations(["fastbp", "jax"], [3, 1, 3])]
    assert labels == ["fastbp, 3 threads", "fastbp, 1 thread", "jax"]
    before = fastbp.get_num_threads()
    with IMPLEMENTATIONS["fastbp"].limited(3):
        assert fastbp.get_num_threads() == 3
    assert fastbp.get_num_threads() == before


def test_a_comparison_records_each_case_with_its_shape_limit_and_medians() -> None:
    case = CASES[1].small()
    comparison = compare(LAYERS, [case], 0.0, names=["fastbp", "reference"], threads=[1])
    record = json.loads(json.dumps(comparison.record()))
    (found,) = record["cases"]
    assert (found["case"], found["rows"], found["inputs"], found["outputs"]) == ("digits-float32", 53, 35, 10)
    assert found["medians"].keys() == {"fastbp, 1 thread", "reference, 1 thread"}
    assert found["limit"] == comparison.limits.seconds(case)
    assert record["errors"] == []
    assert record["machine"]["threads"] == limits.THREADS
    assert record["versions"].keys() == {"python", "fastbp", "numpy", "numba"}, "torch and jax took no part"
    assert record["missing"]["numpy"] == "not asked for"


def test_a_scaling_axis_varies_one_dimension() -> None:
    for axis, cases in SCALING.items():
        others = {"rows", "inputs", "outputs"} - {axis}
        assert [getattr(case, axis) for case in cases.values()] == list(cases) == sorted(cases)
        assert len({tuple(getattr(case, other) for other in sorted(others)) for case in cases.values()}) == 1


# -------------------------------------------------------------------------------------------------- the command line


def bench(*words: str):
    return CliRunner().invoke(main, ["bench", "--seconds", "0", *words])


@pytest.mark.filterwarnings("default")
def test_the_command_times_a_shape_of_ones_own() -> None:
    result = bench("--rows", "70", "--inputs", "13", "--outputs", "3", "--dtype", "float64")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "A step of 70x13->3, float64"
    assert {line.split(",")[0] for line in lines} >= {"fastbp", "reference", "numpy", "numpy blocks"}
    assert "scikit-learn" in lines[-1]


@pytest.mark.filterwarnings("default")
def test_the_command_prints_json_alone_on_standard_output() -> None:
    result = bench("--rows", "7", "--inputs", "3", "--outputs", "1", "--json")
    (case,) = json.loads(result.stdout)["cases"]
    assert case["shape"] == "7x3->1"
    assert result.stderr == "7x3->1 float32 ...\n"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--rows", "7"], "--rows, --inputs and --outputs are wanted for a layer, --rows and --sizes for a network"),
        (["--rows", "7", "--inputs", "2"], "Error: --rows, --inputs and --outputs are wanted for a layer, --rows and"),
        (["--rows", "0", "--inputs", "1", "--outputs", "1"], "0 is not in the range x>=1"),
        (["--case", "digit"], "--case is digit; one of digits, digits-float32,"),
        (["--case", "digits", "--odd"], "A shape, --case, --odd and --networks exclude each other; one of them"),
        (["--networks", "--odd"], "A shape, --case, --odd and --networks exclude each other; one of them is wanted"),
        (["--dtype", "float64"], "--dtype is of a shape of your own: --rows, --inputs and --outputs are wanted for"),
        (["--sizes", "3,2"], "--rows and --sizes are wanted for a network of your own; one of them is missing"),
        (["--batch-size", "3"], "--rows and --sizes are wanted for a network of your own; one of them is missing"),
        (["--rows", "7", "--sizes", "3"], "--sizes is 3; inputs and outputs at least are wanted, such as 784,10"),
        (["--rows", "7", "--sizes", "0"], "'0' is no list of sizes; numbers such as 784,128,10 are wanted"),
        (["--rows", str(10**15), "--sizes", "9,2"], "--rows is 1000000000000000: a table of 11 columns takes 44,000,"),
        (
            ["--rows", "7", "--sizes", "9,99999999,9999999"],
            "--sizes is 9,99999999,9999999: an array of 1000000789999992 weights takes",
        ),
        (
            ["--rows", "7", "--inputs", "99999999", "--outputs", "9999999", "--dtype", "float64"],
            "--inputs is 99999999 and --outputs 9999999: an array of 999999",
        ),
        (["--rows", "7", "--sizes", "3,x"], "'3,x' is no list of sizes"),
        (["--batch-size", "9", "--outputs", "2"], "--outputs is of a layer, and --batch-size of a network; a shape of"),
        (["--rows", "7", "--sizes", "3,1", "--loss", "cross_entropy"], "--loss is cross_entropy, but there is one"),
        (["--rows", "7", "--sizes", "3,1", "--networks"], "A shape, --case, --odd and --networks exclude each other;"),
        (["--seconds", "nan"], "nan is not a finite number"),
    ],
)
def test_the_command_refuses_what_makes_no_sense_in_one_line(words: list[str], wanted: str) -> None:
    result = CliRunner().invoke(main, ["bench", *words])
    assert result.exit_code == 2
    assert wanted in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_durations_have_three_digits() -> None:
    durations = [duration(seconds) for seconds in (1.5, 0.0123, 78.12e-6, 3e-10, 0.9999, 1234)]
    assert durations == ["1.5 s", "12.3 ms", "78.1 µs", "0.3 ns", "1000 ms", "1234 s"]


def test_numbers_up_to_ten_million_have_no_exponent() -> None:
    values = (2.5, 999.4, 999.6, 1040.2, 24850.3, 1234567.0, 12345678.0)
    assert [plain(value) for value in values] == ["2.5", "999", "1000", "1040", "24850", "1234567", "1.23e+07"]
    assert [plain(value, 4) for value in (0.012345, 9483.2, 24853.0)] == ["0.01235", "9483", "24853"]
