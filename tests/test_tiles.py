"""The tile algebra: compiled, every operation does to the bit what its NumPy twin says, and touches nothing beside.

The twin is the very function that is compiled. So a case below is called twice: as plain Python on NumPy views, and
compiled on blocks. All numbers are eighths, so that no result depends on the order of a sum or on a fused rounding.
"""

import ctypes
import mmap
import os
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from numba.core.registry import cpu_target
from processes import in_a_process
from test_exactness import assert_exact
from test_training import assert_same_bits

import fastbp
from fastbp.kernels.functions import exp_of_negative, log, sigmoid, tanh
from fastbp.tiles import operations as op
from fastbp.tiles.records import record
from fastbp.tiles.registers import REGISTER_BITS, WIDTHS, lanes_of

LANES = {"float32": lanes_of(4), "float64": lanes_of(8)}
GUARD = 7.0


def as_it_is(function):
    return function


def on_blocks(case, jit):
    """case(a, out, count) on the middles of two arrays; `jit` compiles it, or leaves it as it is."""
    case = case if jit is as_it_is else jit(inline="always")(case)

    def call(a, out, rows, columns, out_rows, out_columns, count):
        case(op.block(a, 2, 3, rows, columns), op.block(out, 1, 5, out_rows, out_columns), count)

    return jit(call)


def surrounded(rectangle, row, column, by):
    """An array with the rectangle at [row, column] and `by` on all its sides."""
    return np.pad(rectangle, ((row, 4), (column, 70)), constant_values=by)


# ------------------------------------------------------------------------------------------------------- the operations

# Row 0 of `a` holds these over and over, the other rows eighths; `out` is larger than `a` and holds 0.5.
SPECIALS = [0.0, -0.0, 1.5, -1.5, np.nan, np.inf, -np.inf, 1e-42, -1e-42, 1e38, -1e38, -200.0, 200.0]


def _add_arithmetic(a, out, count):
    v, w = op.load(a, 1, 0), op.load(a, 2, 1)
    op.store(out, 0, 0, v + w)
    op.store(out, 1, 0, v - w)
    op.store(out, 2, 0, v * w)
    op.store(out, 3, 0, v / 4.0)
    op.store(out, 4, 0, 2.0 - v)
    op.store(out, 5, 0, -w)
    op.store(out, 6, 0, v + 1)
    op.store(out, 7, 0, 0.5 * v)
    op.store(out, 8, 0, 3.0 / op.fill(a, 2.0))
    op.store(out, 9, 0, op.fill(a, 3.0) / op.fill(a, 0.0))


def _multiply_adds(a, out, count):
    u, v, w = op.load(a, 1, 0), op.load(a, 2, 1), op.load(a, 3, 2)
    op.store(out, 0, 0, op.multiply_add(u, v, w))
    op.store(out, 1, 0, op.multiply_add(2.5, v, w))
    op.store(out, 2, 0, op.multiply_add(u, -2, w))
    op.store(out, 3, 0, op.multiply_add(u, v, 0.125))
    op.store(out, 4, 0, op.multiply_add(u, 0.5, 0.25))
    op.store(out, 5, 0, op.multiply_add(0.5, 3.0, w))


def _shapes(a, out, count):
    inner = op.block(op.block(a, 1, 2, 5, 30), 2, 3, 3, 20)
    rows, columns = inner.shape
    op.store(out, 0, 0, op.fill(out, rows + 100 * columns + 10000 * op.lanes(inner)))
    op.store(out, 1, 0, op.load(inner, 2, 1))


def _lanes_of_arrays(single, double):
    return op.lanes(single), op.lanes(double), op.lanes(op.block(single, 0, 0, 1, 1))


def test_an_array_has_the_lanes_of_its_blocks():
    arrays = np.ones((1, 1), np.float32), np.ones(3)
    wanted = LANES["float32"], LANES["float64"], LANES["float32"]
    assert numba.njit(_lanes_of_arrays)(*arrays) == _lanes_of_arrays(*arrays) == wanted


def _more_shapes(a, out, count):
    whole = op.block(out, 0, 0, out.shape[0], out.shape[1])
    inner = op.block(a, 1, 2, 5, 30)
    kinds = op.is_gapless(whole) + 10 * op.is_gapless(inner) + 100 * op.is_gapless(op.block(inner, 1, 2, 1, 5))
    op.store(out, 0, 0, op.fill(out, kinds + 1000 * op.narrow_lanes(inner)))


