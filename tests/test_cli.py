"""The command line: what each command prints and writes, and that every bad input ends in one line and exit code 2."""

import gzip
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from processes import environment, hear_ctrl_c
from table_files import npy, npz
from transcript import SHOWN

import fastbp
from fastbp.bench.networks import numpy_epochs
from fastbp.command import cli, own_case, wording
from fastbp.command.batch_times import timed_batches
from fastbp.command.cli import main

HERE = Path(fastbp.__file__).parents[1]
CLASSES = "a,b,kind\n" + "".join(f"{i % 7},{i % 2},{'odd' if i % 2 else 'even'}\n" for i in range(40))
VALUES = "a,b,value\n" + "".join(f"{i % 7},{i % 5},{i % 7 + 10 * (i % 5) + 0.5}\n" for i in range(70))
BRIEF = ["--no-compare", "--epochs", "20", "--learning-rate", "0.01", "--batch-size", "8"]


@pytest.fixture(autouse=True)
def threads_as_before():
    """A command runs in this process here, and --threads is said to the library."""
    before = fastbp.get_num_threads()
    yield
    fastbp.set_num_threads(before)


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
    assert accuracy > 97
    before, after = map(float, re.search(r"([\d.]+) on those trained on \(([\d.]+) in the first", shown).group(2, 1))
    assert after < before / 20
    time = r"[\d.]+ (µs|ms)"
    assert re.search(
        rf"time +{time} a batch, by plain NumPy {time}, over 45 batches: [\d.]+ times as (fast|slow)", shown
    )


def test_timing_goes_on_after_the_schedule_has_ended_without_a_word_of_it(fastbp_command):
    done = fastbp_command("train", "values.csv", "--epochs", "2")
    assert "by plain NumPy" in passed(done)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("rows", "batch_size", "parameters", "batches"),
    [
        (1438, 32, 4810, 45),  # the digits: an epoch
        (1, 32, 10, 1),
        (10**6, 1, 2, 100),
        (60_000, 32, 101_770, 15),
        (60_000, 128, 101_770, 4),
        (100, 10**9, 10**9, 1),
    ],
)
def test_batches_timed_follow_from_the_shapes_alone(rows, batch_size, parameters, batches):
    assert timed_batches(rows, batch_size, parameters) == batches


def test_choices_that_are_said_again_are_those_of_the_library():
    """The command says them again, since its help would have to import much to ask for them."""
    assert cli.SCHEDULES == ("constant", "cosine", "step") == tuple(wording.SCHEDULES)
    assert tuple(numpy_epochs.ACTIVATIONS) == cli.TIMED_ACTIVATIONS
    assert tuple(own_case.OPTIMIZERS) == cli.TIMED_OPTIMIZERS


def test_classes_are_trained_saved_and_predicted(fastbp_command):
    shown = passed(fastbp_command("train", "classes.csv", "--save", "model", *BRIEF))
    assert "'kind' (the last column): 2 classes" in shown
    assert "2 - 64 relu - 2 softmax" in shown
    assert "100.0 % on the rows held out" in shown
    predictions = passed(fastbp_command("predict", "model", "classes.csv"))
    assert predictions.split() == ["even", "odd"] * 20
    passed(fastbp_command("predict", "model", "classes.csv", "--output", "predictions.csv"))
    assert Path("predictions.csv").read_text() == predictions


@pytest.mark.jit_only
def test_values_are_recognised_and_scored_in_their_units(fastbp_command):
    shown = passed(fastbp_command("train", "values.csv", "--save", "model", "--no-compare", "--dtype", "float64"))
    assert "'value' (the last column): values, here 0.5 to 46.5" in shown
    assert "2 - 64 relu - 1 identity" in shown
    assert float(re.search(r"R\^2 +([\d.]+) on the rows held out", shown)[1]) > 0.98
    assert float(re.search(r"error +([\d.]+) on the rows held out.*\(root mean square\)", shown)[1]) < 2
    predictions = passed(fastbp_command("predict", "model", "values.csv")).split()
    np.testing.assert_allclose([float(p) for p in predictions][:3], [0.5, 11.5, 22.5], atol=3)


@pytest.mark.parametrize("target", ["kind", "2", "-1"])
def test_target_is_a_name_or_a_number(fastbp_command, target):
    shown = passed(fastbp_command("train", "classes.csv", "--target", target, *BRIEF))
    assert "'kind': 2 classes" in shown


def test_predictions_are_all_printed_whatever_their_number(fastbp_command):
    passed(fastbp_command("train", "classes.csv", "--save", "model", *BRIEF))
    np.save("many.npy", np.tile([[0, 0], [1, 1], [1, 1]], (1000, 1)))
    predictions = passed(fastbp_command("predict", "model", "many.npy"))
    assert predictions.split() == ["even", "odd", "odd"] * 1000


def test_labels_with_commas_are_quoted(fastbp_command):
    Path("a.csv").write_text(CLASSES.replace("odd", '"odd, not even"'))
    passed(fastbp_command("train", "a.csv", "--save", "model", *BRIEF))
    assert passed(fastbp_command("predict", "model", "a.csv")).splitlines()[:2] == ["even", '"odd, not even"']


