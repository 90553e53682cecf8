"""What a cell of text stands for: a number, nothing, or itself."""

from __future__ import annotations

import re

import numpy as np

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})  # in lower case
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
TRUTHS = {"true": 1.0, "false": 0.0}  # in lower case


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
    """A cell of a text column, as it stands: 1E2 among B7 is a label, and no number; "" if it is missing."""
    cell = cell.strip()
    return "" if cell.lower() in MISSING else cell
