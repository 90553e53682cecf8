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
from fastbp.tiles.operations import broadcast, lanes, load, multiply_add, square_root, store

# The codes of the rules.
SGD, MOMENTUM, NESTEROV, ADAM = range(4)

# What an update takes, in the columns of a row: the rate (for Adam divided by 1 - beta1^t), what the gradient is scaled
# with, what parameters shrink by (AdamW) and how much of them is added to the gradient, momentum, 1 - beta1, 1 - beta2,
# 1 / (1 - beta2^t)^0.5, and epsilon.
RATE, SCALE, SHRINK, DECAY, MOMENTUM_OF_SGD, ONE_MINUS_BETA1, ONE_MINUS_BETA2, ROOT, EPSILON = range(9)
COEFFICIENTS = 9


def _update(gradient_at):
    """update(rule, ...): of `parameters`, and of the optimizer's two arrays, of which SGD has none and momentum one.

    coefficients (1, COEFFICIENTS)    parameters, slot_1 and slot_2 (rows, columns), padded to whole vectors
    gradient                          what `gradient_at` takes a vector of it from, for a row and a column
    """

    @kernel
    def update(rule, coefficients, parameters, slot_1, slot_2, gradient):
        rate, scale = broadcast(coefficients, 0, RATE), broadcast(coefficients, 0, SCALE)
        decay, momentum = broadcast(coefficients, 0, DECAY), broadcast(coefficients, 0, MOMENTUM_OF_SGD)
        for row in range(parameters.shape[0]):
            for column in range(0, parameters.shape[1], lanes(parameters)):
                p = load(parameters, row, column)
                g = multiply_add(decay, p, scale * gradient_at(gradient, row, column))
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
                    m = multiply_add(broadcast(coefficients, 0, ONE_MINUS_BETA1), g - m, m)
                    v = multiply_add(broadcast(coefficients, 0, ONE_MINUS_BETA2), multiply_add(g, g, -v), v)
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
def _as_it_lies(gradient, row, column):
    """Of a gradient (rows, columns)."""
    return load(gradient, row, column)


@pasted
def _from_factors(factors, row, column):
    """Of delta^T input: delta (few rows, outputs), input (few rows, columns)."""
    delta, input_ = factors
    total = broadcast(delta, 0, row) * load(input_, 0, column)
    for i in range(1, delta.shape[0]):
        total = multiply_add(broadcast(delta, i, row), load(input_, i, column), total)
    return total


update = _update(_as_it_lies)
update_from_factors = _update(_from_factors)