def _each_pair(operation):
    """operation(u, v) of the special numbers, for 13 ways to pair them."""

    def pairs(a, out, count):
        for i in range(13):
            op.store(out, i, 2, operation(op.load(a, 0, i), op.load(a, 0, 2 * i + 1)))

    return pairs


def _selections(a, out, count):
    u, v, w = op.load(a, 0, 0), op.load(a, 1, 0), op.load(a, 2, 0)
    op.store(out, 0, 2, op.where_equal(u, 1.5, v, w))
    op.store(out, 1, 2, op.where_equal(u, 0, 0.1, -2))
    op.store(out, 2, 2, op.where_equal(u, u, v, 7.0))
    op.store(out, 3, 2, op.where_equal(u, np.inf, 1.0, u))
    op.store(out, 4, 2, op.where_equal(v, count, 1.0, 0.0))
    op.store(out, 5, 2, op.maximum(u, 0.1))
    op.store(out, 6, 2, op.maximum(-2, u))
    op.store(out, 7, 2, op.maximum(np.nan, v))
    op.store(out, 8, 2, op.minimum(u, 0.1))
    op.store(out, 9, 2, op.minimum(-2, u))


def _exponents(a, out, count):
    u = op.absolute(op.load(a, 1, 0)) * 1e30
    op.store(out, 0, 2, op.exponent(u))
    op.store(out, 1, 2, op.without_exponent(u, op.exponent(u)))
    op.store(out, 2, 2, op.exponent(op.load(a, 0, 0)))
    op.store(out, 3, 2, op.without_exponent(op.load(a, 0, 0), op.exponent(op.load(a, 0, 0))))


def _prefetches(a, out, count):
    op.prefetch(a, 0, 1)
    op.prefetch(a, 1 << 30, 2)
    op.prefetch(a, -(1 << 40), 4)


