"""Steps on a problem so small that rows and inputs fit one vector each: the whole step of an output in registers.

Calling the kernels of `layer` costs more than their work here: 500 ns for a step of 2 x 3 -> 2, of which the
arithmetic is a tenth. The outputs of a layer do not depend on each other, so that each goes through its own step, and
the processor overlaps them.

    x (rows, inputs)    x_t (inputs, rows)    w_t (outputs, inputs)    y_t (outputs, rows)
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.blocks import clear, transpose, watched
from fastbp.kernels.functions import sigmoid
from fastbp.kernels.jit import entry, example_matrices, inlined
from fastbp.tiles.operations import (
    add_products,
    block,
    broadcast,
    fill,
    keep,
    lanes,
    load,
    load_some,
    matrix_at,
    multiply_add,
    store,
    store_some,
    sum_lanes,
    zero_sums,
)


@inlined
def _step_of_output(o, x, x_t, y_t, delta_row, weights, new_weights, rates, squares, zero):
    """Forward, delta, gradient and the new weights of one output; the squared errors and 0 times the new weights."""
    (w_t, b), (new_w_t, new_b), (learning_rate, bias_rate) = weights, new_weights, rates
    rows, inputs = x.shape[0], x_t.shape[0]
    a = fill(x, 0.0)
    for k in range(inputs):
        a = multiply_add(broadcast(w_t, o, k), load(x_t, k, 0), a)
    y_pred = sigmoid(a + broadcast(b, 0, o))  # eqs. 4 and 9
    error = keep(y_pred - load(y_t, o, 0), rows)
    squares = add_products(squares, error, error)  # eq. 13
    delta = y_pred * (1.0 - y_pred) * (2.0 * error)  # eqs. 1 and 14
    store(delta_row, 0, 0, delta)

    gradient = fill(x, 0.0)
    for row in range(rows):
        gradient = multiply_add(broadcast(delta_row, 0, row), load(x, row, 0), gradient)  # eq. 26
    new_w = multiply_add(-learning_rate, gradient, load(w_t, o, 0))
    new_b_o = multiply_add(-bias_rate, fill(x, sum_lanes(delta)), broadcast(b, 0, o))  # eq. 27
    store(new_w_t, o, 0, new_w)
    store_some(new_b, 0, o, new_b_o, 1)
    return squares, watched(new_b_o, watched(new_w, zero))


def memory_size(rows: int, inputs: int, outputs: int, width: int) -> int:
    """Elements of the memory of `train_tiny`, whose rows are a vector of `width` numbers, but for b and the new one."""
    return (rows + inputs + 3 * outputs + 1) * width + 2 * outputs


def _examples(dtype):
    matrix, float64, _ = example_matrices(dtype)
    return matrix, matrix, matrix, matrix, matrix[0], 0.1, 0.1, 0, 1, 1, float64[0]


@entry(_examples)
def train_tiny(x, y, w, b, memory, learning_rate, bias_rate, first, last, updates, costs):
    """Steps first ... last - 1 of `updates`; costs[i] is the cost after i updates. b is (1, outputs).

    Returns the number of the step to go on with: `last`, or the first whose cost or update is not finite. w and b are
    then as that step found them.
    """
    rows, inputs = x.shape
    outputs = y.shape[1]
    width = lanes(x)
    at = 0
    x_pad, at = matrix_at(memory, at, rows, width), at + rows * width
    x_t, at = matrix_at(memory, at, inputs, width), at + inputs * width
    y_t, at = matrix_at(memory, at, outputs, width), at + outputs * width
    delta_row, at = matrix_at(memory, at, 1, width), at + width
    w_t, at = matrix_at(memory, at, outputs, width), at + outputs * width
    new_w_t, at = matrix_at(memory, at, outputs, width), at + outputs * width
    clear(matrix_at(memory, 0, 1, at))
    b_row, at = matrix_at(memory, at, 1, outputs), at + outputs
    new_b = matrix_at(memory, at, 1, outputs)

    for row in range(rows):
        store(x_pad, row, 0, load_some(block(x, row, 0, 1, inputs), 0, 0, inputs))
    transpose(block(x, 0, 0, rows, inputs), x_t)
    transpose(block(y, 0, 0, rows, outputs), y_t)
    transpose(block(w, 0, 0, inputs, outputs), w_t)
    for o in range(outputs):
        store_some(b_row, 0, o, broadcast(block(b, 0, o, 1, 1), 0, 0), 1)

    rates = learning_rate, bias_rate
    step = first
    while step < last:
        squares = zero_sums(x)
        zero = fill(x_pad, 0.0)
        for o in range(outputs):
            squares, zero = _step_of_output(
                o, x_pad, x_t, y_t, delta_row, (w_t, b_row), (new_w_t, new_b), rates, squares, zero
            )
        cost = sum_lanes(squares)
        costs[step] = cost
        if not np.isfinite(cost):
            break
        if step < updates:
            if sum_lanes(zero) != 0.0:
                break
            w_t, new_w_t = new_w_t, w_t
            b_row, new_b = new_b, b_row
        step += 1

    transpose(block(w_t, 0, 0, outputs, inputs), block(w, 0, 0, inputs, outputs))
    for o in range(outputs):
        store_some(block(b, 0, o, 1, 1), 0, 0, broadcast(b_row, 0, o), 1)
    return step
