"""Vectors: as many numbers as fill a register of the host, lane by lane.

A `load` or `store` moves whole ones, so blocks that own their memory are padded to them; the `_some` operations touch
only what the mask allows, so they serve the caller's arrays and all ragged edges.
"""

from __future__ import annotations

import operator

import numpy as np
from numba.core import types

from fastbp.tiles.lowering import is_block, lowers
from fastbp.tiles.memory import lanes
from fastbp.tiles.values import Vector


def first_vector(*kinds):
    """The type of the first vector among values, which is that of the result; None if there is none."""
    return next((kind for kind in kinds if isinstance(kind, Vector)), None)


def as_register(emitter, value, vector):
    """A vector as it is; a number in every lane, rounded to the vector's dtype."""
    return value.ir if isinstance(value.kind, Vector) else emitter.splat(value.cast(vector.dtype), vector)


def load(matrix, row, column):
    """The vector from matrix[row, column] on."""
    return matrix[row, column : column + lanes(matrix)].copy()


def _vector_of(matrix, *_):
    return matrix.vector if is_block(matrix) else None


@lowers(load, _vector_of)
def _(emitter, matrix, row, column):
    return emitter.load(emitter.address(matrix, row.index, column.index), matrix.kind.vector)


def load_some(matrix, row, column, count):
    """The first `count` lanes from matrix[row, column] on, and zeros."""
    vector = np.zeros(lanes(matrix), matrix.dtype)
    inside = matrix[row, column : column + max(0, min(count, vector.size))]
    vector[: inside.size] = inside
    return vector


@lowers(load_some, _vector_of)
def _(emitter, matrix, row, column, count):
    return emitter.load_some(emitter.address(matrix, row.index, column.index), matrix.kind.vector, count.index)


def store(matrix, row, column, vector):
    """Write the vector to matrix[row, column] and on."""
    matrix[row, column : column + lanes(matrix)] = vector


@lowers(store, lambda matrix, *_: types.none if is_block(matrix) else None)
def _(emitter, matrix, row, column, vector):
    emitter.store(vector.ir, emitter.address(matrix, row.index, column.index), vector.kind)


def broadcast(matrix, row, column):
    """matrix[row, column] in every lane."""
    return np.full(lanes(matrix), matrix[row, column])


@lowers(broadcast, _vector_of)
def _(emitter, matrix, row, column):
    element = emitter.builder.load(emitter.address(matrix, row.index, column.index))
    return emitter.splat(element, matrix.kind.vector)


def fill(matrix, number):
    """The number in every lane of a vector of the matrix's dtype."""
    return np.full(lanes(matrix), number, matrix.dtype)


@lowers(fill, _vector_of)
def _(emitter, matrix, number):
    return as_register(emitter, number, matrix.kind.vector)


def store_some(matrix, row, column, vector, count):
    """Write the first `count` lanes of the vector to matrix[row, column] and on."""
    count = max(0, min(count, vector.size))
    matrix[row, column : column + count] = vector[:count]


@lowers(store_some, lambda matrix, *_: types.none if is_block(matrix) else None)
def _(emitter, matrix, row, column, vector, count):
    address = emitter.address(matrix, row.index, column.index)
    emitter.store_some(vector.ir, address, vector.kind, count.index)


def keep(vector, count):
    """The first `count` lanes, and zeros."""
    return np.where(np.arange(vector.size) < count, vector, vector.dtype.type(0))


@lowers(keep, lambda vector, count: vector if isinstance(vector, Vector) else None)
def _(emitter, vector, count):
    zero = emitter.constant(0.0, vector.kind)
    return emitter.builder.select(emitter.mask(vector.kind, count.index), vector.ir, zero)


def multiply_add(a, b, c):
    """a b + c, lane by lane; each a vector or a number, but not all numbers."""
    return a * b + c


@lowers(multiply_add, first_vector)
def _(emitter, a, b, c):
    vector = first_vector(a.kind, b.kind, c.kind)
    return emitter.multiply_add(*(as_register(emitter, value, vector) for value in (a, b, c)), vector)


def absolute(vector):
    """|vector|, lane by lane."""
    return np.abs(vector)


@lowers(absolute, first_vector)
def _(emitter, vector):
    return emitter.intrinsic("fabs", [vector.ir], vector.kind)


def square_root(vector):
    """The square root, lane by lane; nan below 0."""
    return np.sqrt(vector)


@lowers(square_root, first_vector)
def _(emitter, vector):
    return emitter.intrinsic("sqrt", [vector.ir], vector.kind)


def copy_sign(vector, sign):
    """|vector| with the sign of the vector `sign`, lane by lane."""
    return np.copysign(vector, sign)


@lowers(copy_sign, lambda vector, sign: vector if isinstance(vector, Vector) and vector == sign else None)
def _(emitter, vector, sign):
    return emitter.intrinsic("copysign", [vector.ir, sign.ir], vector.kind)


def maximum(a, b):
    """The larger, lane by lane; a vector and a vector or a number. nan in either gives nan."""
    return np.where((a < b) | (b != b), b, a).astype(_dtype_of(a, b))


def minimum(a, b):
    """The smaller, lane by lane; a vector and a vector or a number. nan in either gives nan."""
    return np.where((a > b) | (b != b), b, a).astype(_dtype_of(a, b))


def _dtype_of(*values):
    return next(value.dtype for value in values if isinstance(value, np.ndarray))


def _choose_second(comparison):
    # Compare and select become one instruction if b is a constant; llvm.maximum would order 0 and -0 in five.
    def emit(emitter, a, b):
        vector = first_vector(a.kind, b.kind)
        a, b = (as_register(emitter, value, vector) for value in (a, b))
        chosen = emitter.builder.select(emitter.builder.fcmp_ordered(comparison, a, b), b, a)
        return emitter.builder.select(emitter.builder.fcmp_unordered("uno", b, b), b, chosen)

    return emit


lowers(maximum, first_vector)(_choose_second("<"))
lowers(minimum, first_vector)(_choose_second(">"))


def where_negative(vector, a, b):
    """a in the lanes where vector is below 0, b in the others and where it is nan."""
    return np.where(vector < 0, a, b).astype(vector.dtype)


@lowers(where_negative, first_vector)
def _(emitter, vector, a, b):
    negative = emitter.builder.fcmp_ordered("<", vector.ir, emitter.constant(0.0, vector.kind))
    return emitter.builder.select(negative, *(as_register(emitter, value, vector.kind) for value in (a, b)))


def where_equal(vector, wanted, a, b):
    """a in the lanes where vector equals `wanted`, b in the others and where either is nan; vectors or numbers."""
    return np.where(vector == wanted, a, b).astype(vector.dtype)


@lowers(where_equal, lambda vector, *_: vector if isinstance(vector, Vector) else None)
def _(emitter, vector, wanted, a, b):
    wanted, a, b = (as_register(emitter, value, vector.kind) for value in (wanted, a, b))
    return emitter.builder.select(emitter.builder.fcmp_ordered("==", vector.ir, wanted), a, b)


def _arithmetic(operation, instruction):
    """The operator between two vectors, or a vector and a number."""

    for kinds in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):

        @lowers(operation, first_vector, *kinds)
        def _(emitter, a, b):
            vector = first_vector(a.kind, b.kind)
            return getattr(emitter.builder, instruction)(
                as_register(emitter, a, vector), as_register(emitter, b, vector)
            )


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


@lowers(operator.neg, lambda a: a if isinstance(a, Vector) else None, Vector)
def _(emitter, a):
    return emitter.builder.fneg(a.ir)
