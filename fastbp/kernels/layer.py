"""Whole steps of training a layer, and whatever else its functions want: the kernel that their programs are run by.

A step is a program, written by `fastbp.layers.program` from the shapes and carried out by `program`. Its lines are
phases of `many_rows`, or of `few_rows` where these are faster.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastbp.kernels import few_rows, many_rows
from fastbp.kernels.jit import example_matrices, inlined
from fastbp.kernels.layer_arrays import FAILED, SIDE, STEP, SURE, Arrays
from fastbp.kernels.program import TASKS, runner
from fastbp.kernels.sigmoid_layer import GRADIENTS
from fastbp.tiles.operations import block, load, sum_lanes
from fastbp.tiles.records import record

# The columns of a program. The purpose is that of rows: `sigmoid_layer`.
PHASE, PURPOSE, FIRST_ROW, LAST_ROW, CLOSING = range(TASKS + 1, TASKS + 6)

# What the leader does when all tasks of a line are done. TOTAL ends the call if the cost is not finite, the last two if
# a new weight is not.
NOTHING, TOTAL, CHECK, NEXT_STEP = range(4)


@record
class Plan(NamedTuple):
    """How the work is cut."""

    threads: int
    costs: int  # of parts of the rows and groups of the outputs: their sum is C
    update_tasks: int
    size: int  # of the memory, in elements
    few: int  # 1 if rows are few
    few_rows: few_rows.Plan  # if they are; else zeros
    many_rows: many_rows.Plan  # if they are not


@inlined
def _perform(program, index, task, worker, again, arrays, plan):
    phase, purpose = program[index, PHASE], program[index, PURPOSE]
    if plan.few:
        few_rows.perform(phase, purpose, arrays, plan.few_rows, worker, task)
    else:
        tasks, rows = program[index, TASKS], (program[index, FIRST_ROW], program[index, LAST_ROW])
        many_rows.perform(phase, purpose, arrays, plan.many_rows, worker, task, tasks, *rows, again)


@inlined
def _close(program, index, arrays, plan):
    """What is left to the leader at the end of a line. False if a cost or an update is not finite."""
    closing, state = program[index, CLOSING], arrays.state
    finite = True
    if closing == TOTAL:
        finite = _total(program[index, PURPOSE], arrays, plan)
    elif closing != NOTHING:
        failed = 0
        for task in range(plan.update_tasks):
            failed += state[FAILED + task]
        finite = failed == 0
        if finite and closing == NEXT_STEP:
            state[SIDE] = 1 - state[SIDE]
            state[STEP] += 1
    return finite


@inlined
def _total(purpose, arrays, plan):
    """C, from all costs: eq. 13. Whether it is finite."""
    total = 0.0
    for part in range(plan.costs):
        total += sum_lanes(load(block(arrays.cost, part, 0, 1, arrays.cost.shape[1]), 0, 0))
    arrays.costs[arrays.state[STEP]] = total
    if plan.few:
        sure = purpose == GRADIENTS and few_rows.surely_finite(arrays, plan.few_rows, total)
        arrays.state[SURE] = 1 if sure else 0
    return np.isfinite(total)


@inlined
def _conclude(arrays, plan):
    """Nothing: every line has told whether it is finite."""
    return  # Numba's profiling cannot do with a function without a statement


def _examples(dtype):
    matrix, float64, whole = example_matrices(dtype)
    arrays = Arrays(
        x=matrix,
        y=matrix,
        y_pred=matrix,
        w=matrix,
        b=matrix,
        memory=matrix[0],
        cost=float64,
        state=whole[0],
        desk=whole,
        costs=float64[0],
        learning_rate=0.1,
        bias_rate=0.1,
    )
    return arrays, Plan(0, 0, 0, 0, 0, few_rows.NO_PLAN, many_rows.NO_PLAN)


run = runner("layer.run", _perform, _close, _conclude, _examples)
