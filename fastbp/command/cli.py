"""The command `fastbp`: words in, words out. Each command imports what it needs when it runs."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import math
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

import fastbp
from fastbp.architecture import HIDDEN_ACTIVATIONS, LOSSES
from fastbp.command.endings import UNSAVED, Narrator, PlainEndings, on_terminal
from fastbp.optimizers import OPTIMIZERS


class _File(click.Path):
    """A path; an empty one, such as an unset variable of a shell leaves, would be that of this folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail("it is empty; the name of a file is wanted", param, ctx)
        return super().convert(value, param, ctx)


FILE = _File(path_type=Path)
COUNT = click.IntRange(min=1)
POSITIVE = click.FloatRange(0, min_open=True)
LINES_A_WRITE = 1024
TEST_FRACTION = 0.2
ANNOUNCED_AFTER = 2.0  # seconds

# Said again, since what they are made of takes long to import: the schedules of `wording`, and of `fastbp bench` what
# all libraries beside fastbp are asked for.
SCHEDULES = ("constant", "cosine", "step")
TIMED_ACTIVATIONS = ("sigmoid", "tanh", "relu")
TIMED_OPTIMIZERS = ("sgd", "adam")


def _finite(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.", context, option)
    return value


def _sizes(context: click.Context, option: click.Parameter, words: str | None) -> tuple[int, ...] | None:
    """A list of sizes, of hidden layers: "128,64", and "" or "0" for none; or of all: "784,128,10"."""
    hidden = option.name == "hidden"
    if words is None or (hidden and words.strip() in ("", "0")):
        return None if words is None else ()
    parts = [part.strip() for part in words.split(",")]
    if not all(part.isdecimal() and len(part) < 20 and int(part) > 0 for part in parts):
        wanted = (
            f"numbers such as {'128,64 are wanted, or 0 for no hidden layer' if hidden else '784,128,10 are wanted'}"
        )
        raise click.BadParameter(f"{words!r} is no list of sizes; {wanted}", context, option)
    return tuple(map(int, parts))


def _version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    from importlib import metadata

    try:
        click.echo(f"fastbp {metadata.version('fastbp')}")
    except metadata.PackageNotFoundError:
        click.echo("fastbp, not installed but run from its source")
    context.exit()


@click.group(cls=PlainEndings, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def main() -> None:
    """Dense networks trained on a CPU, on plain NumPy arrays, at the speed of the hardware."""


header_option = click.option(
    "--header/--no-header",
    default=None,
    help="Whether the first line of CSV files names the columns.  [default: yes if it holds text and no numbers, or is "
    "exactly 0,1,2,...]",
)

ignore_option = click.option(
    "--ignore",
    "ignored",
    metavar="COLUMN",
    multiple=True,
    help="A column that is no input, by name or number; may be given again.",
)


@main.command(short_help="Train a network on a table or images, and test it.")
@click.argument("data", type=FILE, required=False)
@header_option
@click.option(
    "--target",
    metavar="COLUMN_OR_FILE",
    help="What to learn: a column by name or number (0 is the first, -1 the last), or a file of labels.  "
    "[default: the last column]",
)
@ignore_option
@click.option(
    "--task",
    type=click.Choice(["auto", "classes", "values"]),
    default="auto",
    show_default=True,
    help="What the target holds; auto: text, and few different whole numbers (30, or half of the rows), are classes.",
)
@click.option("--test", type=FILE, metavar="FILE", help="Rows to hold out.  [default: some of DATA]")
@click.option("--test-target", metavar="COLUMN_OR_FILE", help="Their target.  [default: the same column]")
@click.option(
    "--test-fraction",
    metavar="X",
    type=click.FloatRange(0, 1, max_open=True),
    callback=_finite,
    help="Share of DATA to hold out.  [default: 0.2]",
)
@click.option(
    "--hidden",
    metavar="N,N,...",
    callback=_sizes,
    help="Sizes of the hidden layers, or 0 for none.  [default: 64]",
)
@click.option(
    "--activation", type=click.Choice(HIDDEN_ACTIVATIONS), default="relu", show_default=True, help="Of hidden layers."
)
@click.option(
    "--loss",
    type=click.Choice(list(LOSSES)),
    help="What to minimise.  [default: cross_entropy for classes, squared_error for values]",
)
@click.option(
    "--optimizer", type=click.Choice([name.lower() for name in OPTIMIZERS]), default="adam", show_default=True
)
@click.option(
    "--learning-rate",
    metavar="X",
    type=POSITIVE,
    callback=_finite,
    help="At the start.  [default: 0.002; sgd: 0.01]",
)
@click.option(
    "--momentum",
    metavar="X",
    type=click.FloatRange(0, 1, max_open=True),
    callback=_finite,
    help="For sgd only.  [default: 0.9]",
)
@click.option(
    "--weight-decay", metavar="X", type=click.FloatRange(0), callback=_finite, help="[default: 0; adamw: 0.01]"
)
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES),
    default="cosine",
    show_default=True,
    help="Of the learning rate: cosine falls to 0, step to a tenth after each third.",
)
@click.option("--clip-norm", metavar="X", type=POSITIVE, callback=_finite, help="The largest norm of the gradient.")
@click.option("--batch-size", metavar="N", type=COUNT, default=32, show_default=True, help="Rows of an update.")
@click.option(
    "--epochs", metavar="N", type=COUNT, help="Times to go through the rows.  [default: 10 to 100, for 4000 updates]"
)
@click.option(
    "--patience",
    metavar="N",
    type=COUNT,
    help="Set aside a tenth of the rows to train on, and stop when their loss has not fallen for N epochs.",
)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the rows held out, the first weights and the order of the rows.",
)
@click.option("--threads", metavar="N", type=COUNT, help="Threads to use.  [default: as many as the system leaves]")
@click.option("--save", type=FILE, metavar="MODEL", help="Write the trained model (safetensors), for fastbp predict.")
@click.option("--plot", type=FILE, metavar="COST.png", help="Write the curve of the loss (PNG, SVG or PDF).")
@click.option("--compare/--no-compare", default=True, help="Time a batch beside NumPy, or do not.  [default: compare]")
@click.option("--progress/--no-progress", default=None, help="Show a progress bar.  [default: if in a terminal]")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def train(
    data: Path | None,
    header: bool | None,
    target: str | None,
    ignored: tuple[str, ...],
    task: Any,
    test: Path | None,
    test_target: str | None,
    test_fraction: float | None,
    threads: int | None,
    save: Path | None,
    plot: Path | None,
    compare: bool,
    progress: bool | None,
    quiet: bool,
    **recipe: Any,
) -> None:
    """Train a network on DATA: a CSV, NPY, NPZ, Parquet or IDX file (MNIST's).

    CSV files have columns separated by commas, semicolons or tabs, and may have a header; they and IDX files may be
    gzipped; images are flattened; an NPZ file holds x and y, or one array. All inputs are numbers, or true and false;
    columns of text that are not to be learned are left out by --ignore. An index of pandas, which counts the rows and
    has no name, is left out too.
    Without DATA, fastbp learns the UCI handwritten digits, which come with it.

    The inputs are standardised, and so are values to learn. Then come the loss and how good the network is on the rows
    held out, and the time for a batch beside that of the same network in plain NumPy, on the same data.
    """
    read = dict.fromkeys(filter(None, [data, test, *_files(target, test_target)]), "the data")
    _check_outputs(read, {"--save": save, "--plot": plot})
    if plot:
        from fastbp.command.plots import check_plot

        check_plot(plot)
    if test and test_fraction is not None:
        raise click.UsageError("--test and --test-fraction are both given; one of them is wanted")
    if test_target is not None and not test:
        raise click.UsageError("--test-target is given, but not --test; both are wanted")

    unsaved = click.get_current_context().meta
    unsaved[UNSAVED] = save

    from fastbp.command import wording
    from fastbp.command.datasets import digits
    from fastbp.command.fitting import fit, prepare
    from fastbp.command.recipe import Recipe
    from fastbp.command.tables import read_table
    from fastbp.command.targets import read_target, read_test_target

    if threads is not None:
        fastbp.set_num_threads(threads)
    say = Narrator(quiet=quiet, saves=bool(save or plot))
    progress = (on_terminal() if progress is None else progress) and not quiet
    how = Recipe(**recipe)
    table = (read_table(data, header) if data else digits()).ignoring(ignored)
    learned = read_target(table, target, task, header)
    held_out = test_table = None
    if test:
        test_table = read_table(test, header, table.names if table.named else ())
        test_table = test_table.ignoring_as(table)
        held_out = test_table, read_test_target(test_table, test_target, learned, header, named=table.named)
    fraction = TEST_FRACTION if test_fraction is None else test_fraction
    problem = prepare(table, learned, how, test_fraction=fraction, test=held_out)
    say(wording.data(table, learned, problem, chosen=target is not None))
    say(wording.split(problem, how, test_table))
    say(wording.network(problem.model.network))
    say(wording.training(how, len(problem.train.x), problem.model.network.architecture.loss))

    with _announcing("compiling the kernels, once for all networks of this dtype ...", progress):
        problem.model.network.predict(problem.train.x[:1])
    history = fit(problem, how, progress=progress)
    for line in wording.results(problem, how, history):
        say(line)
    if save:
        problem.model.save(save)
        unsaved[UNSAVED] = None
        say(f"model       {click.format_filename(save)}")
    if plot:
        from fastbp.command.plots import plot_history

        plot_history(history, problem.model.target, plot)
        say(f"loss curve  {click.format_filename(plot)}")
    say.end()
    if compare and not quiet:
        from fastbp.command.batch_times import time_both

        optimizer = problem.model.network.optimizer
        rows = len(problem.train.x) - how.held_back(len(problem.train.x))
        x, y = problem.train.x[:rows], problem.train.y[:rows]
        both = time_both(x, y, problem.model.network, optimizer, how.batch_size)
        say(wording.timing(both))


