"""The bits of floating-point numbers, lane by lane: signs, exponents and powers of two, without a conversion."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from fastbp.tiles.lowering import lowers
from fastbp.tiles.values import Vector
from fastbp.tiles.vectors import as_register, first_vector

# Of float32 and float64: bits of the fraction, bias of the exponent, the integer of the same size.
_FORMAT = {32: (23, 127, ir.IntType(32)), 64: (52, 1023, ir.IntType(64))}


def _as_integers(emitter, vector):
    """The bits of the lanes, and what makes an integer constant of the same shape."""
    integers = ir.VectorType(_FORMAT[vector.kind.dtype.bitwidth][2], vector.kind.lanes)

    def constant(value):
        return ir.Constant(integers, [value] * vector.kind.lanes)

    return emitter.builder.bitcast(vector.ir, integers), constant


def where_signed(vector, a, b):
    """a in the lanes whose sign bit is set, which -0 and some nan have too, b in the others: sooner told than x < 0."""
    return np.where(np.signbit(vector), a, b).astype(vector.dtype)


@lowers(where_signed, first_vector)
def _(emitter, vector, a, b):
    bits, constant = _as_integers(emitter, vector)
    signed = emitter.builder.icmp_signed("<", bits, constant(0))
    return emitter.builder.select(signed, *(as_register(emitter, value, vector.kind) for value in (a, b)))


def power_of_two(shifted):
    """2^n for shifted = n + bias + 1.5 * 2^m: m is the number of bits of the fraction, bias that of the exponent.

    The lowest bits of such a number are n + bias itself: moved into the exponent's place, they make 2^n without a
    conversion; or 0, where n + bias is 0.
    """
    fraction, _, _ = _FORMAT[shifted.dtype.itemsize * 8]
    return (shifted.view(f"i{shifted.dtype.itemsize}") << fraction).view(shifted.dtype)


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
