"""What an optimizer makes of a gradient: SGD, SGD with momentum, Adam and AdamW, as `fastbp.optimizers` tells them.

    SGD       g = scale gradient + decay p,  p -= rate g
    momentum  v = momentum v + g,  p -= rate v  (Nesterov: p -= rate (momentum v + g))
    Adam      m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
              p = shrink p - rate m / (root sqrt(v) + epsilon)

v is computed as g^2 + beta2 (v - g^2). So, if g^2 is beyond the dtype, it is not inf, for which p would not move, but
nan, and p too: whether all has stayed finite, what an optimizer remembers included, can be seen in parameters alone.
"""

from __future__ import annotations

from fastbp.kernels.jit import kernel
from fastbp.tiles.operations import broadcast, lanes, load, multiply_add, square_root, store

# The numbers of the rules.
SGD, MOMENTUM, NESTEROV, ADAM = range(4)

# What an update takes, in the columns of a row: the rate (for Adam divided by 1 - beta1^t), what the gradient is scaled
# with, what parameters shrink by (AdamW) and how much of them is added to the gradient, momentum or beta1, beta2,
# 1 / (1 - beta2^t)^0.5, and epsilon.
RATE, SCALE, SHRINK, DECAY, BETA1, BETA2, ROOT, EPSILON = range(8)
NUMBERS = 8


@kernel
def update(rule, numbers, parameters, gradient, first, second):
    """One update of `parameters`, and of the optimizer's two arrays, of which SGD has none and momentum the `first`.

    numbers (1, NUMBERS)    all others (rows, columns), padded to whole vectors
    """
    rate, scale = broadcast(numbers, 0, RATE), broadcast(numbers, 0, SCALE)
    decay, momentum = broadcast(numbers, 0, DECAY), broadcast(numbers, 0, BETA1)
    for row in range(parameters.shape[0]):
        for column in range(0, parameters.shape[1], lanes(parameters)):
            p = load(parameters, row, column)
            g = multiply_add(decay, p, scale * load(gradient, row, column))
            if rule == SGD:
                p = multiply_add(-rate, g, p)
            elif rule != ADAM:
                v = multiply_add(momentum, load(first, row, column), g)
                store(first, row, column, v)
                if rule == NESTEROV:
                    v = multiply_add(momentum, v, g)
                p = multiply_add(-rate, v, p)
            else:
                m, v = load(first, row, column), load(second, row, column)
                m = multiply_add(1.0 - momentum, g - m, m)
                v = multiply_add(broadcast(numbers, 0, BETA2), v - g * g, g * g)
                store(first, row, column, m)
                store(second, row, column, v)
                denominator = multiply_add(square_root(v), broadcast(numbers, 0, ROOT), broadcast(numbers, 0, EPSILON))
                p = multiply_add(-rate, m / denominator, broadcast(numbers, 0, SHRINK) * p)
            store(parameters, row, column, p)
