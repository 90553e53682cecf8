"""Whole epochs of mini-batch training of a network of dense layers.

Layer l takes its input (rows, inputs) to its output, which is the input of layer l + 1. In training, a batch goes
through these operations; all that they hold, they hold transposed, the rows of the batch along the lanes of a vector:

    FORWARD   output_l^T = g(w_l^T input_l^T)               eqs. 4 and 9
    JOIN      the same, from the sums of a FORWARD_CUT      for each cut of the inputs
    LOSS      C, and delta_l^T of the last layer            eqs. 13, 14 and 1
    BACK      delta_(l-1)^T = w_l delta_l^T times g'        eq. 26, through one layer
    GRADIENT  dC/dw_l^T = delta_l^T input_l                 eq. 26, and 27 in its last column
    FOLD      the sum of the gradients of all shards        in their order; and its norm, if it is to be clipped
    UPDATE    w_l^T moves against it, as the optimizer wants

The bias is the weight of an input that is always 1: parameters of a layer are (outputs, width), where column `inputs`
is the bias, and the columns behind it, up to whole vectors, stay 0.

What a tile of a product takes in lies in `strips`. delta^T lies in rows, since GRADIENT takes its numbers one by one;
where there is much to do, it lies in strips once more, for BACK.

Before, the rows of the batch are gathered: by every worker for itself, when it needs them first. They would come slower
from another core: 784-128-10 in batches of 32 took 101 us on two threads, and 83 so.

A program (`fastbp.networks.plan`) says which operations make a task. Small networks go through all of them with a panel
of rows that stays in the level 1 or 2 cache, a shard of the batch after the other; where the weights are many, every
operation is a line of its own, and its tasks are groups of outputs. Where the first layer has many inputs and few
outputs, its tasks are cuts of the inputs instead: a worker gathers only those of its own cuts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastbp.kernels.activations import activate, times_slope
from fastbp.kernels.jit import example_matrices, inlined, kernel
from fastbp.kernels.layer import clear, copy, fold, is_finite, transpose, whole_vectors
from fastbp.kernels.losses import (
    BINARY_CROSS_ENTROPY,
    CROSS_ENTROPY,
    binary_cross_entropy,
    cross_entropy,
    squared_error,
)
from fastbp.kernels.matmul import add_product, add_product_of_t, add_product_with_few
from fastbp.kernels.program import TASKS, runner, share
from fastbp.kernels.strips import Strips, gather_rows, strip_at, strip_count, transpose_into, transpose_strips
from fastbp.kernels.updates import SCALE, update
from fastbp.tiles.operations import (
    add_products,
    block,
    fill,
    keep,
    lanes,
    load,
    matrix_at,
    store,
    sum_lanes,
)
from fastbp.tiles.registers import TILE_ROWS

# The operations. Of those from GRADIENT on a task has a cut of the first layer, too, where there are cuts.
FORWARD, FORWARD_CUT, JOIN, LOSS, OUTPUT, BACK, GRADIENT, FOLD, FOLD_WITH_NORM, UPDATE = range(10)

# The columns of a program: its tasks are parts of the rows x groups of the outputs; which rows of a batch they go
# through, and which operations they do with them; and what the leader does at the end of a line.
GROUPS, FIRST_ROW, LAST_ROW, FIRST_OPERATION, LAST_OPERATION, CLOSING = range(TASKS + 1, TASKS + 7)

# What the leader does at the end of a line, as bits.
TOTAL_LOSS, TOTAL_NORM, NEXT_BATCH = 1, 2, 4

# The columns of the table of operations.
KIND, LAYER = range(2)

# The columns of the table of layers: sizes, activations, and where the matrices start: the parameters in theirs, the
# others in memory. The last activation is the one that OUTPUT applies.
INPUTS, OUTPUTS, WIDTH, ACTIVATION, LAST_ACTIVATION, PARAMETERS = range(6)
INPUT, INPUT_T, OUTPUT_T, DELTA_T, DELTA_STRIPS, CUTS_T = range(6, 12)
FIELDS = 12


class Arrays(NamedTuple):
    """The caller's arrays, C-contiguous and of one dtype, the network's, and the kernels' own memory."""

    x: Any  # (all rows, inputs)
    y: Any  # (all rows, targets)
    sample_weight: Any  # (all rows,), or (0,): each counts 1
    order: Any  # (rows,) int64: the rows of x in the order of the batches, or (0,): as they lie
    y_pred: Any  # (rows, outputs): written by OUTPUT
    parameters: Any  # (size,)
    first: Any  # (size,): what the optimizer remembers; the parameters once more, if it does not
    second: Any  # (size,)
    numbers: Any  # (batches, updates.NUMBERS)
    losses: Any  # (batches,) float64
    memory: Any  # the matrices of the plan
    gradient: Any  # (parts * size,), or a strip for each worker where the update is fused
    cost: Any  # (parts, lanes) float64
    norm: Any  # (groups, lanes) float64
    layers: Any  # (layers, FIELDS) int64
    operations: Any  # (operations, 2) int64
    state: Any  # (4,) int64
    gathered: Any  # (threads, 1 + cuts and more) int64: where rows begin that a worker has, of y and of each cut of x
    desk: Any  # (team.FIRST + threads, 8) int64


