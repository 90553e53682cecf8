"""From tables to a trained model: split, standardise, train the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import fastbp
from fastbp.command.meaning import Classes, Meaning, Values
from fastbp.command.model import Model, columns_like
from fastbp.command.recipe import VALIDATION, Recipe
from fastbp.command.sizes import blocks, check_size
from fastbp.command.standardisation import measure
from fastbp.command.tables import Table
from fastbp.command.targets import Target
from fastbp.command.words import quoted
from fastbp.contract import LAST_STATE, MAY_HELP

# What the engine calls as the options are called.
ARGUMENTS = re.compile(r"\b(learning_rate|momentum|weight_decay|clip_norm|seed)\b")


@dataclass(frozen=True)
class Rows:
    """Standardised x (rows, inputs), what the network takes for the target, and the target itself, `actual` (rows,)."""

    x: npt.NDArray[Any]
    y: npt.NDArray[Any]
    actual: npt.NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """Rows to train on, rows held out (or None), and the model, at first untrained."""

    train: Rows
    test: Rows | None
    model: Model

    def score(self, rows: Rows) -> dict[str, float]:
        """The loss on these rows, and how well the model does on them in words of the target."""
        meaning, network = self.model.meaning, self.model.network
        loss = network.evaluate(rows.x, rows.y)["loss"]
        return {"loss": loss} | meaning.score(meaning.decode(network.predict(rows.x)), rows.actual)


def prepare(
    table: Table, target: Target, recipe: Recipe, *, test_fraction: float, test: tuple[Table, Target] | None = None
) -> Problem:
    """Hold out the rows of `test`, or some of the table by the seed; standardise all by those to train on."""
    columns = [column for column in range(len(table.names)) if column != target.column]
    if not columns:
        raise ValueError(f"{table.source} has no column that --ignore leaves; at least one input is wanted")
    names = tuple(table.names[column] for column in columns)
    values = table.numbers(columns, of_inputs=True)
    order = np.random.default_rng(recipe.seed).permutation(table.rows)
    held_out = 0 if test else round(test_fraction * table.rows)
    if test_fraction > 0 and not test and not 0 < held_out < table.rows:
        raise ValueError(
            f"--test-fraction is {test_fraction}, which leaves {table.rows - held_out} of {table.rows} rows to train "
            f"on and {held_out} held out; at least one of each is wanted"
        )
    rows_in_all = table.rows + (test[0].rows if test else 0)
    check_size(rows_in_all * len(columns) * recipe.itemsize, f"{table.source}, standardised in {recipe.dtype},")
    tested, trained = np.sort(order[:held_out]), np.sort(order[held_out:])
    described = [f"{table.source}: column {quoted(name)}" for name in names]
    standardisation = measure(values, trained, described, alike=bool(table.image))
    meaning = _meaning(target, trained)
    loss = recipe.loss_for(meaning, quoted(target.name))
    try:
        network = recipe.network(len(columns), meaning, loss)
    except ValueError as error:
        raise ValueError(_in_options(str(error))) from error
    model = Model(network, standardisation, names, table.named, target.name, meaning)

    def rows(
        source: str, values: npt.NDArray[Any], actual: npt.NDArray[Any], part: npt.NDArray[np.intp] | None = None
    ) -> Rows:
        numbers = np.arange(len(values)) if part is None else part
        if len(numbers) < len(values):
            values, actual = values[numbers], actual[numbers]
        made = Rows(standardisation.apply(values, recipe.dtype), meaning.encode(actual, loss, recipe.dtype), actual)
        _refuse_overflow(source, numbers, made)
        return made

    if test:
        test_table, test_target = test
        like = columns_like(test_table, names, table.named, target.name, test_target.column)
        other = test_table.numbers(like, of_inputs=True)
        return Problem(
            rows(table.source, values, target.actual), rows(test_table.source, other, test_target.actual), model
        )
    learned = rows(table.source, values, target.actual, trained)
    return Problem(learned, rows(table.source, values, target.actual, tested) if held_out else None, model)


def _refuse_overflow(source: str, numbers: npt.NDArray[np.intp], rows: Rows) -> None:
    """Refuse a row that is beyond the dtype once it is standardised, by its number in the file."""
    for block in blocks(len(numbers)):
        for part in (rows.x[block], rows.y[block]):
            good = np.isfinite(part).reshape(len(part), -1).all(axis=1)
            if not good.all():
                row = numbers[block.start + int(np.argmin(good))] + 1
                raise ValueError(f"{source}: row {row} has numbers too large beside those of the rows trained on")


def fit(problem: Problem, recipe: Recipe, *, progress: bool) -> fastbp.History:
    """Train the model's network in place."""
    rows = len(problem.train.x)
    try:
        return problem.model.network.fit(
            problem.train.x,
            problem.train.y,
            epochs=recipe.epochs_for(rows),
            batch_size=recipe.batch_size,
            optimizer=recipe.optimizer_for(rows),
            validation_fraction=None if recipe.patience is None else VALIDATION,
            early_stopping=None if recipe.patience is None else fastbp.EarlyStopping(patience=recipe.patience),
            progress=progress,
        )
    except (ValueError, FloatingPointError) as error:
        raise type(error)(_in_options(str(error))) from error


def _in_options(message: str) -> str:
    """What the engine says of its arguments, said of the options, and nothing of a state that the command drops."""
    return ARGUMENTS.sub(lambda name: "--" + name[0].replace("_", "-"), message.replace(LAST_STATE, MAY_HELP))


def _meaning(target: Target, trained: npt.NDArray[np.intp]) -> Meaning:
    if target.labels is not None:
        return Classes(target.labels)
    name = f"{target.source}: target {quoted(target.name)}"
    measured = measure(target.actual[:, np.newaxis], trained, [name])
    mean, scale = float(measured.mean[0]), float(measured.scale[0])
    if scale == 0:
        raise ValueError(f"{name} is {mean:g} in every row to train on; at least two values are wanted")
    return Values(mean, 1 / scale)
