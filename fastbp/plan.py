"""How the work of a call is cut: written from the shapes, carried out by `fastbp.kernels.layer`.

Whatever decides a bit of a result follows from the shapes, the dtype and the width of a vector. The number of threads
decides who does what, and in how many tasks where these give the same bits.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from fastbp.kernels import few_rows, layer, sigmoid_layer
from fastbp.kernels.layer import Plan
from fastbp.kernels.matmul import KEPT_IN_CACHE, LEAST_VECTORS
from fastbp.tiles.registers import CACHE_LINE, LINE_VECTORS, REGISTER_BITS, TILE_ROWS, TILE_VECTORS, lanes_of

# Outputs of `fastbp.kernels.tiny`, at most, which goes through them one by one: 2 x 3 -> 64 takes it 7.2 us, of which
# 0.9 are the step itself, and `few_rows` 8.3 and 0.5; 3 x 1 -> 1007 took it 31 us, and `few_rows` 13.
MOST_TINY = 64
# Weights beyond this size share no level 2 cache with a panel: one gradient for all threads, not one for each shard. If
# they do so in groups of outputs, these are gone through instead.
WIDE_BYTES = 256 * 1024
# Shards are folded after every step, for which gradients come from the caches of other cores. 1797 x 64 -> 10, 3.3
# million multiply-adds, on two threads beside the thread pools of other libraries: 87 us with 14 shards, 70 with 8.
WORK_OF_SHARD = 250_000
MOST_SHARDS = 32
# Panels of a stretch, and what it has at least where a line of a program, after which Ctrl-C is heard, would have less.
STRETCH_PANELS = 16
LEAST_OF_STRETCH = 4
# Tasks for a thread, at least, where it costs little to have more: no core is idle, and a slow one does not keep all
# others waiting. 4096 x 1024 -> 1024, 16 strips with 512 bits, took 16 threads of an Emerald Rapids 1.03 times as long.
TASKS_OF_THREAD = 2
# An x of more bytes comes from memory, panel by panel: the next one is asked for while one is worked on, or 60000 x 784
# -> 10 would take 1.4 times as long. Less stays in a level 3 cache, whose lines come as fast unasked: to ask for them
# cost 78125 x 64 -> 2, 20 MB, a fifth.
FAR_BYTES = 20 * 1024 * 1024
# Many outputs are gone through in groups, so that these bytes of y_pred and y of a panel, and of weights and gradients,
# stay in the level 2 cache. x is transposed for each group again, which so many outputs outweigh. 1442 x 68 -> 1565 in
# float64 took 19.3 ms on two threads of a Zen 3, all outputs of a stretch at a time, and 11.0 in groups.
GROUP_BYTES = 128 * 1024
GROUP_BYTES_OF_WEIGHTS = 512 * 1024
LEAST_OF_GROUP = 96
# Few rows: at most. With more of them the weights are transposed for next to nothing: 128 x 16 -> 1000 in float32 took
# 151 us on two threads as many rows, and 194 as few.
FEW_ROWS = 127
# They are gone through in so many tasks at most, as groups of outputs of many rows are, and of so many multiply-adds,
# inputs and bytes of a row of weights at least. Inputs are cut first: 32 x 784 -> 128 on two threads of a Zen 3 took
# 116 us so, and in groups of outputs, where every page of weights is for both cores, 178 us, or 320 if these share no
# cache. On many rows there are but four cuts: eight, or groups half as wide, serve more threads than four, and cost two
# 5 %. A group is two cache lines wide at least: the vector that ends with the outputs is updated in a single task.
MOST_TASKS = 16
WORK_OF_TASK = 60_000
INPUTS_OF_CUT = 32
BYTES_OF_GROUP = 512
LEAST_CUTS = 4
# Weights at a time, in the level 1 cache: so many bytes, and vectors of a row. What is used for one tile of rows alone
# is streamed from memory, 1.3 times as fast if rows of weights are not cut: up to so many vectors. Of long rows,
# those of one tile are enough: with two, 1 x 1024 -> 1024 took twice as long, since all lie in the same cache sets.
WEIGHT_BYTES = 32 * 1024
STRIP_VECTORS = 16
STREAM_VECTORS = 256
# Panels: so many bytes of x, or so many tiles of rows if that is less; but rows enough, more of them if they are short.
PANEL_BYTES = 8 * 1024
MOST_TILES = 8
LEAST_ROWS = 32
WANTED_ROWS = 32 if REGISTER_BITS == 512 else 64
WANTED_BYTES = 96 * 1024
# Rows a multiple of so many bytes apart fall into one or two sets of a level 1 cache, of 8 lines each. Ours are not;
# a gradient takes in such an x packed, some bytes of its rows at a time: 1000 x 512 -> 64 in float64 took 8.1 ms on a
# Zen 3, and 4.6 so.
SAME_SETS = 2048
PACKED_BYTES = 256
# Cycles of a vector of multiply-adds in `matmul.add_product` and in `add_product_with_t`, where the sum of the lanes of
# a vector takes some more, and so does a tile of these. Measured on a Zen 3, and earlier kernels on a Zen 4 (512 bits).
OUTER = 1.0 if REGISTER_BITS == 512 else 0.5
DOTS, SUM, TILE_OF_SUMS = (1.0, 4.0, 30.0) if REGISTER_BITS == 512 else (0.57, 1.5, 13.0)
# Cycles of a vector that is transposed: while a panel and its transpose lie in the level 1 cache, and beyond that. Of
# 160 shapes from 8 to 784 inputs and 1 to 64 outputs on a Zen 3 the faster way is so taken, or one at most 6 % slower.
# Those of 512 bits are a guess between these and what was measured there with a transposition that took thrice as long.
TRANSPOSED, TRANSPOSED_BEYOND = (3.0, 5.0) if REGISTER_BITS == 512 else (1.5, 3.0)
LEVEL_1 = 32 * 1024
# Multiply-adds of a step below which a second thread does not pay: 200 x 64 -> 10 (370 000) in float32 takes 21 us on
# one and 20 us on two that share a cache, 512 x 64 -> 10 (940 000) 35 us and 24 us.
PARALLEL_WORK = 500_000
# Weights of a task that loads, updates or saves them.
PIECE = 16384
# Multiply-adds of one line of a program: some 50 ms on a slow core. Between lines, Ctrl-C is heard. For a stretch, all
# threads share the line, and it may have more: the fewer its rows, the more often all gradients are read and written.
LINE_WORK = 500_000_000
LONG_LINE_WORK = 32 * LINE_WORK
# What one core writes lies a page away from what another does: its prefetchers run on to the end of a page, and would
# take the lines behind the end away from the other core. A step of 1797 x 64 -> 10 on two threads: 52 us, now 39.
PAGE = 4096


def work_of(rows: int, inputs: int, outputs: int) -> int:
    """Multiply-adds of a step, where a sigmoid counts as 30, reading a number of x as 4, and a row as 16.

    A gradient waits for one row after the other: 9629 x 2 -> 1 in float32 took 68 us on one thread, and 47 on two.
    """
    return rows * (2 * inputs * outputs + 30 * outputs + 4 * inputs + 16)


def is_tiny(rows: int, inputs: int, outputs: int, itemsize: int) -> bool:
    """Whether rows and inputs fit one vector each, as `fastbp.kernels.tiny` wants it, and outputs are not many."""
    return max(rows, inputs) <= lanes_of(itemsize) and outputs <= MOST_TINY


def panel_rows(inputs: int, itemsize: int) -> int:
    """Rows of a panel: whole tiles, and few enough that the panel and its transpose stay in the level 1 or 2 cache.

    Not too few: each of them is one k of a gradient's tile, which is loaded and stored once more for every panel, and
    with 256 bits a tile is as narrow as 8 rows of float64. 5000 x 300 -> 33 ran at 42 % of a Zen 3's peak with these.
    """
    tile = max(TILE_VECTORS * lanes_of(itemsize), LEAST_VECTORS)
    row_bytes = inputs * itemsize
    least = max(LEAST_ROWS, min(WANTED_ROWS, WANTED_BYTES // row_bytes))
    return tile * max(-(-least // tile), min(MOST_TILES, PANEL_BYTES // (tile * row_bytes)))


def shards_and_panel(rows: int, inputs: int, outputs: int, itemsize: int) -> tuple[int, int]:
    """Into how many shards the rows are cut, and the rows of a panel: as even as whole vectors allow where it matters.

    128 x 512 -> 64 in float32, two shards of 64 rows, took 1.2 times as long in panels of 48 and 16. Of many panels the
    last one does not matter, and the others are whole tiles. A stretch is cut as shards would be, whose number is a
    power of two: of 282 rows 9 panels of 32 were 5 for one thread and 4 for the other, and 8 of 40 are 4 for each.
    """
    panel = panel_rows(inputs, itemsize)
    shards = power_of_two_within(MOST_SHARDS, -(-rows // panel), work_of(rows, inputs, outputs) // WORK_OF_SHARD)
    of_shard = -(-rows // shards)
    panels = max(1, round(of_shard / panel))
    if panels > layer.FEW_PANELS:
        return shards, panel
    unit = max(lanes_of(itemsize), LEAST_VECTORS)
    return shards, -(-of_shard // (panels * unit)) * unit


def rows_of_strip(panel: int, inputs: int, outputs: int, itemsize: int) -> int:
    """Rows of a strip of a panel's transpose: as wide as a tile, or all rows if all fit half of the level 1 cache.

    What a tile reads then follows in memory. Else its lines lie a row apart, and are on more pages than a processor
    keeps at hand: 1024 x 1024 times 1024 x 32 in float64 takes 0.73 cycles for a vector of multiply-adds, and 0.53 so.
    """
    fits = 2 * panel * inputs * itemsize <= LEVEL_1
    return panel if fits else max(TILE_VECTORS, LEAST_VECTORS // outputs) * lanes_of(itemsize)


def groups_of_outputs(panel: int, inputs: int, outputs: int, itemsize: int) -> int:
    """Groups that the outputs are gone through in, with all rows each; 1 if all outputs together are as good."""
    most_of_weights = GROUP_BYTES_OF_WEIGHTS // (2 * inputs * itemsize)
    most = min(most_of_weights, max(LEAST_OF_GROUP, GROUP_BYTES // (2 * panel * itemsize)))
    return -(-outputs // most) if most >= LEAST_OF_GROUP and outputs >= 1.5 * most else 1


def outer_cycles(rows: int, inputs: int, outputs: int, itemsize: int) -> float:
    """Cycles of y_pred^T = w^T x^T, with the transposition of x."""
    lanes = lanes_of(itemsize)
    vectors_of_rows, vectors_of_inputs = -(-rows // lanes), -(-inputs // lanes)
    panel_bytes = min(rows, panel_rows(inputs, itemsize)) * inputs * itemsize
    transposed = TRANSPOSED if 2 * panel_bytes <= LEVEL_1 else TRANSPOSED_BEYOND
    return vectors_of_rows * (OUTER * outputs * inputs + transposed * lanes * vectors_of_inputs)


def direct_cycles(rows: int, inputs: int, outputs: int, itemsize: int) -> float:
    """Cycles where x is multiplied as it lies, and every product ends with a sum over the lanes of a vector."""
    tiles = -(-rows // max(TILE_VECTORS, LEAST_VECTORS // outputs)) * -(-outputs // TILE_ROWS)
    vectors = -(-inputs // lanes_of(itemsize))
    times = -(-vectors // max(KEPT_IN_CACHE // outputs, 1))  # sums of so many inputs at a time
    return outputs * rows * (DOTS * vectors + SUM * times) + TILE_OF_SUMS * tiles * times


def few_is_faster(rows: int, inputs: int, outputs: int, itemsize: int) -> bool:
    """Whether a step is faster where the weights lie (`few_rows`) than where they are transposed before and after.

    That takes 16 cycles for a vector of weights, if all are in the cache; to gather their squares, and to take them in
    and out of a tile, takes 3. A vector without another one beside it takes as long as both. One that ends with the
    outputs, and is gone through by itself, takes 12 more, and half a cycle for each row. Thousands of shapes on a Zen 3
    so take 0.6 % longer than the faster way, on average, on one thread, and 1.8 % on two.
    """
    lanes = lanes_of(itemsize)
    if outputs < lanes:  # no vector of weights is theirs alone
        return False
    many = min(cycles(rows, inputs, outputs, itemsize) for cycles in (outer_cycles, direct_cycles))
    many += OUTER * outputs * inputs * -(-rows // lanes) + 16 * inputs * -(-outputs // lanes)
    few = (2 * OUTER * rows + 3) * inputs * 2 * -(-outputs // (2 * lanes))
    few += (12 + 0.5 * rows) * inputs if outputs % lanes else 0
    return 0.95 * few < many  # fitted to those of two threads, which few rows serve better


def largest_group(count: int, groups: int) -> int:
    """The most outputs of a group, where `fastbp.kernels.program.share` deals them out in whole tiles."""
    return min(count, -(-count // (groups * TILE_ROWS)) * TILE_ROWS)


def power_of_two_within(*limits: int) -> int:
    """The largest power of two within all limits, 1 at least: as many tasks for each of 2, 4, 8 ... threads."""
    return 1 << (max(1, min(limits)).bit_length() - 1)


def padded(inputs: int, unit: int, dtype: np.dtype[Any]) -> int:
    """The inputs in whole units: a multiple, but of SAME_SETS only where the unit is one."""
    width = -(-inputs // unit) * unit
    row_bytes, unit_bytes = width * dtype.itemsize, unit * dtype.itemsize
    return width + unit if row_bytes % SAME_SETS == 0 and unit_bytes % SAME_SETS else width


def spaced(columns: int, dtype: np.dtype[Any]) -> int:
    """Elements from row to row of a matrix that is read column by column: an odd number of cache lines, if not few.

    Rows an even number of lines apart share some of the sets of the level 1 cache and leave the others empty: on a Zen
    3, 128 x 784 times 784 x 128 ran at 82 % of the peak in float32 and 79 % in float64, and at 95 and 97 % so.
    """
    line = CACHE_LINE // dtype.itemsize
    lines = -(-columns // line)
    wider_than_tile = columns > TILE_VECTORS * lanes_of(dtype.itemsize)  # else rows are read as they lie in memory
    return (lines + 1) * line if lines >= 4 and lines % 2 == 0 and wider_than_tile else columns


def in_strips(rows: int, columns: int, tile: int) -> int:
    """Elements of a matrix in strips, as `fastbp.kernels.strips` has them: all but a single one are whole."""
    return rows * (columns if columns <= tile else -(-columns // tile) * tile)


@functools.lru_cache(maxsize=256)
def plan_for(
    rows: int, inputs: int, outputs: int, dtype: np.dtype[Any], threads: int, *, forward: bool, followed: bool
) -> Plan:
    """The cut of a call on x (rows, inputs) and w (inputs, outputs).

    It is only `forward`, or for gradients, which are `followed` or kept.
    """
    work = work_of(rows, inputs, outputs)
    workers = threads if work > PARALLEL_WORK else 1
    few = rows <= FEW_ROWS and work <= LINE_WORK
    if few and few_is_faster(rows, inputs, outputs, dtype.itemsize):
        return _plan_of_few_rows(rows, inputs, outputs, dtype, workers, kept=not (followed or forward))
    return _plan_of_many_rows(rows, inputs, outputs, dtype, workers, forward=forward)


def _plan_of_few_rows(rows: int, inputs: int, outputs: int, dtype: np.dtype[Any], workers: int, *, kept: bool) -> Plan:
    lanes = lanes_of(dtype.itemsize)
    most = min(MOST_TASKS, work_of(rows, inputs, outputs) // WORK_OF_TASK)
    # What each cut adds to y_pred is written and read: few cuts where rows are many.
    cuts = power_of_two_within(most, inputs // INPUTS_OF_CUT, max(inputs // (4 * rows), LEAST_CUTS))
    groups = power_of_two_within(most // cuts, outputs * dtype.itemsize // BYTES_OF_GROUP)
    width = padded(outputs, LINE_VECTORS * lanes, dtype)
    columns = min(width, (STRIP_VECTORS if rows > TILE_ROWS else STREAM_VECTORS) * lanes)
    of_cut = -(-inputs // cuts)
    times = -(-of_cut // (TILE_ROWS * max(1, WEIGHT_BYTES // (TILE_ROWS * columns * dtype.itemsize))))
    few = -(-of_cut // (times * TILE_ROWS)) * TILE_ROWS
    tasks = cuts * groups
    shared = {
        "gradient_t": (inputs + 1) * width if kept else 0,
        "y_pred_t": cuts * rows * width,
        "y_t": rows * width,
        "bias_input": rows,
        "tail": (rows + 1) * lanes if outputs % lanes else 0,
        "squares": tasks * few_rows.SQUARES * lanes,
    }
    own = {"strip": few * columns, "bias_gradient": rows * lanes}
    same_sets = rows > 2 * TILE_ROWS and outputs * dtype.itemsize % SAME_SETS == 0
    cut = {"parts": cuts, "groups": groups, "pieces": tasks, "few": few, "columns": columns}
    cut |= {"packed": int(same_sets), "width": width, "lanes": lanes}
    return _plan(shared, own, dtype, threads=min(workers, tasks), **cut)


def _plan_of_many_rows(
    rows: int, inputs: int, outputs: int, dtype: np.dtype[Any], workers: int, *, forward: bool
) -> Plan:
    lanes = lanes_of(dtype.itemsize)
    weights, work = inputs * outputs, work_of(rows, inputs, outputs)
    shards, panel = shards_and_panel(rows, inputs, outputs, dtype.itemsize)
    panels = -(-rows // panel)
    tile = rows_of_strip(panel, inputs, outputs, dtype.itemsize)
    groups = groups_of_outputs(panel, inputs, outputs, dtype.itemsize)
    large = weights * dtype.itemsize > WIDE_BYTES or (shards == 1 and work > PARALLEL_WORK)
    wide = large and groups == 1 and not forward
    if groups > 1:
        shards = power_of_two_within(shards, MOST_TASKS // groups)
    elif wide:
        shards = 1
    in_line = LONG_LINE_WORK // work_of(panel, inputs, outputs)  # panels
    if forward:
        parts = min(panels, max(workers, min(4 * workers, in_line)))  # rows do not meet: any cut gives the same bits
    else:
        parts = min(STRETCH_PANELS, panels, max(LEAST_OF_STRETCH, in_line)) if wide else shards
    stretch = parts * panel if wide else 0
    of_group = largest_group(outputs, groups)
    shape = rows, inputs, of_group, dtype.itemsize
    direct = direct_cycles(*shape) < outer_cycles(*shape)
    packed = 0
    if wide:
        packed = tile
    elif not forward and inputs * dtype.itemsize % SAME_SETS == 0:
        packed = PACKED_BYTES // dtype.itemsize
    columns = panel if wide else 0
    width = padded(inputs, columns or lanes, dtype)
    pieces = min(width // lanes, outputs, -(-weights // PIECE))
    workers = min(workers, max(parts * groups, pieces, -(-inputs // columns) if wide else 1))  # no more than tasks

    shared = {
        "w_t": 2 * outputs * width,
        "b": 2 * outputs,
        "gradient_t": 0 if forward else shards * outputs * width,
        "bias_gradient": parts * outputs * lanes,
    }
    own = {
        "x_t": 0 if direct else in_strips(inputs, panel, tile),
        "y_t": of_group * panel,
        "strip": (stretch or panel) * packed,
    }
    (shared if wide else own)["y_pred_t"] = of_group * (stretch or panel)
    cut = {"panel": panel, "tile": tile, "stretch": stretch, "parts": parts, "groups": groups, "shards": shards}
    cut |= {"columns": columns, "pieces": pieces, "packed": packed, "width": width, "lanes": lanes}
    far = rows * inputs * dtype.itemsize > FAR_BYTES
    return _plan(shared, own, dtype, threads=workers, direct=int(direct), far=int(far), **cut)


def _plan(shared: dict[str, int], own: dict[str, int], dtype: np.dtype[Any], **cut: int) -> Plan:
    """A cut, with a place for matrices of these sizes: those that workers share, and those that each has of its own."""
    starts, end = _laid_out(shared, 0, dtype)
    own_starts, own_end = _laid_out(own, end, dtype)
    page = PAGE // dtype.itemsize
    worker = -(-(own_end - end) // page) * page + page
    size = end + cut["threads"] * worker
    unused = dict.fromkeys(Plan._fields, 0)
    cut |= {"tasks": cut["parts"] * cut["groups"], "size": size, "worker": worker}
    return Plan(**unused | cut | starts | own_starts)


def _laid_out(sizes: dict[str, int], start: int, dtype: np.dtype[Any]) -> tuple[dict[str, int], int]:
    """Where matrices of these sizes start, each at a page of its own, and where the last one ends."""
    page = PAGE // dtype.itemsize
    starts = {}
    for name, size in sizes.items():
        starts[name] = start
        start += -(-size // page) * page
    return starts, start


def tasks_of_strips(plan: Plan, inputs: int, outputs: int) -> int:
    """Each strip of the gradient is one, or, where threads are many, each group of its outputs; x is packed anew."""
    strips = -(-inputs // plan.columns)
    return strips * max(1, min(TASKS_OF_THREAD * plan.threads // strips, outputs // LEAST_OF_GROUP))


@functools.lru_cache(maxsize=256)
def program_for(
    plan: Plan, rows: int, inputs: int, outputs: int, purpose: int, *, followed: bool, last_cost: bool
) -> tuple[npt.NDArray[np.int64], int]:
    """The program of a call: its lines, and how many of them make a step; gradients are `followed` or kept."""

    def passing(purpose: int) -> list[tuple[int, int, int, int, int]]:
        """All rows, as far as the purpose wants."""
        if plan.few:
            phases = [few_rows.DELTA] if purpose == sigmoid_layer.BACKWARD else [few_rows.OUTPUTS, few_rows.DELTA]
            return [(plan.tasks, phase, purpose, 0, rows) for phase in phases]
        unit = plan.stretch or plan.panel * plan.parts
        per_line = plan.stretch or max(unit, LINE_WORK // work_of(1, inputs, outputs) // unit * unit)
        lines = []
        for first in range(0, rows, per_line):
            last = min(rows, first + per_line)
            lines.append((plan.tasks, layer.ROWS, purpose, first, last))
            if plan.stretch and purpose > sigmoid_layer.COST:
                lines.append((tasks_of_strips(plan, inputs, outputs), layer.STRIPS, purpose, first, last))
        return lines

    body = passing(purpose)
    if plan.few:
        # A program begins with one line and ends, if weights are followed, with one: here they need no saving.
        lines = [(0 if purpose == sigmoid_layer.FORWARD else plan.tasks, few_rows.PREPARE, 0, 0, 0)]
        ends = [few_rows.REHEARSE, few_rows.FOLLOW] if followed else [few_rows.KEEP]
        closing = [(plan.pieces, few_rows.GRADIENT, end, 0, 0) for end in ends]
        saving = (0, layer.SAVE, 0, 0, 0)
    else:
        lines = [(plan.pieces, layer.LOAD, 0, 0, 0)]
        closing = [(plan.pieces, layer.UPDATE if followed else layer.FOLD, 0, 0, 0)]
        saving = (plan.pieces, layer.SAVE, 0, 0, 0)
    if purpose != sigmoid_layer.FORWARD:
        body += [(0, layer.TOTAL, purpose, 0, 0), *closing]
    lines += body
    if last_cost:
        lines += [*passing(sigmoid_layer.COST), (0, layer.TOTAL, sigmoid_layer.COST, 0, 0)]
    if followed:
        lines.append(saving)
    return np.array(lines, np.int64), len(body)
