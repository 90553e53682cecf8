"""fastbp: dense networks trained on a CPU, on plain NumPy arrays, at the speed of the hardware.

    import fastbp

    network = fastbp.Network([784, 128, 10], loss="cross_entropy")
    history = network.fit(x, labels, epochs=10, optimizer=fastbp.Adam())

    costs = fastbp.train(x, y, w, b, learning_rate=0.1, steps=1000)  # one layer, on arrays of your own

The functions of the layer have twins of the same signatures and errors in `fastbp.reference`, in plain NumPy; its
`Network` has the core of this one: predict, predict_classes, evaluate, gradients, step and fit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastbp.configuration import show_config
from fastbp.contract import Gradients
from fastbp.history import History
from fastbp.layer import (
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
from fastbp.network import Network
from fastbp.optimizers import SGD, Adam, AdamW
from fastbp.schedules import CosineDecay, StepDecay
from fastbp.stopping import EarlyStopping
from fastbp.threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from fastbp import reference as reference
else:

    def __getattr__(name: str) -> Any:
        """`fastbp.reference`, imported when it is asked for: few programs want it, and all would wait for it."""
        if name == "reference":
            return importlib.import_module("fastbp.reference")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineDecay",
    "EarlyStopping",
    "Gradients",
    "History",
    "Network",
    "StepDecay",
    "__version__",
    "backward",
    "cost",
    "cost_gradient",
    "forward",
    "get_num_threads",
    "gradients",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "sigmoid_gradient",
    "step",
    "train",
]
