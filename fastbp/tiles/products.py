"""Register tiles: rows x vectors of sums, which stay in registers while products are added to them."""

from __future__ import annotations

import functools

import numpy as np
from llvmlite import ir
from numba.core import types

from fastbp.tiles.lowering import is_block, lowers
from fastbp.tiles.memory import lanes
from fastbp.tiles.sums import sum_lanes
from fastbp.tiles.values import Scalars, Tile, Vector
from fastbp.tiles.vectors import load_some


def add_matrix(tile, matrix, row, column, kept):
    """The tile plus what the matrix has from [row, column] on, if that is `kept`; else the tile."""
    rows, columns = tile.shape
    return tile + matrix[row : row + rows, column : column + columns] if kept else tile


def add_matrix_of_some_rows(tile, matrix, row, column, kept):
    """`add_matrix`, but behind its last row the matrix counts as that one once more."""
    rows, columns = tile.shape
    return tile + matrix[_rows_inside(matrix, row, rows), column : column + columns] if kept else tile


def store_tile(matrix, row, column, tile):
    """Write the tile to matrix[row, column] and on."""
    rows, columns = tile.shape
    matrix[row : row + rows, column : column + columns] = tile


def store_tile_of_some_rows(matrix, row, column, tile):
    """`store_tile`, but all rows of the tile from the last one of the matrix on must be the same, and go there."""
    matrix[_rows_inside(matrix, row, tile.shape[0]), column : column + tile.shape[1]] = tile


def _rows_inside(matrix, row, rows):
    return np.minimum(np.arange(row, row + rows), matrix.shape[0] - 1)


def _tile_of(matrix, rows, vectors):
    if is_block(matrix) and isinstance(rows, types.IntegerLiteral) and isinstance(vectors, types.IntegerLiteral):
        return Tile(matrix.dtype, rows.literal_value, vectors.literal_value)
    return None


def _tile_addresses(emitter, matrix, row, column, tile, some_rows):
    start = emitter.address(matrix, row.index, column.index)
    for i in range(tile.rows):
        if some_rows:
            row_address = emitter.address(matrix, emitter.row_inside(matrix, row.index, i), column.index)
        else:
            row_address = emitter.row_offset(matrix, start, i)
        for j in range(tile.vectors):
            yield emitter.offset(row_address, j * tile.vector.lanes)


def _add_matrix(some_rows):
    def emit(emitter, tile, matrix, row, column, kept):
        builder, vector, registers = emitter.builder, tile.kind.vector, emitter.unpack(tile)
        before = builder.block
        with builder.if_then(builder.icmp_signed("!=", kept.index, emitter.number(0))):
            # All are loaded before any is stored: behind the last row, rows come twice.
            addresses = _tile_addresses(emitter, matrix, row, column, tile.kind, some_rows)
            loaded = [emitter.load(address, vector) for address in addresses]
            sums = [builder.fadd(*pair) for pair in zip(registers, loaded, strict=True)]
            after = builder.block
        results = [builder.phi(vector.register) for _ in registers]
        for result, register, total in zip(results, registers, sums, strict=True):
            result.add_incoming(register, before)
            result.add_incoming(total, after)
        return emitter.pack(results, tile.kind)

    return emit


def _store_tile(some_rows):
    def emit(emitter, matrix, row, column, tile):
        addresses = _tile_addresses(emitter, matrix, row, column, tile.kind, some_rows)
        for address, register in zip(addresses, emitter.unpack(tile), strict=True):
            emitter.store(register, address, tile.kind.vector)

    return emit


def _same_tile(tile, *_):
    return tile if isinstance(tile, Tile) else None


def _stored(matrix, row, column, tile):
    return types.none if is_block(matrix) and isinstance(tile, Tile) else None


lowers(add_matrix, _same_tile)(_add_matrix(some_rows=False))
lowers(add_matrix_of_some_rows, _same_tile)(_add_matrix(some_rows=True))
lowers(store_tile, _stored)(_store_tile(some_rows=False))
lowers(store_tile_of_some_rows, _stored)(_store_tile(some_rows=True))


def add_outer(tile, a, row, b, column, k):
    """The tile plus the outer product of a[row:, k] and b[k, column:]; a are scalars."""
    rows, columns = tile.shape
    return tile + a[row : row + rows, k, None] * b[k, column : column + columns]


def add_outer_of_some_rows(tile, a, row, b, column, k):
    """`add_outer`, but behind its last row a counts as that one once more."""
    rows, columns = tile.shape
    return tile + a[_rows_inside(a, row, rows), k, None] * b[k, column : column + columns]


def add_outer_some(tile, a, row, b, column, k):
    """`add_outer` at the edges. Behind its last row a counts as that one once more, behind its last column b as 0."""
    rows, columns = tile.shape
    right = np.zeros(columns, b.dtype)
    inside = b[k, column : column + columns]
    right[: inside.size] = inside
    return tile + a[_rows_inside(a, row, rows), k, None] * right


