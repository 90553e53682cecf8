"""Vectors: as many numbers as fill a register of the host, lane by lane.

A `load` or `store` moves whole ones, so blocks that own their memory are padded to them; the `_some` operations touch
only what the mask allows, so they serve the caller's arrays and all ragged edges.
"""

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba.core import types

from fastbp.tiles.lowering import INT64, is_block, lowers
from fastbp.tiles.memory import lanes
from fastbp.tiles.registers import lanes_of
from fastbp.tiles.values import Block, Vector


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
    return _as_register(emitter, number, matrix.kind.vector)


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


def _first_vector(*kinds):
    return next((kind for kind in kinds if isinstance(kind, Vector)), None)


@lowers(multiply_add, _first_vector)
def _(emitter, a, b, c):
    vector = _first_vector(a.kind, b.kind, c.kind)
    return emitter.multiply_add(*(_as_register(emitter, value, vector) for value in (a, b, c)), vector)


def absolute(vector):
    """|vector|, lane by lane."""
    return np.abs(vector)


@lowers(absolute, _first_vector)
def _(emitter, vector):
    return emitter.intrinsic("fabs", [vector.ir], vector.kind)


def square_root(vector):
    """The square root, lane by lane; nan below 0."""
    return np.sqrt(vector)


@lowers(square_root, _first_vector)
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
        vector = _first_vector(a.kind, b.kind)
        a, b = (_as_register(emitter, value, vector) for value in (a, b))
        chosen = emitter.builder.select(emitter.builder.fcmp_ordered(comparison, a, b), b, a)
        return emitter.builder.select(emitter.builder.fcmp_unordered("uno", b, b), b, chosen)

    return emit


lowers(maximum, _first_vector)(_choose_second("<"))
lowers(minimum, _first_vector)(_choose_second(">"))


def where_negative(vector, a, b):
    """a in the lanes where vector is below 0, b in the others and where it is nan."""
    return np.where(vector < 0, a, b).astype(vector.dtype)


@lowers(where_negative, _first_vector)
def _(emitter, vector, a, b):
    negative = emitter.builder.fcmp_ordered("<", vector.ir, emitter.constant(0.0, vector.kind))
    return emitter.builder.select(negative, *(_as_register(emitter, value, vector.kind) for value in (a, b)))


def where_signed(vector, a, b):
    """a in the lanes whose sign bit is set, which -0 and some nan have too, b in the others: sooner told than x < 0."""
    return np.where(np.signbit(vector), a, b).astype(vector.dtype)


@lowers(where_signed, _first_vector)
def _(emitter, vector, a, b):
    bits, constant = _as_integers(emitter, vector)
    signed = emitter.builder.icmp_signed("<", bits, constant(0))
    return emitter.builder.select(signed, *(_as_register(emitter, value, vector.kind) for value in (a, b)))


def where_equal(vector, wanted, a, b):
    """a in the lanes where vector equals `wanted`, b in the others and where either is nan; vectors or numbers."""
    return np.where(vector == wanted, a, b).astype(vector.dtype)


@lowers(where_equal, lambda vector, *_: vector if isinstance(vector, Vector) else None)
def _(emitter, vector, wanted, a, b):
    wanted, a, b = (_as_register(emitter, value, vector.kind) for value in (wanted, a, b))
    return emitter.builder.select(emitter.builder.fcmp_ordered("==", vector.ir, wanted), a, b)


def power_of_two(shifted):
    """2^n for shifted = n + bias + 1.5 * 2^m: m is the number of bits of the fraction, bias that of the exponent.

    The lowest bits of such a number are n + bias itself: moved into the exponent's place, they make 2^n without a
    conversion; or 0, where n + bias is 0.
    """
    fraction, _, _ = _FORMAT[shifted.dtype.itemsize * 8]
    return (shifted.view(f"i{shifted.dtype.itemsize}") << fraction).view(shifted.dtype)


# Of float32 and float64: bits of the fraction, bias of the exponent, the integer of the same size.
_FORMAT = {32: (23, 127, ir.IntType(32)), 64: (52, 1023, ir.IntType(64))}


@lowers(power_of_two, lambda shifted: shifted if isinstance(shifted, Vector) else None)
def _(emitter, shifted):
    fraction, _, _ = _FORMAT[shifted.kind.dtype.bitwidth]
    bits, constant = _as_integers(emitter, shifted)
    return emitter.builder.bitcast(emitter.builder.shl(bits, constant(fraction)), shifted.kind.register)


def exponent(vector):
    """n + 1.5 * 2^m of positive normal numbers 2^n f, where f is in [sqrt(1/2), sqrt(2)); m as in `power_of_two`.

    Without a conversion as there: what rounds log2(vector) to an integer is the carry into the bits of the exponent.
    """
    fraction, _, _ = _FORMAT[vector.dtype.itemsize * 8]
    bits = vector.view(f"u{vector.dtype.itemsize}")
    to_one, to_shifted = (bits.dtype.type(number) for number in _exponent_numbers(vector.dtype.itemsize * 8))
    return (((bits + to_one) >> bits.dtype.type(fraction)) + to_shifted).view(vector.dtype)


