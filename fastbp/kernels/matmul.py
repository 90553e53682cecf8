"""c += a b, c += a^T b and c += a b^T for three blocks: the loops that all of the arithmetic goes through.

c is cut into tiles. A tile stays in registers while k runs over the columns of a.

    add_product        c += a b    For every k a tile takes in the outer product of a column of a and a row of b. If c
                                   is not to be kept, c = a b. Numbers of a are taken one by one, so that its transpose
                                   is as good: add_product_of_t.
    add_product_with_t c += a b^T  For every vector of k a tile takes in the products of rows of a with rows of b, lane
                                   by lane; its lanes are summed at the end. This spares the transposition of b, and
                                   wastes no lanes where b has few rows, but it pays for the sums.
"""

from __future__ import annotations

from fastbp.kernels.jit import kernel, pasted
from fastbp.tiles.operations import (
    add_dots,
    add_outer,
    add_outer_of_some_rows,
    add_outer_some,
    add_sums,
    block,
    lanes,
    load_tile,
    prefetch,
    scalars,
    scalars_of_t,
    store_tile,
    zero_tile,
)
from fastbp.tiles.registers import TILE_ROWS, TILE_ROWS_OF_DOTS, TILE_VECTORS

# Vectors of a that `add_product_with_t` goes through at a time: with 512 bits 32 KiB, as the level 1 cache has.
# 64 x 784 -> 10 in float64: 67000 cycles, and 75000 with all of a at a time.
KEPT_IN_CACHE = 512


def _tile(height, vectors, begin, take_in, end):
    """One tile of c, from its first k to its last. `height` and `vectors` are known while compiling."""

    @pasted
    def multiply(c, a, b, kept, row, column, depth, stride, ahead, at, pace):
        tile = begin(c, row, column, height, vectors, kept)
        for k in range(0, depth, stride):
            prefetch(ahead, at)
            at += pace
            tile = take_in(tile, a, row, b, column, k)
        end(c, row, column, tile)

    return multiply


def _tiles(tallest, *operations):
    """multiply(rows, ...): one tile of 1 ... `tallest` rows. Tiles live in registers, so each height has code."""
    one, two, three, four, five, six = (_tile(height, TILE_VECTORS, *operations) for height in range(1, 7))

    @pasted
    def multiply(rows, c, a, b, kept, row, column, depth, stride, ahead, at, pace):
        if tallest >= 6 and rows == 6:  # not compiled where `tallest` is less
            six(c, a, b, kept, row, column, depth, stride, ahead, at, pace)
        elif tallest >= 5 and rows == 5:
            five(c, a, b, kept, row, column, depth, stride, ahead, at, pace)
        elif rows == 4:
            four(c, a, b, kept, row, column, depth, stride, ahead, at, pace)
        elif rows == 3:
            three(c, a, b, kept, row, column, depth, stride, ahead, at, pace)
        elif rows == 2:
            two(c, a, b, kept, row, column, depth, stride, ahead, at, pace)
        else:
            one(c, a, b, kept, row, column, depth, stride, ahead, at, pace)

    return multiply


@pasted
def _zeros(c, row, column, height, vectors, kept):
    """Where `add_sums` adds the tile to c."""
    return zero_tile(c, row, column, height, vectors)


_outer = _tiles(TILE_ROWS, load_tile, add_outer, store_tile)
_dots = _tiles(TILE_ROWS_OF_DOTS, _zeros, add_dots, add_sums)
# At the edge: two vectors wide, one, and a part of one. Only that has masks, for which LLVM compares lanes each time. A
# multiply-add waits four cycles for the one before it: four rows of one vector take no longer than one.
_six_by_two = _tile(6, 2, load_tile, add_outer_of_some_rows, store_tile)
_six_by_one = _tile(6, 1, load_tile, add_outer_of_some_rows, store_tile)
_six_by_some = _tile(6, 1, load_tile, add_outer_some, store_tile)
_four_by_some = _tile(4, 1, load_tile, add_outer_some, store_tile)


@pasted
def add_product(c, a, b, kept, ahead):
    """c += a b if c is `kept` (1), else (0) c = a b; meanwhile, evenly, ask for `ahead`, a row of numbers needed next.

    c (rows, columns), padded to whole vectors    a (rows, depth)    b (depth, columns)
    """
    _add_product(c, scalars(a), b, int(kept), ahead)  # a literal would be a type, and compiled once more


@pasted
def add_product_of_t(c, a, b, kept, ahead):
    """The same with a^T b, where a lies (depth, rows)."""
    _add_product(c, scalars_of_t(a), b, int(kept), ahead)


@kernel
def _add_product(c, a, b, kept, ahead):
    height = c.shape[0]
    depth, columns = b.shape
    width = TILE_VECTORS * lanes(b)
    strips = -(-height // TILE_ROWS)
    turns = strips * depth * (columns // width + -(-(columns % width) // lanes(b)))
    pace = -(-ahead.shape[1] // (turns * lanes(b))) * lanes(b)
    at = 0
    column = 0
    while column + width <= columns:
        row = 0
        for strip in range(strips, 0, -1):  # strips of even height: 10 rows are 5 + 5, not 6 + 4
            rows = -(-(height - row) // strip)
            _outer(rows, c, a, b, kept, row, column, depth, 1, ahead, at, pace)
            row += rows
            at += depth * pace
        column += width
    while column < columns:
        left = columns - column
        for row in range(0, height, 6):
            if TILE_VECTORS > 2 and left >= 2 * lanes(b):  # not compiled where a tile is no wider
                _six_by_two(c, a, b, kept, row, column, depth, 1, ahead, at, pace)
            elif left >= lanes(b):
                _six_by_one(c, a, b, kept, row, column, depth, 1, ahead, at, pace)
            elif height - row > 4:
                _six_by_some(c, a, b, kept, row, column, depth, 1, ahead, at, pace)
            else:
                _four_by_some(c, a, b, kept, row, column, depth, 1, ahead, at, pace)
            at += depth * pace
        column += 2 * lanes(b) if TILE_VECTORS > 2 and left >= 2 * lanes(b) else lanes(b)


@kernel
def add_product_with_t(c, a, b, ahead):
    """c += a b^T, with `ahead` as above.

    c (rows, columns), padded to whole tiles    a (rows, depth)    b (columns, depth)
    """
    height = c.shape[0]
    columns, depth = b.shape
    strips = -(-height // TILE_ROWS_OF_DOTS)
    span = max(KEPT_IN_CACHE // height, 1) * lanes(b)
    turns = strips * -(-columns // TILE_VECTORS) * -(-depth // lanes(b))
    pace = -(-ahead.shape[1] // (turns * lanes(b))) * lanes(b)
    at = 0
    for k in range(0, depth, span):
        depth_here = min(span, depth - k)
        some_of_a = block(a, 0, k, height, depth_here)
        some_of_b = block(b, 0, k, columns, depth_here)
        for column in range(0, columns, TILE_VECTORS):
            row = 0
            for strip in range(strips, 0, -1):
                rows = -(-(height - row) // strip)
                _dots(rows, c, some_of_a, some_of_b, 1, row, column, depth_here, lanes(b), ahead, at, pace)
                row += rows
                at += -(-depth_here // lanes(b)) * pace
