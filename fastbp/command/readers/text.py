"""CSV, plain or gzipped: the separator (comma, semicolon or tab) and a header are recognised.

Rows are read as a stream and turned into numbers a block at a time, so memory follows the table and not the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fastbp.command.readers.cells import DECIMAL_COMMA, TRUTHS, cell_as_text, number_of
from fastbp.command.readers.contents import Contents
from fastbp.command.sizes import BYTES_A_STRING, check_size
from fastbp.command.words import counted

CELLS_A_BLOCK = 1 << 16
LONGEST_LINE = 1 << 24  # characters
LONGEST_GAP = 1 << 16  # lines
MOST_COLUMNS = 1 << 19
UTF_16_MARKS = b"\xff\xfe", b"\xfe\xff"


def read(stream: BinaryIO, gzipped: bool, header: bool | None = None, expected: Sequence[str] = ()) -> Contents:
    """The table of a CSV file. Blank lines are skipped; a row of another width is refused.

    `header`: whether the first line names the columns; None: as it looks, or if it has all `expected` names.
    """
    contents, late = _read(stream, gzipped, header, expected, frozenset())
    if late:  # columns whose text begins so late that the numbers before it are no longer there as they were written
        stream.seek(0)
        contents, _ = _read(stream, gzipped, header, expected, late)
    return contents


def _read(
    stream: BinaryIO, gzipped: bool, header: bool | None, expected: Sequence[str], text_columns: frozenset[int]
) -> tuple[Contents, frozenset[int]]:
    """The table, and columns of text that were not known, and were taken for numbers at first."""
    raw: Any = gzip.GzipFile(fileobj=stream) if gzipped else stream
    characters = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    try:
        lines = _lines(characters)
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise ValueError("it is empty")
        separator = _separator(first)
        if first.count(separator) >= MOST_COLUMNS:
            raise ValueError(f"it has more than {MOST_COLUMNS:,} columns")
        reader = csv.reader(itertools.chain([first], lines), delimiter=separator, skipinitialspace=True, strict=True)
        try:
            return _table((row for row in reader if row), header, expected, text_columns)
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from None
    finally:
        characters.detach()  # lest the stream be closed


def _separator(line: str) -> str:
    """What parts the cells of a line: the most frequent one, but no comma where all of them are decimal points."""
    line = re.sub('"[^"]*"', "", line)
    other = max(";\t", key=line.count)
    with_comma = [cell.strip() for cell in line.split(other) if "," in cell]
    if other in line and all(DECIMAL_COMMA.fullmatch(cell) for cell in with_comma):
        return other
    return max(",;\t", key=line.count)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    blank = 0
    while line := _line(text):
        if len(line) > LONGEST_LINE:
            raise ValueError(f"it has a line of more than {LONGEST_LINE:,} characters")
        blank = blank + 1 if line.isspace() else 0
        if blank > LONGEST_GAP:
            raise ValueError(f"it has more than {LONGEST_GAP:,} blank lines in a row")
        yield line


def _line(text: io.TextIOWrapper) -> str:
    try:
        return text.readline(LONGEST_LINE + 1)
    except UnicodeDecodeError as error:
        bad = error.object[error.start]
        utf_16 = error.start == 0 and error.object.startswith(UTF_16_MARKS)
        found = "it is text in UTF-16" if utf_16 else f"it holds the byte 0x{bad:02x}, which is no text in UTF-8"
        raise ValueError(f"{found}; text in UTF-8 is wanted") from None


def _table(
    rows: Iterator[list[str]], header: bool | None, expected: Sequence[str], text_columns: frozenset[int]
) -> tuple[Contents, frozenset[int]]:
    first = next(rows)
    cells = [cell.strip() for cell in first]
    if header is None:
        header = _is_header(cells) or bool(expected and set(expected) <= set(cells))
    names = cells if header else None
    width = len(first)
    blocks: list[npt.NDArray[np.float64]] = []
    text: dict[int, list[str]] = {column: [] for column in text_columns}
    known = text_columns
    size = done = 0
    rest = rows if names else itertools.chain([first], rows)
    while block := list(itertools.islice(rest, max(1, CELLS_A_BLOCK // width))):
        for number, row in enumerate(block, done + 1):
            if len(row) != width:
                raise ValueError(
                    f"row {number} has {counted(len(row), 'cell')}, and the first line {width}; as many are wanted"
                )
        blocks.append(_numbers(block, done, text))
        if not done:
            known |= text.keys()
        done += len(block)
        size += blocks[-1].nbytes + sum(BYTES_A_STRING + len(row[column]) for column in text for row in block)
        check_size(size)
    values = np.concatenate(blocks) if blocks else np.empty((0, width))
    return Contents(names, values, text), frozenset(text) if text.keys() > known else frozenset()


def _is_header(cells: list[str]) -> bool:
    """Whether the first line names the columns: it holds text, and no true or false, nor a number but a column's own.

    Or it is 0, 1, 2, ..., as pandas writes columns without names, after an empty cell where it writes the index too; a
    single 0 more likely begins a file of labels.
    """
    named = cells if cells[0] else cells[1:]
    if len(cells) > 1 and named == list(map(str, range(len(named)))):
        return True
    if any(cell.lower() in TRUTHS for cell in cells):
        return False
    numbers = [number_of(cell) for cell in cells]
    return None in numbers and all(
        number is None or np.isnan(number) or number == column for column, number in enumerate(numbers)
    )


def _if_all_are_numbers(block: list[list[str]]) -> npt.NDArray[np.float64] | None:
    """The numbers of a block of rows, in a tenth of the time that `number_of` takes; None if it must tell."""
    if "_" in "".join(itertools.chain.from_iterable(block)):
        return None
    try:
        return np.array(block, dtype=np.float64)
    except ValueError:
        return None


def _numbers(block: list[list[str]], before: int, text: dict[int, list[str]]) -> npt.NDArray[np.float64]:
    """The numbers of a block of rows; `text` grows by the cells of its columns, which may be more from here on."""
    values = _if_all_are_numbers(block)
    if values is None:
        values = np.empty((len(block), len(block[0])))
        for column, cells in enumerate(zip(*block, strict=True)):
            numbers = [number_of(cell) for cell in cells]
            if None in numbers and column not in text:
                text[column] = [""] * before  # to be read again
            values[:, column] = [np.nan if number is None else number for number in numbers]
    for column, known in text.items():
        known.extend(cell_as_text(row[column]) for row in block)
        values[:, column] = np.nan
    return values
