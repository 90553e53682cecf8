"""The activations of a layer and their slopes, on blocks of numbers: (outputs, rows), which softmax wants.

All others take each number by itself, so that `direct` has them for (rows, outputs), too.

A slope is told from the output alone, so that no pre-activation is kept:

    identity 1    sigmoid y (1 - y)    tanh 1 - y^2    relu 1 if y > 0    leaky_relu 1 if y > 0, else 0.01
"""

from __future__ import annotations

from fastbp.kernels.functions import exp_of_negative, sigmoid, tanh
from fastbp.kernels.jit import inlined, kernel
from fastbp.tiles.operations import fill, lanes, load, maximum, multiply_add, store, where_negative

# The codes of the activations.
IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, SOFTMAX = range(6)

# Of leaky_relu, below 0: once more, since kernels import nothing but tiles; a test compares it with `architecture`.
LEAKY_SLOPE = 0.01


@kernel
def activate(activation, y):
    """y = g(a), in the place of a."""
    lines, columns = y.shape
    if activation == SOFTMAX:
        softmax(y, y)
    elif activation == SIGMOID:
        for line in range(lines):
            for column in range(0, columns, lanes(y)):
                store(y, line, column, sigmoid(load(y, line, column)))
    elif activation == TANH:
        for line in range(lines):
            for column in range(0, columns, lanes(y)):
                store(y, line, column, tanh(load(y, line, column)))
    elif activation != IDENTITY:
        for line in range(lines):
            for column in range(0, columns, lanes(y)):
                # Without + 0.0 LLVM stores only the lanes that change, with a mask: 12 cycles on a Zen 3 instead of 1.
                a = load(y, line, column) + 0.0
                g = where_negative(a, 0.0, a) if activation == RELU else where_negative(a, LEAKY_SLOPE * a, a)
                store(y, line, column, g)


@inlined
def largest_of(a_t, row):
    """The largest of the outputs, in each of some rows."""
    largest = load(a_t, 0, row)
    for o in range(1, a_t.shape[0]):
        largest = maximum(largest, load(a_t, o, row))
    return largest


@inlined
def added(total, lost, number):
    """total + number, rounded, and what rounding has lost of this and earlier sums: Knuth's TwoSum.

    Of 10000 equal outputs a sum in float32 is else 4e-5 off, and beside a 1 what is below 6e-8 is nothing.
    """
    new = total + number
    of_number = new - total
    return new, lost + ((total - (new - of_number)) + (number - of_number))


@kernel
def softmax(a_t, y_t):
    """y = e^(a - m) / the sum of e^(a - m) over the outputs, where m is the largest a of the row."""
    outputs, rows = a_t.shape
    for row in range(0, rows, lanes(a_t)):
        largest = largest_of(a_t, row)
        total = lost = fill(a_t, 0.0)
        for o in range(outputs):
            y = exp_of_negative(load(a_t, o, row) - largest)
            total, lost = added(total, lost, y)
            store(y_t, o, row, y)
        total = total + lost
        for o in range(outputs):
            store(y_t, o, row, load(y_t, o, row) / total)


@kernel
def times_slope(activation, y, delta):
    """delta = g'(a) dC/dy, in the place of dC/dy."""
    lines, columns = y.shape
    if activation == SOFTMAX:  # dy_i/da_j = y_i ((i = j) - y_j)
        for column in range(0, columns, lanes(y)):
            total = fill(y, 0.0)
            for line in range(lines):
                total = multiply_add(load(y, line, column), load(delta, line, column), total)
            for line in range(lines):
                store(delta, line, column, load(y, line, column) * (load(delta, line, column) - total))
    elif activation != IDENTITY:
        for line in range(lines):
            for column in range(0, columns, lanes(y)):
                g = load(y, line, column)
                if activation == SIGMOID:
                    slope = g * (1.0 - g)
                elif activation == TANH:
                    slope = 1.0 - g * g
                else:
                    slope = where_negative(-g, 1.0, LEAKY_SLOPE if activation == LEAKY_RELU else 0.0)
                store(delta, line, column, slope * load(delta, line, column))
