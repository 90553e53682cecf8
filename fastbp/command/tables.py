"""A named table of numbers from a CSV, NPY, NPZ, Parquet or IDX file.

Columns are found by name or number, and no number leaves a table unchecked: text, gaps and infinities are refused
by the name of their column and their row (row 1 is the first under the header).
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from click import format_filename

from fastbp.command.readers import kinds
from fastbp.command.readers.cells import has_decimal_comma, measure_of
from fastbp.command.readers.contents import Contents, check_shape
from fastbp.command.sizes import blocks, check_size
from fastbp.command.words import listed, quoted, reason

NUMBER = re.compile("-?[0-9]{1,9}")
BYTES_A_READ = 1 << 20


@dataclass(frozen=True)
class Table:
    """`values` (rows, columns), its column names, and the cells of its text columns.

    `own_names`: those of its names that the file holds. `image`: the shape of a row that has more than one dimension.
    `headless`: a CSV file whose first line is a row. `ignored`: the columns of the file that are left out, names by
    number. `unusable`: what other columns have that hold neither numbers nor text.
    """

    source: str
    names: tuple[str, ...]
    own_names: frozenset[str]
    values: npt.NDArray[Any]
    text: dict[int, list[str]]
    image: tuple[int, ...] = ()
    headless: bool = False
    ignored: Mapping[int, str] = field(default_factory=dict)
    unusable: Mapping[int, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.values.shape[0])

    @property
    def named(self) -> bool:
        """Whether the file names its columns: more of them than the last, if there are more."""
        return bool(self.own_names & set(self.names[:-1] or self.names))

    @property
    def labelled(self) -> bool:
        """Whether the last column holds what images show, as y of an NPZ file does."""
        return bool(self.image) and len(self.names) > math.prod(self.image)

    @property
    def _width(self) -> int:
        """How many columns the file has."""
        return len(self.names) + len(self.ignored)

    @property
    def _numbers(self) -> list[int]:
        """The number of each column in the file."""
        return [number for number in range(self._width) if number not in self.ignored]

    def find(self, column: str) -> int:
        """The position of a column given by its name or its number in the file: 0 is the first, -1 the last."""
        if column in self.names:
            if (times := self.names.count(column)) > 1:
                raise ValueError(f"{self.source} has {times} columns named {quoted(column)}; a number is wanted")
            return self.names.index(column)
        if self._ignores(column):
            raise ValueError(f"column {quoted(column)} of {self.source} is left out; another one is wanted")
        number = self._number(column)
        if number is None:
            raise ValueError(
                f"there is no column {quoted(column)} in {self.source}; a name is wanted ({listed(self.names)}), "
                f"or a number from {-self._width} to {self._width - 1}"
            )
        return self._numbers.index(number)

    def _number(self, column: str) -> int | None:
        """The number of a column in the file, 0 or more, if it is given by one."""
        number = int(column) if NUMBER.fullmatch(column) else self._width
        return number % self._width if -self._width <= number < self._width else None

    def _ignores(self, column: str) -> bool:
        """Whether a name or number is that of a column that is left out, and of no other."""
        left_out = column in self.ignored.values() or self._number(column) in self.ignored
        return left_out and column not in self.names

    def has(self, column: str) -> bool:
        """Whether `find` finds it."""
        try:
            self.find(column)
        except ValueError:
            return False
        return True

    def ignoring(self, columns: Iterable[str]) -> Table:
        """The table without the columns of these names or numbers; the others' names must differ."""
        positions = set()
        for column in columns:
            if self.image:
                raise ValueError(f"--ignore is {column}, but {self.source} holds images; a table of columns is wanted")
            if self._ignores(column):
                continue
            try:
                positions.add(self.find(column))
            except ValueError as error:
                raise ValueError(f"--ignore is {column}, but {error}") from None
        return self._without(positions)._distinct()

    def ignoring_as(self, other: Table) -> Table:
        """The table without the columns that another one ignores, if it has them; the others' names must differ.

        They are found by name where both have names, else by number where the files have as many columns.
        """
        if self.named and other.named:
            positions = {i for i, name in enumerate(self.names) if name in other.ignored.values()}
        else:
            numbers = set(other.ignored) if self._width == other._width else set()
            positions = {i for i, number in enumerate(self._numbers) if number in numbers}
        return self._without(positions)._distinct()

    def _without(self, positions: Set[int]) -> Table:
        if not positions:
            return self
        kept, numbers = [position for position in range(len(self.names)) if position not in positions], self._numbers
        return replace(
            self,
            names=tuple(self.names[position] for position in kept),
            values=self.values[:, kept],
            text={new: self.text[old] for new, old in enumerate(kept) if old in self.text},
            unusable={new: self.unusable[old] for new, old in enumerate(kept) if old in self.unusable},
            ignored={**self.ignored, **{numbers[position]: self.names[position] for position in positions}},
        )

    def _distinct(self) -> Table:
        """The table, if no two of its columns have one name."""
        for name, times in Counter(self.names).most_common(1):
            if times > 1:
                raise ValueError(
                    f"{self.source} has {times} columns named {quoted(name)}; different names are wanted, or --ignore "
                    f"to leave columns out by their numbers"
                )
        return self

    def numbers(self, columns: Sequence[int], *, of_inputs: bool = False) -> npt.NDArray[Any]:
        """The finite numbers (rows, columns) of these columns, in their order; true and false are 1 and 0."""
        advice = ", or --ignore to leave the column out" if of_inputs else ""
        for column in columns:
            if column in self.unusable:
                wanted = f"numbers are wanted, or text for a class{advice}"
                name = quoted(self.names[column])
                raise ValueError(f"{self.source}: column {name} has {self.unusable[column]}; {wanted}")
        read = {position: self._read(column, advice) for position, column in enumerate(columns) if column in self.text}
        together = not read and list(columns) == list(range(columns[0], columns[0] + len(columns)))
        chosen = self.values[:, columns[0] : columns[0] + len(columns)] if together else self.values[:, columns]
        for position, numbers in read.items():
            chosen[:, position] = numbers
        for block in blocks(self.rows if chosen.dtype.kind == "f" else 0):
            good = np.isfinite(chosen[block])
            if not good.all():
                row, position = (int(i) for i in np.argwhere(~good)[0])
                value = chosen[block.start + row, position]
                problem = "is missing" if np.isnan(value) else f"is {value}"
                wanted = f"a finite number is wanted{advice}"
                raise ValueError(self._at(block.start + row + 1, columns[position], f"{problem}; {wanted}"))
        return chosen

    def words(self, column: int) -> list[str]:
        """The cells of a text column, none of them missing."""
        cells = self.text[column]
        if "" in cells:
            raise ValueError(self._at(cells.index("") + 1, column, "is missing; a class is wanted"))
        return cells

    def _read(self, column: int, advice: str) -> list[float]:
        """The numbers that the cells of a text column stand for."""
        numbers = []
        for row, cell in enumerate(self.text[column], 1):
            number = measure_of(cell)
            if number is None:
                wanted = f"a number{' with a decimal point' if has_decimal_comma(cell) else ''} is wanted"
                if self.headless and row == 1:
                    wanted += ", or --header if this line names the columns"
                raise ValueError(self._at(row, column, f"holds the text {quoted(cell)}; {wanted}{advice}"))
            numbers.append(number)
        return numbers

    def _at(self, row: int, column: int, problem: str) -> str:
        return f"{self.source}: column {quoted(self.names[column])}, row {row} {problem}"


