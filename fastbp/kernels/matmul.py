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

from fastbp.kernels.jit import inlined, kernel, pasted
from fastbp.tiles.operations import (
    add_dots,
    add_dots_some,
    add_matrix,
    add_matrix_of_some_rows,
    add_outer,
    add_outer_of_some_rows,
    add_outer_some,
    add_sums,
    block,
    lanes,
    prefetch,
    scalars,
    scalars_of_t,
    store_tile,
    store_tile_of_some_rows,
    zero_tile,
)
from fastbp.tiles.registers import CACHE_LINE_VECTORS, TILE_ROWS, TILE_VECTORS

# Vectors of a that `add_product_with_t` goes through at a time: with 512 bits 32 KiB, as the level 1 cache has.
# 64 x 784 -> 10 in float64: 67000 cycles, and 75000 with all of a at a time.
KEPT_IN_CACHE = 512
# If a has so many columns, the next tile of c is prefetched while one is worked on: c may be as large, and come from
# far. 4096 x 1024 -> 1024 takes 1.03 times as long without. With fewer columns, c is mostly near.
DEEP = 256
# Vectors of a tile, at least, also where c has one row or two: a multiply-add takes four cycles, and two begin in each.
LEAST_VECTORS = 8
CACHE_LINES_OF_ROW = TILE_VECTORS // CACHE_LINE_VECTORS  # of a tile


def _outer_tile(height, vectors, take_in=add_outer, add=add_matrix, write=store_tile):
    """One tile of c += a b, for all k. `height` and `vectors` are known while compiling."""
    lines = _cache_lines_of(vectors)

    @inlined
    def multiply(c, a, b, kept, row, column, ahead, at, pace):
        tile = zero_tile(c, height, vectors)
        for k in range(b.shape[0]):
            prefetch(ahead, at, lines)
            at += pace
            tile = take_in(tile, a, row, b, column, k)
        write(c, row, column, add(tile, c, row, column, kept))

    return multiply


