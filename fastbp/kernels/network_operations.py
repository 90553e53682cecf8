"""The operations that a batch of a network goes through.

Layer l takes its input (rows, inputs) to its output, which is the input of layer l + 1. A batch goes through some of
these operations. Outputs and deltas lie transposed, the rows of the batch along the lanes of a vector; inputs lie as
rows, too, for GRADIENT:

    FORWARD      output_l^T = g(w_l^T input_l^T)            eqs. 4 and 9
    FORWARD_CUT  what a cut of the first layer's inputs     where these are cut
                 adds to some of its outputs
    JOIN         g of the sum of these                      likewise
    OUTPUT       output^T of the last layer, to the caller  in predictions
    LOSS         C, and delta_l^T of the last layer         eqs. 13, 14 and 1
    BACK         delta_(l-1)^T = w_l delta_l^T times g'     eq. 26, through one layer
    GRADIENT     dC/dw_l^T = delta_l^T input_l              eq. 26, and 27 in its last column
    FOLD         the sum of the gradients of all shards     in their order; FOLD_WITH_NORM if it is to be clipped
    UPDATE       w_l^T moves against it, as the optimizer wants

The bias is the weight of an input that is always 1: parameters of a layer are (outputs, width), where column `inputs`
is the bias, and the columns behind it, up to whole vectors, stay 0.

Where rows are so few that they would leave most lanes empty, FORWARD, BACK and GRADIENT are those of `direct`.

What a tile of a product takes in lies in `strips`. delta^T lies in rows, since GRADIENT takes its numbers one by one;
where there is much to do, it lies in strips once more, for BACK.

Before, the rows of the batch are gathered: by every worker for itself, when it needs them first. They would come slower
from another core: 784-128-10 in batches of 32 took 101 us on two threads, and 83 so.
"""

from __future__ import annotations

from fastbp.kernels import direct, workspace
from fastbp.kernels.activations import activate, times_slope
from fastbp.kernels.blocks import clear, copy, fold, probe, transpose
from fastbp.kernels.jit import inlined, kernel
from fastbp.kernels.losses import (
    BINARY_CROSS_ENTROPY,
    CROSS_ENTROPY,
    binary_cross_entropy,
    cross_entropy,
    squared_error,
)
from fastbp.kernels.matmul import add_product, add_product_of_t, nothing_ahead
from fastbp.kernels.strips import (
    columns_at,
    gather_rows,
    span_of,
    strip_count,
    transpose_into,
    transpose_strips,
)
from fastbp.kernels.updates import update
from fastbp.kernels.workspace import (
    ACTIVATION,
    FINITE_X,
    INPUTS,
    LAST_ACTIVATION,
    OUTPUTS,
    WIDTH,
    cut_of,
    gradient_of,
    group_of,
    inputs_of_cut,
    outputs_of_cut,
    shards_in_use,
    some_parameters,
    start_of,
    weights_t,
)
from fastbp.tiles.operations import add_products, block, fill, keep, lanes, load, matrix_at, store

# The operations. Where the inputs of the first layer are cut, GRADIENT, FOLD and UPDATE have FORWARD_CUT's tasks.
FORWARD, FORWARD_CUT, JOIN, LOSS, OUTPUT, BACK, GRADIENT, FOLD, FOLD_WITH_NORM, UPDATE = range(10)


@inlined
def _gather(arrays, plan, kind, layer, task, panel):
    """What an operation takes of the rows of a panel, unless this worker has it."""
    stamp, cut = panel.at + 1, cut_of(plan, task)
    if kind == LOSS:
        if arrays.gathered[task.worker, 0] != stamp:
            _gather_y(arrays, plan, task, panel)
            arrays.gathered[task.worker, 0] = stamp
    elif layer == 0 and kind in (FORWARD, FORWARD_CUT, GRADIENT) and arrays.gathered[task.worker, 1 + cut] != stamp:
        _gather_x(arrays, plan, task, panel, cut)
        arrays.gathered[task.worker, 1 + cut] = stamp


@inlined
def _gather_x(arrays, plan, task, panel, cut):
    """The inputs of a cut, or all, of the rows of a panel."""
    inputs = arrays.layers[0, INPUTS]
    first, count = inputs_of_cut(arrays, plan, cut)
    count = min(count, inputs - first)  # that of the bias is not gathered
    rows = workspace.rows_of_input(arrays, plan, 0, task)
    x = block(arrays.x, 0, 0, arrays.x.shape[0], inputs)
    gather_rows(x, arrays.order, panel.at, panel.rows, rows, first, count, plan.batch)
    if not plan.direct:
        transpose_strips(rows, panel.rows, first, count, workspace.input_t(arrays, plan, 0, task))


