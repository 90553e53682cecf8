"""What the kernels of a network work on: the caller's arrays, and where all else lies in one flat memory.

Outputs and deltas of a panel of rows lie transposed, the rows along the lanes of a vector; inputs lie so, too, and as
rows once more, which gradients are made of. What a tile of a product takes in lies in `strips`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastbp.kernels.blocks import whole_vectors
from fastbp.kernels.jit import inlined
from fastbp.kernels.matmul import LEAST_VECTORS
from fastbp.kernels.program import share
from fastbp.kernels.strips import Strips, columns_at
from fastbp.tiles.operations import block, lanes, matrix_at
from fastbp.tiles.records import record
from fastbp.tiles.registers import TILE_ROWS

# The columns of the table of operations.
KIND, LAYER = range(2)

# The columns of the table of layers: sizes, activations, and where the matrices start: the parameters in theirs, the
# others in memory. The last activation is the one that OUTPUT applies.
INPUTS, OUTPUTS, WIDTH, ACTIVATION, LAST_ACTIVATION, PARAMETERS = range(6)
INPUT, INPUT_T, OUTPUT_T, DELTA, DELTA_T, DELTA_STRIPS, CUTS_T = range(6, 13)
FIELDS = 13

# The elements of `state`: the batches done, the first row of the next one, the rows left of its epoch and those of an
# epoch, 1 as long as all that training makes is finite, and 1 as long as it is sure that all of x is finite, where that
# does not train.
STATES = 6
BATCH, ROW, ROWS_LEFT, ROWS, FINITE, FINITE_X = range(STATES)


@record
class Arrays(NamedTuple):
    """The caller's arrays, C-contiguous and of one dtype, the network's, and the kernels' own memory."""

    x: Any  # (all rows, inputs)
    y: Any  # (all rows, targets)
    sample_weight: Any  # (all rows,), or (0,): each counts 1
    order: Any  # (rows of all epochs,) int64: those of x in the order of the batches, or (0,): one epoch, as they lie
    y_pred: Any  # (rows, outputs): written by OUTPUT
    parameters: Any  # (size,)
    slot_1: Any  # (size,): what the optimizer remembers, m of Adam or v of momentum; else the parameters once more
    slot_2: Any  # (size,): v of Adam; else likewise
    coefficients: Any  # (batches, updates.COEFFICIENTS)
    losses: Any  # (batches,) float64
    memory: Any  # the matrices of the plan
    gradient: Any  # (shards * size,), or gradient_buffer elements for each worker where the update is fused
    cost: Any  # (shards, lanes) float64
    norm: Any  # (groups, lanes) float64
    layers: Any  # (layers, FIELDS) int64
    operations: Any  # (operations, 2) int64
    state: Any  # (STATES,) int64
    gathered: Any  # (threads, 1 + cuts and more) int64: the first row, + 1, of what a worker has of y and each cut of x
    desk: Any  # (team.FIRST + threads, 8) int64


@record
class Plan(NamedTuple):
    """How the work is cut. Whatever decides a bit of a result follows from the shapes, and not from `threads`."""

    threads: int
    batch: int  # rows of a batch; the last one of an epoch may have less
    panel: int  # rows that go through the operations together
    stride: int  # columns of what is held transposed: a panel, and what keeps its rows out of the same cache sets
    strip: int  # columns of a strip
    direct: int  # 1 if inputs are multiplied as they lie, row by row, since rows are few
    shards: int  # of a batch, each with a gradient of its own
    fused: int  # columns of the gradient that are computed and applied at once; 0 if all are computed before
    gradient_buffer: int  # elements of such columns, for each worker
    loss: int
    labels: int
    training: int
    rule: int
    clip_norm: float  # 0: gradients are not clipped
    size: int  # of the parameters
    worker: int  # elements from the memory of one worker to that of the next
    shared: int  # 1 if workers share all of a panel but what they have gathered
    cuts: int  # of the inputs of the first layer; 1 if it has groups of all outputs alone, as others have
    # Where matrices of what is gathered start in memory, these too in strips.
    y: int  # (panel, targets)
    y_t: int  # (targets, stride)
    weight: int  # (1, panel)
    w: int  # (inputs of a task of BACK, w_width): its weights
    w_width: int  # 0 if BACK takes weights, and delta^T, as they lie
    sums: int  # (panel, outputs of a layer): what a task on few rows comes to


