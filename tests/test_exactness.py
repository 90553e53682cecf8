"""How far a result may be from the truth, derived from the rounding errors of its formula; and that none is farther.

With u the unit roundoff of the dtype (half the distance from 1 to the next number), a sum of n products is off by
no more than gamma(n) = n u / (1 - n u) times the sum of their magnitudes, whatever the order of the sum and whether
or not products are fused with additions (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
`Bounds` follows that through the layer. No tolerance below is chosen: all come from there, or are exact.
"""

from dataclasses import dataclass

import mpmath
import numpy as np
import pytest
from conftest import COMPILED, LAYOUTS
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from planning import WAYS, gone_through

import fastbp
from fastbp import reference

# The sigmoid is within 4 units in the last place, 8 u, of the truth: NumPy's exp in float32 is within 2.5 units, the
# addition and the division add half a unit each. `test_sigmoid_is_within_four_units` holds both engines to it.
SIGMOID_UNITS = 8


def unit(dtype):
    return float(np.finfo(dtype).eps) / 2


def gamma(n, u):
    return n * u / (1 - n * u)


@dataclass
class Bounds:
    """How far y_pred, both gradients and the cost may be from the truth, when computed in `dtype`; in float64."""

    y_pred: np.ndarray
    w: np.ndarray
    b: np.ndarray
    cost: float

    @classmethod
    def of(cls, x, y, w, b, *, bias_reduction="mean", dtype):
        u, tiny = unit(dtype), float(np.finfo(dtype).tiny)  # every operation may underflow: tiny each
        x, y, w, b = (np.asarray(array, np.float64) for array in (x, y, w, b))
        rows, inputs = x.shape
        g = reference.forward(x, w, b)

        # a = x w + b: inputs products, and b.    y_pred = g(a), where |g'| <= 1/4
        a_error = gamma(inputs + 1, u) * (abs(x) @ abs(w) + abs(b)) + inputs * tiny
        g_error = a_error / 4 + SIGMOID_UNITS * u * (g + a_error / 4) + tiny

        # slope = g (1 - g), where |d slope / d g| <= 1: two roundings, of numbers that g bounds
        slope = g * (1 - g)
        slope_error = g_error * (1 + g_error) + 2 * u * (g + g_error) + tiny

        # residual = 2 (g - y): one rounding, the factor 2 is exact
        residual = 2 * abs(g - y)
        residual_error = 2 * g_error + u * (residual + 2 * g_error)

        # delta = slope residual: one rounding, a second where the 2 comes elsewhere
        delta = slope * residual
        delta_error = slope * residual_error + slope_error * (residual + residual_error) + tiny
        delta_error += 2 * u * (delta + delta_error)

        # dC/dw = x^T delta.    dC/db = sum of delta, and a division for its mean
        w_error = abs(x).T @ (delta_error + gamma(rows, u) * (delta + delta_error)) + rows * tiny
        b_error = np.sum(delta_error + gamma(rows + 1, u) * (delta + delta_error), axis=0)
        b_error /= rows if bias_reduction == "mean" else 1

        # C = sum of the residuals' squares, summed in float64
        half, half_error = residual / 2, residual_error / 2
        off = 2 * half * half_error + half_error**2
        cost_error = np.sum(off + gamma(y.size + 2, unit(np.float64)) * (half**2 + off)) + y.size * tiny
        return cls(g_error, w_error, b_error, float(cost_error))


def assert_within(got, wanted, bound, what=""):
    """|got - wanted| <= bound, elementwise; says by how many bounds it is off."""
    off = np.abs(np.asarray(got, np.float64) - np.asarray(wanted, np.float64)) / bound
    assert np.all(off <= 1), f"{what} is off by {np.max(off):.3g} times its bound"


def assert_exact(engine, x, y, w, b, *, bias_reduction="mean"):
    """Outputs, gradients and cost of `engine` are as near to those of the reference in float64 as rounding allows."""
    exact = [np.asarray(array, np.float64) for array in (x, y, w, b)]
    truth = reference.gradients(*exact, bias_reduction=bias_reduction)
    own = Bounds.of(*exact, bias_reduction=bias_reduction, dtype=w.dtype)
    reference_own = Bounds.of(*exact, bias_reduction=bias_reduction, dtype=np.float64)
    shape = f"of {x.shape} -> {w.shape[1]}, {w.dtype}"

    y_pred = engine.forward(x, w, b)
    assert y_pred.dtype == w.dtype.newbyteorder("=")
    wanted = reference.forward(exact[0], *exact[2:])
    assert_within(y_pred, wanted, own.y_pred + reference_own.y_pred, f"y_pred {shape}")

    got = engine.gradients(x, y, w, b, bias_reduction=bias_reduction)
    assert (got.w.dtype, got.b.dtype, type(got.cost)) == (y_pred.dtype, y_pred.dtype, float)
    for name in ("w", "b", "cost"):
        bound = getattr(own, name) + getattr(reference_own, name)
        assert_within(getattr(got, name), getattr(truth, name), bound, f"{name} {shape}")


