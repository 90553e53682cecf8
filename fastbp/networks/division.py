"""How a batch of a network is divided: into shards or by layers, into panels of rows, and how matrices of these lie.

Whatever decides a bit of a result follows from the shapes, the dtype, the width of a vector and what is to be done.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastbp.architecture import Architecture
from fastbp.cutting import LEVEL_1, MOST_SHARDS, MOST_TASKS, power_of_two_within
from fastbp.kernels.updates import ROWS_IN_REGISTERS
from fastbp.memory import rounded_up, spaced
from fastbp.networks.layout import layout_of
from fastbp.networks.work import ROWS_OF_TASK, WORK_OF_TASK, counted_rows, tasks_of, work_of_row
from fastbp.tiles.registers import TILE_VECTORS, lanes_of

# Parameters of the first size are copied for every shard of a batch. Beyond the second, all threads work on one layer
# after the other. Between them it depends: where shards, and panels, have so many rows, and there are as many shards as
# the first layer has tasks, their copies cost less than what workers exchange from layer to layer. On two threads of a
# Zen 3, layer by layer 162-124-33-2 with 20000 rows in float64 took 1.5 times as long, 667-48-100 in batches of 512 1.3
# times, 784-128-10 in batches of 2048 1.12 times, and 180-428-320-100 with 4065 rows (985 KB) 1.03 to 1.1 times; larger
# networks took less.
FEW_COPIED_BYTES = 128 * 1024
MOST_COPIED_BYTES = 1024 * 1024
ROWS_OF_COPY = 64
MOST_COPIES = 16
# Multiply-adds of a batch that is gone through layer by layer if it is a single shard. Where every layer is a single
# task, threads share but the gradients, and weights that one has updated come to the other for its next batch: 32 rows
# of 64-64-64-64-10, or of 100-50-50-50-5, took two threads of a Zen 3 1.3 times as long as one.
WORK_OF_LAYERS = 800_000
# Multiply-adds and rows of a shard, at least. 64-32-10 in float64 on two threads of a Zen 3: 100 rows took 46 us in one
# shard and 29 in two. With two of 16 rows, 32 took 12 us instead of 15, but 21 where the cores share no cache.
WORK_OF_SHARD = 100_000
ROWS_OF_SHARD = 32
# Inputs of a cut of the first layer for each output, bytes of the inputs of a batch, and cuts, at least and at most.
# Instead of groups of outputs they gave, on two threads of a Zen 3, 784-16-10 in float64 and 3072-16-10, of which there
# is a single group, 1.34 and 1.6, 5000-16-2 1.3 to 1.5; 3072-128-10 and 3072-256-10 in batches of 256 1.06 and 1.03 in
# float32; but 784-24-10 in batches of 32 0.87, and 2000-32-1 in batches of 64 0.97. 5120 rows of 3072-256-10 in batches
# of 256 took 16 threads of an Emerald Rapids 52 ms, and 21 to 25 so.
INPUTS_OF_CUT = 1.5
CUT_BYTES = 1024 * 1024
LEAST_CUTS, MOST_CUTS = 4, 8
# Rows that are multiplied as they lie, at most. 784-100-10 in batches of 1, 2 and 4 takes a Zen 3 0.3, 0.4 and 0.45 of
# the time in float32 that it takes with rows along the lanes, and 0.5, 0.6 and 0.6 in float64. Six took 0.7, but with
# their factors in registers two took 0.9; 64-32-10 in batches of 8 took 1.06, and to predict 8 rows 1.0 to 1.5.
DIRECT_ROWS = ROWS_IN_REGISTERS
# Of what a panel holds at most: half a level 2 cache, or more where that does not hold the parameters: it is they that
# come anew with every panel.
PANEL_BYTES = 256 * 1024
PANEL_BYTES_OF_COPIES = 1024 * 1024
MOST_ROWS_OF_PANEL = 240
# Rows of a panel that all threads go through layer by layer, where a batch takes several; one of up to twice
# BYTES_BY_LAYER stays whole: its update is fused.
ROWS_BY_LAYER = 496
# Of the widest input of such a panel. With half of it, 3072-256-10 in batches of 256 took 1.16 times as long in
# float32, and 512-1024-512 1.07 times in float64: in several panels. With twice of it, none of eight took less.
BYTES_BY_LAYER = 1024 * 1024
# Columns of a gradient that are computed and then applied while they are in the level 1 cache; or, where a batch lies
# in strips, in level 2, since long pieces of what an optimizer remembers come sooner than many short ones: with pieces
# of two vectors, 784-512-256-10 with Adam took 3 to 7 % longer.
FUSED_VECTORS = 2 * TILE_VECTORS
FUSED_VECTORS_OF_STRIPS = 32

# What a network is gone through for: updates, gradients alone, outputs, or outputs and loss.
TRAIN, GRADIENTS, PREDICT, EVALUATE = range(4)


class Division(NamedTuple):
    """How a batch is divided."""

    multiply_adds: int  # of a batch
    training: bool
    by_layer: bool  # all threads work on one layer after the other; else each shard goes through all of them
    panel: int  # rows
    stride: int  # from one row of a transposed panel to the next, where that is no strip
    strip: int  # columns of a strip
    in_strips: bool  # whether matrices of a panel lie in several of them; small ones are a single strip
    direct: bool  # whether rows are so few that they are multiplied as they lie
    shards: int = 1
    cuts: int = 1  # of the inputs of the first layer
    fused: int = 0  # columns of the gradient that are computed and applied at once; 0 if all are computed before

    @property
    def back_in_strips(self) -> bool:
        """Whether BACK, too, has what it takes in so that it follows in memory."""
        return self.by_layer and self.training and self.in_strips


def division_of(architecture: Architecture, batch: int, purpose: int, clip_norm: float) -> Division:
    """By shards if there are several, each with a gradient of its own, or if there is little to do; else by layer."""
    training = purpose in (TRAIN, GRADIENTS)
    work = counted_rows(batch) * work_of_row(architecture.sizes, 3 if training else 1)
    few = not training or layout_of(architecture).size * architecture.dtype.itemsize <= FEW_COPIED_BYTES
    most = _most_rows_of_panel(architecture, PANEL_BYTES if few else PANEL_BYTES_OF_COPIES)
    cuts = _cuts(architecture.sizes[0], architecture.sizes[1], batch, architecture.dtype) if training else 1
    if few:
        shards = power_of_two_within(work // WORK_OF_SHARD, batch // ROWS_OF_SHARD, MOST_SHARDS)
    else:
        shards = _copies(architecture, batch, most, cuts)

    lanes = lanes_of(architecture.dtype.itemsize)
    direct = batch <= DIRECT_ROWS and cuts == 1
    by_layer = shards == 1 and work >= WORK_OF_LAYERS and (cuts > 1 or _shares_a_layer(architecture, batch))
    if direct:
        panel = rounded_up(batch, lanes)
    elif by_layer:
        panel = _panel_by_layer(architecture, rounded_up(batch, lanes))
    else:
        panel, cuts = _panel_of_shard(-(-batch // shards), most, lanes), 1
    laid = _laid(architecture, panel, cut=cuts > 1)
    fused = 0
    if purpose == TRAIN and shards == 1 and batch <= panel and not clip_norm:
        fused = (FUSED_VECTORS_OF_STRIPS if laid.in_strips else FUSED_VECTORS) * lanes
    return Division(
        work,
        training,
        by_layer=by_layer,
        panel=panel,
        **laid._asdict(),
        direct=direct,
        shards=shards,
        cuts=cuts,
        fused=fused,
    )


def _most_rows_of_panel(architecture: Architecture, most_bytes: int) -> int:
    """As many as fit so many bytes: of a row there are inputs and outputs, these transposed, and deltas."""
    sizes = architecture.sizes
    row_bytes = (sum(layout_of(architecture).widths) + sum(sizes) + 2 * sum(sizes[1:])) * architecture.dtype.itemsize
    return min(MOST_ROWS_OF_PANEL, most_bytes // row_bytes)


def _panel_of_shard(rows: int, most: int, lanes: int) -> int:
    """Rows of a panel, whole tiles at most, so that those of a shard are as even as whole vectors allow."""
    tile = TILE_VECTORS * lanes
    panels = -(-rows // (max(1, most // tile) * tile))
    return -(-rows // (panels * lanes)) * lanes


def _panel_by_layer(architecture: Architecture, whole: int) -> int:
    """Rows of a panel that all threads go through layer by layer; `whole` is the batch, in whole vectors."""
    itemsize = architecture.dtype.itemsize
    rows = BYTES_BY_LAYER // (max(architecture.sizes) * itemsize)
    tile = TILE_VECTORS * lanes_of(itemsize)
    return whole if whole <= 2 * rows else min(whole, max(1, min(ROWS_BY_LAYER, rows) // tile) * tile)


def _shares_a_layer(architecture: Architecture, batch: int) -> bool:
    """Whether the outputs of some layer are dealt out to several tasks."""
    shapes = architecture.shapes
    return any(tasks_of(counted_rows(batch) * inputs * outputs, outputs) > 1 for inputs, outputs in shapes)


def _copies(architecture: Architecture, batch: int, panel: int, cuts: int) -> int:
    """Into how many shards a batch is divided where parameters are not few; 1 if it is gone through layer by layer.

    All parameters come and go with each panel, which has `panel` rows at most: it must be worth it.
    """
    inputs, outputs = architecture.sizes[:2]
    copies = min(MOST_COPIES, batch // ROWS_OF_COPY)
    copied = layout_of(architecture).size * architecture.dtype.itemsize <= MOST_COPIED_BYTES and panel >= ROWS_OF_COPY
    worth_it = copies >= max(cuts, tasks_of(batch * inputs * outputs, outputs))
    return power_of_two_within(copies) if copied and worth_it else 1


def _cuts(inputs: int, outputs: int, batch: int, dtype: np.dtype[Any]) -> int:
    """Into how many parts the inputs of the first layer are cut; 1 if its outputs are dealt out instead.

    A worker then gathers all of its rows, which costs more than the exchange of what the cuts add to the outputs if
    rows are long and outputs few. Of more outputs each cut has several groups, and of few there is but one.
    """
    few = outputs < 2 * ROWS_OF_TASK
    most = MOST_TASKS if few else MOST_CUTS
    cuts = power_of_two_within(most, batch * inputs * outputs // WORK_OF_TASK, int(inputs / (INPUTS_OF_CUT * outputs)))
    worth_it = few or batch * inputs * dtype.itemsize >= CUT_BYTES
    return cuts if cuts >= LEAST_CUTS and worth_it else 1


class _Laid(NamedTuple):
    """As in `Division`."""

    stride: int
    strip: int
    in_strips: bool


def _laid(architecture: Architecture, panel: int, *, cut: bool = False) -> _Laid:
    """How matrices of a panel lie: elements from row to row of the transposed ones, columns of a strip, if in several.

    Small ones are a single strip. So are those whose transpose is but two tiles wide: on a Zen 3 strips then cost as
    much as they spare. 784-128-10 in batches of four tiles takes 3 to 8 % less with them. Inputs that are `cut` lie in
    strips, since each cut has its own.
    """
    stride, largest = spaced(panel, architecture.dtype), max(*architecture.sizes, *layout_of(architecture).widths) + 1
    tile = TILE_VECTORS * lanes_of(architecture.dtype.itemsize)
    large = largest * panel * architecture.dtype.itemsize > 2 * LEVEL_1
    in_strips = cut or (large and panel > 2 * tile)
    return _Laid(stride, tile if in_strips else max(largest, stride), in_strips)