# The elements of `state`: the batches done, the rows of all, 1 as long as all that training makes is finite, and 1 as
# long as it is sure that all of x is finite, where that does not train.
BATCH, ROWS, FINITE, FINITE_X = range(4)


class Plan(NamedTuple):
    """How the work is cut. All of it follows from the shapes, except for the number of threads."""

    threads: int
    batch: int  # rows of a batch; the last one of a call may have less
    panel: int  # rows that go through the operations together
    stride: int  # columns of what is held transposed: a panel, and what keeps its rows out of the same cache sets
    tile: int  # columns of a strip
    direct: int  # 1 if inputs are multiplied as they lie, row by row: few rows, of which no gradients are wanted
    parts: int  # shards of a batch, each with a gradient of its own
    fused: int  # columns of the gradient that are computed and at once followed; 0 if all are computed before
    strip: int  # elements of such columns, for each worker
    loss: int
    labels: int
    training: int
    rule: int
    clip_norm: float  # 0: gradients are not clipped
    size: int  # of the parameters
    worker: int  # elements from the memory of one worker to that of the next
    shared: int  # 1 if workers share all of a panel but what they have gathered
    cuts: int  # of the inputs of the first layer; 1 if it has groups of outputs, as others have
    # Where matrices of what is gathered start in memory, these too in strips.
    y: int  # (panel, targets)
    y_t: int  # (targets, stride)
    weight: int  # (1, panel)
    w: int  # (inputs of a task of BACK, w_width): its weights
    w_width: int  # 0 if BACK takes weights, and delta^T, as they lie


@kernel
def add_square_of(matrix, total):
    """total += the sum of the squares of a matrix, in float64."""
    squares = load(total, 0, 0)
    for row in range(matrix.shape[0]):
        for column in range(0, matrix.shape[1], lanes(matrix)):
            vector = load(matrix, row, column)
            squares = add_products(squares, vector, vector)
    store(total, 0, 0, squares)


@inlined
def _input_t(arrays, plan, layer, base):
    """INPUT_T of a layer, (inputs + 1, stride). `base` is where the worker's own matrices begin, as in the following.

    Its last row are ones: the input that has the bias as its weight.
    """
    start = base + arrays.layers[layer, INPUT_T]
    return Strips(arrays.memory, start, arrays.layers[layer, INPUTS] + 1, plan.stride, plan.tile)


@inlined
def _input(arrays, plan, layer, base):
    """INPUT of a layer, (panel, width)."""
    return Strips(arrays.memory, base + arrays.layers[layer, INPUT], plan.panel, arrays.layers[layer, WIDTH], plan.tile)


@inlined
def _output_t(arrays, plan, layer, base, column, columns):
    """Some columns of OUTPUT_T of a layer, (outputs, columns), the INPUT_T of the next one: they are in one strip."""
    outputs = arrays.layers[layer, OUTPUTS]
    output_t = Strips(arrays.memory, base + arrays.layers[layer, OUTPUT_T], outputs + 1, plan.stride, plan.tile)
    return block(strip_at(output_t, column), 0, 0, outputs, columns)