class Task(NamedTuple):
    """Whose work it is: that of a part of the rows and a group of the outputs, within a cut of inputs if any."""

    part: int
    group: int
    groups: int
    worker: int
    own: int  # where the memory of the worker begins
    base: int  # where the memory of a panel begins: that of the worker, or of all


class Panel(NamedTuple):
    """Rows of a batch that go through the operations together."""

    at: int  # the first one, of all rows of the call
    rows: int
    columns: int  # so many of what lies transposed: whole vectors
    of_batch: int  # rows of the whole batch
    fresh: bool  # whether the task begins with it


@inlined
def group_of(count, task):
    """The first of so many outputs, or inputs of BACK, that are a task's group, and their number: whole tiles."""
    return share(count, task.group, task.groups, TILE_ROWS)


@inlined
def cut_of(plan, task):
    """The cut of the first layer's inputs that a task is within; each has as many groups of outputs."""
    return 0 if plan.cuts == 1 else task.group * plan.cuts // task.groups


@inlined
def inputs_of_cut(arrays, plan, cut):
    """The first input of a cut of the first layer, and how many it has; the last input of all is that of the bias."""
    return share(arrays.layers[0, INPUTS] + 1, cut, plan.cuts, plan.strip)


@inlined
def outputs_of_cut(arrays, plan, task):
    """The first output of the first layer that is a task's, and how many there are: a group of them within its cut."""
    groups = task.groups // plan.cuts
    return share(arrays.layers[0, OUTPUTS], task.group % groups, groups, TILE_ROWS)


@inlined
def some_parameters(arrays, plan, layer, task):
    """The rectangle of a layer's parameters that a task has: its first output and their number, and so for columns."""
    if layer == 0 and plan.cuts > 1:
        cut = cut_of(plan, task)
        o, count = outputs_of_cut(arrays, plan, task)
        column, columns = inputs_of_cut(arrays, plan, cut)
        return o, count, column, arrays.layers[0, WIDTH] - column if cut + 1 == plan.cuts else columns
    o, count = group_of(arrays.layers[layer, OUTPUTS], task)
    return o, count, 0, arrays.layers[layer, WIDTH]


@inlined
def start_of(arrays, layer, o):
    """Where an output's parameters begin."""
    return arrays.layers[layer, PARAMETERS] + o * arrays.layers[layer, WIDTH]


