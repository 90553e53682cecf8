"""The functions of a network by their names: activations, what goes back through them, and losses.

Shapes: a, p = g(a), d, y_pred and y are all (rows, outputs).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastbp.architecture import LEAKY_SLOPE
from fastbp.contract import FloatArray

# g(a), by name.
ACTIVATED: dict[str, Callable[[FloatArray], FloatArray]] = {
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "leaky_relu": lambda a: np.where(a > 0, a, LEAKY_SLOPE * a),
    "identity": lambda a: a,
    "softmax": lambda a: np.exp(a - _log_of_sum(a)),
}

# delta = dC/da from p = g(a) and d = dC/dp: d g'(a), where g' is a function of p.
DELTA: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "sigmoid": lambda p, d: d * p * (1 - p),
    "tanh": lambda p, d: d * (1 - p**2),
    "relu": lambda p, d: d * (p > 0),
    "leaky_relu": lambda p, d: np.where(p > 0, d, LEAKY_SLOPE * d),
    "identity": lambda p, d: d,
    "softmax": lambda p, d: p * (d - np.sum(d * p, axis=1, keepdims=True)),
}

# What is summed over the outputs of a row, from y_pred = p_L, a = a_L and y.
LOSSES: dict[str, Callable[[FloatArray, FloatArray, FloatArray], FloatArray]] = {
    "squared_error": lambda y_pred, a, y: (y_pred - y) ** 2,
    # -(y log y_pred + (1 - y) log(1 - y_pred))
    "binary_cross_entropy": lambda y_pred, a, y: np.maximum(a, 0) - a * y + np.log1p(np.exp(-abs(a))),
    # -y log y_pred
    "cross_entropy": lambda y_pred, a, y: y * (_log_of_sum(a) - a),
}


def _log_of_sum(a: FloatArray) -> FloatArray:
    """log(sum of e^a over the outputs), (rows, 1); the largest a is taken out, so that no e^a overflows."""
    largest: FloatArray = a.max(axis=1, keepdims=True)
    total: FloatArray = np.sum(np.exp(a - largest), axis=1, keepdims=True)
    return largest + np.log(total)
