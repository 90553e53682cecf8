"""How the work of a network is cut: written from the shapes, carried out by `fastbp.kernels.network`.

Whatever decides a bit of a result follows from the shapes, the dtype and the width of a vector. The number of threads
decides who does what, and in how many tasks where these give the same bits.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastbp.architecture import Architecture
from fastbp.kernels import activations, losses, network, workspace
from fastbp.kernels.matmul import LEAST_VECTORS
from fastbp.kernels.program import TASKS
from fastbp.kernels.workspace import FIELDS, Plan
from fastbp.plan import (
    LEVEL_1,
    LINE_WORK,
    MOST_SHARDS,
    MOST_TASKS,
    PAGE,
    in_strips,
    largest_group,
    padded,
    power_of_two_within,
    spaced,
)
from fastbp.tiles.registers import CACHE_LINE, TILE_ROWS, TILE_VECTORS, lanes_of

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
# Multiply-adds of a batch that is gone through layer by layer if it is a single shard, and of the task of a line.
WORK_OF_LAYERS = 800_000
WORK_OF_TASK = 100_000
# Multiply-adds and rows of a shard, at least. 64-32-10 in float64 on two threads of a Zen 3: 100 rows took 46 us in one
# shard and 29 in two. With two of 16 rows, 32 took 12 us instead of 15, but 21 where the cores share no cache.
WORK_OF_SHARD = 100_000
ROWS_OF_SHARD = 32
# Outputs, or inputs of BACK, of a task at least: two whole tiles.
ROWS_OF_TASK = 2 * TILE_ROWS
# Inputs of a cut of the first layer for each output, bytes of the inputs of a batch, and cuts, at least. On two threads
# of a Zen 3 cuts instead of groups of outputs gave: 784-16-10 in float64 and 3072-16-10, of which there is a single
# group, 1.34 and 1.6, 5000-16-2 1.3 to 1.5; 3072-64-10 in batches of 128 1.09 in float32 and 1.19 in float64; but
# 784-24-10 in batches of 32 0.87, and 2000-32-1 in batches of 64 0.97.
INPUTS_OF_CUT = 8
CUT_BYTES = 1024 * 1024
LEAST_CUTS = 4
# Weights of a task that folds the gradients of shards and follows them: half of the numbers come from another core's
# cache. In one task, the above took 41 us.
WEIGHTS_OF_TASK = 1000
# Rows that go forward as they lie, at most. One of 784-128-10 in float32 took a Zen 3 66 us, and 37 so; 4 took 74 and
# 52; 8 of 784-512-256-10 took 212 and 203 in float32, but 344 and 470 in float64.
DIRECT_ROWS = 4
# Of what a panel holds at most: half a level 2 cache, or more where that does not hold the parameters: it is they that
# come anew with every panel.
PANEL_BYTES = 256 * 1024
PANEL_BYTES_OF_COPIES = 1024 * 1024
MOST_ROWS_OF_PANEL = 240
# Rows of a stretch, where a batch takes several; one of up to twice STRETCH_BYTES stays whole: its update is fused.
ROWS_OF_STRETCH = 496
# Of the widest input of a stretch. With half of it, 3072-256-10 in batches of 256 took 1.16 times as long in float32,
# and 512-1024-512 1.07 times in float64: in several stretches. With twice of it, none of eight networks took less.
STRETCH_BYTES = 1024 * 1024
# Columns of a gradient that are computed and then followed while they are in the level 1 cache; or, where a batch lies
# in strips, in level 2, since long pieces of what an optimizer remembers come sooner than many short ones: with pieces
# of two vectors, 784-512-256-10 with Adam took 3 to 7 % longer.
FUSED_VECTORS = 2 * TILE_VECTORS
FUSED_VECTORS_OF_STRIPS = 32

# What a network is gone through for: updates, gradients alone, outputs, or outputs and loss.
TRAIN, GRADIENTS, PREDICT, EVALUATE = range(4)

_ACTIVATIONS = {
    "identity": activations.IDENTITY,
    "sigmoid": activations.SIGMOID,
    "tanh": activations.TANH,
    "relu": activations.RELU,
    "leaky_relu": activations.LEAKY_RELU,
    "softmax": activations.SOFTMAX,
}
_LOSSES = {
    "squared_error": losses.SQUARED_ERROR,
    "binary_cross_entropy": losses.BINARY_CROSS_ENTROPY,
    "cross_entropy": losses.CROSS_ENTROPY,
}

Table = npt.NDArray[np.int64]


class Layout(NamedTuple):
    """Where the parameters of each layer lie in one flat vector: (outputs, width), the bias in column `inputs`."""

    starts: tuple[int, ...]
    widths: tuple[int, ...]
    size: int


def layout_of(architecture: Architecture) -> Layout:
    lanes = lanes_of(architecture.dtype.itemsize)
    widths = tuple(padded(inputs + 1, lanes, architecture.dtype) for inputs in architecture.sizes[:-1])
    starts, size = [], 0
    for width, outputs in zip(widths, architecture.sizes[1:], strict=True):
        starts.append(size)
        size += width * outputs
    return Layout(tuple(starts), widths, size)


class Work(NamedTuple):
    """What a call on batches of one size is made of."""

    plan: Plan
    layers: Table
    program: Table
    operations: Table
    body: int  # lines of a batch
    updating: int  # the last ones of these, which update parameters: all are carried out or none
    multiply_adds: int  # of a batch
    memory: int  # elements
    gradient: int


class Division(NamedTuple):
    """How a batch is divided."""

    work: int  # multiply-adds of a batch
    training: bool
    by_layer: bool  # all threads work on one layer after the other; else each shard goes through all of them
    panel: int  # rows
    stride: int  # from one row of a transposed panel to the next, where that is no strip
    tile: int  # columns of a strip
    in_strips: bool  # whether matrices of a panel lie in several of them; small ones are a single strip
    direct: bool  # whether inputs go forward as they lie
    shards: int = 1
    cuts: int = 1  # of the inputs of the first layer
    fused: int = 0  # columns of the gradient that are computed and followed at once; 0 if all are computed before

    @property
    def back_in_strips(self) -> bool:
        """Whether BACK, too, has what it takes in so that it follows in memory."""
        return self.by_layer and self.training and self.in_strips


def division_of(architecture: Architecture, batch: int, purpose: int, clip_norm: float) -> Division:
    """By shards if there are several, each with a gradient of its own, or if there is little to do; else by layer."""
    training = purpose in (TRAIN, GRADIENTS)
    work = batch * _work_of_row(architecture.sizes, 3 if training else 1)
    few = not training or layout_of(architecture).size * architecture.dtype.itemsize <= FEW_COPIED_BYTES
    most = _most_rows_of_panel(architecture, PANEL_BYTES if few else PANEL_BYTES_OF_COPIES)
    cuts = _cuts(architecture.sizes[0], architecture.sizes[1], batch, architecture.dtype) if training else 1
    if few:
        shards = power_of_two_within(work // WORK_OF_SHARD, batch // ROWS_OF_SHARD, MOST_SHARDS)
    else:
        shards = _copies(architecture, batch, most, cuts)

    lanes = lanes_of(architecture.dtype.itemsize)
    direct = not training and batch <= DIRECT_ROWS
    unit = max(lanes, LEAST_VECTORS) if direct else lanes  # of inputs as they lie, what a tile of sums writes
    whole = -(-batch // unit) * unit
    if shards > 1 or work < WORK_OF_LAYERS:
        panel = whole if direct else _panel_of_shard(-(-batch // shards), most, lanes)
        return Division(work, training, False, panel, *_laid(architecture, panel), direct, shards)
    panel = whole if direct else _panel_of_stretch(architecture, whole)
    stride, tile, in_strips = _laid(architecture, panel, cut=cuts > 1)
    fused = 0
    if purpose == TRAIN and batch <= panel and not clip_norm:
        fused = (FUSED_VECTORS_OF_STRIPS if in_strips else FUSED_VECTORS) * lanes
    return Division(work, training, True, panel, stride, tile, in_strips, direct, cuts=cuts, fused=fused)


def _work_of_row(sizes: tuple[int, ...], passes: int) -> int:
    """Multiply-adds of a row; an activation and its slope count as 15, and to gather and transpose an input as 2."""
    return passes * sum(inputs * outputs for inputs, outputs in pairwise(sizes)) + 15 * sum(sizes[1:]) + 2 * sizes[0]


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


def _panel_of_stretch(architecture: Architecture, whole: int) -> int:
    """Rows of a panel that all threads go through layer by layer; `whole` is the batch, in whole vectors."""
    itemsize = architecture.dtype.itemsize
    rows = STRETCH_BYTES // (max(architecture.sizes) * itemsize)
    tile = TILE_VECTORS * lanes_of(itemsize)
    return whole if whole <= 2 * rows else min(whole, max(1, min(ROWS_OF_STRETCH, rows) // tile) * tile)


def _tasks(work: int, outputs: int) -> int:
    """Groups of so many outputs, for so many multiply-adds."""
    return power_of_two_within(MOST_TASKS, work // WORK_OF_TASK, outputs // ROWS_OF_TASK)


def _copies(architecture: Architecture, batch: int, panel: int, cuts: int) -> int:
    """Into how many shards a batch is divided where parameters are not few; 1 if it is gone through layer by layer.

    All parameters come and go with each panel, which has `panel` rows at most: it must be worth it.
    """
    inputs, outputs = architecture.sizes[:2]
    copies = min(MOST_COPIES, batch // ROWS_OF_COPY)
    copied = layout_of(architecture).size * architecture.dtype.itemsize <= MOST_COPIED_BYTES and panel >= ROWS_OF_COPY
    worth_it = copies >= max(cuts, _tasks(batch * inputs * outputs, outputs))
    return power_of_two_within(copies) if copied and worth_it else 1


def _cuts(inputs: int, outputs: int, batch: int, dtype: np.dtype[Any]) -> int:
    """Into how many parts the inputs of the first layer are cut; 1 if its outputs are dealt out instead.

    A worker then gathers all of its rows, which costs more than the exchange of what the cuts add to the outputs if
    rows are long and outputs few. And of few outputs there is but one group.
    """
    cuts = power_of_two_within(
        MOST_TASKS, batch * inputs * outputs // WORK_OF_TASK, inputs // (INPUTS_OF_CUT * outputs)
    )
    worth_it = batch * inputs * dtype.itemsize >= CUT_BYTES or outputs < 2 * ROWS_OF_TASK
    return cuts if cuts >= LEAST_CUTS and worth_it else 1


def _laid(architecture: Architecture, panel: int, *, cut: bool = False) -> tuple[int, int, bool]:
    """How matrices of a panel lie: elements from row to row of the transposed ones, columns of a strip, if in several.

    Small ones are a single strip. So are those whose transpose is but two tiles wide: on a Zen 3 strips then cost as
    much as they spare. 784-128-10 in batches of four tiles takes 3 to 8 % less with them. Inputs that are `cut` lie in
    strips, since each cut has its own.
    """
    stride, largest = spaced(panel, architecture.dtype), max(*architecture.sizes, *layout_of(architecture).widths) + 1
    tile = TILE_VECTORS * lanes_of(architecture.dtype.itemsize)
    large = largest * panel * architecture.dtype.itemsize > 2 * LEVEL_1
    in_strips = cut or (large and panel > 2 * tile)
    return stride, tile if in_strips else max(largest, stride), in_strips


def work_for(
    architecture: Architecture,
    batch: int,
    targets: int,
    threads: int,
    purpose: int,
    *,
    labels: bool = False,
    rule: int = 0,
    clip_norm: float = 0.0,
) -> Work:
    """What batches of `batch` rows with so many targets are gone through with."""
    division = division_of(architecture, batch, purpose, clip_norm)
    lines = _program(architecture, batch, purpose, clip_norm, division)
    program, operations = np.array(lines.lines, np.int64), np.array(lines.operations, np.int64).reshape(-1, 2)
    workers = max(1, min(threads, int(program[:, TASKS].max())))

    memory = _Memory(architecture.dtype)
    layers = _layers(architecture, purpose, division, memory)
    y = memory.take(in_strips(division.panel, targets, division.tile))
    y_t = memory.take(in_strips(targets, division.stride, division.tile))
    weight = memory.take(division.panel)
    of_back, w_width = _weights_of_back(architecture, division, lines)
    w = memory.take(of_back * w_width)
    own = memory.end_page() - memory.shared
    size = layout_of(architecture).size
    strip = max(architecture.sizes[1:]) * division.fused
    gradient = division.shards * size if division.training else 0
    plan = Plan(
        threads=workers,
        batch=batch,
        panel=division.panel,
        stride=division.stride,
        tile=division.tile,
        direct=int(division.direct),
        parts=division.shards,
        fused=division.fused,
        strip=strip,
        loss=_LOSSES[architecture.loss],
        labels=int(labels),
        training=int(division.training),
        rule=rule,
        clip_norm=clip_norm,
        size=size,
        worker=own,
        shared=int(division.by_layer),
        cuts=division.cuts,
        y=y,
        y_t=y_t,
        weight=weight,
        w=w,
        w_width=w_width,
    )
    return Work(
        plan=plan,
        layers=layers,
        program=program,
        operations=operations,
        body=len(program) - 1,
        updating=lines.updating,
        multiply_adds=division.work,
        memory=memory.shared + workers * own,
        gradient=workers * strip if division.fused else gradient,
    )


def _program(architecture: Architecture, batch: int, purpose: int, clip_norm: float, division: Division) -> _Lines:
    """Its first line comes before the first batch, and is empty; the others are those of a batch."""
    passes = _passes(architecture, purpose, clip_norm, division.cuts)
    lines = _Lines()
    lines.add(0, 1, (0, 0), [])
    if division.by_layer:
        _add_layers(lines, architecture, batch, division, passes)
    else:
        _add_shards(lines, batch, division, passes)
    lines.close(0 if purpose == PREDICT else network.TOTAL_LOSS)
    if division.training and not division.fused:
        _add_update(lines, architecture, division, passes, clip_norm)
    lines.close(network.NEXT_BATCH)
    return lines


Operations = list[tuple[int, int]]  # kinds and layers


class _Passes(NamedTuple):
    """The operations of a batch, in their order."""

    forward: Operations  # to the loss or the outputs
    back: Operations
    gradient: Operations
    fold: Operations
    update: Operations


def _passes(architecture: Architecture, purpose: int, clip_norm: float, cuts: int) -> _Passes:
    layers = range(len(architecture.sizes) - 1)
    training = purpose in (TRAIN, GRADIENTS)
    forward = [(network.JOIN if cuts > 1 and layer == 0 else network.FORWARD, layer) for layer in layers]
    if purpose != PREDICT:
        forward.append((network.LOSS, layers[-1]))
    if not training:
        forward.append((network.OUTPUT, layers[-1]))
    return _Passes(
        forward=forward,
        back=[(network.BACK, layer) for layer in reversed(layers[1:])] if training else [],
        gradient=[(network.GRADIENT, layer) for layer in layers] if training else [],
        fold=[(network.FOLD_WITH_NORM if clip_norm else network.FOLD, layer) for layer in layers],
        update=[(network.UPDATE, layer) for layer in layers] if purpose == TRAIN else [],
    )


def _add_shards(lines: _Lines, batch: int, division: Division, passes: _Passes) -> None:
    """Each shard goes through all operations, panel by panel."""
    panels = division.panel * division.shards
    of_line = max(1, LINE_WORK * batch // (division.work * panels)) * panels
    for first in range(0, batch, of_line):
        rows = (first, min(first + of_line, batch))
        lines.add(1, division.shards, rows, [*passes.forward, *passes.back, *passes.gradient])


def _add_layers(lines: _Lines, architecture: Architecture, batch: int, division: Division, passes: _Passes) -> None:
    """Each operation of each panel is a line, of as many tasks as it has groups of outputs, or cuts of the inputs."""
    sizes, cuts = architecture.sizes, division.cuts
    weights = [inputs * outputs for inputs, outputs in pairwise(sizes)]
    for first in range(0, batch, division.panel):
        rows = (first, min(first + division.panel, batch))
        count = rows[1] - rows[0]
        if cuts > 1:
            lines.add(cuts, 1, rows, [(network.FORWARD_CUT, 0)])
        for kind, layer in (*passes.forward, *(passes.back if cuts > 1 else passes.back[:-1])):
            softmax = layer == len(weights) - 1 and architecture.activations[layer] == "softmax"
            whole = softmax or kind in (network.LOSS, network.OUTPUT)  # a task takes all outputs of a row
            outputs = sizes[layer] if kind == network.BACK else sizes[layer + 1]
            work = cuts * sizes[1] if kind == network.JOIN else weights[layer]
            lines.join(1 if whole else _tasks(count * work, outputs), rows, [(kind, layer)])
        if not division.training:
            continue
        if cuts > 1:
            lines.add(cuts, 1, rows, passes.gradient)
            continue
        # Each group goes from its delta on to its gradient: what one core has computed would come late to another. But
        # weights that others still take their delta from are followed after that.
        later = [operation for operation in passes.gradient if division.fused and operation[1] == 1]
        now = [operation for operation in passes.gradient if operation not in later]
        lines.add(_tasks(count * sum(weights), max(sizes[1:])), 1, rows, [*passes.back[-1:], *now])
        if later:
            lines.add(_tasks(count * weights[1], sizes[2]), 1, rows, later)
            lines.updating = 2


def _add_update(
    lines: _Lines, architecture: Architecture, division: Division, passes: _Passes, clip_norm: float
) -> None:
    """What is left where not every gradient is followed as soon as it is there: tasks of parameters, and of no rows."""
    sizes = architecture.sizes
    weights, widest = sum(inputs * outputs for inputs, outputs in pairwise(sizes)), max(sizes[1:])
    if division.by_layer:
        tasks = division.cuts if division.cuts > 1 else _tasks(8 * weights, widest)
    else:
        tasks = power_of_two_within(MOST_TASKS, division.shards, weights // WEIGHTS_OF_TASK, widest // ROWS_OF_TASK)
    once = (0, 1)  # as if for a single panel
    fold = passes.fold
    if clip_norm and passes.update:
        lines.add(tasks, 1, once, fold)
        lines.close(network.TOTAL_NORM)
        fold = []
    lines.add(tasks, 1, once, [*fold, *passes.update])


def _weights_of_back(architecture: Architecture, division: Division, lines: _Lines) -> tuple[int, int]:
    """Rows and columns of the weights that a task of BACK lays out anew: those of its inputs, at most."""
    dtype, most = architecture.dtype, 0
    for line in lines.lines if division.back_in_strips else ():
        for kind, layer in lines.operations[line[network.FIRST_OPERATION] : line[network.LAST_OPERATION]]:
            if kind == network.BACK:
                most = max(most, largest_group(architecture.sizes[layer], line[network.GROUPS]))
    return most, spaced(padded(max(architecture.sizes[2:]), lanes_of(dtype.itemsize), dtype), dtype) if most else 0


class _Lines:
    """The lines of a program, and the operations that they are made of."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, ...]] = []
        self.operations: Operations = []
        self.updating = 1  # of the last lines

    def add(self, groups: int, parts: int, rows: tuple[int, int], operations: Operations) -> None:
        first = len(self.operations)
        self.operations += operations
        self.lines.append((groups * parts, groups, *rows, first, len(self.operations), 0))

    def join(self, groups: int, rows: tuple[int, int], operations: Operations) -> None:
        """More operations: in the last line, if that has the same rows and both are a single task."""
        tasks, _, *last_rows, first, _, closing = self.lines[-1]
        if len(self.lines) > 1 and tasks == groups == 1 and last_rows == list(rows):
            self.operations += operations
            self.lines[-1] = (1, 1, *rows, first, len(self.operations), closing)
        else:
            self.add(groups, 1, rows, operations)

    def close(self, closing: int) -> None:
        """Have the leader do something at the end of the last line."""
        self.lines[-1] = (*self.lines[-1][:-1], self.lines[-1][-1] | closing)