@inlined
def shards_in_use(plan, of_batch):
    """The shards that have rows, where a batch has so many."""
    return min(plan.shards, -(-of_batch // plan.panel))


@inlined
def gradient_of(arrays, plan, part, layer, o, count):
    """The gradient from a part of the rows, for some outputs: (outputs, width)."""
    start = part * plan.size + start_of(arrays, layer, o)
    return matrix_at(arrays.gradient, start, count, arrays.layers[layer, WIDTH])


@inlined
def coefficients_of(arrays):
    """What the optimizer wants of this batch, (1, updates.COEFFICIENTS)."""
    return block(arrays.coefficients, arrays.state[BATCH], 0, 1, arrays.coefficients.shape[1])


@inlined
def learned_of(arrays, start, width, first, rows, columns):
    """Some parameters, and what the optimizer remembers of each: rows from `start` on, columns from `first` on."""
    return (
        block(matrix_at(arrays.parameters, start, rows, width), 0, first, rows, columns),
        block(matrix_at(arrays.slot_1, start, rows, width), 0, first, rows, columns),
        block(matrix_at(arrays.slot_2, start, rows, width), 0, first, rows, columns),
    )


@inlined
def weights_t(arrays, layer, o, count):
    """Some outputs' parameters, (outputs, width): weights, the bias behind them, and what pads them with zeros."""
    return matrix_at(arrays.parameters, start_of(arrays, layer, o), count, arrays.layers[layer, WIDTH])


@inlined
def rows_of_input(arrays, plan, layer, task):
    """INPUT of a layer, (panel, width), in strips: the first layer's is the worker's own."""
    start = (task.own if layer == 0 else task.base) + arrays.layers[layer, INPUT]
    return Strips(arrays.memory, start, plan.panel, arrays.layers[layer, WIDTH], plan.strip)


@inlined
def input_t(arrays, plan, layer, task):
    """INPUT_T of a layer, (inputs + 1, stride), in strips: the first layer's is the worker's own.

    Its last row are ones: the input that has the bias as its weight.
    """
    start = (task.own if layer == 0 else task.base) + arrays.layers[layer, INPUT_T]
    return Strips(arrays.memory, start, arrays.layers[layer, INPUTS] + 1, plan.stride, plan.strip)


@inlined
def output_t(arrays, plan, layer, task, column, columns):
    """Some columns of OUTPUT_T of a layer, (outputs, columns), the INPUT_T of the next one: they are in one strip."""
    start, outputs = task.base + arrays.layers[layer, OUTPUT_T], arrays.layers[layer, OUTPUTS]
    strips = Strips(arrays.memory, start, outputs + 1, plan.stride, plan.strip)
    return block(columns_at(strips, column, columns), 0, 0, outputs, columns)


@inlined
def delta_t(arrays, plan, layer, task, column, columns):
    """Some columns of DELTA_T of a layer, (outputs, columns)."""
    start, outputs = task.base + arrays.layers[layer, DELTA_T], arrays.layers[layer, OUTPUTS]
    return block(matrix_at(arrays.memory, start, outputs, plan.stride), 0, column, outputs, columns)


@inlined
def delta(arrays, layer, task, rows):
    """DELTA of a layer, (rows, outputs and padding), where rows are few."""
    columns = whole_vectors(arrays.layers[layer, OUTPUTS], lanes(arrays.x))
    return matrix_at(arrays.memory, task.base + arrays.layers[layer, DELTA], rows, columns)


@inlined
def sums(arrays, plan, task, rows, outputs):
    """SUMS of a task on few rows, (rows, outputs and padding): whole vectors, and whole tiles of dots."""
    columns = whole_vectors(outputs, max(lanes(arrays.x), LEAST_VECTORS))
    return matrix_at(arrays.memory, task.own + plan.sums, rows, columns)


@inlined
def delta_strip(arrays, plan, layer, task, column, columns):
    """Some columns of DELTA_STRIPS of a layer, (outputs, columns): delta^T once more, where BACK wants strips."""
    start, outputs = task.base + arrays.layers[layer, DELTA_STRIPS], arrays.layers[layer, OUTPUTS]
    return columns_at(Strips(arrays.memory, start, outputs, plan.stride, plan.strip), column, columns)


@inlined
def cuts_t(arrays, plan, task, column, columns):
    """Some columns of CUTS_T, (cuts * outputs, columns): what each cut adds to the outputs of the first layer."""
    start, rows = task.base + arrays.layers[0, CUTS_T], plan.cuts * arrays.layers[0, OUTPUTS]
    return columns_at(Strips(arrays.memory, start, rows, plan.stride, plan.strip), column, columns)


@inlined
def rows_of_y(arrays, plan, task):
    """The targets, or labels, as they are gathered, (panel, targets), in strips."""
    return Strips(arrays.memory, task.own + plan.y, plan.panel, arrays.y.shape[1], plan.strip)


@inlined
def y_t(arrays, plan, task):
    """The same, transposed: (targets, stride)."""
    return Strips(arrays.memory, task.own + plan.y_t, arrays.y.shape[1], plan.stride, plan.strip)


@inlined
def row_weights(arrays, plan, task):
    """What each row of a panel counts for, (1, panel)."""
    return matrix_at(arrays.memory, task.own + plan.weight, 1, plan.panel)
