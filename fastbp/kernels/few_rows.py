"""Steps on few rows: the weights stay where the caller has them, and nothing is transposed.

To bring weights into a layout of our own and back takes longer than a step on few rows. Here the outputs lie along the
lanes; weights are read for y_pred, and read and written once more for the update:

    PREPARE    what all steps of a call have in common
    OUTPUTS    x w, in cuts of the inputs                                              eq. 4
    DELTA      y_pred = g(the sum of these + b), the cost and delta                    eqs. 4, 9, 13, 14 and 1
    GRADIENT   dC/dw = x^T delta (eq. 26), and dC/db likewise, of an input that is 1 (eq. 27)
    REHEARSAL  the same, to see whether the new weights will be finite
    UPDATE     the same, to the new weights

An update is a product, too: w += x^T (-learning_rate delta). A tile of the gradient goes from registers to the weights,
and is never stored.

A task of OUTPUTS and one of UPDATE have the same weights, so that a worker finds them in its core's cache when they
are updated: those of some inputs, which lie together in memory, and of a group of outputs if more tasks are wanted.
They are gone through in blocks that stay in the level 1 cache, or as they lie in memory if the rows of x are a single
tile. A task of DELTA has some outputs.

No weight may change before all new ones are known to be finite. Nearly always, that is known beforehand: in squares, no
weight is larger than the sum of all, and no gradient larger than the sum of all of x times that of all of delta, which
is at most a quarter of C. Only if that does not tell, the update is rehearsed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastbp.kernels.blocks import clear, copy, copy_row, fold, probe, watched, whole_vectors
from fastbp.kernels.jit import inlined, kernel
from fastbp.kernels.layer_arrays import FAILED, FINITE_X, SURE
from fastbp.kernels.matmul import add_product, add_product_of_t, nothing_ahead
from fastbp.kernels.program import share
from fastbp.kernels.sigmoid_layer import BACKWARD, COST, FORWARD, GRADIENTS, to_delta
from fastbp.tiles.operations import (
    as_row,
    block,
    fill,
    is_gapless,
    lanes,
    load,
    load_some,
    matrix_at,
    multiply_add,
    overstep,
    store,
    sum_lanes,
)
from fastbp.tiles.records import record
from fastbp.tiles.registers import CACHE_LINE_VECTORS, TILE_ROWS

# The phases.
PREPARE, OUTPUTS, DELTA, GRADIENT, REHEARSAL, UPDATE = range(6)

# The rows of each task in `squares`: their sums over some inputs of x, and over some weights and biases.
OF_X, OF_W = range(2)
SQUARES = 2


@record
class Plan(NamedTuple):
    """How the work is cut. Whatever decides a bit of a result follows from the shapes, and not from the threads."""

    cuts: int  # of the inputs
    groups: int  # of the outputs
    tasks: int  # cuts * groups
    block_inputs: int  # of a block of weights
    block_outputs: int
    packed: int  # 1 if a block is copied before its product, 0 if it is taken as it lies
    width: int  # outputs, padded
    worker: int  # elements from the memory of one worker to that of the next
    # Where the matrices start in memory.
    y: int  # (rows, width)
    y_pred: int  # (cuts * rows, width): x w of the inputs of each cut; the first becomes their sum, y_pred and delta
    gradient: int  # (inputs + 1, width): dC/dw, and dC/db behind it: what GRADIENT keeps
    bias_input: int  # (rows, 1)
    tail: int  # (rows + 1, lanes)
    squares: int  # (tasks * SQUARES, lanes)
    # For each worker.
    block: int  # (block_inputs, block_outputs): one that is packed, or one of REHEARSAL
    sums: int  # (rows, lanes)


NO_PLAN = Plan(*[0] * len(Plan._fields))


@kernel
def add_squares(matrix, squares):
    """squares (1, lanes) += those of the numbers of a matrix, which need not be padded, lane by lane.

    To four sums in turn, since a multiply-add waits for the one before it.
    """
    if is_gapless(matrix):
        matrix = as_row(matrix)
    columns, unit = matrix.shape[1], lanes(matrix)
    first, zero = load(squares, 0, 0), fill(matrix, 0.0)
    second, third, fourth = zero, zero, zero
    whole = columns - columns % (4 * unit)
    for row in range(matrix.shape[0]):
        for column in range(0, whole, 4 * unit):
            first = _add_square(first, load(matrix, row, column))
            second = _add_square(second, load(matrix, row, column + unit))
            third = _add_square(third, load(matrix, row, column + 2 * unit))
            fourth = _add_square(fourth, load(matrix, row, column + 3 * unit))
        for column in range(whole, columns, unit):
            vector = load_some(matrix, row, column, columns - column)
            first, second, third, fourth = second, third, fourth, _add_square(first, vector)
    store(squares, 0, 0, (first + second) + (third + fourth))


@inlined
def _add_square(total, vector):
    return multiply_add(vector, vector, total)


@inlined
def _inputs_of(arrays, plan, task):
    """The first of the inputs that a task of OUTPUTS or of a gradient has, and the one behind its last."""
    first, count = share(arrays.x.shape[1], task // plan.groups, plan.cuts, TILE_ROWS)
    return first, first + count


@inlined
def _outputs_of(arrays, task, tasks):
    """The first of the outputs that a task has, one of so many, and the one behind its last.

    They are whole cache lines of y_pred, so that no two workers write the same one.
    """
    first, count = share(arrays.w.shape[1], task, tasks, CACHE_LINE_VECTORS * lanes(arrays.x))
    return first, first + count


@inlined
def _y(arrays, plan):
    """(rows, width)."""
    return matrix_at(arrays.memory, plan.y, arrays.x.shape[0], plan.width)


@inlined
def _y_pred(arrays, plan):
    """x w of the inputs of each cut, (cuts * rows, width); the first becomes their sum, y_pred and delta."""
    return matrix_at(arrays.memory, plan.y_pred, plan.cuts * arrays.x.shape[0], plan.width)


@inlined
def _block(arrays, plan, worker, inputs, outputs):
    """A worker's own (inputs, outputs)."""
    return matrix_at(arrays.memory, plan.block + worker * plan.worker, inputs, outputs)


