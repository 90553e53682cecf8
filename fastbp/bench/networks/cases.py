"""The cases: which networks are trained, and on what.

A case trains on its rows in batches of batch_size, in an order that is given, the last batch as small as it comes; with
batch_size None an epoch is one step with all rows as they lie. Its data is random but learnable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice, pairwise
from typing import Any, NamedTuple

import numpy as np

from ..cases import SEED, FloatArray

# What no number of rows or sizes of a case divides: a small case is ragged in every dimension.
SMALL_ROWS, SMALL_SIZES, SMALL_BATCH = 53, (35, 19, 13, 7), 8


class Problem(NamedTuple):
    """What an implementation is given: the case, its data, weights to start from (to copy), and the order of the rows.

    x (rows, inputs); y: labels (rows,) int64 for the cross-entropy, else (rows, outputs); parameters: w (inputs,
    outputs) and b (outputs,) of each layer; order: (rows,) int64, or None where a batch is all rows.
    """

    case: Case
    x: FloatArray
    y: FloatArray
    parameters: list[tuple[FloatArray, FloatArray]]
    order: FloatArray | None


@dataclass(frozen=True)
class Case:
    """An epoch of training: hidden layers of `activation`, and softmax with the cross-entropy, or the squared error."""

    name: str
    rows: int
    sizes: tuple[int, ...]
    batch_size: int | None
    optimizer: str
    dtype: str
    activation: str = "sigmoid"
    loss: str = "cross_entropy"

    @property
    def key(self) -> str:
        return f"{self.name}-{self.dtype}"

    @property
    def shape(self) -> str:
        batch = f"batches of {self.batch_size}" if self.batch_size else "one batch"
        return f"{self.rows} rows, {'-'.join(map(str, self.sizes))} {self.activation}, {batch}, {self.optimizer}"

    @property
    def title(self) -> str:
        return f"{'An epoch' if self.batch_size else 'A step'} of {self.shape}, {self.dtype}"

    def facts(self) -> dict[str, Any]:
        """What a record says of the case."""
        return {"case": self.key, "name": self.name, "shape": self.shape, "dtype": self.dtype}

    @property
    def output_activation(self) -> str:
        """With the squared error the outputs are linear, as scikit-learn's are."""
        return "softmax" if self.loss == "cross_entropy" else "identity"

    @property
    def learning_rate(self) -> float:
        """Small enough for every case to stay stable."""
        return 0.001 if self.optimizer == "Adam" else 0.05

    @property
    def batches(self) -> list[slice]:
        """The rows of each batch, counted along the order."""
        length = self.batch_size or self.rows
        return [slice(start, min(start + length, self.rows)) for start in range(0, self.rows, length)]

    @property
    def flops(self) -> int:
        """Of one epoch: a multiplication and an addition for each weight and row, forward, for the gradient, and
        backward, which the first layer needs not. Activations and updates are not counted."""
        weights = [inputs * outputs for inputs, outputs in pairwise(self.sizes)]
        return 2 * self.rows * (3 * sum(weights) - weights[0])

    @property
    def bytes_of_x(self) -> int:
        """What one epoch reads at least."""
        return self.rows * self.sizes[0] * np.dtype(self.dtype).itemsize

    def small(self) -> Case:
        """The same case at a size that takes no time, ragged in every dimension and with a last smaller batch."""
        caps = (*islice(cycle(SMALL_SIZES[:-1]), len(self.sizes) - 1), SMALL_SIZES[-1])
        return replace(
            self,
            rows=min(self.rows, SMALL_ROWS),
            sizes=tuple(min(size, cap) for size, cap in zip(self.sizes, caps, strict=True)),
            batch_size=self.batch_size and min(self.batch_size, SMALL_BATCH),
        )

    def problem(self) -> Problem:
        """The data of the case, the same every time.

        Weights and order are those of a Network with the seed SEED: it draws its weights, then the order of each epoch.
        """
        from fastbp.architecture import Architecture
        from fastbp.reference.network import shuffled

        dtype = np.dtype(self.dtype)
        generator = np.random.default_rng(SEED)
        made = Architecture.of(self.sizes, self.activation, self.output_activation, self.loss, dtype)
        parameters = made.initial(generator)
        order = shuffled(generator, self.rows) if self.batch_size else None

        random = np.random.default_rng(SEED + 1)
        x = random.random((self.rows, self.sizes[0]), dtype=dtype) - dtype.type(0.5)
        slopes = (12 / self.sizes[0]) ** 0.5 * random.standard_normal((self.sizes[0], self.sizes[-1]), dtype=dtype)
        values = (x @ slopes).astype(dtype) + random.random((self.rows, self.sizes[-1]), dtype=dtype)
        y = values.argmax(axis=1) if self.loss == "cross_entropy" else np.tanh(values)
        return Problem(self, x, y, parameters, order)


CASES = (
    Case("digits", 1797, (64, 32, 10), 32, "SGD", "float64"),
    Case("mnist", 60000, (784, 128, 10), 32, "SGD", "float32"),
    Case("mnist batches of 128", 60000, (784, 128, 10), 128, "SGD", "float32"),
    Case("mnist deep", 60000, (784, 512, 256, 10), 128, "Adam", "float32", "relu"),
    Case("tall", 100000, (8, 16, 16, 1), 32, "SGD", "float32", loss="squared_error"),
    Case("one batch", 10000, (4, 32, 16, 4), None, "Adam", "float32", "tanh", "squared_error"),
)


def case_of(key: str) -> Case:
    """The case of that key."""
    return next(case for case in CASES if case.key == key)