def _dots_tile(height):
    """One tile of c += a b^T, for all k, always added. The last numbers of a row, less than a vector, are masked."""
    vectors = max(TILE_VECTORS, LEAST_VECTORS // height)
    lines = _cache_lines_of(vectors)

    @inlined
    def multiply(c, a, b, _kept, row, column, ahead, at, pace):
        tile = zero_tile(c, height, vectors)
        whole = b.shape[1] - b.shape[1] % lanes(b)
        for k in range(0, whole, lanes(b)):
            prefetch(ahead, at, lines)
            at += pace
            tile = add_dots(tile, a, row, b, column, k)
        if whole < b.shape[1]:
            tile = add_dots_some(tile, a, row, b, column, whole)
        add_sums(c, row, column, tile)

    return multiply


def _cache_lines_of(vectors):
    """Lines that a tile asks for in each turn of its loop: half as much as it takes in, since two products ask."""
    return max(1, vectors // (2 * CACHE_LINE_VECTORS))


def _tiles(tile_of):
    """multiply(rows, ...): one tile of 1 ... TILE_ROWS rows. Tiles live in registers, so each height has code."""
    one, two, three, four, five, six = (tile_of(height) for height in range(1, TILE_ROWS + 1))

    @inlined
    def multiply(rows, c, a, b, kept, row, column, ahead, at, pace):
        if rows == 6:
            six(c, a, b, kept, row, column, ahead, at, pace)
        elif rows == 5:
            five(c, a, b, kept, row, column, ahead, at, pace)
        elif rows == 4:
            four(c, a, b, kept, row, column, ahead, at, pace)
        elif rows == 3:
            three(c, a, b, kept, row, column, ahead, at, pace)
        elif rows == 2:
            two(c, a, b, kept, row, column, ahead, at, pace)
        else:
            one(c, a, b, kept, row, column, ahead, at, pace)

    return multiply


_outer = _tiles(lambda height: _outer_tile(height, TILE_VECTORS))
_dots = _tiles(_dots_tile)
# At the edge: two vectors wide, one, and a part of one. Only that has masks, for which LLVM compares lanes each time. A
# multiply-add waits four cycles for the one before it: four rows of one vector take no longer than one. What is no
# narrower than a tile is none of its own: it is never called, but would be compiled.
_of_some_rows = add_matrix_of_some_rows, store_tile_of_some_rows
_six_by_one = _outer_tile(TILE_ROWS, 1, add_outer_of_some_rows, *_of_some_rows)
_six_by_two = _outer_tile(TILE_ROWS, 2, add_outer_of_some_rows, *_of_some_rows) if TILE_VECTORS > 2 else _six_by_one
_six_by_some = _outer_tile(TILE_ROWS, 1, add_outer_some, *_of_some_rows)
_four_by_some = _outer_tile(4, 1, add_outer_some, *_of_some_rows)
# One row or two, as long as there are columns for it.
_one_by_eight = _outer_tile(1, LEAST_VECTORS)
_two_by_four = _outer_tile(2, LEAST_VECTORS // 2) if TILE_VECTORS < 4 else _one_by_eight


@pasted
def nothing_ahead(matrix):
    """What to ask for ahead where there is nothing; pasted, so that LLVM sees it and drops all asking."""
    return block(matrix, 0, 0, 1, 0)


@pasted
def add_product(c, a, b, kept, ahead):
    """c += a b if c is `kept` (1), else (0) c = a b; meanwhile, evenly, ask for `ahead`, a row of numbers needed next.

    c (rows, columns), padded to whole vectors    a (rows, depth)    b (depth, columns)
    """
    _add_product(c, scalars(a), b, kept, ahead)


@pasted
def add_product_of_t(c, a, b, kept, ahead):
    """The same with a^T b, where a lies (depth, rows)."""
    _add_product(c, scalars_of_t(a), b, kept, ahead)


@kernel
def _ask_for(c, row, column):
    """A tile of c, or what there is of it. By itself, since few products are deep."""
    for further in range(TILE_ROWS):
        prefetch(block(c, row + further, column, 1, 1), 0, CACHE_LINES_OF_ROW)


@kernel
def _add_product(c, a, b, kept, ahead):
    height, (depth, columns) = c.shape[0], b.shape
    width = TILE_VECTORS * lanes(b)
    wide = max(TILE_VECTORS, LEAST_VECTORS // height) * lanes(b)
    bands = -(-height // TILE_ROWS)
    tiles = bands * (columns // wide + columns % wide // width + -(-(columns % width) // lanes(b)))
    pace = -(-ahead.shape[1] // (tiles * depth))
    of_tile = pace * depth
    at = 0
    column = 0
    while wide > width and column + wide <= columns:
        if height == 1:
            _one_by_eight(c, a, b, kept, 0, column, ahead, at, pace)
        elif TILE_VECTORS < 4:
            _two_by_four(c, a, b, kept, 0, column, ahead, at, pace)
        column += wide
        at += of_tile
    even, higher = height // bands, height % bands  # of rows, of even height: 10 are 5 + 5, not 6 + 4
    while column + width <= columns:
        row = 0
        for band in range(bands):
            rows = even + 1 if band < higher else even
            if depth >= DEEP:
                _ask_for(c, row + rows, column)
            _outer(rows, c, a, b, kept, row, column, ahead, at, pace)
            row += rows
            at += of_tile
        column += width
    while column < columns:
        left = columns - column
        for row in range(0, height, TILE_ROWS):
            if TILE_VECTORS > 2 and left >= 2 * lanes(b):
                _six_by_two(c, a, b, kept, row, column, ahead, at, pace)
            elif left >= lanes(b):
                _six_by_one(c, a, b, kept, row, column, ahead, at, pace)
            elif height - row > 4:
                _six_by_some(c, a, b, kept, row, column, ahead, at, pace)
            else:
                _four_by_some(c, a, b, kept, row, column, ahead, at, pace)
            at += of_tile
        column += 2 * lanes(b) if TILE_VECTORS > 2 and left >= 2 * lanes(b) else lanes(b)


@kernel
def add_product_with_t(c, a, b, ahead):
    """c += a b^T, with `ahead` as above.

    c (rows, columns), padded to whole tiles, and LEAST_VECTORS    a (rows, depth)    b (columns, depth)
    """
    height = c.shape[0]
    width = max(TILE_VECTORS, LEAST_VECTORS // height)  # of a tile: a band of one row or two is all of c
    columns, depth = b.shape
    bands = -(-height // TILE_ROWS)
    span = max(KEPT_IN_CACHE // height, 1) * lanes(b)
    turns = bands * -(-columns // width) * -(-depth // lanes(b))
    pace = -(-ahead.shape[1] // turns)
    at = 0
    for k in range(0, depth, span):
        some = min(span, depth - k)
        some_of_a, some_of_b = block(a, 0, k, height, some), block(b, 0, k, columns, some)
        for column in range(0, columns, width):
            row = 0
            for band in range(bands, 0, -1):
                rows = -(-(height - row) // band)
                _dots(rows, c, some_of_a, some_of_b, 1, row, column, ahead, at, pace)
                row += rows
                at += -(-some // lanes(b)) * pace
