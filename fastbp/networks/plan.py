"""How the work of a network is cut: written from the shapes, carried out by `fastbp.kernels.network`.

A `Division` of the batch becomes a program, and a place in memory for all matrices. The number of threads decides who
does what, and changes no bit of a result.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastbp.architecture import Architecture
from fastbp.cutting import LINE_WORK, MOST_TASKS, largest_group, power_of_two_within
from fastbp.kernels import activations, losses, network, workspace
from fastbp.kernels.matmul import LEAST_VECTORS
from fastbp.kernels.program import TASKS
from fastbp.kernels.workspace import FIELDS, Plan
from fastbp.memory import Places, in_strips, padded, spaced
from fastbp.networks.division import (
    GRADIENTS,
    PREDICT,
    ROWS_OF_TASK,
    TRAIN,
    Division,
    counted_rows,
    division_of,
    layout_of,
    tasks_of,
    tasks_of_cuts,
)
from fastbp.tiles.registers import lanes_of

# Weights of a task that folds the gradients of shards and applies them: half of the numbers come from another core's
# cache. 100 rows of 64-32-10 in float64 took two threads of a Zen 3 29 us, and 41 in one task.
WEIGHTS_OF_TASK = 1000

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
    lanes = lanes_of(architecture.dtype.itemsize)

    places = Places(architecture.dtype)
    layers = _layers(architecture, purpose, division, places)
    y = places.take(in_strips(division.panel, targets, division.strip))
    y_t = places.take(in_strips(targets, division.stride, division.strip))
    weight = places.take(division.panel)
    of_back, w_width = _weights_of_back(architecture, division, lines)
    w = places.take(of_back * w_width)
    of_sums = padded(max(architecture.sizes[1:]), max(lanes, LEAST_VECTORS), architecture.dtype)
    sums = places.take(division.panel * of_sums if division.direct else 0)
    own = places.end_worker()
    size = layout_of(architecture).size
    gradient_buffer = 0 if division.direct else max(architecture.sizes[1:]) * division.fused
    gradient = division.shards * size if division.training else 0
    plan = Plan(
        threads=workers,
        batch=batch,
        panel=division.panel,
        stride=division.stride,
        strip=division.strip,
        direct=int(division.direct),
        shards=division.shards,
        fused=division.fused,
        gradient_buffer=gradient_buffer,
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
        sums=sums,
    )
    return Work(
        plan=plan,
        layers=layers,
        program=program,
        operations=operations,
        body=len(program) - 1,
        updating=lines.updating,
        multiply_adds=division.multiply_adds,
        memory=places.shared + workers * own,
        gradient=workers * gradient_buffer if division.fused else gradient,
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
        _add_update(lines, architecture, batch, division, passes, clip_norm)
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
    of_line = max(1, LINE_WORK * batch // (division.multiply_adds * panels)) * panels
    for first in range(0, batch, of_line):
        rows = (first, min(first + of_line, batch))
        lines.add(1, division.shards, rows, [*passes.forward, *passes.back, *passes.gradient])


def _add_layers(lines: _Lines, architecture: Architecture, batch: int, division: Division, passes: _Passes) -> None:
    """Each operation of each panel is a line, of as many tasks as it has groups of outputs, within cuts if any."""
    sizes, cuts = architecture.sizes, division.cuts
    weights = [inputs * outputs for inputs, outputs in pairwise(sizes)]
    tasks = tasks_of_cuts(architecture, batch, cuts)
    for first in range(0, batch, division.panel):
        rows = (first, min(first + division.panel, batch))
        count = counted_rows(rows[1] - rows[0])
        if cuts > 1:
            lines.add(tasks, 1, rows, [(network.FORWARD_CUT, 0)])
        for kind, layer in (*passes.forward, *(passes.back if cuts > 1 else passes.back[:-1])):
            softmax = layer == len(weights) - 1 and architecture.activations[layer] == "softmax"
            whole = softmax or kind in (network.LOSS, network.OUTPUT)  # a task takes all outputs of a row
            outputs = sizes[layer] if kind == network.BACK else sizes[layer + 1]
            work = cuts * sizes[1] if kind == network.JOIN else weights[layer]
            lines.join(1 if whole else tasks_of(count * work, outputs), rows, [(kind, layer)])
        if not division.training:
            continue
        if cuts > 1:
            lines.add(tasks, 1, rows, passes.gradient)
            continue
        # Each group goes from its delta on to its gradient: what one core has computed would come late to another. But
        # weights that others still take their delta from are updated after that.
        later = [operation for operation in passes.gradient if division.fused and operation[1] == 1]
        now = [operation for operation in passes.gradient if operation not in later]
        lines.add(tasks_of(count * sum(weights), max(sizes[1:])), 1, rows, [*passes.back[-1:], *now])
        if later:
            lines.add(tasks_of(count * weights[1], sizes[2]), 1, rows, later)
            lines.updating = 2


def _add_update(
    lines: _Lines, architecture: Architecture, batch: int, division: Division, passes: _Passes, clip_norm: float
) -> None:
    """What is left where not every gradient is applied as soon as it is there: tasks of parameters, and of no rows."""
    sizes = architecture.sizes
    weights, widest = sum(inputs * outputs for inputs, outputs in pairwise(sizes)), max(sizes[1:])
    if division.cuts > 1:
        tasks = tasks_of_cuts(architecture, batch, division.cuts)
    elif division.by_layer:
        tasks = tasks_of(8 * weights, widest)
    else:
        tasks = power_of_two_within(MOST_TASKS, division.shards, weights // WEIGHTS_OF_TASK, widest // ROWS_OF_TASK)
    once = (0, 1)  # as if for a single panel
    fold = passes.fold
    if clip_norm and passes.update:
        lines.add(tasks, 1, once, fold)
        lines.close(network.TOTAL_NORM)
        fold = []
    lines.add(tasks, 1, once, [*fold, *passes.update])


class Line(NamedTuple):
    """A row of the program, in the order of its columns in `fastbp.kernels.network`."""

    tasks: int
    groups: int
    first_row: int
    last_row: int
    first_operation: int
    last_operation: int
    closing: int = 0


def _weights_of_back(architecture: Architecture, division: Division, lines: _Lines) -> tuple[int, int]:
    """Rows and columns of the weights that a task of BACK lays out anew: those of its inputs, at most."""
    dtype, most = architecture.dtype, 0
    for line in lines.lines if division.back_in_strips else ():
        for kind, layer in lines.operations[line.first_operation : line.last_operation]:
            if kind == network.BACK:
                most = max(most, largest_group(architecture.sizes[layer], line.groups))
    return most, spaced(padded(max(architecture.sizes[2:]), lanes_of(dtype.itemsize), dtype), dtype) if most else 0


class _Lines:
    """The lines of a program, and the operations that they are made of."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.operations: Operations = []
        self.updating = 1  # of the last lines

    def add(self, groups: int, parts: int, rows: tuple[int, int], operations: Operations) -> None:
        first = len(self.operations)
        self.operations += operations
        self.lines.append(Line(groups * parts, groups, *rows, first, len(self.operations)))

    def join(self, groups: int, rows: tuple[int, int], operations: Operations) -> None:
        """More operations: in the last line, if that has the same rows and both are a single task."""
        last = self.lines[-1]
        if len(self.lines) > 1 and last.tasks == groups == 1 and (last.first_row, last.last_row) == rows:
            self.operations += operations
            self.lines[-1] = last._replace(last_operation=len(self.operations))
        else:
            self.add(groups, 1, rows, operations)

    def close(self, closing: int) -> None:
        """Have the leader do something at the end of the last line."""
        last = self.lines[-1]
        self.lines[-1] = last._replace(closing=last.closing | closing)


