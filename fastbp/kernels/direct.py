"""A network on few rows, which are multiplied as they lie: only what the loss sees is transposed.

    FORWARD   output_l = g(input_l w_l)                        eqs. 4 and 9
    BACK      delta_(l-1) = delta_l w_l^T times g'             eq. 26, through one layer
    GRADIENT  dC/dw_l^T = delta_l^T input_l, or the update     eqs. 26 and 27

Along the lanes of a vector lie inputs or outputs, and no rows: with these, one row would leave seven lanes of eight
empty. The weights go by once for each operation, and there is more to wait for them than to compute: a gradient is
applied where it arises, in registers.

Groups of outputs are whole vectors, so that no two tasks write to one. FORWARD writes to SUMS and copies from there:
whole vectors of the last outputs, written in place, would overwrite the input of the next layer's bias.
"""

from __future__ import annotations

from fastbp.kernels import workspace
from fastbp.kernels.activations import activate, times_slope
from fastbp.kernels.blocks import clear, copy, probe, transpose, whole_vectors
from fastbp.kernels.jit import inlined
from fastbp.kernels.matmul import add_product, add_product_of_t, add_product_with_t, nothing_ahead
from fastbp.kernels.program import share
from fastbp.kernels.strips import strip_at
from fastbp.kernels.updates import update_from_few, update_from_row
from fastbp.kernels.workspace import ACTIVATION, FINITE_X, INPUTS, OUTPUTS, WIDTH, weights_t
from fastbp.tiles.operations import block, lanes


@inlined
def _group_of(arrays, count, task):
    """The first of so many outputs, or inputs of BACK, that are a task's group, and their number: whole vectors."""
    return share(count, task.group, task.groups, lanes(arrays.x))


@inlined
def _rows_of_input(arrays, plan, layer, task, panel):
    """(rows, width): the bias's input, which is 1, and padding included."""
    rows = strip_at(workspace.rows_of_input(arrays, plan, layer, task), 0)
    return block(rows, 0, 0, panel.rows, arrays.layers[layer, WIDTH])


@inlined
def forward(arrays, plan, layer, task, panel):
    """Some outputs of a layer; those of the last one lie transposed."""
    o, count = _group_of(arrays, arrays.layers[layer, OUTPUTS], task)
    if count == 0:
        return
    sums, activation = workspace.sums(arrays, plan, task, panel.rows, count), arrays.layers[layer, ACTIVATION]
    clear(sums)
    input_ = _rows_of_input(arrays, plan, layer, task, panel)
    add_product_with_t(sums, input_, weights_t(arrays, layer, o, count), nothing_ahead(sums))
    outputs = block(sums, 0, 0, panel.rows, count)
    if not plan.training and layer == 0 and o == 0:
        probe(block(outputs, 0, 0, panel.rows, 1), arrays.state, FINITE_X)
    if layer + 1 < arrays.layers.shape[0]:
        activate(activation, sums)
        copy(outputs, block(_rows_of_input(arrays, plan, layer + 1, task, panel), 0, o, panel.rows, count))
    else:
        outputs_t = workspace.output_t(arrays, plan, layer, task, 0, panel.columns)
        transpose(outputs, block(outputs_t, o, 0, count, panel.rows))
        activate(activation, block(outputs_t, o, 0, count, panel.columns))


@inlined
def take_delta(arrays, plan, layer, task, panel):
    """The delta of the last layer, as the loss has left it."""
    delta = workspace.delta(arrays, layer, task, panel.rows)
    delta_t = workspace.delta_t(arrays, plan, layer, task, 0, panel.rows)
    transpose(delta_t, block(delta, 0, 0, panel.rows, delta_t.shape[0]))


@inlined
def back(arrays, plan, layer, task, panel):
    """The delta of some inputs of a layer, which are outputs of the one before."""
    outputs, activation = arrays.layers[layer, OUTPUTS], arrays.layers[layer - 1, ACTIVATION]
    k, count = _group_of(arrays, arrays.layers[layer, INPUTS], task)
    if count == 0:
        return
    columns = whole_vectors(count, lanes(arrays.x))
    delta = block(workspace.delta(arrays, layer, task, panel.rows), 0, 0, panel.rows, outputs)
    target = block(workspace.delta(arrays, layer - 1, task, panel.rows), 0, k, panel.rows, columns)
    w_t = block(weights_t(arrays, layer, 0, outputs), 0, k, outputs, count)
    add_product(target, delta, w_t, 0, nothing_ahead(target))
    y = block(_rows_of_input(arrays, plan, layer, task, panel), 0, k, panel.rows, columns)
    times_slope(activation, y, target)


@inlined
def gradient(arrays, plan, layer, task, panel):
    """dC/dw^T of some outputs, or what it makes of their parameters."""
    o, count = _group_of(arrays, arrays.layers[layer, OUTPUTS], task)
    if count == 0:
        return
    delta = block(workspace.delta(arrays, layer, task, panel.rows), 0, o, panel.rows, count)
    input_ = _rows_of_input(arrays, plan, layer, task, panel)
    if plan.fused:
        start, width = workspace.start_of(arrays, layer, o), input_.shape[1]
        learned = workspace.learned_of(arrays, start, width, 0, count, width)
        coefficients = workspace.coefficients_of(arrays)
        if panel.rows == 1:
            update_from_row(plan.rule, coefficients, *learned, (delta, input_))
        else:
            update_from_few(plan.rule, coefficients, *learned, (delta, input_))
    else:
        target = workspace.gradient_of(arrays, plan, 0, layer, o, count)
        add_product_of_t(target, delta, input_, 0, nothing_ahead(target))
