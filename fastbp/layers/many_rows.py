"""The plan of a layer of many rows, gone through panel by panel: `fastbp.kernels.many_rows`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastbp.contract import FloatArray
from fastbp.cutting import (
    LEVEL_1,
    LINE_WORK,
    MOST_SHARDS,
    MOST_TASKS,
    largest_group,
    power_of_two_within,
)
from fastbp.kernels.many_rows import Plan
from fastbp.kernels.matmul import LEAST_VECTORS
from fastbp.layers.cycles import direct_cycles, outer_cycles
from fastbp.layers.panels import LEAST_OF_GROUP, groups_of_outputs, rows_of_strip, shards_and_panel
from fastbp.layers.work import PARALLEL_WORK, work_of
from fastbp.memory import PAGE, SAME_SETS, Places, in_strips, padded
from fastbp.tiles.registers import TILE_VECTORS, lanes_of

# Weights beyond this size share no level 2 cache with a panel: one gradient for all threads, not one for each shard. If
# they do so in groups of outputs, these are gone through instead.
WIDE_BYTES = 256 * 1024
# Of few outputs, though, a gradient for each shard costs less than to read x once more for one: 1000 x 8000 -> 10 in
# float32 took 10.1 ms on two threads of a Zen 3, and 5.8 with shards, 2000 x 3000 -> 24 7.1 and 6.6; but 1000 x 2000 ->
# 40 3.2 and 3.8, and 2000 x 10000 -> 30, with 1.2 MB, 31 and 43.
FEW_OUTPUTS = 32
WIDE_BYTES_OF_FEW = 1024 * 1024
# Panels of a stretch, and what it has at least where a line of a program, after which Ctrl-C is heard, would have less.
STRETCH_PANELS = 16
LEAST_OF_STRETCH = 4
# Tasks for a thread, at least, where it costs little to have more: no core is idle, and a slow one does not keep all
# others waiting. 4096 x 1024 -> 1024, 16 strips with 512 bits, took 16 threads of an Emerald Rapids 1.03 times as long.
TASKS_OF_THREAD = 2
# Tasks of columns of the gradient, at most. 16 x 8192 -> 7 in float32 had 512, of as many columns as a panel has rows:
# two threads of a Zen 3 took 126 us, and 78 so, with the rows in two parts instead of one.
MOST_TASKS_OF_COLUMNS = 32
# Rows of x and y of more bytes, divided by the outputs, come from memory: the next panel is asked for while one is
# worked on, or 60000 x 784 -> 10 would take 1.4 times as long. A level 3 cache brings less as fast unasked, and to ask
# costs a fifth of 500 x 5000 -> 1, 10 MB, but it is shared with strangers: 9000 x 200 -> 3 in float64, 14 MB, took 0.5
# of the time so on a busy Zen 3. The more outputs, the less it costs. A level 2 cache keeps NEAR_BYTES.
FAR_BYTES = 20 * 1024 * 1024
NEAR_BYTES = 1024 * 1024
# Beyond so many outputs for an input, y is asked for, too: 10000 x 64 -> 64 and 20000 x 10 -> 60 took 0.8 to 0.95 of
# the time so. Where outputs are in groups it is not, since those of one are no row of numbers.
WIDE_Y = 0.25
# A gradient takes in an x whose rows fall into the SAME_SETS of a level 1 cache packed, some bytes of its rows at a
# time: 1000 x 512 -> 64 in float64 took 8.1 ms on a Zen 3, and 4.6 so. In a stretch every x is packed, and of so many
# rows half of that cache has but 64 bytes: longer pieces come sooner from memory, and with these 4808 x 2230 -> 38 and
# 3000 x 2000 -> 36 in float32 took 0.85 of the time.
PACKED_BYTES = 256
# Weights of a task that loads, updates or saves them.
PIECE = 16384
# For a stretch, all threads share a line, and it may have more than LINE_WORK: the fewer its rows, the more often all
# gradients are read and written.
LONG_LINE_WORK = 32 * LINE_WORK


class _Stretch(NamedTuple):
    """Rows that all threads work on together, in parts, and then on the columns of the gradient; as in `Plan`."""

    panel: int
    parts: int
    columns: int
    packed: int


def _stretch_of(
    rows: int, inputs: int, outputs: int, itemsize: int, panel: int, strip: int, *, direct: bool
) -> _Stretch:
    """The stretch of weights that are too large for a gradient for each shard."""
    lanes = lanes_of(itemsize)
    panels = -(-rows // panel)
    if direct and panels < LEAST_OF_STRETCH:  # there is no tile of an outer product, which would want its rows together
        unit = max(lanes, LEAST_VECTORS)
        panel = -(-rows // (LEAST_OF_STRETCH * unit)) * unit
        panels = -(-rows // panel)
    elif panels > 1:  # as many for each of two threads
        panels += panels % 2
    parts = min(STRETCH_PANELS, panels, max(LEAST_OF_STRETCH, LONG_LINE_WORK // work_of(panel, inputs, outputs)))
    unit = max(panel, TILE_VECTORS * lanes)
    columns = -(-inputs // (unit * MOST_TASKS_OF_COLUMNS)) * unit
    of_cache = max(LEVEL_1 // (2 * parts * panel), PACKED_BYTES) // itemsize
    return _Stretch(panel, parts, columns, max(strip, min(columns, of_cache // strip * strip)))


def plan_of_many_rows(
    rows: int, inputs: int, outputs: int, dtype: np.dtype[Any], threads: int, *, forward: bool
) -> tuple[Plan, int, int]:
    """The plan, the threads that it takes, and elements of memory; it is for gradients, if not only `forward`."""
    lanes = lanes_of(dtype.itemsize)
    weights, work = inputs * outputs, work_of(rows, inputs, outputs)
    shards, panel = shards_and_panel(rows, inputs, outputs, dtype.itemsize)
    strip = rows_of_strip(panel, inputs, outputs, dtype.itemsize)
    groups = groups_of_outputs(panel, inputs, outputs, dtype.itemsize)
    of_group = largest_group(outputs, groups)
    shape = rows, inputs, of_group, dtype.itemsize
    direct = direct_cycles(*shape) < outer_cycles(*shape)
    most_bytes = WIDE_BYTES if outputs > FEW_OUTPUTS else WIDE_BYTES_OF_FEW
    large = weights * dtype.itemsize > most_bytes or (shards == 1 and work > PARALLEL_WORK)
    wide = large and groups == 1 and not forward
    stretch = columns = packed = 0
    if wide:
        shards = 1
        panel, parts, columns, packed = _stretch_of(*shape, panel, strip, direct=direct)
        groups = power_of_two_within(MOST_SHARDS // parts, outputs // LEAST_OF_GROUP)
        stretch = parts * panel
    elif forward:
        panels, in_line = -(-rows // panel), LONG_LINE_WORK // work_of(panel, inputs, outputs)
        parts = min(panels, max(threads, min(4 * threads, in_line)))  # rows do not meet: any cut gives the same bits
    else:
        if groups > 1:
            shards = power_of_two_within(shards, MOST_TASKS // groups)
        parts = shards
        packed = PACKED_BYTES // dtype.itemsize if inputs * dtype.itemsize % SAME_SETS == 0 else 0
    width = padded(inputs, panel if wide else lanes, dtype)
    pieces = min(width // lanes, outputs, -(-weights // PIECE))
    threads = min(threads, max(parts * groups, pieces, -(-inputs // columns) if wide else 1))  # no more than tasks
    reused = threads == 1 and (wide or groups == 1) and rows <= panel
    far = rows * (inputs + outputs) * dtype.itemsize > max(NEAR_BYTES, FAR_BYTES // outputs)

    places = Places(dtype, PAGE)
    y_pred_t = of_group * (stretch or panel)
    shared = {
        "w_t": places.take(2 * outputs * width),
        "b": places.take(2 * outputs),
        "gradient_t": places.take(0 if forward else shards * outputs * width),
        "bias_gradient": places.take(parts * outputs * lanes),
    }
    if wide:
        shared["y_pred_t"] = places.take(y_pred_t)
    places.end_shared()
    own = {
        "x_t": places.take(0 if direct else in_strips(inputs, panel if reused else min(panel, strip), strip)),
        "y_t": places.take(of_group * panel),
        "packed_x": places.take((stretch or panel) * packed),
    }
    if not wide:
        own["y_pred_t"] = places.take(y_pred_t)
    plan = Plan(
        panel=panel,
        strip=strip,
        parts=parts,
        groups=groups,
        shards=shards,
        stretch=stretch,
        columns=columns,
        pieces=pieces,
        direct=int(direct),
        reused=int(reused),
        far=int(far),
        far_y=int(far and groups == 1 and outputs > WIDE_Y * inputs),
        packed=packed,
        width=width,
        worker=places.end_worker(),
        **shared,
        **own,
    )
    return plan, threads, places.shared + threads * plan.worker


def gradients_in(memory: FloatArray, plan: Plan, inputs: int, outputs: int) -> tuple[FloatArray, FloatArray]:
    """dC/dw and dC/db where FOLD leaves them."""
    gradient_t = memory[plan.gradient_t :][: outputs * plan.width].reshape(outputs, plan.width)
    lanes = lanes_of(memory.itemsize)
    sums = memory[plan.bias_gradient :][: outputs * lanes].reshape(outputs, lanes)
    return gradient_t[:, :inputs].T, sums.sum(axis=1)


def tasks_of_rows(plan: Plan, threads: int) -> int:
    """Each part of the rows is one for each group of outputs; in a stretch, where threads are few, for several."""
    groups = plan.groups
    while plan.stretch and groups > 1 and plan.parts * groups >= 2 * threads:
        groups //= 2
    return plan.parts * groups


def tasks_of_gradient(plan: Plan, inputs: int, outputs: int, threads: int) -> int:
    """Some columns of the gradient are one, or, where threads are many, each group of outputs; x is packed anew."""
    if not plan.stretch:
        return 0
    strips = -(-inputs // plan.columns)
    return strips * max(1, min(TASKS_OF_THREAD * threads // strips, outputs // LEAST_OF_GROUP))
