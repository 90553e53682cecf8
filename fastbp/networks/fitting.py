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

from fastbp.history import EarlyStopping, History
from fastbp.networks import engine
from fastbp.networks.engine import Rows
from fastbp.networks.order import AS_THEY_LIE, Order, shuffle as shuffle_rows
from fastbp.networks.state import Snapshot, State
from fastbp.optimizers import Optimizer

_ENDED = "an epoch begins with a learning rate of 0, by which nothing is learned: {} has ended, at update {}"

Callback = Callable[[int, dict[str, float]], Any]


class Validation(NamedTuple):
    """The rows that an epoch is judged by: `order` of them, or all as they lie."""

    rows: Rows
    order: Order


def split(seed: int, count: int, fraction: float) -> tuple[Order, Order]:
    """The rows to train on and those to validate with; the same ones for every call with this seed and count."""
    order = np.arange(count)
    shuffle_rows(np.random.default_rng((seed, count)), order)
    held_out = max(1, int(count * fraction))
    return order[: count - held_out], order[count - held_out :]


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
    """Train on the rows of `trained`, or on all. Between the epochs other threads may have the network."""
    history = History()
    count = len(rows.x) if trained is None else trained.size
    batch = count if batch is None else min(batch, count)
    shares = np.full(-(-count // batch), batch / count)  # of each batch in the rows
    shares[-1] = (count - batch * (shares.size - 1)) / count  # it may have fewer rows
    best: Snapshot | None = None
    lowest, waited = math.inf, 0
    # A bar that is not shown would cost 13 us, more than a batch of a small network.
    most = epochs if epochs <= sys.maxsize else None  # of which tqdm makes floats
    with tqdm(total=most, desc="fit", unit="epoch") if progress else nullcontext() as bar:
        for epoch in range(epochs):
            with state.turn(), state.using(optimizer):
                optimizer = state.optimizer  # of this call, whatever others use between its epochs
                rate = state.optimizer.rate(state.updates)
                if rate == 0:
                    warnings.warn(_ENDED.format(state.optimizer.learning_rate, state.updates), stacklevel=3)
                losses = engine.train(state, rows, _order(state, trained, count, batch, shuffle), batch, epoch)
                metrics = {"loss": float(np.add.reduce(losses * shares)), "learning_rate": rate}
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
                bar.update()
            wish = None if callback is None else callback(epoch, dict(metrics))
            if (isinstance(wish, (bool, np.bool_)) and wish) or (stopping is not None and waited >= stopping.patience):
                break
    if best is not None:
        with state.turn():
            state.restore(best)
    return history


def _order(state: State, trained: Order | None, count: int, batch: int, shuffle: bool) -> Order:
    """The rows of the next epoch."""
    if shuffle and batch < count:
        order = np.arange(count) if trained is None else trained.copy()
        shuffle_rows(state.generator, order)
        return order
    return AS_THEY_LIE if trained is None else trained