CASES = {
    # moving
    "load, store": lambda a, out, count: op.store(out, 1, 2, op.load(a, 1, 3)),
    "load_some": lambda a, out, count: op.store(out, 1, 2, op.load_some(a, 1, 3, count)),
    "store_some": lambda a, out, count: op.store_some(out, 1, 2, op.load(a, 1, 3), count),
    "broadcast": lambda a, out, count: op.store(out, 1, 2, op.broadcast(a, 4, 5)),
    "fill": lambda a, out, count: op.store(out, 1, 2, op.fill(a, 0.1)),
    "fill with an integer": lambda a, out, count: op.store(out, 1, 2, op.fill(a, count)),
    "keep": lambda a, out, count: op.store(out, 1, 2, op.keep(op.load(a, 0, 3), count)),
    "block of a block, shape, lanes": _shapes,
    "prefetch, also of what is not there": _prefetches,
    # arithmetic
    "+ - * /": _add_arithmetic,
    "multiply_add": _multiply_adds,
    "where_signed": lambda a, out, count: op.store(out, 1, 2, op.where_signed(op.load(a, 0, 0), op.load(a, 1, 0), 0.1)),
    "absolute": lambda a, out, count: op.store(out, 1, 2, op.absolute(op.load(a, 0, 0))),
    "square_root": lambda a, out, count: op.store(out, 1, 2, op.square_root(op.load(a, 0, 0))),
    "copy_sign": _each_pair(op.copy_sign),
    "maximum": _each_pair(op.maximum),
    "minimum": _each_pair(op.minimum),
    "maximum, minimum, where_equal with numbers": _selections,
    "exponent, without_exponent": _exponents,
    "- of specials": lambda a, out, count: op.store(out, 1, 2, -op.load(a, 0, 0)),
    "where_negative": lambda a, out, count: op.store(
        out, 1, 2, op.where_negative(op.load(a, 0, 0), op.load(a, 1, 0), op.load(a, 2, 0))
    ),
    "where_negative of numbers": lambda a, out, count: op.store(
        out, 1, 2, op.where_negative(op.load(a, 0, 0), 0.1, -2)
    ),
    "sum_lanes": lambda a, out, count: op.store(out, 1, 2, op.fill(a, op.sum_lanes(op.load(a, 1, 3)))),
    # tiles
    "add_matrix, store_tile": lambda a, out, count: op.store_tile(
        out, 1, 2, op.add_matrix(op.zero_tile(a, 3, 2), a, 2, 3, 1)
    ),
    "a tile of one vector": lambda a, out, count: op.store_tile(
        out, 1, 2, op.add_matrix(op.zero_tile(a, 1, 1), a, 2, 3, 1)
    ),
    "add_outer": lambda a, out, count: op.store_tile(
        out, 1, 2, op.add_outer(op.add_matrix(op.zero_tile(a, 5, 2), a, 2, 3, 1), op.scalars(a), 3, a, 7, 6)
    ),
    "add_outer of a transpose": lambda a, out, count: op.store_tile(
        out, 1, 2, op.add_outer(op.add_matrix(op.zero_tile(a, 5, 2), a, 2, 3, 1), op.scalars_of_t(a), 3, a, 7, 6)
    ),
    "zero_tile": lambda a, out, count: op.store_tile(out, 1, 2, op.zero_tile(a, 3, 2)),
    "add_dots": lambda a, out, count: op.store_tile(
        out,
        1,
        2,
        op.add_dots(
            op.add_matrix(op.zero_tile(a, 5, 2), a, 2, 3, 1), a, 3, op.block(a, 1, 2, 9, 7 + op.lanes(a)), 4, 7
        ),
    ),
    "add_dots_some": lambda a, out, count: op.store_tile(
        out,
        1,
        2,
        op.add_dots_some(op.add_matrix(op.zero_tile(a, 5, 2), a, 2, 3, 1), a, 3, op.block(a, 1, 2, 9, 7 + count), 4, 7),
    ),
    "add_sums": lambda a, out, count: op.add_sums(out, 1, 2, op.add_matrix(op.zero_tile(a, 3, 2), a, 2, 3, 1)),
    "add_matrix that is not kept": lambda a, out, count: op.store_tile(
        out, 1, 2, op.add_matrix(op.add_matrix(op.zero_tile(a, 3, 2), a, 2, 3, 1), a, 5, 3, 0)
    ),
    "add_sums of four vectors": lambda a, out, count: op.add_sums(
        out, 1, 2, op.add_matrix(op.zero_tile(a, 2, 4), a, 2, 3, 1)
    ),
    "narrow_lanes, is_gapless": _more_shapes,
    "transpose_square": lambda a, out, count: op.transpose_square(a, 1, 2, out),
}


def numbers(rows, columns, dtype):
    """Eighths from -2 to 2, without 0; the first row special."""
    rng = np.random.default_rng([rows, columns])
    matrix = rng.integers(1, 17, (rows, columns)) * rng.choice([-0.125, 0.125], (rows, columns))
    matrix = matrix.astype(dtype)
    matrix[0] = np.resize(np.array(SPECIALS), columns).astype(dtype)
    return matrix


def left_behind(call, a, out, count):
    """The whole memory of `out` after a call, as bytes; around `a` lies nan, around `out` lies GUARD."""
    source, target = surrounded(a, 2, 3, np.nan), surrounded(out, 1, 5, GUARD)
    call(source, target, *a.shape, *out.shape, count)
    return target.tobytes()


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", CASES)
def test_compiled_operations_equal_their_twins_and_touch_nothing_beside(dtype, name):
    lanes = LANES[dtype.name]
    a = numbers(3 * lanes + 9, 5 * lanes + 40, dtype)
    out = np.full((6 * lanes + 10, 4 * lanes + 20), 0.5, dtype)
    compiled, twin = (on_blocks(CASES[name], jit) for jit in (numba.njit, as_it_is))
    for count in [-1, 0, 1, lanes - 1, lanes, lanes + 1, 1 << 40]:
        assert left_behind(compiled, a, out, count) == left_behind(twin, a, out, count), f"count {count}"


def _add_right_edge(a, out, column):
    """The tile at the right edge of a: what is not in `a` adds nothing."""
    op.store_tile(
        out,
        1,
        2,
        op.add_outer_some(op.add_matrix(op.zero_tile(a, 3, 2), a, 2, 3, 1), op.scalars(a), 3, a, column, 6),
    )


