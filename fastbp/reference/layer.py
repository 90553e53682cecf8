"""The sigmoid layer in NumPy, on one page: what fastbp computes, in the words of the mathematics.

Shapes: x (rows, inputs), y and y_pred (rows, outputs), w (inputs, outputs), b (outputs,); float32 or float64.
Equations are numbered as in the article this library starts from ("Backpropagation, part two", 2019):

    a = x w + b           (4)       y_pred = g(a)                      (9)
    g(a) = 1 / (1 + e^-a) (1)       C = sum((y_pred - y)^2)           (13)
    delta = g'(a) * 2 (y_pred - y)  dC/dw = x^T delta (26)  dC/db = delta (27)

The article sums dC/dw over the rows of a batch but takes the mean of dC/db: `bias_reduction="mean"`, the default.
`bias_reduction="sum"` is the exact gradient of C. `fastbp` has the same functions, fused into single passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp import contract
from fastbp.contract import BiasReduction, FloatArray, Gradients

__all__ = [
    "Gradients",
    "backward",
    "cost",
    "cost_gradient",
    "forward",
    "gradients",
    "sigmoid",
    "sigmoid_gradient",
    "step",
    "train",
]


# Overflow is not silenced but expected: e^-a is inf where g(a) is 0, and `_step` looks at what comes out.
_quiet = np.errstate(over="ignore", under="ignore", invalid="ignore")


@_quiet
def sigmoid(x: Any) -> FloatArray:
    """g(x) = 1 / (1 + e^-x), eq. 1, elementwise for any shape; 0 and 1 at -inf and inf, nan at nan."""
    g: FloatArray = 1 / (1 + np.exp(-contract.real_array("x", x)))
    return g


@_quiet
def sigmoid_gradient(x: Any) -> FloatArray:
    """g'(x) = g(x) (1 - g(x)), eq. 1, elementwise for any shape."""
    g = sigmoid(x)
    gradient: FloatArray = g * (1 - g)
    return gradient


def cost(y_pred: Any, y: Any) -> float:
    """C = sum((y_pred - y)^2), eq. 13, summed in float64."""
    return _cost(*contract.pair(y_pred, y))


@_quiet
def cost_gradient(y_pred: Any, y: Any) -> FloatArray:
    """dC/dy_pred = 2 (y_pred - y), eq. 14, elementwise for any shape."""
    predicted, wanted = contract.pair(y_pred, y)
    return 2 * (predicted - wanted)


def forward(x: Any, w: Any, b: Any) -> FloatArray:
    """y_pred = g(x w + b), eqs. 4 and 9: shape (rows, outputs)."""
    w, b = contract.weights(w, b, updated=False)
    x = contract.finite("x", contract.rows_of_x(x, w))
    return _predict(x, w, b)


def gradients(x: Any, y: Any, w: Any, b: Any, *, bias_reduction: BiasReduction = "mean") -> Gradients:
    """dC/dw (eq. 26), dC/db (eq. 27, its mean or sum over the rows) and C (eq. 13)."""
    mean = contract.mean_of_bias(bias_reduction)
    w, b = contract.weights(w, b, updated=False)
    x = contract.rows_of_x(x, w)
    y = contract.rows_of_y("y", y, x, w)
    y_pred = _predict(x, w, b)
    result = Gradients(*_gradients(x, y_pred, y, mean), _cost(y_pred, y))
    if not all(np.isfinite(part).all() for part in result):
        contract.raise_diverged(x, y, w, b, None)
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
    """Update w and b in place by one step of gradient descent from the outputs y_pred of `forward`."""
    mean = contract.mean_of_bias(bias_reduction)
    w, b = contract.weights(w, b, updated=True)
    x, y_pred, y = contract.apart(w, b, x=x, y_pred=y_pred, y=y)
    x = contract.rows_of_x(x, w)
    y_pred = contract.finite("y_pred", contract.rows_of_y("y_pred", y_pred, x, w))
    y = contract.rows_of_y("y", y, x, w)
    rate = contract.rate(learning_rate, w.dtype)
    if not (np.isfinite(_cost(y_pred, y)) and _update(w, b, *_gradients(x, y_pred, y, mean), rate)):
        contract.raise_diverged(x, y, w, b, 0)


def step(
    x: Any,
    y: Any,
    w: Any,
    b: Any,
    *,
    learning_rate: float = 0.1,
    bias_reduction: BiasReduction = "mean",
) -> float:
    """One step of gradient descent: the cost before the update; w and b are updated in place."""
    mean = contract.mean_of_bias(bias_reduction)
    x, y, w, b = contract.for_training(x, y, w, b)
    rate = contract.rate(learning_rate, w.dtype)
    return _step(x, y, w, b, rate, mean, 0)


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
    """`steps` steps of gradient descent; costs of shape (steps + 1,), where costs[i] is the cost after i updates."""
    mean = contract.mean_of_bias(bias_reduction)
    steps = contract.step_count(steps)
    progress = contract.flag("progress", progress)
    x, y, w, b = contract.for_training(x, y, w, b)
    rate = contract.rate(learning_rate, w.dtype)

    from tqdm import tqdm  # a tenth of a second that an import of fastbp does without

    costs = np.empty(steps + 1)
    for i in tqdm(range(steps), desc="train", unit="step", disable=not progress):
        costs[i] = _step(x, y, w, b, rate, mean, i)
    if steps == 0:  # the cost alone can hide an infinite x, where the sigmoid is 0 or 1; a gradient never does
        contract.finite("x", x)
    costs[steps] = _cost(_predict(x, w, b), y)
    if not np.isfinite(costs[steps]):
        contract.raise_diverged(x, y, w, b, steps)
    return costs


@_quiet
def _predict(x: FloatArray, w: FloatArray, b: FloatArray) -> FloatArray:
    y_pred: FloatArray = 1 / (1 + np.exp(-(x @ w + b)))
    return y_pred


@_quiet
def _cost(y_pred: FloatArray, y: FloatArray) -> float:
    return float(np.sum(np.subtract(y_pred, y, dtype=np.float64) ** 2))


@_quiet
def _gradients(x: FloatArray, y_pred: FloatArray, y: FloatArray, mean: bool) -> tuple[FloatArray, FloatArray]:
    delta = y_pred * (1 - y_pred) * (2 * (y_pred - y))
    return x.T @ delta, delta.mean(axis=0) if mean else delta.sum(axis=0)


@_quiet
def _update(w: FloatArray, b: FloatArray, grad_w: FloatArray, grad_b: FloatArray, learning_rate: float) -> bool:
    """Move w and b against their gradients, if the result is finite."""
    new_w, new_b = w - learning_rate * grad_w, b - learning_rate * grad_b
    good = bool(np.isfinite(new_w).all() and np.isfinite(new_b).all())
    if good:
        w[:], b[:] = new_w, new_b
    return good


def _step(
    x: FloatArray, y: FloatArray, w: FloatArray, b: FloatArray, learning_rate: float, mean: bool, number: int
) -> float:
    y_pred = _predict(x, w, b)
    cost = _cost(y_pred, y)
    if not (np.isfinite(cost) and _update(w, b, *_gradients(x, y_pred, y, mean), learning_rate)):
        contract.raise_diverged(x, y, w, b, number)
    return cost
