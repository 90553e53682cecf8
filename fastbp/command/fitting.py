"""From a table to a trained model: split, standardise, train the sigmoid layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import fastbp as engine
from fastbp.command.model import Model, standardise
from fastbp.command.tables import ROWS_A_BLOCK, Table, quoted
from fastbp.command.targets import Task, Values, read_target


@dataclass(frozen=True)
class Rows:
    """Standardised x (rows, inputs), y (rows, outputs), and the target itself, `actual` (rows,)."""

    x: npt.NDArray[Any]
    y: npt.NDArray[Any]
    actual: npt.NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """Rows to train on, rows held out (or None), and the untrained model, whose w and b are zero."""

    train: Rows
    test: Rows | None
    model: Model

    def score(self, rows: Rows) -> dict[str, float]:
        """How well the model does on these rows."""
        meaning = self.model.meaning
        return meaning.score(meaning.decode(engine.forward(rows.x, self.model.w, self.model.b)), rows.actual)


def prepare(table: Table, target: int, *, task: Task, test_fraction: float, seed: int, dtype: str) -> Problem:
    """Split the rows by `seed`, and standardise them by the mean and deviation of those to train on."""
    inputs = [column for column in range(len(table.names)) if column != target]
    if not inputs:
        raise ValueError(f"{table.source} has one column; at least one input and the target are wanted")
    classes, actual = read_target(table, target, task)
    values = table.numbers(inputs)
    order = np.random.default_rng(seed).permutation(table.rows)
    held_out = round(test_fraction * table.rows)
    if test_fraction > 0 and not 0 < held_out < table.rows:
        raise ValueError(
            f"--test-fraction is {test_fraction}, which leaves {table.rows - held_out} of {table.rows} rows to train "
            f"on and {held_out} held out; at least one of each is wanted"
        )
    test, train = np.sort(order[:held_out]), np.sort(order[held_out:])
    names = tuple(table.names[column] for column in inputs)
    meaning = classes or _scale(table.names[target], actual[train])
    mean, scale = _moments(values, train, names)

    def rows(chosen: npt.NDArray[np.intp]) -> Rows:
        x = np.empty((len(chosen), len(inputs)), dtype)
        for block in _blocks(len(chosen)):
            x[block] = standardise(values[chosen[block]], mean, scale, dtype)
        return Rows(x, meaning.encode(actual[chosen], dtype), actual[chosen])

    # One layer has no symmetry to break, so it may start from zero: the seed is in the split alone.
    w, b = np.zeros((len(inputs), meaning.outputs), dtype), np.zeros(meaning.outputs, dtype)
    model = Model(w, b, mean, scale, names, table.named, table.names[target], meaning)
    return Problem(rows(train), rows(test) if held_out else None, model)


def fit(problem: Problem, *, learning_rate: float, steps: int, progress: bool) -> npt.NDArray[Any]:
    """Train the model in place; the cost after each number of steps."""
    x, y, model = problem.train.x, problem.train.y, problem.model
    rate = learning_rate / len(x)
    return engine.train(
        x, y, model.w, model.b, learning_rate=rate, steps=steps, bias_reduction="sum", progress=progress
    )


def _scale(name: str, actual: npt.NDArray[Any]) -> Values:
    low, high = float(actual.min()), float(actual.max())
    if not low < high:
        raise ValueError(f"target {quoted(name)} is {low} in every row to train on; at least two values are wanted")
    return Values(low, high)


def _moments(
    values: npt.NDArray[Any], chosen: npt.NDArray[np.intp], names: tuple[str, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mean of each column and one over its deviation, 0 where the column is constant: it then says nothing."""
    size = np.zeros(values.shape[1])  # the largest number: sums are taken in its units, lest squares overflow
    total, squares = np.zeros_like(size), np.zeros_like(size)
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        for block in _blocks(len(chosen)):
            size = np.maximum(size, np.abs(values[chosen[block]].astype(np.float64)).max(axis=0))
        unit = np.where(size > 0, size, 1)
        for block in _blocks(len(chosen)):
            total += (values[chosen[block]] / unit).sum(axis=0)
        mean = total / len(chosen)
        for block in _blocks(len(chosen)):
            squares += ((values[chosen[block]] / unit - mean) ** 2).sum(axis=0)
        deviation = np.sqrt(squares / len(chosen))
        constant = deviation <= 8 * np.finfo(np.float64).eps * np.abs(mean)  # what rounding alone can make
        scale = np.where(constant, 0, 1 / (unit * deviation))
    bad = np.flatnonzero(~np.isfinite(scale))
    if len(bad):
        raise ValueError(f"column {quoted(names[bad[0]])} has numbers too small to be standardised")
    return mean * unit, scale


def _blocks(rows: int) -> list[slice]:
    return [slice(start, start + ROWS_A_BLOCK) for start in range(0, rows, ROWS_A_BLOCK)]