@inlined
def _gather_y(arrays, plan, task, panel):
    """The targets of a panel, and what a row counts for."""
    targets = arrays.y.shape[1]
    rows = workspace.rows_of_y(arrays, plan, task)
    y = block(arrays.y, 0, 0, arrays.y.shape[0], targets)
    gather_rows(y, arrays.order, panel.at, panel.rows, rows, 0, targets, plan.batch)
    transpose_strips(rows, panel.rows, 0, targets, workspace.y_t(arrays, plan, task))
    weight = workspace.row_weights(arrays, plan, task)
    for row in range(0, panel.rows, lanes(weight)):
        store(weight, 0, row, keep(fill(weight, 1.0 / panel.of_batch), panel.rows - row))
    if arrays.sample_weight.shape[0] > 0:
        start = task.own + plan.weight
        for row in range(panel.rows):
            source = arrays.order[panel.at + row] if arrays.order.shape[0] > 0 else panel.at + row
            arrays.memory[start + row] *= arrays.sample_weight[source]


@inlined
def _forward(arrays, plan, layer, task, panel):
    """Some outputs of a layer."""
    o, count = group_of(arrays.layers[layer, OUTPUTS], task)
    if count == 0:
        return
    inputs = arrays.layers[layer, INPUTS]
    w_t = weights_t(arrays, layer, o, count)
    for strip in range(strip_count(panel.columns, plan.strip)):
        column, some = span_of(strip, panel.columns, plan.strip)
        output_t = block(workspace.output_t(arrays, plan, layer, task, column, some), o, 0, count, some)
        input_t = columns_at(workspace.input_t(arrays, plan, layer, task), column, some)
        add_product(output_t, block(w_t, 0, 0, count, inputs + 1), input_t, 0, nothing_ahead(output_t))
        if not plan.training and layer == 0 and o == 0:
            probe(block(output_t, 0, 0, 1, min(some, panel.rows - column)), arrays.state, FINITE_X)
        _hand_on(arrays, plan, layer, task, panel, output_t, o, column)


@inlined
def _hand_on(arrays, plan, layer, task, panel, output_t, o, column):
    """From a^T of some outputs and rows to g(a)^T, and once more to the next layer's input."""
    activate(arrays.layers[layer, ACTIVATION], output_t)
    if plan.training and layer + 1 < arrays.layers.shape[0]:
        rows = min(output_t.shape[1], panel.rows - column)
        output_t = block(output_t, 0, 0, output_t.shape[0], rows)
        transpose_into(output_t, workspace.rows_of_input(arrays, plan, layer + 1, task), column, o)


@inlined
def _forward_cut(arrays, plan, task, panel):
    """What the inputs of a cut add to some outputs of the first layer."""
    cut = cut_of(plan, task)
    o, outputs = outputs_of_cut(arrays, plan, task)
    first, count = inputs_of_cut(arrays, plan, cut)
    w_t = block(weights_t(arrays, 0, o, outputs), 0, first, outputs, count)
    start = cut * arrays.layers[0, OUTPUTS] + o
    for strip in range(strip_count(panel.columns, plan.strip)):
        column, some = span_of(strip, panel.columns, plan.strip)
        input_t = block(columns_at(workspace.input_t(arrays, plan, 0, task), column, some), first, 0, count, some)
        a_t = block(workspace.cuts_t(arrays, plan, task, column, some), start, 0, outputs, some)
        add_product(a_t, w_t, input_t, 0, nothing_ahead(a_t))


@inlined
def _join(arrays, plan, task, panel):
    """Some outputs of the first layer, from what each cut adds to them."""
    outputs = arrays.layers[0, OUTPUTS]
    o, count = group_of(outputs, task)
    for strip in range(strip_count(panel.columns, plan.strip)):
        column, some = span_of(strip, panel.columns, plan.strip)
        output_t = block(workspace.output_t(arrays, plan, 0, task, column, some), o, 0, count, some)
        fold(output_t, workspace.cuts_t(arrays, plan, task, column, some), plan.cuts, o, outputs)
        _hand_on(arrays, plan, 0, task, panel, output_t, o, column)


