"""A network of dense layers, trained in mini-batches by the kernels; `fastbp.reference.Network` is one in NumPy."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastbp import contract, optimizers
from fastbp.architecture import Architecture, PerLayer
from fastbp.contract import FloatArray
from fastbp.history import History
from fastbp.imports import imported_whole
from fastbp.optimizers import Optimizer
from fastbp.stopping import EarlyStopping

if TYPE_CHECKING:
    from fastbp.networks.engine import Rows
    from fastbp.networks.fitting import Validation
    from fastbp.networks.state import State
    from fastbp.networks.storage import Extra


_engine, _fitting, _storage = (
    functools.partial(imported_whole, f"fastbp.networks.{module}") for module in ("engine", "fitting", "storage")
)


class Network:
    """A dense network.

    sizes: inputs, hidden layers, outputs. Weights begin uniform within Glorot's limits or, of a relu, He's; biases at
        0.
    activation: of the hidden layers, one name or one for each: "sigmoid", "tanh", "relu", "leaky_relu" (slope 0.01) or
        "identity".
    output_activation: one of these or, of two outputs or more, "softmax"; None is "softmax" for the loss
        "cross_entropy", else "sigmoid". For values of any size "identity" is wanted.
    loss: "squared_error", "binary_cross_entropy" (of a sigmoid) or "cross_entropy" (of a softmax), each summed over the
        outputs and averaged over the rows.
    dtype: float32 or float64.
    seed: of all random numbers, 0 to 2^128 - 1: the same seed makes the same network, and the same training.

    What all methods have in common:

    x: (rows, inputs), anything that NumPy makes real numbers of; a C-contiguous one of the network's dtype is used in
        place.
    y: (rows, outputs), or (rows,) for one output; for "cross_entropy" also labels (rows,), integers in 0 ... outputs -
        1. Other y must be in 0 ... 1 for "binary_cross_entropy", and 0 or more for "cross_entropy".
    sample_weight: (rows,), 0 or more; the loss of a row is multiplied by it, and the mean is over the number of rows
        all the same.

    Whatever cannot be used is a TypeError or ValueError that names it, before anything changes. Results are the same,
    bit for bit, for any number of threads. Several Python threads may use one network. Those that change it take turns,
    a step, an epoch or some short ones each; what is predicted, evaluated or saved is the network before or after such
    a turn.
    """

    __slots__ = ("__weakref__", "_state")  # so that no misspelt setting is taken

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
        architecture = Architecture.of(sizes, activation, output_activation, loss, dtype)
        seed = contract.seed(seed)
        self._state: State = _engine().State(architecture, seed)

    @property
    def architecture(self) -> Architecture:
        """Sizes, activations, loss and dtype."""
        return self._state.architecture

    @property
    def weights(self) -> PerLayer:
        """w (inputs, outputs) of each layer, a transposed view. Writing into it changes the network.

        `weights[l][...] = w`, `weights[l] = w` and `weights[l] -= change` write into it alike.
        """
        return self._state.weights

    @property
    def biases(self) -> PerLayer:
        """b (outputs,) of each layer. Writing into it changes the network, as with `weights`."""
        return self._state.biases

    @property
    def optimizer(self) -> Optimizer:
        """The one that was used last, at first SGD(learning_rate=0.01)."""
        return self._state.optimizer

    @property
    def updates(self) -> int:
        """How many updates the optimizer has made: a schedule is asked for the rate of the next one by it."""
        return self._state.updates

    def __repr__(self) -> str:
        made = self.architecture
        return f"Network({list(made.sizes)}, {', '.join(made.activations)}, {made.loss}, {made.dtype})"

    def predict(self, x: Any) -> FloatArray:
        """y_pred (rows, outputs)."""
        x = contract.samples(x, self.architecture.inputs, self.architecture.dtype)
        return self._state.look(lambda: _engine().predict(self._state, x))

    def predict_classes(self, x: Any) -> npt.NDArray[np.int64]:
        """The class of each row, (rows,) int64: the largest output; of one alone, whether it is above 1/2."""
        return contract.classes_of(self.predict(x))

    def evaluate(self, x: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """The "loss" and, for the cross-entropies, the "accuracy": the share of rows whose class is right.

        The share is weighted by sample_weight, and nan where that is 0 throughout.
        """
        rows = self._rows(x, y, sample_weight)
        scores: dict[str, float] = self._state.look(lambda: _engine().evaluate(self._state, rows))
        contract.finite("y", rows.y)
        return scores

    def gradients(
        self, x: Any, y: Any, *, sample_weight: Any = None
    ) -> tuple[float, list[tuple[FloatArray, FloatArray]]]:
        """The loss, and (dC/dw, dC/db) of each layer; FloatingPointError if one is not finite."""
        rows = self._rows(x, y, sample_weight)
        with self._state.turn():
            self._state.settle()
            loss, of_layers = _engine().gradients(self._state, rows)
        return loss, of_layers

    def step(self, x: Any, y: Any, *, optimizer: Optimizer | None = None, sample_weight: Any = None) -> float:
        """One update from all rows; the loss before it.

        optimizer: None is that of the call before, at first SGD(learning_rate=0.01). One of another class, or that
            remembers more or less than the one before, starts anew; else the count of updates and what was remembered
            are kept.

        FloatingPointError if the loss or the update is not finite: all is left as it was before this update, the
        optimizer too.
        """
        engine, rows = _engine(), self._rows(x, y, sample_weight)
        self._apart(rows)
        using = self._state.using(optimizer) if optimizer is not None else nullcontext()  # 6 us less
        with self._state.turn(), using:
            return float(engine.train(self._state, rows, len(rows.x))[0])

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
        validation_data: Sequence[Any] | None = None,
        validation_fraction: float | None = None,
        early_stopping: EarlyStopping | None = None,
        callback: Callable[[int, dict[str, float]], Any] | None = None,
        progress: bool = False,
    ) -> History:
        """Train for some more epochs, and return the metrics of each.

        epochs: how many.
        batch_size: rows of an update, None for all; the last of an epoch may have fewer.
        optimizer: as in `step`, and kept for all these epochs, whatever other calls use in between.
        shuffle: take the rows of each epoch in a new order, which follows from the seed, if they are more than a batch.
        validation_data: (x, y) or (x, y, sample_weight) to judge each epoch by.
        validation_fraction: hold out so much of the rows instead, 0 to below 1; which ones follows from the seed and
            their number.
        early_stopping: see `EarlyStopping`.
        callback: called as callback(epoch, metrics) after each epoch, which count from 0; training ends if it returns
            True.
        progress: show a bar.

        FloatingPointError if the loss or the update of a batch is not finite: all is left as the batch before it left
        it, also where `early_stopping` knows better weights; if it is the first of its epoch, as if that had not begun.
        Ctrl-C ends training within 0.2 s with a KeyboardInterrupt, after a whole batch: the network keeps what it has
        learned, and what `early_stopping` or the history would have held is gone; `callback` sees each epoch in time to
        keep it.
        """
        rows = self._rows(x, y, sample_weight)
        self._apart(rows)
        epochs = contract.count("epochs", epochs, 0)
        batch = None if batch_size is None else contract.count("batch_size", batch_size, 1)
        shuffle = contract.flag("shuffle", shuffle)
        progress = contract.flag("progress", progress)
        trained, validation = self._validation(rows, validation_data, validation_fraction)
        if early_stopping is not None:
            if not isinstance(early_stopping, EarlyStopping):
                raise TypeError(f"early_stopping is {contract.shown(early_stopping)}; EarlyStopping or None is wanted")
            if validation is None and early_stopping.monitor != "loss":
                raise ValueError(
                    f"early_stopping monitors {early_stopping.monitor!r}, but there are no validation rows; "
                    f"validation_data or validation_fraction is wanted"
                )
        if epochs == 0:
            _finite(rows)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback is {contract.shown(callback)}; a function (epoch, metrics) or None is wanted")
        if optimizer is not None and optimizer is not self.optimizer:
            optimizers.checked(optimizer, self.architecture.dtype)
        history: History = _fitting().fit(
            self._state,
            rows,
            optimizer=optimizer,
            epochs=epochs,
            batch=batch,
            shuffle=shuffle,
            trained=trained,
            validation=validation,
            stopping=early_stopping,
            callback=callback,
            progress=progress,
        )
        return history

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that goes on with training needs to a safetensors file, whole or not at all."""
        _storage().save(self._state, contract.path("path", path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """The network that `save` wrote; training goes on with the same bits.

        ValueError if the file is not one that `save` wrote; FileNotFoundError if there is none.

        Of a model that `fastbp train --save` wrote it is the network alone, which wants inputs that are standardised as
        those of its training were; `fastbp predict` knows how.
        """
        return cls._of(_storage().load(contract.path("path", path)))

    @classmethod
    def _of(cls, state: State) -> Network:
        network = cls.__new__(cls)
        network._state = state
        return network

    def _rows(self, x: Any, y: Any, sample_weight: Any) -> Rows:
        made = self.architecture
        x = contract.samples(x, made.inputs, made.dtype)
        y, labels = contract.targets(y, len(x), made.outputs, made.dtype, made.loss)
        if labels:
            y = y.astype(made.dtype)[:, np.newaxis]
        rows: Rows = _engine().Rows(x, y, labels, contract.row_weights(sample_weight, len(x), made.dtype))
        return rows

    def _apart(self, rows: Rows) -> None:
        contract.check_apart_from_network([self._state.parameters], x=rows.x, y=rows.y, sample_weight=rows.weight)

    def _validation(
        self, rows: Rows, data: Any, fraction: Any
    ) -> tuple[npt.NDArray[np.int64] | None, Validation | None]:
        """The rows to train on, None for all, and those to judge by."""
        if data is not None and fraction is not None:
            raise ValueError("validation_data and validation_fraction are both given; one of them is wanted")
        if data is not None:
            if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
                raise TypeError(f"validation_data is {contract.shown(data)}; (x, y) or (x, y, sample_weight) is wanted")
            try:
                checked = self._rows(*data, *(None,) * (3 - len(data)))
                _finite(checked)
            except (TypeError, ValueError) as error:
                raise type(error)(f"validation_data: {error}") from None
            return None, _fitting().Validation(checked)
        if fraction is None:
            return None, None
        fraction = contract.not_negative("validation_fraction", fraction, below=1)
        if fraction == 0:
            return None, None
        if len(rows.x) < 2:
            raise ValueError(f"validation_fraction is {fraction}, but x has one row; two or more are wanted")
        trained, held_out = _fitting().split(self._state.seed, len(rows.x), fraction)
        return trained, _fitting().Validation(_finite(rows), held_out)


def save_with_extra(network: Network, path: Path, extra: Extra) -> None:
    """As `Network.save`, for an owner of the file who has more to say than a network does."""
    _storage().save(network._state, path, extra)


def load_with_extra(path: Path) -> tuple[Network, Extra | None]:
    """As `Network.load`, with what `save_with_extra` was given."""
    state, extra = _storage().load_with_extra(path)
    return Network._of(state), extra


def _finite(rows: Rows) -> Rows:
    """The rows, where no update would tell that one of them is not finite."""
    contract.finite("x", rows.x)
    contract.finite("y", rows.y)
    return rows
