"""The sigmoid layer on one panel of rows: forward, cost, delta, and the update.

In `many_rows` everything is held transposed, so that the rows of a batch lie along the lanes of a vector: no lane is
idle because there are few outputs. In `few_rows`, where the outputs lie along them, nothing is.

    x (rows, inputs)                        the panel, in the caller's memory
    x_t (inputs, rows)                      the panel, transposed
    w_t (outputs, inputs), b (1, outputs)
    y_t, y_pred_t, delta_t (outputs, rows)
    gradient_t (outputs, inputs), bias_gradient (outputs, lanes), whose lanes are still to be summed

Blocks of fastbp's own are padded to whole vectors along their rows. What stands in the padding is never used.
"""

from __future__ import annotations

from fastbp.kernels.blocks import watched
from fastbp.kernels.functions import sigmoid
from fastbp.kernels.jit import inlined, kernel
from fastbp.tiles.operations import (
    add_products,
    broadcast,
    fill,
    keep,
    lanes,
    load,
    multiply_add,
    store,
    store_some,
    sum_lanes,
)

# What rows are gone through for: y_pred, their cost, or gradients; these from x, or from y_pred (BACKWARD).
FORWARD, COST, BACKWARD, GRADIENTS = range(4)


@inlined
def wants_gradient(purpose):
    """Whether it is one of the last two."""
    return purpose > COST


@kernel
def spread(b, y_pred_t, rows):
    """a^T = b^T in every row: where eq. 4 begins."""
    for o in range(b.shape[1]):
        for row in range(0, rows, lanes(b)):
            store(y_pred_t, o, row, broadcast(b, 0, o))


@kernel
def to_delta(purpose, y, y_pred, columns, cost, sums):
    """In the place of a: y_pred (FORWARD), or delta, whose cost is added to another; BACKWARD begins with y_pred.

    Matrices are (outputs, rows) in `many_rows`, where the sums of the lines of delta are dC/db, and (rows, outputs) in
    `few_rows`, where they are nothing. `columns` are those that count: what pads them does not.
    """
    if purpose != BACKWARD:
        _activate(y_pred, sums.shape[0], columns)
    if purpose != FORWARD:
        _cost_and_delta(y, y_pred, columns, cost, sums)


@inlined
def _activate(a, lines, columns):
    """y_pred = g(a), eq. 9, in the place of a."""
    for line in range(lines):
        for column in range(0, columns, lanes(a)):
            store(a, line, column, sigmoid(load(a, line, column)))


@inlined
def _cost_and_delta(y, y_pred, columns, cost, sums):
    """C += sum((y_pred - y)^2), eq. 13, and y_pred becomes delta = y_pred (1 - y_pred) 2 (y_pred - y), eqs. 1 and 14.

    Only the last vector of a line may hold padding: to keep it out of all of them cost 10000 x 32 -> 10 in float64 7 %.
    """
    total = load(cost, 0, 0)
    whole = columns - columns % lanes(y)
    for line in range(sums.shape[0]):
        sum_of_line = load(sums, line, 0)
        for column in range(0, whole, lanes(y)):
            prediction = load(y_pred, line, column)
            error = prediction - load(y, line, column)
            delta = _delta_of(prediction, error)
            store(y_pred, line, column, delta)
            sum_of_line = sum_of_line + delta
            total = add_products(total, error, error)
        if whole < columns:
            prediction = load(y_pred, line, whole)
            error = keep(prediction - load(y, line, whole), columns - whole)
            delta = keep(_delta_of(prediction, error), columns - whole)
            store(y_pred, line, whole, delta)
            sum_of_line = sum_of_line + delta
            total = add_products(total, error, error)
        store(sums, line, 0, sum_of_line)
    store(cost, 0, 0, total)


@inlined
def _delta_of(y_pred, error):
    return y_pred * (1.0 - y_pred) * (error + error)


@inlined
def _new_weights(w, gradient, learning_rate, new_w):
    """new_w = w - learning_rate gradient. True if every new number is finite."""
    zero = other = fill(w, 0.0)
    for row in range(w.shape[0]):
        for column in range(0, w.shape[1], lanes(w)):
            new = multiply_add(-learning_rate, load(gradient, row, column), load(w, row, column))
            store(new_w, row, column, new)
            zero, other = watched(new, other), zero  # in turn: each waits for the one before it
    return sum_lanes(zero + other) == 0.0


@kernel
def descend(w_t, b, gradient_t, bias_gradient, learning_rate, bias_rate, new_w_t, new_b):
    """new_w = w - learning_rate dC/dw, new_b = b - bias_rate dC/db. True if every new number is finite."""
    good = _new_weights(w_t, gradient_t, learning_rate, new_w_t)
    for o in range(w_t.shape[0]):
        new = multiply_add(-bias_rate, fill(b, sum_lanes(load(bias_gradient, o, 0))), broadcast(b, 0, o))
        good &= sum_lanes(watched(new, fill(b, 0.0))) == 0.0
        store_some(new_b, 0, o, new, 1)
    return good
