"""e^x for x <= 0, the sigmoid, tanh and log on vectors, to 2 units in the last place of normal numbers.

    e^x = 2^n e^r,  n = round(x / ln 2),  r = x - n ln 2,  |r| <= ln(2) / 2
    e^r = 1 + r + r^2 q(r)

n ln 2 is subtracted in two parts, of which the first has so few bits that n times it is exact. q is a polynomial
fitted at Chebyshev nodes; it is off by less than 1.1e-8 (float32) and 1.8e-17 (float64) of e^r. It is evaluated in
pairs (Estrin's scheme): the chain of dependent operations is what a step on few rows waits for. Source of the method:
W. J. Cody and W. Waite, "Software Manual for the Elementary Functions" (1980), chapter 6.

What kernels take e^x of is never above 0, or above 40 for tanh, so that 2^n never overflows, and is a single factor;
where it would be subnormal, its exponent field is 0, and so is the result. With 2^n in two factors, for all x, the
sigmoid of a vector took 5.4 ns on a Zen 3 and 7.5 in float64; it takes 3.5 and 5.0 so.

    log x = n ln 2 + log(1 + f),  x = 2^n (1 + f),  sqrt(1/2) <= 1 + f < sqrt(2)
    log(1 + f) = f - (f^2 / 2 - s (f^2 / 2 + z p(z))),  s = f / (2 + f),  z = s^2

f is exact, and what is rounded after it is small beside it. p is fitted in the same way to (2 atanh(s) / s - 2) / z; it
is off by less than 2.6e-9 and 4.7e-18 of log(1 + f). Source of the method: FreeBSD's msun, e_log.c (1993).
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.jit import of_each_dtype, of_vectors
from fastbp.tiles.operations import (
    absolute,
    copy_sign,
    exponent,
    maximum,
    minimum,
    multiply_add,
    power_of_two,
    where_equal,
    where_negative,
    where_signed,
    without_exponent,
)

LOG2_E = 1.4426950408889634

# ln 2 in two parts: HIGH times an exponent of two is exact.
LN2_HIGH_FLOAT32, LN2_LOW_FLOAT32 = 0.693145751953125, 1.428606765330187e-06
LN2_HIGH_FLOAT64, LN2_LOW_FLOAT64 = 0.6931471805598903, 5.497923018708371e-14

ARTANH_HALF = 0.5493061443340549  # tanh of which is 1/2

# 1.5 * 2^23 and 1.5 * 2^52: a small number added to them is rounded to an integer, in their lowest bits.
SHIFT_FLOAT32 = 12582912.0
SHIFT_FLOAT64 = 6755399441055744.0
# The same with the bias of the exponent, as `power_of_two` takes them.
BIASED_FLOAT32 = SHIFT_FLOAT32 + 127.0
BIASED_FLOAT64 = SHIFT_FLOAT64 + 1023.0


@of_vectors
def _reduced_float32(x):
    """n + BIASED_FLOAT32, and e^r - 1."""
    shifted = multiply_add(x, LOG2_E, BIASED_FLOAT32)
    n = shifted - BIASED_FLOAT32
    r = multiply_add(n, -LN2_HIGH_FLOAT32, x)
    r = multiply_add(n, -LN2_LOW_FLOAT32, r)

    r2 = r * r
    q01 = multiply_add(r, 0.16666576845993976, 0.5)
    q23 = multiply_add(r, 0.008363202971575855, 0.04166655443768594)
    q = multiply_add(r2 * r2, 0.0013926213466332443, multiply_add(r2, q23, q01))
    return shifted, multiply_add(r2, q, r)


@of_vectors
def _reduced_float64(x):
    """n + BIASED_FLOAT64, and e^r - 1."""
    shifted = multiply_add(x, LOG2_E, BIASED_FLOAT64)
    n = shifted - BIASED_FLOAT64
    r = multiply_add(n, -LN2_HIGH_FLOAT64, x)
    r = multiply_add(n, -LN2_LOW_FLOAT64, r)

    r2 = r * r
    r4 = r2 * r2
    q01 = multiply_add(r, 0.16666666666666667456, 0.50000000000000010262)
    q23 = multiply_add(r, 0.0083333333333300513464, 0.041666666666623991516)
    q45 = multiply_add(r, 0.00019841269863105968748, 0.0013888888917281793308)
    q67 = multiply_add(r, 2.7557268378684192873e-6, 0.000024801521190217727651)
    q89 = multiply_add(r, 2.5100424157005066788e-8, 2.7620138719733995569e-7)
    q = multiply_add(r4, multiply_add(r4, q89, multiply_add(r2, q67, q45)), multiply_add(r2, q23, q01))
    return shifted, multiply_add(r2, q, r)


def _exp_of_negative_float32(x):
    shifted, p = _reduced_float32(maximum(x, -88.03))  # -127 ln 2, for which 2^n is 0
    two_n = power_of_two(shifted)
    return multiply_add(two_n, p, two_n)


def _exp_of_negative_float64(x):
    shifted, p = _reduced_float64(maximum(x, -709.09))  # -1023 ln 2
    two_n = power_of_two(shifted)
    return multiply_add(two_n, p, two_n)


# e^x of a vector of numbers that are 0 or less, nan at nan; where it is no normal number, 0 or near it.
exp_of_negative = of_each_dtype(_exp_of_negative_float32, _exp_of_negative_float64)


@of_vectors
def sigmoid(x):
    """g(x) = 1 / (1 + e^-x) of a vector, eq. 1; where e^x is no normal number, 0 or near it.

    With t = e^-|x| and s = t / (1 + t) = g(-|x|), g(x) is 1 - s for x >= 0 and t - t s below: the rounding errors of
    the quotient are damped by s. The plain formula is off by up to 2.4 units in the last place, this one by 1.6.
    """
    t = exp_of_negative(-absolute(x))
    s = t / (1.0 + t)
    front = where_signed(x, t, 1.0)
    return multiply_add(-front, s, front)


@of_vectors
def _tanh_of_parts(x, size, a, b, two_n, p):
    """tanh x, where |x| + a / b is tanh |x| up to 1/2, and e^2|x| = 2^n (1 + p)."""
    beyond = size - ARTANH_HALF
    first = where_negative(beyond, size, 1.0)
    a = where_negative(beyond, a, -2.0)
    b = where_negative(beyond, b, multiply_add(two_n, p, two_n + 1.0))
    return copy_sign(first + a / b, x)


def _tanh_float32(x):
    size = minimum(absolute(x), 10.0)  # tanh 10 rounds to 1
    shifted, p = _reduced_float32(size + size)
    z = size * size
    a = multiply_add(z, -0.0038339633028954268, -0.8237638473510742)
    b = z + 2.471292495727539
    return _tanh_of_parts(x, size, size * z * a, b, power_of_two(shifted), p)


def _tanh_float64(x):
    size = minimum(absolute(x), 20.0)
    shifted, p = _reduced_float64(size + size)
    z = size * size
    a = multiply_add(z, multiply_add(z, -0.9643741221673122, -99.22387557551812), -1613.369490960696)
    b = multiply_add(z, multiply_add(z, z + 112.74251882351788, 2233.7150158793684), 4840.108472882089)
    return _tanh_of_parts(x, size, size * z * a, b, power_of_two(shifted), p)


# tanh x of a vector, with the sign of x also where it is 0.
#
# Up to tanh |x| = 1/2 it is |x| + |x| z a(z) / b(z) with z = x^2, and 1 - 2 / (e^2|x| + 1) beyond: either way the
# rounding errors of the quotient are damped. (e^2|x| - 1) / (e^2|x| + 1) is off by up to 2.6 units in the last place,
# this by 1.4. a / b is fitted at Chebyshev nodes; it is off by less than 2.8e-9 (float32) and 1.5e-18 (float64) of
# tanh x. Source of the method: Cody and Waite, chapter 13.
tanh = of_each_dtype(_tanh_float32, _tanh_float64)


@of_vectors
def _log_of_parts(x, f, s, zp, n, ln2_high, ln2_low):
    """n ln 2 + log(1 + f), the small parts first."""
    square = 0.5 * f * f
    result = multiply_add(n, ln2_high, f - (square - multiply_add(s, square + zp, n * ln2_low)))
    result = where_equal(x, absolute(x), result, np.nan)
    return where_equal(x, 0.0, -np.inf, where_equal(x, np.inf, np.inf, result))


def _log_float32(x):
    shifted = exponent(x)
    n = shifted - SHIFT_FLOAT32
    f = without_exponent(x, shifted) - 1.0
    s = f / (f + 2.0)
    z = s * s
    p = multiply_add(z, multiply_add(z, 0.29579949378967285, 0.3998878002166748), 0.6666668653488159)
    return _log_of_parts(x, f, s, z * p, n, LN2_HIGH_FLOAT32, LN2_LOW_FLOAT32)


def _log_float64(x):
    shifted = exponent(x)
    n = shifted - SHIFT_FLOAT64
    f = without_exponent(x, shifted) - 1.0
    s = f / (f + 2.0)
    z = s * s
    z2 = z * z
    p01 = multiply_add(z, 0.39999999999899505, 0.666666666666667)
    p23 = multiply_add(z, 0.2222221113479508, 0.28571428625975487)
    p45 = multiply_add(z, 0.15331721600556042, 0.18182889125261723)
    p = multiply_add(z2, multiply_add(z2, multiply_add(z2, 0.14616449685043406, p45), p23), p01)
    return _log_of_parts(x, f, s, z * p, n, LN2_HIGH_FLOAT64, LN2_LOW_FLOAT64)


# The natural logarithm of a vector: inf at inf, -inf at 0, nan below 0 and at nan; wrong at subnormal numbers.
log = of_each_dtype(_log_float32, _log_float64)