@inlined
def _loss(arrays, plan, layer, task, panel):
    """The cost of a panel, and delta^T of the last layer."""
    cost = block(arrays.cost, task.part, 0, 1, arrays.cost.shape[1])
    if panel.fresh:
        clear(cost)
    for strip in range(strip_count(panel.columns, plan.strip)):
        column, some = span_of(strip, panel.columns, plan.strip)
        output_t = workspace.output_t(arrays, plan, layer, task, column, some)
        delta_t = workspace.delta_t(arrays, plan, layer, task, column, some)
        y_t = columns_at(workspace.y_t(arrays, plan, task), column, some)
        weight = block(workspace.row_weights(arrays, plan, task), 0, column, 1, some)
        if plan.loss == CROSS_ENTROPY:
            cross_entropy(output_t, y_t, plan.labels, weight, delta_t, cost)
        elif plan.loss == BINARY_CROSS_ENTROPY:
            binary_cross_entropy(output_t, y_t, weight, delta_t, cost)
        else:
            squared_error(output_t, y_t, weight, delta_t, cost)
            times_slope(arrays.layers[layer, ACTIVATION], output_t, delta_t)
        if plan.w_width > 0:
            copy(delta_t, workspace.delta_strip(arrays, plan, layer, task, column, some))
    if plan.direct:
        direct.take_delta(arrays, plan, layer, task, panel)


@inlined
def _output(arrays, plan, layer, task, panel):
    """The outputs of the last layer, as the caller wants them."""
    o, count = group_of(arrays.layers[layer, OUTPUTS], task)
    for strip in range(strip_count(panel.columns, plan.strip)):
        row, some = span_of(strip, panel.columns, plan.strip)
        output_t = block(workspace.output_t(arrays, plan, layer, task, row, some), o, 0, count, some)
        activate(arrays.layers[layer, LAST_ACTIVATION], output_t)
        rows = min(some, panel.rows - row)
        transpose(block(output_t, 0, 0, count, rows), block(arrays.y_pred, panel.at + row, o, rows, count))


@inlined
def _back(arrays, plan, layer, task, panel):
    """delta^T of some inputs of a layer, which are outputs of the one before.

    Of w^T as it lies, a tile would take in six numbers of every row, and each row is on another page of memory: 1024 x
    64 weights of 516 columns times 1024 x 256 in float64 took a Zen 3 0.77 cycles for a vector of multiply-adds, 0.60
    with these transposed before, and 0.55 with delta^T in strips as well.
    """
    k, count = group_of(arrays.layers[layer, INPUTS], task)
    if count == 0:
        return
    outputs, activation = arrays.layers[layer, OUTPUTS], arrays.layers[layer - 1, ACTIVATION]
    w_t = block(weights_t(arrays, layer, 0, outputs), 0, k, outputs, count)
    anew = plan.w_width > 0
    w = matrix_at(arrays.memory, task.own + plan.w, count, plan.w_width)
    w = block(w, 0, 0, count, outputs if anew else 0)
    if anew:
        transpose(w_t, w)
    for strip in range(strip_count(panel.columns, plan.strip)):
        column, some = span_of(strip, panel.columns, plan.strip)
        target = block(workspace.delta_t(arrays, plan, layer - 1, task, column, some), k, 0, count, some)
        if anew:
            delta_t = workspace.delta_strip(arrays, plan, layer, task, column, some)
            add_product(target, w, delta_t, 0, nothing_ahead(delta_t))
        else:
            delta_t = workspace.delta_t(arrays, plan, layer, task, column, some)
            add_product_of_t(target, w_t, delta_t, 0, nothing_ahead(delta_t))
        output_t = workspace.output_t(arrays, plan, layer - 1, task, column, some)
        times_slope(activation, block(output_t, k, 0, count, some), target)
        if anew and layer > 1:
            copy(target, block(workspace.delta_strip(arrays, plan, layer - 1, task, column, some), k, 0, count, some))


