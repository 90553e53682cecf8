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


@inlined
def _ask(ahead, at, pace):
    """Ask for the next `pace` numbers of `ahead`, from `at` on; where to go on."""
    stop = min(ahead.shape[1], at + pace)
    while at < stop:
        prefetch(ahead, 0, at)
        at += lanes(ahead)
    return at


def _whole_tile(rows):
    @inlined
    def multiply(c, a, b, row, column, ahead, at, pace):
        tile = load_tile(c, row, column, rows, TILE_VECTORS)
        for k in range(b.shape[0]):
            at = _ask(ahead, at, pace)
            tile = add_outer(tile, a, row, b, column, k)
        store_tile(c, row, column, tile)
        return at

    return multiply


def _edge_tile(rows):
    # A lone accumulator waits 4 cycles for each of its sums: with few rows, two take turns if there is much to add.
    alone = rows <= 3

    @inlined
    def multiply(c, a, b, row, column, ahead, at, pace):
        tile = load_tile(c, row, column, rows, 1)
        depth = b.shape[0]
        first = 0
        if alone and depth > lanes(b):
            other = zero_tile(c, rows, 1)
            first = depth % 2
            for k in range(first, depth, 2):
                at = _ask(ahead, at, 2 * pace)
                tile = add_outer_some(tile, a, row, b, column, k)
                other = add_outer_some(other, a, row, b, column, k + 1)
            tile = add_tiles(tile, other)
            depth = first
        for k in range(depth):
            at = _ask(ahead, at, pace)
            tile = add_outer_some(tile, a, row, b, column, k)
        store_tile(c, row, column, tile)
        return at

    return multiply


_whole_1, _whole_2, _whole_3, _whole_4, _whole_5, _whole_6 = map(_whole_tile, range(1, TILE_ROWS + 1))
_edge_1, _edge_2, _edge_3, _edge_4, _edge_5, _edge_6 = map(_edge_tile, range(1, TILE_ROWS + 1))


@inlined
def _whole(c, a, b, row, column, rows, ahead, at, pace):
    if rows == 6:
        at = _whole_6(c, a, b, row, column, ahead, at, pace)
    elif rows == 5:
        at = _whole_5(c, a, b, row, column, ahead, at, pace)
    elif rows == 4:
        at = _whole_4(c, a, b, row, column, ahead, at, pace)
    elif rows == 3:
        at = _whole_3(c, a, b, row, column, ahead, at, pace)
    elif rows == 2:
        at = _whole_2(c, a, b, row, column, ahead, at, pace)
    else:
        at = _whole_1(c, a, b, row, column, ahead, at, pace)
    return at


@inlined
def _edge(c, a, b, row, column, rows, ahead, at, pace):
    if rows == 6:
        at = _edge_6(c, a, b, row, column, ahead, at, pace)
    elif rows == 5:
        at = _edge_5(c, a, b, row, column, ahead, at, pace)
    elif rows == 4:
        at = _edge_4(c, a, b, row, column, ahead, at, pace)
    elif rows == 3:
        at = _edge_3(c, a, b, row, column, ahead, at, pace)
    elif rows == 2:
        at = _edge_2(c, a, b, row, column, ahead, at, pace)
    else:
        at = _edge_1(c, a, b, row, column, ahead, at, pace)
    return at


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
                at = _whole(c, a, b, row, column, rows, ahead, at, pace)
            else:
                at = _edge(c, a, b, row, column, rows, ahead, at, pace)
            row += rows
        column += width if whole else lanes(b)
