"""The program of a network's batches: which operations make a line, and how many tasks that has.

In small networks a task is a shard of the batch, which goes through all operations; else each operation is a line, and
its tasks are groups of outputs.
"""

from __future__ import annotations

from typing import NamedTuple

from fastbp.architecture import Architecture
from fastbp.cutting import LINE_WORK, MOST_TASKS, power_of_two_within
from fastbp.kernels import network
from fastbp.kernels.network_operations import (
    BACK,
    FOLD,
    FOLD_WITH_NORM,
    FORWARD,
    FORWARD_CUT,
    GRADIENT,
    JOIN,
    LOSS,
    OUTPUT,
    UPDATE,
)
from fastbp.networks.division import GRADIENTS, PREDICT, TRAIN, Division
from fastbp.networks.work import ROWS_OF_TASK, counted_rows, tasks_of, tasks_of_cuts

# Weights of a task that folds the gradients of shards and applies them: half of the numbers come from another core's
# cache. 100 rows of 64-32-10 in float64 took two threads of a Zen 3 29 us, and 41 in one task.
WEIGHTS_OF_TASK = 1000

Operations = list[tuple[int, int]]  # kinds and layers


class Line(NamedTuple):
    """A row of the program, in the order of its columns in `fastbp.kernels.network`."""

    tasks: int
    groups: int
    first_row: int
    last_row: int
    first_operation: int
    last_operation: int
    closing: int = 0


class Program:
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


def program_for(architecture: Architecture, batch: int, purpose: int, clip_norm: float, division: Division) -> Program:
    """Its first line comes before the first batch, and is empty; the others are those of a batch."""
    passes = _passes(architecture, purpose, clip_norm, division.cuts)
    program = Program()
    program.add(0, 1, (0, 0), [])
    if division.by_layer:
        _add_layers(program, architecture, batch, division, passes)
    else:
        _add_shards(program, batch, division, passes)
    program.close(0 if purpose == PREDICT else network.TOTAL_LOSS)
    if division.training and not division.fused:
        _add_update(program, architecture, batch, division, passes, clip_norm)
    program.close(network.NEXT_BATCH)
    return program


class Passes(NamedTuple):
    """The operations of a batch, in their order."""

    forward: Operations  # to the loss or the outputs
    back: Operations
    gradient: Operations
    fold: Operations
    update: Operations


def _passes(architecture: Architecture, purpose: int, clip_norm: float, cuts: int) -> Passes:
    layers = range(architecture.layers)
    training = purpose in (TRAIN, GRADIENTS)
    forward = [(JOIN if cuts > 1 and layer == 0 else FORWARD, layer) for layer in layers]
    if purpose != PREDICT:
        forward.append((LOSS, layers[-1]))
    if not training:
        forward.append((OUTPUT, layers[-1]))
    return Passes(
        forward=forward,
        back=[(BACK, layer) for layer in reversed(layers[1:])] if training else [],
        gradient=[(GRADIENT, layer) for layer in layers] if training else [],
        fold=[(FOLD_WITH_NORM if clip_norm else FOLD, layer) for layer in layers],
        update=[(UPDATE, layer) for layer in layers] if purpose == TRAIN else [],
    )


def _add_shards(program: Program, batch: int, division: Division, passes: Passes) -> None:
    """Each shard goes through all operations, panel by panel."""
    panels = division.panel * division.shards
    of_line = max(1, LINE_WORK * batch // (division.multiply_adds * panels)) * panels
    for first in range(0, batch, of_line):
        rows = (first, min(first + of_line, batch))
        program.add(1, division.shards, rows, [*passes.forward, *passes.back, *passes.gradient])


def _add_layers(program: Program, architecture: Architecture, batch: int, division: Division, passes: Passes) -> None:
    """Each operation of each panel is a line, of as many tasks as it has groups of outputs, within cuts if any."""
    sizes, cuts = architecture.sizes, division.cuts
    weights = [inputs * outputs for inputs, outputs in architecture.shapes]
    tasks = tasks_of_cuts(architecture, batch, cuts)
    for first in range(0, batch, division.panel):
        rows = (first, min(first + division.panel, batch))
        count = counted_rows(rows[1] - rows[0])
        if cuts > 1:
            program.add(tasks, 1, rows, [(FORWARD_CUT, 0)])
        for kind, layer in (*passes.forward, *(passes.back if cuts > 1 else passes.back[:-1])):
            softmax = layer == len(weights) - 1 and architecture.activations[layer] == "softmax"
            whole = softmax or kind in (LOSS, OUTPUT)  # a task takes all outputs of a row
            outputs = sizes[layer] if kind == BACK else sizes[layer + 1]
            work = cuts * sizes[1] if kind == JOIN else weights[layer]
            program.join(1 if whole else tasks_of(count * work, outputs), rows, [(kind, layer)])
        if not division.training:
            continue
        if cuts > 1:
            program.add(tasks, 1, rows, passes.gradient)
            continue
        # Each group goes from its delta on to its gradient: what one core has computed would come late to another. But
        # weights that others still take their delta from are updated after that.
        later = [operation for operation in passes.gradient if division.fused and operation[1] == 1]
        now = [operation for operation in passes.gradient if operation not in later]
        program.add(tasks_of(count * sum(weights), max(sizes[1:])), 1, rows, [*passes.back[-1:], *now])
        if later:
            program.add(tasks_of(count * weights[1], sizes[2]), 1, rows, later)
            program.updating = 2


def _add_update(
    program: Program, architecture: Architecture, batch: int, division: Division, passes: Passes, clip_norm: float
) -> None:
    """What is left where not every gradient is applied as soon as it is there: tasks of parameters, and of no rows."""
    weights, widest = sum(inputs * outputs for inputs, outputs in architecture.shapes), max(architecture.sizes[1:])
    if division.cuts > 1:
        tasks = tasks_of_cuts(architecture, batch, division.cuts)
    elif division.by_layer:
        tasks = tasks_of(8 * weights, widest)
    else:
        tasks = power_of_two_within(MOST_TASKS, division.shards, weights // WEIGHTS_OF_TASK, widest // ROWS_OF_TASK)
    once = (0, 1)  # as if for a single panel
    fold = passes.fold
    if clip_norm and passes.update:
        program.add(tasks, 1, once, fold)
        program.close(network.TOTAL_NORM)
        fold = []
    program.add(tasks, 1, once, [*fold, *passes.update])
