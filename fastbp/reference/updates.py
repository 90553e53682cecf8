"""One update of one parameter: the rules of the optimizers, whose settings are those of `fastbp.optimizers`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastbp.contract import FloatArray
from fastbp.optimizers import SGD, Adam, AdamW, Optimizer


def clipped(gradients: list[FloatArray], clip_norm: float | None) -> list[FloatArray]:
    """g min(1, clip_norm / norm), where norm is that of all gradients together; nan if that is beyond float64."""
    if clip_norm is None:
        return gradients
    norm = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients))
    if norm <= clip_norm:
        return gradients
    share = clip_norm / norm if math.isfinite(norm) else math.nan  # not 0, which would pass for an update
    return [g * share for g in gradients]


def _sgd(optimizer: SGD, step: int, p: FloatArray, g: FloatArray, *slots: FloatArray) -> list[FloatArray]:
    """[p, v] after:  g += weight_decay p,  v = momentum v + g,  p -= lr v  (nesterov: p -= lr (g + momentum v))."""
    g = g + optimizer.weight_decay * p
    if not slots:
        return [p - optimizer.rate(step) * g]
    v = optimizer.momentum * slots[0] + g
    return [p - optimizer.rate(step) * (g + optimizer.momentum * v if optimizer.nesterov else v), v]


def _adam(optimizer: Adam, step: int, p: FloatArray, g: FloatArray, m: FloatArray, v: FloatArray) -> list[FloatArray]:
    """[p, m, v] after:  g += weight_decay p  (AdamW: p *= 1 - lr weight_decay),

    m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,
    p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
    """
    lr, t = optimizer.rate(step), step + 1
    if isinstance(optimizer, AdamW):
        p = p * (1 - lr * optimizer.weight_decay)
    else:
        g = g + optimizer.weight_decay * p
    m = optimizer.beta1 * m + (1 - optimizer.beta1) * g
    v = optimizer.beta2 * v + (1 - optimizer.beta2) * g**2
    root = np.sqrt(v) / math.sqrt(1 - optimizer.beta2**t)
    return [p - lr / (1 - optimizer.beta1**t) * m / (root + optimizer.epsilon), m, v]


RULES: dict[type[Optimizer], Callable[..., list[FloatArray]]] = {SGD: _sgd, Adam: _adam, AdamW: _adam}
