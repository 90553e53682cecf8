"""What every reader hands on, what counts as missing, and how much memory a table may take."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})  # in lower case


class Contents(NamedTuple):
    """The table of a file.

    `names` has one name a column, or is None where the file has none. `values` (rows, columns) holds real numbers,
    nan where one is missing and in text columns. `text` holds the cells of each text column, "" where one is missing.
    """

    names: list[str] | None
    values: npt.NDArray[Any]
    text: dict[int, list[str]]


def largest_table() -> int:
    """The bytes that a table may take: a quarter of the machine's memory, as training copies it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, ValueError, OSError):  # no such call on this platform
        return 4 << 30


def check_size(size: int) -> None:
    """Refuse a table of `size` bytes that this machine cannot train on."""
    if size > largest_table():
        raise ValueError(
            f"its table takes {size:,} bytes or more; at most {largest_table():,} fit this machine's memory"
        )


def number_of(cell: str) -> float | None:
    """The number that a cell of text stands for, nan where it is missing, None where it is not a number."""
    try:
        return float(cell)
    except ValueError:
        return np.nan if cell.strip().lower() in MISSING else None


def as_text(number: float) -> str:
    """A number as a class label: whole ones without a point, a missing one as ""."""
    if np.isnan(number):
        return ""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def cell_as_text(cell: str) -> str:
    """A cell of a text column; numbers among the text in one spelling, so that 1 and 1.0 are one label."""
    number = number_of(cell)
    return cell.strip() if number is None else as_text(number)