# ------------------------------------------------------------------------------------------- the sigmoid and the cost


@pytest.mark.parametrize("name", ["sigmoid", "sigmoid_gradient"])
def test_sigmoid_is_within_four_units(engine, dtype, name):
    rng = np.random.default_rng(1)
    a = np.concatenate([np.linspace(-80, 80, 641), rng.normal(0, 3, 300), rng.normal(0, 1e-3, 50)]).astype(dtype)
    truth = np.array([_sigmoid_in_50_digits(float(value)) for value in a])
    bound = SIGMOID_UNITS * unit(dtype) * truth
    got = getattr(engine, name)(a)
    if name == "sigmoid_gradient":  # g (1 - g) moves by as much as g does, and is rounded twice
        truth = np.array([_sigmoid_gradient_in_50_digits(float(value)) for value in a])
        bound += 2 * unit(dtype) * (truth + bound)
    assert got.dtype == dtype
    assert_within(got, truth, bound, name)


def _sigmoid_in_50_digits(a):
    with mpmath.workdps(50):
        return float(1 / (1 + mpmath.exp(-mpmath.mpf(a))))


def _sigmoid_gradient_in_50_digits(a):
    with mpmath.workdps(50):
        e = mpmath.exp(-mpmath.mpf(a))
        return float(e / (1 + e) ** 2)


@pytest.mark.parametrize(("a", "g"), [(0, 0.5), (np.inf, 1), (-np.inf, 0), (1e30, 1), (-1e30, 0), (np.nan, np.nan)])
def test_sigmoid_at_its_limits(engine, dtype, a, g):
    got = engine.sigmoid(np.full(19, a, dtype))  # more than a vector, and not a multiple of one
    np.testing.assert_array_equal(got, np.full(19, g, dtype), strict=True)


@pytest.mark.parametrize("a", [np.inf, -np.inf, 1e30, -1e30])
def test_sigmoid_is_flat_at_its_limits(engine, dtype, a):
    np.testing.assert_array_equal(engine.sigmoid_gradient(np.full(19, a, dtype)), np.zeros(19, dtype), strict=True)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (7,), (3, 5), (2, 3, 4), (2, 0, 4)], ids=str)
def test_sigmoid_keeps_any_shape(engine, dtype, shape):
    a = np.linspace(-2, 2, int(np.prod(shape)), dtype=dtype).reshape(shape)
    for name in ("sigmoid", "sigmoid_gradient"):
        got = getattr(engine, name)(a)
        assert (got.shape, got.dtype) == (shape, dtype)
        one_by_one = [float(getattr(engine, name)(value.reshape(1))[0]) for value in a.ravel()]
        units = 2 * SIGMOID_UNITS * unit(dtype)
        np.testing.assert_allclose(np.ravel(got), one_by_one, rtol=0, atol=units)


def test_cost_is_exact_where_the_numbers_are(engine, dtype):
    y_pred, y = np.array([[0.5, 0.25], [1.0, -3.0]], dtype), np.array([[1, 0], [0, 1]])
    assert engine.cost(y_pred, y) == 0.25 + 0.0625 + 1 + 16
    gradient = engine.cost_gradient(y_pred, y.astype(dtype))
    np.testing.assert_array_equal(gradient, np.array([[-1, 0.5], [2, -8]], dtype), strict=True)


@pytest.mark.parametrize("scalar", [float, np.array, np.float64])
def test_cost_gradient_of_scalars_is_a_scalar(engine, scalar):
    gradient = engine.cost_gradient(scalar(2.5), scalar(1.0))
    assert (gradient, np.shape(gradient)) == (3.0, ())


def test_cost_of_float32_is_summed_in_float64(engine):
    y_pred = np.full((1000, 100), 0.1, np.float32)  # in float32 the sum of these is off by 1e-6 or more
    truth = y_pred.size * float(np.float32(0.1)) ** 2
    assert engine.cost(y_pred, np.zeros_like(y_pred)) == pytest.approx(truth, rel=gamma(y_pred.size, 2.0**-53), abs=0)


# ------------------------------------------------------------------------------------------ drawn shapes and layouts

LONGEST = 40 if COMPILED else 12
in_float32 = st.floats(-4, 4, width=32)  # what float32 holds, float64 holds too: both dtypes get the same numbers