def _add_outer(some_rows, some_columns):
    def emit(emitter, tile, a, row, b, column, k):
        vector, vectors = tile.kind.vector, tile.kind.vectors
        b_row = emitter.address(b, k.index, column.index)
        right = []
        for j in range(vectors):
            address = emitter.offset(b_row, j * vector.lanes)
            if some_columns:
                start = emitter.builder.add(column.index, emitter.number(j * vector.lanes))
                count = emitter.builder.sub(b.members.columns, start)
                right.append(emitter.load_some(address, vector, count))
            else:
                right.append(emitter.load(address, vector))
        a_column = emitter.scalar_address(a, row.index, k.index)
        registers = emitter.unpack(tile)
        for i in range(tile.kind.rows):
            if some_rows:
                a_element = emitter.scalar_address(a, emitter.row_inside(a, row.index, i), k.index)
            else:
                a_element = emitter.row_offset(a, a_column, i)
            left = emitter.splat(emitter.builder.load(a_element), vector)
            for j in range(vectors):
                at = i * vectors + j
                registers[at] = emitter.multiply_add(left, right[j], registers[at], vector)
        return emitter.pack(registers, tile.kind)

    return emit


def _outer_tile(tile, a, *_):
    return tile if isinstance(tile, Tile) and isinstance(a, Scalars) else None


lowers(add_outer, _outer_tile)(_add_outer(some_rows=False, some_columns=False))
lowers(add_outer_of_some_rows, _outer_tile)(_add_outer(some_rows=True, some_columns=False))
lowers(add_outer_some, _outer_tile)(_add_outer(some_rows=True, some_columns=True))


def zero_tile(matrix, rows, vectors):
    """A tile of zeros, of the matrix's dtype."""
    return np.zeros((rows, vectors * lanes(matrix)), matrix.dtype)


@lowers(zero_tile, _tile_of)
def _(emitter, matrix, rows, vectors):
    return ir.Constant(emitter.context.get_value_type(Tile(matrix.kind.dtype, rows.literal, vectors.literal)), None)


def add_dots(tile, a, row, b, first, k):
    """The tile plus, in its vector [i, j], a[row + i] times b[first + j], lane by lane from column k on.

    Behind its last row b counts as that row once more.
    """
    return _dots(tile, a, row, b, first, k, lanes(b))


def add_dots_some(tile, a, row, b, first, k):
    """`add_dots` where rows end within a vector: behind their last column a and b count as zeros."""
    return _dots(tile, a, row, b, first, k, b.shape[1] - k)


def _dots(tile, a, row, b, first, k, count):
    wide = tile.reshape(tile.shape[0], -1, lanes(b))
    result = wide.copy()
    for j in range(wide.shape[1]):
        right = load_some(b, min(first + j, b.shape[0] - 1), k, count)
        for i in range(wide.shape[0]):
            result[i, j] += load_some(a, row + i, k, count) * right
    return result.reshape(tile.shape)


def _add_dots(some_columns):
    def emit(emitter, tile, a, row, b, first, k):
        rows, vectors, vector = tile.kind.rows, tile.kind.vectors, tile.kind.vector
        load = functools.partial(emitter.load, vector=vector)
        if some_columns:
            count = emitter.builder.sub(b.members.columns, k.index)
            load = functools.partial(emitter.load_some, vector=vector, count=count)

        right = [load(emitter.address(b, emitter.row_inside(b, first.index, j), k.index)) for j in range(vectors)]
        start = emitter.address(a, row.index, k.index)
        registers = emitter.unpack(tile)
        for i in range(rows):
            left = load(emitter.row_offset(a, start, i))
            for j in range(vectors):
                at = i * vectors + j
                registers[at] = emitter.multiply_add(left, right[j], registers[at], vector)
        return emitter.pack(registers, tile.kind)

    return emit


lowers(add_dots, _same_tile)(_add_dots(some_columns=False))
lowers(add_dots_some, _same_tile)(_add_dots(some_columns=True))


def add_sums(matrix, row, column, tile):
    """Add to matrix[row + i, column + j] the sum of the lanes of the tile's vector [i, j]."""
    wide = tile.reshape(tile.shape[0], -1, lanes(matrix))
    for i in range(wide.shape[0]):
        for j in range(wide.shape[1]):
            matrix[row + i, column + j] += sum_lanes(wide[i, j])


@lowers(add_sums, lambda matrix, row, column, tile: types.none if isinstance(tile, Tile) else None)
def _(emitter, matrix, row, column, tile):
    vector, vectors = tile.kind.vector, tile.kind.vectors
    sums = Vector(vector.dtype, vectors * vector.dtype.bitwidth)
    start = emitter.address(matrix, row.index, column.index)
    registers = emitter.unpack(tile)
    for i in range(tile.kind.rows):
        address = emitter.row_offset(matrix, start, i)
        total = _sums(emitter, registers[i * vectors : (i + 1) * vectors], vector.lanes)
        emitter.store(emitter.builder.fadd(emitter.load(address, sums), total), address, sums)


def _sums(emitter, parts, lanes):
    """The sums of the lanes of each part, as one vector: all are folded in halves, as `sum_lanes` does, two by two."""
    count = len(parts)
    width, size = lanes, lanes  # of a register, and of what is left of a part in it
    while size > 1:
        size //= 2
        both = (0, width) if len(parts) > 1 else (0,)
        low = [at + chunk + i for at in both for chunk in range(0, width, 2 * size) for i in range(size)]
        high = [lane + size for lane in low]
        pairs = zip(parts[:: len(both)], parts[len(both) - 1 :: len(both)], strict=True)
        parts = [emitter.builder.fadd(emitter.shuffle(a, b, low), emitter.shuffle(a, b, high)) for a, b in pairs]
        width = len(low)
    while len(parts) > 1:  # more parts than lanes
        parts = [emitter.shuffle(a, b, list(range(2 * width))) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        width *= 2
    assert width == count
    return parts[0]
