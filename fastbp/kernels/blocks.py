"""What is done with blocks of numbers whatever they mean: transposed, copied, cleared, folded, looked through."""

from __future__ import annotations

from fastbp.kernels.jit import inlined, kernel
from fastbp.tiles.operations import (
    as_row,
    block,
    broadcast,
    fill,
    is_gapless,
    lanes,
    load,
    load_some,
    multiply_add,
    narrow_lanes,
    store,
    store_some,
    sum_lanes,
    transpose_some,
    transpose_some_columns,
    transpose_some_rows,
    transpose_square,
)


@inlined
def whole_vectors(count, unit):
    """So many columns and padding, in vectors of `unit` lanes."""
    return -(-count // unit) * unit


@kernel
def transpose(source, target):
    """target = source^T."""
    rows, columns = source.shape
    if columns == 1 and is_gapless(source):  # a column that lies like a row: squares of 1 x lanes would cost much more
        copy(as_row(source), target)
        return
    if rows == 1 and target.shape[1] == 1 and is_gapless(target):
        copy(source, as_row(target))
        return
    whole_rows, whole_columns = rows - rows % lanes(source), columns - columns % lanes(source)
    if whole_rows < rows:
        _transpose_last_rows(source, whole_rows, target)
    _transpose_squares(block(source, 0, 0, whole_rows, whole_columns), target)
    for row in range(0, whole_rows, lanes(source)):
        for column in range(whole_columns, columns, narrow_lanes(source)):
            transpose_some_columns(source, row, column, target)


@kernel
def _transpose_last_rows(source, row, target):
    """The same for the rows from `row` on, which are no vector.

    Before all others: if the target has no gaps, what is written behind them stands at the beginning of its next rows,
    and comes after that. To store parts of vectors takes a dozen cycles each on some processors.
    """
    rows, columns = source.shape
    free = 0  # columns: behind their last numbers a vector ends inside of the target
    if is_gapless(target) and rows * columns >= row + lanes(source):
        free = (rows * columns - row - lanes(source)) // rows + 1
        free -= free % narrow_lanes(source)
    for column in range(0, free, narrow_lanes(source)):
        transpose_some_rows(source, row, column, target)
    for column in range(free, columns, narrow_lanes(source)):
        transpose_some(source, row, column, target)


@kernel
def _transpose_squares(source, target):
    """The same for whole squares: by themselves, since they would share their registers with the edges."""
    rows, columns = source.shape
    for row in range(0, rows, lanes(source)):
        for column in range(0, columns, lanes(source)):
            transpose_square(source, row, column, target)


@kernel
def transpose_strip(source, target):
    """target = source^T, a strip: each of its rows, which are as wide as a tile of a product, is written whole.

    `transpose` writes a vector of every row before the next ones, so that each row comes to the level 1 cache anew:
    forward of 300 x 1714 -> 40 in float32 took a Zen 3 1.03 times as long.
    """
    rows, columns = source.shape
    if rows % lanes(source) > 0:
        transpose(source, target)
        return
    whole = columns - columns % lanes(source)
    for column in range(0, whole, lanes(source)):
        for row in range(0, rows, lanes(source)):
            transpose_square(source, row, column, target)
    if whole < columns:
        left = columns - whole
        transpose(block(source, 0, whole, rows, left), block(target, whole, 0, left, rows))


@inlined
def watched(vector, zero):
    """`zero` as long as every number that it has been shown is finite, then nan: 0 * inf and 0 * nan are nan."""
    return multiply_add(vector, 0.0, zero)


@kernel
def all_finite(matrix):
    """Whether every number of a matrix is finite; it need not be padded."""
    zero = other = fill(matrix, 0.0)
    rows, columns = matrix.shape
    whole = columns - columns % lanes(matrix)
    for row in range(rows):
        for column in range(0, whole, lanes(matrix)):
            zero, other = watched(load(matrix, row, column), other), zero  # in turn: each waits for the one before it
        if whole < columns:
            zero, other = watched(load_some(matrix, row, whole, columns - whole), other), zero
    return sum_lanes(zero + other) == 0.0


@inlined
def probe(a, state, finite_x):
    """Clear state[finite_x] if x w + b of the first output is not finite, for any row: so it is if x is not."""
    if not all_finite(a):
        state[finite_x] = 0


@kernel
def clear(matrix):
    """matrix = 0, its padding included."""
    for row in range(matrix.shape[0]):
        for column in range(0, matrix.shape[1], lanes(matrix)):
            store(matrix, row, column, fill(matrix, 0.0))


@inlined
def copy_row(source, row, target, at):
    """target[at] = source[row], as far as that goes; neither is padded, and they lie apart.

    No masks: to store a part of a vector takes a dozen cycles on some processors.
    """
    columns = source.shape[1]
    left = columns % lanes(source)
    for column in range(0, columns - left, lanes(source)):
        store(target, at, column, load(source, row, column))
    if left == columns:
        for column in range(columns):
            store_some(target, at, column, broadcast(source, row, column), 1)
    elif left > 0:
        store(target, at, columns - lanes(source), load(source, row, columns - lanes(source)))


@kernel
def copy(source, target):
    """target = source, as far as that goes; neither is padded, and they lie apart."""
    for row in range(source.shape[0]):
        copy_row(source, row, target, row)


@kernel
def fold(target, parts, count, first, distance):
    """target = the sum of `count` parts in their order; each begins `distance` rows below the one before."""
    if count == 1:  # target is that part
        return
    for row in range(target.shape[0]):
        for column in range(0, target.shape[1], lanes(target)):
            total = load(parts, first + row, column)
            for part in range(1, count):
                total = total + load(parts, first + row + part * distance, column)
            store(target, row, column, total)
