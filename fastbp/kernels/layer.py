"""The sigmoid layer on one panel of rows: forward, cost, delta, and the update.

Everything is held transposed, so that the rows of a batch lie along the lanes of a vector: no lane is idle because
there are few outputs, and both products are the same loops, `matmul.add_product`.

    x (rows, inputs)                        the panel, in the caller's memory
    x_t (inputs, rows)                      the panel, transposed
    w_t (outputs, inputs), b (1, outputs)
    y_t, y_pred_t, delta_t (outputs, rows)
    gradient_t (outputs, inputs), bias_gradient (outputs, lanes), whose lanes are still to be summed

Blocks of fastbp's own are padded to whole vectors along their rows. What stands in the padding is never used.
"""

from __future__ import annotations

from fastbp.kernels.jit import inlined, kernel
from fastbp.tiles.functions import sigmoid
from fastbp.tiles.operations import (
    add_products,
    as_row,
    block,
    broadcast,
    fill,
    is_gapless,
    keep,
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

# What rows are gone through for: y_pred, their cost, or gradients; these from x, or from y_pred (BACKWARD).
FORWARD, COST, BACKWARD, GRADIENTS = range(4)


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
    """The same for whole squares: by itself, since it would share its registers with the edges."""
    rows, columns = source.shape
    for row in range(0, rows, lanes(source)):
        for column in range(0, columns, lanes(source)):
            transpose_square(source, row, column, target)


@kernel
def spread(b, y_pred_t, rows):
    """a^T = b^T in every row: where eq. 4 begins."""
    for o in range(b.shape[1]):
        for row in range(0, rows, lanes(b)):
            store(y_pred_t, o, row, broadcast(b, 0, o))


@kernel
def to_delta(purpose, y_t, y_pred_t, rows, cost, bias_gradient):
    """From a^T on to y_pred^T (FORWARD), or to the cost and delta^T; BACKWARD begins with y_pred^T."""
    if purpose != BACKWARD:
        _activate(y_pred_t, bias_gradient.shape[0], rows)
    if purpose != FORWARD:
        _cost_and_delta(y_t, y_pred_t, rows, cost, bias_gradient)


@inlined
def _activate(y_pred_t, outputs, rows):
    """y_pred^T = g(a^T): eq. 9."""
    for o in range(outputs):
        for row in range(0, rows, lanes(y_pred_t)):
            store(y_pred_t, o, row, sigmoid(load(y_pred_t, o, row)))


@inlined
def _cost_and_delta(y_t, y_pred_t, rows, cost, bias_gradient):
    """C += sum((y_pred - y)^2), eq. 13, and y_pred becomes delta = y_pred (1 - y_pred) 2 (y_pred - y), eqs. 1 and 14.

    The sum of delta over the rows is dC/db, eq. 27. Only the last vector of a row may hold padding, which counts
    nothing: to keep it out of all of them cost 10000 x 32 -> 10 in float64 7 %.
    """
    total = load(cost, 0, 0)
    whole = rows - rows % lanes(y_t)
    for o in range(bias_gradient.shape[0]):
        delta_sum = load(bias_gradient, o, 0)
        for row in range(0, whole, lanes(y_t)):
            y_pred = load(y_pred_t, o, row)
            error = y_pred - load(y_t, o, row)
            delta = _delta_of(y_pred, error)
            store(y_pred_t, o, row, delta)
            delta_sum = delta_sum + delta
            total = add_products(total, error, error)
        if whole < rows:
            y_pred = load(y_pred_t, o, whole)
            error = keep(y_pred - load(y_t, o, whole), rows - whole)
            delta = keep(_delta_of(y_pred, error), rows - whole)
            store(y_pred_t, o, whole, delta)
            delta_sum = delta_sum + delta
            total = add_products(total, error, error)
        store(bias_gradient, o, 0, delta_sum)
    store(cost, 0, 0, total)


@inlined
def _delta_of(y_pred, error):
    return y_pred * (1.0 - y_pred) * (error + error)


@kernel
def all_finite(matrix):
    """Whether every number of a matrix, which need not be padded, is finite."""
    total = fill(matrix, 0.0)  # while they are: 0 * inf and 0 * nan are nan
    for row in range(matrix.shape[0]):
        for column in range(0, matrix.shape[1], lanes(matrix)):
            total = multiply_add(load_some(matrix, row, column, matrix.shape[1] - column), 0.0, total)
    return sum_lanes(total) == 0.0


@kernel
def is_finite(row):
    """Whether every number of a row, padded to whole vectors, is finite."""
    zero = other = fill(row, 0.0)  # while they are: 0 * inf and 0 * nan are nan
    for column in range(0, row.shape[1], lanes(row)):
        zero, other = multiply_add(load(row, 0, column), 0.0, other), zero  # in turn: each waits for the one before it
    return sum_lanes(zero + other) == 0.0


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


@inlined
def _follow(w, gradient, learning_rate, new_w):
    """new_w = w - learning_rate gradient. True if every new number is finite."""
    zero = other = fill(w, 0.0)  # while every number is finite: 0 * inf and 0 * nan are nan
    for row in range(w.shape[0]):
        for column in range(0, w.shape[1], lanes(w)):
            new = multiply_add(-learning_rate, load(gradient, row, column), load(w, row, column))
            store(new_w, row, column, new)
            zero, other = multiply_add(new, 0.0, other), zero  # in turn: each waits for the one before it
    return sum_lanes(zero + other) == 0.0


@kernel
def descend(w_t, b, gradient_t, bias_gradient, learning_rate, bias_rate, new_w_t, new_b):
    """new_w = w - learning_rate dC/dw, new_b = b - bias_rate dC/db. True if every new number is finite."""
    good = _follow(w_t, gradient_t, learning_rate, new_w_t)
    for o in range(w_t.shape[0]):
        new = multiply_add(-bias_rate, fill(b, sum_lanes(load(bias_gradient, o, 0))), broadcast(b, 0, o))
        good &= sum_lanes(multiply_add(new, 0.0, fill(b, 0.0))) == 0.0
        store_some(new_b, 0, o, new, 1)
    return good
