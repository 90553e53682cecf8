"""Steps on few rows and many weights: the weights stay where the caller has them, and nothing is transposed.

To bring weights into a layout of our own and back takes longer than a step on few rows. Here the outputs lie along the
lanes; weights are read for y_pred, and read and written once more for the update:

    prepare    what all steps of a call have in common
    outputs    y_pred = g(x w + b), the cost and delta                                 eqs. 4, 9, 13, 14 and 1
    gradient   dC/dw = x^T delta (eq. 26), and dC/db likewise, of an input that is 1 (eq. 27)

A task is a group of outputs, and goes through its weights some inputs at a time, which stay in the level 1 cache. Where
a gradient is followed, it is followed there.

No weight may change before all new ones are known to be finite. Nearly always, that is known beforehand: no gradient is
larger than the sum of all |x| times the sum of all |delta|. Only if that does not tell, the update is rehearsed.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.jit import inlined, kernel
from fastbp.kernels.layer import BACKWARD, FORWARD, activate, clear, copy, copy_row, cost_and_delta, probe
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
    multiply_add,
    store,
    store_some,
    sum_lanes,
)
from fastbp.tiles.registers import TILE_ROWS

# What becomes of a gradient: it is kept, followed to new weights that are dropped, or followed to those of the caller.
KEEP, REHEARSE, FOLLOW = range(3)

# The rows of each group in `sizes`: sums of the absolute values of some inputs of x, of its weights, and of its delta.
OF_X, OF_W, OF_DELTA = range(3)
SIZES = 3


@kernel
def add_sizes(matrix, sizes, row):
    """sizes[row] += the absolute values of a matrix, which need not be padded, lane by lane."""
    columns = matrix.shape[1]
    whole = columns - columns % lanes(matrix)
    even, odd = load(sizes, row, 0), fill(matrix, 0.0)  # an addition waits for the one before it: two take turns
    for i in range(matrix.shape[0]):
        for column in range(0, whole, lanes(matrix)):
            even, odd = odd + absolute(load(matrix, i, column)), even
        if whole < columns:
            odd = odd + absolute(load_some(matrix, i, whole, columns - whole))
    store(sizes, row, 0, even + odd)


@kernel
def follow(w, gradient, learning_rate, new_w):
    """new_w = w - learning_rate gradient, of which none need be padded. True if every new number is finite."""
    columns = w.shape[1]
    whole = columns - columns % lanes(w)
    zero = fill(w, 0.0)  # while every number is finite: 0 * inf and 0 * nan are nan
    for row in range(w.shape[0]):
        for column in range(0, whole, lanes(w)):
            new = multiply_add(-learning_rate, load(gradient, row, column), load(w, row, column))
            zero = multiply_add(new, 0.0, zero)
            store(new_w, row, column, new)
        if whole < columns:
            count = columns - whole
            new = multiply_add(-learning_rate, load_some(gradient, row, whole, count), load_some(w, row, whole, count))
            zero = multiply_add(new, 0.0, zero)
            store_some(new_w, row, whole, new, count)
    return sum_lanes(zero) == 0.0


@inlined
def _part(arrays, plan, task):
    """The block of y_pred that a task has: first row, rows, first output and outputs. A tile is two vectors wide."""
    rows, outputs = arrays.x.shape[0], arrays.w.shape[1]
    row, count = share(rows, task // plan.groups, plan.parts // plan.groups, TILE_ROWS)
    o, width = share(outputs, task % plan.groups, plan.groups, 2 * plan.lanes)
    return row, count, o, width


@inlined
def _sizes(arrays, plan):
    return matrix_at(arrays.memory, plan.sizes, SIZES * plan.parts, plan.lanes)


@inlined
def prepare(arrays, plan, task):
    """A part of y, padded, and the sizes of some inputs of x."""
    rows, inputs = arrays.x.shape
    row, count, o, width = _part(arrays, plan, task)
    y = matrix_at(arrays.memory, plan.y_t, rows, plan.width)
    copy(block(arrays.y, row, o, count, width), block(y, row, o, count, width))
    i = inputs * task // plan.parts
    some = block(arrays.x, 0, i, rows, inputs * (task + 1) // plan.parts - i)
    sizes = _sizes(arrays, plan)
    clear(block(sizes, SIZES * task + OF_X, 0, 1, plan.lanes))
    add_sizes(some, sizes, SIZES * task + OF_X)
    if task == 0:
        ones = matrix_at(arrays.memory, plan.ones, 1, -(-rows // plan.lanes) * plan.lanes)
        for at in range(0, ones.shape[1], plan.lanes):
            store(ones, 0, at, fill(ones, 1.0))


@inlined
def outputs(purpose, arrays, plan, worker, task):
    """A part of y_pred, and but for FORWARD delta in its place."""
    all_rows, inputs = arrays.x.shape
    row, rows, o, count = _part(arrays, plan, task)
    padded = -(-count // plan.lanes) * plan.lanes
    group, others = task % plan.groups, plan.parts // plan.groups  # others: those that have the same outputs
    y = block(matrix_at(arrays.memory, plan.y_t, all_rows, plan.width), row, o, rows, padded)
    y_pred = block(matrix_at(arrays.memory, plan.y_pred_t, all_rows, plan.width), row, o, rows, padded)
    b = block(arrays.b, 0, o, 1, count)
    cost = block(arrays.cost, task, 0, 1, arrays.cost.shape[1])
    sizes = block(_sizes(arrays, plan), SIZES * task, 0, SIZES, plan.lanes)
    clear(cost)
    clear(block(sizes, OF_W, 0, 2, plan.lanes))
    if purpose == BACKWARD:
        copy(block(arrays.y_pred, row, o, rows, count), y_pred)
    else:
        for at in range(rows):
            copy_row(b, 0, y_pred, at)
    for i in range(0, inputs, plan.few):
        some = min(plan.few, inputs - i)
        w = block(arrays.w, i, o, some, count)
        if purpose >= BACKWARD and i // plan.few % others == task // plan.groups:
            add_sizes(w, sizes, OF_W)
        if purpose != BACKWARD:
            if plan.packed:
                packed = matrix_at(arrays.memory, plan.strip + worker * plan.worker, some, padded)
                copy(w, packed)
                w = block(packed, 0, 0, some, count)
            add_product(y_pred, block(arrays.x, row, i, rows, some), w, 1, block(w, 0, 0, 1, 0))
    if purpose != BACKWARD:
        activate(y_pred, rows, count)
    if purpose == FORWARD:
        probe(block(arrays.x, row, 0, rows, inputs), cost)
        copy(block(y_pred, 0, 0, rows, count), block(arrays.y_pred, row, o, rows, count))
    else:
        start = plan.bias_gradient + (group * all_rows + row) * plan.lanes
        cost_and_delta(y, y_pred, count, cost, matrix_at(arrays.memory, start, rows, plan.lanes))
        add_sizes(y_pred, sizes, OF_DELTA)
        add_sizes(b, sizes, OF_W)


@inlined
def surely_finite(arrays, plan):
    """Whether the next update cannot but be finite."""
    sizes = _sizes(arrays, plan)
    of_x = 1.0 * arrays.x.shape[0]  # the input of the bias is 1 in every row
    of_w = of_delta = 0.0
    for part in range(plan.parts):
        of_x += sum_lanes(load(sizes, SIZES * part + OF_X, 0))
        of_w += sum_lanes(load(sizes, SIZES * part + OF_W, 0))
        of_delta += sum_lanes(load(sizes, SIZES * part + OF_DELTA, 0))
    largest = of_w + max(1.0, arrays.learning_rate, arrays.bias_rate) * of_x * of_delta
    # In the dtype of the weights, and so many times as there are lanes: a margin for what rounding took from the sums.
    return np.isfinite(sum_lanes(fill(sizes, largest)))


@inlined
def _strip(purpose, arrays, plan, worker, i, some, o, count):
    """Where the gradient of some inputs and outputs is computed; dC/db stands behind that of the last input."""
    if purpose == KEEP:
        return block(matrix_at(arrays.memory, plan.gradient_t, arrays.x.shape[1] + 1, plan.width), i, o, some, count)
    return matrix_at(arrays.memory, plan.strip + worker * plan.worker, some, count)


@inlined
def gradient(purpose, arrays, plan, worker, task):
    """The gradient of some weights, and what becomes of it. False if a new weight is not finite."""
    rows, inputs = arrays.x.shape
    first, some = share(inputs, task // plan.groups, plan.pieces // plan.groups, plan.few)
    end = first + some
    o, count = share(arrays.w.shape[1], task % plan.groups, plan.groups, 2 * plan.lanes)
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
        ones = matrix_at(arrays.memory, plan.ones, 1, -(-rows // plan.lanes) * plan.lanes)
        strip = _strip(purpose, arrays, plan, worker, inputs, 1, o, padded)
        add_product(strip, block(ones, 0, 0, 1, rows), delta, 0, nothing)
        if purpose != KEEP:
            b = block(arrays.b, 0, o, 1, count)
            good &= follow(b, strip, arrays.bias_rate, b if purpose == FOLLOW else strip)
    return good
