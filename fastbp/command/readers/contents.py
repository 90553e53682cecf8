"""What every reader hands on, what counts as missing, and how much memory a table may take."""

from __future__ import annotations

import math
import os
import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LARGEST_DEFLATE_RATIO = 1032  # no deflated stream grows by more
BYTES_A_STRING = 64  # what Python adds to the characters of a short string
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})  # in lower case
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
TRUTHS = {"true": 1.0, "false": 0.0}  # in lower case


class Contents(NamedTuple):
    """The table of a file.

    `names` has one name a column, "" for one without, or is None where the file has none. `values` (rows, columns)
    holds real numbers, nan where one is missing and in text columns. `text` holds the cells of each text column, ""
    where one is missing. `image` is the shape of a row where the file gives it more than one dimension; its numbers are
    then of one kind.
    """

    names: list[str] | None
    values: npt.NDArray[Any]
    text: dict[int, list[str]]
    image: tuple[int, ...] = ()


def flattened(array: npt.NDArray[Any]) -> Contents:
    """A row for each element of the first dimension, whatever dimensions follow."""
    rows, *row = array.shape
    check_shape(rows, math.prod(row))
    return Contents(None, array.reshape(rows, math.prod(row)), {}, tuple(row) if len(row) > 1 else ())


def counted(number: int, word: str, ending: str = "s") -> str:
    """A number of things."""
    return f"{number} {word}{ending if number != 1 else ''}"


def check_shape(rows: int, columns: int) -> None:
    """Refuse a table without a cell, which may declare any number of columns and take no bytes for them."""
    if rows == 0 or columns == 0:
        raise ValueError(
            f"it has {counted(rows, 'row')} and {counted(columns, 'column')}; at least one of each is wanted"
        )


def largest_table() -> int:
    """The bytes that a table may take: a quarter of the machine's memory, as training copies it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, ValueError, OSError):  # no such call on this platform
        return 4 << 30


def check_size(size: int, what: str = "its table") -> None:
    """Refuse a table, or something else, of `size` bytes that this machine cannot train on."""
    if size > largest_table():
        raise ValueError(f"{what} takes {size:,} bytes or more; at most {largest_table():,} fit this machine's memory")


def number_of(cell: str) -> float | None:
    """The number that a cell of text stands for, nan where it is missing, None where it is not a number.

    1_000 is a number to Python alone: 12_3 and 1_23 are two texts, not one number.
    """
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return np.nan if cell.strip().lower() in MISSING else None


def measure_of(cell: str) -> float | None:
    """The number that a cell of text is as an input: `number_of`, and 1 and 0 for true and false."""
    return TRUTHS.get(cell.lower(), number_of(cell))


def has_decimal_comma(cell: str) -> bool:
    """Whether a cell is a number with a comma for its point, and not one whose comma may part thousands."""
    return DECIMAL_COMMA.fullmatch(cell) is not None and THOUSANDS.fullmatch(cell) is None


def means_number(cell: str) -> bool:
    """Whether a cell is a number, in whatever spelling."""
    return any(spelling.fullmatch(cell) for spelling in (THOUSANDS, DECIMAL_COMMA)) or number_of(cell) is not None


def as_text(number: float) -> str:
    """A number as a class label: whole ones without a point, a missing one as ""."""
    if np.isnan(number):
        return ""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def cell_as_text(cell: str) -> str:
    """A cell of a text column; numbers among the text in one spelling, so that 1 and 1.0 are one label."""
    number = number_of(cell)
    return cell.strip() if number is None else as_text(number)
