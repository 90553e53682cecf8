"""How the work of a network is cut: written from the shapes, carried out by `fastbp.kernels.network`.

All of it follows from the shapes, the dtype and what is to be done; only the number of threads does not, and that
changes no bit of a result.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastbp.architecture import Architecture
from fastbp.kernels import activations, losses, network
from fastbp.kernels.network import FIELDS, Plan
from fastbp.plan import PAGE, padded, power_of_two_below
from fastbp.tiles.registers import CACHE_LINE, TILE_VECTORS, lanes_of

# Parameters beyond this size are not copied for every shard of a batch: all threads work on one layer after the other.
MOST_COPIED_BYTES = 128 * 1024
# Multiply-adds of a task: for less, a second thread does not pay.
WORK_OF_TASK = 100_000
MOST_GROUPS = 16
MOST_SHARDS = 32
# Of what a panel holds at most: half a level 2 cache.
PANEL_BYTES = 256 * 1024
MOST_ROWS_OF_PANEL = 240
MOST_ROWS_OF_STRETCH = 496
# Columns of a gradient that are computed and then followed while they are in the level 1 cache.
STRIP_VECTORS = 2 * TILE_VECTORS

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
    body: int  # lines of a batch
    operations: Table
    holders: int  # of panels: each worker, or one for all
    memory: int  # elements
    gradient: int
    groups: int  # the most of a line
    cost: int  # multiply-adds of a batch


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
    """The cut of batches of `batch` rows."""
    sizes, dtype = architecture.sizes, architecture.dtype
    lanes = lanes_of(dtype.itemsize)
    layout = layout_of(architecture)
    training = purpose in (TRAIN, GRADIENTS)
    weights = [inputs * outputs for inputs, outputs in pairwise(sizes)]
    rows_padded = -(-batch // lanes) * lanes

    # By shards if the weights are few, so that each can have a gradient of its own; else layer by layer.
    of_row = sum(layout.widths) + sum(sizes) + 2 * sum(sizes[1:])
    tile = TILE_VECTORS * lanes
    panel = max(tile, min(MOST_ROWS_OF_PANEL, PANEL_BYTES // (of_row * dtype.itemsize)) // tile * tile)
    panel = min(panel, rows_padded)
    work = batch * (6 * sum(weights) + 30 * sum(sizes[1:]) + 4 * sizes[0]) // (2 if training else 6)
    shards = min(-(-batch // panel), max(1, work // (2 * WORK_OF_TASK)), MOST_SHARDS)
    by_layer = (
        training and (layout.size * dtype.itemsize > MOST_COPIED_BYTES or shards == 1) and work > 8 * WORK_OF_TASK
    )
    if by_layer:
        panel = min(rows_padded, MOST_ROWS_OF_STRETCH // lanes * lanes)
        shards = 1
    else:
        shards = power_of_two_below(shards)
    stretches = -(-batch // panel) if by_layer else 1
    fused = STRIP_VECTORS * lanes if by_layer and purpose == TRAIN and stretches == 1 and not clip_norm else 0

    def groups_for(multiply_adds: int, outputs: int) -> int:
        """Tasks of a line of so much work on so many outputs."""
        if not by_layer:
            return 1
        return power_of_two_below(max(1, min(MOST_GROUPS, multiply_adds // WORK_OF_TASK, -(-outputs // lanes))))

    lines = _Lines()
    all_weights = sum(weights)
    parameter_groups = groups_for(all_weights * (panel if fused else 8), max(sizes[1:]))
    most_groups = parameter_groups
    lines.add(parameter_groups, parameter_groups, (0, 1), [(network.TURN, layer) for layer in range(len(weights))], 0)
    last = len(weights) - 1
    forward = [(network.FORWARD, layer) for layer in range(len(weights))]
    ending = [] if purpose == PREDICT else [(network.LOSS, last)]
    if not training:
        ending.append((network.OUTPUT, last))
    back = [(network.BACK, layer) for layer in range(last, 0, -1)] if training else []
    gradients = [(network.GRADIENT, layer) for layer in range(len(weights))] if training else []
    total = network.TOTAL_LOSS if purpose != PREDICT else 0
    done = network.NEXT_BATCH

    if by_layer:
        for first in range(0, batch, panel):
            rows = (first, min(first + panel, batch))
            count = rows[1] - rows[0]
            is_last = rows[1] == batch
            steps = [(network.GATHER, 0), *forward, *ending, *back]
            groups_of = [
                groups_for(count * sizes[0] * 8, count),
                *(groups_for(count * weights[layer], sizes[layer + 1]) for layer in range(len(weights))),
                1,
                *(groups_for(count * weights[layer], sizes[layer]) for layer in range(last, 0, -1)),
            ]
            if architecture.activations[-1] == "softmax":  # over all outputs
                groups_of[last + 1] = 1
            for operation, groups in zip(steps, groups_of, strict=True):
                closing = total if operation[0] == network.LOSS and is_last else 0
                lines.join(groups, rows, operation, closing)
            closing = done if fused else 0
            lines.add(parameter_groups, parameter_groups, rows, gradients, closing)
    else:
        lines.add(
            shards,
            1,
            (0, batch),
            [(network.GATHER, 0), *forward, *ending, *back, *gradients],
            total | (0 if training else done),
        )
    if training and not fused:
        parameters = range(len(weights))
        if purpose == GRADIENTS:
            updates = [(network.FOLD, layer) for layer in parameters]
        elif clip_norm:
            folds = [(network.FOLD_WITH_NORM, layer) for layer in parameters]
            lines.add(parameter_groups, parameter_groups, (0, 1), folds, network.TOTAL_NORM)
            updates = [(network.UPDATE, layer) for layer in parameters]
        else:
            updates = [(kind, layer) for layer in parameters for kind in (network.FOLD, network.UPDATE)]
        lines.add(parameter_groups, parameter_groups, (0, 1), updates, done)

    memory = _Memory(dtype)
    turned = [memory.take(inputs * padded(outputs, lanes, dtype)) for inputs, outputs in pairwise(sizes)]
    shared = memory.end
    layers = np.zeros((len(weights), FIELDS), np.int64)
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        activation = _ACTIVATIONS[architecture.activations[layer]]
        from_sums = layer == last and (architecture.loss != "squared_error") and purpose != PREDICT
        layers[layer, network.INPUTS], layers[layer, network.OUTPUTS] = inputs, outputs
        layers[layer, network.WIDTH], layers[layer, network.PARAMETERS] = layout.widths[layer], layout.starts[layer]
        layers[layer, network.TURNED], layers[layer, network.TURNED_WIDTH] = (
            turned[layer],
            padded(outputs, lanes, dtype),
        )
        layers[layer, network.ACTIVATION] = activations.IDENTITY if from_sums else activation
        layers[layer, network.LAST_ACTIVATION] = activation if from_sums else activations.IDENTITY
        layers[layer, network.INPUT] = memory.take(panel * layout.widths[layer]) if training or layer == 0 else -1
        layers[layer, network.INPUT_T] = memory.take((inputs + 1) * panel)
        if layer > 0:
            layers[layer - 1, network.OUTPUT_T] = layers[layer, network.INPUT_T]
        layers[layer, network.DELTA_T] = memory.take(outputs * panel) if training or layer == last else -1
    layers[last, network.OUTPUT_T] = memory.take(sizes[-1] * panel)
    y, y_t, weight = memory.take(panel * targets), memory.take(targets * panel), memory.take(panel)
    own = memory.end - shared
    program = np.array(lines.lines, np.int64)
    workers = max(1, min(threads, int(program[:, 0].max())))
    strip = max(-(-outputs // lanes) * lanes for outputs in sizes[1:]) * fused
    strip += PAGE // dtype.itemsize if strip else 0
    plan = Plan(
        threads=workers,
        batch=batch,
        panel=panel,
        parts=shards,
        fused=fused,
        strip=strip,
        loss=_LOSSES[architecture.loss],
        labels=int(labels),
        training=int(training),
        rule=rule,
        clip_norm=clip_norm,
        size=layout.size,
        worker=0 if by_layer else own,
        y=y,
        y_t=y_t,
        weight=weight,
    )
    holders = 1 if by_layer else workers
    return Work(
        plan,
        layers,
        program,
        len(program) - 1,
        np.array(lines.operations, np.int64),
        holders,
        shared + holders * own,
        workers * strip if fused else shards * layout.size if training else 0,
        most_groups,
        work,
    )


class _Lines:
    """The lines of a program, and the operations that they are made of."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, ...]] = []
        self.operations: list[tuple[int, int]] = []

    def add(
        self, tasks: int, groups: int, rows: tuple[int, int], operations: list[tuple[int, int]], closing: int
    ) -> None:
        first = len(self.operations)
        self.operations += operations
        self.lines.append((tasks, groups, *rows, first, len(self.operations), closing))

    def join(self, groups: int, rows: tuple[int, int], operation: tuple[int, int], closing: int) -> None:
        """One more operation: in the last line if that has the same rows and both are a single task."""
        tasks, _, first, last, begin, _, closed = self.lines[-1]
        if len(self.lines) > 1 and tasks == groups == 1 and (first, last) == rows:
            self.operations.append(operation)
            self.lines[-1] = (1, 1, *rows, begin, len(self.operations), closed | closing)
        else:
            self.add(groups, groups, rows, [operation], closing)


class _Memory:
    """Matrices one after the other, each from a cache line on."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._line = CACHE_LINE // dtype.itemsize
        self.end = 0

    def take(self, size: int) -> int:
        start = self.end
        self.end += -(-size // self._line) * self._line
        return start