@st.composite
def drawn_layers(draw, longest=LONGEST, x=in_float32, y=in_float32, w=in_float32, b=in_float32):
    """x, y, w, b in float64, of any shape."""
    rows, inputs, outputs = (draw(st.integers(1, longest)) for _ in range(3))
    shapes = (rows, inputs), (rows, outputs), (inputs, outputs), (outputs,)
    scaled = [x, y, w, b]
    scaled[2] = w(inputs) if callable(w) else w
    return tuple(draw(arrays(np.float64, shape, elements=e)) for shape, e in zip(shapes, scaled, strict=True))


any_layout = st.sampled_from(sorted(LAYOUTS))
any_reduction = st.sampled_from(["mean", "sum"])


@given(layer=drawn_layers(), layouts=st.tuples(any_layout, any_layout), bias_reduction=any_reduction)
def test_gradients_are_as_near_the_reference_as_rounding_allows(engine, dtype, layer, layouts, bias_reduction):
    x, y, w, b = (array.astype(dtype) for array in layer)
    x, y = (LAYOUTS[layout](array) for layout, array in zip(layouts, (x, y), strict=True))
    assert_exact(engine, x, y, w, b, bias_reduction=bias_reduction)


# Where nothing cancels and no sigmoid saturates (|a| <= 2, and y outside of what a sigmoid reaches), the derived
# bound is below 1e-12 of sum |x| |delta|: there the gradients in float64 are held to that round number.
moderate = {
    "x": st.floats(-1, 1),
    "y": st.floats(-2, 0) | st.floats(1, 2),
    "w": lambda inputs: st.floats(-1.5 / inputs, 1.5 / inputs),
    "b": st.floats(-0.5, 0.5),
}


@given(layer=drawn_layers(**moderate), bias_reduction=any_reduction)
def test_gradients_in_float64_are_within_1e_12_of_their_scale(engine, layer, bias_reduction):
    x, y, w, b = layer
    delta = np.abs(reference.sigmoid_gradient(x @ w + b) * reference.cost_gradient(reference.forward(x, w, b), y))
    scale_b = delta.mean(axis=0) if bias_reduction == "mean" else delta.sum(axis=0)
    wanted = reference.gradients(x, y, w, b, bias_reduction=bias_reduction)
    got = engine.gradients(x, y, w, b, bias_reduction=bias_reduction)
    tiny = x.shape[0] * np.finfo(np.float64).tiny  # where products underflow
    assert_within(got.w, wanted.w, 1e-12 * (abs(x).T @ delta) + tiny, "dC/dw")
    assert_within(got.b, wanted.b, 1e-12 * scale_b + tiny, "dC/db")
    assert got.cost == pytest.approx(wanted.cost, rel=1e-12, abs=0)


@given(layer=drawn_layers(**moderate))
def test_1e_12_follows_from_the_derived_bound(layer):
    x, y, w, b = layer
    delta = np.abs(reference.sigmoid_gradient(x @ w + b) * reference.cost_gradient(reference.forward(x, w, b), y))
    bounds = Bounds.of(x, y, w, b, dtype=np.float64)
    tiny = 10 * x.shape[0] * np.finfo(np.float64).tiny
    assert np.all(2 * bounds.w <= 1e-12 * (abs(x).T @ delta) + tiny)  # one bound for each of the two results
    assert np.all(2 * bounds.b <= 1e-12 * delta.mean(axis=0) + tiny)


# -------------------------------------------------------------------------------------------------- central differences

# Multiples of 1/256: sums and differences of 80 digits hold them, and all that is done to them, with room to spare.
grid = st.integers(-1024, 1024).map(lambda n: n / 256)


@given(layer=drawn_layers(4, grid, grid, grid, grid))
def test_gradients_are_the_central_differences_of_the_cost(engine, dtype, layer):
    x, y, w, b = (array.astype(dtype) for array in layer)
    got = engine.gradients(x, y, w, b, bias_reduction="sum")  # the exact gradient of the summed cost
    bounds = Bounds.of(x, y, w, b, bias_reduction="sum", dtype=dtype)
    wanted_w, wanted_b = central_differences(*(array.tolist() for array in layer))
    assert_within(got.w, wanted_w, bounds.w, "dC/dw")
    assert_within(got.b, wanted_b, bounds.b, "dC/db")


@given(layer=drawn_layers(4, grid, grid, grid, grid))
def test_the_default_bias_gradient_is_the_mean_over_the_rows(engine, dtype, layer):
    x, y, w, b = (array.astype(dtype) for array in layer)
    mean, total = (engine.gradients(x, y, w, b, bias_reduction=rule) for rule in ("mean", "sum"))
    bounds = Bounds.of(x, y, w, b, bias_reduction="sum", dtype=dtype)
    assert_within(mean.b * dtype.type(len(x)), total.b, 2 * bounds.b, "dC/db")
    np.testing.assert_array_equal(mean.w, total.w)
    assert mean.cost == total.cost


