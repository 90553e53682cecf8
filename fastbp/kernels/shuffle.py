"""A random order of rows.

Source: R. Durstenfeld, "Algorithm 235: Random permutation" (1964), from the first row to the last.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.jit import entry


def _examples(dtype):
    rows = np.empty(1, np.int64)
    return rows, 0, np.empty(1), rows


@entry(_examples)
def shuffle(rows, first, numbers, order):
    """Go on with an order that has come to `first`: a number in [0, 1) for each of the next `rows`.

    Row i takes the place of one of the rows 0 ... i, which goes to the end. All come out equally often, but for one
    part in 2^53 / i. Without rows, (0,), they are 0, 1, 2 ...
    """
    for step in range(numbers.shape[0]):
        i = first + step
        j = int(numbers[step] * (i + 1))
        order[i] = order[j]
        order[j] = rows[i] if rows.shape[0] > 0 else i
