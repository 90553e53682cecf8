"""What an optimizer makes of a gradient: SGD, SGD with momentum, Adam and AdamW, as `fastbp.optimizers` tells them.

    SGD       g = scale gradient + decay p,  p -= rate g
    momentum  v = momentum v + g,  p -= rate v  (Nesterov: p -= rate (momentum v + g))
    Adam      m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
              p = shrink p + 0 v - rate m / (root sqrt(v) + epsilon)

0 v makes p nan if v is not finite, which p would else not move by: whether all has stayed finite, what an optimizer
remembers included, can be seen in parameters alone. 1 - beta is taken in float64: from a beta2 of 0.9999 that has been
rounded to float32 it is 2e-4 off, and the first updates are half of that.
"""

from __future__ import annotations

from fastbp.kernels.blocks import watched
from fastbp.kernels.jit import kernel, pasted
from fastbp.tiles.operations import block, broadcast, lanes, load, multiply_add, square_root, store

# The codes of the rules.
SGD, MOMENTUM, NESTEROV, ADAM = range(4)

# What an update takes, in the columns of a row: the rate (for Adam divided by 1 - beta1^t), what the gradient is scaled
# with, what parameters shrink by (AdamW) and how much of them is added to the gradient, momentum, 1 - beta1, 1 - beta2,
# 1 / (1 - beta2^t)^0.5, and epsilon.
RATE, SCALE, SHRINK, DECAY, MOMENTUM_OF_SGD, ONE_MINUS_BETA1, ONE_MINUS_BETA2, ROOT, EPSILON = range(9)
COEFFICIENTS = 9


@pasted
def _towards(new, old, share):
    """share new + (1 - share) old. Not old + share (new - old): of a small `new` nothing would be left beside `old`."""
    return multiply_add(share, new, multiply_add(-share, old, old))


def _update(row_of, gradient_at):
    """update(rule, ...): of `parameters`, and of the optimizer's two arrays, of which SGD has none and momentum one.

    coefficients (1, COEFFICIENTS)    parameters, slot_1 and slot_2 (rows, columns), padded to whole vectors
    gradient                          gradient_at(row_of(gradient, row, scale), column) is a vector of it, scaled
    """

    @kernel
    def update(rule, coefficients, parameters, slot_1, slot_2, gradient):
        rate, scale = broadcast(coefficients, 0, RATE), broadcast(coefficients, 0, SCALE)
        decay, momentum = broadcast(coefficients, 0, DECAY), broadcast(coefficients, 0, MOMENTUM_OF_SGD)
        for row in range(parameters.shape[0]):
            of_row = row_of(gradient, row, scale)
            for column in range(0, parameters.shape[1], lanes(parameters)):
                p = load(parameters, row, column)
                g = multiply_add(decay, p, gradient_at(of_row, column))
                if rule == SGD:
                    p = multiply_add(-rate, g, p)
                elif rule != ADAM:
                    v = multiply_add(momentum, load(slot_1, row, column), g)
                    store(slot_1, row, column, v)
                    if rule == NESTEROV:
                        v = multiply_add(momentum, v, g)
                    p = multiply_add(-rate, v, p)
                else:
                    m, v = load(slot_1, row, column), load(slot_2, row, column)
                    m = _towards(g, m, broadcast(coefficients, 0, ONE_MINUS_BETA1))
                    v = _towards(g * g, v, broadcast(coefficients, 0, ONE_MINUS_BETA2))
                    store(slot_1, row, column, m)
                    store(slot_2, row, column, v)
                    denominator = multiply_add(
                        square_root(v), broadcast(coefficients, 0, ROOT), broadcast(coefficients, 0, EPSILON)
                    )
                    p = watched(v, broadcast(coefficients, 0, SHRINK) * p)
                    p = multiply_add(-rate, m / denominator, p)
                store(parameters, row, column, p)

    return update


@pasted
def _row(gradient, row, scale):
    return block(gradient, row, 0, 1, gradient.shape[1]), scale


@pasted
def _loaded(of_row, column):
    gradient, scale = of_row
    return scale * load(gradient, 0, column)


# Of a gradient (rows, columns) in memory.
update = _update(_row, _loaded)


@pasted
def _factors(delta_and_input, i, row, scale):
    """What row i of delta and input adds to an output's gradient; behind the last one that row once more, times 0."""
    delta, input_ = delta_and_input
    last = delta.shape[0] - 1
    counts = 1.0 if i <= last else 0.0
    at = min(i, last)
    return counts * (scale * broadcast(delta, at, row)), block(input_, at, 0, 1, input_.shape[1])


@pasted
def _first(delta_and_input, row, scale):
    return _factors(delta_and_input, 0, row, scale)


@pasted
def _product(factors, column):
    delta, input_ = factors
    return delta * load(input_, 0, column)


def _sum_over(rows):
    """row_of and gradient_at of what so many rows add up to: the last of them, and the sum over the others."""
    if rows == 1:
        return _first, _product
    of_others, sum_over_others = _sum_over(rows - 1)
    last = rows - 1

    @pasted
    def row_of(delta_and_input, row, scale):
        return of_others(delta_and_input, row, scale), _factors(delta_and_input, last, row, scale)

    @pasted
    def gradient_at(factors, column):
        others, (delta, input_) = factors
        return multiply_add(delta, load(input_, 0, column), sum_over_others(others, column))

    return row_of, gradient_at


# Of the gradient delta^T input, where that is (delta, input), (1, rows) and (1, columns), or of so many rows at most:
# it stays in registers. With a loop over these within that over columns, 100 x 785 took a Zen 3 9 cycles for a vector
# of one row, and 18 of four; they take 1.9 and 3.5.
ROWS_IN_REGISTERS = 4
update_from_row, update_from_few = _update(*_sum_over(1)), _update(*_sum_over(ROWS_IN_REGISTERS))
