"""How much work a step of a layer is."""

from __future__ import annotations

# Multiply-adds of a step below which a second thread does not pay: 200 x 64 -> 10 (370 000) in float32 takes 21 us on
# one and 20 us on two that share a cache, 512 x 64 -> 10 (940 000) 35 us and 24 us.
PARALLEL_WORK = 500_000


def work_of(rows: int, inputs: int, outputs: int) -> int:
    """Multiply-adds of a step, where a sigmoid counts as 30, reading a number of x as 4, and a row as 16.

    A gradient waits for one row after the other: 9629 x 2 -> 1 in float32 took 68 us on one thread, and 47 on two.
    """
    return rows * (2 * inputs * outputs + 30 * outputs + 4 * inputs + 16)
