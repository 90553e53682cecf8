"""The order in which rows are taken."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastbp.kernels import shuffle as kernels

Order = npt.NDArray[np.int64]
AS_THEY_LIE: Order = np.empty(0, np.int64)

# Rows of a kernel call: Ctrl-C is heard between two of them, and their numbers stay in the cache.
ROWS_OF_CALL = 16384


def shuffle(generator: np.random.Generator, rows: Order, order: Order) -> None:
    """Fill `order` with the `rows`, or if they are AS_THEY_LIE with 0, 1, 2 ..., in a random one.

    A row takes a Zen 3 5 ns where there are 100000, and 9 where there are a million; NumPy's own permutation 13 and 36.
    """
    run = kernels.shuffle.for_dtype()
    for first in range(0, order.size, ROWS_OF_CALL):
        run(rows, first, generator.random(min(ROWS_OF_CALL, order.size - first)), order)


def skip(generator: np.random.Generator, rows: int) -> None:
    """Leave the random numbers where shuffles of so many rows would."""
    generator.random(rows)
