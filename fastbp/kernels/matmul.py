"""c += a b for three blocks: the loops that all of the arithmetic goes through.

c is cut into tiles of up to TILE_ROWS x TILE_VECTORS vectors. A tile stays in registers while k runs over the
columns of a and the rows of b: for every k it takes in the outer product of a column of a and a row of b.

    c (rows, columns), columns padded to whole vectors    a (rows, depth)    b (depth, columns)
"""

from __future__ import annotations

from fastbp.kernels.jit import inlined, kernel
from fastbp.tiles.operations import (
    add_outer,
    add_outer_some,
    add_tiles,
    lanes,
    load_tile,
    prefetch,
    store_tile,
    zero_tile,
)
from fastbp.tiles.registers import TILE_ROWS, TILE_VECTORS


def _whole_tile(rows):
    @inlined
    def multiply(c, a, b, row, column, ahead, start):
        tile = load_tile(c, row, column, rows, TILE_VECTORS)
        for k in range(b.shape[0]):
            prefetch(ahead, 0, min(start + k * lanes(b), ahead.shape[1]))
            tile = add_outer(tile, a, row, b, column, k)
        store_tile(c, row, column, tile)

    return multiply


def _edge_tile(rows):
    # A lone accumulator waits 4 cycles for each of its sums: up to 3 rows take turns with several.
    chains = -(-4 // rows)

    @inlined
    def multiply(c, a, b, row, column, ahead, start):
        tile = load_tile(c, row, column, rows, 1)
        depth = b.shape[0]
        k = 0
        if chains > 1:
            first, second = zero_tile(c, rows, 1), zero_tile(c, rows, 1)
            third = zero_tile(c, rows, 1)
            while k + 4 <= depth:
                prefetch(ahead, 0, min(start + k * lanes(b), ahead.shape[1]))
                tile = add_outer_some(tile, a, row, b, column, k)
                first = add_outer_some(first, a, row, b, column, k + 1)
                second = add_outer_some(second, a, row, b, column, k + 2)
                third = add_outer_some(third, a, row, b, column, k + 3)
                k += 4
            tile = add_tiles(add_tiles(tile, first), add_tiles(second, third))
        while k < depth:
            prefetch(ahead, 0, min(start + k * lanes(b), ahead.shape[1]))
            tile = add_outer_some(tile, a, row, b, column, k)
            k += 1
        store_tile(c, row, column, tile)

    return multiply


_whole_1, _whole_2, _whole_3, _whole_4, _whole_5, _whole_6 = map(_whole_tile, range(1, TILE_ROWS + 1))
_edge_1, _edge_2, _edge_3, _edge_4, _edge_5, _edge_6 = map(_edge_tile, range(1, TILE_ROWS + 1))


@inlined
def _whole(c, a, b, row, column, rows, ahead, start):
    if rows == 6:
        _whole_6(c, a, b, row, column, ahead, start)
    elif rows == 5:
        _whole_5(c, a, b, row, column, ahead, start)
    elif rows == 4:
        _whole_4(c, a, b, row, column, ahead, start)
    elif rows == 3:
        _whole_3(c, a, b, row, column, ahead, start)
    elif rows == 2:
        _whole_2(c, a, b, row, column, ahead, start)
    else:
        _whole_1(c, a, b, row, column, ahead, start)


@inlined
def _edge(c, a, b, row, column, rows, ahead, start):
    if rows == 6:
        _edge_6(c, a, b, row, column, ahead, start)
    elif rows == 5:
        _edge_5(c, a, b, row, column, ahead, start)
    elif rows == 4:
        _edge_4(c, a, b, row, column, ahead, start)
    elif rows == 3:
        _edge_3(c, a, b, row, column, ahead, start)
    elif rows == 2:
        _edge_2(c, a, b, row, column, ahead, start)
    else:
        _edge_1(c, a, b, row, column, ahead, start)


@kernel
def add_product(c, a, b, ahead):
    """c += a b, while asking for memory that is needed next: a line of `ahead`, a row of numbers, with every k."""
    height = c.shape[0]
    columns = b.shape[1]
    strips = -(-height // TILE_ROWS)
    column = 0
    start = 0
    while column < columns:
        whole = column + TILE_VECTORS * lanes(b) <= columns
        row = 0
        for strip in range(strips, 0, -1):  # strips of even height: 10 rows are 5 + 5, not 6 + 4
            rows = -(-(height - row) // strip)
            if whole:
                _whole(c, a, b, row, column, rows, ahead, start)
            else:
                _edge(c, a, b, row, column, rows, ahead, start)
            row += rows
            start += b.shape[0] * lanes(b)
        column += TILE_VECTORS * lanes(b) if whole else lanes(b)