@main.command(short_help="Print what a trained model says of new rows.")
@click.argument("model", type=FILE)
@click.argument("data", type=FILE)
@header_option
@ignore_option
@click.option("-o", "--output", type=FILE, metavar="PREDICTIONS.csv", help="Write to a file and not to the terminal.")
def predict(model: Path, data: Path, header: bool | None, ignored: tuple[str, ...], output: Path | None) -> None:
    """Print what MODEL, which train --save wrote, says of each row of DATA: a class or a value a line.

    DATA has the columns that the model was trained on, in raw units. Where both have names, columns are found by name;
    else they are taken in order. The target may be among them by its name, and is not looked at.
    """
    _check_outputs({model: "the model", data: "the data"}, {"--output": output})

    from fastbp.atomic import replacing
    from fastbp.command.model import Model
    from fastbp.command.tables import read_table

    trained = Model.load(model)
    table = read_table(data, header, trained.names if trained.named else ()).ignoring(ignored)
    words = trained.predict(table)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([word] for word in words)
    if output:
        with replacing(output) as stream:
            stream.write(text.getvalue().encode())
        return
    text.seek(0)
    while lines := "".join(itertools.islice(text, LINES_A_WRITE)):
        click.echo(lines, nl=False)


@main.command(short_help="Run the worked example of the article.")
@click.option(
    "--steps", metavar="N", type=COUNT, help="Steps to show at each end.  [default: 19 and 13, as printed there]"
)
def example(steps: int | None) -> None:
    """Run the worked example of the article that fastbp starts from, and print the figures of its transcript.

    Two rows of three inputs, two outputs, 1000 steps of learning rate 0.1: the outputs before and after a step, and the
    cost after it.
    """
    from fastbp.command.example import FIRST, LAST, STEPS, in_words, worked_example

    first, last = (FIRST, LAST) if steps is None else (steps, steps)
    for step in worked_example():
        if step.number <= first or step.number > STEPS - last:
            click.echo(in_words(step))
        elif step.number == first + 1:
            click.echo("...")