def test_seed_decides_everything(fastbp_command):
    Path("noise.csv").write_text("".join(f"{i * i % 31},{i % 2}\n" for i in range(40)))
    first, again, other = (passed(fastbp_command("train", "noise.csv", *BRIEF, "--seed", seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_training_is_as_the_options_say(fastbp_command):
    words = "--hidden 5,4 --activation tanh --loss binary_cross_entropy --optimizer sgd --momentum 0.5 --schedule step"
    more = "--weight-decay 0.001 --clip-norm 2 --dtype float64 --threads 1 --seed 3 --save model"
    shown = passed(fastbp_command("train", "classes.csv", *words.split(), *more.split(), *BRIEF))
    assert "2 - 5 tanh - 4 tanh - 1 sigmoid, 44 parameters, float64" in shown
    assert "20 epochs of 4 batches, binary_cross_entropy, sgd, learning rate 0.01, a tenth after each third" in shown
    network = fastbp.Network.load("model")
    assert (network.architecture.sizes, network.architecture.dtype) == ((2, 5, 4, 1), np.float64)
    rate = fastbp.StepDecay(0.01, every=27)
    assert network.optimizer == fastbp.SGD(learning_rate=rate, momentum=0.5, weight_decay=0.001, clip_norm=2.0)
    assert set(passed(fastbp_command("predict", "model", "classes.csv")).split()) <= {"odd", "even"}


@pytest.mark.parametrize(
    ("words", "optimizer"),
    [
        ([], fastbp.Adam(learning_rate=fastbp.CosineDecay(0.01, steps=80))),
        (["--schedule", "constant"], fastbp.Adam(learning_rate=0.01)),
        (["--optimizer", "adamw", "--schedule", "constant"], fastbp.AdamW(learning_rate=0.01, weight_decay=0.01)),
        (["--optimizer", "sgd", "--schedule", "constant"], fastbp.SGD(learning_rate=0.01, momentum=0.9)),
    ],
)
def test_optimizers_have_the_defaults_of_the_help(fastbp_command, words, optimizer):
    passed(fastbp_command("train", "classes.csv", "--save", "model", *BRIEF, *words))
    assert fastbp.Network.load("model").optimizer == optimizer


@pytest.mark.parametrize("none", ["0", ""])
def test_hidden_layers_may_be_none(fastbp_command, none):
    assert "network     2 - 2 softmax, 6 parameters" in passed(fastbp_command("train", "classes.csv", "--hidden", none))


def test_patience_ends_training_at_the_best_epoch(fastbp_command):
    Path("noise.csv").write_text("".join(f"{i * i % 31},{i * i * i % 37 % 2}\n" for i in range(60)))
    words = ["--patience", "2", "--epochs", "500", "--no-compare"]
    shown = passed(fastbp_command("train", "noise.csv", *words))
    assert "48 rows to train on, 4 of them to tell when to stop, 12 held out" in shown
    ending = r"stopped +after (\d+) of 500 epochs; the network is that of epoch (\d+)"
    last, best = map(int, re.search(ending, shown).groups())
    assert last == best + 2 < 500
    words[3] = "1"
    shown = passed(fastbp_command("train", "noise.csv", *words))
    assert re.search(r"ended +after 1 epoch; the network is that of epoch 1", shown)


def test_two_classes_may_be_told_apart_by_any_loss(fastbp_command):
    for loss, output in [
        ("cross_entropy", "2 softmax"),
        ("squared_error", "2 sigmoid"),
        ("binary_cross_entropy", "1 s"),
    ]:
        shown = passed(fastbp_command("train", "classes.csv", "--loss", loss, "--save", "model", *BRIEF))
        assert f"relu - {output}" in shown
        predictions = passed(fastbp_command("predict", "model", "classes.csv"))
        assert predictions.split() == ["even", "odd"] * 20


def idx(array):
    """An IDX file of unsigned bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


@pytest.fixture
def images(fastbp_command):
    """Files of small images: a bright half is up or down, as in the labels; 60 to train on, 20 to test."""
    rng = np.random.default_rng(5)
    for name, rows in (("train", 60), ("test", 20)):
        labels = rng.integers(0, 2, rows)
        pictures = rng.integers(0, 60, (rows, 4, 3))
        pictures[labels == 0, :2] += 150
        pictures[labels == 1, 2:] += 150
        Path(f"{name}-images-idx3-ubyte").write_bytes(idx(pictures))
        Path(f"{name}-images.gz").write_bytes(gzip.compress(idx(pictures)))
        Path(f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
        np.save(f"{name}.npy", pictures)
        np.save(f"{name}-labels.npy", labels)
        np.save(f"{name}-words.npy", np.array(["up", "down"])[labels])
    return fastbp_command


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        ("{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"),
        ("{}-images.gz", "{}-labels.npy"),
        ("{}.npy", "{}-labels-idx1-ubyte"),
        ("{}.npy", "{}-words.npy"),
    ],
)
def test_images_and_labels_have_files_of_their_own(images, data, labels):
    words = ["train", data.format("train"), "--target", labels.format("train")]
    more = ["--test", data.format("test"), "--test-target", labels.format("test"), "--save", "model"]
    shown = passed(images(*words, *more, *BRIEF))
    assert "60 rows, 12 inputs (4 x 3, standardised together)" in shown
    assert f"'{labels.format('train')}': 2 classes" in shown
    assert f"60 rows to train on, 20 held out ({data.format('test')})" in shown
    assert "accuracy    100.0 % on the rows held out" in shown
    predictions = passed(images("predict", "model", data.format("test"))).split()
    known = ["up", "down"] if "words" in labels else ["0", "1"]
    assert predictions == [known[label] for label in np.load("test-labels.npy")]


def test_images_with_y_beside_them_need_no_file_of_labels(images):
    for name in ("train", "test"):
        words = np.load(f"{name}-words.npy")
        Path(f"{name}.npz").write_bytes(npz(x=np.load(f"{name}.npy"), y=words))
    shown = passed(images("train", "train.npz", "--test", "test.npz", "--save", "model", *BRIEF))
    assert "60 rows, 12 inputs (4 x 3, standardised together)" in shown
    assert "'y' (the last column): 2 classes" in shown
    assert "accuracy    100.0 % on the rows held out" in shown
    for data in ("test.npz", "test.npy"):
        assert passed(images("predict", "model", data)).split() == np.load("test-words.npy").tolist()
    shown = passed(images("train", "train.npy", "--target", "train-words.npy", "--test", "test.npz", *BRIEF))
    assert "accuracy    100.0 % on the rows held out" in shown
    refused = images("train", "train.npz", "--target", "train-labels.npy")
    assert_one_line(refused, "--target is train-labels.npy, but train.npz holds y, which is wanted")
    refused = images("train", "train.npz", "--test", "test.npy")
    assert_one_line(refused, "--test-target is missing; an IDX or NPY file of the labels of test.npy is wanted")


def test_labels_of_text_need_no_header(images):
    words = ["odd" if label else "even" for label in np.load("train-labels.npy")]
    for name, lines in (("bare.txt", words), ("named.txt", ["label", *words])):
        Path(name).write_text("\n".join(lines) + "\n")
        shown = passed(images("train", "train.npy", "--target", name, "--test-fraction", "0.2", *BRIEF))
        assert re.search(r"target .*: 2 classes", shown)
    passed(images("train", "train.npy", "--target", "bare.txt", "--no-header", "--test-fraction", "0.2", *BRIEF))
    refused = images("train", "train.npy", "--target", "named.txt", "--no-header", *BRIEF)
    assert_one_line(refused, r"--target is named.txt, which has shape \(61, 1\); \(60, 1\) is wanted")


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
BAD_IMAGES = [
    ([IMAGES], "--target is missing; an IDX or NPY file of the labels of train-images-idx3-ubyte"),
    ([IMAGES, "--target", "none"], "--target is none, which is not a file; an IDX or NPY file"),
    ([IMAGES, "--target", "test-labels.npy"], r"has shape \(20, 1\); \(60, 1\) is wanted, as train-images.* 60 rows"),
    ([IMAGES, "--target", IMAGES], r"has shape \(60, 12\); \(60, 1\) is wanted"),
    ([IMAGES, "--target", LABELS, "--test", "test.npy"], "--test-target is missing; a file of labels is wanted"),
    ([IMAGES, "--target", LABELS, "--test", "classes.csv", "--test-target", "kind"], "2 classes that no row .* 'even'"),
    ([IMAGES, "--target", LABELS, "--test", "values.csv", "--test-target", "b"], "3 classes .* has: '2', '3', '4'"),
    ([IMAGES, "--target", LABELS, "--save", LABELS], "which is the data too"),
    ([LABELS], "train-labels-idx1-ubyte has one column"),
    (["classes.csv", "--test", "values.csv"], "no column 'kind' in values.csv"),
    (["classes.csv", "--test", "values.csv", "--test-target", "9"], "no column '9' in values.csv"),
    (["values.csv", "--test", "classes.csv", "--test-target", "kind"], "column 'kind', row 1 holds the text 'even'"),
]


@pytest.mark.parametrize(
    ("words", "message"), BAD_IMAGES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_files_that_do_not_fit_one_another_are_one_line_and_exit_code_2(images, words, message):
    assert_one_line(images("train", *words), message)


def test_header_of_numbers_is_no_row(fastbp_command):
    rows = CLASSES.partition("\n")[2]
    Path("pandas.csv").write_text(f"0,1,2\n{rows}")
    shown = passed(fastbp_command("train", "pandas.csv", "--save", "model", *BRIEF))
    assert "pandas.csv: 40 rows, 2 inputs\n" in shown
    assert passed(fastbp_command("predict", "model", "pandas.csv")).split() == ["even", "odd"] * 20

    Path("years.csv").write_text("2019,2020,2021\n" + rows.replace("even", "0").replace("odd", "1"))
    words = ["train", "years.csv", "--test", "years.csv", "--save", "model", "--task", "classes", *BRIEF]
    shown = passed(fastbp_command(*words))
    assert "years.csv: 41 rows, 2 inputs, no header\n" in shown
    assert "41 held out (years.csv, no header)" in shown
    shown = passed(fastbp_command(*words, "--header"))
    assert "years.csv: 40 rows, 2 inputs\n" in shown
    assert "'2021' (the last column): 2 classes" in shown
    assert "40 held out (years.csv)," in shown
    for header in ([], ["--header"]):  # of a model the names are known
        assert len(passed(fastbp_command("predict", "model", "years.csv", *header)).split()) == 40


def test_header_may_be_denied(fastbp_command):
    Path("a.csv").write_text("0,1,2\n" * 20 + "1,0,3\n" * 20)
    shown = passed(fastbp_command("train", "a.csv", "--no-header", "--save", "model", *BRIEF))
    assert "a.csv: 40 rows, 2 inputs, no header\n" in shown
    Path("rows.csv").write_text("0,1\n1,0\n")
    assert passed(fastbp_command("predict", "model", "rows.csv", "--no-header")).split() == ["2", "3"]


def test_test_set_has_the_same_columns_in_any_order(fastbp_command):
    Path("test.csv").write_text("kind,b,a\nodd,1,3\neven,0,2\neven,0,4\n")
    shown = passed(fastbp_command("train", "classes.csv", "--test", "test.csv", *BRIEF))
    assert "40 rows to train on, 3 held out (test.csv)" in shown
    assert "accuracy    100.0 % on the rows held out" in shown
    Path("test.csv").write_text("c,b,a\nodd,1,3\neven,0,2\n")
    shown = passed(fastbp_command("train", "classes.csv", "--test", "test.csv", "--test-target", "c", *BRIEF))
    assert "accuracy    100.0 % on the rows held out" in shown
    Path("test.csv").write_text("3,1,odd\n2,0,even\n")
    shown = passed(fastbp_command("train", "classes.csv", "--test", "test.csv", *BRIEF))
    assert "accuracy    100.0 % on the rows held out" in shown


def test_no_row_held_out_leaves_the_score_of_the_rows_trained_on(fastbp_command):
    shown = passed(fastbp_command("train", "classes.csv", "--test-fraction", "0", *BRIEF))
    assert "40 rows to train on, 0 held out" in shown
    assert "accuracy    100.0 % on the rows trained on" in shown


def test_quiet_prints_nothing(fastbp_command):
    result = fastbp_command("train", "classes.csv", "--quiet", *BRIEF)
    assert (passed(result), result.stderr) == ("", "")


def test_progress_goes_to_stderr_and_only_when_asked_for_or_in_a_terminal(fastbp_command):
    shown, silent = (fastbp_command("train", "classes.csv", *BRIEF, *more) for more in (["--progress"], []))
    assert "20/20" in shown.stderr
    assert silent.stderr == ""
    assert passed(shown) == passed(silent)


@pytest.mark.parametrize(
    ("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_plot_writes_the_curve_of_the_loss(fastbp_command, ending, magic):
    pytest.importorskip("matplotlib")
    passed(fastbp_command("train", "classes.csv", "--plot", f"cost.{ending}", "--patience", 3, *BRIEF))
    assert Path(f"cost.{ending}").read_bytes().startswith(magic)


def test_plot_without_matplotlib_says_how_to_install_it(fastbp_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    assert_one_line(fastbp_command("train", "--plot", "cost.png"), "pip install matplotlib")


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


# what is wrong: the file's name and content, further words, what the line says
BAD_DATA = {
    "missing file": ("none.csv", None, [], r"none.csv: No such file"),
    "empty file": ("a.csv", b"", [], "a.csv is not a readable CSV file: it is empty"),
    "text column": ("a.csv", b"a,b,c\n1,2,3\n1,x,4\n", [], "column 'b', row 2 holds the text 'x'; a number is wanted"),
    "missing value": ("a.csv", b"a,b,c\n1,2,0\n,3,1\n2,2,0\n1,1,1\n", [], "column 'a', row 2 is missing"),
    "infinity": ("a.csv", b"a,b\n1,0\ninf,1\n2,0\n1,1\n", [], "column 'a', row 2 is inf; a finite number"),
    "nan in the target": ("a.csv", b"a,b\n1,0\n1,nan\n", [], "column 'b', row 2 is missing"),
    "target by an unknown name": ("a.csv", b"a,b\n1,2\n", ["--target", "c"], "no column 'c' in a.csv; .*'a', 'b'"),
    "target by an unknown number": ("a.csv", b"1,2\n", ["--target", "2"], "no column '2' in a.csv; .* from -2 to 1"),
    "one column": ("a.csv", b"a\n1\n2\n", [], "a.csv has one column"),
    "constant target": ("a.csv", b"a,b\n1,2\n2,2\n", [], "target 'b' is '2' in every row"),
    "target of different texts": ("a.csv", b"a,b\n1,p\n2,q\n3,r\n", [], "3 different texts in 3 rows"),
    "text as values": ("a.csv", b"a,b\n1,p\n2,q\n", ["--task", "values"], "holds the text 'p'"),
    "name over two lines": ("a.csv", b'"a\n\nb",c\nx,1\nx,0\n', [], r"column 'a\\n\\nb', row 1 holds the text 'x'"),
    "names beside numbers": (
        "a.csv",
        b"id,2019,y\n1,2,0\n2,3,1\n",
        [],
        "row 1 holds the text 'y'; .*, or --header if this line",
    ),
    "classes beyond float64": (
        *("a.csv", b"a,b\n" + b"1,9007199254740992\n2,9007199254740993\n3,9007199254740995\n" * 3, []),
        r"whole numbers from 2\^53 on, which may differ and be the same",
    ),
    "binary in csv": ("a.csv", bytes(range(128, 256)), [], "a.csv is not a readable CSV file"),
    "truncated npy": ("a.npy", npy(np.zeros((9, 9)))[:-9], [], "truncated or corrupt"),
    "pickle": ("a.npy", npy(np.array([[1, None]]), allow_pickle=True), [], "never unpickled"),
    "truncated npz": ("a.npz", npz(x=np.zeros((9, 9)))[:-99], [], "a.npz is not a readable NPZ file"),
    "corrupt npz": ("a.npz", b"PK\x03\x04" + bytes(99), [], "a.npz is not a readable NPZ file"),
    "corrupt parquet": ("a.parquet", b"PAR1" + bytes(99), [], "a.parquet"),
    "too few rows to split": ("a.csv", b"a,b\n1,0\n2,1\n", [], "--test-fraction is 0.2, which leaves 2 of 2"),
    "divergence": (
        *("a.csv", CLASSES.encode(), ["--learning-rate", "1e30"]),
        r"in epoch \d+: its loss or its update is not finite; a smaller --learning-rate or a --clip-norm may help$",
    ),
    "rate beyond the dtype": (
        "a.csv",
        CLASSES.encode(),
        ["--learning-rate", "1e300"],
        "--learning-rate is 1e.300; a finite positive number in dtype float32 is wanted",
    ),
    "target by an unknown file": (
        "a.csv",
        b"a,b\n1,2\n",
        ["--target", "none.npy"],
        "'none.npy' .* or a file of labels",
    ),
    "network larger than memory": ("a.csv", CLASSES.encode(), ["--hidden", "9" * 12], "takes .* bytes .* at most"),
    "binary loss of more classes": (
        *("a.csv", b"a,b\n" + b"1,0\n2,1\n3,2\n" * 3, ["--loss", "binary_cross_entropy"]),
        "--loss is binary_cross_entropy; cross_entropy or squared_error is wanted, as target 'b' holds 3 classes",
    ),
    "loss of classes for values": (
        *("a.csv", VALUES.encode(), ["--loss", "cross_entropy"]),
        "--loss is cross_entropy; squared_error is wanted, as target 'value' holds values",
    ),
    "one row to train on and to judge by": (
        *("a.csv", b"a,b\n1,0\n2,1\n", ["--test-fraction", "0.5", "--patience", "1"]),
        "--patience wants two rows or more",
    ),
}


@pytest.mark.parametrize(("name", "content", "words", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_is_one_line_and_exit_code_2(fastbp_command, name, content, words, message):
    if content is not None:
        Path(name).write_bytes(content)
    assert_one_line(fastbp_command("train", name, "--save", "model", *words), message)
    assert not Path("model").exists()


# words, what the line says
BAD_WORDS = [
    (["bogus"], "No such command 'bogus'"),
    (["--bogus"], "No such option '?--bogus"),
    (["train", "--bogus"], "No such option '?--bogus"),
    (["train", "a.csv", "b.csv"], "unexpected extra argument"),
    (["train", "."], r"\.: Is a directory"),
    (["train", "--epochs", "x"], "--epochs.*'x'"),
    (["train", "--epochs", "0"], "--epochs.*0"),
    (["train", "--batch-size", "0"], "--batch-size.*0"),
    (["train", "--patience", "0"], "--patience.*0"),
    (["train", "--hidden", "64,x"], "--hidden.*'64,x' is no list of sizes; numbers such as 128,64"),
    (["train", "--hidden", "9" * 4400], "--hidden.*is no list of sizes; numbers such as 128,64"),
    (["train", "--epochs", "1" + 17 * "0"], f"--epochs is 1{17 * '0'}, .* updates; {2**53} at most are wanted"),
    (["train", "--hidden", "64,0"], "--hidden.*'64,0' is no list of sizes"),
    (["train", "--hidden", "-1"], "--hidden.*'-1' is no list of sizes"),
    (["train", "--activation", "softmax"], "--activation.*'softmax'"),
    (["train", "--loss", "hinge"], "--loss.*'hinge'"),
    (["train", "--optimizer", "rprop"], "--optimizer.*'rprop'"),
    (["train", "--schedule", "linear"], "--schedule.*'linear'"),
    (["train", "--momentum", "1", "--optimizer", "sgd"], "--momentum.*1"),
    (["train", "--momentum", "0.9"], "--momentum is 0.9, but --optimizer is adam; sgd is wanted"),
    (["train", "--weight-decay", "-1"], "--weight-decay.*-1"),
    (["train", "--weight-decay", "inf"], "--weight-decay.*inf is not a finite number"),
    (["train", "--clip-norm", "0"], "--clip-norm.*0"),
    (["train", "--seed", "-1"], "--seed.*-1"),
    (["train", "--test", "none.csv"], "none.csv: No such file"),
    (["train", "--test", "a.csv", "--test-fraction", "0.1"], "--test and --test-fraction are both given"),
    (["train", "--test-target", "kind"], "--test-target is given, but not --test"),
    (
        ["train", "classes.csv", "--test", "values.csv", "--save", "values.csv"],
        "--save is values.csv, which is the data",
    ),
    (["train", "--learning-rate", "nan"], "--learning-rate.*nan is not a finite number"),
    (["train", "--learning-rate", "0"], "--learning-rate.*0.0 is not in the range"),
    (["train", "--dtype", "float16"], "--dtype.*'float16'"),
    (["train", "--test-fraction", "1"], "--test-fraction.*1"),
    (["train", "--test-fraction", "nan"], "--test-fraction.*nan"),
    (["train", "--threads", "0"], "--threads.*0"),
    (["train", "--save", "none/model"], "--save is none/model, but there is no folder"),
    (["train", "--save", "."], "--save is ., which is not a file"),
    (["train", "--plot", "cost.doc"], "--plot is cost.doc; a name that ends in .png"),
    (["train", "--plot", "cost"], "--plot is cost; a name that ends in .png"),
    (["train", "--plot", "a.png", "--save", "a.png"], "--plot is a.png, which is --save too"),
    (["train", "classes.csv", "--save", "classes.csv"], "--save is classes.csv, which is the data too"),
    (["example", "--steps", "0"], "--steps.*0"),
    (["predict"], "Missing argument 'MODEL'"),
    (["predict", "none", "classes.csv"], "none: No such file"),
    (
        ["predict", "classes.csv", "classes.csv"],
        "Error: classes.csv is not a model of fastbp; a file that fastbp saved",
    ),
    (["predict", ".", "classes.csv"], r"\.: Is a directory"),
    (["predict", "x", "classes.csv", "-o", "none/a.csv"], "--output is none/a.csv, but there is no folder"),
    (["predict", "values.csv", "classes.csv", "-o", "values.csv"], "--output is values.csv, which is the model too"),
    (["predict", "x", "classes.csv", "-o", "classes.csv"], "--output is classes.csv, which is the data too"),
]


@pytest.mark.parametrize(
    ("words", "message"), BAD_WORDS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_words_are_one_line_and_exit_code_2(fastbp_command, words, message):
    assert_one_line(fastbp_command(*words), message)


def test_a_first_line_with_the_names_of_the_model_is_a_header(fastbp_command):
    rows = "".join(f"{i % 7},{i % 3},{i % 2}\n" for i in range(40))
    Path("years.csv").write_text("2019,2020,2021\n" + rows)
    passed(fastbp_command("train", "years.csv", "--header", "--save", "model", *BRIEF))
    Path("new.csv").write_text("2020,2019\n1,2\n3,4\n")
    assert len(passed(fastbp_command("predict", "model", "new.csv")).split()) == 2
    shown = passed(fastbp_command("train", "years.csv", "--header", "--test", "years.csv", *BRIEF))
    assert "40 rows to train on, 40 held out" in shown


SURVEY = "id,a,b,kind,name\n" + "".join(f"{i},{i % 7},{i % 2},{'odd' if i % 2 else 'even'},n{i}\n" for i in range(40))


def test_columns_that_are_ignored_need_be_no_numbers_and_change_nothing(fastbp_command):
    Path("survey.csv").write_text(SURVEY)
    ignore = ["--ignore", "id", "--ignore", "-1"]
    shown = passed(fastbp_command("train", "survey.csv", *ignore, "--save", "model", *BRIEF))
    assert shown.splitlines()[:2] == [
        "data        survey.csv: 40 rows, 2 inputs, 2 columns ignored",
        "target      'kind' (the last column left): 2 classes",
    ]
    passed(fastbp_command("train", "classes.csv", "--save", "wanted", *BRIEF))
    found, known = (fastbp.Network.load(path).weights for path in ("model", "wanted"))
    for one, other in zip(found, known, strict=True):
        np.testing.assert_array_equal(one, other)
    wanted = passed(fastbp_command("predict", "model", "classes.csv"))
    assert passed(fastbp_command("predict", "model", "survey.csv", *ignore)) == wanted


def columns_of(content, *numbers):
    """Some columns of a CSV file, in this order."""
    rows = [line.split(",") for line in content.splitlines()]
    return "".join(",".join(row[number] for number in numbers) + "\n" for row in rows)


# the columns of a test set, whether its first line names them
TEST_SETS = {
    "with them": ((0, 1, 2, 3, 4), True),
    "with them, unnamed": ((0, 1, 2, 3, 4), False),
    "without them": ((1, 2, 3), True),
    "without them, unnamed": ((1, 2, 3), False),
    "with one of them, in another order": ((3, 2, 4, 1), True),
}


@pytest.mark.parametrize("ignore", [["id", "name"], ["0", "-1"]], ids=["by name", "by number"])
@pytest.mark.parametrize(("columns", "named"), TEST_SETS.values(), ids=TEST_SETS)
def test_a_test_set_may_have_the_columns_that_are_ignored_and_need_not(fastbp_command, ignore, columns, named):
    Path("survey.csv").write_text(SURVEY)
    Path("test.csv").write_text(columns_of(SURVEY if named else SURVEY.split("\n", 1)[1], *columns))
    ignored = [word for column in ignore for word in ("--ignore", column)]
    shown = passed(fastbp_command("train", "survey.csv", *ignored, "--target", "kind", "--test", "test.csv", *BRIEF))
    assert "40 rows to train on, 40 held out" in shown
    (loss,) = re.findall("loss +([^ ]+) on the rows held out, ([^ ]+) on those trained on", shown)
    assert loss[0] == loss[1]  # they are the same rows


def test_a_test_set_that_is_too_narrow_for_the_target_is_one_line_and_exit_code_2(fastbp_command):
    Path("survey.csv").write_text(SURVEY)
    Path("test.csv").write_text("1,2\n3,4\n")
    words = ["train", "survey.csv", "--ignore", "id", "--ignore", "name", "--test", "test.csv"]
    assert_one_line(
        fastbp_command(*words), "--test-target is missing; test.csv has 2 columns, but the target is number 2"
    )


def test_an_input_of_the_model_is_not_ignored_silently(fastbp_command):
    passed(fastbp_command("train", "classes.csv", "--save", "model", *BRIEF))
    words = ["predict", "model", "classes.csv", "--ignore", "a"]
    assert_one_line(fastbp_command(*words), "--ignore leaves out 'a', but the model wants all of its inputs")


def test_columns_without_names_are_ignored_by_number(fastbp_command):
    Path("bare.csv").write_text(SURVEY.split("\n", 1)[1])
    ignore = ["--ignore", "0", "--ignore", "4"]
    passed(fastbp_command("train", "bare.csv", *ignore, "--target", "3", "--save", "model", *BRIEF))
    Path("new.csv").write_text("x,1,1,y\nx,2,0,y\n")
    words = passed(fastbp_command("predict", "model", "new.csv", "--ignore", "0", "--ignore", "3")).split()
    assert words == ["odd", "even"]


IGNORED_BADLY = [
    (["--ignore", "nobody"], "--ignore is nobody, but there is no column 'nobody' in survey.csv; a name is wanted"),
    (["--ignore", "kind", "--target", "3"], "column '3' of survey.csv is left out; another one is wanted"),
    (["--ignore", "kind", "--target", "kind"], "column 'kind' of survey.csv is left out; another one is wanted"),
    (["--ignore", "1_0"], "there is no column '1_0' in survey.csv"),
    (
        ["--ignore", "0", "--ignore", "1", "--ignore", "2", "--ignore", "3"],
        "survey.csv has 1 column that --ignore leaves",
    ),
    (["--ignore", "id"], "column 'kind', row 1 holds the text 'even'; a number is wanted, or --ignore to leave the"),
]


@pytest.mark.parametrize(("words", "message"), IGNORED_BADLY)
def test_columns_that_cannot_be_ignored_are_one_line_and_exit_code_2(fastbp_command, words, message):
    Path("survey.csv").write_text(SURVEY)
    assert_one_line(
        fastbp_command("train", "survey.csv", *(words if "--target" in words else [*words, "--target", "a"])), message
    )


def test_no_input_is_left_where_all_columns_are_ignored(fastbp_command):
    np.save("x.npy", np.ones((6, 2)))
    np.save("y.npy", np.arange(6) % 2)
    words = ["train", "x.npy", "--target", "y.npy", "--ignore", "0", "--ignore", "1"]
    assert_one_line(fastbp_command(*words), "x.npy has no column that --ignore leaves; at least one input is wanted")


def test_images_have_no_columns_to_ignore(fastbp_command):
    np.save("x.npy", np.ones((6, 2, 2)))
    np.save("y.npy", np.arange(6) % 2)
    words = ["train", "x.npy", "--target", "y.npy", "--ignore", "0"]
    assert_one_line(fastbp_command(*words), "--ignore is 0, but x.npy holds images; a table of columns is wanted")


# how the file for predict differs from the one trained on, what the line says
BAD_ROWS = [
    ("a,b,c\n1,2,3\n", "has 1 column that the model does not know: 'c'"),
    ("a,kind\n1,odd\n", "lacks 1 of the model's columns: 'b'"),
    ("1\n2\n", "has 1 column, and the model 2 inputs; as many are wanted"),
    ("a,b\n1,\n", "column 'b', row 1 is missing"),
    ("a,b\n1,1\n1,1e300\n", "rows.csv: row 2 has numbers too large for the model"),
]


@pytest.mark.parametrize(("content", "message"), BAD_ROWS)
def test_rows_that_do_not_fit_the_model_are_one_line_and_exit_code_2(fastbp_command, content, message):
    passed(fastbp_command("train", "classes.csv", "--save", "model", *BRIEF))
    Path("rows.csv").write_text(content)
    assert_one_line(fastbp_command("predict", "model", "rows.csv"), message)


def test_truncated_model_is_one_line_and_exit_code_2(fastbp_command):
    passed(fastbp_command("train", "classes.csv", "--save", "model", *BRIEF))
    content = Path("model").read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        Path("model").write_bytes(content[:length])
        assert_one_line(fastbp_command("predict", "model", "classes.csv"), "model is not a whole safetensors file")


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX closes standard error and reads a line")
@pytest.mark.parametrize("ending", ["2>&-", "| head -1"], ids=["stderr closed", "reader gone"])
def test_a_model_is_saved_though_nobody_reads_what_is_said(tmp_path, ending):
    (tmp_path / "a.csv").write_text(CLASSES)
    words = f"{shlex.quote(sys.executable)} -m fastbp train a.csv --save model {' '.join(BRIEF)} {ending}"
    done = subprocess.run(["sh", "-c", words], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.stdout.startswith("data        a.csv")
    assert done.stderr == ""
    assert (tmp_path / "model").exists()


def test_failed_training_leaves_the_old_model(fastbp_command):
    Path("model").write_text("old")
    assert fastbp_command("train", "classes.csv", "--save", "model", "--learning-rate", "1e30").exit_code == 2
    assert Path("model").read_text() == "old"
    assert sorted(os.listdir()) == ["classes.csv", "model", "values.csv"]


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
@pytest.mark.parametrize(
    ("words", "message"), [(["--save", "model"], "Interrupted. Nothing was saved as model.\n"), ([], "Interrupted.\n")]
)
def test_interruption_is_one_line_and_exit_code_130(tmp_path, words, message):
    training = start("train", "--epochs", 10**8, *words, cwd=tmp_path, preexec_fn=hear_ctrl_c)
    with training as process:
        for line in process.stdout:
            if line.startswith("training"):
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors == message
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="no such pipes")
def test_closed_pipe_gives_no_traceback(fastbp_command, tmp_path):
    passed(fastbp_command("train", "classes.csv", "--save", "model", *BRIEF))
    np.save("many.npy", np.zeros((100_000, 2)))
    with start("predict", "model", "many.npy", cwd=tmp_path) as process:
        assert process.stdout.readline() == "even\n"
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
@pytest.mark.parametrize("words", [["predict", "model", "classes.csv"], ["--help"], ["train", "--help"], ["--version"]])
def test_a_full_disk_behind_standard_output_is_named(fastbp_command, tmp_path, words):
    passed(fastbp_command("train", "classes.csv", "--save", "model", *BRIEF))
    command = [sys.executable, "-W", "error", "-m", "fastbp", *words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(HERE)},
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        2,
        "Error: standard output cannot be written: No space left on device\n",
    )


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


def test_arrays_whose_columns_have_no_names_are_taken_in_order(fastbp_command):
    """Also x and y of an NPZ file, where only y has a name: what was learned from names is used on them, and back."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y = x @ [1.0, 2.0]
    rows = "".join(f"{a},{b},{c}\n" for (a, b), c in zip(x, y, strict=True))
    Path("named.csv").write_text("a,b,price\n" + rows)
    np.savez("arrays.npz", x=x, y=y)
    np.savez("inputs.npz", x=x)
    np.save("inputs.npy", x)
    passed(fastbp_command("train", "named.csv", "--save", "named", *BRIEF))
    passed(fastbp_command("train", "arrays.npz", "--save", "unnamed", *BRIEF))
    Path("inputs.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in x))
    for model, data in (("named", "named.csv inputs.npz inputs.npy"), ("unnamed", "arrays.npz inputs.csv inputs.npy")):
        told = {passed(fastbp_command("predict", model, file)) for file in data.split()}
        assert len(told) == 1
    shown = passed(fastbp_command("train", "named.csv", "--test", "arrays.npz", *BRIEF))
    assert "60 held out" in shown


def test_the_name_of_a_target_is_no_class_of_it(fastbp_command):
    Path("years.csv").write_text("2019,2020,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(40)))
    refused = fastbp_command("train", "years.csv", *BRIEF)
    assert_one_line(refused, "row 1 holds the text 'y'; a number is wanted, or --header if this line names the columns")
    assert "target      'y' (the last column): 2 classes" in passed(
        fastbp_command("train", "years.csv", "--header", *BRIEF)
    )
    assert "3 classes" in passed(fastbp_command("train", "years.csv", "--no-header", "--task", "classes", *BRIEF))


def test_labels_come_back_as_they_are_written(fastbp_command):
    codes = ["1E2", "100", "B7"]
    Path("codes.csv").write_text("a,code\n" + "".join(f"{i % 3},{codes[i % 3]}\n" for i in range(60)))
    assert "3 classes" in passed(fastbp_command("train", "codes.csv", "--save", "model", *BRIEF))
    assert set(passed(fastbp_command("predict", "model", "codes.csv")).split()) <= set(codes)


def test_an_index_of_pandas_is_no_input(fastbp_command):
    Path("index.csv").write_text(
        "," + "\n".join(f"{i - 1},{line}" if i else line for i, line in enumerate(CLASSES.split()))
    )
    shown = passed(fastbp_command("train", "index.csv", "--save", "model", *BRIEF))
    assert "40 rows, 2 inputs, 1 column ignored" in shown
    same = passed(fastbp_command("predict", "model", "index.csv"))
    assert same == passed(fastbp_command("predict", "model", "classes.csv"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", ""], "Invalid value for '\\[DATA\\]': it is empty; the name of a file is wanted"),
        (["train", "classes.csv", "--save", ""], "'--save': it is empty; the name of a file is wanted"),
        (["train", "classes.csv", "--seed", str(2**128)], f"--seed is {2**128}; "),
        (
            ["bench", "--rows", "9", "--sizes", "3,0,2"],
            "no list of sizes; numbers such as 784,128,10 are wanted",
        ),
        (["train", "classes.csv", "--hidden", "3,0"], "numbers such as 128,64 are wanted, or 0 for no hidden layer"),
        (["train", "spaces.csv"], "spaces.csv has one column; .* are wanted, parted by commas, semicolons or tabs"),
    ],
)
def test_what_is_no_path_number_or_table_is_told_in_words_of_the_command(fastbp_command, words, message):
    Path("spaces.csv").write_text("a b kind\n1 2 x\n")
    assert_one_line(fastbp_command(*words), message)


def test_a_plot_of_names_that_no_font_has_warns_of_nothing(fastbp_command):
    pytest.importorskip("matplotlib")
    Path("names.csv").write_text(CLASSES.replace("kind", "\u7c7b"), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        passed(fastbp_command("train", "names.csv", "--plot", "p.png", *BRIEF))
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
