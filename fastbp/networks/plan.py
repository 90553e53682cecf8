"""What a batch of a network is gone through with: its program, and a place in memory for all matrices.

All is written from the shapes, by way of a `Division` of the batch, and carried out by `fastbp.kernels.network`. The
number of threads decides who does what, and changes no bit of a result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastbp.architecture import Architecture
from fastbp.cutting import largest_group
from fastbp.kernels import activations, losses, workspace
from fastbp.kernels.matmul import LEAST_VECTORS
from fastbp.kernels.network_operations import BACK
from fastbp.kernels.program import TASKS
from fastbp.kernels.workspace import FIELDS, Plan
from fastbp.memory import Places, in_strips, padded, spaced
from fastbp.networks.division import PREDICT, Division, division_of
from fastbp.networks.layout import layout_of
from fastbp.networks.program import Program, program_for
from fastbp.tiles.registers import lanes_of

_ACTIVATIONS = {
    "identity": activations.IDENTITY,
    "sigmoid": activations.SIGMOID,
    "tanh": activations.TANH,
    "relu": activations.RELU,
    "leaky_relu": activations.LEAKY_RELU,
    "softmax": activations.SOFTMAX,
}
_LOSSES = {
    "squared_error": losses.SQUARED_ERROR,
    "binary_cross_entropy": losses.BINARY_CROSS_ENTROPY,
    "cross_entropy": losses.CROSS_ENTROPY,
}

Table = npt.NDArray[np.int64]


class Setup(NamedTuple):
    """What a call on batches of one size is made with."""

    plan: Plan
    layers: Table
    program: Table
    operations: Table
    body: int  # lines of a batch
    updating: int  # the last ones of these, which update parameters: all are carried out or none
    multiply_adds: int  # of a batch
    memory: int  # elements
    gradient: int


def setup_for(
    architecture: Architecture,
    batch: int,
    targets: int,
    threads: int,
    purpose: int,
    *,
    labels: bool = False,
    rule: int = 0,
    clip_norm: float = 0.0,
) -> Setup:
    """What batches of `batch` rows with so many targets are gone through with."""
    division = division_of(architecture, batch, purpose, clip_norm)
    made = program_for(architecture, batch, purpose, clip_norm, division)
    program, operations = np.array(made.lines, np.int64), np.array(made.operations, np.int64).reshape(-1, 2)
    workers = max(1, min(threads, int(program[:, TASKS].max())))
    lanes = lanes_of(architecture.dtype.itemsize)

    places = Places(architecture.dtype)
    layers = _layers(architecture, purpose, division, places)
    y = places.take(in_strips(division.panel, targets, division.strip))
    y_t = places.take(in_strips(targets, division.stride, division.strip))
    weight = places.take(division.panel)
    of_back, w_width = _weights_of_back(architecture, division, made)
    w = places.take(of_back * w_width)
    of_sums = padded(max(architecture.sizes[1:]), max(lanes, LEAST_VECTORS), architecture.dtype)
    sums = places.take(division.panel * of_sums if division.direct else 0)
    own = places.end_worker()
    size = layout_of(architecture).size
    gradient_buffer = 0 if division.direct else max(architecture.sizes[1:]) * division.fused
    gradient = division.shards * size if division.training else 0
    plan = Plan(
        threads=workers,
        batch=batch,
        panel=division.panel,
        stride=division.stride,
        strip=division.strip,
        direct=int(division.direct),
        shards=division.shards,
        fused=division.fused,
        gradient_buffer=gradient_buffer,
        loss=_LOSSES[architecture.loss],
        labels=int(labels),
        training=int(division.training),
        rule=rule,
        clip_norm=clip_norm,
        size=size,
        worker=own,
        shared=int(division.by_layer),
        cuts=division.cuts,
        y=y,
        y_t=y_t,
        weight=weight,
        w=w,
        w_width=w_width,
        sums=sums,
    )
    return Setup(
        plan=plan,
        layers=layers,
        program=program,
        operations=operations,
        body=len(program) - 1,
        updating=made.updating,
        multiply_adds=division.multiply_adds,
        memory=places.shared + workers * own,
        gradient=workers * gradient_buffer if division.fused else gradient,
    )


def _weights_of_back(architecture: Architecture, division: Division, program: Program) -> tuple[int, int]:
    """Rows and columns of the weights that a task of BACK lays out anew: those of its inputs, at most."""
    dtype, most = architecture.dtype, 0
    for line in program.lines if division.back_in_strips else ():
        for kind, layer in program.operations[line.first_operation : line.last_operation]:
            if kind == BACK:
                most = max(most, largest_group(architecture.sizes[layer], line.groups))
    return most, spaced(padded(max(architecture.sizes[2:]), lanes_of(dtype.itemsize), dtype), dtype) if most else 0


def _layers(architecture: Architecture, purpose: int, division: Division, places: Places) -> Table:
    """The table of layers, with a place in memory for all that they need."""
    sizes, layout = architecture.sizes, layout_of(architecture)
    training, last, lanes = division.training, architecture.layers - 1, lanes_of(architecture.dtype.itemsize)
    table = np.full((last + 1, FIELDS), -1, np.int64)
    for row, shape in zip(table, architecture.shapes, strict=True):
        row[workspace.INPUTS], row[workspace.OUTPUTS] = shape

    def place(layer: int) -> None:
        """Of what a layer takes, as rows, transposed, or both. In the order of these calls they lie in memory."""
        row = table[layer]
        if layer == 0 or training or division.direct:
            row[workspace.INPUT] = places.take(in_strips(division.panel, layout.widths[layer], division.strip))
        if not division.direct:
            row[workspace.INPUT_T] = places.take(in_strips(sizes[layer] + 1, division.stride, division.strip))

    for layer, row in enumerate(table):
        row[workspace.WIDTH], row[workspace.PARAMETERS] = layout.widths[layer], layout.starts[layer]
        row[workspace.ACTIVATION] = _ACTIVATIONS[architecture.activations[layer]]
        row[workspace.LAST_ACTIVATION] = activations.IDENTITY
    if not division.by_layer:
        places.end_shared()
    for layer in range(1, last + 1):
        place(layer)
    for layer, row in enumerate(table):
        if division.direct and (layer == last or training):
            row[workspace.DELTA] = places.take(division.panel * padded(sizes[layer + 1], lanes, architecture.dtype))
        if layer == last or (training and not division.direct):
            row[workspace.DELTA_T] = places.take(sizes[layer + 1] * division.stride)
            if division.back_in_strips and layer > 0:
                row[workspace.DELTA_STRIPS] = places.take(in_strips(sizes[layer + 1], division.stride, division.strip))
    table[:-1, workspace.OUTPUT_T] = table[1:, workspace.INPUT_T]
    table[-1, workspace.OUTPUT_T] = places.take(in_strips(sizes[-1] + 1, division.stride, division.strip))
    if division.cuts > 1:
        table[0, workspace.CUTS_T] = places.take(in_strips(division.cuts * sizes[1], division.stride, division.strip))
    if division.by_layer:
        places.end_shared()
    place(0)
    if architecture.loss != "squared_error" and purpose != PREDICT:  # which LOSS wants before the activation
        table[-1, workspace.LAST_ACTIVATION] = table[-1, workspace.ACTIVATION]
        table[-1, workspace.ACTIVATION] = activations.IDENTITY
    return table
