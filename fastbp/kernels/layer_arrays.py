"""What every kernel of a layer works on: the caller's arrays, the kernels' own memory, and what is known of a call."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastbp.tiles.records import record

# The elements of `state`: which of two copies of the weights is the present one, the updates done, whether the next one
# need not be rehearsed, whether it is sure that the x that goes forward is finite, and for each task of an update
# whether its last one failed.
SIDE, STEP, SURE, FINITE_X, FAILED = range(5)


@record
class Arrays(NamedTuple):
    """The caller's arrays, C-contiguous and of one dtype, the kernels' own memory, and the numbers of a step."""

    x: Any  # (rows, inputs)
    y: Any  # (rows, outputs)
    y_pred: Any  # (rows, outputs): written by FORWARD, read by BACKWARD
    w: Any  # (inputs, outputs)
    b: Any  # (1, outputs)
    memory: Any  # (size,): the matrices of the plan
    cost: Any  # (costs, lanes) float64
    state: Any  # (FAILED + update_tasks,) int64
    desk: Any  # (team.FIRST + threads, 8) int64: where the tasks are given out
    costs: Any  # (steps,) or, with the last one, (steps + 1,) float64: costs[i] is the cost after i updates
    learning_rate: float
    bias_rate: float