def test_an_outer_product_reads_nothing_behind_the_last_column(dtype):
    lanes = LANES[dtype.name]
    a, out = numbers(9, 5 * lanes, dtype), np.full((9, 3 * lanes), 0.5, dtype)
    compiled, twin = (on_blocks(_add_right_edge, jit) for jit in (numba.njit, as_it_is))
    for column in range(2 * lanes, 5 * lanes):
        assert left_behind(compiled, a, out, column) == left_behind(twin, a, out, column), f"from column {column}"


def _add_lower_edge(a, out, rows):
    """A tile of four rows over the last `rows` rows of two blocks."""
    c, left = op.block(out, 1, 2, rows, out.shape[1] - 2), op.block(a, 3, 0, rows, a.shape[1])
    tile = op.add_outer_some(op.zero_tile(c, 4, 1), op.scalars(left), 0, a, 5, 6)
    op.store_tile_of_some_rows(c, 0, 0, op.add_matrix_of_some_rows(tile, c, 0, 0, 1))


def _add_lower_edge_of_whole_vectors(a, out, rows):
    c, left = op.block(out, 1, 2, rows, out.shape[1] - 2), op.block(a, 3, 0, rows, a.shape[1])
    tile = op.add_outer_of_some_rows(op.zero_tile(c, 4, 1), op.scalars(left), 0, a, 5, 6)
    op.store_tile_of_some_rows(c, 0, 0, op.add_matrix_of_some_rows(tile, c, 0, 0, 1))


@pytest.mark.parametrize("edge", [_add_lower_edge, _add_lower_edge_of_whole_vectors])
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_an_outer_product_changes_nothing_below_the_last_row(dtype, rows, edge):
    lanes = LANES[dtype.name]
    a, out = numbers(9, 2 * lanes + 5, dtype), np.full((6, lanes + 4), 0.5, dtype)
    wanted = out.copy()
    wanted[1 : 1 + rows, 2 : 2 + lanes] += np.outer(a[3 : 3 + rows, 6], a[6, 5 : 5 + lanes])  # exact, in 64ths
    for jit in (numba.njit, as_it_is):
        assert left_behind(on_blocks(edge, jit), a, out, rows) == surrounded(wanted, 1, 5, GUARD).tobytes()


def _add_dots_at_edge(a, out, count):
    """At the right and lower edges of b: what is not there adds nothing, or counts as the last row."""
    b = op.block(a, 1, 2, 4, 2 * op.lanes(a) + 3)
    for first in range(4):
        for k in range(0, b.shape[1], op.lanes(a)):
            tile = op.zero_tile(a, 3, 2)
            if k + op.lanes(a) <= b.shape[1]:
                tile = op.add_dots(tile, a, 3, b, first, k)
            else:
                tile = op.add_dots_some(tile, a, 3, b, first, k)
            op.store_tile(out, 3 * first, k, tile)


def test_a_product_of_rows_reads_nothing_behind_the_last_column_and_row(dtype):
    lanes = LANES[dtype.name]
    a, out = numbers(9, 5 * lanes + 9, dtype), np.full((12, 5 * lanes), 0.5, dtype)
    compiled, twin = (on_blocks(_add_dots_at_edge, jit) for jit in (numba.njit, as_it_is))
    assert left_behind(compiled, a, out, 0) == left_behind(twin, a, out, 0)


def _transpose_edge(a, out, at):
    op.transpose_some(a, at, 2 * at, out)


def _transpose_edge_of_whole_columns(a, out, at):
    op.transpose_some_columns(a, at, 2 * at, out)


@pytest.mark.parametrize("edge", [_transpose_edge, _transpose_edge_of_whole_columns])
@pytest.mark.parametrize("at", [0, 3])
def test_transposing_some_stays_inside_for_every_residue(dtype, at, edge):
    lanes = LANES[dtype.name]
    least = at + (1 if edge is _transpose_edge else lanes)
    compiled, twin = (on_blocks(edge, jit) for jit in (numba.njit, as_it_is))
    for rows in range(least, at + lanes + 3):
        for columns in range(2 * at + 1, 2 * at + lanes + 3):
            a, out = numbers(rows, columns, dtype), np.full((columns, rows), 0.5, dtype)
            assert left_behind(compiled, a, out, at) == left_behind(twin, a, out, at), f"{rows} x {columns}"


