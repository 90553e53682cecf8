"""The registry: one training step as each library does it best.

`IMPLEMENTATIONS[name].setup(problem)` copies the weights, prepares what the library wants, and returns a callable.
Each call trains `problem.steps` steps and returns w (inputs, outputs), b (outputs,) and the cost before the last
update. A configuration is an implementation held to a number of threads. `missing()` names what cannot run here, and
why. The step, in every one of them:

    y_pred = sigmoid(x w + b)       cost = sum((y_pred - y)^2)      delta = 2 (y_pred - y) y_pred (1 - y_pred)
    w -= learning_rate x^T delta    b -= learning_rate mean(delta over the rows)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from threadpoolctl import ThreadpoolController

from .cases import Problem
from .training import Run, thread_count

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
    return getattr(import_module(f".{module}", __package__), function)(*arguments, **options)


numpy_step = partial(from_module, "numpy_steps", "numpy_step")
torch_step = partial(from_module, "torch_steps", "torch_step")
torch_autograd = partial(from_module, "torch_steps", "torch_autograd")
torch_compile = partial(from_module, "torch_steps", "torch_compile")
jax_step = partial(from_module, "jax_steps", "jax_step")


def blas_threads(threads: int) -> AbstractContextManager[Any]:
    limited: AbstractContextManager[Any] = ThreadpoolController().limit(limits=threads, user_api="blas")
    return limited


def threads_of(package: str, threads: int) -> AbstractContextManager[None]:
    return thread_count(import_module(package), threads)


fastbp_threads, torch_threads = partial(threads_of, "fastbp"), partial(threads_of, "torch")


class Implementation(NamedTuple):
    """How to set a problem up, and how to hold the library to a number of threads (None: it chooses by itself)."""

    package: str
    setup: Callable[[Any], Callable[[], Any]]
    threads: Callable[[int], AbstractContextManager[Any]] | None = None

    def limited(self, threads: int | None) -> AbstractContextManager[Any]:
        """The library held to `threads` threads, where a number is given."""
        return nullcontext() if self.threads is None or threads is None else self.threads(threads)


IMPLEMENTATIONS: dict[str, Implementation] = {
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
}


# What a reader may look for here, and why it is not timed.
NOT_THE_SAME_WORK = {
    "scikit-learn": "it has no sigmoid layer with a squared error: MLPRegressor's outputs are linear, and "
    "MLPClassifier's cost is the cross-entropy"
}


def packages(labels: Iterable[str], implementations: Mapping[str, Implementation] = IMPLEMENTATIONS) -> set[str]:
    """What the configurations of these labels are made of."""
    return {implementations[label.split(",")[0]].package for label in labels}


def missing(
    implementations: Mapping[str, Implementation] = IMPLEMENTATIONS,
    not_timed: Mapping[str, str] = NOT_THE_SAME_WORK,
) -> dict[str, str]:
    """What is not timed here, each with the reason."""
    reasons = {}
    for name, implementation in implementations.items():
        try:
            import_module(implementation.package)
        except ImportError as error:
            reasons[name] = str(error)
            continue
        if name == "torch compile" and not shutil.which(os.environ.get("CXX", "g++")):
            reasons[name] = "no C++ compiler"
    return reasons | dict(not_timed)


def present() -> list[str]:
    """The implementations that can run here."""
    absent = missing()
    return [name for name in IMPLEMENTATIONS if name not in absent]


class Configuration(NamedTuple):
    """An implementation, held to a number of threads (None: it chooses by itself)."""

    name: str
    threads: int | None

    @property
    def family(self) -> str:
        """The library, or the engine, that does the work."""
        return self.name.split()[0]

    @property
    def label(self) -> str:
        if self.threads is None:
            return self.name
        return f"{self.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def limited(self) -> AbstractContextManager[Any]:
        return IMPLEMENTATIONS[self.name].limited(self.threads)


def configurations(
    names: Iterable[str],
    threads: Iterable[int],
    implementations: Mapping[str, Implementation] = IMPLEMENTATIONS,
) -> list[Configuration]:
    """Each implementation with each number of threads, where it can be held to one."""
    return [
        Configuration(name, number)
        for name in names
        for number in (dict.fromkeys(threads) if implementations[name].threads else (None,))
    ]
