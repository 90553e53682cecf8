"""How far e^x, the sigmoid, tanh and log are from the truth, in units in the last place; and what they give at limits.

A unit in the last place of a number is the distance between the floats around it. The documents promise 2 of them where
the true value is a normal number. Below, where floats are evenly spaced, tanh is within SUBNORMAL_UNITS of these steps;
e^x and the sigmoid may be 0, and are within the smallest normal number. e^x is for numbers that are not above 0.
"""

import mpmath
import numba
import numpy as np
import pytest
from test_training import assert_same_bits

import fastbp
from fastbp import reference
from fastbp.kernels import functions
from fastbp.layers import engine
from fastbp.tiles.operations import block, lanes, load_some, store_some

UNITS = 2
SUBNORMAL_UNITS = 2
COMPILED = not numba.config.DISABLE_JIT
MANY = 2_000_000 if COMPILED else 4_000

# Below this, e^x is 0.
LOW = {"float32": -88.03, "float64": -709.09}
# Where tanh x rounds to 1, and where |x| is clamped for it.
ONE_FROM = {"float32": (9.010914, 10.0), "float64": (19.06154747, 20.0)}


def of_arrays(function):
    """A function of vectors as one of arrays of one dimension."""

    def kernel(x, result):
        source, target = block(x, 0, 0, 1, x.shape[1]), block(result, 0, 0, 1, x.shape[1])
        for i in range(0, x.shape[1], lanes(source)):
            store_some(target, 0, i, function(load_some(source, 0, i, x.shape[1] - i)), x.shape[1] - i)

    compiled = numba.njit(kernel) if COMPILED else np.errstate(all="ignore")(kernel)

    def call(x):
        result = np.empty((1, x.size), x.dtype)
        compiled(x.reshape(1, -1), result)
        return result[0]

    return call


exp, tanh, log = (of_arrays(function) for function in (functions.exp_of_negative, functions.tanh, functions.log))
COMPUTED = {"exp": exp, "sigmoid": fastbp.sigmoid, "tanh": tanh, "log": log}


def assert_within_units(name, dtype, units, normal):
    """`units` are in the last place, or in steps of the subnormal numbers where not `normal`."""
    of_normal, of_rest = (np.max(units, where=where, initial=0.0) for where in (normal, ~normal))
    print(f"{name} {dtype}, {units.size} numbers: {of_normal:.3f} units, {of_rest:.3f} where subnormal")
    assert of_normal <= UNITS
    assert of_rest <= (2.0 ** np.finfo(dtype).nmant if name in ("exp", "sigmoid") else SUBNORMAL_UNITS)


# -------------------------------------------------------------------------------------------------- against the truth


def hard_numbers(dtype):
    """A few thousand: all over the range, around 0, at the clamp, where x / ln 2 rounds, tiny, huge, subnormal.

    For tanh also where 2 x / ln 2 rounds, and where tanh x is 1/2 or rounds to 1.
    """
    info, rng = np.finfo(dtype), np.random.default_rng(2)
    low = LOW[dtype.name]
    high = -low
    overflow, underflow = np.log(info.max), np.log(info.tiny)
    halves = (np.arange(np.ceil(low / np.log(2)), high / np.log(2)) + 0.5) * np.log(2)
    corners = [0.0, low, high, overflow, -overflow, underflow, -underflow, 0.5, 1.0, *np.log([2, 0.5])]
    corners = np.array([*corners, *np.arctanh([0.5, -0.5]), *ONE_FROM[dtype.name]], dtype)
    halves = np.concatenate([halves, halves[np.abs(halves) < 50] / 2])
    groups = [
        rng.uniform(low - 10, high + 10, 2000),
        rng.normal(0, 1, 1000),
        rng.choice([-1, 1], 500) * 10.0 ** rng.uniform(-30, 2, 500),
        np.concatenate([corners + n * np.spacing(abs(corners)) for n in range(-4, 5)]),
        np.nextafter(halves.astype(dtype), dtype.type(np.inf)),
        np.nextafter(halves.astype(dtype), dtype.type(-np.inf)),
        [sign * size for sign in (-1, 1) for size in (info.tiny, info.smallest_subnormal, info.tiny * 0.75, info.max)],
    ]
    return np.concatenate([np.asarray(group, dtype) for group in groups])


