"""Steps on many rows: which rows, and which weights, are whose task.

The weights are brought into a layout of our own when a call begins, and back when it ends:

    LOAD       w^T and b, from the caller's arrays
    ROWS       panels of rows, from x to delta or on to the gradient                   eqs. 4, 9, 13, 14, 1 and 26
    GRADIENT   some columns of the gradient, from all rows of a stretch                eq. 26
    FOLD       the sum of all gradients, for some outputs                              eq. 27 of the sums of delta
    UPDATE     the same, and the new weights
    SAVE       w^T and b, back to the caller's arrays

Each shard of the rows goes through its panels, and each panel from x to the gradient while it is in the level 2 cache,
so that x is read from memory once. Every shard has its own gradient; they are folded in their order. Of many outputs a
task has a group, whose weights, gradient and y_pred stay in that cache.

Where the weights of a group would not, all threads work on one stretch of rows. First its panels go forward to delta
(ROWS), each in one task, or in several that have some groups of the outputs, where threads are more than panels. Then
each task takes in the stretch for some columns of the one gradient (GRADIENT).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastbp.kernels.blocks import clear, copy, fold, probe, transpose, transpose_strip, whole_vectors
from fastbp.kernels.jit import inlined
from fastbp.kernels.layer_arrays import FAILED, FINITE_X, SIDE
from fastbp.kernels.matmul import LEAST_VECTORS, add_product, add_product_with_t, nothing_ahead
from fastbp.kernels.program import share
from fastbp.kernels.sigmoid_layer import BACKWARD, FORWARD, descend, spread, to_delta, wants_gradient
from fastbp.kernels.strips import Strips, strip_at
from fastbp.tiles.operations import block, lanes, matrix_at
from fastbp.tiles.records import record
from fastbp.tiles.registers import TILE_ROWS

# The phases.
LOAD, ROWS, GRADIENT, FOLD, UPDATE, SAVE = range(6)

# A part of the rows that has so many panels, at most, has as many rows as the others; else it has whole panels.
FEW_PANELS = 4


@record
class Plan(NamedTuple):
    """How the work is cut. Whatever decides a bit of a result follows from the shapes, and not from the threads."""

    panel: int  # rows that go forward together
    strip: int  # rows of the panel in a strip of x_t
    parts: int  # of the rows: shards, or the panels of a stretch
    groups: int  # of the outputs: a task has one of them, or several in a stretch
    shards: int  # partial gradients: a part has its own, or all have one
    stretch: int  # rows that all threads work on together; 0 if every part has its own gradient
    columns: int  # of the gradient, that a task of GRADIENT has; 0 if there is no such phase
    pieces: int  # tasks in which weights are loaded, updated and saved
    direct: int  # 1 if x is multiplied as it lies, 0 if it is transposed before
    reused: int  # 1 if the only panel stays transposed from step to step
    far: int  # 1 if x comes from memory, and is asked for ahead
    far_y: int  # 1 if y does, too
    packed: int  # columns of x that are packed at a time for the gradient; 0 if it is taken as it lies
    width: int  # columns of w_t and gradient_t: inputs, padded
    worker: int  # elements from the memory of one worker to that of the next
    # Where the matrices start in memory; one below the other for each shard or part.
    w_t: int  # (2 * outputs, width): an update reads one side and writes the other
    b: int  # (2, outputs)
    gradient_t: int  # (shards * outputs, width)
    bias_gradient: int  # (parts * outputs, lanes)
    y_pred_t: int  # (outputs, stretch), or a group's (outputs, panel) for each worker
    # For each worker.
    x_t: int  # (inputs, panel), in strips, or a single strip of these
    y_t: int  # of a group (outputs, panel)
    packed_x: int  # (stretch or panel, packed)


NO_PLAN = Plan(*[0] * len(Plan._fields))


class Task(NamedTuple):
    """A task of ROWS: a part of the rows, some groups of the outputs, and what these come to."""

    worker: int
    part: int
    group: int  # the first of its groups
    o: int  # the first of its outputs
    outputs: int
    cost: Any  # (groups, lanes) float64
    bias_gradient: Any  # (outputs, lanes)
    gradient_t: Any  # (outputs, width), or of no outputs where rows go no further than to delta


class Panel(NamedTuple):
    """Rows that go from x to delta together."""

    row: int
    rows: int
    at: int  # where in its stretch it begins
    fresh: bool  # else it lies transposed already


@inlined
def _weights(arrays, plan, side):
    """(w^T, b) of one side."""
    outputs = arrays.w.shape[1]
    w_t = matrix_at(arrays.memory, plan.w_t + side * outputs * plan.width, outputs, plan.width)
    return w_t, matrix_at(arrays.memory, plan.b + side * outputs, 1, outputs)


@inlined
def _strip_of_x_t(arrays, plan, task, at, rows):
    """(inputs, rows): where the rows of a strip of a worker's panel are transposed to.

    All strips come to the same place, so that it stays in the level 2 cache, unless the panel itself is to stay.
    """
    inputs = arrays.x.shape[1]
    x_t = Strips(arrays.memory, plan.x_t + task.worker * plan.worker, inputs, plan.panel, plan.strip)
    return block(strip_at(x_t, at if plan.reused else 0), 0, 0, inputs, rows)


@inlined
def _y_t(arrays, plan, task):
    """(outputs, panel)."""
    return matrix_at(arrays.memory, plan.y_t + task.worker * plan.worker, task.outputs, plan.panel)


@inlined
def _y_pred_t(arrays, plan, task, panel):
    """a^T of a panel, which becomes y_pred^T and delta^T: (outputs, panel)."""
    if plan.stretch:
        start = plan.y_pred_t + task.o * plan.stretch + panel.at
        y_pred_t = matrix_at(arrays.memory, start, task.outputs, plan.stretch)
    else:
        y_pred_t = matrix_at(arrays.memory, plan.y_pred_t + task.worker * plan.worker, task.outputs, plan.panel)
    return block(y_pred_t, 0, 0, task.outputs, plan.panel)


@inlined
def _task(arrays, plan, number, tasks, worker, to_gradient):
    """The task of that number; every part of the rows has gradients of its own."""
    all_outputs = arrays.w.shape[1]
    of_part = tasks // plan.parts
    part, groups = number // of_part, plan.groups // of_part
    o, outputs = share(all_outputs, number % of_part, of_part, TILE_ROWS)
    row = part * all_outputs + o
    return Task(
        worker,
        part,
        number % of_part * groups,
        o,
        outputs,
        block(arrays.cost, number * groups, 0, groups, arrays.cost.shape[1]),
        matrix_at(arrays.memory, plan.bias_gradient + row * lanes(arrays.x), outputs, lanes(arrays.x)),
        matrix_at(arrays.memory, plan.gradient_t + row * plan.width, outputs if to_gradient else 0, plan.width),
    )


@inlined
def _rows(purpose, arrays, plan, number, tasks, worker, first_row, last_row, fresh):
    """A part of the rows, panel by panel, for some outputs: as far as delta^T, or on to the gradient."""
    to_gradient = wants_gradient(purpose) and plan.stretch == 0
    task = _task(arrays, plan, number, tasks, worker, to_gradient)
    if first_row == 0:
        _clear(arrays, plan, task)
    first, last = _rows_of_part(arrays, plan, task.part, first_row, last_row)
    for row in range(first, last, plan.panel):
        panel = Panel(row, min(plan.panel, last - row), row - first_row, fresh)
        behind = min(plan.panel, last - row - panel.rows)
        during_forward, during_gradient = _ahead(arrays, plan, panel, behind if plan.far else 0, to_gradient)
        delta_t = _delta(purpose, arrays, plan, task, panel, during_forward)
        if to_gradient:
            kept = 0 if first_row == 0 and row == first else 1
            _gradient(arrays, plan, task, panel, delta_t, kept, during_gradient)


@inlined
def _ahead(arrays, plan, panel, behind, to_gradient):
    """What comes from memory while a panel is worked on, as a row of numbers for each of its two products.

    That is x of so many rows behind it, half of them each time; or first y of the panel itself, where that is much.
    """
    inputs, outputs = arrays.w.shape
    start = (panel.row + panel.rows) * inputs
    split = behind // 2 if to_gradient else behind
    during_forward = block(arrays.x, 0, start, 1, split * inputs)
    if plan.far_y and to_gradient:
        split = 0
        during_forward = block(arrays.y, 0, panel.row * outputs, 1, panel.rows * outputs)
    return during_forward, block(arrays.x, 0, start + split * inputs, 1, (behind - split) * inputs)


@inlined
def _rows_of_part(arrays, plan, part, first_row, last_row):
    """The first of the rows that a part has, and the one behind its last.

    Rows of few panels are dealt out by whole vectors, and LEAST_VECTORS at least, which a tile of sums writes.
    """
    few = last_row - first_row <= FEW_PANELS * plan.parts * plan.panel
    unit = max(lanes(arrays.x), LEAST_VECTORS) if few else plan.panel
    first, count = share(last_row - first_row, part, plan.parts, unit)
    return first_row + first, first_row + first + count


@inlined
def _clear(arrays, plan, task):
    """Begin with nothing. Products write the gradient of weights; what pads it is updated, too, and must be finite."""
    clear(task.cost)
    clear(task.bias_gradient)
    written = whole_vectors(arrays.w.shape[0], lanes(arrays.x))
    clear(block(task.gradient_t, 0, written, task.gradient_t.shape[0], plan.width - written))


@inlined
def _delta(purpose, arrays, plan, task, panel, ahead):
    """delta^T of a panel and some outputs, from x (FORWARD: as far as y_pred; BACKWARD: from there)."""
    row, rows, o, outputs = panel.row, panel.rows, task.o, task.outputs
    y_t, y_pred_t = _y_t(arrays, plan, task), _y_pred_t(arrays, plan, task, panel)
    if purpose == BACKWARD:
        transpose(block(arrays.y_pred, row, o, rows, outputs), y_pred_t)
    else:
        _forward(arrays, plan, task, panel, y_pred_t, ahead)
    if panel.fresh and purpose != FORWARD:
        transpose(block(arrays.y, row, o, rows, outputs), y_t)
    if purpose == FORWARD and o == 0:
        probe(block(y_pred_t, 0, 0, 1, rows), arrays.state, FINITE_X)
    _to_delta(purpose, arrays, plan, task, y_t, y_pred_t, rows)
    if purpose == FORWARD:
        transpose(block(y_pred_t, 0, 0, outputs, rows), block(arrays.y_pred, row, o, rows, outputs))
    return y_pred_t


@inlined
def _to_delta(purpose, arrays, plan, task, y_t, y_pred_t, rows):
    """From a^T to delta^T, or to y_pred^T: group by group, so that no sum depends on how many a task has."""
    for i in range(task.cost.shape[0]):
        o, outputs = share(arrays.w.shape[1], task.group + i, plan.groups, TILE_ROWS)
        first = o - task.o
        cost = block(task.cost, i, 0, 1, task.cost.shape[1])
        bias_gradient = block(task.bias_gradient, first, 0, outputs, task.bias_gradient.shape[1])
        of_y, of_y_pred = block(y_t, first, 0, outputs, plan.panel), block(y_pred_t, first, 0, outputs, plan.panel)
        to_delta(purpose, of_y, of_y_pred, rows, cost, bias_gradient)


@inlined
def _forward(arrays, plan, task, panel, a_t, ahead):
    """a^T = (x w + b)^T: eq. 4."""
    inputs, rows, o, outputs = arrays.x.shape[1], panel.rows, task.o, task.outputs
    x = block(arrays.x, panel.row, 0, rows, inputs)
    w_t, b = _weights(arrays, plan, arrays.state[SIDE])
    w_t = block(w_t, o, 0, outputs, inputs)
    spread(block(b, 0, o, 1, outputs), a_t, rows)
    if plan.direct:
        add_product_with_t(a_t, w_t, x, ahead)
        return
    of_row = ahead.shape[1] // rows
    for at in range(0, rows, plan.strip):
        some = min(plan.strip, rows - at)
        strip_t = _strip_of_x_t(arrays, plan, task, at, some)
        if panel.fresh:
            rows_of_strip = block(x, at, 0, some, inputs)
            if plan.strip < plan.panel:
                transpose_strip(rows_of_strip, strip_t)
            else:
                transpose(rows_of_strip, strip_t)
        target = block(a_t, 0, at, outputs, whole_vectors(some, lanes(arrays.x)))
        add_product(target, w_t, strip_t, 1, block(ahead, 0, at * of_row, 1, some * of_row))


@inlined
def _gradient(arrays, plan, task, panel, delta_t, kept, ahead):
    """dC/dw^T += delta^T x, eq. 26, or without what was there."""
    x = block(arrays.x, panel.row, 0, panel.rows, arrays.x.shape[1])
    if plan.packed == 0:
        add_product(task.gradient_t, delta_t, x, kept, ahead)
    else:
        packed_x = _packed_x(arrays, plan, task.worker, panel.rows)
        _add_packed(plan, task.gradient_t, delta_t, x, packed_x, kept, ahead)


@inlined
def _packed_x(arrays, plan, worker, rows):
    """(rows, packed)."""
    return matrix_at(arrays.memory, plan.packed_x + worker * plan.worker, rows, plan.packed)


@inlined
def _add_packed(plan, gradient_t, delta_t, x, packed_x, kept, ahead):
    """The gradient takes in some rows of x, some columns after the others, which are packed before."""
    rows, inputs = x.shape
    of_column = ahead.shape[1] // inputs
    for column in range(0, inputs, plan.packed):
        columns = min(plan.packed, inputs - column)
        some = block(packed_x, 0, 0, rows, columns)
        copy(block(x, 0, column, rows, columns), some)
        target = block(gradient_t, 0, column, gradient_t.shape[0], whole_vectors(columns, lanes(x)))
        add_product(target, delta_t, some, kept, block(ahead, 0, of_column * column, 1, of_column * columns))


@inlined
def _gradient_of_stretch(arrays, plan, number, tasks, worker, first_row, last_row):
    """Some columns of the gradient, from all rows of a stretch: of all outputs, or of a group where tasks are more."""
    inputs, all_outputs = arrays.w.shape
    memory = arrays.memory
    rows = last_row - first_row
    groups = tasks // -(-inputs // plan.columns)
    first = number // groups * plan.columns
    o, outputs = share(all_outputs, number % groups, groups, TILE_ROWS)
    columns = min(plan.columns, inputs - first)
    with_padding = columns if first + columns < inputs else plan.width - first
    gradient_t = block(matrix_at(memory, plan.gradient_t, all_outputs, plan.width), o, first, outputs, with_padding)
    if first_row == 0:
        clear(gradient_t)
    delta_t = block(matrix_at(memory, plan.y_pred_t, all_outputs, plan.stretch), o, 0, outputs, rows)
    packed_x = _packed_x(arrays, plan, worker, rows)
    x = block(arrays.x, first_row, first, rows, columns)
    _add_packed(plan, gradient_t, delta_t, x, packed_x, 1, nothing_ahead(x))


@inlined
def _move(phase, arrays, plan, piece):
    """The weights of some inputs, loaded or saved; with the first piece the bias too."""
    inputs, outputs = arrays.w.shape
    vectors = plan.width // lanes(arrays.x)
    k = vectors * piece // plan.pieces * lanes(arrays.x)
    count = vectors * (piece + 1) // plan.pieces * lanes(arrays.x) - k
    inside = max(0, min(count, inputs - k))  # the last piece may be padding alone
    w = block(arrays.w, k, 0, inside, outputs)
    w_t, b = _weights(arrays, plan, arrays.state[SIDE])
    w_t = block(w_t, 0, k, outputs, count)
    if phase == LOAD:
        if inside < count:
            clear(w_t)  # the padding is updated too, and must stay finite
        transpose(w, w_t)
        if piece == 0:
            copy(block(arrays.b, 0, 0, 1, outputs), b)
    else:
        transpose(block(w_t, 0, 0, outputs, inside), w)
        if piece == 0:
            copy(b, block(arrays.b, 0, 0, 1, outputs))


@inlined
def _fold(arrays, plan, piece):
    """The gradients of all shards become one, for some outputs: the first of these, and what dC/dw^T and dC/db are."""
    outputs = arrays.w.shape[1]
    o = outputs * piece // plan.pieces
    count = outputs * (piece + 1) // plan.pieces - o
    parts = matrix_at(arrays.memory, plan.gradient_t, plan.shards * outputs, plan.width)
    bias_parts = matrix_at(arrays.memory, plan.bias_gradient, plan.parts * outputs, lanes(arrays.x))
    gradient_t = block(parts, o, 0, count, plan.width)
    bias_gradient = block(bias_parts, o, 0, count, lanes(arrays.x))
    fold(gradient_t, parts, plan.shards, o, outputs)
    fold(bias_gradient, bias_parts, plan.parts, o, outputs)
    return o, gradient_t, bias_gradient


@inlined
def _update(arrays, plan, piece):
    """The new weights of some outputs, on the other side, and whether all are finite."""
    o, gradient_t, bias_gradient = _fold(arrays, plan, piece)
    count, side = gradient_t.shape[0], arrays.state[SIDE]
    w_t, b = _weights(arrays, plan, side)
    new_w_t, new_b = _weights(arrays, plan, 1 - side)
    w_t, new_w_t = block(w_t, o, 0, count, plan.width), block(new_w_t, o, 0, count, plan.width)
    b, new_b = block(b, 0, o, 1, count), block(new_b, 0, o, 1, count)
    rates = arrays.learning_rate, arrays.bias_rate
    good = descend(w_t, b, gradient_t, bias_gradient, *rates, new_w_t, new_b)
    arrays.state[FAILED + piece] = 0 if good else 1


@inlined
def perform(phase, purpose, arrays, plan, worker, task, tasks, first_row, last_row, again):
    """One of the tasks of a phase; `again` is whether its step is not the first one of the call."""
    if phase == ROWS:
        _rows(purpose, arrays, plan, task, tasks, worker, first_row, last_row, not (again and plan.reused))
    elif phase == GRADIENT:
        _gradient_of_stretch(arrays, plan, task, tasks, worker, first_row, last_row)
    elif phase == FOLD:
        _fold(arrays, plan, task)
    elif phase == UPDATE:
        _update(arrays, plan, task)
    else:
        _move(phase, arrays, plan, task)
