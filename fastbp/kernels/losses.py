"""What a network's outputs cost, and dC/da or dC/dy of its last layer, on one panel of rows.

Blocks are held transposed: (outputs, rows). `weight` (1, rows) is what each row counts for: its sample weight divided
by the rows of the batch, and 0 in the padding, where delta thereby is 0 too. Targets y_t are (outputs, rows), or the
class of each row, (1, rows), if they are `labels`. The costs of the rows are summed in float64.
"""

from __future__ import annotations

from fastbp.kernels.activations import added, largest_of
from fastbp.kernels.functions import exp_of_negative, log, sigmoid
from fastbp.kernels.jit import inlined, kernel
from fastbp.tiles.operations import absolute, add_products, fill, lanes, load, maximum, multiply_add, store, where_equal

# The codes of the losses.
SQUARED_ERROR, BINARY_CROSS_ENTROPY, CROSS_ENTROPY = range(3)


@kernel
def squared_error(y_pred_t, y_t, weight, delta_t, cost):
    """C += weight (y_pred - y)^2, eq. 13, and dC/dy_pred = 2 weight (y_pred - y), eq. 14."""
    outputs, rows = y_pred_t.shape
    total = load(cost, 0, 0)
    for row in range(0, rows, lanes(y_t)):
        share = load(weight, 0, row)
        for o in range(outputs):
            error = load(y_pred_t, o, row) - load(y_t, o, row)
            weighted = share * error
            total = add_products(total, weighted, error)
            store(delta_t, o, row, weighted + weighted)
    store(cost, 0, 0, total)


@kernel
def binary_cross_entropy(a_t, y_t, weight, delta_t, cost):
    """C -= weight (y log p + (1 - y) log(1 - p)) with p = g(a), and dC/da = weight (p - y).

    With t = e^-|a|: -y log p - (1 - y) log(1 - p) = max(a, 0) - a y + log(1 + t). With u = 1 + t rounded, log(1 + t)
    is log u + (t - (u - 1)) / u: a small t is not lost.
    """
    outputs, rows = a_t.shape
    total = load(cost, 0, 0)
    for row in range(0, rows, lanes(y_t)):
        share = load(weight, 0, row)
        for o in range(outputs):
            a, y = load(a_t, o, row), load(y_t, o, row)
            t = exp_of_negative(-absolute(a))
            u = 1.0 + t
            value = maximum(a, fill(a_t, 0.0)) - a * y + (log(u) + (t - (u - 1.0)) / u)
            total = add_products(total, share, value)
            store(delta_t, o, row, share * (sigmoid(a) - y))
    store(cost, 0, 0, total)


@inlined
def _target(y_t, labels, o, row):
    """y of output o: as it is given, or 1 for the class of the row and 0 for the others."""
    if labels:
        return where_equal(load(y_t, 0, row), o, 1.0, 0.0)
    return load(y_t, o, row)


@kernel
def cross_entropy(a_t, y_t, labels, weight, delta_t, cost):
    """C -= weight the sum of y log p with p = softmax(a), and dC/da = weight (p (the sum of y) - y).

    -log p = log(the sum of e^(a - m)) - (a - m), where m is the largest a of the row. If its class is nearly certain,
    the sum is 1 and a little, which is what rounding loses: log(u + l) is log u + l / u.
    """
    outputs, rows = a_t.shape
    total = load(cost, 0, 0)
    for row in range(0, rows, lanes(y_t)):
        share = load(weight, 0, row)
        largest = largest_of(a_t, row)
        exps = lost = fill(a_t, 0.0)
        value = fill(a_t, 0.0)
        targets = fill(a_t, 0.0)
        for o in range(outputs):
            a, y = load(a_t, o, row) - largest, _target(y_t, labels, o, row)
            e = exp_of_negative(a)
            exps, lost = added(exps, lost, e)
            value = multiply_add(-a, y, value)
            targets = targets + y
            store(delta_t, o, row, e)
        total = add_products(total, share, multiply_add(log(exps) + lost / exps, targets, value))
        scale = targets / (exps + lost)
        for o in range(outputs):
            delta = multiply_add(scale, load(delta_t, o, row), -_target(y_t, labels, o, row))
            store(delta_t, o, row, share * delta)
    store(cost, 0, 0, total)
