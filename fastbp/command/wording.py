"""What `fastbp train` says, line by line."""

from __future__ import annotations

import fastbp
from fastbp.bench.quantities import duration, plain
from fastbp.command.batch_times import BatchTimes
from fastbp.command.fitting import Problem
from fastbp.command.recipe import Recipe
from fastbp.command.tables import Table
from fastbp.command.targets import Target
from fastbp.command.words import counted, quoted

SCHEDULES = {
    "constant": "",
    "cosine": ", falling to 0 as a cosine",
    "step": ", a tenth after each third",
}


def data(table: Table, target: Target, problem: Problem, *, chosen: bool) -> str:
    """What there is to learn from, and what it is taken for."""
    inputs = counted(len(problem.model.names), "input")
    if table.image:
        inputs += f" ({' x '.join(map(str, table.image))}, standardised together)"
    if table.ignored:
        inputs += f", {counted(len(table.ignored), 'column')} ignored"
    if table.headless:
        inputs += ", no header"
    if target.labels is None:
        kind = f"values, here {plain(target.actual.min(), 6)} to {plain(target.actual.max(), 6)}"
    else:
        kind = f"{len(target.labels)} classes"
    which = "" if chosen else " (the last column left)" if table.ignored else " (the last column)"
    rows = counted(table.rows, "row")
    return f"data        {table.source}: {rows}, {inputs}\ntarget      {quoted(target.name)}{which}: {kind}"


def split(problem: Problem, recipe: Recipe, test: Table | None) -> str:
    """Which rows are for what."""
    rows, held_out = len(problem.train.x), len(problem.test.x) if problem.test else 0
    back = recipe.held_back(rows)
    judged = f", {back} of them to tell when to stop" if back else ""
    source = f" ({test.source}{', no header' if test.headless else ''})" if test else ""
    return f"split       {counted(rows, 'row')} to train on{judged}, {held_out} held out{source}, seed {recipe.seed}"


def network(made: fastbp.Network) -> str:
    """Sizes and activations."""
    known = made.architecture
    layers = [f"{size} {name}" for size, name in zip(known.sizes[1:], known.activations, strict=True)]
    return f"network     {' - '.join([str(known.inputs), *layers])}, {known.parameters} parameters, {known.dtype}"


def training(recipe: Recipe, rows: int, loss: str) -> str:
    """How it is trained."""
    epochs, batches = counted(recipe.epochs_for(rows), "epoch"), counted(recipe.batches(rows), "batch", "es")
    return (
        f"training    {epochs} of {batches}, {loss}, {recipe.optimizer}, "
        f"learning rate {recipe.rate():g}{SCHEDULES[recipe.schedule]}"
    )


def results(problem: Problem, recipe: Recipe, history: fastbp.History) -> list[str]:
    """How training went, and a line for each score: on the rows held out, if there are any, and on those trained on."""
    lines = []
    if history.best_epoch is not None:
        run, most = len(history["loss"]), recipe.epochs_for(len(problem.train.x))
        name, after = ("stopped", f"{run} of {most} epochs") if run < most else ("ended", counted(most, "epoch"))
        lines.append(f"{name:<12}after {after}; the network is that of epoch {history.best_epoch + 1}")
    trained = problem.score(problem.train)
    held_out = problem.score(problem.test) if problem.test else {}
    for name, value in trained.items():
        shown = f"{_score(name, value)} on the rows trained on"
        if held_out:
            shown = f"{_score(name, held_out[name])} on the rows held out, {_score(name, value)} on those trained on"
        if name == "loss":
            shown += f" ({plain(history['loss'][0])} in the first epoch)"
        if name == "error":
            shown += " (root mean square)"
        lines.append(f"{name:<12}{shown}")
    return lines


def timing(both: BatchTimes | None) -> str:
    """The time of a batch, which is a step, and how that of `fastbp.reference` compares."""
    if both is None:
        return "time        not compared with NumPy's, as training from other weights diverged"
    ratio = both.numpy / both.fused
    compared = f"{ratio:.1f} times as fast" if ratio >= 1 else f"{1 / ratio:.1f} times as slow"
    fused, numpy = duration(both.fused / both.batches), duration(both.numpy / both.batches)
    over = counted(both.batches, "batch", "es")
    return f"time        {fused} a batch, by plain NumPy {numpy}, over {over}: {compared}"


def _score(name: str, value: float) -> str:
    if value != value:
        return "undefined (the values do not differ)"
    return f"{100 * value:.1f} %" if name == "accuracy" else plain(value, 4)
