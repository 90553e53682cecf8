"""The registry: one training step as each library does it best.

`IMPLEMENTATIONS[name].setup(problem)` copies the weights, prepares what the library wants, and returns a callable.
Each call trains `problem.steps` steps and returns w (inputs, outputs), b (outputs,) and the cost before the last
update. `missing()` names what cannot run here, and why. The step, in every one of them:

    y_pred = sigmoid(x w + b)       cost = sum((y_pred - y)^2)      delta = 2 (y_pred - y) y_pred (1 - y_pred)
    w -= learning_rate x^T delta    b -= learning_rate mean(delta over the rows)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from threadpoolctl import ThreadpoolController

from benchmarks.cases import Problem
from benchmarks.training import Run

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


def from_module(module: str, function: str, *arguments: Any, **options: Any) -> Any:
    """Call a function of a sibling module, which is imported only now: its library may be missing."""
    return getattr(import_module(f"benchmarks.{module}"), function)(*arguments, **options)


numpy_step = partial(from_module, "numpy_steps", "numpy_step")
torch_step = partial(from_module, "torch_steps", "torch_step")
torch_autograd = partial(from_module, "torch_steps", "torch_autograd")
torch_compile = partial(from_module, "torch_steps", "torch_compile")
torch_threads = partial(from_module, "torch_steps", "torch_threads")
jax_step = partial(from_module, "jax_steps", "jax_step")


def blas_threads(threads: int) -> AbstractContextManager[Any]:
    return ThreadpoolController().limit(limits=threads, user_api="blas")


class Implementation(NamedTuple):
    """How to set a problem up, and how to hold the library to a number of threads (None: it chooses by itself)."""

    package: str
    setup: Callable[[Problem], Run]
    threads: Callable[[int], AbstractContextManager[Any]] | None = None

    def limited(self, threads: int | None) -> AbstractContextManager[Any]:
        """The library held to `threads` threads, where a number is given."""
        return nullcontext() if self.threads is None or threads is None else self.threads(threads)


IMPLEMENTATIONS: dict[str, Implementation] = {
    "fastbp": Implementation("fastbp", partial(engine, "fastbp")),
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
}


def missing() -> dict[str, str]:
    """The implementations that cannot run here, each with the reason."""
    reasons = {}
    for name, implementation in IMPLEMENTATIONS.items():
        try:
            module = import_module(implementation.package)
        except ImportError as error:
            reasons[name] = str(error)
            continue
        if name == "fastbp" and not hasattr(module, "step"):
            reasons[name] = "fastbp has no function step"
        if name == "torch compile" and not shutil.which(os.environ.get("CXX", "g++")):
            reasons[name] = "no C++ compiler"
    return reasons