@inlined
def _delta_t(arrays, plan, layer, base, column, columns):
    """Some columns of DELTA_T of a layer, (outputs, columns)."""
    outputs = arrays.layers[layer, OUTPUTS]
    delta_t = matrix_at(arrays.memory, base + arrays.layers[layer, DELTA_T], outputs, plan.stride)
    return block(delta_t, 0, column, outputs, columns)


@inlined
def _delta_strip(arrays, plan, layer, base, column, columns):
    """The same once more, in a strip, where BACK wants it so."""
    outputs = arrays.layers[layer, OUTPUTS]
    strips = Strips(arrays.memory, base + arrays.layers[layer, DELTA_STRIPS], outputs, plan.stride, plan.tile)
    return block(strip_at(strips, column), 0, 0, outputs, columns)


@inlined
def _y_t(arrays, plan, base):
    """The targets, transposed, or labels: (targets, stride)."""
    return Strips(arrays.memory, base + plan.y_t, arrays.y.shape[1], plan.stride, plan.tile)


@inlined
def _gather_x(arrays, plan, base, at, rows, first, columns):
    """Some columns of the rows of a panel. `at` is where it begins in the rows of the call."""
    input_ = _input(arrays, plan, 0, base)
    x = block(arrays.x, 0, 0, arrays.x.shape[0], arrays.layers[0, INPUTS])
    gather_rows(x, arrays.order, at, rows, input_, first, columns, plan.batch)
    if not plan.direct:
        transpose_strips(input_, rows, first, columns, _input_t(arrays, plan, 0, base))


@inlined
def _gather_y(arrays, plan, base, at, rows, of_batch):
    """The targets of a panel, and what a row counts for."""
    memory, order, targets = arrays.memory, arrays.order, arrays.y.shape[1]
    y = Strips(memory, base + plan.y, plan.panel, targets, plan.tile)
    gather_rows(block(arrays.y, 0, 0, arrays.y.shape[0], targets), order, at, rows, y, 0, targets, plan.batch)
    transpose_strips(y, rows, 0, targets, _y_t(arrays, plan, base))
    weight = matrix_at(memory, base + plan.weight, 1, plan.panel)
    for row in range(0, rows, lanes(weight)):
        store(weight, 0, row, keep(fill(weight, 1.0 / of_batch), rows - row))
    if arrays.sample_weight.shape[0] > 0:
        for row in range(rows):
            source = order[at + row] if order.shape[0] > 0 else at + row
            memory[base + plan.weight + row] *= arrays.sample_weight[source]


@inlined
def _inputs_of(arrays, plan, cut):
    """The first input of a cut of the first layer, and how many it has; the last input of all is that of the bias."""
    return share(arrays.layers[0, INPUTS] + 1, cut, plan.cuts, plan.tile)


@inlined
def _loss(arrays, plan, layer, own, base, part, columns, fresh):
    """The cost of a panel, and delta^T of the last layer."""
    cost = block(arrays.cost, part, 0, 1, arrays.cost.shape[1])
    if fresh:
        clear(cost)
    for strip in range(strip_count(columns, plan.tile)):
        column = strip * plan.tile
        some = min(plan.tile, columns - column)
        output_t = _output_t(arrays, plan, layer, base, column, some)
        delta_t = _delta_t(arrays, plan, layer, base, column, some)
        y_t = block(strip_at(_y_t(arrays, plan, own), column), 0, 0, arrays.y.shape[1], some)
        weight = block(matrix_at(arrays.memory, own + plan.weight, 1, plan.panel), 0, column, 1, some)
        if plan.loss == CROSS_ENTROPY:
            cross_entropy(output_t, y_t, plan.labels, weight, delta_t, cost)
        elif plan.loss == BINARY_CROSS_ENTROPY:
            binary_cross_entropy(output_t, y_t, weight, delta_t, cost)
        else:
            squared_error(output_t, y_t, weight, delta_t, cost)
            times_slope(arrays.layers[layer, ACTIVATION], output_t, delta_t)
        if plan.w_width > 0:
            copy(delta_t, _delta_strip(arrays, plan, layer, base, column, some))


