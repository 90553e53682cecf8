"""The algorithms in NumPy, as plain as they can be: the layer on one page, the network on another.

What `fastbp` computes fast is computed here in the words of the mathematics: read it to learn, import it to compare.
The functions of the layer have the same names, arguments and errors. `Network` has predict, predict_classes, evaluate,
gradients, step, and fit without validation, early stopping, callback and progress.
"""

from __future__ import annotations

from fastbp.contract import Gradients
from fastbp.reference.layer import (
    backward,
    cost,
    cost_gradient,
    forward,
    gradients,
    sigmoid,
    sigmoid_gradient,
    step,
    train,
)
from fastbp.reference.network import Network

__all__ = [
    "Gradients",
    "Network",
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
