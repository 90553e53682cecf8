"""An epoch in NumPy, as fast as NumPy goes: everything preallocated, and as few calls as can be.

Everything lies in columns: p (inputs + 1, rows of a batch) with a last row of 1, and w (outputs, inputs + 1) with b as
its last column, so that biases take no calls of their own. Where a sigmoid follows, -w is kept, so that exp(-a) needs
no negation: with a' = -a, y = 1 / (1 + exp(a')) and dy/da' = y (y - 1). All w are views of one flat array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..cases import FloatArray
from .batches import Run, gathered
from .cases import Problem

# What Adam works on at a time, of each of its arrays: in blocks that stay in cache it takes two thirds of the time.
ADAM_BYTES = 2**18


class Batch(NamedTuple):
    """What one batch works on. Layer l takes p[l] to a[l] (outputs, rows), which is p[l + 1] without its row of 1."""

    p: list[FloatArray]
    a: list[FloatArray]
    delta: list[FloatArray]
    output_delta: Callable[[], None]


def numpy_epochs(problem: Problem) -> Run:
    """NumPy in columns."""
    case, order = problem.case, problem.order
    dtype = problem.x.dtype
    x = np.ones((case.rows, case.sizes[0] + 1), dtype)
    x[:, :-1] = problem.x
    groups = gathered(case.batches, x[0].nbytes)
    x_gathered = x if order is None else np.empty((groups[0].rows.stop, x.shape[1]), dtype)

    last = len(case.sizes) - 2
    sign = [-1 if case.activation == "sigmoid" else 1] * last + [1]
    weights, w = _flat(problem)
    gradient, grad_w = _flat(problem)
    for layer, (start_w, start_b) in enumerate(problem.parameters):
        w[layer][:, :-1], w[layer][:, -1] = sign[layer] * start_w.T, sign[layer] * start_b
    w_without_b = [each[:, :-1].T for each in w]
    update = _sgd(weights, gradient) if case.optimizer == "SGD" else _adam(weights, gradient, case.learning_rate)
    activate, backward = ACTIVATIONS[case.activation](dtype)
    loss = (_CrossEntropy if case.loss == "cross_entropy" else _SquaredError)(problem)
    memory: dict[int, tuple[Any, ...]] = {}

    def batch_of(rows: slice, first: int) -> Batch:
        """Where the rows of a batch are, the gathered ones beginning at row `first`; memory is shared by length."""
        length = rows.stop - rows.start
        if length not in memory:
            p = [np.ones((size + 1, length), dtype) for size in case.sizes[1:-1]]
            outputs = np.empty((case.sizes[-1], length), dtype)
            delta = [np.empty((size, length), dtype) for size in case.sizes[1:]]
            memory[length] = p, [*(each[:-1] for each in p), outputs], delta
        p, a, delta = memory[length]
        x = x_gathered[rows.start - first : rows.stop - first]
        return Batch([x.T, *p], a, delta, loss.output_delta(rows, a[-1], delta[-1]))

    prepared = [
        (None if order is None else order[group.rows], [batch_of(rows, group.rows.start) for rows in group.batches])
        for group in groups
    ]

    def epoch() -> tuple[list[tuple[Any, Any]], float]:
        loss.gather()
        for rows, batches in prepared:
            if rows is not None:
                np.take(x, rows, 0, x_gathered[: len(rows)], "clip")
            for p, a, delta, output_delta in batches:
                for layer in range(last):
                    np.dot(w[layer], p[layer], a[layer])
                    activate(a[layer])
                np.dot(w[last], p[last], a[last])
                output_delta()
                for layer in range(last, 0, -1):
                    np.dot(delta[layer], p[layer].T, grad_w[layer])
                    np.dot(w_without_b[layer], delta[layer], delta[layer - 1])
                    backward(a[layer - 1], delta[layer - 1])
                np.dot(delta[0], p[0].T, grad_w[0])
                update()
        result = [(s * each[:, :-1].T, s * each[:, -1]) for s, each in zip(sign, w, strict=True)]
        return result, loss.mean()

    return epoch


def _flat(problem: Problem) -> tuple[FloatArray, list[FloatArray]]:
    """An array for all layers, and of it the (outputs, inputs + 1) of each."""
    shapes = [(w.shape[1], w.shape[0] + 1) for w, _ in problem.parameters]
    flat = np.zeros(sum(outputs * columns for outputs, columns in shapes), problem.x.dtype)
    ends = np.cumsum([outputs * columns for outputs, columns in shapes])
    return flat, [each.reshape(shape) for each, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


class _CrossEntropy:
    """Softmax and cross-entropy of labels."""

    def __init__(self, problem: Problem) -> None:
        case = problem.case
        dtype = problem.x.dtype
        self.y, self.order = problem.y, problem.order
        lengths = [rows.stop - rows.start for rows in case.batches]
        # Of each row: how many its batch has, and which of them it is.
        self.length, self.column = np.repeat(lengths, lengths), np.concatenate([np.arange(n) for n in lengths])
        self.scale = (_scale(problem) / self.length).astype(dtype)
        self.where = np.empty(case.rows, np.int64)  # of the label's output in a[last], flat
        self.right = np.empty(case.rows, dtype)  # what softmax gave the label, times scale

    def gather(self) -> None:
        """Find the label of each row in its batch."""
        labels = self.y if self.order is None else self.y[self.order]
        np.multiply(labels, self.length, self.where)
        np.add(self.where, self.column, self.where)

    def output_delta(self, rows: slice, a: FloatArray, delta: FloatArray) -> Callable[[], None]:
        """delta = scale (softmax(a) - one-hot(label))"""
        per_row, flat = np.empty(a.shape[1], a.dtype), delta.reshape(-1)
        where, right, scale = self.where[rows], self.right[rows], self.scale[rows][0]

        def compute() -> None:
            np.maximum.reduce(a, 0, out=per_row)
            np.subtract(a, per_row, a)
            np.exp(a, a)
            np.add.reduce(a, 0, out=per_row)
            np.divide(scale, per_row, per_row)
            np.multiply(a, per_row, delta)
            right[:] = flat[where]
            flat[where] = right - scale

        return compute

    def mean(self) -> float:
        return -float(np.log(self.right / self.scale).mean())


class _SquaredError:
    """Linear outputs and the squared error."""

    def __init__(self, problem: Problem) -> None:
        self.y, self.order, self.problem = problem.y, problem.order, problem
        self.errors = np.empty(problem.y.size, problem.x.dtype)
        self.y_gathered = self.y.copy()

    def gather(self) -> None:
        if self.order is not None:
            np.take(self.y, self.order, 0, self.y_gathered, "clip")

    def output_delta(self, rows: slice, a: FloatArray, delta: FloatArray) -> Callable[[], None]:
        """delta = scale (a - y)"""
        outputs, length = a.shape
        y = self.y_gathered[rows].T
        error = self.errors[rows.start * outputs : rows.stop * outputs].reshape(a.shape)
        scale = np.array(2 * _scale(self.problem) / length, a.dtype)

        def compute() -> None:
            np.subtract(a, y, error)
            np.multiply(error, scale, delta)

        return compute

    def mean(self) -> float:
        return float(np.dot(self.errors, self.errors)) / len(self.y)


def _scale(problem: Problem) -> float:
    """What delta is multiplied by, so that the gradient is what the update wants: the learning rate for `_sgd`."""
    return problem.case.learning_rate if problem.case.optimizer == "SGD" else 1.0


def _sgd(weights: FloatArray, gradient: FloatArray) -> Callable[[], None]:
    """weights -= gradient, which has the learning rate in it."""

    def update() -> None:
        np.subtract(weights, gradient, weights)

    return update


def _adam(weights: FloatArray, gradient: FloatArray, learning_rate: float) -> Callable[[], None]:
    """m += 0.1 (g - m), v += 0.001 (g^2 - v), w -= lr root / (1 - 0.9^t) m / (sqrt(v) + root epsilon).

    root = sqrt(1 - 0.999^t); both sides of the fraction of `fastbp.optimizers.Adam` are multiplied by it.
    """
    dtype = weights.dtype
    length = ADAM_BYTES // dtype.itemsize
    m, v, memory = np.zeros_like(weights), np.zeros_like(weights), np.empty(length, dtype)
    blocks = [slice(start, start + length) for start in range(0, len(weights), length)]
    prepared = [(weights[block], gradient[block], m[block], v[block], memory[: len(m[block])]) for block in blocks]
    tenth, thousandth = np.array(0.1, dtype), np.array(0.001, dtype)
    t = 0

    def update() -> None:
        nonlocal t
        t += 1
        root = (1 - 0.999**t) ** 0.5
        rate, epsilon = np.array(learning_rate * root / (1 - 0.9**t), dtype), np.array(1e-8 * root, dtype)
        for w, g, m, v, change in prepared:
            np.subtract(g, m, change)
            np.multiply(change, tenth, change)
            np.add(m, change, m)
            np.multiply(g, g, g)
            np.subtract(g, v, g)
            np.multiply(g, thousandth, g)
            np.add(v, g, v)
            np.sqrt(v, g)
            np.add(g, epsilon, g)
            np.divide(m, g, g)
            np.multiply(g, rate, g)
            np.subtract(w, g, w)

    return update


Pair = tuple[Callable[[FloatArray], None], Callable[[FloatArray, FloatArray], None]]


def _sigmoid(dtype: np.dtype[Any]) -> Pair:
    one = np.ones((), dtype)

    def activate(a: FloatArray) -> None:
        np.exp(a, a)
        np.add(a, one, a)
        np.divide(one, a, a)

    def backward(y: FloatArray, delta: FloatArray) -> None:
        np.multiply(delta, y, delta)
        np.subtract(y, one, y)
        np.multiply(delta, y, delta)

    return activate, backward


def _tanh(dtype: np.dtype[Any]) -> Pair:
    one = np.ones((), dtype)

    def activate(a: FloatArray) -> None:
        np.tanh(a, a)

    def backward(y: FloatArray, delta: FloatArray) -> None:
        np.multiply(y, y, y)
        np.subtract(one, y, y)
        np.multiply(delta, y, delta)

    return activate, backward


def _relu(dtype: np.dtype[Any]) -> Pair:
    zero = np.zeros((), dtype)

    def activate(a: FloatArray) -> None:
        np.maximum(a, zero, out=a)

    def backward(y: FloatArray, delta: FloatArray) -> None:
        # Times a mask: 17 us for 512x128, where np.sign and np.copyto with `where` take 300.
        np.multiply(delta, y > zero, delta)

    return activate, backward


# Forward in place; and the delta of y times the slope, which may destroy y.
ACTIVATIONS = {"sigmoid": _sigmoid, "tanh": _tanh, "relu": _relu}