@inlined
def _forward(arrays, plan, layer, own, base, o, count, rows, columns):
    """Some outputs of a layer."""
    inputs, width = arrays.layers[layer, INPUTS], arrays.layers[layer, WIDTH]
    w_t = matrix_at(arrays.parameters, arrays.layers[layer, PARAMETERS] + o * width, count, width)
    where = own if layer == 0 else base
    if plan.direct:
        columns = plan.panel  # whole tiles of sums; what is behind the rows is the last one again
    for strip in range(strip_count(columns, plan.tile)):
        column = strip * plan.tile
        some = min(plan.tile, columns - column)
        output_t = block(_output_t(arrays, plan, layer, base, column, some), o, 0, count, some)
        nothing = block(output_t, 0, 0, 1, 0)
        if plan.direct:
            clear(output_t)
            input_ = block(strip_at(_input(arrays, plan, layer, where), 0), 0, 0, rows, width)
            add_product_with_few(output_t, w_t, input_)
        else:
            strip_t = block(strip_at(_input_t(arrays, plan, layer, where), column), 0, 0, inputs + 1, some)
            add_product(output_t, block(w_t, 0, 0, count, inputs + 1), strip_t, 0, nothing)
        if not plan.training and layer == 0 and o == 0:
            _probe(arrays, block(output_t, 0, 0, 1, some))
        _hand_on(arrays, plan, layer, base, output_t, o, column, rows)


@inlined
def _probe(arrays, a_t):
    """Take note if the first output's a of the first layer is not finite, for any row: so it is if x is not."""
    if not is_finite(a_t):
        arrays.state[FINITE_X] = 0


@inlined
def _hand_on(arrays, plan, layer, base, output_t, o, column, rows):
    """From a^T of some outputs and rows to g(a)^T, and once more to the next layer's input."""
    activate(arrays.layers[layer, ACTIVATION], output_t)
    if (plan.training or plan.direct) and layer + 1 < arrays.layers.shape[0]:
        output_t = block(output_t, 0, 0, output_t.shape[0], min(output_t.shape[1], rows - column))
        transpose_into(output_t, _input(arrays, plan, layer + 1, base), column, o)


@inlined
def _cuts_t(arrays, plan, base, column, columns):
    """Some columns of CUTS_T, (cuts * outputs, columns)."""
    rows = plan.cuts * arrays.layers[0, OUTPUTS]
    cuts_t = Strips(arrays.memory, base + arrays.layers[0, CUTS_T], rows, plan.stride, plan.tile)
    return block(strip_at(cuts_t, column), 0, 0, rows, columns)


@inlined
def _forward_cut(arrays, plan, own, base, cut, columns):
    """What the inputs of a cut add to the outputs of the first layer."""
    outputs, width = arrays.layers[0, OUTPUTS], arrays.layers[0, WIDTH]
    k, count = _inputs_of(arrays, plan, cut)
    w_t = block(matrix_at(arrays.parameters, arrays.layers[0, PARAMETERS], outputs, width), 0, k, outputs, count)
    input_t = _input_t(arrays, plan, 0, own)
    for strip in range(strip_count(columns, plan.tile)):
        column = strip * plan.tile
        some = min(plan.tile, columns - column)
        strip_t = block(strip_at(input_t, column), k, 0, count, some)
        a_t = block(_cuts_t(arrays, plan, base, column, some), cut * outputs, 0, outputs, some)
        add_product(a_t, w_t, strip_t, 0, block(a_t, 0, 0, 1, 0))


@inlined
def _join(arrays, plan, base, o, count, rows, columns):
    """Some outputs of the first layer, from what each cut adds to them."""
    for strip in range(strip_count(columns, plan.tile)):
        column = strip * plan.tile
        some = min(plan.tile, columns - column)
        output_t = block(_output_t(arrays, plan, 0, base, column, some), o, 0, count, some)
        fold(output_t, _cuts_t(arrays, plan, base, column, some), plan.cuts, o, arrays.layers[0, OUTPUTS])
        _hand_on(arrays, plan, 0, base, output_t, o, column, rows)


@inlined
def _output(arrays, plan, layer, base, o, count, at, rows, columns):
    """The outputs of the last layer, as the caller wants them."""
    for strip in range(strip_count(columns, plan.tile)):
        row = strip * plan.tile
        some = min(plan.tile, columns - row)
        output_t = block(_output_t(arrays, plan, layer, base, row, some), o, 0, count, some)
        activate(arrays.layers[layer, LAST_ACTIVATION], output_t)
        some_rows = min(some, rows - row)
        transpose(block(output_t, 0, 0, count, some_rows), block(arrays.y_pred, at + row, o, some_rows, count))


