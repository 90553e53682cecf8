"""A random order of rows.

Source: R. Durstenfeld, "Algorithm 235: Random permutation" (1964), from the first row to the last.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.jit import entry


def _examples(dtype):
    return np.empty(1, np.int64), 0, np.empty(1)


@entry(_examples)
def shuffle(order, first, numbers):
    """Go on with a shuffle that has come to `first`: a number in [0, 1) for each of the next rows of the order.

    Row i changes places with one of the rows 0 ... i. All come out equally often, but for one part in 2^53 / i.
    """
    for step in range(numbers.shape[0]):
        i = first + step
        j = int(numbers[step] * (i + 1))
        row = order[i]
        order[i] = order[j]
        order[j] = row
