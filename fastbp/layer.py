"""The sigmoid layer, fused: the functions of `fastbp.reference`, checked here and carried out by the kernels.

Shapes: x (rows, inputs), y and y_pred (rows, outputs), w (inputs, outputs), b (outputs,); float32 or float64. x and y
may be anything that NumPy makes a matrix of real numbers of; they are converted once, to the dtype of w. An array x of
the other float dtype is refused: w and b are wanted in the dtype of the data. What is wrong with an argument is a
TypeError or ValueError that names it, before anything is changed. A learning rate is positive and finite. A cost,
gradient or update that is not finite is a FloatingPointError, and w and b are as they were before it.

Measured beside NumPy, PyTorch and JAX by `fastbp bench`; equations as in `fastbp.reference`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from fastbp import contract
from fastbp.contract import BiasReduction, FloatArray
from fastbp.imports import imported_whole

_engine = functools.partial(imported_whole, "fastbp.layers.engine")


def sigmoid(x: Any) -> FloatArray:
    """g(x) = 1 / (1 + e^-x), eq. 1, elementwise for any shape; 0 and 1 at -inf and inf, nan at nan.

    Of the dtype of x if that is float32 or float64, else float64; a scalar gives a NumPy scalar. Off by at most 2 units
    in the last place; where it is no normal number (x below -87 or -708), 0 or near it.
    """
    result: FloatArray = _engine().sigmoid(contract.real_array("x", x), gradient=False)
    return result


def sigmoid_gradient(x: Any) -> FloatArray:
    """g'(x) = g(x) (1 - g(x)), eq. 1, elementwise for any shape; dtypes as in `sigmoid`."""
    result: FloatArray = _engine().sigmoid(contract.real_array("x", x), gradient=True)
    return result


def cost(y_pred: Any, y: Any) -> float:
    """C = sum((y_pred - y)^2), eq. 13, of two arrays of one shape, whatever it is; summed in float64.

    A ValueError names the one that is empty, or has another shape, or an element that is not finite.
    """
    total: float = _engine().sum_of_squares(*contract.pair(y_pred, y))
    return total


def cost_gradient(y_pred: Any, y: Any) -> FloatArray:
    """dC/dy_pred = 2 (y_pred - y), eq. 14, elementwise for any shape, which both share; inf beyond the dtype.

    float32 if both are, else float64. Errors as in `cost`.
    """
    y_pred, y = contract.pair(y_pred, y)
    with np.errstate(over="ignore"):
        difference: FloatArray = np.subtract(y_pred, y, out=np.empty_like(y_pred))
        doubled: FloatArray = np.multiply(difference, 2, out=difference)[()]
        return doubled


def forward(x: Any, w: Any, b: Any) -> FloatArray:
    """y_pred = g(x w + b), eqs. 4 and 9: (rows, outputs), of the dtype of w.

    x: (rows, inputs), real numbers; a float array must have the dtype of w. w: (inputs, outputs) and b: (outputs,),
    float32 or float64. A TypeError or ValueError names the argument that cannot be used.
    """
    w, b = contract.weights(w, b, updated=False)
    y_pred: FloatArray = _engine().forward(contract.rows_of_x(x, w), w, b)
    return y_pred


def gradients(x: Any, y: Any, w: Any, b: Any, *, bias_reduction: BiasReduction = "mean") -> contract.Gradients:
    """dC/dw (eq. 26), dC/db (eq. 27, its mean or sum over the rows) and C (eq. 13): Gradients(w, b, cost).

    x: (rows, inputs); a float array must have the dtype of w. y: (rows, outputs). w: (inputs, outputs) and b:
    (outputs,), float32 or float64, as are the gradients, which have their shapes. A TypeError or ValueError names the
    argument that cannot be used; a FloatingPointError is raised if a result is not finite.
    """
    mean = contract.mean_of_bias(bias_reduction)
    w, b = contract.weights(w, b, updated=False)
    x = contract.rows_of_x(x, w)
    y = contract.rows_of_y("y", y, x, w)
    result: contract.Gradients = _engine().gradients(x, y, w, b, mean)
    return result


def backward(
    x: Any,
    y_pred: Any,
    y: Any,
    w: Any,
    b: Any,
    *,
    learning_rate: float = 0.1,
    bias_reduction: BiasReduction = "mean",
) -> None:
    """Update w and b in place by one step of gradient descent (eqs. 26 and 27) from the outputs y_pred of `forward`.

    x: (rows, inputs); a float array must have the dtype of w. y_pred and y: (rows, outputs). w: (inputs, outputs) and
    b: (outputs,), writeable, C-contiguous float32 or float64. A TypeError or ValueError names the argument that cannot
    be used; a FloatingPointError is raised if the update is not finite. w and b are then as they were.
    """
    mean = contract.mean_of_bias(bias_reduction)
    w, b = contract.weights(w, b, updated=True)
    x, y_pred, y = contract.apart(w, b, x=x, y_pred=y_pred, y=y)
    x = contract.rows_of_x(x, w)
    y_pred = contract.finite("y_pred", contract.rows_of_y("y_pred", y_pred, x, w))
    y = contract.rows_of_y("y", y, x, w)
    rate = contract.rate(learning_rate, w.dtype)
    _engine().backward(x, y_pred, y, w, b, rate, mean)


def step(
    x: Any,
    y: Any,
    w: Any,
    b: Any,
    *,
    learning_rate: float = 0.1,
    bias_reduction: BiasReduction = "mean",
) -> float:
    """One step of gradient descent (eqs. 26 and 27): the cost before it (eq. 13); w and b are updated in place.

    x: (rows, inputs); a float array must have the dtype of w. y: (rows, outputs). w: (inputs, outputs) and b:
    (outputs,), writeable, C-contiguous float32 or float64. A TypeError or ValueError names the argument that cannot be
    used; a FloatingPointError is raised if the cost or the update is not finite. w and b are then as they were.
    """
    mean = contract.mean_of_bias(bias_reduction)
    x, y, w, b = contract.for_training(x, y, w, b)
    rate = contract.rate(learning_rate, w.dtype)
    return float(_engine().train(x, y, w, b, rate, 1, mean, last_cost=False)[0])


def train(
    x: Any,
    y: Any,
    w: Any,
    b: Any,
    *,
    learning_rate: float = 0.1,
    steps: int = 1000,
    bias_reduction: BiasReduction = "mean",
    progress: bool = False,
) -> FloatArray:
    """`steps` steps of gradient descent; costs (steps + 1,) float64, where costs[i] is the cost after i updates.

    Arguments are those of `step`, and so are the errors. Ctrl-C leaves w and b as the last whole step left them. A step
    whose cost or update is not finite is not taken: FloatingPointError names it, and w and b hold the last finite
    state. `progress` shows a bar with the cost.
    """
    mean = contract.mean_of_bias(bias_reduction)
    steps = contract.step_count(steps)
    progress = contract.flag("progress", progress)
    x, y, w, b = contract.for_training(x, y, w, b)
    rate = contract.rate(learning_rate, w.dtype)
    if not progress:
        costs: FloatArray = _engine().train(x, y, w, b, rate, steps, mean, last_cost=True)
        return costs

    from tqdm import tqdm

    with tqdm(total=steps, desc="train", unit="step") as bar:

        def show(done: int, costs: FloatArray) -> None:
            if done:
                bar.set_postfix(cost=f"{costs[done - 1]:.6g}", refresh=False)
            bar.update(done - bar.n)

        costs = _engine().train(x, y, w, b, rate, steps, mean, last_cost=True, progress=show)
    return costs
