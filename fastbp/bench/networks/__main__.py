"""python -m fastbp.bench.networks: a table for each case, of what every library takes for an epoch."""

from __future__ import annotations

import json

import click

from ..limits import Limits
from ..report import footer, ranking
from .cases import CASES
from .comparison import Measured, compare


def show(measured: Measured, limits: Limits) -> None:
    """The table of a case: time, how many times as long as fastbp, share of the limit; the fastest first."""
    case = measured.case
    title = f"{'An epoch' if case.batch_size else 'A step'} of {case.shape}, {case.dtype}"
    click.echo(ranking(title, measured.medians, limits.seconds(case)) + "\n")


@click.command()
@click.option(
    "--case", "keys", multiple=True, type=click.Choice([case.key for case in CASES]), help="May be given again."
)
@click.option(
    "--seconds", type=click.FloatRange(0), default=5.0, show_default=True, help="For each case, beyond 3 rounds."
)
def main(keys: tuple[str, ...], seconds: float) -> None:
    """Time an epoch of training by fastbp beside NumPy's, PyTorch's, JAX's and scikit-learn's, where installed.

    Each library trains as it does best, on all threads and on one; the results are checked to agree on small cases
    before they are timed, and then all take turns. The exit code is 1 if a result disagrees.
    """
    run(seconds, False, keys)


def run(seconds: float, as_json: bool, keys: tuple[str, ...] = ()) -> None:
    """The comparison of these cases, or of all: tables as they are measured, or JSON in the end."""
    cases = [case for case in CASES if case.key in keys or not keys]
    report = (lambda measured, limits: None) if as_json else show
    comparison = compare(cases, seconds, report=report)
    if as_json:
        click.echo(json.dumps(comparison.record(), indent=1))
    else:
        click.echo(footer(comparison))
    for error in comparison.errors:
        click.echo(f"error: {error}", err=True)
    if comparison.errors:
        click.get_current_context().exit(1)


if __name__ == "__main__":
    main(prog_name="python -m fastbp.bench.networks")
