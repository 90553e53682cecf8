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
    lanes,
    load_tile,
    prefetch,
    store_tile,
)
from fastbp.tiles.registers import TILE_ROWS, TILE_VECTORS


def _whole_tile(rows):
    @inlined
    def multiply(c, a, b, row, column, ahead, at, pace):
        tile = load_tile(c, row, column, rows, TILE_VECTORS)
        for k in range(b.shape[0]):
            prefetch(ahead, at + k * pace, pace)
            tile = add_outer(tile, a, row, b, column, k)
        store_tile(c, row, column, tile)

    return multiply


def _edge_tile(rows):
    @inlined
    def multiply(c, a, b, row, column, ahead, at, pace):
        tile = load_tile(c, row, column, rows, 1)
        for k in range(b.shape[0]):
            prefetch(ahead, at + k * pace, pace)
            tile = add_outer_some(tile, a, row, b, column, k)
        store_tile(c, row, column, tile)

    return multiply


_whole_1, _whole_2, _whole_3, _whole_4, _whole_5, _whole_6 = map(_whole_tile, range(1, TILE_ROWS + 1))
_edge_1, _edge_2, _edge_3, _edge_4, _edge_5, _edge_6 = map(_edge_tile, range(1, TILE_ROWS + 1))


@inlined
def _whole(c, a, b, row, column, rows, ahead, at, pace):
    if rows == 6:
        _whole_6(c, a, b, row, column, ahead, at, pace)
    elif rows == 5:
        _whole_5(c, a, b, row, column, ahead, at, pace)
    elif rows == 4:
        _whole_4(c, a, b, row, column, ahead, at, pace)
    elif rows == 3:
        _whole_3(c, a, b, row, column, ahead, at, pace)
    elif rows == 2:
        _whole_2(c, a, b, row, column, ahead, at, pace)
    else:
        _whole_1(c, a, b, row, column, ahead, at, pace)


@inlined
def _edge(c, a, b, row, column, rows, ahead, at, pace):
    if rows == 6:
        _edge_6(c, a, b, row, column, ahead, at, pace)
    elif rows == 5:
        _edge_5(c, a, b, row, column, ahead, at, pace)
    elif rows == 4:
        _edge_4(c, a, b, row, column, ahead, at, pace)
    elif rows == 3:
        _edge_3(c, a, b, row, column, ahead, at, pace)
    elif rows == 2:
        _edge_2(c, a, b, row, column, ahead, at, pace)
    else:
        _edge_1(c, a, b, row, column, ahead, at, pace)


@kernel
def add_product(c, a, b, ahead):
    """c += a b, and meanwhile, evenly, ask for `ahead`: a row of numbers that will be needed next."""
    height = c.shape[0]
    depth, columns = b.shape
    width = TILE_VECTORS * lanes(b)
    strips = -(-height // TILE_ROWS)
    turns = strips * depth * (columns // width + -(-(columns % width) // lanes(b)))
    pace = -(-ahead.shape[1] // (turns * lanes(b))) * lanes(b)
    at = 0
    column = 0
    while column < columns:
        whole = column + width <= columns
        row = 0
        for strip in range(strips, 0, -1):  # strips of even height: 10 rows are 5 + 5, not 6 + 4
            rows = -(-(height - row) // strip)
            if whole:
                _whole(c, a, b, row, column, rows, ahead, at, pace)
            else:
                _edge(c, a, b, row, column, rows, ahead, at, pace)
            row += rows
            at += depth * pace
        column += width if whole else lanes(b)
