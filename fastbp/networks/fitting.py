"""Epoch after epoch: the order of the rows, validation, and when to stop."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from fastbp.history import History
from fastbp.networks import engine
from fastbp.networks.engine import Rows
from fastbp.networks.order import AS_THEY_LIE, Order, shuffle as shuffle_rows, skip
from fastbp.networks.state import Snapshot, State
from fastbp.networks.work import work_of_row
from fastbp.optimizers import Optimizer
from fastbp.stopping import EarlyStopping

_ENDED = "an epoch begins with a learning rate of 0, by which nothing is learned: {} has ended, at update {}"

# Multiply-adds and rows of the epochs that are trained in one call: each takes 50 us by itself, whatever it does.
WORK_TOGETHER = 100_000_000
ROWS_TOGETHER = 16384

Callback = Callable[[int, dict[str, float]], Any]


class Validation(NamedTuple):
    """The rows that an epoch is judged by: `order` of them, or all as they lie."""

    rows: Rows
    order: Order = AS_THEY_LIE


def split(seed: int, count: int, fraction: float) -> tuple[Order, Order]:
    """The rows to train on and those to validate with; the same ones for every call with this seed and count."""
    order = np.empty(count, np.int64)
    shuffle_rows(np.random.default_rng((seed, count)), AS_THEY_LIE, order)
    held_out = max(1, int(count * fraction))
    return order[: count - held_out], order[count - held_out :]


class _Course(NamedTuple):
    """What every epoch goes through: `size` of the rows, those of `trained` or all, in batches."""

    rows: Rows
    trained: Order | None
    size: int
    batch: int
    shuffle: bool

    @property
    def batches(self) -> int:
        return -(-self.size // self.batch)


def fit(
    state: State,
    rows: Rows,
    *,
    optimizer: Optimizer | None,
    epochs: int,
    batch: int | None,
    shuffle: bool,
    trained: Order | None,
    validation: Validation | None,
    stopping: EarlyStopping | None,
    callback: Callback | None,
    progress: bool,
) -> History:
    """Train on the rows of `trained`, or on all.

    Between two epochs, or two times some short ones, other threads may have the network.
    """
    history = History()
    count = len(rows.x) if trained is None else trained.size
    batch = count if batch is None else min(batch, count)
    course = _Course(rows, trained, count, batch, shuffle and batch < count)
    watched = validation is not None or stopping is not None or callback is not None
    together = 1 if watched else _epochs_together(state, count)
    best: Snapshot | None = None
    lowest, waited = math.inf, 0
    most = epochs if epochs <= sys.maxsize else None  # of which tqdm makes floats
    # A bar that is not shown would cost 13 us, more than a batch of a small network.
    with tqdm(total=most, desc="fit", unit="epoch") if progress else nullcontext() as bar:
        epoch = 0
        while epoch < epochs:
            with state.turn(), state.using(optimizer):
                optimizer = state.optimizer  # of this call, whatever others use in between
                by_epoch = _train(state, course, epoch, min(together, epochs - epoch))
                for metrics in by_epoch[:-1]:
                    history.append(metrics)
                metrics = by_epoch[-1]
                if validation is not None:
                    scores = engine.evaluate(state, *validation)
                    metrics |= {f"val_{name}": value for name, value in scores.items()}
                history.append(metrics)
                if stopping is not None:
                    if metrics[stopping.monitor] < lowest - stopping.minimum_change:
                        lowest, waited, best, history.best_epoch = metrics[stopping.monitor], 0, state.snapshot(), epoch
                    else:
                        waited += 1
            if bar is not None:
                told = {name: f"{value:.4g}" for name, value in metrics.items() if name != "learning_rate"}
                bar.set_postfix(told, refresh=False)
                bar.update(len(by_epoch))
            wish = None if callback is None else callback(epoch, dict(metrics))
            if (isinstance(wish, (bool, np.bool_)) and wish) or (stopping is not None and waited >= stopping.patience):
                break
            epoch += len(by_epoch)
    if best is not None:
        with state.turn():
            state.restore(best)
    return history


def _epochs_together(state: State, count: int) -> int:
    """How many epochs of so many rows are trained in one call where nobody looks at the network in between."""
    work = count * work_of_row(state.architecture.sizes, 3)
    return max(1, min(WORK_TOGETHER // work, ROWS_TOGETHER // count))


def _train(state: State, course: _Course, epoch: int, epochs: int) -> list[dict[str, float]]:
    """The metrics of so many epochs, of which the first has the number `epoch`; of fewer where the rate ends at 0."""
    batches, first = course.batches, state.updates
    rates = [state.optimizer.rate(first + done * batches) for done in range(epochs)]
    if rates[0] == 0:
        warnings.warn(_ENDED.format(state.optimizer.learning_rate, first), stacklevel=4)
        epochs = 1
    elif 0 in rates:
        epochs = rates.index(0)
    random = state.generator.bit_generator.state
    order = _orders(state, course, epochs)
    try:
        losses = engine.train(state, course.rows, course.batch, order, epoch=epoch, epochs=epochs)
    except BaseException:
        if course.shuffle:  # as if the epochs that have not begun had not been drawn
            state.generator.bit_generator.state = random
            skip(state.generator, -(-(state.updates - first) // batches) * course.size)
        raise
    shares = np.full(batches, course.batch / course.size)  # of each batch in the rows
    shares[-1] = (course.size - course.batch * (batches - 1)) / course.size  # it may have fewer rows
    means = np.add.reduce(losses.reshape(epochs, batches) * shares, axis=1)
    return [{"loss": loss, "learning_rate": rate} for loss, rate in zip(means.tolist(), rates, strict=False)]


def _orders(state: State, course: _Course, epochs: int) -> Order:
    """The rows of the next epochs, one after the other."""
    rows = AS_THEY_LIE if course.trained is None else course.trained
    if course.shuffle:
        orders = np.empty((epochs, course.size), np.int64)
        for order in orders:
            shuffle_rows(state.generator, rows, order)
        return orders.ravel()
    return rows if epochs == 1 else np.tile(rows if rows.size else np.arange(course.size), epochs)
