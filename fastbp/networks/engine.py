"""The calls of a network on checked arrays: each is carried out by the kernels."""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np

from fastbp import contract
from fastbp.contract import FloatArray
from fastbp.networks.division import EVALUATE, GRADIENTS, PREDICT, TRAIN
from fastbp.networks.order import AS_THEY_LIE, Order
from fastbp.networks.session import Session
from fastbp.networks.state import Change, State
from fastbp.networks.work import work_of_row

# Multiply-adds of the rows that go forward in one call, and the bytes of their outputs, where these are not kept. With
# a sixteenth, a call had 47 rows of 1024-1024-1024-10, all of them in a single task: two threads were as fast as one.
CALL_WORK = 1_600_000_000
CALL_BYTES = 1024 * 1024


class Rows(NamedTuple):
    """Checked rows in the network's dtype.

    x (rows, inputs); y (rows, targets), or (rows, 1) where they are `labels`; weight (rows,): sample_weight, or None.
    """

    x: FloatArray
    y: FloatArray
    labels: bool
    weight: FloatArray | None

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        return self.x, self.y, self.weight

    def some(self, order: Order, first: int, last: int) -> tuple[Rows, Order]:
        """The rows first ... last - 1 of an order, or as they lie."""
        if order.size:
            return self, order[first:last]
        weight = None if self.weight is None else self.weight[first:last]
        return Rows(self.x[first:last], self.y[first:last], self.labels, weight), order


def _rows_of_call(state: State, rows: int) -> int:
    """Of so many rows, how many go forward in one call."""
    return min(rows, _most_rows(state.architecture.sizes, state.parameters.itemsize))


@functools.lru_cache(maxsize=256)
def _most_rows(sizes: tuple[int, ...], itemsize: int) -> int:
    return min(CALL_WORK // work_of_row(sizes, 1), CALL_BYTES // (sizes[-1] * itemsize)) + 1


def predict(state: State, x: FloatArray) -> FloatArray:
    """y_pred, new."""
    y_pred = np.empty((len(x), state.architecture.outputs), state.parameters.dtype)
    session = state.session(PREDICT, _rows_of_call(state, len(x)))
    session.carry_out(state.parameters, x, y_pred=y_pred)
    if not session.finite_x:
        contract.finite("x", x)
    state.give_back(session)
    return y_pred


def evaluate(state: State, rows: Rows, order: Order = AS_THEY_LIE) -> dict[str, float]:
    """The loss, and the accuracy for a cross-entropy; chunk by chunk, so that no outputs are kept."""
    count = order.size or len(rows.x)
    chunk = _rows_of_call(state, count)
    y_pred = np.empty((chunk, state.architecture.outputs), state.parameters.dtype)
    session = state.session(EVALUATE, chunk, rows.y.shape[1], labels=rows.labels)
    name = state.architecture.loss
    classify = name != "squared_error"
    loss = right = all_weight = 0.0
    finite_x = True
    for first in range(0, count, chunk):
        some, some_order = rows.some(order, first, first + chunk)
        number = some_order.size or len(some.x)
        losses = session.carry_out(state.parameters, *some.arrays, some_order, y_pred)
        finite_x = finite_x and session.finite_x
        loss += float(losses[0]) * (number / count)
        if classify:
            picked = some_order if some_order.size else slice(None)
            y, weight = some.y[picked], 1.0 if some.weight is None else some.weight[picked]
            wanted = y[:, 0].astype(np.int64) if rows.labels else contract.classes_of(y)
            right += float(np.sum(weight * (contract.classes_of(y_pred[:number]) == wanted), dtype=np.float64))
            all_weight += float(np.sum(np.broadcast_to(weight, number), dtype=np.float64))
    if not finite_x:  # looked at once, not for every chunk: it may be a weight that is not finite
        contract.finite("x", rows.x)
    state.give_back(session)
    scores = {"loss": loss}
    if classify:
        scores["accuracy"] = right / all_weight if all_weight else float("nan")
    return scores


def gradients(state: State, rows: Rows) -> tuple[float, list[tuple[FloatArray, FloatArray]]]:
    """The loss and the gradients of each layer, new."""
    session = state.session(GRADIENTS, len(rows.x), rows.y.shape[1], labels=rows.labels)
    losses = session.carry_out(state.parameters, *rows.arrays)
    vector = session.gradient[: state.parameters.size]
    weights, biases = state.views(vector)
    result = [(np.array(w, order="C"), b.copy()) for w, b in zip(weights, biases, strict=True)]
    finite = np.isfinite(losses[0]) and np.isfinite(vector).all()
    state.give_back(session)
    if not finite:
        contract.raise_network_diverged(rows.x, rows.y, state.weights, state.biases, None)
    return float(losses[0]), result


def train(
    state: State,
    rows: Rows,
    batch: int,
    order: Order = AS_THEY_LIE,
    *,
    epoch: int | None = None,
    epochs: int = 1,
) -> FloatArray:
    """One update for each batch, and the loss before it. If one is not finite, all is as it was before that update.

    If Ctrl-C ends it, all is as after a whole batch. `epoch` is the number of the first of the `epochs`, whose orders
    follow each other in `order`.
    """
    state.settle()
    count = (order.size or len(rows.x)) // epochs
    session = state.session(TRAIN, batch, rows.y.shape[1], labels=rows.labels)
    coefficients = state.coefficients(epochs * -(-count // batch))
    try:
        losses = _update(state, session, rows, order, coefficients, epochs)
        if not session.finite:
            contract.finite("x", rows.x)  # a nan or inf there is no divergence, and no batch before it counts
            contract.finite("y", rows.y)
            # What was not finite came about somewhere in these batches: go through them again, one by one. The same
            # bits come again, so that nothing but time is lost.
            starts = itertools.product(range(epochs), range(0, count, batch))
            for i, (number, first) in enumerate(starts):
                before = number * count
                some, some_order = rows.some(order, before + first, before + min(first + batch, count))
                _update(state, session, some, some_order, coefficients[i : i + 1])
                if not session.finite:
                    known = None if epoch is None else epoch + number
                    of_network = state.weights, state.biases, state.updates
                    contract.raise_network_diverged(rows.x, rows.y, *of_network, known)
    finally:
        state.settle()
    state.give_back(session)
    return losses


def _update(
    state: State, session: Session, rows: Rows, order: Order, coefficients: FloatArray, epochs: int = 1
) -> FloatArray:
    """The loss of each batch. If anything is not finite, nothing has changed."""
    session.rewind()
    before = state.snapshot()
    state.begin(Change(before, session))
    losses = session.carry_out(
        state.parameters, *rows.arrays, order, slots=state.slots, coefficients=coefficients, epochs=epochs
    )
    if session.finite:
        state.updated(session.batches)
        state.end()
    else:
        state.restore(before)
    return losses
