"""What is learned: which numbers or texts it is, and whether they are classes or values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastbp.command.readers.cells import as_text, means_number
from fastbp.command.tables import Table, read_table
from fastbp.command.words import counted, listed, quoted

Task = Literal["auto", "classes", "values"]

MOST_WHOLE_NUMBERS = 30  # with more different whole numbers than these, a column is taken for values
MOST_CLASSES = 1000
EXACT = 2.0**53  # from here on, float64 has no longer every whole number


@dataclass(frozen=True)
class Target:
    """The target of each row, `actual` (rows,): its position in `labels`, or where they are None, a value.

    `source`: the file that it comes from; `column`: which column of the table it is, None where that is another file.
    """

    source: str
    name: str
    column: int | None
    labels: tuple[str, ...] | None
    actual: npt.NDArray[Any]


def read_target(table: Table, word: str | None, task: Task, header: bool | None = None) -> Target:
    """The target that a word names: a column of the table (None: the last), or a file of labels; `header` is its."""
    source, column, name = _find(table, word, "--target", header)
    position = column if source is table else None
    where = f"{source.source}: target {quoted(name)}"
    if column in source.text and task != "values":
        labels, actual = _classes(source, column)
        named = source.headless and np.count_nonzero(actual == actual[0]) == 1  # by the first line, it may be
        if task == "auto" and named and all(means_number(label) for label in set(labels) - {labels[actual[0]]}):
            source.numbers([column])  # refuses the name, as text
        recur = len(labels) <= max(2, min(MOST_CLASSES, table.rows // 2))
        if task == "auto" and sum(map(means_number, labels)) >= len(labels) * (1.0 if recur else 0.5):
            source.numbers([column])  # numbers, but for a spelling or a cell: refuses it, by its row
        if not recur:
            raise ValueError(
                f"{where} has {len(labels)} different texts in {table.rows} rows; classes that recur are wanted"
            )
    else:
        values = source.numbers([column])[:, 0].astype(np.float64)  # refuses text, by its row
        numbers = np.unique(values)
        whole = bool((numbers == np.floor(numbers)).all())
        few = whole and len(numbers) <= max(2, min(MOST_WHOLE_NUMBERS, table.rows // 2))
        if task == "values" or (task == "auto" and not few):
            return Target(source.source, name, position, None, values)
        if (np.abs(numbers) >= EXACT).any():
            raise ValueError(
                f"{where} holds whole numbers from 2^53 on, which may differ and be the same in float64; for classes "
                f"text is wanted, or --task values"
            )
        if len(numbers) > MOST_CLASSES:
            raise ValueError(f"{where} has {len(numbers)} different numbers; at most {MOST_CLASSES} classes are wanted")
        labels, actual = _classes(source, column)
    if len(labels) < 2:
        raise ValueError(f"{where} is {quoted(labels[0])} in every row; at least two classes are wanted")
    return Target(source.source, name, position, labels, actual)


def read_test_target(
    table: Table, word: str | None, known: Target, header: bool | None = None, *, named: bool
) -> Target:
    """The target of a separate test set, as the one to train on is; `named`: whether its table has names."""
    if word is None and known.column is None and not table.labelled:
        raise ValueError("--test-target is missing; a file of labels is wanted, as --target is one")
    position = -1 if known.column is None else known.column
    if word is None and not table.image and named and table.named:
        word = known.name
    source, column, name = _find(table, word, "--test-target", header, position)
    place = column if source is table else None
    if known.labels is None:
        return Target(source.source, name, place, None, source.numbers([column])[:, 0].astype(np.float64))
    labels, actual = _classes(source, column)
    unknown = [label for label in labels if label not in known.labels]
    if unknown:
        found = counted(len(unknown), "class", "es")
        raise ValueError(f"{source.source} has {found} that no row to train on has: {listed(unknown)}")
    positions = np.array([known.labels.index(label) for label in labels])
    return Target(source.source, name, place, known.labels, positions[actual])


def _find(
    table: Table, word: str | None, option: str, header: bool | None, position: int = -1
) -> tuple[Table, int, str]:
    """The table that holds the target, the target's column there, and its name; without a word it is at `position`."""
    if table.labelled:
        last, name = len(table.names) - 1, table.names[-1]
        if word is not None and not (table.has(word) and table.find(word) == last):
            raise ValueError(f"{option} is {word}, but {table.source} holds {name}, which is wanted")
        return table, last, name
    if word is not None and os.path.isfile(word) and (table.image or not table.has(word)):
        labels = read_table(Path(word), header)
        if header is None and labels.named and labels.rows == table.rows - 1:  # what looked like a name is a label
            labels = read_table(Path(word), header=False)
        rows, columns = labels.values.shape
        if (rows, columns) != (table.rows, 1):
            raise ValueError(
                f"{option} is {word}, which has shape ({rows}, {columns}); ({table.rows}, 1) is wanted, as "
                f"{table.source} has {counted(table.rows, 'row')}"
            )
        return labels, 0, labels.names[0] if labels.named else Path(word).name
    if table.image:
        found = f"is {word}, which is not a file" if word else "is missing"
        raise ValueError(f"{option} {found}; an IDX or NPY file of the labels of {table.source} is wanted")
    if len(table.names) < 2:
        found = f"{counted(len(table.names), 'column')} that --ignore leaves" if table.ignored else "one column"
        parted = ", parted by commas, semicolons or tabs" if table.text and not table.ignored else ""
        raise ValueError(f"{table.source} has {found}; at least one input and the target are wanted{parted}")
    try:
        column = position if word is None else table.find(word)
    except ValueError as error:
        raise ValueError(f"{error}, or a file of labels") from None
    if column >= len(table.names):
        found = counted(len(table.names), "column")
        raise ValueError(f"{option} is missing; {table.source} has {found}, but the target is number {column} so far")
    return table, column % len(table.names), table.names[column]


def _classes(table: Table, column: int) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    """The different texts or numbers of a column, as text, and which of them each row has."""
    if column in table.text:
        texts, actual = np.unique(np.array(table.words(column), dtype=object), return_inverse=True)
        return tuple(map(str, texts)), actual
    numbers, actual = np.unique(table.numbers([column])[:, 0].astype(np.float64), return_inverse=True)
    return tuple(map(as_text, numbers.tolist())), actual