def _exponent_numbers(bitwidth):
    """What moves the bits of sqrt(1/2) to those of 1, and a biased exponent to the bits of n + 1.5 * 2^m."""
    fraction, bias, _ = _FORMAT[bitwidth]
    half_root = int(np.array(0.5**0.5, f"f{bitwidth // 8}").view(f"u{bitwidth // 8}"))
    return (bias << fraction) - half_root, (bias + fraction << fraction) + (1 << fraction - 1) - bias


@lowers(exponent, lambda vector: vector if isinstance(vector, Vector) else None)
def _(emitter, vector):
    fraction, _, _ = _FORMAT[vector.kind.dtype.bitwidth]
    to_one, to_shifted = _exponent_numbers(vector.kind.dtype.bitwidth)
    bits, constant = _as_integers(emitter, vector)
    bits = emitter.builder.lshr(emitter.builder.add(bits, constant(to_one)), constant(fraction))
    return emitter.builder.bitcast(emitter.builder.add(bits, constant(to_shifted)), vector.kind.register)


def without_exponent(vector, shifted):
    """vector / 2^n for shifted = n + 1.5 * 2^m as in `power_of_two`; also where 2^-n is not a normal number."""
    fraction, _, _ = _FORMAT[vector.dtype.itemsize * 8]
    bits, n = (value.view(f"i{vector.dtype.itemsize}") for value in (vector, shifted))
    return (bits - (n << fraction)).view(vector.dtype)


@lowers(without_exponent, lambda vector, shifted: vector if isinstance(vector, Vector) and vector == shifted else None)
def _(emitter, vector, shifted):
    fraction, _, _ = _FORMAT[vector.kind.dtype.bitwidth]
    (bits, constant), (n, _) = _as_integers(emitter, vector), _as_integers(emitter, shifted)
    bits = emitter.builder.sub(bits, emitter.builder.shl(n, constant(fraction)))
    return emitter.builder.bitcast(bits, vector.kind.register)


def _as_integers(emitter, vector):
    """The bits of the lanes, and what makes an integer constant of the same shape."""
    integers = ir.VectorType(_FORMAT[vector.kind.dtype.bitwidth][2], vector.kind.lanes)

    def constant(value):
        return ir.Constant(integers, [value] * vector.kind.lanes)

    return emitter.builder.bitcast(vector.ir, integers), constant


def sum_lanes(vector):
    """The sum of the lanes, folded in halves."""
    while vector.size > 1:
        vector = vector[: vector.size // 2] + vector[vector.size // 2 :]
    return vector[0]


@lowers(sum_lanes, lambda vector: vector.dtype if isinstance(vector, Vector) else None)
def _(emitter, vector):
    part, size = vector.ir, vector.kind.lanes
    while size > 1:
        size //= 2
        low, high = (emitter.shuffle(part, part, list(range(at, at + size))) for at in (0, size))
        part = emitter.builder.fadd(low, high)
    return emitter.builder.extract_element(part, ir.Constant(INT64, 0))


def zero_sums(matrix):
    """A float64 vector of zeros, whatever the dtype of the matrix: what `add_products` begins with."""
    return np.zeros(lanes_of(8))


def _sums_of(matrix):
    return Vector(types.float64) if isinstance(matrix, Block | types.Array) else None


@lowers(zero_sums, _sums_of)
def _(emitter, matrix):
    return emitter.constant(0.0, _sums_of(matrix.kind))


def add_products(total, a, b):
    """The float64 vector `total` plus the products of the vectors a and b, multiplied and added in float64.

    The products first: a sum over many vectors waits for one addition each.
    """
    wide_a, wide_b = (vector.astype(np.float64).reshape(-1, total.size) for vector in (a, b))
    products = wide_a[0] * wide_b[0]
    for part_a, part_b in zip(wide_a[1:], wide_b[1:], strict=True):
        products = products + part_a * part_b
    return total + products


@lowers(add_products, lambda total, a, b: total if isinstance(a, Vector) and a == b else None)
def _(emitter, total, a, b):
    products = None
    for start in range(0, a.kind.lanes, total.kind.lanes):
        parts = []
        for vector in (a, b):
            part = emitter.shuffle(vector.ir, vector.ir, list(range(start, start + total.kind.lanes)))
            if vector.kind != total.kind:
                part = emitter.builder.fpext(part, total.kind.register)
            parts.append(part)
        if products is None:
            products = emitter.builder.fmul(*parts)
        else:
            products = emitter.multiply_add(*parts, products, total.kind)
    return emitter.builder.fadd(total.ir, products)


def _as_register(emitter, value, vector):
    """A vector as it is; a number in every lane, rounded to the vector's dtype."""
    return value.ir if isinstance(value.kind, Vector) else emitter.splat(value.cast(vector.dtype), vector)


def _arithmetic(operation, instruction):
    """The operator between two vectors, or a vector and a number."""

    for kinds in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):

        @lowers(operation, _first_vector, *kinds)
        def _(emitter, a, b):
            vector = _first_vector(a.kind, b.kind)
            return getattr(emitter.builder, instruction)(
                _as_register(emitter, a, vector), _as_register(emitter, b, vector)
            )


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


@lowers(operator.neg, lambda a: a if isinstance(a, Vector) else None, Vector)
def _(emitter, a):
    return emitter.builder.fneg(a.ir)