def _layers(architecture: Architecture, purpose: int, division: Division, memory: _Memory) -> Table:
    """The table of layers, with a place in memory for all that they need."""
    sizes, layout = architecture.sizes, layout_of(architecture)
    training, last = division.training, len(sizes) - 2
    table = np.full((last + 1, FIELDS), -1, np.int64)
    for row, inputs, outputs in zip(table, sizes, sizes[1:], strict=False):
        row[workspace.INPUTS], row[workspace.OUTPUTS] = inputs, outputs

    def places(layer: int) -> None:
        """Of what a layer takes, and in training of its delta."""
        row = table[layer]
        if layer == 0 or training or division.direct:
            row[workspace.INPUT] = memory.take(in_strips(division.panel, layout.widths[layer], division.tile))
        row[workspace.INPUT_T] = memory.take(in_strips(sizes[layer] + 1, division.stride, division.tile))

    for layer, row in enumerate(table):
        row[workspace.WIDTH], row[workspace.PARAMETERS] = layout.widths[layer], layout.starts[layer]
        row[workspace.ACTIVATION] = _ACTIVATIONS[architecture.activations[layer]]
        row[workspace.LAST_ACTIVATION] = activations.IDENTITY
    if not division.by_layer:
        memory.shared = memory.end_page()
    for layer in range(1, last + 1):
        places(layer)
    for layer, row in enumerate(table):
        if layer == last or training:
            row[workspace.DELTA_T] = memory.take(sizes[layer + 1] * division.stride)
            if division.back_in_strips and layer > 0:
                row[workspace.DELTA_STRIPS] = memory.take(in_strips(sizes[layer + 1], division.stride, division.tile))
    table[:-1, workspace.OUTPUT_T] = table[1:, workspace.INPUT_T]
    table[-1, workspace.OUTPUT_T] = memory.take(in_strips(sizes[-1] + 1, division.stride, division.tile))
    if division.cuts > 1:
        table[0, workspace.CUTS_T] = memory.take(in_strips(division.cuts * sizes[1], division.stride, division.tile))
    if division.by_layer:
        memory.shared = memory.end_page()
    places(0)
    if architecture.loss != "squared_error" and purpose != PREDICT:  # which LOSS wants before the activation
        table[-1, workspace.LAST_ACTIVATION] = table[-1, workspace.ACTIVATION]
        table[-1, workspace.ACTIVATION] = activations.IDENTITY
    return table


class _Memory:
    """Matrices one after the other, each from a cache line on: first what all workers share, then a panel's own."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._line, self._page = CACHE_LINE // dtype.itemsize, PAGE // dtype.itemsize
        self._end = 0
        self.shared = 0

    def take(self, size: int) -> int:
        start = self._end
        self._end += -(-size // self._line) * self._line
        return start

    def end_page(self) -> int:
        """The end, moved on to a page of its own: what one core writes lies away from what another does."""
        self._end = -(-self._end // self._page) * self._page + self._page
        return self._end
