"""The command `fastbp`: words in, words out. Each command imports what it needs when it runs."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastbp.command.endings import PlainEndings

if TYPE_CHECKING:
    from fastbp.command.fitting import Problem
    from fastbp.command.tables import Table

FILE = click.Path(path_type=Path)
COUNT = click.IntRange(min=1)
LINES_A_WRITE = 1024


def _finite(context: click.Context, option: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.", context, option)
    return value


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


@main.command()
@click.argument("data", type=FILE, required=False)
@click.option("--target", metavar="NAME_OR_NUMBER", help="Column to learn; 0 is the first.  [default: the last column]")
@click.option(
    "--task",
    type=click.Choice(["auto", "classes", "values"]),
    default="auto",
    show_default=True,
    help="What the target holds; auto: text and few whole numbers are classes.",
)
@click.option(
    "--steps",
    metavar="N",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Steps of gradient descent.",
)
@click.option(
    "--learning-rate",
    metavar="X",
    type=click.FloatRange(0, min_open=True),
    callback=_finite,
    default=1.0,
    show_default=True,
    help="Of the gradient averaged over the rows: the summed one is multiplied by this / rows.",
)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Decides which rows are held out.",
)
@click.option(
    "--test-fraction",
    metavar="X",
    type=click.FloatRange(0, 1, max_open=True),
    callback=_finite,
    default=0.2,
    show_default=True,
    help="Share of the rows to hold out.",
)
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="Threads to use.  [default: all cores]")
@click.option("--save", type=FILE, metavar="MODEL.npz", help="Write the trained model, for fastbp predict.")
@click.option("--plot", type=FILE, metavar="COST.png", help="Write the cost curve (PNG, SVG or PDF).")
@click.option("--compare/--no-compare", default=True, help="Time a step and NumPy's, or do not.  [default: compare]")
@click.option("--progress/--no-progress", default=None, help="Show a progress bar.  [default: if in a terminal]")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def train(
    data: Path | None,
    target: str | None,
    task: Any,
    steps: int,
    learning_rate: float,
    dtype: str,
    seed: int,
    test_fraction: float,
    threads: int | None,
    save: Path | None,
    plot: Path | None,
    compare: bool,
    progress: bool | None,
    quiet: bool,
) -> None:
    """Train a sigmoid layer on DATA: a CSV, NPY, NPZ or Parquet file.

    A CSV file may have a header and be gzipped; an NPZ file holds x and y, or one matrix. Without DATA, fastbp learns
    the UCI handwritten digits, which come with it.

    Some rows are held out, the inputs are standardised, and the squared error over the other rows is made small by
    gradient descent. Then come its cost, how good it is on the rows held out, and the time for a step beside NumPy's
    on the same data.
    """
    _check_outputs(data, save=save, plot=plot)

    import fastbp as engine
    from fastbp.command.datasets import digits
    from fastbp.command.fitting import fit, prepare
    from fastbp.command.tables import read_table

    if threads is not None:
        engine.set_num_threads(threads)
    table = read_table(data) if data else digits()
    column = table.find("-1" if target is None else target)
    problem = prepare(table, column, task=task, test_fraction=test_fraction, seed=seed, dtype=dtype)
    say = _silence if quiet else click.echo
    steps_taken = f"{steps} steps, learning rate {learning_rate:g} / {len(problem.train.x)} rows"
    say(_what_is_learned(table, column, problem, chosen=target is not None))
    trained_on = len(problem.train.x)
    say(f"split       {trained_on} rows to train on, {table.rows - trained_on} held out, seed {seed}")
    say(f"training    {steps_taken}, {dtype}")

    if progress is None:
        progress = sys.stderr.isatty()
    costs = fit(problem, learning_rate=learning_rate, steps=steps, progress=progress and not quiet)
    say(f"cost        {costs[0]:.6g} before, {costs[-1]:.6g} after (squared errors summed over the rows to train on)")
    for line in _scores(problem):
        say(line)
    if save:
        problem.model.save(save)
        say(f"model       {click.format_filename(save)}")
    if plot:
        from fastbp.command.plots import plot_costs

        plot_costs(costs, f"{problem.model.target}: {steps_taken}", plot)
        say(f"cost curve  {click.format_filename(plot)}")
    if compare and not quiet:
        from fastbp.command.comparison import compare as time_both

        fused, numpy = time_both(problem.train.x, problem.train.y, learning_rate / len(problem.train.x))
        say(f"step        {_duration(fused)}, NumPy {_duration(numpy)} on the same data: {_ratio(numpy / fused)}")


@main.command()
@click.argument("model", type=FILE)
@click.argument("data", type=FILE)
@click.option("-o", "--output", type=FILE, metavar="PREDICTIONS.csv", help="Write to a file and not to the terminal.")
def predict(model: Path, data: Path, output: Path | None) -> None:
    """Print what MODEL, which train --save wrote, says of each row of DATA: a class or a value a line.

    DATA has the columns that the model was trained on, in raw units. Where both have names, columns are found by name;
    else they are taken in order. The target may be among them by its name, and is not looked at.
    """
    if output:
        from fastbp.command.atomic import check_writable

        check_writable("--output", output)

    from fastbp.command.atomic import replacing
    from fastbp.command.model import Model
    from fastbp.command.tables import read_table

    words = Model.load(model).predict(read_table(data))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([word] for word in words)
    if output:
        with replacing(output) as stream:
            stream.write(text.getvalue().encode())
        return
    text.seek(0)
    while lines := "".join(itertools.islice(text, LINES_A_WRITE)):
        click.echo(lines, nl=False)


@main.command()
@click.option(
    "--steps", type=click.IntRange(min=1), help="Steps to show at each end.  [default: 19 and 13, as printed there]"
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


@main.command()
@click.option("--rows", metavar="N", type=COUNT, help="Rows of a batch of your own, with --inputs and --outputs.")
@click.option("--inputs", metavar="N", type=COUNT, help="Its inputs.")
@click.option("--outputs", metavar="N", type=COUNT, help="Its outputs.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--case", "names", metavar="NAME", multiple=True, help="A case of the table; may be given again.")
@click.option("--odd", is_flag=True, help="Twenty odd shapes and not those of the table.")
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
def bench(
    rows: int | None,
    inputs: int | None,
    outputs: int | None,
    dtype: str,
    names: tuple[str, ...],
    odd: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Time a training step of fastbp beside NumPy's, and PyTorch's and JAX's where they are installed.

    With --rows, --inputs and --outputs: a shape of your own. Else the cases of the README's table. Each library does
    the step as it does it best, on all threads and on one; the results are checked to agree before they are timed, and
    then all take turns. The limit is the arithmetic at the processor's peak, or one read of the batch from memory,
    whichever takes longer; both are measured in the same run. Whatever cannot run is left out by name, and the exit
    code is 1 if a result disagrees.
    """
    from fastbp.bench.cases import CASES, ODD, Case

    shape = (rows, inputs, outputs)
    if any(shape) and not all(shape):
        raise click.UsageError("--rows, --inputs and --outputs make a shape together; all three are wanted.")
    if sum(map(bool, (any(shape), names, odd))) > 1:
        raise click.UsageError("A shape, --case and --odd exclude each other; one of them is wanted.")
    known = {name for case in CASES for name in (case.name, case.key)}
    if unknown := set(names) - known:
        raise click.UsageError(f"--case is {min(unknown)}; one of {', '.join(sorted(known))} is wanted.")
    cases = [case for case in CASES if case.name in names or case.key in names] if names else ODD if odd else CASES
    if rows and inputs and outputs:
        cases = [Case("own", rows, inputs, outputs, dtype)]

    from fastbp.bench.comparison import compare
    from fastbp.bench.report import footer, listing, table

    def announce(case: Case) -> None:
        click.echo(f"{case.shape} {case.dtype} ...", err=True)

    comparison = compare(cases, seconds, announce=announce)
    if as_json:
        click.echo(json.dumps(comparison.record(), indent=1))
    else:
        click.echo(listing(comparison.measured[0], comparison.limits) if len(cases) == 1 else table(comparison))
        click.echo(f"\n{footer(comparison)}")
    for error in comparison.errors:
        click.echo(f"error: {error}", err=True)
    if comparison.errors:
        click.get_current_context().exit(1)


