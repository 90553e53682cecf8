"""The cases: which training steps are timed, and the data they run on.

A case is one layer of a network, rows x inputs -> outputs, trained for `steps` steps in one call. Its data is random
but learnable: the targets are 0 or 1, drawn around a hidden layer's output, so gradients stay of ordinary size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[Any]

SEED = 2019


class Problem(NamedTuple):
    """What an implementation is given: x (rows, inputs), y (rows, outputs), and weights to start from (to copy)."""

    x: FloatArray
    y: FloatArray
    w: FloatArray
    b: FloatArray
    learning_rate: float
    steps: int

    @property
    def parameters(self) -> list[tuple[FloatArray, FloatArray]]:
        """(w, b) of its one layer."""
        return [(self.w, self.b)]


@dataclass(frozen=True)
class Case:
    """A step of training on x (rows, inputs) and y (rows, outputs), `steps` times in one call."""

    name: str
    rows: int
    inputs: int
    outputs: int
    dtype: str
    steps: int = 1

    @property
    def key(self) -> str:
        return f"{self.name}-{self.dtype}"

    @property
    def shape(self) -> str:
        times = f", {self.steps} steps" if self.steps > 1 else ""
        return f"{self.rows}x{self.inputs}->{self.outputs}{times}"

    @property
    def title(self) -> str:
        return f"A step of {self.shape}, {self.dtype}"

    def facts(self) -> dict[str, Any]:
        """What a record says of the case."""
        return {
            "case": self.key,
            "name": self.name,
            "shape": self.shape,
            "rows": self.rows,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "steps": self.steps,
            "dtype": self.dtype,
        }

    @property
    def flops(self) -> int:
        """Of one call: a multiplication and an addition for each weight and row, forward and again backward."""
        return 4 * self.rows * self.inputs * self.outputs * self.steps

    @property
    def bytes_of_x(self) -> int:
        """What one call reads at least, if every step reads x once."""
        return self.rows * self.inputs * np.dtype(self.dtype).itemsize * self.steps

    def small(self) -> Case:
        """The same case at a size that takes no time, ragged in every dimension."""
        rows, inputs, outputs = min(self.rows, 53), min(self.inputs, 35), min(self.outputs, 11)
        return replace(self, rows=rows, inputs=inputs, outputs=outputs, steps=min(self.steps, 7))

    def problem(self) -> Problem:
        """The data of the case, the same every time.

        The learning rate keeps a step stable at any shape: the largest eigenvalue of x^T x is near
        (rows^0.5 + inputs^0.5)^2 / 12, and the sigmoid's slope is at most 1/4. b starts at 0, so that its small moves
        are not lost in rounding.
        """
        random = np.random.default_rng(SEED)
        dtype = np.dtype(self.dtype)

        def uniform(*shape: int) -> FloatArray:
            numbers: FloatArray = random.random(shape, dtype=dtype)
            centred: FloatArray = numbers - dtype.type(0.5)
            return centred

        scale = dtype.type((12 / self.inputs) ** 0.5)
        x = uniform(self.rows, self.inputs)
        hidden_w, hidden_b = 2 * scale * uniform(self.inputs, self.outputs), uniform(self.outputs)
        y = (x @ hidden_w + hidden_b > uniform(self.rows, self.outputs)).astype(dtype)
        w, b = scale * uniform(self.inputs, self.outputs), np.zeros(self.outputs, dtype)
        return Problem(x, y, w, b, 1 / (self.rows + self.inputs), self.steps)


CASES = (
    Case("tiny", 2, 3, 2, "float64", steps=1000),
    Case("digits", 1797, 64, 10, "float32"),
    Case("digits", 1797, 64, 10, "float64"),
    Case("mnist", 60000, 784, 10, "float32"),
    Case("mnist", 60000, 784, 10, "float64"),
    Case("tall", 1000000, 16, 1, "float32"),
    Case("wide", 4096, 1024, 1024, "float32"),
    Case("wide", 4096, 1024, 1024, "float64"),
)

# One number, primes, a single row or column, few rows and many weights, and sizes on either side of a cache or a tile.
ODD = tuple(
    Case("odd", rows, inputs, outputs, dtype)
    for rows, inputs, outputs in (
        (1, 1, 1),
        (7, 13, 3),
        (333, 77, 5),
        (5000, 300, 33),
        (257, 1000, 1),
        (1, 784, 10),
        (2, 1909, 2),
        (4, 3000, 300),
        (16, 1000, 100),
        (1, 1024, 1024),
        (100000, 3, 2),
        (64, 4096, 16),
        (32, 784, 128),
        (20011, 17, 47),
    )
    for dtype in ("float32", "float64")
)

# From small to large along one dimension, with the others as here.
_MIDDLE = {"rows": 1000, "inputs": 64, "outputs": 10}
_SIZES = {
    "rows": (10, 100, 1000, 10_000, 100_000, 1_000_000),
    "inputs": (4, 16, 64, 256, 1024, 4096),
    "outputs": (1, 4, 16, 64, 256, 1024),
}
SCALING = {
    axis: {size: Case(axis, **{**_MIDDLE, axis: size}, dtype="float32") for size in sizes}
    for axis, sizes in _SIZES.items()
}


def case_of(key: str) -> Case:
    """The case of that key."""
    return next(case for case in (*CASES, *ODD) if case.key == key)