@main.command(short_help="Time training beside other libraries.")
@click.option("--rows", metavar="N", type=COUNT, help="Rows for a layer or a network of your own.")
@click.option("--inputs", metavar="N", type=COUNT, help="Inputs of a layer, with --rows and --outputs.")
@click.option("--outputs", metavar="N", type=COUNT, help="Its outputs.")
@click.option(
    "--sizes",
    metavar="N,N,...",
    callback=_sizes,
    help="Inputs, hidden layers and outputs of a network, with --rows.",
)
@click.option("--batch-size", metavar="N", type=COUNT, help="Rows of its updates.  [default: 32]")
@click.option("--activation", type=click.Choice(TIMED_ACTIVATIONS), help="Of its hidden layers.  [default: sigmoid]")
@click.option(
    "--loss",
    type=click.Choice(["squared_error", "cross_entropy"]),
    help="What it minimises.  [default: cross_entropy, or squared_error of one output]",
)
@click.option("--optimizer", type=click.Choice(TIMED_OPTIMIZERS), help="[default: sgd]")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Of a shape of your own.  [default: float32]")
@click.option("--case", "names", metavar="NAME", multiple=True, help="A case of the table; may be given again.")
@click.option("--odd", is_flag=True, help="Odd shapes, and not those of the table.")
@click.option("--networks", is_flag=True, help="The networks of the README's table.")
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(0),
    callback=_finite,
    default=3.0,
    show_default=True,
    help="Time for the rounds of a case, after its warm-up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON: each configuration, in seconds.")
