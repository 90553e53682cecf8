"""What every reader hands on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy.typing as npt

from fastbp.command.words import counted


class Contents(NamedTuple):
    """The table of a file.

    `names` has one name a column, "" for one without, or is None where the file has none. `values` (rows, columns)
    holds real numbers, nan where one is missing and in other columns. `text` holds the cells of each text column, ""
    where one is missing; `unusable` says of each column that holds neither what it has. `image` is the shape of a row
    where the file gives it more than one dimension; its numbers are then of one kind.
    """

    names: list[str] | None
    values: npt.NDArray[Any]
    text: dict[int, list[str]]
    image: tuple[int, ...] = ()
    unusable: Mapping[int, str] = MappingProxyType({})


def flattened(array: npt.NDArray[Any]) -> Contents:
    """A row for each element of the first dimension, whatever dimensions follow."""
    rows, *row = array.shape
    check_shape(rows, math.prod(row))
    return Contents(None, array.reshape(rows, math.prod(row)), {}, tuple(row) if len(row) > 1 else ())


def check_shape(rows: int, columns: int) -> None:
    """Refuse a table without a cell, which may declare any number of columns and take no bytes for them."""
    if rows == 0 or columns == 0:
        raise ValueError(
            f"it has {counted(rows, 'row')} and {counted(columns, 'column')}; at least one of each is wanted"
        )