@inlined
def _bias_input(arrays, plan):
    """The input of the bias, (rows, 1): bias_rate / learning_rate, which is 1, or 1 / rows for the mean."""
    return matrix_at(arrays.memory, plan.bias_input, arrays.x.shape[0], 1)


@inlined
def _tail(arrays, plan):
    """The last columns of delta once more, (rows, lanes), behind zeros: for the vector that ends with the outputs."""
    return matrix_at(arrays.memory, plan.tail, arrays.x.shape[0], lanes(arrays.x))


@inlined
def _squares(arrays, plan, task, of):
    """The sums OF_X or OF_W of a task."""
    width = lanes(arrays.x)
    return matrix_at(arrays.memory, plan.squares + (SQUARES * task + of) * width, 1, width)


@inlined
def _some_of_x(arrays, plan, task):
    """Some inputs of x: every task has others."""
    rows, inputs = arrays.x.shape
    i = inputs * task // plan.tasks
    return block(arrays.x, 0, i, rows, inputs * (task + 1) // plan.tasks - i)


@inlined
def _prepare(arrays, plan, task):
    """Some outputs of y, padded, and the squares of some inputs of x."""
    rows = arrays.x.shape[0]
    o, last = _outputs_of(arrays, task, plan.tasks)
    copy(block(arrays.y, 0, o, rows, last - o), block(_y(arrays, plan), 0, o, rows, last - o))
    of_x = _squares(arrays, plan, task, OF_X)
    clear(of_x)
    add_squares(_some_of_x(arrays, plan, task), of_x)
    if task == 0:
        for row in range(rows):
            arrays.memory[plan.bias_input + row] = arrays.bias_rate / arrays.learning_rate


@inlined
def _outputs(purpose, arrays, plan, worker, task):
    """x w of some inputs and outputs; b is in that of the first inputs."""
    rows, cut = arrays.x.shape[0], task // plan.groups
    first, end = _inputs_of(arrays, plan, task)
    first_o, end_o = _outputs_of(arrays, task % plan.groups, plan.groups)
    of_cut = block(_y_pred(arrays, plan), cut * rows, 0, rows, plan.width)
    of_w = _squares(arrays, plan, task, OF_W)
    clear(of_w)
    for o in range(first_o, end_o, plan.block_outputs):
        outputs = min(plan.block_outputs, end_o - o)
        target = block(of_cut, 0, o, rows, whole_vectors(outputs, lanes(arrays.x)))
        if cut == 0:
            b = block(arrays.b, 0, o, 1, outputs)
            add_squares(b, of_w)
            for row in range(rows):
                copy_row(b, 0, target, row)
        i = first
        while i < end:
            w = _next_block(arrays, plan, i, end, o, outputs)
            if purpose == GRADIENTS:
                add_squares(w, of_w)
            kept = 1 if cut == 0 or i > first else 0
            _add_outputs(arrays, plan, worker, target, i, w, kept)
            i += w.shape[0]


@inlined
def _next_block(arrays, plan, i, end, o, outputs):
    """The weights from input i on to some outputs, as many inputs as a block has.

    A row that is no whole vectors goes on with the next one, of which a product takes some and does not use it. Behind
    the last row of all there may be nothing: it is a block by itself, and packed.
    """
    inputs = min(plan.block_inputs, end - i)
    if outputs % lanes(arrays.x) > 0 and inputs > 1 and i + inputs == arrays.x.shape[1]:
        inputs -= 1
    return block(arrays.w, i, o, inputs, outputs)


@inlined
def _add_outputs(arrays, plan, worker, target, i, w, kept):
    """The target += x w for the inputs of a block of weights, from i on, or without what was there."""
    rows, (inputs, outputs) = arrays.x.shape[0], w.shape
    ragged = outputs % lanes(arrays.x) > 0
    if plan.packed or (ragged and i + 1 == arrays.x.shape[1]):
        packed = _block(arrays, plan, worker, inputs, target.shape[1])
        copy(w, packed)
        w = packed
    x = block(arrays.x, 0, i, rows, inputs)
    add_product(target, x, overstep(w, target.shape[1]), kept, nothing_ahead(w))


@inlined
def _delta(purpose, arrays, plan, worker, task):
    """Some outputs of y_pred, or of their cost alone, or -learning_rate delta: in place."""
    rows = arrays.x.shape[0]
    o, last = _outputs_of(arrays, task, plan.tasks)
    count = last - o
    of_cuts = block(_y_pred(arrays, plan), 0, o, plan.cuts * rows, whole_vectors(count, lanes(arrays.x)))
    y_pred = block(of_cuts, 0, 0, rows, of_cuts.shape[1])
    y = block(_y(arrays, plan), 0, o, rows, of_cuts.shape[1])
    cost = block(arrays.cost, task, 0, 1, arrays.cost.shape[1])
    clear(cost)
    if purpose == BACKWARD:
        copy(block(arrays.y_pred, 0, o, rows, count), y_pred)
    else:
        fold(y_pred, of_cuts, plan.cuts, 0, rows)
    sums = matrix_at(arrays.memory, plan.sums + worker * plan.worker, rows, lanes(arrays.x))
    clear(sums)
    if purpose == FORWARD and o == 0:
        probe(block(y_pred, 0, 0, rows, min(count, 1)), arrays.state, FINITE_X)
    to_delta(purpose, y, y_pred, count, cost, sums)
    if purpose == FORWARD:
        copy(block(y_pred, 0, 0, rows, count), block(arrays.y_pred, 0, o, rows, count))
    elif purpose != COST:
        scale(y_pred, -arrays.learning_rate)
        left = count % lanes(arrays.x)  # only the last outputs are no whole vectors
        if left > 0:
            with_one_more = matrix_at(arrays.memory, plan.tail, rows + 1, lanes(arrays.x))
            _store_tail(block(y_pred, 0, count - left, rows, lanes(arrays.x)), left, with_one_more)


@kernel
def scale(matrix, factor):
    """matrix *= factor."""
    for row in range(matrix.shape[0]):
        for column in range(0, matrix.shape[1], lanes(matrix)):
            store(matrix, row, column, factor * load(matrix, row, column))


@inlined
def _store_tail(delta, left, tail):
    """tail = as many zeros, and then the first `left` columns of delta, behind which there are zeros, too."""
    row_of_tails, size = as_row(tail), lanes(tail)
    store(row_of_tails, 0, 0, fill(tail, 0.0))
    for row in range(delta.shape[0]):
        store(row_of_tails, 0, (row + 1) * size - left, load(delta, row, 0))  # what does not fit are zeros of the next


@inlined
def surely_finite(arrays, plan, cost):
    """Whether the update after outputs of the sigmoid that cost so much cannot but be finite."""
    of_x = 1.0 * arrays.x.shape[0]  # the input of the bias is at most 1 in every row
    of_w = 0.0
    for task in range(plan.tasks):
        of_x += sum_lanes(load(_squares(arrays, plan, task, OF_X), 0, 0))
        of_w += sum_lanes(load(_squares(arrays, plan, task, OF_W), 0, 0))
    # |delta| = y_pred (1 - y_pred) 2 |y_pred - y| <= |y_pred - y| / 2, of whose squares C is the sum.
    largest = np.sqrt(of_w) + (1.0 + arrays.learning_rate) * np.sqrt(of_x) * 0.5 * np.sqrt(cost)
    # In the dtype of the weights, and so many times as there are lanes: a margin for what rounding took from the sums.
    return np.isfinite(sum_lanes(fill(_squares(arrays, plan, 0, OF_X), largest)))


@inlined
def _gradient(phase, arrays, plan, worker, task):
    """The gradient of some weights, or their update. False if a new one would not be finite."""
    rows, outputs = arrays.x.shape[0], arrays.w.shape[1]
    first, end = _outputs_of(arrays, task % plan.groups, plan.groups)
    left = 0 if phase == GRADIENT else end % lanes(arrays.x)  # what is kept is padded
    whole = first + whole_vectors(end - first - left, lanes(arrays.x))
    blocks = -(-(whole - first) // plan.block_outputs)
    good = True
    for number in range(blocks + (1 if left > 0 else 0)):
        o, delta = outputs - lanes(arrays.x), _tail(arrays, plan)
        if number < blocks:
            o = first + number * plan.block_outputs
            delta = block(_y_pred(arrays, plan), 0, o, rows, min(plan.block_outputs, whole - o))
        good &= _gradient_of_outputs(phase, arrays, plan, worker, task, o, delta)
    return good


@inlined
def _gradient_of_outputs(phase, arrays, plan, worker, task, o, delta):
    """Some inputs' weights to the outputs that delta has, from o on; behind the last input, the bias."""
    (rows, inputs), outputs = arrays.x.shape, delta.shape[1]
    if phase == GRADIENT:
        gradient = matrix_at(arrays.memory, plan.gradient, inputs + 1, plan.width)
        w, b = block(gradient, 0, o, inputs, outputs), block(gradient, inputs, o, 1, outputs)
    else:
        w, b = block(arrays.w, 0, o, inputs, outputs), block(arrays.b, 0, o, 1, outputs)
    first, end = _inputs_of(arrays, plan, task)
    rate = arrays.learning_rate
    good = True
    for i in range(first, end, plan.block_inputs):
        some = min(plan.block_inputs, end - i)
        x, some_of_w = block(arrays.x, 0, i, rows, some), block(w, i, 0, some, outputs)
        good &= _add(phase, some_of_w, x, delta, rate, _block(arrays, plan, worker, some, outputs))
    if end == inputs:
        good &= _add(phase, b, _bias_input(arrays, plan), delta, rate, _block(arrays, plan, worker, 1, outputs))
    return good


@kernel
def _add(phase, w, x, delta, learning_rate, rehearsed):
    """w = x^T delta (GRADIENT), or w += x^T delta (UPDATE), or neither: False if the latter would not be finite."""
    target = rehearsed if phase == REHEARSAL else w
    add_product_of_t(target, x, delta, 1 if phase == UPDATE else 0, nothing_ahead(delta))
    return phase != REHEARSAL or _leads_to_finite(w, rehearsed, learning_rate)


@inlined
def _leads_to_finite(w, update, learning_rate):
    """Whether w + update is finite, and so is the gradient, which that is but for the rate and its sign."""
    zero = other = fill(w, 0.0)
    for row in range(w.shape[0]):
        for column in range(0, w.shape[1], lanes(w)):
            moved = load(update, row, column)
            zero = watched(load(w, row, column) + moved, zero)
            other = watched(moved / learning_rate, other)
    return sum_lanes(zero + other) == 0.0


@kernel
def perform(phase, purpose, arrays, plan, worker, task):
    """One of the tasks of a phase. The purpose is that of rows: `sigmoid_layer`."""
    if phase == PREPARE:
        _prepare(arrays, plan, task)
    elif phase == OUTPUTS:
        _outputs(purpose, arrays, plan, worker, task)
    elif phase == DELTA:
        _delta(purpose, arrays, plan, worker, task)
    elif not (phase == REHEARSAL and arrays.state[SURE]):
        good = _gradient(phase, arrays, plan, worker, task)
        arrays.state[FAILED + task] = 0 if good else 1
