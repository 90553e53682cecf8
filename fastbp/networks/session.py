"""A network's calls of the kernels: the workspace of one batch size, and how batches are carried out.

That is some lines at a time, so that Ctrl-C is heard.
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np

from fastbp.architecture import Architecture
from fastbp.contract import FloatArray
from fastbp.cutting import MOST_TASKS
from fastbp.kernels import network, team, updates
from fastbp.kernels.workspace import (
    BATCH,
    FINITE,
    FINITE_X,
    INPUT,
    INPUT_T,
    INPUTS,
    ROW,
    ROWS,
    ROWS_LEFT,
    STATES,
    WIDTH,
    Arrays,
)
from fastbp.memory import aligned, rounded_up
from fastbp.networks.order import AS_THEY_LIE, Order
from fastbp.networks.plan import setup_for
from fastbp.pace import Pace
from fastbp.pool import engage
from fastbp.tiles import atomics
from fastbp.tiles.registers import CACHE_LINE, lanes_of


class Kind(NamedTuple):
    """What calls have in common that can share a session."""

    purpose: int
    batch: int
    targets: int
    labels: bool
    threads: int
    rule: int
    clip_norm: float


class Session:
    """The workspace for batches of one size: allocated once, and used by any number of calls."""

    def __init__(self, kind: Kind, architecture: Architecture) -> None:
        self.kind = kind
        dtype, setup = architecture.dtype, setup_for(architecture, **kind._asdict())
        self._setup = setup
        plan = setup.plan
        self._memory = aligned(setup.memory, dtype)
        self._memory.fill(0)
        for worker in range(plan.threads):  # the bias is the weight of an input that is always 1
            for number, layer in enumerate(setup.layers):
                base = 0 if plan.shared and number > 0 else worker * plan.worker
                inputs = layer[INPUTS]
                if layer[INPUT_T] >= 0:
                    self._strips(base + layer[INPUT_T], inputs + 1, plan.stride)[:, inputs] = 1
                if layer[INPUT] >= 0:
                    rows = self._strips(base + layer[INPUT], plan.panel, layer[WIDTH])
                    rows[inputs // rows.shape[2], :, inputs % rows.shape[2]] = 1
        lanes = lanes_of(8)
        self.gradient = aligned(setup.gradient, dtype)  # of the last call
        self._cost = aligned(plan.shards * lanes, np.dtype(np.float64)).reshape(plan.shards, lanes)
        self._norm = aligned(MOST_TASKS * lanes, np.dtype(np.float64)).reshape(MOST_TASKS, lanes)
        self._state = np.zeros(STATES, np.int64)
        self._gathered = np.zeros((plan.threads, rounded_up(1 + plan.cuts, CACHE_LINE // 8)), np.int64)
        self._desk = atomics.board(team.FIRST + plan.threads)
        self._nothing = np.empty((1, 0), dtype)
        self._none = np.empty(0, dtype)
        self._coefficients = np.zeros((1, updates.COEFFICIENTS), dtype)
        self._pace = Pace(setup.body, setup.multiply_adds)

    def _strips(self, start: int, rows: int, columns: int) -> FloatArray:
        """A matrix (rows, columns) in the memory, as its strips (strips, rows, width)."""
        width = min(self._setup.plan.strip, columns)
        strips = -(-columns // width)
        return self._memory[start : start + strips * rows * width].reshape(strips, rows, width)

    @property
    def batches(self) -> int:
        """The batches that the last call has done."""
        return int(self._state[BATCH])

    @property
    def finite(self) -> bool:
        """Whether all that these have made is finite: losses, parameters, and what the optimizer remembers."""
        return bool(self._state[FINITE])

    @property
    def finite_x(self) -> bool:
        """Whether it is sure that all of the x that has gone forward is finite; false, too, where weights are not."""
        return bool(self._state[FINITE_X])

    def rewind(self) -> None:
        """Forget the batches of the last call."""
        state = self._state
        state[BATCH], state[ROW], state[FINITE], state[FINITE_X] = 0, 0, 1, 1

    def carry_out(
        self,
        parameters: FloatArray,
        x: FloatArray,
        y: FloatArray | None = None,
        sample_weight: FloatArray | None = None,
        order: Order = AS_THEY_LIE,
        y_pred: FloatArray | None = None,
        slots: tuple[FloatArray, ...] = (),
        coefficients: FloatArray | None = None,
        epochs: int = 1,
    ) -> FloatArray:
        """The loss of each batch; those of training end where something is not `finite`.

        Of several epochs, `order` holds one after the other.
        """
        plan, state = self._setup.plan, self._state
        rows = (order.size or x.shape[0]) // epochs
        batches = epochs * math.ceil(rows / plan.batch)
        self.rewind()
        losses = np.zeros(batches)
        state[ROWS] = state[ROWS_LEFT] = rows
        self._gathered.fill(0)
        first, second = (*slots, parameters, parameters)[:2]
        arrays = Arrays(  # in their order: by name they would cost a microsecond
            x,
            self._nothing if y is None else y,
            self._none if sample_weight is None else sample_weight,
            order,
            self._nothing if y_pred is None else y_pred,
            parameters,
            first,
            second,
            self._coefficients if coefficients is None else coefficients,
            losses,
            self._memory,
            self.gradient,
            self._cost,
            self._norm,
            self._setup.layers,
            self._setup.operations,
            state,
            self._gathered,
            self._desk,
        )
        run, body = network.run.for_dtype(self._memory.dtype), self._setup.body
        lines, line = 1 + body * batches, 0
        while line < lines and state[FINITE]:
            start = time.perf_counter()
            last = min(lines, line + self._pace.lines)
            left = -(last - 1) % body  # lines of the batch in which this call ends
            if left < self._setup.updating:
                last += left
            door = engage(plan.threads)
            line = run(team.LEADER, self._setup.program, body, batches, line, last, arrays, plan, door)
            if line == last < lines:  # one that ended early tells nothing
                self._pace.adapt(time.perf_counter() - start)
        return losses
