"""Whole epochs of mini-batch training of a network of dense layers.

A program (`fastbp.networks.program`) says which `network_operations` make a task. In small networks a task is a shard
of the batch, which goes through all of them, a panel of rows after the other, each of which stays in the level 1 or 2
cache. Where the weights are many, every operation is a line of its own, and its tasks are groups of outputs. Where the
first layer has more inputs than outputs, its tasks are groups of outputs within cuts of the inputs: a worker gathers
only those of its own cuts.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.blocks import all_finite, whole_vectors
from fastbp.kernels.jit import example_matrices, inlined
from fastbp.kernels.network_operations import operate
from fastbp.kernels.program import TASKS, runner
from fastbp.kernels.updates import SCALE
from fastbp.kernels.workspace import (
    BATCH,
    FINITE,
    KIND,
    LAYER,
    ROW,
    ROWS,
    ROWS_LEFT,
    Arrays,
    Panel,
    Plan,
    Task,
    shards_in_use,
)
from fastbp.tiles.operations import block, lanes, load, matrix_at, sum_lanes

# The columns of a program: its tasks are parts of the rows x groups of the outputs; which rows of a batch they go
# through, and which operations they do with them; and what the leader does at the end of a line.
GROUPS, FIRST_ROW, LAST_ROW, FIRST_OPERATION, LAST_OPERATION, CLOSING = range(TASKS + 1, TASKS + 7)

# What the leader does at the end of a line, as bits.
TOTAL_LOSS, TOTAL_NORM, NEXT_BATCH = 1, 2, 4


@inlined
def _rows_of_batch(arrays, plan):
    """Where the batch begins in the rows of the call, and how many rows it has."""
    return arrays.state[ROW], min(plan.batch, arrays.state[ROWS_LEFT])


@inlined
def _perform(program, index, task, worker, again, arrays, plan):
    """The operations of a line on a part of its rows, panel by panel, for a group of the outputs."""
    at, of_batch = _rows_of_batch(arrays, plan)
    groups = program[index, GROUPS]
    own = worker * plan.worker
    whose = Task(task // groups, task % groups, groups, worker, own, 0 if plan.shared else own)
    first_row, last_row = min(program[index, FIRST_ROW], of_batch), min(program[index, LAST_ROW], of_batch)
    panels = -(-(last_row - first_row) // plan.panel)
    parts = min(program[index, TASKS] // groups, panels)
    if whose.part < parts:
        first = first_row + panels * whose.part // parts * plan.panel
        last = min(last_row, first_row + panels * (whose.part + 1) // parts * plan.panel)
        for row in range(first, last, plan.panel):
            rows = min(plan.panel, last - row)
            columns = whole_vectors(rows, lanes(arrays.x))
            panel = Panel(at + row, rows, columns, of_batch, first_row == 0 and row == first)
            for operation in range(program[index, FIRST_OPERATION], program[index, LAST_OPERATION]):
                kind, layer = arrays.operations[operation, KIND], arrays.operations[operation, LAYER]
                operate(arrays, plan, kind, layer, whose, panel)


@inlined
def _close(program, index, arrays, plan):
    """What is left to the leader at the end of a line. False if a loss of training is not finite."""
    closing, batch = program[index, CLOSING], arrays.state[BATCH]
    _, of_batch = _rows_of_batch(arrays, plan)
    if closing & TOTAL_LOSS:
        cost = block(arrays.cost, 0, 0, shards_in_use(plan, of_batch), arrays.cost.shape[1])
        total = 0.0
        for part in range(cost.shape[0]):
            total += sum_lanes(load(cost, part, 0))
        arrays.losses[batch] = total
        if plan.training and not np.isfinite(total):
            arrays.state[FINITE] = 0
    if closing & TOTAL_NORM:
        norm = block(arrays.norm, 0, 0, program[index, GROUPS], arrays.norm.shape[1])
        total = 0.0
        for group in range(norm.shape[0]):
            total += sum_lanes(load(norm, group, 0))
        scale = min(1.0, plan.clip_norm / np.sqrt(total)) if total > 0.0 else 1.0
        # Of a norm that is not finite nan, and not 0, which would pass for an update.
        arrays.coefficients[batch, SCALE] = scale if np.isfinite(total) else np.nan
    if closing & NEXT_BATCH:
        arrays.state[BATCH] += 1
        arrays.state[ROW] += of_batch
        arrays.state[ROWS_LEFT] -= of_batch
        if arrays.state[ROWS_LEFT] == 0:  # the next epoch
            arrays.state[ROWS_LEFT] = arrays.state[ROWS]
    return arrays.state[FINITE] == 1


@inlined
def _conclude(arrays, plan):
    """See whether what has been updated is finite. If parameters are, what they moved by is: what is remembered."""
    if plan.training and arrays.state[BATCH] > 0 and not all_finite(matrix_at(arrays.parameters, 0, 1, plan.size)):
        arrays.state[FINITE] = 0


def _examples(dtype):
    matrix, float64, whole = example_matrices(dtype)
    arrays = Arrays(
        x=matrix,
        y=matrix,
        sample_weight=matrix[0],
        order=whole[0],
        y_pred=matrix,
        parameters=matrix[0],
        slot_1=matrix[0],
        slot_2=matrix[0],
        coefficients=matrix,
        losses=float64[0],
        memory=matrix[0],
        gradient=matrix[0],
        cost=float64,
        norm=float64,
        layers=whole,
        operations=whole,
        state=whole[0],
        gathered=whole,
        desk=whole,
    )
    return arrays, Plan(*[0] * len(Plan._fields))._replace(clip_norm=0.0)


run = runner("network.run", _perform, _close, _conclude, _examples)
