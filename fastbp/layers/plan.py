"""How the work of a call on a layer is cut: as that of few rows, or that of many.

Whatever decides a bit of a result follows from the shapes, the dtype and the width of a vector. The number of threads
decides who does what, and in how many tasks where these give the same bits.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from fastbp.cutting import LINE_WORK
from fastbp.kernels import few_rows, many_rows
from fastbp.kernels.layer import Plan
from fastbp.layers.cycles import few_is_faster
from fastbp.layers.few_rows import plan_of_few_rows
from fastbp.layers.many_rows import plan_of_many_rows
from fastbp.layers.work import PARALLEL_WORK, work_of
from fastbp.tiles.registers import lanes_of

# Outputs of `fastbp.kernels.tiny`, at most, which goes through them one by one: 2 x 3 -> 64 takes it 7.2 us, of which
# 0.9 are the step itself, and `few_rows` 8.3 and 0.5; 3 x 1 -> 1007 took it 31 us, and `few_rows` 13.
MOST_TINY = 64
# Few rows: at most. With more of them the weights are transposed for next to nothing: 128 x 16 -> 1000 in float32 took
# 151 us on two threads as many rows, and 194 as few.
FEW_ROWS = 127


def is_tiny(rows: int, inputs: int, outputs: int, itemsize: int) -> bool:
    """Whether rows and inputs fit one vector each, as `fastbp.kernels.tiny` wants it, and outputs are not many."""
    return max(rows, inputs) <= lanes_of(itemsize) and outputs <= MOST_TINY


@functools.lru_cache(maxsize=256)
def plan_for(
    rows: int, inputs: int, outputs: int, dtype: np.dtype[Any], threads: int, *, forward: bool, update: bool
) -> Plan:
    """The plan of a call on x (rows, inputs) and w (inputs, outputs).

    It is only `forward`, or for gradients, which `update` the weights or are kept.
    """
    shape = rows, inputs, outputs
    work = work_of(*shape)
    threads = threads if work > PARALLEL_WORK else 1
    if rows <= FEW_ROWS and work <= LINE_WORK and few_is_faster(*shape, dtype.itemsize):
        few, threads, size = plan_of_few_rows(*shape, dtype, threads, kept=not (update or forward))
        counts = {"costs": few.tasks, "update_tasks": few.tasks}
        return Plan(threads=threads, **counts, size=size, few=1, few_rows=few, many_rows=many_rows.NO_PLAN)
    many, threads, size = plan_of_many_rows(*shape, dtype, threads, forward=forward)
    counts = {"costs": many.parts * many.groups, "update_tasks": many.pieces}
    return Plan(threads=threads, **counts, size=size, few=0, few_rows=few_rows.NO_PLAN, many_rows=many)