def _layers(architecture: Architecture, purpose: int, division: Division, places: Places) -> Table:
    """The table of layers, with a place in memory for all that they need."""
    sizes, layout = architecture.sizes, layout_of(architecture)
    training, last, lanes = division.training, len(sizes) - 2, lanes_of(architecture.dtype.itemsize)
    table = np.full((last + 1, FIELDS), -1, np.int64)
    for row, inputs, outputs in zip(table, sizes, sizes[1:], strict=False):
        row[workspace.INPUTS], row[workspace.OUTPUTS] = inputs, outputs

    def place(layer: int) -> None:
        """Of what a layer takes, and in training of its delta."""
        row = table[layer]
        if layer == 0 or training or division.direct:
            row[workspace.INPUT] = places.take(in_strips(division.panel, layout.widths[layer], division.strip))
        if not division.direct:
            row[workspace.INPUT_T] = places.take(in_strips(sizes[layer] + 1, division.stride, division.strip))

    for layer, row in enumerate(table):
        row[workspace.WIDTH], row[workspace.PARAMETERS] = layout.widths[layer], layout.starts[layer]
        row[workspace.ACTIVATION] = _ACTIVATIONS[architecture.activations[layer]]
        row[workspace.LAST_ACTIVATION] = activations.IDENTITY
    if not division.by_layer:
        places.end_shared()
    for layer in range(1, last + 1):
        place(layer)
    for layer, row in enumerate(table):
        if division.direct and (layer == last or training):
            row[workspace.DELTA] = places.take(division.panel * padded(sizes[layer + 1], lanes, architecture.dtype))
        if layer == last or (training and not division.direct):
            row[workspace.DELTA_T] = places.take(sizes[layer + 1] * division.stride)
            if division.back_in_strips and layer > 0:
                row[workspace.DELTA_STRIPS] = places.take(in_strips(sizes[layer + 1], division.stride, division.strip))
    table[:-1, workspace.OUTPUT_T] = table[1:, workspace.INPUT_T]
    table[-1, workspace.OUTPUT_T] = places.take(in_strips(sizes[-1] + 1, division.stride, division.strip))
    if division.cuts > 1:
        table[0, workspace.CUTS_T] = places.take(in_strips(division.cuts * sizes[1], division.stride, division.strip))
    if division.by_layer:
        places.end_shared()
    place(0)
    if architecture.loss != "squared_error" and purpose != PREDICT:  # which LOSS wants before the activation
        table[-1, workspace.LAST_ACTIVATION] = table[-1, workspace.ACTIVATION]
        table[-1, workspace.ACTIVATION] = activations.IDENTITY
    return table
