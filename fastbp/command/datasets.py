"""The data that ships with fastbp."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

from fastbp.command.tables import Table, read_table

DIGITS = "the UCI handwritten digits (Alpaydin and Kaynak, 1998, CC BY 4.0)"


def digits() -> Table:
    """1797 handwritten digits: 64 pixels from 0 to 16, and the digit last. See data/LICENSE-digits.txt."""
    with resources.as_file(resources.files("fastbp") / "data" / "digits.csv.gz") as path:
        return replace(read_table(path), source=DIGITS)
