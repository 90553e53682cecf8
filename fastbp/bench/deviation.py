"""How far what an implementation learns is from what the reference does: the check before the clock.

After a few calls from the same start, every w and b must have moved as the reference's have, to within a part of the
largest move, and the cost or loss must agree to within that part of itself. The bound on a move is what makes the check
sharp: learning rates are small, and weights that never moved would be close to the truth.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from .cases import FloatArray

# (w, b) of each layer.
Parameters = list[tuple[FloatArray, FloatArray]]


class Started(Protocol):
    """A problem, with what training starts from."""

    @property
    def parameters(self) -> Parameters: ...


class Trained(NamedTuple):
    """Where training went: the parameters as they are now, in float64, and the cost or loss before the last update."""

    parameters: Parameters
    loss: float


def result_of(parameters: Any, loss: Any) -> Trained:
    """What a library's own arrays hold now."""
    return Trained([(_float64(w), _float64(b)) for w, b in parameters], float(loss))


def _float64(array: Any) -> FloatArray:
    return np.array(np.asarray(array), np.float64)


def deviation(result: Trained, expected: Trained, problem: Started) -> float:
    """The largest error of any w, b and the loss, relative to how far it moved or to the loss; inf for a nan."""
    errors = [_relative(abs(result.loss - expected.loss), abs(expected.loss))]
    for got, wanted, start in zip(result.parameters, expected.parameters, problem.parameters, strict=True):
        for array, right, before in zip(got, wanted, start, strict=True):
            if array.shape != right.shape:
                return float("inf")
            errors.append(_relative(float(np.abs(array - right).max()), float(np.abs(right - before).max())))
    return max(errors) if np.isfinite(errors).all() else float("inf")


def _relative(error: float, size: float) -> float:
    """An error in parts of a size; none is none, also of nothing."""
    if error == 0:
        return 0.0
    return error / size if size else float("inf")
