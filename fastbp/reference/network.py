"""The network in NumPy: forward, backpropagation and training in the words of the mathematics.

Shapes: x (rows, inputs), y and y_pred (rows, outputs); layer l has w (inputs, outputs) and b (outputs,).

    forward     p_0 = x,   a_l = p_(l-1) w_l + b_l,   p_l = g_l(a_l),   y_pred = p_L
    loss        C = mean over the rows of sample_weight * (a sum over the outputs, see `LOSSES`)
    backward    delta_L = dC/da_L, see `_output_delta`
                delta_(l-1) = (delta_l w_l^T) g'_(l-1)(a_(l-1))
    gradients   dC/dw_l = p_(l-1)^T delta_l,   dC/db_l = sum of delta_l over the rows

The functions g_l and the losses are in `functions`, what an optimizer does with the gradients is in `updates`.
`fastbp.Network` is the same, fused into few passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from fastbp import contract, optimizers
from fastbp.architecture import Architecture, PerLayer
from fastbp.contract import FloatArray
from fastbp.history import History
from fastbp.optimizers import SGD, Optimizer
from fastbp.reference.functions import ACTIVATED, DELTA, LOSSES
from fastbp.reference.updates import RULES, clipped

# Overflow is not silenced but expected: what is not finite in the end is looked for, and refused.
_quiet = np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")


class Network:
    """A dense network.

    sizes: inputs, hidden layers, outputs. activation: of the hidden layers, one name or one for each: "sigmoid",
    "tanh", "relu", "leaky_relu" (slope 0.01) or "identity". output_activation: one of these or "softmax"; None is
    "softmax" for the loss "cross_entropy", else "sigmoid". loss: "squared_error", "binary_cross_entropy" (of a
    sigmoid) or "cross_entropy" (of a softmax). dtype: float32 or float64. seed: of all random numbers, 0 to 2^128 - 1.

    weights, biases: w (inputs, outputs) and b (outputs,) of each layer; writing into the arrays changes the network.

    x and y may be anything that NumPy makes real numbers of; unlike in the functions of the layer, float64 is
    converted for a network of float32 as well. y (rows, outputs), or (rows,) for one output; for "cross_entropy" also
    labels (rows,), integers in 0 ... outputs - 1. sample_weight (rows,): 0 or more. Whatever cannot be used is a
    TypeError or ValueError that names it, before anything changes.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str | Sequence[str] = "sigmoid",
        output_activation: str | None = None,
        loss: str = "squared_error",
        dtype: Any = "float32",
        seed: int = 0,
    ) -> None:
        self.architecture = Architecture.of(sizes, activation, output_activation, loss, dtype)
        self._generator = np.random.default_rng(contract.seed(seed))
        parameters = self.architecture.initial(self._generator)
        self.weights = PerLayer(w for w, _ in parameters)
        self.biases = PerLayer(b for _, b in parameters)
        self._start(SGD())

    def __repr__(self) -> str:
        made = self.architecture
        return f"reference.Network({list(made.sizes)}, {', '.join(made.activations)}, {made.loss}, {made.dtype})"

    def predict(self, x: Any) -> FloatArray:
        """y_pred (rows, outputs)."""
        x = contract.samples(x, self.architecture.inputs, self.architecture.dtype)
        p, _ = self._forward(contract.finite("x", x))
        return p[-1]

    def predict_classes(self, x: Any) -> npt.NDArray[np.int64]:
        """The class of each row, (rows,) int64: the largest output; of one, but no softmax, whether it is above 1/2."""
        return contract.classes_of(self.predict(x))

    @_quiet
    def evaluate(self, x: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """The "loss" and, for the cross-entropies, the "accuracy": the share of rows whose class is right.

        The share is weighted by sample_weight, and nan where that is 0 throughout.
        """
        x, y, weight = self._checked(x, y, sample_weight)
        p, a = self._forward(x)
        scores = {"loss": self._loss(p[-1], a, y, weight)}
        if self.architecture.loss != "squared_error":
            right = contract.classes_of(p[-1]) == contract.classes_of(y)
            scores["accuracy"] = float(np.sum(weight * right, dtype=np.float64) / np.sum(weight, dtype=np.float64))
        return scores

    def gradients(
        self, x: Any, y: Any, *, sample_weight: Any = None
    ) -> tuple[float, list[tuple[FloatArray, FloatArray]]]:
        """The loss, and (dC/dw, dC/db) of each layer; FloatingPointError if one is not finite."""
        x, y, weight = self._checked(x, y, sample_weight)
        loss, gradients = self._gradients(x, y, weight)
        if not (math.isfinite(loss) and _finite(gradients)):
            contract.raise_network_diverged(x, y, self.weights, self.biases, None)
        return loss, list(zip(gradients[::2], gradients[1::2], strict=True))

    def step(self, x: Any, y: Any, *, optimizer: Optimizer | None = None, sample_weight: Any = None) -> float:
        """One update from all rows; the loss before it.

        optimizer: None is that of the call before, at first SGD(learning_rate=0.01). One of another class, or that
            remembers more or less than the one before, starts anew; else the count of updates and what was remembered
            are kept.

        FloatingPointError if the loss or the update is not finite: all is left as it was before this update, the
        optimizer too.
        """
        x, y, weight = self._checked(x, y, sample_weight)
        contract.check_apart_from_network(self._parameters, x=x, y=y, sample_weight=weight)
        with self._using(optimizer):
            loss = self._update(x, y, weight)
            if loss is None:
                contract.raise_network_diverged(x, y, self.weights, self.biases, self.updates)
        return loss

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int | None = 32,
        optimizer: Optimizer | None = None,
        shuffle: bool = True,
        sample_weight: Any = None,
    ) -> History:
        """Train: the loss of each epoch, the mean over its rows of the losses before the updates, and its first rate.

        batch_size: rows of an update, None for all; the last of an epoch may have fewer. shuffle: take the rows of
        each epoch in a new order, if they are more than a batch. optimizer: as in `step`. FloatingPointError if the
        loss or the update of a batch is not finite: all is left as the batch before it left it; if it is the first
        of its epoch, as if that had not begun.
        """
        x, y, weight = self._checked(x, y, sample_weight)
        contract.check_apart_from_network(self._parameters, x=x, y=y, sample_weight=weight)
        rows = len(x)
        epochs = contract.count("epochs", epochs, 0)
        batch_size = rows if batch_size is None else contract.count("batch_size", batch_size, 1)
        shuffle = contract.flag("shuffle", shuffle)
        if optimizer is not None:
            optimizers.checked(optimizer, self.architecture.dtype)

        history = History()
        for epoch in range(epochs):
            with self._using(optimizer if epoch == 0 else None):
                metrics = {"loss": 0.0, "learning_rate": self.optimizer.rate(self.updates)}
                order = shuffled(self._generator, rows) if shuffle and batch_size < rows else np.arange(rows)
                for first in range(0, rows, batch_size):
                    batch = order[first : first + batch_size]
                    loss = self._update(x[batch], y[batch], weight[batch])
                    if loss is None:
                        contract.raise_network_diverged(x, y, self.weights, self.biases, self.updates, epoch)
                    metrics["loss"] += loss * (len(batch) / rows)
                history.append(metrics)
        return history

    def _checked(self, x: Any, y: Any, sample_weight: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
        """x, y (rows, outputs), where labels are rows of 0 with one 1, and sample_weight, where None is 1 for all."""
        made = self.architecture
        x = contract.samples(x, made.inputs, made.dtype)
        y, labels = contract.targets(y, len(x), made.outputs, made.dtype, made.loss)
        weight = contract.row_weights(sample_weight, len(x), made.dtype)
        contract.finite("x", x)
        contract.finite("y", y)
        if labels:
            y = np.eye(made.outputs, dtype=made.dtype)[y]
        return x, y, np.ones(len(x), made.dtype) if weight is None else weight

    @_quiet
    def _forward(self, x: FloatArray) -> tuple[list[FloatArray], FloatArray]:
        """[p_0, ..., p_L] and a_L:  p_0 = x,  a_l = p_(l-1) w_l + b_l,  p_l = g_l(a_l)."""
        p, a = [x], x
        for w, b, activation in zip(self.weights, self.biases, self.architecture.activations, strict=True):
            a = p[-1] @ w + b
            p.append(ACTIVATED[activation](a))
        return p, a

    @_quiet
    def _gradients(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> tuple[float, list[FloatArray]]:
        """C and [dC/dw_1, dC/db_1, ..., dC/db_L]:  dC/dw_l = p_(l-1)^T delta_l,  dC/db_l = sum of delta_l."""
        p, a = self._forward(x)
        loss = self._loss(p[-1], a, y, weight)
        delta = self._output_delta(p[-1], y) * weight[:, np.newaxis] / len(x)
        gradients: list[FloatArray] = []
        for layer in reversed(range(self.architecture.layers)):
            gradients[:0] = [p[layer].T @ delta, delta.sum(axis=0)]
            if layer > 0:
                delta = DELTA[self.architecture.activations[layer - 1]](p[layer], delta @ self.weights[layer].T)
        return loss, gradients

    @_quiet
    def _loss(self, y_pred: FloatArray, a: FloatArray, y: FloatArray, weight: FloatArray) -> float:
        """C, in float64; a is a_L, as log y_pred would be -inf where y_pred rounds to 0."""
        y_pred, a, y = (array.astype(np.float64) for array in (y_pred, a, y))
        return float(np.sum(weight * np.sum(LOSSES[self.architecture.loss](y_pred, a, y), axis=1) / len(y)))

    def _output_delta(self, y_pred: FloatArray, y: FloatArray) -> FloatArray:
        """dC/da_L of one row, before its weight. The slopes of a cross-entropy and its activation cancel:

        squared_error 2 (y_pred - y) g'(a),  binary_cross_entropy y_pred - y,  cross_entropy y_pred sum(y) - y
        """
        if self.architecture.loss == "squared_error":
            return DELTA[self.architecture.activations[-1]](y_pred, 2 * (y_pred - y))
        if self.architecture.loss == "cross_entropy":
            y_pred = y_pred * y.sum(axis=1, keepdims=True)
        return y_pred - y

    @property
    def _parameters(self) -> list[FloatArray]:
        return [parameter for layer in zip(self.weights, self.biases, strict=True) for parameter in layer]

    def _start(self, optimizer: Optimizer) -> None:
        """Use an optimizer that has done nothing yet."""
        self.optimizer, self.updates = optimizer, 0
        self._slots = [[np.zeros_like(p) for _ in range(optimizer.slots)] for p in self._parameters]

    def _use(self, optimizer: Any) -> None:
        """Use another optimizer; one of the same kind goes on where the one before stopped."""
        if optimizer is None:
            return
        kind, slots = type(self.optimizer), self.optimizer.slots
        if type(optimizers.checked(optimizer, self.architecture.dtype)) is kind and optimizer.slots == slots:
            self.optimizer = optimizer
        else:
            self._start(optimizer)

    @contextmanager
    def _using(self, optimizer: Any) -> Iterator[None]:
        """Use another optimizer for training that may fail: if it does so before its first update, nothing changes."""
        before, random = (self.optimizer, self._slots, self.updates), self._generator.bit_generator.state
        self._use(optimizer)
        begun = self.updates
        try:
            yield
        except BaseException:
            if self.updates == begun:
                (self.optimizer, self._slots, self.updates), self._generator.bit_generator.state = before, random
            raise

    @_quiet
    def _update(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> float | None:
        """One update; the loss before it, or None if something is not finite, and then nothing is changed."""
        loss, gradients = self._gradients(x, y, weight)
        gradients = clipped(gradients, self.optimizer.clip_norm)
        updated, slots = [], []
        for p, g, kept in zip(self._parameters, gradients, self._slots, strict=True):
            new_p, *new_slots = RULES[type(self.optimizer)](self.optimizer, self.updates, p, g, *kept)
            updated.append(new_p)
            slots.append(new_slots)
        if not (math.isfinite(loss) and _finite(updated) and all(map(_finite, slots))):
            return None
        for p, new_p in zip(self._parameters, updated, strict=True):
            p[...] = new_p
        self._slots = slots
        self.updates += 1
        return loss


def shuffled(generator: np.random.Generator, rows: int) -> npt.NDArray[np.int64]:
    """The rows in a random order: row i changes places with one of the rows 0 ... i.

    Source: R. Durstenfeld, "Algorithm 235: Random permutation" (1964).
    """
    order = list(range(rows))
    for i, number in enumerate(generator.random(rows).tolist()):
        j = int(number * (i + 1))
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)


def _finite(arrays: list[FloatArray]) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)