@main.command()
def info() -> None:
    """Print versions, the CPU, vector width, threading layer and cache folder."""
    import fastbp

    click.echo(fastbp.show_config())


def _check_outputs(data: Path | None, save: Path | None, plot: Path | None) -> None:
    """Refuse, before any work is done, files that could not be written or that would overwrite one another."""
    from fastbp.command.atomic import check_writable

    taken = {data.resolve(): "the data"} if data else {}
    for option, path in (("--save", save), ("--plot", plot)):
        if path:
            check_writable(option, path)
            if path.resolve() in taken:
                raise ValueError(f"{option} is {path}, which is {taken[path.resolve()]} too; another file is wanted")
            taken[path.resolve()] = option
    if plot:
        from fastbp.command.plots import check_plot

        check_plot(plot)


def _what_is_learned(table: Table, column: int, problem: Problem, *, chosen: bool) -> str:
    from fastbp.command.tables import quoted
    from fastbp.command.targets import Classes

    meaning = problem.model.meaning
    kind = (
        f"{meaning.outputs} classes"
        if isinstance(meaning, Classes)
        else f"values, here {meaning.low:g} to {meaning.high:g}"
    )
    which = "" if chosen else " (the last column)"
    return (
        f"data        {table.source}: {table.rows} rows, {len(problem.model.names)} inputs\n"
        f"target      {quoted(problem.model.target)}{which}: {kind}"
    )


def _scores(problem: Problem) -> list[str]:
    """A line for each score: on the rows held out, if there are any, and on those trained on."""
    trained = problem.score(problem.train)
    held_out = problem.score(problem.test) if problem.test else {}
    lines = []
    for name, value in trained.items():
        shown = f"{_score(name, value)} on the rows trained on"
        if held_out:
            shown = f"{_score(name, held_out[name])} on the rows held out, {_score(name, value)} on those trained on"
        lines.append(f"{name:<12}{shown}")
    return lines


def _score(name: str, value: float) -> str:
    if value != value:
        return "undefined (the values do not differ)"
    return f"{100 * value:.1f} %" if name == "accuracy" else f"{value:.4g}"


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _ratio(ratio: float) -> str:
    return f"{ratio:.1f} times as fast" if ratio >= 1 else f"{1 / ratio:.1f} times as slow"


def _silence(message: str) -> None:
    """Print nothing."""
