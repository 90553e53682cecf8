"""Sums over the lanes of vectors, and sums in float64 of what is in either dtype."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types

from fastbp.tiles.lowering import INT64, lowers
from fastbp.tiles.registers import lanes_of
from fastbp.tiles.values import Block, Vector


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
