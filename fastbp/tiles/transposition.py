"""Squares of numbers, transposed in registers."""

from __future__ import annotations

import functools

from numba.core import types

from fastbp.tiles.lowering import is_block, lowers
from fastbp.tiles.memory import lanes
from fastbp.tiles.values import Vector


def narrow_lanes(matrix):
    """The number of elements of a vector of 128 bits."""
    return 16 // matrix.dtype.itemsize


@lowers(narrow_lanes, lambda matrix: types.literal(128 // matrix.dtype.bitwidth) if is_block(matrix) else None)
def _(emitter, matrix):
    return emitter.number(128 // matrix.kind.dtype.bitwidth)


def transpose_square(source, row, column, target):
    """target[column, row] = source[row, column] for a square of lanes x lanes elements."""
    size = lanes(source)
    target[column : column + size, row : row + size] = source[row : row + size, column : column + size].T


def transpose_some_columns(source, row, column, target):
    """The same for `lanes` rows and `narrow_lanes` columns, of which only those inside of source are read and written.

    Each is written as whole vectors: to store a part of one takes a dozen cycles on some processors.
    """
    inside = source[row : row + lanes(source), column : column + narrow_lanes(source)]
    target[column : column + inside.shape[1], row : row + lanes(source)] = inside.T


def transpose_some(source, row, column, target):
    """The same for `lanes` rows, too, of which only those inside of source are read and written."""
    inside = source[row : row + lanes(source), column : column + narrow_lanes(source)]
    rows, columns = inside.shape
    target[column : column + columns, row : row + rows] = inside.T


def transpose_some_rows(source, row, column, target):
    """The same for `narrow_lanes` columns and `lanes` rows, of which only those inside of source are read.

    Whole vectors are written all the same: what stands behind these rows is lost.
    """
    inside = source[row : row + lanes(source), column : column + narrow_lanes(source)]
    rows, columns = inside.shape
    target[column : column + columns, row : row + rows] = inside.T


def _perfect_shuffles(emitter, lines, low, high):
    """Transpose a square of lines: log2 of its size times, interleave its upper half with its lower half."""
    half = len(lines) // 2
    for _ in range(len(lines).bit_length() - 1):
        pairs = zip(lines[:half], lines[half:], strict=True)
        lines = [emitter.shuffle(a, b, order) for a, b in pairs for order in (low, high)]
    return lines


def _transpose(emitter, source, row, column, target, some_rows=False, some_columns=False):
    # Registers of 256 bits are put together from two loads of 128, so that only the squares of 128 x 128 bits inside
    # them are left to shuffle. 16 x 16 float32: 45 cycles; with 64 shuffles of whole 512-bit registers 90.
    builder, vector = emitter.builder, source.kind.vector
    narrow = Vector(vector.dtype, 128)
    size, q = vector.lanes, narrow.lanes
    halves = min(2, size // q)
    wide = Vector(vector.dtype, 128 * halves)
    low = [lane + at for at in range(0, halves * q, q) for i in range(q // 2) for lane in (i, halves * q + i)]
    high = [lane + q // 2 for lane in low]
    start = emitter.address(source, row.index, column.index)
    end = emitter.address(target, column.index, row.index)
    rows = builder.sub(source.members.rows, row.index)
    columns = builder.sub(source.members.columns, column.index)

    def load(line, j):
        if some_rows:
            line = emitter.number(line)
            inside = builder.select(builder.icmp_signed("<", line, rows), line, emitter.number(0))
            address = emitter.offset(start, builder.mul(source.members.stride, inside))
        else:
            address = emitter.row_offset(source, start, line)
        if some_columns:
            return emitter.load_some(address, narrow, columns)
        return emitter.load(emitter.offset(address, j), narrow)

    def store(line, i, j):
        address = emitter.offset(emitter.row_offset(target, end, j), i)
        if not some_columns:
            return emitter.store(line, address, wide)
        inside = builder.icmp_signed("<", emitter.number(j), columns)
        if not some_rows:
            with builder.if_then(inside):
                return emitter.store(line, address, wide)
        count = builder.select(inside, builder.sub(rows, emitter.number(i)), emitter.number(0))
        return emitter.store_some(line, address, wide, count)

    def transposed(i, j):
        lines = []
        for line in range(i, i + q):
            parts = [load(line + at, j) for at in range(0, halves * q, q)]
            lines.append(emitter.shuffle(parts[0], parts[-1], list(range(halves * q))))
        return _perfect_shuffles(emitter, lines, low, high)

    # A row of the target is written to its end before the next one begins, which may stand right behind it.
    firsts = range(0, size, halves * q)
    for j in range(0, q if some_rows or some_columns else size, q):
        parts = [transposed(i, j) for i in firsts]
        for at in range(q):
            for i, part in zip(firsts, parts, strict=True):
                store(part[at], i, j + at)


def _two_blocks(source, row, column, target):
    return types.none if is_block(source) and is_block(target) else None


lowers(transpose_square, _two_blocks)(_transpose)
lowers(transpose_some_columns, _two_blocks)(functools.partial(_transpose, some_columns=True))
lowers(transpose_some_rows, _two_blocks)(functools.partial(_transpose, some_rows=True))
lowers(transpose_some, _two_blocks)(functools.partial(_transpose, some_rows=True, some_columns=True))
