"""Rectangles of memory, which all other operations read and write: where they begin, how far it is from row to row."""

from __future__ import annotations

import numpy as np
from numba.core import types

from fastbp.tiles.lowering import is_block, lowers
from fastbp.tiles.registers import CACHE_LINE, lanes_of
from fastbp.tiles.values import Block, Scalars


def block(matrix, row, column, rows, columns):
    """The rectangle of `rows` x `columns` elements of a C-contiguous matrix, or of a block, from [row, column] on."""
    assert min(row, column, rows, columns) >= 0  # a slice would make do with less
    return matrix[row : row + rows, column : column + columns]


@lowers(block, lambda matrix, *_: Block(matrix.dtype) if isinstance(matrix, Block | types.Array) else None)
def _(emitter, matrix, row, column, rows, columns):
    members = matrix.members
    stride = members.stride if is_block(matrix.kind) else emitter.builder.extract_value(members.shape, 1)
    offset = emitter.builder.add(emitter.builder.mul(row.index, stride), column.index)
    data = emitter.offset(members.data, offset)
    return emitter.compose(Block(matrix.kind.dtype), data=data, stride=stride, rows=rows.index, columns=columns.index)


def as_row(matrix):
    """A block without gaps between its rows, as a block of one row."""
    return matrix.reshape(1, -1)


@lowers(as_row, lambda matrix: matrix if is_block(matrix) else None)
def _(emitter, matrix):
    members, one = matrix.members, emitter.number(1)
    size = emitter.builder.mul(members.rows, members.columns)
    return emitter.compose(matrix.kind, data=members.data, stride=size, rows=one, columns=size)


def is_gapless(matrix):
    """Whether the rows of a block follow each other without gaps."""
    return matrix.flags.c_contiguous


@lowers(is_gapless, lambda matrix: types.boolean if is_block(matrix) else None)
def _(emitter, matrix):
    members = matrix.members
    together = emitter.builder.icmp_signed("==", members.stride, members.columns)
    single = emitter.builder.icmp_signed("==", members.rows, emitter.number(1))
    return emitter.builder.or_(together, single)


def overstep(matrix, columns):
    """A block with so many columns, to be read: its rows go on with what follows in memory, such as the next row."""
    return np.lib.stride_tricks.as_strided(matrix, (matrix.shape[0], columns), matrix.strides, writeable=False)


@lowers(overstep, lambda matrix, columns: matrix if is_block(matrix) else None)
def _(emitter, matrix, columns):
    members = matrix.members
    return emitter.compose(
        matrix.kind, data=members.data, stride=members.stride, rows=members.rows, columns=columns.index
    )


def matrix_at(memory, start, rows, columns):
    """The part of a flat array from `start` on, as a block of rows x columns."""
    return memory[start : start + rows * columns].reshape(rows, columns)


@lowers(matrix_at, lambda memory, *_: Block(memory.dtype) if isinstance(memory, types.Array) else None)
def _(emitter, memory, start, rows, columns):
    data = emitter.offset(memory.members.data, start.index)
    width = columns.index
    return emitter.compose(Block(memory.kind.dtype), data=data, stride=width, rows=rows.index, columns=width)


def scalars(matrix):
    """The numbers of a block, to be taken one by one."""
    return matrix


def scalars_of_t(matrix):
    """The numbers of the transpose of a block, to be taken one by one."""
    return matrix.T


def _scalars(transposed):
    def emit(emitter, matrix):
        members, one = matrix.members, emitter.number(1)
        stride, step = (one, members.stride) if transposed else (members.stride, one)
        rows = members.columns if transposed else members.rows
        return emitter.compose(Scalars(matrix.kind.dtype), data=members.data, stride=stride, step=step, rows=rows)

    return emit


def _scalars_of(matrix):
    return Scalars(matrix.dtype) if is_block(matrix) else None


lowers(scalars, _scalars_of)(_scalars(transposed=False))
lowers(scalars_of_t, _scalars_of)(_scalars(transposed=True))


def lanes(matrix):
    """The numbers of a vector, of a block or an array: known while compiling, so that to divide by it is cheap."""
    return lanes_of(matrix.dtype.itemsize)


def _lanes_of(matrix):
    return lanes_of(matrix.dtype.bitwidth // 8)


@lowers(lanes, lambda matrix: types.literal(_lanes_of(matrix)) if isinstance(matrix, Block | types.Array) else None)
def _(emitter, matrix):
    return emitter.number(_lanes_of(matrix.kind))


def prefetch(row, column, count):
    """Ask for so many cache lines from row[0, column] on, ahead of their use; none need be there."""


@lowers(prefetch, lambda row, column, count: types.none if isinstance(count, types.IntegerLiteral) else None)
def _(emitter, row, column, count):
    # Of what is not there nothing comes: to look costs a tile's loop more than to ask in vain.
    for line in range(count.literal):
        elements = emitter.number(line * CACHE_LINE * 8 // row.kind.dtype.bitwidth)
        emitter.prefetch(emitter.offset(row.members.data, emitter.builder.add(column.index, elements)))
