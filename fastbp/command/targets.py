"""What a target column means: classes, one output each, or values on a scale, in a single output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastbp.command.tables import Table, quoted

Task = Literal["auto", "classes", "values"]

MOST_WHOLE_NUMBERS = 30  # with more different whole numbers than these, a column is taken for values
MOST_CLASSES = 1000
EDGE = 0.1  # values are scaled onto EDGE to 1 - EDGE, where the sigmoid is not yet flat


@dataclass(frozen=True)
class Classes:
    """A class is its position in `labels`; its target is 1 in the output of that position and 0 in the others."""

    labels: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """One output a class."""
        return len(self.labels)

    def encode(self, actual: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """y (rows, outputs) of the classes `actual` (rows,)."""
        y = np.zeros((len(actual), self.outputs), dtype)
        y[np.arange(len(actual)), actual] = 1
        return y

    def decode(self, y_pred: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """The class (rows,) with the largest output."""
        return np.asarray(np.argmax(y_pred, axis=1))

    def score(self, predicted: npt.NDArray[Any], actual: npt.NDArray[Any]) -> dict[str, float]:
        """The share of rows whose class is right."""
        return {"accuracy": float(np.mean(predicted == actual))}

    def words(self, predicted: npt.NDArray[Any]) -> list[str]:
        """The labels of classes."""
        return [self.labels[position] for position in predicted]


@dataclass(frozen=True)
class Values:
    """A value between `low` and `high`, the range of the training rows, is an output between 0.1 and 0.9."""

    low: float
    high: float

    @property
    def outputs(self) -> int:
        """One."""
        return 1

    def encode(self, actual: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """y (rows, 1) of the values `actual` (rows,)."""
        share = (actual / 2 - self.low / 2) / (self.high / 2 - self.low / 2)  # halves, lest the range overflow
        return (EDGE + (1 - 2 * EDGE) * share).astype(dtype)[:, None]

    def decode(self, y_pred: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The values (rows,) of outputs, in the dtype of y_pred."""
        share = (y_pred[:, 0].astype(np.float64) - EDGE) / (1 - 2 * EDGE)
        with np.errstate(over="ignore"):
            return (self.low * (1 - share) + self.high * share).astype(y_pred.dtype)

    def score(self, predicted: npt.NDArray[Any], actual: npt.NDArray[Any]) -> dict[str, float]:
        """R^2 (nan where the actual values do not differ) and the root of the mean squared error."""
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.mean((predicted.astype(np.float64) - actual) ** 2)
            spread = np.mean((actual - actual.mean()) ** 2)
            return {"R^2": float(1 - error / spread) if spread > 0 else float("nan"), "RMSE": float(np.sqrt(error))}

    def words(self, predicted: npt.NDArray[Any]) -> list[str]:
        """The values, as short as their dtype can be told apart."""
        return [str(value) for value in predicted]


def read_target(table: Table, column: int, task: Task) -> tuple[Classes | None, npt.NDArray[Any]]:
    """The classes of a column and the class of each row, or None and the value of each row."""
    name = f"target {quoted(table.names[column])}"
    if column in table.text:
        if task == "values":
            table.numbers([column])  # refuses the text, by its row
        labels, actual = np.unique(np.array(table.words(column), dtype=object), return_inverse=True)
        if len(labels) > max(2, min(MOST_CLASSES, table.rows // 2)):
            raise ValueError(
                f"{name} has {len(labels)} different texts in {table.rows} rows; classes that recur are wanted"
            )
        return _classes(name, [str(label) for label in labels]), actual

    values = table.numbers([column])[:, 0].astype(np.float64)
    numbers, actual = np.unique(values, return_inverse=True)
    whole = bool((numbers == np.floor(numbers)).all())
    if task == "values" or (
        task == "auto" and not (whole and len(numbers) <= max(2, min(MOST_WHOLE_NUMBERS, table.rows // 2)))
    ):
        return None, values
    if len(numbers) > MOST_CLASSES:
        raise ValueError(f"{name} has {len(numbers)} different numbers; at most {MOST_CLASSES} classes are wanted")
    return _classes(name, [str(int(n)) if n == np.floor(n) else repr(float(n)) for n in numbers]), actual


def _classes(name: str, labels: list[str]) -> Classes:
    if len(labels) < 2:
        raise ValueError(f"{name} is {quoted(labels[0])} in every row; at least two classes are wanted")
    return Classes(tuple(labels))