def test_transposing_some_rows_writes_nothing_behind_the_vectors_of_the_last_one(dtype):
    lanes, narrow = LANES[dtype.name], 16 // dtype.itemsize

    def transpose(a, out, count):
        op.transpose_some_rows(a, 0, 0, out)

    for rows in range(1, lanes):
        a, out = numbers(rows, narrow, dtype), np.full((narrow, 2 * lanes), 0.5, dtype)
        for jit in (numba.njit, as_it_is):
            left = np.frombuffer(left_behind(on_blocks(transpose, jit), a, out, 0), dtype).copy()
            left = left.reshape(surrounded(out, 1, 5, GUARD).shape)
            lost = left[1 : 1 + narrow, 5 + rows : 5 + lanes]
            lost[:] = 0.5  # whatever it is
            expected = out.copy()
            expected[:, :rows] = a.T
            assert left.tobytes() == surrounded(expected, 1, 5, GUARD).tobytes(), f"{rows} rows"


def test_squares_of_some_columns_make_a_whole_square(dtype):
    lanes = LANES[dtype.name]
    square, out = numbers(lanes, lanes, dtype), np.zeros((lanes, lanes), dtype)

    def by_columns(a, out, count):
        for column in range(0, lanes, op.narrow_lanes(a)):
            op.transpose_some(a, 0, column, out)

    def by_whole_columns(a, out, count):
        for column in range(0, lanes, op.narrow_lanes(a)):
            op.transpose_some_columns(a, 0, column, out)

    def at_once(a, out, count):
        op.transpose_square(a, 0, 0, out)

    for transpose in (at_once, by_columns, by_whole_columns):
        for jit in (numba.njit, as_it_is):
            left = np.frombuffer(left_behind(on_blocks(transpose, jit), square, out, 0), dtype)
            assert left.tobytes() == surrounded(square.T, 1, 5, GUARD).tobytes()


def _views_of_memory(memory, out, start, rows, columns):
    matrix = op.matrix_at(memory, start, rows, columns)
    row = op.as_row(matrix)
    target = op.block(out, 0, 0, 3, out.shape[1])
    op.store(target, 0, 0, op.fill(target, matrix.shape[0] + 100 * matrix.shape[1]))
    op.store(target, 1, 0, op.fill(target, row.shape[0] + 100 * row.shape[1]))
    op.store(target, 2, 0, op.load_some(row, 0, columns + 1, columns - 1))  # from the second row of the matrix


def test_memory_seen_as_a_matrix_and_as_one_row(dtype):
    memory = np.arange(200, dtype=dtype)
    got, wanted = np.zeros((2, 3, LANES[dtype.name]), dtype)
    for rows, columns, start in [(2, 3, 0), (5, 7, 11), (3, 2 * LANES[dtype.name] + 1, 90)]:
        numba.njit(_views_of_memory)(memory, got, start, rows, columns)
        _views_of_memory(memory, wanted, start, rows, columns)
        assert_same_bits(got, wanted)


def _overstep(memory, out, start, rows, columns):
    matrix = op.overstep(op.block(memory.reshape(10, 20), 0, start, rows, columns), columns + 7)
    target = op.block(out, 0, 0, rows + 1, out.shape[1])
    for row in range(rows):
        op.store(target, row, 0, op.load_some(matrix, row, columns - 1, 5))
    op.store(target, rows, 0, op.fill(target, matrix.shape[0] + 100 * matrix.shape[1]))


def test_rows_that_are_overstepped_go_on_with_the_next_ones(dtype):
    memory = np.arange(200, dtype=dtype)
    got, wanted = np.zeros((2, 4, LANES[dtype.name]), dtype)
    for rows, columns, start in [(1, 3, 0), (3, 17, 3), (2, 9, 11)]:
        numba.njit(_overstep)(memory, got, start, rows, columns)
        _overstep(memory, wanted, start, rows, columns)
        assert_same_bits(got, wanted)
        np.testing.assert_array_equal(wanted[0, :2], memory[start + columns - 1 : start + columns + 1])


def _add_products(values, totals):
    vector, total = op.block(values, 0, 0, 1, values.shape[1]), op.block(totals, 0, 0, 3, totals.shape[1])
    op.store(total, 1, 0, op.add_products(op.load(total, 0, 0), op.load(vector, 0, 0), op.load(vector, 0, 0)))
    op.store(total, 2, 0, op.add_products(op.zero_sums(values), op.load(vector, 0, 0), op.load(vector, 0, 0)))