def read_table(path: Path, header: bool | None = None, expected: Sequence[str] = ()) -> Table:
    """The table of a file, whose kind is told by its ending or its first bytes; all else is read as CSV.

    `header`: whether the first line of a CSV file names its columns; None: as it looks, or if it has all those names
    that are `expected`.
    """
    source = format_filename(path)
    with open(path, "rb", opener=_at_once) as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise ValueError(f"{source} is not a file; one that holds a table is wanted")
        kind = "table"
        try:
            seekable = stream if stream.seekable() else _whole(stream)
            kind = kinds.kind_of(path.name, seekable)
            contents = kinds.read(kind, seekable, header, expected)
            check_shape(*contents.values.shape)
        except MemoryError:
            raise
        except ImportError as error:
            raise ValueError(f"{source}: {error}") from None
        except Exception as error:  # a damaged file makes parsers raise almost anything
            raise ValueError(f"{source} is not a readable {kind} file: {reason(error)}") from error
    table = _table(source, contents, headless=kind == "CSV" and contents.names is None)
    return table._without({0}) if kind == "CSV" and _begins_with_index(contents) else table


def _begins_with_index(contents: Contents) -> bool:
    """Whether the first column counts the rows from 0 on and is the only one without a name, as pandas writes it."""
    if contents.names is None or contents.names[0] or not all(contents.names[1:]) or 0 in contents.text:
        return False
    return len(contents.names) > 1 and np.array_equal(contents.values[:, 0], np.arange(len(contents.values)))


def _at_once(path: str, flags: int) -> int:
    """Open a file; a pipe too that nobody writes into, which is empty then, where others wait for a writer."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    return descriptor


def _whole(pipe: BinaryIO) -> io.BufferedReader:
    """All that comes through a pipe, as a file that can be gone through twice."""
    content = io.BytesIO()
    while some := pipe.read(BYTES_A_READ):
        content.write(some)
        check_size(content.tell())
    content.seek(0)
    return io.BufferedReader(content)


def _table(source: str, contents: Contents, *, headless: bool) -> Table:
    unnamed = [""] * contents.values.shape[1]
    names = tuple(name or f"column {i}" for i, name in enumerate(contents.names or unnamed))
    own_names = frozenset(filter(None, contents.names or ()))
    values, text, image = contents.values, contents.text, contents.image
    return Table(source, names, own_names, values, text, image, headless, unusable=contents.unusable)
