"""One training step of a layer as each library does it best.

`IMPLEMENTATIONS[name].setup(problem)` copies the weights, prepares what the library wants, and returns a callable.
Each call trains `problem.steps` steps and returns w (inputs, outputs), b (outputs,) and the cost before the last
update. The step, in every one of them:

    y_pred = sigmoid(x w + b)       cost = sum((y_pred - y)^2)      delta = 2 (y_pred - y) y_pred (1 - y_pred)
    w -= learning_rate x^T delta    b -= learning_rate mean(delta over the rows)
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from .cases import Problem
from .registry import Implementation, Registry, blas_threads, fastbp_threads, from_module, torch_threads
from .training import Run

# What a block of rows of x may take: the second-level caches of two cores. From 1 to 4 MiB it makes little difference.
BLOCK_BYTES = 2 * 2**20


def engine(module: str, problem: Problem) -> Run:
    """`fastbp` and `fastbp.reference`, which have the same functions."""
    functions = import_module(module)
    x, y, w, b, learning_rate, steps = problem
    w, b = w.copy(), b.copy()

    def step() -> tuple[Any, Any, Any]:
        return w, b, functions.step(x, y, w, b, learning_rate=learning_rate)

    def train() -> tuple[Any, Any, Any]:
        return w, b, functions.train(x, y, w, b, learning_rate=learning_rate, steps=steps)[-2]

    return train if steps > 1 else step


numpy_step = partial(from_module, "numpy_steps", "numpy_step")
torch_step = partial(from_module, "torch_steps", "torch_step")
torch_autograd = partial(from_module, "torch_steps", "torch_autograd")
torch_compile = partial(from_module, "torch_steps", "torch_compile")
jax_step = partial(from_module, "jax_steps", "jax_step")

IMPLEMENTATIONS = Registry(
    {
        "fastbp": Implementation("fastbp", partial(engine, "fastbp"), fastbp_threads),
        "reference": Implementation("fastbp", partial(engine, "fastbp.reference"), blas_threads),
        "numpy": Implementation("numpy", numpy_step, blas_threads),
        "numpy blocks": Implementation("numpy", partial(numpy_step, block_bytes=BLOCK_BYTES), blas_threads),
        "numpy columns": Implementation(
            "numpy", partial(numpy_step, block_bytes=BLOCK_BYTES, by_columns=True), blas_threads
        ),
        "torch": Implementation("torch", torch_step, torch_threads),
        "torch blocks": Implementation("torch", partial(torch_step, block_bytes=BLOCK_BYTES), torch_threads),
        "torch autograd": Implementation("torch", torch_autograd, torch_threads),
        "torch compile": Implementation("torch", torch_compile, torch_threads),
        "jax": Implementation("jax", partial(jax_step, autodiff=False)),
        "jax autodiff": Implementation("jax", partial(jax_step, autodiff=True)),
    },
    not_timed={
        "scikit-learn": "it has no sigmoid layer with a squared error: MLPRegressor's outputs are linear, and "
        "MLPClassifier's cost is the cross-entropy"
    },
)