def hard_positive_numbers(dtype):
    """A few thousand: all over the range, around 1, where the exponent changes, the smallest normal, the largest."""
    info, rng = np.finfo(dtype), np.random.default_rng(4)
    n = np.arange(info.minexp + 1, info.maxexp - 1, 1 if info.bits == 32 else 8)
    powers = np.concatenate([np.exp2(n), np.exp2(n + 0.5)]).astype(dtype)
    corners = np.array([1.0, 0.5**0.5, 2**0.5, 0.5, 2.0], dtype)
    groups = [
        np.exp2(rng.uniform(info.minexp, info.maxexp, 2000)),
        rng.uniform(0.5, 2, 1000),
        1 + rng.choice([-1, 1], 500) * np.exp2(rng.uniform(-info.nmant, -1, 500)),
        *[powers + k * np.spacing(powers) for k in (-1, 0, 1)],
        *[corners + k * np.spacing(corners) for k in range(-4, 5)],
        [info.tiny, info.max],
    ]
    return np.concatenate([np.asarray(group, dtype) for group in groups])


def hard_numbers_below_0(dtype):
    return -np.abs(hard_numbers(dtype))


HARD = {"exp": hard_numbers_below_0, "sigmoid": hard_numbers, "tanh": hard_numbers, "log": hard_positive_numbers}


def truth_of(name, x, library):
    """The function by a library of numbers wide enough, mpmath or NumPy."""
    return 1 / (1 + library.exp(-x)) if name == "sigmoid" else getattr(library, name)(x)


def exact_units(name, x, got):
    """(off by how many units, whether the truth is normal), computed with 60 digits."""
    info = np.finfo(x.dtype)
    off, normal = [], []
    with mpmath.workdps(60):
        for a, result in zip(x, got, strict=True):
            truth = truth_of(name, mpmath.mpf(float(a)), mpmath)
            exponent = max(mpmath.frexp(truth)[1] - 1, int(info.minexp))
            off.append(float(mpmath.ldexp(abs(mpmath.mpf(float(result)) - truth), int(info.nmant) - exponent)))
            normal.append(bool(abs(truth) >= float(info.tiny)))
    return np.array(off), np.array(normal)


@pytest.mark.parametrize("name", COMPUTED)
def test_within_two_units_of_sixty_digits(dtype, name):
    x = HARD[name](dtype)
    assert_within_units(name, dtype, *exact_units(name, x, COMPUTED[name](x)))


