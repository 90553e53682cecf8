"""What `Network.fit` tells of its epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastbp import contract
from fastbp.contract import FloatArray

FEW_EPOCHS = 30  # each is marked in a plot


class History(Mapping[str, FloatArray]):
    """The metrics of each epoch, arrays (epochs,) by name.

    loss: the mean over the rows of an epoch of the loss that each batch had before its update; learning_rate of its
    first update; val_loss and, for a cross-entropy, val_accuracy after it, where there are validation rows.
    best_epoch: the one whose weights were returned to, or None.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {"loss": [], "learning_rate": []}
        self.best_epoch: int | None = None

    def append(self, metrics: Mapping[str, float]) -> None:
        """The metrics of one more epoch, numbers by name."""
        if not isinstance(metrics, (dict, Mapping)):  # a class as such is told sooner than an abstract one
            raise TypeError(f"metrics is {contract.shown(metrics)}; a dictionary of numbers is wanted")
        for name in metrics:
            if not isinstance(name, str):
                raise TypeError(f"metrics has the name {contract.shown(name)}; a string is wanted")
        numbers = {  # to write the name of a metric takes longer than most: only where it may be wanted
            name: value if type(value) is float else contract.number(f"metrics[{contract.shown(name)}]", value)
            for name, value in metrics.items()
        }
        for name, value in numbers.items():
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> FloatArray:
        return np.array(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        """Whether all metrics are the same, nan and nan too, and so is the best epoch."""
        if not isinstance(other, History):
            return NotImplemented
        same = self._values.keys() == other._values.keys() and self.best_epoch == other.best_epoch
        return same and all(np.array_equal(self[name], other[name], equal_nan=True) for name in self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"History({len(self._values['loss'])} epochs: {', '.join(self)})"

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses into a Matplotlib Axes, or one of a new figure of pyplot, and return it.

        ImportError without Matplotlib.
        """
        try:
            from matplotlib import pyplot
            from matplotlib.axes import Axes
            from matplotlib.ticker import MaxNLocator
        except ImportError:
            raise ImportError("plot needs Matplotlib: pip install matplotlib") from None

        if ax is None:
            _, ax = pyplot.subplots(layout="constrained")
        elif not isinstance(ax, Axes):
            raise TypeError(f"ax is {contract.shown(ax)}; a Matplotlib Axes or None is wanted")
        for name, label in (("loss", "training"), ("val_loss", "validation")):
            if name in self:
                marker = "." if len(self[name]) < FEW_EPOCHS else None  # of a single one, no line is to be seen
                ax.plot(np.arange(1, len(self[name]) + 1), self[name], marker=marker, label=label)
        if self.best_epoch is not None:
            ax.axvline(self.best_epoch + 1, color="0.6", linewidth=1, label="best")
        ax.set(xlabel="epoch", ylabel="loss")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
        return ax
