"""Steps on few rows: the weights stay where the caller has them, and nothing is transposed.

To bring weights into a layout of our own and back takes longer than a step on few rows. Here the outputs lie along the
lanes; weights are read for y_pred, and read and written once more for the update:

    PREPARE    what all steps of a call have in common
    OUTPUTS    x w, in cuts of the inputs                                              eq. 4
    DELTA      y_pred = g(the sum of these + b), the cost and delta                    eqs. 4, 9, 13, 14 and 1
    GRADIENT   dC/dw = x^T delta (eq. 26), and dC/db likewise, of an input that is 1 (eq. 27)

A task of OUTPUTS and one of GRADIENT have the same weights, so that a worker finds them in its core's cache when they
are followed: those of some inputs, which lie together in memory, and of a group of outputs if more tasks are wanted.
They are gone through in rectangles that stay in the level 1 cache, or as they lie in memory if the rows of x are a
single tile. Where a gradient is followed, it is followed there. A task of DELTA has some outputs.

No weight may change before all new ones are known to be finite. Nearly always, that is known beforehand: no gradient is
larger than the sum of all |x| times the sum of all |delta|, which is at most half of the root of C times the number of
all y. Only if that does not tell, the update is rehearsed.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.jit import inlined, kernel
from fastbp.kernels.layer import BACKWARD, FORWARD, GRADIENTS, clear, copy, copy_row, fold, follow, probe, to_delta
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
from fastbp.tiles.registers import LINE_VECTORS, TILE_ROWS

# The phases, before those of many rows (`schedule`).
PREPARE, OUTPUTS, DELTA, GRADIENT = range(4)
PHASES = 4

# What becomes of a gradient: it is kept, followed to new weights that are dropped, or followed to those of the caller.
KEEP, REHEARSE, FOLLOW = range(3)

# The rows of each task in `sizes`: sums of the absolute values of some inputs of x, and of some weights and biases.
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
def _inputs_of(arrays, plan, task):
    """The first of the inputs that a task of OUTPUTS or GRADIENT has, and the one behind its last."""
    first, count = share(arrays.x.shape[1], task // plan.groups, plan.parts, TILE_ROWS)
    return first, first + count


@inlined
def _outputs_of(arrays, plan, task, tasks):
    """The first of the outputs that a task has, one of so many, and the one behind its last.

    They are whole cache lines of y_pred, so that no two workers write the same one.
    """
    first, count = share(arrays.w.shape[1], task, tasks, LINE_VECTORS * plan.lanes)
    return first, first + count


@inlined
def _padded(count, plan):
    """So many outputs, in whole vectors."""
    return -(-count // plan.lanes) * plan.lanes


@inlined
def _parts_of_outputs(arrays, plan):
    """x w of the inputs of each cut, one below the other; the first becomes their sum, y_pred and delta."""
    return matrix_at(arrays.memory, plan.y_pred_t, plan.parts * arrays.x.shape[0], plan.width)


@inlined
def _ones(arrays, plan):
    """The input of the bias, padded."""
    return matrix_at(arrays.memory, plan.ones, 1, _padded(arrays.x.shape[0], plan))


@inlined
def _size(arrays, plan, task, of):
    """The sums OF_X or OF_W of a task."""
    return matrix_at(arrays.memory, plan.sizes + (SIZES * task + of) * plan.lanes, 1, plan.lanes)


@inlined
def _some_of_x(arrays, plan, task):
    """Some inputs of x: every task has others."""
    rows, inputs = arrays.x.shape
    i = inputs * task // plan.tasks
    return block(arrays.x, 0, i, rows, inputs * (task + 1) // plan.tasks - i)


@inlined
def _prepare(arrays, plan, task):
    """Some outputs of y, padded, and the sizes of some inputs of x."""
    rows = arrays.x.shape[0]
    o, last = _outputs_of(arrays, plan, task, plan.tasks)
    y = matrix_at(arrays.memory, plan.y_t, rows, plan.width)
    copy(block(arrays.y, 0, o, rows, last - o), block(y, 0, o, rows, last - o))
    of_x = _size(arrays, plan, task, OF_X)
    clear(of_x)
    add_sizes(_some_of_x(arrays, plan, task), of_x)
    if task == 0:
        ones = _ones(arrays, plan)
        for at in range(0, ones.shape[1], plan.lanes):
            store(ones, 0, at, fill(ones, 1.0))


@inlined
def _outputs(purpose, arrays, plan, worker, task):
    """x w of some inputs and outputs; b is in that of the first inputs."""
    rows, cut = arrays.x.shape[0], task // plan.groups
    first, end = _inputs_of(arrays, plan, task)
    first_o, end_o = _outputs_of(arrays, plan, task % plan.groups, plan.groups)
    part = block(_parts_of_outputs(arrays, plan), cut * rows, 0, rows, plan.width)
    of_w = _size(arrays, plan, task, OF_W)
    clear(of_w)
    for o in range(first_o, end_o, plan.columns):
        columns = min(plan.columns, end_o - o)
        some_of_part = block(part, 0, o, rows, _padded(columns, plan))
        if cut == 0:
            b = block(arrays.b, 0, o, 1, columns)
            add_sizes(b, of_w)
            for row in range(rows):
                copy_row(b, 0, some_of_part, row)
        for i in range(first, end, plan.few):
            some = min(plan.few, end - i)
            w = block(arrays.w, i, o, some, columns)
            if purpose == GRADIENTS:
                add_sizes(w, of_w)
            if plan.packed:
                packed = matrix_at(arrays.memory, plan.strip + worker * plan.worker, some, some_of_part.shape[1])
                copy(w, packed)
                w = packed
            kept = 1 if cut == 0 or i > first else 0
            add_product(some_of_part, block(arrays.x, 0, i, rows, some), w, kept, block(w, 0, 0, 1, 0))


@inlined
def _delta(purpose, arrays, plan, worker, task):
    """Some outputs of y_pred, and but for FORWARD delta in their place."""
    rows = arrays.x.shape[0]
    o, last = _outputs_of(arrays, plan, task, plan.tasks)
    count = last - o
    parts = block(_parts_of_outputs(arrays, plan), 0, o, plan.parts * rows, _padded(count, plan))
    y_pred = block(parts, 0, 0, rows, parts.shape[1])
    y = block(matrix_at(arrays.memory, plan.y_t, rows, plan.width), 0, o, rows, parts.shape[1])
    cost = block(arrays.cost, task, 0, 1, arrays.cost.shape[1])
    clear(cost)
    if purpose == BACKWARD:
        copy(block(arrays.y_pred, 0, o, rows, count), y_pred)
    else:
        fold(y_pred, parts, plan.parts, 0, rows)
    sums = matrix_at(arrays.memory, plan.bias_gradient + worker * plan.worker, rows, plan.lanes)  # for nobody
    clear(sums)
    to_delta(purpose, y, y_pred, count, cost, sums)
    if purpose == FORWARD:
        copy(block(y_pred, 0, 0, rows, count), block(arrays.y_pred, 0, o, rows, count))
        probe(_some_of_x(arrays, plan, task), cost)


@inlined
def surely_finite(arrays, plan, cost):
    """Whether the update after outputs of the sigmoid that cost so much cannot but be finite."""
    of_x = 1.0 * arrays.x.shape[0]  # the input of the bias is 1 in every row
    of_w = 0.0
    for task in range(plan.tasks):
        of_x += sum_lanes(load(_size(arrays, plan, task, OF_X), 0, 0))
        of_w += sum_lanes(load(_size(arrays, plan, task, OF_W), 0, 0))
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
    first, end = _inputs_of(arrays, plan, task)
    first_o, end_o = _outputs_of(arrays, plan, task % plan.groups, plan.groups)
    good = True
    for o in range(first_o, end_o, plan.columns):
        columns = min(plan.columns, end_o - o)
        padded = _padded(columns, plan)
        delta = block(_parts_of_outputs(arrays, plan), 0, o, rows, padded)
        nothing = block(delta, 0, 0, 1, 0)
        for i in range(first, end, plan.few):
            some = min(plan.few, end - i)
            strip = _strip(purpose, arrays, plan, worker, i, some, o, padded)
            add_product_of_t(strip, block(arrays.x, 0, i, rows, some), delta, 0, nothing)
            if purpose != KEEP:
                w = block(arrays.w, i, o, some, columns)
                good &= follow(w, strip, arrays.learning_rate, w if purpose == FOLLOW else strip)
        if end == inputs:
            strip = _strip(purpose, arrays, plan, worker, end, 1, o, padded)
            add_product(strip, block(_ones(arrays, plan), 0, 0, 1, rows), delta, 0, nothing)
            if purpose != KEEP:
                b = block(arrays.b, 0, o, 1, columns)
                good &= follow(b, strip, arrays.bias_rate, b if purpose == FOLLOW else strip)
    return good


@kernel
def perform(phase, purpose, arrays, plan, worker, task):
    """One task. False if it is an update, or a rehearsal of one, that is not finite."""
    good = True
    if phase == PREPARE:
        _prepare(arrays, plan, task)
    elif phase == OUTPUTS:
        _outputs(purpose, arrays, plan, worker, task)
    elif phase == DELTA:
        _delta(purpose, arrays, plan, worker, task)
    else:
        good = _gradient(purpose, arrays, plan, worker, task)
    return good
