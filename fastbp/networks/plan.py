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
    power_of_two_below,
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
    cost: int  # multiply-adds of a batch
    memory: int  # elements
    gradient: int


class Cut(NamedTuple):
    """How a batch is divided."""

    by_layer: bool  # all threads work on one layer after the other; else each shard goes through all of them
    panel: int  # rows
    stride: int  # from one row of a transposed panel to the next, where that is no strip
    tile: int  # columns of a strip
    direct: bool  # whether inputs go forward as they lie
    back_in_strips: bool  # whether BACK, too, has what it takes in so that it follows in memory
    shards: int
    cuts: int  # of the inputs of the first layer
    fused: int  # columns of the gradient that are computed and followed at once; 0 if all are computed before
    cost: int  # multiply-adds


def cut_of(architecture: Architecture, batch: int, purpose: int, clip_norm: float) -> Cut:
    """By shards if there are several, each with a gradient of its own, or if there is little to do; else by layer."""
    sizes, itemsize = architecture.sizes, architecture.dtype.itemsize
    lanes, layout = lanes_of(itemsize), layout_of(architecture)
    training = purpose in (TRAIN, GRADIENTS)
    passes = 3 if training else 1
    weights, outputs = sum(inputs * outputs for inputs, outputs in pairwise(sizes)), sum(sizes[1:])
    cost = batch * (passes * weights + 15 * outputs + 2 * sizes[0])

    whole = -(-batch // lanes) * lanes
    tile = TILE_VECTORS * lanes
    cuts = _cuts(sizes[0], sizes[1], batch, architecture.dtype) if training else 1
    few = not training or layout.size * itemsize <= FEW_COPIED_BYTES
    row_bytes = (sum(layout.widths) + sum(sizes) + 2 * outputs) * itemsize
    most = min(MOST_ROWS_OF_PANEL, (PANEL_BYTES if few else PANEL_BYTES_OF_COPIES) // row_bytes)
    if few:
        shards = power_of_two_below(max(1, min(cost // WORK_OF_SHARD, batch // ROWS_OF_SHARD, MOST_SHARDS)))
    else:
        shards = _copies(architecture, batch, most, cuts)
    direct = not training and batch <= DIRECT_ROWS
    if direct:
        whole = -(-whole // LEAST_VECTORS) * LEAST_VECTORS  # what a tile of sums writes
    if shards > 1 or cost < WORK_OF_LAYERS:
        most = max(1, most // tile) * tile
        rows = -(-batch // shards)  # of a shard; as even as whole vectors allow
        panels = -(-rows // most)
        panel = whole if direct else -(-rows // (panels * lanes)) * lanes
        return Cut(False, panel, *_laid(architecture, panel), direct, False, shards, 1, 0, cost)
    rows = STRETCH_BYTES // (max(sizes) * itemsize)
    panel = whole if whole <= 2 * rows else max(1, min(ROWS_OF_STRETCH, rows) // tile) * tile
    panel = whole if direct else min(panel, whole)
    stride, columns = _laid(architecture, panel)
    if cuts > 1:
        columns = tile  # a cut has strips of its own
    fused = 0
    if purpose == TRAIN and batch <= panel and not clip_norm:
        fused = (FUSED_VECTORS_OF_STRIPS if columns == tile else FUSED_VECTORS) * lanes
    return Cut(True, panel, stride, columns, direct, training and columns == tile, 1, cuts, fused, cost)


def _copies(architecture: Architecture, batch: int, panel: int, cuts: int) -> int:
    """Into how many shards a batch is divided where parameters are not few; 1 if it is gone through layer by layer.

    All parameters come and go with each panel, which has `panel` rows at most: it must be worth it.
    """
    copies = min(MOST_COPIES, batch // ROWS_OF_COPY)
    tasks = max(cuts, power_of_two_below(max(1, min(MOST_TASKS, architecture.sizes[1] // ROWS_OF_TASK))))
    copied = layout_of(architecture).size * architecture.dtype.itemsize <= MOST_COPIED_BYTES and panel >= ROWS_OF_COPY
    return power_of_two_below(copies) if copied and copies >= tasks else 1


def _cuts(inputs: int, outputs: int, batch: int, dtype: np.dtype[Any]) -> int:
    """Into how many parts the inputs of the first layer are cut; 1 if its outputs are dealt out instead.

    A worker then gathers all of its rows, which costs more than the exchange of what the cuts add to the outputs if
    rows are long and outputs few. And of few outputs there is but one group.
    """
    cuts = min(MOST_TASKS, batch * inputs * outputs // WORK_OF_TASK, inputs // (INPUTS_OF_CUT * outputs))
    worth_it = batch * inputs * dtype.itemsize >= CUT_BYTES or outputs < 2 * ROWS_OF_TASK
    return power_of_two_below(cuts) if cuts >= LEAST_CUTS and worth_it else 1


def _laid(architecture: Architecture, panel: int) -> tuple[int, int]:
    """How matrices of a panel lie: the elements from row to row of the transposed ones, and the columns of a strip.

    Small ones are a single strip. So are those whose transpose is but two tiles wide: on a Zen 3 strips then cost as
    much as they spare. 784-128-10 in batches of four tiles takes 3 to 8 % less with them.
    """
    stride, largest = spaced(panel, architecture.dtype), max(*architecture.sizes, *layout_of(architecture).widths) + 1
    tile = TILE_VECTORS * lanes_of(architecture.dtype.itemsize)
    large = largest * panel * architecture.dtype.itemsize > 2 * LEVEL_1
    return stride, tile if large and panel > 2 * tile else max(largest, stride)


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
    cut = cut_of(architecture, batch, purpose, clip_norm)
    lines = _program(architecture, batch, purpose, clip_norm, cut)
    program, operations = np.array(lines.lines, np.int64), np.array(lines.operations, np.int64).reshape(-1, 2)
    workers = max(1, min(threads, int(program[:, TASKS].max())))

    memory = _Memory(architecture.dtype)
    layers = _layers(architecture, purpose, cut, memory)
    y = memory.take(in_strips(cut.panel, targets, cut.tile))
    y_t = memory.take(in_strips(targets, cut.stride, cut.tile))
    weight = memory.take(cut.panel)
    of_back, w_width = _weights_of_back(architecture, cut, lines)
    w = memory.take(of_back * w_width)
    own = memory.end_page() - memory.shared
    size = layout_of(architecture).size
    strip = max(architecture.sizes[1:]) * cut.fused
    gradient = cut.shards * size if purpose in (TRAIN, GRADIENTS) else 0
    plan = Plan(
        threads=workers,
        batch=batch,
        panel=cut.panel,
        stride=cut.stride,
        tile=cut.tile,
        direct=int(cut.direct),
        parts=cut.shards,
        fused=cut.fused,
        strip=strip,
        loss=_LOSSES[architecture.loss],
        labels=int(labels),
        training=int(purpose in (TRAIN, GRADIENTS)),
        rule=rule,
        clip_norm=clip_norm,
        size=size,
        worker=own,
        shared=int(cut.by_layer),
        cuts=cut.cuts,
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
        cost=cut.cost,
        memory=memory.shared + workers * own,
        gradient=workers * strip if cut.fused else gradient,
    )


def _program(architecture: Architecture, batch: int, purpose: int, clip_norm: float, cut: Cut) -> _Lines:
    sizes = architecture.sizes
    training = purpose in (TRAIN, GRADIENTS)
    layers = range(len(sizes) - 1)
    weights = [inputs * outputs for inputs, outputs in pairwise(sizes)]

    def groups(cost: int, outputs: int) -> int:
        """Tasks of a line of so many multiply-adds on so many outputs."""
        return power_of_two_below(max(1, min(MOST_TASKS, cost // WORK_OF_TASK, outputs // ROWS_OF_TASK)))

    forward = [(network.JOIN if cut.cuts > 1 and layer == 0 else network.FORWARD, layer) for layer in layers]
    loss = [] if purpose == PREDICT else [(network.LOSS, layers[-1])]
    output = [] if training else [(network.OUTPUT, layers[-1])]
    back = [(network.BACK, layer) for layer in reversed(layers[1:])] if training else []
    gradient = [(network.GRADIENT, layer) for layer in layers] if training else []
    fold = [(network.FOLD_WITH_NORM if clip_norm else network.FOLD, layer) for layer in layers]
    update = [(network.UPDATE, layer) for layer in layers] if purpose == TRAIN else []
    of_loss = 0 if purpose == PREDICT else network.TOTAL_LOSS

    lines = _Lines()
    if cut.by_layer:
        on_parameters = cut.cuts if cut.cuts > 1 else groups(8 * sum(weights), max(sizes[1:]))
    else:
        tasks = min(MOST_TASKS, cut.shards, sum(weights) // WEIGHTS_OF_TASK, max(sizes[1:]) // ROWS_OF_TASK)
        on_parameters = power_of_two_below(max(1, tasks))
    lines.add(0, 1, (0, 0), [])  # what comes before the first batch: nothing
    if not cut.by_layer:
        panels = cut.panel * cut.shards
        of_line = max(1, LINE_WORK * batch // (cut.cost * panels)) * panels
        for first in range(0, batch, of_line):
            rows = (first, min(first + of_line, batch))
            lines.add(1, cut.shards, rows, [*forward, *loss, *output, *back, *gradient])
    else:
        for first in range(0, batch, cut.panel):
            rows = (first, min(first + cut.panel, batch))
            count = rows[1] - rows[0]
            if cut.cuts > 1:
                lines.add(cut.cuts, 1, rows, [(network.FORWARD_CUT, 0)])
            for operation in (*forward, *loss, *output, *(back if cut.cuts > 1 else back[:-1])):
                kind, layer = operation
                rows_as_a_whole = layer == layers[-1] and architecture.activations[layer] == "softmax"
                whole = rows_as_a_whole or kind in (network.LOSS, network.OUTPUT)
                outputs = sizes[layer] if kind == network.BACK else sizes[layer + 1]
                work = cut.cuts * sizes[1] if kind == network.JOIN else weights[layer]
                lines.join(1 if whole else groups(count * work, outputs), rows, [operation])
            if cut.cuts > 1:
                lines.add(cut.cuts, 1, rows, gradient)
                continue
            if not training:
                continue
            # Each group goes from its delta on to its gradient: what one core has computed would come late to another.
            # But weights that others still take their delta from are followed after that.
            later = [operation for operation in gradient if cut.fused and operation[1] == 1]
            now = [operation for operation in gradient if operation not in later]
            lines.add(groups(count * sum(weights), max(sizes[1:])), 1, rows, [*back[-1:], *now])
            if later:
                lines.add(groups(count * weights[1], sizes[2]), 1, rows, later)
                lines.updating = 2
    lines.close(of_loss)
    if training and not cut.fused:
        if clip_norm and update:
            lines.add(on_parameters, 1, (0, 1), fold)
            lines.close(network.TOTAL_NORM)
            fold = []
        lines.add(on_parameters, 1, (0, 1), [*fold, *update])
    lines.close(network.NEXT_BATCH)
    return lines


def _weights_of_back(architecture: Architecture, cut: Cut, lines: _Lines) -> tuple[int, int]:
    """Rows and columns of the weights that a task of BACK lays out anew: those of its inputs, at most."""
    dtype, most = architecture.dtype, 0
    for line in lines.lines if cut.back_in_strips else ():
        for kind, layer in lines.operations[line[network.FIRST_OPERATION] : line[network.LAST_OPERATION]]:
            if kind == network.BACK:
                most = max(most, largest_group(architecture.sizes[layer], line[network.GROUPS]))
    return most, spaced(padded(max(architecture.sizes[2:]), lanes_of(dtype.itemsize), dtype), dtype) if most else 0


class _Lines:
    """The lines of a program, and the operations that they are made of."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, ...]] = []
        self.operations: list[tuple[int, int]] = []
        self.updating = 1  # of the last lines

    def add(self, groups: int, parts: int, rows: tuple[int, int], operations: list[tuple[int, int]]) -> None:
        first = len(self.operations)
        self.operations += operations
        self.lines.append((groups * parts, groups, *rows, first, len(self.operations), 0))

    def join(self, groups: int, rows: tuple[int, int], operations: list[tuple[int, int]]) -> None:
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


def _layers(architecture: Architecture, purpose: int, cut: Cut, memory: _Memory) -> Table:
    """The table of layers, with a place in memory for all that they need."""
    sizes, layout = architecture.sizes, layout_of(architecture)
    training = purpose in (TRAIN, GRADIENTS)
    last = len(sizes) - 2
    table = np.full((last + 1, FIELDS), -1, np.int64)
    for row, inputs, outputs in zip(table, sizes, sizes[1:], strict=False):
        row[workspace.INPUTS], row[workspace.OUTPUTS] = inputs, outputs

    def places(layer: int) -> None:
        """Of what a layer takes, and in training of its delta."""
        row = table[layer]
        if layer == 0 or training or cut.direct:
            row[workspace.INPUT] = memory.take(in_strips(cut.panel, layout.widths[layer], cut.tile))
        row[workspace.INPUT_T] = memory.take(in_strips(sizes[layer] + 1, cut.stride, cut.tile))

    for layer, row in enumerate(table):
        row[workspace.WIDTH], row[workspace.PARAMETERS] = layout.widths[layer], layout.starts[layer]
        row[workspace.ACTIVATION] = _ACTIVATIONS[architecture.activations[layer]]
        row[workspace.LAST_ACTIVATION] = activations.IDENTITY
    if not cut.by_layer:
        memory.shared = memory.end_page()
    for layer in range(1, last + 1):
        places(layer)
    for layer, row in enumerate(table):
        if layer == last or training:
            row[workspace.DELTA_T] = memory.take(sizes[layer + 1] * cut.stride)
            if cut.back_in_strips and layer > 0:
                row[workspace.DELTA_STRIPS] = memory.take(in_strips(sizes[layer + 1], cut.stride, cut.tile))
    table[:-1, workspace.OUTPUT_T] = table[1:, workspace.INPUT_T]
    table[-1, workspace.OUTPUT_T] = memory.take(in_strips(sizes[-1] + 1, cut.stride, cut.tile))
    if cut.cuts > 1:
        table[0, workspace.CUTS_T] = memory.take(in_strips(cut.cuts * sizes[1], cut.stride, cut.tile))
    if cut.by_layer:
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
