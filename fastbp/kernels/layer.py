"""The sigmoid layer on one panel of rows: forward, cost, delta, gradients.

Everything is held transposed, so that the rows of a batch lie along the lanes of a vector: no lane is ever idle
because there are few outputs, and both products are the same loops (`add_product`).

    x (rows, inputs)            the panel in the caller's memory
    x_t (inputs, rows)          the panel, transposed
    w_t (outputs, inputs), b (1, outputs)
    y_t, y_pred_t, delta_t      (outputs, rows)
    gradient_t (outputs, inputs), bias_gradient (outputs, lanes)

Blocks of fastbp's own are padded to whole vectors along their rows. What stands in the padding is never used.
"""

from __future__ import annotations

from fastbp.kernels.jit import kernel
from fastbp.kernels.matmul import add_product
from fastbp.tiles.functions import sigmoid
from fastbp.tiles.operations import (
    add_squares,
    block,
    broadcast,
    keep,
    lanes,
    load,
    store,
    transpose_some,
    transpose_square,
)


@kernel
def transpose(source, target):
    """target = source^T."""
    rows, columns = source.shape
    for row in range(0, rows, lanes(source)):
        for column in range(0, columns, lanes(source)):
            if row + lanes(source) <= rows and column + lanes(source) <= columns:
                transpose_square(source, row, column, target)
            else:
                transpose_some(source, row, column, target)


@kernel
def predict(x, w_t, b, x_t, y_pred_t):
    """y_pred^T = g(w^T x^T + b^T): eqs. 4 and 9, transposed."""
    rows, inputs = x.shape
    outputs = w_t.shape[0]
    transpose(x, x_t)
    for o in range(outputs):
        for row in range(0, rows, lanes(x)):
            store(y_pred_t, o, row, broadcast(b, 0, o))
    add_product(y_pred_t, w_t, block(x_t, 0, 0, inputs, rows))
    for o in range(outputs):
        for row in range(0, rows, lanes(x)):
            store(y_pred_t, o, row, sigmoid(load(y_pred_t, o, row)))


@kernel
def cost_and_delta(y, y_t, y_pred_t, cost, bias_gradient):
    """C += sum((y_pred - y)^2), eq. 13; y_pred becomes delta = y_pred (1 - y_pred) 2 (y_pred - y); eq. 27 is its sum."""
    rows, outputs = y.shape
    transpose(y, y_t)
    total = load(cost, 0, 0)
    for o in range(outputs):
        delta_sum = load(bias_gradient, o, 0)
        for row in range(0, rows, lanes(y)):
            y_pred = load(y_pred_t, o, row)
            error = keep(y_pred - load(y_t, o, row), rows - row)
            total = add_squares(total, error)
            delta = y_pred * (1.0 - y_pred) * (2.0 * error)
            delta_sum = delta_sum + delta
            store(y_pred_t, o, row, delta)
        store(bias_gradient, o, 0, delta_sum)
    store(cost, 0, 0, total)


@kernel
def add_gradient(gradient_t, delta_t, x):
    """(dC/dw)^T += delta^T x: eq. 26, transposed."""
    add_product(gradient_t, delta_t, x)
