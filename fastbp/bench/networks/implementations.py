"""One epoch of training a network as each library does it best.

`IMPLEMENTATIONS[name].setup(problem)` copies the weights, prepares what the library wants, and returns a callable. Each
call trains one epoch, in batches along problem.order, and returns (w (inputs, outputs), b (outputs,)) of each layer and
the mean over the rows of the loss that each had before its update. Layers, losses and optimizers are those of
`fastbp.reference.Network`. Peers take every epoch in the same order; fastbp draws a new one, as its users have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

from ..cases import SEED
from ..registry import Implementation, Registry, blas_threads, fastbp_threads, from_module, torch_threads
from .batches import Run
from .cases import Problem


def engine(module: str, problem: Problem) -> Run:
    """`fastbp` and `fastbp.reference`, which have the same Network."""
    case, x, y = problem.case, problem.x, problem.y
    net = import_module(module).Network(
        case.sizes,
        activation=case.activation,
        output_activation=case.output_activation,
        loss=case.loss,
        dtype=case.dtype,
        seed=SEED,
    )
    optimizer = getattr(import_module("fastbp.optimizers"), case.optimizer)(learning_rate=case.learning_rate)
    for w, b, (start_w, start_b) in zip(net.weights, net.biases, problem.parameters, strict=True):
        w[...], b[...] = start_w, start_b

    def parameters() -> list[tuple[Any, Any]]:
        return list(zip(net.weights, net.biases, strict=True))

    def epoch() -> tuple[list[tuple[Any, Any]], float]:
        history = net.fit(x, y, epochs=1, batch_size=case.batch_size, optimizer=optimizer)
        losses = history["loss"] if isinstance(history, Mapping) else history
        return parameters(), float(losses[-1])

    def step() -> tuple[list[tuple[Any, Any]], float]:
        return parameters(), net.step(x, y, optimizer=optimizer)

    return step if problem.order is None else epoch


numpy_epochs = partial(from_module, "networks.numpy_epochs", "numpy_epochs")
torch_epochs = partial(from_module, "networks.torch_epochs", "torch_epochs")
torch_autograd = partial(from_module, "networks.torch_epochs", "torch_autograd")
jax_epochs = partial(from_module, "networks.jax_epochs", "jax_epochs")
sklearn_epochs = partial(from_module, "networks.sklearn_epochs", "sklearn_epochs")

# An older fastbp has no Network: its modules are asked for by name.
IMPLEMENTATIONS = Registry(
    {
        "fastbp": Implementation("fastbp.network", partial(engine, "fastbp"), fastbp_threads),
        "reference": Implementation("fastbp.reference.network", partial(engine, "fastbp.reference"), blas_threads),
        "numpy": Implementation("numpy", numpy_epochs, blas_threads),
        "torch": Implementation("torch", torch_epochs, torch_threads),
        "torch autograd": Implementation("torch", torch_autograd, torch_threads),
        "jax": Implementation("jax", jax_epochs),
        "scikit-learn": Implementation("sklearn", sklearn_epochs, blas_threads),
    },
    not_timed={
        "torch compile": "its step took 1.5 to 2.6 times as long as PyTorch's by hand, and 8 to 25 s to compile",
    },
)