@inlined
def _gradient(arrays, plan, layer, task, panel):
    """dC/dw^T of some parameters; where that is all of the batch, a few columns at a time, each with its update."""
    o, count, first, columns = some_parameters(arrays, plan, layer, task)
    if count == 0:
        return
    if plan.fused == 0:
        gradient = gradient_of(arrays, plan, task.part, layer, o, count)
        _add_gradient(arrays, plan, layer, task, panel, o, first, block(gradient, 0, first, count, columns))
        return
    for strip in range(strip_count(columns, plan.fused)):
        column, some = span_of(strip, columns, plan.fused)
        gradient = matrix_at(arrays.gradient, task.worker * plan.gradient_buffer, count, some)
        _add_gradient(arrays, plan, layer, task, panel, o, first + column, gradient)
        _apply_update(arrays, plan, start_of(arrays, layer, o), arrays.layers[layer, WIDTH], first + column, gradient)


@inlined
def _add_gradient(arrays, plan, layer, task, panel, o, first, gradient):
    """delta^T input of some outputs and columns, from o and `first` on; after a task's first panel, added to others."""
    (count, columns), rows = gradient.shape, panel.rows
    delta_t = block(workspace.delta_t(arrays, plan, layer, task, 0, rows), o, 0, count, rows)
    for strip in range(strip_count(columns, plan.strip)):
        column, some = span_of(strip, columns, plan.strip)
        target = block(gradient, 0, column, count, some)
        input_ = columns_at(workspace.rows_of_input(arrays, plan, layer, task), first + column, some)
        kept = 0 if panel.fresh else 1
        add_product(target, delta_t, block(input_, 0, 0, rows, some), kept, nothing_ahead(target))


@inlined
def _fold(arrays, plan, kind, layer, task, panel):
    """The gradient of some parameters, from all parts, if there are several; and its square, summed."""
    o, count, first, columns = some_parameters(arrays, plan, layer, task)
    gradient = gradient_of(arrays, plan, 0, layer, o, count)
    parts = shards_in_use(plan, panel.of_batch)
    if plan.shards > 1:
        start, size = start_of(arrays, layer, o), count * gradient.shape[1]
        gradients = block(matrix_at(arrays.gradient, 0, parts, plan.size), 0, start, parts, size)
        fold(block(gradients, 0, 0, 1, size), gradients, parts, 0, 1)
    if kind == FOLD_WITH_NORM:
        norm = block(arrays.norm, task.group, 0, 1, arrays.norm.shape[1])
        if layer == 0:
            clear(norm)
        add_square_of(block(gradient, 0, first, count, columns), norm)


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
def _update(arrays, plan, layer, task):
    """Update some parameters; whole rows of them as a single one."""
    o, count, first, columns = some_parameters(arrays, plan, layer, task)
    width = arrays.layers[layer, WIDTH]
    if columns == width:
        width, columns, count = count * width, count * width, 1
    start = start_of(arrays, layer, o)
    gradient = block(matrix_at(arrays.gradient, start, count, width), 0, first, count, columns)
    _apply_update(arrays, plan, start, width, first, gradient)


@inlined
def _apply_update(arrays, plan, start, width, first, gradient):
    """Parameters move against their gradient, as the optimizer wants: rows from `start` on, columns from `first` on."""
    rows, columns = gradient.shape
    learned = workspace.learned_of(arrays, start, width, first, rows, columns)
    update(plan.rule, workspace.coefficients_of(arrays), *learned, gradient)


@inlined
def operate(arrays, plan, kind, layer, task, panel):
    """One operation on a panel of rows, or on parameters."""
    _gather(arrays, plan, kind, layer, task, panel)
    if plan.direct and kind == FORWARD:
        direct.forward(arrays, plan, layer, task, panel)
    elif plan.direct and kind == BACK:
        direct.back(arrays, plan, layer, task, panel)
    elif plan.direct and kind == GRADIENT:
        direct.gradient(arrays, plan, layer, task, panel)
    elif kind == FORWARD:
        _forward(arrays, plan, layer, task, panel)
    elif kind == FORWARD_CUT:
        _forward_cut(arrays, plan, task, panel)
    elif kind == JOIN:
        _join(arrays, plan, task, panel)
    elif kind == LOSS:
        _loss(arrays, plan, layer, task, panel)
    elif kind == OUTPUT:
        _output(arrays, plan, layer, task, panel)
    elif kind == BACK:
        _back(arrays, plan, layer, task, panel)
    elif kind == GRADIENT:
        _gradient(arrays, plan, layer, task, panel)
    elif kind == UPDATE:
        _update(arrays, plan, layer, task)
    else:
        _fold(arrays, plan, kind, layer, task, panel)