def bench(names: tuple[str, ...], odd: bool, networks: bool, seconds: float, as_json: bool, **own_shape: Any) -> None:
    """Time training with fastbp beside NumPy, and PyTorch, JAX and scikit-learn where they are installed.

    With --rows, --inputs and --outputs: a step of a layer of your own. With --rows and --sizes: an epoch of a network
    of your own. Else the layers of the README's table, or with --networks its networks. Each library does the work as
    it does it best, on all threads and on one; the results are checked to agree before they are timed, and then all
    take turns. The limit is the arithmetic at the processor's peak, or one read of the inputs from memory, whichever
    takes longer; both are measured in the same run. Whatever cannot run is left out by name, and the exit code is 1 if
    a result disagrees.
    """
    from fastbp.bench.cases import CASES, ODD
    from fastbp.command.own_case import own_case

    own = own_case(own_shape)
    if sum(map(bool, (own, names, odd, networks))) > 1:
        raise click.UsageError("A shape, --case, --odd and --networks exclude each other; one of them is wanted")
    known = {name for case in CASES for name in (case.name, case.key)}
    if unknown := set(names) - known:
        raise click.UsageError(f"--case is {min(unknown)}; one of {', '.join(sorted(known))} is wanted")

    from fastbp.bench.agreement import LAYERS
    from fastbp.bench.comparison import Case as Timed, Measured, compare
    from fastbp.bench.limits import Limits
    from fastbp.bench.networks.agreement import NETWORKS
    from fastbp.bench.networks.cases import CASES as OF_NETWORKS, Case as NetworkCase
    from fastbp.bench.report import footer, listing, table

    subject = NETWORKS if networks or isinstance(own, NetworkCase) else LAYERS
    chosen: Sequence[Timed] = OF_NETWORKS if networks else ODD if odd else CASES
    if own:
        chosen = [own]
    elif names:
        chosen = [case for case in CASES if case.name in names or case.key in names]
    in_a_table = subject is LAYERS and len(chosen) > 1

    def announce(case: Timed) -> None:
        click.echo(f"{case.shape} {case.dtype} ...", err=True)

    def report(measured: Measured, limits: Limits) -> None:
        if not (as_json or in_a_table):
            click.echo(listing(measured, limits) + "\n")

    comparison = compare(subject, chosen, seconds, announce=announce, report=report)
    if as_json:
        click.echo(json.dumps(comparison.record(), indent=1))
    else:
        click.echo((table(comparison) + "\n\n" if in_a_table else "") + footer(comparison))
    for error in comparison.errors:
        click.echo(f"error: {error}", err=True)
    if comparison.errors:
        click.get_current_context().exit(1)


@main.command(short_help="Print versions, processor, threads, cache folder.")
def info() -> None:
    """Print versions, the processor, the vector width, threads and the cache folder."""
    click.echo(fastbp.show_config())


def _files(*targets: str | None) -> list[Path]:
    """Those of these words that name files."""
    return [Path(word) for word in targets if word is not None and os.path.isfile(word)]


def _check_outputs(read: dict[Path, str], written: dict[str, Path | None]) -> None:
    """Refuse, before any work is done, files that could not be written or that would overwrite one another.

    `read`: what is in the files to read; `written`: the files to write, by their options.
    """
    from fastbp.atomic import check_writable

    taken = {os.path.realpath(path): what for path, what in read.items()}
    for option, path in written.items():
        if path:
            check_writable(option, path)
            place = os.path.realpath(path)
            if place in taken:
                raise ValueError(f"{option} is {path}, which is {taken[place]} too; another file is wanted")
            taken[place] = option


@contextlib.contextmanager
def _announcing(message: str, wanted: bool) -> Iterator[None]:
    """Print a message if the block takes long."""
    timer = threading.Timer(ANNOUNCED_AFTER, click.echo, [message], {"err": True})
    timer.daemon = True
    if wanted:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
