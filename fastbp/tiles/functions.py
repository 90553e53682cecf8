"""e^x and the sigmoid on vectors, to 2 units in the last place over the whole range.

    e^x = 2^n e^r,  n = round(x / ln 2),  r = x - n ln 2,  |r| <= ln(2) / 2
    e^r = 1 + r + r^2 q(r)

n ln 2 is subtracted in two parts, of which the first has so few bits that n times it is exact. q is a polynomial
fitted at Chebyshev nodes; it is off by less than 1.1e-8 (float32) and 1.8e-17 (float64) of e^r. It is evaluated in
pairs (Estrin's scheme): the chain of dependent operations is what a step on few rows waits for. 2^n is applied in
two factors, since 2^1024 is no float64 although e^709.7 is one. Source of the method: W. J. Cody and W. Waite,
"Software Manual for the Elementary Functions" (1980), chapter 6.
"""

from __future__ import annotations

import numpy as np
from numba.core import types
from numba.extending import overload

from fastbp.tiles.operations import absolute, clamp, multiply_add, power_of_two, where_negative

LOG2_E = 1.4426950408889634

# 1.5 * 2^23 and 1.5 * 2^52: a small number added to them is rounded to an integer, in their lowest bits.
SHIFT_FLOAT32 = 12582912.0
SHIFT_FLOAT64 = 6755399441055744.0


def exp(x):
    """e^x of a vector: inf above the largest float, gradually 0 below the smallest, nan at nan."""
    return _exp_float32(x) if x.dtype == np.float32 else _exp_float64(x)


@overload(exp)
def _exp(x):
    return _exp_float32 if x.dtype == types.float32 else _exp_float64


def sigmoid(x):
    """g(x) = 1 / (1 + e^-x) of a vector, eq. 1.

    With t = e^-|x| and s = t / (1 + t) = g(-|x|), g(x) is 1 - s for x >= 0 and t - t s below: the rounding errors of
    the quotient are damped by s. The plain formula is off by up to 2.4 units in the last place, this one by 1.8.
    """
    t = exp(-absolute(x))
    s = t / (1.0 + t)
    front = where_negative(x, t, 1.0)
    return multiply_add(-front, s, front)


@overload(sigmoid)
def _sigmoid(x):
    return sigmoid


def _exp_float32(x):
    x = clamp(x, -104.0, 89.0)
    shifted = multiply_add(x, LOG2_E, SHIFT_FLOAT32)
    n = shifted - SHIFT_FLOAT32
    r = multiply_add(n, -0.693145751953125, x)
    r = multiply_add(n, -1.428606765330187e-06, r)

    r2 = r * r
    q01 = multiply_add(r, 0.16666576845993976, 0.5)
    q23 = multiply_add(r, 0.008363202971575855, 0.04166655443768594)
    q = multiply_add(r2 * r2, 0.0013926213466332443, multiply_add(r2, q23, q01))
    e_r = 1.0 + multiply_add(r2, q, r)

    half = multiply_add(n, 0.5, SHIFT_FLOAT32)
    other_half = shifted - (half - SHIFT_FLOAT32)
    return e_r * power_of_two(half) * power_of_two(other_half)


def _exp_float64(x):
    x = clamp(x, -746.0, 710.0)
    shifted = multiply_add(x, LOG2_E, SHIFT_FLOAT64)
    n = shifted - SHIFT_FLOAT64
    r = multiply_add(n, -0.6931471805598903, x)
    r = multiply_add(n, -5.497923018708371e-14, r)

    r2 = r * r
    r4 = r2 * r2
    q01 = multiply_add(r, 0.16666666666666667456, 0.50000000000000010262)
    q23 = multiply_add(r, 0.0083333333333300513464, 0.041666666666623991516)
    q45 = multiply_add(r, 0.00019841269863105968748, 0.0013888888917281793308)
    q67 = multiply_add(r, 2.7557268378684192873e-6, 0.000024801521190217727651)
    q89 = multiply_add(r, 2.5100424157005066788e-8, 2.7620138719733995569e-7)
    q = multiply_add(r4, multiply_add(r4, q89, multiply_add(r2, q67, q45)), multiply_add(r2, q23, q01))
    e_r = 1.0 + multiply_add(r2, q, r)

    half = multiply_add(n, 0.5, SHIFT_FLOAT64)
    other_half = shifted - (half - SHIFT_FLOAT64)
    return e_r * power_of_two(half) * power_of_two(other_half)
