"""Where the parameters of a network lie in one flat vector."""

from __future__ import annotations

from typing import NamedTuple

from fastbp.architecture import Architecture
from fastbp.memory import padded
from fastbp.tiles.registers import lanes_of


class Layout(NamedTuple):
    """Where the parameters of each layer lie in one flat vector: (outputs, width), the bias in column `inputs`."""

    starts: tuple[int, ...]
    widths: tuple[int, ...]
    size: int


def layout_of(architecture: Architecture) -> Layout:
    lanes = lanes_of(architecture.dtype.itemsize)
    widths = tuple(padded(inputs + 1, lanes, architecture.dtype) for inputs in architecture.sizes[:-1])
    starts, size = [], 0
    for width, outputs in zip(widths, architecture.sizes[1:], strict=True):
        starts.append(size)
        size += width * outputs
    return Layout(tuple(starts), widths, size)
