"""The tile algebra: what the kernels are written in.

Each operation is its NumPy twin, followed by its lowering to registers. Shapes are in vectors of `lanes` elements. A
`load` or `store` moves whole vectors, so blocks that own their memory are padded to whole vectors; the `_some`
operations touch only what the mask allows, so they serve the caller's arrays and all ragged edges.
"""

from __future__ import annotations

import functools
import operator

import numpy as np
from llvmlite import ir
from numba.core import types

from fastbp.tiles.lowering import INT64, is_block, lowers
from fastbp.tiles.registers import CACHE_LINE, lanes_of
from fastbp.tiles.values import Block, Scalars, Tile, Vector

# ---- blocks


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
    """The number of elements of one vector."""
    return lanes_of(matrix.dtype.itemsize)


@lowers(lanes, lambda matrix: types.literal(matrix.vector.lanes) if is_block(matrix) else None)
def _(emitter, matrix):
    return emitter.number(matrix.kind.vector.lanes)


def prefetch(row, column, count):
    """Ask for so many cache lines from row[0, column] on, ahead of their use; none need be there."""


@lowers(prefetch, lambda row, column, count: types.none if isinstance(count, types.IntegerLiteral) else None)
def _(emitter, row, column, count):
    # Of what is not there nothing comes: to look costs a tile's loop more than to ask in vain.
    for line in range(count.literal):
        elements = emitter.number(line * CACHE_LINE * 8 // row.kind.dtype.bitwidth)
        emitter.prefetch(emitter.offset(row.members.data, emitter.builder.add(column.index, elements)))


# ---- vectors


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


def at_least(vector, low):
    """Each lane, or the number `low` where that is larger; nan stays nan."""
    return np.where(vector < low, vector.dtype.type(low), vector)


@lowers(at_least, lambda vector, low: vector if isinstance(vector, Vector) else None)
def _(emitter, vector, low):
    # Compare and select, not llvm.maxnum: an ordered comparison is false for nan, which therefore stays.
    limit = _as_register(emitter, low, vector.kind)
    return emitter.builder.select(emitter.builder.fcmp_ordered("<", vector.ir, limit), limit, vector.ir)


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


# ---- tiles


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


def _tile_of(matrix, row, column, rows, vectors, *_):
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


def zero_tile(matrix, row, column, rows, vectors):
    """A tile of zeros for matrix[row, column] and on."""
    return np.zeros((rows, vectors * lanes(matrix)), matrix.dtype)


@lowers(zero_tile, _tile_of)
def _(emitter, matrix, row, column, rows, vectors):
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