def test_products_are_added_in_float64(dtype):
    """1 + 1e-6 squared needs more than the 24 bits of float32; 1e30 squared is no float32."""
    values = np.resize(np.array([1 + 2.0**-20, 1e30, -3.0, 2.0**-60], dtype), (1, LANES[dtype.name]))
    got, wanted = np.ones((2, 3, LANES["float64"]))
    numba.njit(_add_products)(values, got)
    _add_products(values, wanted)
    np.testing.assert_allclose(got, wanted, rtol=2e-16, atol=0)
    assert got[1].sum() == pytest.approx(LANES["float64"] + np.sum(values.astype(np.float64) ** 2), rel=1e-15)
    assert got[2].sum() == pytest.approx(np.sum(values.astype(np.float64) ** 2), rel=1e-15)


def _powers(values, out):
    a, target = op.block(values, 0, 0, 1, values.shape[1]), op.block(out, 0, 0, 1, values.shape[1])
    for i in range(0, values.shape[1], op.lanes(a)):
        op.store_some(target, 0, i, op.power_of_two(op.load_some(a, 0, i, 1 << 40)), values.shape[1] - i)


def test_power_of_two_is_exact_for_every_normal_exponent_and_0_below(dtype):
    info = np.finfo(dtype)
    exponents = np.resize(np.arange(info.minexp - 1, info.maxexp), (1, 4096 // 8 * 8))
    shifted = (exponents + (info.maxexp - 1) + 1.5 * 2.0**info.nmant).astype(dtype)
    wanted = np.where(exponents < info.minexp, 0, np.ldexp(np.ones((), dtype), exponents.astype(np.int32)))
    for call in (numba.njit(_powers), _powers):
        got = np.zeros_like(shifted)
        call(shifted, got)
        assert_same_bits(got, wanted)


def _splits(values, out):
    a, target = op.block(values, 0, 0, 1, values.shape[1]), op.block(out, 0, 0, 2, values.shape[1])
    for i in range(0, values.shape[1], op.lanes(a)):
        vector, count = op.load_some(a, 0, i, values.shape[1] - i), values.shape[1] - i
        shifted = op.exponent(vector)
        op.store_some(target, 0, i, shifted, count)
        op.store_some(target, 1, i, op.without_exponent(vector, shifted), count)


def test_every_normal_number_is_split_at_the_square_root_of_two(dtype):
    info, root = np.finfo(dtype), dtype.type(0.5**0.5)
    n = np.arange(info.minexp + 1, info.maxexp)
    fractions = np.array([root, 0.75, 1.0, 1.25, np.nextafter(2 * root, dtype.type(0))], dtype)
    values = np.append(np.ldexp(fractions[:, None], n), [info.tiny, info.max]).astype(dtype)[None]
    n = np.append(np.tile(n, fractions.size), [info.minexp, info.maxexp])
    wanted = np.stack([(n + 1.5 * 2.0**info.nmant).astype(dtype), np.ldexp(values[0], -n)])
    for call in (numba.njit(_splits), _splits):
        got = np.zeros_like(wanted)
        call(values, got)
        assert_same_bits(got, wanted)


def _functions(values, out):
    a, target = op.block(values, 0, 0, 1, values.shape[1]), op.block(out, 0, 0, 4, values.shape[1])
    for i in range(0, values.shape[1], op.lanes(a)):
        op.store(target, 0, i, exp_of_negative(-op.absolute(op.load(a, 0, i))))
        op.store(target, 1, i, sigmoid(op.load(a, 0, i)))
        op.store(target, 2, i, tanh(op.load(a, 0, i)))
        op.store(target, 3, i, log(op.load(a, 0, i)))


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_compiled_functions_equal_their_twins_but_for_fused_roundings(dtype):
    """Where the twin rounds r = x - n ln 2 twice it is off by |r| units more than the machine code."""
    values = np.concatenate([np.linspace(-60, 60, 2032), np.resize(SPECIALS, 16)])[None].astype(dtype)
    got, wanted = np.zeros((2, 4, values.size), dtype)
    numba.njit(_functions)(values, got)
    _functions(values, wanted)
    np.testing.assert_allclose(got, wanted, rtol=4 * np.finfo(dtype).eps, atol=2 * np.finfo(dtype).smallest_subnormal)


# ---------------------------------------------------------------------------------------------- at the end of memory


def between_forbidden_pages(array, at_end):
    """A copy after (or before) which the next byte cannot be read or written: the process would die."""
    page = mmap.PAGESIZE
    inside = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, inside + 2 * page)
    whole = np.frombuffer(memory, np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for start in (0, page + inside):
        assert protect(whole.ctypes.data + start, page, 0) == 0
    start = page + (inside - array.nbytes if at_end else 0)
    copy = whole[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


# Shapes that leave residues of rows, inputs and outputs in every schedule: one vector, shards, stretches.
SHAPES = [(1, 1, 1), (3, 2, 2), (5, 17, 3), (65, 33, 10), (300, 20, 7), (131, 700, 190)]


def train_at_the_end_of_memory(*dtypes):
    """Run in a process of its own, which dies if a byte beside x, y, w or b is touched."""
    for dtype in dtypes:
        for shape in SHAPES:
            rows, inputs, outputs = shape
            rng = np.random.default_rng(shape)
            sizes = [(rows, inputs), (rows, outputs), (inputs, outputs), (outputs,)]
            layer = [rng.uniform(-1, 1, size).astype(dtype) / inputs**0.5 for size in sizes]
            for at_end in (False, True):
                x, y, w, b = (between_forbidden_pages(array, at_end) for array in layer)
                assert_exact(fastbp, x, y, w, b)
                after = fastbp.gradients(x, y, w, b)
                fastbp.step(x, y, w, b, learning_rate=0.5)
                fastbp.backward(x, between_forbidden_pages(fastbp.forward(x, w, b), at_end), y, w, b)
                fastbp.train(x, y, w, b, steps=2)
                assert np.isfinite(after.w).all()


OTHER_WIDTHS = [str(bits) for bits in WIDTHS if bits != REGISTER_BITS]
NO_MPROTECT = pytest.mark.skipif(not hasattr(ctypes.CDLL(None) if os.name == "posix" else None, "mprotect"), reason="")


@NO_MPROTECT
@pytest.mark.jit_only
@pytest.mark.parametrize("bits", [*OTHER_WIDTHS, str(REGISTER_BITS)])
def test_no_byte_beside_the_arrays_is_touched_at_any_register_width(bits):
    """Results are exact as well. Both dtypes at the host's width; one at another, for compiling takes long."""
    one = {"128": ["float32"], "256": ["float64"], "512": ["float32"]}
    dtypes = one[bits] if bits in OTHER_WIDTHS else list(LANES)
    script = f"import test_tiles as tests; tests.train_at_the_end_of_memory(*{dtypes})"
    in_a_process("-X", "faulthandler", "-c", script, FASTBP_REGISTER_BITS=bits)


@pytest.mark.jit_only
@pytest.mark.skipif("FASTBP_REGISTER_BITS" in os.environ, reason="this is the run at another width")
@pytest.mark.parametrize("bits", OTHER_WIDTHS)
def test_operations_equal_their_twins_at_any_register_width(bits):
    tests = "-k", "not width"
    said = in_a_process("-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, *tests, FASTBP_REGISTER_BITS=bits)
    assert " passed" in said


# ------------------------------------------------------------------------------------------------------------ records


@record
class _Inner(NamedTuple):
    rows: int
    columns: int


@record
class _Outer(NamedTuple):
    x: Any  # float64 (rows, columns)
    rate: float
    inner: _Inner


@numba.njit
def _of_inner(inner, x):
    return inner.columns * x[inner.rows - 1, inner.columns - 1]


@numba.njit
def _of_outer(outer):
    return outer.rate * _of_inner(outer.inner, outer.x)


def test_a_record_is_a_single_argument_and_holds_what_its_named_tuple_holds():
    x = np.arange(6.0).reshape(2, 3)
    outer = _Outer(x, 0.5, _Inner(rows=2, columns=3))
    assert _of_outer(outer) == 7.5  # 0.5 * 3 * x[1, 2]
    arguments = cpu_target.target_context.get_arg_packer([numba.typeof(outer)]).argument_types
    assert len(arguments) == 1
