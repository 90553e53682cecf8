"""Steps on few rows and many weights: the weights stay where the caller has them, and nothing is transposed.

To bring weights into a layout of our own and back takes longer than a step on few rows. Here the outputs lie along the
lanes; weights are read for y_pred, and read and written once more for the update:

    PREPARE    what all steps of a call have in common
    OUTPUTS    y_pred = g(x w + b), the cost and delta                                 eqs. 4, 9, 13, 14 and 1
    GRADIENT   dC/dw = x^T delta (eq. 26), and dC/db likewise, of an input that is 1 (eq. 27)

A task has a group of outputs, and some rows of them or some inputs. It goes through its weights some inputs at a time,
which stay in the level 1 cache. Where a gradient is followed, it is followed there.

No weight may change before all new ones are known to be finite. Nearly always, that is known beforehand: no gradient is
larger than the sum of all |x| times the sum of all |delta|, which is at most half of the root of C times the number of
all y. Only if that does not tell, the update is rehearsed.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.jit import inlined, kernel
from fastbp.kernels.layer import BACKWARD, FORWARD, GRADIENTS, clear, copy, copy_row, follow, probe, to_delta
from fastbp.kernels.matmul import add_product, add_product_of_t
from fastbp.kernels.program import share
from fastbp.tiles.operations import (
    absolute,
    block,
    fill,
    lanes,
    load,
    load_some,
    matrix_at,
    store,
    sum_lanes,
)
from fastbp.tiles.registers import TILE_ROWS

# What a task is.
PREPARE, OUTPUTS, GRADIENT = range(3)

# What becomes of a gradient: it is kept, followed to new weights that are dropped, or followed to those of the caller.
KEEP, REHEARSE, FOLLOW = range(3)

# The rows of each part in `sizes`: sums of the absolute values of some inputs of x, and of some weights and biases.
OF_X, OF_W = range(2)
SIZES = 2


@kernel
def add_sizes(matrix, sizes):
    """sizes (1, lanes) += the absolute values of a matrix, which need not be padded, lane by lane.

    Two rows at a time, since an addition waits for the one before it. The last one may count twice.
    """
    even, odd = load(sizes, 0, 0), fill(matrix, 0.0)
    for row in range(0, matrix.shape[0], 2):
        next_row = min(row + 1, matrix.shape[0] - 1)
        for column in range(0, matrix.shape[1], lanes(matrix)):
            left = matrix.shape[1] - column
            if left >= lanes(matrix):
                a, b = load(matrix, row, column), load(matrix, next_row, column)
            else:
                a, b = load_some(matrix, row, column, left), load_some(matrix, next_row, column, left)
            even, odd = even + absolute(a), odd + absolute(b)
    store(sizes, 0, 0, even + odd)


@inlined
def _group(arrays, plan, task):
    """The first of the outputs that a task has, and their number: pairs of vectors, as a tile is wide at least."""
    return share(arrays.w.shape[1], task % plan.groups, plan.groups, 2 * plan.lanes)


@inlined
def _rows_of(arrays, plan, task):
    """The first of the rows that a task has of y_pred, and their number."""
    return share(arrays.x.shape[0], task // plan.groups, plan.parts // plan.groups, TILE_ROWS)


@inlined
def _ones(arrays, plan):
    """The input of the bias, padded."""
    return matrix_at(arrays.memory, plan.ones, 1, -(-arrays.x.shape[0] // plan.lanes) * plan.lanes)


@inlined
def _size(arrays, plan, task, of):
    """The sums OF_X or OF_W of a part."""
    return matrix_at(arrays.memory, plan.sizes + (SIZES * task + of) * plan.lanes, 1, plan.lanes)


@inlined
def _prepare(arrays, plan, task):
    """A part of y, padded, and the sizes of some inputs of x."""
    rows, inputs = arrays.x.shape
    row, count = _rows_of(arrays, plan, task)
    o, width = _group(arrays, plan, task)
    y = matrix_at(arrays.memory, plan.y_t, rows, plan.width)
    copy(block(arrays.y, row, o, count, width), block(y, row, o, count, width))
    i = inputs * task // plan.parts
    some = block(arrays.x, 0, i, rows, inputs * (task + 1) // plan.parts - i)
    of_x = _size(arrays, plan, task, OF_X)
    clear(of_x)
    add_sizes(some, of_x)
    if task == 0:
        ones = _ones(arrays, plan)
        for at in range(0, ones.shape[1], plan.lanes):
            store(ones, 0, at, fill(ones, 1.0))


@inlined
def _outputs(purpose, arrays, plan, worker, task):
    """A part of y_pred, and but for FORWARD delta in its place."""
    all_rows, inputs = arrays.x.shape
    row, rows = _rows_of(arrays, plan, task)
    o, count = _group(arrays, plan, task)
    padded = -(-count // plan.lanes) * plan.lanes
    group, others = task % plan.groups, plan.parts // plan.groups  # others: those that have the same outputs
    y = block(matrix_at(arrays.memory, plan.y_t, all_rows, plan.width), row, o, rows, padded)
    y_pred = block(matrix_at(arrays.memory, plan.y_pred_t, all_rows, plan.width), row, o, rows, padded)
    b = block(arrays.b, 0, o, 1, count)
    cost = block(arrays.cost, task, 0, 1, arrays.cost.shape[1])
    of_w = _size(arrays, plan, task, OF_W)
    clear(cost)
    clear(of_w)
    if purpose == BACKWARD:
        copy(block(arrays.y_pred, row, o, rows, count), y_pred)
    else:
        for at in range(rows):
            copy_row(b, 0, y_pred, at)
    for i in range(0, inputs, plan.few):
        some = min(plan.few, inputs - i)
        w = block(arrays.w, i, o, some, count)
        if purpose == GRADIENTS and i // plan.few % others == task // plan.groups:
            add_sizes(w, of_w)
        if purpose != BACKWARD:
            if plan.packed:
                packed = matrix_at(arrays.memory, plan.strip + worker * plan.worker, some, padded)
                copy(w, packed)
                w = block(packed, 0, 0, some, count)
            add_product(y_pred, block(arrays.x, row, i, rows, some), w, 1, block(w, 0, 0, 1, 0))
    start = plan.bias_gradient + (group * all_rows + row) * plan.lanes
    to_delta(purpose, y, y_pred, count, cost, matrix_at(arrays.memory, start, rows, plan.lanes))
    if purpose == FORWARD:
        probe(block(arrays.x, row, 0, rows, inputs), cost)
        copy(block(y_pred, 0, 0, rows, count), block(arrays.y_pred, row, o, rows, count))
    else:
        add_sizes(b, of_w)


@inlined
def surely_finite(arrays, plan, cost):
    """Whether the update after outputs of the sigmoid that cost so much cannot but be finite."""
    of_x = 1.0 * arrays.x.shape[0]  # the input of the bias is 1 in every row
    of_w = 0.0
    for part in range(plan.parts):
        of_x += sum_lanes(load(_size(arrays, plan, part, OF_X), 0, 0))
        of_w += sum_lanes(load(_size(arrays, plan, part, OF_W), 0, 0))
    # |delta| = y_pred (1 - y_pred) 2 |y_pred - y| <= |y_pred - y| / 2, of whose squares C is the sum.
    of_delta = 0.5 * np.sqrt(cost * arrays.x.shape[0] * arrays.w.shape[1])
    largest = of_w + max(1.0, arrays.learning_rate, arrays.bias_rate) * of_x * of_delta
    # In the dtype of the weights, and so many times as there are lanes: a margin for what rounding took from the sums.
    return np.isfinite(sum_lanes(fill(_size(arrays, plan, 0, OF_X), largest)))


@inlined
def _strip(purpose, arrays, plan, worker, i, some, o, count):
    """Where the gradient of some inputs and outputs is computed; dC/db stands behind that of the last input."""
    if purpose == KEEP:
        return block(matrix_at(arrays.memory, plan.gradient_t, arrays.x.shape[1] + 1, plan.width), i, o, some, count)
    return matrix_at(arrays.memory, plan.strip + worker * plan.worker, some, count)


@inlined
def _gradient(purpose, arrays, plan, worker, task):
    """The gradient of some weights, and what becomes of it. False if a new weight is not finite."""
    rows, inputs = arrays.x.shape
    first, some = share(inputs, task // plan.groups, plan.pieces // plan.groups, plan.few)
    end = first + some
    o, count = _group(arrays, plan, task)
    padded = -(-count // plan.lanes) * plan.lanes
    delta = block(matrix_at(arrays.memory, plan.y_pred_t, rows, plan.width), 0, o, rows, padded)
    nothing = block(delta, 0, 0, 1, 0)
    good = True
    for i in range(first, end, plan.few):
        some = min(plan.few, end - i)
        strip = _strip(purpose, arrays, plan, worker, i, some, o, padded)
        add_product_of_t(strip, block(arrays.x, 0, i, rows, some), delta, 0, nothing)
        if purpose != KEEP:
            w = block(arrays.w, i, o, some, count)
            good &= follow(w, strip, arrays.learning_rate, w if purpose == FOLLOW else strip)
    if end == inputs:
        strip = _strip(purpose, arrays, plan, worker, inputs, 1, o, padded)
        add_product(strip, block(_ones(arrays, plan), 0, 0, 1, rows), delta, 0, nothing)
        if purpose != KEEP:
            b = block(arrays.b, 0, o, 1, count)
            good &= follow(b, strip, arrays.bias_rate, b if purpose == FOLLOW else strip)
    return good


@kernel
def perform(what, purpose, arrays, plan, worker, task):
    """One task. False if it is an update, or a rehearsal of one, that is not finite."""
    good = True
    if what == PREPARE:
        _prepare(arrays, plan, task)
    elif what == OUTPUTS:
        _outputs(purpose, arrays, plan, worker, task)
    else:
        good = _gradient(purpose, arrays, plan, worker, task)
    return good
