"""The command line: what each command prints and writes, and that every bad input ends in one line and exit code 2."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from transcript import SHOWN

import fastbp
from fastbp.command.cli import main

HERE = Path(fastbp.__file__).parents[1]
CLASSES = "a,b,kind\n" + "".join(f"{i % 7},{i % 2},{'odd' if i % 2 else 'even'}\n" for i in range(40))
VALUES = "a,b,value\n" + "".join(f"{i % 7},{i % 5},{i % 7 + 10 * (i % 5) + 0.5}\n" for i in range(70))
BRIEF = ["--no-compare", "--steps", "50"]


@pytest.fixture
def fastbp_command(tmp_path, monkeypatch):
    """fastbp_command(*words) runs a command in an empty folder that holds classes.csv and values.csv."""
    monkeypatch.chdir(tmp_path)
    Path("classes.csv").write_text(CLASSES)
    Path("values.csv").write_text(VALUES)
    runner = CliRunner()

    def run(*words):
        return runner.invoke(main, [str(word) for word in words], prog_name="fastbp")

    return run


def passed(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def assert_one_line(result, message, code=2):
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr), result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)


def start(*words, **options):
    """A real process of the command; warnings are errors there too."""
    command = [sys.executable, "-W", "error", "-m", "fastbp", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment, **options
    )


@pytest.mark.jit_only
def test_digits_are_learned_and_timed_without_any_argument(fastbp_command):
    shown = passed(fastbp_command("train"))
    assert "UCI handwritten digits" in shown
    assert "'digit' (the last column): 10 classes" in shown
    accuracy = float(re.search(r"accuracy +([\d.]+) % on the rows held out", shown)[1])
    assert accuracy > 94
    before, after = map(float, re.search(r"cost +([\d.]+) before, ([\d.]+) after", shown).groups())
    assert after < before / 20
    assert re.search(r"step +[\d.]+ (µs|ms), NumPy [\d.]+ (µs|ms) on the same data: [\d.]+ times as (fast|slow)", shown)


def test_classes_are_trained_saved_and_predicted(fastbp_command):
    shown = passed(fastbp_command("train", "classes.csv", "--save", "model.npz", *BRIEF))
    assert "'kind' (the last column): 2 classes" in shown
    assert "100.0 % on the rows held out" in shown
    predictions = passed(fastbp_command("predict", "model.npz", "classes.csv"))
    assert predictions.split() == ["even", "odd"] * 20
    passed(fastbp_command("predict", "model.npz", "classes.csv", "--output", "predictions.csv"))
    assert Path("predictions.csv").read_text() == predictions


@pytest.mark.jit_only
def test_values_are_recognised_and_scored_in_their_units(fastbp_command):
    shown = passed(fastbp_command("train", "values.csv", "--save", "model.npz", "--no-compare", "--dtype", "float64"))
    assert "'value' (the last column): values, here 0.5 to 46.5" in shown
    assert float(re.search(r"R\^2 +([\d.]+) on the rows held out", shown)[1]) > 0.98
    assert float(re.search(r"RMSE +([\d.]+) on the rows held out", shown)[1]) < 2
    predictions = passed(fastbp_command("predict", "model.npz", "values.csv")).split()
    np.testing.assert_allclose([float(p) for p in predictions][:3], [0.5, 11.5, 22.5], atol=3)


@pytest.mark.parametrize("target", ["kind", "2", "-1"])
def test_target_is_a_name_or_a_number(fastbp_command, target):
    shown = passed(fastbp_command("train", "classes.csv", "--target", target, *BRIEF))
    assert "'kind': 2 classes" in shown


def test_predictions_are_all_printed_whatever_their_number(fastbp_command):
    passed(fastbp_command("train", "classes.csv", "--save", "model.npz", *BRIEF))
    np.save("many.npy", np.tile([[0, 0], [1, 1], [1, 1]], (1000, 1)))
    predictions = passed(fastbp_command("predict", "model.npz", "many.npy"))
    assert predictions.split() == ["even", "odd", "odd"] * 1000


def test_labels_with_commas_are_quoted(fastbp_command):
    Path("a.csv").write_text(CLASSES.replace("odd", '"odd, not even"'))
    passed(fastbp_command("train", "a.csv", "--save", "model.npz", *BRIEF))
    assert passed(fastbp_command("predict", "model.npz", "a.csv")).splitlines()[:2] == ["even", '"odd, not even"']


def test_seed_decides_everything(fastbp_command):
    Path("noise.csv").write_text("".join(f"{i * i % 31},{i % 2}\n" for i in range(40)))
    first, again, other = (passed(fastbp_command("train", "noise.csv", *BRIEF, "--seed", seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_no_row_held_out_leaves_the_score_of_the_rows_trained_on(fastbp_command):
    shown = passed(fastbp_command("train", "classes.csv", "--test-fraction", "0", *BRIEF))
    assert "40 rows to train on, 0 held out" in shown
    assert "accuracy    100.0 % on the rows trained on" in shown


def test_quiet_prints_nothing(fastbp_command):
    result = fastbp_command("train", "classes.csv", "--quiet", *BRIEF)
    assert (passed(result), result.stderr) == ("", "")


def test_progress_goes_to_stderr_and_only_when_asked_for_or_in_a_terminal(fastbp_command):
    shown, silent = (fastbp_command("train", "classes.csv", *BRIEF, *more) for more in (["--progress"], []))
    assert "50/50" in shown.stderr
    assert silent.stderr == ""
    assert passed(shown) == passed(silent)


@pytest.mark.parametrize(
    ("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_plot_writes_the_cost_curve(fastbp_command, ending, magic):
    pytest.importorskip("matplotlib")
    passed(fastbp_command("train", "classes.csv", "--plot", f"cost.{ending}", *BRIEF))
    assert Path(f"cost.{ending}").read_bytes().startswith(magic)


def test_plot_without_matplotlib_says_how_to_install_it(fastbp_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    assert_one_line(fastbp_command("train", "--plot", "cost.png"), r"pip install 'fastbp\[plot\]'")


def test_example_prints_every_figure_of_the_transcript(fastbp_command):
    shown = passed(fastbp_command("example"))
    blocks = dict(re.findall(r"step (\d+)\n(.*?cost +\S+)\n", shown, flags=re.DOTALL))
    assert list(map(int, blocks)) == [step.step for step in SHOWN]
    for step in SHOWN:
        *outputs, cost = re.findall(r"[\d.]+", blocks[str(step.step)])
        assert outputs == re.findall(r"[\d.]+", step.before + step.after)
        assert float(cost) == pytest.approx(float(step.cost), rel=1e-14)


def test_example_shows_as_many_steps_as_asked_for(fastbp_command):
    shown = passed(fastbp_command("example", "--steps", "2"))
    assert re.findall(r"step (\d+)|(\.\.\.)", shown) == [("1", ""), ("2", ""), ("", "..."), ("999", ""), ("1000", "")]
    assert passed(fastbp_command("example", "--steps", "1000")).count("step ") == 1000


def test_info_is_show_config(fastbp_command):
    assert passed(fastbp_command("info")).strip() == fastbp.show_config().strip()


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


# what is wrong: the file's name and content, further words, what the line says
BAD_DATA = {
    "missing file": ("none.csv", None, [], r"none.csv: No such file"),
    "empty file": ("a.csv", b"", [], "a.csv is not a readable CSV file: it is empty"),
    "text column": ("a.csv", b"a,b,c\n1,2,3\n1,x,4\n", [], "column 'b', row 2 holds the text 'x'; a number is wanted"),
    "missing value": ("a.csv", b"a,b,c\n1,2,0\n,3,1\n2,2,0\n1,1,1\n", [], "column 'a', row 2 is missing"),
    "infinity": ("a.csv", b"a,b\n1,0\ninf,1\n2,0\n1,1\n", [], "column 'a', row 2 is inf; a finite number"),
    "nan in the target": ("a.csv", b"a,b\n1,0\n1,nan\n", [], "column 'b', row 2 is missing"),
    "target by an unknown name": ("a.csv", b"a,b\n1,2\n", ["--target", "c"], "no column 'c' in a.csv; .*'a', 'b'"),
    "target by an unknown number": ("a.csv", b"1,2\n", ["--target", "2"], "no column '2' in a.csv; .* from 0 to 1"),
    "one column": ("a.csv", b"a\n1\n2\n", [], "a.csv has one column"),
    "constant target": ("a.csv", b"a,b\n1,2\n2,2\n", [], "target 'b' is '2' in every row"),
    "target of different texts": ("a.csv", b"a,b\n1,p\n2,q\n3,r\n", [], "3 different texts in 3 rows"),
    "text as values": ("a.csv", b"a,b\n1,p\n2,q\n", ["--task", "values"], "holds the text 'p'"),
    "name over two lines": ("a.csv", b'"a\n\nb",c\nx,1\nx,0\n', [], r"column 'a\\n\\nb', row 1 holds the text 'x'"),
    "binary in csv": ("a.csv", bytes(range(128, 256)), [], "a.csv is not a readable CSV file"),
    "truncated npy": ("a.npy", npy(np.zeros((9, 9)))[:-9], [], "truncated or corrupt"),
    "pickle": ("a.npy", npy(np.array([[1, None]]), allow_pickle=True), [], "never unpickled"),
    "truncated npz": ("a.npz", npz(x=np.zeros((9, 9)))[:-99], [], "a.npz is not a readable NPZ file"),
    "corrupt npz": ("a.npz", b"PK\x03\x04" + bytes(99), [], "a.npz is not a readable NPZ file"),
    "corrupt parquet": ("a.parquet", b"PAR1" + bytes(99), [], "a.parquet"),
    "too few rows to split": ("a.csv", b"a,b\n1,0\n2,1\n", [], "--test-fraction is 0.2, which leaves 2 of 2"),
    "divergence": ("a.csv", CLASSES.encode(), ["--learning-rate", "1e40"], "diverged in step .* smaller learning_rate"),
    "rate of nothing": ("a.csv", CLASSES.encode(), ["--learning-rate", "1e-50"], "learning_rate is .* positive number"),
    "more steps than memory": ("a.csv", CLASSES.encode(), ["--steps", "9" * 17], "not enough memory|steps"),
}


@pytest.mark.parametrize(("name", "content", "words", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_is_one_line_and_exit_code_2(fastbp_command, name, content, words, message):
    if content is not None:
        Path(name).write_bytes(content)
    assert_one_line(fastbp_command("train", name, "--save", "model.npz", *words), message)
    assert not Path("model.npz").exists()


# words, what the line says
BAD_WORDS = [
    (["bogus"], "No such command 'bogus'"),
    (["--bogus"], "No such option '?--bogus"),
    (["train", "--bogus"], "No such option '?--bogus"),
    (["train", "a.csv", "b.csv"], "unexpected extra argument"),
    (["train", "."], r"\.: Is a directory"),
    (["train", "--steps", "x"], "--steps.*'x'"),
    (["train", "--steps", "-1"], "--steps.*-1"),
    (["train", "--learning-rate", "nan"], "--learning-rate.*nan is not a finite number"),
    (["train", "--learning-rate", "0"], "--learning-rate.*0.0 is not in the range"),
    (["train", "--dtype", "float16"], "--dtype.*'float16'"),
    (["train", "--test-fraction", "1"], "--test-fraction.*1"),
    (["train", "--test-fraction", "nan"], "--test-fraction.*nan"),
    (["train", "--threads", "0"], "--threads.*0"),
    (["train", "--save", "none/model.npz"], "--save is none/model.npz, but there is no folder"),
    (["train", "--save", "."], "--save is ., which is not a file"),
    (["train", "--plot", "cost.doc"], "--plot is cost.doc; a name that ends in .png"),
    (["train", "--plot", "cost"], "--plot is cost; a name that ends in .png"),
    (["train", "--plot", "a.png", "--save", "a.png"], "--plot is a.png, which is --save too"),
    (["train", "classes.csv", "--save", "classes.csv"], "--save is classes.csv, which is the data too"),
    (["example", "--steps", "0"], "--steps.*0"),
    (["predict"], "Missing argument 'MODEL'"),
    (["predict", "none.npz", "classes.csv"], "none.npz: No such file"),
    (["predict", "classes.csv", "classes.csv"], "classes.csv is not a readable model file"),
    (["predict", "x.npz", "classes.csv", "-o", "none/a.csv"], "--output is none/a.csv, but there is no folder"),
]


@pytest.mark.parametrize(
    ("words", "message"), BAD_WORDS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_words_are_one_line_and_exit_code_2(fastbp_command, words, message):
    assert_one_line(fastbp_command(*words), message)


# how the file for predict differs from the one trained on, what the line says
BAD_ROWS = [
    ("a,b,c\n1,2,3\n", "1 columns that the model does not know: 'c'"),
    ("a,kind\n1,odd\n", "lacks 1 of the model's columns: 'b'"),
    ("1\n2\n", "has 1 columns; 2 are wanted"),
    ("a,b\n1,\n", "column 'b', row 1 is missing"),
    ("a,b\n1,1e300\n", "x must be finite in dtype float32"),
]


@pytest.mark.parametrize(("content", "message"), BAD_ROWS)
def test_rows_that_do_not_fit_the_model_are_one_line_and_exit_code_2(fastbp_command, content, message):
    passed(fastbp_command("train", "classes.csv", "--save", "model.npz", *BRIEF))
    Path("rows.csv").write_text(content)
    assert_one_line(fastbp_command("predict", "model.npz", "rows.csv"), message)


def test_truncated_model_is_one_line_and_exit_code_2(fastbp_command):
    passed(fastbp_command("train", "classes.csv", "--save", "model.npz", *BRIEF))
    content = Path("model.npz").read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        Path("model.npz").write_bytes(content[:length])
        assert_one_line(fastbp_command("predict", "model.npz", "classes.csv"), "model.npz is not a readable model file")


def test_failed_training_leaves_the_old_model(fastbp_command):
    Path("model.npz").write_text("old")
    assert fastbp_command("train", "classes.csv", "--save", "model.npz", "--learning-rate", "1e40").exit_code == 2
    assert Path("model.npz").read_text() == "old"
    assert sorted(os.listdir()) == ["classes.csv", "model.npz", "values.csv"]


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_interruption_is_one_line_and_exit_code_130(tmp_path):
    with start("train", "--steps", 10**8, "--save", "model.npz", cwd=tmp_path) as process:
        for line in process.stdout:
            if line.startswith("training"):
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "Interrupted.\n"
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="no such pipes")
def test_closed_pipe_gives_no_traceback(fastbp_command, tmp_path):
    passed(fastbp_command("train", "classes.csv", "--save", "model.npz", *BRIEF))
    np.save("many.npy", np.zeros((100_000, 2)))
    with start("predict", "model.npz", "many.npy", cwd=tmp_path) as process:
        assert process.stdout.readline() == "even\n"
        process.stdout.close()
        assert process.stderr.read() == ""


def test_terminal_of_another_alphabet_shows_escapes(fastbp_command, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "iso8859-5")
    Path("a.csv").write_text(CLASSES.replace("kind", "größe"), encoding="utf-8")
    with start("train", "a.csv", *BRIEF, cwd=tmp_path) as process:
        shown, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert r"gr\xf6\xdfe" in shown


def test_help_imports_nothing_heavy():
    heavy = "numba", "pyarrow", "matplotlib", "tqdm"
    code = f"import sys, fastbp.command.cli; sys.exit(' '.join(sorted(set({heavy}) & set(sys.modules))))"
    process = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=False)
    assert process.stderr.strip() == ""


def test_version_is_printed(fastbp_command):
    assert passed(fastbp_command("--version")).startswith("fastbp")


def test_every_command_explains_itself(fastbp_command):
    for words in ([], ["train"], ["predict"], ["example"], ["info"]):
        assert "Usage: fastbp" in passed(fastbp_command(*words, "--help"))