@inlined
def _back(arrays, plan, layer, own, base, k, count, columns):
    """delta^T of some inputs of a layer, which are outputs of the one before.

    Of w^T as it lies, a tile would take in six numbers of every row, and each row is on another page of memory: 1024 x
    64 weights of 516 columns times 1024 x 256 in float64 took a Zen 3 0.77 cycles for a vector of multiply-adds, 0.60
    with these transposed before, and 0.55 with delta^T in strips as well.
    """
    outputs, width = arrays.layers[layer, OUTPUTS], arrays.layers[layer, WIDTH]
    w_t = matrix_at(arrays.parameters, arrays.layers[layer, PARAMETERS], outputs, width)
    w_t = block(w_t, 0, k, outputs, count)
    anew = plan.w_width > 0
    w = block(matrix_at(arrays.memory, own + plan.w, count, plan.w_width), 0, 0, count, outputs if anew else 0)
    if anew:
        transpose(w_t, w)
    for strip in range(strip_count(columns, plan.tile)):
        column = strip * plan.tile
        some = min(plan.tile, columns - column)
        target = block(_delta_t(arrays, plan, layer - 1, base, column, some), k, 0, count, some)
        output_t = block(_output_t(arrays, plan, layer - 1, base, column, some), k, 0, count, some)
        if anew:
            delta_t = _delta_strip(arrays, plan, layer, base, column, some)
            add_product(target, w, delta_t, 0, block(delta_t, 0, 0, 1, 0))
        else:
            delta_t = _delta_t(arrays, plan, layer, base, column, some)
            add_product_of_t(target, w_t, delta_t, 0, block(delta_t, 0, 0, 1, 0))
        times_slope(arrays.layers[layer - 1, ACTIVATION], output_t, target)
        if anew and layer > 1:
            copy(target, block(_delta_strip(arrays, plan, layer - 1, base, column, some), k, 0, count, some))


@inlined
def _follow(arrays, plan, start, rows, width, column, columns, gradient):
    """Update some columns of the parameters from `start` on, (rows, width)."""
    update(
        plan.rule,
        block(arrays.numbers, arrays.state[BATCH], 0, 1, arrays.numbers.shape[1]),
        block(matrix_at(arrays.parameters, start, rows, width), 0, column, rows, columns),
        gradient,
        block(matrix_at(arrays.first, start, rows, width), 0, column, rows, columns),
        block(matrix_at(arrays.second, start, rows, width), 0, column, rows, columns),
    )


@inlined
def _gradient(arrays, plan, layer, worker, own, base, part, o, count, first, last, rows, fresh):
    """dC/dw^T of some outputs and columns; where that is all of the batch, a few at a time, which are followed at once.

    The columns are those from `first` on and before `last`.
    """
    width = arrays.layers[layer, WIDTH]
    start = arrays.layers[layer, PARAMETERS] + o * width
    delta_t = block(_delta_t(arrays, plan, layer, base, 0, rows), o, 0, count, rows)
    input_ = _input(arrays, plan, layer, own if layer == 0 else base)
    step = min(plan.fused, plan.tile) if plan.fused > 0 else plan.tile
    followed = first
    for turn in range(strip_count(last - first, step)):
        column = first + turn * step
        columns = min(step, last - column)
        if plan.fused > 0:
            target = matrix_at(arrays.gradient, worker * plan.strip, count, min(plan.fused, last - followed))
            target = block(target, 0, column - followed, count, columns)
        else:
            target = matrix_at(arrays.gradient, part * plan.size + start, count, width)
            target = block(target, 0, column, count, columns)
        start_of_strip = column if plan.tile < width else 0
        some = block(strip_at(input_, start_of_strip), 0, column - start_of_strip, rows, columns)
        add_product(target, delta_t, some, 0 if fresh else 1, block(target, 0, 0, 1, 0))
        ready = column + columns - followed
        if plan.fused > 0 and (ready == plan.fused or column + columns == last):
            target = matrix_at(arrays.gradient, worker * plan.strip, count, ready)
            _follow(arrays, plan, start, count, width, followed, ready, target)
            followed += ready


