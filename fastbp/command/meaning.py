"""What the outputs of a network mean: classes, or values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastbp.contract import classes_of

DIGITS_SHOWN = 6  # of a value, below the deviation of those trained on


@dataclass(frozen=True)
class Classes:
    """A class is its position in `labels`."""

    labels: tuple[str, ...]

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses that classes can be learned by, the usual one first."""
        return ("cross_entropy", "squared_error", *(["binary_cross_entropy"] if len(self.labels) == 2 else []))

    def outputs(self, loss: str) -> int:
        """One output a class; one in all, which is the second of two classes, for binary_cross_entropy."""
        return 1 if loss == "binary_cross_entropy" else len(self.labels)

    def encode(self, actual: npt.NDArray[Any], loss: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """What a network of this loss takes for the classes `actual` (rows,)."""
        if loss == "cross_entropy":
            return actual
        if loss == "binary_cross_entropy":
            return actual.astype(dtype)[:, np.newaxis]
        y = np.zeros((len(actual), len(self.labels)), dtype)
        y[np.arange(len(actual)), actual] = 1
        return y

    def decode(self, y_pred: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The class (rows,) of outputs (rows, outputs)."""
        return classes_of(y_pred)

    def score(self, predicted: npt.NDArray[Any], actual: npt.NDArray[Any]) -> dict[str, float]:
        """The share of rows whose class is right."""
        return {"accuracy": float(np.mean(predicted == actual))}

    def words(self, predicted: npt.NDArray[Any]) -> list[str]:
        """The labels of classes."""
        return [self.labels[position] for position in predicted]


@dataclass(frozen=True)
class Values:
    """An output is (value - mean) / deviation, by the mean and deviation of the rows trained on."""

    mean: float
    deviation: float

    @property
    def losses(self) -> tuple[str, ...]:
        """The loss that values can be learned by."""
        return ("squared_error",)

    def outputs(self, _loss: str) -> int:
        """One."""
        return 1

    def encode(self, actual: npt.NDArray[Any], _loss: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """y (rows, 1) of the values `actual` (rows,)."""
        with np.errstate(over="ignore"):
            return ((actual - self.mean) / self.deviation).astype(dtype)[:, np.newaxis]

    def decode(self, y_pred: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The values (rows,) of outputs (rows, 1)."""
        with np.errstate(over="ignore"):
            return self.mean + self.deviation * y_pred[:, 0].astype(np.float64)

    def score(self, predicted: npt.NDArray[Any], actual: npt.NDArray[Any]) -> dict[str, float]:
        """The root of the mean squared error, in the values' units, and R^2, nan where the actual do not differ."""
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.mean(((predicted - actual) / self.deviation) ** 2)
            away = (actual - self.mean) / self.deviation
            spread = np.mean((away - away.mean()) ** 2)
            r_squared = float(1 - error / spread) if spread > 0 else math.nan
            return {"error": float(self.deviation * np.sqrt(error)), "R^2": r_squared}

    def words(self, predicted: npt.NDArray[Any]) -> list[str]:
        """The values, rounded to a millionth of the deviation."""
        places = DIGITS_SHOWN - math.floor(math.log10(self.deviation))
        return [str(round(value, places)) for value in predicted.tolist()]


Meaning = Classes | Values
