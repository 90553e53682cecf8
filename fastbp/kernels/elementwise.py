"""The sigmoid and the cost of whole arrays, as one row of numbers each."""

from __future__ import annotations

from fastbp.kernels.functions import sigmoid
from fastbp.kernels.jit import entry, example_matrices
from fastbp.tiles.operations import add_products, block, lanes, load_some, store_some, sum_lanes, zero_sums


def _of_sigmoid(dtype):
    matrix, _, _ = example_matrices(dtype)
    return matrix, matrix, False


@entry(_of_sigmoid)
def apply_sigmoid(x, result, gradient):
    """result = g(x), or g(x) (1 - g(x)), eq. 1; both (1, size)."""
    size = x.shape[1]
    source = block(x, 0, 0, 1, size)
    target = block(result, 0, 0, 1, size)
    for i in range(0, size, lanes(source)):
        g = sigmoid(load_some(source, 0, i, size - i))
        if gradient:
            g = g * (1.0 - g)
        store_some(target, 0, i, g, size - i)


def _of_squares(dtype):
    matrix, _, _ = example_matrices(dtype)
    return matrix, matrix


@entry(_of_squares)
def sum_of_squares(y_pred, y):
    """sum((y_pred - y)^2), eq. 13, both (1, size)."""
    size = y.shape[1]
    first = block(y_pred, 0, 0, 1, size)
    second = block(y, 0, 0, 1, size)
    squares = zero_sums(first)
    for i in range(0, size, lanes(first)):
        error = load_some(first, 0, i, size - i) - load_some(second, 0, i, size - i)
        squares = add_products(squares, error, error)
    return sum_lanes(squares)
