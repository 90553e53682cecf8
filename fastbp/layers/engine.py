"""The functions of the API on checked arrays: what each of them asks of the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np

from fastbp import contract
from fastbp.contract import FloatArray
from fastbp.kernels import elementwise, sigmoid_layer
from fastbp.layers import call
from fastbp.layers.call import Call, Progress, TinyCall
from fastbp.threads import threads_of_call

# Numbers whose sigmoid, or square, one kernel call takes: 17 to 49 ms here, by the dtype.
ELEMENTS_OF_CALL = 1 << 24


def _take(purpose: int, x: FloatArray, w: FloatArray, *, update: bool, last_cost: bool = False) -> Call | TinyCall:
    rows, inputs = x.shape
    return call.take(purpose, update, last_cost, rows, inputs, w.shape[1], w.dtype, threads_of_call())


def _call(purpose: int, x: FloatArray, w: FloatArray, *, update: bool) -> Call:
    """One that is not tiny: these are for training alone."""
    return cast(Call, _take(purpose, x, w, update=update))


def _bias_rate(learning_rate: float, x: FloatArray, mean: bool) -> float:
    return learning_rate / x.shape[0] if mean else learning_rate


def forward(x: FloatArray, w: FloatArray, b: FloatArray) -> FloatArray:
    """y_pred, new."""
    y_pred = np.empty((x.shape[0], w.shape[1]), w.dtype)
    mine = _call(sigmoid_layer.FORWARD, x, w, update=False)
    mine.carry_out(x, y_pred, w, b, y_pred=y_pred)
    if not mine.finite_x:
        contract.finite("x", x)
    call.give_back(mine)
    return y_pred


def gradients(x: FloatArray, y: FloatArray, w: FloatArray, b: FloatArray, mean: bool) -> contract.Gradients:
    """The gradients and the cost, new."""
    mine = _call(sigmoid_layer.GRADIENTS, x, w, update=False)
    # On few rows, what is kept is what a step adds to 0: these are the gradients at a rate of -1.
    cost = float(mine.carry_out(x, y, w, b, learning_rate=-1.0, bias_rate=-1.0)[0])
    grad_w, grad_b = mine.gradients()
    result = contract.Gradients(np.array(grad_w, order="C"), grad_b / (x.shape[0] if mean else 1), cost)
    call.give_back(mine)
    if not (np.isfinite(result.w).all() and np.isfinite(result.b).all()):
        contract.raise_diverged(x, y, w, b, None)
    return result


def backward(
    x: FloatArray, y_pred: FloatArray, y: FloatArray, w: FloatArray, b: FloatArray, learning_rate: float, mean: bool
) -> None:
    mine = _call(sigmoid_layer.BACKWARD, x, w, update=True)
    bias_rate = _bias_rate(learning_rate, x, mean)
    mine.carry_out(x, y, w, b, y_pred=y_pred, learning_rate=learning_rate, bias_rate=bias_rate)
    call.give_back(mine)


def train(
    x: FloatArray,
    y: FloatArray,
    w: FloatArray,
    b: FloatArray,
    learning_rate: float,
    steps: int,
    mean: bool,
    *,
    last_cost: bool,
    progress: Progress | None = None,
) -> FloatArray:
    """The costs of `steps` steps, and with `last_cost` the cost after them."""
    if steps == 0:
        contract.finite("x", x)  # no gradient will tell
    bias_rate = _bias_rate(learning_rate, x, mean)
    mine = _take(sigmoid_layer.GRADIENTS, x, w, update=True, last_cost=last_cost)
    costs = mine.carry_out(x, y, w, b, learning_rate=learning_rate, bias_rate=bias_rate, steps=steps, progress=progress)
    call.give_back(mine)
    return costs


def sigmoid(x: FloatArray, *, gradient: bool) -> FloatArray:
    result = np.empty_like(x)
    apply_sigmoid = elementwise.apply_sigmoid.for_dtype(x.dtype)
    for some, some_of_result in zip(_in_calls(x), _in_calls(result), strict=True):
        apply_sigmoid(some, some_of_result, gradient)
    return result[()]


def sum_of_squares(y_pred: FloatArray, y: FloatArray) -> float:
    of_call = elementwise.sum_of_squares.for_dtype(y.dtype)
    return float(sum(of_call(*some) for some in zip(_in_calls(y_pred), _in_calls(y), strict=True)))


def _in_calls(array: FloatArray) -> Iterator[FloatArray]:
    """The numbers of an array, as many at a time as a kernel call is to have: Ctrl-C waits for its end."""
    row = array.reshape(1, -1)
    for first in range(0, row.shape[1], ELEMENTS_OF_CALL):
        yield row[:, first : first + ELEMENTS_OF_CALL]