def millions(name, dtype):
    """Evenly over the range, evenly around 0 (for log around 1), and of every magnitude."""
    rng, info = np.random.default_rng(3), np.finfo(dtype)
    if name == "log":
        magnitudes = np.exp2(rng.uniform(info.minexp, info.maxexp, MANY // 2))
        return np.concatenate([rng.uniform(0.5, 2, MANY // 2), magnitudes]).astype(dtype)
    high = ONE_FROM[dtype.name][1]
    low, high = (-high, high) if name == "tanh" else (1.2 * LOW[dtype.name], -LOW[dtype.name])
    magnitudes = rng.choice([-1, 1], MANY // 4) * np.exp2(rng.uniform(-40, np.log2(high), MANY // 4))
    x = np.concatenate([rng.uniform(low, high, MANY // 2), rng.uniform(-1, 1, MANY // 4), magnitudes]).astype(dtype)
    return -np.abs(x) if name == "exp" else x


WIDER = {"float32": np.float64, "float64": np.longdouble}


@pytest.mark.parametrize("name", COMPUTED)
def test_within_two_units_of_a_wider_dtype_for_millions_of_numbers(dtype, name):
    wider = WIDER[dtype.name]
    if np.finfo(wider).nmant < np.finfo(dtype).nmant + 10:
        pytest.skip("long double is no wider than float64 here")
    x = millions(name, dtype)
    got = COMPUTED[name](x)
    info = np.finfo(dtype)
    with np.errstate(over="ignore", under="ignore"):
        truth = truth_of(name, x.astype(wider), np)
        exponent = np.maximum(np.frexp(truth)[1] - 1, info.minexp)
        units = np.ldexp(abs(got - truth), info.nmant - exponent).astype(np.float64)
    assert_within_units(name, dtype, units, abs(truth) >= info.tiny)


# -------------------------------------------------------------------------------------------------------- at the limits

# x, e^-|x|, sigmoid, tanh
LIMITS = [
    (0.0, 1.0, 0.5, 0.0),
    (-0.0, 1.0, 0.5, -0.0),
    (np.inf, 0.0, 1.0, 1.0),
    (-np.inf, 0.0, 0.0, -1.0),
    (np.nan, np.nan, np.nan, np.nan),
    (1e38, 0.0, 1.0, 1.0),
    (-1e38, 0.0, 0.0, -1.0),
    (1000.0, 0.0, 1.0, 1.0),
    (-1000.0, 0.0, 0.0, -1.0),
]

# x, log
LIMITS_OF_LOG = [
    (1.0, 0.0),
    (0.0, -np.inf),
    (-0.0, -np.inf),
    (np.inf, np.inf),
    (-np.inf, np.nan),
    (np.nan, np.nan),
    (-1.0, np.nan),
    (-1e38, np.nan),
    (-1e-45, np.nan),
]


@pytest.mark.parametrize(("x", "e_x", "g", "tanh_x"), LIMITS)
def test_limits_are_exact(dtype, x, e_x, g, tanh_x):
    for count in (1, 16, 19):
        assert_same_bits(exp(np.full(count, -abs(x), dtype)), np.full(count, e_x, dtype))
        assert_same_bits(fastbp.sigmoid(np.full(count, x, dtype)), np.full(count, g, dtype))
        assert_same_bits(tanh(np.full(count, x, dtype)), np.full(count, tanh_x, dtype))


@pytest.mark.parametrize(("x", "log_x"), LIMITS_OF_LOG)
def test_limits_of_log_are_exact(dtype, x, log_x):
    for count in (1, 16, 19):
        assert_same_bits(log(np.full(count, x, dtype)), np.full(count, log_x, dtype))


def test_tanh_of_a_tiny_number_is_that_number(dtype):
    """Zeros keep their signs as well."""
    info = np.finfo(dtype)
    x = np.array([0.0, info.smallest_subnormal, info.tiny * 0.75, info.tiny, info.eps / 8], dtype)
    x = np.concatenate([x, -x])
    assert tanh(x).tobytes() == x.tobytes()


def test_tanh_is_odd_to_the_bit_and_lies_between_minus_1_and_1(dtype):
    x = hard_numbers(dtype)
    assert tanh(-x).tobytes() == (-tanh(x)).tobytes()
    assert np.all(np.abs(tanh(x)) <= 1)


def test_e_to_a_tiny_number_is_one_and_its_sigmoid_a_half(dtype):
    info = np.finfo(dtype)
    x = np.array([info.smallest_subnormal, info.tiny, info.eps / 8], dtype)
    x = np.concatenate([x, -x])
    assert_same_bits(exp(-np.abs(x)), np.ones_like(x))
    assert_same_bits(fastbp.sigmoid(x), np.full_like(x, 0.5))


def test_what_is_no_normal_number_may_be_0_and_what_is_one_is_not(dtype):
    """From the first x on whose e^x is normal, results are above 0; a little below they are 0, and nowhere else."""
    with mpmath.workdps(60):
        first = dtype.type(float(mpmath.log(mpmath.mpf(float(np.finfo(dtype).tiny)))))
    x = first + 4 * np.spacing(abs(first)) * np.arange(100, dtype=dtype)
    assert np.all(exp(x) > 0)
    assert np.all(fastbp.sigmoid(x) > 0)
    x = LOW[dtype.name] * np.array([1, 1.001, 1.1, 2, 1e30], dtype)
    assert_same_bits(exp(x), np.zeros_like(x))
    assert_same_bits(fastbp.sigmoid(x), np.zeros_like(x))


def test_sigmoid_lies_between_0_and_1_and_is_symmetric_to_a_unit(dtype):
    x = np.abs(hard_numbers(dtype))
    up, down = fastbp.sigmoid(x), fastbp.sigmoid(-x)
    assert np.all((up >= 0.5) & (up <= 1) & (down >= 0) & (down <= 0.5))
    np.testing.assert_allclose(up.astype(np.longdouble) + down, 1, rtol=0, atol=UNITS * np.finfo(dtype).eps)


def test_no_number_makes_a_warning(dtype):
    with np.errstate(all="raise"):
        fastbp.sigmoid(hard_numbers(dtype))
        fastbp.sigmoid_gradient(hard_numbers(dtype))
        fastbp.sigmoid(np.array([limit[0] for limit in LIMITS], dtype))


@pytest.mark.parametrize("shape", [(), (0,), (5,), (6,), (7,), (4, 5, 3)], ids=str)
def test_arrays_of_many_kernel_calls_have_no_seams(monkeypatch, dtype, shape):
    x = np.random.default_rng(1).normal(0, 3, shape).astype(dtype)
    wanted = fastbp.sigmoid(x), fastbp.sigmoid_gradient(x)
    monkeypatch.setattr(engine, "ELEMENTS_OF_CALL", 6)
    for got, one in zip((fastbp.sigmoid(x), fastbp.sigmoid_gradient(x)), wanted, strict=True):
        assert_same_bits(got, one)
        assert np.shape(got) == shape
    if x.size:
        assert fastbp.cost(x, 2 * x) == pytest.approx(reference.cost(x, 2 * x), rel=1e-6)