def central_differences(x, y, w, b):
    """(C(p + h) - C(p - h)) / 2h for every weight and bias p, in 80 digits: off by h^2 = 1e-40, and 1e-60 to round."""
    with mpmath.workdps(80):
        h = mpmath.mpf(10) ** -20

        def difference(vector, j):
            """The slope of the cost along vector[j]. Only column j of the outputs moves with it."""
            held, vector[j] = vector[j], vector[j] + h
            above = column_cost(j)
            vector[j] = held - h
            below = column_cost(j)
            vector[j] = held
            return float((above - below) / (2 * h))

        def column_cost(j):
            total = mpmath.mpf(0)
            for x_row, y_row in zip(x, y, strict=True):
                a = b[j] + mpmath.fdot((mpmath.mpf(x_row[k]), w[k][j]) for k in range(len(w)))
                total += (1 / (1 + mpmath.exp(-a)) - y_row[j]) ** 2
            return total

        w = [[mpmath.mpf(value) for value in row] for row in w]
        b = [mpmath.mpf(value) for value in b]
        outputs = range(len(b))
        return [[difference(row, j) for j in outputs] for row in w], [difference(b, j) for j in outputs]


# ------------------------------------------------------------------------------------------------ shapes of any residue

# About every multiple of 2, 4, 8, 16, 32 and 64 that a tile, a vector or an unrolled loop may be long.
SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 100, 127, 128, 129]
SMALL = [1, 2, 3, 5, 8, 9, 17]


def residues(sizes, rows):
    """Every pair of sizes for (rows, inputs) and for (rows, outputs)."""
    n, i = len(sizes), sizes.index(rows)
    return [(rows, sizes[j], sizes[(i + 2 * j) % n]) for j in range(n)]


@pytest.mark.parametrize("rows", SMALL)
def test_small_shapes_leave_no_residue_out(engine, dtype, layer, rows):
    for shape in residues(SMALL, rows):
        assert_exact(engine, *layer(*shape, dtype))


@pytest.mark.jit_only
@pytest.mark.parametrize("rows", SIZES)
def test_no_shape_leaves_a_residue_out(engine, dtype, layer, rows):
    for shape in residues(SIZES, rows):
        assert_exact(engine, *layer(*shape, dtype))


@pytest.mark.parametrize("rows", SMALL)
@pytest.mark.parametrize("way", [*WAYS])
def test_small_shapes_leave_no_residue_out_however_the_work_is_cut(dtype, layer, way, rows):
    with gone_through(way):
        for shape in residues(SMALL, rows):
            assert_exact(fastbp, *layer(*shape, dtype))


@pytest.mark.jit_only
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("way", ["many rows", "strips", "groups", "stretches"])
def test_no_shape_leaves_a_residue_out_where_rows_are_many(dtype, layer, way, rows):
    with gone_through(way):
        for shape in residues(SIZES, rows):
            assert_exact(fastbp, *layer(*shape, dtype))


@pytest.mark.jit_only
@pytest.mark.parametrize(
    "shape",
    [
        (2999, 9, 2),  # many rows, little else
        (3, 2999, 5),  # many inputs
        (5, 3, 2999),  # many outputs
        (1031, 784, 10),  # more rows than fit a cache, few outputs
        (517, 257, 259),  # all three beyond a block
        (1301, 1024, 11),  # rows that fall into the same cache sets, and are packed
        (33, 512, 130),
        (19, 8192, 7),  # few rows of many inputs
        (20, 1474, 908),  # weights that come from memory, in float64
    ],
    ids=str,
)
@pytest.mark.parametrize("bias_reduction", ["mean", "sum"])
def test_large_shapes_are_as_exact(engine, dtype, layer, shape, bias_reduction):
    assert_exact(engine, *layer(*shape, dtype), bias_reduction=bias_reduction)


# ----------------------------------------------------------------------------------------------- the bounds themselves


def test_bounds_are_tight(layer, dtype):
    x, y, w, b = layer(64, 100, 10)
    relative = 10_000 * unit(dtype)  # 6e-4 in float32, 1e-12 in float64
    bounds = Bounds.of(x, y, w, b, dtype=dtype)
    gradients = reference.gradients(x, y, w, b)
    assert np.median(bounds.w / np.abs(gradients.w)) < relative
    assert np.median(bounds.b / np.abs(gradients.b)) < relative
    assert bounds.cost / gradients.cost < relative


def test_bounds_catch_a_row_that_was_left_out(layer):
    x, y, w, b = layer(64, 100, 10, "float32")
    bounds = Bounds.of(x, y, w, b, dtype="float32")
    short = reference.gradients(x[:-1], y[:-1], w, b)
    with pytest.raises(AssertionError, match="times its bound"):
        assert_within(short.w, reference.gradients(x, y, w, b).w, bounds.w, "dC/dw")
