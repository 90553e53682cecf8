"""How many cycles a step takes in one way or another: by this the faster one is chosen."""

from __future__ import annotations

from fastbp.cutting import LEVEL_1
from fastbp.kernels.matmul import KEPT_IN_CACHE, LEAST_VECTORS
from fastbp.layers.panels import panel_rows
from fastbp.tiles.registers import REGISTER_BITS, TILE_ROWS, TILE_VECTORS, lanes_of

# Cycles of a vector of multiply-adds in `matmul.add_product` and in `add_product_with_t`, where the sum of the lanes of
# a vector takes some more, and so does a tile of these. Measured on a Zen 3, and earlier kernels on a Zen 4 (512 bits).
OUTER = 1.0 if REGISTER_BITS == 512 else 0.5
DOTS, SUM, TILE_OF_SUMS = (1.0, 4.0, 30.0) if REGISTER_BITS == 512 else (0.57, 1.5, 13.0)
# Cycles of a vector that is transposed: while a panel and its transpose lie in the level 1 cache, and beyond that. Of
# 160 shapes from 8 to 784 inputs and 1 to 64 outputs on a Zen 3 the faster way is so taken, or one at most 6 % slower.
# Those of 512 bits are a guess between these and what was measured there with a transposition that took thrice as long.
TRANSPOSED, TRANSPOSED_BEYOND = (3.0, 5.0) if REGISTER_BITS == 512 else (1.5, 3.0)


def outer_cycles(rows: int, inputs: int, outputs: int, itemsize: int) -> float:
    """Cycles of y_pred^T = w^T x^T, with the transposition of x."""
    lanes = lanes_of(itemsize)
    vectors_of_rows, vectors_of_inputs = -(-rows // lanes), -(-inputs // lanes)
    panel_bytes = min(rows, panel_rows(inputs, itemsize)) * inputs * itemsize
    transposed = TRANSPOSED if 2 * panel_bytes <= LEVEL_1 else TRANSPOSED_BEYOND
    return vectors_of_rows * (OUTER * outputs * inputs + transposed * lanes * vectors_of_inputs)


def direct_cycles(rows: int, inputs: int, outputs: int, itemsize: int) -> float:
    """Cycles where x is multiplied as it lies, and every product ends with a sum over the lanes of a vector."""
    tiles = -(-rows // max(TILE_VECTORS, LEAST_VECTORS // outputs)) * -(-outputs // TILE_ROWS)
    vectors = -(-inputs // lanes_of(itemsize))
    times = -(-vectors // max(KEPT_IN_CACHE // outputs, 1))  # sums of so many inputs at a time
    return outputs * rows * (DOTS * vectors + SUM * times) + TILE_OF_SUMS * tiles * times


def few_is_faster(rows: int, inputs: int, outputs: int, itemsize: int) -> bool:
    """Whether a step is faster where the weights lie (`few_rows`) than where they are transposed before and after.

    That takes 16 cycles for a vector of weights, if all are in the cache; to gather their squares, and to take them in
    and out of a tile, takes 3. A vector without another one beside it takes as long as both. One that ends with the
    outputs, and is gone through by itself, takes 12 more, and half a cycle for each row. Thousands of shapes on a Zen 3
    so take 0.6 % longer than the faster way, on average, on one thread, and 1.8 % on two.
    """
    lanes = lanes_of(itemsize)
    if outputs < lanes:  # no vector of weights is theirs alone
        return False
    many = min(cycles(rows, inputs, outputs, itemsize) for cycles in (outer_cycles, direct_cycles))
    many += OUTER * outputs * inputs * -(-rows // lanes) + 16 * inputs * -(-outputs // lanes)
    few = (2 * OUTER * rows + 3) * inputs * 2 * -(-outputs // (2 * lanes))
    few += (12 + 0.5 * rows) * inputs if outputs % lanes else 0
    return 0.95 * few < many  # fitted to those of two threads, which few rows serve better