@inlined
def _fold(arrays, plan, layer, group, o, count, first, last, of_batch, with_norm):
    """The gradient of some outputs and columns, from all parts, if there are several; and its square, summed."""
    width = arrays.layers[layer, WIDTH]
    start = arrays.layers[layer, PARAMETERS] + o * width
    parts = min(plan.parts, -(-of_batch // plan.panel))
    if plan.parts > 1:
        size = count * width
        gradients = block(matrix_at(arrays.gradient, 0, parts, plan.size), 0, start, parts, size)
        fold(block(gradients, 0, 0, 1, size), gradients, parts, 0, 1)
    if with_norm:
        norm = block(arrays.norm, group, 0, 1, arrays.norm.shape[1])
        if layer == 0:
            clear(norm)
        add_square_of(block(matrix_at(arrays.gradient, start, count, width), 0, first, count, last - first), norm)


@inlined
def _update(arrays, plan, layer, o, count, first, last):
    """Some outputs and columns of the parameters follow the gradient; whole rows of them as a single one."""
    width = arrays.layers[layer, WIDTH]
    start = arrays.layers[layer, PARAMETERS] + o * width
    columns = last - first
    if columns == width:
        width, columns, count = count * width, count * width, 1
    gradient = block(matrix_at(arrays.gradient, start, count, width), 0, first, count, columns)
    _follow(arrays, plan, start, count, width, first, columns, gradient)


@inlined
def _gather(arrays, plan, kind, layer, worker, cut, at, rows, of_batch):
    """What an operation takes of the rows of a panel, unless this worker has it."""
    own, stamp = worker * plan.worker, at + 1
    if kind == LOSS:
        if arrays.gathered[worker, 0] != stamp:
            _gather_y(arrays, plan, own, at, rows, of_batch)
            arrays.gathered[worker, 0] = stamp
    elif layer == 0 and kind in (FORWARD, FORWARD_CUT, GRADIENT) and arrays.gathered[worker, 1 + cut] != stamp:
        k, count = _inputs_of(arrays, plan, cut)
        _gather_x(arrays, plan, own, at, rows, k, min(count, arrays.layers[0, INPUTS] - k))
        arrays.gathered[worker, 1 + cut] = stamp


@inlined
def _operate(arrays, plan, kind, layer, worker, part, group, groups, at, row, rows, of_batch, fresh):
    """One operation on the panel that begins `row` rows into a batch, or on the parameters; `at` is the batch's row."""
    unit = lanes(block(arrays.x, 0, 0, 1, 1))
    columns = whole_vectors(rows, unit)
    own = worker * plan.worker
    base = 0 if plan.shared else own
    cut = group if plan.cuts > 1 else 0
    _gather(arrays, plan, kind, layer, worker, cut, at + row, rows, of_batch)
    if kind == LOSS:
        _loss(arrays, plan, layer, own, base, part, columns, fresh)
        return
    if kind == FORWARD_CUT:
        _forward_cut(arrays, plan, own, base, cut, columns)
        return
    if kind == BACK:
        k, count = share(arrays.layers[layer, INPUTS], group, groups, TILE_ROWS)
        if count > 0:
            _back(arrays, plan, layer, own, base, k, count, columns)
        return
    o, count = share(arrays.layers[layer, OUTPUTS], group, groups, TILE_ROWS)
    first, last = 0, arrays.layers[layer, WIDTH]
    if kind >= GRADIENT and layer == 0 and plan.cuts > 1:
        o, count = 0, arrays.layers[layer, OUTPUTS]
        first, some = _inputs_of(arrays, plan, cut)
        last = first + some if cut + 1 < plan.cuts else last
    if count == 0:
        if kind == FOLD_WITH_NORM and layer == 0:
            clear(block(arrays.norm, group, 0, 1, arrays.norm.shape[1]))
    elif kind == FORWARD:
        _forward(arrays, plan, layer, own, base, o, count, rows, columns)
    elif kind == JOIN:
        _join(arrays, plan, base, o, count, rows, columns)
    elif kind == OUTPUT:
        _output(arrays, plan, layer, base, o, count, at + row, rows, columns)
    elif kind == GRADIENT:
        _gradient(arrays, plan, layer, worker, own, base, part, o, count, first, last, rows, fresh)
    elif kind in (FOLD, FOLD_WITH_NORM):
        _fold(arrays, plan, layer, group, o, count, first, last, of_batch, kind == FOLD_WITH_NORM)
    else:
        _update(arrays, plan, layer, o, count, first, last)


@inlined
def _rows_of_batch(arrays, plan):
    """Where the batch begins in the rows of the call, and how many rows it has."""
    at = arrays.state[BATCH] * plan.batch
    return at, min(plan.batch, arrays.state[ROWS] - at)


@inlined
def _perform(program, index, task, worker, again, arrays, plan):
    """The operations of a line on a part of its rows, panel by panel, for a group of the outputs."""
    at, of_batch = _rows_of_batch(arrays, plan)
    groups = program[index, GROUPS]
    part, group = task // groups, task % groups
    first_row, last_row = min(program[index, FIRST_ROW], of_batch), min(program[index, LAST_ROW], of_batch)
    panels = -(-(last_row - first_row) // plan.panel)
    parts = min(program[index, TASKS] // groups, panels)
    if part < parts:
        first = first_row + panels * part // parts * plan.panel
        last = min(last_row, first_row + panels * (part + 1) // parts * plan.panel)
        for row in range(first, last, plan.panel):
            rows = min(plan.panel, last - row)
            fresh = first_row == 0 and row == first
            for operation in range(program[index, FIRST_OPERATION], program[index, LAST_OPERATION]):
                kind, layer = arrays.operations[operation, KIND], arrays.operations[operation, LAYER]
                _operate(arrays, plan, kind, layer, worker, part, group, groups, at, row, rows, of_batch, fresh)


@inlined
def _close(program, index, arrays, plan):
    """What is left to the leader at the end of a line. False if a loss of training is not finite."""
    closing, batch = program[index, CLOSING], arrays.state[BATCH]
    _, of_batch = _rows_of_batch(arrays, plan)
    if closing & TOTAL_LOSS:
        cost = block(arrays.cost, 0, 0, min(plan.parts, -(-of_batch // plan.panel)), arrays.cost.shape[1])
        total = 0.0
        for part in range(cost.shape[0]):
            total += sum_lanes(load(cost, part, 0))
        arrays.losses[batch] = total
        if plan.training and not np.isfinite(total):
            arrays.state[FINITE] = 0
    if closing & TOTAL_NORM:
        norm = block(arrays.norm, 0, 0, program[index, GROUPS], arrays.norm.shape[1])
        total = 0.0
        for group in range(norm.shape[0]):
            total += sum_lanes(load(norm, group, 0))
        scale = min(1.0, plan.clip_norm / np.sqrt(total)) if total > 0.0 else 1.0
        arrays.numbers[batch, SCALE] = scale if np.isfinite(total) else np.nan  # not 0, which would pass for an update
    if closing & NEXT_BATCH:
        arrays.state[BATCH] += 1
    return arrays.state[FINITE] == 1


@inlined
def _conclude(arrays, plan):
    """See whether what has been updated is finite. If parameters are, what they moved by is: what is remembered."""
    if plan.training and arrays.state[BATCH] > 0 and not is_finite(matrix_at(arrays.parameters, 0, 1, plan.size)):
        arrays.state[FINITE] = 0


def _examples(dtype):
    matrix, float64, whole = example_matrices(dtype)
    arrays = Arrays(
        x=matrix,
        y=matrix,
        sample_weight=matrix[0],
        order=whole[0],
        y_pred=matrix,
        parameters=matrix[0],
        first=matrix[0],
        second=matrix[0],
        numbers=matrix,
        losses=float64[0],
        memory=matrix[0],
        gradient=matrix[0],
        cost=float64,
        norm=float64,
        layers=whole,
        operations=whole,
        state=whole[0],
        gathered=whole,
        desk=whole,
    )
    return arrays, Plan(*[0] * len(Plan._fields))._replace(clip_norm=0.0)


run = runner("network.run", _perform, _close, _conclude, _examples)
