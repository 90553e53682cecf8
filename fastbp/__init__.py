"""fastbp: dense networks trained on a CPU, on plain NumPy arrays, at the speed of the hardware.

    import fastbp

    costs = fastbp.train(x, y, w, b, learning_rate=0.1, steps=1000)

Every function of the layer has a twin of the same name, signature and errors in `fastbp.reference`, in plain NumPy.
"""

from __future__ import annotations

from fastbp.configuration import show_config
from fastbp.contract import Gradients
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
from fastbp.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "Gradients",
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
