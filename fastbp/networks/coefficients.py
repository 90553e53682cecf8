"""An optimizer in numbers, as the kernels want it: the rule of its updates, and the coefficients of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp import schedules
from fastbp.contract import FloatArray
from fastbp.kernels import updates
from fastbp.optimizers import SGD, Adam, AdamW, Optimizer


def rule_of(optimizer: Optimizer) -> int:
    """The kernels' rule of an optimizer."""
    if isinstance(optimizer, Adam):
        return updates.ADAM
    if not optimizer.momentum:
        return updates.SGD
    return updates.NESTEROV if optimizer.nesterov else updates.MOMENTUM


@np.errstate(all="ignore")  # what is beyond the dtype is inf, and training diverges; powers of a beta fade to 0
def coefficients_of(optimizer: Optimizer, first: int, count: int, dtype: np.dtype[Any]) -> FloatArray:
    """What the updates first ... first + count - 1 take, a row each."""
    rates: Any = optimizer.learning_rate
    if not isinstance(rates, float):
        rates = np.array(schedules.rates(rates, first, count))
    # What all updates have in common, first in a list: a column of the array would take as long as all of them.
    row = [0.0] * updates.COEFFICIENTS
    row[updates.SCALE] = row[updates.SHRINK] = 1.0
    coefficients = np.empty((count, updates.COEFFICIENTS), dtype)
    if isinstance(optimizer, SGD):
        row[updates.MOMENTUM_OF_SGD], row[updates.DECAY] = optimizer.momentum, optimizer.weight_decay
        coefficients[...] = row
        coefficients[:, updates.RATE] = rates
        return coefficients
    row[updates.ONE_MINUS_BETA1], row[updates.ONE_MINUS_BETA2] = 1 - optimizer.beta1, 1 - optimizer.beta2
    row[updates.EPSILON] = optimizer.epsilon
    if not isinstance(optimizer, AdamW):
        row[updates.DECAY] = optimizer.weight_decay
    coefficients[...] = row
    if isinstance(optimizer, AdamW):
        coefficients[:, updates.SHRINK] = 1 - rates * optimizer.weight_decay
    t = np.arange(first + 1, first + count + 1)
    coefficients[:, updates.ROOT] = 1 / np.sqrt(1 - optimizer.beta2**t)
    coefficients[:, updates.RATE] = rates / (1 - optimizer.beta1**t)
    return coefficients
