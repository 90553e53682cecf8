"""How much work a batch is, and into how many tasks it is dealt out."""

from __future__ import annotations

from itertools import pairwise

from fastbp.architecture import Architecture
from fastbp.cutting import MOST_TASKS, power_of_two_within
from fastbp.tiles.registers import TILE_ROWS

# Multiply-adds of a task, and its outputs, or inputs of BACK, at least: two whole tiles.
WORK_OF_TASK = 100_000
ROWS_OF_TASK = 2 * TILE_ROWS
# Rows that fewer count for, since weights come and go for a single one as they do for them.
LEAST_COUNTED_ROWS = 4


def counted_rows(batch: int) -> int:
    """What the work of a batch is told from."""
    return max(batch, LEAST_COUNTED_ROWS)


def work_of_row(sizes: tuple[int, ...], passes: int) -> int:
    """Multiply-adds of a row; an activation and its slope count as 15, and to gather and transpose an input as 2."""
    return passes * sum(inputs * outputs for inputs, outputs in pairwise(sizes)) + 15 * sum(sizes[1:]) + 2 * sizes[0]


def tasks_of(work: int, outputs: int, most: int = MOST_TASKS) -> int:
    """Into how many groups so many outputs are dealt out, for so many multiply-adds."""
    return power_of_two_within(most, work // WORK_OF_TASK, outputs // ROWS_OF_TASK)


def tasks_of_cuts(architecture: Architecture, batch: int, cuts: int) -> int:
    """Groups of outputs of all cuts of the first layer's inputs: as many for each."""
    inputs, outputs = architecture.sizes[:2]
    return cuts * tasks_of(batch * inputs * outputs // cuts, outputs, MOST_TASKS // cuts)
