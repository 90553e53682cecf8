"""The plan of a layer of few rows, whose weights stay where the caller has them: `fastbp.kernels.few_rows`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.contract import FloatArray
from fastbp.cutting import MOST_TASKS, power_of_two_within
from fastbp.kernels.few_rows import SQUARES, Plan
from fastbp.layers.work import work_of
from fastbp.memory import PAGE, SAME_SETS, Places, padded
from fastbp.tiles.registers import CACHE_LINE_VECTORS, TILE_ROWS, lanes_of

# A task has so many multiply-adds, a cut so many inputs, and a group so many bytes of a row of weights, at least.
# Inputs are cut first: 32 x 784 -> 128 on two threads of a Zen 3 took 116 us so, and in groups of outputs, where every
# page of weights is for both cores, 178 us, or 320 if these share no cache. With more rows there are but four cuts:
# eight, or groups half as wide, serve more threads than four, and cost two 5 %. (Groups must have two cache lines: the
# vector that ends with the outputs is updated in a single task.)
WORK_OF_TASK = 60_000
INPUTS_OF_CUT = 32
BYTES_OF_GROUP = 512
LEAST_CUTS = 4
# A block of weights, in the level 1 cache: so many bytes, and vectors of a row. What is used for one tile of rows alone
# is streamed from memory, 1.3 times as fast if rows of weights are not cut: up to so many vectors. Of long rows,
# those of one tile are enough: with two, 1 x 1024 -> 1024 took twice as long, since all lie in the same cache sets.
BLOCK_BYTES = 32 * 1024
BLOCK_VECTORS = 16
STREAM_VECTORS = 256
# Weights of more bytes come from memory for every product, sooner in longer pieces: 20 x 1474 -> 908 in float64 took
# 0.94 of the time so on two threads, 30 x 2000 -> 2000 in float32 0.91; but 64 x 1000 -> 1000, of 4 MB, 1.11.
FAR_WEIGHT_BYTES = 8 * 1024 * 1024
FAR_VECTORS = 32


def plan_of_few_rows(
    rows: int, inputs: int, outputs: int, dtype: np.dtype[Any], threads: int, *, kept: bool
) -> tuple[Plan, int, int]:
    """The plan, the threads that it takes, and elements of memory; gradients are `kept`, or there are none."""
    lanes = lanes_of(dtype.itemsize)
    most = min(MOST_TASKS, work_of(rows, inputs, outputs) // WORK_OF_TASK)
    # What each cut adds to y_pred is written and read: few cuts where rows are many.
    cuts = power_of_two_within(most, inputs // INPUTS_OF_CUT, max(inputs // (4 * rows), LEAST_CUTS))
    groups = power_of_two_within(most // cuts, outputs * dtype.itemsize // BYTES_OF_GROUP)
    tasks = cuts * groups
    width = padded(outputs, CACHE_LINE_VECTORS * lanes, dtype)
    far = inputs * outputs * dtype.itemsize > FAR_WEIGHT_BYTES
    vectors = STREAM_VECTORS if rows <= TILE_ROWS else FAR_VECTORS if far else BLOCK_VECTORS
    block_outputs = min(width, vectors * lanes)
    of_cut = -(-inputs // cuts)
    blocks = -(-of_cut // (TILE_ROWS * max(1, BLOCK_BYTES // (TILE_ROWS * block_outputs * dtype.itemsize))))
    block_inputs = -(-of_cut // (blocks * TILE_ROWS)) * TILE_ROWS
    same_sets = rows > 2 * TILE_ROWS and outputs * dtype.itemsize % SAME_SETS == 0

    places = Places(dtype, PAGE)
    shared = {
        "y": places.take(rows * width),
        "y_pred": places.take(cuts * rows * width),
        "gradient": places.take((inputs + 1) * width if kept else 0),
        "bias_input": places.take(rows),
        "tail": places.take((rows + 1) * lanes if outputs % lanes else 0),
        "squares": places.take(tasks * SQUARES * lanes),
    }
    places.end_shared()
    plan = Plan(
        cuts=cuts,
        groups=groups,
        tasks=tasks,
        block_inputs=block_inputs,
        block_outputs=block_outputs,
        packed=int(same_sets),
        width=width,
        **shared,
        block=places.take(block_inputs * block_outputs),
        sums=places.take(rows * lanes),
        worker=places.end_worker(),
    )
    threads = min(threads, tasks)
    return plan, threads, places.shared + threads * plan.worker


def gradients_in(memory: FloatArray, plan: Plan, inputs: int, outputs: int) -> tuple[FloatArray, FloatArray]:
    """dC/dw and dC/db where GRADIENT keeps them."""
    gradient = memory[plan.gradient :][: (inputs + 1) * plan.width].reshape(inputs + 1, plan.width)
    return gradient[:inputs, :outputs], gradient[inputs, :outputs]
