"""Numbers of any unit as multiples of their deviation around their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastbp.command.sizes import blocks


@dataclass(frozen=True)
class Standardisation:
    """(x - mean) scale for each column: mean and scale (columns,) are finite, and scale is 0 where x is constant."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    def apply(self, x: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """x (rows, columns) standardised, in `dtype`; what overflows is inf, which the engine refuses by its place."""
        standard = np.empty(x.shape, dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for block in blocks(len(x)):
                standard[block] = (x[block] - self.mean) * self.scale
        return standard


def measure(
    values: npt.NDArray[Any], chosen: npt.NDArray[np.intp], names: Sequence[str], *, alike: bool = False
) -> Standardisation:
    """The mean of each column over the `chosen` rows and one over its deviation; `alike`: those of all numbers."""
    size = np.zeros(values.shape[1])  # the largest number: sums are taken in its units, lest squares overflow
    total, squares = np.zeros_like(size), np.zeros_like(size)
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        for block in blocks(len(chosen)):
            rows = values[chosen[block]].astype(np.float64)
            size = np.maximum(size, np.maximum(rows.max(axis=0), -rows.min(axis=0)))
        if alike:
            size[:] = size.max()
        unit = np.where(size > 0, size, 1)
        for block in blocks(len(chosen)):
            total += (values[chosen[block]] / unit).sum(axis=0)
        mean = total / len(chosen)
        if alike:
            mean[:] = mean.mean()
        for block in blocks(len(chosen)):
            squares += ((values[chosen[block]] / unit - mean) ** 2).sum(axis=0)
        if alike:
            squares[:] = squares.mean()
        deviation = np.sqrt(squares / len(chosen))
        constant = deviation <= 8 * np.finfo(np.float64).eps * np.abs(mean)  # what rounding alone can make
        scale = np.where(constant, 0, 1 / (unit * deviation))
    bad = np.flatnonzero(~np.isfinite(scale))
    if len(bad):
        raise ValueError(f"{names[bad[0]]} has numbers too small to be standardised")
    return Standardisation(mean * unit, scale)
