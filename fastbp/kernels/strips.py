"""Matrices in strips: some columns after the others, so that what a tile of a product reads follows in memory.

Row after row, the lines that a tile takes in lie a row apart: on more pages than a processor keeps at hand, where they
are many, and in few sets of its cache. 128 x 784 times 784 x 128 in float32 takes a Zen 3 0.65 cycles for a vector of
multiply-adds so, and 0.52 in strips as wide as a tile; 0.5 is the least.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastbp.kernels.blocks import copy_row, transpose
from fastbp.kernels.jit import inlined, kernel
from fastbp.tiles.operations import block, lanes, matrix_at, prefetch
from fastbp.tiles.registers import CACHE_LINE_VECTORS

# Of each row that is gathered next, at most: 512 bytes. The processor foresees the rest. An epoch of 8-16-16-1 in
# batches of 32 took 1.05 times as long without, one of 784-128-10 1.03 times.
PREFETCHES = 4
# Rows that are gathered side by side, a strip of all of them after the other.
TOGETHER = 8


class Strips(NamedTuple):
    """A matrix (rows, columns). A strip has `width` of its columns, or all if these are no more."""

    memory: Any
    start: int
    rows: int
    columns: int
    width: int


@inlined
def strip_at(matrix, column):
    """The strip that begins with this column, (rows, width)."""
    return matrix_at(matrix.memory, matrix.start + matrix.rows * column, matrix.rows, min(matrix.width, matrix.columns))


@inlined
def strip_count(columns, width):
    """The strips of so many columns: without a division if it is one, since that takes a dozen cycles."""
    return 1 if columns <= width else -(-columns // width)


@inlined
def span_of(strip, columns, width):
    """The first of so many columns that are in a strip, and their number."""
    first = strip * width
    return first, min(width, columns - first)


@inlined
def columns_at(matrix, column, columns):
    """Some columns of one strip, (rows, columns): from its beginning on, or of a matrix that is a single strip."""
    start = 0 if matrix.columns <= matrix.width else column
    return block(strip_at(matrix, start), 0, column - start, matrix.rows, columns)


@kernel
def gather_rows(source, order, at, rows, target, first, columns, distance):
    """The first rows of the target, in strips, = order[at], order[at + 1] ... of the source; at ... without an order.

    Of each row some columns, from the beginning of a strip on. Rows that stand `distance` later in the order are asked
    for meanwhile: the processor cannot foresee them.
    """
    step = 2 * CACHE_LINE_VECTORS * lanes(source)
    for first_row in range(0, rows, TOGETHER):
        last_row = min(first_row + TOGETHER, rows)
        for strip in range(strip_count(columns, target.width)):
            column = strip * target.width
            some = block(source, 0, first + column, source.shape[0], min(target.width, columns - column))
            strip_of_target = strip_at(target, first + column)
            for row in range(first_row, last_row):
                copy_row(some, order[at + row] if order.shape[0] > 0 else at + row, strip_of_target, row)
        for later in range(at + first_row + distance, min(at + last_row + distance, order.shape[0])):
            row_ahead = block(source, order[later], first, 1, columns)
            for column in range(0, min(PREFETCHES * step, columns), step):
                prefetch(row_ahead, column, 2)


@kernel
def transpose_strips(source, rows, first, columns, target):
    """target = source^T for its first rows and some columns, from the beginning of a strip on; both are in strips."""
    for strip in range(strip_count(columns, source.width)):
        column = first + strip * source.width
        some = block(strip_at(source, column), 0, 0, rows, min(source.width, first + columns - column))
        for strip_t in range(strip_count(rows, target.width)):
            row = strip_t * target.width
            part = block(some, row, 0, min(target.width, rows - row), some.shape[1])
            transpose(part, block(strip_at(target, row), column, 0, part.shape[1], part.shape[0]))


@kernel
def transpose_into(source, target, row, column):
    """target[row:, column:] = source^T, where the target is in strips and the source is not."""
    columns, rows = source.shape
    within = column % target.width if column > 0 else 0  # mostly 0: a division less
    done = 0
    while done < columns:
        some = min(columns - done, target.width - within)
        strip = strip_at(target, column + done - within)
        transpose(block(source, done, 0, some, rows), block(strip, row, within, rows, some))
        done += some
        within = 0
