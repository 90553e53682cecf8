"""The kernels' own memory: one flat array, and how matrices lie in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.contract import FloatArray
from fastbp.tiles.registers import CACHE_LINE, TILE_VECTORS, lanes_of

# What one core writes lies a page away from what another does: its prefetchers run on to the end of a page, and would
# take the lines behind the end away from the other core. A step of 1797 x 64 -> 10 on two threads: 52 us, now 39.
PAGE = 4096
# Rows a multiple of so many bytes apart fall into one or two sets of a level 1 cache, of 8 lines each.
SAME_SETS = 2048


def rounded_up(count: int, unit: int) -> int:
    """The least multiple of `unit` that is `count` or more."""
    return -(-count // unit) * unit


def aligned(size: int, dtype: np.dtype[Any]) -> FloatArray:
    """Uninitialised memory that starts at a page, and so at a cache line: a vector across lines costs two loads."""
    memory = np.empty(size * dtype.itemsize + PAGE, np.uint8)
    start = -memory.ctypes.data % PAGE
    return memory[start : start + size * dtype.itemsize].view(dtype)


class Places:
    """Where matrices start, in elements: first those that all workers share, then those that each has of its own."""

    def __init__(self, dtype: np.dtype[Any], unit: int = CACHE_LINE) -> None:
        """Each begins at a multiple of so many bytes."""
        self._unit, self._page = unit // dtype.itemsize, PAGE // dtype.itemsize
        self._end = 0
        self.shared = 0  # elements of those that are

    def take(self, size: int) -> int:
        start = self._end
        self._end += rounded_up(size, self._unit)
        return start

    def end_shared(self) -> None:
        self.shared = self._end = self._end_of_page()

    def end_worker(self) -> int:
        """Elements from what one worker has to what the next one has."""
        return self._end_of_page() - self.shared

    def _end_of_page(self) -> int:
        """The end, moved on to a page of its own."""
        return rounded_up(self._end, self._page) + self._page


def padded(columns: int, unit: int, dtype: np.dtype[Any]) -> int:
    """The columns in whole units, and one more if rows would lie a multiple of SAME_SETS bytes apart but units not."""
    width = rounded_up(columns, unit)
    row_bytes, unit_bytes = width * dtype.itemsize, unit * dtype.itemsize
    return width + unit if row_bytes % SAME_SETS == 0 and unit_bytes % SAME_SETS else width


def spaced(columns: int, dtype: np.dtype[Any]) -> int:
    """Elements from row to row of a matrix that is read column by column: an odd number of cache lines, if not few.

    Rows an even number of lines apart share some of the sets of the level 1 cache and leave the others empty: on a Zen
    3, 128 x 784 times 784 x 128 ran at 82 % of the peak in float32 and 79 % in float64, and at 95 and 97 % so.
    """
    line = CACHE_LINE // dtype.itemsize
    lines = -(-columns // line)
    wider_than_tile = columns > TILE_VECTORS * lanes_of(dtype.itemsize)  # else rows are read as they lie in memory
    return (lines + 1) * line if lines >= 4 and lines % 2 == 0 and wider_than_tile else columns


def in_strips(rows: int, columns: int, width: int) -> int:
    """Elements of a matrix in strips, as `fastbp.kernels.strips` has them: all but a single one are whole."""
    return rows * (columns if columns <= width else rounded_up(columns, width))
